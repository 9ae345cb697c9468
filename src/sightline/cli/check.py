"""`sightline check`: find problems in a dataset before training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import DATA, given, setting_flags, typed
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json, print_notes, say, show
from sightline.errors import DataError
from sightline.language import said
from sightline.language.columns import wrapped
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import CheckResult
    from sightline.checking.records import PartCounts, Problem

    CheckFlags = Any
    NONE_GIVEN: Any = None
else:
    CheckFlags = setting_flags(names=DATA)
    NONE_GIVEN = CheckFlags()

CHECK = Group("Check", sort_key=1)
NAMED, WIDEST, NARROWEST = 3, 100, 40


def check(
    data: Annotated[str, Parameter(group=CHECK, help="A dataset's name, or a path to your pictures.")],
    /,
    *,
    near: Annotated[
        bool,
        Parameter(
            group=CHECK,
            help="Also search for near duplicates: re-encoded, resized, darker or brighter copies. The time grows with "
            "the square of the number of pictures.",
        ),
    ] = True,
    alike: Annotated[
        float | None,
        Parameter(group=CHECK, metavar="X", help="Minimum similarity of near duplicates, 0.5 to 1. [0.97]"),
    ] = None,
    strict: Annotated[
        bool,
        Parameter(group=CHECK, negative="", help="End with exit code 3 if anything is listed as wrong."),
    ] = False,
    out: Annotated[
        Path | None,
        Parameter(group=CHECK, metavar="DIR", help="Folder for check.json and contact_sheet.png. [not written]"),
    ] = None,
    flags: CheckFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="Show no progress.")] = False,
    output: Output = AS_TEXT,
) -> None:
    """Check, and print what was found."""
    with output.working():
        import sightline

        chosen = {} if alike is None else {"alike": alike}
        result = sightline.check(data, out=out, near=near, quiet=quiet, **chosen, **given(flags))
    print_notes(result.notes)
    if output.json:
        print_json(result.to_dict())
    else:
        _show(result, " ".join([data, *(f"{flag_of(name)} {value}" for name, value in typed(flags).items())]), out)
    if strict and result.wrong:
        raise DataError(data, f"{_things_wrong(result)} wrong with it", "a dataset without faults, with --strict")


def _show(result: CheckResult, data: str, out: Path | None) -> None:
    from rich.console import Console

    from sightline.cli.tables import table

    width = max(NARROWEST, min(Console().width, WIDEST))
    table(["split", "pictures", "classes", "per class"], [_row(name, part) for name, part in result.parts.items()])
    for title, wrong in (("Wrong", True), ("Worth knowing", False)):
        chosen = [problem for problem in result.problems if problem.wrong is wrong]
        if chosen:
            say("", title)
        for problem in chosen:
            show(*_lines(problem, width))
    say()
    # A path or a command that is broken over lines could not be copied.
    if out is not None:
        say(f"Written to {out}: {' and '.join(path.name for path in result.written)}")
    elif result.problems:
        say(f"Full list, with the pictures: sightline check {data} --out DIR")
    if result.wrong:
        kinds = _things_wrong(result)
        ending = said(f"{kinds} wrong. Next: work through the list from the top, then check again.")
        show(*wrapped(ending, width))
    else:
        say(f"Nothing is wrong. Next: sightline train {data}")


def _things_wrong(result: CheckResult) -> str:
    kinds = sum(problem.wrong for problem in result.problems)
    return "1 thing is" if kinds == 1 else f"{kinds} things are"


def _row(name: str, part: PartCounts) -> list[str]:
    from sightline.cli.tables import between

    counts = part.classes.values()
    if not counts:
        return [said(name), "0", "0", "-"]
    low, high = min(counts), max(counts)
    spread = f"{low:,}" if low == high else between(f"{low:,}", f"{high:,}")
    return [said(name), f"{part.pictures:,}", f"{len(counts):,}", spread]


def _lines(problem: Problem, width: int) -> Iterator[str]:
    """A problem's text, its first cases, and what to do, wrapped."""
    yield from wrapped("- " + said(problem.text, "notes"), width, initial_indent="  ", subsequent_indent="    ")
    for entry in problem.entries[:NAMED]:
        note = said(entry.note, problem.section)
        line = " = ".join(entry.files) + (f" ({note})" if note else "")
        yield from wrapped(line, width, initial_indent=" " * 6, subsequent_indent=" " * 8)
    if problem.count > NAMED:
        yield "      " + said(f"and {problem.count - NAMED:,} more")
    yield from wrapped("-> " + said(problem.advice, "notes"), width, initial_indent=" " * 4, subsequent_indent=" " * 7)
