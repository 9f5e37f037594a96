"""Trials are found in the folder and in the exports beside it; exports come again byte by byte and lose nothing."""

import dataclasses
import shutil
import types

import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.experiments import ResultsStore, Trial
from reproduce.experiments.trials import COLUMNS, TrialResult

STUDY = types.SimpleNamespace(fingerprint="abc")
TRIALS = [Trial(method, "inductive", seed) for method in ("median", "pmi", "gain") for seed in (0, 1)]


def id_of(trial):
    return trial.trial_id(STUDY.fingerprint)


def result(trial, *, status="ok", value=0.5):
    """What a method gave: two genes' scores and, for a network, a training curve."""
    fixed = {name: getattr(trial, name) for name in COLUMNS if hasattr(trial, name) and name != "trial_id"}
    fixed |= {"trial_id": id_of(trial), "status": status, "error": "", "fit_seconds": 0.1 + trial.seed}
    fixed |= {"metric": "r2", "level": "gene", "n_evaluated": 3}
    rows = pd.DataFrame({"group": ["B", "A"], "value": [value, value + 0.1]}).assign(**fixed)
    history = None
    if trial.method != "median":
        history = pd.DataFrame({"epoch": [1, 2], "step": [30, 60], "train_loss": [1.0, 0.5]})
        if trial.method == "gain":
            history["adversarial_loss"] = [0.7, 0.6]
        history = history.assign(validation_loss=0.9, trial_id=id_of(trial), method=trial.method, seed=trial.seed)
    return TrialResult(id_of(trial), rows.reindex(columns=list(COLUMNS)), history)


def fill(folder, trials=TRIALS, **kwargs):
    store = ResultsStore(folder / "trials")
    for trial in trials:
        store.write(result(trial, **kwargs))
    return store


@pytest.fixture
def clone(tmp_path):
    """A folder with the exports of a full run and of the part with one network, and no trials."""
    full = tmp_path / "full"
    store = fill(full)
    store.export(full / "02_all.parquet", TRIALS, STUDY)
    store.export(full / "03_part.parquet", TRIALS[:4], STUDY)
    shutil.copytree(full, tmp_path / "clone", ignore=shutil.ignore_patterns("trials"))
    return tmp_path / "clone"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_a_clone_finds_the_exported_trials(clone):
    store, full = ResultsStore(clone / "trials"), ResultsStore(clone.parent / "full" / "trials")
    ids = [id_of(trial) for trial in TRIALS]
    assert all(store.done(i) for i in ids) and not (clone / "trials").exists()
    pd.testing.assert_frame_equal(store.read(ids).sort_values(["trial_id", "group"], ignore_index=True),
                                  full.read(ids).sort_values(["trial_id", "group"], ignore_index=True))  # fmt: skip
    pd.testing.assert_frame_equal(store.read_histories(ids), full.read_histories(ids))
    # each trial once, though two exports hold some
    assert len(store.read(ids)) == 2 * len(ids) and len(store.read_histories(ids)) == 2 * 4


def test_an_export_written_from_itself_is_the_same_bytes(clone):
    before = contents(clone)
    assert set(before) == {"02_all.parquet", "02_all-training.parquet", "03_part.parquet", "03_part-training.parquet"}
    ResultsStore(clone / "trials").export(clone / "03_part.parquet", TRIALS[:4], STUDY)
    ResultsStore(clone / "trials").export(clone / "02_all.parquet", TRIALS[::-1], STUDY)
    assert contents(clone) == before


def test_what_was_run_here_and_what_was_exported_make_the_same_export(clone):
    before = contents(clone)
    (clone / "02_all.parquet").unlink()
    (clone / "02_all-training.parquet").unlink()
    store = ResultsStore(clone / "trials")
    missing = [trial for trial in TRIALS if not store.done(id_of(trial))]
    assert missing == TRIALS[4:]
    fill(clone, missing)
    store.export(clone / "02_all.parquet", TRIALS, STUDY)
    assert contents(clone) == before


@pytest.mark.parametrize("change", [{"preset": "full"}, {"missing_rate": 0.3}])
def test_another_trial_is_not_found(clone, change):
    assert not ResultsStore(clone / "trials").done(id_of(dataclasses.replace(TRIALS[0], **change)))
    assert not ResultsStore(clone / "trials").done(TRIALS[0].trial_id("other data"))


def test_a_network_without_its_curve_is_run_again(clone):
    store = ResultsStore(clone / "trials")
    curves = pd.read_parquet(clone / "02_all-training.parquet")
    (clone / "03_part.parquet").unlink()
    lost = id_of(TRIALS[2])
    curves[curves["trial_id"] != lost].to_parquet(clone / "02_all-training.parquet")
    assert [i for i in map(id_of, TRIALS) if not store.done(i)] == [lost]
    (clone / "02_all-training.parquet").unlink()
    done = [trial for trial in TRIALS if ResultsStore(clone / "trials").done(id_of(trial))]
    assert {trial.method for trial in done} == {"median"}


def test_failures_in_an_export_are_tried_again_and_those_here_never_hide_an_export(clone):
    failed = Trial("mice", "inductive", 0)
    store = fill(clone.parent / "other", [failed], status="failed")
    store.export(clone / "04_failed.parquet", [failed], STUDY)
    store = fill(clone, TRIALS[:1], status="failed")
    assert not store.done(id_of(failed)) and store.done(id_of(TRIALS[0]))
    assert set(store.read([id_of(TRIALS[0])])["status"]) == {"ok"}


def test_what_was_run_here_comes_first(clone):
    store = fill(clone, TRIALS[:1], value=0.25)
    assert set(store.read([id_of(TRIALS[0])])["value"]) == {0.25, 0.35}


def test_an_export_is_never_replaced_by_less(clone):
    before = contents(clone)
    with pytest.raises(DataFormatError, match="mice"):
        ResultsStore(clone / "trials").export(clone / "02_all.parquet", [*TRIALS, Trial("mice", "inductive", 0)], STUDY)
    assert contents(clone) == before


def test_exports_are_listed_once_and_without_their_rows(clone, monkeypatch):
    asked, read = [], pd.read_parquet
    monkeypatch.setattr(pd, "read_parquet", lambda path, **kwargs: asked.append(kwargs) or read(path, **kwargs))
    store = ResultsStore(clone / "trials")
    assert sum(store.done(id_of(trial)) for trial in TRIALS * 50) == 50 * len(TRIALS)
    assert len(asked) == 4 and all("value" not in kwargs["columns"] for kwargs in asked)


def test_an_export_replaced_meanwhile_is_named(clone):
    store = ResultsStore(clone / "trials")
    assert store.done(id_of(TRIALS[5]))
    fill(clone.parent / "other", TRIALS[:1]).export(clone / "02_all.parquet", TRIALS[:1], STUDY)
    with pytest.raises(DataFormatError, match="02_all"):
        store.read([id_of(TRIALS[5])])


def test_other_tables_beside_are_passed_over_and_a_damaged_one_is_named(clone):
    pd.DataFrame({"gene": ["A"]}).to_parquet(clone / "00_other.parquet")
    assert ResultsStore(clone / "trials").done(id_of(TRIALS[0]))
    (clone / "05_cut.parquet").write_bytes((clone / "02_all.parquet").read_bytes()[:500])
    with pytest.raises(DataFormatError, match="05_cut"):
        ResultsStore(clone / "trials").done(id_of(TRIALS[0]))


def test_exports_elsewhere_can_be_named(clone, tmp_path):
    assert not ResultsStore(tmp_path / "away" / "trials").done(id_of(TRIALS[0]))
    assert ResultsStore(tmp_path / "away" / "trials", exports=clone).done(id_of(TRIALS[0]))
