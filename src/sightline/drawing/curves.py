"""Accuracy and loss by epoch: of one run, and of several seeds with bands.

Colours are Okabe and Ito's, which colour-blind people tell apart; lines differ in their dashes too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from sightline.drawing import canvas
from sightline.drawing.lettering import shortened
from sightline.drawing.words import Words, spoken
from sightline.errors import DataError

LONGEST_CURVE_WITH_MARKERS = 30
LONGEST_SIDE = 40
# Part -> colour, dashes, marker.
PARTS = {"train": ("#0072B2", "--", "o"), "val": ("#D55E00", "-", "s"), "test": ("#009E73", "-.", "^")}
# The sides of a comparison: a colour each, and another dash when colours begin again.
SIDE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SIDE_DASHES = ("-", "--", "-.")


def draw(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    selected_epoch: int | None = None,
    title: str = "",
    words: Words | None = None,
) -> None:
    """Draw accuracy (left) and loss (right) by epoch, for training and, where they are known, validation and test.

    `rows` are those of results.csv: `epoch`, and `train_`, `val_` and `test_` with `accuracy` (0 to 1) and `loss`, as
    numbers or text; a missing, empty or non-finite one is a gap. `selected_epoch` is marked. Raises DataError where
    there is no row, and atomic's errors where `path` cannot be written.
    """
    words = words or spoken()
    if not rows:
        raise DataError("curves", "no epoch was finished", "one or more")

    def drawn() -> Figure:
        figure = Figure(figsize=(9, 3.8), dpi=canvas.DPI, layout="constrained")
        if title:
            figure.suptitle(title, fontsize=11)
        for axes, kind in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
            _curve(axes, rows, kind, selected_epoch, words)
        named = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
        handles = {label: handle for handle, label in named}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, len(handles)))
        return figure

    canvas.write(path, drawn)


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
        axes.axvline(selected, color=canvas.GREY, linewidth=1, linestyle=":", label=label, zorder=1)
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


def bands(
    sides: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], path: Path, *, words: Words | None = None
) -> None:
    """Draw validation accuracy (left) and training loss (right) by epoch: means over seeds, and bands over all seeds.

    `sides`: name -> the rows of results.csv of each of its seeds. A band goes from the lowest to the highest seed.
    Where a side has no validation, its training accuracy is drawn, dotted. Raises DataError where no epoch was
    finished, and atomic's errors.
    """
    words = words or spoken()
    if not any(rows for runs in sides.values() for rows in runs):
        raise DataError("curves", "no epoch was finished", "one or more")

    def drawn() -> Figure:
        rows_of_names = math.ceil(len(sides) / 2)
        figure = Figure(figsize=(9, 3.6 + 0.22 * rows_of_names), dpi=canvas.DPI, layout="constrained")
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

    canvas.write(path, drawn)


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
    epochs = known + min(int(rows[0]["epoch"]) for rows in runs if rows)
    axes.plot(epochs, np.nanmean(values, axis=0), dashes, color=colour, label=label, marker=marker)
    if len(runs) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    found = (row.get(key) for row in rows)
    values = np.array([np.nan if value in (None, "") else float(value) for value in found], np.float64)
    return np.where(np.isfinite(values), values, np.nan)
