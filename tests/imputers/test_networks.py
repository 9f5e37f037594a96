"""PMI and GAIN as estimators: every option changes the outcome, early stopping respects donors, copies fill alike."""

import pickle

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, CovariateError
from reproduce.imputers import make_imputer
from reproduce.imputers.gain import GAINImputer
from reproduce.imputers.pmi import PMIImputer

FAST = {"hidden_layers": 1, "hidden_units": 12, "epochs": 3, "steps_per_epoch": 4, "batch_size": 8, "random_state": 0}
SHARED = {
    "hidden_layers": 2,
    "hidden_units": 5,
    "dropout": 0.6,
    "batch_normalization": False,
    "learning_rate": 0.05,
    "batch_size": 4,
    "epochs": 2,
    "steps_per_epoch": 9,
    "validation_fraction": 0.5,
    "random_state": 1,
}
CHANGES = [
    *((PMIImputer, name, value) for name, value in (SHARED | {"pseudo_missing_rate": 0.2}).items()),
    *((GAINImputer, name, value) for name, value in SHARED.items()),
    (GAINImputer, "discriminator", False),
    (GAINImputer, "training_missing_rate", 0.1),
    (GAINImputer, "training_missing_rate", [0.1, 0.9]),
    (GAINImputer, "discriminator_dropout", 0.6),
    (GAINImputer, "hint_rate", 0.1),
    (GAINImputer, "reconstruction_weight", 100.0),
    (GAINImputer, "noise_scale", 3.0),
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1)) + 0.5 * rng.normal(size=(40, 6)) + 5
    covariates = pd.DataFrame(
        {
            "tissue": np.tile(["Lung", "Colon"], 20),
            "age": rng.uniform(20, 70, 40),
            "donor": np.repeat([f"d{i}" for i in range(20)], 2),
        }
    )
    holes = rng.random((40, 6)) < 0.4
    return X, np.where(holes, np.nan, X), covariates


def filled(cls, data, **changes):
    X, X_holes, covariates = data
    return cls(**FAST | changes).fit(X, covariates=covariates).transform(X_holes, covariates=covariates)


@pytest.mark.parametrize(("cls", "name", "value"), CHANGES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_each_option_changes_the_outcome(cls, name, value, data):
    assert not np.allclose(filled(cls, data), filled(cls, data, **{name: value}), atol=1e-5)


@pytest.mark.parametrize("cls", [PMIImputer, GAINImputer])
def test_patience_ends_training_earlier(cls, data):
    X, _, covariates = data
    settings = FAST | {"epochs": 30, "learning_rate": 0.5}
    patient = cls(**settings, patience=None).fit(X, covariates=covariates)
    hasty = cls(**settings, patience=1).fit(X, covariates=covariates)
    assert len(hasty.history_) < len(patient.history_) == 30


@pytest.mark.parametrize("cls", [PMIImputer, GAINImputer])
def test_unknown_categories_are_pooled_on_request(cls, data):
    X, X_holes, covariates = data
    imputer = cls(**FAST, unknown_category="pool").fit(X, covariates=covariates)
    other = covariates.assign(tissue="Liver")
    unknown = covariates.assign(tissue=None)
    assert np.array_equal(imputer.transform(X_holes, covariates=other), imputer.transform(X_holes, covariates=unknown))


def test_validation_rows_are_whole_donors(data):
    X, _, covariates = data
    imputer = PMIImputer(**FAST, validation_fraction=0.3).fit(X, covariates=covariates)
    assert imputer.n_validation_samples_ == 12  # 6 of 20 donors with two rows each


def test_holes_are_what_automatic_rates_look_at():
    pmi, gain = PMIImputer(), GAINImputer()
    assert pmi._network_settings(True).pseudo_missing_rate == (0.5, 0.5)
    assert pmi._network_settings(False).pseudo_missing_rate == (0.1, 0.4)
    assert gain._network_settings(True).training_missing_rate == (0.5, 0.5)
    assert gain._network_settings(False).training_missing_rate == (0.0, 0.0)


@pytest.mark.parametrize("cls", [PMIImputer, GAINImputer])
def test_a_copy_fills_alike_and_holds_arrays_only(cls, data):
    X, X_holes, covariates = data
    imputer = cls(**FAST).fit(X, covariates=covariates)
    expected = imputer.transform(X_holes, covariates=covariates)
    copy = pickle.loads(pickle.dumps(imputer))
    assert copy._network is None
    assert np.array_equal(copy.transform(X_holes, covariates=covariates), expected)


def test_training_reduces_the_loss_and_beats_the_mean(data):
    X, X_holes, covariates = data
    imputer = PMIImputer(**FAST | {"epochs": 20, "steps_per_epoch": 20, "validation_fraction": 0.0})
    imputer.fit(X, covariates=covariates)
    assert imputer.history_["train_loss"].iloc[-1] < 0.7 * imputer.history_["train_loss"].iloc[0]
    hidden = np.isnan(X_holes)
    error = (imputer.transform(X_holes, covariates=covariates) - X)[hidden]
    assert (error**2).mean() < 0.7 * ((X - X.mean(axis=0))[hidden] ** 2).mean()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("pmi", {"dropout": 1.0}),
        ("pmi", {"epochs": 0}),
        ("pmi", {"pseudo_missing_rate": (0.9, 0.1)}),
        ("pmi", {"pseudo_missing_rate": "automatic"}),
        ("pmi", {"patience": 0}),
        ("gain", {"hint_rate": 1.5}),
        ("gain", {"training_missing_rate": 1.0}),
        ("gain", {"training_missing_rate": "none"}),
        ("gain", {"reconstruction_weight": 0.0}),
        ("gain", {"noise_scale": -1.0}),
    ],
)
def test_values_out_of_range_are_named(name, wrong, data):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        make_imputer(name, **wrong).fit(data[0])


@pytest.mark.parametrize("cls", [PMIImputer, GAINImputer])
def test_embeddings_are_named_and_are_what_the_network_uses(data, cls):
    X, _, covariates = data
    imputer = cls(**FAST).fit(X, covariates=covariates)
    table = imputer.category_embeddings("tissue")
    tissues = sorted(covariates["tissue"].unique())
    assert list(table.index) == tissues and table.shape[1] == int(len(tissues) ** 0.5) + 1
    assert any(np.array_equal(table.to_numpy(), weight) for weight in imputer.network_weights_)
    with pytest.raises(CovariateError, match="No embedding of 'donor'"):
        imputer.category_embeddings("donor")
