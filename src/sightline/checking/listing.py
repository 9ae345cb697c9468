"""What lies in a dataset's folder, for `sightline check`: unlike the reader for training, it refuses nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sightline.data.formats import is_picture, is_unread
from sightline.data.labelled import Labelled, Row, read_labelled, sorted_classes
from sightline.data.layout import (
    LAYOUT,
    PARTS,
    class_root,
    is_folder,
    part_folders,
    part_of,
    shared_subfolders,
    visible,
)
from sightline.data.source import Source, find_source
from sightline.errors import DataError
from sightline.settings.data import DataSettings

WHOLE = "all"
"""The part's name where a folder has no train/ and test/ but one folder per class."""


class Listed(NamedTuple):
    """A file that should be a picture, by its suffix. `id` is its path relative to the folder, with slashes."""

    id: str
    part: str
    label: str


@dataclass(frozen=True)
class Listing:
    """All of a folder, or all that a label file names.

    `classes`: each part's class folders, in order, those without a picture too. `ignored`: files that are no pictures
    by their suffix; `unread`: pictures of formats that are not read; `loose`: pictures outside of any class's folder;
    `unlisted`: folders, and links that may lead to one, that the system does not let us see, with its reason;
    `subfolders`: those that all classes of a part have, where these look like the classes; `from_file`: a label file
    names the pictures, and `twice` are its rows that repeat an earlier one, with that; `notes`: what people should know
    of where the pictures were found.
    """

    root: Path
    classes: Mapping[str, list[str]]
    files: list[Listed] = field(default_factory=list[Listed])
    ignored: list[str] = field(default_factory=list[str])
    unread: list[str] = field(default_factory=list[str])
    loose: list[str] = field(default_factory=list[str])
    unlisted: dict[str, str] = field(default_factory=dict[str, str])
    subfolders: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    from_file: bool = False
    twice: list[tuple[Row, Row]] = field(default_factory=list[tuple[Row, Row]])
    notes: tuple[str, ...] = ()


def list_data(settings: DataSettings, *, quiet: bool) -> Listing:
    """List the pictures of one's own that `settings` name. Raises DataError where there is nothing to be listed."""
    source = find_source(settings, quiet=quiet)
    with source.called_by_name():
        if source.table is None:
            return list_folder(source)
        labelled = read_labelled(source.table, source.root, settings, inside=source.inside)
        return _list_labelled(labelled, source)


def _list_labelled(labelled: Labelled, source: Source) -> Listing:
    """List what a label file says; a picture of it that is not there is found missing when it is read."""
    labels: dict[str, set[str]] = {}
    for row in labelled.rows:
        labels.setdefault(row.part or WHOLE, set()).add(row.label)
    classes = {part: sorted_classes(labels[part]) for part in (*PARTS, WHOLE) if part in labels}
    listing = Listing(
        source.root, classes, from_file=True, twice=list(labelled.twice), notes=(*source.notes, *labelled.columns.notes)
    )
    places = {part: number for number, part in enumerate(classes)}
    rows = sorted(labelled.rows, key=lambda row: (places[row.part or WHOLE], row.label, row.id))
    listing.files.extend(Listed(row.id, row.part or WHOLE, row.label) for row in rows)
    return listing


def list_folder(source: Source) -> Listing:
    """List the parts where train/ or test/ has folders inside, or both are there; else the folder itself as one part.

    So does training, which then wants class folders in every part. Parts go by the folders' own names. Hidden files are
    left alone, and links to folders are not followed, as in training. Raises DataError where there is no such folder,
    or neither a part nor a class.
    """
    root = source.root
    if not is_folder(root):
        raise DataError(str(root), "it is a file" if root.exists() else "no such folder", LAYOUT)
    unlisted: dict[str, str] = {}
    found = part_folders(root, _may_be_folder)
    named = [folder for folders in found.values() for folder in folders]
    inside = {folder.name: has for folder in named if (has := _has_folders(folder, unlisted)) is not None}
    kinds = {part_of(name) for name in inside}
    # A class may be called "train", or "test".
    some_inside = any(has for name, has in inside.items() if part_of(name) != "val")
    parted = some_inside or {"train", "test"} <= kinds
    folders = {name: class_root(root / name) for name in inside} if parted else {WHOLE: root}
    listing = Listing(root, {part: [] for part in folders}, unlisted=unlisted, notes=source.notes)
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
                _leave_out(entry, listing)
        start = len(folder.relative_to(root).parts)
        inside = ((file.label, file.id.split("/", start + 1)[-1]) for file in listing.files if file.part == part)
        listing.subfolders[part] = shared_subfolders(inside)
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
            _leave_out(entry, listing)


def _leave_out(entry: os.DirEntry[str], listing: Listing) -> None:
    (listing.unread if is_unread(entry.name) else listing.ignored).append(_id(entry, listing.root))


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


def _may_be_folder(path: Path) -> bool:
    try:
        return not path.is_file()
    except OSError:
        return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _id(entry: os.DirEntry[str], root: Path) -> str:
    return Path(entry.path).relative_to(root).as_posix()
