"""Reads the first lines of a text table: separator, header and what stands beside the values; never the values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from reproduce.errors import DataFormatError
from reproduce.matrices._encoding import lines_of
from reproduce.matrices._fields import UnclosedQuote, beside_values, find_separator, kept_aside, split, words
from reproduce.matrices._tokens import is_missing, numeric_share

_PREFERRED = {"csv": b",", "tsv": b"\t", "txt": b"\t", "gct": b"\t"}
LOOKED_AT = 50  # lines that decide on separator and columns of names


@dataclass(frozen=True)
class Head:
    """What the first lines say; see `reproduce.matrices._text.TextForm`.

    `header` has a name for each field; `n_declared` is a .gct's number of genes; `notes_on_columns` as of `Matrix`.
    """

    separator: bytes
    header: list[str]
    n_above: int
    n_below: int
    lead: int
    tail: int
    name_field: int
    short_header: bool
    notes: tuple[str, ...]
    n_declared: int | None = None
    notes_on_columns: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return len(self.columns)

    @property
    def columns(self) -> list[str]:
        return self.header[self.lead : len(self.header) - self.tail]


def read_head(text: bytes, path: Path, form: str) -> Head:
    """Make out the layout from a table's first lines.

    Raises
    ------
    DataFormatError
        If they are no header and rows of numbers.
    """
    lines = [line for line, _ in islice(lines_of(text, path), 4 * LOOKED_AT)]
    if begins_gct(lines[0]):
        return _gct_head(lines, path, form)
    if form == "gct":
        shown = lines[0][:40].decode("utf-8", "replace")
        raise DataFormatError(f"{path}: the first line is {shown!r}, not '#1.2' or '#1.3' as in every .gct file; "
                              "if this is a table without those lines, name it .tsv or .csv")  # fmt: skip
    n_above = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith(b"#")), None)
    if n_above is None:
        raise DataFormatError(
            f"{path}: the first {len(lines)} lines are empty or comments; give a matrix with a header"
        )
    n_above = _header_in_comment(lines, n_above, _PREFERRED[form])
    shown = [line for line in lines[n_above:] if line.strip(b" ")][:LOOKED_AT]
    separator = find_separator(shown, _PREFERRED[form])
    if separator is None:
        separator = _least_bad_separator(shown, _PREFERRED[form], path)
    fields = [split_or_say(line, separator, number, path) for number, line in enumerate(shown, start=n_above + 1)]
    header, rows = words(fields[0]), [words(row) for row in fields[1:]]
    if not rows:
        raise DataFormatError(f"{path}: there are no rows below the header; give a matrix with at least one")
    short = len(header) == len(rows[0]) - 1
    header = ["", *header] if short else header
    _refuse_no_header(header, path)
    rows = [row for row in rows if len(row) == len(header)]
    lead, tail = beside_values(header, rows) if rows else (1, 0)
    if lead + tail >= len(header):
        raise DataFormatError(f"{path}: there are no numbers in any column; a matrix of expression values is expected")
    notes = [f"{n_above} lines above the header are kept as they are"] if n_above else []
    if separator != _PREFERRED[form]:
        notes.append(f"fields are separated by {_in_words(separator)}")
    if lead == 0:
        notes.append("there is no column of row names; rows are numbered from 1")
    beside = header[1:lead] + header[len(header) - tail :]
    notes_on_columns = (kept_aside(beside),) if beside else ()
    notes = (*notes, *notes_on_columns)
    head = Head(separator, header, n_above, 0, lead, tail, min(lead, 1) - 1, short, notes)
    return _checked(replace(head, notes_on_columns=notes_on_columns), path)


def begins_gct(text: bytes) -> bool:
    """Whether a text's first line is a .gct table's; spreadsheets put tabs behind it."""
    return text[:4] in (b"#1.2", b"#1.3") and not text[4:5].strip()


def _gct_head(lines: list[bytes], path: Path, form: str) -> Head:
    """Version 1.2 has the columns Name and Description (per-tissue files of GTEx id before them); 1.3 says how many."""
    version = lines[0][:4]
    if len(lines) < 3:
        raise DataFormatError(f"{path}: the file ends above its header; it is cut short: get it again")
    try:
        declared = [int(number) for number in lines[1].split(b"\t") if number.strip()]
    except ValueError:
        declared = []
    if len(declared) < (4 if version == b"#1.3" else 2) or min(declared) < 0:
        shown = lines[1][:40].decode("utf-8", "replace")
        raise DataFormatError(f"{path}: line 2 is {shown!r}, not the numbers of genes and samples; get the file again")
    header = words(split_or_say(lines[2], b"\t", 3, path))
    if version == b"#1.3":
        lead, name_field, n_below = 1 + declared[2], 0, declared[3]
    else:
        lead = 3 if header[0].lower() == "id" else 2
        name_field, n_below = lead - 2, 0
        if [name.lower() for name in header[name_field:lead]] != ["name", "description"]:
            raise DataFormatError(f"{path}: line 3 does not begin with the columns Name and Description, as "
                                  "version 1.2 has them; mend the header, or name the file .tsv")  # fmt: skip
    notes = [] if form == "gct" else ["the first line says that this is a .gct table"]
    if declared[1] != len(header) - lead:
        notes.append(f"{path.name} declares {declared[1]:,} samples and holds {len(header) - lead:,}")
    return _checked(Head(b"\t", header, 2, n_below, lead, 0, name_field, False, tuple(notes), declared[0]), path)


def _checked(head: Head, path: Path) -> Head:
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
        f"{path}: the header has a single field; a table is expected, with names in the first column, separated "
        "by tabs, commas or semicolons"
    )


def _refuse_no_header(header: list[str], path: Path) -> None:
    names = [name for name in header[1:] if name]
    if names and numeric_share(names) == 1 and not all(name.isdecimal() or is_missing(name) for name in names):
        raise DataFormatError(
            f"{path}: the first line holds numbers ({', '.join(names[:3])}); the first line must name the "
            "columns, and the first column the rows: add them"
        )


def _in_words(separator: bytes) -> str:
    return {b"\t": "tabs", b",": "commas", b";": "semicolons", b"|": "bars", b" ": "blanks"}[separator]


def split_or_say(line: bytes, separator: bytes, number: int, path: Path) -> list[bytes]:
    try:
        return split(line, separator)
    except UnclosedQuote:
        raise unclosed(number, path) from None


def unclosed(number: int, path: Path) -> DataFormatError:
    """The error for a line with a quote that has no end."""
    return DataFormatError(
        f"{path}: line {number} has a quote that does not end in the line; mend it, or get the file again if it "
        "is damaged"
    )
