"""Keeps each trial's rows in a file of its own; never computes a score and never alters a finished trial.

One Parquet file a trial, written beside its place and renamed, so that a killed run leaves whole files or none. The
training curve is written first: where the rows are, the trial is complete. A failed trial is kept under another
ending until a retry succeeds.

An export gathers trials in one Parquet file, small enough to be committed. Exports that lie beside the folder count as
stored too: a clean clone resumes from them. A trial's id says which code made it from which data, so that what is stale
is not found there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reproduce.errors import DataFormatError
from reproduce.experiments.plans import NETWORKS
from reproduce.experiments.trials import COLUMNS, Trial, TrialResult
from reproduce.files import atomic_path

_DONE, _FAILED, _HISTORY = ".rows.parquet", ".failed.parquet", ".history.parquet"
_CURVES = "-training.parquet"  # an export's training curves: NAME-training.parquet beside NAME.parquet
#: By which the rows of an export are sorted.
_ORDER = ("scenario", "test", "method", "transform", "training_rows", "seed", "level", "metric", "group")
#: Key of a file's metadata that says why a trial is kept under an id other than that it was run by.
NOTE = b"reproduce:kept_also_as"
_CURVE_COLUMNS = ("epoch", "step", "train_loss", "validation_loss", "trial_id", "method", "seed")


class ResultsStore:
    """A folder of results, one trial a file, and the exports beside it.

    Parameters
    ----------
    folder : path-like
        Created on the first write.
    exports : path-like, optional
        Folder whose Parquet files, as `export` writes them, are searched for trials that `folder` lacks; by default
        the one that holds `folder`. They are listed once, when they are first needed, and never altered except by
        `export`. Failed trials in them do not count, nor do networks without their training curve. Of a trial in
        several exports the first one's rows are read, in the order of the files' names.
    """

    def __init__(self, folder: str | Path, *, exports: str | Path | None = None):
        self.folder = Path(folder)
        self.exports = self.folder.resolve().parent if exports is None else Path(exports)

    def _path(self, trial_id: str, ending: str) -> Path:
        return self.folder / f"{trial_id}{ending}"

    @cached_property
    def _exported(self) -> dict[str, _Place]:
        """Where finished trials lie in the exports, by their ids."""
        found: dict[str, _Place] = {}
        for path in sorted(self.exports.glob("*.parquet")):
            if not path.name.endswith(_CURVES):
                found = _finished(path) | found
        return found

    def done(self, trial_id: str) -> bool:
        """Whether the trial finished, here or in an export; a failed one has not, and is run again.

        Raises
        ------
        DataFormatError
            For an export that cannot be read, naming it.
        """
        return self._path(trial_id, _DONE).exists() or trial_id in self._exported

    def write(self, result: TrialResult) -> None:
        """Keep one trial's rows and training curve, replacing an earlier failure of the same trial."""
        if result.history is not None:
            _write(result.history, self._path(result.trial_id, _HISTORY))
        _write(result.rows, self._path(result.trial_id, _FAILED if result.failed else _DONE))
        if not result.failed:
            self._path(result.trial_id, _FAILED).unlink(missing_ok=True)

    def keep_also_as(self, new_ids: Mapping[str, str], note: str) -> None:
        """Keep finished trials under further ids as well; whatever is stored under the old ones stays.

        Parameters
        ----------
        new_ids : mapping of str to str
            New ids by old ones.
        note : str
            Why. It goes into the new files' Parquet metadata under `NOTE`, and not into exports.

        Raises
        ------
        DataFormatError
            For an old id that is not stored, or a file that is no results table.
        """
        rows, curves = self.read(new_ids), self.read_histories(new_ids)
        if absent := sorted(set(new_ids) - set(rows.loc[rows["status"] == "ok", "trial_id"])):
            raise DataFormatError(f"{self.folder}: no result of trial {absent[0]} is stored; run again.")
        curve_of = dict(iter(curves.groupby("trial_id")))
        for old_id, part in rows.groupby("trial_id", sort=False):
            new_id = new_ids[old_id]
            if old_id in curve_of:  # without columns that only other networks have
                curve = curve_of[old_id].dropna(axis="columns", how="all").assign(trial_id=new_id)
                _write(curve, self._path(new_id, _HISTORY), note)
            _write(part.assign(trial_id=new_id), self._path(new_id, _DONE), note)
            self._path(new_id, _FAILED).unlink(missing_ok=True)

    def _ids(self, trial_ids: Iterable[str] | None) -> list[str]:
        """Each id once, in the given order; of all trials in the folder if None."""
        if trial_ids is None:
            names = [path.name for ending in (_DONE, _FAILED) for path in sorted(self.folder.glob(f"*{ending}"))]
            trial_ids = [name.partition(".")[0] for name in names]
        return list(dict.fromkeys(trial_ids))

    def _divided(self, ids: list[str]) -> tuple[list[str], list[str], list[str]]:
        """Those that finished here, those that are exported, and those that failed."""
        here = [trial_id for trial_id in ids if self._path(trial_id, _DONE).exists()]
        rest = [trial_id for trial_id in ids if not self._path(trial_id, _DONE).exists()]
        exported = [trial_id for trial_id in rest if trial_id in self._exported]
        failed = [i for i in rest if i not in self._exported and self._path(i, _FAILED).exists()]
        return here, exported, failed

    def read(self, trial_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Rows of the trials named, failed ones included; without names, of all trials in the folder.

        Returns
        -------
        DataFrame
            Columns as in `reproduce.experiments.trials.COLUMNS`; empty if nothing is stored.

        Raises
        ------
        DataFormatError
            For a file that is no results table, or an export that was replaced while it was needed, naming it.
        """
        ids = self._ids(trial_ids)
        here, exported, failed = self._divided(ids)
        parts = [_read(self._path(trial_id, _DONE)) for trial_id in here]
        parts += _chosen({trial_id: self._exported[trial_id].rows for trial_id in exported})
        parts += [_read(self._path(trial_id, _FAILED)) for trial_id in failed]
        return _joined(parts, ids) if parts else pd.DataFrame(columns=list(COLUMNS))

    def read_histories(self, trial_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Training curves of the trials named, or of all in the folder, with columns trial_id, method and seed.

        Raises
        ------
        DataFormatError
            As `read`.
        """
        ids = self._ids(trial_ids)
        here, exported, _ = self._divided(ids)
        parts = [_read(path) for trial_id in here if (path := self._path(trial_id, _HISTORY)).exists()]
        parts += _chosen({trial_id: path for trial_id in exported if (path := self._exported[trial_id].curves)})
        if not parts:
            return pd.DataFrame(columns=["trial_id", "method", "seed"])
        table = _joined(parts, ids)
        # what only other networks have is empty in an export: neither kept nor, so that exports agree, in another order
        others = sorted(name for name in table if name not in _CURVE_COLUMNS and table[name].notna().any())
        return table[[*(name for name in _CURVE_COLUMNS if name in table), *others]]

    def export(self, path: str | Path, trials: Iterable[Trial], study) -> Path:
        """Write the rows of some trials as one Parquet file, sorted, so that the order of runs does not show.

        Training curves go beside it, into ``NAME-training.parquet``, where the trials have any. An export that is
        written again from itself stays the same, byte by byte.

        Raises
        ------
        DataFormatError
            For a trial that is not stored, naming it: what is there already must not be replaced by less.
        """
        return self.export_by_id(path, {trial.trial_id(study.fingerprint): trial.describe() for trial in trials})

    def export_by_id(self, path: str | Path, described: Mapping[str, str], order: Sequence[str] = _ORDER) -> Path:
        """As `export`, for results that are stored under identities of their own.

        Parameters
        ----------
        path : path-like
        described : mapping of str to str
            By the id of each result what was run, in words.
        order : sequence of str
            Columns by which the rows are sorted.

        Raises
        ------
        DataFormatError
            As `export`.
        """
        path, ids = Path(path), list(described)
        rows, histories = self.read(ids), self.read_histories(ids)
        if absent := sorted(set(ids) - set(rows["trial_id"])):
            raise DataFormatError(f"{path}: no result of {described[absent[0]]} is stored; run it first.")
        _write(rows.sort_values(list(order), kind="stable", ignore_index=True), path)
        if len(histories):
            sorted_curves = histories.sort_values(["method", "seed", "trial_id", "epoch"], ignore_index=True)
            _write(sorted_curves, path.with_name(f"{path.stem}{_CURVES}"))
        return path


@dataclass(frozen=True)
class _Place:
    """The files that hold an exported trial's rows and, for a network, its training curve."""

    rows: Path
    curves: Path | None


def _finished(path: Path) -> dict[str, _Place]:
    """The trials of an export that need not be run again, by their ids; none in a table of another kind."""
    columns = ["trial_id", "method", "status"]
    try:
        if not set(columns) <= set(pq.read_schema(path).names):
            return {}
        trials = pd.read_parquet(path, columns=columns).drop_duplicates("trial_id")
        curves = path.with_name(f"{path.stem}{_CURVES}")
        with_curve = set(pd.read_parquet(curves, columns=["trial_id"])["trial_id"]) if curves.exists() else set()
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these two
        raise DataFormatError(
            f"{path} or its training curves cannot be read ({error}); restore or delete it."
        ) from error
    trials = trials[
        (trials["status"] == "ok") & (trials["trial_id"].isin(with_curve) | ~trials["method"].isin(NETWORKS))
    ]
    return {trial_id: _Place(path, curves if trial_id in with_curve else None) for trial_id in trials["trial_id"]}


def _chosen(places: dict[str, Path]) -> list[pd.DataFrame]:
    """The tables' rows of the trials that are looked for in them; each table is read once."""
    parts = []
    for path in dict.fromkeys(places.values()):
        ids = {trial_id for trial_id, place in places.items() if place == path}
        table = _read(path)
        table = table[table["trial_id"].isin(ids)]
        if gone := ids - set(table["trial_id"]):  # replaced by another process since it was listed
            raise DataFormatError(f"{path} does not hold trial {min(gone)} any more; run again.")
        parts.append(table)
    return parts


def _joined(parts: list[pd.DataFrame], trial_ids: list[str]) -> pd.DataFrame:
    """One table, trial by trial in the given order, wherever each came from."""
    table = pd.concat(parts, ignore_index=True)
    position = {trial_id: i for i, trial_id in enumerate(trial_ids)}
    return table.iloc[table["trial_id"].map(position).argsort(kind="stable")].reset_index(drop=True)


def _write(table: pd.DataFrame, path: Path, note: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if note is None:
            table.to_parquet(temporary, index=False)
            return
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        pq.write_table(arrow.replace_schema_metadata({**arrow.schema.metadata, NOTE: note.encode()}), temporary)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these two
        raise DataFormatError(f"{path} is no results table ({error}); delete it and run again.") from error
