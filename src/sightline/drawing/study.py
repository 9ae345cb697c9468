"""The pictures of a study: how the search went, what mattered, and where good values lie.

Trials are dictionaries: `number`, `value` (a fraction, None where it has none), `params` (name -> number or text) and
`state` ("complete", "pruned", "fail", "running" or "waiting").
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from sightline.drawing import canvas
from sightline.drawing.lettering import shortened
from sightline.drawing.words import Words, spoken

COLOUR, BEST = "#0072B2", "#D55E00"
ACROSS = 3
LONGEST_CHOICE = 12

Trial = Mapping[str, Any]


def history(trials: Sequence[Trial], path: Path, words: Words | None = None) -> None:
    """Draw each complete trial's validation accuracy and the best so far; ticks below mark those given up or failed."""
    words = words or spoken()
    complete = _complete(trials)

    def figure() -> Figure:
        drawn = Figure(figsize=(8, 3.6), dpi=canvas.DPI, layout="constrained")
        axes = drawn.subplots()
        numbers, values = [trial["number"] for trial in complete], [trial["value"] for trial in complete]
        axes.plot(numbers, values, "o", color=COLOUR, label=words.trial)
        axes.step(numbers, list(accumulate(values, max)), where="post", color=BEST, label=words.best_so_far)
        lost = [trial["number"] for trial in trials if trial["state"] in ("pruned", "fail")]
        if lost:
            bottom = axes.get_ylim()[0]
            axes.plot(lost, [bottom] * len(lost), "|", color=canvas.GREY, markersize=9, label=words.given_up)
        axes.set_xlabel(words.trial)
        axes.set_ylabel(words.val_accuracy)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawn

    canvas.write(path, figure)


def importance(found: Mapping[str, float], path: Path, words: Words | None = None) -> None:
    """Draw how much of the difference between trials each setting explains: name -> part, the parts add up to 1."""
    words = words or spoken()

    def figure() -> Figure:
        ranked = sorted(found.items(), key=lambda item: item[1])
        drawn = Figure(figsize=(7, 1.2 + 0.3 * len(ranked)), dpi=canvas.DPI, layout="constrained")
        axes = drawn.subplots()
        bars = axes.barh([name for name, _ in ranked], [part for _, part in ranked], color=COLOUR, height=0.65)
        axes.bar_label(bars, [f"{100 * part:.0f}%" for _, part in ranked], padding=3)
        axes.set_xlim(0, 1.12 * max(found.values()))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(visible=False, axis="y")
        axes.set_title(words.importance)
        return drawn

    canvas.write(path, figure)


def slices(trials: Sequence[Trial], logarithmic: Container[str], path: Path, words: Words | None = None) -> None:
    """Draw the validation accuracy of complete trials over each setting; those of `logarithmic` on such an axis."""
    words = words or spoken()
    complete = _complete(trials)
    names = list(dict.fromkeys(name for trial in complete for name in trial["params"]))

    def figure() -> Figure:
        across = min(ACROSS, len(names))
        down = math.ceil(len(names) / across)
        drawn = Figure(figsize=(1 + 3 * across, 2.6 * down), dpi=canvas.DPI, layout="constrained")
        grid = drawn.subplots(down, across, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(names):
                axes.set_visible(False)
                continue
            _slice(axes, complete, names[place], log=names[place] in logarithmic)
            if place % across == 0:
                axes.set_ylabel(words.val_accuracy)
                axes.yaxis.set_major_formatter(PercentFormatter(1))
        return drawn

    canvas.write(path, figure)


def _slice(axes: Axes, complete: Sequence[Trial], name: str, *, log: bool) -> None:
    pairs = [(trial["params"][name], trial["value"]) for trial in complete if name in trial["params"]]
    best = max(pairs, key=lambda pair: pair[1])
    if isinstance(pairs[0][0], str):
        choices = list(dict.fromkeys(sorted((choice for choice, _ in pairs), key=_natural)))
        place = {choice: index for index, choice in enumerate(choices)}
        pairs = [(place[choice], value) for choice, value in pairs]
        best = (place[best[0]], best[1])
        axes.set_xticks(range(len(choices)), [shortened(choice, LONGEST_CHOICE) for choice in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
    elif log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.plot([x for x, _ in pairs], [y for _, y in pairs], "o", color=COLOUR, alpha=0.7)
    axes.plot(*best, "D", color=BEST, markersize=5)
    axes.set_xlabel(name)


def _natural(choice: str) -> tuple[bool, list[float], str]:
    """Sort numbers and lists of numbers by size, and words behind them."""
    try:
        return False, [float(part) for part in choice.split(",")], ""
    except ValueError:
        return True, [], choice


def _complete(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial["state"] == "complete"]
