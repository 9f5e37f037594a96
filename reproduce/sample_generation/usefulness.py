"""What a classifier learns from artificial samples, scored on real ones; never compares distributions.

The classifier is always the same, a logistic regression on standardised features, so that differences are those of the
samples it learns from.
"""

from __future__ import annotations

import warnings

import numpy as np

from reproduce.errors import ConfigError


def balanced_accuracy(
    X: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    test_classes: np.ndarray,
    *,
    weighted: bool = False,
    total: float | None = None,
) -> float:
    """Mean recall over the classes of real test samples, of a classifier fitted to X and y.

    Parameters
    ----------
    X, test : ndarray (n_samples, n_features)
    y, test_classes : ndarray of str
    weighted : bool, default False
        Whether rare classes weigh as much as frequent ones in fitting.
    total : float, optional
        What the samples' weights add up to, by default their number. The classifier's penalty stands against this sum:
        sets of different sizes are penalised alike only if it is the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.class_weight import compute_sample_weight

    weights = compute_sample_weight("balanced" if weighted else None, y)
    weights *= (len(y) if total is None else total) / weights.sum()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a fit do not change a recall
        model.fit(X, y, standardscaler__sample_weight=weights, logisticregression__sample_weight=weights)
    return float(balanced_accuracy_score(test_classes, model.predict(test)))


def made_rare(y: np.ndarray, frequent: str, rare: str, ratio: int, seed: int) -> np.ndarray:
    """Positions of all samples of the frequent class, and of so many of the rare one that it is 1 : `ratio`.

    Raises
    ------
    ConfigError
        For classes that there are not, or that are too small.
    """
    counts = {name: int((y == name).sum()) for name in (frequent, rare)}
    kept = round(counts[frequent] / ratio)
    if min(counts.values()) == 0 or not 2 <= kept <= counts[rare]:
        raise ConfigError(
            f"1 : {ratio} cannot be made of {counts[frequent]} samples of {frequent} and {counts[rare]} of {rare}; "
            "name two classes of the data with more samples, or a smaller ratio."
        )
    few = np.random.default_rng([seed, 20]).permutation(np.flatnonzero(y == rare))[:kept]
    return np.sort(np.concatenate([np.flatnonzero(y == frequent), few]))
