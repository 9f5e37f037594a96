"""Chained ridge regressions against regressions done one by one, the exact normal, and data whose law is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

from reproduce.errors import ConfigError
from reproduce.imputers._normal import Normal, conditional_mean
from reproduce.imputers.chained_ridge import ChainedRidgeImputer, settled
from reproduce.metrics import gene_scores


def rows(n=300, n_genes=12, seed=0, noise=0.7):
    """Rows of three factors and noise, the tissue that shifts them, and the covariates."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(3, n_genes))
    tissue = np.arange(n) % 3
    X = rng.normal(size=(n, 3)) @ loadings + noise * rng.normal(size=(n, n_genes)) + tissue[:, None] * loadings[0]
    return X, pd.DataFrame({"tissue": np.array(["colon", "lung", "skin"])[tissue], "age": rng.uniform(20, 70, n)})


def hidden(shape, rate=0.5, seed=5):
    return np.random.default_rng(seed).random(shape) < rate


def test_one_inverse_holds_the_ridge_regressions_of_all_genes_on_all_others():
    X, covariates = rows()
    imputer = ChainedRidgeImputer(shrinkage=0.1).fit(X, covariates=covariates)
    table = imputer._columns(imputer._standardised(X), imputer._encoded(covariates))
    penalty = len(X) * 0.1 / 0.9
    for gene in range(X.shape[1]):
        others = np.arange(table.shape[1]) != gene
        one = Ridge(alpha=penalty, fit_intercept=False).fit(table[:, others], table[:, gene])
        np.testing.assert_allclose(imputer.coefficients_[gene, others], one.coef_, atol=1e-10)
    assert imputer.n_iter_ == 1 and imputer.converged_


@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_filled_values_are_those_that_no_regression_would_move(rate):
    X, covariates = rows()
    imputer = ChainedRidgeImputer().fit(X, covariates=covariates)
    X_test, test = rows(n=50, seed=1)
    missing = hidden(X_test.shape, rate)
    missing[0] = True
    filled = imputer.transform(np.where(missing, np.nan, X_test), covariates=test)
    table = imputer._columns(imputer._standardised(filled), imputer._encoded(test))
    regressed = table @ imputer.coefficients_.T
    np.testing.assert_allclose(regressed[missing], table[:, : X.shape[1]][missing], atol=1e-7)


def test_conjugate_gradients_reach_the_exact_conditional_mean():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(20, 4))
    normal = Normal.of(rng.normal(size=20), factors @ factors.T + 0.05 * np.eye(20))
    Z = rng.normal(size=(40, 20))
    missing = hidden(Z.shape)
    expected = conditional_mean(np.where(missing, np.nan, Z), normal)
    np.testing.assert_allclose(settled(Z, missing, normal, tol=1e-10), expected, atol=1e-8)


def test_conjugate_gradients_say_where_rounding_stops_them():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(100, 100)))
    scales = np.geomspace(1, 1e-14, 100)
    normal = Normal(np.zeros(100), basis / scales @ basis.T, basis * scales @ basis.T)
    Z = rng.normal(size=(3, 100))
    with pytest.warns(ConvergenceWarning, match="raise shrinkage"):
        settled(Z, np.ones(Z.shape, bool), normal, tol=1e-12)


def test_filled_values_do_not_confirm_themselves():
    """Half of the entries missing, the regressions must claim neither more nor much less than complete rows teach."""
    X, _ = rows(n=1500)
    complete = ChainedRidgeImputer().fit(X)
    holes = ChainedRidgeImputer().fit(np.where(hidden(X.shape), np.nan, X))
    ratio = holes.residual_variance_ / complete.residual_variance_
    assert (ratio > 0.75).all() and (ratio < 1.5).all()
    assert holes.n_iter_ > 3 and holes.converged_


def test_genes_that_share_nothing_are_left_at_their_mean():
    X = np.random.default_rng(0).normal(size=(200, 10))
    missing = hidden(X.shape)
    filled = ChainedRidgeImputer().fit_transform(np.where(missing, np.nan, X))
    assert np.abs(filled[missing] - np.mean(X)).mean() < 0.1


def test_covariates_fill_a_row_of_which_no_gene_is_known():
    X, covariates = rows()
    empty = np.full((3, X.shape[1]), np.nan)
    three = covariates.iloc[:3]
    imputer = ChainedRidgeImputer().fit(X, covariates=covariates)
    filled = imputer.transform(empty, covariates=three)
    means = np.stack([X[covariates["tissue"] == name].mean(axis=0) for name in three["tissue"]])
    assert np.corrcoef(filled.ravel(), means.ravel())[0, 1] > 0.95
    without = ChainedRidgeImputer(use_covariates=False).fit(X, covariates=covariates).transform(empty, covariates=three)
    np.testing.assert_allclose(without, np.tile(X.mean(axis=0), (3, 1)), atol=1e-9)


def test_intervals_hold_what_they_promise_and_draws_spread_as_they_do():
    X, _ = rows(n=600)
    X_test, _ = rows(n=300, seed=1)
    missing = hidden(X_test.shape)
    holes = np.where(missing, np.nan, X_test)
    imputer = ChainedRidgeImputer().fit(np.where(hidden(X.shape, seed=6), np.nan, X))
    low, high = imputer.intervals(holes, 0.9)
    assert 0.86 < np.mean((low <= X_test) & (X_test <= high), where=missing) < 0.94
    draws = imputer.sample(holes[:5], 2000, random_state=0)
    sd = imputer.conditional_sd(holes[:5])
    np.testing.assert_allclose(draws.std(axis=0)[missing[:5]], sd[missing[:5]], rtol=0.1)


def test_more_shrinkage_draws_filled_values_to_the_mean():
    X, _ = rows()
    missing = hidden(X.shape)
    spread = [
        ChainedRidgeImputer(shrinkage=weight).fit_transform(np.where(missing, np.nan, X))[missing].std()
        for weight in (0.0, 0.3, 0.9)
    ]
    assert spread[0] > spread[1] > spread[2]


def test_too_few_rounds_are_said():
    X, _ = rows()
    holes = np.where(hidden(X.shape), np.nan, X)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        assert not ChainedRidgeImputer(max_iter=2).fit(holes).converged_


@pytest.mark.parametrize("bad", [{"shrinkage": "oas"}, {"shrinkage": 1.0}, {"max_iter": 0}, {"tol": 0.0}])
def test_bad_hyperparameters_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        ChainedRidgeImputer(**bad).fit(rows()[0])


@pytest.mark.parametrize(("scenario", "least"), [("inductive", 0.765), ("in_place", 0.735)])
def test_real_data_no_less_accurate_than_mice(scenario, least, test_data, monkeypatch):
    """MICE has R² 0.76 inductively and 0.68 in place, as means over ten splits."""
    from reproduce.experiments.rows import prepare_rows
    from reproduce.experiments.trials import Trial
    from reproduce.loaders.study import load_study

    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    trial = Trial("fast_mice", scenario, 0)
    fit_rows, (target,) = prepare_rows(trial, load_study("student-p53"))
    imputer = ChainedRidgeImputer().fit(fit_rows.frame(), covariates=fit_rows.covariates(trial))
    filled = imputer.transform(target.frame(), covariates=target.covariates(trial))
    assert np.nanmean(gene_scores(target.truth, np.asarray(filled), target.evaluation_mask)["r2"]) > least
