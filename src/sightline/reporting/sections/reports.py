"""The order of a report's parts, for a run, a comparison, a cross-validation and a study."""

from __future__ import annotations

from sightline.installation import version
from sightline.reporting.blocks import Report, Section
from sightline.reporting.facts import Run
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections import (
    calibration,
    conclusions,
    cost,
    folds,
    forecast,
    images,
    mistakes,
    networks,
    question,
    repeating,
    results,
    search,
    training,
)
from sightline.reporting.subjects import Comparison, Folds, Study, Subject
from sightline.reporting.words import LANGUAGES, Words


def report_of(subject: Subject, drawn: Drawn, words: Words) -> Report:
    """Say what a run, a comparison, a cross-validation or a study comes to."""
    folder = subject.folder.path.resolve()
    match subject:
        case Run():
            title = words("run_title", model=subject.model, data=subject.data)
            sections = _run(subject, drawn, words)
        case Comparison():
            sides = words("comma").join(side.name for side in subject.sides)
            title = words("comparison_title", sides=sides, data=subject.named[0][1].data)
            sections = [question.of_comparison(subject, words), *_comparison(subject, drawn, words)]
            sections += [conclusions.of_comparison(subject, words), repeating.of_comparison(subject, words)]
        case Folds():
            count, model, data = len(subject.results.folds), subject.results.model, subject.results.data
            title = words("folds_title", count=count, model=model, data=data)
            sections = _folds(subject, drawn, words)
        case Study():
            title = words("study_title", model=subject.results.model, data=subject.results.data)
            sections = _study(subject, drawn, words)
    made_by = words("made_by", version=version(), name=folder.name)
    return Report(title, folder.name, LANGUAGES[words.language], sections, made_by)


def _run(run: Run, drawn: Drawn, words: Words) -> list[Section]:
    return [
        question.of_run(run, words),
        images.section(run, drawn, words),
        networks.section([("", run)], drawn, words),
        training.of_run(run, drawn, words),
        results.of_run(run, drawn, words),
        *mistakes.section(run, drawn, words),
        *calibration.section([("", run)], drawn, words),
        *forecast.section(run, drawn, words),
        cost.of_run(run, words),
        conclusions.of_run(run, words),
        repeating.of_run(run, words),
    ]


def _folds(subject: Folds, drawn: Drawn, words: Words) -> list[Section]:
    return [
        question.of_folds(subject, words),
        folds.section(subject, drawn, words),
        networks.section([("", subject.first)], drawn, words),
        results.of_run(subject.answers, drawn, words),
        *mistakes.section(subject.answers, drawn, words),
        *folds.doubtful(subject, words),
        *calibration.section([("", subject.answers)], drawn, words),
        conclusions.of_folds(subject, words),
        repeating.of_folds(subject, words),
    ]


def _comparison(comparison: Comparison, drawn: Drawn, words: Words) -> list[Section]:
    named, sides = comparison.named, comparison.sides
    leader = max(range(len(sides)), key=lambda place: sides[place].mean)
    return [
        images.section(named[0][1], drawn, words),
        networks.section(named, drawn, words),
        training.of_comparison(comparison, drawn, words),
        results.of_comparison(comparison, drawn, words),
        *mistakes.section(named[leader][1], drawn, words, side=named[leader][0]),
        *calibration.section(named, drawn, words),
        cost.of_comparison(comparison, words),
    ]


def _study(study: Study, drawn: Drawn, words: Words) -> list[Section]:
    sections = [question.of_study(study, words), search.section(study, drawn, words)]
    if study.has_comparison:
        sections += _comparison(study.comparison, drawn, words)
        return [*sections, conclusions.of_comparison(study.comparison, words, searched=True),
                repeating.of_study(study, words)]  # fmt: skip
    if study.best is not None:
        sections += [
            images.section(study.best, drawn, words),
            networks.section([("", study.best)], drawn, words),
            training.of_run(study.best, drawn, words, trial=study.results.best_trial),
        ]
    return [*sections, conclusions.of_study(study, words), repeating.of_study(study, words)]
