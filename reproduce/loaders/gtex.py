"""GTEx v8 as its portal ships it, tables of expression, samples and donors, into one cohort; never guesses a tissue."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders._kinds import refuse_other_kinds
from reproduce.loaders.container import make_cohort, refuse_duplicates, some
from reproduce.loaders.gct import GctTable, read_gct, read_gct_samples
from reproduce.loaders.gene_sets import GeneSet

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "GTEX_SEX",
    "GTEX_TISSUES",
    "GTEX_UNITS",
    "gtex_donor",
    "load_gtex_all_samples",
    "load_gtex_tissues",
    "read_sample_attributes",
    "read_subject_phenotypes",
    "tissue_of_file",
]

GTEX_UNITS = "read counts (RNA-SeQC)"
_TPM_UNITS = "transcripts per million (TPM)"
GTEX_SEX = {"1": "male", "2": "female"}

# SMTSD: GTEx's names of its 54 tissues.
GTEX_TISSUES: tuple[str, ...] = (
    "Adipose - Subcutaneous",
    "Adipose - Visceral (Omentum)",
    "Adrenal Gland",
    "Artery - Aorta",
    "Artery - Coronary",
    "Artery - Tibial",
    "Bladder",
    "Brain - Amygdala",
    "Brain - Anterior cingulate cortex (BA24)",
    "Brain - Caudate (basal ganglia)",
    "Brain - Cerebellar Hemisphere",
    "Brain - Cerebellum",
    "Brain - Cortex",
    "Brain - Frontal Cortex (BA9)",
    "Brain - Hippocampus",
    "Brain - Hypothalamus",
    "Brain - Nucleus accumbens (basal ganglia)",
    "Brain - Putamen (basal ganglia)",
    "Brain - Spinal cord (cervical c-1)",
    "Brain - Substantia nigra",
    "Breast - Mammary Tissue",
    "Cells - Cultured fibroblasts",
    "Cells - EBV-transformed lymphocytes",
    "Cervix - Ectocervix",
    "Cervix - Endocervix",
    "Colon - Sigmoid",
    "Colon - Transverse",
    "Esophagus - Gastroesophageal Junction",
    "Esophagus - Mucosa",
    "Esophagus - Muscularis",
    "Fallopian Tube",
    "Heart - Atrial Appendage",
    "Heart - Left Ventricle",
    "Kidney - Cortex",
    "Kidney - Medulla",
    "Liver",
    "Lung",
    "Minor Salivary Gland",
    "Muscle - Skeletal",
    "Nerve - Tibial",
    "Ovary",
    "Pancreas",
    "Pituitary",
    "Prostate",
    "Skin - Not Sun Exposed (Suprapubic)",
    "Skin - Sun Exposed (Lower leg)",
    "Small Intestine - Terminal Ileum",
    "Spleen",
    "Stomach",
    "Testis",
    "Thyroid",
    "Uterus",
    "Vagina",
    "Whole Blood",
)


def load_gtex_tissues(
    tables: Iterable[str | Path],
    phenotypes: str | Path,
    genes: str | GeneSet,
    *,
    missing: str = "error",
) -> AnnData:
    """One cohort from per-tissue tables; the tissue is taken from each file's name.

    Parameters
    ----------
    tables : iterable of path
        E.g. ``gene_reads_2017-06-05_v8_lung.gct.gz``; reads or TPM, not both.
    phenotypes : path
        ``GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt``.
    genes : str or GeneSet
    missing : {"error", "report"}
        What to do about genes that a table lacks: a gene that any of the tables lacks is left out of all.

    Returns
    -------
    AnnData
        ``X`` (n_samples, n_genes) in read counts, or in TPM if the file names say so (``gene_tpm…``).

    Raises
    ------
    DataFormatError
        If a file's name ends in no tissue, reads and TPM are mixed, a table is damaged (see `read_gct`), or a donor has
        no row in `phenotypes`.
    """
    paths = [Path(path) for path in tables]
    if not paths:
        raise DataFormatError("no GTEx table was given; name at least one gene_reads_…_v8_TISSUE.gct.gz")
    units = _units(paths)
    parts = [(path, tissue_of_file(path), read_gct(path, genes, missing=missing)) for path in paths]
    common = [symbol for symbol in parts[0][2].symbols if all(symbol in table.symbols for _, _, table in parts)]
    if not common:
        raise DataFormatError(
            f"{some(path.name for path in paths)} have no gene of the set in common; choose another set"
        )
    first = parts[0][2]
    X = np.vstack([table.X[:, [table.symbols.index(symbol) for symbol in common]] for _, _, table in parts])
    samples = [sample for _, _, table in parts for sample in table.samples]
    tissues = [tissue for _, tissue, table in parts for _ in table.samples]
    place = ", ".join(str(path) for path in paths)
    refuse_duplicates(samples, "sample", place)
    table = GctTable(
        X,
        tuple(samples),
        tuple(common),
        tuple(first.ensembl_ids[first.symbols.index(symbol)] for symbol in common),
        tuple(note for _, _, part in parts for note in part.notes),
    )
    return _cohort(table, tissues, phenotypes, paths, units)


def load_gtex_all_samples(
    table: str | Path,
    attributes: str | Path,
    phenotypes: str | Path,
    genes: str | GeneSet | None,
    *,
    tissues: Sequence[str] | None = ("Lung", "Colon - Transverse"),
    min_samples: int = 1,
    missing: str = "error",
) -> AnnData:
    """One cohort from the table of all samples.

    Parameters
    ----------
    table : path
        E.g. ``GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.gct.gz``.
    attributes, phenotypes : path
        ``…_SampleAttributesDS.txt`` (or any table with its columns SAMPID, SMTS and SMTSD) and
        ``…_SubjectPhenotypesDS.txt``. The attributes may describe samples of other assays too; those of `table` count.
    genes : str, GeneSet or None
        None keeps every gene of the table.
    tissues : sequence of str or None
        SMTSD names to keep; None keeps every tissue.
    min_samples : int, default 1
        With ``tissues=None``: leave out tissues with samples of fewer donors, and say so in the notes.
    missing : {"error", "report"}

    Raises
    ------
    DataFormatError
        Also if a sample of the table has no row in the attributes, or a tissue has no sample.
    """
    if isinstance(tissues, str):
        raise ConfigError(f"tissues={tissues!r} is one name; give a list of names")
    path = Path(table)
    samples = read_gct_samples(path)
    described = read_sample_attributes(attributes)
    unmatched = [sample for sample in samples if sample not in described.index]
    if unmatched:
        raise DataFormatError(
            f"{len(unmatched)} samples of {path.name} have no row in {Path(attributes).name}: {some(unmatched)}; "
            "take both from the same GTEx release"
        )
    tissue = described.loc[list(samples), "SMTSD"]
    known = sorted(set(tissue.dropna()))
    notes = []
    if n_unknown := int(tissue.isna().sum()):
        notes.append(f"{n_unknown} samples of {path.name} without a tissue in {Path(attributes).name} are left out")
    if tissues is None:
        tissues, note = _large_tissues(tissue.dropna(), min_samples, path)
        notes += note
    for name in tissues:
        if name not in known:
            raise DataFormatError(f"{path}: no sample of tissue {name!r}; choose from {some(known, limit=60)}")
    kept = tissue[tissue.isin(tissues)]
    part = read_gct(path, genes, samples=list(kept.index), missing=missing)
    part = replace(part, notes=(*part.notes, *notes))
    return _cohort(part, list(kept), phenotypes, [path], _units([path]))


def read_sample_attributes(path: str | Path) -> pd.DataFrame:
    """Tissues of samples, (n_samples, 2), indexed by SAMPID: the columns SMTS and SMTSD (str or missing)."""
    table = _read_table(Path(path), ("SAMPID", "SMTS", "SMTSD")).set_index("SAMPID")
    refuse_duplicates(table.index, "sample", str(path))
    return table


def read_subject_phenotypes(path: str | Path) -> pd.DataFrame:
    """Sex and age of donors, (n_donors, 2), indexed by SUBJID.

    ``sex`` is "male" (coded 1), "female" (2) or missing; ``age`` is the midpoint of the bracket, "50-59" -> 55 (years),
    or missing.

    Raises
    ------
    DataFormatError
        If the table is of another kind or cut short, has a donor twice, or holds another code of sex or bracket of age.
    """
    path = Path(path)
    table = _read_table(path, ("SUBJID", "SEX", "AGE")).set_index("SUBJID")
    refuse_duplicates(table.index, "donor", str(path))
    other = table["SEX"][table["SEX"].notna() & ~table["SEX"].isin(GTEX_SEX)]
    if len(other):
        raise DataFormatError(
            f"{path}: SEX of {other.index[0]} is {other.iloc[0]!r}; known: 1 (male), 2 (female). Mend or empty it"
        )
    ages = [_midpoint(age, donor, path) for donor, age in table["AGE"].items()]
    return pd.DataFrame({"sex": table["SEX"].map(GTEX_SEX), "age": np.array(ages, np.float64)}, index=table.index)


def gtex_donor(sample: str, path: str | Path) -> str:
    """``GTEX-111CU-0326-SM-5GZXO`` -> ``GTEX-111CU``; `path` is named if the id is of another form."""
    parts = sample.split("-")
    if len(parts) < 3 or parts[0] != "GTEX" or not parts[1]:
        raise DataFormatError(f"{path}: {sample!r} is not a GTEx sample id (GTEX-DONOR-…); give GTEx's own table")
    return "-".join(parts[:2])


def tissue_of_file(path: str | Path) -> str:
    """SMTSD name from a per-tissue file's name: ``gene_reads_2017-06-05_v8_lung.gct.gz`` -> Lung."""
    found = re.search(r"_v\d+_(.+?)(?:\.excerpt)?\.gct(?:\.gz)?$", Path(path).name)
    slugs = {_slug(tissue): tissue for tissue in GTEX_TISSUES}
    tissue = slugs.get(_slug(found.group(1))) if found else None
    if tissue is None:
        raise DataFormatError(
            f"{path}: the name does not end in a GTEx tissue (…_v8_lung.gct.gz); keep the portal's file names, "
            "and read the table of all samples by load_gtex_all_samples"
        )
    return tissue


def _units(paths: list[Path]) -> str:
    """Told by the file names, ``gene_reads…`` or ``gene_tpm…``; whether counts are whole is checked later."""
    tpm = ["_tpm" in path.name for path in paths]
    if any(tpm) != all(tpm):
        raise DataFormatError(
            f"{', '.join(path.name for path in paths)}: some hold read counts and some TPM; give tables of one unit"
        )
    return _TPM_UNITS if all(tpm) else GTEX_UNITS


def _large_tissues(tissue: pd.Series, min_samples: int, path: Path) -> tuple[list[str], list[str]]:
    """Tissues with samples of at least `min_samples` donors, and a note on the others."""
    donors = pd.Series([gtex_donor(sample, path) for sample in tissue.index], index=tissue.index)
    n_donors = donors.groupby(tissue).nunique()
    large = n_donors >= min_samples
    if not large.any():
        most = n_donors.max() if len(n_donors) else 0
        raise DataFormatError(
            f"{path}: no tissue has samples of {min_samples} donors (the most is {most}); lower min_samples, or give "
            "attributes that name the samples' tissues"
        )
    small = [f"{name} ({n})" for name, n in n_donors[~large].items()]
    note = f"tissues with samples of fewer than {min_samples} donors are left out: {', '.join(small)}"
    return list(n_donors.index[large]), [note] if small else []


def _cohort(table: GctTable, tissues: list[str], phenotypes: str | Path, paths: list[Path], units: str) -> AnnData:
    place = ", ".join(path.name for path in paths)
    donors = [gtex_donor(sample, place) for sample in table.samples]
    people = read_subject_phenotypes(phenotypes)
    unmatched = sorted(set(donors) - set(people.index))
    if unmatched:
        raise DataFormatError(
            f"{len(unmatched)} donors of {place} have no row in {Path(phenotypes).name}: {some(unmatched)}; "
            "take both from the same GTEx release"
        )
    obs = pd.DataFrame({"donor": donors, "tissue": tissues}, index=pd.Index(table.samples))
    obs["cohort"] = "GTEx"
    obs["condition"] = "normal"
    obs["sex"] = people.loc[donors, "sex"].to_numpy()
    obs["age"] = people.loc[donors, "age"].to_numpy()
    counts = table.X if units == GTEX_UNITS else None
    if counts is not None and (counts != np.rint(counts)).any():
        raise DataFormatError(
            f"{place}: not all values are whole, so these are no read counts; keep the portal's file name if it is TPM "
            "(gene_tpm…), or give the table of reads"
        )
    return make_cohort(
        table.X,
        table.symbols,
        obs,
        units=units,
        source=f"GTEx v8, {place}",
        ensembl_ids=table.ensembl_ids,
        counts=counts,
        notes=[*table.notes, "ages are midpoints of GTEx's ten-year brackets (25, 35, … 75 for 70-79), not years"],
    )


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Some columns of a tab-separated table as text, missing where empty or NA; the first names the row."""
    header, *lines = _text(path, "a tab-separated GTEx annotation table").split("\n")
    names = header.split("\t")
    absent = [column for column in columns if column not in names]
    if absent:
        raise DataFormatError(
            f"{path}: it has no column {some(absent)} but {some(names)}; this is another table, or not tab-separated"
        )
    wanted = [names.index(column) for column in columns]
    rows = []
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        fields = line.split("\t")
        # What a field holds is certain only where a tab or the line's end follows it; the last line may lack its end.
        ends = len(fields) if number <= len(lines) else len(fields) - 1
        if ends <= max(wanted) or not fields[wanted[0]].strip():
            raise DataFormatError(
                f"{path}: line {number} ({line[:40]!r}) does not hold {', '.join(columns)} whole; the file is cut "
                "short or damaged: get it again"
            )
        rows.append([fields[position].strip() for position in wanted])
        if any("\ufffd" in field for field in rows[-1]):
            raise DataFormatError(f"{path}: line {number} is not UTF-8 text; the file is damaged: get it again")
    if not rows:
        raise DataFormatError(f"{path}: there is no row under the header; the file is cut short: get it again")
    return pd.DataFrame(rows, columns=list(columns), dtype="str").replace({"": None, "NA": None})


def _text(path: Path, expected: str) -> str:
    """A text file, unpacked if its name ends in .gz."""
    if path.suffix != ".gz":
        refuse_other_kinds(path, expected)
        return path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFormatError(f"{path}: the compressed file is cut short or damaged ({error}); get it again") from error
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error.strerror or error}); {expected} is expected") from error
    refuse_other_kinds(path, expected, head=content)
    return content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


def _midpoint(age: object, donor: str, path: Path) -> float:
    if pd.isna(age):
        return np.nan
    bracket = re.fullmatch(r"(\d)0-(\d)9", str(age))
    if bracket is None or bracket[1] != bracket[2]:
        raise DataFormatError(
            f"{path}: AGE of {donor} is {age!r}; a ten-year bracket such as 50-59 is expected. Mend or empty it"
        )
    return int(bracket[1]) * 10 + 5.0  # 50-59 covers the years from the 50th birthday to the 60th


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
