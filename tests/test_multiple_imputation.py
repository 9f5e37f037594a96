"""Rubin's rules against numbers worked by hand, against their limits, and against a simulation whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from reproduce.errors import ConfigError
from reproduce.multiple_imputation import pool


def test_worked_by_hand():
    """M = 3, q = 1, 2, 3, u = 0.5 each, 10 degrees of freedom: w = 0.5, b = 1, t = 0.5 + 4/3 = 11/6, γ = 8/11,
    ν_m = 2 / γ² = 3.78125, ν_obs = (3/11) · 10 · 11/13 = 30/13, so ν = 1 / (1/3.78125 + 13/30).
    """
    pooled = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], complete_degrees_of_freedom=10)
    assert pooled.estimate == 2 and pooled.within == 0.5 and pooled.between == 1
    assert pooled.total == pytest.approx(11 / 6)
    assert pooled.missing_information == pytest.approx(8 / 11)
    assert pooled.degrees_of_freedom == pytest.approx(1 / (1 / 3.78125 + 13 / 30))
    low, high = pooled.interval(0.95)
    half = stats.t.ppf(0.975, pooled.degrees_of_freedom) * np.sqrt(11 / 6)
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert pooled.p_values(null=float(high)) == pytest.approx(0.05)


def test_without_missing_entries_it_is_the_complete_analysis():
    pooled = pool(np.full((5, 2), 1.5), np.full((5, 2), 0.04), complete_degrees_of_freedom=[7.0, np.inf])
    np.testing.assert_allclose(pooled.total, 0.04)
    np.testing.assert_allclose(pooled.degrees_of_freedom[0], 7 * 8 / 10)  # Barnard and Rubin's (ν + 1) / (ν + 3)
    assert np.isinf(pooled.degrees_of_freedom[1])
    np.testing.assert_array_equal(pooled.missing_information, 0)


def test_infinite_complete_data_give_rubins_own_degrees_of_freedom():
    pooled = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
    assert pooled.degrees_of_freedom == pytest.approx(2 / (8 / 11) ** 2)


def test_what_has_no_variance_is_certain():
    pooled = pool(np.array([[1.0, 0.0]] * 3), np.zeros((3, 2)), complete_degrees_of_freedom=10)
    np.testing.assert_array_equal(pooled.p_values(), [0, 1])


@pytest.mark.parametrize(
    ("estimates", "variances", "freedom"),
    [([1.0], [1.0], 5), ([1.0, 2.0], [1.0], 5), ([1.0, np.nan], [1, 1], 5), ([1, 2], [1, -1], 5), ([1, 2], [1, 1], 0)],
)
def test_what_cannot_be_pooled_is_refused(estimates, variances, freedom):
    with pytest.raises(ConfigError):
        pool(estimates, variances, complete_degrees_of_freedom=freedom)


def test_coverage_is_nominal_for_proper_draws_and_too_low_for_improper_ones():
    """The mean of 40 values, half of them missing, in 4,000 worlds: draws from the posterior predictive distribution
    (proper) cover; draws from N(mean, sd) of the visible values as if these were known (improper) and the mean filled
    in once do not.
    """
    rng = np.random.default_rng(0)
    worlds, n, seen, m = 4000, 40, 20, 20
    x = rng.normal(size=(worlds, seen))
    mean, sd = x.mean(axis=1)[None, :, None], x.std(axis=1, ddof=1)[None, :, None]
    noise = rng.normal(size=(m, worlds, n - seen))
    drawn_sd = sd * np.sqrt((seen - 1) / rng.chisquare(seen - 1, size=(m, worlds, 1)))
    drawn_mean = mean + drawn_sd / np.sqrt(seen) * rng.normal(size=(m, worlds, 1))

    def coverage(missing):
        whole = np.concatenate([np.broadcast_to(x, (m, worlds, seen)), missing], axis=2)
        variance = whole.var(axis=2, ddof=1) / n
        low, high = pool(whole.mean(axis=2), variance, complete_degrees_of_freedom=n - 1).interval(0.95)
        return np.mean((low < 0) & (high > 0))

    assert coverage(drawn_mean + drawn_sd * noise) == pytest.approx(0.95, abs=0.012)
    assert coverage(mean + sd * noise) < 0.93
    assert coverage(np.broadcast_to(mean, noise.shape)) < 0.80
