"""The paper's tables list every method that is valid, on one study a gene set; comparisons say what was not run."""

import numpy as np
import pandas as pd
import pytest

from reproduce import plots
from reproduce.errors import ConfigError
from reproduce.experiments.paper_tables import INDUCTIVE, paper_plan, run_paper_tables
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.subsets import FEWEST_SAMPLES, with_few_donors
from reproduce.loaders.study import Study
from reproduce.plots import paper_plots
from reproduce.tables import paper_comparison
from reproduce.tables.summaries import read_paper_reported
from tests.experiments.test_experiments import cohort

BUDGET = {"n_splits": 2, "n_splits_by_method": {}, "network_epochs": 3, "preset": "smoke"}


@pytest.fixture
def study():
    cohorts = {"Normal": cohort("Normal", ["Colon", "Kidney"], 30, 0), "READ": cohort("READ", ["Colon"], 20, 1)}
    cohorts["KICH"] = cohort("KICH", ["Kidney"], 20, 2)
    return Study("rnaseqdb", "A tiny study", cohorts, True, (), "abc")


def test_every_scenario_is_fitted_on_normal_tissue(study):
    trials = paper_plan(study, "alzheimer", **BUDGET)
    assert {t.train for t in trials} == {"Normal"} and {t.gene_set for t in trials} == {"alzheimer"}
    assert {t.method for t in trials if t.scenario == "inductive"} == set(INDUCTIVE)
    assert {t.test for t in trials if t.scenario == "cross_cohort"} == {"READ+KICH"}
    alone = Study("embedded-tissues", "", {"GTEx": study.cohorts["Normal"]}, False, (), "abc")
    assert {t.scenario for t in paper_plan(alone, "alzheimer", **BUDGET)} == {"in_place", "inductive"}
    with pytest.raises(ConfigError, match="no table for the gene set 'p53'"):
        paper_plan(study, "p53", **BUDGET)


def test_few_donors_keep_their_samples_and_change_the_identity(study):
    few = with_few_donors(study, 15)
    kept = few.cohorts["Normal"].obs
    assert kept["donor"].nunique() == 15 and len(kept) == 30
    assert few.fingerprint != study.fingerprint and len(few.cohorts["READ"]) == 20
    assert with_few_donors(study, 0) is with_few_donors(study, 99) is study
    rare = study.cohorts["Normal"][np.r_[0:30, 30 : 30 + FEWEST_SAMPLES - 1]].copy()
    uneven = Study("x", "", {"Normal": rare}, True, (), "abc")
    assert set(with_few_donors(uneven, 29).cohorts["Normal"].obs["tissue"]) == {"Colon"}


def test_both_tables_are_run_and_what_is_too_costly_is_named(study, monkeypatch, tmp_path):
    monkeypatch.setattr("reproduce.loaders.study.companion_source", lambda data, kind: f"{data}-{kind}")
    monkeypatch.setattr("reproduce.loaders.study.load_study", lambda name, **options: study)
    budget = {"n_splits": 1, "n_splits_by_method": {}, "preset": "smoke", "missing_rate": 0.5}
    store = ResultsStore(tmp_path / "trials")
    options = {"epochs_by_gene_set": {"alzheimer": 1}, "give_up_hours": 1e-4}
    run = run_paper_tables("auto", ["alzheimer"], store, tmp_path, **options, **budget)
    exported = pd.read_parquet(tmp_path / "15_paper_tables-alzheimer.parquet")
    assert len(exported) == len(run.rows) and "skipped" in set(exported["status"])
    assert run.data["samples"].tolist() == [60] and run.data["tumours"].tolist() == ["READ (20), KICH (20)"]
    status = run.rows.groupby("method")["status"].first()
    assert status["mice"] == status["pmi"] == "skipped" and status["median"] == status["knn_10"] == "ok"
    table = paper_comparison.paper_comparison(run.rows, read_paper_reported())
    shown = paper_comparison.show_comparison(table, "alzheimer").set_index("method")
    assert shown.loc["MICE", "in place: ours"].startswith("skipped: estimated")
    assert shown.loc["MICE", "in place: paper"] == "0.574"
    other = paper_comparison.show_comparison(table, "protein_coding").set_index("method")
    assert set(other["inductive: ours"]) == {"not run in this preset", "–"}
    assert "MICE, in place, alzheimer (skipped" in paper_comparison.say_comparison(table)
    assert set(paper_comparison.transfer_table(run.rows)["test"]) == {"READ", "KICH"}
    _, axes = plots.new_figure(2, 2)
    paper_plots.beside_paper(table, axes)
    assert [t.get_text() for t in axes[1, 0].get_yticklabels()][::-1][0] == "Tissue median"
    with pytest.raises(ConfigError, match="no number for 'alzheimer'"):
        run_paper_tables("auto", ["alzheimer"], store, tmp_path, epochs_by_gene_set={}, **budget)


def test_the_comparison_averages_over_splits_and_agrees_with_the_paper_s_order_if_it_does():
    paper = read_paper_reported()
    theirs = paper[(paper["table"] == "Table 2") & (paper["scenario"] == "inductive")].dropna(subset="value")
    fixed = {"scenario": "inductive", "gene_set": "alzheimer", "status": "ok", "level": "overall", "error": ""}
    rows = [
        fixed | {"method": r.method, "metric": metric, "value": r.value / 2 + shift, "seed": seed, "fit_seconds": 1.0,
                 "impute_seconds": 1.0}
        for r in theirs.itertuples() for seed, shift in enumerate((-0.1, 0.1)) for metric in ("r2", "r2_tissue")
    ]  # fmt: skip
    table = paper_comparison.paper_comparison(pd.DataFrame(rows), paper)
    pmi = table[(table["method"] == "pmi") & (table["scenario"] == "inductive") & (table["gene_set"] == "alzheimer")]
    assert pmi["ours"].item() == pytest.approx(0.315) and pmi["seconds"].item() == 2.0
    assert pmi["within_tissue"].item() == pytest.approx(0.315)
    assert "Table 2, inductive: of" in paper_comparison.say_comparison(table)
    assert "Kendall's τ of the two orders is 1.00" in paper_comparison.say_comparison(table)
