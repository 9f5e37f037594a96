"""Words and tables of the companion study of single-cell counts; never trains and never draws.

Means over divisions of the cells have 95 % intervals by the corrected t of `reproduce.hypotheses`, since divisions
overlap; with one division there is no interval, and nothing is concluded.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.hypotheses import corrected_t
from reproduce.single_cell.clustering import CLUSTERINGS
from reproduce.single_cell.counts import FRACTIONS, CountData
from reproduce.single_cell.denoising import LIBRARY_MEAN, RIVALS
from reproduce.single_cell.grid import PARAMETRISATIONS
from reproduce.single_cell.likelihoods import LIKELIHOODS

#: Test over training cells, which the corrected t needs.
OVERLAP = FRACTIONS[2] / FRACTIONS[0]
LAWS = {name: law.label for name, law in LIKELIHOODS.items()}
METHODS = {**LAWS, **RIVALS}
_FEW = "too few divisions of the cells to conclude"


def with_interval(values: pd.Series, ratio: float = OVERLAP) -> dict[str, float]:
    """Mean, ends of its interval (NaN for a single value) and number of values."""
    contrast = corrected_t(values, ratio)
    ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
    return {"mean": contrast.mean, "low": ends[0], "high": ends[1], "n_seeds": contrast.n_splits}


def _by(table: pd.DataFrame, key: str, value: str, order: dict[str, str], ratio: float = OVERLAP) -> pd.DataFrame:
    rows = [
        {key: name, "label": order[name], **with_interval(group[value], ratio)}
        for name, group in table.groupby(key, sort=False)
    ]
    return pd.DataFrame(rows)


def _text(mean: float, low: float, high: float, digits: int, sign: str = "") -> str:
    interval = f" [{low:{sign},.{digits}f},\u00a0{high:{sign},.{digits}f}]" if np.isfinite(low) else ""
    return f"{mean:{sign},.{digits}f}{interval}"


def _texts(table: pd.DataFrame, digits: int = 1, sign: str = "") -> list[str]:
    return [_text(*row, digits, sign) for row in table[["mean", "low", "high"]].itertuples(index=False, name=None)]


# --- the data ---


def data_table(data: CountData) -> pd.DataFrame:
    """One row: size, depth, zeros."""
    depth = np.asarray(data.counts.sum(axis=1)).ravel()
    cells, genes = data.counts.shape
    return pd.DataFrame({
        "counts": [data.name],
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
        f"zero, median depth {row['median_depth']:,.0f}.{aside} {train} of the cells train; of the other 19%, "
        f"{validation} decide when to stop and which layout to take, and {test} are scored, once."
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


def show_grid(grid: pd.DataFrame, n: int = 8) -> pd.DataFrame:
    """The best layouts."""
    best = grid.sort_values("validation_elbo", ascending=False).head(n)
    return pd.DataFrame({
        "likelihood": best["likelihood"].map(LAWS),
        "hidden": best["hidden_units"],
        "latent": best["latent_size"],
        "weights": best["n_weights"].map("{:,}".format),
        "validation ELBO": best["validation_elbo"].map("{:,.1f}".format),
        "seconds": best["seconds"].map("{:.1f}".format),
    })  # fmt: skip


def say_grid(grid: pd.DataFrame) -> str:
    """What wins, and whether it is likelihood or layout that matters."""
    by_law = grid.groupby("likelihood", sort=False)["validation_elbo"]
    best = grid.loc[grid["validation_elbo"].idxmax()]
    within = float((by_law.max() - by_law.min()).median())
    between = float(by_law.max().max() - by_law.max().min())
    what = (
        "The likelihood matters more than the layout" if between > within else "Layouts matter as much as likelihoods"
    )
    return (
        f"{len(grid)} trainings of {grid['epoch'].max():.0f} epoch at most. Best: {LAWS[best['likelihood']]}, hidden "
        f"{best['hidden_units']}, latent {best['latent_size']}. {what}: the best of each likelihood differ by up to "
        f"{between:,.1f} nats a cell, layouts of one likelihood by {within:,.1f}. After so few steps this ranks who "
        "learns fastest, not who ends best."
    )


# --- likelihoods ---


def elbo_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean test ELBO by likelihood with its interval over divisions."""
    test = rows[rows["part"] == "test"]
    table = _by(test, "likelihood", "elbo", LAWS)
    more = test.groupby("likelihood", sort=False)[
        ["importance", "reconstruction", "latent_divergence", "epoch", "seconds"]
    ]
    return table.merge(more.mean().reset_index(), on="likelihood")


def elbo_contrasts(rows: pd.DataFrame, reference: str = "poisson") -> pd.DataFrame:
    """Paired differences of test ELBOs from one likelihood's, division by division."""
    test = rows[rows["part"] == "test"].pivot_table(index="seed", columns="likelihood", values="elbo")
    if reference not in test:
        return pd.DataFrame(columns=["likelihood", "label", "mean", "low", "high", "n_seeds"])
    others = [name for name in LAWS if name in test and name != reference]
    differences = [(name, (test[name] - test[reference]).dropna()) for name in others]
    return pd.DataFrame(
        [{"likelihood": name, "label": LAWS[name], **with_interval(d)} for name, d in differences if len(d)]
    )


def show_elbos(table: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """ELBOs and differences as a reader wants them."""
    differences = dict(zip(contrasts["likelihood"], _texts(contrasts, sign="+"), strict=True))
    return pd.DataFrame({
        "likelihood": table["label"],
        "test ELBO": _texts(table),
        "less Poisson's": [differences.get(name, "–") for name in table["likelihood"]],
        "importance-weighted": table["importance"].map("{:,.1f}".format),
        "divergence": table["latent_divergence"].map("{:.1f}".format),
        "best epoch": table["epoch"].map("{:.0f}".format),
        "seconds": table["seconds"].map("{:.0f}".format),
        "divisions": table["n_seeds"],
    })  # fmt: skip


def say_elbos(table: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Whether dispersion and extra zeros pay."""
    ranked = table.sort_values("mean", ascending=False)
    best = ranked.iloc[0]
    words = [f"Highest test ELBO: {best['label']}, {best['mean']:,.1f} nats a cell."]
    means = contrasts.set_index("likelihood")
    for name in ("negative_binomial", "zero_inflated_negative_binomial"):
        if name not in means.index:
            continue
        row = means.loc[name]
        verdict = _FEW if not np.isfinite(row["low"]) else _verdict(row["low"], row["high"], "better", "worse")
        words.append(
            f"{_opened(LAWS[name])} against Poisson: {_text(row['mean'], row['low'], row['high'], 1, '+')} ({verdict})."
        )
    return " ".join(words)


def _opened(text: str) -> str:
    """As a sentence begins."""
    return text[0].upper() + text[1:]


def _verdict(low: float, high: float, above: str, below: str) -> str:
    return above if low > 0 else below if high < 0 else "undecided"


# --- parametrisations ---


def rate_table(rows: pd.DataFrame) -> pd.DataFrame:
    """For each parametrisation where its sum of rates went and where its ELBO ended."""
    records = []
    for name in PARAMETRISATIONS:
        arm = rows[rows["parametrisation"] == name]
        for seed, run in arm.groupby("seed"):
            last, first = run.iloc[-1], run.iloc[0]
            ratios = (run["rate_sum"] / run["count_sum"]).dropna()
            records.append({
                "parametrisation": name,
                "seed": seed,
                "first_ratio": first["rate_sum"] / first["count_sum"],
                "last_ratio": last["rate_sum"] / last["count_sum"],
                "largest_ratio": ratios.max() if len(ratios) else np.nan,
                "validation_elbo": last["validation_elbo"],
                "diverged": bool(run["validation_elbo"].isna().any() or last["epoch"] < last["epochs_asked"]),
                "epochs": int(last["epoch"]),
            })  # fmt: skip
    return pd.DataFrame(records)


def show_rates(table: pd.DataFrame) -> pd.DataFrame:
    """One row a parametrisation, means over seeds."""
    shown = []
    for name, group in table.groupby("parametrisation", sort=False):
        good = group["validation_elbo"].dropna()
        shown.append({
            "rates": name,
            "Σ rates / Σ counts, first epoch": _number(group["first_ratio"].mean()),
            "largest": _number(group["largest_ratio"].max()),
            "last epoch": _number(group["last_ratio"].mean()),
            "validation ELBO": f"{good.mean():,.1f}" if len(good) else "–",
            "diverged": f"{int(group['diverged'].sum())} of {len(group)}",
        })  # fmt: skip
    return pd.DataFrame(shown)


def _number(value: float) -> str:
    return f"{value:,.3g}" if np.isfinite(value) else "no number"


def say_rates(table: pd.DataFrame) -> str:
    """Which form fails, and which does not."""
    by_name = table.groupby("parametrisation", sort=False)
    lost = by_name["diverged"].sum()
    failing = [f"*{name}* ({int(n)} of {len(by_name.get_group(name))})" for name, n in lost.items() if n]
    ends = by_name["validation_elbo"].mean().dropna()
    words = [f"Training came to no number with {', '.join(failing)}." if failing else "No training came to no number."]
    off = by_name["largest_ratio"].max().dropna()
    if free := [name for name in off.index if name.startswith("exp")]:
        worst = max(free, key=lambda name: abs(np.log(off[name])))
        words.append(
            f"Without the library size the sum of rates is up to {off[worst]:,.3g} times that of the counts "
            f"(*{worst}*, mean over an epoch); with it the two agree by construction, whatever the network says."
        )
    if len(ends):
        words.append(f"The highest validation ELBO after as many epochs: *{ends.idxmax()}*, {ends.max():,.1f}.")
    return " ".join(words)


# --- clusters ---


def cluster_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of ARI and NMI with intervals over seeds; methods × scores, long."""
    if "method" not in rows:  # cells without labels
        return pd.DataFrame(columns=["method", "label", "mean", "low", "high", "n_seeds", "score"])
    parts = [_by(rows, "method", score, CLUSTERINGS, 0.0).assign(score=score) for score in ("ari", "nmi")]
    return pd.concat(parts, ignore_index=True)


def show_clusters(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method."""
    shown = pd.DataFrame({"method": table["label"].unique()})
    for score, name in (("ari", "ARI"), ("nmi", "NMI")):
        shown[name] = _texts(table[table["score"] == score], 3)
    return shown.assign(seeds=table.loc[table["score"] == "ari", "n_seeds"].to_numpy())


def say_clusters(table: pd.DataFrame) -> str:
    """Whether the mixture's components are better clusters, honestly."""
    if table.empty:
        return "These cells have no labels to compare clusters with."
    ari = table[table["score"] == "ari"].set_index("method")
    ranked = ari.sort_values("mean", ascending=False)
    first = ranked.iloc[0]
    words = [f"Highest ARI: {first['label']}, {_text(first['mean'], first['low'], first['high'], 3)}."]
    if "gmvae" in ari.index:
        place = list(ranked.index).index("gmvae") + 1
        words.append(f"GMVAE is number {place} of {len(ranked)}.")
    if not np.isfinite(first["low"]):
        words.append(f"One seed: {_FEW}.")
    return " ".join(words)


# --- denoising ---


def denoising_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of both scores with intervals; methods × scores, long."""
    scores = ("deviance_explained", "squares_explained")
    parts = [_by(rows, "method", score, METHODS).assign(score=score) for score in scores]
    return pd.concat(parts, ignore_index=True)


def show_denoising(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method."""
    shown = pd.DataFrame({"method": table["label"].unique()})
    names = {"deviance_explained": "deviance explained", "squares_explained": "squares explained"}
    for score, name in names.items():
        shown[name] = _texts(table[table["score"] == score], 4, "+")
    return shown.assign(divisions=table.loc[table["score"] == "deviance_explained", "n_seeds"].to_numpy())


def say_denoising(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The best method, and whether auto-encoders beat what is simpler."""
    scores = table[table["score"] == "deviance_explained"].set_index("method")
    coders = scores[scores.index.isin(list(LIKELIHOODS))]
    rivals = scores[scores.index.isin([name for name in RIVALS if name != LIBRARY_MEAN])]
    best = scores["mean"].idxmax()
    size = rows.iloc[0]
    words = [
        f"{size['held_out']:.0%} of the molecules held out, {size['n_genes']:,} genes. Most deviance explained: "
        f"{scores.loc[best, 'label']}."
    ]
    if len(coders) and len(rivals):
        one, other = coders["mean"].idxmax(), rivals["mean"].idxmax()
        paired = rows.pivot_table(index="seed", columns="method", values="deviance_explained")
        difference = with_interval((paired[one] - paired[other]).dropna())
        low, high = difference["low"], difference["high"]
        verdict = _FEW if not np.isfinite(low) else _verdict(low, high, "better", "worse")
        words.append(
            f"The best auto-encoder ({METHODS[one]}) against the best simpler method ({METHODS[other]}): "
            f"{_text(difference['mean'], low, high, 4, '+')} ({verdict})."
        )
    return " ".join(words)


# --- all of it ---


def say_conclusion(data: CountData, elbos: str, rates: str, clusters: str, denoising: str) -> str:
    """What the tables say, one line each."""
    aside = "The counts are simulated, so this only shows that everything runs.\n\n" if data.simulated else ""
    lines = {"Likelihood": elbos, "Rates": rates, "Clusters": clusters, "Held-out counts": denoising}
    return aside + "\n".join(f"- **{name}.** {text}" for name, text in lines.items() if text)
