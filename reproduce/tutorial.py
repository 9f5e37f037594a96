"""Makes of the study's cohort what a person has: a file with holes, later samples, other names; never imputes.

The holes' truth is kept aside, so that what the tutorial fills can be compared with it, which nobody can with holes of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.imputers._covariates import DONOR
from reproduce.loaders.gene_sets import PROTEIN_CODING, gene_set
from reproduce.matrices.evaluation import HeldOut, calibrated, scored
from reproduce.matrices.files import Matrix, write_frame
from reproduce.multiple_imputation import PooledEstimate, pool

if TYPE_CHECKING:
    from reproduce.loaders.study import Study
    from reproduce.matrices.filling import Filled

COVARIATES = ("tissue", "sex", "age", DONOR)
#: Of the later samples: their share of the donors, of the genes that they lack, and of known entries that are hidden.
LATER_SHARE, LOST_GENES, HIDDEN_LATER = 0.25, 0.2, 0.3


@dataclass(frozen=True)
class OwnFiles:
    """A matrix with holes as a file, and what is known of its samples.

    Attributes
    ----------
    matrix : Path
    covariates : Path or None
    truth : DataFrame (n_samples, n_genes) or None
        The matrix without holes; None for a file of the reader's own.
    """

    matrix: Path
    covariates: Path | None = None
    truth: pd.DataFrame | None = None

    def head(self, n_lines: int = 5, width: int = 96) -> str:
        """The first lines of the matrix's file, cut to a width; of a file that is no plain text, its name."""
        if self.matrix.suffix not in (".csv", ".tsv", ".txt", ".gct"):
            return self.matrix.name
        with self.matrix.open(encoding="utf-8", errors="replace") as file:
            lines = [line.rstrip("\r\n") for _, line in zip(range(n_lines), file)]
        return "\n".join(line if len(line) <= width else f"{line[: width - 2]} …" for line in lines)


def given_files(matrix: str, covariates: str = "") -> OwnFiles:
    """The reader's own files; the second may be empty text."""
    return OwnFiles(Path(matrix), Path(covariates) if covariates else None)


def written_files(study: Study, folder: str | Path, *, n_samples: int, missing_rate: float, seed: int) -> OwnFiles:
    """Write samples of the study's GTEx cohort with holes, genes in rows, and their covariates.

    Parameters
    ----------
    study : Study
    folder : path
    n_samples : int
        Drawn among the cohort's; 0, or more than it has: all.
    missing_rate : float in (0, 1)
        Fraction hidden, completely at random.
    seed : int

    Returns
    -------
    OwnFiles
    """
    cohort = study.cohorts["GTEx"]
    generator = np.random.default_rng([seed, 9])
    rows = np.sort(generator.permutation(cohort.n_obs)[: n_samples or None])
    truth = cohort[rows].to_df()
    holes = generator.random(truth.shape) < missing_rate
    path = write_frame(truth.mask(holes), Path(folder, "expression.csv"), orientation="genes_by_samples")
    known = [name for name in COVARIATES if name in cohort.obs]
    beside = Path(folder, "samples.csv")
    cohort.obs.iloc[rows][known].to_csv(beside, index_label="sample")
    return OwnFiles(path, beside, truth)


# --- comparing with the truth ---


def on_log_scale(values: pd.DataFrame, filled: Filled, matrix: Matrix) -> np.ndarray:
    """Values in the matrix's units on the scale on which it was filled, depth taken from its known entries.

    Returns
    -------
    ndarray of float64 (n_samples, n_known_genes)
    """
    scale, genes = filled.prepared.scale, list(filled.prepared.log.columns)
    own = values.loc[matrix.values.index, genes].to_numpy(np.float64)
    if scale.units == "log":
        return own
    return np.log2(1 + own / scale.size_factors(matrix.values[genes])[:, None])


def scores_of_holes(truth: pd.DataFrame, filled: Filled, matrix: Matrix, *, seed: int = 0) -> HeldOut:
    """What was filled into holes, compared with the truth.

    Parameters
    ----------
    truth : DataFrame (n_samples, n_genes)
        NaN where not known either.
    filled : Filled
    matrix : Matrix
        That was filled.
    seed : int, default 0

    Returns
    -------
    HeldOut
        With calibration where the imputer was fitted to this matrix and has intervals.

    Raises
    ------
    DataFormatError
        If the truth of no hole is known.
    """
    known = on_log_scale(truth, filled, matrix)
    log = filled.prepared.log
    said = on_log_scale(filled.values, filled, matrix)
    holes = log.isna().to_numpy() & ~np.isnan(known) & ~np.isnan(said)
    if not holes.any():
        raise DataFormatError("The truth is known of no hole that was filled; give a matrix with holes.")
    result = replace(scored(known, said, holes, log.columns), seconds=filled.seconds, rate=float(holes.mean()))
    fitted_here = getattr(filled.imputer, "feature_names_in_", None)
    if not hasattr(filled.imputer, "intervals") or not np.array_equal(fitted_here, log.columns):
        return result

    def bounds(rows: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        covariates = filled.prepared.covariates
        of_rows = None if covariates is None else covariates.iloc[rows]
        return filled.imputer.intervals(log.iloc[rows], level, covariates=of_rows)

    return replace(result, calibration=calibrated(bounds, known, holes, seed))


def pooled_means(filled: Filled, matrix: Matrix) -> PooledEstimate:
    """Each gene's mean on the log scale with the uncertainty of its holes, from the draws by Rubin's rules."""
    draws = np.stack([on_log_scale(draw, filled, matrix) for draw in filled.draws])
    n_samples = draws.shape[1]
    variances = draws.var(axis=1, ddof=1) / n_samples
    return pool(draws.mean(axis=1), variances, complete_degrees_of_freedom=n_samples - 1)


# --- samples that come later ---


@dataclass(frozen=True)
class Later:
    """Samples to train on, and others that come later with fewer genes, in another order, under other names.

    Attributes
    ----------
    training, new : Matrix
    truth : DataFrame (n_new_samples, n_new_genes)
        Of `new`, which has further holes.
    notes : tuple of str
        What was done to the new samples.
    """

    training: Matrix
    new: Matrix
    truth: pd.DataFrame
    notes: tuple[str, ...]


def later_samples(matrix: Matrix, covariates: pd.DataFrame | None, *, seed: int) -> Later:
    """Set some donors (samples, where none are named) aside as samples that come later.

    Parameters
    ----------
    matrix : Matrix
    covariates : DataFrame, optional
        Its column `donor` is read, where there is one.
    seed : int

    Returns
    -------
    Later
    """
    generator = np.random.default_rng([seed, 10])
    values = matrix.values
    donors = values.index.to_series() if covariates is None or DONOR not in covariates else covariates[DONOR]
    donors = donors.fillna(donors.index.to_series()).astype(str)
    names = np.unique(donors)
    later = donors.isin(generator.permutation(names)[: max(1, round(LATER_SHARE * len(names)))]).to_numpy()
    genes = generator.permutation(values.shape[1])[: max(1, round((1 - LOST_GENES) * values.shape[1]))]
    truth = values.loc[later].iloc[:, genes]
    ids, n_renamed = _as_ensembl([str(name) for name in truth.columns])
    truth = truth.set_axis(pd.Index(ids, dtype=str), axis=1)
    new = truth.mask(generator.random(truth.shape) < HIDDEN_LATER)
    notes = (
        f"{(~later).sum():,} samples to train on, {later.sum():,} of other donors that come later",
        f"{values.shape[1] - len(genes):,} of {values.shape[1]:,} genes are taken from these, the rest is shuffled",
        f"{n_renamed:,} genes are called by Ensembl ids with a version",
        f"{HIDDEN_LATER:.0%} of what is known of them is hidden",
    )
    cut = {"obs": None, "notes": ()}
    return Later(
        replace(matrix, values=values.loc[~later], **cut),
        replace(matrix, values=new, source=matrix.source.with_name(f"later-{matrix.source.name}"), **cut),
        truth,
        notes,
    )


def _as_ensembl(names: Sequence[str]) -> tuple[list[str], int]:
    """Ensembl ids with a version for symbols that have one; other names stay."""
    table = gene_set(PROTEIN_CODING).table
    known = dict(zip(table["symbol"], table["ensembl_id"]))
    ids = [f"{known[name]}.1" if known.get(name) else name for name in names]
    return ids, sum(one != other for one, other in zip(ids, names))
