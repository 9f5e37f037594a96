"""Preparations by their properties: known factors come back, ranks become quantiles, the missing stays missing."""

import numpy as np
import pytest
from scipy.stats import norm

from reproduce.errors import ConfigError
from reproduce.loaders.preparation import (
    expressed_everywhere,
    inverse_normal,
    log2_tpm,
    tmm_factors,
    tmm_inverse_normal,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def expression(rng, n_samples=12, n_genes=4000):
    """Expected shares of genes, (n_genes,), and counts of samples that differ in depth alone, up to Poisson noise."""
    share = rng.lognormal(0, 1.5, n_genes)
    share /= share.sum()
    depth = rng.uniform(5e6, 5e7, n_samples)
    return share, rng.poisson(depth[:, None] * share)


# --- log2(TPM + 1) ---


def test_log_tpm_is_entry_by_entry_and_keeps_the_missing():
    tpm = np.array([[0.0, 1.0, np.nan], [3.0, 7.0, 15.0]])
    np.testing.assert_array_equal(log2_tpm(tpm), np.array([[0, 1, np.nan], [2, 3, 4]], dtype=np.float32))
    with pytest.raises(ConfigError, match="row 0, gene 1 is negative"):
        log2_tpm([[0.0, -1.0]])


# --- TMM ---


def test_samples_that_differ_in_depth_alone_have_factor_1(rng):
    _, counts = expression(rng)
    np.testing.assert_allclose(tmm_factors(counts), 1, atol=0.01)
    np.testing.assert_allclose(tmm_factors(np.outer([1, 10, 300], np.arange(1, 200))), 1, rtol=1e-6)


def test_a_samples_known_change_of_composition_comes_back(rng):
    """A tenth of the genes rise 2- to 16-fold in some samples, so each other gene's share falls by a known factor."""
    share, _ = expression(rng)
    fold = np.repeat([1.0, 2.0, 16.0], 5)
    shares = np.tile(share, (len(fold), 1))
    risen = rng.choice(len(share), len(share) // 10, replace=False)
    shares[:, risen] *= fold[:, None]
    total = shares.sum(axis=1, keepdims=True)
    counts = rng.poisson(2e7 * shares / total)
    expected = 1 / total[:, 0]
    expected /= np.exp(np.log(expected).mean())
    assert expected.max() / expected.min() > 1.5
    np.testing.assert_allclose(tmm_factors(counts), expected, rtol=0.03)


def test_factors_do_not_depend_on_depth_order_or_silent_genes(rng):
    _, counts = expression(rng)
    counts[3:6, :200] *= 5
    factors = tmm_factors(counts)
    assert np.exp(np.log(factors).mean()) == pytest.approx(1)
    deeper = counts.copy()
    deeper[4] *= 10  # weights change a little with depth, the trimmed set does not
    np.testing.assert_allclose(tmm_factors(deeper), factors, rtol=0.01)
    order = rng.permutation(len(counts))
    np.testing.assert_allclose(tmm_factors(counts[order]), factors[order], rtol=1e-9)
    genes = rng.permutation(counts.shape[1])
    np.testing.assert_allclose(tmm_factors(counts[:, genes]), factors, rtol=1e-9)
    silent = np.hstack([counts, np.zeros((len(counts), 3000), dtype=int)])
    np.testing.assert_allclose(tmm_factors(silent), factors, rtol=1e-9)


def test_wild_genes_are_trimmed_away(rng):
    _, counts = expression(rng)
    before, sizes = tmm_factors(counts), counts.sum(axis=1)
    wild = counts.copy()
    wild[0, :100] *= 1000
    np.testing.assert_allclose(tmm_factors(wild, library_sizes=sizes), before, rtol=0.02)


@pytest.mark.parametrize(
    ("counts", "sizes", "words"),
    [
        ([[1.0, np.nan]], None, "row 0, gene 1 is missing"),
        ([[1.0, 2.0], [0.0, 0.0]], None, "row 1 has no read"),
        ([[1.0, 2.0]], [3.0, 4.0], "library_sizes has shape"),
        ([1.0, 2.0], None, "1 dimension"),
    ],
)
def test_counts_that_cannot_be_normalised_are_refused(counts, sizes, words):
    with pytest.raises(ConfigError, match=words):
        tmm_factors(counts, library_sizes=sizes)


# --- inverse normal ---


def test_ranks_become_normal_quantiles_whatever_the_scale(rng):
    values = rng.lognormal(size=(99, 300))
    out = inverse_normal(values)
    np.testing.assert_allclose(np.sort(out, axis=0)[:, 7], norm.ppf(np.arange(1, 100) / 100), atol=1e-6)
    np.testing.assert_array_equal(out.argsort(axis=0), values.argsort(axis=0))
    np.testing.assert_array_equal(inverse_normal(np.log(values) * 3 + 1), out)


def test_ties_share_a_quantile_and_a_constant_gene_is_zero():
    out = inverse_normal([[1.0, 5.0], [2.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    np.testing.assert_allclose(out[:, 0], norm.ppf([0.2, 0.5, 0.5, 0.8]), atol=1e-6)
    np.testing.assert_array_equal(out[:, 1], 0)


def test_the_missing_stays_missing_and_does_not_count(rng):
    values = rng.normal(size=(20, 3))
    holes = values.copy()
    holes[5:, 1] = np.nan
    holes[:, 2] = np.nan
    out = inverse_normal(holes)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(holes))
    np.testing.assert_array_equal(out[:5, 1], inverse_normal(values[:5])[:, 1])
    np.testing.assert_array_equal(out[:, 0], inverse_normal(values)[:, 0])


def test_gtex_preparation_takes_tissue_means_and_depth_away(rng):
    _, counts = expression(rng, n_samples=40, n_genes=500)
    tissues = np.repeat(["Lung", "Whole Blood"], 20)
    counts[tissues == "Lung"] *= rng.integers(1, 5, 500)
    out = tmm_inverse_normal(counts, tissues)
    assert out.dtype == np.float32 and out.shape == counts.shape
    for tissue in np.unique(tissues):
        np.testing.assert_allclose(np.median(out[tissues == tissue], axis=0), 0, atol=0.1)
    depth = counts.sum(axis=1)
    within = [np.corrcoef(depth[tissues == t], out[tissues == t].mean(axis=1))[0, 1] for t in np.unique(tissues)]
    assert np.abs(within).max() < 0.6
    alone = tmm_inverse_normal(counts[:20], tissues[:20])
    np.testing.assert_allclose(out[:20], alone, atol=1e-6)  # one tissue says nothing of another
    np.testing.assert_array_equal(tmm_inverse_normal(counts, tissues, genes=[7, 3]), out[:, [7, 3]])
    with pytest.raises(ConfigError, match="tissues has shape"):
        tmm_inverse_normal(counts, tissues[:3])


# --- which genes ---


def test_a_gene_must_be_expressed_in_a_fifth_of_every_tissues_samples():
    tissues = np.repeat(["a", "b"], [10, 5])
    tpm = np.zeros((15, 4))
    tpm[:, 0] = 0.1
    tpm[[0, 1, 10], 1] = 3
    tpm[[0, 10], 2] = 3  # a tenth of a
    tpm[:10, 3] = 3  # nothing in b
    np.testing.assert_array_equal(expressed_everywhere(tpm, tissues), [True, True, False, False])
    assert expressed_everywhere(tpm, tissues, fraction=0.0).all()
