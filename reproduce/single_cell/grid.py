"""Trains auto-encoders for a search, a comparison of likelihoods and a test of parametrisations; never draws them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from reproduce.experiments.runs import Run
from reproduce.single_cell.counts import CountData, divide
from reproduce.single_cell.estimators import CountAutoencoder, CountGMVAE, CountVAE
from reproduce.single_cell.likelihoods import LIKELIHOODS

MODELS = {"vae": CountVAE, "gmvae": CountGMVAE}
#: Ways to make rates of a decoder's outputs a, each with one thing more than the one before.
PARAMETRISATIONS = {
    "exp(a), counts in": {"rates": "exponential", "inputs": "counts", "start": "zero", "layer_normalization": False},
    "exp(a), log counts in": {"rates": "exponential", "start": "zero", "layer_normalization": False},
    "n · softmax(a)": {"rates": "share", "start": "zero", "layer_normalization": False},
    "n · softmax(a), mean profile": {"rates": "share", "start": "profile", "layer_normalization": False},
    "the same, normalised layers": {"rates": "share", "start": "profile"},
}
_EPOCH = ("epoch", "elbo", "reconstruction", "latent_divergence", "class_divergence")


def fitted(data: CountData, seed: int, model: str = "vae", **parameters: object) -> CountAutoencoder:
    """An auto-encoder trained on the seed's training cells, stopped by its validation cells."""
    train, validation, _ = divide(len(data.cells), seed)
    estimator = MODELS[model](random_state=seed, **_listed(parameters))
    return estimator.fit(data.counts[train], validation=data.counts[validation])


# --- the search ---


def grid_runs(
    hidden_units: Iterable[Sequence[int]], latent_sizes: Iterable[int], likelihoods: Iterable[str], **training: object
) -> list[Run]:
    """One training for each layout and likelihood, of the same division of cells.

    Parameters
    ----------
    hidden_units : iterable of sequences of int
    latent_sizes : iterable of int
    likelihoods : iterable of str
    **training
        Parameters that all share.
    """
    layouts = [(list(units), size, law) for units in hidden_units for size in latent_sizes for law in likelihoods]
    names = ("hidden_units", "latent_size", "likelihood")
    return [Run(grid_row, dict(zip(names, layout, strict=True)) | training) for layout in layouts]


def grid_row(data: CountData, *, seed: int = 0, **parameters: object) -> pd.DataFrame:
    """The validation ELBO of one layout."""
    estimator = fitted(data, seed, **parameters)
    last = estimator.history_.iloc[estimator.best_epoch_ - 1]
    return pd.DataFrame({
        "likelihood": [estimator.likelihood],
        "hidden_units": ["-".join(map(str, estimator.hidden_units))],
        "latent_size": estimator.latent_size,
        "seed": seed,
        "epoch": estimator.best_epoch_,
        "n_weights": sum(weight.size for weight in estimator.weights_),
        "elbo": last["elbo"],
        "validation_elbo": last["validation_elbo"],
        "seconds": last["seconds"],
    })  # fmt: skip


def best_layouts(grid: pd.DataFrame) -> dict[str, dict[str, object]]:
    """For each likelihood the layout of the highest validation ELBO, as parameters."""
    best = grid.loc[grid.groupby("likelihood", sort=False)["validation_elbo"].idxmax()]
    return {
        row.likelihood: {
            "hidden_units": [int(width) for width in str(row.hidden_units).split("-")],
            "latent_size": int(row.latent_size),
        }
        for row in best.itertuples()
    }


# --- likelihoods ---


def likelihood_runs(layouts: Mapping[str, Mapping[str, object]], n_seeds: int, **training: object) -> list[Run]:
    """Each likelihood by its own best layout, for divisions of the cells by seeds 0, 1, …"""
    return [
        Run(likelihood_rows, {"likelihood": law, **layouts[law], **training, "seed": seed})
        for law in LIKELIHOODS
        if law in layouts
        for seed in range(n_seeds)
    ]


def likelihood_rows(data: CountData, *, seed: int, **parameters: object) -> pd.DataFrame:
    """Every epoch's ELBO (parts "train" and "validation"), and that of the test cells in the end (part "test")."""
    estimator = fitted(data, seed, **parameters)
    history = estimator.history_
    train = history[list(_EPOCH)].assign(part="train")
    validation = pd.DataFrame({
        "epoch": history["epoch"],
        "elbo": history["validation_elbo"],
        "reconstruction": history["validation_reconstruction"],
        "latent_divergence": history["validation_divergence"],
        "part": "validation",
    })  # fmt: skip
    scores = estimator.score_cells(data.counts[divide(len(data.cells), seed)[2]]).mean()
    test = scores[[*_EPOCH[1:], "importance"]].to_frame().T.assign(epoch=estimator.best_epoch_, part="test")
    test["seconds"] = history["seconds"].iloc[-1]
    return pd.concat([train, validation, test], ignore_index=True).assign(likelihood=estimator.likelihood, seed=seed)


# --- parametrisations ---


def rate_runs(parametrisations: Iterable[str], n_seeds: int, **training: object) -> list[Run]:
    """The Poisson auto-encoder with each of `PARAMETRISATIONS` named, without early stopping."""
    training = {"likelihood": "poisson", "patience": None, **training}
    return [
        Run(rate_rows, {"parametrisation": name, "seed": seed, **training})
        for name in parametrisations
        for seed in range(n_seeds)
    ]


def rate_rows(data: CountData, *, parametrisation: str, seed: int, **training: object) -> pd.DataFrame:
    """Sums of rates and of counts in each epoch, means over cells, and the ELBO; NaN from where training diverged."""
    from reproduce.single_cell.training import DivergedError

    try:
        history = fitted(data, seed, **PARAMETRISATIONS[parametrisation], **training).history_
    except DivergedError as error:
        history = error.history
    columns = ["epoch", "rate_sum", "count_sum", "elbo", "validation_elbo"]
    rows = history[columns].replace([np.inf, -np.inf], np.nan)
    return rows.assign(parametrisation=parametrisation, seed=seed, epochs_asked=training["epochs"])


# --- a law that is known ---


def known_rates_rows(
    *, n_cells: int, n_rates: int, latent_size: int, hidden_units: Sequence[int], seed: int, **training: object
) -> pd.DataFrame:
    """A Poisson auto-encoder of cells whose genes are Poisson with rates 1, 2, …: rates found, and every epoch.

    Genes do not depend on each other, so there is nothing for the latent to hold: its divergence should fall to 0.
    """
    truth = np.arange(1, n_rates + 1)
    rng = np.random.default_rng(seed)
    counts, fresh = (rng.poisson(truth, (n_cells, n_rates)) for _ in range(2))
    keep = {"rates": "exponential", "start": "zero", "validation_fraction": 0.0}  # the law has no library size
    estimator = CountVAE(
        "poisson",
        latent_size=latent_size,
        hidden_units=tuple(hidden_units),
        random_state=seed,
        **_listed(keep | training),
    )
    found = estimator.fit(counts).reconstruct(fresh)
    genes = pd.DataFrame({
        "part": "gene",
        "gene": truth,
        "truth": truth,
        "rate": found.mean(axis=0),
        "rate_sd": found.std(axis=0),
        "sample_mean": counts.mean(axis=0),
        "sample_error": counts.std(axis=0, ddof=1) / np.sqrt(n_cells),
    })  # fmt: skip
    epochs = estimator.history_[[*_EPOCH]].assign(part="epoch")
    return pd.concat([genes, epochs], ignore_index=True).assign(seed=seed)


def _listed(parameters: Mapping[str, object]) -> dict[str, object]:
    """Lists, which JSON has, as the tuples that estimators take."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
