"""Words and tables of the single-cell study's rates, clusters and held-out counts; never trains and never draws.

Intervals and verdicts as of `single_cell_tables`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.single_cell.clustering import CLUSTERINGS
from reproduce.single_cell.denoising import LIBRARY_MEAN, RIVALS
from reproduce.single_cell.grid import DIVERGED, PARAMETRISATIONS
from reproduce.single_cell.likelihoods import LIKELIHOODS
from reproduce.tables import ranges
from reproduce.tables.single_cell_tables import (
    METHODS,
    difference,
    means_by,
    number_text,
    text_unless_diverged,
    texts_unless_diverged,
    verdict,
)
from reproduce.tables.wording import row_with_interval

#: Smallest differences that matter: of adjusted Rand indices, and of shares of deviance explained.
RAND_MARGIN, DEVIANCE_MARGIN = 0.02, 0.01
#: Above it exp overflows single precision.
OVERFLOW = float(np.log(np.finfo(np.float32).max))
#: Factor within which sums of rates are said to agree with sums of counts.
NEAR = 1.5
PLAIN, ALL = next(iter(PARAMETRISATIONS)), list(PARAMETRISATIONS)[-1]

# --- parametrisations ---


def rate_table(rows: pd.DataFrame) -> pd.DataFrame:
    """For each parametrisation and seed where its sum of rates began and went, and where its bound ended.

    Ratios are sums of rates over sums of counts, infinite where rates overflow; `last_ratio` is the last finite one.
    `composition` is the last epoch's bound on the log probability of the validation cells' counts given their sums.
    """
    records = []
    for (name, seed), run in rows.groupby(["parametrisation", "seed"], sort=False):
        ratios = run["rate_sum"] / run["count_sum"]
        finite = ratios[np.isfinite(ratios)]
        diverged = bool((run["status"] == DIVERGED).any())
        records.append({
            "counts": run["counts"].iloc[0],
            "parametrisation": name,
            "seed": seed,
            "start_ratio": ratios.iloc[0],
            "largest_ratio": ratios.max(),
            "last_ratio": finite.iloc[-1] if len(finite) else np.nan,
            "start_log_rate": run["largest_log_rate"].iloc[0],
            "largest_log_rate": run["largest_log_rate"].max(),
            "composition": np.nan if diverged else run["validation_composition"].iloc[-1],
            "diverged": diverged,
            "epochs": int(run["epoch"].max()),
        })  # fmt: skip
    return pd.DataFrame(records)


def show_rates(table: pd.DataFrame) -> pd.DataFrame:
    """One row a parametrisation, over seeds."""
    shown = []
    for name, group in table.groupby("parametrisation", sort=False):
        lost = group[group["diverged"]]
        bound = group["composition"]
        span = f" ({bound.min():,.1f} to {bound.max():,.1f})" if len(bound) > 1 else ""
        shown.append({
            "form": name,
            "Σ rates / Σ counts: start": _ratio_text(group["start_ratio"].median()),
            "largest": _ratio_text(group["largest_ratio"].max()),
            "last that was finite": _ratio_text(group["last_ratio"].median()),
            "log λ at the start": number_text(group["start_log_rate"].max(), ",.1f"),
            "largest log λ": number_text(group["largest_log_rate"].max(), ",.1f"),
            "diverged": f"{len(lost)} of {len(group)}{_in_epochs(lost)}",
            "bound on composition": "–" if len(lost) else f"{bound.mean():,.1f}{span}",
        })  # fmt: skip
    return pd.DataFrame(shown)


def say_rates(table: pd.DataFrame) -> str:
    """Which form fails, which single change keeps it finite, and what was seen where it failed."""
    lost = {name: group[group["diverged"]] for name, group in table.groupby("parametrisation", sort=False)}
    runs = table.groupby("parametrisation", sort=False).size()
    words = []
    if PLAIN in lost:
        n = len(lost[PLAIN])
        plain = table[table["parametrisation"] == PLAIN]
        words.append(
            f"The plain form came to no number in {n} of {runs[PLAIN]} runs{_in_epochs(lost[PLAIN])}."
            if n
            else f"The plain form stayed finite on these counts through {plain['epochs'].max()} epochs. Its rates over "
            f"its counts: {_ratio_text(plain['start_ratio'].median())} at the start, "
            f"{_ratio_text(plain['largest_ratio'].max())} at the most, {_ratio_text(plain['last_ratio'].median())} in "
            f"the end."
        )
    single = [name for name in lost if name not in (PLAIN, ALL)]
    finite, failing = [name for name in single if not len(lost[name])], [name for name in single if len(lost[name])]
    if single and len(lost.get(PLAIN, ())):
        words.append(f"Single changes that kept every run finite: {_listed(finite)}; that did not: {_listed(failing)}.")
    elif failing:
        words.append(f"Of single changes these did: {_listed(failing)}.")
    if len(lost.get(ALL, ())):
        words.append("All changes together failed as well.")
    words += _what_was_seen(table)
    done = table[~table["parametrisation"].isin([name for name in lost if len(lost[name])])]
    if len(done):
        off = np.exp(np.log(done["last_ratio"]).abs()).groupby(done["parametrisation"], sort=False).max()
        near, far = list(off[off <= NEAR].index), list(off[off > NEAR].index)
        words.append(
            f"In the last epoch the sum of rates is within a factor of {NEAR:g} of that of the counts, in every run, "
            f"with {_listed(near)}{f'; not with {_listed(far)}' if far else ''}."
        )
        ends = done.groupby("parametrisation", sort=False)["composition"].mean()
        words.append(
            f"Of the forms that stayed finite, after as many epochs, the highest bound on the counts' composition: "
            f"*{ends.idxmax()}*, {ends.max():,.1f} nats a cell; the lowest: *{ends.idxmin()}*, {ends.min():,.1f}."
        )
    return " ".join(words)


def _what_was_seen(table: pd.DataFrame) -> list[str]:
    """How large rates became where training failed, beside where it did not."""
    lost, kept = table[table["diverged"]], table[~table["diverged"]]
    words = []
    if len(lost):
        over = int((lost["largest_log_rate"] > OVERFLOW).sum())
        rest = f"; in runs that did not fail it was {kept['largest_log_rate'].max():,.1f} at most" if len(kept) else ""
        words.append(
            f"In {over} of the {len(lost)} runs that failed, the largest log λ passed {OVERFLOW:.1f}, where exp "
            f"overflows single precision (the largest log λ of each lay between {lost['largest_log_rate'].min():,.1f} "
            f"and {lost['largest_log_rate'].max():,.1f}){rest}."
        )
    early = table[table["start_log_rate"] > OVERFLOW]["parametrisation"]
    if len(early):
        words.append(f"Rates overflow before the first step already with {_listed(list(dict.fromkeys(early)))}.")
    starts = table["start_ratio"][np.isfinite(table["start_ratio"])]
    if len(starts):
        aside = "Elsewhere, at" if len(early) else "At"
        words.append(f"{aside} the start, rates sum to {_span_text(starts)} times the counts.")
    return words


def _ratio_text(ratio: float) -> str:
    """Three digits; thousands are written out, what is larger than that as a power of ten."""
    if not np.isfinite(ratio):
        return "–" if np.isnan(ratio) else "overflow"
    if abs(ratio) < 1e3:
        return f"{ratio:.3g}"
    digits, power = f"{ratio:.2e}".split("e")
    return f"{float(f'{ratio:.3g}'):,.0f}" if abs(ratio) < 1e7 else f"{digits} × 10{_power_text(int(power))}"


def _power_text(power: int) -> str:
    """A whole number in raised digits."""
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _span_text(ratios: pd.Series) -> str:
    ends = dict.fromkeys(_ratio_text(end) for end in (ratios.min(), ratios.max()))
    return " to ".join(ends)


def _in_epochs(lost: pd.DataFrame) -> str:
    if lost.empty:
        return ""
    first, last = lost["epochs"].min(), lost["epochs"].max()
    return f", in epoch {first}" if first == last else f", in epochs {first} to {last}"


def _listed(names: list[str]) -> str:
    return ", ".join(f"*{name}*" for name in names) or "none"


# --- clusters ---

_PAIR = ("gmvae", "vae_kmeans")


def cluster_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of ARI and NMI with intervals over divisions; methods × scores, long."""
    if "method" not in rows:  # cells without labels
        return pd.DataFrame(columns=["method", "label", "mean", "low", "high", "n_seeds", "n_diverged", "score"])
    parts = [means_by(rows, "method", score, CLUSTERINGS).assign(score=score) for score in ("ari", "nmi")]
    return pd.concat(parts, ignore_index=True)


def cluster_contrasts(rows: pd.DataFrame) -> pd.DataFrame:
    """GMVAE less VAE + k-means, division by division: ARI, NMI, and the ELBO of the test cells."""
    names = ["score", "mean", "low", "high", "n_seeds", "n_diverged"]
    if "method" not in rows or not set(_PAIR) <= set(rows["method"]):
        return pd.DataFrame(columns=names)
    scores = ("ari", "nmi", "test_elbo")
    return pd.DataFrame([{"score": score} | difference(rows, "method", score, *_PAIR) for score in scores])[names]


def show_clusters(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One row a method."""
    shown = pd.DataFrame({"method": table["label"].unique()})
    for score, name in (("ari", "ARI"), ("nmi", "NMI")):
        shown[name] = texts_unless_diverged(table[table["score"] == score], digits=3, limits=ranges.limits_of(score))
    if table.empty:
        return shown
    by_method = rows.groupby("method", sort=False)
    used = by_method["n_clusters"].agg(["min", "max"])
    shown["clusters used"] = [
        number_text(low, ".0f") + (f" to {high:.0f}" if high > low else "") for low, high in used.to_numpy(float)
    ]
    # a mean of divisions that did not diverge is none
    elbos = by_method["test_elbo"].agg(lambda values: values.mean(skipna=False))
    shown["test ELBO"] = [number_text(value) for value in elbos]
    return shown.assign(divisions=table.loc[table["score"] == "ari", "n_seeds"].to_numpy())


def say_clusters(table: pd.DataFrame, contrasts: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Whether the mixture's components are better clusters, honestly."""
    if table.empty:
        return "These cells have no labels to compare clusters with."
    ari = table[table["score"] == "ari"].set_index("method")
    ranked = ari.dropna(subset="mean").sort_values("mean", ascending=False)
    words = [
        f"{row['label']}: {text_unless_diverged(row, digits=3)}." for _, row in ari[ari["n_diverged"] > 0].iterrows()
    ]
    if len(ranked):
        words.append(
            f"Highest ARI: {ranked.iloc[0]['label']}, "
            f"{row_with_interval(ranked.iloc[0], limits=ranges.limits_of('ari'))}."
        )
    if "gmvae" in ranked.index:
        used = rows.loc[rows["method"] == "gmvae", "n_clusters"].astype(int)
        few, many = used.min(), used.max()
        words.append(
            f"GMVAE is number {list(ranked.index).index('gmvae') + 1} of {len(ranked)} and uses "
            f"{few if few == many else f'{few} to {many}'} components."
        )
    if len(contrasts):
        by_score = contrasts.set_index("score")
        words.append(
            f"Claim: its components agree with the labels better than k-means on the VAE's latent, by more than "
            f"{RAND_MARGIN:g} of ARI: **{verdict(by_score.loc['ari'], RAND_MARGIN)}** "
            f"({text_unless_diverged(by_score.loc['ari'], digits=3, sign='+')}). "
            "Its ELBO of test cells less the VAE's, same law and layout: "
            f"{text_unless_diverged(by_score.loc['test_elbo'], digits=1, sign='+')} nats a cell."
        )
    return " ".join(words)


# --- denoising ---


def denoising_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of both scores, of test and of validation cells, with intervals; methods × scores, long."""
    scores = ("deviance_explained", "squares_explained", "validation_deviance_explained")
    parts = [means_by(rows, "method", score, METHODS).assign(score=score) for score in scores]
    return pd.concat(parts, ignore_index=True)


def show_denoising(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One row a method."""
    shown = pd.DataFrame({"method": table["label"].unique()})
    names = {
        "deviance_explained": "deviance explained",
        "squares_explained": "squares explained",
        "validation_deviance_explained": "deviance, validation cells",
    }
    for score, name in names.items():
        shown[name] = texts_unless_diverged(
            table[table["score"] == score], digits=4, sign="+", limits=ranges.limits_of(score)
        )
    settings = rows.fillna({"settings": ""}).groupby("method", sort=False)["settings"]
    shown["chosen on validation cells"] = [" | ".join(dict.fromkeys(filter(None, values))) for _, values in settings]
    return shown.assign(divisions=table.loc[table["score"] == "deviance_explained", "n_seeds"].to_numpy())


def say_denoising(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The best method, and whether auto-encoders beat what is simpler."""
    scores = table[table["score"] == "deviance_explained"].set_index("method")
    chosen_by = table[table["score"] == "validation_deviance_explained"].set_index("method")["mean"].dropna()
    size = rows.iloc[0]
    words = [f"{size['held_out']:.0%} of the molecules held out, {size['n_genes']:,} genes."]
    words += [
        f"{row['label']}: {text_unless_diverged(row, digits=4)}."
        for _, row in scores[scores["n_diverged"] > 0].iterrows()
    ]
    if chosen_by.empty:
        return " ".join(words)
    best = scores["mean"].idxmax()
    words.append(f"Most deviance of the test cells explained: {scores.loc[best, 'label']}.")
    coders = chosen_by[chosen_by.index.isin(list(LIKELIHOODS))]
    rivals = chosen_by[chosen_by.index.isin([name for name in RIVALS if name != LIBRARY_MEAN])]
    if len(coders) and len(rivals):
        one, other = coders.idxmax(), rivals.idxmax()
        found = difference(rows, "method", "deviance_explained", one, other)
        words.append(
            f"Claim: the auto-encoder that is best on validation cells ({METHODS[one]}) beats the simpler method "
            f"that is best there ({METHODS[other]}) by more than {DEVIANCE_MARGIN:g} of the deviance: "
            f"**{verdict(found, DEVIANCE_MARGIN)}** ({text_unless_diverged(found, digits=4, sign='+')})."
        )
    return " ".join(words)
