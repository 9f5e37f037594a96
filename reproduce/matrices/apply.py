"""Fills new samples by a model that was fitted elsewhere; never learns from them, and never reads or writes a file.

genes matched by name -> the model's units -> its order -> filled -> back to the caller's order, names and units

Another cohort, or the same tissue measured by another pipeline, differs from the training samples in each gene's mean
and spread. `standardise="own"` takes both from the new samples' own known entries, on the log scale, so that the
model's relations between genes are used and its levels are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.imputers._base import check_choice
from reproduce.imputers._covariates import DONOR, CovariateEncoder
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.matrices.genes import Match, match
from reproduce.matrices.models import Model, scale_of
from reproduce.matrices.units import UnitScale, detect_units

#: Share of the model's genes that must be in the matrix; with fewer, what is filled in is little more than a mean.
LEAST_SHARE = 0.05
#: Below this share it is said that accuracy suffers.
GOOD_SHARE = 0.5
#: Root mean square of known entries, in standard deviations of the training samples, from which they look foreign.
FOREIGN = 3.0
#: What new samples are standardised by: the training samples' mean and standard deviation of each gene, or their own.
STANDARDISE = ("training", "own")
#: Known entries that a gene's own mean and standard deviation need.
OWN_ENTRIES = 10
#: The same of genes' means, and samples that are needed to speak of means.
SHIFTED, SHIFTED_SAMPLES = 1.0, 10


@dataclass(frozen=True)
class Applied:
    """New samples, filled.

    Attributes
    ----------
    filled : DataFrame (n_samples, n_genes)
        In the caller's order, names, units and dtypes. Known entries bit for bit as they came. Genes that the model
        does not know are as they came, with their holes.
    sd : DataFrame or None
        Standard deviation of each hole that was filled, in the caller's units (where these are not logarithmic: half
        the distance between the values one standard deviation below and above on the log scale); 0 for known entries,
        NaN for holes that remain.
    notes : tuple of str
        What was matched, left out and assumed, to be told to the user.
    """

    filled: pd.DataFrame
    sd: pd.DataFrame | None
    notes: tuple[str, ...]


def apply_model(
    model: Model,
    values: pd.DataFrame,
    covariates: pd.DataFrame | None = None,
    *,
    uncertainty: bool = False,
    standardise: str = "training",
) -> Applied:
    """Fill new samples.

    Genes are found by name, in any order; by Ensembl id with or without version, or by symbol. Genes of the model that
    the matrix lacks are missing to the imputer in every sample; they are not added. At least 5 % of the model's genes
    must be there.

    Parameters
    ----------
    model : Model
    values : DataFrame (n_samples, n_genes)
        In the units of the training matrix; NaN where missing.
    covariates : DataFrame, optional
        One row per sample, found by name. Needed exactly if the model was fitted with covariates; cells may be empty. A
        level that the model has not seen is an error, or is taken as unknown if the model was trained to pool them.
        Donors may be left out, unless the model fills from other samples of the same donor.
    uncertainty : bool, default False
        Also standard deviations.
    standardise : {"training", "own"}, default "training"
        By which samples' mean and standard deviation of each gene the values are standardised; "own" is for another
        cohort or pipeline, and keeps the training's for genes with fewer than 10 known entries.

    Returns
    -------
    Applied

    Raises
    ------
    DataFormatError
        For entries that are no finite numbers, names that cannot be used, or too few of the model's genes.
    CovariateError
        For absent covariates, and levels that the model has not seen.
    ConfigError
        For standard deviations of a model that has none, and if no gene has the known entries that "own" needs.
    """
    check_choice("standardise", standardise, STANDARDISE)
    if uncertainty and not isinstance(model.imputer, PredictiveImputer):
        raise ConfigError(
            f"This model ({model.method}) gives values without standard deviations; leave them out, or train a model "
            "of a method that predicts a distribution, such as mixture."
        )
    _check_values(values)
    found = match(model.genes, [str(name) for name in values.columns], symbols=dict(model.symbols) or None)
    _check_share(found, model, values)
    prepared, notes = _covariates_for(model, covariates, values.index)

    at = np.flatnonzero(found.position >= 0)
    own = _own_genes(model, values, found.position)
    scale = scale_of(model)
    log = np.asarray(scale.to_log(own))
    levels = _Levels.of(model, log, own=standardise == "own")
    on_values = _notes_on_values(model, values, own, levels.to_training(log))
    notes = (*_notes_on_genes(found, model, values), *on_values, *notes)
    X = _as_fitted(model, levels.to_training(log), values.index)
    filled_log = levels.from_training(np.asarray(model.imputer.transform(X, covariates=prepared)))
    filled = _with_holes_filled(values, _in_units(scale, filled_log, own)[:, at], found.position[at])
    sd = None
    if uncertainty:
        sd_own = np.asarray(model.imputer.conditional_sd(X, covariates=prepared)) / levels.factor
        if scale.units != "log":
            ends = (_in_units(scale, filled_log + sign * sd_own, own) for sign in (1, -1))
            sd_own = (next(ends) - next(ends)) / 2
        sd = _deviations(sd_own[:, at], values, found.position[at])
    return Applied(filled, sd, (*notes, *levels.notes))


@dataclass(frozen=True)
class _Levels:
    """Takes each gene's level and spread to that of the training samples, and back: x → factor · x + offset."""

    factor: np.ndarray
    offset: np.ndarray
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Model, log: np.ndarray, *, own: bool) -> _Levels:
        """Of new samples (n_samples, n_model_genes) on the log scale, or, unless `own`, nothing to do."""
        factor, offset = np.ones(log.shape[1]), np.zeros(log.shape[1])
        if not own:
            return cls(factor, offset)
        imputer, known = model.imputer, ~np.isnan(log)
        usable = (known.sum(axis=0) >= OWN_ENTRIES) & imputer.varying_
        if not usable.any():
            raise ConfigError(
                f"Standardising by the samples' own values needs genes with {OWN_ENTRIES} known entries; none of the "
                "model's genes has so many. Leave it out, or fill more samples together."
            )
        part = log[:, usable].astype(float)
        mean, sd = np.nanmean(part, axis=0), np.nanstd(part, axis=0)
        spread = sd > np.finfo(np.float32).eps * np.abs(mean)
        # a gene that does not vary here has a level of its own, but no spread to compare
        ratio = np.where(spread, imputer.scale_[usable] / np.where(spread, sd, 1.0), 1.0)
        factor[usable], offset[usable] = ratio, imputer.center_[usable] - ratio * mean
        kept = int((known.any(axis=0) & ~usable).sum())
        told = f"; {kept:,} with fewer than {OWN_ENTRIES} known entries, or constant in training, by the training's"
        return cls(factor, offset, (
            f"{usable.sum():,} genes are standardised by the known entries of these samples{told if kept else ''}",
        ))  # fmt: skip

    def to_training(self, log: np.ndarray) -> np.ndarray:
        return (log * self.factor + self.offset).astype(log.dtype) if self.notes else log

    def from_training(self, log: np.ndarray) -> np.ndarray:
        return ((log - self.offset) / self.factor).astype(log.dtype) if self.notes else log


# what comes in


def _check_values(values: pd.DataFrame) -> None:
    if not isinstance(values, pd.DataFrame) or not values.size:
        raise DataFormatError("The matrix has no entry; give a DataFrame of at least one sample and one gene.")
    for name, dtype in values.dtypes.items():
        if not isinstance(dtype, np.dtype) or dtype.kind not in "iuf":
            raise DataFormatError(f"Gene {name!r} has dtype {dtype}; give NumPy's numbers, such as astype(float).")
    infinite = np.isinf(values.to_numpy())
    if infinite.any():
        row, gene = np.argwhere(infinite)[0]
        raise DataFormatError(
            f"Sample {values.index[row]!r}, gene {values.columns[gene]!r} is infinite, and {infinite.sum():,} place(s) "
            "in all; missing entries are empty or NaN, all others finite."
        )


def _check_share(found: Match, model: Model, values: pd.DataFrame) -> None:
    n_genes, n_found = len(model.genes), len(model.genes) - len(found.missing)
    if n_found < max(1, LEAST_SHARE * n_genes):
        raise DataFormatError(
            f"Of the model's {n_genes:,} genes (such as {_some(model.genes.names)}) the matrix has {n_found:,}; at "
            f"least {LEAST_SHARE:.0%} must be there. It lacks {_some(found.missing)}; its own names are such as "
            f"{_some(values.columns)}. Are these genes of the same species, in columns, and the model for this tissue?"
        )


def _own_genes(model: Model, values: pd.DataFrame, position: np.ndarray) -> pd.DataFrame:
    """The model's genes in its order (n_samples, n_model_genes), NaN where the matrix lacks one."""
    single = all(dtype in (np.float32, np.float16) for dtype in values.dtypes)
    own = np.full((len(values), len(position)), np.nan, dtype=np.float32 if single else np.float64)
    there = np.flatnonzero(position >= 0)
    own[:, there] = values.iloc[:, position[there]].to_numpy()
    return pd.DataFrame(own, index=values.index, columns=list(model.genes.names), copy=False)


def _as_fitted(model: Model, X: np.ndarray, samples: pd.Index) -> np.ndarray | pd.DataFrame:
    """With names exactly if the imputer was fitted with names."""
    if not hasattr(model.imputer, "feature_names_in_"):
        return X
    return pd.DataFrame(X, index=samples, columns=list(model.genes.names), copy=False)


def _covariates_for(
    model: Model, given: pd.DataFrame | None, samples: pd.Index
) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """The covariates as the imputer needs them, one row per sample, and notes."""
    encoder = model.imputer.covariate_encoder_
    if encoder is None:
        told = () if given is None else ("the model was fitted without covariates; those given are not used",)
        return None, told
    needed = [name for name in encoder.columns_ if name != DONOR or model.method == "surrogate"]
    if given is None:
        if needed:
            raise CovariateError(
                f"The model was fitted with the covariates {_columns(encoder, needed)}; give a table with one row "
                "per sample and these columns (--covariates FILE, or obs: and their names). Cells may be empty where "
                "something is not known."
            )
        given = pd.DataFrame(index=samples)
    given = _of_samples(given, samples)
    absent = [str(name) for name in needed if name not in given]
    if absent:
        raise CovariateError(
            f"The covariates lack {', '.join(absent)}; the model was fitted with {_columns(encoder, needed)}. Add the "
            "column; cells may be empty where something is not known."
        )
    notes = []
    extra = [str(name) for name in given if name not in encoder.columns_]
    if extra:
        notes.append(f"the covariates {', '.join(extra)} are not known to the model and are not used")
    if DONOR in encoder.columns_ and DONOR not in given:
        given = given.assign(**{DONOR: pd.Series([None] * len(given), index=given.index, dtype=object)})
    given = given[list(encoder.columns_)]
    return given, (*notes, *_unseen(encoder, given))


def _of_samples(given: pd.DataFrame, samples: pd.Index) -> pd.DataFrame:
    twice = given.columns[given.columns.duplicated()]
    if len(twice):
        raise CovariateError(f"Covariate column {twice[0]!r} occurs more than once; keep one of them.")
    if given.index.equals(samples):
        return given
    if given.index.has_duplicates:
        again = given.index[given.index.duplicated()][0]
        raise CovariateError(f"The covariates have more than one row for sample {again!r}; keep one of them.")
    absent = samples[~samples.isin(given.index)]
    if len(absent):
        raise CovariateError(
            f"The covariates have no row for {len(absent):,} sample(s): {_some(absent)}; add them, with empty cells "
            "where nothing is known."
        )
    return given.loc[samples]


def _unseen(encoder: CovariateEncoder, given: pd.DataFrame) -> Iterable[str]:
    for name, levels in encoder.categories_.items():
        texts = given[name].map(str, na_action="ignore")
        new = texts[texts.notna() & ~texts.isin(levels)]
        if new.empty:
            continue
        which = ", ".join(repr(level) for level in list(dict.fromkeys(new))[:5])
        if encoder.unknown_category == "error":
            raise CovariateError(
                f"{len(new):,} sample(s), such as {new.index[0]!r}, have the {name} {which}, which the model has not "
                f"seen (seen: {_some(levels)}). Write it as the model does, leave the cell empty to have it taken as "
                "unknown, or train a model with unknown_category='pool'."
            )
        yield f"{len(new):,} sample(s) have the {name} {which}, which the model has not seen: taken as unknown"


def _columns(encoder: CovariateEncoder, needed: Sequence[str]) -> str:
    levels = {name: f" ({_some(levels)})" for name, levels in encoder.categories_.items()}
    return ", ".join(f"{name}{levels.get(name, '')}" for name in needed)


# what is said of it


def _notes_on_genes(found: Match, model: Model, values: pd.DataFrame) -> list[str]:
    n_genes, n_found = len(model.genes), len(model.genes) - len(found.missing)
    notes = [f"{n_found:,} of the model's {n_genes:,} genes are in the matrix", *found.notes]
    if found.missing:
        notes.append(f"taken as missing, and not added: {_some(found.missing)}")
    if n_found < GOOD_SHARE * n_genes:
        notes.append(
            f"that is {n_found / n_genes:.0%} of what the model reads: expect it to be less accurate than its card says"
        )
    if found.extra:
        left = int(values[list(found.extra)].isna().to_numpy().sum()) if set(found.extra) <= set(values) else None
        holes = "" if left is None else f", with their {left:,} missing entries"
        notes.append(
            f"{len(found.extra):,} gene(s) are not known to the model and come back as they came{holes}: "
            f"{_some(found.extra)}"
        )
    return notes


def _notes_on_values(model: Model, values: pd.DataFrame, own: pd.DataFrame, log: np.ndarray) -> list[str]:
    notes = []
    if values.notna().to_numpy().any():
        units, reason = detect_units(values)
        if units != {"cpm": "tpm"}.get(model.units.units, model.units.units):
            notes.append(
                f"taken as {model.units.units}, as in training, though the matrix looks like {units}: {reason}"
            )
    empty = np.isnan(log).all(axis=1)
    if empty.any():
        notes.append(
            f"{empty.sum():,} sample(s) have no known entry in the model's genes, such as {own.index[empty][0]!r}: "
            "they get what the model says without genes, which is little more than a mean"
        )
    z = ((log - model.imputer.center_) / model.imputer.scale_)[:, model.imputer.varying_]
    z = z[:, ~np.isnan(z).all(axis=0)]
    if not z.size:
        return notes
    distance, shift = (float(np.sqrt(np.nanmean(x**2))) for x in (z, np.nanmean(z, axis=0)))
    if distance > FOREIGN:
        notes.append(
            f"known entries lie {distance:.1f} standard deviations from the training samples' means (about 1 for "
            "samples like those): other units, another normalisation, another tissue? What is filled in may be far off"
        )
    elif shift > SHIFTED and len(z) >= SHIFTED_SAMPLES:
        notes.append(
            f"the genes' means lie {shift:.1f} standard deviations from those in training (near 0 for samples like "
            "those): other units, another normalisation, another tissue? What is filled in may be far off: --report "
            "measures it, --standardise own goes by these samples' own means, and without --model they are filled from "
            "each other"
        )
    return notes


def _some(names: Iterable[object], limit: int = 5) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more


# what goes out


def _in_units(scale: UnitScale, log: np.ndarray, own: pd.DataFrame) -> np.ndarray:
    """Values in holes in the caller's units (n_samples, n_model_genes)."""
    return scale.from_log(pd.DataFrame(log, index=own.index, columns=own.columns), own).to_numpy()


def _with_holes_filled(values: pd.DataFrame, new: np.ndarray, at: np.ndarray) -> pd.DataFrame:
    if values.dtypes.nunique() > 1:
        whole = pd.DataFrame(np.nan, index=values.index, columns=values.columns)
        whole.iloc[:, at] = new
        return values.where(values.notna(), whole).astype(dict(values.dtypes))
    numbers = values.to_numpy(copy=True)
    part = numbers[:, at]
    numbers[:, at] = np.where(np.isnan(part), new, part).astype(numbers.dtype)
    return pd.DataFrame(numbers, index=values.index, columns=values.columns, copy=False)


def _deviations(sd: np.ndarray, values: pd.DataFrame, at: np.ndarray) -> pd.DataFrame:
    missing = values.isna().to_numpy()
    result = np.where(missing, np.nan, 0.0)
    result[:, at] = np.where(missing[:, at], sd, 0.0)
    return pd.DataFrame(result, index=values.index, columns=values.columns)
