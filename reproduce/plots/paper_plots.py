"""Draws this study's scores beside the paper's Tables 1 and 2; never computes a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reproduce.experiments.paper_tables import TABLES
from reproduce.plots import PALETTE
from reproduce.plots.beyond import interval
from reproduce.tables import ranges
from reproduce.tables.paper_comparison import SCENARIOS

_NAMES = {"protein_coding": "protein-coding genes", "alzheimer": "Alzheimer genes"}


def beside_paper(table: pd.DataFrame, axes: np.ndarray, *, left: float = -0.35) -> np.ndarray:
    """Our R² with its interval beside the paper's: gene sets in rows, scenarios in columns.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.paper_comparison.paper_comparison`.
    axes : ndarray of Axes (2, 2)
    left : float, default -0.35
        Where the axis begins; scores further left are drawn at the edge as arrows.
    """
    for row, gene_set in zip(axes, TABLES, strict=True):
        for ax, scenario in zip(row, SCENARIOS, strict=True):
            part = table[(table["gene_set"] == gene_set) & (table["scenario"] == scenario)]
            _panel(part.iloc[::-1].reset_index(drop=True), ax, left)
            ax.set_title(f"{TABLES[gene_set]}: {_NAMES[gene_set]}, {scenario.replace('_', ' ')}")
    for ax in axes[-1]:
        ax.set_xlabel("R² of hidden entries, 50 % hidden")
    _legend(axes[0, 0])
    return axes


def _panel(part: pd.DataFrame, ax: Axes, left: float) -> None:
    for y, row in part.iterrows():
        colour = PALETTE[row["method"]]
        if np.isfinite(row["low"]):
            ends = ranges.cut(row["low"], row["high"], ranges.R2)
            interval(ax, *ends, y, colour=colour, left=left, right=np.inf, lw=2.5)
        if np.isfinite(row["ours"]):
            ax.plot(max(row["ours"], left), y, "o" if row["ours"] > left else "<", color=colour, ms=7, zorder=3)
        elif row["status"] == "skipped":
            ax.plot(left, y, "x", color=colour, ms=6, mew=1.6, zorder=3)
        if np.isfinite(row["paper"]):
            shape = "s" if row["paper"] > left else "<"
            ax.plot(max(row["paper"], left), y, shape, mfc="white", mec=colour, ms=5.5, mew=1.2, zorder=2)
    ax.set_yticks(range(len(part)), part["label"])
    ax.set_xlim(left - 0.03, 1.0)
    ax.set_ylim(-0.7, len(part) - 0.3)
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.grid(axis="x", color="0.92")


def _legend(ax: Axes) -> None:
    ax.plot([], [], "o", color="0.3", ms=7, label="ours")
    ax.plot([], [], "s", mfc="white", mec="0.3", ms=5.5, label="paper")
    ax.plot([], [], "x", color="0.3", ms=6, label="given up on")
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=3)
