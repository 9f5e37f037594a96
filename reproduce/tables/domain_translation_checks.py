"""Words and tables of what is checked beside the comparison of translators; never trains and never draws.

What ties the latents, reliability over seeds, the law of beta-values, the distance to the best possible translation,
and joint samples. Intervals are as in `reproduce.tables.domain_translation_tables`; draws from the known law do not
overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from reproduce.domain_translation import joint
from reproduce.domain_translation.methods import DIRECTIONS, METHODS, NETWORKS, TIED
from reproduce.sample_generation.fidelity import SCORES as FIDELITY_SCORES
from reproduce.tables.domain_translation_tables import differences, enumerated, intervals, opened, said_of, text_of
from reproduce.tables.summaries import with_intervals

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
        "R²": with_intervals(table),
        "class recognised": with_intervals(table, "class_mean", ("class_low", "class_high"), ""),
        "divisions": table["n_seeds"],
    })  # fmt: skip


def say_ties(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """What each further tie adds to R²."""
    words = []
    present = [tie for tie in TIED if tie in set(table["tie"])]
    for before, after in pairwise(present):
        found = differences(rows, "tie", after, before, "r2", ["direction"])
        told = [f"{said_of(row, 'a gain', 'a loss')} {row['direction']}" for _, row in found.iterrows()]
        words.append(f"*{after}* after *{before}*: {enumerated(told)}.")
    return "Change of R² by each further tie. " + " ".join(words)


def say_novelty(table: pd.DataFrame) -> str:
    """How far the discriminator goes, which is what regressions do not have and what needs no pair."""
    if "discriminator" not in set(table["tie"]):
        return "The discriminator alone was not run."
    words = []
    for direction, part in table.groupby("direction", sort=False):
        part = part.set_index("tie")
        best, alone = part["mean"].idxmax(), text_of(part.loc["discriminator"], "+")
        words.append(f"{alone} {direction}, where *{best}* reaches {text_of(part.loc[best], '+')}")
    return (
        "New against regressions is a latent space that layers may share without any pair, by the discriminator alone. "
        f"What that is worth here, in R²: {enumerated(words)}."
    )


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
    return "On one division. " + ". ".join(told) + ". Linear methods have no seed."


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
        "R² of beta-values": with_intervals(table),
        "outside [0, 1]": table["outside"].map("{:.2%}".format),
        "features below 0": table["below_zero"].map("{:.1%}".format),
        "seconds": table["seconds"].map("{:.1f}".format),
        "divisions": table["n_seeds"],
    })  # fmt: skip


def say_laws(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Whether the Beta law pays."""
    beta, gaussian = "aligned auto-encoders, Beta", "aligned auto-encoders, Gaussian, beta-values"
    best = table.loc[table["mean"].idxmax()]
    words = [f"Highest R² of beta-values: {best['arm']}, {text_of(best)}."]
    wide = rows.pivot_table(index="seed", columns="arm", values="r2")
    if {beta, gaussian} <= set(wide):
        paired = (wide[beta] - wide[gaussian]).dropna().rename("difference").reset_index().assign(of="all")
        row = intervals(paired, ["of"], "difference").iloc[0]
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
        "lost against it": with_intervals(most, sign=""),
        "draws": most["n_seeds"],
    })  # fmt: skip


def say_oracle(table: pd.DataFrame) -> str:
    """Who comes nearest to the conditional mean, and how far networks stay from it."""
    words = []
    most = table[table["n_pairs"] == table["n_pairs"].max()]
    for direction, part in most.groupby("direction", sort=False):
        part = part.set_index("method")
        best = part["mean"].idxmin()
        aligned = (
            f"; aligned auto-encoders {text_of(part.loc['aligned'])}" if {"aligned"} <= set(part.index) - {best} else ""
        )
        words.append(
            f"{direction}, {part['n_pairs'].max():,} pairs: the best possible R² is {part.loc[best, 'best_r2']:.3f}; "
            f"{METHODS[best]} loses {text_of(part.loc[best])} of it{aligned}."
        )
    return " ".join(words) + " Within a class the law is linear, so nothing that bends can win here but by the classes."


# --- joint samples ---


def joint_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of all scores by method."""
    scores = [*FIDELITY_SCORES, "bond_error", "translation_r2", "seconds"]
    parts = [intervals(rows, ["method"], score, JOINT_OVERLAP).assign(score=score) for score in scores]
    return pd.concat(parts, ignore_index=True).assign(label=lambda t: t["method"].map(joint.JOINT_METHODS))


def show_joint(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method."""
    names = {
        "wasserstein": "Wasserstein (sd)",
        "correlation_error": "error of correlations",
        "bond_error": "error between layers",
        "classifier_auc": "told apart (AUC)",
        "coverage": "coverage",
        "distance_ratio": "distance ratio",
        "translation_r2": "R² of translation learnt from it",
    }
    wide = table.assign(text=with_intervals(table, sign="")).pivot(index="label", columns="score", values="text")
    order = [label for label in joint.JOINT_METHODS.values() if label in wide.index]
    return wide.loc[order, list(names)].rename(columns=names).rename_axis(columns=None).reset_index(names="samples")


def say_joint(table: pd.DataFrame) -> str:
    """Whether the GAN joins the layers better than simple methods."""
    labels = joint.JOINT_METHODS
    wide = table.pivot(index="method", columns="score", values="mean")
    drawn = [method for method in ("wgan_gp", "gaussian", "smote") if method in wide.index]
    if not drawn:
        return "No artificial samples were drawn."
    bond, learnt = wide.loc[drawn, "bond_error"].idxmin(), wide.loc[drawn, "translation_r2"].idxmax()
    words = [
        f"Correlations between layers are nearest to the real ones with {labels[bond]} "
        f"({wide.loc[bond, 'bond_error']:.3f}), and a translation is best learnt from {labels[learnt]} "
        f"(R² {wide.loc[learnt, 'translation_r2']:.3f}"
    ]
    words[0] += (
        f"; from real training samples {wide.loc['copies', 'translation_r2']:.3f})." if "copies" in wide.index else ")."
    )
    if "wgan_gp" in wide.index:
        row = wide.loc["wgan_gp"]
        words.append(
            f"The conditional WGAN-GP's samples are told from real ones with an AUC of {row['classifier_auc']:.2f}, "
            f"cover {row['coverage']:.0%} of them, and teach a translation of R² {row['translation_r2']:.3f}."
        )
    return " ".join(words)
