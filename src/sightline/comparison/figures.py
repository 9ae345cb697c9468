"""From finished runs to the results of a comparison: every number comes from a run's files, or is measured here."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.classifier import Classifier, load
from sightline.classifier.torch_backend import TorchBackend
from sightline.comparison.folder import ComparisonFolder, ComparisonPlan
from sightline.comparison.records import ComparisonRecord, McNemarRecord, PairRecord, SideRecord
from sightline.comparison.sides import length
from sightline.errors import DataError, FileError
from sightline.evaluation.predictions import Predictions
from sightline.models import summarize
from sightline.runs.folder import PREDICTIONS, RESULTS, RunFolder
from sightline.runs.records import SplitPart, Splits
from sightline.settings import Settings
from sightline.stats import ImageDetail, PairSummary, SideSummary, compare_images, compare_sides
from sightline.training.batches import BatchOrder

LATENCY_CALLS, LATENCY_WARM_UP = 30, 5


@dataclass(frozen=True)
class SideRuns:
    """The finished runs of a side, by seed."""

    name: str
    settings: Settings
    runs: Mapping[int, RunFolder]


@dataclass(frozen=True)
class _Cost:
    """What a side's network costs, as its record has it; None for a module of the user's own."""

    parameters: int | None = None
    macs: int | None = None
    latency_ms: float | None = None


def results_of(sides: Sequence[SideRuns], folder: ComparisonFolder, plan: ComparisonPlan) -> ComparisonRecord:
    """Read the runs, compare them, and measure what an answer costs.

    Raises DataError where the runs were tested on different images, FileError where a run's files are missing.
    """
    answers = {side.name: {seed: _predictions(run) for seed, run in side.runs.items()} for side in sides}
    _check_same_images(sides, answers)
    correct = {
        name: {seed: predictions.predicted() == predictions.labels for seed, predictions in seeds.items()}
        for name, seeds in answers.items()
    }
    # From the stored answers, not from metrics.json: the detail comes from these too.
    accuracies = {name: {seed: float(row.mean()) for seed, row in seeds.items()} for name, seeds in correct.items()}
    compared = compare_sides(accuracies, plan.confidence)
    costs = _costs(sides)
    return ComparisonRecord(
        test_images=len(next(iter(next(iter(answers.values())).values()))),
        confidence=plan.confidence,
        looks=plan.looks,
        seconds=plan.seconds,
        sides=tuple(
            _side(summary, side, cost, folder) for summary, side, cost in zip(compared.sides, sides, costs, strict=True)
        ),
        pairs=tuple(
            _pair(pair, compare_images(correct[pair.a], correct[pair.b], plan.confidence)) for pair in compared.pairs
        ),
    )


def _predictions(run: RunFolder) -> Predictions:
    run.test_folder.check(PREDICTIONS, advice=f"Run sightline test {run.path}")
    try:
        return Predictions.load(run.test_folder.predictions_path)
    except FileError as error:
        advice = f"Finish it with sightline train --resume {run.path}, or run sightline test {run.path}"
        raise FileError(str(run.path), "it has no test results", error.expected, advice) from error


def _check_same_images(sides: Sequence[SideRuns], answers: Mapping[str, Mapping[int, Predictions]]) -> None:
    """Raise DataError unless all runs answered for the same images, of the same pixels where they are of one size."""
    runs = [(run, answers[side.name][seed]) for side in sides for seed, run in side.runs.items()]
    (first, known), *others = runs
    described = _test_part(first)
    for run, predictions in others:
        part = _test_part(run)
        same = known.ids == predictions.ids and np.array_equal(known.labels, predictions.labels)
        if same and part is not None and described is not None and part.size == described.size:
            same = part.content_sha256 == described.content_sha256
        if not same or known.class_names != predictions.class_names:
            raise DataError(
                str(run.path),
                f"it was tested on {len(predictions):,} other images than {first.path}",
                "the same test images",
                "Train them on the same data with the same split_seed.",
            )


def _test_part(run: RunFolder) -> SplitPart | None:
    return run.read(Splits).parts.get("test")


def _side(summary: SideSummary, side: SideRuns, cost: _Cost, folder: ComparisonFolder) -> SideRecord:
    epoch_seconds, train_seconds = _times(side)
    return SideRecord(
        name=summary.name,
        mean=summary.mean,
        sd=summary.deviation,
        n=summary.n,
        interval=summary.interval,
        seeds=summary.seeds,
        accuracies=summary.accuracies,
        length=length(side.settings),
        seconds_per_epoch=epoch_seconds,
        train_seconds=train_seconds,
        parameters=cost.parameters,
        macs=cost.macs,
        latency_ms=cost.latency_ms,
        runs={seed: folder.relative(run.path) for seed, run in sorted(side.runs.items())},
    )


def _pair(pair: PairSummary, detail: ImageDetail) -> PairRecord:
    verdict = pair.verdict
    return PairRecord(
        a=pair.a,
        b=pair.b,
        difference=pair.difference,
        interval=pair.interval,
        p_value=pair.p_value,
        adjusted_p_value=pair.adjusted_p_value,
        verdict=verdict.sentence,
        outcome=verdict.outcome,
        better=verdict.better,
        worse=verdict.worse,
        gain=verdict.gain,
        reason=verdict.reason,
        seeds_needed=verdict.seeds_needed,
        test=pair.test,
        seeds=pair.seeds,
        counts=pair.counts,
        sd=pair.deviation,
        statistic=pair.statistic,
        degrees=pair.degrees,
        confidence=pair.confidence,
        mcnemar=tuple(
            McNemarRecord(seed=seed, n10=test.n10, n01=test.n01, p_value=test.p_value)
            for seed, test in detail.mcnemar.items()
        ),
        bootstrap=detail.bootstrap,
    )


def _times(side: SideRuns) -> tuple[float | None, float]:
    """Median seconds of a whole epoch over all runs, None where none was whole, and of a run; both with validation."""
    epochs: list[float] = []
    wholes: list[float] = []
    for run in side.runs.values():
        rows = run.rows(RESULTS)
        try:
            ends = [0, *(int(row["step"]) for row in rows)]
            seconds = [float(row["seconds"]) for row in rows]
        except (KeyError, ValueError):
            raise FileError(str(run.path / RESULTS), "it is damaged", "a table that training wrote") from None
        wholes.append(sum(seconds))
        whole = _steps_per_epoch(run, side.settings)
        spans = [late - early for early, late in itertools.pairwise(ends)]
        epochs += [taken for taken, span in zip(seconds, spans, strict=True) if span == whole]
    return statistics.median(epochs) if epochs else None, statistics.median(wholes)


def _steps_per_epoch(run: RunFolder, settings: Settings) -> int:
    images = run.read(Splits).parts["train"].images
    training = settings.training
    return BatchOrder(images, training.batch_size, training.seed, training.last_batch).steps_per_epoch


def _costs(sides: Sequence[SideRuns]) -> list[_Cost]:
    """Parameters, MACs and milliseconds for one picture of each side's first run, the sides taking turns."""
    classifiers = [_classifier(side) for side in sides]
    latencies = _latencies(classifiers)
    return [_cost(classifier, latency) for classifier, latency in zip(classifiers, latencies, strict=True)]


def _classifier(side: SideRuns) -> Classifier | None:
    """The first run's classifier; None for a module of the user's own, whose class is not here."""
    run = next(iter(side.runs.values()))
    return load(run.path, device="cpu") if side.settings.model is not None else None


def _cost(classifier: Classifier | None, latency_ms: float | None) -> _Cost:
    if classifier is None:
        return _Cost()
    height, width, channels = classifier.size
    assert isinstance(classifier.backend, TorchBackend)
    summary = summarize(classifier.backend.module, channels, (height, width))
    return _Cost(summary.parameters, summary.macs, latency_ms)


def _latencies(classifiers: Sequence[Classifier | None]) -> list[float | None]:
    """Median milliseconds from one picture's pixels to its probabilities, on the CPU; the sides take turns."""
    taken: list[list[float]] = [[] for _ in classifiers]
    for call in range(LATENCY_WARM_UP + LATENCY_CALLS):
        for classifier, times in zip(classifiers, taken, strict=True):
            if classifier is None:
                continue
            picture = np.full((1, *classifier.size), call % 256, np.uint8)
            began = time.perf_counter()
            classifier.probabilities(picture)
            times.append(1000 * (time.perf_counter() - began))
    return [statistics.median(times[LATENCY_WARM_UP:]) if times else None for times in taken]
