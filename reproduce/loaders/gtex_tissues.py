"""All tissues of GTEx v8 in one cohort, with GTEx's own names, abbreviations and colours; never simulates a sample."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.gene_sets import GeneSet
from reproduce.loaders.gtex import load_gtex_all_samples

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["MIN_SAMPLES", "load_gtex_v8_tissues", "read_tissue_csv", "tissue_folder", "tissue_table"]

#: GTEx's own threshold for its eQTL analysis, from which the paper took its 49 tissues.
MIN_SAMPLES = 70

_TABLE = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads"
_ATTRIBUTES = ("GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt", "samples_v8_rnaseq.tsv.gz")
_PHENOTYPES = "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
_SUBFOLDERS = ("gtex-v8-tissues", "gtex_v8", "gtex-v8")
# The portal's whole table is 1 GB compressed and would take some 40 GB here; excerpts of it are small.
_LARGEST_WHOLE = 200 * 2**20


def load_gtex_v8_tissues(
    folder: str | Path,
    genes: str | GeneSet | None = None,
    *,
    min_samples: int = MIN_SAMPLES,
    missing: str = "error",
) -> AnnData:
    """One cohort of every tissue that enough donors have, the two cell lines among them.

    Parameters
    ----------
    folder : path
        Holds ``…_gene_reads.gct.gz`` of all samples or an excerpt of it (``…_gene_reads.NAME.gct.gz``); the donors
        (``…_SubjectPhenotypesDS.txt``); and the samples' tissues, the portal's ``…_SampleAttributesDS.txt`` or, where
        that is not there, a table ``samples_v8_rnaseq.tsv.gz`` with its columns SAMPID, SMTS and SMTSD.
    genes : str, GeneSet or None
        None keeps every gene of an excerpt; the portal's whole table needs a gene set.
    min_samples : int, default 70
        Fewest donors of a tissue. With 70, 49 of GTEx v8's 54 tissues stay: those of GTEx's eQTL analysis and of the
        paper. The paper further kept only donors with a genotype (15,201 samples); all samples with a tissue stay here.
    missing : {"error", "report"}
        What to do about genes of the set that the table lacks.

    Returns
    -------
    AnnData
        ``X`` (n_samples, n_genes) in read counts; ``uns["notes"]`` says which samples and tissues were left out.

    Raises
    ------
    ConfigError
        If all genes of a whole table are asked for.
    DataFormatError
        If a file is absent or damaged, see `load_gtex_all_samples`.
    """
    folder = Path(folder)
    table = _table_of(folder)
    if table is None:
        raise DataFormatError(f"{folder}: no {_TABLE}.gct.gz and no excerpt of it here; name the folder that has it")
    if genes is None and table.stat().st_size > _LARGEST_WHOLE:
        raise ConfigError(f"{table} holds too many genes to load them all; name a gene set")
    attributes = next((folder / name for name in _ATTRIBUTES if (folder / name).is_file()), None)
    absent = [] if attributes else [_ATTRIBUTES[0]]
    absent += [] if (folder / _PHENOTYPES).is_file() else [_PHENOTYPES]
    if absent:
        raise DataFormatError(
            f"{folder}: {' and '.join(absent)} not here; `reproduce download gtex-v8` fetches what is absent, or "
            f"take it from the GTEx portal ({' or '.join(_ATTRIBUTES)} tell the samples' tissues)"
        )
    return load_gtex_all_samples(
        table, attributes, folder / _PHENOTYPES, genes, tissues=None, min_samples=min_samples, missing=missing
    )


def tissue_folder(folder: str | Path) -> Path | None:
    """The folder of the table of all samples: `folder`, or its subfolder gtex-v8-tissues, gtex_v8 or gtex-v8."""
    candidates = (*(Path(folder) / name for name in _SUBFOLDERS), Path(folder))
    return next((candidate for candidate in candidates if _table_of(candidate)), None)


def tissue_table() -> pd.DataFrame:
    """What GTEx says of its 54 tissues, in its order.

    Returns
    -------
    DataFrame, (54, 6)
        Indexed by ``tissue`` (SMTSD): ``organ``, ``abbreviation``, ``colour`` ("#RRGGBB"; the brain's regions share
        one), ``n_samples`` with RNA-seq, ``n_eqtl_samples`` (those with a genotype, in the 49 tissues of the eQTL
        analysis; 0 elsewhere), ``sex`` ("female" or "male" where only they have the tissue, else "").
    """
    return read_tissue_csv("tissues").set_index("tissue")


def read_tissue_csv(name: str) -> pd.DataFrame:
    """A committed table of ``tissue_tables/`` by its name without ``.csv``; a copy of one's own."""
    return _read(name).copy()


@functools.cache
def _read(name: str) -> pd.DataFrame:
    with (resources.files("reproduce.loaders") / "tissue_tables" / f"{name}.csv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, keep_default_na=False)


def _table_of(folder: Path) -> Path | None:
    """The whole table where it is there, else its one excerpt."""
    whole = [folder / f"{_TABLE}.gct{end}" for end in ("", ".gz")]
    for path in whole:
        if path.is_file():
            return path
    excerpts = sorted(path for end in ("", ".gz") for path in folder.glob(f"{_TABLE}.*.gct{end}"))
    if len(excerpts) > 1:
        raise DataFormatError(
            f"{folder}: {' and '.join(path.name for path in excerpts)} are excerpts of one table; keep the one you mean"
        )
    return excerpts[0] if excerpts else None
