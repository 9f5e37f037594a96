"""The one contract of all translators: checks, names, standardisation, what comes back; never a rule of translation.

A translator learns from samples of which two layers were measured (pairs), and names the second layer of samples of
which only the first is known. A method subclasses `Translator` and writes `_fit` and `_translate` in standardised
space; what a user can get wrong is caught here once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from reproduce.errors import ConfigError, DataFormatError
from reproduce.saved_estimators import SavedEstimator

_ROLES = ("source", "target")
#: Fewest pairs that anything is learnt from.
LEAST_PAIRS = 4


@dataclass(frozen=True)
class LayerScale:
    """Features of one layer, with the mean and standard deviation that they had in fitting.

    Attributes
    ----------
    role : str
        "source" or "target", for messages.
    names : ndarray of str (n_features,) or None
        None where the layer came without names.
    center, scale : ndarray of float64 (n_features,)
        The scale of a constant feature is 0: it is standardised to 0, and restored as its constant.
    """

    role: str
    names: np.ndarray | None
    center: np.ndarray
    scale: np.ndarray

    def checked(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Values (n_samples, n_features) in the fitted order, float64; named features are matched by name.

        Raises
        ------
        DataFormatError
            For another number of features, names that were not fitted or are absent, or entries that are not finite.
        """
        if isinstance(X, pd.DataFrame) and self.names is not None:
            absent = pd.Index(self.names).difference(X.columns, sort=False)
            strange = X.columns.difference(pd.Index(self.names), sort=False)
            if len(absent) or len(strange):
                told = [f"{len(absent)} absent, such as {absent[0]!r}"] if len(absent) else []
                told += [f"{len(strange)} never fitted, such as {strange[0]!r}"] if len(strange) else []
                raise DataFormatError(
                    f"Features of the {self.role} layer differ: {'; '.join(told)}. Give those fitted."
                )
            X = X[list(self.names)]
        values = as_values(X, self.role)
        if values.shape[1] != len(self.center):
            raise DataFormatError(
                f"The {self.role} layer has {values.shape[1]} features; {len(self.center)} were fitted."
            )
        return values

    def standardised(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Checked values in units of the fitted standard deviation, from the fitted mean."""
        return (self.checked(X) - self.center) / np.where(self.scale > 0, self.scale, 1.0)

    def restored(self, Z: np.ndarray, like: pd.DataFrame | np.ndarray) -> pd.DataFrame | np.ndarray:
        """Standardised values in the layer's own unit; a DataFrame with the samples of `like` if that is one."""
        return self.labelled(self.center + self.scale * Z, like)

    def labelled(self, values: np.ndarray, like: pd.DataFrame | np.ndarray) -> pd.DataFrame | np.ndarray:
        """Values in the layer's own unit, with names of samples and features where there are any."""
        if not isinstance(like, pd.DataFrame):
            return values
        return pd.DataFrame(values, index=like.index, columns=self.names)


def scale_of(role: str, X: pd.DataFrame | np.ndarray) -> LayerScale:
    """The scale of a layer, learnt from its rows in pairs.

    Rows of one layer have no part in it: what they add to a translation is then what a method learns from them, and
    not a better mean, which every method could take.

    Raises
    ------
    DataFormatError
        For entries that are not finite, or names that occur twice.
    """
    names = X.columns.to_numpy(dtype=object) if isinstance(X, pd.DataFrame) else None
    if names is not None and (twice := X.columns[X.columns.duplicated()]).size:
        raise DataFormatError(f"Feature {twice[0]!r} of the {role} layer occurs twice; give every feature once.")
    values = as_values(X, role)
    spread = values.std(axis=0)
    constant = spread <= 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0, initial=0.0))
    return LayerScale(role, names, values.mean(axis=0), np.where(constant, 0.0, spread))


def as_values(X: pd.DataFrame | np.ndarray, role: str) -> np.ndarray:
    """Finite float64 (n_samples, n_features).

    Raises
    ------
    DataFormatError
        Naming sample and feature.
    """
    try:
        values = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataFormatError(f"The {role} layer holds what is no number ({error}).") from error
    if values.ndim != 2 or 0 in values.shape:
        raise DataFormatError(f"The {role} layer has shape {values.shape}; give samples × features.")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        named = isinstance(X, pd.DataFrame)
        where = f"sample {X.index[row]!r}, feature {X.columns[column]!r}" if named else f"row {row}, column {column}"
        raise DataFormatError(
            f"The {role} layer is not finite at {where}; fill or drop it first (`reproduce impute` fills)."
        )
    return values


class Translator(SavedEstimator, BaseEstimator):
    """Learns one layer of a sample from another; base of all methods.

    Layers are arrays or DataFrames (n_samples, n_features). Two DataFrames must name the same samples in the same
    order; named features are matched by name. Both layers are standardised inside, and what comes back is in the
    target's own unit. A feature that is constant in fitting is named as that constant.

    Attributes
    ----------
    source_, target_ : LayerScale
    """

    saved_form = "reproduce domain translator, 3"
    #: Whether one fit gives `translate_back` as well.
    both_ways = False
    #: Whether `fit` takes `unpaired_source` and `unpaired_target`.
    reads_unpaired = False

    def fit(self, source, target, clusters: Sequence | None = None):
        """Learn from pairs.

        Parameters
        ----------
        source : DataFrame or ndarray (n_samples, n_source_features)
        target : DataFrame or ndarray (n_samples, n_target_features)
        clusters : sequence (n_samples,), optional
            Class of each sample. Only auto-encoders with a `class_weight` learn from it; its length is checked always.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            For a hyperparameter out of range.
        DataFormatError
            For samples that are not paired, too few, or entries that are not finite.
        """
        self._begin(source, target, clusters)
        self.source_, self.target_ = scale_of("source", source), scale_of("target", target)
        self._fit(self.source_.standardised(source), self._targets(target), clusters)
        return self

    def translate(self, source) -> pd.DataFrame | np.ndarray:
        """The target layer (n_samples, n_target_features) of samples whose source layer is given.

        Raises
        ------
        DataFormatError
            For other features than those fitted.
        """
        check_is_fitted(self)
        return self.target_.restored(self._translate(self.source_.standardised(source)), source)

    def _saved(self):
        arrays = {f"state_{name}": values for name, values in self._state().items()}
        for role in _ROLES:
            layer: LayerScale = getattr(self, f"{role}_")
            arrays |= {f"{role}_center": layer.center, f"{role}_scale": layer.scale}
            if layer.names is not None:
                arrays[f"{role}_names"] = layer.names.astype(str)
        return self._state_in_words(), arrays

    def _take_back(self, words, arrays):
        for role in _ROLES:
            names = arrays.get(f"{role}_names")
            names = None if names is None else names.astype(object)
            setattr(self, f"{role}_", LayerScale(role, names, arrays[f"{role}_center"], arrays[f"{role}_scale"]))
        state = {n.removeprefix("state_"): values for n, values in arrays.items() if n.startswith("state_")}
        self._restore(state, words)

    def _begin(self, source, target, clusters: Sequence | None) -> None:
        self._check_parameters()
        check_pairs(source, target)
        if clusters is not None and len(clusters) != len(source):
            raise DataFormatError(f"{len(clusters)} clusters for {len(source)} samples; give one for each.")

    def _targets(self, target) -> np.ndarray:
        return self.target_.standardised(target)

    # what a method implements

    def _check_parameters(self) -> None:
        """Raise ConfigError for hyperparameters out of range."""

    def _fit(self, source: np.ndarray, target: np.ndarray, clusters: Sequence | None) -> None:
        """Learn from standardised pairs."""
        raise NotImplementedError

    def _translate(self, source: np.ndarray) -> np.ndarray:
        """Standardised target of standardised source."""
        raise NotImplementedError

    def _state(self) -> dict[str, np.ndarray]:
        """Arrays that `_restore` needs, besides the layers' scales."""
        raise NotImplementedError

    def _state_in_words(self) -> dict[str, object]:
        """What JSON holds better than arrays."""
        return {}

    def _restore(self, state: Mapping[str, np.ndarray], words: Mapping[str, object]) -> None:
        """Be fitted as the translator that gave this state."""
        raise NotImplementedError


def check_pairs(source, target) -> None:
    """Refuse layers whose rows are not the same samples.

    Raises
    ------
    DataFormatError
    """
    if len(source) != len(target):
        raise DataFormatError(
            f"Source has {len(source)} samples and target {len(target)}; give pairs to fit, and what is not paired "
            "as unpaired_source and unpaired_target to a translator that reads it."
        )
    if len(source) < LEAST_PAIRS:
        raise DataFormatError(f"{len(source)} pair(s); at least {LEAST_PAIRS} are needed to learn a translation.")
    if isinstance(source, pd.DataFrame) and isinstance(target, pd.DataFrame):
        differs = np.flatnonzero(source.index.to_numpy() != target.index.to_numpy())
        if differs.size:
            row = differs[0]
            raise DataFormatError(
                f"Row {row} (from 0) is sample {source.index[row]!r} in the source layer and {target.index[row]!r} in "
                "the target layer; give both the same samples in the same order."
            )


def check_grid(name: str, values: object, *, least: float) -> None:
    """Refuse what is no list of numbers from `least` on.

    Raises
    ------
    ConfigError
    """
    if not isinstance(values, (tuple, list)) or not values or not all(_is_number(v) and v >= least for v in values):
        raise ConfigError(f"{name} is {values!r}; give one number or more, each {least} or larger.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
