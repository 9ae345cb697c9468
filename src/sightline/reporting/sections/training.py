"""The training: settings that matter, and the curves."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.reporting.blocks import Block, Cell, Paragraph, Section, Slide, Table
from sightline.reporting.facts import Run
from sightline.reporting.numerals import percent
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections.shortening import first_of
from sightline.reporting.subjects import Comparison
from sightline.reporting.words import Words
from sightline.runs.folder import ENVIRONMENT, RESULTS, SETTINGS
from sightline.settings import Settings
from sightline.settings.text import text

SETTINGS_ON_SLIDE = 5


def of_run(run: Run, drawn: Drawn, words: Words, trial: int | None = None) -> Section:
    """Show how a run trained; `trial` is its number where it is one of a study."""
    settings = _settings(run, words)
    told = [words.labelled(name, cell.text) for name, cell in settings[:SETTINGS_ON_SLIDE]]
    table = Table([words("setting"), words("value")], [[Cell(name), cell] for name, cell in settings])
    blocks: list[Block] = [] if trial is None else [Paragraph.of(words("of_trial", trial=trial))]
    blocks.append(table)
    curves = drawn.curves(run)
    chosen = run.selected()
    if curves is None:
        line = Cell(words("no_epoch"))
    elif chosen is None:
        line = Cell(words("last_epoch"))
    else:
        by = run.settings.training.select
        figure = percent(float(chosen[f"val_{by}"]))
        said = words("selected_epoch", epoch=chosen["epoch"], by=words(by), figure=figure)
        line = run.cell(said, RESULTS, f"epoch, val_{by}")
    blocks += [Paragraph(line)] if curves is None else [curves, Paragraph(line)]
    return Section("training", words("training"), blocks, [Slide(words("training"), [*told, line.text], curves)])


def of_comparison(comparison: Comparison, drawn: Drawn, words: Words) -> Section:
    """Show each side's settings beside the others', and its curves with bands over the seeds."""
    columns = [_settings(run, words)[:-1] for _, run in comparison.named]
    head = [words("setting"), *(name for name, _ in comparison.named)]
    rows = [[Cell(column[0]), *cells] for column, *cells in _across(columns)]
    seeds = [
        comparison.cell(_listed(side.seeds, words), f"sides.{place}.seeds")
        for place, side in enumerate(comparison.sides)
    ]
    rows.append([Cell(words("seeds")), *seeds])
    curves = drawn.bands(comparison)
    blocks: list[Block] = [Table(head, rows)]
    blocks.append(Paragraph.of(words("no_epoch")) if curves is None else curves)
    differ = [row for row in rows if len({cell.text for cell in row[1:]}) > 1]
    told = [words.labelled(row[0].text, " | ".join(cell.text for cell in row[1:])) for row in differ]
    told = first_of(told, SETTINGS_ON_SLIDE, words) or [words("same_settings")]
    return Section("training", words("training"), blocks, [Slide(words("training"), told, curves)])


def _across(columns: list[list[tuple[str, Cell]]]) -> list[tuple[tuple[str, Cell], *tuple[Cell, ...]]]:
    return [(column[0], *(cell for _, cell in column)) for column in zip(*columns, strict=True)]


def _listed(seeds: Sequence[int], words: Words) -> str:
    return words("comma").join(map(str, seeds))


def _settings(run: Run, words: Words) -> list[tuple[str, Cell]]:
    settings, file = run.settings, SETTINGS
    training = settings.training
    precision = run.environment.precision or ""
    return [
        (words("optimizer"), run.cell(words.named(settings.optimizer.optimizer), file, "optimizer.optimizer")),
        (words("lr"), run.cell(f"{settings.optimizer.lr:g}", file, "optimizer.lr")),
        (words("schedule"), run.cell(words.named(settings.schedule.schedule), file, "schedule.schedule")),
        (words("batch_size"), run.cell(str(training.batch_size), file, "training.batch_size")),
        (words("length"), length_cell(run, words)),
        (words("augmentation"), run.cell(_augmentation(settings, words) or words("none"), file, "augment")),
        (words("precision"), run.cell(precision, ENVIRONMENT, "precision")),
        (words("seed"), run.cell(str(training.seed), file, "training.seed")),
    ]


def length_cell(run: Run, words: Words) -> Cell:
    """Say for how long a run trains."""
    training = run.settings.training
    unit, count = ("epochs", training.epochs) if training.steps is None else ("steps", training.steps)
    assert count is not None
    return run.cell(words.counted(unit, count), SETTINGS, f"training.{unit}")


def _augmentation(settings: Settings, words: Words) -> str:
    augment = settings.augment
    usual = type(augment)()
    told = [
        words.setting(name, text(value)) for name, value in augment if value != getattr(usual, name) and name != "fill"
    ]
    return words("comma").join(told)
