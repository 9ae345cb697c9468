"""Whole files or none: every file Sightline writes goes through here.

Writing is: a temporary file in the same folder, flush, fsync, rename, fsync the folder. A reader sees the old file or
the new one, and a full disk or a kill leaves the old one as it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, BinaryIO

from sightline.errors import ResourceError

TEMPORARY_PREFIX = ".writing-"
STALE_SECONDS = 86_400
"""How old a temporary file is that nobody writes any more."""
_cleared: set[Path] = set()


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all."""
    write_with(path, lambda stream: stream.write(content))


def write_text(path: Path, content: str) -> None:
    """Put `content` at `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Put `content` at `path` as indented JSON; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a stream that becomes `path` when it is whole.

    Raises ResourceError when the folder cannot be written or the disk is full; `path` then is as it was.
    """
    temporary: Path | None = None
    with explain_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
            temporary = Path(name)
            with os.fdopen(descriptor, "wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            raise
        _sync_folder(path.parent)
        _clear(path.parent)


@contextlib.contextmanager
def explain_disk(path: Path) -> Generator[None]:
    """Turn the system's refusal to write at `path` into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            found, advice = "the disk is full, so it was not written", "Free some space and try again."
        elif error.errno in (errno.ENOTDIR, errno.EEXIST):
            found, advice = "it cannot be written, since a file is where a folder must be", "Choose another folder."
        else:
            found = f"it cannot be written ({(error.strerror or type(error).__name__).lower()})"
            forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
            advice = (
                "Give yourself write permission, or choose another folder." if forbidden else "Choose another place."
            )
        raise ResourceError(str(path), found, advice=advice) from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _clear(folder: Path) -> None:
    """Remove what killed programs left in a folder, once a process: old files alone, since others may be writing."""
    if folder in _cleared:
        return
    _cleared.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(TEMPORARY_PREFIX):
                continue
            with contextlib.suppress(OSError):
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode) and facts.st_mtime < time.time() - STALE_SECONDS:
                    os.unlink(entry.path)  # noqa: PTH108


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
