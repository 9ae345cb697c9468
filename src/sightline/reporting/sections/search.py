"""A search: how it went, and what it found."""

from __future__ import annotations

from dataclasses import replace

from sightline.reporting.blocks import Block, Cell, Paragraph, Points, Section, Slide, Table
from sightline.reporting.numerals import percent, seconds
from sightline.reporting.pictures import Drawn
from sightline.reporting.subjects import Study
from sightline.reporting.words import Words
from sightline.settings.text import text

MOST_TRIALS = 10
SLIDE_TRIALS = 8


def section(study: Study, drawn: Drawn, words: Words) -> Section:
    """Show the search."""
    results, cell = study.results, study.cell
    pictures, title = drawn.search(study), words("search")
    line = words("search_line", complete=results.complete, pruned=results.pruned, failed=results.failed,
                 seconds=seconds(results.seconds))  # fmt: skip
    best = words("search_best", trial=results.best_trial, validation=percent(results.validation))
    told = [cell(line, "complete, pruned, failed, seconds"), cell(best, "best_trial, validation")]
    if results.validation_before is not None:
        told.append(cell(words("search_before", validation=percent(results.validation_before)), "validation_before"))
    blocks: list[Block] = [Points(told)]
    slides = [Slide(title, [said.text for said in told], pictures.get("history"))]
    if "history" in pictures:
        blocks.append(pictures["history"])
    if results.changes:
        found = _found(study, words)
        blocks.append(found)
        slides.append(Slide(words("found_title"), table=found))
    else:
        blocks.append(Paragraph(cell(words("search_nothing"), "changes")))
    trials = _trials(study, words)
    blocks.append(trials)
    slides.append(Slide(words("trials"), table=replace(trials, rows=trials.rows[:SLIDE_TRIALS])))
    for name, key in (("slices", "setting"), ("importance", "importance")):
        if name in pictures:
            blocks.append(pictures[name])
            slides.append(Slide(words.labelled(title, words(key)), picture=pictures[name]))
    return Section("search", title, blocks, slides)


def _found(study: Study, words: Words) -> Table:
    """What the winner changed."""
    results = study.results
    rows = [
        [
            Cell(words.named(name)),
            study.cell(_value(results.before.get(name), words), f"before.{name}"),
            study.cell(_value(value, words), f"changes.{name}"),
            study.cell(percent(results.importance[name]), f"importance.{name}")
            if name in results.importance
            else Cell(""),
        ]
        for name, value in results.changes.items()
    ]
    return Table([words(key) for key in ("setting", "before", "found", "importance")], rows)


def _value(value: object, words: Words) -> str:
    return words.named(text(value)) if isinstance(value, str) else text(value)


def _trials(study: Study, words: Words) -> Table:
    """The best trials, the best first."""
    judged = [
        (place, trial.value, trial)
        for place, trial in enumerate(study.results.all_trials)
        if trial.value is not None and trial.state == "complete"
    ]
    rows = [
        [
            study.cell(str(trial.number), f"all_trials.{place}.number"),
            study.cell(percent(value), f"all_trials.{place}.value"),
            study.cell(words("comma").join(words.setting(name, text(value)) for name, value in trial.params.items()),
                       f"all_trials.{place}.params"),
        ]
        for place, value, trial in sorted(judged, key=lambda item: -item[1])[:MOST_TRIALS]
    ]  # fmt: skip
    return Table([words(key) for key in ("trial", "val_accuracy", "settings")], rows)
