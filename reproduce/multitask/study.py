"""Fits every method on divided cells for comparisons, learning curves and sweeps of the penalty; never draws them.

A *setting* is what a method's user must choose: `l1` and, for the trace norm, `penalty`. Networks choose theirs among a
few by holding out a fourth of their training cells, and are then trained on all of them; lasso and ridge choose by
cross-validation of the same cells. Test cells choose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.multitask.data import TEST_FRACTION, VelocityData, divide, sample_velocities
from reproduce.multitask.estimators import MultitaskVelocity
from reproduce.multitask.rivals import PerGene
from reproduce.multitask.simulator import Simulation, simulate
from reproduce.multitask.sources import available_dentate, load_velocities

#: Networks by what their genes share, as parameters of `MultitaskVelocity`.
NETWORKS = {
    "trace_norm": {"start": "common"},
    "trace_norm_own": {"start": "own"},
    "single_task": {"start": "own", "penalty": 0.0},
    "single_task_common": {"start": "common", "penalty": 0.0},
    "shared_hidden": {"start": "common", "penalty": 0.0, "shared": "hidden"},
    "shared": {"start": "common", "penalty": 0.0, "shared": "everything"},
}
RIVALS = ("lasso", "ridge", "forest")
#: Learns nothing: ranks factors by their mean activity at the gene, what any method is told of regulation beforehand.
HINT = "activity"
METHODS = (*NETWORKS, *RIVALS, HINT)
#: Share of simulated cells that are scored: cells cost nothing, so more than `TEST_FRACTION`.
SIMULATED_TEST_FRACTION = 0.5
#: Share of training cells by which networks choose their settings.
_CHOICE_FRACTION = 0.25
#: Of the precision of the first k factors.
_LARGEST_K = 10


def comparison_runs(
    methods: Iterable[str],
    n_seeds: int,
    cells_per_gene: Iterable[int],
    settings: Mapping[str, Sequence[Mapping[str, float]]],
    simulations: Iterable[Mapping[str, object]] | None = None,
    first_seed: int = 0,
    **training: object,
) -> list[Run]:
    """Every method for every simulation (or the one set of real cells), number of cells a gene, and seed.

    Parameters
    ----------
    methods : iterable of str
        Of `METHODS`.
    n_seeds : int
        Data sets drawn from each simulation, or divisions of real cells.
    cells_per_gene : iterable of int
        Training cells of a gene; 0: all.
    settings : mapping
        For each network the settings to choose among.
    simulations : iterable of mappings, optional
        Parameters of `Simulation`; None: the runs get real cells.
    first_seed : int, default 0
    **training
        `n_steps`, `batch_size`, `learning_rate`, `genes_per_cluster`, `features`.

    Raises
    ------
    ConfigError
        For an unknown method, or a network without settings.
    """
    methods = list(methods)
    if unknown := [name for name in methods if name not in METHODS]:
        raise ConfigError(f"Unknown method {unknown[0]!r}; known are {', '.join(METHODS)}.")
    if absent := [name for name in methods if name in NETWORKS and not settings.get(name)]:
        raise ConfigError(f"No settings for {absent[0]!r}; give one at least.")
    if HINT in methods and simulations is None:
        raise ConfigError(f"{HINT!r} is scored by known regulation only; leave it out for real cells.")
    drawn = [None] if simulations is None else [dict(simulation) for simulation in simulations]
    return [
        Run(
            score_rows,
            {
                "method": method,
                "seed": seed,
                "cells_per_gene": n_cells,
                "simulation": simulation,
                "settings": [dict(setting) for setting in settings.get(method, [])],
                **training,
            },
        )
        for simulation in drawn
        for n_cells in cells_per_gene
        for method in methods
        for seed in range(first_seed, first_seed + n_seeds)
    ]


def simulations_of(relatedness: Iterable[float], **shared: object) -> list[dict[str, object]]:
    """Parameters of simulations that differ in relatedness only."""
    return [{"relatedness": float(value), **shared} for value in relatedness]


def real_rows(
    sources: Iterable[str],
    run_all: Callable[..., pd.DataFrame],
    name: str,
    *,
    least_cells: int = 0,
    **comparison: object,
) -> pd.DataFrame:
    """Comparisons on real cells, one source after the other.

    Parameters
    ----------
    sources : iterable of str
        As of `reproduce.multitask.sources`; "auto" among them: the sets of dentate gyrus whose files are there.
    run_all : callable
        `reproduce.experiments.runs.run_all` with its folder.
    name : str
        What kept runs' files begin with.
    least_cells : int, default 0
        Genes with a velocity in more cells are taken.
    **comparison
        As of `comparison_runs`.

    Returns
    -------
    DataFrame
        As of `score_rows`, with columns source and what; empty without sources.
    """
    parts = [pd.DataFrame(columns=["source", "what", "method", "seed", "metric", "gene", "tissue", "value"])]
    named = [name for source in sources for name in (available_dentate() if source == "auto" else [source])]
    for source in named:
        data = load_velocities(source).measured(least_cells)
        several = data.activities is not None and len(data.tissue_names) > 1
        runs = comparison_runs(**comparison, features="all" if several else "expression")
        rows = run_all(runs, data, name=f"{name}-{Path(source).stem}")
        what = f"{data.source}; {len(data.genes)} genes, {len(data.factors)} factors"
        parts.append(rows.assign(source=Path(source).stem, what=what))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def score_rows(
    data: VelocityData | None = None,
    *,
    method: str,
    seed: int,
    cells_per_gene: int,
    simulation: Mapping[str, object] | None,
    settings: Sequence[Mapping[str, float]],
    features: str = "all",
    **training: object,
) -> pd.DataFrame:
    """R² of each gene, overall (tissue "") and within tissues, and for simulated cells the precision of the first k.

    R² refers to the mean velocity of all training cells, also those that are not in a gene's sample; within a tissue to
    theirs there. With "precision" comes "chance" (k 0): the share of factors that regulate a gene.

    Returns
    -------
    DataFrame
        Columns method, relatedness, cells_per_gene, seed, metric, gene, tissue, k, value, ceiling (R² of the velocity
        without noise), setting, seconds.
    """
    train, test, known = divided(data, simulation, cells_per_gene, seed)
    about = {
        "method": method,
        "relatedness": np.nan if simulation is None else Simulation(**simulation).relatedness,
        "cells_per_gene": cells_per_gene,
        "seed": seed,
    }
    if method == HINT:
        return _precision_rows(train.activities[0].mean(axis=0).T, train).assign(**about, setting="", epochs=0)
    if method in RIVALS:
        chosen, model = {}, PerGene(method, features=features, random_state=seed).fit(train)
    else:
        shared = NETWORKS[method] | {"features": features, "random_state": seed}
        chosen = _chosen(train, settings, seed, shared, training)
        model = trained(train, shared | chosen, **training)
    rows = r2_rows(known, test, model.predict(test))
    if train.simulated:
        rows = pd.concat([rows, _precision_rows(model.importances_, train)], ignore_index=True)
    history = getattr(model, "histories_", None)
    about |= {
        "setting": " ".join(f"{name}={value:g}" for name, value in chosen.items()),
        "epochs": 0 if history is None else len(history[0]),
    }
    return rows.assign(**about)


def sweep_runs(
    penalties: Iterable[float],
    n_seeds: int,
    simulations: Iterable[Mapping[str, object]],
    first_seed: int = 0,
    **training: object,
) -> list[Run]:
    """The trace norm with each penalty λ, all else equal: R² and the spectrum of the stacked weights."""
    return [
        Run(sweep_rows, {"penalty": penalty, "seed": seed, "simulation": dict(simulation), **training})
        for simulation in simulations
        for penalty in penalties
        for seed in range(first_seed, first_seed + n_seeds)
    ]


def sweep_rows(
    *, penalty: float, seed: int, simulation: Mapping[str, object], cells_per_gene: int, l1: float, **training: object
) -> pd.DataFrame:
    """Mean R² (metric "r2"), and singular values of the first hidden layer and of the regulation simulated, by rank k,
    each in relation to the root of the sum of their squares (metrics "true_spectrum" and "spectrum", the latter of the
    weights less those that training started from).
    """
    train, test, known = divided(None, simulation, cells_per_gene, seed)
    model = trained(train, NETWORKS["trace_norm"] | {"penalty": penalty, "l1": l1, "random_state": seed}, **training)
    rows = r2_rows(known, test, model.predict(test))
    found = {
        "spectrum": model.singular_values(1, since_start=True)[0],
        "true_spectrum": np.linalg.svd(train.regulation, compute_uv=False),
    }
    tables = [pd.DataFrame({"metric": ["r2"], "k": 0, "value": rows.loc[rows["tissue"] == "", "value"].mean()})]
    for name, values in found.items():
        relative = values / max(np.sqrt((values**2).sum()), 1e-30)
        tables.append(pd.DataFrame({"metric": name, "k": np.arange(1, len(values) + 1), "value": relative}))
    relatedness = Simulation(**simulation).relatedness
    return pd.concat(tables, ignore_index=True).assign(penalty=penalty, seed=seed, relatedness=relatedness)


# --- steps ---


def divided(
    data: VelocityData | None, simulation: Mapping[str, object] | None, cells_per_gene: int, seed: int
) -> tuple[VelocityData, VelocityData, VelocityData]:
    """Training cells with velocities sampled gene by gene, test cells, and the training cells with all velocities.

    Raises
    ------
    ConfigError
        If neither or both of real cells and a simulation are given, or the simulation has too few cells.
    """
    if (data is None) == (simulation is None):
        raise ConfigError("Give either cells or a simulation to draw them from.")
    if data is None:
        data = simulate(Simulation(**simulation), seed)
    train, test = divide(data, seed, SIMULATED_TEST_FRACTION if data.simulated else TEST_FRACTION)
    if cells_per_gene > len(train) and data.simulated:
        raise ConfigError(f"{cells_per_gene} cells a gene are asked for, {len(train)} are simulated for training.")
    known = data.rows(train)
    return replace(known, velocity=sample_velocities(known.velocity, cells_per_gene, seed)), data.rows(test), known


def _chosen(train, settings, seed, shared, training) -> dict[str, float]:
    """The setting with the least squared error on a fourth of the training cells, in units of each gene's variance."""
    if len(settings) == 1:
        return dict(settings[0])
    held = np.random.default_rng([seed, 12]).random(len(train.cells)) < _CHOICE_FRACTION
    fitted, rest = train.rows(np.flatnonzero(~held)), train.rows(np.flatnonzero(held))
    scale = np.nanvar(fitted.velocity, axis=0)
    errors = []
    for setting in settings:
        squares = (trained(fitted, shared | dict(setting), **training).predict(rest) - rest.velocity) ** 2
        errors.append(np.nanmean(squares / scale))
    return dict(settings[int(np.argmin(errors))])


def trained(
    train: VelocityData,
    parameters: Mapping[str, object],
    *,
    n_steps: int,
    batch_size: int,
    learning_rate: float,
    genes_per_cluster: int = 0,
) -> MultitaskVelocity:
    """Trained for about `n_steps` steps, so that few cells do not mean little training; 0 genes a cluster: all."""
    most = int(np.isfinite(train.velocity).sum(axis=0).max())
    epochs = max(1, round(n_steps / -(-most // min(batch_size, most))))
    n_clusters = -(-len(train.genes) // genes_per_cluster) if genes_per_cluster else 1
    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "n_clusters": n_clusters}
    return MultitaskVelocity(**parameters, **settings).fit(train)


def r2_rows(known: VelocityData, test: VelocityData, predicted: np.ndarray) -> pd.DataFrame:
    """R² of each gene over all test cells and within tissues, in reference to the mean of the `known` training cells.

    Returns
    -------
    DataFrame
        Columns metric ("r2"), gene, tissue, k (0), value, ceiling.
    """
    tissues = {"": np.ones(len(test.cells), bool)}
    if len(test.tissue_names) > 1:
        tissues |= {name: test.tissues == k for k, name in enumerate(test.tissue_names)}
    overall, parts = np.nanmean(known.velocity, axis=0), []
    for name, here in tissues.items():
        reference = overall
        if name:
            there = known.velocity[known.tissues == list(known.tissue_names).index(name)]
            finite = np.isfinite(there)
            # the overall mean where the gene has no velocity in the tissue
            sums = np.where(finite, there, 0.0).sum(axis=0)
            reference = np.where(finite.any(axis=0), sums / np.maximum(finite.sum(axis=0), 1), overall)
        truth = test.velocity[here].astype(float)
        total = np.nansum((truth - reference) ** 2, axis=0)
        values = {"value": 1.0 - np.nansum((predicted[here] - truth) ** 2, axis=0) / total, "ceiling": np.nan}
        if test.truth is not None:
            values["ceiling"] = 1.0 - np.nansum((test.truth[here] - truth) ** 2, axis=0) / total
        parts.append(pd.DataFrame({"metric": "r2", "gene": test.genes, "tissue": name, "k": 0, **values}))
    return pd.concat(parts, ignore_index=True)


def _precision_rows(importances: np.ndarray, data: VelocityData) -> pd.DataFrame:
    """Of the k most important factors of a gene, the share that regulates it; mean over genes."""
    order = np.argsort(-importances, axis=1, kind="stable")[:, :_LARGEST_K]
    hits = np.take_along_axis(data.regulation.T != 0, order, axis=1)
    k = np.arange(1, order.shape[1] + 1)
    found = pd.DataFrame({"metric": "precision", "k": k, "value": hits.cumsum(1).mean(0) / k})
    chance = pd.DataFrame({"metric": ["chance"], "k": [0], "value": [(data.regulation != 0).mean()]})
    return pd.concat([found, chance], ignore_index=True).assign(gene="", tissue="")
