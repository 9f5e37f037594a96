"""The training loop of stacked networks: draws each gene's batches, runs compiled steps; never touches a file.

As in `reproduce.models.training`: cells lie on the device once, an epoch's batches are drawn outside the compiled part,
and one call runs a whole epoch. Every gene has its own batches, since each has its own cells; a gene with fewer cells
than the one with the most passes through its cells again within the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from reproduce.models.training import Fitted
from reproduce.multitask.features import Features
from reproduce.multitask.model import Layout, StackedNetworks, starting_weights

#: Cells predicted at once.
PREDICT_CELLS = 1024


@dataclass(frozen=True)
class TrainingSettings:
    """How networks are trained.

    Parameters
    ----------
    epochs : int
    batch_size : int
    learning_rate : float
        Adam's.
    penalty : float
        λ, the weight of the mean trace norm.
    l1 : float
        γ, the weight of the sum of absolute weights.
    start : {"common", "own"}
        See `reproduce.multitask.model.starting_weights`.
    """

    epochs: int = 8
    batch_size: int = 256
    learning_rate: float = 0.01
    penalty: float = 0.01
    l1: float = 0.01
    start: str = "own"


@dataclass(frozen=True)
class Cells:
    """What networks are trained on.

    Attributes
    ----------
    expression : ndarray of float32 (n_cells, n_factors)
        Scaled.
    tissues : ndarray of int (n_cells,)
    velocity : ndarray of float32 (n_cells, n_genes)
        Standardised; NaN where a gene has none.
    """

    expression: np.ndarray
    tissues: np.ndarray
    velocity: np.ndarray


class Trainer:
    """The networks of a layout with optimizer and compiled functions, reusable for any data of that layout."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.network = StackedNetworks(layout)
        self.optimizer = keras.optimizers.Adam()
        self.optimizer.build(self.network.trainable_variables)
        self._optimizer_start = [variable.numpy() for variable in self.optimizer.variables]
        # numbers of cells, steps and batches are left open, so that each function is traced once
        cells = [tf.TensorSpec((None, layout.n_factors)), tf.TensorSpec((None,), tf.int32)]
        lines = 2 * [tf.TensorSpec((layout.n_genes, layout.n_tissues, layout.n_factors, layout.n_features))]
        velocity, rows = tf.TensorSpec((None, layout.n_genes)), tf.TensorSpec((None, layout.n_genes, None), tf.int32)
        epoch = [*cells, velocity, *lines, rows, tf.TensorSpec(()), tf.TensorSpec(())]
        self._run_epoch = tf.function(self._epoch, input_signature=epoch, autograph=False)
        self._predict = tf.function(self._outputs, input_signature=[*cells, *lines], autograph=False)
        self._sensitivity = tf.function(self._slopes_of_outputs, input_signature=[*cells, *lines], autograph=False)

    def fit(
        self,
        cells: Cells,
        features: Features,
        settings: TrainingSettings,
        seed: int,
        validation: Cells | None = None,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Fitted:
        """Train from fresh weights.

        Parameters
        ----------
        cells : Cells
        features : Features
        settings : TrainingSettings
        seed : int
            Decides starting weights and batches.
        validation : Cells, optional
            Those that decide which epoch's weights are kept; without them the last epoch's are.
        on_epoch : callable, optional
            Called with (epoch, validation error) after each epoch.

        Returns
        -------
        Fitted
            Its history has a row an epoch: epoch, squared_error, l1, trace_norm, validation_loss.

        Raises
        ------
        FloatingPointError
            When training diverges.
        """
        order = np.random.SeedSequence(seed).generate_state(2)[1]
        self.network.set_stacked(weights_before(self.layout, seed, settings.start))
        for variable, value in zip(self.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate.assign(settings.learning_rate)
        on_device = [tf.constant(values) for values in (cells.expression, cells.tissues.astype(np.int32))]
        velocity = tf.constant(cells.velocity)
        lines = tf.constant(features.slopes), tf.constant(features.offsets)
        weights_of_terms = tf.constant(settings.l1, tf.float32), tf.constant(settings.penalty, tf.float32)
        draws = np.random.default_rng(int(order))
        rows_of = [np.flatnonzero(known) for known in np.isfinite(cells.velocity).T]
        records, best = [], None
        for epoch in range(1, settings.epochs + 1):
            rows = tf.constant(epoch_rows(rows_of, settings.batch_size, draws))
            terms = self._run_epoch(*on_device, velocity, *lines, rows, *weights_of_terms).numpy()
            if not np.isfinite(terms).all():
                raise FloatingPointError(
                    f"Training diverged in epoch {epoch} (terms {terms}); use a smaller learning_rate."
                )
            loss = float("nan") if validation is None else self._error(validation, features)
            records.append((epoch, *map(float, terms), loss))
            if validation is None and epoch < settings.epochs:
                pass  # only the last weights are wanted
            elif best is None or loss < best[1]:
                best = (epoch, loss, self.network.get_stacked())
            if on_epoch is not None:
                on_epoch(epoch, loss)
        columns = ["epoch", "squared_error", "l1", "trace_norm", "validation_loss"]
        return Fitted(best[2], pd.DataFrame(records, columns=columns), best[0])

    def predict(
        self, weights: list[np.ndarray], expression: np.ndarray, tissues: np.ndarray, features: Features
    ) -> np.ndarray:
        """Standardised velocities of all genes, float32 (n_cells, n_genes).

        Parameters
        ----------
        weights : list of ndarray
        expression : ndarray of float32 (n_cells, n_factors)
            Scaled.
        tissues : ndarray of int (n_cells,)
        features : Features
        """
        self.network.set_stacked(weights)
        return self._predicted(expression, tissues, features)

    def sensitivity(
        self, weights: list[np.ndarray], expression: np.ndarray, tissues: np.ndarray, features: Features
    ) -> np.ndarray:
        """Mean over cells of |∂ prediction / ∂ scaled expression|, float64 (n_genes, n_factors)."""
        self.network.set_stacked(weights)
        total = np.zeros((self.layout.n_genes, self.layout.n_factors))
        for block in _blocks(len(expression)):
            total += self._sensitivity(*_asked(expression[block], tissues[block]), *_lines(features)).numpy()
        return total / len(expression)

    def _predicted(self, expression: np.ndarray, tissues: np.ndarray, features: Features) -> np.ndarray:
        parts = [
            self._predict(*_asked(expression[block], tissues[block]), *_lines(features)).numpy()
            for block in _blocks(len(expression))
        ]
        return np.concatenate(parts, axis=1).T

    def _error(self, cells: Cells, features: Features) -> float:
        """Mean over genes of the mean squared error."""
        squares = (self._predicted(cells.expression, cells.tissues, features) - cells.velocity) ** 2
        return float(np.nanmean(np.nanmean(squares, axis=0)))

    # compiled

    def _epoch(self, expression, tissues, velocity, slopes, offsets, rows, l1, penalty) -> tf.Tensor:
        """All steps of an epoch; `rows` (n_steps, n_genes, batch). Means of squared error, L1 and trace norm."""
        n_steps = tf.shape(rows)[0]
        genes = tf.range(self.layout.n_genes)[:, None]

        def one_step(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_genes = rows[step]
            shown = tf.gather(expression, of_genes)
            where = tf.one_hot(tf.gather(tissues, of_genes), self.layout.n_tissues)
            wanted = tf.gather_nd(velocity, tf.stack([of_genes, tf.broadcast_to(genes, tf.shape(of_genes))], axis=-1))
            with tf.GradientTape() as tape:
                squares = tf.square(self.network(shown, where, slopes, offsets) - wanted)
                terms = tf.stack([tf.reduce_mean(squares), self.network.l1(), self.network.mean_trace_norm()])
                loss = terms[0] + l1 * terms[1] + penalty * terms[2]
            variables = self.network.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return step + 1, totals + terms

        totals = tf.while_loop(lambda step, _: step < n_steps, one_step, (0, tf.zeros(3)), parallel_iterations=1)[1]
        return totals / tf.cast(n_steps, tf.float32)

    def _outputs(self, expression, tissues, slopes, offsets) -> tf.Tensor:
        n_genes = self.layout.n_genes
        where = tf.one_hot(tissues, self.layout.n_tissues)
        return self.network(
            *(tf.repeat(values[None], n_genes, axis=0) for values in (expression, where)), slopes, offsets
        )

    def _slopes_of_outputs(self, expression, tissues, slopes, offsets) -> tf.Tensor:
        """Sum over cells of absolute derivatives (n_genes, n_factors)."""
        n_genes = self.layout.n_genes
        shown = tf.repeat(expression[None], n_genes, axis=0)
        where = tf.repeat(tf.one_hot(tissues, self.layout.n_tissues)[None], n_genes, axis=0)
        with tf.GradientTape() as tape:
            tape.watch(shown)
            total = tf.reduce_sum(self.network(shown, where, slopes, offsets))
        return tf.reduce_sum(tf.abs(tape.gradient(total, shown)), axis=1)


def weights_before(layout: Layout, seed: int, start: str) -> list[np.ndarray]:
    """The weights from which `Trainer.fit` starts with a seed, as of `starting_weights`."""
    return starting_weights(layout, int(np.random.SeedSequence(seed).generate_state(2)[0]), start)


def epoch_rows(rows_of: list[np.ndarray], batch_size: int, draws: np.random.Generator) -> np.ndarray:
    """Positions of the cells of an epoch's batches, int32 (n_steps, n_genes, batch).

    As many steps as the gene with the most cells needs to be passed through once; the others are passed through again,
    in a new order each time. No batch is larger than that gene's number of cells.

    Parameters
    ----------
    rows_of : list of ndarray of int
        For each gene the cells that have its velocity.
    batch_size : int
    draws : Generator
    """
    most = max(map(len, rows_of))
    batch = min(batch_size, most)
    total = -(-most // batch) * batch
    passes = [
        np.concatenate([draws.permutation(rows) for _ in range(-(-total // len(rows)))])[:total] for rows in rows_of
    ]
    return np.stack(passes).reshape(len(rows_of), -1, batch).transpose(1, 0, 2).astype(np.int32)


@lru_cache(maxsize=8)
def trainer_for(layout: Layout) -> Trainer:
    """The trainer of a layout, built and compiled once a process."""
    return Trainer(layout)


def _blocks(n_cells: int) -> list[slice]:
    return [slice(i, i + PREDICT_CELLS) for i in range(0, n_cells, PREDICT_CELLS)]


def _asked(expression: np.ndarray, tissues: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(expression, tf.float32), tf.constant(tissues.astype(np.int32))


def _lines(features: Features) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(features.slopes), tf.constant(features.offsets)
