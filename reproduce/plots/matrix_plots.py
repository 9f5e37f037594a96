"""Draws what the page about one filled matrix shows: holes, held-out accuracy, intervals; never computes a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

FILLED = "#0072B2"
MISSING = "#D55E00"
#: Points that a scatter shows at most; more would only be darker.
MOST_POINTS = 20_000
_KINDS = ((0.0, "known"), (1.0, "missing"))


def missing_map(fractions: np.ndarray, shape: tuple[int, int], ax: Axes) -> Axes:
    """Fraction missing in each cell (n_row_cells, n_gene_cells) of a matrix of `shape` (n_samples, n_genes).

    Fractions have a colour bar; where all are 0 or 1, a legend says which is which.
    """
    image = ax.imshow(
        fractions,
        aspect="auto",
        cmap="YlOrBr",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, shape[1], shape[0], 0),
    )
    ax.set(xlabel="gene, in the file's order", ylabel="sample")
    ax.spines[:].set_visible(False)
    if np.isin(fractions, (0, 1)).all():
        kinds = [Patch(facecolor=image.cmap(value), edgecolor="0.6", label=name) for value, name in _KINDS]
        ax.legend(handles=kinds, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
    else:
        ax.figure.colorbar(image, ax=ax, label="fraction missing", shrink=0.9)
    return ax


def missing_histogram(fractions: np.ndarray, of: str, ax: Axes) -> Axes:
    """How many samples or genes (`of`) miss which fraction of their entries."""
    ax.hist(100 * fractions, bins=np.linspace(0, 100, _n_bins(len(fractions)) + 1), color=MISSING, alpha=0.85)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set(xlabel=f"missing in a {of}, %", ylabel=f"{of}s", xlim=(0, 100))
    return ax


def held_out_scatter(truth: np.ndarray, imputed: np.ndarray, ax: Axes) -> Axes:
    """Hidden entries: truth across, what was filled in upwards (n_entries,), both on the log scale."""
    if len(truth) > MOST_POINTS:
        kept = np.random.default_rng(0).permutation(len(truth))[:MOST_POINTS]
        truth, imputed = truth[kept], imputed[kept]
    ends = np.percentile(np.concatenate([truth, imputed]), [0, 100])
    pad = 0.03 * max(ends[1] - ends[0], 1e-9)
    limits = (ends[0] - pad, ends[1] + pad)
    size = 4.0 if len(truth) < 3_000 else 1.5
    ax.plot(truth, imputed, ".", ms=size, alpha=0.35, color=FILLED, mew=0, rasterized=True)
    ax.plot(limits, limits, color="0.4", lw=0.9)
    ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel="hidden value (log scale)", ylabel="filled in")
    return ax


def gene_r2_histogram(r2: pd.Series, ax: Axes, *, lowest: float = -0.5) -> Axes:
    """Distribution of R² over genes; lower values than `lowest` are counted in the first bar."""
    r2 = r2.dropna()
    ax.hist(r2.clip(lower=lowest), bins=np.linspace(lowest, 1, _n_bins(len(r2)) + 1), color=FILLED, alpha=0.85)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.axvline(0, color="0.4", lw=0.9)
    ax.axvline(r2.median(), color="black", lw=1.2, ls="--")
    ax.text(r2.median(), 1.0, f" median {r2.median():.2f}", transform=ax.get_xaxis_transform(), va="top", size=8)
    ax.set(xlabel=f"R² of a gene's hidden entries ({lowest:g}: that or less)", ylabel="genes", xlim=(lowest, 1))
    return ax


def _n_bins(n: int) -> int:
    return int(np.clip(2 * n**0.5, 10, 45))


def coverage(calibration: pd.DataFrame, ax: Axes) -> Axes:
    """Fraction of hidden entries in their intervals against the nominal level; columns nominal, covered."""
    ax.plot([0, 100], [0, 100], color="0.6", lw=0.9)
    ax.plot(100 * calibration["nominal"], 100 * calibration["covered"], "o-", color=FILLED, ms=6, lw=1.4)
    ax.set(xlim=(40, 100), ylim=(40, 100), aspect="equal", xlabel="nominal level, %", ylabel="hidden entries inside, %")
    if calibration["covered"].min() < 0.4:
        ax.set(xlim=(0, 100), ylim=(0, 100))
    return ax


def compared_methods(table: pd.DataFrame, ax: Axes) -> Axes:
    """R² of each method with its 95 % interval, best on top; `table` of `reproduce.matrices.evaluation.evaluate`.

    Scores far below 0, and intervals that go on there, end at the edge in a triangle; no interval reaches beyond 1.
    """
    from reproduce.plots import colour_of
    from reproduce.plots.beyond import interval
    from reproduce.tables import ranges

    shown = table[np.isfinite(table["r2"])].iloc[::-1].reset_index(drop=True)
    lowest = max(float(np.nanmin(shown[["r2", "r2_low"]].replace(-np.inf, np.nan))), -0.5) - 0.05
    for y, row in shown.iterrows():
        colour = colour_of(row["method"])
        if np.isfinite(row["r2_low"]):
            low, high = ranges.cut(row["r2_low"], row["r2_high"], ranges.R2)
            interval(ax, low, high, y, colour=colour, left=lowest, right=np.inf)
        ax.plot(max(row["r2"], lowest), y, "o" if row["r2"] > lowest else "<", color=colour, ms=6, mec="white", mew=0.6)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set_yticks(range(len(shown)), [f"{row.label}, {row.seconds:.2g} s" for row in shown.itertuples()])
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlabel("R² of hidden entries")
    ax.grid(axis="x", color="0.92")
    return ax
