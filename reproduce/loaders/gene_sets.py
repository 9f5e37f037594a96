"""The gene sets of the study, with the identifiers by which other tables know their genes; never holds expression.

Genes are matched by name or identifier, never by position. Symbols change hands (TEP1 was once an alias of PTEN and is
another gene today), so wherever a table brings a stable identifier, that decides.
"""

from __future__ import annotations

import functools
import gzip
import io
from dataclasses import dataclass, field
from importlib import resources
from typing import BinaryIO

import pandas as pd

from reproduce.errors import ConfigError

__all__ = ["ALIASES", "GENE_SETS", "PROTEIN_CODING", "GeneSet", "gene_set"]

# Symbols of the TCGA RNASeqV2 annotation (2012) that have been renamed since; confirmed by Entrez id.
# TEP1 -> PTEN is left out on purpose: Entrez 7011 (TEP1) is not 5728 (PTEN).
ALIASES: dict[str, str] = {"MGC5370": "MDM2", "DKFZP566B133": "GADD45B", "PRO1996": "RCHY1"}

_SOURCES = {
    "p53": "KEGG pathway hsa04115 (p53 signalling), the 65 genes listed by the paper's authors; identifiers from HGNC",
    "alzheimer": "KEGG pathway hsa05010 (Alzheimer disease), the 273 genes listed by the paper's authors; "
    "identifiers from HGNC",
}
#: The lists of the paper's authors, of which a source must have every gene.
GENE_SETS: tuple[str, ...] = tuple(_SOURCES)

#: A rule rather than a list: of the genes that HGNC calls protein-coding, those that a source measures. What else must
#: hold (being expressed in every tissue of GTEx, say) is the source's to decide, and stands in its notes.
PROTEIN_CODING = "protein_coding"
_CANDIDATES = {
    PROTEIN_CODING: "HGNC's complete set of 2018: approved genes with a protein product that have an Ensembl and an "
    "Entrez id, {n} genes"
}


@dataclass(frozen=True)
class GeneSet:
    """A named list of genes.

    Attributes
    ----------
    name : str
    symbols : tuple of str
        HGNC symbols in the set's own order (alphabetical), which every loader keeps.
    table : DataFrame, (n_genes, 4)
        Columns ``symbol``, ``ensembl_id`` (without version), ``entrez_id`` (str), ``hgnc_id``.
        The candidates of a rule have a fifth one, ``former_symbols`` (HGNC's, separated by blanks).
    source : str
        Where the list and the identifiers come from.
    complete : bool
        Whether a source must have every gene. False for the candidates of a rule, of which it keeps those it has.
    """

    name: str
    symbols: tuple[str, ...]
    table: pd.DataFrame = field(repr=False, compare=False)
    source: str = field(repr=False)
    complete: bool = True

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def symbol_of_ensembl(self) -> dict[str, str]:
        """Ensembl gene id without version -> symbol."""
        return dict(zip(self.table["ensembl_id"], self.table["symbol"]))

    @property
    def symbol_of_entrez(self) -> dict[str, str]:
        """Entrez gene id (str) -> symbol."""
        return dict(zip(self.table["entrez_id"], self.table["symbol"]))

    @property
    def ensembl_of_symbol(self) -> dict[str, str]:
        """Symbol -> Ensembl gene id without version."""
        return dict(zip(self.table["symbol"], self.table["ensembl_id"]))


def gene_set(name: str | GeneSet) -> GeneSet:
    """Return a gene set by name.

    Parameters
    ----------
    name : {"p53", "alzheimer", "protein_coding"} or GeneSet
        A `GeneSet` is returned as it is. "protein_coding" gives all candidates of the rule.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    if isinstance(name, GeneSet):
        return name
    if name not in _SOURCES and name not in _CANDIDATES:
        raise ConfigError(f"unknown gene set {name!r}: choose one of {', '.join((*GENE_SETS, *_CANDIDATES))}")
    return _read(name)


@functools.cache
def _read(name: str) -> GeneSet:
    tables = resources.files("reproduce.loaders") / "gene_set_tables"
    if name in _CANDIDATES:
        packed = (tables / f"{name}.csv.gz").read_bytes()
        table = _table(io.BytesIO(gzip.decompress(packed)))
        return GeneSet(name, tuple(table["symbol"]), table, _CANDIDATES[name].format(n=f"{len(table):,}"), False)
    with (tables / f"{name}.csv").open("rb") as handle:
        table = _table(handle)
    return GeneSet(name, tuple(table["symbol"]), table, _SOURCES[name])


def _table(stream: BinaryIO) -> pd.DataFrame:
    return pd.read_csv(stream, dtype=str, keep_default_na=False)
