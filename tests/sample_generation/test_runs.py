"""Runs keep training and test samples apart, references say what they should, words follow the numbers."""

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble

from reproduce.errors import ConfigError
from reproduce.experiments.runs import run_all
from reproduce.multiomics.simulator import simulated_omics
from reproduce.plots import sample_generation_plots as plots
from reproduce.sample_generation import benchmark
from reproduce.sample_generation.generators import GaussianGenerator
from reproduce.sample_generation.usefulness import made_rare
from reproduce.tables import sample_generation_needs as needs
from reproduce.tables import sample_generation_tables as tables

BUDGET = {"epochs": 1, "hidden_units": 8, "n_features": 12}
SHARED = {"layer": "mRNA", **BUDGET}


@pytest.fixture(scope="module", autouse=True)
def small_forests():
    """Telling artificial from real samples takes most of the time; fewer trees tell the same here."""
    import imblearn.over_sampling  # noqa: F401 — it derives from the forest when it is first imported

    large = ensemble.RandomForestClassifier
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "RandomForestClassifier", lambda _n_trees, **options: large(12, **options))
        yield


@pytest.fixture(scope="module")
def data():
    return simulated_omics(240, 2)


@pytest.fixture(scope="module")
def rows(data, tmp_path_factory):
    wanted = benchmark.fidelity_runs(["copies", "shuffled", "gaussian", "smote", "wgan_gp"], 2, 2, **SHARED)
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
    said = tables.say_fidelity(rows, table)
    assert "SMOTE (ratio 0." in said and "balanced accuracy" in said
    contrasts = tables.contrast_table(rows)
    assert set(contrasts["method"]) == {"wgan_gp"} and set(contrasts["rival"]) == {"smote", "gaussian"}
    assert len(tables.show_contrasts(contrasts)) == 7
    assert "conditional WGAN-GP against SMOTE" in tables.say_contrasts(contrasts).replace("Conditional", "conditional")
    assert "too few" in tables.say_contrasts(tables.contrast_table(rows[rows["seed"] == 1]))
    assert "too few" in tables.say_fidelity(rows[rows["seed"] == 1], table)
    assert tables.contrast_table(rows[rows["method"] == "smote"]).empty
    assert sum(ax.get_visible() for ax in plots.fidelity_dots(table).axes) == 10
    assert "simulated" in tables.say_data(data, tables.data_table(data, "mRNA"), 12)


def test_a_verdict_takes_its_side_from_the_distance_to_perfect():
    rows = pd.DataFrame({"seed": np.tile(range(4), 2), "method": np.repeat(["wgan_gp", "smote"], 4)})
    wobble = np.tile([0, 0.001, -0.001, 0.002], 2)
    for score, perfect in {**tables.SCORES, "balanced_accuracy": 0.0}.items():
        rows[score] = np.where(rows["method"] == "smote", perfect + 0.3, perfect + 0.1) + wobble
    rows["perfect_coverage"] = tables.SCORES["coverage"]
    contrasts = tables.contrast_table(rows)
    verdicts = contrasts.set_index("score")["verdict"]
    assert (verdicts.drop("balanced_accuracy") == "better").all() and verdicts["balanced_accuracy"] == "worse"
    assert (contrasts["p_holm"] >= contrasts["p"]).all()
    best = tables.best_table(rows).set_index("score")
    assert best["sure"].all() and best.loc["balanced_accuracy", "method"] == "smote"
    assert (best["method"].drop("balanced_accuracy") == "wgan_gp").all()


def test_no_winner_is_named_where_divisions_disagree():
    rows = pd.DataFrame({"seed": np.tile(range(4), 2), "method": np.repeat(["gaussian", "smote"], 4)})
    for score in (*tables.SCORES, "balanced_accuracy"):
        rows[score] = np.where(rows["method"] == "smote", [0.3, 0.1, 0.3, 0.1] * 2, 0.19)
    rows["perfect_coverage"] = 0.0
    assert not tables.best_table(rows)["sure"].any()
    said = tables.say_fidelity(rows, tables.fidelity_table(rows))
    assert "not surely" in said and "and surely before" not in said


@pytest.mark.parametrize(("closer", "word"), [(0.9, "single patients may show through"), (0.5, "too narrow")])
def test_only_samples_that_prefer_training_samples_are_said_to_copy(closer, word):
    rows = pd.DataFrame({"seed": range(4), "method": "smote"}).assign(**dict.fromkeys(tables.SCORES, 0.5))
    rows = rows.assign(balanced_accuracy=0.5, perfect_coverage=0.97)
    rows["closer_to_train"] = closer + np.array([0.01, -0.01, 0.02, -0.02])
    assert word in tables.say_fidelity(rows, tables.fidelity_table(rows))


def poisoned(data, positions):
    """The same samples, with some that must not be looked at made enormous."""
    spoiled = data.rows(np.arange(data.data.n_obs))
    spoiled.data.X = spoiled.data.X.copy()
    spoiled.data.X[positions] *= 100
    return spoiled


def test_nothing_that_is_put_aside_reaches_a_generator(data, monkeypatch):
    seen = []

    class Spy(GaussianGenerator):
        def fit(self, X, y):
            seen.append(np.array(X))
            return super().fit(X, y)

    monkeypatch.setitem(benchmark.GENERATORS, "spy", Spy)
    rare = {"frequent": "class 1", "rare": "class 2", "ratio": 10}
    shared = {"method": "spy", "seed": 1, "layer": "mRNA", "n_features": 12}
    train, test = benchmark.divide(data.clusters, 1)
    left_out = np.setdiff1d(train, train[made_rare(data.clusters[train], "class 1", "class 2", 10, 1)])
    assert len(left_out) > 40
    for work, options, aside in (
        (benchmark.fidelity_row, {}, test),
        (benchmark.map_rows, {}, test),
        (benchmark.rare_row, rare, np.concatenate([test, left_out])),
    ):
        seen.clear()
        for given in (data, poisoned(data, aside)):
            work(given, **shared, **options)
        np.testing.assert_array_equal(*seen)


def test_a_rare_class_is_filled_up_and_the_whole_class_is_best(data, tmp_path):
    shared = {"frequent": "class 1", "rare": "class 2", "ratio": 10, **SHARED}
    wanted = benchmark.rare_runs(["nothing", "weights", "repeats", "smote", "gaussian", "all_real"], 2, 2, **shared)
    rows = run_all(wanted, data, tmp_path, "11_x")
    assert (rows["n_rare"] == 6).all() and (rows["n_frequent"] == 60).all()
    table = needs.rare_table(rows)
    means = table.set_index("method")["mean"]
    assert means["all_real"] > means["nothing"] and means["weights"] > means["nothing"]
    assert "1 : 10" in needs.say_rare(rows, table) and len(needs.show_rare(table)) == 6
    assert len(plots.rare_dots(table).axes) == 2
    few = {**shared, "ratio": 30}
    with pytest.raises(ConfigError, match="Class class 2 has 2 samples, and SmoteGenerator needs 6"):
        benchmark.rare_row(data, method="smote", seed=0, **{k: few[k] for k in few if k not in BUDGET}, n_features=12)


def test_more_samples_help_and_the_law_is_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "N_COMPARED", 300)
    monkeypatch.setattr(benchmark, "N_REFERENCE", 400)
    wanted = benchmark.size_runs(["law", "gaussian"], [40, 400], 2, 2, n_clusters=2, **BUDGET)
    rows = run_all(wanted, None, tmp_path, "11_x")
    means = rows.groupby(["method", "n_train"])["classifier_auc"].mean()
    assert abs(means["law", 400] - 0.5) < 0.06
    law = rows[rows["method"] == "law"].pivot(index="seed", columns="n_train", values="mmd")
    np.testing.assert_allclose(law[40], law[400])  # one unit and one test set, whatever the number of samples
    table = needs.size_table(rows)
    error = table[table["score"] == "correlation_error"].set_index(["method", "n_train"])["mean"]
    assert error["law", 400] < error["gaussian", 400] < error["gaussian", 40]
    said = needs.say_sizes(rows)
    assert "Gaussian a class, from" in said and "price" not in said
    assert len(plots.size_curves(table).axes) == 6


def test_maps_and_unknown_methods(data):
    planes = pd.concat([run.work(data, **run.arguments) for run in benchmark.map_runs(["copies", "smote"], **SHARED)])
    assert set(planes["part"]) == {"test", "artificial"}
    assert len(plots.sample_maps(planes).axes) == 2
    with pytest.raises(ConfigError, match="diffusion"):
        benchmark.fidelity_runs(["diffusion"], 1, 1, **SHARED)
    seeds = [run.arguments["seed"] for run in benchmark.fidelity_runs(["smote", "gan"], 3, 2, **SHARED)]
    assert seeds == [1, 2, 3, 1, 2]
    assert benchmark.two_most_frequent(simulated_omics(60, shares=(0.2, 0.5, 0.3))) == ("class 2", "class 3")


def test_every_method_has_a_colour():
    assert set(plots.METHOD_COLOURS) == set(tables.LABELS)
