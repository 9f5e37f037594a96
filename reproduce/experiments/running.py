"""Runs one trial and turns what came out into tidy rows; never writes a file and never lists trials."""

from __future__ import annotations

import time
import traceback

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.rows import CohortRows, match_target, prepare_rows, scored_rows
from reproduce.experiments.trials import ORACLE, Trial, TrialResult, blank_result, tidy_rows
from reproduce.metrics import score


class Fits:
    """The last imputer that was fitted, so that trials that differ only in what they fill share one fit.

    Trials of one `Trial.fit_key` are given one after the other; see `reproduce.experiments.grid`.
    """

    def __init__(self):
        self._key: tuple[object, ...] | None = None
        self._fit: tuple[object, float] | None = None

    def get(self, trial: Trial, fitted: CohortRows) -> tuple[object, float]:
        """The imputer fitted to these rows, and the seconds that fitting took."""
        from reproduce.imputers import make_imputer

        if self._key != trial.fit_key:
            self._key = None  # a fit that fails leaves nothing behind
            imputer = make_imputer(trial.method, random_state=int(trial.seed), **dict(trial.hyperparameters))
            start = time.perf_counter()
            imputer.fit(fitted.frame(), covariates=fitted.covariates(trial))
            self._fit, self._key = (imputer, time.perf_counter() - start), trial.fit_key
        return self._fit


def _fill(
    trial: Trial, fitted: CohortRows, targets: list[CohortRows], fits: Fits
) -> tuple[list[np.ndarray], float, float, object]:
    """Fit and fill; returns the filled matrices on each target's own scale, both times in seconds, and the imputer."""
    from reproduce.imputers import make_imputer

    if trial.scenario == "in_place":
        imputer = make_imputer(trial.method, random_state=int(trial.seed), **dict(trial.hyperparameters))
        start = time.perf_counter()
        filled = imputer.fit_transform(fitted.frame(), covariates=fitted.covariates(trial))
        return [np.asarray(filled)], time.perf_counter() - start, 0.0, imputer
    imputer, fit_seconds = fits.get(trial, fitted)
    filled, start = [], time.perf_counter()
    for target in targets:
        covariates = target.covariates(trial)
        if trial.standardisation == "training":
            filled.append(np.asarray(imputer.transform(target.frame(), covariates=covariates)))
        else:
            match = match_target(fitted, target)
            moved = target.frame(match.to_train(target.visible))
            filled.append(match.to_other(np.asarray(imputer.transform(moved, covariates=covariates))))
    return filled, fit_seconds, time.perf_counter() - start, imputer


def _fill_by_oracle(study, targets: list[CohortRows]) -> tuple[list[np.ndarray], float, float, None]:
    truth = getattr(study, "truth", None)
    if truth is None:
        raise ConfigError(
            f"Study {study.name!r} is not simulated, so its best imputation is unknown; leave 'oracle' out."
        )
    start = time.perf_counter()
    filled = []
    for target in targets:
        names = study.cohorts[target.cohort].var_names
        visible = target.frame().reindex(columns=names)  # a gene that was not joined is one more that is not seen
        whole = truth.oracle_impute(target.cohort, visible, target.obs)
        filled.append(pd.DataFrame(np.asarray(whole), columns=names)[list(target.genes)].to_numpy())
    return filled, 0.0, time.perf_counter() - start, None


def run_trial(trial: Trial, study, fits: Fits | None = None) -> TrialResult:
    """Run one trial; an exception in it becomes a row with status "failed".

    Parameters
    ----------
    trial : Trial
    study : reproduce.loaders.study.Study
    fits : Fits, optional
        Shared by trials that may use one another's fit, all of the same study.

    Returns
    -------
    TrialResult
        `fit_seconds` holds the whole of an in-place run, whose `impute_seconds` is 0: there the two are one step. A
        fit that several trials share counts fully in each.
    """
    trial_id = trial.trial_id(study.fingerprint)
    try:
        fitted, targets = prepare_rows(trial, study)
        oracle = trial.method == ORACLE
        filled, fit_seconds, impute_seconds, imputer = (
            _fill_by_oracle(study, targets) if oracle else _fill(trial, fitted, targets, fits or Fits())
        )
        parts = []
        for target, values in zip(targets, filled, strict=True):
            keep = scored_rows(trial, target)
            scores = score(
                target.truth[keep],
                values[keep],
                target.evaluation_mask[keep],
                groups=target.obs["tissue"].iloc[keep],
                genes=list(target.genes),
            )
            parts.append(scores.assign(test=target.cohort))
        history = getattr(imputer, "history_", None)
        status = {"fit_seconds": fit_seconds, "impute_seconds": impute_seconds, "status": "ok", "error": ""}
        rows = tidy_rows(trial, study, pd.concat(parts, ignore_index=True), **status)
    except Exception as error:  # whatever a method raises must not lose the other trials: it becomes a row that says so
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        return blank_result(trial, study, status="failed", error=message)
    if history is not None:
        history = pd.DataFrame(history).assign(trial_id=trial_id, method=trial.method, seed=int(trial.seed))
    return TrialResult(trial_id, rows, history)
