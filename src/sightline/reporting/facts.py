"""What the files of a run, or of several, say; nothing is computed here that they do not hold."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.comparison.folder import ComparisonFolder, ComparisonPlan
from sightline.comparison.records import ComparisonRecord, PairRecord, SideRecord
from sightline.errors import FileError
from sightline.evaluation.predictions import Predictions
from sightline.files import arrays
from sightline.folds.folder import FoldsFolder, FoldsPlan
from sightline.folds.records import FoldsRecord
from sightline.reporting.blocks import Cell
from sightline.runs.folder import (
    ENVIRONMENT,
    EXPLANATIONS,
    METRICS,
    MISTAKES,
    RESULTS,
    SETTINGS,
    SPLITS,
    TEST,
    RunFolder,
)
from sightline.runs.records import Audit, Environment, Forecast, NetworkSummary, Splits, TestReport
from sightline.runs.selection import selected_row
from sightline.settings import Settings, data_name
from sightline.tuning.folder import StudyFolder, StudyPlan
from sightline.tuning.records import StudyRecord

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


def every_value(runs: Sequence[Run], key: str) -> str:
    """Give what the runs' environment.json has under `key`, each value once; empty where none has it."""
    return ", ".join(sorted({str(value) for run in runs if (value := getattr(run.environment, key))}))


def file_of(runs: Sequence[Run], name: str) -> str:
    """Where a run's file is, or as `runs/*/FILE` where it is several runs'."""
    if len(runs) == 1:
        return runs[0].cell("", name).file
    folders = sorted({posixpath.dirname(run.place) for run in runs})
    return ", ".join(posixpath.join(folder, "*", name) for folder in folders)


@dataclass(frozen=True)
class Comparison:
    """A comparison's files. `place` is its folder as seen from the report's subject."""

    folder: ComparisonFolder
    place: str = ""

    @cached_property
    def plan(self) -> ComparisonPlan:
        """What is compared."""
        return self.folder.plan()

    @cached_property
    def results(self) -> ComparisonRecord:
        """What came of it. Raises FileError where the comparison, or its part with more seeds, has not ended."""
        advice = f"Go on with sightline compare --resume {self.folder.path}."
        path = self.folder.results_path
        if not path.is_file() or self.plan.looks[-1:] != (len(self.plan.seeds),):
            raise FileError(str(self.folder.path), "this comparison has not ended", advice=advice)
        results = self.folder.results(advice)
        if len(results.sides) < 2 or not all(side.runs for side in results.sides):
            raise FileError(str(path), "damaged", "two sides with their runs", advice)
        return results

    @property
    def sides(self) -> Sequence[SideRecord]:
        """The sides of its results."""
        return self.results.sides

    @property
    def pairs(self) -> Sequence[PairRecord]:
        """The pairs of sides of its results."""
        return self.results.pairs

    @cached_property
    def runs(self) -> Sequence[Mapping[int, Run]]:
        """Each side's runs by seed."""
        return [
            {
                seed: Run(
                    RunFolder.open(self.folder.path / place), posixpath.normpath(posixpath.join(self.place, place))
                )
                for seed, place in side.runs.items()
            }
            for side in self.sides
        ]

    @cached_property
    def named(self) -> Sequence[tuple[str, Run]]:
        """Each side's name and its run with the lowest seed."""
        return [(side.name, runs[min(runs)]) for side, runs in zip(self.sides, self.runs, strict=True)]

    @property
    def every_run(self) -> Sequence[Run]:
        """All sides' runs."""
        return [run for runs in self.runs for run in runs.values()]

    def cell(self, text: str, key: str) -> Cell:
        """Make a cell that comes from the file of its results."""
        return Cell(text, posixpath.join(self.place, self.folder.results_path.name), key)


@dataclass(frozen=True)
class Study:
    """A study's files."""

    folder: StudyFolder

    @cached_property
    def plan(self) -> StudyPlan:
        """What is searched."""
        return self.folder.plan()

    @cached_property
    def results(self) -> StudyRecord:
        """What came of it. Raises FileError where the search, or the comparison behind it, has not ended."""
        advice = f"Go on with sightline tune --resume {self.folder.path}."
        not_ended = FileError(str(self.folder.path), "this search has not ended", advice=advice)
        if not self.folder.results_path.is_file():
            raise not_ended
        results = self.folder.results()
        is_compared = results.final is not None or not self.plan.seeds or not results.changes
        if results.budget is not None and not (is_compared and results.budget == self.plan.budget):
            raise not_ended
        return results

    @property
    def has_comparison(self) -> bool:
        """Whether the winner was compared with where the search began."""
        return self.results.final is not None

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison at the end."""
        place = self.results.final
        assert place is not None
        return Comparison(ComparisonFolder.open(self.folder.path / place), place)

    @cached_property
    def best(self) -> Run | None:
        """The best trial's run, None where another machine made it."""
        run = self.folder.find_trial(self.results.best_trial)
        return None if run is None else Run(run, run.path.relative_to(self.folder.path).as_posix())

    def cell(self, text: str, key: str) -> Cell:
        """Make a cell that comes from the file of its results."""
        return Cell(text, self.folder.results_path.name, key)


@dataclass(frozen=True)
class Folds:
    """A cross-validation's files."""

    folder: FoldsFolder

    @cached_property
    def plan(self) -> FoldsPlan:
        """What is cross-validated."""
        return self.folder.plan()

    @cached_property
    def results(self) -> FoldsRecord:
        """What came of it. Raises FileError where it has not ended."""
        advice = f"Go on with sightline train --resume {self.folder.path}."
        if not self.folder.results_path.is_file():
            raise FileError(str(self.folder.path), "this cross-validation has not ended", advice=advice)
        return self.folder.results(advice)

    @cached_property
    def first(self) -> Run:
        """The run of the first fold."""
        place = self.results.folds[0].run
        return Run(RunFolder.open(self.folder.path / place), place)

    @cached_property
    def answers(self) -> OutOfFold:
        """All answers, as a run's test has them."""
        return OutOfFold(RunFolder(self.folder.path), first=self.first)

    def cell(self, text: str, key: str) -> Cell:
        """Make a cell that comes from the file of its results."""
        return Cell(text, self.folder.results_path.name, key)


Subject = Run | Comparison | Study | Folds
"""What there can be a report of."""


def read(path: Path) -> Subject:
    """Tell by its files what a folder is. Raises FileError for anything that there is no report of."""
    if FoldsFolder.is_one(path):
        return Folds(FoldsFolder(path))
    if ComparisonFolder.is_one(path):
        return Comparison(ComparisonFolder(path))
    if StudyFolder.is_one(path):
        return Study(StudyFolder(path))
    if (path / SETTINGS).is_file():
        return Run(RunFolder(path))
    found = "no such folder" if not path.exists() else "no run, no comparison, no cross-validation and no study"
    if any(path.glob("*.csv")) or (path / ENVIRONMENT).is_file():
        found = "a run that was stopped before it began"
    raise FileError(str(path), found, "the folder of a run, a comparison, a cross-validation or a study")
