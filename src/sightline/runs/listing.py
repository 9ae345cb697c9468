"""Runs side by side: what each is, how far it is and what came of it, from their folders alone.

Free of torch, and nothing is written: looking at a folder of runs takes a few milliseconds a run, and disturbs none
that is under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from sightline.errors import FileError, UsageError, unknown
from sightline.runs.folder import RESULTS, SETTINGS, RunFolder
from sightline.runs.records import Failure, Splits
from sightline.runs.selection import selected_row
from sightline.settings import data_name

State = Literal["done", "running", "interrupted", "diverged"]
DEFAULT_FOLDER = "runs"
EVERYWHERE = (DEFAULT_FOLDER, "comparisons", "folds", "studies")
# Where comparisons, cross-validations and studies keep their runs.
INSIDE = ("runs", "trials", "final")
LONGEST_REASON = 100
ORDERS = ("date", "name", "accuracy")


@dataclass(frozen=True)
class ListedRun:
    """A run, as described by its folder.

    `state`: done (and tested, if there are test images), running in a process on this machine, interrupted, or
    diverged (its loss or probabilities were not finite). `epochs` and `steps` are the finished ones, `planned_epochs`
    or `planned_steps` the planned length, whichever the run uses. `val_accuracy` is that of the selected epoch,
    `test_accuracy` that of the finished run, with its 95 % interval, as fractions; None if there is none (yet).
    `train_seconds`: training and validation. `date`: of the last result, local time.
    """

    run: Path
    name: str
    data: str
    model: str
    recipe: str | None
    seed: int
    state: State
    epochs: int
    steps: int
    planned_epochs: int | None
    planned_steps: int | None
    val_accuracy: float | None
    test_accuracy: float | None
    test_interval: tuple[float, float] | None
    train_seconds: float
    date: datetime

    def to_dict(self) -> dict[str, Any]:
        """The run for JSON."""
        return {**asdict(self), "run": str(self.run), "date": self.date.isoformat(timespec="seconds")}


@dataclass(frozen=True)
class RunList:
    """Runs in the requested order, and the folders that were left out, each with the reason."""

    runs: tuple[ListedRun, ...]
    left_out: Mapping[Path, str]

    def to_dict(self) -> dict[str, Any]:
        """The list for JSON."""
        left_out = {str(path): why for path, why in self.left_out.items()}
        return {"runs": [run.to_dict() for run in self.runs], "left_out": left_out}


def list_runs(
    *folders: str | Path,
    data: str | None = None,
    model: str | None = None,
    sort: str = "date",
    everywhere: bool = False,
) -> RunList:
    """List the runs in `folders`: single runs, or folders with runs, comparisons, cross-validations or studies.

    Without `folders`: the runs in runs/, with `everywhere` also in comparisons/, folds/ and studies/. `data` and
    `model` keep only the runs with that name. `sort`: date (newest last), name, or accuracy (best last): the validation
    accuracy, or the test accuracy of a run without validation images. Folders that are not runs or are damaged are left
    out and named. Raises FileError for a folder that does not exist, UsageError for another order.
    """
    if sort not in ORDERS:
        raise unknown("--sort", sort, ORDERS)
    if folders and everywhere:
        raise UsageError("--all", f"given with {folders[0]}", "one of them", "Leave one out.")
    places = [Path(folder) for folder in folders]
    for place in places:
        if not place.is_dir():
            raise FileError(str(place), "no such folder", "a folder that has runs, or a run")
    if not folders:
        places = [Path(name) for name in (EVERYWHERE if everywhere else (DEFAULT_FOLDER,)) if Path(name).is_dir()]
    left_out: dict[Path, str] = {}
    listed: dict[Path, ListedRun] = {}
    for place in places:
        for path in _begun(place, left_out, top=True):
            try:
                listed[path] = _listed(RunFolder(path))
            except FileError as error:
                left_out[path] = shorten(
                    f"damaged, {Path(error.subject).name}: {error.found}", LONGEST_REASON, placeholder=" ..."
                )
            except OSError as error:
                left_out[path] = (error.strerror or type(error).__name__).lower()
    chosen = [run for run in listed.values() if data in (None, run.data) and model in (None, run.model)]
    return RunList(tuple(sorted(chosen, key=_order(sort))), left_out)


def _begun(folder: Path, left_out: dict[Path, str], *, top: bool = False) -> Iterator[Path]:
    """Find the run folders in a folder; only the one that was named is looked through whatever it is."""
    try:
        if (folder / SETTINGS).is_file():
            yield folder
            return
        inside = [folder / name for name in INSIDE if (folder / name).is_dir()]
        if not inside and not top:
            left_out[folder] = f"no {SETTINGS}, so no run began in it"
            return
        for place in inside or [folder]:
            for path in sorted(place.iterdir()):
                if not path.name.startswith(".") and path.is_dir():
                    yield from _begun(path, left_out)
    except OSError as error:
        left_out[folder] = (error.strerror or type(error).__name__).lower()


def _listed(folder: RunFolder) -> ListedRun:
    settings = folder.settings()
    rows = folder.results()
    state = _state(folder)
    test = folder.test_folder
    report = test.read() if state == "done" and test.metrics_path.is_file() else None
    last = rows[-1] if rows else {"epoch": 0.0, "step": 0.0}
    selected = selected_row(rows, settings.training.select)
    results = folder.path / RESULTS
    newest = results if results.is_file() else folder.settings_path
    return ListedRun(
        run=folder.path,
        name=folder.path.resolve().name,
        data=data_name(settings.data),
        model=folder.network_name(settings),
        recipe=settings.recipe,
        seed=settings.training.seed,
        state=state,
        epochs=int(last["epoch"]),
        steps=int(last["step"]),
        planned_epochs=settings.training.epochs,
        planned_steps=settings.training.steps,
        val_accuracy=None if selected is None else selected["val_accuracy"],
        test_accuracy=None if report is None else report.accuracy,
        test_interval=None if report is None else report.interval,
        train_seconds=sum(row.get("seconds", 0.0) for row in rows),
        date=datetime.fromtimestamp(newest.stat().st_mtime).astimezone(),
    )


def _state(folder: RunFolder) -> State:
    if folder.is_in_work():
        return "running"
    if folder.has(Failure):
        return "diverged"
    if not folder.is_finished():
        return "interrupted"
    untested = not folder.test_folder.metrics_path.is_file() and "test" in folder.read(Splits).parts
    return "interrupted" if untested else "done"


def _order(sort: str) -> Any:
    def by_accuracy(run: ListedRun) -> tuple[Any, ...]:
        # To choose among runs by their test accuracy would make training images of the test images.
        accuracy = run.test_accuracy if run.val_accuracy is None else run.val_accuracy
        return (accuracy is not None, accuracy or 0.0, run.date)

    def by_name(run: ListedRun) -> tuple[Any, ...]:
        return (run.name, run.date)

    def by_date(run: ListedRun) -> tuple[Any, ...]:
        return (run.date, str(run.run))

    return {"date": by_date, "name": by_name, "accuracy": by_accuracy}[sort]
