"""Hides known entries and leaves out donors within the fitted rows, so that choices are made on what was not fitted.

Whatever chooses a weight, a rank or the width of an interval does so here, from the fitted rows' own known entries; the
entries that a trial scores are never seen. It never fits a method by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from reproduce.imputers._base import ExpressionImputer
from reproduce.imputers._covariates import Covariates


def covariates_of_rows(covariates: Covariates | None, rows: np.ndarray) -> Covariates | None:
    """The covariates of the rows at the given positions, or None where there are none."""
    if covariates is None:
        return None
    donor = None if covariates.donor is None else covariates.donor[rows]
    return replace(covariates, codes=covariates.codes[rows], numeric=covariates.numeric[rows], donor=donor)


def person_of_row(n_rows: int, covariates: Covariates | None) -> np.ndarray:
    """Number of each row's person, int (n_rows,) from 0 on; a row of an unknown donor counts as a person of its own."""
    donors = None if covariates is None else covariates.donor
    names = [f"row {i}" if donors is None or donors[i] is None else f"donor {donors[i]}" for i in range(n_rows)]
    return np.unique(names, return_inverse=True)[1]


def donor_folds(n_rows: int, covariates: Covariates | None, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each row, int (n_rows,) from 0 on; all rows of a person fall into one.

    There are fewer folds where there are fewer persons.
    """
    person = person_of_row(n_rows, covariates)
    n_people = int(person.max()) + 1
    order = np.random.default_rng([seed, 2]).permutation(n_people)
    return (order % min(n_folds, n_people))[person]


def hide_entries(observed: np.ndarray, rates: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    """Known entries to hide, bool (n_rows, n_genes); each row's rate is drawn uniformly from `rates` (low, high)."""
    low, high = rates
    rate = low + (high - low) * generator.random((len(observed), 1))
    return observed & (generator.random(observed.shape) < rate)


def left_out(folds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each fold, the positions of the rows of all others, to fit, and of its own, which are left out."""
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def held_out_fits(
    make: Callable[[], ExpressionImputer],
    Z: np.ndarray,
    covariates: Covariates | None,
    folds: np.ndarray,
) -> Iterator[tuple[ExpressionImputer, np.ndarray]]:
    """For each fold, an imputer fitted to the rows of all others, and the positions of the fold's rows.

    Parameters
    ----------
    make : callable
        Gives an imputer that is not fitted.
    Z : ndarray (n_rows, n_genes)
        Standardised, NaN where missing.
    covariates : Covariates or None
    folds : ndarray of int (n_rows,)

    Yields
    ------
    imputer : ExpressionImputer
        Fitted in standardised space: use `impute_standardised`.
    rows : ndarray of int
    """
    for rest, rows in left_out(folds):
        yield fit_standardised(make(), Z[rest], covariates_of_rows(covariates, rest)), rows


def fit_standardised(imputer: ExpressionImputer, Z: np.ndarray, covariates: Covariates | None) -> ExpressionImputer:
    """Fit a part of a composite imputer on rows that are standardised and encoded already; returns it."""
    imputer._check_parameters()
    imputer._fit(Z, ~np.isnan(Z), covariates)
    return imputer


def impute_standardised(imputer: ExpressionImputer, Z: np.ndarray, covariates: Covariates | None) -> np.ndarray:
    """Values (n_rows, n_genes) that a part of a composite imputer gives; known entries of Z are kept."""
    missing = np.isnan(Z)
    return np.where(missing, imputer._impute(Z, ~missing, covariates), Z) if missing.any() else Z
