"""Fills a small target cohort with the help of reference cohorts, as far as its own hidden entries show that they help;
never fills a reference.

The target's rows are taken as draws of one normal. What the references know enters as a prior,

    covariance ~ inverse Wishart, worth ν samples of D (Σ_k w_k R_k + w_0 I) D,

with R_k the correlations of reference k, w the mixing proportions and D the target's own standard deviations, drawn to
a reference's where the target has few entries. Means have a normal prior around a reference's means, as wide as the
two cohorts' means are seen to differ. The target's known entries update both by expectation maximisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from reproduce.errors import ConfigError
from reproduce.imputers._base import check_integer, check_number, check_random_state_value
from reproduce.imputers._covariates import Covariates
from reproduce.imputers._folds import fit_standardised
from reproduce.imputers._normal import Normal, Prior, conditional_mean, conditional_variance, draw_missing
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers._transfer import (
    Moments,
    Reference,
    check_references,
    leave_one_out,
    mean_prior,
    mixed_correlation,
    normal_of,
    own_mean,
    read_reference,
    reference_report,
    shrunk_sd,
    simplex_lattice,
    updated_by_target,
)
from reproduce.imputers._transfer_choice import folds_of_entries, gain_by_gene, likelihood_weights, squared_errors
from reproduce.imputers.gaussian import ConditionalGaussianImputer

#: A reference's weight in the grid that stands for "reference only".
REFERENCE_ONLY = np.inf
#: Odds for the target alone before its entries are heard: where both look alike, references are not taken.
_ODDS_FOR_TARGET = np.exp(3.0)
#: Candidates of less weight in the average are not fitted again.
_LEAST_WEIGHT = 1e-3
TARGET_ONLY = "target only"


@dataclass(frozen=True)
class _Candidate:
    """A prior's weight, in samples; None: the target alone, as `ConditionalGaussianImputer` fits it."""

    samples: float | None

    @property
    def name(self) -> str:
        if self.samples is None:
            return TARGET_ONLY
        return "reference only" if np.isinf(self.samples) else f"{self.samples:g} samples"


class TransferImputer(PredictiveImputer):
    """Gaussian of a target cohort, updated from reference cohorts by as much as helps on hidden known entries.

    The target is one cohort of one tissue; covariates are accepted and not read, so that rows of several tissues are
    taken for one. Without references the target is
    fitted alone, with the weight of its uncorrelated prior chosen in the same way.

    How much of what: (1) each mixing proportion of the references and of "no correlation" is judged by predicting every
    known entry of the target from the others of its sample. (2) With the proportions settled, known entries are
    hidden, fold by fold, and predicted under each weight ν of the prior, from "reference only" to the target alone.
    Both times grid points are averaged, weighted by their error on those entries as by a likelihood, instead of taking
    the best: with ten samples the choice is noisy and the average is safer.

    Parameters
    ----------
    weights : tuple of float, default (5, 20, 60, 200, inf)
        Weights ν of the prior that are tried, in samples; infinite is "reference only". The target alone is always
        tried as well.
    n_folds : int, default 5
        Into how many parts known entries are divided; each is hidden once. Where the target is large, fewer are
        hidden: 3,000 entries are enough.
    max_iter : int, default 100
        Most rounds of EM for each weight.
    tol : float, default 1e-3
        EM stops when no entry of mean and covariance (in standard deviations) changes by more.
    random_state : int, RandomState or None, default None
        Which entries are hidden.

    Attributes
    ----------
    mean_ : ndarray (n_varying_genes,)
        Standardised.
    covariance_ : ndarray (n_varying_genes, n_varying_genes)
    mixing_ : Series
        Proportion of each reference, and of "no correlation", in the prior.
    choice_ : DataFrame
        One row per weight tried: prior (text), samples, error (mean squared, of hidden entries, in standard
        deviations of the target's genes; NaN where nothing could be hidden or it was given up on early), weight (in
        the average).
    transfer_gain_ : DataFrame
        One row per varying gene: gene, n_hidden, error_without and error_with (mean squared, of hidden entries, by
        the target alone and with references), gain (their difference), standard_error, transfers (gain above two
        standard errors). The weights with which a fold was predicted come from the other folds; the mixing proportions
        were settled on all known entries, which flatters the references a little.
    reference_report_ : DataFrame
        One row per reference: reference, n_samples, n_matched, n_absent (genes of the target that are constant or not
        in the reference and take nothing from it), absent (their names, by comma).
    n_iter_ : int
        Most rounds of EM.
    converged_ : bool

    Notes
    -----
    "As far as it helps" is itself estimated. Some fifty known entries (eight samples of a dozen genes, half hidden)
    cannot tell for sure: there an unrelated reference cost 0.05 in R² on simulated cohorts; with twenty samples it
    cost 0.002.

    Inverse Wishart prior and EM: Schafer, Analysis of Incomplete Multivariate Data (1997), section 5.2.
    """

    def __init__(
        self,
        *,
        weights: tuple[float, ...] = (5.0, 20.0, 60.0, 200.0, REFERENCE_ONLY),
        n_folds: int = 5,
        max_iter: int = 100,
        tol: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.weights = weights
        self.n_folds = n_folds
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(
        self,
        X,
        y=None,
        *,
        covariates: pd.DataFrame | None = None,
        references: Mapping[str, pd.DataFrame] | None = None,
    ):
        """Learn from the target's rows, with or without missing entries, and from reference cohorts.

        Parameters
        ----------
        X : array-like or DataFrame (n_samples, n_genes)
            The target, in a log-like unit, NaN where missing. A DataFrame where there are references.
        y : None
            Ignored.
        covariates : DataFrame, optional
            Not read.
        references : mapping of str to DataFrame (n_samples, n_genes), optional
            By name. In the target's unit; genes are matched by name and each reference is standardised by itself. One
            tissue each: a cohort of several tissues is given as several references. NaN is allowed.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            For a hyperparameter out of range, or references of another kind.
        DataFormatError
            As the base; and for references that share fewer than two genes with the target.
        """
        self._given = check_references(references, X)
        self.reference_report_ = reference_report([], {}, pd.Index([]))
        try:
            return super().fit(X, y, covariates=covariates)
        finally:
            del self._given  # a fitted imputer keeps nobody's data

    def fit_transform(
        self,
        X,
        y=None,
        *,
        covariates: pd.DataFrame | None = None,
        references: Mapping[str, pd.DataFrame] | None = None,
    ):
        """Fit on the target's rows and fill them. Parameters as in `fit`, result as of `transform`."""
        return self.fit(X, y, covariates=covariates, references=references).transform(X, covariates=covariates)

    def _check_parameters(self) -> None:
        if not isinstance(self.weights, (tuple, list)) or not self.weights:
            raise ConfigError(f"weights is {self.weights!r}; give a sequence of positive numbers, inf among them.")
        for weight in self.weights:
            if weight != REFERENCE_ONLY:
                check_number("weights", weight, low=0, open_low=True)
        check_integer("n_folds", self.n_folds, least=2)
        check_integer("max_iter", self.max_iter, least=1)
        check_number("tol", self.tol, low=0, open_low=True)
        check_random_state_value(self.random_state)

    def _reads_covariates(self) -> bool:
        return False

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        genes = pd.Index([self._gene(column) for column in np.flatnonzero(self.varying_)])
        center, scale = self.center_[self.varying_], self.scale_[self.varying_]
        references = [read_reference(name, frame, genes, center, scale) for name, frame in self._given.items()]
        self.reference_report_ = reference_report(references, self._given, genes)
        self._candidates = [_Candidate(weight) for weight in sorted(map(float, self.weights), reverse=True)]
        self._candidates.append(_Candidate(None))
        proportions, correlation = self._mixed(Z, references)
        self.mixing_ = pd.Series(proportions, index=[*self._given, "no correlation"], name="proportion")
        generator = np.random.default_rng(int(check_random_state(self.random_state).randint(2**31)))
        hidden = folds_of_entries(observed, self.n_folds, generator)
        sd = shrunk_sd(Moments.of(Z), references)
        held_out, wanted = [], np.ones(len(self._candidates), dtype=bool)
        for number, fold in enumerate(hidden, start=1):
            held_out.append(self._predictions(Z, fold, references, correlation, wanted))
            # hopeless ones are given up on; the target alone stays, since the others are compared with it
            wanted = self._weights(*squared_errors(Z, sd, hidden[:number], held_out)) >= _LEAST_WEIGHT
            wanted[-1] = True
        weights = self._choose(Z, sd, hidden, held_out)
        self.transfer_gain_ = gain_by_gene(genes, Z, sd, hidden, held_out, self._weights)
        self._normal = self._average(Z, references, correlation, weights)
        self.mean_, self.covariance_ = self._normal.mean, self._normal.covariance

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return conditional_mean(Z, self._normal)

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        # of the model: without the uncertainty of its mean and covariance
        return conditional_variance(~observed, self._normal)

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        return draw_missing(np.tile(Z, (n, 1)), self._normal, generator).reshape(n, *Z.shape)

    # mixing proportions

    def _mixed(self, Z: np.ndarray, references: list[Reference]) -> tuple[np.ndarray, np.ndarray]:
        """Proportions of the references and the identity, averaged over the lattice, and their correlation matrix."""
        if not references:
            return np.ones(1), np.eye(Z.shape[1])
        moments = Moments.of(Z)
        sd = shrunk_sd(moments, references)
        mean = own_mean(moments, sd, mean_prior(moments, sd, references))
        lattice = simplex_lattice(len(references))
        errors = [
            np.sum((leave_one_out(Z, normal_of(mean, sd, mixed_correlation(point, references))) / sd) ** 2)
            for point in lattice
        ]
        proportions = likelihood_weights(np.array(errors), np.count_nonzero(~np.isnan(Z))) @ lattice
        return proportions, mixed_correlation(proportions, references)

    # the prior's weight

    def _candidate_fits(
        self,
        Z: np.ndarray,
        references: list[Reference],
        correlation: np.ndarray,
        wanted: np.ndarray,
    ) -> list[Normal | None]:
        """The normal of each candidate that is wanted; EM under one weight starts from the next larger one's."""
        moments = Moments.of(Z)
        sd = shrunk_sd(moments, references)
        of_mean = mean_prior(moments, sd, references)
        normal = normal_of(own_mean(moments, sd, of_mean), sd, correlation)
        target_covariance, fits = normal.covariance, []
        for candidate, is_wanted in zip(self._candidates, wanted):
            if not is_wanted:
                fits.append(None)
            elif candidate.samples is None:
                fits.append(self._target_alone(Z))
            else:
                prior = Prior(target_covariance, candidate.samples)
                normal, n_rounds, settled = updated_by_target(
                    Z, normal, prior, of_mean, max_iter=self.max_iter, tol=self.tol
                )
                self.n_iter_ = max(getattr(self, "n_iter_", 1), n_rounds)
                self.converged_ = getattr(self, "converged_", True) and settled
                fits.append(normal)
        return fits

    def _target_alone(self, Z: np.ndarray) -> Normal:
        imputer = ConditionalGaussianImputer(group=None, max_iter=self.max_iter, tol=self.tol)
        fit_standardised(imputer, Z, None)
        return Normal.of(imputer.means_[0], imputer.covariances_[0])

    def _predictions(
        self,
        Z: np.ndarray,
        hidden: np.ndarray,
        references: list[Reference],
        correlation: np.ndarray,
        wanted: np.ndarray,
    ) -> np.ndarray:
        """Hidden entries (n_candidates, n_hidden) as each wanted candidate predicts them; NaN for the others."""
        visible = np.where(hidden, np.nan, Z)
        rows = hidden.any(axis=1)
        # with the tolerance of the final fit: EM that stops early shrinks as well, and would be judged for it
        fits = self._candidate_fits(visible, references, correlation, wanted)
        predicted = np.full((len(fits), np.count_nonzero(hidden)), np.nan)
        for row, normal in zip(predicted, fits):
            if normal is not None:
                row[:] = conditional_mean(visible[rows], normal)[hidden[rows]]
        return predicted

    def _weights(self, squares: np.ndarray, n: int) -> np.ndarray:
        """Weight of each candidate in the average, from its squared errors over n entries; equal without any."""
        if n == 0:
            return np.full(len(self._candidates), 1 / len(self._candidates))
        weights = likelihood_weights(squares, n)
        if len(self.mixing_) > 1:  # there are references that must show that they help
            weights[-1] *= _ODDS_FOR_TARGET
        return weights / weights.sum()

    def _choose(
        self, Z: np.ndarray, sd: np.ndarray, hidden: list[np.ndarray], held_out: list[np.ndarray]
    ) -> np.ndarray:
        """Weight of each candidate in the average, and the table `choice_`."""
        squares, n = squared_errors(Z, sd, hidden, held_out)
        weights = self._weights(squares, n)
        self.choice_ = pd.DataFrame(
            {
                "prior": [candidate.name for candidate in self._candidates],
                "samples": [0.0 if c.samples is None else c.samples for c in self._candidates],
                "error": np.where(np.isfinite(squares), squares / n, np.nan) if n else np.full(len(weights), np.nan),
                "weight": weights,
            }
        )
        return weights

    def _average(
        self, Z: np.ndarray, references: list[Reference], correlation: np.ndarray, weights: np.ndarray
    ) -> Normal:
        wanted = weights >= min(_LEAST_WEIGHT, weights.max())
        self.n_iter_, self.converged_ = 1, True
        fits = self._candidate_fits(Z, references, correlation, wanted)
        kept = weights[wanted] / weights[wanted].sum()
        normals = [normal for normal in fits if normal is not None]
        mean = sum(weight * normal.mean for weight, normal in zip(kept, normals))
        return Normal.of(mean, sum(weight * normal.covariance for weight, normal in zip(kept, normals)))
