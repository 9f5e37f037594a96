"""Decides whether a table's rows are samples or genes, and says why; never looks at values."""

from __future__ import annotations

import re
from pathlib import Path

from reproduce.errors import ConfigError
from reproduce.matrices._text import Table
from reproduce.matrices.genes import gene_share

#: Genes in one direction must outnumber those in the other by this share of names to decide.
_CLEAR = 0.2
_GENE_COLUMN = re.compile(
    r"#?\s*(gene(_?(id|name|symbol)s?)?s?|hugo_?symbol|symbols?|ensembl(_?gene)?(_?id)?|entrez(_?gene)?(_?id)?|geneid)",
    re.IGNORECASE,
)
_SAMPLE_COLUMN = re.compile(
    r"#?\s*(samples?|sample_?(id|name)s?|sampid|donors?|subjects?|subjid|patients?|patient_?id|cells?|barcodes?)",
    re.IGNORECASE,
)
_IN_WORDS = {"samples_by_genes": "rows are samples and columns are genes",
             "genes_by_samples": "rows are genes and columns are samples"}  # fmt: skip


def find_orientation(table: Table, form: str, asked: str, path: Path, index_name: str = "") -> tuple[str, str]:
    """The orientation, and a sentence that says what was decided and why.

    Parameters
    ----------
    table : Table
    form : str
        Format; "gct" is genes by samples, "h5ad" samples by genes unless asked otherwise.
    asked : {"auto", "samples_by_genes", "genes_by_samples"}
    path : Path
        For messages.
    index_name : str
        What the file calls the column of row names.

    Raises
    ------
    ConfigError
        If samples by genes is asked of a .gct.
    """
    if form == "gct":
        if asked == "samples_by_genes":
            raise ConfigError(f"{path}: a .gct table has genes in rows by definition; leave out orientation={asked!r}")
        return _told("genes_by_samples", "as in every .gct table")
    if asked != "auto":
        return _told(asked, "as you said")
    if form == "h5ad":
        return _told("samples_by_genes", "as in every .h5ad file")
    in_rows, in_columns = gene_share(table.rows), gene_share(table.columns)
    if in_rows - in_columns > _CLEAR:
        return _told(
            "genes_by_samples", f"{in_rows:.0%} of the rows' names are known genes, {in_columns:.0%} of the columns'"
        )
    if in_columns - in_rows > _CLEAR:
        return _told(
            "samples_by_genes", f"{in_columns:.0%} of the columns' names are known genes, {in_rows:.0%} of the rows'"
        )
    if _GENE_COLUMN.fullmatch(index_name):
        return _told("genes_by_samples", f"the first column is called {index_name!r}")
    if _SAMPLE_COLUMN.fullmatch(index_name):
        return _told("samples_by_genes", f"the first column is called {index_name!r}")
    return _by_shape(len(table.rows), len(table.columns))


def _by_shape(n_rows: int, n_columns: int) -> tuple[str, str]:
    shape = f"{n_rows:,} rows and {n_columns:,} columns, and the names do not say"
    if n_rows > n_columns:
        return _told("genes_by_samples", f"there are more rows than columns ({shape})", sure=False)
    if n_rows < n_columns:
        return _told("samples_by_genes", f"there are more columns than rows ({shape})", sure=False)
    return _told("samples_by_genes", f"nothing speaks against it ({shape})", sure=False)


def _told(orientation: str, why: str, *, sure: bool = True) -> tuple[str, str]:
    other = next(each for each in _IN_WORDS if each != orientation)
    hint = "" if sure else f"; if not, say that the orientation is {other}"
    return orientation, f"{_IN_WORDS[orientation]}: {why}{hint}"
