"""Drawing accuracy against confidence: how far a classifier's probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sightline.drawing import canvas
from sightline.drawing.words import Words, spoken
from sightline.runs.records import ConfidenceBin

BAR, GAP = "#56B4E9", "#D55E00"


def draw(bins: Sequence[ConfidenceBin], ece: float, path: Path, *, title: str = "", words: Words | None = None) -> None:
    """Draw a reliability diagram (arXiv 1706.04599, figure 1), and under it how many images each bin has.

    `bins` and `ece` are what metrics.json holds as `reliability` and `ece`. A bar is as high as the bin's accuracy; the
    hatched part reaches from there to the bin's mean confidence: above the bar the classifier is too sure, inside it
    not sure enough. Raises atomic's errors where `path` cannot be written.
    """
    words = words or spoken()
    filled = [part for part in bins if part.n]

    def figure() -> Figure:
        drawn = Figure(figsize=(5.2, 5.6), dpi=canvas.DPI, layout="constrained")
        upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        figures = words.ece.format(ece=f"{100 * ece:.2f}%", bins=len(bins))
        upper.set_title(f"{title}: {figures}" if title else figures)
        _accuracy(upper, filled, words)
        _counts(lower, filled, words)
        handles, labels = upper.get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return drawn

    canvas.write(path, figure)


def _accuracy(axes: Axes, bins: Sequence[ConfidenceBin], words: Words) -> None:
    left, widths = _places(bins)
    accuracies = [part.accuracy or 0.0 for part in bins]
    gaps = [(part.confidence or 0.0) - (part.accuracy or 0.0) for part in bins]
    axes.bar(left, accuracies, widths, align="edge", color=BAR, edgecolor="white", label=words.accuracy)
    # Not filled, so that a bar is seen whole where its accuracy is above the confidence.
    axes.bar(
        left, gaps, widths, accuracies, align="edge", fill=False, edgecolor=GAP, hatch="////", linewidth=1,
        label=words.gap,
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], "--", color=canvas.INK, linewidth=1, label=words.calibrated)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_ylabel(words.accuracy)
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _counts(axes: Axes, bins: Sequence[ConfidenceBin], words: Words) -> None:
    left, widths = _places(bins)
    counts = [part.n for part in bins]
    bars = axes.bar(left, counts, widths, align="edge", color=canvas.GREY, edgecolor="white")
    axes.bar_label(bars, [str(count) for count in counts], fontsize=6.5, padding=1)
    axes.set_ylim(0, 1.35 * max(counts))
    axes.set_yticks([])
    axes.set_ylabel(words.images)
    axes.set_xlabel(words.confidence)
    axes.xaxis.set_major_formatter(PercentFormatter(1))


def _places(bins: Sequence[ConfidenceBin]) -> tuple[list[float], list[float]]:
    return [part.low for part in bins], [part.high - part.low for part in bins]
