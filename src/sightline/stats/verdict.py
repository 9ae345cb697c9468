"""What a comparison of two sides comes to: data for tables and translations, and a sentence in English."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.stats.differences import EQUAL, MOST_SEEDS

Outcome = Literal["better", "not distinguishable", "no verdict"]
Reason = Literal["one seed", "equal in every seed", "no spread"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a pair.

    `better` and `worse` name the sides, and `gain` bounds what the better one is ahead by, as fractions, above 0; all
    three None unless the outcome is "better". `reason` says why there is no test, where there is none. `seeds_needed`,
    where the sides are not distinguishable, is how many seeds on each side would settle a difference of the size that
    was seen; None then means more than MOST_SEEDS, or that there is no difference to settle.
    """

    outcome: Outcome
    sentence: str
    better: str | None = None
    worse: str | None = None
    gain: tuple[float, float] | None = None
    reason: Reason | None = None
    seeds_needed: int | None = None


def better(winner: str, loser: str, gain: tuple[float, float]) -> Verdict:
    """`winner` is ahead by `gain`, (low, high), 0 < low <= high, fractions."""
    low, high = points(*gain)
    sentence = f"{winner} is better than {loser} by {low} to {high} points on this test set"
    return Verdict("better", sentence, winner, loser, gain)


def not_distinguishable(a: str, b: str, counts: tuple[int, ...], difference: float, needed: int | None) -> Verdict:
    """No difference was found with `counts` seeds; `needed` would settle a `difference` of the size that was seen."""
    opening = f"{a} and {b} are not distinguishable with {_count(counts)}"
    if abs(difference) <= EQUAL:
        return Verdict("not distinguishable", f"{opening}; their means are equal")
    seeds = f"about {needed:,}" if needed else f"more than {MOST_SEEDS:,}"
    (size,) = points(abs(difference))
    sentence = f"{opening}; {seeds} seeds each would be needed to confirm the observed difference of {size} points"
    return Verdict("not distinguishable", sentence, seeds_needed=needed)


def without_spread(a: str, b: str, counts: tuple[int, ...], difference: float) -> Verdict:
    """No seed differs from the others, so that Student's t has nothing to measure a difference with."""
    if abs(difference) <= EQUAL:
        sentence = f"{a} and {b} are not distinguishable with {_count(counts)}: equally accurate in every one"
        return Verdict("not distinguishable", sentence, reason="equal in every seed")
    ahead, behind = (a, b) if difference > 0 else (b, a)
    (size,) = points(abs(difference))
    sentence = (
        f"no verdict on {a} and {b}: {ahead} is ahead of {behind} by the same {size} points with each of "
        f"{_count(counts)}, and Student's t is undefined without variation; run more seeds"
    )
    return Verdict("no verdict", sentence, reason="no spread")


def too_few_seeds(a: str, b: str, a_seeds: int, b_seeds: int) -> Verdict:
    """A side has one seed."""
    single = [name for name, seeds in ((a, a_seeds), (b, b_seeds)) if seeds == 1]
    of = f" of {single[0]}" if len(single) == 1 else ""
    return Verdict(
        "no verdict",
        f"no verdict on {a} and {b}: a single seed{of} does not show how much results vary",
        reason="one seed",
    )


def points(*fractions: float) -> list[str]:
    """Write fractions as percent points, with as many decimals as the smallest above 0 needs, two at least."""
    decimals = 2
    while decimals < 7 and any(value > 0 and round(100 * value, decimals) == 0 for value in fractions):
        decimals += 1
    return [f"{100 * value:.{decimals}f}" for value in fractions]


def _count(counts: tuple[int, ...]) -> str:
    same = len(set(counts)) == 1
    return f"{counts[0]} seeds" if same else f"{' and '.join(str(count) for count in counts)} seeds"
