"""The images: how many, in which parts, what they look like, and what the audit found."""

from __future__ import annotations

from sightline.reporting.blocks import Block, Cell, Paragraph, Points, Section, Slide, Table
from sightline.reporting.facts import Run
from sightline.reporting.numerals import whole
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections.shortening import first_of
from sightline.reporting.words import Words
from sightline.runs.folder import AUDIT, SPLITS

IMBALANCE_WORTH_TELLING = 2.0
PARTS = ("train", "validation", "test")


def section(run: Run, drawn: Drawn, words: Words) -> Section:
    """Tell of the images that a run had."""
    told_of, table = line(run, words), parts_table(run, words)
    audit = [*grouping_cells(run, words), *audit_cells(run, words)]
    samples = drawn.samples(run)
    blocks: list[Block] = [Paragraph(told_of), table, Points(audit)]
    blocks.append(Paragraph.of(words("samples_missing")) if samples is None else samples)
    told = [told_of.text, *first_of([cell.text for cell in audit], 3, words)]
    slide = Slide(words("data"), told, picture=samples, table=table if samples is None else None)
    return Section("data", words("data"), blocks, [slide])


def line(run: Run, words: Words) -> Cell:
    """Say how many images each part has, and of what size they are."""
    parts = run.splits.parts
    height, width, channels = parts["train"].size
    counts = {name: whole(part.images) for name, part in parts.items()}
    key = "data_" + "_".join(name for name in PARTS if name in parts)
    text = words(key, **counts, size=f"{width} × {height}", channels=words("gray" if channels == 1 else "colour"))
    return run.cell(text, SPLITS, ", ".join([*(f"parts.{name}.images" for name in parts), "parts.train.size"]))


def parts_table(run: Run, words: Words) -> Table:
    """Set the parts' counts beside each other."""
    rows: list[list[Cell]] = []
    for name, part in run.splits.parts.items():
        counts, key = part.class_counts, f"parts.{name}"
        rows.append(
            [
                Cell(part_name(name, words)),
                run.cell(whole(part.images), SPLITS, f"{key}.images"),
                run.cell(whole(len(run.classes)), SPLITS, "len(classes)"),
                run.cell(whole(min(counts)), SPLITS, f"min({key}.class_counts)"),
                run.cell(whole(max(counts)), SPLITS, f"max({key}.class_counts)"),
            ]
        )
    return Table([words(key) for key in ("part", "images", "classes", "smallest_class", "largest_class")], rows)


def part_name(name: str, words: Words) -> str:
    """Name a part of the images."""
    return words(f"part_{name}") if name in PARTS else name


def grouping_cells(run: Run, words: Words) -> list[Cell]:
    """Say what was kept together when the images were split."""
    grouping = run.splits.grouping
    cells: list[Cell] = []
    if grouping is not None and grouping.rule is not None:
        text = words("split_by_groups", rule=grouping.rule, groups=whole(grouping.groups))
        cells.append(run.cell(text, SPLITS, "grouping.rule, grouping.groups"))
    if grouping is not None and grouping.joined:
        cells.append(run.cell(words("split_near", count=whole(grouping.joined)), SPLITS, "grouping.joined"))
    return cells


def audit_cells(run: Run, words: Words) -> list[Cell]:
    """Say what the audit before training found."""
    audit = run.audit
    across = audit.duplicates.across
    lines: list[tuple[str, str]] = []
    if audit.skipped:
        lines.append((words("audit_skipped", count=whole(len(audit.skipped))), "len(skipped)"))
    for part, copies in audit.duplicates.inside.items():
        if copies.images:
            text = words("audit_inside", count=whole(copies.images), part=part_name(part, words))
            lines.append((text, f"duplicates.inside.{part}.images"))
        if copies.other_label:
            text = words("audit_inside_labels", count=whole(copies.other_label), part=part_name(part, words))
            lines.append((text, f"duplicates.inside.{part}.other_label"))
    if across.pairs:
        lines.append((words("audit_across", count=whole(across.pairs)), "duplicates.across.pairs"))
    if across.other_label:
        text = words("audit_across_labels", count=whole(across.other_label))
        lines.append((text, "duplicates.across.other_label"))
    if not lines:
        lines.append((words("audit_clean"), "skipped, duplicates"))
    imbalance = audit.imbalance
    if imbalance is not None and imbalance >= IMBALANCE_WORTH_TELLING:
        lines.append((words("audit_imbalance", times=f"{imbalance:.1f}"), "imbalance"))
    return [run.cell(text, AUDIT, key) for text, key in lines]


def knows_test_images(run: Run) -> bool:
    """Whether test images are also among those that were trained on or selected by."""
    across = run.audit.duplicates.across
    # The audits of the first versions count no test images, and name the first pairs only.
    return across.with_test > 0 or any("test" in pair.parts for pair in across.named)
