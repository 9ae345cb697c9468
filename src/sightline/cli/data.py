"""`sightline data list` and `sightline data get`: list and download the built-in datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_exactly, print_json, say
from sightline.language import said

if TYPE_CHECKING:
    DataDirFlag = Any
    NONE_GIVEN: Any = None
else:
    DataDirFlag = setting_flags(names=("data_dir",))
    NONE_GIVEN = DataDirFlag()

DATASET = Group("Dataset", sort_key=1)


def list_datasets(*, flags: DataDirFlag = NONE_GIVEN, output: Output = AS_TEXT) -> None:
    """List the datasets."""
    with output.working():
        import sightline

        found = sightline.list_datasets(**given(flags))
    if output.json:
        print_json({"datasets": [vars(line) for line in found]})
        return
    from sightline.cli.tables import table_with_notes

    rows: list[list[str]] = []
    for line in found:
        size = "x".join(map(str, (line.size[2], *line.size[:2]))) if line.size else said("any")
        counts = [said("any") if count is None else f"{count:,}" for count in (line.classes, line.train, line.test)]
        rows.append([line.name, size, *counts, said(line.found or "not downloaded yet")])
    head = ["data", "image", "classes", "train", "test", "where"]
    table_with_notes(head, rows, [said(line.title, "titles") for line in found])
    say("", "To train on one: sightline train NAME. On your own folder: sightline train FOLDER")


def get_dataset(
    name: Annotated[str, Parameter(group=DATASET, help="A dataset's name.")],
    /,
    *,
    flags: DataDirFlag = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Find or download a dataset's files."""
    with output.working():
        import sightline

        files = sightline.get_dataset(name, quiet=output.json, **given(flags))
    if output.json:
        print_json({"data": name, "files": files})
    elif files:
        for path in files.values():
            print_exactly(str(path))
    else:
        say(f"{name} needs no files")
