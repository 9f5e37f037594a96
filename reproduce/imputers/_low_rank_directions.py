"""Finds leading directions of complete rows by the cheapest way; never fits a normal.

They are those of the covariance, of the Gram matrix of rows, or of a randomised range finder (Halko, Martinsson and
Tropp 2011), whichever is smallest: nothing of size genes × genes is formed beyond `DIRECT_SIDE`.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

#: Largest matrix of genes or of rows whose eigenvectors are found directly; beyond, by a randomised range finder.
DIRECT_SIDE = 2_000
#: Directions that the range finder keeps beyond those asked for, and its power iterations.
SPARE_DIRECTIONS, POWER_ITERATIONS = 10, 2


class Directions:
    """Leading eigenvectors of diag(1/metric) S diag(1/metric), S = residualsᵀ residuals / n, by the cheapest way."""

    def __init__(self, residuals: np.ndarray, generator: np.random.Generator):
        self.residuals, self.generator = residuals, generator
        n, p = residuals.shape
        self.by_genes = p <= min(n, DIRECT_SIDE)
        self.direct = self.by_genes or n <= DIRECT_SIDE
        self.covariance = residuals.T @ residuals / n if self.by_genes else None
        self.found = None

    def leading(self, metric: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Values (rank,), descending, and orthonormal vectors (n_genes, rank)."""
        if rank == 0:
            return np.zeros(0), np.zeros((len(metric), 0))
        if self.by_genes:
            return top_of(self.covariance / np.outer(metric, metric), rank)
        metric = metric.astype(self.residuals.dtype)
        if not self.direct:
            return self._by_range_finder(metric, rank)
        scaled = self.residuals / metric
        values, vectors = top_of(scaled @ scaled.T / len(scaled), rank)
        sizes = np.sqrt(np.maximum(values * len(scaled), np.finfo(np.float32).tiny))
        return values, scaled.T @ (vectors / sizes).astype(scaled.dtype)

    def _by_range_finder(self, metric: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
        R = self.residuals
        iterations = 1
        if self.found is None:  # the directions of another metric are a far better start than random ones
            width = min(rank + SPARE_DIRECTIONS, *R.shape)
            self.found = self.generator.standard_normal((R.shape[1], width), dtype=R.dtype)
            iterations = POWER_ITERATIONS + 1
        directions = self.found
        for _ in range(iterations):
            basis = np.linalg.qr(R @ (directions / metric[:, None]))[0]
            directions = (R.T @ basis) / metric[:, None]
            vectors, sizes, _ = np.linalg.svd(directions, full_matrices=False)
            directions = vectors
        self.found = vectors * metric[:, None]
        return sizes[:rank].astype(np.float64) ** 2 / len(R), vectors[:, :rank]


def top_of(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues (rank,) of a symmetric matrix, descending, and their vectors (n, rank), in float64."""
    side = len(matrix)
    values, vectors = eigh(matrix.astype(np.float64), subset_by_index=(side - rank, side - 1))
    return values[::-1], vectors[:, ::-1]
