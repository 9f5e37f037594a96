"""Draws scores by tissue and gene, blood as a surrogate, and maps of tissues; never computes a score.

Tissues have GTEx's own colours, methods those of `reproduce.plots`. Tables come from
`reproduce.tables.tissue_tables` and `reproduce.experiments.embeddings`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from reproduce.loaders.gtex_tissues import tissue_table
from reproduce.plots import colour_of
from reproduce.tables.summaries import label_of
from reproduce.tables.tissue_tables import POOLED_LABEL, SHOWN, blood_label

_DARKEST = 0.30  # shade of the tissue with most training samples
_SMALL = 3.4  # points; marks of methods in the background


def _marker(method: str, label: str, *, size: float = 4.5) -> dict[str, object]:
    """One mark a method; the Gaussian that knows no tissue is hollow."""
    colour = colour_of(method)
    return {"color": colour, "mec": colour, "mfc": "white" if label == POOLED_LABEL else colour, "ms": size, "mew": 0.9}


def _legend(table: pd.DataFrame, ax: Axes, **kwargs: object) -> None:
    names = table[["method", "label"]].drop_duplicates()
    handles = [
        Line2D([], [], marker="o", ls="", label=label, **_marker(method, label))
        for method, label in names.itertuples(index=False)
    ]
    ax.legend(handles=handles, **kwargs)


def tissue_boxes(table: pd.DataFrame, ax: Axes, *, method: str = SHOWN, lowest: float = -1.0) -> Axes:
    """R² over genes in each tissue as a box, tissues ordered and shaded by training size; other methods as dots.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.tissue_tables.score_by_tissue`.
    ax : Axes
    method : str, default "pmi"
        Whose boxes are drawn: 5 % to 95 %, quarters and median over genes. Of other methods the median is marked.
    lowest : float, default -1.0
        Where the axis begins; boxes may leave it.
    """
    facts = tissue_table()
    boxes = table[table["method"] == method].reset_index(drop=True)
    places = {tissue: x for x, tissue in enumerate(boxes["tissue"])}
    largest = boxes["n_training"].max()
    for x, row in boxes.iterrows():
        ax.axvspan(x - 0.5, x + 0.5, color=str(1 - _DARKEST * row["n_training"] / largest), lw=0, zorder=0)
    stats = [
        {"whislo": row.r2_p05, "q1": row.r2_p25, "med": row.r2_p50, "q3": row.r2_p75, "whishi": row.r2_p95}
        for row in boxes.itertuples()
    ]
    drawn = ax.bxp(
        stats, positions=list(places.values()), widths=0.66, showfliers=False, patch_artist=True, manage_ticks=False,
        medianprops={"color": "black", "lw": 1.4}, whiskerprops={"lw": 0.8}, capprops={"lw": 0.8}, zorder=2,
    )  # fmt: skip
    for patch, tissue in zip(drawn["boxes"], boxes["tissue"], strict=True):
        patch.set(facecolor=facts.at[tissue, "colour"], lw=0.7)
    others = table[(table["method"] != method) & table["tissue"].isin(places)]
    for (name, label), part in others.groupby(["method", "label"], sort=False):
        shown = part[part["r2_p50"] >= lowest]
        mark = _marker(name, label, size=_SMALL) | {"mec": colour_of(name) if label == POOLED_LABEL else "white"}
        ax.plot(shown["tissue"].map(places), shown["r2_p50"], "o", zorder=3, **mark | {"mew": 0.6})
    for x in places.values():
        size = boxes.at[x, "n_training"]
        ax.annotate(f"{size:.0f}", (x, 1.0), xytext=(0, 2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", ha="center", va="bottom", rotation=90, size=6)  # fmt: skip
    ax.annotate("training\nsamples", (0, 1.0), xytext=(-5, 7), xycoords="axes fraction", textcoords="offset points",
                ha="right", va="bottom", size=6)  # fmt: skip
    ax.axhline(0, color="0.35", lw=0.8, zorder=1)
    ax.set(xlim=(-0.6, len(boxes) - 0.4), ylim=(lowest, 1.0), ylabel="R² within the tissue, over genes")
    ax.set_xticks(list(places.values()), list(places), rotation=90, size=6.5)
    if len(others):
        _legend(others.sort_values("label"), ax, loc="upper center", bbox_to_anchor=(0.5, 1.24), ncols=8, fontsize=8)
    return ax


def gene_extremes(table: pd.DataFrame, methods: pd.DataFrame, ax: Axes, *, lowest: float = -0.5) -> Axes:
    """R² of the best and the worst genes, one dot a method; a line parts the two where genes between are left out.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.tissue_tables.extreme_genes`.
    methods : DataFrame
        Columns method and label, such as `reproduce.tables.tissue_tables.method_table`.
    ax : Axes
    lowest : float, default -0.5
        Where the axis may begin; scores further left are left out.
    """
    names = methods[["method", "label"]].drop_duplicates()
    names = names[names["label"].isin(table.columns)]
    y = np.arange(len(table))[::-1]
    gap = np.flatnonzero(np.diff(table["rank"]) > 1)
    for row in names.itertuples(index=False):
        values = table[row.label].where(table[row.label] >= lowest)
        size = 6.0 if row.method == SHOWN else 4.0
        ax.plot(values, y, "o", zorder=3 if row.method == SHOWN else 2, **_marker(*row, size=size))
    for position in gap:
        ax.axhline(y[position] - 0.5, color="0.4", lw=0.8, ls=(0, (4, 3)))
    ax.set_yticks(y, table["gene"], size=7.5)
    ax.set_ylim(-0.7, len(table) - 0.3)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set_xlim(right=1.02)
    ax.set_xlabel("R² of the gene, tissues pooled")
    ax.grid(color="0.93")
    _legend(names, ax, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax


def blood_scores(table: pd.DataFrame, ax: Axes) -> Axes:
    """Median R² over genes in each tissue, of the donor's blood, of the tissue median and of PMI; `table` of
    `reproduce.tables.tissue_tables.blood_table`.

    The axis is linear from −1 to 1 and logarithmic beyond.
    """
    order = list(dict.fromkeys(table["tissue"]))
    places = {tissue: len(order) - 1 - position for position, tissue in enumerate(order)}
    wide = table.pivot(index="tissue", columns="method", values="r2_p50")
    colours = tissue_table()["colour"]
    ax.hlines([places[t] for t in wide.index], wide.min(axis=1), wide.max(axis=1), color="0.8", lw=1, zorder=1)
    for method in ("surrogate", "median", "pmi"):
        if method in wide:
            at = [places[tissue] for tissue in wide.index]
            ax.plot(wide[method], at, "o", zorder=2, label=blood_label(method), **_marker(method, "", size=5))
    ax.set_xscale("symlog", linthresh=1, linscale=1.2)
    lowest = float(np.nanmin(wide.to_numpy()))
    ticks = [value for value in (-1000, -100, -10, -1, 0, 1) if value >= lowest * 1.3]
    ax.set_xticks(ticks, [f"{value:g}".replace("-", "−") for value in ticks])
    ax.minorticks_off()
    ax.axvline(0, color="0.5", lw=0.8, zorder=0)
    names = ["all together" if tissue == "all" else tissue for tissue in order]
    ax.set_yticks([places[t] for t in order], names, size=7)
    for tick, tissue in zip(ax.get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if tissue == "all" else "normal")
    for tissue in [name for name in order if name in colours.index]:
        ax.plot(-0.008, places[tissue], "s", transform=ax.get_yaxis_transform(), color=colours[tissue], ms=4,
                mec="0.3", mew=0.3, clip_on=False)  # fmt: skip
    ax.tick_params(axis="y", length=0, pad=8)
    ax.set_ylim(-0.7, len(order) - 0.3)
    ax.set_xlabel("R² (median over genes); logarithmic below −1")
    ax.grid(axis="x", color="0.93")
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
    return ax


def tissue_map(table: pd.DataFrame, ax: Axes, *, projection: str = "umap") -> Axes:
    """One network's tissues in the plane, in GTEx's colours, by GTEx's abbreviations.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.experiments.embeddings.tissue_map`, one method.
    ax : Axes
        On a figure of its final size: labels are moved apart as they will be seen.
    projection : {"umap", "pca"}
        For the axes' labels.
    """
    facts = tissue_table()
    ax.scatter(table["x"], table["y"], c=list(facts["colour"][table["tissue"]]), s=42, ec="0.2", lw=0.5, zorder=2)
    ax.set_title(f"{label_of(table['method'].iloc[0])}, split {table['seed'].iloc[0]}")
    name = {"umap": "UMAP", "pca": "principal component"}[projection]
    ax.set(xlabel=f"{name} 1", ylabel=f"{name} 2", xticks=[], yticks=[])
    ax.margins(0.14)
    names = list(facts["abbreviation"][table["tissue"]])
    _labels_apart(ax, table[["x", "y"]].to_numpy(), names)
    return ax


def _labels_apart(ax: Axes, points: np.ndarray, names: list[str]) -> list[Text]:
    """Write a name beside each point, as near as it can stand without covering a name, a point, or the frame.

    Places are tried in the figure's pixels on rings of growing radius, above the point first; points with most
    neighbours choose first, and a thin line leads from a point to a name that is not next to it. A name that finds no
    place on any ring stands above its point.
    """
    figure = ax.figure
    figure.canvas.draw()  # the layout decides where points are
    renderer, scale = figure.canvas.get_renderer(), figure.dpi / 72
    texts = [ax.text(0, 0, name, size=6, ha="center", va="center", zorder=3) for name in names]
    halves = np.array([text.get_window_extent(renderer).size for text in texts]) / 2 + 1.0
    at, dot, frame = ax.transData.transform(points), np.full((len(names), 2), 3.5 * scale), ax.get_window_extent()
    taken, taken_halves = at, dot
    neighbours = (np.linalg.norm(at[:, None] - at[None], axis=2) < 40 * scale).sum(axis=1)
    for index in np.argsort(-neighbours, kind="stable"):
        text, half, point = texts[index], halves[index], at[index]
        tried = point + _rings(half, scale)
        clash = (np.abs(tried[:, None] - taken[None]) < half + taken_halves[None]).all(axis=2).any(axis=1)
        outside = ((tried - half < frame.min) | (tried + half > frame.max)).any(axis=1)
        chosen = tried[int(np.argmin(clash | outside))]  # the first free place; the very first if there is none
        taken, taken_halves = np.vstack([taken, chosen]), np.vstack([taken_halves, half])
        text.set_position(ax.transData.inverted().transform(chosen))
        gap = np.maximum(np.abs(chosen - point) - half, 0)
        if np.hypot(*gap) > 6 * scale:
            ax.plot(*np.column_stack([points[index], text.get_position()]), color="0.55", lw=0.5, zorder=1)
    return texts


def _rings(half: np.ndarray, scale: float) -> np.ndarray:
    """Places of a name's centre around its point, nearest first, in pixels; ``half`` is half the name's size."""
    angles = np.pi / 2 + np.linspace(0, 2 * np.pi, 16, endpoint=False)[[0, 8, 4, 12, 2, 14, 6, 10, *range(1, 16, 2)]]
    direction = np.column_stack([np.cos(angles), np.sin(angles)])
    radii = np.arange(4.5, 100, 4) * scale
    return np.vstack([direction * (half + radius) for radius in radii])
