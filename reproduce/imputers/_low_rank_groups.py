"""Means, scales and low-rank normals of groups of rows (tissues), and what they say of missing entries; never chooses.

A row z of group g is mean_g + sd_g ∘ r, with r of a `LowRankNormal` that all groups share or of the group's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reproduce.imputers._low_rank_fit import HolesFit, fit_low_rank, fit_low_rank_with_holes, shrunk
from reproduce.imputers._low_rank_normal import LowRankNormal, conditional_mean, row_blocks
from reproduce.imputers._low_rank_passes import MOST_ROUNDS, ArrayBlocks, fit_holes_by_passes

#: Least variance of a gene within a group, in units of its variance over all fitted rows.
LEAST_VARIANCE = 1e-6
#: Matrices with holes and more entries than this are fitted by passes over blocks of rows: a few rounds of alternating
#: least squares in place of expectation maximisation to its end.
PASSES_ENTRIES = 50_000_000
#: Most factors of all groups together where they share a normal, beside the directions in which their means differ.
MOST_FACTORS_TOGETHER = 256


@dataclass(frozen=True)
class GroupNormal:
    """Normal of one group's rows: mean + sd ∘ r, in standardised units.

    Attributes
    ----------
    mean, sd : ndarray (n_genes,)
    normal : LowRankNormal
        Of r.
    n_rows : int
        Fitted rows of the group.
    """

    mean: np.ndarray
    sd: np.ndarray
    normal: LowRankNormal
    n_rows: int

    def residuals(self, Z: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Rows (n_rows, n_genes) in the units and precision of the normal, 0 where missing."""
        kind = self.normal.loadings.dtype
        return np.where(observed, (Z - self.mean.astype(kind)) / self.sd.astype(kind), 0).astype(kind, copy=False)

    def restore(self, residuals: np.ndarray) -> np.ndarray:
        """Back in standardised units."""
        return self.mean.astype(residuals.dtype) + self.sd.astype(residuals.dtype) * residuals


@dataclass(frozen=True)
class GroupScales:
    """Mean and standard deviation (n_groups, n_genes) of each group's known entries, and the groups' codes."""

    means: np.ndarray
    sds: np.ndarray
    codes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, Z: np.ndarray, observed: np.ndarray, groups: np.ndarray, pooling: float) -> GroupScales:
        """Learn from rows; a group's variance borrows `pooling` samples from that within all groups."""
        codes, counts = np.unique(groups, return_counts=True)
        means = np.zeros((len(codes), Z.shape[1]))
        squares, known = np.zeros_like(means), np.zeros_like(means)
        for g, code in enumerate(codes):
            rows = np.flatnonzero(groups == code)
            values, seen = np.where(observed[rows], Z[rows], 0), observed[rows]
            known[g] = seen.sum(axis=0)
            means[g] = values.sum(axis=0, dtype=np.float64) / np.maximum(known[g], 1)
            squares[g] = np.sum((values - means[g]) ** 2, axis=0, where=seen)
        return cls.of_sums(means, squares, known, codes, counts, pooling)

    @classmethod
    def of_sums(
        cls,
        means: np.ndarray,
        squares: np.ndarray,
        known: np.ndarray,
        codes: np.ndarray,
        counts: np.ndarray,
        pooling: float,
        least_variance: float | np.ndarray = LEAST_VARIANCE,
    ) -> GroupScales:
        """Scales from means, sums of squared deviations and numbers of known entries, each (n_groups, n_genes)."""
        free = np.maximum(known - 1, 0)
        within = np.maximum(squares.sum(axis=0) / np.maximum(free.sum(axis=0), 1), least_variance)
        weight = np.maximum(free + pooling, 1e-9)
        variances = (squares + pooling * within) / weight
        return cls(means, np.sqrt(np.maximum(variances, least_variance)), codes, counts)

    def residuals(self, Z: np.ndarray, observed: np.ndarray, groups: np.ndarray, kind: np.dtype) -> np.ndarray:
        """Rows less their group's mean over its sd, 0 where missing, a new array of the given precision."""
        R = np.zeros(Z.shape, dtype=kind)
        position = np.searchsorted(self.codes, groups)
        for rows in row_blocks(len(Z), Z.shape[1], 8):
            own = position[rows]
            np.subtract(Z[rows], self.means[own], out=R[rows], where=observed[rows], casting="same_kind")
            R[rows] /= self.sds[own]
        return R


@dataclass(frozen=True)
class FitOptions:
    """How groups are fitted; see the parameters of `LowRankGaussianImputer`."""

    shared: bool
    pooling: float
    max_iter: int
    tol: float
    kind: type


@dataclass(frozen=True)
class Fitted:
    """Normals by group code (0 stands for all groups together), and how the rounds for rows with holes went."""

    groups: dict[int, GroupNormal]
    traces: list[np.ndarray]
    settled: bool
    n_rounds: int = 1

    def shrunk(self, weight: float) -> Fitted:
        """The same with all correlations reduced by 1 − weight."""
        unique = {id(group.normal): shrunk(group.normal, weight) for group in self.groups.values()}
        groups = {code: replace(group, normal=unique[id(group.normal)]) for code, group in self.groups.items()}
        return replace(self, groups=groups)

    def with_all_together(self) -> Fitted:
        """With code 0: mean and covariance of the mixture of all groups, itself low-rank plus diagonal."""
        own = list(self.groups.values())
        if len(own) == 1:
            return replace(self, groups={**self.groups, 0: own[0]})
        share = np.array([group.n_rows for group in own]) / sum(group.n_rows for group in own)
        mean = sum(w * group.mean for w, group in zip(share, own))
        between = np.stack([np.sqrt(w) * (group.mean - mean) for w, group in zip(share, own)], axis=1)
        if len({id(group.normal) for group in own}) == 1:
            loadings, noise = _mixture_of_scales(np.stack([group.sd for group in own]), share, own[0].normal)
        else:
            loadings = [np.sqrt(w) * group.sd[:, None] * group.normal.loadings for w, group in zip(share, own)]
            noise = sum(w * group.sd**2 * group.normal.noise for w, group in zip(share, own))
        kind = own[0].normal.loadings.dtype
        normal = LowRankNormal.of(np.hstack([*loadings, between]).astype(kind), noise.astype(kind))
        together = GroupNormal(mean, np.ones_like(mean), normal, sum(group.n_rows for group in own))
        return replace(self, groups={**self.groups, 0: together})

    def filled(self, Z: np.ndarray, observed: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """What the factors say of every entry, in standardised units and the normals' precision."""
        Z_hat = np.empty(Z.shape, dtype=next(iter(self.groups.values())).normal.loadings.dtype)
        for rows, parts in self._blocks_of_a_normal(groups, Z.shape[1]):
            residuals = np.empty((len(rows), Z.shape[1]), dtype=Z_hat.dtype)
            for part, group in parts:
                residuals[part] = group.residuals(Z[rows[part]], observed[rows[part]])
            said = conditional_mean(residuals, observed[rows], parts[0][1].normal)
            for part, group in parts:
                Z_hat[rows[part]] = group.restore(said[part])
        return Z_hat

    def _blocks_of_a_normal(self, groups: np.ndarray, n_genes: int):
        """Positions of rows whose groups share a normal, in blocks, and within each the slices of one group."""
        codes = np.unique(groups)
        of_code = {int(code): self._group(code) for code in codes}
        for normal in {id(group.normal) for group in of_code.values()}:
            own = [code for code, group in of_code.items() if id(group.normal) == normal]
            rows = np.flatnonzero(np.isin(groups, own))
            rows = rows[np.argsort(groups[rows], kind="stable")]
            for block in row_blocks(len(rows), n_genes, 4):
                inside, start = np.unique(groups[rows[block]], return_index=True)
                ends = [*start[1:], len(rows[block])]
                yield rows[block], [(slice(i, j), of_code[int(code)]) for code, i, j in zip(inside, start, ends)]

    def _group(self, code: int) -> GroupNormal:
        """A group by its code; one that was not fitted is taken for all together."""
        return self.groups.get(int(code), self.groups.get(0))

    def rows_of(self, groups: np.ndarray, Z: np.ndarray):
        """Positions of rows, in blocks of one group each, and the group's normal."""
        for code in np.unique(groups):
            members = np.flatnonzero(groups == code)
            for part in row_blocks(len(members), Z.shape[1], 2):
                yield members[part], self._group(code)


def _mixture_of_scales(
    sds: np.ndarray, share: np.ndarray, normal: LowRankNormal
) -> tuple[list[np.ndarray], np.ndarray]:
    """Loadings and noise of the mixture of groups of one normal, with scales and shares of their own.

    Its covariance Σ_g share_g D_g (L Lᵀ + diag(ψ)) D_g takes factors for each group. The leading directions u of the
    groups' √share · sd do with fewer, Σ_u diag(u) L Lᵀ diag(u); of what is beyond them, genes keep the variance.

    Parameters
    ----------
    sds : ndarray (n_groups, n_genes)
    share : ndarray (n_groups,)
    normal : LowRankNormal

    Returns
    -------
    loadings : list of ndarray (n_genes, n_factors)
    noise : ndarray (n_genes,)
    """
    of_genes, sizes, _ = np.linalg.svd((np.sqrt(share)[:, None] * sds).T, full_matrices=False)
    n_directions = min(np.count_nonzero(sizes > 1e-3 * sizes[0]), MOST_FACTORS_TOGETHER // max(normal.n_factors, 1))
    directions = (of_genes * sizes)[:, : max(n_directions, 1)]
    squares = share @ sds**2
    beyond = np.maximum(squares - np.einsum("pu,pu->p", directions, directions), 0.0)
    noise = squares * normal.noise + beyond * np.einsum("pk,pk->p", normal.loadings, normal.loadings)
    return [direction[:, None] * normal.loadings for direction in directions.T], noise


def fit_groups(
    Z: np.ndarray,
    observed: np.ndarray,
    groups: np.ndarray,
    ranks: list[int],
    options: FitOptions,
    generator: np.random.Generator,
) -> dict[int, Fitted]:
    """Fit normals of several ranks.

    Parameters
    ----------
    Z : ndarray (n_rows, n_genes)
        Standardised; entries where `observed` is False do not count.
    observed : ndarray of bool (n_rows, n_genes)
    groups : ndarray of int (n_rows,)
        Code of each row's group.
    ranks : list of int
    options : FitOptions
    generator : numpy Generator

    Returns
    -------
    dict of int to Fitted
        By rank; without code 0.
    """
    scales = GroupScales.of(Z, observed, groups, options.pooling)
    R = scales.residuals(Z, observed, groups, options.kind)
    complete = bool(observed.all())
    weights = [None] if options.shared else [_weights(groups, code, options.pooling) for code in scales.codes]
    fits = {rank: [] for rank in ranks}
    for weight in weights:
        if complete:
            for rank, normal in fit_low_rank(R, ranks, weights=weight, generator=generator).items():
                fits[rank].append(HolesFit(normal, 0.0, None, True, 1))
            continue
        position = np.searchsorted(scales.codes, groups)
        for rank in ranks:
            if R.size > PASSES_ENTRIES:
                blocks = ArrayBlocks(R, observed, position, weight)
                rounds = min(options.max_iter, MOST_ROUNDS)
                fit = fit_holes_by_passes(blocks, len(scales.codes), rank, max_rounds=rounds, generator=generator)
                fits[rank].append(fit)
                continue
            last = rank is ranks[-1] and weight is weights[-1]
            fit = fit_low_rank_with_holes(
                R if last else R.copy(), observed, position, rank, weights=weight,
                max_iter=options.max_iter, tol=options.tol, generator=generator,
            )  # fmt: skip
            fits[rank].append(fit)
    return {rank: assembled(scales, of_rank) for rank, of_rank in fits.items()}


def _weights(groups: np.ndarray, code: int, pooling: float) -> np.ndarray:
    """Weights (n_rows,) of rows for one group's covariance: its own count 1 each, all others `pooling` together."""
    own = groups == code
    others = np.count_nonzero(~own)
    return np.where(own, 1.0, min(1.0, pooling / max(others, 1)))


def assembled(scales: GroupScales, fits: list[HolesFit]) -> Fitted:
    """Groups with their scales and their fits, or the one fit that they share."""
    groups = {}
    for g, code in enumerate(scales.codes):
        fit = fits[g if len(fits) > 1 else 0]
        moved = fit.shift if np.isscalar(fit.shift) else fit.shift[g]
        mean = scales.means[g] + scales.sds[g] * moved
        groups[int(code)] = GroupNormal(mean, scales.sds[g], fit.normal, int(scales.counts[g]))
    traces = [fit.trace for fit in fits if fit.trace is not None]
    return Fitted(groups, traces, all(fit.settled for fit in fits), max(fit.n_rounds for fit in fits))
