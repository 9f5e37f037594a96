"""What a score can be at the least and at the most, for intervals that are shown; never changes a stored table.

The t interval of two or three values may reach beyond what the score can be: a share of 1.07, an AUC of 1.09. Where it
is shown, in a table, a sentence or a figure, it ends at the score's own limit; CSV files keep the ends as computed, and
verdicts rest on those. Differences of scores are left as they are, and so is "a ± b", where b is half of an interval.
"""

from __future__ import annotations

import numpy as np

#: Least and most of a kind of score.
ANY = (-np.inf, np.inf)
R2 = (-np.inf, 1.0)
SHARE = (0.0, 1.0)
CORRELATION = (-1.0, 1.0)
DISTANCE = (0.0, np.inf)

#: By name, of the scores that several tables hold; others have no limits.
RANGES = {
    "R²": R2,
    "r2": R2,
    "τ": CORRELATION,
    "ari": CORRELATION,
    "nmi": SHARE,
    "deviance_explained": R2,
    "squares_explained": R2,
    "validation_deviance_explained": R2,
    "ks": SHARE,
    "wasserstein": DISTANCE,
    "correlation_error": DISTANCE,
    "bond_error": DISTANCE,
    "classifier_auc": SHARE,
    "density": DISTANCE,
    "coverage": SHARE,
    "distance_ratio": DISTANCE,
    "closer_to_train": SHARE,
    "usefulness": SHARE,
    "balanced_accuracy": SHARE,
    "translation_r2": R2,
    "width": DISTANCE,
    "error": DISTANCE,
    "proper": SHARE,
    "score": DISTANCE,
    "correlation": CORRELATION,
}


def cut(low, high, limits: tuple[float, float] = ANY):
    """Ends of intervals, cut to a score's limits; infinite ends, which stand for no interval, stay.

    Parameters
    ----------
    low, high : float or array-like (n,)
    limits : tuple of float
        Least and most that the score can be.

    Returns
    -------
    low, high : float or ndarray (n,)
    """
    ends = (np.asarray(end, dtype=float) for end in (low, high))
    found = [np.where(np.isfinite(end), np.clip(end, *limits), end) for end in ends]
    return tuple(end[()] for end in found)


def limits_of(score: str) -> tuple[float, float]:
    """Least and most of a named score."""
    return RANGES.get(score, ANY)
