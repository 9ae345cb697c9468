"""The search space of a study: which settings are tried, and with which values.

In YAML, a setting's flat name and either a range or choices:

    lr: {low: 0.01, high: 1.0, log: true}
    shift: {low: 0, high: 4}
    label_smoothing: {low: 0, high: 0.2, step: 0.05}
    stage_widths: {choices: [[32, 64], [64, 128]]}
    optimizer: {choices: [sgd, adamw]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sightline.comparison.sides import SHARED
from sightline.errors import FileError, UsageError, unknown
from sightline.files.reading import parse_yaml, read_text
from sightline.settings import Settings, flat_fields
from sightline.settings.merge import ALL_SETTINGS
from sightline.settings.text import kinds_of_value, text

if TYPE_CHECKING:
    from optuna.trial import Trial

FIXED_SECTIONS = ("checkpoints", "device")
FIXED = (*SHARED, "seed", "watch_test", "select", "log_steps", "log_probabilities_steps", "track")
RANGE_KEYS = frozenset({"low", "high", "log", "step"})
RATE_FACTOR = 5.0
MOST_SHIFT, MOST_ERASE = 4, 0.5
MOST_TRAINED_PARTS, MOST_SMOOTHING = 4, 0.2


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: evenly, or with `log` by their logarithm; `whole` ones only."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def suggest(self, name: str, trial: Trial) -> float:
        """Let a trial choose."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def stored(self, value: Any) -> float | None:
        """Give a setting's value as a study keeps it, None where the range does not hold it."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if self.step is not None:
            steps = (value - self.low) / self.step
            if not math.isclose(steps, round(steps), abs_tol=1e-6):
                return None
        return int(value) if self.whole else float(value)

    def value(self, stored: Any) -> float:
        """Give what a study keeps as the setting's value."""
        return stored

    def ends(self) -> list[Any]:
        """The outermost values."""
        return [self.low, self.high]

    def to_dict(self) -> dict[str, Any]:
        """The range as it stands in YAML."""
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Choices:
    """A few values, without an order."""

    values: tuple[Any, ...]

    def suggest(self, name: str, trial: Trial) -> Any:
        """Let a trial choose."""
        return self.value(trial.suggest_categorical(name, [text(value) for value in self.values]))

    def stored(self, value: Any) -> str | None:
        """Give a setting's value as a study keeps it, None where it is none of these."""
        return text(value) if text(value) in map(text, self.values) else None

    def value(self, stored: Any) -> Any:
        """Give what a study keeps as the setting's value."""
        return next(value for value in self.values if text(value) == stored)

    def ends(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def to_dict(self) -> dict[str, Any]:
        """The choices as they stand in YAML."""
        return {"choices": [list(value) if isinstance(value, tuple) else value for value in self.values]}


Space = Mapping[str, Range | Choices]


def read_space(path: Path) -> Space:
    """Read a space from YAML. Raises FileError for a file that is none, UsageError for what cannot be searched."""
    try:
        content = parse_yaml(read_text(path, "a search space in YAML"))
    except ValueError:
        raise FileError(str(path), "it cannot be read", "a search space in YAML") from None
    return space_of(content, str(path))


def space_of(content: Any, subject: str) -> Space:
    """Check a space that was read; `subject` names it in messages."""
    if not isinstance(content, dict) or not content:
        raise FileError(subject, "no search space", "settings, each with low and high or with choices")
    return {str(name).replace("-", "_"): _dimension(str(name), found, subject) for name, found in content.items()}


def _dimension(name: str, found: Any, subject: str) -> Range | Choices:
    flat, where = name.replace("-", "_"), f"{subject}: {name}"
    field = flat_fields().get(flat)
    if field is None:
        raise unknown(subject, flat, flat_fields(), listed_by=ALL_SETTINGS)
    if flat in FIXED or field.section in FIXED_SECTIONS:
        raise UsageError(where, "it cannot be searched", "settings of the network and its training")
    match found:
        case {"choices": list() as values} if len(values) > 1 and len(found) == 1:
            return Choices(tuple(tuple(value) if isinstance(value, list) else value for value in values))
        case {"low": int() | float() as low, "high": int() | float() as high} if set(found) <= RANGE_KEYS:
            log, step = found.get("log", False), found.get("step")
        case _:
            raise UsageError(where, f"{found} found", "low and high, with log: true or a step, or two choices or more")
    if not low < high or (log and low <= 0) or (step is not None and (log or not step > 0)):
        raise UsageError(where, f"{found} found", "low below high, above 0 with log, and no step with log")
    return Range(low, high, bool(log), step, whole=kinds_of_value(field) == {int})


def default_space(settings: Settings, flip: Literal["none", "alternate", "random"]) -> Space:
    """Choose a space around `settings`: learning rate, batch size, width, depth and augmentation.

    `flip` is what is right for these classes: "none" where a mirror changes what an image shows. Of pretrained weights
    the network stays as it is, and where part of it is frozen nothing is searched that would need it computed anew for
    every picture in every epoch.
    """
    tuned = settings.finetune
    rate, batch = settings.optimizer.lr, settings.training.batch_size
    space: dict[str, Range | Choices] = {
        "lr": Range(rate / RATE_FACTOR, rate * RATE_FACTOR, log=True),
        "batch_size": Choices(tuple(dict.fromkeys((max(8, batch // 2), batch, 2 * batch)))),
    }
    if tuned.pretrained is None:
        space |= _network(settings)
    else:
        space["label_smoothing"] = Range(0.0, max(MOST_SMOOTHING, settings.training.label_smoothing))
    if tuned.freeze == "front":
        space["trained_parts"] = Range(1, max(MOST_TRAINED_PARTS, tuned.trained_parts), whole=True)
    if tuned.freeze == "none":
        space["shift"] = Range(0, max(MOST_SHIFT, settings.augment.shift), whole=True)
        space["erase"] = Range(0.0, max(MOST_ERASE, settings.augment.erase))
    if flip != "none":
        space["flip"] = Choices(tuple(dict.fromkeys(("none", flip, settings.augment.flip))))
    return space


def _network(settings: Settings) -> dict[str, Range | Choices]:
    """Widths halved and doubled, depths a block less and more, by the network's family."""
    model = settings.model
    space: dict[str, Range | Choices] = {}
    if (blocks := getattr(model, "block_widths", None)) is not None:
        # A block may have the width of the one before, or twice that.
        space["block_widths"] = Choices((blocks, (*blocks, blocks[-1]), (*blocks, 2 * blocks[-1])))
    for name in ("conv_widths", "stage_widths"):
        if (widths := getattr(model, name, None)) is not None:
            space[name] = Choices(tuple(dict.fromkeys((_scaled(widths, 0.5), widths, _scaled(widths, 2)))))
    if (depths := getattr(model, "stage_depths", None)) is not None:
        fewer, more = (tuple(max(1, depth + change) for depth in depths) for change in (-1, 1))
        space["stage_depths"] = Choices(tuple(dict.fromkeys((fewer, depths, more))))
    if (convs := getattr(model, "stage_convs", None)) is not None:
        space["stage_convs"] = Range(1, convs + 1, whole=True)
    if (hidden := getattr(model, "hidden", None)) is not None and hidden > 0:
        space["hidden"] = Choices((hidden // 2, hidden, 2 * hidden))
    return space


def _scaled(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return tuple(max(1, round(width * factor)) for width in widths)
