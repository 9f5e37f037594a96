"""Chooses which known entries are hidden; never knows which method will fill them.

A mask is a function of (seed, scenario, missing_rate, mechanism) and of which entries are known, so every method of a
comparison meets the same holes and differences between methods are paired. `missing_rate` is always the fraction
*hidden*.

The random numbers come from the raw 64-bit stream of PCG64 seeded by a SHA-256 digest: the same on every platform.
The rate is a threshold on those numbers, so at one seed the entries hidden at a lower rate are also hidden at a
higher one, and curves over the missing rate are paired along their length as well.
"""

from __future__ import annotations

import hashlib

import numpy as np

from reproduce.errors import ConfigError

SCENARIOS = ("in_place", "inductive", "cross_cohort")
MECHANISMS = ("mcar",)


def _uniform(shape: tuple[int, int], key: str) -> np.ndarray:
    """Uniform numbers in [0, 1) that depend on `key` and position alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    raw = np.random.PCG64(seed).random_raw(shape[0] * shape[1])
    # the upper 53 bits of each word, the precision of a double
    return ((raw >> np.uint64(11)) * 2.0**-53).reshape(shape)


def _hide(
    observed: np.ndarray, missing_rate: float, seed: int, scenario: str, mechanism: str, purpose: str
) -> np.ndarray:
    observed = np.asarray(observed)
    if observed.dtype != bool or observed.ndim != 2:
        raise ConfigError(
            f"observed has dtype {observed.dtype} and {observed.ndim} dimension(s); "
            "give a boolean matrix (n_samples, n_genes), True where the value is known."
        )
    if isinstance(missing_rate, bool) or not 0.0 < float(missing_rate) < 1.0:
        raise ConfigError(f"missing_rate is {missing_rate!r}; give the fraction to hide, strictly between 0 and 1.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; give a non-negative integer.")
    if scenario not in SCENARIOS:
        raise ConfigError(f"Unknown scenario {scenario!r}; known are {', '.join(SCENARIOS)}.")
    if mechanism not in MECHANISMS:
        raise ConfigError(f"Unknown missingness mechanism {mechanism!r}; known are {', '.join(MECHANISMS)}.")
    return observed & (_uniform(observed.shape, f"{purpose}|{mechanism}|{scenario}|{int(seed)}") < float(missing_rate))


def draw_evaluation_mask(
    observed: np.ndarray, missing_rate: float, *, seed: int, scenario: str, mechanism: str = "mcar"
) -> np.ndarray:
    """Draw the entries that are hidden from the method and scored.

    Parameters
    ----------
    observed : ndarray of bool (n_samples, n_genes)
        True where the value is known.
    missing_rate : float
        Probability that a known entry is hidden, strictly between 0 and 1.
    seed : int
    scenario : {"in_place", "inductive", "cross_cohort"}
    mechanism : {"mcar"}, default "mcar"
        Missing completely at random: each known entry on its own with the same probability.

    Returns
    -------
    ndarray of bool (n_samples, n_genes)
        True = hidden; a subset of `observed`.

    Raises
    ------
    ConfigError
        For an argument out of range or an unknown name, naming it.
    """
    return _hide(observed, missing_rate, seed, scenario, mechanism, purpose="evaluation")


def draw_training_mask(
    observed: np.ndarray, missing_rate: float, *, seed: int, scenario: str, mechanism: str = "mcar"
) -> np.ndarray:
    """Draw the entries hidden from *training* rows, for trials whose training rows are masked.

    Parameters and errors as in `draw_evaluation_mask`; the random stream is another one.

    Returns
    -------
    ndarray of bool (n_samples, n_genes)
        True = hidden; a subset of `observed`.
    """
    return _hide(observed, missing_rate, seed, scenario, mechanism, purpose="training")
