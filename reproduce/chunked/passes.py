"""Passes over the rows of a matrix on disk, and what one pass tells of its genes; never fits a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from reproduce.errors import DataFormatError
from reproduce.imputers._base import check_integer
from reproduce.loaders.row_files import RowSource


def check_block_rows(block_rows: int | None) -> None:
    """Raise ConfigError unless it is a number of rows, or None."""
    if block_rows is not None:
        check_integer("block_rows", block_rows, least=1)


class Passes:
    """Passes over the rows, shown as one bar with the time that is left.

    Parameters
    ----------
    rows : RowSource
    block_rows : int or None
        Rows read at a time; about 64 MB if None.
    n_passes : int
        Of which there will be at most so many.
    shown : bool
        Whether to show the bar, on standard error.
    """

    def __init__(self, rows: RowSource, block_rows: int | None, n_passes: int, shown: bool):
        self.rows, self.slices = rows, rows.slices(block_rows)
        self.n_passes, self.begun = n_passes, 0
        self.bar = tqdm(total=n_passes * rows.shape[0], unit=" rows", disable=not shown)

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def expect(self, n_passes: int) -> None:
        """Say how many passes there will be in all, at most."""
        self.n_passes, self.bar.total = n_passes, n_passes * self.rows.shape[0]

    def blocks(self, doing: str) -> Iterator[tuple[slice, np.ndarray]]:
        """One pass: slices of rows, and the rows."""
        self.begun += 1
        self.bar.set_description(f"{doing}, pass {self.begun} of at most {self.n_passes}")
        for part in self.slices:
            yield part, self.rows.read(part)
            self.bar.update(part.stop - part.start)


class Moments:
    """Numbers, means and sums of squared deviations of the known entries, of each gene in each group, block by block.

    Parameters
    ----------
    n_groups, n_genes : int

    Attributes
    ----------
    known, means, squares : ndarray of float64 (n_groups, n_genes)
        Means are 0 where no entry is known.
    """

    def __init__(self, n_groups: int, n_genes: int):
        self.known, self.means, self.squares = (np.zeros((n_groups, n_genes)) for _ in range(3))

    def add(self, group: int, X: np.ndarray) -> None:
        """Take in further rows (n_rows, n_genes) of a group, NaN where missing."""
        observed = ~np.isnan(X)
        count = observed.sum(axis=0)
        mean = np.where(observed, X, 0).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        deviation = np.where(observed, X - mean.astype(X.dtype), 0)
        square = np.einsum("rp,rp->p", deviation, deviation, dtype=np.float64)
        # two sets of numbers have the deviations of each and of their means from one another (Chan et al. 1979)
        before = self.known[group]
        both = np.maximum(before + count, 1)
        moved = mean - self.means[group]
        self.squares[group] += square + np.square(moved) * before * count / both
        self.means[group] += moved * count / both
        self.known[group] += count

    def check(self, rows: RowSource) -> None:
        """Raise DataFormatError for a gene without any known entry, named."""
        unknown = np.flatnonzero(self.known.sum(axis=0) == 0)
        if unknown.size:
            raise DataFormatError(
                f"{unknown.size} gene(s) of {rows.name} have no known entry, such as {rows.gene(int(unknown[0]))}; "
                "leave them out."
            )
