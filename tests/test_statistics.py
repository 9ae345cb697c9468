"""Intervals against statsmodels and closed forms."""

from __future__ import annotations

import math

import pytest
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from sightline.errors import DataError
from sightline.statistics import mean_and_deviation, t_interval, wilson_interval


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
