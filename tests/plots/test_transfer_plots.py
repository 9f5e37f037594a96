"""Figures of transfer: lines on a logarithmic axis, colours by cohort, and genes where their scores are."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from reproduce import plots
from reproduce.experiments.transfer import REFERENCE_ONLY, TARGET_ONLY, TRANSFER
from reproduce.plots import transfer_plots

CURVES = [(TARGET_ONLY, "none"), (REFERENCE_ONLY, "GTEx"), (TRANSFER, "GTEx"), (TRANSFER, "GTEx + COADREAD")]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def curves():
    rows = [
        (target, arm, references, n, 0.1 + i / 10 + n / 1000, 0.05 + i / 10, 0.2 + i / 10, 5)
        for target in ("LUAD", "COADREAD")
        for i, (arm, references) in enumerate(CURVES)
        for n in (10, 50, 200)
    ]
    return pd.DataFrame(rows, columns=["target", "arm", "references", "n_patients", "mean", "low", "high", "n_seeds"])


def test_one_line_an_arm_in_its_cohorts_colour(curves):
    _, ax = plots.new_figure()
    table = curves[curves["target"] == "LUAD"]
    assert transfer_plots.patient_curves(table, ax) is ax
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 4 and ax.get_xscale() == "log" and len(ax.collections) == 4
    colours = [to_hex(line.get_color()).upper() for line in lines]
    assert colours == [plots.PALETTE["median"], plots.COHORTS["GTEx"], plots.COHORTS["GTEx"], plots.PALETTE["oracle"]]
    np.testing.assert_allclose(lines[0].get_ydata(), table["mean"].iloc[:3])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "50", "200"]


def test_panels_and_one_legend(curves):
    fig = transfer_plots.curve_panels(curves.assign(low=-np.inf, high=np.inf))  # one seed: no band, no error
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["LUAD", "COADREAD"]
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == [TARGET_ONLY, "reference only, GTEx", "transfer, GTEx", "transfer, GTEx + COADREAD"]


def test_genes_stand_where_their_scores_are_and_the_best_are_named():
    table = pd.DataFrame({"gene": ["A", "B", "C"], "target_only": [0.0, 0.2, -5.0], "transfer": [0.4, 0.2, 0.1]})
    table = table.assign(references="GTEx", gain=[0.4, 0.0, 5.1], transfers=[True, False, True])
    _, ax = plots.new_figure()
    transfer_plots.gene_scatter(table, ax, n_named=2)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[0.0, 0.4], [-1.0, 0.1]])
    np.testing.assert_allclose(ax.collections[1].get_offsets(), [[0.2, 0.2]])
    assert {text.get_text() for text in ax.texts} == {"A", "C"}
