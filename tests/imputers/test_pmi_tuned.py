"""The tuned PMI as an estimator: every option matters, training rows leak nothing, error bars hold what they say."""

import pickle

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.imputers._covariates import CovariateEncoder
from reproduce.imputers._folds import donor_folds
from reproduce.imputers._pseudo_masks import MaskingSettings, masked_rows
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.pmi_tuned import TunedPMIImputer

FAST = {
    "hidden_units": 12,
    "epochs": 3,
    "steps_per_epoch": 4,
    "batch_size": 8,
    "masks_per_row": 3,
    "averaging": 0.5,
    "random_state": 0,
}
CHANGES = {
    "hidden_layers": 2,
    "hidden_units": 5,
    "dropout": 0.6,
    "layer_normalization": True,
    "activation": "relu",
    "covariate_scaling": True,
    "residual": False,
    "loss": "mse",
    "pseudo_missing_rate": 0.2,
    "synthetic_fraction": 0.5,
    "masks_per_row": 6,
    "n_folds": 3,
    "n_members": 1,
    "learning_rate": 0.05,
    "cosine": False,
    "averaging": 0.0,
    "batch_size": 4,
    "epochs": 2,
    "steps_per_epoch": 9,
    "group": None,
    "random_state": 1,
}


def cohort(n_donors=30, n_genes=6, seed=0):
    """Two tissues a donor, one of them with heavy-tailed noise."""
    rng = np.random.default_rng(seed)
    latent = np.repeat(rng.normal(size=(n_donors, 1)), 2, axis=0)
    loadings = np.random.default_rng(9).uniform(0.5, 1.5, (1, n_genes))
    noise = np.where(np.arange(2 * n_donors)[:, None] % 2, 0.4 * rng.standard_t(4, (2 * n_donors, n_genes)), 0.3)
    X = latent @ loadings + noise * rng.normal(size=(2 * n_donors, n_genes)) + 5
    covariates = pd.DataFrame(
        {
            "tissue": np.tile(["Lung", "Colon"], n_donors),
            "age": np.repeat(rng.uniform(20, 70, n_donors), 2),
            "donor": np.repeat([f"donor {seed}-{i}" for i in range(n_donors)], 2),
        }
    )
    return X, np.where(rng.random(X.shape) < 0.4, np.nan, X), covariates


@pytest.fixture(scope="module")
def data():
    return cohort()


@pytest.fixture(scope="module")
def plain(data):
    X, X_holes, covariates = data
    imputer = TunedPMIImputer(**FAST).fit(X, covariates=covariates)
    return imputer, imputer.transform(X_holes, covariates=covariates)


@pytest.mark.parametrize(("name", "value"), CHANGES.items(), ids=str)
def test_each_option_changes_the_outcome(name, value, data, plain):
    X, X_holes, covariates = data
    changed = TunedPMIImputer(**FAST | {name: value}).fit(X, covariates=covariates)
    assert not np.allclose(changed.transform(X_holes, covariates=covariates), plain[1], atol=1e-6)


def test_huber_differs_where_errors_are_large(data, plain):
    X, X_holes, covariates = data
    changed = TunedPMIImputer(**FAST | {"loss": "huber"}).fit(X, covariates=covariates)
    assert not np.allclose(changed.transform(X_holes, covariates=covariates), plain[1], atol=1e-6)


def encoded(X, covariates):
    Z = (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
    return Z, CovariateEncoder().fit(covariates).transform(covariates)


def versions_of(Z, covariates, folds, **changes):
    settings = {"masks_per_row": 4, "rates": (0.05, 0.95), "synthetic_fraction": 0.5, "group": "tissue"} | changes
    return masked_rows(
        Z, covariates, folds, ConditionalGaussianImputer, MaskingSettings(**settings), np.random.default_rng(0)
    )


def test_the_gaussian_of_a_training_row_never_saw_its_donor(data):
    """Changing all values of a fold's donors that are hidden leaves what is predicted of them as it is."""
    Z, covariates = encoded(data[0], data[2])
    folds = donor_folds(len(Z), covariates, 5, 0)
    before = versions_of(Z, covariates, folds)
    rows = before.real.rows(np.isin(before.origin, np.flatnonzero(folds == 2)))
    moved = Z.copy()
    moved[folds == 2] += 50 * np.random.default_rng(1).normal(size=moved[folds == 2].shape)
    after = versions_of(moved, covariates, folds).real.rows(np.isin(before.origin, np.flatnonzero(folds == 2)))
    # a fully hidden version is predicted by the mean of the other folds, whatever its own values are
    hidden = rows.input_mask.sum(axis=1) == 0
    assert hidden.any() and np.array_equal(rows.input_mask, after.input_mask)
    assert np.array_equal(rows.shown[hidden], after.shown[hidden])


def test_versions_ask_only_for_what_is_known_and_show_nothing_of_it(data):
    Z, covariates = encoded(data[1], data[2])
    made = versions_of(Z, covariates, donor_folds(len(Z), covariates, 5, 0))
    known = ~np.isnan(Z)[made.origin]
    assert np.array_equal(made.real.input_mask + made.real.target_mask, known.astype(np.float32))
    assert len(made.real) == len(made.synthetic) == 2 * len(Z)
    for part in (made.real, made.synthetic):
        assert all(np.isfinite(values).all() for values in part.arrays().values())
        asked = part.target_mask > 0
        assert (part.shown[asked] != part.expression[asked]).all()
        visible = part.input_mask > 0
        assert np.array_equal(part.shown[visible], part.expression[visible])
    assert ((made.variance > 0) == (made.real.input_mask == 0)).all()


def test_synthetic_rows_have_the_moments_of_real_ones():
    X, _, frame = cohort(n_donors=300)
    Z, covariates = encoded(X, frame)
    folds = donor_folds(len(Z), covariates, 5, 0)
    made = versions_of(Z, covariates, folds, masks_per_row=20).synthetic
    for code in (1, 2):
        real, synthetic = Z[covariates.codes[:, 0] == code], made.expression[made.codes[:, 0] == code]
        np.testing.assert_allclose(synthetic.mean(axis=0), real.mean(axis=0), atol=0.06)
        np.testing.assert_allclose(np.cov(synthetic.T), np.cov(real.T), atol=0.1)


def test_one_person_is_enough(data):
    X, X_holes, covariates = data
    covariates = covariates.assign(donor="the only one")
    imputer = TunedPMIImputer(**FAST).fit(X, covariates=covariates)
    assert np.isfinite(imputer.transform(X_holes, covariates=covariates)).all()
    assert (imputer.error_factors_ == 1).all()


def test_a_copy_is_sure_of_the_same_and_holds_arrays_only(data, plain):
    _, X_holes, covariates = data
    copy = pickle.loads(pickle.dumps(plain[0]))
    assert copy._network is None
    assert np.array_equal(copy.transform(X_holes, covariates=covariates), plain[1])
    sd = plain[0].conditional_sd(X_holes, covariates=covariates)
    assert np.array_equal(copy.conditional_sd(X_holes, covariates=covariates), sd)
    assert ((sd > 0) == np.isnan(X_holes)).all()


@pytest.fixture(scope="module", params=["mse", "student_t"])
def trained(request):
    X, _, covariates = cohort(n_donors=150)
    settings = FAST | {"epochs": 10, "steps_per_epoch": 40, "batch_size": 32, "masks_per_row": 20, "averaging": 0.98}
    return TunedPMIImputer(**settings, loss=request.param).fit(X, covariates=covariates)


def test_intervals_hold_the_fraction_they_promise(trained):
    truth, X_holes, covariates = cohort(n_donors=300, seed=5)
    hidden = np.isnan(X_holes)
    for level in (0.5, 0.8, 0.95):
        lower, upper = trained.intervals(X_holes, level, covariates=covariates)
        assert ((truth >= lower) & (truth <= upper))[hidden].mean() == pytest.approx(level, abs=0.04)


def test_draws_have_the_spread_and_correlation_that_is_predicted(trained):
    X, _, covariates = cohort(n_donors=4, seed=5)
    X_holes = np.where(np.arange(6) < 3, np.nan, X)
    draws = trained.sample(X_holes, 2000, covariates=covariates, random_state=0)
    assert np.array_equal(draws[:, :, 3:], np.repeat(X[None, :, 3:], 2000, axis=0))
    filled, sd = (f(X_holes, covariates=covariates) for f in (trained.transform, trained.conditional_sd))
    np.testing.assert_allclose(draws.mean(axis=0)[:, :3], filled[:, :3], atol=0.1)
    np.testing.assert_allclose((draws.std(axis=0) / np.where(sd > 0, sd, 1))[:, :3], 1, atol=0.15)
    # the genes share one hidden cause, which three noisy ones do not pin down
    assert np.mean([np.corrcoef(draws[:, row, :3].T)[0, 1] for row in range(len(X))]) > 0.03


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_layers": -1},
        {"n_folds": 1},
        {"n_members": 0},
        {"synthetic_fraction": 1.0},
        {"averaging": 1.0},
        {"loss": "mae"},
        {"activation": "tanh"},
        {"residual": 1},
        {"pseudo_missing_rate": (0.9, 0.1)},
        {"group": 3},
    ],
)
def test_values_out_of_range_are_named(wrong, data):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TunedPMIImputer(**wrong).fit(data[0])
