"""Where dataset files come from: a named folder, the environment, the user's cache, then a download.

`--data-dir`, then SIGHTLINE_DATA, then the cache folder (SIGHTLINE_CACHE, or the system's own place for it), then the
mirrors in order. In a folder the files lie directly or in a sub-folder of the dataset's name. Every file is checked
against its hash, found or downloaded.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.data.catalog import DATASETS, Source
from sightline.errors import DataError, ResourceError, UsageError, unknown
from sightline.files.atomic import explain_disk
from sightline.progress import ProgressBar

DATA_VARIABLE, CACHE_VARIABLE = "SIGHTLINE_DATA", "SIGHTLINE_CACHE"
DOWNLOAD_SECONDS = 30
"""How long a mirror may be silent."""


def cache_folder() -> Path:
    """Name the user's cache folder, for downloads and decoded folders; it need not be there yet."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("sightline"))


def find_files(source: Source, data_dir: str | None, *, quiet: bool = False) -> dict[str, Path]:
    """Find or download a dataset's files, each checked against its hash: file name -> path.

    Raises UsageError for a data folder that is not there, DataError for a wrong hash and where nothing can be
    downloaded; that message lists the files wanted, their hashes and where to put them.
    """
    places = _places(data_dir)
    found: dict[str, Path] = {}
    for name, expected in source.files.items():
        path = _present(source, name, places)
        if path is None:
            path = _download(source, name, expected, quiet=quiet)
        else:
            _check(path, expected)
        found[name] = path
    return found


def _places(data_dir: str | None) -> list[Path]:
    """List the folders to look in, in order."""
    places: list[Path] = []
    for subject, chosen in (("--data-dir", data_dir), (DATA_VARIABLE, os.environ.get(DATA_VARIABLE))):
        if chosen:
            folder = Path(chosen).expanduser()
            if not folder.is_dir():
                raise UsageError(subject, f"{chosen} is not a folder", "a folder with dataset files")
            places.append(folder)
    return [*places, cache_folder()]


def _present(source: Source, name: str, places: list[Path]) -> Path | None:
    for place in places:
        for path in (place / source.name / name, place / name):
            # MNIST and Fashion-MNIST name their files alike, so one in the open may be the other's.
            if path.is_file() and not (path.parent == place and _is_anothers(source, path)):
                return path
    return None


def _is_anothers(source: Source, path: Path) -> bool:
    own = source.files[path.name]
    if hash_of(path, own) == own:
        return False
    others = [d.source for d in DATASETS.values() if d.source is not None and d.source.name != source.name]
    hashes = [other.files[path.name] for other in others if path.name in other.files]
    return any(hash_of(path, expected) == expected for expected in hashes)


def hash_of(path: Path, like: str) -> str:
    """Hash a file by the algorithm that `like` ("sha256:...") names, written the same way."""
    algorithm = like.partition(":")[0]
    try:
        with path.open("rb") as stream:
            return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
    except OSError as error:
        raise DataError(str(path), f"it cannot be read ({error.strerror})") from None


def _check(path: Path, expected: str) -> None:
    found = hash_of(path, expected)
    if found != expected:
        advice = "Delete it to download it again, or put the official file there."
        raise DataError(str(path), f"its hash is {found}", f"{expected}, the official file's", advice)


def _download(source: Source, name: str, expected: str, *, quiet: bool) -> Path:
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    folder = cache_folder() / source.name
    with explain_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    reasons: list[str] = []
    for mirror in source.mirrors:
        with _DownloadBar(f"{source.name}/{name}", in_bytes=True, quiet=quiet) as progress:
            # Its annotations know neither its own kinds of progress bar nor of downloader.
            http: Any = pooch.HTTPDownloader
            downloader = http(progressbar=progress, chunk_size=1 << 16, timeout=DOWNLOAD_SECONDS)
            try:
                pooch.retrieve(mirror + name, expected, name, folder, downloader=downloader)
                return folder / name
            except requests.RequestException as error:
                reasons.append(f"{_host(mirror)}: {_reason(error)}")
            except ValueError:  # pooch's word for a wrong hash; the file is not kept
                reasons.append(f"{_host(mirror)}: another file, by its hash")
            except OSError as error:
                found = f"the download cannot be written ({error.strerror or error})"
                advice = f"Free some space, or name another folder in {CACHE_VARIABLE}."
                raise ResourceError(str(folder / name), found, advice=advice) from None
    raise _wanted(source, folder, ", ".join(reasons) or "no mirror is known")


def _wanted(source: Source, folder: Path, reason: str) -> DataError:
    files = ", ".join(f"{name} ({expected})" for name, expected in source.files.items())
    advice = f"Put {files} into {folder}, or name the folder that has them with --data-dir or {DATA_VARIABLE}."
    return DataError(source.name, f"its files are not here and cannot be downloaded ({reason})", advice=advice)


def _host(mirror: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(mirror).netloc


def _reason(error: Any) -> str:
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else type(error).__name__


class _DownloadBar(ProgressBar):
    """A progress bar with the methods that pooch calls on one, which is given its total when the download begins."""

    total: int | None = None

    def update(self, count: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Tell that `count` more bytes are here."""
        super().update(total=self.total)
        self.advance(count)

    def reset(self) -> None:
        """Begin anew; pooch does so before it fills the bar."""
        super().update(total=self.total, completed=0)

    def close(self) -> None:
        """Nothing: the bar goes when the download has ended."""


@dataclass(frozen=True)
class DatasetStatus:
    """A built-in dataset. `found`: embedded, generated, a folder, or None if it must be downloaded.

    `size` is (H, W, C); `classes`, `train` and `test` are counts; each is None if the user chooses it.
    """

    name: str
    title: str
    classes: int | None
    size: tuple[int, int, int] | None
    train: int | None
    test: int | None
    found: str | None


def list_datasets(data_dir: str | Path | None = None) -> list[DatasetStatus]:
    """List the built-in datasets, and where the files of each are.

    Searches `data_dir`, the folder in SIGHTLINE_DATA, and the user's cache, without checking hashes. Raises UsageError
    if one of the first two is not a folder.
    """
    places = _places(None if data_dir is None else str(data_dir))
    lines: list[DatasetStatus] = []
    for dataset in DATASETS.values():
        if dataset.source is None:
            found = "embedded" if dataset.size else "generated"
        else:
            paths = [_present(dataset.source, name, places) for name in dataset.source.files]
            found = str(paths[0].parent) if paths[0] is not None and None not in paths else None
        classes = len(dataset.class_names) if dataset.class_names else None
        line = DatasetStatus(dataset.name, dataset.title, classes, dataset.size, dataset.train, dataset.test, found)
        lines.append(line)
    return lines


def get_dataset(name: str, data_dir: str | Path | None = None, *, quiet: bool = False) -> dict[str, Path]:
    """Find or download the files of a built-in dataset, and check their hashes.

    Returns the path of each file by its name; empty for a dataset without files. A download shows its progress on a
    terminal unless `quiet`. Raises UsageError for an unknown name or folder, DataError for a wrong hash or if a file
    can neither be found nor downloaded, ResourceError if the download cannot be written.
    """
    if name not in DATASETS:
        raise unknown("data", name, DATASETS, listed_by="sightline data list")
    source = DATASETS[name].source
    return {} if source is None else find_files(source, None if data_dir is None else str(data_dir), quiet=quiet)
