"""Translation by the nearest training pairs; never a weight that is learnt."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from reproduce.domain_translation.contract import Translator, check_grid


class NeighbourTranslator(Translator):
    """Mean target of the k training pairs whose source is nearest (Euclidean, standardised features).

    Parameters
    ----------
    numbers : tuple of int, default (5, 10, 20, 40, 80)
        Of neighbours; the one with the least leave-one-out error among the training pairs is used.

    Attributes
    ----------
    n_neighbours_ : int
    errors_ : dict of int to float
        Mean squared leave-one-out error, standardised.
    """

    def __init__(self, *, numbers: tuple[int, ...] = (5, 10, 20, 40, 80)):
        self.numbers = numbers

    def _check_parameters(self):
        check_grid("numbers", self.numbers, least=1)

    def _fit(self, source, target, clusters):
        distance = pairwise_distances(source)
        np.fill_diagonal(distance, np.inf)
        order = np.argsort(distance, axis=1, kind="stable")
        # with few pairs, all but one are as near as it gets
        numbers = sorted({min(int(k), len(source) - 1) for k in self.numbers})
        self.errors_ = {k: float(((target[order[:, :k]].mean(axis=1) - target) ** 2).mean()) for k in numbers}
        self.n_neighbours_ = min(self.errors_, key=self.errors_.get)
        self._keep(source, target)

    def _keep(self, source: np.ndarray, target: np.ndarray) -> None:
        self.sources_, self.targets_ = source, target
        self.index_ = NearestNeighbors(n_neighbors=self.n_neighbours_).fit(source)

    def _translate(self, source):
        return self.targets_[self.index_.kneighbors(source, return_distance=False)].mean(axis=1)

    def _state(self):
        numbers, errors = np.array(list(self.errors_)), np.array(list(self.errors_.values()))
        return {"sources": self.sources_, "targets": self.targets_, "numbers": numbers, "errors": errors}

    def _restore(self, state, words):
        self.errors_ = dict(zip(state["numbers"].tolist(), state["errors"].tolist(), strict=True))
        self.n_neighbours_ = min(self.errors_, key=self.errors_.get)
        self._keep(state["sources"], state["targets"])
