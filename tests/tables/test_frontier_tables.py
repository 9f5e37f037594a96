"""The frontier: paired gains, what nothing beats in score and time, monotone curves, advice that follows scores."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.experiments.frontier import INGREDIENTS, chosen_ingredients, frontier_budget, ingredient_plan, rate_plan
from reproduce.experiments.trials import COLUMNS
from reproduce.tables import frontier_tables


def rows_of(scores, seconds, scenario="inductive", rate=0.5, transform="log1p"):
    """Overall rows of made-up trials: method -> R² by seed, method -> seconds."""
    rows = [
        {"trial_id": f"{method}{seed}{scenario}{rate}{transform}", "method": method, "scenario": scenario,
         "train": "GTEx", "test": "GTEx", "gene_set": "p53", "missing_rate": rate, "mechanism": "mcar", "seed": seed,
         "transform": transform, "training_rows": "masked" if scenario == "in_place" else "complete", "variant": "",
         "preset": "quick", "metric": "r2", "value": value, "level": "overall", "group": "all", "n_evaluated": 9,
         "fit_seconds": seconds[method], "impute_seconds": 0.0, "status": "ok", "error": "", "config_hash": method,
         "version": "0"}
        for method, values in scores.items() for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


SCORES = {
    "gaussian": [0.78, 0.80, 0.79],
    "mixture": [0.79, 0.81, 0.80],
    "pmi": [0.70, 0.72, 0.71],
    "best": [0.7905, 0.8105, 0.8005],
}
SECONDS = {"gaussian": 0.1, "mixture": 5.0, "pmi": 8.0, "best": 200.0}


def test_gains_are_paired_and_exact_where_differences_are_constant():
    table = frontier_tables.frontier_table(rows_of(SCORES, SECONDS)).set_index("method")
    np.testing.assert_allclose(table.loc["mixture", ["gain", "gain_low", "gain_high"]].astype(float), 0.01, atol=1e-9)
    assert np.isnan(table.loc["gaussian", "gain"])
    assert list(table.index) == ["best", "mixture", "gaussian", "pmi"]


def test_the_frontier_holds_what_nothing_beats_in_score_and_time():
    table = frontier_tables.frontier_table(rows_of(SCORES, SECONDS)).set_index("method")["on_frontier"]
    assert table.to_dict() == {"best": True, "mixture": True, "gaussian": True, "pmi": False}


def test_advice_is_the_cheapest_of_those_that_are_as_good():
    advice = frontier_tables.advice_table(frontier_tables.frontier_table(rows_of(SCORES, SECONDS)))
    assert list(advice["method"]) == ["gaussian", "mixture", "mixture"]  # 0.0005 more is not worth 200 s
    assert list(advice["best_known"])[1:] == ["pmi", "pmi"]
    text = frontier_tables.say_advice(advice)
    assert "Gaussian mixture (R² 0.800)" in text
    assert "0.8005" not in text


def test_no_advice_where_only_the_useless_is_quick_enough():
    scores = {"median": [0.15, 0.15, 0.15], "mixture": [0.79, 0.81, 0.80]}
    table = frontier_tables.frontier_table(rows_of(scores, {"median": 0.1, "mixture": 5.0}))
    advice = frontier_tables.advice_table(table)
    assert set(advice["method"]) == {"mixture"}
    assert list(advice["limit_seconds"]) == [15.0, np.inf]


def test_advice_follows_the_scores():
    better = SCORES | {"best": [0.82, 0.84, 0.83]}
    advice = frontier_tables.advice_table(frontier_tables.frontier_table(rows_of(better, SECONDS)))
    assert advice["method"].iloc[-1] == "best"


def test_a_curve_that_rises_is_named():
    parts = [rows_of({"pmi": [value] * 3, "gaussian": [0.9 - rate] * 3}, SECONDS, rate=rate)
             for rate, value in ((0.1, 0.6), (0.5, 0.7), (0.9, 0.4))]  # fmt: skip
    table = frontier_tables.rate_table(pd.concat(parts))
    text = frontier_tables.say_monotone(table)
    assert "PMI (by 0.100, to 50% hidden)" in text
    assert "Gaussian" not in text
    falling = frontier_tables.say_monotone(table[table["method"] == "gaussian"])
    assert falling.startswith("No method")


def test_many_small_rises_make_a_rise():
    parts = [rows_of({"pmi": [0.79 + 0.0025 * step] * 3}, SECONDS, rate=0.1 + 0.2 * step) for step in range(4)]
    assert "PMI (by 0.007" in frontier_tables.say_monotone(frontier_tables.rate_table(pd.concat(parts)))


def test_what_depth_is_worth_is_said_per_method():
    parts = [
        rows_of({"gaussian": [0.8] * 3}, SECONDS),
        rows_of({"gaussian": [0.65] * 3}, SECONDS, transform="log1p_depth"),
    ]
    table = frontier_tables.frontier_table(pd.concat(parts))
    assert "Conditional Gaussian -0.150" in frontier_tables.say_scales(table)


def test_an_ingredient_is_compared_with_the_whole_on_the_same_splits():
    name = "one network for five"
    plan = ingredient_plan([name], n_splits=3, network_epochs=200, preset="quick")
    assert dict(plan[name][0].hyperparameters) == dict(INGREDIENTS[name])
    rows = []
    for change, loss in (("", 0.0), (name, 0.02)):
        for trial in plan[change]:
            base = rows_of({"pmi_tuned": [0.8 + 0.01 * trial.seed - loss]}, {"pmi_tuned": 30.0})
            rows.append(base.assign(seed=trial.seed, trial_id=trial.trial_id("f")))
    table = frontier_tables.ingredient_table(pd.concat(rows), plan, "f").set_index("change")
    assert table.loc[name, "effect"] == pytest.approx(-0.02)
    assert "one network for five (-0.020)" in frontier_tables.say_ingredients(table.reset_index())


def test_ingredients_are_parameters_of_the_tuned_network():
    from reproduce.imputers import make_imputer

    for change in INGREDIENTS.values():
        imputer = make_imputer("pmi_tuned", **change)
        assert any(imputer.get_params()[key] != make_imputer("pmi_tuned").get_params()[key] for key in change), change


def test_unknown_ingredient_is_named():
    with pytest.raises(ConfigError, match="salt"):
        chosen_ingredients(["salt"])
    assert chosen_ingredients(["all"]) == tuple(INGREDIENTS)


def test_rates_share_a_fit_and_budgets_scale_the_tuned_network():
    trials = rate_plan(["pmi_tuned"], [0.1, 0.9], n_splits=1, network_epochs=60, preset="quick")
    assert trials[0].fit_key == trials[1].fit_key
    assert trials[0].hyperparameters["epochs"] < 60
    assert "pmi_tuned" not in frontier_budget(200)
