"""Student's t for the difference of two sides over seeds: p-value, interval, power; Holm's correction for several.

Paired and Welch's test are one formula. A mean difference is a sum of independent means, one of them where the seeds
are pairs (the differences), two where they are not (the sides), each with its variance and its count. Its squared
standard error is the sum of variance / count, and its degrees of freedom are Satterthwaite's, which for one mean are
count - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.errors import DataError

# Accuracies on one test set are multiples of 1 / images, so that what differs by less than this is rounding.
EQUAL = 1e-9
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracies, a - b, with the variances that say how sure it is.

    `variances` and `counts` hold one entry for paired seeds, two (a, b) for Welch's test; counts are 2 or more.
    """

    mean: float
    variances: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def has_spread(self) -> bool:
        """Whether seeds differ at all; without that Student's t is undefined."""
        return max(self.variances) > 0

    @property
    def error(self) -> float:
        """The standard error of the mean difference."""
        return math.sqrt(sum(self._shares))

    @property
    def degrees(self) -> float:
        """The degrees of freedom, by Satterthwaite (1946)."""
        assert self.has_spread
        parts = (share**2 / (count - 1) for share, count in zip(self._shares, self.counts, strict=True))
        return sum(self._shares) ** 2 / sum(parts)

    @property
    def statistic(self) -> float:
        """Student's t."""
        return self.mean / self.error

    def p_value(self) -> float:
        """Two-sided: how often sides that do not differ would seem to differ as much as this, or more."""
        from scipy.stats import t

        return float(2 * t.sf(abs(self.statistic), self.degrees))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Give the interval of the difference, (low, high)."""
        from scipy.stats import t

        assert 0 < confidence < 1, f"confidence is {confidence}; it is a part, not a percentage"
        reach = float(t.isf((1 - confidence) / 2, self.degrees)) * self.error
        return self.mean - reach, self.mean + reach

    def power(self, alpha: float = 0.05) -> float:
        """How often a two-sided test at `alpha` would find a true difference of this size with such variances."""
        from scipy.stats import nct, t

        critical = t.isf(alpha / 2, self.degrees)
        shift = abs(self.statistic)
        # The far tail is taken mirrored: as nct.cdf(-critical, degrees, shift) it is NaN for some large shifts.
        return float(nct.sf(critical, self.degrees, shift) + nct.sf(critical, self.degrees, -shift))

    @property
    def _shares(self) -> list[float]:
        return [variance / count for variance, count in zip(self.variances, self.counts, strict=True)]


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Take a - b seed by seed: `a` and `b` hold the accuracies of the same seeds in the same order.

    Raises DataError where there are fewer than two, or not as many on both sides.
    """
    if len(a) != len(b):
        raise DataError("paired difference", f"{len(a)} and {len(b)} values", "the same number on both sides")
    _need_two("paired difference", a)
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return Difference(_mean(differences), (_variance(differences),), (len(a),))


def welch_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Take mean a - mean b, of sides whose seeds are not pairs and whose variances need not be equal (Welch 1947).

    Raises DataError where a side has fewer than two values.
    """
    _need_two("difference", a)
    _need_two("difference", b)
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return Difference(_mean(left) - _mean(right), (_variance(left), _variance(right)), (len(a), len(b)))


def seeds_needed(difference: Difference, alpha: float = 0.05, power: float = 0.8, most: int = MOST_SEEDS) -> int | None:
    """How many seeds, on each side, find a true difference of this size in a part `power` of comparisons.

    None where that takes more than `most`. It trusts the size and the spread that were seen, so it is a plan, not a
    promise.
    """
    assert difference.has_spread

    def enough(seeds: int) -> bool:
        return replace(difference, counts=(seeds,) * len(difference.counts)).power(alpha) >= power

    if not enough(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[tuple[float, float]]:
    """Give each test's adjusted p-value and the alpha that it is held to in its step (Holm 1979), in the order given.

    The smallest of m p-values is held to alpha / m, the next to alpha / (m - 1), and so on; the first that fails holds
    all behind it to its own step's alpha. So `adjusted <= alpha` and `p <= its step's alpha` say the same, and an
    interval with confidence 1 - its step's alpha leaves 0 out exactly where the test rejects.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    found: list[tuple[float, float]] = [(1.0, alpha)] * len(p_values)
    adjusted, step, failed, previous = 0.0, alpha, False, -1.0
    for rank, index in enumerate(order):
        p, left = p_values[index], len(order) - rank
        adjusted = max(adjusted, min(1.0, p * left))
        # Equal p-values share a step: which of them comes first is chance.
        if not failed and p != previous:
            step = alpha / left
        failed, previous = failed or p > step, p
        found[index] = (adjusted, step)
    return found


def _need_two(subject: str, values: Sequence[float]) -> None:
    if len(values) < 2:
        raise DataError(subject, f"{len(values)} found", "two values or more", "Run more seeds.")


def _mean(values: np.ndarray) -> float:
    # Exact sums, so that the order of the seeds cannot change the last digit of a verdict.
    return math.fsum(values) / len(values)


def _variance(values: np.ndarray) -> float:
    if np.ptp(values) <= EQUAL:
        return 0.0
    return math.fsum((values - _mean(values)) ** 2) / (len(values) - 1)
