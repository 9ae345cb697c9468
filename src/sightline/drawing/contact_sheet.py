"""A sheet of pictures to look through: pairs side by side, each with what is to be said of it and its paths beneath."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sightline.drawing import canvas
from sightline.drawing.canvas import GREY
from sightline.drawing.gallery import PAPER, put_picture
from sightline.drawing.words import lettered

Pixels = NDArray[np.uint8]

SIDE, GAP, MARGIN, LINE, HEADING = 144, 8, 18, 17, 34
CELL = 2 * SIDE + GAP
ACROSS = 4
FONT, HEADING_FONT = 6, 8.5
FRONT = 1 / 3


@dataclass(frozen=True)
class Cell:
    """One picture or a pair, uint8 (h, w, 1 or 3) each, None where there is nothing to show; a path for each."""

    pictures: Sequence[Pixels | None]
    paths: Sequence[str]
    say: str = ""


@dataclass(frozen=True)
class Group:
    """Cells under one heading."""

    heading: str
    cells: Sequence[Cell]


def contact_sheet(groups: Sequence[Group], path: Path) -> None:
    """Draw the groups one below the other, four cells in a row; longer paths are shortened in their middle.

    Pictures keep their aspect; small ones are enlarged by whole pixels. Raises atomic's errors where `path` cannot be
    written.
    """
    assert groups and all(group.cells for group in groups)
    height = MARGIN + sum(_height(group) for group in groups)
    width = 2 * MARGIN + ACROSS * CELL + (ACROSS - 1) * MARGIN
    sheet = np.full((height, width, 3), PAPER, np.uint8)

    def draw() -> Figure:
        figure = canvas.of_pixels(width, height)

        def text(left: int, top: int, words: str, room: int, size: float = FONT, **options: Any) -> None:
            drawn = figure.text(left / width, 1 - top / height, words, fontsize=size, va="top", **options)
            canvas.fit(drawn, room, FRONT)

        top = MARGIN
        for group in groups:
            text(MARGIN, top, group.heading, width - 2 * MARGIN, HEADING_FONT, weight="bold")
            for index, cell in enumerate(group.cells):
                left = MARGIN + index % ACROSS * (CELL + MARGIN)
                cell_top = top + HEADING + index // ACROSS * _cell_height(group)
                for place, picture in enumerate(cell.pictures):
                    put_picture(sheet, picture, cell_top, left + place * (SIDE + GAP), SIDE)
                    if picture is None:
                        middle = left + place * (SIDE + GAP) + SIDE // 2
                        text(middle, cell_top + SIDE // 2, lettered("no picture"), SIDE, ha="center", color=GREY)
                for number, line in enumerate(line for line in (*cell.paths, cell.say) if line):
                    colour = GREY if number >= len(cell.paths) else "black"
                    text(left, cell_top + SIDE + 5 + number * LINE, line, CELL, color=colour)
            top += _height(group)
        figure.figimage(sheet, 0, 0, zorder=-1)
        return figure

    canvas.write(path, draw)


def _cell_height(group: Group) -> int:
    return SIDE + LINE * max(len(cell.paths) + bool(cell.say) for cell in group.cells) + MARGIN


def _height(group: Group) -> int:
    return HEADING + math.ceil(len(group.cells) / ACROSS) * _cell_height(group) + MARGIN
