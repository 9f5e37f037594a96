"""Tables count what the rows say, and sentences repeat the tables."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.experiments.downstream import COMPLETE, FITTED, VISIBLE
from reproduce.experiments.intervals import CONFORMAL, OWN
from reproduce.tables import interval_tables as tables


def results(off=0.0, genes=("A", "B")):
    """Rows of five splits; the Gaussian's own intervals cover 4 points too much, calibrated ones `off` too much."""
    rows, rng = [], np.random.default_rng(0)
    for source, excess, score in ((OWN, 0.04, 2.0), (CONFORMAL, off, 1.8)):
        for rate in (0.1, 0.5):
            for seed in range(5):
                keys = {"status": "ok", "scenario": "inductive", "method": "gaussian", "variant": source}
                keys |= {"missing_rate": rate, "seed": seed, "n_evaluated": 100}
                places = [("overall", "all"), ("tissue", "Lung"), *(("gene", gene) for gene in genes)]
                for level, group in places:
                    wobble = 0.001 * rng.normal()
                    new = {f"coverage_{100 * x:.0f}": x + excess + wobble for x in (0.5, 0.8, 0.95)}
                    new |= {"interval_score_95": score, "width_95": score / 2, "error_sd_correlation": 0.5 / score}
                    rows += [keys | {"metric": m, "value": v, "level": level, "group": group} for m, v in new.items()]
    return pd.DataFrame(rows)


def test_coverage_is_the_mean_over_splits_with_its_interval():
    table = tables.coverage_table(results())
    row = table[(table["variant"] == OWN) & (table["tissue"] == "all") & (table["nominal"] == 0.8)].iloc[0]
    assert row["coverage"] == pytest.approx(0.84, abs=0.002) and row["n_splits"] == 5
    assert row["low"] < row["coverage"] < row["high"] < row["coverage"] + 0.01
    shown = tables.show_coverage(table)
    assert list(shown["missing rate"]) == ["10 %", "50 %"] * 2
    assert "inside 95 % intervals [95 %]" in shown and set(shown["scenario"]) == {"Inductive"}
    one = tables.show_coverage(table.assign(low=-np.inf, high=np.inf))
    assert "inside 95 % intervals" in one
    with pytest.raises(DataFormatError, match="coverage_50"):
        tables.coverage_table(results().query("metric == 'width_95'"))


def test_sentences_count_what_is_within_tolerance():
    said = tables.say_coverage(tables.coverage_table(results(off=0.01)))
    assert "own distribution, inductively: within 2 points in 0 of 6" in said
    assert "conformal, inductively: within 2 points in 6 of 6" in said and "in Lung" in said


def test_what_calibration_changes_is_said():
    table = tables.quality_table(results())
    said = tables.say_quality(table)
    assert "by -10.0 to -10.0 %" in said and "from 0.25–0.25 to 0.28–0.28" in said
    assert len(tables.show_quality(table)) == 4


def test_genes_off_are_counted_and_named():
    rows = results()
    rows.loc[(rows["group"] == "B") & (rows["metric"] == "coverage_95"), "value"] = 0.80
    table = tables.gene_coverage_table(rows)
    assert table["noise"].iloc[0] == pytest.approx(np.sqrt(0.25 / 500))
    said = tables.say_genes(table)
    assert "1 of 2 genes within 5 points of 95 %; furthest off B with 80.0 %" in said


def answers():
    """Three genes of which the complete data find two; draws find one of them and a false one."""
    keys = {"question": "which", "missing_rate": 0.5, "run_id": "x"}
    rows = []
    p = {COMPLETE: (1e-6, 1e-6, 0.9), VISIBLE: (1e-6, 0.9, 0.9), FITTED: (1e-6, 0.5, 1e-4)}
    estimates = {COMPLETE: (2.0, 1.0, 0.0), VISIBLE: (1.0, 0.5, 0.0), FITTED: (2.0, 1.0, 0.3)}
    for seed in range(2):
        for way, values in p.items():
            for i, gene in enumerate("ABC"):
                between = 0.01 if way == FITTED else np.nan
                new = {"seed": seed, "way": way, "gene": gene, "estimate": estimates[way][i], "p": values[i]}
                rows.append(keys | new | {"standard_error": 0.1, "degrees_of_freedom": 50.0, "between": between})
    return pd.DataFrame(rows)


def test_answers_are_compared_with_the_complete_datas():
    by_split = tables.downstream_by_split(answers())
    one = by_split[by_split["seed"] == 0].set_index("way")
    assert one.at[VISIBLE, "slope"] == pytest.approx(0.5) and one.at[COMPLETE, "error"] == 0
    assert tuple(one.loc[FITTED, ["significant_BH", "false_BH", "missed_BH"]]) == (2, 1, 1)
    assert tuple(one.loc[VISIBLE, ["significant_Holm", "false_Holm", "missed_Holm"]]) == (1, 0, 1)
    assert one.at[FITTED, "coverage"] == pytest.approx(2 / 3) and one.at[FITTED, "proper"] == pytest.approx(2 / 3)
    assert np.isnan(one.at[VISIBLE, "proper"])
    table = tables.downstream_table(by_split)
    said = tables.say_downstream(table)
    assert "the complete data give 2 genes" in said
    assert "draws: 2 genes, 1 of them false and 1 missed" in said and "(95 % if proper)" in said
    assert len(tables.show_downstream(table)) == 3
    with pytest.raises(DataFormatError, match="complete data"):
        tables.downstream_by_split(answers().query("way != @COMPLETE"))
