"""Pictures of one's own, wherever they are: a folder, an archive, a label file, and which folder has them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sightline.data.archives import unpacked
from sightline.data.catalog import DATASETS
from sightline.data.label_file import is_label_file
from sightline.data.labelled import labelled_parts, read_labelled, refuse_wrong
from sightline.data.layout import (
    DEEPEST,
    LAYOUT,
    Part,
    PartName,
    as_text,
    beside_parts,
    class_root,
    has_classes,
    has_parts,
    is_folder,
    is_utf8,
    list_parts,
    list_test,
    only_folder,
    part_folders,
    part_of,
    peek,
    some,
)
from sightline.errors import DataError, UsageError, unknown
from sightline.files.atomic import sha256_of
from sightline.settings.data import ARCHIVES, LABEL_FILES, DataSettings, has_suffix

USUAL_STEM = "labels"
KINDS = "a folder, a label file (.csv, .tsv, .jsonl) or an archive (.zip, .tar, .tar.gz)"


@dataclass(frozen=True)
class Source:
    """Where pictures lie: ids are paths relative to `root`.

    `name`: what people call it. `table`: the file with their labels, None where folders tell them. `inside`: the folder
    of an unpacked archive, out of which nothing in it may lead. `files`: the SHA-256 of an archive and of a file of
    labels. `notes`: what people should know of how they were found.
    """

    name: str
    root: Path
    table: Path | None
    inside: Path | None
    files: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def owner(self) -> Path:
        """What the decoded pictures are kept for."""
        return self.table or self.root

    @contextlib.contextmanager
    def called_by_name(self) -> Generator[None]:
        """Call an archive by its own name, not by its place in the cache, where something is wrong with it."""
        with _called(self.name, self.inside):
            yield


@contextlib.contextmanager
def _called(name: str, inside: Path | None) -> Generator[None]:
    try:
        yield
    except DataError as error:
        if inside is None or not error.subject.startswith(str(inside)):
            raise
        raise type(error)(name + error.subject[len(str(inside)) :], error.found, error.expected, error.advice) from None


@dataclass(frozen=True)
class Listed:
    """The pictures of a source by part; `is_whole` where a label file has no parts, and all are listed as train."""

    parts: Mapping[PartName, Part]
    notes: tuple[str, ...]
    is_whole: bool = False


def folder_path(name: str) -> Path:
    """Take what is no dataset's name as a path. Raises UsageError for a lone word that is none either."""
    path = Path(name).expanduser()
    if not os.path.lexists(path) and not any(mark in name for mark in (os.sep, "/", os.altsep) if mark):
        error = unknown("data", name, DATASETS, listed_by="sightline data list")
        expected = f"{error.expected}, or a folder's path" if error.expected else "a dataset's name or a folder's path"
        raise UsageError(error.subject, error.found, expected, error.advice)
    return path


def find_source(settings: DataSettings, *, quiet: bool = False) -> Source:
    """Find where the pictures are that `settings` name, and what tells their labels; an archive is unpacked.

    Raises DataError where there is nothing such, and as `unpacked` does; UsageError for a label file that is not
    there.
    """
    path = folder_path(settings.name)
    if not is_utf8(str(path)):
        found = "its path is not UTF-8, so settings.yaml cannot hold it"
        raise DataError(as_text(str(path)), found, advice="Rename it.")
    files: dict[str, str] = {}
    inside: Path | None = None
    if not is_folder(path) and path.is_file() and has_suffix(path.name, ARCHIVES):
        archive = unpacked(path, quiet=quiet)
        files["archive"], inside = archive.sha256, archive.folder
    elif not is_folder(path) and path.is_file() and is_label_file(path):
        if settings.labels is not None:
            raise UsageError("--labels", f"{path} is a label file itself", "one of them")
        return Source(str(path), path.parent, path, None, {"labels": _hash(path)}, ())
    elif not is_folder(path):
        missing = "no such file" if has_suffix(path.name, ARCHIVES + LABEL_FILES) else "no such folder"
        raise DataError(str(path), "it is a file" if path.exists() else missing, KINDS)
    top = inside or path
    with _called(str(path), inside):
        root, table, notes = _taken(top, str(path), settings.labels)
    if table is not None:
        files["labels"] = _hash(table)
        if inside is not None and not table.resolve().is_relative_to(inside.resolve()):
            inside = None  # a file of the user's own, for the pictures of the archive
    return Source(str(path), root, table, inside, files, notes)


def _hash(table: Path) -> str:
    try:
        return sha256_of(table)
    except OSError as error:
        raise DataError(str(table), f"it cannot be read ({error.strerror})", "a label file") from None


def _taken(top: Path, name: str, labels: str | None) -> tuple[Path, Path | None, tuple[str, ...]]:
    """Choose the folder below `top` that has the pictures, and the file that has their labels."""
    if labels is not None:
        for table in (Path(labels).expanduser(), top / labels):
            if table.is_file():
                return top, table, ()
        raise UsageError("--labels", f"{labels} is not there", "a label file (.csv, .tsv, .jsonl)")
    folder = top
    for _ in range(DEEPEST + 1):
        if _has_class_folders(folder):
            return folder, None, _notes(folder, top, name)
        if (table := _only_table(folder)) is not None:
            return folder, table, _told(folder, top, name)
        deeper = only_folder(folder)
        if deeper is None or part_of(deeper.name) is not None:
            break
        folder = deeper
    return top, None, ()


def _notes(folder: Path, top: Path, name: str) -> tuple[str, ...]:
    """Say what people should know of the folder that was chosen."""
    return (*_told(folder, top, name), *_unwrapped(folder), *_beside(folder), *_tables_left_alone(folder))


def _beside(folder: Path) -> list[str]:
    names = beside_parts(folder)
    return [f"beside the splits and not used: {some(names)}"] if names else []


def _has_class_folders(folder: Path) -> bool:
    parts = part_folders(folder)
    if has_parts(folder):
        # Kaggle's train/ and test/ may have pictures without class folders, and a label file beside them.
        inside = [one for part in ("train", "test") for one in parts.get(part, ())]
        return any(has_classes(class_root(one)) for one in inside) or not _tables(folder)
    return has_classes(folder)


def _told(folder: Path, top: Path, name: str) -> tuple[str, ...]:
    return () if folder == top else (f"{name}: pictures are taken from {folder.relative_to(top).as_posix()}/ in it",)


def _unwrapped(folder: Path) -> list[str]:
    """Say which folders inside those of the parts were taken."""
    if not has_parts(folder):
        return []
    roots = [(one, class_root(one)) for named in part_folders(folder).values() for one in named]
    deeper = [(one, root) for one, root in roots if root != one]
    return [f"{one.name}/: its classes are taken from {root.relative_to(folder).as_posix()}/" for one, root in deeper]


def _tables(folder: Path) -> list[Path]:
    return [path for entry in peek(folder) if is_label_file(path := Path(entry.path)) and path.is_file()]


def _only_table(folder: Path) -> Path | None:
    """Give the folder's label file: the one called so, or the only one. Raises DataError for several."""
    tables = _tables(folder)
    usual = [table for table in tables if table.name.partition(".")[0].lower() == USUAL_STEM]
    chosen = usual or tables
    if len(chosen) > 1:
        found = f"it has no class folders but several label files, {some([table.name for table in chosen])}"
        raise DataError(str(folder), found, "one of them", "Name it with --labels.")
    return chosen[0] if chosen else None


def _tables_left_alone(folder: Path) -> list[str]:
    usual = [table.name for table in _tables(folder) if table.name.partition(".")[0].lower() == USUAL_STEM]
    return [f"the class folders tell the labels, not {usual[0]} (set labels to {usual[0]} to use it)"] if usual else []


def list_source(source: Source, settings: DataSettings) -> Listed:
    """List the pictures by part, each with its class. Raises DataError for what training cannot use."""
    if source.table is None:
        parts = list_parts(source.root)
        if settings.group is None:
            _refuse_same_subfolders(parts["train"])
        return Listed(parts, source.notes)
    labelled = read_labelled(source.table, source.root, settings, inside=source.inside)
    refuse_wrong(labelled, skip_bad=settings.skip_bad)
    notes = (*source.notes, *labelled.columns.notes)
    return Listed(labelled_parts(labelled), notes, is_whole=labelled.columns.split is None)


def _refuse_same_subfolders(part: Part) -> None:
    """Refuse class folders that are none, as far as can be seen: in each of them lie the same subfolders.

    Who names what groups the pictures knows about them.
    """
    if not part.subfolders:
        return
    first, second, *_ = part.class_names
    folders = f"its {len(part.class_names)} folders, {some(part.class_names)}, all have the same subfolders"
    found = f"{folders}, {some(part.subfolders)}, which looks like classes inside splits or sources"
    advice = f"Put the classes first, or pass --group parent if {first} and {second} are classes."
    raise DataError(part.subject, found, LAYOUT, advice)


def list_test_part(source: Source, settings: DataSettings) -> tuple[Part, tuple[str, ...]]:
    """List the test pictures: the test part, all where there are no parts. Also gives what people should know.

    Raises DataError where there are parts without one for the test, and as `list_source` does.
    """
    if source.table is None:
        return list_test(source.root), source.notes
    listed = list_source(source, settings)
    part = listed.parts.get("test") or (listed.parts["train"] if listed.is_whole else None)
    if part is None:
        raise DataError(str(source.table), "its split column has no test picture", "at least one")
    return part, listed.notes
