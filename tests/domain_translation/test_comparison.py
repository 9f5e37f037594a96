"""Runs never see what they are asked for, know the best possible translation, and tables say what the runs found."""

import numpy as np
import pandas as pd
import pytest

from reproduce.domain_translation import comparison, joint, methods
from reproduce.domain_translation.methods import BACK, FORWARD, METHODS, Samples
from reproduce.domain_translation.scoring import ClassJudge
from reproduce.errors import ConfigError
from reproduce.multiomics.paired import divide
from reproduce.multiomics.simulator import simulated_omics
from reproduce.plots import domain_translation_plots as plots
from reproduce.tables import domain_translation_checks as checks
from reproduce.tables import domain_translation_tables as tables

NETWORK = {"hidden_units": [6], "latent_size": 2, "epochs": 2, "patience": None, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def data():
    drawn = simulated_omics(150, 2, correlation=-0.9, shift=2.0)
    return drawn.methylation_as("M-value").genes(10)


def run(wanted, *data):
    return pd.concat([one.work(*data, **one.arguments) for one in wanted], ignore_index=True)


def test_what_is_asked_for_is_never_seen(data):
    """Other values of the test samples' target, and of what is unpaired, change no translation."""
    layers = comparison.layers_of(data, np.arange(60))
    samples = Samples(np.arange(60), np.arange(120, 150), np.arange(60, 90), np.arange(90, 120))
    for method in ("ridge", "low_rank", "aligned"):
        network = NETWORK if method == "aligned" else {}
        first = methods.translated(method, layers, samples, 0, **network)
        spoilt = {layer: table.copy() for layer, table in layers.items()}
        spoilt["methylation"].iloc[60:90] = 99.0
        spoilt["methylation"].iloc[120:] = 99.0
        second = methods.translated(method, spoilt, samples, 0, **network)
        np.testing.assert_array_equal(first[FORWARD][0], second[FORWARD][0])
        spoilt = {layer: table.copy() for layer, table in layers.items()}
        spoilt["mRNA"].iloc[90:] = -99.0
        second = methods.translated(method, spoilt, samples, 0, **network)
        np.testing.assert_array_equal(first[BACK][0], second[BACK][0])


def test_nobody_is_better_than_the_conditional_mean_and_ridge_comes_near_with_many_pairs():
    law = {"shares": [0.5, 0.5], "correlation": -0.8, "shift": 1.0}
    wanted = comparison.oracle_runs(["mean", "ridge"], [60, 1500], 2, n_test=1500, law=law)
    rows = run(wanted)
    np.testing.assert_allclose(rows["best_r2"] - rows["r2"], rows["excess"], atol=0.03)
    table = checks.oracle_table(rows).set_index(["direction", "method", "n_pairs"])["mean"]
    for direction in (FORWARD, BACK):
        assert table[direction, "ridge", 1500] < 0.5 * table[direction, "ridge", 60]
        assert table[direction, "ridge", 1500] < 0.3 * table[direction, "mean", 1500]
    assert "best possible" in checks.say_oracle(checks.oracle_table(rows))
    assert len(checks.show_oracle(checks.oracle_table(rows))) == 4
    assert len(plots.oracle_curves(checks.oracle_table(rows)).axes) == 2


def test_the_comparison_becomes_tables_and_sentences(data):
    wanted = comparison.translation_runs(
        ["mean", "ridge", "unaligned", "aligned"], 2, n_feature_seeds=1, features_of=["ridge", "aligned"], **NETWORK
    )
    rows = run(wanted, data)
    overall = rows[rows["level"] == "overall"]
    assert len(overall) == 16 and len(rows) == 16 + 2 * 2 * 10
    means = overall[overall["method"] == "mean"]
    np.testing.assert_allclose(means["r2"], 0, atol=1e-6)
    assert (means["pearson"] == 0).all() and (means["class_translated"] == 0.5).all()
    assert (overall.groupby(["seed", "direction"])["class_real"].nunique() == 1).all()
    kept = rows[(rows["level"] == "feature") & (rows["method"] == "ridge") & (rows["direction"] == FORWARD)]
    same = overall[(overall["method"] == "ridge") & (overall["seed"] == 1) & (overall["direction"] == FORWARD)]
    assert kept["r2"].mean() == pytest.approx(same["r2"].item())
    table = tables.translation_table(rows)
    assert len(tables.show_translation(table)) == 8
    ridge = table[table["method"] == "ridge"]
    assert (ridge["mean"] > 0.2).all() and ridge["less_mean"].isna().all()
    said = tables.say_conclusion(data, table, rows, Classes=tables.say_classes(table))
    assert said.startswith("The layers are simulated") and "**Failures.**" in said
    assert "Ridge regression translates better" in said or "better in both directions" in said
    assert "ridge regression has the highest R²" in tables.say_translation(table, rows)
    features = tables.feature_table(rows)
    assert len(features) == 20 and "easiest" in tables.say_features(features)
    for drawn in (plots.translation_dots(table), plots.class_dots(table), plots.feature_clouds(features)):
        assert len(drawn.axes) == 2


def test_single_layers_are_given_to_those_that_read_them(data):
    rows = run(comparison.pairs_runs(["ridge", "aligned"], [20], 2, **NETWORK), data)
    train, _ = divide(data.clusters, 1, comparison.TEST_SHARE)
    given = rows.groupby(["method", "unpaired"])["n_unpaired"].max()
    assert given["ridge", False] == given["aligned", False] == 0
    assert given["aligned", True] == len(train) - 20 and ("ridge", True) not in given
    table, gain = tables.pairs_table(rows), tables.unpaired_gain(rows)
    assert len(table) == 6 and set(gain["method"]) == {"aligned"}
    assert "single layers" in tables.say_pairs(table, gain) and len(plots.pairs_curves(table).axes) == 2
    with pytest.raises(ConfigError, match="9999 pairs"):
        comparison.pairs_rows(data, method="ridge", n_pairs=9999, unpaired=False, seed=0)


def test_ties_trainings_and_laws_become_tables_and_sentences(data):
    ties = run(comparison.tie_runs(["nothing", "+ classes"], 2, **NETWORK), data)
    table = checks.tie_table(ties)
    assert len(checks.show_ties(table)) == 4 and "*+ classes* after *nothing*" in checks.say_ties(table, ties)
    assert len(plots.tie_dots(table).axes) == 2
    again = run(comparison.reliability_runs(["perceptron"], 3, **NETWORK), data)
    reliable = checks.reliability_table(again)
    assert (reliable["least"] < reliable["most"]).all() and (reliable["n_trainings"] == 3).all()
    assert len(checks.show_reliability(reliable)) == 2 and "seed moves" in checks.say_reliability(reliable)
    arms = ["ridge, M-values", "aligned auto-encoders, Gaussian, beta-values", "aligned auto-encoders, Beta"]
    by_law = run(comparison.law_runs(arms, 1, **NETWORK), data)
    laws = checks.law_table(by_law)
    assert laws.set_index("arm").loc[[arms[0], arms[2]], "outside"].eq(0).all()
    assert len(checks.show_laws(laws)) == 3 and "Beta law" in checks.say_laws(laws, by_law)


def test_layers_of_different_samples_have_no_bond_and_training_samples_have_it(data):
    rows = run(joint.joint_runs(["copies", "apart", "gaussian"], 2, n_features=6), data)
    means = rows.groupby("method")[["bond_error", "wasserstein", "translation_r2"]].mean()
    assert means.loc["copies", "bond_error"] < means.loc["apart", "bond_error"]
    assert means.loc["copies", "translation_r2"] > means.loc["apart", "translation_r2"]
    # each layer is as real as in the training samples
    assert means.loc["apart", "wasserstein"] == pytest.approx(means.loc["copies", "wasserstein"])
    table = checks.joint_table(rows)
    assert len(checks.show_joint(table)) == 3 and "Gaussian a class" in checks.say_joint(table)
    assert len(plots.joint_dots(table).axes) == 4


def test_a_judge_knows_the_classes_it_saw(data):
    layer = data.layer("methylation").to_numpy()
    judge = ClassJudge(layer, data.clusters)
    assert judge.accuracy(layer, data.clusters) > 0.8
    assert judge.accuracy(np.zeros_like(layer) + layer.mean(axis=0), data.clusters) == pytest.approx(0.5)


def test_the_unknown_is_named(data):
    for wrong, match in (
        (lambda: comparison.translation_runs(["magic"], 1, n_feature_seeds=0, features_of=[]), "magic"),
        (lambda: comparison.tie_runs(["glue"], 1), "glue"),
        (lambda: comparison.law_runs(["gamma"], 1), "gamma"),
        (lambda: joint.joint_runs(["magic"], 1, n_features=0), "magic"),
        (lambda: methods.made("magic", 0), "magic"),
    ):
        with pytest.raises(ConfigError, match=match):
            wrong()


def test_every_method_has_a_colour():
    assert set(plots.METHOD_COLOURS) == set(METHODS) and set(plots.JOINT_COLOURS) == set(joint.JOINT_METHODS)


def test_real_methylation_is_said_from_mrna(test_data, monkeypatch):
    from reproduce.multiomics.paired import load_paired

    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    data = load_paired("brca").genes(60)
    rows = comparison.translation_rows(data, method="ridge", seed=0)
    assert (rows["r2"] > 0.15).all() and (rows["class_translated"] > 0.5).all()
