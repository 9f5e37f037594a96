"""Fills the holes of a person's own matrix, from names and units to the values; never reads or writes a file.

    names checked -> units to a log scale -> method chosen -> fitted and filled -> back to the units that came in

What was known comes back as it came, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.imputers import METHODS, make_imputer
from reproduce.imputers._base import ExpressionImputer
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.matrices.choice import PATIENCE_SECONDS, Choice, choose_method, estimated
from reproduce.matrices.genes import Identifiers, identify
from reproduce.matrices.units import UnitScale, detect_units

if TYPE_CHECKING:
    from reproduce.matrices.files import Matrix
    from reproduce.matrices.models import Model

#: Told what is being done and how many seconds that is expected to take (None: not known).
Progress = Callable[[str, float | None], None]
#: Methods that predict a distribution of their own; any other gets one from its errors on samples left out.
WITH_DISTRIBUTION = ("best", "mixture", "gaussian", "low_rank", "fast_mice", "pmi_tuned", "transfer")
#: The errors of the others are calibrated beside a Gaussian of genes × genes.
CALIBRATED_GENES = 1_000
TISSUE = "tissue"


def quiet(stage: str, seconds: float | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Prepared:
    """A matrix in the units in which methods work, without the genes that nothing is known of.

    Attributes
    ----------
    log : DataFrame (n_samples, n_known_genes)
        NaN where missing.
    scale : UnitScale
    genes : Identifiers
        Of all genes of the matrix.
    covariates : DataFrame or None
    unknown : tuple of str
        Genes without any known entry, which are not in `log`.
    notes : tuple of str
    """

    log: pd.DataFrame
    scale: UnitScale
    genes: Identifiers
    covariates: pd.DataFrame | None
    unknown: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Filled:
    """What imputation made of a matrix.

    Attributes
    ----------
    values : DataFrame (n_samples, n_genes)
        Known entries bit for bit as they came. Holes remain in genes that nothing is known of.
    sd : DataFrame or None
        Standard deviation of each hole in the matrix's units; 0 for known entries. In units that are not logarithmic:
        half the distance between the values one standard deviation below and above on the log scale.
    draws : tuple of DataFrame
        Completed matrices drawn from the predictive distribution.
    notes : tuple of str
    choice : Choice
    seconds : float
        To fit and fill.
    prepared : Prepared
    imputer : ExpressionImputer
        Fitted.
    """

    values: pd.DataFrame
    sd: pd.DataFrame | None
    draws: tuple[pd.DataFrame, ...]
    notes: tuple[str, ...]
    choice: Choice
    seconds: float
    prepared: Prepared
    imputer: ExpressionImputer = field(repr=False)


def impute(
    matrix: Matrix,
    *,
    method: str = "auto",
    covariates: pd.DataFrame | None = None,
    units: str = "auto",
    seed: int = 0,
    uncertainty: bool = False,
    draws: int = 0,
    model: Model | None = None,
    standardise: str = "training",
    patience: float = PATIENCE_SECONDS,
    settings: Mapping[str, object] | None = None,
    progress: Progress = quiet,
) -> Filled:
    """Fill the holes of a matrix, by a method that is fitted to it or by a model.

    Parameters
    ----------
    matrix : Matrix
        See `reproduce.matrices.files.read_matrix`.
    method : str, default "auto"
        Key of `reproduce.imputers.METHODS`; "auto": by size, see `reproduce.matrices.choice`.
    covariates : DataFrame, optional
        One row per sample, indexed by name.
    units : str, default "auto"
        See `reproduce.matrices.units`.
    seed : int, default 0
        The same seed gives the same values.
    uncertainty : bool, default False
        Also standard deviations.
    draws : int, default 0
        Completed matrices to draw.
    model : Model, optional
        Fills, and nothing is fitted; `method`, `settings` and `patience` then do not count.
    standardise : {"training", "own"}, default "training"
        For a model: see `reproduce.matrices.apply.apply_model`.
    patience : float, default 600
        Seconds that "auto" may take.
    settings : mapping, optional
        Hyperparameters of the method.
    progress : callable, optional

    Returns
    -------
    Filled

    Raises
    ------
    DataFormatError
        For names or values that cannot be used, or a matrix without any known entry.
    ConfigError
        For an unknown method, setting or unit, or a distribution asked of a method that can have none.
    CovariateError
        For covariates that do not fit the matrix or the method.
    """
    if draws < 0:
        raise ConfigError(f"draws is {draws}; give 0 or more.")
    progress("checking names and units", None)
    if model is not None:
        from reproduce.matrices.by_model import impute_by_model

        return impute_by_model(model, matrix, covariates, units, seed, uncertainty, draws, standardise, progress)
    if standardise != "training":
        raise ConfigError("standardise is for filling by a model; what is fitted here goes by these samples anyway.")
    prepared = prepare(matrix, covariates=covariates, units=units)
    choice = chosen(method, prepared, inductive=False, patience=patience, settings=settings)
    imputer, notes = new_imputer(choice, prepared, seed, distribution=uncertainty or draws > 0)
    if not np.isnan(prepared.log.to_numpy()).any():
        notes += ("nothing is missing: all values come back as they are",)
    progress(f"fitting and filling by {choice.label}", choice.seconds)
    clock = time.perf_counter()
    log = filled_log(imputer, prepared)
    seconds = time.perf_counter() - clock
    values = in_units(log, prepared, matrix.values)
    sd = None
    if uncertainty:
        progress("standard deviations", choice.seconds)
        sd = deviations(imputer, prepared, log, matrix.values)
    drawn = []
    for number in range(draws):
        progress(f"draw {number + 1} of {draws}", None)
        drawn.append(in_units(_draw(imputer, prepared, seed, number), prepared, matrix.values))
    return Filled(values, sd, tuple(drawn), prepared.notes + notes, choice, seconds, prepared, imputer)


# --- before the fit ---


def prepare(matrix: Matrix, *, covariates: pd.DataFrame | None = None, units: str = "auto") -> Prepared:
    """Check names, find the units and go to the log scale.

    Parameters
    ----------
    matrix : Matrix
    covariates : DataFrame, optional
    units : str, default "auto"

    Returns
    -------
    Prepared

    Raises
    ------
    DataFormatError, CovariateError
    """
    values = matrix.values
    genes = identify(values.columns)
    missing = np.isnan(values.to_numpy())
    if missing.all():
        raise DataFormatError(f"{matrix.source}: no entry is known, so there is nothing to learn from.")
    without = missing.all(axis=0)
    known = values.loc[:, ~without] if without.any() else values
    scale, said = scale_of(known, units)
    notes = [*genes.notes, said]
    if without.any():
        notes.append(
            f"{without.sum():,} gene(s) are known in no sample, such as {values.columns[without][0]}: they stay "
            "missing; a model that was trained on samples that have them can fill them"
        )
    log = scale.to_log(known)
    return Prepared(log, scale, genes, _aligned(covariates, values.index), tuple(values.columns[without]), tuple(notes))


def scale_of(values: pd.DataFrame, units: str) -> tuple[UnitScale, str]:
    """The scale for the units that are named, or found, and what to say of it."""
    if units != "auto":
        return UnitScale.fit(values, units), f"units: {units}, as told"
    found, reason = detect_units(values)
    return UnitScale.fit(values, found), f"units: {found} ({reason}); --units says otherwise"


def chosen(
    method: str, prepared: Prepared, *, inductive: bool, patience: float, settings: Mapping[str, object] | None
) -> Choice:
    """The method that is asked for, or the best for the size; with its settings."""
    shape = prepared.log.shape
    if method != "auto":
        choice = estimated(method, shape, "as asked", settings)
    else:
        rate = float(np.isnan(prepared.log.to_numpy()).mean())
        choice = choose_method(*shape, rate, inductive=inductive, patience_seconds=patience)
        choice = replace(choice, parameters={**choice.parameters, **(settings or {})})
    if inductive and "inductive" not in METHODS[choice.method].scenarios:
        raise ConfigError(
            f"{choice.method} fills only the matrix that it was fitted to; for a model choose another, such as mixture."
        )
    return choice


def new_imputer(
    choice: Choice, prepared: Prepared, seed: int, *, distribution: bool
) -> tuple[ExpressionImputer, tuple[str, ...]]:
    """The imputer, not fitted, and what to say of how it is set.

    Without a column named tissue the samples are one group, unless a setting names another column.

    Raises
    ------
    ConfigError
        For a setting that names a covariate where there are none.
    """
    parameters, notes = dict(choice.parameters), []
    known = METHODS[choice.method].load()._get_param_names()
    covariates = prepared.covariates
    if covariates is None and "group" in known:
        if parameters.get("group") is not None:
            raise ConfigError(
                f"group={parameters['group']} names a covariate, and there are none: give a table that has this "
                "column as covariates, or leave the setting out."
            )
        parameters["group"] = None  # so that no report names a tissue that the method was not told
    if covariates is not None and TISSUE not in covariates and "group" not in parameters:
        if "group" in known:
            parameters["group"] = None
        elif choice.method == "best" and "member_parameters" not in parameters:
            parameters["member_parameters"] = {member: {"group": None} for member in ("gaussian", "mixture")}
        others = [str(name) for name in covariates if name != "donor"]
        if others:
            notes.append(
                "the covariates have no column 'tissue', so all samples are one group; to give the categories of a "
                f"column means of their own: --set group={others[0]}"
            )
    imputer = make_imputer(choice.method, random_state=seed, **parameters)
    if not distribution or isinstance(imputer, PredictiveImputer):
        return imputer, tuple(notes)
    notes.append(f"{choice.label} has no distribution of its own: its errors on samples left out give one")
    return _calibrated(choice.method, imputer, prepared, seed), tuple(notes)


def _calibrated(method: str, imputer: ExpressionImputer, prepared: Prepared, seed: int) -> ExpressionImputer:
    n_samples, n_genes = prepared.log.shape
    able = ", ".join(name for name in WITH_DISTRIBUTION if name != "transfer")
    if n_genes > CALIBRATED_GENES or "inductive" not in METHODS[method].scenarios or n_samples < 10:
        raise ConfigError(
            f"{method} gives values without a distribution, and for {n_samples:,} samples × {n_genes:,} genes one "
            f"cannot be found from its errors; standard deviations and draws come from: {able}."
        )
    from reproduce.imputers.conformal import ConformalImputer

    group = TISSUE if prepared.covariates is not None and TISSUE in prepared.covariates else None
    return ConformalImputer(imputer, group=group, random_state=seed)


def _aligned(covariates: pd.DataFrame | None, samples: pd.Index) -> pd.DataFrame | None:
    """One row of covariates per sample, in the matrix's order."""
    if covariates is None or covariates.index.equals(samples):
        return covariates
    absent = samples[~samples.isin(covariates.index)]
    if len(absent) or not covariates.index.is_unique:
        which = f"lack sample {absent[0]!r}" if len(absent) else "have a sample more than once"
        raise CovariateError(f"The covariates {which}; give one row per sample of the matrix, by its name.")
    return covariates.loc[samples]


# --- the fit, and back ---


def filled_log(imputer: ExpressionImputer, prepared: Prepared) -> np.ndarray:
    """Fit in place; values (n_samples, n_known_genes) on the log scale."""
    return np.asarray(imputer.fit_transform(prepared.log, covariates=prepared.covariates))


def in_units(log: np.ndarray, prepared: Prepared, original: pd.DataFrame) -> pd.DataFrame:
    """Filled values in the matrix's units and precision, its known entries as they were."""
    of_known = original.loc[:, prepared.log.columns] if prepared.unknown else original
    frame = pd.DataFrame(log, index=prepared.log.index, columns=prepared.log.columns, copy=False)
    back = prepared.scale.from_log(frame, of_known)
    return back.reindex(columns=original.columns) if prepared.unknown else back


def deviations(imputer: PredictiveImputer, prepared: Prepared, log: np.ndarray, original: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation of each hole in the matrix's units, 0 for known entries; see `Filled`."""
    sd = imputer.conditional_sd(prepared.log, covariates=prepared.covariates)
    if prepared.scale.units != "log":
        upper, lower = (in_units(log + sign * sd, prepared, original).to_numpy(np.float64) for sign in (1, -1))
        sd = (upper - lower) / 2
    else:
        frame = pd.DataFrame(sd, index=prepared.log.index, columns=prepared.log.columns, copy=False)
        sd = frame.reindex(columns=original.columns).to_numpy(np.float64)
    sd = np.where(original.isna(), sd, 0.0).astype(original.to_numpy().dtype)
    return pd.DataFrame(sd, index=original.index, columns=original.columns, copy=False)


def seed_of_draw(seed: int, number: int) -> int:
    """Seed of one of the draws."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _draw(imputer: PredictiveImputer, prepared: Prepared, seed: int, number: int) -> np.ndarray:
    state = seed_of_draw(seed, number)
    return imputer.sample(prepared.log, 1, covariates=prepared.covariates, random_state=state)[0]
