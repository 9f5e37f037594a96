"""Trains auto-encoders for a search, a comparison of likelihoods and a test of parametrisations; never draws them.

A training that diverges is a row like any other, with `status` "diverged" and no score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.single_cell.counts import CountData, divide
from reproduce.single_cell.estimators import CountAutoencoder, CountGMVAE, CountVAE
from reproduce.single_cell.likelihoods import LIKELIHOODS

MODELS = {"vae": CountVAE, "gmvae": CountGMVAE}
#: The auto-encoder as it is first written down: rates exp(a), raw counts in, zero biases, nothing normalised.
PLAIN = {"rates": "exponential", "inputs": "counts", "start": "zero", "layer_normalization": False}
#: The plain form, with each single change alone, and with all (bounds have nothing left to do for shares).
PARAMETRISATIONS = {
    "plain": PLAIN,
    "library-size shares": PLAIN | {"rates": "share"},
    "log counts in": PLAIN | {"inputs": "log1p"},
    "bounded log λ": PLAIN | {"rates": "bounded"},
    "layer normalisation": PLAIN | {"layer_normalization": True},
    "start at the mean profile": PLAIN | {"start": "profile"},
    "all together": {"rates": "share", "inputs": "log1p", "start": "profile", "layer_normalization": True},
}
DONE, DIVERGED = "done", "diverged"
#: Draws of the latent behind the importance-weighted bound of test cells.
N_DRAWS = 10
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
    from reproduce.single_cell.training import DivergedError

    about = {"counts": [data.name], **_layout_of(parameters), "seed": seed}
    try:
        estimator = fitted(data, seed, **parameters)
    except DivergedError as error:
        return pd.DataFrame(about | {"status": DIVERGED, "epoch": len(error.history)})
    last = estimator.history_.iloc[estimator.best_epoch_ - 1]
    return pd.DataFrame(about | {
        "status": DONE,
        "epoch": estimator.best_epoch_,
        "n_weights": sum(weight.size for weight in estimator.weights_),
        "elbo": last["elbo"],
        "validation_elbo": last["validation_elbo"],
        "seconds": last["seconds"],
    })  # fmt: skip


def best_layouts(grid: pd.DataFrame) -> dict[str, dict[str, object]]:
    """For each likelihood the layout of the highest validation ELBO, as parameters; none where all diverged."""
    done = grid[grid["status"] == DONE]
    best = done.loc[done.groupby("likelihood", sort=False)["validation_elbo"].idxmax()]
    return {row.likelihood: _as_parameters(row.hidden_units, row.latent_size) for row in best.itertuples()}


def shared_layout(grid: pd.DataFrame) -> dict[str, object]:
    """The layout of the best mean rank over likelihoods, the higher sum of validation ELBOs deciding between equals.

    Raises
    ------
    ConfigError
        If no layout was trained to a number with every likelihood.
    """
    layouts = grid.assign(layout=list(zip(grid["hidden_units"].astype(str), grid["latent_size"], strict=True)))
    table = layouts[layouts["status"] == DONE].pivot_table(
        index="layout", columns="likelihood", values="validation_elbo"
    )
    table = table.dropna() if table.shape[1] == grid["likelihood"].nunique() else table.iloc[:0]
    if table.empty:
        raise ConfigError("No layout of the search could be trained with every likelihood; lower learning_rate_counts.")
    order = pd.DataFrame({"rank": table.rank(ascending=False).mean(axis=1), "less": -table.sum(axis=1)})
    return _as_parameters(*order.sort_values(["rank", "less"]).index[0])


def _layout_of(parameters: Mapping[str, object]) -> dict[str, object]:
    """The columns that tell layouts and likelihoods apart."""
    return {
        "likelihood": parameters["likelihood"],
        "hidden_units": "-".join(map(str, parameters["hidden_units"])),
        "latent_size": parameters["latent_size"],
    }


def _as_parameters(hidden_units: object, latent_size: object) -> dict[str, object]:
    widths = [int(width) for width in str(hidden_units).split("-")]
    return {"hidden_units": widths, "latent_size": int(latent_size)}


# --- likelihoods ---


def likelihood_runs(grid: pd.DataFrame, n_seeds: int, *, own: bool = True, **training: object) -> list[Run]:
    """Each likelihood with the layout that all share, for divisions of the cells by seeds 0, 1, …

    Parameters
    ----------
    grid : DataFrame
        Rows of `grid_row`.
    n_seeds : int
    own : bool, default True
        Whether each likelihood is also trained with its own best layout. Where that is the shared one, nothing is
        trained twice.
    **training
        Parameters that all share.
    """
    shared, best = shared_layout(grid), best_layouts(grid)
    runs = []
    for law in (law for law in LIKELIHOODS if law in best):
        layouts = [shared] if not own or best[law] == shared else [shared, best[law]]
        for layout in layouts:
            arguments = {
                "likelihood": law,
                **layout,
                **training,
                "shared": layout == shared,
                "own": layout == best[law],
            }
            runs += [Run(likelihood_rows, arguments | {"seed": seed}) for seed in range(n_seeds)]
    return runs


def likelihood_rows(
    data: CountData, *, seed: int, shared: bool = True, own: bool = True, **parameters: object
) -> pd.DataFrame:
    """Every epoch's ELBO (parts "train" and "validation"), and that of the test cells in the end (part "test").

    `shared` and `own` say whose layout this is, the one of all likelihoods or this one's best, and stand in the rows.
    """
    from reproduce.single_cell.training import DivergedError

    try:
        estimator = fitted(data, seed, **parameters)
        history, status = estimator.history_, DONE
    except DivergedError as error:
        history, status = error.history.replace([np.inf, -np.inf], np.nan), DIVERGED
    train = history[list(_EPOCH)].assign(part="train")
    validation = pd.DataFrame({
        "epoch": history["epoch"],
        "elbo": history["validation_elbo"],
        "reconstruction": history["validation_reconstruction"],
        "latent_divergence": history["validation_divergence"],
        "part": "validation",
    })  # fmt: skip
    test = pd.DataFrame({"part": ["test"], "epoch": len(history), "seconds": history["seconds"].iloc[-1]})
    if status == DONE:
        scores = estimator.score_cells(data.counts[divide(len(data.cells), seed)[2]], n_draws=N_DRAWS).mean()
        test = test.assign(epoch=estimator.best_epoch_, **scores[[*_EPOCH[1:], "importance"]])
    about = {"counts": data.name, **_layout_of(parameters), "shared": shared, "own": own, "seed": seed}
    return pd.concat([train, validation, test], ignore_index=True).assign(**about, status=status)


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
    """Sums of rates and of counts, the largest log rate and bounds, epoch by epoch; NaN from where training diverged.

    Epoch 0 is the start, before any step. A sum of rates that overflows is infinite.
    """
    from reproduce.single_cell.training import DivergedError

    parameters = PARAMETRISATIONS[parametrisation] | training
    train = data.counts[divide(len(data.cells), seed)[0]]
    start = CountVAE(random_state=seed, **_listed(parameters)).untrained(train).score_cells(train, n_draws=1)
    first = {"epoch": 0, "rate_sum": start["rate_sum"].mean(), "count_sum": train.sum() / train.shape[0]}
    first["largest_log_rate"] = start["largest_log_rate"].max()
    try:
        history, status = fitted(data, seed, **parameters).history_, DONE
    except DivergedError as error:
        history, status = error.history, DIVERGED
    columns = [*first, "elbo", "validation_elbo", "validation_composition"]
    rows = pd.concat([pd.DataFrame([first]), history[columns]], ignore_index=True)
    bounds = ["elbo", "validation_elbo", "validation_composition"]
    rows[bounds] = rows[bounds].replace([np.inf, -np.inf], np.nan)
    return rows.assign(counts=data.name, parametrisation=parametrisation, seed=seed, status=status)


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
