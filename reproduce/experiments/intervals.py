"""Measures whether intervals hold what they promise, method by method and rate by rate; never draws.

A trial is run as any other, and what is scored is not the imputed value but the distribution around it: the method's
own (`OWN`: `reproduce.imputers._predictive`), or the one calibrated on held-out donors (`CONFORMAL`:
`reproduce.imputers.conformal`). That is another result than a `Trial` names, so it is stored under a fingerprint of the
study that says so.

| metric | definition over some hidden entries |
| --- | --- |
| `coverage_L` | fraction of entries inside their intervals at level L % |
| `width_L` | mean width of those intervals, in sd of the gene over the fitted rows |
| `interval_score_L` | mean of width + 2/α · what an entry lies outside by, in the same unit; the lower the better |
| `error_sd_correlation` | correlation of absolute error and predicted sd, both in that unit |

Overall figures are over all hidden entries, not means over genes. The interval score is that of Gneiting and Raftery,
JASA 102 (2007), eq. 43: nobody can improve it by reporting another interval than the one they believe in.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.companions import Companion, run_companions
from reproduce.experiments.frontier import frontier_budget
from reproduce.experiments.plans import comparison_trials
from reproduce.experiments.provenance import code_fingerprint
from reproduce.experiments.rows import CohortRows, prepare_rows
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial, TrialResult, tidy_rows

#: Where a distribution comes from; the `variant` of the results table.
OWN, CONFORMAL = "own distribution", "conformal"
SOURCES = (OWN, CONFORMAL)
LEVELS = (0.5, 0.8, 0.95)
MISSING_RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
CORRELATION = "error_sd_correlation"


@dataclass(frozen=True)
class IntervalTrial:
    """A trial, and where the distribution comes from that is scored.

    Attributes
    ----------
    trial : Trial
    source : {"own distribution", "conformal"}
    n_folds : int
        Of the conformal calibration; 0 for a method's own distribution.
    """

    trial: Trial
    source: str
    n_folds: int = 0

    def __post_init__(self):
        if self.source not in SOURCES:
            raise ConfigError(f"Unknown source {self.source!r} of intervals; known are {', '.join(SOURCES)}.")
        if (self.source == CONFORMAL) != (self.n_folds > 0):
            raise ConfigError(
                f"n_folds is {self.n_folds} for {self.source!r}; give it for {CONFORMAL!r}, and only there."
            )
        if self.trial.scenario == "cross_cohort":
            raise ConfigError("Intervals hold for rows like the fitted ones; take scenario 'inductive' or 'in_place'.")

    def trial_id(self, study) -> str:
        """Identity of the result by the present code."""
        return self.trial.trial_id(self.study(study).fingerprint)

    def study(self, study):
        """The study with a fingerprint that says which distribution is scored, and by which code."""
        code = inspect.getsource(interval_scores) + inspect.getsource(_run) + inspect.getsource(_unfitted)
        if self.source == CONFORMAL:
            code += code_fingerprint("reproduce.imputers.conformal")
        identity = f"{study.fingerprint}|intervals: {self.source}, {self.n_folds} folds, levels {LEVELS}|{code}"
        return replace(study, fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:12])

    def describe(self) -> str:
        return f"{self.trial.describe()}, intervals: {self.source}"


def interval_plan(
    own: Iterable[str],
    conformal: Iterable[str],
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    missing_rates: Iterable[float] = MISSING_RATES,
    scenarios: Iterable[str] = ("inductive", "in_place"),
    n_folds: int = 5,
    gene_set: str = "p53",
    first_seed: int = 0,
) -> list[IntervalTrial]:
    """Every method and source at every missing rate; trials that share a fit stand side by side.

    Parameters
    ----------
    own, conformal : iterable of str
        Methods by name: those that are scored with their own distribution, and those that are calibrated.
    n_splits, network_epochs : int
    preset : str
    missing_rates : iterable of float
        Fractions hidden.
    scenarios : iterable of {"inductive", "in_place"}
    n_folds : int, default 5
        Folds of donors for the calibration.
    gene_set : str, default "p53"
    first_seed : int, default 0

    Returns
    -------
    list of IntervalTrial

    Raises
    ------
    ConfigError
        For a method, rate or scenario that is unknown or not valid.
    """
    rates = list(missing_rates)
    common = {"n_splits": n_splits, "first_seed": first_seed}
    common |= {"preset": preset, "gene_set": gene_set}
    planned = []
    for scenario in scenarios:
        for source, methods, folds in ((OWN, own, 0), (CONFORMAL, conformal, n_folds)):
            settings = common | {"hyperparameters": frontier_budget(network_epochs, scenario)}
            at_rates = [comparison_trials(methods, scenario, missing_rate=rate, **settings) for rate in rates]
            # all rates of a method and seed together
            planned += [IntervalTrial(trial, source, folds) for trials in zip(*at_rates) for trial in trials]
    return planned


def run_intervals(plan: Iterable[IntervalTrial], study, store: ResultsStore) -> pd.DataFrame:
    """Run what is not stored, and read all.

    Parameters
    ----------
    plan : iterable of IntervalTrial
    study : reproduce.loaders.study.Study
    store : ResultsStore

    Returns
    -------
    DataFrame
        Columns as in `reproduce.experiments.trials.COLUMNS`; `variant` is the source of the intervals.

    Raises
    ------
    TrialsFailedError
        If a trial failed, after all have been run and stored.
    """
    fits = _Fits()
    companions = [
        Companion(planned.trial, planned.study(study), partial(_run, planned, study, fits), planned.source)
        for planned in plan
    ]
    return run_companions(companions, store)


def export_intervals(plan: Sequence[IntervalTrial], study, store: ResultsStore, path: str | Path) -> Path:
    """Write the rows of a plan as one Parquet file, sorted, from which a later run resumes.

    Raises
    ------
    DataFormatError
        For a trial that is not stored, naming it.
    """
    order = ("scenario", "method", "variant", "seed", "missing_rate", "level", "metric", "group")
    return store.export_by_id(path, {planned.trial_id(study): planned.describe() for planned in plan}, order)


# --- one trial ---


class _Fits:
    """The last imputer that was fitted; trials of one fit are given one after the other."""

    def __init__(self):
        self._key: tuple[object, ...] | None = None
        self._fit: tuple[object, float] | None = None

    def get(self, planned: IntervalTrial, fitted: CohortRows) -> tuple[object, float]:
        key = (planned.source, planned.n_folds, *planned.trial.fit_key)
        if self._key != key:
            self._key = None  # a fit that fails leaves nothing behind
            imputer, start = _unfitted(planned), time.perf_counter()
            imputer.fit(fitted.frame(), covariates=fitted.covariates(planned.trial))
            self._fit, self._key = (imputer, time.perf_counter() - start), key
        return self._fit


def _unfitted(planned: IntervalTrial):
    from reproduce.imputers import make_imputer
    from reproduce.imputers._predictive import PredictiveImputer
    from reproduce.imputers.conformal import ConformalImputer

    trial = planned.trial
    imputer = make_imputer(trial.method, random_state=int(trial.seed), **dict(trial.hyperparameters))
    if planned.source == CONFORMAL:
        return ConformalImputer(imputer, n_folds=planned.n_folds, random_state=int(trial.seed))
    if not isinstance(imputer, PredictiveImputer):
        raise ConfigError(f"{trial.method} predicts no distribution of its own; take source {CONFORMAL!r}.")
    return imputer


def _run(planned: IntervalTrial, study, fits: _Fits) -> TrialResult:
    trial = planned.trial
    fitted, (target,) = prepare_rows(trial, study)
    imputer, fit_seconds = fits.get(planned, fitted)
    start, covariates, frame = time.perf_counter(), target.covariates(trial), target.frame()
    filled = np.asarray(imputer.transform(frame, covariates=covariates))
    sd = imputer.conditional_sd(frame, covariates=covariates)
    bounds = {level: imputer.intervals(frame, level, covariates=covariates) for level in LEVELS}
    seconds = {"fit_seconds": fit_seconds, "impute_seconds": time.perf_counter() - start}
    scores = interval_scores(
        target.truth,
        filled,
        sd,
        bounds,
        target.evaluation_mask,
        unit=imputer.scale_,
        tissues=target.obs["tissue"].astype(str).to_numpy(),
        genes=list(target.genes),
    )
    scores = scores.assign(variant=planned.source)
    rows = tidy_rows(trial, planned.study(study), scores, status="ok", error="", **seconds)
    return TrialResult(planned.trial_id(study), rows, None)


def interval_scores(
    truth: np.ndarray,
    filled: np.ndarray,
    sd: np.ndarray,
    bounds: dict[float, tuple[np.ndarray, np.ndarray]],
    evaluation_mask: np.ndarray,
    *,
    unit: np.ndarray,
    tissues: np.ndarray,
    genes: Sequence[str],
) -> pd.DataFrame:
    """Score intervals on hidden entries: overall, for each tissue and for each gene.

    Parameters
    ----------
    truth, filled, sd : ndarray (n_samples, n_genes)
    bounds : dict of float to (lower, upper), each (n_samples, n_genes)
        Intervals by level.
    evaluation_mask : ndarray of bool (n_samples, n_genes)
    unit : ndarray (n_genes,)
        What widths and errors are divided by.
    tissues : ndarray (n_samples,)
    genes : sequence of str (n_genes,)

    Returns
    -------
    DataFrame
        Columns metric, level ("overall", "tissue", "gene"), group, value, n_evaluated. The correlation is NaN where
        either does not vary.
    """
    row, gene = np.nonzero(evaluation_mask)
    value, scale = truth[row, gene], unit[gene]
    error, spread = np.abs(value - filled[row, gene]) / scale, sd[row, gene] / scale
    entries = {}
    for level, (lower, upper) in bounds.items():
        low, high = lower[row, gene], upper[row, gene]
        name, width = f"{100 * level:.0f}", (high - low) / scale
        outside = np.maximum(np.maximum(low - value, value - high), 0.0) / scale
        entries[f"coverage_{name}"] = (value >= low) & (value <= high)
        entries[f"width_{name}"] = width
        entries[f"interval_score_{name}"] = width + 2 / (1 - level) * outside
    table = pd.DataFrame(entries).astype(float)
    metrics = list(table)
    table = table.assign(e=error, s=spread, ee=error**2, ss=spread**2, es=error * spread)
    keys = {"overall": np.full(len(row), "all"), "tissue": tissues[row], "gene": np.asarray(genes, dtype=object)[gene]}
    parts = []
    for level, key in keys.items():
        groups = table.groupby(key, sort=True)
        means = groups.mean()
        variance = (means["ee"] - means["e"] ** 2) * (means["ss"] - means["s"] ** 2)
        covariance = means["es"] - means["e"] * means["s"]
        means[CORRELATION] = covariance / np.sqrt(variance.where(variance > 1e-12))
        long = means[[*metrics, CORRELATION]].rename_axis("group").reset_index()
        long = long.melt("group", var_name="metric").assign(level=level)
        parts.append(long.assign(n_evaluated=long["group"].map(groups.size())))
    return pd.concat(parts, ignore_index=True)[["metric", "level", "group", "value", "n_evaluated"]]
