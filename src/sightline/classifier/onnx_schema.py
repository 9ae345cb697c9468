"""The part of onnx.proto that tells what a file refers to, and a strict reader of it.

A protobuf library merges or drops what is sent twice, each by rules of its own, so that a check could see another file
than ONNX Runtime does. Here whatever ONNX Runtime may see is seen or refused: a field that stands once but is there
twice, a number in more bytes than it needs, a field of another kind than the schema's, groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

# Message -> field -> its number and its kind: * for many, lower case for int, string and bytes. A message that must not
# be there is *bytes, whatever it is in ONNX, so that even an empty one is found; fields that are not named stay unread.
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Model": {
        "graph": (7, "Graph"),
        "opset_import": (8, "*Opset"),
        "metadata_props": (14, "*Entry"),
        "training_info": (20, "*bytes"),
        "functions": (25, "*bytes"),
    },
    "Opset": {"domain": (1, "string")},
    "Entry": {"key": (1, "string"), "value": (2, "string")},
    "Graph": {
        "node": (1, "*Node"),
        "initializer": (5, "*Tensor"),
        "input": (11, "*Value"),
        "output": (12, "*Value"),
        "sparse_initializer": (15, "*bytes"),
    },
    "Node": {"op_type": (4, "string"), "attribute": (5, "*Attribute"), "domain": (7, "string")},
    "Attribute": {
        "tensor": (5, "Tensor"),
        "graph": (6, "*bytes"),
        "tensors": (10, "*Tensor"),
        "graphs": (11, "*bytes"),
        "sparse_tensor": (22, "*bytes"),
        "sparse_tensors": (23, "*bytes"),
    },
    "Tensor": {"external_data": (13, "*bytes"), "data_location": (14, "int")},
    "Value": {"name": (1, "string"), "type": (2, "Type")},
    # Of these, as of a Dim's two fields, the last one counts for ONNX Runtime.
    "Type": {
        "tensor_type": (1, "TensorType"),
        "sequence_type": (4, "*bytes"),
        "map_type": (5, "*bytes"),
        "opaque_type": (7, "*bytes"),
        "sparse_tensor_type": (8, "*bytes"),
        "optional_type": (9, "*bytes"),
    },
    "TensorType": {"elem_type": (1, "int"), "shape": (2, "Shape")},
    "Shape": {"dim": (1, "*Dim")},
    "Dim": {"dim_value": (1, "int"), "dim_param": (2, "*bytes")},
}
# How a field's value is written: a number, bytes behind their length, or four or eight bytes.
NUMBER, LENGTH = 0, 2
FIXED = {1: 8, 5: 4}


def read_model(content: bytes) -> Any:
    """Read a model as far as SCHEMA goes, into an object with a list where there may be many.

    What is not there is an empty message, an empty string, or None for an int. Raises ValueError, which says why, for
    what is no model, and for one that is written in another way than any writer does.
    """
    return _read("Model", memoryview(content))


def around_entry(content: bytes, key: str) -> tuple[memoryview, memoryview]:
    """What stands before and after the metadata entry of this key; all and nothing where there is none.

    Raises ValueError as `read_model` does.
    """
    whole = memoryview(content)
    number, _ = SCHEMA["Model"]["metadata_props"]
    start = 0
    for found, _, value, end in _fields(whole):
        if found == number and _read("Entry", value).key == key:
            return whole[:start], whole[end:]
        start = end
    return whole, whole[:0]


def _read(message: str, content: memoryview) -> Any:
    known = {number: (name, kind) for name, (number, kind) in SCHEMA[message].items()}
    found: dict[str, list[Any]] = {name: [] for name in SCHEMA[message]}
    for number, written, value, _ in _fields(content):
        if number in known:
            name, kind = known[number]
            if written != (NUMBER if kind == "int" else LENGTH) or (found[name] and not kind.startswith("*")):
                raise ValueError(f"{message}.{name} is there twice or has another type")
            found[name].append(_value(kind.removeprefix("*"), value))
    return SimpleNamespace(
        **{
            name: values if kind.startswith("*") else values[0] if values else _nothing(kind)
            for (name, values), (_, kind) in zip(found.items(), SCHEMA[message].values(), strict=True)
        }
    )


def _value(kind: str, value: Any) -> Any:
    if kind in SCHEMA:
        return _read(kind, value)
    return str(value, "utf-8") if kind == "string" else value


def _nothing(kind: str) -> Any:
    return None if kind == "int" else _value(kind, memoryview(b""))


def _fields(content: memoryview) -> Iterator[tuple[int, int, Any, int]]:
    """Give each field's number, how it is written, its value (an int, or the bytes), and where it ends."""
    place = 0
    while place < len(content):
        tag, place = _number(content, place, 32)
        number, written = tag >> 3, tag & 7
        if number == 0 or written not in (NUMBER, LENGTH, *FIXED):
            raise ValueError("it has a field of an unknown type")
        if written == NUMBER:
            value, place = _number(content, place, 64)
        else:
            length, place = _number(content, place, 31) if written == LENGTH else (FIXED[written], place)
            value, place = content[place : place + length], place + length
        if place > len(content):
            raise ValueError("it ends inside a field")
        yield number, written, value, place


def _number(content: memoryview, place: int, bits: int) -> tuple[int, int]:
    """Give the number that begins at `place`, seven bits a byte, and where it ends."""
    number = shift = 0
    while place < len(content) and shift < bits:
        byte = content[place]
        number, place, shift = number | (byte & 127) << shift, place + 1, shift + 7
        if byte < 128:
            if number >> bits or (byte == 0 and shift > 7):
                raise ValueError("it has a number in more bytes than it needs")
            return number, place
    raise ValueError("it ends inside a number")
