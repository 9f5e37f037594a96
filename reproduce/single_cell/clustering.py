"""Clusters of cells by auto-encoders and by what they must beat, and their agreement with labels; never draws them.

Every method sees the same cells and no label: for each seed the training cells of a division, which it learns from and
divides into clusters. Seeds therefore differ in cells as well as in starts, for every method. All are told how many
kinds of cell there are, but for Louvain's communities, which find a number of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.single_cell.communities import louvain, neighbour_graph
from reproduce.single_cell.counts import CountData, divide, log_normalised
from reproduce.single_cell.grid import DIVERGED, DONE, N_DRAWS, fitted

#: Methods by name: what a reader calls them.
CLUSTERINGS = {
    "gmvae": "GMVAE",
    "vae_kmeans": "VAE + k-means",
    "pca_kmeans": "PCA + k-means",
    "spectral": "neighbour graph, spectral",
    "louvain": "neighbour graph, Louvain",
}
PROJECTIONS = ("umap", "tsne", "pca")
N_COMPONENTS, N_NEIGHBOURS = 20, 15


def principal_components(data: CountData, seed: int, n: int = N_COMPONENTS) -> np.ndarray:
    """The first components of log counts at the median library size (n_cells, n), from the sparse matrix."""
    n = min(n, min(data.counts.shape) - 1)
    return PCA(n, random_state=seed, svd_solver="arpack").fit_transform(log_normalised(data.counts))


def cluster_runs(methods: Iterable[str], n_seeds: int, **training: object) -> list[Run]:
    """Each method for seeds 0, 1, …: of the division of cells, of starting weights, of k-means' starts.

    Raises
    ------
    ConfigError
        For a method that is not in `CLUSTERINGS`.
    """
    methods = list(methods)
    if unknown := [method for method in methods if method not in CLUSTERINGS]:
        raise ConfigError(f"Unknown clustering {unknown[0]!r}; known are {', '.join(CLUSTERINGS)}.")
    return [
        # what does not train must not be run again when the training changes
        Run(cluster_rows, {"method": method, "seed": seed, **(training if "vae" in method else {})})
        for method in methods
        for seed in range(n_seeds)
    ]


def cluster_rows(data: CountData, *, method: str, seed: int, **training: object) -> pd.DataFrame:
    """Agreement of one method's clusters of the seed's training cells with the labels, and its ELBO of the test cells.

    ARI is 0 by chance; ARI and NMI are 1 at most; what is no auto-encoder has no ELBO.
    """
    from reproduce.single_cell.training import DivergedError

    about = {"counts": [data.name], "method": method, "seed": seed}
    try:
        clusters, elbo = clusters_of(data, method, seed, **training)
    except DivergedError:
        return pd.DataFrame(about | {"status": DIVERGED})
    labels = data.labels[divide(len(data.cells), seed)[0]]
    known = labels != ""
    return pd.DataFrame(about | {
        "status": DONE,
        "ari": adjusted_rand_score(labels[known], clusters[known]),
        "nmi": normalized_mutual_info_score(labels[known], clusters[known]),
        "test_elbo": elbo,
        "n_clusters": len(set(clusters)),
        "n_cells": int(known.sum()),
    })  # fmt: skip


def clusters_of(data: CountData, method: str, seed: int, **training: object) -> tuple[np.ndarray, float]:
    """A cluster for each of the seed's training cells, and the mean ELBO of the test cells (NaN without a model).

    Raises
    ------
    ConfigError
        For counts without labels: there is no telling how many clusters to ask for.
    """
    k = data.n_labels
    if k < 2:
        raise ConfigError(f"Counts {data.name!r} have {k} kinds of cell; clusters need labels of two kinds at least.")
    train, _, test = divide(len(data.cells), seed)
    if method in ("gmvae", "vae_kmeans"):
        mixture = method == "gmvae"
        more = {"n_components": k} if mixture else {}
        estimator = fitted(data, seed, "gmvae" if mixture else "vae", **more, **training)
        cells = data.counts[train]
        clusters = estimator.predict(cells) if mixture else _k_means(estimator.transform(cells), k, seed)
        return clusters, estimator.score(data.counts[test], n_draws=N_DRAWS)
    points = principal_components(data.rows(train), seed)
    if method == "louvain":
        clusters = louvain(neighbour_graph(points, N_NEIGHBOURS), seed=seed)
    elif method == "spectral":
        clusters = SpectralClustering(
            k, affinity="nearest_neighbors", n_neighbors=N_NEIGHBOURS, assign_labels="kmeans", random_state=seed
        ).fit_predict(points)
    else:
        clusters = _k_means(points, k, seed)
    return clusters, float("nan")


def _k_means(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    return KMeans(k, n_init=10, random_state=seed).fit_predict(points)


def map_runs(projection: str, **training: object) -> list[Run]:
    """A plane of the latent spaces of VAE and GMVAE, of seed 0.

    Raises
    ------
    ConfigError
        For a projection that is not in `PROJECTIONS`.
    """
    if projection not in PROJECTIONS:
        raise ConfigError(f"Unknown projection {projection!r}; known are {', '.join(PROJECTIONS)}.")
    return [Run(map_rows, {"model": model, "projection": projection, **training}) for model in ("vae", "gmvae")]


def map_rows(data: CountData, *, model: str, projection: str, **training: object) -> pd.DataFrame:
    """Two coordinates, the label and the cluster of every cell; one row without them if training diverged."""
    from reproduce.single_cell.training import DivergedError

    about = {"counts": data.name, "model": model, "projection": projection}
    k = max(data.n_labels, 2)
    try:
        estimator = fitted(data, 0, model, **({"n_components": k} if model == "gmvae" else {}), **training)
    except DivergedError:
        return pd.DataFrame([about | {"status": DIVERGED}])
    points = estimator.transform(data.counts)
    clusters = estimator.predict(data.counts) if model == "gmvae" else _k_means(points, k, 0)
    x, y = projected(points, projection).T
    rows = about | {"status": DONE, "x": x, "y": y, "cluster": clusters}
    return pd.DataFrame(rows).assign(label=np.where(data.labels == "", "unlabelled", data.labels))


def projected(points: np.ndarray, projection: str) -> np.ndarray:
    """Two dimensions (n_cells, 2) of many; points as they are where there are two."""
    if points.shape[1] <= 2:
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    if projection == "umap":
        from umap import UMAP

        return UMAP(n_components=2, random_state=0, n_jobs=1).fit_transform(points)
    if projection == "tsne":
        from sklearn.manifold import TSNE

        return TSNE(2, random_state=0, perplexity=min(30, len(points) // 4)).fit_transform(points)
    return PCA(2).fit_transform(points)
