"""Tables and sentences say what the rows say, and change when the rows change."""

import types

import anndata
import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.hypotheses import verdicts
from reproduce.tables import summaries


def rows_for(method, mean, *, scenario="inductive", n=10, training_rows="complete", transform="log1p", test="GTEx"):
    """Result rows of one configuration: overall, tissue and gene level."""
    rng = np.random.default_rng(len(method))
    fixed = {"method": method, "scenario": scenario, "train": "GTEx", "test": test, "transform": transform}
    fixed |= {
        "missing_rate": 0.5,
        "training_rows": training_rows,
        "mechanism": "mcar",
        "variant": "",
        "config_hash": method,
        "status": "ok",
        "metric": "r2",
    }
    fixed |= {"fit_seconds": 1.5, "impute_seconds": 0.5}
    rows = []
    for seed in range(n):
        value = mean + 0.01 * rng.normal()
        rows += [{"seed": seed, "level": "overall", "group": "all", "value": value}]
        rows += [{"seed": seed, "level": "tissue", "group": "Lung", "value": value}]
        rows += [{"seed": seed, "level": "gene", "group": g, "value": value + d} for g, d in (("A", 0.1), ("B", -0.1))]
    return pd.DataFrame(rows).assign(**fixed)


@pytest.fixture
def results():
    parts = [rows_for("pmi", 0.7), rows_for("gain", 0.65), rows_for("median", 0.1), rows_for("knn_10", 0.6)]
    parts += [rows_for("mice", 0.55), rows_for("oracle", 0.8)]
    parts += [rows_for("knn_10", 0.5, training_rows="masked")]
    return pd.concat(parts, ignore_index=True)


def test_scores_are_means_over_splits_best_first(results):
    table = summaries.score_table(results)
    assert table["mean"].is_monotonic_decreasing
    pmi = table.set_index("method").loc["pmi"]
    values = results.query("method == 'pmi' and level == 'overall'")["value"]
    assert pmi["mean"] == pytest.approx(values.mean()) and pmi["sd"] == pytest.approx(values.std())
    assert pmi["low"] < pmi["mean"] < pmi["high"] and pmi["n_splits"] == 10 and pmi["seconds"] == pytest.approx(2.0)


def test_configurations_are_kept_apart(results):
    table = summaries.score_table(results)
    assert len(table[table["method"] == "knn_10"]) == 2
    assert set(summaries.show_scores(table)["training rows"]) == {"complete", "with holes"}


def test_gene_table_has_the_easiest_gene_first(results):
    table = summaries.gene_table(results[results["training_rows"] == "complete"])
    assert list(table.index) == ["A", "B"]


def test_the_headline_puts_ours_beside_the_papers(results):
    table = summaries.headline_table(results, summaries.read_paper_reported()).set_index(["method", "scenario"])
    assert table.loc[("pmi", "inductive"), "paper_genome"] == 0.707
    assert table.loc[("pmi", "inductive"), "ours"] == pytest.approx(0.7, abs=0.02)
    assert np.isnan(table.loc[("pmi", "in_place"), "ours"])
    # with complete training rows, as in the tests
    assert table.loc[("knn_10", "inductive"), "ours"] == pytest.approx(0.6, abs=0.02)
    shown = summaries.show_headline(table.reset_index())
    assert shown["method"].is_unique and "0.707" in shown.set_index("method").loc["PMI"].to_list()


def test_the_papers_figures_are_whole():
    reported = summaries.read_paper_reported()
    paper = reported[reported["source"] == "paper"]
    assert len(paper) == 42 and not paper.duplicated(["gene_set", "method", "scenario"]).any()
    assert paper["value"].isna().sum() == (paper["note"] == "not finished within 7 days").sum() == 4
    assert set(paper["table"]) == {"Table 1", "Table 2"} and set(paper["target"]) == {"all tissues"}


def test_what_others_report_stands_beside_with_its_source():
    reported = summaries.read_paper_reported().set_index(["source", "target", "method"]).sort_index()
    assert set(reported.index.unique("source")) == set(summaries.SOURCES)
    notebook = reported.loc["reference notebook"].droplevel("method")
    for tissue, tumour in (("whole blood", "LAML"), ("breast", "BRCA")):  # tumours are filled far worse
        assert notebook.loc[tissue, "value"] - notebook.loc[tumour, "value"] == pytest.approx(0.32)
        assert notebook.loc[tumour, "scenario"] == "cross_cohort" and notebook.loc[tissue, "scenario"] == "inductive"
    student = reported.loc[("student study", "lung and colon; test rows")]
    assert student["value"].to_dict() == {"gain": 0.607, "pmi": 0.64}
    assert (student["runtime_hours"] * 3600).round(1).to_dict() == {"gain": 30.1, "pmi": 15.7}


def test_the_headline_takes_the_papers_tables_alone(results):
    reported = summaries.read_paper_reported()
    whole = summaries.headline_table(results, reported)
    shuffled = reported.iloc[::-1]  # rows of other sources first
    pd.testing.assert_frame_equal(summaries.headline_table(results, shuffled), whole)
    pd.testing.assert_frame_equal(summaries.headline_table(results, reported[reported["source"] == "paper"]), whole)
    assert "p53" not in whole and not whole.duplicated(["method", "scenario"]).any()
    assert set(whole["scenario"]) == {"inductive", "in_place"}


def test_a_damaged_paper_table_is_named(tmp_path):
    path = tmp_path / "x.csv"
    with pytest.raises(DataFormatError, match="absent"):
        summaries.read_paper_reported(path)
    path.write_text("source,table,method\n")
    with pytest.raises(DataFormatError, match="gene_set"):
        summaries.read_paper_reported(path)
    lines = summaries.PAPER_REPORTED.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[3].replace("paper", "hearsay", 1)]))
    with pytest.raises(DataFormatError, match="line 4: source 'hearsay'"):
        summaries.read_paper_reported(path)
    path.write_text("\n".join([*lines[:3], lines[2]]))
    with pytest.raises(DataFormatError, match="line 4: a second value"):
        summaries.read_paper_reported(path)


def test_sentences_follow_the_data(results):
    said = summaries.say_ranking(summaries.score_table(results))
    assert "compared is PMI (R² 0.699" in said and "exceed 0.805" in said
    better = pd.concat([results, rows_for("gaussian", 0.75)])
    said = summaries.say_ranking(summaries.score_table(better))
    assert "best of the methods compared is Conditional Gaussian" in said and "best network is PMI" in said
    with pytest.raises(ConfigError):
        summaries.say_ranking(summaries.score_table(results[results["method"] == "oracle"]))


def test_verdict_sentences_name_each_hypothesis(results):
    said = summaries.say_verdicts(verdicts(results))
    assert said.count("\n") == 5 and "**H1 supported**" in said and "**T1 inconclusive**" in said


def test_n_is_counted_and_fewer_splits_are_named(results):
    cohorts = {name: types.SimpleNamespace(n_obs=n, n_vars=65) for name, n in (("GTEx", 1126), ("LUAD", 128))}
    study = types.SimpleNamespace(title="some data", cohorts=cohorts)
    assert summaries.say_n(study) == "*Data: some data; GTEx 1,126 samples, LUAD 128 samples; 65 genes.*"
    said = summaries.say_n(study, pd.concat([results, rows_for("gaussian", 0.7, n=2)]))
    assert said.endswith("; n = 10 donor splits for each method (Conditional Gaussian 2).*") and "LUAD" not in said
    transfer = rows_for("pmi", 0.1, scenario="cross_cohort", test="LUAD", n=3)
    assert "n = 3 sets of patients" in summaries.say_n(study, transfer) and "LUAD" in summaries.say_n(study, transfer)


def test_depth_sentence_needs_both_scales(results):
    with pytest.raises(ConfigError):
        summaries.say_depth(summaries.score_table(results))
    both = pd.concat([results, rows_for("pmi", 0.4, transform="log1p_depth")])
    assert "PMI from 0.699 to 0.399" in summaries.say_depth(summaries.score_table(both))


def test_methods_left_out_are_named():
    assert "MissForest (100 trees)" in summaries.say_not_run("in_place", {"missforest_100": 0, "pmi": 1})
    # valid in place only, so its absence elsewhere is not the preset's doing
    assert "no method" in summaries.say_not_run("inductive", {"missforest_100": 0})


def test_agreement_is_one_with_oneself_and_falls_with_noise():
    rng = np.random.default_rng(0)
    base = rng.uniform(-1, 1, 500)
    table = summaries.correlation_agreement(
        pd.DataFrame({"GTEx, Lung": base, "GTEx, Colon": base, "LUAD, Lung": base + rng.normal(size=500)})
    ).set_index(["one", "two"])["agreement"]
    assert table["GTEx, Lung", "GTEx, Colon"] == pytest.approx(1.0)
    assert table["GTEx, Lung", "LUAD, Lung"] < 0.8


def study(**cohorts):
    """Cohorts of given matrices, genes named by letters."""
    made = {}
    for key, X in cohorts.items():
        n = len(X)
        obs = {"donor": [f"{key}{i}" for i in range(n)], "tissue": "Lung", "sex": "female", "age": 50.0}
        obs = pd.DataFrame(obs, index=[f"{key}-{i}" for i in range(n)])
        made[key] = anndata.AnnData(np.asarray(X, dtype=np.float32), obs, pd.DataFrame(index=list("ABC"[: len(X[0])])))
        made[key].uns["units"] = "counts"
    return types.SimpleNamespace(
        name="s", title="Tiny study", cohorts=made, is_real=False, notes=("GTEx: a gene went",), fingerprint="abc"
    )


def test_the_cohorts_are_described_as_they_are():
    tiny = study(GTEx=[[0, 1, 2], [3, 4, np.nan]], LUAD=[[1, 2], [0, 0]])
    overview = summaries.cohort_overview(tiny).set_index("cohort")
    assert overview.loc["GTEx", ["samples", "donors", "genes"]].tolist() == [2, 2, 3]
    assert overview.loc["LUAD", "zeros"] == 0.5 and overview.loc["GTEx", "missing"] == pytest.approx(1 / 6)
    assert overview.loc["GTEx", "median total"] == 5.0
    assert summaries.genes_by_cohort(tiny).to_dict("records") == [{"gene": "C", "GTEx": "yes", "LUAD": "no"}]
    assert list(summaries.notes_table(tiny)["note"]) == ["GTEx: a gene went"]
    quality = summaries.gene_quality(tiny).set_index(["cohort", "gene"])
    assert quality.loc[("LUAD", "A"), "mean"] == pytest.approx(np.log(2) / 2)
    assert summaries.sample_totals(tiny)["total"].tolist() == [3, 7, 3, 0]
    said = summaries.say_data(tiny)
    assert said.startswith("**Simulated") and "2 samples of 2 donors" in said


def test_gene_correlations_are_those_of_log_counts_within_a_tissue():
    X = np.random.default_rng(0).poisson(20, (30, 3))
    correlations = summaries.gene_correlations(study(GTEx=X))
    expected = np.corrcoef(np.log1p(X[:, 0]), np.log1p(X[:, 2]))[0, 1]
    assert correlations.loc[("A", "C"), "GTEx, Lung"] == pytest.approx(expected)


def test_tables_are_written_whole_and_alike(tmp_path):
    table = pd.DataFrame({"a": [1 / 3, 2.0], "b": ["x", "y"]})
    one, two = (summaries.write_table(table, tmp_path / name, "t").read_bytes() for name in "ab")
    assert one == two == b"a,b\n0.333333,x\n2,y\n"
