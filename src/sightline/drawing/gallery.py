"""A sheet of pictures with a few words under each: samples of the classes, mistakes, and what a network looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sightline.data.decoder import resize
from sightline.drawing import canvas

Pixels = NDArray[np.uint8]

SIDE, GAP, MARGIN, LINE, HEAD = 148, 20, 16, 19, 40
ROOM = 10  # by which a line may be longer than its picture is wide
FONT = 6.5
FRONT = 1 / 2
PAPER, TILE_PAPER = 255, 238
HEAT_COLOURS, HEAT_PART = "inferno", 0.55


def draw(
    pixels: Pixels,
    captions: Sequence[Sequence[str]],
    path: Path,
    *,
    heat: NDArray[np.float32] | None = None,
    title: str = "",
    columns: int = 6,
) -> None:
    """Draw pictures uint8 (n, H, W, C), C 1 or 3, row by row, each with its lines beneath; long lines are shortened.

    `heat`, float (n, H, W) from 0 to 1, is laid over a second copy of each picture, beside it. Raises atomic's errors
    where `path` cannot be written.
    """
    assert pixels.dtype == np.uint8 and pixels.ndim == 4 and len(pixels) == len(captions) > 0
    across = min(columns if heat is None else max(1, columns // 2), len(pixels))
    cell = SIDE if heat is None else 2 * SIDE + GAP // 4
    lines = max(len(caption) for caption in captions)
    row_height = SIDE + LINE * lines + GAP
    head = HEAD if title else 0
    height = head + MARGIN + math.ceil(len(pixels) / across) * row_height
    width = 2 * MARGIN + across * cell + (across - 1) * GAP
    sheet = np.full((height, width, 3), PAPER, np.uint8)

    def figure() -> Figure:
        drawn = canvas.of_pixels(width, height)
        if title:
            drawn.text(MARGIN / width, 1 - MARGIN / height, title, fontsize=9, va="top", weight="bold")
        for index, (picture, caption) in enumerate(zip(pixels, captions, strict=True)):
            left = MARGIN + index % across * (cell + GAP)
            top = head + MARGIN + index // across * row_height
            put_picture(sheet, picture, top, left, SIDE)
            if heat is not None:
                put_picture(sheet, _warmed(picture, heat[index]), top, left + SIDE + GAP // 4, SIDE)
            for number, line in enumerate(caption):
                place = top + SIDE + 4 + number * LINE
                text = drawn.text(left / width, 1 - place / height, line, fontsize=FONT, va="top")
                canvas.fit(text, cell + ROOM, FRONT)
        drawn.figimage(sheet, 0, 0, zorder=-1)
        return drawn

    canvas.write(path, figure)


def put_picture(sheet: Pixels, picture: Pixels | None, top: int, left: int, side: int) -> None:
    """Put a picture uint8 (h, w, 1 or 3), or None, in the middle of a square tile of `sheet`, uint8 (H, W, 3).

    It keeps its aspect; a small one is enlarged by whole pixels.
    """
    tile = sheet[top : top + side, left : left + side]
    tile[:] = TILE_PAPER
    if picture is None:
        return
    height, width = picture.shape[:2]
    times = side // max(height, width)
    if times:
        shown = picture.repeat(times, axis=0).repeat(times, axis=1)
    else:
        scale = side / max(height, width)
        shown = resize(picture, max(1, round(height * scale)), max(1, round(width * scale)))
    row, column = (side - shown.shape[0]) // 2, (side - shown.shape[1]) // 2
    tile[row : row + shown.shape[0], column : column + shown.shape[1]] = shown


def _warmed(picture: Pixels, heat: NDArray[np.float32]) -> Pixels:
    colours = np.asarray(colormaps[HEAT_COLOURS](heat))[..., :3] * 255
    gray = picture.astype(np.float64).mean(axis=2, keepdims=True)
    return ((1 - HEAT_PART) * gray + HEAT_PART * colours).round().astype(np.uint8)
