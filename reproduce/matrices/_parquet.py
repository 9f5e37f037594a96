"""Reads parquet tables of numbers and writes them again with holes filled; other columns stay as they are."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reproduce.errors import DataFormatError
from reproduce.matrices._fields import kept_aside
from reproduce.matrices._text import Table

_MAGIC = b"PAR1"
#: What pyarrow and its decoders raise for files that are damaged.
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, IndexError, MemoryError)


@dataclass(frozen=True)
class ParquetForm:
    """How a parquet table is laid out.

    Attributes
    ----------
    name_field : int
        The column that names the rows; -1 if none does.
    lead : tuple of int
        All columns that hold no values.
    index_name : str
        Its name.
    codec : str
        Compression of the columns.
    table : pyarrow.Table
        What was read.
    """

    name_field: int
    lead: tuple[int, ...]
    index_name: str
    codec: str
    table: pa.Table = field(repr=False, compare=False)


def read_parquet(data: bytes, path: Path) -> tuple[Table, ParquetForm]:
    """Read a table from a file's bytes.

    The rows are named by the index that pandas has stored, else by the first column of text, else by their number.

    Raises
    ------
    DataFormatError
        For a damaged file, columns that are neither text nor numbers.
    """
    if data[:4] != _MAGIC or data[-4:] != _MAGIC:
        raise DataFormatError(f"{path}: this is not a whole parquet file; get it again, or check its name")
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        table = file.read(use_threads=False)
        table.validate(full=True)
        codec = file.metadata.row_group(0).column(0).compression if file.metadata.num_row_groups else "SNAPPY"
        index = _index_columns(table)
    except _DAMAGE as error:
        raise DataFormatError(f"{path}: the parquet file is damaged ({_first_line(error)}); get it again") from error
    if not table.num_rows:
        raise DataFormatError(f"{path}: there are no rows; give a matrix with at least one")
    lead = _lead(table, index, path)
    values = [at for at in range(table.num_columns) if at not in lead]
    if not values:
        raise DataFormatError(f"{path}: there are no numbers in any column; a matrix of expression values is expected")
    name_field = next((at for at in (*index, *lead) if at in lead), -1)
    rows = _row_names(table, name_field, path)
    notes = [] if name_field >= 0 else ["there is no column of row names; rows are numbered from 1"]
    names = table.column_names  # made anew each time it is asked for
    rest = [names[at] for at in lead if at != name_field]
    notes_on_columns = (kept_aside(rest),) if rest else ()
    matrix = _values(table, values, path)
    columns = [names[at] for at in values]
    index_name = names[name_field] if name_field >= 0 else ""
    form = ParquetForm(name_field, tuple(lead), index_name, codec, table)
    return Table(rows, columns, matrix, (*notes, *notes_on_columns), notes_on_columns), form


def filled_parquet(form: ParquetForm, filled: np.ndarray, holes: np.ndarray) -> bytes:
    """Bytes of the table with values in its holes, in the columns' own types.

    Parameters
    ----------
    form : ParquetForm
    filled, holes : ndarray (n_rows, n_columns)
        As in the file. A hole whose value is NaN stays as it is.

    Notes
    -----
    A column of whole numbers becomes float64 where a filled value is not whole, and one of float16 becomes float32
    where a filled value does not fit; its known values stay the same numbers.
    """
    table = form.table
    lead = set(form.lead)
    values = [at for at in range(table.num_columns) if at not in lead]
    replaced = holes & ~np.isnan(filled)
    columns, fields = list(table.columns), list(table.schema)
    for column in np.flatnonzero(replaced.any(axis=0)).tolist():
        at = values[column]
        columns[at] = _filled_column(table.column(at), filled[:, column], replaced[:, column])
        fields[at] = fields[at].with_type(columns[at].type)
    schema = pa.schema(fields, metadata=table.schema.metadata)
    target = io.BytesIO()
    codec = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}.get(form.codec, form.codec)
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), target, compression=codec)
    return target.getvalue()


def _index_columns(table: pa.Table) -> list[int]:
    """Columns of pandas' index, which are kept as columns in the file."""
    stored = (table.schema.pandas_metadata or {}).get("index_columns", [])
    names = table.column_names
    return [names.index(name) for name in stored if isinstance(name, str) and name in names]


def _lead(table: pa.Table, index: list[int], path: Path) -> list[int]:
    kinds = [_kind(each.type) for each in table.schema]
    for name, kind, each in zip(table.column_names, kinds, table.schema):
        if kind == "other":
            raise DataFormatError(
                f"{path}: column {name} is of the type {each.type}, neither numbers nor text; remove it"
            )
    text = [at for at, kind in enumerate(kinds) if kind == "text" and at not in index]
    return index + text


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return "number"
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        "text"
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        else "other"
    )


def _row_names(table: pa.Table, field: int, path: Path) -> list[str]:
    if field < 0:
        return [str(row + 1) for row in range(table.num_rows)]
    names = table.column(field).to_pylist()
    for row, name in enumerate(names, start=1):
        if name is None or not str(name).strip():
            raise DataFormatError(f"{path}: row {row} has no name in column {table.column_names[field]}; name it")
    return [str(name) for name in names]


def _values(table: pa.Table, columns: list[int], path: Path) -> np.ndarray:
    """Float32 where it holds every column's numbers, else float64."""
    kinds = {table.schema.field(at).type for at in columns}
    single = all(pa.types.is_float16(kind) or pa.types.is_float32(kind) for kind in kinds)
    matrix = np.empty((table.num_rows, len(columns)), dtype=np.float32 if single else np.float64)
    for place, at in enumerate(columns):
        matrix[:, place] = _numbers(table.column(at))
    return matrix


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column as floats, NaN where it is null."""
    return column.to_numpy(zero_copy_only=False) if len(column.chunks) else np.empty(0)


def _filled_column(column: pa.ChunkedArray, filled: np.ndarray, replaced: np.ndarray) -> pa.ChunkedArray:
    kind = column.type
    known = _numbers(column)
    new = filled[replaced]
    if pa.types.is_integer(kind):
        if (new == np.rint(new)).all() and _fits(new, kind):
            return _patched_whole(column, filled, replaced)
        kind = pa.float64()
    elif pa.types.is_float16(kind) and np.abs(new).max() > np.finfo(np.float16).max:
        kind = pa.float32()
    values = known.astype(kind.to_pandas_dtype())
    values[replaced] = new
    empty = np.asarray(column.is_null()) & ~replaced
    return pa.chunked_array([pa.array(values, type=kind, mask=empty)])


def _fits(new: np.ndarray, kind: pa.DataType) -> bool:
    limits = np.iinfo(kind.to_pandas_dtype())
    return bool(new.min() >= limits.min and new.max() <= limits.max and np.abs(new).max() < 2**53)


def _patched_whole(column: pa.ChunkedArray, filled: np.ndarray, replaced: np.ndarray) -> pa.ChunkedArray:
    """Whole numbers in the column's own type; known ones never pass through a float, which rounds the largest."""
    kind = column.type
    new = pa.array(np.where(replaced, filled, 0).astype(kind.to_pandas_dtype()), type=kind, mask=~replaced)
    return pa.chunked_array([pc.coalesce(column.combine_chunks(), new)])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
