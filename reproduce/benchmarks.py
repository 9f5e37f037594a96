"""Times one training of each network against the plain way to train it; prints ratios, never judges them.

Every figure is one process of its own on one set of simulated rows at the study's size, from the call of `fit` to the
fitted network, tracing and compilation included and the import of TensorFlow apart. The baseline trains the very same
PMI network by Keras's `fit` from a Python generator, as the reference code does; machines differ and are noisy, so the
ratio within a run is what to quote.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from reproduce.errors import ReproduceError

#: Rows and genes of one training: about three quarters of GTEx lung and colon, the p53 genes.
N_SAMPLES, N_GENES = 738, 65
BASELINE = "PMI by Keras fit from a Python generator"
SUBJECTS = {
    "PMI": "pmi",
    "GAIN-MSE-GTEx": "gain_mse",
    "GAIN-GTEx": "gain",
    BASELINE: "keras_fit",
}


def main(*, quick: bool = False) -> pd.DataFrame:
    """Time every subject, print the table and return it.

    Parameters
    ----------
    quick : bool
        60 epochs and one repeat instead of 200 and three.

    Returns
    -------
    DataFrame
        One row a subject: ``subject``, ``fit_seconds`` (median), ``least``, ``most``, ``import_seconds``,
        ``peak_memory_gb`` (largest), ``times_faster`` than the baseline (median of the ratios repeat by repeat).
    """
    epochs, repeats = (60, 1) if quick else (200, 3)
    print(
        f"One training of {epochs} epochs of 30 steps on {N_SAMPLES} x {N_GENES}; {repeats} repeat(s), in turn",
        flush=True,
    )
    records = []
    for repeat in range(repeats):
        for subject, kind in SUBJECTS.items():
            record = _measured(kind, epochs, repeat) | {"subject": subject, "repeat": repeat}
            records.append(record)
            print(f"  {subject}: {record['fit_seconds']:.1f} s", flush=True)
    table = summarise(pd.DataFrame(records))
    print(table.to_string(index=False, float_format="{:.2f}".format))
    return table


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """Table of `main` from one record per subject and repeat.

    Parameters
    ----------
    records : DataFrame
        Columns ``subject``, ``repeat``, ``fit_seconds``, ``import_seconds``, ``peak_memory_gb``.

    Returns
    -------
    DataFrame
        As `main` returns it, in the records' order of subjects.
    """
    seconds = records.pivot(index="repeat", columns="subject", values="fit_seconds")
    rows = []
    for subject, part in records.groupby("subject", sort=False):
        rows.append(
            {
                "subject": subject,
                "fit_seconds": part["fit_seconds"].median(),
                "least": part["fit_seconds"].min(),
                "most": part["fit_seconds"].max(),
                "import_seconds": part["import_seconds"].median(),
                "peak_memory_gb": part["peak_memory_gb"].max(),
                "times_faster": (seconds[BASELINE] / seconds[subject]).median(),
            }
        )
    return pd.DataFrame(rows)


def _measured(kind: str, epochs: int, seed: int) -> dict[str, float]:
    """Run one subject in a fresh process and read what it measured."""
    command = [sys.executable, "-m", "reproduce.benchmarks", kind, str(epochs), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ReproduceError(f"The benchmark of {kind} failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _run(kind: str, epochs: int, seed: int) -> dict[str, float]:
    """In the fresh process: import, fit once, measure."""
    import resource

    start = time.perf_counter()
    import tensorflow  # noqa: F401 (its import is what is timed)

    from reproduce.models import gain, pmi, training  # noqa: F401

    import_seconds = time.perf_counter() - start
    X, covariates = _rows(seed)
    start = time.perf_counter()
    if kind == "keras_fit":
        _fit_by_keras(X, epochs, seed)
    else:
        from reproduce.imputers import make_imputer

        imputer = make_imputer(kind, random_state=seed, epochs=epochs, patience=None)
        imputer.fit(X, covariates=covariates)
    fit_seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform != "darwin" else 1)
    return {"fit_seconds": fit_seconds, "import_seconds": import_seconds, "peak_memory_gb": peak / 2**30}


def _rows(seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows of low-rank structure with noise, and covariates as the study has them."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(N_SAMPLES, 10)) @ generator.normal(size=(10, N_GENES))
    X += generator.normal(size=X.shape)
    covariates = pd.DataFrame(
        {
            "tissue": generator.choice(["Lung", "Colon - Transverse"], N_SAMPLES),
            "sex": generator.choice(["female", "male"], N_SAMPLES),
            "age": generator.uniform(20, 75, N_SAMPLES),
        }
    )
    return X, covariates


def _fit_by_keras(X: np.ndarray, epochs: int, seed: int) -> None:
    """The same network and steps, driven by Keras from a Python generator; the expression alone, no covariates."""
    import tensorflow as tf

    from reproduce.models.layers import NetworkShape
    from reproduce.models.pmi import PMINetwork, PMISettings
    from reproduce.models.training import TrainingSettings

    settings = TrainingSettings()
    network = PMINetwork(NetworkShape(N_GENES), PMISettings())
    network.compile_optimizers()
    Z = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    widths = network.random_shapes()

    def batches() -> Iterator[tuple[dict[str, np.ndarray]]]:
        generator = np.random.default_rng(seed)
        size = settings.batch_size
        while True:
            rows = generator.integers(0, len(Z), size)
            drawn = {name: generator.integers(0, 2**16, (size, n)).astype(np.uint16) for name, n in widths.items()}
            known = {"expression": Z[rows], "observed": np.ones_like(Z[rows])}
            covariates = {"codes": np.zeros((size, 0), np.int32), "numeric": np.zeros((size, 0), np.float32)}
            yield (known | covariates | drawn,)

    signature = {
        name: tf.TensorSpec((settings.batch_size, *value.shape[1:]), value.dtype)
        for name, value in next(batches())[0].items()
    }
    source = tf.data.Dataset.from_generator(lambda: (batch for (batch,) in batches()), output_signature=signature)
    network.fit(source, epochs=epochs, steps_per_epoch=settings.steps_per_epoch, verbose=0)


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
