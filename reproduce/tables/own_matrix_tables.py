"""Tables and sentences of the tutorial on a matrix of one's own; never imputes and never scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.imputers.costs import duration
from reproduce.tables import ranges
from reproduce.tables.wording import with_interval

if TYPE_CHECKING:
    from reproduce.matrices.evaluation import HeldOut
    from reproduce.matrices.files import Matrix
    from reproduce.matrices.filling import Filled
    from reproduce.multiple_imputation import PooledEstimate


def say_source(study_says: str, has_truth: bool) -> str:
    """Whose matrix it is."""
    if not has_truth:
        return "**The reader's own matrix.** What its holes held is not known, so it is compared with nothing below."
    return f"{study_says} Some of its GTEx samples are written to a file with holes; what the holes held is kept aside."


def notes_table(notes: Sequence[str]) -> pd.DataFrame:
    """One line a note."""
    return pd.DataFrame({"what was found and decided": list(notes)})


def say_choice(filled: Filled) -> str:
    """Which method, and why."""
    choice = filled.choice
    return (
        f"**{choice.label}** (`{choice.method}`): {choice.reason}. Expected: about {duration(choice.seconds)} and "
        f"{choice.gigabytes:.1f} GB; it took {duration(filled.seconds)}."
    )


def holes_table(filled: Filled, matrix: Matrix, truth: pd.DataFrame | None, n_holes: int = 8) -> pd.DataFrame:
    """Some holes, evenly spread: what was filled in, its standard deviation, and the truth where it is known."""
    rows, genes = np.nonzero(matrix.values.isna().to_numpy() & filled.values.notna().to_numpy())
    at = np.linspace(0, len(rows) - 1, min(n_holes, len(rows))).astype(int)
    rows, genes = rows[at], genes[at]
    table = pd.DataFrame(
        {
            "sample": matrix.values.index[rows],
            "gene": matrix.values.columns[genes],
            "filled in": filled.values.to_numpy()[rows, genes],
            "standard deviation": filled.sd.to_numpy()[rows, genes],
        }
    )
    if truth is not None:
        held = truth.loc[matrix.values.index, matrix.values.columns].to_numpy()[rows, genes]
        table["what the hole held"] = held
    return table


def accuracy_table(results: Mapping[str, HeldOut]) -> pd.DataFrame:
    """One row a comparison: entries, R², median over genes, root mean square error, and coverage of the intervals."""
    rows = []
    for name, result in results.items():
        row = {"compared": name, "n_entries": len(result.truth), "r2": result.r2}
        row |= {"median_gene_r2": result.median_gene_r2, "rmse": result.rmse, "covered_95": np.nan}
        if result.calibration is not None:
            row["covered_95"] = result.calibration.set_index("nominal").loc[0.95, "covered"]
        rows.append(row)
    return pd.DataFrame(rows)


def show_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `accuracy_table` as a reader wants it."""
    return pd.DataFrame(
        {
            "compared": table["compared"],
            "entries": table["n_entries"].map("{:,}".format),
            "R²": table["r2"].map("{:.3f}".format),
            "R², median gene": table["median_gene_r2"].map("{:.3f}".format),
            "RMSE, log scale": table["rmse"].map("{:.3f}".format),
            "in 95 % intervals": table["covered_95"].map(lambda share: "–" if np.isnan(share) else f"{share:.1%}"),
        }
    )


def show_methods(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `reproduce.matrices.evaluation.evaluate` as a reader wants it."""
    tried = table["status"] == "ok"
    scores = [
        with_interval(row.r2, row.r2_low, row.r2_high, limits=ranges.R2) if row.status == "ok" else "–"
        for row in table.itertuples()
    ]
    less = [
        with_interval(row.difference, row.difference_low, row.difference_high, sign="+") if row.status == "ok" else "–"
        for row in table.itertuples()
    ]
    return pd.DataFrame(
        {
            "method": table["label"],
            "R² [95 %]": scores,
            "from the best": less,
            "seconds": table["seconds"].map("{:.2g}".format).where(tried, "–"),
            "": table["note"].where(~tried, ""),
        }
    )


def means_table(
    filled: Filled, logs: tuple[np.ndarray, np.ndarray, np.ndarray | None], pooled: PooledEstimate, n_genes: int = 6
) -> pd.DataFrame:
    """Means of the genes that miss most: from known entries, with holes filled, and pooled over draws.

    Parameters
    ----------
    filled : Filled
    logs : tuple of ndarray (n_samples, n_known_genes)
        The matrix, what was filled, and the truth or None; log scale.
    pooled : PooledEstimate
        Of the genes' means.
    n_genes : int, default 6
    """
    given, whole, truth = logs
    missing = np.isnan(given).mean(axis=0)
    at = np.argsort(-missing, kind="stable")[:n_genes]
    count = (~np.isnan(given)).sum(axis=0)[at]
    table = pd.DataFrame(
        {
            "gene": filled.prepared.log.columns[at],
            "missing": missing[at],
            "known_mean": np.nanmean(given[:, at], axis=0),
            "known_se": np.nanstd(given[:, at], axis=0, ddof=1) / np.sqrt(count),
            "filled_mean": whole[:, at].mean(axis=0),
            "filled_se": whole[:, at].std(axis=0, ddof=1) / np.sqrt(len(whole)),
            "pooled_mean": pooled.estimate[at],
            "pooled_se": pooled.standard_error[at],
            "lost": pooled.missing_information[at],
        }
    )
    return table if truth is None else table.assign(true_mean=np.nanmean(truth[:, at], axis=0))


def show_means(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `means_table` as a reader wants it."""
    shown = {"gene": table["gene"], "missing": table["missing"].map("{:.0%}".format)}
    for prefix, name in (
        ("known", "known entries alone"),
        ("filled", "holes taken for measured"),
        ("pooled", "pooled over draws"),
    ):
        pairs = zip(table[f"{prefix}_mean"], table[f"{prefix}_se"])
        shown[f"{name}: mean ± s.e."] = [f"{mean:.3f} ± {error:.3f}" for mean, error in pairs]
    shown["information lost"] = table["lost"].map("{:.0%}".format)
    if "true_mean" in table:
        shown["mean without holes"] = table["true_mean"].map("{:.3f}".format)
    return pd.DataFrame(shown)


def say_conclusion(filled: Filled, accuracy: pd.DataFrame, methods: pd.DataFrame) -> str:
    """What this matrix taught."""
    first = accuracy.iloc[0]
    parts = [
        f"{filled.choice.label} filled the holes in {duration(filled.seconds)}; on known entries that were hidden from "
        f"it, R² was {first['r2']:.3f}."
    ]
    of_holes = accuracy[accuracy["compared"].str.startswith("the holes")]
    if len(of_holes):
        parts.append(
            f"The holes themselves, whose truth was kept aside, gave {of_holes.iloc[0]['r2']:.3f}: without the truth, "
            "which nobody has of holes of their own, the former stands for the latter."
        )
    of_model = accuracy[accuracy["compared"].str.startswith("later")]
    if len(of_model):
        parts.append(
            "A model of part of the samples filled others, with fewer genes, another order and other names, with an "
            f"R² of {of_model.iloc[0]['r2']:.3f}."
        )
    tried = methods[methods["status"] == "ok"]
    close = tried[tried["difference_high"].fillna(0) >= 0]["label"]
    parts.append(
        f"Of {len(tried)} methods compared on this matrix, {tried.iloc[0]['label']} came first"
        + (f"; not told apart from it: {', '.join(close[1:])}." if len(close) > 1 else ", by more than chance.")
    )
    return " ".join(parts)
