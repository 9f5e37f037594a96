"""Tells by a random sample whether older code's results are today's, and keeps them under today's ids if they are.

A trial is stored under an id that its code goes into, so any edit of shared code hides every stored trial, though most
edits leave all numbers as they were. Of every kind of trial that older code has run some are run again. If every score
of a method's sample is the same, all its trials of that older code are kept under today's ids as well.

What is verified is the sample. Seconds are carried over as they were measured, by the older code. Nothing that is
stored is ever deleted or altered.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import reproduce
from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments.grid import run_grid
from reproduce.experiments.older_trials import Carrying
from reproduce.experiments.store import ResultsStore
from reproduce.experiments.trials import Trial
from reproduce.files import write_json, write_table

#: Of the results folder: what was carried over on which evidence.
TABLE = "revalidated"
#: Of the store's folder: what was run again, until it is decided on.
FOLDER = "revalidation"
_TRIALS_AT_A_TIME = 200  # whose rows are held in memory
_SHOWN = 5
_COLUMNS = (
    "method",
    "old_fingerprint",
    "new_fingerprint",
    "n_recomputed",
    "n_carried",
    "largest_difference",
    "version",
)
_KEYS = ["test", "level", "group", "metric"]


@dataclass(frozen=True)
class Verdict:
    """What running a sample again has shown.

    Attributes
    ----------
    n_recomputed : int
    largest_difference : float
        Relative, over all scores and training curves; infinite where one is there and the other is not.
    differing : tuple of str
        One line for each trial that differs by more than the tolerance, naming its worst score.
    """

    n_recomputed: int
    largest_difference: float
    differing: tuple[str, ...]


# --- are they the same? ---


def score_differences(stored: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Every number of a trial by older code beside that by today's.

    Parameters
    ----------
    stored, now : DataFrame
        As `scores_and_curve` gives them.

    Returns
    -------
    DataFrame
        Columns test, level, group, metric, value_stored, value_now, and difference: relative to the larger of the two,
        0 only where both are equal or both are undefined, infinite where one is undefined or absent, or where the
        numbers of entries differ.
    """
    both = stored.merge(now, on=_KEYS, how="outer", suffixes=("_stored", "_now"), indicator=True, validate="1:1")
    old, new = both["value_stored"].to_numpy(float), both["value_now"].to_numpy(float)
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(old - new) / np.maximum(np.abs(old), np.abs(new))
    difference = np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))
    counted = both["n_evaluated_stored"].to_numpy(float) == both["n_evaluated_now"].to_numpy(float)
    both["difference"] = np.where((both["_merge"] == "both").to_numpy() & counted, difference, np.inf)
    return both.drop(columns=["_merge", "n_evaluated_stored", "n_evaluated_now"])


def scores_and_curve(rows: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """One trial's scores, and its training curve in the same form: a value for each column and epoch."""
    scores = rows[[*_KEYS, "value", "n_evaluated"]]
    if curve.empty:
        return scores
    numbers = [name for name in curve if name not in ("trial_id", "method", "seed", "epoch")]
    long = curve.melt(id_vars="epoch", value_vars=numbers, var_name="metric").dropna(subset="value")
    long["group"] = "epoch " + long.pop("epoch").astype(str)
    return pd.concat([scores, long.assign(test="", level="training curve", n_evaluated=0)], ignore_index=True)


def run_sample(
    carrying: Carrying, store: ResultsStore, folder: Path, *, n_jobs: int = 1, tolerance: float = 0.0
) -> Verdict:
    """Run the sample by today's code into a folder of its own, and compare it with what is stored.

    Trials that the folder holds already are not run again.
    """
    fresh = ResultsStore(folder, exports=folder / "exports")
    studies = {each.study.fingerprint: each.study for each in carrying.sample}
    for data, study in studies.items():
        trials = [each.trial for each in carrying.sample if each.study.fingerprint == data]
        run_grid(trials, study, fresh, n_jobs, on_failure="return")
    largest, differing = 0.0, []
    for each in carrying.sample:
        now = fresh.read([each.new_id])
        if (now["status"] != "ok").any():
            largest = np.inf
            differing.append(f"{each.trial.describe()}: fails by today's code: {now['error'].iloc[0]}")
            continue
        table = score_differences(
            scores_and_curve(store.read([each.old_id]), store.read_histories([each.old_id])),
            scores_and_curve(now, fresh.read_histories([each.new_id])),
        )
        largest = max(largest, float(table["difference"].max()))
        if (table["difference"] > tolerance).any():
            differing.append(_difference_text(each.trial, table, tolerance))
    return Verdict(len(carrying.sample), largest, tuple(differing))


def _difference_text(trial: Trial, table: pd.DataFrame, tolerance: float) -> str:
    worst = table.loc[table["difference"].idxmax()]
    n = int((table["difference"] > tolerance).sum())
    target = f" of {worst['test']}" if worst["test"] else ""
    return (
        f"{trial.describe()}: {n} of {len(table)} numbers differ, the most {worst['metric']}, {worst['level']} "
        f"{worst['group']}{target}: {float(worst['value_stored'])!r} stored, {float(worst['value_now'])!r} now "
        f"(relative difference {worst['difference']:.2g})"
    )


# --- carrying over ---


def revalidate(
    carryings: Iterable[Carrying],
    store: ResultsStore,
    results: str | Path,
    *,
    n_jobs: int = 1,
    tolerance: float = 0.0,
    say: Callable[[str], None] = print,
) -> bool:
    """Run each sample again; keep what it vouches for under today's ids, and name what it refutes.

    What an interrupted call has run lies in the store's folder, under `FOLDER`; another call goes on from there.
    What it had decided on and not finished carrying over, `finish_interrupted` finishes.

    Parameters
    ----------
    carryings : iterable of Carrying
    store : ResultsStore
    results : path-like
        Folder that gets ``revalidated.csv``, a line for each method and older code that was carried over.
    n_jobs : int, default 1
    tolerance : float, default 0
        Largest relative difference that counts as none. Same code on the same machine gives the same bits, so that
        anything else must be asked for.
    say : callable
        Given each verdict as text.

    Returns
    -------
    bool
        Whether every sample agreed.

    Raises
    ------
    ConfigError
        For a tolerance that is not in [0, 1).
    """
    if not 0.0 <= tolerance < 1.0:
        raise ConfigError(f"The tolerance is {tolerance!r}; give a relative difference of at least 0 and below 1.")
    agreed = True
    for carrying in carryings:
        folder = store.folder / FOLDER / carrying.name
        verdict = run_sample(carrying, store, folder, n_jobs=n_jobs, tolerance=tolerance)
        if verdict.differing:
            agreed = False
            say(_refutation(carrying, verdict))
            continue
        line = dict(zip(_COLUMNS, (carrying.method, carrying.old_fingerprint, carrying.new_fingerprint), strict=False))
        line |= {"n_recomputed": verdict.n_recomputed, "n_carried": len(carrying.trials)}
        line |= {"largest_difference": verdict.largest_difference, "version": reproduce.__version__}
        new_ids = {each.old_id: each.new_id for each in carrying.trials}
        write_json(_decision(folder), {"line": line, "new_ids": new_ids})
        _carry_over(folder, store, Path(results))
        say(
            f"{carrying.describe()}: {verdict.n_recomputed} run again, largest relative difference "
            f"{verdict.largest_difference:.2g}; {len(new_ids)} carried over"
        )
    return agreed


def finish_interrupted(store: ResultsStore, results: str | Path) -> int:
    """Finish what an interrupted call had decided to carry over; returns how many decisions that were.

    Raises
    ------
    DataFormatError
        For a file of a decision that cannot be read, naming it.
    """
    decided = sorted((store.folder / FOLDER).glob("*/decision.json"))
    for path in decided:
        _carry_over(path.parent, store, Path(results))
    return len(decided)


def _decision(folder: Path) -> Path:
    return folder / "decision.json"


def _carry_over(folder: Path, store: ResultsStore, results: Path) -> None:
    """As the decision in the folder says; then note it in the table, and only then forget the decision."""
    try:
        decision = json.loads(_decision(folder).read_text(encoding="utf-8"))
        line, new_ids = decision["line"], decision["new_ids"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataFormatError(f"{_decision(folder)} is no decision ({error!r}); delete its folder.") from error
    todo = {old: new for old, new in new_ids.items() if not store.done(new)}
    ids = list(todo)
    for start in range(0, len(ids), _TRIALS_AT_A_TIME):
        store.keep_also_as({old: todo[old] for old in ids[start : start + _TRIALS_AT_A_TIME]}, json.dumps(line))
    path = results / f"{TABLE}.csv"
    # as text: a fingerprint of digits alone is no number
    table = pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame(columns=list(_COLUMNS))
    added = pd.DataFrame([{name: format(line[name]) for name in _COLUMNS}])
    write_table(pd.concat([table, added], ignore_index=True).drop_duplicates(), results, TABLE)
    shutil.rmtree(folder)


def _refutation(carrying: Carrying, verdict: Verdict) -> str:
    lines = [
        f"{carrying.describe()}: {len(verdict.differing)} of {verdict.n_recomputed} trials run again DIFFER; none of "
        f"the {len(carrying.trials)} stored is carried over"
    ]
    lines += [f"  - {text}" for text in verdict.differing[:_SHOWN]]
    more = len(verdict.differing) - _SHOWN
    return "\n".join([*lines, *([f"  … and {more} more"] if more > 0 else [])])
