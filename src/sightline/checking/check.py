"""`sightline check`: everything that may be wrong with a dataset, looked for in one pass over its pictures.

Training tells the same in brief (`audit`), about the images that it has decoded anyway. This looks at the files
themselves: it stops at none, reads each in its own size, and searches for near duplicates as well. Free of torch, so
that it starts at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.checking.problems import WITHOUT_PICTURES, find_problems
from sightline.checking.records import NearSearch, PartCounts, Problem
from sightline.checking.survey import Pixels, Survey, exact_pairs, near_pairs, survey_of
from sightline.data.duplicates import ALIKE
from sightline.data.layout import as_text
from sightline.errors import ImageError, UsageError
from sightline.files import atomic
from sightline.files.json_records import to_json
from sightline.settings import DataSettings, build_settings

REPORT, SHEET = "check.json", "contact_sheet.png"
CELLS_A_PROBLEM = 8


@dataclass(frozen=True)
class CheckResult:
    """The result of a check, as in check.json, with access to the pictures concerned.

    Each problem has `kind`, `count`, `wrong`, `text`, `advice` and `entries`. Each entry has `files`, one path or a
    pair of paths relative to the folder, and `note`, a remark about them.
    """

    data: str
    files: int
    """The number of pictures, those that cannot be read included."""
    pictures: int
    """The number of pictures that can be read."""
    unreadable: int
    parts: Mapping[str, PartCounts]
    near_duplicates: NearSearch
    problems: tuple[Problem, ...]
    """What is wrong, then what is only worth knowing."""
    seconds: float
    picture: Callable[[str], Pixels] = field(repr=False, compare=False)
    """Gives a picture's pixels, uint8 (H, W, 1 or 3), by its path in an entry."""
    notes: tuple[str, ...] = ()
    """Where the pictures of an archive were found, and which columns of a label file were taken."""
    written: tuple[Path, ...] = ()
    """check.json, and contact_sheet.png where there is a picture to show; empty without `out`."""

    @property
    def wrong(self) -> bool:
        """Whether there are problems that should be fixed before training."""
        return any(problem.wrong for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON, as check.json holds it."""
        return {
            "data": self.data,
            **({"notes": list(self.notes)} if self.notes else {}),
            "files": self.files,
            "pictures": self.pictures,
            "unreadable": self.unreadable,
            "parts": {name: to_json(part) for name, part in self.parts.items()},
            "near_duplicates": to_json(self.near_duplicates),
            "wrong": self.wrong,
            "problems": [problem.to_dict() for problem in self.problems],
            "seconds": self.seconds,
        }


def check(
    data: str | Path,
    *,
    out: str | Path | None = None,
    near: bool = True,
    alike: float = ALIKE,
    quiet: bool = False,
    **settings: Any,
) -> CheckResult:
    """Find problems in a dataset, or in your own pictures as `train` accepts them.

    `out`: a folder for check.json, which has the content of `to_dict()`, and contact_sheet.png, which shows the
    pictures concerned. `near`: also search for near duplicates, whose thumbnails correlate by at least `alike` (0.5 to
    1). `settings`: data settings by name, e.g. `data_dir`. Raises UsageError; DataError if there is no dataset;
    ResourceError if `out` cannot be written. A bad picture raises no error.
    """
    data_settings = build_settings(None, {**settings, "data": str(data)}).data
    result = _look_over(data_settings, near=near, alike=alike, quiet=quiet)
    if out is not None:
        folder = Path(out)
        atomic.write_json(folder / REPORT, _as_text(result.to_dict()))
        _write_sheet(result, folder / SHEET)
        result = replace(result, written=tuple(path for name in (REPORT, SHEET) if (path := folder / name).is_file()))
    return result


def _look_over(settings: DataSettings, *, near: bool, alike: float, quiet: bool) -> CheckResult:
    if not 0.5 <= alike <= 1:
        raise UsageError("--alike", f"{alike:g} found", "0.5 to 1")
    start = time.perf_counter()
    survey, picture = survey_of(settings, quiet=quiet)
    exact = exact_pairs(survey)
    problems = find_problems(survey, exact, near_pairs(survey, exact, alike, quiet=quiet) if near else [])
    return CheckResult(
        data=settings.name,
        files=len(survey.ids) + len(survey.bad),
        pictures=len(survey.ids),
        unreadable=len(survey.bad),
        parts=_counts(survey),
        near_duplicates=NearSearch(near, alike),
        problems=problems,
        seconds=round(time.perf_counter() - start, 2),
        picture=picture,
        notes=survey.listing.notes if survey.listing else (),
    )


def _counts(survey: Survey) -> dict[str, PartCounts]:
    counts = {name: dict.fromkeys(classes, 0) for name, classes in survey.classes.items()}
    for part, label in zip(survey.parts, survey.labels, strict=True):
        counts[survey.part_names[part]][label] += 1
    return {name: PartCounts(sum(classes.values()), classes, _imbalance(classes)) for name, classes in counts.items()}


def _imbalance(classes: Mapping[str, int]) -> float | None:
    counts = classes.values()
    return round(max(counts) / min(counts), 3) if counts and min(counts) else None


def _write_sheet(result: CheckResult, path: Path) -> None:
    """Draw the pictures in question; where there are none, an older sheet goes, since it would be believed."""
    from sightline.drawing.contact_sheet import Cell, Group, contact_sheet
    from sightline.drawing.words import lettered

    groups: list[Group] = []
    for problem in result.problems:
        if problem.kind in WITHOUT_PICTURES:
            continue
        cells: list[Cell] = []
        for entry in problem.entries[:CELLS_A_PROBLEM]:
            pictures = [_picture(result.picture, name) for name in entry.files]
            cells.append(Cell(pictures, entry.files, lettered(entry.note, problem.section)))
        more = problem.count - len(cells)
        heading = lettered(problem.text, "notes")
        groups.append(Group(heading + (lettered(f"; {more:,} more in {REPORT}") if more else ""), cells))
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
