"""Turns stored rows and cohorts into the tables and sentences that a reader sees; never runs a method and never draws.

Every number in the prose of a notebook comes from here, computed from the table beside it, so that words cannot
outlive the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments.trials import ORACLE
from reproduce.files import write_table as write_table  # notebooks write what this room makes
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.metrics import METRICS
from reproduce.preprocessing import ExpressionTransform
from reproduce.tables import ranges
from reproduce.tables.wording import interval_text, plus_minus, with_intervals

PAPER_REPORTED = Path(__file__).parents[2] / "results" / "paper_reported.csv"
#: Above panels and tables.
SCENARIO_TITLES = {"inductive": "Inductive", "in_place": "In place"}
SOURCES = ("paper", "reference notebook", "student study")  # of what stands in that file
_CONFIGURATION = [
    "scenario",
    "train",
    "test",
    "transform",
    "missing_rate",
    "training_rows",
    "variant",
    "method",
    "config_hash",
]


def label_of(method: str) -> str:
    """Text for a method in tables and figures."""
    from reproduce.imputers import METHODS

    return "Best attainable" if method == ORACLE else METHODS[method].label


# --- tables of scores ---


def finished_scores(results: pd.DataFrame, level: str = "overall", metric: str = "r2") -> pd.DataFrame:
    """Rows of the results table that hold this metric, of trials that ended well."""
    return results[(results["status"] == "ok") & (results["level"] == level) & (results["metric"] == metric)]


def score_table(results: pd.DataFrame, metric: str = "r2") -> pd.DataFrame:
    """Mean, standard deviation and interval over splits for each configuration.

    Parameters
    ----------
    results : DataFrame
        The results table.
    metric : str, default "r2"

    Returns
    -------
    DataFrame
        One row per configuration, best first: its columns, label, mean, sd (over splits), low, high (95 %, corrected
        for the overlap of splits), n_splits, seconds (mean of fitting and filling).
    """
    scores, rows = finished_scores(results, metric=metric), []
    for configuration, group in scores.sort_values("seed").groupby(_CONFIGURATION, sort=False):
        entry = dict(zip(_CONFIGURATION, configuration, strict=True))
        contrast = corrected_t(group["value"].to_numpy(float), overlap_ratio(entry["scenario"]))
        seconds = float((group["fit_seconds"] + group["impute_seconds"]).mean())
        sd = float(group["value"].std(ddof=1)) if len(group) > 1 else np.nan
        entry |= {"label": label_of(entry["method"]), "mean": contrast.mean, "sd": sd, "low": contrast.low}
        rows.append(entry | {"high": contrast.high, "n_splits": contrast.n_splits, "seconds": seconds})
    columns = [*_CONFIGURATION, "label", "mean", "sd", "low", "high", "n_splits", "seconds"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["mean", "method"], ascending=[False, True], ignore_index=True
    )


def gene_table(results: pd.DataFrame, metric: str = "r2") -> pd.DataFrame:
    """Mean over splits of each gene's score: genes × methods, the easiest gene first."""
    chosen = finished_scores(results, "gene", metric)
    table = chosen.pivot_table(index="group", columns="method", values="value", aggfunc="mean")
    table.index.name, table.columns.name = "gene", None
    return table.loc[table.median(axis=1).sort_values(ascending=False).index]


def metric_table(results: pd.DataFrame) -> pd.DataFrame:
    """Mean over splits of every overall metric: configurations × metrics."""
    chosen = results[(results["status"] == "ok") & (results["level"] == "overall") & (results["group"] == "all")]
    table = chosen.pivot_table(index=["method", "training_rows"], columns="metric", values="value", aggfunc="mean")
    table.columns.name = None
    return table[[metric for metric in METRICS if metric in table]].sort_values("r2", ascending=False)


def show_metrics(table: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """`metric_table` as a reader wants it: methods by their labels, training rows in words."""
    shown = table.reset_index()
    rows = [training_rows_text(scenario, kind) for kind in shown["training_rows"]]
    shown = shown.assign(method=shown["method"].map(label_of), training_rows=rows)
    return shown.rename(columns={"training_rows": "training rows", "r2": "R²", "r2_tissue": "R² within tissue"})


def training_rows_text(scenario: str, training_rows: str) -> str:
    """How the rows that a method was fitted on are named in tables."""
    return (
        "same rows, with holes"
        if scenario == "in_place"
        else {"masked": "with holes"}.get(training_rows, training_rows)
    )


def show_scores(table: pd.DataFrame) -> pd.DataFrame:
    """A score table as a reader wants it: rounded, labelled, saying which training rows each method had."""
    rows = zip(table["scenario"], table["training_rows"], strict=True)
    ends = (ranges.cut(a, b, ranges.R2) for a, b in zip(table["low"], table["high"], strict=True))
    interval = [interval_text(low, high) if np.isfinite(low) else "–" for low, high in ends]
    return pd.DataFrame(
        {
            "method": table["label"],
            "target": table["test"],
            "scale": table["transform"],
            "training rows": [training_rows_text(*pair) for pair in rows],
            "R²": table["mean"].map("{:.3f}".format),
            "sd over splits": table["sd"].map(lambda sd: "–" if np.isnan(sd) else f"{sd:.3f}"),
            "95 % interval": interval,
            "splits": table["n_splits"],
            "seconds": table["seconds"].map(_seconds),
        }
    )


def mean_and_interval(values: pd.Series, ratio: float) -> dict[str, float]:
    """Mean, ends of its interval by the corrected t (NaN for a single value) and number of values.

    Parameters
    ----------
    values : Series
        One for each division of the samples, or each draw.
    ratio : float
        Of test to training samples where divisions overlap, see `reproduce.hypotheses.corrected_t`; 0 for draws that
        are independent.

    Returns
    -------
    dict
        mean, low, high, n_seeds.

    Raises
    ------
    ConfigError
        For no value, or one that is missing.
    """
    contrast = corrected_t(values, ratio)
    ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
    return {"mean": contrast.mean, "low": ends[0], "high": ends[1], "n_seeds": contrast.n_splits}


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or with an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 1 else f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


# --- beside the paper ---


def read_paper_reported(path: str | Path = PAPER_REPORTED) -> pd.DataFrame:
    """What the paper, its authors' notebook and the student study report, tidy.

    Returns
    -------
    DataFrame
        Columns source ("paper", "reference notebook" or "student study"), table (where it is stated), gene_set,
        method, scenario, target (the tissue or tumours scored; the paper's tables score all tissues together),
        missing_rate (fraction hidden), metric, value, sd, runtime_hours, note.

    Raises
    ------
    DataFormatError
        If the file is absent, lacks a column, or has an unknown source or two values for one thing.
    """
    path = Path(path)
    if not path.exists():
        raise DataFormatError(f"{path} is absent; it belongs to the project, restore it from the repository.")
    table = pd.read_csv(path, keep_default_na=True)
    what = ["source", "gene_set", "method", "scenario", "target", "missing_rate", "metric"]
    absent = [name for name in [*what, "table", "value", "sd", "runtime_hours", "note"] if name not in table]
    if absent:
        raise DataFormatError(f"{path} lacks the column {absent[0]!r}.")
    # lines as an editor counts them, after the header
    for line, source in enumerate(table["source"], start=2):
        if source not in SOURCES:
            raise DataFormatError(f"{path}, line {line}: source {source!r} is none of {', '.join(SOURCES)}.")
    if (twice := table.duplicated(what)).any():
        raise DataFormatError(f"{path}, line {int(twice.argmax()) + 2}: a second value for the same thing; keep one.")
    return table


def headline_table(results: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Ours beside the paper's: one row per method and scenario that either of them has.

    Ours is R² on log counts at 50 % missing; a method enters with the training rows with which it enters the
    hypothesis tests.

    Returns
    -------
    DataFrame
        Columns method, label, scenario, ours, ours_low, ours_high, n_splits, seconds, training_rows, and
        paper_genome, paper_alzheimer (the paper's R² for all protein-coding and for the Alzheimer genes).
    """
    from reproduce.imputers import METHODS

    table = score_table(results[(results["transform"] == "log1p") & np.isclose(results["missing_rate"], 0.5)])
    in_place = table["scenario"] == "in_place"
    table = table[in_place | ((table["scenario"] == "inductive") & (table["training_rows"] == "complete"))]
    columns = {"mean": "ours", "low": "ours_low", "high": "ours_high"}
    ours = table.rename(columns=columns)[
        ["method", "scenario", "ours", "ours_low", "ours_high", "n_splits", "seconds", "training_rows"]
    ]
    # neither single tissues and tumours nor the student study's genes
    tables = (paper["source"] == "paper") & (paper["target"] == "all tissues") & np.isclose(paper["missing_rate"], 0.5)
    theirs = paper[tables & (paper["metric"] == "r2")].pivot_table(
        index=["method", "scenario"], columns="gene_set", values="value", aggfunc="first"
    )
    theirs = theirs.rename(columns={"protein_coding": "paper_genome", "alzheimer": "paper_alzheimer"}).reset_index()
    merged = ours.merge(theirs, on=["method", "scenario"], how="outer")
    merged = merged[merged["method"].isin([*METHODS, ORACLE])]
    merged.insert(1, "label", merged["method"].map(label_of))
    order = {name: position for position, name in enumerate([*METHODS, ORACLE])}
    return merged.sort_values(
        ["scenario", "method"], key=lambda c: c.map(order) if c.name == "method" else c
    ).reset_index(drop=True)


def show_headline(table: pd.DataFrame) -> pd.DataFrame:
    """The headline table, one row per method, scenarios side by side; ± half of the 95 % interval."""
    ours = table[["ours", "ours_low", "ours_high"]].itertuples(index=False, name=None)
    shown = table.assign(cell=["–" if np.isnan(row[0]) else plus_minus(*row) for row in ours])
    wide = {}
    for scenario, name in (("inductive", "inductive"), ("in_place", "in place")):
        part = shown[shown["scenario"] == scenario].set_index("label")
        wide[f"{name}: ours"] = part["cell"]
        wide[f"{name}: paper, 12,557 genes"] = part["paper_genome"].map(lambda v: "–" if np.isnan(v) else f"{v:.3f}")
        wide[f"{name}: paper, 273 genes"] = part["paper_alzheimer"].map(lambda v: "–" if np.isnan(v) else f"{v:.3f}")
    order = list(dict.fromkeys(table["label"]))
    return pd.DataFrame(wide).reindex(order).fillna("–").rename_axis("method").reset_index()


def show_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The verdicts as a reader wants them; `table` of `reproduce.hypotheses.verdicts`."""
    decisive = [
        f"{label_of(row.challenger)} − {label_of(row.rival) if row.rival else 'gene means'}" if row.challenger else "–"
        for row in table.itertuples()
    ]
    p_values = zip(table["p_supported_holm"], table["p_refuted_holm"], strict=True)
    return pd.DataFrame(
        {
            "id": table["id"],
            "claim": table["statement"],
            "verdict": table["verdict"],
            "decisive contrast": decisive,
            "difference in R² [95 %]": with_intervals(table, "effect", sign="+"),
            "margin": table["margin"].map("{:.2f}".format),
            "p of support, of refutation (Holm)": [f"{_p_value(p)}, {_p_value(q)}" for p, q in p_values],
            "splits": table["n_splits"],
            "reason": table["reason"],
            "claimed in": table["source"],
        }
    )


def _p_value(p: float) -> str:
    return "–" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


# --- the cohorts ---


def cohort_overview(study) -> pd.DataFrame:
    """One row per cohort and tissue: samples, donors, genes, unit, sex, age, zeros, missing values and depth."""
    rows = []
    for key, cohort in study.cohorts.items():
        for tissue, obs in cohort.obs.groupby("tissue", observed=True, sort=True):
            X = np.asarray(cohort[obs.index].X, dtype=float)
            entry = {"cohort": key, "tissue": tissue, "samples": len(obs), "donors": obs["donor"].nunique()}
            entry |= {"genes": cohort.n_vars, "unit": cohort.uns.get("units", "")}
            entry |= {"female": float((obs["sex"] == "female").sum() / max(1, obs["sex"].notna().sum()))}
            entry |= {"sex unknown": int(obs["sex"].isna().sum()), "median age": float(obs["age"].median())}
            entry |= {"missing": float(np.isnan(X).mean()), "zeros": float((X == 0).mean())}
            rows.append(entry | {"median total": float(np.median(np.nansum(X, axis=1)))})
    return pd.DataFrame(rows)


def notes_table(study) -> pd.DataFrame:
    """What reading the data dropped, renamed or assumed: one row per note, which says its cohort."""
    return pd.DataFrame({"note": list(dict.fromkeys(study.notes))})


def sample_totals(study) -> pd.DataFrame:
    """One row per sample: cohort, tissue, and total over genes in the cohort's unit."""
    parts = []
    for key, cohort in study.cohorts.items():
        totals = np.nansum(np.asarray(cohort.X, dtype=float), axis=1)
        frame = {"cohort": key, "tissue": cohort.obs["tissue"].astype(str), "total": totals}
        parts.append(pd.DataFrame(frame, index=cohort.obs_names))
    return pd.concat(parts)


def gene_quality(study) -> pd.DataFrame:
    """One row per cohort and gene: mean and standard deviation of log(1 + x), share of zeros and of missing values."""
    parts = []
    for key, cohort in study.cohorts.items():
        X = pd.DataFrame(np.asarray(cohort.X, dtype=float), columns=cohort.var_names)
        logs = np.log1p(X)
        frame = {"cohort": key, "gene": X.columns, "mean": logs.mean().to_numpy(), "sd": logs.std().to_numpy()}
        parts.append(pd.DataFrame(frame | {"zeros": X.eq(0).mean().to_numpy(), "missing": X.isna().mean().to_numpy()}))
    return pd.concat(parts, ignore_index=True)


def genes_by_cohort(study) -> pd.DataFrame:
    """Genes that not every cohort has, with the cohorts that have them; empty if all agree."""
    held = pd.DataFrame({key: pd.Series(True, index=cohort.var_names) for key, cohort in study.cohorts.items()})
    held = held.reindex(columns=list(study.cohorts)).notna()
    partial = held[~held.all(axis=1)]
    return partial.replace({True: "yes", False: "no"}).rename_axis("gene").reset_index()


def gene_correlations(study, transform: str = "log1p") -> pd.DataFrame:
    """Correlation of every pair of genes within each cohort and tissue: pairs × "cohort, tissue"."""
    columns = {}
    for key, cohort in study.cohorts.items():
        changed = ExpressionTransform(transform).fit(cohort.X)
        Z = pd.DataFrame(changed.transform(cohort.X), index=cohort.obs_names, columns=cohort.var_names)
        genes = sorted(Z.columns)
        for tissue, obs in cohort.obs.groupby("tissue", observed=True, sort=True):
            matrix = Z.loc[obs.index, genes].corr().to_numpy()
            upper = np.triu_indices(len(genes), k=1)
            pairs = pd.MultiIndex.from_arrays([np.array(genes)[i] for i in upper], names=["gene", "other"])
            columns[f"{key}, {tissue}"] = pd.Series(matrix[upper], index=pairs)
    return pd.DataFrame(columns)


def correlation_agreement(correlations: pd.DataFrame) -> pd.DataFrame:
    """How far two cohorts agree on which genes go together: Pearson correlation over pairs of genes."""
    rows = []
    for one, two in combinations(correlations.columns, 2):
        both = correlations[[one, two]].dropna()
        rows.append({"one": one, "two": two, "agreement": float(both.corr().iloc[0, 1]), "pairs": len(both)})
    return pd.DataFrame(rows, columns=["one", "two", "agreement", "pairs"])


def history_table(histories: pd.DataFrame) -> pd.DataFrame:
    """Per network: splits, epochs run, and the epoch and value of the best validation loss (means over splits)."""
    rows = []
    for method, group in histories.groupby("method", sort=False):
        runs = [run for _, run in group.groupby("trial_id", sort=False)]
        best = [run.loc[run["validation_loss"].idxmin()] for run in runs]
        entry = {"method": label_of(method), "splits": len(runs)}
        entry |= {"epochs run": float(np.mean([run["epoch"].nunique() for run in runs]))}
        entry |= {"best epoch": float(np.mean([row["epoch"] for row in best]))}
        rows.append(entry | {"best validation loss": float(np.mean([row["validation_loss"] for row in best]))})
    return pd.DataFrame(rows, columns=["method", "splits", "epochs run", "best epoch", "best validation loss"])


# --- sentences ---


def say_data(study) -> str:
    """Which data a notebook shows."""
    kind = "Real data" if study.is_real else "Simulated data, not measurements"
    counts = "; ".join(
        f"{key}: {c.n_obs} samples of {c.obs['donor'].nunique()} donors" for key, c in study.cohorts.items()
    )
    genes = next(iter(study.cohorts.values())).n_vars
    return f"**{kind}.** {study.title}. {counts}; {genes} genes. Fingerprint `{study.fingerprint}`."


def say_n(study, results: pd.DataFrame | None = None) -> str:
    """Under a figure: which data it shows, how many samples and genes and, where it shows scores, how many splits.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
    results : DataFrame, optional
        The rows behind the figure; their cohorts only are named.
    """
    names = list(study.cohorts)
    if results is not None:
        used = {part.split("/")[0] for name in {*results["train"], *results["test"]} for part in name.split("+")}
        names = [name for name in names if name in used]
    samples = ", ".join(f"{name} {study.cohorts[name].n_obs:,} samples" for name in names)
    genes = max(study.cohorts[name].n_vars for name in names)
    text = f"Data: {study.title}; {samples}; {genes:,} genes"
    return f"*{text}.*" if results is None else f"*{text}; {_n_splits(results)}.*"


def _n_splits(results: pd.DataFrame) -> str:
    """How many splits the methods have, and which of them have fewer."""
    counts = results[results["status"] == "ok"].groupby("method", sort=False)["seed"].nunique()
    if counts.empty:
        return "no split"
    one, many = "donor split", "donor splits"
    if set(results["scenario"]) == {"cross_cohort"}:
        one, many = "set of patients and holes", "sets of patients and holes"
    fewer = ", ".join(f"{label_of(method)} {n}" for method, n in counts[counts < counts.max()].items())
    return f"n = {counts.max()} {one if counts.max() == 1 else many} for each method" + (f" ({fewer})" if fewer else "")


def say_agreement(agreement: pd.DataFrame) -> str:
    """How alike the cohorts' gene-gene correlations are, within GTEx and from GTEx to the tumours."""
    gtex = agreement["one"].str.startswith("GTEx") & agreement["two"].str.startswith("GTEx")
    across = agreement["one"].str.startswith("GTEx") ^ agreement["two"].str.startswith("GTEx")
    parts = []
    for chosen, where in ((gtex, "within GTEx, between tissues"), (across, "between GTEx and tumours")):
        values = agreement.loc[chosen, "agreement"]
        if len(values):
            span = f"{values.min():.2f}" if len(values) == 1 else f"{values.min():.2f} to {values.max():.2f}"
            parts.append(f"{where} {span}")
    return (
        "The correlation of gene-gene correlations is "
        + "; ".join(parts)
        + ". Where it is low, what a model has learnt about one cohort's genes says little about the other's."
    )


def say_ranking(table: pd.DataFrame) -> str:
    """Best method, best network and their gap, with the number of splits; from a table of `score_table`."""
    methods = table[table["method"] != ORACLE]
    if methods.empty:
        raise ConfigError("There is no score to speak of; run at least one trial.")
    text = []
    for target, group in methods.groupby("test", sort=False):
        best = group.iloc[0]
        text.append(f"On {target} the best of the methods compared is {_with_score(best)}.")
        networks = group[group["method"].isin(["pmi", "gain", "gain_mse"])]
        if len(networks) and networks.iloc[0]["method"] != best["method"]:
            gap = best["mean"] - networks.iloc[0]["mean"]
            text.append(f"The best network is {_with_score(networks.iloc[0])}, {gap:.3f} below.")
        bound = table[(table["method"] == ORACLE) & (table["test"] == target)]
        if len(bound):
            text.append(
                f"No method could exceed {bound['mean'].iloc[0]:.3f} here, since the law of these data is known."
            )
    return " ".join(text)


def _with_score(row: pd.Series) -> str:
    low, high = ranges.cut(row["low"], row["high"], ranges.R2)
    interval = f", 95 % interval {low:.3f} to {high:.3f}" if np.isfinite(low) else ""
    return f"{row['label']} (R² {row['mean']:.3f}{interval}, {counted(row['n_splits'], 'split')})"


def say_depth(table: pd.DataFrame) -> str:
    """What removing sequencing depth does to each method that was run on both scales."""
    wide = table.pivot_table(index="label", columns="transform", values="mean", sort=False)
    if not {"log1p", "log1p_depth"} <= set(wide.columns):
        raise ConfigError("Both log1p and log1p_depth scores are needed to speak of depth.")
    both = wide.dropna(subset=["log1p", "log1p_depth"])
    changes = "; ".join(f"{name} from {row.log1p:.3f} to {row.log1p_depth:.3f}" for name, row in both.iterrows())
    lower = int((both["log1p_depth"] < both["log1p"]).sum())
    return (
        f"With sequencing depth removed, R² goes for {changes}. For {lower} of {len(both)} methods it falls: "
        "that much of the score on log counts came from the depth that all genes of a sample share."
    )


def say_verdicts(table: pd.DataFrame) -> str:
    """One Markdown line per hypothesis: verdict, effect with interval, reason."""
    lines = []
    for row in table.itertuples():
        rival = f" over {label_of(row.rival)}" if row.rival else " over the gene means"
        effect = ""
        if np.isfinite(row.effect):
            known = f" [{row.low:+.3f}, {row.high:+.3f}]" if np.isfinite(row.low) else ""
            mean = f"{row.effect:+.3f} R²{known}, {counted(row.n_splits, 'split')}"
            effect = f" {label_of(row.challenger)}{rival}: {mean}."
        lines.append(f"- **{row.id} {row.verdict}**: {row.statement}{effect} ({row.reason})")
    return "\n".join(lines)


def say_not_run(scenario: str, n_splits_by_method: Mapping[str, int]) -> str:
    """Which methods the preset leaves out of a scenario, so that an absent row is not taken for an oversight."""
    from reproduce.imputers import METHODS

    zero = [METHODS[m] for m, n in n_splits_by_method.items() if n == 0 and m in METHODS]
    left_out = [method.label for method in zero if scenario in method.scenarios]
    return f"Not run in this preset: {', '.join(left_out)}." if left_out else "The preset leaves no method out."
