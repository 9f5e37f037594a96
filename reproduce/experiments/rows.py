"""Turns a trial and a study into rows to fit and rows to fill, hidden entries hidden; never fits and never scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.trials import EVALUATED_FRACTION, Trial
from reproduce.masking import draw_evaluation_mask, draw_training_mask
from reproduce.preprocessing import CohortMatch, ExpressionTransform, match_cohort
from reproduce.splits import split_by_donor, split_by_sample

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class CohortRows:
    """Rows of one cohort on the transformed scale: the whole truth, and what the method may see of it."""

    cohort: str
    truth: np.ndarray  # (n_samples, n_genes)
    visible: np.ndarray  # (n_samples, n_genes), NaN where missing or hidden
    evaluation_mask: np.ndarray  # (n_samples, n_genes)
    genes: pd.Index
    obs: pd.DataFrame

    def frame(self, values: np.ndarray | None = None) -> pd.DataFrame:
        values = self.visible if values is None else values
        return pd.DataFrame(values, index=self.obs.index, columns=self.genes)

    def covariates(self, trial: Trial) -> pd.DataFrame:
        return self.obs[[*trial.covariates, "donor"]]


def _cohort(study, name: str) -> AnnData:
    """A cohort of the study, or the rows of one tissue of it ("GTEx/Lung")."""
    cohort_name, _, tissue = name.partition("/")
    if cohort_name not in study.cohorts:
        raise ConfigError(f"Study {study.name!r} has no cohort {cohort_name!r}; it has {', '.join(study.cohorts)}.")
    cohort = study.cohorts[cohort_name]
    if not tissue:
        return cohort
    rows = (cohort.obs["tissue"] == tissue).to_numpy()
    if not rows.any():
        known = ", ".join(sorted(cohort.obs["tissue"].unique()))
        raise ConfigError(f"Cohort {cohort_name!r} has no tissue {tissue!r}; it has {known}.")
    return cohort[rows]


def _with_alias(cohort: AnnData, alias: str) -> AnnData:
    """The cohort with one gene taken for another: "TEP1=PTEN" names its TEP1 PTEN."""
    if not alias:
        return cohort
    own, taken_for = alias.split("=")
    if own not in cohort.var_names or taken_for in cohort.var_names:
        raise ConfigError(f"gene_alias {alias!r} needs a cohort with a gene {own!r} and none called {taken_for!r}.")
    renamed = cohort.copy()
    renamed.var_names = [taken_for if name == own else name for name in cohort.var_names]
    return renamed


def _common_genes(train: AnnData, targets: list[AnnData]) -> pd.Index:
    """Genes that all cohorts have, by name, in the training cohort's order; gene rows of the results show which they
    are.
    """
    genes = train.var_names
    for target in targets:
        genes = genes[genes.isin(target.var_names)]
    if len(genes) < train.n_vars / 2:
        raise ConfigError(
            f"Only {len(genes)} of {train.n_vars} training genes are in the cohort to be filled; "
            "do both name their genes by the same kind of symbol?"
        )
    return genes


def _training_genes(trial: Trial, train: AnnData, genes: pd.Index) -> pd.Index:
    """The training cohort's genes, each at the position of the target's gene that it is paired with."""
    if trial.gene_matching == "name":
        return genes
    # the target's stay in alphabetical order
    return train.var.loc[genes].sort_values("ensembl_id", kind="stable").index


def _values(cohort: AnnData, genes: pd.Index) -> np.ndarray:
    return np.asarray(cohort[:, genes].X, dtype=np.float64)


def _with_holes(X: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.where(hidden, np.nan, X)


def _rows(transform, cohort, X, hidden, genes, obs) -> CohortRows:
    truth = transform.transform(X, _with_holes(X, hidden))
    return CohortRows(cohort, truth, _with_holes(truth, hidden), hidden, genes, obs)


def prepare_rows(trial: Trial, study) -> tuple[CohortRows, list[CohortRows]]:
    """Split, hide and transform: the rows to fit and the row sets to fill (in place, one and the same)."""
    train, others = _cohort(study, trial.train), []
    if trial.scenario == "cross_cohort":
        others = [(name, _with_alias(_cohort(study, name), trial.gene_alias)) for name in trial.test.split("+")]
    genes = _common_genes(train, [cohort for _, cohort in others])
    if trial.gene_matching == "position":
        genes = genes.sort_values()
    X, obs = _values(train, _training_genes(trial, train, genes)), train.obs
    draw = {"seed": trial.seed, "scenario": trial.scenario, "mechanism": trial.mechanism}
    if trial.scenario == "cross_cohort":
        test = [(name, _values(cohort, genes), cohort.obs) for name, cohort in others]
    else:
        by_sample = trial.split == "sample"
        split = (
            split_by_sample(len(obs), seed=trial.seed) if by_sample else split_by_donor(obs["donor"], seed=trial.seed)
        )
        test = [(trial.test, X[split.test], obs.iloc[split.test])]
        X, obs = X[split.train], obs.iloc[split.train]

    if trial.scenario == "in_place":
        hidden = draw_evaluation_mask(X, trial.missing_rate, tissues=obs["tissue"], **draw)
    elif trial.training_rows == "masked":
        hidden = draw_training_mask(X, trial.missing_rate, **draw)
    else:
        hidden = np.zeros(X.shape, dtype=bool)
    transform = ExpressionTransform(trial.transform).fit(_with_holes(X, hidden))
    fitted = _rows(transform, trial.train, X, hidden, genes, obs)
    if trial.scenario == "in_place":
        return fitted, [fitted]

    targets = []
    for name, X_test, obs_test in test:
        hidden = draw_evaluation_mask(X_test, trial.missing_rate, tissues=obs_test["tissue"], **draw)
        if trial.scenario == "cross_cohort":
            # another pipeline has another depth, so the depth reference is the target's own, from visible entries
            transform = ExpressionTransform(trial.transform).fit(_with_holes(X_test, hidden))
        targets.append(_rows(transform, name, X_test, hidden, genes, obs_test))
    return fitted, targets


def match_target(fitted: CohortRows, target: CohortRows) -> CohortMatch:
    """Match against the training rows of the target's tissue, so that a lung tumour is centred where lungs are."""
    same_tissue = fitted.obs["tissue"].isin(target.obs["tissue"].unique()).to_numpy()
    if not same_tissue.any():
        same_tissue[:] = True  # no such tissue was fitted: the whole training cohort is the best reference there is
    return match_cohort(fitted.visible[same_tissue], target.visible)


def scored_rows(trial: Trial, target: CohortRows) -> np.ndarray:
    rows = np.arange(len(target.obs))
    if trial.scenario == "cross_cohort":
        fraction = EVALUATED_FRACTION["cross_cohort"]
        rows = split_by_donor(target.obs["donor"], seed=trial.seed, test_fraction=fraction).test
    if trial.scored_rows == "tissue_balanced":
        # the first of each tissue in the order of the study, which must not be one of expression, time or batch
        tissue = target.obs["tissue"].iloc[rows]
        rank = tissue.groupby(tissue, observed=True).cumcount().to_numpy()
        rows = rows[rank < int(tissue.value_counts().loc[lambda counts: counts > 0].min())]
    return rows
