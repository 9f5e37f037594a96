"""The benchmark's pairs of imputers: equal answers where they are to be equal, and R² beside the times."""

import numpy as np
import pytest

from reproduce import benchmarks
from reproduce.benchmarks import PAIRS, Pair, time_pair
from reproduce.imputers import METHODS


@pytest.mark.parametrize("fast", ["knn_10", "running_sums_knn"])
def test_neighbours_are_those_of_scikit_learn(fast):
    record = time_pair(Pair(fast, "scikit_learn_knn", (0, 0), (0, 0)), 80, 30, seed=0)
    assert record["largest_difference"] < 1e-10
    assert record["fast_r2"] == pytest.approx(record["slow_r2"])
    assert record["times_faster"] == record["slow_seconds"] / record["fast_seconds"] > 0


def test_chained_ridge_is_faster_than_mice_and_no_less_accurate():
    record = time_pair(Pair("fast_mice", "mice", (0, 0), (0, 0)), 200, 40, seed=0)
    assert record["times_less_processor"] > 3
    assert record["fast_r2"] > record["slow_r2"] > 0


def test_every_pair_names_a_way_to_fill():
    names = {name for pair in PAIRS for name in (pair.fast, pair.slow)}
    assert names <= set(METHODS) | set(benchmarks._OTHER_WAYS)


def test_a_pair_is_timed_in_a_process_of_its_own_and_printed(monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "PAIRS", PAIRS[1:2])
    seen = []

    def fresh(*arguments):
        seen.append(arguments)
        return time_pair(PAIRS[1], 40, 10, 0)

    monkeypatch.setattr(benchmarks, "_in_fresh_process", fresh)
    table = benchmarks.imputers(quick=True)
    assert seen == [("pair", 0, *PAIRS[1].quick_size, 0)]
    assert np.isfinite(table["times_faster"]).all() and "running_sums_knn" in capsys.readouterr().out
