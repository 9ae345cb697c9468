"""The pictures that a path names, as `predict` takes them."""

from __future__ import annotations

import os
from pathlib import Path

from sightline.data.archives import unpacked
from sightline.data.decoder import SUFFIXES
from sightline.data.labelled import read_labelled, refuse_missing
from sightline.data.layout import pictures_below
from sightline.errors import DataError
from sightline.settings.data import ARCHIVES, LABEL_FILES, DataSettings, has_suffix


def find_pictures(path: str | Path, *, image_column: str = "auto", skip_bad: bool = False) -> list[Path]:
    """List the pictures that a path names: all that are in a folder or archive and in those inside it, sorted; those of
    a file of labels (.csv, .tsv, .jsonl), in its order, by its column `image_column`; else the path.

    Which files of a folder are pictures their suffixes tell; none is opened. Raises DataError for a folder without any,
    for one that cannot be listed, for a damaged archive, and for a file of labels with missing pictures unless
    `skip_bad`; UsageError for a column that is not there.
    """
    is_file = os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises where one may not look; decoding will name it)
    if is_file and has_suffix(str(path), LABEL_FILES):
        root = Path(path).parent
        settings = DataSettings(image_column=image_column)
        labelled = read_labelled(Path(path), root, settings, labels=False)
        if not skip_bad:
            refuse_missing(labelled)
        return [root / row.id for row in labelled.rows]
    if is_file and has_suffix(str(path), ARCHIVES):
        path = unpacked(Path(path)).folder
    elif not os.path.isdir(path):  # noqa: PTH112
        return [Path(path)]
    pictures = list(pictures_below(Path(path)))
    if not pictures:
        raise DataError(str(path), "it has no pictures", f"files ending in {', '.join(sorted(SUFFIXES))}")
    return pictures
