"""Describes the machine and the libraries that a benchmark ran on; never names its user, host or folders."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "scikit-learn", "tensorflow", "keras")


def describe_machine() -> dict[str, object]:
    """Processor, cores that may be used, memory (GiB), system, Python, and what `LIBRARIES` and BLAS there are.

    Returns
    -------
    dict
        What JSON can hold; ``blas`` lists name, version and threads of each library for linear algebra.
    """
    import scipy.linalg  # noqa: F401 (numpy's and scipy's BLAS are known once they are loaded)
    from threadpoolctl import threadpool_info

    blas = [
        {"name": pool["internal_api"], "version": pool["version"], "threads": pool["num_threads"]}
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    unique = [pool for place, pool in enumerate(blas) if pool not in blas[:place]]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "blas": unique,
    }


def _processor() -> str:
    """The processor's name as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
        if named:
            return " ".join(named[1].split())
    return platform.processor() or platform.machine()
