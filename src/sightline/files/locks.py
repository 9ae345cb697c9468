"""Files that one process holds at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from filelock import FileLock, Timeout

from sightline.errors import ResourceError
from sightline.files import atomic


@contextlib.contextmanager
def only_one(path: Path, refusal: ResourceError, seconds: float) -> Generator[None]:
    """Hold the lock of a file; where another process holds it for longer than `seconds`, raise `refusal`."""
    with atomic.explain_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(path).acquire(timeout=seconds)
        except Timeout:
            raise refusal from None
    with held:
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file; no where that cannot be told, as on a read-only disk."""
    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
