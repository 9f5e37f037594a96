"""RNAseqDB's normals and tumours, GTEx and TCGA brought onto one scale by its authors; never normalises further.

Wang et al., Sci Data 2018, 5:180061 (doi 10.1038/sdata.2018.61): RSEM's FPKM, quantile normalised, batches between GTEx
and TCGA removed by ComBat within clusters of tissues. Two forms are read: the source's own tables,
``{tissue}-rsem-fpkm-{gtex,tcga,tcga-t}.txt.gz`` (``Hugo_Symbol  Entrez_Gene_Id  samples…``, linear), and one compact
table made from them, ``normalized_log2_q64.h5`` (genes × samples, int16, log2(x + 1) in steps of 1/64) with
``samples.tsv`` and ``genes.tsv.gz`` beside it.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.loaders._kinds import refuse_other_kinds
from reproduce.loaders.cbioportal import tcga_donor
from reproduce.loaders.container import make_cohort, refuse_duplicates, some
from reproduce.loaders.gene_sets import PROTEIN_CODING, GeneSet, gene_set
from reproduce.loaders.gtex import gtex_donor

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["NORMAL", "RNASEQDB_TUMOURS", "RNASEQDB_UNITS", "load_rnaseqdb", "rnaseqdb_folder"]

RNASEQDB_UNITS = "normalised FPKM (RSEM, quantile normalised, ComBat), linear"
#: Name of the cohort of normal tissue, GTEx and TCGA together.
NORMAL = "Normal"

_COLON, _LIVER = "Colon and rectum", "Liver and bile duct"
#: Tumour cohorts, and the tissue of the normals that each is compared with. Rectum and bile duct have a handful of
#: normals, most of them of the tumours' own donors, so they share a tissue with colon and liver: RNAseqDB's authors
#: corrected batches over the same two pairs, and the normal tissue beside a cholangiocarcinoma is mostly liver.
RNASEQDB_TUMOURS: dict[str, str] = {"READ": _COLON, "KICH": "Kidney", "UCS": "Uterus", "CHOL": _LIVER}

# First part of a table's name -> tissue.
_GTEX = {
    "bladder": "Bladder",
    "breast": "Breast",
    "cervix": "Cervix",
    "colon": _COLON,
    "esophagus_gas": "Esophagus",
    "esophagus_muc": "Esophagus",
    "esophagus_mus": "Esophagus",
    "kidney": "Kidney",
    "liver": _LIVER,
    "lung": "Lung",
    "prostate": "Prostate",
    "salivary": "Salivary gland",
    "stomach": "Stomach",
    "thyroid": "Thyroid",
    "uterus": "Uterus",
}
_TCGA = {
    "blca": "Bladder",
    "brca": "Breast",
    "cesc": "Cervix",
    "chol": _LIVER,
    "coad": _COLON,
    "esca": "Esophagus",
    "hnsc": "Head and neck",
    "kich": "Kidney",
    "kirc": "Kidney",
    "kirp": "Kidney",
    "lihc": _LIVER,
    "luad": "Lung",
    "lusc": "Lung",
    "prad": "Prostate",
    "read": _COLON,
    "stad": "Stomach",
    "thca": "Thyroid",
    "ucec": "Uterus",
    "ucs": "Uterus",
}
_NAME = re.compile(r"([a-z_]+)-rsem-fpkm-(gtex|tcga|tcga-t)\.txt(?:\.gz)?")
_COMPACT, _SAMPLES, _GENES = "normalized_log2_q64.h5", "samples.tsv", "genes.tsv.gz"
_STEPS = 64  # of the compact table, per doubling
_LEAD = ("Hugo_Symbol", "Entrez_Gene_Id")
_ABSURD = 1e7  # a normalised sample's third quartile is about 700
_EXPECTED = "a table of RNAseqDB"


@dataclass(frozen=True)
class _Table:
    """All genes of all samples, as they are in the source."""

    values: np.ndarray = field(repr=False)  # (n_genes, n_samples), float32, linear
    genes: pd.DataFrame = field(repr=False)  # (n_genes, 2): symbol, entrez
    samples: pd.DataFrame = field(repr=False)  # (n_samples, 2): sample, file
    source: str
    notes: tuple[str, ...]


def load_rnaseqdb(folder: str | Path, genes: str | GeneSet) -> dict[str, AnnData]:
    """Normal tissue and four tumour cohorts.

    Parameters
    ----------
    folder : path
        Holds the source's tables or the compact one, not both. Tumours other than the four are not read.
    genes : str or GeneSet
        A list of which every gene must be there, or the rule "protein_coding", which keeps those that are. A row is the
        gene of its symbol: many rows carry the Entrez id of a neighbour or of a gene of the same family (ACTG1 that
        of ACTB). A row with a gene's former symbol is that gene if it has its Entrez id too; a gene that several rows
        claim is left out.

    Returns
    -------
    dict of str to AnnData
        "Normal" (GTEx, and TCGA's normal tissue of donors without a tumour here), "READ", "KICH", "UCS" and "CHOL";
        ``X`` (n_samples, n_genes), linear (see `RNASEQDB_UNITS`). A tumour's tissue is that of the normals that it is
        compared with. Sex and age are not in the source and so unknown. ``obs["source"]`` is GTEx or TCGA. Genes that
        do not vary among the normals are kept and counted in the notes.

    Raises
    ------
    DataFormatError
        If a table is absent, damaged or of another kind, a gene of a list is absent, or a tumour's tissue has no normal
        sample.
    """
    folder = Path(folder)
    wanted = gene_set(genes)
    table = _read_compact(folder) if (folder / _COMPACT).is_file() else _read_tables(folder)
    obs = _describe(table)
    is_tumour = (obs["condition"] == "tumour").to_numpy()
    targets = {name: np.flatnonzero(is_tumour & (obs["cohort"] == f"TCGA-{name}")) for name in RNASEQDB_TUMOURS}
    donors_with_tumour = set(obs["donor"].iloc[np.concatenate(list(targets.values()))])
    leaks = ~is_tumour & obs["donor"].isin(donors_with_tumour).to_numpy()
    normals = np.flatnonzero(~is_tumour & ~leaks)
    _refuse_absent_cohorts(targets, set(obs["tissue"].iloc[normals]), folder)

    rows, symbols, notes = _match_genes(table.genes, wanted, table.source)
    X = np.ascontiguousarray(table.values[rows].T)  # (n_samples, n_genes)
    empty = np.isnan(X[normals]).all(axis=0)
    if empty.any():
        notes.append(f"{empty.sum()} genes without any value among the normals are left out")
        X, symbols = X[:, ~empty], [symbol for symbol, nothing in zip(symbols, empty) if not nothing]
    notes = [*table.notes, *notes, *_notes_on_values(X, normals, symbols)]
    ensembl = wanted.ensembl_of_symbol

    def cohort(samples: np.ndarray, more_notes: list[str]) -> AnnData:
        return make_cohort(
            X[samples],
            symbols,
            obs.iloc[samples],
            units=RNASEQDB_UNITS,
            source=table.source,
            ensembl_ids=[ensembl[symbol] for symbol in symbols],
            notes=more_notes,
        )

    by_file = pd.Series(obs["file"][leaks]).value_counts(sort=False)
    left_out = ", ".join(f"{count} of {file}" for file, count in by_file.items())
    notes += [f"{leaks.sum()} normal samples of donors whose tumour is a target are left out ({left_out})"] * bool(
        leaks.any()
    )
    notes.append("sex and age are not in the source: unknown for all samples")
    cohorts = {NORMAL: cohort(normals, notes)}
    for name, samples in targets.items():
        cohorts[name] = cohort(samples, [f"compared with the normals of tissue '{RNASEQDB_TUMOURS[name]}'"])
    return cohorts


def rnaseqdb_folder(folder: str | Path) -> Path | None:
    """The folder that holds the tables: `folder` or its subfolder ``rnaseqdb``; None if neither does."""
    for candidate in (Path(folder) / "rnaseqdb", Path(folder)):
        if (candidate / _COMPACT).is_file() or _tables_in(candidate):
            return candidate
    return None


# -- what the files hold -------------------------------------------------------------------------------------------


def _tables_in(folder: Path) -> list[Path]:
    """The source's tables in a folder, tumours besides the four left aside, in the order of their names."""
    found = []
    for path in sorted(folder.glob("*-rsem-fpkm-*.txt*")):
        name = _NAME.fullmatch(path.name)
        if name and (name[2] != "tcga-t" or name[1].upper() in RNASEQDB_TUMOURS):
            found.append(path)
    return found


def _read_tables(folder: Path) -> _Table:
    """The source's tables side by side, with the genes that all of them have once."""
    paths = _tables_in(folder)
    if not paths:
        raise DataFormatError(f"{folder}: neither {_COMPACT} nor a {{tissue}}-rsem-fpkm-{{gtex,tcga,tcga-t}}.txt.gz")
    frames = [_read_table(path) for path in paths]
    common = frames[0].index
    for frame in frames[1:]:
        common = common[common.isin(frame.index)]
    if common.empty:
        raise DataFormatError(f"{folder}: {some(path.name for path in paths)} have no gene in common; get them again")
    samples = pd.DataFrame({
        "sample": [sample for frame in frames for sample in frame.columns[1:]],
        "file": [path.name for path, frame in zip(paths, frames) for _ in frame.columns[1:]],
    })  # fmt: skip
    values = np.hstack([frame.loc[common].iloc[:, 1:].to_numpy(dtype=np.float32) for frame in frames])
    genes = pd.DataFrame({"symbol": common, "entrez": frames[0].loc[common, _LEAD[1]].to_numpy()})
    lost = max(len(frame) for frame in frames) - len(common)
    notes = (f"{len(paths)} tables; {lost} genes of the longest are not in all of them, or twice in one: left out",)
    return _Table(values, genes, samples, f"RNAseqDB, {len(paths)} tables of {folder.name}/", notes)


def _read_table(path: Path) -> pd.DataFrame:
    """One table, (n_genes, 1 + n_samples), indexed by symbol: the Entrez id (str), then the samples (float32)."""
    text = _text(path)
    header = text[: text.find(b"\n")].decode("utf-8", "replace").rstrip("\r").split("\t")
    if tuple(header[:2]) != _LEAD or len(header) < 3:
        raise DataFormatError(f"{path}: the header begins {some(header[:2])}, not {', '.join(_LEAD)} and samples")
    refuse_duplicates(header, "sample", str(path))
    for number, line in enumerate(text.splitlines(), start=1):
        if (n_fields := line.count(b"\t") + 1) != len(header):
            raise DataFormatError(
                f"{path}: line {number} has {n_fields} fields, the header {len(header)}; the file is cut short or "
                "damaged: get it again"
            )
    types = dict.fromkeys(_LEAD, "str") | dict.fromkeys(header[2:], np.float32)
    try:
        frame = pd.read_csv(io.BytesIO(text), sep="\t", dtype=types, na_values={_LEAD[1]: []}, quoting=3)
    except ValueError as error:
        raise DataFormatError(f"{path}: a value is not a number ({error}); the file is damaged: get it again") from None
    return frame[~frame[_LEAD[0]].duplicated(keep=False) & frame[_LEAD[0]].notna()].set_index(_LEAD[0])


def _text(path: Path) -> bytes:
    """A table's bytes, unpacked; a number cut in half still looks like one, so the last line must have its end."""
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if path.read_bytes()[:2] != b"\x1f\x8b":
            refuse_other_kinds(path, _EXPECTED)
        raise DataFormatError(f"{path}: the compressed file is cut short or damaged ({error}); get it again") from error
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error.strerror or error}); {_EXPECTED} is expected") from error
    refuse_other_kinds(path, _EXPECTED, head=text[:1024])
    if not text.endswith(b"\n"):
        raise DataFormatError(f"{path}: the last line has no end; the file is cut short: get it again")
    return text


def _read_compact(folder: Path) -> _Table:
    import h5py

    path = folder / _COMPACT
    if others := _tables_in(folder):
        raise DataFormatError(f"{folder}: holds both {_COMPACT} and {others[0].name}; keep one form of the data")
    samples = _annotation(folder / _SAMPLES, ("sample_id", "file")).set_axis(["sample", "file"], axis=1)
    genes = _annotation(folder / _GENES, ("symbol", "entrez_gene_id")).set_axis(["symbol", "entrez"], axis=1)
    try:
        with h5py.File(path, "r") as stored:
            steps, levels = stored["log2_q64"].attrs["scale"], stored["log2_q64"][:]
            named = {key: [name.decode() for name in stored[key][:]] for key in ("genes", "samples")}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise DataFormatError(
            f"{path}: not the compact table of RNAseqDB, or damaged ({error}); get it again"
        ) from error
    if steps != _STEPS or levels.dtype != np.int16 or levels.shape != (len(genes), len(samples)):
        raise DataFormatError(
            f"{path}: holds {levels.dtype} {levels.shape} in steps of 1/{steps}; int16 in steps of 1/{_STEPS} for the "
            f"{len(genes)} genes of {_GENES} and {len(samples)} samples of {_SAMPLES} is expected. Take the three "
            "files together"
        )
    if named["genes"] != list(genes["symbol"]) or named["samples"] != list(samples["sample"]):
        raise DataFormatError(f"{path}: its genes or samples are not those of {_GENES} and {_SAMPLES}, in that order")
    values = np.expm1(levels.astype(np.float32) * np.float32(np.log(2) / _STEPS))
    error = 100 * (2 ** (0.5 / _STEPS) - 1)
    notes = (f"values were rounded to steps of 1/{_STEPS} in log2(x + 1), an error of up to {error:.1f} % of x + 1",)
    return _Table(values, genes, samples, f"RNAseqDB, {_COMPACT}", notes)


def _annotation(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Some columns of a tab-separated table as text, "" where empty; the first names the row."""
    text = _text(path)
    try:
        table = pd.read_csv(io.BytesIO(text), sep="\t", dtype="str", keep_default_na=False, quoting=3)
    except pd.errors.ParserError as error:
        raise DataFormatError(f"{path}: lines of different length ({error}); get the file again") from None
    absent = [column for column in columns if column not in table]
    if absent:
        raise DataFormatError(f"{path}: no column {some(absent)}; this is another table")
    refuse_duplicates(table[columns[0]], "sample" if columns[0] == "sample_id" else "gene", str(path))
    return table[list(columns)]


# -- who and where -------------------------------------------------------------------------------------------------


def _describe(table: _Table) -> pd.DataFrame:
    """The table of samples, (n_samples, 8), from their names and the names of the files that hold them."""
    refuse_duplicates(table.samples["sample"], "sample", table.source)
    rows = [_describe_one(sample, file) for sample, file in table.samples.itertuples(index=False)]
    obs = pd.DataFrame(rows, index=pd.Index(table.samples["sample"]))
    obs["sex"], obs["age"] = np.nan, np.nan
    return obs


def _describe_one(sample: str, file: str) -> Mapping[str, str]:
    name = _NAME.fullmatch(file)
    tissues = _GTEX if name and name[2] == "gtex" else _TCGA
    if name is None or name[1] not in tissues:
        raise DataFormatError(
            f"{file}: not a name of RNAseqDB's tables ({{tissue}}-rsem-fpkm-{{gtex,tcga,tcga-t}}.txt.gz with tissue "
            f"{', '.join((*_GTEX, *_TCGA))}); keep the source's names"
        )
    if name[2] == "gtex":
        return _row(gtex_donor(sample, file), tissues[name[1]], NORMAL, "normal", "GTEx", file)
    # TCGA-XX-XXXX-11A-… : the donor, and the kind of sample, 01-09 tumours and 10-19 normals
    donor = tcga_donor("-".join(sample.split("-")[:4]), file)
    condition = "tumour" if sample.split("-")[3].startswith("0") else "normal"
    if (condition == "tumour") != (name[2] == "tcga-t"):
        raise DataFormatError(f"{file}: sample {sample} is {condition} by its name, against the file's; get it again")
    cohort = NORMAL if condition == "normal" else f"TCGA-{name[1].upper()}"
    return _row(donor, tissues[name[1]], cohort, condition, "TCGA", file)


def _row(donor: str, tissue: str, cohort: str, condition: str, source: str, file: str) -> Mapping[str, str]:
    table = file.removesuffix(".gz").removesuffix(".txt")  # the same for packed and unpacked files
    return {
        "donor": donor,
        "tissue": tissue,
        "cohort": cohort,
        "condition": condition,
        "source": source,
        "file": table,
    }


def _refuse_absent_cohorts(targets: Mapping[str, np.ndarray], tissues: set[str], folder: Path) -> None:
    for name, samples in targets.items():
        if not len(samples):
            raise DataFormatError(
                f"{folder}: no tumour of {name}; {name.lower()}-rsem-fpkm-tcga-t.txt.gz is to be put there (see "
                "data/README.md)"
            )
        if RNASEQDB_TUMOURS[name] not in tissues:
            raise DataFormatError(
                f"{folder}: no normal sample of {RNASEQDB_TUMOURS[name]!r} to compare {name} with, apart from those of "
                "its own donors; add a table of that tissue (see data/README.md)"
            )


# -- genes and values ----------------------------------------------------------------------------------------------


def _match_genes(genes: pd.DataFrame, wanted: GeneSet, source: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Row numbers of the wanted genes in the set's order, their symbols, and what there is to say."""
    known = gene_set(PROTEIN_CODING)
    by_symbol = genes["symbol"].where(genes["symbol"].isin(known.symbols))
    by_entrez = genes["entrez"].map(known.symbol_of_entrez)
    former = dict(zip(known.table["symbol"], known.table["former_symbols"].str.split()))
    renamed = [old in former.get(new, ()) for old, new in zip(genes["symbol"], by_entrez)]
    gene = by_symbol.fillna(by_entrez.where(renamed))
    several = gene.notna() & gene.duplicated(keep=False)
    row_of = pd.Series(genes.index, index=gene).loc[gene[gene.notna() & ~several]]
    absent = [symbol for symbol in wanted.symbols if symbol not in row_of.index]
    if absent and (wanted.complete or len(absent) == len(wanted)):
        raise DataFormatError(
            f"{source}: {len(absent)} of {len(wanted)} genes of the set '{wanted.name}' are not in it "
            f"({some(absent)}); choose another set, or get the files again"
        )
    symbols = [symbol for symbol in wanted.symbols if symbol in row_of.index]
    rows = row_of.loc[symbols].to_numpy()
    n_renamed = int((genes["symbol"].iloc[rows].to_numpy() != np.array(symbols)).sum())
    notes = []
    if not wanted.complete:
        notes.append(f"{len(symbols):,} of {len(genes):,} rows are genes of the set '{wanted.name}' ({wanted.source})")
        notes.append(f"{several.sum()} rows that claim the same gene as another are left out")
    if n_renamed:
        notes.append(f"{n_renamed} genes stood under a former symbol with their Entrez id: renamed")
    return rows, symbols, notes


def _notes_on_values(X: np.ndarray, normals: np.ndarray, symbols: Iterable[str]) -> list[str]:
    symbols = np.array(list(symbols))
    largest = np.nanmax(X, axis=0)
    order = np.argsort(-largest, kind="stable")
    absurd = order[largest[order] > _ABSURD]
    reference = X[normals]
    constant = int((np.nanmax(reference, axis=0) == np.nanmin(reference, axis=0)).sum())
    notes = []
    if len(absurd):
        notes.append(
            f"{len(absurd)} genes have values above {_ABSURD:.0e} after ComBat ({some(symbols[absurd])}); they are "
            "kept, and are to be used on a logarithmic scale"
        )
    if constant:
        notes.append(f"{constant} genes do not vary among the normals")
    return notes
