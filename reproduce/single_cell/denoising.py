"""Predicts molecules that were taken out of cells, by auto-encoders and by their rivals; never draws anything.

Every molecule is held out with a fixed probability h, as if sequencing had been less deep (`counts.thin`): a method
learns from the rest of the training cells, sees the rest of the test cells, and names for each of their entries the
number of molecules to be expected among those held out. Unlike hiding entries, this has no entry that is known to be
missing, as with real dropout. Genes are chosen by what the training cells still show.

**Auto-encoders** say what their law expects of the hidden part given the latent *and* the visible count of that very
gene (`Likelihood.expected_given`), at the mean of the latent.

**Rivals** expect λ h / (1 − h), with λ expected at the visible depth. *Library mean*: a cell's depth times the training
cells' mean profile. *k-NN smoothing*: the summed counts of a cell, the gene's own among them, and its nearest training
cells. *Conditional Gaussian*: the study's own imputer on log counts per depth; it fills what is missing and leaves the
rest, so a tenth of the genes is hidden at a time and filled from the others, for every cell (the gene's own visible
count is not used), and what comes back is rescaled gene by gene to the training cells' means, which the logarithm
would miss. The number of neighbours and the library mean's weight in what a rival says are those that do best on the
molecules held out of the validation cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import xlogy
from sklearn.neighbors import NearestNeighbors

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.single_cell.counts import CountData, divide, log_normalised, thin, variable_genes
from reproduce.single_cell.grid import DIVERGED, DONE
from reproduce.single_cell.likelihoods import LIKELIHOODS

LIBRARY_MEAN = "library_mean"
RIVALS = {
    LIBRARY_MEAN: "library mean",
    "knn_smoothing": "k-NN smoothing",
    "gaussian": "conditional Gaussian",
}
#: Weights of the library mean in what the rivals say, to choose from; none is 0, so that nothing expected is.
MEAN_WEIGHTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
#: Numbers of neighbours to choose from.
NEIGHBOURS = (5, 10, 15, 30, 60, 120)
N_COMPONENTS, N_GENE_FOLDS = 20, 10


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
    """How well one method predicts the molecules held out of the test cells, and of the validation cells.

    Both scores are 0 for the library mean and higher for what is better: shares of its Poisson deviance and of its
    squared error that are gone. The validation cells' is there to choose methods by.
    """
    from reproduce.single_cell.training import DivergedError

    division = thinned_division(data, held_out, n_genes, seed)
    train, validation, test = division.visible
    about = {"counts": [data.name], "method": method, "seed": seed, "held_out": held_out}
    about |= {"n_genes": test.shape[1], "n_cells": test.shape[0], "n_molecules": int(division.hidden[2].sum())}
    try:
        if method in LIKELIHOODS:
            predicted = _by_autoencoder(method, division, held_out, seed, **training)
            settings = ""
        else:
            predicted, settings = _by_rival(method, division, held_out)
    except DivergedError:
        return pd.DataFrame(about | {"status": DIVERGED})
    odds = held_out / (1.0 - held_out)
    scores = {}
    for part, cells, hidden, expected in zip(
        ("validation_", ""), (validation, test), division.hidden[1:], predicted, strict=True
    ):
        truth, reference = hidden.toarray().astype(float), library_mean(train, cells) * odds
        scores[f"{part}deviance_explained"] = 1.0 - deviance(truth, expected) / deviance(truth, reference)
        scores[f"{part}squares_explained"] = 1.0 - ((truth - expected) ** 2).sum() / ((truth - reference) ** 2).sum()
    return pd.DataFrame(about | {"status": DONE, "settings": settings, **scores})


@dataclass(frozen=True)
class ThinnedDivision:
    """Training, validation and test cells, each as what thinning left and what it took.

    Attributes
    ----------
    visible, hidden : tuples of three CSR matrices (n_cells, n_genes)
    genes : ndarray of int
        Positions of the genes among those of the data.
    """

    visible: tuple[sparse.csr_matrix, ...]
    hidden: tuple[sparse.csr_matrix, ...]
    genes: np.ndarray


def thinned_division(data: CountData, held_out: float, n_genes: int, seed: int) -> ThinnedDivision:
    """Counts thinned and divided; the genes are the most variable of what the training cells still show."""
    parts = divide(len(data.cells), seed)
    visible, hidden = thin(data.counts, held_out, seed)
    genes = variable_genes(visible[parts[0]], n_genes)
    visible, hidden = visible[:, genes], hidden[:, genes]
    # a cell that is left with nothing has no depth
    kept = _depth(visible) > 0
    parts = [part[kept[part]] for part in parts]
    return ThinnedDivision(tuple(visible[part] for part in parts), tuple(hidden[part] for part in parts), genes)


def deviance(counts: np.ndarray, expected: np.ndarray) -> float:
    """Poisson deviance, 2 Σ (x log(x/μ) − x + μ), summed over all entries."""
    return float(2.0 * (xlogy(counts, counts / expected) - counts + expected).sum())


def library_mean(train: sparse.csr_matrix, test: sparse.csr_matrix) -> np.ndarray:
    """Each test cell's depth times the training cells' mean profile; a gene never counted gets half a count."""
    total = np.maximum(np.asarray(train.sum(axis=0), dtype=float).ravel(), 0.5)
    return _depth(test)[:, None] * (total / total.sum())


def library_means(train: sparse.csr_matrix, *cells: sparse.csr_matrix) -> Predictions:
    """`library_mean` of each matrix of cells."""
    return {"": tuple(library_mean(train, part) for part in cells)}


def knn_smoothing(train: sparse.csr_matrix, *cells: sparse.csr_matrix) -> Predictions:
    """A cell and its nearest training cells in principal components, their counts summed, at the cell's depth."""
    from sklearn.decomposition import PCA

    scale = float(np.median(_depth(train)))
    logs = log_normalised(train, scale)
    pca = PCA(min(N_COMPONENTS, min(logs.shape) - 1), random_state=0, svd_solver="arpack").fit(logs)
    most = NearestNeighbors(n_neighbors=min(max(NEIGHBOURS), train.shape[0])).fit(pca.transform(logs))
    found = [most.kneighbors(pca.transform(log_normalised(part, scale)), return_distance=False) for part in cells]
    return {
        f"{k} neighbours": tuple(_summed(train, part, near[:, :k]) for part, near in zip(cells, found, strict=True))
        for k in NEIGHBOURS
        if k <= train.shape[0]
    }


def _summed(train: sparse.csr_matrix, cells: sparse.csr_matrix, chosen: np.ndarray) -> np.ndarray:
    rows = np.repeat(np.arange(len(chosen)), chosen.shape[1])
    neighbours = sparse.csr_matrix((np.ones(chosen.size), (rows, chosen.ravel())), (cells.shape[0], train.shape[0]))
    summed = (neighbours @ train + cells).toarray().astype(float)
    return summed / summed.sum(axis=1, keepdims=True) * _depth(cells)[:, None]


def gaussian(train: sparse.csr_matrix, *cells: sparse.csr_matrix) -> Predictions:
    """The study's conditional Gaussian: each gene from those of the other folds, back from logarithms, rescaled."""
    from reproduce.imputers.gaussian import ConditionalGaussianImputer

    scale = float(np.median(_depth(train)))
    logs = log_normalised(train, scale).toarray()
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
    factors = target / np.maximum(found, 1e-12)
    others = [predicted(log_normalised(part, scale).toarray()) for part in cells]
    return {"": tuple(z * factors * _depth(part)[:, None] for z, part in zip(others, cells, strict=True))}


#: By what a rival was told, expected counts at the visible depth for each matrix of cells.
Predictions = dict[str, tuple[np.ndarray, ...]]
RIVAL_FUNCTIONS: dict[str, Callable[..., Predictions]] = {
    LIBRARY_MEAN: library_means,
    "knn_smoothing": knn_smoothing,
    "gaussian": gaussian,
}


def _by_rival(method: str, division: ThinnedDivision, held_out: float) -> tuple[list[np.ndarray], str]:
    """Held-out molecules expected in validation and test cells, and the settings that did best on the former's."""
    train, *cells = division.visible
    odds = held_out / (1.0 - held_out)
    truth = division.hidden[1].toarray().astype(float)
    means = [library_mean(train, part) for part in cells]
    best = None
    for name, predictions in RIVAL_FUNCTIONS[method](train, *cells).items():
        for weight in (0.0,) if method == LIBRARY_MEAN else MEAN_WEIGHTS:
            # nothing expected may be 0 where the mean is not
            mixed = [((1 - weight) * z + weight * mean) * odds for z, mean in zip(predictions, means, strict=True)]
            loss = deviance(truth, mixed[0])
            if best is None or loss < best[0]:
                said = [name] * bool(name) + [f"mean weight {weight:g}"] * (weight > 0)
                best = (loss, mixed, ", ".join(said))
    return best[1], best[2]


def _by_autoencoder(method: str, division: ThinnedDivision, held_out: float, seed: int, **training) -> list[np.ndarray]:
    from reproduce.single_cell.estimators import CountVAE

    training = {name: tuple(value) if isinstance(value, list) else value for name, value in training.items()}
    train, validation, test = division.visible
    estimator = CountVAE(method, random_state=seed, **training).fit(train, validation=validation)
    return [np.maximum(estimator.predict_held_out(part, held_out).astype(float), 1e-12) for part in (validation, test)]


def _depth(counts: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=float).ravel()
