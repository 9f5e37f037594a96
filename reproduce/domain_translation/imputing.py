"""A layer that was not measured as a block of missing entries: the study's own imputers translate; never a new one.

Both layers are joined to one matrix [source | target]. A sample of which one layer is known is a row with a hole of
known shape, so whatever fills holes translates, in both directions, and learns from samples of either layer alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from reproduce.domain_translation.contract import Translator, scale_of
from reproduce.imputers._base import ExpressionImputer, check_choice, check_integer, check_random_state_value

IMPUTERS = ("gaussian", "low_rank")


class ImputingTranslator(Translator):
    """One of the study's Gaussian imputers on joined layers.

    Parameters
    ----------
    imputer : {"gaussian", "low_rank"}, default "gaussian"
        `ConditionalGaussianImputer` with one normal and Ledoit and Wolf's shrinkage, or `LowRankGaussianImputer`.
    rank : int, default 20
        Factors of "low_rank"; "gaussian" has none.
    random_state : int, RandomState or None, default None
        Of "low_rank".

    Attributes
    ----------
    imputer_ : ExpressionImputer
    """

    both_ways = True
    reads_unpaired = True

    def __init__(
        self,
        imputer: str = "gaussian",
        *,
        rank: int = 20,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.imputer = imputer
        self.rank = rank
        self.random_state = random_state

    def _check_parameters(self):
        check_choice("imputer", self.imputer, IMPUTERS)
        check_integer("rank", self.rank, least=1)
        check_random_state_value(self.random_state)

    def fit(self, source, target, clusters=None, *, unpaired_source=None, unpaired_target=None):
        """Learn from pairs, and from samples of one layer.

        Parameters
        ----------
        source, target, clusters
            As of `Translator.fit`.
        unpaired_source : DataFrame or ndarray (n_more, n_source_features), optional
        unpaired_target : DataFrame or ndarray (n_others, n_target_features), optional

        Returns
        -------
        self
        """
        self._begin(source, target, clusters)
        self.source_ = scale_of("source", source, unpaired_source)
        self.target_ = scale_of("target", target, unpaired_target)
        rows = [np.hstack([self.source_.standardised(source), self.target_.standardised(target)])]
        if unpaired_source is not None:
            rows.append(self._with_hole(self.source_.standardised(unpaired_source), source_known=True))
        if unpaired_target is not None:
            rows.append(self._with_hole(self.target_.standardised(unpaired_target), source_known=False))
        self.imputer_ = self._made().fit(np.concatenate(rows))
        return self

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

    def _made(self) -> ExpressionImputer:
        if self.imputer == "gaussian":
            from reproduce.imputers.gaussian import ConditionalGaussianImputer

            return ConditionalGaussianImputer(group=None)
        from reproduce.imputers.low_rank import LowRankGaussianImputer

        return LowRankGaussianImputer(group=None, rank=int(self.rank), shrinkage=0.0, random_state=self.random_state)
