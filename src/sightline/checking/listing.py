"""What lies in a dataset's folder, for `sightline check`: unlike the reader for training, it refuses nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sightline.data.folder import LAYOUT, VALIDATION_NAMES, is_folder, is_picture, visible
from sightline.errors import DataError

WHOLE = "all"
"""The part's name where a folder has no train/ and test/ but one folder per class."""
PARTS = ("train", *VALIDATION_NAMES, "test")


class Listed(NamedTuple):
    """A file that should be a picture, by its suffix. `id` is its path relative to the folder, with slashes."""

    id: str
    part: str
    label: str


@dataclass(frozen=True)
class Listing:
    """All of a folder. `classes`: each part's class folders, in order, those without a picture too.

    `ignored`: files that are no pictures by their suffix; `loose`: pictures outside of any class's folder;
    `unlisted`: folders, and links that may lead to one, that the system does not let us see, with its reason.
    """

    root: Path
    classes: Mapping[str, list[str]]
    files: list[Listed] = field(default_factory=list[Listed])
    ignored: list[str] = field(default_factory=list[str])
    loose: list[str] = field(default_factory=list[str])
    unlisted: dict[str, str] = field(default_factory=dict[str, str])


def list_folder(root: Path) -> Listing:
    """List the parts where train/ or test/ has folders inside, or both are there; else the folder itself as one part.

    So does training, which then wants class folders in every part. Hidden files are left alone, and links to folders
    are not followed, as in training. Raises DataError where there is no such folder, or neither a part nor a class.
    """
    if not is_folder(root):
        raise DataError(str(root), "it is a file" if root.exists() else "no such folder", LAYOUT)
    unlisted: dict[str, str] = {}
    inside = {name: has for name in PARTS if (has := _has_folders(root / name, unlisted)) is not None}
    # A class may be called "train", or "test".
    parted = inside.get("train") or inside.get("test") or {"train", "test"} <= inside.keys()
    folders = {name: root / name for name in inside} if parted else {WHOLE: root}
    listing = Listing(root, {part: [] for part in folders}, unlisted=unlisted)
    for part, folder in folders.items():
        for entry in _entries(folder, listing):
            try:
                is_class = entry.is_dir()
            except OSError as error:
                unlisted[_id(entry, root)] = _reason(error)
                continue
            if is_class:
                listing.classes[part].append(entry.name)
                _list_class(Path(entry.path), listing, part, entry.name)
            elif is_picture(entry.name):
                listing.loose.append(_id(entry, root))
            else:
                listing.ignored.append(_id(entry, root))
    if not parted and not listing.classes[WHOLE]:
        raise DataError(str(root), "no class folders in it", LAYOUT)
    return listing


def _list_class(folder: Path, listing: Listing, part: str, label: str) -> None:
    for entry in _entries(folder, listing):
        if entry.is_dir(follow_symlinks=False):
            _list_class(Path(entry.path), listing, part, label)
        elif is_picture(entry.name):
            listing.files.append(Listed(_id(entry, listing.root), part, label))
        else:
            listing.ignored.append(_id(entry, listing.root))


def _entries(folder: Path, listing: Listing) -> list[os.DirEntry[str]]:
    try:
        return visible(folder)
    except OSError as error:
        listing.unlisted[folder.relative_to(listing.root).as_posix()] = _reason(error)
        return []


def _has_folders(folder: Path, unlisted: dict[str, str]) -> bool | None:
    """Tell whether folders are inside. None: it is no folder, or one that cannot be listed."""
    try:
        entries = visible(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        unlisted[folder.name] = _reason(error)
        return None
    return any(_is_folder(entry) for entry in entries)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _id(entry: os.DirEntry[str], root: Path) -> str:
    return Path(entry.path).relative_to(root).as_posix()
