"""Coverage is counted right, the right distribution is scored under its own identity, and nothing is run twice."""

import numpy as np
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import ResultsStore, intervals
from reproduce.experiments.grid import TrialsFailedError
from reproduce.experiments.intervals import CONFORMAL, OWN, IntervalTrial
from reproduce.experiments.trials import COLUMNS, Trial
from reproduce.loaders.study import load_study


@pytest.fixture(scope="module")
def study():
    return load_study("embedded", gene_set="p53")


def plan(own=("gaussian",), conformal=("gaussian", "knn_10"), **changes):
    values = {"n_splits": 1, "network_epochs": 1, "preset": "smoke", "missing_rates": (0.5,), "n_folds": 2}
    return intervals.interval_plan(own, conformal, **{**values, "scenarios": ("inductive",), **changes})


def values(scores, metric, level="overall"):
    return scores[(scores["metric"] == metric) & (scores["level"] == level)].set_index("group")["value"]


def test_scores_are_what_they_are_called():
    truth = np.array([[0.0, 0.0], [1.0, 10.0], [4.0, 20.0]])
    hidden = np.array([[True, False], [True, True], [True, True]])
    sd = np.array([[1.0, 1.0], [2.0, 10.0], [4.0, 20.0]])
    bounds = {0.5: (np.full((3, 2), -1.0), np.full((3, 2), 11.0)), 0.8: (truth + 0.5, truth + 1.5)}
    unit, tissues = np.array([1.0, 10.0]), np.array(["lung", "lung", "colon"])
    scores = intervals.interval_scores(
        truth, np.zeros((3, 2)), sd, bounds, hidden, unit=unit, tissues=tissues, genes=["A", "B"]
    )
    assert values(scores, "coverage_50")["all"] == pytest.approx(4 / 5)  # 20 lies outside
    assert values(scores, "coverage_80")["all"] == 0
    assert dict(values(scores, "coverage_50", "gene")) == {"A": 1.0, "B": 0.5}
    assert dict(values(scores, "coverage_50", "tissue")) == {"lung": 1.0, "colon": 0.5}
    assert dict(values(scores, "width_80", "gene")) == {"A": pytest.approx(1.0), "B": pytest.approx(0.1)}
    # below the interval by 0.5: width 1 + 2 / 0.2 · 0.5
    assert values(scores, "interval_score_80", "gene")["A"] == pytest.approx(1 + 10 * 0.5)
    # errors 0, 1, 4 and 1, 2 in sd against predicted 1, 2, 4 and 1, 2
    expected = np.corrcoef([0, 1, 4, 1, 2], [1, 2, 4, 1, 2])[0, 1]
    assert values(scores, intervals.CORRELATION)["all"] == pytest.approx(expected)
    assert set(scores["n_evaluated"][scores["level"] == "overall"]) == {5}


def test_the_plan_holds_each_method_rate_and_split_with_shared_fits_together():
    planned = plan(missing_rates=(0.2, 0.7), n_splits=2)
    assert len(planned) == 3 * 2 * 2 == len(set(planned))
    keys = [(p.source, p.trial.fit_key) for p in planned]
    assert all(keys[i] == keys[i + 1] for i in range(0, len(keys), 2))
    with pytest.raises(ConfigError, match="n_folds"):
        IntervalTrial(planned[0].trial, CONFORMAL)
    with pytest.raises(ConfigError, match="like the fitted ones"):
        IntervalTrial(Trial("gaussian", "cross_cohort", 0, test="LUAD"), OWN)


def test_trials_are_stored_under_identities_of_their_own_and_run_once(study, tmp_path, monkeypatch):
    store, planned = ResultsStore(tmp_path / "trials"), plan()
    rows = intervals.run_intervals(planned, study, store)
    assert list(rows.columns) == list(COLUMNS) and set(rows["status"]) == {"ok"}
    ids = {p.trial_id(study) for p in planned}
    assert len(ids) == 3 and planned[0].trial.trial_id(study.fingerprint) not in ids
    assert set(rows["trial_id"]) == ids
    assert set(zip(rows["method"], rows["variant"])) == {
        ("gaussian", OWN),
        ("gaussian", CONFORMAL),
        ("knn_10", CONFORMAL),
    }
    overall = rows[(rows["level"] == "overall") & (rows["metric"] == "coverage_95")]
    assert overall["value"].between(0.9, 0.99).all()

    monkeypatch.setattr(ResultsStore, "write", lambda *_: pytest.fail("ran again"))
    again = intervals.run_intervals(planned, study, store)
    assert again.equals(rows)
    path = intervals.export_intervals(planned, study, store, tmp_path / "x" / "export.parquet")
    from_export = ResultsStore(tmp_path / "x" / "none")  # a clean clone resumes from the export
    assert len(intervals.run_intervals(planned, study, from_export)) == len(rows) and path.exists()
    with pytest.raises(DataFormatError, match="run it first"):
        intervals.export_intervals(plan(n_splits=2), study, store, tmp_path / "more.parquet")


def test_a_method_without_a_distribution_of_its_own_is_named(study, tmp_path):
    with pytest.raises(TrialsFailedError, match="knn_10 predicts no distribution"):
        intervals.run_intervals(plan(own=("knn_10",), conformal=()), study, ResultsStore(tmp_path / "trials"))
