"""Tables of transfer: means, who is compared with whom, verdicts, and sentences that follow the numbers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.experiments.transfer import REFERENCE_ONLY, TARGET_ONLY, TRANSFER, transfer_plan
from reproduce.tables import transfer_tables as tables

LEVEL = {TARGET_ONLY: 0.10, REFERENCE_ONLY: 0.20, TRANSFER: 0.25}


STUDY = SimpleNamespace(fingerprint="f" * 12, cohorts={"LUAD": SimpleNamespace(n_obs=33)})


@pytest.fixture(scope="module")
def plan():
    return transfer_plan({"LUAD": [("GTEx",), ("GTEx", "COADREAD")]}, n_seeds=5, preset="smoke", sizes=(10, None))


def results(plan, level=LEVEL, noise=0.001):
    """Rows as a run would give them; from all patients the target alone is as good as anything."""
    rows = []
    for each in plan:
        value = level[each.arm] if each.n_patients else max(level[TARGET_ONLY], level[each.arm] - 0.15) + 0.2
        value += 0.01 * each.trial.seed + noise * np.sin(7 * each.trial.seed + 3 * len(each.arm))
        common = {"trial_id": each.trial.trial_id("f" * 12), "seed": each.trial.seed, "missing_rate": 0.5}
        common |= {"status": "ok", "metric": "r2"}
        rows.append(common | {"level": "overall", "group": "all", "value": value})
        for gene, gain in (("A", 0.3), ("B", 0.0)):
            own = value + gain * (each.arm == TRANSFER)
            rows.append(common | {"level": "gene", "group": gene, "value": own if gene == "A" else 0.1})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def scores(plan):
    return tables.seed_scores(results(plan), plan, STUDY)


def test_curves_are_means_over_seeds_with_the_whole_cohort_by_its_size(scores):
    table = tables.curve_table(scores)
    assert set(table["n_patients"]) == {10, 33} and len(table) == 2 * (1 + 2 * 2)
    row = table[(table["arm"] == TARGET_ONLY) & (table["n_patients"] == 10)].iloc[0]
    assert row["mean"] == pytest.approx(0.12, abs=0.002) and row["low"] < row["mean"] < row["high"]
    assert row["references"] == "none" and row["n_seeds"] == 5
    shown = tables.show_curves(table)
    assert list(shown.columns) == ["target", "method", "n = 10", "n = 33"] and shown["method"].iloc[0] == TARGET_ONLY


def test_transfer_is_compared_with_the_better_of_its_own_two_ends(scores):
    table = tables.rule_table(scores)
    assert len(table) == 4 and set(table["verdict"]) == {tables.SUPPORTED}
    small = table[table["n_patients"] == 10]
    assert set(small["better_arm"]) == {REFERENCE_ONLY}
    np.testing.assert_allclose(small["difference"], 0.05, atol=0.003)
    np.testing.assert_allclose(small["gain"], 0.15, atol=0.003)
    assert list(tables.show_rule(table)["never worse"]) == [tables.SUPPORTED] * 4


@pytest.mark.parametrize(
    "transfer, noise, verdict",
    [(0.10, 0.001, tables.REFUTED), (0.196, 0.001, tables.SUPPORTED), (0.20, 0.2, tables.INCONCLUSIVE)],
)
def test_verdicts_follow_interval_and_margin(plan, transfer, noise, verdict):
    rows = results(plan, LEVEL | {TRANSFER: transfer}, noise)
    table = tables.rule_table(tables.seed_scores(rows, plan, STUDY))
    assert set(table.loc[table["n_patients"] == 10, "verdict"]) == {verdict}


def test_genes_that_gain_are_told_from_those_that_do_not(plan):
    scores = tables.seed_scores(results(plan), plan, STUDY, level="gene")
    table = tables.gene_table(scores)
    first = table[(table["references"] == "GTEx") & (table["n_patients"] == 10)].reset_index(drop=True)
    assert list(first["gene"]) == ["A", "B"] and list(first["transfers"]) == [True, False]
    assert first["gain"].iloc[0] == pytest.approx(0.45, abs=0.003) and first["gain"].iloc[1] == 0
    assert "1 of 2 genes are filled better with it (most: A), 0 worse" in tables.say_genes(table)


def test_sentences_hold_computed_numbers(scores, plan):
    text = tables.say_transfer(tables.rule_table(scores))
    assert "with 10 patients" in text and "+0.15" in text and "in 4 of 4 comparisons, worse in 0" in text
    bad = tables.rule_table(tables.seed_scores(results(plan, LEVEL | {TRANSFER: 0.1}), plan, STUDY))
    assert "worse in 2" in tables.say_transfer(bad)
    one = tables.rule_table(scores[scores["seed"] == 0])
    assert "nothing is concluded" in tables.say_transfer(one)


def test_absent_trials_are_refused(plan, scores):
    rows = results(plan)
    with pytest.raises(DataFormatError, match="no scores of 1 trials"):
        tables.seed_scores(rows[rows["trial_id"] != rows["trial_id"].iloc[0]], plan, STUDY)
    lonely = scores[~((scores["arm"] == TARGET_ONLY) & (scores["seed"] == 2))]
    with pytest.raises(DataFormatError, match="no partner"):
        tables.rule_table(lonely)
