"""Translators that are linear, and the mean: what everything else has to beat; never a network.

**Ridge.** For each target feature t the weights minimise Σ (t − Xw)² + α‖w‖², with α of the feature's own that has the
least leave-one-out error among the training pairs. **Partial least squares** (PLS): directions of the source of
largest covariance with directions of the target, their number by cross-validation over training pairs.
"""

from __future__ import annotations

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold

from reproduce.domain_translation.contract import Translator, check_grid
from reproduce.imputers._base import check_integer

#: Penalties tried, in units of the number of source features: 1,000 standardised features have a Gram matrix with a
#: diagonal of 1,000.
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)


class MeanTranslator(Translator):
    """The target's mean over the training pairs, whatever the source."""

    def _fit(self, source, target, clusters):
        self.n_targets_ = target.shape[1]

    def _translate(self, source):
        return np.zeros((len(source), self.n_targets_))

    def _state(self):
        return {"n_targets": np.array(self.n_targets_)}

    def _restore(self, state, words):
        self.n_targets_ = int(state["n_targets"])


class RidgeTranslator(Translator):
    """Ridge regression, a penalty for each target feature.

    Parameters
    ----------
    penalties : tuple of float, default `PENALTIES`
        Those tried, in units of the number of source features.

    Attributes
    ----------
    penalty_ : ndarray (n_target_features,)
        Chosen, in the same unit.
    weights_ : ndarray (n_source_features, n_target_features)
    """

    def __init__(self, *, penalties: tuple[float, ...] = PENALTIES):
        self.penalties = penalties

    def _check_parameters(self):
        check_grid("penalties", self.penalties, least=1e-12)

    def _fit(self, source, target, clusters):
        n_features = source.shape[1]
        alphas = np.asarray(self.penalties, dtype=float) * n_features
        # the layer's mean over pairs is 0 already
        model = RidgeCV(alphas, fit_intercept=False, alpha_per_target=True).fit(source, target)
        self.penalty_ = np.broadcast_to(model.alpha_, target.shape[1]) / n_features
        self.weights_ = np.reshape(model.coef_, (target.shape[1], n_features)).T

    def _translate(self, source):
        return source @ self.weights_

    def _state(self):
        return {"penalty": self.penalty_, "weights": self.weights_}

    def _restore(self, state, words):
        self.penalty_, self.weights_ = state["penalty"], state["weights"]


class PLSTranslator(Translator):
    """Partial least squares regression.

    Parameters
    ----------
    most_components : int, default 40
        The number used is chosen among 1 … this many.
    n_folds : int, default 3
        Of the training pairs.

    Attributes
    ----------
    n_components_ : int
    errors_ : ndarray (n_tried,)
        Mean squared error, standardised, of 1, 2, … components.
    weights_ : ndarray (n_source_features, n_target_features)

    Notes
    -----
    Components are found one after the other, so a fit with many holds all fits with fewer.
    """

    def __init__(self, *, most_components: int = 40, n_folds: int = 3):
        self.most_components = most_components
        self.n_folds = n_folds

    def _check_parameters(self):
        check_integer("most_components", self.most_components, least=1)
        check_integer("n_folds", self.n_folds, least=2)

    def _fit(self, source, target, clusters):
        folds = list(KFold(min(self.n_folds, len(source)), shuffle=True, random_state=0).split(source))
        least_rows = min(len(train) for train, _ in folds)
        most = min(self.most_components, source.shape[1], least_rows - 1)
        errors = np.zeros(most)
        for train, test in folds:
            model = _pls(source[train], target[train], most)
            scores = (source[test] - model._x_mean) @ model.x_rotations_
            predicted = np.broadcast_to(model._y_mean, target[test].shape).copy()
            for k in range(most):
                predicted += np.outer(scores[:, k], model.y_loadings_[:, k])
                errors[k] += ((predicted - target[test]) ** 2).sum()
        self.errors_ = errors / target.size
        self.n_components_ = int(errors.argmin()) + 1
        model = _pls(source, target, self.n_components_)
        self.weights_ = model.x_rotations_ @ model.y_loadings_.T

    def _translate(self, source):
        return source @ self.weights_

    def _state(self):
        return {"errors": self.errors_, "weights": self.weights_}

    def _restore(self, state, words):
        self.errors_, self.weights_ = state["errors"], state["weights"]
        self.n_components_ = int(self.errors_.argmin()) + 1


def _pls(source: np.ndarray, target: np.ndarray, n_components: int) -> PLSRegression:
    """Both layers are standardised already; within a fold only their means are taken off again."""
    return PLSRegression(n_components, scale=False, max_iter=200, tol=1e-5).fit(source, target)
