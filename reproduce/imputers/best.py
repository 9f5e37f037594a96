"""Weighs several imputers by their error on hidden known entries: what a practitioner gets without choosing.

Donors are left out in folds, known entries of their rows are hidden, and every member, fitted to the other donors,
predicts them. The weights that minimise the squared error, none negative and their sum one, are found once for rows of
which much is known and once for rows of which little is; a row in between gets weights in between. No entry that is
missing in the fitted rows, and nothing of the rows that are filled later, takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls
from sklearn.utils import check_random_state

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers import METHODS, make_imputer
from reproduce.imputers._base import ExpressionImputer, check_choice, check_integer, check_random_state_value
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._folds import (
    covariates_of_rows,
    donor_folds,
    fit_standardised,
    held_out_fits,
    hide_entries,
    impute_standardised,
)
from reproduce.imputers._predictive import PredictiveImputer

if TYPE_CHECKING:
    # what the default members rest on; named, so that stored results are computed anew when one of these changes
    from reproduce.imputers import gaussian, mixture, pmi_tuned  # noqa: F401

#: Visible fractions of a row at which weights are found; between them weights are interpolated.
ANCHORS = (0.25, 0.75)
#: Held-out entries of a gene that count as much as all other genes' in the scale of its standard deviation.
ENTRIES_SHARED = 50


@dataclass(frozen=True)
class _Tried:
    """Hidden entries with what members made of them.

    Attributes
    ----------
    predicted : ndarray (n_members, n_entries)
    truth, variance, visible : ndarray (n_entries,)
        Standardised truth; variance by the first member that predicts one; visible fraction of the entry's row.
    gene : ndarray of int (n_entries,)
    """

    predicted: np.ndarray
    truth: np.ndarray
    variance: np.ndarray
    visible: np.ndarray
    gene: np.ndarray

    @classmethod
    def of(
        cls,
        parts: Sequence[ExpressionImputer],
        shown: np.ndarray,
        asked: np.ndarray,
        truth: np.ndarray,
        covariates: Covariates | None,
    ) -> _Tried:
        known = ~np.isnan(shown)
        return cls(
            predicted=np.stack([impute_standardised(part, shown, covariates)[asked] for part in parts]),
            truth=truth[asked],
            variance=_predictive(parts)._variance(shown, known, covariates)[asked],
            visible=np.broadcast_to(known.mean(axis=1)[:, None], asked.shape)[asked],
            gene=np.nonzero(asked)[1],
        )

    @classmethod
    def joined(cls, outcomes: Sequence[_Tried]) -> _Tried:
        names = (entry.name for entry in fields(cls))
        return cls(**{name: np.concatenate([getattr(each, name) for each in outcomes], axis=-1) for name in names})


class BestImputer(PredictiveImputer):
    """Weighted mean of several imputers, the weights chosen on hidden known entries of left-out donors.

    Parameters
    ----------
    members : sequence of str, default ("gaussian", "mixture", "pmi_tuned")
        Keys of `reproduce.imputers.METHODS` that can be used inductively; the first
        that predicts a distribution gives the shape of the predictive one.
    n_folds : int, default 3
        Folds of donors; each member is fitted this many times, and once more to all rows.
    n_repeats : int, default 2
        Times that entries of a left-out row are hidden anew.
    member_parameters : mapping of str to mapping, optional
        Hyperparameters of members by name; the others keep their defaults.
    unknown_category : {"error", "pool"}, default "error"
        Given to the members that read covariates.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    weights_ : ndarray (2, n_members)
        For rows of which a quarter and three quarters are known.
    member_names_ : tuple of str
    held_out_rmse_ : ndarray (n_members,)
        Root mean squared error of each member on the hidden entries, in standardised units.
    """

    def __init__(
        self,
        *,
        members: Sequence[str] = ("gaussian", "mixture", "pmi_tuned"),
        n_folds: int = 3,
        n_repeats: int = 2,
        member_parameters: Mapping[str, Mapping[str, object]] | None = None,
        unknown_category: str = "error",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.members = members
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.member_parameters = member_parameters
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        names = tuple(self.members) if isinstance(self.members, (tuple, list)) else ()
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"members is {self.members!r}; give a sequence of names of methods, each once.")
        for name in names:
            if name not in METHODS or "inductive" not in METHODS[name].scenarios or name == "best":
                usable = ", ".join(k for k, m in METHODS.items() if "inductive" in m.scenarios and k != "best")
                raise ConfigError(f"members names {name!r}; methods that can be members are {usable}.")
        if not any(issubclass(METHODS[name].load(), PredictiveImputer) for name in names):
            raise ConfigError(f"None of members {', '.join(names)} predicts a distribution; add 'gaussian', for one.")
        if others := set(self.member_parameters or {}) - set(names):
            raise ConfigError(f"member_parameters names {min(others)!r}, which is no member ({', '.join(names)}).")
        check_integer("n_folds", self.n_folds, least=2)
        check_integer("n_repeats", self.n_repeats, least=1)
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        check_random_state_value(self.random_state)

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31))
        self.member_names_ = tuple(self.members)
        self._parts = [fit_standardised(part, Z, covariates) for part in self._new_members(seed)]
        tried = self._tried(Z, observed, covariates, seed)
        self.held_out_rmse_ = np.sqrt(np.mean((tried.predicted - tried.truth) ** 2, axis=1))
        self.weights_ = _weights(tried)
        combined = np.einsum("em,me->e", _interpolated(self.weights_, tried.visible), tried.predicted)
        self._variance_scale = _scale_by_gene((combined - tried.truth) ** 2, tried.variance, tried.gene, Z.shape[1])

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        weights = _interpolated(self.weights_, observed.mean(axis=1))
        Z_hat = np.zeros(Z.shape)
        for weight, part in zip(weights.T, self._parts, strict=True):
            if weight.any():
                Z_hat += weight[:, None] * impute_standardised(part, Z, covariates)
        return Z_hat

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return self._variance_scale * _predictive(self._parts)._variance(Z, observed, covariates)

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        # one member says how the entries of a row vary together, the mean and the size of errors are the ensemble's
        part = _predictive(self._parts)
        drawn = part._draw(Z, observed, covariates, n, generator)
        stretch = np.sqrt(self._variance_scale)
        centre = impute_standardised(part, Z, covariates)
        return self._impute(Z, observed, covariates) + (drawn - centre) * stretch

    def _new_members(self, seed: int) -> list[ExpressionImputer]:
        parts = []
        for number, name in enumerate(self.member_names_):
            own = (self.member_parameters or {}).get(name, {})
            part = make_imputer(name, random_state=(seed + number) % 2**31, **own)
            if "unknown_category" in part._get_param_names():
                part.set_params(unknown_category=self.unknown_category)
            parts.append(part)
        return parts

    def _tried(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None, seed: int) -> _Tried:
        """Every member's predictions of hidden entries of donors that it was not fitted to."""
        folds = donor_folds(len(Z), covariates, self.n_folds, seed)
        if folds.max() == 0:
            raise DataFormatError(
                "Weights are chosen on left-out donors, and all fitted rows are of one; use one method."
            )
        # as empty as the rows to be filled may be; of rows with holes only a little more is hidden, for the same reason
        rates = (0.05, 0.95) if observed.all() else (0.1, 0.4)
        generator = np.random.default_rng([seed, 3])
        hidden = [hide_entries(observed, rates, generator) for _ in range(self.n_repeats)]
        outcomes = []
        members = zip(
            *(held_out_fits(lambda part=part: part, Z, covariates, folds) for part in self._new_members(seed))
        )
        for fitted in members:
            rows, parts = fitted[0][1], [part for part, _ in fitted]
            own = covariates_of_rows(covariates, rows)
            for each in hidden:
                asked = each[rows]
                shown = np.where(asked, np.nan, Z[rows])
                outcomes.append(_Tried.of(parts, shown, asked, Z[rows], own))
        return _Tried.joined(outcomes)


def _predictive(parts: Sequence[ExpressionImputer]) -> PredictiveImputer:
    """The first member that predicts a distribution: it says how the errors of a row's entries vary."""
    return next(part for part in parts if isinstance(part, PredictiveImputer))


def _share_of_full(visible: np.ndarray) -> np.ndarray:
    """How much of the second anchor's weights a row gets, (n,), from the fraction of it that is visible."""
    return np.interp(visible, ANCHORS, (0.0, 1.0))


def _interpolated(weights: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Weights (n, n_members) of rows by their visible fraction (n,)."""
    share = _share_of_full(visible)[:, None]
    return (1 - share) * weights[0] + share * weights[1]


def _weights(tried: _Tried) -> np.ndarray:
    """Weights (2, n_members), none negative, each row's sum one, of least squared error over all hidden entries."""
    n_members, share = len(tried.predicted), _share_of_full(tried.visible)
    if n_members == 1:
        return np.ones((2, 1))
    error = tried.predicted - tried.truth
    # with sums of one, the error of a weighted mean is the weighted mean of errors: both ends solved together
    both = np.concatenate([error * (1 - share), error * share])
    gram = both @ both.T
    # a heavy row for each end holds its sum at one within nnls
    heavy = 1e3 * np.sqrt(np.trace(gram)) * np.kron(np.eye(2), np.ones(n_members))
    root = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(gram))).T
    solution, _ = nnls(np.vstack([root, heavy]), np.concatenate([np.zeros(len(gram)), heavy.max() * np.ones(2)]))
    weights = solution.reshape(2, n_members)
    return weights / weights.sum(axis=1, keepdims=True)


def _scale_by_gene(squared: np.ndarray, variance: np.ndarray, gene: np.ndarray, n_genes: int) -> np.ndarray:
    """Factor (n_genes,) that makes variances as large as squared errors, of few entries drawn to that of all genes."""
    ratio = squared / np.maximum(variance, np.finfo(np.float64).tiny)
    ratio = np.minimum(ratio, np.quantile(ratio, 0.999))  # a few wild entries must not widen all of a gene's intervals
    count = np.bincount(gene, minlength=n_genes)
    total = np.bincount(gene, weights=ratio, minlength=n_genes)
    return (total + ENTRIES_SHARED * ratio.mean()) / (count + ENTRIES_SHARED)
