"""Conditional mean under a bagged mixture of normals within each tissue: dependence that differs from row to row.

A tissue's rows are taken as draws from Σ_k π_k N(mean_k, covariance_k). Given a row's known entries z_O,

    E[z_M | z_O] = Σ_k w_k E_k[z_M | z_O],        w_k ∝ π_k N(z_O; mean_k, covariance_k),

so that a row is filled by the components that its known entries resemble: piecewise linear where one normal is linear.
Every component is shrunk to the tissue's one normal, so that components can be many; averaging over resampled donors
(bagging) takes out what depends on where the components happen to lie. The arithmetic is in
`reproduce.imputers._normal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state

from reproduce.errors import ConfigError
from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._folds import donor_folds, fit_standardised
from reproduce.imputers._normal import (
    Normal,
    conditional_mean,
    conditional_variance,
    draw_missing,
    expectation,
    log_likelihood,
)
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.median import groups_of

#: Samples that a component must be able to have on average; a tissue with fewer gets fewer components.
LEAST_SAMPLES = 15
#: Directions of largest variation in which components start as clusters.
START_DIMENSIONS = 10
#: Share of a row that starts outside its cluster, evenly over all components.
START_SOFTNESS = 0.05
#: Halvings in the search for a quantile: to a billionth of the distance of the components.
QUANTILE_ROUNDS = 30
#: Less of a row than this is not worth a component's arithmetic.
LEAST_MEMBERSHIP = 1e-4


@dataclass(frozen=True)
class _Mixture:
    """Components of one tissue in one bag with the logarithms of their weights (n_components,)."""

    components: tuple[Normal, ...]
    log_weights: np.ndarray

    def joint_log_likelihood(self, Z: np.ndarray) -> np.ndarray:
        """Of each row's known entries and each component, (n_rows, n_components)."""
        return np.stack([log_likelihood(Z, part) for part in self.components], axis=1) + self.log_weights

    def memberships(self, Z: np.ndarray) -> np.ndarray:
        """Probability (n_rows, n_components) of each component given the known entries of each row."""
        return _normalised(self.joint_log_likelihood(Z))


class GaussianMixtureImputer(PredictiveImputer):
    """Bagged mixture of multivariate normals within each tissue, shrunk to the tissue's one normal.

    Parameters
    ----------
    n_components : int or None, default None
        Normals in each tissue; fewer where a tissue has fewer than 15 samples for each. None: 10 where the fitted rows
        are complete; 3 where they have holes, since a component cannot be told from so little, and costs far more.
    n_bags : int, default 10
        Mixtures that are averaged, each of donors drawn with replacement; a single one is of all donors once.
    strength : float, default 100
        Weight of the tissue's one normal in each component's covariance, in samples.
    group : str or None, default "tissue"
        Categorical covariate whose categories have mixtures of their own. None, or no covariates at all: one mixture.
    max_iter : int, default 15
        Most rounds of EM for each mixture.
    tol : float, default 1e-3
        EM stops when the log likelihood rises by less than this per sample.
    unknown_category : {"error", "pool"}, default "error"
        A tissue that `fit` did not see is an error, or is filled by the one normal of all tissues together. A missing
        tissue always is.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    gaussian_ : ConditionalGaussianImputer
        The one normal of each tissue, fitted in standardised space.
    n_components_ : int
        Components asked for in each tissue.
    n_iter_ : int
        Most rounds of EM that a mixture took.

    Notes
    -----
    Component k with responsibilities r_i: covariance (Σ r_i S_i + strength × covariance of the tissue) / (Σ r_i +
    strength), S_i the expected outer product of row i about the mean, which is the maximum of the posterior under an
    inverse Wishart prior; its mean is drawn to the tissue's by one sample's weight.
    """

    def __init__(
        self,
        *,
        n_components: int | None = None,
        n_bags: int = 10,
        strength: float = 100.0,
        group: str | None = "tissue",
        max_iter: int = 15,
        tol: float = 1e-3,
        unknown_category: str = "error",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.n_bags = n_bags
        self.strength = strength
        self.group = group
        self.max_iter = max_iter
        self.tol = tol
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if self.n_components is not None:
            check_integer("n_components", self.n_components, least=1)
        check_integer("n_bags", self.n_bags, least=1)
        check_number("strength", self.strength, low=0, open_low=True)
        if self.group is not None and not isinstance(self.group, str):
            raise ConfigError(f"group is {self.group!r}; give the name of a categorical covariate, or None.")
        check_integer("max_iter", self.max_iter, least=1)
        check_number("tol", self.tol, low=0, open_low=True)
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        check_random_state_value(self.random_state)

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        generator = np.random.default_rng(int(check_random_state(self.random_state).randint(2**31)))
        gaussian = ConditionalGaussianImputer(group=self.group)
        self.gaussian_ = fit_standardised(gaussian, Z, covariates)
        self.n_components_ = self.n_components or (10 if observed.all() else 3)
        codes, n_groups = groups_of(self.group, covariates, len(Z))
        person = donor_folds(len(Z), covariates, len(Z), 0)
        n_people = person.max() + 1
        self._bags: list[dict[int, _Mixture]] = []
        self.n_iter_ = 1
        for _ in range(self.n_bags):
            drawn = np.arange(n_people) if self.n_bags == 1 else generator.integers(n_people, size=n_people)
            weights = np.bincount(drawn, minlength=n_people)[person].astype(np.float64)
            bag = {}
            for code in np.unique(codes):
                rows = np.flatnonzero((codes == code) & (weights > 0))
                if (code or n_groups == 0) and rows.size:
                    bag[int(code)] = self._mixture(Z[rows], weights[rows], self.gaussian_.normal_of(code), generator)
            self._bags.append(bag)

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        Z_hat = np.zeros(Z.shape)
        for rows, share, part in self._shares(Z, covariates):
            Z_hat[rows] += share * conditional_mean(Z[rows], part)
        return Z_hat

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        # over components and bags: E[variance + mean²] − E[mean]²
        mean, square = np.zeros(Z.shape), np.zeros(Z.shape)
        for rows, share, part in self._shares(Z, covariates):
            of_part = conditional_mean(Z[rows], part)
            mean[rows] += share * of_part
            square[rows] += share * (of_part**2 + conditional_variance(~observed[rows], part))
        return np.where(observed, 0.0, np.maximum(square - mean**2, 0.0))

    def _quantiles(
        self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None, probability: float
    ) -> np.ndarray:
        # of the mixture, by bisection between the least and the greatest of its components' quantiles
        parts = [
            (rows, share, conditional_mean(Z[rows], part), np.sqrt(conditional_variance(~observed[rows], part)))
            for rows, share, part in self._shares(Z, covariates)
        ]
        low, high = np.full(Z.shape, np.inf), np.full(Z.shape, -np.inf)
        for rows, _, mean, sd in parts:
            quantile = mean + norm.ppf(probability) * sd
            low[rows], high[rows] = np.minimum(low[rows], quantile), np.maximum(high[rows], quantile)
        for _ in range(QUANTILE_ROUNDS):
            middle, below = (low + high) / 2, np.zeros(Z.shape)
            for rows, share, mean, sd in parts:
                below[rows] += share * ndtr((middle[rows] - mean) / np.where(sd > 0, sd, 1.0))
            too_low = below < probability
            low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
        return (low + high) / 2

    def _shares(self, Z: np.ndarray, covariates: Covariates | None) -> Iterator[tuple[np.ndarray, np.ndarray, Normal]]:
        """Each component of each bag with the rows that it has a part in, and their shares (n_rows, 1) of it."""
        for _, rows, mixture in self._mixtures(covariates, len(Z)):
            memberships = mixture.memberships(Z[rows])
            memberships[memberships < LEAST_MEMBERSHIP] = 0.0
            memberships /= memberships.sum(axis=1, keepdims=True) * self.n_bags
            for share, part in zip(memberships.T, mixture.components, strict=True):
                mine = np.flatnonzero(share)
                yield rows[mine], share[mine, None], part

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        draws = np.empty((n, *Z.shape))
        bag_of = generator.integers(self.n_bags, size=(n, len(Z)))
        for bag, rows, mixture in self._mixtures(covariates, len(Z)):
            draw, row = np.nonzero(bag_of[:, rows] == bag)
            cumulated = np.cumsum(mixture.memberships(Z[rows]), axis=1)[row]
            chosen = (generator.random((len(row), 1)) > cumulated[:, :-1]).sum(axis=1)
            for k, part in enumerate(mixture.components):
                mine = chosen == k
                draws[draw[mine], rows[row[mine]]] = draw_missing(Z[rows[row[mine]]], part, generator)
        return draws

    def _mixtures(self, covariates: Covariates | None, n: int) -> Iterator[tuple[int, np.ndarray, _Mixture]]:
        """The bag's number, the positions of a tissue's rows among `n`, and their mixture."""
        codes, _ = groups_of(self.group, covariates, n)
        for number, bag in enumerate(self._bags):
            for code in np.unique(codes):
                # a tissue that is not known, or of whose donors this bag has none
                one = _Mixture((self.gaussian_.normal_of(code),), np.zeros(1))
                yield number, np.flatnonzero(codes == code), bag.get(int(code), one)

    def _mixture(self, Z: np.ndarray, weights: np.ndarray, whole: Normal, generator: np.random.Generator) -> _Mixture:
        """Mixture of a tissue's rows by EM, the rows counted `weights` times."""
        n_components = max(1, min(self.n_components_, len(Z) // LEAST_SAMPLES))
        filled = conditional_mean(Z, whole)
        memberships = _start(filled, weights, n_components, int(generator.integers(2**31)))
        moments, last = [(filled, 0.0)] * n_components, -np.inf
        for round_number in range(1, self.max_iter + 1):
            self.n_iter_ = max(self.n_iter_, round_number)
            counted = (memberships * weights[:, None]).T
            components = tuple(
                self._component(*moment, count, whole) for moment, count in zip(moments, counted, strict=True)
            )
            mixture = _Mixture(components, np.log((counted.sum(axis=1) + 1) / (weights.sum() + n_components)))
            joint = mixture.joint_log_likelihood(Z)
            total = float(weights @ logsumexp(joint, axis=1))
            if total - last < self.tol * weights.sum():
                break
            memberships, last = _normalised(joint), total
            counted = (memberships * weights[:, None]).T
            moments = [expectation(Z, part, count)[:2] for part, count in zip(components, counted, strict=True)]
        return mixture

    def _component(self, filled: np.ndarray, spread: np.ndarray | float, counted: np.ndarray, whole: Normal) -> Normal:
        n = counted.sum()
        mean = (counted @ filled + whole.mean) / (n + 1)
        centred = filled - mean
        shift = mean - whole.mean
        scatter = (centred.T * counted) @ centred + spread + np.outer(shift, shift)
        return Normal.of(mean, (scatter + self.strength * whole.covariance) / (n + self.strength))


def _start(filled: np.ndarray, weights: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    """Memberships (n_rows, n_components) from clusters of the rows in their directions of largest variation."""
    left, sizes, _ = np.linalg.svd(filled - filled.mean(axis=0), full_matrices=False)
    scores = left[:, :START_DIMENSIONS] * sizes[:START_DIMENSIONS]
    cluster = KMeans(n_components, n_init=3, random_state=seed).fit_predict(scores, sample_weight=weights)
    memberships = np.full((len(filled), n_components), START_SOFTNESS / n_components)
    memberships[np.arange(len(filled)), cluster] += 1 - START_SOFTNESS
    return memberships


def _normalised(joint: np.ndarray) -> np.ndarray:
    """Probabilities (n_rows, n_components) from joint log likelihoods."""
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
