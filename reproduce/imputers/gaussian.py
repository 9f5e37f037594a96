"""Conditional mean of a multivariate normal, one for each tissue: what linear dependence alone can do; never samples.

The rows of one tissue are taken as draws from N(mean, covariance). A row's missing genes M given its known genes O have

    mean_M + covariance_MO covariance_OO⁻¹ (z_O − mean_O)     and covariance     K_MM⁻¹,     K = covariance⁻¹.

The arithmetic is in `reproduce.imputers._normal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from sklearn.covariance import ledoit_wolf, oas

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._base import check_choice, check_integer, check_number
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._folds import (
    covariates_of_rows,
    donor_folds,
    held_out_fits,
    hide_entries,
    impute_standardised,
)
from reproduce.imputers._normal import (
    Normal,
    Prior,
    conditional_mean,
    conditional_variance,
    draw_missing,
    mixture,
    most_probable,
)
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers.median import groups_of

#: Least variance of a gene within a tissue, in units of its variance over all fitted rows.
LEAST_VARIANCE = 1e-6
#: Weight of the diagonal where no shrinkage is asked for: enough to invert, too little to matter.
LEAST_SHRINKAGE = 1e-6
#: Most that the data may ask for: correlations are never shrunk to nothing.
MOST_SHRINKAGE = 0.95
#: Weights tried, and folds of donors they are tried on, where the weight is chosen by hidden entries.
SHRINKAGES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
SHRINKAGE_FOLDS = 3


class ConditionalGaussianImputer(PredictiveImputer):
    """Conditional mean under a multivariate normal with shrunk covariance, one for each tissue.

    Fitted on complete rows it has a closed form. Fitted on rows with holes, mean and covariance are those of highest
    posterior density, found by expectation maximisation (EM) under a conjugate (inverse Wishart) prior for the
    covariance.

    Parameters
    ----------
    group : str or None, default "tissue"
        Categorical covariate whose categories have normals of their own. None, or no covariates at all: one normal.
    shrinkage : "ledoit_wolf", "oas", "held_out", float in [0, 1) or None, default "ledoit_wolf"
        Weight of the tissue's own variances without correlation. "ledoit_wolf": the weight of Ledoit and Wolf (2004),
        on correlations, for complete rows; for rows with holes its counterpart from pairs of known entries (see
        Notes). "oas": that of Chen et al. (2010), for complete rows only. "held_out": of `SHRINKAGES`, the weight
        with the least error on hidden known entries of left-out donors; needs two donors at least. None leaves
        only what makes matrices invertible.
    pooling : float, default 20
        Weight of the correlations that all tissues share, in samples: with it a tissue of few samples borrows from
        the others. 0 keeps tissues apart.
    max_iter : int, default 100
        Most rounds of EM, for each tissue.
    tol : float, default 1e-3
        EM stops when no entry of mean and covariance (standardised) changes by more.
    unknown_category : {"error", "pool"}, default "error"
        A tissue that `fit` did not see is an error, or gets the normal with the mean and covariance of all tissues
        together. A missing tissue always does.

    Attributes
    ----------
    means_ : ndarray (1 + n_groups, n_varying_genes)
        Standardised; row 0 of all tissues together, then one row per group in sorted order.
    covariances_ : ndarray (1 + n_groups, n_varying_genes, n_varying_genes)
    shrinkage_ : "ledoit_wolf", "oas", float or None
        As given, or as chosen if that is "held_out".
    n_iter_ : int
        Most rounds of EM that a tissue took; 1 for complete rows.
    converged_ : bool
    log_posterior_ : list of ndarray (n_rounds,)
        Of each group, up to a constant: log likelihood of the known entries plus log prior. Never falls. Empty for
        complete rows.

    Notes
    -----
    Needs memory for (n_groups + 1) matrices (n_genes, n_genes), and time for n_samples solves of at most half that
    size: made for gene sets of up to a few thousand genes, not for the genome.

    Rows with holes: the weight that minimises the expected squared error of correlations r is Σ var(r) / Σ E[r²] over
    pairs of genes (Schäfer and Strimmer 2005), with var(r) for complete rows estimated from the products of entries
    that are known together. It is worth ν = n w / (1 − w) samples; ν is raised by the factor 1 + n_genes / n_known,
    n_known being the mean number of known entries of a gene, because the inverse of a covariance suffers more from few
    samples than the covariance does. On the p53 data this gives 9 to 19 samples, where R² is flat in it.

    EM for the normal with missing values: Little and Rubin, Statistical Analysis with Missing Data, chapter 11.
    """

    def __init__(
        self,
        *,
        group: str | None = "tissue",
        shrinkage: str | float | None = "ledoit_wolf",
        pooling: float = 20.0,
        max_iter: int = 100,
        tol: float = 1e-3,
        unknown_category: str = "error",
    ):
        self.group = group
        self.shrinkage = shrinkage
        self.pooling = pooling
        self.max_iter = max_iter
        self.tol = tol
        self.unknown_category = unknown_category

    def _check_parameters(self) -> None:
        if isinstance(self.shrinkage, str):
            check_choice("shrinkage", self.shrinkage, ("ledoit_wolf", "oas", "held_out"))
        elif self.shrinkage is not None:
            check_number("shrinkage", self.shrinkage, low=0, high=1, open_high=True)
        if self.group is not None and not isinstance(self.group, str):
            raise ConfigError(f"group is {self.group!r}; give the name of a categorical covariate, or None.")
        check_number("pooling", self.pooling, low=0)
        check_integer("max_iter", self.max_iter, least=1)
        check_number("tol", self.tol, low=0, open_low=True)
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        codes, n_groups = groups_of(self.group, covariates, len(Z))
        members = {code: np.flatnonzero(codes == code) for code in range(1, n_groups + 1)}
        members = {code: rows for code, rows in members.items() if rows.size}
        groups = [Z[rows] for rows in members.values()] or [Z]
        self.n_iter_, self.converged_, self.log_posterior_ = 1, True, []
        self.shrinkage_ = self.shrinkage
        if self.shrinkage == "oas" and not observed.all():
            raise ConfigError("shrinkage='oas' needs complete rows; for rows with holes use 'ledoit_wolf'.")
        if self.shrinkage == "held_out":
            self.shrinkage_ = self._best_shrinkage(Z, observed, covariates)
        fitted = self._closed_form(groups) if observed.all() else self._by_em(groups)
        together = mixture(fitted, np.array([len(rows) for rows in groups], dtype=np.float64))
        self._normals = [together] * (1 + n_groups)
        for code, normal in zip(members, fitted):
            self._normals[code] = normal
        self.means_ = np.stack([normal.mean for normal in self._normals])
        self.covariances_ = np.stack([normal.covariance for normal in self._normals])

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        Z_hat = np.empty_like(Z)
        for group, rows in self._rows_by_group(covariates, len(Z)):
            Z_hat[rows] = conditional_mean(Z[rows], group)
        return Z_hat

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        # of the model: without the uncertainty of its mean and covariance
        variance = np.zeros(Z.shape)
        for group, rows in self._rows_by_group(covariates, len(Z)):
            variance[rows] = conditional_variance(~observed[rows], group)
        return variance

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        draws = np.empty((n, *Z.shape))
        for group, rows in self._rows_by_group(covariates, len(Z)):
            drawn = draw_missing(np.tile(Z[rows], (n, 1)), group, generator)
            draws[:, rows] = drawn.reshape(n, len(rows), Z.shape[1])
        return draws

    def normal_of(self, code: int) -> Normal:
        """The fitted normal, standardised, of a group's code; code 0 is that of all groups together."""
        return self._normals[code]

    def _rows_by_group(self, covariates: Covariates | None, n: int) -> Iterator[tuple[Normal, np.ndarray]]:
        codes, _ = groups_of(self.group, covariates, n)
        for code in np.unique(codes):
            yield self.normal_of(code), np.flatnonzero(codes == code)

    def _best_shrinkage(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> float:
        folds = donor_folds(len(Z), covariates, SHRINKAGE_FOLDS, seed=0)
        if folds.max() == 0:
            raise DataFormatError(
                "shrinkage='held_out' is chosen on left-out donors, and the rows to fit are of one; give rows of at "
                "least two donors, or shrinkage='ledoit_wolf', which needs none."
            )
        rates = (0.3, 0.7) if observed.all() else (0.1, 0.4)
        asked = hide_entries(observed, rates, np.random.default_rng(0))
        if not asked.any():
            raise DataFormatError(
                "shrinkage='held_out' is chosen on hidden known entries, and none could be hidden in so few; give "
                "more rows, or shrinkage='ledoit_wolf', which needs none."
            )
        shown = np.where(asked, np.nan, Z)
        errors = []
        for weight in SHRINKAGES:
            filled = np.empty_like(Z)
            make = partial(ConditionalGaussianImputer, **{**self.get_params(), "shrinkage": weight})
            for part, rows in held_out_fits(make, Z, covariates, folds):
                filled[rows] = impute_standardised(part, shown[rows], covariates_of_rows(covariates, rows))
            errors.append(float(np.mean((filled - Z)[asked] ** 2)))
        return SHRINKAGES[int(np.argmin(errors))]

    # complete rows

    def _closed_form(self, groups: list[np.ndarray]) -> list[Normal]:
        means = [Z.mean(axis=0) for Z in groups]
        sds = [np.sqrt(np.maximum(Z.var(axis=0), LEAST_VARIANCE)) for Z in groups]
        scaled = [(Z - mean) / sd for Z, mean, sd in zip(groups, means, sds)]
        shared = self._correlation(np.vstack(scaled)) if len(groups) > 1 and self.pooling > 0 else None
        fitted = []
        for mean, sd, rows in zip(means, sds, scaled):
            correlation = self._correlation(rows)
            if shared is not None:
                correlation = (len(rows) * correlation + self.pooling * shared) / (len(rows) + self.pooling)
            fitted.append(Normal.of(mean, correlation * np.outer(sd, sd)))
        return fitted

    def _correlation(self, scaled: np.ndarray) -> np.ndarray:
        """Shrunk correlation matrix of rows (n_samples, n_genes) with mean 0 and variance 1, or 0 for constants."""
        if len(scaled) < 2:
            return np.eye(scaled.shape[1])  # one sample tells nothing about dependence
        weight = self.shrinkage_
        if isinstance(weight, str):
            _, weight = (ledoit_wolf if weight == "ledoit_wolf" else oas)(scaled, assume_centered=True)
        weight = max(weight or 0.0, LEAST_SHRINKAGE)
        correlation = (1 - weight) * (scaled.T @ scaled / len(scaled))
        # a variance that was raised to the least allowed has too small an entry here
        np.fill_diagonal(correlation, 1.0)
        return correlation

    # rows with holes

    def _by_em(self, groups: list[np.ndarray]) -> list[Normal]:
        variances = _within_variances(groups)
        pooled = np.average(variances, axis=0, weights=[len(Z) for Z in groups])
        means = [_column_means(Z) for Z in groups]
        shared = None
        if len(groups) > 1 and self.pooling > 0:
            residuals = np.vstack([Z - mean for Z, mean in zip(groups, means)])
            prior = self._prior(residuals, pooled, None)
            shared, _, _ = self._most_probable(residuals, Normal.of(np.zeros(len(pooled)), np.diag(pooled)), prior)
        fitted = []
        for Z, mean, variance in zip(groups, means, variances):
            prior = self._prior(Z, variance, shared)
            start = Normal.of(mean, prior.covariance)
            normal, trace, settled = self._most_probable(Z, start, prior)
            fitted.append(normal)
            self.log_posterior_.append(trace)
            self.n_iter_ = max(self.n_iter_, len(trace))
            self.converged_ &= settled
        return fitted

    def _most_probable(self, Z: np.ndarray, start: Normal, prior: Prior) -> tuple[Normal, np.ndarray, bool]:
        return most_probable(Z, start, prior, max_iter=self.max_iter, tol=self.tol)

    def _prior(self, Z: np.ndarray, variance: np.ndarray, shared: Normal | None) -> Prior:
        weight = _shrinkage_with_holes(Z) if self.shrinkage_ == "ledoit_wolf" else self.shrinkage_ or 0.0
        weight = max(weight, LEAST_SHRINKAGE)
        diagonal = len(Z) * weight / (1 - weight)
        if self.shrinkage_ == "ledoit_wolf":
            diagonal *= 1 + Z.size / max(np.count_nonzero(~np.isnan(Z)), 1) * Z.shape[1] / len(Z)
        total = diagonal * np.diag(variance)
        if shared is None:
            return Prior(total / diagonal, diagonal)
        sd = np.sqrt(np.diag(shared.covariance))
        correlation = shared.covariance / np.outer(sd, sd)
        total += self.pooling * correlation * np.sqrt(np.outer(variance, variance))
        return Prior(total / (diagonal + self.pooling), diagonal + self.pooling)


def _shrinkage_with_holes(Z: np.ndarray) -> float:
    """Weight of the diagonal that the pairs of known entries ask for; see the Notes of the class."""
    known = (~np.isnan(Z)).astype(np.float64)
    scaled = np.where(known > 0, Z - _column_means(Z), 0.0)
    variance = np.sum(scaled**2, axis=0) / np.maximum(known.sum(axis=0), 1)
    scaled /= np.sqrt(np.maximum(variance, LEAST_VARIANCE))
    n_pairs = known.T @ known
    usable = (n_pairs >= 3) & ~np.eye(Z.shape[1], dtype=bool)
    if not usable.any():
        return MOST_SHRINKAGE
    n_pairs = np.maximum(n_pairs, 1)
    correlation = scaled.T @ scaled / n_pairs
    of_one_pair = np.maximum((scaled**2).T @ scaled**2 / n_pairs - correlation**2, 0.0)
    noise = np.sum(of_one_pair[usable]) / len(Z)
    signal = max(np.sum((correlation**2 - of_one_pair / n_pairs)[usable]), 0.0)
    return min(noise / (noise + signal), MOST_SHRINKAGE) if noise > 0 else 0.0


def _column_means(Z: np.ndarray) -> np.ndarray:
    """Mean of the known entries of each gene; 0, the mean of all fitted rows, where there are none."""
    known = ~np.isnan(Z)
    return np.nansum(Z, axis=0) / np.maximum(known.sum(axis=0), 1)


def _within_variances(groups: list[np.ndarray]) -> list[np.ndarray]:
    """Variances of known entries in each group, drawn to those of all groups by five samples' worth."""
    squares = [np.nansum((Z - _column_means(Z)) ** 2, axis=0) for Z in groups]
    counts = [(~np.isnan(Z)).sum(axis=0) for Z in groups]
    pooled = np.maximum(np.sum(squares, axis=0) / np.sum(counts, axis=0), LEAST_VARIANCE)
    return [(square + 5 * pooled) / (count + 5) for square, count in zip(squares, counts)]
