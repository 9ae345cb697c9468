"""Arrays in files: .npz without pickle, with the same bytes for the same arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from sightline.errors import FileError
from sightline.files import atomic
from sightline.files.reading import refuse_no_file

ALWAYS_ALLOWED, MOST_RATIO = 1 << 27, 50
"""Bytes that arrays may have in memory, and those for each byte of a larger file. Probabilities compress hardly."""


def save(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays to `path` under their names. Raises ResourceError where it cannot be written."""

    def write(stream: BinaryIO) -> None:
        # savez dates every member 1980, so no time of writing gets into the file.
        np.savez_compressed(stream, **cast(Any, arrays))

    atomic.write_with(path, write)


def load(path: Path, names: Iterable[str], kind: str) -> dict[str, NDArray[Any]]:
    """Read those of `names` that are there. Raises FileError, saying that `kind` is expected, for anything else.

    A file that is missing, damaged, of another kind or a pickle is refused; none of it can run code.
    """
    refuse_no_file(path, expected=kind)
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):  # NumPy would take it for a pickle, and say so
                raise FileError(str(path), "it is not a complete .npz file", kind)
            _refuse_bomb(path, stream, kind)
            with np.load(stream, allow_pickle=False) as archive:
                loaded = cast(Mapping[str, Any], archive)
                # NumPy hands out a member that is no array as its bytes; for us it isn't there.
                members = {name: loaded[name] for name in names if name in loaded}
                return {name: array for name, array in members.items() if isinstance(array, np.ndarray)}
    except FileError:
        raise
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise FileError(str(path), f"it cannot be read: {reason}", kind) from error
    except Exception as error:  # a damaged archive makes zlib, zipfile and NumPy raise nearly everything there is
        if "allow_pickle" in str(error):
            raise FileError(str(path), "it holds a pickle, which can run code", "plain arrays") from error
        raise FileError(str(path), f"it is damaged: {error}", kind) from error


def _refuse_bomb(path: Path, stream: BinaryIO, kind: str) -> None:
    """Compare what a file's members say they hold with its size; NumPy reads no more of them than that."""
    size = sum(member.file_size for member in zipfile.ZipFile(stream).infolist())
    allowed = max(ALWAYS_ALLOWED, MOST_RATIO * path.stat().st_size)
    stream.seek(0)
    if size > allowed:
        raise FileError(str(path), f"its arrays would take {size:,} bytes", f"{kind} of at most {allowed:,}")
