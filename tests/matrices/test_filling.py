"""Filling a person's matrix: known entries to the bit, seeds, units, genes that nobody knows, error bars."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.matrices.files import Matrix
from reproduce.matrices.filling import impute


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    generator = np.random.default_rng(0)
    factors = generator.standard_normal((40, 2)) @ generator.standard_normal((2, 8))
    return 6 + factors + 0.3 * generator.standard_normal((40, 8))


def a_matrix(values: np.ndarray, missing: float = 0.2, dtype=np.float64) -> Matrix:
    values = values.astype(dtype)
    holes = np.random.default_rng(1).random(values.shape) < missing
    frame = pd.DataFrame(
        np.where(holes, np.nan, values).astype(dtype), columns=[f"GENE{i}" for i in range(values.shape[1])]
    )
    frame.index = pd.Index([f"sample {i}" for i in range(len(frame))], dtype=str)
    return Matrix(frame, None, None, (), Path("test.csv"))


def same_where_known(filled: pd.DataFrame, matrix: Matrix) -> bool:
    known = matrix.values.notna().to_numpy()
    return filled.to_numpy()[known].tobytes() == matrix.values.to_numpy()[known].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("units", "transform"), [("log", lambda x: x), ("tpm", np.exp2), ("counts", lambda x: np.round(np.exp2(x)))]
)
def test_known_entries_come_back_to_the_bit_and_holes_are_near(rows, dtype, units, transform):
    truth = transform(rows)
    matrix = a_matrix(truth, dtype=dtype)
    filled = impute(matrix, method="gaussian", units=units)
    assert same_where_known(filled.values, matrix)
    assert filled.values.to_numpy().dtype == dtype
    holes = matrix.values.isna().to_numpy()
    log, said = np.log2(1 + truth[holes]), np.log2(1 + filled.values.to_numpy()[holes])
    assert np.corrcoef(log, said)[0, 1] > 0.7
    assert units in " ".join(filled.notes)


def test_the_seed_decides_everything(rows):
    one, same, other = (impute(a_matrix(rows), method="mixture", seed=seed, draws=2) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.values, same.values)
    for mine, theirs in zip(one.draws, same.draws):
        pd.testing.assert_frame_equal(mine, theirs)
    assert not one.values.equals(other.values)
    assert not one.draws[0].equals(one.draws[1])


def test_genes_that_nobody_knows_stay_missing_and_are_named(rows):
    matrix = a_matrix(rows)
    matrix.values["GENE3"] = np.nan
    filled = impute(matrix, method="gaussian", uncertainty=True)
    assert filled.values["GENE3"].isna().all()
    assert filled.values.drop(columns="GENE3").notna().all(axis=None)
    assert list(filled.values.columns) == list(matrix.values.columns)
    assert any("GENE3" in note for note in filled.notes)


@pytest.mark.parametrize("units", ["log", "counts"])
def test_deviations_are_of_holes_and_in_the_matrix_units(rows, units):
    truth = rows if units == "log" else np.round(np.exp2(rows))
    matrix = a_matrix(truth)
    filled = impute(matrix, method="gaussian", units=units, uncertainty=True)
    holes = matrix.values.isna().to_numpy()
    sd = filled.sd.to_numpy()
    assert (sd[~holes] == 0).all() and (sd[holes] > 0).all()
    errors = np.abs(truth - filled.values.to_numpy())[holes]
    assert 0.3 < np.median(errors / sd[holes]) < 1.2


def test_draws_spread_as_the_deviations_say(rows):
    matrix = a_matrix(rows)
    filled = impute(matrix, method="gaussian", uncertainty=True, draws=60)
    holes = matrix.values.isna().to_numpy()
    assert all(same_where_known(draw, matrix) for draw in filled.draws)
    spread = np.std([draw.to_numpy()[holes] for draw in filled.draws], axis=0)
    assert np.median(spread / filled.sd.to_numpy()[holes]) == pytest.approx(1, abs=0.1)


def test_a_method_without_distribution_gets_one_from_its_errors_or_says_who_has_one(rows):
    matrix = a_matrix(rows)
    filled = impute(matrix, method="knn_5", uncertainty=True)
    assert (filled.sd.to_numpy()[matrix.values.isna().to_numpy()] > 0).all()
    with pytest.raises(ConfigError, match="gaussian"):
        impute(matrix, method="missforest_10", uncertainty=True)


def test_covariates_without_a_tissue_are_one_group_unless_one_is_named(rows):
    matrix = a_matrix(rows)
    covariates = pd.DataFrame({"batch": ["a", "b"] * 20}, index=matrix.values.index)
    shifted = Matrix(matrix.values + 3.0 * (covariates[["batch"]] == "b").to_numpy(), None, None, (), matrix.source)
    one = impute(shifted, method="median", covariates=covariates)
    assert any("group=batch" in note for note in one.notes)
    two = impute(shifted, method="median", covariates=covariates, settings={"group": "batch"})
    holes, truth = matrix.values.isna().to_numpy(), rows + 3.0 * (covariates[["batch"]] == "b").to_numpy()
    error = [np.mean((each.values.to_numpy() - truth)[holes] ** 2) for each in (one, two)]
    assert error[1] < error[0]


@pytest.mark.parametrize("shape", [(2, 3), (5, 1), (1, 4), (3, 60)])
def test_tiny_matrices_are_filled_as_far_as_anything_is_known(rows, shape):
    generator = np.random.default_rng(3)
    values = generator.random(shape)
    matrix = a_matrix(values, missing=0.3)
    filled = impute(matrix)
    known = matrix.values.notna().any(axis=0)
    assert filled.values.loc[:, known].notna().all(axis=None)
    assert same_where_known(filled.values, matrix)


def test_unknown_settings_and_methods_are_named(rows):
    with pytest.raises(ConfigError, match="sideways"):
        impute(a_matrix(rows), method="gaussian", settings={"sideways": 1})
    with pytest.raises(ConfigError, match="magic"):
        impute(a_matrix(rows), method="magic")
