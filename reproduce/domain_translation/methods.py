"""Every translator of the study by name, and what it says of both layers after one call; never a score."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from reproduce.domain_translation.autoencoders import UNALIGNED, AlignedAutoencoders
from reproduce.domain_translation.contract import Translator
from reproduce.domain_translation.imputing import ImputingTranslator
from reproduce.domain_translation.linear import MeanTranslator, PLSTranslator, RidgeTranslator
from reproduce.domain_translation.neighbours import NeighbourTranslator
from reproduce.domain_translation.perceptron import PerceptronTranslator
from reproduce.errors import ConfigError

METHODS = {
    "mean": "mean of the target",
    "ridge": "ridge regression",
    "pls": "partial least squares",
    "knn": "k nearest neighbours",
    "knn_imputer": "k-NN imputer, as in the main study",
    "gaussian": "conditional Gaussian, as in the main study",
    "low_rank": "low-rank Gaussian, chosen for a hidden layer",
    "perceptron": "multi-layer perceptron",
    "unaligned": "auto-encoders, not aligned",
    "aligned": "aligned auto-encoders",
}
#: Those that are trained, with a seed of their own.
NETWORKS = ("perceptron", "unaligned", "aligned")
#: Those that learn from samples of one layer, too.
READ_UNPAIRED = ("unaligned", "aligned")
#: Ways to tie the two auto-encoders. Those with a plus have one thing more than the one before. The strong
#: discriminator is trained for all epochs: held-out pairs, which decide when others stop, say nothing of it.
TIED = {
    "nothing": UNALIGNED,
    "discriminator": UNALIGNED | {"discriminator_weight": 0.03},
    "strong discriminator": UNALIGNED | {"discriminator_weight": 1.0, "validation_fraction": 0.0},
    "+ latents of pairs": UNALIGNED | {"discriminator_weight": 0.03, "latent_weight": 0.1},
    "+ crossed reconstruction": {},
    "the same, no discriminator": {"discriminator_weight": 0.0},
    "+ classes": {"class_weight": 0.1},
}
#: What is compared with what, so that each contrast is one change.
TIE_CONTRASTS = (
    ("discriminator", "nothing"),
    ("strong discriminator", "nothing"),
    ("+ latents of pairs", "discriminator"),
    ("+ crossed reconstruction", "+ latents of pairs"),
    ("+ crossed reconstruction", "the same, no discriminator"),
    ("+ classes", "+ crossed reconstruction"),
)
FORWARD, BACK = "mRNA → methylation", "methylation → mRNA"
#: Source and target layer.
DIRECTIONS = {FORWARD: ("mRNA", "methylation"), BACK: ("methylation", "mRNA")}


@dataclass(frozen=True)
class Samples:
    """Positions of samples by what a translator may see of them.

    Attributes
    ----------
    pairs : ndarray of int
        Both layers.
    test : ndarray of int
        One layer, when it is asked for the other.
    mRNA_only, methylation_only : ndarray of int
        One layer, in fitting, for translators that read it.
    """

    pairs: np.ndarray
    test: np.ndarray
    mRNA_only: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    methylation_only: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @property
    def n_unpaired(self) -> int:
        """Samples of one layer in fitting."""
        return len(self.mRNA_only) + len(self.methylation_only)


def known_method(name: str) -> str:
    """The name itself.

    Raises
    ------
    ConfigError
        For a method that there is not.
    """
    if name not in METHODS:
        raise ConfigError(f"Unknown translator {name!r}; known are {', '.join(METHODS)}.")
    return name


def known_methods(names: Iterable[str]) -> list[str]:
    """The names, each checked by `known_method`."""
    return [known_method(name) for name in names]


def made(method: str, seed: int, **network: object) -> Translator:
    """A translator that is not fitted.

    Parameters
    ----------
    method : str
        Of `METHODS`.
    seed : int
        Of networks and of what is held out.
    **network
        Parameters of networks; others do without. `latent_size` and the weights are of auto-encoders only.
    """
    network = {name: tuple(value) if isinstance(value, list) else value for name, value in network.items()}
    match known_method(method):
        case "mean":
            return MeanTranslator()
        case "ridge":
            return RidgeTranslator()
        case "pls":
            return PLSTranslator()
        case "knn":
            return NeighbourTranslator()
        case "gaussian" | "low_rank":
            return ImputingTranslator(method, random_state=seed)
        case "knn_imputer":
            return ImputingTranslator("knn", random_state=seed)
        case "perceptron":
            network.pop("latent_size", None)
            return PerceptronTranslator(random_state=seed, **network)
        case "unaligned":
            return AlignedAutoencoders(random_state=seed, **(UNALIGNED | network))
        case _:
            return AlignedAutoencoders(random_state=seed, **network)


def translated(
    method: str,
    layers: dict[str, pd.DataFrame],
    samples: Samples,
    seed: int,
    clusters: np.ndarray | None = None,
    **network: object,
) -> dict[str, tuple[pd.DataFrame, float]]:
    """What a method says of the test samples, and the seconds of fitting and translating, by direction.

    A method that translates both ways is fitted once, and each direction is charged half of that.

    Parameters
    ----------
    method : str
    layers : dict of DataFrame
        "mRNA" and "methylation", samples × features.
    samples : Samples
    seed : int
    clusters : ndarray of str, optional
        Of all samples; those of the pairs are given to `fit`.
    **network
        As of `made`.

    Returns
    -------
    dict of str to (DataFrame, float)
        By `DIRECTIONS`.
    """
    translator = made(method, seed, **network)
    classes = None if clusters is None else clusters[samples.pairs]
    if translator.both_ways:
        began = time.perf_counter()
        more = {}
        if samples.n_unpaired and translator.reads_unpaired:
            more["unpaired_source"] = layers["mRNA"].iloc[samples.mRNA_only]
            more["unpaired_target"] = layers["methylation"].iloc[samples.methylation_only]
        translator.fit(*_pairs(layers, FORWARD, samples), classes, **more)
        there = translator.translate(layers["mRNA"].iloc[samples.test])
        back = translator.translate_back(layers["methylation"].iloc[samples.test])
        seconds = (time.perf_counter() - began) / 2
        return {FORWARD: (there, seconds), BACK: (back, seconds)}
    found = {}
    for direction, (source, _) in DIRECTIONS.items():
        began = time.perf_counter()
        translator.fit(*_pairs(layers, direction, samples), classes)
        said = translator.translate(layers[source].iloc[samples.test])
        found[direction] = (said, time.perf_counter() - began)
    return found


def _pairs(layers: dict[str, pd.DataFrame], direction: str, samples: Samples) -> tuple[pd.DataFrame, pd.DataFrame]:
    source, target = DIRECTIONS[direction]
    return layers[source].iloc[samples.pairs], layers[target].iloc[samples.pairs]
