"""Writes a table of numbers and names in a format of its own, so that reading gives the same numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_SEPARATOR = {"csv": ",", "tsv": "\t", "txt": "\t", "gct": "\t"}


def new_text(table: pd.DataFrame, form: str, index_name: str) -> Iterator[bytes]:
    """Lines of a text table as UTF-8.

    Parameters
    ----------
    table : DataFrame (n_rows, n_columns)
        As it shall stand in the file; NaN becomes an empty field, "NA" in a .gct.
    form : {"csv", "tsv", "txt", "gct"}
    index_name : str
        Name of the column of row names.
    """
    separator = _SEPARATOR[form]
    columns = [_quoted(str(name), separator) for name in table.columns]
    lead = ["Name", "Description"] if form == "gct" else [index_name]
    if form == "gct":
        yield f"#1.2\n{table.shape[0]}\t{table.shape[1]}\n".encode()
    yield (separator.join([*lead, *columns]) + "\n").encode()
    absent = "NA" if form == "gct" else ""
    for name, row in zip(table.index, table.to_numpy()):
        texts = pc.fill_null(pc.cast(pa.array(row, from_pandas=True), pa.string()), absent).to_pylist()
        yield (separator.join([*[_quoted(str(name), separator)] * len(lead), *texts]) + "\n").encode()


def new_parquet(table: pd.DataFrame, index_name: str) -> bytes:
    """Bytes of a parquet table with the row names as pandas' index; NaN becomes null."""
    target = io.BytesIO()
    named = table.rename_axis(index=index_name, columns=None)
    pq.write_table(pa.Table.from_pandas(named, preserve_index=True), target)
    return target.getvalue()


def _quoted(name: str, separator: str) -> str:
    """A name within quotes where it would not come back without them."""
    if separator in name or '"' in name:
        return '"' + name.replace('"', '""') + '"'
    return name
