"""Scores imputers that manage a whole genome: held-out normals, and tumours with their own entries beside; never draws.

Normals are filled inductively, by trials like any other. Tumours are filled in three ways from the same visible
entries: by the *mean of the tumours* (each gene's visible entries, over all tumours or over its cohort), by a model of
the *normals only* (`Trial`'s "cross_cohort", each cohort standardised by its own visible entries), and *stacked*: one
model fitted by EM to the normals and to what is visible of the tumours, all at once. Scores are taken over all tumours
together, where knowing the cohort earns credit, and within each cohort.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.experiments.grid import run_grid
from reproduce.experiments.kept import run_kept
from reproduce.experiments.paper_tables import fitted_cohort, tumour_cohorts
from reproduce.experiments.plans import comparison_trials
from reproduce.experiments.provenance import code_fingerprint
from reproduce.experiments.rows import CohortRows, match_target, prepare_rows
from reproduce.experiments.running import Fits
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.subsets import with_few_donors
from reproduce.experiments.trials import COLUMNS as TRIAL_COLUMNS
from reproduce.experiments.trials import Trial
from reproduce.metrics import gene_scores

NORMALS = ("median", "knn_5", "low_rank")
MEAN_OF_ALL, MEAN_OF_COHORT, NORMALS_ONLY, STACKED = (
    "mean of the tumours",
    "mean of the cohort",
    "normals only",
    "stacked",
)
ARMS = (MEAN_OF_ALL, MEAN_OF_COHORT, NORMALS_ONLY, STACKED)
#: One mean for all rows: cohorts of a few dozen tumours have no good means of their own.
STACKED_MODEL = {"group": None}
COLUMNS = ("run_id", "gene_set", "seed", "arm", "cohort", "r2", "seconds", "n_genes")
ALL_TUMOURS = "all tumours"


def normals_plan(study, gene_set: str, *, n_splits: int, preset: str, missing_rate: float = 0.5) -> list[Trial]:
    """Held-out normal donors filled by methods that a genome does not stop.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
        Loaded with this gene set.
    gene_set : str
    n_splits : int
    preset : str
    missing_rate : float, default 0.5

    Returns
    -------
    list of Trial
    """
    normal = fitted_cohort(study)
    common = {"preset": preset, "missing_rate": missing_rate, "gene_set": gene_set, "train": normal, "test": normal}
    return comparison_trials(NORMALS, "inductive", n_splits=n_splits, **common)


@dataclass(frozen=True)
class GenomeRun:
    """Rows of the trials on normals, and scores of the tumours (columns as in `COLUMNS`)."""

    normals: pd.DataFrame
    tumours: pd.DataFrame


def run_genome(
    data: str,
    gene_sets: Iterable[str],
    store: ResultsStore,
    results_folder: str | Path,
    name: str,
    *,
    n_splits: int,
    preset: str,
    missing_rate: float = 0.5,
    max_donors: int = 0,
    n_jobs: int = 1,
) -> GenomeRun:
    """Load each gene set's study, one at a time, fill its normals and its tumours, and export what was scored.

    Parameters
    ----------
    data : str
        As `reproduce.loaders.study.companion_source` takes it.
    gene_sets : iterable of {"protein_coding", "alzheimer"}
    store : ResultsStore
    results_folder : path-like
        Where ``NAME-GENE_SET.parquet`` and ``NAME-GENE_SET-tumours.csv`` go.
    name : str
    n_splits : int
        Donor splits of the normals, and seeds of the tumours.
    preset : str
    missing_rate : float, default 0.5
    max_donors : int, default 0
        Of the normal tissue; 0 for all.
    n_jobs : int, default 1

    Returns
    -------
    GenomeRun
    """
    from reproduce.loaders.study import companion_source, load_study

    normals, tumours = [pd.DataFrame(columns=list(TRIAL_COLUMNS))], [pd.DataFrame(columns=list(COLUMNS))]
    budget = {"preset": preset, "missing_rate": missing_rate}
    for gene_set in gene_sets:
        study = with_few_donors(load_study(companion_source(data, "genome"), gene_set=gene_set), max_donors)
        trials = normals_plan(study, gene_set, n_splits=n_splits, **budget)
        normals.append(run_grid(trials, study, store, n_jobs).rows)
        store.export(Path(results_folder) / f"{name}-{gene_set}.parquet", trials, study)
        if tumour_cohorts(study):
            where = (results_folder, f"{name}-{gene_set}-tumours")
            tumours.append(run_tumours(study, gene_set, *where, seeds=range(n_splits), **budget))
    return GenomeRun(_joined(normals), _joined(tumours))


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One table; the empty first part gives the columns where there is nothing else."""
    return pd.concat(parts[1:], ignore_index=True) if len(parts) > 1 else parts[0]


def run_tumours(
    study, gene_set: str, folder: str | Path, name: str, *, seeds: Iterable[int], preset: str, missing_rate: float = 0.5
) -> pd.DataFrame:
    """Every way of filling the tumours, for every seed. What ``folder/name.csv`` holds of the same code is kept.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
        With normals and tumours.
    gene_set : str
    folder : path-like
    name : str
        File name without its ending; written after each seed, so that an interrupted run goes on from there.
    seeds : iterable of int
    preset : str
    missing_rate : float, default 0.5

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`; r2 is the mean over genes.
    """
    trials = [_trial(study, gene_set, seed, preset, missing_rate) for seed in seeds]

    def run(trial: Trial) -> pd.DataFrame:
        found = pd.DataFrame(_scores_of(trial, study), columns=["arm", "cohort", "r2", "seconds", "n_genes"])
        return found.assign(gene_set=gene_set, seed=trial.seed)

    return run_kept({_run_id(trial, study): trial for trial in trials}, run, folder, name, COLUMNS)


def _trial(study, gene_set: str, seed: int, preset: str, missing_rate: float) -> Trial:
    tumours = "+".join(tumour_cohorts(study))
    cohorts = {"train": fitted_cohort(study), "test": tumours}
    return Trial(
        "low_rank", "cross_cohort", seed, gene_set=gene_set, preset=preset, missing_rate=missing_rate, **cohorts
    )


def _run_id(trial: Trial, study) -> str:
    code = "".join(inspect.getsource(part) for part in (_scores_of, fill_stacked, fill_from_normals, _scored))
    content = [trial.trial_id(study.fingerprint), STACKED_MODEL, code, code_fingerprint("reproduce.imputers.low_rank")]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def _scores_of(trial: Trial, study) -> list[tuple[str, str, float, float, int]]:
    fitted, targets = prepare_rows(trial, study)
    visible = np.vstack([target.visible for target in targets])
    cohort = np.repeat([target.cohort for target in targets], [len(target.obs) for target in targets])
    rows = _scored(MEAN_OF_ALL, np.broadcast_to(np.nanmean(visible, axis=0), visible.shape), targets, cohort, 0.0)
    means = [np.broadcast_to(np.nanmean(target.visible, axis=0), target.visible.shape) for target in targets]
    rows += _scored(MEAN_OF_COHORT, np.vstack(means), targets, cohort, 0.0)
    start = time.perf_counter()
    filled = fill_stacked(fitted, targets, seed=int(trial.seed))
    rows += _scored(STACKED, filled, targets, cohort, time.perf_counter() - start)
    start = time.perf_counter()
    filled = fill_from_normals(trial, fitted, targets)
    return rows + _scored(NORMALS_ONLY, filled, targets, cohort, time.perf_counter() - start)


def fill_from_normals(trial: Trial, fitted: CohortRows, targets: list[CohortRows]) -> np.ndarray:
    """The targets' rows, one below the other, filled by the trial's method fitted to the normals alone.

    Each target is moved onto the scale of its tissue's normals by its own visible entries, and back.
    """
    imputer, _ = Fits().get(trial, fitted)
    filled = []
    for target in targets:
        match = match_target(fitted, target)
        moved = target.frame(match.to_train(target.visible))
        filled.append(match.to_other(np.asarray(imputer.transform(moved, covariates=target.covariates(trial)))))
    return np.vstack(filled)


def fill_stacked(fitted: CohortRows, targets: list[CohortRows], seed: int) -> np.ndarray:
    """The targets' rows, one below the other, filled by one low-rank normal of all rows.

    Parameters
    ----------
    fitted : CohortRows
        Complete rows.
    targets : list of CohortRows
        With holes.
    seed : int

    Returns
    -------
    ndarray (n_target_rows, n_genes)
    """
    from reproduce.imputers.low_rank import LowRankGaussianImputer

    stacked = np.vstack([fitted.visible, *(target.visible for target in targets)])
    filled = LowRankGaussianImputer(random_state=seed, **STACKED_MODEL).fit_transform(stacked)
    return filled[len(fitted.visible) :]


def _scored(
    arm: str, filled: np.ndarray, targets: list[CohortRows], cohort: np.ndarray, seconds: float
) -> list[tuple[str, str, float, float, int]]:
    """Mean R² over genes, over all tumours together and within each cohort."""
    truth = np.vstack([target.truth for target in targets])
    hidden = np.vstack([target.evaluation_mask for target in targets])
    parts = {ALL_TUMOURS: np.ones(len(truth), dtype=bool)} | {name: cohort == name for name in np.unique(cohort)}
    return [
        (
            arm,
            str(name),
            float(np.nanmean(gene_scores(truth[rows], filled[rows], hidden[rows])["r2"])),
            seconds,
            truth.shape[1],
        )
        for name, rows in parts.items()
    ]
