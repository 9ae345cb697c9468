"""How pictures lie in a folder: parts such as train/ and test/, a folder per class in each, and what is left alone.

Parts go by the names that people give them: `Training/`, `test_set/`, `seg_train/`, `valid/`, `dev/`. Where parts or
classes hide in a single folder, a few levels deeper, that folder is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from sightline.data.cache import Picture
from sightline.data.formats import count_formats, is_picture, is_unread
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
    "trn": "train",
    "训练": "train",
    "训练集": "train",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
    "测试": "test",
    "测试集": "test",
    "eval": "val",
    "evaluation": "val",
    "validate": "val",
    "dev": "val",
    "验证": "val",
    "验证集": "val",
}
FILLERS = frozenset(("set", "seg", "data", "dataset", "folder", "image", "images", "img", "imgs", "pictures", "split"))
"""What stands beside a part's name, as in test_set, testset or seg_train."""
LEFT_ALONE = frozenset((
    "__macosx", "network trash folder", "temporary items", "icon\r",  # macOS
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini",  # Windows
    "$recycle.bin", "system volume information",
    "lost+found",  # Linux
    "@eadir", "@tmp", "@recycle", "@__thumb", "#recycle", "#snapshot",  # network disks of Synology and QNAP
))  # fmt: skip
"""What systems leave in folders, in lower case; hidden files are left alone anyway."""
DEEPEST = 3


@dataclass(frozen=True)
class Part:
    """The pictures of one part, sorted by class and name, and what messages call it.

    `groups` names what each picture belongs to, "" for nothing; None where nothing tells. Left out are `ignored` other
    files, `loose` pictures beside the class folders, and the paths of pictures whose formats are not read, `unread`,
    each with its class, "" for a loose one. `subfolders`: those that all classes have, where all their pictures are in
    them.
    """

    subject: str
    class_names: tuple[str, ...]
    pictures: Sequence[Picture]
    ignored: int = 0
    groups: Sequence[str] | None = None
    loose: int = 0
    unread: Sequence[tuple[str, str]] = ()
    subfolders: tuple[str, ...] = ()


def part_of(name: str) -> PartName | None:
    """Tell which part is meant by a folder's name, or by a word in a column, in whatever case; None for another."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    kept = [word for word in words if word not in FILLERS] if len(words) > 1 else words
    if len(kept) != 1:
        return None
    shorter = [kept[0].removesuffix(filler) for filler in FILLERS]
    for word in (kept[0], *shorter):
        if (part := PLAIN_NAMES.get(word) or OTHER_NAMES.get(word)) is not None:
            return part
    return None


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


def pictures_below(folder: Path, unread: list[str]) -> Iterator[Path]:
    """Give the pictures in a folder and in those inside it, sorted, as training takes those of a class.

    Those of formats that are not read go to `unread`. Raises DataError where a folder cannot be listed.
    """
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from pictures_below(Path(entry.path), unread)
        elif is_picture(entry.name):
            yield Path(entry.path)
        elif is_unread(entry.name):
            unread.append(entry.path)


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
    with_pictures = (inside for inside in folders_in(folder) if has_picture(inside))
    return next(with_pictures, None) is not None and next(with_pictures, None) is not None


def has_picture(folder: Path) -> bool:
    """Tell whether there is a picture in a folder, or in one inside it."""
    entries = peek(folder)
    if any(is_picture(entry.name) for entry in entries):
        return True
    return any(has_picture(Path(entry.path)) for entry in entries if entry.is_dir(follow_symlinks=False))


def beside_parts(root: Path) -> list[str]:
    """Name what lies beside the parts of a folder that has some and is not used: folders of pictures, and pictures."""
    if not has_parts(root):
        return []
    used = {folder for folders in part_folders(root).values() for folder in folders}
    folders = [f"{folder.name}/" for folder in folders_in(root) if folder not in used and has_picture(folder)]
    return [*folders, *(entry.name for entry in peek(root) if is_picture(entry.name) or is_unread(entry.name))]


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
    return {part: list_part(root, class_root(named[0]), whole=part == "train") for part, named in brought.items()}


def list_test(root: Path) -> Part:
    """List the pictures of the test folder, or of the class folders where there are no parts.

    Some classes may be missing, or empty. Raises DataError where there is a folder for training but none for the test,
    and as `list_parts` does.
    """
    folders = part_folders(root, is_folder)
    tests = [folder for folder in folders.get("test", []) if folders_in(folder)]
    if len(tests) > 1:
        raise DataError(str(root), f"it has {' and '.join(f'{test.name}/' for test in tests)}", "one of them")
    if tests:
        return list_part(root, class_root(tests[0]), whole=False)
    for train in folders.get("train", []):
        if folders_in(train):
            raise DataError(str(root), f"it has {train.name}/ but no test/", "a test/ with a folder per class")
    return list_part(root, root, whole=False)


def list_part(root: Path, folder: Path, *, whole: bool = True) -> Part:
    """List the class folders in a folder of `root`. Unless it must be `whole`, it may have one class, and empty ones.

    Raises DataError as `list_parts` does.
    """
    found = _Found([], [])
    classes: list[str] = []
    empty: list[str] = []
    prefix = folder.relative_to(root).as_posix()
    prefix = "" if prefix == "." else f"{prefix}/"
    for entry in _entries(folder):
        if not is_folder(entry):
            found.beside(entry.name, f"{prefix}{entry.name}")
            continue
        if not is_utf8(entry.name):
            problem = f"the name of the class folder '{as_text(entry.name)}' is not UTF-8, so no model file can hold it"
            raise DataError(str(folder), problem, advice="Rename it.")
        before = len(found.pictures)
        found.add_class(Path(entry.path), f"{prefix}{entry.name}/", len(classes), entry.name)
        (classes if len(found.pictures) > before else empty).append(entry.name)
    if not classes and not empty:
        raise DataError(str(folder), "it has no class folders", LAYOUT)
    if empty and (whole or not classes):
        _refuse_empty(folder, empty, found.unread)
    if len(classes) == 1 and whole:
        raise DataError(str(folder), f"it has only one class, {classes[0]}", "two classes or more")
    inside = [
        (classes[picture.label], picture.id[len(prefix) + len(classes[picture.label]) + 1 :])
        for picture in found.pictures
    ]
    return Part(
        str(folder), tuple(classes), found.pictures, found.ignored, None, found.loose, found.unread,
        shared_subfolders(inside),
    )  # fmt: skip


def _refuse_empty(folder: Path, empty: Sequence[str], unread: Sequence[tuple[str, str]]) -> NoReturn:
    left_out = [name for name, label in unread if label in empty]
    found = f"it has no pictures in class {some(empty)}"
    if left_out:
        formats = ", ".join(f"{count:,} {name}" for name, count in count_formats(left_out).items())
        advice = "Save them as JPEG or PNG."
        raise DataError(
            str(folder), f"{found} but those of formats that are not read: {formats}", "at least one in each", advice
        )
    raise DataError(str(folder), found, "at least one in each", "Fill it, or remove it.")


def shared_subfolders(inside: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Give the subfolders that two classes or more all have, where there are several and no picture is beside them.

    `inside`: the class of each picture, and its path in the class's folder.
    """
    folders: dict[str, set[str]] = {}
    for label, path in inside:
        folders.setdefault(label, set()).add(path.partition("/")[0] if "/" in path else "")
    first = next(iter(folders.values()), set[str]())
    same = len(folders) > 1 and len(first) > 1 and "" not in first and all(names == first for names in folders.values())
    return tuple(sorted(first)) if same else ()


@dataclass
class _Found:
    """What is found in the class folders of a part."""

    pictures: list[Picture]
    unread: list[tuple[str, str]]
    ignored: int = 0
    loose: int = 0

    def beside(self, name: str, path: str) -> None:
        """Count a file beside the class folders."""
        if is_picture(name):
            self.loose += 1
        elif is_unread(name):
            self.unread.append((path, ""))
        else:
            self.ignored += 1

    def add_class(self, folder: Path, prefix: str, label: int, name: str) -> None:
        """Add the pictures under a folder. Links to folders are not followed: they may loop."""
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                self.add_class(Path(entry.path), f"{prefix}{entry.name}/", label, name)
            elif is_picture(entry.name):
                try:
                    facts = entry.stat()
                    size, mtime_ns = facts.st_size, facts.st_mtime_ns
                except OSError:  # a link that leads nowhere, say: decoding will name it
                    size, mtime_ns = -1, 0
                self.pictures.append(Picture(f"{prefix}{entry.name}", label, size, mtime_ns))
            elif is_unread(entry.name):
                self.unread.append((f"{prefix}{entry.name}", name))
            else:
                self.ignored += 1
