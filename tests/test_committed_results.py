"""What is committed under results/ agrees with itself: tables and verdicts are those of the trials beside them."""

import pandas as pd
import pytest

from reproduce import claims, hypotheses
from reproduce.experiments.paper_tables import TABLES
from reproduce.experiments.trials import COLUMNS
from reproduce.report import RunInfo
from reproduce.tables import effects, frontier_tables, paper_comparison, summaries

PARTS = ("02_in_place_imputation", "03_inductive_imputation", "04_transfer_to_tumours")


@pytest.fixture(scope="module")
def folder(request):
    folder = request.config.rootpath / "results"
    if not all((folder / f"{part}.parquet").exists() for part in PARTS):
        pytest.skip("no committed run")
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    return pd.concat([pd.read_parquet(folder / f"{part}.parquet") for part in PARTS], ignore_index=True)


def test_every_trial_succeeded_and_has_all_columns(rows):
    assert tuple(rows.columns) == COLUMNS
    assert set(rows["status"]) == {"ok"} and set(rows["preset"]) == {"full"}


@pytest.mark.parametrize("part", PARTS)
def test_score_tables_are_those_of_the_trials(folder, part, tmp_path):
    computed = summaries.score_table(pd.read_parquet(folder / f"{part}.parquet"))
    again = pd.read_csv(summaries.write_table(computed, tmp_path, part))
    pd.testing.assert_frame_equal(pd.read_csv(folder / f"{part}.csv"), again, rtol=1e-5)


def test_scale_and_settings_tables_are_those_of_the_trials(folder, tmp_path):
    part = PARTS[1]
    own, scales, settings = (pd.read_parquet(folder / f"{part}{end}.parquet") for end in ("", "-scales", "-settings"))
    computed = {"scales": summaries.score_table(scales), "settings": effects.settings_table(own, settings)}
    for name, table in computed.items():
        again = pd.read_csv(summaries.write_table(table, tmp_path, name))
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{part}-{name}.csv"), again, rtol=1e-5)


@pytest.mark.parametrize("part", PARTS[:2])
def test_gene_and_metric_tables_are_those_of_the_trials(folder, part, tmp_path):
    trials = pd.read_parquet(folder / f"{part}.parquet")
    alike = trials if part == PARTS[0] else trials[trials["training_rows"] == "complete"]
    computed = {"genes": summaries.gene_table(alike), "metrics": summaries.metric_table(trials)}
    for name, table in computed.items():
        again = pd.read_csv(summaries.write_table(table.reset_index(), tmp_path, name))
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{part}-{name}.csv"), again, rtol=1e-5)


@pytest.mark.parametrize("name", ["verdicts", "contrasts", "headline"])
def test_verdicts_and_headline_are_those_of_the_trials(folder, rows, name, tmp_path):
    computed = {
        "verdicts": lambda: hypotheses.verdicts(rows),
        "contrasts": lambda: hypotheses.contrasts(rows),
        "headline": lambda: summaries.headline_table(rows, summaries.read_paper_reported()),
    }[name]()
    again = pd.read_csv(summaries.write_table(computed, tmp_path, name))
    pd.testing.assert_frame_equal(pd.read_csv(folder / f"{name}.csv"), again, rtol=1e-5)


def test_claims_are_those_of_the_tables(folder, tmp_path):
    computed = claims.claims_table(claims.Evidence(folder, RunInfo.read(folder).title))
    again = pd.read_csv(summaries.write_table(computed, tmp_path, "claims"))
    pd.testing.assert_frame_equal(pd.read_csv(folder / "claims.csv"), again, rtol=1e-5)


def test_the_papers_tables_are_those_of_the_trials(folder, tmp_path):
    rows = pd.concat([pd.read_parquet(folder / f"15_paper_tables-{name}.parquet") for name in TABLES])
    computed = paper_comparison.paper_comparison(rows, summaries.read_paper_reported())
    again = pd.read_csv(summaries.write_table(computed, tmp_path, "15_paper_tables"))
    pd.testing.assert_frame_equal(pd.read_csv(folder / "15_paper_tables.csv"), again, rtol=1e-5)
    assert (again["status"] == "skipped").any() and again["note"].dropna().str.contains("estimated").any()


@pytest.mark.parametrize("part", PARTS)
def test_training_curves_are_those_of_the_trials(folder, rows, part):
    curves = pd.read_parquet(folder / f"{part}-training.parquet")
    networks = rows[rows["method"].isin(["pmi", "gain", "gain_mse"])]
    assert set(curves["trial_id"]) <= set(networks["trial_id"])
    table = summaries.history_table(curves)
    assert set(table["method"]) == {"PMI", "GAIN-GTEx", "GAIN-MSE-GTEx"} and (table["splits"] == 10).all()


@pytest.mark.parametrize(("scenario", "method", "least"), [
    ("inductive", "pmi", 0.71), ("inductive", "gain", 0.71), ("inductive", "gaussian", 0.79),
])  # fmt: skip
def test_the_real_run_reaches_what_is_known_to_be_reachable(rows, scenario, method, least):
    scores = summaries.score_table(rows)
    keep = (scores["scenario"] == scenario) & (scores["training_rows"] == "complete")
    assert scores[keep].set_index("method").loc[method, "mean"] >= least


def test_pmi_does_not_collapse_in_place(rows):
    scores = summaries.score_table(rows[rows["scenario"] == "in_place"]).set_index("method")["mean"]
    assert scores["pmi"] > scores[["knn_1", "knn_5", "knn_10"]].max()


def test_the_frontier_and_its_advice_are_those_of_the_trials(folder, tmp_path):
    name = "14_beyond_the_paper"
    if not (folder / f"{name}.parquet").exists():
        pytest.skip("no committed run of notebook 14")
    table = frontier_tables.frontier_table(pd.read_parquet(folder / f"{name}.parquet"))
    by_rate = frontier_tables.rate_table(pd.read_parquet(folder / f"{name}-rates.parquet"))
    computed = {name: table, f"{name}-advice": frontier_tables.advice_table(table), f"{name}-rates": by_rate}
    for key, value in computed.items():
        again = pd.read_csv(summaries.write_table(value, tmp_path, key))
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{key}.csv"), again, rtol=1e-5)
