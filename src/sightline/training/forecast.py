"""`forecast`: what more pictures would bring, from heads fitted to fewer of them on frozen features.

The features are those of the weights that the run began from. Fine-tuned ones have seen the training pictures and tell
them apart better than others, so that heads on them would promise too much.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline import device as device_room
from sightline.data import ImageSet, Splits, fit_preprocessing
from sightline.device import Compute
from sightline.drawing import forecast as drawing
from sightline.errors import DataError, FileError, UsageError
from sightline.files.json_records import to_json
from sightline.models.pretrained import load_pretrained
from sightline.progress import ProgressBar
from sightline.runs.folder import FORECAST, FORECAST_PICTURE, SPLITS, WEIGHTS, RunFolder
from sightline.runs.images import images_of_run
from sightline.runs.records import ExpectedAccuracy, ExpectedGain, Forecast, MeasuredSize, PowerLaw, Pretrained
from sightline.runs.records import Splits as SplitsRecord
from sightline.runs.selection import selected_row
from sightline.settings import Settings, build_data_settings, build_settings
from sightline.stats.learning_curve import LearningCurve
from sightline.training.head import FrozenBackbone
from sightline.training.heads_by_size import FOLDS, HeadsBySize, measure_heads
from sightline.training.prepare import build_network

CONFIDENCE = 0.9
TIMES = (2, 4)
"""How many times the run's training images the forecasts are for."""
FEWEST_IMAGES, FEWEST_OF_A_CLASS = 50, 5
"""With fewer the smallest draw has not one of each class, or the interval is as good as none."""
POINTS = 25


@dataclass(frozen=True)
class ForecastResult:
    """The result of `forecast`. `accuracy` is the validation accuracy of the run's own network, if there is one.

    The forecast is for a head on frozen features. For the run's own network, rely on the gain, not on the absolute
    accuracy. `files` are the files that were written into the run's folder.
    """

    run: Path
    forecast: Forecast
    accuracy: float | None
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        files = [str(path) for path in self.files]
        return {"run": str(self.run), **to_json(self.forecast), "accuracy": self.accuracy, "files": files}


def forecast(run: str | Path, *, repeats: int = 2, device: str = "auto", **settings: Any) -> ForecastResult:
    """Estimate how accurate a head on a run's frozen features would be with two and four times as many training images.

    The features of all training and validation images are computed once, with the weights that the run started from.
    Heads are fitted, as with `head: fitted`, to 20, 40, 60, 80 and 100 % of eight tenths of the images; one tenth
    chooses each head's penalty, and one tenth measures it. The tenths take turns, so that each image is measured
    `repeats` times. Test images are not used. The errors are modelled by a power law with an asymptote. The forecast is
    the mean over all such curves, weighted by their likelihood; its 90 % interval covers their spread and the sampling
    noise of the images.

    Writes forecast.json and forecast.png into the run's folder. `settings`: data settings by name, e.g. `data_dir`.
    Raises UsageError if `run` is not a folder, if the run did not start from pretrained weights, or if its head is more
    than one dense layer; FileError for a folder that is not a run and for changed weights; DataError for changed or
    missing images, and for fewer than 50 images, two classes, or five images of a class.
    """
    path = Path(run)
    _, changes = build_data_settings(settings)
    computing = build_settings(None, {"device": device}).device
    if repeats < 1:
        raise UsageError("--repeats", f"{repeats} found", "1 or more")
    if path.is_file():
        problem = "a file, which does not know the training images"
        raise UsageError(str(path), problem, "a run's folder", f"Give the folder that holds {WEIGHTS}/ and {SPLITS}.")
    folder = RunFolder.open(path)
    began = time.perf_counter()
    _check_start(folder)
    with device_room.explain_memory("forecast", "Free some memory, and try again."):
        found = _forecast(folder, changes, device_room.resolve(computing), repeats, began)
    with folder.rewriting(FORECAST, FORECAST_PICTURE):
        folder.write(found)
        drawing.draw(found, folder.forecast_path)
    row = selected_row(folder.results(), folder.settings().training.select)
    accuracy = None if row is None else row["val_accuracy"]
    return ForecastResult(path, found, accuracy, (folder.record_path(Forecast), folder.forecast_path))


def _check_start(run: RunFolder) -> None:
    """Refuse a run whose features cannot be had from before they saw its images."""
    settings, subject = run.settings(), str(run.path)
    expected, advice = "a run that began with pretrained weights", "Train with --recipe photos or with --pretrained."
    if settings.model is None or settings.finetune.pretrained is None or not run.has(Pretrained):
        raise UsageError(
            subject, "its network was trained from scratch, so its features know every training image", expected, advice
        )
    source = RunFolder(Path(settings.finetune.pretrained).expanduser())
    source.check(SPLITS)
    if source.has(SplitsRecord) and source.read(SplitsRecord).parts.get("train") == run.read(SplitsRecord).parts.get(
        "train"
    ):
        raise UsageError(
            subject,
            f"it started from {source.path}, which was trained on the same images",
            f"{expected} of others",
            advice,
        )


def _forecast(run: RunFolder, changes: Mapping[str, Any], compute: Compute, repeats: int, began: float) -> Forecast:
    settings = run.settings()
    splits = images_of_run(run, changes)
    parts = [part for part in (splits.train, splits.validation) if part is not None]
    labels, groups = np.concatenate([part.labels for part in parts]), _groups(parts)
    _check_images(run, splits.train.class_names, labels, groups)
    backbone, weights = _backbone(run, settings, splits, compute)
    values = np.concatenate([backbone.features(part) for part in parts])
    with ProgressBar("heads", repeats * FOLDS) as bar:
        measured = measure_heads(
            values,
            labels,
            len(splits.train.class_names),
            groups,
            balanced=settings.training.class_weights == "balanced",
            repeats=repeats,
            advance=bar.advance,
        )
    seconds = time.perf_counter() - began
    return forecast_of(measured, len(splits.train), weights, seconds)


def forecast_of(measured: HeadsBySize, images: int, weights: str, seconds: float) -> Forecast:
    """Say what `measured` heads promise to a run with so many training images."""
    curve = measured.curve()
    draws = measured.accuracies
    accuracies, standard_errors = 1 - measured.errors(), np.sqrt(np.diag(measured.covariance()))
    rows = np.column_stack([measured.sizes.round(1), accuracies, standard_errors, draws.std(axis=0, ddof=1)])
    sizes = np.geomspace(measured.sizes.min(), max(TIMES) * images, POINTS).round().astype(int)
    return Forecast(
        images=images,
        asked=len(measured.wrong),
        weights=weights,
        confidence=CONFIDENCE,
        measured=tuple(MeasuredSize(row[0], row[1], row[2], row[3], len(draws)) for row in rows.tolist()),
        now=_expected(curve, images),
        predictions=tuple(_with_gain(measured, curve, times * images, images) for times in TIMES),
        curve=tuple(_expected(curve, size) for size in dict.fromkeys(sizes.tolist())),
        likeliest=PowerLaw(*curve.likeliest()),
        seconds=seconds,
    )


def _expected(curve: LearningCurve, images: int) -> ExpectedAccuracy:
    return ExpectedAccuracy(images, *curve.accuracy(images, CONFIDENCE))


def _with_gain(measured: HeadsBySize, curve: LearningCurve, images: int, now: int) -> ExpectedGain:
    gain, interval = curve.gain(images, now, CONFIDENCE, measured.gain_deviation(now, images))
    return ExpectedGain(images, *curve.accuracy(images, CONFIDENCE), gain, interval)


def _backbone(run: RunFolder, settings: Settings, splits: Splits, compute: Compute) -> tuple[FrozenBackbone, str]:
    """Make the network with the weights that the run began from, and name their file."""
    network = build_network(settings, splits)
    assert settings.model is not None and settings.finetune.pretrained is not None
    report = load_pretrained(network, settings.model, settings.finetune.pretrained)
    if report.sha256 != run.read(Pretrained).sha256:
        advice = "Bring the old file back, or start a new run."
        raise FileError(report.source, "the file has changed since the run started from it", advice=advice)
    backbone = FrozenBackbone.of(network, fit_preprocessing(splits.train, settings.data), compute)
    if backbone is None:
        raise UsageError(
            str(run.path), "its network's head is more than a pooling and one dense layer",
            "a network such as efficientnet-lite0 or a resnet",
        )  # fmt: skip
    return backbone, report.file


def _groups(parts: list[ImageSet]) -> NDArray[np.int64] | None:
    """Number what belongs together over all parts, int64 (N,); None where each image stands for itself."""
    if all(part.groups is None for part in parts):
        return None
    named: list[NDArray[np.int64]] = []
    free = max(int(part.groups.max()) for part in parts if part.groups is not None) + 1
    for part in parts:
        named.append(free + np.arange(len(part)) if part.groups is None else part.groups)
        free += 0 if part.groups is not None else len(part)
    return np.concatenate(named)


def _check_images(
    run: RunFolder, names: tuple[str, ...], labels: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> None:
    """Refuse images that cannot be drawn from."""
    subject = str(run.path)
    if len(labels) < FEWEST_IMAGES:
        found = f"{len(labels)} training and validation images are too few for a forecast"
        raise DataError(subject, found, f"{FEWEST_IMAGES} or more")
    present = np.flatnonzero(np.bincount(labels))
    if len(present) < 2:
        raise DataError(subject, f"all images are of class {names[present[0]]}", "two classes or more")
    for label in present:
        found = np.arange(len(labels))[labels == label] if groups is None else np.unique(groups[labels == label])
        if len(found) < FEWEST_OF_A_CLASS:
            what = "images" if groups is None else "groups of images"
            raise DataError(
                subject, f"class {names[label]} has {len(found)} {what} to train and validate",
                f"{FEWEST_OF_A_CLASS} or more of each class",
            )  # fmt: skip
