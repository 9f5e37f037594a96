"""Tissue median, surrogate, nearest neighbours, chained equations and forests against answers known otherwise."""

import inspect
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.impute
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.metrics import pairwise

from reproduce.errors import ConfigError, CovariateError
from reproduce.imputers import _neighbours
from reproduce.imputers._missingpy import load_missingpy
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.iterative_forest import IterativeForestImputer
from reproduce.imputers.knn import KNNImputer
from reproduce.imputers.median import TissueMedianImputer
from reproduce.imputers.mice import MICEImputer
from reproduce.imputers.missforest import MissForestImputer
from reproduce.imputers.surrogate import SurrogateTissueImputer


def correlated(n=60, p=8, rate=0.4, seed=0, rank=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, p)) + 0.3 * rng.normal(size=(n, p)) + 5
    return np.where(rng.random((n, p)) < rate, np.nan, X)


def standardised(imputer, X):
    return (X - imputer.center_) / imputer.scale_


def people(n, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "tissue": np.where(np.arange(n) % 2, "lung", "colon"),
            "sex": rng.choice(["female", "male"], n),
            "age": rng.uniform(20, 70, n),
            "donor": [f"donor {i // 2}" for i in range(n)],
        }
    )


# tissue median


def test_median_is_the_groups_own():
    X, covariates = correlated(), people(60)
    filled = TissueMedianImputer().fit_transform(X, covariates=covariates)
    expected = pd.DataFrame(X).groupby(covariates["tissue"]).transform("median").to_numpy()
    np.testing.assert_allclose(filled[np.isnan(X)], expected[np.isnan(X)])


def test_median_of_a_gene_that_a_tissue_never_shows_is_that_of_all():
    X, covariates = correlated(), people(60)
    X[(covariates["tissue"] == "lung").to_numpy(), 2] = np.nan
    filled = TissueMedianImputer().fit_transform(X, covariates=covariates)
    np.testing.assert_allclose(filled[1::2, 2], np.nanmedian(X[:, 2]))


def test_median_needs_its_group_among_the_covariates():
    with pytest.raises(CovariateError, match="'tissue'"):
        TissueMedianImputer().fit(correlated(), covariates=people(60).drop(columns="tissue"))


# surrogate tissue


def surrogate_case():
    X = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [7.0, 50.0]])
    covariates = pd.DataFrame(
        {"tissue": ["lung", "colon", "blood", "lung", "lung"], "donor": ["a", "a", "a", "b", "c"]}
    )
    return X, covariates


def test_surrogate_is_the_same_donors_other_tissue():
    X, covariates = surrogate_case()
    hidden = X.copy()
    hidden[0, 0] = hidden[3, 1] = np.nan
    imputer = SurrogateTissueImputer().fit(X, covariates=covariates)
    filled = imputer.transform(hidden, covariates=covariates)
    assert filled[0, 0] == pytest.approx((2 + 3) / 2)  # the donor's colon and blood, not the lung that was fitted
    assert filled[3, 1] == pytest.approx(40)  # donor b has no other tissue: median of lung
    assert imputer.covered_fraction_ == 0.5


def test_surrogate_of_one_tissue_uses_known_entries_of_rows_being_filled():
    X, covariates = surrogate_case()
    new = covariates.assign(donor=["n"] * 5).iloc[:3]
    rows = np.array([[np.nan, np.nan], [5.0, 5.0], [6.0, np.nan]])
    imputer = SurrogateTissueImputer(surrogate="blood").fit(X, covariates=covariates)
    filled = imputer.transform(rows, covariates=new)
    assert filled[0, 0] == pytest.approx(6.0)  # new donor's blood, among the rows being filled
    assert filled[0, 1] == pytest.approx(40.0)  # hidden in blood as well: median of lung
    assert filled[2, 1] == pytest.approx(30.0)


def test_surrogate_of_an_unknown_donor_or_tissue_is_a_median():
    X, covariates = surrogate_case()
    unknown = covariates.assign(donor=[None, *covariates["donor"][1:]])
    hidden = X.copy()
    hidden[0, 0] = np.nan
    imputer = SurrogateTissueImputer().fit(X, covariates=covariates)
    assert imputer.transform(hidden, covariates=unknown)[0, 0] == pytest.approx(4.0)
    no_tissue = covariates.assign(tissue=[None, *covariates["tissue"][1:]])
    assert imputer.transform(hidden, covariates=no_tissue)[0, 0] == pytest.approx(3.0)


def test_surrogate_errors():
    X, covariates = surrogate_case()
    with pytest.raises(CovariateError, match=r"Whole Blood.*blood, colon, lung"):
        SurrogateTissueImputer(surrogate="Whole Blood").fit(X, covariates=covariates)
    with pytest.raises(CovariateError, match="donor"):
        SurrogateTissueImputer().fit(X, covariates=covariates[["tissue"]])


# nearest neighbours


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("k", [1, 5, 200])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.85])
def test_knn_equals_scikit_learn(k, rate, complete):
    X_train = correlated(rate=0.0 if complete else rate, seed=1)
    X_test = correlated(n=40, rate=rate, seed=2)
    imputer = KNNImputer(n_neighbors=k).fit(X_train)
    oracle = sklearn.impute.KNNImputer(n_neighbors=k).fit(standardised(imputer, X_train))
    expected = oracle.transform(standardised(imputer, X_test)) * imputer.scale_ + imputer.center_
    np.testing.assert_allclose(imputer.transform(X_test), expected, atol=1e-10)


@pytest.mark.parametrize("rate", [0.3, 0.8])
def test_knn_in_place_equals_scikit_learn(rate):
    X = correlated(n=90, rate=rate)
    imputer = KNNImputer(n_neighbors=5)
    filled = imputer.fit_transform(X)
    expected = sklearn.impute.KNNImputer(n_neighbors=5).fit_transform(standardised(imputer, X))
    np.testing.assert_allclose(filled, expected * imputer.scale_ + imputer.center_, atol=1e-10)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_knn_does_not_depend_on_the_block(monkeypatch, rate):
    X_train, X_test = correlated(rate=rate, seed=1), correlated(n=40, seed=2)
    whole = KNNImputer().fit(X_train).transform(X_test)
    monkeypatch.setattr(_neighbours, "BLOCK_BYTES", 1)
    np.testing.assert_allclose(KNNImputer().fit(X_train).transform(X_test), whole, atol=1e-12)


def test_knn_in_place_does_not_return_the_row_itself():
    X = correlated(n=30, rate=0.0)
    X[0, 0] = np.nan
    filled = KNNImputer(n_neighbors=1).fit_transform(X)
    assert filled[0, 0] in X[1:, 0]


def test_knn_ignores_covariates_altogether():
    X, covariates = correlated(), people(60)
    other = covariates.assign(tissue="never seen")
    imputer = KNNImputer().fit(X, covariates=covariates)
    np.testing.assert_array_equal(imputer.transform(X, covariates=other), imputer.transform(X))


# chained equations


def test_mice_is_scikit_learns_chain_on_rows_with_holes():
    X = correlated()
    imputer = MICEImputer(max_iter=5, random_state=0)
    with pytest.warns(ConvergenceWarning):
        filled = imputer.fit_transform(X)
    chain = sklearn.impute.IterativeImputer(max_iter=5, random_state=0)
    with pytest.warns(ConvergenceWarning):
        expected = chain.fit_transform(standardised(imputer, X))
    np.testing.assert_allclose(filled, expected * imputer.scale_ + imputer.center_, atol=1e-9)
    assert imputer.n_iter_ == 5 and imputer.converged_ is False


def test_mice_fitted_on_complete_rows_goes_on_beyond_one_round():
    X_train, truth = np.split(correlated(n=250, rate=0.0), [200])
    hidden = np.random.default_rng(1).random(truth.shape) < 0.5
    X_test = np.where(hidden, np.nan, truth)
    imputer = MICEImputer(max_iter=30, random_state=0).fit(X_train)
    assert imputer.n_iter_ > 1 and imputer.converged_
    plain = sklearn.impute.IterativeImputer(max_iter=30).fit(X_train)
    assert plain.n_iter_ == 1  # why complete rows are given holes
    error = np.mean((imputer.transform(X_test) - truth)[hidden] ** 2)
    assert error < 0.7 * np.mean((plain.transform(X_test) - truth)[hidden] ** 2)


def test_mice_draws_are_repeatable_and_their_average_nears_the_mean():
    X = correlated(n=120)
    options = {"sample_posterior": True, "max_iter": 3, "random_state": 0}
    one = MICEImputer(**options).fit(X)
    np.testing.assert_array_equal(one.transform(X), one.transform(X))
    assert one.converged_ is None
    mean = MICEImputer(max_iter=3, random_state=0, tol=10).fit_transform(X)
    many = MICEImputer(n_imputations=20, **options).fit_transform(X)
    assert np.abs(many - mean).mean() < 0.7 * np.abs(one.transform(X) - mean).mean()


def test_several_equal_imputations_are_refused():
    with pytest.raises(ConfigError, match="sample_posterior"):
        MICEImputer(n_imputations=5).fit(correlated())


# forests


def test_missforest_does_not_fill_other_rows():
    X = correlated()
    imputer = MissForestImputer(n_estimators=2, max_iter=2, random_state=0)
    filled = imputer.fit_transform(X)
    np.testing.assert_array_equal(imputer.transform(X), filled)
    with pytest.raises(ConfigError, match="iterative_forest"):
        imputer.transform(X[:30])
    complete = correlated(n=5, rate=0.0)
    np.testing.assert_array_equal(imputer.transform(complete), complete)  # nothing to fill, no forest needed


def test_missforest_is_missingpys(capsys):
    X = correlated()
    imputer = MissForestImputer(n_estimators=4, max_iter=4, random_state=0)
    filled = imputer.fit_transform(X)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    forest = load_missingpy().MissForest(n_estimators=4, max_iter=4, max_features="sqrt", n_jobs=1, random_state=seed)
    expected = forest.fit_transform(standardised(imputer, X))
    np.testing.assert_allclose(filled, expected * imputer.scale_ + imputer.center_, atol=1e-9)
    assert imputer.n_iter_ == forest.iter_count_
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cls", [MissForestImputer, IterativeForestImputer])
def test_jobs_change_nothing(cls):
    X = correlated(n=30)
    one = cls(n_estimators=3, max_iter=2, random_state=0, n_jobs=1).fit_transform(X)
    np.testing.assert_allclose(cls(n_estimators=3, max_iter=2, random_state=0, n_jobs=2).fit_transform(X), one)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # missingpy's root of a distance rounded below 0
def test_missingpy_leaves_scikit_learn_and_numpy_as_they_were():
    missingpy = load_missingpy()
    assert "sklearn.neighbors.base" not in sys.modules
    assert "masked_euclidean" not in pairwise._VALID_METRICS
    assert "masked_euclidean" not in pairwise.PAIRWISE_DISTANCE_FUNCTIONS
    assert "force_all_finite" not in inspect.signature(sklearn.utils.check_array).parameters
    assert np.bool is np.bool_
    X = correlated(n=30, rate=0.2)
    filled = missingpy.KNNImputer(n_neighbors=3, row_max_missing=1.0, col_max_missing=1.0).fit_transform(X)
    np.testing.assert_allclose(filled, sklearn.impute.KNNImputer(n_neighbors=3).fit_transform(X))


def test_missingpy_fills_categories():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), rng.integers(0, 3, 40).astype(float), rng.normal(size=40)])
    X[::7, 1] = X[::5, 0] = np.nan
    filled = load_missingpy().MissForest(n_estimators=3, random_state=0).fit_transform(X, cat_vars=[1])
    assert np.isfinite(filled).all() and set(filled[:, 1]) <= {0.0, 1.0, 2.0}


# every option matters

MICE = {"max_iter": 4, "random_state": 0}
FOREST = {"n_estimators": 3, "max_iter": 3, "random_state": 0}
OPTIONS = [
    (TissueMedianImputer, {}, {"group": None}),
    (TissueMedianImputer, {}, {"group": "sex"}),
    (SurrogateTissueImputer, {}, {"surrogate": "lung"}),
    (KNNImputer, {}, {"n_neighbors": 3}),
    (MICEImputer, MICE, {"max_iter": 2}),
    (MICEImputer, {"random_state": 0}, {"tol": 0.5}),
    (MICEImputer, MICE, {"n_nearest_features": 2}),
    (MICEImputer, MICE, {"sample_posterior": True}),
    (MICEImputer, {**MICE, "sample_posterior": True}, {"n_imputations": 2}),
    (MICEImputer, MICE, {"missing_rate": 0.4}),
    (MICEImputer, MICE, {"use_covariates": False}),
    (MissForestImputer, FOREST, {"n_estimators": 5}),
    (MissForestImputer, FOREST, {"max_iter": 2}),
    (MissForestImputer, FOREST, {"max_features": 1.0}),
    (MissForestImputer, FOREST, {"use_covariates": False}),
    (IterativeForestImputer, FOREST, {"forest": "extra_trees"}),
    (IterativeForestImputer, FOREST, {"n_estimators": 5}),
    (IterativeForestImputer, FOREST, {"max_iter": 2}),
    (IterativeForestImputer, FOREST, {"tol": 10.0}),
    (IterativeForestImputer, FOREST, {"max_features": 1.0}),
    (IterativeForestImputer, FOREST, {"n_nearest_features": 2}),
    (IterativeForestImputer, FOREST, {"missing_rate": 0.6}),
    (IterativeForestImputer, FOREST, {"use_covariates": False}),
    (ConditionalGaussianImputer, {}, {"group": None}),
    (ConditionalGaussianImputer, {}, {"shrinkage": 0.5}),
    (ConditionalGaussianImputer, {}, {"shrinkage": None}),
    (ConditionalGaussianImputer, {}, {"pooling": 0.0}),
    (ConditionalGaussianImputer, {"train_rate": 0.4}, {"max_iter": 2}),
    (ConditionalGaussianImputer, {"train_rate": 0.4}, {"tol": 0.1}),
    (ConditionalGaussianImputer, {"train_rate": 0.4}, {"shrinkage": 0.5}),
    (ConditionalGaussianImputer, {"train_rate": 0.4}, {"pooling": 0.0}),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("cls", "base", "change"), OPTIONS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_each_option_changes_the_outcome(cls, base, change):
    base = dict(base)
    X_train, X_test = correlated(rate=base.pop("train_rate", 0.0), seed=1), correlated(seed=2)
    covariates = people(60)

    def outcome(**options):
        if cls is MissForestImputer:
            return cls(**options).fit_transform(X_test, covariates=covariates)
        return cls(**options).fit(X_train, covariates=covariates).transform(X_test, covariates=covariates)

    assert np.abs(outcome(**base) - outcome(**{**base, **change})).max() > 1e-6


def test_every_option_is_in_the_list():
    tested_elsewhere = {"unknown_category", "random_state", "n_jobs"}
    for cls in {cls for cls, _, _ in OPTIONS}:
        listed = {key for other, _, change in OPTIONS if other is cls for key in change}
        assert set(inspect.signature(cls).parameters) - tested_elsewhere == listed


@pytest.mark.parametrize(
    ("imputer", "name"),
    [
        (KNNImputer(n_neighbors=0), "n_neighbors"),
        (KNNImputer(n_neighbors=2.5), "n_neighbors"),
        (MICEImputer(max_iter=0), "max_iter"),
        (MICEImputer(missing_rate=1.0), "missing_rate"),
        (MICEImputer(random_state=-1), "random_state"),
        (MissForestImputer(max_iter=1), "max_iter"),
        (MissForestImputer(max_features="auto"), "max_features"),
        (MissForestImputer(n_estimators=0), "n_estimators"),
        (IterativeForestImputer(forest="oak"), "forest"),
        (IterativeForestImputer(max_features=1.5), "max_features"),
        (ConditionalGaussianImputer(shrinkage=1.0), "shrinkage"),
        (ConditionalGaussianImputer(shrinkage="oas"), "shrinkage"),
        (ConditionalGaussianImputer(pooling=-1), "pooling"),
        (ConditionalGaussianImputer(tol=0), "tol"),
        (SurrogateTissueImputer(surrogate=None), "surrogate"),
    ],
)
def test_option_out_of_range_is_named(imputer, name):
    with pytest.raises(ConfigError, match=name):
        imputer.fit(correlated())
