"""Draws what the tutorial shows of one matrix: holes, hidden entries, intervals, methods; never computes a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reproduce.matrices.evaluation import HeldOut
from reproduce.plots import new_figure
from reproduce.plots.matrix_plots import MISSING, compared_methods, coverage, held_out_scatter, missing_map


def accuracy_panels(missing: np.ndarray, hidden: HeldOut, holes: HeldOut | None) -> Figure:
    """Map of holes, hidden entries against what was filled in, and coverage of the intervals.

    Parameters
    ----------
    missing : ndarray of bool (n_samples, n_genes)
    hidden : HeldOut
        Known entries that were hidden.
    holes : HeldOut or None
        The holes themselves, where their truth is known.
    """
    fig, axes = new_figure(3, width=3.9, height=3.6)
    missing_map(missing.astype(float), missing.shape, axes[0])
    axes[0].set_title("a  what is missing")
    held_out_scatter(hidden.truth, hidden.imputed, axes[1])
    axes[1].set_title(f"b  known entries, hidden: R² {hidden.r2:.3f}")
    if hidden.calibration is None:
        axes[2].set_axis_off()
        return fig
    coverage(hidden.calibration, axes[2])
    axes[2].lines[-1].set_label("known entries, hidden")
    if holes is not None and holes.calibration is not None:
        shares = 100 * holes.calibration[["nominal", "covered"]]
        axes[2].plot(shares["nominal"], shares["covered"], "s--", color=MISSING, ms=5, lw=1.2, label="the holes")
    axes[2].legend(loc="upper left", fontsize=8)
    axes[2].set_title("c  intervals")
    return fig


def methods_panel(table: pd.DataFrame) -> Figure:
    """R² of the methods that were compared, with 95 % intervals."""
    fig, ax = new_figure(width=6.2, height=0.6 + 0.32 * max(2, int((table["status"] == "ok").sum())))
    compared_methods(table, ax)
    return fig
