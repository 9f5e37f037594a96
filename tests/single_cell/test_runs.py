"""Runs are kept and resumed; clusters, held-out counts and tables say what is so."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import runs
from reproduce.plots import single_cell_plots
from reproduce.single_cell import clustering, denoising, grid
from reproduce.single_cell.communities import louvain, modularity, neighbour_graph
from reproduce.single_cell.counts import divide, simulated_counts
from reproduce.single_cell.denoising import denoising_rows, denoising_runs, deviance
from reproduce.single_cell.likelihoods import LIKELIHOODS
from reproduce.tables import single_cell_tables, single_cell_tasks

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


def nothing_found(data):
    return pd.DataFrame({"number": []})


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
    # what is not asked for stays, so that asking again computes nothing
    assert list(runs.run_all(wanted[::2], data, tmp_path, "10_x")["number"]) == [1, 2]
    assert CALLS == [1, -1, 2, 1] and len(pd.read_csv(tmp_path / "10_x.csv")) == 3


def test_rows_of_other_code_are_replaced_and_a_foreign_table_is_refused(data, tmp_path, monkeypatch):
    CALLS.clear()
    wanted = [runs.Run(counted, {"number": number}) for number in (1, 2)]
    first = runs.run_all(wanted, data, tmp_path, "10_x")
    monkeypatch.setattr(runs.Run, "code", lambda _: "other")
    rows = runs.run_all(wanted[:1], data, tmp_path, "10_x")
    assert CALLS == [1, 2, 1] and list(rows["code"]) == ["other"] and list(rows["run_id"]) == [first["run_id"][0]]
    kept = pd.read_csv(tmp_path / "10_x.csv", dtype=str)
    assert dict(zip(kept["number"], kept["code"], strict=True)) == {"1": "other", "2": first["code"][1]}
    # a merge may have left both: what today's code made counts
    pd.concat([kept, first.assign(code="older").astype(str)]).to_csv(tmp_path / "10_x.csv", index=False)
    assert list(runs.run_all(wanted[:1], data, tmp_path, "10_x")["code"]) == ["other"]
    with pytest.raises(RuntimeError, match="gave no rows"):
        runs.run_all([runs.Run(nothing_found, {})], data, tmp_path / "new", "10_y")
    rows.drop(columns="code").to_csv(tmp_path / "10_x.csv", index=False)
    with pytest.raises(DataFormatError, match=r"10_x\.csv has no column 'code'"):
        runs.run_all(wanted, data, tmp_path, "10_x")


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


def test_the_shared_layout_is_the_one_of_the_best_mean_rank_and_a_diverged_row_is_none():
    rows = [
        ("poisson", "4", -10.0), ("poisson", "8", -9.0), ("poisson", "16", np.nan),
        ("negative_binomial", "4", -8.0), ("negative_binomial", "8", -7.0), ("negative_binomial", "16", -1.0),
    ]  # fmt: skip
    searched = pd.DataFrame(rows, columns=["likelihood", "hidden_units", "validation_elbo"]).assign(
        latent_size=2, epoch=1
    )
    searched["status"] = np.where(searched["validation_elbo"].isna(), "diverged", "done")
    assert grid.shared_layout(searched) == {"hidden_units": [8], "latent_size": 2}
    assert grid.best_layouts(searched)["negative_binomial"]["hidden_units"] == [16]
    wanted = grid.likelihood_runs(searched, 2)
    # the shared layout is Poisson's best, and is not trained twice
    assert len(wanted) == 6 and len(grid.likelihood_runs(searched, 2, own=False)) == 4
    assert "1 diverged" in single_cell_tables.say_grid(searched)
    with pytest.raises(ConfigError, match="learning_rate"):
        grid.shared_layout(searched.assign(status="diverged"))


def test_overdispersed_counts_are_said_to_be_so(data):
    training = {"hidden_units": [8], "latent_size": 2, "epochs": 2, "warm_up_epochs": 0}
    laws = ("poisson", "zero_inflated_poisson", "negative_binomial")
    rows = pd.concat(
        [grid.likelihood_rows(data, seed=seed, likelihood=law, **training) for law in laws for seed in (0, 1)]
    )
    contrasts = single_cell_tables.elbo_contrasts(rows, data)
    assert list(contrasts["reference"]) == ["poisson", "zero_inflated_poisson"]
    assert (contrasts["mean"] > 0).all() and np.isfinite(contrasts["low"]).all()
    table = single_cell_tables.elbo_table(rows)
    assert table["mean"].idxmax() == list(table["likelihood"]).index("negative_binomial")
    shown = single_cell_tables.show_elbos(table, table.iloc[:1], contrasts)
    assert list(shown["own best layout"]) == ["8, latent 2", "–", "–"]
    assert "a dash where" in single_cell_tables.say_elbo_columns(table, table.iloc[:1])
    alone = table.assign(low=np.nan, high=np.nan, n_seeds=1)
    said = single_cell_tables.say_elbo_columns(alone, table.iloc[:0])
    assert "not trained in this preset" in said and "one division has no interval" in said
    assert "6 of 6 trainings were still improving" in single_cell_tables.say_elbos(table, contrasts)
    assert len(single_cell_plots.elbo_curves(rows).axes) == 2


def test_a_diverged_seed_leaves_no_mean_that_could_win(data):
    training = {"likelihood": "poisson", "hidden_units": [8], "latent_size": 2, "epochs": 2, "warm_up_epochs": 0}
    wild = {"rates": "exponential", "inputs": "counts", "layer_normalization": False, "learning_rate": 1e3}
    rows = pd.concat([
        grid.likelihood_rows(data, seed=0, **training),
        grid.likelihood_rows(data, seed=1, **training, **wild),
        *(grid.likelihood_rows(data, seed=seed, **training | {"likelihood": "negative_binomial"}) for seed in (0, 1)),
    ])  # fmt: skip
    table, contrasts = single_cell_tables.elbo_table(rows), single_cell_tables.elbo_contrasts(rows, data)
    assert np.isnan(table.set_index("likelihood").loc["poisson", "mean"])
    assert list(contrasts["verdict"]) == ["inconclusive"]
    said = single_cell_tables.say_elbos(table, contrasts)
    assert "Poisson: 1 of 2 diverged" in said and "never diverged: negative binomial" in said
    row = grid.grid_row(data, **training, **wild)
    assert row["status"].item() == "diverged" and "validation_elbo" not in row
    small = {k: v for k, v in training.items() if k != "likelihood"} | wild | {"likelihood": "poisson"}
    assert clustering.cluster_rows(data, method="vae_kmeans", seed=0, **small)["status"].item() == "diverged"
    assert clustering.map_rows(data, model="vae", projection="pca", **small)["status"].item() == "diverged"


def test_verdicts_are_the_house_s():
    for low, high, expected in ((1.5, 3, "supported"), (-2, 0.5, "refuted"), (0.5, 3, "inconclusive")):
        assert single_cell_tables.verdict({"low": low, "high": high}, 1.0) == expected
    assert single_cell_tables.verdict({"low": np.nan, "high": np.nan}, 1.0) == "inconclusive"


def test_tables_of_two_sets_of_counts_stand_beside_each_other(tmp_path):
    rows = {"simulated": False, "likelihood": "negative_binomial", "reference": "poisson"}
    for counts, verdict in (("b", "refuted"), ("a", "supported"), ("b", "supported")):
        table = pd.DataFrame([rows | {"counts": counts, "verdict": verdict}])
        together = single_cell_tables.beside_others(table, tmp_path, "10_x")
    assert list(together["counts"]) == ["a", "b"] and set(together["verdict"]) == {"supported"}
    assert "2 real sets" in single_cell_tables.say_all_counts(together)


def test_rates_without_library_size_are_far_from_the_counts_and_shares_are_not(data):
    wanted = grid.rate_runs(["plain", "library-size shares", "all together"], 1, epochs=1, warm_up_epochs=0)
    rows = pd.concat([run.work(data, **run.arguments) for run in wanted])
    table = single_cell_tasks.rate_table(rows).set_index("parametrisation")
    for name in ("library-size shares", "all together"):
        assert table.loc[name, "start_ratio"] == pytest.approx(1, abs=1e-4)
    # raw counts make the latent, and with it rates, as large as they please
    assert table.loc["plain", "start_ratio"] > 100
    assert "with *library-size shares*, *all together*" in single_cell_tasks.say_rates(table.reset_index())
    assert len(single_cell_plots.rate_curves(rows).axes) == 3


def test_a_training_that_diverges_is_a_row_and_is_named_with_its_epoch(data):
    training = {"epochs": 3, "learning_rate": 50.0, "warm_up_epochs": 0, "likelihood": "poisson"}
    rows = pd.concat([
        grid.rate_rows(data, parametrisation=name, seed=0, **training) for name in ("plain", "bounded log λ")
    ])  # fmt: skip
    table = single_cell_tasks.rate_table(rows)
    assert list(table["diverged"]) == [True, False]
    # how large rates had become is known although the epoch came to no number
    assert table["largest_log_rate"].iloc[0] > single_cell_tasks.OVERFLOW > 10 >= table["largest_log_rate"].iloc[1]
    said = single_cell_tasks.say_rates(table)
    assert "no number in 1 of 1 runs, in epoch 1" in said and "kept every run finite: *bounded log λ*" in said
    shown = single_cell_tasks.show_rates(table)
    # one run has no range
    assert len(shown) == 2 and "to" not in shown["bound on composition"].iloc[1]
    large = table.assign(start_ratio=[1290.0, 3.2e13])
    assert "times the counts" in single_cell_tasks.say_rates(large)
    assert single_cell_tasks.show_rates(large)["Σ rates / Σ counts: start"].tolist() == ["1,290", "3.20 × 10¹³"]


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
    for method in ("pca_kmeans", "spectral", "louvain"):
        row = clustering.cluster_rows(clear, method=method, seed=0)
        assert row["ari"].item() == row["nmi"].item() == pytest.approx(1)
    wanted = clustering.cluster_runs(["gmvae", "vae_kmeans"], 2, likelihood="poisson", **TRAINING)
    rows = pd.concat([run.work(clear, **run.arguments) for run in wanted])
    table, contrasts = single_cell_tasks.cluster_table(rows), single_cell_tasks.cluster_contrasts(rows)
    assert list(contrasts["score"]) == ["ari", "nmi", "test_elbo"] and np.isfinite(contrasts["mean"]).all()
    assert "GMVAE is number" in single_cell_tasks.say_clusters(table, contrasts, rows)
    assert len(single_cell_tasks.show_clusters(table, rows)) == 2
    assert len(single_cell_plots.cluster_dots(table).axes) == 2
    planes = pd.concat([run.work(clear, **run.arguments) for run in clustering.map_runs("pca", **TRAINING)])
    assert len(planes) == 240 and len(single_cell_plots.latent_maps(planes).axes) == 4
    with pytest.raises(ConfigError, match="leiden"):
        clustering.cluster_runs(["leiden"], 1)
    with pytest.raises(ConfigError, match="labels"):
        clustering.clusters_of(replace(data, labels=np.full(120, "")), "spectral", 0)
    nothing = pd.DataFrame({"run_id": []})
    none = single_cell_tasks.cluster_table(nothing)
    assert "no labels" in single_cell_tasks.say_clusters(none, single_cell_tasks.cluster_contrasts(nothing), nothing)
    assert single_cell_tasks.show_clusters(none, nothing).empty


def test_held_out_counts_are_predicted_better_by_knowing_the_cell(data):
    assert deviance(np.array([[3.0, 0.0]]), np.array([[3.0, 1e-12]])) == pytest.approx(0, abs=1e-9)
    shared = {"held_out": 0.1, "n_genes": 0}
    wanted = denoising_runs(["library_mean", "knn_smoothing", "gaussian", "poisson"], 1, **shared, **TRAINING)
    rows = pd.concat([run.work(data, **run.arguments) for run in wanted]).set_index("method")
    assert rows.loc["library_mean", "deviance_explained"] == pytest.approx(0)
    assert rows.loc["knn_smoothing", "deviance_explained"] > 0
    assert np.isfinite(rows["squares_explained"]).all()
    assert "neighbours, mean weight" in rows.loc["knn_smoothing", "settings"]
    rows = rows.reset_index()
    table = single_cell_tasks.denoising_table(rows)
    assert len(single_cell_tasks.show_denoising(table, rows)) == 4
    assert "best on validation cells (Poisson)" in single_cell_tasks.say_denoising(table, rows)
    assert len(single_cell_plots.denoising_dots(table).axes) == 2
    with pytest.raises(ConfigError, match="magic"):
        denoising_runs(["magic"], 1, **shared)
    with pytest.raises(ConfigError, match="held_out"):
        denoising_runs(["poisson"], 1, held_out=1.0, n_genes=0)


@pytest.mark.parametrize("method", ["negative_binomial", "knn_smoothing", "gaussian"])
def test_what_is_held_out_is_never_shown(data, monkeypatch, method):
    """Other hidden molecules of the test cells change no prediction, nor which genes are taken."""
    predicted = []
    monkeypatch.setattr(
        denoising, "deviance", lambda truth, expected: predicted.append(expected) or deviance(truth, expected)
    )
    visible, hidden = denoising.thin(data.counts, 0.3, 0)
    test = divide(len(data.cells), 0)[2]
    for extra in (0, 7):
        changed = hidden.tolil()
        changed[test] = hidden[test].toarray() + extra
        thinned = visible, changed.tocsr()
        monkeypatch.setattr(denoising, "thin", lambda *_, thinned=thinned: thinned)
        training = TRAINING if method in LIKELIHOODS else {}
        denoising_rows(data, method=method, seed=0, held_out=0.3, n_genes=40, **training)
    half = len(predicted) // 2
    for one, other in zip(predicted[:half], predicted[half:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_communities_are_those_of_the_highest_modularity():
    # a ring of cliques, each joined to the next by one edge: the cliques are the best division
    block = sparse.csr_matrix(np.kron(np.eye(8), 1 - np.eye(5)))
    ring = sparse.lil_matrix(block)
    for clique in range(8):
        one, other = 5 * clique, (5 * clique + 9) % 40
        ring[one, other] = ring[other, one] = 1.0
    ring = sparse.csr_matrix(ring)
    cliques = np.repeat(np.arange(8), 5)
    for seed in range(3):
        found = louvain(ring, seed=seed)
        assert adjusted_rand_score(cliques, found) == 1
    # by the definition, over all pairs
    weights, degrees = ring.toarray(), ring.toarray().sum(axis=1)
    same = cliques[:, None] == cliques
    expected = ((weights - np.outer(degrees, degrees) / degrees.sum()) * same).sum() / degrees.sum()
    assert modularity(ring, cliques) == pytest.approx(expected)
    # nothing is joined: every node is alone
    assert len(set(louvain(sparse.csr_matrix((4, 4))))) == 4
    small = neighbour_graph(np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]]), 2)
    assert abs(small - small.T).max() == 0 and list(louvain(small)) in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])


def test_every_likelihood_has_a_colour():
    assert set(single_cell_plots.LAW_COLOURS) == set(LIKELIHOODS)
