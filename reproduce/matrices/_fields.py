"""Cuts lines of a text table into fields, finds its separator and its columns of names; never reads a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from reproduce.matrices._tokens import is_missing, numeric_share
from reproduce.matrices.genes import gene_share

SEPARATORS = (b"\t", b",", b";", b"|", b" ")
#: Columns beside the first that describe a gene rather than measure it, numeric ones among them.
_DESCRIBES = re.compile(
    r"hugo_?symbol|entrez(_?gene)?(_?id)?|(gene_?)?description|gene_?(id|name|symbol|type|biotype)|gene|symbol|name|"
    r"ensembl(_?gene)?(_?id)?|hgnc_?(id|symbol)|chr(om|omosome)?|start|end|strand|length|locus_?(group|type)?",
    re.IGNORECASE,
)


class UnclosedQuote(Exception):
    """A field begins with a quote that has no end in its line."""


def split(line: bytes, separator: bytes) -> list[bytes]:
    """Fields as they stand, quotes included; a separator within quotes separates nothing.

    Raises
    ------
    UnclosedQuote
    """
    if b'"' not in line:
        return line.split(separator)
    fields = _field(separator).findall(line + separator)
    if sum(map(len, fields)) + len(fields) != len(line) + 1:
        raise UnclosedQuote
    return fields


def cut(line: bytes, separator: bytes, n_fields: int) -> tuple[list[bytes], bytes | None]:
    """The first fields as they stand, and the rest of the line; None for a line that is too short to have a rest.

    Raises
    ------
    UnclosedQuote
    """
    if b'"' not in line:
        *first, rest = line.split(separator, n_fields)
        return (first, rest) if len(first) == n_fields else ([*first, rest], None)
    first, start, whole = [], 0, line + separator
    while len(first) < n_fields and start < len(whole):
        found = _field(separator).match(whole, start)
        if found is None:
            raise UnclosedQuote
        first.append(found[1])
        start = found.end()
    return first, line[start:] if start <= len(line) else None


def unquoted(field: bytes) -> bytes:
    """What a field says: without blanks around it and without quotes."""
    field = field.strip()
    if len(field) >= 2 and field.startswith(b'"') and field.endswith(b'"'):
        return field[1:-1].replace(b'""', b'"').strip()
    return field


def requoted(field: bytes, value: bytes, separator: bytes) -> bytes:
    """The field with another value in it: within its quotes and blanks, and quoted where it holds the separator."""
    core = field.strip()
    before, after = (b"", b"") if not core else (field[: field.index(core)], field[field.index(core) + len(core) :])
    if core.startswith(b'"') or separator in value:
        value = b'"' + value + b'"'
    return before + value + after


def words(fields: Sequence[bytes]) -> list[str]:
    """What fields say, as text."""
    return [unquoted(field).decode("utf-8") for field in fields]


def find_separator(lines: Sequence[bytes], preferred: bytes) -> bytes | None:
    """The separator that cuts all lines into equally many fields; None if there is none.

    Parameters
    ----------
    lines : sequence of bytes
        The header and some lines below it. A header that is one field shorter (R's) counts only where no separator
        fits exactly.
    preferred : bytes
        The one that the file's ending names; it is taken where several do equally well.
    """
    best: tuple[tuple[bool, int, bool], bytes] | None = None
    for separator in SEPARATORS:
        try:
            counts = [len(split(line, separator)) for line in lines]
        except UnclosedQuote:
            continue
        below = set(counts[1:]) or {counts[0]}
        if len(below) > 1 or max(counts) < 2 or counts[0] - max(below) not in (0, -1):
            continue
        rank = (counts[0] == max(below), max(below), separator == preferred)
        if best is None or rank > best[0]:
            best = rank, separator
    return None if best is None else best[1]


def beside_values(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """How many columns stand before the values and behind them.

    Parameters
    ----------
    header : sequence of str
        As many names as the rows have fields.
    rows : sequence of sequence of str
        Some of them.

    Returns
    -------
    int
        0 for a matrix without names of rows, otherwise 1 or more: the first column holds names; those that follow at
        once and describe genes, or hold nothing but words, belong to them.
    int
        Columns at the end that hold nothing but words, such as a tissue.
    """
    columns = list(zip(*rows))
    lead, tail = 1, 0
    if header[0] and gene_share(header[:1]) == 1 and gene_share(header) >= 0.5 and numeric_share(columns[0]) == 1:
        lead = 0
    else:
        while lead < len(header) and (_DESCRIBES.fullmatch(header[lead]) or _describes(header[lead], columns[lead])):
            lead += 1
    while lead + tail < len(header) and _describes(header[-1 - tail], columns[-1 - tail]):
        tail += 1
    return lead, tail


def kept_aside(names: Sequence[str], *, of_obs: bool = False) -> str:
    """A note on columns beside the values, or in an .h5ad's table of samples."""
    where = "columns of obs" if of_obs else "columns"
    how = f"name them by --covariates obs:{names[0]},…" if of_obs else "give them in a table by --covariates"
    shown = ", ".join(map(str, names[:8])) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")
    return (
        f"these {where} are kept and not taken for values: {shown}; if they tell of the samples, such as tissue or "
        f"sex, {how} to have them used"
    )


def _describes(name: str, column: Sequence[str]) -> bool:
    """Whether a column holds nothing but words, and is no gene's: there, words are a fault."""
    return not gene_share([name]) and numeric_share(column) == 0 and not all(map(is_missing, column))


@cache
def _field(separator: bytes) -> re.Pattern[bytes]:
    mark = re.escape(separator)
    return re.compile(rb'("(?:[^"]|"")*+"|[^"' + mark + rb"][^" + mark + rb"]*|)" + mark)
