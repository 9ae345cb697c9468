"""Testing a finished model: on its run's own test images, or on any dataset or folder with the same classes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline import data as data_room
from sightline.classifier import Classifier, load
from sightline.classifier.images import images_to_test
from sightline.data.layout import some
from sightline.data.readers import READERS
from sightline.errors import UsageError
from sightline.evaluation.predictions import (
    AveragedViews,
    Predictions,
    answers_stay,
    blamed_on,
    evaluate,
    forget_explanations,
    mistake_captions,
    report_of,
    store_test,
    worst_mistakes,
)
from sightline.files import arrays
from sightline.files.json_records import to_json
from sightline.runs.folder import EXPLANATIONS, EXPLANATIONS_PICTURE, RunFolder, TestFolder
from sightline.runs.records import AveragedAccuracy, ClassScores, TestReport
from sightline.settings import DataSettings, build_data_settings, data_name

if TYPE_CHECKING:
    from torch import nn

    from sightline.data import ImageSet


@dataclass(frozen=True)
class TestResult:
    """The result of a test. `report` has the content of metrics.json.

    `folder` has the files, and is None if none were written. `images` is the number of test images, of which the first
    `n` were tested. `notes` describe where data other than the run's own were found, what was left out of them, and
    which classes have no test image.
    """

    __test__ = False

    report: TestReport
    predictions: Predictions
    folder: Path | None
    images: int
    notes: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Fraction of the images that were classified correctly."""
        return self.report.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % Wilson interval."""
        return self.report.interval

    @property
    def n(self) -> int:
        """Number of tested images."""
        return self.report.n

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood, in nats."""
        return self.report.loss

    @property
    def per_class(self) -> tuple[ClassScores, ...]:
        """Each class's name, precision, recall, F1 and number of images."""
        return self.report.per_class

    @property
    def confusion_matrix(self) -> list[list[int]]:
        """K rows of true classes, K columns of predicted ones."""
        return self.report.confusion_matrix

    @property
    def tta(self) -> AveragedAccuracy | None:
        """Accuracy and interval with test-time augmentation, and its number of variants; None without it."""
        return self.report.tta

    @property
    def files(self) -> list[Path]:
        """The written files: metrics, predictions and pictures."""
        return [] if self.folder is None else TestFolder(self.folder).files()

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON, with the notes if there are some."""
        return {**to_json(self.report), **({"notes": list(self.notes)} if self.notes else {})}


def test(
    path: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    steps: int | None = None,
    tta: bool = False,
    explain: int | None = None,
    module: nn.Module | None = None,
    device: str = "auto",
    **settings: Any,
) -> TestResult:
    """Test a run or a model file in float32, on its own test images or on other data with the same classes, or fewer.

    A run's own test images must be unchanged since training. Files go to `out`, or to the run's test/ folder. For other
    data, which `data` in the report names, they go to test-NAME/, or to test-NAME-002/ and so on if another folder with
    that name was tested. `steps` tests only the first batches, of the run's batch size; then a full test in the run's
    folder stays, and files are written only to `out`. `tta` (test-time augmentation) also averages the predictions over
    variants of each image, shifted or mirrored like the training images; `tta` of the result has its accuracy, and
    everything else is without it. The report of a calibrated model has its `temperature`. `explain` stores Grad-CAM
    maps of that many of the worst mistakes, or of the least certain predictions if there are no mistakes (needs the
    extra `explain`); earlier maps stay as long as the predictions do. `settings`: data settings by name, e.g.
    `data_dir`, `skip_bad`.

    Raises DataError if there are no test images, if the model lacks one of their classes, or if a run's own images have
    changed; UsageError for a model file without data, or with `steps` or `tta`, for `tta` if the run neither shifted
    nor mirrored, and for `explain` if no files are written; FileError for anything but a run or a model file.
    """
    path, folder = Path(path), None if out is None else TestFolder(Path(out))
    named, changes = build_data_settings({**settings, "data": data})
    run = RunFolder.open(path) if path.is_dir() else None
    if explain is not None and explain < 1:
        raise UsageError("--explain", f"{explain} found", "1 or more")
    if out is None and run is not None and steps is None:
        folder = run.test_folder if named is None else _folder_for(run, named)
    if explain is not None and folder is None:
        raise UsageError("--explain", "there is no folder for what it draws", advice="Add --out DIR.")
    classifier = load(path, module=module, device=device)
    limit = None if steps is None else _limit(path, run, steps)
    views = _views(path, run, classifier) if tta else None
    notes: list[str] = []
    images = images_to_test(path, run, classifier, named, changes, notes.append)
    step = run.tested_step() if run is not None else None
    total = len(images)
    if limit is not None:
        images = images.select(np.arange(min(limit, total)))
    with blamed_on(str(path)):
        predictions = evaluate(classifier, images)
    report = report_of(predictions, step, classifier.temperature)
    notes += _missing(report)
    if named is not None:
        report = replace(report, data=_source(named))
    if views is not None:
        averaged = evaluate(views, images).metrics()
        report = replace(report, tta=AveragedAccuracy(views.count, averaged.accuracy, averaged.interval))
    if folder is not None:
        with folder.rewriting():
            notes += _store(classifier, predictions, report, images, explain, folder)
    return TestResult(report, predictions, None if folder is None else folder.path, total, tuple(notes))


def _missing(report: TestReport) -> list[str]:
    missing = report.missing_classes
    return [f"no test image is of class {some(missing)}: the metrics are over the other classes"] if missing else []


def _store(
    classifier: Classifier,
    predictions: Predictions,
    report: TestReport,
    images: ImageSet,
    explain: int | None,
    folder: TestFolder,
) -> list[str]:
    """Write a test, and explain as many answers as asked for; explanations of other predictions go, which it says."""
    stay = answers_stay(predictions, folder)
    store_test(predictions, folder, report, images)
    if explain is not None:
        _store_explanations(classifier, predictions, images, explain, folder)
    elif not stay and forget_explanations(folder):
        return ["the explanations were removed, because they belong to other predictions"]
    return []


def _store_explanations(
    classifier: Classifier, predictions: Predictions, images: ImageSet, count: int, folder: TestFolder
) -> None:
    """Write where the network looked in `count` pictures."""
    from sightline.drawing import gallery
    from sightline.drawing.words import lettered
    from sightline.evaluation.grad_cam import grad_cam

    surest_last = np.argsort(predictions.probabilities.max(axis=1), kind="stable")
    rows = np.array((worst_mistakes(predictions, count) or surest_last.tolist())[:count], np.int64)
    pixels, answers = images.select(rows).images(), predictions.predicted()[rows]
    maps = grad_cam(classifier, pixels, answers)
    arrays.save(folder.path / EXPLANATIONS, rows=rows, pixels=pixels, answers=answers, maps=maps)
    captions = mistake_captions(predictions, rows)
    picture = folder.path / EXPLANATIONS_PICTURE
    gallery.draw(pixels, captions, picture, heat=maps, title=lettered("what spoke for the answer (Grad-CAM)"))


def _source(settings: DataSettings) -> str:
    """Tell data apart by more than the name: a dataset's name, or the path of a folder, with its label file."""
    if settings.name in READERS:
        return settings.name
    path = str(data_room.folder_path(settings.name).resolve())
    return path if settings.labels is None else f"{path} by {settings.labels}"


def _folder_for(run: RunFolder, settings: DataSettings) -> TestFolder:
    """Find the folder of a test on other data than the run's own: its former one, or the next that is free."""
    name, source = data_name(settings), _source(settings)
    folders = (run.other_test_folder(name, number) for number in itertools.count(1))
    return next(folder for folder in folders if not folder.metrics_path.is_file() or folder.read().data == source)


def _views(path: Path, run: RunFolder | None, classifier: Classifier) -> AveragedViews:
    """The views of an image that its run's augmentation holds for the same."""
    if run is None:
        raise UsageError("--tta", f"{path} is a model file, which does not store the augmentation", "a run's folder")
    augment = run.settings().augment
    views = AveragedViews(classifier, augment.flip in ("random", "alternate"), augment.shift > 0)
    if views.count == 1:
        problem = f"{path} neither shifted nor mirrored its training images, so there is one view of each"
        raise UsageError("--tta", problem, advice="Leave it out.")
    return views


def _limit(path: Path, run: RunFolder | None, steps: int) -> int:
    """How many images `steps` batches are."""
    if steps < 1:
        raise UsageError("--steps", f"{steps} found", "1 or more")
    if run is None:
        raise UsageError("--steps", f"{path} is a model file, which has no batch size", "a run's folder")
    return steps * run.settings().training.batch_size
