"""Every method's point is where its table says, hollow for its own distribution, and nothing is drawn twice."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from reproduce import plots
from reproduce.experiments.downstream import COMPLETE, FITTED, VISIBLE
from reproduce.experiments.intervals import CONFORMAL, OWN
from reproduce.plots import interval_plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def coverage(n_splits=5):
    rows = []
    for method, source, off in (("gaussian", OWN, 0.04), ("gaussian", CONFORMAL, 0.01), ("knn_10", CONFORMAL, -0.01)):
        for rate in (0.1, 0.5):
            for nominal in (0.5, 0.95):
                half = 0.01 if n_splits > 1 else np.inf
                value = nominal + off + (0.005 if rate == 0.5 else -0.005)
                rows.append(("inductive", method, source, rate, "all", nominal, value, value - half, value + half, 5))
    names = [
        "scenario",
        "method",
        "variant",
        "missing_rate",
        "tissue",
        "nominal",
        "coverage",
        "low",
        "high",
        "n_splits",
    ]
    return pd.DataFrame(rows, columns=names)


def test_calibration_shows_the_mean_over_rates():
    _, ax = plots.new_figure()
    assert interval_plots.calibration(coverage(), ax) is ax
    own, calibrated, neighbours = (line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o")
    np.testing.assert_allclose(own.get_ydata(), 4, atol=1e-9)
    np.testing.assert_allclose(neighbours.get_ydata(), -1, atol=1e-9)
    assert own.get_markerfacecolor() == "white" and calibrated.get_markerfacecolor() == plots.colour_of("gaussian")
    assert len(ax.get_legend().get_texts()) == 3


@pytest.mark.parametrize("n_splits", [1, 5])
def test_coverage_by_rate_has_a_point_per_rate(n_splits):
    fig, ax = plots.new_figure()
    interval_plots.coverage_by_rate(coverage(n_splits), ax, nominal=0.5)
    fig.canvas.draw()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [3.5, 4.5], atol=1e-9)
    assert np.isfinite(ax.get_ylim()).all()


def test_gene_coverage_has_a_box_per_method():
    rng = np.random.default_rng(0)
    rows = [
        ("inductive", "gaussian", source, 0.5, f"G{i}", 0.95, 0.95 + 0.01 * rng.normal(), 0.01, 400)
        for source in (OWN, CONFORMAL)
        for i in range(9)
    ]
    names = ["scenario", "method", "variant", "missing_rate", "gene", "nominal", "coverage", "noise", "n_evaluated"]
    _, ax = plots.new_figure()
    interval_plots.gene_coverage(pd.DataFrame(rows, columns=names), ax)
    assert [text.get_text() for text in ax.get_yticklabels()][::-1] == [
        f"Conditional Gaussian,\n{source}" for source in (OWN, CONFORMAL)
    ]


def test_downstream_leaves_out_the_reference_and_what_has_no_number():
    table = pd.DataFrame(
        {"way": [COMPLETE, VISIBLE, FITTED], "proper": [np.nan, np.nan, 0.9], "proper_low": [np.nan, np.nan, 0.8]}
    ).assign(proper_high=0.95)
    _, ax = plots.new_figure()
    interval_plots.downstream_effects(table, ax, metric="proper")
    assert [text.get_text() for text in ax.get_yticklabels()] == [FITTED]
