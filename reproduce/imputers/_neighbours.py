"""Means over the nearest rows that know a gene, for blocks of rows at once; exact distances, never a covariate.

Distances between rows with holes are sums over the genes that both rows know, which are products of masked matrices.
Along a row's neighbours, nearest first, the rows that still count for a gene are a prefix: those up to the one with
which the gene has been known often enough. So its mean is a running sum, read at the end of that prefix.
"""

from __future__ import annotations

import numpy as np

#: Bound on a block's distances, bytes.
BLOCK_BYTES = 32 * 2**20
#: Size of the sums that are taken side by side, bytes: they are to stay in a core's cache.
CACHE_BYTES = 2**18
#: Counts of genes: sums of ones below 2²⁴ are exact in single precision, at half the time.
COUNTED = np.float32
#: Neighbours looked at in one step for the few genes that need more of them.
PAIR_STEP = 32


def means_of_nearest(
    values: np.ndarray, known: np.ndarray, fitted_values: np.ndarray, fitted_known: np.ndarray, n_neighbors: int
) -> np.ndarray:
    """Mean of each missing gene over the nearest fitted rows that know it, as `sklearn.impute.KNNImputer` takes it.

    The distance is Euclidean over the genes that both rows know, scaled up by n_genes / n_known (Dixon 1979). Among
    rows equally far it is arbitrary which count.

    Parameters
    ----------
    values : ndarray of float64 (n_rows, n_genes)
        Rows to fill, 0 where missing.
    known : ndarray of bool (n_rows, n_genes)
    fitted_values : ndarray of float64 (n_fitted, n_genes)
        Rows to look among, 0 where missing.
    fitted_known : ndarray of bool (n_fitted, n_genes)
    n_neighbors : int
        Where fewer rows know the gene and share a known gene with the row, the mean is over those.

    Returns
    -------
    ndarray of float64 (n_rows, n_genes)
        0 for known entries, and where no fitted row counts.
    """
    means = np.zeros(values.shape)
    rows = np.flatnonzero(~known.all(axis=1) & known.any(axis=1))
    sums = _Sums(fitted_values, fitted_known, n_neighbors)
    size = max(1, BLOCK_BYTES // (8 * len(fitted_values)))
    first = _first_candidates(fitted_known, n_neighbors)
    among = len(rows) == len(fitted_values) <= size and _equal(values, fitted_values) and _equal(known, fitted_known)
    distances = None if among else _Distances(fitted_values, fitted_known)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        apart = _distances_among(values, known) if among else distances.of(values[block], known[block])
        found, short = sums.means(_nearest_in_order(apart, first))
        short &= ~known[block]
        n_near = first
        while short.any() and n_near < apart.shape[1]:
            n_near = min(4 * n_near, apart.shape[1])
            of_row, of_gene = np.nonzero(short)
            nearest = _nearest_in_order(apart, n_near)
            found[of_row, of_gene], short[of_row, of_gene] = sums.means_of_pairs(nearest, of_row, of_gene)
        means[block] = np.where(known[block], 0.0, found)
    return means


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or np.array_equal(one, other)


class _Distances:
    """Squared distances per shared gene to some rows, whose part of the products is prepared once."""

    def __init__(self, values: np.ndarray, known: np.ndarray):
        # one product instead of two: known @ values² − 2 values @ values
        self._right = np.vstack([(values**2).T, -2.0 * values.T])
        self._known = known.T.astype(np.float64)
        self._counted = known.T.astype(COUNTED)

    def of(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """From each row (n_rows, n_genes) to each prepared one (n_rows, n_fitted), infinite where nothing is shared."""
        squares = np.hstack([known.astype(np.float64), values]) @ self._right
        squares += values**2 @ self._known
        return _per_shared_gene(squares, known.astype(COUNTED) @ self._counted)


def _distances_among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """As `_Distances`, between all pairs of the same rows (n_rows, n_rows): half the arithmetic."""
    one_side = known.astype(np.float64) @ (values**2).T
    squares = values @ values.T
    squares *= -2.0
    squares += one_side
    squares += one_side.T
    counted = known.astype(COUNTED)
    return _per_shared_gene(squares, counted @ counted.T)


def _per_shared_gene(squares: np.ndarray, shared: np.ndarray) -> np.ndarray:
    np.clip(squares, 0.0, None, out=squares)  # rounding can take a sum of squares below 0
    with np.errstate(divide="ignore", invalid="ignore"):
        squares /= shared
    squares[shared == 0] = np.inf
    return squares


class _Sums:
    """Running sums over fitted rows, nearest first, of the first k that know a gene.

    A row that knows nothing stands behind the fitted ones, for neighbours that do not count.
    """

    def __init__(self, values: np.ndarray, known: np.ndarray, n_neighbors: int):
        nothing = np.zeros((1, values.shape[1]))
        # whatever the order of the given arrays: rows are what is read
        self._values = np.ascontiguousarray(np.vstack([values, nothing]))
        self._known = np.vstack([known, nothing]).astype(np.uint8, order="C")
        self._k = n_neighbors

    def means(self, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of all genes over the neighbours (n_rows, n_near), and which have fewer than k: (n_rows, n_genes)."""
        n_genes = self._values.shape[1]
        means = np.empty((len(near), n_genes))
        short = np.empty(means.shape, dtype=bool)
        size = max(1, CACHE_BYTES // (8 * n_genes))
        for start in range(0, len(near), size):
            part = slice(start, start + size)
            total, count = self._totals(near[part])
            short[part] = count < self._k
            np.divide(total, np.clip(count, 1, self._k), out=means[part])
        return means, short

    def _totals(self, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the first k that know the gene, and how many of all know it."""
        shape = (len(near), self._values.shape[1])
        total, values = np.zeros(shape), np.empty(shape)
        # narrow counts are added many at a time
        kind = np.uint8 if near.shape[1] < 256 else np.int32
        count, known, still = np.zeros(shape, kind), np.empty(shape, np.uint8), np.empty(shape, bool)
        for rank, rows in enumerate(near.T, start=1):
            np.take(self._known, rows, axis=0, out=known, mode="clip")
            count += known
            np.take(self._values, rows, axis=0, out=values, mode="clip")
            if rank > self._k:  # before, no gene can have been known more often
                np.less_equal(count, self._k, out=still)
                values *= still
            total += values
        return total, count

    def means_of_pairs(
        self, near: np.ndarray, of_row: np.ndarray, of_gene: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `means`, for some pairs (n_pairs,) of a row of `near` and a gene."""
        total, count = np.zeros(len(of_row)), np.zeros(len(of_row), dtype=np.int64)
        pending = np.arange(len(of_row))
        for start in range(0, near.shape[1], PAIR_STEP):
            rows, genes = near[of_row[pending], start : start + PAIR_STEP], of_gene[pending][:, None]
            counts = count[pending][:, None] + np.cumsum(self._known[rows, genes], axis=1, dtype=np.int64)
            total[pending] += np.einsum("pn,pn->p", self._values[rows, genes], counts <= self._k)
            count[pending] = counts[:, -1]
            pending = pending[count[pending] < self._k]
            if not pending.size:
                break
        return total / np.clip(count, 1, self._k), count < self._k


def _first_candidates(known: np.ndarray, n_neighbors: int) -> int:
    """How many nearest rows to look at first: of independent holes, enough for all but a few genes in a hundred."""
    rate = max(float(known.mean()), 1e-3)
    return min(len(known), int(np.ceil((n_neighbors + 2 * np.sqrt(n_neighbors * (1 - rate))) / rate)))


def _nearest_in_order(distances: np.ndarray, n_near: int) -> np.ndarray:
    """Columns of the `n_near` smallest entries of each row, in increasing order (n_rows, n_near).

    In place of a column whose entry is infinite stands the number of columns: the row that knows nothing of `_Sums`.
    """
    if n_near < distances.shape[1]:
        near = np.argpartition(distances, n_near - 1, axis=1)[:, :n_near]
    else:
        near = np.tile(np.arange(distances.shape[1]), (len(distances), 1))
    apart = np.take_along_axis(distances, near, axis=1)
    near[np.isinf(apart)] = distances.shape[1]
    return np.take_along_axis(near, np.argsort(apart, axis=1, kind="stable"), axis=1)
