"""Times whole transcriptomes and matrices larger than memory with the low-rank normal; prints, never judges.

Every figure is one process of its own: seconds of fitting and of filling, largest resident memory of the whole process,
and R² on hidden entries beside that of the law that the rows were drawn from. The rows are simulated, a block at a time
by a seed of its own, so that the truth can be drawn again where it is needed and is never held:

    x = m_t + L f + s ∘ e,    f, e ~ N(0, I),    with a mean m_t for each of 49 tissues.

    python -m reproduce.benchmarks_large            # 15,201 × 12,557, and files of 25,000 and 50,000 × 5,000
    python -m reproduce.benchmarks_large --quick    # the same shapes in small
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import ReproduceError

N_TISSUES, N_FACTORS, MISSING_RATE = 49, 40, 0.5
#: Share of a gene's variance within a tissue that is noise: from, to; sd of tissues' means in units of that sd.
NOISE_SHARES, TISSUE_SD = (0.1, 0.5), 0.7
#: Rows drawn by one seed; blocks of them that R² is computed on.
DRAWN_ROWS, SCORED_BLOCKS = 500, 3
#: Share of rows that "inductive" is fitted to, the rest being filled.
FITTED = 0.75
KINDS = ("inductive", "in_place", "streamed")


@dataclass(frozen=True)
class Subject:
    """One measurement: `kind` of `KINDS`, the matrix's shape, factors of the fit, and the seed of rows and fit."""

    kind: str
    n_rows: int
    n_genes: int
    rank: int = N_FACTORS
    seed: int = 0


SUBJECTS = (
    Subject("inductive", 15_201, 12_557),
    Subject("in_place", 15_201, 12_557),
    Subject("streamed", 25_000, 5_000),
    Subject("streamed", 50_000, 5_000),
)


class SimulatedRows:
    """Rows of a known law, drawn block by block; attributes as in the module's equation."""

    def __init__(self, subject: Subject):
        self.n_rows, self.seed = subject.n_rows, subject.seed
        generator = np.random.default_rng([subject.seed, 0])
        loadings = generator.standard_normal((subject.n_genes, N_FACTORS)) * np.geomspace(3, 0.5, N_FACTORS)
        noise = generator.uniform(*NOISE_SHARES, subject.n_genes)
        loadings *= (np.sqrt(1 - noise) / np.linalg.norm(loadings, axis=1))[:, None]
        self.loadings, self.noise = loadings.astype(np.float32), noise.astype(np.float32)
        self.means = generator.normal(7, TISSUE_SD, (N_TISSUES, subject.n_genes)).astype(np.float32)
        self.tissues = np.arange(subject.n_rows) % N_TISSUES

    def blocks(self) -> list[slice]:
        starts = range(0, self.n_rows, DRAWN_ROWS)
        return [slice(start, min(start + DRAWN_ROWS, self.n_rows)) for start in starts]

    def draw(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """One of the blocks: values in float32, and which entries are hidden, both (n_rows, n_genes)."""
        generator = np.random.default_rng([self.seed, 1, rows.start])
        n, (p, k) = rows.stop - rows.start, self.loadings.shape
        X = generator.standard_normal((n, p), dtype=np.float32) * np.sqrt(self.noise)
        X += generator.standard_normal((n, k), dtype=np.float32) @ self.loadings.T
        X += self.means[self.tissues[rows]]
        return X, generator.random((n, p), dtype=np.float32) < MISSING_RATE

    def with_holes(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All blocks with NaN where hidden."""
        for rows in self.blocks():
            X, hidden = self.draw(rows)
            X[hidden] = np.nan
            yield rows, X

    def scores(self, filled: object, first: int = 0) -> dict[str, float]:
        """R² on hidden entries, of what was filled and of the law itself, over the last blocks of rows.

        Parameters
        ----------
        filled : object
            Gives rows by ``filled[start:stop]``, from row `first` of the matrix on.
        first : int
        """
        from reproduce.imputers._low_rank_normal import LowRankNormal, conditional_mean

        law = LowRankNormal.of(self.loadings, self.noise)
        whole = [rows for rows in self.blocks() if rows.start >= first]
        center = self.means.mean(axis=0)
        total = errors = least = 0.0
        for rows in whole[-SCORED_BLOCKS:]:
            X, hidden = self.draw(rows)
            means = self.means[self.tissues[rows]]
            best = means + conditional_mean(np.where(hidden, 0, X - means), ~hidden, law)
            found = np.asarray(filled[rows.start - first : rows.stop - first])
            total += np.sum(np.square(X - center), where=hidden, dtype=np.float64)
            errors += np.sum(np.square(X - found), where=hidden, dtype=np.float64)
            least += np.sum(np.square(X - best), where=hidden, dtype=np.float64)
        return {"r2": 1 - errors / total, "r2_of_the_law": 1 - least / total}


def main(*, quick: bool = False) -> pd.DataFrame:
    """Measure every subject, print the table and return it.

    Parameters
    ----------
    quick : bool
        A tenth of the rows and of the genes.

    Returns
    -------
    DataFrame
        One row a subject: ``kind``, ``n_rows``, ``n_genes``, ``rank``, ``seed``, ``fit_seconds``, ``impute_seconds``,
        ``cpu_seconds`` (of both, over all threads: what a busy machine leaves comparable), ``n_rounds``,
        ``peak_memory_gb``, ``r2``, ``r2_of_the_law``, ``threads``, ``processor``.
    """
    records = []
    for subject in SUBJECTS:
        if quick:
            subject = replace(subject, n_rows=subject.n_rows // 10, n_genes=subject.n_genes // 10)
        record = measure(subject)
        print(
            f"{subject.kind}, {subject.n_rows:,} x {subject.n_genes:,}: fit {record['fit_seconds']:.1f} s, impute "
            f"{record['impute_seconds']:.1f} s, {record['peak_memory_gb']:.2f} GB, R2 {record['r2']:.4f} "
            f"(law {record['r2_of_the_law']:.4f})",
            flush=True,
        )
        records.append(record)
    return pd.DataFrame(records)


def measure(subject: Subject) -> dict[str, object]:
    """One subject's row of the table of `main`, measured in a fresh process.

    Raises
    ------
    ReproduceError
        If that process fails, with its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        if subject.kind == "streamed":
            _child("write", subject, folder)
        record = _child(subject.kind, subject, folder)
        if subject.kind == "streamed":
            record |= _child("score", subject, folder)
    described = {
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "processor": f"{os.cpu_count()} x {platform.machine()}",
    }
    return asdict(subject) | record | described


def _child(what: str, subject: Subject, folder: str) -> dict[str, float]:
    command = [sys.executable, "-m", "reproduce.benchmarks_large", what, json.dumps(asdict(subject)), folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ReproduceError(f"The benchmark {subject} failed at {what}:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# in the fresh process


def _run(what: str, subject: Subject, folder: Path) -> dict[str, float]:
    rows = SimulatedRows(subject)
    if what == "write":
        return _write(rows, folder)
    if what == "streamed":
        return _streamed(rows, subject, folder)
    if what == "score":
        import zarr

        return rows.scores(zarr.open_array(folder / "filled.zarr", mode="r"))
    return _in_memory(rows, subject, inductive=what == "inductive")


def _in_memory(rows: SimulatedRows, subject: Subject, *, inductive: bool) -> dict[str, float]:
    from reproduce.imputers._low_rank_groups import FitOptions, fit_groups

    first = DRAWN_ROWS * round(FITTED * subject.n_rows / DRAWN_ROWS) if inductive else 0
    X = np.empty((subject.n_rows, subject.n_genes), np.float32)
    for part in rows.blocks():
        X[part], hidden = rows.draw(part)
        if part.start >= first:
            X[part][hidden] = np.nan
    observed = ~np.isnan(X)
    fitted_rows = slice(0, first or None)
    options = FitOptions(shared=True, pooling=20.0, max_iter=100, tol=3e-5, kind=np.float32)
    generator = np.random.default_rng(subject.seed)
    start, begun = time.perf_counter(), time.process_time()
    fitted = fit_groups(
        X[fitted_rows], observed[fitted_rows], rows.tissues[fitted_rows], [subject.rank], options, generator
    )[subject.rank]
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    filled = fitted.filled(X[first:], observed[first:], rows.tissues[first:])
    np.copyto(filled, X[first:], where=observed[first:])
    return _measured(fit_seconds, time.perf_counter() - start, begun, fitted.n_rounds) | rows.scores(filled, first)


def _write(rows: SimulatedRows, folder: Path) -> dict[str, float]:
    from reproduce.loaders.row_files import RowSource, write_rows

    shape = np.broadcast_to(np.float32(0), (rows.n_rows, len(rows.noise)))
    with write_rows(folder / "rows.zarr", RowSource(shape, "simulated")) as write:
        for part, X in rows.with_holes():
            write(part, X)
    return {}


def _streamed(rows: SimulatedRows, subject: Subject, folder: Path) -> dict[str, float]:
    from reproduce.chunked import fit_low_rank_in_chunks, impute_in_chunks

    tissues = [f"tissue {tissue}" for tissue in rows.tissues]
    source = folder / "rows.zarr"
    start, begun = time.perf_counter(), time.process_time()
    fit = fit_low_rank_in_chunks(source, groups=tissues, rank=subject.rank, random_state=subject.seed)
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    impute_in_chunks(source, folder / "filled.zarr", fit, groups=tissues)
    return _measured(fit_seconds, time.perf_counter() - start, begun, fit.n_rounds)


def _measured(fit_seconds: float, impute_seconds: float, begun: float, n_rounds: int) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform != "darwin" else 1)
    return {
        "fit_seconds": fit_seconds,
        "impute_seconds": impute_seconds,
        "cpu_seconds": time.process_time() - begun,
        "n_rounds": n_rounds,
        "peak_memory_gb": peak / 2**30,
    }


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--quick"]):
        main(quick=len(sys.argv) > 1)
    else:
        print(json.dumps(_run(sys.argv[1], Subject(**json.loads(sys.argv[2])), Path(sys.argv[3]))))
