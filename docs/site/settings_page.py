"""The list of all settings for the page on them, from the settings models themselves."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from sightline.settings import MODEL_PRESETS, Settings, flat_fields
from sightline.settings.merge import DISCRIMINATORS, FlatField, section_kinds

BOUNDS = {"ge": "{} or more", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
# What chooses the kind of a section.
CHOOSERS = {
    "model": "The network: a preset, a family, `timm/NAME`, or your own `torch.nn.Module`.",
    "optimizer": "The optimizer. It decides which of the settings below there are.",
    "schedule": "How the learning rate changes. It decides which of the settings below there are.",
}


def listed() -> str:
    """Every setting under a heading of its own, by section, as Markdown."""
    parts: list[str] = []
    for section in dict.fromkeys(field.section for field in flat_fields().values()):
        fields = [field for field in flat_fields().values() if field.section == section]
        fields.sort(key=lambda field: field.name not in CHOOSERS)
        first = next(iter(section_kinds(section).values()))
        parts.append(f"## {(first.__doc__ or section).split(':')[0].splitlines()[0].strip('.')}")
        parts += [_entry(field) for field in fields]
    return "\n\n".join(parts)


def _entry(field: FlatField) -> str:
    """A setting's keyword, meaning, values and default; where kinds of the section differ, which has what."""
    if field.name in CHOOSERS:
        default = getattr(Settings.model_fields[field.section].get_default(call_default_factory=True), _key(field))
        values = f"one of {_named(MODEL_PRESETS if field.name == 'model' else field.kinds)}"
        return f"### `{field.name}`\n\n{CHOOSERS[field.name]}\n\n- Values: {values}\n- Default: `{default}`"
    meaning = _by_kind(field, lambda info: " ".join((info.description or "").split()), "{kinds}: {text}", "\n\n")
    values = _by_kind(field, lambda info: _words(info.annotation, _bounds(info.metadata)))
    default = _by_kind(field, _default)
    if len(field.kinds) < len(section_kinds(field.section)):
        default += f"\n- Only in: {', '.join(kind.replace('_', '-') for kind in field.kinds)}"
    return f"### `{field.name}`\n\n{meaning}\n\n- Values: {values}\n- Default: {default}"


def _key(field: FlatField) -> str:
    return DISCRIMINATORS[field.section]


def _by_kind(
    field: FlatField, told: Callable[[FieldInfo], str], form: str = "{text} ({kinds})", between: str = "; "
) -> str:
    """What is told of a setting: once where all its kinds agree, else with the kinds."""
    groups: dict[str, list[str]] = {}
    for kind, info in field.kinds.items():
        groups.setdefault(told(info), []).append(kind.replace("_", "-"))
    if len(groups) == 1:
        return next(iter(groups))
    return between.join(form.format(text=text, kinds=", ".join(kinds)) for text, kinds in groups.items())


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "none, it must be given"
    return f"`{info.get_default(call_default_factory=True)!r}`"


def _words(kind: Any, bounds: str = "") -> str:
    """A type in words: `int, 1 or more`, or the values that are allowed."""
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        return _words(arguments[0], _bounds(arguments[1:]))
    if get_origin(kind) in (Union, UnionType):
        return ", or ".join(_words(part) for part in arguments)
    if get_origin(kind) is Literal:
        return _named(arguments)
    if get_origin(kind) is tuple:
        count = "a sequence of" if arguments[-1] is Ellipsis else f"{len(arguments)} values of"
        return f"{count} {_words(arguments[0])}"
    name = "`None`" if kind is NoneType else f"`{kind.__name__}`"
    return f"{name} {bounds}" if bounds else name


def _named(values: Any) -> str:
    return ", ".join(f"`{value!r}`" for value in values)


def _bounds(metadata: Any) -> str:
    """The bounds of a number, from its constraints; a `Field` holds its own."""
    found = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return " and ".join(
        form.format(getattr(item, name)) for name, form in BOUNDS.items() for item in found if hasattr(item, name)
    )
