"""Costs are measured once, apart from one another, and what is not measured is told with its estimate."""

import json
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from reproduce import one_fit
from reproduce.errors import ConfigError, ReproduceError
from reproduce.experiments import scaling
from reproduce.experiments.scaling import BASE, COLUMNS, Point, Sizes, estimated_seconds, run_scaling, scaling_plan
from reproduce.experiments.scaling_process import NETWORK_METHODS, Server, simulated_rows
from reproduce.imputers import METHODS

NAME = "17_cost_and_scale"
SIZES = Sizes(100, 20, 0.5, samples=(200, 800), genes=(10, 40, 80, 160), rates=(0.2,))


class Stopwatch:
    """Stands in for the processes: seconds are genes³ × samples, and what was asked is kept."""

    asked: ClassVar[list[Point]] = []
    trouble: ClassVar[dict[tuple[str, float], dict]] = {}

    def __init__(self, methods, folder):
        self.methods = list(methods)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def measure(self, point, seconds):
        assert point.method in self.methods
        self.asked.append(point)
        if found := self.trouble.get((point.axis, point.size)):
            return found
        took = 1e-7 * point.n_genes**3 * point.n_samples
        known = dict.fromkeys(scaling.MEASURED, 0.1)
        return known | {"fit_processor_seconds": took, "impute_processor_seconds": 0.0, "status": "ok"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Stopwatch, "asked", [])
    monkeypatch.setattr(Stopwatch, "trouble", {})


def run(plan, folder, most_seconds=100.0):
    return run_scaling(plan, folder, NAME, most_seconds=most_seconds, server=Stopwatch)


def test_a_plan_varies_one_size_at_a_time_from_one_base():
    plan = scaling_plan(SIZES, methods=["pmi", "median"], network_sizes=Sizes(100, 20, 0.5, genes=(40,)), n_repeats=2)
    assert [p.method for p in plan] == ["median"] * 16 + ["pmi"] * 4  # networks last
    base = {"n_samples": 100, "n_genes": 20, "missing_rate": 0.5}
    for point in plan:
        changed = [key for key, value in base.items() if getattr(point, key) != value]
        assert changed == ([] if point.axis == BASE else [point.axis])
    assert json.loads(plan[-1].hyperparameters) == {"patience": None}  # all steps, however well it goes
    assert len({p.measurement_id() for p in plan}) == len(plan)


def test_a_plan_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="Unknown method 'nearest'"):
        scaling_plan(SIZES, methods=["nearest"])
    with pytest.raises(ConfigError, match="same base size"):
        scaling_plan(SIZES, network_sizes=Sizes(50, 20, 0.5))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Sizes(100, 20, 0.5, rates=(1.0,))
    with pytest.raises(ConfigError, match="no hyperparameter 'epochs'"):
        scaling_plan(SIZES, methods=["median"], epochs={"median": 3})


def test_all_methods_are_measured_but_those_that_need_another_cohort():
    assert {p.method for p in scaling_plan(Sizes(100, 20, 0.5))} == set(METHODS) - {"transfer"}


def test_what_takes_too_long_is_a_row_with_its_estimate(tmp_path):
    table = run(scaling_plan(SIZES, methods=["gaussian"]), tmp_path, most_seconds=1.0)
    assert tuple(table.columns) == COLUMNS and len(table) == 8
    genes = table[table["axis"] == "n_genes"].set_index("n_genes")
    assert list(genes.loc[[10, 40], "status"]) == ["ok", "ok"]
    assert list(genes.loc[[80, 160], "status"]) == ["skipped", "skipped"]
    # from the growth between 20 and 40 genes: eightfold for each doubling
    np.testing.assert_allclose(genes.loc[[80, 160], "estimated_seconds"], [5.12, 40.96], rtol=1e-4)
    assert genes.loc[80, "note"] == "skipped: estimated 5 s" and np.isnan(genes.loc[80, "fit_seconds"])
    assert {point.n_genes for point in Stopwatch.asked} == {10, 20, 40}


def test_an_estimate_needs_no_measurement():
    first = estimated_seconds(Point("mice", BASE, 740, 65, 0.5), [])
    assert estimated_seconds(Point("mice", BASE, 740, 130, 0.5), []) > 4 * first > 0
    halved = Point("pmi", BASE, 740, 65, 0.5, hyperparameters='{"epochs": 100}')
    assert estimated_seconds(halved, []) == pytest.approx(estimated_seconds(Point("pmi", BASE, 740, 65, 0.5), []) / 2)


def test_what_is_stored_is_not_measured_again(tmp_path):
    plan = scaling_plan(SIZES, methods=["median", "gaussian"], n_repeats=2)
    first = run(plan, tmp_path, most_seconds=1.0)
    n_measured = len(Stopwatch.asked)
    assert n_measured == (first["status"] == "ok").sum() == len(set(Stopwatch.asked))
    pd.testing.assert_frame_equal(run(plan, tmp_path, most_seconds=1.0), first)
    assert len(Stopwatch.asked) == n_measured


def test_an_interrupted_run_measures_only_what_is_left(tmp_path, monkeypatch):
    plan = scaling_plan(SIZES, methods=["median"])
    measure = Stopwatch.measure

    def interrupted(self, point, seconds):
        if len(self.asked) == 3:
            raise KeyboardInterrupt
        return measure(self, point, seconds)

    monkeypatch.setattr(Stopwatch, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path)
    monkeypatch.setattr(Stopwatch, "measure", measure)
    assert (run(plan, tmp_path)["status"] == "ok").all()
    assert len(Stopwatch.asked) == len(set(Stopwatch.asked)) == len(plan)


def test_another_machine_s_measurements_stand_if_they_are_whole(tmp_path, monkeypatch):
    plan = scaling_plan(SIZES, methods=["median", "gaussian"])
    monkeypatch.setattr(one_fit, "machine", lambda: "theirs")
    theirs = run(plan, tmp_path)
    monkeypatch.setattr(one_fit, "machine", lambda: "ours")
    pd.testing.assert_frame_equal(run(plan, tmp_path), theirs)
    # one of the method's sizes is gone: a curve of two machines would compare nothing
    theirs.drop(index=theirs.index[theirs["method"] == "median"][2]).to_csv(tmp_path / f"{NAME}.csv", index=False)
    mixed = run(plan, tmp_path)
    assert set(mixed.loc[mixed["method"] == "median", "machine"]) == {"ours"}
    assert set(mixed.loc[mixed["method"] == "gaussian", "machine"]) == {"theirs"}


def test_other_code_asks_for_another_measurement(monkeypatch):
    point = Point("median", BASE, 100, 20, 0.5)
    before = point.measurement_id()
    monkeypatch.setattr(scaling, "code_fingerprint", lambda module: f"other {module}")
    assert point.measurement_id() != before


def test_a_failure_is_told_and_larger_sizes_are_left_alone(tmp_path):
    Stopwatch.trouble[("n_samples", 200)] = {"status": "failed", "note": "ended by SIGKILL, memory used up?"}
    plan = scaling_plan(SIZES, methods=["median"])
    samples = run(plan, tmp_path).query("axis == 'n_samples'").set_index("n_samples")
    assert list(samples["status"]) == ["failed", "skipped"] and "SIGKILL" in samples.loc[200, "note"]
    assert "a smaller size failed" in samples.loc[800, "note"]
    Stopwatch.trouble.clear()  # a failure is tried again
    assert (run(plan, tmp_path)["status"] == "ok").all()


# --- the processes ---


def test_simulated_rows_are_those_of_the_seed_and_have_covariates():
    rows, again, other = (simulated_rows(70, 12, seed) for seed in (0, 0, 1))
    assert rows["X"].shape == (70, 12) and rows["X"].dtype == np.float32 and np.isfinite(rows["X"]).all()
    assert np.array_equal(rows["X"], again["X"]) and not np.array_equal(rows["X"], other["X"])
    assert set(rows["tissue"]) == {"Lung", "Colon - Transverse"} and set(rows["sex"]) == {"female", "male"}
    assert len(set(rows["donor"])) < 70  # some gave both tissues, for the surrogate


@pytest.mark.slow
def test_closed_form_methods_are_measured_without_tensorflow(tmp_path):
    points = [Point(name, BASE, 60, 12, 0.4) for name in ("median", "missforest_10", "gaussian")]
    with Server([point.method for point in points], tmp_path) as server:
        answers = [server.measure(point, 60.0) for point in points]
        stopped = server.measure(Point("missforest_10", BASE, 400, 60, 0.4), 0.2)
        bad = server.measure(Point("median", BASE, 60, 12, 0.4, hyperparameters='{"trees": 1}'), 60.0)
        again = server.measure(points[0], 60.0)
    for answer in answers:
        assert answer["status"] == "ok" and not answer["tensorflow"] and answer["fit_processor_seconds"] > 0
        assert 0.05 < answer["start_memory_gb"] <= answer["peak_memory_gb"] < 2
    assert answers[2]["r2"] > answers[0]["r2"]
    if one_fit.COPIES:  # else the process itself cannot be stopped from within
        assert stopped["status"] == "stopped"
    assert bad["status"] == "failed" and "no hyperparameter 'trees'" in bad["note"]
    assert again["r2"] == answers[0]["r2"]


def test_a_process_that_does_not_start_says_why(tmp_path):
    server = Server(["median"], tmp_path)
    server.modules = ["reproduce.no_such_module"]
    with pytest.raises(ReproduceError, match="no_such_module"), server:
        server.measure(Point("median", BASE, 60, 12, 0.4), 60.0)


def test_network_methods_are_all_that_import_tensorflow():
    from reproduce.imputers._network import NetworkImputer

    networks = {name for name, method in METHODS.items() if issubclass(method.load(), NetworkImputer)}
    assert networks <= set(NETWORK_METHODS) <= set(METHODS)
