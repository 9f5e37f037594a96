"""Scores a donor's blood as the surrogate of its other tissues, where blood was measured whole; never draws.

The question is what a blood sample tells of the rest of a person. So it is asked of donors who have one; blood is
never among what is hidden, and never among what is scored: a test donor's lung has holes, its blood has none, and all
scores, the overall ones too, are of the other tissues. That is another way of hiding than a `Trial` knows, so the
study is given a fingerprint of its own (`blood_study`) and its trials are run here.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from reproduce.experiments.companions import Companion, run_companions
from reproduce.experiments.plans import comparison_trials, network_budget
from reproduce.experiments.rows import CohortRows, prepare_rows
from reproduce.experiments.running import Fits
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.subsets import BLOOD, donors_with
from reproduce.experiments.trials import Trial, TrialResult, tidy_rows
from reproduce.metrics import score

METHODS = ("median", "surrogate", "pmi")
_COHORT = "GTEx"


def blood_study(study):
    """The donors who gave blood, with a fingerprint that says that blood is seen whole, and by which code."""
    kept = donors_with(study, BLOOD)
    # a trial's id knows the code of all trials; what is particular to these is here
    code = inspect.getsource(seeing_blood) + inspect.getsource(_run)
    identity = f"{kept.fingerprint}|{BLOOD} seen whole|{code}"
    return replace(kept, fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:12])


def blood_plan(
    *, n_splits: int, network_epochs: int, preset: str, missing_rate: float = 0.5, gene_set: str = "all"
) -> list[Trial]:
    """The donor's own blood, the tissue median, and PMI, on the same donors.

    Parameters
    ----------
    n_splits, network_epochs : int
    preset : str
    missing_rate : float, default 0.5
        Of the other tissues.
    gene_set : str, default "all"

    Returns
    -------
    list of Trial
    """
    settings = network_budget(network_epochs) | {"surrogate": {"surrogate": BLOOD}}
    common = {"preset": preset, "missing_rate": missing_rate, "gene_set": gene_set, "train": _COHORT, "test": _COHORT}
    return comparison_trials(METHODS, "inductive", n_splits=n_splits, hyperparameters=settings, **common)


def run_blood(trials: Iterable[Trial], study, store: ResultsStore) -> pd.DataFrame:
    """Run what is not stored, and read all.

    Parameters
    ----------
    trials : iterable of Trial
        Of `blood_plan`.
    study : reproduce.loaders.study.Study
        Of `blood_study`.
    store : ResultsStore

    Returns
    -------
    DataFrame
        Columns as in `reproduce.experiments.trials.COLUMNS`.

    Raises
    ------
    TrialsFailedError
        If a trial failed, after all have been run and stored.
    """
    return run_companions([Companion(trial, study, partial(_run, trial, study)) for trial in trials], store)


def seeing_blood(target: CohortRows) -> CohortRows:
    """The rows to fill with nothing hidden in blood."""
    blood = (target.obs["tissue"] == BLOOD).to_numpy()[:, None]
    visible = np.where(blood, target.truth, target.visible)
    return replace(target, visible=visible, evaluation_mask=target.evaluation_mask & ~blood)


def _run(trial: Trial, study) -> TrialResult:
    fitted, (target,) = prepare_rows(trial, study)
    target = seeing_blood(target)
    imputer, fit_seconds = Fits().get(trial, fitted)
    start = time.perf_counter()
    filled = np.asarray(imputer.transform(target.frame(), covariates=target.covariates(trial)))
    seconds = {"fit_seconds": fit_seconds, "impute_seconds": time.perf_counter() - start}
    others = (target.obs["tissue"] != BLOOD).to_numpy()
    scores = score(
        target.truth[others],
        filled[others],
        target.evaluation_mask[others],
        groups=target.obs["tissue"][others],
        genes=list(target.genes),
    )
    rows = tidy_rows(trial, study, scores, status="ok", error="", **seconds)
    trial_id, history = trial.trial_id(study.fingerprint), getattr(imputer, "history_", None)
    if history is not None:
        history = pd.DataFrame(history).assign(trial_id=trial_id, method=trial.method, seed=int(trial.seed))
    return TrialResult(trial_id, rows, history)
