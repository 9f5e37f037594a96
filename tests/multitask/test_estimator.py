"""The estimator learns, forgets nothing when saved, and refuses what does not fit; rows, tables and figures agree."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.multitask import cluster_study, study
from reproduce.multitask.data import as_anndata
from reproduce.multitask.estimators import MultitaskVelocity
from reproduce.multitask.rivals import PerGene, _folds
from reproduce.multitask.simulator import Simulation, simulate
from reproduce.plots import multitask_plots
from reproduce.tables import multitask_checks, multitask_tables

QUICK = {"hidden_units": (8, 4), "epochs": 40, "batch_size": 64, "random_state": 0, "penalty": 0.01, "l1": 0.003}
TINY = {"n_cells": 50, "n_factors": 8, "genes_per_module": 4, "factors_per_gene": 2}
TRAINING = {"n_steps": 4, "batch_size": 32, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def cells():
    drawn = simulate(Simulation(n_cells=150, n_factors=8, genes_per_module=4, factors_per_gene=2, noise=0.2), 0)
    velocity = drawn.velocity.copy()
    velocity[::3, 1] = np.nan
    drawn = replace(drawn, velocity=velocity)
    return drawn.rows(np.arange(0, 300, 2)), drawn.rows(np.arange(1, 300, 2))


@pytest.fixture(scope="module")
def fitted(cells):
    return MultitaskVelocity(**QUICK).fit(cells[0])


def test_it_learns_and_finds_the_regulators(cells, fitted):
    assert fitted.score(cells[1]) > 0.4
    found = np.argsort(-fitted.importances_, axis=1)[:, :2]
    assert np.take_along_axis(cells[0].regulation.T != 0, found, axis=1).mean() > 0.7
    history = fitted.histories_[0]
    assert history["squared_error"].iloc[-1] < 0.6 * history["squared_error"].iloc[0]


def test_arrays_and_containers_give_the_same(cells, fitted):
    train, test = cells
    names = train.tissue_names[train.tissues]
    by_arrays = MultitaskVelocity(**QUICK).fit(
        pd.DataFrame(train.expression, columns=train.factors),
        pd.DataFrame(train.velocity, columns=train.genes),
        tissues=names,
        activities=train.activities,
    )
    asked = test.tissue_names[test.tissues]
    table = pd.DataFrame(test.expression, columns=test.factors)
    np.testing.assert_allclose(by_arrays.predict(table, tissues=asked), fitted.predict(test), atol=1e-5)
    np.testing.assert_allclose(fitted.predict(as_anndata(test)), fitted.predict(test), atol=1e-5)


def test_what_is_saved_comes_back(cells, fitted, tmp_path):
    back = MultitaskVelocity.load(fitted.save(tmp_path / "fitted.npz"))
    np.testing.assert_array_equal(back.predict(cells[1]), fitted.predict(cells[1]))
    assert back.get_params() == fitted.get_params()
    assert list(back.histories_[0]["epoch"]) == list(range(1, 41))
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(DataFormatError, match="no whole saved MultitaskVelocity"):
        MultitaskVelocity.load(tmp_path / "other.npz")


def test_clusters_are_trained_by_themselves(cells):
    both = MultitaskVelocity(**QUICK | {"n_clusters": 2, "epochs": 1}).fit(cells[0])
    assert sorted(np.bincount(both.labels_)) == [2, 2] and len(both.singular_values(1)) == 2
    assert np.isfinite(both.predict(cells[1])).all()


def test_a_large_penalty_makes_genes_alike_and_none_does_not(cells):
    """Of weights that start from one another's, the first direction holds the more, the larger the penalty."""
    shares = []
    for penalty in (0.0, 0.3):
        model = MultitaskVelocity(**QUICK | {"penalty": penalty, "l1": 0.0}).fit(cells[0])
        values = model.singular_values(1)[0]
        shares.append(values[0] ** 2 / (values**2).sum())
    assert shares[1] > shares[0] + 0.05


def test_validation_cells_choose_the_epoch(cells):
    model = MultitaskVelocity(**QUICK | {"validation_fraction": 0.3, "l1": 0.0, "penalty": 0.0}).fit(cells[0])
    history = model.histories_[0]
    assert history["validation_loss"].notna().all()


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"penalty": -1.0}, ConfigError, "penalty is -1"),
        ({"shared": "all"}, ConfigError, "shared is 'all'"),
        ({"start": "same"}, ConfigError, "start is 'same'"),
        ({"n_clusters": 9}, ConfigError, "n_clusters is 9"),
        ({"hidden_units": ()}, ConfigError, "hidden_units"),
    ],
)
def test_wrong_parameters_are_refused(cells, parameters, error, said):
    with pytest.raises(error, match=said):
        MultitaskVelocity(**parameters).fit(cells[0])


def test_what_does_not_fit_together_is_refused(cells, fitted):
    train, test = cells
    with pytest.raises(ConfigError, match="no activities"):
        MultitaskVelocity().fit(train.expression, train.velocity)
    with pytest.raises(DataFormatError, match="150 cells of expression, 9 of velocities"):
        MultitaskVelocity(features="expression").fit(train.expression, train.velocity[:9])
    still = np.array(train.velocity)
    still[:, 2] = 1.0
    with pytest.raises(DataFormatError, match="velocity of gene gene3 is the same"):
        MultitaskVelocity().fit(replace(train, velocity=still))
    with pytest.raises(ConfigError, match="name the tissue"):
        fitted.predict(pd.DataFrame(test.expression, columns=test.factors))
    with pytest.raises(DataFormatError, match="Tissue moon"):
        fitted.predict(pd.DataFrame(test.expression, columns=test.factors), tissues=["moon"] * 150)
    with pytest.raises(DataFormatError, match="the first that differs is factor8"):
        fitted.predict(pd.DataFrame(test.expression[:, ::-1], columns=test.factors[::-1]))


def test_the_lasso_finds_regulators_on_the_same_features(cells):
    train, test = cells
    model = PerGene("lasso").fit(train)
    assert model.predict(test).shape == test.velocity.shape
    found = np.argsort(-model.importances_, axis=1)[:, :2]
    assert np.take_along_axis(train.regulation.T != 0, found, axis=1).mean() > 0.7


def test_training_never_sees_a_test_cell(monkeypatch):
    seen = []
    plain = PerGene.fit
    monkeypatch.setattr(PerGene, "fit", lambda self, data: seen.append(set(data.cells)) or plain(self, data))
    study.score_rows(method="ridge", seed=1, cells_per_gene=20, simulation=TINY, settings=[], **TRAINING)
    _, test, _ = study.divided(None, TINY, 20, 1)
    assert seen and not seen[0] & set(test.cells)


def test_scores_are_0_for_the_mean_and_the_ceiling_for_the_truth():
    train, test, known = study.divided(None, TINY, 20, 1)
    assert np.isfinite(known.velocity).all() and (np.isfinite(train.velocity).sum(axis=0) == 20).all()
    mean = np.broadcast_to(known.velocity.mean(axis=0), test.velocity.shape)
    assert study.r2_rows(known, test, mean).query("tissue == ''")["value"].to_numpy() == pytest.approx(0.0)
    rows = study.r2_rows(known, test, test.truth)
    assert rows["value"].to_numpy() == pytest.approx(rows["ceiling"].to_numpy())
    right = study._precision_rows(np.abs(train.regulation.T), train)
    assert right["value"].iloc[:2].tolist() == [1.0, 1.0] and right["value"].iloc[-2] == pytest.approx(2 / 8)
    assert right.iloc[-1][["metric", "value"]].tolist() == ["chance", pytest.approx(2 / 8)]


def test_the_lasso_s_folds_mix_tissues():
    tissues = np.repeat([0, 1], 60)
    for seed in range(5):
        assert all(0.2 < tissues[held].mean() < 0.8 for _, held in _folds(seed).split(tissues))


def test_movement_since_the_start_is_nothing_before_training(cells, tmp_path):
    train, _ = cells
    model = MultitaskVelocity(0.1, hidden_units=(6, 5, 4), epochs=1, learning_rate=1e-12, random_state=3).fit(train)
    assert model.singular_values(1)[0][0] > 1.0
    assert model.singular_values(1, since_start=True)[0].max() < 1e-3
    kept = MultitaskVelocity.load(model.save(tmp_path / "kept.npz"))
    np.testing.assert_array_equal(
        kept.singular_values(1, since_start=True)[0], model.singular_values(1, since_start=True)[0]
    )


def test_networks_with_and_without_the_penalty_differ_in_nothing_else():
    for name, alone in (("trace_norm", "single_task_common"), ("trace_norm_own", "single_task")):
        assert study.NETWORKS[name] | {"penalty": 0.0} == study.NETWORKS[alone]


def test_a_gain_is_sharing_only_where_related_genes_gain():
    seeds = np.arange(8)
    noise = 0.001 * np.sin(seeds)

    def rows(related: float, stranger: float) -> pd.DataFrame:
        scores = {(1.0, "trace_norm"): related, (0.0, "trace_norm"): stranger}
        scores |= {(1.0, "single_task_common"): 0.0, (0.0, "single_task_common"): 0.0}
        return pd.concat(
            pd.DataFrame({"relatedness": r, "method": m, "seed": seeds, "value": value + noise * (m == "trace_norm"),
                          "metric": "r2", "tissue": "", "cells_per_gene": 40, "gene": "a"})
            for (r, m), value in scores.items()
        )  # fmt: skip

    said = [multitask_tables.say_gain(multitask_tables.sharing_gain(rows(*ends))) for ends in
            ((0.1, 0.02), (-0.01, -0.1), (0.1, 0.1))]  # fmt: skip
    assert "gain from each other" in said[0] and "comes from harm" in said[1] and "not told apart" in said[2]


def test_choices_at_an_edge_are_counted_in_whatever_order_they_are_written():
    grid = {"trace_norm": [{"penalty": p, "l1": 0.01} for p in (0.01, 0.03, 0.1)]}
    rows = pd.DataFrame({"method": "trace_norm", "metric": "r2", "cells_per_gene": 40, "relatedness": 1.0,
                         "seed": range(3), "setting": ["l1=0.01 penalty=0.1", "penalty=0.03 l1=0.01",
                                                       "l1=0.01 penalty=0.1"]})  # fmt: skip
    table = multitask_checks.settings_table(rows, grid)
    assert table["at an edge"].tolist() == ["2 of 3"] and "λ = 0.1, γ = 0.01 (2×)" in table["chosen"].iloc[0]
    assert "2 of 3 choices" in multitask_checks.say_settings(table, grid)


def test_clusters_as_simulated_are_those_that_genes_are_trained_in():
    drawn = TINY | {"n_modules": 2}
    runs = cluster_study.cluster_runs(2, [20], drawn, penalty=0.1, l1=0.01, **TRAINING)
    table = multitask_checks.cluster_table(pd.concat(run.work(**run.arguments) for run in runs))
    rows = table.set_index("clusters")
    assert rows.loc["true", "mean_less"] == 0.0 and -1.0 <= rows.loc["found", "mean_rand"] <= 1.0
    assert "Rand" in multitask_checks.say_clusters(table) and len(multitask_checks.show_clusters(table)) == 3
    with pytest.raises(ConfigError, match="by chance"):
        cluster_study.cluster_rows(
            clusters="by chance", seed=0, cells_per_gene=20, simulation=drawn, penalty=0.1, l1=0.01, **TRAINING
        )


def test_rows_tables_words_and_figures():
    settings = {"trace_norm": [{"penalty": 0.1, "l1": 0.01}], "single_task_common": [{"l1": 0.01}, {"l1": 0.1}]}
    drawn = study.simulations_of([1.0, 0.0], **TINY)
    runs = study.comparison_runs(
        ["trace_norm", "single_task_common", "ridge", "activity"], 2, [20, 40], settings, drawn, **TRAINING
    )
    rows = multitask_tables.joined(*(run.work(**run.arguments) for run in runs))
    scores, contrasts = multitask_tables.score_table(rows), multitask_tables.contrast_table(rows)
    assert len(scores) == 12 and len(contrasts) == 8 and (contrasts["p_holm"] >= contrasts["p"]).all()
    assert len(multitask_tables.show_scores(scores, contrasts)) == 12
    assert "Trace norm less single-task, common start" in multitask_tables.say_scores(scores, contrasts)
    gains = multitask_tables.sharing_gain(rows)
    mean = multitask_tables.by_seed(rows).pivot_table(
        index=["cells_per_gene", "relatedness"], columns="method", values="value"
    )
    ahead = (mean["trace_norm"] - mean["single_task_common"]).unstack("relatedness")
    assert gains["mean"].to_numpy() == pytest.approx((ahead[1.0] - ahead[0.0]).to_numpy())
    genes, precision = (f(rows, 20) for f in (multitask_tables.gene_table, multitask_checks.precision_table))
    assert "%" in multitask_tables.say_genes(genes) and len(multitask_checks.show_precision(precision, 2)) == 5
    regulators = multitask_checks.precision_contrasts(rows, 20, 2)
    assert set(regulators["method"]) == {"single_task_common", "ridge", "activity"}
    assert "less activity alone" in multitask_checks.say_precision(precision, regulators, 2)
    assert "40 cells" in multitask_tables.say_curve(contrasts)
    swept = pd.concat(
        run.work(**run.arguments)
        for run in study.sweep_runs([0.0, 0.1], 2, drawn, cells_per_gene=20, l1=0.01, **TRAINING)
    )
    sweep, spectra = multitask_checks.sweep_table(swept), multitask_checks.spectrum_table(swept)
    assert sweep["p_holm"].notna().tolist() == 2 * [False, True]
    truth = spectra[(spectra["metric"] == "true_spectrum") & (spectra["k"] == 1) & (spectra["relatedness"] == 1.0)]
    assert truth["value"].to_numpy() == pytest.approx(1.0)
    assert "100%" in multitask_checks.say_sweep(sweep, spectra)
    figures = [
        multitask_plots.score_dots(scores[scores["cells_per_gene"] == 20]),
        multitask_plots.gene_boxes(genes),
        multitask_plots.learning_curves(scores),
        multitask_plots.precision_curves(precision),
        multitask_plots.sweep_panels(sweep, spectra),
    ]
    assert [len(figure.axes) for figure in figures] == [2, 2, 2, 2, 3]
    assert set(multitask_plots.METHOD_COLOURS) == set(study.METHODS) == set(multitask_tables.METHODS)
    with pytest.raises(ConfigError, match="boosting"):
        study.comparison_runs(["boosting"], 1, [20], settings, drawn)
    with pytest.raises(ConfigError, match="No settings for 'shared'"):
        study.comparison_runs(["shared"], 1, [20], settings, drawn)


def test_without_real_cells_tables_are_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRODUCE_DATA", str(tmp_path))
    rows = study.real_rows(["auto"], None, "13_x", methods=["ridge"], n_seeds=1, cells_per_gene=[0], settings={})
    scores, contrasts = multitask_tables.score_table(rows), multitask_tables.contrast_table(rows)
    assert len(multitask_tables.show_scores(scores, contrasts)) == 0
    assert "No real" in multitask_tables.say_real(scores, contrasts)
