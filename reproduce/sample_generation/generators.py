"""Generators of samples by class under one contract, and the two that need no network; never scores what they give.

``fit(X, y)`` learns, ``sample(n, y)`` draws, ``save`` and ``load`` keep one file of arrays and JSON.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._base import check_integer
from reproduce.saved_estimators import SavedEstimator


class SampleGenerator(SavedEstimator, BaseEstimator):
    """What all generators share.

    Attributes
    ----------
    classes_ : ndarray of str
    class_counts_ : ndarray of int
        Samples of each class that it was fitted to.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If `fit` was given a DataFrame.
    """

    saved_form = "reproduce sample generator, 2"

    def fit(self, X, y) -> SampleGenerator:
        """Learn the samples of each class.

        Parameters
        ----------
        X : array-like or DataFrame (n_samples, n_features)
        y : array-like (n_samples,)
            Classes; they are taken as text.

        Raises
        ------
        ConfigError
            For a hyperparameter out of range, and a class with too few samples for the method, which it names.
        DataFormatError
            For entries that are no finite numbers, and numbers of samples that do not agree.
        """
        self._check_parameters()
        values, labels = _checked(X, y)
        self.classes_, codes, self.class_counts_ = np.unique(labels, return_inverse=True, return_counts=True)
        least = self._least_samples()
        for name, count in zip(self.classes_, self.class_counts_):
            if count < least:
                raise ConfigError(
                    f"Class {name} has {count} samples, and {type(self).__name__} needs {least} of each; {self._remedy}"
                )
        self.n_features_in_ = values.shape[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = X.columns.to_numpy(dtype=str).astype(object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._fit(values, codes)
        return self

    def sample(self, n: int, y=None, *, random_state: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
        """Draw artificial samples.

        Parameters
        ----------
        n : int
        y : str or array-like (n,), optional
            One class, or one for each sample; by default classes in the fitted shares, in order.
        random_state : int, default 0
            The same number gives the same samples.

        Returns
        -------
        X : DataFrame (n, n_features)
        y : ndarray of str (n,)

        Raises
        ------
        ConfigError
            For a class that was not fitted, or a number of classes other than `n`.
        """
        check_is_fitted(self)
        check_integer("n", n, least=1)
        codes = self._codes(n, y)
        drawn = self._sample(codes, np.random.default_rng([random_state, 11]))
        columns = getattr(self, "feature_names_in_", None)
        return pd.DataFrame(drawn, columns=columns), self.classes_[codes]

    def _saved(self):
        words = {"n_features": self.n_features_in_}
        arrays = {"classes": self.classes_.astype(str), "class_counts": self.class_counts_}
        if hasattr(self, "feature_names_in_"):
            arrays["features"] = self.feature_names_in_.astype(str)
        return words, arrays | {f"state_{name}": values for name, values in self._state().items()}

    def _take_back(self, words, arrays):
        self.classes_, self.class_counts_ = arrays["classes"], arrays["class_counts"]
        self.n_features_in_ = words["n_features"]
        if "features" in arrays:
            self.feature_names_in_ = arrays["features"].astype(object)
        self._restore({n.removeprefix("state_"): values for n, values in arrays.items() if n.startswith("state_")})

    # what a method implements

    _remedy = "join the class to another, leave it out, or give more samples."

    def _check_parameters(self) -> None:
        raise NotImplementedError

    def _least_samples(self) -> int:
        """Of each class."""
        return 2

    def _fit(self, X: np.ndarray, codes: np.ndarray) -> None:
        raise NotImplementedError

    def _sample(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError

    def _state(self) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        raise NotImplementedError

    def _codes(self, n: int, y) -> np.ndarray:
        if y is None:
            return np.repeat(np.arange(len(self.classes_)), apportioned(self.class_counts_, n))
        labels = np.full(n, y) if np.ndim(y) == 0 else np.asarray(y)
        labels = labels.astype(str)
        if labels.shape != (n,):
            raise ConfigError(f"{n} samples were asked for and {labels.size} classes given; give one for each.")
        if (unknown := ~np.isin(labels, self.classes_)).any():
            raise ConfigError(
                f"Class {labels[unknown][0]} was not fitted; there are {', '.join(map(str, self.classes_))}."
            )
        return np.searchsorted(self.classes_, labels)


class GaussianGenerator(SampleGenerator):
    """A multivariate normal for each class, its covariance shrunk by Ledoit and Wolf's rule.

    Features are standardised first, over all classes, since the rule shrinks towards equal variances.
    """

    def _check_parameters(self) -> None:
        """There are none."""

    def _fit(self, X: np.ndarray, codes: np.ndarray) -> None:
        from sklearn.covariance import LedoitWolf

        scale = spread(X)
        self.means_ = np.stack([X[codes == k].mean(axis=0) for k in range(len(self.classes_))])
        found = [LedoitWolf().fit(X[codes == k] / scale).covariance_ for k in range(len(self.classes_))]
        # a class of equal samples has no variance at all, which has no Cholesky factor
        tiny = 1e-10 * np.eye(X.shape[1])
        self.roots_ = np.stack([np.linalg.cholesky(covariance + tiny) * scale[:, None] for covariance in found])

    def _sample(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn = rng.standard_normal((len(codes), self.n_features_in_))
        for k in np.unique(codes):
            drawn[codes == k] = self.means_[k] + drawn[codes == k] @ self.roots_[k].T
        return drawn

    def _state(self) -> dict[str, np.ndarray]:
        return {"means": self.means_, "roots": self.roots_}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.means_, self.roots_ = state["means"], state["roots"]


class SmoteGenerator(SampleGenerator):
    """SMOTE as imbalanced-learn has it: points on the line from a sample to one of its neighbours in the class.

    Its state is the samples it was fitted to: who has the file has them.

    Parameters
    ----------
    n_neighbors : int, default 5
    """

    _remedy = "take fewer neighbours (n_neighbors), join the class to another, or leave it out."

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors

    def _check_parameters(self) -> None:
        check_integer("n_neighbors", self.n_neighbors, least=1)

    def _least_samples(self) -> int:
        return int(self.n_neighbors) + 1

    def _fit(self, X: np.ndarray, codes: np.ndarray) -> None:
        if len(self.classes_) < 2:
            raise ConfigError("SMOTE, as imbalanced-learn has it, needs two classes at least; one was given.")
        # neighbours are found among standardised features, lest one gene of large variance decides alone
        self.center_, self.scale_ = X.mean(axis=0), spread(X)
        self.samples_, self.codes_ = (X - self.center_) / self.scale_, codes

    def _sample(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from imblearn.over_sampling import SMOTE

        wanted = np.bincount(codes, minlength=len(self.classes_))
        targets = {k: int(self.class_counts_[k] + wanted[k]) for k in np.flatnonzero(wanted)}
        smote = SMOTE(
            sampling_strategy=targets, k_neighbors=int(self.n_neighbors), random_state=int(rng.integers(2**31))
        )
        samples, of = smote.fit_resample(self.samples_, self.codes_)
        samples, of = samples[len(self.codes_) :], of[len(self.codes_) :]  # the fitted ones come first
        drawn = np.empty((len(codes), self.n_features_in_))
        for k in targets:
            drawn[codes == k] = samples[of == k]
        return drawn * self.scale_ + self.center_

    def _state(self) -> dict[str, np.ndarray]:
        return {"samples": self.samples_, "codes": self.codes_, "center": self.center_, "scale": self.scale_}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.samples_, self.codes_ = state["samples"], state["codes"]
        self.center_, self.scale_ = state["center"], state["scale"]


def spread(X: np.ndarray) -> np.ndarray:
    """Standard deviation of each feature; 1 for one that is constant."""
    deviation = X.std(axis=0)
    return np.where(deviation > 1e-9 * (1.0 + np.abs(X.mean(axis=0))), deviation, 1.0)


def apportioned(counts: np.ndarray, n: int) -> np.ndarray:
    """`n` divided as `counts` are, in whole numbers; what rounding leaves goes to the largest remainders."""
    shares = counts * n / counts.sum()
    whole = np.floor(shares).astype(int)
    whole[np.argsort(whole - shares, kind="stable")[: n - whole.sum()]] += 1
    return whole


def _checked(X, y) -> tuple[np.ndarray, np.ndarray]:
    try:
        values = np.asarray(X, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataFormatError(f"Samples must be numbers ({error}); give samples × features.") from None
    labels = np.asarray(y).astype(str)
    if values.ndim != 2 or 0 in values.shape:
        raise DataFormatError(f"Samples have the shape {values.shape}; give a matrix, samples × features.")
    if labels.shape != (len(values),):
        raise DataFormatError(f"{len(values)} samples and classes of the shape {labels.shape}; give one for each.")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        name = X.columns[column] if isinstance(X, pd.DataFrame) else f"{column} (from 0)"
        raise DataFormatError(
            f"Feature {name} of sample {row} (from 0) is no finite number; impute it or leave it out."
        )
    return values, labels
