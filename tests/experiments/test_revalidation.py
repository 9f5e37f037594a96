"""Stored trials are carried over only where today's code gives the same numbers, and nothing stored is ever lost."""

import json
import shutil
import types

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from reproduce import cli
from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import ResultsStore, Trial, older_trials, revalidation, run_grid, trials
from reproduce.experiments.older_trials import draw_sample, find_stored, id_by_code
from reproduce.experiments.revalidation import finish_interrupted, revalidate, score_differences, scores_and_curve
from reproduce.experiments.store import NOTE
from reproduce.experiments.trials import COLUMNS
from reproduce.imputers.knn import KNNImputer

OLD, NEW = "0ld000000000", "4e0000000000"  # the new one reads as a number
GENES = [f"G{i}" for i in range(6)]
HISTORY = types.SimpleNamespace(fingerprints=lambda module: {NEW: "c2" * 20, OLD: "c1" * 20})
PLAN = [
    Trial(method, scenario, seed, missing_rate=rate)
    for method in ("median", "knn_5")
    for scenario in ("inductive", "in_place")
    for rate in (0.3, 0.5)
    for seed in range(3)
]


def by_code(monkeypatch, fingerprint):
    for module in (trials, older_trials):
        monkeypatch.setattr(module, "code_fingerprint", lambda name: fingerprint)


@pytest.fixture(scope="module")
def study():
    rng, n = np.random.default_rng(0), 40
    obs = pd.DataFrame(
        {"donor": [f"d{i}" for i in range(n)], "tissue": ["Lung", "Colon"] * (n // 2), "sex": "female", "age": 50.0},
        index=[f"s{i}" for i in range(n)],
    )
    X = np.round(np.exp(4 + rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, 6)))).astype(np.float32)
    cohort = anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=GENES))
    return types.SimpleNamespace(name="tiny", cohorts={"GTEx": cohort}, fingerprint="abc", is_real=False)


@pytest.fixture(scope="module")
def of_old_code(tmp_path_factory, study):
    folder = tmp_path_factory.mktemp("old") / "trials"
    with pytest.MonkeyPatch.context() as patch:
        by_code(patch, OLD)
        run_grid(PLAN, study, ResultsStore(folder), progress=False)
    return folder


@pytest.fixture
def results(tmp_path, of_old_code, monkeypatch):
    """A results folder with all trials of the plan, by older code; today's is other code."""
    shutil.copytree(of_old_code, tmp_path / "trials")
    by_code(monkeypatch, NEW)
    return tmp_path


def found_in(results, study, plan=PLAN, **options):
    options = {"sample": 2, **options}
    return find_stored([(study, trial) for trial in plan], ResultsStore(results / "trials"), HISTORY, **options)


def carry(results, study, **options):
    said = []
    found, store = found_in(results, study), ResultsStore(results / "trials")
    return revalidate(found.carryings, store, results, say=said.append, **options), "\n".join(said)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.fixture
def last_bit(monkeypatch):
    """Nearest neighbours whose values of one gene are the next larger numbers."""
    right = KNNImputer.transform

    def transform(self, X, **kwargs):
        filled = right(self, X, **kwargs)
        hidden = X["G2"].isna().to_numpy()
        filled[hidden, 2] = np.nextafter(filled[hidden, 2], np.inf)
        return filled

    monkeypatch.setattr(KNNImputer, "transform", transform)


def test_an_id_is_that_of_the_trial_itself():
    for trial in (PLAN[0], Trial("pmi", "inductive", np.int64(3), hyperparameters={"epochs": 9, "units": [4, 2]}),
                  Trial("oracle", "cross_cohort", 0, test="LUAD+COADREAD")):  # fmt: skip
        assert id_by_code(trial, trials.code_fingerprint(trial._module), "abc") == trial.trial_id("abc")


def test_equal_scores_carry_all_trials_over_with_their_provenance(results, study):
    before, old = contents(results / "trials"), ResultsStore(results / "trials").read()
    agreed, _ = carry(results, study)
    store = ResultsStore(results / "trials")
    ids = [trial.trial_id("abc") for trial in PLAN]
    assert agreed and all(store.done(i) for i in ids)
    after = contents(results / "trials")
    assert {name: after[name] for name in before} == before and len(after) == 2 * len(before)
    # the rows, seconds included, are the stored ones
    back = {trial.trial_id("abc"): id_by_code(trial, OLD, "abc") for trial in PLAN}
    new = store.read(ids)
    new["trial_id"] = new["trial_id"].map(back)
    keys = ["trial_id", "level", "group", "metric"]
    pd.testing.assert_frame_equal(new.sort_values(keys, ignore_index=True), old.sort_values(keys, ignore_index=True))
    table = pd.read_csv(results / "revalidated.csv", dtype=str)
    assert set(table["method"]) == {"median", "knn_5"} and set(table["n_carried"]) == {"12"}
    assert set(table["old_fingerprint"]) == {OLD} and set(table["new_fingerprint"]) == {NEW}
    assert set(table["largest_difference"]) == {"0.0"}
    note = pq.read_schema(results / "trials" / f"{ids[0]}.rows.parquet").metadata[NOTE]
    assert json.loads(note) == table[table["method"] == "median"].iloc[0].to_dict() | {
        "n_recomputed": int(table["n_recomputed"][0]), "n_carried": 12, "largest_difference": 0.0
    }  # fmt: skip
    assert not list((results / "trials" / "revalidation").iterdir())
    again = found_in(results, study)
    assert again.n_present == len(PLAN) and not again.carryings


def test_a_last_bit_of_one_gene_is_found_named_and_carries_nothing(results, study, last_bit):
    agreed, said = carry(results, study)
    store = ResultsStore(results / "trials")
    done = {trial.method for trial in PLAN if store.done(trial.trial_id("abc"))}
    assert not agreed and done == {"median"}
    assert "knn_5, inductive" in said and "G2" in said and "DIFFER" in said
    assert set(pd.read_csv(results / "revalidated.csv")["method"]) == {"median"}
    # what was run again is not run a second time, and a tolerance must be asked for
    agreed, said = carry(results, study, tolerance=1e-12)
    table = pd.read_csv(results / "revalidated.csv").set_index("method")
    assert agreed and 0 < table.loc["knn_5", "largest_difference"] < 1e-12


def test_a_failure_by_todays_code_is_a_difference(results, study, monkeypatch):
    monkeypatch.setattr(KNNImputer, "fit", lambda self, X, y=None, **kwargs: 1 / 0)
    agreed, said = carry(results, study)
    assert not agreed and "fails by today's code: ZeroDivisionError" in said


def test_every_kind_is_sampled_every_setting_is_seen_and_chance_decides(results, study):
    varied = [Trial("knn_5", "inductive", 0, transform="raw"), Trial("knn_5", "inductive", 1, covariates=())]
    with pytest.MonkeyPatch.context() as patch:
        by_code(patch, OLD)
        run_grid(varied, study, ResultsStore(results / "trials"), progress=False)
    carryings = {c.method: c for c in found_in(results, study, PLAN + varied, sample=1).carryings}
    drawn = [each.trial for each in carryings["knn_5"].sample]
    assert {t.scenario for t in drawn} == {"inductive", "in_place"} and {t.missing_rate for t in drawn} == {0.3, 0.5}
    assert set(varied) <= set(drawn) and len(drawn) <= 5
    stored = carryings["median"].trials
    chosen = [{each.old_id for each in draw_sample(stored[::way], 2, seed)} for way, seed in ((1, 0), (-1, 0), (1, 1))]
    assert chosen[0] == chosen[1] != chosen[2] and all(len(ids) >= 4 for ids in chosen)
    assert len(draw_sample(stored, 99, 0)) == len(stored)


def test_an_interrupted_carrying_over_is_finished_without_running_anything(results, study, monkeypatch):
    monkeypatch.setattr(revalidation, "_TRIALS_AT_A_TIME", 5)
    right, calls = ResultsStore.keep_also_as, []

    def interrupted(self, new_ids, note):
        calls.append(new_ids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        right(self, new_ids, note)

    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "keep_also_as", interrupted)
        with pytest.raises(KeyboardInterrupt):
            carry(results, study)
    assert not (results / "revalidated.csv").exists()
    monkeypatch.setattr(revalidation, "run_grid", lambda *args, **kwargs: pytest.fail("ran again"))
    store = ResultsStore(results / "trials")
    assert finish_interrupted(store, results) == 1 and finish_interrupted(store, results) == 0
    table = pd.read_csv(results / "revalidated.csv")
    assert list(table["n_carried"]) == [12] and found_in(results, study).n_present == 12


def test_an_interrupted_sample_is_gone_on_with(results, study, monkeypatch):
    right, run = ResultsStore.write, []

    def write(self, result):
        right(self, result)
        run.append(result.trial_id)
        if len(run) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ResultsStore, "write", write)
    with pytest.raises(KeyboardInterrupt):
        carry(results, study)
    agreed, _ = carry(results, study)
    assert agreed and len(run) == len(set(run))  # none twice


def test_a_clone_that_has_exports_alone_is_carried_over(results, study, tmp_path_factory, monkeypatch):
    clone = tmp_path_factory.mktemp("clone")
    with pytest.MonkeyPatch.context() as patch:
        by_code(patch, OLD)
        ResultsStore(results / "trials").export(clone / "02_all.parquet", PLAN, study)
    assert carry(clone, study)[0]
    rows = ResultsStore(clone / "trials").read([trial.trial_id("abc") for trial in PLAN])
    assert list(rows) == list(COLUMNS) and rows["trial_id"].nunique() == len(PLAN)


def test_training_curves_are_compared_and_carried_over(tmp_path):
    store = ResultsStore(tmp_path / "trials")
    rows = pd.DataFrame({"test": "GTEx", "level": "overall", "group": "all", "metric": ["r2"], "value": 0.5,
                         "n_evaluated": 9, "status": "ok", "trial_id": "a", "method": "pmi"})  # fmt: skip
    curve = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_loss": np.nan, "trial_id": "a",
                          "method": "pmi", "seed": 0})  # fmt: skip
    store.write(trials.TrialResult("a", rows, curve))
    store.keep_also_as({"a": "b"}, "why")
    kept = store.read_histories(["b"])
    assert list(kept["trial_id"]) == ["b", "b"] and list(kept["train_loss"]) == [1.0, 0.5]
    one = scores_and_curve(store.read(["a"]), store.read_histories(["a"]))
    assert score_differences(one, scores_and_curve(store.read(["b"]), kept))["difference"].eq(0).all()
    shorter = score_differences(one, scores_and_curve(rows, curve.iloc[:1]))
    assert shorter.loc[shorter["group"] == "epoch 2", "difference"].tolist() == [np.inf]
    with pytest.raises(DataFormatError, match="no result of trial c"):
        store.keep_also_as({"c": "d"}, "why")


def test_undefined_equal_only_undefined_and_counts_matter():
    base = pd.DataFrame({"test": "t", "level": "gene", "group": list("ABCD"), "metric": "r2",
                         "value": [np.nan, 1.0, np.nan, 2.0], "n_evaluated": 3})  # fmt: skip
    other = base.assign(value=[np.nan, np.nextafter(1.0, 2), 0.1, 2.0], n_evaluated=[3, 3, 3, 4])
    difference = score_differences(base, other)["difference"]
    assert difference[0] == 0 and 0 < difference[1] < 1e-15 and np.isinf(difference[2:]).all()


@pytest.fixture
def command(results, study, monkeypatch):
    monkeypatch.setattr(cli, "_given", lambda options: ({}, {}, study))
    monkeypatch.setattr(older_trials, "planned_trials", lambda given: [(study, trial) for trial in PLAN])
    monkeypatch.setattr("reproduce.experiments.code_history.CodeHistory", lambda folder, since: HISTORY)
    return ["revalidate", "--results", str(results), "--build", str(results)]


def test_the_command_estimates_without_running_and_exits_by_what_it_finds(command, results, last_bit, capsys):
    before = contents(results / "trials")
    assert cli.main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "24 by older code" in said and "of 12 to run again" in said and "on one core" in said
    assert contents(results / "trials") == before and not (results / "trials" / "revalidation").exists()
    assert cli.main([*command, "--method", "median", "--sample", "1"]) == 0
    assert cli.main([*command]) == 1
    assert cli.main([*command, "--method", "nonsense"]) == 2
    assert cli.main([*command, "--sample", "0"]) == 2
    assert cli.main([*command, "--tolerance", "-1"]) == 2


def test_arguments_out_of_range(results, study):
    with pytest.raises(ConfigError, match="sample"):
        found_in(results, study, sample=0)
    with pytest.raises(ConfigError, match="No trial of 'pmi'"):
        found_in(results, study, methods=["pmi"])
