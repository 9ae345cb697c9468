"""What it costs: time, parameters, multiply-adds, milliseconds for a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.reporting.blocks import Block, Cell, Figures, Paragraph, Section, Slide, Table
from sightline.reporting.facts import Comparison, Run, every_value
from sightline.reporting.numerals import megabytes, optional, seconds, whole
from sightline.reporting.sections.training import length_cell
from sightline.reporting.words import Words

HARDWARE = ("gpu", "processor", "threads", "precision", "torch")


def of_run(run: Run, words: Words) -> Section:
    """Tell what a run cost."""
    figures: list[tuple[str, Cell]] = []
    taken = [float(row["seconds"]) for row in run.epochs if row.get("seconds")]
    if taken:
        epoch, whole_run = seconds(float(np.median(taken))), seconds(sum(taken))
        figures.append((words("epoch_seconds"), run.cell(epoch, "results.csv", "median(seconds)")))
        figures.append((words("run_seconds"), run.cell(whole_run, "results.csv", "sum(seconds)")))
    network = run.network
    if network is not None:
        figures.append((words("parameters"), run.cell(whole(network["parameters"]), "network.json", "parameters")))
        if network["macs"] is not None:
            figures.append((words("macs"), run.cell(whole(network["macs"]), "network.json", "macs")))
    if weights := run.weights():
        name, path = weights
        figures.append((words("file_size"), run.cell(megabytes(path.stat().st_size), name, "size()")))
    notes = _hardware([run], run.cell("", "environment.json").file, words("cost_note_run"), words)
    blocks: list[Block] = [*([Figures(figures)] if figures else []), Paragraph(notes)]
    told = [*(f"{name}: {cell.text}" for name, cell in figures), notes.text]
    return Section("cost", words("cost"), blocks, [Slide(words("cost"), told)])


def of_comparison(comparison: Comparison, words: Words) -> Section:
    """Set what the sides cost beside each other."""
    cell = comparison.cell
    rows = [
        [
            Cell(side["name"]),
            length_cell(comparison.named[place][1], words),
            cell(optional(side["seconds_per_epoch"], seconds), f"sides.{place}.seconds_per_epoch"),
            cell(seconds(side["train_seconds"]), f"sides.{place}.train_seconds"),
            cell(optional(side["parameters"], whole), f"sides.{place}.parameters"),
            cell(optional(side["macs"], whole), f"sides.{place}.macs"),
            cell(optional(side["latency_ms"], seconds), f"sides.{place}.latency_ms"),
        ]
        for place, side in enumerate(comparison.sides)
    ]
    keys = ("side", "length", "epoch_seconds", "run_seconds", "parameters", "macs", "latency")
    table = Table.without_gaps([words(key) for key in keys], rows)
    where = comparison.of_every_run("environment.json")
    notes = _hardware(comparison.every_run, where, words("cost_note"), words)
    return Section("cost", words("cost"), [table, Paragraph(notes)], [Slide(words("cost"), [notes.text], table=table)])


def _hardware(runs: Sequence[Run], file: str, note: str, words: Words) -> Cell:
    """Say on what runs trained, with every value that one of them has, and `note` behind it."""
    on_gpu = [run for run in runs if run.environment.get("gpu")]
    on_cpu = [run for run in runs if not run.environment.get("gpu")]
    told: list[str] = []
    for key, group in (("hardware_gpu", on_gpu), ("hardware", on_cpu)):
        if group:
            told.append(words(key, **{name: every_value(group, name) or "?" for name in HARDWARE}))
    known = ", ".join(name for name in HARDWARE if every_value(runs, name))
    return Cell(" ".join([*told, note]), file, known)
