"""Lists the trials that fill all tissues at once; never runs one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from reproduce.errors import ConfigError
from reproduce.experiments.plans import comparison_trials, network_budget
from reproduce.experiments.subsets import with_few_donors
from reproduce.experiments.trials import ORACLE, Trial

#: Cohort that holds the tissues.
COHORT = "GTEx"
#: A second Gaussian: one mean and covariance for all tissues, to show what knowing the tissue is worth.
POOLED = {"group": None}
#: Networks whose learned tissue embeddings are looked at.
EMBEDDED = ("pmi", "gain")


def tissue_study(study, *, n_donors: int = 0, min_samples: int = 0):
    """The study with some donors, drawn, and without the tissues of which too few samples remain.

    As many test samples of every tissue are scored as the rarest has, so that one rare tissue costs all of them.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
    n_donors : int, default 0
        0 keeps all.
    min_samples : int, default 0
        Fewest samples of a tissue, training and test donors together.

    Returns
    -------
    Study
        Its rows in an order that is drawn once, see `shuffled`.

    Raises
    ------
    ConfigError
        If fewer than two tissues remain.
    """
    study = shuffled(with_few_donors(study, n_donors))
    tissue = study.cohorts[COHORT].obs["tissue"]
    sizes = tissue.value_counts()
    sizes = sizes[sizes > 0]
    rare = sizes[sizes < min_samples]
    if len(sizes) - len(rare) < 2:
        raise ConfigError(f"{len(sizes) - len(rare)} tissue(s) have {min_samples} samples; lower min_samples.")
    if rare.empty:
        return study
    note = f"tissues of fewer than {min_samples} samples are left out: {', '.join(sorted(rare.index))}"
    return study.keeping({COHORT: (~tissue.isin(rare.index)).to_numpy()}, note)


def shuffled(study):
    """The study with its samples in the order of a digest of their names.

    Scores that are balanced over tissues are of the first samples of each tissue. GTEx's table stands in the order of
    donors, which may follow time and batch; in this order the first samples are a random draw, the same for all seeds.
    """
    cohort = study.cohorts[COHORT]
    digests = [hashlib.sha256(str(name).encode()).digest() for name in cohort.obs_names]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return study.with_cohort(COHORT, cohort[order].copy(), "samples in the order of a digest of their names")


def tissue_plan(
    methods: Iterable[str],
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    missing_rate: float = 0.5,
    gene_set: str = "all",
    oracle: bool = False,
) -> list[Trial]:
    """Each method fitted on all tissues of the training donors, scored on as many test samples of every tissue.

    Parameters
    ----------
    methods : iterable of str
        Keys of `reproduce.imputers.METHODS`; with "gaussian" there is also one that knows no tissue.
    n_splits : int
    network_epochs : int
        The budget of each network, as in the case study: many tissues are no reason for another setting.
    preset : str
    missing_rate : float, default 0.5
    gene_set : str, default "all"
    oracle : bool, default False
        Add the best attainable score, which only a simulated study has.

    Returns
    -------
    list of Trial

    Raises
    ------
    ConfigError
        For whatever `comparison_trials` refuses.
    """
    methods = tuple(methods)
    common = {"n_splits": n_splits, "preset": preset, "missing_rate": missing_rate, "gene_set": gene_set}
    common |= {"train": COHORT, "test": COHORT, "scored_rows": "tissue_balanced"}
    trials = comparison_trials(
        (*methods, *([ORACLE] if oracle else [])), "inductive", hyperparameters=network_budget(network_epochs), **common
    )
    if "gaussian" in methods:
        trials += comparison_trials(("gaussian",), "inductive", hyperparameters={"gaussian": POOLED}, **common)
    return trials


def is_pooled(trial: Trial) -> bool:
    """Whether a trial is of the Gaussian that knows no tissue."""
    return trial.method == "gaussian" and dict(trial.hyperparameters) == POOLED


def embedding_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Those trials of a plan whose networks learn an embedding of the tissues."""
    return [trial for trial in trials if trial.method in EMBEDDED]
