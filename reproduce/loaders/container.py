"""The one container of expression data, checked at the door; never reads a file and never imputes.

A cohort is an `anndata.AnnData`: ``X`` (n_samples, n_genes) float32 with NaN = missing, ``obs`` with the columns of
`OBS_COLUMNS`, ``var`` indexed by HGNC symbol with ``ensembl_id`` beside it, ``layers["counts"]`` where there are
integer counts, ``uns["units"]``, ``uns["source"]`` and ``uns["notes"]`` (what was dropped or renamed on the way in).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError, DataFormatError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["OBS_COLUMNS", "JoinReport", "align_genes", "make_cohort"]

OBS_COLUMNS = ("donor", "tissue", "cohort", "condition", "sex", "age")
_CONDITIONS = ("normal", "tumour")
_SEXES = ("female", "male")


def make_cohort(
    X: np.ndarray,
    genes: Sequence[str],
    obs: pd.DataFrame,
    *,
    units: str,
    source: str,
    ensembl_ids: Sequence[str] | None = None,
    counts: np.ndarray | None = None,
    notes: Iterable[str] = (),
    non_negative: bool = True,
) -> AnnData:
    """Check a matrix and its tables and put them into the container.

    Parameters
    ----------
    X : array, (n_samples, n_genes)
        Expression in `units`; NaN = missing.
    genes : sequence of str, (n_genes,)
        HGNC symbols.
    obs : DataFrame, (n_samples, >= 6)
        Indexed by sample id, with the columns of `OBS_COLUMNS`: ``donor`` and ``tissue`` (GTEx's SMTSD names; tumours
        carry their tissue of origin), ``cohort``, ``condition`` ("normal" or "tumour"), ``sex`` ("female", "male" or
        missing), ``age`` (years, missing allowed).
    units, source : str
    ensembl_ids : sequence of str, (n_genes,), optional
        Without version; "" where unknown.
    counts : array, (n_samples, n_genes), optional
        Integer counts behind `X`.
    notes : iterable of str
        What was dropped, renamed or assumed.
    non_negative : bool
        Whether values below zero are errors (False for log ratios).

    Raises
    ------
    DataFormatError
        For shapes that disagree, nameless or duplicate genes or samples, infinite or negative values, a sample without
        any value, counts that are not whole, or an incomplete `obs`; the message names the first offender.
    """
    from anndata import AnnData  # not at import: reading a gene set should not cost a second

    values = _numeric(X, "the matrix", source)
    symbols = _names(genes, "gene", source).rename("symbol")
    samples = _names(obs.index, "sample", source).rename("sample")
    if values.shape != (len(samples), len(symbols)):
        raise DataFormatError(
            f"{source}: the matrix has shape {values.shape} for {len(samples)} samples and {len(symbols)} genes; "
            "rows must be samples and columns genes"
        )
    if values.size == 0:
        raise DataFormatError(
            f"{source}: no {'samples' if len(samples) == 0 else 'genes'} are left to work with; choose other ones"
        )
    refuse_duplicates(symbols, "gene", source)
    refuse_duplicates(samples, "sample", source)
    check_values(values, samples, symbols, source, non_negative=non_negative)

    var = pd.DataFrame({"ensembl_id": _identifiers(ensembl_ids, symbols, source)}, index=symbols)
    cohort = AnnData(X=values.astype(np.float32), obs=_checked_obs(obs, samples, source), var=var)
    if counts is not None:
        cohort.layers["counts"] = _checked_counts(counts, values.shape, source)
    cohort.uns["units"] = units
    cohort.uns["source"] = source
    cohort.uns["notes"] = [str(note) for note in notes]
    return cohort


@dataclass(frozen=True)
class JoinReport:
    """What a join of cohorts by gene name kept and lost.

    Attributes
    ----------
    genes : tuple of str
        Genes that all cohorts have, in the first cohort's order.
    lost : dict of str to dict of str to tuple of str
        For each cohort, the genes it has and must give up, with the cohorts that lack them.
    """

    genes: tuple[str, ...]
    lost: dict[str, dict[str, tuple[str, ...]]]

    def to_frame(self) -> pd.DataFrame:
        """One row per cohort and lost gene; columns ``cohort``, ``gene``, ``absent_from``."""
        rows = [
            (cohort, gene, ", ".join(absent)) for cohort, genes in self.lost.items() for gene, absent in genes.items()
        ]
        return pd.DataFrame(rows, columns=["cohort", "gene", "absent_from"])

    def __str__(self) -> str:
        parts = [f"{cohort} gives up {', '.join(genes)}" for cohort, genes in self.lost.items() if genes]
        return f"{len(self.genes)} genes in common" + (f"; {'; '.join(parts)}" if parts else "")


def align_genes(*cohorts: AnnData) -> tuple[list[AnnData], JoinReport]:
    """Bring cohorts to the same genes in the same order, matched by name.

    Parameters
    ----------
    *cohorts : AnnData
        One or more; they are not changed.

    Returns
    -------
    list of AnnData
        Copies with the common genes, in the first cohort's order.
    JoinReport

    Raises
    ------
    DataFormatError
        If no gene is common, or a symbol stands for different Ensembl genes in two cohorts.
    """
    if not cohorts:
        raise ConfigError("align_genes needs at least one cohort")
    labels = _labels(cohorts)
    common = [gene for gene in cohorts[0].var_names if all(gene in cohort.var_names for cohort in cohorts[1:])]
    if not common:
        raise DataFormatError(
            f"{' and '.join(labels)} have no gene name in common (first names: "
            f"{', '.join(repr(cohort.var_names[0]) for cohort in cohorts)}); give all of them HGNC symbols"
        )
    for (label, cohort), (other_label, other) in combinations(zip(labels, cohorts), 2):
        _refuse_other_identifiers(label, cohort, other_label, other, common)
    kept = set(common)
    lost = {
        label: {
            gene: tuple(other for other, o in zip(labels, cohorts) if gene not in o.var_names)
            for gene in cohort.var_names
            if gene not in kept
        }
        for label, cohort in zip(labels, cohorts)
    }
    return [cohort[:, common].copy() for cohort in cohorts], JoinReport(tuple(common), lost)


def some(names: Iterable[str], limit: int = 8) -> str:
    """Names joined for a message, cut after `limit`."""
    names = [str(name) for name in names]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def refuse_duplicates(names: Iterable[str], kind: str, source: str) -> None:
    """Raise `DataFormatError` naming what occurs twice; `kind` is "gene" or "sample"."""
    index = pd.Index(list(names))
    twice = index[index.duplicated()].unique()
    if len(twice):
        raise DataFormatError(
            f"{source}: {kind} {some(twice)} occurs more than once; names must be unique, so remove or rename one"
        )


def check_values(
    values: np.ndarray, samples: Sequence[str], genes: Sequence[str], source: str, *, non_negative: bool = True
) -> None:
    """Raise `DataFormatError` naming sample and gene of the first infinite or negative value, or an empty sample."""

    def place(bad: np.ndarray) -> str:
        row, column = np.argwhere(bad)[0]
        return f"sample {samples[row]}, gene {genes[column]} ({bad.sum()} such values)"

    # Anything float32 cannot hold would turn infinite on the way into the container.
    infinite = np.abs(values) > np.finfo(np.float32).max
    if infinite.any():
        raise DataFormatError(f"{source}: infinite value at {place(infinite)}; leave it empty if it is not known")
    if non_negative and (negative := values < 0).any():
        raise DataFormatError(
            f"{source}: negative value at {place(negative)}; counts cannot be negative, so this may be log-scaled: "
            "give the values on their linear scale"
        )
    empty = np.isnan(values).all(axis=1)
    if empty.any():
        names = [samples[row] for row in np.flatnonzero(empty)]
        raise DataFormatError(f"{source}: sample {some(names)} has no value for any gene; remove it")


def _numeric(X: np.ndarray, what: str, source: str) -> np.ndarray:
    try:
        values = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataFormatError(f"{source}: {what} is not numeric ({error}); missing values must be NaN") from error
    if values.ndim != 2:
        raise DataFormatError(f"{source}: {what} must have two dimensions (samples, genes), not {values.ndim}")
    return values


def _names(names: Iterable[object], kind: str, source: str) -> pd.Index:
    """Names as text; a missing or blank one would otherwise pass as a gene called "nan"."""
    names = list(names)
    for position, name in enumerate(names, start=1):
        if pd.isna(name) or not str(name).strip():
            raise DataFormatError(f"{source}: {kind} number {position} has no name; name it or remove it")
    return pd.Index([str(name) for name in names])


def _identifiers(ensembl_ids: Sequence[str] | None, symbols: pd.Index, source: str) -> list[str]:
    if ensembl_ids is None:
        return [""] * len(symbols)
    if len(ensembl_ids) != len(symbols):
        raise DataFormatError(
            f"{source}: {len(ensembl_ids)} Ensembl ids for {len(symbols)} genes; give one a gene, '' if unknown"
        )
    return ["" if pd.isna(identifier) else str(identifier).split(".")[0] for identifier in ensembl_ids]


def _checked_obs(obs: pd.DataFrame, samples: pd.Index, source: str) -> pd.DataFrame:
    absent = [column for column in OBS_COLUMNS if column not in obs]
    if absent:
        raise DataFormatError(f"{source}: the sample table lacks the column {some(absent)}; add it")
    checked = obs.copy()
    checked.index = samples
    for column in ("donor", "tissue", "cohort", "condition"):
        unknown = checked[column].isna()
        if unknown.any():
            raise DataFormatError(
                f"{source}: {column} is unknown for sample {some(samples[unknown.to_numpy()])}; fill it in, or leave "
                "the sample out"
            )
        checked[column] = checked[column].astype(str)
    _refuse_other(checked["condition"], _CONDITIONS, source)
    _refuse_other(checked["sex"].dropna(), _SEXES, source)
    checked["sex"] = checked["sex"].astype("str")  # pandas' string type, which keeps NaN
    age = pd.to_numeric(checked["age"], errors="coerce").astype(np.float64)
    odd = ~age.between(0, 120) & checked["age"].notna()
    if odd.any():
        raise DataFormatError(
            f"{source}: age '{checked.loc[odd, 'age'].iloc[0]}' of sample {some(samples[odd.to_numpy()])} is not a "
            "number of years between 0 and 120; mend it, or leave it empty if it is not known"
        )
    checked["age"] = age
    rest = [column for column in checked if column not in OBS_COLUMNS]
    return checked[[*OBS_COLUMNS, *rest]]


def _refuse_other(column: pd.Series, known: Sequence[str], source: str) -> None:
    other = column[~column.isin(known)]
    if len(other):
        values = some(map(repr, other.astype(str).unique()))
        raise DataFormatError(
            f"{source}: {column.name} is {values} (sample {some(other.index)}); known: {', '.join(known)}"
        )


def _checked_counts(counts: np.ndarray, shape: tuple[int, int], source: str) -> np.ndarray:
    counts = _numeric(counts, "the table of counts", source)
    if counts.shape != shape:
        raise DataFormatError(f"{source}: counts have shape {counts.shape}, the matrix {shape}; give one count a value")
    if not (np.isfinite(counts) & (counts >= 0) & (counts == np.rint(counts))).all():
        raise DataFormatError(
            f"{source}: counts are not all whole numbers >= 0; leave them out if they are estimates or incomplete"
        )
    return counts.astype(np.int64)


def _labels(cohorts: Sequence[AnnData]) -> list[str]:
    labels: list[str] = []
    for cohort in cohorts:
        label = "+".join(pd.unique(cohort.obs["cohort"].astype(str)))
        labels.append(label if label not in labels else f"{label} ({len(labels) + 1})")
    return labels


def _refuse_other_identifiers(label: str, cohort: AnnData, other_label: str, other: AnnData, common: list[str]) -> None:
    mine, theirs = (each.var["ensembl_id"].reindex(common).astype(str) for each in (cohort, other))
    differ = (mine != theirs) & (mine != "") & (theirs != "")
    if differ.any():
        gene = differ.index[differ.to_numpy()][0]
        raise DataFormatError(
            f"{gene} is {mine[gene]} in {label} but {theirs[gene]} in {other_label}: the same symbol names two genes; "
            "rename or drop one"
        )
