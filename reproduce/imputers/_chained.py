"""Chained equations around scikit-learn's IterativeImputer, for MICE and forests alike; never chooses the regression.

IterativeImputer learns its chain of regressions from rows with holes: where nothing is missing, nothing changes
between two rounds, so it takes itself to have converged after one, and a chain of one round fills new rows poorly. Rows
that are complete are therefore given holes before the chain is fitted.
"""

from __future__ import annotations

import copy
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (makes the next import work)
from sklearn.impute import IterativeImputer
from sklearn.utils import check_random_state

from reproduce.errors import ConfigError
from reproduce.imputers._base import (
    ExpressionImputer,
    check_choice,
    check_integer,
    check_number,
    check_random_state_value,
)
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates


class GeneByGeneImputer(ExpressionImputer):
    """What imputers that predict one gene after the other share: holes in complete rows, covariates as predictors.

    Subclasses have the constructor arguments ``missing_rate``, ``use_covariates``, ``unknown_category`` and
    ``random_state``.
    """

    def _check_parameters(self) -> None:
        check_number("missing_rate", self.missing_rate, low=0, high=1, open_low=True, open_high=True)
        check_choice("use_covariates", self.use_covariates, (True, False))
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        check_random_state_value(self.random_state)

    def _reads_covariates(self) -> bool:
        return self.use_covariates

    def _holes_to_learn_from(self, shape: tuple[int, int], rng: np.random.RandomState) -> np.ndarray:
        """Entries of complete rows to hide, bool (n_samples, n_genes), at the rate ``missing_rate``."""
        hidden = rng.random_sample(shape) < self.missing_rate
        # a regression needs something to learn from: a gene keeps its values if fewer than two would be left
        hidden[:, (~hidden).sum(axis=0) < 2] = False
        return hidden


class ChainedEquationsImputer(GeneByGeneImputer):
    """What MICE and the iterative forests share beside that: the chain.

    Subclasses have the constructor arguments ``max_iter``, ``tol`` and ``n_nearest_features`` as well, and write
    ``_regression(random_state)``.

    Attributes
    ----------
    chain_ : IterativeImputer
        Fitted on the genes and, after them, the covariates' columns.
    n_iter_ : int
        Rounds of the chain.
    converged_ : bool or None
        Whether the last round changed less than `tol`; None where the values are draws, which do not settle.
    """

    def _regression(self, random_state: int):
        """Return the scikit-learn regressor of one gene on the others."""
        raise NotImplementedError

    def _options(self) -> dict[str, object]:
        """Further arguments of IterativeImputer."""
        return {}

    def _check_parameters(self) -> None:
        check_integer("max_iter", self.max_iter, least=1)
        check_number("tol", self.tol, low=0)
        if self.n_nearest_features is not None:
            check_integer("n_nearest_features", self.n_nearest_features, least=1)
        super()._check_parameters()

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        rng = check_random_state(self.random_state)
        if observed.all():
            Z = np.where(self._holes_to_learn_from(Z.shape, rng), np.nan, Z)
        self.chain_ = IterativeImputer(
            estimator=self._regression(rng.randint(2**31 - 1)),
            max_iter=self.max_iter,
            tol=self.tol,
            n_nearest_features=self.n_nearest_features,
            random_state=rng.randint(2**31 - 1),
            **self._options(),
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.chain_.fit(self._columns(Z, covariates))
        self.n_iter_ = max(1, int(self.chain_.n_iter_))  # 0 for a single column, whose only answer is the mean
        self.converged_ = not any(issubclass(one.category, ConvergenceWarning) for one in caught)
        for one in caught:
            if not issubclass(one.category, ConvergenceWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)

    @staticmethod
    def _columns(Z: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return Z if covariates is None else np.hstack([Z, covariates.one_hot()])

    def _filled(self, Z: np.ndarray, covariates: Covariates | None, *, n_draws: int = 1) -> np.ndarray:
        chain = copy.copy(self.chain_)
        # drawing from the chain moves its random numbers on: start from the same place every time
        chain.random_state_ = copy.deepcopy(self.chain_.random_state_)
        columns = self._columns(Z, covariates)
        total = np.zeros_like(Z)
        for _ in range(n_draws):
            total += chain.transform(columns)[:, : Z.shape[1]]
        return total / n_draws


def check_draws(sample_posterior: bool, n_imputations: int) -> None:
    """Raise ConfigError for several imputations that would all be the same."""
    check_choice("sample_posterior", sample_posterior, (True, False))
    check_integer("n_imputations", n_imputations, least=1)
    if n_imputations > 1 and not sample_posterior:
        raise ConfigError(
            f"n_imputations={n_imputations} without sample_posterior=True would average equal imputations; "
            "set sample_posterior=True, or n_imputations=1."
        )
