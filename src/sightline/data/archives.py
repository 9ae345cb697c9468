"""ZIP and TAR archives of pictures: unpacked once into the cache, whole or not at all, and never beyond limits.

An archive comes from a stranger. Nothing in it may lead out of its folder (an absolute path, `..`, a link), be
anything but a file or a folder, or fill the disk: entries, bytes and the ratio of the bytes to the archive's own size
are limited, and counted while they are written, whatever the archive says of itself.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sightline.data.layout import is_visible
from sightline.data.lookup import cache_folder
from sightline.errors import DataError, ResourceError
from sightline.files.atomic import explain_disk, sha256_of
from sightline.files.reading import refuse_no_file
from sightline.progress import ProgressBar

MOST_ENTRIES = 2_000_000
MOST_BYTES = 500_000_000_000
MOST_RATIO, ALWAYS_ALLOWED = 100, 1 << 28
"""Bytes for each byte of the archive, which count once there are more than `ALWAYS_ALLOWED`."""
BOMB_ADVICE = "If you trust it, unpack it yourself and name the folder."
COPIED_AT_ONCE = 1 << 20
DISK_RESERVE = 1 << 26
STALE_SECONDS = 86_400
UNFINISHED = ".unpacking-"
ZIP_UTF8, ZIP_ENCRYPTED = 0x800, 0x1
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError,
    NotImplementedError, ValueError, IndexError, KeyError,
)  # fmt: skip
"""What the readers of the standard library raise on archives that are cut short, damaged or of an unknown kind."""


@dataclass(frozen=True)
class Unpacked:
    """The folder with an archive's content, and the archive's SHA-256."""

    folder: Path
    sha256: str


@dataclass(frozen=True)
class _Entry:
    """A file of an archive: its path with slashes, its time, and what opens it."""

    name: str
    mtime: float
    stream: IO[bytes]


def unpacked(archive: Path, *, quiet: bool = False) -> Unpacked:
    """Give the folder that an archive was unpacked to, or unpack it there now.

    What systems leave in archives (`__MACOSX`, hidden files) is left out. Raises DataError for a damaged archive, one
    beyond the limits, and one with a link, a device, or a path that leads out of it; ResourceError where the disk does
    not hold it. Nothing half unpacked stays behind.
    """
    refuse_no_file(archive, DataError, "an archive")
    try:
        digest = sha256_of(archive)
    except OSError as error:
        raise DataError(str(archive), f"it cannot be read ({error.strerror})") from None
    folder = cache_folder() / "archives" / digest[:32]
    if folder.is_dir():
        return Unpacked(folder, digest)
    with explain_disk(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    with explain_disk(folder):
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        _unpack(archive, unfinished, quiet=quiet)
        with explain_disk(folder):
            if hasattr(os, "sync"):  # so that after a power cut there are no empty files under the final name
                os.sync()
            unfinished.chmod(0o755)
            _publish(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Unpacked(folder, digest)


def _publish(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was faster, with the same content
            raise


def _remove_abandoned(parent: Path) -> None:
    """Drop what killed processes left."""
    for path in parent.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


class _Limits:
    """What an archive may hold, counted twice: as it says of itself, and as it is written."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self.bytes = min(MOST_BYTES, max(ALWAYS_ALLOWED, MOST_RATIO * archive.stat().st_size))
        self._entries = self._declared = self._written = 0

    def declare(self, size: int) -> None:
        """Count an entry of so many bytes. Raises DataError beyond the limits."""
        self._entries, self._declared = self._entries + 1, self._declared + size
        if self._entries > MOST_ENTRIES:
            found, expected = f"it has more than {MOST_ENTRIES:,} entries", f"{MOST_ENTRIES:,} at most"
            raise DataError(str(self._archive), found, expected, BOMB_ADVICE)
        self._refuse_more(self._declared)

    def write(self, size: int) -> None:
        """Count bytes that come out of it. Raises DataError beyond the limits."""
        self._written += size
        self._refuse_more(self._written)

    def _refuse_more(self, size: int) -> None:
        if size > self.bytes:
            found = f"it unpacks to more than {self.bytes / 1e9:.1f} GB"
            expected = f"{MOST_BYTES / 1e9:,.0f} GB and {MOST_RATIO} times its own size at most"
            raise DataError(str(self._archive), found, expected, BOMB_ADVICE)


def _unpack(archive: Path, folder: Path, *, quiet: bool) -> None:
    with _explained(archive), contextlib.ExitStack() as held:
        limits, total = _Limits(archive), None
        needed = archive.stat().st_size
        if archive.suffix.lower() == ".zip":
            content = held.enter_context(zipfile.ZipFile(archive))
            for info in content.infolist():
                limits.declare(info.file_size)
            needed = total = sum(info.file_size for info in content.infolist())
            entries = _zip_entries(archive, content)
        else:
            entries = _tar_entries(archive, held.enter_context(tarfile.open(archive, "r:*")), limits)
        _refuse_full_disk(archive, folder, needed)
        bar = held.enter_context(ProgressBar(f"Unpacking {archive.name}", total, in_bytes=True, quiet=quiet))
        for entry in entries:
            with entry.stream, _created(archive, folder, entry) as target:
                while chunk := entry.stream.read(COPIED_AT_ONCE):
                    limits.write(len(chunk))
                    with explain_disk(folder):
                        target.write(chunk)
                    bar.advance(len(chunk))
            with contextlib.suppress(OSError, OverflowError, ValueError):
                os.utime(folder / entry.name, (entry.mtime, entry.mtime))


@contextlib.contextmanager
def _explained(archive: Path) -> Generator[None]:
    """Turn what the standard library raises on damaged archives into one line."""
    try:
        yield
    except OSError as error:  # what concerns the disk is explained where it is written
        found = f"it cannot be read ({error.strerror or str(error) or type(error).__name__})"
        raise DataError(str(archive), found, "a complete archive", "Fetch it again.") from None
    except DAMAGED as error:
        reason = str(error).partition(":")[0].rstrip(".") or type(error).__name__
        found = f"it is cut short, damaged or of an unknown kind ({reason})"
        raise DataError(str(archive), found, "a complete archive", "Fetch it again.") from None


@contextlib.contextmanager
def _created(archive: Path, folder: Path, entry: _Entry) -> Generator[IO[bytes]]:
    """Open an entry's new file, in its folder."""
    target = folder / entry.name
    with explain_disk(folder):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stream = target.open("xb")
        except (FileExistsError, NotADirectoryError):
            raise DataError(str(archive), f"it holds '{entry.name}' twice", "each file once") from None
    try:
        yield stream
    finally:
        with explain_disk(folder):
            stream.close()


def _refuse_full_disk(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + DISK_RESERVE:
        found = f"{free / 1e9:.1f} GB are free on the disk of the cache"
        advice = "Free some space, or name another folder with SIGHTLINE_CACHE."
        raise ResourceError(str(archive), found, f"{needed / 1e9:.1f} GB to unpack it", advice)


def _checked(archive: Path, name: str) -> str | None:
    """Give an entry's path as it is written, None where there is nothing to write. It may not lead out."""
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    absolute = path.startswith("/") or path[1:3] == ":/"
    if absolute or ".." in parts or "\0" in path:
        raise _refused(archive, name, "a path that leads out of it")
    return "/".join(parts) if parts and all(map(is_visible, parts)) else None


def _refused(archive: Path, name: str, what: str) -> DataError:
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")[:120]
    return DataError(str(archive), f"it holds '{shown}', which is {what}", "files and folders inside it only")


def _zip_entries(archive: Path, content: zipfile.ZipFile) -> Iterator[_Entry]:
    listed = content.infolist()
    for info, name in zip(listed, _zip_names(listed), strict=True):
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, name, "a link or a device")
        if info.flag_bits & ZIP_ENCRYPTED:
            raise DataError(str(archive), "it is encrypted", "an archive without a password", "Unpack it yourself.")
        path = _checked(archive, name)
        if path is not None and not info.is_dir():
            mtime = 0.0
            with contextlib.suppress(OverflowError, ValueError):
                mtime = time.mktime((*info.date_time, 0, 0, -1))
            yield _Entry(path, mtime, content.open(info))


def _zip_names(listed: list[zipfile.ZipInfo]) -> list[str]:
    """Read the names: old programs wrote them in their system's own encoding, without saying which.

    UTF-8 where all such names are, else GB18030, as on Chinese systems, else code page 437, as the format has it.
    """
    unsaid = [info for info in listed if not info.flag_bits & ZIP_UTF8 and not info.filename.isascii()]
    for encoding in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeError):
            read = {id(info): info.filename.encode("cp437").decode(encoding) for info in unsaid}
            return [read.get(id(info), info.filename) for info in listed]
    return [info.filename for info in listed]


def _tar_entries(archive: Path, content: tarfile.TarFile, limits: _Limits) -> Iterator[_Entry]:
    for member in content:
        limits.declare(member.size)
        if not (member.isreg() or member.isdir()):
            raise _refused(archive, member.name, "a link or a device")
        path = _checked(archive, member.name)
        stream = content.extractfile(member) if member.isreg() and path is not None else None
        if path is not None and stream is not None:
            yield _Entry(path, member.mtime, stream)
    # tarfile takes a damaged header, or a file that ends between two, for the archive's end.
    assert content.fileobj is not None
    content.fileobj.seek(content.offset)
    if content.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    while chunk := content.fileobj.read(COPIED_AT_ONCE):  # what is compressed has a checksum at its own end
        limits.write(len(chunk))
