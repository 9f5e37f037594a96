"""Words and tables of the companion study of translation between omics layers; never trains and never draws.

Means over divisions of the samples have 95 % intervals by the corrected t of `reproduce.hypotheses`, since divisions
overlap; with one division there is no interval, and nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from reproduce.domain_translation import comparison
from reproduce.domain_translation.methods import DIRECTIONS, FORWARD, METHODS
from reproduce.hypotheses import corrected_t
from reproduce.multiomics.paired import PairedOmics
from reproduce.tables.summaries import with_interval, with_intervals

#: Test over training samples, which the corrected t needs.
OVERLAP = comparison.TEST_SHARE / (1.0 - comparison.TEST_SHARE)
#: Simplest rival that is not the mean.
REFERENCE = "ridge"
TOO_FEW = "too few divisions to conclude"


def intervals(rows: pd.DataFrame, keys: list[str], value: str, ratio: float = OVERLAP) -> pd.DataFrame:
    """Mean of a column over seeds with its interval (NaN for one seed), for each combination of keys."""
    found = []
    for key, group in rows.groupby(keys, sort=False):
        contrast = corrected_t(group[value], ratio)
        ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
        found.append([*key, contrast.mean, *ends, contrast.n_splits])
    return pd.DataFrame(found, columns=[*keys, "mean", "low", "high", "n_seeds"])


def differences(
    rows: pd.DataFrame, arm: str, one: str, other: str, value: str, keys: list[str], ratio: float = OVERLAP
) -> pd.DataFrame:
    """Paired differences of one arm from another, seed by seed, for each combination of keys."""
    wide = rows.pivot_table(index=[*keys, "seed"], columns=arm, values=value)
    if one not in wide or other not in wide:
        return pd.DataFrame(columns=[*keys, "mean", "low", "high", "n_seeds"])
    paired = (wide[one] - wide[other]).dropna().rename("difference").reset_index()
    return intervals(paired, keys, "difference", ratio)


def text_of(row: pd.Series, sign: str = "") -> str:
    """A mean with its interval."""
    return with_interval(row["mean"], row["low"], row["high"], sign)


def verdict_of(row: pd.Series, above: str = "better", below: str = "worse") -> str:
    """What an interval of differences says."""
    if not np.isfinite(row["low"]):
        return TOO_FEW
    return above if row["low"] > 0 else below if row["high"] < 0 else "undecided"


def said_of(row: pd.Series, above: str = "better", below: str = "worse") -> str:
    """A difference, its interval, and what that says."""
    return f"{text_of(row, '+')} ({verdict_of(row, above, below)})"


def enumerated(words: Iterable[str]) -> str:
    """Words as a sentence lists them."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def opened(text: str) -> str:
    """As a sentence begins."""
    return text[0].upper() + text[1:]


# --- the data ---


def data_table(data: PairedOmics) -> pd.DataFrame:
    """One row: size and classes."""
    names, counts = np.unique(data.clusters, return_counts=True)
    return pd.DataFrame({
        "data": [data.name],
        "samples": len(data.samples),
        "mRNA": data.layer("mRNA").shape[1],
        "methylation": data.layer("methylation").shape[1],
        "unit": data.units["methylation"],
        "classes": ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True)),
    })  # fmt: skip


def say_data(data: PairedOmics, table: pd.DataFrame) -> str:
    """The source, and whether it is real."""
    row = table.iloc[0]
    aside = " **These layers are simulated: nothing here speaks of real tumours.**" if data.simulated else ""
    return (
        f"Shown here: {data.source}. {row['samples']:,} samples ({row['classes']}); {row['mRNA']:,} features of mRNA, "
        f"{row['methylation']:,} of methylation ({row['unit']}s).{aside} Of each class "
        f"{comparison.TEST_SHARE:.0%} are held out; whatever is chosen is chosen among the rest."
    )


# --- the comparison ---


def overall_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of whole layers, not of features."""
    return rows[rows["level"] == "overall"]


def translation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """R² of each method and direction with its interval, its difference from ridge regression, and other means."""
    overall = overall_of(rows)
    keys = ["direction", "method"]
    table = intervals(overall, keys, "r2")
    parts = []
    for method in table["method"].unique():
        found = differences(overall, "method", method, REFERENCE, "r2", ["direction"]) if method != REFERENCE else []
        if len(found):
            parts.append(found.assign(method=method))
    if parts:
        renamed = {name: f"less_{name}" for name in ("mean", "low", "high")}
        less = pd.concat(parts).rename(columns=renamed)
        table = table.merge(less[[*keys, *renamed.values()]], on=keys, how="left")
    else:
        table = table.assign(less_mean=np.nan, less_low=np.nan, less_high=np.nan)
    renamed = {"mean": "class_translated", "low": "class_low", "high": "class_high"}
    classes = intervals(overall, keys, "class_translated").rename(columns=renamed).drop(columns="n_seeds")
    table = table.merge(classes, on=keys)
    columns = ["pearson", "below_zero", "class_real", "class_source", "seconds"]
    means = overall.groupby(keys)[columns].mean().reset_index()
    return table.merge(means, on=keys).assign(label=lambda t: t["method"].map(METHODS))


def show_translation(table: pd.DataFrame) -> pd.DataFrame:
    """As a reader wants it, the best of each direction first."""
    shown = table.sort_values("mean", ascending=False)
    shown = pd.concat([shown[shown["direction"] == direction] for direction in DIRECTIONS])
    return pd.DataFrame({
        "direction": shown["direction"],
        "method": shown["label"],
        "R² (mean over features)": with_intervals(shown, sign=""),
        "less ridge's": with_intervals(shown, "less_mean", ("less_low", "less_high")),
        "Pearson": shown["pearson"].map("{:.3f}".format),
        "features below 0": shown["below_zero"].map("{:.1%}".format),
        "class recognised": with_intervals(shown, "class_translated", ("class_low", "class_high"), ""),
        "seconds": shown["seconds"].map("{:.1f}".format),
        "divisions": shown["n_seeds"],
    })  # fmt: skip


def say_translation(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Who wins, and whether aligned auto-encoders beat what is simpler and what is not aligned."""
    words = []
    for direction in table["direction"].unique():
        part = table[table["direction"] == direction].set_index("method")
        best = part["mean"].idxmax()
        words.append(f"{direction}: {METHODS[best]} has the highest R², {text_of(part.loc[best])}.")
    for one, other in (
        ("aligned", REFERENCE),
        ("aligned", "perceptron"),
        ("aligned", "unaligned"),
        ("low_rank", REFERENCE),
    ):
        found = differences(overall_of(rows), "method", one, other, "r2", ["direction"])
        if len(found):
            told = [f"{said_of(row)} {row['direction']}" for _, row in found.iterrows()]
            words.append(f"{opened(METHODS[one])} against {METHODS[other]}: {enumerated(told)}.")
    return " ".join(words)


def say_classes(table: pd.DataFrame) -> str:
    """Whether a translated layer keeps the class of its sample."""
    words = []
    for direction, part in table.groupby("direction", sort=False):
        part = part.set_index("method")
        best = part["class_translated"].idxmax()
        row = part.loc[best]
        aligned = ""
        if "aligned" in part.index and best != "aligned":
            aligned = f" (aligned auto-encoders: {part.loc['aligned', 'class_translated']:.3f})"
        words.append(
            f"{direction}: a classifier of the real target recognises the class of real test samples with a balanced "
            f"accuracy of {row['class_real']:.3f}, that of translated ones with {row['class_translated']:.3f} at best, "
            f"by {METHODS[best]}{aligned}; from the source itself it is known with {row['class_source']:.3f}."
        )
    return " ".join(words) + (
        " What is recognised after translation was in the source: a translation adds no knowledge of the class."
    )


# --- features ---


def feature_table(rows: pd.DataFrame) -> pd.DataFrame:
    """R² of each feature, means over the divisions that kept features: direction, feature × methods."""
    features = rows[rows["level"] == "feature"]
    wide = features.pivot_table(index=["direction", "feature"], columns="method", values="r2", sort=False)
    return wide.reset_index().rename_axis(columns=None)


def say_features(features: pd.DataFrame) -> str:
    """For how many features auto-encoders are better, and which features no method translates."""
    methods = [name for name in METHODS if name in features]
    if features.empty:
        return "No division kept the scores of features."
    words = []
    for direction, part in features.groupby("direction", sort=False):
        said = f"{direction}:"
        if {"aligned", REFERENCE} <= set(methods):
            better = float((part["aligned"] > part[REFERENCE]).mean())
            said += f" aligned auto-encoders translate {better:.0%} of the features better than ridge regression;"
        best = part[methods].max(axis=1)
        top = part.loc[best.nlargest(3).index, "feature"]
        low = part.loc[best.nsmallest(3).index, "feature"]
        lost = int((best < 0).sum())
        words.append(
            f"{said} easiest are {enumerated(map(str, top))} (R² up to {best.max():.2f}), hardest "
            f"{enumerated(map(str, low))} (down to {best.min():.2f}); {lost} of {len(part):,} features are below 0 "
            "with every method shown."
        )
    return " ".join(words)


# --- few pairs ---


def pairs_table(rows: pd.DataFrame) -> pd.DataFrame:
    """R² by method, number of pairs, and whether the others are given unpaired."""
    return intervals(rows, ["direction", "method", "unpaired", "n_pairs"], "r2")


def unpaired_gain(rows: pd.DataFrame) -> pd.DataFrame:
    """What samples of one layer add to R², by method, direction and number of pairs."""
    arms = rows.assign(arm=np.where(rows["unpaired"], "with", "without"))
    return differences(arms, "arm", "with", "without", "r2", ["direction", "method", "n_pairs"])


def say_pairs(table: pd.DataFrame, gain: pd.DataFrame) -> str:
    """How many pairs are needed, and whether samples of one layer replace them."""
    words = []
    part = table[(table["direction"] == FORWARD) & ~table["unpaired"]]
    fewest, most = part["n_pairs"].min(), part["n_pairs"].max()
    for n in (fewest, most):
        at = part[part["n_pairs"] == n].set_index("method")
        best = at["mean"].idxmax()
        other = (
            f"; aligned auto-encoders: {text_of(at.loc['aligned'])}"
            if "aligned" in at.index and best != "aligned"
            else ""
        )
        words.append(f"With {n} pairs ({FORWARD}) {METHODS[best]} is best, {text_of(at.loc[best])}{other}.")
    aligned = gain[(gain["method"] == "aligned") & (gain["direction"] == FORWARD)]
    if len(aligned):
        told = [f"{said_of(row, 'a gain', 'a loss')} at {row['n_pairs']}" for _, row in aligned.iterrows()]
        words.append(
            f"The other samples' single layers change the R² of aligned auto-encoders by {enumerated(told)} pairs."
        )
    return " ".join(words)


# --- all of it ---


def say_conclusion(data: PairedOmics, table: pd.DataFrame, rows: pd.DataFrame, **said: str) -> str:
    """Advantages, novelty, reliability, failures, from the tables; one line each.

    Parameters
    ----------
    data : PairedOmics
    table, rows : DataFrame
        Of the comparison.
    **said : str
        Sentences by heading; underscores stand for spaces.
    """
    aside = "The layers are simulated, so this only shows that everything runs.\n\n" if data.simulated else ""
    lines = {"Advantages": say_advantages(rows), "Failures": say_failures(table)}
    lines |= {name.replace("_", " "): text for name, text in said.items()}
    return aside + "\n".join(f"- **{name}.** {text}" for name, text in lines.items())


def say_advantages(rows: pd.DataFrame) -> str:
    """Whether the networks earn their cost."""
    found = differences(overall_of(rows), "method", "aligned", REFERENCE, "r2", ["direction"])
    if found.empty:
        return "Aligned auto-encoders and ridge regression were not both run."
    verdicts = {verdict_of(row) for _, row in found.iterrows()}
    told = enumerated(f"{text_of(row, '+')} {row['direction']}" for _, row in found.iterrows())
    if verdicts == {"better"}:
        judged = "Aligned auto-encoders translate better than ridge regression"
    elif verdicts == {"worse"}:
        judged = "Ridge regression translates better than aligned auto-encoders"
    else:
        judged = "Neither of aligned auto-encoders and ridge regression is better in both directions for certain"
    said = (
        f"{judged} (difference of R²: {told}). What auto-encoders have and regressions do not: one fit for both "
        "directions, a latent space that both layers share, and the use of samples with a single layer."
    )
    rival = differences(overall_of(rows), "method", "low_rank", REFERENCE, "r2", ["direction"])
    if len(rival):
        told = enumerated(f"{said_of(row)} {row['direction']}" for _, row in rival.iterrows())
        said += f" The study's own low-rank Gaussian has the first of these; against ridge: {told}."
    return said


def say_failures(table: pd.DataFrame) -> str:
    """Where translation is worse than the mean."""
    words = []
    for direction, part in table.groupby("direction", sort=False):
        part = part[part["method"] != "mean"].sort_values("below_zero", ascending=False)
        told = [f"{row['label']} {row['below_zero']:.1%}" for _, row in part.iterrows() if row["below_zero"] > 0.01]
        words.append(
            f"{direction}, share of features that the mean predicts better: {enumerated(told)}."
            if told
            else f"{direction}: no method leaves more than one per cent of the features to the mean."
        )
    return " ".join(words)
