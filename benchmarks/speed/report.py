"""From the measurements of a section to its table and its part of the JSON document. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from figures import FIGURES, Spread, first_epoch_reaching, flop_share, number, ratios
from plan import Case, Section

SCHEMA = 1
Measurement = dict[str, Any]
"""case, side, round, job, values, details, versions, wall_seconds, at, commit."""
Row = dict[str, Any]


def summarise(section: Section, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """A section of the document: its measurements, the spread of every figure, ratios by round, and what is to note."""
    summary: list[Row] = []
    compared: list[Row] = []
    notes: list[str] = []
    every: list[Measurement] = []
    for case in section.cases:
        own = [measurement for measurement in measurements if measurement["case"] == case.name]
        own, told = with_times(case, own)
        notes += told
        own = with_shares(own)
        notes += different_networks(case, own)
        summary += _spreads(case, own)
        compared += _ratios(case, own)
        every += own
    return {
        "name": section.name, "title": section.title, "measurements": every, "summary": summary, "ratios": compared,
        "notes": notes,
    }  # fmt: skip


def with_times(case: Case, measurements: Sequence[Measurement]) -> tuple[list[Measurement], list[str]]:
    """Time and accuracy of sides that tell theirs for each epoch, at the epoch that counts, the same for all seeds."""
    chosen: dict[str, int | None] = {}
    notes: list[str] = []
    for side in case.sides:
        told = [m["details"]["curve"] for m in _of(measurements, side.name) if "curve" in m["details"]]
        if not told:
            continue
        curves = [[100 * epoch["test_accuracy"] for epoch in epochs] for epochs in told]
        shortest = min(map(len, curves))
        if case.target is None:
            chosen[side.name] = shortest - 1
            continue
        chosen[side.name] = reached = first_epoch_reaching(curves, case.target)
        means = [sum(curve[epoch] for curve in curves) / len(curves) for epoch in range(shortest)]
        if reached is None:
            notes.append(
                f"{side.name}: no epoch of {shortest} has a mean of {case.target:g} % (the best is {max(means):.2f} %)"
            )
        else:
            notes.append(f"{side.name}: {means[reached]:.2f} % in epoch {reached + 1}, by the mean of {len(curves)}")
    found: list[Measurement] = []
    for measurement in measurements:
        epoch = chosen.get(measurement["side"])
        if epoch is not None:
            at = measurement["details"]["curve"][epoch]
            values = {"seconds": at["seconds"], "test_accuracy": 100 * at["test_accuracy"]}
            measurement = {**measurement, "values": values}  # noqa: PLW2901
        found.append(measurement)
    return found, notes


def with_shares(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Steps that were measured in a round with the machine's peak get their share of it, in their own precision."""
    peaks = {m["round"]: m["values"] for m in measurements if "fp32_gflops" in m["values"]}
    found: list[Measurement] = []
    for measurement in measurements:
        peak = peaks.get(measurement["round"], {}).get(f"{measurement['details'].get('precision')}_gflops")
        if peak is not None and "flops_an_image" in measurement["details"]:
            seconds_an_image = 1 / measurement["values"]["images_per_second"]
            share = flop_share(measurement["details"]["flops_an_image"], seconds_an_image, peak)
            found.append({**measurement, "values": {**measurement["values"], "share": share}})
        else:
            found.append(measurement)
    return found


def different_networks(case: Case, measurements: Sequence[Measurement]) -> list[str]:
    """A line where the sides of `steps` did not train the same number of parameters."""
    if case.ratios != ("images_per_second",):
        return []
    counts = {m["side"]: m["details"]["parameters"] for m in measurements if "parameters" in m["details"]}
    listed = ", ".join(f"{side} {count:,}" for side, count in counts.items())
    return [f"{case.name}: not the same network: {listed} parameters"] if len(set(counts.values())) > 1 else []


def _of(measurements: Iterable[Measurement], side: str) -> list[Measurement]:
    return [measurement for measurement in measurements if measurement["side"] == side]


def _rounds(measurements: Iterable[Measurement], side: str, figure: str) -> dict[int, float]:
    return {m["round"]: m["values"][figure] for m in _of(measurements, side) if figure in m["values"]}


def _spreads(case: Case, measurements: Sequence[Measurement]) -> list[Row]:
    rows: list[Row] = []
    for side in case.sides:
        for figure, about in FIGURES.items():
            values = _rounds(measurements, side.name, figure)
            if values:
                spread = asdict(Spread.of(list(values.values())))
                rows.append({"case": case.name, "side": side.name, "figure": figure, "unit": about.unit, **spread})
    return rows


def _ratios(case: Case, measurements: Sequence[Measurement]) -> list[Row]:
    rows: list[Row] = []
    for figure in case.ratios:
        for ours in (side for side in case.sides if side.is_ours):
            for theirs in (side for side in case.sides if not side.is_ours):
                each = ratios(
                    _rounds(measurements, ours.name, figure), _rounds(measurements, theirs.name, figure),
                    more_is_better=FIGURES[figure].more_is_better,
                )  # fmt: skip
                if each:
                    pair = {"case": case.name, "figure": figure, "of": ours.name, "over": theirs.name}
                    rows.append({**pair, **asdict(Spread.of(each)), "each": each})
    return rows


def table(section: Mapping[str, Any]) -> str:
    """The section as text: a line a figure of each side, then the ratios, above 1 where Sightline is better."""
    lines = [("", "median", "least", "most", "n", "")]
    for row in section["summary"]:
        title = f"{row['case']}: {row['side']}, {FIGURES[row['figure']].title}"
        figures = (number(row["median"]), number(row["least"]), number(row["most"]), str(row["n"]))
        mean = f"  mean {row['mean']:.2f} ± {row['sd']:.2f}" if row["figure"] == "test_accuracy" else ""
        lines.append((title, *figures, f"{row['unit']}{mean}"))
    for row in section["ratios"]:
        title = f"{row['case']}: {row['of']} over {row['over']}, {FIGURES[row['figure']].title}"
        lines.append((title, f"{row['median']:.2f}", f"{row['least']:.2f}", f"{row['most']:.2f}", str(row["n"]), "x"))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    text = [f"\n{section['name']}: {section['title']}"]
    for first, *numbers, unit in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True))
        text.append(f"  {first:<{widths[0]}}  {'  '.join(cells)}  {unit}".rstrip())
    return "\n".join([*text, *(f"  {note}" for note in section["notes"])])


KEYS = {"schema", "date", "length", "command", "threads", "hardware", "versions", "commits", "sections", "skipped",
        "failed"}  # fmt: skip
SPREAD_KEYS = {"median", "least", "most", "n", "mean", "sd"}
PART_KEYS = {
    "measurements": {"case", "side", "round", "job", "values", "details", "versions", "wall_seconds", "at", "commit"},
    "summary": {"case", "side", "figure", "unit"} | SPREAD_KEYS,
    "ratios": {"case", "figure", "of", "over", "each"} | SPREAD_KEYS,
}


def problems(document: Mapping[str, Any]) -> list[str]:
    """What a results document lacks or has too much of: nothing, for one of this schema."""
    found = _keys("document", document, KEYS)
    if document.get("schema") != SCHEMA:
        found.append(f"schema is {document.get('schema')}, {SCHEMA} is known")
    for section in document.get("sections", []):
        where = section.get("name", "a section")
        found += _keys(where, section, {"name", "title", "notes", *PART_KEYS})
        for part, keys in PART_KEYS.items():
            for row in section.get(part, []):
                found += _keys(f"{where}/{part}", row, keys)
                figures = row.get("values", {}) if part == "measurements" else [row.get("figure")]
                found += [f"{where}/{part}: figure {name} is not known" for name in figures if name not in FIGURES]
                if "n" in row and not row["least"] <= row["median"] <= row["most"]:
                    found.append(f"{where}/{part}: the median of {row['case']} is not between least and most")
    return found


def _keys(where: str, found: Mapping[str, Any], expected: set[str]) -> list[str]:
    differing = sorted(found.keys() ^ expected)
    return [f"{where}: {key} is {'missing' if key in expected else 'not expected'}" for key in differing]
