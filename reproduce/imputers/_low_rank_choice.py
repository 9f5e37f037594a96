"""Chooses rank and shrinkage by the error on hidden known entries of donors left out; never on what a trial scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from reproduce.errors import DataFormatError
from reproduce.imputers._covariates import Covariates
from reproduce.imputers._folds import donor_folds, hide_entries, left_out
from reproduce.imputers._low_rank_groups import FitOptions, Fitted, fit_groups

#: Ranks and weights of the diagonal that are compared, each in rising order.
RANKS = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300)
SHRINKAGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
#: Of rows with holes: their cost grows with the square of the rank.
MOST_RANK_WITH_HOLES = 60
#: Up to this many rows or genes the whole sample covariance is compared as well.
WHOLE_SIDE = 2_000
#: Most rounds of EM while ranks are compared: their order is plain long before it has settled.
MOST_ROUNDS = 10
#: Folds of donors; all are used up to `ALL_FOLDS_ENTRIES` entries, one beyond.
FOLDS, ALL_FOLDS_ENTRIES = 4, 1_000_000
#: Shares of known entries to hide, of complete rows and of rows that have holes already.
HIDDEN, HIDDEN_OF_HOLES = (0.2, 0.8), (0.05, 0.45)
#: Bounds on what is compared: entries to fit (genes are left out at random beyond, though no more than leave
#: `LEAST_GENES`, since the best rank and shrinkage depend on how many there are), with holes and without; rows to fill.
MOST_ENTRIES, MOST_ENTRIES_WITH_HOLES, LEAST_GENES, MOST_ROWS = 12_000_000, 4_000_000, 1_000, 150
#: Rank at which the search begins.
FIRST_RANK = 12


@dataclass(frozen=True)
class Choice:
    """Rank and shrinkage of least error, and the errors (mean square, standardised) of all that were compared."""

    rank: int
    shrinkage: float
    errors: dict[tuple[int, float], float]


def choose(
    Z: np.ndarray,
    observed: np.ndarray,
    groups: np.ndarray,
    covariates: Covariates | None,
    options: FitOptions,
    *,
    ranks: list[int],
    shrinkages: list[float],
    seed: int,
) -> Choice:
    """Walk over ranks to the least error, and for each over the weights of the diagonal from the rank's before.

    Parameters
    ----------
    Z, observed, groups, options
        As in `reproduce.imputers._low_rank_groups.fit_groups`.
    covariates : Covariates or None
        For donors.
    ranks, shrinkages : lists in rising order
    seed : int

    Returns
    -------
    Choice

    Raises
    ------
    DataFormatError
        Where there is nothing to choose by: no donor can be left out that others of its group could tell of.
    """
    generator = np.random.default_rng([seed, 5])
    options = replace(options, max_iter=min(options.max_iter, MOST_ROUNDS))
    complete = bool(observed.all())
    genes = _some_genes(Z.shape, MOST_ENTRIES if complete else MOST_ENTRIES_WITH_HOLES, generator)
    if len(genes) < Z.shape[1]:
        Z, observed = Z[:, genes], observed[:, genes]
    folds = donor_folds(len(Z), covariates, FOLDS, seed)
    tasks = []
    for rows, held in left_out(folds):
        held = generator.permutation(held[np.isin(groups[held], groups[rows])])[:MOST_ROWS]
        if rows.size and held.size:
            hidden = hide_entries(observed[held], HIDDEN if complete else HIDDEN_OF_HOLES, generator)
            tasks.append((rows, held, hidden))
        if Z.size > ALL_FOLDS_ENTRIES and tasks:
            break
    if not any(hidden.any() for *_, hidden in tasks):
        raise DataFormatError(
            "rank='held_out' and shrinkage='held_out' are chosen on left-out donors with others of their group, and "
            "there are none; give rows of more donors, or both values, such as rank=1 and shrinkage=0.2."
        )
    return _search(Z, observed, groups, tasks, options, ranks, shrinkages, generator)


def _some_genes(shape: tuple[int, int], most: int, generator: np.random.Generator) -> np.ndarray:
    n_genes = min(shape[1], max(LEAST_GENES, most // max(shape[0], 1)))
    return np.sort(generator.choice(shape[1], n_genes, replace=False))


def _search(Z, observed, groups, tasks, options, ranks, shrinkages, generator) -> Choice:
    def fit(of_ranks: list[int]) -> list[dict[int, Fitted]]:
        return [fit_groups(Z[rows], observed[rows], groups[rows], of_ranks, options, generator) for rows, *_ in tasks]

    def error(fitted: list[Fitted], weight: float) -> float:
        squares = entries = 0.0
        for one, (_, held, hidden) in zip(fitted, tasks):
            Z_hat = one.shrunk(weight).filled(Z[held], observed[held] & ~hidden, groups[held])
            squares += float(np.sum((Z_hat - Z[held]) ** 2, where=hidden, dtype=np.float64))
            entries += np.count_nonzero(hidden)
        return squares / max(entries, 1)

    nested = bool(observed.all())  # one decomposition serves all ranks
    of_all = fit(ranks) if nested else []
    errors: dict[tuple[int, float], float] = {}
    position = 0

    def error_of_rank(rank: int) -> float:
        nonlocal position
        fitted = [task[rank] for task in (of_all if nested else fit([rank]))]
        of_rank, position = _walk(partial(error, fitted), shrinkages, position)
        errors.update({(rank, weight): value for weight, value in of_rank.items()})
        return min(of_rank.values())

    start = int(np.argmin(np.abs(np.log1p(ranks) - np.log1p(FIRST_RANK))))
    of_ranks, _ = _walk(error_of_rank, ranks, start)
    if ranks[-1] not in of_ranks and nested:
        error_of_rank(ranks[-1])  # the whole covariance is another law than its neighbour's: no step on the way
    rank, shrinkage = min(errors, key=errors.get)
    return Choice(rank, shrinkage, errors)


def _walk(error: Callable[[float], float], values: list[float], at: int) -> tuple[dict[float, float], int]:
    """Errors of the values seen on the way downhill from position `at`, and the position of the minimum."""
    known = {}
    while True:
        near = [i for i in (at, at - 1, at + 1) if 0 <= i < len(values)]
        for i in near:
            if values[i] not in known:
                known[values[i]] = error(values[i])
        best = min(near, key=lambda i: known[values[i]])
        if best == at:
            return known, at
        at = best
