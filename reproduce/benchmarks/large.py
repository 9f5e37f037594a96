"""Times whole transcriptomes and matrices larger than memory, with peak memory; never judges.

Beside R² on hidden entries stands that of the law that the rows were drawn from: nothing does better.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.benchmarks.processes import Way, timed
from reproduce.benchmarks.simulated import DRAWN_ROWS, N_FACTORS, SimulatedRows
from reproduce.benchmarks.table import Subject

_HERE = "reproduce.benchmarks.large"
MISSING_RATE = 0.5
#: Share of rows that inductive subjects are fitted to, the rest being filled.
FITTED = 0.75
#: GTEx's protein-coding genes as the paper takes them.
TRANSCRIPTOME, QUICK_TRANSCRIPTOME = (15_201, 12_557), (1_520, 1_255)
REQUIRED_GB = 4.0
#: Rows of the files, and their genes; the largest takes half an hour and more, and its room on disk.
FILES, QUICK_FILES = (25_000, 50_000, 100_000), (1_000, 2_000)
FILE_GENES, QUICK_FILE_GENES = 20_000, 1_000
LARGEST_FILE = 200_000
#: Of the law's factors, as many are fitted.
RANK = N_FACTORS
#: What the file with holes and the filled one take beside their values.
DISK_MARGIN = 1.1


def transcriptome_subjects(*, quick: bool) -> list[Subject]:
    """A whole transcriptome in memory: the low-rank normal inductively and in place, and PMI unless `quick`."""
    rows, genes = QUICK_TRANSCRIPTOME if quick else TRANSCRIPTOME
    size = {"rows": rows, "genes": genes, "missing_rate": MISSING_RATE}
    common = {"part": "transcriptome", **size}
    note = f"fitted to {FITTED:.0%} of the rows, complete; the others are filled"
    subjects = [
        Subject(
            **common,
            label="Low-rank Gaussian, inductive",
            key="low_rank",
            way=Way(f"{_HERE}:fill_by_low_rank", size | {"inductive": True}),
            required_seconds=30.0,
            required_gb=REQUIRED_GB,
            note=note,
        ),
        Subject(
            **common,
            label="Low-rank Gaussian, in place",
            key="low_rank",
            way=Way(f"{_HERE}:fill_by_low_rank", size | {"inductive": False}),
            required_seconds=60.0,
            required_gb=REQUIRED_GB,
            note="in place",
        ),
    ]
    if not quick:  # the import of TensorFlow alone takes a good part of a quick run's time
        way = Way(f"{_HERE}:fill_by_pmi", size)
        subjects.append(Subject(**common, label="PMI, inductive", key="pmi", way=way, note=f"{note}; its defaults"))
    return subjects


def file_subjects(*, quick: bool, largest: bool = False) -> list[Subject]:
    """Matrices on disk, fitted and filled in chunks of rows.

    Parameters
    ----------
    quick : bool
    largest : bool
        Also `LARGEST_FILE` rows; not in a quick run.
    """
    rows = QUICK_FILES if quick else FILES + (LARGEST_FILE,) * largest
    return [_file_subject(n, QUICK_FILE_GENES if quick else FILE_GENES) for n in rows]


def _file_subject(rows: int, genes: int) -> Subject:
    size = {"rows": rows, "genes": genes, "missing_rate": MISSING_RATE}
    return Subject(
        part="larger_than_memory",
        label="Low-rank Gaussian, zarr to zarr",
        key="low_rank_in_chunks",
        **size,
        way=Way(f"{_HERE}:fill_file", size),
        before=Way(f"{_HERE}:write_file", size),
        after=Way(f"{_HERE}:score_file", size),
        required_gb=REQUIRED_GB,
        disk_bytes=int(2 * 4 * rows * genes * DISK_MARGIN),
        note=f"in place, {4 * rows * genes / 1e9:.1f} GB of values",
    )


# in the fresh process


def fill_by_low_rank(rows: int, genes: int, missing_rate: float, inductive: bool, seed: int) -> dict[str, float]:
    """Fit the low-rank normal and fill, in memory and single precision."""
    from reproduce.imputers._low_rank_groups import FitOptions, fit_groups

    drawn = SimulatedRows(rows, genes, missing_rate, seed)
    first = _first_filled(rows) if inductive else 0
    X = _matrix(drawn, first)
    observed = ~np.isnan(X)
    fitted_rows = slice(0, first or None)
    options = FitOptions(shared=True, pooling=20.0, max_iter=100, tol=3e-5, kind=np.float32)
    generator = np.random.default_rng(seed)
    with timed() as fit:
        fitted = fit_groups(
            X[fitted_rows], observed[fitted_rows], drawn.tissues[fitted_rows], [RANK], options, generator
        )[RANK]
    with timed() as impute:
        filled = fitted.filled(X[first:], observed[first:], drawn.tissues[first:])
        np.copyto(filled, X[first:], where=observed[first:])
    return _both(fit, impute, rows) | drawn.scores(filled, first)


def fill_by_pmi(rows: int, genes: int, missing_rate: float, seed: int) -> dict[str, float]:
    """Train PMI on complete rows with its defaults and fill others; its import of TensorFlow is apart."""
    import keras  # noqa: F401

    from reproduce.imputers import make_imputer

    drawn = SimulatedRows(rows, genes, missing_rate, seed)
    first = _first_filled(rows)
    X = _matrix(drawn, first)
    tissue = pd.DataFrame({"tissue": drawn.tissue_names})
    imputer = make_imputer("pmi", random_state=seed)
    with timed() as fit:
        imputer.fit(X[:first], covariates=tissue[:first])
    with timed() as impute:
        filled = np.asarray(imputer.transform(X[first:], covariates=tissue[first:]))
    return _both(fit, impute, rows) | drawn.scores(filled, first)


def write_file(rows: int, genes: int, missing_rate: float, seed: int, folder: str) -> dict[str, float]:
    """Write the simulated rows with their holes."""
    from reproduce.loaders.row_files import RowSource, write_rows

    drawn = SimulatedRows(rows, genes, missing_rate, seed)
    shape = np.broadcast_to(np.float32(0), (rows, genes))
    with timed() as spent, write_rows(Path(folder) / "rows.zarr", RowSource(shape, "simulated")) as write:
        for part, X in drawn.with_holes():
            write(part, X)
    return {"write_seconds": spent["seconds"]}


def fill_file(rows: int, genes: int, missing_rate: float, seed: int, folder: str) -> dict[str, float]:
    """Fit the file in chunks of rows and fill it into another."""
    from reproduce.chunked import fit_low_rank_in_chunks, impute_in_chunks

    tissues = SimulatedRows(rows, genes, missing_rate, seed).tissue_names
    source = Path(folder) / "rows.zarr"
    with timed() as fit_time:
        fit = fit_low_rank_in_chunks(source, groups=tissues, rank=RANK, random_state=seed)
    with timed() as impute_time:
        impute_in_chunks(source, Path(folder) / "filled.zarr", fit, groups=tissues)
    return _both(fit_time, impute_time, rows)


def score_file(rows: int, genes: int, missing_rate: float, seed: int, folder: str) -> dict[str, float]:
    """R² of the filled file's last rows, and the law's."""
    import zarr

    return SimulatedRows(rows, genes, missing_rate, seed).scores(
        zarr.open_array(Path(folder) / "filled.zarr", mode="r")
    )


def _first_filled(rows: int) -> int:
    """First row that an inductive subject fills: where a block of drawn rows starts."""
    return DRAWN_ROWS * round(FITTED * rows / DRAWN_ROWS)


def _matrix(drawn: SimulatedRows, first: int) -> np.ndarray:
    """All rows in float32, with holes from row `first` on."""
    X = np.empty((drawn.n_rows, drawn.n_genes), np.float32)
    for part in drawn.blocks():
        X[part], hidden = drawn.draw(part)
        if part.start >= first:
            X[part][hidden] = np.nan
    return X


def _both(fit: Mapping[str, float], impute: Mapping[str, float], rows: int) -> dict[str, float]:
    seconds = fit["seconds"] + impute["seconds"]
    return {
        "seconds": seconds,
        "cpu_seconds": fit["cpu_seconds"] + impute["cpu_seconds"],
        "fit_seconds": fit["seconds"],
        "impute_seconds": impute["seconds"],
        "seconds_per_1000_rows": 1000 * seconds / rows,
    }
