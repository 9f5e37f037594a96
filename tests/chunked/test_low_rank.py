"""Matrices in chunks against the same matrices in memory, and what an interrupted run leaves."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from reproduce.chunked import fit_low_rank_in_chunks, impute_in_chunks
from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.imputers import _low_rank_passes
from reproduce.imputers.low_rank import LowRankGaussianImputer
from reproduce.loaders.row_files import RowSource, open_rows, write_rows


def rows_of(n=240, p=40, k=4, *, missing=0.4, seed=0):
    """Rows of two tissues in float32 near 7, as log expression is, with and without holes; and their tissues."""
    rng = np.random.default_rng(seed)
    tissues = np.array(["lung", "colon"])[np.arange(n) % 2]
    X = 7 + rng.normal(size=(n, k)) @ rng.normal(size=(k, p)) + rng.normal(size=(n, p))
    X += rng.normal(size=p) * (tissues == "lung")[:, None]
    X = X.astype(np.float32)
    return X, np.where(rng.random(X.shape) < missing, np.nan, X).astype(np.float32), tissues


def filled_from(source, folder, tissues, name="filled.zarr", **options):
    fit = fit_low_rank_in_chunks(source, groups=tissues, rank=4, **options)
    impute_in_chunks(source, folder / name, fit, groups=tissues, block_rows=options.get("block_rows"))
    return open_rows(folder / name).read(slice(0, len(tissues)))


@pytest.mark.parametrize("most_direct", [2_000, 10])  # Gram matrix of genes, range finder
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_blocks_of_any_size_give_one_result(missing, most_direct, tmp_path, monkeypatch):
    monkeypatch.setattr(_low_rank_passes, "DIRECT_SIDE", most_direct)
    X, Z, tissues = rows_of(missing=missing)
    fits = [fit_low_rank_in_chunks(Z, groups=tissues, rank=4, block_rows=size) for size in (len(Z), 17)]
    hidden = np.where(np.random.default_rng(1).random(X.shape) < 0.5, np.nan, X)
    codes = 1 + (tissues == "lung")
    np.testing.assert_allclose(fits[1].filled(hidden, codes), fits[0].filled(hidden, codes), atol=2e-4)


def test_complete_rows_give_what_the_estimator_gives():
    X, _, tissues = rows_of()
    hidden = np.where(np.random.default_rng(1).random(X.shape) < 0.5, np.nan, X)
    covariates = pd.DataFrame({"tissue": tissues})
    imputer = LowRankGaussianImputer(rank=4, shrinkage=0.1, random_state=0).fit(X, covariates=covariates)
    fit = fit_low_rank_in_chunks(X, groups=tissues, rank=4, shrinkage=0.1, block_rows=50)
    expected = imputer.transform(hidden, covariates=covariates)
    np.testing.assert_allclose(fit.filled(hidden, 1 + (tissues == "lung")), expected, atol=1e-3)


def test_holes_are_filled_nearly_as_by_expectation_maximisation_to_its_end(tmp_path):
    X, Z, tissues = rows_of(n=600)
    missing = np.isnan(Z)
    covariates = pd.DataFrame({"tissue": tissues})
    expected = LowRankGaussianImputer(rank=4, shrinkage=0.0).fit_transform(Z, covariates=covariates)
    filled = filled_from(Z, tmp_path, tissues)
    error, least = (np.mean((values - X)[missing] ** 2) for values in (filled, expected))
    assert error < 1.02 * least
    np.testing.assert_array_equal(filled[~missing], Z[~missing])


def test_every_kind_of_source_gives_one_result(tmp_path):
    _, Z, tissues = rows_of(n=60, p=12)
    plain = filled_from(Z, tmp_path, tissues, "plain.zarr")
    obs = pd.DataFrame({"tissue": tissues}, index=[f"s{i}" for i in range(60)])
    cohort = RowSource(Z, "cohort", obs, pd.DataFrame(index=[f"G{i}" for i in range(12)]))
    for name in ("cohort.h5ad", "cohort.zarr"):
        with write_rows(tmp_path / name, cohort) as write:
            write(slice(0, 60), Z)
    zarr.create_array(tmp_path / "array.zarr", data=Z, chunks=(7, 12))
    with h5py.File(tmp_path / "array.h5", "w") as file:
        file["rows"] = Z
    for name in ("cohort.h5ad", "cohort.zarr"):
        fit = fit_low_rank_in_chunks(tmp_path / name, groups="tissue", rank=4)
        target = impute_in_chunks(tmp_path / name, tmp_path / f"filled-{name}", fit, groups="tissue")
        filled = anndata.read_h5ad(target) if name.endswith("h5ad") else anndata.read_zarr(target)
        np.testing.assert_allclose(filled.X, plain, atol=1e-5)
        assert list(filled.obs["tissue"]) == list(tissues)
        assert tuple(filled.var_names) == cohort.genes
    backed = anndata.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    with h5py.File(tmp_path / "array.h5") as file:
        for i, source in enumerate((backed, tmp_path / "array.zarr", file["rows"])):
            np.testing.assert_allclose(filled_from(source, tmp_path, tissues, f"{i}.zarr"), plain, atol=1e-5)


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_an_interrupted_run_leaves_nothing(ending, tmp_path):
    _, Z, _ = rows_of(n=60, p=12)
    fit = fit_low_rank_in_chunks(Z, rank=2)

    class Interrupted:
        shape = Z.shape

        def __getitem__(self, rows):
            if rows.start >= 40:
                raise KeyboardInterrupt
            return Z[rows]

    with pytest.raises(KeyboardInterrupt):
        impute_in_chunks(Interrupted(), tmp_path / f"filled.{ending}", fit, block_rows=20)
    assert list(tmp_path.iterdir()) == []
    target = impute_in_chunks(Z, tmp_path / f"filled.{ending}", fit, block_rows=20)
    with pytest.raises(ConfigError, match="exists already"):
        impute_in_chunks(Z, target, fit)


def test_every_row_is_read_once_a_pass_and_in_blocks():
    _, Z, _ = rows_of(n=60, p=12)
    read = []

    class Watched:
        shape = Z.shape

        def __getitem__(self, rows):
            read.append((rows.start, rows.stop))
            return Z[rows]

    fit = fit_low_rank_in_chunks(Watched(), rank=2, block_rows=25, max_rounds=2)
    assert set(read) == {(0, 25), (25, 50), (50, 60)}
    assert len(read) == 3 * (3 + fit.n_rounds)  # means; what is known; Gram matrix; rounds


@pytest.mark.parametrize("exact_genes", [2_000, 0])  # systems of rows inverted, conjugate gradients
def test_constant_genes_empty_rows_and_unknown_groups(exact_genes, tmp_path, monkeypatch):
    monkeypatch.setattr(_low_rank_passes, "EXACT_GENES", exact_genes)
    _, Z, tissues = rows_of(n=80, p=10)
    Z[7] = np.nan
    Z[tissues == "colon", 5] = np.nan
    Z[:, 3] = np.where(np.isnan(Z[:, 3]), np.nan, 5)
    fit = fit_low_rank_in_chunks(Z, groups=tissues, rank=3)
    target = impute_in_chunks(
        Z, tmp_path / "f.zarr", fit, groups=np.where(tissues == "lung", "skin", tissues), unknown_category="pool"
    )
    filled = zarr.open_array(target, mode="r")[:]
    np.testing.assert_allclose(filled[:, 3], 5, atol=1e-3)
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(filled[7], fit.fitted.groups[1 if tissues[7] == "colon" else 0].mean, atol=1e-3)


def test_what_is_wrong_is_named(tmp_path):
    _, Z, tissues = rows_of(n=60, p=12)
    fit = fit_low_rank_in_chunks(Z, groups=tissues, rank=2)
    with pytest.raises(CovariateError, match="skin"):
        impute_in_chunks(Z, tmp_path / "f.zarr", fit, groups=["skin"] * 60)
    with pytest.raises(CovariateError, match="fitted with groups"):
        impute_in_chunks(Z, tmp_path / "f.zarr", fit)
    with pytest.raises(DataFormatError, match="11 genes"):
        impute_in_chunks(Z[:, 1:], tmp_path / "f.zarr", fit, groups=tissues)
    with pytest.raises(ConfigError, match="target"):
        impute_in_chunks(Z, tmp_path / "f.csv", fit, groups=tissues)
    with pytest.raises(ConfigError, match="rows to read"):
        fit_low_rank_in_chunks(3)
    for value, match in ((np.inf, "row 50, column 4"), (np.nan, "column 4")):
        bad = Z.copy()
        bad[50 if np.isinf(value) else slice(None), 4] = value
        with pytest.raises(DataFormatError, match=match):
            fit_low_rank_in_chunks(bad, rank=2, block_rows=20)
