"""Training rows of the tuned PMI: masked versions of real and synthetic rows with the Gaussian's prediction for each.

The Gaussian that predicts a row was fitted without the row's donor, so that a network learns to correct predictions
of the quality that it will meet. It never trains anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reproduce.imputers._covariates import Covariates
from reproduce.imputers._folds import covariates_of_rows, fit_standardised, held_out_fits, hide_entries
from reproduce.imputers._network_parts import covariate_arrays
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.median import groups_of
from reproduce.models.tuned_pmi import MaskedRows

#: Share of mixed rows among the synthetic ones; the others are draws of the Gaussian.
MIXED_SHARE = 0.5


@dataclass(frozen=True)
class MaskingSettings:
    """What masked rows are made.

    Parameters
    ----------
    masks_per_row : int
        Masked versions per fitted row, real and synthetic together.
    rates : tuple of float
        Range (low, high) of the fraction of known entries that is hidden, drawn for each version.
    synthetic_fraction : float
        Share of versions that are made from synthetic rows.
    group : str or None
        Categorical covariate within which rows are mixed.
    """

    masks_per_row: int
    rates: tuple[float, float]
    synthetic_fraction: float
    group: str | None


@dataclass(frozen=True)
class Versions:
    """Masked versions of the fitted rows, in random order.

    Attributes
    ----------
    real, synthetic : MaskedRows
    origin : ndarray of int (n_real,)
        Position of the fitted row of each version in `real`.
    variance : ndarray (n_real, n_genes)
        The Gaussian's conditional variance of what is missing or hidden in `real`; 0 elsewhere.
    """

    real: MaskedRows
    synthetic: MaskedRows
    origin: np.ndarray
    variance: np.ndarray


def masked_rows(
    Z: np.ndarray,
    covariates: Covariates | None,
    folds: np.ndarray,
    make_gaussian: Callable[[], ConditionalGaussianImputer],
    settings: MaskingSettings,
    generator: np.random.Generator,
) -> Versions:
    """Make masked versions of the fitted rows.

    Parameters
    ----------
    Z : ndarray (n_samples, n_genes)
        Standardised, NaN where missing.
    covariates : Covariates or None
    folds : ndarray of int (n_samples,)
        By donor; a row is predicted by the Gaussian of the other folds. Where all rows are in one fold, by one that
        was fitted to all, and none is held out from any member of the ensemble.
    make_gaussian : callable
        Gives a Gaussian that is not fitted.
    settings : MaskingSettings
    generator : numpy Generator

    Returns
    -------
    Versions
    """
    n_versions = settings.masks_per_row * len(Z)
    n_synthetic = round(settings.synthetic_fraction * n_versions)
    real_rows = _positions(len(Z), max(n_versions - n_synthetic, len(Z)), generator)
    synthetic_rows = _positions(len(Z), n_synthetic, generator)
    fits = _fits(make_gaussian, Z, covariates, folds)
    made = np.empty((n_synthetic, Z.shape[1]))
    for gaussian, rows in fits:
        mine = np.flatnonzero(np.isin(synthetic_rows, rows))
        made[mine] = _synthetic(gaussian, Z, covariates, rows, synthetic_rows[mine], settings.group, generator)
    real = _Masked(Z[real_rows], settings, generator)
    synthetic = _Masked(made, settings, generator)
    for k, (gaussian, rows) in enumerate(fits):
        mine = np.flatnonzero(np.isin(real_rows, rows))
        real.predict(mine, gaussian, covariates_of_rows(covariates, real_rows[mine]))
        # the Gaussian that predicts a synthetic row is another than the one it was drawn from: as with real rows,
        # what generates and what predicts are not the same
        mine, other = np.flatnonzero(np.isin(synthetic_rows, rows)), fits[(k + 1) % len(fits)][0]
        synthetic.predict(mine, other, covariates_of_rows(covariates, synthetic_rows[mine]))
    held_out = folds if len(fits) > 1 else np.full(len(Z), -1)
    return Versions(
        real=real.finished(covariates_of_rows(covariates, real_rows), held_out[real_rows]),
        synthetic=synthetic.finished(covariates_of_rows(covariates, synthetic_rows), held_out[synthetic_rows]),
        origin=real_rows,
        variance=_variance_of(real, real_rows, fits, covariates),
    )


def shown_rows(Z: np.ndarray, prediction: np.ndarray, covariates: Covariates | None) -> MaskedRows:
    """Rows (n_samples, n_genes) to fill, NaN where missing, with the Gaussian's prediction; nothing is asked for."""
    known = ~np.isnan(Z)
    expression = np.where(known, Z, 0.0)
    return _as_network_reads(expression, np.where(known, Z, prediction), known, ~known, covariates, None)


class _Masked:
    """Versions in the making."""

    def __init__(self, Z: np.ndarray, settings: MaskingSettings, generator: np.random.Generator):
        self.Z = Z
        self.known = ~np.isnan(Z)
        self.hidden = hide_entries(self.known, settings.rates, generator)
        self.visible = np.where(self.hidden, np.nan, Z)
        self.shown = np.empty_like(Z)

    def predict(self, rows: np.ndarray, gaussian: ConditionalGaussianImputer, covariates: Covariates | None) -> None:
        visible = self.visible[rows]
        known = ~np.isnan(visible)
        self.shown[rows] = np.where(known, visible, gaussian._impute(visible, known, covariates))

    def finished(self, covariates: Covariates | None, folds: np.ndarray) -> MaskedRows:
        expression = np.where(self.known, self.Z, 0.0)
        return _as_network_reads(
            expression, self.shown, self.known & ~self.hidden, self.hidden, covariates, folds.astype(np.int32)
        )


def _fits(make_gaussian, Z, covariates, folds):
    if len(np.unique(folds)) > 1:
        return list(held_out_fits(make_gaussian, Z, covariates, folds))
    # one person: nobody is left to predict them
    return [(fit_standardised(make_gaussian(), Z, covariates), np.arange(len(Z)))]


def _variance_of(
    made: _Masked,
    origin: np.ndarray,
    fits: list[tuple[ConditionalGaussianImputer, np.ndarray]],
    covariates: Covariates | None,
) -> np.ndarray:
    variance = np.zeros(made.Z.shape)
    for gaussian, rows in fits:
        mine = np.flatnonzero(np.isin(origin, rows))
        known = ~np.isnan(made.visible[mine])
        variance[mine] = gaussian._variance(made.visible[mine], known, covariates_of_rows(covariates, origin[mine]))
    return variance


def _positions(n_rows: int, n_versions: int, generator: np.random.Generator) -> np.ndarray:
    """Row of each version: every row equally often, give or take one, in random order."""
    return generator.permutation(np.arange(n_versions) % n_rows) if n_versions else np.zeros(0, dtype=np.int64)


def _synthetic(
    gaussian: ConditionalGaussianImputer,
    Z: np.ndarray,
    covariates: Covariates | None,
    fold_rows: np.ndarray,
    like: np.ndarray,
    group: str | None,
    generator: np.random.Generator,
) -> np.ndarray:
    """Synthetic rows (n, n_genes) with the covariates, fold and holes of the real rows at positions `like`.

    Some are draws of the Gaussian. The others mix a row with one of its own group and fold, around the group's
    mean, with weights √w and √(1 − w) that keep the covariance.
    """
    if not len(like):
        return np.empty((0, Z.shape[1]))
    of_like = covariates_of_rows(covariates, like)
    nothing = np.full((len(like), Z.shape[1]), np.nan)
    drawn = gaussian._draw(nothing, np.zeros(nothing.shape, dtype=bool), of_like, 1, generator)[0]
    mean = gaussian._impute(nothing, np.zeros(nothing.shape, dtype=bool), of_like)
    partner = Z[_partners(like, fold_rows, groups_of(group, covariates, len(Z))[0], generator)]
    holes = np.isnan(partner)
    if holes.any():
        partner = np.where(holes, gaussian._draw(partner, ~holes, of_like, 1, generator)[0], partner)
    weight = generator.uniform(0.5, 1.0, (len(like), 1))
    mixed = mean + np.sqrt(weight) * (Z[like] - mean) + np.sqrt(1 - weight) * (partner - mean)
    made = np.where(generator.random((len(like), 1)) < MIXED_SHARE, mixed, drawn)
    return np.where(np.isnan(Z[like]), np.nan, made)


def _partners(like: np.ndarray, rows: np.ndarray, groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """For each position in `like` another position, drawn from those in `rows` that belong to its group."""
    partner = np.empty_like(like)
    for code in np.unique(groups[rows]):
        mine = groups[like] == code
        partner[mine] = generator.choice(rows[groups[rows] == code], mine.sum())
    return partner


def _as_network_reads(expression, shown, input_mask, target_mask, covariates, folds) -> MaskedRows:
    return MaskedRows(
        expression=expression.astype(np.float32),
        shown=shown.astype(np.float32),
        input_mask=input_mask.astype(np.float32),
        target_mask=target_mask.astype(np.float32),
        **covariate_arrays(covariates, len(expression)),
        fold=np.full((len(expression), 1), -1, np.int32) if folds is None else folds[:, None],
    )
