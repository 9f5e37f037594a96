"""Describes the machine and the libraries that a benchmark ran on; never names its user, host or folders."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from reproduce.machine import processor_name, usable_cores

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
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "blas": unique,
    }
