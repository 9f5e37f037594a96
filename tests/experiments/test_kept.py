"""Runs that are kept in one table: none twice, in the order that is asked for, whatever interrupts."""

import pandas as pd
import pytest

from reproduce.experiments.kept import run_kept

COLUMNS = ("run_id", "value")


def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path):
    ran = []

    def run(item):
        if item == 0:
            raise RuntimeError("interrupted")
        ran.append(item)
        return pd.DataFrame({"value": [1 / item, float(item)]})

    with pytest.raises(RuntimeError):
        run_kept({"b": 3, "c": 7, "x": 0}, run, tmp_path, "one", COLUMNS)
    wanted = {"a": 9, "b": 3}  # "c" is asked for no more
    table = run_kept(wanted, run, tmp_path, "one", COLUMNS)
    assert ran == [3, 7, 9] and list(table["run_id"]) == ["a", "a", "b", "b"]
    pd.testing.assert_frame_equal(run_kept(wanted, run, tmp_path, "whole", COLUMNS), table)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_nothing_wanted_gives_a_table_of_its_columns(tmp_path):
    table = run_kept({}, pytest.fail, tmp_path, "none", COLUMNS)
    assert table.empty and list(table) == list(COLUMNS)
