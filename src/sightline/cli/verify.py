"""`sightline verify`: check the files of runs against their sums."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_json, print_notes, show
from sightline.errors import FileError
from sightline.language import said
from sightline.language.columns import padded, width

if TYPE_CHECKING:
    from sightline import VerifyResult

VERIFY = Group("Verify", sort_key=1)
STATES = ("ok", "changed", "missing", "not listed")
NAMED = 3


def verify(
    folders: Annotated[
        list[Path],
        Parameter(group=VERIFY, help="Runs, comparisons, cross-validations or studies, or folders that hold some."),
    ],
    /,
    *,
    output: Output = AS_TEXT,
) -> None:
    """Verify, print the state of each file, and end with exit code 4 if one has changed or is missing."""
    with output.working():
        import sightline

        found = sightline.verify(*folders)
    if output.json:
        print_json(found.to_dict())
    else:
        _show(found)
    if old := [str(folder.folder) for folder in found.folders if not folder.has_sums]:
        more = f" and {len(old) - NAMED} more" if len(old) > NAMED else ""
        why = "written by an older version, or without sums.json, so nothing is known of the files"
        print_notes([f"note: {', '.join(old[:NAMED])}{more}: {why}"])
    if damaged := found.damaged:
        first, count = str(damaged[0]), len(damaged)
        others = "" if count == 1 else f", as {count - 1} more"
        advice = "Restore a copy, or write it anew with the command that wrote it."
        raise FileError(first, f"it has changed or gone missing since Sightline wrote it{others}", advice=advice)


def _show(found: VerifyResult) -> None:
    column = max(width(said(state)) for state in STATES)
    for folder in found.folders:
        show(str(folder.folder))
        for name, state in folder.files.items():
            show(f"  {padded(said(state), column)}  {name}")
        counts = Counter(folder.files.values())
        told = said(", ").join(said(f"{counts[state]} {state}") for state in STATES if counts[state])
        files = said(f"{len(folder.files)} file{'' if len(folder.files) == 1 else 's'}")
        show(f"  {files}{said(': ')}{told}", "")
