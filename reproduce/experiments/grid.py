"""Runs many trials, skipping what is stored; never decides what a result means.

Longest trials first, so that no core waits at the end for a forest that was started last. Every result is stored as
soon as it is there. A failed trial does not stop the others: at the end all failures are raised together, or returned
if that is asked for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial, TrialResult, run_trial

#: Rough seconds of one trial on one core for some 1000 rows and 65 genes: for the order and the first time estimate
#: only.
EXPECTED_SECONDS = {
    "missforest_100": 600.0,
    "missforest_10": 80.0,
    "iterative_forest": 80.0,
    "gain": 20.0,
    "gain_mse": 12.0,
    "pmi": 8.0,
    "oracle": 8.0,
    "mice": 5.0,
}
_OTHER_SECONDS = 0.5
_SECONDS_BETWEEN_LINES = 10.0


class TrialsFailedError(RuntimeError):
    """Some trials of a grid failed; all others were run and stored."""


@dataclass(frozen=True)
class GridResult:
    """What a grid gave.

    Attributes
    ----------
    rows : DataFrame
        Rows of this grid's trials and no others, columns as in `reproduce.experiments.trials.COLUMNS`.
    histories : DataFrame
        Training curves of this grid's networks.
    n_run, n_skipped : int
        Trials run now, and found in the store.
    """

    rows: pd.DataFrame
    histories: pd.DataFrame
    n_run: int
    n_skipped: int

    @property
    def failures(self) -> pd.DataFrame:
        """One row per failed trial."""
        return self.rows.loc[self.rows["status"] == "failed"].drop(columns=["metric", "value", "level", "group"])


def expected_seconds(trial: Trial) -> float:
    """Rough cost of a trial on one core; scales with the number of epochs where a trial sets it."""
    seconds = EXPECTED_SECONDS.get(trial.method, _OTHER_SECONDS)
    return seconds * max(0.3, float(trial.hyperparameters.get("epochs", 200)) / 200)


class _Progress:
    """Plain lines with an estimate, at most one in ten seconds: legible in a terminal and in a notebook's log alike."""

    def __init__(self, trials: list[Trial], n_skipped: int, n_jobs: int):
        self.total = sum(expected_seconds(t) for t in trials)
        self.n, self.n_done, self.done = len(trials), 0, 0.0
        self.start = self.last = time.monotonic()
        stored = f", {n_skipped} already stored" if n_skipped else ""
        estimate = f", first estimate {_duration(self.total / n_jobs)}" if trials else ""
        self._print(f"{self.n} trials to run{stored}{estimate}")

    def step(self, trial: Trial, failed: bool) -> None:
        self.n_done, self.done = self.n_done + 1, self.done + expected_seconds(trial)
        now = time.monotonic()
        if failed or self.n_done == self.n or now - self.last >= _SECONDS_BETWEEN_LINES:
            self.last = now
            left = (now - self.start) * (self.total - self.done) / self.done
            what = f"FAILED: {trial.describe()}" if failed else trial.describe()
            remaining = "done" if self.n_done == self.n else f"about {_duration(left)} left"
            self._print(f"{self.n_done}/{self.n} after {_duration(now - self.start)}, {remaining} ({what})")

    @staticmethod
    def _print(line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _run_in_worker(position: int, trial: Trial, study) -> tuple[int, TrialResult]:
    # one process a core: threads within it would only get in each other's way; read by TensorFlow when it is first
    # imported
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")
    return position, run_trial(trial, study)


def _results(trials: list[Trial], study, n_jobs: int) -> Iterator[tuple[Trial, TrialResult]]:
    if n_jobs == 1 or len(trials) < 2:
        for trial in trials:
            yield trial, run_trial(trial, study)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        for position, result in parallel(delayed(_run_in_worker)(i, t, study) for i, t in enumerate(trials)):
            yield trials[position], result


def run_grid(
    trials: Iterable[Trial],
    study,
    store: ResultsStore,
    n_jobs: int = 1,
    *,
    on_failure: str = "raise",
    progress: bool = True,
) -> GridResult:
    """Run the trials that the store does not hold yet, and return the rows of all of them.

    Parameters
    ----------
    trials : iterable of Trial
    study : reproduce.loaders.study.Study
    store : ResultsStore
    n_jobs : int, default 1
        Worker processes, each with one thread; -1 for one a core.
    on_failure : {"raise", "return"}
        What to do, once everything has been run and stored, if some trials failed.
    progress : bool, default True
        Print lines with a time estimate to standard error.

    Returns
    -------
    GridResult

    Raises
    ------
    TrialsFailedError
        Naming each failed trial and its error.
    ConfigError
        For a bad argument, or the same trial given twice.
    """
    if on_failure not in ("raise", "return"):
        raise ConfigError(f"on_failure is {on_failure!r}; give 'raise' or 'return'.")
    n_jobs = _n_workers(n_jobs)
    trials = list(trials)
    ids = [trial.trial_id(study.fingerprint) for trial in trials]
    if len(set(ids)) < len(ids):
        twice = next(trial for i, trial in enumerate(trials) if ids[i] in ids[:i])
        raise ConfigError(f"A trial was given twice: {twice.describe()}.")
    todo = [trial for trial, trial_id in zip(trials, ids, strict=True) if not store.done(trial_id)]
    todo.sort(key=expected_seconds, reverse=True)
    lines = _Progress(todo, len(trials) - len(todo), n_jobs) if progress else None
    for trial, result in _results(todo, study, n_jobs):
        store.write(result)
        if lines:
            lines.step(trial, result.failed)
    grid = GridResult(store.read(ids), store.read_histories(ids), len(todo), len(trials) - len(todo))
    if on_failure == "raise" and len(grid.failures):
        raise TrialsFailedError(_failure_text(grid.failures, len(trials)))
    return grid


def _n_workers(n_jobs: int) -> int:
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0 or n_jobs < -1:
        raise ConfigError(f"n_jobs is {n_jobs!r}; give the number of worker processes, or -1 for one a core.")
    return (
        n_jobs if n_jobs > 0 else (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    )


def _failure_text(failures: pd.DataFrame, n_trials: int) -> str:
    shown = [f"- {r.method}, {r.scenario}, {r.transform}, seed {r.seed}: {r.error}" for r in failures.itertuples()]
    head = f"{len(failures)} of {n_trials} trials failed; the others are stored and will not be run again."
    return "\n".join([head, *shown[:20], *([f"… and {len(shown) - 20} more"] if len(shown) > 20 else [])])
