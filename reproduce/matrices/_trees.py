"""Fitted trees of scikit-learn as plain columns of numbers, and back; never hands a node to it that was not checked.

scikit-learn walks trees in compiled code that trusts every index. So the nodes are stored as one plain array a field,
all trees of a forest one after the other, and before they are given back it is checked that every child comes after its
parent and lies in the same tree (hence every walk ends) and that every split is on a column that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn._loss.loss import HalfSquaredError
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor
from sklearn.tree._tree import NODE_DTYPE, Tree

FORESTS = {
    "RandomForestRegressor": (RandomForestRegressor, DecisionTreeRegressor),
    "ExtraTreesRegressor": (ExtraTreesRegressor, ExtraTreeRegressor),
}
BOOSTED = "HistGradientBoostingRegressor"
_LEAF = -1


def is_forest(thing: object) -> bool:
    """Whether this module takes care of such an object."""
    return type(thing).__name__ in FORESTS or type(thing).__name__ == BOOSTED


def taken_apart(forest: Any) -> dict[str, object]:
    """A forest or boosted trees as plain values: `kind`, `parameters`, and if it is fitted its trees.

    Raises
    ------
    ValueError
        For a forest of a kind that no imputer here has: several outputs, categories, another loss.
    """
    kind, parameters = type(forest).__name__, forest.get_params(deep=False)
    plain = all(value is None or isinstance(value, (bool, int, float, str, np.number)) for value in parameters.values())
    if not plain:
        raise ValueError(f"a {kind} with a parameter that is neither number nor text")
    if not hasattr(forest, "n_features_in_"):
        return {"kind": kind, "parameters": parameters, "n_features": None}
    parts = _parts_boosted(forest) if kind == BOOSTED else _parts_forest(forest)
    return {"kind": kind, "parameters": parameters, "n_features": int(forest.n_features_in_), **parts}


def put_together(parts: dict[str, Any]) -> object:
    """The forest that `taken_apart` was given, as far as predicting needs it.

    Raises
    ------
    ValueError
        For anything that is not such parts, or nodes that would lead out of their tree.
    """
    kind, parameters, n_features = parts["kind"], parts["parameters"], parts["n_features"]
    if kind != BOOSTED and kind not in FORESTS:
        raise ValueError(f"{kind!r} is no kind of forest")
    cls = HistGradientBoostingRegressor if kind == BOOSTED else FORESTS[kind][0]
    if set(parameters) != set(cls._get_param_names()):
        raise ValueError(f"not the parameters of a {kind}")
    forest = cls(**parameters)
    if n_features is None:
        return forest
    if type(n_features) is not int or not 1 <= n_features < 2**31:
        raise ValueError(f"a {kind} of {n_features!r} columns")
    fill = _fill_boosted if kind == BOOSTED else _fill_forest
    fill(forest, n_features, parts)
    return forest


# forests


def _parts_forest(forest: Any) -> dict[str, object]:
    if forest.n_outputs_ != 1:
        raise ValueError("a forest that predicts several columns")
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    nodes = np.concatenate([state["nodes"] for state in states])
    return {
        "node_counts": np.array([len(state["nodes"]) for state in states], dtype=np.int64),
        "depths": np.array([state["max_depth"] for state in states], dtype=np.int64),
        "seeds": [tree.random_state for tree in forest.estimators_],
        "nodes": _columns(nodes),
        "values": np.concatenate([state["values"].ravel() for state in states]),
    }


def _fill_forest(forest: Any, n_features: int, parts: dict[str, Any]) -> None:
    nodes = _records(parts["nodes"], NODE_DTYPE)
    values = _numbers(parts["values"], np.float64, len(nodes))
    bounds = list(_bounds(parts["node_counts"], len(nodes)))
    depths = _numbers(parts["depths"], np.int64, len(bounds))
    if type(parts["seeds"]) is not list or len(parts["seeds"]) != len(bounds):
        raise ValueError("not one seed for each tree")
    kind = FORESTS[type(forest).__name__][1]
    forest.estimator_ = kind()
    forest.n_features_in_, forest.n_outputs_ = n_features, 1
    forest.estimators_ = []
    for (start, stop), depth, seed in zip(bounds, depths.tolist(), parts["seeds"]):
        own = nodes[start:stop]
        leaf = own["left_child"] == _LEAF
        _check_walks(own["left_child"], own["right_child"], own["feature"], leaf, n_features)
        tree = kind(**{name: getattr(forest, name) for name in forest.estimator_params} | {"random_state": seed})
        tree.n_features_in_, tree.n_outputs_ = n_features, 1
        tree.tree_ = Tree(n_features, np.array([1], dtype=np.intp), 1)
        tree.tree_.__setstate__({
            "max_depth": depth,
            "node_count": len(own),
            "nodes": np.ascontiguousarray(own),
            "values": values[start:stop].reshape(-1, 1, 1).copy(),
        })  # fmt: skip
        forest.estimators_.append(tree)


# boosted trees


def _parts_boosted(forest: Any) -> dict[str, object]:
    trees = [tree for of_round in forest._predictors for tree in of_round]
    nodes = np.concatenate([tree.nodes for tree in trees])
    if forest.n_trees_per_iteration_ != 1 or forest._preprocessor is not None or nodes["is_categorical"].any():
        raise ValueError("boosted trees of several outputs or with categories")
    if type(forest._loss) is not HalfSquaredError:
        raise ValueError(f"boosted trees of the loss {forest.loss!r}")
    return {
        "node_counts": np.array([len(tree.nodes) for tree in trees], dtype=np.int64),
        "nodes": _columns(nodes),
        "baseline": forest._baseline_prediction,
    }


def _fill_boosted(forest: Any, n_features: int, parts: dict[str, Any]) -> None:
    nodes = _records(parts["nodes"], PREDICTOR_RECORD_DTYPE)
    if nodes["is_categorical"].any() or forest.loss != "squared_error":
        raise ValueError("boosted trees with categories or another loss")
    forest._baseline_prediction = _numbers(parts["baseline"], np.float64, None).reshape(1, 1)
    forest._predictors = []
    for start, stop in _bounds(parts["node_counts"], len(nodes)):
        own = np.ascontiguousarray(nodes[start:stop])
        links = (own[name].astype(np.int64) for name in ("left", "right", "feature_idx"))
        _check_walks(*links, own["is_leaf"] != 0, n_features)
        bits = np.zeros((0, 8), dtype=np.uint32)
        forest._predictors.append([TreePredictor(own, bits, bits)])
    forest.n_features_in_ = forest._n_features = n_features
    forest.n_trees_per_iteration_, forest._preprocessor, forest.is_categorical_ = 1, None, None
    forest._loss = HalfSquaredError()
    forest._bin_mapper = _BinMapper()
    # predicting asks it for categories only, of which there are none
    forest._bin_mapper.is_categorical_ = np.zeros(n_features, dtype=np.uint8)
    forest._bin_mapper.bin_thresholds_ = []


# what both share


def _columns(nodes: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(nodes[name]) for name in nodes.dtype.names}


def _records(columns: dict[str, Any], dtype: np.dtype) -> np.ndarray:
    if type(columns) is not dict or set(columns) != set(dtype.names):
        raise ValueError("nodes have other fields than those of the installed scikit-learn")
    first = columns[dtype.names[0]]
    nodes = np.zeros(len(first), dtype=dtype)
    for name in dtype.names:
        nodes[name] = _numbers(columns[name], dtype[name], len(first))
    return nodes


def _numbers(values: Any, dtype: Any, length: int | None) -> np.ndarray:
    if (
        not isinstance(values, np.ndarray)
        or values.dtype != dtype
        or (length is not None and values.shape != (length,))
    ):
        raise ValueError(f"an array of {np.dtype(dtype)} of another shape or kind than expected")
    return values


def _bounds(counts: Any, total: int) -> Iterator[tuple[int, int]]:
    counts = _numbers(counts, np.int64, len(counts))
    # by Python's integers, which cannot overflow
    if any(count < 1 for count in counts.tolist()) or sum(counts.tolist()) != total:
        raise ValueError("numbers of nodes that do not add up")
    ends = np.cumsum(counts).tolist()
    return zip([0, *ends[:-1]], ends)


def _check_walks(left: np.ndarray, right: np.ndarray, feature: np.ndarray, leaf: np.ndarray, n_features: int) -> None:
    """Raise ValueError unless every child of an inner node comes after it and every split is on a known column."""
    inner = np.flatnonzero(~leaf)
    for child in (left[inner], right[inner]):
        if (child <= inner).any() or (child >= len(left)).any():
            raise ValueError("a tree with a child outside of it or before its parent")
    if (feature[inner] < 0).any() or (feature[inner] >= n_features).any():
        raise ValueError("a tree that splits on a column that is not there")
