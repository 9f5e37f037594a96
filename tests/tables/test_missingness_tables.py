"""Differences are those of the splits, intervals those of the corrected t, and sentences follow the tables."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.experiments import ResultsStore
from reproduce.experiments.missingness import AT_EACH_RATE, ONCE, curve_plan, mechanism_plan
from reproduce.experiments.trials import COLUMNS, TrialResult
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.tables import missingness_tables as tables

RATES, SEEDS = [0.1, 0.5, 0.9], 4
BUDGET = {"n_splits": SEEDS, "network_epochs": 2, "preset": "quick"}
#: What each method reaches where a tenth is hidden; it falls by `SLOPE` times the rate.
LEVEL = {"gaussian": 0.9, "pmi": 0.7, "median": 0.0}
SLOPE = {"gaussian": 0.3, "pmi": 0.2, "median": 0.0}
RETRAINED = 0.05


class Data:
    fingerprint = "data"


def value_of(planned, metric, shift=0.0):
    """A made-up score with noise that differs between trials and is known to the test."""
    trial = planned.trial
    base = LEVEL[trial.method] - SLOPE[trial.method] * trial.missing_rate
    noise = np.sin(7 * trial.seed + 3 * trial.missing_rate + len(trial.method)) / 200
    if metric == "bias":
        return 0.4 if trial.mechanism == "mnar" else 0.0
    if metric == "r2_visible_mean" and trial.mechanism == "panel":
        return np.nan
    gap = 0.3 if metric == "r2_visible_mean" and trial.mechanism == "mnar" else 0.0
    return base + noise + gap + shift + (RETRAINED if planned.training == AT_EACH_RATE else 0.0)


def rows_of(planned):
    trial, rows = planned.trial, []
    across = trial.scenario == "cross_cohort"
    for test in trial.test.split("+"):
        places = [("overall", "all", 0.0)] + ([] if across else [("tissue", "Lung", 0.01), ("tissue", "Colon", -0.01)])
        for level, group, shift in places:
            for metric in ("r2", "r2_visible_mean", "bias", "r2_p25", "r2_p75"):
                n = 2 if metric.startswith("r2_p") else 2 * 100 * trial.missing_rate
                rows.append((test, metric, level, group, value_of(planned, metric, shift), n))
        rows.append((test, "r2", "gene", "TP53", value_of(planned, "r2"), 10))
    table = pd.DataFrame(rows, columns=["test", "metric", "level", "group", "value", "n_evaluated"])
    fixed = {
        name: getattr(trial, name) for name in COLUMNS if hasattr(trial, name) and name not in ("test", "trial_id")
    }
    fixed |= {"trial_id": trial.trial_id("data"), "status": "ok", "error": "", "version": "0"}
    return table.assign(fit_seconds=1.0, impute_seconds=0.1, **fixed)[list(COLUMNS)]


@pytest.fixture(scope="module")
def curves():
    return curve_plan(RATES, methods=tuple(LEVEL), retrained_rates=[0.5], **BUDGET)


@pytest.fixture(scope="module")
def mechanisms():
    return mechanism_plan(["mnar", "panel"], methods=tuple(LEVEL), **BUDGET)


@pytest.fixture(scope="module")
def results(curves, mechanisms):
    return pd.concat([rows_of(planned) for planned in (*curves, *mechanisms)], ignore_index=True)


def scores_of(curves, method, rate, training="", target="LUAD"):
    """By hand: scores by seed of one curve at one rate."""
    scenario, shift = ("cross_cohort", 0.0) if target == "LUAD" else ("inductive", 0.01)
    chosen = [p for p in curves if (p.trial.method, p.trial.missing_rate, p.training) == (method, rate, training)]
    return np.array([value_of(p, "r2", shift) for p in chosen if p.trial.scenario == scenario])


def test_a_curve_is_the_mean_over_splits_within_each_target(results, curves):
    table = tables.curve_table(results, curves, "data")
    assert set(table["target"]) == {"GTEx Lung", "GTEx Colon", "LUAD", "COADREAD"}
    for target, scenario in (("GTEx Lung", "inductive"), ("LUAD", "cross_cohort")):
        row = table.query("target == @target and method == 'gaussian' and missing_rate == 0.9").iloc[0]
        expected = corrected_t(scores_of(curves, "gaussian", 0.9, target=target), overlap_ratio(scenario))
        assert (row["mean"], row["low"], row["high"]) == pytest.approx((expected.mean, expected.low, expected.high))
        assert row["n_splits"] == SEEDS and row["entries_per_gene"] == pytest.approx(90)
    assert len(table) == 4 * (2 * 3 + 3 + 1)  # targets × (methods × rates, PMI once, PMI at one rate)
    shown = tables.show_curves(table)
    assert list(shown.columns[-3:]) == ["10 % hidden", "50 % hidden", "90 % hidden"] and "–" in set(
        shown["10 % hidden"]
    )
    assert "at 10 % hidden a gene of GTEx Colon has 10.0 entries" in tables.say_few_entries(table)


def test_differences_are_paired_split_by_split(results, curves):
    lost = tables.robustness_table(results, curves, "data").set_index(["target", "method", "training"])
    by_hand = scores_of(curves, "gaussian", 0.9) - scores_of(curves, "gaussian", 0.5)
    expected, row = corrected_t(by_hand, overlap_ratio("cross_cohort")), lost.loc["LUAD", "gaussian", ""]
    assert row["difference"] == pytest.approx(by_hand.mean()) == pytest.approx(row["most"] - row["half"])
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert ("LUAD", "pmi", AT_EACH_RATE) not in lost.index  # trained for one half only
    gained = tables.retraining_table(results, curves, "data").set_index(["target", "method"])
    by_hand = scores_of(curves, "pmi", 0.5, AT_EACH_RATE) - scores_of(curves, "pmi", 0.5, ONCE)
    assert gained.loc[("LUAD", "pmi"), "difference"] == pytest.approx(by_hand.mean()) == pytest.approx(RETRAINED)
    assert set(gained["missing_rate"]) == {0.5}


def test_an_absent_or_failed_trial_is_an_error(results, curves):
    trial = curves[0].trial
    with pytest.raises(DataFormatError, match=r"no scores of 1 trials \(gaussian, inductive"):
        tables.curve_table(results[results["trial_id"] != trial.trial_id("data")], curves, "data")
    failed = results["status"].mask(results["trial_id"] == trial.trial_id("data"), "failed")
    with pytest.raises(DataFormatError, match="no scores of 1 trials"):
        tables.advice_table(results.assign(status=failed), curves, [], "data")


def test_the_paper_s_metric_hides_what_its_difference_is(results, mechanisms):
    table = tables.mechanism_table(results, mechanisms, "data")
    low = table[table["mechanism"] == "mnar"]
    np.testing.assert_allclose(low["paper_r2"] - low["r2"], 0.3)
    panel = table[table["mechanism"] == "panel"]
    assert panel["paper_r2"].isna().all() and set(panel["target"]) == {"GTEx", "LUAD", "COADREAD"}
    shown = tables.show_mechanisms(table)
    assert set(shown.loc[shown["hidden"] == "whole genes", "R², visible mean [95 %]"]) == {"–"}
    text = tables.say_metric_gap(table)
    assert "Conditional Gaussian is best" in text and "adds 0.300 to 0.300" in text and "+0.400" in text
    assert "adds 0.100 to 0.100" in tables.say_metric_gap(table.assign(paper_r2=table["r2"] + 0.1))
    assert "cannot be told apart" in tables.say_metric_gap(panel)


def test_advice_names_the_best_and_those_not_told_from_it(results, curves, mechanisms):
    table = tables.advice_table(results, curves, mechanisms, "data")
    assert set(table["best"]) == {"gaussian"}
    lung = table.query("target == 'GTEx Lung' and mechanism == 'mcar'").set_index("missing_rate")
    assert lung.loc[0.1, "not_worse"] == ""  # 0.87 against 0.68 with a noise of less than 0.01
    line = next(row for row in tables.say_advice(table).splitlines() if row.startswith("- GTEx Lung"))
    assert "at 10–90 % **Conditional Gaussian**" in line
    # raise PMI where most is hidden: it becomes the best there, and the sentence parts the range
    raised = results["value"].where(
        ~((results["method"] == "pmi") & (results["missing_rate"] == 0.9)), results["value"] + 0.3
    )
    changed = tables.say_advice(tables.advice_table(results.assign(value=raised), curves, mechanisms, "data"))
    line = next(row for row in changed.splitlines() if row.startswith("- GTEx Lung"))
    assert "at 10–50 % **Conditional Gaussian**" in line and f"at 90 % **PMI, trained {ONCE}**" in line
    # a rival whose splits scatter around the best one's cannot be told from it
    copy = results[results["method"] == "gaussian"].set_index(["missing_rate", "mechanism", "scenario", "seed", "level",
                                                               "group", "metric", "test"])["value"]  # fmt: skip
    rival = results[results["method"] == "median"]
    key = pd.MultiIndex.from_frame(rival[copy.index.names])
    close = copy.reindex(key).to_numpy() + np.where(rival["seed"] % 2, 0.01, -0.011)
    together = pd.concat([results[results["method"] != "median"], rival.assign(value=close)])
    judged = tables.advice_table(together, curves, mechanisms, "data")
    assert judged["not_worse"].str.contains("Tissue median").all()


def test_where_nothing_helps_no_method_is_advised(results, curves):
    text = tables.say_advice(tables.advice_table(results.assign(value=results["value"] - 2), curves, [], "data"))
    assert "**none**" in text and "**Conditional Gaussian**" not in text
    lost = tables.robustness_table(results.assign(value=results["value"] / 100), curves, "data")
    assert "no method reaches R² 0.1" in tables.say_robustness(lost)


def test_sentences_follow_their_tables(results, curves):
    lost = tables.robustness_table(results, curves, "data")
    text = tables.say_robustness(lost)
    assert f"PMI, trained {ONCE} least" in text and "Conditional Gaussian most" in text
    other_way = tables.say_robustness(lost.assign(difference=-lost["difference"]))
    assert "Conditional Gaussian least" in other_way
    gained = tables.retraining_table(results, curves, "data")
    assert "better in 4 and worse in 0 of 4" in tables.say_retraining(gained)
    worse = tables.say_retraining(gained.assign(low=-0.2, high=-0.1, difference=-0.15))
    assert "better in 0 and worse in 4 of 4" in worse and "; LUAD at 50 %" in worse


def test_one_split_concludes_nothing(results, curves):
    alone = [planned for planned in curves if planned.trial.seed == 0]
    assert tables.say_robustness(tables.robustness_table(results, alone, "data")).startswith("One split")
    assert tables.say_retraining(tables.retraining_table(results, alone, "data")).startswith("One split")
    advice = tables.advice_table(results, alone, [], "data")
    assert tables.say_advice(advice).startswith("One split") and (advice["not_worse"] != "").all()
    assert "±" not in "".join(tables.show_curves(tables.curve_table(results, alone, "data")).astype(str).sum())


def test_the_export_drops_genes_only_where_no_other_notebook_runs_the_trial(tmp_path, curves, mechanisms):
    store = ResultsStore(tmp_path / "trials")
    plan = [planned for planned in (*curves, *mechanisms) if planned.trial.method == "gaussian"]
    whole = {planned.trial.trial_id("data"): rows_of(planned) for planned in plan}
    for trial_id, rows in whole.items():
        store.write(TrialResult(trial_id, rows, None))
    path = tables.export_rows(store, tmp_path / "07_missingness.parquet", plan, Data)
    kept = pd.read_parquet(path)
    assert set(kept["trial_id"]) == set(whole)
    genes = kept[kept["level"] == "gene"]
    assert set(genes["missing_rate"]) == {0.5} and set(genes["mechanism"]) == {"mcar"}
    shared = {
        i for i, rows in whole.items() if rows["mechanism"].eq("mcar").all() and rows["missing_rate"].eq(0.5).all()
    }
    assert set(genes["trial_id"]) == shared
    # who resumes from the export alone sees the same tables, and writes the same file again
    resumed = ResultsStore(tmp_path / "empty", exports=tmp_path)
    chosen = [planned for planned in plan if planned in curves]
    pd.testing.assert_frame_equal(
        tables.curve_table(resumed.read(list(whole)), chosen, "data"),
        tables.curve_table(pd.concat(whole.values()), chosen, "data"),
    )
    again = tables.export_rows(resumed, tmp_path / "again" / "07_missingness.parquet", plan, Data)
    assert again.read_bytes() == path.read_bytes()
