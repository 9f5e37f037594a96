"""Fits and fills once in a process of its own and says what that took; never draws a row and never keeps a result.

    python -m reproduce.one_fit MODULE ...

imports the modules, then reads requests from its input, one JSON object a line, and answers each by one line. Every
request is met by a copy of this process (a fork) with one thread, so that imports are paid once, none is timed, and no
fit finds what another one left in memory. Where a process cannot be copied safely (other systems than Linux) it meets
one request itself and ends; the asker then starts another.

The largest resident memory of a fit is what this process held before it was copied, and what the copy added.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import select
import signal
import sys
import time
import traceback
from dataclasses import dataclass

from reproduce.machine import processor_name

#: Whether a process is copied for each request.
COPIES = sys.platform == "linux"
#: Genes whose hidden entries are scored; enough for a mean, and quick.
SCORED_GENES = 200
SCENARIO = "in_place"


def measure(request: dict) -> dict:
    """Fit an imputer to rows with holes, fill them, and say what it took.

    Parameters
    ----------
    request : dict
        ``method`` (a key of `reproduce.imputers.METHODS`), ``hyperparameters``, ``rows`` (an ``.npz`` file with ``X``
        (n_samples, n_genes) and one array for each covariate), ``missing_rate``, ``seed`` (of holes and fit).

    Returns
    -------
    dict
        ``fit_seconds``, ``impute_seconds`` and the same of processor time (``fit_processor_seconds``, …),
        ``peak_memory_gb`` and ``start_memory_gb`` (resident), ``r2`` (mean over at most `SCORED_GENES` genes, of the
        hidden entries), ``tensorflow`` (whether it was imported).
    """
    import numpy as np
    import pandas as pd

    from reproduce.imputers import make_imputer
    from reproduce.masking import draw_evaluation_mask
    from reproduce.metrics import gene_scores

    with np.load(request["rows"]) as arrays:
        truth, covariates = arrays["X"], pd.DataFrame({key: arrays[key] for key in arrays if key != "X"})
    hidden = draw_evaluation_mask(truth, request["missing_rate"], seed=request["seed"], scenario=SCENARIO)
    X = np.where(hidden, np.float32(np.nan), truth)
    imputer = make_imputer(request["method"], random_state=request["seed"], **request["hyperparameters"])
    answer = {"start_memory_gb": _resident()[0]}
    clock, busy = time.perf_counter(), time.process_time()
    imputer.fit(X, covariates=covariates)
    answer |= {"fit_seconds": time.perf_counter() - clock, "fit_processor_seconds": time.process_time() - busy}
    clock, busy = time.perf_counter(), time.process_time()
    filled = np.asarray(imputer.transform(X, covariates=covariates))
    answer |= {"impute_seconds": time.perf_counter() - clock, "impute_processor_seconds": time.process_time() - busy}
    answer["peak_memory_gb"] = _resident()[1]
    kept = slice(SCORED_GENES)
    answer["r2"] = float(np.nanmean(gene_scores(truth[:, kept], filled[:, kept], hidden[:, kept])["r2"]))
    return answer | {"tensorflow": "tensorflow" in sys.modules, "status": "ok"}


def _resident() -> tuple[float, float]:
    """Resident memory of this process now and at most, in GB (2³⁰ bytes)."""
    if sys.platform == "linux":  # `getrusage` would count what the asker held before this process was started
        with open("/proc/self/status", encoding="utf-8") as lines:
            said = dict(line.split(":", 1) for line in lines)
        return tuple(int(said[name].split()[0]) / 2**20 for name in ("VmRSS", "VmHWM"))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak / 2**30 if sys.platform == "darwin" else peak / 2**20
    return peak, peak


def _guarded(request: dict) -> dict:
    """`measure`, or what went wrong."""
    try:
        return measure(request)
    except Exception as error:  # whatever a method raises must not lose the other measurements: it becomes an answer
        where = traceback.extract_tb(error.__traceback__)[-1]
        return {"status": "failed", "note": f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"}


# --- the process that is copied ---


@dataclass
class _Copy:
    """A copy at work: its process, and the pipe through which it answers."""

    process: int
    pipe: int

    @classmethod
    def start(cls, request: dict) -> _Copy:
        pipe, answer = os.pipe()
        process = os.fork()
        if process:
            os.close(answer)
            return cls(process, pipe)
        try:
            held = _resident()[0]
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # methods that print must not disturb the answers
            with os.fdopen(answer, "w") as sink:
                sink.write(json.dumps(_guarded(request) | {"copied_memory_gb": held}))
        finally:
            os._exit(0)

    def answer(self, seconds: float) -> dict:
        """What it says, waiting no longer than `seconds`; ends with it if the asker is gone."""
        said, deadline = b"", time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.pipe, 0], [], [], left)
            if self.pipe in ready and (part := os.read(self.pipe, 1 << 16)):
                said += part
                continue
            status = self._end(kill=self.pipe not in ready)
            if 0 in ready and self.pipe not in ready:
                sys.exit("the process that asked has ended")
            if not ready:
                return {"status": "stopped", "note": f"stopped after {seconds:.0f} s"}
            return json.loads(said) if said else {"status": "failed", "note": f"ended by {status}, memory used up?"}

    def _end(self, *, kill: bool) -> str:
        if kill:
            os.kill(self.process, signal.SIGKILL)
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _met_by_copy(request: dict, held: float) -> dict:
    answer = _Copy.start(request).answer(request["seconds"])
    copied = answer.pop("copied_memory_gb", 0.0)
    if answer["status"] == "ok":  # pages of libraries that a copy has not touched do not count as its own
        answer |= {key: held + answer[key] - copied for key in ("start_memory_gb", "peak_memory_gb")}
    return answer


def machine() -> str:
    """This machine in words: processor, cores, system."""
    return f"{processor_name()}, {os.cpu_count()} cores, {platform.system()}"


def main(modules: list[str]) -> None:
    """Import, then answer; see the module."""
    clock = time.perf_counter()
    for name in modules:
        importlib.import_module(name)
    imported, held = time.perf_counter() - clock, _resident()[0]
    for line in iter(sys.stdin.buffer.raw.readline, b""):
        request = json.loads(line)
        answer = _met_by_copy(request, held) if COPIES else _guarded(request)
        print(json.dumps(answer | {"import_seconds": imported}), flush=True)
        if not COPIES:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
