"""Clusters of cells by auto-encoders and by what they must beat, and their agreement with labels; never draws them.

Every method is told how many kinds of cell there are and sees all cells but no label. Auto-encoders are trained on the
seed's training cells, stopped by its validation cells, and applied to all.

Leiden's and Louvain's communities need a graph library that this project does not depend on; spectral clustering of
the graph of nearest neighbours, of scikit-learn, stands in their place.
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
from reproduce.single_cell.counts import CountData, log_normalised
from reproduce.single_cell.grid import fitted

#: Methods by name: what a reader calls them.
CLUSTERINGS = {
    "gmvae": "GMVAE",
    "vae_kmeans": "VAE + k-means",
    "pca_kmeans": "PCA + k-means",
    "spectral": "neighbour graph, spectral",
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
    """Agreement of one method's clusters with the labels: ARI and NMI, 0 by chance (ARI) and 1 at most."""
    clusters = clusters_of(data, method, seed, **training)
    known = data.labels != ""
    return pd.DataFrame({
        "method": [method],
        "seed": seed,
        "ari": adjusted_rand_score(data.labels[known], clusters[known]),
        "nmi": normalized_mutual_info_score(data.labels[known], clusters[known]),
        "n_clusters": len(set(clusters)),
        "n_cells": int(known.sum()),
    })  # fmt: skip


def clusters_of(data: CountData, method: str, seed: int, **training: object) -> np.ndarray:
    """A cluster for each cell.

    Raises
    ------
    ConfigError
        For counts without labels: there is no telling how many clusters to ask for.
    """
    k = data.n_labels
    if k < 2:
        raise ConfigError(f"Counts {data.name!r} have {k} kinds of cell; clusters need labels of two kinds at least.")
    if method == "gmvae":
        return fitted(data, seed, "gmvae", n_components=k, **training).predict(data.counts)
    if method == "spectral":
        graph = SpectralClustering(
            k, affinity="nearest_neighbors", n_neighbors=N_NEIGHBOURS, assign_labels="kmeans", random_state=seed
        )
        return graph.fit_predict(principal_components(data, seed))
    if method == "pca_kmeans":
        points = principal_components(data, seed)
    else:
        points = fitted(data, seed, "vae", **training).transform(data.counts)
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
    """Two coordinates, the label and the cluster of every cell."""
    more = {"n_components": max(data.n_labels, 2)} if model == "gmvae" else {}
    estimator = fitted(data, 0, model, **more, **training)
    points = estimator.transform(data.counts)
    if model == "gmvae":
        clusters = estimator.predict(data.counts)
    else:
        clusters = KMeans(max(data.n_labels, 2), n_init=10, random_state=0).fit_predict(points)
    x, y = projected(points, projection).T
    rows = {"model": model, "projection": projection, "x": x, "y": y, "cluster": clusters}
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
