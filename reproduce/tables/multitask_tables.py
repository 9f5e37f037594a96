"""Words and tables of the companion study of multi-task velocity networks; never trains and never draws.

The unit is the seed: a data set drawn afresh from the simulator, or a division of real cells. Scores are means over
genes, 95 % intervals and tests are over seeds: the t test for simulated data sets, which are independent, the corrected
t of `reproduce.hypotheses` for divisions, which overlap. With one seed there is no interval, and nothing is concluded.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.hypotheses import CONFIDENCE, corrected_t, holm
from reproduce.multitask.data import TEST_FRACTION

METHODS = {
    "trace_norm": "trace norm",
    "trace_norm_own": "trace norm, own starts",
    "single_task": "single-task networks",
    "single_task_common": "single-task, common start",
    "shared_hidden": "shared hidden layers",
    "shared": "one network for all",
    "lasso": "lasso",
    "ridge": "ridge",
    "forest": "random forest",
    "activity": "activity alone",
}
CLUSTERS = {"found": "clusters found", "true": "modules as simulated", "one": "all genes together"}
#: Test over training cells of real data, which the corrected t needs.
OVERLAP = TEST_FRACTION / (1.0 - TEST_FRACTION)
_CELL = ["relatedness", "cells_per_gene"]
_FEW = "too few seeds to conclude"


def say_data(simulations: list[dict[str, object]], sources: pd.DataFrame) -> str:
    """What is simulated, and which real cells stand beside it."""
    from reproduce.multitask.simulator import Simulation

    first = Simulation(**simulations[0])
    levels = ", ".join(f"{simulation['relatedness']:g}" for simulation in simulations)
    real = sources["what"].unique() if len(sources) else []
    beside = f" Real cells beside them: {'; '.join(real)}." if len(real) else " No real cells are at hand."
    return (
        f"**Simulated cells:** {first.n_factors} factors, {first.genes_per_module} genes in each of {first.n_modules} "
        f"module(s), {first.n_tissues} tissues, {first.factors_per_gene} factors to a programme, relatedness of a "
        f"module's genes {levels}, noise of {first.noise:g} standard deviations. The matrices of the published study "
        f"are not public.{beside}"
    )


# --- scores ---


def by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean R² over genes for each method and seed."""
    overall = rows[(rows["metric"] == "r2") & (rows["tissue"].fillna("") == "")]
    keys = [key for key in (*_CELL, "source") if key in overall and (overall[key].notna().any() or overall.empty)]
    columns = [name for name in ("value", "ceiling") if name in overall]
    return overall.groupby([*keys, "method", "seed"], sort=False)[columns].mean().reset_index()


def score_table(rows: pd.DataFrame, ratio: float = 0.0) -> pd.DataFrame:
    """Means over seeds with intervals, by all that is varied."""
    scores = by_seed(rows)
    keys = [key for key in (*_CELL, "source") if key in scores]
    records = []
    for cell, group in scores.groupby([*keys, "method"], sort=False):
        ceiling = {"ceiling": group["ceiling"].mean()} if "ceiling" in group else {}
        about = dict(zip([*keys, "method"], cell, strict=True))
        records.append({**about, "label": METHODS[about["method"]], **_interval(group["value"], ratio), **ceiling})
    return pd.DataFrame(
        records, columns=None if records else [*keys, "method", "label", "mean", "low", "high", "n_seeds"]
    )


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    """Rows of several calls of `run_all`, one below the other."""
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def only(rows: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """The rows of some methods."""
    return rows[rows["method"].isin(methods)]


def contrast_table(rows: pd.DataFrame, reference: str = "trace_norm", ratio: float = 0.0) -> pd.DataFrame:
    """Paired differences, reference less each other method, seed by seed; p values adjusted by Holm over all rows."""
    scores = by_seed(rows)
    keys = [key for key in (*_CELL, "source") if key in scores]
    records = []
    for cell, group in scores.groupby(keys, sort=False):
        wide = group.pivot(index="seed", columns="method", values="value")
        for method in (name for name in METHODS if name in wide and name != reference and reference in wide):
            differences = (wide[reference] - wide[method]).dropna()
            about = dict(zip(keys, cell, strict=True)) | {"method": method, "label": METHODS[method]}
            records.append(about | _interval(differences, ratio) | {"p": _two_sided(differences, ratio)})
    table = pd.DataFrame(records, columns=[*keys, "method", "label", "mean", "low", "high", "n_seeds", "p"])
    return table.assign(p_holm=holm(table["p"]) if len(table) else [])


def sharing_gain(rows: pd.DataFrame, other: str = "single_task") -> pd.DataFrame:
    """By how much more the trace norm gains over another method on the most related genes than on the least.

    Genes that have nothing in common gain from a penalty, too, if it only shrinks weights; what related genes gain
    beyond that is sharing. One row for each number of cells; differences are taken seed by seed.
    """
    scores = by_seed(rows)
    ends = scores["relatedness"].min(), scores["relatedness"].max()
    records = []
    for n_cells, group in scores.groupby("cells_per_gene", sort=False):
        wide = group.pivot_table(index="seed", columns=["relatedness", "method"], values="value")
        wanted = [(end, method) for end in ends for method in ("trace_norm", other)]
        if ends[0] == ends[1] or any(column not in wide for column in wanted):
            continue
        gain = {end: wide[(end, "trace_norm")] - wide[(end, other)] for end in ends}
        records.append({"cells_per_gene": n_cells, **_interval((gain[ends[1]] - gain[ends[0]]).dropna())})
    return pd.DataFrame(records, columns=["cells_per_gene", "mean", "low", "high", "n_seeds"])


def show_scores(table: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Scores, and what the trace norm is ahead by."""
    keys = [key for key in (*_CELL, "source") if key in table]
    merged = table.merge(contrasts, on=[*keys, "method", "label"], how="left", suffixes=("", "_less"))
    ahead = merged[["mean_less", "low_less", "high_less"]].itertuples(index=False, name=None)
    names = {"relatedness": "relatedness", "cells_per_gene": "cells a gene", "source": "cells"}
    shown = pd.DataFrame({names[key]: merged[key] for key in keys})
    return shown.assign(**{
        "method": merged["label"],
        "R²": [_text(*row) for row in merged[["mean", "low", "high"]].itertuples(index=False, name=None)],
        "trace norm less it": ["–" if np.isnan(row[0]) else _text(*row, "+") for row in ahead],
        "p (Holm)": ["–" if np.isnan(p) else f"{p:.2g}" for p in merged["p_holm"]],
        "seeds": merged["n_seeds"],
    })  # fmt: skip


def say_scores(table: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """For each relatedness: what sharing does to networks, and what the best simpler method does."""
    words = []
    for (related, n_cells), group in table.groupby(_CELL, sort=False):
        here = contrasts[(contrasts["relatedness"] == related) & (contrasts["cells_per_gene"] == n_cells)]
        best = group.loc[group["mean"].idxmax()]
        sentence = (
            f"Relatedness {related:g}, {n_cells} cells a gene: best is {best['label']} ({best['mean']:.2f}, of "
            f"{best['ceiling']:.2f} that noise leaves)."
        )
        for method in dict.fromkeys(("single_task", "lasso", _best_simple(group))):
            found = here[here["method"] == method]
            if len(found):
                sentence += f" Trace norm less {METHODS[method]}: {_judged(found.iloc[0])}."
        words.append(sentence)
    return " ".join(words)


def say_gain(gains: pd.DataFrame) -> str:
    """Whether it is sharing that helps, or shrinking."""
    if gains.empty:
        return "One relatedness only: what sharing does cannot be told from what shrinking does."
    parts = [f"{_text(row.mean_, row.low, row.high, '+')} with {row.cells_per_gene} cells a gene" for row in
             gains.rename(columns={"mean": "mean_"}).itertuples()]  # fmt: skip
    verdicts = gains[np.isfinite(gains["low"])]
    if verdicts.empty:
        what = _FEW
    elif (verdicts["low"] > 0).any():
        what = "where the interval lies above zero, genes gain from each other and not only from smaller weights"
    else:
        what = "not told apart from what a penalty gives genes that have nothing in common"
    return f"Gain over single-task networks on related genes less that on unrelated ones: {'; '.join(parts)} ({what})."


# --- genes and tissues ---


def tissue_table(rows: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """Mean R² within each tissue, by relatedness and method, with intervals over seeds."""
    within = rows[(rows["metric"] == "r2") & (rows["tissue"].fillna("") != "") & (rows["cells_per_gene"] == n_cells)]
    means = within.groupby(["relatedness", "tissue", "method", "seed"], sort=False)["value"].mean().reset_index()
    return pd.DataFrame([
        {"relatedness": related, "tissue": tissue, "method": method, "label": METHODS[method],
         **_interval(group["value"])}
        for (related, tissue, method), group in means.groupby(["relatedness", "tissue", "method"], sort=False)
    ])  # fmt: skip


def gene_table(rows: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """R² of each gene in each tissue and seed."""
    chosen = (rows["metric"] == "r2") & (rows["tissue"].fillna("") != "") & (rows["cells_per_gene"] == n_cells)
    columns = ["relatedness", "tissue", "method", "seed", "gene", "value"]
    return rows.loc[chosen, columns].assign(label=rows["method"].map(METHODS))


def say_genes(genes: pd.DataFrame) -> str:
    """For how many genes the trace norm beats single-task networks."""
    wide = genes.pivot_table(index=["relatedness", "seed", "tissue", "gene"], columns="method", values="value")
    if not {"trace_norm", "single_task"} <= set(wide):
        return "Trace norm and single-task networks were not both run."
    better = (wide["trace_norm"] > wide["single_task"]).groupby("relatedness").mean()
    parts = [f"{share:.0%} at relatedness {related:g}" for related, share in better.iloc[::-1].items()]
    return (
        f"Genes (in a tissue of a data set) that the trace norm predicts better than their own network: {_and(parts)}."
    )


# --- the penalty and the spectra ---


def sweep_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean R² by relatedness and penalty with intervals."""
    scores = rows[rows["metric"] == "r2"]
    return pd.DataFrame([
        {"relatedness": related, "penalty": penalty, **_interval(group["value"])}
        for (related, penalty), group in scores.groupby(["relatedness", "penalty"], sort=False)
    ])  # fmt: skip


def spectrum_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean relative singular values by relatedness, penalty and rank; the truth's too."""
    spectra = rows[rows["metric"] != "r2"]
    keys = ["metric", "relatedness", "penalty", "k"]
    return spectra.groupby(keys, sort=False)["value"].mean().reset_index()


def say_sweep(table: pd.DataFrame, spectra: pd.DataFrame) -> str:
    """The best penalty, and how much of the weights one direction holds, by relatedness."""
    words = []
    for related, group in table.groupby("relatedness", sort=False):
        best = group.loc[group["mean"].idxmax()]
        first = spectra[(spectra["k"] == 1) & (spectra["relatedness"] == related)]
        found = first[first["metric"] == "spectrum"].set_index("penalty")["value"] ** 2
        truth = float((first.loc[first["metric"] == "true_spectrum", "value"] ** 2).mean())
        words.append(
            f"Relatedness {related:g}: R² is highest at λ = {best['penalty']:g} ({best['mean']:.2f}). Of the squared "
            f"weights of the first hidden layer one direction holds {found.min():.0%} to {found.max():.0%}, of the "
            f"regulation simulated {truth:.0%}."
        )
    return " ".join(words)


# --- regulators ---


def precision_table(rows: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """Mean precision of the first k factors with intervals."""
    chosen = rows[(rows["metric"] == "precision") & (rows["cells_per_gene"] == n_cells)]
    return pd.DataFrame([
        {"relatedness": related, "method": method, "label": METHODS[method], "k": k, **_interval(group["value"])}
        for (related, method, k), group in chosen.groupby(["relatedness", "method", "k"], sort=False)
    ])  # fmt: skip


def show_precision(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """One k, a column a relatedness."""
    part = table[table["k"] == k]
    shown = pd.DataFrame({"method": part["label"].unique()})
    for related, group in part.groupby("relatedness", sort=False):
        texts = dict(zip(group["label"], map(_text, group["mean"], group["low"], group["high"]), strict=True))
        shown[f"relatedness {related:g}"] = shown["method"].map(texts)
    return shown


def say_precision(table: pd.DataFrame, k: int) -> str:
    """Who finds the most regulators."""
    words = []
    for related, group in table[table["k"] == k].groupby("relatedness", sort=False):
        ranked = group.sort_values("mean", ascending=False)
        first = ranked.iloc[0]
        words.append(
            f"Relatedness {related:g}: of the first {k} factors {first['label']} has the most right "
            f"({first['mean']:.0%}), {ranked.iloc[-1]['label']} the fewest ({ranked.iloc[-1]['mean']:.0%})."
        )
    return " ".join(words)


# --- clusters ---


def cluster_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean R², its paired difference to the modules as simulated, and the adjusted Rand index, with intervals."""
    records = []
    for n_cells, group in rows.groupby("cells_per_gene", sort=False):
        wide = group[group["metric"] == "r2"].pivot(index="seed", columns="clusters", values="value")
        rand = group.loc[group["metric"] == "rand", "value"]
        for name in CLUSTERS:
            less = {f"{end}_less": value for end, value in _interval(wide[name] - wide["true"]).items()}
            agreement = {f"{end}_rand": value for end, value in _interval(rand).items()} if name == "found" else {}
            about = {"cells_per_gene": n_cells, "clusters": name, "label": CLUSTERS[name]}
            records.append(about | _interval(wide[name]) | less | agreement)
    return pd.DataFrame(records)


def show_clusters(table: pd.DataFrame) -> pd.DataFrame:
    """As texts."""
    return pd.DataFrame({
        "cells a gene": table["cells_per_gene"],
        "trained together": table["label"],
        "R²": _texts(table, ""),
        "less modules as simulated": [
            "–" if name == "true" else text for name, text in zip(table["clusters"], _texts(table, "_less", "+"))
        ],
        "adjusted Rand index": [
            "–" if np.isnan(mean) else text for mean, text in zip(table["mean_rand"], _texts(table, "_rand"))
        ],
        "seeds": table["n_seeds"],
    })  # fmt: skip


def say_clusters(table: pd.DataFrame) -> str:
    """Whether velocities tell modules, and what knowing them is worth."""
    words = []
    for n_cells, group in table.groupby("cells_per_gene", sort=False):
        rows = group.set_index("clusters")
        rand = _text(*rows.loc["found", ["mean_rand", "low_rand", "high_rand"]])
        parts = [f"{CLUSTERS[name]} {_text(*rows.loc[name, ['mean_less', 'low_less', 'high_less']], '+')}"
                 for name in ("found", "one")]  # fmt: skip
        words.append(
            f"With {n_cells} cells a gene, clusters found agree with the modules by an adjusted Rand index of {rand} "
            f"(1: the same; 0: chance). R² less that of the modules as simulated: {_and(parts)}."
        )
    return " ".join(words)


# --- real cells ---


def say_real(table: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """What the real excerpts show, which is little."""
    if table.empty:
        return "No real velocities were at hand."
    words = []
    for source, group in table.groupby("source", sort=False):
        best = group.loc[group["mean"].idxmax()]
        words.append(f"{source}: best is {best['label']} (R² {_text(best['mean'], best['low'], best['high'])}).")
        found = contrasts[(contrasts["source"] == source) & (contrasts["method"] == _best_simple(group))]
        if len(found):
            words.append(f"Trace norm less {found.iloc[0]['label']}: {_judged(found.iloc[0])}.")
    return " ".join(words) + (
        " About ten test cells a division: this shows that the path from files to scores works. scVelo smooths "
        "velocities over neighbouring cells, test and training alike, which flatters every method."
    )


def say_conclusion(scores: str, gain: str, sweep: str, precision: str, real: str) -> str:
    """What the tables say, one line each."""
    lines = {"Methods": scores, "Sharing": gain, "Penalty": sweep, "Regulators": precision, "Real cells": real}
    return "\n".join(f"- **{name}.** {text}" for name, text in lines.items())


# --- helpers ---


def _interval(values: pd.Series, ratio: float = 0.0) -> dict[str, float]:
    contrast = corrected_t(values, ratio, confidence=CONFIDENCE)
    ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
    return {"mean": contrast.mean, "low": ends[0], "high": ends[1], "n_seeds": contrast.n_splits}


def _two_sided(values: pd.Series, ratio: float) -> float:
    contrast = corrected_t(values, ratio)
    return min(1.0, 2.0 * min(contrast.p_above, contrast.p_below))


def _text(mean: float, low: float, high: float, sign: str = "") -> str:
    interval = f" [{low:{sign}.3f},\u00a0{high:{sign}.3f}]" if np.isfinite(low) else ""
    return f"{mean:{sign}.3f}{interval}"


def _texts(table: pd.DataFrame, ending: str, sign: str = "") -> list[str]:
    columns = [f"{name}{ending}" for name in ("mean", "low", "high")]
    return [_text(*row, sign) for row in table[columns].itertuples(index=False, name=None)]


def _judged(row: pd.Series) -> str:
    """A difference with its interval; the verdict is by the p value adjusted for the table's other differences."""
    text = _text(row["mean"], row["low"], row["high"], "+")
    if not np.isfinite(row["low"]):
        return f"{text} ({_FEW})"
    verdict = "undecided" if row["p_holm"] >= 1.0 - CONFIDENCE else "better" if row["mean"] > 0 else "worse"
    return f"{text} ({verdict}, p {row['p_holm']:.2g})"


def _best_simple(group: pd.DataFrame) -> str:
    simple = group[group["method"].isin(["lasso", "ridge", "forest"])]
    return "" if simple.empty else simple.loc[simple["mean"].idxmax(), "method"]


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
