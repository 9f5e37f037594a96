"""Pools analyses of several imputed data sets into one answer by Rubin's rules; never imputes and never analyses.

Of M data sets that were completed by draws, analysis m gives an estimate q_m with squared standard error u_m. Then

    estimate            q̄ = mean of q_m
    within variance     w = mean of u_m
    between variance    b = variance of q_m
    total variance      t = w + (1 + 1/M) b

and (q̄ − Q) / √t is referred to a t distribution with Barnard and Rubin's (1999) degrees of freedom, which never exceed
those that the complete data would have had. The rules hold for *proper* draws: the draws must also differ in what the
imputer learnt, not only in what it left open (Rubin 1987, chapter 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from reproduce.errors import ConfigError


@dataclass(frozen=True)
class PooledEstimate:
    """What Rubin's rules give for one or many estimands, all of one shape.

    Attributes
    ----------
    estimate, within, between, total : ndarray
        Pooled estimate, and its variances.
    degrees_of_freedom : ndarray
    missing_information : ndarray
        Fraction of the information about the estimand that was lost with the missing entries, in [0, 1].
    """

    estimate: np.ndarray
    within: np.ndarray
    between: np.ndarray
    total: np.ndarray
    degrees_of_freedom: np.ndarray
    missing_information: np.ndarray

    @property
    def standard_error(self) -> np.ndarray:
        return np.sqrt(self.total)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the interval at a level in (0, 1)."""
        if not 0 < level < 1:
            raise ConfigError(f"level is {level!r}; give a fraction between 0 and 1.")
        half = stats.t.ppf((1 + level) / 2, self.degrees_of_freedom) * self.standard_error
        return self.estimate - half, self.estimate + half

    def p_values(self, null: float = 0.0) -> np.ndarray:
        """Two-sided p of "the estimand is `null`"; 1 or 0 where the variance is 0."""
        difference = np.abs(self.estimate - null)
        certain = np.where(difference > 0, np.inf, 0.0)
        t = np.divide(difference, self.standard_error, out=certain, where=self.total > 0)
        return 2 * stats.t.sf(t, self.degrees_of_freedom)


def pool(estimates, variances, *, complete_degrees_of_freedom=np.inf) -> PooledEstimate:
    """Rubin's rules.

    Parameters
    ----------
    estimates : array-like (n_imputations, …)
        One analysis per completed data set, of any number of estimands.
    variances : array-like (n_imputations, …)
        Squared standard errors of the estimates.
    complete_degrees_of_freedom : float or array-like, default infinity
        Of the analysis without missing entries, one for each estimand or one for all.

    Returns
    -------
    PooledEstimate

    Raises
    ------
    ConfigError
        For fewer than two imputations (nothing would tell what was lost with the missing entries), shapes that
        differ, entries that are not finite, negative variances, or degrees of freedom that are not positive.

    Notes
    -----
    Rubin, Multiple Imputation for Nonresponse in Surveys (1987), eq. 3.1.2 to 3.1.8. Barnard and Rubin, Biometrika 86
    (1999), eq. 3: with γ = (1 + 1/M) b / t the degrees of freedom are 1 / (1/ν_m + 1/ν_obs), ν_m = (M − 1) / γ² and
    ν_obs = (1 − γ) ν (ν + 1) / (ν + 3).
    """
    q, u = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if q.ndim == 0 or q.shape != u.shape or len(q) < 2:
        raise ConfigError(
            f"estimates {q.shape} and variances {u.shape} must be of one shape with at least two imputations first."
        )
    if not (np.isfinite(q).all() and np.isfinite(u).all()) or (u < 0).any():
        raise ConfigError("Estimates and variances must be finite, and variances not negative.")
    complete = np.broadcast_to(np.asarray(complete_degrees_of_freedom, dtype=float), q.shape[1:])
    if not (complete > 0).all():
        raise ConfigError("complete_degrees_of_freedom must be positive.")
    m = len(q)
    within, between = u.mean(axis=0), q.var(axis=0, ddof=1)
    total = within + (1 + 1 / m) * between
    lost = np.divide((1 + 1 / m) * between, total, out=np.zeros_like(total), where=total > 0)
    # reciprocals, so that infinite degrees of freedom are an ordinary case
    from_draws = lost**2 / (m - 1)
    known = 1 - lost
    from_data = (1 + 2 / (1 + complete)) / complete  # (ν + 3) / (ν (ν + 1))
    from_data = np.divide(from_data, known, out=np.where(from_data > 0, np.inf, 0.0), where=known > 0)
    reciprocal = from_draws + from_data
    freedom = np.divide(1.0, reciprocal, out=np.full_like(total, np.inf), where=reciprocal > 0)
    return PooledEstimate(q.mean(axis=0), within, between, total, freedom, lost)
