"""Runs the paper's Tables 1 and 2 on whichever genome-wide study is at hand; never decides what they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.grid import run_grid
from reproduce.experiments.plans import comparison_trials, network_budget
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.subsets import BLOOD, fitted_cohort, with_few_donors
from reproduce.experiments.trials import Trial

#: Which of the paper's tables is about which genes.
TABLES = {"protein_coding": "Table 1", "alzheimer": "Table 2"}
#: The paper's methods, and two of this study: the conditional Gaussian, and forests that can be applied to new rows.
IN_PLACE = (
    "median", "surrogate", "knn_1", "knn_5", "knn_10", "mice", "missforest_10", "missforest_100", "gain_mse", "gain",
    "pmi", "gaussian",
)  # fmt: skip
INDUCTIVE = (*(name for name in IN_PLACE if not name.startswith("missforest")), "iterative_forest")
#: Preparations whose values need no logarithm.
ALREADY_LOGARITHMIC = ("log2_tpm", "tmm_inverse_normal")
TRANSFERRED = ("median", "knn_10", "pmi", "gaussian")


def tumour_cohorts(study) -> list[str]:
    """The study's other cohorts."""
    return [name for name in study.cohorts if name != fitted_cohort(study)]


def paper_plan(
    study,
    gene_set: str,
    *,
    n_splits: int,
    n_splits_by_method: Mapping[str, int],
    network_epochs: int,
    preset: str,
    missing_rate: float = 0.5,
    transform: str = "log1p",
) -> list[Trial]:
    """One of the paper's tables: every method in place and inductively, and some transferred to each tumour.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
        Loaded with this gene set.
    gene_set : {"protein_coding", "alzheimer"}
    n_splits, n_splits_by_method
        As in `reproduce.experiments.plans.comparison_trials`.
    network_epochs : int
    preset : str
    missing_rate : float, default 0.5
    transform : {"raw", "log1p", "log1p_depth"}
        "raw" for values that are prepared on a logarithmic or normal scale.

    Returns
    -------
    list of Trial

    Raises
    ------
    ConfigError
        For a gene set that is in neither table, or whatever `comparison_trials` refuses.
    """
    if gene_set not in TABLES:
        raise ConfigError(f"The paper has no table for the gene set {gene_set!r}; it has {', '.join(TABLES)}.")
    normal, tumours = fitted_cohort(study), tumour_cohorts(study)
    common = {"n_splits": n_splits, "n_splits_by_method": n_splits_by_method, "preset": preset, "gene_set": gene_set}
    common |= {"hyperparameters": network_budget(network_epochs), "missing_rate": missing_rate, "train": normal}
    if BLOOD in set(study.cohorts[normal].obs["tissue"]):  # the paper's surrogate; elsewhere the donor's other tissues
        common["hyperparameters"]["surrogate"] = {"surrogate": BLOOD}
    common |= {"transform": transform}
    trials = comparison_trials(IN_PLACE, "in_place", test=normal, **common)
    trials += comparison_trials(INDUCTIVE, "inductive", test=normal, **common)
    if tumours:
        trials += comparison_trials(TRANSFERRED, "cross_cohort", test="+".join(tumours), **common)
    return trials


def data_row(study, gene_set: str) -> dict[str, object]:
    """What a table was computed on."""
    normal = study.cohorts[fitted_cohort(study)]
    obs: pd.DataFrame = normal.obs
    return {
        "gene_set": gene_set,
        "table": TABLES[gene_set],
        "title": study.title,
        "is_real": study.is_real,
        "genes": normal.n_vars,
        "samples": normal.n_obs,
        "donors": obs["donor"].nunique(),
        "tissues": obs["tissue"].nunique(),
        "units": normal.uns.get("units", ""),
        "surrogate": BLOOD if BLOOD in set(obs["tissue"]) else "the donor's other tissues",
        "notes": "; ".join(study.notes),
        "tumours": ", ".join(f"{name} ({study.cohorts[name].n_obs})" for name in tumour_cohorts(study)),
    }


@dataclass(frozen=True)
class PaperRun:
    """Rows of the trials of both tables, and a row for each on what it was computed."""

    rows: pd.DataFrame
    data: pd.DataFrame


def run_paper_tables(
    data: str,
    gene_sets: Iterable[str],
    store: ResultsStore,
    results_folder: str | Path,
    *,
    epochs_by_gene_set: Mapping[str, int],
    max_donors: int = 0,
    preparation: str = "",
    give_up_hours: float | None = None,
    n_jobs: int = 1,
    **budget: object,
) -> PaperRun:
    """Load each gene set's study, one at a time, run its table and export its trials.

    Parameters
    ----------
    data : str
        As `reproduce.loaders.study.companion_source` takes it.
    gene_sets : iterable of {"protein_coding", "alzheimer"}
    store : ResultsStore
    results_folder : path-like
        Where ``15_paper_tables-GENE_SET.parquet`` goes.
    epochs_by_gene_set : mapping of str to int
        Longest training of a network.
    max_donors : int, default 0
        Of the normal tissue; 0 for all.
    preparation : {"", "tpm", "log2_tpm", "tmm_inverse_normal"}
        Of the study "gtex-v8" alone, see `reproduce.loaders.preparation`; empty for its default and for other studies.
    give_up_hours : float, optional
        A trial that is estimated to take longer is given up on, with a row that says so.
    n_jobs : int, default 1
    **budget
        As in `paper_plan`.

    Returns
    -------
    PaperRun

    Raises
    ------
    ConfigError
        For a gene set without a number of epochs, or whatever `paper_plan` refuses.
    """
    from reproduce.loaders.study import companion_source, load_study

    rows, described = [], []
    for gene_set in gene_sets:
        if gene_set not in epochs_by_gene_set:
            raise ConfigError(f"epochs_by_gene_set has no number for {gene_set!r}; give one.")
        source = companion_source(data, "genome")
        study = load_study(source, gene_set=gene_set, preparation=preparation or None)
        study = with_few_donors(study, max_donors)
        scale = {"transform": "raw" if preparation in ALREADY_LOGARITHMIC else "log1p"}
        trials = paper_plan(study, gene_set, network_epochs=epochs_by_gene_set[gene_set], **scale, **budget)
        grid = run_grid(trials, study, store, n_jobs, give_up_hours=give_up_hours)
        store.export(Path(results_folder) / f"15_paper_tables-{gene_set}.parquet", trials, study)
        rows.append(grid.rows)
        described.append(data_row(study, gene_set))
    return PaperRun(pd.concat(rows, ignore_index=True), pd.DataFrame(described))
