"""A confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from sightline.drawing import canvas
from sightline.drawing.lettering import shortened
from sightline.drawing.words import Words, spoken
from sightline.printable import columns

MOST_NUMBERED_CLASSES = 20
MOST_NAMED_CLASSES = 100
LONGEST_NAME = 28


def draw(
    matrix: NDArray[np.int64], class_names: Sequence[str], path: Path, *, title: str = "", words: Words | None = None
) -> None:
    """Draw a confusion matrix of counts, int64 (K, K), rows true and columns predicted, shaded by share of the row.

    The shading goes with the square root of the share, so that rare mistakes are seen too. Counts are written for 20
    classes at most, every name for 100 at most; longer names are shortened. Raises atomic's errors where `path` cannot
    be written.
    """
    words = words or spoken()
    classes = len(class_names)
    assert matrix.shape == (classes, classes)
    images = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, images, out=np.zeros(matrix.shape), where=images > 0)
    names = [shortened(name, LONGEST_NAME) for name in class_names]

    def drawn() -> Figure:
        numbered = classes <= MOST_NUMBERED_CLASSES
        side = max(3.0, 0.42 * classes) if numbered else min(14.0, max(8.4, 0.14 * classes))
        margin = 0.07 * max(columns(name) for name in names)
        figure = Figure(figsize=(side + margin + 1.6, side + margin + 0.8), dpi=canvas.DPI, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, fontsize=max(11, side))
        shading = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        font = 8 if numbered else max(4.5, min(8, 0.72 * 72 * side / min(classes, MOST_NAMED_CLASSES)))
        every = list(range(0, classes, math.ceil(classes / MOST_NAMED_CLASSES)))
        shown = [names[i] for i in every]
        axes.set_yticks(every, shown, fontsize=font)
        axes.set_xticks(every, shown, fontsize=font)
        if not numbered:
            axes.tick_params("x", rotation=90)
        elif max(columns(name) for name in shown) * 0.085 > side / classes:
            for label in axes.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")
        axes.tick_params(length=2)
        axes.set_xlabel(words.predicted_class)
        axes.set_ylabel(words.true_class)
        if numbered:
            _number(axes, matrix, shares, 72 * side / classes)
        bar = figure.colorbar(
            shading, ax=axes, shrink=0.8 if numbered else 0.5, aspect=30, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1]
        )
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        bar.set_label(words.share)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return figure

    canvas.write(path, drawn, trim=True)


def _number(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], cell: float) -> None:
    font = min(9.0, 1.3 * cell / len(str(matrix.max())))
    for row, column in np.argwhere(matrix):
        colour = "white" if shares[row, column] > 0.35 else canvas.INK
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=font, color=colour)
