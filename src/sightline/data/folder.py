"""A folder of pictures: `train/ [val/] test/` with a folder per class, or one folder per class.

A class folder's pictures may lie in sub-folders of it. Hidden files are left alone; files that are no pictures by
their suffix are ignored and counted. Labels come from the paths, in the order of the sorted class names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.data.cache import Decoded, Picture, Request, Size, decoded, listing_hash
from sightline.data.decoder import SUFFIXES, probe
from sightline.data.groups import grouped
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.preprocessing import Preprocessing
from sightline.data.split import hold_out
from sightline.errors import DataError, ImageError
from sightline.settings.data import DataSettings

VALIDATION_NAMES = ("val", "valid", "validation")
SAMPLE = 2000
SMALLEST_SIDE, LARGEST_SIDE = 8, 224
LAYOUT = "train/ [val/] test/ with a folder per class, or one folder per class"


@dataclass(frozen=True)
class FolderData(ImageData):
    """A folder as it was read. `ignored` counts the files that are no pictures by their suffix."""

    ignored: int = 0


@dataclass(frozen=True)
class Part:
    """The pictures under one folder with a folder per class, sorted by class and name."""

    folder: Path
    class_names: tuple[str, ...]
    pictures: Sequence[Picture]
    ignored: int


def load_folder(root: Path, settings: DataSettings, *, quiet: bool = False) -> FolderData:
    """Read a folder for training: decoded once into the cache, to the size that `settings` ask for.

    Without `image_size` the side is the median of the training pictures' shorter sides (of at most 2,000 of them,
    evenly chosen, by their headers), 8 at least and 224 at most; without `channels` it is 1 where all of these are
    gray, else 3. Where there is no `test/`, a stratified `test_fraction` is held out by `split_seed`.

    Raises DataError for no or one class, an empty class folder, parts with different classes, and unreadable pictures
    unless `skip_bad`; ResourceError where neither disk nor memory holds the decoded pictures.
    """
    if not is_utf8(str(root)):
        raise DataError(
            as_text(str(root)), "its path is not UTF-8, so settings.yaml cannot hold it", advice="Rename it."
        )
    parts = _list_parts(root)
    names = parts["train"].class_names
    for part in parts.values():
        same_classes(str(part.folder), part.class_names, names, "train/")
    pictures = [picture for part in parts.values() for picture in part.pictures]
    side = settings.image_size
    # Where larger ones are trained on, these are looked at a few times only.
    few_looks = settings.cache_size not in ("auto", "input")
    request = Request(root, pictures, "all", side, side, settings.channels, settings.resizing, few_looks)

    def size() -> Size:
        return _choose_size(root, parts["train"].pictures, side, settings.channels)

    result = decoded(request, size, skip_bad=settings.skip_bad, quiet=quiet)
    sets: dict[str, ImageSet] = {}
    start = 0
    for name, part in parts.items():
        sets[name] = _image_set(result, part, start, names)
        start += len(part.pictures)
    sets["train"] = replace(sets["train"], larger=_larger(request, parts["train"], result, settings, quiet=quiet))
    train, grouping = grouped(sets["train"], settings.group, near=settings.near_duplicates == "together")
    test = sets.get("test")
    if test is None:
        train, test = hold_out(train, settings.test_fraction, settings.split_seed, "--test-fraction")
    return FolderData(
        root.resolve().name,
        train,
        sets.get("val"),
        test,
        {"listing": listing_hash(pictures)},
        {pictures[row].id: why for row, why in result.bad.items()},
        settings.resizing,
        grouping,
        sum(part.ignored for part in parts.values()),
    )


def _larger(
    request: Request, train: Part, result: Decoded, settings: DataSettings, *, quiet: bool
) -> NDArray[np.uint8] | None:
    """Decode the training pictures, which come first, at the size that random crops are cut from: whole pictures."""
    _, height, _, channels = result.pixels.shape
    side = settings.cache_side(height)
    if side == height:
        return None
    resizing = request.resizing._replace(crop_fraction=1.0)
    wanted = Request(request.root, train.pictures, "train", side, side, 1 if channels == 1 else 3, resizing)
    # Which pictures are bad, and that they may be left out, is known by now.
    return decoded(wanted, lambda: (side, side, channels), skip_bad=True, quiet=quiet).pixels


def load_test_folder(
    root: Path, class_names: tuple[str, ...], preprocessing: Preprocessing, *, skip_bad: bool, quiet: bool = False
) -> ImageSet:
    """Read a folder's test images as a model wants them: its `test/`, or all of it where it has one folder per class.

    Labels follow the model's order of classes. Raises DataError when the classes are not the model's, when there is a
    `train/` without a `test/`, and as `load_folder` does.
    """
    folder = root / "test"
    if not _has_folders(folder):
        folder = root
        if _has_folders(root / "train"):
            raise DataError(str(root), "it has train/ but no test/", "a test/ with a folder per class")
    part = _list_part(root, folder)
    same_classes(str(folder), part.class_names, class_names, "the model")
    channels: Literal[1, 3] = preprocessing.channels
    height, width = preprocessing.height, preprocessing.width
    request = Request(root, part.pictures, "test", height, width, channels, preprocessing.resizing)
    result = decoded(request, lambda: (height, width, channels), skip_bad=skip_bad, quiet=quiet)
    return _image_set(result, part, 0, class_names)


def _list_parts(root: Path) -> dict[str, Part]:
    """List train, and val and test where they are; a folder without train/ is all train."""
    if not is_folder(root):
        found = "it is a file" if root.exists() else "no such folder"
        raise DataError(str(root), found, LAYOUT)
    # A class may be called "train": what makes a part is that folders are inside.
    if not _has_folders(root / "train"):
        if is_folder(root / "train") and is_folder(root / "test"):
            raise DataError(str(root / "train"), "it has no class folders", LAYOUT)
        if _has_folders(root / "test"):
            raise DataError(str(root), "it has test/ but no train/", LAYOUT)
        return {"train": _list_part(root, root)}
    parts = {"train": _list_part(root, root / "train")}
    brought = [name for name in VALIDATION_NAMES if is_folder(root / name)]
    if len(brought) > 1:
        raise DataError(str(root), f"it has {' and '.join(f'{name}/' for name in brought)}", "one of them")
    if brought:
        parts["val"] = _list_part(root, root / brought[0])
    if is_folder(root / "test"):
        parts["test"] = _list_part(root, root / "test")
    return parts


def _has_folders(folder: Path) -> bool:
    return is_folder(folder) and any(is_folder(entry) for entry in _entries(folder))


def is_folder(place: Path | os.DirEntry[str]) -> bool:
    """Tell whether it is a folder or a link to one. Raises DataError where the system does not say."""
    try:
        return place.is_dir()
    except OSError as error:  # a link that leads to itself, or into a folder that one may not enter
        found = f"it cannot be opened ({error.strerror})"
        raise DataError(os.fspath(place), found, advice="Give yourself read permission, or remove it.") from None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return visible(folder)
    except OSError as error:
        raise DataError(str(folder), f"it cannot be listed ({error.strerror})") from None


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """List what is in a folder, sorted, without what the system hides there. Raises OSError where it cannot."""
    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    return sorted(seen, key=lambda entry: entry.name)


def pictures_below(folder: Path) -> Iterator[Path]:
    """Give the pictures in a folder and in those inside it, sorted, as training takes those of a class.

    Raises DataError where a folder cannot be listed.
    """
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from pictures_below(Path(entry.path))
        elif is_picture(entry.name):
            yield Path(entry.path)


def is_utf8(name: str) -> bool:
    """Tell whether a file's name, which may be any bytes, is text: Python keeps other bytes as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(name: str) -> str:
    """Give a file's name, which may be any bytes, as text: other bytes than UTF-8's stand in it as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_picture(name: str) -> bool:
    """Tell by its suffix whether a file should be a picture."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (a Path per file costs seconds)


def _list_part(root: Path, folder: Path) -> Part:
    pictures: list[Picture] = []
    classes: list[str] = []
    empty: list[str] = []
    ignored = 0
    prefix = folder.relative_to(root).as_posix()
    prefix = "" if prefix == "." else f"{prefix}/"
    for entry in _entries(folder):
        if not is_folder(entry):
            ignored += 1
            continue
        if not is_utf8(entry.name):
            found = f"the name of the class folder '{as_text(entry.name)}' is not UTF-8, so no model file can hold it"
            raise DataError(str(folder), found, advice="Rename it.")
        before = len(pictures)
        ignored += _list_class(Path(entry.path), f"{prefix}{entry.name}/", len(classes), pictures)
        classes.append(entry.name)
        if len(pictures) == before:
            empty.append(entry.name)
    if not classes:
        raise DataError(str(folder), "it has no class folders", LAYOUT)
    if empty:
        raise DataError(
            str(folder), f"it has no pictures in class {_some(empty)}", "at least one in each", "Fill it, or remove it."
        )
    if len(classes) == 1:
        raise DataError(str(folder), f"it has one class only, {classes[0]}", "two classes or more")
    return Part(folder, tuple(classes), pictures, ignored)


def _list_class(folder: Path, prefix: str, label: int, pictures: list[Picture]) -> int:
    """Append the pictures under a folder, count the other files. Links to folders are not followed: they may loop."""
    ignored = 0
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            ignored += _list_class(Path(entry.path), f"{prefix}{entry.name}/", label, pictures)
        elif is_picture(entry.name):
            try:
                facts = entry.stat()
                size, mtime_ns = facts.st_size, facts.st_mtime_ns
            except OSError:  # a link that leads nowhere, say: decoding will name it
                size, mtime_ns = -1, 0
            pictures.append(Picture(f"{prefix}{entry.name}", label, size, mtime_ns))
        else:
            ignored += 1
    return ignored


def same_classes(subject: str, found: Sequence[str], expected: Sequence[str], whose: str = "the model") -> None:
    """Check that two parts have the same classes, in whatever order. Raises DataError naming the differences."""
    missing, extra = [n for n in expected if n not in set(found)], [n for n in found if n not in set(expected)]
    if missing or extra:
        parts = [f"class {_some(missing)} is missing"] * bool(missing) + [f"class {_some(extra)} is extra"] * bool(
            extra
        )
        raise DataError(subject, " and ".join(parts), f"the classes of {whose}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _choose_size(root: Path, pictures: Sequence[Picture], side: int | None, channels: Literal[1, 3] | None) -> Size:
    if side is not None and channels is not None:
        return side, side, channels
    shorter: list[int] = []
    all_gray = True
    for picture in pictures[:: -(-len(pictures) // SAMPLE)]:
        try:
            width, height, gray = probe(root / picture.id)
        except ImageError:
            continue  # decoding will name it
        shorter.append(min(width, height))
        all_gray = all_gray and gray
    if side is None:
        side = int(np.clip(np.median(shorter), SMALLEST_SIDE, LARGEST_SIDE)) if shorter else SMALLEST_SIDE
    return side, side, channels or (1 if all_gray else 3)


def _image_set(result: Decoded, part: Part, start: int, class_names: tuple[str, ...]) -> ImageSet:
    """Take the readable pictures of a part, whose first is row `start`."""
    order = np.array([class_names.index(name) for name in part.class_names], np.int64)
    good = [index for index in range(len(part.pictures)) if start + index not in result.bad]
    labels: NDArray[np.int64] = order[[part.pictures[index].label for index in good]]
    counts = np.bincount(labels, minlength=len(class_names))
    if not counts.all():
        unreadable = [class_names[index] for index in np.flatnonzero(counts == 0)]
        raise DataError(
            str(part.folder), f"it has no readable picture in class {_some(unreadable)}", "at least one in each"
        )
    ids = [part.pictures[index].id for index in good]
    return ImageSet(result.pixels, np.array(good, np.int64) + start, labels, ids, class_names)
