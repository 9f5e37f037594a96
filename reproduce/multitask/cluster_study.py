"""Whether clusters of genes are found where they are known, and what they are worth; never draws them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.multitask.simulator import Simulation
from reproduce.multitask.study import NETWORKS, divided, r2_rows, trained

#: Which genes are trained together: clusters found by their velocities, modules as simulated, all genes.
CLUSTERS = ("found", "true", "one")


def cluster_runs(
    n_seeds: int,
    cells_per_gene: Iterable[int],
    simulation: Mapping[str, object],
    first_seed: int = 0,
    **training: object,
) -> list[Run]:
    """Every way to divide genes, number of cells, and seed.

    Parameters
    ----------
    n_seeds : int
    cells_per_gene : iterable of int
    simulation : mapping
        Parameters of `Simulation`, with several modules.
    first_seed : int, default 0
    **training
        `penalty`, `l1`, `n_steps`, `batch_size`, `learning_rate`.
    """
    return [
        Run(
            cluster_rows,
            {"clusters": name, "seed": seed, "cells_per_gene": n, "simulation": dict(simulation), **training},
        )
        for n in cells_per_gene
        for name in CLUSTERS
        for seed in range(first_seed, first_seed + n_seeds)
    ]


def cluster_rows(
    *,
    clusters: str,
    seed: int,
    cells_per_gene: int,
    simulation: Mapping[str, object],
    penalty: float,
    l1: float,
    **training: object,
) -> pd.DataFrame:
    """Mean R² over genes ("r2"), and of clusters that are found the adjusted Rand index with the modules ("rand").

    Returns
    -------
    DataFrame
        Columns metric, value, clusters, cells_per_gene, seed.

    Raises
    ------
    ConfigError
        For an unknown way to divide genes.
    """
    if clusters not in CLUSTERS:
        raise ConfigError(f"Unknown clusters {clusters!r}; known are {', '.join(CLUSTERS)}.")
    train, test, known = divided(None, simulation, cells_per_gene, seed)
    n_modules = Simulation(**simulation).n_modules
    parameters = NETWORKS["trace_norm"] | {"penalty": penalty, "l1": l1, "random_state": seed}
    predicted = np.zeros_like(test.velocity)
    scores = {}
    groups = [np.flatnonzero(train.modules == module) for module in range(n_modules)]
    for genes in groups if clusters == "true" else [np.arange(len(train.genes))]:
        together = -(-len(genes) // n_modules) if clusters == "found" else 0
        model = trained(train.some_genes(genes), parameters, genes_per_cluster=together, **training)
        predicted[:, genes] = model.predict(test.some_genes(genes))
    if clusters == "found":
        scores["rand"] = adjusted_rand_score(train.modules, model.labels_)
    rows = r2_rows(known, test, predicted)
    scores["r2"] = rows.loc[rows["tissue"] == "", "value"].mean()
    about = {"clusters": clusters, "cells_per_gene": cells_per_gene, "seed": seed}
    return pd.DataFrame({"metric": list(scores), "value": list(scores.values())}).assign(**about)
