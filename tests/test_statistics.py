"""Intervals and the tests on single images, against scipy, statsmodels and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from sightline.errors import DataError
from sightline.stats import (
    bootstrap_difference,
    compare_images,
    mcnemar_exact,
    mean_and_deviation,
    t_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 10), (5, 10), (353, 360), (9940, 10000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_wilson_is_statsmodels(successes, n, confidence):
    expected = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    found = wilson_interval(successes, n, confidence)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 <= found[0] <= successes / n <= found[1] <= 1


def test_wilson_of_all_correct_is_the_closed_form():
    # With every trial a success the interval is [n / (n + z^2), 1].
    z = 1.959963984540054
    assert wilson_interval(20, 20) == pytest.approx((20 / (20 + z * z), 1), abs=1e-12)


def test_wilson_needs_a_trial():
    with pytest.raises(DataError, match="no image"):
        wilson_interval(0, 0)


def test_mean_and_sample_deviation():
    assert mean_and_deviation([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx((5, math.sqrt(32 / 7)))


def test_one_value_has_no_deviation():
    assert mean_and_deviation([0.994]) == (0.994, None)


def test_no_value_is_an_error():
    with pytest.raises(DataError, match="no value"):
        mean_and_deviation([])


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_t_interval_is_statsmodels(confidence):
    values = [99.41, 99.38, 99.47, 99.40, 99.52]
    expected = DescrStatsW(values).tconfint_mean(alpha=1 - confidence)
    assert t_interval(values, confidence) == pytest.approx(expected, rel=1e-12)


def test_t_interval_of_two_values_is_the_closed_form():
    # One degree of freedom is the Cauchy distribution, whose quantile is a tangent.
    reach = math.tan(math.pi * (0.975 - 0.5)) * math.sqrt(0.5) / math.sqrt(2)
    assert t_interval([1, 2]) == pytest.approx((1.5 - reach, 1.5 + reach), rel=1e-9)


def test_t_interval_of_equal_values():
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_t_interval_needs_two_values():
    with pytest.raises(DataError, match="one value"):
        t_interval([0.9])


# --- Single images ----------------------------------------------------------------------------------------------------


def answers(seeds, images, accuracy, rng):
    hard = rng.random(images)
    return np.stack([rng.random(images) * 0.5 + hard * 0.5 < accuracy for _ in range(seeds)])


@pytest.mark.parametrize(
    ("both", "n10", "n01", "neither"), [(90, 7, 2, 1), (0, 5, 0, 0), (50, 3, 3, 9), (900, 60, 31, 9)]
)
def test_mcnemar_is_statsmodels_and_scipy(both, n10, n01, neither):
    a = np.repeat([True, True, False, False], [both, n10, n01, neither])
    b = np.repeat([True, False, True, False], [both, n10, n01, neither])
    found = mcnemar_exact(a, b)
    assert (found.n10, found.n01) == (n10, n01)
    assert found.p_value == pytest.approx(mcnemar([[both, n10], [n01, neither]], exact=True).pvalue, abs=1e-12)
    assert found.p_value == pytest.approx(stats.binomtest(min(n10, n01), n10 + n01).pvalue, abs=1e-12)


def test_mcnemar_of_equal_answers():
    a = np.array([True, False])
    assert mcnemar_exact(a, a).p_value == 1


def test_the_bootstrap_is_scipys():
    rng = np.random.default_rng(0)
    a, b = answers(3, 400, 0.8, rng), answers(2, 400, 0.75, rng)
    found = bootstrap_difference(a, b, resamples=40_000)
    per_image = a.mean(axis=0) - b.mean(axis=0)
    expected = stats.bootstrap((per_image,), np.mean, n_resamples=20_000, method="percentile", batch=500, rng=1)
    error = per_image.std() / 20
    assert found.difference == pytest.approx(a.mean() - b.mean(), abs=1e-12)
    # Monte Carlo error of a 2.5 % quantile of 20,000 resamples is 0.02 standard errors; six of those are allowed.
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), abs=0.12 * error)


def test_the_bootstrap_repeats_and_does_not_depend_on_its_chunks(monkeypatch):
    rng = np.random.default_rng(2)
    a, b = answers(5, 300, 0.9, rng), answers(5, 300, 0.9, rng)
    found = bootstrap_difference(a, b, seed=3)
    assert bootstrap_difference(a, b, seed=3) == found
    assert bootstrap_difference(a, b, seed=4) != found
    monkeypatch.setattr("sightline.stats.images.CHUNK", 100)
    assert bootstrap_difference(a, b, seed=3) == found


def test_images_that_are_right_as_often_leave_nothing_to_resample():
    a = answers(2, 50, 0.7, np.random.default_rng(0))
    found = bootstrap_difference(a, a)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_the_detail_of_a_pair_takes_its_seeds():
    rng = np.random.default_rng(5)
    a, b = answers(3, 200, 0.8, rng), answers(3, 200, 0.7, rng)
    detail = compare_images({0: a[0], 1: a[1], 2: a[2]}, {2: b[2], 1: b[1], 9: b[0]}, seed=1)
    assert detail.mcnemar == {1: mcnemar_exact(a[1], b[1]), 2: mcnemar_exact(a[2], b[2])}
    assert detail.bootstrap == bootstrap_difference(a[1:], b[1:], seed=1)
    apart = compare_images({0: a[0], 1: a[1]}, {1: b[1], 9: b[0], 10: b[2]}, seed=1)
    assert list(apart.mcnemar) == [1]
    assert apart.bootstrap == bootstrap_difference(a[:2], b[[1, 0, 2]], seed=1)


def test_different_images_are_refused():
    one, two = np.ones(5, dtype=bool), np.ones(6, dtype=bool)
    with pytest.raises(DataError, match="5 and 6 images"):
        mcnemar_exact(one, two)
    with pytest.raises(DataError, match="5 and 6 images"):
        compare_images({0: one, 1: two}, {0: one, 1: one})
    with pytest.raises(DataError, match="no seed"):
        compare_images({}, {0: one})
