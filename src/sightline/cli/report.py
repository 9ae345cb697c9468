"""`sightline report`: a report from the files of one or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_exactly, print_json, print_notes
from sightline.language import asked

REPORT = Group("Report", sort_key=1)


def report(
    folder: Annotated[
        Path, Parameter(group=REPORT, help="The folder of a run, a comparison, a cross-validation or a study.")
    ],
    /,
    *,
    slides: Annotated[
        bool, Parameter(group=REPORT, negative="", help="Also write slides.pptx, 8 to 12 slides.")
    ] = False,
    markdown: Annotated[
        bool, Parameter(group=REPORT, negative="", help="Also write report.md, with its pictures in a folder.")
    ] = False,
    out: Annotated[
        Path | None, Parameter(group=REPORT, metavar="DIR", help="Folder to write to. [the folder itself]")
    ] = None,
    output: Output = AS_TEXT,
) -> None:
    """Write the report, in the language that is spoken, and print where."""
    with output.working():
        import sightline

        found = sightline.report(folder, slides=slides, markdown=markdown, lang=asked(), out=out)
    if output.json:
        print_json(found.to_dict())
        return
    print_notes(found.notes)
    for path in found.files:
        print_exactly(str(path))
