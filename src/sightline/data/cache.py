"""A folder's pictures, decoded once: threads fill a memory-mapped file in the user's cache folder.

The file's name holds the listing (paths, sizes, times) and what was asked for, so a changed folder, another size or
another decoder finds no file and decodes anew; the second start of the same takes the listing's time only. Beside the
array `NAME.npy` lies `NAME.json`, written last: its size, the SHA-256 of each CHUNK_BYTES of its pixels, by which each
start knows that none has changed, and the pictures that could not be read, which each start tries again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline.data.decoder import DECODER_VERSION, OutOfMemoryError, decode
from sightline.data.lookup import cache_folder
from sightline.data.parallel import CHUNK, map_in_order
from sightline.data.preprocessing import Preprocessing, unit_preprocessing
from sightline.errors import DataError, ImageError, ResourceError, with_reasons
from sightline.files.atomic import TEMPORARY_PREFIX, write_json, write_with
from sightline.language import said
from sightline.printable import printable
from sightline.progress import ProgressBar
from sightline.settings.data import Resizing

Pixels = NDArray[np.uint8]
Size = tuple[int, int, int]

CHUNK_BYTES = 1 << 26
DISK_RESERVE = 1 << 26
STALE_SECONDS = 86_400


class Picture(NamedTuple):
    """A file of a folder. `id` is its path relative to the folder, with slashes."""

    id: str
    label: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Request:
    """What is wanted of a folder's pictures. None leaves size or channels to be chosen from the pictures.

    `owner`: what the decoded pictures are kept for, the folder itself or a file that names some in it.
    """

    root: Path
    pictures: Sequence[Picture]
    scope: Literal["all", "test", "train"]
    height: int | None
    width: int | None
    channels: Literal[1, 3] | None
    resizing: Resizing
    owner: Path
    stays_on_disk: bool = False
    """Whether the pixels are to be memory-mapped even where memory would hold them."""


@dataclass(frozen=True)
class Decoded:
    """Pixels of all pictures, uint8 (N, H, W, C), in RAM or memory-mapped; `bad` names the empty rows and why."""

    pixels: Pixels
    bad: dict[int, str]


def listing_hash(pictures: Sequence[Picture]) -> str:
    """Hash the paths, sizes and times, in order."""
    lines = "".join(f"{picture.id}\0{picture.size}\0{picture.mtime_ns}\n" for picture in pictures)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def decoded(request: Request, choose_size: Callable[[], Size], *, skip_bad: bool, quiet: bool = False) -> Decoded:
    """Give the decoded pictures, from the cache if they are there.

    `choose_size` gives the (H, W, C) to decode to, and is asked only when the cache has nothing. Raises DataError,
    naming the unreadable pictures, unless `skip_bad`; ResourceError where neither disk nor memory holds the result.
    """
    listing = listing_hash(request.pictures)[:16]
    folder = cache_folder() / "folders" / _short_hash(str(request.owner.resolve()))
    wanted = [request.height, request.width, request.channels, *request.resizing, DECODER_VERSION]
    path = folder / f"{request.scope}-{listing}-{_short_hash(json.dumps(wanted))}.npy"
    if ready := _ready(path, request, skip_bad, quiet=quiet):
        return ready
    size = choose_size()
    shape = (len(request.pictures), *size)
    needed = int(np.prod(shape))
    wanted_size = unit_preprocessing(size, request.resizing)
    refusal = _no_room(folder, needed)
    if refusal is None:
        bad: dict[int, str] = {}

        def fill(stream: BinaryIO) -> None:
            header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            with contextlib.closing(_decode(request, wanted_size, bad, quiet=quiet)) as pictures:
                for picture in pictures:
                    stream.write(np.ascontiguousarray(picture).data)
            _refuse_bad(request, bad, skip_bad)

        try:
            write_with(path, fill)
            pixels = _load(path, needed, request)
            facts = {"shape": shape, "bad": {str(row): why for row, why in bad.items()}, "sha256": _sums_of(pixels)}
            write_json(path.with_suffix(".json"), facts)
        except OutOfMemoryError:
            raise
        except ResourceError as error:
            refusal = error
        else:
            _remove_old(folder, f"{request.scope}-", f"{request.scope}-{listing}-")
            return Decoded(pixels, bad)
    if needed >= available_memory() // 4:
        raise refusal
    pixels, bad = np.empty(shape, np.uint8), {}
    with contextlib.closing(_decode(request, wanted_size, bad, quiet=quiet)) as pictures:
        for row, picture in enumerate(pictures):
            pixels[row] = picture
    _refuse_bad(request, bad, skip_bad)
    return Decoded(pixels, bad)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _ready(path: Path, request: Request, skip_bad: bool, *, quiet: bool) -> Decoded | None:
    """Read what an earlier start left, or None where there is nothing whole, or a picture more can be read now."""
    count = len(request.pictures)
    try:
        facts = json.loads(path.with_suffix(".json").read_bytes())
        shape = tuple(int(side) for side in facts["shape"])
        wanted = unit_preprocessing((shape[1], shape[2], shape[3]), request.resizing)
        bad = {int(row): str(why) for row, why in facts["bad"].items()}
        mapped: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        whole = mapped.shape == shape and shape[0] == count and mapped.dtype == np.uint8 and mapped.flags.c_contiguous
        whole = whole and all(0 <= row < count for row in bad)
        if not whole or path.stat().st_size != mapped.nbytes + getattr(mapped, "offset", 0):
            return None
        pixels = _load(path, mapped.nbytes, request)
        if not _is_whole(pixels, facts):
            if not quiet:
                found = f"{path}: the decoded pictures are damaged, so they are decoded anew"
                print(printable(said(found, "notes")), file=sys.stderr)
            return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, EOFError):
        return None
    # Other rights or another mount let a picture be read, and change neither its size nor its time.
    again = _still_bad(request, sorted(bad), wanted, quiet=quiet)
    if len(again) < len(bad):
        return None
    _refuse_bad(request, again, skip_bad)
    return Decoded(pixels, again)


def _still_bad(request: Request, rows: Sequence[int], wanted: Preprocessing, *, quiet: bool) -> dict[int, str]:
    """Try a few pictures once more, and name the rows of those that cannot be read, and why."""
    bad: dict[int, str] = {}
    few = replace(request, pictures=[request.pictures[row] for row in rows])
    with contextlib.closing(_decode(few, wanted, bad, quiet=quiet)) as pictures:
        for _ in pictures:
            pass
    return {rows[index]: why for index, why in bad.items()}


def _load(path: Path, needed: int, request: Request) -> Pixels:
    fits = needed < available_memory() // 4 and not request.stays_on_disk
    return np.load(path, mmap_mode=None if fits else "r", allow_pickle=False)


def _is_whole(pixels: Pixels, facts: Mapping[str, Any]) -> bool:
    """Whether no pixel has changed; yes where an older version kept no sums."""
    return set(facts) == {"shape", "bad"} or facts.get("sha256") == _sums_of(pixels)


def _sums_of(pixels: Pixels) -> list[str]:
    """The SHA-256 of each CHUNK_BYTES of an array, in threads: reading is what takes the time of a large one."""
    values = pixels.reshape(-1)
    parts = [values[start : start + CHUNK_BYTES] for start in range(0, len(values), CHUNK_BYTES)]
    return list(map_in_order(lambda part: hashlib.sha256(part.data).hexdigest(), parts, 1))


def _no_room(folder: Path, needed: int) -> ResourceError | None:
    """Say why the cache cannot take so many bytes, before anything is decoded for it."""
    advice = "Free some space, name another folder with SIGHTLINE_CACHE, or take a smaller --image-size."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return ResourceError(str(folder), f"the cache folder cannot be made ({error.strerror})", advice=advice)
    if free < needed + DISK_RESERVE:
        found = f"{free / 1e9:.1f} GB are free on the disk"
        return ResourceError(str(folder), found, f"{needed / 1e9:.1f} GB for the decoded pictures", advice)
    return None


def _remove_old(folder: Path, scope: str, current: str) -> None:
    """Drop what the folder's earlier listings left, and what killed writers left; another size of this one stays."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            outdated = path.name.startswith(scope) and not path.name.startswith(current)
            abandoned = path.name.startswith(TEMPORARY_PREFIX) and path.stat().st_mtime < time.time() - STALE_SECONDS
            if outdated or abandoned:
                path.unlink()


def _refuse_bad(request: Request, bad: dict[int, str], skip_bad: bool) -> None:
    if not bad or skip_bad:
        return
    reasons = with_reasons([(request.pictures[row].id, why) for row, why in sorted(bad.items())])
    found = f"{len(bad)} unreadable picture{'' if len(bad) == 1 else 's'}: {reasons}"
    raise DataError(str(request.root), found, advice="Repair or remove them, or leave them out with --skip-bad.")


def _decode(request: Request, wanted: Preprocessing, bad: dict[int, str], *, quiet: bool) -> Generator[Pixels]:
    """Decode all pictures in order, uint8 (H, W, C) each; unreadable ones are zero, and `bad` says which and why."""
    ids = [picture.id for picture in request.pictures]
    shape = (wanted.height, wanted.width, wanted.channels)
    chunk = max(1, min(CHUNK, CHUNK_BYTES // math.prod(shape)))

    def read(name: str) -> Pixels | str:
        try:
            return decode(request.root / name, wanted)
        except ImageError as error:
            return error.found

    with (
        ProgressBar(f"Decoding {len(ids):,} pictures", len(ids), quiet=quiet) as bar,
        contextlib.closing(map_in_order(read, ids, chunk)) as pictures,
    ):
        for row, picture in enumerate(pictures):
            if isinstance(picture, str):
                bad[row] = picture
            yield np.zeros(shape, np.uint8) if isinstance(picture, str) else picture
            bar.advance(1)


def available_memory() -> int:
    """Estimate the bytes that this process may still take: the system's figure, or the container's where less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        try:
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (AttributeError, OSError, ValueError):
            free = 4 << 30  # Windows tells neither way
    with contextlib.suppress(OSError, ValueError, KeyError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        free = min(free, limit - used + int(cached))
    return max(free, 0)
