"""Shown intervals end where the score does; no interval stays none."""

import numpy as np
import pandas as pd
import pytest

from reproduce import claims
from reproduce.tables import ranges, wording


def test_finite_ends_are_cut_and_infinite_ones_stay():
    low, high = ranges.cut([-0.2, -np.inf, 0.3], [1.07, np.inf, 0.9], ranges.SHARE)
    assert low.tolist() == [0.0, -np.inf, 0.3] and high.tolist() == [1.0, np.inf, 0.9]
    assert ranges.cut(0.2, 2.0, ranges.R2) == (0.2, 1.0)
    assert np.isnan(ranges.cut(np.nan, np.nan, ranges.SHARE)).all()


@pytest.mark.parametrize(("limits", "shown"), [(ranges.ANY, "1.088"), (ranges.SHARE, "1.000")])
def test_a_table_shows_the_cut_interval_and_keeps_its_own(limits, shown):
    table = pd.DataFrame({"mean": [0.9, 0.5], "low": [0.712, -np.inf], "high": [1.088, np.inf]})
    told = wording.with_intervals(table, limits=limits)
    assert told == [f"0.900 [0.712,\u00a0{shown}]", "0.500"]
    assert table["high"].iloc[0] == 1.088


def test_a_rank_correlation_of_a_claim_is_at_most_one():
    table = pd.DataFrame({
        "id": ["K1", "A2"], "claim": "", "verdict": "inconclusive", "effect": [0.9, 1.5], "low": [-0.2, 0.9],
        "high": [2.027, 2.1], "quantity": ["τ", "log₁₀ of the ratio of times"], "n_splits": 2, "reason": "",
    })  # fmt: skip
    shown = claims.show_claims(table)["effect [95 %]"]
    assert shown.tolist() == ["+0.900 [-0.200,\u00a0+1.000]", "+1.500 [+0.900,\u00a0+2.100]"]
