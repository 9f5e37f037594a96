"""Draws scores against cost and by missing rate; never computes a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from reproduce.experiments.trials import ORACLE
from reproduce.plots import colour_of, new_figure
from reproduce.tables import ranges
from reproduce.tables.frontier_tables import SCENARIO_WORDS
from reproduce.tables.summaries import SCENARIO_TITLES


def frontier(table: pd.DataFrame, ax: Axes, *, depth: float = 0.2) -> Axes:
    """R² against seconds, a dot and 95 % interval for each method, the frontier as a step line.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.frontier_tables.frontier_table`, one scenario and scale. The best attainable score is a
        dashed line.
    ax : Axes
    depth : float, default 0.2
        How far below the best method the axis reaches; methods further down are named at its foot with their R².
    """
    everything = table[table["method"] != ORACLE].sort_values("seconds")
    methods = everything[everything["mean"] > everything["mean"].max() - depth]
    best = methods[methods["on_frontier"]]
    ax.plot(best["seconds"], best["mean"], drawstyle="steps-post", color="0.7", lw=1, zorder=1)
    for row in methods.itertuples():
        colour = colour_of(row.method)
        if np.isfinite(row.low):
            ax.plot([row.seconds] * 2, ranges.cut(row.low, row.high, ranges.R2), color=colour, lw=1.4)
        ax.plot(row.seconds, row.mean, "o", color=colour, ms=6, zorder=6)
    bottom = methods["mean"].min() - 0.12 * depth
    for row in everything[~everything["method"].isin(methods["method"])].itertuples():
        where = {"va": "bottom", "ha": "center", "size": 7, "color": colour_of(row.method)}
        ax.annotate(f"{row.label}\n▾ {row.mean:.2f}", (row.seconds, bottom), **where)
    ends = methods["high"].replace(np.inf, np.nan).clip(upper=ranges.R2[1])
    # the best attainable score is in sight as well
    ax.set_ylim(bottom, np.nanmax([table["mean"].max(), *ends]) + 0.08 * depth)
    _name_dots(methods, ax)
    for row in table[table["method"] == ORACLE].itertuples():
        ax.axhline(row.mean, color=colour_of(ORACLE), ls="--", lw=1)
        ax.annotate(row.label, (0.01, row.mean), xycoords=("axes fraction", "data"), va="bottom", size=7.5)
    ax.set_xscale("log")
    ax.set_xlim(everything["seconds"].min() / 4, everything["seconds"].max() * 8)
    ax.xaxis.set_major_locator(LogLocator(subs=(1,)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="seconds to fit and fill", ylabel="R²")
    ax.grid(color="0.93")
    return ax


def _name_dots(methods: pd.DataFrame, ax: Axes) -> None:
    """Names right of the dots; where two dots are close, the lower one's name goes below."""
    span = max(float(methods["mean"].max() - methods["mean"].min()), 1e-6)
    placed: list[tuple[float, float]] = []
    for row in methods.sort_values("mean", ascending=False).itertuples():
        x, y = np.log10(row.seconds), row.mean
        # as high as the dot, unless a name that begins near by is in the way
        while any(abs(x - x_other) < 1.2 and abs(y - y_other) < 0.05 * span for x_other, y_other in placed):
            y -= 0.02 * span
        placed.append((x, y))
        ax.annotate(
            row.label, (row.seconds, y), xytext=(6, 0), textcoords="offset points", va="center", size=7.5,
            color=colour_of(row.method), path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


def frontier_panels(table: pd.DataFrame) -> Figure:
    """One `frontier` for each scenario.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.frontier_tables.frontier_table`, one scale.
    """
    scenarios = [scenario for scenario in SCENARIO_WORDS if (table["scenario"] == scenario).any()]
    fig, axes = new_figure(len(scenarios), width=5.2, height=4.2, squeeze=False)
    for scenario, ax in zip(scenarios, axes[0], strict=True):
        frontier(table[table["scenario"] == scenario], ax)
        ax.set_title(SCENARIO_TITLES[scenario])
    return fig


def rate_curves(table: pd.DataFrame, ax: Axes) -> Axes:
    """R² against the fraction hidden, a line and 95 % band for each method; `table` of `rate_table`."""
    order = table.groupby("method")["mean"].mean().sort_values(ascending=False).index
    for method in order:
        rows = table[table["method"] == method].sort_values("missing_rate")
        colour, dashed = colour_of(method), method == ORACLE
        ax.plot(rows["missing_rate"], rows["mean"], "--" if dashed else "o-", color=colour, ms=3.5, lw=1.4,
                label=rows["label"].iloc[0])  # fmt: skip
        if np.isfinite(rows["low"]).all():
            ax.fill_between(
                rows["missing_rate"], *ranges.cut(rows["low"], rows["high"], ranges.R2), color=colour, alpha=0.13, lw=0
            )
    ax.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0%}")
    ax.set(xlabel="fraction hidden", ylabel="R²")
    ax.grid(color="0.93")
    ax.legend(fontsize=7.5)
    return ax


def ingredient_forest(table: pd.DataFrame, ax: Axes) -> Axes:
    """Change of R² without each part of the tuned network, with its 95 % interval; `table` of `ingredient_table`."""
    changed = table[table["change"] != ""].iloc[::-1].reset_index(drop=True)
    for y, row in changed.iterrows():
        if np.isfinite(row["low"]):
            ax.plot([row["low"], row["high"]], [y, y], color=colour_of("pmi_tuned"), lw=1.4)
        ax.plot(row["effect"], y, "o", color=colour_of("pmi_tuned"), ms=5)
    ax.axvline(0, color="0.5", lw=0.8, zorder=0)
    ax.set_yticks(range(len(changed)), changed["change"])
    ax.set_xlabel("change of R²")
    ax.grid(axis="x", color="0.93")
    return ax
