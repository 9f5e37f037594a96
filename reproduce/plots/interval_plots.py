"""Draws how well intervals keep their promise, and what holes do to a downstream answer; never computes a score.

Tables come from `reproduce.tables.interval_tables`. Methods have the colours of `reproduce.plots`; what is calibrated
on held-out donors is filled, a method's own distribution is hollow and dashed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproduce.experiments.downstream import COMPLETE
from reproduce.experiments.intervals import OWN
from reproduce.plots import colour_of, new_figure
from reproduce.tables import ranges
from reproduce.tables.interval_tables import ALL_TISSUES, TOLERANCE, name_of
from reproduce.tables.missingness_tables import percent
from reproduce.tables.summaries import SCENARIO_TITLES

_BAND = "0.93"
_DOTS = "#0072B2"


def _style(method: str, source: str) -> dict[str, object]:
    colour, own = colour_of(method), source == OWN
    return {"color": colour, "mec": colour, "mfc": "white" if own else colour, "ls": "--" if own else "-", "ms": 5}


def _lines(table: pd.DataFrame):
    for (method, source), group in table.groupby(["method", "variant"], sort=False):
        yield method, source, group


def calibration(table: pd.DataFrame, ax: Axes, *, tissue: str = ALL_TISSUES) -> Axes:
    """Actual against nominal coverage, one line a method: the mean over missing rates, and their range.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.interval_tables.coverage_table`, one scenario.
    ax : Axes
        Shows the difference in points; the band is what is tolerated.
    tissue : str, default "all"
    """
    table = table[table["tissue"] == tissue]
    levels = sorted(table["nominal"].unique())
    shifts = _shifts(table)
    for shift, (method, source, group) in zip(shifts, _lines(table)):
        off = 100 * (group["coverage"] - group["nominal"])
        spread = off.groupby(group["nominal"]).agg(["mean", "min", "max"]).loc[levels]
        x = np.asarray(levels) + shift
        ax.vlines(x, spread["min"], spread["max"], color=colour_of(method), lw=1, alpha=0.7)
        ax.plot(x, spread["mean"], "o", label=name_of(method, source), **_style(method, source))
    _tolerated(ax)
    ax.set_xticks(levels, [percent(level) for level in levels])
    ax.set(xlabel="nominal coverage", ylabel="actual − nominal coverage (points)")
    ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def coverage_by_rate(table: pd.DataFrame, ax: Axes, *, nominal: float = 0.95, tissue: str = ALL_TISSUES) -> Axes:
    """Coverage at one level against the missing rate, with 95 % intervals over splits; `table` as in `calibration`."""
    table = table[(table["tissue"] == tissue) & np.isclose(table["nominal"], nominal)]
    shifts = _shifts(table)
    for shift, (method, source, group) in zip(shifts, _lines(table)):
        group = group.sort_values("missing_rate")
        x, off = group["missing_rate"] + shift, 100 * (group["coverage"] - nominal)
        known = np.isfinite(group["low"]).to_numpy()
        low, high = (
            100 * (end - nominal) for end in ranges.cut(group["low"][known], group["high"][known], ranges.SHARE)
        )
        ax.vlines(x[known], low, high, color=colour_of(method), lw=1, alpha=0.7)
        ax.plot(x, off, "o", label=name_of(method, source), **_style(method, source))
    _tolerated(ax)
    rates = sorted(table["missing_rate"].unique())
    ax.set_xticks(rates, [percent(rate) for rate in rates])
    # a lone rate would be spread over the whole width
    ax.set_xlim(min(rates) - 0.08, max(rates) + 0.08)
    ax.set(xlabel="missing rate", ylabel=f"the same at {percent(nominal)} (points)")
    ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def _shifts(table: pd.DataFrame) -> np.ndarray:
    """How far methods stand aside, so that their bars do not hide one another."""
    n = table.groupby(["method", "variant"]).ngroups
    return np.linspace(-0.012, 0.012, n) if n > 1 else np.zeros(1)


def _tolerated(ax: Axes) -> None:
    ax.axhspan(-100 * TOLERANCE, 100 * TOLERANCE, color=_BAND, lw=0, zorder=0)
    ax.axhline(0, color="0.5", lw=0.8, zorder=1)


def gene_coverage(table: pd.DataFrame, ax: Axes, *, nominal: float = 0.95, missing_rate: float = 0.5) -> Axes:
    """Distribution over genes of coverage, one box a method.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.interval_tables.gene_coverage_table`, one scenario.
    ax : Axes
        The band is twice the noise that the number of hidden entries alone leaves.
    nominal : float, default 0.95
    missing_rate : float, default 0.5
    """
    chosen = table[np.isclose(table["nominal"], nominal) & np.isclose(table["missing_rate"], missing_rate)]
    groups = list(_lines(chosen))[::-1]
    noise = 200 * float(chosen["noise"].median())
    ax.axvspan(100 * nominal - noise, 100 * nominal + noise, color=_BAND, lw=0, zorder=0)
    ax.axvline(100 * nominal, color="0.5", lw=0.8, zorder=1)
    boxes = ax.boxplot(
        [100 * group["coverage"] for _, _, group in groups], orientation="horizontal", patch_artist=True, widths=0.6,
        flierprops={"ms": 2.5, "mec": "0.5"}, medianprops={"color": "black"},
    )  # fmt: skip
    for patch, (method, source, _) in zip(boxes["boxes"], groups, strict=True):
        patch.set(facecolor="white" if source == OWN else colour_of(method), edgecolor=colour_of(method), lw=1.2)
    names = [name_of(method, source).replace(", ", ",\n") for method, source, _ in groups]
    ax.set_yticks(range(1, len(groups) + 1), names, fontsize=8)
    ax.set_xlabel(f"entries inside {percent(nominal)} intervals, per gene (%)")
    return ax


def interval_panels(coverage: pd.DataFrame, genes: pd.DataFrame) -> Figure:
    """For each scenario a row: `calibration`, `coverage_by_rate` and `gene_coverage`, one legend for all.

    Parameters
    ----------
    coverage, genes : DataFrame
        Of `reproduce.tables.interval_tables.coverage_table` and `gene_coverage_table`. The distribution over genes is
        that at the missing rate nearest to one half.
    """
    missing_rate = min(genes["missing_rate"].unique(), key=lambda rate: abs(rate - 0.5))
    scenarios = [name for name in SCENARIO_TITLES if (coverage["scenario"] == name).any()]
    fig, axes = new_figure(3, len(scenarios), width=4.2, height=3.3, squeeze=False)
    for scenario, (left, middle, right) in zip(scenarios, axes, strict=True):
        of_scenario = coverage[coverage["scenario"] == scenario]
        calibration(of_scenario, left).set_title(SCENARIO_TITLES[scenario])
        coverage_by_rate(of_scenario, middle)
        gene_coverage(genes[genes["scenario"] == scenario], right, missing_rate=missing_rate)
        left.get_legend().remove()
        middle.get_legend().remove()
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return fig


def downstream_panels(table: pd.DataFrame) -> Figure:
    """For each question how large effects are made, against the complete data's; `table` of `downstream_table`."""
    questions = list(table["question"].unique())
    fig, axes = new_figure(len(questions), width=4.0, height=2.6, squeeze=False, sharey=True)
    for question, ax in zip(questions, axes[0], strict=True):
        downstream_effects(table[table["question"] == question], ax, metric="slope", promised=1.0)
        ax.set_title(question)
        ax.set_xlabel("effects against the complete data's")
        # room at the ends, where a tick would meet that of the panel beside it
        ax.margins(x=0.15)
        ax.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
    return fig


def downstream_effects(table: pd.DataFrame, ax: Axes, *, metric: str = "coverage", promised: float = 0.95) -> Axes:
    """One number of each way to deal with holes, with its interval over splits, one question.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.interval_tables.downstream_table`, one question.
    ax : Axes
    metric : str, default "coverage"
        A column of the table; ways that have no such number are left out.
    promised : float, default 0.95
        Marked by a line.
    """
    table = table[(table["way"] != COMPLETE) & table[metric].notna()].iloc[::-1].reset_index(drop=True)
    for y, row in table.iterrows():
        if np.isfinite(row[f"{metric}_low"]):
            ends = ranges.cut(row[f"{metric}_low"], row[f"{metric}_high"], ranges.limits_of(metric))
            ax.plot(ends, [y, y], color=_DOTS, lw=2)
        ax.plot(row[metric], y, "o", color=_DOTS, ms=6, mec="white", mew=0.6)
    ax.axvline(promised, color="0.5", lw=0.8, zorder=0)
    ax.set_yticks(range(len(table)), table["way"])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel(metric)
    ax.grid(axis="x", color="0.92")
    return ax
