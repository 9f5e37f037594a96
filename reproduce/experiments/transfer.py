"""Fills cohorts of few patients with and without reference cohorts; never judges what helped and never draws.

**The question.** A hospital has n tumours, each with holes, and nothing else of its own. How well are the holes filled
from these n alone, from a reference cohort alone, and from both?

**The protocol.** Entries of the whole target cohort are hidden once for each seed. The patients are then dealt out, by
seed, into disjoint groups of n; each group is fitted and filled *alone*, and the filled rows of all groups are scored
together: R² of a gene over the five hidden entries of one group of ten would be noise. Patients who do not make up a
whole group are not scored at that n. A gene of which a group would see nothing keeps one entry, the same for every
method. Nothing is known of gene means beyond the group: at n = 10 a mean rests on five entries, and its error alone
costs a fifth of the variance, so R² is lower here than where a cohort's means are given.

**Arms.** "target only": the Gaussian fitted to the group. "reference only": the reference's correlations, shrunk, with
the group's means and sds. "transfer": `TransferImputer`. A cohort of several tissues gives one reference for each.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.companions import Companion, run_companions
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial, TrialResult, tidy_rows
from reproduce.masking import draw_evaluation_mask
from reproduce.metrics import score
from reproduce.preprocessing import ExpressionTransform, match_cohort

SIZES = (10, 20, 50, 100, 200, None)
TUMOURS = ("LUAD", "COADREAD")
TARGET_ONLY, REFERENCE_ONLY, TRANSFER = "target only", "reference only", "transfer"
ARMS = (TARGET_ONLY, REFERENCE_ONLY, TRANSFER)
#: Of the registry.
_METHODS = {TARGET_ONLY: "gaussian", REFERENCE_ONLY: "gaussian", TRANSFER: "transfer"}
#: (visible, references, seed) -> filled: what an arm does with one group.
Fill = Callable[[pd.DataFrame, Mapping[str, pd.DataFrame], int], np.ndarray]


@dataclass(frozen=True)
class TransferTrial:
    """A trial of this kind: the target is the trial's cohort.

    Attributes
    ----------
    trial : Trial
    arm : {"target only", "reference only", "transfer"}
    references : tuple of str
        Cohorts, or tissues of them ("GTEx/Lung"); empty for "target only".
    n_patients : int or None
        In a group; None is the whole cohort.
    """

    trial: Trial
    arm: str
    references: tuple[str, ...]
    n_patients: int | None


# --- what is run ---


def transfer_study(study):
    """The study with a fingerprint that says that groups of patients are filled alone, and by which code."""
    code = "".join(map(inspect.getsource, (score_groups, patient_groups, _hidden, references_of, *_FILLS.values())))
    return replace(study, fingerprint=hashlib.sha256(f"{study.fingerprint}|{code}".encode()).hexdigest()[:12])


def transfer_plan(
    reference_sets: Mapping[str, Iterable[tuple[str, ...]]] | None = None,
    *,
    n_seeds: int,
    preset: str,
    sizes: Iterable[int | None] = SIZES,
    missing_rate: float = 0.5,
    gene_set: str = "p53",
    first_seed: int = 0,
) -> list[TransferTrial]:
    """Every arm on every target, number of patients and seed.

    Parameters
    ----------
    reference_sets : mapping of str to iterable of tuple of str, optional
        By target, which references are used together. By default GTEx, the other tumour, and both, for LUAD and
        COADREAD.
    n_seeds : int
    preset : str
    sizes : iterable of int or None
        Patients in a group; None is the whole cohort.
    missing_rate : float, default 0.5
    gene_set : str, default "p53"
    first_seed : int, default 0

    Returns
    -------
    list of TransferTrial

    Raises
    ------
    ConfigError
        For fewer than one seed, or a size below 2.
    """
    sizes = list(sizes)
    if isinstance(n_seeds, bool) or not isinstance(n_seeds, int) or n_seeds < 1:
        raise ConfigError(f"n_seeds is {n_seeds!r}; give a whole number of at least 1.")
    for n in sizes:
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 2):
            raise ConfigError(f"sizes holds {n!r}; give numbers of patients of at least 2, None for all.")
    common = {"preset": preset, "missing_rate": missing_rate, "gene_set": gene_set}
    plan = []
    for target, sets in (reference_sets or _tumour_references()).items():
        for seed in range(first_seed, first_seed + n_seeds):
            for n in sizes:
                arms = [(TARGET_ONLY, ())]
                arms += [(arm, tuple(names)) for names in sets for arm in (REFERENCE_ONLY, TRANSFER)]
                plan += [_trial(arm, target, seed, names, n, common) for arm, names in arms]
    return plan


def normal_reference_sets(study, normal: str = "Normal") -> dict[str, list[tuple[str, ...]]]:
    """For each tumour of a study its own tissue's normals, for `transfer_plan`.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
        With a cohort of normals, such as "rnaseqdb".
    normal : str, default "Normal"

    Raises
    ------
    ConfigError
        If there is no such cohort.
    """
    if normal not in study.cohorts:
        raise ConfigError(f"Study {study.name!r} has no cohort {normal!r}; it has {', '.join(study.cohorts)}.")
    tissues = {name: cohort.obs["tissue"].astype(str).unique() for name, cohort in study.cohorts.items()}
    return {
        target: [tuple(f"{normal}/{tissue}" for tissue in sorted(names))]
        for target, names in tissues.items()
        if target != normal
    }


def run_transfer(plan: Iterable[TransferTrial], study, store: ResultsStore, n_jobs: int = 1) -> pd.DataFrame:
    """Run what is not stored, and read all.

    Parameters
    ----------
    plan : iterable of TransferTrial
    study : reproduce.loaders.study.Study
        Of `transfer_study`.
    store : ResultsStore
    n_jobs : int, default 1
        Worker processes, each with one thread.

    Returns
    -------
    DataFrame
        Columns as in `reproduce.experiments.trials.COLUMNS`.

    Raises
    ------
    TrialsFailedError
        If a trial failed, after all have been run and stored.
    """
    companions = [
        Companion(planned.trial, study, partial(_run, planned, study), cost=float(planned.arm == TRANSFER))
        for planned in plan
    ]
    return run_companions(companions, store, n_jobs)


def _tumour_references() -> dict[str, list[tuple[str, ...]]]:
    sets = {}
    for target in TUMOURS:
        other = next(name for name in TUMOURS if name != target)
        sets[target] = [("GTEx",), (other,), ("GTEx", other)]
    return sets


def _trial(arm: str, target: str, seed: int, references: tuple[str, ...], n: int | None, common) -> TransferTrial:
    settings = {"arm": arm, "n_patients": n, "references": list(references)}
    trial = Trial(
        _METHODS[arm], "in_place", seed, train=target, test=target, hyperparameters=settings, covariates=(), **common
    )
    return TransferTrial(trial, arm, references, n)


def _run(planned: TransferTrial, study) -> TrialResult:
    trial, start = planned.trial, time.perf_counter()
    scores = score_groups(_FILLS[planned.arm], study, trial, planned.references, planned.n_patients)
    seconds = {"fit_seconds": time.perf_counter() - start, "impute_seconds": 0.0}
    rows = tidy_rows(trial, study, scores, status="ok", error="", **seconds)
    return TrialResult(trial.trial_id(study.fingerprint), rows, None)


# --- how a target is filled ---


def score_groups(fill: Fill, study, trial: Trial, references: Iterable[str], n_patients: int | None) -> pd.DataFrame:
    """Fill the target in groups of patients by any means, and score all groups together.

    Parameters
    ----------
    fill : callable
        ``fill(visible, references, seed)`` gives the completed matrix of one group: `visible` a DataFrame
        (n_patients, n_genes) with NaN where hidden, `references` a dict of complete DataFrames by name, on the same
        scale. Any imputer will do: ``lambda visible, references, seed: imputer.fit_transform(visible)``.
    study : reproduce.loaders.study.Study
    trial : Trial
        In place; says which cohort, seed, missing rate, mechanism and transform.
    references : iterable of str
    n_patients : int or None

    Returns
    -------
    DataFrame
        Of `reproduce.metrics.score`.

    Raises
    ------
    ConfigError
        For an unknown cohort or tissue, or fewer patients than a group takes.
    """
    given = references_of(study, trial, references)
    target = _cohort(study, trial.test)
    genes = target.var_names
    X = _on_scale(target.X, trial)
    groups = patient_groups(len(X), n_patients, trial.seed)
    hidden = _hidden(X, groups, trial)
    visible, filled = np.where(hidden, np.nan, X), X.copy()
    for rows in groups:
        frame = pd.DataFrame(visible[rows], index=target.obs_names[rows], columns=genes)
        filled[rows] = np.asarray(fill(frame, given, int(trial.seed)))
    rows = np.concatenate(groups)
    return score(X[rows], filled[rows], hidden[rows], genes=list(genes))


def patient_groups(n_samples: int, n_patients: int | None, seed: int) -> list[np.ndarray]:
    """Disjoint groups of row positions, drawn by seed; those who do not make up a group are in none.

    Raises
    ------
    ConfigError
        For fewer samples than one group takes.
    """
    n = n_samples if n_patients is None else n_patients
    if n_samples < n:
        raise ConfigError(f"The target has {n_samples} samples, fewer than a group of {n}; leave that size out.")
    order = np.random.default_rng([seed, 3]).permutation(n_samples)
    return [np.sort(order[start : start + n]) for start in range(0, n_samples - n + 1, n)]


def references_of(study, trial: Trial, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The references on the trial's scale, one for each tissue of a cohort, without patients of the target.

    Raises
    ------
    ConfigError
        For an unknown cohort or tissue, or the target as its own reference.
    """
    patients = set(_cohort(study, trial.test).obs["donor"].astype(str))
    frames = {}
    for name in names:
        cohort_name, _, tissue = name.partition("/")
        if cohort_name == trial.test:
            raise ConfigError(f"Cohort {cohort_name!r} is the target and cannot be its own reference.")
        cohort = _cohort(study, cohort_name)
        cohort = cohort[~cohort.obs["donor"].astype(str).isin(patients).to_numpy()]
        tissues = cohort.obs["tissue"].astype(str).to_numpy()
        wanted = [tissue] if tissue else sorted(set(tissues))
        for each in wanted:
            rows = tissues == each
            if not rows.any():
                raise ConfigError(f"Cohort {cohort_name!r} has no tissue {each!r}; it has {', '.join(set(tissues))}.")
            label = cohort_name if len(set(tissues)) == 1 else f"{cohort_name} {each}"
            values = _on_scale(cohort.X[rows], trial)
            frames[label] = pd.DataFrame(values, index=cohort.obs_names[rows], columns=cohort.var_names)
    return frames


def fill_from_target(visible: pd.DataFrame, references: Mapping[str, pd.DataFrame], seed: int) -> np.ndarray:
    """The Gaussian of the group alone."""
    from reproduce.imputers import make_imputer

    return np.asarray(make_imputer("gaussian", group=None).fit_transform(visible))


def fill_from_references(visible: pd.DataFrame, references: Mapping[str, pd.DataFrame], seed: int) -> np.ndarray:
    """The Gaussian of the references, each matched to the group's own means and sds, one tissue each."""
    from reproduce.imputers import make_imputer

    shared = [gene for gene in visible.columns if all(gene in frame.columns for frame in references.values())]
    first = visible[shared].to_numpy()
    # every reference is moved to the group's scale, so that their rows can be pooled
    moved = [match_cohort(frame[shared].to_numpy(), first) for frame in references.values()]
    rows = [m.to_other(frame[shared].to_numpy()) for m, frame in zip(moved, references.values())]
    imputer = make_imputer("gaussian", group=None).fit(pd.DataFrame(np.vstack(rows), columns=shared))
    filled = visible.fillna(visible.mean()).to_numpy(copy=True)
    filled[:, visible.columns.get_indexer(shared)] = np.asarray(imputer.transform(visible[shared]))
    return filled


def fill_by_transfer(visible: pd.DataFrame, references: Mapping[str, pd.DataFrame], seed: int) -> np.ndarray:
    """The group's Gaussian, updated from the references."""
    from reproduce.imputers import make_imputer

    return np.asarray(make_imputer("transfer", random_state=seed).fit_transform(visible, references=references))


_FILLS: dict[str, Fill] = {
    TARGET_ONLY: fill_from_target,
    REFERENCE_ONLY: fill_from_references,
    TRANSFER: fill_by_transfer,
}


def _cohort(study, name: str):
    if name not in study.cohorts:
        raise ConfigError(f"Study {study.name!r} has no cohort {name!r}; it has {', '.join(study.cohorts)}.")
    return study.cohorts[name]


def _on_scale(X: np.ndarray, trial: Trial) -> np.ndarray:
    if trial.transform == "log1p_depth":
        raise ConfigError("Sequencing depth would be learnt across groups; give transform='log1p' or 'raw'.")
    X = np.asarray(X, dtype=np.float64)
    return ExpressionTransform(trial.transform).fit(X).transform(X)


def _hidden(X: np.ndarray, groups: list[np.ndarray], trial: Trial) -> np.ndarray:
    """The entries to hide; a gene that a group would not see at all keeps its entry in one of the group's rows."""
    draw = {"seed": trial.seed, "scenario": "in_place", "mechanism": trial.mechanism}
    hidden = draw_evaluation_mask(X, trial.missing_rate, **draw)
    for rows in groups:
        unseen = np.flatnonzero(~(~hidden[rows] & ~np.isnan(X[rows])).any(axis=0))
        hidden[rows[unseen % len(rows)], unseen] = False
    return hidden
