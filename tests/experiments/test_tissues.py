"""All tissues at once: which trials, which samples, and that blood is seen whole and never scored."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.experiments import ResultsStore
from reproduce.experiments.blood import blood_plan, blood_study, run_blood, seeing_blood
from reproduce.experiments.rows import prepare_rows
from reproduce.experiments.subsets import BLOOD, donors_with
from reproduce.experiments.tissues import embedding_trials, is_pooled, tissue_plan, tissue_study
from reproduce.experiments.trials import tidy_rows
from reproduce.loaders.study import Study
from reproduce.loaders.tissue_simulator import simulate_tissues

BUDGET = {"n_splits": 2, "network_epochs": 1, "preset": "smoke"}


@pytest.fixture(scope="module")
def study():
    simulated = simulate_tissues(0, genes=6, n_donors=60)
    return Study("embedded-tissues", "Tissues", {"GTEx": simulated.cohort}, False, (), "f" * 12, simulated.truth)


@pytest.fixture(scope="module")
def blood(study):
    return blood_study(study)


def test_all_methods_meet_the_same_balanced_splits():
    trials = tissue_plan(["median", "gaussian", "pmi"], oracle=True, **BUDGET)
    assert {t.scored_rows for t in trials} == {"tissue_balanced"} and {t.scenario for t in trials} == {"inductive"}
    assert sorted((t.method, is_pooled(t)) for t in trials if t.seed == 0) == [
        ("gaussian", False), ("gaussian", True), ("median", False), ("oracle", False), ("pmi", False),
    ]  # fmt: skip
    assert len(trials) == 2 * 5 == len(set(trials))
    assert [(t.method, t.seed) for t in embedding_trials(trials)] == [("pmi", 0), ("pmi", 1)]


def test_rare_tissues_are_left_out_and_said(study):
    kept = tissue_study(study, min_samples=20)
    sizes = kept.cohorts["GTEx"].obs["tissue"].value_counts()
    assert sizes[sizes > 0].min() >= 20 and kept.fingerprint != study.fingerprint
    assert "fewer than 20 samples" in kept.notes[-1]
    again, whole = tissue_study(study), study.cohorts["GTEx"]
    order = list(again.cohorts["GTEx"].obs_names)
    assert order != list(whole.obs_names) and set(order) == set(whole.obs_names)
    assert again.fingerprint == tissue_study(study).fingerprint
    np.testing.assert_array_equal(again.cohorts["GTEx"].X, whole[order].X)
    with pytest.raises(ConfigError, match="lower min_samples"):
        tissue_study(study, min_samples=10_000)


def test_only_donors_with_the_tissue_stay(study):
    obs, kept = study.cohorts["GTEx"].obs, donors_with(study, BLOOD).cohorts["GTEx"].obs
    assert set(kept["donor"]) == set(obs.loc[obs["tissue"] == BLOOD, "donor"]) < set(obs["donor"])
    with pytest.raises(ConfigError, match="Nail"):
        donors_with(study, "Nail")


def test_seeing_blood_whole_is_another_study(study, blood):
    assert len({study.fingerprint, donors_with(study).fingerprint, blood.fingerprint}) == 3
    trial = blood_plan(**BUDGET)[0]
    _, (target,) = prepare_rows(trial, blood)
    seen, is_blood = seeing_blood(target), (target.obs["tissue"] == BLOOD).to_numpy()
    assert is_blood.any() and np.isfinite(seen.visible[is_blood]).all() and np.isnan(target.visible[is_blood]).any()
    np.testing.assert_array_equal(seen.visible[~is_blood], target.visible[~is_blood])
    assert not seen.evaluation_mask[is_blood].any()


def test_blood_is_taken_as_it_is_and_is_not_scored(blood, tmp_path):
    trials = [trial for trial in blood_plan(**BUDGET) if trial.method != "pmi"]
    rows = run_blood(trials, blood, ResultsStore(tmp_path / "trials"))
    assert set(rows["method"]) == {"median", "surrogate"} and BLOOD not in set(rows["group"])

    # the oracle of this test: look up each hidden value in the same donor's blood
    trial = next(t for t in trials if t.method == "surrogate" and t.seed == 1)
    _, (target,) = prepare_rows(trial, blood)
    is_blood = (target.obs["tissue"] == BLOOD).to_numpy()
    of_donor = target.frame(target.truth)[is_blood].groupby(target.obs.loc[is_blood, "donor"].to_numpy()).mean()
    filled = of_donor.loc[target.obs["donor"][~is_blood]].to_numpy()
    truth, hidden = target.truth[~is_blood], target.evaluation_mask[~is_blood]
    centred = np.where(hidden, truth - (truth * hidden).sum(0) / hidden.sum(0), 0)
    r2 = 1 - (np.where(hidden, truth - filled, 0) ** 2).sum(0) / (centred**2).sum(0)
    overall = rows[(rows["level"] == "overall") & (rows["metric"] == "r2")].set_index(["method", "seed"])["value"]
    assert overall["surrogate", 1] == pytest.approx(r2.mean(), abs=1e-6)


def test_stored_blood_trials_are_not_run_again(blood, tmp_path):
    (trial,) = [t for t in blood_plan(**BUDGET) if t.method == "median" and t.seed == 0]
    store = ResultsStore(tmp_path / "trials")
    first = run_blood([trial], blood, store)
    path = next((tmp_path / "trials").glob("*.rows.parquet"))
    fake = tidy_rows(trial, blood, first.assign(value=7.0))
    fake.to_parquet(path, index=False)
    again = run_blood([trial], blood, store)
    assert (again["value"] == 7.0).all() and isinstance(again, pd.DataFrame)
