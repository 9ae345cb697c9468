"""A label file, CSV, TSV or JSON Lines: its encoding, its rows, and which column says what.

Columns go by their names, as people give them; where names tell nothing, by what is in them. UTF-8 is read with or
without a byte order mark; whatever else a file is read as stands in its notes.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.data.formats import is_picture
from sightline.data.layout import part_of, some
from sightline.errors import DataError, unknown
from sightline.files.reading import parse_json, refuse_no_file
from sightline.settings.data import LABEL_FILES, DataSettings, has_suffix

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
SEPARATORS = (",", ";", "\t")
ROWS_TO_GUESS_BY = 100
# Without case, blanks and hyphens, the likeliest first.
IMAGE_NAMES = (
    "image", "images", "img", "picture", "pictures", "photo", "path", "paths", "file", "files", "filename", "filenames",
    "filepath", "filepaths", "imagepath", "imagepaths", "imagefile", "imagefilename", "imagename", "imageid", "imgpath",
    "imgfile", "imgname", "imgid", "idcode", "picturepath", "photopath", "图片", "图像", "文件", "文件名", "路径",
    "图片路径",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "classes", "target", "targets", "category", "categories", "classname", "classlabel",
    "labelname", "categoryname", "groundtruth", "diagnosis", "dx", "species", "breed", "y", "classid", "labelid",
    "categoryid", "标签", "类别", "分类", "类",
)  # fmt: skip
SPLIT_NAMES = (
    "split", "set", "part", "subset", "partition", "dataset", "datasplit", "phase", "划分", "集合",
)  # fmt: skip
GROUP_NAMES = (
    "group", "groupid", "groups", "person", "personid", "patient", "patientid", "subject", "subjectid", "individual",
    "individualid", "participant", "participantid", "lesion", "lesionid", "animalid", "plantid", "writer", "writerid",
    "userid", "video", "videoid", "session", "sessionid", "caseid", "患者", "分组", "组",
)  # fmt: skip
FLAGS = {
    "image": "--image-column",
    "label": "--label-column",
    "split": "--split-column",
    "group": "--group-column",
}


@dataclass(frozen=True)
class Table:
    """The rows of a file, each with as many cells as there are columns, and the line that each begins or ends in."""

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    notes: tuple[str, ...] = ()

    def cells(self, column: int) -> list[str]:
        """Give a column's cells."""
        return [row[column] for row in self.rows]


@dataclass(frozen=True)
class Columns:
    """Which column, by its place, says what; `notes` is what people should know of the choice."""

    image: int
    label: int | None = None
    split: int | None = None
    group: int | None = None
    notes: tuple[str, ...] = field(default=())


# Reading


def read_table(path: Path) -> Table:
    """Read a label file. Raises DataError for one that cannot be read, is empty, or has rows of other lengths."""
    refuse_no_file(path, DataError, "a label file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(str(path), f"it cannot be read ({error.strerror})", "a label file") from None
    text, encoding = _decoded(content, str(path))
    if not text.strip():
        raise DataError(str(path), "it is empty", "a label file, a row for each picture")
    lines_of_json = has_suffix(path.name, (".jsonl", ".ndjson"))
    columns, rows, lines = _read_json(path, text) if lines_of_json else _read_csv(path, text)
    if not rows:
        raise DataError(str(path), "it names columns but no picture", "a row for each picture")
    notes = (f"{path.name}: read as {encoding}, since it is not UTF-8",) if encoding else ()
    return Table(path, columns, rows, lines, notes)


def _decoded(content: bytes, subject: str) -> tuple[str, str]:
    """Give the text, and the encoding's name where it is not UTF-8.

    A byte order mark decides, then whether it is UTF-8; what has zero bytes is UTF-16. Of other bytes, GB18030 (with
    GBK and GB2312 in it) is taken where most of the characters that it gives are common Chinese ones, as GB2312 lists
    them, else Western Europe's Windows-1252.
    """
    for mark, encoding, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _strict(content, encoding, subject), name
    if b"\0" in content:
        odd = content[1::2].count(0) > content[::2].count(0)
        return _strict(content, "utf-16-le" if odd else "utf-16-be", subject), "UTF-16"
    texts: dict[str, str] = {}
    for encoding in ("utf-8", "gb18030", "cp1252"):
        try:
            texts[encoding] = content.decode(encoding)
        except UnicodeError:
            continue
        if encoding == "utf-8":
            return texts[encoding], ""
    foreign = [character for character in texts.get("gb18030", "") if not character.isascii()]
    common = sum(character.encode("gb2312", "ignore") != b"" for character in foreign)
    if "gb18030" in texts and (2 * common >= len(foreign) or "cp1252" not in texts):
        return texts["gb18030"], "GB18030"
    if "cp1252" in texts:
        return texts["cp1252"], "Windows-1252"
    raise DataError(subject, "its encoding is unknown", "UTF-8, UTF-16 or GB18030", "Save it as UTF-8.")


def _strict(content: bytes, encoding: str, subject: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeError:
        raise DataError(subject, f"it is not valid {encoding.upper()} text", advice="Save it as UTF-8.") from None


def _read_json(path: Path, text: str) -> tuple[tuple[str, ...], list[list[str]], list[int]]:
    records: list[tuple[int, Mapping[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(
                f"{path}, line {number}", "it is not a JSON object", 'one such as {"image": ..., "label": ...}'
            )
        records.append((number, record))
    columns = tuple(dict.fromkeys(name for _, record in records for name in record))
    rows = [[_cell(record.get(name)) for name in columns] for _, record in records]
    return columns, rows, [number for number, _ in records]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        return json.dumps(value)
    return "" if value is None else str(value).strip()


def _read_csv(path: Path, text: str) -> tuple[tuple[str, ...], list[list[str]], list[int]]:
    separator = _separator(text)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for line, row in _csv_rows(text, separator):
            rows.append(row)
            lines.append(line)
    except csv.Error as error:
        raise DataError(str(path), f"it is not a readable table ({error})", "CSV, TSV or JSON Lines") from None
    width = len(rows[0])
    for line, row in zip(lines, rows, strict=True):
        if len(row) != width:
            cells = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
            raise DataError(f"{path}, line {line}", f"it has {cells}", f"{width}, as in the first line")
    if any(is_picture(cell) for cell in rows[0]):  # no line of names
        return tuple(str(place + 1) for place in range(width)), rows, lines
    columns = tuple(cell or str(place + 1) for place, cell in enumerate(rows[0]))
    if twice := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
        raise DataError(str(path), f"it has the column '{twice[0]}' twice", "each column once")
    return columns, rows[1:], lines[1:]


def _csv_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield reader.line_num, cells


def _separator(text: str) -> str:
    """Take the separator that gives most cells, as many in each of the first lines; a comma where none parts any."""

    def cells(separator: str) -> int:
        counts: set[int] = set()
        try:
            for number, (_, row) in enumerate(_csv_rows(text, separator)):
                if number == ROWS_TO_GUESS_BY:
                    break
                counts.add(len(row))
        except csv.Error:
            return 0
        return counts.pop() if len(counts) == 1 else 0

    best = max(SEPARATORS, key=cells)
    if cells(best) > 1:
        return best
    first = text.lstrip().split("\n", 1)[0]
    return max(SEPARATORS, key=first.count)


# Columns


def find_columns(table: Table, settings: DataSettings, is_there: Callable[[str], bool], *, labels: bool) -> Columns:
    """Find which column says what: as `settings` have it, else by names, else by what is in them.

    `is_there` tells whether a cell names a picture that exists; without `labels` only the pictures are looked for.
    Raises UsageError for a column that is not there, DataError where one cannot be found, naming those that are there.
    """
    image = _image_column(table, settings.image_column, is_there)
    if not labels:
        return Columns(image, notes=table.notes)
    split, notes = _split_column(table, settings.split_column, image)
    label = None if settings.label_column == "auto" else _asked(table, settings.label_column, "label")
    label = _by_name(table, LABEL_NAMES, {image, split}) if label is None else label
    group = None
    if settings.group_column == "auto":
        group = _by_name(table, GROUP_NAMES, {image, label, split})
    elif settings.group_column != "none":
        group = _asked(table, settings.group_column, "group")
    if label is None:
        label = _label_by_content(table, {image, split, group})
    chosen = {"image": image, "label": label, "split": split, "group": group}
    told = [f"{what} from {table.columns[place]!r}" for what, place in chosen.items() if place is not None]
    line = f"{table.path.name}: {len(table.rows):,} rows, {', '.join(told)}"
    return Columns(image, label, split, group, (*table.notes, line, *notes))


def _asked(table: Table, name: str, what: str) -> int:
    if name not in table.columns:
        raise unknown(FLAGS[what], name, table.columns, listed_by=f"the first line of {table.path.name}")
    return table.columns.index(name)


def _by_name(table: Table, names: Sequence[str], taken: set[int | None]) -> int | None:
    plain = {place: _plain(name) for place, name in enumerate(table.columns) if place not in taken}
    return next((place for name in names for place, found in plain.items() if found == name), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _image_column(table: Table, asked: str, is_there: Callable[[str], bool]) -> int:
    if asked != "auto":
        return _asked(table, asked, "image")
    sample = table.rows[:: -(-len(table.rows) // ROWS_TO_GUESS_BY)]

    def there(place: int) -> int:
        return sum(is_there(row[place]) for row in sample)

    named = [_by_name(table, (name,), set()) for name in IMAGE_NAMES]
    places = [place for place in named if place is not None]
    found = next((place for place in places if there(place)), None)
    if found is not None:
        return found
    # Labels that are numbers could be pictures' names too.
    others = (*LABEL_NAMES, *SPLIT_NAMES, *GROUP_NAMES)
    every = [place for place, name in enumerate(table.columns) if _plain(name) not in others]
    counts = {place: (there(place), len(set(table.cells(place)))) for place in every}
    best = max(counts, key=lambda place: counts[place], default=None)
    if best is not None and counts[best][0]:
        return best
    # None is there: what they are called, or look like, lets the missing ones be named.
    like_pictures = [place for place in every if all(is_picture(row[place]) for row in sample)]
    if places or like_pictures:
        return [*places, *like_pictures][0]
    found = f"none of its columns names pictures that are there, but {some(table.columns)}"
    raise DataError(str(table.path), found, "a column named image or path", f"Name it with {FLAGS['image']}.")


def _split_column(table: Table, asked: str, image: int) -> tuple[int | None, list[str]]:
    if asked == "none":
        return None, []
    place = _by_name(table, SPLIT_NAMES, {image}) if asked == "auto" else _asked(table, asked, "split")
    if place is None:
        return None, []
    values = list(dict.fromkeys(table.cells(place)))
    odd = [value for value in values if part_of(value) is None]
    if asked == "auto" and len(odd) == len(values):
        name = table.columns[place]
        return None, [f"{table.path.name}: {name!r} is taken for no split, since it has {some(odd)}"]
    if odd:
        line = table.lines[table.cells(place).index(odd[0])]
        advice = f"Correct it, or take no column with {FLAGS['split']} none."
        raise DataError(f"{table.path}, line {line}", f"its split is '{odd[0]}'", "train, val or test", advice)
    return place, []


def _label_by_content(table: Table, taken: set[int | None]) -> int:
    """Take the one column with few values that come again and again."""
    places = [place for place in range(len(table.columns)) if place not in taken]
    repeated = [place for place in places if 1 < len(set(table.cells(place))) <= len(table.rows) / 2]
    candidates = repeated or (places if len(places) == 1 else [])
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        found = f"its labels could be in {some([table.columns[place] for place in candidates])}"
    else:
        found = f"none of its columns has labels, but {some(table.columns)}"
    raise DataError(str(table.path), found, "a column named label or class", f"Name it with {FLAGS['label']}.")


def is_label_file(path: Path) -> bool:
    """Tell by its suffix whether a file should have labels in it."""
    return has_suffix(path.name, LABEL_FILES)
