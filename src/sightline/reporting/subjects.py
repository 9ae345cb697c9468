"""What there can be a report of: a run, or several with what was made of them together."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sightline.comparison.folder import ComparisonFolder, ComparisonPlan
from sightline.comparison.records import ComparisonRecord, PairRecord, SideRecord
from sightline.errors import FileError
from sightline.folds.folder import FoldsFolder, FoldsPlan
from sightline.folds.records import FoldsRecord
from sightline.reporting.blocks import Cell
from sightline.reporting.facts import OutOfFold, Run
from sightline.runs.folder import (
    ENVIRONMENT,
    SETTINGS,
    RunFolder,
)
from sightline.tuning.folder import StudyFolder, StudyPlan
from sightline.tuning.records import StudyRecord


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
