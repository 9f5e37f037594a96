"""Runs keep training and test samples apart, references say what they should, words follow the numbers."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.experiments.runs import run_all
from reproduce.multiomics.simulator import simulated_omics
from reproduce.plots import sample_generation_plots as plots
from reproduce.sample_generation import benchmark
from reproduce.tables import sample_generation_tables as tables

BUDGET = {"epochs": 1, "hidden_units": 8, "n_features": 12}
SHARED = {"layer": "mRNA", **BUDGET}


@pytest.fixture(scope="module")
def data():
    return simulated_omics(240, 2)


@pytest.fixture(scope="module")
def rows(data, tmp_path_factory):
    wanted = benchmark.fidelity_runs(["copies", "shuffled", "gaussian", "smote", "wgan_gp"], 2, **SHARED)
    return run_all(wanted, data, tmp_path_factory.mktemp("runs"), "11_x")


def test_references_and_generators_are_told_apart(rows):
    means = rows.groupby("method").mean(numeric_only=True)
    assert means.loc["copies", "distance_ratio"] == 0 and means.loc["copies", "closer_to_train"] == 1
    assert means.loc["shuffled", "correlation_error"] > means.loc["copies", "correlation_error"] + 0.01
    assert means.loc["shuffled", "ks"] == pytest.approx(means.loc["copies", "ks"])
    assert means.loc["smote", "distance_ratio"] < 0.9 < means.loc["gaussian", "distance_ratio"]
    assert means.loc["wgan_gp", "classifier_auc"] > means.loc["gaussian", "classifier_auc"] + 0.1  # one epoch


def test_words_and_figures_follow_the_rows(rows, data):
    table = tables.fidelity_table(rows)
    assert len(tables.show_fidelity(table)) == 5
    said = tables.say_fidelity(table)
    assert "SMOTE (0." in said and "balanced accuracy" in said
    contrasts = tables.contrast_table(rows)
    assert set(contrasts["method"]) == {"wgan_gp"} and len(tables.show_contrasts(contrasts)) == 10
    assert "conditional WGAN-GP against SMOTE" in tables.say_contrasts(contrasts).replace("Conditional", "conditional")
    assert "too few" in tables.say_contrasts(tables.contrast_table(rows[rows["seed"] == 0]))
    assert tables.contrast_table(rows[rows["method"] == "smote"]).empty
    assert sum(ax.get_visible() for ax in plots.fidelity_dots(table).axes) == 10
    assert "simulated" in tables.say_data(data, tables.data_table(data, "mRNA"), 12)


def test_a_verdict_takes_its_side_from_the_distance_to_perfect():
    rows = pd.DataFrame({"seed": np.tile(range(4), 2), "method": np.repeat(["wgan_gp", "smote"], 4)})
    wobble = np.tile([0, 0.001, -0.001, 0.002], 2)
    for score, perfect in {**tables.SCORES, "balanced_accuracy": 0.0}.items():
        rows[score] = np.where(rows["method"] == "smote", perfect + 0.3, perfect + 0.1) + wobble
    verdicts = tables.contrast_table(rows).set_index("score")["verdict"]
    assert (verdicts.drop("balanced_accuracy") == "better").all() and verdicts["balanced_accuracy"] == "worse"


def test_test_samples_decide_nothing_in_training(data):
    halves = benchmark._Halves(data, 0, "mRNA", 12)
    values = data.layer("mRNA").to_numpy().copy()
    _, test = benchmark.divide(data.clusters, 0)
    values[test] *= 100
    spoiled = data.rows(np.arange(240))
    spoiled.data.X = values
    np.testing.assert_array_equal(benchmark._Halves(spoiled, 0, "mRNA", 12).train, halves.train)


def test_a_rare_class_is_filled_up_and_the_whole_class_is_best(data, tmp_path):
    shared = {"frequent": "class 1", "rare": "class 2", "ratio": 10, **SHARED}
    wanted = benchmark.rare_runs(["nothing", "weights", "repeats", "smote", "gaussian", "all_real"], 2, **shared)
    rows = run_all(wanted, data, tmp_path, "11_x")
    assert (rows["n_rare"] == 6).all() and (rows["n_frequent"] == 60).all()
    table = tables.rare_table(rows)
    means = table.set_index("method")["mean"]
    assert means["all_real"] > means["nothing"] and means["weights"] > means["nothing"]
    assert "1 : 10" in tables.say_rare(rows, table) and len(tables.show_rare(table)) == 6
    assert len(plots.rare_dots(table).axes) == 2
    few = {**shared, "ratio": 30}
    with pytest.raises(ConfigError, match="Class class 2 has 2 samples, and SmoteGenerator needs 6"):
        benchmark.rare_row(data, method="smote", seed=0, **{k: few[k] for k in few if k not in BUDGET}, n_features=12)


def test_more_samples_help_and_the_law_is_the_best(tmp_path):
    wanted = benchmark.size_runs(["law", "gaussian"], [40, 400], 2, n_clusters=2, **BUDGET)
    rows = run_all(wanted, None, tmp_path, "11_x")
    means = rows.groupby(["method", "n_train"])["classifier_auc"].mean()
    assert abs(means["law", 400] - 0.5) < 0.06
    table = tables.size_table(rows)
    error = table[table["score"] == "correlation_error"].set_index(["method", "n_train"])["mean"]
    assert error["law", 400] < error["gaussian", 400] < error["gaussian", 40]
    assert "Gaussian a class from" in tables.say_sizes(table) and len(plots.size_curves(table).axes) == 6


def test_maps_and_unknown_methods(data):
    planes = pd.concat([run.work(data, **run.arguments) for run in benchmark.map_runs(["copies", "smote"], **SHARED)])
    assert set(planes["part"]) == {"test", "artificial"}
    assert len(plots.sample_maps(planes).axes) == 2
    with pytest.raises(ConfigError, match="diffusion"):
        benchmark.fidelity_runs(["diffusion"], 1, **SHARED)
    assert benchmark.two_most_frequent(simulated_omics(60, shares=(0.2, 0.5, 0.3))) == ("class 2", "class 3")


def test_every_method_has_a_colour():
    assert set(plots.METHOD_COLOURS) == set(tables.LABELS)
