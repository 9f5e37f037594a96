"""Fills with the same person's expression in another tissue, as the paper does with blood; never models anything."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, CovariateError
from reproduce.imputers._base import ExpressionImputer, check_choice
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers.median import group_medians


class SurrogateTissueImputer(ExpressionImputer):
    """The donor's own value of the gene in a surrogate tissue, or else the tissue median.

    The value is looked up among the fitted rows and the rows being filled themselves, known entries only, and averaged
    where a donor has several. It is taken as it is, not moved to the level of the tissue to be filled: that is the
    baseline of the paper, whose R² is negative because tissues differ more than people do. This is the one method
    whose answer for a row depends on the other rows in `transform`.

    Where the donor has no such sample, the gene is hidden there too, or donor or tissue is unknown, the value is the
    median of the sample's tissue (of all rows for an unknown tissue). Without covariates nobody's other samples are
    known, and every value is the median over all rows.

    Parameters
    ----------
    surrogate : str, default "other"
        Name of a tissue, such as "Whole Blood", or "other" for all tissues but the sample's own.
    unknown_category : {"error", "pool"}, default "error"
        A tissue that `fit` did not see is an error, or is unknown.

    Attributes
    ----------
    medians_ : ndarray (1 + n_tissues, n_varying_genes)
        Standardised, as in `TissueMedianImputer`.
    covered_fraction_ : float
        Fraction of the missing entries of the last `transform` (of genes that vary) that had a surrogate; NaN before
        the first one that had anything to fill.
    """

    def __init__(self, *, surrogate: str = "other", unknown_category: str = "error"):
        self.surrogate = surrogate
        self.unknown_category = unknown_category

    def _check_parameters(self) -> None:
        if not isinstance(self.surrogate, str):
            raise ConfigError(f"surrogate is {self.surrogate!r}; give the name of a tissue, or 'other'.")
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        self.covered_fraction_ = np.nan
        self._fitted = None
        if covariates is None:
            self.medians_ = group_medians(Z, np.zeros(len(Z), dtype=np.int64), 0)
            return
        if covariates.donor is None:
            raise CovariateError(
                "The covariates have no column 'donor'; add it: a surrogate is the same donor's sample."
            )
        tissues = covariates.group_names("tissue")
        if self.surrogate != "other" and self.surrogate not in tissues:
            raise CovariateError(
                f"No fitted row is of the surrogate tissue {self.surrogate!r}; there are {', '.join(tissues)}."
            )
        codes = covariates.group_codes("tissue")
        self.medians_ = group_medians(Z, codes, len(tissues))
        self._fitted = (np.where(observed, Z, 0.0), observed, covariates.donor, codes)

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        if covariates is None:
            self.covered_fraction_ = 0.0
            return np.tile(self.medians_, (len(Z), 1))
        codes = covariates.group_codes("tissue")
        total, count = self._surrogates(np.where(observed, Z, 0.0), observed, covariates.donor, codes)
        self.covered_fraction_ = float((count > 0)[~observed].mean())
        return np.where(count > 0, total / np.maximum(count, 1), self.medians_[codes])

    def _surrogates(self, values, known, donor, codes) -> tuple[np.ndarray, np.ndarray]:
        """Sum and number of surrogate values of each entry (n_samples, n_genes)."""
        fitted_values, fitted_known, fitted_donor, fitted_codes = self._fitted
        all_values, all_known = np.vstack([fitted_values, values]), np.vstack([fitted_known, known])
        all_codes = np.concatenate([fitted_codes, codes])
        # -1 for an unknown donor
        person, people = pd.factorize(np.concatenate([fitted_donor, donor]))
        sources = (person >= 0) & (all_codes > 0)
        if self.surrogate != "other":
            sources &= all_codes == 1 + self.covariate_encoder_.categories_["tissue"].index(self.surrogate)

        def summed(keys: np.ndarray, n_keys: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            total = np.zeros((n_keys, all_values.shape[1]))
            count = np.zeros((n_keys, all_values.shape[1]))
            np.add.at(total, keys[rows], all_values[rows])
            np.add.at(count, keys[rows], all_known[rows])
            return total, count

        me = slice(len(fitted_values), None)
        total, count = summed(person, len(people), sources)
        total, count = total[person[me]], count[person[me]]  # rows of unknown donors are cleared below
        if self.surrogate == "other":
            n_tissues = 1 + int(all_codes.max())
            own = person * n_tissues + all_codes
            own_total, own_count = summed(own, max(len(people), 1) * n_tissues, sources)
            total, count = total - own_total[own[me]], count - own_count[own[me]]
        usable = (person[me] >= 0) & (codes > 0)
        return total, np.where(usable[:, None], count, 0)
