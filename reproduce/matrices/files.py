"""Reads a person's matrix from a file and writes it back with holes filled; never changes a value that was known.

    matrix = read_matrix("cohort.csv.gz")          # samples × genes, NaN where missing; matrix.notes says more
    write_matrix(matrix, filled, "filled.csv.gz")  # the same layout; known entries as they stood, to the letter

Formats: csv, tsv, txt, gct, parquet and h5ad, each also with .gz behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.loaders.container import some
from reproduce.matrices._checks import check_names, check_values
from reproduce.matrices._orientation import find_orientation
from reproduce.matrices._packing import read_bytes, write_bytes

if TYPE_CHECKING:
    from reproduce.matrices._h5ad import H5adForm
    from reproduce.matrices._parquet import ParquetForm
    from reproduce.matrices._text import Table, TextForm

__all__ = [
    "FORMATS",
    "Layout",
    "Matrix",
    "covariates_of_obs",
    "read_covariates",
    "read_matrix",
    "write_frame",
    "write_matrix",
]

_TEXT = ("csv", "tsv", "txt", "gct")
FORMATS = (*_TEXT, "parquet", "h5ad")
ORIENTATIONS = ("samples_by_genes", "genes_by_samples")


@dataclass(frozen=True)
class Layout:
    """Everything needed to write the same form again.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    compressed : bool
        Whether gzip lies around it.
    orientation : {"samples_by_genes", "genes_by_samples"}
        What the file's rows and columns are.
    form : TextForm, ParquetForm or H5adForm
        Separator, encoding, types …, and the content that was read.
    """

    format: str
    compressed: bool
    orientation: str
    form: TextForm | ParquetForm | H5adForm

    @property
    def genes_in_rows(self) -> bool:
        return self.orientation == "genes_by_samples"


@dataclass(frozen=True)
class Matrix:
    """A matrix as a person has it.

    Attributes
    ----------
    values : DataFrame (n_samples, n_genes)
        float32 or float64, NaN where missing; names as in the file.
    layout : Layout
    obs : DataFrame or None
        Table of the samples, from an .h5ad file.
    notes : tuple of str
        What was found and decided, to be shown.
    source : Path
    notes_on_columns : tuple of str
        Those of the notes that tell of columns beside the values, which could be covariates; no news to who names some.
    """

    values: pd.DataFrame = field(repr=False)
    layout: Layout
    obs: pd.DataFrame | None = field(repr=False)
    notes: tuple[str, ...]
    source: Path
    notes_on_columns: tuple[str, ...] = ()


def read_matrix(
    path: str | os.PathLike[str],
    *,
    orientation: str = "auto",
    layer: str | None = None,
    keep_empty_genes: bool = False,
) -> Matrix:
    """Read a matrix of expression values.

    Parameters
    ----------
    path : path
        Its ending names the format: one of `FORMATS`, with or without ``.gz``.
    orientation : {"auto", "samples_by_genes", "genes_by_samples"}
        What the file's rows are. "auto" goes by names that are genes, then by the name of the first column, then by
        shape (more columns than rows: genes are the columns). A .gct is always genes by samples, and an .h5ad by
        definition samples by genes unless said otherwise.
    layer : str, optional
        Layer of an .h5ad file to read in place of ``X``.
    keep_empty_genes : bool
        Whether genes without any known value are allowed; a fitted model can fill them, nothing else can.

    Returns
    -------
    Matrix

    Raises
    ------
    DataFormatError
        If the file is not what it claims to be, or a matrix that cannot be imputed; says where and what to do.
    ConfigError
        For an unknown ending or orientation, or a layer of a file that has none.
    """
    path = Path(path)
    if orientation not in ("auto", *ORIENTATIONS):
        raise ConfigError(f"orientation={orientation!r}: choose 'auto' or one of {', '.join(ORIENTATIONS)}")
    form_name, compressed = format_of(path)
    if layer is not None and form_name != "h5ad":
        raise ConfigError(f"{path}: only .h5ad files have layers; leave out layer={layer!r}")
    table, form, obs = _read(read_bytes(path, compressed), path, form_name, layer)
    kind = "gct" if getattr(form, "is_gct", False) else form_name
    chosen, reason = find_orientation(table, kind, orientation, path, getattr(form, "index_name", ""))
    values = table.values.T if chosen == "genes_by_samples" else table.values
    samples, genes = (table.columns, table.rows) if chosen == "genes_by_samples" else (table.rows, table.columns)
    frame = pd.DataFrame(
        np.ascontiguousarray(values), index=pd.Index(samples, dtype=str), columns=pd.Index(genes, dtype=str), copy=False
    )
    check_names(frame, path)
    notes = [*table.notes, reason, *check_values(frame, path, keep_empty_genes=keep_empty_genes)]
    obs = None if chosen == "genes_by_samples" else obs  # then it is a table of genes
    return Matrix(frame, Layout(form_name, compressed, chosen, form), obs, tuple(notes), path, table.notes_on_columns)


def write_matrix(matrix: Matrix, filled: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a matrix with its holes filled, whole or not at all.

    Parameters
    ----------
    matrix : Matrix
        As read.
    filled : DataFrame (n_samples, n_genes)
        Values for the holes, matched by name; what it says of known entries is not looked at. NaN leaves a hole.
    path : path
        With the input's ending, the input's form is kept: every known entry is the very text of the file (or the very
        bits of a binary one), and only fields that stood for a missing value are replaced. With the ending of another
        format, all values are written so that reading gives the same numbers.

    Returns
    -------
    Path

    Raises
    ------
    DataFormatError
        If `filled` lacks a sample or gene, or holds an infinite value.
    """
    path = Path(path)
    form_name, compressed = format_of(path)
    filled = _aligned(filled, matrix.values)
    holes = matrix.values.isna().to_numpy()
    new = filled.to_numpy(dtype=np.float64)
    if (too_large := holes & (np.abs(new) > np.finfo(matrix.values.to_numpy().dtype).max)).any():
        row, column = np.argwhere(too_large)[0]
        raise DataFormatError(
            f"{path}: the value to be written for sample {filled.index[row]}, gene {filled.columns[column]} is "
            "too large; use other units or another method"
        )
    if not _same_form(matrix.layout, form_name):
        known = matrix.values.to_numpy()
        complete = np.where(holes, new.astype(known.dtype, copy=False), known)
        frame = pd.DataFrame(complete, index=matrix.values.index, columns=matrix.values.columns)
        return write_frame(frame, path, orientation=matrix.layout.orientation, obs=matrix.obs)
    if matrix.layout.genes_in_rows:
        new, holes = new.T, holes.T
    return write_bytes(_filled_parts(matrix.layout.form, new, holes), path, compressed)


def write_frame(
    values: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    orientation: str = "samples_by_genes",
    obs: pd.DataFrame | None = None,
) -> Path:
    """Write a table of numbers in the format of the path's ending, whole or not at all.

    Parameters
    ----------
    values : DataFrame (n_samples, n_genes)
        NaN becomes an empty field or a null.
    path : path
    orientation : {"samples_by_genes", "genes_by_samples"}
        What the file's rows shall be; a .gct is always genes by samples, an .h5ad samples by genes.
    obs : DataFrame, optional
        Table of the samples, for an .h5ad file.
    """
    from reproduce.matrices import _new

    path = Path(path)
    form_name, compressed = format_of(path)
    if form_name == "h5ad":
        from reproduce.matrices._h5ad import new_h5ad

        return write_bytes([new_h5ad(values, obs)], path, compressed)
    genes_in_rows = form_name == "gct" or orientation == "genes_by_samples"
    table = values.T if genes_in_rows else values
    if form_name == "parquet":
        return write_bytes([_new.new_parquet(table, "gene" if genes_in_rows else "sample")], path, compressed)
    return write_bytes(_new.new_text(table, form_name, "gene" if genes_in_rows else "sample"), path, compressed)


def read_covariates(path: str | os.PathLike[str], samples: Iterable[str]) -> pd.DataFrame:
    """Read what is known of samples beside expression.

    Parameters
    ----------
    path : path
        A .csv, .tsv or .txt table, also with .gz behind; sample names in the first column, one covariate a column.
    samples : iterable of str, (n_samples,)
        The samples of the matrix; rows are matched by name, and rows of other samples left out.

    Returns
    -------
    DataFrame (n_samples, n_covariates)
        In the order of `samples`; columns of numbers as float64, others as text; NaN where missing.

    Raises
    ------
    CovariateError
        If samples are absent; names them.
    DataFormatError
        If the file is no such table.
    """
    from reproduce.matrices._covariate_table import read_table

    path = Path(path)
    form_name, compressed = format_of(path)
    if form_name not in ("csv", "tsv", "txt"):
        raise ConfigError(f"{path}: covariates are read from .csv, .tsv or .txt, not from .{form_name}")
    table = read_table(read_bytes(path, compressed), path, form_name)
    samples = [str(sample) for sample in samples]
    known = set(table.index)
    absent = [sample for sample in samples if sample not in known]
    if absent:
        raise CovariateError(
            f"{path}: {len(absent):,} of {len(samples):,} samples are not in it: {some(absent)}; its first "
            f"column must name samples as the matrix does (it begins with {some(table.index[:3])})"
        )
    return table.loc[samples]


def covariates_of_obs(matrix: Matrix, names: Iterable[str]) -> pd.DataFrame:
    """What a .h5ad file's own table says of the samples.

    Parameters
    ----------
    matrix : Matrix
    names : iterable of str
        Columns of its `obs`.

    Returns
    -------
    DataFrame (n_samples, n_covariates)
        Columns of numbers as float64, others as text; NaN where missing.

    Raises
    ------
    CovariateError
        If there is no such table, or no column of a name.
    """
    if matrix.obs is None:
        raise CovariateError(f"{matrix.source}: there is no obs to take covariates from; give a table by --covariates")
    from reproduce.matrices._covariate_table import column_of

    columns = {}
    for name in names:
        if name not in matrix.obs:
            raise CovariateError(
                f"{matrix.source}: obs has no column {name!r}; its columns are {some(list(matrix.obs.columns))}"
            )
        column = matrix.obs[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            columns[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:  # as the same words in a table would be taken
            columns[name] = column_of(["" if pd.isna(value) else str(value) for value in column])
    return pd.DataFrame(columns, index=matrix.values.index)


def format_of(path: Path) -> tuple[str, bool]:
    """The format that a path's ending names, and whether it is compressed.

    Raises
    ------
    ConfigError
    """
    suffixes = [suffix.lower().removeprefix(".") for suffix in path.suffixes]
    compressed = suffixes[-1:] == ["gz"]
    name = suffixes[-2:-1] if compressed else suffixes[-1:]
    if not name or name[0] not in FORMATS:
        endings = ", ".join(f".{each}" for each in FORMATS)
        if name == ["zarr"]:
            raise ConfigError(
                f"{path}: .zarr is filled from Python, by reproduce.chunked, which holds a block of rows at a time; "
                f"here use one of {endings}, each also with .gz"
            )
        raise ConfigError(
            f"{path}: the ending names no format that can be read; use one of {endings}, each also with .gz"
        )
    return name[0], compressed


# --- reading ---


def _read(
    data: bytes, path: Path, form_name: str, layer: str | None
) -> tuple[Table, TextForm | ParquetForm | H5adForm, pd.DataFrame | None]:
    if form_name == "h5ad":
        from reproduce.matrices._h5ad import read_h5ad

        return read_h5ad(data, path, layer)
    if form_name == "parquet":
        from reproduce.matrices._parquet import read_parquet

        return (*read_parquet(data, path), None)
    from reproduce.matrices._text import read_text

    return (*read_text(data, path, form_name), None)


# --- writing ---


def _aligned(filled: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    if filled.index.equals(values.index) and filled.columns.equals(values.columns):
        return filled
    for mine, theirs, kind in ((values.index, filled.index, "sample"), (values.columns, filled.columns, "gene")):
        absent = mine.difference(theirs)
        if len(absent) or not theirs.is_unique:
            raise DataFormatError(
                f"the filled matrix lacks {kind} {some(absent)}, or has a name twice; match it by name"
            )
    return filled.loc[values.index, values.columns]


def _same_form(layout: Layout, form_name: str) -> bool:
    """Whether a file of this ending can be the input's very form; .txt and .tsv are the same thing with tabs."""
    if layout.format == form_name:
        return True
    tabs = {layout.format, form_name} <= {"tsv", "txt"}
    return tabs and getattr(layout.form, "separator", b"") == b"\t"


def _filled_parts(form: TextForm | ParquetForm | H5adForm, filled: np.ndarray, holes: np.ndarray) -> Iterable[bytes]:
    from reproduce.matrices._text import TextForm, filled_text

    if isinstance(form, TextForm):
        return filled_text(form, filled, holes)
    from reproduce.matrices._parquet import ParquetForm, filled_parquet

    if isinstance(form, ParquetForm):
        return [filled_parquet(form, filled, holes)]
    from reproduce.matrices._h5ad import filled_h5ad

    return [filled_h5ad(form, filled, holes)]
