"""What this machine is, and how a process is held to a number of threads; imports no other library."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """The processor's name as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE | re.IGNORECASE)
        if named:
            return " ".join(named[1].split())
    return platform.processor() or platform.machine()


def thread_limits(n_threads: int) -> dict[str, str]:
    """Environment variables that hold a process to so many threads, if they are set before libraries are imported."""
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")]
    return dict.fromkeys([*names, "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"], str(n_threads))
