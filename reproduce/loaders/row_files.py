"""Opens matrices on disk to be read and written a few rows at a time; never holds a whole matrix and never imputes.

What can be read: an .h5ad file or a .zarr folder (an array, or AnnData's), an `anndata.AnnData` (backed or not), or
anything that has ``shape`` and gives rows as ``source[start:stop]``, such as an array of numpy, h5py, zarr or dask.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.files import atomic_path

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["RowSource", "open_rows", "refuse_target", "write_rows"]

#: Bytes of a block of rows in single precision, as far as the file's own chunks let it.
BLOCK_BYTES = 64 * 2**20
#: Bytes of a chunk of what is written: small enough to read one gene, large enough to read rows fast.
CHUNK_BYTES = 4 * 2**20
ENDINGS = (".h5ad", ".zarr")


@dataclass(frozen=True)
class RowSource:
    """A matrix that gives its rows a block at a time.

    Attributes
    ----------
    values : object
        With ``shape`` (n_samples, n_genes) and slices of rows; dense or sparse (whose zeros are zeros, not missing).
    name : str
        For messages.
    obs, var : DataFrame or None
        Tables of samples and genes, where there are any.
    """

    values: Any
    name: str
    obs: pd.DataFrame | None = None
    var: pd.DataFrame | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.values.shape[0]), int(self.values.shape[1])

    @property
    def genes(self) -> tuple[str, ...] | None:
        return None if self.var is None else tuple(map(str, self.var.index))

    def sample(self, row: int) -> str:
        """A row's name, or its number."""
        return f"row {row}" if self.obs is None else f"sample {self.obs.index[row]!r}"

    def gene(self, column: int) -> str:
        """A column's name, or its number."""
        return f"column {column}" if self.var is None else f"gene {self.var.index[column]!r}"

    def obs_columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Columns of `obs` by their names.

        Raises
        ------
        CovariateError
            For one that is not there.
        """
        known = [] if self.obs is None else list(self.obs.columns)
        if absent := [name for name in names if name not in known]:
            raise CovariateError(
                f"{self.name} has no column {absent[0]!r} of samples (it has: {', '.join(map(str, known)) or 'none'}); "
                "name another."
            )
        return self.obs[list(names)]

    def slices(self, block_rows: int | None = None) -> list[slice]:
        """Consecutive rows, `block_rows` at a time; if not given, about `BLOCK_BYTES` and whole chunks of the file."""
        n, p = self.shape
        if block_rows is None:
            block_rows = max(1, BLOCK_BYTES // max(4 * p, 1))
            of_file = getattr(self.values, "chunks", None)
            if of_file and isinstance(of_file[0], int) and of_file[0] <= block_rows:
                block_rows -= block_rows % of_file[0]
        return [slice(start, min(start + block_rows, n)) for start in range(0, n, block_rows)]

    def read(self, rows: slice) -> np.ndarray:
        """Rows (n_rows, n_genes) in float32, NaN where missing.

        Raises
        ------
        DataFormatError
            For values that are infinite or too large for float32, or no numbers, naming the first.
        """
        block = self.values[rows]
        block = block.toarray() if hasattr(block, "toarray") else np.asarray(block)
        if block.dtype.kind not in "fiub":
            raise DataFormatError(f"{self.name} holds values of type {block.dtype}; expression must be numbers.")
        with np.errstate(over="ignore"):
            block = block.astype(np.float32, copy=False)
        # a sum is the cheapest look at all values; only where it is odd are they looked at one by one
        if not np.isfinite(block.sum(dtype=np.float64)) and (infinite := np.isinf(block)).any():
            row, column = np.argwhere(infinite)[0]
            raise DataFormatError(
                f"{self.name} is infinite at {self.sample(rows.start + int(row))}, {self.gene(int(column))}; missing "
                "entries are NaN, all others finite."
            )
        return block


def open_rows(source: object) -> RowSource:
    """Open a matrix to read its rows.

    Parameters
    ----------
    source : path, AnnData, or object with ``shape`` and slices of rows
        See the module.

    Raises
    ------
    ConfigError
        For something else.
    DataFormatError
        If it has not two dimensions, or no rows or genes; for a file that does not exist, is damaged or of another
        kind.
    """
    if isinstance(source, RowSource):
        return source
    name = type(source).__name__
    if isinstance(source, str | os.PathLike):
        name, source = os.fspath(source), _opened(Path(source))
    if hasattr(source, "obs") and hasattr(source, "var") and hasattr(source, "X"):
        rows = RowSource(source.X, name, source.obs, source.var)
    elif isinstance(source, RowSource):
        rows = source
    elif hasattr(source, "shape") and hasattr(source, "__getitem__"):
        rows = RowSource(source, name)
    else:
        raise ConfigError(f"{name} has no rows to read; give a path ending in .h5ad or .zarr, an AnnData or an array.")
    shape = getattr(rows.values, "shape", ())
    if len(shape) != 2 or not all(shape):
        raise DataFormatError(f"{name} has shape {tuple(shape)}; give a matrix (n_samples, n_genes) that is not empty.")
    return rows


def _opened(path: Path) -> object:
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{path} ends in {path.suffix!r}; give a path that ends in {' or '.join(ENDINGS)}.")
    if not path.exists():
        raise DataFormatError(f"{path} does not exist.")
    from anndata._io.specs.registry import IORegistryError  # of a kind of part that this anndata does not know

    try:
        return _of_h5ad(path) if path.suffix == ".h5ad" else _of_zarr(path)
    except DataFormatError:
        raise
    except (*_OF_DAMAGED_FILES, IORegistryError) as error:
        what = "group or array of zarr" if path.suffix == ".zarr" else "file of AnnData"
        raise DataFormatError(
            f"{path} is no {what}, or it is damaged ({type(error).__name__}: {_first_line(error)}); get it again, or "
            "write it again with anndata."
        ) from error


#: What h5py, zarr and anndata raise on files that are cut short, of another kind, or lack a part. zarr's own errors
#: are ValueErrors.
_OF_DAMAGED_FILES = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no more is known"])[0][:200]


def _of_h5ad(path: Path) -> RowSource:
    import anndata
    import h5py

    with h5py.File(path, mode="r") as file:
        _check_parts(file, path)
    opened = anndata.read_h5ad(path, backed="r")
    return _checked(RowSource(opened.X, str(path), opened.obs, opened.var))


def _of_zarr(path: Path) -> RowSource:
    import zarr
    from anndata.io import read_elem, sparse_dataset

    opened = zarr.open(path, mode="r")
    if isinstance(opened, zarr.Array):
        return RowSource(opened, str(path))
    _check_parts(opened, path)
    values = opened["X"]
    values = values if isinstance(values, zarr.Array) else sparse_dataset(values)
    return _checked(RowSource(values, str(path), read_elem(opened["obs"]), read_elem(opened["var"])))


def _check_parts(opened: Any, path: Path) -> None:
    """Raise DataFormatError unless there are a matrix and its tables."""
    if absent := [name for name in ("X", "obs", "var") if name not in opened]:
        raise DataFormatError(
            f"{path} lacks {absent[0]!r} of the parts X, obs and var of an AnnData; write it again with anndata, "
            "expression in X, or open it and give a matrix within it instead of the path."
        )


def _checked(source: RowSource) -> RowSource:
    """The same, if its tables are tables and of the matrix's lengths."""
    for name, table, length in zip(("obs", "var"), (source.obs, source.var), source.values.shape):
        if not isinstance(table, pd.DataFrame):
            raise DataFormatError(f"{source.name}: {name} is no table of AnnData's; write the file with anndata.")
        if len(table) != length:
            raise DataFormatError(
                f"{source.name}: {name} has {len(table)} rows where X has {length}; the file is damaged: get it again."
            )
    return source


def refuse_target(target: str | os.PathLike[str]) -> None:
    """Raise ConfigError unless `target` is a path that can be written and does not exist yet."""
    path = Path(target)
    if path.suffix not in ENDINGS:
        raise ConfigError(f"target is {path}; give a path that ends in {' or '.join(ENDINGS)}.")
    if path.exists():
        raise ConfigError(f"{path} exists already; remove it or give another target.")


@contextlib.contextmanager
def write_rows(target: str | os.PathLike[str], like: RowSource) -> Iterator[Callable[[slice, np.ndarray], None]]:
    """Yield what writes rows to a new matrix in float32, which appears under its name when the block has succeeded.

    Parameters
    ----------
    target : path
        Ends in .h5ad or .zarr, and does not exist yet. Samples' and genes' tables are copied; a .zarr of a matrix
        without them is a plain array.
    like : RowSource
        Of the same shape.

    Yields
    ------
    callable
        ``write(rows, values)`` with a slice and float32 values (n_rows, n_genes).

    Raises
    ------
    ConfigError
        For another ending, or a target that exists.
    """
    refuse_target(target)
    n, p = like.shape
    chunks = (min(n, max(1, CHUNK_BYTES // (4 * p))), p)
    with atomic_path(target) as temporary, contextlib.ExitStack() as open_files:
        if Path(target).suffix == ".h5ad":
            import h5py

            _frame(like).write_h5ad(temporary)
            store = open_files.enter_context(h5py.File(temporary, "r+"))
            if "X" in store:
                del store["X"]
            values = store.create_dataset("X", shape=(n, p), dtype="float32", chunks=chunks)
            values.attrs.update(_OF_ANNDATA)
        else:
            values = _zarr_array(temporary, like, chunks)

        def write(rows: slice, block: np.ndarray) -> None:
            values[rows] = block

        yield write


_OF_ANNDATA = {"encoding-type": "array", "encoding-version": "0.2.0"}


def _zarr_array(path: Path, like: RowSource, chunks: tuple[int, int]) -> Any:
    import zarr

    if like.obs is None and like.var is None:
        return zarr.create_array(path, shape=like.shape, chunks=chunks, dtype="float32")
    _frame(like).write_zarr(path)
    store = zarr.open_group(path, mode="r+")
    if "X" in store:
        del store["X"]
    values = store.create_array("X", shape=like.shape, chunks=chunks, dtype="float32")
    values.attrs.update(_OF_ANNDATA)
    zarr.consolidate_metadata(store.store)  # the list of arrays that anndata wrote lacks this one
    return values


def _frame(like: RowSource) -> AnnData:
    """An AnnData with the tables of `like` and no matrix."""
    from anndata import AnnData

    n, p = like.shape
    obs = pd.DataFrame(index=range(n)) if like.obs is None else like.obs
    var = pd.DataFrame(index=range(p)) if like.var is None else like.var
    return AnnData(obs=_writable(obs), var=_writable(var))


def _writable(table: pd.DataFrame) -> pd.DataFrame:
    """A copy whose texts are Python's, the only ones that anndata 0.12 writes: names, and categories of columns."""
    copy = table.copy()
    copy.index = pd.Index([str(name) for name in table.index], dtype=object, name=table.index.name)
    for name, column in table.items():
        categories = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
        if pd.api.types.is_string_dtype(categories.dtype):
            codes, texts = pd.factorize(column.to_numpy(dtype=object), sort=True)
            copy[name] = pd.Categorical.from_codes(codes, categories=pd.Index(texts, dtype=object))
    return copy
