"""The conditional Gaussian against formulas written out row by row, scipy's densities, and real data."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf, oas

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers import _normal
from reproduce.imputers.gaussian import ConditionalGaussianImputer


def draws(n, p=9, seed=0, rate=0.4):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(p, 3))
    X = rng.multivariate_normal(rng.normal(size=p), A @ A.T + 0.2 * np.eye(p), size=n)
    hidden = rng.random((n, p)) < rate
    return X, np.where(hidden, np.nan, X)


def tissues(n):
    return pd.DataFrame({"tissue": np.where(np.arange(n) % 3, "lung", "colon")})


def brute_force(Z, mean, covariance):
    """Conditional mean and sd of each row, one row at a time."""
    filled, sd = Z.copy(), np.zeros_like(Z)
    for i, z in enumerate(Z):
        M, O = np.isnan(z), ~np.isnan(z)
        if not M.any():
            continue
        regression = covariance[np.ix_(M, O)] @ np.linalg.inv(covariance[np.ix_(O, O)])
        filled[i, M] = mean[M] + regression @ (z[O] - mean[O])
        sd[i, M] = np.sqrt(np.diag(covariance[np.ix_(M, M)] - regression @ covariance[np.ix_(O, M)]))
    return filled, sd


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("holes_in_training", [False, True])
def test_filled_values_and_sd_are_the_conditional_ones(rate, holes_in_training):
    complete, holes = draws(150)
    X_train = holes if holes_in_training else complete
    X = draws(60, seed=1, rate=rate)[1]
    X[0] = np.nan
    imputer = ConditionalGaussianImputer().fit(X_train, covariates=tissues(150))
    filled = imputer.transform(X, covariates=tissues(60))
    sd = imputer.conditional_sd(X, covariates=tissues(60))
    codes = np.where(np.arange(60) % 3, 2, 1)  # colon before lung
    for code in (1, 2):
        rows = codes == code
        Z = (X[rows] - imputer.center_) / imputer.scale_
        expected, expected_sd = brute_force(Z, imputer.means_[code], imputer.covariances_[code])
        np.testing.assert_allclose(filled[rows], expected * imputer.scale_ + imputer.center_, atol=1e-9)
        np.testing.assert_allclose(sd[rows], expected_sd * imputer.scale_, atol=1e-9)


def test_batches_change_nothing(monkeypatch):
    _, X = draws(80)
    whole = ConditionalGaussianImputer().fit_transform(X)
    monkeypatch.setattr(_normal, "BATCH_BYTES", 2000)
    np.testing.assert_allclose(ConditionalGaussianImputer().fit_transform(X), whole, atol=1e-9)


def test_complete_rows_give_ledoit_and_wolf_on_correlations():
    X, _ = draws(40)
    imputer = ConditionalGaussianImputer().fit(X)
    Z = (X - imputer.center_) / imputer.scale_
    expected, weight = ledoit_wolf(Z, assume_centered=True)
    assert 0 < weight < 1
    np.testing.assert_allclose(imputer.covariances_[0], expected, atol=1e-12)
    np.testing.assert_allclose(imputer.means_[0], 0, atol=1e-12)


def test_likelihood_is_that_of_the_known_entries():
    _, Z = draws(50)
    rng = np.random.default_rng(3)
    A = rng.normal(size=(9, 9))
    normal = _normal.Normal.of(rng.normal(size=9), A @ A.T + np.eye(9))
    _, _, value = _normal.expectation(Z, normal)
    expected = 0.0
    for z in Z:
        O = ~np.isnan(z)
        if O.any():
            expected += multivariate_normal.logpdf(z[O], normal.mean[O], normal.covariance[np.ix_(O, O)])
    assert value.sum() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shrinkage", [None, 0.1, "ledoit_wolf"])
@pytest.mark.parametrize("pooling", [0.0, 20.0])
def test_em_never_lowers_the_posterior(shrinkage, pooling):
    _, X = draws(90)
    imputer = ConditionalGaussianImputer(shrinkage=shrinkage, pooling=pooling, tol=1e-4, max_iter=40)
    imputer.fit(X, covariates=tissues(90))
    assert len(imputer.log_posterior_) == 2
    for trace in imputer.log_posterior_:
        assert len(trace) > 3
        assert (np.diff(trace) > -1e-7 * np.abs(trace[1:])).all()
        assert trace[-1] > trace[0]


def test_em_recovers_the_covariance_of_many_rows():
    complete, holes = draws(4000, rate=0.3)
    imputer = ConditionalGaussianImputer(shrinkage=None, tol=1e-5, max_iter=300).fit(holes)
    assert imputer.converged_
    Z = (complete - imputer.center_) / imputer.scale_
    np.testing.assert_allclose(imputer.covariances_[0], np.cov(Z.T, ddof=0), atol=0.06)


def test_few_rounds_are_reported():
    _, X = draws(60)
    imputer = ConditionalGaussianImputer(max_iter=2).fit(X)
    assert imputer.n_iter_ == 2 and not imputer.converged_


def test_unknown_tissue_has_mean_and_covariance_of_all_together():
    X, _ = draws(300)
    imputer = ConditionalGaussianImputer(shrinkage=None, pooling=0).fit(X, covariates=tissues(300))
    Z = (X - imputer.center_) / imputer.scale_
    np.testing.assert_allclose(imputer.means_[0], 0, atol=1e-10)
    np.testing.assert_allclose(imputer.covariances_[0], np.cov(Z.T, ddof=0), atol=1e-4)


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("shrinkage", [None, "ledoit_wolf"])
def test_singular_cases_stay_finite(rate, shrinkage):
    """Fewer rows than genes, a gene twice, a gene constant in one tissue, a tissue of one sample."""
    complete, holes = draws(24, p=40, rate=rate)
    X = holes if rate else complete
    X[:, 1] = X[:, 0]
    covariates = pd.DataFrame({"tissue": ["alone"] + ["colon"] * 11 + ["lung"] * 12})
    X[12:, 3] = 0.0
    imputer = ConditionalGaussianImputer(shrinkage=shrinkage).fit(X, covariates=covariates)
    X_test = draws(24, p=40, seed=1, rate=0.5)[1]
    filled = imputer.transform(X_test, covariates=covariates)
    assert np.isfinite(filled).all()
    assert np.isfinite(imputer.conditional_sd(X_test, covariates=covariates)).all()
    assert np.abs(filled).max() < 1e3


def test_sd_covers():
    """Of normal data, 95 % lie within 1.96 standard deviations."""
    complete, _ = draws(2000)
    truth, X = complete[1000:], draws(2000)[1][1000:]
    imputer = ConditionalGaussianImputer().fit(complete[:1000])
    hidden = np.isnan(X)
    z = ((truth - imputer.transform(X)) / np.where(hidden, imputer.conditional_sd(X), 1))[hidden]
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.02)


def r2(truth, filled, hidden):
    scores = []
    for j in range(truth.shape[1]):
        rows = hidden[:, j]
        y = truth[rows, j]
        scores.append(1 - np.sum((y - filled[rows, j]) ** 2) / np.sum((y - y.mean()) ** 2))
    return np.mean(scores)


def test_scores_on_gtex(test_data):
    table = pd.read_csv(test_data / "p53" / "gtex_lung_colon.csv", index_col=0)
    covariates = table[["tissue"]]
    X = np.log1p(table.drop(columns="tissue").astype(float)).to_numpy()
    donor = pd.factorize(table.index.str.split("-").str[1])[0]
    rng = np.random.default_rng(0)
    test = rng.random(donor.max() + 1)[donor] < 0.25
    hidden = rng.random(X.shape) < 0.5
    holes = np.where(hidden, np.nan, X)
    imputer = ConditionalGaussianImputer().fit(X[~test], covariates=covariates[~test])
    inductive = imputer.transform(holes[test], covariates=covariates[test])
    assert r2(X[test], inductive, hidden[test]) > 0.77
    in_place = ConditionalGaussianImputer().fit_transform(holes[~test], covariates=covariates[~test])
    assert r2(X[~test], in_place, hidden[~test]) > 0.74


def test_draws_have_the_conditional_mean_covariance_and_known_entries():
    _, X = draws(60)
    imputer = ConditionalGaussianImputer().fit(X)
    Z = X[:3].copy()
    Z[:, :4] = np.nan
    Z[:, 4:] = np.where(np.isnan(Z[:, 4:]), 0.0, Z[:, 4:])
    sampled = imputer.sample(Z, 4000, random_state=0)
    np.testing.assert_array_equal(sampled[:, :, 4:], np.broadcast_to(Z[:, 4:], sampled[:, :, 4:].shape))
    np.testing.assert_allclose(sampled.mean(axis=0), imputer.transform(Z), atol=0.08)
    np.testing.assert_allclose(sampled[:, :, :4].std(axis=0), imputer.conditional_sd(Z)[:, :4], rtol=0.06)
    precision = imputer.covariances_[0] / 1.0
    expected = np.linalg.inv(np.linalg.inv(precision)[:4, :4]) * np.outer(imputer.scale_[:4], imputer.scale_[:4])
    np.testing.assert_allclose(np.cov(sampled[:, 0, :4].T), expected, atol=0.08 * np.abs(expected).max())


def test_intervals_are_the_quantiles_of_the_draws():
    _, X = draws(60)
    imputer = ConditionalGaussianImputer().fit(X)
    lower, upper = imputer.intervals(X[:4], 0.8)
    sampled = imputer.sample(X[:4], 4000, random_state=1)
    missing = np.isnan(X[:4])
    np.testing.assert_array_equal(lower[~missing], X[:4][~missing])
    assert (lower[missing] < upper[missing]).all()
    inside = ((sampled > lower) & (sampled < upper))[:, missing].mean(axis=0)
    np.testing.assert_allclose(inside, 0.8, atol=0.03)


def test_shrinkage_by_hidden_entries_is_strong_for_few_rows_without_dependence_and_weak_for_many_with():
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(25, 8))
    factor = rng.normal(size=(400, 1))
    dependent = factor + 0.3 * rng.normal(size=(400, 8))
    chosen = [ConditionalGaussianImputer(shrinkage="held_out").fit(X).shrinkage_ for X in (independent, dependent)]
    assert chosen[0] >= 0.4
    assert chosen[1] <= 0.05


def test_oas_is_its_weight_on_correlations_and_needs_complete_rows():
    X, with_holes = draws(40)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    _, weight = oas(scaled, assume_centered=True)
    fitted = ConditionalGaussianImputer(shrinkage="oas").fit(X)
    expected = ConditionalGaussianImputer(shrinkage=float(weight)).fit(X)
    np.testing.assert_allclose(fitted.covariances_, expected.covariances_, atol=1e-12)
    with pytest.raises(ConfigError, match="oas"):
        ConditionalGaussianImputer(shrinkage="oas").fit(with_holes)


def test_a_weight_chosen_on_left_out_donors_needs_two_of_them():
    X = np.random.default_rng(0).normal(size=(12, 4))
    covariates = pd.DataFrame({"tissue": "lung", "donor": ["one"] * 12})
    with pytest.raises(DataFormatError, match="shrinkage='held_out'"):
        ConditionalGaussianImputer(shrinkage="held_out").fit(X, covariates=covariates)
