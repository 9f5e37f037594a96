"""Times one fit of each method at many sizes, one after the other, and keeps each measurement; never words a result.

From a base size one of three things is varied at a time: the number of genes, of samples, and the fraction hidden. The
rows are drawn by `reproduce.loaders.tissue_simulator` (low-rank normals of lung and colon with effects of sex and age,
and donors with both tissues), so their law is known and does not change with the number of samples. Every measurement
is a process of its own with one thread (`reproduce.one_fit`); no two run at a time.

A measurement that would take longer than one is willing to wait is not made: its estimate stands in its place. Waiting
is counted in processor seconds, which work beside it does not lengthen.
Measurements of another machine count as stored if they hold all of a method's; a method's curve never joins machines.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce import one_fit
from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments.costs import COSTS, REFERENCE_GENES, REFERENCE_ROWS, Cost, duration
from reproduce.experiments.provenance import code_fingerprint
from reproduce.experiments.scaling_process import NETWORK_METHODS, Server, simulated_rows
from reproduce.files import write_table
from reproduce.imputers import METHODS, make_imputer

BASE = "base"
#: What is varied, and on which scale a size is measured.
AXES = ("n_genes", "n_samples", "missing_rate")
#: Without other cohorts to refer to it is another method's fit.
LEFT_OUT = ("transfer",)
#: The base size, which every figure of a method starts from, may take this many times as long as any other.
BASE_PATIENCE = 10
#: What was estimated to be short enough is stopped after this many times that long.
STOP = 3
#: A measurement is repeated if it took less than this share of the longest.
REPEATED_BELOW = 0.1
KEYS = ("method", "axis", "n_samples", "n_genes", "missing_rate", "seed", "hyperparameters")
MEASURED = (
    "fit_seconds", "impute_seconds", "fit_processor_seconds", "impute_processor_seconds", "import_seconds",
    "peak_memory_gb", "start_memory_gb", "r2",
)  # fmt: skip
COLUMNS = ("measurement_id", *KEYS, "status", *MEASURED, "estimated_seconds", "note", "machine")
_UNKNOWN_COST = Cost(0.5, 1, 1, constant=0.5)


@dataclass(frozen=True)
class Point:
    """One measurement to make.

    Attributes
    ----------
    method : str
        Key of `reproduce.imputers.METHODS`.
    axis : {"base", "n_genes", "n_samples", "missing_rate"}
        What differs from the base size.
    n_samples, n_genes : int
    missing_rate : float
    seed : int
        Of rows, holes and fit.
    hyperparameters : str
        JSON of those that are not the method's defaults.
    """

    method: str
    axis: str
    n_samples: int
    n_genes: int
    missing_rate: float
    seed: int = 0
    hyperparameters: str = "{}"

    @property
    def size(self) -> float:
        """The size on the point's own axis; of samples at the base."""
        return getattr(self, "n_samples" if self.axis == BASE else self.axis)

    def measurement_id(self) -> str:
        """Digest of what decides the result: the size, the settings and the code, not the machine."""
        modules = (METHODS[self.method].target.split(":")[0], "reproduce.one_fit", "reproduce.loaders.tissue_simulator")
        code = [*map(code_fingerprint, modules), inspect.getsource(simulated_rows)]
        content = {key: value for key, value in asdict(self).items() if key != "axis"} | {"code": code}
        content |= {"parameters": dict(METHODS[self.method].parameters)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Sizes:
    """The base size, and what each of its three numbers is varied to."""

    n_samples: int
    n_genes: int
    missing_rate: float
    samples: tuple[int, ...] = ()
    genes: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        whole = {"n_samples": (self.n_samples, *self.samples), "n_genes": (self.n_genes, *self.genes)}
        for name, values in whole.items():
            if bad := [value for value in values if isinstance(value, bool) or int(value) != value or value < 10]:
                raise ConfigError(f"{name} is to be {bad[0]!r}; give whole numbers of at least 10.")
        if bad := [rate for rate in (self.missing_rate, *self.rates) if not 0 < rate < 1]:
            raise ConfigError(f"missing_rate is to be {bad[0]!r}; give fractions between 0 and 1.")

    def points(self, method: str, seed: int, hyperparameters: str) -> list[Point]:
        """The base first, then each axis from the base outwards."""
        base = Point(method, BASE, self.n_samples, self.n_genes, self.missing_rate, seed, hyperparameters)
        values = {"n_genes": self.genes, "n_samples": self.samples, "missing_rate": self.rates}
        points = [base]
        for axis in AXES:
            others = sorted(
                set(values[axis]) - {getattr(base, axis)}, key=lambda v: abs(np.log(v / getattr(base, axis)))
            )
            points += [Point(**asdict(base) | {"axis": axis, axis: value}) for value in others]
        return points


def scaling_plan(
    sizes: Sizes,
    *,
    network_sizes: Sizes | None = None,
    methods: Iterable[str] = (),
    epochs: Mapping[str, int] | None = None,
    n_repeats: int = 1,
) -> list[Point]:
    """Every measurement of every method.

    Parameters
    ----------
    sizes : Sizes
    network_sizes : Sizes, optional
        Of the methods that train networks, each of whose fits takes as long as many of the others'; as `sizes` if not
        given. Both have the same base.
    methods : iterable of str
        By default all but `LEFT_OUT`.
    epochs : mapping of str to int, optional
        Shorter training by method.
    n_repeats : int, default 1
        Seeds of each size.

    Returns
    -------
    list of Point
        Method by method, networks last; the repeats of a size after all its method's sizes.

    Raises
    ------
    ConfigError
        For an unknown method, one that is given twice, or two base sizes.
    """
    methods = list(methods) or [name for name in METHODS if name not in LEFT_OUT]
    epochs, network_sizes = dict(epochs or {}), network_sizes or sizes
    if unknown := [name for name in (*methods, *epochs) if name not in METHODS]:
        raise ConfigError(f"Unknown method {unknown[0]!r}; known are {', '.join(METHODS)}.")
    if len(set(methods)) < len(methods):
        raise ConfigError(f"A method is given twice: {', '.join(methods)}.")
    if sizes.points("median", 0, "")[0] != network_sizes.points("median", 0, "")[0]:
        raise ConfigError("Networks must have the same base size as the other methods; give one.")
    plan = []
    for name in sorted(methods, key=lambda name: name in NETWORK_METHODS):
        chosen, changed = network_sizes if name in NETWORK_METHODS else sizes, _hyperparameters(name, epochs)
        plan += [point for seed in range(n_repeats) for point in chosen.points(name, seed, changed)]
    return plan


def _hyperparameters(method: str, epochs: Mapping[str, int]) -> str:
    """JSON; all steps are taken, since where training stops early depends on the rows and not on their number."""
    changed = {"epochs": int(epochs[method])} if method in epochs else {}
    if "patience" in METHODS[method].load()._get_param_names():
        changed["patience"] = None
    make_imputer(method, **changed)  # refuses what the method does not know
    return json.dumps(changed, sort_keys=True)


# --- estimates ---


def estimated_seconds(point: Point, taken: Sequence[Mapping]) -> float:
    """How long a measurement would take, from those of its method that were made.

    Parameters
    ----------
    point : Point
    taken : sequence of mapping
        Rows of the table so far.

    Returns
    -------
    float
        Extrapolated from the nearest size on its axis, with the growth between the two nearest; where only the base
        was measured, with that of `reproduce.experiments.costs`, and where nothing was, wholly by that.
    """
    known = [row for row in taken if row["method"] == point.method and row["axis"] in (BASE, point.axis)]
    known = [row for row in known if np.isfinite(_seconds(row))]
    cost = COSTS.get(point.method, _UNKNOWN_COST)
    if not known or point.axis == BASE:
        seconds = cost.seconds * _growth(cost, point.n_samples / REFERENCE_ROWS, point.n_genes / REFERENCE_GENES)
        epochs = json.loads(point.hyperparameters).get("epochs", cost.epochs)
        return seconds * epochs / cost.epochs
    by_size: dict[float, float] = {}
    for row in known:
        size = row[point.axis]
        by_size[size] = max(by_size.get(size, 0.0), _seconds(row))
    nearest = sorted(by_size, key=lambda size: abs(np.log(size / point.size)))[:2]
    ratio = point.size / nearest[0]
    if len(nearest) > 1:
        power = np.log(by_size[nearest[0]] / by_size[nearest[1]]) / np.log(nearest[0] / nearest[1])
        return float(by_size[nearest[0]] * ratio ** np.clip(power, -4, 4))
    if point.axis == "missing_rate":
        return by_size[nearest[0]]
    growth = _growth(cost, *((ratio, 1.0) if point.axis == "n_samples" else (1.0, ratio)))
    return by_size[nearest[0]] * growth


def _growth(cost: Cost, rows: float, genes: float) -> float:
    return cost.constant + (1 - cost.constant) * rows**cost.rows * genes**cost.genes


def _seconds(row: Mapping) -> float:
    """Processor time of a measurement, which other work beside it does not lengthen; when one was stopped."""
    if row["status"] == "ok":
        return max(row["fit_processor_seconds"] + row["impute_processor_seconds"], 1e-4)
    return row["estimated_seconds"] if row["status"] in ("stopped", "skipped") else np.nan


# --- what is stored, what is to be done ---


def _walk(
    points: Sequence[Point], stored: Mapping[str, Mapping], most_seconds: float
) -> tuple[list[dict], Point | None]:
    """A method's rows as far as they are stored or need no measurement, and the first point that does."""
    rows: list[dict] = []
    for point in points:
        keys, measurement_id = asdict(point), point.measurement_id()
        if point.seed and not _worth_repeating(point, rows, most_seconds):
            continue
        if (row := stored.get(measurement_id)) is not None:
            rows.append({**row, **keys})
            continue
        estimate = estimated_seconds(point, rows)
        why = _beyond(point, rows)
        if not why and estimate <= most_seconds * (BASE_PATIENCE if point.axis == BASE else 1):
            return rows, point
        note = f"skipped: estimated {duration(estimate)}" + (f", {why}" if why else "")
        empty = {"measurement_id": measurement_id, "status": "skipped", "estimated_seconds": estimate, "note": note}
        rows.append(dict.fromkeys(COLUMNS) | keys | empty | {"machine": ""})
    return rows, None


def _worth_repeating(point: Point, rows: Sequence[Mapping], most_seconds: float) -> bool:
    same = ("axis", "n_samples", "n_genes", "missing_rate")
    first = [row for row in rows if row["seed"] == 0 and all(row[key] == getattr(point, key) for key in same)]
    return any(row["status"] == "ok" and _seconds(row) < REPEATED_BELOW * most_seconds for row in first)


def _beyond(point: Point, rows: Sequence[Mapping]) -> str:
    """Whether a smaller number of genes or samples was too much already."""
    if point.axis not in ("n_genes", "n_samples"):
        return ""
    bad = [r for r in rows if r["axis"] == point.axis and r["status"] in ("failed", "stopped")]
    smaller = [row for row in bad if row[point.axis] < point.size]
    return f"a smaller size {smaller[0]['status']}" if smaller else ""


def _usable(points: Sequence[Point], table: pd.DataFrame, here: str, most_seconds: float) -> dict[str, dict]:
    """A method's stored rows of one machine: this one's if they suffice or no other machine's do."""
    table = table[table["measurement_id"].isin([point.measurement_id() for point in points])]
    machines = sorted(set(table["machine"]) - {here})
    by_machine = {
        name: {row["measurement_id"]: row for row in table[table["machine"] == name].to_dict("records")}
        for name in (here, *machines)
    }
    whole = [name for name, stored in by_machine.items() if stored and _walk(points, stored, most_seconds)[1] is None]
    return by_machine[whole[0] if whole else here]


def run_scaling(
    plan: Sequence[Point], folder: str | Path, name: str, *, most_seconds: float, server: type | None = None
) -> pd.DataFrame:
    """Measure what is not stored, one after the other.

    Parameters
    ----------
    plan : sequence of Point
        Of `scaling_plan`.
    folder : path-like
    name : str
        File name without its ending; written after each measurement, so that an interrupted run goes on from there.
    most_seconds : float
        Of the processor. A measurement whose estimate is longer is skipped; ten times that at the base size.
    server : type, optional
        Stands in for `Server` in tests.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row a point. status: "ok"; "skipped", which holds the estimate; "stopped", which took
        longer than thrice the limit; "failed", which is run again next time.
    """
    path, here = Path(folder) / f"{name}.csv", one_fit.machine()
    table = _read(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))
    table = table[table["status"].isin(["ok", "stopped"])]
    by_method: dict[str, list[Point]] = {}
    for point in plan:
        by_method.setdefault(point.method, []).append(point)
    stored = {method: _usable(points, table, here, most_seconds) for method, points in by_method.items()}
    kept = [row for rows in stored.values() for row in rows.values()]
    finished: list[dict] = []
    with tempfile.TemporaryDirectory() as rows_folder:
        for networks in (False, True):
            group = {m: p for m, p in by_method.items() if (m in NETWORK_METHODS) == networks}
            with (server or Server)(group, Path(rows_folder)) as worker:
                for method, points in group.items():
                    rows, point = _walk(points, stored[method], most_seconds)
                    while point is not None:
                        limit = STOP * most_seconds * (BASE_PATIENCE if point.axis == BASE else 1)
                        row = _row(point, worker.measure(point, limit), here, limit)
                        stored[method][row["measurement_id"]] = row
                        kept.append(row)
                        write_table(_table(kept), folder, name)
                        rows, point = _walk(points, stored[method], most_seconds)
                    finished += rows
    write_table(_table(finished), folder, name)
    return _read(path)  # as it is kept, so that a repeated run has the same digits


def _row(point: Point, answer: Mapping, machine: str, limit: float) -> dict:
    row = dict.fromkeys(COLUMNS) | {"measurement_id": point.measurement_id(), **asdict(point), "machine": machine}
    row |= {key: answer[key] for key in ("status", "note", *MEASURED) if key in answer}
    return row | ({"estimated_seconds": limit} if row["status"] == "stopped" else {})


def _table(rows: Sequence[Mapping]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path, keep_default_na=False, na_values={key: [""] for key in (*MEASURED, "estimated_seconds")}
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path} is no table of measurements ({error}); delete it and run again.") from error
    if absent := [column for column in COLUMNS if column not in table]:
        raise DataFormatError(f"{path} lacks the columns {', '.join(absent)}; delete it and run again.")
    return table
