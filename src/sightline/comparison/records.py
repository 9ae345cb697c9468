"""What a comparison comes to, as results.json and `--json` hold it, key by key.

Accuracies, differences and confidences are fractions, intervals (low, high), and times seconds unless the name has
another unit. A value is None where there is none, as a standard deviation with one seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.files.json_records import to_json
from sightline.stats import BootstrapInterval
from sightline.stats.verdict import Outcome, Reason


@dataclass(frozen=True, kw_only=True)
class SideRecord:
    """A side: the test accuracies of its seeds, and what its network costs."""

    name: str
    mean: float
    sd: float | None
    """The sample standard deviation over seeds."""
    n: int
    """The number of seeds."""
    interval: tuple[float, float] | None
    """The t interval of the mean."""
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    """The test accuracy of each seed, in their order."""
    length: str
    """How long a run trains, as in "6 epochs"."""
    seconds_per_epoch: float | None
    """The median over all whole epochs, with validation."""
    train_seconds: float
    """The median over runs, with validation."""
    parameters: int | None
    macs: int | None
    """Multiply-adds for one picture."""
    latency_ms: float | None
    """The median time for one picture on the CPU."""
    runs: Mapping[int, str]
    """The run of each seed, relative to the comparison's folder."""


@dataclass(frozen=True, kw_only=True)
class McNemarRecord:
    """McNemar's exact test of one seed: only a is right on `n10` images, only b on `n01`."""

    seed: int
    n10: int
    n01: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class PairRecord:
    """Two sides against each other: their difference, the verdict, and what it rests on."""

    a: str
    b: str
    difference: float
    """The mean accuracy of a, less that of b."""
    interval: tuple[float, float] | None
    """The interval of the difference, at `confidence`."""
    p_value: float | None
    adjusted_p_value: float | None
    """By Holm's correction for all pairs of the comparison."""
    verdict: str
    """A sentence in English; the six values below say the same to programs, as in sightline.stats.Verdict."""
    outcome: Outcome
    better: str | None
    worse: str | None
    gain: tuple[float, float] | None
    reason: Reason | None
    seeds_needed: int | None
    test: str | None
    """The test that was made, "paired t" or "Welch's t"."""
    seeds: tuple[int, ...]
    """The seeds that both sides have, where those are pairs."""
    counts: tuple[int, ...]
    """The number of pairs of seeds, or of the seeds of each side."""
    sd: float | None
    """The standard deviation of the paired differences."""
    statistic: float | None
    degrees: float | None
    confidence: float
    mcnemar: tuple[McNemarRecord, ...]
    """One for each seed that both sides have."""
    bootstrap: BootstrapInterval
    """The interval of the difference over resampled test images."""


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord:
    """A comparison's results."""

    test_images: int
    """The number of test images, the same ones for all sides."""
    confidence: float
    looks: tuple[int, ...]
    """The number of seeds at each time that results were seen."""
    seconds: float | None
    """The time that each side was given, where it was time that was given."""
    sides: tuple[SideRecord, ...]
    """In the order given."""
    pairs: tuple[PairRecord, ...]
    """First and second side, first and third, and so on."""

    def to_dict(self) -> dict[str, Any]:
        """The results for JSON."""
        return to_json(self, ComparisonRecord)
