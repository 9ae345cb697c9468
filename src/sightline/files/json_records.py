"""Records in JSON files: frozen dataclasses whose fields, in their order, are the keys.

`to_json` gives what a file holds, and `from_json` checks what was read from one against the types of the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sightline.errors import FileError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import TypeAdapter

T = TypeVar("T")

OMIT_NONE: Mapping[str, Any] = {"omit_none": True}
"""The metadata of a field that older files lack: it is None for them, and None is left out of the JSON."""


def to_json(record: DataclassInstance, kind: type[DataclassInstance] | None = None) -> dict[str, Any]:
    """Give a record as JSON has it: dictionaries with text as keys, lists, and plain values.

    `kind` is a base class of the record whose fields alone are taken; left out, all fields are.
    """
    values = {field: getattr(record, field.name) for field in fields(kind or record)}
    return {
        field.name: _plain(value)
        for field, value in values.items()
        if value is not None or not field.metadata.get("omit_none")
    }


def from_json(kind: type[T], content: Mapping[str, Any], path: Path, advice: str = "") -> T:
    """Make a record of what was read from `path`; keys that it does not have are ignored.

    Raises FileError, naming the key, where one is missing or a value is of another type. `advice` is a whole sentence.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key, message = ".".join(map(str, first["loc"])), first["msg"]
        missing = first["type"] == "missing"
        at = f"damaged at {key}" if key else "damaged"
        found = f"it has no {key}" if missing else f"{at} ({message[:1].lower()}{message[1:]})"
        raise FileError(str(path), found, "a file of this version of Sightline", advice) from None


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
