"""Intervals that go on beyond an axis: a triangle stands at that edge and only there."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE

from reproduce.plots import claims_forest, colour_of, new_figure
from reproduce.plots.beyond import interval
from reproduce.plots.matrix_plots import compared_methods


def marks(ax) -> list[tuple[float, float, object]]:
    """Place and kind of each triangle."""
    return [
        (*line.get_xydata()[0], line.get_marker())
        for line in ax.lines
        if line.get_marker() in (CARETLEFTBASE, CARETRIGHTBASE) and len(line.get_xydata()) == 1
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.5, 0.5, []),
        (-1.0, 1.0, []),
        (-1.1, 0.5, [(-1.0, 3.0, CARETLEFTBASE)]),
        (0.5, 2.0, [(1.0, 3.0, CARETRIGHTBASE)]),
        (-3.0, 2.0, [(-1.0, 3.0, CARETLEFTBASE), (1.0, 3.0, CARETRIGHTBASE)]),
        (1.5, 2.0, []),
    ],
)
def test_a_triangle_stands_where_the_interval_goes_on(low, high, expected):
    _, ax = new_figure()
    interval(ax, low, high, 3.0, colour="black", left=-1.0, right=1.0)
    assert marks(ax) == expected
    drawn = np.concatenate([line.get_xdata() for line in ax.lines]) if ax.lines else np.zeros(1)
    assert drawn.min() >= -1.0 and drawn.max() <= 1.0


def test_a_method_s_wide_interval_is_marked_on_the_left_and_ends_at_one():
    table = pd.DataFrame(
        {
            "method": ["gaussian", "knn_1"],
            "label": ["Gaussian", "1-NN"],
            "r2": [0.8, -0.2],
            "r2_low": [0.7, -0.9],
            "r2_high": [1.2, 0.5],
            "seconds": [1.0, 1.0],
        }
    )
    _, ax = new_figure()
    compared_methods(table, ax)
    (mark,) = marks(ax)
    assert mark == (pytest.approx(-0.55), 0, CARETLEFTBASE)
    assert ax.get_xlim()[0] <= -0.55
    assert max(np.max(line.get_xdata()) for line in ax.lines if line.get_color() == colour_of("gaussian")) == 1.0


def test_a_claim_s_wide_interval_is_marked_at_both_edges():
    claim = {"id": "A2", "quantity": "R²", "effect": 0.1, "margin": 0.0, "low": -0.9, "high": 0.95}
    narrow = claim | {"id": "A1", "low": 0.0, "high": 0.2}
    _, ax = new_figure()
    claims_forest(pd.DataFrame([claim | {"verdict": "inconclusive"}, narrow | {"verdict": "supported"}]), ax, limit=0.6)
    assert marks(ax) == [(-0.6, 1, CARETLEFTBASE), (0.6, 1, CARETRIGHTBASE)]


@pytest.mark.parametrize("end", [np.nan, -np.inf])
def test_without_an_interval_the_axis_begins_at_the_lowest_point(end):
    row = {"method": "median", "label": "Median", "r2": -0.1, "r2_low": end, "r2_high": -end, "seconds": 1.0}
    _, ax = new_figure()
    compared_methods(pd.DataFrame([row]), ax)
    assert marks(ax) == [] and -0.3 < ax.get_xlim()[0] < -0.1
