"""Nearest neighbours: scikit-learn's answer at a fraction of its time; never uses covariates.

The arithmetic is that of `reproduce.imputers._neighbours`: a block of distances is a few matrix products.
"""

from __future__ import annotations

import numpy as np

from reproduce.imputers._base import ExpressionImputer, check_integer
from reproduce.imputers._covariates import Covariates
from reproduce.imputers._neighbours import means_of_nearest


class KNNImputer(ExpressionImputer):
    """Mean of the gene over the nearest fitted rows that know it.

    The distance is Euclidean over the genes that both rows know, scaled up by n_genes / n_known (Dixon 1979).
    Neighbours are chosen for each gene anew, among the fitted rows that know the gene and share a known gene with the
    query; if there are fewer than `n_neighbors`, their mean is taken, and the gene's mean if there are none. A row that
    was fitted itself never fills its own holes, since there it knows nothing.

    Equal to `sklearn.impute.KNNImputer` on standardised genes. Where rows are equally far, which of them count is as
    arbitrary as it is there. Genes constant in the fitted rows do not enter the distance.

    Parameters
    ----------
    n_neighbors : int, default 10

    Notes
    -----
    Troyanskaya et al. 2001, doi 10.1093/bioinformatics/17.6.520.
    """

    def __init__(self, *, n_neighbors: int = 10):
        self.n_neighbors = n_neighbors

    def _check_parameters(self) -> None:
        check_integer("n_neighbors", self.n_neighbors, least=1)

    def _reads_covariates(self) -> bool:
        return False

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        self._values = np.where(observed, Z, 0.0)
        self._known = observed

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        # 0 where no fitted row counts: standardised, the mean of the gene
        return means_of_nearest(np.where(observed, Z, 0.0), observed, self._values, self._known, self.n_neighbors)
