"""Predicts molecules that were taken out of cells, by auto-encoders and by their rivals; never draws anything.

Every molecule is held out with a fixed probability h, as if sequencing had been less deep (`counts.thin`): a method
learns from the rest of the training cells, sees the rest of the test cells, and names for each of their entries the
number of molecules to be expected among those held out. With expected counts λ at the visible depth that is
λ h / (1 − h). Unlike hiding entries, this has no entry that is known to be missing, as with real dropout.

**Rivals.** *Library mean*: a cell's depth times the training cells' mean profile. *k-NN smoothing*: the summed counts
of a cell and its nearest training cells. *Conditional Gaussian*: the study's own imputer on log counts per depth; it
fills what is missing and leaves the rest, so a tenth of the genes is hidden at a time and filled from the others, for
every cell, and what comes back is rescaled gene by gene to the training cells' means, which the logarithm would miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import xlogy
from sklearn.neighbors import NearestNeighbors

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.single_cell.counts import CountData, divide, log_normalised, thin
from reproduce.single_cell.likelihoods import LIKELIHOODS

LIBRARY_MEAN = "library_mean"
RIVALS = {
    LIBRARY_MEAN: "library mean",
    "knn_smoothing": "k-NN smoothing",
    "gaussian": "conditional Gaussian",
}
#: Weight of the library mean in what the rivals say, so that nothing expected is 0.
MEAN_WEIGHT = 0.05
N_NEIGHBOURS, N_COMPONENTS, N_GENE_FOLDS = 15, 20, 10


def denoising_runs(
    methods: Iterable[str], n_seeds: int, *, held_out: float, n_genes: int, **training: object
) -> list[Run]:
    """Each method for seeds 0, 1, …: of the division of cells, of what is held out, of training.

    Parameters
    ----------
    methods : iterable of str
        Likelihoods, and keys of `RIVALS`.
    n_seeds : int
    held_out : float
        Fraction of the molecules.
    n_genes : int
        Of the most variable genes; 0 for all. The Gaussian's time grows with its third power.
    **training
        Of the auto-encoders.

    Raises
    ------
    ConfigError
        For an unknown method, or a fraction out of range.
    """
    methods = list(methods)
    if unknown := [method for method in methods if method not in {**LIKELIHOODS, **RIVALS}]:
        raise ConfigError(f"Unknown method {unknown[0]!r}; known are {', '.join([*LIKELIHOODS, *RIVALS])}.")
    if not 0 < held_out < 1:
        raise ConfigError(f"held_out is {held_out!r}; give a fraction between 0 and 1.")
    shared = {"held_out": held_out, "n_genes": n_genes}
    return [
        Run(
            denoising_rows,
            {"method": method, "seed": seed, **shared, **(training if method in LIKELIHOODS else {})},
        )
        for method in methods
        for seed in range(n_seeds)
    ]


def denoising_rows(
    data: CountData, *, method: str, seed: int, held_out: float, n_genes: int, **training: object
) -> pd.DataFrame:
    """How well one method predicts the molecules held out of the test cells.

    Both scores are 0 for the library mean and higher for what is better: shares of its Poisson deviance and of its
    squared error that are gone.
    """
    data = data.most_variable(n_genes)
    visible, hidden = thin(data.counts, held_out, seed)
    # a cell that is left with nothing has no depth
    kept = np.asarray(visible.sum(axis=1)).ravel() > 0
    parts = [part[kept[part]] for part in divide(len(data.cells), seed)]
    train, validation, test = (visible[part] for part in parts)
    truth = hidden[parts[2]].toarray().astype(float)
    odds = held_out / (1.0 - held_out)
    known = sparse.vstack([train, validation], format="csr")
    reference = library_mean(known, test) * odds
    if method in LIKELIHOODS:
        expected = _by_autoencoder(method, train, validation, test, seed, **training) * odds
    else:
        expected = RIVAL_FUNCTIONS[method](known, test) * odds
    return pd.DataFrame({
        "method": [method],
        "seed": seed,
        "held_out": held_out,
        "n_genes": truth.shape[1],
        "n_cells": truth.shape[0],
        "n_molecules": int(truth.sum()),
        "deviance_explained": 1.0 - deviance(truth, expected) / deviance(truth, reference),
        "squares_explained": 1.0 - ((truth - expected) ** 2).sum() / ((truth - reference) ** 2).sum(),
    })  # fmt: skip


def deviance(counts: np.ndarray, expected: np.ndarray) -> float:
    """Poisson deviance, 2 Σ (x log(x/μ) − x + μ), summed over all entries."""
    return float(2.0 * (xlogy(counts, counts / expected) - counts + expected).sum())


def library_mean(train: sparse.csr_matrix, test: sparse.csr_matrix) -> np.ndarray:
    """Each test cell's depth times the training cells' mean profile; a gene never counted gets half a count."""
    total = np.maximum(np.asarray(train.sum(axis=0), dtype=float).ravel(), 0.5)
    return _depth(test)[:, None] * (total / total.sum())


def knn_smoothing(train: sparse.csr_matrix, test: sparse.csr_matrix) -> np.ndarray:
    """A cell and its nearest training cells in principal components, their counts summed, at the cell's depth."""
    from sklearn.decomposition import PCA

    scale = float(np.median(_depth(train)))
    logs = log_normalised(train, scale)
    pca = PCA(min(N_COMPONENTS, min(logs.shape) - 1), random_state=0, svd_solver="arpack").fit(logs)
    nearest = NearestNeighbors(n_neighbors=min(N_NEIGHBOURS, train.shape[0])).fit(pca.transform(logs))
    chosen = nearest.kneighbors(pca.transform(log_normalised(test, scale)), return_distance=False)
    rows = np.repeat(np.arange(len(chosen)), chosen.shape[1])
    neighbours = sparse.csr_matrix((np.ones(chosen.size), (rows, chosen.ravel())), (test.shape[0], train.shape[0]))
    summed = (neighbours @ train + test).toarray().astype(float)
    shares = summed / summed.sum(axis=1, keepdims=True)
    return _with_mean(shares * _depth(test)[:, None], train, test)


def gaussian(train: sparse.csr_matrix, test: sparse.csr_matrix) -> np.ndarray:
    """The study's conditional Gaussian: each gene from those of the other folds, back from logarithms, rescaled."""
    from reproduce.imputers.gaussian import ConditionalGaussianImputer

    scale = float(np.median(_depth(train)))
    logs, others = (log_normalised(part, scale).toarray() for part in (train, test))
    imputer = ConditionalGaussianImputer(group=None).fit(logs)
    fold_of = np.random.default_rng(0).permutation(logs.shape[1]) % N_GENE_FOLDS

    def predicted(Z: np.ndarray) -> np.ndarray:
        filled = np.empty_like(Z)
        for fold in range(N_GENE_FOLDS):
            hidden = fold_of == fold
            filled[:, hidden] = imputer.transform(np.where(hidden, np.nan, Z))[:, hidden]
        return np.expm1(np.maximum(filled, 0.0)) / scale

    target = library_mean(train, train).sum(axis=0)
    found = (predicted(logs) * _depth(train)[:, None]).sum(axis=0)
    rescaled = predicted(others) * (target / np.maximum(found, 1e-12)) * _depth(test)[:, None]
    return _with_mean(rescaled, train, test)


RIVAL_FUNCTIONS: dict[str, Callable[[sparse.csr_matrix, sparse.csr_matrix], np.ndarray]] = {
    LIBRARY_MEAN: library_mean,
    "knn_smoothing": knn_smoothing,
    "gaussian": gaussian,
}


def _by_autoencoder(likelihood, train, validation, test, seed, **training) -> np.ndarray:
    from reproduce.single_cell.estimators import CountVAE

    training = {name: tuple(value) if isinstance(value, list) else value for name, value in training.items()}
    estimator = CountVAE(likelihood, random_state=seed, **training).fit(train, validation=validation)
    return np.maximum(estimator.reconstruct(test).astype(float), 1e-12)


def _with_mean(expected: np.ndarray, train: sparse.csr_matrix, test: sparse.csr_matrix) -> np.ndarray:
    return (1.0 - MEAN_WEIGHT) * expected + MEAN_WEIGHT * library_mean(train, test)


def _depth(counts: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=float).ravel()
