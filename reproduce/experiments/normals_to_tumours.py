"""Fills each tumour cohort with the help of its own tissue's normals, where a study has both; never draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reproduce.experiments.store import ResultsStore
from reproduce.experiments.transfer import (
    TransferTrial,
    normal_reference_sets,
    run_transfer,
    transfer_plan,
    transfer_study,
)
from reproduce.experiments.trials import COLUMNS

#: The source that has normals and tumours of named genes.
SOURCE = "rnaseqdb"


@dataclass(frozen=True)
class TumourRun:
    """Rows of the trials (columns as in `reproduce.experiments.trials.COLUMNS`), their plan, and what they ran on."""

    rows: pd.DataFrame
    plan: list[TransferTrial]
    study: object | None


def run_normals_to_tumours(
    data: str,
    store: ResultsStore,
    path: str | Path,
    *,
    n_seeds: int,
    preset: str,
    gene_set: str = "p53",
    missing_rate: float = 0.5,
    n_jobs: int = 1,
) -> TumourRun:
    """Every arm of `reproduce.experiments.transfer` for every tumour, each cohort whole.

    Parameters
    ----------
    data : str
        As `reproduce.loaders.study.companion_source` takes it.
    store : ResultsStore
    path : path-like
        Of the export that a later run resumes from.
    n_seeds : int
    preset : str
    gene_set : str, default "p53"
    missing_rate : float, default 0.5
    n_jobs : int, default 1

    Returns
    -------
    TumourRun
        Without trials where the study that belongs to `data` has no tumours, as the simulation.
    """
    from reproduce.loaders.study import companion_source, load_study

    if companion_source(data, "genome") != SOURCE:
        return TumourRun(pd.DataFrame(columns=list(COLUMNS)), [], None)
    whole = load_study(SOURCE, gene_set=gene_set)
    study = transfer_study(whole)
    budget = {"preset": preset, "gene_set": gene_set, "missing_rate": missing_rate, "sizes": [None]}
    plan = transfer_plan(normal_reference_sets(whole), n_seeds=n_seeds, **budget)
    rows = run_transfer(plan, study, store, n_jobs)
    store.export(path, [each.trial for each in plan], study)
    return TumourRun(rows, plan, study)
