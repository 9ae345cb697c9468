"""Look a dataset over, and write down what was found: `sightline check`. Free of torch, so it starts at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline import atomic
from sightline.data.check import Check
from sightline.data.check import check as check_data
from sightline.data.check_problems import WITHOUT_PICTURES
from sightline.data.duplicates import ALIKE
from sightline.data.folder import as_text
from sightline.errors import ImageError

REPORT, SHEET = "check.json", "contact_sheet.png"
CELLS_A_PROBLEM = 8


def check(
    data: str | Path,
    *,
    out: str | Path | None = None,
    near: bool = True,
    alike: float = ALIKE,
    quiet: bool = False,
    **settings: Any,
) -> Check:
    """Find what is wrong with a dataset with a name, or a folder of pictures.

    `out`: a folder for check.json, which is the answer's `report`, and contact_sheet.png, the pictures in question.
    `near`: search for near duplicates too, whose thumbnails correlate by `alike` at least (0.5 to 1). `settings`:
    settings of the data by their flat names, e.g. `data_dir`. Raises UsageError, DataError where there is no dataset
    at all, ResourceError where `out` cannot be written; never for what is in a picture.
    """
    from sightline.settings import build_settings

    found = check_data(build_settings(None, {**settings, "data": str(data)}).data, near=near, alike=alike, quiet=quiet)
    if out is not None:
        folder = Path(out)
        atomic.write_json(folder / REPORT, _as_text(found.report))
        _write_sheet(found, folder / SHEET)
    return found


def _write_sheet(found: Check, path: Path) -> None:
    """Draw the pictures in question; where there are none, an older sheet goes, since it would be believed."""
    from sightline.drawing.contact_sheet import Cell, Group, contact_sheet

    groups: list[Group] = []
    for problem in found.report["problems"]:
        if problem["kind"] in WITHOUT_PICTURES:
            continue
        cells: list[Cell] = []
        for entry in problem["found"][:CELLS_A_PROBLEM]:
            pictures = [_picture(found.picture, name) for name in entry["files"]]
            cells.append(Cell(pictures, entry["files"], entry["say"]))
        more = problem["count"] - len(cells)
        groups.append(Group(problem["text"] + (f"; {more:,} more in {REPORT}" if more else ""), cells))
    if groups:
        contact_sheet(groups, path)
    else:
        with atomic.explain_disk(path):
            path.unlink(missing_ok=True)


def _picture(read: Callable[[str], NDArray[np.uint8]], name: str) -> NDArray[np.uint8] | None:
    try:
        return read(name)
    except (ImageError, OSError):
        return None


def _as_text(value: Any) -> Any:
    """Give `value` as JSON in UTF-8 can hold it: a file's name may be any bytes."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    return [_as_text(item) for item in value] if isinstance(value, list) else value
