"""Times whole transcriptomes and matrices larger than memory, with peak memory; never judges.

Beside R² on hidden entries stands that of the law that the rows were drawn from: nothing does better. Only what a user
calls is timed.
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
#: Of a network that is trained on a file: enough to see time and memory, fewer than its default.
FILE_EPOCHS = 40
#: Of the law's factors, as many are fitted where the number is given.
RANK = N_FACTORS
#: By how much R² may stay below the law's.
R2_TOLERANCE = 0.005
#: Rows of an array filled at a time.
FILLED_ROWS = 1_000
#: What the file with holes and the filled one take beside their values.
DISK_MARGIN = 1.1


def transcriptome_subjects(*, quick: bool) -> list[Subject]:
    """A whole transcriptome in memory: the low-rank normal in two ways, inductively and in place, and PMI.

    Its rank is given to `reproduce.chunked`, which keeps float32, and chosen by the imputer with its defaults. Nothing
    is asked of imputers with their defaults, and a quick run has none.
    """
    rows, genes = QUICK_TRANSCRIPTOME if quick else TRANSCRIPTOME
    size = {"rows": rows, "genes": genes, "missing_rate": MISSING_RATE}
    common = {"part": "transcriptome", **size}
    asked = {"required_gb": REQUIRED_GB, "r2_tolerance": R2_TOLERANCE}
    inductive = f"fitted to {FITTED:.0%} of the rows, complete; the others are filled"
    subjects = [
        Subject(
            **common,
            label="Low-rank Gaussian in chunks, inductive",
            key="low_rank_in_chunks",
            way=Way(f"{_HERE}:fill_in_chunks", size | {"inductive": True}),
            required_seconds=30.0,
            **asked,
            note=f"rank {RANK} given, the law's; {inductive}",
        ),
        Subject(
            **common,
            label="Low-rank Gaussian in chunks, in place",
            key="low_rank_in_chunks",
            way=Way(f"{_HERE}:fill_in_chunks", size | {"inductive": False}),
            required_seconds=60.0,
            **asked,
            note=f"rank {RANK} given, the law's; in place",
        ),
    ]
    return subjects if quick else [*subjects, *_by_default(common, size, inductive)]


def _by_default(common: dict, size: dict, inductive: str) -> list[Subject]:
    """What a user who gives nothing waits for: minutes, at any size."""

    def way(name: str, inductive: bool) -> Way:
        return Way(f"{_HERE}:fill_by_imputer", size | {"name": name, "inductive": inductive})

    chosen = "its defaults, rank and shrinkage chosen"
    return [
        Subject(
            **common,
            label="Low-rank Gaussian, inductive",
            key="low_rank",
            way=way("low_rank", True),
            note=f"{chosen}; {inductive}",
        ),
        Subject(
            **common,
            label="Low-rank Gaussian, in place",
            key="low_rank",
            way=way("low_rank", False),
            note=f"{chosen}; in place",
        ),
        Subject(**common, label="PMI, inductive", key="pmi", way=way("pmi", True), note=f"its defaults; {inductive}"),
    ]


def file_subjects(*, quick: bool) -> list[Subject]:
    """Matrices on disk, fitted and filled in chunks of rows."""
    genes = QUICK_FILE_GENES if quick else FILE_GENES
    return [_file_subject("larger_than_memory", rows, genes) for rows in (QUICK_FILES if quick else FILES)]


def largest_file_subjects(*, quick: bool) -> list[Subject]:
    """The same with `LARGEST_FILE` rows, a part of its own, so that its row and machine stay where it is left out.

    None in a quick run.
    """
    return [] if quick else [_file_subject("largest_file", LARGEST_FILE, FILE_GENES)]


def network_file_subjects(*, quick: bool) -> list[Subject]:
    """A network trained on a file and filling it; none in a quick run, since it imports TensorFlow."""
    if quick:
        return []
    size = {"rows": FILES[0], "genes": FILE_GENES, "missing_rate": MISSING_RATE}
    gigabytes = 4 * FILES[0] * FILE_GENES / 1e9
    return [
        Subject(
            part="networks_from_disk",
            label="PMI, zarr to zarr",
            key="pmi_in_chunks",
            **size,
            way=Way(f"{_HERE}:fill_file_by_network", size | {"epochs": FILE_EPOCHS}),
            before=Way(f"{_HERE}:write_file", size),
            after=Way(f"{_HERE}:score_file", size),
            required_gb=REQUIRED_GB,
            disk_bytes=int(2 * 1e9 * gigabytes * DISK_MARGIN),
            note=f"{FILE_EPOCHS} epochs, its defaults otherwise; in place, {gigabytes:.1f} GB of values",
        )
    ]


def _file_subject(part: str, rows: int, genes: int) -> Subject:
    size = {"rows": rows, "genes": genes, "missing_rate": MISSING_RATE}
    return Subject(
        part=part,
        label="Low-rank Gaussian, zarr to zarr",
        key="low_rank_in_chunks",
        **size,
        way=Way(f"{_HERE}:fill_file", size),
        before=Way(f"{_HERE}:write_file", size),
        after=Way(f"{_HERE}:score_file", size),
        required_gb=REQUIRED_GB,
        r2_tolerance=R2_TOLERANCE,
        disk_bytes=int(2 * 4 * rows * genes * DISK_MARGIN),
        note=f"rank {RANK} given, the law's; in place, {4 * rows * genes / 1e9:.1f} GB of values",
    )


# in the fresh process


def fill_in_chunks(rows: int, genes: int, missing_rate: float, inductive: bool, seed: int) -> dict[str, float]:
    """Fit the low-rank normal of given rank to an array in float32, and fill its rows block by block where they lie."""
    from reproduce.chunked import fit_low_rank_in_chunks

    drawn = SimulatedRows(rows, genes, missing_rate, seed)
    first = _first_filled(rows) if inductive else 0
    X, tissues = _matrix(drawn, first), np.array(drawn.tissue_names)
    fitted_rows = slice(0, first or None)
    with timed() as fit_time:
        fit = fit_low_rank_in_chunks(X[fitted_rows], groups=tissues[fitted_rows], rank=RANK, random_state=seed)
    with timed() as impute_time:
        codes = 1 + pd.Index(fit.group_names).get_indexer(tissues)
        for start in range(first, rows, FILLED_ROWS):
            part = slice(start, start + FILLED_ROWS)
            X[part] = fit.filled(X[part], codes[part])
    return _both(fit_time, impute_time, rows) | drawn.scores(X[first:], first)


def fill_by_imputer(
    name: str, rows: int, genes: int, missing_rate: float, inductive: bool, seed: int
) -> dict[str, float]:
    """Fit a method of `reproduce.imputers` with its defaults and fill, in memory."""
    if name == "pmi":
        import keras  # noqa: F401 (its import, and TensorFlow's, counts for the whole process alone)

    from reproduce.imputers import make_imputer

    drawn = SimulatedRows(rows, genes, missing_rate, seed)
    first = _first_filled(rows) if inductive else 0
    X, tissue = _matrix(drawn, first), pd.DataFrame({"tissue": drawn.tissue_names})
    fitted_rows = slice(0, first or None)
    imputer = make_imputer(name, random_state=seed)
    with timed() as fit:
        imputer.fit(X[fitted_rows], covariates=tissue[fitted_rows])
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


def fill_file_by_network(
    rows: int, genes: int, missing_rate: float, epochs: int, seed: int, folder: str
) -> dict[str, float]:
    """Train PMI on the file and fill it into another; the import of TensorFlow counts for the whole process alone."""
    import keras  # noqa: F401

    from reproduce.chunked import fit_network_in_chunks, transform_in_chunks
    from reproduce.imputers import make_imputer

    tissue = pd.DataFrame({"tissue": SimulatedRows(rows, genes, missing_rate, seed).tissue_names})
    source, imputer = Path(folder) / "rows.zarr", make_imputer("pmi", epochs=epochs, random_state=seed)
    with timed() as fit_time:
        fit_network_in_chunks(imputer, source, covariates=tissue)
    with timed() as impute_time:
        transform_in_chunks(imputer, source, Path(folder) / "filled.zarr", covariates=tissue)
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
