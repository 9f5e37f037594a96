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
from reproduce.tables import domain_translation_contrasts as contrasts
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


ROWS = {
    "comparison": lambda data: comparison.translation_rows(data, method="ridge", seed=1, n_features=6),
    "few pairs": lambda data: comparison.pairs_rows(
        data, method="ridge", n_pairs=40, unpaired=False, seed=1, n_features=6
    ),
    "single layers": lambda data: comparison.pairs_rows(
        data, method="aligned", n_pairs=40, unpaired=True, seed=1, n_features=6, **NETWORK
    ),
    "ties": lambda data: comparison.tie_rows(data, tie="+ classes", seed=1, n_features=6, **NETWORK),
    "reliability": lambda data: comparison.reliability_rows(
        data, method="perceptron", n_seeds=1, n_features=6, **NETWORK
    ),
    "laws": lambda data: comparison.law_rows(data, arm="ridge, M-values", seed=1, n_features=6),
}


@pytest.mark.parametrize("question", ROWS)
def test_no_run_sees_the_layer_that_it_is_asked_for(data, question, monkeypatch):
    """Other values of the test samples' methylation change nothing that is said of it, whatever the question."""
    said, usual = [], comparison.translated

    def recorded(*arguments, **more):
        found = usual(*arguments, **more)
        said.append(found[FORWARD][0])
        return found

    monkeypatch.setattr(comparison, "translated", recorded)
    before = ROWS[question](data)
    after = ROWS[question](with_spoilt_tests(data, comparison.TEST_SHARE))
    pd.testing.assert_frame_equal(*said)
    scores = [rows.select_dtypes("number").drop(columns="seconds", errors="ignore") for rows in (before, after)]
    assert not scores[0].equals(scores[1])


def test_what_draws_both_layers_sees_no_test_sample(data, monkeypatch):
    seen, usual = [], joint._drawn
    monkeypatch.setattr("reproduce.sample_generation.fidelity.classifier_auc", lambda *_: 0.5)
    monkeypatch.setattr(joint, "_drawn", lambda method, X, *rest: seen.append(X) or usual(method, X, *rest))
    for one in (data, with_spoilt_tests(data, joint.TEST_SHARE)):
        joint.joint_row(one, method="gaussian", seed=1, n_features=6)
    np.testing.assert_array_equal(*seen)


def with_spoilt_tests(data, share):
    _, test = divide(data.clusters, 1, share)
    layers = {layer: data.layer(layer).copy() for layer in data.layers}
    # so variable that a choice of features which saw them would be another one
    rng = np.random.default_rng(5)
    layers["methylation"].iloc[test] += np.float32(9) * rng.standard_normal((len(test), 10)).astype("f4").cumsum(axis=1)
    clusters = pd.Series(data.clusters, index=data.samples)
    return type(data).from_tables(**layers, clusters=clusters, units=data.units, name="spoilt", source="spoilt")


def told(r2, classes=0.6):
    """Rows of a comparison with the given R² by method: mean, and size of changes over five divisions."""
    rng, rows = np.random.default_rng(0), []
    for method, (mean, change) in r2.items():
        for direction in (FORWARD, BACK):
            for seed in range(1, 6):
                rows.append({"method": method, "direction": direction, "seed": seed, "level": "overall"})
                rows[-1] |= {"r2": mean + change * rng.standard_normal(), "pearson": 0.5, "below_zero": 0.0}
                noise = 0.001 * rng.standard_normal()
                rows[-1] |= {"class_translated": classes + noise, "class_real": 0.6, "class_source": 0.9, "seconds": 1}
    return pd.DataFrame(rows)


def test_conclusions_follow_the_differences():
    gain = pd.DataFrame({
        "method": "aligned", "direction": FORWARD, "n_pairs": [25, 100], "mean": 0.1, "low": 0.05, "high": 0.15,
        "n_seeds": 5, "p_holm": [0.01, 0.2],
    })  # fmt: skip
    for aligned, expected in (
        ((0.3, 0.001), "Ridge regression translates better than aligned"),
        ((0.7, 0.001), "Aligned auto-encoders translate better than ridge"),
        ((0.5, 0.2), "Neither of aligned auto-encoders and ridge"),
    ):
        rows = told({"ridge": (0.5, 0.001), "aligned": aligned})
        assert tables.say_advantages(rows, gain).startswith(expected)
    said = tables.say_advantages(rows, gain)
    assert f"a gain with 25 pairs {FORWARD}." in said
    assert "no gain by that is shown" in tables.say_advantages(rows, gain.assign(p_holm=0.2))
    for classes, expected in ((0.75, "better than the measured one"), (0.4, "loses some"), (0.95, "than by a class")):
        rows = told({"ridge": (0.5, 0.001), "aligned": (0.3, 0.001)}, classes)
        assert expected in tables.say_classes(tables.translation_table(rows), rows)


def test_verdicts_count_all_contrasts_of_their_section():
    one = pd.DataFrame({"mean": [0.1], "low": [0.01], "high": [0.19], "p": [0.03]})
    many = pd.DataFrame({"mean": 0.0, "low": -1.0, "high": 1.0, "p": np.linspace(0.3, 0.9, 9)})
    assert contrasts.verdict_of(contrasts.adjusted(one=one)["one"].iloc[0]) == "better"
    assert contrasts.verdict_of(contrasts.adjusted(one=one, many=many)["one"].iloc[0]) == "undecided"


def test_the_leader_is_ahead_of_the_second_whichever_end_is_best():
    rows = told({"mean": (0.0, 0.001), "ridge": (0.5, 0.001), "aligned": (0.4, 0.001)})
    for lowest, names, ahead in ((False, ("ridge", "aligned"), 0.1), (True, ("mean", "aligned"), 0.4)):
        found = contrasts.leaders(rows, "method", "r2", ["direction"], lowest=lowest)
        assert [*zip(found["one"], found["other"], strict=True)] == [names] * 2
        np.testing.assert_allclose(found["mean"].astype(float), ahead, atol=0.01)


def test_nobody_is_better_than_the_conditional_mean_and_ridge_comes_near_with_many_pairs():
    law = {"shares": [0.5, 0.5], "correlation": -0.8, "shift": 1.0}
    wanted = comparison.oracle_runs(["mean", "ridge"], [60, 1500], 2, n_test=1500, law=law)
    rows = run(wanted)
    np.testing.assert_allclose(rows["best_r2"] - rows["r2"], rows["excess"], atol=0.03)
    table = checks.oracle_table(rows).set_index(["direction", "method", "n_pairs"])["mean"]
    for direction in (FORWARD, BACK):
        assert table[direction, "ridge", 1500] < 0.5 * table[direction, "ridge", 60]
        assert table[direction, "ridge", 1500] < 0.3 * table[direction, "mean", 1500]
    assert "best possible" in checks.say_oracle(checks.oracle_table(rows), rows)
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
    no_gain = pd.DataFrame({"method": []})
    said = tables.say_conclusion(data, table, rows, no_gain, Classes=tables.say_classes(table, rows))
    assert said.startswith("The layers are simulated") and "**Failures.**" in said
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
    assert "single layers" in tables.say_pairs(table, rows) and len(plots.pairs_curves(table).axes) == 2
    with pytest.raises(ConfigError, match="9999 pairs"):
        comparison.pairs_rows(data, method="ridge", n_pairs=9999, unpaired=False, seed=0)


def test_ties_trainings_and_laws_become_tables_and_sentences(data):
    ties = run(comparison.tie_runs(["nothing", "strong discriminator"], 2, **NETWORK), data)
    table = checks.tie_table(ties)
    assert len(checks.show_ties(table)) == 4
    assert "*strong discriminator* against *nothing*" in checks.say_ties(ties)
    assert "λ = 1.0" in checks.say_novelty(table, ties)
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


def test_layers_of_different_samples_have_no_bond_and_training_samples_have_it(data, monkeypatch):
    monkeypatch.setattr("reproduce.sample_generation.fidelity.classifier_auc", lambda *_: 0.5)  # slow, and not asked
    rows = run(joint.joint_runs(["copies", "apart", "gaussian", "smote"], 2, n_features=6), data)
    means = rows.groupby("method")[["bond_error", "wasserstein", "translation_r2"]].mean()
    assert means.loc["copies", "bond_error"] < means.loc["apart", "bond_error"]
    assert means.loc["copies", "translation_r2"] > means.loc["apart", "translation_r2"]
    # each layer is as real as in the training samples
    assert means.loc["apart", "wasserstein"] == pytest.approx(means.loc["copies", "wasserstein"])
    table = checks.joint_table(rows)
    assert len(checks.show_joint(table)) == 4 and "Gaussian a class" in checks.say_joint(table, rows)
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
