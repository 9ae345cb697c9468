"""What a cross-validation comes to, as results.json and `--json` hold it, key by key.

Accuracies and probabilities are fractions, intervals (low, high), times seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sightline.files.json_records import to_json

IntervalKind = Literal["Wilson", "bootstrap over groups"]


@dataclass(frozen=True, kw_only=True)
class FoldRecord:
    """One fold: what its model, which never saw its pictures, made of them."""

    fold: int
    """Counted from 1."""
    images: int
    accuracy: float
    balanced_accuracy: float
    val_accuracy: float | None
    """The selected epoch's, on pictures of the other folds."""
    epochs: int
    train_seconds: float
    """Training and validation."""
    run: str
    """The run, relative to the cross-validation's folder."""


@dataclass(frozen=True, kw_only=True)
class AnswerRecord:
    """An answer: the picture, its label, the answer, and how probable the model of its fold took each for."""

    picture: str
    label: str
    answer: str
    confidence: float
    label_probability: float
    fold: int


@dataclass(frozen=True, kw_only=True)
class FoldsRecord:
    """A cross-validation's results."""

    data: str
    model: str
    seed: int
    images: int
    """The pictures that were parted into folds; each was answered once, by a model that never saw it."""
    groups: int | None
    """How many groups they make, none of them divided; None where each stands for itself."""
    accuracy: float
    """Of all these answers."""
    interval: tuple[float, float]
    """The 95 % interval of `accuracy`, for other pictures of the same source."""
    interval_kind: IntervalKind
    mean: float
    """The mean accuracy of the folds."""
    sd: float
    """Their sample standard deviation: how much folds differ, no error of the mean."""
    balanced_accuracy: float
    """Of all answers: the mean recall of the classes."""
    worst_class: str
    worst_class_recall: float
    classes: tuple[str, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    """A row for each true class, a column for each answer."""
    folds: tuple[FoldRecord, ...]
    mistakes: int
    """How many answers are wrong."""
    surest_mistakes: tuple[AnswerRecord, ...]
    """Those of them that were surest of themselves: wrong labels are among the first."""

    def to_dict(self) -> dict[str, Any]:
        """The results for JSON."""
        return to_json(self, FoldsRecord)
