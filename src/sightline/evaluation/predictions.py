"""A classifier over an image set: stored probabilities, and every figure from them.

Nothing here computes a network: whatever gives probabilities for pixels can be tested, and what was stored can be
tested again without it. N images, K classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.data.image_set import ImageSet
from sightline.errors import DataError, FileError, NumericError, UsageError
from sightline.evaluation import metrics
from sightline.files import arrays
from sightline.runs.folder import (
    CONFUSION_PICTURE,
    EXPLANATIONS,
    EXPLANATIONS_PICTURE,
    MISTAKES,
    MISTAKES_PICTURE,
    RELIABILITY_PICTURE,
    TestFolder,
)
from sightline.runs.records import TestReport

BATCH_SIZE = 1024
BLOWN_UP = "Train again with a lower --lr, with --clip-norm or --warmup-epochs, or with --precision fp32."
"""What to do where the outputs of a network are not finite."""
MISTAKES_KEPT = 24
ROUNDING = 1e-4
"""By how much the probabilities of the same answers may differ, on another device say."""
KIND = "predictions written by Sightline"
# Array -> its kind of values in NumPy's letters, and its number of axes.
ARRAYS = {"ids": ("U", 1), "labels": ("i", 1), "probabilities": ("f", 2), "class_names": ("U", 1)}
FOLDS = "folds"


class Predictor(Protocol):
    """Whatever tells the probability of each class: a Classifier, a network in training, an ONNX session."""

    @property
    def class_names(self) -> Sequence[str]:
        """The K classes in the order of the probabilities' columns."""
        ...

    def probabilities(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Give each class's probability, float32 (n, K), for images uint8 (n, H, W, C)."""
        ...


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier said of N images: `ids` N names, `labels` int64 (N,), `probabilities` float32 (N, K).

    `folds`: the fold of each image, int64 (N,), 1 to the number of folds, where each was answered by the model of
    its fold; None where one model answered all.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]
    folds: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        assert self.labels.dtype == np.int64 and self.probabilities.dtype == np.float32
        assert self.probabilities.shape == (len(self.labels), len(self.class_names))
        assert len(self.ids) == len(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def predicted(self) -> NDArray[np.int64]:
        """Give each image's most probable class, the first of equals, int64 (N,)."""
        return self.probabilities.argmax(axis=1)

    def metrics(self) -> TestReport:
        """Compute every metric of these predictions."""
        return metrics.compute(self.labels, self.probabilities, self.class_names)

    def save(self, path: Path) -> None:
        """Write the arrays to `path` as .npz, with the same bytes for the same predictions.

        Raises ResourceError where `path` cannot be written.
        """
        folds = {} if self.folds is None else {FOLDS: self.folds}
        arrays.save(
            path,
            **folds,
            ids=np.array(self.ids, np.str_),
            labels=self.labels,
            probabilities=self.probabilities,
            class_names=np.array(self.class_names, np.str_),
        )

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote. Raises FileError for a file that is missing, damaged, of another kind or a pickle."""
        TestFolder(path.parent).check(path.name)
        found = arrays.load(path, (*ARRAYS, FOLDS), KIND)
        folds = found.pop(FOLDS, None)
        wrong = _what_is_wrong(found)
        if wrong is None and folds is not None and (folds.dtype.kind != "i" or folds.shape != found["labels"].shape):
            wrong = f"its folds have type {folds.dtype} and shape {folds.shape}"
        if wrong:
            raise FileError(str(path), wrong, KIND)
        return cls(
            ids=tuple(found["ids"].tolist()),
            labels=found["labels"].astype(np.int64),
            probabilities=found["probabilities"].astype(np.float32),
            class_names=tuple(found["class_names"].tolist()),
            folds=None if folds is None else folds.astype(np.int64),
        )


@dataclass(frozen=True)
class AveragedViews:
    """Answers for an image with the mean of a predictor's answers for views of it: test-time augmentation.

    The views are the image itself, with `shift` also moved by a pixel up and left and down and right (pixels beyond
    the edge are reflected), each with `mirror` also mirrored left to right.
    """

    predictor: Predictor
    mirror: bool
    shift: bool

    @property
    def class_names(self) -> Sequence[str]:
        """Those of the predictor."""
        return self.predictor.class_names

    @property
    def count(self) -> int:
        """How many views of each image there are."""
        return (2 if self.mirror else 1) * (3 if self.shift else 1)

    def probabilities(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Mean probability of each class over the views, float32 (n, K), for images uint8 (n, H, W, C)."""
        _, height, width, _ = images.shape
        views = [images]
        if self.shift:
            padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
            views += [padded[:, at : at + height, at : at + width] for at in (0, 2)]
        if self.mirror:
            views += [view[:, :, ::-1] for view in views]
        found = np.stack([self.predictor.probabilities(np.ascontiguousarray(view)) for view in views])
        return found.mean(0)


@contextlib.contextmanager
def blamed_on(subject: str) -> Generator[None]:
    """Let a NumericError from within name the run or file whose network it is about."""
    try:
        yield
    except NumericError as error:
        raise NumericError(subject, error.found, error.expected, error.advice or BLOWN_UP) from error


def evaluate(predictor: Predictor, image_set: ImageSet, batch_size: int = BATCH_SIZE) -> Predictions:
    """Let `predictor` look at every image once, in order, `batch_size` at a time, so that no memory map is read whole.

    Raises DataError where there is no image or the classes differ, UsageError where the predictor has another number
    of outputs than classes, NumericError where a probability is NaN or infinite.
    """
    assert batch_size >= 1
    if not len(image_set):
        raise DataError("test images", "there is none", "at least one")
    names = tuple(image_set.class_names)
    _check_classes(tuple(predictor.class_names), names)
    probabilities = np.empty((len(image_set), len(names)), np.float32)
    for start in range(0, len(image_set), batch_size):
        images = image_set.images(start, start + batch_size)
        found = predictor.probabilities(images)
        if found.shape != (len(images), len(names)):
            raise UsageError(
                "model",
                f"gives an array of shape {found.shape} for {len(images)} images",
                f"({len(images)}, {len(names)}) with a column for each of the {len(names)} classes",
            )
        finite = np.isfinite(found).all(axis=1)
        if not finite.all():
            first = image_set.ids[start + int(np.argmin(finite))]
            found = f"the network gives NaN or infinite probabilities, first for {first}"
            raise NumericError("model", found, advice=BLOWN_UP)
        probabilities[start : start + len(images)] = found
    return Predictions(tuple(image_set.ids), image_set.labels.astype(np.int64), probabilities, names)


def report_of(predictions: Predictions, step: int | None = None, temperature: float = 1.0) -> TestReport:
    """Give what test/metrics.json holds.

    `step` is the training step whose weights answered, where it is known, `temperature` that of the probabilities,
    which is named where it is not 1. Raises DataError where there is no image.
    """
    return replace(predictions.metrics(), step=step, temperature=None if temperature == 1 else temperature)


def store_test(predictions: Predictions, folder: TestFolder, report: TestReport, images: ImageSet) -> None:
    """Write the predictions, the pictures, the worst mistakes and the report to `folder`.

    `images` are those that the predictions are of, in the same order. Raises ResourceError where the folder cannot be
    written.
    """
    from sightline.drawing import confusion, reliability

    with folder.rewriting():
        predictions.save(folder.predictions_path)
        matrix = np.array(report.confusion_matrix)
        confusion.draw(matrix, predictions.class_names, folder.path / CONFUSION_PICTURE)
        reliability.draw(report.reliability, report.ece or 0.0, folder.path / RELIABILITY_PICTURE)
        _store_mistakes(predictions, folder, images)
        folder.write(report)


def _store_mistakes(predictions: Predictions, folder: TestFolder, images: ImageSet) -> None:
    """Keep the pictures of the worst mistakes, by their rows in the predictions; none where there is no mistake."""
    from sightline.drawing import gallery

    rows = np.array(worst_mistakes(predictions, MISTAKES_KEPT), np.int64)
    if len(rows) == 0:
        folder.forget(MISTAKES, MISTAKES_PICTURE)
        return
    pixels = images.select(rows).images()
    arrays.save(folder.path / MISTAKES, rows=rows, pixels=pixels)
    gallery.draw(pixels, mistake_captions(predictions, rows), folder.path / MISTAKES_PICTURE)


def forget_explanations(folder: TestFolder) -> bool:
    """Remove maps of where a network looked, of other answers than those of now. Tells whether there were some."""
    known = (folder.path / EXPLANATIONS).is_file()
    folder.forget(EXPLANATIONS, EXPLANATIONS_PICTURE)
    return known


def answers_stay(predictions: Predictions, folder: TestFolder) -> bool:
    """Tell whether the predictions stored in `folder` are these, but for rounding."""
    try:
        stored = Predictions.load(folder.predictions_path)
    except FileError:
        return False
    same = stored.ids == predictions.ids and stored.class_names == predictions.class_names
    return (
        same
        and np.array_equal(stored.labels, predictions.labels)
        and np.array_equal(stored.predicted(), predictions.predicted())
        and np.allclose(stored.probabilities, predictions.probabilities, rtol=0, atol=ROUNDING)
    )


def mistake_captions(predictions: Predictions, rows: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Say of each image what it is, what was answered and with what confidence: two lines."""
    from sightline.drawing.words import spoken

    predicted, names, words = predictions.predicted(), predictions.class_names, spoken()
    captions: list[tuple[str, str]] = []
    for row in rows:
        label, answer = predictions.labels[row], predicted[row]
        confidence = f"{100 * predictions.probabilities[row, answer]:.1f}%"
        judged = words.right_answer if label == answer else words.not_answer
        captions.append((names[label], judged.format(answer=names[answer], confidence=confidence)))
    return captions


def worst_mistakes(predictions: Predictions, count: int) -> list[int]:
    """Find the `count` wrong predictions of the highest confidence: indices, the highest first, equals in order."""
    predicted = predictions.predicted()
    wrong = np.flatnonzero(predicted != predictions.labels)
    confidence = predictions.probabilities[wrong, predicted[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")][: max(0, count)].tolist()


def _check_classes(model: tuple[str, ...], data: tuple[str, ...]) -> None:
    if model == data:
        return
    differences = [
        f"{who} has {_listed(names)}"
        for who, names in (
            ("only the model", [name for name in model if name not in data]),
            ("only the data", [name for name in data if name not in model]),
        )
        if names
    ]
    raise DataError(
        "classes",
        "the data's differ from the model's",
        "; ".join(differences) or "the same classes in the same order",
        "Test with data of the same classes.",
    )


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _what_is_wrong(found: Mapping[str, NDArray[Any]]) -> str | None:
    """Say in a few words why these are not the arrays of predictions; None when they are."""
    missing = [name for name in ARRAYS if name not in found]
    if missing:
        return f"it has no {', '.join(missing)}"
    for name, (kind, axes) in ARRAYS.items():
        if found[name].dtype.kind != kind or found[name].ndim != axes:
            return f"its {name} have type {found[name].dtype} and {found[name].ndim} axes"
    labels, probabilities = found["labels"], found["probabilities"]
    if not len(found["ids"]) == len(labels) == len(probabilities):
        return f"it has {len(found['ids'])} ids, {len(labels)} labels and {len(probabilities)} rows of probabilities"
    classes = len(found["class_names"])
    if probabilities.shape[1] != classes:
        return f"it has {classes} class names and {probabilities.shape[1]} columns of probabilities"
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        return f"it has labels from {labels.min()} to {labels.max()} for {classes} classes"
    return None
