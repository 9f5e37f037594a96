"""Times imputers without networks against the established implementations of what they do; never judges.

Each fills the same rows in place, half of the entries hidden, from the call of `fit_transform` to the filled matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reproduce.benchmarks.processes import Way, timed
from reproduce.benchmarks.simulated import hidden_entries, study_rows
from reproduce.benchmarks.table import Subject

_HERE = "reproduce.benchmarks.imputing"
MISSING_RATE = 0.5
SCIKIT_LEARN_KNN = "scikit_learn_knn"


@dataclass(frozen=True)
class Pair:
    """An imputer of this project and the established one that it is timed against.

    Attributes
    ----------
    fast, slow : str
        Keys of `reproduce.imputers.METHODS`, or `SCIKIT_LEARN_KNN`.
    required : float
        The ratio that is asked for.
    size : tuple of int
        Rows and genes.
    quick_size : tuple of int or None
        None leaves the pair out of a quick run.
    r2_tolerance : float
        By how much R² may stay below the other's.
    repeats : int
    note : str
    """

    fast: str
    slow: str
    required: float
    size: tuple[int, int]
    quick_size: tuple[int, int] | None
    r2_tolerance: float = 0.0
    repeats: int = 3
    note: str = "in place"


PAIRS = (
    # the same neighbours: R² differs by rounding alone
    Pair("knn_10", SCIKIT_LEARN_KNN, 20.0, (2000, 5000), (400, 1000), r2_tolerance=0.005),
    Pair("fast_mice", "mice", 50.0, (740, 273), (200, 60), repeats=1),  # MICE takes two minutes and more
    Pair(
        "boosted_forest",
        "missforest_10",
        np.nan,
        (740, 65),
        (150, 12),
        note="in place; not asked to be faster: the other grows 10 trees, a tenth of missingpy's default",
    ),
    Pair("boosted_forest", "missforest_100", 10.0, (740, 65), None, note="in place; missingpy's default"),
)
#: What others' methods are computed by, as a reader knows it.
PACKAGES = {
    SCIKIT_LEARN_KNN: "scikit-learn's KNNImputer, 10 neighbours",
    "mice": "MICE by scikit-learn's IterativeImputer",
    "missforest_10": "MissForest by missingpy, 10 trees",
    "missforest_100": "MissForest by missingpy, 100 trees",
}


def imputer_subjects(*, quick: bool) -> list[Subject]:
    """A subject for every pair."""
    return [_subject(pair, quick) for pair in PAIRS if not quick or pair.quick_size is not None]


def _subject(pair: Pair, quick: bool) -> Subject:
    from reproduce.imputers import METHODS

    rows, genes = pair.quick_size if quick else pair.size
    size = {"rows": rows, "genes": genes, "missing_rate": MISSING_RATE}
    return Subject(
        part="imputers",
        label=METHODS[pair.fast].label,
        key=pair.fast,
        rows=rows,
        genes=genes,
        missing_rate=MISSING_RATE,
        way=Way(f"{_HERE}:fill_once", {"name": pair.fast, **size}),
        against=PACKAGES[pair.slow],
        other_way=Way(f"{_HERE}:fill_once", {"name": pair.slow, **size}),
        repeats=1 if quick else pair.repeats,
        required=pair.required,
        r2_tolerance=pair.r2_tolerance,
        note=pair.note,
    )


def fill_once(name: str, rows: int, genes: int, missing_rate: float, seed: int) -> dict[str, float]:
    """In the fresh process: fill simulated rows; R² is of the hidden entries, mean over genes."""
    from reproduce.metrics import gene_scores

    truth, covariates = study_rows(rows, genes, seed)
    hidden = hidden_entries(truth.shape, missing_rate, seed)
    fill = way_to_fill(name, seed)
    with timed() as spent:
        filled = np.asarray(fill(np.where(hidden, np.nan, truth), covariates))
    return spent | {"r2": float(np.nanmean(gene_scores(truth, filled, hidden)["r2"]))}


def way_to_fill(name: str, seed: int) -> Callable[[np.ndarray, pd.DataFrame], np.ndarray]:
    """A function of rows and covariates that fills the rows; what it imports is imported before it is timed."""
    if name == SCIKIT_LEARN_KNN:
        return _scikit_learn_knn()
    from reproduce.imputers import make_imputer

    imputer = make_imputer(name, random_state=seed)
    return lambda X, covariates: imputer.fit_transform(X, covariates=covariates)


def _scikit_learn_knn() -> Callable[[np.ndarray, pd.DataFrame], np.ndarray]:
    from sklearn.impute import KNNImputer

    def fill(X: np.ndarray, covariates: pd.DataFrame) -> np.ndarray:
        mean, sd = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        return KNNImputer(n_neighbors=10).fit_transform((X - mean) / sd) * sd + mean

    return fill
