"""Subjects of the benchmark, their rows, which of them keep what is asked, and the table on disk; never measures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.benchmarks.processes import Way
from reproduce.errors import DataFormatError
from reproduce.files import write_json, write_table

TABLE, MACHINE = "benchmarks", "benchmarks-machine.json"
COLUMNS = (
    "part", "subject", "key", "against", "rows", "genes", "missing_rate", "quick", "repeats", "against_repeats",
    "seconds", "least", "most", "cpu_seconds", "process_seconds", "fit_seconds", "impute_seconds",
    "seconds_per_1000_rows", "against_seconds", "against_least", "against_most", "against_cpu_seconds",
    "against_process_seconds", "times_faster", "least_times_faster", "most_times_faster", "process_times_faster",
    "required", "required_seconds", "required_gb", "r2_tolerance", "peak_memory_gb", "r2", "against_r2", "note",
)  # fmt: skip
_TEXTS = ("part", "subject", "key", "against", "note")


@dataclass(frozen=True)
class Subject:
    """What is measured, at one size.

    Attributes
    ----------
    part : str
        Part of the benchmark.
    label, key : str
        For readers, and the name that the code uses.
    rows, genes : int
    missing_rate : float
        Fraction hidden of the rows that are filled.
    way : Way
        Its record holds ``seconds`` and ``cpu_seconds``, and may hold ``fit_seconds``, ``impute_seconds``,
        ``seconds_per_1000_rows``, ``r2`` and ``against_r2`` (of the law that the rows were drawn from).
    against : str
        The other way's name; empty if there is none.
    other_way : Way or None
    repeats : int
        Each with a seed of its own, from 0 on; both ways get it as the argument ``seed``.
    against_repeats : int or None
        Of the other way, where the subject itself is measured once; as many as `repeats` if None.
    required, required_seconds, required_gb : float
        The ratio that is asked for at least, the seconds and the peak memory (GiB) at most; NaN for none.
    r2_tolerance : float
        By how much R² may stay below that of the other way, or of the law, at most; NaN for any.
    before, after : Way or None
        Done in processes of their own before and after, not timed.
    disk_bytes : int
        Room that is needed on disk; the ways of such a subject get a temporary `folder` as an argument.
    note : str
    """

    part: str
    label: str
    key: str
    rows: int
    genes: int
    missing_rate: float
    way: Way
    against: str = ""
    other_way: Way | None = None
    repeats: int = 1
    against_repeats: int | None = None
    required: float = np.nan
    required_seconds: float = np.nan
    required_gb: float = np.nan
    r2_tolerance: float = np.nan
    before: Way | None = None
    after: Way | None = None
    disk_bytes: int = 0
    note: str = ""

    def describe(self) -> str:
        """For progress and errors."""
        return f"{self.part}: {self.label}, {self.rows:,} × {self.genes:,}"


@dataclass(frozen=True)
class Repeat:
    """Records of one repeat: of the subject, and of what it is measured against; None for what it left out."""

    own: dict[str, float] | None
    other: dict[str, float] | None = None


def table_row(subject: Subject, repeats: Sequence[Repeat], *, quick: bool) -> dict[str, object]:
    """A subject's row of the table.

    Parameters
    ----------
    subject : Subject
    repeats : sequence of Repeat
        At least one. Each has records of both ways, or the first alone has the subject's.
    quick : bool

    Returns
    -------
    dict
        Keys as in `COLUMNS`. Times are medians over the repeats, `times_faster` is the median of the repeats' ratios
        with their least and most, and `process_times_faster` that of whole processes; memory is the largest, R² the
        mean. What is asked for is asked at full size, so a quick row has none of it.
    """
    own = [repeat.own for repeat in repeats if repeat.own is not None]
    others = [repeat.other for repeat in repeats if repeat.other is not None]
    seconds = _values("seconds", own)
    times_faster = _ratios("seconds", own, others)
    of_other = _mean("r2", others) if others else _mean("against_r2", own)
    return {
        "part": subject.part,
        "subject": subject.label,
        "key": subject.key,
        "against": subject.against,
        "rows": subject.rows,
        "genes": subject.genes,
        "missing_rate": subject.missing_rate,
        "quick": quick,
        "repeats": len(own),
        "against_repeats": len(others),
        "seconds": float(np.median(seconds)),
        "least": float(seconds.min()),
        "most": float(seconds.max()),
        "cpu_seconds": _median("cpu_seconds", own),
        "process_seconds": _median("process_seconds", own),
        "fit_seconds": _median("fit_seconds", own),
        "impute_seconds": _median("impute_seconds", own),
        "seconds_per_1000_rows": _median("seconds_per_1000_rows", own),
        "against_seconds": _median("seconds", others),
        "against_least": float(_values("seconds", others).min()) if others else np.nan,
        "against_most": float(_values("seconds", others).max()) if others else np.nan,
        "against_cpu_seconds": _median("cpu_seconds", others),
        "against_process_seconds": _median("process_seconds", others),
        "times_faster": float(np.median(times_faster)),
        "least_times_faster": float(times_faster.min()),
        "most_times_faster": float(times_faster.max()),
        "process_times_faster": float(np.median(_ratios("process_seconds", own, others))),
        "required": np.nan if quick else subject.required,
        "required_seconds": np.nan if quick else subject.required_seconds,
        "required_gb": np.nan if quick else subject.required_gb,
        "r2_tolerance": np.nan if quick else subject.r2_tolerance,
        "peak_memory_gb": max(record["peak_memory_gb"] for record in own),
        "r2": _mean("r2", own),
        "against_r2": of_other,
        "note": subject.note,
    }


def _values(name: str, records: Iterable[dict[str, float]]) -> np.ndarray:
    return np.array([record.get(name, np.nan) for record in records], dtype=float)


def _median(name: str, records: Sequence[dict[str, float]]) -> float:
    return float(np.median(_values(name, records))) if records else np.nan


def _mean(name: str, records: Sequence[dict[str, float]]) -> float:
    return float(np.mean(_values(name, records)))


def _ratios(name: str, own: Sequence[dict[str, float]], others: Sequence[dict[str, float]]) -> np.ndarray:
    """How many times the subject's each other one's is: repeat by repeat, or each over the subject's only one."""
    return _values(name, others) / _values(name, own) if others else np.array([np.nan])


def misses(row: Mapping[str, object] | pd.Series) -> list[str]:
    """Which of the things that are asked of a row of the table it does not keep, by column; empty if it keeps all.

    What was not measured keeps nothing: a requirement beside an empty figure is missed.
    """
    kept = {
        "required": row["times_faster"] >= row["required"],
        "required_seconds": row["seconds"] <= row["required_seconds"],
        "required_gb": row["peak_memory_gb"] <= row["required_gb"],
        "r2_tolerance": row["against_r2"] - row["r2"] <= row["r2_tolerance"],
    }
    return [name for name, is_kept in kept.items() if pd.notna(row[name]) and not is_kept]


def asks_anything(row: Mapping[str, object] | pd.Series) -> bool:
    """Whether anything is asked of a row of the table."""
    return any(pd.notna(row[name]) for name in ("required", "required_seconds", "required_gb", "r2_tolerance"))


def read_benchmarks(folder: Path) -> tuple[pd.DataFrame, dict[str, dict]]:
    """The table of a folder and the machines of its parts, both empty if nothing was measured yet.

    Raises
    ------
    DataFormatError
        If the table has other columns, or no machines beside it.
    """
    table, machines = folder / f"{TABLE}.csv", folder / MACHINE
    if not table.is_file():
        return pd.DataFrame(columns=list(COLUMNS)), {}
    if not machines.is_file():
        raise DataFormatError(f"{machines}: no such file beside {table}; remove the table and measure again.")
    rows = pd.read_csv(table, keep_default_na=False, na_values={name: [""] for name in COLUMNS if name not in _TEXTS})
    if list(rows.columns) != list(COLUMNS):
        raise DataFormatError(f"{table}: has other columns than {', '.join(COLUMNS)}; remove it and measure again.")
    return rows, json.loads(machines.read_text(encoding="utf-8"))


def store_part(folder: Path, part: str, rows: list[dict[str, object]], machine: dict[str, object]) -> Path:
    """Put a part's rows in place of those that the folder holds of it; quick rows and full ones stand side by side.

    Parameters
    ----------
    folder : Path
    part : str
    rows : list of dict
        Of this part, all quick or none.
    machine : dict

    Returns
    -------
    Path
        The table.
    """
    kept, machines = read_benchmarks(folder)
    quick, order = bool(rows[0]["quick"]), list(dict.fromkeys([*kept["part"], part]))
    kept = kept[(kept["part"] != part) | (kept["quick"].astype(bool) != quick)]
    added = pd.DataFrame(rows, columns=list(COLUMNS))
    # the machine first: a table never stands without the machine of its rows
    write_json(folder / MACHINE, machines | {machine_key(part, quick=quick): machine})
    table = pd.concat([kept, added], ignore_index=True) if len(kept) else added
    # what is measured again stands where it stood
    return write_table(table.sort_values("part", key=lambda part: part.map(order.index), kind="stable"), folder, TABLE)


def machine_key(part: str, *, quick: bool) -> str:
    """Name of a part's machine in the file of machines."""
    return f"{part}, quick" if quick else part
