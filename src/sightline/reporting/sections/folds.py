"""The folds of a cross-validation: how the pictures were parted, and what each fold's model made of its own."""

from __future__ import annotations

from sightline.reporting.blocks import Block, Cell, Figures, Paragraph, Points, Section, Slide, Table
from sightline.reporting.numerals import optional, percent, whole
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections.images import grouping_cells
from sightline.reporting.sections.shortening import first_rows
from sightline.reporting.subjects import Folds
from sightline.reporting.words import Words

SLIDE_ROWS = 10
MOST_DOUBTFUL = 12


def section(folds: Folds, drawn: Drawn, words: Words) -> Section:
    """Tell of the folds, one below the other, their mean and their spread."""
    results, title = folds.results, words("folds")
    parted = words("folds_parted", n=whole(results.images), count=len(results.folds))
    line = folds.cell(parted, "images, len(folds)")
    figures = [
        (words("folds_mean"), folds.cell(percent(results.mean), "mean")),
        (words("folds_spread"), folds.cell(percent(results.sd), "sd")),
    ]
    table, kept = _table(folds, words), grouping_cells(folds.first, words)
    samples = drawn.samples(folds.first)
    blocks: list[Block] = [Paragraph(line), Points(kept), Figures(figures), table]
    blocks += [] if samples is None else [samples]
    short, note = first_rows(table, SLIDE_ROWS, words)
    told = [parted, *(cell.text for cell in kept)]
    slides = [
        Slide(title, told, picture=samples),
        Slide(title, [*(words.labelled(name, cell.text) for name, cell in figures), *note], table=short),
    ]
    return Section("folds", title, blocks, slides)


def _table(folds: Folds, words: Words) -> Table:
    cell = folds.cell
    rows = [
        [
            cell(str(fold.fold), f"folds.{place}.fold"),
            cell(whole(fold.images), f"folds.{place}.images"),
            cell(percent(fold.accuracy), f"folds.{place}.accuracy"),
            cell(percent(fold.balanced_accuracy), f"folds.{place}.balanced_accuracy"),
            cell(optional(fold.val_accuracy, percent), f"folds.{place}.val_accuracy"),
        ]
        for place, fold in enumerate(folds.results.folds)
    ]
    keys = ("fold", "images", "accuracy", "balanced_accuracy", "val_accuracy")
    return Table.without_gaps([words(key) for key in keys], rows)


def doubtful(folds: Folds, words: Words) -> list[Section]:
    """Name the mistakes that were surest of themselves, since labels may be what is wrong; nothing without any."""
    answers = folds.results.surest_mistakes[:MOST_DOUBTFUL]
    if not answers:
        return []
    rows: list[list[Cell]] = []
    for place, answer in enumerate(answers):
        key = f"surest_mistakes.{place}"
        rows.append(
            [
                folds.cell(answer.picture, f"{key}.picture"),
                folds.cell(answer.label, f"{key}.label"),
                folds.cell(answer.answer, f"{key}.answer"),
                folds.cell(percent(answer.confidence), f"{key}.confidence"),
                folds.cell(str(answer.fold), f"{key}.fold"),
            ]
        )
    table = Table([words(key) for key in ("picture", "label", "answer_given", "answer_confidence", "fold")], rows)
    said = words("doubtful_how", file=folds.folder.answers_path.name)
    title = words("doubtful")
    short, note = first_rows(table, SLIDE_ROWS, words)
    return [Section("doubtful", title, [Paragraph.of(said), table], [Slide(title, note, table=short)])]
