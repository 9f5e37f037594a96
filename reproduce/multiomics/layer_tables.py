"""Tables of samples × features: reads and checks them; knows nothing of how layers belong together."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError


def read_table(path: Path) -> pd.DataFrame:
    """A table of numbers, with the samples' names as its index."""
    table = _read_columns(path)
    table = table.set_index(table.columns[0]) if isinstance(table.index, pd.RangeIndex) else table
    table.index = table.index.astype(str)
    if bad := [str(column) for column in table if not pd.api.types.is_numeric_dtype(table[column])]:
        raise DataFormatError(f"{path}: feature {bad[0]} holds text; give numbers, one sample a row.")
    return table


def read_clusters(path: Path) -> pd.Series:
    """Clusters by sample, from a table of two columns."""
    return _read_two(path, "sample and cluster")


def read_units(path: Path) -> dict[str, str]:
    """Unit of each layer, from a table of two columns."""
    return _read_two(path, "layer and unit").to_dict()


def _read_two(path: Path, columns: str) -> pd.Series:
    table = _read_columns(path).astype(str)
    if table.shape[1] != 2:
        raise DataFormatError(f"{path} has {table.shape[1]} columns; give two, {columns}.")
    return pd.Series(table.iloc[:, 1].to_numpy(), index=table.iloc[:, 0].to_numpy())


def _read_columns(path: Path) -> pd.DataFrame:
    """A table; the first column is its index where the head does not name it."""
    if not path.is_file():
        raise DataFormatError(f"{path} is not there; write it there, one sample a row.")
    try:
        with open(path, encoding="utf-8") as file:
            head = file.readline()
        tabs = "\t" in head
        table = pd.read_csv(path, sep="\t" if tabs else r"\s+")
        # names in quotes may hold spaces
        names = next(
            csv.reader([head.strip("\r\n" if tabs else None)], delimiter="\t" if tabs else " ", skipinitialspace=True)
        )
    except (OSError, ValueError, StopIteration, csv.Error) as error:  # pandas' errors of parsing are ValueErrors
        raise DataFormatError(f"{path} cannot be read as a table, one sample a row ({error}).") from error
    # pandas gives the second of two equal names another one, in silence
    names = pd.Index(names, dtype=object).str.strip()
    if names.has_duplicates:
        raise DataFormatError(
            f"{path}: feature {names[names.duplicated()][0]} stands twice in its head; keep one of them."
        )
    if table.empty:
        raise DataFormatError(f"{path} has no rows; write one for each sample.")
    return table


def check_names(table: pd.DataFrame, layer: str) -> None:
    """Refuse repeated names and empty tables."""
    for names, what in ((table.index, "sample"), (table.columns, "feature")):
        if names.has_duplicates:
            first = names[names.duplicated()][0]
            raise DataFormatError(f"{what.capitalize()} {first} stands twice in the {layer}; keep one of them.")
    if 0 in table.shape:
        raise DataFormatError(f"The {layer} has the shape {table.shape}; give one sample and one feature at least.")


def check_paired(samples: pd.Index, other: pd.Index, layer: str) -> None:
    """Refuse samples that only one of the two has."""
    for absent, where in ((samples.difference(other), layer), (other.difference(samples), "mRNA")):
        if len(absent):
            raise DataFormatError(
                f"Sample {absent[0]} is not in the {where} ({len(absent)} such samples); layers must be of the same "
                "samples: leave out those that were not measured in all."
            )


def checked_numbers(table: pd.DataFrame, layer: str, unit: str) -> pd.DataFrame:
    """The table as float32; refuses entries that are no numbers of this unit, naming the first."""
    try:
        values = table.to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise DataFormatError(f"The {layer} holds text ({error}); give numbers.") from None
    checks = [(~np.isfinite(values), "is no finite number", "impute it or leave the feature out")]
    if unit == "beta-value":
        outside = (values < 0) | (values > 1)
        checks.append((outside, "is no beta-value (0 to 1)", "say that the unit is M-value, if it is"))
    for wrong, what, remedy in checks:
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataFormatError(
                f"The {layer} of sample {table.index[row]}, feature {table.columns[column]}, {what} "
                f"({values[row, column]}; {int(wrong.sum())} such entries): {remedy}."
            )
    return pd.DataFrame(values.astype(np.float32), index=as_objects(table.index), columns=as_objects(table.columns))


def as_objects(names: pd.Index) -> pd.Index:
    """Names as AnnData wants them."""
    return pd.Index(names.astype(str), dtype=object).rename(None)
