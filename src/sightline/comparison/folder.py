"""The folder of a comparison: the only room that knows its file names and their schema version.

comparison.yaml                          what is compared; written before the first run
runs/1-mnist-cnn-s0-001  ...             the run folders, one for each side and seed, with a log where it ran apart
results.json  comparison.png             what came of it
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sightline.comparison.records import ComparisonRecord
from sightline.comparison.sides import Side
from sightline.errors import FileError
from sightline.files import atomic, sums
from sightline.files.json_records import from_json
from sightline.files.reading import parse_yaml, read_text
from sightline.runs.folder import read_json
from sightline.runs.named import NamedRuns
from sightline.settings import Settings

SCHEMA_VERSION = 1
LONGEST_NAME = 40
PLAN, RESULTS, PICTURE = "comparison.yaml", "results.json", "comparison.png"


@dataclass(frozen=True)
class ComparisonPlan:
    """What is compared: sides, seeds, and how sure a verdict must be.

    `looks` holds the number of seeds at each time that results were seen, since whoever adds seeds after a look finds
    differences more often than the confidence says. `runs` holds, for runs that were finished before, each side's runs
    by seed, relative to the folder; empty where the comparison trains its own.
    """

    sides: tuple[Side, ...]
    seeds: tuple[int, ...]
    confidence: float = 0.95
    seconds: float | None = None
    looks: tuple[int, ...] = ()
    runs: tuple[Mapping[int, str], ...] = ()


@dataclass(frozen=True)
class ComparisonFolder:
    """A comparison's folder on disk."""

    path: Path

    @classmethod
    def create(cls, comparisons: Path, name: str) -> ComparisonFolder:
        """A new, empty folder `comparisons/NAME-001`, or the next number that is free."""
        return cls(sums.new_folder(comparisons, name, "comparison"))

    @classmethod
    def open(cls, path: Path) -> ComparisonFolder:
        """A comparison that exists. Raises FileError for anything else."""
        folder = cls(path)
        if not cls.is_one(path):
            found = f"it has no {PLAN}" if path.is_dir() else "no such comparison folder"
            raise FileError(str(path), found, "a comparison's folder")
        return folder

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is that of a comparison."""
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
    def picture_path(self) -> Path:
        """The picture of accuracies and differences."""
        return self.path / PICTURE

    @property
    def runs(self) -> NamedRuns:
        """The folder of its runs."""
        return NamedRuns(self.path / "runs")

    def write_plan(self, plan: ComparisonPlan) -> None:
        """Record what is compared."""
        content = {
            "schema": SCHEMA_VERSION,
            "seeds": list(plan.seeds),
            "confidence": plan.confidence,
            "seconds": plan.seconds,
            "looks": list(plan.looks),
            "sides": [{"name": side.name, "settings": side.settings.model_dump(mode="json")} for side in plan.sides],
            "runs": [dict(runs) for runs in plan.runs],
        }
        with sums.rewriting_file(self.plan_path):
            atomic.write_text(self.plan_path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def plan(self) -> ComparisonPlan:
        """Read what is compared. Raises FileError where the file is damaged or of another schema."""
        sums.check(self.path, PLAN, advice="Restore a copy of it, or start again.")
        subject = str(self.plan_path)
        try:
            content = parse_yaml(read_text(self.plan_path))
            schema = content["schema"]
            if schema == SCHEMA_VERSION:
                return ComparisonPlan(
                    tuple(Side(str(s["name"]), Settings.model_validate(s["settings"])) for s in content["sides"]),
                    tuple(int(seed) for seed in content["seeds"]),
                    float(content["confidence"]),
                    content["seconds"],
                    tuple(int(look) for look in content["looks"]),
                    tuple({int(seed): str(run) for seed, run in runs.items()} for runs in content["runs"]),
                )
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            raise FileError(subject, "it is damaged", "a file that sightline compare wrote") from None
        raise FileError(subject, f"it has schema {schema}", f"schema {SCHEMA_VERSION}")

    def run_name(self, side: int, name: str, seed: int) -> str:
        """What the run of a side, counted from 0, and a seed is called before its number."""
        return f"{side + 1}-{re.sub(r'[^A-Za-z0-9.]+', '-', name)[:LONGEST_NAME].strip('-.')}-s{seed}"

    def log_path(self, name: str) -> Path:
        """Where a run in a process of its own says what it says."""
        return self.runs.path / f"{name}.log"

    def relative(self, run: Path) -> str:
        """Write the place of a run as seen from this folder, with slashes."""
        return Path(os.path.relpath(run.resolve(), self.path.resolve())).as_posix()

    def write_results(self, results: ComparisonRecord) -> None:
        """Record what came of it."""
        with sums.rewriting_file(self.results_path):
            atomic.write_json(self.results_path, {"schema": SCHEMA_VERSION, **results.to_dict()})

    def results(self, advice: str = "") -> ComparisonRecord:
        """Read what came of it. Raises FileError, with `advice`, where it is missing or damaged."""
        sums.check(self.path, RESULTS, advice=f"Run sightline compare --resume {self.path} to write it anew.")
        return from_json(ComparisonRecord, read_json(self.results_path), self.results_path, advice)
