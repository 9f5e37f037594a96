"""Nearest neighbours by matrix products: scikit-learn's answer at a fraction of its time; never uses covariates.

Distances between rows with holes are sums over the genes that both rows know, which are products of masked matrices, so
a whole block of distances costs two or four matrix multiplications.
"""

from __future__ import annotations

import numpy as np

from reproduce.imputers._base import ExpressionImputer, check_integer
from reproduce.imputers._covariates import Covariates

#: Bound on the largest temporary array of a block of query rows, bytes.
BLOCK_BYTES = 32 * 2**20


class KNNImputer(ExpressionImputer):
    """Mean of the gene over the nearest fitted rows that know it.

    The distance is Euclidean over the genes that both rows know, scaled up by n_genes / n_known (Dixon 1979).
    Neighbours are chosen for each gene anew, among the fitted rows that know the gene and share a known gene with the
    query; if there are fewer than `n_neighbors`, their mean is taken, and the gene's mean if there are none. A row that
    was fitted itself never fills its own holes, since there it knows nothing.

    Equal to `sklearn.impute.KNNImputer` on standardised genes. Where rows are equally far, which of them count is as
    arbitrary as it is there. Genes constant in the fitted rows do not enter the distance.

    Parameters
    ----------
    n_neighbors : int, default 10

    Notes
    -----
    Troyanskaya et al. 2001, doi 10.1093/bioinformatics/17.6.520.
    """

    def __init__(self, *, n_neighbors: int = 10):
        self.n_neighbors = n_neighbors

    def _check_parameters(self) -> None:
        check_integer("n_neighbors", self.n_neighbors, least=1)

    def _reads_covariates(self) -> bool:
        return False

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        self._values = np.where(observed, Z, 0.0)
        self._known = observed
        self._complete = bool(observed.all())

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        Z_hat = np.zeros_like(Z)  # standardised: the mean of every gene
        queries = np.flatnonzero(~observed.all(axis=1) & observed.any(axis=1))
        n_fitted, n_genes = self._values.shape
        largest = n_fitted if self._complete else max(n_fitted, n_genes * min(self._first_candidates(), n_fitted))
        block = max(1, BLOCK_BYTES // (16 * largest))
        for start in range(0, len(queries), block):
            rows = queries[start : start + block]
            values, known = np.where(observed[rows], Z[rows], 0.0), observed[rows]
            distances = self._distances(values, known)
            Z_hat[rows] = self._mean_of_nearest(distances) if self._complete else self._per_gene(distances, ~known)
        return Z_hat

    def _distances(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Squared distances per shared gene (n_queries, n_fitted), infinite where no gene is shared."""
        known = known.astype(np.float64)
        distances = known @ (self._values**2).T
        distances -= 2.0 * (values @ self._values.T)
        if self._complete:
            # the number of shared genes is the same for all fitted rows, and so is what the query adds: order unchanged
            return distances
        fitted_known = self._known.T.astype(np.float64)
        distances += values**2 @ fitted_known
        shared = known @ fitted_known
        np.clip(distances, 0.0, None, out=distances)
        return np.divide(distances, shared, out=np.full_like(distances, np.inf), where=shared > 0)

    def _mean_of_nearest(self, distances: np.ndarray) -> np.ndarray:
        k = min(self.n_neighbors, distances.shape[1])
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        total = np.zeros((len(distances), self._values.shape[1]))
        for neighbour in nearest.T:  # k steps, each over all queries
            total += self._values[neighbour]
        return total / k

    def _first_candidates(self) -> int:
        """Nearest rows to look at first: enough, most often, to find `n_neighbors` that know the gene."""
        return int(2 * self.n_neighbors / max(self._known.mean(), 1e-3)) + 16

    def _per_gene(self, distances: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Means over the nearest rows that know each gene, looking further only for queries that need it."""
        n_fitted, k = distances.shape[1], self.n_neighbors
        usable = np.isfinite(distances)
        result = np.zeros(wanted.shape)
        pending, n_near = np.arange(len(distances)), min(self._first_candidates(), n_fitted)
        while pending.size:
            near = _nearest_in_order(distances[pending], n_near)
            known = self._known[near] & np.take_along_axis(usable[pending], near, axis=1)[:, :, None]
            known &= np.cumsum(known, axis=1, dtype=np.int32) <= k
            found = known.sum(axis=1)
            total = np.einsum("qng,qng->qg", known, self._values[near], optimize=False)
            result[pending] = np.divide(total, found, out=np.zeros_like(total), where=found > 0)
            if n_near == n_fitted:
                break
            pending = pending[((found < k) & wanted[pending]).any(axis=1)]
            n_near = min(4 * n_near, n_fitted)
        return result


def _nearest_in_order(distances: np.ndarray, n_near: int) -> np.ndarray:
    """Columns of the `n_near` smallest entries of each row, in increasing order (n_rows, n_near)."""
    if n_near < distances.shape[1]:
        near = np.argpartition(distances, n_near - 1, axis=1)[:, :n_near]
    else:
        near = np.tile(np.arange(distances.shape[1]), (len(distances), 1))
    order = np.argsort(np.take_along_axis(distances, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)
