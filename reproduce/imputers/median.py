"""Fills with the median of the sample's tissue: the floor that every method must beat; never looks at other genes."""

from __future__ import annotations

import numpy as np

from reproduce.errors import ConfigError
from reproduce.imputers._base import ExpressionImputer, check_choice
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates


class TissueMedianImputer(ExpressionImputer):
    """Median of each gene over the fitted rows of the same tissue.

    Parameters
    ----------
    group : str or None, default "tissue"
        Categorical covariate whose categories have medians of their own. None, or no covariates at all: one median
        over all rows.
    unknown_category : {"error", "pool"}, default "error"
        A tissue that `fit` did not see is an error, or gets the median over all rows. A missing tissue always does.

    Attributes
    ----------
    medians_ : ndarray (1 + n_groups, n_varying_genes)
        Standardised; row 0 over all fitted rows, then one row per group in sorted order. A gene that a group never
        observed has the median over all rows there.

    Notes
    -----
    The paper's "median" baseline (Viñas et al. 2021, Results).
    """

    def __init__(self, *, group: str | None = "tissue", unknown_category: str = "error"):
        self.group = group
        self.unknown_category = unknown_category

    def _check_parameters(self) -> None:
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        if self.group is not None and not isinstance(self.group, str):
            raise ConfigError(f"group is {self.group!r}; give the name of a categorical covariate, or None.")

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        self.medians_ = group_medians(Z, *groups_of(self.group, covariates, len(Z)))

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        codes, _ = groups_of(self.group, covariates, len(Z))
        return self.medians_[codes]


def groups_of(group: str | None, covariates: Covariates | None, n_samples: int) -> tuple[np.ndarray, int]:
    """Group code of each row (0 = none or unknown) and the number of groups.

    Parameters
    ----------
    group : str or None
        A categorical covariate; None, like absent covariates, puts all rows into no group.
    covariates : Covariates or None
    n_samples : int

    Raises
    ------
    CovariateError
        If there are covariates but no such column among them.
    """
    if group is None or covariates is None:
        return np.zeros(n_samples, dtype=np.int64), 0
    return covariates.group_codes(group), len(covariates.group_names(group))


def group_medians(Z: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Medians (1 + n_groups, n_genes) of rows Z: over all rows, then by group, falling back to all rows."""
    medians = np.tile(np.nanmedian(Z, axis=0), (1 + n_groups, 1))
    for code in range(1, n_groups + 1):
        rows = Z[codes == code]
        known = ~np.isnan(rows).all(axis=0)
        if known.any():
            medians[code, known] = np.nanmedian(rows[:, known], axis=0)
    return medians
