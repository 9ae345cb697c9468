"""The networks: a diagram, and the shape of every part."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.drawing.network import shape
from sightline.reporting.blocks import Block, Cell, Paragraph, Section, Slide, Table
from sightline.reporting.facts import Run
from sightline.reporting.numerals import optional, whole
from sightline.reporting.pictures import Drawn
from sightline.reporting.words import Words
from sightline.runs.folder import NETWORK
from sightline.runs.records import NetworkSummary

MOST_PARTS = 60


def section(named: Sequence[tuple[str, Run]], drawn: Drawn, words: Words) -> Section:
    """Show each side's network, those that are the same once."""
    title = words("network" if len(named) == 1 else "networks")
    blocks: list[Block] = []
    slides: list[Slide] = []
    shown: list[NetworkSummary] = []
    for name, run in named:
        network = run.network
        label = words("side_model", side=name, model=run.model) if name and name != run.model else run.model
        if network is None:
            blocks.append(Paragraph.of(words("of_network", network=label, told=words("network_missing"))))
            continue
        if network in shown:
            blocks.append(Paragraph.of(words("network_same", side=name)))
            continue
        shown.append(network)
        line = _line(run, network, words, label)
        blocks.append(Paragraph(line))
        diagram = drawn.diagram(run)
        if diagram is not None:
            table = _table(run, network, words)
            blocks += [diagram, table]
            if any(part.output is None for part in network.parts):
                blocks.append(Paragraph.of(words("auxiliary")))
            slides.append(Slide(words.labelled(title, label), [line.text], picture=diagram))
    if not slides:
        told = [block.said.text for block in blocks if isinstance(block, Paragraph)]
        slides = [Slide(title, told)]
    return Section("network", title, blocks, slides)


def _line(run: Run, network: NetworkSummary, words: Words, label: str) -> Cell:
    size, parameters = shape(network.input[1:]), whole(network.parameters)
    if network.macs is None:
        text = words("network_line_no_macs", parameters=parameters, input=size)
    else:
        text = words("network_line", parameters=parameters, macs=whole(network.macs), input=size)
    return run.cell(words("of_network", network=label, told=text), NETWORK, "parameters, macs, input")


def _table(run: Run, network: NetworkSummary, words: Words) -> Table:
    rows = [
        [
            Cell(part.name),
            Cell(part.type),
            run.cell(optional(part.output, lambda sizes: shape(sizes[1:])), NETWORK, f"parts.{place}.output"),
            run.cell(whole(part.parameters), NETWORK, f"parts.{place}.parameters"),
            run.cell(whole(part.macs), NETWORK, f"parts.{place}.macs"),
        ]
        for place, part in enumerate(network.parts[:MOST_PARTS])
    ]
    rest = len(network.parts) - MOST_PARTS
    if rest > 0:
        rows.append([Cell(words("further_parts", count=rest)), *[Cell("")] * 4])
    total = [
        Cell(words("whole")),
        Cell(""),
        Cell(""),
        run.cell(whole(network.parameters), NETWORK, "parameters"),
    ]
    total.append(run.cell(optional(network.macs, whole), NETWORK, "macs"))
    return Table([words(key) for key in ("part_name", "type", "output", "parameters", "macs")], [*rows, total])
