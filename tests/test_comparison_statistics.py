"""Comparisons against scipy, statsmodels and closed forms; what must not matter; and how often verdicts are right."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from sightline.errors import DataError
from sightline.stats import (
    Difference,
    compare_sides,
    holm,
    paired_difference,
    seeds_needed,
    summarize_side,
    welch_difference,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import comparison_simulation as simulation

A = [0.9441, 0.9438, 0.9447, 0.9440, 0.9452]
B = [0.9421, 0.9430, 0.9417, 0.9436, 0.9419]
C = [0.9439, 0.9446, 0.9430, 0.9441, 0.9437]


def by_seed(values, first=0):
    return {first + index: value for index, value in enumerate(values)}


def pair_of(a, b, **options):
    (pair,) = compare_sides({"A": a, "B": b}, **options).pairs
    return pair


# --- One side ---------------------------------------------------------------------------------------------------------


def test_a_side_is_what_scipy_says():
    side = summarize_side("A", by_seed(A))
    expected = stats.t.interval(0.95, 4, loc=np.mean(A), scale=stats.sem(A))
    assert (side.n, side.seeds, side.accuracies) == (5, (0, 1, 2, 3, 4), tuple(A))
    assert (side.mean, side.deviation) == pytest.approx((np.mean(A), np.std(A, ddof=1)), rel=1e-12)
    assert side.interval == pytest.approx(expected, abs=1e-12)


def test_a_side_with_one_seed_or_without_spread_has_no_interval():
    assert summarize_side("A", {7: 0.9}).interval is None
    assert summarize_side("A", {7: 0.9}).deviation is None
    assert summarize_side("A", {0: 0.1 + 0.2, 1: 0.3}).interval is None
    assert summarize_side("A", {0: 0.1 + 0.2, 1: 0.3}).deviation == 0


def test_an_interval_of_accuracies_stays_within_0_and_1():
    assert summarize_side("A", {0: 0.99, 1: 1.0}).interval == (pytest.approx(0.9315, abs=1e-4), 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, 94.4, math.nan, math.inf])
def test_an_accuracy_is_a_fraction(value):
    with pytest.raises(DataError, match="seed 3"):
        compare_sides({"A": {3: value}, "B": {3: 0.5}})


def test_a_comparison_needs_two_sides_with_seeds():
    with pytest.raises(DataError, match="two sides or more"):
        compare_sides({"A": {0: 0.5}})
    with pytest.raises(DataError, match="no finished seed"):
        compare_sides({"A": {0: 0.5}, "B": {}})


# --- Two sides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [B, C])
def test_pairs_are_the_paired_t_test_of_scipy(other):
    pair = pair_of(by_seed(A), by_seed(other))
    expected = stats.ttest_rel(A, other)
    assert (pair.test, pair.counts, pair.seeds) == ("paired t", (5,), (0, 1, 2, 3, 4))
    assert pair.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert pair.adjusted_p_value == pair.p_value
    assert pair.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert pair.degrees == pytest.approx(4)
    assert pair.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-12)
    assert pair.confidence == pytest.approx(0.95)
    assert pair.deviation == pytest.approx(np.std(np.subtract(A, other), ddof=1), rel=1e-10)


@pytest.mark.parametrize("second", [by_seed(B[:3], first=10), by_seed(B[:3], first=4), by_seed(C, first=10)])
def test_without_two_common_seeds_it_is_welchs_test_of_scipy(second):
    pair = pair_of(by_seed(A), second)
    expected = stats.ttest_ind(A, list(second.values()), equal_var=False)
    assert (pair.test, pair.counts, pair.seeds) == ("Welch's t", (5, len(second)), ())
    assert pair.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert pair.degrees == pytest.approx(expected.df, rel=1e-10)
    assert pair.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-12)
    assert pair.deviation is None


def test_seeds_that_only_one_side_has_are_left_out_of_pairs():
    alone = pair_of(by_seed(A[2:], first=2), by_seed(B[2:], first=2))
    pair = pair_of(by_seed(A), {**by_seed(B[2:], first=2), 9: 0.5})
    assert pair == alone
    assert pair.seeds == (2, 3, 4)


def test_the_better_side_is_named_with_bounds_above_zero():
    verdict = compare_sides({"B": by_seed(B), "A": by_seed(A)}).pairs[0].verdict
    low, high = stats.ttest_rel(A, B).confidence_interval(0.95)
    assert (verdict.outcome, verdict.better, verdict.worse) == ("better", "A", "B")
    assert verdict.gain == pytest.approx((low, high), abs=1e-12)
    assert verdict.sentence == f"A is better than B by {100 * low:.2f} to {100 * high:.2f} points on this test set"


def test_small_gains_are_not_rounded_to_zero():
    base = [0.9000000, 0.9100000, 0.9200000]
    sentence = pair_of(by_seed([a + d for a, d in zip(base, (3e-5, 3.5e-5, 4e-5), strict=True)]), by_seed(base))
    assert sentence.verdict.sentence == "A is better than B by 0.002 to 0.005 points on this test set"


def test_what_is_not_distinguishable_says_how_many_seeds_would_settle_it():
    pair = pair_of(by_seed(A), by_seed(C))
    effect = abs(np.mean(np.subtract(A, C))) / np.std(np.subtract(A, C), ddof=1)
    needed = math.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05))
    assert pair.verdict.seeds_needed == needed
    assert pair.verdict.sentence == (
        f"A and B are not distinguishable with 5 seeds; about {needed} seeds each would be needed to confirm the "
        f"observed difference of {100 * pair.difference:.2f} points"
    )


def test_more_seeds_than_anyone_runs_are_not_counted():
    verdict = pair_of(by_seed([0.90, 0.92, 0.91, 0.93]), by_seed([0.92, 0.90, 0.93, 0.9101])).verdict
    assert verdict.seeds_needed is None
    assert "more than 1,000 seeds each" in verdict.sentence


def test_equal_means_promise_no_number_of_seeds():
    verdict = pair_of(by_seed([0.90, 0.92]), by_seed([0.92, 0.90])).verdict
    assert verdict.sentence == "A and B are not distinguishable with 2 seeds; their means are equal"


# --- Too little to test -----------------------------------------------------------------------------------------------


def test_one_seed_says_nothing():
    pair = pair_of({0: 0.99}, {0: 0.5})
    assert (pair.verdict.outcome, pair.verdict.reason, pair.test) == ("no verdict", "one seed", None)
    assert pair.verdict.sentence == "no verdict on A and B: a single seed does not show how much results vary"
    assert pair.difference == pytest.approx(0.49)
    assert (pair.p_value, pair.interval) == (None, None)
    several = pair_of(by_seed(A), {3: 0.5})
    assert several.verdict.sentence == "no verdict on A and B: a single seed of B does not show how much results vary"
    assert several.difference == pytest.approx(A[3] - 0.5)
    assert pair_of(by_seed(A), {9: 0.5}).difference == pytest.approx(np.mean(A) - 0.5)


def test_two_seeds_are_the_closed_form():
    # One degree of freedom is the Cauchy distribution: p = 1 - 2 atan(t) / pi, and t is the mean over half the range.
    pair = pair_of(by_seed([0.93, 0.94]), by_seed([0.92, 0.92]))
    assert pair.p_value == pytest.approx(1 - 2 * math.atan(0.015 / 0.005) / math.pi, rel=1e-9)
    assert pair.verdict.outcome == "not distinguishable"


def test_a_difference_that_never_varies_gets_no_verdict():
    # Rounding makes 0.1 + 0.2 - 0.3 not quite 0: taken for spread, it would give a p-value near 0.
    pair = pair_of({0: 0.1 + 0.2, 1: 0.9, 2: 0.8}, {0: 0.2, 1: 0.8, 2: 0.7})
    assert (pair.verdict.outcome, pair.verdict.reason, pair.test) == ("no verdict", "no spread", "paired t")
    assert (pair.statistic, pair.p_value, pair.adjusted_p_value, pair.interval) == (None, None, None, None)
    assert "A is ahead of B by the same 10.00 points" in pair.verdict.sentence
    assert pair_of({0: 0.9, 1: 0.9}, {5: 0.7, 6: 0.7}).verdict.reason == "no spread"


def test_sides_equal_in_every_seed_are_not_distinguishable():
    pair = pair_of(by_seed(A), by_seed(A))
    assert (pair.verdict.outcome, pair.verdict.reason) == ("not distinguishable", "equal in every seed")
    assert pair.verdict.sentence == "A and B are not distinguishable with 5 seeds: equally accurate in every one"


# --- Several sides ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_statsmodels(seed):
    p_values = (np.random.default_rng(seed).random(6) ** 4).tolist()
    rejected, adjusted, _, _ = multipletests(p_values, alpha=0.05, method="holm")
    found = holm(p_values)
    assert [one for one, _ in found] == pytest.approx(adjusted.tolist(), abs=1e-12)
    assert [p <= step for p, (_, step) in zip(p_values, found, strict=True)] == rejected.tolist()


def test_holm_holds_each_test_to_its_step():
    # 0.01 <= 0.05 / 4 and 0.015 <= 0.05 / 3, but 0.04 > 0.05 / 2; so the last, alone below 0.05, is held to that too.
    assert [step for _, step in holm([0.045, 0.01, 0.04, 0.015])] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(10))
def test_intervals_and_verdicts_of_several_sides_agree(seed):
    rng = np.random.default_rng(seed)
    sides = {name: by_seed((0.9 + shift + 0.002 * rng.standard_normal(4)).tolist()) for name, shift in SHIFTS.items()}
    comparison = compare_sides(sides)
    assert [(pair.a, pair.b) for pair in comparison.pairs] == list(itertools.combinations(sides, 2))
    values = [list(side.values()) for side in sides.values()]
    results = [stats.ttest_rel(a, b) for a, b in itertools.combinations(values, 2)]
    rejected, adjusted, _, _ = multipletests([result.pvalue for result in results], method="holm")
    assert [pair.adjusted_p_value for pair in comparison.pairs] == pytest.approx(adjusted.tolist(), abs=1e-12)
    for pair, result, reject in zip(comparison.pairs, results, rejected, strict=True):
        assert (pair.verdict.outcome == "better") == reject == (not pair.interval[0] <= 0 <= pair.interval[1])
        assert pair.confidence >= 0.95 - 1e-12
        assert pair.interval == pytest.approx(tuple(result.confidence_interval(pair.confidence)), abs=1e-12)
        if reject:
            assert pair.verdict.gain == pytest.approx(sorted(map(abs, pair.interval)))


SHIFTS = {"a": 0.0, "b": 0.004, "c": 0.02, "d": 0.021}


def test_a_pair_without_spread_counts_as_a_test_and_one_without_a_test_does_not():
    three = compare_sides({"A": by_seed(A), "B": by_seed(B), "same": by_seed(A)})
    p = stats.ttest_rel(A, B).pvalue
    assert [pair.adjusted_p_value for pair in three.pairs] == [pytest.approx(3 * p), None, pytest.approx(3 * p)]
    single = compare_sides({"A": by_seed(A), "B": by_seed(B), "single": {0: 0.5}})
    assert [pair.adjusted_p_value for pair in single.pairs] == [pytest.approx(p), None, None]


def test_a_comparison_is_plain_data():
    comparison = compare_sides({"A": by_seed(A), "B": by_seed(B), "C": {0: 0.5}})
    stored = json.loads(json.dumps(dataclasses.asdict(comparison), allow_nan=False))
    assert stored["pairs"][0]["verdict"]["better"] == "A"
    assert stored["pairs"][1]["interval"] is None


# --- Power ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [0.1, 0.5, 1.0, 1.7678, 3.0])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_power_is_statsmodels(effect, n, alpha):
    paired, welch = Difference(-effect, (1.0,), (n,)), Difference(effect, (1.0, 1.0), (n, n))
    for difference, test in ((paired, TTestPower()), (welch, TTestIndPower())):
        expected = test.power(effect, n, alpha)
        # statsmodels says NaN where the tail that hardly counts is too small for it: the power is all but 1 there.
        expected, allowed = (1, 1e-5) if math.isnan(expected) else (expected, 1e-9)
        assert difference.power(alpha) == pytest.approx(expected, abs=allowed)


def test_power_never_falls_with_the_size_of_the_difference():
    for n, alpha in itertools.product((2, 3, 10, 1000), (0.05, 0.001)):
        powers = [Difference(effect, (1.0,), (n,)).power(alpha) for effect in np.geomspace(1e-3, 1e3, 40)]
        assert powers == pytest.approx(sorted(powers), abs=1e-9)
        assert powers[0] == pytest.approx(alpha, abs=2e-3)


@pytest.mark.parametrize("effect", [0.1, 0.25, 0.6, 1.1, 1.8])
def test_seeds_needed_are_statsmodels(effect):
    paired = math.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05))
    assert seeds_needed(Difference(effect, (1.0,), (2,))) == paired
    sides = math.ceil(TTestIndPower().solve_power(effect, power=0.8, alpha=0.05))
    assert seeds_needed(Difference(effect, (1.0, 1.0), (3, 5)), most=2000) == sides


def test_seeds_needed_have_a_limit():
    assert seeds_needed(Difference(0.01, (1.0,), (5,))) is None
    assert seeds_needed(Difference(50.0, (1.0,), (5,))) == 2


def test_five_seeds_find_two_and_a_half_seed_deviations():
    # The requirement as arithmetic: a difference of two independent seeds spreads sqrt(2) times as much as one.
    assert Difference(2.5, (2.0,), (5,)).power() == pytest.approx(0.8353, abs=5e-5)


# --- What must not matter ---------------------------------------------------------------------------------------------

accuracies = st.integers(0, 1000).map(lambda right: right / 1000)
two_sides = st.integers(2, 6).flatmap(lambda n: st.tuples(*[st.lists(accuracies, min_size=n, max_size=n)] * 2))


@settings(max_examples=60, deadline=None)
@given(two_sides, st.booleans())
def test_swapping_the_sides_mirrors_everything(values, paired):
    a, b = by_seed(values[0]), by_seed(values[1], first=0 if paired else 100)
    (one,), (other,) = compare_sides({"A": a, "B": b}).pairs, compare_sides({"B": b, "A": a}).pairs
    assert other.difference == pytest.approx(-one.difference, abs=1e-12)
    assert other.p_value == pytest.approx(one.p_value, abs=1e-9)
    assert (one.interval is None) == (other.interval is None)
    if one.interval and other.interval:
        assert other.interval == pytest.approx((-one.interval[1], -one.interval[0]), abs=1e-12)
        assert (one.verdict.outcome == "better") == (not one.interval[0] <= 0 <= one.interval[1])
    assert (one.verdict.outcome, one.verdict.better) == (other.verdict.outcome, other.verdict.better)
    assert one.verdict.seeds_needed == other.verdict.seeds_needed


@settings(max_examples=60, deadline=None)
@given(two_sides, st.randoms(use_true_random=False))
def test_the_order_and_the_names_of_seeds_change_nothing(values, random):
    a, b = by_seed(values[0]), by_seed(values[1])
    names = random.sample(range(100), len(a))
    first = pair_of(a, b)
    second = pair_of({names[seed]: a[seed] for seed in a}, {names[seed]: b[seed] for seed in reversed(b)})
    assert second.seeds == tuple(sorted(names))
    assert second == dataclasses.replace(first, seeds=second.seeds)


@settings(max_examples=40, deadline=None)
@given(two_sides, st.integers(-300, 300))
def test_what_both_sides_gain_changes_nothing(values, shift):
    moved = tuple([value + shift / 1000 for value in side] for side in values)
    assume(all(0 <= value <= 1 for side in moved for value in side))
    before, after = (pair_of(by_seed(a), by_seed(b)) for a, b in (values, moved))
    assert after.verdict.outcome == before.verdict.outcome
    assert after.p_value == pytest.approx(before.p_value, abs=1e-6)


def test_a_difference_needs_two_values_and_as_many_on_both_sides():
    with pytest.raises(DataError, match="3 and 2 values"):
        paired_difference(A[:3], B[:2])
    with pytest.raises(DataError, match="two values or more"):
        paired_difference(A[:1], B[:1])
    with pytest.raises(DataError, match="two values or more"):
        welch_difference(A, B[:1])


# --- How often verdicts are right: the small form of benchmarks/comparison_simulation.py ------------------------------

COMPARISONS = 4000


def near(part, count=COMPARISONS):
    """A rate of `count` comparisons: three and a half deviations of the binomial either way."""
    return pytest.approx(part, abs=3.5 * math.sqrt(part * (1 - part) / count))


@pytest.mark.parametrize(
    ("images", "accuracy", "deviation", "seeds"), [(10_000, 0.95, 0.003, 5), (1000, 0.85, 0.01, 3)]
)
def test_simulated_verdicts_are_right_as_often_as_promised(images, accuracy, deviation, seeds):
    case = simulation.Case(images, accuracy, deviation, seeds)
    none = simulation.simulate(case, COMPARISONS, seed=1)
    assert none.better == near(0.05)
    assert none.covers_test_set == near(0.95)
    found = simulation.simulate(simulation.with_gap(case, 2.5, on_test_set=True), COMPARISONS, seed=1)
    assert found.a_better == near(Difference(2.5, (2.0,), (case.seeds,)).power())
    assert found.b_better < 0.005
    assert found.covers_test_set == near(0.95)


def test_simulated_equal_sides_are_seldom_told_apart_however_many_they_are():
    values = np.random.default_rng(4).standard_normal((COMPARISONS, 4, 5))
    pairs = list(itertools.combinations(range(4), 2))
    p_values = np.stack([stats.ttest_rel(values[:, a], values[:, b], axis=1).pvalue for a, b in pairs], axis=1)
    some = np.mean([min(adjusted for adjusted, _ in holm(one)) <= 0.05 for one in p_values.tolist()])
    assert np.mean(p_values.min(axis=1) <= 0.05) > 0.1
    assert 0.02 < some <= 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / COMPARISONS)


def test_simulated_seeds_pooled_as_images_find_differences_that_are_not_there():
    none = simulation.simulate(simulation.Case(10_000, 0.85, 0.01, 5), 1000, seed=1)
    assert none.pooled_better > 0.4


def test_simulated_intervals_speak_of_this_test_set_and_not_of_all_images():
    own = simulation.simulate(simulation.Case(360, 0.95, 0.003, 5, own=0.2), COMPARISONS, seed=1)
    assert own.covers_test_set == near(0.95)
    assert own.covers_population < 0.9


def test_the_simulation_draws_what_it_says():
    case = simulation.Case(1000, 0.9, 0.01, 5, gap=0.02)
    right, truth = simulation.draw(case, 4000, np.random.default_rng(0))
    accuracy = right / 1000
    assert accuracy.mean(axis=(1, 2)) == pytest.approx([0.9, 0.88], abs=1e-3)
    assert truth.mean() == pytest.approx(0.02, abs=5e-4)
    within = math.sqrt(accuracy[0].var(axis=1, ddof=1).mean())
    assert within == pytest.approx(simulation.seed_deviation(case, 0.9), rel=0.02)
