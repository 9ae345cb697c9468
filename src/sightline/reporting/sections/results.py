"""The results: accuracy with its interval, class by class, and what was taken for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from sightline.reporting.blocks import Block, Cell, Figures, Paragraph, Picture, Pictures, Points, Section, Slide, Table
from sightline.reporting.facts import Run
from sightline.reporting.numerals import confidence, optional, p_value, percent, signed, whole
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections.shortening import first_of, first_rows, without_pictures
from sightline.reporting.sections.verdicts import verdict_cells
from sightline.reporting.subjects import Comparison
from sightline.reporting.words import Words
from sightline.runs.records import TestReport

MOST_CONFUSED = 5
MOST_CLASS_ROWS = 30
MOST_MATRICES = 6
SLIDE_ROWS = 10
SLIDE_VERDICTS = 4
SLIDE_PLOT_ROWS = 10


def of_run(run: Run, drawn: Drawn, words: Words) -> Section:
    """Tell what a run's test came to."""
    metrics, title = run.metrics, words("results")
    if metrics is None:
        untested = words("run_untested" if run.is_finished else "run_unfinished")
        return Section("results", title, [Paragraph.of(untested)], [Slide(title, [untested])])
    figures = [
        (words("accuracy"), run.metric("accuracy", percent(metrics.accuracy))),
        (words("interval", confidence="95%"), run.metric("interval", _between(metrics.interval, percent, words))),
        (words("balanced_accuracy"), run.metric("balanced_accuracy", percent(metrics.balanced_accuracy))),
        (words("macro_f1"), run.metric("macro_f1", percent(metrics.macro_f1))),
        (words("loss"), run.metric("loss", f"{metrics.loss:.4f}")),
    ]
    if metrics.top_k < len(run.classes):
        name = words("top_k", k=metrics.top_k)
        figures.append((name, run.metric("top_k_accuracy", percent(metrics.top_k_accuracy))))
    table, confused = _classes(run, metrics, words), _confused(run, metrics, words)
    confusion = drawn.confusion(run, words("confusion_run"))
    blocks: list[Block] = [Figures(figures), table]
    if missing := metrics.missing_classes:
        named = words("comma").join(missing)
        blocks.append(Paragraph(run.metric("missing_classes", words("missing_classes", classes=named))))
    if len(metrics.per_class) > MOST_CLASS_ROWS:
        blocks.append(Paragraph.of(words("worst_classes", count=MOST_CLASS_ROWS)))
    blocks += [*([confusion] if confusion is not None else []), Paragraph(confused)]
    told = [words.labelled(name, cell.text) for name, cell in figures[:2]]
    short, note = first_rows(table, SLIDE_ROWS, words)
    return Section("results", title, blocks, [
        Slide(title, [*told, confused.text], picture=confusion),
        Slide(words("results_by_class"), note, table=short),
    ])  # fmt: skip


def _classes(run: Run, metrics: TestReport, words: Words) -> Table:
    """Every class in its order, or where there are many the worst by F1."""
    every = list(enumerate(metrics.per_class))
    if len(every) > MOST_CLASS_ROWS:
        every = sorted(every, key=lambda item: (not item[1].support, item[1].f1))[:MOST_CLASS_ROWS]
    rows = [
        [
            Cell(scores.name),
            *(
                run.metric(f"per_class.{place}.{name}", percent(value) if scores.support else "-")
                for name, value in (("precision", scores.precision), ("recall", scores.recall), ("f1", scores.f1))
            ),
            run.metric(f"per_class.{place}.support", whole(scores.support)),
        ]
        for place, scores in every
    ]
    return Table([words(key) for key in ("class", "precision_of", "recall", "f1", "images")], rows)


def _confused(run: Run, metrics: TestReport, words: Words) -> Cell:
    matrix = np.array(metrics.confusion_matrix, np.int64)
    np.fill_diagonal(matrix, 0)
    worst = np.argsort(-matrix, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = [divmod(int(place), len(matrix)) for place in worst if matrix.flat[place] > 0]
    if not pairs:
        return run.metric("confusion_matrix", words("no_mistakes"))
    told = [
        words("confused_pair", label=run.classes[row], answer=run.classes[column], count=int(matrix[row, column]))
        for row, column in pairs
    ]
    return run.metric("confusion_matrix", words("confused", pairs=words("comma").join(told)))


def of_comparison(comparison: Comparison, drawn: Drawn, words: Words) -> Section:
    """Tell what a comparison came to: the sides, the pairs, and what stands behind the verdicts."""
    said = verdict_cells(comparison, words)
    sides, pairs = sides_table(comparison, range(len(comparison.sides)), words), _pairs(comparison, words)
    picture = drawn.accuracies(comparison)
    blocks: list[Block] = [
        sides,
        picture,
        Points(said),
        pairs,
        Points(_details(comparison, words)),
    ]
    matrices: list[Picture] = []
    for name, run in comparison.named[:MOST_MATRICES]:
        found = drawn.confusion(run, words("confusion", side=name, seed=run.settings.training.seed))
        if found is not None:
            matrices.append(found)
    blocks.append(Pictures(matrices))
    blocks += without_pictures([name for name, _ in comparison.named[MOST_MATRICES:]], words)
    short, note = first_rows(pairs, SLIDE_ROWS, words)
    verdicts = first_of([cell.text for cell in said], SLIDE_VERDICTS, words)
    # With many pairs the plot would be too small to read; the next slide has the differences in numbers.
    all_readable = len(comparison.sides) + len(comparison.pairs) <= SLIDE_PLOT_ROWS
    plot = picture if all_readable else drawn.accuracies(comparison, with_differences=False)
    slides = [
        Slide(words("results"), [], picture=plot),
        Slide(words("verdicts"), [*verdicts, *note], table=short),
    ]
    return Section("results", words("results"), blocks, slides)


def sides_table(comparison: Comparison, places: Iterable[int], words: Words) -> Table:
    """Set what the sides at `places` came to below each other."""
    cell = comparison.cell
    rows = [
        [
            Cell(side.name),
            cell(percent(side.mean), f"sides.{place}.mean"),
            cell(optional(side.sd, percent), f"sides.{place}.sd"),
            cell(optional(side.interval, lambda ends: _between(ends, percent, words)), f"sides.{place}.interval"),
            cell(str(side.n), f"sides.{place}.n"),
        ]
        for place in places
        for side in [comparison.sides[place]]
    ]
    interval = words("interval", confidence=confidence(comparison.results.confidence))
    return Table.without_gaps([words("side"), words("mean"), words("sd"), interval, words("seeds_count")], rows)


def _pairs(comparison: Comparison, words: Words) -> Table:
    cell = comparison.cell
    rows = [
        [
            Cell(f"{pair.a} − {pair.b}"),
            cell(signed(pair.difference), f"pairs.{place}.difference"),
            cell(optional(pair.interval, lambda ends: _between(ends, signed, words)), f"pairs.{place}.interval"),
            cell(confidence(pair.confidence) if pair.interval else "", f"pairs.{place}.confidence"),
            cell(optional(pair.p_value, p_value), f"pairs.{place}.p_value"),
            cell(optional(pair.adjusted_p_value, p_value), f"pairs.{place}.adjusted_p_value"),
        ]
        for place, pair in enumerate(comparison.pairs)
    ]
    keys = ("pair", "difference", "interval_alone", "confidence", "p_value", "adjusted")
    return Table.without_gaps([words(key) for key in keys], rows)


def _details(comparison: Comparison, words: Words) -> list[Cell]:
    found: list[Cell] = []
    for place, pair in enumerate(comparison.pairs):
        about = f"{pair.a} − {pair.b}"
        low, high = signed(pair.bootstrap.low), signed(pair.bootstrap.high)
        text = words.labelled(about, words("bootstrap", low=low, high=high))
        found.append(comparison.cell(text, f"pairs.{place}.bootstrap.low, pairs.{place}.bootstrap.high"))
        if pair.mcnemar:
            values = words("comma").join(p_value(row.p_value) for row in pair.mcnemar)
            text = words.labelled(about, words("mcnemar", values=values))
            found.append(comparison.cell(text, f"pairs.{place}.mcnemar"))
    return found


def _between(ends: Sequence[float], write: Callable[[float], str], words: Words) -> str:
    return words("between", low=write(ends[0]), high=write(ends[1]))
