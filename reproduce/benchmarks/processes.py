"""Measures one function in a fresh process: its record, seconds and peak memory; never knows what is measured."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reproduce.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[2]  # what holds `reproduce`, whether it is installed or not


class BenchmarkError(RuntimeError):
    """A measurement failed; what was measured before it is kept."""


@dataclass(frozen=True)
class Way:
    """A function that a fresh process is to call.

    Attributes
    ----------
    function : str
        "package.module:name". It returns a record, a dict that JSON can hold.
    arguments : mapping
        By keyword; what JSON can hold.
    """

    function: str
    arguments: Mapping[str, object] = field(default_factory=dict)


def measure(way: Way, what: str, **more: object) -> dict[str, object]:
    """Call a function in a fresh process and return its record.

    Parameters
    ----------
    way : Way
    what : str
        Named if it fails.
    **more
        Further arguments.

    Returns
    -------
    dict
        The record, with ``peak_memory_gb`` (largest resident size of the process, GiB) unless it gives its own, and
        ``process_seconds``: the whole process from its start to its end, Python's imports included. A record whose
        times are those of one among many says by ``models`` how many there were; the process's are divided alike.

    Raises
    ------
    BenchmarkError
        If the process fails, with its last words.
    """
    command = [sys.executable, "-m", "reproduce.benchmarks", way.function, json.dumps({**way.arguments, **more})]
    path = os.pathsep.join(filter(None, [str(_PACKAGE), os.environ.get("PYTHONPATH")]))
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    start = time.perf_counter()
    # a group of its own, so that an interruption also ends the workers that the process has started
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, process_group=0, **pipes) as process:
        try:
            out, errors = process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)
    whole = time.perf_counter() - start
    if process.returncode:
        last_words = (errors or out).strip()[-2000:] or f"ended by signal {-process.returncode} (short of memory?)"
        raise BenchmarkError(f"The benchmark of {what} failed in {way.function}:\n{last_words}")
    record = json.loads(out.strip().splitlines()[-1])
    return record | {"process_seconds": whole / record.get("models", 1)}


def main(arguments: list[str]) -> None:
    """In the fresh process: call the function and print its record as the last line."""
    if len(arguments) != 2:
        raise ConfigError("This module is called by `reproduce bench`; run that.")
    module, _, name = arguments[0].partition(":")
    record = getattr(importlib.import_module(module), name)(**json.loads(arguments[1]))
    record = {"peak_memory_gb": peak_memory_gb(resource.RUSAGE_SELF), **record}
    print(f"\n{json.dumps(record)}", flush=True)


def peak_memory_gb(who: int) -> float:
    """Largest resident size in GiB of this process (`resource.RUSAGE_SELF`) or of the largest one it has waited for."""
    # macOS counts bytes, Linux KiB
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


@contextlib.contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Yield a dict that holds ``seconds`` and ``cpu_seconds`` (of all threads) of the block once it is done."""
    spent: dict[str, float] = {}
    start, busy = time.perf_counter(), time.process_time()
    yield spent
    spent |= {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - busy}
