"""What a check of a dataset finds: problems with their entries, and the counts of each part, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline.files.json_records import OMIT_NONE, to_json


@dataclass(frozen=True)
class Entry:
    """One case of a problem: a file or folder, or a pair of pictures, the earlier first.

    Paths are relative to the dataset's folder, with slashes. A value that its kind of problem does not have is None.
    """

    files: tuple[str, ...]
    note: str = ""
    """What there is to say of it, such as the reason why a file cannot be read; `say` in JSON."""
    format: str | None = field(default=None, metadata=OMIT_NONE)
    """The format of a file whose suffix names another."""
    frames: int | None = field(default=None, metadata=OMIT_NONE)
    """The number of pictures in one file."""
    parts: tuple[str, str] | None = field(default=None, metadata=OMIT_NONE)
    """The parts that a pair's pictures are in."""
    labels: tuple[str, str] | None = field(default=None, metadata=OMIT_NONE)
    """The classes of a pair's pictures."""
    similarity: float | None = field(default=None, metadata=OMIT_NONE)
    """The correlation of a pair's thumbnails, up to 1."""
    size: tuple[int, int] | None = field(default=None, metadata=OMIT_NONE)
    """The width and height, in pixels, of a picture of an unusual size."""
    picture_kind: str | None = field(default=None, metadata=OMIT_NONE)
    """One of "gray", "alpha", "CMYK", "16-bit", "palette" and "1-bit"."""
    imbalance: float | None = field(default=None, metadata=OMIT_NONE)
    """How many times larger a part's largest class is than its smallest."""

    def to_dict(self) -> dict[str, Any]:
        """The entry for JSON."""
        return {"say" if key == "note" else key: value for key, value in to_json(self).items()}


@dataclass(frozen=True)
class Problem:
    """One kind of thing that is wrong with a dataset, or only worth knowing, with every case of it."""

    kind: str
    text: str
    advice: str
    wrong: bool
    """Whether it should be put right before training, and is not only worth knowing."""
    entries: tuple[Entry, ...]
    """The cases; `found` in JSON."""

    @property
    def count(self) -> int:
        """The number of cases."""
        return len(self.entries)

    @property
    def section(self) -> str:
        """The section of the catalogue that has the entries' notes: what errors found, or notes of the check's own."""
        return "found" if self.kind in ("unreadable", "unlisted") else "notes"

    def to_dict(self) -> dict[str, Any]:
        """The problem for JSON."""
        return {
            "kind": self.kind,
            "count": self.count,
            "wrong": self.wrong,
            "text": self.text,
            "advice": self.advice,
            "found": [entry.to_dict() for entry in self.entries],
        }


@dataclass(frozen=True)
class PartCounts:
    """The readable pictures of a part: how many there are, in all and of each class."""

    pictures: int
    classes: Mapping[str, int]
    imbalance: float | None
    """How many times larger the largest class is than the smallest; None where a class is empty or there is none."""


@dataclass(frozen=True)
class NearSearch:
    """Whether near duplicates were searched for, and the least correlation of their thumbnails, 0.5 to 1."""

    searched: bool
    alike: float
