"""The picture of a comparison: each side's seeds with their mean, and how far apart the sides are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sightline.drawing import canvas
from sightline.drawing.lettering import shortened
from sightline.drawing.words import Words, spoken

COLOUR, SURE = "#0072B2", "#D55E00"
LONGEST_NAME = 44
ROW_INCHES = 0.42


def draw(sides: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]], path: Path,
         words: Words | None = None) -> None:  # fmt: skip
    """Draw `sides` and `pairs` as results.json has them: above the accuracies, below the differences a - b, if any.

    A point is a seed; a bar is the interval of the mean, or of the difference; a difference that the verdict rests on
    is marked by its colour. Raises atomic's errors where `path` cannot be written.
    """
    words = words or spoken()

    def figure() -> Figure:
        rows = [len(part) + 1 for part in (sides, pairs) if part]
        drawn = Figure(figsize=(8, 0.7 * len(rows) + ROW_INCHES * sum(rows)), dpi=canvas.DPI, layout="constrained")
        upper, *below = drawn.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
        _sides(upper, sides, words)
        for lower in below:
            _pairs(lower, pairs, words)
        return drawn

    canvas.write(path, figure)


def _sides(axes: Axes, sides: Sequence[Mapping[str, Any]], words: Words) -> None:
    for row, side in enumerate(sides):
        accuracies = side["accuracies"]
        axes.plot(accuracies, [row - 0.18] * len(accuracies), "o", color=canvas.GREY, markersize=3.5, alpha=0.8)
        _interval(axes, row, side["mean"], side["interval"], COLOUR)
    _rows(axes, [shortened(side["name"], LONGEST_NAME) for side in sides])
    axes.set_title(words.test_accuracy)
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))


def _pairs(axes: Axes, pairs: Sequence[Mapping[str, Any]], words: Words) -> None:
    axes.axvline(0, color=canvas.INK, linewidth=1)
    for row, pair in enumerate(pairs):
        colour = SURE if pair["outcome"] == "better" else COLOUR
        _interval(axes, row, pair["difference"], pair["interval"], colour)
    _rows(axes, [f"{shortened(pair['a'], LONGEST_NAME)}\n- {shortened(pair['b'], LONGEST_NAME)}" for pair in pairs])
    axes.set_title(words.difference)
    axes.xaxis.set_major_formatter(FuncFormatter(_points))


def _interval(axes: Axes, row: int, value: float, interval: Sequence[float] | None, colour: str) -> None:
    if interval is not None:
        axes.plot(interval, [row, row], "-", color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([value], [row], "D", color=colour, markersize=5)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(7))


def _percent(value: float, _place: int) -> str:
    return f"{100 * value:.6g}%"


def _points(value: float, _place: int) -> str:
    return f"{100 * value:+.6g}" if value else "0"
