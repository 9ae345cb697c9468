"""What a study comes to, as results.json and `--json` hold it, key by key. Accuracies are fractions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline.files.json_records import OMIT_NONE, to_json


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What was asked for: the end of the search, None for no such end, and the seeds of the comparison after it."""

    trials: int | None
    seconds: float | None
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial that ended. `params` are what the study keeps of its settings: numbers, and choices as text."""

    number: int
    value: float | None
    """Its validation accuracy, as far as a pruned trial came; None for one that failed."""
    params: Mapping[str, float | int | str | bool | None]
    state: str
    """One of "complete", "pruned" and "fail"."""


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study's results. Settings go by their flat names."""

    study: str
    """The study's name in its storage."""
    data: str
    model: str
    trials: int
    """The number of trials that ended: those that are complete, were pruned, or failed."""
    complete: int
    pruned: int
    failed: int
    seconds: float
    """The time that all trials took."""
    best_trial: int
    changes: Mapping[str, Any]
    """The winner's settings that differ from where the search began."""
    before: Mapping[str, Any]
    """The values of the same settings where the search began."""
    validation: float
    """The winner's validation accuracy in its trial, which flatters it."""
    validation_before: float | None
    """That of the settings where the search began, where they are in the space."""
    importance: Mapping[str, float]
    """How much of the difference between trials each setting explains, adding up to 1; empty below 4 trials."""
    final: str | None
    """The comparison at the end, relative to the study's folder, where one was made."""
    budget: Budget | None = field(default=None, metadata=OMIT_NONE)
    """None for a study of the first versions."""
    all_trials: tuple[TrialRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """The results for JSON."""
        return to_json(self, StudyRecord)
