"""Draws seconds and memory against genes, samples and missing rate, on log axes; never computes a cost.

Tables come from `reproduce.tables.scaling_tables`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from reproduce.experiments.scaling import AXES
from reproduce.plots import colour_of, new_figure
from reproduce.tables.summaries import label_of

AXIS_TITLES = {
    "n_genes": "genes",
    "n_samples": "samples",
    "missing_rate": "share of entries known (1 − missing rate)",
}
#: Slopes of the grey lines.
SLOPES = (1, 2, 3)
#: How far above the longest measurement an estimate is still in sight.
_HEADROOM = 6.0
#: From a name to the end of its line.
_LEADER = {"arrowstyle": "-", "lw": 0.5, "alpha": 0.6, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}


def cost_curves(sizes: pd.DataFrame, ax: Axes, *, limits: tuple[float, float] | None = None) -> Axes:
    """Seconds against one kind of size, a line for each method, named at its end.

    Parameters
    ----------
    sizes : DataFrame
        Of `reproduce.tables.scaling_tables.size_table`, one axis. Dots: medians over repeats; bars: least and most.
        A line ends dashed at the estimate of the first size that was not measured; open circles: R² of 0 or less.
    ax : Axes
    limits : tuple of float, optional
        Of the seconds; by default those of this axis with room for estimates.
    """
    (axis,) = sizes["axis"].unique()
    measured = sizes[sizes["status"] == "ok"]
    bottom, top = limits or _limits(measured)
    for method, curve in sizes.groupby("method", sort=False):
        _curve(curve.sort_values("size"), "seconds", ax, colour_of(method))
        _open_ends(curve.sort_values("size"), ax, colour_of(method), top)
    left, right = sizes["size"].min(), sizes["size"].max()
    _log_axes(ax, (left, right), sorted(sizes["size"].unique()), (bottom, top))
    _reference_slopes(ax, left, right, bottom, top)
    _names(measured, "seconds", ax)
    ax.set(xlabel=AXIS_TITLES[axis], ylabel="processor seconds to fit and fill")
    return ax


def cost_panels(sizes: pd.DataFrame) -> Figure:
    """One panel of `cost_curves` for genes, samples, and the share of entries known.

    Parameters
    ----------
    sizes : DataFrame
        Of `reproduce.tables.scaling_tables.size_table`.
    """
    fig, axes = new_figure(len(AXES), width=5.4, height=5.6, sharey=True)
    limits = _limits(sizes[sizes["status"] == "ok"])
    for axis, ax in zip(AXES, axes, strict=True):
        cost_curves(sizes[sizes["axis"] == axis], ax, limits=limits)
        ax.yaxis.set_tick_params(labelleft=True)
    return fig


def _limits(measured: pd.DataFrame) -> tuple[float, float]:
    return measured["low"].min() / 2, measured["high"].max() * _HEADROOM


def memory_curves(sizes: pd.DataFrame, ax: Axes) -> Axes:
    """Largest resident memory against the number of genes, a line for each method, named at its end.

    Parameters
    ----------
    sizes : DataFrame
        Of `reproduce.tables.scaling_tables.size_table`; its rows of genes are drawn.
    ax : Axes
    """
    measured = sizes[(sizes["axis"] == "n_genes") & (sizes["status"] == "ok")]
    for method, curve in measured.groupby("method", sort=False):
        _curve(curve.sort_values("size"), "peak_memory_gb", ax, colour_of(method))
    ends = measured["peak_memory_gb"].min() / 1.3, measured["peak_memory_gb"].max() * 1.3
    _log_axes(ax, (measured["size"].min(), measured["size"].max()), sorted(measured["size"].unique()), ends)
    _names(measured, "peak_memory_gb", ax)
    ax.set(xlabel=AXIS_TITLES["n_genes"], ylabel="peak resident memory, GB (2³⁰ bytes)")
    return ax


def file_curve(files: pd.DataFrame, ax: Axes) -> Axes:
    """Seconds to fit and fill a file against its rows: of the processor, of the clock, and in grey linear growth.

    Parameters
    ----------
    files : DataFrame
        Of `reproduce.tables.scaling_tables.file_table`; if it is empty, that is written in the axes.
    ax : Axes
    """
    ax.set(xlabel="rows", ylabel="seconds to fit and fill")
    if files.empty:
        ax.annotate("no file was measured", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return ax
    rows, colour = files["rows"], colour_of("low_rank")
    low, high = files["cpu_seconds"], files["seconds"]
    linear = low.iloc[0] * rows / rows.iloc[0]
    ax.plot(rows, linear, color="0.6", lw=0.9, zorder=0, label="slope 1, from the first")
    ax.plot(rows, low, "--", marker="s", mfc="white", ms=4, color=colour, label="of the processor")
    ax.plot(rows, high, "-", marker="o", ms=4, color=colour, label="of the clock")
    every = pd.concat([low, high, linear])
    _log_axes(ax, (rows.min(), rows.max()), sorted(rows), (every.min() / 1.3, every.max() * 1.3))
    ax.legend(loc="upper left")
    return ax


def _curve(curve: pd.DataFrame, column: str, ax: Axes, colour: str) -> None:
    good = curve[curve["status"] == "ok"]
    ax.plot(good["size"], good[column], "-", color=colour, lw=1.4, label=label_of(curve["method"].iloc[0]))
    for useful, face in ((True, colour), (False, "white")):
        dots = good[(good["r2"] > 0) == useful]
        ax.plot(dots["size"], dots[column], ls="", marker="o", ms=3.5, mec=colour, mfc=face, label="_dots")
    if column == "seconds":
        ranges = good[good["n_repeats"] > 1]
        ax.vlines(ranges["size"], ranges["low"], ranges["high"], color=colour, lw=1)


def _open_ends(curve: pd.DataFrame, ax: Axes, colour: str, top: float) -> None:
    """From the last size measured on either side towards the estimate of the next."""
    good = curve[curve["status"] == "ok"]
    for edge in (-1, 0):
        if good.empty:
            return
        last = good.iloc[edge]
        beyond = curve[(curve["size"] > last["size"]) if edge else (curve["size"] < last["size"])]
        beyond = beyond[np.isfinite(beyond["estimated_seconds"].astype(float))]
        if beyond.empty:
            continue
        end = beyond.iloc[0 if edge else -1]
        ax.plot(
            [last["size"], end["size"]], [last["seconds"], end["estimated_seconds"]], ls=(0, (2, 2)), color=colour,
            lw=1, label="_not measured",
        )  # fmt: skip
        ax.plot(
            end["size"], min(end["estimated_seconds"], top), "^", color=colour, mfc="white", ms=4, label="_estimate"
        )


def _log_axes(ax: Axes, across: tuple[float, float], ticks: list[float], up: tuple[float, float]) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    margin = max((across[1] / across[0]) ** 0.04, 1.02)
    ax.set_xlim(across[0] / margin, across[1] * margin)
    ax.set_ylim(*up)
    ax.xaxis.set_major_locator(FixedLocator(_apart(ticks, across)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.yaxis.set_major_locator(LogLocator(subs=(1,) if up[1] / up[0] > 30 else (1, 2, 5), numticks=12))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(color="0.93")


def _apart(ticks: list[float], across: tuple[float, float]) -> list[float]:
    """Those of the sorted ticks whose labels have room beside the one before; the last is kept."""
    least = (across[1] / across[0]) ** 0.09
    kept = ticks[-1:]
    for tick in reversed(ticks[:-1]):
        if kept[0] / tick >= least:
            kept.insert(0, tick)
    return kept


def _reference_slopes(ax: Axes, left: float, right: float, bottom: float, top: float) -> None:
    """Grey lines of growth with the first, second and third power, from one corner."""
    for slope in SLOPES:
        end = min(right, left * (top / bottom) ** (1 / slope))
        ax.plot([left, end], [bottom, bottom * (end / left) ** slope], color="0.8", lw=0.9, zorder=0, label="_slope")
        where = {"color": "0.6", "size": 6.5, "ha": "right", "va": "top"}
        ax.annotate(f"slope {slope}", (end, bottom * (end / left) ** slope), **where)


def _names(measured: pd.DataFrame, column: str, ax: Axes) -> None:
    """Each line's name right of the panel, joined to its end; apart from one another."""
    ends = measured.sort_values("size").groupby("method", sort=False).tail(1)
    for row in ends.to_dict("records"):
        colour = colour_of(row["method"])
        ax.annotate(
            label_of(row["method"]), (row["size"], row[column]), xytext=(1.06, 0.5), textcoords="axes fraction",
            color=colour, size=7, va="center", annotation_clip=False, gid=f"name {row['method']}",
            arrowprops=_LEADER | {"color": colour},
        )  # fmt: skip
    _place_names(ax, measured, column)


def _place_names(ax: Axes, measured: pd.DataFrame, column: str = "seconds", gap: float = 0.033) -> None:
    """Heights of the names: as near to their lines' ends as the gap between them allows."""
    low, high = np.log(ax.get_ylim())
    ends = measured.sort_values("size").groupby("method", sort=False).tail(1)
    wanted = ((np.log(ends.set_index("method")[column].astype(float)) - low) / (high - low)).sort_values()
    heights = wanted.to_numpy(copy=True)
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    heights -= max(0.0, (heights[-1] if len(heights) else 0.0) - 1.0)
    for i in range(len(heights) - 2, -1, -1):  # moved down, the lower ones must make room
        heights[i] = min(heights[i], heights[i + 1] - gap)
    named = {text.get_gid(): text for text in ax.texts}
    for method, height in zip(wanted.index, heights, strict=True):
        named[f"name {method}"].set_position((1.06, height))
