"""What can be concluded, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.reporting.blocks import Block, Cell, Paragraph, Points, Section, Slide
from sightline.reporting.facts import Run
from sightline.reporting.numerals import percent, whole
from sightline.reporting.sections.images import knows_test_images
from sightline.reporting.sections.shortening import first_of
from sightline.reporting.sections.verdicts import verdict_cells
from sightline.reporting.subjects import Comparison, Folds, Study
from sightline.reporting.words import Words
from sightline.runs.folder import AUDIT, SETTINGS

ON_SLIDE = 4


def of_run(run: Run, words: Words) -> Section:
    """One run on one test set."""
    metrics = run.metrics
    can: list[Cell] = []
    cannot: list[Cell] = []
    if metrics is None:
        cannot.append(Cell(words("cannot_untested")))
    else:
        low, high = map(percent, metrics.interval)
        watched = run.settings.training.watch_test
        said = words(
            "can_run_watched" if watched else "can_run",
            n=whole(metrics.n), accuracy=percent(metrics.accuracy), low=low, high=high,
        )  # fmt: skip
        can.append(run.metric("accuracy, n, interval", said))
        if watched:
            cannot.append(run.cell(words("cannot_watched"), SETTINGS, "training.watch_test"))
        if knows_test_images(run):
            cannot.append(run.cell(words("cannot_duplicates"), AUDIT, "duplicates.across"))
    cannot += [Cell(words("cannot_one_seed")), Cell(words("cannot_source"))]
    return _section(can, cannot, words)


def of_folds(folds: Folds, words: Words) -> Section:
    """Several models on parts of one dataset."""
    results = folds.results
    low, high = map(percent, results.interval)
    figures = {"n": whole(results.images), "accuracy": percent(results.accuracy), "low": low, "high": high}
    if results.groups is None:
        said, keys = words("can_folds", **figures), "accuracy, images, interval"
    else:
        said = words("can_folds_groups", groups=whole(results.groups), **figures)
        keys = "accuracy, images, interval, groups"
    cannot = [Cell(words("cannot_folds_spread")), Cell(words("cannot_folds_final"))]
    if folds.plan.settings.data.group is None and results.groups is None:
        cannot.append(Cell(words("cannot_folds_groups")))
    if knows_test_images(folds.first):
        cannot.append(folds.first.cell(words("cannot_duplicates"), AUDIT, "duplicates.across"))
    return _section([folds.cell(said, keys)], [*cannot, Cell(words("cannot_source"))], words)


def of_comparison(comparison: Comparison, words: Words, *, searched: bool = False) -> Section:
    """Several seeds of several sides; `searched` where one of them is what a search found."""
    looks = comparison.results.looks
    cannot: list[Cell] = [Cell(words("cannot_search"))] if searched else []
    if any(pair.outcome != "better" for pair in comparison.pairs):
        cannot.append(Cell(words("cannot_equal")))
    if len(looks) > 1:
        text = words("cannot_looks", looks=words("comma").join(map(str, looks)))
        cannot.append(comparison.cell(text, "looks"))
    first = comparison.named[0][1]
    if knows_test_images(first):
        cannot.append(first.cell(words("cannot_duplicates"), AUDIT, "duplicates.across"))
    cannot += [Cell(words("cannot_other_settings")), Cell(words("cannot_source"))]
    return _section(verdict_cells(comparison, words), cannot, words)


def of_study(study: Study, words: Words) -> Section:
    """A search that ended without a comparison."""
    results = study.results
    text = words("can_search", trial=results.best_trial, validation=percent(results.validation))
    can = [study.cell(text, "best_trial, validation")]
    return _section(can, [Cell(words("cannot_search")), Cell(words("cannot_source"))], words)


def _section(can: Sequence[Cell], cannot: Sequence[Cell], words: Words) -> Section:
    blocks: list[Block] = [Paragraph.of(words("can")), Points(can)] if can else []
    blocks += [Paragraph.of(words("cannot")), Points(cannot)]
    told = [words("can"), *_on_slide(can, words)] if can else []
    told += [words("cannot"), *_on_slide(cannot, words)]
    return Section("conclusions", words("conclusions"), blocks, [Slide(words("conclusions"), told)])


def _on_slide(cells: Sequence[Cell], words: Words) -> list[str]:
    return [f"• {sentence}" for sentence in first_of([cell.text for cell in cells], ON_SLIDE, words)]
