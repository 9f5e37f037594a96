"""Simpler predictors of velocities, gene by gene, on the same features; never shares between genes."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.model_selection import KFold

from reproduce.multitask.data import VelocityData
from reproduce.multitask.features import Features, learn_features

_ALPHAS = np.logspace(-1, 4, 16)  # ridge's
_FOLDS = 3  # of the lasso's cross-validation


class PerGene:
    """One regression for each gene, on a factor's features.

    Parameters
    ----------
    kind : {"lasso", "ridge", "forest"}
        The two linear ones choose their penalty by cross-validation within the training cells.
    features : {"all", "expression"}
    random_state : int

    Attributes
    ----------
    importances_ : ndarray (n_genes, n_factors)
        Linear: mean over training cells of |∂ velocity / ∂ scaled expression|, as for networks; forest: the impurity
        that a factor's features remove.
    """

    def __init__(self, kind: str, *, features: str = "all", random_state: int = 0):
        self.kind = kind
        self.features = features
        self.random_state = random_state

    def fit(self, data: VelocityData) -> PerGene:
        """Learn from the cells that each gene has a velocity in."""
        used = np.isfinite(data.velocity)
        self._all = self.features == "all"
        activities = data.activities if self._all else None
        codes = self._codes(data)
        n_tissues = len(data.tissue_names) if self._all else 1
        self._lines = learn_features(data.expression, used, codes, n_tissues, activities, data.factors)
        scaled = self._lines.scaled(data.expression)
        self._models, importances = [], []
        for gene, known in enumerate(used.T):
            columns = self._lines.of_gene(gene, scaled[known], codes[known])
            model = _REGRESSIONS[self.kind](self.random_state)
            with warnings.catch_warnings():
                # the smallest penalties of the path, which cross-validation turns down
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(columns, data.velocity[known, gene])
            self._models.append(model)
            importances.append(_importance(model, self._lines, gene, codes[known]))
        self.importances_ = np.stack(importances)
        return self

    def predict(self, data: VelocityData) -> np.ndarray:
        """Velocities (n_cells, n_genes)."""
        scaled, codes = self._lines.scaled(data.expression), self._codes(data)
        columns = (self._lines.of_gene(gene, scaled, codes) for gene in range(len(self._models)))
        return np.stack([model.predict(c) for model, c in zip(self._models, columns, strict=True)], axis=1)

    def _codes(self, data: VelocityData) -> np.ndarray:
        return data.tissues if self._all else np.zeros_like(data.tissues)


def _importance(model, lines: Features, gene: int, codes: np.ndarray) -> np.ndarray:
    n_factors, n_features = lines.slopes.shape[2:]
    if isinstance(model, RandomForestRegressor):
        return model.feature_importances_.reshape(n_factors, n_features).sum(axis=1)
    by_tissue = (lines.slopes[gene] * model.coef_.reshape(n_factors, n_features)).sum(axis=2)
    return np.abs(by_tissue)[codes].mean(axis=0)


def _folds(seed: int) -> KFold:
    """Shuffled, since cells come sorted by tissue and each tissue would be a fold."""
    return KFold(_FOLDS, shuffle=True, random_state=seed)


_REGRESSIONS = {
    "lasso": lambda seed: LassoCV(alphas=20, eps=1e-2, cv=_folds(seed), max_iter=2000, random_state=seed),
    "ridge": lambda seed: RidgeCV(alphas=_ALPHAS),
    "forest": lambda seed: RandomForestRegressor(100, min_samples_leaf=3, max_features=1 / 3, random_state=seed),
}
