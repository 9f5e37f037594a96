"""Keeps each trial's rows in a file of its own; never computes a score and never alters a finished trial.

One Parquet file a trial, written beside its place and renamed, so that a killed run leaves whole files or none. The
training curve is written first: where the rows are, the trial is complete. A failed trial is kept under another
ending until a retry succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.experiments.trials import COLUMNS, Trial, TrialResult
from reproduce.files import atomic_path

_DONE, _FAILED, _HISTORY = ".rows.parquet", ".failed.parquet", ".history.parquet"


class ResultsStore:
    """A folder of results, one trial a file.

    Parameters
    ----------
    folder : path-like
        Created on the first write.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def _path(self, trial_id: str, ending: str) -> Path:
        return self.folder / f"{trial_id}{ending}"

    def done(self, trial_id: str) -> bool:
        """Whether the trial finished; a failed one has not, and is run again."""
        return self._path(trial_id, _DONE).exists()

    def write(self, result: TrialResult) -> None:
        """Keep one trial's rows and training curve, replacing an earlier failure of the same trial."""
        if result.history is not None:
            _write(result.history, self._path(result.trial_id, _HISTORY))
        _write(result.rows, self._path(result.trial_id, _FAILED if result.failed else _DONE))
        if not result.failed:
            self._path(result.trial_id, _FAILED).unlink(missing_ok=True)

    def _files(self, ending: str, trial_ids: Iterable[str] | None) -> list[Path]:
        if trial_ids is None:
            return sorted(self.folder.glob(f"*{ending}"))
        paths = [self._path(trial_id, ending) for trial_id in dict.fromkeys(trial_ids)]
        return [path for path in paths if path.exists()]

    def read(self, trial_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Rows of all trials, or of those named, failed ones included.

        Returns
        -------
        DataFrame
            Columns as in `reproduce.experiments.trials.COLUMNS`; empty if nothing is stored.

        Raises
        ------
        DataFormatError
            For a file that is no results table, naming it.
        """
        ids = None if trial_ids is None else list(trial_ids)
        parts = [_read(path) for ending in (_DONE, _FAILED) for path in self._files(ending, ids)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))

    def read_histories(self, trial_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Training curves of all trials, or of those named, with columns trial_id, method and seed."""
        ids = None if trial_ids is None else list(trial_ids)
        parts = [_read(path) for path in self._files(_HISTORY, ids)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["trial_id", "method", "seed"])

    def export(self, path: str | Path, trials: Iterable[Trial], study) -> Path:
        """Write the rows of some trials as one Parquet file, sorted, so that the order of runs does not show.

        Training curves go beside it, into ``NAME-training.parquet``, where the trials have any.
        """
        path = Path(path)
        order = ["scenario", "test", "method", "transform", "training_rows", "seed", "level", "metric", "group"]
        ids = [trial.trial_id(study.fingerprint) for trial in trials]
        _write(self.read(ids).sort_values(order, kind="stable", ignore_index=True), path)
        histories = self.read_histories(ids)
        if len(histories):
            sorted_curves = histories.sort_values(["method", "seed", "trial_id", "epoch"], ignore_index=True)
            _write(sorted_curves, path.with_name(f"{path.stem}-training.parquet"))
        return path


def _write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these two
        raise DataFormatError(f"{path} is no results table ({error}); delete it and run again.") from error
