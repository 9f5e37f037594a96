"""Refuses matrices that cannot be imputed, naming the sample or gene and what to do; changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.loaders.container import refuse_duplicates, some
from reproduce.matrices._spreadsheet import refuse_mangled


def check_names(frame: pd.DataFrame, path: Path) -> None:
    """Refuse absent, blank and duplicate names of samples and genes, and genes that a spreadsheet has mangled."""
    for names, kind in ((frame.index, "sample"), (frame.columns, "gene")):
        if not len(names):
            raise DataFormatError(f"{path}: there are no {kind}s; give a matrix with at least one")
        blank = np.flatnonzero(names.str.strip() == "")
        if len(blank):
            raise DataFormatError(f"{path}: {kind} number {blank[0] + 1} has no name; name it or remove it")
        refuse_duplicates(names, kind, str(path))
    refuse_mangled(frame.columns, str(path))


def check_values(frame: pd.DataFrame, path: Path, *, keep_empty_genes: bool) -> list[str]:
    """Refuse infinite values and what holds none; return notes on what is missing."""
    values = frame.to_numpy()
    infinite = np.isinf(values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataFormatError(
            f"{path}: sample {frame.index[row]}, gene {frame.columns[column]}: the value is infinite "
            f"({infinite.sum():,} such values); make it missing if it is not known"
        )
    missing = np.isnan(values)
    if missing.all():
        raise DataFormatError(
            f"{path}: no entry has a value; there is nothing to learn from, so give a matrix with numbers"
        )
    empty = frame.columns[missing.all(axis=0)]
    if len(empty) and not keep_empty_genes:
        raise DataFormatError(
            f"{path}: {len(empty):,} genes have no value in any sample: {some(empty)}; nothing in this matrix "
            "says what they are, so remove them, or fill them with a model fitted to a matrix that has them"
        )
    without = frame.index[missing.all(axis=1)]
    notes = [f"{missing.mean():.1%} of {frame.shape[0]:,} samples × {frame.shape[1]:,} genes is missing"]
    if len(empty):
        notes.append(f"{len(empty):,} genes have no value in any sample: {some(empty)}")
    if len(without):
        notes.append(f"{len(without):,} samples have no value at all and can only get what is typical: {some(without)}")
    return notes
