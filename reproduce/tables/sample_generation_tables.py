"""Words and tables of the companion study of artificial samples; never trains and never draws.

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
_SHORT = {name: label.replace("\n", " ") for name, label in SCORE_LABELS.items()}
_FEW = "too few divisions of the samples to conclude"


def with_interval(values: pd.Series, ratio: float) -> dict[str, float]:
    """Mean, ends of its interval (NaN for a single value) and number of values."""
    contrast = corrected_t(values, ratio)
    ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
    return {"mean": contrast.mean, "low": ends[0], "high": ends[1], "n_seeds": contrast.n_splits}


def _text(row, digits: int = 3, sign: str = "") -> str:
    interval = (
        f" [{row['low']:{sign}.{digits}f},\u00a0{row['high']:{sign}.{digits}f}]" if np.isfinite(row["low"]) else ""
    )
    return f"{row['mean']:{sign}.{digits}f}{interval}"


def _ordered(names) -> list[str]:
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
    )


# --- fidelity ---


def fidelity_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of all scores with intervals over divisions; methods × scores, long."""
    return _long(rows, [*SCORES, USEFULNESS], OVERLAP)


def _long(rows: pd.DataFrame, scores: Sequence[str], ratio: float) -> pd.DataFrame:
    records = [
        {"method": method, "label": LABELS[method], "score": score, **with_interval(part[score], ratio)}
        for method in _ordered(rows["method"])
        for part in [rows[rows["method"] == method]]
        for score in scores
    ]
    return pd.DataFrame(records)


def show_fidelity(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method, one column a score."""
    shown = {"method": table["label"].unique()}
    for score in table["score"].unique():
        part = table[table["score"] == score]
        shown[_SHORT[score]] = [_text(row, 3) for _, row in part.iterrows()]
    return pd.DataFrame(shown)


def contrast_table(rows: pd.DataFrame, rival: str = "smote") -> pd.DataFrame:
    """For each GAN and score: how much further from perfect it is than the rival, division by division.

    For the balanced accuracy, which has no value of a perfect generator, it is how much lower it is. Below 0 the GAN is
    better. p values are two-sided, adjusted by Holm over all rows.
    """
    records = []
    for score in (*SCORES, USEFULNESS):
        by_seed = rows.pivot_table(index="seed", columns="method", values=score)
        off = -by_seed if score == USEFULNESS else (by_seed - SCORES[score]).abs()
        for name in (name for name in NETWORKS if {name, rival} <= set(off)):
            difference = (off[name] - off[rival]).dropna()
            contrast = corrected_t(difference, OVERLAP)
            p = min(1.0, 2.0 * min(contrast.p_above, contrast.p_below))
            records.append({
                "method": name, "rival": rival, "score": score, **with_interval(difference, OVERLAP), "p": p,
            })  # fmt: skip
    table = pd.DataFrame(records, columns=["method", "rival", "score", "mean", "low", "high", "n_seeds", "p"])
    if table.empty:
        return table.assign(p_holm=[], verdict=[])
    table["p_holm"] = holm(table["p"])
    better, sure = table["mean"] < 0, table["p_holm"] < ALPHA
    table["verdict"] = np.select([sure & better, sure & ~better], ["better", "worse"], "undecided")
    return table


def show_contrasts(table: pd.DataFrame) -> pd.DataFrame:
    """One row a score, one column a GAN and rival; a star where Holm's p is below 0.05."""
    shown = {"further from perfect by": [_SHORT[score] for score in table["score"].unique()]}
    for (method, rival), part in table.groupby(["method", "rival"], sort=False):
        stars = np.where(part["verdict"] == "undecided", "", "\u00a0*")
        texts = [_text(row, 3, "+") for _, row in part.iterrows()]
        shown[f"{LABELS[method]} − {LABELS[rival]}"] = [f"{text}{star}" for text, star in zip(texts, stars)]
    return pd.DataFrame(shown)


def say_contrasts(table: pd.DataFrame) -> str:
    """In which scores each GAN is better or worse than its rival."""
    if table.empty:
        return "No GAN and rival were run side by side."
    if table["n_seeds"].max() < 2:
        return f"GANs against their rivals: {_FEW}."
    words = []
    for (method, rival), part in table.groupby(["method", "rival"], sort=False):
        parts = []
        for verdict, said in (("better", "better in"), ("worse", "worse in")):
            names = [_SHORT[score] for score in part.loc[part["verdict"] == verdict, "score"]]
            if names:
                parts.append(f"{said} {len(names)} of {len(part)} scores ({'; '.join(names)})")
        undecided = int((part["verdict"] == "undecided").sum())
        parts += [f"undecided in {undecided}"] if undecided else []
        words.append(f"{_opened(LABELS[method])} against {LABELS[rival]}: {', '.join(parts)}.")
    return " ".join(words)


def say_fidelity(table: pd.DataFrame) -> str:
    """Who comes nearest to perfect in each group of scores, and who copies."""
    means = table.pivot_table(index="method", columns="score", values="mean")
    made = means.loc[[name for name in GENERATORS if name in means.index]]
    if made.empty:
        return "No generator was run."
    words = []
    for score in ("ks", "correlation_error", "mmd", "classifier_auc", "coverage"):
        off = (made[score] - SCORES[score]).abs()
        best = off.idxmin()
        words.append(f"{_SHORT[score]}: {LABELS[best]} ({made.loc[best, score]:.3f})")
    said = "Nearest to perfect by the mean over divisions: " + ", ".join(words) + "."
    near = made["distance_ratio"]
    copied = [f"{LABELS[name]} ({near[name]:.2f})" for name in near.index if near[name] < 0.8]
    said += (
        f" Much nearer to training samples than new real ones are (ratio of distances): {', '.join(copied)}."
        if copied
        else " No generator's samples lie much nearer to training samples than new real ones do."
    )
    if COPIES in means.index:
        real, best = means.loc[COPIES, USEFULNESS], made[USEFULNESS].idxmax()
        said += (
            f" A classifier trained on the real training samples reaches a balanced accuracy of {real:.3f} on test "
            f"samples; on artificial ones the most is {made.loc[best, USEFULNESS]:.3f} ({LABELS[best]})."
        )
    return said


# --- how many samples ---


def size_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means with intervals by method and size; draws are independent, so the ordinary t serves."""
    parts = [_long(part, list(SCORES), 0.0).assign(n_train=n) for n, part in rows.groupby("n_train")]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def say_sizes(table: pd.DataFrame, score: str = "mmd") -> str:
    """What more training samples bring to each generator."""
    if table.empty:
        return ""
    part = table[(table["score"] == score) & table["method"].isin(list(GENERATORS))]
    few, many = part["n_train"].min(), part["n_train"].max()
    words = []
    for method in _ordered(part["method"]):
        one = part[part["method"] == method].set_index("n_train")["mean"]
        words.append(f"{LABELS[method]} from {one[few]:.4f} to {one[many]:.4f}")
    said = (
        f"With {few:,} to {many:,} simulated training samples the {_SHORT[score]} goes, for {', '.join(words)}. The "
        "law is Gaussian within a class, so the Gaussian is right by construction here: what the others lack is the "
        "price of not knowing that."
    )
    return said + (f" One draw: {_FEW}." if part["n_seeds"].max() < 2 else "")


# --- a rare class ---


def rare_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean balanced accuracy of each remedy, and its difference from doing nothing, division by division."""
    by_seed = rows.pivot_table(index="seed", columns="method", values=USEFULNESS)
    records = []
    for method in _ordered(rows["method"]):
        record = {"method": method, "label": LABELS[method], **with_interval(by_seed[method].dropna(), OVERLAP)}
        for other in (NOTHING, WEIGHTS):
            gain = (by_seed[method] - by_seed[other]).dropna() if other in by_seed else pd.Series(dtype=float)
            found = with_interval(gain, OVERLAP) if len(gain) else dict.fromkeys(("mean", "low", "high"), np.nan)
            record |= {f"over_{other}": found["mean"], f"over_{other}_low": found["low"],
                       f"over_{other}_high": found["high"]}  # fmt: skip
        records.append(record)
    return pd.DataFrame(records)


def _gain(row, other: str) -> dict[str, float]:
    return {"mean": row[f"over_{other}"], "low": row[f"over_{other}_low"], "high": row[f"over_{other}_high"]}


def show_rare(table: pd.DataFrame) -> pd.DataFrame:
    """As a reader wants it."""
    shown = {"remedy": table["label"], "balanced accuracy": [_text(row) for _, row in table.iterrows()]}
    for other in (NOTHING, WEIGHTS):
        shown[f"over {LABELS[other]}"] = [
            "–" if row["method"] == other or np.isnan(row[f"over_{other}"]) else _text(_gain(row, other), 3, "+")
            for _, row in table.iterrows()
        ]
    return pd.DataFrame(shown)


def say_rare(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Whether artificial samples of a rare class help, and more than weights do."""
    first, means = rows.iloc[0], table.set_index("method")
    words = [
        f"{first['n_rare']:.0f} samples of {first['rare']} against {first['n_frequent']:.0f} of {first['frequent']} "
        f"(1 : {first['ratio']:.0f}), classifier scored on real test samples."
    ]
    made = [name for name in GENERATORS if name in means.index]
    for other, said in (
        (NOTHING, "Over doing nothing"),
        (WEIGHTS, "Over class weights, which need no artificial sample"),
    ):
        gains = {name: _gain(means.loc[name], other) for name in made}
        parts = [
            f"{LABELS[name]} {_text(gain, 3, '+')} ({_verdict(gain['low'], gain['high'])})"
            for name, gain in gains.items()
            if not np.isnan(gain["mean"])
        ]
        words += [f"{said}: {'; '.join(parts)}."] if parts else []
    if ALL_REAL in means.index:
        words.append(f"All real samples of the class would give {means.loc[ALL_REAL, 'mean']:.3f}.")
    return " ".join(words)


def _verdict(low: float, high: float) -> str:
    if np.isnan(low):
        return _FEW
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _opened(text: str) -> str:
    """As a sentence begins."""
    return text[0].upper() + text[1:]


# --- all of it ---


def say_conclusion(data: PairedOmics, fidelity: str, contrasts: str, sizes: str, rare: str) -> str:
    """What the tables say, one line each."""
    aside = "The samples are simulated, so this speaks of the methods alone.\n\n" if data.simulated else ""
    lines = {
        "Fidelity": fidelity,
        "GAN against what is simpler": contrasts,
        "Training samples": sizes,
        "Rare class": rare,
    }
    return aside + "\n".join(f"- **{name}.** {text}" for name, text in lines.items() if text)
