"""A network as a chain of boxes, from the image to its answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from sightline.drawing import canvas
from sightline.drawing.lettering import shortened
from sightline.drawing.words import Words, spoken
from sightline.runs.records import NetworkPart, NetworkSummary

ACROSS = 6
BOX_WIDTH, BOX_HEIGHT, GAP_ACROSS, GAP_DOWN, MARGIN = 1.45, 0.98, 0.34, 0.4, 0.12
FIRST_LINE, LINE = 0.2, 0.2
FONT = 7.5
FILL, EDGE, END_FILL = "#eaf2f9", "#0072B2", "#f3f3f3"
LONGEST_LINE = 19
MOST_BOXES = 48


@dataclass(frozen=True)
class Box:
    """A part of a network, or `times` parts in a row that are alike: `output` and `parameters` of all of them."""

    name: str
    kind: str
    output: str
    parameters: int
    times: int = 1
    is_end: bool = False

    def lines(self) -> list[str]:
        """What stands in it."""
        times = f" ×{self.times}" if self.times > 1 else ""
        return [
            shortened(self.name, LONGEST_LINE - len(times)) + times,
            shortened(self.kind, LONGEST_LINE),
            self.output,
            f"{self.parameters:,}" if self.parameters else "",
        ]


def draw(network: NetworkSummary, classes: int, path: Path, *, words: Words | None = None) -> None:
    """Draw what network.json holds, row by row; rows are read from left to right.

    Parts in a row that are alike but for their number are one box. Parts that run in training only are left out, and
    what is more than 48 boxes, from the middle. Raises atomic's errors where `path` cannot be written.
    """
    words = words or spoken()
    boxes = boxes_of(network, classes, words)

    def figure() -> Figure:
        across = min(ACROSS, len(boxes))
        down = -(-len(boxes) // across)
        width = 2 * MARGIN + across * BOX_WIDTH + (across - 1) * GAP_ACROSS
        height = 2 * MARGIN + down * BOX_HEIGHT + (down - 1) * GAP_DOWN
        drawn = Figure(figsize=(width, height), dpi=canvas.DPI)
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        corners = [
            (MARGIN + place % across * (BOX_WIDTH + GAP_ACROSS), MARGIN + place // across * (BOX_HEIGHT + GAP_DOWN))
            for place in range(len(boxes))
        ]
        for box, (left, top) in zip(boxes, corners, strict=True):
            axes.add_patch(
                FancyBboxPatch(
                    (left, top), BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.08",
                    facecolor=END_FILL if box.is_end else FILL, edgecolor=canvas.GREY if box.is_end else EDGE,
                )
            )  # fmt: skip
            lines = [line for line in box.lines() if line]
            first = top + BOX_HEIGHT / 2 - LINE * (len(lines) - 1) / 2
            for number, line in enumerate(lines):
                axes.text(
                    left + BOX_WIDTH / 2, first + LINE * number, line, ha="center", va="center", fontsize=FONT,
                    weight="bold" if number == 0 else "normal",
                )  # fmt: skip
        _fit(drawn)
        for start, end in pairwise(corners):
            for arrow in _arrows(start, end):
                axes.add_patch(arrow)
        return drawn

    canvas.write(path, figure)


def _fit(figure: Figure) -> None:
    """Make words smaller that are wider than their box, as a name of capitals is."""
    room = 0.94 * BOX_WIDTH * canvas.DPI
    for text in figure.axes[0].texts:
        wide = canvas.width_of(text)
        if wide > room:
            text.set_fontsize(FONT * room / wide)


def _arrows(start: tuple[float, float], end: tuple[float, float]) -> list[FancyArrowPatch]:
    """From a box to the next: to its right, or around the corner to the beginning of the next row."""
    if start[1] == end[1]:
        middle = start[1] + BOX_HEIGHT / 2
        return [_arrow((start[0] + BOX_WIDTH, middle), (end[0], middle), "-|>")]
    below, lane = start[1] + BOX_HEIGHT, end[1] - GAP_DOWN / 2
    right, left = start[0] + BOX_WIDTH / 2, end[0] + BOX_WIDTH / 2
    return [
        _arrow((right, below), (right, lane), "-"),
        _arrow((right, lane), (left, lane), "-"),
        _arrow((left, lane), (left, end[1]), "-|>"),
    ]


def _arrow(start: tuple[float, float], end: tuple[float, float], style: str) -> FancyArrowPatch:
    return FancyArrowPatch(
        start, end, arrowstyle=style, mutation_scale=9, color=canvas.GREY, linewidth=1, shrinkA=0, shrinkB=0
    )


def boxes_of(network: NetworkSummary, classes: int, words: Words | None = None) -> list[Box]:
    """Give the boxes of a network, the image first and the answer last."""
    words = words or spoken()
    _, channels, height, width = network.input
    boxes: list[Box] = []
    parts = [part for part in network.parts if part.output is not None]
    for _, group in groupby(parts, key=_alike):
        alike = list(group)
        first, last = alike[0], alike[-1]
        name = re.sub(r"^(body|head)\.", "", first.name)
        if len(alike) > 1:
            name = re.sub(r"[._]?\d+$", "", name) or first.name
        parameters = sum(part.parameters for part in alike)
        boxes.append(Box(name, first.type, shape((last.output or ())[1:]), parameters, len(alike)))
    if len(boxes) > MOST_BOXES - 2:
        half = (MOST_BOXES - 3) // 2
        hidden = boxes[half:-half]
        parameters = sum(box.parameters for box in hidden)
        boxes[half:-half] = [Box("…", "", hidden[-1].output, parameters, sum(box.times for box in hidden))]
    image = Box(words.image, "", shape((channels, height, width)), 0, is_end=True)
    return [image, *boxes, Box(words.answer, "", str(classes), 0, is_end=True)]


def shape(sizes: Sequence[int]) -> str:
    """Write the shape of what a layer gives."""
    return "×".join(map(str, sizes))


def _alike(part: NetworkPart) -> tuple[str, str, Sequence[int] | None]:
    return re.sub(r"\d+$", "", part.name), part.type, part.output
