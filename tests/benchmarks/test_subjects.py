"""What is measured: equal work on both sides, equal answers where they are to be equal, and nearness to the law."""

import resource
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reproduce.benchmarks import large
from reproduce.benchmarks.imputing import PACKAGES, PAIRS, SCIKIT_LEARN_KNN, fill_once, way_to_fill
from reproduce.benchmarks.networks import train_grid
from reproduce.benchmarks.processes import peak_memory_gb
from reproduce.benchmarks.simulated import SimulatedRows, hidden_entries, study_rows
from reproduce.experiments import grid
from reproduce.imputers import METHODS, make_imputer

SIZE = {"rows": 2_000, "genes": 80, "missing_rate": 0.5, "seed": 0}


@pytest.mark.parametrize("method", ["pmi", "gain", "gain_mse"])
def test_the_plain_network_has_as_many_weights_as_the_method_s_own(method):
    from reproduce.benchmarks.plain_keras import plain_model

    X, covariates = study_rows(60, 7, 0)
    imputer = make_imputer(method, random_state=0, epochs=1, steps_per_epoch=1).fit(X, covariates=covariates)
    plain = plain_model(method, 7, n_numeric=1, n_categories=[2, 2])
    own = sum(weight.size for weight in imputer.network_weights_)
    assert sum(int(np.prod(weight.shape)) for weight in plain.weights) == own


@pytest.mark.parametrize("method", ["pmi", "gain", "gain_mse"])
def test_the_plain_settings_are_the_method_s_defaults(method):
    from reproduce.benchmarks.plain_keras import SETTINGS

    theirs = make_imputer(method).get_params()
    ours = vars(SETTINGS[method])
    shared = set(ours) & set(theirs)
    assert shared >= {"dropout", "hidden_layers", "hidden_units", "learning_rate", "batch_size", "steps_per_epoch"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_plain_batches_hide_half_and_put_noise_into_the_holes_only():
    from reproduce.benchmarks.plain_keras import plain_batches

    Z = np.random.default_rng(0).normal(size=(60, 50)).astype(np.float32) + 10
    encoded = {"codes": np.zeros((60, 1), np.int32), "numeric": np.zeros((60, 1), np.float32)}
    for method, spread in (("pmi", 0.0), ("gain", 0.1)):
        inputs, asked = next(plain_batches(method, Z, encoded, seed=0))
        visible = inputs["mask"] == 1
        assert 0.45 < visible.mean() < 0.55
        assert np.array_equal(inputs["values"][visible], asked["truth"][visible])
        assert np.std(inputs["values"][~visible]) == pytest.approx(spread, rel=0.1)
        assert np.unique(asked["truth"][:, 0]).size == 48  # a pass over the rows takes none twice


def test_plain_training_learns():
    from reproduce.benchmarks.plain_keras import fill_plainly, fit_plainly

    X, covariates = study_rows(250, 20, 0)
    model, inputs = fit_plainly("pmi", X[:200], covariates[:200], epochs=20, seed=0)
    hidden = hidden_entries(X[200:].shape, 0.5, 0)
    filled = fill_plainly(model, inputs, np.where(hidden, np.nan, X[200:]), covariates[200:])
    assert np.array_equal(filled[~hidden], X[200:][~hidden])
    assert np.mean((filled - X[200:])[hidden] ** 2) < 0.8 * np.mean((X[:200].mean(axis=0) - X[200:])[hidden] ** 2)


def test_a_grid_runs_as_many_models_as_asked_for_and_tells_the_time_of_one(monkeypatch):
    seen = []

    def pretend(trials, study, store, n_jobs, *, progress):
        seen.append((trials, study.cohorts["GTEx"].n_obs, n_jobs))
        time.sleep(0.3)
        rows = [("r2", "overall", 0.6), ("r2", "overall", 0.8), ("r2", "gene", 9.0), ("mae", "overall", 9.0)]
        return SimpleNamespace(rows=pd.DataFrame(rows, columns=["metric", "level", "value"]))

    monkeypatch.setattr(grid, "run_grid", pretend)
    record = train_grid("pmi", 90, 8, 2, 0.5, n_models=3, n_workers=2, seed=1)
    ((trials, n_rows, n_jobs),) = seen
    assert [trial.seed for trial in trials] == [3, 4, 5] and (n_rows, n_jobs) == (120, 2)
    assert 0.1 <= record["seconds"] < 0.15 and record["r2"] == pytest.approx(0.7) and record["models"] == 3
    assert record["peak_memory_gb"] > peak_memory_gb(resource.RUSAGE_SELF) - 0.01  # that of the workers is added


def test_neighbours_are_those_of_scikit_learn():
    X, covariates = study_rows(80, 30, 0)
    X[hidden_entries(X.shape, 0.5, 0)] = np.nan
    both = [np.asarray(way_to_fill(name, 0)(X, covariates)) for name in ("knn_10", SCIKIT_LEARN_KNN)]
    assert np.abs(both[0] - both[1]).max() < 1e-9


def test_chained_ridge_is_faster_than_mice_and_no_less_accurate():
    fast, slow = (fill_once(name, 200, 40, 0.5, seed=0) for name in ("fast_mice", "mice"))
    assert slow["cpu_seconds"] / fast["cpu_seconds"] > 3
    assert fast["r2"] > slow["r2"] > 0


def test_every_pair_names_a_way_to_fill():
    assert {name for pair in PAIRS for name in (pair.fast, pair.slow)} <= {*METHODS, SCIKIT_LEARN_KNN}
    assert {pair.slow for pair in PAIRS} == set(PACKAGES)


@pytest.mark.parametrize("inductive", [True, False])
def test_in_memory_the_low_rank_normal_comes_near_the_law(inductive):
    _near_the_law(large.fill_in_chunks(**SIZE, inductive=inductive))
    small = SIZE | {"rows": 1_500, "genes": 30}
    _near_the_law(large.fill_by_imputer("low_rank", **small, inductive=inductive))


def test_on_disk_the_low_rank_normal_comes_near_the_law(tmp_path):
    where = SIZE | {"folder": str(tmp_path)}
    assert large.write_file(**where)["write_seconds"] > 0
    timed = large.fill_file(**where)
    _near_the_law(timed | large.score_file(**where))
    assert timed["seconds"] == timed["fit_seconds"] + timed["impute_seconds"]
    assert timed["seconds_per_1000_rows"] == pytest.approx(timed["seconds"] / 2)


def test_a_network_trained_on_a_file_fills_it(tmp_path):
    where = SIZE | {"folder": str(tmp_path)}
    large.write_file(**where)
    timed = large.fill_file_by_network(**where, epochs=100)
    assert 0.1 < large.score_file(**where)["r2"] < 1 and timed["seconds"] > 0


def _near_the_law(record):
    assert 0.45 < record["against_r2"] < 0.95
    assert record["against_r2"] - 0.1 < record["r2"] < record["against_r2"]


@pytest.mark.parametrize("missing_rate", [0.25, 0.5])
def test_rows_are_drawn_alike_again_and_as_many_are_hidden_as_asked_for(missing_rate):
    drawn = SimulatedRows(600, 300, missing_rate, seed=3)
    (first, X), (second, other) = drawn.with_holes()
    assert (first, second) == (slice(0, 500), slice(500, 600))
    truth, hidden = drawn.draw(first)
    assert np.array_equal(np.isnan(X), hidden) and np.array_equal(X[~hidden], truth[~hidden])
    assert hidden.mean() == pytest.approx(missing_rate, abs=0.01)
    residual = pd.DataFrame(truth - drawn.means[drawn.tissues[first]])
    assert residual.var().mean() == pytest.approx(1, abs=0.05)
    assert not np.array_equal(other[0], X[0])
