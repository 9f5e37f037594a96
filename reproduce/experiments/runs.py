"""Keeps what a companion study's runs give, in parallel, one CSV a question; never knows what a run computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.experiments.provenance import code_fingerprint
from reproduce.experiments.workers import in_workers
from reproduce.files import write_table

IDENTITY, CODE = "run_id", "code"
#: How runs are kept and handed out, and estimators are saved, changes no number.
_ASIDE = frozenset({
    "reproduce.experiments.runs", "reproduce.experiments.workers", "reproduce.machine", "reproduce.saved_estimators"
})  # fmt: skip


class Fingerprinted(Protocol):
    """Data that can tell whether they are the same."""

    def fingerprint(self) -> str:
        """Digest of all that a result can rest on."""


@dataclass(frozen=True)
class Run:
    """One thing to compute.

    Attributes
    ----------
    work : callable
        ``work(data, **arguments)`` gives a DataFrame; without data ``work(**arguments)``. A function of a module.
    arguments : mapping
        Plain values.
    """

    work: Callable[..., pd.DataFrame]
    arguments: Mapping[str, object]

    def run_id(self, of_data: str) -> str:
        """Identity of what is asked: work, arguments and data."""
        content = [self.work.__module__, self.work.__name__, dict(self.arguments), of_data]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def code(self) -> str:
        """Fingerprint of what answers: the work's module and all of this package that it imports."""
        return code_fingerprint(self.work.__module__, core=(), aside=_ASIDE)


def run_all(
    runs: Sequence[Run], data: Fingerprinted | None, folder: str | Path, name: str, n_jobs: int = 1
) -> pd.DataFrame:
    """The rows of every run; what ``folder/name.csv`` holds already, made by the same code of the same data, is kept.

    Rows of other runs (of other data, of other arguments) stay in the file and are not returned; rows that other code
    made of the same run are replaced.

    Parameters
    ----------
    runs : sequence of Run
    data : object with a method ``fingerprint``, or None
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
    of_data = "" if data is None else data.fingerprint()
    wanted = {run.run_id(of_data): run for run in runs}
    code = {key: run.code() for key, run in wanted.items()}
    kept = _read(path) if path.exists() else pd.DataFrame({IDENTITY: [], CODE: []}, dtype=str)
    current = set(zip(kept[IDENTITY], kept[CODE], strict=True))
    todo = [(key, run) for key, run in wanted.items() if (key, code[key]) not in current]
    failures = []
    for key, found in in_workers(partial(_run, data), todo, n_jobs):
        if isinstance(found, str):
            failures.append(found)
            continue
        found.insert(0, IDENTITY, key)
        found.insert(1, CODE, code[key])
        others = kept[kept[IDENTITY] != key]
        kept = pd.concat([part for part in (others, _as_kept(found)) if len(part)], ignore_index=True).fillna("")
        write_table(kept, folder, name)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(runs)} runs failed; the first: {failures[0]}")
    order = {key: position for position, key in enumerate(wanted)}
    # a table that was merged may hold a run by other code as well
    asked = kept[IDENTITY].isin(list(wanted))
    by_this_code = asked & (kept[CODE] == kept[IDENTITY].map(code))
    rows = kept[by_this_code].sort_values(IDENTITY, key=lambda keys: keys.map(order), kind="stable")
    write_table(pd.concat([kept[~asked], rows]), folder, name)
    # as it is kept, so that a repeated run has the same digits; an identity may be all digits
    return pd.read_csv(StringIO(rows.to_csv(index=False)), dtype={IDENTITY: str, CODE: str})


def _read(path: Path) -> pd.DataFrame:
    """A table as text, so that rows which are not asked for are written back letter by letter.

    Raises
    ------
    DataFormatError
        For a table that this module has not written.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in (IDENTITY, CODE) if name not in table]:
        raise DataFormatError(f"{path} has no column {absent[0]!r}; move it away, and its runs are computed anew.")
    return table


def _as_kept(found: pd.DataFrame) -> pd.DataFrame:
    """New rows as `_read` would give them."""
    with TemporaryDirectory() as folder:
        return _read(write_table(found, folder, "found"))


def _run(data: Fingerprinted | None, item: tuple[str, Run]) -> list[tuple[str, pd.DataFrame | str]]:
    key, run = item
    given = [] if data is None else [data]
    try:
        found = run.work(*given, **run.arguments)
        if found.empty:  # it could not be told from a run that was never done
            raise ValueError("it gave no rows")
        return [(key, found)]
    except Exception as error:  # what one run raises must not lose the others
        return [(key, f"{run.work.__name__} with {dict(run.arguments)}: {type(error).__name__}: {error}")]
