"""Communities of cells in their graph of nearest neighbours, by Louvain's method; never told how many there are.

Modularity of communities c in a graph with weights A, degrees k and 2m = Σ k, at resolution γ:

    Q = 1/2m Σ_ij (A_ij − γ k_i k_j / 2m) [c_i = c_j]

Blondel et al., Fast unfolding of communities in large networks, J. Stat. Mech. 2008: nodes move one by one to the
neighbouring community that gains most, until none gains; communities become the nodes of a smaller graph; again.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.neighbors import kneighbors_graph

#: A move must gain more than this share of all weight, so that rounding cannot make nodes move forever.
_LEAST_GAIN = 1e-12


def neighbour_graph(points: np.ndarray, n_neighbours: int) -> sparse.csr_matrix:
    """Symmetric graph in which two cells are joined by the share of nearest neighbours that they have in common.

    Parameters
    ----------
    points : ndarray (n_cells, n_dimensions)
    n_neighbours : int

    Returns
    -------
    CSR matrix (n_cells, n_cells)
        Jaccard indices of the cells' sets of neighbours, themselves included, where one is the other's neighbour.
    """
    near = kneighbors_graph(points, min(n_neighbours, len(points) - 1)) + sparse.eye_array(len(points))
    near = sparse.csr_matrix(near)
    joined = sparse.csr_matrix(near.maximum(near.T))
    common = sparse.coo_matrix((near @ near.T).multiply(joined))
    sizes = np.asarray(near.sum(axis=1)).ravel()
    weights = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    off = common.row != common.col
    return sparse.csr_matrix((weights[off], (common.row[off], common.col[off])), near.shape)


def louvain(graph: sparse.csr_matrix, *, resolution: float = 1.0, seed: int = 0) -> np.ndarray:
    """A community (0, 1, …) for each node.

    Parameters
    ----------
    graph : CSR matrix (n_nodes, n_nodes)
        Symmetric weights, none negative.
    resolution : float, default 1.0
        γ; the larger, the more communities.
    seed : int
        Of the order in which nodes are asked to move.
    """
    rng = np.random.default_rng(seed)
    membership = np.arange(graph.shape[0])
    while True:
        moved = _moved(graph, resolution, rng)
        if moved.max() + 1 == graph.shape[0]:
            return np.unique(membership, return_inverse=True)[1]
        membership = moved[membership]
        belongs = sparse.csr_matrix((np.ones(len(moved)), (np.arange(len(moved)), moved)))
        # weights within a community become its loop, which counts from both ends as it should in its degree
        graph = sparse.csr_matrix(belongs.T @ graph @ belongs)


def modularity(graph: sparse.csr_matrix, communities: np.ndarray, resolution: float = 1.0) -> float:
    """Q of the module's text."""
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    edges = sparse.coo_matrix(graph)
    within = edges.data[communities[edges.row] == communities[edges.col]].sum()
    totals = np.bincount(communities, weights=degrees)
    return float(within / degrees.sum() - resolution * (totals**2).sum() / degrees.sum() ** 2)


def _moved(graph: sparse.csr_matrix, resolution: float, rng: np.random.Generator) -> np.ndarray:
    """Communities after nodes have moved one by one until none gains, numbered 0, 1, …"""
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    total = degrees.sum()
    community, totals = np.arange(len(degrees)), degrees.copy()
    improved = total > 0
    while improved:
        improved = False
        for node in rng.permutation(len(degrees)):
            start, stop = graph.indptr[node], graph.indptr[node + 1]
            neighbours, weights = graph.indices[start:stop], graph.data[start:stop]
            others = neighbours != node
            old = community[node]
            totals[old] -= degrees[node]
            # staying is one of the choices, and the one taken between equals
            candidates, where = np.unique(np.append(community[neighbours[others]], old), return_inverse=True)
            links = np.bincount(where, weights=np.append(weights[others], 0.0))
            gains = links - resolution * degrees[node] * totals[candidates] / total
            best = int(np.argmax(gains))
            staying = gains[candidates == old][0]
            new = candidates[best] if gains[best] > staying + _LEAST_GAIN * total else old
            community[node] = new
            totals[new] += degrees[node]
            improved |= bool(new != old)
    return np.unique(community, return_inverse=True)[1]
