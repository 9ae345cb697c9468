"""`sightline card`: write a model card for the people who get the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_exactly, print_json

CARD = Group("Card", sort_key=1)


def card(
    run: Annotated[Path, Parameter(group=CARD, help="The folder of a run.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(group=CARD, metavar="FILE", help="File to write. [RUN/README.md]")] = None,
    license: Annotated[
        str, Parameter(group=CARD, metavar="NAME", help="License of the model, as the Hub names it.")
    ] = "other",
    force: Annotated[
        bool, Parameter(group=CARD, negative="", help="Replace the file even if somebody else wrote or changed it.")
    ] = False,
    output: Output = AS_TEXT,
) -> None:
    """Write the card, and print where."""
    with output.working():
        import sightline

        found = sightline.card(run, out=out, license=license, force=force)
    if output.json:
        print_json(found.to_dict())
    else:
        print_exactly(str(found.path))
