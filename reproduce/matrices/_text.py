"""Reads text tables (csv, tsv, txt, gct) and writes them again with holes filled; never re-formats what was there.

Writing goes through the very lines that were read and replaces the fields that stand for a missing value, so that every
other byte stays. A .gct of version 1.2 or 1.3 has lines above its header, and 1.3 rows that describe samples below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reproduce.errors import DataFormatError
from reproduce.matrices._encoding import Encoding, decoded, lines_of
from reproduce.matrices._fields import UnclosedQuote, cut, requoted, split, unquoted
from reproduce.matrices._head import LOOKED_AT, Head, begins_gct, read_head, unclosed
from reproduce.matrices._tokens import BadToken, digits_of, parse, written

_COMMA, _POINT = re.compile(rb"[0-9],|,[0-9]"), re.compile(rb"[0-9][.]|[.][0-9]")  # a lone point is a missing value
_BATCH = 16 << 20  # bytes of fields that are parsed at once


@dataclass(frozen=True)
class TextForm:
    """How a text table is laid out.

    Attributes
    ----------
    encoding : Encoding
    separator : bytes
    decimal : {".", ","}
    n_above, n_below : int
        Lines above the header, and lines below it that describe columns.
    lead, tail : int
        Fields before the values, and behind them.
    name_field : int
        Which of them names the row; -1 if none does.
    short_header : bool
        The header has no name for the column of row names (as R writes it).
    index_name : str
        The header's name for it.
    digits : int
        Significant digits of the numbers.
    text : bytes
        The whole table as UTF-8.
    """

    encoding: Encoding
    separator: bytes
    decimal: str
    n_above: int
    n_below: int
    lead: int
    tail: int
    name_field: int
    short_header: bool
    index_name: str
    digits: int = field(compare=False)
    text: bytes = field(repr=False, compare=False)

    @property
    def is_gct(self) -> bool:
        """Whether the first line says so, whatever the file is called."""
        return begins_gct(self.text)


@dataclass(frozen=True)
class Table:
    """Names and numbers of a table as they stand in the file, rows downwards; `notes_on_columns` as of `Matrix`."""

    rows: list[str]
    columns: list[str]
    values: np.ndarray
    notes: tuple[str, ...]
    notes_on_columns: tuple[str, ...] = ()


def read_text(data: bytes, path: Path, form: str) -> tuple[Table, TextForm]:
    """Read a table from a file's (uncompressed) bytes.

    Parameters
    ----------
    data : bytes
    path : Path
        Named in messages.
    form : {"csv", "tsv", "txt", "gct"}

    Raises
    ------
    DataFormatError
        Naming the line, and row and column where it is about a value.
    """
    text, encoding = decoded(data, path, f"a .{form} table")
    head = read_head(text, path, form)
    rows, numbers = [], []  # names and line numbers
    for number, names, _ in _body(text, head, path):
        rows.append(_row_name(names, head, number, len(rows), path))
        numbers.append(number)
    if not rows:
        raise DataFormatError(f"{path}: there are no rows below the header; give a matrix with at least one")
    decimal = _decimal_mark(text, head, path)
    values, digits = _values(text, head, decimal, rows, numbers, path)
    notes = [*head.notes]
    if head.n_declared is not None and head.n_declared != len(rows):
        notes.append(
            f"{path.name} declares {head.n_declared:,} genes and holds {len(rows):,}: an excerpt, or cut short"
        )
    if decimal == ",":
        notes.append("the comma is taken for the decimal mark")
    if encoding.name != "utf-8":
        notes.append(f"the text is {encoding.name.upper()}, and is written so again")
    index_name = head.header[head.name_field] if head.name_field >= 0 else ""
    layout = TextForm(
        encoding, head.separator, decimal, head.n_above, head.n_below, head.lead, head.tail, head.name_field,
        head.short_header, index_name, digits, text,
    )  # fmt: skip
    return Table(rows, head.columns, values, tuple(notes), head.notes_on_columns), layout


def filled_text(form: TextForm, filled: np.ndarray, holes: np.ndarray) -> Iterator[bytes]:
    """Bytes of the same file with values in its holes.

    Parameters
    ----------
    form : TextForm
    filled, holes : ndarray (n_rows, n_columns)
        As in the file. A hole whose value is NaN keeps its field.
    """
    return form.encoding.back(_filled_lines(form, filled, holes & ~np.isnan(filled)))


def _filled_lines(form: TextForm, filled: np.ndarray, replaced: np.ndarray) -> Iterator[bytes]:
    row, left = 0, form.n_above + 1 + form.n_below
    for line, end in lines_of(form.text, Path("the table")):
        if left or not line.strip(b" "):
            left -= bool(left)
            yield line + end
            continue
        columns = np.flatnonzero(replaced[row])
        if len(columns):
            fields = split(line, form.separator)
            numbers = written(filled[row, columns], form.decimal, form.digits)
            for column, number in zip((columns + form.lead).tolist(), numbers):
                fields[column] = requoted(fields[column], number, form.separator)
            line = form.separator.join(fields)
        row += 1
        yield line + end


# --- the lines below ---


def _body(text: bytes, head: Head, path: Path) -> Iterator[tuple[int, list[bytes], bytes]]:
    """Line number, name fields and value fields of each line below the header; every line has all its fields."""
    skipped = head.n_above + 1 + head.n_below
    for number, (line, _) in enumerate(lines_of(text, path), start=1):
        if number <= skipped or not line.strip(b" "):
            continue
        try:
            names, rest = cut(line, head.separator, head.lead)
            n_values = 0 if rest is None else _n_fields(rest, head.separator)
            if rest is not None and head.tail and n_values == head.width + head.tail:
                rest = _without_tail(rest, head)
                n_values = head.width
        except UnclosedQuote:
            raise unclosed(number, path) from None
        if rest is None or n_values != head.width:
            found = len(split(line, head.separator))
            raise DataFormatError(
                f"{path}: line {number} has {found} fields, the header {len(head.header)}; mend the line, or get "
                "the file again if it is cut short or damaged"
            )
        yield number, names, rest


def _n_fields(rest: bytes, separator: bytes) -> int:
    return len(split(rest, separator)) if b'"' in rest else rest.count(separator) + 1


def _without_tail(rest: bytes, head: Head) -> bytes:
    if b'"' in rest:
        return head.separator.join(split(rest, head.separator)[: head.width])
    return rest.rsplit(head.separator, head.tail)[0]


def _row_name(names: list[bytes], head: Head, number: int, n_before: int, path: Path) -> str:
    if head.name_field < 0:
        return str(n_before + 1)
    name = unquoted(names[head.name_field]).decode("utf-8")
    if not name:
        raise DataFormatError(f"{path}: line {number} has no name in field {head.name_field + 1}; name it or remove it")
    return name


def _decimal_mark(text: bytes, head: Head, path: Path) -> str:
    """The mark that more of the values have; commas that separate fields are none."""
    if b"," not in text or (head.separator == b"," and b'"' not in text):
        return "."
    commas = points = 0
    for _, _, rest in _body(text, head, path):
        if head.separator == b",":
            quoted = b"\n".join(split(rest, b",")) if b'"' in rest else b""
            commas += len(_COMMA.findall(quoted))
            points += len(_POINT.findall(quoted or rest))
        else:
            commas += len(_COMMA.findall(rest))
            points += len(_POINT.findall(rest))
    return "," if commas > points else "."


def _values(
    text: bytes, head: Head, decimal: str, rows: list[str], numbers: list[int], path: Path
) -> tuple[np.ndarray, int]:
    """Values of all rows (n_rows, n_columns) and the most significant digits of the first ones."""
    values = np.empty((len(rows), head.width))
    batch: list[bytes] = []
    size = done = digits = 0
    for row, (_, _, rest) in enumerate(_body(text, head, path)):
        fields = b"\n".join(map(unquoted, split(rest, head.separator))) if b'"' in rest else rest.replace(
            head.separator, b"\n"
        )  # fmt: skip
        if row < LOOKED_AT:
            digits = max(digits, digits_of(fields.decode("utf-8").split("\n")[:LOOKED_AT]))
        batch.append(fields)
        size += len(fields)
        if size > _BATCH or row == len(rows) - 1:
            n_tokens = len(batch) * head.width
            try:
                parsed = parse(b"\n".join(batch) + b"\n", n_tokens, decimal)
            except BadToken as bad:
                at, column = divmod(bad.position, head.width)
                at += done
                raise DataFormatError(
                    f"{path}: line {numbers[at]} ({rows[at]}), column {head.columns[column]}: {bad.why}"
                ) from None
            values[done : row + 1] = parsed.reshape(-1, head.width)
            batch, size, done = [], 0, row + 1
    return values, digits
