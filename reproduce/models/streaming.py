"""Trains a network on rows that are brought as they are needed; knows neither files nor what the rows are.

The loop, the drawing of random numbers and the compiled steps are those of `reproduce.models.training`. Only an epoch's
rows are on the device, and the next epoch's are brought while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from reproduce.models.training import Fitted, Trainer, TrainingData, TrainingSettings


class RowStream(Protocol):
    """Rows without end, in an order of their own."""

    def __len__(self) -> int:
        """How many different rows there are."""

    def take(self, n_rows: int) -> TrainingData:
        """The next rows."""


class StreamingTrainer(Trainer):
    """A trainer whose batches are a stream's rows in their order; parameters as of `Trainer`."""

    def fit(
        self,
        train: RowStream,
        validation: TrainingData | None,
        settings: TrainingSettings,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Fitted:
        """Train from fresh weights, as `Trainer.fit` does.

        Parameters
        ----------
        train : RowStream
            Asked for the rows of one epoch after the other.
        validation, settings, seed, on_epoch
            As in `Trainer.fit`; the seed does not decide the batches, which the stream does.

        Returns
        -------
        Fitted
        """
        self._stream = train
        try:
            return super().fit(_NoRows(len(train)), validation, settings, seed, on_epoch)
        finally:
            del self._stream  # it may hold a good part of memory

    def _draw(self, train: dict[str, tf.Tensor], rows: np.ndarray, seed: tuple[int, int]) -> dict[str, tf.Tensor]:
        # as they come is as they are wanted: nothing to gather, which would be a copy
        drawn = super()._draw(train, rows, seed)
        taken = self._stream.take(rows.size).arrays()
        while taken:
            name, values = taken.popitem()
            drawn[name] = tf.reshape(tf.convert_to_tensor(values), (*rows.shape, values.shape[1]))
        return drawn


class _NoRows:
    """Stands where the base class has all rows at hand: it knows how many there are."""

    def __init__(self, n_rows: int):
        self.n_rows = n_rows

    def __len__(self) -> int:
        return self.n_rows

    def arrays(self) -> dict[str, np.ndarray]:
        return {}
