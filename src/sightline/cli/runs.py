"""`sightline runs`: list runs with their progress and metrics."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_json, print_notes, say, show
from sightline.language import said
from sightline.language.columns import wrapped

if TYPE_CHECKING:
    from sightline import ListedRun, RunList

RUNS = Group("Runs", sort_key=1)
MOST_NAMED = 10
MINUTE, HOUR = 60, 3600
GAP, TIME_OF_DAY = 3, len(" 12:00")


def runs(
    folders: Annotated[
        list[Path] | None,
        Parameter(
            group=RUNS,
            help="Runs, or folders that hold runs, comparisons, cross-validations or studies. [runs]",
        ),
    ] = None,
    /,
    *,
    all: Annotated[
        bool, Parameter(group=RUNS, negative="", help="List the runs in runs/, comparisons/, folds/ and studies/ here.")
    ] = False,
    data: Annotated[str | None, Parameter(group=RUNS, metavar="NAME", help="Only the runs on this data.")] = None,
    model: Annotated[str | None, Parameter(group=RUNS, metavar="NAME", help="Only the runs of this network.")] = None,
    sort: Annotated[
        str,
        Parameter(
            group=RUNS,
            metavar="ORDER",
            help="date (newest last), name, or accuracy (best last; validation accuracy if there is one).",
        ),
    ] = "date",
    output: Output = AS_TEXT,
) -> None:
    """List runs with their metrics."""
    import sightline

    found = sightline.list_runs(*(folders or []), data=data, model=model, sort=sort, everywhere=all)
    if output.json:
        print_json(found.to_dict())
    elif found.runs:
        _show(found.runs)
    else:
        _show_none(found, folders or [], {"--data": data, "--model": model})
    if found.left_out:
        _name_left_out(found.left_out)


def _show(found: Sequence[ListedRun]) -> None:
    """Print a line for each run; on a narrow terminal, each run's name above its metrics."""
    from rich.cells import cell_len
    from rich.console import Console

    from sightline.cli.tables import percent, table

    head = ["run", "data", "model", "val", "test", "epochs", "time", "date"]
    rows = [
        [
            str(run.run), run.data, run.model, percent(run.val_accuracy), percent(run.test_accuracy), _progress(run),
            _duration(run.train_seconds), f"{run.date:%Y-%m-%d %H:%M}",
        ]
        for run in found
    ]  # fmt: skip
    columns = zip(head, *rows, strict=True)
    too_wide = sum(max(map(cell_len, cells)) + GAP for cells in columns) - GAP - Console().width
    if not sys.stdout.isatty() or too_wide <= 0:
        table(head, rows)
        return
    rows = [[*cells, date.split()[0]] for *cells, date in rows]
    if too_wide <= TIME_OF_DAY:
        table(head, rows)
        return
    for path, data, model, val, test, progress, time, date in rows:
        show(path)
        figures = [f"{said(name)} {value}" for name, value in (("val", val), ("test", test)) if value != "-"]
        told = said(", ").join([data, model, *figures, f"{said('epochs')} {progress}", time, date])
        show(*wrapped(told, Console().width, initial_indent="    ", subsequent_indent="    "))


def _progress(run: ListedRun) -> str:
    """Say how many epochs are done; for an unfinished run also the planned number and its state."""
    if run.state == "done":
        return str(run.epochs)
    if run.planned_steps is not None:
        return f"{said(f'{run.steps}/{run.planned_steps} steps')}{said(', ')}{said(run.state)}"
    return f"{run.epochs}/{run.planned_epochs}{said(', ')}{said(run.state)}"


def _duration(seconds: float) -> str:
    if seconds < 2 * MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / MINUTE:.1f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def _show_none(found: RunList, folders: Sequence[Path], filters: Mapping[str, str | None]) -> None:
    asked = " ".join(f"{flag} {value}" for flag, value in filters.items() if value is not None)
    where = ", ".join(map(str, folders)) or "this folder"
    say(f"No runs in {where}{f' with {asked}' if asked else ''}.")
    if not asked and not found.left_out:
        say("Make one: sightline train digits")


def _name_left_out(left_out: Mapping[Path, str]) -> None:
    named: list[str] = []
    for reason in dict.fromkeys(left_out.values()):
        paths = [str(path) for path, why in left_out.items() if why == reason]
        more = " " + said(f"and {len(paths) - MOST_NAMED} more") if len(paths) > MOST_NAMED else ""
        named.append(f"{', '.join(paths[:MOST_NAMED])}{more} ({said(reason)})")
    count = f"{len(left_out)} folder{'' if len(left_out) == 1 else 's'}"
    print_notes([f"warning: left out {count}: {'; '.join(named)}"])
