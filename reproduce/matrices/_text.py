"""Reads text tables (csv, tsv, txt, gct) and writes them again with holes filled; never re-formats what was there.

Writing goes through the very lines that were read and replaces the fields that stand for a missing value, so that every
other byte stays. A .gct of version 1.2 or 1.3 has lines above its header, and 1.3 rows that describe samples below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from reproduce.errors import DataFormatError
from reproduce.matrices._encoding import Encoding, decoded, lines_of
from reproduce.matrices._fields import (
    UnclosedQuote,
    cut,
    find_separator,
    n_name_columns,
    requoted,
    split,
    unquoted,
    words,
)
from reproduce.matrices._tokens import BadToken, digits_of, is_missing, numeric_share, parse, written

_PREFERRED = {"csv": b",", "tsv": b"\t", "txt": b"\t", "gct": b"\t"}
_LOOKED_AT = 50  # lines that decide on separator and columns of names
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
    lead : int
        Fields before the values.
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
    name_field: int
    short_header: bool
    index_name: str
    digits: int = field(compare=False)
    text: bytes = field(repr=False, compare=False)


@dataclass(frozen=True)
class Table:
    """Names and numbers of a table as they stand in the file, rows downwards."""

    rows: list[str]
    columns: list[str]
    values: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Head:
    """What the first lines say."""

    separator: bytes
    header: list[str]
    n_above: int
    n_below: int
    lead: int
    name_field: int
    short_header: bool
    notes: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.header) - self.lead

    @property
    def columns(self) -> list[str]:
        return self.header[self.lead :]


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
    head = _head(text, path, form)
    rows, numbers = [], []  # names and line numbers
    for number, names, _ in _body(text, head, path):
        rows.append(_row_name(names, head, number, len(rows), path))
        numbers.append(number)
    if not rows:
        raise DataFormatError(f"{path}: there are no rows below the header; give a matrix with at least one")
    decimal = _decimal_mark(text, head, path)
    values, digits = _values(text, head, decimal, rows, numbers, path)
    notes = [*head.notes]
    if decimal == ",":
        notes.append("the comma is taken for the decimal mark")
    if encoding.name != "utf-8":
        notes.append(f"the text is {encoding.name.upper()}, and is written so again")
    index_name = head.header[head.name_field] if head.name_field >= 0 else ""
    layout = TextForm(
        encoding, head.separator, decimal, head.n_above, head.n_below, head.lead, head.name_field, head.short_header,
        index_name, digits, text,
    )  # fmt: skip
    return Table(rows, head.columns, values, tuple(notes)), layout


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


# --- the first lines ---


def _head(text: bytes, path: Path, form: str) -> _Head:
    lines = [line for line, _ in islice(lines_of(text, path), 4 * _LOOKED_AT)]
    if lines[0].strip() in (b"#1.2", b"#1.3"):
        return _gct_head(lines, path, form)
    if form == "gct":
        shown = lines[0][:40].decode("utf-8", "replace")
        raise DataFormatError(f"{path}: the first line is {shown!r}, not '#1.2' or '#1.3' as in every .gct file; if this is "
                              "a table without those lines, name it .tsv or .csv")  # fmt: skip
    n_above = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith(b"#")), None)
    if n_above is None:
        raise DataFormatError(
            f"{path}: the first {len(lines)} lines are empty or comments; give a matrix with a header"
        )
    n_above = _header_in_comment(lines, n_above, _PREFERRED[form])
    shown = [line for line in lines[n_above:] if line.strip(b" ")][:_LOOKED_AT]
    separator = find_separator(shown, _PREFERRED[form])
    if separator is None:
        separator = _least_bad_separator(shown, _PREFERRED[form], path)
    fields = [_split(line, separator, number, path) for number, line in enumerate(shown, start=n_above + 1)]
    header, rows = words(fields[0]), [words(row) for row in fields[1:]]
    if not rows:
        raise DataFormatError(f"{path}: there are no rows below the header; give a matrix with at least one")
    short = len(header) == len(rows[0]) - 1
    header = ["", *header] if short else header
    _refuse_no_header(header, path)
    rows = [row for row in rows if len(row) == len(header)]
    lead = n_name_columns(header, rows) if rows else 1
    if lead >= len(header):
        raise DataFormatError(f"{path}: there are no numbers in any column; a matrix of expression values is expected")
    notes = [f"{n_above} lines above the header are kept as they are"] if n_above else []
    if separator != _PREFERRED[form]:
        notes.append(f"fields are separated by {_in_words(separator)}")
    if lead == 0:
        notes.append("there is no column of row names; rows are numbered from 1")
    if lead > 1:
        notes.append(f"these columns are kept and not taken for values: {', '.join(header[1:lead])}")
    return _checked(_Head(separator, header, n_above, 0, lead, min(lead, 1) - 1, short, tuple(notes)), path)


def _gct_head(lines: list[bytes], path: Path, form: str) -> _Head:
    """Version 1.2 has the columns Name and Description (per-tissue files of GTEx id before them); 1.3 says how many."""
    version = lines[0].strip()
    if len(lines) < 3:
        raise DataFormatError(f"{path}: the file ends above its header; it is cut short: get it again")
    try:
        declared = [int(number) for number in lines[1].split(b"\t") if number.strip()]
    except ValueError:
        declared = []
    if len(declared) < (4 if version == b"#1.3" else 2) or min(declared) < 0:
        shown = lines[1][:40].decode("utf-8", "replace")
        raise DataFormatError(f"{path}: line 2 is {shown!r}, not the numbers of genes and samples; get the file again")
    header = words(_split(lines[2], b"\t", 3, path))
    if version == b"#1.3":
        lead, name_field, n_below = 1 + declared[2], 0, declared[3]
    else:
        lead = 3 if header[0].lower() == "id" else 2
        name_field, n_below = lead - 2, 0
        if [name.lower() for name in header[name_field:lead]] != ["name", "description"]:
            raise DataFormatError(f"{path}: line 3 does not begin with the columns Name and Description, as version 1.2 "
                                  "has them; mend the header, or name the file .tsv")  # fmt: skip
    if len(lines) < 4 + n_below and n_below:
        n_below = min(n_below, len(lines) - 3)
    notes = [] if form == "gct" else ["the first line says that this is a .gct table"]
    if declared[1] != len(header) - lead:
        notes.append(f"{path.name} declares {declared[1]:,} samples and holds {len(header) - lead:,}")
    return _checked(_Head(b"\t", header, 2, n_below, lead, name_field, False, tuple(notes)), path)


def _checked(head: _Head, path: Path) -> _Head:
    for at, name in enumerate(head.header):
        if at >= head.lead and not name:
            raise DataFormatError(
                f"{path}: line {head.n_above + 1}, field {at + 1}: a column has no name; name it, or remove it "
                "(also a separator at the line's end)"
            )
    if head.width < 1:
        raise DataFormatError(f"{path}: the header names no column of values; give a matrix with at least one")
    return head


def _header_in_comment(lines: list[bytes], first: int, separator: bytes) -> int:
    """The line of the header, which may itself begin with # (as "#OTU ID" does)."""
    above = lines[first - 1] if first else b""
    fits = above.count(separator) == lines[first].count(separator) > 0
    return first - 1 if fits and numeric_share(words(lines[first].split(separator)[1:])) > 0.5 else first


def _least_bad_separator(lines: list[bytes], preferred: bytes, path: Path) -> bytes:
    """One that at least cuts the header, so that the line that does not fit can be named."""
    for separator in (preferred, b"\t", b",", b";"):
        if separator in lines[0]:
            return separator
    raise DataFormatError(
        f"{path}: the header has a single field; a table is expected, with names in the first column, separated by tabs, "
        "commas or semicolons"
    )


def _refuse_no_header(header: list[str], path: Path) -> None:
    names = [name for name in header[1:] if name]
    if names and numeric_share(names) == 1 and not all(name.isdecimal() or is_missing(name) for name in names):
        raise DataFormatError(
            f"{path}: the first line holds numbers ({', '.join(names[:3])}); the first line must name the columns, and the "
            "first column the rows: add them"
        )


def _in_words(separator: bytes) -> str:
    return {b"\t": "tabs", b",": "commas", b";": "semicolons", b"|": "bars", b" ": "blanks"}[separator]


# --- the lines below ---


def _body(text: bytes, head: _Head, path: Path) -> Iterator[tuple[int, list[bytes], bytes]]:
    """Line number, name fields and the rest of each line below the header; every line has all its fields."""
    skipped = head.n_above + 1 + head.n_below
    for number, (line, _) in enumerate(lines_of(text, path), start=1):
        if number <= skipped or not line.strip(b" "):
            continue
        try:
            names, rest = cut(line, head.separator, head.lead)
            n_values = len(split(rest, head.separator)) if b'"' in rest else rest.count(head.separator) + 1
        except UnclosedQuote:
            raise _unclosed(number, path) from None
        if len(names) < head.lead or n_values != head.width:
            found = len(split(line, head.separator))
            raise DataFormatError(
                f"{path}: line {number} has {found} fields, the header {len(head.header)}; mend the line, or get the file "
                "again if it is cut short or damaged"
            )
        yield number, names, rest


def _row_name(names: list[bytes], head: _Head, number: int, n_before: int, path: Path) -> str:
    if head.name_field < 0:
        return str(n_before + 1)
    name = unquoted(names[head.name_field]).decode("utf-8")
    if not name:
        raise DataFormatError(f"{path}: line {number} has no name in field {head.name_field + 1}; name it or remove it")
    return name


def _decimal_mark(text: bytes, head: _Head, path: Path) -> str:
    """The mark that more of the values have; commas that separate fields are none."""
    if b"," not in text or (head.separator == b"," and b'"' not in text):
        return "."
    commas = points = 0
    for _, _, rest in _body(text, head, path):
        if head.separator == b",":
            fields = split(rest, b",") if b'"' in rest else []
            commas += sum(b"," in each for each in fields)
            points += sum(b"." in each for each in fields) if fields else rest.count(b".")
        else:
            commas += rest.count(b",")
            points += rest.count(b".")
    return "," if commas > points else "."


def _values(
    text: bytes, head: _Head, decimal: str, rows: list[str], numbers: list[int], path: Path
) -> tuple[np.ndarray, int]:
    """Values of all rows (n_rows, n_columns) and the most significant digits of the first ones."""
    values = np.empty((len(rows), head.width))
    batch: list[bytes] = []
    size = done = digits = 0
    for row, (_, _, rest) in enumerate(_body(text, head, path)):
        fields = b"\n".join(map(unquoted, split(rest, head.separator))) if b'"' in rest else rest.replace(
            head.separator, b"\n"
        )  # fmt: skip
        if row < _LOOKED_AT:
            digits = max(digits, digits_of(fields.decode("utf-8").split("\n")))
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


def _split(line: bytes, separator: bytes, number: int, path: Path) -> list[bytes]:
    try:
        return split(line, separator)
    except UnclosedQuote:
        raise _unclosed(number, path) from None


def _unclosed(number: int, path: Path) -> DataFormatError:
    return DataFormatError(
        f"{path}: line {number} has a quote that does not end in the line; mend it, or get the file again if it is damaged"
    )
