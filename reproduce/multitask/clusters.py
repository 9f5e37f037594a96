"""Divides genes into clusters of equal size; never looks at anything but their velocities."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from reproduce.errors import ConfigError

#: Assignments after which Lloyd's iterations stop at the latest.
_MOST_ITERATIONS = 100


def balanced_kmeans(
    points: np.ndarray, n_clusters: int, *, n_restarts: int = 10, random_state: int | None = 0
) -> np.ndarray:
    """k-means whose clusters differ in size by one at most.

    Lloyd's iterations in which the assignment, like the means, is exact: to assign n points at the least squared
    distances with ⌊n/k⌋ or ⌈n/k⌉ points a cluster is a linear assignment problem, since points must fill all
    "compulsory" places (⌊n/k⌋ a cluster) and may take one "optional" place a cluster, dummies those left empty. It is
    solved by `scipy.optimize.linear_sum_assignment`, in O(n³): made for hundreds of genes. (The package
    k-means-constrained solves the same problem as a flow with OR-tools, which is larger than all that it would do
    here.) The best of `n_restarts` starts from points drawn at random is taken.

    Parameters
    ----------
    points : ndarray (n_points, n_dimensions)
        Finite.
    n_clusters : int
    n_restarts : int, default 10
    random_state : int or None, default 0

    Returns
    -------
    ndarray of int (n_points,)
        Clusters in the order of their first points.

    Raises
    ------
    ConfigError
        For more clusters than points, or fewer than one.
    """
    if not 1 <= n_clusters <= len(points):
        raise ConfigError(f"n_clusters is {n_clusters}; give 1 to {len(points)}, the number of points.")
    rng = np.random.default_rng(random_state)
    best = None
    for _ in range(n_restarts if n_clusters > 1 else 1):
        labels, cost = _lloyd(points, points[rng.choice(len(points), n_clusters, replace=False)])
        if best is None or cost < best[1] - 1e-12:
            best = (labels, cost)
    _, first, labels = np.unique(best[0], return_index=True, return_inverse=True)
    return first.argsort().argsort()[labels]


def velocity_profiles(velocity: np.ndarray) -> np.ndarray:
    """Genes as points: velocities over cells, standardised gene by gene, 0 (the mean) where there is none.

    Parameters
    ----------
    velocity : ndarray (n_cells, n_genes)
        NaN where a gene has none.

    Returns
    -------
    ndarray (n_genes, n_cells)
    """
    values = np.asarray(velocity, float)
    deviation = np.nanstd(values, axis=0)
    scaled = (values - np.nanmean(values, axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return np.nan_to_num(scaled, nan=0.0).T


def _lloyd(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    previous = None
    for _ in range(_MOST_ITERATIONS):
        distances = ((points**2).sum(1)[:, None] - 2 * points @ centres.T) + (centres**2).sum(1)
        labels = assign_balanced(distances)
        if previous is not None and (labels == previous).all():
            break
        centres = np.stack([points[labels == k].mean(axis=0) for k in range(len(centres))])
        previous = labels
    return labels, float(((points - centres[labels]) ** 2).sum())


def assign_balanced(costs: np.ndarray) -> np.ndarray:
    """The assignment of least total cost in which cluster sizes differ by one at most.

    Parameters
    ----------
    costs : ndarray (n_points, n_clusters)

    Returns
    -------
    ndarray of int (n_points,)
    """
    n_points, n_clusters = costs.shape
    compulsory = n_points // n_clusters
    owners = np.concatenate([np.repeat(np.arange(n_clusters), compulsory), np.arange(n_clusters)])
    n_dummies = len(owners) - n_points
    # a dummy in a compulsory place costs more than any assignment of points can save
    forbidden = 1.0 + 2.0 * n_points * np.abs(costs).max()
    dummies = np.zeros((n_dummies, len(owners)))
    dummies[:, : n_clusters * compulsory] = forbidden
    rows, places = linear_sum_assignment(np.vstack([costs[:, owners], dummies]))
    return owners[places[np.argsort(rows)][:n_points]]
