"""What the files of a run hold that a report is made of, checked when they are read.

Only what a report needs is named. A key that came with a later version than the oldest is optional, since a report is
made of what is there. Accuracies, intervals and errors are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

from sightline.errors import FileError
from sightline.runs.folder import read_json

T = TypeVar("T")


class Bin(TypedDict):
    """A bin of a reliability diagram."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class ClassFigures(TypedDict):
    """A class in metrics.json."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Metrics(TypedDict):
    """test/metrics.json."""

    accuracy: float
    interval: tuple[float, float]
    n: int
    loss: float
    top_k: int
    top_k_accuracy: float
    macro_f1: float
    balanced_accuracy: float
    per_class: list[ClassFigures]
    confusion_matrix: list[list[int]]
    ece: NotRequired[float]
    mce: NotRequired[float]
    brier: NotRequired[float]
    reliability: NotRequired[list[Bin]]
    temperature: NotRequired[float]
    step: NotRequired[int | None]


class Part(TypedDict):
    """A part of the images in splits.json; `size` is (H, W, C)."""

    images: int
    size: tuple[int, int, int]
    class_counts: list[int]
    ids_sha256: str
    content_sha256: str


class Splits(TypedDict):
    """splits.json."""

    classes: list[str]
    parts: dict[str, Part]


class Copies(TypedDict):
    """Exact duplicates inside a part."""

    images: int
    other_label: int


class Named(TypedDict):
    """A pair of equal images."""

    parts: tuple[str, str]


class Across(TypedDict):
    """Exact duplicates across parts."""

    pairs: int
    other_label: int
    with_test: NotRequired[int]
    named: list[Named]


class Duplicates(TypedDict):
    """Exact duplicates."""

    inside: dict[str, Copies]
    across: Across


class Audit(TypedDict):
    """audit.json."""

    imbalance: float | None
    skipped: dict[str, Any]
    duplicates: Duplicates


class NetworkPart(TypedDict):
    """A part of a network; `output` (1, C, H, W) or (1, F), None where it runs in training only."""

    name: str
    type: str
    output: list[int] | None
    parameters: int
    macs: int


class Network(TypedDict):
    """network.json."""

    name: str
    input: tuple[int, int, int, int]
    parts: list[NetworkPart]
    parameters: int
    macs: int | None


class Environment(TypedDict):
    """environment.json."""

    sightline: NotRequired[str]
    python: NotRequired[str]
    torch: NotRequired[str]
    numpy: NotRequired[str]
    pillow: NotRequired[str]
    system: NotRequired[str]
    processor: NotRequired[str | None]
    threads: NotRequired[int | None]
    gpu: NotRequired[str | None]
    precision: NotRequired[str]


class Pretrained(TypedDict):
    """pretrained.json, of which only the weights' origin is needed."""

    file: str
    sha256: str


def read(path: Path, kind: type[T], advice: str = "") -> T:
    """Read a JSON file of one of these kinds. Raises FileError where it is missing, damaged or of another version."""
    return checked(read_json(path), kind, path, advice)


def checked(content: Mapping[str, Any], kind: type[T], path: Path, advice: str = "") -> T:
    """Check what was read from `path`. Raises FileError, naming the key, where it is of another kind."""
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        missing = first["type"] == "missing"
        found = (
            f"it has no {where}" if missing else f"damaged at {where} ({first['msg'][:1].lower()}{first['msg'][1:]})"
        )
        raise FileError(str(path), found, "what this version of Sightline writes", advice) from None
