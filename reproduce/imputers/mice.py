"""MICE: each gene regressed on all others by Bayesian ridge regression, in rounds; never fits on complete rows."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import BayesianRidge

from reproduce.imputers._chained import ChainedEquationsImputer, check_draws
from reproduce.imputers._covariates import Covariates


class MICEImputer(ChainedEquationsImputer):
    """Multivariate imputation by chained equations, linear, from scikit-learn's IterativeImputer.

    Parameters
    ----------
    max_iter : int, default 10
        Most rounds over all genes.
    tol : float, default 1e-3
        Stop when no filled value changes by more than this many times the largest known one (standardised).
    n_nearest_features : int or None, default None
        Predictors of each gene, drawn with probabilities that grow with correlation; None takes all.
    sample_posterior : bool, default False
        Fill with draws from the predictive distribution instead of its mean. Draws depend on the row's place.
    n_imputations : int, default 1
        Completed matrices that are averaged; more than one needs `sample_posterior`.
    missing_rate : float, default 0.1
        Fraction of entries hidden from the fitted rows where these are complete: fitted on complete rows,
        IterativeImputer would stop after one round. Rows with holes are fitted as they are. Few holes suffice to make
        the chain go on, and every further one costs the regressions data: filling half-hidden rows of the p53 data, a
        chain fitted with a tenth hidden has R² 0.77, with half hidden 0.67.
    use_covariates : bool, default True
        Append tissue, sex (indicators) and age to the predictors.
    unknown_category : {"error", "pool"}, default "error"
        A category that `fit` did not see is an error, or has all its indicators 0.
    random_state : int, RandomState or None

    Attributes
    ----------
    chain_ : IterativeImputer
    n_iter_ : int
        Rounds of the fitted chain; as many are applied to new rows.
    converged_ : bool or None
        Whether the last round changed less than `tol`; None with `sample_posterior`.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` rounds were not enough.

    Notes
    -----
    van Buuren and Groothuis-Oudshoorn 2011, doi 10.18637/jss.v045.i03.
    """

    def __init__(
        self,
        *,
        max_iter: int = 10,
        tol: float = 1e-3,
        n_nearest_features: int | None = None,
        sample_posterior: bool = False,
        n_imputations: int = 1,
        missing_rate: float = 0.1,
        use_covariates: bool = True,
        unknown_category: str = "error",
        random_state=None,
    ):
        self.max_iter = max_iter
        self.tol = tol
        self.n_nearest_features = n_nearest_features
        self.sample_posterior = sample_posterior
        self.n_imputations = n_imputations
        self.missing_rate = missing_rate
        self.use_covariates = use_covariates
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_draws(self.sample_posterior, self.n_imputations)

    def _regression(self, random_state: int) -> BayesianRidge:
        return BayesianRidge()

    def _options(self) -> dict[str, object]:
        return {"sample_posterior": self.sample_posterior}

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        super()._fit(Z, observed, covariates)
        if self.sample_posterior:
            self.converged_ = None
        elif not self.converged_:
            warnings.warn(
                f"MICE did not settle within max_iter={self.max_iter} rounds (tol={self.tol}).",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return self._filled(Z, covariates, n_draws=self.n_imputations)
