"""From single measurements to what is reported: spread, ratios, the epoch that counts, the share of a peak.

Standard library only, and nothing here measures.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What is measured: its title, its unit, and whether more of it is better."""

    title: str
    unit: str
    more_is_better: bool = False


FIGURES = {
    "images_per_second": Figure("training", "images/s", more_is_better=True),
    "seconds": Figure("time", "s"),
    "test_accuracy": Figure("test accuracy", "%", more_is_better=True),
    "test_accuracy_tta": Figure("with test-time augmentation", "%", more_is_better=True),
    "milliseconds_1": Figure("batch 1", "ms"),
    "milliseconds_256": Figure("batch 256", "ms"),
    "fp32_gflops": Figure("peak, fp32", "GFLOP/s", more_is_better=True),
    "bf16_gflops": Figure("peak, bf16", "GFLOP/s", more_is_better=True),
    "share": Figure("share of the peak", "%", more_is_better=True),
    "decoded_one_core": Figure("decoding, one core", "images/s", more_is_better=True),
    "decoded_all_cores": Figure("decoding, --threads cores", "images/s", more_is_better=True),
    "step_milliseconds": Figure("whole step", "ms"),
    "gather_share": Figure("gathering, of the step", "%"),
    "moves_share": Figure("shift and flip, of the step", "%"),
    "warp_share": Figure("affine warp, of the step", "%"),
}
"""By the name that a side gives its value."""


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing. `sd` is the sample's, 0 for a single one."""

    median: float
    least: float
    most: float
    n: int
    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        sd = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.median(values), min(values), max(values), len(values), statistics.fmean(values), sd)


def steady_seconds(ends: Sequence[float], warmup: int, block: int) -> list[float]:
    """Seconds a step, of each whole block of `block` steps behind the first `warmup` ones (at least one).

    `ends` are the times at which the steps ended. A block's mean, not each step's own time, because a loader with two
    workers delivers in bursts: its median step would wait for nothing. Raises ValueError where no block is whole.
    """
    if warmup < 1 or block < 1:
        raise ValueError(f"warmup is {warmup} and block is {block}; both are at least 1")
    starts = range(warmup - 1, len(ends) - block, block)
    if not starts:
        raise ValueError(f"{len(ends)} steps hold no block of {block} behind {warmup}")
    return [(ends[start + block] - ends[start]) / block for start in starts]


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float], *, more_is_better: bool) -> list[float]:
    """How many times better we are in each round that both sides have, by round; above 1 is in our favour."""
    rounds = sorted(ours.keys() & theirs.keys())
    return [ours[r] / theirs[r] if more_is_better else theirs[r] / ours[r] for r in rounds]


def first_epoch_reaching(curves: Sequence[Sequence[float]], target: float) -> int | None:
    """Which epoch, counted from 0, is the first whose mean over all `curves` is `target` or more; None if none is.

    A curve holds one seed's accuracies, one an epoch. Only epochs that every seed has count: the mean is over all
    seeds or it is none.
    """
    epochs = min((len(curve) for curve in curves), default=0)
    for epoch in range(epochs):
        # 1e-9: a mean of 0.99, 0.989 and 0.991 is 0.99, whatever its last bit says.
        if statistics.fmean(curve[epoch] for curve in curves) >= target - 1e-9:
            return epoch
    return None


def flop_share(flops: float, seconds: float, peak_gflops: float) -> float:
    """Percentage of the machine's measured peak at which `flops` operations were done in `seconds`."""
    return 100 * flops / seconds / (peak_gflops * 1e9)


def number(value: float) -> str:
    """A figure with three or four digits that mean something, and commas in large ones."""
    for least, digits in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.4f}"
