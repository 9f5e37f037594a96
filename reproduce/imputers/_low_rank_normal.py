"""Arithmetic of normals whose covariance is low-rank plus diagonal, for rows with holes; never a genes × genes matrix.

A row of residuals (its group's mean taken off) is r = L f + noise with factors f ~ N(0, I) and noise ~ N(0, diag(ψ)).
By Woodbury's identity a row with known genes O has the factors' conditional law

    f | r_O ~ N(M L_Oᵀ ψ_O⁻¹ r_O, M),        M = (I + L_Oᵀ ψ_O⁻¹ L_O)⁻¹,

one system (n_factors, n_factors) a row. Rows that share a mask are solved together; the others in batches where there
are few factors, by conjugate gradients in matrix products of all rows where there are many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

#: Most factors for which each row's system is formed and solved; with more, conjugate gradients.
EXACT_FACTORS = 48
#: Bound on the rows × genes and genes × pairs of factors held at once, bytes.
BLOCK_BYTES = 64 * 2**20
#: Most rounds of conjugate gradients; rows that have not settled by then are solved one by one.
MOST_ROUNDS = 60
#: Relative residual at which conjugate gradients stop, by precision.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


@dataclass(frozen=True)
class LowRankNormal:
    """Normal of mean 0 with covariance ``loadings @ loadings.T + diag(noise)``.

    Attributes
    ----------
    loadings : ndarray (n_genes, n_factors)
        Rotated so that ``loadings.T @ diag(1 / noise) @ loadings`` is diagonal: the systems of rows with random holes
        are then nearly diagonal as well.
    noise : ndarray (n_genes,)
        Variances, positive.
    strength : ndarray (n_factors,)
        That diagonal.
    """

    loadings: np.ndarray
    noise: np.ndarray
    strength: np.ndarray

    @classmethod
    def of(cls, loadings: np.ndarray, noise: np.ndarray) -> LowRankNormal:
        """The normal with these parameters; keeps their precision (float32 or float64)."""
        product = (loadings.T / noise) @ loadings
        strength, rotation = np.linalg.eigh(product.astype(np.float64))
        rotated = loadings @ rotation[:, ::-1].astype(loadings.dtype)
        return cls(rotated, noise, np.maximum(strength[::-1], 0.0).astype(loadings.dtype))

    @property
    def n_factors(self) -> int:
        return self.loadings.shape[1]

    def covariance(self) -> np.ndarray:
        """The whole matrix (n_genes, n_genes): for tests and small gene sets."""
        return self.loadings @ self.loadings.T + np.diag(self.noise)


def row_blocks(n_rows: int, n_genes: int, itemsize: int) -> Iterator[slice]:
    """Consecutive rows of which a matrix (rows, n_genes) stays within `BLOCK_BYTES`."""
    size = max(1, BLOCK_BYTES // max(n_genes * itemsize, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def pairs_of_factors(n_factors: int, n_genes: int, itemsize: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Pairs a ≤ b of factors in blocks: positions among all pairs, a, b."""
    first, second = np.triu_indices(n_factors)
    size = max(1, BLOCK_BYTES // max(n_genes * itemsize, 1))
    for start in range(0, len(first), size):
        part = slice(start, min(start + size, len(first)))
        yield part, first[part], second[part]


def symmetric(pairs: np.ndarray, n_factors: int) -> np.ndarray:
    """Matrices (n, n_factors, n_factors) of their upper triangles (n, n_pairs)."""
    first, second = np.triu_indices(n_factors)
    full = np.empty((len(pairs), n_factors, n_factors), dtype=pairs.dtype)
    full[:, first, second] = pairs
    full[:, second, first] = pairs
    return full


def systems(observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """I + L_Oᵀ ψ_O⁻¹ L_O of each row, (n_rows, n_factors, n_factors); `observed` bool (n_rows, n_genes)."""
    L, k = normal.loadings, normal.n_factors
    weighted = L / normal.noise[:, None]
    known = observed.astype(L.dtype)
    upper = np.empty((len(observed), k * (k + 1) // 2), dtype=L.dtype)
    for part, a, b in pairs_of_factors(k, len(L), L.itemsize):
        upper[:, part] = known @ (weighted[:, a] * L[:, b])
    full = symmetric(upper, k)
    np.einsum("rkk->rk", full)[...] += 1
    return full


def _rows_of_systems(n_rows: int, normal: LowRankNormal) -> Iterator[slice]:
    width = max(normal.n_factors**2, len(normal.noise))
    yield from row_blocks(n_rows, width, normal.loadings.itemsize)


def factors(residuals: np.ndarray, observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """Conditional mean of each row's factors.

    Parameters
    ----------
    residuals : ndarray (n_rows, n_genes)
        In the normal's precision, 0 where missing.
    observed : ndarray of bool (n_rows, n_genes)
    normal : LowRankNormal

    Returns
    -------
    ndarray (n_rows, n_factors)
    """
    right = residuals @ (normal.loadings / normal.noise[:, None])
    solved = np.zeros_like(right)
    alone = []
    for rows in _rows_by_mask(observed):
        if len(rows) > 1 and normal.n_factors > 0:
            system = systems(observed[rows[:1]], normal)[0] if normal.n_factors <= EXACT_FACTORS else None
            system = _system(observed[rows[0]], normal) if system is None else system
            solved[rows] = np.linalg.solve(system, right[rows].T).T
        else:
            alone.append(rows)
    if not alone or normal.n_factors == 0:
        return solved
    rows = np.concatenate(alone)
    solve = _solve_each if normal.n_factors <= EXACT_FACTORS else _conjugate_gradients
    if len(rows) == len(right):  # no copy of the mask where no two rows share one
        return solve(right, observed, normal)
    solved[rows] = solve(right[rows], observed[rows], normal)
    return solved


def _rows_by_mask(observed: np.ndarray) -> list[np.ndarray]:
    """Positions of the rows that share a mask, a list of one array a mask."""
    packed = np.packbits(observed, axis=1)
    _, mask_of_row = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)
    order = np.argsort(mask_of_row, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(mask_of_row[order])) + 1)


def _system(known: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """The system (n_factors, n_factors) of one mask (n_genes,)."""
    L = normal.loadings[known]
    return np.eye(normal.n_factors, dtype=L.dtype) + (L.T / normal.noise[known]) @ L


def _solve_each(right: np.ndarray, observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    solved = np.empty_like(right)
    for rows in _rows_of_systems(len(right), normal):
        # scaled to a diagonal near 1, so that strong factors cost no digits
        scale = 1 / np.sqrt(1 + observed[rows].mean(axis=1, keepdims=True, dtype=right.dtype) * normal.strength)
        scaled = systems(observed[rows], normal) * scale[:, :, None] * scale[:, None, :]
        solved[rows] = scale * np.linalg.solve(scaled, (scale * right[rows])[:, :, None])[:, :, 0]
    return solved


def _conjugate_gradients(right: np.ndarray, observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """Solutions (n_rows, n_factors) of all rows' systems, preconditioned by their diagonals under random holes."""
    solved = np.empty_like(right)
    weighted = normal.loadings / normal.noise[:, None]
    for rows in row_blocks(len(right), observed.shape[1], right.itemsize):
        known = observed[rows]
        inverse = 1 / (1 + known.mean(axis=1, keepdims=True, dtype=right.dtype) * normal.strength)
        apply = partial(multiplied, known, normal.loadings, weighted)
        solved[rows], settled = iterate(right[rows], inverse, apply)
        for row in np.flatnonzero(~settled):
            solved[rows.start + row] = np.linalg.solve(_system(known[row], normal), right[rows.start + row])
    return solved


def multiplied(
    known: np.ndarray, loadings: np.ndarray, weighted: np.ndarray, x: np.ndarray, part: np.ndarray
) -> np.ndarray:
    """The systems of the rows at positions `part` times x (n_part, n_factors); `weighted` is loadings over noise."""
    of_genes = x @ loadings.T
    of_genes *= known if len(part) == len(known) else known[part]
    return x + of_genes @ weighted


def iterate(
    right: np.ndarray, inverse: np.ndarray, apply, tolerance: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Conjugate gradients on many systems at once.

    Parameters
    ----------
    right : ndarray (n_systems, n_unknowns)
    inverse : ndarray (n_systems, n_unknowns)
        Of the preconditioner's diagonal.
    apply : callable
        ``apply(x, part)`` multiplies the systems at the positions `part` by x.
    tolerance : float, optional
        Relative residual at which a system is left; by precision (`TOLERANCE`) if not given.

    Returns
    -------
    x : ndarray (n_systems, n_unknowns)
    settled : ndarray of bool (n_systems,)
    """
    x = inverse * right
    active = np.arange(len(right))
    residual = right - apply(x, active)
    towards = inverse * residual
    direction, energy = towards, np.einsum("rk,rk->r", residual, towards)
    tolerance = TOLERANCE[right.dtype.name] if tolerance is None else tolerance
    least = tolerance**2 * np.einsum("rk,rk->r", right, inverse * right)
    for _ in range(MOST_ROUNDS):
        going = energy > least[active]
        if not going.all():
            active, residual, direction, energy = active[going], residual[going], direction[going], energy[going]
        if not active.size:
            break
        image = apply(direction, active)
        step = (energy / np.einsum("rk,rk->r", direction, image))[:, None]
        x[active] += step * direction
        residual = residual - step * image
        towards = inverse[active] * residual
        before, energy = energy, np.einsum("rk,rk->r", residual, towards)
        direction = towards + (energy / before)[:, None] * direction
    settled = np.ones(len(right), dtype=bool)
    settled[active[energy > least[active]]] = False
    return x, settled


def conditional_mean(residuals: np.ndarray, observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """What the factors say of every gene, (n_rows, n_genes): for missing genes their conditional mean.

    Parameters as of `factors`.
    """
    return factors(residuals, observed, normal) @ normal.loadings.T


def conditional_variance(observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """Variance (n_rows, n_genes) of each gene were it missing, given the row's known genes `observed` (bool)."""
    L, k = normal.loadings, normal.n_factors
    masks = _rows_by_mask(observed)
    of_mask = observed[[rows[0] for rows in masks]]
    variance = np.empty(observed.shape, dtype=L.dtype)
    if k == 0:
        variance[:] = normal.noise
        return variance
    first, second = np.triu_indices(k)
    twice = np.where(first == second, 1, 2).astype(L.dtype)
    for part in _rows_of_systems(len(masks), normal):
        spread = np.linalg.inv(systems(of_mask[part], normal))[:, first, second] * twice
        values = np.tile(normal.noise, (len(spread), 1))
        for pairs, a, b in pairs_of_factors(k, len(L), L.itemsize):
            values += spread[:, pairs] @ (L[:, a] * L[:, b]).T
        for rows, value in zip(masks[part], values):
            variance[rows] = value
    return variance


def draw(
    residuals: np.ndarray, observed: np.ndarray, normal: LowRankNormal, generator: np.random.Generator
) -> np.ndarray:
    """Draws (n_rows, n_genes) of which the missing genes follow their joint conditional law.

    Parameters
    ----------
    residuals, observed, normal
        As in `factors`.
    generator : numpy Generator
    """
    # a draw of the whole row, corrected by what its known genes got wrong: E[r | r_O] + r* − E[r* | r*_O]
    kind = normal.loadings.dtype
    drawn = generator.standard_normal((len(residuals), normal.n_factors), dtype=kind) @ normal.loadings.T
    drawn += np.sqrt(normal.noise) * generator.standard_normal(residuals.shape, dtype=kind)
    return drawn + conditional_mean(np.where(observed, residuals - drawn, 0), observed, normal)


def log_likelihood(residuals: np.ndarray, observed: np.ndarray, normal: LowRankNormal) -> np.ndarray:
    """Log density (n_rows,) of each row's known genes; parameters as of `factors`."""
    weighted = residuals / normal.noise
    right = weighted @ normal.loadings
    value = observed @ np.log(2 * np.pi * normal.noise) + np.einsum("rp,rp->r", residuals, weighted)
    for rows in _rows_of_systems(len(residuals), normal):
        system = systems(observed[rows], normal)
        solved = np.linalg.solve(system, right[rows][:, :, None])[:, :, 0]
        value[rows] += np.linalg.slogdet(system)[1] - np.einsum("rk,rk->r", solved, right[rows])
    return -0.5 * value
