"""Weighted best: weights go to the member that is right, differ with how much is known, and see no scored entry."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.imputers.best import BestImputer, _interpolated, _Tried, _weights
from reproduce.imputers.gaussian import ConditionalGaussianImputer


def factor_data(n=160, n_genes=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, n_genes)) + 0.4 * rng.normal(size=(n, n_genes))


def with_holes(X, rate, seed=1):
    return np.where(np.random.default_rng(seed).random(X.shape) < rate, np.nan, X)


def test_the_member_that_is_right_gets_the_weight():
    X = factor_data()
    imputer = BestImputer(members=("median", "gaussian"), random_state=0).fit(X)
    assert (imputer.weights_[:, 1] > 0.9).all()
    assert imputer.held_out_rmse_[1] < 0.7 * imputer.held_out_rmse_[0]
    np.testing.assert_allclose(imputer.weights_.sum(axis=1), 1.0)


def test_one_member_alone_is_that_member():
    X = factor_data()
    asked = with_holes(factor_data(seed=4), 0.4)
    alone = BestImputer(members=("gaussian",), random_state=0).fit(X).transform(asked)
    np.testing.assert_allclose(alone, ConditionalGaussianImputer().fit(X).transform(asked), atol=1e-12)


def test_weights_are_the_constrained_least_squares_ones():
    rng = np.random.default_rng(0)
    truth, visible = rng.normal(size=4000), rng.choice([0.25, 0.75], size=4000)
    errors = rng.normal(size=(3, 4000)) * np.where(visible < 0.5, [[1.0], [2.0], [9.0]], [[2.0], [1.0], [9.0]])
    tried = _Tried(truth + errors, truth, np.ones(4000), visible, np.zeros(4000, dtype=int))
    weights = _weights(tried)
    # independent errors are weighed by the inverse of their variances
    np.testing.assert_allclose(weights[0], np.array([1, 1 / 4, 1 / 81]) / (1 + 1 / 4 + 1 / 81), atol=0.03)
    np.testing.assert_allclose(weights[1], np.array([1 / 4, 1, 1 / 81]) / (1 + 1 / 4 + 1 / 81), atol=0.03)
    np.testing.assert_allclose(_interpolated(weights, np.array([0.5]))[0], weights.mean(axis=0))
    np.testing.assert_allclose(_interpolated(weights, np.array([0.0, 1.0])), weights)


def test_what_is_filled_does_not_change_the_weights():
    X = factor_data()
    imputer = BestImputer(members=("median", "gaussian"), random_state=0).fit(X)
    before = imputer.weights_.copy()
    imputer.transform(with_holes(100 + factor_data(seed=3), 0.5))
    np.testing.assert_array_equal(imputer.weights_, before)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_standard_deviation_is_that_of_its_errors(rate):
    X, new = factor_data(300), factor_data(300)
    fitted = with_holes(X, rate) if rate else X
    asked = with_holes(new, 0.4, seed=7)
    imputer = BestImputer(members=("gaussian", "knn_10"), random_state=0).fit(fitted)
    missing = np.isnan(asked)
    standardised = ((imputer.transform(asked) - new) / np.where(missing, imputer.conditional_sd(asked), 1))[missing]
    assert standardised.std() == pytest.approx(1.0, abs=0.15)
    lower, upper = imputer.intervals(asked, 0.8)
    assert ((new > lower) & (new < upper))[missing].mean() == pytest.approx(0.8, abs=0.06)


def test_draws_surround_the_ensembles_own_mean():
    X = factor_data()
    asked = with_holes(factor_data(6, seed=9), 0.5)
    missing = np.isnan(asked)
    imputer = BestImputer(members=("knn_10", "gaussian"), random_state=0).fit(X)
    drawn = imputer.sample(asked, 4000, random_state=0)
    np.testing.assert_allclose(drawn.mean(axis=0)[missing], imputer.transform(asked)[missing], atol=0.08)
    np.testing.assert_allclose(drawn.std(axis=0)[missing], imputer.conditional_sd(asked)[missing], rtol=0.08)


def test_donors_are_never_on_both_sides():
    # every donor's two rows are equal: whoever has one of them knows the other
    half = factor_data(40, seed=2)
    X = np.repeat(half, 2, axis=0)
    X += 1e-6 * np.random.default_rng(0).normal(size=X.shape)
    covariates = pd.DataFrame({"donor": np.repeat(np.arange(40).astype(str), 2), "tissue": "lung"})
    apart = BestImputer(members=("knn_1", "gaussian"), random_state=0).fit(X, covariates=covariates)
    together = BestImputer(members=("knn_1", "gaussian"), random_state=0).fit(X)
    assert together.held_out_rmse_[0] < 0.75 * apart.held_out_rmse_[0]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"members": ()}, "members"),
        ({"members": ("gaussian", "gaussian")}, "members"),
        ({"members": ("missforest_10", "gaussian")}, "missforest_10"),
        ({"members": ("best",)}, "best"),
        ({"members": ("median",)}, "distribution"),
        ({"members": ("gaussian",), "member_parameters": {"pmi": {}}}, "pmi"),
        ({"members": ("gaussian",), "n_folds": 1}, "n_folds"),
    ],
)
def test_parameters_out_of_range_are_named(bad, word):
    with pytest.raises(ConfigError, match=word):
        BestImputer(**bad).fit(factor_data(30))
