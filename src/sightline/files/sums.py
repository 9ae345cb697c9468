"""The SHA-256 of each file of a folder, in sums.json: a byte that changes later is noticed.

A folder that `new_folder` made has its files listed; any other is one of an older version, whose files nobody can
check. Files are listed once they are whole: `rewriting` takes them off the list, lets them be written, and lists them.
Whatever kills the process in between leaves a file that is not listed, never one with a wrong sum.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from sightline.errors import FileError, ResourceError
from sightline.files import atomic
from sightline.files.locks import only_one

SUMS, LOCK = "sums.json", ".sums.lock"
SUM_KEY = "sightline_sha256"
"""Where a model file, a checkpoint and an ONNX file have the sum of all the rest of them, in their header."""
SCHEMA_VERSION = 1
LOCK_SECONDS = 10
CHANGED = "it has changed since Sightline wrote it, by its SHA-256 in sums.json"


def new_folder(parent: Path, name: str, kind: str) -> Path:
    """Make `parent/NAME-001`, or the next number that is free; without a name that can stand there, `kind` is it.

    What is written into it is listed from then on.
    """
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or kind
    with atomic.explain_disk(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1_000_000):
            path = parent / f"{stem}-{number:03d}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            _write(path, {})
            return path
    raise FileError(str(parent), f"a million folders are called {stem}", advice="Choose another --name.")


def remove_unused(folder: Path) -> None:
    """Remove a new folder into which nothing was written; any other stays."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {SUMS, LOCK}:
            shutil.rmtree(folder)


def listed(folder: Path) -> dict[str, str] | None:
    """The SHA-256 of each listed file, by its path in the folder, with slashes; None for a folder without a list.

    Raises FileError where the list itself is damaged.
    """
    path = folder / SUMS
    try:
        content: Any = json.loads(path.read_bytes())
        files = {str(name): str(value) for name, value in content["files"].items()}
        if content["schema"] == SCHEMA_VERSION and content["sha256"] == _sum_of_list(files):
            return files
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileError(str(path), f"it cannot be read ({(error.strerror or type(error).__name__).lower()})") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    advice = "Restore a copy of it, or delete it to use the files without checking them."
    raise FileError(str(path), "it is damaged, so the files that it lists cannot be checked", advice=advice)


def check(folder: Path, *patterns: str, advice: str = "Restore a copy of it.") -> None:
    """Raise FileError, with `advice`, for a listed file that has changed.

    `patterns`: paths in the folder, with slashes, or shell patterns of such. Files that are not listed pass, and those
    that are missing: whoever reads one says so.
    """
    for name, value in _chosen(listed(folder) or {}, patterns):
        if (folder / name).is_file() and differs(folder, name, value):
            raise FileError(str(folder / name), CHANGED, advice=advice)


def differs(folder: Path, name: str, value: str) -> bool:
    """Whether a file's sum is not `value`, which the list said of it; no where another process is just writing it."""
    if sum_of(folder / name) == value:
        return False
    try:
        now = (listed(folder) or {}).get(name)
    except FileError:
        return True
    return now is not None and sum_of(folder / name) != now


def sum_of(path: Path) -> str | None:
    """The SHA-256 of a file, None where there is none that can be read."""
    try:
        return atomic.sha256_of(path)
    except OSError:
        return None


@contextlib.contextmanager
def rewriting(folder: Path, *patterns: str) -> Generator[None]:
    """Take files off the folder's list while they are written, and list what is there in the end.

    `patterns` as in `check`. A file that nobody touched keeps its sum, or has none as before, so that damage to it does
    not become right. Does nothing for a folder without a list, or with a damaged one. Raises ResourceError where the
    list cannot be written.
    """
    try:
        files = _changed(folder, patterns, {})
    except FileError:
        files = None
    if files is None:
        yield
        return
    before = dict(_chosen(files, patterns))
    marks = _marks(folder, patterns)
    try:
        yield
    except BaseException:
        with contextlib.suppress(FileError, ResourceError):
            _list_again(folder, patterns, before, marks)
        raise
    with contextlib.suppress(FileError):
        _list_again(folder, patterns, before, marks)


def rewriting_file(path: Path) -> contextlib.AbstractContextManager[None]:
    """Do as `rewriting` does for one file."""
    return rewriting(path.parent, glob.escape(path.name))


def _list_again(
    folder: Path, patterns: tuple[str, ...], before: Mapping[str, str], marks: Mapping[str, tuple[int, ...]]
) -> None:
    new = {
        name: before.get(name) if mark == marks.get(name) else _sum_on_disk(folder / name)
        for name, mark in _marks(folder, patterns).items()
    }
    _changed(folder, patterns, {name: value for name, value in new.items() if value is not None})


def _sum_on_disk(path: Path) -> str | None:
    """A file's sum, once it is on the disk: the list is, and what grew, such as a table, may not be."""
    with contextlib.suppress(OSError), path.open("rb") as stream:  # Windows flushes no file that is read
        os.fsync(stream.fileno())
    return sum_of(path)


def _marks(folder: Path, patterns: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Each file's inode, size and time, of which one at least is another as soon as the file is written."""
    found: dict[str, tuple[int, ...]] = {}
    for path in {path for pattern in patterns for path in folder.glob(pattern)}:
        if path.is_file() and path.name != SUMS and not path.name.startswith("."):
            facts = path.stat()
            found[path.relative_to(folder).as_posix()] = facts.st_ino, facts.st_size, facts.st_mtime_ns
    return found


def _changed(folder: Path, patterns: tuple[str, ...], new: Mapping[str, str]) -> dict[str, str] | None:
    """Put `new` in place of what the list says of files that fit `patterns`; give the list as it was.

    Raises FileError where the list is damaged.
    """
    if not (folder / SUMS).is_file():
        return None
    refusal = ResourceError(
        str(folder / SUMS), "another process is writing it", advice="Try again when that has ended."
    )
    with only_one(folder / LOCK, refusal, LOCK_SECONDS):
        files = listed(folder) or {}
        chosen = dict(_chosen(files, patterns))
        if chosen != new:
            _write(folder, {name: value for name, value in files.items() if name not in chosen} | dict(new))
    return files


def _write(folder: Path, files: Mapping[str, str]) -> None:
    content = {"schema": SCHEMA_VERSION, "files": dict(sorted(files.items())), "sha256": _sum_of_list(files)}
    atomic.write_json(folder / SUMS, content)


def _sum_of_list(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode("ascii")).hexdigest()


def _chosen(files: Mapping[str, str], patterns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    def fits(name: str) -> bool:
        as_deep = (pattern for pattern in patterns if pattern.count("/") == name.count("/"))
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in as_deep)

    return ((name, value) for name, value in files.items() if fits(name))
