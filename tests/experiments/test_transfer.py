"""Transfer trials: who is in which group, what is hidden, whose rows a method may see, and that nothing runs twice."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from reproduce.errors import ConfigError
from reproduce.experiments import ResultsStore, transfer
from reproduce.experiments.grid import TrialsFailedError
from reproduce.loaders.study import Study

GENES = [f"G{i}" for i in range(6)]
SETS = {"LUAD": [("GTEx",), ("GTEx", "COADREAD")]}


def cohort(name, n, tissues, seed):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 2))
    X = np.exp(latent @ np.random.default_rng(9).normal(size=(2, 6)) + 0.4 * rng.normal(size=(n, 6)) + 5)
    obs = pd.DataFrame(
        {"donor": [f"{name}-{i}" for i in range(n)], "tissue": np.resize(tissues, n), "cohort": name},
        index=[f"{name}-{i}-s" for i in range(n)],
    )
    return AnnData(X.astype(np.float32), obs=obs, var=pd.DataFrame(index=GENES))


@pytest.fixture(scope="module")
def study():
    cohorts = {"GTEx": cohort("G", 40, ["Lung", "Colon"], 0), "LUAD": cohort("L", 33, ["Lung"], 1)}
    cohorts["COADREAD"] = cohort("C", 25, ["Colon"], 2)
    return transfer.transfer_study(Study("made", "Made", cohorts, False, (), "f" * 12))


@pytest.fixture
def plan():
    return transfer.transfer_plan(SETS, n_seeds=2, preset="smoke", sizes=(10, None))


def trial(plan, arm, n, seed=0, references=None):
    return next(
        p for p in plan
        if p.arm == arm and p.n_patients == n and p.trial.seed == seed and references in (None, p.references)
    )  # fmt: skip


def test_the_plan_holds_every_arm_once(plan):
    assert len(plan) == 2 * 2 * (1 + 2 * 2) == len({p.trial.trial_id("f") for p in plan})
    assert {p.trial.scenario for p in plan} == {"in_place"}
    whole = transfer.transfer_plan(n_seeds=5, preset="full")
    assert {p.trial.test for p in whole} == {"LUAD", "COADREAD"}
    assert {p.references for p in whole if p.trial.test == "COADREAD"} == {(), ("GTEx",), ("LUAD",), ("GTEx", "LUAD")}
    assert {p.n_patients for p in whole} == {10, 20, 50, 100, 200, None}
    for bad in ({"n_seeds": 0}, {"sizes": (1,)}, {"sizes": (True,)}):
        with pytest.raises(ConfigError):
            transfer.transfer_plan(SETS, **{"n_seeds": 1, "preset": "smoke"} | bad)


def test_groups_are_disjoint_of_one_size_and_drawn_by_seed():
    groups = transfer.patient_groups(33, 10, 0)
    assert [len(g) for g in groups] == [10, 10, 10] and len(np.unique(np.concatenate(groups))) == 30
    assert not np.array_equal(groups[0], transfer.patient_groups(33, 10, 1)[0])
    np.testing.assert_array_equal(transfer.patient_groups(33, None, 0)[0], np.arange(33))
    with pytest.raises(ConfigError, match="33 samples, fewer than a group of 34"):
        transfer.patient_groups(33, 34, 0)


def test_every_arm_meets_the_same_holes_alone_in_its_group_and_no_gene_is_quite_unseen(study, plan):
    seen = {}

    def watch(name):
        def fill(visible, references, seed):
            seen.setdefault(name, []).append(visible)
            assert len(visible) == 10 and visible.notna().any().all()
            return visible.fillna(visible.mean()).to_numpy()

        return fill

    for arm in transfer.ARMS:
        each = trial(plan, arm, 10)
        transfer.score_groups(watch(arm), study, each.trial, each.references, each.n_patients)
    for arm in transfer.ARMS[1:]:
        for one, other in zip(seen[arm], seen[transfer.TARGET_ONLY], strict=True):
            pd.testing.assert_frame_equal(one, other)
    names = [name for frame in seen[transfer.TRANSFER] for name in frame.index]
    assert len(set(names)) == 30


def test_any_imputer_can_be_scored_and_the_truth_scores_one(study, plan):
    each = trial(plan, transfer.TARGET_ONLY, None)
    truth = np.log1p(study.cohorts["LUAD"].to_df().astype(float))
    scores = transfer.score_groups(lambda v, r, s: truth.loc[v.index].to_numpy(), study, each.trial, (), None)
    overall = scores[(scores["level"] == "overall") & (scores["metric"] == "r2")]
    assert overall["value"].item() == pytest.approx(1)
    means = transfer.score_groups(lambda v, r, s: v.fillna(v.mean()).to_numpy(), study, each.trial, (), None)
    assert means.set_index(["level", "metric", "group"]).loc[("overall", "r2", "all"), "value"] < 0.05


def test_each_tissue_is_a_reference_and_no_patient_of_the_target_is_in_one(study, plan):
    each = trial(plan, transfer.TRANSFER, 10)
    frames = transfer.references_of(study, each.trial, ("GTEx", "COADREAD"))
    assert {name: len(frame) for name, frame in frames.items()} == {"GTEx Colon": 20, "GTEx Lung": 20, "COADREAD": 25}
    assert list(transfer.references_of(study, each.trial, ("GTEx/Lung",))) == ["GTEx Lung"]
    shared = study.cohorts["COADREAD"].copy()
    shared.obs["donor"] = ["L-0", "L-1", *shared.obs["donor"].iloc[2:]]
    frames = transfer.references_of(study.with_cohort("COADREAD", shared, "shared"), each.trial, ("COADREAD",))
    assert len(frames["COADREAD"]) == 23
    for name, message in (("LUAD", "its own reference"), ("KIRC", "no cohort"), ("GTEx/Skin", "no tissue 'Skin'")):
        with pytest.raises(ConfigError, match=message):
            transfer.references_of(study, each.trial, (name,))


def test_normals_of_the_own_tissue(study):
    assert transfer.normal_reference_sets(study, "GTEx") == {"LUAD": [("GTEx/Lung",)], "COADREAD": [("GTEx/Colon",)]}
    with pytest.raises(ConfigError, match="no cohort 'Normal'"):
        transfer.normal_reference_sets(study)


def test_a_run_is_stored_resumed_and_the_same_in_workers(study, plan, tmp_path, monkeypatch):
    plan = [p for p in plan if p.n_patients is None and p.trial.seed == 0]
    rows = transfer.run_transfer(plan, study, ResultsStore(tmp_path / "one"))
    assert rows["trial_id"].nunique() == len(plan) and (rows["status"] == "ok").all()
    few = [p for p in plan if p.references == ("GTEx",)]
    parallel = transfer.run_transfer(few, study, ResultsStore(tmp_path / "two"), n_jobs=2)
    ids = parallel["trial_id"].unique()
    pd.testing.assert_series_equal(
        parallel["value"], rows[rows["trial_id"].isin(ids)].reset_index(drop=True)["value"], rtol=1e-6
    )
    monkeypatch.setattr(ResultsStore, "write", lambda *_: pytest.fail("ran again"))
    again = transfer.run_transfer(plan, study, ResultsStore(tmp_path / "one"))
    pd.testing.assert_frame_equal(again, rows)


def test_a_failed_trial_is_told_when_the_others_are_stored(study, tmp_path):
    plan = transfer.transfer_plan({"LUAD": []}, n_seeds=1, preset="smoke", sizes=(30, 90))
    store = ResultsStore(tmp_path)
    with pytest.raises(TrialsFailedError, match="fewer than a group of 90"):
        transfer.run_transfer(plan, study, store)
    assert [store.done(p.trial.trial_id(study.fingerprint)) for p in plan] == [True, False]
