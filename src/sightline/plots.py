"""Drawing: the curves of a run, a confusion matrix, a sheet of augmented pictures, each as a PNG.

Object-oriented matplotlib with its Agg canvas: no display, no pyplot, no user's matplotlibrc, and the same input gives
the same bytes. Colours are Okabe and Ito's, which colour-blind people tell apart; lines differ in their dashes too.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from sightline import atomic
from sightline.errors import DataError
from sightline.lettering import columns, shortened

# Chinese fonts come in one weight or with odd ones, which it would report on stderr at each use.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

DPI = 150
MOST_NUMBERED_CLASSES = 20
MOST_NAMED_CLASSES = 100
LONGEST_NAME = 28
LONGEST_CURVE_WITH_MARKERS = 30
LONGEST_SIDE = 40
PICTURE_SIDE = 96
LARGEST_PICTURE_SIDE = 256
GAP, SEAM = 6, 2

INK, GREY, PALE = "#222222", "#767676", "#dddddd"
# Part -> colour, dashes, marker.
PARTS = {"train": ("#0072B2", "--", "o"), "val": ("#D55E00", "-", "s"), "test": ("#009E73", "-.", "^")}
# The sides of a comparison: a colour each, and another dash when colours begin again.
SIDE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SIDE_DASHES = ("-", "--", "-.")
STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    # A class may be called "$5 note": nothing in a name is a formula.
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 3,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
}
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Noto Sans CJK JP",  # the name by which matplotlib knows the collection of all of Noto's CJK fonts
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)


@dataclass(frozen=True)
class Words:
    """The words in the plots, to be given in another language."""

    epoch: str = "epoch"
    accuracy: str = "accuracy"
    loss: str = "loss"
    train: str = "training"
    val: str = "validation"
    test: str = "test"
    selected: str = "selected: epoch {epoch}"
    true_class: str = "true class"
    predicted_class: str = "predicted class"
    share: str = "share of the true class"
    confidence: str = "confidence: probability of the answer"
    ece: str = "ECE {ece} over {bins} bins"
    gap: str = "gap to confidence"
    calibrated: str = "accuracy = confidence"
    images: str = "images"
    test_accuracy: str = "test accuracy: seeds, mean and its interval"
    difference: str = "difference in points, with its interval"
    trial: str = "trial"
    best_so_far: str = "best so far"
    given_up: str = "given up or failed"
    val_accuracy: str = "validation accuracy"
    importance: str = "how much of the difference between trials each setting explains"
    train_loss: str = "training loss"
    not_answer: str = "not {answer}, {sureness}"
    right_answer: str = "right, {sureness}"
    image: str = "image"
    answer: str = "answer"


ENGLISH = Words()


def curves(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    selected_epoch: int | None = None,
    title: str = "",
    words: Words = ENGLISH,
) -> None:
    """Draw accuracy (left) and loss (right) by epoch, for training and, where they are known, validation and test.

    `rows` are those of results.csv: `epoch`, and `train_`, `val_` and `test_` with `accuracy` (0 to 1) and `loss`, as
    numbers or text; a missing, empty or non-finite one is a gap. `selected_epoch` is marked. Raises DataError where
    there is no row, and atomic's errors where `path` cannot be written.
    """
    if not rows:
        raise DataError("curves", "no epoch was finished", "at least one is needed")

    def draw() -> Figure:
        figure = Figure(figsize=(9, 3.8), dpi=DPI, layout="constrained")
        if title:
            figure.suptitle(title, fontsize=11)
        for axes, kind in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
            _curve(axes, rows, kind, selected_epoch, words)
        named = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
        handles = {label: handle for handle, label in named}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, len(handles)))
        return figure

    write(path, draw)


def _curve(axes: Axes, rows: Sequence[Mapping[str, Any]], kind: str, selected: int | None, words: Words) -> None:
    epochs = _column(rows, "epoch")
    drawn: list[NDArray[np.float64]] = []
    for part, (colour, dashes, marker) in PARTS.items():
        values = _column(rows, f"{part}_{kind}")
        if np.isfinite(values).any():
            shown = marker if len(rows) <= LONGEST_CURVE_WITH_MARKERS else ""
            axes.plot(epochs, values, dashes, color=colour, marker=shown, label=getattr(words, part))
            drawn.append(values)
    if selected is not None:
        label = words.selected.format(epoch=selected)
        axes.axvline(selected, color=GREY, linewidth=1, linestyle=":", label=label, zorder=1)
    axes.set_title(getattr(words, kind))
    axes.set_xlabel(words.epoch)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    values = np.concatenate(drawn) if drawn else np.empty(0)
    values = values[np.isfinite(values) & (values > 0)]
    # One exploded epoch, or a loss that falls by magnitudes, would press all others onto the axis.
    if kind == "loss" and values.size and values.max() > 200 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif len(rows) == 1:
        # Two points far apart by accident of the scale would look like two very different figures.
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.set_xticks(epochs)
        axes.set_ylim(0, 1.02 if kind == "accuracy" else 1.1 * values.max() if values.size else 1)
    if kind == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1))


def bands(sides: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], path: Path, *, words: Words = ENGLISH) -> None:
    """Draw validation accuracy (left) and training loss (right) by epoch: means over seeds, and bands over all seeds.

    `sides`: name -> the rows of results.csv of each of its seeds. A band goes from the lowest to the highest seed.
    Where a side has no validation, its training accuracy is drawn, dotted. Raises DataError where no epoch was
    finished, and atomic's errors.
    """
    if not any(rows for runs in sides.values() for rows in runs):
        raise DataError("curves", "no epoch was finished", "at least one is needed")

    def draw() -> Figure:
        rows_of_names = math.ceil(len(sides) / 2)
        figure = Figure(figsize=(9, 3.6 + 0.22 * rows_of_names), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, (name, runs) in enumerate(sides.items()):
            colour = SIDE_COLOURS[number % len(SIDE_COLOURS)]
            dashes = SIDE_DASHES[number // len(SIDE_COLOURS) % len(SIDE_DASHES)]
            validated = any(row.get("val_accuracy") for rows in runs for row in rows)
            key = "val_accuracy" if validated else "train_accuracy"
            _band(left, runs, key, colour, dashes if validated else ":", shortened(name, LONGEST_SIDE))
            _band(right, runs, "train_loss", colour, dashes)
        for axes, title in ((left, words.val_accuracy), (right, words.train_loss)):
            axes.set_title(title)
            axes.set_xlabel(words.epoch)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        left.yaxis.set_major_formatter(PercentFormatter(1))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(2, max(1, len(labels))))
        return figure

    write(path, draw)


def _band(
    axes: Axes,
    runs: Sequence[Sequence[Mapping[str, Any]]],
    key: str,
    colour: str,
    dashes: str,
    label: str | None = None,
) -> None:
    # A seed that stopped earlier counts as long as it went.
    values = np.full((len(runs), max(len(rows) for rows in runs)), np.nan)
    for place, rows in enumerate(runs):
        values[place, : len(rows)] = _column(rows, key)
    known = np.flatnonzero(~np.isnan(values).all(axis=0))
    values = values[:, known]
    marker = "o" if len(known) <= LONGEST_CURVE_WITH_MARKERS else ""
    if not len(known):
        return
    axes.plot(known + 1, np.nanmean(values, axis=0), dashes, color=colour, label=label, marker=marker)
    if len(runs) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(known + 1, low, high, color=colour, alpha=0.18, linewidth=0)


def confusion_matrix(
    matrix: NDArray[np.int64], class_names: Sequence[str], path: Path, *, title: str = "", words: Words = ENGLISH
) -> None:
    """Draw a confusion matrix of counts, int64 (K, K), rows true and columns predicted, shaded by share of the row.

    The shading goes with the square root of the share, so that rare mistakes are seen too. Counts are written for 20
    classes at most, every name for 100 at most; longer names are shortened. Raises atomic's errors where `path` cannot
    be written.
    """
    classes = len(class_names)
    assert matrix.shape == (classes, classes)
    images = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, images, out=np.zeros(matrix.shape), where=images > 0)
    names = [shortened(name, LONGEST_NAME) for name in class_names]

    def draw() -> Figure:
        numbered = classes <= MOST_NUMBERED_CLASSES
        side = max(3.0, 0.42 * classes) if numbered else min(14.0, max(8.4, 0.14 * classes))
        margin = 0.07 * max(columns(name) for name in names)
        figure = Figure(figsize=(side + margin + 1.6, side + margin + 0.8), dpi=DPI, layout="constrained")
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

    write(path, draw, trim=True)


def _number(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], cell: float) -> None:
    font = min(9.0, 1.3 * cell / len(str(matrix.max())))
    for row, column in np.argwhere(matrix):
        colour = "white" if shares[row, column] > 0.35 else INK
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=font, color=colour)


def augmentation(
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

    def draw() -> Figure:
        height, width = sheet.shape[:2]
        head = 0.35 if title else 0.0
        # Half a pixel more, since the canvas rounds down.
        figure = Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI + head), dpi=DPI)
        figure.figimage(sheet, 0, 0)
        if title:
            figure.text(0.5, 1 - head / 2 * DPI / (height + head * DPI), title, ha="center", va="center", fontsize=10)
        return figure

    write(path, draw)


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


def write(path: Path, draw: Callable[[], Figure], *, trim: bool = False) -> None:
    """Write the figure that `draw` makes as a PNG, in the house's style; `trim` cuts it to what is drawn.

    Raises atomic's errors where `path` cannot be written.
    """
    with (
        matplotlib.style.context({**STYLE, "font.family": list(_fonts())}, after_reset=True),
        warnings.catch_warnings(),
    ):
        # Without a Chinese font its characters are drawn as boxes, which is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw()
        FigureCanvasAgg(figure)
        box = "tight" if trim else None
        write = partial(figure.savefig, format="png", dpi=DPI, bbox_inches=box, metadata={"Software": None})
        atomic.write_with(path, write)


def draws_chinese() -> bool:
    """Whether a font with Chinese characters is installed where matplotlib looks; without one they are boxes."""
    return len(_fonts()) > 1


@cache
def _fonts() -> tuple[str, ...]:
    # A family that is not installed would be reported on stderr at each use.
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in CHINESE_FONTS if name in installed))


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    found = (row.get(key) for row in rows)
    values = np.array([np.nan if value in (None, "") else float(value) for value in found], np.float64)
    return np.where(np.isfinite(values), values, np.nan)
