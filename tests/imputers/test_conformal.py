"""Calibrated intervals: they hold what they promise, for any method, and change nothing of what is filled in."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers import make_imputer
from reproduce.imputers._residual_scale import fit_quantiles, fit_scale
from reproduce.imputers.conformal import ConformalImputer
from reproduce.imputers.knn import KNNImputer


def cohort(n=300, p=8, seed=0, *, noisy=False):
    """Rows of donors with two tissues; with `noisy`, a third of the rows have errors three times as large."""
    rng = np.random.default_rng(seed)
    A = np.random.default_rng(99).normal(size=(2, p))
    spread = np.where(rng.random((n, 1)) < (1 / 3 if noisy else 0), 3.0, 1.0)
    X = rng.normal(size=(n, 2)) @ A + 0.6 * spread * rng.normal(size=(n, p)) + 5
    index = [f"s{seed}-{i}" for i in range(n)]
    tissue = np.where(np.arange(n) % 2, "lung", "colon")
    donor = [f"d{seed}-{i // 2}" for i in range(n)]
    covariates = pd.DataFrame({"tissue": tissue, "donor": donor}, index=index)
    return pd.DataFrame(X, index=index, columns=[f"G{j}" for j in range(p)]), covariates


def holes(X, rate, seed=1):
    return X.mask(np.random.default_rng(seed).random(X.shape) < rate)


def covered(imputer, truth, X, covariates, level):
    low, high = imputer.intervals(X, level, covariates=covariates)
    hidden = X.isna().to_numpy()
    inside = (truth.to_numpy() >= low) & (truth.to_numpy() <= high)
    return inside[hidden].mean()


@parametrize_with_checks([ConformalImputer(n_folds=2, n_repeats=1, random_state=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", ["gaussian", "knn_10", "median"])
@pytest.mark.parametrize("noisy", [False, True])
def test_intervals_cover_at_every_missing_rate(method, noisy):
    X, covariates = cohort(noisy=noisy)
    imputer = ConformalImputer(method, random_state=0).fit(X, covariates=covariates)
    truth, rows = cohort(n=1000, seed=1, noisy=noisy)
    for rate in (0.15, 0.5, 0.9):
        for level in (0.5, 0.95):
            found = covered(imputer, truth, holes(truth, rate), rows, level)
            assert found == pytest.approx(level, abs=0.035), (rate, level)


@pytest.mark.parametrize("method", ["gaussian", "knn_10"])
def test_intervals_cover_in_place(method):
    truth, covariates = cohort(n=400)
    X = holes(truth, 0.4)
    imputer = ConformalImputer(method, random_state=0).fit(X, covariates=covariates)
    for level in (0.5, 0.95):
        assert covered(imputer, truth, X, covariates, level) == pytest.approx(level, abs=0.035)


def test_strange_rows_have_wide_intervals():
    X, covariates = cohort(noisy=True)
    truth, rows = cohort(n=600, seed=1, noisy=True)
    test = holes(truth, 0.4)
    hidden = test.isna().to_numpy()

    def correlation(imputer):
        imputer.fit(X, covariates=covariates)
        error = np.abs(truth - imputer.transform(test, covariates=rows)).to_numpy()[hidden]
        return np.corrcoef(error, imputer.conditional_sd(test, covariates=rows)[hidden])[0, 1]

    assert correlation(ConformalImputer(random_state=0)) > correlation(make_imputer("gaussian")) + 0.1


def test_what_is_filled_in_is_the_methods_own():
    X, covariates = cohort(n=60)
    test = holes(cohort(n=20, seed=1)[0], 0.4)
    rows = cohort(n=20, seed=1)[1]
    for method in (KNNImputer(n_neighbors=3), make_imputer("gaussian")):
        own = clone(method).fit(X, covariates=covariates).transform(test, covariates=rows)
        calibrated = ConformalImputer(method, n_repeats=1).fit(X, covariates=covariates)
        np.testing.assert_array_equal(calibrated.transform(test, covariates=rows), own)


def test_draws_have_the_intervals_quantiles_and_belong_together():
    X, covariates = cohort(n=200)
    imputer = ConformalImputer("knn_10", random_state=0).fit(X, covariates=covariates)
    test, rows = cohort(n=4, seed=1)
    test.iloc[:, :4] = np.nan
    draws = imputer.sample(test, 3000, covariates=rows, random_state=0)
    low, high = imputer.intervals(test, 0.8, covariates=rows)
    missing = test.isna().to_numpy()
    inside = ((draws > low) & (draws < high))[:, missing].mean(axis=0)
    np.testing.assert_allclose(inside, 0.8, atol=0.03)
    sd = imputer.conditional_sd(test, covariates=rows)
    around = draws - np.asarray(imputer.transform(test, covariates=rows))
    np.testing.assert_allclose(np.sqrt((around**2).mean(axis=0))[missing], sd[missing], rtol=0.08)
    np.testing.assert_array_equal(draws[:, ~missing], np.broadcast_to(test.to_numpy()[~missing], (3000, 16)))
    gaussian = make_imputer("gaussian").fit(X, covariates=covariates)
    expected = np.corrcoef(gaussian.sample(test, 3000, covariates=rows, random_state=1)[:, 0, :4].T)
    assert np.abs(expected[np.triu_indices(4, 1)]).max() > 0.2  # there is something to belong together
    np.testing.assert_allclose(np.corrcoef(draws[:, 0, :4].T), expected, atol=0.1)


def test_rows_seen_in_fitting_are_judged_by_a_gaussian_that_was_not_fitted_to_them():
    truth, covariates = cohort(n=40, p=12)
    X = holes(truth, 0.3)
    imputer = ConformalImputer(random_state=0, n_repeats=1).fit(X, covariates=covariates)
    Z, encoded = imputer._standardised(X.to_numpy()), imputer._encoded(covariates)
    to_others = imputer._log_dispersion_unseen(Z, encoded)
    as_new = imputer._log_dispersion_unseen(Z + 1e-9, encoded)  # the same rows, not recognised
    assert (to_others - as_new).mean() > 0.1  # strange to whom does not know them


def test_same_random_state_same_intervals_and_copies_agree():
    X, covariates = cohort(n=60)
    test, rows = cohort(n=10, seed=1)
    test = holes(test, 0.4)
    one, two, other = (ConformalImputer(random_state=s).fit(X, covariates=covariates) for s in (0, 0, 1))
    bounds = one.intervals(test, covariates=rows)
    np.testing.assert_array_equal(bounds, two.intervals(test, covariates=rows))
    np.testing.assert_allclose(pickle.loads(pickle.dumps(one)).intervals(test, covariates=rows), bounds, atol=1e-12)
    assert not np.array_equal(bounds, other.intervals(test, covariates=rows))


def test_rescaling_a_gene_rescales_its_intervals():
    X, covariates = cohort(n=60)
    test, rows = cohort(n=10, seed=1)
    test = holes(test, 0.4)
    scale = np.array([4.0, 0.25, 1.0, 1024.0, 0.5, 2.0, 1.0, 8.0])
    low, high = ConformalImputer(random_state=0).fit(X, covariates=covariates).intervals(test, covariates=rows)
    moved = ConformalImputer(random_state=0).fit(X * scale + 3, covariates=covariates)
    low_moved, high_moved = moved.intervals(test * scale + 3, covariates=rows)
    np.testing.assert_allclose((low_moved - 3) / scale, low, atol=1e-6)
    np.testing.assert_allclose((high_moved - 3) / scale, high, atol=1e-6)


def test_what_cannot_be_calibrated_is_refused():
    X, covariates = cohort(n=20)
    with pytest.raises(ConfigError, match="known methods"):
        ConformalImputer("magic").fit(X)
    with pytest.raises(ConfigError, match="held-out donors"):
        ConformalImputer("missforest_10").fit(X)
    with pytest.raises(ConfigError, match="imputer is a int"):
        ConformalImputer(3).fit(X)
    with pytest.raises(DataFormatError, match="at least two donors"):
        ConformalImputer().fit(X, covariates=covariates.assign(donor="one"))


def test_a_gene_known_in_one_fold_only_has_the_errors_of_all_genes():
    X, _ = cohort(n=40)
    X["G3"] = X["G3"].where(np.arange(40) < 2)
    imputer = ConformalImputer(random_state=0).fit(X)
    low, high = imputer.intervals(X)
    assert np.isfinite(low).all() and np.isfinite(high).all()
    assert (high - low)[5, 3] > 0


def test_scale_finds_what_errors_grow_with():
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(3000, 3))
    errors = np.exp(0.5 + 0.7 * feature) * rng.laplace(size=feature.shape)
    features = np.stack([np.ones_like(feature), feature], axis=2)
    groups = np.where(np.arange(3000) % 2, 1, 2)
    errors[groups == 2] *= 2
    scale = fit_scale(errors, np.ones_like(errors), features, groups, 2, pooling=1.0)
    np.testing.assert_allclose(scale.coefficients[:, 1], 0.7, atol=0.06)
    np.testing.assert_allclose(scale.factors[2] / scale.factors[1], 2, rtol=0.1)


def test_quantiles_are_conformal_and_drawn_together():
    """Of 19 errors the interval between the 1st and the 19th holds a 20th with probability 18/20."""
    errors = np.random.default_rng(0).normal(size=(19, 1))
    alone = fit_quantiles(errors, np.ones_like(errors), pooling=1e-9)
    np.testing.assert_allclose(
        [alone.at(0.05)[0], alone.at(0.95)[0]], [errors.min(), errors.max()], rtol=0.01
    )  # straight between kept scores
    two = np.random.default_rng(1).normal(size=(400, 2)) * [1.0, 4.0]
    apart = fit_quantiles(two, np.ones_like(two), pooling=1e-9).at(0.9)
    together = fit_quantiles(two, np.ones_like(two), pooling=1e9).at(0.9)
    assert apart[1] > 3 * apart[0] and together[0] == pytest.approx(together[1])


def test_intervals_cover_on_gtex(test_data):
    table = pd.read_csv(test_data / "p53" / "gtex_lung_colon.csv", index_col=0)
    donor = table.index.str.split("-").str[1]
    covariates = table[["tissue"]].assign(donor=donor)
    X = np.log1p(table.drop(columns="tissue").astype(float))
    code = pd.factorize(donor)[0]
    test = np.random.default_rng(0).random(code.max() + 1)[code] < 0.4
    imputer = ConformalImputer(random_state=0).fit(X[~test], covariates=covariates[~test])
    for rate in (0.2, 0.8):
        for tissue, rows in X[test].groupby(covariates.loc[test, "tissue"]):
            for level in (0.5, 0.95):
                found = covered(imputer, rows, holes(rows, rate), covariates.loc[rows.index], level)
                assert found == pytest.approx(level, abs=0.04), (tissue, rate)
