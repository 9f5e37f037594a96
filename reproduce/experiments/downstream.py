"""Asks a biological question of completed data and compares the answers with those of the whole data; never draws.

**Questions.** Which genes differ in mean log expression between lung and colon; within lung, between older and younger
people; and within lung, between men and women. Of the p53 genes nearly all differ between the tissues, half or so with
age, and hardly any between the sexes: the first shows what happens to strong effects, the second what is lost, and the
third what is invented.

**Analysis.** Welch's comparison of two means with standard errors clustered by donor: a donor in both groups (lung and
colon of one person) counts as a pair, one in a single group as an independent sample, and what they share is neither
counted twice nor thrown away. With residuals r of the n_k samples of group k, donor d contributes
c_d = Σ r / n_1 over its samples in group 1 − Σ r / n_2 over those in group 2. There are three kinds of donors: those in
group 1 only, in group 2 only, and in both; of D donors of a kind comes the variance V = Σ c_d² · D / (D − 1), and the
squared standard error is the sum of the three, with (Σ V)² / Σ V² / (D − 1) degrees of freedom (Satterthwaite). Where
each donor has one sample in one group this is Welch's test, where each has one in both the paired t test.

**Ways to deal with holes**, all on the same rows with the same entries hidden:

| name | what it does |
| --- | --- |
| `COMPLETE` | the whole data: the answer that the others are compared with |
| `VISIBLE` | each gene on its visible entries only (complete cases, gene by gene) |
| `MEDIAN` | the median of the group in each hole |
| `SINGLE` | the conditional mean of a Gaussian for each group in each hole |
| `BLIND` | draws of a Gaussian that does not know the groups in question, pooled by Rubin's rules |
| `FITTED` | draws of the fitted Gaussians of the groups, pooled |
| `PROPER` | the same, each draw from Gaussians fitted anew to resampled donors, pooled |

Multiple imputation is *proper* (Rubin 1987, chapter 4) if the pooled estimate misses the complete data's by as much as
the variance between draws says: the interval from that variance alone, q̄ ± t √((1 + 1/M) b), must hold the complete
data's estimate as often as it promises. Draws of one fit leave out that the fit itself is uncertain.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments.kept import run_kept
from reproduce.experiments.provenance import code_fingerprint
from reproduce.experiments.rows import prepare_rows
from reproduce.experiments.trials import Trial
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.median import TissueMedianImputer
from reproduce.multiple_imputation import pool

COMPLETE, VISIBLE, MEDIAN, SINGLE = "complete data", "visible entries", "median", "conditional mean"
BLIND, FITTED, PROPER = "draws, blind to the question", "draws", "draws, donors resampled"
WAYS = (COMPLETE, VISIBLE, MEDIAN, SINGLE, BLIND, FITTED, PROPER)
N_DRAWS = 20
COLUMNS = (
    "run_id", "question", "seed", "missing_rate", "way", "gene", "estimate", "standard_error", "degrees_of_freedom",
    "p", "between",
)  # fmt: skip
#: EM may stop early in the fits to resampled donors: they differ among each other by far more than its last rounds do.
_RESAMPLED_FIT = {"max_iter": 15, "tol": 1e-2}


@dataclass(frozen=True)
class Question:
    """A comparison of two groups of samples.

    Attributes
    ----------
    name : str
    column : str
        Covariate that divides the samples.
    groups : tuple of str
        Its two values; the effect is the first's mean minus the second's.
    within : tuple of str, optional
        Covariate and value that all samples share.
    threshold : float, optional
        For a covariate of numbers: the first group reaches it, the second does not. `groups` are then their names.
    """

    name: str
    column: str
    groups: tuple[str, str]
    within: tuple[str, str] | None = None
    threshold: float | None = None

    def group_of(self, obs: pd.DataFrame) -> pd.Series:
        """The group of each sample by name; NaN for samples that the question does not concern."""
        column = obs[self.column]
        if self.threshold is not None:
            first, second = self.groups
            column = pd.Series(np.where(column >= self.threshold, first, second), obs.index).where(column.notna())
        kept = column.isin(self.groups)
        if self.within is not None:
            kept &= obs[self.within[0]] == self.within[1]
        return column.astype(object).where(kept)


QUESTIONS = (
    Question("lung against colon", "tissue", ("Lung", "Colon - Transverse")),
    Question("60 and over against younger in lung", "age", ("60 and over", "under 60"), ("tissue", "Lung"), 60.0),
    Question("men against women in lung", "sex", ("male", "female"), ("tissue", "Lung")),
)


# --- the analysis ---


def compare_means(X: np.ndarray, in_first: np.ndarray, donors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference of means of two groups with errors clustered by donor, gene by gene; NaN are left out.

    Parameters
    ----------
    X : ndarray (n_samples, n_genes)
    in_first : ndarray of bool (n_samples,)
    donors : ndarray (n_samples,)

    Returns
    -------
    estimate, variance, degrees_of_freedom : ndarray (n_genes,)

    Raises
    ------
    DataFormatError
        If a gene has fewer than two known entries in a group, or entries of fewer than three donors.
    """
    known = ~np.isnan(X)
    counts = np.stack([known[in_first].sum(axis=0), known[~in_first].sum(axis=0)])
    names, person = np.unique(donors.astype(str), return_inverse=True)
    member = np.zeros((len(names), len(X)))
    member[person, np.arange(len(X))] = 1.0
    n_donors = ((member @ known) > 0).sum(axis=0)
    if counts.min() < 2 or n_donors.min() < 3:
        raise DataFormatError(
            f"A gene has {counts.min()} known entries in a group and {n_donors.min()} donors; a comparison needs two "
            "and three at least. Hide less, or leave the gene out."
        )
    values = np.where(known, X, 0.0)
    means = np.stack([values[in_first].sum(axis=0), values[~in_first].sum(axis=0)]) / counts
    own_mean = np.where(in_first[:, None], means[0], means[1])
    share = np.where(in_first[:, None], 1 / counts[0], -1 / counts[1])
    contributions = member @ np.where(known, (X - own_mean) * share, 0.0)
    in_groups = [(member @ (known & group[:, None])) > 0 for group in (in_first, ~in_first)]
    kinds = (in_groups[0] & ~in_groups[1], in_groups[1] & ~in_groups[0], in_groups[0] & in_groups[1])
    variance, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for kind in kinds:  # each has a variance of its own, with as many degrees of freedom as donors less one
        n = kind.sum(axis=0)
        part = (kind * contributions**2).sum(axis=0) * n / np.maximum(n - 1, 1)
        variance, squares = variance + part, squares + part**2 / np.maximum(n - 1, 1)
    return means[0] - means[1], variance, variance**2 / squares


# --- one question, one split ---


def run_question(question: Question, study, seed: int, *, missing_rate: float = 0.5, n_draws: int = N_DRAWS):
    """The effect on every gene, by every way to deal with holes.

    Parameters
    ----------
    question : Question
    study : reproduce.loaders.study.Study
    seed : int
        Of the donors that are kept, of what is hidden, and of the draws.
    missing_rate : float, default 0.5
    n_draws : int, default 20
        Completed data sets of multiple imputation.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS` but for run_id: one row per way and gene. `between` is the variance between draws, NaN
        where there are none.

    Raises
    ------
    ConfigError
        If a group of the question has no samples.
    """
    trial = Trial("gaussian", "in_place", seed, missing_rate=missing_rate)
    rows, _ = prepare_rows(trial, study)
    group = question.group_of(rows.obs)
    if absent := [name for name in question.groups if not (group == name).any()]:
        raise ConfigError(f"No sample of this study is {absent[0]!r} in {question.column!r}; ask another question.")
    keep = group.notna().to_numpy()
    truth, visible = rows.truth[keep], rows.visible[keep]
    covariates = pd.DataFrame({"group": group, "donor": rows.obs["donor"].astype(str)})[keep]
    donors, in_first = covariates["donor"].to_numpy(), (covariates["group"] == question.groups[0]).to_numpy()
    rng = np.random.default_rng([seed, 5])

    def single(X: np.ndarray) -> dict[str, np.ndarray]:
        estimate, variance, freedom = compare_means(X, in_first, donors)
        standard_error = np.sqrt(variance)
        p = 2 * stats.t.sf(np.abs(estimate) / standard_error, freedom)
        answer = {"estimate": estimate, "standard_error": standard_error, "degrees_of_freedom": freedom}
        return answer | {"p": p, "between": np.full(len(estimate), np.nan)}

    def multiple(draws: np.ndarray) -> dict[str, np.ndarray]:
        analyses = [compare_means(X, in_first, donors) for X in draws]
        estimates, variances, freedom = (np.stack(part) for part in zip(*analyses))
        pooled = pool(estimates, variances, complete_degrees_of_freedom=freedom[0])
        answer = {"estimate": pooled.estimate, "standard_error": pooled.standard_error, "p": pooled.p_values()}
        return answer | {"degrees_of_freedom": pooled.degrees_of_freedom, "between": pooled.between}

    by_group = ConditionalGaussianImputer(group="group").fit(visible, covariates=covariates)
    blind = ConditionalGaussianImputer(group=None).fit(visible)
    median = TissueMedianImputer(group="group")
    state = np.random.RandomState(int(rng.integers(2**31)))
    answers = {
        COMPLETE: single(truth),
        VISIBLE: single(visible),
        MEDIAN: single(median.fit_transform(visible, covariates=covariates)),
        SINGLE: single(by_group.transform(visible, covariates=covariates)),
        BLIND: multiple(blind.sample(visible, n_draws, random_state=state)),
        FITTED: multiple(by_group.sample(visible, n_draws, covariates=covariates, random_state=state)),
        PROPER: multiple(draws_of_resampled_donors(visible, covariates, n_draws, rng)),
    }
    keys = {"question": question.name, "seed": int(seed), "missing_rate": float(missing_rate)}
    parts = [pd.DataFrame(answer).assign(way=way, gene=list(rows.genes), **keys) for way, answer in answers.items()]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS[1:])]


def draws_of_resampled_donors(
    visible: np.ndarray, covariates: pd.DataFrame, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Completed matrices, each drawn from Gaussians fitted to donors drawn with replacement.

    The bootstrap stands for the posterior of mean and covariance (Little and Rubin, chapter 10: approximately proper).
    A donor that is drawn twice is there twice.

    Parameters
    ----------
    visible : ndarray (n_samples, n_genes)
        NaN where missing.
    covariates : DataFrame
        Columns group and donor.
    n : int
    rng : numpy Generator

    Returns
    -------
    ndarray (n, n_samples, n_genes)
    """
    names, person = np.unique(covariates["donor"].to_numpy().astype(str), return_inverse=True)
    completed = np.empty((n, *visible.shape))
    for draw in range(n):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        rows = np.repeat(np.arange(len(visible)), times[person])
        imputer = ConditionalGaussianImputer(group="group", **_RESAMPLED_FIT)
        imputer.fit(visible[rows], covariates=covariates.iloc[rows].reset_index(drop=True))
        seed = int(rng.integers(2**31))
        completed[draw] = imputer.sample(visible, covariates=covariates, random_state=seed)[0]
    return completed


# --- all of them ---


def run_downstream(
    questions: Iterable[Question],
    study,
    folder: str | Path,
    name: str,
    *,
    n_splits: int,
    first_seed: int = 0,
    missing_rate: float = 0.5,
    n_draws: int = N_DRAWS,
) -> pd.DataFrame:
    """Every question on every split. What stands in ``folder/name.csv`` already, made by the same code, is kept.

    Parameters
    ----------
    questions : iterable of Question
    study : reproduce.loaders.study.Study
    folder : path-like
    name : str
        File name without its ending; written after each split, so that an interrupted run goes on from there.
    n_splits : int
    first_seed : int, default 0
    missing_rate, n_draws
        As in `run_question`.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`.
    """
    wanted = {
        _run_id(question, study, seed, missing_rate, n_draws): (question, seed)
        for question in questions
        for seed in range(first_seed, first_seed + n_splits)
    }

    def run(asked: tuple[Question, int]) -> pd.DataFrame:
        question, seed = asked
        return run_question(question, study, seed, missing_rate=missing_rate, n_draws=n_draws)

    return run_kept(wanted, run, folder, name, COLUMNS)


def _run_id(question: Question, study, seed: int, missing_rate: float, n_draws: int) -> str:
    code = "".join(
        inspect.getsource(part) for part in (compare_means, Question, run_question, draws_of_resampled_donors)
    )
    modules = ("reproduce.imputers.gaussian", "reproduce.imputers.median", "reproduce.multiple_imputation")
    modules = [code_fingerprint(module) for module in modules]
    content = [repr(question), study.fingerprint, seed, missing_rate, n_draws, _RESAMPLED_FIT, code, modules]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]
