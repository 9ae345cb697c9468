"""Statistics as pure functions: how certain an accuracy is, and whether two differ.

`compare_sides` takes the test accuracies of several sides, by seed, and gives the verdict on every pair of them;
`compare_images` gives the detail behind one pair, image by image. docs/statistics.md says what they mean. Accuracies,
differences and confidences are fractions; sentences say percent points.
"""

from __future__ import annotations

from sightline.stats.comparison import Comparison, PairSummary, SideSummary, compare_sides, summarize_side
from sightline.stats.differences import (
    MOST_SEEDS,
    Difference,
    holm,
    paired_difference,
    seeds_needed,
    welch_difference,
)
from sightline.stats.images import (
    BootstrapInterval,
    ImageDetail,
    McNemar,
    bootstrap_difference,
    compare_images,
    mcnemar_exact,
)
from sightline.stats.intervals import group_interval, mean_and_deviation, t_interval, wilson_interval
from sightline.stats.verdict import Verdict

__all__ = [
    "MOST_SEEDS",
    "BootstrapInterval",
    "Comparison",
    "Difference",
    "ImageDetail",
    "McNemar",
    "PairSummary",
    "SideSummary",
    "Verdict",
    "bootstrap_difference",
    "compare_images",
    "compare_sides",
    "group_interval",
    "holm",
    "mcnemar_exact",
    "mean_and_deviation",
    "paired_difference",
    "seeds_needed",
    "summarize_side",
    "t_interval",
    "welch_difference",
    "wilson_interval",
]
