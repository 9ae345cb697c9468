"""The pictures that a label file names: where each lies, its class, its part and its group.

A path is relative to the folder of pictures, or to the file. What does not lie there is looked for by the end of its
path, with or without a suffix, in the folders beside: `0a3f` is `train_images/0a3f.jpg` where only one picture fits.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sightline.data.cache import Picture
from sightline.data.formats import is_picture
from sightline.data.label_file import Columns, Table, find_columns, read_table
from sightline.data.layout import PARTS, Part, PartName, is_utf8, is_visible, part_of
from sightline.errors import DataError
from sightline.settings.data import DataSettings

DEEPEST = 4
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class Row(NamedTuple):
    """A picture of the file. `id`: its path relative to the folder, with slashes; `size` is -1 where it is missing."""

    id: str
    label: str
    part: PartName | None
    group: str
    line: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Labelled:
    """All that a label file says, picture by picture.

    `twice`: each repeated row with the first of its picture; some have another label than that.
    """

    path: Path
    rows: Sequence[Row]
    columns: Columns
    twice: Sequence[tuple[Row, Row]] = field(default_factory=list[tuple[Row, Row]])

    @property
    def missing(self) -> list[Row]:
        """The rows whose pictures are not there."""
        return [row for row in self.rows if row.size < 0]


def read_labelled(
    path: Path, root: Path, settings: DataSettings, *, inside: Path | None = None, labels: bool = True
) -> Labelled:
    """Read a label file for the pictures in `root`, to which the paths in it and the ids are relative.

    `inside`: the folder that no path may lead out of, where the file came in an archive. Without `labels` only the
    pictures are read. Raises UsageError for an unknown column, DataError for a file that is no table, a row without a
    picture or label, and a name that several pictures have. Missing pictures and repeated rows are for the caller.
    """
    table = read_table(path)
    finder = _Finder(table, root, inside)
    columns = find_columns(table, settings, finder.is_there, labels=labels)
    _refuse_blanks(table, columns)
    _refuse_no_text(table, columns)
    places = finder.places(table.cells(columns.image))
    rows: dict[str, Row] = {}
    twice: list[tuple[Row, Row]] = []
    for cells, line, (place, facts) in zip(table.rows, table.lines, places, strict=True):
        label = "" if columns.label is None else " ".join(cells[columns.label].split())
        part = None if columns.split is None else part_of(cells[columns.split])
        group = "" if columns.group is None else cells[columns.group]
        row = Row(place, label, part, group, line, *facts)
        if place in rows:
            twice.append((rows[place], row))
        else:
            rows[place] = row
    return Labelled(path, list(rows.values()), columns, twice)


def _refuse_blanks(table: Table, columns: Columns) -> None:
    for place, what in ((columns.image, "picture"), (columns.label, "label")):
        blank = [] if place is None else [row for row, cell in enumerate(table.cells(place)) if not cell]
        if blank:
            rows = f"{len(blank):,} of its {len(table.rows):,} rows have" if len(blank) > 1 else "one of its rows has"
            found = f"{rows} no {what}, the first in line {table.lines[blank[0]]}"
            raise DataError(str(table.path), found, f"a {what} in each", "Fill it in, or remove the row.")


def _refuse_no_text(table: Table, columns: Columns) -> None:
    """Refuse what JSON can write and no file can hold: a half of a pair of surrogates."""
    for place, what in ((columns.image, "picture"), (columns.label, "label"), (columns.group, "group")):
        odd = [] if place is None else [row for row, cell in enumerate(table.cells(place)) if not is_utf8(cell)]
        if odd:
            subject = f"{table.path}, line {table.lines[odd[0]]}"
            raise DataError(subject, f"its {what} is no text", "text that UTF-8 can hold")


class _Finder:
    """Finds the pictures that a table names."""

    def __init__(self, table: Table, root: Path, inside: Path | None) -> None:
        self._table = table
        self._root, own = os.path.realpath(root), os.path.realpath(table.path.parent)
        self._bases = list(dict.fromkeys((self._root, own)))
        self._inside = None if inside is None else os.path.join(os.path.realpath(inside), "")  # noqa: PTH118
        self._indexes: dict[str, dict[str, list[str]]] = {}

    def is_there(self, value: str) -> bool:
        """Tell whether a cell names a picture."""
        return bool(value) and (self._direct(value) is not None or bool(self._by_end(value)))

    def places(self, values: Sequence[str]) -> list[tuple[str, tuple[int, int]]]:
        """Give the id of each picture with its size and time, size -1 for one that is not there."""
        found: list[list[str]] = []
        for value, line in zip(values, self._table.lines, strict=True):
            direct = self._direct(value)
            found.append([direct] if direct is not None else self._by_end(value))
            if direct is None and not self._is_inside(_joined(self._root, value)):
                said = f"'{value}' leads out of the archive"
                raise DataError(f"{self._table.path}, line {line}", said, "a picture inside it")
        folder = _common_folder(found)
        answers: list[tuple[str, tuple[int, int]]] = []
        for value, line, paths in zip(values, self._table.lines, found, strict=True):
            fits = [path for path in paths if _folder(path) == folder] or paths
            if len(fits) > 1:
                more = f" or {len(fits) - 2} more" if len(fits) > 2 else ""
                said = f"'{value}' could be {self._id(fits[0])} or {self._id(fits[1])}{more}"
                advice = "Write the folder in front of the name."
                raise DataError(f"{self._table.path}, line {line}", said, "a name of one picture", advice)
            path = fits[0] if fits else _joined(self._root, value)
            answers.append((self._id(path), _facts(path) or (-1, 0)))
        return answers

    def _direct(self, value: str) -> str | None:
        """Look where the path leads, from the folder of pictures and from the file's own."""
        for name in (value, value.replace("\\", "/")) if "\\" in value else (value,):
            for base in self._bases:
                path = _joined(base, name)
                if self._is_inside(path) and _facts(path) is not None:
                    return path
        return None

    def _by_end(self, value: str) -> list[str]:
        """Look for pictures whose path ends so, with or without its suffix.

        Those in the folder of pictures go before those in the file's, those in the same case before others.
        """
        name = value.replace("\\", "/").removeprefix("./")
        if not name or name.startswith("/") or ".." in name.split("/"):
            return []
        end = f"/{name}"
        for base in self._bases:
            if base not in self._indexes:
                self._indexes[base] = _index(base)
            candidates = self._indexes[base].get(name.rpartition("/")[2].casefold(), [])
            fits = [path for path in candidates if _ends(path.casefold(), end.casefold())]
            if fits:
                return [path for path in fits if _ends(path, end)] or fits
        return []

    def _is_inside(self, path: str) -> bool:
        return self._inside is None or path.startswith(self._inside)

    def _id(self, path: str) -> str:
        return Path(os.path.relpath(path, self._root)).as_posix()


# A Path for each of a million pictures would take half a minute, so these are of strings.


def _joined(base: str, name: str) -> str:
    return os.path.normpath(os.path.join(base, name))  # noqa: PTH118


def _folder(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120


def _ends(path: str, end: str) -> bool:
    return path.endswith(end) or os.path.splitext(path)[0].endswith(end)  # noqa: PTH122


def _facts(path: str) -> tuple[int, int] | None:
    """Give a file's size and time, None where there is none."""
    try:
        facts = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # a name may hold what no path can
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


def _index(base: str) -> dict[str, list[str]]:
    """List the pictures below a folder by their names, with and without suffix, without case."""
    index: dict[str, list[str]] = {}
    for folder, inside, files in os.walk(base, followlinks=True):
        depth = folder[len(base) :].count(os.sep)
        inside[:] = [name for name in sorted(inside) if is_visible(name)] if depth < DEEPEST else []
        for name in sorted(files):
            if is_visible(name) and is_picture(name):
                for key in {name.casefold(), os.path.splitext(name)[0].casefold()}:  # noqa: PTH122
                    index.setdefault(key, []).append(os.path.join(folder, name))  # noqa: PTH118
    return index


def _common_folder(found: Iterable[Sequence[str]]) -> str | None:
    """Give the one folder that has a picture for each row; None where there is none, or several."""
    common: set[str] | None = None
    for paths in found:
        folders = {_folder(path) for path in paths}
        if folders:
            common = folders if common is None else common & folders
    return common.pop() if common is not None and len(common) == 1 else None


# Parts


def refuse_wrong(labelled: Labelled, *, skip_bad: bool) -> None:
    """Raise DataError for missing pictures, unless `skip_bad`, for repeated rows, and for pictures with two labels."""
    subject = str(labelled.path)
    other = [(first, later) for first, later in labelled.twice if first.label != later.label]
    if other:
        first, later = other[0]
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        found = f"{first.id} is {first.label} in line {first.line} and {later.label} in line {later.line}{more}"
        raise DataError(subject, f"pictures with two labels: {found}", "one label for each picture")
    if labelled.twice:
        first, later = labelled.twice[0]
        more = f" and {len(labelled.twice) - 1} more" if len(labelled.twice) > 1 else ""
        found = f"duplicate rows: {first.id} in line {first.line} and line {later.line}{more}"
        raise DataError(subject, found, "one row for each picture", "Remove the duplicate rows.")
    if not skip_bad:
        refuse_missing(labelled)


def refuse_missing(labelled: Labelled) -> None:
    """Raise DataError, naming the first, where pictures are not there."""
    missing = labelled.missing
    if missing:
        all_of_them, first = f"{len(labelled.rows):,} pictures", f"{missing[0].id} in line {missing[0].line}"
        found = f"1 of its {all_of_them} is missing, {first}"
        if len(missing) > 1:
            found = f"{len(missing):,} of its {all_of_them} are missing, {first} first"
        expected = "paths relative to the folder of the pictures"
        raise DataError(str(labelled.path), found, expected, "Correct them, or leave them out with --skip-bad.")


def labelled_parts(labelled: Labelled) -> dict[PartName, Part]:
    """Give the parts that the file's split column names, without one all as train.

    Classes are sorted, by their values where all are numbers. Raises DataError for pictures of one class only.
    """
    split = labelled.columns.split is not None
    parts: dict[PartName, Part] = {}
    for name in PARTS:
        rows = [row for row in labelled.rows if (row.part == name if split else name == "train")]
        if rows:
            parts[name] = _part(labelled, rows, f"{labelled.path}, {name}" if split else str(labelled.path))
    return parts


def _part(labelled: Labelled, rows: Sequence[Row], subject: str) -> Part:
    names = sorted_classes({row.label for row in rows})
    place = {name: index for index, name in enumerate(names)}
    rows = sorted(rows, key=lambda row: (place[row.label], row.id))
    pictures = [Picture(row.id, place[row.label], row.size, row.mtime_ns) for row in rows]
    groups = None if labelled.columns.group is None else [row.group for row in rows]
    return Part(subject, tuple(names), pictures, 0, groups)


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Sort classes by name, or by value where all are numbers."""
    names = sorted(names)
    if all(NUMBER.fullmatch(name) for name in names):
        names.sort(key=float)
    return names
