"""Results for people: aligned columns on stdout, which neither wrap nor lose a character when stdout is a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sightline.cli.output import show
from sightline.cli.streams import is_utf8
from sightline.language import said
from sightline.language.columns import padded, wrapped
from sightline.printable import printable

DIGITS = set("0123456789.+-%,")
NO_NUMBER = ("", "-", "any", "任意")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, total: Sequence[str] | None = None) -> None:
    """Print `rows` under `head`, columns of numbers to the right, and `total` under a line. The head is translated."""
    head, rows = [said(title) for title in head], [[printable(cell) for cell in row] for row in rows]
    columns = Table(box=box.SIMPLE_HEAD, show_edge=False, show_footer=total is not None, pad_edge=False, padding=(0, 1))
    everything = [*rows, *([total] if total else [])]
    for index, title in enumerate(head):
        cells = [row[index] for row in everything]
        is_number = any(cells) and all(cell in NO_NUMBER or set(cell) <= DIGITS for cell in cells)
        columns.add_column(
            title,
            footer=total[index] if total else "",
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=not sys.stdout.isatty(),
        )
    for row in rows:
        columns.add_row(*map(Text, row))
    if sys.stdout.isatty():
        Console().print(columns)
        return
    console = Console(width=sum(_widths(head, everything)) + 4 * len(head), no_color=True)
    with console.capture() as captured:
        console.print(columns)
    print("\n".join(line.rstrip() for line in captured.get().rstrip().splitlines()))


def table_with_notes(head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """Print `rows` under `head`, and under each row its note, indented and wrapped. The head is translated."""
    head, rows = [said(title) for title in head], [[printable(cell) for cell in row] for row in rows]
    widths = _widths(head, rows)
    most = Console().width
    gap = max(1, min(3, (most - sum(widths)) // (len(widths) - 1)))  # narrower where the terminal is

    def line(cells: Sequence[str]) -> str:
        return (" " * gap).join(padded(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    rule = "─" if is_utf8(sys.stdout) else "-"
    show(line(head), rule * min(sum(widths) + gap * (len(widths) - 1), most))
    for row, note in zip(rows, notes, strict=True):
        indent = "    "
        show(line(row), *wrapped(note, most, initial_indent=indent, subsequent_indent=indent))


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(cell_len(row[i]) for row in [head, *rows]) for i in range(len(head))]


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print what was found, a name and a value a line. The names are translated."""
    rows = [(said(name), value) for name, value in rows]
    column = max(cell_len(name) for name, _ in rows) + 2
    for name, value in rows:
        show(f"{padded(name, column)}{value}")


def percent(value: float | None) -> str:
    """Write a fraction as per cent, with two decimals: 0.9871 is 98.71%."""
    return "-" if value is None else f"{100 * value:.2f}%"


def percent_interval(interval: Sequence[float] | None) -> str:
    """Write what follows an accuracy: its 95% interval."""
    if not interval:
        return ""
    low, high = interval
    return "  " + said(f"(95% interval {percent(low)} to {percent(high)})")


def between(low: str, high: str) -> str:
    """Write a range of two numbers."""
    return f"{low}{said(' to ')}{high}"
