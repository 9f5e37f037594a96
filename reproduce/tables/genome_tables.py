"""What whole genomes give: normals by method and tumours by way of filling; never runs a method."""

from __future__ import annotations

import pandas as pd

from reproduce.experiments.genome import ALL_TUMOURS, ARMS, MEAN_OF_COHORT, STACKED
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.tables import ranges
from reproduce.tables.summaries import score_table
from reproduce.tables.wording import with_intervals


def normals_table(results: pd.DataFrame) -> pd.DataFrame:
    """Columns gene_set, method, label, mean, low, high, seconds, n_splits: held-out normals, best first."""
    columns = ["method", "label", "mean", "low", "high", "seconds", "n_splits"]
    parts = [
        score_table(rows)[columns].assign(gene_set=gene_set)
        for gene_set, rows in results.groupby("gene_set", sort=False)
    ]
    return (
        pd.concat(parts, ignore_index=True)[["gene_set", *columns]]
        if parts
        else pd.DataFrame(columns=["gene_set", *columns])
    )


def show_normals(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `normals_table` as a reader wants it."""
    return pd.DataFrame(
        {
            "genes": table["gene_set"],
            "method": table["label"],
            "R²": with_intervals(table, limits=ranges.R2),
            "seconds": table["seconds"].map("{:.3g}".format),
            "splits": table["n_splits"],
        }
    )


def tumour_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean R² over seeds of each way of filling the tumours.

    Parameters
    ----------
    scores : DataFrame
        Of `reproduce.experiments.genome.run_tumours`.

    Returns
    -------
    DataFrame
        Columns gene_set, cohort, arm, mean, low, high (95 % over seeds), seconds, n_seeds.
    """
    rows = []
    for (gene_set, cohort, arm), group in scores.groupby(["gene_set", "cohort", "arm"], sort=False):
        contrast = corrected_t(group.sort_values("seed")["r2"].to_numpy(float), overlap_ratio("cross_cohort"))
        interval = (contrast.mean, contrast.low, contrast.high)
        rows.append((gene_set, cohort, arm, *interval, group["seconds"].mean(), contrast.n_splits))
    table = pd.DataFrame(rows, columns=["gene_set", "cohort", "arm", "mean", "low", "high", "seconds", "n_seeds"])
    table["arm"] = pd.Categorical(table["arm"], ARMS, ordered=True)
    first = (table["cohort"] != ALL_TUMOURS).astype(int)
    table = table.assign(first=first).sort_values(["gene_set", "first", "cohort", "arm"], ignore_index=True)
    return table.drop(columns="first").astype({"arm": str})


def show_tumours(table: pd.DataFrame) -> pd.DataFrame:
    """Cohorts × ways of filling."""
    cells = table.assign(cell=with_intervals(table, limits=ranges.R2))
    wide = cells.pivot(index=["gene_set", "cohort"], columns="arm", values="cell").fillna("–")
    order = cells[["gene_set", "cohort"]].drop_duplicates().itertuples(index=False, name=None)
    wide = wide.loc[list(order), [arm for arm in ARMS if arm in wide]]
    return wide.reset_index().rename(columns={"gene_set": "genes", "cohort": "tumours"})


def say_genome(normals: pd.DataFrame, tumours: pd.DataFrame) -> str:
    """What a genome takes and gives."""
    if normals.empty:
        return "This preset fills no genome."
    sentences = [
        _say_gene_set(gene_set, rows, tumours[tumours["gene_set"] == gene_set])
        for gene_set, rows in normals.groupby("gene_set", sort=False)
    ]
    return " ".join(sentences)


def _say_gene_set(gene_set: str, normals: pd.DataFrame, tumours: pd.DataFrame) -> str:
    best, others = normals.iloc[0], normals.iloc[1:]
    text = f"{gene_set}, held-out normals: {best['label']} reaches R² {best['mean']:.3f} in {best['seconds']:.0f} s"
    if len(others):
        text += f" (next: {others.iloc[0]['label']}, {others.iloc[0]['mean']:.3f})"
    together = tumours[tumours["cohort"] == ALL_TUMOURS].set_index("arm")["mean"]
    if STACKED in together:
        text += (
            f". Tumours, all together: {together[STACKED]:.3f} where the model also learns from what is visible of "
            f"them, {together[MEAN_OF_COHORT]:.3f} by the mean of each kind"
        )
    return text + "."
