"""Reads cBioPortal's studies of TCGA tumours, folder or archive; never unpacks one and never trusts a symbol alone.

A study holds ``data_mrna_seq_v2_rsem.txt`` (``Hugo_Symbol  Entrez_Gene_Id  samples…``, one line a gene) and two
clinical tables, of patients and of samples, whose first lines are comments. Genes are matched by Entrez id where the
table brings one: symbols of the 2012 annotation have been renamed since, and TEP1, once an alias of PTEN, is another
gene.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders._kinds import GZIP_MAGIC, refuse_other_kinds
from reproduce.loaders.container import make_cohort, refuse_duplicates, some
from reproduce.loaders.gene_sets import ALIASES, GeneSet, gene_set

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "SEX_NAMES",
    "TCGA_COHORTS",
    "TCGA_UNITS",
    "TcgaCohort",
    "primary_tumours",
    "read_cbioportal_study",
    "tcga_donor",
]

TCGA_UNITS = "RSEM normalised counts (TCGA RNASeqV2)"
SEX_NAMES = {"male": "male", "female": "female"}


@dataclass(frozen=True)
class TcgaCohort:
    """A tumour cohort: cBioPortal's study, the cohort's name here, its tissue of origin as GTEx calls it, a title."""

    study: str
    name: str
    tissue: str
    title: str


TCGA_COHORTS: dict[str, TcgaCohort] = {
    "LUAD": TcgaCohort("luad_tcga", "TCGA-LUAD", "Lung", "TCGA lung adenocarcinoma"),
    "COADREAD": TcgaCohort("coadread_tcga", "TCGA-COADREAD", "Colon - Transverse", "TCGA colorectal adenocarcinoma"),
}

_EXPRESSION, _PATIENTS, _SAMPLES = "data_mrna_seq_v2_rsem.txt", "data_clinical_patient.txt", "data_clinical_sample.txt"
_FILES = (_EXPRESSION, _PATIENTS, _SAMPLES)
_UNKNOWN = ("", "NA", "NaN", "[Not Available]", "[Not Applicable]", "[Unknown]", "[Discrepancy]", "[Completed]")
_BARCODE = re.compile(r"(TCGA-\w{2}-\w{4})-(\d{2})[A-Z]?$")
_PRIMARY = "01"  # TCGA sample types: 01 primary solid tumour, 02 recurrent, 06 metastatic, 11 solid normal tissue
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


def read_cbioportal_study(
    path: str | Path,
    genes: str | GeneSet | None = None,
    *,
    cohort: str,
    tissue: str,
    missing: str = "error",
) -> AnnData:
    """Primary tumours of one study.

    Parameters
    ----------
    path : path
        The study's folder, or its ``.tar.gz`` as cBioPortal ships it (read member by member, never unpacked).
    genes : str or GeneSet, optional
        Genes to keep, in that order: the row with the gene's Entrez id; where a row brings none, the row with its
        symbol or a former symbol. None keeps every row; symbols that several ids share become ``SYMBOL|ENTREZ``.
    cohort, tissue : str
        For ``obs``, e.g. "TCGA-LUAD" and "Lung".
    missing : {"error", "report"}
        What to do about genes of the set that the table lacks.

    Returns
    -------
    AnnData
        ``X`` (n_samples, n_genes), RSEM normalised counts (linear); NaN where the table says NA.

    Raises
    ------
    DataFormatError
        If a file is absent, of another kind, cut short, has a wanted gene or a sample twice, holds a negative or
        non-numeric value, or the tables' samples or patients do not match.
    """
    if missing not in ("error", "report"):
        raise ConfigError(f"missing={missing!r}: choose 'error' or 'report'")
    path = Path(path)
    wanted = None if genes is None else gene_set(genes)
    readers: dict[str, Callable[[BinaryIO, str], object]] = {
        _EXPRESSION: lambda stream, place: _read_expression(stream, place, wanted, missing),
        _PATIENTS: lambda stream, place: _read_clinical(stream, place, "PATIENT_ID"),
        _SAMPLES: lambda stream, place: _read_clinical(stream, place, "SAMPLE_ID"),
    }
    read = _from_folder(path, readers) if path.is_dir() else _from_archive(path, readers)
    table, patients, samples = (read[name] for name in _FILES)
    kept, dropped_note = primary_tumours(table.samples)
    if not kept:
        raise DataFormatError(f"{path}: no primary tumour (sample type 01) among its {len(table.samples)} samples")
    obs, obs_notes = _obs(kept, patients, samples, path)
    obs["cohort"] = cohort
    obs["tissue"] = tissue
    rows = [table.samples.index(sample) for sample in kept]
    return make_cohort(
        table.X[rows],
        table.symbols,
        obs,
        units=TCGA_UNITS,
        source=f"cBioPortal, study {path.name}",
        ensembl_ids=table.ensembl_ids,
        notes=[*table.notes, *([dropped_note] if dropped_note else []), *obs_notes],
    )


def primary_tumours(samples: Sequence[str]) -> tuple[list[str], str | None]:
    """Samples of type 01, in their order, and a sentence about the others (None if there are none).

    Raises
    ------
    DataFormatError
        For an id that is not a TCGA barcode.
    """
    kinds = {sample: _barcode(sample, "sample table")[1] for sample in samples}
    others = [sample for sample, kind in kinds.items() if kind != _PRIMARY]
    note = (
        f"{len(others)} samples that are not primary tumours (type 01) left out: {', '.join(others)}"
        if others
        else None
    )
    return [sample for sample, kind in kinds.items() if kind == _PRIMARY], note


def tcga_donor(sample: str, path: str | Path) -> str:
    """``TCGA-05-4244-01`` -> ``TCGA-05-4244``; `path` is named if the id is of another form."""
    return _barcode(sample, path)[0]


def _barcode(sample: str, place: str | Path) -> tuple[str, str]:
    found = _BARCODE.match(sample)
    if found is None:
        raise DataFormatError(f"{place}: {sample!r} is not a TCGA sample barcode (TCGA-XX-XXXX-01)")
    return found[1], found[2]


@dataclass(frozen=True)
class _Expression:
    X: np.ndarray = field(repr=False)  # (n_samples, n_genes)
    samples: list[str]
    symbols: list[str]
    ensembl_ids: list[str]
    notes: list[str]


@dataclass(frozen=True)
class _Row:
    symbol: str
    entrez: str  # "" where the table brings none
    values: np.ndarray


def _from_folder(folder: Path, readers: dict[str, Callable]) -> dict[str, object]:
    read = {}
    for name, reader in readers.items():
        path = folder / name
        try:
            with open(path, "rb") as stream:
                read[name] = reader(stream, str(path))
        except FileNotFoundError:
            raise DataFormatError(f"{folder}: {name} is not in it; a cBioPortal study folder is expected") from None
    return read


def _from_archive(path: Path, readers: dict[str, Callable]) -> dict[str, object]:
    """Read the wanted members in one pass; nothing is written to disk, so a member's path can do no harm."""
    read: dict[str, object] = {}
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = Path(member.name).name
                if name not in readers or not member.isfile():
                    continue
                if name in read:
                    raise DataFormatError(f"{path}: {name} occurs more than once; a study's own archive is expected")
                stream = archive.extractfile(member)
                read[name] = readers[name](stream, f"{path}: {name}")
                if len(read) == len(readers):
                    break
    except tarfile.ReadError as error:
        _refuse_other_kinds_of_archive(path)
        raise DataFormatError(f"{path}: the archive is cut short or not a .tar.gz ({error}); get it again") from error
    except _DAMAGE as error:
        raise DataFormatError(f"{path}: the archive is cut short or damaged ({error}); get it again") from error
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read ({error.strerror or error}); a study's .tar.gz is expected"
        ) from error
    absent = [name for name in readers if name not in read]
    if absent:
        raise DataFormatError(f"{path}: {some(absent)} is not in the archive; another study's or an incomplete one")
    return read


def _refuse_other_kinds_of_archive(path: Path) -> None:
    with open(path, "rb") as handle:
        head = handle.read(1024)
    if not head.startswith(GZIP_MAGIC):
        refuse_other_kinds(path, "a cBioPortal study's .tar.gz archive", head=head)


def _read_expression(stream: BinaryIO, place: str, wanted: GeneSet | None, missing: str) -> _Expression:
    lines = _lines(stream, place, "an expression table of cBioPortal")
    _, header = next(lines, (0, [""]))  # a file of comments alone has no header
    lead = sum(name in ("Hugo_Symbol", "Entrez_Gene_Id") for name in header[:2])
    if lead == 0:
        raise DataFormatError(f"{place}: the first column is {header[0]!r}, not Hugo_Symbol or Entrez_Gene_Id")
    samples = header[lead:]
    if not samples:
        raise DataFormatError(f"{place}: the header names no sample")
    refuse_duplicates(samples, "sample", place)
    selects = _selector(wanted)
    rows, notes = [], []
    for number, fields in lines:
        if len(fields) != len(header):
            raise DataFormatError(
                f"{place}: line {number} has {len(fields)} fields, the header {len(header)}; "
                "the file is cut short or damaged: get it again"
            )
        names = dict(zip(header[:lead], fields))
        symbol, entrez = names.get("Hugo_Symbol", "").strip(), _entrez(names.get("Entrez_Gene_Id", ""))
        if selects(symbol, entrez):
            rows.append(
                _Row(symbol, entrez, _numbers(fields[lead:], samples, f"{place}: line {number}, gene {symbol}"))
            )
        elif wanted is not None and symbol in wanted.symbols:
            notes.append(f"the row named {symbol} has Entrez id {entrez}, which is another gene: left out")
    chosen = _every_row(rows, notes) if wanted is None else _choose(rows, wanted, missing, place, notes)
    if not chosen:
        raise DataFormatError(f"{place}: there is no gene under the header; the file is cut short: get it again")
    X = np.stack([row.values for row, _, _ in chosen], axis=1)
    return _Expression(X, samples, [name for _, name, _ in chosen], [ensembl for _, _, ensembl in chosen], notes)


def _lines(stream: BinaryIO, place: str, expected: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields, comment lines left out; the first is the header."""
    buffered = io.BufferedReader(stream, 1 << 20)
    refuse_other_kinds(place, expected, head=buffered.peek(1024)[:1024])
    number, line = 0, b"\n"
    for number, line in enumerate(buffered, start=1):
        if line.startswith(b"#") or not line.strip():
            continue
        if not line.endswith(b"\n"):
            # A number cut in half still looks like a number, and no count of lines would tell.
            raise DataFormatError(
                f"{place}: the last line ({number}) has no line end, so the file may be cut short; get it again, or "
                "end it with a line break if it is whole"
            )
        yield number, line.rstrip(b"\r\n").decode("utf-8", "replace").split("\t")


def _entrez(text: str) -> str:
    """The id as digits; "" for none (blank, NA, or cBioPortal's negative stand-ins for genes without one)."""
    text = text.strip()
    return text if text.isdigit() and text != "0" else ""


def _selector(wanted: GeneSet | None) -> Callable[[str, str], bool]:
    if wanted is None:
        return lambda symbol, entrez: True
    by_entrez = set(wanted.symbol_of_entrez)
    by_symbol = set(wanted.symbols) | {old for old, new in ALIASES.items() if new in wanted.symbols}
    return lambda symbol, entrez: entrez in by_entrez if entrez else symbol in by_symbol


def _numbers(texts: list[str], samples: list[str], place: str) -> np.ndarray:
    try:
        if any("_" in text for text in texts):
            raise ValueError  # Python would read 1_0 as ten
        values = np.array(texts).astype(np.float64)
    except ValueError:
        values = np.array([_number(text, sample, place) for text, sample in zip(texts, samples)])
    bad = (values < 0) | np.isinf(values)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataFormatError(
            f"{place}, sample {samples[first]}: {texts[first]} is not a finite number >= 0; RSEM values on a linear "
            "scale are expected, not log ratios or z-scores"
        )
    return values


def _number(text: str, sample: str, place: str) -> float:
    if text.strip() in _UNKNOWN:
        return np.nan
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise DataFormatError(
            f"{place}, sample {sample}: {text!r} is not a number (leave NA if it is not known)"
        ) from None


def _choose(
    rows: list[_Row], wanted: GeneSet, missing: str, place: str, notes: list[str]
) -> list[tuple[_Row, str, str]]:
    """For each gene of the set its one row, in the set's order."""
    name_of = wanted.symbol_of_entrez
    found: dict[str, list[_Row]] = {}
    for row in rows:
        symbol = name_of[row.entrez] if row.entrez else ALIASES.get(row.symbol, row.symbol)
        found.setdefault(symbol, []).append(row)
    for symbol, candidates in found.items():
        if len({row.values.tobytes() for row in candidates}) > 1:
            named = some(row.symbol + (f" (Entrez {row.entrez})" if row.entrez else "") for row in candidates)
            raise DataFormatError(
                f"{place}: gene {symbol} occurs {len(candidates)} times with different values ({named}); "
                "keep the row that is meant"
            )
        if len(candidates) > 1:
            notes.append(f"{len(candidates)} identical rows of {symbol}: one kept")
        if candidates[0].symbol != symbol:
            notes.append(f"{candidates[0].symbol or candidates[0].entrez} is called {symbol} today: renamed")
    absent = [symbol for symbol in wanted.symbols if symbol not in found]
    if absent and (missing == "error" or not found):
        raise DataFormatError(
            f"{place}: {len(absent)} of {len(wanted)} genes of the set '{wanted.name}' are not in it ({some(absent)}); "
            "get the whole file, or pass missing='report' to go on without these genes"
        )
    if absent:
        notes.append(f"{len(absent)} genes of the set are not in the table: {', '.join(absent)}")
    ensembl = wanted.ensembl_of_symbol
    return [(found[symbol][0], symbol, ensembl[symbol]) for symbol in wanted.symbols if symbol in found]


def _every_row(rows: list[_Row], notes: list[str]) -> list[tuple[_Row, str, str]]:
    names = pd.Series([row.symbol or "?" for row in rows], dtype="str")
    shared = (names.duplicated(keep=False) | (names == "?")).to_numpy()
    if shared.any():
        notes.append(f"{shared.sum()} rows share a symbol or have none: named SYMBOL|ENTREZ")
    labels = [f"{name}|{row.entrez}" if twice else name for name, row, twice in zip(names, rows, shared)]
    return [(row, label, "") for row, label in zip(rows, labels)]


def _read_clinical(stream: BinaryIO, place: str, key: str) -> pd.DataFrame:
    """A clinical table as text, indexed by `key`; whatever means "not known" is missing."""
    lines = _lines(stream, place, "a clinical table of cBioPortal")
    _, header = next(lines, (0, []))
    if key not in header:
        raise DataFormatError(f"{place}: no column {key}; this is another table")
    rows = []
    for number, fields in lines:
        if len(fields) != len(header):
            raise DataFormatError(
                f"{place}: line {number} has {len(fields)} fields, the header {len(header)}; get it again"
            )
        rows.append(fields)
    table = pd.DataFrame(rows, columns=header, dtype="str").set_index(key)
    refuse_duplicates(table.index, "patient" if key == "PATIENT_ID" else "sample", place)
    return table.mask(table.isin(_UNKNOWN))


def _obs(kept: list[str], patients: pd.DataFrame, samples: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    _refuse_absent(kept, samples.index, "sample", f"{path}: {_SAMPLES}")
    for column, table, name in (
        ("PATIENT_ID", samples, _SAMPLES),
        ("SEX", patients, _PATIENTS),
        ("AGE", patients, _PATIENTS),
    ):
        if column not in table:
            raise DataFormatError(f"{path}: {name} has no column {column}; TCGA's clinical tables have it")
    donors = samples.loc[kept, "PATIENT_ID"]
    _refuse_absent(donors.dropna().unique(), patients.index, "patient", f"{path}: {_PATIENTS}")
    people = patients.reindex(donors)
    sex = people["SEX"].str.strip().str.lower()
    other = sorted(set(sex.dropna()) - set(SEX_NAMES))
    if other:
        raise DataFormatError(f"{path}: {_PATIENTS}: SEX is {some(map(repr, other))}; known: Male, Female")
    try:
        age = pd.to_numeric(people["AGE"]).to_numpy(dtype=np.float64)
    except ValueError as error:
        raise DataFormatError(f"{path}: {_PATIENTS}: an AGE is not a number ({error})") from None
    obs = pd.DataFrame({"donor": donors.to_numpy()}, index=pd.Index(kept))
    obs["condition"] = "tumour"
    obs["sex"] = sex.map(SEX_NAMES).to_numpy()
    obs["age"] = age
    unknown = {"sex": int(obs["sex"].isna().sum()), "age": int(obs["age"].isna().sum())}
    return obs, [f"{what} is unknown for {count} samples and left unknown" for what, count in unknown.items() if count]


def _refuse_absent(names: Iterable[str], known: pd.Index, kind: str, place: str) -> None:
    present = set(known)
    absent = [name for name in names if name not in present]
    if absent:
        raise DataFormatError(
            f"{place} has no row for {len(absent)} {kind}s of the expression table: {some(absent)}; "
            "take all tables from the same study"
        )
