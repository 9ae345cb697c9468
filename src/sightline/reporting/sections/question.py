"""What was asked, and the answer in short."""

from __future__ import annotations

from sightline.reporting.blocks import Block, Cell, Figures, Paragraph, Points, Section, Slide
from sightline.reporting.facts import Run
from sightline.reporting.numerals import percent, whole
from sightline.reporting.sections.shortening import first_of
from sightline.reporting.sections.verdicts import verdict_cells
from sightline.reporting.subjects import Comparison, Folds, Study
from sightline.reporting.words import Words
from sightline.runs.folder import SPLITS

MOST_VERDICTS, MOST_SIDES = 4, 6


def of_run(run: Run, words: Words) -> Section:
    """How well does it tell the classes apart?"""
    classes = len(run.classes)
    asked = words("run_question", model=run.model, data=run.data, classes=classes)
    blocks: list[Block] = [Paragraph(run.cell(asked, SPLITS, "len(classes)"))]
    metrics = run.metrics
    if metrics is None:
        answer = Cell(words("run_untested" if run.is_finished else "run_unfinished"))
    else:
        low, high = map(percent, metrics.interval)
        accuracy, images = percent(metrics.accuracy), whole(metrics.n)
        said = words("run_answer", accuracy=accuracy, n=images, low=low, high=high)
        answer = run.metric("accuracy, n, interval", said)
        figures = [
            (words("accuracy"), run.metric("accuracy", accuracy)),
            (words("interval", confidence="95%"), run.metric("interval", words("between", low=low, high=high))),
            (words("test_images"), run.metric("n", images)),
        ]
        blocks.append(Figures(figures))
    blocks.append(Paragraph(answer))
    return _section(words, blocks, [asked, answer.text])


def of_folds(folds: Folds, words: Words) -> Section:
    """How well do models tell the classes apart, on pictures that each has never seen?"""
    results = folds.results
    asked = words("run_question", model=results.model, data=results.data, classes=len(results.classes))
    low, high = map(percent, results.interval)
    accuracy, images = percent(results.accuracy), whole(results.images)
    said, keys = words("folds_answer", accuracy=accuracy, n=images, low=low, high=high), "accuracy, images, interval"
    figures = [
        (words("accuracy"), folds.cell(accuracy, "accuracy")),
        (words("interval", confidence="95%"), folds.cell(words("between", low=low, high=high), "interval")),
        (words("images"), folds.cell(images, "images")),
    ]
    blocks: list[Block] = [Paragraph(folds.cell(asked, "len(classes)")), Figures(figures)]
    blocks.append(Paragraph(folds.cell(said, keys)))
    return _section(words, blocks, [asked, said])


def of_comparison(comparison: Comparison, words: Words) -> Section:
    """Which side is more accurate?"""
    sides = comparison.sides
    key = "comparison_question" if len({side.length for side in sides}) == 1 else "comparison_question_own"
    asked = words(key, count=len(sides), data=comparison.named[0][1].data)
    figures = [
        (side.name, comparison.cell(percent(side.mean), f"sides.{place}.mean")) for place, side in enumerate(sides)
    ]
    said = verdict_cells(comparison, words)
    note = words("figures_are_means", seeds=words("comma").join(dict.fromkeys(str(side.n) for side in sides)))
    blocks: list[Block] = [
        Paragraph(comparison.cell(asked, "len(sides)")),
        Figures(figures),
        Paragraph(comparison.cell(note, ", ".join(f"sides.{place}.n" for place in range(len(sides))))),
        Points(said),
    ]
    means = first_of([words.labelled(name, cell.text) for name, cell in figures], MOST_SIDES, words)
    verdicts = first_of([cell.text for cell in said], MOST_VERDICTS, words)
    return _section(words, blocks, [asked, *means, note, *verdicts])


def of_study(study: Study, words: Words) -> Section:
    """Is there anything better than where the search began?"""
    results = study.results
    asked = words("study_question", model=results.model, data=results.data)
    if not results.changes:
        said = [study.cell(words("search_nothing"), "changes")]
    elif not study.has_comparison:
        said = [study.cell(words("no_comparison"), "final")]
    else:
        said = verdict_cells(study.comparison, words)
    return _section(words, [Paragraph.of(asked), Points(said)], [asked, *(cell.text for cell in said)])


def _section(words: Words, blocks: list[Block], told: list[str]) -> Section:
    return Section("question", words("question"), blocks, [Slide(words("question"), told)])
