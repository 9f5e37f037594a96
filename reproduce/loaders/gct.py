"""Reads the wanted genes of GTEx's .gct and .gct.gz tables line by line; never holds the whole table unless asked.

The format: ``#1.2``; a line with the numbers of genes and samples; a header ``Name  Description  samples…`` (per-tissue
files have a column ``id`` before it); one line a gene. The second line is not trusted, since excerpts keep the
original's. Rows whose Ensembl id ends in ``_PAR_Y`` are skipped: GENCODE's second copy, on Y, of a pseudo-autosomal
gene, to which no read is assigned.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders._kinds import GZIP_MAGIC, refuse_other_kinds
from reproduce.loaders.container import refuse_duplicates, some
from reproduce.loaders.gene_sets import GeneSet, gene_set

__all__ = ["GctTable", "check_gct", "read_gct", "read_gct_samples"]

_EXPECTED = "a GTEx .gct table"
_BUFFER = 1 << 20
# bgzip (the portal's files) writes many gzip members with the field BC in each header and an empty member at the end.
_BGZF_FIELD = slice(12, 14)
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_DIGITS = b"0123456789.eE+-\t"
_NUMBER = re.compile(rb"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class GctTable:
    """Some genes of a .gct table.

    Attributes
    ----------
    X : ndarray, (n_samples, n_genes), float64
    samples : tuple of str, (n_samples,)
    symbols, ensembl_ids : tuple of str, (n_genes,)
        Symbols of the gene set where one was asked for, otherwise the column ``Description``; ids without version.
    notes : tuple of str
    """

    X: np.ndarray = field(repr=False)
    samples: tuple[str, ...] = field(repr=False)
    symbols: tuple[str, ...]
    ensembl_ids: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()


def read_gct(
    path: str | Path,
    genes: str | GeneSet | None = None,
    *,
    samples: Sequence[str] | None = None,
    missing: str = "error",
) -> GctTable:
    """Read genes of a .gct or .gct.gz table.

    Parameters
    ----------
    path : path
    genes : str or GeneSet, optional
        Genes to keep, in that order. A gene is the row with its Ensembl id (version ignored); only if there is none,
        the row with its symbol, and a note says so. None keeps every row, which takes 8 bytes a value.
    samples : sequence of str, optional
        Samples to keep, in that order.
    missing : {"error", "report"}
        What to do about genes of the set that the table lacks.

    Returns
    -------
    GctTable

    Raises
    ------
    DataFormatError
        If the file is of another kind, cut short, has a wanted gene or a sample twice, lacks a wanted gene or sample,
        or holds a value that is not a finite number >= 0.
    """
    if missing not in ("error", "report"):
        raise ConfigError(f"missing={missing!r}: choose 'error' or 'report'")
    path = Path(path)
    wanted = None if genes is None else gene_set(genes)
    with _reading(path) as lines:
        header = _read_header(lines, path)
        columns = _sample_columns(header, samples, path)
        rows, n_rows = _read_rows(lines, header, columns, wanted, path)
    notes = _notes_on_dimensions(header, n_rows, path)
    if wanted is None:
        refuse_duplicates([row.name for row in rows], "gene", str(path))
        chosen = [(row.symbol, row) for row in rows]
    else:
        chosen, absent = _choose(rows, wanted, path)
        if absent and (missing == "error" or not chosen):
            raise DataFormatError(
                f"{path}: {len(absent)} of {len(wanted)} genes of the set '{wanted.name}' are not in it "
                f"({some(absent)}). It holds {n_rows} of the {header.declared[0]} genes it declares: if that is fewer, "
                "it is an excerpt or cut short; get the whole file, or pass missing='report' to go on without these "
                "genes"
            )
        notes += _notes_on_genes(chosen, absent, wanted, path)
    X = np.empty((len(columns), len(chosen)))
    for j, (_, row) in enumerate(chosen):
        X[:, j] = row.values
    return GctTable(
        X,
        samples=tuple(header.samples[column] for column in columns),
        symbols=tuple(symbol for symbol, _ in chosen),
        ensembl_ids=tuple(row.name for _, row in chosen),
        notes=tuple(notes),
    )


def read_gct_samples(path: str | Path) -> tuple[str, ...]:
    """Sample ids of a .gct or .gct.gz table, from its header alone."""
    path = Path(path)
    with _reading(path) as lines:
        return _read_header(lines, path).samples


def check_gct(path: str | Path) -> None:
    """Read a whole table for its form alone: every line has all fields and the compression is intact.

    Raises
    ------
    DataFormatError
        As `read_gct`, without looking at the values.
    """
    path = Path(path)
    with _reading(path) as lines:
        header = _read_header(lines, path)
        for _ in _whole_lines(lines, header, path):
            pass


@dataclass(frozen=True)
class _Header:
    declared: tuple[int, int]
    lead: int  # columns before the samples: id (optional), Name, Description
    samples: tuple[str, ...]

    @property
    def n_fields(self) -> int:
        return self.lead + len(self.samples)


@dataclass(frozen=True)
class _Row:
    name: str  # Ensembl id without version
    symbol: str
    values: np.ndarray


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """The file's uncompressed bytes; damage to the compression becomes a `DataFormatError`."""
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == GZIP_MAGIC
            if compressed:
                _refuse_unfinished_bgzf(raw, path)
            raw.seek(0)
            stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER) if compressed else raw
            refuse_other_kinds(path, _EXPECTED, head=_peek(stream))
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFormatError(f"{path}: the compressed file is cut short or damaged ({error}); get it again") from error
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error.strerror or error}); {_EXPECTED} is expected") from error


def _refuse_unfinished_bgzf(raw: BinaryIO, path: Path) -> None:
    """Refuse a bgzip file cut between two of its members, where each member by itself is intact."""
    raw.seek(0)
    if raw.read(_BGZF_FIELD.stop)[_BGZF_FIELD] != b"BC":
        return
    size = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, size - len(_BGZF_END)))
    if raw.read() != _BGZF_END:
        raise DataFormatError(f"{path}: the compressed file is cut short (its end mark is absent); get it again")


def _peek(stream: BinaryIO) -> bytes:
    return stream.peek(1024)[:1024]


def _read_header(lines: BinaryIO, path: Path) -> _Header:
    raw = [lines.readline() for _ in range(3)]
    version, shape, names = (line.rstrip(b"\r\n").decode("utf-8", "replace") for line in raw)
    if version.strip() != "#1.2":
        raise DataFormatError(f"{path}: the first line is {version[:40]!r}, not '#1.2'; {_EXPECTED} is expected")
    try:
        n_genes, n_samples = (int(number) for number in shape.split("\t")[:2])
    except ValueError:
        raise DataFormatError(
            f"{path}: line 2 is {shape[:40]!r}, not the numbers of genes and samples; the file is damaged: get it again"
        ) from None
    fields = names.split("\t")
    lead = 3 if fields[0].lower() == "id" else 2
    if [name.lower() for name in fields[lead - 2 : lead]] != ["name", "description"]:
        raise DataFormatError(
            f"{path}: line 3 begins {names[:40]!r}, not with the columns Name and Description; {_EXPECTED} is expected"
        )
    if not raw[2].endswith(b"\n"):
        raise DataFormatError(f"{path}: line 3 has no end; the file is cut short: get it again")
    samples = tuple(fields[lead:])
    if not all(sample.strip() for sample in samples) or not samples:
        raise DataFormatError(f"{path}: line 3 has a column without a sample's name; remove it or get the file again")
    refuse_duplicates(samples, "sample", str(path))
    return _Header((n_genes, n_samples), lead, samples)


def _sample_columns(header: _Header, samples: Sequence[str] | None, path: Path) -> list[int]:
    if samples is None:
        return list(range(len(header.samples)))
    position = {sample: column for column, sample in enumerate(header.samples)}
    absent = [sample for sample in samples if sample not in position]
    if absent:
        raise DataFormatError(
            f"{path}: {len(absent)} of {len(samples)} samples are not in it: {some(absent)}; "
            "ask for samples of this file, or give the file that holds them"
        )
    return [position[sample] for sample in samples]


def _whole_lines(lines: BinaryIO, header: _Header, path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers and lines (without their end), each with all its fields; at least one."""
    any_line = False
    for number, line in enumerate(lines, start=4):
        if not line.endswith(b"\n"):  # a number cut in half still looks like a number
            raise DataFormatError(
                f"{path}: line {number} has no end, so its last number may be cut; get the file again, "
                "or end the line if it is whole"
            )
        text = line.rstrip(b"\r\n")
        if not text:
            continue
        if (n_fields := text.count(b"\t") + 1) != header.n_fields:
            raise DataFormatError(
                f"{path}: line {number} has {n_fields} fields, the header {header.n_fields}; "
                "the file is cut short or damaged: get it again"
            )
        any_line = True
        yield number, text
    if not any_line:
        raise DataFormatError(f"{path}: there is no gene under the header; the file is cut short: get it again")


def _read_rows(
    lines: BinaryIO, header: _Header, columns: list[int], wanted: GeneSet | None, path: Path
) -> tuple[list[_Row], int]:
    """Rows that may be wanted, and the number of all rows."""
    by_id = {} if wanted is None else wanted.symbol_of_ensembl
    by_symbol = set() if wanted is None else set(wanted.symbols)
    rows: list[_Row] = []
    n_rows = 0
    for number, line in _whole_lines(lines, header, path):
        n_rows += 1
        *_, name, symbol, rest = line.split(b"\t", header.lead)
        name, symbol = name.decode("utf-8", "replace"), symbol.decode("utf-8", "replace")
        if name.endswith("_PAR_Y"):
            continue
        name = name.split(".")[0]
        if wanted is None or name in by_id or symbol in by_symbol:
            rows.append(_Row(name, symbol, _parse(rest, header, columns, f"{path}: line {number}, gene {symbol}")))
    return rows, n_rows


def _parse(rest: bytes, header: _Header, columns: list[int], place: str) -> np.ndarray:
    fields = rest.split(b"\t")
    fields = [fields[column] for column in columns]
    values = _numbers(fields, plain=not rest.translate(None, _DIGITS))
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataFormatError(
            f"{place}, sample {header.samples[columns[first]]}: {fields[first].decode('utf-8', 'replace')!r} is not a "
            "finite number >= 0; the file is damaged (get it again) or not on a linear scale (give counts or TPM)"
        )
    return values


def _numbers(fields: list[bytes], *, plain: bool) -> np.ndarray:
    """Values of fields, NaN for what is no number; `plain` if they hold nothing but `_DIGITS`, so that NumPy may try.

    NumPy (as Python) would also take 1_000, nan, and digits followed by null bytes.
    """
    if plain:
        try:
            return np.array(fields, dtype=bytes).astype(np.float64)
        except ValueError:
            pass  # an empty field or a stray sign: find it below
    return np.array([float(text) if _NUMBER.fullmatch(text) else np.nan for text in fields])


def _choose(rows: list[_Row], wanted: GeneSet, path: Path) -> tuple[list[tuple[str, _Row]], list[str]]:
    """For each gene its one row: by Ensembl id, else by symbol; and the genes without any."""
    by_id = wanted.symbol_of_ensembl
    named: dict[str, list[_Row]] = {}
    called: dict[str, list[_Row]] = {}  # by symbol, apart from rows with the id of another gene of the set
    for row in rows:
        named.setdefault(row.name, []).append(row)
        if row.name not in by_id:
            called.setdefault(row.symbol, []).append(row)
    chosen, absent = [], []
    for symbol, ensembl_id in wanted.ensembl_of_symbol.items():
        # A row with the id of another gene of the set is that gene, whatever its symbol.
        candidates = named.get(ensembl_id) or called.get(symbol, [])
        if len(candidates) > 1:
            raise DataFormatError(
                f"{path}: gene {symbol} ({ensembl_id}) occurs {len(candidates)} times; keep the row that is meant"
            )
        if candidates:
            chosen.append((symbol, candidates[0]))
        else:
            absent.append(symbol)
    return chosen, absent


def _notes_on_dimensions(header: _Header, n_rows: int, path: Path) -> list[str]:
    pairs = zip(("genes", "samples"), header.declared, (n_rows, len(header.samples)))
    return [f"{path.name} declares {said} {what} and holds {held}" for what, said, held in pairs if said != held]


def _notes_on_genes(chosen: list[tuple[str, _Row]], absent: list[str], wanted: GeneSet, path: Path) -> list[str]:
    ensembl_of = wanted.ensembl_of_symbol
    by_symbol = [f"{symbol} ({row.name})" for symbol, row in chosen if row.name != ensembl_of[symbol]]
    notes = []
    if by_symbol:
        notes.append(f"{path.name} lacks the Ensembl id of these genes, taken by symbol: {', '.join(by_symbol)}")
    if absent:
        notes.append(f"{len(absent)} genes of the set are not in {path.name}: {some(absent, limit=40)}")
    return notes
