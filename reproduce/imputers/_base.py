"""The one contract of all imputers: checks, standardisation, covariates, what comes back; never an imputation rule.

A method subclasses `ExpressionImputer` and writes `_fit` and `_impute` in standardised space. Everything a user can get
wrong is caught here once, so that every method answers alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.imputers._covariates import CovariateEncoder, Covariates

#: Bound on temporary arrays in double precision, bytes; the matrix itself may be many times larger.
BLOCK_BYTES = 64 * 2**20


class ExpressionImputer(TransformerMixin, BaseEstimator):
    """Fills missing entries (NaN) of a matrix of expression in a log-like unit; base of all methods.

    The matrix has shape (n_samples, n_genes). Known entries come back bit for bit, in the dtype (float32 or float64)
    that came in. Genes are standardised inside, by mean and standard deviation of the fitted rows' known entries, so
    rescaling or shifting a gene rescales or shifts what is filled in and changes nothing else.

    Defined behaviour at the edges:

    * a gene without any known entry in `fit` is an error that names it;
    * a gene that is constant in the fitted rows is filled with that constant, and methods never see it: it can tell
      them nothing, and has no scale;
    * a sample without any known entry is filled with what the method knows without genes (its covariates, or the mean);
    * an infinite entry is an error that names sample and gene.

    Subclasses implement ``_check_parameters()``, ``_fit(Z, observed, covariates)`` and
    ``_impute(Z, observed, covariates) -> Z_hat``, where ``Z`` (n_samples, n_varying_genes) is float64, standardised and
    NaN where missing, ``observed`` its mask, and ``covariates`` a `Covariates` or None. Those that read
    covariates take the constructor's argument ``unknown_category`` ({"error", "pool"}).

    Attributes
    ----------
    n_features_in_ : int
        Number of genes.
    feature_names_in_ : ndarray of str (n_genes,)
        Only if `fit` was given a DataFrame.
    center_, scale_ : ndarray of float64 (n_genes,)
        Mean and standard deviation of the fitted rows' known entries; the scale of a constant gene is 1.
    varying_ : ndarray of bool (n_genes,)
        False for genes constant in the fitted rows.
    covariate_encoder_ : CovariateEncoder or None
    """

    def fit(self, X, y=None, *, covariates: pd.DataFrame | Sequence[str] | None = None):
        """Learn from rows with or without missing entries.

        Parameters
        ----------
        X : array-like, DataFrame or AnnData (n_samples, n_genes)
            Expression in a log-like unit, NaN where missing; an AnnData's `X`.
        y : None
            Ignored; there for scikit-learn's pipelines.
        covariates : DataFrame, or list of str with an AnnData, optional
            One row per sample, with the same index where X is a DataFrame. Text columns (tissue, sex) are categories,
            numbers (age) are standardised, `donor` says which rows belong to one person. NaN is allowed. A list names
            columns of the AnnData's `obs`.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            For a hyperparameter out of range.
        DataFormatError
            For infinite entries or a gene without any known entry.
        CovariateError
            For covariates that do not fit the matrix.
        """
        self._check_parameters()
        X, covariates = unpacked(X, covariates)
        X_checked, rows = self._checked(X, reset=True)
        self._check_rows(covariates, rows, len(X_checked))
        self.covariate_encoder_ = None
        if covariates is not None and self._reads_covariates():
            self.covariate_encoder_ = CovariateEncoder(self.unknown_category).fit(covariates)
        self._learn_scale(X_checked)
        if self.varying_.any():
            Z = self._standardised(X_checked)
            self._fit(Z, ~np.isnan(Z), self._encoded(covariates))
        return self

    def transform(self, X, *, covariates: pd.DataFrame | Sequence[str] | None = None):
        """Fill the missing entries; nothing is learnt from these rows.

        Parameters
        ----------
        X : array-like, DataFrame or AnnData (n_samples, n_genes)
            The fitted genes in the fitted order.
        covariates : DataFrame, or list of str with an AnnData, optional
            Columns as in `fit`; required exactly if `fit` had them.

        Returns
        -------
        ndarray or DataFrame (n_samples, n_genes)
            Without NaN; known entries unchanged.

        Raises
        ------
        DataFormatError
            For infinite entries.
        CovariateError
            For columns other than the fitted ones, or a category that `fit` did not see (see `unknown_category`).
        """
        check_is_fitted(self)
        X, covariates = unpacked(X, covariates)
        X_checked, rows = self._checked(X, reset=False)
        self._check_rows(covariates, rows, len(X_checked))
        encoded = self._encoded(covariates)
        filled = X_checked.copy()
        for part in _blocks(*filled.shape):
            block = filled[part]  # a view
            np.copyto(block, self.center_.astype(filled.dtype), where=np.isnan(block) & ~self.varying_)
        if self.varying_.any() and np.isnan(filled).any():
            Z_hat = self._imputed(self._standardised(X_checked), encoded)
            varying = np.flatnonzero(self.varying_)
            center, scale = self.center_[varying], self.scale_[varying]
            for part in _blocks(*filled.shape):
                known = filled[part][:, varying]
                values = (center + scale * Z_hat[part]).astype(filled.dtype)
                filled[part, varying] = np.where(np.isnan(known), values, known)
        return filled

    def fit_transform(self, X, y=None, *, covariates: pd.DataFrame | Sequence[str] | None = None):
        """Imputation in place: fit on these rows and fill them. Parameters as in `fit`, result as of `transform`."""
        return self.fit(X, y, covariates=covariates).transform(X, covariates=covariates)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the genes, which imputation leaves as they are.

        Parameters
        ----------
        input_features : sequence of str, optional
            Must equal the fitted names where there are any.

        Returns
        -------
        ndarray of object (n_genes,)
        """
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)

    # what a method implements

    def _check_parameters(self) -> None:
        """Raise ConfigError for hyperparameters out of range."""
        raise NotImplementedError

    def _reads_covariates(self) -> bool:
        """Whether covariates matter at all; where they do not, their content is not looked at."""
        return True

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        """Learn from standardised rows (n_samples, n_varying_genes), NaN where missing."""
        raise NotImplementedError

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        """Return values (n_samples, n_varying_genes), standardised; only those of missing entries are used."""
        raise NotImplementedError

    # what the base does for it

    def _checked(self, X, *, reset: bool) -> tuple[np.ndarray, pd.Index | None]:
        """Array of float32 or float64 without infinities, and the row labels if X has any."""
        rows = X.index if isinstance(X, pd.DataFrame) else None
        if rows is not None:
            _refuse_bad_columns(X)
        X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
        infinite = np.isinf(X)
        if infinite.any():
            row, gene = np.argwhere(infinite)[0]
            sample = f"row {row}" if rows is None else f"sample {rows[row]!r}"
            raise DataFormatError(
                f"X is infinite (inf) at {sample}, gene {self._gene(gene)!r}, and in {infinite.sum()} place(s) in all; "
                "missing entries are NaN, all others finite."
            )
        return X, rows

    def _gene(self, column: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return f"x{column}" if names is None else str(names[column])

    @staticmethod
    def _check_rows(covariates: pd.DataFrame | None, rows: pd.Index | None, n_samples: int) -> None:
        if covariates is None:
            return
        if not isinstance(covariates, pd.DataFrame):
            raise CovariateError(
                f"covariates is a {type(covariates).__name__}; give a pandas DataFrame with one row per sample and "
                "columns such as tissue, sex, age, donor."
            )
        if len(covariates) != n_samples:
            raise CovariateError(
                f"X has {n_samples} row(s) and covariates {len(covariates)}; give one row of covariates per sample."
            )
        if rows is not None and not rows.equals(covariates.index):
            first = next(i for i in range(n_samples) if rows[i] != covariates.index[i])
            raise CovariateError(
                f"X and covariates differ in their index, first at row {first}: {rows[first]!r} and "
                f"{covariates.index[first]!r}; align them, for example by covariates.loc[X.index]."
            )

    def _encoded(self, covariates: pd.DataFrame | None) -> Covariates | None:
        if not self._reads_covariates() or (self.covariate_encoder_ is None and covariates is None):
            return None
        if self.covariate_encoder_ is None:
            raise CovariateError("The imputer was fitted without covariates; fit it with them or leave them out here.")
        if covariates is None:
            columns = ", ".join(self.covariate_encoder_.columns_)
            raise CovariateError(f"The imputer was fitted with covariates; give columns {columns} here as well.")
        return self.covariate_encoder_.transform(covariates)

    def _learn_scale(self, X: np.ndarray) -> None:
        unknown = np.isnan(X).all(axis=0)
        if unknown.any():
            first = np.flatnonzero(unknown)[0]
            raise DataFormatError(
                f"{unknown.sum()} gene(s) have no known entry in the rows to fit, such as {self._gene(first)!r}; "
                "leave them out or fit on rows that have them."
            )
        self.varying_ = np.zeros(X.shape[1], dtype=bool)
        self.center_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        for genes in _blocks(*X.shape[::-1]):
            part = X[:, genes].astype(np.float64)
            low, high = np.nanmin(part, axis=0), np.nanmax(part, axis=0)
            # differences of a few units in the last place are rounding of one constant, not variation
            varying = high - low > 8 * np.finfo(np.float64).eps * np.maximum(np.abs(low), np.abs(high))
            self.varying_[genes] = varying
            self.center_[genes] = np.where(varying, np.nanmean(part, axis=0), low)
            self.scale_[genes] = np.where(varying, np.nanstd(part, axis=0), 1.0)

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        """Float64 (n_samples, n_varying_genes), a new array."""
        Z = X[:, self.varying_] - self.center_[self.varying_]
        Z /= self.scale_[self.varying_]
        return Z

    def _imputed(self, Z: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        observed, shape = ~np.isnan(Z), Z.shape
        Z_hat = np.asarray(self._impute(Z, observed.copy(), covariates), dtype=np.float64)
        if Z_hat.shape != shape or not all(
            np.isfinite(Z_hat[rows]).all(where=~observed[rows]) for rows in _blocks(*shape)
        ):
            raise RuntimeError(
                f"{type(self).__name__} returned shape {Z_hat.shape} for {shape}, or values that are not finite: "
                "a defect of the method."
            )
        return Z_hat

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def unpacked(X, covariates):
    """Matrix and covariates as data frames in place of an AnnData and names of its `obs`; anything else as it is.

    Raises
    ------
    CovariateError
        For a name that `obs` does not have, or names without an AnnData.
    """
    named = isinstance(covariates, (str, list, tuple))
    if not (hasattr(X, "obs_names") and hasattr(X, "to_df")):
        if named:
            raise CovariateError("covariates gives names of columns, which only an AnnData has; give a DataFrame.")
        return X, covariates
    if named:
        names = [covariates] if isinstance(covariates, str) else list(covariates)
        absent = [name for name in names if name not in X.obs]
        if absent:
            raise CovariateError(
                f"obs has no column {absent[0]!r}; its columns are: {', '.join(map(str, X.obs.columns)) or 'none'}."
            )
        covariates = X.obs[names]
    return X.to_df(), covariates


def _blocks(length: int, width: int) -> Iterator[slice]:
    """Consecutive parts of an axis, about equally long, of at most about `BLOCK_BYTES` in double precision each."""
    # never a narrow one: a sum over the other axis then adds in the same order whatever the parts
    n_parts = -(-length // max(64, BLOCK_BYTES // (8 * max(width, 1))))
    bounds = np.linspace(0, length, n_parts + 1, dtype=int)
    return (slice(start, stop) for start, stop in pairwise(bounds))


def _refuse_bad_columns(X: pd.DataFrame) -> None:
    """Raise DataFormatError for a gene that is there twice, and for text among the values, by gene and sample."""
    twice = X.columns[X.columns.duplicated()]
    if len(twice):
        raise DataFormatError(f"Gene {twice[0]!r} occurs more than once in X; keep the column that is meant.")
    for gene, column in X.items():
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
            if bad.any():
                raise DataFormatError(
                    f"X holds {column[bad].iloc[0]!r} at sample {bad.idxmax()!r}, gene {gene!r}; expression must be "
                    "numbers, with NaN where missing (are there columns that are no genes, such as a tissue?)."
                )


def check_choice(name: str, value: object, known: Sequence[object]) -> None:
    """Raise ConfigError unless `value` is one of `known`."""
    # by type as well, since True == 1
    if not any(type(value) is type(choice) and value == choice for choice in known):
        raise ConfigError(f"{name} is {value!r}; known values are {', '.join(map(repr, known))}.")


def check_integer(name: str, value: object, *, least: int) -> None:
    """Raise ConfigError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError(f"{name} is {value!r}; give an integer of at least {least}.")


def check_number(
    name: str, value: object, *, low: float, high: float = np.inf, open_low: bool = False, open_high: bool = False
) -> None:
    """Raise ConfigError unless `value` is a finite number from `low` to `high` (exclusive where `open_*`)."""
    good = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(value) and low <= value <= high
    if not good or (open_low and value == low) or (open_high and value == high):
        left, right = "(" if open_low else "[", ")" if open_high or np.isinf(high) else "]"
        raise ConfigError(f"{name} is {value!r}; give a number in {left}{low:g}, {high:g}{right}.")


def check_random_state_value(value: object) -> None:
    """Raise ConfigError unless `value` is None, a non-negative integer or a numpy RandomState."""
    if value is None or isinstance(value, np.random.RandomState):
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ConfigError(f"random_state is {value!r}; give None, a non-negative integer or a RandomState.")
