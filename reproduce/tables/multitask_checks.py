"""Words and tables of what a penalty does to weights, of regulators and of clusters of genes; never trains or draws.

Beside `reproduce.tables.multitask_tables`, whose unit, intervals and tests these are.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from reproduce.tables import ranges
from reproduce.tables.multitask_tables import (
    METHODS,
    best_simple,
    interval,
    judged,
    listed,
    two_sided,
    with_holm,
)
from reproduce.tables.wording import row_with_interval, with_intervals

CLUSTERS = {"found": "clusters found", "true": "modules as simulated", "one": "all genes together"}
_SYMBOLS = {"penalty": "λ", "l1": "γ"}

# --- chosen settings ---


def settings_table(rows: pd.DataFrame, grids: dict[str, list[dict[str, float]]]) -> pd.DataFrame:
    """How often each network chose which setting, and how often one at the edge of its grid.

    Parameters
    ----------
    rows : DataFrame
        As of `reproduce.multitask.study.score_rows`.
    grids : dict
        For each network the settings it chose among.
    """
    records = []
    networks = rows[rows["method"].isin(list(grids)) & (rows["metric"] == "r2")]
    for (method, n_cells, related), group in networks.groupby(["method", "cells_per_gene", "relatedness"], sort=False):
        chosen = group.groupby("seed")["setting"].first().map(_parsed)
        edges = _edges(grids[method])
        records.append({
            "method": METHODS[method], "cells a gene": n_cells, "relatedness": related,
            "chosen": "; ".join(f"{_greek(name)} ({count}×)" for name, count in Counter(chosen).most_common()),
            "at an edge": f"{sum(setting in edges for setting in chosen)} of {len(chosen)}" if edges else "no choice",
        })  # fmt: skip
    return pd.DataFrame(records, columns=["method", "cells a gene", "relatedness", "chosen", "at an edge"])


def say_settings(table: pd.DataFrame, grids: dict[str, list[dict[str, float]]]) -> str:
    """Where grids may be too narrow, and what they leave unchosen."""
    counts = table.loc[table["at an edge"] != "no choice", "at an edge"].str.split(" of ", expand=True)
    if counts.empty:
        return "No network had a choice."
    edge, total = counts.astype(int).sum()
    said = f"{edge} of {total} choices lie at an edge of their grid, beyond which a better setting may lie."
    varied = [sum(len({setting[name] for setting in grid}) > 1 for name in grid[0]) for grid in grids.values()]
    if max(varied) == 1:
        said += (
            " Networks with a trace norm choose λ at one γ, the others γ: none chooses both, so that differences are "
            "of procedures and not of the penalty alone."
        )
    return said


def _edges(grid: list[dict[str, float]]) -> list[frozenset[tuple[str, float]]]:
    """Settings with the least or greatest value of what the grid varies."""
    found = []
    for name in grid[0]:
        values = [setting[name] for setting in grid]
        if len(set(values)) > 1:
            ends = (min(values), max(values))
            found += [frozenset(setting.items()) for setting in grid if setting[name] in ends]
    return found


def _parsed(setting: str) -> frozenset[tuple[str, float]]:
    """Of a text as `score_rows` writes it, in any order."""
    pairs = (part.split("=") for part in setting.split())
    return frozenset((name, float(value)) for name, value in pairs)


def _greek(setting: frozenset[tuple[str, float]]) -> str:
    return ", ".join(f"{_SYMBOLS[name]} = {value:g}" for name, value in sorted(setting, reverse=True))


# --- the penalty and the spectra ---


def sweep_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean R² by relatedness and penalty, and the paired difference to λ = 0 (columns ending in _less, p by Holm)."""
    records = []
    for related, group in rows[rows["metric"] == "r2"].groupby("relatedness", sort=False):
        wide = group.pivot(index="seed", columns="penalty", values="value")
        for penalty in wide:
            differences = wide[penalty] - wide[0.0] if 0.0 in wide else wide[penalty] * np.nan
            less = {f"{name}_less": value for name, value in interval(differences.dropna()).items()}
            tested = 0.0 in wide and penalty != 0
            about = {"relatedness": related, "penalty": penalty, "p": two_sided(differences) if tested else np.nan}
            records.append(about | interval(wide[penalty]) | less)
    table = pd.DataFrame(records)
    tested = table["p"].notna()
    return table.merge(with_holm(table[tested])[["relatedness", "penalty", "p_holm"]], how="left")


def spectrum_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean relative singular values by relatedness, penalty and rank; the truth's too."""
    spectra = rows[rows["metric"] != "r2"]
    keys = ["metric", "relatedness", "penalty", "k"]
    return spectra.groupby(keys, sort=False)["value"].mean().reset_index()


def say_sweep(table: pd.DataFrame, spectra: pd.DataFrame) -> str:
    """What penalties do to R², and to how much of the weights' movement one direction holds, by relatedness."""
    words = []
    for related, group in table.groupby("relatedness", sort=False):
        best = group.loc[group["mean"].idxmax()]
        first = spectra[(spectra["k"] == 1) & (spectra["relatedness"] == related)]
        found = first[first["metric"] == "spectrum"].set_index("penalty")["value"] ** 2
        truth = float((first.loc[first["metric"] == "true_spectrum", "value"] ** 2).mean())
        sentence = f"Relatedness {related:g}: R² has its highest mean at λ = {best['penalty']:g} ({best['mean']:.2f}"
        if best["penalty"] == 0 or np.isnan(best["p"]):
            sentence += ")."
        else:
            difference = {name: best[f"{name}_less"] for name in ("mean", "low", "high")}
            sentence += f"); less λ = 0: {judged(pd.Series(difference | {'p_holm': best['p_holm']}))}."
        shown = [value for value in dict.fromkeys((0.0, best["penalty"] or group["penalty"].max())) if value in found]
        shares = listed([f"{found[value]:.0%} at λ = {value:g}" for value in shown])
        words.append(
            f"{sentence} Of the squared movement of the first hidden layer's weights since the start one direction "
            f"holds {shares}, of the regulation simulated {truth:.0%}."
        )
    return " ".join(words)


# --- regulators ---


def precision_table(rows: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """Mean precision of the first k factors with intervals, and what a random order has right (column chance)."""
    chosen = rows[(rows["metric"] == "precision") & (rows["cells_per_gene"] == n_cells)]
    chance = rows[rows["metric"] == "chance"].groupby("relatedness")["value"].mean()
    return pd.DataFrame([
        {"relatedness": related, "method": method, "label": METHODS[method], "k": k, **interval(group["value"]),
         "chance": chance[related]}
        for (related, method, k), group in chosen.groupby(["relatedness", "method", "k"], sort=False)
    ])  # fmt: skip


def precision_contrasts(rows: pd.DataFrame, n_cells: int, k: int) -> pd.DataFrame:
    """Trace norm less every other method, paired by data set, for one k; p values by Holm over all rows."""
    chosen = rows[(rows["metric"] == "precision") & (rows["cells_per_gene"] == n_cells) & (rows["k"] == k)]
    records = []
    for related, group in chosen.groupby("relatedness", sort=False):
        wide = group.pivot(index="seed", columns="method", values="value")
        for method in (name for name in METHODS if name in wide and name != "trace_norm" and "trace_norm" in wide):
            differences = (wide["trace_norm"] - wide[method]).dropna()
            about = {"relatedness": related, "k": k, "method": method, "label": METHODS[method]}
            records.append(about | interval(differences) | {"p": two_sided(differences)})
    return with_holm(pd.DataFrame(records, columns=None if records else ["relatedness", "method", "p"]))


def show_precision(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """One k, a column a relatedness; last what a random order has right."""
    part = table[table["k"] == k]
    names = list(part["label"].unique())
    shown = {"method": [*names, "random order"]}
    for related, group in part.groupby("relatedness", sort=False):
        found = dict(zip(group["label"], with_intervals(group, limits=ranges.SHARE), strict=True))
        shown[f"relatedness {related:g}"] = [*(found.get(name, "–") for name in names), f"{group['chance'].mean():.3f}"]
    return pd.DataFrame(shown)


def say_precision(table: pd.DataFrame, contrasts: pd.DataFrame, k: int) -> str:
    """How many regulators the trace norm finds, beside the best simple method and the activities alone."""
    words = []
    for related, group in table[table["k"] == k].groupby("relatedness", sort=False):
        own = group[group["method"] == "trace_norm"]
        sentence = (
            f"Relatedness {related:g}: of the first {k} factors a random order has {own['chance'].mean():.0%} right"
        )
        sentence += f", trace norm {with_intervals(own, limits=ranges.SHARE)[0]}." if len(own) else "."
        here = contrasts[contrasts["relatedness"] == related]
        for method in (best_simple(group), "activity"):
            found = here[here["method"] == method]
            if len(found):
                sentence += f" Trace norm less {METHODS[method]}: {judged(found.iloc[0])}."
        words.append(sentence)
    return " ".join(words)


# --- clusters ---


def cluster_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean R², its paired difference to the modules as simulated, and the adjusted Rand index, with intervals."""
    records = []
    for n_cells, group in rows.groupby("cells_per_gene", sort=False):
        wide = group[group["metric"] == "r2"].pivot(index="seed", columns="clusters", values="value")
        rand = group.loc[group["metric"] == "rand", "value"]
        for name in CLUSTERS:
            less = {f"{end}_less": value for end, value in interval(wide[name] - wide["true"]).items()}
            agreement = {f"{end}_rand": value for end, value in interval(rand).items()} if name == "found" else {}
            about = {"cells_per_gene": n_cells, "clusters": name, "label": CLUSTERS[name]}
            records.append(about | interval(wide[name]) | less | agreement)
    return pd.DataFrame(records)


def show_clusters(table: pd.DataFrame) -> pd.DataFrame:
    """As texts."""
    return pd.DataFrame({
        "cells a gene": table["cells_per_gene"],
        "trained together": table["label"],
        "R²": with_intervals(table, limits=ranges.R2),
        "less modules as simulated": np.where(
            table["clusters"] == "true", "–", with_intervals(table, "mean_less", ("low_less", "high_less"), sign="+")
        ),
        "adjusted Rand index": with_intervals(table, "mean_rand", ("low_rand", "high_rand"), limits=ranges.CORRELATION),
        "seeds": table["n_seeds"],
    })  # fmt: skip


def say_clusters(table: pd.DataFrame) -> str:
    """Whether velocities tell modules, and what knowing them is worth."""
    words = []
    for n_cells, group in table.groupby("cells_per_gene", sort=False):
        rows = group.set_index("clusters")
        rand = row_with_interval(rows.loc["found"], "mean_rand", ("low_rand", "high_rand"), limits=ranges.CORRELATION)
        less = rows.loc[["found", "one"]]
        told = with_intervals(less, "mean_less", ("low_less", "high_less"), sign="+")
        parts = [f"{label} {text}" for label, text in zip(less["label"], told)]
        words.append(
            f"With {n_cells} cells a gene, clusters found agree with the modules by an adjusted Rand index of {rand} "
            f"(1: the same; 0: chance). R² less that of the modules as simulated: {listed(parts)}."
        )
    return " ".join(words)
