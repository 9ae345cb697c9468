"""A comparison's verdicts in the report's language."""

from __future__ import annotations

from sightline.comparison.records import PairRecord
from sightline.reporting.blocks import Cell
from sightline.reporting.numerals import whole
from sightline.reporting.subjects import Comparison
from sightline.reporting.words import Words
from sightline.stats import MOST_SEEDS
from sightline.stats.verdict import points


def verdict_cells(comparison: Comparison, words: Words) -> list[Cell]:
    """Say every pair's verdict, with where it stands."""
    return [
        comparison.cell(_verdict(pair, words), f"pairs.{place}.outcome, pairs.{place}.gain, pairs.{place}.seeds_needed")
        for place, pair in enumerate(comparison.pairs)
    ]


def _verdict(pair: PairRecord, words: Words) -> str:
    """Say a pair's verdict."""
    names = {"a": pair.a, "b": pair.b}
    if pair.outcome == "better" and pair.gain is not None:
        low, high = points(*pair.gain)
        return words("verdict_better", better=pair.better, worse=pair.worse, low=low, high=high)
    if pair.outcome == "no verdict":
        return words("verdict_none_one_seed" if pair.reason == "one seed" else "verdict_none_no_spread", **names)
    (size,) = points(abs(pair.difference))
    seeds = " / ".join(str(count) for count in dict.fromkeys(pair.counts))
    if pair.reason == "equal in every seed" or float(size) == 0:
        return words("verdict_undecided", **names, seeds=seeds)
    if pair.seeds_needed is None:
        return words("verdict_undecided_many", **names, seeds=seeds, most=whole(MOST_SEEDS), size=size)
    return words("verdict_undecided_needed", **names, seeds=seeds, needed=whole(pair.seeds_needed), size=size)
