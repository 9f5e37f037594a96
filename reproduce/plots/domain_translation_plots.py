"""Draws the tables of the companion study of translation between omics layers; never computes a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from reproduce.domain_translation.joint import JOINT_METHODS
from reproduce.domain_translation.methods import DIRECTIONS, METHODS
from reproduce.plots import new_figure
from reproduce.sample_generation.fidelity import SCORES
from reproduce.tables import ranges

METHOD_COLOURS = {
    "mean": "#999999",
    "ridge": "#009E73",
    "pls": "#7BCBAE",
    "knn": "#E69F00",
    "knn_imputer": "#B07A00",
    "gaussian": "#CC79A7",
    "low_rank": "#8E2F66",
    "perceptron": "#56B4E9",
    "unaligned": "#F0A07A",
    "aligned": "#D55E00",
}
JOINT_COLOURS = {
    "wgan_gp": "#D55E00",
    "gaussian": "#CC79A7",
    "smote": "#0072B2",
    "copies": "#000000",
    "apart": "#999999",
}
_MARKERS = dict(zip(METHODS, "_sv^<Do*xP", strict=True))
_GREY = "#777777"
#: R² further below is drawn at the edge.
_LEAST_R2 = -0.5


def translation_dots(table: pd.DataFrame) -> Figure:
    """R² of each method and direction with its 95 % interval; scores far below 0 stand as numbers at the edge."""
    order = table.groupby("method")["mean"].mean().sort_values().index
    fig, axes = new_figure(len(DIRECTIONS), width=4.6, height=0.9 + 0.32 * len(order), sharey=True)
    for ax, direction in zip(axes, DIRECTIONS, strict=True):
        part = table[table["direction"] == direction].set_index("method").loc[order]
        for y, (method, row) in enumerate(part.iterrows()):
            _dot(ax, y, row, METHOD_COLOURS[method], ranges.R2)
        _across(ax, [METHODS[method] for method in order], direction)
        ax.set_xlabel("R², mean over features of the target")
    return fig


def class_dots(table: pd.DataFrame) -> Figure:
    """Balanced accuracy for translated layers with its 95 % interval, and lines for the real target and the source."""
    order = table.groupby("method")["class_translated"].mean().sort_values().index
    fig, axes = new_figure(len(DIRECTIONS), width=4.6, height=1.3 + 0.32 * len(order), sharey=True)
    for ax, direction in zip(axes, DIRECTIONS, strict=True):
        part = table[table["direction"] == direction].set_index("method").loc[order]
        for y, (method, row) in enumerate(part.iterrows()):
            ends = {"mean": row["class_translated"], "low": row["class_low"], "high": row["class_high"]}
            _dot(ax, y, pd.Series(ends), METHOD_COLOURS[method], ranges.SHARE)
        ax.axvline(part["class_real"].mean(), color="black", lw=1.0, label="real target")
        ax.axvline(part["class_source"].mean(), color="#0072B2", ls="--", lw=1.0, label="the source itself")
        _across(ax, [METHODS[method] for method in order], direction, zero=False)
        # room for whole dots at 0 and 1
        ax.set(xlabel="class recognised (balanced accuracy)", xlim=(-0.03, 1.03))
    _legend_below(fig, axes[0])
    return fig


def feature_clouds(features: pd.DataFrame, first: str = "ridge", second: str = "aligned") -> Figure:
    """R² of each feature by two methods, a panel for each direction."""
    fig, axes = new_figure(len(DIRECTIONS), width=4.2, height=4.0)
    for ax, direction in zip(axes, DIRECTIONS, strict=True):
        part = features[features["direction"] == direction]
        ax.set(xlabel=f"R², {METHODS[first]}", ylabel=f"R², {METHODS[second]}", title=direction)
        if part.empty or not {first, second} <= set(part):
            continue
        values = part[[first, second]].clip(lower=_LEAST_R2)
        ax.scatter(values[first], values[second], s=7, lw=0, alpha=0.45, color=METHOD_COLOURS[second])
        ends = [min(values.min().min(), 0.0) - 0.03, max(values.max().max(), 0.1) + 0.03]
        ax.plot(ends, ends, color=_GREY, lw=0.8)
        ax.axhline(0, color="0.8", lw=0.7, zorder=0)
        ax.axvline(0, color="0.8", lw=0.7, zorder=0)
        ax.set(xlim=ends, ylim=ends, aspect="equal")
    return fig


def pairs_curves(table: pd.DataFrame) -> Figure:
    """R² by number of pairs; dashed where the other samples are given with one layer each. Bands: 95 % intervals."""
    return _curves(table, "number of pairs in fitting", "R², mean over features")


def oracle_curves(table: pd.DataFrame) -> Figure:
    """Excess error over the best possible translation by number of pairs, both on logarithmic scales."""
    shown = table[table["method"] != "unaligned"].assign(unpaired=False)
    fig = _curves(shown, "number of pairs in fitting", "R² lost against the best possible")
    for ax in fig.axes:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.tick_params(axis="y", which="both", labelsize=8)
    return fig


def tie_dots(table: pd.DataFrame) -> Figure:
    """R² and class recognised by what ties the latents, directions side by side."""
    ties = list(dict.fromkeys(table["tie"]))[::-1]
    columns = (("mean", "low", "high", "R², mean over features"),)
    columns += (("class_mean", "class_low", "class_high", "class recognised (balanced accuracy)"),)
    fig, axes = new_figure(2, width=4.4, height=1.5 + 0.35 * len(ties), sharey=True)
    for ax, (mean, low, high, label) in zip(axes, columns, strict=True):
        for shift, (direction, colour) in zip((0.12, -0.12), _direction_colours(), strict=True):
            part = table[table["direction"] == direction].set_index("tie").reindex(ties)
            renamed = part.rename(columns={mean: "at", low: "from", high: "to"})
            for y, (_, row) in enumerate(renamed.iterrows()):
                ax.plot([row["from"], row["to"]], [y + shift] * 2, color=colour, lw=1.6)
                ax.plot(row["at"], y + shift, "o", color=colour, ms=5, label=direction if y == 0 else "_more")
        _across(ax, ties, "", zero=False)
        ax.set(xlabel=label)
    axes[0].set_title("Translation by what ties the latents")
    axes[1].set_title("Class of the translated layer")
    _legend_below(fig, axes[0])
    return fig


def joint_dots(table: pd.DataFrame) -> Figure:
    """Scores of joint samples by method with 95 % intervals."""
    titles = {
        "bond_error": "error of correlations\nbetween layers (0 is best)",
        "translation_r2": "R² of a translation\nlearnt from the samples",
        "classifier_auc": "told from real samples\n(AUC, 0.5 is best)",
        "coverage": f"coverage\n({SCORES['coverage']:.2f} is best)",
    }
    order = [method for method in JOINT_METHODS if method in set(table["method"])][::-1]
    fig, axes = new_figure(len(titles), width=2.7, height=1.2 + 0.35 * len(order), sharey=True)
    for ax, (score, title) in zip(axes, titles.items(), strict=True):
        part = table[table["score"] == score].set_index("method").loc[order]
        for y, (method, row) in enumerate(part.iterrows()):
            _dot(ax, y, row, JOINT_COLOURS[method], ranges.limits_of(score))
        _across(ax, [JOINT_METHODS[method] for method in order], title, zero=False)
    return fig


def _curves(table: pd.DataFrame, xlabel: str, ylabel: str) -> Figure:
    fig, axes = new_figure(len(DIRECTIONS), width=4.8, height=4.0, sharey=True)
    for ax, direction in zip(axes, DIRECTIONS, strict=True):
        for method, rows in table[table["direction"] == direction].groupby("method", sort=False):
            for unpaired, arm in rows.groupby("unpaired"):
                arm, colour = arm.sort_values("n_pairs"), METHOD_COLOURS[method]
                label = METHODS[method] + (" + single layers" if unpaired else "")
                style = {"color": colour, "marker": _MARKERS[method], "ms": 4, "lw": 1.3}
                ax.plot(arm["n_pairs"], arm["mean"], "--" if unpaired else "-", label=label, **style)
                ax.fill_between(arm["n_pairs"], arm["low"], arm["high"], color=colour, alpha=0.13, lw=0)
        ax.set(xlabel=xlabel, xscale="log", title=direction)
        ax.set_xticks(sorted(table["n_pairs"].unique()))
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.grid(color="0.92")
    axes[0].set_ylabel(ylabel)
    _legend_below(fig, axes[0])
    return fig


def _direction_colours() -> list[tuple[str, str]]:
    return list(zip(DIRECTIONS, ("#0072B2", "#E69F00"), strict=True))


def _dot(ax: Axes, y: float, row: pd.Series, colour: str, limits: tuple[float, float] = ranges.ANY) -> None:
    if row["mean"] < _LEAST_R2:
        ax.annotate(
            f"◂ {row['mean']:.2f}", (0.01, y), xycoords=("axes fraction", "data"), color=colour, va="center", size=8
        )
        return
    if np.isfinite(row["low"]):
        ax.plot(ranges.cut(row["low"], row["high"], limits), [y, y], color=colour, lw=1.8)
    ax.plot(row["mean"], y, "o", color=colour, ms=5)


def _across(ax: Axes, names: list[str], title: str, *, zero: bool = True) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_title(title)
    ax.grid(axis="x", color="0.92")
    if zero:
        ax.axvline(0, color="0.7", lw=0.8, zorder=0)


def _legend_below(fig: Figure, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(3, max(1, len(names))), fontsize=8)
