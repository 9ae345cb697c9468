"""Whether the probabilities are calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sightline.reporting.blocks import Block, Cell, Pictures, Points, Section, Slide, Table
from sightline.reporting.facts import OutOfFold, Run
from sightline.reporting.numerals import percent
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections.shortening import first_of, without_pictures
from sightline.reporting.words import Words
from sightline.runs.records import FEWEST_TO_CALIBRATE

MOST_DIAGRAMS = 6
# With n images, 95 % of the ECEs of perfect probabilities are below this over sqrt(n) (docs/calibration.md).
CHANCE_ECE = 0.6


def section(named: Sequence[tuple[str, Run]], drawn: Drawn, words: Words) -> list[Section]:
    """Show how the confidence of tested runs fits their accuracy; nothing if no test measured it."""
    tested = [(name, run) for name, run in named if run.metrics is not None and run.metrics.ece is not None]
    if not tested:
        return []
    rows: list[list[Cell]] = []
    told: list[Cell] = []
    for name, run in tested:
        report = run.metrics
        assert report is not None and report.ece is not None
        ece, temperature = report.ece, report.temperature
        rows.append(
            [
                Cell(_label(name, run, words)),
                run.metric("ece", percent(ece)),
                _optional(run, "mce", report.mce, percent),
                _optional(run, "brier", report.brier, _four),
                run.metric("loss", _four(report.loss)),
                _optional(run, "temperature", temperature, _three),
            ]
        )
        said = [words("ece_words", ece=f"{100 * ece:.2f}")]
        if temperature is not None:
            said.append(words("calibrated", temperature=_three(temperature)))
        elif _calibration_may_help(run, ece, report.n):
            said.append(words("not_calibrated"))
        sentence = words("gap").join(said)
        told.append(run.metric("ece", words.labelled(name, sentence) if name else sentence))
    pictures = [
        picture
        for name, run in tested[:MOST_DIAGRAMS]
        if (picture := drawn.reliability(run, _caption(name, run, words))) is not None
    ]
    head = [
        words(key) for key in ("side" if named[0][0] else "network_one", "ece", "mce", "brier", "nll", "temperature")
    ]
    blocks: list[Block] = [Table.without_gaps(head, rows), Points(told), Pictures(pictures)]
    blocks += without_pictures([_label(name, run, words) for name, run in tested[MOST_DIAGRAMS:]], words)
    short = first_of([cell.text for cell in told], 2, words)
    slide = Slide(words("calibration"), short, pictures[0] if pictures else None)
    return [Section("calibration", words("calibration"), blocks, [slide])]


def _calibration_may_help(run: Run, ece: float, tested: int) -> bool:
    """Whether the ECE is above what perfect probabilities show too, and validation images can fit a temperature."""
    validation = None if isinstance(run, OutOfFold) else run.splits.parts.get("validation")
    if validation is None or validation.images < FEWEST_TO_CALIBRATE:
        return False
    row = run.selected() or (run.epochs[-1] if run.epochs else {})
    all_right = float(row.get("val_accuracy") or 0) == 1  # then the best temperature is the lowest of all
    return not all_right and ece > CHANCE_ECE / math.sqrt(tested)


def _label(name: str, run: Run, words: Words) -> str:
    return words("side_seed", side=name, seed=run.settings.training.seed) if name else run.model


def _caption(name: str, run: Run, words: Words) -> str:
    said = words("reliability")
    return words.labelled(_label(name, run, words), said) if name else said


def _optional(run: Run, key: str, value: float | None, write: Callable[[float], str]) -> Cell:
    return Cell("") if value is None else run.metric(key, write(value))


def _four(value: float) -> str:
    return f"{value:.4f}"


def _three(value: float) -> str:
    return f"{value:.3f}"
