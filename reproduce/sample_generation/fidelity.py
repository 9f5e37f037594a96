"""How artificial samples compare with held-out real ones; never trains a generator.

Three sets of samples, all standardised by the training samples' mean and deviation: *train* (what the generator saw),
*test* (real, held out) and *artificial*. Every score compares artificial with test samples, and says beside them what a
perfect generator gets.

| score | what it measures | perfect |
| --- | --- | --- |
| `ks` | largest difference of a gene's distribution functions, mean over genes | near 0 |
| `wasserstein` | area between them, in standard deviations, mean over genes | near 0 |
| `correlation_error` | mean absolute difference of gene-gene correlations within classes | near 0 |
| `mmd` | squared maximum mean discrepancy, unbiased (Gretton et al. 2012) | 0 |
| `classifier_auc` | a random forest's AUC in telling artificial from test samples (Lopez-Paz & Oquab 2017) | 0.5 |
| `density`, `coverage` | of Naeem et al. 2020 | 1; `perfect_coverage`, 31/32 for many of both |
| `distance_ratio` | median distance to the nearest training sample, over that of test samples | 1 |
| `closer_to_train` | share of artificial samples nearer to a training than to a test sample | 0.5 |
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist, pdist

from reproduce.errors import ConfigError

#: Of density and coverage, as its authors have it.
N_NEIGHBORS = 5
#: Scores, with what a perfect generator gets in the limit of many samples, as many artificial as test samples.
SCORES = {
    "ks": 0.0,
    "wasserstein": 0.0,
    "correlation_error": 0.0,
    "mmd": 0.0,
    "classifier_auc": 0.5,
    "density": 1.0,
    "coverage": 1.0 - 0.5**N_NEIGHBORS,
    "distance_ratio": 1.0,
    "closer_to_train": 0.5,
}
#: Samples whose distances give the kernel's width.
_WIDTH_SAMPLES = 1_000


def fidelity(
    train: np.ndarray,
    test: np.ndarray,
    artificial: np.ndarray,
    test_classes: np.ndarray,
    artificial_classes: np.ndarray,
    seed: int = 0,
    width: float | None = None,
) -> dict[str, float]:
    """All scores of this module.

    Parameters
    ----------
    train, test, artificial : ndarray (n_samples, n_genes)
        Standardised alike.
    test_classes, artificial_classes : ndarray of str (n_samples,)
    seed : int
        Of the classifier and of which samples are left out where numbers must be equal.
    width : float, optional
        Of the kernel of `mmd`; by default `kernel_width` of the training samples.

    Returns
    -------
    dict of float
        By `SCORES`, and "perfect_coverage".
    """
    ks, wasserstein = marginal_distances(test, artificial)
    density, coverage = density_and_coverage(test, artificial)
    return {
        "ks": float(ks.mean()),
        "wasserstein": float(wasserstein.mean()),
        "correlation_error": correlation_error(test, artificial, test_classes, artificial_classes),
        "mmd": squared_mmd(test, artificial, kernel_width(train) if width is None else width),
        "classifier_auc": classifier_auc(test, artificial, seed),
        "density": density,
        "coverage": coverage,
        "perfect_coverage": perfect_coverage(len(test), len(artificial)),
        **novelty(train, test, artificial, seed),
    }


def marginal_distances(real: np.ndarray, artificial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kolmogorov–Smirnov's and Wasserstein's distance of every gene.

    Returns
    -------
    ks : ndarray (n_genes,)
        0 to 1.
    wasserstein : ndarray (n_genes,)
        In the genes' unit.
    """
    values = np.vstack([real, artificial])
    steps = np.concatenate([np.full(len(real), 1.0 / len(real)), np.full(len(artificial), -1.0 / len(artificial))])
    order = np.argsort(values, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(values, order, axis=0), axis=0)
    difference = np.abs(np.cumsum(steps[order], axis=0)[:-1])
    # between equal values there is no room: the distribution functions jump there at once
    ks = np.where(gaps > 0, difference, 0.0).max(axis=0)
    return ks, (difference * gaps).sum(axis=0)


def correlation_error(
    real: np.ndarray, artificial: np.ndarray, real_classes: np.ndarray, artificial_classes: np.ndarray
) -> float:
    """Mean absolute difference of correlations between genes, after each class's mean is taken away.

    A gene without variance has correlation 0 with every other.
    """
    first, second = (
        _correlations(X, classes) for X, classes in ((real, real_classes), (artificial, artificial_classes))
    )
    pairs = np.triu_indices(real.shape[1], 1)
    return float(np.abs(first - second)[pairs].mean())


def _correlations(X: np.ndarray, classes: np.ndarray) -> np.ndarray:
    rest = np.array(X, dtype=float)
    for name in np.unique(classes):
        rest[classes == name] -= rest[classes == name].mean(axis=0)
    length = np.sqrt((rest**2).sum(axis=0))
    rest /= np.where(length > 1e-9, length, np.inf)
    return rest.T @ rest


def kernel_width(samples: np.ndarray) -> float:
    """Median distance between samples."""
    return float(np.median(pdist(samples[:_WIDTH_SAMPLES])))


def squared_mmd(real: np.ndarray, artificial: np.ndarray, width: float) -> float:
    """Unbiased estimate with the kernel exp(−d² / 2 width²); it is about 0, of either sign, for equal laws.

    Where both hold the classes in the same fixed numbers, it is a little below 0 for equal laws.
    """

    def mean_kernel(a: np.ndarray, b: np.ndarray | None = None) -> float:
        if b is None:
            return float(np.exp(-(pdist(a) ** 2) / (2.0 * width**2)).mean())
        return float(np.exp(-cdist(a, b, "sqeuclidean") / (2.0 * width**2)).mean())

    return mean_kernel(real) + mean_kernel(artificial) - 2.0 * mean_kernel(real, artificial)


def classifier_auc(real: np.ndarray, artificial: np.ndarray, seed: int = 0) -> float:
    """AUC of a random forest that tells the two apart, on samples that it was not fitted to (five folds).

    As many of each are taken as there are of the fewer.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    n = min(len(real), len(artificial))
    if n < 10:
        raise ConfigError(f"{n} samples are too few to tell artificial from real ones; give 10 of each at least.")
    rng = np.random.default_rng([seed, 2])
    X = np.vstack([rng.permutation(real)[:n], rng.permutation(artificial)[:n]])
    y = np.repeat([0, 1], n)
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=seed, n_jobs=1)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(roc_auc_score(y, cross_val_predict(forest, X, y, cv=folds, method="predict_proba")[:, 1]))


def density_and_coverage(
    real: np.ndarray, artificial: np.ndarray, n_neighbors: int = N_NEIGHBORS
) -> tuple[float, float]:
    """Of Naeem et al. 2020: each real sample has a ball that reaches to its k-th nearest real neighbour.

    Density counts in how many balls an artificial sample lies, over k; coverage is the share of balls that hold one.
    """
    if len(real) <= n_neighbors:
        raise ConfigError(f"{len(real)} real samples have no {n_neighbors} neighbours each; give more.")
    radius = np.partition(cdist(real, real), n_neighbors, axis=1)[:, n_neighbors]  # the nearest is the sample itself
    inside = cdist(real, artificial) < radius[:, None]
    return float(inside.sum() / (n_neighbors * len(artificial))), float(inside.any(axis=1).mean())


def perfect_coverage(n_real: int, n_artificial: int, n_neighbors: int = N_NEIGHBORS) -> float:
    r"""Expected coverage where real and artificial samples are of one law.

    A ball of the k-th neighbour is empty if the k samples nearest to its centre are all real. In one law all orders of
    the n − 1 other real and m artificial samples are equally likely, so that

    .. math:: 1 - \prod_{i<k} (n - 1 - i) / (n + m - 1 - i)
    """
    before = np.arange(n_neighbors)
    return float(1.0 - np.prod((n_real - 1.0 - before) / (n_real + n_artificial - 1.0 - before)))


def novelty(train: np.ndarray, test: np.ndarray, artificial: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Whether artificial samples lie nearer to what the generator saw than new real samples do.

    Returns
    -------
    dict
        "distance_ratio" and "closer_to_train"; the latter with as many training as test samples.
    """
    to_train, to_test = cdist(artificial, train), cdist(artificial, test)
    ratio = np.median(to_train.min(axis=1)) / np.median(cdist(test, train).min(axis=1))
    rng, n = np.random.default_rng([seed, 3]), min(len(train), len(test))
    a, b = (distances[:, rng.permutation(distances.shape[1])[:n]].min(axis=1) for distances in (to_train, to_test))
    return {"distance_ratio": float(ratio), "closer_to_train": float((a < b).mean() + 0.5 * (a == b).mean())}
