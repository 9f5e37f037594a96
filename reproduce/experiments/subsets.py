"""Cuts a study down to some of its donors; never lists a trial and never runs one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError

BLOOD = "Whole Blood"
#: Tissues of fewer samples are left out: a split could put all of them on one side.
FEWEST_SAMPLES = 10


def fitted_cohort(study) -> str:
    """The cohort of normal tissue: the study's first."""
    return next(iter(study.cohorts))


def with_few_donors(study, n_donors: int, *, seed: int = 0):
    """The study with some donors of the fitted cohort, drawn by the seed; whole if that is all of them, or 0.

    Tissues of which fewer than `FEWEST_SAMPLES` samples remain are left out as well: a split could put all of them on
    one side.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
    n_donors : int
        0 keeps all.
    seed : int, default 0
    """
    name = fitted_cohort(study)
    obs = study.cohorts[name].obs
    people = sorted(obs["donor"].unique())
    if not n_donors or n_donors >= len(people):
        return study
    chosen = obs["donor"].isin(np.random.default_rng(seed).choice(people, n_donors, replace=False))
    return _of_donors(study, name, chosen, f"{n_donors} of {len(people)} donors, drawn at random")


def donors_with(study, tissue: str = BLOOD):
    """The study's donors who gave a tissue, with all their samples.

    Parameters
    ----------
    study : reproduce.loaders.study.Study
    tissue : str, default "Whole Blood"

    Returns
    -------
    Study
        With a fingerprint of its own; tissues of fewer than `FEWEST_SAMPLES` samples are left out.

    Raises
    ------
    ConfigError
        If nobody gave it.
    """
    name = fitted_cohort(study)
    obs = study.cohorts[name].obs
    having = set(obs.loc[obs["tissue"] == tissue, "donor"])
    if not having:
        known = ", ".join(sorted(obs["tissue"].unique()))
        raise ConfigError(f"No donor of study {study.name!r} gave {tissue!r}; its tissues are {known}.")
    chosen = obs["donor"].isin(having)
    note = f"{len(having)} of {obs['donor'].nunique()} donors, who gave {tissue}"
    return _of_donors(study, name, chosen, note)


def _of_donors(study, name: str, chosen: pd.Series, note: str):
    """The chosen rows of a cohort, without the tissues of which too few remain."""
    tissue = study.cohorts[name].obs["tissue"]
    sizes = tissue[chosen].value_counts()
    enough = tissue.isin(sizes.index[sizes >= FEWEST_SAMPLES])
    return study.keeping({name: (chosen & enough).to_numpy()}, note)
