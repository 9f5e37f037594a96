"""MissForest's idea made inductive: chained forests that are kept and applied to new rows; never refits."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from reproduce.imputers._base import check_choice, check_integer
from reproduce.imputers._chained import ChainedEquationsImputer
from reproduce.imputers._covariates import Covariates
from reproduce.imputers.missforest import check_max_features

FORESTS = {"random_forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}


class IterativeForestImputer(ChainedEquationsImputer):
    """Each gene predicted from all others by a forest, in rounds, the forests of every round being kept.

    Parameters
    ----------
    forest : {"random_forest", "extra_trees"}, default "random_forest"
    n_estimators : int, default 10
        Trees of each forest.
    max_iter : int, default 4
        Most rounds over all genes; there are n_genes forests a round.
    tol : float, default 1e-3
        Stop when no filled value changes by more than this many times the largest known one (standardised). Forests
        rarely settle so far: `max_iter` is the budget, and reaching it is no warning here.
    max_features : {"sqrt", "log2"}, float or int, default 0.33
        Genes tried at each split.
    n_nearest_features : int or None, default None
        Predictors of each gene, drawn with probabilities that grow with correlation; None takes all.
    missing_rate : float, default 0.1
        Fraction of entries hidden from the fitted rows where these are complete, so that the forests learn to read
        filled values. Rows with holes are fitted as they are.
    use_covariates : bool, default True
        Append tissue, sex (indicators) and age to the predictors.
    n_jobs : int or None, default None
        Trees grown side by side.
    unknown_category : {"error", "pool"}, default "error"
        A category that `fit` did not see is an error, or has all its indicators 0.
    random_state : int, RandomState or None

    Attributes
    ----------
    chain_ : IterativeImputer
    n_iter_ : int
    converged_ : bool
    """

    def __init__(
        self,
        *,
        forest: str = "random_forest",
        n_estimators: int = 10,
        max_iter: int = 4,
        tol: float = 1e-3,
        max_features: str | float | int = 0.33,
        n_nearest_features: int | None = None,
        missing_rate: float = 0.1,
        use_covariates: bool = True,
        n_jobs: int | None = None,
        unknown_category: str = "error",
        random_state=None,
    ):
        self.forest = forest
        self.n_estimators = n_estimators
        self.max_iter = max_iter
        self.tol = tol
        self.max_features = max_features
        self.n_nearest_features = n_nearest_features
        self.missing_rate = missing_rate
        self.use_covariates = use_covariates
        self.n_jobs = n_jobs
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("forest", self.forest, tuple(FORESTS))
        check_integer("n_estimators", self.n_estimators, least=1)
        check_max_features(self.max_features)

    def _regression(self, random_state: int):
        return FORESTS[self.forest](
            n_estimators=self.n_estimators,
            max_features=self.max_features,
            n_jobs=self.n_jobs,
            random_state=random_state,
        )

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return self._filled(Z, covariates)
