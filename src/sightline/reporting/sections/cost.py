"""What it costs: time, parameters, multiply-adds, milliseconds for a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.reporting.blocks import Block, Cell, Figures, Paragraph, Section, Slide, Table
from sightline.reporting.facts import Run, every_value, file_of
from sightline.reporting.numerals import megabytes, optional, seconds, whole
from sightline.reporting.sections.training import length_cell
from sightline.reporting.subjects import Comparison
from sightline.reporting.words import Words
from sightline.runs.folder import ENVIRONMENT, NETWORK, RESULTS

# The sentences on the hardware, and what of environment.json stands in them.
ON_GPU = "hardware_gpu", ("gpu", "precision", "torch")
ON_CPU = "hardware", ("processor", "threads", "precision", "torch")


def of_run(run: Run, words: Words) -> Section:
    """Tell what a run cost."""
    figures: list[tuple[str, Cell]] = []
    taken = [float(row["seconds"]) for row in run.epochs if row.get("seconds")]
    if taken:
        epoch, whole_run = seconds(float(np.median(taken))), seconds(sum(taken))
        figures.append((words("epoch_seconds"), run.cell(epoch, RESULTS, "median(seconds)")))
        figures.append((words("run_seconds"), run.cell(whole_run, RESULTS, "sum(seconds)")))
    network = run.network
    if network is not None:
        figures.append((words("parameters"), run.cell(whole(network.parameters), NETWORK, "parameters")))
        if network.macs is not None:
            figures.append((words("macs"), run.cell(whole(network.macs), NETWORK, "macs")))
    if weights := run.weights():
        name, path = weights
        figures.append((words("file_size"), run.cell(megabytes(path.stat().st_size), name, "size()")))
    notes = _hardware([run], words("cost_note_run"), words)
    blocks: list[Block] = [*([Figures(figures)] if figures else []), Paragraph(notes)]
    told = [*(words.labelled(name, cell.text) for name, cell in figures), notes.text]
    return Section("cost", words("cost"), blocks, [Slide(words("cost"), told)])


def of_comparison(comparison: Comparison, words: Words) -> Section:
    """Set what the sides cost beside each other."""
    cell = comparison.cell
    rows = [
        [
            Cell(side.name),
            length_cell(comparison.named[place][1], words),
            cell(optional(side.seconds_per_epoch, seconds), f"sides.{place}.seconds_per_epoch"),
            cell(seconds(side.train_seconds), f"sides.{place}.train_seconds"),
            cell(optional(side.parameters, whole), f"sides.{place}.parameters"),
            cell(optional(side.macs, whole), f"sides.{place}.macs"),
            cell(optional(side.latency_ms, seconds), f"sides.{place}.latency_ms"),
        ]
        for place, side in enumerate(comparison.sides)
    ]
    keys = ("side", "length", "epoch_seconds", "run_seconds", "parameters", "macs", "latency")
    table = Table.without_gaps([words(key) for key in keys], rows)
    notes = _hardware(comparison.every_run, words("cost_note"), words)
    return Section("cost", words("cost"), [table, Paragraph(notes)], [Slide(words("cost"), [notes.text], table=table)])


def _hardware(runs: Sequence[Run], note: str, words: Words) -> Cell:
    """Say on what runs trained, with every value that one of them has, and `note` behind it."""
    told: list[str] = []
    keys: dict[str, None] = {}
    for (sentence, names), has_gpu in ((ON_GPU, True), (ON_CPU, False)):
        if group := [run for run in runs if bool(run.environment.gpu) == has_gpu]:
            values = {name: every_value(group, name, words("comma")) for name in names}
            told.append(words(sentence, **{name: value or "?" for name, value in values.items()}))
            keys |= {name: None for name, value in values.items() if value}
    return Cell(words("gap").join([*told, note]), file_of(runs, ENVIRONMENT), ", ".join(keys))
