"""Draws the tables of the companion study of artificial samples; never computes a score."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from reproduce.plots import new_figure
from reproduce.sample_generation.fidelity import SCORES
from reproduce.tables import ranges
from reproduce.tables.sample_generation_tables import LABELS, SCORE_LABELS

METHOD_COLOURS = {
    "copies": "#000000",
    "shuffled": "#999999",
    "law": "#000000",
    "gaussian": "#CC79A7",
    "smote": "#009E73",
    "gan": "#0072B2",
    "gan_gp": "#56B4E9",
    "wgan_gp": "#D55E00",
    "nothing": "#999999",
    "weights": "#666666",
    "repeats": "#E69F00",
    "all_real": "#000000",
}
#: Okabe and Ito's.
CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#827B12")
_MARKERS = {"gaussian": "o", "smote": "s", "gan": "v", "gan_gp": "^", "wgan_gp": "D", "law": "*"}
_GREY = "#BBBBBB"
_IN_SIZES = ("ks", "correlation_error", "mmd", "classifier_auc", "coverage", "distance_ratio")


def sample_maps(rows: pd.DataFrame) -> Figure:
    """Test samples in grey and artificial ones by class on the plane of the training samples, a panel a method."""
    methods = [name for name in LABELS if name in set(rows["method"])]
    columns = min(4, len(methods))
    n_rows = -(-len(methods) // columns)
    fig, axes = new_figure(columns, n_rows, width=2.9, height=2.8, sharex=True, sharey=True, squeeze=False)
    test = rows[(rows["part"] == "test") & (rows["method"] == methods[0])]
    for ax, method in zip(axes.ravel(), methods):
        made = rows[(rows["part"] == "artificial") & (rows["method"] == method)]
        ax.scatter(test["x"], test["y"], s=9, color=_GREY, lw=0, label="test samples")
        for colour, (name, part) in zip(cycle(CLASS_COLOURS), made.groupby("class")):
            ax.scatter(part["x"], part["y"], s=7, color=colour, lw=0, alpha=0.75, label=str(name))
        ax.set_title(LABELS[method])
    for ax in axes.ravel()[len(methods) :]:
        ax.set_visible(False)
    shares = rows.iloc[0]
    for ax in axes.ravel()[max(0, len(methods) - columns) : len(methods)]:  # the last of each column
        ax.set_xlabel(f"first component ({shares['x_share']:.0%} of variance)")
        ax.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"second component ({shares['y_share']:.0%})")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)), fontsize=8, markerscale=1.8)
    return fig


def fidelity_dots(table: pd.DataFrame) -> Figure:
    """Every score by method with 95 % intervals; a line where a perfect generator would be.

    Intervals that are much wider than the differences between methods go on beyond their panel.
    """
    scores = list(dict.fromkeys(table["score"]))
    columns = 5
    n_rows = -(-len(scores) // columns)
    n_methods = table["method"].nunique()
    fig, axes = new_figure(columns, n_rows, width=2.5, height=1.1 + 0.27 * n_methods, sharey=True, squeeze=False)
    for ax, score in zip(axes.ravel(), scores):
        if score in SCORES:
            ax.axvline(SCORES[score], color="#444444", lw=0.9, ls="--", zorder=0)
        part = table[table["score"] == score]
        _dots(ax, part, ranges.limits_of(score))
        _limit(ax, part, SCORES.get(score))
        ax.set_title(SCORE_LABELS[score], fontsize=9)
        ax.locator_params(axis="x", nbins=4)
    return fig


def size_curves(table: pd.DataFrame) -> Figure:
    """Scores by the number of training samples, means with 95 % intervals; a line where perfect would be."""
    fig, axes = new_figure(3, 2, width=3.3, height=2.7, squeeze=False)
    sizes = sorted(table["n_train"].unique())
    methods = [name for name in LABELS if name in set(table["method"])]
    for ax, score in zip(axes.ravel(), _IN_SIZES, strict=True):
        ax.axhline(SCORES[score], color="#444444", lw=0.9, ls="--", zorder=0)
        for k, method in enumerate(methods):
            part = table[(table["score"] == score) & (table["method"] == method)].sort_values("n_train")
            # beside each other, so that no interval hides another
            at = part["n_train"] * 1.04 ** (k - (len(methods) - 1) / 2)
            style = {"color": METHOD_COLOURS[method], "marker": _MARKERS.get(method, "x")}
            ax.plot(at, part["mean"], lw=1.2, ms=4, label=LABELS[method], **style)
            ax.vlines(
                at,
                *ranges.cut(part["low"], part["high"], ranges.limits_of(score)),
                color=METHOD_COLOURS[method],
                lw=1.2,
            )
        ax.set_xscale("log")
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_title(SCORE_LABELS[score], fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("training samples")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)), fontsize=8)
    return fig


def rare_dots(table: pd.DataFrame) -> Figure:
    """Balanced accuracy by remedy, and what it gains over doing nothing, with 95 % intervals."""
    fig, axes = new_figure(2, width=4.0, height=1.1 + 0.3 * len(table), sharey=True)
    _dots(axes[0], table, ranges.SHARE)
    _limit(axes[0], table, None)
    axes[0].set(xlabel="balanced accuracy", title="Real test samples")
    ends = {"over_nothing": "mean", "over_nothing_low": "low", "over_nothing_high": "high"}
    gains = table.drop(columns=list(ends.values())).rename(columns=ends)
    axes[1].axvline(0.0, color="#444444", lw=0.9, ls="--", zorder=0)
    _dots(axes[1], gains)
    _limit(axes[1], gains, 0.0)
    axes[1].set(xlabel="balanced accuracy, difference", title="Gain over doing nothing")
    return fig


def _limit(ax: Axes, table: pd.DataFrame, perfect: float | None) -> None:
    """Let the means fill the panel: with two or three divisions intervals would press them together."""
    shown = [*table["mean"], *([] if perfect is None else [perfect])]
    room = 0.4 * max(max(shown) - min(shown), 1e-3)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, min(shown) - room), min(high, max(shown) + room))


def _dots(ax: Axes, table: pd.DataFrame, limits: tuple[float, float] = ranges.ANY) -> None:
    part = table.iloc[::-1].reset_index(drop=True)
    for y, row in part.iterrows():
        colour = METHOD_COLOURS[row["method"]]
        if np.isfinite(row["low"]):
            ax.plot(ranges.cut(row["low"], row["high"], limits), [y, y], color=colour, lw=1.6)
        ax.plot(row["mean"], y, "o", color=colour, ms=5)
    ax.set_yticks(range(len(part)), part["label"])
    ax.grid(axis="x", color="#DDDDDD", lw=0.6)
