"""Fits normals with low-rank plus diagonal covariance to residuals, complete or with holes; never sees a covariate.

Complete rows: the fixed point of maximum likelihood factor analysis (Jöreskog 1967) from the leading directions that
`reproduce.imputers._low_rank_directions` finds. Rows with holes: expectation maximisation with alternating batches of
small systems, one a row, one a gene; large matrices with holes go to `reproduce.imputers._low_rank_passes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reproduce.imputers._low_rank_directions import Directions
from reproduce.imputers._low_rank_normal import LowRankNormal, row_blocks, symmetric, systems

#: Least noise of a gene, as a share of its variance: a gene that factors explain wholly would outweigh all others.
LEAST_NOISE = 0.01
#: Rank at which the noise is estimated that directions are then weighted by, where ranks are nested.
PILOT_RANK = 40
#: Side of the moment matrix up to which the fixed point is iterated for each rank; beyond, ranks are nested.
ITERATED_SIDE, FIXED_POINT_ROUNDS = 300, 30
#: Samples that the prior of a gene's loadings (mean 0) is worth when fitted to rows with holes.
PRIOR_SAMPLES = 1.0
#: Rounds of expectation maximisation with expanded parameters, which bring a start from filled rows near its end.
EXPANDED_ROUNDS = 2


def fit_low_rank(
    residuals: np.ndarray,
    ranks: list[int],
    *,
    weights: np.ndarray | None = None,
    generator: np.random.Generator,
) -> dict[int, LowRankNormal]:
    """Normals of several ranks fitted to complete rows.

    Parameters
    ----------
    residuals : ndarray of float32 or float64 (n_rows, n_genes)
        Mean 0 in each group.
    ranks : list of int
        A rank of min(n_rows, n_genes) or more stands for the sample covariance as it is (to be shrunk).
    weights : ndarray (n_rows,), optional
        Of rows; 1 each if not given.
    generator : numpy Generator
        For the range finder.

    Returns
    -------
    dict of int to LowRankNormal
        In the residuals' precision.
    """
    if weights is not None:
        residuals = residuals * np.sqrt(weights / weights.mean())[:, None].astype(residuals.dtype)
    variance = np.maximum(np.einsum("rp,rp->p", residuals, residuals) / len(residuals), 1e-6)
    return normals_of(Directions(residuals, generator), variance, ranks, min(residuals.shape), residuals.dtype)


def normals_of(
    directions: Directions, variance: np.ndarray, ranks: list[int], side: int, kind: np.dtype
) -> dict[int, LowRankNormal]:
    """Normals of several ranks from what finds leading directions of complete rows.

    Parameters
    ----------
    directions : Directions
        Or what answers ``leading(metric, rank)`` and ``direct`` like it.
    variance : ndarray (n_genes,)
    ranks : list of int
    side : int
        The smaller of n_rows and n_genes.
    kind : dtype
        Of the normals.
    """
    most = min(max(ranks), side)
    pilot = min(PILOT_RANK, most)
    values, vectors = directions.leading(np.sqrt(variance), pilot if directions.direct else most)
    noise = _noise(
        variance, _loadings(np.sqrt(variance), values[:pilot], vectors[:, :pilot], tail_of(values, variance))
    )
    metric = np.sqrt(noise)
    values, vectors = directions.leading(metric, most)
    normals = {}
    for rank in ranks:
        if rank >= side:
            loadings = metric[:, None] * vectors * np.sqrt(np.maximum(values, 0))
        else:
            loadings = _loadings(metric, values[:rank], vectors[:, :rank], 1.0)
            if side <= ITERATED_SIDE:
                loadings = _fixed_point(directions, variance, loadings, rank)
        normals[rank] = LowRankNormal.of(loadings.astype(kind), _noise(variance, loadings).astype(kind))
    return normals


def shrunk(normal: LowRankNormal, weight: float) -> LowRankNormal:
    """The normal with its correlations reduced by the factor 1 − weight; its variances stay as they are."""
    if weight == 0:
        return normal
    noise = normal.noise + weight * np.einsum("pk,pk->p", normal.loadings, normal.loadings)
    return LowRankNormal.of(normal.loadings * np.sqrt(1 - weight).astype(normal.loadings.dtype), noise)


def _loadings(metric: np.ndarray, values: np.ndarray, vectors: np.ndarray, noise: float) -> np.ndarray:
    return metric[:, None] * vectors * np.sqrt(np.maximum(values - noise, 0))


def _noise(variance: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    return np.maximum(variance - np.einsum("pk,pk->p", loadings, loadings), LEAST_NOISE * variance)


def tail_of(values: np.ndarray, variance: np.ndarray) -> float:
    """Mean of the eigenvalues of a correlation matrix that are not among `values`."""
    n_genes = len(variance)
    return float(max(n_genes - values.sum(), 0.0) / max(n_genes - len(values), 1))


def _fixed_point(directions: Directions, variance: np.ndarray, loadings: np.ndarray, rank: int) -> np.ndarray:
    for _ in range(FIXED_POINT_ROUNDS):
        metric = np.sqrt(_noise(variance, loadings))
        values, vectors = directions.leading(metric, rank)
        loadings = _loadings(metric, values, vectors, 1.0)
    return loadings


# rows with holes


@dataclass
class HolesFit:
    """What was learnt from rows with holes.

    Attributes
    ----------
    normal : LowRankNormal
    shift : ndarray (n_groups, n_genes)
        To be added to the groups' means.
    trace : ndarray (n_rounds,) or None
        Log likelihood of the known entries less the penalty of the loadings, at the start of each round that follows
        the expanded ones; never falls (up to rounding). None where it is not computed.
    settled : bool
    n_rounds : int
    """

    normal: LowRankNormal
    shift: np.ndarray
    trace: np.ndarray | None
    settled: bool
    n_rounds: int


def fit_low_rank_with_holes(
    residuals: np.ndarray,
    observed: np.ndarray,
    groups: np.ndarray,
    rank: int,
    *,
    weights: np.ndarray | None = None,
    max_iter: int = 100,
    tol: float = 1e-5,
    expanded_rounds: int = EXPANDED_ROUNDS,
    generator: np.random.Generator,
) -> HolesFit:
    """Normal fitted to rows with holes by expectation maximisation (EM).

    Parameters
    ----------
    residuals : ndarray of float32 or float64 (n_rows, n_genes)
        0 where missing. Is changed: the groups' means are refined and taken off.
    observed : ndarray of bool (n_rows, n_genes)
    groups : ndarray of int (n_rows,)
        Rows of one group share a mean; 0 … n_groups − 1.
    rank : int
    weights : ndarray (n_rows,), optional
        Of rows in the likelihood; 1 each if not given.
    max_iter : int
        Most rounds after the expanded ones.
    tol : float
        EM stops when the log likelihood of a known entry rises by less in a round.
    expanded_rounds : int
        Of EM with expanded parameters (Liu, Rubin and Wu 1998) at the start.
    generator : numpy Generator

    Returns
    -------
    HolesFit
    """
    em = _ExpectationMaximisation(residuals, observed, groups, weights)
    normal = _start(residuals, observed, rank, generator)
    for _ in range(expanded_rounds):
        normal, _ = em.round(normal, expanded=True)
    trace, settled = [], False
    for _ in range(max_iter):
        normal, objective = em.round(normal)
        trace.append(objective)
        if len(trace) > 1 and trace[-1] - trace[-2] < tol * em.n_known:
            settled = True
            break
    return HolesFit(normal, em.shift, np.array(trace), settled, len(trace))


def _start(residuals: np.ndarray, observed: np.ndarray, rank: int, generator: np.random.Generator) -> LowRankNormal:
    """Principal components of rows filled with zeros, corrected for what the zeros take from covariances."""
    coverage = np.maximum(observed.mean(axis=0), 1 / len(observed))
    variance = np.maximum(np.einsum("rp,rp->p", residuals, residuals) / len(residuals) / coverage, 1e-6)
    return start_of(Directions(residuals, generator), variance, coverage, rank, residuals.dtype)


def start_of(
    directions: Directions, variance: np.ndarray, coverage: np.ndarray, rank: int, kind: np.dtype
) -> LowRankNormal:
    """A normal to start from, of what finds leading directions of rows filled with zeros.

    Parameters
    ----------
    directions : Directions
        Or what answers ``leading(metric, rank)`` like it.
    variance, coverage : ndarray (n_genes,)
        Of a gene's known entries; the share of them.
    rank : int
    kind : dtype
        Of the normal.
    """
    sd = np.sqrt(variance)
    # zeros leave the share `coverage` of a variance and its square of a covariance
    values, vectors = directions.leading(sd * coverage, rank)
    tail = max((np.sum(1 / coverage) - values.sum()) / max(len(sd) - rank, 1), 0.0)
    loadings = _loadings(sd, values, vectors, tail)
    # no more than a gene's own variance, and never nothing: EM cannot leave zero
    share = np.einsum("pk,pk->p", loadings, loadings) / variance
    loadings *= np.sqrt(np.minimum(1.0, 0.9 / np.maximum(share, 1e-12)))[:, None]
    loadings += 1e-3 * sd[:, None] * vectors
    return LowRankNormal.of(loadings.astype(kind), _noise(variance, loadings).astype(kind))


class _ExpectationMaximisation:
    """Rounds of EM on one set of rows; beside them it holds pairs of factors for each row and each gene."""

    def __init__(self, residuals: np.ndarray, observed: np.ndarray, groups: np.ndarray, weights: np.ndarray | None):
        self.residuals, self.observed = residuals, observed
        kind = residuals.dtype
        self.weights = np.ones(len(residuals), kind) if weights is None else weights.astype(kind)
        self.blocks = list(row_blocks(*residuals.shape, kind.itemsize))
        self.known_of_gene = np.zeros(residuals.shape[1], kind)
        for rows in self.blocks:
            self.known_of_gene += self.weights[rows] @ observed[rows]
        self.n_known = float(self.known_of_gene.sum())
        self.members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
        self.shift = np.zeros((len(self.members), residuals.shape[1]))

    def round(self, normal: LowRankNormal, *, expanded: bool = False) -> tuple[LowRankNormal, float]:
        """One round: the new normal, and the objective of the one given."""
        f, moments, likelihood = self._expectation(normal)
        penalty = 0.5 * PRIOR_SAMPLES * float(np.sum(normal.loadings**2 / normal.noise[:, None]))
        right = self.residuals.T @ (self.weights[:, None] * f)
        loadings = self._loadings(moments, right)
        explained = np.einsum("pk,pk->p", loadings, right)
        self._refine_means(f, loadings)
        right = self.residuals.T @ (self.weights[:, None] * f)
        squares = sum(self.weights[rows] @ np.square(self.residuals[rows]) for rows in self.blocks)
        # of the squared deviation L's own normal equations leave this much; the means may have moved since
        left = squares - 2 * np.einsum("pk,pk->p", loadings, right) + explained
        noise = np.maximum(left, LEAST_NOISE * squares) / np.maximum(self.known_of_gene, 1e-9)
        if expanded:
            moment = symmetric((self.weights @ moments / self.weights.sum())[None], normal.n_factors)[0]
            loadings = loadings @ np.linalg.cholesky(moment)
        return LowRankNormal.of(loadings, np.maximum(noise, 1e-6)), likelihood - penalty

    def _expectation(self, normal: LowRankNormal) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean (n_rows, n_factors) and second moments (n_rows, n_pairs) of the factors, and the log likelihood."""
        L, k = normal.loadings, normal.n_factors
        n, upper = len(self.residuals), np.triu_indices(k)
        f, moments, twice = np.empty((n, k), L.dtype), np.empty((n, len(upper[0])), L.dtype), 0.0
        weighted, log_noise = L / normal.noise[:, None], np.log(2 * np.pi * normal.noise)
        for rows in self.blocks:
            residuals, observed = self.residuals[rows], self.observed[rows]
            right = residuals @ weighted
            system = systems(observed, normal)
            spread = np.linalg.inv(system)
            f[rows] = np.einsum("rkl,rl->rk", spread, right)
            spread += f[rows, :, None] * f[rows, None, :]
            moments[rows] = spread[:, *upper]
            of_row = observed @ log_noise + np.square(residuals) @ (1 / normal.noise)
            of_row += np.linalg.slogdet(system)[1] - np.einsum("rk,rk->r", f[rows], right)
            twice += float(self.weights[rows].astype(np.float64) @ of_row)
        return f, moments, -0.5 * twice

    def _loadings(self, moments: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Each gene's regression on the factors, with a prior: (n_genes, n_factors)."""
        total = np.zeros((right.shape[0], moments.shape[1]), right.dtype)
        for rows in self.blocks:
            total += self.observed[rows].T.astype(right.dtype) @ (self.weights[rows, None] * moments[rows])
        loadings = np.empty_like(right)
        for genes in row_blocks(len(right), right.shape[1] ** 2, right.itemsize):
            system = symmetric(total[genes], right.shape[1])
            np.einsum("pkk->pk", system)[...] += PRIOR_SAMPLES
            loadings[genes] = np.linalg.solve(system, right[genes, :, None])[:, :, 0]
        return loadings

    def _refine_means(self, f: np.ndarray, loadings: np.ndarray) -> None:
        """Move each group's mean to what the factors leave of its known entries."""
        for group, members in enumerate(self.members):
            total, count = np.zeros(len(loadings)), np.zeros(len(loadings))
            parts = [members[part] for part in row_blocks(len(members), len(loadings), loadings.itemsize)]
            for rows in parts:
                left = self.residuals[rows] - self.observed[rows] * (f[rows] @ loadings.T)
                total += self.weights[rows] @ left
                count += self.weights[rows] @ self.observed[rows]
            moved = (total / np.maximum(count, 1e-9)).astype(loadings.dtype)
            self.shift[group] += moved
            for rows in parts:
                self.residuals[rows] -= self.observed[rows] * moved
