"""What it costs: time, parameters, multiply-adds, milliseconds for a picture."""

from __future__ import annotations

import numpy as np

from sightline.reporting.blocks import Block, Cell, Figures, Paragraph, Section, Slide, Table
from sightline.reporting.facts import Comparison, Run
from sightline.reporting.numerals import megabytes, optional, seconds, whole
from sightline.reporting.sections.training import length_cell
from sightline.reporting.words import Words


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
    where = _hardware(run, words)
    notes = Cell(f"{where.text} {words('cost_note_run')}", where.file, where.key)
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
    where = _hardware(comparison.named[0][1], words)
    notes = Cell(f"{where.text} {words('cost_note')}", where.file, where.key)
    return Section("cost", words("cost"), [table, Paragraph(notes)], [Slide(words("cost"), [notes.text], table=table)])


def _hardware(run: Run, words: Words) -> Cell:
    found = run.environment
    about = {"precision": found.get("precision", "?"), "torch": found.get("torch", "?")}
    gpu, processor, threads = found.get("gpu"), found.get("processor"), found.get("threads")
    if gpu:
        return run.cell(words("hardware_gpu", gpu=gpu, **about), "environment.json", "gpu, precision, torch")
    text = words("hardware", processor=processor or "?", threads=threads or "?", **about)
    return run.cell(text, "environment.json", "processor, threads, precision, torch")
