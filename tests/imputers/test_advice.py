"""The advised method: in the registry, valid where it is advised, better with more time, and the committed run's."""

import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.imputers import METHODS, advice


@pytest.mark.parametrize("scenario", ["in_place", "inductive", "cross_cohort"])
def test_the_advised_method_can_be_used_there(scenario):
    method = advice.advised_method(scenario)
    assert scenario in METHODS[method].scenarios


def test_more_time_never_takes_a_choice_away():
    table = advice.read_advice()
    assert tuple(table.columns) == advice.COLUMNS
    for scenario, rows in table.groupby("scenario"):
        for limit, method in zip(rows["limit_seconds"], rows["method"], strict=True):
            assert advice.advised_method(scenario, limit) == method
        with pytest.raises(ConfigError, match="s;"):
            advice.advised_method(scenario, 1e-6)


def test_an_unknown_scenario_is_named():
    with pytest.raises(ConfigError, match="sideways"):
        advice.advised_method("sideways")


def test_the_table_is_the_committed_runs(repository):
    committed = pd.read_csv(repository / "results" / "14_beyond_the_paper-advice.csv")
    pd.testing.assert_frame_equal(advice.read_advice(), committed[list(advice.COLUMNS)])
