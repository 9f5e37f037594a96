"""Measures on a person's own matrix how well methods fill it, by hiding known entries; never fits for keeps.

Entries are hidden completely at random, the method is fitted to what remains, and what it fills in is compared with the
truth on the log scale. Entries that are missing for a reason, such as low expression, may be harder than these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError, ReproduceError
from reproduce.imputers import METHODS
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers.costs import duration
from reproduce.matrices.choice import CALIBRATION_ENTRIES, MOST_GIGABYTES, NOT_FOR_ONE_MATRIX, Choice, estimated
from reproduce.matrices.filling import Prepared, Progress, new_imputer, prepare, quiet

if TYPE_CHECKING:
    from reproduce.matrices.files import Matrix

#: Share of the known entries that is hidden.
HIDDEN_RATE = 0.1
#: Known entries that stay of a gene of which any are hidden.
LEAST_VISIBLE = 2
#: Nominal levels of the intervals that are checked.
LEVELS = (0.5, 0.8, 0.9, 0.95)
#: Entries of the blocks of rows that holes are drawn for one after the other.
MASK_ENTRIES = 8_000_000
REPEATS = 5
#: Seconds that all repeats of one method may take.
PATIENCE_SECONDS = 120.0

#: Bounds (lower, upper) of the entries of some rows (positions) at a level.
Bounds = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
#: Fills a matrix on the log scale that has more holes: values, and their intervals where there are any.
Fill = Callable[[pd.DataFrame], tuple[np.ndarray, Bounds | None]]


@dataclass(frozen=True)
class HeldOut:
    """Hidden entries with their truth and what was filled in, on the log scale.

    Attributes
    ----------
    truth, imputed : ndarray (n_hidden,)
    gene : ndarray of int (n_hidden,)
        Position among `genes`' rows.
    genes : DataFrame
        Indexed by gene: n_hidden, r2 (around the mean of the gene's hidden entries, NaN where undefined), rmse.
    r2 : float
        Share of variance explained, all genes' variances counting alike: 1 for the truth, 0 for each gene's mean.
    rmse : float
        Over all hidden entries, log scale.
    calibration : DataFrame or None
        nominal and covered fraction, n_entries; None for a method without intervals.
    rate : float
        Share of the known entries that was hidden.
    seconds : float
    """

    truth: np.ndarray
    imputed: np.ndarray
    gene: np.ndarray
    genes: pd.DataFrame
    r2: float
    rmse: float
    calibration: pd.DataFrame | None
    rate: float
    seconds: float

    @property
    def median_gene_r2(self) -> float:
        return float(self.genes["r2"].median())


def hide(values: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Entries to hide, bool (n_samples, n_genes); a gene of which less than two would stay known is left alone.

    Parameters
    ----------
    values : ndarray (n_samples, n_genes)
        NaN where missing.
    rate : float in (0, 1)
    seed : int

    Raises
    ------
    ConfigError
        For a rate out of range.
    DataFormatError
        Where nothing can be hidden.
    """
    from reproduce.masking import draw_evaluation_mask

    hidden = np.zeros(values.shape, dtype=bool)
    step = max(1, MASK_ENTRIES // values.shape[1])
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        hidden[part] = draw_evaluation_mask(values[part], rate, seed=seed + start, scenario="in_place")
    visible = (~np.isnan(values) & ~hidden).sum(axis=0)
    hidden[:, visible < LEAST_VISIBLE] = False
    if not hidden.any():
        raise DataFormatError(
            f"Of {values.shape[0]} samples × {values.shape[1]} genes no known entry can be hidden with enough left to "
            "learn from, so accuracy cannot be measured; more samples would make it possible."
        )
    return hidden


def held_out(prepared: Prepared, fill: Fill, *, rate: float = HIDDEN_RATE, seed: int = 0) -> HeldOut:
    """Hide known entries once, fill, and compare.

    Parameters
    ----------
    prepared : Prepared
    fill : callable
        Such as `in_place`.
    rate : float, default 0.1
    seed : int, default 0

    Returns
    -------
    HeldOut
    """
    values = prepared.log.to_numpy()
    hidden = hide(values, rate, seed)
    clock = time.perf_counter()
    filled, bounds = fill(prepared.log.mask(hidden))
    seconds = time.perf_counter() - clock
    hidden &= ~np.isnan(filled)  # a model leaves genes that it does not know
    result = scored(values, filled, hidden, prepared.log.columns)
    calibration = None if bounds is None else calibrated(bounds, values, hidden, seed)
    return replace(result, calibration=calibration, rate=rate, seconds=seconds)


def in_place(choice: Choice, prepared: Prepared, seed: int, *, distribution: bool = False) -> Fill:
    """Fits the chosen method to the matrix that it fills."""

    def fill(shown: pd.DataFrame) -> tuple[np.ndarray, Bounds | None]:
        imputer, _ = new_imputer(choice, prepared, seed, distribution=distribution)
        covariates = prepared.covariates
        filled = np.asarray(imputer.fit_transform(shown, covariates=covariates))
        if not isinstance(imputer, PredictiveImputer):
            return filled, None

        def bounds(rows: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
            of_rows = None if covariates is None else covariates.iloc[rows]
            return imputer.intervals(shown.iloc[rows], level, covariates=of_rows)

        return filled, bounds

    return fill


def scored(
    truth: np.ndarray,
    filled: np.ndarray,
    hidden: np.ndarray,
    genes: pd.Index,
    *,
    fitted: np.ndarray | None = None,
) -> HeldOut:
    """Scores of the hidden entries; sums by gene over them alone, since a matrix of errors would be mostly empty.

    Parameters
    ----------
    truth, filled : ndarray (n_samples, n_genes)
        Log scale; truth NaN where not known.
    hidden : ndarray of bool (n_samples, n_genes)
    genes : Index (n_genes,)
    fitted : ndarray (n_fitted, n_genes), optional
        The rows whose means and variances R² refers to; not given: the visible entries of `truth`.
    """
    row, gene = np.nonzero(hidden)
    known = truth[row, gene].astype(np.float64)
    said = filled[row, gene].astype(np.float64)
    n_genes = len(genes)
    count = np.bincount(gene, minlength=n_genes)
    error = np.bincount(gene, (known - said) ** 2, n_genes)
    mean = np.bincount(gene, known, n_genes) / np.maximum(count, 1)
    spread = np.bincount(gene, (known - mean[gene]) ** 2, n_genes)
    defined = (count >= 2) & (spread > 1e-20 * np.maximum(np.square(mean), 1e-300))
    center, variance = _moments(np.where(hidden, np.nan, truth) if fitted is None else fitted)
    varies = variance[gene] > 0
    weight = 1 / variance[gene][varies]
    around = float(np.sum(weight * (known - center[gene])[varies] ** 2))
    r2 = 1 - float(np.sum(weight * (known - said)[varies] ** 2)) / around if around > 0 else float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame(
            {
                "n_hidden": count,
                "r2": np.where(defined, 1 - error / spread, np.nan),
                "rmse": np.where(count > 0, np.sqrt(error / count), np.nan),
            },
            index=pd.Index(genes, name="gene"),
        )
    rmse = float(np.sqrt(np.mean((known - said) ** 2)))
    return HeldOut(known, said, gene, table, r2, rmse, None, float("nan"), float("nan"))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each gene's known entries, by blocks of genes; variance 0 for a constant."""
    center, variance = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    step = max(1, MASK_ENTRIES // max(len(values), 1))
    for start in range(0, values.shape[1], step):
        part = slice(start, start + step)
        block = values[:, part].astype(np.float64)
        known = ~np.isnan(block)
        count = np.maximum(known.sum(axis=0), 1)
        center[part] = np.where(known, block, 0).sum(axis=0) / count
        variance[part] = np.where(known, (block - center[part]) ** 2, 0).sum(axis=0) / count
    variance[variance < 1e-20 * np.square(center)] = 0
    return center, variance


def calibrated(bounds: Bounds, truth: np.ndarray, hidden: np.ndarray, seed: int) -> pd.DataFrame | None:
    """Fraction of hidden entries within the intervals of each level, in some of the rows where there are many."""
    n_rows = max(1, min(len(truth), CALIBRATION_ENTRIES // truth.shape[1]))
    rows = np.sort(np.random.default_rng([seed, 7]).permutation(len(truth))[:n_rows])
    asked = hidden[rows]
    if not asked.any():
        return None
    table = []
    for level in LEVELS:
        lower, upper = bounds(rows, level)
        inside = (lower[asked] <= truth[rows][asked]) & (truth[rows][asked] <= upper[asked])
        table.append((level, float(inside.mean()), int(asked.sum())))
    return pd.DataFrame(table, columns=["nominal", "covered", "n_entries"])


# --- many methods ---


def evaluate(
    matrix: Matrix,
    methods: Iterable[str] | None = None,
    *,
    covariates: pd.DataFrame | None = None,
    units: str = "auto",
    rate: float = HIDDEN_RATE,
    repeats: int = REPEATS,
    patience: float = PATIENCE_SECONDS,
    seed: int = 0,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    progress: Progress = quiet,
) -> pd.DataFrame:
    """Compare methods on the same hidden entries of one matrix, filled in place.

    Parameters
    ----------
    matrix : Matrix
    methods : iterable of str, optional
        Keys of `reproduce.imputers.METHODS`. Not given: all that need no other data and are done in time.
    covariates : DataFrame, optional
    units : str, default "auto"
    rate : float, default 0.1
        Share of the known entries that is hidden.
    repeats : int, default 5
        Times that entries are hidden anew.
    patience : float, default 120
        Seconds for all repeats of a method; one that is estimated to take longer is left out, unless it is asked for.
    seed : int, default 0
    settings : mapping of method to mapping, optional
        Hyperparameters.
    progress : callable, optional

    Returns
    -------
    DataFrame
        One row a method, best first: method, label, status ("ok", "left out", "failed"), note, r2 with r2_low and
        r2_high (95 %), difference from the best with difference_low and difference_high, median_gene_r2, rmse,
        seconds (of one fit and fill), n_repeats. Intervals are Nadeau and Bengio's, for repeats that overlap.

    Raises
    ------
    ConfigError
        For an unknown method or a number out of range.
    DataFormatError, CovariateError
        For a matrix or covariates that cannot be used.
    """
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}; give 1 or more.")
    prepared = prepare(matrix, covariates=covariates, units=units)
    hide(prepared.log.to_numpy(), rate, seed)  # what cannot be measured is said before anything is fitted
    asked = None if methods is None else list(dict.fromkeys(methods))
    choices = [_estimated(name, prepared, (settings or {}).get(name)) for name in asked or METHODS]
    rows, scores = [], {}
    for choice in sorted(choices, key=lambda each: each.seconds):
        row = {"method": choice.method, "label": choice.label, "status": "ok", "note": ""}
        if asked is None and (why := _left_out(choice, repeats, patience)):
            rows.append(row | {"status": "left out", "note": why})
            continue
        try:
            outcomes = _repeated(choice, prepared, rate, repeats, seed, progress)
        except (ReproduceError, ArithmeticError, ValueError, MemoryError) as error:  # one must not lose the others
            rows.append(row | {"status": "failed", "note": f"{type(error).__name__}: {error}"})
            continue
        scores[choice.method] = np.array([outcome.r2 for outcome in outcomes])
        rows.append(row | _summary(outcomes))
    return _ranked(pd.DataFrame(rows), scores, rate)


def _estimated(name: str, prepared: Prepared, settings: Mapping[str, object] | None) -> Choice:
    return estimated(name, prepared.log.shape, "", settings)


def _left_out(choice: Choice, repeats: int, patience: float) -> str:
    """Why a method is not tried; empty if it is."""
    if choice.method in NOT_FOR_ONE_MATRIX:
        return "needs other tissues or cohorts beside the matrix"
    if choice.seconds * repeats > patience:
        return f"about {duration(choice.seconds * repeats)}; wait longer by --patience, or name it by --methods"
    if choice.gigabytes > MOST_GIGABYTES:
        return f"about {choice.gigabytes:.0f} GB of memory; name it by --methods to try all the same"
    return ""


def _repeated(
    choice: Choice, prepared: Prepared, rate: float, repeats: int, seed: int, progress: Progress
) -> list[HeldOut]:
    outcomes = []
    for repeat in range(repeats):
        progress(f"{choice.label}, {repeat + 1} of {repeats}", choice.seconds)
        values = prepared.log.to_numpy()
        hidden = hide(values, rate, seed + repeat)
        clock = time.perf_counter()
        filled, _ = in_place(choice, prepared, seed + repeat)(prepared.log.mask(hidden))
        seconds = time.perf_counter() - clock
        outcomes.append(replace(scored(values, filled, hidden, prepared.log.columns), rate=rate, seconds=seconds))
    return outcomes


def _summary(outcomes: list[HeldOut]) -> dict[str, object]:
    return {
        "r2": float(np.mean([each.r2 for each in outcomes])),
        "median_gene_r2": float(np.mean([each.median_gene_r2 for each in outcomes])),
        "rmse": float(np.mean([each.rmse for each in outcomes])),
        "seconds": float(np.mean([each.seconds for each in outcomes])),
        "n_repeats": len(outcomes),
    }


def _ranked(table: pd.DataFrame, scores: dict[str, np.ndarray], rate: float) -> pd.DataFrame:
    """Best first, with intervals of the scores and of their paired differences from the best."""
    from reproduce.hypotheses import corrected_t

    columns = (
        "method", "label", "status", "note", "r2", "r2_low", "r2_high", "difference", "difference_low",
        "difference_high", "median_gene_r2", "rmse", "seconds", "n_repeats",
    )  # fmt: skip
    table = table.reindex(columns=columns)
    best = max(scores, key=lambda name: scores[name].mean(), default=None)
    for i, method in table["method"].items():
        if method in scores and np.isfinite(scores[method]).all():
            of = corrected_t(scores[method], rate / (1 - rate))
            less = corrected_t(scores[method] - scores[best], rate / (1 - rate))
            table.loc[i, ["r2_low", "r2_high"]] = of.low, of.high
            table.loc[i, ["difference", "difference_low", "difference_high"]] = less.mean, less.low, less.high
    order = table["r2"].fillna(-np.inf).sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
