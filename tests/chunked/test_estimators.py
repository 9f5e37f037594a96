"""Networks trained on files against the same networks trained in memory, and any imputer applied block by block."""

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr

from reproduce.chunked import estimators, fit_network_in_chunks, transform_in_chunks
from reproduce.chunked.estimators import ShuffledRows
from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.imputers import make_imputer
from reproduce.loaders.row_files import RowSource, open_rows, write_rows

N, P = 400, 30
SHORT = {"epochs": 30, "hidden_layers": 1, "hidden_units": 64, "random_state": 0}


@pytest.fixture(scope="module")
def cohort():
    """Rows near 7 that follow four factors, one constant gene, tissues and ages; (n_samples, n_genes) with names."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"tissue": np.array(["lung", "colon"])[np.arange(N) % 2], "age": rng.normal(50, 9, N)},
        index=[f"s{i}" for i in range(N)],
    )
    X = 7 + rng.normal(size=(N, 4)) @ rng.normal(size=(4, P)) + 0.5 * rng.normal(size=(N, P))
    X += rng.normal(size=P) * (obs["tissue"] == "lung").to_numpy()[:, None]
    X[:, 3] = 2.5
    return RowSource(X.astype(np.float32), "cohort", obs, pd.DataFrame(index=[f"G{i}" for i in range(P)]))


@pytest.fixture(scope="module")
def files(cohort, tmp_path_factory):
    """The cohort as .zarr and .h5ad."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("cohort.zarr", "cohort.h5ad"):
        with write_rows(folder / name, cohort) as write:
            write(slice(0, N), cohort.values)
    return folder


def in_frame(cohort, values=None):
    values = cohort.values if values is None else values
    return pd.DataFrame(values, index=cohort.obs.index, columns=list(cohort.genes))


def r2(truth, filled, hidden):
    error = np.sum((truth - filled) ** 2, where=hidden, axis=0)
    spread = np.sum((truth - truth.mean(axis=0)) ** 2, where=hidden, axis=0)
    varying = truth.std(axis=0) > 0
    return float(np.mean(1 - error[varying] / spread[varying]))


@pytest.mark.parametrize("method", ["pmi", "gain"])
def test_a_network_trained_from_a_file_is_as_good_as_one_trained_in_memory(method, cohort, files):
    hidden = np.random.default_rng(1).random((N, P)) < 0.5
    holes = in_frame(cohort, np.where(hidden, np.nan, cohort.values))
    from_file = fit_network_in_chunks(
        make_imputer(method, **SHORT), files / "cohort.zarr", covariates=["tissue", "age"], block_rows=32
    )
    in_memory = make_imputer(method, **SHORT).fit(in_frame(cohort), covariates=cohort.obs)
    for name in ("center_", "scale_", "varying_"):
        np.testing.assert_allclose(getattr(from_file, name), getattr(in_memory, name), rtol=1e-5)
    assert list(from_file.feature_names_in_) == list(cohort.genes) and not from_file.varying_[3]
    assert from_file.n_validation_samples_ == in_memory.n_validation_samples_ == 40
    fills = [np.asarray(imputer.transform(holes, covariates=cohort.obs)) for imputer in (from_file, in_memory)]
    scores = [r2(cohort.values, filled, hidden) for filled in fills]
    assert scores[0] > 0.4 and abs(scores[0] - scores[1]) < 0.06


def test_the_same_seed_gives_the_same_weights(cohort):
    def weights(seed):
        imputer = make_imputer("pmi", **SHORT | {"epochs": 2, "random_state": seed})
        return fit_network_in_chunks(imputer, cohort, block_rows=32).network_weights_

    first, again, other = weights(0), weights(0), weights(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_every_usable_row_comes_once_before_any_comes_again_and_few_are_held(monkeypatch):
    most = 50
    monkeypatch.setattr(estimators, "HELD_BYTES", most * 4 * 2)
    values = np.arange(400, dtype=np.float32).reshape(200, 2)
    used = np.arange(200) % 3 > 0
    rows = RowSource(values, "rows")
    stream = ShuffledRows(rows, used, lambda X, positions: (X, positions), rows.slices(16), seed=0)
    held, taken = [], []
    for _ in range(19):
        X, positions = stream.take(7)
        np.testing.assert_array_equal(X, values[positions])
        held.append(len(stream._values))
        taken.extend(positions)
    assert len(stream) == used.sum() == 133 == len(taken)
    assert sorted(taken) == list(np.flatnonzero(used)) and max(held) <= most
    assert taken != sorted(taken) and set(stream.take(133)[1]) == set(np.flatnonzero(used))


def test_rows_that_validate_are_bounded_and_never_trained_on(cohort, monkeypatch):
    monkeypatch.setattr(estimators, "VALIDATION_BYTES", 9 * 4 * P)
    seen = []
    monkeypatch.setattr(ShuffledRows, "take", lambda self, n: seen.append(self.used) or _take(self, n))
    imputer = make_imputer("pmi", **SHORT | {"epochs": 2})
    fit_network_in_chunks(imputer, cohort)
    assert imputer.n_validation_samples_ == 9 and np.isfinite(imputer.history_["validation_loss"]).all()
    assert all(used.sum() == N - 40 for used in seen)


_take = ShuffledRows.take


def test_rows_with_holes_are_trained_on(cohort):
    holes = np.where(np.random.default_rng(2).random((N, P)) < 0.3, np.nan, cohort.values)
    imputer = fit_network_in_chunks(make_imputer("pmi", **SHORT | {"epochs": 3}), holes, block_rows=64)
    assert imputer._settings.pseudo_missing_rate == (0.1, 0.4)
    np.testing.assert_allclose(imputer.center_, np.nanmean(holes, axis=0), rtol=1e-5)


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize("method", ["gaussian", "pmi"])
def test_blocks_are_filled_as_the_whole_is(method, ending, cohort, files, tmp_path):
    imputer = make_imputer(method, random_state=0, **({"epochs": 2} if method == "pmi" else {}))
    imputer.fit(in_frame(cohort), covariates=cohort.obs)
    hidden = np.random.default_rng(1).random((N, P)) < 0.5
    holes = RowSource(np.where(hidden, np.nan, cohort.values), "holes", cohort.obs, cohort.var)
    with write_rows(tmp_path / f"holes.{ending}", holes) as write:
        write(slice(0, N), holes.values)
    target = transform_in_chunks(
        imputer,
        tmp_path / f"holes.{ending}",
        tmp_path / f"filled.{ending}",
        covariates=["tissue", "age"],
        block_rows=33,
    )
    read = anndata.read_h5ad if ending == "h5ad" else anndata.read_zarr
    filled = read(target)
    whole = np.asarray(imputer.transform(in_frame(cohort, holes.values), covariates=cohort.obs))
    np.testing.assert_allclose(filled.X, whole, atol=1e-4)
    np.testing.assert_array_equal(filled.X[~hidden], cohort.values[~hidden])
    assert list(filled.obs_names) == list(cohort.obs.index) and list(filled.var_names) == list(cohort.genes)


def test_what_is_wrong_is_named(cohort, files, tmp_path):
    pmi = make_imputer("pmi", **SHORT)
    with pytest.raises(ConfigError, match="GaussianImputer cannot be trained in chunks"):
        fit_network_in_chunks(make_imputer("gaussian"), cohort)
    with pytest.raises(CovariateError, match=r"no column .organ. of samples .it has: tissue, age."):
        fit_network_in_chunks(pmi, files / "cohort.zarr", covariates=["organ"])
    with pytest.raises(CovariateError, match="400 row"):
        fit_network_in_chunks(pmi, cohort, covariates=cohort.obs[:5])
    unknown = cohort.values.copy()
    unknown[:, 5] = np.nan
    with pytest.raises(DataFormatError, match="no known entry, such as column 5"):
        fit_network_in_chunks(pmi, unknown)
    median = make_imputer("median").fit(in_frame(cohort), covariates=cohort.obs)
    zarr.create_array(tmp_path / "few.zarr", data=cohort.values[:, :7])
    with pytest.raises(ValueError, match=r"7 features|feature names"):
        transform_in_chunks(median, tmp_path / "few.zarr", tmp_path / "filled.zarr", covariates=cohort.obs)
    assert not (tmp_path / "filled.zarr").exists()
    with pytest.raises(CovariateError, match="give columns"):
        transform_in_chunks(median, files / "cohort.zarr", tmp_path / "filled.zarr")


def test_a_file_is_read_in_parts_of_its_own_chunks(tmp_path):
    array = zarr.create_array(tmp_path / "chunks.zarr", shape=(1000, 2_000), chunks=(150, 2_000), dtype="f4")
    parts = estimators._parts(open_rows(array), None)
    assert {part.stop - part.start for part in parts[:-1]} == {450}
    assert {part.stop - part.start for part in estimators._parts(open_rows(array), 40)} == {40}
