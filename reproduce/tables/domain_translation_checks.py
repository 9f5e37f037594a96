"""Words and tables of what is checked beside the comparison of translators; never trains and never draws.

What ties the latents, reliability over seeds, the law of beta-values, the distance to the best possible translation,
and joint samples. Intervals and verdicts are those of `reproduce.tables.domain_translation_contrasts`; draws from the
known law do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from reproduce.domain_translation import joint
from reproduce.domain_translation.methods import DIRECTIONS, METHODS, NETWORKS, TIE_CONTRASTS, TIED
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
)
from reproduce.tables.wording import row_with_interval, with_intervals

#: Test over training samples, where half of them train.
JOINT_OVERLAP = joint.TEST_SHARE / (1.0 - joint.TEST_SHARE)


# --- ties ---


def tie_table(rows: pd.DataFrame) -> pd.DataFrame:
    """R² and class recognised by what ties the latents."""
    table = intervals(rows, ["direction", "tie"], "r2")
    classes = intervals(rows, ["direction", "tie"], "class_translated")
    renamed = {name: f"class_{name}" for name in ("mean", "low", "high")}
    return table.merge(classes.rename(columns=renamed).drop(columns="n_seeds"), on=["direction", "tie"])


def show_ties(table: pd.DataFrame) -> pd.DataFrame:
    """One row a tie and direction."""
    return pd.DataFrame({
        "direction": table["direction"],
        "latents tied by": table["tie"],
        "R²": with_intervals(table, limits=ranges.R2),
        "class recognised": with_intervals(table, "class_mean", ("class_low", "class_high"), limits=ranges.SHARE),
        "divisions": table["n_seeds"],
    })  # fmt: skip


def tie_contrasts(rows: pd.DataFrame) -> pd.DataFrame:
    """Change of R² by each of `TIE_CONTRASTS`."""
    return adjusted(ties=contrasts(rows, "tie", TIE_CONTRASTS, "r2", ["direction"]))["ties"]


def say_ties(rows: pd.DataFrame) -> str:
    """What each further tie changes."""
    words = []
    for (after, before), part in tie_contrasts(rows).groupby(["one", "other"], sort=False):
        told = [f"{said_of(row, 'a gain', 'a loss')} {row['direction']}" for _, row in part.iterrows()]
        words.append(f"*{after}* against *{before}*: {enumerated(told)}.")
    return "Change of R² by one thing more in the loss. " + " ".join(words)


def say_novelty(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """How far the discriminator goes, which is what regressions do not have and what needs no pair."""
    alone = [tie for tie in ("discriminator", "strong discriminator") if tie in set(table["tie"])]
    if not alone:
        return "The discriminator alone was not run."
    words = []
    for direction, part in table.groupby("direction", sort=False):
        part = part.set_index("tie")
        told = [
            f"{row_with_interval(part.loc[tie], sign='+')} (*{tie}*, λ = {TIED[tie]['discriminator_weight']})"
            for tie in alone
        ]
        words.append(f"{enumerated(told)} {direction}")
    said = (
        "New against regressions is a latent space that layers may share without any pair, by the discriminator alone. "
        f"What that is worth here, in R²: {'; '.join(words)}."
    )
    found = tie_contrasts(rows)
    added = found[found["other"] == "the same, no discriminator"]
    if len(added):
        told = enumerated(f"{said_of(row, 'a gain', 'a loss')} {row['direction']}" for _, row in added.iterrows())
        said += f" Where pairs tie the latents, the discriminator changes R² by {told}."
    return said


# --- reliability ---


def reliability_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Of trainings on one division: mean, least and most R², that of their mean, and their agreement."""
    found = []
    for (method, direction), part in rows.groupby(["method", "direction"], sort=False):
        single = part.loc[part["part"] == "training", "value"]
        found.append({
            "method": method,
            "label": METHODS[method],
            "direction": direction,
            "mean": single.mean(),
            "least": single.min(),
            "most": single.max(),
            "of_mean": part.loc[part["part"] == "mean of trainings", "value"].item(),
            "agreement": part.loc[part["part"] == "agreement", "value"].mean(),
            "n_trainings": len(single),
        })  # fmt: skip
    return pd.DataFrame(found)


def show_reliability(table: pd.DataFrame) -> pd.DataFrame:
    """As a reader wants it."""
    return pd.DataFrame({
        "method": table["label"],
        "direction": table["direction"],
        "R²": table["mean"].map("{:.3f}".format),
        "least to most": [f"{a:.3f} to {b:.3f}" for a, b in table[["least", "most"]].to_numpy()],
        "R² of their mean": table["of_mean"].map("{:.3f}".format),
        "correlation of two": table["agreement"].map("{:.3f}".format).replace("nan", "–"),
        "trainings": table["n_trainings"],
    })  # fmt: skip


def say_reliability(table: pd.DataFrame) -> str:
    """How much the seed matters."""
    told = []
    for method, part in table.groupby("method", sort=False):
        spread, gain = (part["most"] - part["least"]).max(), (part["of_mean"] - part["mean"]).mean()
        agreement = part["agreement"].mean()
        same = f"; two trainings' features correlate by {agreement:.2f} on average" if np.isfinite(agreement) else ""
        told.append(
            f"{opened(METHODS[method])}: the seed moves R² by up to {spread:.3f}{same}; the mean of "
            f"{part['n_trainings'].max()} trainings has {gain:+.3f} R²"
        )
    return "On one division. " + ". ".join(told) + ". Ridge regression and partial least squares have no seed."


def networks_of(methods: Iterable[str]) -> list[str]:
    """Those of the methods that have a seed and are to translate, for the check of reliability."""
    return [method for method in methods if method in NETWORKS and method != "unaligned"]


# --- laws ---


def law_table(rows: pd.DataFrame) -> pd.DataFrame:
    """R² of beta-values by way, and the share of impossible values."""
    table = intervals(rows, ["arm"], "r2")
    return table.merge(rows.groupby("arm")[["outside", "below_zero", "seconds"]].mean().reset_index(), on="arm")


def show_laws(table: pd.DataFrame) -> pd.DataFrame:
    """One row a way."""
    return pd.DataFrame({
        "way": table["arm"],
        "R² of beta-values": with_intervals(table, limits=ranges.R2),
        "outside [0, 1]": table["outside"].map("{:.2%}".format),
        "features below 0": table["below_zero"].map("{:.1%}".format),
        "seconds": table["seconds"].map("{:.1f}".format),
        "divisions": table["n_seeds"],
    })  # fmt: skip


def say_laws(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Whether the Beta law pays."""
    beta, gaussian = "aligned auto-encoders, Beta", "aligned auto-encoders, Gaussian, beta-values"
    rows, words = rows.assign(of="all"), []
    found = adjusted(
        lead=leaders(rows, "arm", "r2", ["of"]), law=contrasts(rows, "arm", [(beta, gaussian)], "r2", ["of"])
    )
    for _, row in found["lead"].iterrows():
        best = table.set_index("arm").loc[row["one"]]
        words.append(
            f"Highest R² of beta-values: {row['one']}, {row_with_interval(best, limits=ranges.R2)}, {lead_of(row)}."
        )
    for _, row in found["law"].iterrows():
        words.append(f"The Beta law against the Gaussian, both on beta-values: {said_of(row)}.")
    worst = table.loc[table["outside"].idxmax()]
    none = "No way says a value outside [0, 1]."
    words.append(
        f"{opened(worst['arm'])} says {worst['outside']:.2%} of the values outside [0, 1]; the Beta law cannot."
        if worst["outside"] > 0
        else none
    )
    return " ".join(words)


# --- a law that is known ---


def oracle_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Excess error over the conditional mean, with R² and the best possible R²."""
    keys = ["direction", "method", "n_pairs"]
    table = intervals(rows, keys, "excess", 0.0)
    means = rows.groupby(keys)[["r2", "best_r2"]].mean().reset_index()
    return table.merge(means, on=keys).assign(label=lambda t: t["method"].map(METHODS))


def show_oracle(table: pd.DataFrame) -> pd.DataFrame:
    """The most pairs only, the nearest to the best first."""
    most = table[table["n_pairs"] == table["n_pairs"].max()].sort_values("mean")
    most = pd.concat([most[most["direction"] == direction] for direction in DIRECTIONS])
    return pd.DataFrame({
        "direction": most["direction"],
        "method": most["label"],
        "pairs": most["n_pairs"],
        "R²": most["r2"].map("{:.3f}".format),
        "best possible R²": most["best_r2"].map("{:.3f}".format),
        "lost against it": with_intervals(most),
        "draws": most["n_seeds"],
    })  # fmt: skip


def say_oracle(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Who comes nearest to the conditional mean, and how far networks stay from it."""
    words, n = [], table["n_pairs"].max()
    means = table[table["n_pairs"] == n].set_index(["direction", "method"])
    asked = rows[rows["n_pairs"] == n]
    lead = adjusted(lead=leaders(asked, "method", "excess", ["direction"], 0.0, lowest=True))["lead"]
    for _, row in lead.iterrows():
        direction, best = row["direction"], row["one"]
        aligned = ""
        if "aligned" not in (best, row["other"]) and (direction, "aligned") in means.index:
            aligned = f"; aligned auto-encoders lose {row_with_interval(means.loc[(direction, 'aligned')])}"
        words.append(
            f"{direction}, {n:,} pairs: the best possible R² is {means.loc[(direction, best), 'best_r2']:.3f}; "
            f"{METHODS[best]} loses {row_with_interval(means.loc[(direction, best)])} of it, "
            f"{lead_of(row, METHODS)}{aligned}."
        )
    return " ".join(words) + " Within a class the law is linear, so nothing that bends can win here but by the classes."


# --- joint samples ---


#: Scores of joint samples, with what a table calls them.
JOINT_SCORES = {
    "ks": "Kolmogorov–Smirnov",
    "wasserstein": "Wasserstein (sd)",
    "correlation_error": "error of correlations",
    "bond_error": "error between layers",
    "mmd": "squared MMD",
    "classifier_auc": "told apart (AUC)",
    "density": "density",
    "coverage": "coverage",
    "distance_ratio": "distance ratio",
    "closer_to_train": "closer to training",
    "usefulness": "class learnt from it (balanced accuracy)",
    "translation_r2": "R² of translation learnt from it",
}
#: What contrasts are made of: score, its words, and whether less is better.
_JUDGED = (
    ("bond_error", "error of correlations between layers", True),
    ("classifier_auc", "AUC in telling them from real samples", True),
    ("usefulness", "balanced accuracy of a classifier learnt from them", False),
    ("translation_r2", "R² of a translation learnt from them", False),
)
_GAN, _SIMPLE = "wgan_gp", ("gaussian", "smote")


def joint_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of all scores by method."""
    parts = [
        intervals(rows, ["method"], score, JOINT_OVERLAP).assign(score=score) for score in (*JOINT_SCORES, "seconds")
    ]
    return pd.concat(parts, ignore_index=True).assign(label=lambda t: t["method"].map(joint.JOINT_METHODS))


def show_joint(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method."""
    texts = [row_with_interval(row, limits=ranges.limits_of(row["score"])) for _, row in table.iterrows()]
    wide = table.assign(text=texts).pivot(index="label", columns="score", values="text")
    order = [label for label in joint.JOINT_METHODS.values() if label in wide.index]
    shown = wide.loc[order, list(JOINT_SCORES)].rename(columns=JOINT_SCORES)
    return shown.rename_axis(columns=None).reset_index(names="samples")


def joint_contrasts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The section's differences by score: "lead" of the best way to draw, and "gan" of the GAN from simple ways."""
    drawn, lead, gan = rows[rows["method"].isin([_GAN, *_SIMPLE])].assign(of="all"), [], []
    for score, _, lowest in _JUDGED:
        lead.append(leaders(drawn, "method", score, ["of"], JOINT_OVERLAP, lowest=lowest).assign(score=score))
        pairs = [(_GAN, other) for other in _SIMPLE]
        gan.append(contrasts(drawn, "method", pairs, score, ["of"], JOINT_OVERLAP).assign(score=score))
    return adjusted(lead=pd.concat(lead, ignore_index=True), gan=pd.concat(gan, ignore_index=True))


def say_joint(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Whether the GAN joins the layers better than simple methods."""
    labels, found, words = joint.JOINT_METHODS, joint_contrasts(rows), []
    wide = table.pivot(index="method", columns="score", values="mean")
    for score, name, lowest in _JUDGED:
        for _, row in found["lead"][found["lead"]["score"] == score].iterrows():
            real = f"; of real training samples {wide.loc['copies', score]:.3f}" if "copies" in wide.index else ""
            least = "Lowest" if lowest else "Highest"
            words.append(f"{least} {name}: {labels[row['one']]}, {row['best']:.3f}, {lead_of(row, labels)}{real}.")
        part = found["gan"][found["gan"]["score"] == score]
        if len(part):
            sides = ("worse", "better") if lowest else ("better", "worse")
            told = enumerated(f"{said_of(row, *sides)} against {labels[row['other']]}" for _, row in part.iterrows())
            words.append(f"{opened(labels[_GAN])}: {told}.")
    return " ".join(words) or "No two ways to draw artificial samples were run."
