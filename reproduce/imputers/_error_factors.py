"""How errors on held-out rows compare with what was predicted of them: factors by gene and group, and their quantiles.

An error over the standard deviation that was predicted for it is a relative error. It never predicts anything.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

#: Held-out entries that a gene's or tissue's own error must be known from to count as much as what is shared.
SHARED_ERROR_WEIGHT = 200.0
#: Probabilities at which the distribution of relative errors is kept.
PROBABILITIES = np.linspace(0.0005, 0.9995, 1000)


def error_factors(relative: np.ndarray, asked: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Mean squared relative error (1 + n_groups, n_genes); row 0 is over all groups.

    Where entries are few, a gene's is drawn to that of all genes, and a gene's within a group to the gene's. Where
    nothing was asked for, all are 1.
    """
    squares = np.where(asked, relative**2, 0.0)
    overall = (squares.sum() + SHARED_ERROR_WEIGHT) / (asked.sum() + SHARED_ERROR_WEIGHT)
    of_gene = (squares.sum(axis=0) + SHARED_ERROR_WEIGHT * overall) / (asked.sum(axis=0) + SHARED_ERROR_WEIGHT)
    factors = np.tile(of_gene, (1 + n_groups, 1))
    for group in range(1, n_groups + 1):
        mine = groups == group
        total = squares[mine].sum(axis=0) + SHARED_ERROR_WEIGHT * of_gene
        factors[group] = total / (asked[mine].sum(axis=0) + SHARED_ERROR_WEIGHT)
    return factors


def symmetric_quantiles(relative: np.ndarray) -> np.ndarray:
    """Quantiles at `PROBABILITIES` of relative errors and their negatives, drawn to a normal's where they are few."""
    of_normal = norm.ppf(PROBABILITIES)
    if not relative.size:
        return of_normal
    found = np.quantile(np.concatenate([relative, -relative]), PROBABILITIES)
    return (relative.size * found + SHARED_ERROR_WEIGHT * of_normal) / (relative.size + SHARED_ERROR_WEIGHT)


def relative_errors(quantiles: np.ndarray, deviates: np.ndarray | float) -> np.ndarray:
    """Relative errors that are as extreme as the given deviates are for a normal.

    Parameters
    ----------
    quantiles : ndarray (1000,)
        Of relative errors, at `PROBABILITIES`. Beyond the outermost their ratio to a normal's is kept.
    deviates : float or ndarray
    """
    knots = norm.ppf(PROBABILITIES)
    beyond = np.maximum(np.abs(deviates) / knots[-1], 1.0)
    return np.interp(deviates, knots, quantiles) * beyond
