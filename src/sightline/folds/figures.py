"""From the folds' finished runs to the results of a cross-validation: every number comes from their stored answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.data import ImageSet
from sightline.errors import DataError
from sightline.evaluation import metrics
from sightline.evaluation.predictions import Predictions, report_of, store_test, worst_mistakes
from sightline.files import sums
from sightline.folds.folder import FoldsFolder, FoldsPlan
from sightline.folds.records import AnswerRecord, FoldRecord, FoldsRecord, IntervalKind
from sightline.runs import tables
from sightline.runs.folder import RunFolder
from sightline.runs.records import TestReport
from sightline.runs.selection import selected_row
from sightline.settings import data_name
from sightline.stats import group_interval, mean_and_deviation

MISTAKES_NAMED = 24


@dataclass(frozen=True)
class Answers:
    """The answers for all pictures, in the order of the pool, and each fold's own, by its number."""

    predictions: Predictions
    by_fold: Mapping[int, Predictions]


def gather(runs: Mapping[int, RunFolder], pool: ImageSet) -> Answers:
    """Put the folds' stored answers into the order of `pool`, the pictures that were parted.

    Raises DataError where they are not the answers for just these pictures, each answered once.
    """
    by_fold = {fold: Predictions.load(run.test_folder.predictions_path) for fold, run in runs.items()}
    places = {name: place for place, name in enumerate(pool.ids)}
    probabilities = np.full((len(pool), len(pool.class_names)), np.nan, np.float32)
    folds = np.zeros(len(pool), np.int64)
    for fold, found in by_fold.items():
        known = found.class_names == tuple(pool.class_names) and all(name in places for name in found.ids)
        rows = np.array([places[name] for name in found.ids], np.int64) if known else np.zeros(0, np.int64)
        if not known or folds[rows].any() or not np.array_equal(pool.labels[rows], found.labels):
            _refuse(runs[fold])
        probabilities[rows], folds[rows] = found.probabilities, fold
    if not folds.all():
        _refuse(next(iter(runs.values())))
    predictions = Predictions(tuple(pool.ids), pool.labels.astype(np.int64), probabilities, pool.class_names, folds)
    return Answers(predictions, by_fold)


def _refuse(run: RunFolder) -> None:
    found = "its answers are not for the pictures that the data have now"
    raise DataError(str(run.path), found, advice="Restore the data, or start a new cross-validation.")


def conclude(folder: FoldsFolder, plan: FoldsPlan, runs: Mapping[int, RunFolder], pool: ImageSet) -> FoldsRecord:
    """Compute what all answers come to, and write it: the test's files, the table of answers, the results.

    Raises DataError where the runs do not answer for the pictures of `pool`.
    """
    answers = gather(runs, pool)
    predictions, groups = answers.predictions, pool.groups
    report = report_of(predictions)
    kind: IntervalKind = "Wilson"
    if groups is not None:
        kind = "bootstrap over groups"
        report = replace(report, interval=group_interval(predictions.predicted() == predictions.labels, groups))
    each = tuple(_fold(folder, fold, runs[fold], found) for fold, found in answers.by_fold.items())
    mean, sd = mean_and_deviation([fold.accuracy for fold in each])
    assert sd is not None, "there are two folds or more"
    worst = report.worst_class
    first = next(iter(runs.values()))
    results = FoldsRecord(
        data=data_name(plan.settings.data),
        model=first.network_name(first.settings()),
        seed=plan.settings.training.seed,
        images=len(pool),
        groups=None if groups is None else len(np.unique(groups)),
        accuracy=report.accuracy,
        interval=report.interval,
        interval_kind=kind,
        mean=mean,
        sd=sd,
        balanced_accuracy=report.balanced_accuracy,
        worst_class=worst.name,
        worst_class_recall=worst.recall,
        classes=tuple(pool.class_names),
        confusion_matrix=tuple(tuple(row) for row in report.confusion_matrix),
        folds=each,
        mistakes=int((predictions.predicted() != predictions.labels).sum()),
        surest_mistakes=tuple(_told(predictions, worst_mistakes(predictions, MISTAKES_NAMED))),
    )
    _write(folder, predictions, report, pool)
    folder.write_results(results)
    return results


def _fold(folder: FoldsFolder, fold: int, run: RunFolder, answers: Predictions) -> FoldRecord:
    matrix = metrics.confusion_matrix(answers.labels, answers.probabilities)
    rows = run.results()
    selected = selected_row(rows, run.settings().training.select)
    return FoldRecord(
        fold=fold,
        images=len(answers),
        accuracy=metrics.accuracy(answers.labels, answers.probabilities),
        balanced_accuracy=metrics.balanced_accuracy(matrix),
        val_accuracy=None if selected is None else selected["val_accuracy"],
        epochs=int(rows[-1]["epoch"]) if rows else 0,
        train_seconds=sum(row.get("seconds", 0.0) for row in rows),
        run=run.path.relative_to(folder.path).as_posix(),
    )


def _write(folder: FoldsFolder, predictions: Predictions, report: TestReport, pool: ImageSet) -> None:
    """Write all answers: as a run's test, and as a table whose first rows have the most doubtful labels."""
    store_test(predictions, folder.test_folder, report, pool)
    own = predictions.probabilities[np.arange(len(pool)), predictions.labels]
    # By self-confidence, the probability of the label out of fold (Northcutt et al., arXiv 1911.00068).
    order = np.argsort(own, kind="stable").tolist()
    with sums.rewriting_file(folder.answers_path):
        tables.write(folder.answers_path, [vars(answer) for answer in _told(predictions, order)])


def _told(predictions: Predictions, rows: Sequence[int]) -> list[AnswerRecord]:
    """Tell of the answers at `rows`, in their order."""
    names, predicted, folds = predictions.class_names, predictions.predicted(), predictions.folds
    assert folds is not None, "these are the answers of folds"
    return [
        AnswerRecord(
            picture=predictions.ids[row],
            label=names[predictions.labels[row]],
            answer=names[predicted[row]],
            confidence=float(predictions.probabilities[row, predicted[row]]),
            label_probability=float(predictions.probabilities[row, predictions.labels[row]]),
            fold=int(folds[row]),
        )
        for row in rows
    ]
