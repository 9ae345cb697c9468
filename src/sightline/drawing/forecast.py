"""Drawing what more pictures would bring: accuracy against their number, measured and forecast."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, PercentFormatter, StrMethodFormatter

from sightline.drawing import canvas
from sightline.drawing.words import Words, spoken
from sightline.runs.records import Forecast

CURVE, MEASURED, PREDICTED = "#0072B2", "#222222", "#D55E00"


def draw(found: Forecast, path: Path, *, words: Words | None = None) -> None:
    """Draw the measured sizes, the curve with its interval, and the predictions, over a logarithmic number of images.

    Raises atomic's errors where `path` cannot be written.
    """
    words = words or spoken()

    def figure() -> Figure:
        drawn = Figure(figsize=(7, 4.2), dpi=canvas.DPI, layout="constrained")
        axes = drawn.subplots()
        _curve(axes, found, words)
        _points(axes, found, words)
        axes.set_xscale("log")
        ticks = [found.measured[0].images, found.images, *(point.images for point in found.predictions)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel(words.pictures)
        axes.set_ylabel(words.accuracy)
        handles, labels = axes.get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return drawn

    canvas.write(path, figure)


def _curve(axes: Axes, found: Forecast, words: Words) -> None:
    images = [point.images for point in found.curve]
    low, high = ([point.interval[end] for point in found.curve] for end in (0, 1))
    label = words.forecast.format(confidence=f"{100 * found.confidence:g}%")
    axes.fill_between(images, low, high, color=CURVE, alpha=0.18, linewidth=0)
    axes.plot(images, [point.accuracy for point in found.curve], color=CURVE, label=label)
    axes.axvline(found.images, color=canvas.GREY, linewidth=1, linestyle=":", zorder=1)


def _points(axes: Axes, found: Forecast, words: Words) -> None:
    errors = [size.standard_error for size in found.measured]
    images, accuracies = [size.images for size in found.measured], [size.accuracy for size in found.measured]
    axes.errorbar(images, accuracies, errors, fmt="o", color=MEASURED, capsize=3, label=words.measured_heads)
    for point in found.predictions:
        low, high = point.accuracy - point.interval[0], point.interval[1] - point.accuracy
        axes.errorbar([point.images], [point.accuracy], [[low], [high]], fmt="D", color=PREDICTED, capsize=4)
        told = words.times.format(times=f"{point.images / found.images:g}", accuracy=f"{100 * point.accuracy:.1f}%")
        axes.annotate(
            told, (point.images, point.interval[0]), (0, -9), textcoords="offset points", ha="center", va="top",
            color=PREDICTED,
        )  # fmt: skip
    axes.margins(x=0.08, y=0.12)
