"""Divides rows into training and test by person; never looks at an expression value.

The person (donor) is the unit: both tissues of one donor always fall on the same side. Who goes where is decided by
ranking a SHA-256 digest of (seed, donor), so a split depends neither on the order of the rows nor on the platform or
on the version of any numerical library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reproduce.errors import ConfigError

#: Fraction of the donors held out, as in the paper (75:25).
TEST_FRACTION = 0.25


@dataclass(frozen=True)
class Split:
    """Row positions of the two sides of a split.

    Attributes
    ----------
    train, test : ndarray of int
        Sorted, disjoint positions; together they are all rows.
    """

    train: np.ndarray
    test: np.ndarray


def _checked_fraction(test_fraction: float) -> float:
    if not 0.0 < float(test_fraction) < 1.0:
        raise ConfigError(f"test_fraction is {test_fraction!r}; give a number strictly between 0 and 1.")
    return float(test_fraction)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; give a non-negative integer, so that the split can be repeated.")
    return int(seed)


def split_by_donor(donors: Iterable[str], *, seed: int, test_fraction: float = TEST_FRACTION) -> Split:
    """Hold out a fraction of the donors with all of their samples.

    Parameters
    ----------
    donors : iterable of str, length n_samples
        The person each row comes from.
    seed : int
        Another seed, another split.
    test_fraction : float, default 0.25
        Fraction of the *donors* held out, rounded to a whole number of donors and at least one on each side.

    Returns
    -------
    Split
        Positions into `donors`.

    Raises
    ------
    ConfigError
        For fewer than two donors, an unnamed donor, a bad seed or fraction.
    """
    fraction, seed = _checked_fraction(test_fraction), _checked_seed(seed)
    names = np.asarray(list(donors), dtype=object)
    for row, name in enumerate(names):
        if name is None or name != name or str(name) == "":
            raise ConfigError(f"Row {row} has no donor; a split by donor needs every sample's donor in obs['donor'].")
    people = sorted({str(name) for name in names})
    if len(people) < 2:
        raise ConfigError(f"{len(people)} donor(s) cannot be split; at least two are needed.")
    ranked = sorted(people, key=lambda person: hashlib.sha256(f"split|{seed}|{person}".encode()).digest())
    n_test = min(max(1, round(fraction * len(people))), len(people) - 1)
    held_out = set(ranked[:n_test])
    is_test = np.array([str(name) in held_out for name in names], dtype=bool)
    return Split(train=np.flatnonzero(~is_test), test=np.flatnonzero(is_test))


def split_by_sample(n_samples: int, *, seed: int, test_fraction: float = TEST_FRACTION) -> Split:
    """Hold out a fraction of the rows, whoever they come from.

    Kept to measure what the grouping by donor is worth; the study itself splits by donor.

    Parameters
    ----------
    n_samples : int
        Number of rows, at least two.
    seed : int
    test_fraction : float, default 0.25

    Returns
    -------
    Split

    Raises
    ------
    ConfigError
        For fewer than two rows, a bad seed or fraction.
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, (int, np.integer)) or n_samples < 2:
        raise ConfigError(f"n_samples is {n_samples!r}; at least two rows are needed for a split.")
    return split_by_donor([f"row {row}" for row in range(n_samples)], seed=seed, test_fraction=test_fraction)
