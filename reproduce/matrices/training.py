"""Fits a method to a person's samples for keeps, and measures it on samples left out; never reads or writes a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import CovariateError, DataFormatError
from reproduce.imputers._covariates import DONOR
from reproduce.matrices.choice import PATIENCE_SECONDS, Choice
from reproduce.matrices.filling import Prepared, Progress, chosen, new_imputer, prepare, quiet
from reproduce.matrices.genes import match

if TYPE_CHECKING:
    from reproduce.matrices.files import Matrix
    from reproduce.matrices.models import Model

#: Share of the donors (or samples) that are left out to measure, and of their known entries that are hidden.
LEFT_OUT, HIDDEN_RATE = 0.2, 0.5
#: Fewer samples than this are all needed for the fit.
LEAST_SAMPLES = 10


def joined(matrices: Sequence[Matrix]) -> Matrix:
    """Samples of several matrices one below the other, with the genes that all have, by name.

    Parameters
    ----------
    matrices : sequence of Matrix

    Returns
    -------
    Matrix
        Named and laid out as the first.

    Raises
    ------
    DataFormatError
        For a sample that is in two of them, or no gene that all have.
    """
    first = matrices[0]
    if len(matrices) == 1:
        return first
    kept, parts, notes = np.arange(first.values.shape[1]), [first.values], list(first.notes)
    positions = []
    for other in matrices[1:]:
        found = match(list(first.values.columns), list(other.values.columns))
        positions.append(found.position)
        kept = kept[found.position[kept] >= 0]
        notes += [*other.notes, *found.notes]
    if not len(kept):
        raise DataFormatError(
            f"{first.source} and the other files have no gene in common; give files of the same genes."
        )
    genes = first.values.columns[kept]
    parts = [first.values.iloc[:, kept]]
    for other, position in zip(matrices[1:], positions):
        parts.append(other.values.iloc[:, position[kept]].set_axis(genes, axis=1))
    values = pd.concat(parts)
    twice = values.index[values.index.duplicated()]
    if len(twice):
        raise DataFormatError(f"Sample {twice[0]!r} is in more than one of the files; give each sample once.")
    lost = [f"{len(each.values.columns) - len(kept):,} of {each.source.name}" for each in matrices]
    notes.append(
        f"{len(matrices)} files, {len(values):,} samples; {len(kept):,} genes are in all (lost: {', '.join(lost)})"
    )
    notes_on_columns = tuple(told for each in matrices for told in each.notes_on_columns)
    return replace(first, values=values, notes=tuple(notes), obs=None, notes_on_columns=notes_on_columns)


def train(
    matrix: Matrix,
    *,
    method: str = "auto",
    covariates: pd.DataFrame | None = None,
    units: str = "auto",
    seed: int = 0,
    patience: float = PATIENCE_SECONDS,
    settings: Mapping[str, object] | None = None,
    progress: Progress = quiet,
) -> tuple[Model, tuple[str, ...]]:
    """Fit a method to a matrix, to fill other samples later.

    Parameters
    ----------
    matrix : Matrix
    method, covariates, units, seed, patience, settings, progress
        As of `reproduce.matrices.filling.impute`.

    Returns
    -------
    model : Model
        Its metrics are those of donors (samples, where no covariate names donors) left out.
    notes : tuple of str

    Raises
    ------
    ConfigError
        Also for a method that fills only what it was fitted to.
    DataFormatError, CovariateError
    """
    from reproduce.matrices.models import Model, covariates_of, training_summary

    progress("checking names and units", None)
    prepared = prepare(matrix, covariates=covariates, units=units)
    choice = chosen(method, prepared, inductive=True, patience=patience / 2, settings=settings)  # fitted twice
    metrics = left_out_accuracy(choice, prepared, seed, progress)
    imputer, notes = new_imputer(choice, prepared, seed, distribution=False)
    progress(f"fitting {choice.label}", choice.seconds)
    imputer.fit(prepared.log, covariates=prepared.covariates)
    notes = (*prepared.notes, f"method: {choice.label} ({choice.method}); {choice.reason}", *notes)
    model = Model(
        imputer=imputer,
        method=choice.method,
        genes=replace(prepared.genes, names=tuple(prepared.log.columns)),
        units=prepared.scale,
        covariates=covariates_of(imputer),
        training=training_summary(prepared.log, source=matrix.source.name, covariates=prepared.covariates),
        metrics=metrics,
    )
    return model, notes


def left_out_accuracy(choice: Choice, prepared: Prepared, seed: int, progress: Progress) -> dict[str, object]:
    """Fit without a fifth of the donors, hide half of what is known of them, fill, and compare.

    Returns
    -------
    dict
        r2, median_gene_r2, rmse (log scale), hidden_rate, n_samples_left_out, n_hidden; or `not_measured`: why.
    """
    from reproduce.matrices.evaluation import scored

    log = prepared.log
    if len(log) < LEAST_SAMPLES:
        return {"not_measured": f"{len(log)} samples are too few to leave any out"}
    rng = np.random.default_rng([seed, 11])
    donors = _donors(prepared.covariates, len(log))
    names = np.unique(donors)
    if len(names) < 2:
        return {"not_measured": "all samples are of one donor, so none can be left out"}
    n_out = min(max(1, round(LEFT_OUT * len(names))), len(names) - 1)
    out = np.isin(donors, rng.permutation(names)[:n_out])
    kept = ~np.isnan(log.to_numpy()[~out]).all(axis=0)
    fitted, asked = log.loc[~out, kept], log.loc[out, kept]
    truth = asked.to_numpy()
    hidden = (rng.random(truth.shape) < HIDDEN_RATE) & ~np.isnan(truth)
    if not hidden.any():
        return {"not_measured": "nothing is known of the samples left out"}
    imputer, _ = new_imputer(choice, prepared, seed, distribution=False)
    covariates = prepared.covariates
    progress(f"measuring {choice.label} on {out.sum()} samples left out", choice.seconds)
    try:
        imputer.fit(fitted, covariates=None if covariates is None else covariates[~out])
        filled = imputer.transform(asked.mask(hidden), covariates=None if covariates is None else covariates[out])
    except CovariateError as error:  # a category that only the samples left out have
        return {"not_measured": str(error)}
    result = scored(truth, np.asarray(filled), hidden, asked.columns, fitted=fitted.to_numpy())
    return {
        "r2": result.r2,
        "median_gene_r2": result.median_gene_r2,
        "rmse": result.rmse,
        "hidden_rate": HIDDEN_RATE,
        "n_samples_left_out": int(out.sum()),
        "n_hidden": len(result.truth),
    }


def _donors(covariates: pd.DataFrame | None, n_samples: int) -> np.ndarray:
    """Number of each sample's donor; an unknown one is one of its own."""
    if covariates is None or DONOR not in covariates:
        return np.arange(n_samples)
    codes = pd.factorize(covariates[DONOR])[0]
    return np.where(codes < 0, len(codes) + np.arange(n_samples), codes)
