"""How large the errors of an imputation are and how they are spread, learnt from held-out errors; never imputes.

**Scale.** The size σ of the error of an entry is a product of powers of what is known about it: log σ is linear in
some features, with coefficients for each gene that are drawn to those of all genes. They minimise

    Σ |error| / σ + log σ,

the likelihood of a Laplace distribution, which is convex in the coefficients and moved little by single large errors.
Each tissue then has a factor for each gene.

**Spread.** Errors divided by their scale have quantiles for each gene, which are drawn to those of all genes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

#: Log scales (standardised) are kept within these bounds, so that no feature far from the fitted ones explodes.
LOG_SCALE_BOUNDS = (-7.0, 3.0)
#: Held-out errors that determine the coefficients of all genes together: more would change nothing.
MOST_POOLED = 200_000
#: Bound on the features of a block of genes, bytes.
BLOCK_BYTES = 64 * 2**20
#: Quantiles are kept at these normal scores, and straight between them.
NORMAL_SCORES = np.linspace(-4.0, 4.0, 801)
_LEAST_ERROR = 1e-9


@dataclass(frozen=True)
class ResidualScale:
    """Size of errors given features; see the module.

    Attributes
    ----------
    coefficients : ndarray (n_genes, n_features)
    factors : ndarray (1 + n_groups, n_genes)
        Of each group's rows; row 0 for rows of no known group.
    """

    coefficients: np.ndarray
    factors: np.ndarray

    def of(self, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Scale of each entry.

        Parameters
        ----------
        features : ndarray (n_rows, n_genes, n_features)
        groups : ndarray of int (n_rows,)

        Returns
        -------
        ndarray (n_rows, n_genes)
        """
        logs = np.einsum("npk,pk->np", features, self.coefficients)
        return np.exp(np.clip(logs, *LOG_SCALE_BOUNDS)) * self.factors[groups]


def fit_scale(
    errors: np.ndarray,
    weights: np.ndarray,
    features: np.ndarray,
    groups: np.ndarray,
    n_groups: int,
    *,
    pooling: float,
) -> ResidualScale:
    """Learn the size of errors.

    Parameters
    ----------
    errors : ndarray (n_rows, n_genes)
        Of held-out entries; not read where the weight is 0.
    weights : ndarray (n_rows, n_genes)
        How many independent errors an entry counts as; 0 where it was not held out.
    features : ndarray (n_rows, n_genes, n_features)
        The first is 1.
    groups : ndarray of int (n_rows,)
        0 = no known group, 1 … n_groups.
    n_groups : int
    pooling : float
        Weight of the coefficients of all genes, and of no difference between groups, in errors.

    Returns
    -------
    ResidualScale
    """
    n_genes, n_features = errors.shape[1], features.shape[2]
    size = np.abs(errors)
    held = np.flatnonzero(weights)
    held = held[:: max(1, -(-len(held) // MOST_POOLED))]
    pooled = _newton(
        size.reshape(-1, 1)[held],
        weights.reshape(-1, 1)[held],
        features.reshape(-1, 1, n_features)[held],
        start=np.zeros(n_features),
        pull=np.full(n_features, 1e-3),
    )[0]
    coefficients = np.empty((n_genes, n_features))
    step = max(1, BLOCK_BYTES // (8 * n_features * max(len(errors), 1)))
    pull = np.full(n_features, pooling)
    pull[0] = min(pooling, 1.0)  # how large a gene's errors are is well known; how they change is not
    for first in range(0, n_genes, step):
        block = slice(first, first + step)
        coefficients[block] = _newton(size[:, block], weights[:, block], features[:, block], start=pooled, pull=pull)
    scale = ResidualScale(coefficients, np.ones((1 + n_groups, n_genes)))
    relative = np.where(weights > 0, weights * size, 0.0) / scale.of(features, groups)
    for group in range(1, n_groups + 1):
        rows = groups == group
        scale.factors[group] = (relative[rows].sum(axis=0) + pooling) / (weights[rows].sum(axis=0) + pooling)
    return scale


def _newton(
    size: np.ndarray, weights: np.ndarray, features: np.ndarray, *, start: np.ndarray, pull: np.ndarray
) -> np.ndarray:
    """Coefficients (n_genes, n_features) that minimise Σ weight (|error| e^−η + η) + pull (b − start)² / 2."""
    n_features = len(start)
    coefficients = np.tile(start, (size.shape[1], 1))
    if not start.any():  # from nowhere: begin at the mean size
        mean = (weights * size).sum(axis=0) / np.maximum(weights.sum(axis=0), _LEAST_ERROR)
        coefficients[:, 0] = np.log(np.maximum(mean, _LEAST_ERROR))
    for _ in range(50):
        logs = np.clip(np.einsum("npk,pk->np", features, coefficients), *LOG_SCALE_BOUNDS)
        expected = weights * np.minimum(size * np.exp(-logs), 30.0)
        gradient = np.einsum("npk,np->pk", features, weights - expected) + pull * (coefficients - start)
        # a bound from below on the curvature keeps steps short where errors are much smaller than their scale
        curved = features * np.maximum(expected, 0.3 * weights)[:, :, None]
        curvature = np.einsum("npk,npl->pkl", curved, features, optimize=True) + np.diag(pull)
        curvature[:, range(n_features), range(n_features)] += _LEAST_ERROR
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        coefficients -= np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-5:
            break
    return coefficients


@dataclass(frozen=True)
class ResidualQuantiles:
    """Quantiles of errors divided by their scale.

    Attributes
    ----------
    values : ndarray (n_genes, n_scores)
        At `NORMAL_SCORES`; they increase along each row.
    mean_square : ndarray (n_genes,)
    """

    values: np.ndarray
    mean_square: np.ndarray

    def at(self, probability: float) -> np.ndarray:
        """Quantile (n_genes,) of each gene."""
        return self.at_scores(np.full((1, len(self.values)), ndtri(probability)))[0]

    def at_scores(self, scores: np.ndarray) -> np.ndarray:
        """Quantiles (…, n_genes) at the probabilities of normal scores (…, n_genes).

        Beyond the last score they stay at the most extreme error that was seen.
        """
        spacing = NORMAL_SCORES[1] - NORMAL_SCORES[0]
        place = np.clip((scores - NORMAL_SCORES[0]) / spacing, 0.0, len(NORMAL_SCORES) - 1.0)
        left = np.minimum(place.astype(np.int64), len(NORMAL_SCORES) - 2)
        part, gene = place - left, np.arange(len(self.values))
        return (1 - part) * self.values[gene, left] + part * self.values[gene, left + 1]


def fit_quantiles(relative: np.ndarray, weights: np.ndarray, *, pooling: float) -> ResidualQuantiles:
    """Learn the spread of errors.

    Parameters
    ----------
    relative : ndarray (n_rows, n_genes)
        Held-out errors divided by their scale; not read where the weight is 0.
    weights : ndarray (n_rows, n_genes)
        0 where an entry was not held out; their sum is how many independent errors a gene has.
    pooling : float
        Weight of the quantiles of all genes, in errors.

    Returns
    -------
    ResidualQuantiles

    Notes
    -----
    Of n errors the quantile at p is the (n + 1) p-th smallest, so that it holds a new error, exchangeable with them,
    with probability p (Vovk, Gammerman and Shafer 2005): intervals are a little wider than the errors themselves.
    """
    held = weights > 0
    probabilities = ndtr(NORMAL_SCORES)
    of_all = np.quantile(relative[held], _conformal(probabilities, weights.sum()))
    square_of_all = float(np.mean(relative[held] ** 2))
    values = np.tile(of_all, (relative.shape[1], 1))
    mean_square = np.full(relative.shape[1], square_of_all)
    for gene, n in enumerate(weights.sum(axis=0)):
        own = relative[held[:, gene], gene]
        if own.size:
            share = n / (n + pooling)
            values[gene] += share * (np.quantile(own, _conformal(probabilities, n)) - of_all)
            mean_square[gene] += share * (float(np.mean(own**2)) - square_of_all)
    return ResidualQuantiles(values, mean_square)


def _conformal(probabilities: np.ndarray, n: float) -> np.ndarray:
    """Where among n sorted errors, as a fraction from the first to the last, the (n + 1) p-th lies."""
    return np.clip(((n + 1) * probabilities - 1) / max(n - 1, 1.0), 0.0, 1.0)
