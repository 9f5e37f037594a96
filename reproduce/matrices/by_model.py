"""Fills and measures by a model where `filling` and `evaluation` would fit; never learns from the matrix."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.imputers import METHODS
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.matrices.apply import apply_model
from reproduce.matrices.choice import Choice
from reproduce.matrices.filling import WITH_DISTRIBUTION, Filled, Prepared, Progress, prepare, seed_of_draw

if TYPE_CHECKING:
    from reproduce.matrices.evaluation import Bounds, Fill
    from reproduce.matrices.files import Matrix
    from reproduce.matrices.models import Model


def impute_by_model(
    model: Model,
    matrix: Matrix,
    covariates: pd.DataFrame | None,
    units: str,
    seed: int,
    uncertainty: bool,
    draws: int,
    standardise: str,
    progress: Progress,
) -> Filled:
    """As `reproduce.matrices.filling.impute`, by a model."""
    if units not in ("auto", model.units.units):
        raise ConfigError(f"The model was trained on {model.units.units}, and the units are said to be {units}.")
    if draws and not isinstance(model.imputer, PredictiveImputer):
        raise ConfigError(
            f"This model ({model.method}) gives values without a distribution to draw from; train a model of a method "
            f"that has one: {', '.join(WITH_DISTRIBUTION)}."
        )
    prepared = prepare(matrix, covariates=covariates, units=model.units.units)
    progress(f"filling by the model ({METHODS[model.method].label})", None)
    clock = time.perf_counter()
    applied = apply_model(model, matrix.values, prepared.covariates, uncertainty=uncertainty, standardise=standardise)
    seconds = time.perf_counter() - clock
    drawn = []
    for number in range(draws):
        progress(f"draw {number + 1} of {draws}", None)
        drawing = replace(model, imputer=_drawing(model.imputer, seed_of_draw(seed, number)))
        drawn.append(apply_model(drawing, matrix.values, prepared.covariates, standardise=standardise).filled)
    choice = Choice(model.method, {}, "fitted before, to other samples", seconds)
    notes = (*prepared.genes.notes, f"units: {model.units.units}, as in training", *applied.notes)
    return Filled(applied.filled, applied.sd, tuple(drawn), notes, choice, seconds, prepared, model.imputer)


def _drawing(imputer: PredictiveImputer, state: int) -> PredictiveImputer:
    """The same imputer, but what it fills in is one draw."""
    other = copy.copy(imputer)
    other.transform = lambda X, covariates=None: imputer.sample(X, 1, covariates=covariates, random_state=state)[0]
    return other


def fill_by_model(model: Model, matrix: Matrix, prepared: Prepared, standardise: str = "training") -> Fill:
    """Fills by a model; has intervals where the model has, and the matrix is on a log scale."""
    uncertain = isinstance(model.imputer, PredictiveImputer) and model.units.units == "log"

    def fill(shown: pd.DataFrame) -> tuple[np.ndarray, Bounds | None]:
        hidden = shown.isna().reindex(columns=matrix.values.columns, fill_value=True)
        applied = apply_model(
            model, matrix.values.mask(hidden), prepared.covariates, uncertainty=uncertain, standardise=standardise
        )
        filled = prepared.scale.to_log(applied.filled)[shown.columns].to_numpy()
        if not uncertain:
            return filled, None
        sd = applied.sd[shown.columns].to_numpy()

        def bounds(rows: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
            half = NormalDist().inv_cdf((1 + level) / 2) * sd[rows]
            return filled[rows] - half, filled[rows] + half

        return filled, bounds

    return fill


def what_it_has_seen(model: Model) -> str:
    """That accuracy measured on samples of the training is flattered, and what it is on others, where that is known.

    A model keeps no names of its training samples, so it cannot be told whether these are some of them.
    """
    told, r2 = model.training, model.metrics.get("r2")
    count = f"{told['n_samples']:,} samples of {told['source']}" if told.get("source") else "other samples"
    on_others = "" if r2 is None else (
        f" On samples that were left out of its training, with {model.metrics['hidden_rate']:.0%} of their entries "
        f"hidden, its R² was {r2:.3f}."
    )  # fmt: skip
    return (
        f"The model was fitted to {count}. If samples of this matrix were among them, it has seen the hidden values, "
        f"and this accuracy is too good: it does not tell how well new samples are filled.{on_others}"
    )
