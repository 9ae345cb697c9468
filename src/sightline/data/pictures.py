"""The pictures that a path names, as `predict` takes them."""

from __future__ import annotations

import os
from pathlib import Path

from sightline.data.decoder import SUFFIXES
from sightline.data.folder import pictures_below
from sightline.errors import DataError


def find_pictures(path: str | Path) -> list[Path]:
    """List the pictures that a path names: all that are in a folder and in those inside it, sorted; else the path.

    Which files of a folder are pictures their suffixes tell; none is opened. Raises DataError for a folder without any
    and for one that cannot be listed.
    """
    if not os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises where one may not look; decoding will name it)
        return [Path(path)]
    pictures = list(pictures_below(Path(path)))
    if not pictures:
        raise DataError(str(path), "it has no pictures", f"files ending in {', '.join(sorted(SUFFIXES))}")
    return pictures
