"""Text files of a run, read and written: JSON objects, and CSV tables that grow while a run trains."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import FileError
from sightline.files import atomic
from sightline.files.reading import parse_json, read_text

LARGEST_COUNT = 1 << 53
FILE_NAMES = "surrogateescape"
"""How a CSV file holds the names of pictures, which may be any bytes: as these bytes."""


def append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a table; the first row of a file gives its columns. Raises ResourceError where it cannot grow."""
    if not rows:
        return
    with atomic.explain_disk(path):
        content = _as_csv(rows, head=not path.exists())
        with path.open("ab") as stream:
            stream.write(content)
            stream.flush()


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole table of one row at least. Raises ResourceError where it cannot be written."""
    atomic.write_bytes(path, _as_csv(rows, head=True))


def _as_csv(rows: Sequence[Mapping[str, Any]], *, head: bool) -> bytes:
    text = io.StringIO()
    written = [{key: as_written(value) for key, value in row.items()} for row in rows]
    # Of its own accord csv quotes no carriage return, which its reader takes for the end of a record.
    has_returns = any("\r" in value for row in written for value in row.values())
    quoting = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n", quoting=quoting)
    if head:
        writer.writeheader()
    writer.writerows(written)
    return text.getvalue().encode("utf-8", FILE_NAMES)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table, none where there is no file. Raises FileError where it cannot be read."""
    if not path.exists():
        return []
    try:
        return list(csv.DictReader(_records(read_text(path, errors=FILE_NAMES))))
    except csv.Error:
        raise FileError(str(path), "damaged", "a table that training wrote") from None


def numbers(path: Path, rows: Sequence[Mapping[str, str]], whole: Sequence[str]) -> list[dict[str, float]]:
    """Rows of the table at `path` as numbers, without what is empty; each has the columns `whole`, whole numbers.

    Raises FileError where there are others.
    """
    try:
        return [
            {name: float(value) for name, value in row.items() if value} | {name: _count(row[name]) for name in whole}
            for row in rows
        ]
    except (TypeError, ValueError, KeyError):
        raise FileError(str(path), "damaged", "a table that training wrote") from None


def _count(text: str) -> int:
    if not 0 <= (count := int(text)) <= LARGEST_COUNT:
        raise ValueError
    return count


def cut(path: Path, count: int, sha256: str | None = None) -> None:
    """Keep the first `count` rows and nothing behind them, not even a half-written one.

    `sha256`: of what is kept. Raises FileError where it is another.
    """
    if not path.exists() and (count == 0 or sha256 is None):
        return
    if count == 0:
        path.unlink()
        return
    text = read_text(path, errors=FILE_NAMES)
    kept = "".join(_records(text)[: count + 1])
    if sha256 not in (None, hashlib.sha256(kept.encode("utf-8", FILE_NAMES)).hexdigest()):
        advice = "Restore a copy of it, or train again."
        raise FileError(str(path), "its rows have changed since the checkpoint was written", advice=advice)
    if kept != text:
        atomic.write_bytes(path, kept.encode("utf-8", FILE_NAMES))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises FileError where there is none."""
    try:
        content = parse_json(read_text(path))
    except ValueError:
        raise FileError(str(path), "damaged", "a JSON object") from None
    if not isinstance(content, dict):
        raise FileError(str(path), "damaged", "a JSON object")
    return content


def _records(text: str) -> list[str]:
    """Split CSV into its records, each with its newline, but for a half-written one at the end.

    Only a newline outside of quotes ends a record, whatever else a name holds.
    """
    records: list[str] = []
    begun: list[str] = []
    in_quotes = False
    for line in io.StringIO(text, newline="\n"):
        begun.append(line)
        in_quotes ^= line.count('"') % 2 == 1
        if line.endswith("\n") and not in_quotes:
            records.append("".join(begun))
            begun = []
    return records


def as_written(value: Any) -> str:
    """What a CSV file says for a value: floats with nine digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else os.fspath(value) if isinstance(value, Path) else str(value)
