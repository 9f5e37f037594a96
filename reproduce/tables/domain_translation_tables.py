"""Words and tables of the companion study of translation between omics layers; never trains and never draws.

Intervals and verdicts are those of `reproduce.tables.domain_translation_contrasts`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.domain_translation import comparison
from reproduce.domain_translation.methods import DIRECTIONS, FORWARD, METHODS
from reproduce.multiomics.paired import PairedOmics
from reproduce.tables import ranges
from reproduce.tables.domain_translation_contrasts import (
    adjusted,
    contrasts,
    enumerated,
    intervals,
    lead_of,
    leaders,
    opened,
    said_of,
    verdict_of,
)
from reproduce.tables.wording import row_with_interval, with_intervals

#: Simplest rival that is not the mean.
REFERENCE = "ridge"
#: Differences of R² that the comparison is made for.
CONTRASTS = (("aligned", REFERENCE), ("aligned", "perceptron"), ("aligned", "unaligned"), ("low_rank", REFERENCE))


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
    pairs = [(method, REFERENCE) for method in table["method"].unique() if method != REFERENCE]
    less = contrasts(overall, "method", pairs, "r2", ["direction"]).rename(columns={"one": "method"})
    renamed = {name: f"less_{name}" for name in ("mean", "low", "high")}
    less = less.rename(columns=renamed)[[*keys, *renamed.values()]]
    table = table.merge(less.astype(dict.fromkeys(renamed.values(), float)), on=keys, how="left")
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
        "R² (mean over features)": with_intervals(shown, limits=ranges.R2),
        "less ridge's": with_intervals(shown, "less_mean", ("less_low", "less_high"), sign="+"),
        "Pearson": shown["pearson"].map("{:.3f}".format),
        "features below 0": shown["below_zero"].map("{:.1%}".format),
        "class recognised": with_intervals(shown, "class_translated", ("class_low", "class_high"), limits=ranges.SHARE),
        "seconds": shown["seconds"].map("{:.1f}".format),
        "divisions": shown["n_seeds"],
    })  # fmt: skip


def translation_contrasts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The section's differences of R²: "lead" of the best over the second, and "planned" ones of `CONTRASTS`."""
    overall = overall_of(rows)
    return adjusted(
        lead=leaders(overall, "method", "r2", ["direction"]),
        planned=contrasts(overall, "method", CONTRASTS, "r2", ["direction"]),
    )


def say_translation(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Who leads, and whether aligned auto-encoders beat what is simpler and what is not aligned."""
    found, words = translation_contrasts(rows), []
    of = table.set_index(["direction", "method"])
    for _, row in found["lead"].iterrows():
        best = of.loc[(row["direction"], row["one"])]
        words.append(
            f"{row['direction']}: {METHODS[row['one']]} has the highest R², "
            f"{row_with_interval(best, limits=ranges.R2)}, {lead_of(row, METHODS)}."
        )
    for (one, other), part in found["planned"].groupby(["one", "other"], sort=False):
        told = [f"{said_of(row)} {row['direction']}" for _, row in part.iterrows()]
        words.append(f"{opened(METHODS[one])} against {METHODS[other]}: {enumerated(told)}.")
    return " ".join(words)


def class_contrasts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How much better the class of the layer translated best is recognised than that of the "target" and "source".

    Which method is best is taken from the same divisions, so a difference is somewhat too large.
    """
    overall, parts = overall_of(rows), {"target": [], "source": []}
    for _, part in overall.groupby("direction", sort=False):
        best = part.groupby("method")["class_translated"].mean().idxmax()
        chosen = part[part["method"] == best]
        for against, column in (("target", "class_real"), ("source", "class_source")):
            both = pd.concat([
                chosen.assign(arm="translated", accuracy=chosen["class_translated"]),
                chosen.assign(arm=against, accuracy=chosen[column]),
            ])  # fmt: skip
            found = contrasts(both, "arm", [("translated", against)], "accuracy", ["direction"])
            parts[against].append(found.assign(method=best))
    return adjusted(**{name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()})


def say_classes(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Whether a translated layer keeps the class of its sample, and whether it shows it better than a measured one."""
    words, found = [], {name: part.set_index("direction") for name, part in class_contrasts(rows).items()}
    for direction, part in table.groupby("direction", sort=False):
        part, target, source = part.set_index("method"), found["target"].loc[direction], found["source"].loc[direction]
        best = target["method"]
        row, aligned = part.loc[best], ""
        if "aligned" in part.index and best != "aligned":
            aligned = f" (aligned auto-encoders: {part.loc['aligned', 'class_translated']:.3f})"
        words.append(
            f"{direction}: a classifier of the real target recognises the class of real test samples with a balanced "
            f"accuracy of {row['class_real']:.3f}, that of translated ones with {row['class_translated']:.3f} at best, "
            f"by {METHODS[best]}{aligned}; the difference is {said_of(target)}. From the source itself the class is "
            f"known with {row['class_source']:.3f}; translated less source: {said_of(source)}. "
            f"{_class_verdict(verdict_of(target), verdict_of(source))}"
        )
    return " ".join(words)


def _class_verdict(against_target: str, against_source: str) -> str:
    if against_source == "better":
        return "The class is recognised better after translation than by a classifier of the source."
    if against_target == "better":
        return (
            "A translated layer shows the class better than the measured one: what is known of the class comes from "
            "the source, and nothing shows that the translation adds to that."
        )
    if against_target == "worse":
        return "Translation loses some of what the measured layer shows of the class."
    return "No loss or gain of the class against the measured layer is shown."


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
    """What samples of one layer add to R², by method, direction and number of pairs, with `p_holm` of the section."""
    return pairs_contrasts(rows)["gain"]


def pairs_contrasts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The section's differences of R²: "lead" of the best for each number of pairs, and "gain" by single layers."""
    arms = rows.assign(arm=np.where(rows["unpaired"], "with", "without"))
    return adjusted(
        lead=leaders(rows[~rows["unpaired"]], "method", "r2", ["direction", "n_pairs"]),
        gain=contrasts(arms, "arm", [("with", "without")], "r2", ["direction", "method", "n_pairs"]),
    )


def say_pairs(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """How many pairs are needed, and whether samples of one layer replace them."""
    found, words = pairs_contrasts(rows), []
    means = table[~table["unpaired"]].set_index(["direction", "n_pairs", "method"])
    lead = found["lead"][found["lead"]["direction"] == FORWARD].sort_values("n_pairs")
    for _, row in lead.iloc[sorted({0, len(lead) - 1})].iterrows() if len(lead) else ():
        n, best = row["n_pairs"], means.loc[(FORWARD, row["n_pairs"], row["one"])]
        aligned = (
            f"; aligned auto-encoders: {row_with_interval(means.loc[(FORWARD, n, 'aligned')], limits=ranges.R2)}"
            if "aligned" not in (row["one"], row["other"]) and (FORWARD, n, "aligned") in means.index
            else ""
        )
        words.append(
            f"With {n} pairs ({FORWARD}) {METHODS[row['one']]} has the highest R², "
            f"{row_with_interval(best, limits=ranges.R2)}, {lead_of(row, METHODS)}{aligned}."
        )
    gain = found["gain"]
    aligned = gain[(gain["method"] == "aligned") & (gain["direction"] == FORWARD)]
    if len(aligned):
        told = [f"{said_of(row, 'a gain', 'a loss')} at {row['n_pairs']}" for _, row in aligned.iterrows()]
        words.append(
            f"The other samples' single layers change the R² of aligned auto-encoders by {enumerated(told)} pairs."
        )
    return " ".join(words)


# --- all of it ---


def say_conclusion(data: PairedOmics, table: pd.DataFrame, rows: pd.DataFrame, gain: pd.DataFrame, **said: str) -> str:
    """Advantages, novelty, reliability, failures, from the tables; one line each.

    Parameters
    ----------
    data : PairedOmics
    table, rows : DataFrame
        Of the comparison.
    gain : DataFrame
        Of `unpaired_gain`.
    **said : str
        Sentences by heading; underscores stand for spaces.
    """
    aside = "The layers are simulated, so this only shows that everything runs.\n\n" if data.simulated else ""
    lines = {"Advantages": say_advantages(rows, gain), "Failures": say_failures(table)}
    lines |= {name.replace("_", " "): text for name, text in said.items()}
    return aside + "\n".join(f"- **{name}.** {text}" for name, text in lines.items())


def say_advantages(rows: pd.DataFrame, gain: pd.DataFrame) -> str:
    """Whether the networks earn their cost."""
    planned = translation_contrasts(rows)["planned"]
    found = planned[(planned["one"] == "aligned") & (planned["other"] == REFERENCE)]
    if found.empty:
        return "Aligned auto-encoders and ridge regression were not both run."
    verdicts = {verdict_of(row) for _, row in found.iterrows()}
    told = enumerated(f"{row_with_interval(row, sign='+')} {row['direction']}" for _, row in found.iterrows())
    if verdicts == {"better"}:
        judged = "Aligned auto-encoders translate better than ridge regression"
    elif verdicts == {"worse"}:
        judged = "Ridge regression translates better than aligned auto-encoders"
    else:
        judged = "Neither of aligned auto-encoders and ridge regression is better in both directions for certain"
    said = (
        f"{judged} (difference of R²: {told}). What auto-encoders have and regressions do not: one fit for both "
        f"directions, and a latent space that both layers share. {_use_of_single_layers(gain)}"
    )
    rival = planned[(planned["one"] == "low_rank") & (planned["other"] == REFERENCE)]
    if len(rival):
        told = enumerated(f"{said_of(row)} {row['direction']}" for _, row in rival.iterrows())
        said += f" The study's own low-rank Gaussian translates both ways from one fit, too; against ridge: {told}."
    return said


def _use_of_single_layers(gain: pd.DataFrame) -> str:
    told = gain[gain["method"] == "aligned"]
    if told.empty:
        return "Whether samples with a single layer help was not asked."
    helped = told[[verdict_of(row) == "better" for _, row in told.iterrows()]]
    if helped.empty:
        return "They read samples with a single layer, too, but no gain by that is shown."
    where = enumerated(f"{row['n_pairs']} pairs {row['direction']}" for _, row in helped.iterrows())
    return f"They use samples with a single layer, too, which is a gain with {where}."


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
