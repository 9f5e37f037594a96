"""Draws tables, one style and one colour per method everywhere; never computes a score.

Each function takes a table and an axis, draws, and returns the axis. Colours start from Okabe and Ito's palette, which
colour-blind readers can tell apart; methods of one family share a hue.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from reproduce.errors import ConfigError
from reproduce.files import atomic_path
from reproduce.plots.beyond import interval
from reproduce.tables import ranges
from reproduce.tables.summaries import label_of, training_rows_text

PALETTE = {
    "pmi": "#D55E00",
    "gain": "#0072B2",
    "gain_mse": "#56B4E9",
    "pmi_tuned": "#7A3200",
    "best": "#4B2E83",
    "gaussian": "#CC79A7",
    "mixture": "#8E2F66",
    "low_rank": "#E8B4D0",
    "transfer": "#C2185B",
    "mice": "#009E73",
    "fast_mice": "#7BCBAE",
    "missforest_10": "#B5AD2F",
    "missforest_100": "#827B12",
    "iterative_forest": "#57520A",
    "boosted_forest": "#DAD48A",
    "knn_1": "#F7CE7C",
    "knn_5": "#E69F00",
    "knn_10": "#A87400",
    "median": "#999999",
    "surrogate": "#666666",
    "oracle": "#000000",
}
COHORTS = {"GTEx": "#0072B2", "LUAD": "#D55E00", "COADREAD": "#009E73"}
VERDICTS = {"supported": "#00704F", "refuted": "#A6192E", "inconclusive": "#666666", "not testable here": "#999999"}
STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "reproduce",
    "svg.fonttype": "none",
}


def use_style() -> None:
    """Set the one style for all figures that follow."""
    mpl.rcParams.update(STYLE)


def new_figure(n_columns: int = 1, n_rows: int = 1, *, width: float = 4.5, height: float = 3.6, **kwargs: object):
    """A figure of panels of equal size (inches) in the project's style; as `matplotlib.pyplot.subplots`."""
    use_style()
    return plt.subplots(n_rows, n_columns, figsize=(width * n_columns, height * n_rows), **kwargs)


def save_figure(fig: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes for the same figure.

    Parameters
    ----------
    fig : Figure
    folder : path-like
        Created if absent.
    name : str
        The drawing notebook's name, and after it what tells its figures apart: "03_inductive_imputation-genes".

    Returns
    -------
    list of Path

    Raises
    ------
    ConfigError
        For a name that does not begin with a notebook's number.
    """
    if not (name[:2].isdigit() and name[2:3] == "_" and len(name) > 3):
        raise ConfigError(
            f"Figure {name!r} must be named after the notebook that draws it, such as '03_inductive_imputation'."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = folder / f"{name}.{kind}"
        with mpl.rc_context(STYLE), atomic_path(path) as temporary:
            fig.savefig(temporary, format=kind, metadata=metadata)
        paths.append(path)
    return paths


def colour_of(method: str) -> str:
    """A method's colour, the same in every figure.

    Raises
    ------
    ConfigError
        For a method that has none.
    """
    if method not in PALETTE:
        raise ConfigError(f"Method {method!r} has no colour; add it to PALETTE so that it looks the same everywhere.")
    return PALETTE[method]


def _names(table: pd.DataFrame) -> list[str]:
    """Labels, with the training rows where one method appears with several."""
    several = table["method"].duplicated(keep=False)
    rows = [training_rows_text(s, t) for s, t in zip(table["scenario"], table["training_rows"], strict=True)]
    return [f"{label} ({r})" if more else label for label, r, more in zip(table["label"], rows, several, strict=True)]


def scores(
    table: pd.DataFrame, results: pd.DataFrame, ax: Axes, *, metric: str = "r2", left: float | None = None
) -> Axes:
    """Score per method: one dot per split, the mean and its 95 % interval.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.summaries.score_table`, one target and one scale.
    results : DataFrame
        The rows behind it.
    ax : Axes
    metric : str, default "r2"
    left : float, optional
        Where the axis begins; scores further left are marked by an arrow with their value.
    """
    chosen = results[(results["level"] == "overall") & (results["metric"] == metric) & (results["status"] == "ok")]
    table = table.iloc[::-1].reset_index(drop=True)
    for y, row in table.iterrows():
        same = np.logical_and.reduce(
            [chosen[k] == row[k] for k in ("method", "test", "transform", "training_rows", "config_hash")]
        )
        colour = colour_of(row["method"])
        values = chosen.loc[same, "value"].to_numpy(float)
        if left is not None and row["mean"] < left:
            ax.annotate(
                f"◂ {row['mean']:.2f}", (0.01, y), xycoords=("axes fraction", "data"), color=colour, va="center", size=8
            )
            continue
        ax.plot(values, np.full(len(values), y), "o", color=colour, alpha=0.35, ms=4, mew=0)
        if np.isfinite(row["low"]):
            ax.plot(ranges.cut(row["low"], row["high"], ranges.limits_of(metric)), [y, y], color=colour, lw=2)
        ax.plot(row["mean"], y, "D", color=colour, ms=5, mec="white", mew=0.6)
    ax.set_yticks(range(len(table)), _names(table))
    ax.set_ylim(-0.7, len(table) - 0.3)
    if left is not None:
        ax.set_xlim(left=left)
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xlabel("R² of hidden entries (mean over genes)" if metric == "r2" else metric)
    ax.grid(axis="x", color="0.92")
    return ax


def gene_boxes(table: pd.DataFrame, ax: Axes) -> Axes:
    """Distribution over genes for each method; `table` is genes × methods, of
    `reproduce.tables.summaries.gene_table`.
    """
    methods = list(table.median().sort_values().index)
    boxes = ax.boxplot(
        [table[m].dropna() for m in methods], orientation="horizontal", patch_artist=True, widths=0.65,
        flierprops={"ms": 2.5, "mec": "0.5"}, medianprops={"color": "black"},
    )  # fmt: skip
    for patch, method in zip(boxes["boxes"], methods, strict=True):
        patch.set(facecolor=colour_of(method), alpha=0.8, lw=0.6)
    ax.set_yticks(range(1, len(methods) + 1), [label_of(m) for m in methods])
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_xlabel("R² per gene (mean over splits)")
    return ax


def gene_heat(table: pd.DataFrame, ax: Axes, *, lowest: float = 0.0) -> Axes:
    """Score of every gene (columns, easiest first) by every method (rows); values below `lowest` share its colour."""
    methods = list(table.median().sort_values(ascending=False).index)
    image = ax.imshow(table[methods].T, aspect="auto", cmap="viridis", vmin=lowest, vmax=1, interpolation="nearest")
    ax.set_yticks(range(len(methods)), [label_of(m) for m in methods])
    ax.set_xticks(range(len(table)), table.index, rotation=90, size=5.5)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label="R²", extend="min", shrink=0.9)
    return ax


def training_curves(histories: pd.DataFrame, ax: Axes) -> Axes:
    """Loss on training batches (dashed) and on held-out donors (solid) per epoch: thin lines are splits, thick their
    mean.
    """
    top = 0.0
    for method, group in histories.groupby("method", sort=False):
        by_epoch = (
            group.groupby(["trial_id", "epoch"], sort=False)[["train_loss", "validation_loss"]].mean().reset_index()
        )
        for column, line in (("train_loss", "--"), ("validation_loss", "-")):
            wide = by_epoch.pivot(index="epoch", columns="trial_id", values=column)
            ax.plot(wide.index, wide, line, color=colour_of(method), lw=0.5, alpha=0.25)
            mean = wide.dropna().mean(axis=1)
            ax.plot(mean.index, mean, line, color=colour_of(method), lw=1.8)
            top = max(top, float(np.nanquantile(wide, 0.98)))
        ax.plot([], [], color=colour_of(method), lw=1.8, label=label_of(method))
    ax.plot([], [], "k--", lw=1, label="training")
    ax.plot([], [], "k-", lw=1, label="validation")
    ax.set(xlabel="epoch", ylabel="squared error (standardised genes)", ylim=(0, top * 1.05 or 1))
    ax.legend(ncols=2)
    return ax


def agreement(correlations: pd.DataFrame, one: str, two: str, ax: Axes) -> Axes:
    """Gene-gene correlations of one cohort against another's, one dot per pair of genes."""
    ax.plot(correlations[one], correlations[two], ".", ms=2.5, alpha=0.4, color="#0072B2", mew=0, rasterized=True)
    ax.plot([-1, 1], [-1, 1], color="0.7", lw=0.8, zorder=0)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    ax.set(xlabel=f"gene-gene correlation in {one}", ylabel=f"in {two}")
    return ax


def agreement_heat(table: pd.DataFrame, ax: Axes) -> Axes:
    """Agreement of gene-gene correlations between all cohorts; `table` of
    `reproduce.tables.summaries.correlation_agreement`.
    """
    names = list(dict.fromkeys([*table["one"], *table["two"]]))
    matrix = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    for row in table.itertuples():
        matrix.loc[row.one, row.two] = matrix.loc[row.two, row.one] = row.agreement
    ax.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    for i, j in np.ndindex(matrix.shape):
        value = matrix.iloc[i, j]
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.spines[:].set_visible(False)
    return ax


def sample_totals(table: pd.DataFrame, ax: Axes) -> Axes:
    """Distribution of the total over genes per sample, by cohort; `table` of
    `reproduce.tables.summaries.sample_totals`.
    """
    totals = np.log10(table["total"].clip(lower=1))
    bins = np.linspace(totals.min(), totals.max() + 1e-9, 40)
    for cohort, values in totals.groupby(table["cohort"], sort=False):
        ax.hist(
            values, bins=bins, density=True, histtype="stepfilled", alpha=0.45, color=COHORTS.get(cohort), label=cohort
        )
    ax.set(xlabel="log₁₀ of the total over genes, per sample", ylabel="density")
    ax.legend()
    return ax


def gene_spread(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean and standard deviation of log counts, one dot per gene; `table` of
    `reproduce.tables.summaries.gene_quality`.
    """
    for cohort, group in table.groupby("cohort", sort=False):
        ax.plot(group["mean"], group["sd"], "o", ms=4, mew=0, alpha=0.6, color=COHORTS.get(cohort), label=cohort)
    ax.set(xlabel="mean of log(1 + x)", ylabel="standard deviation of log(1 + x)")
    ax.set_ylim(bottom=0)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


def cost(table: pd.DataFrame, ax: Axes) -> Axes:
    """Score against seconds per trial, in the methods' colours; `table` of `reproduce.tables.summaries.score_table`."""
    for row in table[table["method"] != "oracle"].itertuples():
        filled = "white" if row.scenario != "in_place" and row.training_rows == "masked" else colour_of(row.method)
        ax.plot(max(row.seconds, 1e-3), row.mean, "o", color=colour_of(row.method), mfc=filled, ms=7, mew=1.3)
    ax.set_xscale("log")
    ax.set(xlabel="seconds to fit and fill", ylabel="R²")
    ax.grid(color="0.92")
    return ax


def scales(table: pd.DataFrame, ax: Axes, order: Iterable[str] = ("raw", "log1p", "log1p_depth")) -> Axes:
    """Score of each method on each scale of expression with 95 % intervals; `table` of
    `reproduce.tables.summaries.score_table`.
    """
    order = [kind for kind in order if kind in set(table["transform"])]
    methods = table["method"].unique()
    for shift, method in zip(np.linspace(-0.06, 0.06, len(methods)), methods, strict=True):  # intervals side by side
        values = table[table["method"] == method].set_index("transform").reindex(order)
        half = (values["high"] - values["mean"]).where(np.isfinite(values["high"]))
        x = np.arange(len(order)) + shift
        ax.errorbar(x, values["mean"], half, fmt="o-", lw=1.2, color=colour_of(method), label=label_of(method))
    ax.set_xticks(range(len(order)), order)
    ax.set_xlim(-0.3, len(order) - 0.7)
    ax.set(xlabel="scale of expression", ylabel="R²")
    ax.legend()
    return ax


def forest(contrasts: pd.DataFrame, verdicts: pd.DataFrame, ax: Axes) -> Axes:
    """Paired differences with 95 % intervals in the challenger's colour, the practical margin, and each claim's
    verdict.
    """
    decided = verdicts.set_index("id")["verdict"]
    table = contrasts[contrasts["n_splits"] > 0].iloc[::-1].reset_index(drop=True)
    names = []
    for y, row in table.iterrows():
        colour = colour_of(row["challenger"])
        if np.isfinite(row["low"]):
            ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=2)
        ax.plot(row["mean"], y, "o", color=colour, ms=6, mec="white", mew=0.6)
        rival = label_of(row["rival"]) if row["rival"] else "gene means"
        names.append(f"{row['id']}  {label_of(row['challenger'])} − {rival}")
    for claim, rows in table.groupby("id").groups.items():
        at = (1.02, (min(rows) + max(rows)) / 2)
        text = f"{claim} {decided[claim]}"
        ax.annotate(
            text, at, xycoords=("axes fraction", "data"), va="center", color=VERDICTS[decided[claim]], weight="bold"
        )
        ax.axhline(min(rows) - 0.5, color="0.85", lw=0.8, zorder=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    for margin in contrasts["margin"].unique():
        ax.axvline(margin, color="0.3", lw=0.8, ls=":", zorder=0)
    ax.set_yticks(range(len(table)), names)
    ax.set_ylim(-0.5, len(table) - 0.5)
    ax.set_xlabel("difference in R² (paired over splits); dotted: practical margin")
    ax.grid(axis="x", color="0.92")
    return ax


def ours_beside_paper(headline: pd.DataFrame, ax: Axes, *, scenario: str, left: float = -0.3) -> Axes:
    """Our R² with its interval beside the paper's for its two gene sets, method by method.

    Parameters
    ----------
    headline : DataFrame
        Of `reproduce.tables.summaries.headline_table`.
    ax : Axes
    scenario : {"inductive", "in_place"}
    left : float, default -0.3
        Where the axis begins; scores and intervals further left are marked there by a triangle.
    """
    table = headline[headline["scenario"] == scenario].iloc[::-1].reset_index(drop=True)
    markers = {"paper_genome": ("s", "paper, 12,557 genes"), "paper_alzheimer": ("^", "paper, 273 genes")}
    for y, row in table.iterrows():
        colour = colour_of(row["method"])
        if np.isfinite(row["ours_low"]):
            ends = ranges.cut(row["ours_low"], row["ours_high"], ranges.R2)
            interval(ax, *ends, y, colour=colour, left=left, right=np.inf, lw=2.5)
        if np.isfinite(row["ours"]):
            ax.plot(max(row["ours"], left), y, "o" if row["ours"] > left else "<", color=colour, ms=7, zorder=3)
        for column, (marker, _) in markers.items():
            value = row.get(column, np.nan)
            if np.isfinite(value):
                shape = marker if value > left else "<"
                ax.plot(max(value, left), y, shape, mfc="white", mec=colour, ms=5.5, mew=1.2, zorder=2)
    ax.plot([], [], "o", color="0.3", ms=7, label="ours")
    for marker, label in markers.values():
        ax.plot([], [], marker, mfc="white", mec="0.3", ms=5.5, label=label)
    ax.set_yticks(range(len(table)), table["label"])
    ax.set_xlim(left - 0.03, 1.0)
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xlabel("R² of hidden entries, 50 % hidden")
    ax.set_title(scenario.replace("_", " "))
    ax.grid(axis="x", color="0.92")
    return ax


def ablation_forest(table: pd.DataFrame, ax: Axes, *, limit: float | None = None) -> Axes:
    """What each variation changes in R², with its 95 % interval: grouped by method, sorted within each factor.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.ablation_tables.ablation_table`.
    ax : Axes
    limit : float, optional
        Where the axis ends on both sides; differences beyond it are marked by an arrow with their value.
    """
    order = {name: i for i, name in enumerate(dict.fromkeys(zip(table["method"], table["factor"], strict=True)))}
    place = [order[pair] for pair in zip(table["method"], table["factor"], strict=True)]
    methods = pd.Categorical(table["method"], list(dict.fromkeys(table["method"])), ordered=True)
    sorted_rows = table.assign(_place=place, _method=methods).sort_values(["_method", "_place", "difference"])
    table = sorted_rows.iloc[::-1].reset_index(drop=True)
    for y, row in table.iterrows():
        colour = colour_of(row["method"])
        if limit is not None and abs(row["difference"]) > limit:
            left = row["difference"] < 0
            text, x = (f"◂ {row['difference']:+.2f}", 0.01) if left else (f"{row['difference']:+.2f} ▸", 0.99)
            at = {"xycoords": ("axes fraction", "data"), "ha": "left" if left else "right", "va": "center"}
            ax.annotate(text, (x, y), color=colour, size=8, **at)
            continue
        if np.isfinite(row["low"]):
            ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=2)
        ax.plot(row["difference"], y, "o", color=colour, ms=5.5, mec="white", mew=0.6)
    for method, rows in table.groupby("method", sort=False).groups.items():
        at = (1.02, (min(rows) + max(rows)) / 2)
        ax.annotate(
            label_of(method),
            at,
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour_of(method),
            weight="bold",
        )
        ax.axhline(min(rows) - 0.5, color="0.85", lw=0.8, zorder=0)
    ax.axvline(0, color="0.4", lw=1, zorder=0)
    names = [f"{row.factor}: {row.level} (default {row.default_level})" for row in table.itertuples()]
    ax.set_yticks(range(len(table)), names)
    ax.set_ylim(-0.5, len(table) - 0.5)
    if limit is not None:
        ax.set_xlim(-limit, limit)
    ax.set_xlabel("difference in R² from the default (paired over splits)")
    ax.grid(axis="x", color="0.92")
    return ax


def search_scatter(table: pd.DataFrame, ax: Axes) -> Axes:
    """R² against seconds to fit for each draw, the frontier as a line and the default as a diamond; `table` of
    `reproduce.tables.ablation_tables.search_table`.
    """
    colour, default = colour_of("pmi"), table["setting"] == "default"
    draws = table[~default]
    ax.plot(draws["fit_seconds"], draws["r2"], "o", color=colour, alpha=0.55, ms=6, mew=0, label="random draw")
    frontier = table[table["on_frontier"]].sort_values("fit_seconds")
    ax.plot(frontier["fit_seconds"], frontier["r2"], "-", drawstyle="steps-post", color="0.4", lw=1, label="frontier")
    ax.plot(table.loc[default, "fit_seconds"], table.loc[default, "r2"], "D", color="black", ms=7, label="default")
    ax.set_xscale("log")
    # wide enough that at least one of the labelled times 1, 2, 5, 10, … is in sight
    ax.set_xlim(table["fit_seconds"].min() / 2, table["fit_seconds"].max() * 2)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="seconds to fit", ylabel="R²")
    ax.grid(color="0.92")
    ax.legend()
    return ax


def claims_forest(table: pd.DataFrame, ax: Axes, *, limit: float = 0.6) -> Axes:
    """How far each claim's effect lies from its margin, with its 95 % interval, in its verdict's colour.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.claims.claims_table`.
    ax : Axes
    limit : float, default 0.6
        Where the axis ends on both sides; effects beyond it are marked by an arrow with their value, and intervals that
        go on there by a triangle.
    """
    drawn = table[np.isfinite(table["effect"])].iloc[::-1].reset_index(drop=True)
    for y, row in drawn.iterrows():
        colour, effect = VERDICTS[row["verdict"]], row["effect"] - row["margin"]
        if abs(effect) > limit:
            text, x, side = (f"{effect:+.2f} ▸", 0.99, "right") if effect > 0 else (f"◂ {effect:+.2f}", 0.01, "left")
            ax.annotate(text, (x, y), xycoords=("axes fraction", "data"), ha=side, va="center", color=colour, size=8)
            continue
        if np.isfinite(row["low"]):
            ends = np.array(ranges.cut(row["low"], row["high"], ranges.limits_of(row["quantity"]))) - row["margin"]
            interval(ax, *ends, y, colour=colour, left=-limit, right=limit)
        ax.plot(effect, y, "o", color=colour, ms=6, mec="white", mew=0.6)
    for y, row in drawn.iterrows():
        at = (1.035, y)  # beside a triangle
        ax.annotate(
            row["verdict"], at, xycoords=("axes fraction", "data"), va="center", color=VERDICTS[row["verdict"]], size=8
        )
    ax.axvline(0, color="0.4", lw=1, zorder=0)
    ax.set_yticks(range(len(drawn)), [f"{row.id}  {row.quantity}" for row in drawn.itertuples()])
    ax.set_ylim(-0.7, len(drawn) - 0.3)
    ax.set_xlim(-limit, limit)
    ax.set_xlabel("effect − margin, in the claim's own unit")
    ax.grid(axis="x", color="0.92")
    return ax
