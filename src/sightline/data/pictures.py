"""The pictures that a path names, as `predict` takes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sightline.data.archives import unpacked
from sightline.data.decoder import SUFFIXES
from sightline.data.formats import count_formats, unread_line
from sightline.data.labelled import read_labelled, refuse_missing
from sightline.data.layout import pictures_below
from sightline.errors import DataError
from sightline.settings.data import ARCHIVES, LABEL_FILES, DataSettings, has_suffix


def find_pictures(
    path: str | Path,
    *,
    image_column: str = "auto",
    skip_bad: bool = False,
    tell: Callable[[str], object] | None = None,
) -> list[Path]:
    """List the pictures of a path: of a folder or archive with its subfolders, sorted; of a label file, in its order.

    A label file (.csv, .tsv, .jsonl) names its pictures in the column `image_column`. Any other path is returned as it
    is. In a folder, pictures are recognized by their suffixes; no file is opened. `tell` receives messages about how a
    label file was read, and about pictures of formats that are not read. Raises DataError for a folder without
    pictures, for one that cannot be listed, for a damaged archive, and for a label file with missing pictures unless
    `skip_bad`; UsageError for a column that does not exist.
    """
    is_file = os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises where one may not look; decoding will name it)
    if is_file and has_suffix(str(path), LABEL_FILES):
        root = Path(path).parent
        settings = DataSettings(image_column=image_column)
        labelled = read_labelled(Path(path), root, settings, labels=False)
        if tell is not None:
            for note in labelled.columns.notes:
                tell(note)
        if not skip_bad:
            refuse_missing(labelled)
        return [root / row.id for row in labelled.rows]
    if is_file and has_suffix(str(path), ARCHIVES):
        folder = unpacked(Path(path)).folder
    elif not os.path.isdir(path):  # noqa: PTH112
        return [Path(path)]
    else:
        folder = Path(path)
    unread: list[str] = []
    pictures = list(pictures_below(folder, unread))
    if not pictures:
        expected = f"files ending in {', '.join(sorted(SUFFIXES))}"
        found = "it has no pictures"
        if unread:
            formats = ", ".join(f"{count:,} {name}" for name, count in count_formats(unread).items())
            found = f"it has no pictures but those of formats that are not read: {formats}"
        raise DataError(str(path), found, expected)
    if unread and tell is not None:
        tell(unread_line(unread))
    return pictures
