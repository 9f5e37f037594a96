"""Runs methods on data and keeps what came out as tidy rows; never draws, tests or words a conclusion.

A `Trial` says everything that determines a result. `run_trial` turns one into rows, `run_grid` many, `ResultsStore`
keeps them.
"""

from reproduce.experiments.grid import GridResult, TrialsFailedError, run_grid
from reproduce.experiments.plans import NETWORKS, comparison_trials, network_budget, study_plan
from reproduce.experiments.running import run_trial
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import EVALUATED_FRACTION, ORACLE, Trial, TrialResult

__all__ = [
    "EVALUATED_FRACTION",
    "NETWORKS",
    "ORACLE",
    "GridResult",
    "ResultsStore",
    "Trial",
    "TrialResult",
    "TrialsFailedError",
    "comparison_trials",
    "network_budget",
    "run_grid",
    "run_trial",
    "study_plan",
]
