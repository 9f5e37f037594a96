"""Trials run in a way of their own: the costliest first, each once, and a failure is a row beside the others."""

import pytest

from reproduce.experiments import ResultsStore, Trial, TrialResult, TrialsFailedError
from reproduce.experiments.companions import Companion, run_companions
from reproduce.experiments.trials import blank_result
from reproduce.experiments.workers import in_workers
from reproduce.loaders.study import Study

STUDY = Study("made", "Made", {}, False, (), "f" * 12)


def companion(seed, begun, *, broken=False, **values):
    trial = Trial("median", "in_place", seed)

    def run():
        begun.append(seed)
        if broken:
            raise ValueError("this one breaks")
        rows = blank_result(trial, STUDY, status="failed", error="").rows.assign(status="ok")
        return TrialResult(trial.trial_id(STUDY.fingerprint), rows, None)

    return Companion(trial, STUDY, run, **values)


def test_the_costliest_is_begun_first_read_in_order_and_run_once(tmp_path):
    begun, store = [], ResultsStore(tmp_path)
    plan = [companion(seed, begun, cost=cost) for seed, cost in ((0, 1.0), (1, 2.0), (2, 1.0))]
    assert list(run_companions(plan, store)["seed"]) == [0, 1, 2] and begun == [1, 0, 2]
    run_companions(plan, store)
    assert len(begun) == 3


def test_a_failure_is_told_when_the_others_are_stored_and_is_tried_again(tmp_path):
    begun, store = [], ResultsStore(tmp_path)
    plan = [companion(0, begun, broken=True, variant="own"), companion(1, begun)]
    for _ in range(2):
        with pytest.raises(TrialsFailedError, match="ValueError: this one breaks"):
            run_companions(plan, store)
    assert begun == [0, 1, 0]
    rows = store.read([each.trial_id for each in plan]).set_index("seed")
    assert rows["status"].to_dict() == {0: "failed", 1: "ok"} and rows.loc[0, "variant"] == "own"


def test_results_come_one_by_one_here_and_are_the_same_from_workers():
    begun = []

    def work(n):
        for i in range(n):
            begun.append(i)
            yield i

    assert next(in_workers(work, [2, 3], 1)) == 0 and begun == [0]  # the rest waits until this one is stored
    assert sorted(in_workers(range, [2, 3], 2)) == [0, 0, 1, 1, 2]
