"""The sides of a comparison: recipes or networks, with changes, on the same images and for the same length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightline.errors import UsageError, unknown
from sightline.recipes import recipe_names, resolve
from sightline.settings import Settings, flat_fields
from sightline.settings.merge import ALL_NETWORKS, ALL_SETTINGS, flag_of, is_network, network_names
from sightline.settings.text import value_of_text

FORM = "a recipe, a network or a recipe's file, changed as in mnist-cnn:lr=0.05,batch_size=256"
SHARED = (
    "data", "data_dir", "labels", "image_column", "label_column", "split_column", "group_column", "validation",
    "test_fraction", "fold", "train_images", "split_seed", "group", "near_duplicates", "skip_bad", "synthetic_classes",
    "synthetic_count",
)  # fmt: skip
"""Settings that decide which images train, select and test: all sides have those of the first."""
LENGTHS = ("epochs", "steps")
_TEXT = re.compile(r"(?P<what>.+?)(?::(?P<changes>[A-Za-z][\w-]*=.*))?", re.DOTALL)
_BETWEEN_CHANGES = re.compile(r",(?=[A-Za-z][\w-]*=)")


@dataclass(frozen=True)
class Side:
    """What is compared: a name, and the settings of its runs, whose seed each run replaces."""

    name: str
    settings: Settings


@dataclass(frozen=True)
class _SideRequest:
    """A side as it was asked for: a recipe or a network, and changes by flat name."""

    text: str
    recipe: str | None
    changes: Mapping[str, Any]

    @property
    def has_own_length(self) -> bool:
        """Whether its changes say how long it trains."""
        return any(unit in self.changes for unit in LENGTHS)

    def settings(self, data: str | None, flags: Mapping[str, Any]) -> Settings:
        """Defaults < recipe < flags < the side's own changes; of two lengths, in whatever unit, its own."""
        common = {name: value for name, value in flags.items() if not (self.has_own_length and name in LENGTHS)}
        try:
            return resolve(data, self.recipe, {**common, **self.changes})
        except UsageError as error:
            raise UsageError(f"{self.text}: {error.subject}", error.found, error.expected, error.advice) from None


def build_sides(
    texts: Sequence[str], data: str | None, flags: Mapping[str, Any], *, lengths: Literal["one", "own", "paced"] = "one"
) -> tuple[list[Side], list[str]]:
    """Make sides of what was asked for, and say what was made the same.

    `data` replaces the recipes' datasets; `flags` are settings of all sides by flat name. Of `lengths`, "one" lets all
    train for as many epochs or steps, unless a side's own changes name another number; "own" leaves each recipe its
    own; "paced" is for lengths that are measured later, so that no side may name one. Raises UsageError for an unknown
    name or setting, fewer than two sides, equal ones, and different datasets or lengths.
    """
    requests = [_parse(text) for text in texts]
    if len(requests) < 2:
        raise UsageError("SIDE", f"{len(requests)} found", f"two or more, each {FORM}")
    for name in ("seed", "watch_test"):
        if name in flags:
            raise UsageError(
                flag_of(name),
                "it cannot be given to a comparison, which trains several seeds and selects on validation images",
            )
    data = data or _dataset(requests, flags)
    built = [side.settings(data, flags) for side in requests]
    notes: list[str] = []
    built = _same_images(requests, built, notes)
    if lengths == "one":
        _check_lengths(requests, built)
    elif lengths == "paced" and (odd := next((side for side in requests if side.has_own_length), None)):
        raise UsageError("--seconds", f"{odd.text} has its own length", "one length", "Leave one of them out.")
    sides = [Side(side.text, settings) for side, settings in zip(requests, built, strict=True)]
    for index, side in enumerate(sides):
        for other in sides[:index]:
            if _do_the_same(side.settings, other.settings):
                raise UsageError(side.name, f"it does the same as {other.name}", "different contestants")
    return sides, notes


def have_the_same_images(one: Settings, other: Settings) -> bool:
    """Tell whether two settings name the same images for the same parts, wherever they lie."""
    names = [name for name in SHARED if name not in ("data", "data_dir")]
    return one.data.name == other.data.name and all(getattr(one.data, n) == getattr(other.data, n) for n in names)


def _do_the_same(one: Settings, other: Settings) -> bool:
    """Tell whether two settings do the same, by whatever name."""
    return one.replace(recipe=None) == other.replace(recipe=None)


def _parse(text: str) -> _SideRequest:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError("SIDE", f"'{text}' found", FORM)
    what, changes = match["what"], _changes(text, match["changes"])
    if what in recipe_names() or what.endswith((".yaml", ".yml")):
        return _SideRequest(text, what, changes)
    if is_network(what):
        return _SideRequest(text, None, {"model": what, **changes})
    if Path(what).is_dir():
        raise UsageError(
            text,
            "it is a folder, but other contestants are still to be trained",
            advice="Give only finished runs, or none.",
        )
    listed_by = f"sightline recipes, or {ALL_NETWORKS},"
    error = unknown("SIDE", what, {*recipe_names(), *network_names()}, listed_by=listed_by)
    raise UsageError(error.subject, error.found, FORM, error.advice)


def _changes(side: str, text: str | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for part in _BETWEEN_CHANGES.split(text) if text else ():
        name, _, value = part.partition("=")
        name = name.replace("-", "_")
        if name not in flat_fields():
            error = unknown(side, name, flat_fields(), listed_by=ALL_SETTINGS)
            raise UsageError(side, f"'{name}' is not a setting", error.expected, error.advice)
        if name in SHARED:
            raise UsageError(side, f"it changes {name}, which all contestants share", advice=f"Use {flag_of(name)}.")
        if name in ("seed", "watch_test"):
            advice = "Use --seeds." if name == "seed" else ""
            raise UsageError(side, f"it changes {name}, which a comparison sets itself", advice=advice)
        changes[name] = value_of_text(flat_fields()[name], value)
    return changes


def _dataset(requests: Sequence[_SideRequest], flags: Mapping[str, Any]) -> str:
    """Find the one dataset of the sides' recipes; digits where no side has one."""
    named = {side.text: side.settings(None, flags).data.name for side in requests if side.recipe is not None}
    if len(set(named.values())) > 1:
        told = ", ".join(f"{name} is for {dataset}" for name, dataset in named.items())
        raise UsageError("--data", told, "one dataset for all contestants", "Name it with --data.")
    return next(iter(named.values()), "digits")


def _same_images(requests: Sequence[_SideRequest], built: Sequence[Settings], notes: list[str]) -> list[Settings]:
    """Give all sides the first one's split; no side looks at the test images while it trains."""
    first = built[0].data
    same = {name: getattr(first, name) for name in SHARED if name != "data"}
    settled: list[Settings] = []
    for request, settings in zip(requests, built, strict=True):
        differing = [name for name, value in same.items() if getattr(settings.data, name) != value]
        changes = [
            f"{name} {getattr(settings.data, name):g} -> {same[name]:g}" for name in differing if name == "validation"
        ]
        changes += [f"{name} as {requests[0].text} has it" for name in differing if name != "validation"]
        if settings.training.watch_test:
            changes.append("watch_test off: validation images are held out")
        if changes:
            notes.append(f"{request.text}: {', '.join(changes)}, so that all contestants use the same images")
        settled.append(settings.replace(**same, watch_test=False))
    return settled


def _check_lengths(requests: Sequence[_SideRequest], built: Sequence[Settings]) -> None:
    lengths = {
        side.text: length(settings) for side, settings in zip(requests, built, strict=True) if not side.has_own_length
    }
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {text}" for name, text in lengths.items())
        raise UsageError(
            "--epochs", f"the contestants train for different lengths ({found})", "one length for all",
            "Pass --epochs N, --steps N or --seconds X, or --own-lengths to compare the recipes as they are.",
        )  # fmt: skip


def length(settings: Settings) -> str:
    """Say how long a run is: `6 epochs`, `20,000 steps`."""
    training = settings.training
    count, unit = (training.epochs, "epoch") if training.steps is None else (training.steps, "step")
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
