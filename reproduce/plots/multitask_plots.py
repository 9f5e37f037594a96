"""Draws the tables of the companion study of multi-task velocity networks; never computes a score."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from reproduce.plots import new_figure
from reproduce.plots.beyond import interval
from reproduce.tables import ranges
from reproduce.tables.multitask_tables import METHODS

METHOD_COLOURS = {
    "trace_norm": "#D55E00",
    "trace_norm_own": "#E69F00",
    "single_task": "#0072B2",
    "single_task_common": "#332288",
    "shared_hidden": "#CC79A7",
    "shared": "#7A3200",
    "lasso": "#009E73",
    "ridge": "#56B4E9",
    "forest": "#827B12",
    "activity": "#000000",
}
_MARKERS = dict(zip(METHOD_COLOURS, "os^<DvXhP*", strict=True))
_LEVEL_MARKERS = "os^DvP"
_GREY = "#777777"
#: Scores further down are drawn at the edge, as arrows; intervals end there, and at 1.
_LOWEST = -0.5


def score_dots(table: pd.DataFrame, by: str = "relatedness") -> Figure:
    """R² by method with 95 % intervals over seeds, a panel for each relatedness or source; line: what noise leaves."""
    panels = list(table.groupby(by, sort=False))
    height = 0.9 + 0.3 * table["method"].nunique()
    fig, axes = new_figure(len(panels), width=4.2, height=height, sharey=True, squeeze=False)
    order = [name for name in METHODS if name in set(table["method"])][::-1]
    for ax, (value, group) in zip(axes[0], panels, strict=True):
        for row in group.itertuples():
            y, colour = order.index(row.method), METHOD_COLOURS[row.method]
            ends = ranges.cut(row.low, row.high, ranges.R2)
            interval(ax, *ends, y, colour=colour, left=_LOWEST, right=np.inf, lw=1.8)
            inside = row.mean > _LOWEST
            marker = _MARKERS[row.method] if inside else "<"
            ax.plot(max(row.mean, _LOWEST), y, marker, color=colour, ms=6)
            if not inside:
                ax.text(_LOWEST + 0.04, y, f"{row.mean:.2f}", va="center", color=colour, size=8)
        ax.axvline(0.0, color=_GREY, lw=0.8, zorder=0)
        if "ceiling" in group:
            ax.axvline(group["ceiling"].mean(), color=_GREY, lw=0.8, ls="--", zorder=0)
        ax.set_yticks(range(len(order)), [METHODS[name] for name in order])
        ax.set(xlabel="R² of test cells, mean over genes", title=_titled(by, value))
        ax.set_xlim(_LOWEST - 0.03, 1.0)
        ax.grid(axis="x", color="#DDDDDD", lw=0.6)
    return fig


def gene_boxes(genes: pd.DataFrame) -> Figure:
    """R² of single genes by method and tissue, a panel for each relatedness; whiskers: 5th and 95th centile."""
    panels, tissues = list(genes.groupby("relatedness", sort=False)), sorted(genes["tissue"].unique())
    order = [name for name in METHODS if name in set(genes["method"])]
    fig, axes = new_figure(len(panels), width=5.0, height=3.6, sharey=True, squeeze=False)
    for ax, (value, group) in zip(axes[0], panels, strict=True):
        for number, tissue in enumerate(tissues):
            shift = (number - (len(tissues) - 1) / 2) * 0.8 / len(tissues)
            for place, method in enumerate(order):
                values = group.loc[(group["method"] == method) & (group["tissue"] == tissue), "value"]
                colour = METHOD_COLOURS[method]
                ax.boxplot(
                    values, positions=[place + shift], widths=0.6 / len(tissues), whis=(5, 95), showfliers=False,
                    patch_artist=True, medianprops={"color": "black"}, whiskerprops={"color": colour},
                    capprops={"color": colour},
                    boxprops={"facecolor": colour, "alpha": 0.75 - 0.4 * number / max(1, len(tissues) - 1), "lw": 0},
                )  # fmt: skip
        ax.axhline(0.0, color=_GREY, lw=0.8, zorder=0)
        ax.set_xticks(range(len(order)), [METHODS[name] for name in order], rotation=35, ha="right")
        ax.set(title=_titled("relatedness", value))
    axes[0][0].set_ylim(max(axes[0][0].get_ylim()[0], _LOWEST), 1.0)
    axes[0][0].set_ylabel("R² of a gene within a tissue")
    names = ", ".join(tissues)
    fig.supxlabel(f"boxes of a method, from left and dark to right and light: {names}", size=8)
    return fig


def learning_curves(table: pd.DataFrame) -> Figure:
    """R² by training cells of a gene, a panel for each relatedness; bars: 95 % intervals over seeds."""
    panels = list(table.groupby("relatedness", sort=False))
    fig, axes = new_figure(len(panels), width=4.4, height=3.6, sharey=True, squeeze=False)
    order = [name for name in METHODS if name in set(table["method"])]
    for ax, (value, group) in zip(axes[0], panels, strict=True):
        for number, method in enumerate(order):
            part = group[group["method"] == method].sort_values("cells_per_gene")
            # apart by a little, so that bars do not hide each other
            x = part["cells_per_gene"] * 1.025 ** (number - len(order) / 2)
            _line(ax, x, part, METHOD_COLOURS[method], _MARKERS[method], METHODS[method])
        noise = group.groupby("cells_per_gene")["ceiling"].mean()
        ax.plot(noise.index, noise, ls="--", color=_GREY, lw=0.8, label="without noise")
        _cells_axis(ax, sorted(table["cells_per_gene"].unique()))
        ax.set(xlabel="training cells of a gene", title=_titled("relatedness", value))
        ax.axhline(0.0, color=_GREY, lw=0.8, zorder=0)
    lowest = table.loc[table["method"] != "shared", "mean"].min()
    axes[0][0].set_ylim(max(_LOWEST, min(0.0, lowest) - 0.05), 1.0)
    axes[0][0].set_ylabel("R² of test cells, mean over genes")
    _legend_below(fig, axes[0][0], 4)
    return fig


def sweep_panels(table: pd.DataFrame, spectra: pd.DataFrame) -> Figure:
    """R² by penalty, then for each relatedness spectra of the first hidden layer's movement and of the regulation."""
    levels = list(table["relatedness"].unique())
    fig, axes = new_figure(1 + len(levels), width=3.8, height=3.6)
    penalties = sorted(table["penalty"].unique())
    # colours are those of methods: levels of relatedness are greys, told apart by markers too
    greys = np.linspace(0.0, 0.62, len(levels)).astype(str)
    for number, related in enumerate(levels):
        part = table[table["relatedness"] == related].sort_values("penalty")
        x = [penalties.index(value) + 0.06 * (number - len(levels) / 2) for value in part["penalty"]]
        _line(axes[0], x, part, greys[number], _LEVEL_MARKERS[number % 6], f"relatedness {related:g}")
    axes[0].set_xticks(range(len(penalties)), [f"{value:g}" for value in penalties])
    axes[0].set(xlabel="penalty λ of the trace norm", ylabel="R² of test cells, mean over genes", title="Penalty")
    axes[0].set_ylim(min(-0.05, max(_LOWEST, table["mean"].min() - 0.05)), 1.0)
    axes[0].axhline(0.0, color=_GREY, lw=0.8, zorder=0)
    shades = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, len(penalties)))
    for ax, related in zip(axes[1:], levels, strict=True):
        part = spectra[spectra["relatedness"] == related]
        for shade, penalty in zip(shades, penalties, strict=True):
            found = part[(part["metric"] == "spectrum") & (part["penalty"] == penalty)]
            ax.plot(found["k"], found["value"], "o-", ms=3, lw=1.2, color=shade, label=f"λ = {penalty:g}")
        truth = part[part["metric"] == "true_spectrum"].groupby("k")["value"].mean()
        ax.plot(truth.index, truth, "k--", lw=1.2, label="regulation simulated")
        ax.set(
            xlabel="rank", ylabel="singular value, relative", title=f"Weights since the start, relatedness {related:g}"
        )
        ax.set_ylim(0.0, 1.05)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # below the panels, where neither lies over a bar
    for ax, place, rows in ((axes[0], "left", len(levels)), (axes[-1], "right", 2)):
        handles, names = ax.get_legend_handles_labels()
        fig.legend(handles, names, loc=f"outside lower {place}", ncols=-(-len(names) // rows), fontsize=8)
    return fig


def precision_curves(table: pd.DataFrame) -> Figure:
    """Precision of the first k factors, a panel for each relatedness; bands: 95 % intervals over seeds."""
    panels = list(table.groupby("relatedness", sort=False))
    fig, axes = new_figure(len(panels), width=4.2, height=3.6, sharey=True, squeeze=False)
    for ax, (value, group) in zip(axes[0], panels, strict=True):
        for method in (name for name in METHODS if name in set(group["method"])):
            part = group[group["method"] == method].sort_values("k")
            colour = METHOD_COLOURS[method]
            ax.plot(
                part["k"], part["mean"], color=colour, marker=_MARKERS[method], ms=3.5, lw=1.3, label=METHODS[method]
            )
            ax.fill_between(
                part["k"], *ranges.cut(part["low"], part["high"], ranges.SHARE), color=colour, alpha=0.08, lw=0
            )
        ax.set(xlabel="most important factors of a gene, k", title=_titled("relatedness", value), ylim=(0, 1.02))
        ax.axhline(group["chance"].mean(), color=_GREY, lw=0.9, ls=":", label="random order")
    axes[0][0].set_ylabel("share that regulates the gene")
    _legend_below(fig, axes[0][0], 4)
    return fig


def _line(ax: Axes, x, part: pd.DataFrame, colour: str, marker: str, label: str) -> None:
    low, high = ranges.cut(part["low"], part["high"], ranges.R2)
    errors = np.nan_to_num([part["mean"] - low, high - part["mean"]])
    ax.errorbar(x, part["mean"], errors, color=colour, marker=marker, ms=4, lw=1.3, elinewidth=1.0, label=label)


def _cells_axis(ax: Axes, cells: list[int]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(cells, [str(n) for n in cells])
    ax.xaxis.set_minor_formatter(NullFormatter())


def _titled(by: str, value: object) -> str:
    return f"Relatedness {value:g}" if by == "relatedness" else str(value).replace("_", " ")


def _legend_below(fig: Figure, ax: Axes, columns: int) -> None:
    handles, names = ax.get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(columns, len(names)), fontsize=8)
