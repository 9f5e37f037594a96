"""The training loop of all networks: draws batches and randomness, runs compiled steps, keeps the best weights.

It knows a network only by its contract: `train_step`, `impute`, `random_shapes`, `metric_names`, `compile_optimizers`
and `optimizers`. It never touches a file.

How it is fast: the rows lie on the device once. An epoch's batches and random integers are drawn at once, *outside* the
part that XLA compiles, while the epoch before still runs, and handed over as tensors (n_steps, batch_size, …), so that
one call runs a whole epoch without returning to Python. The compiled function depends on the network's layout and the
batch, not on the data, and is kept for the next training with the same layout: a grid over seeds compiles once a
process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import lru_cache

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from reproduce.models.layers import NetworkShape, initial_weights

#: Fewer steps than this are run eagerly, since tracing would cost more than it saves.
EAGER_BELOW = 40
#: From this many steps on XLA's compilation (seconds) pays.
COMPILED_FROM = 600
#: Rows filled at once.
IMPUTE_ROWS = 8192


@dataclass(frozen=True)
class TrainingData:
    """Rows of standardised expression with covariates.

    Parameters
    ----------
    expression : ndarray of float32 (n_samples, n_genes)
        0 where missing.
    observed : ndarray of float32 (n_samples, n_genes)
        1 where known.
    codes : ndarray of int32 (n_samples, n_categorical)
    numeric : ndarray of float32 (n_samples, n_numeric)
    """

    expression: np.ndarray
    observed: np.ndarray
    codes: np.ndarray
    numeric: np.ndarray

    def __len__(self) -> int:
        return len(self.expression)

    def rows(self, index: np.ndarray) -> TrainingData:
        """The rows at the given positions."""
        return TrainingData(**{name: values[index] for name, values in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class TrainingSettings:
    """How long and in what portions a network is trained.

    Parameters
    ----------
    epochs : int
        At most this many.
    steps_per_epoch : int
    batch_size : int
    patience : int or None
        Epochs without a better validation loss after which training stops; None never stops early. The best weights are
        restored in either case, where there are validation rows.
    validation_missing_rate : float
        Fraction of the validation rows' known entries that are hidden, once, to compute the validation loss. Half, also
        where the rows have holes of their own: asking for fewer entries makes the choice of weights noisier, which
        costs more than choosing them on emptier rows than those that are filled.
    """

    epochs: int = 200
    steps_per_epoch: int = 30
    batch_size: int = 48
    patience: int | None = 100
    validation_missing_rate: float = 0.5


@dataclass(frozen=True)
class Fitted:
    """Outcome of a training.

    Attributes
    ----------
    weights : list of ndarray
        The best weights, in the order of ``network.weights``.
    history : DataFrame
        One row an epoch: epoch, step, the network's metrics, validation_loss (NaN without validation rows).
    best_epoch : int
        Epoch (from 1) whose weights these are.
    """

    weights: list[np.ndarray]
    history: pd.DataFrame
    best_epoch: int


class Trainer:
    """A network, its optimizers and its compiled functions, reusable for any data of the same layout.

    Parameters
    ----------
    network : keras.Model
        See the module's text for what it must provide.
    mode : {"eager", "graph", "compiled"}
        How steps are executed: as Python runs them, as a TensorFlow graph, or compiled by XLA. Results agree up to
        rounding.
    """

    def __init__(self, network: keras.Model, mode: str):
        self.network = network
        network.compile_optimizers()
        self._optimizer_start = [[v.numpy() for v in o.variables] for o in network.optimizers]
        self._mode = mode
        self._run_epoch = {
            "eager": self._epoch_in_python,
            "graph": tf.function(self._epoch, autograph=False),
            "compiled": tf.function(self._epoch, autograph=False, jit_compile=True),
        }[mode]
        self._impute = network.impute
        if mode != "eager":
            self._impute = tf.function(network.impute, autograph=False, reduce_retracing=True)

    def fit(
        self,
        train: TrainingData,
        validation: TrainingData | None,
        settings: TrainingSettings,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Fitted:
        """Train from fresh weights.

        Parameters
        ----------
        train : TrainingData
        validation : TrainingData or None
            Rows for early stopping; None trains for all epochs and keeps the last weights.
        settings : TrainingSettings
        seed : int
            Decides starting weights, batches, masks and dropout: the same seed gives the same weights on the same
            machine.
        on_epoch : callable, optional
            Called with (epoch, validation loss) after each epoch.

        Returns
        -------
        Fitted
        """
        seeds = np.random.SeedSequence(seed).generate_state(4)
        self._reset(int(seeds[0]))
        batches = _batch_rows(len(train), settings, int(seeds[1]))
        check = None if validation is None else _Check(validation, settings.validation_missing_rate, int(seeds[2]))
        records, best = [], None
        for epoch, inputs in enumerate(self._inputs(train, batches, int(seeds[3])), start=1):
            metrics = self._run_epoch(inputs).numpy() / settings.steps_per_epoch
            loss = float("nan") if check is None else check.loss(self._impute)
            records.append((epoch, epoch * settings.steps_per_epoch, *map(float, metrics), loss))
            if not np.isfinite(metrics).all():
                raise FloatingPointError(
                    f"Training diverged in epoch {epoch} (loss {metrics}); use a smaller learning_rate."
                )
            if check is None or best is None or loss < best[1]:
                # without validation rows only the last epoch's weights are wanted
                if check is not None or epoch == settings.epochs:
                    best = (epoch, loss, self.network.get_weights())
            elif settings.patience is not None and epoch - best[0] >= settings.patience:
                break
            if on_epoch is not None:
                on_epoch(epoch, loss)
        columns = ["epoch", "step", *self.network.metric_names, "validation_loss"]
        return Fitted(best[2], pd.DataFrame(records, columns=columns), best[0])

    def _reset(self, seed: int) -> None:
        self.network.set_weights(initial_weights(self.network, seed))
        for optimizer, start in zip(self.network.optimizers, self._optimizer_start, strict=True):
            for variable, value in zip(optimizer.variables, start, strict=True):
                variable.assign(value)

    def _inputs(self, train: TrainingData, batches: np.ndarray, seed: int) -> Iterator[dict[str, tf.Tensor]]:
        """Inputs of one epoch after the other; the next ones are drawn while the caller works with the last."""
        on_device = {name: tf.convert_to_tensor(values) for name, values in train.arrays().items()}
        with ThreadPoolExecutor(max_workers=1) as pool:
            drawn = pool.submit(self._draw, on_device, batches[0], (seed, 1))
            for epoch in range(1, len(batches) + 1):
                inputs = drawn.result()
                if epoch < len(batches):
                    drawn = pool.submit(self._draw, on_device, batches[epoch], (seed, epoch + 1))
                yield inputs

    def _draw(self, train: dict[str, tf.Tensor], rows: np.ndarray, seed: tuple[int, int]) -> dict[str, tf.Tensor]:
        """Batches of one epoch with their random numbers, each (n_steps, batch_size, …)."""
        widths = tuple(self.network.random_shapes().items())
        return _draw_batches(train, tf.constant(rows), widths, tf.constant(seed, dtype=tf.int64))

    def _epoch(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Run all steps; returns the sums of the metrics (n_metrics,)."""
        n_steps = tf.shape(inputs["expression"])[0]

        def one_step(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            metrics = self.network.train_step({name: values[step] for name, values in inputs.items()})
            return step + 1, totals + tf.stack([metrics[name] for name in self.network.metric_names])

        totals = tf.zeros(len(self.network.metric_names))
        return tf.while_loop(lambda step, _: step < n_steps, one_step, (0, totals), parallel_iterations=1)[1]

    def _epoch_in_python(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        totals = 0.0
        for step in range(len(inputs["expression"])):
            metrics = self.network.train_step({name: values[step] for name, values in inputs.items()})
            totals += tf.stack([metrics[name] for name in self.network.metric_names])
        return totals


def impute(network: keras.Model, data: TrainingData) -> np.ndarray:
    """Predict all entries of all rows.

    Parameters
    ----------
    network : keras.Model
    data : TrainingData
        Every known entry is shown.

    Returns
    -------
    ndarray of float32 (n_samples, n_genes)
    """
    parts = [
        network.impute(part.expression, part.observed, part.codes, part.numeric).numpy()
        for part in (data.rows(np.arange(i, min(i + IMPUTE_ROWS, len(data)))) for i in range(0, len(data), IMPUTE_ROWS))
    ]
    return np.concatenate(parts)


@lru_cache(maxsize=8)
def trainer_for(network_class: type, shape: NetworkShape, settings: object, mode: str) -> Trainer:
    """The trainer of a layout, built and compiled once a process.

    Parameters
    ----------
    network_class : type
    shape : NetworkShape
    settings : dataclass
        The network's hyperparameters.
    mode : {"eager", "graph", "compiled"}

    Returns
    -------
    Trainer
    """
    return Trainer(network_class(shape, settings), mode)


def execution_mode(n_steps: int) -> str:
    """Cheapest way to run this many steps: "eager", "graph" or "compiled"."""
    return "eager" if n_steps < EAGER_BELOW else "graph" if n_steps < COMPILED_FROM else "compiled"


def _batch_rows(n_samples: int, settings: TrainingSettings, seed: int) -> np.ndarray:
    """Row positions (epochs, steps_per_epoch, batch_size): shuffled passes over the rows, one after the other."""
    generator = np.random.default_rng(seed)
    total = settings.epochs * settings.steps_per_epoch * settings.batch_size
    n_passes = -(-total // n_samples)
    passes = generator.permuted(np.tile(np.arange(n_samples, dtype=np.int32), (n_passes, 1)), axis=1)
    return passes.ravel()[:total].reshape(settings.epochs, settings.steps_per_epoch, settings.batch_size)


class _Check:
    """Validation rows, of which some known entries are hidden once and asked for after every epoch."""

    def __init__(self, data: TrainingData, missing_rate: float, seed: int):
        hidden = np.random.default_rng(seed).random(data.observed.shape) < missing_rate
        visible = data.observed * ~hidden
        self._truth, self._asked = data.expression, data.observed * hidden
        self._inputs = [tf.constant(v) for v in (data.expression * visible, visible, data.codes, data.numeric)]

    def loss(self, predict: Callable[..., tf.Tensor]) -> float:
        """Mean squared error over the hidden entries, of predictions without dropout."""
        squares = (predict(*self._inputs).numpy() - self._truth) ** 2
        return float((squares * self._asked).sum() / max(self._asked.sum(), 1.0))


@tf.function(autograph=False, reduce_retracing=True)
def _draw_batches(
    data: dict[str, tf.Tensor], rows: tf.Tensor, widths: tuple[tuple[str, int], ...], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Rows of the data (n_steps, batch_size, …) and random numbers for each.

    Random numbers have a name each and shape (n_steps, batch_size, width): uint16, or normal deviates for "noise".
    """
    drawn = {name: tf.gather(values, rows) for name, values in data.items()}
    batch_shape = tf.shape(rows)
    for k, (name, width) in enumerate(widths):
        stream = tf.stack([seed[0], seed[1] * len(widths) + k])
        shape = tf.concat([batch_shape, [width]], axis=0)
        if name == "noise":
            drawn[name] = tf.random.stateless_normal(shape, stream)
        else:
            # one 32-bit draw makes two 16-bit integers
            n = tf.reduce_prod(shape)
            words = tf.random.stateless_uniform([(n + 1) // 2], stream, None, None, tf.uint32)
            drawn[name] = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:n], shape)
    return drawn
