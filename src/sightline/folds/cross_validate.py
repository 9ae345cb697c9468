"""From a dataset to a cross-validation: train what is not there yet, fold by fold, then see what all answers come to.

`cross_validate` begins one, `resume_cross_validation` takes one up that was stopped. docs/folds.md says what the
figures mean, and what they do not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline import device as device_room
from sightline.data import split
from sightline.data.folds import fold_numbers, fold_of
from sightline.data.load import load_pool
from sightline.errors import Interrupted, SightlineError, UsageError
from sightline.folds.figures import conclude
from sightline.folds.folder import FoldsFolder, FoldsPlan
from sightline.folds.records import FoldsRecord
from sightline.recipes import default_recipe, resolve, why_folder_recipe
from sightline.runs.folder import RunFolder
from sightline.runs.images import verify
from sightline.runs.records import Splits as RecordedSplits
from sightline.training.reporter import Reporter, make_reporter, told_once
from sightline.training.resume import begin_or_resume
from sightline.training.tracking import check_tracking
from sightline.training.train import NAMED_DATA, OWN_PARTS, run_name
from sightline.training.validation import check_rules

if TYPE_CHECKING:
    from sightline.data import ImageData, Splits

FOLDS = 5
LEAST_SECONDS = 1.0
"""What a fold's share of a budget is at the least."""


@dataclass(frozen=True, kw_only=True)
class CrossValidationResult(FoldsRecord):
    """A finished cross-validation: its folder, and its results."""

    folder: Path

    @property
    def answers(self) -> Path:
        """The table of all predictions, the most doubtful label first."""
        return FoldsFolder(self.folder).answers_path

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {"cross_validation": str(self.folder), **super().to_dict()}


def cross_validate(
    data: str | Path | None = None,
    folds: int = FOLDS,
    *,
    model: str | None = None,
    recipe: str | None = None,
    runs: str | Path = "folds",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> CrossValidationResult:
    """Cross-validate: divide the pictures into `folds`, and test on each fold a model trained on all the others.

    The folds are stratified and keep groups together (`group`, `group_column`, near duplicates). A test split of the
    dataset is left out and stays unseen. The run of each fold is an ordinary run with `fold=(k, K)` in its settings,
    and holds out validation images as usual. `runs` is the folder for the cross-validation's own folder. `data`,
    `model`, `recipe` and `settings` are those of `train`; the folds share `time`. To continue an interrupted
    cross-validation, use `resume_cross_validation`.

    Raises UsageError for arrays and modules and if so many folds are impossible, Interrupted (all finished training is
    kept), and the errors of `train`.
    """
    began = time.monotonic()
    own: tuple[Any, Any] = (data, model)
    if not isinstance(own[0], str | Path | None):
        raise UsageError("data", OWN_PARTS, NAMED_DATA, "Use scikit-learn's cross_val_score for them.")
    if not isinstance(own[1], str | None):
        raise UsageError("model", f"{type(model).__name__} found", "the name of a preset or a family")
    if settings.get("fold") is not None:
        raise UsageError("--fold", "given together with --folds", "one of them", "Leave one out.")
    named = None if data is None else str(data)
    chosen = resolve(named, recipe or default_recipe(named or "digits", model), {**settings, "model": model})
    reporter = make_reporter(quiet=quiet)
    if (why := why_folder_recipe(named, recipe, model)) is not None:
        reporter.note(why)
    if chosen.training.watch_test:
        chosen = chosen.replace(watch_test=False)
        reporter.note("watch_test off: validation images are held out of each fold's training images")
    check_tracking(chosen)
    plan = FoldsPlan(folds, chosen.replace(fold=None))
    parted = _Parted.from_plan(plan)
    budget = chosen.training.time
    if budget is not None:
        share = max(LEAST_SECONDS, round((budget - (time.monotonic() - began)) / folds, 1))
        plan = FoldsPlan(folds, plan.settings.replace(time=share))
        reporter.note(f"time budget: {budget:g} s, {share:g} s for each of {folds} folds")
    folder = FoldsFolder.create(Path(runs), name or run_name(plan.settings))
    folder.write_plan(plan)
    reporter.note(f"{folder.path}: {folds} folds of {len(parted.pool.train):,} pictures")
    return _finish(folder, plan, parted, reporter)


def resume_cross_validation(
    folder: str | Path, *, quiet: bool = False, reporter: Reporter | None = None
) -> CrossValidationResult:
    """Continue an interrupted cross-validation. Finished folds stay as they are.

    `reporter` receives the progress; by default it goes to stderr unless `quiet`. Raises FileError if `folder` is not a
    cross-validation, DataError if the pictures have changed.
    """
    reporter = reporter or make_reporter(quiet=quiet)
    place = FoldsFolder.open(Path(folder))
    plan = place.plan()
    with _stops(place):
        parted = _Parted.from_plan(plan)
    return _finish(place, plan, parted, reporter)


@dataclass(frozen=True)
class _Parted:
    """The pictures, and the fold of each, int64 (N,), 1 to the number of folds."""

    pool: ImageData
    numbers: NDArray[np.int64]

    @classmethod
    def from_plan(cls, plan: FoldsPlan) -> _Parted:
        """Read and part the pictures. Raises UsageError where a fold cannot be made, or trained on the others."""
        settings = plan.settings
        if plan.count < 2:  # before the pictures are read
            raise UsageError("--folds", f"{plan.count} found", "2 or more")
        pool = load_pool(settings.data)
        parted = cls(pool, fold_numbers(pool.train, plan.count, settings.data.split_seed))
        for fold in range(1, plan.count + 1):
            with _named(fold):
                check_rules(settings, parted.splits_of(fold, plan))
        return parted

    def splits_of(self, fold: int, plan: FoldsPlan) -> Splits:
        """The parts of a fold's run."""
        return split(self.data_of(fold), plan.settings.data, watch_test=False)

    def data_of(self, fold: int) -> ImageData:
        """What a fold's run trains and tests on."""
        return fold_of(self.pool, self.numbers, fold)


def _finish(folder: FoldsFolder, plan: FoldsPlan, parted: _Parted, reporter: Reporter) -> CrossValidationResult:
    """Train the folds that are not done, once the pictures are known to be those of the others, and conclude."""
    once = told_once(reporter)
    runs: dict[int, RunFolder] = {}
    with _stops(folder), device_room.explain_memory("training"):
        for fold in range(1, plan.count + 1):
            if (found := folder.runs.find_finished(plan.run_name(fold))) is not None:
                with _named(fold):
                    verify(found.read(RecordedSplits), parted.splits_of(fold, plan))
                runs[fold] = found
        if runs:
            reporter.note(f"{len(runs)} of {plan.count} folds are already finished")
        for fold in range(1, plan.count + 1):
            if fold in runs:
                continue
            reporter.note(f"fold {fold} of {plan.count}")
            with _named(fold):
                name, data = plan.run_name(fold), parted.data_of(fold)
                runs[fold] = RunFolder(begin_or_resume(folder.runs, name, plan.settings_of(fold), data, once).run)
        results = conclude(folder, plan, dict(sorted(runs.items())), parted.pool.train)
    return CrossValidationResult(folder=folder.path, **vars(results))


@contextlib.contextmanager
def _named(fold: int) -> Generator[None]:
    """Say of which fold an error is."""
    try:
        yield
    except Interrupted:
        raise
    except SightlineError as error:
        raise type(error)(f"fold {fold}: {error.subject}", error.found, error.expected, error.advice) from error


@contextlib.contextmanager
def _stops(folder: FoldsFolder) -> Generator[None]:
    """Say of a cross-validation that was stopped how it goes on."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        advice = f"What was trained is kept. Continue with: sightline train --resume {folder.path}"
        raise Interrupted(str(folder.path), "stopped", advice=advice) from error
