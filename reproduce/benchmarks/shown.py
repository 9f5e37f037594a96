"""The benchmark's table as text for readers; shows full measurements only and never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from reproduce.benchmarks.table import machine_key, read_benchmarks

COMMITTED = Path(__file__).parents[2] / "results"
NOT_MEASURED = "Not measured yet: `reproduce bench --results results` measures it."


def full_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that may be quoted: those of no quick run."""
    return table[~table["quick"].astype(bool)]


def nearest_benchmarks(folder: str | Path) -> tuple[pd.DataFrame, dict[str, dict], str]:
    """Full measurements of this results folder, or else the committed ones.

    Parameters
    ----------
    folder : path
        Of a run's results.

    Returns
    -------
    table : DataFrame
        As `reproduce.benchmarks.table.read_benchmarks` returns it, without quick rows; empty if nothing was measured.
    machines : dict
    where : str
        Which of the two, in words.

    Raises
    ------
    DataFormatError
        For a file that is no such table.
    """
    places = {Path(folder): "Of this run", COMMITTED: "As committed, perhaps from another machine"}
    for place, where in places.items():
        table, machines = read_benchmarks(place)
        if len(full_rows(table)):
            return full_rows(table), machines, where
    return table.iloc[:0], {}, "Neither of this run nor committed"


def show_benchmarks(table: pd.DataFrame) -> pd.DataFrame:
    """Full measurements in words.

    Parameters
    ----------
    table : DataFrame
        As `reproduce.benchmarks.table.read_benchmarks` returns it.

    Returns
    -------
    DataFrame of str
        One row a subject and size.
    """
    rows = [
        {
            "what": row.subject,
            "how": row.note or "–",
            "rows × genes": f"{row.rows:,} × {row.genes:,}",
            "ours": _seconds(row.seconds),
            "against": f"{row.against}: {_seconds(row.against_seconds)}" if row.against else "–",
            "times faster": _number(row.times_faster),
            "asked for": _required(row),
            "peak memory": f"{row.peak_memory_gb:.2f} GB",
            "R²": _number(row.r2, "{:.3f}") + _beside(row),
        }
        for row in full_rows(table).itertuples()
    ]
    return pd.DataFrame(rows)


def say_machines(table: pd.DataFrame, machines: Mapping[str, Mapping[str, object]], parts: Sequence[str]) -> str:
    """On which machine what was measured, and what was not.

    Parameters
    ----------
    table : DataFrame
    machines : mapping
        As `reproduce.benchmarks.table.read_benchmarks` returns it.
    parts : sequence of str
        All there are.
    """
    measured = [part for part in parts if part in set(full_rows(table)["part"])]
    if not measured:
        return NOT_MEASURED
    by_machine: dict[str, list[str]] = {}
    for part in measured:
        by_machine.setdefault(_machine(machines[machine_key(part, quick=False)]), []).append(part)
    on = "; ".join(
        f"on {machine}" + ("" if len(by_machine) == 1 else f": {_list(own)}") for machine, own in by_machine.items()
    )
    absent = [part for part in parts if part not in measured]
    return (
        f"Measured {on}. Times are medians, each measurement a process of its own; a ratio is the median of those "
        "taken repeat by repeat. R² is on hidden entries, in brackets that of the other way, or of the law that the "
        "rows were drawn from." + (f" Not measured: {_list(absent)}." if absent else "")
    )


def _machine(machine: Mapping) -> str:
    libraries = machine["libraries"]
    blas = ", ".join(dict.fromkeys(f"{pool['name']} on {pool['threads']} thread(s)" for pool in machine["blas"]))
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']:g} GB, {machine['system']}, Python "
        f"{machine['python']}, TensorFlow {libraries['tensorflow']}, NumPy {libraries['numpy']} ({blas or 'no BLAS'})"
    )


def _list(parts: Sequence[str]) -> str:
    return ", ".join(part.replace("_", " ") for part in parts)


def _required(row) -> str:
    asked = [
        (row.required, "≥ {:g} times"),
        (row.required_seconds, "≤ {:g} s"),
        (row.required_gb, "≤ {:g} GB"),
    ]
    return ", ".join(words.format(value) for value, words in asked if pd.notna(value)) or "–"


def _beside(row) -> str:
    return f" ({row.against_r2:.3f})" if pd.notna(row.against_r2) else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.1f} s"


def _number(value: float, words: str = "{:.1f}") -> str:
    return words.format(value) if pd.notna(value) else "–"
