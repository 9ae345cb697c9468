"""How sure one figure is: intervals for one test's accuracy and for the mean of several runs.

`confidence` is a part, above 0 and below 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

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
