"""Lists the trials of several notebooks at once, in batches for separate processes; runs a batch; never a notebook.

`PLANS` says of each notebook whose trials are costly which ones it will ask for, given its parameters. Each trial is
listed once, whoever asks for it; trials that share a fit are in one batch; batches are of about equal length. Processes
may run batches at the same time into one results store, on one machine or many: the store keeps one file a trial. A
notebook then finds its trials stored. What a batch did not run, the notebook runs by itself, so that what is shown does
not depend on the batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import ablations, frontier, missingness, tissues
from reproduce.experiments.costs import expected_seconds, group_seconds
from reproduce.experiments.grid import GridResult, grouped, run_grid
from reproduce.experiments.paper_tables import ALREADY_LOGARITHMIC, paper_plan
from reproduce.experiments.plans import study_plan
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.subsets import fitted_cohort, with_few_donors
from reproduce.experiments.trials import Trial
from reproduce.files import write_json

BATCH_SECONDS = 600.0
#: Of a process on its own: Python, TensorFlow with one network, and the study's tables.
_BASE_MEGABYTES = 1500
#: Double-precision copies of the expression matrix, and of a matrix of genes by genes or of rows by rows, that methods
#: hold at a time.
_MATRICES, _SQUARES = 12, 6
_AMONG_ROWS = ("knn_1", "knn_5", "knn_10")  # compare all pairs of rows


@dataclass(frozen=True)
class StudySource:
    """What a process must know to load the very study that a notebook loads.

    Attributes
    ----------
    data : str
        A key of `reproduce.loaders.study.SOURCES`, or "auto".
    gene_set, preparation : str
        As in `reproduce.loaders.study.load_study`; empty for the default.
    cut : {"", "donors", "tissues"}
        Whether to keep the whole, some donors (`with_few_donors`), or donors and tissues (`tissue_study`).
    n_donors, min_samples : int
        What the cut keeps; 0 for all.
    """

    data: str
    gene_set: str = ""
    preparation: str = ""
    cut: str = ""
    n_donors: int = 0
    min_samples: int = 0

    def load(self):
        """The study, as `reproduce.loaders.study.load_study` returns it."""
        from reproduce.loaders.study import load_study

        study = load_study(self.data, gene_set=self.gene_set or None, preparation=self.preparation or None)
        if self.cut == "donors":
            return with_few_donors(study, self.n_donors)
        if self.cut == "tissues":
            return tissues.tissue_study(study, n_donors=self.n_donors, min_samples=self.min_samples)
        return study


Load = Callable[[StudySource], object]
Planned = list[tuple[StudySource, list[Trial]]]

# --- what each notebook will ask for; `given` are its parameters ---


def _part(part: str, given: Mapping, load: Load, n_splits: str) -> tuple[StudySource, list[Trial]]:
    source = StudySource(given["data"])
    names = ("n_splits_by_method", "network_epochs", "preset", "missing_rate")
    budget = {name: given[name] for name in names} | {"n_splits": given[n_splits]}
    return source, study_plan(part, oracle=not load(source).is_real, **budget)


def _in_place(given: Mapping, load: Load) -> Planned:
    return [_part("in_place", given, load, "n_splits")]


def _inductive(given: Mapping, load: Load) -> Planned:
    variants = [_part(part, given, load, "n_splits_variants") for part in ("scales", "settings")]
    return [_part("inductive", given, load, "n_splits"), *variants]


def _transfer(given: Mapping, load: Load) -> Planned:
    return [_part("transfer", given, load, "n_splits_transfer")]


def _ablations(given: Mapping, load: Load) -> Planned:
    source = StudySource(given["data"])
    budget = {name: given[name] for name in ("network_epochs", "preset", "missing_rate")}
    chosen = ablations.choose_factors(given["factors"], load(source))
    plan = ablations.ablation_plan(chosen, n_splits=given["n_splits_ablations"], **budget)
    search = ablations.search_plan(given["n_draws"], **budget)
    return [(source, ablations.ablation_trials(plan)), (source, search)]


def _missingness(given: Mapping, load: Load) -> Planned:
    budget = {name: given[name] for name in ("network_epochs", "preset", "retrained_rates")}
    budget |= {"n_splits": given["n_splits_curves"], "methods": given["methods_curves"]}
    curves = missingness.curve_plan(given["missing_rates"], **budget)
    others = missingness.mechanism_plan(given["mechanisms"], missing_rate=given["missing_rate"], **budget)
    return [(StudySource(given["data"]), missingness.missingness_trials(curves, others))]


def _tissues(given: Mapping, load: Load) -> Planned:
    from reproduce.loaders.study import companion_source

    cut = {"n_donors": given["n_donors_tissues"], "min_samples": given["min_samples_tissues"]}
    source = StudySource(companion_source(given["data"], "tissues"), cut="tissues", **cut)
    budget = {name: given[name] for name in ("network_epochs", "preset", "missing_rate")}
    oracle = load(source).truth is not None
    plan = tissues.tissue_plan(given["methods_tissues"], n_splits=given["n_splits_tissues"], oracle=oracle, **budget)
    embedded = tissues.embedding_trials(plan)  # the notebook fits these itself, for the vectors that they learn
    return [(source, [trial for trial in plan if trial not in embedded])]


def _beyond(given: Mapping, load: Load) -> Planned:
    source = StudySource(given["data"])
    budget = {"network_epochs": given["network_epochs"], "preset": given["preset"]}
    oracle, n_splits = load(source).truth is not None, given["n_splits_frontier"]
    common = {"n_splits": n_splits, "missing_rate": given["missing_rate"], **budget}
    methods, depth = given["methods_frontier"], given["methods_depth"]
    trials = [
        *frontier.frontier_plan(methods, "inductive", oracle=oracle, **common),
        *frontier.frontier_plan(methods, "in_place", oracle=oracle, **common),
        *frontier.rate_plan(
            given["methods_rates"], given["rates_frontier"], n_splits=n_splits, oracle=oracle, **budget
        ),
        *frontier.frontier_plan(depth, "inductive", transform="log1p_depth", **common),
        *frontier.frontier_plan(depth, "inductive", **common),
    ]
    ingredients = frontier.chosen_ingredients(given["ingredients"])
    changed = frontier.ingredient_plan(ingredients, n_splits=given["n_splits_ingredients"], **budget)
    return [(source, trials + [trial for plan in changed.values() for trial in plan])]


def _paper_tables(given: Mapping, load: Load) -> Planned:
    from reproduce.loaders.study import companion_source

    budget = {name: given[name] for name in ("n_splits_by_method", "preset", "missing_rate")}
    budget |= {"n_splits": given["n_splits_tables"]}
    budget |= {"transform": "raw" if given["preparation"] in ALREADY_LOGARITHMIC else "log1p"}
    planned, data = [], companion_source(given["data"], "genome")
    for gene_set in given["gene_sets"]:
        if gene_set not in given["epochs_by_gene_set"]:
            raise ConfigError(f"epochs_by_gene_set has no number for {gene_set!r}; give one.")
        source = StudySource(data, gene_set, given["preparation"], cut="donors", n_donors=given["max_donors"])
        study, epochs = load(source), given["epochs_by_gene_set"][gene_set]
        trials = paper_plan(study, gene_set, network_epochs=epochs, **budget)
        # the notebook gives up on the others, and says so
        affordable = [t for t in trials if expected_seconds(t, study) <= given["give_up_hours"] * 3600]
        planned.append((source, affordable))
    return planned


#: By notebook. The others have few trials, or such as only they can run.
PLANS: dict[str, Callable[[Mapping, Load], Planned]] = {
    "02_in_place_imputation": _in_place,
    "03_inductive_imputation": _inductive,
    "04_transfer_to_tumours": _transfer,
    "06_ablations": _ablations,
    "07_missingness": _missingness,
    "08_tissues_and_genes": _tissues,
    "14_beyond_the_paper": _beyond,
    "15_paper_tables": _paper_tables,
}

# --- batches ---


@dataclass(frozen=True)
class Batch:
    """Trials of one study that one process runs.

    Attributes
    ----------
    source : StudySource
    fingerprint : str
        Of the study when it was listed.
    trials : tuple of Trial
        Those that share a fit stand together.
    seconds : float
        Rough cost on one core, without the start of the process.
    megabytes : int
        Rough peak of resident memory.
    """

    source: StudySource
    fingerprint: str
    trials: tuple[Trial, ...]
    seconds: float
    megabytes: int

    @cached_property
    def trial_ids(self) -> list[str]:
        """By the present code."""
        return [trial.trial_id(self.fingerprint) for trial in self.trials]

    @cached_property
    def name(self) -> str:
        """The costliest trial's method, and a digest of all trials' ids: another content is another batch."""
        return f"{self.trials[0].method}-{hashlib.sha256(' '.join(self.trial_ids).encode()).hexdigest()[:12]}"


def list_batches(
    parameters: Mapping[str, Mapping[str, object]], store: ResultsStore, *, batch_seconds: float = BATCH_SECONDS
) -> list[Batch]:
    """What the notebooks will ask for and the store does not hold, each trial once, costliest batch first.

    Parameters
    ----------
    parameters : mapping of str to mapping
        By notebook all its parameters, defaults included; notebooks that `PLANS` lacks are passed over.
    store : ResultsStore
    batch_seconds : float, default 600
        Length of a batch. Trials that share a fit stay together, however long they take.

    Returns
    -------
    list of Batch

    Raises
    ------
    ConfigError
        For a length that is not positive, or whatever a plan refuses.
    """
    if not batch_seconds > 0:
        raise ConfigError(f"A batch of {batch_seconds!r} seconds is none; give a positive number.")
    load = cache(StudySource.load)
    sources: dict[str, StudySource] = {}  # by fingerprint, since two sources may come to the same data
    listed: dict[str, dict[str, Trial]] = {}
    for name, given in parameters.items():
        for source, trials in PLANS[name](given, load) if name in PLANS else []:
            data = load(source).fingerprint
            sources.setdefault(data, source)
            listed.setdefault(data, {}).update({trial.trial_id(data): trial for trial in trials})
    batches = []
    for data, source in sources.items():
        todo = [trial for trial_id, trial in listed[data].items() if not store.done(trial_id)]
        batches += _batches(source, load(source), todo, batch_seconds)
    return sorted(batches, key=lambda batch: -batch.seconds)


def _batches(source: StudySource, study, trials: list[Trial], batch_seconds: float) -> list[Batch]:
    """Groups of trials that share a fit, costliest first, filled into batches in that order."""
    filled: list[tuple[float, list[Trial]]] = []
    for group in grouped(trials, study):
        seconds = group_seconds(group, study)
        if filled and filled[-1][0] + seconds <= batch_seconds:
            before, others = filled.pop()
            filled.append((before + seconds, others + group))
        else:
            filled.append((seconds, group))
    batches = []
    for seconds, group in filled:
        megabytes = max(expected_megabytes(trial, study) for trial in group)
        batches.append(Batch(source, study.fingerprint, tuple(group), seconds, megabytes))
    return batches


def expected_megabytes(trial: Trial, study) -> int:
    """Rough peak of resident memory of a process that runs this trial alone."""
    n_rows, n_genes = study.cohorts.get(trial.train.split("/")[0], study.cohorts[fitted_cohort(study)]).shape
    side = n_rows if trial.method in _AMONG_ROWS else n_genes
    return round(_BASE_MEGABYTES + 8e-6 * (_MATRICES * n_rows * n_genes + _SQUARES * side**2))


# --- from and to a file ---


def write_batches(batches: Iterable[Batch], path: str | Path) -> Path:
    """Keep a list of batches as JSON, in the given order."""
    return write_json(path, {"batches": [_as_plain(batch) for batch in batches]})


def _as_plain(batch: Batch) -> dict[str, object]:
    trials = [
        asdict(trial) | {"hyperparameters": dict(trial.hyperparameters), "seed": int(trial.seed)}
        for trial in batch.trials
    ]
    plain = {"name": batch.name, "fingerprint": batch.fingerprint, "source": asdict(batch.source), "trials": trials}
    return plain | {"seconds": round(batch.seconds, 1), "megabytes": batch.megabytes}


def read_batch(path: str | Path, name: str) -> Batch:
    """One batch of a list.

    Raises
    ------
    ConfigError
        If the list does not hold it, or holds it for other code.
    DataFormatError
        For a file that is no list of batches.
    """
    try:
        listed = {plain["name"]: plain for plain in json.loads(Path(path).read_text(encoding="utf-8"))["batches"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataFormatError(f"{path} is no list of batches ({error!r}); make it again.") from error
    if (plain := listed.get(name)) is None:
        raise ConfigError(f"{path} has no batch {name!r}; it has {', '.join(listed) or 'none'}.")
    trials = tuple(Trial(**fields) for fields in plain["trials"])
    source, numbers = StudySource(**plain["source"]), {name: plain[name] for name in ("seconds", "megabytes")}
    batch = Batch(source, plain["fingerprint"], trials, **numbers)
    if batch.name != name:
        raise ConfigError(f"The code has changed since {path} was made; make it again.")
    return batch


def run_batch(batch: Batch, store: ResultsStore) -> GridResult:
    """Run what is not stored; a failed trial is kept as such, and does not stop the others.

    Raises
    ------
    ConfigError
        If the data are others than those that were listed.
    """
    study = batch.source.load()
    if study.fingerprint != batch.fingerprint:
        raise ConfigError(
            f"Batch {batch.name} was listed for other data than {study.title} now holds; list the batches again."
        )
    return run_grid(batch.trials, study, store, on_failure="return")
