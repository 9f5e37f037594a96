"""Means over nearest neighbours against scikit-learn's, where rows share few genes or none, and in every block size."""

import numpy as np
import pytest
from sklearn.impute import KNNImputer

from reproduce.imputers import _neighbours


def rows(n=60, n_genes=40, rate=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5)) @ rng.normal(size=(5, n_genes)) + rng.normal(size=(n, n_genes))
    return np.where(rng.random(X.shape) < rate, np.nan, X)


def filled(X, fitted, k):
    known, fitted_known = ~np.isnan(X), ~np.isnan(fitted)
    values, fitted_values = np.where(known, X, 0.0), np.where(fitted_known, fitted, 0.0)
    return np.where(known, X, _neighbours.means_of_nearest(values, known, fitted_values, fitted_known, k))


@pytest.mark.parametrize("block_bytes", [_neighbours.BLOCK_BYTES, 5000])
@pytest.mark.parametrize("k", [1, 7, 59])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("in_place", [True, False])
def test_equal_to_scikit_learn(k, rate, in_place, block_bytes, monkeypatch):
    monkeypatch.setattr(_neighbours, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(_neighbours, "CACHE_BYTES", block_bytes)
    fitted = rows(rate=rate)
    fitted[:2] = rows(2, rate=0.0, seed=2)  # so that no gene is unknown
    X = fitted if in_place else rows(30, rate=rate, seed=1)
    X = X[(~np.isnan(X)).any(axis=1)]
    fitted = X if in_place else fitted
    expected = KNNImputer(n_neighbors=k).fit(fitted).transform(X)
    # where no neighbour counts scikit-learn takes the gene's mean, this module its 0 of standardised genes
    counts = np.array(
        [[np.isfinite(_shared(row, fitted[~np.isnan(fitted[:, g])])).any() for g in range(40)] for row in X]
    )
    np.testing.assert_allclose(filled(X, fitted, k)[counts], expected[counts], atol=1e-12)


def _shared(row, others):
    """1 for those of `others` that share a known gene with the row, infinite for the rest."""
    return np.where((~np.isnan(others) & ~np.isnan(row)).any(axis=1), 1.0, np.inf)


def test_rows_that_share_no_gene_do_not_count():
    nan = np.nan
    fitted = np.array([[1.0, nan, nan, 5.0], [nan, 2.0, nan, 7.0], [1.5, nan, 3.0, nan]])
    X = np.array([[1.0, nan, nan, nan], [nan, nan, nan, nan]])
    result = filled(X, fitted, 2)
    np.testing.assert_allclose(result[0], [1.0, 0.0, 3.0, 5.0])  # the second row's 2 and 7 are out of reach
    np.testing.assert_array_equal(result[1], 0.0)
