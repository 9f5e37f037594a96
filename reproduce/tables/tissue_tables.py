"""Turns stored trials on many tissues into tables and sentences; never runs a method and never draws."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from reproduce.errors import DataFormatError
from reproduce.experiments.embeddings import EXPRESSION
from reproduce.experiments.subsets import BLOOD
from reproduce.experiments.tissues import COHORT, is_pooled
from reproduce.experiments.trials import ORACLE, Trial
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.loaders.gtex_tissues import tissue_table
from reproduce.metrics import PERCENTILES
from reproduce.splits import split_by_donor
from reproduce.tables import ranges
from reproduce.tables.summaries import finished_scores, label_of, score_table
from reproduce.tables.wording import interval_text

POOLED_LABEL = "Gaussian without tissue"
#: Whose tissues and genes are shown in the foreground: the paper's proposal.
SHOWN = "pmi"
N_EXTREMES = 10
_SPREAD = [f"r2_p{percentile:02d}" for percentile in PERCENTILES]
_RATIO = overlap_ratio("inductive")
_LEVEL = 0.05


def data_row(study) -> pd.DataFrame:
    """What the tables were computed on, one row."""
    cohort = study.cohorts[COHORT]
    row = {"title": study.title, "is_real": study.is_real, "n_samples": cohort.n_obs, "n_genes": cohort.n_vars}
    row |= {"n_donors": cohort.obs["donor"].nunique(), "n_tissues": cohort.obs["tissue"].nunique()}
    return pd.DataFrame([row | {"fingerprint": study.fingerprint}])


def with_labels(rows: pd.DataFrame, trials: Iterable[Trial]) -> pd.DataFrame:
    """The rows with a column ``label``, which tells the two Gaussians apart.

    Parameters
    ----------
    rows : DataFrame
        Of the results table, or of `reproduce.tables.summaries.score_table`.
    trials : iterable of Trial
        The plan behind them.

    Raises
    ------
    DataFormatError
        For rows that are not of these trials.
    """
    labels = {trial.config_hash: POOLED_LABEL if is_pooled(trial) else label_of(trial.method) for trial in trials}
    named = rows["config_hash"].map(labels)
    if named.isna().any():
        stranger = rows.loc[named.isna(), "method"].iloc[0]
        raise DataFormatError(f"Rows of {stranger!r} belong to no trial of this plan; run the notebook again.")
    return rows.assign(label=named)


def training_sizes(study, seeds: Iterable[int]) -> pd.Series:
    """Training samples of each tissue, the mean over donor splits."""
    obs = study.cohorts[COHORT].obs
    tissues = obs["tissue"].astype(str).reset_index(drop=True)
    counts = [tissues.iloc[split_by_donor(obs["donor"], seed=int(seed)).train].value_counts() for seed in seeds]
    return pd.concat(counts, axis=1).fillna(0).mean(axis=1)


# --- methods ---


def method_table(rows: pd.DataFrame, trials: Iterable[Trial]) -> pd.DataFrame:
    """`reproduce.tables.summaries.score_table` of the methods, with the mean of R² within tissues beside it."""
    trials = list(trials)
    table = with_labels(score_table(rows), trials)
    scored = finished_scores(rows, metric="r2_tissue")
    if scored["value"].isna().any():
        raise DataFormatError(
            "Too few samples of each tissue are scored for R² within tissues; keep more donors, or leave the rarest "
            "tissues out."
        )
    within = score_table(rows, "r2_tissue").set_index("config_hash")["mean"]
    return table.assign(r2_tissue=table["config_hash"].map(within))


def show_methods(table: pd.DataFrame) -> pd.DataFrame:
    """`method_table` as a reader wants it."""
    interval = [
        interval_text(*ranges.cut(row.low, row.high, ranges.R2)) if np.isfinite(row.low) else "–"
        for row in table.itertuples()
    ]
    return pd.DataFrame(
        {
            "method": table["label"],
            "R²": table["mean"].map("{:.3f}".format),
            "95 % interval": interval,
            "R² within tissues": table["r2_tissue"].map("{:.3f}".format),
            "splits": table["n_splits"],
            "seconds": table["seconds"].map("{:.1f}".format),
        }
    )


# --- tissues ---


def score_by_tissue(rows: pd.DataFrame, trials: Iterable[Trial], study) -> pd.DataFrame:
    """R² of every method in every tissue.

    Parameters
    ----------
    rows : DataFrame
        The results table.
    trials : iterable of Trial
    study : reproduce.loaders.study.Study

    Returns
    -------
    DataFrame
        Columns tissue, abbreviation, organ, n_training (samples, mean over splits), method, label, r2 (mean over
        genes), r2_p05, …, r2_p95 (percentiles over genes), n_splits; each a mean over splits. The tissue with most
        training samples first.
    """
    chosen = (rows["status"] == "ok") & (rows["level"] == "tissue") & rows["metric"].isin(["r2", *_SPREAD])
    chosen = with_labels(rows[chosen], trials)
    keys = ["group", "method", "label"]
    table = chosen.pivot_table(index=keys, columns="metric", values="value", aggfunc="mean").reset_index()
    splits = chosen.groupby(keys)["seed"].nunique().rename("n_splits").reset_index()
    table = table.merge(splits, on=keys).rename(columns={"group": "tissue"})
    table["n_training"] = table["tissue"].map(training_sizes(study, sorted(chosen["seed"].unique())))
    table = table.merge(tissue_table()[["abbreviation", "organ"]], left_on="tissue", right_index=True, how="left")
    columns = ["tissue", "abbreviation", "organ", "n_training", "method", "label", "r2", *_SPREAD, "n_splits"]
    return table.sort_values(["n_training", "tissue", "label"], ascending=[False, True, True], ignore_index=True)[
        columns
    ]


def show_tissues(table: pd.DataFrame) -> pd.DataFrame:
    """`score_by_tissue` as a reader wants it: tissues × methods, the median over genes."""
    wide = table.pivot(index="tissue", columns="label", values="r2_p50")
    facts = table.drop_duplicates("tissue").set_index("tissue")
    wide = wide.loc[facts.index, wide.median().sort_values(ascending=False).index]
    shown = wide.map("{:.2f}".format)
    shown.insert(0, "training samples", facts["n_training"].round().astype(int))
    shown.columns.name = None
    return shown.reset_index()


def size_table(rows: pd.DataFrame, trials: Iterable[Trial], study) -> pd.DataFrame:
    """Whether tissues of more training samples are filled better: Spearman's correlation over tissues.

    Returns
    -------
    DataFrame
        Columns method, label, spearman (of a tissue's median R² over genes with its training samples; the logarithm
        has the same ranks), low, high (95 % over splits, corrected for their overlap), n_splits, n_tissues.
    """
    chosen = finished_scores(rows, "tissue", "r2_p50")
    table = []
    for (method, label), group in with_labels(chosen, trials).groupby(["method", "label"], sort=False):
        values = [
            _spearman(part.set_index("group")["value"], training_sizes(study, [seed]))
            for seed, part in group.groupby("seed")
        ]
        contrast = corrected_t(values, _RATIO)
        entry = {"method": method, "label": label, "spearman": contrast.mean, "low": contrast.low}
        entry |= {"high": contrast.high, "n_splits": contrast.n_splits, "n_tissues": group["group"].nunique()}
        table.append(entry)
    columns = ["method", "label", "spearman", "low", "high", "n_splits", "n_tissues"]
    return pd.DataFrame(table, columns=columns).sort_values("spearman", ascending=False, ignore_index=True)


def show_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """`size_table` as a reader wants it."""
    text = [_mean_text(row.spearman, row.low, row.high, "+.2f") for row in table.itertuples()]
    named = {"method": table["label"], "Spearman's correlation with training samples": text}
    return pd.DataFrame(named | {"tissues": table["n_tissues"], "splits": table["n_splits"]})


def _spearman(one: pd.Series, two: pd.Series) -> float:
    both = pd.concat([one, two], axis=1, join="inner").dropna()
    if len(both) < 3:
        raise DataFormatError(f"{len(both)} tissues are too few for a correlation; keep more donors.")
    return float(np.corrcoef(rankdata(both.iloc[:, 0]), rankdata(both.iloc[:, 1]))[0, 1])


# --- genes ---


def score_by_gene(rows: pd.DataFrame, trials: Iterable[Trial]) -> pd.DataFrame:
    """R² of every gene, tissues pooled, the mean over splits: ``gene`` and a column for each method's label.

    The gene that PMI fills best comes first; without PMI, the one of the highest median over methods.
    """
    chosen = finished_scores(rows, "gene")
    table = with_labels(chosen, trials).pivot_table(index="group", columns="label", values="value", aggfunc="mean")
    key = table[label_of(SHOWN)] if label_of(SHOWN) in table else table.median(axis=1)
    table = table.loc[key.sort_values(ascending=False, kind="stable").index]
    table.columns.name = None
    return table.rename_axis("gene").reset_index()


def extreme_genes(table: pd.DataFrame, n: int = N_EXTREMES) -> pd.DataFrame:
    """The first and the last genes of `score_by_gene`, with a column ``rank``; all if there are no more."""
    ranked = table.assign(rank=np.arange(1, len(table) + 1))
    return ranked if len(table) <= 2 * n else pd.concat([ranked.head(n), ranked.tail(n)])


def show_genes(table: pd.DataFrame) -> pd.DataFrame:
    """`extreme_genes` as a reader wants it."""
    labels = [name for name in table if name not in ("gene", "rank")]
    return table[["rank", "gene"]].join(table[labels].map("{:.2f}".format))


# --- blood ---


def blood_table(rows: pd.DataFrame) -> pd.DataFrame:
    """R² of blood, tissue median and PMI in every tissue of donors who have blood.

    Returns
    -------
    DataFrame
        Columns tissue ("all" for all tissues but blood together), method, label, r2 (mean over genes and splits), low,
        high (its 95 % interval over splits), r2_p50 (median over genes, mean over splits: within a tissue the mean
        hangs on the few genes that vary least there), n_splits; "all" first, then the tissues in which blood does best.
    """
    chosen = rows[(rows["status"] == "ok") & rows["level"].isin(["overall", "tissue"])]
    keys = ["group", "method"]
    medians = chosen[chosen["metric"] == "r2_p50"].groupby(keys)["value"].mean()
    table = []
    for (tissue, method), part in chosen[chosen["metric"] == "r2"].groupby(keys, sort=False):
        contrast = corrected_t(part.sort_values("seed")["value"], _RATIO)
        entry = {"tissue": tissue, "method": method, "label": blood_label(method), "r2": contrast.mean}
        entry |= {"low": contrast.low, "high": contrast.high, "r2_p50": medians[tissue, method]}
        table.append(entry | {"n_splits": contrast.n_splits})
    table = pd.DataFrame(table)
    by_blood = table[table["method"] == "surrogate"].set_index("tissue")["r2_p50"]
    order = table.assign(first=table["tissue"] != "all", rank=-table["tissue"].map(by_blood))
    return order.sort_values(["first", "rank", "tissue", "method"], ignore_index=True).drop(columns=["first", "rank"])


def blood_label(method: str) -> str:
    """Text for a method where the surrogate is blood."""
    return "Donor's blood" if method == "surrogate" else label_of(method)


# --- embeddings ---


def show_clusters(table: pd.DataFrame) -> pd.DataFrame:
    """`reproduce.experiments.embeddings.cluster_table` as a reader wants it, the mean over splits."""
    means = table.groupby(["group", "method"], sort=False)
    shown = means[["silhouette", "null_mean"]].mean().map("{:+.2f}".format)
    shown["largest p"] = means["p"].max().map("{:.3f}".format)
    shown["splits"] = means["seed"].nunique()
    shown = shown.reset_index().rename(columns={"group": "grouping", "null_mean": "under permuted labels"})
    shown["grouping"] = shown["grouping"].map({"brain": "brain against the rest", "organ": "by organ"})
    return shown.assign(method=shown["method"].map(_vector_label)).rename(columns={"method": "vectors of"})


def _vector_label(method: str) -> str:
    return "mean expression" if method == EXPRESSION else label_of(method)


# --- sentences ---


def _mean_text(mean: float, low: float, high: float, digits: str = ".3f") -> str:
    return f"{mean:{digits}}" + (f" [{low:{digits}}, {high:{digits}}]" if np.isfinite(low) else "")


def _splits(n: int) -> str:
    return f"{n} donor split" + ("s" if n != 1 else "")


def say_methods(table: pd.DataFrame) -> str:
    """Which method fills all tissues best, where the networks stand, and what knowing the tissue is worth."""
    best_possible = table[table["method"] == ORACLE]
    methods = table[table["method"] != ORACLE].reset_index(drop=True)
    best = methods.iloc[0]
    text = [
        f"On {_splits(int(methods['n_splits'].max()))}, {best['label']} fills best: R² "
        f"{_mean_text(best['mean'], best['low'], best['high'])}, within tissues {best['r2_tissue']:.3f}."
    ]
    for rank, row in methods.iterrows():
        if row["method"] in ("pmi", "gain") and rank:
            text.append(f"{row['label']} is number {rank + 1} of {len(methods)} with {row['mean']:.3f}.")
    by_label = methods.set_index("label")["mean"]
    if {POOLED_LABEL, label_of("gaussian")} <= set(by_label.index):
        gain = by_label[label_of("gaussian")] - by_label[POOLED_LABEL]
        text.append(f"To the Gaussian, knowing the tissue is worth {gain:+.3f}.")
    if len(best_possible):
        text.append(f"The law of these simulated data allows {best_possible['mean'].iloc[0]:.3f}.")
    return " ".join(text)


def say_scored(rows: pd.DataFrame) -> str:
    """How few entries a gene's score within a tissue rests on."""
    scored = finished_scores(rows, "tissue")
    n_genes = rows.loc[rows["level"] == "gene", "group"].nunique()
    entries = scored["n_evaluated"] / n_genes
    return f"Within a tissue a gene has {entries.median():.0f} hidden entries that are scored, on average."


def say_training(histories: pd.DataFrame) -> str:
    """Whether the networks had trained long enough for so many samples."""
    runs = histories.groupby(["method", "trial_id"], sort=False)
    last = runs["epoch"].max()
    best = histories.loc[runs["validation_loss"].idxmin()].set_index(["method", "trial_id"])["epoch"]
    text = []
    for method, at in best.groupby(level="method", sort=False):
        length = last[method].mean()
        late = int((at >= 0.95 * last[method].to_numpy()).sum())
        text.append(
            f"{label_of(method)} was best on held-out donors after {at.mean():.0f} of {length:.0f} epochs on average"
            + (f"; in {late} of {len(at)} runs within the last twentieth, so it was still improving" if late else "")
        )
    return ". ".join(text) + "." if text else "No network was trained."


def say_tissues(table: pd.DataFrame, sizes: pd.DataFrame) -> str:
    """Where it is easy and where hard, and whether the number of training samples explains it."""
    table = table[table["method"] != ORACLE]
    method = SHOWN if SHOWN in set(table["method"]) else table["method"].iloc[0]
    mine = table[table["method"] == method].sort_values("r2_p50", ascending=False)
    best, worst = mine.iloc[0], mine.iloc[-1]
    size = sizes[sizes["method"] == method].iloc[0]
    if not np.isfinite(size["low"]):
        meaning = "one split has no interval"
    elif size["low"] > 0:
        meaning = "tissues of more training samples are filled better"
    elif size["high"] < 0:
        meaning = "tissues of more training samples are filled worse"
    else:
        meaning = "the interval leaves open whether the number of training samples matters"
    wins = table.loc[table.groupby("tissue")["r2_p50"].idxmax(), "label"].value_counts()
    count = int(table["tissue"].nunique())
    return (
        f"{label_of(method)}'s median R² over genes is highest in {best['tissue']} ({best['r2_p50']:.2f}) and lowest "
        f"in {worst['tissue']} ({worst['r2_p50']:.2f}); it is above 0 in {int((mine['r2_p50'] > 0).sum())} of {count} "
        f"tissues. With a tissue's training samples it correlates by "
        f"{_mean_text(size['spearman'], size['low'], size['high'], '.2f')} (Spearman): {meaning}. Best in "
        f"more tissues than any other: {wins.index[0]} ({int(wins.iloc[0])} of {count})."
    )


def say_genes(table: pd.DataFrame) -> str:
    """How far genes differ, and whether methods agree on which are hard."""
    labels = [name for name in table if name not in ("gene", label_of(ORACLE))]
    shown = label_of(SHOWN) if label_of(SHOWN) in labels else labels[0]
    first, last = table.iloc[0], table.iloc[-1]
    agreement = table[labels].corr(method="spearman")[shown].drop(shown)
    text = (
        f"Over genes, {shown}'s R² goes from {last[shown]:.2f} ({last['gene']}) to {first[shown]:.2f} "
        f"({first['gene']}), median {table[shown].median():.2f}."
    )
    if len(agreement):
        text += (
            f" On which genes are easy it agrees most with {agreement.idxmax()} (Spearman {agreement.max():.2f}) and "
            f"least with {agreement.idxmin()} ({agreement.min():.2f})."
        )
    return text


def say_blood(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """What a donor's blood says of its other tissues, against the tissue median."""
    wide = finished_scores(rows).pivot(index="seed", columns="method", values="value")
    contrast = corrected_t(wide["median"] - wide["surrogate"], _RATIO)
    each = table[table["tissue"] != "all"].pivot(index="tissue", columns="method", values="r2_p50")
    better = each.index[each["surrogate"] > each["median"]]
    difference = _mean_text(contrast.mean, contrast.low, contrast.high)
    where = f" ({', '.join(better)})" if 0 < len(better) <= 3 else ""
    text = (
        f"With {BLOOD} in place of the tissue itself R² is {wide['surrogate'].mean():.2f}; the tissue median reaches "
        f"{wide['median'].mean():.2f}, a difference of {difference} over {_splits(contrast.n_splits)}. By the "
        f"median over genes blood is the better of the two in {len(better)} of {len(each)} tissues{where}."
    )
    return text + (f" PMI on the same donors reaches {wide['pmi'].mean():.2f}." if "pmi" in wide else "")


def say_clusters(clusters: pd.DataFrame, reference: pd.DataFrame) -> str:
    """Whether brain tissues, and tissues of one organ, lie together, and whether that took a network; a list."""
    if clusters.empty:
        return "No network was trained, or there are too few tissues to be grouped."
    lines = ["Silhouettes of learned embeddings, minus what permuted labels give:", ""]
    for (method, group), part in clusters.groupby(["method", "group"], sort=False):
        excess = corrected_t(part["silhouette"] - part["null_mean"], _RATIO)
        value = _mean_text(excess.mean, excess.low, excess.high, "+.2f")
        kin = "the brain's regions" if group == "brain" else "tissues by organ"
        few = int((part["p"] < _LEVEL).sum())
        own = reference[reference["group"] == group]
        theirs = f"; of mean expression {(own['silhouette'] - own['null_mean']).mean():+.2f}" if len(own) else ""
        lines.append(f"- {label_of(method)}, {kin}: {value}, p < {_LEVEL:g} on {few} of {_splits(len(part))}{theirs}")
    return "\n".join(lines)
