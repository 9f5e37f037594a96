"""Words and tables of the companion study of single-cell counts; never trains and never draws.

Here: the data, known rates, the search, likelihoods, the conclusion. `single_cell_tasks` has the rest.

**Intervals.** Means over divisions of the cells have 95 % intervals by the corrected t of `reproduce.hypotheses`, since
divisions overlap (`counts.OVERLAP`); with one division there is no interval. Where a training diverged there is no mean
either: a mean of those that did not would flatter what fails.

**Verdicts** are those of `reproduce.hypotheses`: a claim is *supported* where the interval of a paired difference lies
above the margin, *refuted* where it lies below, else *inconclusive*.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.files import write_table
from reproduce.single_cell.counts import FRACTIONS, OVERLAP, CountData
from reproduce.single_cell.denoising import RIVALS
from reproduce.single_cell.grid import DIVERGED, N_DRAWS
from reproduce.single_cell.likelihoods import LIKELIHOODS
from reproduce.tables import ranges
from reproduce.tables.summaries import mean_and_interval
from reproduce.tables.wording import row_with_interval

LAWS = {name: law.label for name, law in LIKELIHOODS.items()}
METHODS = {**LAWS, **RIVALS}
#: Smallest difference of ELBOs that matters, nats a cell.
ELBO_MARGIN = 1.0
#: What the study claims of laws: each of the first beats each of the second.
_DISPERSED = ("negative_binomial", "zero_inflated_negative_binomial")
_RIGID = ("poisson", "zero_inflated_poisson")


def mean_unless_diverged(values: pd.Series) -> dict[str, float]:
    """`summaries.mean_and_interval` and n_diverged, the number of missing values; with one of them there is no mean."""
    missing = int(values.isna().sum())
    if missing or not len(values):
        return {"mean": np.nan, "low": np.nan, "high": np.nan, "n_seeds": len(values), "n_diverged": missing}
    return {**mean_and_interval(values, OVERLAP), "n_diverged": 0}


def means_by(table: pd.DataFrame, key: str, value: str, labels: dict[str, str]) -> pd.DataFrame:
    """A row for each of `key`: name, label, and `mean_unless_diverged` of `value` over seeds."""
    rows = [
        {key: name, "label": labels[name], **mean_unless_diverged(group[value])}
        for name, group in table.groupby(key, sort=False)
    ]
    return pd.DataFrame(rows)


def difference(rows: pd.DataFrame, key: str, value: str, one: str, other: str) -> dict[str, float]:
    """`mean_unless_diverged` of the paired differences of two of `key`, seed by seed."""
    by_seed = rows.pivot(index="seed", columns=key, values=value)
    return mean_unless_diverged(by_seed[one] - by_seed[other])


def verdict(contrast: dict[str, float] | pd.Series, margin: float) -> str:
    """See the module's text."""
    if contrast["low"] > margin:
        return "supported"
    return "refuted" if contrast["high"] < margin else "inconclusive"


def text_unless_diverged(
    row: dict[str, float] | pd.Series, *, digits: int, sign: str = "", limits: tuple[float, float] = ranges.ANY
) -> str:
    """`wording.row_with_interval`, or how many trainings diverged."""
    if not np.isfinite(row["mean"]):
        return f"{row['n_diverged']:.0f} of {row['n_seeds']:.0f} diverged"
    return row_with_interval(row, digits=digits, sign=sign, limits=limits)


def texts_unless_diverged(
    table: pd.DataFrame, *, digits: int, sign: str = "", limits: tuple[float, float] = ranges.ANY
) -> list[str]:
    """`text_unless_diverged` of each row."""
    return [text_unless_diverged(row, digits=digits, sign=sign, limits=limits) for _, row in table.iterrows()]


def number_text(value: float, form: str = ",.1f") -> str:
    """A number, or a dash where there is none."""
    return f"{value:{form}}" if np.isfinite(value) else "–"


def beside_others(table: pd.DataFrame, folder: str | Path, name: str) -> pd.DataFrame:
    """Write a table with a column `counts` beside the rows that the file holds of other counts; all of them."""
    path = Path(folder) / f"{name}.csv"
    if path.exists():
        others = pd.read_csv(path)
        others = others[~others["counts"].isin(set(table["counts"]))]
        table = pd.concat([part for part in (others, table) if len(part)], ignore_index=True)
        table = table.sort_values("counts", kind="stable", ignore_index=True)
    write_table(table, folder, name)
    return table


# --- the data ---


def data_table(data: CountData) -> pd.DataFrame:
    """One row: size, depth, zeros."""
    depth = np.asarray(data.counts.sum(axis=1)).ravel()
    cells, genes = data.counts.shape
    return pd.DataFrame({
        "counts": [data.name],
        "simulated": data.simulated,
        "cells": cells,
        "genes": genes,
        "kinds": data.n_labels,
        "median_depth": float(np.median(depth)),
        "zeros": 1.0 - data.counts.nnz / (cells * genes),
        "largest": int(data.counts.data.max()),
    })  # fmt: skip


def say_data(data: CountData, table: pd.DataFrame) -> str:
    """The source, and whether it is real."""
    row = table.iloc[0]
    aside = " **These counts are simulated: nothing here speaks of real cells.**" if data.simulated else ""
    train, validation, test = (f"{share:.0%}" for share in FRACTIONS)
    return (
        f"Shown here: {data.source}. {row['cells']:,} cells × {row['genes']:,} genes, {row['zeros']:.0%} of the counts "
        f"zero, median depth {row['median_depth']:,.0f}.{aside} {test} of the cells are test cells, the same ones "
        f"throughout: nothing is trained, stopped or chosen by them. A division, one a seed, splits the others into "
        f"{train} that train and {validation} that decide when to stop and which layout to take."
    )


# --- a law that is known ---


def known_rates_table(rows: pd.DataFrame) -> pd.DataFrame:
    """For each gene the true rate, the auto-encoder's, and the mean of the training counts."""
    genes = rows[rows["part"] == "gene"]
    table = genes[["truth", "rate", "rate_sd", "sample_mean", "sample_error"]].reset_index(drop=True)
    return table.assign(relative_error=table["rate"] / table["truth"] - 1.0)


def show_known_rates(table: pd.DataFrame) -> pd.DataFrame:
    """As a reader wants it."""
    return pd.DataFrame({
        "λ": table["truth"].map("{:.0f}".format),
        "found ± sd over cells": [f"{m:.2f} ± {s:.2f}" for m, s in table[["rate", "rate_sd"]].to_numpy()],
        "error": table["relative_error"].map("{:+.1%}".format),
        "sample mean ± se": [f"{m:.2f} ± {s:.2f}" for m, s in table[["sample_mean", "sample_error"]].to_numpy()],
    })  # fmt: skip


def say_known_rates(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """How far off the rates are, and whether the latent stayed empty."""
    last = rows[rows["part"] == "epoch"].iloc[-1]
    sample = (table["sample_mean"] / table["truth"] - 1.0).abs().max()
    return (
        f"The largest error of a rate is {table['relative_error'].abs().max():.1%} (of the sample means: "
        f"{sample:.1%}). After {last['epoch']:.0f} epochs the latent's divergence is {last['latent_divergence']:.3f} "
        "nats: genes are independent here, so there is nothing for it to hold."
    )


# --- the search ---


BEST_SHOWN = 8  # trainings of the search that its table shows


def title_of_grid(grid: pd.DataFrame, n: int = BEST_SHOWN) -> str:
    """How many of the trainings `show_grid` shows, and which."""
    return f"All {len(grid)} trainings, the best first" if len(grid) <= n else f"The best {n} of {len(grid)} trainings"


def show_grid(grid: pd.DataFrame, n: int = BEST_SHOWN) -> pd.DataFrame:
    """The best layouts."""
    best = grid.sort_values("validation_elbo", ascending=False).head(n)
    return pd.DataFrame({
        "likelihood": best["likelihood"].map(LAWS),
        "hidden": best["hidden_units"],
        "latent": best["latent_size"],
        "weights": best["n_weights"].map(lambda n: number_text(n, ",.0f")),
        "validation ELBO": best["validation_elbo"].map(number_text),
        "seconds": best["seconds"].map(number_text),
    })  # fmt: skip


def say_grid(grid: pd.DataFrame) -> str:
    """What wins, and whether it is likelihood or layout that matters."""
    diverged = int((grid["status"] == DIVERGED).sum())
    aside = f", of which {diverged} diverged" if diverged else ""
    words = f"{len(grid)} trainings of {grid['epoch'].max():.0f} epoch at most{aside}."
    done = grid.dropna(subset="validation_elbo")
    if done.empty:
        return words
    by_law = done.groupby("likelihood", sort=False)["validation_elbo"]
    best = done.loc[done["validation_elbo"].idxmax()]
    within = float((by_law.max() - by_law.min()).median())
    between = float(by_law.max().max() - by_law.max().min())
    what = (
        "The likelihood matters more than the layout" if between > within else "Layouts matter as much as likelihoods"
    )
    return (
        f"{words} Best: {LAWS[best['likelihood']]}, hidden {best['hidden_units']}, latent {best['latent_size']}. "
        f"{what}: the best of each likelihood differ by up to {between:,.1f} nats a cell, layouts of one likelihood by "
        f"{within:,.1f}. After so few steps this ranks who learns fastest, not who ends best."
    )


# --- likelihoods ---


def elbo_table(rows: pd.DataFrame, layout: str = "shared") -> pd.DataFrame:
    """Mean test ELBO by likelihood with its interval over divisions.

    `n_improving` counts the trainings whose last epoch was their best: they ended by the limit of epochs.

    Parameters
    ----------
    rows : DataFrame
        Of `reproduce.single_cell.grid.likelihood_rows`.
    layout : {"shared", "own"}
        Of the layout that all likelihoods share, or of each one's own best.
    """
    rows = rows[rows[layout]]
    test = rows[rows["part"] == "test"]
    last = rows[rows["part"] == "train"].groupby(["likelihood", "seed"], sort=False)["epoch"].max()
    ends = test.set_index(["likelihood", "seed"])
    improving = ((ends["epoch"] == last) & (ends["status"] != DIVERGED)).groupby("likelihood", sort=False).sum()
    table = means_by(test, "likelihood", "elbo", LAWS)
    more = ["importance", "reconstruction", "latent_divergence", "epoch", "seconds"]
    means = test.groupby("likelihood", sort=False)[more].mean()
    layouts = test.groupby("likelihood", sort=False)[["hidden_units", "latent_size", "counts"]].first()
    table = table.merge(means.reset_index(), on="likelihood").merge(layouts.reset_index(), on="likelihood")
    return table.assign(n_improving=table["likelihood"].map(improving))


def elbo_contrasts(rows: pd.DataFrame, data: CountData) -> pd.DataFrame:
    """Paired differences of test ELBOs, each dispersed law less each rigid one, all with the shared layout."""
    test = rows[(rows["part"] == "test") & rows["shared"]]
    there = set(test["likelihood"])
    found = [
        {"counts": data.name, "simulated": data.simulated, "likelihood": one, "reference": other}
        | difference(test, "likelihood", "elbo", one, other)
        for one in _DISPERSED
        for other in _RIGID
        if {one, other} <= there
    ]
    names = (
        "counts",
        "simulated",
        "likelihood",
        "reference",
        "mean",
        "low",
        "high",
        "n_seeds",
        "n_diverged",
        "verdict",
    )
    table = pd.DataFrame(found, columns=names)
    return table.assign(verdict=[verdict(row, ELBO_MARGIN) for _, row in table.iterrows()])


def show_elbos(table: pd.DataFrame, own: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """ELBOs and differences as a reader wants them; `own` of each likelihood's own best layout."""
    shown = pd.DataFrame({"likelihood": table["label"], "test ELBO": texts_unless_diverged(table, digits=1)})
    for other in _RIGID:
        part = contrasts[contrasts["reference"] == other]
        differences = dict(zip(part["likelihood"], texts_unless_diverged(part, digits=1, sign="+"), strict=True))
        shown[f"less {LAWS[other]}'s"] = [differences.get(name, "–") for name in table["likelihood"]]
    shown[f"importance-weighted, {N_DRAWS} draws"] = table["importance"].map(number_text)
    shown["divergence"] = table["latent_divergence"].map(number_text)
    shown["best epoch"] = table["epoch"].map("{:.0f}".format)
    shown["seconds"] = table["seconds"].map("{:.0f}".format)
    shown["divisions"] = table["n_seeds"]
    if len(own):
        layouts = {
            row["likelihood"]: f"{row['hidden_units']}, latent {row['latent_size']}" for _, row in own.iterrows()
        }
        scores = dict(zip(own["likelihood"], texts_unless_diverged(own, digits=1), strict=True))
        # without trainings of own layouts, those of laws whose best is the shared one are there all the same
        shown["own best layout"] = [layouts.get(name, "–") for name in table["likelihood"]]
        shown["test ELBO with it"] = [scores.get(name, "–") for name in table["likelihood"]]
    return shown


def say_division_intervals(table: pd.DataFrame, where: str = "Bars") -> str:
    """Under a table or figure of means over divisions: what its intervals are, or why there are none."""
    if not np.isfinite(table["low"].astype(float)).any():
        why = "one division has no interval" if (table["n_seeds"] <= 1).all() else "trainings diverged"
        return f"{where}: none, since {why}."
    return (
        f"{where}: intervals of ninety-five per cent over divisions, corrected for their overlap, and cut to what the "
        "score can be."
    )


def say_elbo_columns(table: pd.DataFrame, own: pd.DataFrame) -> str:
    """What the columns of `show_elbos` are, of those that are there."""
    layouts = (
        "On the right of the table: each with the layout that was best for it in the search, a dash where that one was "
        "not trained. "
        if len(own)
        else "Layouts of their own were not trained in this preset. "
    )
    return layouts + say_division_intervals(table, "Intervals in the table")


def say_elbos(table: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Whether dispersion and extra zeros pay."""
    layout = table.iloc[0]
    words = [f"All with the layout {layout['hidden_units']}, latent {layout['latent_size']}."]
    lost = table[table["n_diverged"] > 0]
    words += [f"{opened(row['label'])}: {text_unless_diverged(row, digits=1)}." for _, row in lost.iterrows()]
    if table["mean"].notna().any():
        best = table.loc[table["mean"].idxmax()]
        aside = " of those that never diverged" if len(lost) else ""
        words.append(f"Highest test ELBO{aside}: {best['label']}, {best['mean']:,.1f} nats a cell.")
    for name, part in contrasts.groupby("likelihood", sort=False):
        against = "; ".join(
            f"{LAWS[row['reference']]} {text_unless_diverged(row, digits=1, sign='+')}" for _, row in part.iterrows()
        )
        rivals = " and ".join(LAWS[other] for other in part["reference"]) + ", each" * (len(part) > 1)
        words.append(
            f"Claim: {LAWS[name]} beats {rivals} "
            f"by more than {ELBO_MARGIN:g} nat: **{joint_verdict(part['verdict'])}** (against {against})."
        )
    if (improving := int(table["n_improving"].sum())) > 0:
        words.append(
            f"{improving} of {table['n_seeds'].sum()} trainings were still improving in their last epoch, so this may "
            "rank who learns fastest."
        )
    if (table["n_seeds"] == 1).all():
        words.append("One division says nothing about others.")
    return " ".join(words)


def joint_verdict(verdicts: pd.Series) -> str:
    """Of a claim that needs every one of these."""
    if (verdicts == "supported").all():
        return "supported"
    return "refuted" if (verdicts == "refuted").any() else "inconclusive"


def opened(text: str) -> str:
    """As a sentence begins."""
    return text[0].upper() + text[1:]


# --- all of it ---


def say_all_counts(contrasts: pd.DataFrame) -> str:
    """What comes of the claim about laws on every real set of counts that the results folder holds."""
    real = contrasts[~contrasts["simulated"].astype(bool)]
    if real.empty:
        return ""
    words = []
    for name, part in real.groupby("likelihood", sort=False):
        of_sets = [f"{counts} {joint_verdict(one['verdict'])}" for counts, one in part.groupby("counts")]
        words.append(f"{opened(LAWS[name])} beats both rigid laws: {', '.join(of_sets)}.")
    n = real["counts"].nunique()
    return f"{n} real set{'s' * (n > 1)} of counts in these results. {' '.join(words)}"


def say_conclusion(data: CountData, elbos: str, all_counts: str, rates: str, clusters: str, denoising: str) -> str:
    """What the tables say, one line each."""
    aside = "The counts are simulated, so this only shows that everything runs.\n\n" if data.simulated else ""
    lines = {
        "Likelihood": elbos, "Every set of counts": all_counts, "Rates": rates, "Clusters": clusters,
        "Held-out counts": denoising,
    }  # fmt: skip
    return aside + "\n".join(f"- **{name}.** {text}" for name, text in lines.items() if text)
