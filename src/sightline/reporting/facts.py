"""What the files of a run say; nothing is computed here that they do not hold."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.errors import FileError
from sightline.evaluation.predictions import Predictions
from sightline.files import arrays
from sightline.reporting.blocks import Cell
from sightline.runs.folder import (
    CALIBRATION,
    EXPLANATIONS,
    FORECAST,
    METRICS,
    MISTAKES,
    PREDICTIONS,
    RECORDED,
    RESULTS,
    SPLITS,
    TABLES,
    TEST,
    WEIGHTS,
    RunFolder,
)
from sightline.runs.records import Audit, Environment, Forecast, NetworkSummary, Splits, TestReport
from sightline.runs.selection import selected_row
from sightline.settings import Settings, data_name

KIND = "pictures written by Sightline"


@dataclass(frozen=True)
class StoredPictures:
    """Pictures of test images: rows in the predictions, pixels uint8 (n, H, W, C), maps float (n, H, W)."""

    rows: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    maps: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Run:
    """A run's files. `place` is its folder as seen from the report's subject, "" for the subject itself."""

    folder: RunFolder
    place: str = ""

    def __post_init__(self) -> None:
        """Raise FileError where a file that is told of is not as it was written."""
        run = self.folder
        run.check(*RECORDED, *TABLES)
        run.check(CALIBRATION, advice=f"Run sightline calibrate {run.path} --write")
        run.check(FORECAST, advice=f"Run sightline forecast {run.path}")
        run.check(f"{WEIGHTS}/*", advice=run.mend_weights())
        for checkpoint in run.checkpoints()[:1]:  # which says whether a rule ended training
            run.check(checkpoint.relative_to(run.path).as_posix(), advice=run.mend_checkpoint())
        run.test_folder.check(METRICS, PREDICTIONS, MISTAKES, EXPLANATIONS, advice=self.test_again)

    @cached_property
    def settings(self) -> Settings:
        """settings.yaml."""
        return self.folder.settings()

    @cached_property
    def metrics(self) -> TestReport | None:
        """test/metrics.json, None where the run, or the weights that it has now, were not tested."""
        path = self.folder.test_folder.metrics_path
        if not path.is_file() or not self.is_finished:
            return None
        report = self.folder.test_folder.read(self.test_again)
        classes = len(self.classes)
        if {len(report.confusion_matrix), *map(len, report.confusion_matrix)} != {classes}:
            expected = f"a matrix of {classes} classes"
            raise FileError(str(path), "its confusion matrix does not fit", expected, self.test_again)
        return report if report.step in (None, self.folder.tested_step()) else None

    @cached_property
    def predictions(self) -> Predictions | None:
        """test/predictions.npz, None where `metrics` is None."""
        path = self.folder.test_folder.predictions_path
        return Predictions.load(path) if path.is_file() and self.metrics is not None else None

    @cached_property
    def audit(self) -> Audit:
        """audit.json."""
        return self.folder.read(Audit)

    @cached_property
    def splits(self) -> Splits:
        """splits.json."""
        splits = self.folder.read(Splits)
        if "train" not in splits.parts:
            raise FileError(str(self.folder.path / SPLITS), "it has no training images", "training images")
        return splits

    @cached_property
    def environment(self) -> Environment:
        """environment.json."""
        return self.folder.read(Environment)

    @cached_property
    def network(self) -> NetworkSummary | None:
        """network.json, None for a run of an older version."""
        return self.folder.read(NetworkSummary) if self.folder.has(NetworkSummary) else None

    @cached_property
    def forecast(self) -> Forecast | None:
        """forecast.json, which is made on request."""
        return self.folder.read(Forecast) if self.folder.has(Forecast) else None

    @cached_property
    def epochs(self) -> Sequence[Mapping[str, str]]:
        """The rows of results.csv, one for each epoch that was finished."""
        rows = self.folder.rows(RESULTS)
        self.folder.numbers(rows)  # which refuses what is none
        return rows

    @property
    def data(self) -> str:
        """The dataset's name."""
        return data_name(self.settings.data)

    @property
    def model(self) -> str:
        """The network's name."""
        return self.folder.network_name(self.settings)

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes."""
        return self.splits.classes

    @cached_property
    def is_finished(self) -> bool:
        """Whether training came to its end, or ended itself early."""
        return self.folder.is_finished()

    @property
    def test_again(self) -> str:
        """How the files of the test are made anew."""
        return f"Run sightline test {self.folder.path}"

    def samples(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
        """samples.npz: pixels uint8 (n, H, W, C) and labels; None where a run of an older version kept none."""
        samples = self.folder.samples()
        if samples is not None:
            _, labels = samples
            if not len(labels) or not 0 <= labels.min() <= labels.max() < len(self.classes):
                raise FileError(str(self.folder.samples_path), "damaged", "samples written by Sightline")
        return samples

    def mistakes(self) -> StoredPictures | None:
        """test/mistakes.npz."""
        return self._pictures(MISTAKES)

    def explanations(self) -> StoredPictures | None:
        """test/explanations.npz, which is made on request."""
        return self._pictures(EXPLANATIONS)

    def _pictures(self, name: str) -> StoredPictures | None:
        path = self.folder.test_folder.path / name
        if not path.is_file() or self.predictions is None:
            return None
        stored = arrays.load(path, ("rows", "pixels", "maps"), KIND)
        rows, pixels, maps = (stored.get(name) for name in ("rows", "pixels", "maps"))
        if (
            rows is None
            or pixels is None
            or pixels.dtype != np.uint8
            or pixels.ndim != 4
            or not 0 < len(rows) == len(pixels)
            or not 0 <= rows.min() <= rows.max() < len(self.predictions)
            or (maps is not None and maps.shape != pixels.shape[:3])
        ):
            raise FileError(str(path), "damaged", KIND, self.test_again)
        return StoredPictures(rows.astype(np.int64), pixels, maps)

    def weights(self) -> tuple[str, Path] | None:
        """The model file's name in the run, and where it is; None where there is none yet."""
        path = self.folder.weights()
        return (path.relative_to(self.folder.path).as_posix(), path) if path else None

    def selected(self) -> Mapping[str, str] | None:
        """The row of results.csv whose weights validation chose, None where nothing chose."""
        select = self.settings.training.select
        return selected_row(self.epochs, select) if select != "last" and self.folder.best_weights.is_file() else None

    def cell(self, text: str, file: str, key: str = "") -> Cell:
        """Make a cell that comes from a file of this run."""
        return Cell(text, posixpath.normpath(posixpath.join(self.place, file)), key)

    def metric(self, key: str, text: str) -> Cell:
        """Make a cell of a figure in test/metrics.json."""
        return self.test_cell(text, METRICS, key)

    def test_cell(self, text: str, file: str, key: str = "") -> Cell:
        """Make a cell that comes from a file of the test."""
        return self.cell(text, f"{TEST}/{file}", key)


@dataclass(frozen=True, kw_only=True)
class OutOfFold(Run):
    """All answers of a cross-validation, which lie in its folder as those of a run's test do. `first`: a fold's run."""

    first: Run

    @property
    def model(self) -> str:
        """The network's name."""
        return self.first.model

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes."""
        return self.first.classes

    @cached_property
    def is_finished(self) -> bool:
        """Yes, where there are results."""
        return True

    @property
    def test_again(self) -> str:
        """How the files are made anew."""
        return f"Run sightline train --resume {self.folder.path}"


def every_value(runs: Sequence[Run], key: str, comma: str = ", ") -> str:
    """Give what the runs' environment.json has under `key`, each value once; empty where none has it."""
    return comma.join(sorted({str(value) for run in runs if (value := getattr(run.environment, key))}))


def file_of(runs: Sequence[Run], name: str) -> str:
    """Where a run's file is, or as `runs/*/FILE` where it is several runs'."""
    if len(runs) == 1:
        return runs[0].cell("", name).file
    folders = sorted({posixpath.dirname(run.place) for run in runs})
    return ", ".join(posixpath.join(folder, "*", name) for folder in folders)
