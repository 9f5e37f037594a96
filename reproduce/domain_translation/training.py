"""The training loop of translators' networks: draws batches and noise, runs steps, keeps the best weights; no files.

As in `reproduce.models.training`: rows lie on the device once, an epoch's batches and random numbers are drawn outside
the compiled part, one call runs a whole epoch, and compiled functions are kept for the next training of the same
layout. What differs is that some rows have no partner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf

from reproduce.domain_translation.networks import AlignmentSettings, PerceptronSettings
from reproduce.models.layers import RESOLUTION, initial_weights
from reproduce.models.training import EAGER_BELOW, Fitted

Settings = AlignmentSettings | PerceptronSettings


@dataclass(frozen=True)
class LayerRows:
    """Standardised rows of two layers, and their scales.

    Attributes
    ----------
    source, target : ndarray of float32 (n_pairs, n_features)
    source_scale, target_scale : ndarray of float32 (2, n_features)
        Mean and standard deviation.
    classes : ndarray of int32 (n_pairs,)
        0 where none are known.
    source_only, target_only : ndarray of float32 (n_rows, n_features)
        Samples of one layer.
    """

    source: np.ndarray
    target: np.ndarray
    source_scale: np.ndarray
    target_scale: np.ndarray
    classes: np.ndarray
    source_only: np.ndarray
    target_only: np.ndarray

    def pairs(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Some pairs with the scales, by name."""
        return {
            "source": self.source[index], "target": self.target[index],
            "source_scale": self.source_scale, "target_scale": self.target_scale,
        }  # fmt: skip


@dataclass(frozen=True)
class TrainingSettings:
    """How long and in what portions a network is trained.

    Parameters
    ----------
    epochs : int
        At most this many; one is a pass over the pairs, or over the unpaired rows if those are more.
    batch_size : int
        Pairs in a step, and as many rows of each layer that have no partner.
    patience : int or None
        Epochs without a better validation loss after which training stops; None never stops early. The best weights
        are kept in either case.
    """

    epochs: int = 200
    batch_size: int = 64
    patience: int | None = 20


class Trainer:
    """A network, its optimizers and its compiled functions, reusable for any rows of the same features.

    Parameters
    ----------
    settings : AlignmentSettings or PerceptronSettings
    mode : {"eager", "graph"}
        As Python runs steps, or as a TensorFlow graph.
    """

    def __init__(self, settings: Settings, mode: str):
        self.network = settings.network()
        self.network.compile_optimizers()
        self._optimizer_start = [[v.numpy() for v in o.variables] for o in self.network.optimizers]
        graph = mode == "graph"
        self._epoch = tf.function(self._steps, autograph=False, reduce_retracing=True) if graph else self._in_python
        names = ("validation_loss", "translate", "translate_back", "latent")
        self._functions = {
            name: tf.function(function, autograph=False, reduce_retracing=True) if graph else function
            for name in names
            if (function := getattr(self.network, name, None)) is not None
        }

    def fit(
        self,
        rows: LayerRows,
        held_out: np.ndarray,
        settings: TrainingSettings,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Fitted:
        """Train from fresh weights.

        Parameters
        ----------
        rows : LayerRows
        held_out : ndarray of int
            Pairs that only decide when to stop; none trains for all epochs and keeps the last weights.
        settings : TrainingSettings
        seed : int
            Decides starting weights, batches and noise.
        on_epoch : callable, optional
            Called with (epoch, validation loss).

        Returns
        -------
        Fitted
            History: epoch, the network's metrics (means over steps), validation_loss.

        Raises
        ------
        FloatingPointError
            When the loss is no finite number.
        """
        seeds = np.random.SeedSequence(seed).generate_state(2)
        self._reset(int(seeds[0]))
        train = np.setdiff1d(np.arange(len(rows.source)), held_out)
        data = _on_device(rows, train)
        check = {name: tf.constant(values) for name, values in rows.pairs(held_out).items()}
        rng, records, best = np.random.default_rng(seeds[1]), [], None
        for epoch in range(1, settings.epochs + 1):
            metrics = self._epoch(data, self._drawn(data, settings.batch_size, rng)).numpy().astype(float)
            loss = float(self._functions["validation_loss"](check)) if len(held_out) else float("nan")
            records.append({
                "epoch": epoch, **dict(zip(self.network.metric_names, metrics, strict=True)), "validation_loss": loss
            })  # fmt: skip
            if not np.isfinite(metrics).all() or np.isinf(loss):
                raise FloatingPointError(f"Training diverged in epoch {epoch}; use a smaller learning_rate.")
            if on_epoch is not None:
                on_epoch(epoch, loss)
            if not len(held_out):
                continue
            if best is None or loss < best[1]:
                best = (epoch, loss, self.network.get_weights())
            elif settings.patience is not None and epoch - best[0] >= settings.patience:
                break
        if best is None:
            best = (len(records), float("nan"), self.network.get_weights())
        return Fitted(best[2], pd.DataFrame(records), best[0])

    def apply(self, name: str, weights: list[np.ndarray], batch: dict[str, np.ndarray]) -> np.ndarray:
        """What a function of the network ("translate", "translate_back", "latent") gives with some weights."""
        self.network.set_weights(weights)
        return self._functions[name]({key: tf.constant(values) for key, values in batch.items()}).numpy()

    def _reset(self, seed: int) -> None:
        self.network.set_weights(initial_weights(self.network, seed))
        for optimizer, start in zip(self.network.optimizers, self._optimizer_start, strict=True):
            for variable, value in zip(optimizer.variables, start, strict=True):
                variable.assign(value)

    def _drawn(self, data: dict[str, tf.Tensor], batch_size: int, rng: np.random.Generator) -> dict[str, tf.Tensor]:
        """Rows and random numbers of an epoch, each with a leading axis over steps."""
        counts = {name: int(data[name].shape[0]) for name in ("source", "source_only", "target_only")}
        sizes = {name: min(batch_size, n) for name, n in counts.items()}
        n_steps = max(-(-n // sizes[name]) for name, n in counts.items() if n)
        drawn = {
            f"{'pairs' if name == 'source' else name}_rows": _shuffled(n, n_steps, sizes[name], rng)
            for name, n in counts.items()
        }
        shape = (sizes["source"] + sizes["source_only"], sizes["source"] + sizes["target_only"])
        for name, one in self.network.noise_shapes(*shape).items():
            drawn[name] = rng.standard_normal((n_steps, *one), np.float32)
        for name, one in self.network.bit_shapes(*shape).items():
            drawn[name] = rng.integers(RESOLUTION, size=(n_steps, *one), dtype=np.uint16)
        return {name: tf.constant(values) for name, values in drawn.items()}

    def _steps(self, data: dict[str, tf.Tensor], drawn: dict[str, tf.Tensor]) -> tf.Tensor:
        n_steps = tf.shape(drawn["pairs_rows"])[0]

        def one_step(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, totals + self._step(data, {name: values[step] for name, values in drawn.items()})

        start = (0, tf.zeros(len(self.network.metric_names)))
        totals = tf.while_loop(lambda step, _: step < n_steps, one_step, start, parallel_iterations=1)[1]
        return totals / tf.cast(n_steps, tf.float32)

    def _in_python(self, data: dict[str, tf.Tensor], drawn: dict[str, tf.Tensor]) -> tf.Tensor:
        n_steps = len(drawn["pairs_rows"])
        steps = [self._step(data, {name: values[k] for name, values in drawn.items()}) for k in range(n_steps)]
        return tf.reduce_mean(tf.stack(steps), axis=0)

    def _step(self, data: dict[str, tf.Tensor], drawn: dict[str, tf.Tensor]) -> tf.Tensor:
        pairs = drawn["pairs_rows"]
        batch = {name: data[name] for name in ("source_scale", "target_scale")} | drawn
        batch["classes"], batch["n_pairs"] = tf.gather(data["classes"], pairs), tf.shape(pairs)[0]
        for name in ("source", "target"):
            alone = tf.gather(data[f"{name}_only"], drawn[f"{name}_only_rows"])
            batch[name] = tf.concat([tf.gather(data[name], pairs), alone], axis=0)
        metrics = self.network.train_step(batch)
        return tf.stack([metrics[name] for name in self.network.metric_names])


@lru_cache(maxsize=8)
def trainer_for(settings: Settings, mode: str) -> Trainer:
    """The trainer of a layout, built and traced once a process."""
    return Trainer(settings, mode)


def mode_for(n_pairs: int, settings: TrainingSettings) -> str:
    """Cheapest way to train this long: "eager" or "graph"."""
    return "eager" if -(-n_pairs // settings.batch_size) * settings.epochs < EAGER_BELOW else "graph"


def _on_device(rows: LayerRows, train: np.ndarray) -> dict[str, tf.Tensor]:
    alone = {"source_only": rows.source_only, "target_only": rows.target_only, "classes": rows.classes[train]}
    return {name: tf.constant(values) for name, values in (rows.pairs(train) | alone).items()}


def _shuffled(n_rows: int, n_steps: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (n_steps, size) of shuffled passes, one after the other."""
    if not n_rows:
        return np.zeros((n_steps, 0), np.int32)
    passes = [rng.permutation(n_rows) for _ in range(-(-n_steps * size // n_rows))]
    return np.concatenate(passes)[: n_steps * size].reshape(n_steps, size).astype(np.int32)
