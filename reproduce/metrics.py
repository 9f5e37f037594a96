"""Scores imputed values against hidden truth, gene by gene; never imputes and never sees which method did.

Every metric is computed per gene over that gene's hidden entries, for all genes at once, and an overall figure is the
mean over genes, as in the paper. An exact zero is a value like any other. A gene for which a metric is undefined
(constant truth, fewer than two hidden entries; for correlations also constant imputed values) has NaN, is left out of
the mean, and is counted in the rows `undefined_genes`.

| metric | definition for one gene, over its hidden entries |
| --- | --- |
| `r2` | 1 − Σ(x − x̂)² / Σ(x − x̄)², x̄ the mean of the gene's hidden entries, tissues pooled |
| `r2_tissue` | the same with x̄ the mean of the gene's hidden entries *in the sample's tissue* |
| `r2_visible_mean` | the same with x̄ the mean of the gene's *visible* entries in the scored rows (the paper's code) |
| `r2_nonzero` | `r2_visible_mean` with exact zeros taken for missing, which the paper's code does as well |
| `bias` | mean of x̂ − x, divided by the standard deviation of the gene's hidden entries |
| `rmse`, `mae` | root mean squared and mean absolute error, in the unit of the matrix |
| `pearson`, `spearman` | correlation of truth and imputed value (average ranks for ties) |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError

#: Spread of R² over genes, beside its mean, in overall and tissue rows: metrics `r2_p05`, …
PERCENTILES = (5, 25, 50, 75, 95)
METRICS = ("r2", "r2_tissue", "r2_visible_mean", "r2_nonzero", "bias", "rmse", "mae", "pearson", "spearman")


def _ratio(numerator: np.ndarray, denominator: np.ndarray, defined: np.ndarray) -> np.ndarray:
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=defined)


def _centred(values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Deviations from each column's mean over its hidden entries, zero elsewhere; exactly zero for a constant
    column.
    """
    counts = np.maximum(hidden.sum(axis=0), 1)
    deviations = np.where(hidden, values - np.where(hidden, values, 0.0).sum(axis=0) / counts, 0.0)
    top = np.where(hidden, values, -np.inf).max(axis=0, initial=-np.inf)
    bottom = np.where(hidden, values, np.inf).min(axis=0, initial=np.inf)
    # the rounding of the mean must not make a constant gene look as if it varied
    return np.where(top > bottom, deviations, 0.0)


def _r2(truth: np.ndarray, imputed: np.ndarray, hidden: np.ndarray, tissues: np.ndarray | None = None) -> np.ndarray:
    residual = (np.where(hidden, truth - imputed, 0.0) ** 2).sum(axis=0)
    if tissues is None:
        total = (_centred(truth, hidden) ** 2).sum(axis=0)
    else:
        total = np.zeros(truth.shape[1])
        for tissue in np.unique(tissues):
            rows = tissues == tissue
            total += (_centred(truth[rows], hidden[rows]) ** 2).sum(axis=0)
    return 1.0 - _ratio(residual, total, (total > 0) & (hidden.sum(axis=0) >= 2))


def _r2_around(truth: np.ndarray, imputed: np.ndarray, hidden: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """R² around the mean of each gene's visible entries; undefined for a gene without any."""
    centre = _ratio(np.where(visible, truth, 0.0).sum(axis=0), visible.sum(axis=0), visible.any(axis=0))
    residual = (np.where(hidden, truth - imputed, 0.0) ** 2).sum(axis=0)
    total = (np.where(hidden, truth - centre, 0.0) ** 2).sum(axis=0)
    # a constant gene has no variation to explain, wherever its visible mean was rounded to
    varies = (_centred(truth, hidden) ** 2).sum(axis=0) > 0
    return 1.0 - _ratio(residual, total, varies & (total > 0) & (hidden.sum(axis=0) >= 2))


def _bias(truth: np.ndarray, imputed: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    counts = np.maximum(hidden.sum(axis=0), 1)
    sd = np.sqrt((_centred(truth, hidden) ** 2).sum(axis=0) / counts)
    return _ratio(np.where(hidden, imputed - truth, 0.0).sum(axis=0) / counts, sd, sd > 0)


def _errors(truth: np.ndarray, imputed: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = hidden.sum(axis=0)
    difference = np.where(hidden, truth - imputed, 0.0)
    mse = _ratio((difference**2).sum(axis=0), counts, counts > 0)
    mae = _ratio(np.abs(difference).sum(axis=0), counts, counts > 0)
    return np.sqrt(mse), mae


def _pearson(truth: np.ndarray, imputed: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    x, y = _centred(truth, hidden), _centred(imputed, hidden)
    scale = np.sqrt((x**2).sum(axis=0)) * np.sqrt((y**2).sum(axis=0))
    return np.clip(_ratio((x * y).sum(axis=0), scale, (scale > 0) & (hidden.sum(axis=0) >= 2)), -1.0, 1.0)


def _ranks(values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    ranks = pd.DataFrame(np.where(hidden, values, np.nan)).rank(axis=0, method="average")
    return ranks.fillna(0.0).to_numpy()


def gene_scores(
    truth: np.ndarray, imputed: np.ndarray, evaluation_mask: np.ndarray, tissues: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Every metric for every gene.

    Parameters
    ----------
    truth, imputed : ndarray of float (n_samples, n_genes)
        Values in one common unit. Of `imputed` only hidden entries are read; of `truth` all, NaN where not known.
    evaluation_mask : ndarray of bool (n_samples, n_genes)
        True = hidden from the method.
    tissues : ndarray (n_samples,), optional
        Needed for `r2_tissue`, which is left out without it.

    Returns
    -------
    dict of str to ndarray (n_genes,)
        NaN where the metric is undefined for a gene.
    """
    rmse, mae = _errors(truth, imputed, evaluation_mask)
    scores = {"r2": _r2(truth, imputed, evaluation_mask)}
    if tissues is not None:
        scores["r2_tissue"] = _r2(truth, imputed, evaluation_mask, tissues)
    visible = ~evaluation_mask & np.isfinite(truth)
    nonzero = truth != 0
    scores["r2_visible_mean"] = _r2_around(truth, imputed, evaluation_mask, visible)
    scores["r2_nonzero"] = _r2_around(truth, imputed, evaluation_mask & nonzero, visible & nonzero)
    scores["bias"] = _bias(truth, imputed, evaluation_mask)
    scores |= {"rmse": rmse, "mae": mae, "pearson": _pearson(truth, imputed, evaluation_mask)}
    ranked = _ranks(truth, evaluation_mask), _ranks(imputed, evaluation_mask)
    return scores | {"spearman": _pearson(*ranked, evaluation_mask)}


def _checked(truth, imputed, evaluation_mask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, imputed = np.asarray(truth, dtype=np.float64), np.asarray(imputed, dtype=np.float64)
    hidden = np.asarray(evaluation_mask)
    if hidden.dtype != bool:
        raise ConfigError(f"evaluation_mask has dtype {hidden.dtype}; give booleans, True where the entry was hidden.")
    if truth.ndim != 2 or truth.shape != imputed.shape or truth.shape != hidden.shape:
        raise ConfigError(
            f"truth {truth.shape}, imputed {imputed.shape} and evaluation_mask {hidden.shape} "
            "must be matrices of one shape (n_samples, n_genes)."
        )
    if not hidden.any():
        raise ConfigError("evaluation_mask hides nothing, so there is nothing to score; raise missing_rate.")
    for name, values in (("truth", truth), ("imputed", imputed)):
        bad = hidden & ~np.isfinite(values)
        if bad.any():
            row, gene = np.argwhere(bad)[0]
            raise ConfigError(
                f"{name} is not finite at {int(bad.sum())} of {int(hidden.sum())} hidden entries "
                f"(first: row {row}, gene {gene}); missing truth cannot be scored; an imputer must fill every entry."
            )
    return truth, imputed, hidden


def _aggregate(scores: dict[str, np.ndarray], hidden: np.ndarray, level: str, group: str) -> list[tuple]:
    """Mean over the genes for which each metric is defined, with the entries that it rests on; percentiles of R²."""
    counts, rows = hidden.sum(axis=0), []
    for metric, values in scores.items():
        defined = np.isfinite(values)
        mean = float(values[defined].mean()) if defined.any() else np.nan
        rows.append((metric, level, group, mean, int(counts[defined].sum())))
    r2 = scores["r2"][np.isfinite(scores["r2"])]
    if len(r2):
        quantiles = np.percentile(r2, PERCENTILES)
        rows += [(f"r2_p{p:02d}", level, group, float(q), len(r2)) for p, q in zip(PERCENTILES, quantiles, strict=True)]
    return rows


def score(
    truth: np.ndarray,
    imputed: np.ndarray,
    evaluation_mask: np.ndarray,
    groups: Sequence[str] | None = None,
    *,
    genes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Score hidden entries: overall, within each tissue, and for each gene.

    Parameters
    ----------
    truth, imputed : array-like of float (n_samples, n_genes)
        In one common unit. Of `imputed` only hidden entries are read; `truth` may be NaN where it is not hidden.
    evaluation_mask : array-like of bool (n_samples, n_genes)
        True = hidden from the method.
    groups : sequence of str (n_samples,), optional
        Tissue of each row. Without it there are no `r2_tissue` and no tissue rows.
    genes : sequence of str (n_genes,), optional
        Names for the gene rows; positions without it.

    Returns
    -------
    DataFrame
        Columns metric, level ("overall", "tissue", "gene"), group, value, n_evaluated (entries behind the value; genes
        behind a percentile). The
        rows with metric `undefined_genes` and level "overall" hold, for the metric named in `group`, how many genes
        had no defined value.

    Raises
    ------
    ConfigError
        For shapes that differ, an empty mask, or hidden entries that are not finite.
    """
    truth, imputed, hidden = _checked(truth, imputed, evaluation_mask)
    names = [str(g) for g in (range(truth.shape[1]) if genes is None else genes)]
    if len(names) != truth.shape[1]:
        raise ConfigError(f"{len(names)} gene names for {truth.shape[1]} columns.")
    tissues = None if groups is None else np.asarray([str(g) for g in groups], dtype=object)
    if tissues is not None and len(tissues) != truth.shape[0]:
        raise ConfigError(f"{len(tissues)} group labels for {truth.shape[0]} rows.")

    scores = gene_scores(truth, imputed, hidden, tissues)
    rows = _aggregate(scores, hidden, "overall", "all")
    undefined = {metric: int(np.isnan(values).sum()) for metric, values in scores.items()}
    rows += [("undefined_genes", "overall", metric, count, int(hidden.sum())) for metric, count in undefined.items()]
    for tissue in [] if tissues is None else sorted(set(tissues)):
        inside = tissues == tissue
        if hidden[inside].any():
            within = gene_scores(truth[inside], imputed[inside], hidden[inside])
            rows += _aggregate(within, hidden[inside], "tissue", tissue)
    counts = hidden.sum(axis=0)
    for metric, values in scores.items():
        rows += [(metric, "gene", name, float(v), int(n)) for name, v, n in zip(names, values, counts, strict=True)]
    return pd.DataFrame(rows, columns=["metric", "level", "group", "value", "n_evaluated"])
