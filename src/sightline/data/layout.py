"""How pictures lie in a folder: parts such as train/ and test/, a folder per class in each, and what is left alone.

Parts go by the names that people give them: `Training/`, `test_set/`, `seg_train/`, `valid/`, `dev/`. Where parts or
classes hide in a single folder, a few levels deeper, that folder is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sightline.data.cache import Picture
from sightline.data.decoder import SUFFIXES
from sightline.errors import DataError

PartName = Literal["train", "val", "test"]
PARTS: tuple[PartName, ...] = ("train", "val", "test")

LAYOUT = "train/ [val/] test/ with a folder per class, or one folder per class"
PLAIN_NAMES: Mapping[str, PartName] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Where a folder has one of these, its parts by other names are left alone."""
OTHER_NAMES: Mapping[str, PartName] = {
    "training": "train",
    "trainset": "train",
    "trainingset": "train",
    "testing": "test",
    "testset": "test",
    "testingset": "test",
    "valset": "val",
    "validset": "val",
    "validationset": "val",
    "eval": "val",
    "evaluation": "val",
    "dev": "val",
    "devset": "val",
}
FILLERS = frozenset(("set", "seg", "data", "dataset", "folder", "image", "images", "img", "imgs", "pictures", "split"))
"""What stands beside a part's name, as in test_set or seg_train."""
LEFT_ALONE = frozenset(("__macosx", "thumbs.db", "desktop.ini"))
DEEPEST = 3


@dataclass(frozen=True)
class Part:
    """The pictures of one part, sorted by class and name, and what messages call it.

    `groups` names what each picture belongs to, "" for nothing; None where nothing tells.
    """

    subject: str
    class_names: tuple[str, ...]
    pictures: Sequence[Picture]
    ignored: int = 0
    groups: Sequence[str] | None = None


def part_of(name: str) -> PartName | None:
    """Tell which part is meant by a folder's name, or by a word in a column, in whatever case; None for another."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    kept = [word for word in words if word not in FILLERS] if len(words) > 1 else words
    return PLAIN_NAMES.get(kept[0]) or OTHER_NAMES.get(kept[0]) if len(kept) == 1 else None


# What is in a folder


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
        seen = [entry for entry in entries if is_visible(entry.name)]
    return sorted(seen, key=lambda entry: entry.name)


def is_visible(name: str) -> bool:
    """Tell whether a file or folder is of the user's making: no hidden one, and none that a system leaves behind."""
    return not name.startswith(".") and name.lower() not in LEFT_ALONE


def is_picture(name: str) -> bool:
    """Tell by its suffix whether a file should be a picture."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (a Path per file costs seconds)


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


def some(names: Sequence[str]) -> str:
    """Name the first ten, and say how many more there are."""
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


# Where the parts and classes are. Looking for them refuses nothing: what is wrong the listing says.


def peek(folder: Path) -> list[os.DirEntry[str]]:
    """List what is in a folder, nothing where that cannot be told."""
    try:
        return visible(folder)
    except OSError:
        return []


def leads_to_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Tell whether it is a folder or a link to one, as far as can be told."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, as far as can be told."""
    return [Path(entry.path) for entry in peek(folder) if leads_to_folder(entry)]


def part_folders(root: Path, tell: Callable[[Path], bool] = leads_to_folder) -> dict[PartName, list[Path]]:
    """Find the folders that are called like parts; those with plain names go before all others.

    Whether they are parts depends on what is inside: a class may be called "train". `tell` says what is a folder.
    """
    found: dict[PartName, list[Path]] = {}
    for entry in peek(root):
        if (part := part_of(entry.name)) is not None and tell(Path(entry.path)):
            found.setdefault(part, []).append(Path(entry.path))
    named: dict[PartName, list[Path]] = {}
    for part in PARTS:
        if folders := found.get(part, []):
            named[part] = [folder for folder in folders if folder.name in PLAIN_NAMES] or folders
    return named


def has_parts(root: Path) -> bool:
    """Tell whether a folder has class folders for training or for a test in a folder of their own, or both folders."""
    parts = part_folders(root)
    both = "train" in parts and "test" in parts
    return both or any(folders_in(folder) for part in ("train", "test") for folder in parts.get(part, ()))


def has_classes(folder: Path) -> bool:
    """Tell whether there are two folders or more with pictures in them."""
    with_pictures = (inside for inside in folders_in(folder) if _has_picture(inside))
    return next(with_pictures, None) is not None and next(with_pictures, None) is not None


def _has_picture(folder: Path) -> bool:
    entries = peek(folder)
    if any(is_picture(entry.name) for entry in entries):
        return True
    return any(_has_picture(Path(entry.path)) for entry in entries if entry.is_dir(follow_symlinks=False))


def only_folder(folder: Path) -> Path | None:
    """Give the one folder inside, None where there are none, several, or pictures beside it."""
    inside = folders_in(folder)
    alone = len(inside) == 1 and not any(is_picture(entry.name) for entry in peek(folder))
    return inside[0] if alone else None


def class_root(folder: Path) -> Path:
    """Find the folder with the class folders: a part's own, or the single one inside it that has several."""
    deeper: Path | None = folder
    for _ in range(DEEPEST):
        deeper = only_folder(deeper)
        if deeper is None:
            break
        if has_classes(deeper):
            return deeper
    return folder


# Listing, which refuses what training cannot use


def list_parts(root: Path) -> dict[PartName, Part]:
    """List train, and val and test where they are; a folder without train/ is all train.

    Raises DataError for no folder, no classes or one, an empty class, and several folders for one part.
    """
    if not is_folder(root):
        found = "it is a file" if root.exists() else "no such folder"
        raise DataError(str(root), found, LAYOUT)
    folders = part_folders(root, is_folder)
    trains = [folder for folder in folders.get("train", []) if folders_in(folder)]
    # A class may be called "train": what makes a part is that folders are inside.
    if not trains:
        if "train" in folders and "test" in folders:
            raise DataError(str(folders["train"][0]), "it has no class folders", LAYOUT)
        for folder in folders.get("test", []):
            if folders_in(folder):
                raise DataError(str(root), f"it has {folder.name}/ but no train/", LAYOUT)
        return {"train": list_part(root, root)}
    brought: dict[PartName, list[Path]] = {**folders, "train": trains}
    for named in brought.values():
        if len(named) > 1:
            raise DataError(str(root), f"it has {' and '.join(f'{folder.name}/' for folder in named)}", "one of them")
    return {part: list_part(root, class_root(named[0])) for part, named in brought.items()}


def list_test(root: Path) -> Part:
    """List the pictures of the test folder, or of the class folders where there are no parts.

    Raises DataError where there is a folder for training but none for the test, and as `list_parts` does.
    """
    folders = part_folders(root, is_folder)
    tests = [folder for folder in folders.get("test", []) if folders_in(folder)]
    if len(tests) > 1:
        raise DataError(str(root), f"it has {' and '.join(f'{test.name}/' for test in tests)}", "one of them")
    if tests:
        return list_part(root, class_root(tests[0]))
    for train in folders.get("train", []):
        if folders_in(train):
            raise DataError(str(root), f"it has {train.name}/ but no test/", "a test/ with a folder per class")
    return list_part(root, root)


def list_part(root: Path, folder: Path) -> Part:
    """List the class folders in a folder of `root`. Raises DataError as `list_parts` does."""
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
            str(folder), f"it has no pictures in class {some(empty)}", "at least one in each", "Fill it, or remove it."
        )
    if len(classes) == 1:
        raise DataError(str(folder), f"it has only one class, {classes[0]}", "two classes or more")
    return Part(str(folder), tuple(classes), pictures, ignored)


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
