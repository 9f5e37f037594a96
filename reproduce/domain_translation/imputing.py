"""A layer that was not measured as a block of missing entries: the study's own imputers translate; never a new one.

Both layers are joined to one matrix [source | target]. A sample of which one layer is known is a row with a hole of
known shape, so whatever fills holes translates, in both directions.

The imputers choose their shrinkage for holes at random places, where a neighbour of the hidden entry is nearly always
known. A whole layer is a harder hole. `ImputingTranslator` therefore lets rank and shrinkage of the low-rank Gaussian
be chosen by whole layers hidden from a quarter of the pairs; the conditional Gaussian stays as the main study has it.

With a whole layer hidden, the k-NN imputer is nearest neighbours in the other layer (`NeighbourTranslator`, k = 10): it
is here to tie this study to the main one. PMI is not here: a fit to a thousand genes of each layer takes minutes where
the others take seconds, and it learns to fill holes at random places only.

Samples of one layer are not taken in fitting, though the imputers would: their rounds (EM) start from layers without
correlation, and when most rows have the same half missing they hardly leave that start.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from reproduce.domain_translation.contract import Translator, check_grid
from reproduce.imputers._base import ExpressionImputer, check_choice, check_random_state_value

IMPUTERS = ("gaussian", "low_rank", "knn")
#: None stands for the whole sample covariance.
RANKS = (20, 60, None)
SHRINKAGES = (0.2, 0.4, 0.6, 0.8)
#: Part of the pairs whose layers are hidden in turn while rank and shrinkage are chosen.
HELD_OUT = 0.25


class ImputingTranslator(Translator):
    """One of the study's imputers on joined layers.

    Parameters
    ----------
    imputer : {"gaussian", "low_rank", "knn"}, default "gaussian"
        `ConditionalGaussianImputer` with one normal and Ledoit and Wolf's shrinkage, `LowRankGaussianImputer`, or
        `KNNImputer` with its 10 neighbours.
    ranks : tuple of int or None, default `RANKS`
        Numbers of factors that "low_rank" may choose, None for the whole sample covariance; others have none.
    shrinkages : tuple of float in [0, 1), default `SHRINKAGES`
        Weights by which "low_rank" may reduce correlations.
    random_state : int, RandomState or None, default None
        Of "low_rank".

    Attributes
    ----------
    imputer_ : ExpressionImputer
    errors_ : dict of (int or None, float) to float
        Mean squared error, standardised, of each rank and shrinkage on hidden layers; empty for other imputers.
    """

    both_ways = True

    def __init__(
        self,
        imputer: str = "gaussian",
        *,
        ranks: tuple[int | None, ...] = RANKS,
        shrinkages: tuple[float, ...] = SHRINKAGES,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.imputer = imputer
        self.ranks = ranks
        self.shrinkages = shrinkages
        self.random_state = random_state

    def _check_parameters(self):
        check_choice("imputer", self.imputer, IMPUTERS)
        numbers = self.ranks
        if isinstance(numbers, (tuple, list)) and None in numbers:
            numbers = [rank for rank in numbers if rank is not None] or [1]
        check_grid("ranks", numbers, least=1)
        check_grid("shrinkages", self.shrinkages, least=0)
        check_random_state_value(self.random_state)

    def _fit(self, source, target, clusters):
        pairs = np.hstack([source, target])
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        self.errors_ = self._errors(pairs, self._seed) if self.imputer == "low_rank" else {}
        self._learn(pairs)

    def _learn(self, pairs: np.ndarray) -> None:
        chosen = min(self.errors_, key=self.errors_.get) if self.errors_ else None
        self._pairs, self.imputer_ = pairs, _made(self.imputer, chosen, self._seed).fit(pairs)

    def _state(self):
        return {"pairs": self._pairs}

    def _state_in_words(self):
        return {"seed": self._seed, "errors": [[*choice, error] for choice, error in self.errors_.items()]}

    def _restore(self, state, words):
        # imputers have no file of their own; what was chosen is learnt again from the same pairs
        self._seed = words["seed"]
        self.errors_ = {(rank, shrinkage): error for rank, shrinkage, error in words["errors"]}
        self._learn(state["pairs"])

    def _errors(self, pairs: np.ndarray, seed: int) -> dict[tuple[int | None, float], float]:
        order = np.random.default_rng([seed, 1]).permutation(len(pairs))
        n_held_out = max(1, round(HELD_OUT * len(pairs)))
        train, held_out = pairs[order[n_held_out:]], pairs[order[:n_held_out]]
        # a rank that a few pairs cannot have is the whole sample covariance
        most = min(len(train) - 1, pairs.shape[1] - 1)
        ranks = list(dict.fromkeys(None if rank is None or rank > most else int(rank) for rank in self.ranks))
        n_source, errors = len(self.source_.center), {}
        holes = np.repeat(held_out[None], 2, axis=0)
        holes[0, :, n_source:] = holes[1, :, :n_source] = np.nan
        for choice in product(ranks, self.shrinkages):
            imputer = _made("low_rank", choice, seed).fit(train)
            errors[choice] = float(np.mean([(imputer.transform(hole) - held_out) ** 2 for hole in holes]))
        return errors

    def translate_back(self, target) -> pd.DataFrame | np.ndarray:
        """The source layer (n_samples, n_source_features) of samples whose target layer is given."""
        check_is_fitted(self)
        rows = self._with_hole(self.target_.standardised(target), source_known=False)
        filled = self.imputer_.transform(rows)
        return self.source_.restored(filled[:, : len(self.source_.center)], target)

    def _translate(self, source):
        return self.imputer_.transform(self._with_hole(source, source_known=True))[:, len(self.source_.center) :]

    def _with_hole(self, known: np.ndarray, *, source_known: bool) -> np.ndarray:
        other = self.target_ if source_known else self.source_
        hole = np.full((len(known), len(other.center)), np.nan)
        return np.hstack([known, hole] if source_known else [hole, known])


def _made(imputer: str, chosen: tuple[int | None, float] | None, seed: int) -> ExpressionImputer:
    """One of `IMPUTERS`; the low-rank Gaussian with the rank and shrinkage chosen."""
    if imputer == "knn":
        from reproduce.imputers.knn import KNNImputer

        return KNNImputer()
    if imputer == "gaussian":
        from reproduce.imputers.gaussian import ConditionalGaussianImputer

        return ConditionalGaussianImputer(group=None)
    from reproduce.imputers.low_rank import LowRankGaussianImputer

    rank, shrinkage = chosen
    return LowRankGaussianImputer(group=None, rank=rank, shrinkage=shrinkage, random_state=seed)
