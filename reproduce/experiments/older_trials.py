"""Finds the planned trials that only older code has run, and draws a random sample of them; never runs one.

A trial's id is a digest, from which nothing can be read. So the trials that the notebooks ask for are listed, and the
id that each would have by the code of every commit is looked for in the store: what is found there is that very trial,
with today's configuration and data, by that commit's code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property

import numpy as np

from reproduce.errors import ConfigError
from reproduce.experiments.batches import PLANS, StudySource
from reproduce.experiments.code_history import CodeHistory
from reproduce.experiments.costs import duration, expected_seconds
from reproduce.experiments.provenance import code_fingerprint
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial, _digest
from reproduce.experiments.workers import n_workers

SAMPLE = 3


@dataclass(frozen=True)
class StoredTrial:
    """A planned trial whose result by older code is stored, and that by today's is not.

    Attributes
    ----------
    trial : Trial
    study : reproduce.loaders.study.Study
    old_fingerprint : str
        Of the older code.
    """

    trial: Trial
    study: object
    old_fingerprint: str

    @cached_property
    def old_id(self) -> str:
        return id_by_code(self.trial, self.old_fingerprint, self.study.fingerprint)

    @cached_property
    def new_id(self) -> str:
        return self.trial.trial_id(self.study.fingerprint)

    @property
    def kind(self) -> tuple[str, ...]:
        """What decides, beside the method, on which way a number comes about."""
        trial = self.trial
        return self.study.fingerprint, trial.scenario, trial.test, trial.mechanism, trial.training_rows

    @cached_property
    def settings(self) -> frozenset[tuple[object, ...]]:
        """What else some part of the code may serve alone."""
        names = ("train", "gene_set", "missing_rate", "transform", "config_hash", "variant")
        return frozenset((self.study.fingerprint, name, getattr(self.trial, name)) for name in names)


@dataclass(frozen=True)
class Carrying:
    """The stored trials of one method by one older code: they are carried over together or not at all.

    Attributes
    ----------
    method, old_fingerprint, new_fingerprint, commit : str
        The commit is the newest with the older code.
    trials : tuple of StoredTrial
    sample : tuple of StoredTrial
        Those to run again.
    """

    method: str
    old_fingerprint: str
    new_fingerprint: str
    commit: str
    trials: tuple[StoredTrial, ...]
    sample: tuple[StoredTrial, ...]

    @property
    def name(self) -> str:
        return f"{self.method}-{self.old_fingerprint}-{self.new_fingerprint}"

    @property
    def seconds(self) -> float:
        """Rough cost of the sample on one core; less where trials share a fit."""
        return sum(expected_seconds(each.trial, each.study) for each in self.sample)

    def describe(self) -> str:
        return f"{self.method}, {self.old_fingerprint} ({self.commit[:10]}) -> {self.new_fingerprint}"


@dataclass(frozen=True)
class Found:
    """Planned trials by what is stored of them.

    Attributes
    ----------
    n_present, n_absent : int
        Stored by today's code, and by no code that the history knows.
    carryings : list of Carrying
        The cheapest sample first.
    """

    n_present: int
    n_absent: int
    carryings: list[Carrying]

    def describe(self, n_jobs: int = 1) -> str:
        """What there is, and what verifying it will take on this many cores."""
        n_older = sum(len(each.trials) for each in self.carryings)
        lines = [
            f"{self.n_present} trials are stored by today's code, {n_older} by older code, {self.n_absent} by none"
        ]
        for each in self.carryings:
            cost = duration(each.seconds)
            lines.append(f"  {each.describe()}: {len(each.sample)} of {len(each.trials)} to run again, about {cost}")
        if self.carryings:
            n, seconds = sum(len(each.sample) for each in self.carryings), sum(each.seconds for each in self.carryings)
            cores = n_workers(n_jobs)
            on = "one core" if cores == 1 else f"{cores} cores"
            lines.append(f"{n} to run again in all, about {duration(seconds / cores)} on {on}")
        return "\n".join(lines)


def id_by_code(trial: Trial, code: str, data: str) -> str:
    """As `Trial.trial_id`, by the code with the given fingerprint instead of today's."""
    content = {**asdict(trial), "hyperparameters": dict(trial.hyperparameters), "seed": int(trial.seed)}
    return _digest([code, data, trial.config_hash, content])


def planned_trials(parameters: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[object, Trial]]:
    """What the notebooks ask for, each trial with its study, once.

    Parameters
    ----------
    parameters : mapping of str to mapping
        By notebook all its parameters, defaults included; notebooks that `batches.PLANS` lacks are passed over.
    """
    load, seen = cache(StudySource.load), set()
    for name, given in parameters.items():
        for source, trials in PLANS[name](given, load) if name in PLANS else []:
            study = load(source)
            for trial in trials:
                if (key := (study.fingerprint, trial)) not in seen:
                    seen.add(key)
                    yield study, trial


def find_stored(
    planned: Iterable[tuple[object, Trial]],
    store: ResultsStore,
    history: CodeHistory,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    methods: Iterable[str] | None = None,
) -> Found:
    """The planned trials that only older code has run, and a random sample of each method's.

    Parameters
    ----------
    planned : iterable of (Study, Trial)
    store : ResultsStore
    history : CodeHistory
    sample : int, default 3
        Trials of every kind (data, scenario, target, mechanism, training rows) that are run again, where there are so
        many; and at least one of every missing rate, scale, set of hyperparameters and decision of the protocol.
    seed : int, default 0
        Of the choice.
    methods : iterable of str, optional
        These alone.

    Returns
    -------
    Found

    Raises
    ------
    ConfigError
        For a sample below 1, or a method that is not planned.
    """
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise ConfigError(f"The sample is {sample!r}; give the number of trials of every kind, at least 1.")
    planned = list(planned)
    if methods is not None:
        known, methods = {trial.method for _, trial in planned}, set(methods)
        if unknown := methods - known:
            raise ConfigError(f"No trial of {min(unknown)!r} is planned; planned are {', '.join(sorted(known))}.")
        planned = [(study, trial) for study, trial in planned if trial.method in methods]
    n_present, n_absent, parts = 0, 0, {}
    for study, trial in planned:
        if store.done(trial.trial_id(study.fingerprint)):
            n_present += 1
            continue
        codes = history.fingerprints(trial._module)  # the very module whose code is in the trial's id
        stored = (StoredTrial(trial, study, code) for code in codes)
        found = next((each for each in stored if store.done(each.old_id)), None)
        if found is None:
            n_absent += 1
        else:
            parts.setdefault((trial.method, found.old_fingerprint), []).append(found)
    carryings = []
    for (method, old), trials in parts.items():
        module = trials[0].trial._module
        commit = history.fingerprints(module)[old]
        drawn = draw_sample(trials, sample, seed)
        carryings.append(Carrying(method, old, code_fingerprint(module), commit, tuple(trials), tuple(drawn)))
    return Found(n_present, n_absent, sorted(carryings, key=lambda each: each.seconds))


def draw_sample(trials: Iterable[StoredTrial], n: int, seed: int) -> list[StoredTrial]:
    """At random, `n` of every kind, or all if there are fewer; then such as have a setting that none of these has."""
    trials = sorted(trials, key=lambda each: each.old_id)  # so that the order of the plan does not matter
    order = [trials[i] for i in np.random.default_rng(seed).permutation(len(trials))]
    chosen, of_kind = [], Counter()
    for each in order:
        of_kind[each.kind] += 1
        if of_kind[each.kind] <= n:
            chosen.append(each)
    seen = {setting for each in chosen for setting in each.settings}
    for each in order:
        if not each.settings <= seen:
            seen |= each.settings
            chosen.append(each)
    return chosen
