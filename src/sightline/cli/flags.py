"""Flags made from the settings models, so that no setting is declared twice.

A flag's value stays the text that was typed: the settings models check it, so that the command line, recipes and Python
share one check and one message.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, make_dataclass
from typing import Annotated, Any

import pydantic_core
from cyclopts import Group, Parameter
from pydantic import BaseModel

from sightline.errors import UsageError
from sightline.settings import MODEL_PRESETS, Settings, flat_fields
from sightline.settings.merge import DISCRIMINATORS, FlatField, flag_of, section_kinds
from sightline.settings.text import choices, kinds_of_value, value_of_text

# Two parts of a setting that a docstring cannot hold, since the field that chooses a section has one value in each.
CHOOSERS = {
    "model": "The network: a preset, a family, or timm/NAME for any timm classifier (extra timm).",
    "optimizer": "The optimizer.",
    "schedule": "How the learning rate changes.",
}
NUMBERED = re.compile(r"(.*?[a-z])(\d+)(v2)?")
# Named without a flag: sightline train DATA.
POSITIONAL = ("data",)
# Where the images are, and what a label file has in which column.
DATA = ("data_dir", "labels", "image_column", "label_column", "split_column", "group_column")
# Settings that most people set, which help shows first.
USUAL = (
    "labels", "image_size", "test_fraction", "group", "skip_bad", "augment", "model", "optimizer", "lr", "seed",
    "epochs", "time", "batch_size", "pretrained", "freeze", "device",
)  # fmt: skip
UNUSUAL = frozenset(flag_of(name) for name in flat_fields() if name not in USUAL)
SECTIONS = tuple(dict.fromkeys(field.section for field in flat_fields().values()))


def setting_flags(
    *, sections: Container[str] = (), names: Container[str] = (), leave_out: Container[str] = ()
) -> type[Any]:
    """Make a dataclass with a flag for each setting of `sections` or with one of `names`, None where not given.

    A setting of `leave_out` has none.
    """
    settings = [field for field in flat_fields().values() if field.section in sections or field.name in names]
    settings = [field for field in settings if field.name not in POSITIONAL and field.name not in leave_out]
    settings.sort(key=lambda field: (SECTIONS.index(field.section), field.name not in CHOOSERS))
    groups = {name: Group(_title(name), sort_key=10 + place) for place, name in enumerate(SECTIONS)}
    return _flags([(field, groups[field.section], _help(field)) for field in settings])


def model_flags(model: type[BaseModel], group: Group) -> type[Any]:
    """The same for every field of a model that is no section of a run's settings."""
    fields = [FlatField(name, "", {"": info}) for name, info in model.model_fields.items()]
    return _flags([(field, group, _with_default(_described(field), _shown(field.info.default))) for field in fields])


def typed(flags: Any) -> dict[str, Any]:
    """Give what was typed, by name: of a dataclass of flags what is not None. Settings are text."""
    return {name: value for name, value in asdict(flags).items() if value is not None}


def given(flags: Any) -> dict[str, Any]:
    """Give the settings that were typed, by flat name, ready for `resolve` and `build_settings`."""
    return {name: value_of_text(flat_fields()[name], value) for name, value in typed(flags).items()}


def leave_out(given: Mapping[str, Any], beside: str, why: str, advice: str = "Leave it out.") -> None:
    """Refuse the first flag of `given` that has a value: it cannot stand beside `beside`, since `why`. None is none."""
    for flag, value in given.items():
        if value is not None:
            raise UsageError(flag, f"it cannot be given with {beside}, since {why}", advice=advice)


def _flags(described: Sequence[tuple[FlatField, Group, str]]) -> type[Any]:
    fields = [(field.name, _annotation(field, group, about), None) for field, group, about in described]
    # cyclopts takes a class of module `types`, where make_dataclass would put it, for a built-in.
    made = make_dataclass("SettingFlags", fields, namespace={"__module__": __name__}, frozen=True)
    return Parameter(name="*")(made)


def _annotation(field: FlatField, group: Group, about: str) -> Any:
    is_switch = bool in kinds_of_value(field)
    parameter = Parameter(
        name=flag_of(field.name),
        help=about,
        group=group,
        metavar=None if is_switch else _metavar(field),
        show_default=False,
    )
    return Annotated[(bool if is_switch else str) | None, parameter]


def _title(section: str) -> str:
    first = next(iter(section_kinds(section).values()))
    return (first.__doc__ or section).split(":")[0].split("\n")[0].strip().rstrip(".")


def _metavar(field: FlatField) -> str:
    kinds = kinds_of_value(field) | {type(choice) for choice in choices(field)}
    if tuple in kinds:
        return "N,N,..."
    if float in kinds:
        return "X"
    if int in kinds:
        return "N"
    return "DIR" if field.name.endswith("_dir") else "NAME"


def _help(field: FlatField) -> str:
    if field.name in CHOOSERS:
        names = [kind.replace("_", "-") for kind in section_kinds(field.section) if kind != "timm"]
        known = dict.fromkeys([*MODEL_PRESETS, *names] if field.name == "model" else names)
        section = Settings.model_fields[field.section].get_default(call_default_factory=True)
        default = getattr(section, DISCRIMINATORS[field.section])
        return f"{CHOOSERS[field.name]} One of {', '.join(_in_short(known))}. [{default}]"
    text = _described(field)
    named = [str(choice) for choice in choices(field)]
    if not all(choice in text for choice in named):
        text += f" One of {', '.join(named)}."
    return _with_default(text, _default(field))


def _in_short(names: Iterable[str]) -> list[str]:
    """Join names that differ in a number alone, as in resnet18/34/50."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for name in names:
        match = NUMBERED.fullmatch(name)
        found.setdefault((match[1], match[3] or "") if match else (name, None), []).append(match[2] if match else "")
    return [f"{before}{'/'.join(_counted(numbers))}{after or ''}" for (before, after), numbers in found.items()]


def _counted(numbers: list[str]) -> list[str]:
    return sorted(numbers, key=lambda number: int(number or 0))


def _with_default(text: str, default: str) -> str:
    return f"{text} [{default}]" if default else text


def _described(field: FlatField) -> str:
    """The setting's docstring, or those of the kinds that have it where they differ."""
    groups: dict[str, list[str]] = {}
    for kind, info in field.kinds.items():
        groups.setdefault(" ".join((info.description or "").split()), []).append(kind.replace("_", "-"))
    groups.pop("", None)
    if len(groups) == 1:
        return next(iter(groups))
    return " ".join(f"{', '.join(kinds)}: {text}" for text, kinds in groups.items())


def _default(field: FlatField) -> str:
    """Name the default, or which kind of the section has which."""
    groups: dict[str, list[str]] = {}
    for kind, info in field.kinds.items():
        groups.setdefault(_shown(info.get_default(call_default_factory=True)), []).append(kind.replace("_", "-"))
    if len(groups) == 1 and len(field.kinds) == len(section_kinds(field.section)):
        return next(iter(groups))
    return "; ".join(f"{', '.join(kinds)}: {default}" for default, kinds in groups.items() if default)


def _shown(default: Any) -> str:
    match default:
        case None | pydantic_core.PydanticUndefined:
            return ""
        case bool():
            return "yes" if default else "no"
        case tuple():
            return ",".join(f"{item:g}" for item in default)
        case float():
            return f"{default:g}".replace("e-0", "e-")
        case _:
            return str(default)
