"""Words and tables of the companion study of artificial samples: the data, fidelity, the conclusion; never trains.

Means over divisions of the samples have 95 % intervals by the corrected t of `reproduce.hypotheses`, since divisions
overlap; with one division there is no interval, and nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reproduce.hypotheses import corrected_t, holm
from reproduce.multiomics.paired import PairedOmics
from reproduce.sample_generation.benchmark import (
    ALL_REAL,
    COPIES,
    GENERATORS,
    LAW,
    NETWORKS,
    NOTHING,
    REPEATS,
    SHUFFLED,
    WEIGHTS,
)
from reproduce.sample_generation.fidelity import SCORES
from reproduce.tables import ranges
from reproduce.tables.summaries import mean_and_interval
from reproduce.tables.wording import row_with_interval, with_intervals

#: Test over training samples, which the corrected t needs.
OVERLAP = 1.0
ALPHA = 0.05
LABELS = {
    COPIES: "training samples (reference)",
    SHUFFLED: "genes shuffled (reference)",
    LAW: "the law itself (reference)",
    "gaussian": "Gaussian a class",
    "smote": "SMOTE",
    "gan": "GAN a class",
    "gan_gp": "GAN a class, penalised",
    "wgan_gp": "conditional WGAN-GP",
    NOTHING: "nothing",
    WEIGHTS: "class weights",
    REPEATS: "repeated samples",
    ALL_REAL: "all real samples (reference)",
}
USEFULNESS = "balanced_accuracy"
SCORE_LABELS = {
    "ks": "Kolmogorov–Smirnov\n(mean over genes)",
    "wasserstein": "Wasserstein distance\n(standard deviations)",
    "correlation_error": "error of correlations\nwithin classes",
    "mmd": "squared maximum\nmean discrepancy",
    "classifier_auc": "AUC of telling\nartificial from real",
    "density": "density",
    "coverage": "coverage",
    "distance_ratio": "distance to training\nsamples, over test's",
    "closer_to_train": "share closer to training\nthan to test samples",
    USEFULNESS: "balanced accuracy,\ntrained on artificial",
}
SHORT_LABELS = {name: label.replace("\n", " ") for name, label in SCORE_LABELS.items()}
TOO_FEW = "too few divisions of the samples to conclude"
#: Scores that are summed up in words, one of each kind.
_SAID = ("ks", "correlation_error", "mmd", "classifier_auc", "coverage")
#: Nearer than this to training samples, over the distance of new real ones, is much nearer.
_NEAR = 0.8


def p_value(differences: pd.Series, ratio: float) -> float:
    """Two-sided, of no difference."""
    contrast = corrected_t(differences, ratio)
    return min(1.0, 2.0 * min(contrast.p_above, contrast.p_below))


def ordered(names) -> list[str]:
    """Methods as all tables have them, references first."""
    return [name for name in LABELS if name in set(names)]


# --- the data ---


def data_table(data: PairedOmics, layer: str) -> pd.DataFrame:
    """Samples of each class."""
    names, counts = np.unique(data.clusters, return_counts=True)
    table = pd.DataFrame({"class": names, "samples": counts, "layer": layer, "features": data.layer(layer).shape[1]})
    return table.sort_values("samples", ascending=False, ignore_index=True)


def say_data(data: PairedOmics, table: pd.DataFrame, n_features: int) -> str:
    """The source, and whether it is real."""
    aside = " **These samples are simulated: nothing here speaks of real tumours.**" if data.simulated else ""
    classes = ", ".join(f"{row['class']} {row['samples']:,}" for _, row in table.iterrows())
    layer, there = table["layer"].iloc[0], int(table["features"].iloc[0])
    taken = f"the {n_features:,} most variable of {there:,}" if 0 < n_features < there else f"all {there:,}"
    return (
        f"Shown here: {data.source}. Layer {layer}, {taken} features (variance among the training samples). "
        f"Classes: {classes}.{aside} Half of each class trains the generators; the other half is what artificial "
        "samples are compared with, and no generator sees it."
        + (
            " PAM50 classes are defined from mRNA: that a classifier finds them in mRNA says little, and figures of "
            "balanced accuracy are to be compared with each other only."
            if data.name == "brca" and layer == "mRNA"
            else ""
        )
    )


# --- fidelity ---


def fidelity_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of all scores with intervals over divisions; methods × scores, long."""
    return long_table(rows, [*SCORES, USEFULNESS], OVERLAP)


def long_table(rows: pd.DataFrame, scores: Sequence[str], ratio: float) -> pd.DataFrame:
    """Means and intervals, one row a method and score."""
    records = [
        {"method": method, "label": LABELS[method], "score": score, **mean_and_interval(part[score], ratio)}
        for method in ordered(rows["method"])
        for part in [rows[rows["method"] == method]]
        for score in scores
    ]
    return pd.DataFrame(records)


def show_fidelity(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method, one column a score."""
    shown = {"method": table["label"].unique()}
    for score in table["score"].unique():
        part = table[table["score"] == score]
        shown[SHORT_LABELS[score]] = with_intervals(part, limits=ranges.limits_of(score))
    return pd.DataFrame(shown)


def away_from_perfect(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """How far each method is from perfect, divisions × methods; for the balanced accuracy, how far below 1.

    Perfect is what is expected of artificial samples of the same law and number (`fidelity`).
    """
    if score == USEFULNESS:
        off = 1.0 - rows[score]
    else:
        off = (rows[score] - (rows["perfect_coverage"] if score == "coverage" else SCORES[score])).abs()
    return rows.assign(off=off).pivot_table(index="seed", columns="method", values="off")


def contrast_table(rows: pd.DataFrame, rivals: Sequence[str] = ("smote", "gaussian")) -> pd.DataFrame:
    """For each GAN, rival and kind of score: how much further from perfect the GAN is, division by division.

    Below 0 the GAN is better. p values are two-sided, adjusted by Holm over all rows: one family.
    """
    records = []
    for rival in rivals:
        for score in (*_SAID, "closer_to_train", USEFULNESS):
            off = away_from_perfect(rows, score)
            for name in (name for name in NETWORKS if {name, rival} <= set(off)):
                difference = (off[name] - off[rival]).dropna()
                record = {"method": name, "rival": rival, "score": score, **mean_and_interval(difference, OVERLAP)}
                records.append(record | {"p": p_value(difference, OVERLAP)})
    table = pd.DataFrame(records, columns=["method", "rival", "score", "mean", "low", "high", "n_seeds", "p"])
    if table.empty:
        return table.assign(p_holm=[], verdict=[])
    table["p_holm"] = holm(table["p"])
    better, sure = table["mean"] < 0, table["p_holm"] < ALPHA
    table["verdict"] = np.select([sure & better, sure & ~better], ["better", "worse"], "undecided")
    return table


def show_contrasts(table: pd.DataFrame) -> pd.DataFrame:
    """One row a score, one column a GAN and rival; a star where Holm's p is below 0.05."""
    shown = {"further from perfect by": [SHORT_LABELS[score] for score in table["score"].unique()]}
    for (method, rival), part in table.groupby(["method", "rival"], sort=False):
        stars = np.where(part["verdict"] == "undecided", "", "\u00a0*")
        texts = with_intervals(part, sign="+")
        shown[f"{LABELS[method]} − {LABELS[rival]}"] = [f"{text}{star}" for text, star in zip(texts, stars)]
    return pd.DataFrame(shown)


def say_contrasts(table: pd.DataFrame) -> str:
    """In which scores each GAN is better or worse than its rival."""
    if table.empty:
        return "No GAN and rival were run side by side."
    if table["n_seeds"].max() < 2:
        return f"GANs against their rivals: {TOO_FEW}."
    words = []
    for (method, rival), part in table.groupby(["method", "rival"], sort=False):
        parts = []
        for verdict, said in (("better", "better in"), ("worse", "worse in")):
            names = [SHORT_LABELS[score] for score in part.loc[part["verdict"] == verdict, "score"]]
            if names:
                parts.append(f"{said} {len(names)} of {len(part)} scores ({'; '.join(names)})")
        undecided = int((part["verdict"] == "undecided").sum())
        parts += [f"undecided in {undecided}"] if undecided else []
        words.append(f"{_opened(LABELS[method])} against {LABELS[rival]}: {', '.join(parts)}.")
    return " ".join(words)


def best_table(rows: pd.DataFrame) -> pd.DataFrame:
    """In each score that is summed up: the generator nearest to perfect on average, against the next.

    Returns
    -------
    DataFrame
        score, method, rival, mean (of how much further from perfect the rival is), low, high, n_seeds, p, p_holm (one
        family), sure.
    """
    records = []
    for score in (*_SAID, USEFULNESS):
        off = away_from_perfect(rows, score)
        # on the divisions that all generators were run on, since divisions differ
        off = off[[name for name in GENERATORS if name in off]].dropna()
        if off.shape[1] < 2 or off.empty:
            continue
        best, next_best = off.mean().sort_values(kind="stable").index[:2]
        lead = off[next_best] - off[best]
        record = {"score": score, "method": best, "rival": next_best, **mean_and_interval(lead, OVERLAP)}
        records.append(record | {"p": p_value(lead, OVERLAP)})
    table = pd.DataFrame(records, columns=["score", "method", "rival", "mean", "low", "high", "n_seeds", "p"])
    table["p_holm"] = holm(table["p"]) if len(table) else []
    table["sure"] = table["p_holm"] < ALPHA
    return table


def say_fidelity(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Who comes nearest to perfect in each kind of score and how sure that is, and who copies."""
    best = best_table(rows)
    said = [_say_best(best)] if len(best) else ["Fewer than two generators were run: none is the nearest to perfect."]
    means = table.pivot_table(index="method", columns="score", values="mean")
    made = means.loc[[name for name in GENERATORS if name in means.index]]
    if len(made):
        said.append(_say_novelty(table[table["method"].isin(made.index)]))
    if len(made) and COPIES in means.index:
        real, most = means.loc[COPIES, USEFULNESS], made[USEFULNESS].idxmax()
        said.append(
            f"A classifier trained on the real training samples reaches a balanced accuracy of {real:.3f} on test "
            f"samples; on artificial ones the largest mean is {made.loc[most, USEFULNESS]:.3f} ({LABELS[most]})."
        )
    return " ".join(said)


def _say_best(best: pd.DataFrame) -> str:
    def named(row: pd.Series) -> str:
        lead = f"{LABELS[row['method']]}, by {row_with_interval(row)} before {LABELS[row['rival']]}"
        return f"{SHORT_LABELS[row['score']]}: {lead}"

    if best["n_seeds"].max() < 2:
        return f"Which generator is the nearest to perfect: {TOO_FEW}."
    sure, unsure = ([named(row) for _, row in part.iterrows()] for part in (best[best["sure"]], best[~best["sure"]]))
    return " ".join(
        [f"Nearest to perfect, and surely before the next: {'; '.join(sure)}."] * bool(sure)
        + [f"Nearest on average, but not surely before the next: {'; '.join(unsure)}."] * bool(unsure)
    )


def _say_novelty(table: pd.DataFrame) -> str:
    """A generator whose samples are too narrow is near to all samples; only one that copies prefers the training's."""
    wide = table[table["score"].isin(["distance_ratio", "closer_to_train"])].set_index(["method", "score"])
    copies, narrow = [], []
    for method in ordered(table["method"]):
        ratio, closer = wide.loc[method, "distance_ratio"], wide.loc[method, "closer_to_train"]
        if not ratio["mean"] < _NEAR:
            continue
        share = row_with_interval(closer, digits=2, limits=ranges.SHARE)
        words = f"{LABELS[method]} (ratio {ratio['mean']:.2f}, share {share})"
        (copies if closer["low"] > SCORES["closer_to_train"] else narrow).append(words)
    said = []
    if copies:
        said.append(
            "Samples that lie much nearer to training samples than new real ones do, and more often nearer to a "
            f"training than to a test sample, so that single patients may show through: {'; '.join(copies)}."
        )
    if narrow:
        said.append(
            "Much nearer to training samples than new real ones are, without surely preferring them to test samples, "
            f"which a class drawn too narrow does as well: {'; '.join(narrow)}."
        )
    return " ".join(said) or "No generator's samples lie much nearer to training samples than new real ones do."


def _opened(text: str) -> str:
    """As a sentence begins."""
    return text[0].upper() + text[1:]


# --- all of it ---


def say_conclusion(data: PairedOmics, fidelity: str, contrasts: str, sizes: str, large: str, rare: str) -> str:
    """What the tables say, one line each."""
    aside = "The samples are simulated, so this speaks of the methods alone.\n\n" if data.simulated else ""
    lines = {
        "Fidelity": fidelity,
        "GAN against what is simpler": contrasts,
        "Training samples": sizes,
        "Many samples": large,
        "Rare class": rare,
    }
    return aside + "\n".join(f"- **{name}.** {text}" for name, text in lines.items() if text)
