"""Scores of a translated layer: per feature, by class, and against what was possible; never trains a translator."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

#: Principal components that the classifier sees.
N_COMPONENTS = 30


def r2_of_features(truth: np.ndarray, predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """1 − Σ (truth − predicted)² / Σ (truth − reference)² of each feature.

    Parameters
    ----------
    truth, predicted : ndarray (n_samples, n_features)
    reference : ndarray (n_features,)
        The training mean, which thereby scores 0.

    Returns
    -------
    ndarray (n_features,)
        NaN where the truth is the reference in every sample.
    """
    total = ((truth - reference) ** 2).sum(axis=0)
    left = ((truth - predicted) ** 2).sum(axis=0)
    return 1.0 - np.divide(left, total, out=np.full(len(total), np.nan), where=total > 0)


def correlation_of_features(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each feature; 0 where what is predicted is constant, NaN where the truth is."""
    centred = [values - values.mean(axis=0) for values in (truth, predicted)]
    sizes = [np.sqrt((values**2).sum(axis=0)) for values in centred]
    flat = sizes[1] <= 1e-9 * np.maximum(sizes[0], 1e-12)
    product = np.where(flat, 1.0, sizes[0] * sizes[1])
    found = np.divide((centred[0] * centred[1]).sum(axis=0), product, out=np.zeros(len(flat)), where=product > 0)
    return np.where(sizes[0] > 0, np.where(flat, 0.0, found), np.nan)


class ClassJudge:
    """A classifier of one layer, trained on real samples, that says how well translated ones keep their class.

    Parameters
    ----------
    layer : ndarray (n_samples, n_features)
    clusters : ndarray of str (n_samples,)

    Notes
    -----
    Multinomial logistic regression on `N_COMPONENTS` principal components, classes weighted alike.
    """

    def __init__(self, layer: np.ndarray, clusters: np.ndarray):
        n = min(N_COMPONENTS, min(layer.shape) - 1)
        parts = (
            StandardScaler(),
            PCA(n, random_state=0),
            LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000),
        )
        self._classifier = make_pipeline(*parts).fit(layer, clusters)

    def accuracy(self, layer: np.ndarray, clusters: np.ndarray) -> float:
        """Balanced accuracy (mean over classes of the share recognised)."""
        return float(balanced_accuracy_score(clusters, self._classifier.predict(layer)))


def excess_error(predicted: np.ndarray, best: np.ndarray, variance: np.ndarray) -> float:
    """Mean squared distance from the conditional mean, per feature in units of the feature's variance.

    To within sampling, this is what a translation loses in R² against the best possible one: what is left beyond the
    conditional mean is uncorrelated with both.

    Parameters
    ----------
    predicted, best : ndarray (n_samples, n_features)
    variance : ndarray (n_features,)
    """
    return float((((predicted - best) ** 2).mean(axis=0) / variance).mean())
