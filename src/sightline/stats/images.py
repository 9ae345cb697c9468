"""The detail behind a pair: what single test images say, seed by seed and over all seeds.

Correctness is a bool array (N,), True where the answer to that image is right; both sides hold the same images in the
same order. N counts images, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import DataError

Correct = npt.NDArray[np.bool_]

# Cells of the table of resampled counts that are in memory at a time: 8 bytes each.
CHUNK = 2_000_000


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two sets of answers: do they differ in accuracy on images like these?

    `n10` images only a answers right, `n01` only b. It speaks of two trained networks, not of what another seed of the
    same sides would do.
    """

    n10: int
    n01: int
    p_value: float


@dataclass(frozen=True)
class BootstrapInterval:
    """The difference of two mean accuracies, a - b, and its percentile interval over resampled test images."""

    difference: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class ImageDetail:
    """McNemar's test of every seed that both sides have, and one bootstrap interval over the test images."""

    mcnemar: dict[int, McNemar]
    bootstrap: BootstrapInterval


def mcnemar_exact(a: Correct, b: Correct) -> McNemar:
    """Test the answers of two trained networks (McNemar 1947; exact: binomial, two-sided). Arrays (N,), bool.

    Raises DataError where the arrays are not of one length.
    """
    from scipy.stats import binomtest

    _check_images(a, b)
    n10, n01 = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a))
    p_value = float(binomtest(n10, n10 + n01, 0.5).pvalue) if n10 + n01 else 1.0
    return McNemar(n10, n01, p_value)


def bootstrap_difference(
    a: Correct, b: Correct, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> BootstrapInterval:
    """Resample the test images, the same for both sides; `a` (S_a, N) and `b` (S_b, N) hold a row a seed, bool.

    A seed is never resampled: the interval is for the networks that were trained, on other images from the same
    source. Images on which the mean over seeds differs by as much are interchangeable, so that a resample is one
    multinomial draw of how often each such value comes: the same distribution as drawing N images, without drawing
    them. Raises DataError where the sides hold different numbers of images.
    """
    assert a.ndim == b.ndim == 2, f"one row a seed: {a.shape}, {b.shape}"
    assert 0 < confidence < 1, f"confidence is {confidence}; it is a part, not a percentage"
    assert resamples >= 1, f"{resamples} resamples"
    _check_images(a[0], b[0])
    # In whole numbers, so that equal values are equal: (S_b times right by a) - (S_a times right by b), (N,).
    scaled = len(b) * a.sum(axis=0, dtype=np.int64) - len(a) * b.sum(axis=0, dtype=np.int64)
    images = scaled.size
    keys, counts = np.unique(scaled, return_counts=True)
    values = keys / (len(a) * len(b) * images)
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK // len(keys))
    means = [
        rng.multinomial(images, counts / images, size=min(chunk, resamples - begin)) @ values
        for begin in range(0, resamples, chunk)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return BootstrapInterval(float(counts @ values), float(low), float(high), confidence, resamples)


def compare_images(
    a: Mapping[int, Correct],
    b: Mapping[int, Correct],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> ImageDetail:
    """Give the detail of a pair from seed -> correctness (N,) of each side.

    The bootstrap takes the seeds that the verdict rests on: those of both sides, or all where fewer than two are
    common. Raises DataError where a side has no seed or the numbers of images differ.
    """
    if not a or not b:
        raise DataError("comparison of images", "a side has no seed", "one or more for each side")
    first = next(iter(a.values()))
    for correct in (*a.values(), *b.values()):
        _check_images(first, correct)
    common = sorted(a.keys() & b.keys())
    paired = len(common) >= 2
    left = np.stack([a[key] for key in (common if paired else sorted(a))])
    right = np.stack([b[key] for key in (common if paired else sorted(b))])
    return ImageDetail(
        {key: mcnemar_exact(a[key], b[key]) for key in common},
        bootstrap_difference(left, right, confidence, resamples, seed),
    )


def _check_images(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    assert a.dtype == b.dtype == np.bool_, f"correctness is bool, not {a.dtype} and {b.dtype}"
    if a.shape != b.shape or a.size == 0:
        raise DataError("comparison of images", f"{a.size} and {b.size} images", "the same images on both sides")
