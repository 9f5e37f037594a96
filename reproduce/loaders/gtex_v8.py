"""GTEx v8 for the paper's own tables: all tissues, thousands of genes, prepared by choice; never reads by tissue files.

The tables are the portal's, of all samples (``reproduce download`` fetches them). One gene of 17,382 samples is one
line, read at a time; only the wanted genes are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.container import make_cohort, some
from reproduce.loaders.gene_sets import PROTEIN_CODING, GeneSet, gene_set
from reproduce.loaders.gtex import load_gtex_all_samples
from reproduce.loaders.preparation import expressed_everywhere, log2_tpm, tmm_inverse_normal

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["PREPARATIONS", "gtex_v8_folder", "load_gtex_v8"]

#: What `load_gtex_v8` can make of the tables, and the units of the result.
PREPARATIONS = {
    "tpm": "transcripts per million (TPM)",
    "log2_tpm": "log2(TPM + 1)",
    "tmm_inverse_normal": "normal quantiles of each gene within its tissue, after TMM",
}
#: Fewest donors of a tissue, as in GTEx's eQTL analysis: 49 tissues, the paper's.
_MIN_SAMPLES = 70
_THRESHOLD, _FRACTION = 0.1, 0.2
_TABLE = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_{}.gct"
_ATTRIBUTES = "GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt"
_PHENOTYPES = "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"


def load_gtex_v8(
    folder: str | Path, genes: str | GeneSet, *, preparation: str = "tpm", min_samples: int = _MIN_SAMPLES
) -> AnnData:
    """All tissues that enough donors have, in one cohort.

    Parameters
    ----------
    folder : path
        Holds the portal's tables of all samples under their own names: ``…_gene_tpm.gct.gz`` (but see `preparation`),
        ``…_SampleAttributesDS.txt`` and ``…_SubjectPhenotypesDS.txt``.
    genes : str or GeneSet
        A list of which every gene must be there, or the rule "protein_coding": HGNC's protein-coding genes with at
        least 0.1 TPM in at least 20 % of the samples of every tissue. The paper's 12,557 are said to be protein-coding
        and common to the tissues of GTEx's eQTL tables, where a gene also needs 6 reads in 20 % of the samples; so the
        numbers need not agree, and the notes say how many there are.
    preparation : {"tpm", "log2_tpm", "tmm_inverse_normal"}
        "tpm" is linear, for ``transform="log1p"``. The other two are for ``transform="raw"``. "tmm_inverse_normal"
        reads ``…_gene_reads.gct.gz`` (and TPM only for the rule); its scaling factors rest on all protein-coding genes,
        also where fewer are asked for. **It uses the ranks of entries that are hidden later**, see
        `reproduce.loaders.preparation.inverse_normal`; it is here because the paper's data were prepared so.
    min_samples : int, default 70
        Fewest donors of a tissue.

    Returns
    -------
    AnnData
        ``X`` (n_samples, n_genes) in the units of `PREPARATIONS`.

    Raises
    ------
    ConfigError
        For an unknown preparation.
    DataFormatError
        If a file is absent or damaged, a gene of a list is absent, or no gene is expressed in every tissue.
    """
    if preparation not in PREPARATIONS:
        raise ConfigError(f"unknown preparation {preparation!r}: choose one of {', '.join(PREPARATIONS)}")
    folder, wanted = Path(folder), gene_set(genes)
    symbols = list(wanted.symbols)
    notes: list[str] = []
    if preparation != "tmm_inverse_normal" or not wanted.complete:
        cohort = _load(folder, "tpm", wanted, min_samples)
        if not wanted.complete:
            cohort = _expressed(cohort)
        if preparation == "tpm":
            return cohort
        if preparation == "log2_tpm":
            cohort.X = log2_tpm(cohort.X)
            cohort.uns["units"] = PREPARATIONS[preparation]
            return cohort
        symbols, notes = list(cohort.var_names), list(cohort.uns["notes"])
        del cohort
    reads = _load(folder, "reads", gene_set(PROTEIN_CODING), min_samples)
    del reads.layers["counts"]  # X says the same in half the memory
    positions = reads.var_names.get_indexer(symbols)
    if (positions < 0).any():
        absent = [symbol for symbol, position in zip(symbols, positions) if position < 0]
        raise DataFormatError(f"{folder}: the table of reads has no gene {some(absent)}; take both tables from GTEx v8")
    X = tmm_inverse_normal(reads.X, reads.obs["tissue"].to_numpy(), genes=positions)
    notes = notes or list(reads.uns["notes"])
    notes.append(
        f"values are {PREPARATIONS[preparation]} (factors from {reads.n_vars:,} protein-coding genes): ranks were "
        "taken before any entry was hidden, as in the paper"
    )
    obs, source, ensembl_ids = reads.obs, reads.uns["source"], list(reads.var["ensembl_id"].iloc[positions])
    del reads  # several GB
    return make_cohort(
        X,
        symbols,
        obs,
        units=PREPARATIONS[preparation],
        source=source,
        ensembl_ids=ensembl_ids,
        notes=notes,
        non_negative=False,
    )


def gtex_v8_folder(folder: str | Path) -> Path | None:
    """The folder of a table of all samples: `folder` or its subfolder ``gtex-v8``; None if neither has one."""
    for candidate in (Path(folder) / "gtex-v8", Path(folder)):
        if any(
            (candidate / f"{_TABLE.format(kind)}{end}").is_file() for kind in ("tpm", "reads") for end in ("", ".gz")
        ):
            return candidate
    return None


def _load(folder: Path, kind: str, genes: GeneSet, min_samples: int) -> AnnData:
    """Read counts or TPM of the wanted genes; a rule's candidates need not all be there."""
    name = _TABLE.format(kind)
    return load_gtex_all_samples(
        _one_of(folder, f"{name}.gz", name),
        _one_of(folder, _ATTRIBUTES),
        _one_of(folder, _PHENOTYPES),
        genes,
        tissues=None,
        min_samples=min_samples,
        missing="error" if genes.complete else "report",
    )


def _one_of(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataFormatError(f"{folder}: {names[0]} is not here; `reproduce download gtex-v8` fetches what is absent")


def _expressed(cohort: AnnData) -> AnnData:
    passes = expressed_everywhere(cohort.X, cohort.obs["tissue"], threshold=_THRESHOLD, fraction=_FRACTION)
    said = f"at least {_THRESHOLD:g} TPM in at least {_FRACTION:.0%} of the samples of every tissue"
    if not passes.any():
        raise DataFormatError(f"{cohort.uns['source']}: no gene has {said}; give the portal's whole table of TPM")
    kept = cohort[:, passes].copy()
    kept.uns["notes"] = [
        *cohort.uns["notes"],
        f"{passes.sum():,} of {len(passes):,} protein-coding genes have {said}: the others are left out",
    ]
    return kept
