"""Three panels on log axes, a line for each method in its colour, and open ends where nothing was measured."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from reproduce.plots import PALETTE, new_figure, save_figure, scaling_plots

METHODS = ("median", "gaussian", "pmi")


@pytest.fixture
def sizes():
    rows = []
    for axis, values in (("n_genes", (30, 100, 1000)), ("n_samples", (125, 500)), ("missing_rate", (0.1, 0.5, 0.9))):
        for i, method in enumerate(METHODS):
            for size in values:
                seconds = 0.01 * (i + 1) * size
                row = {"axis": axis, "method": method, "size": float(size), "seconds": seconds, "low": 0.9 * seconds}
                row |= {"high": 1.2 * seconds, "peak_memory_gb": 0.3 + size / 1e4, "r2": 0.5, "n_repeats": 2}
                rows.append(row | {"status": "ok", "estimated_seconds": np.nan})
    table = pd.DataFrame(rows)
    open_end = (table["method"] == "gaussian") & (table["size"] == 1000)
    nothing = ["seconds", "low", "high", "peak_memory_gb", "r2"]
    table.loc[open_end, nothing] = np.nan
    table.loc[open_end, ["status", "estimated_seconds", "n_repeats"]] = ["skipped", 60.0, 0]
    table.loc[(table["method"] == "median") & (table["size"] == 30), "r2"] = -0.1
    return table


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def curves(ax):
    return [line for line in ax.get_lines() if not line.get_label().startswith("_")]


def test_three_panels_with_titled_log_axes_and_a_line_a_method(sizes, tmp_path):
    fig = scaling_plots.cost_panels(sizes)
    assert [ax.get_xlabel() for ax in fig.axes] == ["genes", "samples", "share of entries known (1 − missing rate)"]
    for ax in fig.axes:
        assert ax.get_ylabel() == "processor seconds to fit and fill"
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert [to_hex(line.get_color(), keep_alpha=False).upper() for line in curves(ax)] == [
            PALETTE[method].upper() for method in METHODS
        ]
        named = {text.get_gid() for text in ax.texts if text.get_gid()}
        assert named == {f"name {method}" for method in METHODS}
        assert len([line for line in ax.get_lines() if line.get_label() == "_slope"]) == 3
    assert len(save_figure(fig, tmp_path, "17_cost_and_scale")) == 2


def test_grey_lines_have_the_slopes_that_they_name(sizes):
    ax = scaling_plots.cost_panels(sizes).axes[0]
    lines = [line.get_xydata() for line in ax.get_lines() if line.get_label() == "_slope"]
    slopes = [np.diff(np.log(xy[:, 1]))[0] / np.diff(np.log(xy[:, 0]))[0] for xy in lines]
    np.testing.assert_allclose(slopes, scaling_plots.SLOPES)


def test_a_curve_that_was_cut_short_ends_open_at_its_estimate(sizes):
    ax = scaling_plots.cost_panels(sizes).axes[0]
    (dashed,) = [line for line in ax.get_lines() if line.get_label() == "_not measured"]
    np.testing.assert_allclose(dashed.get_xydata(), [[100, 2.0], [1000, 60.0]])
    (triangle,) = [line for line in ax.get_lines() if line.get_label() == "_estimate"]
    assert triangle.get_markerfacecolor() == "white" and ax.get_ylim()[1] >= triangle.get_ydata()[0]


def test_useless_fills_are_open_circles(sizes):
    ax = scaling_plots.cost_panels(sizes).axes[0]
    hollow = [line for line in ax.get_lines() if line.get_label() == "_dots" and line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow if len(line.get_xdata())] == [[30.0]]


def test_names_stand_apart_and_inside(sizes):
    crowded = sizes.assign(seconds=sizes["seconds"].where(sizes["seconds"].isna(), 1.0))
    ax = scaling_plots.cost_panels(crowded).axes[2]
    heights = sorted(text.get_position()[1] for text in ax.texts if text.get_gid())
    assert np.diff(heights).min() > 0.03 and heights[-1] <= 1


def test_memory_is_drawn_against_genes(sizes):
    _, ax = new_figure()
    scaling_plots.memory_curves(sizes, ax)
    assert ax.get_xlabel() == "genes" and "GB" in ax.get_ylabel() and len(curves(ax)) == len(METHODS)
    np.testing.assert_allclose(curves(ax)[1].get_xdata(), [30, 100])  # what was not measured has no memory


def test_files_are_drawn_by_rows_beside_linear_growth_and_none_is_said():
    files = pd.DataFrame({"rows": [100, 1000], "seconds": [3.0, 40.0], "cpu_seconds": [2.0, 25.0]})
    _, ax = new_figure()
    linear, processor, clock = scaling_plots.file_curve(files, ax).get_lines()
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "rows")
    np.testing.assert_allclose(processor.get_ydata(), files["cpu_seconds"])
    np.testing.assert_allclose(clock.get_ydata(), files["seconds"])
    np.testing.assert_allclose(linear.get_ydata(), [2.0, 20.0])
    assert ax.get_ylim()[1] > 40
    _, ax = new_figure()
    assert not scaling_plots.file_curve(files.iloc[:0], ax).get_lines() and "no file" in ax.texts[0].get_text()
