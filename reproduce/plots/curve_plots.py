"""Draws scores against the missing rate and by mechanism, in the style and colours of `plots`; never computes a score.

Tables come from `reproduce.tables.missingness_tables`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from reproduce.experiments.missingness import AT_EACH_RATE, ONCE
from reproduce.plots import colour_of, new_figure
from reproduce.tables import ranges
from reproduce.tables.missingness_tables import MECHANISM_WORDS, name_of

#: Networks: solid where trained for the rate that is filled, dashed where trained once; other methods are solid.
_LINES = {"": "-", AT_EACH_RATE: "-", ONCE: (0, (4, 2))}
_SCORES = {
    "r2": "R² around the hidden entries' own mean",
    "paper_r2": "R² around the visible mean (the paper's)",
    "bias": "bias: imputed − true, in sd",
}


def missing_rate_curves(table: pd.DataFrame, ax: Axes, *, lowest: float = -0.4) -> Axes:
    """R² against the fraction hidden, one line a method, with 95 % bands over splits.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.missingness_tables.curve_table`, one target.
    ax : Axes
    lowest : float, default -0.4
        Where the axis may begin; lines that fall below leave the panel.
    """
    for (method, training), curve in table.groupby(["method", "training"], sort=False):
        curve, colour = curve.sort_values("missing_rate"), colour_of(method)
        filled = dict(marker="o", ms=3.5, mec=colour, mfc="white" if training == ONCE else colour)
        if len(curve) == 1:
            filled |= {"ms": 4.5}  # a point alone must be seen beside the other curve of its network
        ax.plot(curve["missing_rate"], curve["mean"], color=colour, ls=_LINES[training], lw=1.5, **filled)
        known = np.isfinite(curve["low"])
        band = curve[known]
        low, high = ranges.cut(band["low"], band["high"], ranges.R2)
        ax.fill_between(band["missing_rate"], low, high, color=colour, alpha=0.07, lw=0)
        if len(band) == 1:
            ax.plot(band["missing_rate"].repeat(2), [low[0], high[0]], color=colour, lw=1)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xlim(0, 1)
    ax.set_xticks([0.1, 0.3, 0.5, 0.7, 0.9])
    ax.set_ylim(max(lowest, min(ax.get_ylim()[0], -0.05)), 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.set_xlabel("hidden")
    ax.grid(color="0.92")
    return ax


def curve_panels(table: pd.DataFrame, *, lowest: float = -0.4) -> Figure:
    """One panel of `missing_rate_curves` a target, side by side, and one legend below them.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.missingness_tables.curve_table`.
    lowest : float, default -0.4
    """
    targets = list(dict.fromkeys(table["target"]))
    fig, axes = new_figure(len(targets), width=3.2, height=4.6, sharey=True, squeeze=False)
    for target, ax in zip(targets, axes[0], strict=True):
        missing_rate_curves(table[table["target"] == target], ax, lowest=lowest)
        ax.set_title(target)
    axes[0, 0].set_ylabel("R² of hidden entries (mean over genes)")
    curves = list(table[["method", "training"]].drop_duplicates().itertuples(index=False, name=None))
    lines = [
        Line2D(
            [], [], color=colour_of(method), ls=_LINES[training], lw=1.5, marker="o", ms=3.5,
            mfc="white" if training == ONCE else colour_of(method),
        )
        for method, training in curves
    ]  # fmt: skip
    fig.legend(lines, [name_of(*curve) for curve in curves], loc="outside lower center", ncols=5)
    return fig


def mechanism_dots(table: pd.DataFrame, score: str, ax: Axes, *, lowest: float | None = None) -> Axes:
    """One score of every method, grouped by the way of hiding, with 95 % intervals over splits.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.missingness_tables.mechanism_table`.
    score : {"r2", "paper_r2", "bias"}
    ax : Axes
    lowest : float, optional
        Where the axis begins; scores further left are marked by an arrow with their value.
    """
    groups = list(table[["mechanism", "target"]].drop_duplicates().itertuples(index=False, name=None))
    curves = list(table[["method", "training"]].drop_duplicates().itertuples(index=False, name=None))
    shifts = dict(zip(curves, np.linspace(-0.36, 0.36, len(curves)) if len(curves) > 1 else [0.0], strict=True))
    for row in table.to_dict("records"):
        y = groups.index((row["mechanism"], row["target"])) + shifts[row["method"], row["training"]]
        value, colour = row[score], colour_of(row["method"])
        if np.isnan(value):
            continue
        if lowest is not None and value < lowest:
            ax.annotate(
                f"◂ {value:.1f}", (0.01, y), xycoords=("axes fraction", "data"), color=colour, va="center", size=6.5
            )
            continue
        if np.isfinite(row[f"{score}_low"]):
            ax.plot([row[f"{score}_low"], row[f"{score}_high"]], [y, y], color=colour, lw=1.3)
        ax.plot(value, y, "o", ms=4.5, mec=colour, mfc="white" if row["training"] == ONCE else colour)
    undefined = table.groupby(["mechanism", "target"])[score].apply(lambda values: values.isna().all())
    for y in [i for i, group in enumerate(groups) if undefined[group]]:
        at = {"xycoords": ("axes fraction", "data"), "ha": "center", "va": "center"}
        ax.annotate("undefined: nothing visible", (0.5, y), color="0.45", style="italic", **at)
    for y in np.arange(len(groups) - 1) + 0.5:
        ax.axhline(y, color="0.85", lw=0.8, zorder=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set_yticks(range(len(groups)), [f"{MECHANISM_WORDS[mechanism]}\n{target}" for mechanism, target in groups])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    if lowest is not None:
        # intervals may reach further than the axis
        ax.set_xlim(left=lowest)
    if score != "bias":
        ax.set_xlim(right=1)
    else:  # a wide interval must not squeeze all means together
        ax.set_xlim(min(0.0, table[score].min()) - 0.3, max(0.0, table[score].max()) + 0.3)
    ax.set_xlabel(_SCORES[score])
    ax.grid(axis="x", color="0.92")
    return ax


def mechanism_panels(table: pd.DataFrame, *, lowest: float = -0.4) -> Figure:
    """Three columns of `mechanism_dots`: R² around the hidden entries' own mean, the paper's R², and the bias.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.missingness_tables.mechanism_table`.
    lowest : float, default -0.4
        Where the axes of both kinds of R² begin.
    """
    n_groups = len(table[["mechanism", "target"]].drop_duplicates())
    fig, axes = new_figure(3, width=3.9, height=1.4 + 0.85 * n_groups, sharey=True)
    for score, ax in zip(_SCORES, axes, strict=True):
        mechanism_dots(table, score, ax, lowest=None if score == "bias" else lowest)
    lines = [
        Line2D([], [], color=colour_of(method), lw=1.3, marker="o", ms=4.5,
               mfc="white" if training == ONCE else colour_of(method), label=name_of(method, training))
        for method, training in table[["method", "training"]].drop_duplicates().itertuples(index=False, name=None)
    ]  # fmt: skip
    fig.legend(handles=lines, loc="outside lower center", ncols=5)
    return fig
