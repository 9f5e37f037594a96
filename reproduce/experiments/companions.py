"""Runs trials that hide or score in a way of their own, keeps each as it comes; never knows that way, and never draws.

A `Trial` knows one way to hide and to score. An experiment that has another stores its results under the same
trial's identity on a study whose fingerprint says so, and hands over how one is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pandas as pd

from reproduce.experiments.grid import TrialsFailedError
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial, TrialResult, blank_result
from reproduce.experiments.workers import in_workers


@dataclass(frozen=True)
class Companion:
    """A trial that is run in a way of its own.

    Attributes
    ----------
    trial : Trial
    study : reproduce.loaders.study.Study
        With the fingerprint under which the result is stored.
    run : callable
        Without arguments; gives the `TrialResult`, or raises. For several processes a `functools.partial`.
    variant : str, optional
        What a failure's row says there; by default the trial's own.
    cost : float, default 0.0
        The higher ones are begun first, so that no core waits at the end; unit as the experiment likes.
    """

    trial: Trial
    study: object
    run: Callable[[], TrialResult]
    variant: str | None = None
    cost: float = 0.0

    @property
    def trial_id(self) -> str:
        """Identity of the result by the present code."""
        return self.trial.trial_id(self.study.fingerprint)


def run_companions(companions: Iterable[Companion], store: ResultsStore, n_jobs: int = 1) -> pd.DataFrame:
    """Run what is not stored, and read all.

    Parameters
    ----------
    companions : iterable of Companion
    store : ResultsStore
    n_jobs : int, default 1
        Worker processes, each with one thread.

    Returns
    -------
    DataFrame
        Columns as in `reproduce.experiments.trials.COLUMNS`, in the order of the companions.

    Raises
    ------
    TrialsFailedError
        If a trial failed, after all have been run and stored.
    """
    by_id = {companion.trial_id: companion for companion in companions}
    todo = [companion for trial_id, companion in by_id.items() if not store.done(trial_id)]
    for result in in_workers(_run_or_say_why, sorted(todo, key=lambda companion: -companion.cost), n_jobs):
        store.write(result)
    rows = store.read(by_id)
    if (rows["status"] != "ok").any():
        raise TrialsFailedError(str(rows.loc[rows["status"] != "ok", "error"].iloc[0]))
    return rows


def _run_or_say_why(companion: Companion) -> list[TrialResult]:
    try:
        return [companion.run()]
    except Exception as error:  # what one method raises must not lose the other trials: it becomes a row that says so
        message = f"{type(error).__name__}: {error}"
        blank = blank_result(companion.trial, companion.study, status="failed", error=message)
    if companion.variant is None:
        return [blank]
    return [replace(blank, rows=blank.rows.assign(variant=companion.variant))]
