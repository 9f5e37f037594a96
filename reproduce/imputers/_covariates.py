"""Turns sample covariates into integer codes and standardised numbers; never looks at expression.

Shared by everything that uses covariates: networks embed the codes, the closed-form methods group rows by them, chained
equations take them as one-hot predictors. The column `donor` identifies a person; it groups rows and is never encoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, CovariateError

DONOR = "donor"
UNKNOWN_CATEGORY = ("error", "pool")


@dataclass(frozen=True)
class Covariates:
    """Encoded covariates of some samples.

    Attributes
    ----------
    codes : ndarray of int64 (n_samples, n_categorical)
        0 = unknown, 1 … v = the categories in sorted order.
    numeric : ndarray of float64 (n_samples, n_numeric)
        Standardised by the fitted rows' mean and standard deviation; 0 (the mean) where missing.
    donor : ndarray of object (n_samples,) or None
        Text that identifies the person, None for an unknown one; None altogether without such a column.
    categorical_names, numeric_names : tuple of str
        Columns of `codes` and `numeric`.
    categories : tuple of tuple of str
        Names behind the codes: code c of column j is ``categories[j][c - 1]``.
    """

    codes: np.ndarray
    numeric: np.ndarray
    donor: np.ndarray | None
    categorical_names: tuple[str, ...]
    numeric_names: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def n_categories(self) -> tuple[int, ...]:
        """Number of known categories of each categorical column; codes run from 0 to this number inclusive."""
        return tuple(len(names) for names in self.categories)

    def group_codes(self, name: str) -> np.ndarray:
        """Codes of one categorical column.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray of int64 (n_samples,)

        Raises
        ------
        CovariateError
            If there is no such categorical column.
        """
        if name not in self.categorical_names:
            known = ", ".join(self.categorical_names) or "none"
            raise CovariateError(
                f"The covariates have no categorical column {name!r} (they have: {known}); "
                "add it, name another column, or set group=None."
            )
        return self.codes[:, self.categorical_names.index(name)]

    def group_names(self, name: str) -> tuple[str, ...]:
        """Categories of one categorical column, in the order of their codes from 1 on."""
        self.group_codes(name)
        return self.categories[self.categorical_names.index(name)]

    def one_hot(self) -> np.ndarray:
        """Predictors for regressions: an indicator per category, then the numeric columns.

        Returns
        -------
        ndarray of float64 (n_samples, sum of categories + n_numeric)
            An unknown category has every indicator 0. Columns with one category only are left out: they say nothing.
        """
        parts = [
            (self.codes[:, [j]] == np.arange(1, v + 1)).astype(np.float64)
            for j, v in enumerate(self.n_categories)
            if v > 1
        ]
        return np.hstack([*parts, self.numeric])


class CovariateEncoder:
    """Learns categories and scales of covariates from fitted rows and applies them to any rows.

    Columns of dtype object, string, category or bool are categorical, numbers are numeric. Missing values are allowed
    anywhere: code 0, or the mean.

    Parameters
    ----------
    unknown_category : {"error", "pool"}
        What to do with a category that was not fitted: raise, or treat it as unknown (code 0).
    """

    def __init__(self, unknown_category: str = "error"):
        if unknown_category not in UNKNOWN_CATEGORY:
            raise ConfigError(
                f"unknown_category is {unknown_category!r}; known values are {', '.join(UNKNOWN_CATEGORY)}."
            )
        self.unknown_category = unknown_category

    def fit(self, covariates: pd.DataFrame) -> CovariateEncoder:
        """Learn from a frame with one row per sample (n_samples, n_covariates); returns itself.

        Raises
        ------
        CovariateError
            For repeated columns, infinite numbers, or columns of another kind (dates, complex numbers).
        """
        _check_frame(covariates)
        self.columns_ = tuple(covariates.columns)
        self.categories_: dict[str, tuple[str, ...]] = {}
        self.scales_: dict[str, tuple[float, float]] = {}
        for name in self.columns_:
            column = covariates[name]
            if name == DONOR:
                continue
            if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
                values = _numbers(name, column)
                known = values[~np.isnan(values)]
                mean, sd = (known.mean(), known.std()) if known.size else (0.0, 0.0)
                self.scales_[name] = (float(mean), float(sd) if sd > 1e-12 * max(1.0, abs(mean)) else 1.0)
            else:
                self.categories_[name] = tuple(sorted({text for text in _texts(name, column) if text is not None}))
        return self

    def transform(self, covariates: pd.DataFrame) -> Covariates:
        """Encode rows with the columns that were fitted, in any order.

        Raises
        ------
        CovariateError
            For absent or additional columns, text where numbers were fitted, or an unseen category under "error".
        """
        _check_frame(covariates)
        absent = [name for name in self.columns_ if name not in covariates.columns]
        extra = [name for name in covariates.columns if name not in self.columns_]
        if absent or extra:
            raise CovariateError(
                f"Covariates were fitted with columns {', '.join(self.columns_)}; "
                + (f"absent now: {', '.join(absent)}. " if absent else "")
                + (f"new now: {', '.join(map(str, extra))}. " if extra else "")
                + "Give the same columns to fit and transform."
            )
        n = len(covariates)
        codes = [self._codes(name, covariates[name]) for name in self.categories_]
        numeric = [self._standardised(name, covariates[name]) for name in self.scales_]
        return Covariates(
            codes=np.column_stack(codes) if codes else np.zeros((n, 0), dtype=np.int64),
            numeric=np.column_stack(numeric) if numeric else np.zeros((n, 0)),
            donor=_texts(DONOR, covariates[DONOR]) if DONOR in self.columns_ else None,
            categorical_names=tuple(self.categories_),
            numeric_names=tuple(self.scales_),
            categories=tuple(self.categories_.values()),
        )

    def _codes(self, name: str, column: pd.Series) -> np.ndarray:
        known = {text: code for code, text in enumerate(self.categories_[name], start=1)}
        texts = _texts(name, column)
        unseen = sorted({text for text in texts if text is not None and text not in known})
        if unseen and self.unknown_category == "error":
            raise CovariateError(
                f"Covariate {name!r} has {len(unseen)} value(s) that fit did not see: "
                f"{', '.join(map(repr, unseen[:5]))} (seen: {', '.join(map(repr, known)) or 'none'}). Fit on rows that "
                "have them, or set unknown_category='pool' to treat them as unknown."
            )
        return np.array([known.get(text, 0) if text is not None else 0 for text in texts], dtype=np.int64)

    def _standardised(self, name: str, column: pd.Series) -> np.ndarray:
        mean, sd = self.scales_[name]
        values = (_numbers(name, column) - mean) / sd
        return np.where(np.isnan(values), 0.0, values)


def _check_frame(covariates: object) -> None:
    repeated = covariates.columns[covariates.columns.duplicated()]
    if len(repeated):
        raise CovariateError(f"Covariate column {repeated[0]!r} occurs more than once; keep one of them.")


def _numbers(name: str, column: pd.Series) -> np.ndarray:
    try:
        values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise CovariateError(
            f"Covariate {name!r} was numeric when fitted and now holds something else: {error}"
        ) from None
    if np.isinf(values).any():
        raise CovariateError(f"Covariate {name!r} is infinite in row {np.flatnonzero(np.isinf(values))[0]}; use NaN.")
    return values


def _texts(name: str, column: pd.Series) -> np.ndarray:
    """Values as text, None where missing; categories of other types (bool, int codes) become their printed form."""
    kind = column.dtype
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_complex_dtype(kind):
        raise CovariateError(f"Covariate {name!r} has dtype {kind}; give text, categories or real numbers.")
    missing = column.isna().to_numpy()
    texts = np.empty(len(column), dtype=object)
    for row, value in enumerate(column.tolist()):
        texts[row] = None if missing[row] else str(value)
    return texts
