"""A mean and its interval read the same in every table."""

import numpy as np
import pandas as pd
import pytest

from reproduce.tables import ranges, wording

NO_END = (np.nan, -np.inf)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({}, "0.900 [0.712,\u00a01.088]"),
        ({"sign": "+", "digits": 1}, "+0.9 [+0.7,\u00a0+1.1]"),
        ({"limits": ranges.SHARE, "digits": 2}, "0.90 [0.71,\u00a01.00]"),
    ],
)
def test_digits_sign_and_limits_hold_for_the_number_and_both_ends(how, text):
    row = {"mean": 0.9, "low": 0.712, "high": 1.088}
    other = {"gain": 0.9, "least": 0.712, "most": 1.088}
    assert wording.with_interval(*row.values(), **how) == text
    assert wording.row_with_interval(row, **how) == text
    assert wording.row_with_interval(pd.Series(other), "gain", ("least", "most"), **how) == text
    assert wording.with_intervals(pd.DataFrame([other, other]), "gain", ("least", "most"), **how) == [text, text]


@pytest.mark.parametrize("end", NO_END)
def test_no_interval_is_left_out_and_no_number_is_a_dash(end):
    assert wording.with_interval(0.9, end, -end, digits=2) == "0.90"
    assert wording.with_interval(np.nan, end, -end) == "–"


def test_thousands_are_told_apart():
    assert wording.with_interval(-1234.5, -2000, 0, digits=1) == "-1,234.5 [-2,000.0,\u00a00.0]"
