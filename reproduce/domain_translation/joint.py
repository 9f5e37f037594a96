"""Draws both layers of artificial samples at once, and asks whether the layers belong together; trains no translator.

A generator of the study of sample generation learns the joined, standardised layers [mRNA | methylation] of half of the
samples, by class. Beside that study's scores stand `usefulness`, the balanced accuracy on real test samples of a
classifier of artificial ones, and two that look at the bond of the layers only:

- `bond_error`: mean absolute difference, from the test samples', of correlations within classes between a feature of
  one layer and one of the other;
- `translation_r2`: R² on real test samples of a ridge regression from mRNA to methylation that was fitted to
  artificial pairs.

*Layers of different samples* gives real training samples whose methylation is another sample's of the same class: each
layer is perfect, and nothing but the class joins them. *Training samples* are the samples themselves.

Divisions count from 1: the networks' settings were chosen on division 0 of the TCGA patients, which is not scored.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
import pandas as pd

from reproduce.domain_translation.linear import RidgeTranslator
from reproduce.domain_translation.scoring import r2_of_features
from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.multiomics.paired import PairedOmics, divide
from reproduce.sample_generation.fidelity import fidelity
from reproduce.sample_generation.gans import ConditionalWGAN
from reproduce.sample_generation.generators import GaussianGenerator, SmoteGenerator, spread
from reproduce.sample_generation.usefulness import balanced_accuracy

COPIES, APART = "copies", "apart"
JOINT_METHODS = {
    "wgan_gp": "conditional WGAN-GP",
    "gaussian": "Gaussian a class",
    "smote": "SMOTE",
    COPIES: "training samples",
    APART: "layers of different samples",
}
#: Of each class, for testing.
TEST_SHARE = 0.5


def joint_runs(methods: Iterable[str], n_seeds: int, *, n_features: int, **network: int) -> list[Run]:
    """Each method on divisions by seeds 1, 2, …

    Parameters
    ----------
    methods : iterable of str
        Of `JOINT_METHODS`.
    n_seeds : int
    n_features : int
        The most variable of each layer; 0 for all.
    **network
        Parameters of the WGAN-GP.
    """
    methods = list(methods)
    if unknown := [method for method in methods if method not in JOINT_METHODS]:
        raise ConfigError(f"Unknown way to draw samples {unknown[0]!r}; known are {', '.join(JOINT_METHODS)}.")
    return [
        Run(
            joint_row,
            {"method": method, "seed": seed, "n_features": n_features} | (network if method == "wgan_gp" else {}),
        )
        for method in methods
        for seed in range(1, n_seeds + 1)
    ]


def joint_row(data: PairedOmics, *, method: str, seed: int, n_features: int, **network: int) -> pd.DataFrame:
    """All scores of one method on one division."""
    train, test = divide(data.clusters, seed, TEST_SHARE)
    n_mrna, joined = _joined(data, train, n_features)
    classes = data.clusters
    began = time.perf_counter()
    drawn, drawn_classes = _drawn(method, joined[train], classes[train], n_mrna, seed, **network)
    seconds = time.perf_counter() - began
    scores = fidelity(joined[train], joined[test], drawn, classes[test], drawn_classes, seed)
    scores["bond_error"] = bond_error(joined[test], drawn, classes[test], drawn_classes, n_mrna)
    scores["usefulness"] = balanced_accuracy(drawn, drawn_classes, joined[test], classes[test])
    scores["translation_r2"] = translation_r2(drawn, joined[test], n_mrna)
    about = {"method": method, "seed": seed, "n_features": joined.shape[1], "seconds": seconds}
    return pd.DataFrame([about | scores])


def bond_error(
    real: np.ndarray, drawn: np.ndarray, real_classes: np.ndarray, drawn_classes: np.ndarray, n_first: int
) -> float:
    """Mean absolute difference of correlations within classes between the first `n_first` features and the others."""
    one, other = (_bonds(X, of, n_first) for X, of in ((real, real_classes), (drawn, drawn_classes)))
    return float(np.abs(one - other).mean())


def translation_r2(drawn: np.ndarray, real: np.ndarray, n_first: int) -> float:
    """Mean R² over features on real samples of ridge regression fitted to drawn ones."""
    said = RidgeTranslator().fit(drawn[:, :n_first], drawn[:, n_first:]).translate(real[:, :n_first])
    # standardised by the training samples, whose mean is 0
    return float(np.nanmean(r2_of_features(real[:, n_first:], said, np.zeros(said.shape[1]))))


def _bonds(X: np.ndarray, classes: np.ndarray, n_first: int) -> np.ndarray:
    rest = np.array(X, dtype=float)
    for name in np.unique(classes):
        rest[classes == name] -= rest[classes == name].mean(axis=0)
    length = np.sqrt((rest**2).sum(axis=0))
    rest /= np.where(length > 1e-9, length, np.inf)
    return rest[:, :n_first].T @ rest[:, n_first:]


def _joined(data: PairedOmics, train: np.ndarray, n_features: int) -> tuple[int, np.ndarray]:
    """Number of mRNA features, and both layers standardised by the training samples."""
    parts = []
    for layer in ("mRNA", "methylation"):
        values = data.layer(layer).to_numpy(float)
        if n_features > 0:
            values = values[:, np.sort(np.argsort(-values[train].var(axis=0), kind="stable")[:n_features])]
        parts.append((values - values[train].mean(axis=0)) / spread(values[train]))
    return parts[0].shape[1], np.hstack(parts)


def _drawn(
    method: str, samples: np.ndarray, classes: np.ndarray, n_mrna: int, seed: int, **network: int
) -> tuple[np.ndarray, np.ndarray]:
    """As many artificial samples of each class as there are training samples."""
    if method == COPIES:
        return samples, classes
    if method == APART:
        rng, other = np.random.default_rng([seed, 5]), np.arange(len(classes))
        for name in np.unique(classes):
            members = np.flatnonzero(classes == name)
            # everybody gets the next one's, so that nobody keeps their own
            cycle = rng.permutation(members)
            other[cycle] = np.roll(cycle, 1)
        return np.hstack([samples[:, :n_mrna], samples[other, n_mrna:]]), classes
    generators = {
        "wgan_gp": lambda: ConditionalWGAN(random_state=seed, **network),
        "gaussian": GaussianGenerator,
        "smote": SmoteGenerator,
    }
    generator = generators[method]().fit(samples, classes)
    drawn, of = generator.sample(len(classes), classes, random_state=seed)
    return drawn.to_numpy(float), of
