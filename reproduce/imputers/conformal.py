"""Standard deviations, intervals and draws for any method, from its errors on held-out donors; never imputes itself.

The method is fitted again without each fold of donors, known entries of the fold are hidden, and the errors there
(in standardised space) tell how wrong the method is on entries like these (`reproduce.imputers._residual_scale`):

    interval at level 1 − α  =  [ẑ + σ q(α/2), ẑ + σ q(1 − α/2)],

with σ the size of the entry's error given what is known of it, and q conformal quantiles of error / σ, lower and upper
apart: errors need not be symmetric.
"""

from __future__ import annotations

import hashlib

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._base import (
    ExpressionImputer,
    check_choice,
    check_integer,
    check_number,
    check_random_state_value,
)
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._folds import covariates_of_rows, donor_folds, fit_standardised, hide_entries, left_out
from reproduce.imputers._normal import conditional_mean
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers._residual_scale import ResidualQuantiles, ResidualScale, fit_quantiles, fit_scale
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.median import groups_of

#: Fractions of a held-out row's known entries that are hidden: each row's is drawn between them.
HIDDEN_RATES = (0.05, 0.95)
#: Added to the fraction of visible entries before its logarithm is taken, so that none visible is finite.
_VISIBLE_OFFSET = 0.05
#: Genes' worth of an average row that a row's strangeness is drawn to.
_DISPERSION_PRIOR = 8.0
_LEAST_VARIANCE = 1e-9


class ConformalImputer(PredictiveImputer):
    """Any imputer, with predictive distributions calibrated on held-out donors.

    What is filled in is the method's own. The size of an entry's error depends on

    * the method's own conditional standard deviation, if it has one, or else that of a conditional Gaussian fitted to
      the same rows;
    * the fraction of the row's entries that are visible, and its logarithm;
    * how strange the row is: the Mahalanobis distance of its visible entries from its tissue's mean, per entry. Rows
      that are far from everything are predicted worse; this is most of what can be known of errors beyond the model;
    * the imputed value: for some genes low values are noisier;
    * gene and tissue.

    Parameters
    ----------
    imputer : str or ExpressionImputer, default "gaussian"
        A name of `reproduce.imputers.METHODS`, or an imputer that is not fitted. It must be able to fill rows that it
        was not fitted on.
    n_folds : int, default 5
        Folds of donors. Fitting costs n_folds + 1 fits of the method.
    n_repeats : int, default 4
        How often known entries of each row are hidden, at another rate each time.
    scale_pooling : float, default 30
        Weight of what all genes have in common in how errors change, in errors.
    quantile_pooling : float, default 1000
        Weight of the quantiles of all genes in those of each gene, in errors.
    group : str or None, default "tissue"
        Categorical covariate whose categories have error sizes, and a Gaussian, of their own.
    unknown_category : {"error", "pool"}, default "error"
        A tissue that `fit` did not see is an error, or is unknown: it has the errors of all tissues together.
    random_state : int, RandomState or None, default None
        Of folds and hidden entries, and of the method if that is given by its name.

    Attributes
    ----------
    imputer_ : ExpressionImputer
        Fitted to all rows, in standardised space.
    gaussian_ : ConditionalGaussianImputer
        Says how strange rows are and how errors of one row go together; `imputer_` itself if that is one.
    residual_scale_ : ResidualScale
    residual_quantiles_ : ResidualQuantiles
    n_residuals_ : ndarray of float (n_varying_genes,)
        Held-out errors of each gene, repeats of an entry counted as 1 / n_repeats.

    Notes
    -----
    Draws are joint within a row by a Gaussian copula: the conditional Gaussian's draw of the row's missing entries
    gives correlated normal scores, and each is turned into the error of that probability. So draws of one entry have
    the distribution of its intervals, and draws of one row belong together. Uncertainty of what was *fitted* is in
    their width, but differs from row to row at random; for a question about all rows at once, fit on resampled donors
    as well (`reproduce.multiple_imputation`).

    The errors are those of fits on (n_folds − 1) / n_folds of the donors, so intervals are slightly wide rather than
    narrow. In place, rows that have holes already are hidden further. Coverage holds on average over donors like the
    fitted ones (exchangeable with them) and entries hidden at random, not for each entry; and not for another cohort.

    Lei et al., Distribution-free predictive inference for regression, JASA 113 (2018); normalised scores and
    cross-fitting: section 5.
    """

    def __init__(
        self,
        imputer: str | ExpressionImputer = "gaussian",
        *,
        n_folds: int = 5,
        n_repeats: int = 4,
        scale_pooling: float = 30.0,
        quantile_pooling: float = 1000.0,
        group: str | None = "tissue",
        unknown_category: str = "error",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.imputer = imputer
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.scale_pooling = scale_pooling
        self.quantile_pooling = quantile_pooling
        self.group = group
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if isinstance(self.imputer, str):
            _check_inductive(self.imputer)
        elif not isinstance(self.imputer, ExpressionImputer):
            raise ConfigError(
                f"imputer is a {type(self.imputer).__name__}; give the name of a method or an ExpressionImputer."
            )
        if self.group is not None and not isinstance(self.group, str):
            raise ConfigError(f"group is {self.group!r}; give the name of a categorical covariate, or None.")
        check_integer("n_folds", self.n_folds, least=2)
        check_integer("n_repeats", self.n_repeats, least=1)
        check_number("scale_pooling", self.scale_pooling, low=0, open_low=True)
        check_number("quantile_pooling", self.quantile_pooling, low=0, open_low=True)
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        check_random_state_value(self.random_state)

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31))
        folds = donor_folds(len(Z), covariates, int(self.n_folds), seed)
        if folds.max() == 0:
            raise DataFormatError(
                "The rows to fit are of one donor, so none can be left out to see how wrong the method is; "
                "give rows of at least two donors."
            )
        self.imputer_, self.gaussian_ = self._fitted(Z, covariates, seed)
        groups, n_groups = groups_of(self.group, covariates, len(Z))
        rows, errors, features = self._held_out(Z, covariates, folds, seed)
        weights = ~np.isnan(errors) / float(self.n_repeats)
        if not weights.any():
            raise DataFormatError(
                "No known entry could be hidden to see how wrong the method is; give more rows, or rows with more "
                "known entries."
            )
        errors = np.where(weights > 0, errors, 0.0)
        self.residual_scale_: ResidualScale = fit_scale(
            errors, _rows_alike(weights), features, groups[rows], n_groups, pooling=self.scale_pooling
        )
        relative = errors / self.residual_scale_.of(features, groups[rows])
        self.residual_quantiles_: ResidualQuantiles = fit_quantiles(relative, weights, pooling=self.quantile_pooling)
        self.n_residuals_ = weights.sum(axis=0)

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return self.imputer_._impute(Z, observed, covariates)

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        _, scale = self._value_and_scale(Z, covariates)
        return scale**2 * self.residual_quantiles_.mean_square

    def _quantiles(
        self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None, probability: float
    ) -> np.ndarray:
        value, scale = self._value_and_scale(Z, covariates)
        return value + scale * self.residual_quantiles_.at(probability)

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        value, scale = self._value_and_scale(Z, covariates)
        normal = self.gaussian_
        sd = np.sqrt(np.maximum(normal._variance(Z, observed, covariates), _LEAST_VARIANCE))
        drawn = normal._draw(Z, observed, covariates, n, generator) - normal._impute(Z, observed, covariates)
        scores = np.where(observed, 0.0, drawn / sd)
        return value + scale * self.residual_quantiles_.at_scores(scores)

    # the method and the Gaussian beside it

    def _new_imputer(self, seed: int) -> ExpressionImputer:
        if isinstance(self.imputer, str):
            from reproduce.imputers import make_imputer

            return make_imputer(self.imputer, random_state=seed)
        return clone(self.imputer)

    def _fitted(
        self, Z: np.ndarray, covariates: Covariates | None, seed: int
    ) -> tuple[ExpressionImputer, ConditionalGaussianImputer]:
        imputer = fit_standardised(self._new_imputer(seed), Z, covariates)
        if type(imputer) is ConditionalGaussianImputer:
            return imputer, imputer
        return imputer, fit_standardised(ConditionalGaussianImputer(group=self.group), Z, covariates)

    # errors on held-out donors

    def _held_out(
        self, Z: np.ndarray, covariates: Covariates | None, folds: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows (n,) that entries were hidden of, errors (n, n_genes; NaN where not hidden) and features of them."""
        generator = np.random.default_rng([seed, 3])
        parts, self._fold_gaussians, self._fold_of_row = [], [], {}
        for rest, rows in left_out(folds):
            # a gene that the others do not know, or that is constant there, tells nothing about its errors
            genes = np.flatnonzero(_varies(Z[rest]))
            if not genes.size:
                continue
            fitted = self._fitted(Z[rest][:, genes], covariates_of_rows(covariates, rest), seed)
            self._fold_of_row |= dict.fromkeys(_keys(Z[rows]), len(self._fold_gaussians))
            self._fold_gaussians.append((fitted[1], genes))
            for _ in range(int(self.n_repeats)):
                parts.append(self._errors_of(fitted, Z, rows, genes, covariates_of_rows(covariates, rows), generator))
        if not parts:
            raise DataFormatError("No gene varies among all donors but those of one fold; give rows of more donors.")
        rows, errors, features = zip(*parts)
        return np.concatenate(rows), np.vstack(errors), np.vstack(features)

    def _errors_of(
        self,
        fitted: tuple[ExpressionImputer, ConditionalGaussianImputer],
        Z: np.ndarray,
        rows: np.ndarray,
        genes: np.ndarray,
        covariates: Covariates | None,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `_held_out` returns, of one fold's rows with entries hidden once; `covariates` are those of the rows."""
        truth = Z[np.ix_(rows, genes)]
        hidden = hide_entries(~np.isnan(truth), HIDDEN_RATES, generator)
        visible = np.where(hidden, np.nan, truth)
        value, features = self._features(*fitted, visible, covariates, _log_dispersion(fitted[1], visible, covariates))
        errors = np.full((len(rows), Z.shape[1]), np.nan)
        errors[:, genes] = np.where(hidden, truth - value, np.nan)
        whole = np.zeros((*errors.shape, features.shape[2]))
        whole[:, genes] = features
        return rows, errors, whole

    # what is known of an entry's error

    def _value_and_scale(self, Z: np.ndarray, covariates: Covariates | None) -> tuple[np.ndarray, np.ndarray]:
        dispersion = self._log_dispersion_unseen(Z, covariates)
        value, features = self._features(self.imputer_, self.gaussian_, Z, covariates, dispersion)
        groups, _ = groups_of(self.group, covariates, len(Z))
        return value, self.residual_scale_.of(features, groups)

    def _log_dispersion_unseen(self, Z: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        """`_log_dispersion` as it looks to a Gaussian that was not fitted to the row.

        In place the rows to fill were fitted. They look less strange to the Gaussian that knows them than held-out rows
        did, and intervals would be too narrow; so each is shown to the one of the fold that left it out.
        """
        dispersion = _log_dispersion(self.gaussian_, Z, covariates)
        fold_of_row = np.array([self._fold_of_row.get(key, -1) for key in _keys(Z)])
        for fold, (gaussian, genes) in enumerate(self._fold_gaussians):
            rows = np.flatnonzero(fold_of_row == fold)
            if rows.size:
                part = covariates_of_rows(covariates, rows)
                dispersion[rows] = _log_dispersion(gaussian, Z[np.ix_(rows, genes)], part)
        return dispersion

    @staticmethod
    def _features(
        imputer: ExpressionImputer,
        gaussian: ConditionalGaussianImputer,
        Z: np.ndarray,
        covariates: Covariates | None,
        dispersion: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Imputed values (n_rows, n_genes), and what `ResidualScale` reads (n_rows, n_genes, 6)."""
        missing = np.isnan(Z)
        value = np.where(missing, imputer._impute(Z, ~missing, covariates), 0.0)
        source = imputer if isinstance(imputer, PredictiveImputer) else gaussian
        variance = np.maximum(source._variance(Z, ~missing, covariates), _LEAST_VARIANCE)
        features = np.empty((*Z.shape, 6))
        features[:, :, 0] = 1.0
        features[:, :, 1] = np.where(missing, 0.5 * np.log(variance), 0.0)
        visible = (~missing).mean(axis=1)[:, None]
        features[:, :, 2] = np.log(visible + _VISIBLE_OFFSET)
        features[:, :, 3] = dispersion[:, None]
        features[:, :, 4] = value
        features[:, :, 5] = visible  # beside its logarithm: nearly complete rows are a case of their own
        return value, features


def _rows_alike(weights: np.ndarray) -> np.ndarray:
    """Weights of entries (n_rows, n_genes) of the same sum that give every row with any the same share.

    Otherwise rows of which much was hidden would outvote those of which little was.
    """
    of_row = weights.sum(axis=1, keepdims=True)
    counted = of_row > 0
    return np.divide(weights * of_row[counted].mean(), of_row, out=np.zeros_like(weights), where=counted)


def _check_inductive(name: str) -> None:
    from reproduce.imputers import METHODS

    if name not in METHODS:
        raise ConfigError(f"imputer is {name!r}; known methods are {', '.join(METHODS)}.")
    if "inductive" not in METHODS[name].scenarios:
        raise ConfigError(
            f"{name} fills only rows that it was fitted on, so it cannot be tried on held-out donors; take a method "
            "that is valid inductively."
        )


def _keys(Z: np.ndarray) -> list[bytes]:
    """What tells rows (n_rows, n_genes) from each other, so that fitted ones are recognised; every NaN is alike."""
    rows = np.where(np.isnan(Z), np.inf, Z)
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _varies(Z: np.ndarray) -> np.ndarray:
    """Genes (n_genes,) with at least two different known entries."""
    known = ~np.isnan(Z)
    low = np.where(known, Z, np.inf).min(axis=0)
    high = np.where(known, Z, -np.inf).max(axis=0)
    return high - low > 1e-9


def _log_dispersion(gaussian: ConditionalGaussianImputer, Z: np.ndarray, covariates: Covariates | None) -> np.ndarray:
    """Log of the squared Mahalanobis distance of each row's visible entries, per entry (n_rows,); about 0 on average.

    Drawn to 1 per entry by `_DISPERSION_PRIOR` entries' worth, which rows with few visible entries need.
    """
    distance = np.zeros(len(Z))
    for normal, rows in gaussian._rows_by_group(covariates, len(Z)):
        # the missing entries at their conditional mean add nothing to the distance
        deviation = conditional_mean(Z[rows], normal) - normal.mean
        distance[rows] = np.einsum("rp,pq,rq->r", deviation, normal.precision, deviation, optimize=True)
    visible = (~np.isnan(Z)).sum(axis=1)
    return np.log((np.maximum(distance, 0.0) + _DISPERSION_PRIOR) / (visible + _DISPERSION_PRIOR))
