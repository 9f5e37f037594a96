"""Runs the benchmark and stores its table part by part; never judges whether a figure is good enough.

Every measurement is a fresh process of its own. Machines differ and are noisy, so that what to quote is the ratio of
two ways to do the same, taken within a repeat.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from reproduce.benchmarks import processes
from reproduce.benchmarks.imputing import imputer_subjects
from reproduce.benchmarks.large import (
    file_subjects,
    largest_file_subjects,
    network_file_subjects,
    transcriptome_subjects,
)
from reproduce.benchmarks.machine import describe_machine
from reproduce.benchmarks.networks import grid_subjects, training_subjects
from reproduce.benchmarks.processes import BenchmarkError
from reproduce.benchmarks.table import Repeat, Subject, read_benchmarks, store_part, table_row
from reproduce.errors import ConfigError

__all__ = ["LARGEST", "PARTS", "BenchmarkError", "run_benchmarks"]

#: What there is to measure, in the order in which it is.
PARTS: dict[str, Callable[..., list[Subject]]] = {
    "networks": training_subjects,
    "grids": grid_subjects,
    "imputers": imputer_subjects,
    "transcriptome": transcriptome_subjects,
    "larger_than_memory": file_subjects,
    "networks_from_disk": network_file_subjects,
    "largest_file": largest_file_subjects,
}
#: The part that is measured only if it is asked for: it takes half an hour, and room on disk.
LARGEST = "largest_file"


def run_benchmarks(
    folder: Path,
    *,
    quick: bool = False,
    only: Sequence[str] = (),
    largest: bool = False,
    scratch: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Measure, print what is measured, and store ``benchmarks.csv`` and ``benchmarks-machine.json``.

    The files are whole after each part: an interrupted run keeps the parts that it finished, and what is run again
    takes the place of its former rows. What a grid is measured against is not measured again where the same run has
    measured it already, with the same seeds.

    Parameters
    ----------
    folder : Path
        Of the results; created if absent.
    quick : bool
        Small sizes, marked so in the table; they never take the place of full ones.
    only : sequence of str
        Keys of `PARTS`; all but `LARGEST` if empty.
    largest : bool
        Also `LARGEST`, whose stored row otherwise stays.
    scratch : Path, optional
        Where matrices on disk lie while they are measured; `folder` if not given.
    say : callable, optional
        Takes the lines of progress; they are printed if not given.

    Returns
    -------
    DataFrame
        The stored table, columns as in `reproduce.benchmarks.table.COLUMNS`.

    Raises
    ------
    ConfigError
        For an unknown part, or too little room on disk, before anything is measured.
    DataFormatError
        If the folder's table is not one.
    BenchmarkError
        If a subject fails, naming it.
    """
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise ConfigError(f"The benchmark has no part {unknown[0]!r}; its parts are {', '.join(PARTS)}.")
    say = partial(print, flush=True) if say is None else say
    scratch = folder if scratch is None else scratch
    chosen = {*(only or PARTS.keys() - {LARGEST}), *([LARGEST] if largest else [])}
    parts = {name: subjects(quick=quick) for name, subjects in PARTS.items() if name in chosen}
    without = [name for name in (*only, *([LARGEST] if largest else [])) if not parts[name]]
    if without:
        raise ConfigError(f"--quick measures small matrices only, and {without[0]} has none; leave one of the two out.")
    parts = {name: subjects for name, subjects in parts.items() if subjects}
    for made in (folder, scratch):
        made.mkdir(parents=True, exist_ok=True)
    read_benchmarks(folder)  # what cannot be added to is to be known before hours of measuring
    _check_room([subject for subjects in parts.values() for subject in subjects], scratch)
    machine, start = describe_machine(), time.perf_counter()
    others: dict[str, dict[str, float]] = {}  # by seed and way
    for name, subjects in parts.items():
        rows = [_measured(subject, quick, scratch, say, others) for subject in subjects]
        say(f"{name} done: {store_part(folder, name, rows, machine)}")
    say(f"all done in {(time.perf_counter() - start) / 60:.1f} minutes")
    return read_benchmarks(folder)[0]


def _check_room(subjects: list[Subject], scratch: Path) -> None:
    """Raise unless the disk has room for each subject's files: they are removed before the next one's are written."""
    needing = max(subjects, key=lambda subject: subject.disk_bytes)
    free = shutil.disk_usage(scratch).free
    if needing.disk_bytes > free:
        raise ConfigError(
            f"{needing.describe()} needs {needing.disk_bytes / 1e9:.1f} GB in {scratch}, of which {free / 1e9:.1f} GB "
            "are free; make room, name a folder on another disk by --scratch, or choose other parts by --only."
        )


def _measured(
    subject: Subject, quick: bool, scratch: Path, say: Callable[[str], None], others: dict[str, dict[str, float]]
) -> dict[str, object]:
    say(subject.describe() + (f", against {subject.against}" if subject.against else ""))
    most = max(subject.repeats, subject.against_repeats or 0)
    repeats = [_repeat(subject, seed, scratch, others) for seed in range(most)]
    row = table_row(subject, repeats, quick=quick)
    say(f"  {_in_words(row)}")
    return row


def _repeat(subject: Subject, seed: int, scratch: Path, others: dict[str, dict[str, float]]) -> Repeat:
    """The subject, then what it is measured against: in turn, so that other work on the machine disturbs both."""
    measure = partial(processes.measure, what=subject.describe(), seed=seed)
    if not subject.disk_bytes:
        own = measure(subject.way) if seed < subject.repeats else None
        if subject.other_way is None:
            return Repeat(own)
        same = f"{seed} {subject.other_way}"
        if subject.against_repeats is None or same not in others:
            others[same] = measure(subject.other_way)
        return Repeat(own, others[same])
    with tempfile.TemporaryDirectory(prefix=".benchmark-", dir=scratch) as folder:
        if subject.before is not None:
            measure(subject.before, folder=folder)
        own = measure(subject.way, folder=folder)
        after = measure(subject.after, folder=folder) if subject.after is not None else {}
        return Repeat(after | own)  # peak memory is that of what is timed


def _in_words(row: dict[str, object]) -> str:
    words = [f"{row['seconds']:.3g} s"]
    if pd.notna(row["times_faster"]):
        words.append(f"against {row['against_seconds']:.3g} s: {row['times_faster']:.3g} times faster")
    if pd.notna(row["process_times_faster"]):
        words.append(f"whole process {row['process_times_faster']:.3g} times")
    if pd.notna(row["required"]):
        words.append(f"(asked for: {row['required']:g})")
    words.append(f"{row['peak_memory_gb']:.2f} GB")
    if pd.notna(row["r2"]):
        words.append(
            f"R² {row['r2']:.4f}" + (f" beside {row['against_r2']:.4f}" if pd.notna(row["against_r2"]) else "")
        )
    return ", ".join(words).replace(", (", " (")
