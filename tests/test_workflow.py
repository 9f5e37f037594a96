"""Batches hold what the notebooks will ask for, each trial once; run by Snakemake or not, they change no number."""

import contextlib
import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections import Counter

import nbformat
import pandas as pd
import pytest

from reproduce import cli
from reproduce.errors import ConfigError
from reproduce.experiments import NETWORKS, ResultsStore, Trial, batches, run_grid
from reproduce.experiments.costs import expected_seconds
from reproduce.experiments.tissues import POOLED, embedding_trials
from reproduce.loaders import study as study_module
from reproduce.runner import read_graph, read_preset, resolve_parameters

COSTLY = (*NETWORKS, "mice", "gaussian", "iterative_forest", "missforest_10", "missforest_100", "oracle")
SECONDS = ["fit_seconds", "impute_seconds"]


@pytest.fixture(scope="module")
def cached_studies():
    """Loading is most of these tests' time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "load_study", functools.cache(study_module.load_study))
        yield


@pytest.fixture(scope="module")
def given(repository, cached_studies):
    """By notebook all its parameters under the smoke preset."""
    graph = read_graph(repository / "notebooks")
    preset = read_preset(repository / "notebooks" / "presets" / "smoke.yaml")
    own = resolve_parameters(graph, ("smoke", preset), ("test", {"common": {"data": "embedded"}}))
    return {name: {**notebook.defaults, **own[name]} for name, notebook in graph.items()}


@pytest.fixture
def asked(monkeypatch):
    """Records the (fingerprint, trial) that notebooks hand to `run_grid`, and lets nothing be computed or drawn."""
    recorded = set()

    def record(trials, study, *_, give_up_hours=float("inf"), **__):
        chosen = [trial for trial in trials if expected_seconds(trial, study) <= give_up_hours * 3600]
        recorded.update((study.fingerprint, trial) for trial in chosen)

    def refuse(*_, **__):
        raise RuntimeError("nothing is drawn in this test")

    for module in ("", ".paper_tables", ".genome"):
        monkeypatch.setattr(f"reproduce.experiments{module}.run_grid", record)
    elsewhere = ["blood.run_blood", "intervals.run_intervals", "transfer.run_transfer", "downstream.run_downstream"]
    for name in (*elsewhere, "embeddings.tissue_vectors"):
        monkeypatch.setattr(f"reproduce.experiments.{name}", lambda *_, **__: None)
    monkeypatch.setattr("reproduce.plots.new_figure", refuse)
    return recorded


@pytest.mark.parametrize("name", batches.PLANS)
def test_a_plan_lists_what_its_notebook_asks_for(name, given, asked, repository, tmp_path):
    notebook = nbformat.read(repository / "notebooks" / f"{name}.ipynb", as_version=4)
    folders = {"results_folder": str(tmp_path), "figures_folder": str(tmp_path)}
    namespace = given[name] | folders
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.tags:
            with contextlib.suppress(Exception):  # what shows results fails, since there are none
                exec(cell.source, namespace)
    planned = batches.PLANS[name](given[name], batches.StudySource.load)
    listed = {(source.load().fingerprint, trial) for source, trials in planned for trial in trials}
    assert listed and listed == {(data, trial) for data, trial in asked if trial not in left_out(name, asked)}


def left_out(name, asked):
    """Networks that notebook 08 fits itself, for their vectors."""
    return embedding_trials(trial for _, trial in asked) if name.startswith("08") else []


@pytest.mark.parametrize("batch_seconds", [5.0, 1e9])
def test_each_trial_is_in_one_batch_with_those_that_share_its_fit(given, tmp_path, batch_seconds):
    listed = batches.list_batches(given, ResultsStore(tmp_path / "trials"), batch_seconds=batch_seconds)
    ids = Counter(trial_id for batch in listed for trial_id in batch.trial_ids)
    wanted = {
        trial.trial_id(source.load().fingerprint)
        for name, plan in batches.PLANS.items()
        for source, trials in plan(given[name], batches.StudySource.load)
        for trial in trials
    }
    assert set(ids) == wanted and set(ids.values()) == {1}
    fits = {(batch.fingerprint, t.fit_key, batch.name) for batch in listed for t in batch.trials if not in_place(t)}
    assert len(fits) == len({(data, key) for data, key, _ in fits})
    for batch in listed:
        assert batch.seconds <= batch_seconds or len({t if in_place(t) else t.fit_key for t in batch.trials}) == 1
    assert len({batch.name for batch in listed}) == len(listed)
    assert len(listed) == len({batch.fingerprint for batch in listed}) or batch_seconds < 1e9


def in_place(trial):
    return trial.scenario == "in_place"


@pytest.fixture
def batch(cached_studies):
    source = batches.StudySource("embedded")
    trials = [Trial("median", "in_place", 0), Trial("knn_5", "inductive", 1), Trial("median", "inductive", 0)]
    trials.insert(1, Trial("gaussian", "inductive", 1, missing_rate=0.2, hyperparameters=POOLED))
    return batches.Batch(source, source.load().fingerprint, tuple(trials), seconds=4.0, megabytes=1500)


def test_a_batch_comes_back_from_its_file_unless_the_code_is_another(batch, tmp_path):
    path = batches.write_batches([batch], tmp_path / "batches.json")
    assert batches.read_batch(path, batch.name) == batch
    with pytest.raises(ConfigError, match="has no batch"):
        batches.read_batch(path, "pmi-0")
    path.write_text(path.read_text().replace('"missing_rate": 0.2', '"missing_rate": 0.3'))
    with pytest.raises(ConfigError, match="code has changed"):
        batches.read_batch(path, batch.name)


def test_batches_give_the_numbers_of_one_grid_and_what_is_stored_is_left_out(batch, given, tmp_path):
    name = "02_in_place_imputation"
    few = dict.fromkeys(COSTLY, 0)
    own = {name: given[name] | {"n_splits": 1, "n_splits_by_method": few}}
    store = ResultsStore(tmp_path / "trials")
    listed = batches.list_batches(own, store, batch_seconds=0.5)
    trials, study = [trial for batch in listed for trial in batch.trials], batch.source.load()
    assert len(listed) > 2
    batches.run_batch(listed[0], store)
    left = batches.list_batches(own, store, batch_seconds=0.5)
    assert sorted(i for b in left for i in b.trial_ids) == sorted(i for b in listed[1:] for i in b.trial_ids)
    for other in left:
        batches.run_batch(other, store)
    assert not batches.list_batches(own, store)
    alone = run_grid(trials, study, ResultsStore(tmp_path / "alone" / "trials"), progress=False)
    ids = [trial.trial_id(study.fingerprint) for trial in trials]
    pd.testing.assert_frame_equal(store.read(ids).drop(columns=SECONDS), alone.rows.drop(columns=SECONDS))


def test_a_failed_trial_is_kept_and_does_not_stop_its_batch(batch, tmp_path):
    bad = Trial("median", "inductive", 0, hyperparameters={"no_such": 1})
    with_bad = batches.Batch(batch.source, batch.fingerprint, (bad, *batch.trials), 4.0, 1500)
    grid = batches.run_batch(with_bad, ResultsStore(tmp_path / "trials"))
    assert list(grid.failures["trial_id"]) == [bad.trial_id(batch.fingerprint)]
    assert set(grid.rows["trial_id"]) == set(with_bad.trial_ids)


def test_a_batch_refuses_other_data(batch, tmp_path):
    other = batches.Batch(batch.source, "another", batch.trials, 4.0, 1500)
    with pytest.raises(ConfigError, match="other data"):
        batches.run_batch(other, ResultsStore(tmp_path / "trials"))


def test_the_command_line_lists_and_runs_batches_on_one_thread(given, tmp_path, monkeypatch, capsys):
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA"):
        monkeypatch.setenv(f"{name}_NUM_THREADS", "2")
    for name in ("INTRAOP", "INTEROP"):
        monkeypatch.setenv(f"TF_NUM_{name}_THREADS", "2")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    listing, build = tmp_path / "batches.json", tmp_path / "build"
    study = ["--preset", "smoke", "--data", "embedded", "--build", str(build), "--only", "02"]
    few = ["-p", "n_splits", "1", "-p", "n_splits_by_method", json.dumps(dict.fromkeys(COSTLY, 0))]
    assert cli.main(["batches", str(listing), *study, *few]) == 0
    (batch,) = json.loads(listing.read_text())["batches"]
    assert cli.main(["batch", str(listing), batch["name"], "--results", str(build / "results")]) == 0
    assert "5 trials run, 0 of them failed" in capsys.readouterr().out
    assert os.environ["OMP_NUM_THREADS"] == os.environ["TF_NUM_INTRAOP_THREADS"] == "1"
    assert cli.main(["batches", str(listing), *study, *few]) == 0
    assert json.loads(listing.read_text())["batches"] == []


WITH_SNAKEMAKE = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="snakemake is not installed (extra workflow)"
)


@pytest.fixture
def snakemake(repository, tmp_path):
    """Runs the workflow's target with these settings."""

    def run(target, *settings, options=("--cores", "2")):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "workflow" / "Snakefile"), target]
        command += [*options, "--config", f"build={tmp_path}", *settings]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


@pytest.mark.slow
@WITH_SNAKEMAKE
def test_snakemake_stores_what_one_grid_gives_and_has_nothing_to_do_afterwards(snakemake, tmp_path):
    parameters = {"n_splits": 1, "n_splits_by_method": dict.fromkeys(COSTLY, 0)}
    settings = ["preset=smoke", "only=02", "batch_minutes=0.02", f"parameters={json.dumps(parameters)}"]
    first = snakemake("trials", *settings)
    assert first.returncode == 0, first.stderr
    listing = tmp_path / "batches.json"
    listed = [batches.read_batch(listing, batch["name"]) for batch in json.loads(listing.read_text())["batches"]]
    assert len(listed) > 1
    trials, study = [trial for batch in listed for trial in batch.trials], listed[0].source.load()
    stored = ResultsStore(tmp_path / "results" / "trials").read()
    alone = run_grid(trials, study, ResultsStore(tmp_path / "alone" / "trials"), progress=False).rows
    keys = ["trial_id", "metric", "level", "group"]
    stored, alone = (
        rows.drop(columns=[*SECONDS, "version"]).sort_values(keys, ignore_index=True) for rows in (stored, alone)
    )
    pd.testing.assert_frame_equal(stored, alone)
    again = snakemake("trials", *settings)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
@WITH_SNAKEMAKE
@pytest.mark.parametrize(
    "settings, told",
    [
        (["presett=smoke"], "no setting 'presett'; its settings are preset, data"),
        (["preset=smok"], "preset=smok; the presets are alzheimer, full,"),
    ],
)
def test_snakemake_is_told_no_setting_that_there_is_not(snakemake, settings, told):
    run = snakemake("study", *settings, options=("--dry-run",))
    assert run.returncode != 0 and told in run.stdout + run.stderr
