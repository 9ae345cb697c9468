"""How good a classifier's probabilities are: pure functions of labels and probabilities, or of the counts they give.

N images, K classes. `labels`: int64 (N,), 0 to K - 1. `probabilities`: float (N, K). The predicted class is the most
probable one, the first of equals; every figure here follows that one rule. 0/0 counts as 0. The functions raise
DataError where there is no image and NumericError where a probability is NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.errors import DataError, NumericError
from sightline.runs.records import ClassScores, ConfidenceBin, TestReport
from sightline.stats import wilson_interval

Labels = NDArray[np.int64]
Probabilities = NDArray[np.floating[Any]]
Figures = NDArray[np.float64]

# A float32 softmax underflows to 0, whose logarithm would make one image's loss infinite; the smallest normal float32
# caps it at 87.3 and leaves every other probability alone.
PROBABILITY_FLOOR = float(np.finfo(np.float32).tiny)
# As in arXiv 1706.04599; another number gives another calibration error.
BINS = 15


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """Measure the part of the images whose predicted class is their label, 0 to 1."""
    _check(labels, probabilities)
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def top_k_accuracy(labels: Labels, probabilities: Probabilities, k: int) -> float:
    """Measure the part of the images whose label is among the `k` >= 1 most probable classes, 0 to 1.

    Of equally probable classes the first comes first, so that k = 1 gives the accuracy. (scikit-learn's
    top_k_accuracy_score puts the last first.)
    """
    _check(labels, probabilities)
    assert k >= 1, f"top_k_accuracy: k is {k}"
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    first_of_equals = (probabilities == own) & (np.arange(probabilities.shape[1]) < labels[:, None])
    classes_before = ((probabilities > own) | first_of_equals).sum(axis=1)
    return float(np.mean(classes_before < k))


def negative_log_likelihood(labels: Labels, probabilities: Probabilities) -> float:
    """Measure the loss, the mean of -ln(probability of the label), in nats.

    A probability below PROBABILITY_FLOOR counts as the floor.
    """
    _check(labels, probabilities)
    own = np.take_along_axis(probabilities, labels[:, None], axis=1).astype(np.float64)
    return float(-np.log(np.maximum(own, PROBABILITY_FLOOR)).mean())


def brier_score(labels: Labels, probabilities: Probabilities) -> float:
    """Measure the squared error of the probabilities, 0 to 2, as Brier (1950) defined it for any number of classes.

    The mean over images of the sum over all classes of (probability - 1 for the label, 0 for the others) squared. For
    two classes that is twice the score of one class's probability alone, which other programs give.
    """
    _check(labels, probabilities)
    wrong = probabilities.astype(np.float64)
    wrong[np.arange(len(labels)), labels] -= 1
    return float(np.square(wrong).sum(axis=1).mean())


def confidence_bins(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> tuple[ConfidenceBin, ...]:
    """Sort the images by confidence into `bins` of equal width from 0 to 1, each closed above (arXiv 1706.04599)."""
    confidence, correct = _confidence_and_correctness(labels, probabilities)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, values, bins) for values in (confidence, correct))
    rows = zip(edges[:-1], edges[1:], counts, *sums, strict=True)
    return tuple(
        ConfidenceBin(float(low), float(high), int(n), float(sure / n) if n else None, float(right / n) if n else None)
        for low, high, n, sure, right in rows
    )


def calibration_errors(bins: Sequence[ConfidenceBin]) -> tuple[float, float]:
    """Give the expected and the maximum calibration error, 0 to 1 each (arXiv 1706.04599, section 2).

    They are the mean and the largest distance between confidence and accuracy over the bins that have images; in the
    mean a bin counts by its images.
    """
    gaps = [(b.n, abs(b.confidence - b.accuracy)) for b in bins if b.confidence is not None and b.accuracy is not None]
    total = sum(n for n, _ in gaps)
    return sum(n * gap for n, gap in gaps) / total, max(gap for _, gap in gaps)


def equal_mass_calibration_error(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Measure the expected calibration error, 0 to 1, with as many images in each bin as in the next, to one.

    Where most images have a confidence near 1, bins of equal width leave nearly all of them in one bin, in which
    images that are too sure and too unsure cancel out. Images of equal confidence are worth their mean correctness, so
    that their order makes no difference where a bin ends among them.
    """
    confidence, correct = _confidence_and_correctness(labels, probabilities)
    values, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    shared = np.bincount(place, correct) / counts
    gaps = np.repeat(values - shared, counts)
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(labels))


def confusion_matrix(labels: Labels, probabilities: Probabilities) -> NDArray[np.int64]:
    """Count how often each class was taken for each: int64 (K, K), rows are true classes, columns predicted ones."""
    _check(labels, probabilities)
    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(matrix: NDArray[np.int64]) -> tuple[Figures, Figures, Figures]:
    """Give each class's precision, recall and F1, three float64 (K,), 0 to 1, from a confusion matrix (K, K)."""
    correct = np.diagonal(matrix).astype(np.float64)
    true, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return _divide(correct, predicted), _divide(correct, true), _divide(2 * correct, true + predicted)


def macro_f1(matrix: NDArray[np.int64]) -> float:
    """Average F1 over the classes that are some image's label or prediction, 0 to 1, from a confusion matrix (K, K).

    A class that neither has images nor was ever predicted tells nothing and is left out, as scikit-learn leaves it out.
    """
    _, _, f1 = precision_recall_f1(matrix)
    occurs = (matrix.sum(axis=1) + matrix.sum(axis=0)) > 0
    return float(f1[occurs].mean())


def balanced_accuracy(matrix: NDArray[np.int64]) -> float:
    """Average recall over the classes that have images, 0 to 1, from a confusion matrix (K, K)."""
    _, recall, _ = precision_recall_f1(matrix)
    return float(recall[matrix.sum(axis=1) > 0].mean())


def compute(labels: Labels, probabilities: Probabilities, class_names: Sequence[str]) -> TestReport:
    """Compute every metric at once; `class_names` are the K names in the order of the columns."""
    assert len(class_names) == probabilities.shape[1], f"{len(class_names)} names, {probabilities.shape[1]} columns"
    matrix = confusion_matrix(labels, probabilities)
    top_k = max(1, min(5, len(class_names) - 1))
    bins = confidence_bins(labels, probabilities)
    ece, mce = calibration_errors(bins)
    rows = zip(class_names, *precision_recall_f1(matrix), matrix.sum(axis=1), strict=True)
    missing = tuple(name for name, images in zip(class_names, matrix.sum(axis=1), strict=True) if not images)
    return TestReport(
        accuracy=accuracy(labels, probabilities),
        interval=wilson_interval(int(np.trace(matrix)), len(labels)),
        n=len(labels),
        loss=negative_log_likelihood(labels, probabilities),
        top_k=top_k,
        top_k_accuracy=top_k_accuracy(labels, probabilities, top_k),
        macro_f1=macro_f1(matrix),
        balanced_accuracy=balanced_accuracy(matrix),
        ece=ece,
        ece_equal_mass=equal_mass_calibration_error(labels, probabilities),
        mce=mce,
        brier=brier_score(labels, probabilities),
        reliability=bins,
        per_class=tuple(ClassScores(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows),
        confusion_matrix=matrix.tolist(),
        missing_classes=missing or None,
    )


def _check(labels: Labels, probabilities: Probabilities) -> None:
    assert labels.ndim == 1 and probabilities.ndim == 2 and len(labels) == len(probabilities)
    if not len(labels):
        raise DataError("metrics", "there is no image", "at least one")
    assert labels.min() >= 0 and labels.max() < probabilities.shape[1], "a label has no column"
    if not np.isfinite(probabilities).all():
        raise NumericError("metrics", "a probability is NaN or infinite", "every one must be a finite number")


def _confidence_and_correctness(labels: Labels, probabilities: Probabilities) -> tuple[Figures, Figures]:
    """Give each image's top probability, and 1 where it is the label's, else 0: two float64 (N,)."""
    _check(labels, probabilities)
    correct = probabilities.argmax(axis=1) == labels
    return probabilities.max(axis=1).astype(np.float64), correct.astype(np.float64)


def _divide(numerator: Figures, denominator: NDArray[np.int64]) -> Figures:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
