"""What the results of a comparison or a study hold that a report is made of, checked when they are read.

Only what a report needs is named. A key that came with a later version than the oldest is optional, since a report is
made of what is there. Accuracies, intervals and errors are fractions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypeVar

from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

from sightline.files.json_records import from_json
from sightline.runs.tables import read_json

T = TypeVar("T")


class Side(TypedDict):
    """A side of a comparison."""

    name: str
    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None
    seeds: list[int]
    accuracies: list[float]
    length: str
    seconds_per_epoch: float | None
    train_seconds: float
    parameters: int | None
    macs: int | None
    latency_ms: float | None
    runs: dict[str, str]


class McNemar(TypedDict):
    """McNemar's exact test of a seed."""

    seed: int
    p_value: float


class Bootstrap(TypedDict):
    """An interval over the test images."""

    low: float
    high: float


class Pair(TypedDict):
    """A pair of sides and its verdict."""

    a: str
    b: str
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    adjusted_p_value: float | None
    outcome: str
    better: str | None
    worse: str | None
    gain: tuple[float, float] | None
    reason: str | None
    seeds_needed: int | None
    test: str | None
    counts: list[int]
    confidence: float
    mcnemar: list[McNemar]
    bootstrap: Bootstrap


class ComparisonResults(TypedDict):
    """A comparison's results.json."""

    test_images: int
    confidence: float
    looks: list[int]
    sides: list[Side]
    pairs: list[Pair]


class Trial(TypedDict):
    """A trial of a study."""

    number: int
    value: float | None
    params: dict[str, float | int | str | bool | None]
    state: str


class StudyResults(TypedDict):
    """A study's results.json."""

    data: str
    model: str
    trials: int
    complete: int
    pruned: int
    failed: int
    seconds: float
    best_trial: int
    changes: dict[str, Any]
    before: dict[str, Any]
    validation: float
    validation_before: float | None
    importance: dict[str, float]
    final: str | None
    budget: NotRequired[dict[str, Any]]
    all_trials: list[Trial]


def read(path: Path, kind: type[T], advice: str = "") -> T:
    """Read a JSON file of one of these kinds. Raises FileError where it is missing, damaged or of another version."""
    return from_json(kind, read_json(path), path, advice)
