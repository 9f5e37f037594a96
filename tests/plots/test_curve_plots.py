"""Curves and dots are drawn where the tables say, in the methods' colours, and nothing is left out silently."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from reproduce.experiments.missingness import AT_EACH_RATE, ONCE
from reproduce.plots import PALETTE, curve_plots, save_figure

CURVES = [("gaussian", ""), ("pmi", ONCE), ("pmi", AT_EACH_RATE)]


@pytest.fixture
def curves():
    rows = [
        (target, method, training, rate, 0.8 - rate / 2, 0.7 - rate / 2, 0.9 - rate / 2)
        for target in ("GTEx Lung", "LUAD")
        for method, training in CURVES
        for rate in ([0.5] if training == AT_EACH_RATE else [0.9, 0.1, 0.5])
    ]
    return pd.DataFrame(rows, columns=["target", "method", "training", "missing_rate", "mean", "low", "high"])


@pytest.fixture
def mechanisms():
    rows = [
        {"mechanism": mechanism, "target": target, "method": method, "training": training, "r2": r2, "r2_low": r2 - 0.1,
         "r2_high": r2 + 0.1, "paper_r2": paper, "paper_r2_low": paper - 0.1, "paper_r2_high": paper + 0.1,
         "bias": 0.4, "bias_low": 0.3, "bias_high": 0.5}
        for mechanism, target, r2, paper in (("mnar", "GTEx", 0.3, 0.8), ("panel", "LUAD", -5.0, np.nan))
        for method, training in CURVES
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_one_panel_a_target_and_one_legend(curves, tmp_path):
    fig = curve_plots.curve_panels(curves)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["GTEx Lung", "LUAD"]
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Conditional Gaussian",
        "PMI, trained once for all rates",
        "PMI, trained at each rate",
    ]
    assert all(ax.get_legend() is None for ax in fig.axes)
    assert len(save_figure(fig, tmp_path, "07_missingness")) == 2


def test_a_line_runs_from_little_to_much_hidden_in_the_method_s_colour(curves):
    ax = curve_plots.curve_panels(curves).axes[0]
    lines = {(line.get_color(), line.get_linestyle()): line for line in ax.get_lines() if line.get_marker() == "o"}
    gaussian = lines[PALETTE["gaussian"], "-"]
    np.testing.assert_allclose(gaussian.get_xdata(), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(gaussian.get_ydata(), [0.75, 0.55, 0.35])
    assert (PALETTE["pmi"], "--") in lines  # once for all rates, told from the other by more than colour


def test_no_band_without_an_interval(curves):
    wide = curves.assign(low=-np.inf, high=np.inf)
    with_bands, without = (curve_plots.curve_panels(table).axes[0] for table in (curves, wide))
    drawn = [
        [path for c in ax.collections for path in c.get_paths() if len(path.vertices)] for ax in (with_bands, without)
    ]
    assert drawn[0] and not drawn[1]
    assert np.isfinite(without.get_ylim()).all()


def test_what_is_beyond_or_undefined_is_said(mechanisms, tmp_path):
    fig = curve_plots.mechanism_panels(mechanisms)
    own, paper, bias = fig.axes
    assert [text.get_text() for text in own.texts] == ["◂ -5.0"] * len(CURVES)
    assert [text.get_text() for text in paper.texts] == ["undefined: nothing visible"]
    assert not bias.texts and own.get_ylim() == (1.5, -0.5)
    points = [line for line in bias.get_lines() if line.get_marker() == "o"]
    assert len(points) == 2 * len(CURVES) and {line.get_xdata()[0] for line in points} == {0.4}
    assert len({line.get_ydata()[0] for line in points}) == len(points)  # none hides another
    save_figure(fig, tmp_path, "07_missingness-mechanisms")
