"""Reads the matrix of an AnnData file and writes a copy of the file with holes filled; all else in it stays."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reproduce.errors import DataFormatError
from reproduce.matrices._fields import kept_aside
from reproduce.matrices._h5ad_inspection import inspected
from reproduce.matrices._parquet import _first_line
from reproduce.matrices._text import Table

if TYPE_CHECKING:
    import h5py
    import pandas as pd

_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class H5adForm:
    """How the matrix lies in the file.

    Attributes
    ----------
    key : str
        "X", or "layers/" and the layer's name.
    dtype : str
    sparse : str
        "" for a dense matrix, else "csr" or "csc"; what is not stored there is zero, not missing.
    data : bytes
        The whole file.
    """

    key: str
    dtype: str
    sparse: str
    data: bytes = field(repr=False, compare=False)


def read_h5ad(data: bytes, path: Path, layer: str | None = None) -> tuple[Table, H5adForm, pd.DataFrame]:
    """Read a matrix and the table of its samples from a file's bytes.

    Another process walks through the file first, since the HDF5 library can hang or crash on a damaged one; see
    `reproduce.matrices._h5ad_inspection`.

    Parameters
    ----------
    data : bytes
    path : Path
        Named in messages.
    layer : str, optional
        The layer to read; `X` if not given.

    Returns
    -------
    Table
    H5adForm
    DataFrame (n_samples, n_columns)
        `obs`.
    """
    if not data.startswith(_MAGIC):
        raise DataFormatError(f"{path}: this is not an .h5ad file; get it again, or check its name")
    with inspected(data, path, layer):  # takes no longer than these imports
        import anndata.io  # noqa: F401
        import h5py
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            key = _key(file, layer, path)
            obs, genes = _tables(file)
            values, sparse, dtype = _matrix(file[key], path)
    except DataFormatError:
        raise
    except Exception as error:  # a damaged file makes HDF5 and anndata raise nearly anything
        raise DataFormatError(f"{path}: the .h5ad file is damaged or not AnnData's ({_first_line(error)}); get "
                              "it again, or write it with a current anndata") from error  # fmt: skip
    if values.shape != (len(obs), len(genes)):
        raise DataFormatError(
            f"{path}: {key} has shape {values.shape} for {len(obs)} samples in obs and {len(genes)} genes in "
            "var; the file is damaged: get it again"
        )
    notes = [f"{key} holds the values"] if layer else []
    if sparse:
        notes.append(f"{key} is sparse: what it does not store is zero, and only stored NaN are missing")
    notes_on_columns = (kept_aside(list(map(str, obs.columns)), of_obs=True),) if len(obs.columns) else ()
    table = Table([str(name) for name in obs.index], genes, values, (*notes, *notes_on_columns), notes_on_columns)
    return table, H5adForm(key, dtype, sparse, data), obs


def filled_h5ad(form: H5adForm, filled: np.ndarray, holes: np.ndarray) -> bytes:
    """Bytes of the file with values in its holes, in the matrix' own type.

    Parameters
    ----------
    form : H5adForm
    filled, holes : ndarray (n_samples, n_genes)
        A hole whose value is NaN stays as it is.
    """
    import h5py

    target = io.BytesIO(form.data)
    try:
        with h5py.File(target, "r+") as file:
            _fill(file[form.key], form, filled, holes & ~np.isnan(filled))
    except (OSError, RuntimeError, KeyError) as error:  # readable, but not to be changed
        raise DataFormatError(
            f"the .h5ad file that was read is damaged ({_first_line(error)}), so no filled copy of it can be written; "
            "write another format, such as .parquet"
        ) from error
    return target.getvalue()


def _fill(place: Any, form: H5adForm, filled: np.ndarray, replaced: np.ndarray) -> None:
    stored = place["data"] if form.sparse else place
    values = stored[()]
    new, at = _stored_holes(place, form.sparse, filled) if form.sparse else (filled[replaced], replaced)
    if not len(new):
        return
    if np.abs(new).max() > np.finfo(values.dtype).max:
        raise DataFormatError(
            f"a filled value does not fit into {values.dtype}, the type of {form.key}; write another format, or store "
            "the matrix as float32"
        )
    values[at] = new
    stored[...] = values


def new_h5ad(values: pd.DataFrame, obs: pd.DataFrame | None) -> bytes:
    """Bytes of a new file; `values` (n_samples, n_genes) with names."""
    import tempfile

    import pandas as pd
    from anndata import AnnData

    var = pd.DataFrame(index=pd.Index(values.columns.astype(str), dtype=object))
    obs = pd.DataFrame(index=values.index) if obs is None else obs
    obs = obs.set_axis(pd.Index(obs.index.astype(str), dtype=object))
    for name, kind in obs.dtypes.items():
        if kind.kind == "O":  # text, which may be missing where it is stored as categories
            column = obs[name].astype("category")
            # as Python's strings: anndata does not write pandas' own
            obs[name] = column.cat.rename_categories(pd.Index(column.cat.categories.astype(str), dtype=object))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.h5ad"
        AnnData(X=values.to_numpy(), obs=obs, var=var).write_h5ad(path)
        return path.read_bytes()


def _key(file: h5py.File, layer: str | None, path: Path) -> str:
    layers = sorted(file["layers"]) if "layers" in file else []
    if layer is not None:
        if layer not in layers:
            raise DataFormatError(f"{path}: there is no layer {layer!r}; it has {', '.join(layers) or 'none'}")
        return f"layers/{layer}"
    if "X" not in file or file["X"].attrs.get("encoding-type") == "null":
        told = f"name one of its layers: {', '.join(layers)}" if layers else "it has no layers either"
        raise DataFormatError(f"{path}: there is no matrix X in the file; {told}")
    return "X"


def _tables(file: h5py.File) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd
    from anndata.io import read_elem

    obs, var = read_elem(file["obs"]), read_elem(file["var"])
    if not isinstance(obs, pd.DataFrame) or not isinstance(var, pd.DataFrame):
        raise TypeError("obs or var is no table")
    return obs, [str(name) for name in var.index]


def _matrix(stored: Any, path: Path) -> tuple[np.ndarray, str, str]:
    """Values as float32 or float64, the sparse layout or "", and the type in the file."""
    from anndata.io import read_elem

    kind = str(stored.attrs.get("encoding-type", "array"))
    sparse = {"csr_matrix": "csr", "csc_matrix": "csc"}.get(kind, "")
    numbers = stored["data"].dtype if sparse else stored.dtype
    if numbers.kind not in "fiu":
        raise DataFormatError(f"{path}: the matrix is of the type {numbers}; numbers are expected")
    shape = tuple(int(length) for length in (stored.attrs["shape"] if sparse else stored.shape))
    if len(shape) != 2:
        raise DataFormatError(f"{path}: the matrix has {len(shape)} dimensions; samples and genes are expected")
    _refuse_too_large(shape, path)
    single = numbers.kind == "f" and numbers.itemsize <= 4
    matrix = read_elem(stored)
    if sparse:
        matrix.check_format(full_check=True)
        matrix = matrix.toarray()
    return np.asarray(matrix).astype(np.float32 if single else np.float64), sparse, str(numbers)


def _refuse_too_large(shape: tuple[int, ...], path: Path) -> None:
    """A damaged shape must not ask for all memory, nor a sparse matrix for more than there is."""
    import os

    needed = 8 * shape[0] * shape[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise DataFormatError(
            f"{path}: {shape[0]:,} samples × {shape[1]:,} genes need {needed / 1e9:,.0f} GB, this machine has "
            f"{memory / 1e9:,.0f}; give fewer genes or samples"
        )


def _stored_holes(place: Any, sparse: str, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New values of the stored NaN, and where they are stored."""
    values, inner, pointer = place["data"][()], place["indices"][()], place["indptr"][()]
    outer = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
    at = np.flatnonzero(np.isnan(values)) if values.dtype.kind == "f" else np.empty(0, dtype=np.int64)
    row, column = (outer[at], inner[at]) if sparse == "csr" else (inner[at], outer[at])
    new = filled[row, column]
    known = ~np.isnan(new)
    return new[known], at[known]
