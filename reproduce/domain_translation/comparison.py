"""Runs that are kept: translators compared on divisions of real samples and on a law that is known; never draws them.

A division leaves a fifth of each class for testing. The test samples decide nothing: penalties, numbers of components
and neighbours, ranks and the end of training are chosen among the training pairs, and so are the most variable features
where not all are taken. Divisions count from 1, as in the study of sample generation: what a network's settings were
tried on before is not scored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from reproduce.domain_translation.methods import (
    DIRECTIONS,
    FORWARD,
    NETWORKS,
    READ_UNPAIRED,
    TIED,
    Samples,
    known_method,
    known_methods,
    translated,
)
from reproduce.domain_translation.scoring import (
    ClassJudge,
    correlation_of_features,
    excess_error,
    r2_of_features,
)
from reproduce.errors import ConfigError
from reproduce.experiments.runs import Run
from reproduce.multiomics.paired import PairedOmics, divide, m_to_beta

#: Of each class, for testing.
TEST_SHARE = 0.2
#: Ways to translate mRNA into beta-values: method, its parameters, and the unit that it works in.
LAW_ARMS = {
    "ridge, M-values": ("ridge", {}, "M-value"),
    "ridge, beta-values": ("ridge", {}, "beta-value"),
    "aligned auto-encoders, Gaussian, M-values": ("aligned", {}, "M-value"),
    "aligned auto-encoders, Gaussian, beta-values": ("aligned", {}, "beta-value"),
    "aligned auto-encoders, Beta": ("aligned", {"target_law": "beta"}, "beta-value"),
}


def layers_of(data: PairedOmics, train: np.ndarray, n_features: int = 0) -> dict[str, pd.DataFrame]:
    """mRNA and methylation, with the features that vary most among training samples; 0: all."""
    layers = {layer: data.layer(layer) for layer in ("mRNA", "methylation")}
    if n_features <= 0:
        return layers
    return {layer: table.iloc[:, _most_variable(table.iloc[train], n_features)] for layer, table in layers.items()}


def _most_variable(table: pd.DataFrame, n: int) -> np.ndarray:
    return np.sort(np.argsort(-table.to_numpy(float).var(axis=0), kind="stable")[:n])


def _seeds(n_seeds: int) -> range:
    """Divisions or draws: the first is 1."""
    return range(1, n_seeds + 1)


# --- the comparison ---


def translation_runs(
    methods: Iterable[str],
    n_seeds: int,
    *,
    n_feature_seeds: int,
    features_of: Iterable[str],
    n_features: int = 0,
    **network: object,
) -> list[Run]:
    """Each method for divisions by seeds 1, 2, …

    Parameters
    ----------
    methods : iterable of str
        Of `reproduce.domain_translation.methods.METHODS`.
    n_seeds : int
    n_feature_seeds : int
        The first this many divisions also give a row for each feature.
    features_of : iterable of str
        Methods that give them.
    n_features : int, default 0
        The most variable of each layer among the training samples; 0 for all.
    **network
        Parameters of networks.
    """
    features_of = known_methods(features_of)
    return [
        Run(
            translation_rows,
            {
                "method": method,
                "seed": seed,
                "by_feature": method in features_of and seed <= n_feature_seeds,
                "n_features": n_features,
                **(network if method in NETWORKS else {}),
            },
        )
        for method in known_methods(methods)
        for seed in _seeds(n_seeds)
    ]


def translation_rows(
    data: PairedOmics, *, method: str, seed: int, by_feature: bool = False, n_features: int = 0, **network: object
) -> pd.DataFrame:
    """Scores of one method in both directions (level "overall"), and where asked for of each feature."""
    train, test = divide(data.clusters, seed, TEST_SHARE)
    layers, samples = layers_of(data, train, n_features), Samples(train, test)
    found = translated(method, layers, samples, seed, **network)
    parts = []
    for direction, (said, seconds) in found.items():
        scores = _scores(layers, direction, samples, said)
        overall = _overall(scores) | _class_scores(data.clusters, layers, direction, samples, said)
        parts.append(pd.DataFrame([overall | {"level": "overall", "direction": direction, "seconds": seconds}]))
        if by_feature:
            parts.append(scores.assign(level="feature", direction=direction))
    return pd.concat(parts, ignore_index=True).assign(method=method, seed=seed)


def _scores(layers: Mapping[str, pd.DataFrame], direction: str, samples: Samples, said: pd.DataFrame) -> pd.DataFrame:
    """R² and correlation of each feature that varies among the test samples."""
    target = layers[DIRECTIONS[direction][1]]
    truth, predicted = target.iloc[samples.test].to_numpy(float), said.to_numpy(float)
    reference = target.iloc[samples.pairs].to_numpy(float).mean(axis=0)
    scores = pd.DataFrame({
        "feature": target.columns,
        "r2": r2_of_features(truth, predicted, reference),
        "pearson": correlation_of_features(truth, predicted),
    })  # fmt: skip
    return scores.dropna()


def _overall(scores: pd.DataFrame) -> dict[str, float]:
    return {
        "r2": scores["r2"].mean(),
        "r2_median": scores["r2"].median(),
        "pearson": scores["pearson"].mean(),
        "below_zero": float((scores["r2"] < 0).mean()),
        "n_features": len(scores),
    }


def _class_scores(
    clusters: np.ndarray, layers: Mapping[str, pd.DataFrame], direction: str, samples: Samples, said: pd.DataFrame
) -> dict[str, float]:
    source, target = (layers[layer].to_numpy(float) for layer in DIRECTIONS[direction])
    known, asked = clusters[samples.pairs], clusters[samples.test]
    judge = ClassJudge(target[samples.pairs], known)
    return {
        "class_translated": judge.accuracy(said.to_numpy(float), asked),
        "class_real": judge.accuracy(target[samples.test], asked),
        "class_source": ClassJudge(source[samples.pairs], known).accuracy(source[samples.test], asked),
    }


# --- few pairs ---


def pairs_runs(
    methods: Iterable[str], numbers: Iterable[int], n_seeds: int, *, n_features: int = 0, **network: object
) -> list[Run]:
    """Each method with few pairs, and again with the rest unpaired if it reads that."""
    return [
        Run(
            pairs_rows,
            {"method": method, "n_pairs": int(n), "unpaired": unpaired, "seed": seed, "n_features": n_features}
            | (network if method in NETWORKS else {}),
        )
        for method in known_methods(methods)
        for unpaired in ([False, True] if method in READ_UNPAIRED else [False])
        for n in numbers
        for seed in _seeds(n_seeds)
    ]


def pairs_rows(
    data: PairedOmics, *, method: str, n_pairs: int, unpaired: bool, seed: int, n_features: int = 0, **network: object
) -> pd.DataFrame:
    """Mean R² in both directions of a method that sees `n_pairs` of the training pairs.

    Of the other training samples it sees one layer, mRNA of the first half and methylation of the second, if
    `unpaired`; else nothing.

    Raises
    ------
    ConfigError
        For more pairs than a division trains on.
    """
    train, test = divide(data.clusters, seed, TEST_SHARE)
    if n_pairs > len(train):
        raise ConfigError(f"{n_pairs} pairs were asked for, and a division has {len(train)} to train on; ask for less.")
    order = np.random.default_rng([seed, 12]).permutation(train)
    rest = order[n_pairs:]
    half = len(rest) // 2
    more = {"mRNA_only": rest[:half], "methylation_only": rest[half:]} if unpaired else {}
    samples, layers = Samples(order[:n_pairs], test, **more), layers_of(data, train, n_features)
    found = translated(method, layers, samples, seed, **network)
    rows = [
        _overall(_scores(layers, direction, samples, said)) | {"direction": direction, "seconds": seconds}
        for direction, (said, seconds) in found.items()
    ]
    return pd.DataFrame(rows).assign(
        method=method, unpaired=unpaired, n_pairs=n_pairs, n_unpaired=samples.n_unpaired, seed=seed
    )


# --- what ties the latents ---


def tie_runs(ties: Iterable[str], n_seeds: int, *, n_features: int = 0, **network: object) -> list[Run]:
    """Auto-encoders tied in each of the ways of `TIED`."""
    ties = list(ties)
    if unknown := [tie for tie in ties if tie not in TIED]:
        raise ConfigError(f"Unknown tie {unknown[0]!r}; known are {', '.join(TIED)}.")
    more = {"n_features": n_features, **network}
    return [Run(tie_rows, {"tie": tie, "seed": seed, **more}) for tie in ties for seed in _seeds(n_seeds)]


def tie_rows(data: PairedOmics, *, tie: str, seed: int, n_features: int = 0, **network: object) -> pd.DataFrame:
    """Scores of auto-encoders tied in one way; only "+ classes" is told classes, and only of training pairs."""
    train, test = divide(data.clusters, seed, TEST_SHARE)
    layers, samples = layers_of(data, train, n_features), Samples(train, test)
    found = translated("aligned", layers, samples, seed, data.clusters, **(network | TIED[tie]))
    rows = [
        _overall(_scores(layers, direction, samples, said))
        | _class_scores(data.clusters, layers, direction, samples, said)
        | {"direction": direction}
        for direction, (said, _) in found.items()
    ]
    return pd.DataFrame(rows).assign(tie=tie, seed=seed)


# --- reliability ---


def reliability_runs(methods: Iterable[str], n_seeds: int, *, n_features: int = 0, **network: object) -> list[Run]:
    """Networks trained again and again on one division."""
    return [
        Run(reliability_rows, {"method": known_method(method), "n_seeds": n_seeds, "n_features": n_features, **network})
        for method in methods
    ]


def reliability_rows(
    data: PairedOmics, *, method: str, n_seeds: int, n_features: int = 0, **network: object
) -> pd.DataFrame:
    """Trainings on the division of seed 1: R² of each (part "training") and of what they say on average ("mean of
    trainings"), and the mean correlation over features of what two of them say ("agreement").
    """
    train, test = divide(data.clusters, 1, TEST_SHARE)
    layers, samples = layers_of(data, train, n_features), Samples(train, test)
    said: dict[str, list[pd.DataFrame]] = {direction: [] for direction in DIRECTIONS}
    for seed in range(n_seeds):
        for direction, (found, _) in translated(method, layers, samples, seed, **network).items():
            said[direction].append(found)
    rows = []
    for direction, several in said.items():
        rows += [("training", direction, _scores(layers, direction, samples, one)["r2"].mean()) for one in several]
        mean = sum(several) / len(several)
        rows.append(("mean of trainings", direction, _scores(layers, direction, samples, mean)["r2"].mean()))
        rows += [
            ("agreement", direction, np.nanmean(correlation_of_features(one.to_numpy(), other.to_numpy())))
            for one, other in combinations(several, 2)
        ]
    return pd.DataFrame(rows, columns=["part", "direction", "value"]).assign(method=method)


# --- laws of methylation ---


def law_runs(arms: Iterable[str], n_seeds: int, *, n_features: int = 0, **network: object) -> list[Run]:
    """Each of `LAW_ARMS` named, for divisions by seeds 1, 2, …"""
    arms = list(arms)
    if unknown := [arm for arm in arms if arm not in LAW_ARMS]:
        raise ConfigError(f"Unknown way {unknown[0]!r} to beta-values; known are {'; '.join(LAW_ARMS)}.")
    return [
        Run(
            law_rows,
            {"arm": arm, "seed": seed, "n_features": n_features} | (network if LAW_ARMS[arm][0] in NETWORKS else {}),
        )
        for arm in arms
        for seed in _seeds(n_seeds)
    ]


def law_rows(data: PairedOmics, *, arm: str, seed: int, n_features: int = 0, **network: object) -> pd.DataFrame:
    """Mean R² of beta-values from mRNA, and the share of what was said that no beta-value can be."""
    method, more, unit = LAW_ARMS[arm]
    train, test = divide(data.clusters, seed, TEST_SHARE)
    samples = Samples(train, test)
    # the same features in either unit
    kept = [*layers_of(data, train, n_features)["methylation"]]
    in_unit, in_beta = (_with_methylation(data, one, train, n_features, kept) for one in (unit, "beta-value"))
    found = translated(method, in_unit, samples, seed, **network, **more)
    said, seconds = found[FORWARD]
    said = m_to_beta(said) if unit == "M-value" else said
    outside = float(((said < 0) | (said > 1)).to_numpy().mean())
    scores = _overall(_scores(in_beta, FORWARD, samples, said))
    return pd.DataFrame([scores | {"outside": outside, "seconds": seconds, "arm": arm, "seed": seed}])


def _with_methylation(
    data: PairedOmics, unit: str, train: np.ndarray, n_features: int, kept: list[str]
) -> dict[str, pd.DataFrame]:
    """Layers with these features of methylation in a unit."""
    return layers_of(data, train, n_features) | {"methylation": data.methylation_as(unit).layer("methylation")[kept]}


# --- a law that is known ---


def oracle_runs(
    methods: Iterable[str],
    numbers: Iterable[int],
    n_seeds: int,
    *,
    n_test: int,
    law: Mapping[str, object],
    **network: object,
) -> list[Run]:
    """Each method with each number of pairs, drawn afresh for every seed from one law."""
    return [
        Run(
            oracle_rows,
            {"method": method, "n_pairs": int(n), "seed": seed, "n_test": n_test, "law": dict(law)}
            | (network if method in NETWORKS else {}),
        )
        for method in known_methods(methods)
        for n in numbers
        for seed in _seeds(n_seeds)
    ]


def oracle_rows(
    *, method: str, n_pairs: int, seed: int, n_test: int, law: Mapping[str, object], **network: object
) -> pd.DataFrame:
    """R² of a method and of the conditional mean, which is the best possible, and the distance between the two.

    Methylation is in M-values.
    """
    from reproduce.multiomics.simulator import Simulator

    simulator = Simulator(**_tuples(law))
    data = simulator.sample(n_pairs + n_test, seed).methylation_as("M-value")
    order = np.random.default_rng([seed, 367]).permutation(n_pairs + n_test)
    samples = Samples(order[:n_pairs], order[n_pairs:])
    layers = layers_of(data, samples.pairs)
    rows = []
    for direction, (said, seconds) in translated(method, layers, samples, seed, **network).items():
        source, target = DIRECTIONS[direction]
        best = simulator.conditional_mean(target, data.rows(samples.test), given=(source,))
        variance = layers[target].to_numpy(float).var(axis=0)
        rows.append(
            _overall(_scores(layers, direction, samples, said))
            | {
                "best_r2": _scores(layers, direction, samples, best)["r2"].mean(),
                "excess": excess_error(said.to_numpy(float), best.to_numpy(float), variance),
                "direction": direction,
                "seconds": seconds,
            }
        )
    return pd.DataFrame(rows).assign(method=method, n_pairs=n_pairs, seed=seed)


def _tuples(law: Mapping[str, object]) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, Sequence) else value for name, value in law.items()}
