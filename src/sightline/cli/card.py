"""`sightline card`: a model card of a run, for whoever gets the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_json

CARD = Group("Card", sort_key=1)


def card(
    run: Annotated[Path, Parameter(group=CARD, help="The folder of a run.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(group=CARD, metavar="FILE", help="The card. [RUN/README.md]")] = None,
    license: Annotated[
        str, Parameter(group=CARD, metavar="NAME", help="The license that you give the model, by the Hub's name.")
    ] = "other",
    force: Annotated[
        bool, Parameter(group=CARD, negative="", help="Replace a file that it did not write, or that was changed.")
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
        print(found.path)
