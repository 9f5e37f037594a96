"""Figures of tissues: the order, colours and places of what is drawn; no label covers another."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from reproduce import plots
from reproduce.loaders.gtex_tissues import tissue_table
from reproduce.plots import tissue_plots

FACTS = tissue_table().query("n_eqtl_samples > 0")
METHODS = {"PMI": "pmi", "Tissue median": "median", "Gaussian without tissue": "gaussian"}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def by_tissue():
    parts = []
    for shift, (label, method) in enumerate(METHODS.items()):
        values = {f"r2_p{p:02d}": 0.3 - 0.1 * shift + p / 500 for p in (5, 25, 50, 75, 95)}
        part = FACTS[["abbreviation", "organ"]].assign(n_training=FACTS["n_eqtl_samples"], r2=0.4, n_splits=2)
        parts.append(part.assign(method=method, label=label, **values).reset_index())
    return pd.concat(parts).sort_values(["n_training", "label"], ascending=[False, True], ignore_index=True)


def test_boxes_have_gtexs_colours_and_darker_ground_for_more_samples(by_tissue):
    _, ax = plots.new_figure(width=11, height=5)
    assert tissue_plots.tissue_boxes(by_tissue, ax) is ax
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert len(names) == 49 and names[0] == FACTS["n_eqtl_samples"].idxmax()
    grounds, boxes = ax.patches[:49], ax.patches[49:98]
    shades = [ground.get_facecolor()[0] for ground in grounds]
    assert (np.diff(shades) >= 0).all() and shades[0] < 0.75
    assert [to_hex(box.get_facecolor()).upper() for box in boxes] == [FACTS.at[name, "colour"] for name in names]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"Tissue median", "Gaussian without tissue"}


def test_what_lies_below_the_axis_is_not_drawn_on_it(by_tissue):
    _, ax = plots.new_figure(width=11, height=5)
    low = by_tissue.assign(r2_p50=by_tissue["r2_p50"].where(by_tissue["method"] != "median", -9.0))
    tissue_plots.tissue_boxes(low, ax)
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert sorted(len(line.get_xdata()) for line in marks) == [0, 49] and ax.get_ylim()[0] == -1


def test_best_genes_stand_above_the_line():
    table = pd.DataFrame({"gene": list("abcd"), "rank": [1, 2, 8, 9], "PMI": [0.9, 0.8, 0.1, -3.0]})
    _, ax = plots.new_figure()
    tissue_plots.gene_extremes(table, pd.DataFrame({"method": ["pmi", "mice"], "label": ["PMI", "MICE"]}), ax)
    (dots,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert list(dots.get_ydata()) == [3, 2, 1, 0] and np.isnan(dots.get_xdata()[-1])
    (line,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert line.get_ydata()[0] == 1.5


def test_blood_is_drawn_where_the_table_says():
    rows = [("all", "surrogate", -0.5), ("all", "median", 0.6), ("Lung", "surrogate", -40.0), ("Lung", "median", -0.1)]
    table = pd.DataFrame(rows, columns=["tissue", "method", "r2_p50"])
    _, ax = plots.new_figure()
    tissue_plots.blood_scores(table, ax)
    drawn = {line.get_label(): dict(zip(line.get_ydata(), line.get_xdata(), strict=True)) for line in ax.lines}
    assert drawn["Donor's blood"] == {1: -0.5, 0: -40.0} and drawn["Tissue median"] == {1: 0.6, 0: -0.1}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["all together", "Lung"]


@pytest.mark.parametrize("crowding", [1.0, 0.3])
def test_labels_of_the_map_do_not_cover_each_other(crowding):
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"method": "gain", "seed": 2, "tissue": list(FACTS.index)})
    place = rng.normal(size=(49, 2)) * np.where(np.arange(49) < 20, crowding, 1.0)[:, None]
    fig, ax = plots.new_figure(width=6.2, height=5.6)
    tissue_plots.tissue_map(table.assign(x=place[:, 0], y=place[:, 1]), ax)
    fig.canvas.draw()
    assert {text.get_text() for text in ax.texts} == set(FACTS["abbreviation"])
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(ax.get_window_extent().contains(*corner) for box in boxes for corner in box.get_points())
    assert "GAIN" in ax.get_title(loc="left") and "UMAP" in ax.get_xlabel()
