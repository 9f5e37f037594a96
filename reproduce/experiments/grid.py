"""Runs many trials, skipping what is stored; never decides what a result means.

Trials that fit the same method to the same rows, and differ in what they fill, are run one after the other on one fit.
The longest first, so that no core waits at the end for a forest that was started last. What would take longer than one
is willing to wait is given up on before the start, and has a row that says so. Every result is stored as soon as it is
there, by the process that computed it. A failed trial does not stop the others, nor does one whose process is ended by
the system: at the end all failures are raised together, or returned if that is asked for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.costs import duration, expected_seconds, group_seconds
from reproduce.experiments.running import Fits, run_trial
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial, TrialResult, blank_result
from reproduce.experiments.workers import in_workers, n_workers

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_OF_FIRST = 1.0  # results of trials that share a fit come from their process at one moment
#: Above this number of genes a trial keeps no rows of single genes.
MOST_GENE_ROWS = 1000
_ENDED = (
    "its worker process was ended from outside twice, the second time while no other trial was running, perhaps for "
    "want of memory; run it again where there is more"
)


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
        Trials run now, and found in the store. The rest was skipped as too costly.
    """

    rows: pd.DataFrame
    histories: pd.DataFrame
    n_run: int
    n_skipped: int

    @property
    def failures(self) -> pd.DataFrame:
        """One row per failed trial."""
        return self.rows.loc[self.rows["status"] == "failed"].drop(columns=["metric", "value", "level", "group"])


class _Progress:
    """Plain lines with an estimate, at most one in ten seconds: legible in a terminal and in a notebook's log alike."""

    def __init__(self, groups: list[list[Trial]], study, n_stored: int, n_jobs: int):
        costs = [group_seconds(group, study) for group in groups]
        # a group's cost is shared out evenly: its fit serves all
        self.costs = {t: cost / len(group) for group, cost in zip(groups, costs, strict=True) for t in group}
        self.total = sum(costs)
        self.n, self.n_done, self.done = len(self.costs), 0, 0.0
        self.start = self.last = time.monotonic()
        self.first: float | None = None  # when the first result came
        self.since, self.before = self.start, 0.0  # from when on, and from how much done, speed is measured
        self.n_jobs = n_jobs
        stored = f", {n_stored} already stored" if n_stored else ""
        estimate = f", first estimate {duration(self.total / n_jobs)}" if groups else ""
        self._print(f"{self.n} trials to run{stored}{estimate}")

    def step(self, trial: Trial, failed: bool) -> None:
        self.n_done, self.done = self.n_done + 1, self.done + self.costs[trial]
        now = time.monotonic()
        self.first = now if self.first is None else self.first
        if now - self.first < _SECONDS_OF_FIRST:
            self.since, self.before = now, self.done
        if failed or self.n_done == self.n or now - self.last >= _SECONDS_BETWEEN_LINES:
            self.last = now
            what = f"FAILED: {trial.describe()}" if failed else trial.describe()
            remaining = "done" if self.n_done == self.n else f"about {duration(self._seconds_left(now))} left"
            self._print(f"{self.n_done}/{self.n} after {duration(now - self.start)}, {remaining} ({what})")

    def _seconds_left(self, now: float) -> float:
        """By the speed since the first results; processes take long to start, which is no part of any trial."""
        if self.done > self.before:
            return (now - self.since) * (self.total - self.done) / (self.done - self.before)
        return (self.total - self.done) / self.n_jobs

    @staticmethod
    def _print(line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def _compact(result: TrialResult) -> TrialResult:
    """Without rows of single genes where there are very many: the percentiles over genes still tell their spread."""
    by_gene = result.rows["level"] == "gene"
    many = result.rows.loc[by_gene, "group"].nunique() > MOST_GENE_ROWS
    return replace(result, rows=result.rows[~by_gene].reset_index(drop=True)) if many else result


def _run_group(group: list[Trial], study) -> Iterator[TrialResult]:
    """Trial by trial on one fit, so that each can be stored before the next is begun."""
    fits = Fits()
    return (_compact(run_trial(trial, study, fits)) for trial in group)


def _store_group(group: list[Trial], study, store: ResultsStore) -> Iterator[tuple[Trial, bool]]:
    """Run and store each trial; yields it and whether it failed.

    A group whose process was ended is begun again: what it had stored by then is not run twice.
    """
    stored = {trial for trial in group if store.done(trial.trial_id(study.fingerprint))}
    yield from ((trial, False) for trial in group if trial in stored)
    left = [trial for trial in group if trial not in stored]
    for trial, result in zip(left, _run_group(left, study), strict=True):
        store.write(result)
        yield trial, result.failed


def _store_ended(group: list[Trial], study, store: ResultsStore) -> Iterator[tuple[Trial, bool]]:
    """As `_store_group`, where running ended the process: what it did not come to has failed."""
    for trial in group:
        failed = not store.done(trial.trial_id(study.fingerprint))
        if failed:
            store.write(blank_result(trial, study, status="failed", error=_ENDED))
        yield trial, failed


def grouped(trials: list[Trial], study) -> list[list[Trial]]:
    """Trials that can share a fit, costliest group first."""
    groups: dict[object, list[Trial]] = {}
    for trial in trials:
        key = trial if trial.scenario == "in_place" else trial.fit_key
        groups.setdefault(key, []).append(trial)
    return sorted(groups.values(), key=lambda group: group_seconds(group, study), reverse=True)


def _give_up(trials: list[Trial], study, store: ResultsStore, hours: float) -> list[Trial]:
    """Record the trials that would take longer than this, say so, and return the others."""
    affordable, lines = [], {}
    for trial in trials:
        seconds = expected_seconds(trial, study)
        if seconds <= hours * 3600:
            affordable.append(trial)
            continue
        reason = f"skipped: estimated {duration(seconds)}"
        store.write(blank_result(trial, study, status="skipped", error=reason))
        lines.setdefault(f"{trial.method}, {trial.scenario}: {reason}, more than the {hours:g} h allowed", None)
    for line in lines:
        print(line, file=sys.stderr, flush=True)
    return affordable


def run_grid(
    trials: Iterable[Trial],
    study,
    store: ResultsStore,
    n_jobs: int = 1,
    *,
    on_failure: str = "raise",
    give_up_hours: float | None = None,
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
    give_up_hours : float, optional
        A trial that is estimated to take longer on one core is not started; its row has status "skipped" and says how
        long it would take. It is tried again by a run that allows more.
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
    n_jobs = n_workers(n_jobs)
    trials = list(trials)
    ids = [trial.trial_id(study.fingerprint) for trial in trials]
    if len(set(ids)) < len(ids):
        twice = next(trial for i, trial in enumerate(trials) if ids[i] in ids[:i])
        raise ConfigError(f"A trial was given twice: {twice.describe()}.")
    todo = [trial for trial, trial_id in zip(trials, ids, strict=True) if not store.done(trial_id)]
    n_stored = len(trials) - len(todo)
    if give_up_hours is not None:
        todo = _give_up(todo, study, store, give_up_hours)
    groups = grouped(todo, study)
    lines = _Progress(groups, study, n_stored, n_jobs) if progress else None
    run, record_ended = (partial(work, study=study, store=store) for work in (_store_group, _store_ended))
    for trial, failed in in_workers(run, groups, n_jobs, given_up=record_ended):
        if lines:
            lines.step(trial, failed)
    grid = GridResult(store.read(ids), store.read_histories(ids), len(todo), n_stored)
    if on_failure == "raise" and len(grid.failures):
        raise TrialsFailedError(_failure_text(grid.failures, len(trials)))
    return grid


def _failure_text(failures: pd.DataFrame, n_trials: int) -> str:
    shown = [f"- {r.method}, {r.scenario}, {r.transform}, seed {r.seed}: {r.error}" for r in failures.itertuples()]
    head = f"{len(failures)} of {n_trials} trials failed; the others are stored and will not be run again."
    return "\n".join([head, *shown[:20], *([f"… and {len(shown) - 20} more"] if len(shown) > 20 else [])])
