"""Settings as text: what is typed on the command line or in the name of a comparison's side, read and written."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from sightline.settings.merge import FlatField


def value_of_text(field: FlatField, value: str | bool) -> Any:
    """Give what was typed for a setting as its model takes it: lists parted, choices as they are spelled there."""
    if isinstance(value, bool):
        return value
    if tuple in kinds_of_value(field):
        return [part.strip() for part in value.split(",") if part.strip()]
    for choice in choices(field):
        if value.replace("-", "_") == str(choice):
            return choice
    return value


def text(value: Any) -> str:
    """Write a value as on the command line: `16,32`, `none`, `0.1`."""
    if isinstance(value, list | tuple):
        return ",".join(text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value).lower()


def kinds_of_value(field: FlatField) -> set[Any]:
    """Give the types that a setting can have, in whatever kind of its section."""
    return {get_origin(leaf) or leaf for info in field.kinds.values() for leaf in _alternatives(info.annotation)}


def choices(field: FlatField) -> tuple[Any, ...]:
    """Give the values that a setting can have, where they are few and have names."""
    leaves = [leaf for info in field.kinds.values() for leaf in _alternatives(info.annotation)]
    return tuple(dict.fromkeys(c for leaf in leaves if get_origin(leaf) is Literal for c in get_args(leaf)))


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [leaf for part in get_args(annotation) for leaf in _alternatives(part)]
    return [] if annotation is type(None) else [annotation]
