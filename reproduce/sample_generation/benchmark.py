"""Runs of the study of artificial samples: generators against references, on real data or simulated; draws nothing.

Divisions count from 1: the networks' settings were chosen on division 0 of the TCGA patients, which is not scored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.multiomics.paired import PairedOmics, divide
from reproduce.multiomics.simulator import simulated_omics
from reproduce.sample_generation.fidelity import fidelity, kernel_width
from reproduce.sample_generation.gans import ClassGAN, ConditionalWGAN
from reproduce.sample_generation.generators import GaussianGenerator, SampleGenerator, SmoteGenerator, spread
from reproduce.sample_generation.usefulness import balanced_accuracy, made_rare

GENERATORS: dict[str, Callable[..., SampleGenerator]] = {
    "gaussian": GaussianGenerator,
    "smote": SmoteGenerator,
    "gan": ClassGAN,
    "gan_gp": partial(ClassGAN, penalty=10.0, critic_steps=3),
    "wgan_gp": ConditionalWGAN,
}
#: What needs no generator: the training samples as they are, and with each gene shuffled within its class.
COPIES, SHUFFLED = "copies", "shuffled"
REFERENCES = (COPIES, SHUFFLED)
#: Ways to meet a rare class without a generator.
NOTHING, WEIGHTS, REPEATS, ALL_REAL = "nothing", "weights", "repeats", "all_real"
REMEDIES = (NOTHING, WEIGHTS, REPEATS, ALL_REAL)
NETWORKS = ("gan", "gan_gp", "wgan_gp")
#: Where the law is known: other samples of it.
LAW = "law"
#: Simulated samples that are compared with as many artificial ones.
N_COMPARED = 500
#: Others of the law that choose its features, scale them and give the kernel's width, whatever the training samples.
N_REFERENCE = 2_000


# --- fidelity ---


def fidelity_runs(
    methods: Iterable[str],
    n_seeds: int,
    n_seeds_networks: int,
    *,
    layer: str,
    n_features: int,
    epochs: int,
    hidden_units: int,
) -> list[Run]:
    """Each method on divisions of the samples by seeds 1, 2, …; networks on the first `n_seeds_networks` of them."""
    shared = {"layer": layer, "n_features": n_features}
    return [
        Run(fidelity_row, {"method": method, "seed": seed, **shared, **_budget(method, epochs, hidden_units)})
        for method in _known(methods, (*GENERATORS, *REFERENCES))
        for seed in _seeds(method, n_seeds, n_seeds_networks)
    ]


def fidelity_row(
    data: PairedOmics, *, method: str, seed: int, layer: str, n_features: int, **parameters: int
) -> pd.DataFrame:
    """All scores of one method on one division: half of each class trains, half is compared with."""
    halves = _Halves(data, seed, layer, n_features)
    began = time.perf_counter()
    artificial, classes = _drawn(method, halves.train, halves.train_classes, seed, parameters)
    seconds = time.perf_counter() - began
    test = (halves.test, halves.test_classes)
    scores = fidelity(halves.train, halves.test, artificial, halves.test_classes, classes, seed)
    scores["balanced_accuracy"] = balanced_accuracy(artificial, classes, *test)
    sizes = {"n_train": len(halves.train), "n_test": len(halves.test), "n_features": halves.train.shape[1]}
    smallest = int(np.unique(halves.train_classes, return_counts=True)[1].min())
    row = {"method": method, "seed": seed, **sizes, "smallest_class": smallest, "seconds": seconds, **scores}
    return pd.DataFrame([row])


def map_runs(methods: Sequence[str], *, layer: str, n_features: int, epochs: int, hidden_units: int) -> list[Run]:
    """Samples of each method of one division on the plane of the real ones."""
    shared = {"seed": 1, "layer": layer, "n_features": n_features}
    return [
        Run(map_rows, {"method": method, **shared, **_budget(method, epochs, hidden_units)})
        for method in _known(methods, (*GENERATORS, *REFERENCES))
    ]


def map_rows(
    data: PairedOmics, *, method: str, seed: int, layer: str, n_features: int, **parameters: int
) -> pd.DataFrame:
    """Test and artificial samples on the training samples' first two principal components.

    Returns
    -------
    DataFrame
        One row a sample: method, part ("test" or "artificial"), class, x, y, and the shares of variance of the two.
    """
    halves = _Halves(data, seed, layer, n_features)
    artificial, classes = _drawn(method, halves.train, halves.train_classes, seed, parameters)
    _, values, axes = np.linalg.svd(halves.train - halves.train.mean(axis=0), full_matrices=False)
    shares = values[:2] ** 2 / (values**2).sum()
    parts = [
        pd.DataFrame(X @ axes[:2].T, columns=["x", "y"]).assign(part=part, **{"class": of})
        for part, X, of in (("test", halves.test, halves.test_classes), ("artificial", artificial, classes))
    ]
    return pd.concat(parts, ignore_index=True).assign(method=method, x_share=shares[0], y_share=shares[1])


# --- how many samples ---


def size_runs(
    methods: Iterable[str],
    sizes: Iterable[int],
    n_seeds: int,
    n_seeds_networks: int,
    *,
    n_clusters: int,
    n_features: int,
    epochs: int,
    hidden_units: int,
) -> list[Run]:
    """Each method on simulated training sets of several sizes, drawn by seeds 1, 2, …; networks on the first ones."""
    shared = {"n_clusters": n_clusters, "n_features": n_features}
    return [
        Run(
            size_row,
            {"method": method, "n_train": int(n), "seed": seed, **shared, **_budget(method, epochs, hidden_units)},
        )
        for method in _known(methods, (*GENERATORS, *REFERENCES, LAW))
        for n in sizes
        for seed in _seeds(method, n_seeds, n_seeds_networks)
    ]


def size_row(
    *, method: str, n_train: int, seed: int, n_clusters: int, n_features: int, **parameters: int
) -> pd.DataFrame:
    """Scores of one method that learned from `n_train` simulated mRNA samples, against others of the same law.

    Units, features, kernel and a seed's test samples are the same whatever the number of training samples, so that
    scores of different sizes differ by what was learned alone.
    """
    # seed 0 is the reference's; test, spare and training samples of a seed have each their own
    numbers = {"reference": (N_REFERENCE, 0), "test": (N_COMPARED, 3 * seed), "spare": (N_COMPARED, 3 * seed + 1),
               "train": (n_train, 3 * seed + 2)}  # fmt: skip
    drawn = {part: simulated_omics(n, n_clusters, seed=own) for part, (n, own) in numbers.items()}
    reference = _Scale(drawn["reference"].layer("mRNA").to_numpy(float), n_features)
    X = {part: reference.of(data.layer("mRNA").to_numpy(float)) for part, data in drawn.items()}
    began = time.perf_counter()
    if method == LAW:
        artificial, classes = X["spare"], drawn["spare"].clusters
    else:
        artificial, classes = _drawn(method, X["train"], drawn["train"].clusters, seed, parameters, n=N_COMPARED)
    seconds = time.perf_counter() - began
    width = kernel_width(X["reference"])
    scores = fidelity(X["train"], X["test"], artificial, drawn["test"].clusters, classes, seed, width)
    sizes = {"n_train": n_train, "n_clusters": n_clusters, "n_features": artificial.shape[1]}
    return pd.DataFrame([{"method": method, "seed": seed, **sizes, "seconds": seconds, **scores}])


# --- a rare class ---


def rare_runs(
    methods: Iterable[str],
    n_seeds: int,
    n_seeds_networks: int,
    *,
    frequent: str,
    rare: str,
    ratio: int,
    layer: str,
    n_features: int,
    epochs: int,
    hidden_units: int,
) -> list[Run]:
    """Each remedy for a class of 1 : `ratio`, on divisions by seeds 1, 2, …; networks on the first ones."""
    shared = {"frequent": frequent, "rare": rare, "ratio": ratio, "layer": layer, "n_features": n_features}
    return [
        Run(rare_row, {"method": method, "seed": seed, **shared, **_budget(method, epochs, hidden_units)})
        for method in _known(methods, (*GENERATORS, *REMEDIES))
        for seed in _seeds(method, n_seeds, n_seeds_networks)
    ]


def rare_row(
    data: PairedOmics,
    *,
    method: str,
    seed: int,
    frequent: str,
    rare: str,
    ratio: int,
    layer: str,
    n_features: int,
    **parameters: int,
) -> pd.DataFrame:
    """Balanced accuracy on real test samples of a classifier that met the rare class by one remedy.

    Samples of the rare class that are put aside choose and scale no feature either, but where all are used.
    """
    data = data.rows(np.flatnonzero(np.isin(data.clusters, [frequent, rare])))
    train, _ = divide(data.clusters, seed)
    kept = train[made_rare(data.clusters[train], frequent, rare, ratio, seed)]
    halves = _Halves(data, seed, layer, n_features, seen=train if method == ALL_REAL else kept)
    X, y = halves.train, halves.train_classes
    n_frequent = int((data.clusters[kept] == frequent).sum())
    n_rare = len(kept) - n_frequent
    missing = n_frequent - n_rare
    began = time.perf_counter()
    if method == REPEATS:
        again = np.random.default_rng([seed, 21]).choice(np.flatnonzero(y == rare), missing)
        X, y = np.vstack([X, X[again]]), np.concatenate([y, y[again]])
    elif method in GENERATORS:
        generator = _generator(method, seed, parameters).fit(X, y)
        more, of = generator.sample(missing, rare, random_state=seed)
        X, y = np.vstack([X, more]), np.concatenate([y, of])
    seconds = time.perf_counter() - began
    weighted = method in (WEIGHTS, ALL_REAL)
    # one sum of weights for all remedies: more rows alone must not weaken the classifier's penalty
    score = balanced_accuracy(X, y, halves.test, halves.test_classes, weighted=weighted, total=len(kept))
    return pd.DataFrame([{
        "method": method, "seed": seed, "frequent": frequent, "rare": rare, "ratio": ratio, "n_rare": n_rare,
        "n_frequent": n_frequent, "seconds": seconds, "balanced_accuracy": score,
    }])  # fmt: skip


def two_most_frequent(data: PairedOmics) -> tuple[str, str]:
    """The two largest classes, the largest first."""
    names, counts = np.unique(data.clusters, return_counts=True)
    if len(names) < 2:
        raise ConfigError(f"{data.name} has one class, {names[0]}; a rare class needs another beside it.")
    return tuple(str(name) for name in names[np.argsort(-counts, kind="stable")[:2]])


# --- what they share ---


class _Halves:
    """A division: the most variable features of the training samples, standardised by them.

    Parameters
    ----------
    data : PairedOmics
    seed : int
    layer : str
    n_features : int
        0: all.
    seen : ndarray of int, optional
        Positions of the training samples, if not all of the training half are.

    Attributes
    ----------
    train, test : ndarray (n_samples, n_features)
    train_classes, test_classes : ndarray of str
    """

    def __init__(self, data: PairedOmics, seed: int, layer: str, n_features: int, seen: np.ndarray | None = None):
        values, classes = data.layer(layer).to_numpy(float), data.clusters
        train, test = divide(classes, seed)
        train = train if seen is None else seen
        scale = _Scale(values[train], n_features)
        self.train, self.test = scale.of(values[train]), scale.of(values[test])
        self.train_classes, self.test_classes = classes[train], classes[test]


class _Scale:
    """The features of the largest variance among some samples (0: all), and the standardisation by these samples."""

    def __init__(self, values: np.ndarray, n_features: int):
        order = np.argsort(-values.var(axis=0), kind="stable")
        self.features = np.sort(order[:n_features] if n_features > 0 else order)
        chosen = values[:, self.features]
        self.center, self.spread = chosen.mean(axis=0), spread(chosen)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Standardised features of samples."""
        return (values[:, self.features] - self.center) / self.spread


def _drawn(
    method: str, X: np.ndarray, y: np.ndarray, seed: int, parameters: dict, n: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As many samples of each class as there were to learn from, or `n` in their shares."""
    if method in REFERENCES:
        made = X if method == COPIES else _shuffled(X, y, np.random.default_rng([seed, 22]))
        kept = np.random.default_rng([seed, 23]).permutation(len(y))[:n]
        return made[kept], y[kept]
    generator = _generator(method, seed, parameters).fit(X, y)
    artificial, classes = generator.sample(n or len(y), None if n else y, random_state=seed)
    return artificial.to_numpy(), classes


def _shuffled(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled = np.empty_like(X)
    for name in np.unique(y):
        shuffled[y == name] = rng.permuted(X[y == name], axis=0)
    return shuffled


def _generator(method: str, seed: int, parameters: dict) -> SampleGenerator:
    return GENERATORS[method](**parameters, **({"random_state": seed} if method in NETWORKS else {}))


def _seeds(method: str, n_seeds: int, n_seeds_networks: int) -> range:
    return range(1, (min(n_seeds, n_seeds_networks) if method in NETWORKS else n_seeds) + 1)


def _budget(method: str, epochs: int, hidden_units: int) -> dict[str, int]:
    return {"epochs": epochs, "hidden_units": hidden_units} if method in NETWORKS else {}


def _known(methods: Iterable[str], known: Sequence[str]) -> list[str]:
    methods = list(methods)
    if unknown := [method for method in methods if method not in known]:
        raise ConfigError(f"Unknown method {unknown[0]!r}; there are {', '.join(known)}.")
    return methods
