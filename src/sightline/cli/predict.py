"""`sightline predict`: classify pictures."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from sightline.cli.app import STDIN
from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, finite, print_json, print_notes
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline import Prediction

    PredictFlags = Any
    NONE_GIVEN: Any = None
else:
    PredictFlags = setting_flags(names=("image_column", "device"))
    NONE_GIVEN = PredictFlags()

PREDICT = Group("Predict", sort_key=1)


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
    top_k: Annotated[int, Parameter(group=PREDICT, metavar="K", help="Number of most likely classes to show.")] = 3,
    format: Annotated[
        Literal["table", "csv", "json"] | None,
        Parameter(group=PREDICT, metavar="NAME", help="One of table, csv, json. [table]"),
    ] = None,
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
    if output.json and format not in (None, "json"):
        raise UsageError("--format", f"{format} found together with --json", advice="Give one of them.")
    if top_k < 1:
        raise UsageError("--top-k", f"{top_k} found", "1 or more")
    with output.working():
        settings = given(flags)
        notes: list[str] = []
        column = settings.pop("image_column", "auto")
        paths = list(_pictures(pictures, image_column=column, skip_bad=skip_bad, tell=notes.append))
        print_notes(notes)
        import sightline

        classifier = sightline.load(model, **settings)
        answers = classifier.predict(paths, batch_size=batch_size, skip_bad=skip_bad)
    if skip_bad:
        _name_skipped(paths, answers)
    if output.json or format == "json":
        print_json([answer.to_dict() for answer in answers])
    elif format == "csv":
        _show_csv(answers, classifier.class_names)
    else:
        _show_table(answers, top_k)


def _pictures(arguments: Sequence[str], **options: Any) -> Iterator[Path]:
    """List every picture that the arguments name: files as they are, folders with all pictures below them, sorted.

    `options` are those of `find_pictures`.
    """
    import sightline

    if not arguments:
        raise UsageError("PICTURE", "none given", "a picture, a folder or -")
    for argument in arguments:
        if argument == STDIN:
            yield from (Path(line) for line in sys.stdin.read().splitlines() if line.strip())
        else:
            yield from sightline.find_pictures(argument, **options)


def _show_csv(answers: Sequence[Prediction], class_names: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "label", "probability", *(f"probability_{name}" for name in class_names)])
    for answer in answers:
        row = [answer.probability, *(answer.probabilities[name] for name in class_names)]
        writer.writerow([answer.source, answer.label, *finite(row)])


def _show_table(answers: Sequence[Prediction], top_k: int) -> None:
    from sightline.cli.tables import percent, table

    head = ["picture", "class", "probability", *(["then"] if top_k > 1 else [])]
    rows: list[list[str]] = []
    for answer in answers:
        then = ", ".join(f"{label} {percent(p)}" for label, p in answer.top(top_k)[1:])
        rows.append([answer.source, answer.label, percent(answer.probability), *([then] if top_k > 1 else [])])
    table(head, rows)


def _name_skipped(paths: Sequence[Path], answers: Sequence[Prediction]) -> None:
    answered = {answer.source for answer in answers}
    skipped = [str(path) for path in paths if str(path) not in answered]
    if skipped:
        print_notes([f"skipped {len(skipped)} unreadable: {', '.join(skipped)}"])
