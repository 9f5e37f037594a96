"""Fits low-rank normals in passes over blocks of rows, so that memory does not grow with rows; never keeps a block.

A pass reads every block once and adds it to sums whose size depends on genes, factors and groups alone. Complete rows:
the range finder of `reproduce.imputers._low_rank_directions`, one pass an iteration. Rows with holes: rounds of
alternating least squares, one pass each. In a round the factors of a block's rows are regressed on their known genes,
then each gene on the factors of the rows that know it, with the factors' uncertainty in the sums: expectation
maximisation, in which that uncertainty is taken for diagonal beyond `EXACT_GENES` genes. There it is next to nothing:
thousands of known genes tell of a few factors, and with loadings rotated as in `LowRankNormal` the exact matrix is
nearly diagonal anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from reproduce.imputers._low_rank_directions import DIRECT_SIDE, POWER_ITERATIONS, SPARE_DIRECTIONS, top_of
from reproduce.imputers._low_rank_fit import LEAST_NOISE, PRIOR_SAMPLES, HolesFit, normals_of, start_of
from reproduce.imputers._low_rank_normal import LowRankNormal, iterate, multiplied, row_blocks, symmetric, systems

#: Most rounds, and the fall of the mean logarithm of a known entry's noise in a round below which they end: about a
#: thousandth of R².
MOST_ROUNDS, SETTLED = 6, 1e-3
#: Up to this many genes each row's system is inverted; beyond, conjugate gradients solve it to this relative residual.
EXACT_GENES, FACTORS_TOLERANCE = 2_000, 1e-3


@dataclass(frozen=True)
class Block:
    """Some rows.

    Attributes
    ----------
    residuals : ndarray (n_rows, n_genes)
        0 where missing. Is not changed.
    observed : ndarray of bool (n_rows, n_genes)
    groups : ndarray of int (n_rows,)
        Rows of one group share a mean; 0 … n_groups − 1.
    weights : ndarray (n_rows,)
        In the residuals' precision.
    """

    residuals: np.ndarray
    observed: np.ndarray
    groups: np.ndarray
    weights: np.ndarray


class RowBlocks(Protocol):
    """What can be read block by block, any number of times, always the same rows in the same order."""

    shape: tuple[int, int]
    kind: np.dtype

    def __iter__(self) -> Iterator[Block]: ...


@dataclass(frozen=True)
class ArrayBlocks:
    """Blocks of a matrix in memory, without a copy; attributes as of `Block`, for all rows, weights 1 if not given."""

    residuals: np.ndarray
    observed: np.ndarray
    groups: np.ndarray
    weights: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.residuals.shape

    @property
    def kind(self) -> np.dtype:
        return self.residuals.dtype

    def __iter__(self) -> Iterator[Block]:
        for rows in row_blocks(*self.shape, self.kind.itemsize):
            weights = np.ones(rows.stop - rows.start) if self.weights is None else self.weights[rows]
            yield Block(self.residuals[rows], self.observed[rows], self.groups[rows], weights.astype(self.kind))


# complete rows


class PassedDirections:
    """Leading eigenvectors of diag(1/metric) S diag(1/metric), S = residualsᵀ residuals / n, by passes over blocks.

    Up to `DIRECT_SIDE` genes S itself is summed, in one pass; beyond, every iteration of the range finder is a pass.
    Weights of rows do not count.
    """

    def __init__(self, blocks: RowBlocks, generator: np.random.Generator):
        self.blocks, self.generator = blocks, generator
        n, p = blocks.shape
        self.direct = p <= min(n, DIRECT_SIDE)
        self.covariance = self.found = None

    def leading(self, metric: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Values (rank,), descending, and orthonormal vectors (n_genes, rank)."""
        n, p = self.blocks.shape
        if rank == 0:
            return np.zeros(0), np.zeros((p, 0))
        if self.direct:
            if self.covariance is None:
                self.covariance = sum(block.residuals.T @ block.residuals for block in self.blocks) / n
            return top_of(self.covariance / np.outer(metric, metric), rank)
        iterations = 1
        if self.found is None:
            width = min(rank + SPARE_DIRECTIONS, n, p)
            self.found = self.generator.standard_normal((p, width), dtype=self.blocks.kind)
            iterations = POWER_ITERATIONS + 1
        vectors = self.found
        for _ in range(iterations):
            vectors, sizes, _ = np.linalg.svd(self._iterated(vectors, metric), full_matrices=False)
        self.found = vectors * metric[:, None]
        return sizes[:rank] ** 2 / n, vectors[:, :rank]

    def _iterated(self, directions: np.ndarray, metric: np.ndarray) -> np.ndarray:
        """Rᵀ Q / metric for an orthonormal basis Q of the columns of Y = R (directions / metric), which is not kept."""
        scaled = (directions / metric[:, None]).astype(self.blocks.kind)
        image = np.zeros(scaled.shape)
        product = np.zeros((scaled.shape[1], scaled.shape[1]))
        for block in self.blocks:
            part = block.residuals @ scaled
            image += block.residuals.T @ part
            product += part.T @ part
        # Q = Y V s^(-1/2), where V s Vᵀ = YᵀY; in units in which Y's columns have length 1, so that none is lost
        length = np.sqrt(np.maximum(np.diag(product), np.finfo(np.float64).tiny))
        squares, rotation = np.linalg.eigh(product / np.outer(length, length))
        kept = squares > np.finfo(self.blocks.kind).eps * squares[-1]
        inverse = np.where(kept, 1 / np.sqrt(np.where(kept, squares, 1)), 0)
        return image @ (rotation / length[:, None] * inverse) / metric[:, None]


def n_passes_of_directions(shape: tuple[int, int], *, of_two: bool = False) -> int:
    """Passes that `PassedDirections` takes for a matrix of this shape, in one metric or in two one after the other."""
    if shape[1] <= min(shape[0], DIRECT_SIDE):
        return 1
    return POWER_ITERATIONS + 1 + of_two


def fit_complete_by_passes(
    blocks: RowBlocks, ranks: list[int], *, generator: np.random.Generator
) -> dict[int, LowRankNormal]:
    """Normals of several ranks fitted to complete rows; as `reproduce.imputers._low_rank_fit.fit_low_rank`.

    Parameters
    ----------
    blocks : RowBlocks
        Mean 0 in each group.
    ranks : list of int
    generator : numpy Generator
        For the range finder.

    Returns
    -------
    dict of int to LowRankNormal
    """
    squares = sum(np.einsum("rp,rp->p", block.residuals, block.residuals) for block in blocks)
    variance = np.maximum(squares / blocks.shape[0], 1e-6)
    return normals_of(PassedDirections(blocks, generator), variance, ranks, min(blocks.shape), blocks.kind)


# rows with holes


def fit_holes_by_passes(
    blocks: RowBlocks,
    n_groups: int,
    rank: int,
    *,
    max_rounds: int = MOST_ROUNDS,
    least_fall: float = SETTLED,
    generator: np.random.Generator,
) -> HolesFit:
    """Normal fitted to rows with holes: a range finder on rows filled with zeros, then alternating least squares.

    Parameters
    ----------
    blocks : RowBlocks
    n_groups : int
    rank : int
    max_rounds : int
    least_fall : float
        Rounds end when the mean logarithm of a known entry's noise falls by less.
    generator : numpy Generator

    Returns
    -------
    HolesFit
        Without a trace: the likelihood is not computed.

    Notes
    -----
    Beside a few blocks of `BLOCK_BYTES` it holds n_genes × n_factors² / 2 sums twice, and n_groups × n_genes ×
    n_factors. Every round has expanded parameters (Liu, Rubin and Wu, Biometrika 1998).
    """
    known = _Known.of(blocks, n_groups)
    variance = np.maximum(known.squares / np.maximum(known.of_gene, 1e-9), 1e-6)
    coverage = np.maximum(known.of_gene, known.least) / known.total_weight
    normal = start_of(PassedDirections(blocks, generator), variance, coverage, rank, blocks.kind)
    shift = np.zeros(known.sums.shape)
    noise, n_rounds, ended = np.inf, 0, False
    while n_rounds < max_rounds and not ended:
        sums = _RoundSums.of(blocks, normal, shift)
        normal, shift = _maximised(sums, known, shift)
        before, noise = noise, float(known.of_gene @ np.log(normal.noise)) / known.of_gene.sum()
        n_rounds, ended = n_rounds + 1, before - noise < least_fall
    return HolesFit(normal, shift, None, ended, n_rounds)


@dataclass
class _Known:
    """Sums over known entries that rounds leave as they are: weights and residuals by group, squares (n_genes,)."""

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    total_weight: float = 0.0
    least: float = np.inf

    @classmethod
    def of(cls, blocks: RowBlocks, n_groups: int) -> _Known:
        p = blocks.shape[1]
        known = cls(np.zeros((n_groups, p)), np.zeros((n_groups, p)), np.zeros(p))
        for block in blocks:
            for group, rows in _members(block.groups):
                known.counts[group] += block.weights[rows] @ block.observed[rows]
                known.sums[group] += block.weights[rows] @ block.residuals[rows]
            known.squares += block.weights @ np.square(block.residuals)
            known.total_weight += float(block.weights.sum(dtype=np.float64))
            known.least = min(known.least, float(block.weights.min()))
        return known

    @property
    def of_gene(self) -> np.ndarray:
        return self.counts.sum(axis=0)


@dataclass
class _RoundSums:
    """Sums of one round, over rows i with factors f, known entries o and weights w.

    Attributes
    ----------
    moments : ndarray (n_genes, n_pairs)
        Σ w o E[f fᵀ], upper triangles.
    products : ndarray (n_genes, n_factors)
        Σ w r f.
    by_group : ndarray (n_groups, n_genes, n_factors)
        Σ w o f over the group's rows.
    moment : ndarray (n_pairs,)
        Σ w E[f fᵀ] over all rows.
    weight : float
    """

    moments: np.ndarray
    products: np.ndarray
    by_group: np.ndarray
    moment: np.ndarray
    weight: float = 0.0

    @classmethod
    def of(cls, blocks: RowBlocks, normal: LowRankNormal, shift: np.ndarray) -> _RoundSums:
        (n_groups, p), k, kind = shift.shape, normal.n_factors, blocks.kind
        n_pairs = k * (k + 1) // 2
        shift = shift.astype(kind)
        sums = cls(
            np.zeros((p, n_pairs), kind), np.zeros((p, k), kind), np.zeros((n_groups, p, k), kind), np.zeros(n_pairs)
        )
        for block in blocks:
            for rows in row_blocks(len(block.residuals), max(p, k * k), kind.itemsize):
                part = Block(block.residuals[rows], block.observed[rows], block.groups[rows], block.weights[rows])
                sums._add(part, normal, shift)
        return sums

    def _add(self, block: Block, normal: LowRankNormal, shift: np.ndarray) -> None:
        known = block.observed.astype(shift.dtype)
        centred = shift[block.groups]
        centred *= known
        np.subtract(block.residuals, centred, out=centred)
        f, second = _expected_factors(centred, block.observed, known, normal)
        second *= block.weights[:, None]
        weighted = block.weights[:, None] * f
        self.moments += known.T @ second
        self.products += block.residuals.T @ weighted
        self.moment += second.sum(axis=0, dtype=np.float64)
        self.weight += float(block.weights.sum(dtype=np.float64))
        for group, rows in _members(block.groups):
            self.by_group[group] += known[rows].T @ weighted[rows]


def _members(groups: np.ndarray) -> list[tuple[int, np.ndarray | slice]]:
    """Groups that occur, each with its rows."""
    codes = np.unique(groups)
    if len(codes) == 1:
        return [(int(codes[0]), slice(None))]
    return [(int(code), np.flatnonzero(groups == code)) for code in codes]


def _expected_factors(
    residuals: np.ndarray, observed: np.ndarray, known: np.ndarray, normal: LowRankNormal
) -> tuple[np.ndarray, np.ndarray]:
    """Means (n_rows, n_factors) and second moments (n_rows, n_pairs) of factors; `known` is `observed` as numbers."""
    weighted = normal.loadings / normal.noise[:, None]
    right = residuals @ weighted
    first, second = np.triu_indices(normal.n_factors)
    if len(weighted) <= EXACT_GENES:
        spread = np.linalg.inv(systems(observed, normal))
        f = np.einsum("rkl,rl->rk", spread, right)
        return f, spread[:, first, second] + f[:, first] * f[:, second]
    variance = 1 / (1 + known.mean(axis=1, keepdims=True) * normal.strength)
    f, found = iterate(right, variance, partial(multiplied, known, normal.loadings, weighted), FACTORS_TOLERANCE)
    for row in np.flatnonzero(~found):
        f[row] = np.linalg.solve(systems(observed[[row]], normal)[0], right[row])
    moments = f[:, first] * f[:, second]
    moments[:, first == second] += variance
    return f, moments


def _maximised(sums: _RoundSums, known: _Known, shift: np.ndarray) -> tuple[LowRankNormal, np.ndarray]:
    """Normal and groups' means (n_groups, n_genes) that the sums of a round lead to."""
    right = _less_means(sums, shift)
    loadings = _regressed(sums.moments, right)
    explained = np.einsum("pk,pk->p", loadings, right, dtype=np.float64)
    predicted = np.einsum("gpk,pk->gp", sums.by_group, loadings)
    shift = (known.sums - predicted) / np.maximum(known.counts, 1e-9)
    squares = known.squares + np.sum(shift * (shift * known.counts - 2 * known.sums), axis=0)
    # of the squared deviation the loadings' own normal equations leave this much, and the means have moved since
    left = squares - 2 * np.einsum("pk,pk->p", loadings, _less_means(sums, shift), dtype=np.float64) + explained
    noise = np.maximum(left, LEAST_NOISE * squares) / np.maximum(known.of_gene, 1e-9)
    kind = loadings.dtype
    moment = symmetric((sums.moment / sums.weight)[None], loadings.shape[1])[0]
    loadings = loadings @ np.linalg.cholesky(moment).astype(kind)
    return LowRankNormal.of(loadings, np.maximum(noise, 1e-6).astype(kind)), shift


def _less_means(sums: _RoundSums, shift: np.ndarray) -> np.ndarray:
    """Σ w (r − shift) f over known entries, (n_genes, n_factors)."""
    return sums.products - np.einsum("gp,gpk->pk", shift.astype(sums.by_group.dtype), sums.by_group)


def _regressed(moments: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Each gene's regression on the factors, with a prior: (n_genes, n_factors)."""
    k = right.shape[1]
    loadings = np.empty_like(right)
    for genes in row_blocks(len(right), k * k, right.itemsize):
        system = symmetric(moments[genes], k)
        np.einsum("pkk->pk", system)[...] += PRIOR_SAMPLES
        loadings[genes] = np.linalg.solve(system, right[genes, :, None])[:, :, 0]
    return loadings
