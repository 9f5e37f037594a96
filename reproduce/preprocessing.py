"""Moves expression between measured units and the scale on which methods work; never learns from a hidden entry.

Two tools. `ExpressionTransform` changes the unit (counts, log counts, log counts with sequencing depth removed).
`match_cohort` moves another cohort onto the training cohort's scale and back. Neither standardises genes within a
cohort: imputers do that themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reproduce.errors import ConfigError

TRANSFORMS = ("raw", "log1p", "log1p_depth")
#: Added to counts before the logarithm of a ratio, so that zeros have one.
PSEUDO_COUNT = 0.5


def _matrix(X, name: str) -> np.ndarray:
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2:
        raise ConfigError(f"{name} has {X.ndim} dimension(s); give a matrix (n_samples, n_genes).")
    if np.isinf(X).any():
        row, gene = np.argwhere(np.isinf(X))[0]
        raise ConfigError(f"{name} is infinite at row {row}, gene {gene}; missing entries are NaN, others finite.")
    return X


def _column_stat(function, X: np.ndarray, fallback: float) -> np.ndarray:
    """Apply a NaN-aware column statistic; columns without any value get `fallback`."""
    known = ~np.isnan(X).all(axis=0)
    out = np.full(X.shape[1], fallback)
    if known.any():
        out[known] = function(X[:, known], axis=0)
    return out


class ExpressionTransform:
    """Unit change that is learnt from training rows and applied to any rows.

    Parameters
    ----------
    kind : {"raw", "log1p", "log1p_depth"}
        "raw" leaves the unit; "log1p" is log(1 + x); "log1p_depth" is log(1 + x / s) with s the sample's size factor,
        the exponential of the median over the sample's *visible* genes of log((x + ½) / (reference + ½)), the
        reference being the gene's median in the training rows (the median-of-ratios idea of Anders and Huber 2010,
        made safe for zeros). A sample without a visible entry has s = 1.

    Attributes
    ----------
    reference_ : ndarray (n_genes,)
        Median of each gene over the training rows' known entries; NaN for a gene without any.
    """

    def __init__(self, kind: str = "log1p"):
        if kind not in TRANSFORMS:
            raise ConfigError(f"Unknown transform {kind!r}; known are {', '.join(TRANSFORMS)}.")
        self.kind = kind

    def fit(self, X) -> ExpressionTransform:
        """Learn the depth reference from training rows.

        Parameters
        ----------
        X : array-like (n_samples, n_genes)
            Expression in the cohort's unit, NaN where missing or hidden.

        Returns
        -------
        ExpressionTransform
            Itself.

        Raises
        ------
        ConfigError
            For infinite values, or values below zero where a logarithm is asked for.
        """
        X = self._checked(X, "X")
        self.reference_ = _column_stat(np.nanmedian, X, np.nan)
        return self

    def size_factors(self, visible) -> np.ndarray:
        """Sequencing depth of each sample relative to the training reference, from visible entries alone.

        Parameters
        ----------
        visible : array-like (n_samples, n_genes)
            NaN wherever the entry is missing *or hidden*.

        Returns
        -------
        ndarray (n_samples,)
            Positive; 1 for the reference depth. All ones unless the kind is "log1p_depth".
        """
        visible = self._checked(visible, "visible")
        self._check_fitted(visible)
        factors = np.ones(len(visible))
        if self.kind == "log1p_depth":
            ratios = np.log(visible + PSEUDO_COUNT) - np.log(self.reference_ + PSEUDO_COUNT)
            some = ~np.isnan(ratios).all(axis=1)
            factors[some] = np.exp(np.nanmedian(ratios[some], axis=1))
        return factors

    def transform(self, X, visible=None) -> np.ndarray:
        """Change unit.

        Parameters
        ----------
        X : array-like (n_samples, n_genes)
            May hold the truth of hidden entries.
        visible : array-like (n_samples, n_genes), optional
            The same rows with hidden entries set to NaN; size factors are computed from it. X itself if not given.

        Returns
        -------
        ndarray of float64 (n_samples, n_genes)
        """
        X = self._checked(X, "X")
        factors = self.size_factors(X if visible is None else visible)
        self._check_rows(X, factors)
        return X if self.kind == "raw" else np.log1p(X / factors[:, None])

    def inverse_transform(self, Z, visible=None) -> np.ndarray:
        """Return to the cohort's unit.

        Parameters
        ----------
        Z : array-like (n_samples, n_genes)
            On the transformed scale.
        visible : array-like (n_samples, n_genes), optional
            The visible entries in the cohort's unit; required by "log1p_depth", whose size factors come from it.

        Returns
        -------
        ndarray of float64 (n_samples, n_genes)

        Raises
        ------
        ConfigError
            If the kind needs `visible` and it is not given.
        """
        Z = _matrix(Z, "Z")
        if self.kind == "raw":
            return Z
        if self.kind == "log1p":
            return np.expm1(Z)
        if visible is None:
            raise ConfigError(
                "inverse_transform of 'log1p_depth' needs `visible`, the entries that set the size factors."
            )
        factors = self.size_factors(visible)
        self._check_rows(Z, factors)
        return np.expm1(Z) * factors[:, None]

    def _checked(self, X, name: str) -> np.ndarray:
        X = _matrix(X, name)
        if self.kind != "raw" and (X < 0).any():
            row, gene = np.argwhere(X < 0)[0]
            raise ConfigError(
                f"{name} is negative at row {row}, gene {gene}; {self.kind!r} takes counts. "
                "Use transform='raw' for values that are already on a logarithmic scale."
            )
        return X

    def _check_fitted(self, X: np.ndarray) -> None:
        if not hasattr(self, "reference_"):
            raise ConfigError("This ExpressionTransform has not been fitted; call fit with the training rows first.")
        if X.shape[1] != len(self.reference_):
            raise ConfigError(f"{X.shape[1]} genes given, {len(self.reference_)} were fitted.")

    @staticmethod
    def _check_rows(X: np.ndarray, factors: np.ndarray) -> None:
        if len(X) != len(factors):
            raise ConfigError(f"visible has {len(factors)} rows and the matrix {len(X)}; they must be the same rows.")


@dataclass(frozen=True)
class CohortMatch:
    """Gene-wise affine map between another cohort's scale and the training cohort's; see `match_cohort`.

    Attributes
    ----------
    train_mean, train_scale, other_mean, other_scale : ndarray (n_genes,)
    """

    train_mean: np.ndarray
    train_scale: np.ndarray
    other_mean: np.ndarray
    other_scale: np.ndarray

    def to_train(self, X) -> np.ndarray:
        """Bring rows of the other cohort (n_samples, n_genes) onto the training scale; NaN stays NaN."""
        return (
            np.asarray(X, dtype=np.float64) - self.other_mean
        ) / self.other_scale * self.train_scale + self.train_mean

    def to_other(self, X) -> np.ndarray:
        """Bring rows on the training scale (n_samples, n_genes) back onto the other cohort's."""
        return (
            np.asarray(X, dtype=np.float64) - self.train_mean
        ) / self.train_scale * self.other_scale + self.other_mean


def match_cohort(X_train, X_other_visible) -> CohortMatch:
    """Match another cohort's gene means and standard deviations to the training cohort's.

    Counts of different pipelines are on different scales, so a cohort is standardised by its own visible entries
    before a model fitted elsewhere is applied to it. This uses statistics of the cohort that is being filled (never
    of a hidden entry) and is said aloud wherever the result is shown.

    Parameters
    ----------
    X_train : array-like (n_train, n_genes)
        Training rows of the same tissue, transformed; NaN where missing.
    X_other_visible : array-like (n_other, n_genes)
        Rows of the other cohort, transformed; NaN where missing or hidden.

    Returns
    -------
    CohortMatch
        A gene constant in a cohort has scale 1 there. A gene without a visible value in the other cohort takes the
        training cohort's mean and scale: nothing is known of its own.

    Raises
    ------
    ConfigError
        If the gene counts differ, or a gene has no value in the training rows.
    """
    X_train, X_other = _matrix(X_train, "X_train"), _matrix(X_other_visible, "X_other_visible")
    if X_train.shape[1] != X_other.shape[1]:
        raise ConfigError(
            f"{X_train.shape[1]} and {X_other.shape[1]} genes cannot be matched; align the cohorts by name first."
        )
    empty = np.flatnonzero(np.isnan(X_train).all(axis=0))
    if len(empty):
        raise ConfigError(
            f"Gene at column {empty[0]} has no value in the training rows; drop it before matching cohorts."
        )

    def mean_and_scale(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, scale = _column_stat(np.nanmean, X, np.nan), _column_stat(np.nanstd, X, np.nan)
        return mean, np.where(scale > 1e-12, scale, 1.0)

    train_mean, train_scale = mean_and_scale(X_train)
    other_mean, other_scale = mean_and_scale(X_other)
    unseen = np.isnan(other_mean)
    return CohortMatch(
        train_mean=train_mean,
        train_scale=train_scale,
        other_mean=np.where(unseen, train_mean, other_mean),
        other_scale=np.where(unseen, train_scale, other_scale),
    )
