"""Bagged mixture of normals: one component is the one normal, several see what one cannot, draws agree with moments."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, CovariateError
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.mixture import GaussianMixtureImputer


def two_regimes(n=400, seed=0):
    """Rows whose second gene follows the first with a sign that depends on the third: no single normal tells it."""
    rng = np.random.default_rng(seed)
    sign = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    first = rng.normal(size=n)
    X = np.column_stack([first, sign * first, 3 * sign]) + 0.2 * rng.normal(size=(n, 3))
    return X


def with_holes(X, rate=0.3, seed=1):
    rng = np.random.default_rng(seed)
    holes = rng.random(X.shape) < rate
    holes[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    return np.where(holes, np.nan, X)


def covariates(n):
    return pd.DataFrame(
        {"tissue": np.where(np.arange(n) % 2, "colon", "lung"), "donor": [f"d{i // 2}" for i in range(n)]}
    )


def test_it_sees_what_one_normal_cannot():
    X, new = two_regimes(), two_regimes(seed=5)
    asked = new.copy()
    asked[:, 1] = np.nan
    error = {}
    for name, imputer in (
        ("one", ConditionalGaussianImputer()),
        ("mixture", GaussianMixtureImputer(n_components=4, n_bags=3, strength=5, random_state=0)),
    ):
        error[name] = np.mean((imputer.fit(X).transform(asked)[:, 1] - new[:, 1]) ** 2)
    assert error["one"] > 0.8
    assert error["mixture"] < 0.4


def test_infinite_strength_is_the_one_normal():
    X = with_holes(two_regimes(120))
    mixture = GaussianMixtureImputer(strength=1e9, n_bags=2, n_components=3, random_state=0).fit(X)
    one = ConditionalGaussianImputer().fit(X)
    # the components' means still move by what their members are worth beside one sample of the whole's
    covariance = mixture._bags[0][0].components[1].covariance
    np.testing.assert_allclose(covariance, one.covariances_[0], atol=1e-4)


@pytest.mark.parametrize("holes", [False, True])
def test_likelihood_never_falls_within_a_bag(holes):
    X = two_regimes(200)
    X = with_holes(X) if holes else X
    totals = []
    for rounds in (1, 2, 4, 8):
        imputer = GaussianMixtureImputer(
            n_components=3, n_bags=1, strength=1e-6, max_iter=rounds, tol=1e-12, random_state=0
        )
        Z = imputer.fit(X)._standardised(X)
        joint = imputer._bags[0][0].joint_log_likelihood(Z)
        totals.append(np.logaddexp.reduce(joint, axis=1).sum())
    # means and weights carry one sample of prior each, hence a hundredth of slack on some hundreds
    assert (np.diff(totals) > -0.5).all()
    assert totals[-1] > totals[0] + 5


@pytest.mark.parametrize("holes", [False, True])
def test_draws_agree_with_mean_and_standard_deviation(holes):
    X = two_regimes(150)
    imputer = GaussianMixtureImputer(n_components=3, n_bags=4, strength=10, random_state=0)
    imputer.fit(with_holes(X) if holes else X)
    asked = with_holes(two_regimes(6, seed=9), 0.6, seed=3)
    missing = np.isnan(asked)
    drawn = imputer.sample(asked, 6000, random_state=1)
    np.testing.assert_array_equal(drawn[:, ~missing], np.tile(asked[~missing], (6000, 1)))
    sd = imputer.conditional_sd(asked)[missing]
    np.testing.assert_allclose(drawn.mean(axis=0)[missing], imputer.transform(asked)[missing], atol=0.06)
    np.testing.assert_allclose(drawn.std(axis=0)[missing], sd, rtol=0.08)


def test_same_seed_same_numbers_and_the_seed_matters():
    X = with_holes(two_regimes(150))
    a, b, c = (GaussianMixtureImputer(random_state=s, n_bags=2).fit_transform(X) for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_tissue_that_was_not_fitted_is_refused_or_pooled():
    X = two_regimes(80)
    known, unknown = covariates(80), covariates(80).assign(tissue="brain")
    asked = with_holes(X)
    with pytest.raises(CovariateError, match="brain"):
        GaussianMixtureImputer(n_bags=1).fit(X, covariates=known).transform(asked, covariates=unknown)
    pooled = GaussianMixtureImputer(n_bags=1, unknown_category="pool").fit(X, covariates=known)
    assert np.isfinite(pooled.transform(asked, covariates=unknown)).all()


@pytest.mark.parametrize("bad", [{"n_components": 0}, {"n_bags": 0}, {"strength": 0}, {"max_iter": 0}, {"group": 3}])
def test_parameters_out_of_range_are_named(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        GaussianMixtureImputer(**bad).fit(two_regimes(30))
