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
from reproduce.tables import ranges
from reproduce.tables.wording import row_with_interval, with_intervals

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
SIMPLE = ("lasso", "ridge", "forest")
#: Networks that start apart, with the penalty and without.
_APART = ("trace_norm_own", "single_task")
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
        records.append({**about, "label": METHODS[about["method"]], **interval(group["value"], ratio), **ceiling})
    return pd.DataFrame(
        records, columns=None if records else [*keys, "method", "label", "mean", "low", "high", "n_seeds"]
    )


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    """Rows of several calls of `run_all`, one below the other."""
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def only(rows: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """The rows of some methods."""
    return rows[rows["method"].isin(methods)]


def contrast_table(rows: pd.DataFrame, ratio: float = 0.0) -> pd.DataFrame:
    """Paired differences, seed by seed: trace norm less each other method, and networks that start apart, trace norm
    less single tasks; p values adjusted by Holm over all rows.
    """
    scores = by_seed(rows)
    keys = [key for key in (*_CELL, "source") if key in scores]
    records = []
    for cell, group in scores.groupby(keys, sort=False):
        wide = group.pivot(index="seed", columns="method", values="value")
        pairs = [("trace_norm", name) for name in METHODS if name != "trace_norm"] + [_APART]
        for reference, method in (pair for pair in pairs if set(pair) <= set(wide)):
            differences = (wide[reference] - wide[method]).dropna()
            about = dict(zip(keys, cell, strict=True)) | {"reference": reference, "method": method}
            about["label"] = METHODS[method]
            records.append(about | interval(differences, ratio) | {"p": two_sided(differences, ratio)})
    columns = [*keys, "reference", "method", "label", "mean", "low", "high", "n_seeds", "p"]
    return with_holm(pd.DataFrame(records, columns=columns))


def sharing_gain(rows: pd.DataFrame, other: str = "single_task_common") -> pd.DataFrame:
    """By how much more the trace norm gains over another method on the most related genes than on the least.

    Genes that have nothing in common gain from a penalty, too, if it only shrinks weights; what related genes gain
    beyond that is sharing, as long as it is a gain. One row for each number of cells; differences are taken seed by
    seed. Columns ending in _related are the gain on the most related genes itself; p values by Holm over the rows.
    """
    scores = by_seed(rows)
    ends = scores["relatedness"].min(), scores["relatedness"].max()
    records = []
    for n_cells, group in scores.groupby("cells_per_gene", sort=False):
        wide = group.pivot_table(index="seed", columns=["relatedness", "method"], values="value")
        wanted = [(end, method) for end in ends for method in ("trace_norm", other)]
        if ends[0] == ends[1] or any(column not in wide for column in wanted):
            continue
        gain = {end: (wide[(end, "trace_norm")] - wide[(end, other)]).dropna() for end in ends}
        beyond = (gain[ends[1]] - gain[ends[0]]).dropna()
        related = {f"{name}_related": value for name, value in interval(gain[ends[1]]).items()}
        records.append({"cells_per_gene": n_cells, **interval(beyond), **related, "p": two_sided(beyond, 0.0)})
    names = ["mean", "low", "high", "n_seeds"]
    columns = ["cells_per_gene", *names, *(f"{name}_related" for name in names), "p"]
    return with_holm(pd.DataFrame(records, columns=columns))


def show_scores(table: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Scores, and what the trace norm is ahead by."""
    keys = [key for key in (*_CELL, "source") if key in table]
    against = contrasts[contrasts["reference"] == "trace_norm"]
    merged = table.merge(against, on=[*keys, "method", "label"], how="left", suffixes=("", "_less"))
    names = {"relatedness": "relatedness", "cells_per_gene": "cells a gene", "source": "cells"}
    shown = pd.DataFrame({names[key]: merged[key] for key in keys})
    return shown.assign(**{
        "method": merged["label"],
        "R²": with_intervals(merged, limits=ranges.R2),
        "trace norm less it": with_intervals(merged, "mean_less", ("low_less", "high_less"), sign="+"),
        "p (Holm)": ["–" if np.isnan(p) else f"{p:.2g}" for p in merged["p_holm"]],
        "seeds": merged["n_seeds"],
    })  # fmt: skip


def say_scores(table: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """For each relatedness: what the penalty does to networks of either start, and what simpler methods do."""
    words = []
    for (related, n_cells), group in table.groupby(_CELL, sort=False):
        here = contrasts[(contrasts["relatedness"] == related) & (contrasts["cells_per_gene"] == n_cells)]
        best = group.loc[group["mean"].idxmax()]
        sentence = (
            f"Relatedness {related:g}, {n_cells} cells a gene: the highest mean is of {best['label']} "
            f"({best['mean']:.2f}; the velocity without noise itself: {best['ceiling']:.2f})."
        )
        others = dict.fromkeys(("single_task_common", "single_task", "lasso", best_simple(group)))
        for pair in [*(("trace_norm", other) for other in others), _APART]:
            found = here[(here["reference"] == pair[0]) & (here["method"] == pair[1])]
            if len(found):
                sentence += f" {_less(*pair)}: {judged(found.iloc[0])}."
        words.append(sentence)
    return " ".join(words)


def say_curve(contrasts: pd.DataFrame) -> str:
    """Against which methods, and with how many cells, the trace norm is ahead or behind."""
    words = []
    pairs = contrasts[contrasts["reference"] == "trace_norm"]
    for (related, method), group in pairs.groupby(["relatedness", "method"], sort=False):
        parts = [f"{row['cells_per_gene']} cells {judged(row)}" for _, row in group.iterrows()]
        words.append(f"Relatedness {related:g}, {_less('trace_norm', method)[0].lower()}"
                     f"{_less('trace_norm', method)[1:]}: {'; '.join(parts)}.")  # fmt: skip
    return " ".join(words)


def say_gain(gains: pd.DataFrame) -> str:
    """Whether it is sharing that helps, or shrinking."""
    if gains.empty:
        return "One relatedness only: what sharing does cannot be told from what shrinking does."
    parts = []
    for _, row in gains.iterrows():
        own = row_with_interval(row, "mean_related", ("low_related", "high_related"), sign="+")
        passed = row["p_holm"] < 1.0 - CONFIDENCE and row["mean"] > 0
        if not np.isfinite(row["low"]):
            verdict = _FEW
        elif passed and row["low_related"] > 0:
            verdict = "related genes gain from each other, not only from smaller weights"
        elif passed:
            verdict = (
                "no gain of related genes is shown; the difference comes from harm to genes that have nothing in common"
            )
        else:
            verdict = "not told apart from what the penalty does to genes that have nothing in common"
        parts.append(
            f"with {row['cells_per_gene']:g} cells a gene {row_with_interval(row, sign='+')} "
            f"(p {row['p_holm']:.2g}; on related genes alone {own}): {verdict}"
        )
    return (
        "Gain by the penalty over single tasks with the same common start, on related genes less that on unrelated "
        f"ones: {'; '.join(parts)}."
    )


# --- genes and tissues ---


def tissue_table(rows: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """Mean R² within each tissue, by relatedness and method, with intervals over seeds."""
    within = rows[(rows["metric"] == "r2") & (rows["tissue"].fillna("") != "") & (rows["cells_per_gene"] == n_cells)]
    means = within.groupby(["relatedness", "tissue", "method", "seed"], sort=False)["value"].mean().reset_index()
    return pd.DataFrame([
        {"relatedness": related, "tissue": tissue, "method": method, "label": METHODS[method],
         **interval(group["value"])}
        for (related, tissue, method), group in means.groupby(["relatedness", "tissue", "method"], sort=False)
    ])  # fmt: skip


def gene_table(rows: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """R² of each gene in each tissue and seed."""
    chosen = (rows["metric"] == "r2") & (rows["tissue"].fillna("") != "") & (rows["cells_per_gene"] == n_cells)
    columns = ["relatedness", "tissue", "method", "seed", "gene", "value"]
    return rows.loc[chosen, columns].assign(label=rows["method"].map(METHODS))


def say_genes(genes: pd.DataFrame) -> str:
    """For how many genes the trace norm beats single tasks that start as it does; descriptive."""
    wide = genes.pivot_table(index=["relatedness", "seed", "tissue", "gene"], columns="method", values="value")
    if not {"trace_norm", "single_task_common"} <= set(wide):
        return "Trace norm and single tasks of a common start were not both run."
    better = (wide["trace_norm"] > wide["single_task_common"]).groupby("relatedness").mean()
    parts = [f"{share:.0%} at relatedness {related:g}" for related, share in better.iloc[::-1].items()]
    return (
        "Genes (in a tissue of a data set) that the trace norm predicts better than a single task from the same start: "
        f"{listed(parts)}."
    )


# --- real cells ---


def say_real(table: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """What the real cells show, which of excerpts is little."""
    from reproduce.multitask.sources import DENTATE

    if table.empty:
        return "No real velocities were at hand."
    words = []
    for source, group in table.groupby("source", sort=False):
        best = group.loc[group["mean"].idxmax()]
        score = row_with_interval(best, limits=ranges.R2)
        words.append(f"{source}: highest mean of {best['label']} (R² {score}).")
        found = contrasts[(contrasts["source"] == source) & (contrasts["method"] == best_simple(group))]
        if len(found):
            words.append(f"{_less('trace_norm', found.iloc[0]['method'])}: {judged(found.iloc[0])}.")
    named = set(table["source"])
    if named & set(DENTATE):
        words.append(
            "The excerpts of dentate gyrus have 100 cells: they show that the path from files to scores works."
        )
    if "dentate_dynamical" in named:
        words.append("scVelo smooths velocities over neighbouring cells, test and training alike, which flatters all.")
    if "dentate_counts" in named:
        words.append("The degradation γ of the counts' velocities is found from all cells, test cells too.")
    return " ".join(words)


def say_conclusion(scores: str, curve: str, gain: str, sweep: str, precision: str, clusters: str, real: str) -> str:
    """What the tables say, one line each."""
    lines = {
        "Methods": scores, "Cells": curve, "Sharing": gain, "Penalty": sweep, "Regulators": precision,
        "Clusters": clusters, "Real cells": real,
    }  # fmt: skip
    return "\n".join(f"- **{name}.** {said}" for name, said in lines.items())


# --- helpers ---


def interval(values: pd.Series, ratio: float = 0.0) -> dict[str, float]:
    """Mean, ends of the interval (NaN with one seed) and number of seeds."""
    contrast = corrected_t(values, ratio, confidence=CONFIDENCE)
    ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
    return {"mean": contrast.mean, "low": ends[0], "high": ends[1], "n_seeds": contrast.n_splits}


def two_sided(values: pd.Series, ratio: float = 0.0) -> float:
    """The p value of no difference; 1 with one seed."""
    contrast = corrected_t(values, ratio)
    return min(1.0, 2.0 * min(contrast.p_above, contrast.p_below))


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """With a column p_holm, adjusted over all rows."""
    return table.assign(p_holm=holm(table["p"]) if len(table) else [])


def judged(row: pd.Series) -> str:
    """A difference with its interval; the verdict is by the p value adjusted for the table's other differences."""
    said = row_with_interval(row, sign="+")
    if not np.isfinite(row["low"]):
        return f"{said} ({_FEW})"
    verdict = "undecided" if row["p_holm"] >= 1.0 - CONFIDENCE else "better" if row["mean"] > 0 else "worse"
    return f"{said} ({verdict}, p {row['p_holm']:.2g})"


def best_simple(group: pd.DataFrame) -> str:
    """Of lasso, ridge and forest the one with the highest mean; "" if there is none."""
    simple = group[group["method"].isin(SIMPLE)]
    return "" if simple.empty else simple.loc[simple["mean"].idxmax(), "method"]


def listed(parts: list[str]) -> str:
    """With commas and an "and"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _less(reference: str, method: str) -> str:
    return f"{METHODS[reference][0].upper()}{METHODS[reference][1:]} less {METHODS[method]}"
