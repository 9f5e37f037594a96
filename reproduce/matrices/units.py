"""Moves a person's matrix to the logarithmic scale in which methods work, and filled entries back; never fills.

Units and what is done with them, x being a value and z what the methods see:

==========  =========================================================================================================
``log``     z = x: already on a logarithmic (or standardised) scale
``cpm``     z = log2(1 + x)
``tpm``     z = log2(1 + x)
``counts``  z = log2(1 + x / s), with s the sample's size factor
==========  =========================================================================================================

The size factor cannot be the sample's total: with missing entries the total is known only in part, and which part
depends on the sample, so two samples of the same depth would get different factors. It is the median over the sample's
*known* genes of the ratio to the gene's median in the fitted samples (`reproduce.preprocessing.ExpressionTransform`,
"log1p_depth"), which stays the same, but for noise, whichever genes are known. s = 1 is a typical depth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.preprocessing import ExpressionTransform

__all__ = ["UNITS", "UnitScale", "detect_units"]

UNITS = ("log", "counts", "cpm", "tpm")

#: No gene is expressed 2^30 times as much as the pseudo-count; anything larger is no logarithm.
_LARGEST_LOG = 30.0
_MILLION = 1e6
_CLOSE = 0.01  # relative, for the totals of samples without holes
_LARGEST_EXPONENT = 1000.0  # 2 to this power is still a number


def detect_units(values: pd.DataFrame) -> tuple[str, str]:
    """The units that values seem to be in, and why.

    Parameters
    ----------
    values : DataFrame (n_samples, n_genes)
        NaN where missing.

    Returns
    -------
    str
        One of `UNITS`.
    str
        A sentence for the user; it says so where the values leave a doubt.

    Raises
    ------
    DataFormatError
        If no value is known.
    """
    X = values.to_numpy(dtype=np.float64)
    known = ~np.isnan(X)
    if not known.any():
        raise DataFormatError("no entry has a value; units cannot be told")
    least, largest = np.nanmin(X), np.nanmax(X)
    if least < 0:
        return "log", f"the values go below zero (to {least:.4g}), which only logarithms or standardised values do"
    whole = bool((np.where(known, X, 0) % 1 == 0).all())
    if whole and largest >= _LARGEST_LOG:
        return "counts", f"all values are whole numbers, up to {largest:,.0f}"
    totals = X[known.all(axis=1)].sum(axis=1)
    if len(totals) and abs(np.median(totals) / _MILLION - 1) < _CLOSE:
        return "tpm", "the samples' values sum to a million (TPM and CPM are treated alike)"
    if whole:
        return (
            "counts",
            f"all values are whole numbers, if small (up to {largest:,.0f}); say log if they are rounded logarithms",
        )
    if largest < _LARGEST_LOG:
        return (
            "log",
            f"all values are below {_LARGEST_LOG:.0f} (up to {largest:.4g}); say tpm if they are on a linear scale",
        )
    return "tpm", (
        f"the values are too large for logarithms (up to {largest:,.4g}) and not whole numbers: a linear scale "
        "such as TPM, CPM, FPKM or RSEM, which are treated alike"
    )


@dataclass(frozen=True)
class UnitScale:
    """The way from a matrix' units to the logarithmic scale and back, learnt from what a method is fitted to.

    Attributes
    ----------
    units : str
        One of `UNITS`.
    genes : tuple of str, (n_genes,)
    reference : ndarray (n_genes,) or None
        For counts: each gene's median in the fitted samples; NaN for a gene without any value.
    """

    units: str
    genes: tuple[str, ...] = field(repr=False)
    reference: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        _check_units(self.units)
        if (self.units == "counts") != (self.reference is not None):
            raise ConfigError("a reference belongs to counts, and to nothing else")
        if self.reference is not None and len(self.reference) != len(self.genes):
            raise ConfigError(f"the reference has {len(self.reference)} values for {len(self.genes)} genes")

    @classmethod
    def fit(cls, values: pd.DataFrame, units: str) -> UnitScale:
        """Learn the scale.

        Parameters
        ----------
        values : DataFrame (n_samples, n_genes)
            In `units`, NaN where missing.
        units : {"log", "counts", "cpm", "tpm"}

        Raises
        ------
        ConfigError
            For unknown units.
        DataFormatError
            For negative values in units that have none; names the first one.
        """
        _check_units(units)
        genes = tuple(map(str, values.columns))
        if units != "counts":
            _refuse_negative(values, units)
            return cls(units, genes)
        _refuse_negative(values, units)
        transform = ExpressionTransform("log1p_depth").fit(values.to_numpy(dtype=np.float64))
        return cls(units, genes, transform.reference_)

    def to_log(self, values: pd.DataFrame) -> pd.DataFrame:
        """Values on the scale in which methods work.

        Parameters
        ----------
        values : DataFrame (n_samples, n_genes)
            In the scale's units, with its genes in its order; NaN stays NaN.

        Returns
        -------
        DataFrame (n_samples, n_genes)
            float32 if `values` is, else float64.
        """
        self._check_genes(values)
        if self.units == "log":
            return values
        _refuse_negative(values, self.units)
        X = values.to_numpy(dtype=np.float64)
        return _like(np.log2(1 + X / self.size_factors(values)[:, None]), values)

    def from_log(self, filled: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
        """Filled entries in the units of the matrix; known entries as they were, to the bit.

        Parameters
        ----------
        filled : DataFrame (n_samples, n_genes)
            On the logarithmic scale.
        values : DataFrame (n_samples, n_genes)
            The matrix in its units with NaN in its holes; it also says the samples' size factors.

        Returns
        -------
        DataFrame (n_samples, n_genes)
            Of the type of `values`. Counts, CPM and TPM are not below zero; counts are not rounded, being expectations.
        """
        self._check_genes(values)
        self._check_genes(filled)
        if not filled.index.equals(values.index):
            raise ConfigError(
                "the filled matrix and the matrix with holes must have the same samples in the same order"
            )
        Z = filled.to_numpy(dtype=np.float64)
        known = values.notna().to_numpy()
        if self.units != "log":
            linear = np.exp2(np.minimum(Z, _LARGEST_EXPONENT)) - 1
            Z = np.maximum(linear, 0) * self.size_factors(values)[:, None]
        X = values.to_numpy()
        largest = np.finfo(X.dtype).max
        return pd.DataFrame(
            np.where(known, X, np.clip(Z, -largest, largest).astype(X.dtype)),
            index=values.index,
            columns=values.columns,
        )

    def size_factors(self, values: pd.DataFrame) -> np.ndarray:
        """Depth of each sample (n_samples,) relative to the fitted ones, from its known entries; 1 but for counts."""
        if self.reference is None:
            return np.ones(len(values))
        transform = ExpressionTransform("log1p_depth")
        transform.reference_ = self.reference
        return transform.size_factors(values.to_numpy(dtype=np.float64))

    def _check_genes(self, values: pd.DataFrame) -> None:
        if tuple(map(str, values.columns)) != self.genes:
            raise ConfigError(f"the matrix must have the {len(self.genes):,} genes of the scale, in their order; "
                              "match them by name first")  # fmt: skip


def _check_units(units: str) -> None:
    if units not in UNITS:
        raise ConfigError(f"unknown units {units!r}: choose one of {', '.join(UNITS)}")


def _refuse_negative(values: pd.DataFrame, units: str) -> None:
    if units == "log":
        return
    X = values.to_numpy()
    negative = X < 0
    if negative.any():
        row, column = np.argwhere(negative)[0]
        raise DataFormatError(
            f"sample {values.index[row]}, gene {values.columns[column]}: {X[row, column]:.6g} is negative "
            f"({negative.sum():,} such values), which {units} cannot be; say units log if the values are logarithms"
        )


def _like(X: np.ndarray, values: pd.DataFrame) -> pd.DataFrame:
    single = values.dtypes.eq(np.float32).all()
    return pd.DataFrame(
        X.astype(np.float32 if single else np.float64, copy=False), index=values.index, columns=values.columns
    )
