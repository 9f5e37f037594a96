"""Draws R² against the number of patients with and without references, and gene by gene; never computes a score.

A reference has the colour of its cohort, several together the palette's black; the target alone is grey. Tables come
from `reproduce.tables.transfer_tables`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from reproduce.experiments.transfer import REFERENCE_ONLY, TARGET_ONLY, TRANSFER
from reproduce.plots import COHORTS, PALETTE, new_figure
from reproduce.tables import ranges
from reproduce.tables.transfer_tables import arm_label

_LINES = {TARGET_ONLY: "-", REFERENCE_ONLY: (0, (1, 1.4)), TRANSFER: "-"}
#: A cohort that has no colour of its own, such as normal tissue.
_OTHER = PALETTE["pmi"]


def colour_of_references(arm: str, references: str) -> str:
    """Grey for the target alone, a cohort's own colour, black for several together."""
    if arm == TARGET_ONLY:
        return PALETTE["median"]
    if " + " in references:
        return PALETTE["oracle"]
    return COHORTS.get(references, _OTHER)


def patient_curves(table: pd.DataFrame, ax: Axes, *, lowest: float = -0.4) -> Axes:
    """R² against the number of patients (logarithmic), one line an arm, with 95 % bands over seeds.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.transfer_tables.curve_table`, one target.
    ax : Axes
    lowest : float, default -0.4
        Where the axis may begin; lines that fall below leave the panel.
    """
    for (arm, references), curve in table.groupby(["arm", "references"], sort=False):
        curve, colour = curve.sort_values("n_patients"), colour_of_references(arm, references)
        ax.plot(
            curve["n_patients"], curve["mean"], color=colour, ls=_LINES[arm], lw=1.0 if arm == REFERENCE_ONLY else 1.6,
            marker="o", ms=3.5, mec=colour, mfc="white" if arm == REFERENCE_ONLY else colour,
        )  # fmt: skip
        band = curve[np.isfinite(curve["low"])]
        low, high = ranges.cut(band["low"], band["high"], ranges.R2)
        ax.fill_between(band["n_patients"], low, high, color=colour, alpha=0.1, lw=0)
    sizes = sorted(table["n_patients"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_ylim(bottom=max(lowest, ax.get_ylim()[0]))
    ax.set_xlabel("patients of the target")
    ax.grid(color="0.92")
    return ax


def curve_panels(table: pd.DataFrame, *, lowest: float = -0.4) -> Figure:
    """One panel of `patient_curves` a target, side by side, and one legend below them."""
    targets = list(dict.fromkeys(table["target"]))
    fig, axes = new_figure(len(targets), width=4.0, height=4.4, sharey=True, squeeze=False)
    for target, ax in zip(targets, axes[0], strict=True):
        patient_curves(table[table["target"] == target], ax, lowest=lowest)
        ax.set_title(target)
    axes[0, 0].set_ylabel("R² of hidden entries (mean over genes)")
    curves = table[["arm", "references"]].drop_duplicates().itertuples(index=False, name=None)
    lines = [
        Line2D(
            [], [], color=colour_of_references(*curve), ls=_LINES[curve[0]], lw=1.5, marker="o", ms=3.5,
            mfc="white" if curve[0] == REFERENCE_ONLY else colour_of_references(*curve), label=arm_label(*curve),
        )
        for curve in curves
    ]  # fmt: skip
    fig.legend(handles=lines, loc="outside lower center", ncols=3)
    return fig


def gene_scatter(table: pd.DataFrame, ax: Axes, *, n_named: int = 4, lowest: float = -1.0) -> Axes:
    """R² of each gene with references against R² without; filled where the gain is shown, the largest gains named.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.transfer_tables.gene_table`, one target, set of references and number of patients.
    ax : Axes
    n_named : int, default 4
    lowest : float, default -1.0
        Where both axes may begin; genes below stand at the edge.
    """
    colour = colour_of_references(TRANSFER, table["references"].iloc[0])
    x, y = table["target_only"].clip(lower=lowest), table["transfer"].clip(lower=lowest)
    shown = table["transfers"].to_numpy(bool)
    ax.scatter(x[shown], y[shown], s=20, c=colour, lw=0, label="better with references")
    ax.scatter(x[~shown], y[~shown], s=20, facecolors="white", edgecolors=colour, lw=0.9, label="not certain")
    ends = [min(x.min(), y.min()) - 0.03, max(x.max(), y.max()) + 0.03]
    ax.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
    for position in table["gain"].nlargest(n_named).index:
        ax.annotate(table.at[position, "gene"], (x[position], y[position]), xytext=(4, 3),
                    textcoords="offset points", size=7)  # fmt: skip
    ax.set(xlim=ends, ylim=ends, xlabel="R² of the target alone", ylabel="R² with references")
    ax.set_aspect("equal")
    ax.grid(color="0.93")
    ax.legend(loc="lower right", fontsize=7)
    return ax


def gene_panels(table: pd.DataFrame) -> Figure:
    """One `gene_scatter` for each target and set of references, at the smallest number of patients.

    Parameters
    ----------
    table : DataFrame
        Of `reproduce.tables.transfer_tables.gene_table`.
    """
    smallest = table[table["n_patients"] == table.groupby("target")["n_patients"].transform("min")]
    pairs = list(smallest[["target", "references"]].drop_duplicates().itertuples(index=False, name=None))
    targets = list(dict.fromkeys(target for target, _ in pairs))
    most = max(sum(target == name for target, _ in pairs) for name in targets)
    fig, axes = new_figure(most, len(targets), width=3.2, height=3.4, squeeze=False)
    for ax in axes.ravel():
        ax.set_visible(False)
    for row, target in enumerate(targets):
        for ax, (_, references) in zip(axes[row], [pair for pair in pairs if pair[0] == target], strict=False):
            part = smallest[(smallest["target"] == target) & (smallest["references"] == references)]
            gene_scatter(part.reset_index(drop=True), ax)
            ax.set_visible(True)
            ax.set_title(f"{target} from {references}, n = {part['n_patients'].iloc[0]}", fontsize=8)
    return fig
