"""Ways to put expression onto a scale before a study begins, as the paper's source did; never sees what will be hidden.

That is also their limit. The preparations run on a complete matrix, before any entry is hidden, so a statistic that
they take over samples or genes (a rank, a scaling factor) rests on entries that are scored later. `log2_tpm` takes
none; what the others let through is said in their docstrings. `reproduce.preprocessing` does the like after hiding,
from visible entries alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata

from reproduce.errors import ConfigError

__all__ = ["expressed_everywhere", "inverse_normal", "log2_tpm", "tmm_factors", "tmm_inverse_normal"]

# Robinson and Oshlack's trims: of the log ratios (M) at each end, and of the mean log levels (A).
_TRIM_M, _TRIM_A = 0.3, 0.05
_SAMPLES_AT_A_TIME = 256  # keeps the working memory at a few times 256 × n_genes values


def log2_tpm(tpm: ArrayLike) -> np.ndarray:
    """log2(TPM + 1), value by value: nothing of one entry enters another.

    Parameters
    ----------
    tpm : array, (n_samples, n_genes)
        Transcripts per million; NaN = missing.

    Returns
    -------
    ndarray, (n_samples, n_genes), float32

    Raises
    ------
    ConfigError
        For a value below 0, or a matrix of another dimension.
    """
    return np.log2(_non_negative(tpm, "TPM") + np.float32(1)).astype(np.float32, copy=False)


def tmm_factors(counts: ArrayLike, library_sizes: ArrayLike | None = None) -> np.ndarray:
    """Trimmed mean of M-values: each sample's effective library size, relative to the others'.

    Against a reference sample r, gene g of sample k has the log ratio M = log2((y_gk / N_k) / (y_gr / N_r)), the mean
    log level A = ½ log2((y_gk / N_k) (y_gr / N_r)), and the variance (N_k − y_gk) / (N_k y_gk) + (N_r − y_gr) /
    (N_r y_gr) of M. Among the genes counted in both, the 30 % smallest and largest M and the 5 % smallest and largest A
    are trimmed away; log2 of the factor is the mean of the other M, weighted by the inverse variance. The reference is
    the sample whose upper quartile of y / N is nearest to the samples' mean. (Robinson and Oshlack, Genome Biol 2010,
    11:R25.)

    Parameters
    ----------
    counts : array, (n_samples, n_genes)
        Read counts, none missing. Genes without a read in any sample say nothing.
    library_sizes : array, (n_samples,), optional
        N, all reads of a sample; by default the sum over the genes given.

    Returns
    -------
    ndarray, (n_samples,), float64
        Factors whose geometric mean is 1; counts / (library size × factor) compare across samples.

    Raises
    ------
    ConfigError
        For missing or negative counts, a sample without a read, or library sizes of another length.

    Notes
    -----
    A factor rests on all genes of its sample, later hidden ones too: one number among many thousand entries.
    """
    y = _non_negative(counts, "counts")
    if np.isnan(y).any():
        row, gene = np.argwhere(np.isnan(y))[0]
        raise ConfigError(
            f"counts: row {row}, gene {gene} is missing; TMM needs complete counts, before any is hidden."
        )
    size = y.sum(axis=1, dtype=np.float64) if library_sizes is None else np.asarray(library_sizes, dtype=np.float64)
    if size.shape != (len(y),):
        raise ConfigError(f"library_sizes has shape {size.shape} for {len(y)} samples; give one a sample.")
    if not (size > 0).all():
        raise ConfigError(f"counts: row {np.flatnonzero(~(size > 0))[0]} has no read; leave the sample out.")
    y = y[:, (y > 0).any(axis=0)]
    quartile = np.concatenate([np.quantile(part, 0.75, axis=1) for part in _parts(y)]) / size
    reference = int(np.argmin(np.abs(quartile - quartile.mean())))
    of_reference = y[reference].astype(np.float64), size[reference]
    starts = range(0, len(y), _SAMPLES_AT_A_TIME)
    logs = [
        _log2_factors(part, size[start : start + len(part)], *of_reference) for start, part in zip(starts, _parts(y))
    ]
    factors = np.concatenate(logs)
    return np.exp2(factors - factors.mean())


def inverse_normal(values: ArrayLike) -> np.ndarray:
    """Each gene's values replaced by the normal quantiles of their ranks, Φ⁻¹(rank / (n + 1)); ties share a mean rank.

    Parameters
    ----------
    values : array, (n_samples, n_genes)
        NaN = missing: stays so, and does not count in n.

    Returns
    -------
    ndarray, (n_samples, n_genes), float32
        Zero throughout for a gene that does not vary.

    Notes
    -----
    **A rank tells about the other samples' values.** Ranks taken before entries are hidden carry the order of the
    hidden ones into what a method sees, and give every gene the same distribution in the rows that are fitted and in
    those that are held out. The paper's data were prepared so; to imitate it, call this before hiding, and say so.
    """
    values = _matrix(values, "values")
    out = np.empty(values.shape, dtype=np.float32)
    for gene in range(0, values.shape[1], _SAMPLES_AT_A_TIME):
        part = values[:, gene : gene + _SAMPLES_AT_A_TIME]
        ranks = rankdata(part, axis=0, nan_policy="omit")
        n = (~np.isnan(part)).sum(axis=0)
        out[:, gene : gene + _SAMPLES_AT_A_TIME] = ndtri(ranks / (n + 1))
    return out


def tmm_inverse_normal(counts: ArrayLike, tissues: ArrayLike, *, genes: ArrayLike | None = None) -> np.ndarray:
    """GTEx's preparation for its eQTL analysis, tissue by tissue: TMM, then the inverse normal transform of each gene.

    In this form GTEx v8 ships the 15,201 samples of 49 tissues and 838 donors that the paper counts. Within each tissue
    every gene then has median 0: tissue means are gone from the data before anything is imputed. That fits the R² of 0
    which the paper reports for imputing the tissue's median.

    Parameters
    ----------
    counts : array, (n_samples, n_genes)
        Read counts, none missing.
    tissues : array of str, (n_samples,)
    genes : array of int, optional
        Columns to return; library sizes and factors rest on all.

    Returns
    -------
    ndarray, (n_samples, n_genes or the number of `genes`), float32
        Negative as often as not: not for a logarithm (``transform="raw"``).

    Raises
    ------
    ConfigError
        As `tmm_factors`, or if the tissues are not one a sample.

    Notes
    -----
    What `inverse_normal` says of leaking ranks holds here.
    """
    y = _non_negative(counts, "counts")
    tissues = np.asarray(tissues)
    if tissues.shape != (len(y),):
        raise ConfigError(f"tissues has shape {tissues.shape} for {len(y)} samples; give one a sample.")
    columns = np.arange(y.shape[1]) if genes is None else np.asarray(genes)
    out = np.empty((len(y), len(columns)), dtype=np.float32)
    for tissue in np.unique(tissues):
        rows = np.flatnonzero(tissues == tissue)
        part = y[rows]
        effective = part.sum(axis=1, dtype=np.float64) * tmm_factors(part)
        out[rows] = inverse_normal(part[:, columns] / effective[:, None])
    return out


def expressed_everywhere(
    tpm: ArrayLike, tissues: ArrayLike, *, threshold: float = 0.1, fraction: float = 0.2
) -> np.ndarray:
    """Genes with at least `threshold` TPM in at least `fraction` of the samples of *every* tissue.

    The thresholds are those of GTEx's eQTL analysis, which also asks for 6 reads in as many samples; its tables hold a
    gene only for the tissues where it passes. A matrix over all tissues needs genes that pass in each.

    Parameters
    ----------
    tpm : array, (n_samples, n_genes)
        Missing values count as not expressed.
    tissues : array of str, (n_samples,)
    threshold : float, default 0.1
    fraction : float, default 0.2

    Returns
    -------
    ndarray of bool, (n_genes,)

    Raises
    ------
    ConfigError
        If the tissues are not one a sample.
    """
    above = np.asarray(tpm) >= threshold
    names, codes = np.unique(np.asarray(tissues), return_inverse=True)
    if codes.shape != (len(above),):
        raise ConfigError(f"tissues has shape {codes.shape} for {len(above)} samples; give one a sample.")
    passes = np.ones(above.shape[1], dtype=bool)
    for code in range(len(names)):
        passes &= above[codes == code].mean(axis=0) >= fraction
    return passes


def _log2_factors(y: np.ndarray, size: np.ndarray, y_reference: np.ndarray, size_reference: float) -> np.ndarray:
    """log2 of the factors of some samples, (n_samples,), against one reference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share, share_reference = y / size[:, None], y_reference / size_reference
        M = np.log2(share) - np.log2(share_reference)
        A = (np.log2(share) + np.log2(share_reference)) / 2
        variance = (1 - share) / y + (1 - share_reference) / y_reference
    counted = np.isfinite(M) & np.isfinite(A)
    n = counted.sum(axis=1)
    kept = counted & _inner(np.where(counted, M, np.nan), n, _TRIM_M) & _inner(np.where(counted, A, np.nan), n, _TRIM_A)
    # Counts that make up a whole library have no variance; they say nothing about composition either.
    weight = np.where(kept & (variance > 0), 1 / np.where(variance > 0, variance, 1.0), 0.0)
    total = weight.sum(axis=1)
    mean = (weight * np.where(kept, M, 0.0)).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(np.nanmax(np.abs(np.where(counted, M, 0.0)), axis=1) < 1e-6, 0.0, mean)


def _inner(values: np.ndarray, n: np.ndarray, trim: float) -> np.ndarray:
    """Which of a row's values are left when the fraction `trim` of its `n` known ones is cut from each end."""
    ranks = rankdata(values, axis=1, nan_policy="omit")
    cut = np.floor(n * trim)[:, None]
    return (ranks >= cut + 1) & (ranks <= n[:, None] - cut)


def _parts(y: np.ndarray) -> list[np.ndarray]:
    return [y[start : start + _SAMPLES_AT_A_TIME] for start in range(0, len(y), _SAMPLES_AT_A_TIME)]


def _matrix(values: ArrayLike, name: str) -> np.ndarray:
    matrix = np.asarray(values)
    if matrix.ndim != 2:
        raise ConfigError(f"{name}: {matrix.ndim} dimension(s); give a matrix (n_samples, n_genes).")
    return matrix if matrix.dtype == np.float32 else matrix.astype(np.float64)


def _non_negative(values: ArrayLike, name: str) -> np.ndarray:
    matrix = _matrix(values, name)
    if (matrix < 0).any():
        row, gene = np.argwhere(matrix < 0)[0]
        raise ConfigError(f"{name}: row {row}, gene {gene} is negative; give values on a linear scale.")
    return matrix
