"""Each variation changes one thing and no more, against trials that other notebooks run; tables subtract correctly."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import study_plan
from reproduce.experiments.ablations import (
    FACTORS,
    ablation_plan,
    ablation_trials,
    choose_factors,
    search_draws,
    search_plan,
)
from reproduce.experiments.trials import Trial
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.imputers import make_imputer
from reproduce.tables import ablation_tables as tables

BUDGET = {"network_epochs": 60, "preset": "quick"}


def study_with(*genes):
    cohort = types.SimpleNamespace(var_names=pd.Index(["TP53", *genes]))
    return types.SimpleNamespace(cohorts=dict.fromkeys(("GTEx", "LUAD", "COADREAD"), cohort))


STUDY = study_with("TEP1")


@pytest.fixture(scope="module")
def plan():
    return ablation_plan(FACTORS, n_splits=2, **BUDGET)


def resolved(trial):
    """All that determines a trial, method defaults included; the discriminator is a hyperparameter of one class."""
    values = make_imputer(trial.method, **dict(trial.hyperparameters)).get_params()
    fields = {f.name: getattr(trial, f.name) for f in dataclasses.fields(Trial)}
    return {k: v for k, v in {**fields, **values}.items() if k not in ("method", "hyperparameters")}


def test_ids_are_unique():
    assert len({factor.id for factor in FACTORS}) == len(FACTORS)


def test_each_factor_changes_exactly_one_thing(plan):
    for ablation in plan:
        for before, after in zip(ablation.baseline, ablation.varied, strict=True):
            one, two = resolved(before), resolved(after)
            changed = [name for name in one if one[name] != two[name]]
            scored_otherwise = ablation.factor.metric != "r2"
            assert len(changed) + scored_otherwise == 1, (ablation.factor.id, changed)
            assert before.seed == after.seed


def test_a_level_that_is_the_default_is_no_variation():
    # the network takes 0.5 by itself where rows are complete, so spelling it out would change no number
    inductive = [f for f in FACTORS if f.scenario == "inductive"]
    assert not [f for f in inductive if f.hyperparameters.get("pseudo_missing_rate") == 0.5]
    assert not [f for f in inductive if f.hyperparameters.get("training_missing_rate") == 0.5]


def test_the_default_in_words_is_the_method_s_default():
    for factor in FACTORS:
        for name in factor.hyperparameters:
            value = make_imputer(factor.method).get_params()[name]
            if isinstance(value, bool):
                assert factor.default == {True: "on", False: "off"}[value]
            elif name == "discriminator_dropout":  # none of its own: the same as the generator's
                value = make_imputer(factor.method).get_params()["dropout"]
                assert value is not None and float(factor.default) == value
                assert factor.hyperparameters[name] == pytest.approx(1 - (1 - value) ** 2)
            elif name == "validation_fraction":
                assert factor.default == "on" and value > 0
            elif isinstance(value, str):
                assert value in ("auto", factor.default)
            else:
                assert float(factor.default) == value


def test_trials_are_unique_and_few(plan):
    trials = ablation_trials(plan)
    assert len(set(trials)) == len(trials) == len({trial.trial_id("x") for trial in trials})
    # factors of one method and scenario share their default, both tumours and all scores the variation as well
    varied = {(f.method, str(f.hyperparameters), str(f.settings), f.epoch_ratio, f.scenario) for f in FACTORS}
    defaults = {(f.method, f.scenario) for f in FACTORS}
    only_scored = {(f.method, f.scenario) for f in FACTORS if f.metric != "r2"}
    assert len(trials) == 2 * (len(varied) - len(only_scored) + len(defaults))


def test_defaults_are_the_trials_of_the_study(plan):
    settings = {"n_splits": 2, "n_splits_by_method": {}, **BUDGET}
    known = {trial for part in ("in_place", "inductive", "transfer") for trial in study_plan(part, **settings)}
    assert {trial for ablation in plan for trial in ablation.baseline} <= known
    # and some variations are what other notebooks run as well
    known |= set(study_plan("scales", **settings))
    found = {ablation.factor.id for ablation in plan if set(ablation.varied) <= known}
    assert found == {
        "pmi-transform-raw", "pmi-transform-log1p_depth", "gain-discriminator-off",
        "mice-rows-masked", "knn_10-rows-masked", "gaussian-rows-masked",
        *(factor.id for factor in FACTORS if factor.metric != "r2"),
    }  # fmt: skip


def test_length_follows_the_budget():
    half, double = (
        ablation_plan(choose_factors([f"pmi-epochs-{name}"], STUDY), n_splits=1, **BUDGET)[0].varied[0]
        for name in ("half", "double")
    )
    assert (half.hyperparameters["epochs"], double.hyperparameters["epochs"]) == (30, 120)
    with pytest.raises(ConfigError, match=r"pmi-epochs-half.*changes nothing"):
        ablation_plan(choose_factors(["pmi-epochs-half"], STUDY), n_splits=1, network_epochs=1, preset="quick")


def test_choosing_factors():
    assert choose_factors(["all"], STUDY) == FACTORS and choose_factors([], STUDY) == ()
    assert [f.id for f in choose_factors(["gaussian-rows-masked", "pmi-epochs-half"], STUDY)] == [
        "pmi-epochs-half",
        "gaussian-rows-masked",
    ]
    with pytest.raises(ConfigError, match="pmi-magic"):
        choose_factors(["pmi-magic"], STUDY)


def test_same_seed_same_draws_within_the_space():
    draws = search_draws(200)
    assert draws == search_draws(200) and draws[:5] == search_draws(5) and draws != search_draws(200, seed=1)
    assert {d["hidden_layers"] for d in draws} == {1, 2, 3, 4}
    assert {d["batch_size"] for d in draws} == {32, 64, 128} and {d["learning_rate"] for d in draws} == {1e-3, 1e-4}
    assert all(100 <= d["hidden_units"] <= 3000 and 0 <= d["dropout"] <= 0.5 for d in draws)
    # uniform in the logarithm: half of the draws lie below the geometric mean of the ends
    assert np.median([d["hidden_units"] for d in draws]) == pytest.approx(np.sqrt(100 * 3000), rel=0.3)
    with pytest.raises(ConfigError, match="n_draws"):
        search_draws(-1)


def test_a_search_begins_with_the_stored_default():
    trials = search_plan(3, **BUDGET)
    assert len(trials) == 4 and {trial.seed for trial in trials} == {0}
    assert trials[0] in study_plan("inductive", n_splits=1, n_splits_by_method={}, **BUDGET)
    assert search_plan(0, **BUDGET) == []


def rows_of(trials, values, seconds):
    fixed = {"status": "ok", "level": "overall", "metric": "r2", "test": "GTEx"}
    return pd.DataFrame(
        [
            {"trial_id": t.trial_id("data"), "seed": t.seed, "value": v, "fit_seconds": s, **fixed}
            for t, v, s in zip(trials, values, seconds, strict=True)
        ]
    )


def test_the_table_subtracts_seed_by_seed():
    plan = ablation_plan(choose_factors(["pmi-in_place-pseudo_missing_rate-0.25"], STUDY), n_splits=3, **BUDGET)
    (ablation,) = plan
    default = rows_of(ablation.baseline, [0.5, 0.6, 0.7], [2, 2, 2])
    varied = rows_of(ablation.varied[::-1], [0.78, 0.63, 0.51], [8, 4, 1])  # in another order than the defaults
    noise = default.assign(metric="rmse", value=9.0)
    table = tables.ablation_table(pd.concat([varied, noise, default]), plan, "data")
    row, expected = table.iloc[0], corrected_t([0.01, 0.03, 0.08], overlap_ratio("in_place"))
    assert row["difference"] == pytest.approx(0.04) and row["varied"] - row["default"] == pytest.approx(0.04)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["n_splits"] == 3 and row["seconds_ratio"] == pytest.approx(2.0)
    with pytest.raises(DataFormatError, match="2 of the 3 trials"):
        tables.ablation_table(pd.concat([default, varied.iloc[1:]]), plan, "data")
    with pytest.raises(DataFormatError, match="0 of the 3 trials"):
        tables.ablation_table(pd.concat([default, varied]), plan, "other data")


def test_another_score_and_another_target_are_compared_with_the_same_default():
    ids = ["gaussian-metric-r2_tissue", "gaussian-gene_matching-position-COADREAD"]
    plan = ablation_plan(choose_factors(ids, STUDY), n_splits=2, **BUDGET)
    across, scored = plan if plan[0].factor.scenario == "cross_cohort" else plan[::-1]
    assert scored.baseline == scored.varied
    r2 = rows_of(scored.baseline, [0.8, 0.7], [1, 1])
    rows = [r2, r2.assign(metric="r2_tissue", value=[0.5, 0.6])]
    for trials, values in ((across.baseline, [0.3, 0.2]), (across.varied, [0.1, 0.1])):
        tumours = rows_of(trials, values, [1, 1]).assign(test="COADREAD")
        rows += [tumours, tumours.assign(test="LUAD", value=0.9)]
    table = tables.ablation_table(pd.concat(rows), plan, "data").set_index("id")
    assert table.loc[ids[0], "difference"] == pytest.approx(-0.2)
    assert table.loc[ids[1], "difference"] == pytest.approx(-0.15)
    assert set(table["kind"]) == {"protocol"}


def test_the_conclusion_follows_the_table():
    row = {"method": "pmi", "factor": "width", "level": "100", "n_splits": 5}
    up = row | {"difference": 0.05, "low": 0.02, "high": 0.08}
    down = row | {"level": "400", "difference": -0.003, "low": -0.005, "high": -0.001}
    text = tables.say_ablations(pd.DataFrame([up, down]))
    assert "1 are better" in text and "1 worse" in text and "1 differ by more than 0.01" in text
    assert "PMI, width 100 (+0.050" in text.split("Worse")[0] and "width 400" in text.split("Worse")[1]
    single = up | {"low": -np.inf, "high": np.inf, "n_splits": 1}
    assert "nothing is concluded" in tables.say_ablations(pd.DataFrame([single]))


def test_what_is_left_out_is_named():
    assert tables.say_left_out(FACTORS, STUDY) == f"{len(FACTORS)} of {len(FACTORS)} variations are run."
    without = study_with()
    some = choose_factors(["all"], without)
    assert {f.needs_gene for f in FACTORS if f not in some} == {"TEP1"}
    assert "Without a meaning on these data: PMI, the row called PTEN" in tables.say_left_out(some, without)
    text = tables.say_left_out(choose_factors(["pmi-hidden_units-100"], STUDY), STUDY)
    assert "PMI, width (400)" in text and "λ (0.1, 10, 100)" in text


def test_the_frontier_holds_what_nothing_dominates():
    cost, score = [1, 2, 3, 3, 4, 1], [0.5, 0.4, 0.7, 0.6, 0.7, 0.5]
    assert tables.on_frontier(cost, score).tolist() == [True, False, True, False, False, True]


def test_the_search_table_names_settings_and_the_default():
    trials = search_plan(2, **BUDGET)
    table = tables.search_table(rows_of(trials, [0.6, 0.7, 0.5], [2, 9, 3]), trials, "data")
    assert table["setting"].tolist() == ["draw 1", "default", "draw 2"]
    assert table["on_frontier"].tolist() == [True, True, False]
    default = table.set_index("setting").loc["default"]
    assert (default["hidden_layers"], default["hidden_units"]) == (4, 200)
    assert table.loc[0, "hidden_units"] == search_draws(1)[0]["hidden_units"]
    assert "1 of 2 random draws score above" in tables.say_search(table)
    assert tables.say_search(tables.search_table(pd.DataFrame(), [], "data")).endswith("no random search.")
