"""Hidden entries and their scores: an independent oracle, the same holes for all, reasons for what is left out."""

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers import METHODS
from reproduce.matrices.evaluation import calibrated, evaluate, held_out, hide, in_place, scored
from reproduce.matrices.files import Matrix
from reproduce.matrices.filling import chosen, prepare
from reproduce.matrices.training import joined
from reproduce.metrics import gene_scores


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    generator = np.random.default_rng(0)
    values = 5 + generator.standard_normal((60, 2)) @ generator.standard_normal((2, 10))
    values += 0.3 * generator.standard_normal(values.shape)
    values[generator.random(values.shape) < 0.1] = np.nan
    frame = pd.DataFrame(values, columns=[f"GENE{i}" for i in range(10)])
    frame.index = pd.Index([f"sample {i}" for i in range(60)], dtype=str)
    return Matrix(frame, None, None, (), Path("test.csv"))


def test_scores_of_genes_are_those_of_the_study(matrix):
    truth = matrix.values.to_numpy()
    hidden = hide(truth, 0.3, 0)
    filled = np.where(hidden, np.nan_to_num(truth) + np.random.default_rng(1).standard_normal(truth.shape), truth)
    result = scored(truth, filled, hidden, matrix.values.columns)
    expected = gene_scores(truth, filled, hidden)
    np.testing.assert_allclose(result.genes["r2"], expected["r2"])
    np.testing.assert_allclose(result.genes["rmse"], expected["rmse"])


def test_the_truth_scores_one_and_each_genes_mean_nought(matrix):
    truth = matrix.values.to_numpy()
    hidden = hide(truth, 0.2, 0)
    genes = matrix.values.columns
    assert scored(truth, truth, hidden, genes).r2 == 1
    means = np.nanmean(np.where(hidden, np.nan, truth), axis=0)
    assert scored(truth, np.tile(means, (60, 1)), hidden, genes).r2 == pytest.approx(0, abs=1e-12)
    constant = np.where(np.isnan(truth), np.nan, 3.3)
    assert np.isnan(scored(constant, constant, hidden, genes).r2)  # nothing varies, so nothing is explained


def test_only_known_entries_are_hidden_and_two_of_every_gene_stay(matrix):
    truth = matrix.values.to_numpy()[:4]
    hidden = hide(truth, 0.6, 0)
    assert not (hidden & np.isnan(truth)).any()
    touched = hidden.any(axis=0)
    assert ((~np.isnan(truth) & ~hidden).sum(axis=0)[touched] >= 2).all()
    with pytest.raises(DataFormatError, match="hidden"):
        hide(truth[:1], 0.5, 0)
    with pytest.raises(ConfigError, match="missing_rate"):
        hide(truth, 1.5, 0)


def test_what_is_hidden_is_not_seen(matrix):
    """Changing a hidden value changes nothing that is filled in."""
    prepared = prepare(matrix, units="log")
    choice = chosen("gaussian", prepared, inductive=False, patience=60, settings=None)
    one = held_out(prepared, in_place(choice, prepared, 0), seed=3)
    row, gene = np.argwhere(hide(prepared.log.to_numpy(), 0.1, 3))[0]
    changed = prepared.log.copy()
    changed.iloc[row, gene] += 5
    two = held_out(replace(prepared, log=changed), in_place(choice, prepared, 0), seed=3)
    np.testing.assert_array_equal(one.imputed, two.imputed)
    assert one.r2 > two.r2


def test_intervals_of_the_right_law_hold_what_they_promise():
    truth = np.random.default_rng(0).standard_normal((400, 20))

    def bounds(rows: np.ndarray, level: float, width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        half = width * np.full((len(rows), 20), NormalDist().inv_cdf((1 + level) / 2))
        return -half, half

    hidden = hide(truth, 0.5, 0)
    table = calibrated(bounds, truth, hidden, 0)
    np.testing.assert_allclose(table["covered"], table["nominal"], atol=0.03)
    assert (table["n_entries"] == hidden.sum()).all()
    narrow = calibrated(lambda rows, level: bounds(rows, level, 0.5), truth, hidden, 0)
    assert (narrow["covered"] < table["covered"] - 0.1).all()


def test_methods_are_compared_on_the_same_entries_best_first(matrix):
    table = evaluate(matrix, ["median", "gaussian", "knn_5"], units="log", repeats=3)
    assert list(table["status"]) == ["ok"] * 3
    assert table["r2"].is_monotonic_decreasing
    assert table["method"].iloc[0] == "gaussian"
    assert table["difference"].iloc[0] == 0 and (table["difference"].iloc[1:] < 0).all()
    assert (table["r2_low"] < table["r2"]).all() and (table["r2"] < table["r2_high"]).all()
    again = evaluate(matrix, ["knn_5"], units="log", repeats=3)
    assert again["r2"].iloc[0] == table.set_index("method").loc["knn_5", "r2"]


def test_what_is_left_out_is_named_with_its_reason(matrix):
    table = evaluate(matrix, units="log", repeats=1, patience=0.8).set_index("method")
    assert set(table.index) == set(METHODS)
    assert table.loc["gaussian", "status"] == "ok"
    for method, word in (("missforest_100", "--patience"), ("transfer", "other")):
        assert table.loc[method, "status"] == "left out"
        assert word in table.loc[method, "note"]


def test_a_method_that_fails_does_not_lose_the_others(matrix):
    covariates = pd.DataFrame({"donor": ["one"] * 60}, index=matrix.values.index)
    table = evaluate(matrix, ["low_rank", "median"], covariates=covariates, units="log", repeats=1)
    failed = table.set_index("method").loc["low_rank"]
    assert failed["status"] == "failed" and "donor" in failed["note"]
    assert table.set_index("method").loc["median", "status"] == "ok"


def test_files_are_joined_by_gene_names(matrix):
    values = matrix.values
    other = values.set_axis([f"other {i}" for i in range(60)]).drop(columns="GENE4").iloc[:, ::-1]
    whole = joined([matrix, replace(matrix, values=other)]).values
    assert list(whole.columns) == [gene for gene in values if gene != "GENE4"]
    np.testing.assert_array_equal(whole.iloc[60:], values.drop(columns="GENE4"))
    with pytest.raises(DataFormatError, match="sample 0"):
        joined([matrix, matrix])
