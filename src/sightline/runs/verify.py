"""Whether the files of runs, comparisons, cross-validations and studies are as they were written: by their sums."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightline.errors import FileError
from sightline.files import sums
from sightline.runs.folder import SETTINGS

State = Literal["ok", "changed", "missing", "not listed"]
MAY_BE_EDITED = (".md", ".pptx")


@dataclass(frozen=True)
class VerifiedFolder:
    """A run, comparison, cross-validation or study, with the state of each file by its path in the folder.

    A file is "ok", "changed", "missing", or "not listed" if Sightline did not write it or was stopped while writing it.
    `has_sums` is False for a folder of an older version, whose files nobody can check: all are "not listed".
    """

    folder: Path
    files: Mapping[str, State]
    has_sums: bool

    @property
    def damaged(self) -> list[Path]:
        """The files that have changed or are missing, but for model cards, slides and Markdown, which people edit."""
        return [
            self.folder / name
            for name, state in self.files.items()
            if state in ("changed", "missing") and not name.endswith(MAY_BE_EDITED)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The folder for JSON."""
        return {"folder": str(self.folder), "has_sums": self.has_sums, "files": dict(self.files)}


@dataclass(frozen=True)
class VerifyResult:
    """The verified folders: those that were named, and the runs in them."""

    folders: tuple[VerifiedFolder, ...]

    @property
    def damaged(self) -> list[Path]:
        """The damaged files of all folders."""
        return [path for folder in self.folders for path in folder.damaged]

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        folders = [folder.to_dict() for folder in self.folders]
        return {"ok": not self.damaged, "damaged": [str(path) for path in self.damaged], "folders": folders}


def verify(*folders: str | Path) -> VerifyResult:
    """Check the SHA-256 of each file of runs, comparisons, cross-validations and studies, and of the runs in them.

    Each of `folders` can also be a folder of these. The sums are those of sums.json, which is written with the files.
    Files that you added are named as "not listed". Raises FileError for a folder that does not exist, or that has no
    run.
    """
    found: dict[Path, VerifiedFolder] = {}
    for folder in map(Path, folders):
        inside = sorted(_subjects(folder))
        if not inside:
            expected = "a run, a comparison, a cross-validation, a study, or a folder of these"
            wrong = "it has no run" if folder.is_dir() else "no such folder"
            raise FileError(str(folder), wrong, expected)
        found |= {path: _verified(path) for path in inside if path not in found}
    return VerifyResult(tuple(found.values()))


def _subjects(folder: Path) -> Iterator[Path]:
    """Find the folders whose files are listed, and the runs of older versions."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if sums.SUMS in files or SETTINGS in files:
            yield Path(place)


def _verified(folder: Path) -> VerifiedFolder:
    try:
        listed = sums.listed(folder)
    except FileError:
        listed = {sums.SUMS: ""}  # which no file has
    there = set(_files(folder))
    states: dict[str, State] = dict.fromkeys(there, "not listed")
    for name, value in (listed or {}).items():
        if sums.differs(folder, name, value):
            states[name] = "changed" if (folder / name).is_file() else "missing"
        else:
            states[name] = "ok"
    return VerifiedFolder(folder, dict(sorted(states.items())), listed is not None)


def _files(folder: Path) -> Iterator[str]:
    """The paths of a folder's own files, with slashes: not those of a run in it, nor locks."""
    for place, folders, files in os.walk(folder):
        below = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not any((below / name / mark).is_file() for mark in (sums.SUMS, SETTINGS))
        ]
        for name in files:
            if not name.startswith(".") and name != sums.SUMS:
                yield (below / name).relative_to(folder).as_posix()
