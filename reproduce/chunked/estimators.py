"""Trains PMI and GAIN on, and applies any fitted imputer to, matrices larger than memory; never holds all rows.

    imputer = fit_network_in_chunks(PMIImputer(random_state=0), "cohort.zarr", covariates=["tissue"])
    transform_in_chunks(imputer, "cohort.zarr", "filled.zarr", covariates=["tissue"])

The estimator is the one that is fitted in memory elsewhere, with the same parameters and attributes, so it can be
saved, loaded and applied to rows in memory like any other. Training reads parts of the file in random order: as many as
`HELD_BYTES` hold at a time, and batches are drawn at random from all that are held.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from reproduce.chunked.passes import Moments, Passes, check_block_rows
from reproduce.errors import ConfigError
from reproduce.imputers._base import ExpressionImputer
from reproduce.imputers._covariates import CovariateEncoder, Covariates
from reproduce.imputers._network import NetworkImputer, epochs_shown
from reproduce.imputers._network_parts import covariate_arrays, network_shape
from reproduce.loaders.row_files import RowSource, open_rows, refuse_target, write_rows

__all__ = ["fit_network_in_chunks", "transform_in_chunks"]

#: Bytes of the rows, in single precision, from which training draws batches, and of those that validate (some copies of
#: which are made).
HELD_BYTES, VALIDATION_BYTES = 256 * 2**20, 64 * 2**20
#: Bytes of the parts in which the rows are shuffled, as far as the file's own chunks let it.
PART_BYTES = 4 * 2**20


def fit_network_in_chunks(
    imputer: NetworkImputer,
    source: object,
    *,
    covariates: pd.DataFrame | Sequence[str] | None = None,
    block_rows: int | None = None,
) -> NetworkImputer:
    """Train PMI or GAIN on a matrix larger than memory.

    One pass learns means and scales; then rows are read while the network trains. Besides the network, memory holds
    three epochs (``steps_per_epoch × batch_size`` rows each), `HELD_BYTES` of rows to draw from, and the validation
    rows: `VALIDATION_BYTES` of them at most, at random from those of the donors that are kept out of training.

    Parameters
    ----------
    imputer : PMIImputer or GAINImputer
        Its ``verbose`` shows the pass, the epochs and the time that is left.
    source : path, AnnData, or object with ``shape`` and slices of rows
        See `reproduce.loaders.row_files`. Expression in a log-like unit, NaN where missing.
    covariates : DataFrame (n_samples, …) or names of columns of ``obs``, optional
        As in the imputer's ``fit``.
    block_rows : int, optional
        Rows read at a time, and kept together where rows are shuffled; whole chunks of the file, of about 4 MB, if not
        given. A file that is sorted, by tissue for instance, wants small ones.

    Returns
    -------
    NetworkImputer
        The imputer given, fitted.

    Raises
    ------
    ConfigError
        For another imputer, or a parameter out of range.
    CovariateError
        For covariates that do not fit the rows.
    DataFormatError
        For infinite entries, or a gene without any known one, named.
    """
    if not isinstance(imputer, NetworkImputer):
        raise ConfigError(
            f"{type(imputer).__name__} cannot be trained in chunks; PMIImputer and GAINImputer can, and "
            "fit_low_rank_in_chunks fits the low-rank normal."
        )
    check_block_rows(block_rows)
    imputer._check_parameters()
    rows = open_rows(source)
    frame = _covariate_frame(rows, covariates)
    imputer._checked(_named(rows, slice(0, 1)), reset=True)
    imputer._check_rows(frame, _index(rows), rows.shape[0])
    imputer.covariate_encoder_ = None if frame is None else CovariateEncoder(imputer.unknown_category).fit(frame)
    encoded = imputer._encoded(frame)
    seed = int(check_random_state(imputer.random_state).randint(2**31))
    held_out = imputer._validation_rows(rows.shape[0], encoded, seed)
    kept = _some(np.flatnonzero(held_out), VALIDATION_BYTES // (4 * rows.shape[1]), seed)
    complete, validation = _learn_scale(imputer, rows, kept, block_rows)
    if imputer.varying_.any():
        prepared = _Prepared(imputer, encoded, rows.shape[0])
        stream = ShuffledRows(rows, ~held_out, prepared, _parts(rows, block_rows), seed)
        _train(imputer, stream, prepared(validation, kept) if kept.size else None, complete, encoded, seed)
    return imputer


def transform_in_chunks(
    imputer: ExpressionImputer,
    source: object,
    target: str | os.PathLike[str],
    *,
    covariates: pd.DataFrame | Sequence[str] | None = None,
    block_rows: int | None = None,
    progress: bool = False,
) -> Path:
    """Fill the missing entries of a matrix by a fitted imputer, a block of rows in and out, in float32.

    Parameters
    ----------
    imputer : ExpressionImputer
        Fitted, in memory or in chunks, and one that fills rows it was not fitted on.
    source
        As in `fit_network_in_chunks`, of the fitted genes.
    target : path
        Ends in .h5ad or .zarr and does not exist yet. It appears when all rows are written. An AnnData's ``obs`` and
        ``var`` are written with it, other parts (layers, obsm, uns) are not.
    covariates
        As in `fit_network_in_chunks`; required exactly if the fit had them.
    block_rows : int, optional
        Rows read and filled at a time; about 64 MB if not given.
    progress : bool, default False
        Show rows and the time that is left.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    ConfigError
        For a target that exists or has another ending.
    CovariateError
        For covariates that do not fit the rows or the imputer.
    DataFormatError
        For infinite entries.
    ValueError
        For genes other than the fitted ones.
    """
    check_is_fitted(imputer)
    check_block_rows(block_rows)
    refuse_target(target)
    rows = open_rows(source)
    frame = _covariate_frame(rows, covariates)
    imputer._check_rows(frame, _index(rows), rows.shape[0])
    with Passes(rows, block_rows, 1, progress) as passes, write_rows(target, rows) as write:
        for part, X in passes.blocks("filling"):
            own = None if frame is None else frame.iloc[part]
            filled = imputer.transform(_named(rows, part, X), covariates=own)
            write(part, np.asarray(filled, dtype=np.float32))
    return Path(target)


class ShuffledRows:
    """Rows for training without end: parts of the file in random order, and at random among the parts that are held.

    Parameters
    ----------
    rows : RowSource
    used : ndarray of bool (n_samples,)
        Rows that may be taken.
    prepared : callable
        Makes of rows and their positions what a network is trained on.
    parts : list of slice
        What is read at once and stays together.
    seed : int
    """

    def __init__(self, rows: RowSource, used: np.ndarray, prepared: _Prepared, parts: list[slice], seed: int):
        self.rows, self.used, self.prepared = rows, used, prepared
        self.parts = [part for part in parts if used[part].any()]
        self._generator = np.random.default_rng([seed, 8])
        self._order: list[slice] = []
        self._values, self._positions = np.empty((0, rows.shape[1]), np.float32), np.empty(0, np.int64)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.used))

    def take(self, n_rows: int):
        """The next rows, as `reproduce.models.training.TrainingData`; every row comes once before any comes again."""
        values, positions = np.empty((n_rows, self.rows.shape[1]), np.float32), np.empty(n_rows, np.int64)
        taken = 0
        while taken < n_rows:
            if not len(self._positions):
                self._refill()
            n = min(n_rows - taken, len(self._positions))
            values[taken : taken + n], self._values = self._values[:n], self._values[n:]
            positions[taken : taken + n], self._positions = self._positions[:n], self._positions[n:]
            taken += n
        return self.prepared(values, positions)

    def _refill(self) -> None:
        """Read the next parts, as many as may be held, and shuffle their rows."""
        if not self._order:
            self._order = [self.parts[i] for i in self._generator.permutation(len(self.parts))]
        most = max(1, HELD_BYTES // (4 * self.rows.shape[1]))
        chosen, n = [], 0
        while self._order and (not chosen or n + np.count_nonzero(self.used[self._order[-1]]) <= most):
            chosen.append(self._order.pop())
            n += np.count_nonzero(self.used[chosen[-1]])
        self._values = np.empty((0, self.rows.shape[1]), np.float32)  # the old ones go before the new ones come
        values, positions = np.empty((n, self.rows.shape[1]), np.float32), np.empty(n, np.int64)
        places, start = self._generator.permutation(n), 0
        for part in chosen:
            used = self.used[part]
            own = places[start : start + np.count_nonzero(used)]
            values[own] = self.rows.read(part)[used]
            positions[own] = np.flatnonzero(used) + part.start
            start += len(own)
        self._values, self._positions = values, positions


class _Prepared:
    """Standardises rows as a fitted imputer does, in place, and joins their covariates, for training."""

    def __init__(self, imputer: NetworkImputer, encoded: Covariates | None, n_samples: int):
        self.varying = imputer.varying_
        self.center = imputer.center_[self.varying].astype(np.float32)
        self.scale = imputer.scale_[self.varying].astype(np.float32)
        self.covariates = covariate_arrays(encoded, n_samples)

    def __call__(self, values: np.ndarray, positions: np.ndarray):
        from reproduce.models.training import TrainingData

        Z = values if self.varying.all() else values[:, self.varying]
        observed = ~np.isnan(Z)
        Z -= self.center
        Z /= self.scale
        Z[~observed] = 0.0
        own = {name: column[positions] for name, column in self.covariates.items()}
        return TrainingData(expression=Z, observed=observed.astype(np.float32), **own)


def _train(
    imputer: NetworkImputer, stream: ShuffledRows, validation, complete: bool, encoded: Covariates | None, seed: int
) -> None:
    from reproduce.models.streaming import StreamingTrainer
    from reproduce.models.training import TrainingSettings, execution_mode

    settings = TrainingSettings(
        epochs=int(imputer.epochs),
        steps_per_epoch=int(imputer.steps_per_epoch),
        batch_size=int(imputer.batch_size),
        patience=None if imputer.patience is None else int(imputer.patience),
    )
    imputer._shape = network_shape(int(imputer.varying_.sum()), encoded)
    imputer._settings = imputer._network_settings(complete)
    network = imputer._network_class()(imputer._shape, imputer._settings)
    trainer = StreamingTrainer(network, execution_mode(settings.epochs * settings.steps_per_epoch))
    with epochs_shown(imputer, settings.epochs) as show:
        fitted = trainer.fit(stream, validation, settings, seed, on_epoch=show)
    imputer.network_weights_ = fitted.weights
    imputer.history_ = fitted.history
    imputer.best_epoch_ = fitted.best_epoch
    imputer.n_validation_samples_ = 0 if validation is None else len(validation)
    imputer._network = None


def _learn_scale(
    imputer: NetworkImputer, rows: RowSource, wanted: np.ndarray, block_rows: int | None
) -> tuple[bool, np.ndarray]:
    """Set what the base class learns of each gene; returns whether no entry is missing, and the rows wanted."""
    p = rows.shape[1]
    moments, low, high = Moments(1, p), np.full(p, np.nan), np.full(p, np.nan)
    values = np.empty((len(wanted), p), np.float32)
    with Passes(rows, block_rows, 1, imputer.verbose) as passes:
        for part, X in passes.blocks("means and scales"):
            moments.add(0, X)
            low, high = np.fmin(low, np.fmin.reduce(X)), np.fmax(high, np.fmax.reduce(X))
            first, last = np.searchsorted(wanted, (part.start, part.stop))
            values[first:last] = X[wanted[first:last] - part.start]
    moments.check(rows)
    # as `ExpressionImputer._learn_scale`: a few units in the last place are rounding of one constant
    imputer.varying_ = high - low > 8 * np.finfo(np.float64).eps * np.maximum(np.abs(low), np.abs(high))
    imputer.center_ = np.where(imputer.varying_, moments.means[0], low)
    imputer.scale_ = np.where(imputer.varying_, np.sqrt(moments.squares[0] / moments.known[0]), 1.0)
    return bool(moments.known.sum() == rows.shape[0] * p), values


def _some(positions: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the positions, at random, in rising order."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng([seed, 9]).choice(positions, max(1, most), replace=False))


def _parts(rows: RowSource, block_rows: int | None) -> list[slice]:
    """What is read at once: about `PART_BYTES`, or the file's own chunks where they are larger."""
    if block_rows is None:
        block_rows = max(1, PART_BYTES // (4 * rows.shape[1]))
        of_file = getattr(rows.values, "chunks", None)
        if of_file and isinstance(of_file[0], int):
            block_rows = of_file[0] * max(1, block_rows // of_file[0])
    return rows.slices(block_rows)


# covariates and names


def _covariate_frame(rows: RowSource, covariates: pd.DataFrame | Sequence[str] | None) -> pd.DataFrame | None:
    if covariates is None or isinstance(covariates, pd.DataFrame):
        return covariates
    return rows.obs_columns([covariates] if isinstance(covariates, str) else covariates)


def _index(rows: RowSource) -> pd.Index | None:
    return None if rows.obs is None else rows.obs.index


def _named(rows: RowSource, part: slice, X: np.ndarray | None = None) -> np.ndarray | pd.DataFrame:
    """Rows with the names of genes and samples where there are any."""
    X = rows.read(part) if X is None else X
    if rows.genes is None:
        return X
    return pd.DataFrame(X, index=None if rows.obs is None else rows.obs.index[part], columns=list(rows.genes))
