"""From defaults, a recipe and flags to one checked `Settings`, with messages that name the flag."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sightline.errors import FileError, UsageError, known_names, unknown
from sightline.files.reading import parse_yaml
from sightline.settings.data import DataSettings
from sightline.settings.model import MODEL_PRESETS, TIMM, preset_layout
from sightline.settings.run import Settings

LONGEST_REASON = 300
# What pydantic says of a wrong value, around the noun phrase that says what would be right.
SHOULD_BE = re.compile(r"(?:Input should be|\w+ should have) (.+?)(?:, (?:unable to|got a) .*| after validation.*)?")
# What lists every setting, and every network but timm's.
ALL_SETTINGS, ALL_NETWORKS = "sightline train --help-all", "--model in sightline train --help"
# A value as messages show it.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = LONGEST_REASON // 3
# What is no section and has no flag.
NOT_SECTIONS = {"recipe", "extended_from_step"}
# A section chosen by a name: the key that chooses.
DISCRIMINATORS = {"model": "family", "optimizer": "optimizer", "schedule": "schedule"}
# Settings whose flat name is another than the one in their section.
FLAT_NAMES = {("data", "name"): "data", ("model", "family"): "model", ("augment", "level"): "augment"}
NAMES_IN_SECTION = {flat: name for (_, name), flat in FLAT_NAMES.items()}


@dataclass(frozen=True)
class FlatField:
    """One setting under its flat name: its section and, for a chosen section, its field in each kind that has it."""

    name: str
    section: str
    kinds: Mapping[str, FieldInfo]

    @property
    def info(self) -> FieldInfo:
        """The field as its first kind declares it."""
        return next(iter(self.kinds.values()))


def network_names() -> set[str]:
    """The networks by name: presets, and families as they are typed, with hyphens; those of timm are not among them."""
    return {*MODEL_PRESETS, *(name.replace("_", "-") for name in section_kinds("model"))} - {"timm"}


def is_network(name: str) -> bool:
    """Tell whether `name` is a network's, as it may be typed; of timm's networks by its form alone."""
    return name.startswith(TIMM) or name.replace("_", "-") in network_names()


def section_kinds(section: str) -> dict[str, type[BaseModel]]:
    """The models a section can be, by the name that chooses them ("" where there is only one)."""
    annotation = Settings.model_fields[section].annotation
    if section not in DISCRIMINATORS:
        assert isinstance(annotation, type)
        return {"": annotation}
    kinds: dict[str, type[BaseModel]] = {}
    for candidate in _leaves(annotation):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            kinds[candidate.model_fields[DISCRIMINATORS[section]].default] = candidate
    return kinds


def _leaves(annotation: Any) -> list[Any]:
    arguments = [a for a in get_args(annotation) if not isinstance(a, FieldInfo)]
    return [leaf for a in arguments for leaf in _leaves(a)] if arguments else [annotation]


@cache
def flat_fields() -> Mapping[str, FlatField]:
    """Every setting by its flat name, in the order of the sections.

    `data`, `model` and `augment` are the flat names of the dataset, of the model's preset or family, and of the level
    of augmentation.
    """
    found: dict[str, FlatField] = {}
    for section in Settings.model_fields:
        if section in NOT_SECTIONS:
            continue
        for kind, model in section_kinds(section).items():
            for name, info in model.model_fields.items():
                flat = _flat_name(section, name)
                known = found.get(flat)
                assert known is None or known.section == section, f"{flat} stands in {section} and in {known.section}"
                kinds = {**(known.kinds if known else {}), kind: info}
                found[flat] = FlatField(flat, section, kinds)
    return found


def _flat_name(section: str, name: str) -> str:
    return FLAT_NAMES.get((section, name), name)


def build_settings(
    recipe: Mapping[str, Any] | None = None, flags: Mapping[str, Any] | None = None, *, recipe_name: str | None = None
) -> Settings:
    """Merge defaults < recipe < flags, then check the whole.

    `recipe` is nested by section; `flags` is flat (`{"lr": 0.1, "model": "resnet20"}`). None in it means not given; the
    word "none" unsets what may be unset. A flag that chooses another model, optimizer or schedule drops what the recipe
    said of the old one; one that names a level of augmentation drops what it said of augmentation. Between presets of
    one family only the layout changes (depths, widths, stem, version): how the recipe starts and normalises its network
    stays, so that `--model resnet56v2` is the recipe at another depth.

    Raises UsageError with one line that names the flag, the value and what is allowed.
    """
    merged: dict[str, Any] = {name: dict(values) for name, values in (recipe or {}).items()}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    fields = flat_fields()
    for name in given:
        if name not in fields:
            raise unknown(flag_of(name), name, fields, listed_by=ALL_SETTINGS)
    for section, key in DISCRIMINATORS.items():
        flat = _flat_name(section, key)
        if flat in given:
            chosen = given.pop(flat)
            _choose(merged, section, key, chosen)
    if "epochs" in given or "steps" in given:
        for unit in ("epochs", "steps"):
            merged.setdefault("training", {}).pop(unit, None)
    if "augment" in given:
        merged["augment"] = {}
    for name, value in given.items():
        section = fields[name].section
        key = NAMES_IN_SECTION.get(name, name)
        optional = fields[name].info.default is None or type(None) in get_args(fields[name].info.annotation)
        merged.setdefault(section, {})[key] = None if value == "none" and optional else value
    for section, key in DISCRIMINATORS.items():
        if section in merged and key not in merged[section]:
            default = Settings.model_fields[section].get_default(call_default_factory=True)
            merged[section][key] = getattr(default, key)
    try:
        return Settings.model_validate({**merged, "recipe": recipe_name})
    except ValidationError as error:
        raise one_line(error) from None


def build_data_settings(flags: Mapping[str, Any]) -> tuple[DataSettings | None, dict[str, Any]]:
    """The settings of the data that `flags` name, None where they name none, and those of them that are given."""
    data = flags.get("data")
    found = build_settings(None, {**flags, "data": None if data is None else str(data)}).data
    return None if data is None else found, {name: getattr(found, name) for name in found.model_fields_set}


def _choose(merged: dict[str, Any], section: str, key: str, chosen: Any) -> None:
    if section == "model" and chosen in MODEL_PRESETS:
        preset = MODEL_PRESETS[chosen]
        old = merged.get("model", {})
        if old.get("family") != preset["family"]:
            old = {}
        layout = preset_layout(preset["family"])
        merged["model"] = {name: value for name, value in old.items() if name not in layout} | dict(preset)
        return
    if section == "model" and str(chosen).startswith(TIMM):
        old = merged.get("model", {})
        kept = old if old.get("family") == "timm" else {}
        merged["model"] = {**kept, "family": "timm", "architecture": str(chosen).removeprefix(TIMM)}
        return
    kinds = section_kinds(section)
    if str(chosen).replace("-", "_") not in kinds or (section == "model" and chosen == "timm"):
        known, listed_by = (network_names(), ALL_NETWORKS) if section == "model" else (kinds, "")
        raise unknown(flag_of(_flat_name(section, key)), str(chosen), known, listed_by=listed_by)
    chosen = str(chosen).replace("-", "_")
    if merged.get(section, {}).get(key) != chosen:
        merged[section] = {key: chosen}


def flag_of(name: str) -> str:
    """The flag of a setting's flat name."""
    return f"--{name.replace('_', '-')}"


def one_line(error: ValidationError) -> UsageError:
    """The error for the first thing that a settings model refuses, by its flag."""
    first = error.errors(include_url=False)[0]
    section, *inner = [str(part) for part in first["loc"]] or ["settings"]
    if first["type"] == "value_error":
        return UsageError(section, first["msg"].removeprefix("Value error, "))
    kind = inner.pop(0) if section in DISCRIMINATORS and inner else ""
    flag = flag_of(_flat_name(section, inner[0]) if inner else section)
    if first["type"] == "extra_forbidden":
        owner = f"{section} '{kind}'" if kind else section if inner else "a run"
        own = section_kinds(section)[kind].model_fields if inner else Settings.model_fields
        names = [name for name in own if name != DISCRIMINATORS.get(section)]
        return UsageError(
            flag, f"{owner} has no such setting", *known_names(str(first["loc"][-1]), names, ALL_SETTINGS)
        )
    message = str(first["msg"])
    wanted = SHOULD_BE.fullmatch(message)
    if wanted is None:
        return UsageError(flag, message[0].lower() + message[1:])
    number = "a number " if wanted[1].startswith(("greater", "less")) else ""
    return UsageError(flag, f"{SHORT.repr(first['input'])} found", f"{number}{wanted[1]}")


def settings_to_yaml(settings: Settings) -> str:
    """The settings as YAML, every value written out, in the order of the sections."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def settings_from_yaml(text: str, subject: str) -> Settings:
    """Read what `settings_to_yaml` wrote. Raises FileError, naming `subject`, for anything else."""
    try:
        return Settings.model_validate(parse_yaml(text))
    except ValueError as error:  # of which ValidationError is one
        reason = one_line(error).line()[:LONGEST_REASON] if isinstance(error, ValidationError) else "not YAML"
        raise FileError(subject, f"it does not hold Sightline settings ({reason})") from None
