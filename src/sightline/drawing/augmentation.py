"""A sheet of pictures as the network sees them, each below its original."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sightline.drawing import canvas
from sightline.drawing.canvas import DPI

PICTURE_SIDE = 96
LARGEST_PICTURE_SIDE = 256
GAP, SEAM = 6, 2


def draw(
    images: NDArray[np.uint8],
    path: Path,
    *,
    originals: NDArray[np.uint8] | None = None,
    title: str = "",
    columns: int | None = None,
) -> None:
    """Draw pictures, uint8 (n, H, W, C) with C 1 or 3, row by row in a grid, small ones enlarged by whole pixels.

    `originals`, of the same shape, are drawn each above its picture. `columns`: pictures a row; left out, as many as
    make the grid about square. Raises atomic's errors where `path` cannot be written.
    """
    assert images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3) and len(images)
    tiles = _tiles(images)
    if originals is not None:
        assert originals.shape == images.shape
        seam = np.full((len(tiles), SEAM, *tiles.shape[2:]), 255, np.uint8)
        tiles = np.concatenate([_tiles(originals), seam, tiles], axis=1)
    sheet = _sheet(tiles, columns or math.ceil(math.sqrt(len(tiles) * (1 if originals is None else 2))))

    def drawn() -> Figure:
        height, width = sheet.shape[:2]
        head = 0.35 if title else 0.0
        figure = canvas.of_pixels(width, height, head)
        figure.figimage(sheet, 0, 0)
        if title:
            figure.text(0.5, 1 - head / 2 * DPI / (height + head * DPI), title, ha="center", va="center", fontsize=10)
        return figure

    canvas.write(path, drawn)


def _tiles(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring pictures to a size to look at, uint8 (n, h, w, 3)."""
    longest = max(images.shape[1:3])
    images = images[:, :: math.ceil(longest / LARGEST_PICTURE_SIDE), :: math.ceil(longest / LARGEST_PICTURE_SIDE)]
    times = max(1, PICTURE_SIDE // max(images.shape[1:3]))
    return np.broadcast_to(images, (*images.shape[:3], 3)).repeat(times, axis=1).repeat(times, axis=2)


def _sheet(tiles: NDArray[np.uint8], across: int) -> NDArray[np.uint8]:
    """Lay tiles on white paper: uint8 (height, width, 3)."""
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    sheet = np.full((math.ceil(len(tiles) / across) * height + GAP, across * width + GAP, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = GAP + i // across * height, GAP + i % across * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
