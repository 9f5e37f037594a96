"""The cohorts of the study from whichever source is at hand, told by name; what is shown always says which it is.

Sources: two simulations (always there), the files of the GTEx portal and cBioPortal, the cleaned tables of an earlier
student study, and RNAseqDB. `REPRODUCE_DATA` names the data folder; where it is unset that is ``data/`` here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.places import DATA_VARIABLE, data_folder

if TYPE_CHECKING:
    from anndata import AnnData

    from reproduce.loaders.embedded import Truth

__all__ = ["COMPANIONS", "SOURCES", "Study", "companion_source", "detect_source", "load_study"]

#: Names that `load_study` takes, and what the report calls them.
SOURCES = {
    "embedded": "Embedded cohort: simulated GTEx lung and colon, TCGA LUAD and COADREAD",
    "gtex-tcga-p53": "GTEx v8 lung and transverse colon, TCGA LUAD and COADREAD, as the portals ship them",
    "student-p53": "GTEx v8 lung and transverse colon, TCGA LUAD and COADREAD, cleaned tables of the student study",
    "rnaseqdb": "RNAseqDB: GTEx and TCGA normal tissue, TCGA READ, KICH, UCS and CHOL tumours, genome-wide",
    "gtex-v8-tissues": "GTEx v8, every tissue of at least 70 donors, read counts",
    "gtex-v8": "GTEx v8, every tissue of at least 70 donors, genome-wide, prepared as asked",
    "embedded-tissues": "Embedded tissues: 49 simulated GTEx tissues of 838 donors along a tissue tree",
}
_COUNTS = ("gene_reads_2017-06-05_v8_lung.gct", "gene_reads_2017-06-05_v8_colon_transverse.gct")
_PHENOTYPES = "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
_TUMOURS = ("LUAD", "COADREAD")
#: Sources that hold more than the p53 genes.
_ANY_GENES = ("gtex-tcga-p53", "rnaseqdb", "gtex-v8-tissues", "gtex-v8", "embedded-tissues")
#: In place of a gene set: every gene of a table of GTEx that is an excerpt; a hundred unnamed genes of the simulation.
ALL_GENES = "all"
_DEFAULT_GENES = {"gtex-v8-tissues": ALL_GENES, "embedded-tissues": ALL_GENES}

#: By kind of data: the real source and the simulation that `companion_source` chooses from.
COMPANIONS = {"tissues": ("gtex-v8-tissues", "embedded-tissues"), "genome": ("rnaseqdb", "embedded-tissues")}
#: Chosen by name alone: the whole of GTEx takes minutes to read.
_ALSO = {"tissues": (), "genome": ("gtex-v8",)}


@dataclass(frozen=True)
class Study:
    """The cohorts that the notebooks compare, and where they came from.

    Attributes
    ----------
    name : str
        Key of `SOURCES`; `load_study` takes it.
    title : str
        For headings.
    cohorts : mapping of str to AnnData
        "GTEx" and the tumours there are ("LUAD" and "COADREAD" where the case study is meant); X in the source's
        linear units.
    is_real : bool
        False for the simulation.
    notes : tuple of str
        What was dropped, renamed or assumed on the way in.
    fingerprint : str
        First 12 hexadecimal digits of the SHA-256 of values, genes and sample tables.
    truth : Truth or None
        The law the data were drawn from, where they were simulated.
    """

    name: str
    title: str
    cohorts: Mapping[str, AnnData]
    is_real: bool
    notes: tuple[str, ...]
    fingerprint: str
    truth: Truth | None = None

    def keeping(self, rows: Mapping[str, np.ndarray], note: str) -> Study:
        """The study with some of its samples.

        Parameters
        ----------
        rows : mapping of str to ndarray of bool (n_samples,)
            By cohort, which rows stay; a cohort that is not named stays whole.
        note : str
            What was left out and why, for the notes.

        Returns
        -------
        Study
            With a fingerprint of its own, so that its trials are not taken for those of the whole.

        Raises
        ------
        ConfigError
            For a cohort that the study has not, or of which no row stays.
        """
        for name, kept in rows.items():
            if name not in self.cohorts or not np.any(kept):
                raise ConfigError(f"Study {self.name!r} has no cohort {name!r}, or none of its rows is kept.")
        study = self
        for name, kept in rows.items():
            study = study.with_cohort(name, self.cohorts[name][kept].copy(), note)
        return study

    def with_cohort(self, name: str, cohort: AnnData, note: str) -> Study:
        """The study with another cohort of this name, a note why, and a fingerprint of its own."""
        cohorts = {**self.cohorts, name: cohort}
        return replace(self, cohorts=cohorts, notes=(*self.notes, f"{name}: {note}"), fingerprint=_fingerprint(cohorts))


def detect_source(folder: str | Path) -> str:
    """Which real source a folder holds.

    Parameters
    ----------
    folder : path

    Returns
    -------
    str
        "gtex-tcga-p53" or "student-p53"; other sources, which have not the case study's cohorts, are asked for by name.

    Raises
    ------
    DataFormatError
        If the folder is absent, holds neither, or both.
    """
    from reproduce.loaders.student import STUDENT_FILES, student_folder

    folder = Path(folder)
    if not folder.is_dir():
        raise DataFormatError(f"{folder}: no such folder; set {DATA_VARIABLE} to a folder with data, or unset it")
    found = [
        name
        for name, place in (("gtex-tcga-p53", _portal_folder(folder)), ("student-p53", student_folder(folder)))
        if place
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataFormatError(f"{folder}: holds {' and '.join(found)}; say which by --data NAME")
    raise DataFormatError(
        f"{folder}: no data known here. Expected are the portals' files ({_COUNTS[0]}.gz, …; `reproduce download "
        f"gtex-tcga-p53` fetches them) or the student study's tables ({STUDENT_FILES[0]}, …). "
        f"Mend {DATA_VARIABLE}, or unset it to use the embedded cohort."
    )


def companion_source(data: str | None, kind: str) -> str:
    """The source that stands beside the case study's where a notebook needs many tissues, or a whole genome.

    Parameters
    ----------
    data : str or None
        What the notebook was asked to run on, as `load_study` takes it. A source of this kind is taken as it is; the
        embedded cohort has the simulation beside it. For anything else it is the kind's real source where the data
        folder holds it, and the simulation where it does not: what is shown names its source.
    kind : {"tissues", "genome"}

    Returns
    -------
    str
        A key of `SOURCES`.

    Raises
    ------
    ConfigError
        For an unknown kind or source.
    """
    from reproduce.loaders.gtex_tissues import tissue_folder
    from reproduce.loaders.rnaseqdb import rnaseqdb_folder

    if kind not in COMPANIONS:
        raise ConfigError(f"Unknown kind {kind!r} of data; known are {', '.join(COMPANIONS)}.")
    real, simulation = COMPANIONS[kind]
    data = data or "auto"
    if data in (real, simulation, *_ALSO[kind]):
        return data
    if data != "auto" and data not in SOURCES:
        raise ConfigError(f"Unknown data {data!r}; known are {', '.join(SOURCES)} and auto.")
    if data in _SIMULATED or (data == "auto" and not os.environ.get(DATA_VARIABLE)):
        return simulation
    folder = {"tissues": tissue_folder, "genome": rnaseqdb_folder}[kind](data_folder())
    return simulation if folder is None else real


def load_study(
    data: str | None = None, *, gene_set: str | None = None, seed: int = 0, preparation: str | None = None
) -> Study:
    """Load GTEx, and the tumour cohorts that belong to it, from one source.

    Parameters
    ----------
    data : str or None
        A key of `SOURCES`. "auto" or None: what the folder in ``REPRODUCE_DATA`` holds where that is set, else the
        embedded cohort.
    gene_set : str, optional
        Genes to load, "p53" by default. The embedded cohort and the student study's tables hold the p53 genes only.
        "all" is the default of the two sources of many tissues: every gene of GTEx's table if that is an excerpt (the
        whole table needs a gene set), a hundred unnamed genes of the simulation. For "protein_coding" the simulation
        draws 12,557 unnamed genes, as many as the paper's.
    seed : int, default 0
        Of the simulation; real data do not depend on it.
    preparation : {"tpm", "log2_tpm", "tmm_inverse_normal"} or None
        Of gtex-v8 alone, see `reproduce.loaders.gtex_v8.load_gtex_v8`; None is "tpm".

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        For an unknown source, or an option that does not apply to it.
    DataFormatError
        If the files are absent or damaged.
    """
    if data in (None, "auto"):
        data = detect_source(data_folder()) if os.environ.get(DATA_VARIABLE) else "embedded"
    if data not in SOURCES:
        raise ConfigError(f"Unknown data {data!r}; known are {', '.join(SOURCES)} and auto.")
    if gene_set is None:
        gene_set = _DEFAULT_GENES.get(data, "p53")
    if data not in _ANY_GENES and gene_set != "p53":
        raise ConfigError(f"{data} holds the p53 genes only, not {gene_set!r}; use {', '.join(_ANY_GENES)}.")
    if data == "gtex-v8":
        return _study(data, _gtex_v8(gene_set, preparation or "tpm"), is_real=True)
    if preparation is not None:
        raise ConfigError(f"preparation applies to gtex-v8 alone; {data} comes in one form.")
    if data in _SIMULATED:
        cohorts, truth = _SIMULATED[data](gene_set, seed)
        return _study(data, cohorts, is_real=False, truth=truth)
    return _study(data, _REAL[data](gene_set), is_real=True)


def _embedded(gene_set: str, seed: int) -> tuple[dict[str, AnnData], Truth]:
    from reproduce.loaders.embedded import simulate_cohorts

    simulated = simulate_cohorts(seed)
    return simulated.cohorts, simulated.truth


def _embedded_tissues(gene_set: str, seed: int) -> tuple[dict[str, AnnData], Truth]:
    from reproduce.loaders.gene_sets import gene_set as genes_of
    from reproduce.loaders.tissue_simulator import N_GENES, PROTEIN_CODING_GENES, simulate_tissues

    genes = N_GENES
    if gene_set != ALL_GENES:
        chosen = genes_of(gene_set)
        genes = chosen if chosen.complete else PROTEIN_CODING_GENES  # a rule is each source's to resolve
    simulated = simulate_tissues(seed, genes=genes)
    return {"GTEx": simulated.cohort}, simulated.truth


def _student(gene_set: str) -> dict[str, AnnData]:
    from reproduce.loaders.student import STUDENT_FILES, load_student_gtex, load_student_tcga, student_folder

    absent = (
        f"the student study's tables ({', '.join(STUDENT_FILES)}) are not here; set {DATA_VARIABLE} to their folder"
    )
    folder = _found(student_folder, absent)
    tumours = {name: load_student_tcga(folder, name) for name in _TUMOURS}
    return {"GTEx": load_student_gtex(folder), **tumours}


def _portal(gene_set: str) -> dict[str, AnnData]:
    from reproduce.loaders.cbioportal import TCGA_COHORTS, read_cbioportal_study
    from reproduce.loaders.download import verify_dataset
    from reproduce.loaders.gene_sets import gene_set as genes_of
    from reproduce.loaders.gtex import load_gtex_tissues

    folder = _found(
        _portal_folder,
        f"no GTEx counts ({_COUNTS[0]}.gz) here; `reproduce download gtex-tcga-p53` fetches them, with --from FOLDER "
        "from a folder that has them already",
    )
    verify_dataset(folder)
    genes = genes_of(gene_set)
    tables = [_one_of(folder, name, f"{name}.gz") for name in _COUNTS]
    cohorts = {"GTEx": load_gtex_tissues(tables, _one_of(folder, _PHENOTYPES), genes)}
    for name in _TUMOURS:
        tumours = TCGA_COHORTS[name]
        path = _one_of(folder, f"{tumours.study}.tar.gz", tumours.study)
        cohorts[name] = read_cbioportal_study(path, genes, cohort=tumours.name, tissue=tumours.tissue)
    return cohorts


def _rnaseqdb(gene_set: str) -> dict[str, AnnData]:
    from reproduce.loaders.rnaseqdb import load_rnaseqdb, rnaseqdb_folder

    folder = _found(
        rnaseqdb_folder,
        "no table of RNAseqDB here, nor in its subfolder rnaseqdb; data/README.md says where they are, "
        f"{DATA_VARIABLE} names the folder you put them in",
    )
    return load_rnaseqdb(folder, gene_set)


def _gtex_tissues(gene_set: str) -> dict[str, AnnData]:
    from reproduce.loaders.download import verify_dataset
    from reproduce.loaders.gene_sets import gene_set as genes_of
    from reproduce.loaders.gtex_tissues import load_gtex_v8_tissues, tissue_folder

    folder = _found(
        tissue_folder,
        "no GTEx table of all samples (…_v8_RNASeQCv1.1.9_gene_reads.gct.gz) here, nor in a subfolder gtex-v8-tissues, "
        "gtex_v8 or gtex-v8; `reproduce download gtex-v8` fetches it",
    )
    verify_dataset(folder)
    if gene_set == ALL_GENES:
        return {"GTEx": load_gtex_v8_tissues(folder)}
    genes = genes_of(gene_set)
    missing = "error" if genes.complete else "report"
    return {"GTEx": load_gtex_v8_tissues(folder, genes, missing=missing)}


def _gtex_v8(gene_set: str, preparation: str) -> dict[str, AnnData]:
    from reproduce.loaders.download import verify_dataset
    from reproduce.loaders.gtex_v8 import gtex_v8_folder, load_gtex_v8

    folder = _found(
        gtex_v8_folder,
        "no GTEx table of all samples (…_v8_RNASeQCv1.1.9_gene_tpm.gct.gz) here, nor in a subfolder gtex-v8; "
        "`reproduce download gtex-v8` fetches it",
    )
    verify_dataset(folder)
    return {"GTEx": load_gtex_v8(folder, gene_set, preparation=preparation)}


def _found(find: Callable[[Path], Path | None], absent: str) -> Path:
    """Where a source's files lie in the data folder; `absent` says what is not there and what to do."""
    folder = find(data_folder())
    if folder is None:
        raise DataFormatError(f"{data_folder()}: {absent}")
    return folder


def _portal_folder(folder: Path) -> Path | None:
    """The folder of the portals' files: `folder` or its subfolder of the data set's name."""
    for candidate in (folder / "gtex-tcga-p53", folder):
        if any((candidate / f"{_COUNTS[0]}{end}").is_file() for end in ("", ".gz")):
            return candidate
    return None


def _one_of(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise DataFormatError(
        f"{folder}: {' or '.join(names)} is not here; `reproduce download gtex-tcga-p53` fetches what is absent"
    )


def _study(name: str, cohorts: dict[str, AnnData], *, is_real: bool, truth: Truth | None = None) -> Study:
    from reproduce.loaders.container import align_genes

    notes = [f"{label}: {note}" for label, cohort in cohorts.items() for note in cohort.uns["notes"]]
    if len(cohorts) > 1:
        # Refuses symbols that mean one gene here and another there; what follows may then match genes by name alone.
        _, join = align_genes(*cohorts.values())
        notes.append(f"all cohorts: {join}")
    return Study(name, SOURCES[name], cohorts, is_real, tuple(notes), _fingerprint(cohorts), truth)


def _fingerprint(cohorts: Mapping[str, AnnData]) -> str:
    digest = hashlib.sha256()
    for name, cohort in cohorts.items():
        digest.update(f"{name}|{'|'.join(cohort.var_names)}\n".encode())
        digest.update(np.ascontiguousarray(cohort.X, dtype="<f4").tobytes())
        digest.update(cohort.obs.to_csv(lineterminator="\n").encode())
    return digest.hexdigest()[:12]


_SIMULATED = {"embedded": _embedded, "embedded-tissues": _embedded_tissues}
_REAL = {"gtex-tcga-p53": _portal, "student-p53": _student, "rnaseqdb": _rnaseqdb, "gtex-v8-tissues": _gtex_tissues}
