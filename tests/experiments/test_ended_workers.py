"""Work whose process is ended by the system, as for want of memory: it stops nothing else, and what it had is kept."""

import os
import signal

import anndata
import numpy as np
import pandas as pd
import pytest

from reproduce.experiments import ResultsStore, Trial, run_grid
from reproduce.experiments.grid import _Progress
from reproduce.experiments.workers import WorkerEndedError, in_workers
from reproduce.loaders.study import Study


@pytest.fixture
def work(tmp_path):
    """Gives a number, unless it ends its process: 2 always, 1 the first time only."""
    once = tmp_path / "once"

    def give(number):
        if number == 2 or (number == 1 and not once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [number]

    return give


@pytest.mark.slow
def test_what_ends_its_process_twice_is_given_up_and_all_else_is_done(work):
    with pytest.warns(RuntimeWarning, match="want of memory"):
        found = list(in_workers(work, range(6), 2, given_up=lambda number: [f"{number} given up"]))
    assert found[-1] == "2 given up" and sorted(found[:-1]) == [0, 1, 3, 4, 5]


@pytest.mark.slow
def test_without_word_on_what_is_given_up_the_end_is_an_error(work):
    found = []
    with pytest.warns(RuntimeWarning), pytest.raises(WorkerEndedError, match="1 of 2 pieces of work"):
        for number in in_workers(work, [2, 3], 2):
            found.append(number)
    assert found == [3]


def cohort(name, n_samples, n_genes):
    rng = np.random.default_rng(len(name))
    obs = pd.DataFrame(
        {
            "donor": [f"{name}-{i}" for i in range(n_samples)],
            "tissue": "Lung",
            "cohort": name,
            "condition": "normal",
            "sex": rng.choice(["female", "male"], n_samples),
            "age": rng.integers(20, 80, n_samples).astype(float),
        },
        index=[f"{name}-{i}-s" for i in range(n_samples)],
    )
    X = np.round(np.exp(4 + rng.normal(size=(n_samples, n_genes)))).astype(np.float32)
    return anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]))


def study_of(cohorts):
    return Study("made", "Made", cohorts, False, (), "f" * 12)


@pytest.mark.slow
def test_trials_that_share_a_fit_are_kept_up_to_the_one_that_ended_its_process(tmp_path):
    shared = [Trial("median", "inductive", 0, missing_rate=rate) for rate in (0.3, 0.5, 0.7)]
    others = [Trial("median", "inductive", seed, train="LUAD", test="LUAD") for seed in range(3)]
    store, here = ResultsStore(tmp_path), os.getpid()
    first = tmp_path / f"{shared[0].trial_id('f' * 12)}.rows.parquet"

    class Deadly(dict):
        def __getitem__(self, name):
            if name == "GTEx" and first.exists() and os.getpid() != here:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(name)

    cohorts = {name: cohort(name, 40, 6) for name in ("GTEx", "LUAD")}
    with pytest.warns(RuntimeWarning, match="were under way"):
        grid = run_grid([*shared, *others], study_of(Deadly(cohorts)), store, n_jobs=2, on_failure="return")
    by_trial = grid.rows.drop_duplicates("trial_id").set_index(["train", "missing_rate", "seed"])["status"]
    assert by_trial["GTEx"].tolist() == ["ok", "failed", "failed"] and set(by_trial["LUAD"]) == {"ok"}
    assert set(grid.failures["error"].str.contains("want of memory")) == {True}
    again = run_grid([*shared, *others], study_of(cohorts), store)
    assert again.n_run == 2 and set(again.rows["status"]) == {"ok"}


@pytest.mark.slow
def test_what_workers_share_in_mapped_memory_gives_the_same_rows(tmp_path):
    cohorts = {"GTEx": cohort("GTEx", 1_000, 300)}
    assert cohorts["GTEx"].X.nbytes > 2**20  # above this, joblib gives workers an array that cannot be written to
    trials = [
        Trial(method, scenario, 0, transform=transform)
        for method in ("median", "knn_1")
        for scenario in ("in_place", "inductive")
        for transform in ("raw", "log1p")
    ]
    one = run_grid(trials, study_of(cohorts), ResultsStore(tmp_path / "one")).rows
    two = run_grid(trials, study_of(cohorts), ResultsStore(tmp_path / "two"), n_jobs=2).rows
    times = ["fit_seconds", "impute_seconds"]
    pd.testing.assert_frame_equal(one.drop(columns=times), two.drop(columns=times))


def test_the_time_that_is_left_does_not_count_the_start_of_the_processes(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("reproduce.experiments.grid.time.monotonic", lambda: now[0])
    trials = [Trial("median", "in_place", seed) for seed in range(11)]
    lines = _Progress([[trial] for trial in trials], study_of({"GTEx": cohort("GTEx", 40, 6)}), 0, 2)
    first = lines._seconds_left(0.0)
    now[0] = 18.0
    lines.step(trials[0], failed=False)
    assert lines._seconds_left(18.0) == pytest.approx(first * 10 / 11)
    for seed in (1, 2):
        now[0] += 2.0
        lines.step(trials[seed], failed=False)
    assert lines._seconds_left(22.0) == pytest.approx(8 * 2.0)
    assert "about 3 min" not in capsys.readouterr().err
