"""Takes a fitted imputer apart into JSON and named arrays, and puts it together again; never runs what it reads.

What is stored is a list of nodes, each of which refers only to nodes before it. So nothing can hold itself, a thing
that is shared is stored once and is shared again, and reading is one loop. Values within a node are

* null, true, false, an integer, a finite number or a text: themselves;
* ``{"float": "inf"}`` (or "-inf", "nan"), ``{"bytes": hexadecimal}``, NumPy's ``{"scalar": [dtype, hexadecimal]}``;
* ``[k]``: node k.

and nodes are ``[kind, ...]``, the kinds being those of `_READERS`. Classes are those of `_classes.ALLOWED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.matrices import _classes, _trees
from reproduce.matrices._archive import is_plain

#: How deep things may lie in each other, and how many there may be counted with repeats; a fitted imputer has about 15
#: levels and at most some millions of things.
MAX_DEPTH = 60
MAX_THINGS = 10**9
_UNTOLD = ("inf", "-inf", "nan")


@dataclass(frozen=True)
class State:
    """A thing taken apart.

    Attributes
    ----------
    nodes : list of list
        JSON without NaN and infinity; the last node is the whole.
    arrays : dict of str to ndarray
        By the place where they were found, such as ``imputer.center_``.
    """

    nodes: list[list[Any]]
    arrays: dict[str, np.ndarray]


def encode(whole: object) -> State:
    """Take a thing apart.

    Parameters
    ----------
    whole : object
        Dictionaries, lists, tuples, arrays, numbers, text, pandas' frames, series and indices, and objects of the
        classes that `_classes` and `_trees` know.

    Raises
    ------
    ConfigError
        For anything else, naming the place; for a thing that holds itself, or lies too deep.
    """
    encoder = _Encoder()
    encoder.node(whole, ())
    return State(encoder.nodes, encoder.arrays)


def decode(state: State, *, source: str) -> object:
    """Put a thing together.

    Parameters
    ----------
    state : State
        As read from files; not trusted.
    source : str
        Named in errors.

    Raises
    ------
    DataFormatError
        For an unknown kind of node or class, a reference that does not point back, or values that are no such thing.
    """
    decoder = _Decoder(state.arrays)
    if type(state.nodes) is not list or not state.nodes:
        raise DataFormatError(f"{source} holds no list of nodes: it is no model. Copy the model again.")
    for position, node in enumerate(state.nodes):
        try:
            decoder.add(node)
        # whatever a malformed node does to the constructors of NumPy and pandas is one and the same error to a user
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise DataFormatError(
                f"{source}: node {position} cannot be read: {error}. The model is damaged or was not written by this "
                "package; copy it again, or train it anew."
            ) from None
    return decoder.things[-1]


# writing


class _Encoder:
    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        # the thing is kept beside its node, so that its id stays its own
        self._known: dict[int, tuple[object, int]] = {}
        self._open: set[int] = set()

    def value(self, thing: object, place: tuple[str, ...]) -> Any:
        if thing is None or type(thing) in (bool, int, str):
            return thing
        if type(thing) is float:
            return thing if math.isfinite(thing) else {"float": repr(thing)}
        if isinstance(thing, np.str_):
            return str(thing)
        if isinstance(thing, np.generic) and is_plain(thing.dtype):
            return {"scalar": [thing.dtype.newbyteorder("<").str, thing.tobytes().hex()]}
        if type(thing) is bytes:
            return {"bytes": thing.hex()}
        return [self.node(thing, place)]

    def values(self, things: Any, place: tuple[str, ...]) -> list[Any]:
        return [self.value(thing, (*place, str(position))) for position, thing in enumerate(things)]

    def node(self, thing: object, place: tuple[str, ...]) -> int:
        if id(thing) in self._known:
            return self._known[id(thing)][1]
        if id(thing) in self._open or len(place) > MAX_DEPTH:
            raise ConfigError(f"{'.'.join(place)} holds itself or lies too deep, so the model cannot be saved.")
        self._open.add(id(thing))
        self.nodes.append(self._written(thing, place))  # its own parts have been appended by now
        self._open.remove(id(thing))
        self._known[id(thing)] = (thing, len(self.nodes) - 1)
        return len(self.nodes) - 1

    def _written(self, thing: Any, place: tuple[str, ...]) -> list[Any]:
        kind = type(thing)
        if kind is dict:
            return ["dict", self._items(thing, place)]
        if kind in (list, tuple):
            return [kind.__name__, self.values(thing, place)]
        if isinstance(thing, np.ndarray):
            return self._array(thing, place)
        if isinstance(thing, np.dtype) and is_plain(thing):
            return ["dtype", thing.newbyteorder("<").str]
        if isinstance(thing, (pd.Index, pd.Series, pd.DataFrame)):
            return self._of_pandas(thing, place)
        if kind is np.random.RandomState:
            return ["random_state", *self.values(thing.get_state(legacy=True)[1:], place)]
        if _trees.is_forest(thing):
            return ["forest", self.value(self._checked(_trees.taken_apart, thing, place), place)]
        name = _classes.name_of(thing)
        if name is None:
            self._refuse(thing, place)
        parts = _classes.attributes_of(thing)
        return ["object", name, self.value(parts, place)]

    def _items(self, items: dict[Any, Any], place: tuple[str, ...]) -> list[Any]:
        return [
            [
                self.value(key, (*place, str(position), "key")),
                self.value(value, (*place, key if type(key) is str and key.isidentifier() else str(position))),
            ]
            for position, (key, value) in enumerate(items.items())
        ]

    def _array(self, array: np.ndarray, place: tuple[str, ...]) -> list[Any]:
        if array.dtype.kind in "OU" and array.ndim == 1:
            return [
                "texts",
                "object" if array.dtype.kind == "O" else array.dtype.str,
                self.values(array.tolist(), place),
            ]
        if not is_plain(array.dtype):
            self._refuse(array, place)
        name = base = ".".join(place) or "whole"
        while name in self.arrays:
            name = f"{base}-{len(self.arrays)}"
        self.arrays[name] = np.asarray(array)
        return ["array", name]

    def _of_pandas(self, thing: Any, place: tuple[str, ...]) -> list[Any]:
        if type(thing) is pd.RangeIndex:
            return ["range", thing.start, thing.stop, thing.step, self.value(thing.name, place)]
        if isinstance(thing, pd.DataFrame):
            kinds = set(thing.dtypes)
            whole = len(kinds) == 1 and isinstance(kind := kinds.pop(), np.dtype) and is_plain(kind)
            columns = [thing.iloc[:, position] for position in range(thing.shape[1])]
            values = thing.to_numpy() if whole else [self._column(column, place) for column in columns]
            return ["frame", *(self.value(part, place) for part in (thing.index, thing.columns, values))]
        if type(thing) not in (pd.Index, pd.Series):
            self._refuse(thing, place)
        parts = [self.value(self._column(thing, place), place), self.value(thing.name, place)]
        return ["index", *parts] if isinstance(thing, pd.Index) else ["series", self.value(thing.index, place), *parts]

    def _column(self, column: pd.Index | pd.Series, place: tuple[str, ...]) -> tuple[str, np.ndarray]:
        if isinstance(column.dtype, np.dtype) and is_plain(column.dtype):
            return column.dtype.str, column.to_numpy()
        if str(column.dtype) not in ("object", "str"):
            self._refuse(column, place)
        return str(column.dtype), column.to_numpy(dtype=object)

    def _checked(self, function: Callable, thing: object, place: tuple[str, ...]) -> object:
        try:
            return function(thing)
        except ValueError as error:
            raise ConfigError(f"The model cannot be saved: {'.'.join(place)} is {error}.") from None

    def _refuse(self, thing: object, place: tuple[str, ...]) -> None:
        what = (
            f"of dtype {thing.dtype}"
            if hasattr(thing, "dtype")
            else f"a {type(thing).__module__}.{type(thing).__name__}"
        )
        raise ConfigError(
            f"The model cannot be saved: {'.'.join(place) or 'it'} is {what}, which cannot be stored without code."
        )


# reading


class _Decoder:
    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.things: list[Any] = []
        self._arrays = arrays
        self._depth: list[int] = []
        self._size: list[int] = []
        self._parts: list[int] = []

    def add(self, node: Any) -> None:
        self._parts = []
        if type(node) is not list or not node or type(node[0]) is not str or node[0] not in _READERS:
            raise ValueError("it is of no known kind")
        self.things.append(_READERS[node[0]](self, *node[1:]))
        self._depth.append(1 + max((self._depth[part] for part in self._parts), default=0))
        self._size.append(1 + sum(self._size[part] for part in self._parts))
        if self._depth[-1] > MAX_DEPTH or self._size[-1] > MAX_THINGS:
            raise ValueError("it is absurdly deep or large")

    def value(self, told: Any) -> Any:
        if told is None or type(told) in (bool, int, float, str):
            return told
        if type(told) is list and len(told) == 1 and type(told[0]) is int and 0 <= told[0] < len(self.things):
            self._parts.append(told[0])
            return self.things[told[0]]
        if type(told) is dict and len(told) == 1:
            ((kind, content),) = told.items()
            if kind == "float" and content in _UNTOLD:
                return float(content)
            if kind == "bytes":
                return bytes.fromhex(content)
            if kind == "scalar":
                dtype, digits = content
                (number,) = np.frombuffer(bytes.fromhex(digits), dtype=_plain_dtype(dtype))
                return number
        raise ValueError("it holds something that is no value, or a reference that does not point back")

    def values(self, told: Any) -> list[Any]:
        if type(told) is not list:
            raise ValueError("it holds no list")
        return [self.value(one) for one in told]

    def typed(self, told: Any, *kinds: type) -> Any:
        value = self.value(told)
        if not isinstance(value, kinds):
            raise ValueError(f"it holds a {type(value).__name__}, not {' or '.join(kind.__name__ for kind in kinds)}")
        return value

    # one method a kind of node

    def dict_(self, items: Any) -> dict[Any, Any]:
        return {self.value(key): self.value(value) for key, value in items}

    def tuple_(self, told: Any) -> tuple[Any, ...]:
        return tuple(self.values(told))

    def array(self, name: Any) -> np.ndarray:
        if type(name) is not str or name not in self._arrays:
            raise ValueError(f"there is no array {name!r}")
        return self._arrays[name]

    def texts(self, dtype: Any, told: Any) -> np.ndarray:
        values = self.values(told)
        if dtype != "object":
            if type(dtype) is not str or not all(type(value) is str for value in values):
                raise ValueError("it holds something else than texts")
            width = max(map(len, values), default=0)
            if dtype[:2] != "<U" or not dtype[2:].isdecimal() or not width <= int(dtype[2:]) <= 10_000:
                raise ValueError(f"dtype {dtype!r} does not fit its texts")
            return np.array(values, dtype=dtype)
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array

    def dtype(self, told: Any) -> np.dtype:
        return _plain_dtype(told)

    def random_state(self, key: Any, *rest: Any) -> np.random.RandomState:
        key, (position, has_gauss, gauss) = self.typed(key, np.ndarray), self.values(list(rest))
        if key.dtype != np.uint32 or key.shape != (624,) or type(position) is not int or not 0 <= position <= 624:
            raise ValueError("it is no state of random numbers")
        state = np.random.RandomState()
        state.set_state(("MT19937", key, position, int(bool(has_gauss)), float(gauss)))
        return state

    def range(self, start: Any, stop: Any, step: Any, name: Any) -> pd.RangeIndex:
        return pd.RangeIndex(start, stop, step, name=self.value(name))

    def index(self, column: Any, name: Any) -> pd.Index:
        values, dtype = self._column(self.value(column))
        return pd.Index(values, dtype=dtype, name=self.value(name), copy=False)

    def series(self, index: Any, column: Any, name: Any) -> pd.Series:
        values, dtype = self._column(self.value(column))
        return pd.Series(values, index=self.typed(index, pd.Index), dtype=dtype, name=self.value(name), copy=False)

    def frame(self, index: Any, columns: Any, values: Any) -> pd.DataFrame:
        index, columns = self.typed(index, pd.Index), self.typed(columns, pd.Index)
        values = self.typed(values, np.ndarray, list)
        if isinstance(values, np.ndarray):
            return pd.DataFrame(values, index=index, columns=columns, copy=False)
        parts = [self._column(column) for column in values]
        frame = pd.DataFrame({at: pd.Series(v, index=index, dtype=d) for at, (v, d) in enumerate(parts)}, index=index)
        frame.columns = columns
        return frame

    def _column(self, told: Any) -> tuple[np.ndarray, Any]:
        dtype, values = told
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            raise ValueError("a column is no array")
        if dtype not in ("object", "str") and values.dtype != _plain_dtype(dtype):
            raise ValueError("a column has another dtype than it says")
        return values, dtype if dtype in ("object", "str") else values.dtype

    def forest(self, parts: Any) -> object:
        return _trees.put_together(self.typed(parts, dict))

    def object_(self, name: Any, attributes: Any) -> object:
        return _classes.rebuilt(name, self.typed(attributes, dict, list))


_READERS: dict[str, Callable[..., Any]] = {
    "dict": _Decoder.dict_,
    "list": _Decoder.values,
    "tuple": _Decoder.tuple_,
    "array": _Decoder.array,
    "texts": _Decoder.texts,
    "dtype": _Decoder.dtype,
    "random_state": _Decoder.random_state,
    "range": _Decoder.range,
    "index": _Decoder.index,
    "series": _Decoder.series,
    "frame": _Decoder.frame,
    "forest": _Decoder.forest,
    "object": _Decoder.object_,
}


def _plain_dtype(told: Any) -> np.dtype:
    # text only: NumPy would read structured types from lists, and pickled ones from "O"
    dtype = np.dtype(told) if type(told) is str else None
    if dtype is None or not is_plain(dtype):
        raise ValueError(f"{told!r} is no dtype of plain numbers")
    return dtype
