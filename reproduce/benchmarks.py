"""Times trainings and imputers against the plain way to do the same; prints ratios, never judges them.

The networks: every figure is one process of its own on one set of simulated rows at the study's size, from the call of
`fit` to the fitted network, tracing and compilation included and the import of TensorFlow apart. The baseline trains
the very same PMI network by Keras's `fit` from a Python generator, as the reference code does; machines differ and are
noisy, so the ratio within a run is what to quote.

The imputers without networks: each is timed against the established implementation of what it does, one after the
other in one process on the same rows, half of the entries hidden, from the call of `fit_transform` to the filled
matrix. Beside the time on the clock stands the processors' time, which other work on the machine disturbs less, and
beside the times R² on the hidden entries, so that no speed is bought with accuracy unseen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Pair:
    """An imputer of this project and the established one that it is timed against.

    Attributes
    ----------
    fast, slow : str
        Keys of `reproduce.imputers.METHODS`, or of `_OTHER_WAYS`.
    size, quick_size : tuple of int
        Rows and genes.
    """

    fast: str
    slow: str
    size: tuple[int, int]
    quick_size: tuple[int, int]


PAIRS = (
    Pair("knn_10", "scikit_learn_knn", (2000, 5000), (500, 1250)),
    Pair("running_sums_knn", "scikit_learn_knn", (2000, 5000), (500, 1250)),
    Pair("fast_mice", "mice", (740, 273), (300, 80)),
    Pair("boosted_forest", "missforest_10", (740, 65), (200, 20)),
    Pair("boosted_forest", "missforest_100", (740, 65), (200, 20)),
)


def main(*, quick: bool = False) -> pd.DataFrame:
    """Time every training and every pair of imputers, print both tables and return the trainings'.

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
    imputers(quick=quick)
    return table


def imputers(*, quick: bool = False) -> pd.DataFrame:
    """Time every pair of `PAIRS`, each in a process of its own, print the table and return it.

    Parameters
    ----------
    quick : bool
        Small matrices, at which the ratios are smaller too.

    Returns
    -------
    DataFrame
        One row a pair: ``fast``, ``slow``, ``rows``, ``genes``, ``fast_seconds``, ``slow_seconds``, ``times_faster``
        (on the clock), ``times_less_processor``, ``fast_r2``, ``slow_r2`` (mean over genes, of hidden entries),
        ``largest_difference`` (between the two answers, in standard deviations of a gene).
    """
    print("Imputers in place, half of the entries hidden, against the established implementations", flush=True)
    records = []
    for number, pair in enumerate(PAIRS):
        n_rows, n_genes = pair.quick_size if quick else pair.size
        records.append(_in_fresh_process("pair", number, n_rows, n_genes, 0))
        print(f"  {pair.fast} against {pair.slow}: {records[-1]['times_faster']:.1f} times faster", flush=True)
    table = pd.DataFrame(records)
    print(table.to_string(index=False, float_format="{:.4g}".format))
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
    """Run one training in a fresh process and read what it measured."""
    return _in_fresh_process(kind, epochs, seed)


def _in_fresh_process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", "reproduce.benchmarks", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ReproduceError(f"The benchmark of {' '.join(command[3:])} failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _run(kind: str, epochs: int, seed: int) -> dict[str, float]:
    """In the fresh process: import, fit once, measure."""
    import resource

    start = time.perf_counter()
    import tensorflow  # noqa: F401 (its import is what is timed)

    from reproduce.models import gain, pmi, training  # noqa: F401

    import_seconds = time.perf_counter() - start
    X, covariates = _rows(N_SAMPLES, N_GENES, seed)
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


def _rows(n_samples: int, n_genes: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows of low-rank structure with noise, and covariates as the study has them."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_samples, 10)) @ generator.normal(size=(10, n_genes))
    X += generator.normal(size=X.shape)
    covariates = pd.DataFrame(
        {
            "tissue": generator.choice(["Lung", "Colon - Transverse"], n_samples),
            "sex": generator.choice(["female", "male"], n_samples),
            "age": generator.uniform(20, 75, n_samples),
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


def time_pair(pair: Pair, n_rows: int, n_genes: int, seed: int) -> dict[str, object]:
    """Fill the same simulated rows in both ways; one row of the table of `imputers`."""
    from reproduce.metrics import gene_scores

    truth, covariates = _rows(n_rows, n_genes, seed)
    hidden = np.random.default_rng([seed, 1]).random(truth.shape) < 0.5
    X = np.where(hidden, np.nan, truth)
    record: dict[str, object] = {"fast": pair.fast, "slow": pair.slow, "rows": n_rows, "genes": n_genes}
    filled, processor = {}, {}
    for side, name in (("fast", pair.fast), ("slow", pair.slow)):
        fill = _way(name, seed)
        clock, busy = time.perf_counter(), time.process_time()
        filled[side] = np.asarray(fill(X, covariates))
        record[f"{side}_seconds"] = time.perf_counter() - clock
        processor[side] = time.process_time() - busy
    record["times_faster"] = record["slow_seconds"] / record["fast_seconds"]
    record["times_less_processor"] = processor["slow"] / processor["fast"]
    for side, values in filled.items():
        record[f"{side}_r2"] = float(np.nanmean(gene_scores(truth, values, hidden)["r2"]))
    differences = np.abs(filled["fast"] - filled["slow"]) / np.nanstd(X, axis=0)
    record["largest_difference"] = float(differences.max())
    return record


def _way(name: str, seed: int) -> Callable[[np.ndarray, pd.DataFrame], np.ndarray]:
    """A function of rows and covariates that fills the rows; what it imports is imported before it is timed."""
    if name in _OTHER_WAYS:
        return _OTHER_WAYS[name]()
    from reproduce.imputers import make_imputer

    imputer = make_imputer(name, random_state=seed)
    return lambda X, covariates: imputer.fit_transform(X, covariates=covariates)


def _scikit_learn_knn() -> Callable[[np.ndarray, pd.DataFrame], np.ndarray]:
    from sklearn.impute import KNNImputer

    def fill(X: np.ndarray, covariates: pd.DataFrame) -> np.ndarray:
        mean, sd = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        return KNNImputer(n_neighbors=10).fit_transform((X - mean) / sd) * sd + mean

    return fill


def _running_sums_knn() -> Callable[[np.ndarray, pd.DataFrame], np.ndarray]:
    from reproduce.imputers._neighbours import means_of_nearest

    def fill(X: np.ndarray, covariates: pd.DataFrame) -> np.ndarray:
        mean, sd = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        known = ~np.isnan(X)
        values = np.where(known, (X - mean) / sd, 0.0)
        return np.where(known, X, means_of_nearest(values, known, values, known, 10) * sd + mean)

    return fill


_OTHER_WAYS = {"scikit_learn_knn": _scikit_learn_knn, "running_sums_knn": _running_sums_knn}


if __name__ == "__main__":
    if sys.argv[1] == "pair":
        number, *numbers = map(int, sys.argv[2:])
        print(json.dumps(time_pair(PAIRS[number], *numbers)))
    else:
        print(json.dumps(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
