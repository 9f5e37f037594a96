"""Fits a low-rank normal to a matrix larger than memory and fills its holes; never holds more than blocks of rows.

    fitted = fit_low_rank_in_chunks("cohort.h5ad", groups="tissue", rank=50)
    impute_in_chunks("cohort.h5ad", "filled.h5ad", fitted)

Memory depends on genes, factors and groups, not on rows. Every step is a pass over the rows: means and variances, the
range finder (Gram matrix for few genes), rounds of alternating least squares where there are holes, and filling. The
model is that of `reproduce.imputers.low_rank`, with a rank that is given; values are in a log-like unit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.chunked.passes import Moments, Passes, check_block_rows
from reproduce.errors import CovariateError, DataFormatError
from reproduce.imputers._base import check_choice, check_integer, check_number
from reproduce.imputers._covariates import UNKNOWN_CATEGORY
from reproduce.imputers._low_rank_fit import HolesFit
from reproduce.imputers._low_rank_groups import LEAST_VARIANCE, Fitted, GroupScales, assembled
from reproduce.imputers._low_rank_passes import (
    MOST_ROUNDS,
    Block,
    fit_complete_by_passes,
    fit_holes_by_passes,
    n_passes_of_directions,
)
from reproduce.loaders.row_files import RowSource, open_rows, refuse_target, write_rows

__all__ = ["ChunkedFit", "fit_low_rank_in_chunks", "impute_in_chunks"]


@dataclass(frozen=True)
class ChunkedFit:
    """A low-rank normal of each group, in the units of the matrix it was fitted to.

    Attributes
    ----------
    fitted : Fitted
        By code: 0 stands for all groups together, 1 … for `group_names`.
    n_genes : int
    genes : tuple of str or None
        Their names, where the matrix had any.
    group_names : tuple of str
        Sorted; empty if rows were fitted as one group.
    rank, n_rounds : int
        Factors; rounds of alternating least squares, 1 for complete rows.
    settled : bool
    """

    fitted: Fitted
    n_genes: int
    genes: tuple[str, ...] | None
    group_names: tuple[str, ...]
    rank: int
    n_rounds: int
    settled: bool

    def filled(self, X: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Rows (n_rows, n_genes) in float32 with NaN filled by the conditional mean; `codes` of groups (n_rows,)."""
        observed = ~np.isnan(X)
        if observed.all():
            return X
        return np.where(observed, X, self.fitted.filled(X, observed, codes))


def fit_low_rank_in_chunks(
    source: object,
    *,
    groups: str | Sequence[str] | None = None,
    rank: int = 50,
    shrinkage: float = 0.0,
    pooling: float = 20.0,
    max_rounds: int = MOST_ROUNDS,
    random_state: int = 0,
    block_rows: int | None = None,
    progress: bool = False,
) -> ChunkedFit:
    """Fit the low-rank normal, with one correlation for all groups, in passes over blocks of rows.

    Parameters
    ----------
    source : path, AnnData, or object with ``shape`` and slices of rows
        See `reproduce.loaders.row_files`. Expression in a log-like unit, NaN where missing.
    groups : str or sequence of str (n_samples,), optional
        Labels of groups with means and scales of their own, such as tissues; a name: that column of ``obs``. One group
        if not given.
    rank : int, default 50
        Number of factors; at most the smaller side of the matrix, and less than the genes where there are holes.
    shrinkage : float in [0, 1), default 0
        Weight by which correlations are reduced.
    pooling : float, default 20
        Samples that all groups together are worth in a group's scales.
    max_rounds : int, default 6
        Most rounds of alternating least squares, where there are holes; each is a pass.
    random_state : int, default 0
        Of the range finder.
    block_rows : int, optional
        Rows read at a time; about 64 MB if not given. Changes the result by rounding only.
    progress : bool, default False
        Show passes, rows and the time that is left.

    Returns
    -------
    ChunkedFit

    Raises
    ------
    ConfigError
        For a parameter out of range.
    CovariateError
        For labels that are missing or do not fit the rows.
    DataFormatError
        For infinite entries, or a gene without any known one, named.
    """
    check_integer("rank", rank, least=1)
    check_number("shrinkage", shrinkage, low=0, high=1, open_high=True)
    check_number("pooling", pooling, low=0)
    check_integer("max_rounds", max_rounds, least=1)
    check_integer("random_state", random_state, least=0)
    check_block_rows(block_rows)
    rows = open_rows(source)
    names, positions = _fitted_groups(rows, groups)
    most_passes = 2 + n_passes_of_directions(rows.shape) + max_rounds
    with Passes(rows, block_rows, most_passes, progress) as passes:
        scales, complete = _scales(passes, positions, max(1, len(names)), pooling)
        if complete:
            passes.expect(2 + n_passes_of_directions(rows.shape, of_two=True))
        blocks = _StandardisedBlocks(passes, positions, scales)
        rank = min(rank, rows.shape[0], rows.shape[1] - (0 if complete else 1))
        generator = np.random.default_rng([random_state, 6])
        if complete:
            normal = fit_complete_by_passes(blocks, [rank], generator=generator)[rank]
            fit = HolesFit(normal, 0.0, None, True, 1)
        else:
            fit = fit_holes_by_passes(blocks, len(scales.codes), rank, max_rounds=max_rounds, generator=generator)
    fitted = assembled(scales, [fit]).shrunk(shrinkage).with_all_together()
    return ChunkedFit(fitted, rows.shape[1], rows.genes, names, rank, fit.n_rounds, fit.settled)


def impute_in_chunks(
    source: object,
    target: str | os.PathLike[str],
    fit: ChunkedFit,
    *,
    groups: str | Sequence[str] | None = None,
    unknown_category: str = "error",
    block_rows: int | None = None,
    progress: bool = False,
) -> Path:
    """Fill the missing entries of a matrix, a block of rows in and out; known entries come back as float32.

    Parameters
    ----------
    source
        As in `fit_low_rank_in_chunks`: the same matrix (in place) or other rows of the same genes (inductive).
    target : path
        Ends in .h5ad or .zarr and does not exist yet. It appears when all rows are written: a run that is interrupted
        leaves nothing under this name. An AnnData's ``obs`` and ``var`` are written with it, other parts (layers, obsm,
        uns) are not.
    fit : ChunkedFit
    groups
        As in `fit_low_rank_in_chunks`; required exactly if the fit had them.
    unknown_category : {"error", "pool"}, default "error"
        A group that was not fitted is an error, or gets the normal of all groups together. A missing label always does.
    block_rows, progress
        As in `fit_low_rank_in_chunks`.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    ConfigError
        For a target that exists or has another ending.
    CovariateError
        For labels that do not fit the rows, or a group that was not fitted.
    DataFormatError
        For infinite entries, or genes other than the fitted ones.
    """
    check_choice("unknown_category", unknown_category, UNKNOWN_CATEGORY)
    check_block_rows(block_rows)
    refuse_target(target)
    rows = open_rows(source)
    _check_genes(rows, fit)
    codes = _known_groups(rows, groups, fit, unknown_category)
    with Passes(rows, block_rows, 1, progress) as passes, write_rows(target, rows) as write:
        for part, X in passes.blocks("filling"):
            write(part, fit.filled(X, codes[part]))
    return Path(target)


# groups and genes


def _labels(rows: RowSource, groups: str | Sequence[str]) -> pd.Series:
    if isinstance(groups, str):
        groups = rows.obs_columns([groups])[groups].to_numpy()
    labels = pd.Series(np.asarray(groups, dtype=object))
    if len(labels) != rows.shape[0]:
        raise CovariateError(f"groups has {len(labels)} label(s) for {rows.shape[0]} rows; give one a row.")
    return labels.where(labels.isna(), labels.astype(str))


def _fitted_groups(rows: RowSource, groups: str | Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of groups, sorted, and each row's position among them."""
    if groups is None:
        return (), np.zeros(rows.shape[0], dtype=np.int64)
    labels = _labels(rows, groups)
    if labels.isna().any():
        first = int(np.flatnonzero(labels.isna())[0])
        raise CovariateError(f"{rows.sample(first)} of {rows.name} has no group; give it one or leave the row out.")
    names, positions = np.unique(labels.to_numpy(dtype=str), return_inverse=True)
    return tuple(map(str, names)), positions


def _known_groups(
    rows: RowSource, groups: str | Sequence[str] | None, fit: ChunkedFit, unknown_category: str
) -> np.ndarray:
    """Code (n_rows,) of each row's group."""
    if (groups is None) != (not fit.group_names):
        raise CovariateError(
            "The normal was fitted without groups; leave them out here." if groups is not None
            else f"The normal was fitted with groups ({', '.join(fit.group_names[:5])} …); give them here as well."
        )  # fmt: skip
    if groups is None:
        return np.ones(rows.shape[0], dtype=np.int64)
    labels = _labels(rows, groups)
    codes = labels.map({name: code for code, name in enumerate(fit.group_names, start=1)})
    unseen = sorted(set(labels[codes.isna()].dropna()))
    if unseen and unknown_category == "error":
        raise CovariateError(
            f"groups has {len(unseen)} label(s) that were not fitted: {', '.join(map(repr, unseen[:5]))}. Fit on rows "
            "that have them, or set unknown_category='pool'."
        )
    return codes.fillna(0).to_numpy(dtype=np.int64)


def _check_genes(rows: RowSource, fit: ChunkedFit) -> None:
    if rows.shape[1] != fit.n_genes:
        raise DataFormatError(f"{rows.name} has {rows.shape[1]} genes, the fit {fit.n_genes}; give the same genes.")
    if rows.genes is not None and fit.genes is not None and rows.genes != fit.genes:
        first = next(i for i, (mine, theirs) in enumerate(zip(rows.genes, fit.genes)) if mine != theirs)
        raise DataFormatError(
            f"{rows.name} has gene {rows.genes[first]!r} where the fit has {fit.genes[first]!r}; give the fitted genes "
            "in their order."
        )


# standardisation


def _scales(passes: Passes, positions: np.ndarray, n_groups: int, pooling: float) -> tuple[GroupScales, bool]:
    """Means and scales of groups, in the matrix's units, and whether no entry is missing: one pass."""
    n, p = passes.rows.shape
    moments = Moments(n_groups, p)
    for part, X in passes.blocks("means and variances"):
        for group in np.unique(positions[part]):
            moments.add(group, X[positions[part] == group])
    moments.check(passes.rows)
    known, squares = moments.known, moments.squares
    means = _with_all(moments.means, known)
    everything = known.sum(axis=0)
    center = np.sum(known * means, axis=0) / everything
    variance = np.sum(squares + known * np.square(means - center), axis=0) / everything
    variance = np.where(variance > 1e-12 * np.square(center), variance, 1.0)  # constant genes have no scale
    counts = np.bincount(positions, minlength=n_groups)
    codes = np.arange(1, n_groups + 1)
    scales = GroupScales.of_sums(means, squares, known, codes, counts, pooling, LEAST_VARIANCE * variance)
    return scales, bool(everything.sum() == n * p)


def _with_all(means: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Means in which a gene that a group never knew has the mean of all groups."""
    overall = np.sum(known * means, axis=0) / known.sum(axis=0)
    return np.where(known > 0, means, overall)


class _StandardisedBlocks:
    """Blocks of residuals for `reproduce.imputers._low_rank_passes`, made anew in every pass."""

    kind = np.dtype(np.float32)

    def __init__(self, passes: Passes, positions: np.ndarray, scales: GroupScales):
        self.passes, self.positions = passes, positions
        self.means, self.sds = scales.means.astype(self.kind), scales.sds.astype(self.kind)

    @property
    def shape(self) -> tuple[int, int]:
        return self.passes.rows.shape

    def __iter__(self) -> Iterator[Block]:
        for part, X in self.passes.blocks("fitting"):
            own = self.positions[part]
            observed = ~np.isnan(X)
            residuals = X - self.means[own]
            residuals /= self.sds[own]
            residuals[~observed] = 0
            yield Block(residuals, observed, own, np.ones(len(X), self.kind))
