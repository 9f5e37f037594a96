"""Times trainings of the networks, alone and in grids of seeds, against plain Keras; never judges.

Both sides get the same rows and do the same steps: complete rows, half of their entries hidden in every step, no rows
held out for validation and no early stop. Seconds are those of the training with its tracing and compilation; those of
the whole process, Python's start and the import of TensorFlow included, stand beside them (`processes.measure`). A grid
also pays for the start of its workers and their imports, and for the scores of its trials.
"""

from __future__ import annotations

import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reproduce.benchmarks.processes import Way, peak_memory_gb, timed
from reproduce.benchmarks.simulated import hidden_entries, simulated_study, study_rows
from reproduce.benchmarks.table import Subject
from reproduce.splits import TEST_FRACTION

_HERE = "reproduce.benchmarks.networks"
MISSING_RATE = 0.5
#: Worker processes of a grid.
N_WORKERS = 2
LABELS = {"pmi": "PMI", "gain": "GAIN-GTEx", "gain_mse": "GAIN-MSE-GTEx"}
AGAINST = "the same network by Keras fit from a Python generator"


@dataclass(frozen=True)
class TrainingSize:
    """Rows and genes of one training, its epochs, and how often it is repeated."""

    rows: int
    genes: int
    epochs: int
    repeats: int


#: About three quarters of GTEx lung and colon, the p53 genes; 30 steps an epoch.
FULL = TrainingSize(738, 65, 200, 3)
QUICK = TrainingSize(369, 32, 15, 1)
#: The ratios that are asked for.
REQUIRED = {"pmi": 4.0, "gain": 3.0, "gain_mse": np.nan}
REQUIRED_IN_GRIDS = {"pmi": 9.0, "gain": 5.0}
#: How often the other way of a grid is repeated; the grid itself is measured once, being many models.
AGAINST_GRIDS = 3
#: By how much R² may stay below that of plain Keras.
R2_TOLERANCE = 0.005
#: Models of a grid; the study's own have some hundreds, beside which the start of the workers hardly counts.
MODELS = {"pmi": 100, "gain": 10}
QUICK_MODELS = {"pmi": 2}


def training_subjects(*, quick: bool) -> list[Subject]:
    """One training at a time; PMI's alone if `quick`, since each process first takes seconds to import TensorFlow."""
    size = QUICK if quick else FULL
    return [
        _subject("networks", method, "train", size, required)
        for method, required in REQUIRED.items()
        if not quick or method == "pmi"
    ]


def grid_subjects(*, quick: bool) -> list[Subject]:
    """Grids of seeds; PMI's alone if `quick`."""
    size, models = (QUICK, QUICK_MODELS) if quick else (FULL, MODELS)
    return [
        _subject("grids", method, "train_grid", size, REQUIRED_IN_GRIDS[method], n_models=n_models, n_workers=N_WORKERS)
        for method, n_models in models.items()
    ]


def _subject(part: str, method: str, function: str, size: TrainingSize, required: float, **more: int) -> Subject:
    arguments = {
        "method": method,
        "rows": size.rows,
        "genes": size.genes,
        "epochs": size.epochs,
        "missing_rate": MISSING_RATE,
    }
    note = f"{size.epochs} epochs of 30 steps"
    if more:
        note = (
            f"a model, of {more['n_models']} in {more['n_workers']} single-thread workers, their start included; {note}"
            "; memory of the main process and all workers, each taken for the largest"
        )
    return Subject(
        part=part,
        label=f"{LABELS[method]}, a model of a grid" if more else LABELS[method],
        key=method,
        rows=size.rows,
        genes=size.genes,
        missing_rate=MISSING_RATE,
        way=Way(f"{_HERE}:{function}", arguments | more),
        against=AGAINST,
        other_way=Way(f"{_HERE}:train_plainly", arguments),
        repeats=1 if more else size.repeats,
        against_repeats=min(AGAINST_GRIDS, size.repeats) if more else None,
        required=required,
        r2_tolerance=R2_TOLERANCE,
        note=note,
    )


# in the fresh process


def train(method: str, rows: int, genes: int, epochs: int, missing_rate: float, seed: int) -> dict[str, float]:
    """Train one network of this project; R² is of rows that it never saw."""
    import keras  # noqa: F401 (its import, and TensorFlow's, counts for the whole process alone)

    from reproduce.imputers import make_imputer

    X, covariates = study_rows(_with_held_out(rows), genes, seed)
    imputer = make_imputer(method, random_state=seed, **_same_steps(epochs))
    with timed() as spent:
        imputer.fit(X[:rows], covariates=covariates[:rows])

    def fill(holes, known):
        return np.asarray(imputer.transform(holes, covariates=known))

    return spent | {"r2": _r2_of_held_out(fill, X[rows:], covariates[rows:], missing_rate, seed)}


def train_plainly(method: str, rows: int, genes: int, epochs: int, missing_rate: float, seed: int) -> dict[str, float]:
    """The same by plain Keras."""
    from reproduce.benchmarks.plain_keras import fill_plainly, fit_plainly

    X, covariates = study_rows(_with_held_out(rows), genes, seed)
    with timed() as spent:
        model, inputs = fit_plainly(method, X[:rows], covariates[:rows], epochs=epochs, seed=seed)

    def fill(holes, known):
        return fill_plainly(model, inputs, holes, known)

    return spent | {"r2": _r2_of_held_out(fill, X[rows:], covariates[rows:], missing_rate, seed)}


def train_grid(
    method: str, rows: int, genes: int, epochs: int, missing_rate: float, n_models: int, n_workers: int, seed: int
) -> dict[str, float]:
    """A grid of seeds by the project's own runner, in worker processes; times are those of one model, memory of all."""
    from joblib.externals.loky import get_reusable_executor

    from reproduce.experiments import ResultsStore, Trial
    from reproduce.experiments.grid import run_grid

    study = simulated_study(_with_held_out(rows), genes, seed)
    trials = [
        Trial(
            method,
            "inductive",
            seed * n_models + model,
            missing_rate=missing_rate,
            transform="raw",
            preset="benchmark",
            hyperparameters=_same_steps(epochs),
        )
        for model in range(n_models)
    ]
    with tempfile.TemporaryDirectory() as folder, timed() as spent:
        grid = run_grid(trials, study, ResultsStore(Path(folder) / "trials"), n_workers, progress=False)
    get_reusable_executor().shutdown(wait=True)  # what they used is known once they have ended
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    overall = grid.rows[(grid.rows["metric"] == "r2") & (grid.rows["level"] == "overall")]
    return {
        "seconds": spent["seconds"] / n_models,
        "cpu_seconds": (spent["cpu_seconds"] + workers.ru_utime + workers.ru_stime) / n_models,
        "models": n_models,
        # the system tells of the largest child alone: no worker holds more
        "peak_memory_gb": peak_memory_gb(resource.RUSAGE_SELF) + n_workers * peak_memory_gb(resource.RUSAGE_CHILDREN),
        "r2": float(overall["value"].mean()),
    }


def _with_held_out(rows: int) -> int:
    """Rows in all of which `rows` are trained on, as splits of the study divide them."""
    return round(rows / (1 - TEST_FRACTION))


def _same_steps(epochs: int) -> dict[str, object]:
    """Hyperparameters under which every step of every epoch is done, on all rows."""
    return {"epochs": epochs, "patience": None, "validation_fraction": 0.0}


def _r2_of_held_out(fill, truth: np.ndarray, covariates, missing_rate: float, seed: int) -> float:
    """Mean over genes of R² on hidden entries."""
    from reproduce.metrics import gene_scores

    hidden = hidden_entries(truth.shape, missing_rate, seed)
    filled = fill(np.where(hidden, np.nan, truth), covariates)
    return float(np.nanmean(gene_scores(truth, filled, hidden)["r2"]))
