"""What a target cohort can take over from reference cohorts: means, variances, correlations; never fills a hole.

All arrays are of the target's varying genes, in their order and in the target's standardised units, so that nothing
depends on the unit in which a gene was measured as long as target and reference share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._folds import fit_standardised
from reproduce.imputers._normal import Normal, Prior, batches, expectation
from reproduce.imputers.gaussian import ConditionalGaussianImputer

#: Fewer rows tell nothing of a correlation that shrinkage would not take back.
LEAST_ROWS = 3
#: Most sets of mixing proportions that are tried.
MOST_MIXTURES = 40
#: Least variance, between genes, of what the target's means (in sd) and log sds add to the reference's. The data of a
#: few samples may suggest less than any two cohorts have.
LEAST_MEAN_VARIANCE, LEAST_LOG_SD_VARIANCE = 0.05, 0.01


@dataclass(frozen=True)
class Reference:
    """What one reference cohort knows of the target's genes.

    Attributes
    ----------
    name : str
    matched : ndarray of bool (n_genes,)
        False for genes that it does not hold or that are constant there.
    mean, sd : ndarray (n_genes,)
        NaN where not matched.
    correlation : ndarray (n_genes, n_genes)
        Shrunk (Ledoit and Wolf); genes that are not matched correlate with nothing.
    """

    name: str
    matched: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    correlation: np.ndarray


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of each gene's known entries, each (n_genes,)."""

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, Z: np.ndarray) -> Moments:
        count = (~np.isnan(Z)).sum(axis=0)
        mean = np.nansum(Z, axis=0) / np.maximum(count, 1)
        return cls(count, mean, np.nansum((Z - mean) ** 2, axis=0))


@dataclass(frozen=True)
class MeanPrior:
    """Normal prior of each gene's mean: `mean` and `precision` (n_genes,); precision 0 says nothing."""

    mean: np.ndarray
    precision: np.ndarray


def check_references(references: object, X: object) -> dict[str, pd.DataFrame]:
    """The references as a dict, or the error that says what is wrong with them.

    Raises
    ------
    ConfigError
        Unless they are a mapping of names to DataFrames of at least `LEAST_ROWS` rows.
    DataFormatError
        For a matrix X without gene names, a gene that is there twice, text, or infinite values.
    """
    if references is None:
        return {}
    if not isinstance(references, Mapping) or not all(isinstance(frame, pd.DataFrame) for frame in references.values()):
        raise ConfigError("references must map names to DataFrames (samples × genes), such as {'GTEx lung': frame}.")
    if references and not isinstance(X, pd.DataFrame):
        raise DataFormatError("Genes of references are matched by name; give X as a DataFrame with genes as columns.")
    for name, frame in references.items():
        if len(frame) < LEAST_ROWS:
            raise ConfigError(
                f"Reference {name!r} has {len(frame)} row(s); give at least {LEAST_ROWS}, or leave it out."
            )
        twice = frame.columns[frame.columns.duplicated()]
        if len(twice):
            raise DataFormatError(f"Gene {twice[0]!r} occurs more than once in reference {name!r}; keep one column.")
        for gene, column in frame.items():
            if not pd.api.types.is_numeric_dtype(column):
                raise DataFormatError(f"Gene {gene!r} of reference {name!r} is of type {column.dtype}; give numbers.")
        infinite = np.isinf(frame.to_numpy(dtype=np.float64))
        if infinite.any():
            row, gene = np.argwhere(infinite)[0]
            raise DataFormatError(
                f"Reference {name!r} is infinite at sample {frame.index[row]!r}, gene {frame.columns[gene]!r}; missing "
                "entries are NaN, all others finite."
            )
    return dict(references)


def read_reference(name: str, frame: pd.DataFrame, genes: pd.Index, center: np.ndarray, scale: np.ndarray) -> Reference:
    """Learn from one reference, in units of the target's `center` and `scale` (n_genes,).

    Raises
    ------
    DataFormatError
        If it has fewer than two of the genes.
    """
    values = frame.reindex(columns=genes).to_numpy(dtype=np.float64)
    counts = (~np.isnan(values)).sum(axis=0)
    moments = Moments.of(values)
    sd = np.sqrt(moments.squares / np.maximum(counts, 1))
    matched = (counts >= LEAST_ROWS) & (sd > 1e-9 * np.maximum(np.abs(moments.mean), 1e-300))
    if matched.sum() < 2:
        raise DataFormatError(
            f"Reference {name!r} has {matched.sum()} of the target's {len(genes)} varying genes; do both name their "
            "genes by the same kind of symbol?"
        )
    scaled = (values[:, matched] - moments.mean[matched]) / sd[matched]
    fitted = fit_standardised(ConditionalGaussianImputer(group=None), scaled, None)
    covariance = fitted.covariances_[0]
    own_sd = np.sqrt(np.diag(covariance))
    correlation = np.eye(len(genes))
    correlation[np.ix_(matched, matched)] = covariance / np.outer(own_sd, own_sd)
    mean = np.where(matched, (moments.mean - center) / scale, np.nan)
    return Reference(name, matched, mean, np.where(matched, sd / scale, np.nan), correlation)


def reference_report(references: list[Reference], given: Mapping[str, pd.DataFrame], genes: pd.Index) -> pd.DataFrame:
    rows = [
        {
            "reference": reference.name,
            "n_samples": len(given[reference.name]),
            "n_matched": int(reference.matched.sum()),
            "n_absent": int((~reference.matched).sum()),
            "absent": ", ".join(map(str, genes[~reference.matched])),
        }
        for reference in references
    ]
    return pd.DataFrame(rows, columns=["reference", "n_samples", "n_matched", "n_absent", "absent"])


# --- means and variances ---


def shrunk_sd(moments: Moments, references: list[Reference]) -> np.ndarray:
    """Standard deviation of each gene (n_genes,), drawn to that of the reference whose sds are most alike.

    The target's log sds are taken as the reference's plus one shift plus a gene's own deviation, whose variance over
    genes is what the data show beyond sampling error 1 / 2(n − 1). Without references: the target's own.
    """
    # one sample's worth of variance 1, which is the gene's own over all known entries
    own = np.sqrt((moments.squares + 1.0) / (moments.count + 1.0))
    freedom = np.maximum(moments.count - 1, 1)
    best, spread = own, np.inf
    for reference in references:
        usable = reference.matched & (moments.count >= 2) & (moments.squares > 0)
        if usable.sum() < 2:
            continue
        # the logarithm of a variance estimated from few samples is too small by 1/(n − 1)
        log_sd = 0.5 * np.log(np.where(usable, moments.squares / freedom, 1.0)) + 0.5 / freedom
        deviation = np.where(usable, log_sd - np.log(np.where(usable, reference.sd, 1.0)), 0.0)
        weights = np.where(usable, freedom, 0)
        shift = np.average(deviation, weights=weights)
        excess = np.average((deviation - shift) ** 2 - 0.5 / freedom, weights=weights)
        if excess < spread:
            between = max(excess, LEAST_LOG_SD_VARIANCE)
            kept = np.where(usable, between / (between + 0.5 / freedom), 0.0)
            shrunk = np.where(reference.matched, reference.sd, 1.0) * np.exp(shift + kept * (deviation - shift))
            best, spread = np.where(reference.matched, shrunk, own), excess
    return best


def mean_prior(moments: Moments, sd: np.ndarray, references: list[Reference]) -> MeanPrior:
    """Prior of each gene's mean from the reference whose means are most alike.

    The target's means, in sd, are taken as the reference's plus one shift plus a gene's own deviation; its variance
    over genes, beyond sampling error, sets the precision. A reference that measures in another way has a large one
    and says little. Flat without references.
    """
    best, spread = MeanPrior(np.zeros(len(sd)), np.zeros(len(sd))), np.inf
    for reference in references:
        usable = reference.matched & (moments.count >= 1)
        if usable.sum() < 2:
            continue
        weights = np.where(usable, moments.count, 0)
        deviation = np.where(usable, (moments.mean - np.where(usable, reference.mean, 0.0)) / sd, 0.0)
        shift = np.average(deviation, weights=weights)
        excess = np.average((deviation - shift) ** 2 - 1.0 / np.maximum(moments.count, 1), weights=weights)
        if excess < spread:
            precision = np.where(reference.matched, 1.0 / (max(excess, LEAST_MEAN_VARIANCE) * sd**2), 0.0)
            best = MeanPrior(np.where(reference.matched, reference.mean + shift * sd, 0.0), precision)
            spread = excess
    return best


def own_mean(moments: Moments, sd: np.ndarray, prior: MeanPrior) -> np.ndarray:
    """Each gene's mean from its own known entries and the prior, genes apart."""
    own = moments.count / sd**2
    total = own + prior.precision
    return np.divide(own * moments.mean + prior.precision * prior.mean, total, out=np.zeros_like(sd), where=total > 0)


# --- correlations ---


def simplex_lattice(n_references: int) -> np.ndarray:
    """Mixing proportions (n_mixtures, n_references + 1), the last column the identity's: from "no reference" to each
    reference alone, in the finest of the steps ¼, ⅓, ½, 1 that keeps their number within `MOST_MIXTURES`.
    """
    for steps in (4, 3, 2, 1):
        # stars and bars: where the bars stand among steps + n_references places
        bars = np.array(list(combinations(range(steps + n_references), n_references)), dtype=int)
        if len(bars) <= MOST_MIXTURES:
            break
    edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), steps + n_references)])
    return (np.diff(edges, axis=1) - 1) / steps


def mixed_correlation(proportions: np.ndarray, references: list[Reference]) -> np.ndarray:
    """Mixture of the references' correlations and, by the last of the proportions, the identity."""
    mixed = proportions[-1] * np.eye(len(references[0].matched))
    for weight, reference in zip(proportions, references):
        mixed += weight * reference.correlation
    return mixed


def normal_of(mean: np.ndarray, sd: np.ndarray, correlation: np.ndarray) -> Normal:
    return Normal.of(mean, correlation * np.outer(sd, sd))


def leave_one_out(Z: np.ndarray, normal: Normal) -> np.ndarray:
    """Known entries minus what their row's other known entries make of each (n_rows, n_genes); 0 where missing.

    With P the inverse of the known genes' covariance the residual is (P (z − mean))_j / P_jj.
    """
    known = ~np.isnan(Z)
    centred = np.where(known, Z - normal.mean, 0.0)
    residual = np.zeros(Z.shape)
    for batch in batches(known):
        inverse = np.linalg.inv(batch.blocks_of(normal.covariance))
        of_batch = np.einsum("rkl,rl->rk", inverse, batch.entries_of(centred)) / np.einsum("rkk->rk", inverse)
        residual[batch.row_of_entry, batch.column_of_entry] = of_batch[batch.real]
    return residual


# --- the target, updated ---


def updated_by_target(
    Z: np.ndarray, start: Normal, prior: Prior, of_mean: MeanPrior, *, max_iter: int, tol: float
) -> tuple[Normal, int, bool]:
    """Mean and covariance of highest posterior density by EM, with a prior for the means as well.

    Parameters
    ----------
    Z : ndarray (n_rows, n_genes)
        NaN where missing.
    start : Normal
    prior : Prior
        Inverse Wishart; worth infinitely many samples, the covariance is the prior's and means alone are updated.
    of_mean : MeanPrior
    max_iter : int
    tol : float
        EM stops when no mean or covariance changes by more, in the prior's sds.

    Returns
    -------
    normal : Normal
    n_rounds : int
    settled : bool
    """
    if np.isinf(prior.samples):
        normal = Normal.of(start.mean, prior.covariance)
        return Normal(most_probable_mean(Z, normal, of_mean), normal.covariance, normal.precision), 1, True
    n, sd, normal = len(Z), np.sqrt(np.diag(prior.covariance)), start
    for n_rounds in range(1, max_iter + 1):
        filled, spread, _ = expectation(Z, normal)
        mean = _updated_mean(filled.mean(axis=0), n, normal, of_mean)
        scatter = (filled - mean).T @ (filled - mean) + spread
        covariance = (scatter + prior.samples * prior.covariance) / (n + prior.samples)
        change = np.abs((mean - normal.mean) / sd).max()
        change = max(change, np.abs((covariance - normal.covariance) / np.outer(sd, sd)).max())
        normal = Normal.of(mean, covariance)
        if change < tol:
            return normal, n_rounds, True
    return normal, max_iter, False


def most_probable_mean(Z: np.ndarray, normal: Normal, of_mean: MeanPrior) -> np.ndarray:
    """Mean of highest posterior density (n_genes,) given the normal's covariance, in closed form.

    Solves (Σ_rows covariance_OO⁻¹ + P) mean = Σ_rows covariance_OO⁻¹ z_O + P prior mean, with P the prior's precision.
    """
    known, n_genes = ~np.isnan(Z), Z.shape[1]
    values = np.where(known, Z, 0.0)
    right = of_mean.precision * of_mean.mean
    left = np.zeros(n_genes * n_genes)
    for batch in batches(known):
        inverse = np.linalg.inv(batch.blocks_of(normal.covariance))
        inverse *= batch.real[:, :, None]  # the padding's identity is no covariance
        inverse *= batch.real[:, None, :]
        flat = batch.columns[:, :, None] * n_genes + batch.columns[:, None, :]
        left += np.bincount(flat.ravel(), weights=inverse.ravel(), minlength=n_genes * n_genes)
        solved = np.einsum("rkl,rl->rk", inverse, batch.entries_of(values))
        right = right + np.bincount(batch.columns.ravel(), weights=solved.ravel(), minlength=n_genes)
    return np.linalg.solve(left.reshape(n_genes, n_genes) + np.diag(of_mean.precision), right)


def _updated_mean(average: np.ndarray, n: int, normal: Normal, of_mean: MeanPrior) -> np.ndarray:
    """Mean of highest density given the average of n completed rows: (n K + P) mean = n K average + P prior mean."""
    if not of_mean.precision.any():
        return average
    precision = n * normal.precision + np.diag(of_mean.precision)
    return np.linalg.solve(precision, n * normal.precision @ average + of_mean.precision * of_mean.mean)
