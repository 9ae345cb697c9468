"""How often is the verdict of a comparison right? 10,000 made-up comparisons a row, with known truth.

    OMP_NUM_THREADS=1 python benchmarks/comparison_simulation.py [--comparisons 10000] [--seed 0]

Two sides are tested on the same N images, with the same seeds. A seed of a side has a true accuracy, drawn from a
normal distribution around the side's. Images come in kinds, from easy to hard, and a kind is as hard for both sides;
each kind has, for each seed's true accuracy, a probability of being answered right (a probit model: the errors of two
networks mostly fall on the same images, as they do in reality). In the second table a part of what makes an image hard
is each side's own. docs/statistics.md says what the columns mean and what came of it.

The tests are those of sightline.stats, taken for all comparisons of a row at once; the first comparisons of each
row go through `compare_sides` itself, and any disagreement ends the script with exit code 1.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm, t

from sightline.stats import compare_sides

SHARED = 0.85  # of what decides an answer: how hard the image is; the rest is chance, new with each seed
GAP = 2.5
IMAGES = (360, 1_000, 10_000)
SIDES = ((0.99, 0.001), (0.95, 0.003), (0.85, 0.01))  # true accuracy, deviation of a seed's true accuracy
SEEDS = (2, 3, 5, 10)
THROUGH_COMPARE_SIDES = 20
COLUMNS = (
    "images",
    "accuracy",
    "seed deviation: true",
    "on the test set",
    "seeds",
    "no difference: better %",
    "found %",
    "by Welch %",
    "covers %",
    "true deviations: found %",
    "by Welch %",
    "no spread %",
    "pooled: better %",
)


@dataclass(frozen=True)
class Case:
    """One row: what is true, and how it is measured."""

    images: int
    accuracy: float
    deviation: float
    seeds: int
    own: float = 0.0
    """Of what decides an answer, the part that is the image's with one side only."""
    gap: float = 0.0
    """By how much side a is more accurate than b in truth, a fraction."""


@cache
class Difficulty:
    """The kinds of images: their share (K,), how hard each is for side a and for side b, and what is left to chance."""

    def __init__(self, own: float) -> None:
        # 15 points that have the moments of a normal distribution; what is a side's own is one of two.
        nodes, weights = np.polynomial.hermite_e.hermegauss(15)
        signs = np.array([-1.0, 1.0]) if own else np.zeros(1)
        shared, own_a, own_b = (grid.ravel() for grid in np.meshgrid(nodes, signs, signs, indexing="ij"))
        self.share = np.repeat(weights / weights.sum() / len(signs) ** 2, len(signs) ** 2)
        self.easy = [math.sqrt(SHARED - own) * shared + math.sqrt(own) * one for one in (own_a, own_b)]
        self.scale = math.sqrt(1 - SHARED)
        self._grid = np.linspace(-8, 8, 8001)
        self._accuracy = ndtr((self._grid[:, None] + self.easy[0]) / self.scale) @ self.share

    def probability(self, side: int, accuracy: np.ndarray) -> np.ndarray:
        """Of a right answer to each kind of image (..., K), for networks whose accuracy on all images is (...,)."""
        ability = np.interp(accuracy, self._accuracy, self._grid)
        return ndtr((ability[..., None] + self.easy[side]) / self.scale)


def seed_deviation(case: Case, accuracy: float) -> float:
    """The deviation over seeds of the accuracy on a test set: true accuracies differ, and so do single answers."""
    difficulty = Difficulty(case.own)
    right = difficulty.probability(0, np.array([accuracy]))[0]
    return math.sqrt(case.deviation**2 + float(difficulty.share @ (right * (1 - right))) / case.images)


def with_gap(case: Case, deviations: float, *, on_test_set: bool) -> Case:
    """Set a's lead to so many seed deviations: on the test set, both sides' root mean square, or of true accuracies."""
    gap = deviations * case.deviation
    for _ in range(20 if on_test_set else 0):
        both = (seed_deviation(case, case.accuracy), seed_deviation(case, case.accuracy - gap))
        gap = deviations * math.hypot(*both) / math.sqrt(2)
    return replace(case, gap=gap)


@dataclass(frozen=True)
class Outcomes:
    """What the comparisons of a case came to, parts of all of them."""

    a_better: float
    b_better: float
    covers_test_set: float
    """Of the intervals that there are: a comparison without spread has none."""
    covers_population: float
    no_spread: float
    welch_a_better: float
    pooled_better: float
    """How often the test that pools seeds as if they were images calls either side better."""

    @property
    def better(self) -> float:
        """Either way."""
        return self.a_better + self.b_better


def draw(case: Case, comparisons: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Give right answers (2, comparisons, seeds), whole numbers, and the true difference on each test set."""
    difficulty = Difficulty(case.own)
    images = rng.multinomial(case.images, difficulty.share, size=comparisons)  # (comparisons, K)
    right: list[np.ndarray] = []
    truth: list[np.ndarray] = []
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    for side, accuracy in enumerate((case.accuracy, case.accuracy - case.gap)):
        of_seed = accuracy + case.deviation * rng.standard_normal((comparisons, case.seeds))
        of_seed = np.clip(of_seed, 1e-4, 1 - 1e-5)
        of_kind = difficulty.probability(side, of_seed)
        right.append(rng.binomial(images[:, None, :], of_kind).sum(axis=-1))
        expected = np.clip(accuracy + case.deviation * nodes, 1e-4, 1 - 1e-5)
        mean = weights / weights.sum() @ difficulty.probability(side, expected)
        truth.append(images @ mean / case.images)
    return np.stack(right), truth[0] - truth[1]


def simulate(case: Case, comparisons: int, seed: int) -> Outcomes:
    """Draw that many comparisons of a case and count their verdicts."""
    facts = (case.accuracy, case.own, case.gap)
    rng = np.random.default_rng([seed, case.images, case.seeds, *(round(1e9 * fact) for fact in facts)])
    right, truth = draw(case, comparisons, rng)
    difference = (right[0] - right[1]) / case.images
    mean, reach = difference.mean(axis=1), _reach(difference)
    spreads = np.ptp(difference, axis=1) > 0
    better = spreads & (np.abs(mean) > reach)
    for index in range(min(comparisons, THROUGH_COMPARE_SIDES)):
        _agree(right[:, index] / case.images, mean[index], reach[index], bool(better[index]))
    accuracy = right / case.images
    variances = accuracy.var(axis=-1, ddof=1) / case.seeds
    error, degrees = np.sqrt(variances.sum(axis=0)), case.seeds - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        welch = variances.sum(axis=0) ** 2 / (variances**2 / degrees).sum(axis=0)
        welch_found = mean > t.isf(0.025, np.where(np.isnan(welch), degrees, welch)) * error
    answers = case.images * case.seeds
    parts = right.sum(axis=-1) / answers
    pooled_error = np.sqrt((parts * (1 - parts)).sum(axis=0) / answers)
    return Outcomes(
        a_better=float(np.mean(better & (mean > 0))),
        b_better=float(np.mean(better & (mean < 0))),
        covers_test_set=float(np.mean(np.abs(mean - truth)[spreads] <= reach[spreads])),
        covers_population=float(np.mean(np.abs(mean - case.gap)[spreads] <= reach[spreads])),
        no_spread=float(np.mean(~spreads)),
        welch_a_better=float(np.mean(welch_found & (error > 0))),
        pooled_better=float(np.mean(np.abs(mean) > norm.isf(0.025) * pooled_error)),
    )


def _reach(difference: np.ndarray) -> np.ndarray:
    seeds = difference.shape[1]
    return t.isf(0.025, seeds - 1) * difference.std(axis=1, ddof=1) / math.sqrt(seeds)


def _agree(accuracies: np.ndarray, mean: float, reach: float, better: bool) -> None:
    sides = {name: dict(enumerate(values)) for name, values in zip("ab", accuracies.tolist(), strict=True)}
    (pair,) = compare_sides(sides).pairs
    if (pair.verdict.outcome == "better") != better:
        raise SystemExit(f"compare_sides says: {pair.verdict.sentence}; the simulation: {mean} +- {reach}")
    if pair.interval and not np.allclose(pair.interval, np.clip((mean - reach, mean + reach), -1, 1), atol=1e-12):
        raise SystemExit(f"compare_sides gives {pair.interval}, the simulation {mean} +- {reach}")


def main() -> int:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()

    def of(case: Case) -> Outcomes:
        return simulate(case, options.comparisons, options.seed)

    print(f"| {' | '.join(COLUMNS)} |\n|{'--:|' * len(COLUMNS)}")
    for images in IMAGES:
        for accuracy, deviation in SIDES:
            for seeds in SEEDS:
                case = Case(images, accuracy, deviation, seeds)
                none = of(case)
                seen, true = (of(with_gap(case, GAP, on_test_set=reading)) for reading in (True, False))
                on_test_set = seed_deviation(case, accuracy)
                figures = [none.better, seen.a_better, seen.welch_a_better, seen.covers_test_set]
                figures += [true.a_better, true.welch_a_better, none.no_spread, none.pooled_better]
                facts = f"{images:,} | {accuracy:.2f} | {100 * deviation:.2f} | {100 * on_test_set:.2f} | {seeds}"
                print(f"| {facts} | {' | '.join(percent(figure) for figure in figures)} |", flush=True)
    print("\n| images | accuracy | own part | seeds | better % | covers, this test set % | covers, all images % |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for images in IMAGES:
        for accuracy, deviation in SIDES:
            for own in (0.05, 0.2):
                found = of(Case(images, accuracy, deviation, 5, own))
                print(
                    f"| {images:,} | {accuracy:.2f} | {own} | 5 | {percent(found.better)} "
                    f"| {percent(found.covers_test_set)} | {percent(found.covers_population)} |",
                    flush=True,
                )
    print(f"\n{options.comparisons:,} comparisons a row, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0


def percent(part: float) -> str:
    """One decimal."""
    return f"{100 * part:.1f}"


if __name__ == "__main__":
    sys.exit(main())
