"""Judges candidates by how well they predict hidden known entries; never fits one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

#: An outlying value must not decide alone.
_MOST_SQUARED_ERROR = 16.0
#: Known entries to predict, beyond which more folds would not make the choice surer.
_ENOUGH_ENTRIES = 3000
#: Known entries that tell as much as one independent entry would.
_ENTRIES_PER_FACT = 2.0


def folds_of_entries(observed: np.ndarray, n_folds: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Masks (n_samples, n_genes) of known entries to hide, each in one fold; no gene loses all it has.

    Where one fold holds many entries, those that follow are left out.
    """
    fold = generator.integers(n_folds, size=observed.shape)
    wanted = int(np.clip(np.ceil(_ENOUGH_ENTRIES * n_folds / max(observed.sum(), 1)), 2, n_folds))
    masks = []
    for number in range(wanted):
        hidden = observed & (fold == number)
        hidden[:, ~(observed & ~hidden).any(axis=0)] = False
        if hidden.any():
            masks.append(hidden)
    return masks


def squared_errors(
    Z: np.ndarray, sd: np.ndarray, hidden: list[np.ndarray], held_out: list[np.ndarray]
) -> tuple[np.ndarray, int]:
    """Sum of squared errors of each candidate over the folds, in units of `sd`, and the entries behind it."""
    total, n = np.zeros(0), 0
    for mask, predicted in zip(hidden, held_out):
        error = (Z[mask] - predicted) / np.broadcast_to(sd, Z.shape)[mask]
        total = (total if n else 0.0) + np.sum(np.minimum(error**2, _MOST_SQUARED_ERROR), axis=1)
        n += int(mask.sum())
    return np.where(np.isnan(total), np.inf, total), n


def likelihood_weights(squares: np.ndarray, n: int) -> np.ndarray:
    """Weights of predictions with sums of squared errors over n entries: as likelihoods of normal errors.

    Errors of one sample go together, so n entries are taken to tell as much as n / `_ENTRIES_PER_FACT` do.
    """
    variance = max(squares.min() / n, 1e-12)
    weights = np.exp(-(squares - squares.min()) / (2 * variance * _ENTRIES_PER_FACT))
    return weights / weights.sum()


def gain_by_gene(
    genes: pd.Index,
    Z: np.ndarray,
    sd: np.ndarray,
    hidden: list[np.ndarray],
    held_out: list[np.ndarray],
    weigh: Callable[[np.ndarray, int], np.ndarray],
) -> pd.DataFrame:
    """What references gain on hidden entries, gene by gene; the table `TransferImputer.transfer_gain_`.

    Parameters
    ----------
    genes : Index (n_genes,)
    Z : ndarray (n_samples, n_genes)
    sd : ndarray (n_genes,)
    hidden : list of ndarray of bool (n_samples, n_genes)
        By fold.
    held_out : list of ndarray (n_candidates, n_hidden)
        By fold, the hidden entries as each candidate predicts them, the target alone the last; NaN where given up on.
    weigh : callable
        Gives the candidates' weights from `squared_errors`; called with those of the other folds.
    """
    without, with_references, columns = [], [], []
    for i, (mask, predicted) in enumerate(zip(hidden, held_out)):
        others = [j for j in range(len(hidden)) if j != i]
        weights = weigh(*squared_errors(Z, sd, [hidden[j] for j in others], [held_out[j] for j in others]))
        columns.append(np.nonzero(mask)[1])
        without.append(((Z[mask] - predicted[-1]) / sd[columns[-1]]) ** 2)
        with_references.append(((Z[mask] - weights @ np.nan_to_num(predicted)) / sd[columns[-1]]) ** 2)
    column = np.concatenate([*columns, np.zeros(0, dtype=int)])
    a, b = np.concatenate([*without, np.zeros(0)]), np.concatenate([*with_references, np.zeros(0)])
    count = np.bincount(column, minlength=len(genes))
    with np.errstate(divide="ignore", invalid="ignore"):  # a gene of which nothing could be hidden has NaN
        errors = [np.bincount(column, weights=v, minlength=len(genes)) / count for v in (a, b, (a - b) ** 2)]
        gain = errors[0] - errors[1]
        standard_error = np.sqrt(np.maximum(errors[2] - gain**2, 0.0) / np.where(count > 1, count - 1, np.nan))
    table = {"gene": genes, "n_hidden": count, "error_without": errors[0], "error_with": errors[1]}
    return pd.DataFrame(
        table | {"gain": gain, "standard_error": standard_error, "transfers": gain > 2 * standard_error}
    )
