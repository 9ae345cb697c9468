"""What a report is made of, whatever it is set as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PART = r"[<+\-−]?\d[\d.,]*(e[+-]?\d+)?%?"
NUMBER = re.compile(rf"{_PART}( (–|to|至) {_PART})?")


@dataclass(frozen=True)
class Cell:
    """A text and where it comes from: a file, as seen from the report's folder, and a key in it.

    A key is a path into the file, as `parts.train.images` or `sides.0.mean`, or a function of one: `min`, `max` and
    `len` of a list, `median` and `sum` of a column of a table, `size()` and `sha256()` of a file. Several are parted by
    commas. Words of our own come from nowhere.
    """

    text: str
    file: str = ""
    key: str = ""

    @property
    def source(self) -> str:
        """File and key in one."""
        return f"{self.file}: {self.key}" if self.key else self.file


@dataclass(frozen=True)
class Paragraph:
    """Plain sentences, with what their numbers come from."""

    said: Cell

    @classmethod
    def of(cls, text: str) -> Paragraph:
        """Make one without numbers."""
        return cls(Cell(text))


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """Rows under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @classmethod
    def without_gaps(cls, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
        """Make one without the columns in which no row has anything."""
        kept = [place for place in range(len(head)) if any(row[place].text for row in rows)]
        return cls([head[place] for place in kept], [[row[place] for place in kept] for row in rows])

    def is_number(self, place: int) -> bool:
        """Tell whether a column holds numbers, and is set to the right."""
        texts = [row[place].text for row in self.rows if row[place].text]
        return bool(texts) and all(NUMBER.fullmatch(text) for text in texts)

    def files(self) -> list[str]:
        """The files that its cells come from, each once."""
        return list(dict.fromkeys(cell.file for row in self.rows for cell in row if cell.file))


@dataclass(frozen=True)
class Figures:
    """A few numbers that are to be seen first: what each is, and its cell."""

    items: Sequence[tuple[str, Cell]]

    def files(self) -> list[str]:
        """The files that they come from, each once."""
        return list(dict.fromkeys(cell.file for _, cell in self.items if cell.file))


@dataclass(frozen=True)
class Picture:
    """A PNG; its caption also tells what is on it to who cannot see it. `file` is what it was drawn from."""

    path: Path
    caption: str
    file: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures to be seen beside each other where there is room."""

    items: Sequence[Picture]


@dataclass(frozen=True)
class Code:
    """Commands or a file, to be copied. `language` is its name in a fence of Markdown."""

    text: str
    language: str = ""


Block = Paragraph | Points | Table | Figures | Picture | Pictures | Code


@dataclass(frozen=True)
class Slide:
    """One slide: a title, and at most one picture or table beside a few short points."""

    title: str
    points: Sequence[str] = ()
    picture: Picture | None = None
    table: Table | None = None


@dataclass(frozen=True)
class Section:
    """A part of the report under its title, and the slides that show it, the first of which is never left out."""

    key: str
    title: str
    blocks: Sequence[Block]
    slides: Sequence[Slide] = field(default_factory=tuple)


@dataclass(frozen=True)
class Report:
    """All of it. `language` is its BCP 47 code."""

    title: str
    subtitle: str
    language: str
    sections: Sequence[Section]
    made_by: str
