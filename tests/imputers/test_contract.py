"""What every imputer promises, method by method from the registry; each test states one property of all of them."""

from __future__ import annotations

import importlib.util
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.guide.contract import EXPECTED_FAILED_CHECKS
from reproduce.imputers import METHODS

NETWORK = {
    "hidden_layers": 2, "hidden_units": 16, "dropout": 0.0, "epochs": 2, "steps_per_epoch": 3, "batch_size": 8,
}  # fmt: skip
#: Settings that make slow methods fast without changing what they do.
FAST = {
    "missforest_10": {"n_estimators": 3, "max_iter": 3},
    "missforest_100": {"n_estimators": 3, "max_iter": 3},
    "iterative_forest": {"n_estimators": 3, "max_iter": 2},
    "boosted_forest": {"n_estimators": 5, "min_samples_leaf": 3},
    "best": {"members": ("knn_5", "gaussian"), "n_folds": 2, "n_repeats": 1},
    "mixture": {"n_components": 2, "n_bags": 2},
    "pmi": NETWORK,
    "pmi_tuned": NETWORK | {"masks_per_row": 3},
    "gain": NETWORK,
    "gain_mse": NETWORK,
}
#: Methods whose file is there; test_registry.py holds that all are.
ALL = tuple(name for name, method in METHODS.items() if importlib.util.find_spec(method.target.partition(":")[0]))
INDUCTIVE = tuple(name for name in ALL if "inductive" in METHODS[name].scenarios)
NETWORKS = ("pmi", "pmi_tuned", "gain", "gain_mse")
#: No random numbers, and no order of genes or rows that could matter.
ORDER_FREE = ("median", "surrogate", "knn_1", "knn_5", "knn_10", "gaussian", "fast_mice")


def new(name: str, **changes):
    """A method of the registry at its fast settings."""
    cls = METHODS[name].load()
    values = {**METHODS[name].parameters, **FAST.get(name, {}), **changes}
    if "random_state" in inspect.signature(cls).parameters:
        values.setdefault("random_state", 0)
    return cls(**values)


def reads_tissue(name: str) -> bool:
    return "unknown_category" in inspect.signature(METHODS[name].load()).parameters


def tolerance(name: str) -> float:
    return 2e-3 if name in NETWORKS else 1e-7


def cohort(n_donors: int = 20, n_genes: int = 6, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Complete expression of donors with two tissues each, and its covariates."""
    rng = np.random.default_rng(seed)
    tissue = np.tile(["colon", "lung"], n_donors)
    latent = np.repeat(rng.normal(size=(n_donors, 2)), 2, axis=0) + 0.5 * rng.normal(size=(2 * n_donors, 2))
    X = latent @ rng.normal(size=(2, n_genes)) + 0.3 * rng.normal(size=(2 * n_donors, n_genes)) + 6
    X[tissue == "lung"] += rng.normal(size=n_genes)
    index = [f"sample {seed}-{i}" for i in range(2 * n_donors)]
    covariates = pd.DataFrame(
        {
            "tissue": tissue,
            "sex": np.repeat(rng.choice(["female", "male"], n_donors), 2),
            "age": np.repeat(rng.uniform(20, 70, n_donors), 2),
            "donor": np.repeat([f"donor {seed}-{i}" for i in range(n_donors)], 2),
        },
        index=index,
    )
    return pd.DataFrame(X, index=index, columns=[f"GENE{j}" for j in range(n_genes)]), covariates


def with_holes(X: pd.DataFrame, rate: float = 0.35, seed: int = 1) -> pd.DataFrame:
    return X.mask(np.random.default_rng(seed).random(X.shape) < rate)


@pytest.fixture
def data():
    """Complete training rows, test rows with holes, and the covariates of both."""
    X_train, train = cohort()
    X_test, test = cohort(n_donors=8, seed=2)
    return X_train, train, with_holes(X_test), test


def fill(name: str, data, **changes) -> pd.DataFrame:
    """The test rows filled, inductively where the method can."""
    X_train, train, X_test, test = data
    imputer = new(name, **changes).set_output(transform="pandas")
    if name in INDUCTIVE:
        return imputer.fit(X_train, covariates=train).transform(X_test, covariates=test)
    return imputer.fit_transform(X_test, covariates=test)


@parametrize_with_checks(
    [new(name) for name in ALL if name not in ("knn_1", "knn_5", "missforest_100")],
    expected_failed_checks=lambda estimator: EXPECTED_FAILED_CHECKS.get(type(estimator).__name__, {}),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_known_entries_come_back_bit_for_bit_and_no_hole_is_left(name, dtype, data):
    X_train, train, X_test, test = data
    X_train, X_test = X_train.astype(dtype), X_test.astype(dtype)
    filled = fill(name, (X_train, train, X_test, test))
    known = X_test.notna().to_numpy()
    assert (filled.dtypes == dtype).all()
    assert filled.shape == X_test.shape
    assert list(filled.columns) == list(X_test.columns) and list(filled.index) == list(X_test.index)
    assert np.isfinite(filled.to_numpy()).all()
    assert filled.to_numpy()[known].tobytes() == X_test.to_numpy()[known].tobytes()


@pytest.mark.parametrize("name", ALL)
def test_in_place_fills_its_own_rows(name, data):
    _, _, X, covariates = data
    filled = new(name).fit_transform(X, covariates=covariates)
    again = new(name).fit(X, covariates=covariates).transform(X, covariates=covariates)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled, again)


@pytest.mark.parametrize("name", ["median", "gaussian"])
def test_an_anndata_is_its_matrix_with_covariates_from_obs(name, data):
    X_train, train, X_test, test = data
    named = list(train.columns)
    expected = new(name).fit(X_train, covariates=train).transform(X_test, covariates=test)
    stored = [AnnData(X, obs=obs) for X, obs in ((X_train, train), (X_test, test))]
    imputer = new(name).fit(stored[0], covariates=named)
    np.testing.assert_array_equal(imputer.transform(stored[1], covariates=named), expected)
    assert list(imputer.feature_names_in_) == list(X_train.columns)
    if name == "gaussian":
        sd = imputer.conditional_sd(X_test, covariates=test)
        np.testing.assert_array_equal(imputer.conditional_sd(stored[1], covariates=named), sd)
    with pytest.raises(CovariateError, match=r"no column 'weight'; its columns are: .*tissue"):
        imputer.transform(stored[1], covariates=["weight"])
    with pytest.raises(CovariateError, match="only an AnnData"):
        imputer.transform(X_test, covariates=named)


@pytest.mark.parametrize("name", ALL)
def test_works_without_covariates(name, data):
    X_train, _, X_test, _ = data
    filled = new(name).fit(X_train).transform(X_test) if name in INDUCTIVE else new(name).fit_transform(X_test)
    assert np.isfinite(filled).all()


@pytest.mark.parametrize("name", ALL)
def test_rescaling_a_gene_rescales_what_is_filled(name, data):
    X_train, train, X_test, test = data
    scale = np.array([4.0, 0.25, 1.0, 1024.0, 0.5, 2.0])
    shift = np.array([0.0, 8.0, -16.0, 64.0, -2.0, 1.0])
    if "forest" in name:
        shift[:] = 0  # powers of two are exact; the rounding of a sum can tip a split between two equally good genes
    plain = fill(name, data)
    moved = fill(name, (X_train * scale + shift, train, X_test * scale + shift, test))
    np.testing.assert_allclose((moved - shift) / scale, plain, atol=tolerance(name), rtol=0)


@pytest.mark.parametrize("name", ORDER_FREE)
def test_permuting_genes_permutes_columns(name, data):
    X_train, train, X_test, test = data
    order = np.random.default_rng(3).permutation(X_test.columns)
    moved = fill(name, (X_train[order], train, X_test[order], test))
    np.testing.assert_allclose(moved[X_test.columns], fill(name, data), atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_permuting_filled_rows_permutes_the_result(name, data):
    if name not in INDUCTIVE:
        pytest.skip("fills only the rows it was fitted on")
    X_train, train, X_test, test = data
    order = np.random.default_rng(3).permutation(X_test.index)
    moved = fill(name, (X_train, train, X_test.loc[order], test.loc[order]))
    np.testing.assert_allclose(moved.loc[X_test.index], fill(name, data), atol=tolerance(name))


@pytest.mark.parametrize("name", [*ORDER_FREE, "mice"])
def test_permuting_fitted_rows_with_holes_changes_nothing(name, data):
    X_train, train, X_test, test = data
    X_train = with_holes(X_train, seed=4)
    order = np.random.default_rng(3).permutation(X_train.index)
    moved = fill(name, (X_train.loc[order], train.loc[order], X_test, test))
    np.testing.assert_allclose(moved, fill(name, (X_train, train, X_test, test)), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in INDUCTIVE if name != "surrogate"])
def test_a_row_is_filled_alone_as_in_company(name, data):
    """The surrogate is left out by design: it looks for the donor's other samples among the rows to fill."""
    X_train, train, X_test, test = data
    imputer = new(name).fit(X_train, covariates=train)
    together = imputer.transform(X_test, covariates=test)
    other = X_test.copy()
    other.iloc[1:] = 100.0  # whatever the other rows hold
    alone = imputer.transform(X_test.iloc[[0]], covariates=test.iloc[[0]])
    in_other_company = imputer.transform(other, covariates=test)
    np.testing.assert_allclose(alone[0], together[0], atol=tolerance(name))
    np.testing.assert_allclose(in_other_company[0], together[0], atol=tolerance(name))


@pytest.mark.parametrize("name", INDUCTIVE)
def test_transform_learns_nothing(name, data):
    X_train, train, X_test, test = data
    imputer = new(name).fit(X_train, covariates=train)
    before = imputer.transform(X_test, covariates=test)
    imputer.transform(X_test * 3 + 5, covariates=test)
    np.testing.assert_array_equal(imputer.transform(X_test, covariates=test), before)


@pytest.mark.parametrize("name", ALL)
def test_what_is_given_is_not_modified(name, data):
    copies = [frame.copy(deep=True) for frame in data]
    fill(name, data)
    for frame, copy in zip(data, copies):
        pd.testing.assert_frame_equal(frame, copy)


@pytest.mark.parametrize("name", ALL)
def test_same_random_state_same_numbers(name, data):
    np.testing.assert_array_equal(fill(name, data), fill(name, data))


@pytest.mark.parametrize("name", [name for name in ALL if name not in ORDER_FREE])
def test_another_random_state_other_numbers(name, data):
    assert not np.array_equal(fill(name, data), fill(name, data, random_state=1))


@pytest.mark.parametrize("name", INDUCTIVE)
def test_pickle_and_clone(name, data):
    X_train, train, X_test, test = data
    imputer = new(name).fit(X_train, covariates=train)
    copy = pickle.loads(pickle.dumps(imputer))
    filled = imputer.transform(X_test, covariates=test)
    np.testing.assert_allclose(copy.transform(X_test, covariates=test), filled, atol=1e-12)
    assert clone(imputer).get_params() == imputer.get_params()
    assert not hasattr(clone(imputer), "n_features_in_")


@pytest.mark.parametrize("name", ALL)
def test_all_missing_row(name, data):
    X_train, train, X_test, test = data
    X_test.iloc[3] = np.nan
    filled = fill(name, (X_train, train, X_test, test)).to_numpy()
    assert np.isfinite(filled).all()
    low, high = X_train.to_numpy().min(axis=0), X_train.to_numpy().max(axis=0)
    margin = high - low
    assert ((filled[3] > low - margin) & (filled[3] < high + margin)).all()


@pytest.mark.parametrize("name", ALL)
def test_constant_gene_is_filled_with_its_constant(name, data):
    X_train, train, X_test, test = data
    X_train, X_test = X_train.copy(), X_test.copy()
    X_train["GENE2"] = 0.1
    X_test["GENE2"] = X_test["GENE2"].where(X_test["GENE2"].isna(), 0.1)
    filled = fill(name, (X_train, train, X_test, test))
    assert (filled["GENE2"] == 0.1).all()
    assert np.isfinite(filled.to_numpy()).all()


@pytest.mark.parametrize("name", ALL)
def test_matrix_of_constants(name):
    X = np.full((6, 3), 2.5)
    X[0, 1] = np.nan
    assert (new(name).fit_transform(X) == 2.5).all()


@pytest.mark.parametrize("name", ALL)
def test_gene_without_any_value_is_named(name, data):
    _, _, X, covariates = data
    X["GENE4"] = np.nan
    with pytest.raises(DataFormatError, match="GENE4"):
        new(name).fit(X, covariates=covariates)


@pytest.mark.parametrize("name", ALL)
def test_infinite_entry_names_sample_and_gene(name, data):
    X_train, train, _, _ = data
    imputer = new(name).fit(X_train, covariates=train)
    X_bad = X_train.copy()
    X_bad.iloc[5, 3] = -np.inf
    for call in (imputer.transform, new(name).fit):
        with pytest.raises(DataFormatError, match=r"sample 0-5.*GENE3"):
            call(X_bad, covariates=train)


@pytest.mark.parametrize("name", ["median", "gaussian"])
def test_text_and_duplicate_genes_are_named(name, data):
    X_train, train, _, _ = data
    text = X_train.astype(object)
    text.iloc[5, 3] = "many"
    with pytest.raises(DataFormatError, match=r"'many'.*sample 0-5.*GENE3"):
        new(name).fit(text, covariates=train)
    with pytest.raises(DataFormatError, match="'GENE1' occurs more than once"):
        new(name).fit(pd.concat([X_train, X_train[["GENE1"]]], axis=1), covariates=train)
    numbers = X_train.astype(object)  # numbers kept as objects are numbers all the same
    assert new(name).fit(numbers, covariates=train).transform(X_train, covariates=train).shape == X_train.shape


@pytest.mark.parametrize("name", ALL)
def test_genes_in_another_order_are_refused(name, data):
    X_train, train, _, _ = data
    imputer = new(name).fit(X_train, covariates=train)
    with pytest.raises(ValueError, match="same order"):
        imputer.transform(X_train[X_train.columns[::-1]], covariates=train)


@pytest.mark.parametrize("name", [name for name in INDUCTIVE if reads_tissue(name)])
def test_unseen_tissue_is_an_error_or_pooled(name, data):
    X_train, train, X_test, test = data
    test = test.assign(tissue=["spleen", *test["tissue"].iloc[1:]])
    with pytest.raises(CovariateError, match=r"tissue.*spleen.*unknown_category='pool'"):
        fill(name, (X_train, train, X_test, test))
    pooled = fill(name, (X_train, train, X_test, test), unknown_category="pool")
    unknown = test.assign(tissue=[None, *test["tissue"].iloc[1:]])
    np.testing.assert_array_equal(pooled, fill(name, (X_train, train, X_test, unknown)))


@pytest.mark.parametrize("name", ALL)
def test_unknown_covariates_are_allowed(name, data):
    X_train, train, X_test, test = data
    for column in ("tissue", "sex", "age", "donor"):
        some = test.copy()
        some.loc[some.index[::3], column] = None
        assert np.isfinite(fill(name, (X_train, train, X_test, some)).to_numpy()).all()


@pytest.mark.parametrize("name", [name for name in INDUCTIVE if reads_tissue(name)])
def test_covariates_must_be_the_fitted_ones(name, data):
    X_train, train, X_test, test = data
    imputer = new(name).fit(X_train, covariates=train)
    with pytest.raises(CovariateError, match="absent now: sex"):
        imputer.transform(X_test, covariates=test.drop(columns="sex"))
    with pytest.raises(CovariateError, match="new now: batch"):
        imputer.transform(X_test, covariates=test.assign(batch="a"))
    with pytest.raises(CovariateError, match="fitted with covariates"):
        imputer.transform(X_test)
    with pytest.raises(CovariateError, match="fitted without covariates"):
        new(name).fit(X_train).transform(X_test, covariates=test)


@pytest.mark.parametrize("name", ALL)
def test_covariates_must_belong_to_the_rows(name, data):
    X_train, train, _, _ = data
    with pytest.raises(CovariateError, match="index"):
        new(name).fit(X_train, covariates=train.iloc[::-1])
    with pytest.raises(CovariateError, match="39"):
        new(name).fit(X_train, covariates=train.iloc[:-1])
    with pytest.raises(CovariateError, match="DataFrame"):
        new(name).fit(X_train, covariates=train.to_dict())


@pytest.mark.parametrize("name", INDUCTIVE)
def test_order_of_covariate_columns_does_not_matter(name, data):
    X_train, train, X_test, test = data
    moved = fill(name, (X_train, train, X_test, test[["age", "donor", "sex", "tissue"]]))
    np.testing.assert_array_equal(moved, fill(name, data))


@pytest.mark.parametrize("name", [name for name in ALL if name in NETWORKS or reads_tissue(name)])
def test_bad_option_is_refused_in_fit_not_before(name, data):
    X_train, train, _, _ = data
    imputer = new(name, unknown_category="ignore")  # scikit-learn: constructors never validate
    with pytest.raises(ConfigError, match="unknown_category"):
        imputer.fit(X_train, covariates=train)
