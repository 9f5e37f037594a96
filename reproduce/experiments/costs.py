"""Estimates how long a trial takes on one core, from its method, rows and genes; never runs one.

For the order of trials, for time estimates, and to give up beforehand on what would take days. The methods' figures are
those of `reproduce.imputers.costs`.
"""

from __future__ import annotations

from collections.abc import Iterable

from reproduce.experiments.trials import Trial
from reproduce.imputers.costs import COSTS, OTHERS, REFERENCE_GENES, REFERENCE_ROWS, Cost, duration, seconds_at

__all__ = ["COSTS", "REFERENCE_GENES", "REFERENCE_ROWS", "Cost", "duration", "expected_seconds", "group_seconds"]

_FURTHER_FILL = 0.3  # seconds of a trial whose fit another one has paid for


def expected_seconds(trial: Trial, study) -> float:
    """Rough cost of a trial on one core; scales with the number of epochs where a trial sets it.

    Parameters
    ----------
    trial : Trial
    study : reproduce.loaders.study.Study
    """
    cost = COSTS.get(trial.method, OTHERS)
    cohort = study.cohorts.get(trial.train.split("/")[0])
    n_rows, n_genes = cohort.shape if cohort is not None else (REFERENCE_ROWS, REFERENCE_GENES)
    return seconds_at(trial.method, n_rows, n_genes) * max(0.1, _epochs(trial, cost) / cost.epochs)


def _epochs(trial: Trial, cost: Cost) -> float:
    """The longest training that a trial sets, for itself or for a part of it; else that of its method's cost."""
    parts = trial.hyperparameters.get("member_parameters") or {}
    set_by = [trial.hyperparameters, *parts.values()]
    return float(max((values["epochs"] for values in set_by if "epochs" in values), default=cost.epochs))


def group_seconds(trials: Iterable[Trial], study) -> float:
    """Cost of trials that share one fit."""
    trials = list(trials)
    return expected_seconds(trials[0], study) + _FURTHER_FILL * (len(trials) - 1)
