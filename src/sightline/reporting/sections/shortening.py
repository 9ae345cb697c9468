"""What fits on a slide or a page; that something is left out is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightline.reporting.blocks import Paragraph, Table
from sightline.reporting.words import Words


def first_of(told: Sequence[str], most: int, words: Words) -> list[str]:
    """The first `most` sentences, and how many more the report has."""
    rest = len(told) - most
    return [*told[:most], *([words("more_in_report", count=rest)] if rest > 0 else [])]


def first_rows(table: Table, most: int, words: Words) -> tuple[Table, list[str]]:
    """A table's first `most` rows, and a sentence where that are not all."""
    count = len(table.rows)
    told = [words("rows_of", shown=most, count=count)] if count > most else []
    return replace(table, rows=table.rows[:most]), told


def without_pictures(names: Sequence[str], words: Words) -> list[Paragraph]:
    """Name the sides whose pictures are left out; nothing where there are none."""
    return [Paragraph.of(words("not_drawn", sides=words("comma").join(names)))] if names else []
