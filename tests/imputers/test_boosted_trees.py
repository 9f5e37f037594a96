"""Boosted trees in rounds: what they can do that lines cannot, that rounds help, and that new rows teach nothing."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.imputers.boosted_trees import BoostedTreesImputer
from reproduce.imputers.chained_ridge import ChainedRidgeImputer
from reproduce.metrics import gene_scores


def factor_rows(n=400, n_genes=10, seed=0):
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(2, n_genes))
    return rng.normal(size=(n, 2)) @ loadings + 0.4 * rng.normal(size=(n, n_genes))


def hidden(shape, rate=0.5, seed=5):
    return np.random.default_rng(seed).random(shape) < rate


def r2(truth, filled, missing):
    return float(np.nanmean(gene_scores(truth, filled, missing)["r2"]))


def new(**changes):
    return BoostedTreesImputer(**{"n_estimators": 30, "random_state": 0, **changes})


def test_a_bent_dependence_is_learnt_where_lines_fail():
    rng = np.random.default_rng(0)
    first = rng.normal(size=800)
    X = np.column_stack([first, first**2 + 0.2 * rng.normal(size=800)])
    missing = np.zeros(X.shape, bool)
    missing[::2, 1] = True
    holes = np.where(missing, np.nan, X)
    assert r2(X, new().fit_transform(holes), missing) > 0.8
    assert r2(X, ChainedRidgeImputer().fit_transform(holes), missing) < 0.2


def test_a_second_round_reads_what_the_first_has_filled():
    X = factor_rows()
    missing = hidden(X.shape, 0.6)
    holes = np.where(missing, np.nan, X)
    one, two = (r2(X, new(n_rounds=n).fit_transform(holes), missing) for n in (1, 2))
    assert two > one + 0.01 > 0.4


def test_complete_rows_teach_to_fill_rows_with_holes():
    X, X_test = factor_rows(), factor_rows(n=150, seed=1)
    missing = hidden(X_test.shape)
    assert r2(X_test, new().fit(X).transform(np.where(missing, np.nan, X_test)), missing) > 0.5


def test_trees_of_every_round_and_gene_are_kept_and_used():
    X, X_test = factor_rows(), factor_rows(n=60, seed=1)
    missing = hidden(X_test.shape)
    holes = np.where(missing, np.nan, X_test)
    imputer = new().fit(X)
    assert [len(of_round) for of_round in imputer.trees_] == [X.shape[1]] * 2
    both = imputer.transform(holes)
    imputer.trees_ = imputer.trees_[:1]
    assert not np.allclose(imputer.transform(holes), both)


def test_covariates_are_predictors():
    tissue = np.tile(["colon", "lung"], 100)
    X = factor_rows(200) + np.where(tissue == "lung", 5.0, 0.0)[:, None]
    covariates = pd.DataFrame({"tissue": tissue})
    empty = np.full((2, X.shape[1]), np.nan)
    with_tissue = new(missing_rate=0.5).fit(X, covariates=covariates).transform(empty, covariates=covariates.iloc[:2])
    assert (with_tissue[1] - with_tissue[0] > 3).all()
    without = new(use_covariates=False).fit(X, covariates=covariates).transform(empty, covariates=covariates.iloc[:2])
    np.testing.assert_array_equal(without[0], without[1])


def test_one_gene_alone_and_a_gene_of_few_rows_are_filled_with_their_mean():
    alone = np.array([[1.0], [2.0], [6.0], [np.nan]])
    assert new().fit_transform(alone)[3, 0] == pytest.approx(3.0)
    X = factor_rows(60)
    X[5:, 3] = np.nan
    np.testing.assert_allclose(new().fit_transform(X)[5:, 3], X[:5, 3].mean())


@pytest.mark.parametrize(
    "bad", [{"n_rounds": 0}, {"max_bins": 256}, {"max_features": 0.0}, {"learning_rate": 2.0}, {"missing_rate": 1.0}]
)
def test_bad_hyperparameters_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        new(**bad).fit(factor_rows(20))


def test_real_data_better_than_ten_trees_of_missforest(test_data, monkeypatch):
    """MissForest of 10 trees has R² 0.64, of 100 trees 0.68; so have 60 boosted trees, but 30 make a fast test."""
    from reproduce.experiments.rows import prepare_rows
    from reproduce.experiments.trials import Trial
    from reproduce.loaders.study import load_study

    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    trial = Trial("boosted_forest", "in_place", 0)
    fit_rows, (target,) = prepare_rows(trial, load_study("student-p53"))
    filled = new().fit_transform(fit_rows.frame(), covariates=fit_rows.covariates(trial))
    assert r2(target.truth, np.asarray(filled), target.evaluation_mask) > 0.655
