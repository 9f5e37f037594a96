"""Draws the tables of the companion study of single-cell counts; never computes a score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproduce.plots import new_figure
from reproduce.single_cell.grid import DIVERGED
from reproduce.tables import ranges
from reproduce.tables.single_cell_tables import LAWS, METHODS
from reproduce.tables.single_cell_tasks import OVERFLOW

LAW_COLOURS = {
    "poisson": "#0072B2",
    "zero_inflated_poisson": "#56B4E9",
    "negative_binomial": "#D55E00",
    "zero_inflated_negative_binomial": "#E69F00",
}
#: Okabe and Ito's and, where there are more kinds than these, darker ones.
KIND_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#827B12", "#7A3200", "#4B2E83",
)  # fmt: skip
_MARKERS = "os^vDPX*<>"
_GREY = "#777777"


def known_rates_panels(rows: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Rates found against true ones, the ELBO with its reconstruction term, and the divergence, epoch by epoch."""
    fig, axes = new_figure(3, width=3.7, height=3.3)
    ax = axes[0]
    ends = [0, table["truth"].max() * 1.1]
    ax.plot(ends, ends, color=_GREY, lw=0.8, zorder=0)
    ax.errorbar(
        table["truth"],
        table["rate"],
        table["rate_sd"],
        fmt="o",
        ms=4,
        color=LAW_COLOURS["poisson"],
        label="auto-encoder",
    )
    ax.plot(
        table["truth"], table["sample_mean"], "x", ms=5, color=LAW_COLOURS["negative_binomial"], label="sample mean"
    )
    ax.set(xlabel="true λ", ylabel="λ found", title="Rates")
    ax.legend(loc="upper left")
    epochs = rows[rows["part"] == "epoch"]
    axes[1].plot(
        epochs["epoch"], epochs["reconstruction"], color=LAW_COLOURS["negative_binomial"], label="log likelihood"
    )
    axes[1].plot(epochs["epoch"], epochs["elbo"], "--", color=LAW_COLOURS["poisson"], label="ELBO")
    # the first epochs start from rates of 1, far below
    later = epochs["elbo"].iloc[len(epochs) // 10 :]
    axes[1].set_ylim(later.min() - 0.5, epochs["reconstruction"].max() + 0.5)
    axes[1].set(xlabel="epoch", ylabel="nats a cell", title="Bound")
    axes[1].legend(loc="lower right")
    axes[2].plot(epochs["epoch"], epochs["latent_divergence"], color=LAW_COLOURS["poisson"])
    axes[2].set(xlabel="epoch", ylabel="nats a cell", title="KL divergence of the latent")
    axes[2].set_ylim(bottom=0)
    return fig


def grid_panels(grid: pd.DataFrame) -> Figure:
    """Validation ELBO by hidden layers and latent size, a panel for each likelihood, as nats below the best of all."""
    laws = [law for law in LAWS if law in set(grid["likelihood"])]
    fig, axes = new_figure(len(laws), width=3.1, height=3.0, squeeze=False, sharey=True)
    loss = grid.assign(loss=grid["validation_elbo"].max() - grid["validation_elbo"])
    hidden = list(dict.fromkeys(loss["hidden_units"]))
    top = max(loss["loss"].max(), 1e-9)
    for ax, law in zip(axes[0], laws, strict=True):
        table = loss[loss["likelihood"] == law].pivot_table(
            index="hidden_units", columns="latent_size", values="loss", dropna=False
        )
        table = table.reindex(hidden)
        ax.imshow(np.log10(table.to_numpy() + 1), cmap="cividis_r", vmin=0, vmax=np.log10(top + 1), aspect="auto")
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            if not np.isfinite(value):
                ax.text(column, row, "diverged", ha="center", va="center", size=7)
                continue
            dark = np.log10(value + 1) > 0.5 * np.log10(top + 1)
            ax.text(column, row, f"{value:,.0f}", ha="center", va="center", color="white" if dark else "black", size=8)
        ax.set_xticks(range(table.shape[1]), table.columns)
        ax.set_yticks(range(len(hidden)), hidden)
        ax.set(xlabel="latent size", title=LAWS[law])
        ax.spines[:].set_visible(False)
    axes[0][0].set_ylabel("hidden units")
    return fig


def elbo_curves(rows: pd.DataFrame) -> Figure:
    """ELBO of training and validation cells by epoch: a line a likelihood, bands from least to most of the seeds."""
    fig, axes = new_figure(2, width=4.6, height=3.6, sharey=True)
    for ax, part, title in zip(axes, ("train", "validation"), ("Training cells", "Validation cells"), strict=True):
        chosen = rows[(rows["part"] == part) & rows["shared"]]
        for law in (law for law in LAWS if law in set(chosen["likelihood"])):
            # an epoch that some seeds did not reach would join different seeds
            by_epoch = chosen[chosen["likelihood"] == law].groupby("epoch")["elbo"]
            full = by_epoch.count() == by_epoch.count().max()
            mean, low, high = (values[full] for values in (by_epoch.mean(), by_epoch.min(), by_epoch.max()))
            ax.plot(mean.index, mean, color=LAW_COLOURS[law], lw=1.4, label=LAWS[law])
            ax.fill_between(mean.index, low, high, color=LAW_COLOURS[law], alpha=0.2, lw=0)
        ax.set(xlabel="epoch", title=title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # what training starts from lies far below what is compared
    drawn = rows["part"].isin(["train", "validation"]) & rows["shared"]
    late = rows.loc[drawn & (rows["epoch"] > 0.1 * rows["epoch"].max()), "elbo"]
    span = max(late.max() - late.min(), 1e-3)
    axes[0].set_ylim(late.min() - 0.15 * span, late.max() + 0.25 * span)
    axes[0].set_ylabel("ELBO, nats a cell")
    _legend_below(fig, axes[0], 2)
    return fig


def rate_curves(rows: pd.DataFrame) -> Figure:
    """Sum of rates over sum of counts, largest log rate, bound on the composition, by epoch and parametrisation.

    Lines run from the start (epoch 0); a cross is the last epoch that came to a number before training diverged.
    """
    fig, axes = new_figure(3, width=3.9, height=3.9)
    for number, (name, arm) in enumerate(rows.groupby("parametrisation", sort=False)):
        colour, marker = KIND_COLOURS[number], _MARKERS[number]
        for k, (_, run) in enumerate(arm.groupby("seed")):
            style = {"color": colour, "marker": marker, "ms": 3, "lw": 1.2, "markevery": max(1, len(run) // 8)}
            style["label"] = name if k == 0 else "_more"
            lines = (run["rate_sum"] / run["count_sum"], run["largest_log_rate"], run["validation_composition"])
            for ax, values in zip(axes, lines, strict=True):
                values = values.where(np.isfinite(values))
                ax.plot(run["epoch"], values, **style)
                if (run["status"] == DIVERGED).any() and len(there := values.dropna()):
                    ax.plot(run["epoch"][there.index[-1]], there.iloc[-1], "x", color=colour, ms=9, mew=2)
    axes[0].axhline(1.0, color=_GREY, lw=0.8, zorder=0)
    axes[0].set(ylabel="Σ rates / Σ counts", yscale="log", title="Sum of rates")
    axes[1].axhline(OVERFLOW, color=_GREY, lw=0.8, ls="--", zorder=0)
    axes[1].set(ylabel="largest log λ", yscale="symlog", title="Largest rate")
    axes[1].set_ylim(bottom=min(0.0, rows["largest_log_rate"].min()))
    axes[2].set(ylabel="validation cells, nats a cell", title="Bound on the composition")
    ends = rows.groupby(["parametrisation", "seed"])["validation_composition"].last().dropna()
    if len(ends):  # what an arm passes through on its way must not hide where arms end
        span = max(ends.max() - ends.min(), 1.0)
        axes[2].set_ylim(ends.min() - 0.5 * span, ends.max() + 0.1 * span)
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_below(fig, axes[0], 4)
    return fig


def latent_maps(rows: pd.DataFrame) -> Figure:
    """The latent spaces of VAE and GMVAE: cells by label, and by cluster."""
    models = [("vae", "VAE", "k-means"), ("gmvae", "GMVAE", "its components")]
    fig, axes = new_figure(4, width=3.1, height=3.3)
    for pair, (model, label, clusters) in zip((axes[:2], axes[2:]), models, strict=True):
        part = rows[(rows["model"] == model) & (rows["status"] != DIVERGED)]
        _scatter(part, "label", pair[0], f"{label}: labels")
        _scatter(part, "cluster", pair[1], f"{label}: {clusters}")
    _legend_below(fig, axes[0], 5, markerscale=1.8)
    return fig


def _legend_below(fig: Figure, ax: Axes, columns: int, **style: float) -> None:
    handles, names = ax.get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=min(columns, len(names)), fontsize=8, **style)


def _scatter(part: pd.DataFrame, by: str, ax: Axes, title: str) -> None:
    for number, (name, cells) in enumerate(part.groupby(by)):
        colour = KIND_COLOURS[number % len(KIND_COLOURS)]
        marker = _MARKERS[(number // len(KIND_COLOURS) + number) % len(_MARKERS)]
        ax.scatter(cells["x"], cells["y"], s=7, color=colour, marker=marker, lw=0, alpha=0.7, label=str(name))
    ax.set(xticks=[], yticks=[], title=title)


def cluster_dots(table: pd.DataFrame) -> Figure:
    """ARI and NMI by method with 95 % intervals over divisions; an empty figure for cells without labels."""
    return _dots(table, {"ari": "adjusted Rand index", "nmi": "normalised mutual information"}, {})


def denoising_dots(table: pd.DataFrame) -> Figure:
    """Share of the library mean's deviance and squared error that is gone, by method with 95 % intervals."""
    titles = {
        "deviance_explained": "Poisson deviance explained\nbeyond the library mean",
        "squares_explained": "squared error explained\nbeyond the library mean",
    }
    fig = _dots(table, titles, {METHODS[law]: colour for law, colour in LAW_COLOURS.items()})
    for ax in fig.axes:
        ax.axvline(0.0, color=_GREY, lw=0.8, zorder=0)
    return fig


def _dots(table: pd.DataFrame, titles: dict[str, str], colours: dict[str, str]) -> Figure:
    fig, axes = new_figure(len(titles), width=4.3, height=0.9 + 0.35 * max(2, table["label"].nunique()), sharey=True)
    for ax, (score, title) in zip(np.atleast_1d(axes), titles.items(), strict=True):
        part = table[table["score"] == score].iloc[::-1].reset_index(drop=True)
        for y, row in part.iterrows():
            colour = colours.get(row["label"], "#333333")
            ax.plot(ranges.cut(row["low"], row["high"], ranges.limits_of(score)), [y, y], color=colour, lw=1.6)
            ax.plot(row["mean"], y, "o", color=colour, ms=5)
        ax.set_yticks(range(len(part)), part["label"])
        ax.set(title=title)
        ax.grid(axis="x", color="#DDDDDD", lw=0.6)
    return fig
