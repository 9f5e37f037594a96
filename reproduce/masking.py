"""Chooses which known entries are hidden; never knows which method will fill them.

A mask is a function of (seed, scenario, missing_rate, mechanism) and of the data it is drawn on, so every method of a
comparison meets the same holes and differences between methods are paired. `missing_rate` is always the fraction
*hidden*.

| mechanism | who is hidden |
| --- | --- |
| `mcar` | missing completely at random: each known entry on its own, all with the same probability |
| `mar` | missing at random: one gene always stays; the higher it is in a sample, the likelier that sample's others go |
| `mnar` | missing not at random: the lower a value among its gene's values, the likelier it is hidden |
| `panel` | a set of genes that this cohort never measured |
| `tissue_block` | for each tissue a set of genes that was never measured in it |

With u the rank of a value in (0, 1), `mar` and `mnar` hide with probability 2ru where the rate r is at most one half,
and 1 − 2(1 − r)(1 − u) above: linear in u and r on average. In `mar` the fraction is that of the other genes' entries.

The random numbers come from the raw 64-bit stream of PCG64 seeded by a SHA-256 digest: the same on every platform.
The rate is a threshold on those numbers, so at one seed the entries hidden at a lower rate are also hidden at a
higher one, and curves over the missing rate are paired along their length as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy import stats

from reproduce.errors import ConfigError

SCENARIOS = ("in_place", "inductive", "cross_cohort")
#: Whole genes, or genes within a tissue: nothing of them is left to fit on, so they cannot be hidden in fitted rows.
BLOCK_MECHANISMS = ("panel", "tissue_block")
MECHANISMS = ("mcar", "mar", "mnar", *BLOCK_MECHANISMS)


def _uniform(shape: tuple[int, int], key: str) -> np.ndarray:
    """Uniform numbers in [0, 1) that depend on `key` and position alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    raw = np.random.PCG64(seed).random_raw(shape[0] * shape[1])
    # the upper 53 bits of each word, the precision of a double
    return ((raw >> np.uint64(11)) * 2.0**-53).reshape(shape)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value among its column's known ones, in (0, 1), average rank for ties; ½ where unknown."""
    counts = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    ranks = (stats.rankdata(values, axis=0, nan_policy="omit") - 0.5) / counts
    return np.where(np.isnan(values), 0.5, ranks)


def _tilted(missing_rate: float, rank: np.ndarray) -> np.ndarray:
    """Probability that grows linearly with the rank and whose mean over ranks is the missing rate."""
    if missing_rate <= 0.5:
        return 2.0 * missing_rate * rank
    return 1.0 - 2.0 * (1.0 - missing_rate) * (1.0 - rank)


def _first(numbers: np.ndarray, missing_rate: float) -> np.ndarray:
    """The genes with the smallest numbers, as many as the rate asks for, at least one, and not all."""
    n_genes = len(numbers)
    n_hidden = min(max(1, round(missing_rate * n_genes)), n_genes - 1)
    return np.argsort(np.argsort(numbers, kind="stable"), kind="stable") < n_hidden


def _chosen(
    values: np.ndarray, missing_rate: float, mechanism: str, tissues: np.ndarray | None, key: str
) -> np.ndarray:
    """Entries the mechanism hides, bool (n_samples, n_genes), whether known or not."""
    if mechanism == "panel":
        return np.broadcast_to(_first(_uniform((1, values.shape[1]), key)[0], missing_rate), values.shape)
    if mechanism == "tissue_block":
        hidden = np.zeros(values.shape, dtype=bool)
        for tissue in np.unique(tissues):
            hidden[tissues == tissue] = _first(_uniform((1, values.shape[1]), f"{key}|{tissue}")[0], missing_rate)
        return hidden
    numbers = _uniform(values.shape, key)
    if mechanism == "mcar":
        return numbers < missing_rate
    if mechanism == "mnar":
        return numbers < _tilted(missing_rate, 1.0 - _ranks(values))
    complete = np.flatnonzero(~np.isnan(values).any(axis=0))
    if not len(complete):
        raise ConfigError("Mechanism 'mar' depends on a gene that is known in every sample, and there is none here.")
    driver = complete[np.argmin(_uniform((1, len(complete)), f"{key}|driver")[0])]
    hidden = numbers < _tilted(missing_rate, _ranks(values[:, [driver]]))
    hidden[:, driver] = False
    return hidden


def _hide(
    values: np.ndarray,
    missing_rate: float,
    seed: int,
    scenario: str,
    mechanism: str,
    tissues: Sequence[str] | None,
    purpose: str,
) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.ndim != 2:
        raise ConfigError(
            f"values has dtype {values.dtype} and {values.ndim} dimension(s); "
            "give a matrix of floats (n_samples, n_genes), NaN where the value is not known."
        )
    if isinstance(missing_rate, bool) or not 0.0 < float(missing_rate) < 1.0:
        raise ConfigError(f"missing_rate is {missing_rate!r}; give the fraction to hide, strictly between 0 and 1.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; give a non-negative integer.")
    if scenario not in SCENARIOS:
        raise ConfigError(f"Unknown scenario {scenario!r}; known are {', '.join(SCENARIOS)}.")
    if mechanism not in MECHANISMS:
        raise ConfigError(f"Unknown missingness mechanism {mechanism!r}; known are {', '.join(MECHANISMS)}.")
    if mechanism == "tissue_block":
        if tissues is None or len(tissues) != len(values):
            raise ConfigError("Mechanism 'tissue_block' needs the tissue of each sample in `tissues`.")
        tissues = np.array([str(tissue) for tissue in tissues], dtype=object)
    if mechanism in BLOCK_MECHANISMS and values.shape[1] < 2:
        raise ConfigError(f"Mechanism {mechanism!r} needs two genes at least: one stays, one is hidden.")
    key = f"{purpose}|{mechanism}|{scenario}|{int(seed)}"
    return ~np.isnan(values) & _chosen(values, float(missing_rate), mechanism, tissues, key)


def draw_evaluation_mask(
    values: np.ndarray,
    missing_rate: float,
    *,
    seed: int,
    scenario: str,
    mechanism: str = "mcar",
    tissues: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw the entries that are hidden from the method and scored.

    Parameters
    ----------
    values : ndarray of float (n_samples, n_genes)
        NaN where the value is not known. The values themselves matter to `mar` and `mnar` only, and only by their
        ranks within a gene, so any increasing change of scale gives the same mask.
    missing_rate : float
        Fraction to hide, strictly between 0 and 1.
    seed : int
    scenario : {"in_place", "inductive", "cross_cohort"}
    mechanism : {"mcar", "mar", "mnar", "panel", "tissue_block"}, default "mcar"
        See the module.
    tissues : sequence of str (n_samples,), optional
        Needed by "tissue_block".

    Returns
    -------
    ndarray of bool (n_samples, n_genes)
        True = hidden; never where the value is not known.

    Raises
    ------
    ConfigError
        For an argument out of range or an unknown name, naming it.
    """
    return _hide(values, missing_rate, seed, scenario, mechanism, tissues, purpose="evaluation")


def draw_training_mask(
    values: np.ndarray, missing_rate: float, *, seed: int, scenario: str, mechanism: str = "mcar"
) -> np.ndarray:
    """Draw the entries hidden from *training* rows, for trials whose training rows are masked.

    Parameters and errors as in `draw_evaluation_mask`; the random stream is another one.

    Returns
    -------
    ndarray of bool (n_samples, n_genes)
        True = hidden; never where the value is not known.

    Raises
    ------
    ConfigError
        Also for a mechanism that hides whole genes: a method cannot be fitted on genes without any value.
    """
    if mechanism in BLOCK_MECHANISMS:
        raise ConfigError(
            f"Mechanism {mechanism!r} would leave genes without any value to fit on; use it on the rows to be filled."
        )
    return _hide(values, missing_rate, seed, scenario, mechanism, None, purpose="training")
