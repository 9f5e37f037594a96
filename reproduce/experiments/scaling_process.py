"""Draws simulated rows and has fits of them measured in processes of their own; never decides what to measure."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reproduce import one_fit
from reproduce.errors import ReproduceError
from reproduce.imputers import METHODS
from reproduce.machine import thread_limits

# whose processes import TensorFlow; `reproduce.experiments.NETWORKS` are those of the paper alone
from reproduce.matrices.choice import NETWORKS as NETWORK_METHODS

if TYPE_CHECKING:
    from reproduce.experiments.scaling import Point

TISSUES = ("Lung", "Colon - Transverse")


def simulated_rows(n_samples: int, n_genes: int, seed: int) -> dict[str, np.ndarray]:
    """Complete rows of log1p counts from a known law, and their covariates.

    Parameters
    ----------
    n_samples, n_genes, seed : int

    Returns
    -------
    dict of str to ndarray
        ``X`` (n_samples, n_genes) float32; ``tissue``, ``sex``, ``age``, ``donor`` (n_samples,).
    """
    from reproduce.loaders.tissue_simulator import simulate_tissues

    # lung and colon together have more samples than there are donors
    cohort = simulate_tissues(seed, genes=n_genes, n_donors=max(20, n_samples)).cohort
    chosen = cohort[cohort.obs["tissue"].isin(TISSUES).to_numpy()][:n_samples]
    covariates = {key: chosen.obs[key].astype(str).to_numpy(str) for key in ("tissue", "sex", "donor")}
    return {"X": np.log1p(np.asarray(chosen.X)), "age": chosen.obs["age"].to_numpy(float), **covariates}


class Server:
    """A process of one thread that has imported what its methods need, and is copied for each measurement.

    Parameters
    ----------
    methods : iterable of str
    folder : Path
        Where simulated rows are kept for all methods that meet them.
    """

    def __init__(self, methods: Iterable[str], folder: Path):
        modules = {METHODS[name].target.split(":")[0] for name in methods}
        networks = set(methods) & set(NETWORK_METHODS)
        models = ("training", "layers", "pmi", "gain", "tuned_layers", "tuned_pmi")
        tensorflow = ["tensorflow", *(f"reproduce.models.{name}" for name in models)] if networks else []
        self.modules = [*tensorflow, "reproduce.metrics", "reproduce.masking", "pandas", *sorted(modules)]
        self.folder, self.process = folder, None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def measure(self, point: Point, seconds: float) -> dict:
        """One measurement, as `reproduce.one_fit.measure` returns it, stopped after so many seconds.

        Raises
        ------
        ReproduceError
            If the process itself does not start or ends.
        """
        self._start()
        request = {"method": point.method, "hyperparameters": json.loads(point.hyperparameters), "seed": point.seed}
        request |= {"missing_rate": point.missing_rate, "seconds": seconds, "rows": str(self._rows(point))}
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and will be found to have said nothing
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        said = self.process.stdout.readline()
        if not said:
            self.errors.seek(0)
            what = self.errors.read().strip()[-2000:]
            raise ReproduceError(f"The process that measures {point.method} has ended; run again. It said:\n{what}")
        if not one_fit.COPIES:
            self._end()
        return json.loads(said)

    def _rows(self, point: Point) -> Path:
        path = self.folder / f"{point.n_samples}-{point.n_genes}-{point.seed}.npz"
        if not path.exists():
            np.savez(path, **simulated_rows(point.n_samples, point.n_genes, point.seed))
        return path

    def _start(self) -> None:
        if self.process is not None:
            return
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (it outlives this)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reproduce.one_fit", *self.modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=one_thread(),
        )  # fmt: skip

    def _end(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it may have ended by itself
            self.process.stdin.close()  # by which it knows
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        self.process = None


def one_thread() -> dict[str, str]:
    """The environment of a process that computes with one thread and on no graphics card."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return dict(os.environ) | thread_limits(1) | {
        "VECLIB_MAXIMUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path,
    }  # fmt: skip
