"""The folder of a study: the only room that knows its file names and their schema version.

study.yaml                               what is searched, and from where; written before the first trial
study.db                                 the trials, in SQLite, unless another storage was named
trials/trial-0000-001  ...               the run folders of this machine's trials; they have no test
final/                                   the comparison of the winner with where the search began
results.json  history.png  importance.png  slices.png
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sightline.errors import FileError
from sightline.files import atomic, sums
from sightline.files.json_records import from_json
from sightline.files.reading import parse_yaml, read_text
from sightline.runs.folder import RunFolder, read_json
from sightline.tuning.records import Budget, StudyRecord
from sightline.tuning.space import Space, space_of

SCHEMA_VERSION = 1
TRIALS = 30
SEEDS = (0, 1, 2, 3, 4)
PLAN, STORAGE, RESULTS = "study.yaml", "study.db", "results.json"
# SQLAlchemy's form: a user's name has neither colon nor slash, a password no at sign.
PASSWORD, STARS = re.compile(r"(://[^:/@]*:|[?&](?:password|passwd|pwd)=)([^@&]+)(?=@|&|$)"), "***"


@dataclass(frozen=True)
class StudyPlan:
    """What is searched: `space` around the recipe with `flags`. `storage` is None for study.db in the folder.

    `data`, `recipe` and `flags` are as `sightline train` takes them; `prunes` is off where trials differ in length. The
    search ends after `trials`, or where this folder's have taken `seconds`, None for no such end; `seeds` are those of
    the comparison behind it, none for no comparison.
    """

    study: str
    data: str
    recipe: str | None
    flags: Mapping[str, Any]
    space: Space
    storage: str | None
    prunes: bool
    trials: int | None = TRIALS
    seconds: float | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def budget(self) -> Budget:
        """What is asked for, which the results repeat: by that a report tells whether the search has ended."""
        return Budget(trials=self.trials, seconds=self.seconds, seeds=self.seeds)


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder on disk."""

    path: Path

    @classmethod
    def create(cls, studies: Path, name: str) -> StudyFolder:
        """A new, empty folder `studies/NAME-001`, or the next number that is free."""
        return cls(sums.new_folder(studies, name, "study"))

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """A study that exists. Raises FileError for anything else."""
        folder = cls(path)
        if not cls.is_one(path):
            found = f"it has no {PLAN}" if path.is_dir() else "no such study folder"
            raise FileError(str(path), found, "a study's folder")
        return folder

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is that of a study."""
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
    def trials(self) -> Path:
        """The folder of the trials' runs."""
        return self.path / "trials"

    @property
    def final(self) -> Path:
        """The folder of the comparison at the end."""
        return self.path / "final"

    @property
    def lock_path(self) -> Path:
        """The file whose lock is held by the one process that searches from this folder."""
        return self.path / ".lock"

    @property
    def history_path(self) -> Path:
        """The picture of the trials in their order."""
        return self.path / "history.png"

    @property
    def importance_path(self) -> Path:
        """The picture of how much each setting mattered."""
        return self.path / "importance.png"

    @property
    def slices_path(self) -> Path:
        """The picture of the trials over each setting."""
        return self.path / "slices.png"

    def rewriting(self) -> AbstractContextManager[None]:
        """While a search writes, take its files off the list of sums; afterwards list them."""
        pictures = (self.history_path, self.importance_path, self.slices_path)
        return sums.rewriting(self.path, STORAGE, RESULTS, *(path.name for path in pictures))

    def storage(self, plan: StudyPlan) -> str:
        """The URL of the study's trials."""
        return plan.storage or f"sqlite:///{(self.path / STORAGE).resolve().as_posix()}"

    def write_plan(self, plan: StudyPlan) -> None:
        """Record what is searched."""
        content = {
            "schema": SCHEMA_VERSION,
            "study": plan.study,
            "data": plan.data,
            "recipe": plan.recipe,
            "flags": {name: list(v) if isinstance(v, tuple) else v for name, v in plan.flags.items()},
            "space": {name: dimension.to_dict() for name, dimension in plan.space.items()},
            "storage": None if plan.storage is None else without_password(plan.storage),
            "prunes": plan.prunes,
            "trials": plan.trials,
            "seconds": plan.seconds,
            "seeds": list(plan.seeds),
        }
        with sums.rewriting_file(self.plan_path):
            atomic.write_text(self.plan_path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def plan(self) -> StudyPlan:
        """Read what is searched. Raises FileError where the file is damaged or of another schema."""
        sums.check(self.path, PLAN, advice="Restore a copy of it, or start again.")
        subject = str(self.plan_path)
        try:
            content = parse_yaml(read_text(self.plan_path))
            schema = content.pop("schema")
            if schema == SCHEMA_VERSION:
                space = space_of(content.pop("space"), subject)
                seeds = tuple(int(seed) for seed in content.pop("seeds", SEEDS))
                return StudyPlan(space=space, seeds=seeds, **content)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            raise FileError(subject, "it is damaged", "a file that sightline tune wrote") from None
        raise FileError(subject, f"it has schema {schema}", f"schema {SCHEMA_VERSION}")

    def find_trial(self, number: int) -> RunFolder | None:
        """The run of a trial; None before it began, and where another machine made it."""
        begun = [run for run in self._runs_of(number) if run.settings_path.is_file()]
        return begun[-1] if begun else None

    def forget_trial(self, number: int) -> None:
        """Remove the run of a trial that was broken off: it is done again from its start."""
        for run in self._runs_of(number):
            shutil.rmtree(run.path, ignore_errors=True)

    def _runs_of(self, number: int) -> list[RunFolder]:
        return [RunFolder(path) for path in sorted(self.trials.glob(f"{trial_name(number)}-[0-9][0-9][0-9]"))]

    def comparisons(self) -> list[Path]:
        """The folders of the comparisons at the end: another one for each winner, the earliest first."""
        return sorted(self.final.glob("*-[0-9][0-9][0-9]"))

    def write_results(self, results: StudyRecord) -> None:
        """Record what came of it."""
        with sums.rewriting_file(self.results_path):
            atomic.write_json(self.results_path, {"schema": SCHEMA_VERSION, **results.to_dict()})

    def results(self) -> StudyRecord:
        """Read what came of it. Raises FileError where it is missing or damaged."""
        sums.check(self.path, RESULTS, advice=f"Run sightline tune --resume {self.path} to write it anew.")
        content = read_json(self.results_path)
        # Studies of the first versions lack some of it; a resumption without a further trial writes it anew.
        advice = f"Run sightline tune --resume {self.path} --trials {content.get('trials', 1)} to write it anew."
        return from_json(StudyRecord, content, self.results_path, advice)


def without_password(url: str) -> str:
    """Give a storage's URL with stars for its password, to be recorded and shown."""
    return PASSWORD.sub(rf"\g<1>{STARS}", url)


def has_password_left_out(url: str) -> bool:
    """Whether a URL was recorded without its password."""
    return any(found[2] == STARS for found in PASSWORD.finditer(url))


def trial_name(number: int) -> str:
    """What the run of a trial is called before its number."""
    return f"trial-{number:04d}"
