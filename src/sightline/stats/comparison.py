"""From the test accuracies of several sides, by seed, to a verdict on each pair of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sightline.errors import DataError
from sightline.stats import verdict as verdicts
from sightline.stats.differences import (
    EQUAL,
    Difference,
    holm,
    paired_difference,
    seeds_needed,
    welch_difference,
)
from sightline.stats.intervals import mean_and_deviation, t_interval
from sightline.stats.verdict import Verdict


@dataclass(frozen=True)
class SideSummary:
    """One side over its seeds. Accuracies are fractions, in the order of `seeds`, which is ascending.

    `deviation` is the sample deviation, None with one seed. `interval` is the t interval of the mean, cut to 0 and 1;
    None with one seed and where all seeds are equally accurate.
    """

    name: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    n: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class PairSummary:
    """Two sides against each other. `difference` is a - b, a fraction, over `seeds` where those are pairs.

    `test` is None where a side has one seed; then `seeds` are still those that both have. `counts` holds the number of
    pairs, or with Welch's test that of each side. `deviation` is that of the paired differences. `statistic` to
    `interval` are None where there is no test, and where nothing spreads. `adjusted_p_value` is Holm's over all pairs
    of the comparison; `confidence` is what that correction leaves to this pair, and `interval`, of that confidence,
    leaves 0 out exactly where the verdict is "better".
    """

    a: str
    b: str
    test: Literal["paired t", "Welch's t"] | None
    seeds: tuple[int, ...]
    counts: tuple[int, ...]
    difference: float
    deviation: float | None
    statistic: float | None
    degrees: float | None
    p_value: float | None
    adjusted_p_value: float | None
    confidence: float
    interval: tuple[float, float] | None
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """All sides in the order given, and all pairs: first against second, first against third, and so on."""

    confidence: float
    sides: tuple[SideSummary, ...]
    pairs: tuple[PairSummary, ...]


def compare_sides(sides: Mapping[str, Mapping[int, float]], confidence: float = 0.95) -> Comparison:
    """Compare sides by their test accuracies, name -> seed -> fraction, on one and the same test set.

    Seeds that both sides of a pair have are pairs, compared by the paired t test; with fewer than two of those Welch's
    t test takes all seeds of both. Raises DataError for fewer than two sides, a side without seeds, or an accuracy
    that is not from 0 to 1.
    """
    if len(sides) < 2:
        raise DataError("comparison", f"{len(sides)} found", "two sides or more")
    summaries = {name: summarize_side(name, accuracies, confidence) for name, accuracies in sides.items()}
    names = list(itertools.combinations(sides, 2))
    differences = [_difference(summaries[a], summaries[b]) for a, b in names]
    # A pair without spread was planned as a test too: it counts, as one that finds nothing.
    p_values = {
        index: difference.p_value() if difference.has_spread else 1.0
        for index, difference in enumerate(differences)
        if difference is not None
    }
    steps = dict(zip(p_values, holm(list(p_values.values()), 1 - confidence), strict=True))
    pairs = [
        _without_test(summaries[a], summaries[b], confidence)
        if difference is None
        else _tested(summaries[a], summaries[b], difference, *steps[index], confidence)
        for index, ((a, b), difference) in enumerate(zip(names, differences, strict=True))
    ]
    return Comparison(confidence, tuple(summaries.values()), tuple(pairs))


def summarize_side(name: str, accuracies: Mapping[int, float], confidence: float = 0.95) -> SideSummary:
    """Give mean, deviation and interval over the seeds of one side; `accuracies` is seed -> fraction."""
    if not accuracies:
        raise DataError(name, "it has no finished seed", "one or more")
    for seed, accuracy in accuracies.items():
        if not 0 <= accuracy <= 1:
            raise DataError(name, f"the accuracy of seed {seed} is {accuracy}", "a fraction from 0 to 1")
    seeds = tuple(sorted(accuracies))
    values = [float(accuracies[seed]) for seed in seeds]
    mean, deviation = mean_and_deviation(values)
    spreads = max(values) - min(values) > EQUAL
    interval = _cut(t_interval(values, confidence), 0) if spreads else None
    if deviation is not None and not spreads:
        deviation = 0.0
    return SideSummary(name, seeds, tuple(values), len(seeds), mean, deviation, interval)


def common_seeds(a: SideSummary, b: SideSummary) -> tuple[int, ...]:
    """Give the seeds that both sides have, ascending."""
    return tuple(seed for seed in a.seeds if seed in set(b.seeds))


def _values(side: SideSummary, seeds: tuple[int, ...]) -> list[float]:
    by_seed = dict(zip(side.seeds, side.accuracies, strict=True))
    return [by_seed[seed] for seed in seeds]


def _difference(a: SideSummary, b: SideSummary) -> Difference | None:
    common = common_seeds(a, b)
    if len(common) >= 2:
        return paired_difference(_values(a, common), _values(b, common))
    return welch_difference(a.accuracies, b.accuracies) if min(a.n, b.n) >= 2 else None


def _without_test(a: SideSummary, b: SideSummary, confidence: float) -> PairSummary:
    common = common_seeds(a, b)
    left, right = (_values(side, common or side.seeds) for side in (a, b))
    difference = mean_and_deviation(left)[0] - mean_and_deviation(right)[0]
    return PairSummary(
        a=a.name,
        b=b.name,
        test=None,
        seeds=common,
        counts=(len(common),) if common else (a.n, b.n),
        difference=difference,
        deviation=None,
        statistic=None,
        degrees=None,
        p_value=None,
        adjusted_p_value=None,
        confidence=confidence,
        interval=None,
        verdict=verdicts.too_few_seeds(a.name, b.name, a.n, b.n),
    )


def _tested(
    a: SideSummary, b: SideSummary, difference: Difference, adjusted: float, step: float, confidence: float
) -> PairSummary:
    paired = len(difference.counts) == 1
    spreads = difference.has_spread
    interval = difference.interval(1 - step) if spreads else None
    mean, counts = difference.mean, difference.counts
    if interval is None:
        verdict = verdicts.without_spread(a.name, b.name, counts, mean)
    elif adjusted <= 1 - confidence:
        low, high = _cut(interval, -1)
        ahead = (a.name, b.name, (low, high)) if mean > 0 else (b.name, a.name, (-high, -low))
        verdict = verdicts.better(*ahead)
    else:
        verdict = verdicts.not_distinguishable(a.name, b.name, counts, mean, seeds_needed(difference, step))
    return PairSummary(
        a=a.name,
        b=b.name,
        test="paired t" if paired else "Welch's t",
        seeds=common_seeds(a, b) if paired else (),
        counts=counts,
        difference=mean,
        deviation=math.sqrt(difference.variances[0]) if paired else None,
        statistic=difference.statistic if spreads else None,
        degrees=difference.degrees if spreads else None,
        p_value=difference.p_value() if spreads else None,
        adjusted_p_value=adjusted if spreads else None,
        confidence=1 - step,
        interval=_cut(interval, -1) if interval else None,
        verdict=verdict,
    )


def _cut(interval: tuple[float, float], least: float) -> tuple[float, float]:
    return max(interval[0], least), min(interval[1], 1.0)
