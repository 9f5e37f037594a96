"""Arithmetic of multivariate normals with missing entries, for whole blocks of rows at once; never a covariate.

Rows are sorted by how many genes they miss, their submatrices padded to one size with the identity, and solved as a
batch. For a row with missing genes M and known genes O

    E[z_M | z_O] = mean_M + covariance_MO covariance_OO⁻¹ (z_O − mean_O),    covariance[z_M | z_O] = K_MM⁻¹,

with K = covariance⁻¹.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

#: Bound on the padded submatrices of one batch, bytes.
BATCH_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Normal:
    """Mean (n_genes,) and covariance (n_genes, n_genes) of a group, standardised, and its precision."""

    mean: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, mean: np.ndarray, covariance: np.ndarray) -> Normal:
        covariance = (covariance + covariance.T) / 2
        precision = np.linalg.inv(covariance)
        return cls(mean, covariance, (precision + precision.T) / 2)


@dataclass(frozen=True)
class Prior:
    """A covariance that is worth `samples` observations: T in covariance = (n S + samples T) / (n + samples)."""

    covariance: np.ndarray
    samples: float


@dataclass(frozen=True)
class Batch:
    """Rows of a mask (n_rows, n_genes) with the columns where it is True, padded to one number k of columns.

    Attributes
    ----------
    rows : ndarray of int (r,)
    columns : ndarray of int (r, k)
    real : ndarray of bool (r, k)
        False for padding.
    """

    rows: np.ndarray
    columns: np.ndarray
    real: np.ndarray

    @property
    def row_of_entry(self) -> np.ndarray:
        return np.broadcast_to(self.rows[:, None], self.real.shape)[self.real]

    @property
    def column_of_entry(self) -> np.ndarray:
        return self.columns[self.real]

    def blocks_of(self, matrix: np.ndarray) -> np.ndarray:
        """Submatrices (r, k, k) of a matrix (n_genes, n_genes), the identity in the padding."""
        blocks = matrix[self.columns[:, :, None], self.columns[:, None, :]]
        blocks *= self.real[:, :, None]
        blocks *= self.real[:, None, :]
        np.einsum("rkk->rk", blocks)[...] += ~self.real
        return blocks

    def entries_of(self, values: np.ndarray) -> np.ndarray:
        """Entries (r, k) of values (n_rows, n_genes), 0 in the padding."""
        return np.where(self.real, values[self.rows[:, None], self.columns], 0.0)


def batches(mask: np.ndarray) -> Iterator[Batch]:
    """Batches of the rows with any True, of like size so that little is padded, within `BATCH_BYTES`."""
    count = mask.sum(axis=1)
    order = np.argsort(count, kind="stable")
    order = order[count[order] > 0]
    start = 0
    while start < len(order):
        # sizes increase, so the batch that starts here may have to be cut once its widest row is known
        size = max(1, BATCH_BYTES // (8 * int(count[order[start]]) ** 2))
        widest = int(count[order[min(start + size, len(order)) - 1]])
        size = max(1, min(size, BATCH_BYTES // (8 * widest**2), 128))
        rows = order[start : start + size]
        widest = int(count[rows[-1]])
        columns = np.argsort(~mask[rows], axis=1, kind="stable")[:, :widest]
        yield Batch(rows, columns, np.arange(widest) < count[rows][:, None])
        start += size


def conditional_mean(Z: np.ndarray, normal: Normal) -> np.ndarray:
    """Rows (n_rows, n_genes) with each NaN replaced by its conditional mean; known entries come back unchanged.

    Solves for the missing genes by the precision, or for the known ones by the covariance, whichever are fewer.
    """
    missing = np.isnan(Z)
    centred = np.where(missing, 0.0, Z - normal.mean)
    few_missing = missing.sum(axis=1) * 2 <= Z.shape[1]
    deviation = np.zeros_like(centred)

    rows = np.flatnonzero(few_missing)
    right = -(centred[rows] @ normal.precision)
    for batch in batches(missing[rows]):
        solved = np.linalg.solve(batch.blocks_of(normal.precision), batch.entries_of(right)[:, :, None])[:, :, 0]
        deviation[rows[batch.row_of_entry], batch.column_of_entry] = solved[batch.real]

    rows = np.flatnonzero(~few_missing)
    weights = np.zeros((len(rows), Z.shape[1]))
    for batch in batches(~missing[rows]):
        right = batch.entries_of(centred[rows])[:, :, None]
        solved = np.linalg.solve(batch.blocks_of(normal.covariance), right)[:, :, 0]
        weights[batch.row_of_entry, batch.column_of_entry] = solved[batch.real]
    deviation[rows] = weights @ normal.covariance
    return np.where(missing, normal.mean + deviation, Z)


def expectation(
    Z: np.ndarray, normal: Normal, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What EM needs of rows with missing entries, given a normal.

    Parameters
    ----------
    Z : ndarray (n_rows, n_genes)
        NaN where missing.
    normal : Normal
    weights : ndarray (n_rows,), optional
        Of the rows in the sum of covariances; 1 each if not given.

    Returns
    -------
    filled : ndarray (n_rows, n_genes)
        Missing entries by their conditional mean.
    spread : ndarray (n_genes, n_genes)
        Weighted sum over rows of the conditional covariance of what they miss.
    log_likelihood : ndarray (n_rows,)
        Of each row's known entries.

    Notes
    -----
    The likelihood follows from quantities at hand: with b = (K (z − mean))_M over known entries only,
    log|covariance_OO| = log|covariance| + log|K_MM| and the quadratic form is zᵀKz − bᵀ K_MM⁻¹ b.
    """
    missing = np.isnan(Z)
    n_genes = Z.shape[1]
    centred = np.where(missing, 0.0, Z - normal.mean)
    right = -(centred @ normal.precision)
    n_known = n_genes - missing.sum(axis=1)
    # twice the negative log likelihood of each row
    twice = n_known * np.log(2 * np.pi) - np.linalg.slogdet(normal.precision)[1] - np.einsum("rp,rp->r", centred, right)
    spread = np.zeros(n_genes * n_genes)
    deviation = centred.copy()
    for batch in batches(missing):
        blocks = batch.blocks_of(normal.precision)
        inverse = np.linalg.inv(blocks)
        b = batch.entries_of(right)
        solved = np.einsum("rkl,rl->rk", inverse, b)
        twice[batch.rows] += np.linalg.slogdet(blocks)[1] - np.einsum("rk,rk->r", solved, b)
        deviation[batch.row_of_entry, batch.column_of_entry] = solved[batch.real]
        inverse *= batch.real[:, :, None]  # the padding's identity is no covariance
        inverse *= batch.real[:, None, :]
        if weights is not None:
            inverse *= weights[batch.rows, None, None]
        flat = batch.columns[:, :, None] * n_genes + batch.columns[:, None, :]
        spread += np.bincount(flat.ravel(), weights=inverse.ravel(), minlength=n_genes * n_genes)
    return deviation + normal.mean, spread.reshape(n_genes, n_genes), -0.5 * twice


def log_likelihood(Z: np.ndarray, normal: Normal) -> np.ndarray:
    """Log likelihood of each row's known entries, as `expectation` gives it, without the rest of its work.

    Parameters
    ----------
    Z : ndarray (n_rows, n_genes)
        NaN where missing.
    normal : Normal

    Returns
    -------
    ndarray (n_rows,)
    """
    missing = np.isnan(Z)
    centred = np.where(missing, 0.0, Z - normal.mean)
    n_known = Z.shape[1] - missing.sum(axis=1)
    twice = n_known * np.log(2 * np.pi)
    few_missing = 2 * n_known >= Z.shape[1]

    # by the precision of what is missing, or by the covariance of what is known, whichever is smaller
    rows = np.flatnonzero(few_missing)
    right = centred[rows] @ normal.precision
    twice[rows] += np.einsum("rp,rp->r", centred[rows], right) - np.linalg.slogdet(normal.precision)[1]
    for batch in batches(missing[rows]):
        log_determinant, form = _determinant_and_form(batch.blocks_of(normal.precision), batch.entries_of(right))
        twice[rows[batch.rows]] += log_determinant - form

    rows = np.flatnonzero(~few_missing)
    for batch in batches(~missing[rows]):
        blocks, values = batch.blocks_of(normal.covariance), batch.entries_of(centred[rows])
        twice[rows[batch.rows]] += np.add(*_determinant_and_form(blocks, values))
    return -0.5 * twice


def _determinant_and_form(blocks: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log determinants (r,) of blocks (r, k, k) and the forms v' block⁻¹ v (r,) of values (r, k)."""
    root = np.linalg.cholesky(blocks)
    solved = np.linalg.solve(blocks, values[:, :, None])[:, :, 0]
    return 2 * np.log(np.einsum("rkk->rk", root)).sum(axis=1), np.einsum("rk,rk->r", solved, values)


def conditional_variance(missing: np.ndarray, normal: Normal) -> np.ndarray:
    """Variance of each missing entry given its row's known ones.

    Parameters
    ----------
    missing : ndarray of bool (n_rows, n_genes)
    normal : Normal

    Returns
    -------
    ndarray (n_rows, n_genes)
        0 where known.
    """
    variance = np.zeros(missing.shape)
    for batch in batches(missing):
        of_block = np.einsum("rkk->rk", np.linalg.inv(batch.blocks_of(normal.precision)))
        variance[batch.row_of_entry, batch.column_of_entry] = of_block[batch.real]
    return variance


def draw_missing(Z: np.ndarray, normal: Normal, generator: np.random.Generator) -> np.ndarray:
    """Rows with each NaN replaced by a draw from its row's conditional distribution, jointly within a row.

    Parameters
    ----------
    Z : ndarray (n_rows, n_genes)
        NaN where missing.
    normal : Normal
    generator : numpy Generator

    Returns
    -------
    ndarray (n_rows, n_genes)
    """
    # a draw z* of the whole row, corrected by what its known entries got wrong, has the conditional law:
    # E[z_M | z_O] + (z*_M − E[z*_M | z*_O])
    drawn = normal.mean + generator.standard_normal(Z.shape) @ np.linalg.cholesky(normal.covariance).T
    missing = np.isnan(Z)
    return (
        conditional_mean(Z, normal)
        + np.where(missing, drawn, 0.0)
        - np.where(missing, conditional_mean(np.where(missing, np.nan, drawn), normal), 0.0)
    )


def most_probable(
    Z: np.ndarray, normal: Normal, prior: Prior, *, max_iter: int, tol: float
) -> tuple[Normal, np.ndarray, bool]:
    """Mean and covariance of highest posterior density by EM (Little and Rubin, chapter 11).

    Parameters
    ----------
    Z : ndarray (n_rows, n_genes)
        NaN where missing.
    normal : Normal
        Where to start.
    prior : Prior
        Inverse Wishart, for the covariance; the mean's is flat.
    max_iter : int
    tol : float
        EM stops when no entry of mean and covariance changes by more.

    Returns
    -------
    normal : Normal
    trace : ndarray (n_rounds,)
        Log posterior at the start of each round, up to a constant; never falls.
    settled : bool
    """
    trace = []
    for _ in range(max_iter):
        filled, spread, log_likelihood = expectation(Z, normal)
        trace.append(float(log_likelihood.sum()) + log_prior(normal, prior))
        mean = filled.mean(axis=0)
        scatter = (filled - mean).T @ (filled - mean) + spread
        covariance = (scatter + prior.samples * prior.covariance) / (len(Z) + prior.samples)
        change = max(np.abs(mean - normal.mean).max(), np.abs(covariance - normal.covariance).max())
        normal = Normal.of(mean, covariance)
        if change < tol:
            return normal, np.array(trace), True
    return normal, np.array(trace), False


def log_prior(normal: Normal, prior: Prior) -> float:
    log_determinant = -np.linalg.slogdet(normal.precision)[1]
    return -0.5 * prior.samples * float(log_determinant + np.sum(prior.covariance * normal.precision))


def mixture(normals: list[Normal], weights: np.ndarray) -> Normal:
    """Normal with the mean and covariance of the mixture of some normals."""
    weights = weights / weights.sum()
    mean = np.einsum("g,gp->p", weights, np.stack([normal.mean for normal in normals]))
    covariance = sum(
        w * (normal.covariance + np.outer(normal.mean - mean, normal.mean - mean))
        for w, normal in zip(weights, normals)
    )
    return Normal.of(mean, covariance)
