"""The benchmark's table as text for readers; shows full measurements only and never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from reproduce.benchmarks.table import asks_anything, machine_key, misses, read_benchmarks

COMMITTED = Path(__file__).parents[2] / "results"
NOT_MEASURED = "Not measured yet: `reproduce bench --largest --results results` measures it."


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
            "repeats": _repeats(row),
            "ours": _seconds(row.seconds) + _per_1000_rows(row),
            "against": f"{row.against}: {_seconds(row.against_seconds)}" if row.against else "–",
            "times faster": _times_faster(row),
            "whole process": _number(row.process_times_faster),
            "asked for": required_in_words(row),
            "met": "–" if not asks_anything(row) else "no" if misses(row) else "yes",
            "peak memory": f"{row.peak_memory_gb:.2f} GB",
            "R²": _number(row.r2, "{:.3f}") + _beside(row),
        }
        for _, row in full_rows(table).iterrows()
    ]
    return pd.DataFrame(rows)


def say_ratios(table: pd.DataFrame) -> str:
    """How many times faster the networks train, and how many times whole processes are, which import as well."""
    networks = full_rows(table)
    networks = networks[(networks["part"] == "networks") & networks["process_times_faster"].notna()]
    if networks.empty:
        return ""
    told = "; ".join(
        f"{row.subject} {row.times_faster:.1f} times by the training alone, tracing and compilation included, and "
        f"{row.process_times_faster:.1f} times by the whole process, with Python's start and imports"
        for row in networks.itertuples()
    )
    return f"Faster than {networks['against'].iloc[0]}: {told}."


def say_misses(table: pd.DataFrame) -> str:
    """Which full measurements do not keep what is asked of them."""
    full = full_rows(table)
    missed = [row for _, row in full.iterrows() if misses(row)]
    if not any(asks_anything(row) for _, row in full.iterrows()):
        return ""
    if not missed:
        return "All that is asked for is met."
    return f"Not met: {'; '.join(f'{row.subject}, {row.rows:,} × {row.genes:,} ({_found(row)})' for row in missed)}."


def _found(row: pd.Series) -> str:
    found = {
        "required": f"{_number(row['times_faster'])} times of {row['required']:g}",
        "required_seconds": f"{_seconds(row['seconds'])} of {row['required_seconds']:g} s",
        "required_gb": f"{_number(row['peak_memory_gb'], '{:.2f}')} GB of {row['required_gb']:g} GB",
        "r2_tolerance": f"R² {_number(row['r2'], '{:.4f}')}{_beside(row, 4)}",
    }
    return ", ".join(found[name] for name in misses(row))


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
        f"Measured {on}. Each measurement is a process of its own. Where there are several repeats, times are their "
        "medians and R² their mean; a ratio is the median of those taken repeat by repeat (or of each repeat of the "
        "other way to the only one of ours), the least and the most of them in brackets. Times, and what is asked of "
        "them, leave out Python's start, imports, and drawing and scoring the rows (a grid's have its workers' start, "
        "imports and scores); the ratio of whole processes has all of these on both sides. R² is on hidden entries, in "
        "brackets that of the other way, or of the law that the rows were drawn from."
        + (f" Not measured: {_list(absent)}." if absent else "")
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


def required_in_words(row: pd.Series) -> str:
    """All that is asked of a row; a dash if nothing is."""
    asked = [
        (row["required"], "≥ {:g} times"),
        (row["required_seconds"], "≤ {:g} s"),
        (row["required_gb"], "≤ {:g} GB"),
        (row["r2_tolerance"], "R² lower by ≤ {:g}" if row["r2_tolerance"] else "R² no lower"),
    ]
    return ", ".join(words.format(value) for value, words in asked if pd.notna(value)) or "–"


def _repeats(row: pd.Series) -> str:
    others = row["against_repeats"]
    return f"{row['repeats']}" + (f", the other {others:.0f}" if others > 0 and others != row["repeats"] else "")


def _per_1000_rows(row: pd.Series) -> str:
    rate = row["seconds_per_1000_rows"]
    return f" ({_seconds(rate)} per 1,000 rows)" if pd.notna(rate) else ""


def _times_faster(row: pd.Series) -> str:
    least, most = row["least_times_faster"], row["most_times_faster"]
    return _number(row["times_faster"]) + (f" ({least:.1f}–{most:.1f})" if pd.notna(least) and least < most else "")


def _beside(row: pd.Series, digits: int = 3) -> str:
    return f" ({row['against_r2']:.{digits}f})" if pd.notna(row["against_r2"]) else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"


def _number(value: float, words: str = "{:.1f}") -> str:
    return words.format(value) if pd.notna(value) else "–"
