"""What kind of names genes have, and which of two lists are the same genes; never looks at values.

Genes are matched by name or identifier, never by position. Names are never mended silently: what differs in case only
is reported, what a spreadsheet turned into a date is refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from reproduce.errors import DataFormatError
from reproduce.loaders.container import refuse_duplicates, some
from reproduce.loaders.gene_sets import GENE_SETS, PROTEIN_CODING, gene_set
from reproduce.matrices._spreadsheet import refuse_mangled

__all__ = ["Identifiers", "Match", "gene_share", "identify", "match"]

KINDS = ("ensembl", "ensembl_versioned", "symbol", "entrez", "other")

#: Id, version, and GENCODE's mark of the second copy, on Y, of a pseudo-autosomal gene: another gene, not a version.
_ENSEMBL = re.compile(r"(ENS[A-Z]{0,6}G\d{11})(\.\d+)?(_PAR_Y)?")
_ENTREZ = re.compile(r"[1-9]\d{0,8}")
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9@]*([-._][A-Za-z0-9]+)*")
#: Share of names that decides the kind; the rest (spike-ins, counters such as __no_feature) is told.
_MOST = 0.9
_LOOKED_AT = 4000  # names enough to tell genes from samples


@dataclass(frozen=True)
class Identifiers:
    """Gene names and what they are.

    Attributes
    ----------
    kind : {"ensembl", "ensembl_versioned", "symbol", "entrez", "other"}
    names : tuple of str, (n_genes,)
        As given.
    notes : tuple of str
        What the user should know.
    """

    kind: str
    names: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Match:
    """Where fitted genes stand in another list.

    Attributes
    ----------
    position : ndarray of int, (n_fitted,)
        Into the given names; -1 where absent.
    missing : tuple of str
        Fitted genes that were not given, as fitted.
    extra : tuple of str
        Given genes that were not fitted, as given.
    notes : tuple of str
        How names were matched, and names that nearly match.
    """

    position: np.ndarray = field(repr=False)
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    notes: tuple[str, ...] = ()


def identify(names: Iterable[object], *, source: str = "the gene names") -> Identifiers:
    """Tell what kind of names these are.

    Parameters
    ----------
    names : iterable of str, (n_genes,)
    source : str
        Where they come from, for messages.

    Returns
    -------
    Identifiers
        Of the kind that at least 90 % of the names are of. Symbols are those of the shipped tables, in any case
        (so that other species' count).

    Raises
    ------
    DataFormatError
        For no names, blank or duplicate ones (also the same Ensembl id in two versions), or names that a spreadsheet
        has turned into dates or numbers; each is named with what it may have been.
    """
    names = tuple(str(name) for name in names)
    if not names:
        raise DataFormatError(f"{source}: there are no genes; give a matrix with at least one")
    _refuse_blank(names, source)
    refuse_duplicates(names, "gene", source)
    refuse_mangled(names, source)
    parts = [_ENSEMBL.fullmatch(name) for name in names]
    n_ensembl = sum(part is not None for part in parts)
    if n_ensembl >= _MOST * len(names):
        _refuse_two_versions(names, source)
        versioned = sum(part is not None and part[2] is not None for part in parts)
        return Identifiers("ensembl_versioned" if versioned else "ensembl", names, _others(names, parts, "Ensembl id"))
    entrez = [_ENTREZ.fullmatch(name) for name in names]
    if sum(part is not None for part in entrez) >= _MOST * len(names):
        return Identifiers("entrez", names, _others(names, entrez, "Entrez id"))
    shaped = sum(_SYMBOL.fullmatch(name) is not None for name in names)
    known = sum(name.upper() in _known_symbols() for name in names)
    if known >= 0.2 * len(names) or (known > 0 and shaped >= _MOST * len(names)):
        return Identifiers("symbol", names)
    return Identifiers("other", names, (f"names such as {some(names, 3)} are neither Ensembl nor Entrez ids nor known "
                                        "symbols; they are matched letter by letter",))  # fmt: skip


def match(
    fitted: Identifiers | Sequence[str],
    given: Identifiers | Sequence[str],
    *,
    symbols: dict[str, str] | None = None,
) -> Match:
    """Find each fitted gene among given names.

    A gene is first looked for by its very name, then by its Ensembl id without version, then by its other name: the
    pairs in `symbols` first, then those of the shipped gene sets (Ensembl, symbol and Entrez). A name that stands for
    two genes there matches neither.

    Parameters
    ----------
    fitted, given : Identifiers or sequence of str
    symbols : dict of str to str, optional
        Ensembl id and symbol of the fitted genes, in either direction, with or without version.

    Returns
    -------
    Match

    Raises
    ------
    DataFormatError
        If names of either list are refused by `identify`, or two given names are the same fitted gene.
    """
    fitted = fitted if isinstance(fitted, Identifiers) else identify(fitted, source="the model's genes")
    given = given if isinstance(given, Identifiers) else identify(given)
    place = {name: position for position, name in enumerate(given.names)}
    position = np.array([place.get(name, -1) for name in fitted.names], dtype=np.int64)
    notes: list[str] = []
    _fill_in(
        position, fitted, given, [[_stripped(name)] for name in fitted.names], "without the Ensembl version", notes
    )
    pairs = _pairs(symbols or {})
    _fill_in(position, fitted, given, _other_names(fitted, pairs), "by the model's own pairs of names", notes)
    _fill_in(position, fitted, given, _other_names(fitted, _shipped_pairs()), "by the shipped table of genes", notes)
    taken = set(position.tolist())
    missing = tuple(name for name, at in zip(fitted.names, position) if at < 0)
    extra = tuple(name for at, name in enumerate(given.names) if at not in taken)
    notes += _near(missing, extra)
    return Match(position, missing, extra, tuple(notes))


def gene_share(names: Sequence[str]) -> float:
    """Share of names that are certainly genes: Ensembl ids or symbols of the shipped tables; 0 for no names.

    Parameters
    ----------
    names : sequence of str
        Of more than 4,000, evenly spaced ones are looked at.
    """
    names = names[:: max(1, len(names) // _LOOKED_AT)]
    if not len(names):
        return 0.0
    known = _known_symbols()
    return sum(bool(_ENSEMBL.fullmatch(name)) or name.upper() in known for name in names) / len(names)


# --- matching ---


def _stripped(name: str) -> str:
    """An Ensembl id without its version; any other name as it is."""
    part = _ENSEMBL.fullmatch(name)
    return name if part is None else part[1] + (part[3] or "")


def _fill_in(
    position: np.ndarray,
    fitted: Identifiers,
    given: Identifiers,
    candidates: list[list[str]],
    how: str,
    notes: list[str],
) -> None:
    """Give a place to fitted genes that have none and have a candidate among the given names without version."""
    taken = {at: gene for gene, at in enumerate(position.tolist()) if at >= 0}
    place = {_stripped(name): at for at, name in enumerate(given.names)}
    found = 0
    for gene in np.flatnonzero(position < 0).tolist():
        hits = sorted({place[name] for name in candidates[gene] if name in place})
        if not hits:
            continue
        if len(hits) > 1:
            raise DataFormatError(
                f"the given genes {some(given.names[at] for at in hits)} are all {fitted.names[gene]} of the model; "
                "keep the one that is meant"
            )
        at = hits[0]
        if at in taken:
            if _stripped(fitted.names[taken[at]]) != _stripped(fitted.names[gene]):
                notes.append(f"{given.names[at]} was taken for {fitted.names[taken[at]]}, not for {fitted.names[gene]}")
            continue
        taken[at] = gene
        position[gene] = at
        found += 1
    if found:
        notes.append(f"{found:,} of {len(fitted):,} genes were matched {how}")


def _pairs(symbols: dict[str, str]) -> dict[str, list[str]]:
    """Each name's other names, both ways, without versions; names that stand for several genes are left out."""
    others: dict[str, set[str]] = {}
    for one, other in symbols.items():
        one, other = _stripped(str(one)), _stripped(str(other))
        if one and other and one != other:
            others.setdefault(one, set()).add(other)
            others.setdefault(other, set()).add(one)
    return {name: list(partners) for name, partners in others.items() if len(partners) == 1}


def _other_names(fitted: Identifiers, others: dict[str, list[str]]) -> list[list[str]]:
    """Names that stand for the same gene both ways round: what it is called, is called what it is."""
    stripped = [_stripped(name) for name in fitted.names]
    return [[other for other in others.get(name, ()) if name in others.get(other, ())] for name in stripped]


@functools.cache
def _shipped_pairs() -> dict[str, list[str]]:
    """Each Ensembl id, symbol and Entrez id of the shipped tables with the gene's other two names."""
    others: dict[str, set[str]] = {}
    symbols: dict[str, set[str]] = {}
    for name in (PROTEIN_CODING, *GENE_SETS):
        for row in gene_set(name).table[["ensembl_id", "symbol", "entrez_id"]].itertuples(index=False):
            three = [text for text in row if text]
            for text in three:
                others.setdefault(text, set()).update(three)
                symbols.setdefault(text, set()).add(row.symbol)
    return {
        name: [other for other in partners if other != name]
        for name, partners in others.items()
        if len(symbols[name]) == 1
    }


@functools.cache
def _known_symbols() -> frozenset[str]:
    """Symbols and former symbols of the shipped tables in upper case."""
    known: set[str] = set()
    for name in (PROTEIN_CODING, *GENE_SETS):
        table = gene_set(name).table
        columns = [name for name in ("symbol", "former_symbols") if name in table]
        # as one text, which takes a tenth of the time of one by one
        known.update(*(" ".join(table[column].tolist()).upper().split() for column in columns))
    return frozenset(known)


def _near(missing: Sequence[str], extra: Sequence[str]) -> list[str]:
    """A note on names that differ only in case: the same gene, or another species' one; the user must say."""
    by_case = {name.upper(): name for name in extra}
    near = [f"{name} ({by_case[name.upper()]})" for name in missing if name.upper() in by_case]
    if not near:
        return []
    return [
        f"{len(near):,} genes of the model are absent but for their case: {some(near)}; if they are the same genes, "
        "write the names as the model does"
    ]


# --- refusals ---


def _refuse_blank(names: Sequence[str], source: str) -> None:
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise DataFormatError(f"{source}: gene number {position} has no name; name it or remove it")


def _refuse_two_versions(names: Sequence[str], source: str) -> None:
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(_stripped(name), name)
        if other != name:
            raise DataFormatError(
                f"{source}: {other} and {name} are the same gene in two versions; keep the one that is meant"
            )


def _others(names: Sequence[str], parts: Sequence[object], kind: str) -> tuple[str, ...]:
    rest = [name for name, part in zip(names, parts) if part is None]
    return (f"{len(rest):,} of {len(names):,} gene names are no {kind}: {some(rest)}",) if rest else ()
