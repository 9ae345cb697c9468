"""`sightline predict`: classify pictures."""

from __future__ import annotations

import codecs
import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from sightline.cli.app import STDIN
from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, finite, print_exactly, print_json, print_notes
from sightline.cli.streams import read_all
from sightline.errors import ImageError, UsageError, with_reasons
from sightline.printable import shortened

if TYPE_CHECKING:
    from sightline import Prediction

    PredictFlags = Any
    NONE_GIVEN: Any = None
else:
    PredictFlags = setting_flags(names=("image_column", "device"))
    NONE_GIVEN = PredictFlags()

PREDICT = Group("Predict", sort_key=1)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet computes."""


@Parameter(name="*")
@dataclass(frozen=True)
class ShowFlags:
    """How lists are read and predictions are shown."""

    top_k: Annotated[int, Parameter(group=PREDICT, metavar="K", help="Number of most likely classes to show.")] = 3
    format: Annotated[
        Literal["table", "csv", "json"] | None,
        Parameter(group=PREDICT, metavar="NAME", help="One of table, csv, json. [table]"),
    ] = None
    spreadsheet: Annotated[
        bool,
        Parameter(
            negative="",
            group=PREDICT,
            help="With --format csv: put an apostrophe before cells that a spreadsheet would take for a formula.",
        ),
    ] = False
    null: Annotated[
        bool,
        Parameter(
            name=("--null", "-0"),
            negative="",
            group=PREDICT,
            help="The list on stdin has a NUL character after each path, as find -print0 writes it.",
        ),
    ] = False


AS_TABLE = ShowFlags()


def predict(
    model: Annotated[Path, Parameter(group=PREDICT, help="A run's folder, a model file or an ONNX file.")],
    /,
    *pictures: Annotated[
        str,
        Parameter(
            group=PREDICT,
            name="picture",
            help="A picture, a folder or archive, a label file, or - for a list of paths on stdin.",
        ),
    ],
    show: ShowFlags = AS_TABLE,
    skip_bad: Annotated[
        bool,
        Parameter(negative="", group=PREDICT, help="Skip unreadable pictures and list them, instead of stopping."),
    ] = False,
    batch_size: Annotated[
        int | None, Parameter(group=PREDICT, metavar="N", help="Pictures per batch. [depends on their size]")
    ] = None,
    flags: PredictFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Predict, and print the predictions."""
    _check(show, pictures, as_json=output.json)
    bad: list[tuple[str, str]] = []

    def remember(error: ImageError) -> None:
        bad.append((error.subject, error.found))

    with output.working():
        settings = given(flags)
        notes: list[str] = []
        column = settings.pop("image_column", "auto")
        paths = list(_pictures(pictures, null=show.null, image_column=column, skip_bad=skip_bad, tell=notes.append))
        print_notes(notes)
        import sightline

        classifier = sightline.load(model, **settings)
        answers = classifier.predict(paths, batch_size=batch_size, skip_bad=skip_bad, on_bad=remember)
    if skip_bad and bad:
        print_notes([f"skipped {len(bad)} unreadable: {with_reasons(bad)}"])
    if output.json or show.format == "json":
        print_json([answer.to_dict() for answer in answers])
    elif show.format == "csv":
        _show_csv(answers, classifier.class_names, spreadsheet=show.spreadsheet)
    else:
        _show_table(answers, show.top_k)


def _check(show: ShowFlags, pictures: Sequence[str], *, as_json: bool) -> None:
    if as_json and show.format not in (None, "json"):
        raise UsageError("--format", f"{show.format} found together with --json", advice="Give one of them.")
    if show.spreadsheet and show.format != "csv":
        raise UsageError("--spreadsheet", "it is given without --format csv", advice="Add --format csv.")
    if show.null and STDIN not in pictures:
        raise UsageError("--null", "it is given without a list on stdin", advice="Add - to read one.")
    if show.top_k < 1:
        raise UsageError("--top-k", f"{show.top_k} found", "1 or more")


def _pictures(arguments: Sequence[str], *, null: bool, **options: Any) -> Iterator[Path]:
    """List every picture that the arguments name: files as they are, folders with all pictures below them, sorted.

    `null`: the paths on stdin end with NUL characters, not lines. `options` are those of `find_pictures`.
    """
    import sightline

    if not arguments:
        raise UsageError("PICTURE", "none given", "a picture, a folder or -")
    for argument in arguments:
        if argument == STDIN:
            yield from _listed(read_all(sys.stdin), null=null)
        else:
            yield from sightline.find_pictures(argument, **options)


def _listed(content: bytes, *, null: bool) -> Iterator[Path]:
    """The paths of a list: one a line, whose end alone is no part of a name, or one before each NUL character.

    A byte order mark at the start is no part of a name. Raises UsageError for a list of the other kind.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    if null:
        paths = content.split(b"\0")
    elif b"\0" in content:
        advice = "Add --null for a list that find -print0 wrote, or save the list as UTF-8."
        raise UsageError("the list on stdin", "it has NUL characters", "one path per line", advice)
    else:
        paths = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    for path in paths:
        if path.strip():
            yield Path(os.fsdecode(path))


def _show_csv(answers: Sequence[Prediction], class_names: Sequence[str], *, spreadsheet: bool) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    cell = _not_a_formula if spreadsheet else str
    writer.writerow(["path", "label", "probability", *(f"probability_{name}" for name in class_names)])
    for answer in answers:
        row = [answer.probability, *(answer.probabilities[name] for name in class_names)]
        writer.writerow([cell(answer.source), cell(answer.label), *finite(row)])
    print_exactly(text.getvalue().removesuffix("\n"))


def _not_a_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would compute: OWASP, "CSV Injection"."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _show_table(answers: Sequence[Prediction], top_k: int) -> None:
    from sightline.cli.tables import percent, table

    head = ["picture", "class", "probability", *(["then"] if top_k > 1 else [])]
    rows: list[list[str]] = []
    for answer in answers:
        then = ", ".join(f"{shortened(label)} {percent(p)}" for label, p in answer.top(top_k)[1:])
        rows.append(
            [answer.source, shortened(answer.label), percent(answer.probability), *([then] if top_k > 1 else [])]
        )
    table(head, rows)
