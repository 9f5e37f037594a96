"""Reads a table of what is known of samples (tissue, sex, age …) as text and numbers; never a matrix of expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.loaders.container import refuse_duplicates
from reproduce.matrices._encoding import decoded, lines_of
from reproduce.matrices._fields import UnclosedQuote, find_separator, split, words
from reproduce.matrices._tokens import is_missing, numeric_share

_PREFERRED = {"csv": b",", "tsv": b"\t", "txt": b"\t"}


def read_table(data: bytes, path: Path, form: str) -> pd.DataFrame:
    """Rows named by the first column; columns of numbers as float64, others as text, NaN where missing.

    Raises
    ------
    DataFormatError
        For lines of unequal length, and for samples or covariates without name or with the same one.
    """
    text, _ = decoded(data, path, f"a .{form} table of covariates")
    lines = [(number, line) for number, (line, _) in enumerate(lines_of(text, path), start=1) if line.strip(b" ")]
    while lines and lines[0][1].startswith(b"#"):
        del lines[0]
    if len(lines) < 2:
        raise DataFormatError(f"{path}: there are no rows below the header; give one row a sample")
    separator = find_separator([line for _, line in lines[:50]], _PREFERRED[form]) or _PREFERRED[form]
    rows = [_fields(line, separator, number, path) for number, line in lines]
    header = ["", *rows[0]] if len(rows[0]) == len(rows[1]) - 1 else rows[0]
    for (number, _), row in zip(lines[1:], rows[1:]):
        if len(row) != len(header):
            raise DataFormatError(
                f"{path}: line {number} has {len(row)} fields, the header {len(header)}; mend the line"
            )
        if not row[0]:
            raise DataFormatError(
                f"{path}: line {number} has no sample's name in the first field; name it or remove it"
            )
    if len(header) < 2 or not all(header[1:]):
        raise DataFormatError(
            f"{path}: the header names no covariate, or leaves a column without name; name each column"
        )
    names = [row[0] for row in rows[1:]]
    refuse_duplicates(names, "sample", str(path))
    refuse_duplicates(header[1:], "covariate", str(path))
    columns = {name: column_of([row[at] for row in rows[1:]]) for at, name in enumerate(header[1:], start=1)}
    for name, column in columns.items():
        if column.dtype == np.float64 and np.isinf(column).any():
            raise DataFormatError(f"{path}: covariate {name} has a number that is too large; mend it")
    return pd.DataFrame(columns, index=pd.Index(names, dtype=str))


def _fields(line: bytes, separator: bytes, number: int, path: Path) -> list[str]:
    try:
        return words(split(line, separator))
    except UnclosedQuote:
        raise DataFormatError(f"{path}: line {number} has a quote that does not end in the line; mend it") from None


def column_of(fields: list[str]) -> np.ndarray | pd.api.extensions.ExtensionArray:
    """Numbers where all known fields are numbers (with one kind of decimal mark), else text."""
    for decimal in ".,":
        if numeric_share(fields, decimal) == 1:
            numbers = [np.nan if is_missing(field) else float(field.replace(decimal, ".")) for field in fields]
            return np.array(numbers)
    return pd.array([pd.NA if is_missing(field) else field for field in fields], dtype="str")
