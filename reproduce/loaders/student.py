"""The cleaned p53 tables of an earlier student reproduction; never mends them silently.

Six files in one folder: ``gtex_lung_colon.csv`` (samples × Ensembl ids, RNA-SeQC read counts),
``GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS_Lung_Colon.txt``, and for LUAD and COAD a table of genes × samples
(RSEM normalised counts) with its clinical table. Known defects are handled by rule and said in ``uns["notes"]``: the
TCGA row named PTEN is TEP1 (Entrez 7011), missing TCGA ages had been filled in, and the COAD tables hold rectum as well
as colon.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.files import sha256_of
from reproduce.loaders._kinds import refuse_other_kinds
from reproduce.loaders.cbioportal import SEX_NAMES, TCGA_COHORTS, TCGA_UNITS, primary_tumours, tcga_donor
from reproduce.loaders.container import check_values, make_cohort, refuse_duplicates, some
from reproduce.loaders.gene_sets import gene_set
from reproduce.loaders.gtex import GTEX_SEX, GTEX_UNITS, gtex_donor

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["STUDENT_FILES", "load_student_gtex", "load_student_tcga", "student_folder"]

_REPOSITORY = "github.com/AlexHakansson/CS598_Project_GAIN_GTEX"
_GTEX_COUNTS = "gtex_lung_colon.csv"
_GTEX_PHENOTYPES = "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS_Lung_Colon.txt"
_GTEX_TISSUES = {"lung": "Lung", "colon": "Colon - Transverse"}
# The files say COAD; they hold READ as well, hence the cohort's name.
_TCGA_FILES = {
    "LUAD": ("LUAD_tcga_p53_cleaned.csv", "LUAD_clinical_clean.csv"),
    "COADREAD": ("COAD_tcga_p53_cleaned.csv", "COAD_clinical_clean.csv"),
}
STUDENT_FILES: tuple[str, ...] = (
    _GTEX_COUNTS,
    _GTEX_PHENOTYPES,
    *(name for pair in _TCGA_FILES.values() for name in pair),
)
#: SHA-256 of the tables as published (commit ac4b1f12c0 of the source repository).
_PUBLISHED = {
    "gtex_lung_colon.csv": "127940428f095fc4b211d93802d62befd314618022b5ad68e9f64e09261b20aa",
    _GTEX_PHENOTYPES: "dcd0730bd01b62fe0ac66ec10177892069afb28f06d944dc2e8ec158b7a309b9",
    "LUAD_tcga_p53_cleaned.csv": "6e6f033aa8b5e1eb9478eac413622e6e9545502490a3a3b6212e4b7a4a566e95",
    "LUAD_clinical_clean.csv": "5f3f1810ee08834c32036fb9a02b6b14496d833f681d4c1a7fc56ea66bf7dddb",
    "COAD_tcga_p53_cleaned.csv": "a625025584daa33e852b9992890f2f3fcbba7eff292d16fd6d20a7c7c69a823e",
    "COAD_clinical_clean.csv": "a635fb0cdb3b6dad7476cf69745b8569f2a625f5de2eb8dc437c90e55f9ee832",
}
_MISLABELLED, _TRUE_NAME, _TRUE_ENSEMBL = "PTEN", "TEP1", "ENSG00000129566"


def student_folder(folder: str | Path) -> Path | None:
    """The folder that holds the tables: `folder` or its subfolder ``student-p53`` or ``p53``; None if none does."""
    for candidate in (Path(folder), Path(folder) / "student-p53", Path(folder) / "p53"):
        if (candidate / _GTEX_COUNTS).is_file():
            return candidate
    return None


def load_student_gtex(folder: str | Path) -> AnnData:
    """GTEx v8 lung and transverse colon: 65 genes, read counts.

    Parameters
    ----------
    folder : path
        Holds the tables under their own names.

    Returns
    -------
    AnnData
        ``X`` and ``layers["counts"]`` (n_samples, 65); ``obs["age"]`` is the midpoint of GTEx's ten-year bracket.

    Raises
    ------
    DataFormatError
        If a file is absent, damaged, or does not match the other.
    """
    folder = Path(folder)
    genes = gene_set("p53")
    path = _existing(folder / _GTEX_COUNTS)
    samples, columns, rows = _read_csv(path)
    if columns[-1] != "tissue":
        raise DataFormatError(f"{path}: the last column is {columns[-1]!r}, not 'tissue'; this is another table")
    ensembl = [name.split(".")[0] for name in columns[:-1]]
    refuse_duplicates(samples, "sample", str(path))
    refuse_duplicates(ensembl, "gene", str(path))
    unknown = [name for name in ensembl if name not in genes.symbol_of_ensembl]
    if unknown:
        raise DataFormatError(f"{path}: gene {some(unknown)} is not in the p53 gene table; this is another table")
    _refuse_absent_genes([genes.symbol_of_ensembl[name] for name in ensembl], path)
    values = _numbers([row[:-1] for row in rows], samples, columns[:-1], path)
    check_values(values, samples, columns[:-1], str(path))
    frame = pd.DataFrame(values, index=samples, columns=[genes.symbol_of_ensembl[name] for name in ensembl])
    frame = frame[[symbol for symbol in genes.symbols if symbol in frame]]

    obs = _gtex_obs(samples, [row[-1] for row in rows], path, _existing(folder / _GTEX_PHENOTYPES))
    return make_cohort(
        frame.to_numpy(),
        frame.columns,
        obs,
        units=GTEX_UNITS,
        source=f"GTEx v8 lung and transverse colon, table {_GTEX_COUNTS} of {_REPOSITORY}",
        ensembl_ids=[genes.ensembl_of_symbol[symbol] for symbol in frame],
        counts=frame.to_numpy(),
        notes=[
            "ages are midpoints of GTEx's ten-year brackets (25, 35, … 75 for 70-79), not years",
            "Ensembl ids replaced by HGNC symbols",
            *_notes_on_changes(path, folder / _GTEX_PHENOTYPES),
        ],
    )


def load_student_tcga(folder: str | Path, which: str) -> AnnData:
    """TCGA lung or colorectal tumours: RSEM normalised counts of 65 genes.

    The row that the tables name PTEN is TEP1 (Entrez 7011, not 5728), by an alias mix-up in the script that made them;
    it comes under its true name, so that it meets no PTEN of another cohort.

    Parameters
    ----------
    folder : path
    which : {"LUAD", "COADREAD"}

    Returns
    -------
    AnnData
        Primary tumours only, one row a sample.

    Raises
    ------
    DataFormatError, ConfigError
    """
    if which not in _TCGA_FILES:
        raise ConfigError(f"unknown TCGA cohort {which!r}: choose one of {', '.join(_TCGA_FILES)}")
    folder = Path(folder)
    genes = gene_set("p53")
    path, clinical_path = (_existing(folder / name) for name in _TCGA_FILES[which])
    symbols, columns, rows = _read_csv(path)
    samples = [name.replace(".", "-") for name in columns]
    refuse_duplicates(symbols, "gene", str(path))
    refuse_duplicates(samples, "sample", str(path))
    unknown = [name for name in symbols if name not in genes.symbols]
    if unknown:
        raise DataFormatError(f"{path}: gene {some(unknown)} is not in the p53 gene table; this is another table")
    _refuse_absent_genes(symbols, path)
    values = _numbers(rows, symbols, samples, path).T
    check_values(values, samples, symbols, str(path))
    frame = pd.DataFrame(values, index=samples, columns=symbols)
    frame = frame[[symbol for symbol in genes.symbols if symbol in frame]]

    notes = ["sample ids written with dots have their dashes back"]
    identifiers = genes.ensembl_of_symbol
    if _MISLABELLED in frame:
        frame = frame.rename(columns={_MISLABELLED: _TRUE_NAME})
        identifiers = identifiers | {_TRUE_NAME: _TRUE_ENSEMBL}
        notes.append("the row named PTEN is TEP1 (Entrez 7011, not 5728): renamed TEP1; there is no PTEN")
    kept, dropped_note = primary_tumours(list(frame.index))
    if dropped_note:
        notes.append(dropped_note)
    frame = frame.loc[kept]
    obs = _tcga_obs(kept, which, path, clinical_path)
    if blanks := int(obs["sex"].isna().sum()):
        notes.append(f"sex is unknown for {blanks} samples and left unknown")
    notes.append("the tables' authors filled missing ages with a truncated mean; which ones, the tables do not say")
    notes += _notes_on_changes(path, clinical_path)
    if which == "COADREAD":
        notes.append("the tables named COAD hold colon and rectum tumours (COAD and READ) alike")
    return make_cohort(
        frame.to_numpy(),
        frame.columns,
        obs,
        units=TCGA_UNITS,
        source=f"{TCGA_COHORTS[which].title}, table {path.name} of {_REPOSITORY}",
        ensembl_ids=[identifiers[symbol] for symbol in frame],
        notes=notes,
    )


def _gtex_obs(samples: list[str], tissues: list[str], path: Path, phenotypes_path: Path) -> pd.DataFrame:
    unknown = sorted(set(tissues) - set(_GTEX_TISSUES))
    if unknown:
        raise DataFormatError(f"{path}: tissue {some(map(repr, unknown))}; known: {', '.join(_GTEX_TISSUES)}")
    phenotypes = _read_table(phenotypes_path, "\t", ("SUBJID", "SEX", "AGE")).set_index("SUBJID")
    refuse_duplicates(phenotypes.index, "sample", str(phenotypes_path))
    _refuse_unmatched(samples, phenotypes.index, path, phenotypes_path)
    phenotypes = phenotypes.loc[samples]
    obs = pd.DataFrame(index=pd.Index(samples))
    obs["donor"] = [gtex_donor(sample, path) for sample in samples]
    obs["tissue"] = [_GTEX_TISSUES[tissue] for tissue in tissues]
    obs["cohort"] = "GTEx"
    obs["condition"] = "normal"
    obs["sex"] = _decoded(phenotypes["SEX"].str.strip(), GTEX_SEX, phenotypes_path)
    obs["age"] = _ages(phenotypes["AGE"], phenotypes_path)
    return obs


def _tcga_obs(samples: list[str], which: str, path: Path, clinical_path: Path) -> pd.DataFrame:
    clinical = _read_table(clinical_path, ",", ("SUBJID", "SEX", "AGE"))
    clinical["SUBJID"] = clinical["SUBJID"].str.replace(".", "-", regex=False)
    clinical = clinical.set_index("SUBJID")
    refuse_duplicates(clinical.index, "sample", str(clinical_path))
    _refuse_unmatched(samples, clinical.index, path, clinical_path)
    clinical = clinical.loc[samples]
    obs = pd.DataFrame(index=pd.Index(samples))
    obs["donor"] = [tcga_donor(sample, path) for sample in samples]
    obs["tissue"] = TCGA_COHORTS[which].tissue
    obs["cohort"] = TCGA_COHORTS[which].name
    obs["condition"] = "tumour"
    obs["sex"] = _decoded(clinical["SEX"].str.strip().str.lower(), SEX_NAMES, clinical_path)
    obs["age"] = _ages(clinical["AGE"], clinical_path)
    return obs


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataFormatError(f"{path}: no such file; the tables are {', '.join(STUDENT_FILES)}")
    return path


def _text(path: Path, expected: str) -> str:
    """The whole file; a number cut in half still looks like a number, so the last line must have its end."""
    refuse_other_kinds(path, expected)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataFormatError(f"{path}: not UTF-8 text ({error}); the file is damaged: get it again") from None
    if not text.endswith("\n"):
        raise DataFormatError(f"{path}: the last line has no end; the file is cut short: get it again")
    return text


def _read_csv(path: Path) -> tuple[list[str], list[str], list[list[str]]]:
    """Row names, column names and the cells between, as they are: pandas would rename duplicates unasked."""
    lines = [line for line in csv.reader(io.StringIO(_text(path, "a comma-separated table"), newline="")) if line]
    if len(lines) < 2:
        raise DataFormatError(f"{path}: there is no row under the header; the file is empty or cut short")
    header, body = lines[0], lines[1:]
    for number, line in enumerate(body, start=2):
        if len(line) != len(header):
            raise DataFormatError(
                f"{path}: line {number} ({line[0]}) has {len(line)} fields, the header {len(header)}; "
                "the file is cut short or damaged: get it again"
            )
    return [line[0] for line in body], header[1:], [line[1:] for line in body]


def _refuse_absent_genes(symbols: list[str], path: Path) -> None:
    absent = [symbol for symbol in gene_set("p53").symbols if symbol not in symbols]
    if absent:
        raise DataFormatError(
            f"{path}: {len(absent)} of the 65 genes are not in it: {some(absent)}; the file is cut short: get it again"
        )


def _notes_on_changes(*paths: Path) -> list[str]:
    """Rows that are gone do not show in a table; the published checksum tells."""
    return [
        f"{path.name} is not the file that was published (its SHA-256 differs): rows may be lost or changed"
        for path in paths
        if sha256_of(path) != _PUBLISHED[path.name]
    ]


def _numbers(rows: list[list[str]], row_names: list[str], columns: list[str], path: Path) -> np.ndarray:
    """Cells as float64; blank or NA is missing."""
    frame = pd.DataFrame(rows, index=row_names, columns=range(len(columns)), dtype=object)
    missing = frame.isin(["", "NA", "NaN"])
    try:
        return frame.mask(missing, np.nan).to_numpy(dtype=np.float64)
    except ValueError:
        numbers = frame.apply(pd.to_numeric, errors="coerce")
        row, column = np.argwhere((numbers.isna() & ~missing).to_numpy())[0]
        raise DataFormatError(
            f"{path}: {frame.iat[row, column]!r} at row {row_names[row]}, column {columns[column]} is not a number"
        ) from None


def _read_table(path: Path, separator: str, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(io.StringIO(_text(path, "a table")), sep=separator, dtype="str")
    except pd.errors.ParserError as error:
        raise DataFormatError(
            f"{path}: lines of different length ({error}); the file is damaged: get it again"
        ) from None
    absent = [column for column in columns if column not in table]
    if absent:
        raise DataFormatError(f"{path}: no column {some(absent)}; this is another table")
    return table


def _refuse_unmatched(samples: list[str], known: pd.Index, path: Path, table: Path) -> None:
    unmatched = [sample for sample in samples if sample not in set(known)]
    if unmatched:
        raise DataFormatError(
            f"{len(unmatched)} samples of {path.name} have no row in {table.name}: {some(unmatched)}; "
            "the two files do not belong together"
        )


def _decoded(codes: pd.Series, names: dict[str, str], path: Path) -> np.ndarray:
    other = sorted(set(codes.dropna()) - set(names))
    if other:
        raise DataFormatError(f"{path}: sex is {some(map(repr, other))}; known: {', '.join(names)}")
    return codes.map(names).to_numpy()


def _ages(ages: pd.Series, path: Path) -> np.ndarray:
    try:
        return pd.to_numeric(ages).to_numpy(dtype=np.float64)
    except ValueError as error:
        raise DataFormatError(f"{path}: an age is not a number ({error})") from None
