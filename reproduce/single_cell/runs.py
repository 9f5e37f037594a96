"""Keeps what single runs give, in parallel, in one CSV a question; never knows what a run computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.experiments.provenance import ROOT, parsed
from reproduce.experiments.provenance import code_fingerprint as method_fingerprint
from reproduce.experiments.workers import in_workers
from reproduce.files import write_table
from reproduce.single_cell.counts import CountData

IDENTITY = "run_id"
#: Not on the way of any number.
_ASIDE = ("benchmark.py",)


@dataclass(frozen=True)
class Run:
    """One thing to compute.

    Attributes
    ----------
    work : callable
        ``work(data, **arguments)`` gives a DataFrame; a function of a module.
    arguments : mapping
        Plain values.
    rests_on : str, optional
        A module outside this package that the result rests on as well.
    """

    work: Callable[..., pd.DataFrame]
    arguments: Mapping[str, object]
    rests_on: str = ""

    def run_id(self, fingerprint: str) -> str:
        """Identity of the result by the present code on the data with the given fingerprint."""
        code = [code_fingerprint(), method_fingerprint(self.rests_on) if self.rests_on else ""]
        content = [self.work.__module__, self.work.__name__, dict(self.arguments), fingerprint, code]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def run_all(runs: Sequence[Run], data: CountData | None, folder: str | Path, name: str, n_jobs: int = 1):
    """The rows of every run; what ``folder/name.csv`` holds already, made by the same code of the same data, is kept.

    Parameters
    ----------
    runs : sequence of Run
    data : CountData or None
        What every run gets first; None for runs that draw their own.
    folder : path-like
    name : str
        File name without its ending; written after each run, so that an interrupted run goes on from there.
    n_jobs : int, default 1
        Processes.

    Returns
    -------
    DataFrame
        In the order of the runs.

    Raises
    ------
    RuntimeError
        If a run failed, after all others have been run and kept.
    """
    path = Path(folder) / f"{name}.csv"
    fingerprint = "" if data is None else fingerprint_of(data)
    wanted = {run.run_id(fingerprint): run for run in runs}
    kept = _read(path) if path.exists() else pd.DataFrame({IDENTITY: []})
    kept = kept[kept[IDENTITY].isin(list(wanted))]
    todo = [(key, run) for key, run in wanted.items() if key not in set(kept[IDENTITY])]
    failures = []
    for key, found in in_workers(partial(_run, data), todo, n_jobs):
        if isinstance(found, str):
            failures.append(found)
            continue
        found.insert(0, IDENTITY, key)
        kept = pd.concat([part for part in (kept, found) if len(part)], ignore_index=True)
        write_table(kept, folder, name)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(runs)} runs failed; the first: {failures[0]}")
    order = {key: position for position, key in enumerate(wanted)}
    kept = kept.sort_values(IDENTITY, key=lambda keys: keys.map(order), kind="stable", ignore_index=True)
    write_table(kept, folder, name)
    return _read(path)  # as it is kept, so that a repeated run has the same digits


def _read(path: Path) -> pd.DataFrame:
    # an identity may be all digits
    return pd.read_csv(path, dtype={IDENTITY: str})


def _run(data: CountData | None, item: tuple[str, Run]) -> list[tuple[str, pd.DataFrame | str]]:
    key, run = item
    given = [] if data is None else [data]
    try:
        return [(key, run.work(*given, **run.arguments))]
    except Exception as error:  # what one run raises must not lose the others
        return [(key, f"{run.work.__name__} with {dict(run.arguments)}: {type(error).__name__}: {error}")]


@cache
def code_fingerprint() -> str:
    """Digest of the code of this package; wording does not count."""
    paths = [path for path in sorted((ROOT / "single_cell").glob("*.py")) if path.name not in _ASIDE]
    paths += [ROOT / "models" / "layers.py"]
    sources = [parsed(path.read_text(encoding="utf-8"))[0] for path in paths]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:12]


def fingerprint_of(data: CountData) -> str:
    """Digest of counts, names and labels."""
    digest = hashlib.sha256()
    for part in (data.counts.data, data.counts.indices, data.counts.indptr):
        digest.update(np.ascontiguousarray(part).tobytes())
    for names in (data.genes, data.labels):
        digest.update("\0".join(map(str, names)).encode())
    return digest.hexdigest()[:12]
