"""What is taken apart comes back, and what a hostile file says is refused; each test states one property."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from reproduce.errors import ConfigError, DataFormatError
from reproduce.matrices._archive import read_arrays, write_arrays
from reproduce.matrices._classes import ALLOWED, rebuilt
from reproduce.matrices.state import MAX_DEPTH, State, decode, encode


def there_and_back(thing, path):
    state = encode(thing)
    write_arrays(path, state.arrays)
    with open(path, "rb") as handle:
        arrays = read_arrays(handle, source="arrays.npz")
    return decode(State(json.loads(json.dumps(state.nodes, allow_nan=False)), arrays), source="state.json")


def read(path):
    with open(path, "rb") as handle:
        return read_arrays(handle, source=str(path))


# what comes back


def test_values_come_back_with_their_types(tmp_path):
    shared = [1, 2]
    thing = {
        "plain": [None, True, 0, -(2**70), 1.5, -0.0, "tëxt\ud800", b"\x00\xff", float("inf"), float("-inf")],
        "numpy": [np.float64(0.1), np.float32(0.1), np.int64(-3), np.uint64(2**63), np.bool_(True)],
        (1, 0.5): (shared, shared),
        3: {},
    }
    back = there_and_back(thing, tmp_path / "a.npz")
    assert back == thing and list(back) == list(thing)
    assert [type(value) for value in back["numpy"]] == [type(value) for value in thing["numpy"]]
    assert np.signbit(back["plain"][5])
    assert back[1, 0.5][0] is back[1, 0.5][1]  # shared before, shared after
    assert np.isnan(there_and_back([float("nan")], tmp_path / "b.npz")[0])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(24).reshape(4, 6)[::2, ::3],
        np.array(3.5),
        np.zeros((0, 4), dtype=bool),
        np.array([np.nan, -np.inf, -0.0]),
        np.arange(3, dtype=">i4"),
        np.array(["a", None, float("inf")], dtype=object),
        np.array(["ab", "c"]),
    ],
)
def test_arrays_come_back_bit_for_bit_in_their_order(array, tmp_path):
    back = there_and_back([array], tmp_path / "a.npz")[0]
    assert back.shape == array.shape and back.dtype == array.dtype.newbyteorder("=")
    assert back.tolist() == array.tolist() or np.array_equal(back, array, equal_nan=True)
    if array.flags.forc:
        assert back.flags.f_contiguous == array.flags.f_contiguous


def test_pandas_comes_back(tmp_path):
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, np.nan], "text": ["a", None]}, index=pd.Index(["r", "s"], name="row"))
    for thing in (frame, frame[["x"]], frame["text"], frame["x"], frame.index, frame.reset_index(drop=True)):
        back = there_and_back([thing], tmp_path / "a.npz")[0]
        if isinstance(thing, pd.DataFrame):
            pd.testing.assert_frame_equal(back, thing)
        else:
            assert back.equals(thing) and back.name == thing.name


def test_random_numbers_go_on_where_they_were(tmp_path):
    state = np.random.RandomState(3)
    state.normal(size=7)
    back = there_and_back([state], tmp_path / "a.npz")[0]
    np.testing.assert_array_equal(back.normal(size=2000), state.normal(size=2000))


@pytest.mark.parametrize(
    "forest", [RandomForestRegressor(3, random_state=0), HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=3)]
)
def test_trees_predict_the_same(forest, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    assert there_and_back([forest], tmp_path / "a.npz")[0].get_params() == forest.get_params()
    forest.fit(X, X[:, 0] * X[:, 1])
    back = there_and_back([forest], tmp_path / "a.npz")[0]
    X_new = rng.normal(size=(50, 4))
    X_new[::3, 1] = np.nan
    np.testing.assert_array_equal(back.predict(X_new), forest.predict(X_new))


@pytest.mark.parametrize(
    "thing", [lambda: 0, object(), {1, 2}, np.array([1j]), np.array([object()]), pd.Series(pd.to_datetime(["2020"]))]
)
def test_what_cannot_be_stored_without_code_is_named(thing):
    with pytest.raises(ConfigError, match=r"cannot be saved: (part|part\.0|part\.odd.*) is .* without code"):
        encode({"part": thing})


def test_what_holds_itself_is_refused():
    ring = []
    ring.append(ring)
    with pytest.raises(ConfigError, match="holds itself"):
        encode(ring)


# what a hostile file may say

GOOD_TREE = {"left": [1, 0, 0], "right": [2, 0, 0], "feature_idx": [0, 0, 0], "is_leaf": [0, 1, 1]}


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        "text",
        [7],
        [["eval", "1"]],
        [["list", [[0]]]],  # itself
        [["list", [[1]]], ["list", []]],  # a later one
        [["list", [[-1]]]],
        [["list", [[True]]]],
        [["list", [{"float": "1e5"}]]],
        [["list", [{"scalar": ["O", "00"]}]]],
        [["list", [{"scalar": [[["a", "<f8"]], "00"]}]]],
        [["list", [{"bytes": "zz"}]]],
        [["list", [1], 2]],
        [["dict", [[[0], 1]]]],
        [["list", []], ["dict", [[[0], 1]]]],  # a list as key
        [["dtype", "O"]],
        [["dtype", "<M8[s]"]],
        [["array", "absent"]],
        [["array", "../x"]],
        [["texts", "<U999999999", ["a"]]],
        [["texts", "<U1", ["too long"]]],
        [["dict", []], ["object", "Popen", [0]]],
        [["dict", []], ["object", "reproduce.imputers.median:TissueMedianImputer", [0]]],
        [["dict", []], ["object", "TissueMedianImputer", [0]]],  # no attribute that its constructor sets
        [["dict", [["mean", 1], ["covariance", 1], ["precision", 1], ["more", 1]]], ["object", "Normal", [0]]],
        [["dict", [["__class__", 1]]], ["object", "CovariateEncoder", [0]]],
        [["dict", [["transform", 1]]], ["object", "CovariateEncoder", [0]]],  # hides a method
        [["list", [1, 2]], ["object", "_ImputerTriplet", [0]]],
        [["random_state", 1, 2, 3, 4]],
        [["range", 0, "x", 1, None]],
        [["dict", [["kind", "os.system"]]], ["forest", [0]]],
    ],
)
def test_malformed_nodes_are_one_error(nodes):
    with pytest.raises(DataFormatError, match=r"state\.json.*opy"):
        decode(State(nodes, {}), source="state.json")


def test_absurdly_deep_or_large_things_are_refused():
    deep = [["list", []]] + [["list", [[k]]] for k in range(MAX_DEPTH + 5)]
    wide = [["list", []]] + [["list", [[k]] * 10] for k in range(12)]  # 10^12 things in thirteen nodes
    for nodes in (deep, wide):
        with pytest.raises(DataFormatError, match="absurdly"):
            decode(State(nodes, {}), source="state.json")


@pytest.mark.parametrize("field, position, value", [
    ("left", 0, 0), ("left", 0, 3), ("right", 0, 2**32 - 1), ("feature_idx", 0, 4), ("feature_idx", 0, -1),
    ("is_leaf", 2, 0), ("is_categorical", 1, 1),
])  # fmt: skip
def test_nodes_of_boosted_trees_that_lead_astray_are_refused(field, position, value):
    forest = HistGradientBoostingRegressor(max_iter=1, max_leaf_nodes=2, min_samples_leaf=1)
    X = np.arange(40.0).reshape(10, 4)
    state = encode([forest.fit(X, X[:, 0])])
    nodes = next(array for name, array in state.arrays.items() if name.endswith(f".nodes.{field}"))
    assert len(nodes) == 3
    nodes[position] = value
    with pytest.raises(DataFormatError, match=r"state\.json"):
        decode(state, source="state.json")


@pytest.mark.parametrize("field, value", [
    ("left_child", 0), ("left_child", 10**6), ("right_child", -2), ("feature", 4), ("feature", -2), ("left_child", -1),
])  # fmt: skip
def test_nodes_of_forests_that_lead_astray_are_refused(field, value):
    X = np.arange(40.0).reshape(10, 4)
    state = encode([RandomForestRegressor(1, random_state=0).fit(X, X[:, 0])])
    state.arrays[f"0.nodes.{field}"][0] = value
    if (field, value) == ("left_child", -1):  # a leaf as scikit-learn sees it: nothing to go wrong
        decode(state, source="state.json")
        return
    with pytest.raises(DataFormatError, match="tree"):
        decode(state, source="state.json")


def test_trees_whose_arrays_disagree_are_refused():
    X = np.arange(40.0).reshape(10, 4)
    whole = RandomForestRegressor(2, random_state=0).fit(X, X[:, 0])
    for name, array in (
        ("node_counts", np.array([2**62, 2**62, 2**63 - 1])),
        ("node_counts", np.array([-1, 5])),
        ("values", np.zeros(1)),
        ("nodes.feature", np.zeros(3, dtype=np.int32)),
        ("depths", np.zeros(9, dtype=np.int64)),
    ):
        state = encode([whole])
        state.arrays[f"0.{name}"] = array
        with pytest.raises(DataFormatError, match=r"state\.json"):
            decode(state, source="state.json")


def test_only_the_listed_classes_are_made_and_only_of_this_package_and_scikit_learn():
    assert all(module.startswith(("reproduce.", "sklearn.")) for module in ALLOWED.values())
    for name in ("DataFrame", "_Encoder", "system", "", None, 3, ["Normal"]):
        with pytest.raises(ValueError, match="none of the classes"):
            rebuilt(name, {})


# archives


def _npz(path, members, *, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def _header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _npy(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


class Bomb:
    """Would leave a trace if anything unpickled it."""

    def __reduce__(self):
        return (open, ("pickle was here", "w"))


def test_a_pickle_in_an_archive_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (_npy(np.array([Bomb()], dtype=object), allow_pickle=True), pickle.dumps(Bomb())):
        path = _npz(tmp_path / "a.npz", [("x.npy", content)])
        with pytest.raises(DataFormatError, match=r"a\.npz is damaged|pickled"):
            read(path)
    assert not (tmp_path / "pickle was here").exists()


@pytest.mark.parametrize("header", [
    _header("(10**18,)"), _header("(1000000000000000000,)"), _header("(4611686018427387904, 4)"), _header("(-1,)"),
    _header("(2,)"), _header("(1,)", "'<f1'"), _header("(2, 0, 1" + ", 1" * 70 + ")"),
    _header("(99999999999,)", "'<U0'"), _header("(1,)", "'|O'"), _header("(1,)", "[('a', '<f8')]"),
    _header("(1,)", "__import__('os').getcwd()"), b"\x93NUMPY\x02\x00\x00\x00", b"",
])  # fmt: skip
def test_a_header_that_lies_is_refused_before_memory_is_taken(header, tmp_path):
    path = _npz(tmp_path / "a.npz", [("x.npy", header + b"\0" * 8)])
    with pytest.raises(DataFormatError, match=r"a\.npz is damaged"):
        read(path)


def test_archives_of_another_make_are_refused(tmp_path):
    good = _npy(np.zeros(100_000))
    for path in (
        _npz(tmp_path / "packed.npz", [("x.npy", good)], compression=zipfile.ZIP_DEFLATED),
        _npz(tmp_path / "other.npz", [("x.txt", good)]),
        _npz(tmp_path / "more.npz", [("x.npy", good + b"more")]),
    ):
        with pytest.raises(DataFormatError, match="npz is damaged"):
            read(path)
    (tmp_path / "none.npz").write_bytes(b"no archive")
    with pytest.raises(DataFormatError, match="npz is damaged"):
        read(tmp_path / "none.npz")
