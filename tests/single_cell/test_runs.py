"""Runs are kept and resumed; clusters, held-out counts and tables say what is so."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.experiments import runs
from reproduce.plots import single_cell_plots
from reproduce.single_cell import clustering, denoising, grid
from reproduce.single_cell.counts import simulated_counts
from reproduce.single_cell.denoising import denoising_rows, denoising_runs, deviance
from reproduce.single_cell.likelihoods import LIKELIHOODS
from reproduce.tables import single_cell_tables

TRAINING = {"hidden_units": [8], "latent_size": 2, "epochs": 2, "learning_rate": 1e-2, "warm_up_epochs": 1}
CALLS = []


@pytest.fixture(scope="module")
def data():
    return simulated_counts(120, 60, 3)


def counted(data, *, number):
    CALLS.append(number)
    if number < 0:
        raise ValueError("below zero")
    return pd.DataFrame({"number": [number], "cells": len(data.cells)})


def test_what_is_kept_is_not_run_again_and_one_failure_loses_nothing(data, tmp_path):
    CALLS.clear()
    wanted = [runs.Run(counted, {"number": number}) for number in (1, -1, 2)]
    with pytest.raises(RuntimeError, match=r"1 of 3 runs failed.*below zero"):
        runs.run_all(wanted, data, tmp_path, "10_x")
    rows = runs.run_all([wanted[2], wanted[0]], data, tmp_path, "10_x")
    assert CALLS == [1, -1, 2] and list(rows["number"]) == [2, 1]
    # other cells are other results
    runs.run_all(wanted[:1], data.rows(np.arange(50)), tmp_path, "10_x")
    assert CALLS == [1, -1, 2, 1]


def test_a_search_finds_the_best_layout_of_each_likelihood(data, tmp_path):
    searched = runs.run_all(
        grid.grid_runs([[4], [8, 6]], [2], ["poisson", "negative_binomial"], epochs=1, warm_up_epochs=0),
        data, tmp_path, "10_grid",
    )  # fmt: skip
    best = grid.best_layouts(searched)
    assert set(best) == {"poisson", "negative_binomial"} and best["poisson"]["hidden_units"] in ([4], [8, 6])
    assert best["poisson"]["latent_size"] == 2
    assert len(single_cell_plots.grid_panels(searched).axes) == 2
    assert "4 trainings" in single_cell_tables.say_grid(searched)


def test_overdispersed_counts_are_said_to_be_so(data):
    layouts = {law: {"hidden_units": [8], "latent_size": 2} for law in ("poisson", "negative_binomial")}
    wanted = grid.likelihood_runs(layouts, 2, epochs=2, warm_up_epochs=0)
    rows = pd.concat([run.work(data, **run.arguments) for run in wanted])
    contrasts = single_cell_tables.elbo_contrasts(rows)
    assert contrasts["mean"].item() > 0 and np.isfinite(contrasts["low"].item())
    table = single_cell_tables.elbo_table(rows)
    assert table["mean"].idxmax() == list(table["likelihood"]).index("negative_binomial")
    assert len(single_cell_tables.show_elbos(table, contrasts)) == 2
    assert len(single_cell_plots.elbo_curves(rows).axes) == 2


def test_rates_without_library_size_are_far_from_the_counts_and_shares_are_not(data):
    wanted = grid.rate_runs(["exp(a), log counts in", "the same, normalised layers"], 1, epochs=1, warm_up_epochs=0)
    rows = pd.concat([run.work(data, **run.arguments) for run in wanted])
    table = single_cell_tables.rate_table(rows).set_index("parametrisation")
    assert table.loc["the same, normalised layers", "first_ratio"] == pytest.approx(1, abs=1e-4)
    assert abs(np.log(table.loc["exp(a), log counts in", "first_ratio"])) > 1
    assert len(single_cell_plots.rate_curves(rows).axes) == 2


def test_a_training_that_diverges_is_a_row(data):
    form = "exp(a), counts in"
    rows = grid.rate_rows(data, parametrisation=form, seed=0, epochs=3, learning_rate=50.0, warm_up_epochs=0)
    table = single_cell_tables.rate_table(rows)
    assert table["diverged"].item() and form in single_cell_tables.say_rates(table)


def test_known_rates_are_found():
    rows = grid.known_rates_rows(
        n_cells=600, n_rates=4, latent_size=2, hidden_units=[6], seed=0, epochs=30, learning_rate=0.03, warm_up_epochs=0
    )
    table = single_cell_tables.known_rates_table(rows)
    assert table["relative_error"].abs().max() < 0.15
    assert len(single_cell_plots.known_rates_panels(rows, table).axes) == 3


def test_clusters_of_kinds_far_apart_are_found_and_the_unknown_refused(data):
    apart = np.repeat([[40.0] * 20 + [1.0] * 40, [1.0] * 40 + [40.0] * 20], 60, axis=0)
    from dataclasses import replace

    from reproduce.single_cell.counts import check_counts

    counts = check_counts(np.random.default_rng(0).poisson(apart))
    clear = replace(data, counts=counts, labels=np.repeat(["one", "other"], 60))
    for method in ("pca_kmeans", "spectral"):
        row = clustering.cluster_rows(clear, method=method, seed=0)
        assert row["ari"].item() == row["nmi"].item() == pytest.approx(1)
    table = single_cell_tables.cluster_table(
        pd.concat([clustering.cluster_rows(clear, method="gmvae", seed=seed, **TRAINING) for seed in (0, 1)])
    )
    assert len(single_cell_tables.show_clusters(table)) == 1 and len(single_cell_plots.cluster_dots(table).axes) == 2
    planes = pd.concat([run.work(clear, **run.arguments) for run in clustering.map_runs("pca", **TRAINING)])
    assert len(planes) == 240 and len(single_cell_plots.latent_maps(planes).axes) == 4
    with pytest.raises(ConfigError, match="leiden"):
        clustering.cluster_runs(["leiden"], 1)
    with pytest.raises(ConfigError, match="labels"):
        clustering.clusters_of(replace(data, labels=np.full(120, "")), "spectral", 0)
    none = single_cell_tables.cluster_table(pd.DataFrame({"run_id": []}))
    assert "no labels" in single_cell_tables.say_clusters(none)


def test_held_out_counts_are_predicted_better_by_knowing_the_cell(data):
    assert deviance(np.array([[3.0, 0.0]]), np.array([[3.0, 1e-12]])) == pytest.approx(0, abs=1e-9)
    shared = {"held_out": 0.1, "n_genes": 0}
    wanted = denoising_runs(["library_mean", "knn_smoothing", "gaussian", "poisson"], 1, **shared, **TRAINING)
    rows = pd.concat([run.work(data, **run.arguments) for run in wanted]).set_index("method")
    assert rows.loc["library_mean", "deviance_explained"] == pytest.approx(0)
    assert rows.loc["knn_smoothing", "deviance_explained"] > 0
    assert np.isfinite(rows["squares_explained"]).all()
    table = single_cell_tables.denoising_table(rows.reset_index())
    assert len(single_cell_tables.show_denoising(table)) == 4
    assert "held out" in single_cell_tables.say_denoising(table, rows.reset_index())
    assert len(single_cell_plots.denoising_dots(table).axes) == 2
    with pytest.raises(ConfigError, match="magic"):
        denoising_runs(["magic"], 1, **shared)
    with pytest.raises(ConfigError, match="held_out"):
        denoising_runs(["poisson"], 1, held_out=1.0, n_genes=0)


def test_what_is_held_out_is_never_shown(data, monkeypatch):
    """Methods see only what thinning left, of training and of test cells."""
    seen = []
    monkeypatch.setitem(
        denoising.RIVAL_FUNCTIONS,
        "knn_smoothing",
        lambda train, test: seen.append(train.sum() + test.sum()) or np.ones(test.shape),
    )
    row = denoising_rows(data, method="knn_smoothing", seed=0, held_out=0.3, n_genes=0)
    assert row["n_molecules"].item() > 0
    assert seen[0] == pytest.approx(0.7 * data.counts.sum(), rel=0.02)


def test_every_likelihood_has_a_colour():
    assert set(single_cell_plots.LAW_COLOURS) == set(LIKELIHOODS)
