"""What an imputer that knows how sure it is offers: standard deviations, draws and intervals; no imputation rule.

A method subclasses `PredictiveImputer` and writes, beside `_fit` and `_impute`, `_variance` and `_draw` in standardised
space. Units, constant genes, names and checks are dealt with here once.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from reproduce.imputers._base import (
    ExpressionImputer,
    check_integer,
    check_number,
    check_random_state_value,
    unpacked,
)
from reproduce.imputers._covariates import Covariates


class PredictiveImputer(ExpressionImputer):
    """Base of the imputers that predict a distribution for each missing entry, not a value alone.

    Subclasses implement ``_variance(Z, observed, covariates)``, the variance (n_samples, n_varying_genes) of missing
    entries in standardised units, and ``_draw(Z, observed, covariates, n, generator)``, draws
    (n, n_samples, n_varying_genes) of which only missing entries are used; draws of one row belong together.
    `_quantiles` may be overridden where the predictive distribution is not a normal.
    """

    def conditional_sd(self, X, *, covariates: pd.DataFrame | None = None) -> np.ndarray:
        """Standard deviation of each missing entry given the row's known entries.

        Parameters
        ----------
        X, covariates
            As in `transform`.

        Returns
        -------
        ndarray of float64 (n_samples, n_genes)
            In units of X; 0 for known entries and for genes constant in the fitted rows.

        Raises
        ------
        DataFormatError, CovariateError
            As `transform`.
        """
        Z, encoded, missing = self._prepared(X, covariates)
        result = np.zeros(missing.shape)
        if Z is not None:
            sd = np.sqrt(self._variance(Z, ~np.isnan(Z), encoded)) * self.scale_[self.varying_]
            result[:, self.varying_] = np.where(np.isnan(Z), sd, 0.0)
        return result

    def sample(
        self,
        X,
        n: int = 1,
        *,
        covariates: pd.DataFrame | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw completed matrices from the predictive distribution (multiple imputation).

        Parameters
        ----------
        X, covariates
            As in `transform`.
        n : int, default 1
            Number of draws.
        random_state : int, RandomState or None, default None

        Returns
        -------
        ndarray of float64 (n, n_samples, n_genes)
            Known entries as in X in every draw; a gene that was constant in the fitted rows is that constant.

        Raises
        ------
        ConfigError
            For n or random_state out of range.
        DataFormatError, CovariateError
            As `transform`.
        """
        check_integer("n", n, least=1)
        check_random_state_value(random_state)
        Z, encoded, missing = self._prepared(X, covariates)
        filled = np.asarray(self.transform(X, covariates=covariates), dtype=np.float64)
        draws = np.repeat(filled[None], n, axis=0)
        if Z is not None:
            generator = np.random.default_rng(int(check_random_state(random_state).randint(2**31)))
            drawn = self._draw(Z, ~np.isnan(Z), encoded, n, generator)
            values = self.center_[self.varying_] + self.scale_[self.varying_] * drawn
            draws[:, :, self.varying_] = np.where(missing[:, self.varying_], values, draws[:, :, self.varying_])
        return draws

    def intervals(
        self, X, level: float = 0.95, *, covariates: pd.DataFrame | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Central predictive intervals of the missing entries.

        Parameters
        ----------
        X, covariates
            As in `transform`.
        level : float, default 0.95
            Fraction of entries that the intervals are to hold.

        Returns
        -------
        lower, upper : ndarrays of float64 (n_samples, n_genes)
            In units of X; both the value itself for known entries.

        Raises
        ------
        ConfigError
            For a level outside (0, 1).
        DataFormatError, CovariateError
            As `transform`.
        """
        check_number("level", level, low=0, high=1, open_low=True, open_high=True)
        Z, encoded, missing = self._prepared(X, covariates)
        filled = np.asarray(self.transform(X, covariates=covariates), dtype=np.float64)
        lower, upper = filled.copy(), filled.copy()
        if Z is not None:
            holes = missing[:, self.varying_]
            for bound, probability in ((lower, (1 - level) / 2), (upper, (1 + level) / 2)):
                quantile = self._quantiles(Z, ~np.isnan(Z), encoded, probability)
                values = self.center_[self.varying_] + self.scale_[self.varying_] * quantile
                bound[:, self.varying_] = np.where(holes, values, bound[:, self.varying_])
        return lower, upper

    # what a method implements

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        raise NotImplementedError

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        raise NotImplementedError

    def _quantiles(
        self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None, probability: float
    ) -> np.ndarray:
        """Quantile (n_samples, n_varying_genes) of each missing entry; here of a normal."""
        sd = np.sqrt(self._variance(Z, observed, covariates))
        return self._impute(Z, observed, covariates) + norm.ppf(probability) * sd

    # what this base does for it

    def _prepared(self, X, covariates: pd.DataFrame | None):
        """Standardised varying genes (None where nothing of them is missing), encoded covariates, the missing mask."""
        check_is_fitted(self)
        X, covariates = unpacked(X, covariates)
        X_checked, rows = self._checked(X, reset=False)
        self._check_rows(covariates, rows, len(X_checked))
        encoded = self._encoded(covariates)
        missing = np.isnan(X_checked)
        holes = missing[:, self.varying_].any()
        return (self._standardised(X_checked) if holes else None), encoded, missing
