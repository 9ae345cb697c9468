"""How sure one figure is: intervals for one test's accuracy and for the mean of several runs.

`confidence` is a part, above 0 and below 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sightline.errors import DataError


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of a proportion, (low, high), 0 <= low <= high <= 1 (Wilson 1927, no continuity correction).

    Raises DataError where `n` is 0.
    """
    _check_confidence(confidence)
    assert 0 <= successes <= max(n, 0), f"{successes} successes of {n}"
    if n < 1:
        raise DataError("interval", "there is no image", "one or more")
    # By hand, so that a test of an ONNX file needs no scipy.
    share, z = successes / n, NormalDist().inv_cdf((1 + confidence) / 2)
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    shrink = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / shrink
    high = 1.0 if successes == n else (centre + half) / shrink
    return low, high


def group_interval(
    correct: NDArray[np.bool_],
    groups: NDArray[np.int64],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Give the interval of the accuracy over images of which some belong together, (low, high): whole groups are drawn.

    `correct`: bool (N,), which answers are right; `groups`: int64 (N,), what each image belongs to. The interval is the
    percentile bootstrap over groups (Davison and Hinkley 1997, section 3.8). Where every answer is right, or none,
    resampling has nothing to tell: the interval is then Wilson's with a group counted once. Raises DataError where
    there is no image.
    """
    _check_confidence(confidence)
    assert correct.shape == groups.shape, f"{correct.shape} answers and {groups.shape} groups"
    members = np.unique(groups, return_inverse=True)[1]
    sizes, right = np.bincount(members), np.bincount(members, correct).astype(np.int64)
    if right.sum() in (0, sizes.sum()):
        return wilson_interval(len(sizes) if right.any() else 0, len(sizes), confidence)
    # Groups alike in size and right answers are interchangeable, so that a resample is one multinomial draw of them.
    kinds, counts = np.unique(np.stack((sizes, right)), axis=1, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(sizes), counts / len(sizes), size=resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile((drawn @ kinds[1]) / (drawn @ kinds[0]), [tail, 1 - tail])
    return float(low), float(high)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Give the mean and the sample deviation (divided by n - 1) of `values`; one value has no deviation, hence None.

    Raises DataError where there is no value.
    """
    if not len(values):
        raise DataError("mean", "there is no value", "one or more")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return float(np.mean(values)), deviation


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of the mean of `values` by Student's t, (low, high).

    Values that are all equal give that value twice. Raises DataError where there are fewer than two values.
    """
    from scipy.stats import t

    _check_confidence(confidence)
    mean, deviation = mean_and_deviation(values)
    if deviation is None:
        raise DataError("interval", "there is only one value", "two or more", "Run more seeds.")
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * deviation / len(values) ** 0.5
    return mean - reach, mean + reach


def _check_confidence(confidence: float) -> None:
    assert 0 < confidence < 1, f"confidence is {confidence}; it is a part, not a percentage"
