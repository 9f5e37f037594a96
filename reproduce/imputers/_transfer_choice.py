"""Judges candidates by how well they predict hidden known entries; never fits one."""

from __future__ import annotations

import numpy as np

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
