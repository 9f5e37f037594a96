"""Imports missingpy 0.2.0 on a current scientific stack; never changes what other users of scikit-learn or numpy see.

missingpy was last released in 2018 and uses names that its dependencies have since moved or dropped:

| missingpy expects | now |
| --- | --- |
| `sklearn.neighbors.base` with `_check_weights`, `_get_weights` | `_base`, with the second only |
| `check_array(force_all_finite=, warn_on_dtype=)` | `ensure_all_finite=`; dropped |
| `np.in1d`, `np.bool` as the Python type | `np.isin`, bool |
| `scipy.stats.mode` keeps the reduced axis | it does not unless told |
| forests with `criterion="mse"`, `max_features="auto"` | "squared_error"; 1.0 (regression), "sqrt" (classification) |
| `print` for progress | a line on the log of this module at level DEBUG |

Each is replaced in missingpy's own module namespaces after import. The stand-in for `sklearn.neighbors.base` exists
only while missingpy is being imported, and the distance that missingpy registers in scikit-learn is taken out again.
"""

from __future__ import annotations

import importlib
import logging
import sys
from functools import cache
from types import ModuleType

import numpy as np
import scipy.stats
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import pairwise as sklearn_pairwise
from sklearn.neighbors import _base as neighbors_base
from sklearn.utils import check_array as sklearn_check_array

logger = logging.getLogger(__name__)

_STAND_IN = "sklearn.neighbors.base"
_METRIC = "masked_euclidean"


class _OldNumpy:
    """numpy with the two dropped names that missingpy uses."""

    bool = bool

    @staticmethod
    def in1d(values, test):
        return np.isin(np.ravel(values), test)

    def __getattr__(self, name: str):
        return getattr(np, name)


def _check_array(X, *args, force_all_finite=True, warn_on_dtype=None, **kwargs):
    return sklearn_check_array(X, *args, ensure_all_finite=force_all_finite, **kwargs)


def _mode(X, axis=0, nan_policy="propagate"):
    return scipy.stats.mode(X, axis=axis, nan_policy=nan_policy, keepdims=True)


def _check_weights(weights):
    if weights not in (None, "uniform", "distance") and not callable(weights):
        raise ValueError("weights not recognized: should be 'uniform', 'distance', or a callable function")
    return weights


def _regressor(criterion="mse", max_features="auto", **parameters):
    criterion = {"mse": "squared_error", "mae": "absolute_error"}.get(criterion, criterion)
    return RandomForestRegressor(
        criterion=criterion, max_features=1.0 if max_features == "auto" else max_features, **parameters
    )


def _classifier(max_features="auto", **parameters):
    return RandomForestClassifier(max_features="sqrt" if max_features == "auto" else max_features, **parameters)


def _log(*words: object) -> None:
    logger.debug(" ".join(map(str, words)))


@cache
def load_missingpy() -> ModuleType:
    """Import missingpy and make it work here.

    Returns
    -------
    module
        With `MissForest` and `KNNImputer`.
    """
    metrics = list(sklearn_pairwise._VALID_METRICS)
    missingpy = _import_with_stand_in()
    missforest, knn, pairwise = (
        importlib.import_module(f"missingpy.{name}") for name in ("missforest", "knnimpute", "pairwise_external")
    )
    for module in (missforest, knn, pairwise):
        module.check_array = _check_array
        module.np = _OldNumpy()
    missforest.mode = _mode
    missforest.print = _log
    missforest.RandomForestRegressor = _regressor
    missforest.RandomForestClassifier = _classifier
    # missingpy keeps its distance, scikit-learn's tables go back to what they were
    pairwise._VALID_METRICS = list(pairwise._VALID_METRICS)
    pairwise.PAIRWISE_DISTANCE_FUNCTIONS = dict(pairwise.PAIRWISE_DISTANCE_FUNCTIONS)
    sklearn_pairwise._VALID_METRICS[:] = metrics
    sklearn_pairwise.PAIRWISE_DISTANCE_FUNCTIONS.pop(_METRIC, None)
    return missingpy


def _import_with_stand_in() -> ModuleType:
    stand_in = ModuleType(_STAND_IN)
    stand_in._check_weights = _check_weights
    stand_in._get_weights = neighbors_base._get_weights
    before = sys.modules.get(_STAND_IN)
    sys.modules[_STAND_IN] = stand_in
    try:
        return importlib.import_module("missingpy")
    finally:
        if before is None:
            del sys.modules[_STAND_IN]
        else:
            sys.modules[_STAND_IN] = before
