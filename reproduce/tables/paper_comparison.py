"""Sets this study's scores beside the paper's Tables 1 and 2, skipped methods included; never runs a method."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from reproduce.experiments.paper_tables import IN_PLACE, INDUCTIVE, TABLES
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.tables.summaries import label_of
from reproduce.tables.wording import plus_minus

SCENARIOS = ("in_place", "inductive")


def paper_comparison(results: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Ours beside the paper's for every method of the two tables.

    Parameters
    ----------
    results : DataFrame
        Trial rows; those that were given up on have status "skipped" and say so in `error`.
    paper : DataFrame
        Of `reproduce.tables.summaries.read_paper_reported`.

    Returns
    -------
    DataFrame
        Columns gene_set, scenario, method, label, ours, low, high (95 %), within_tissue (mean R² around each tissue's
        mean), n_splits, seconds (mean to fit and fill), status ("ok", "skipped", "failed"), note (why there is no
        score), paper, paper_hours.
    """
    rows = []
    for gene_set, table in TABLES.items():
        mine = results[results["gene_set"] == gene_set]
        theirs = paper[(paper["table"] == table) & (paper["metric"] == "r2")].set_index(["method", "scenario"])
        for scenario, methods in zip(SCENARIOS, (IN_PLACE, INDUCTIVE), strict=True):
            part = mine[mine["scenario"] == scenario]
            for method in methods:
                entry = {"gene_set": gene_set, "scenario": scenario, "method": method, "label": label_of(method)}
                entry |= _ours(part[part["method"] == method], scenario)
                key = (method, scenario)
                known = key in theirs.index
                entry["paper"] = float(theirs.loc[key, "value"]) if known else np.nan
                entry["paper_hours"] = float(theirs.loc[key, "runtime_hours"]) if known else np.nan
                rows.append(entry)
    return pd.DataFrame(rows)


def _ours(rows: pd.DataFrame, scenario: str) -> dict[str, object]:
    blank = dict.fromkeys(("ours", "low", "high", "within_tissue", "seconds"), np.nan) | {"n_splits": 0}
    if rows.empty:
        return blank | {"status": "", "note": "not run in this preset"}
    overall = rows[(rows["status"] == "ok") & (rows["level"] == "overall")]
    scored = overall[overall["metric"] == "r2"]
    if scored.empty:
        first = rows.iloc[0]
        return blank | {"status": first["status"], "note": first["error"]}
    contrast = corrected_t(scored["value"].to_numpy(float), overlap_ratio(scenario))
    seconds = float((scored["fit_seconds"] + scored["impute_seconds"]).mean())
    values = {"ours": contrast.mean, "low": contrast.low, "high": contrast.high, "n_splits": contrast.n_splits}
    within = float(overall.loc[overall["metric"] == "r2_tissue", "value"].mean())
    return values | {"within_tissue": within, "seconds": seconds, "status": "ok", "note": ""}


def show_comparison(table: pd.DataFrame, gene_set: str) -> pd.DataFrame:
    """One gene set's table as a reader wants it: scenarios side by side."""
    chosen = table[table["gene_set"] == gene_set]
    wide = {}
    for scenario in SCENARIOS:
        part, name = chosen[chosen["scenario"] == scenario].set_index("label"), scenario.replace("_", " ")
        wide[f"{name}: ours"] = part.apply(_cell, axis=1)
        wide[f"{name}: ours, within tissues"] = part["within_tissue"].map(_score)
        wide[f"{name}: paper"] = part["paper"].map(_score)
        wide[f"{name}: seconds"] = part["seconds"].map(lambda value: "–" if np.isnan(value) else f"{value:,.1f}")
        hours = part["paper_hours"] * 3600
        wide[f"{name}: paper, seconds"] = hours.map(lambda value: "–" if np.isnan(value) else f"{value:,.0f}")
    order = list(dict.fromkeys(chosen["label"]))
    return pd.DataFrame(wide).reindex(order).fillna("–").rename_axis("method").reset_index()


def _score(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _cell(row: pd.Series) -> str:
    if np.isnan(row["ours"]):
        return row["note"]
    return plus_minus(row["ours"], row["low"], row["high"])


def transfer_table(results: pd.DataFrame) -> pd.DataFrame:
    """R² in each tumour cohort: gene_set, test, method, label, mean, low, high, n_splits."""
    keep = (results["scenario"] == "cross_cohort") & (results["level"] == "overall") & (results["metric"] == "r2")
    rows = []
    for (gene_set, test, method), part in results[keep].groupby(["gene_set", "test", "method"], sort=False):
        contrast = corrected_t(part["value"].to_numpy(float), overlap_ratio("cross_cohort"))
        entry = {"gene_set": gene_set, "test": test, "method": method, "label": label_of(method)}
        entry |= {"mean": contrast.mean, "low": contrast.low, "high": contrast.high, "n_splits": contrast.n_splits}
        rows.append(entry)
    return pd.DataFrame(rows, columns=["gene_set", "test", "method", "label", "mean", "low", "high", "n_splits"])


def show_transfer(table: pd.DataFrame) -> pd.DataFrame:
    """`transfer_table` as a reader wants it: methods × tumours, for each gene set."""
    numbers = table[["mean", "low", "high"]].itertuples(index=False, name=None)
    cells = table.assign(cell=[plus_minus(*row) for row in numbers])
    wide = cells.pivot_table(index=["gene_set", "label"], columns="test", values="cell", aggfunc="first", sort=False)
    wide.columns.name = None
    return wide.fillna("–").reset_index().rename(columns={"label": "method", "gene_set": "genes"})


def say_comparison(table: pd.DataFrame) -> str:
    """How far our order of methods is the paper's, and what was given up on."""
    lines = []
    for (gene_set, scenario), part in table.groupby(["gene_set", "scenario"], sort=False):
        both = part.dropna(subset=["ours", "paper"])
        name = f"{TABLES[gene_set]}, {scenario.replace('_', ' ')}"
        if len(both) < 3:
            lines.append(f"{name}: fewer than three methods stand in both tables.")
            continue
        tau = stats.kendalltau(both["ours"], both["paper"]).statistic
        best, theirs = both.loc[both["ours"].idxmax(), "label"], both.loc[both["paper"].idxmax(), "label"]
        every = part.dropna(subset="ours")
        top = every.loc[every["ours"].idxmax()]
        beyond = "" if top["label"] == best else f"; {top['label']}, which the paper has not, is above it"
        lines.append(
            f"{name}: of {len(both)} methods in both, the best is {best} here and {theirs} in the paper; Kendall's τ "
            f"of the two orders is {tau:.2f}{beyond}."
        )
    skipped = table[table["status"] == "skipped"]
    if len(skipped):
        named = [
            f"{row.label}, {row.scenario.replace('_', ' ')}, {row.gene_set} ({row.note})"
            for row in skipped.itertuples()
        ]
        lines.append("Given up on before the start: " + "; ".join(named) + ".")
    return "\n\n".join(lines)
