"""The folder of a cross-validation: the only room that knows its file names and their schema version.

folds.yaml                               what is trained, and how many folds; written before the first run
runs/fold-1-001  ...                     the run folders, one for each fold
results.json  answers.csv                what came of it; every picture's answer, the most doubtful label first
test/                                    all answers as a run's test has them: figures, predictions, pictures
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from sightline.errors import FileError
from sightline.files import atomic, sums
from sightline.files.json_records import from_json
from sightline.files.reading import parse_yaml, read_text
from sightline.folds.records import FoldsRecord
from sightline.runs.folder import TEST, TestFolder, read_json
from sightline.runs.named import NamedRuns
from sightline.settings import Settings

SCHEMA_VERSION = 1
PLAN, RESULTS, ANSWERS = "folds.yaml", "results.json", "answers.csv"


@dataclass(frozen=True)
class FoldsPlan:
    """What is cross-validated: `count` folds, each trained with `settings`, in which no fold is named."""

    count: int
    settings: Settings

    def settings_of(self, fold: int) -> Settings:
        """What the run of a fold, counted from 1, does."""
        return self.settings.replace(fold=(fold, self.count))

    def run_name(self, fold: int) -> str:
        """What the run of a fold is called before its number."""
        return f"fold-{fold:0{len(str(self.count))}d}"


@dataclass(frozen=True)
class FoldsFolder:
    """A cross-validation's folder on disk."""

    path: Path

    @classmethod
    def create(cls, parent: Path, name: str) -> FoldsFolder:
        """A new, empty folder `parent/NAME-001`, or the next number that is free."""
        return cls(sums.new_folder(parent, name, "folds"))

    @classmethod
    def open(cls, path: Path) -> FoldsFolder:
        """A cross-validation that exists. Raises FileError for anything else."""
        if not cls.is_one(path):
            found = f"it has no {PLAN}" if path.is_dir() else "no such folder"
            raise FileError(str(path), found, "a cross-validation's folder")
        return cls(path)

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is that of a cross-validation."""
        return (path / PLAN).is_file()

    @property
    def plan_path(self) -> Path:
        """Where the plan is."""
        return self.path / PLAN

    @property
    def results_path(self) -> Path:
        """The results."""
        return self.path / RESULTS

    @property
    def answers_path(self) -> Path:
        """The table of all answers."""
        return self.path / ANSWERS

    @property
    def test_folder(self) -> TestFolder:
        """All answers, as a run's test has them."""
        return TestFolder(self.path / TEST)

    @property
    def runs(self) -> NamedRuns:
        """The folder of its runs."""
        return NamedRuns(self.path / "runs")

    def write_plan(self, plan: FoldsPlan) -> None:
        """Record what is cross-validated."""
        settings = plan.settings.model_dump(mode="json")
        content = {"schema": SCHEMA_VERSION, "folds": plan.count, "settings": settings}
        with sums.rewriting_file(self.plan_path):
            atomic.write_text(self.plan_path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def plan(self) -> FoldsPlan:
        """Read what is cross-validated. Raises FileError where the file is damaged or of another schema."""
        sums.check(self.path, PLAN, advice="Restore a copy of it, or start again.")
        subject = str(self.plan_path)
        try:
            content = parse_yaml(read_text(self.plan_path))
            schema = content["schema"]
            if schema == SCHEMA_VERSION:
                return FoldsPlan(int(content["folds"]), Settings.model_validate(content["settings"]))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            raise FileError(subject, "it is damaged", "a file that sightline train --folds wrote") from None
        raise FileError(subject, f"it has schema {schema}", f"schema {SCHEMA_VERSION}")

    def write_results(self, results: FoldsRecord) -> None:
        """Record what came of it."""
        with sums.rewriting_file(self.results_path):
            atomic.write_json(self.results_path, {"schema": SCHEMA_VERSION, **results.to_dict()})

    def results(self, advice: str = "") -> FoldsRecord:
        """Read what came of it. Raises FileError, with `advice`, where it is missing or damaged."""
        sums.check(self.path, RESULTS, advice=f"Run sightline train --resume {self.path} to write it anew.")
        return from_json(FoldsRecord, read_json(self.results_path), self.results_path, advice)


def is_cross_validation(folder: str | Path) -> bool:
    """Tell whether a folder is that of a cross-validation."""
    return FoldsFolder.is_one(Path(folder))
