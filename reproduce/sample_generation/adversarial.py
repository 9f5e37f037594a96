"""Networks of GAN and WGAN-GP and their training; knows no data set, no class by name and no file.

As everywhere in this house randomness comes in from outside the compiled part, and one call runs a whole epoch. Batches
are drawn with replacement, so that one compiled function serves classes of any size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from reproduce.models.layers import HiddenLayers, HiddenSettings, initial_weights

WASSERSTEIN, NON_SATURATING = "wasserstein", "non_saturating"
METRICS = ("critic_loss", "generator_loss", "gap")
STEPS_PER_EPOCH = 50


@dataclass(frozen=True)
class AdversarialSettings:
    """Layout and optimizers of a generator and its critic.

    Parameters
    ----------
    n_features : int
    n_classes : int
        Whose indicator both networks see; 0: neither sees any.
    loss : {"wasserstein", "non_saturating"}
        Of WGAN-GP (Gulrajani et al. 2017), or of the first GAN (Goodfellow et al. 2014).
    latent_size, hidden_layers, hidden_units : int
    critic_steps : int
        For each step of the generator.
    penalty : float
        Weight of the critic's gradient penalty; 0 has none.
    learning_rate : float
        Adam's, of both.
    first_moment : float
        Adam's β₁.
    averaging : float
        Decay, a step, of the running mean of the generator's weights that is kept in the end (Yazıcı et al. 2019); 0
        keeps the last weights.
    """

    n_features: int
    n_classes: int
    loss: str
    latent_size: int
    hidden_layers: int
    hidden_units: int
    critic_steps: int
    penalty: float
    learning_rate: float
    first_moment: float
    averaging: float


class AdversarialPair(keras.Model):
    """A generator G(z, c) of samples and a critic D(x, c).

    Parameters
    ----------
    settings : AdversarialSettings
    """

    def __init__(self, settings: AdversarialSettings, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        hidden = HiddenSettings(settings.hidden_layers, settings.hidden_units, dropout=0.0, batch_normalization=False)
        self.generator = HiddenLayers(hidden, settings.n_features, name="generator")
        self.generator.build((None, settings.latent_size + settings.n_classes))
        self.critic = HiddenLayers(hidden, 1, name="critic")
        self.critic.build((None, settings.n_features + settings.n_classes))
        self.built = True

    def compile_optimizers(self) -> None:
        """Create one optimizer a network, and their variables."""
        for name, network in (("generator_optimizer", self.generator), ("critic_optimizer", self.critic)):
            adam = keras.optimizers.Adam(self.settings.learning_rate, self.settings.first_moment, 0.9)
            adam.build(network.trainable_variables)
            setattr(self, name, adam)

    def draw(self, noise: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Samples (n, n_features) of noise (n, latent_size) and class indicators (n, n_classes)."""
        return self.generator(tf.concat([noise, classes], axis=1))

    def judge(self, samples: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """The critic's value of each sample (n, 1)."""
        return self.critic(tf.concat([samples, classes], axis=1))

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Steps of the critic, each on a batch of its own, then one of the generator.

        Parameters
        ----------
        batch : dict of float32 tensors
            "real" (critic_steps, n, n_features), "classes" (critic_steps, n, n_classes), "noise" (critic_steps + 1, n,
            latent_size), "mixing" (critic_steps, n, 1) uniform in 0 to 1.

        Returns
        -------
        dict of float32 scalars
            By `METRICS`; "gap" is D(real) − D(artificial), which for WGAN-GP estimates the Wasserstein distance.
        """
        steps = self.settings.critic_steps

        def one(step: tf.Tensor, loss: tf.Tensor, gap: tf.Tensor) -> tuple[tf.Tensor, ...]:
            loss, gap = self._critic_step(*(batch[name][step] for name in ("real", "classes", "noise", "mixing")))
            return step + 1, loss, gap

        zero = tf.zeros(())
        _, critic_loss, gap = tf.while_loop(lambda step, *_: step < steps, one, (0, zero, zero), parallel_iterations=1)
        classes = batch["classes"][steps - 1]
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            value = self.judge(self.draw(batch["noise"][steps], classes), classes)
            loss = tf.reduce_mean(-value if self.settings.loss == WASSERSTEIN else tf.nn.softplus(-value))
        self.generator_optimizer.apply(tape.gradient(loss, variables), variables)
        return dict(zip(METRICS, (critic_loss, loss, gap), strict=True))

    def _critic_step(self, real, classes, noise, mixing) -> tuple[tf.Tensor, tf.Tensor]:
        artificial = self.draw(noise, classes)
        variables = self.critic.trainable_variables
        with tf.GradientTape() as tape:
            of_real, of_artificial = self.judge(real, classes), self.judge(artificial, classes)
            gap = tf.reduce_mean(of_real) - tf.reduce_mean(of_artificial)
            if self.settings.loss == WASSERSTEIN:
                loss = -gap
            else:
                loss = tf.reduce_mean(tf.nn.softplus(-of_real)) + tf.reduce_mean(tf.nn.softplus(of_artificial))
            if self.settings.penalty > 0:
                between = mixing * real + (1.0 - mixing) * artificial
                loss += self.settings.penalty * self._slope_penalty(between, classes)
        self.critic_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, gap

    def _slope_penalty(self, samples: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Mean of (‖∇D‖ − 1)²."""
        with tf.GradientTape() as tape:
            tape.watch(samples)
            value = self.judge(samples, classes)
        squares = tf.reduce_sum(tf.square(tape.gradient(value, samples)), axis=1)
        return tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - 1.0))


class AdversarialTrainer:
    """A pair, its optimizers and its compiled functions, reusable for any data of the same layout.

    Parameters
    ----------
    settings : AdversarialSettings
    mode : {"eager", "graph", "compiled"}
    """

    def __init__(self, settings: AdversarialSettings, mode: str):
        self.settings = settings
        self.pair = AdversarialPair(settings)
        self.pair.compile_optimizers()
        optimizers = (self.pair.generator_optimizer, self.pair.critic_optimizer)
        self._variables = [variable for optimizer in optimizers for variable in optimizer.variables]
        self._start = [variable.numpy() for variable in self._variables]
        self._averages = [tf.Variable(weight.numpy(), trainable=False) for weight in self.pair.generator.weights]
        compiled = mode == "compiled"
        self._run_epoch = self._epoch if mode == "eager" else tf.function(
            self._epoch, autograph=False, jit_compile=compiled
        )  # fmt: skip

    def fit(
        self,
        samples: np.ndarray,
        codes: np.ndarray,
        *,
        epochs: int,
        batch_size: int,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> tuple[list[np.ndarray], pd.DataFrame]:
        """Train from fresh weights; every class is drawn equally often.

        Parameters
        ----------
        samples : ndarray (n_samples, n_features)
            Standardised.
        codes : ndarray of int (n_samples,)
        epochs : int
            Of `STEPS_PER_EPOCH` steps of the generator.
        batch_size, seed : int
        on_epoch : callable, optional
            Called with (epoch, gap).

        Returns
        -------
        weights : list of ndarray
            The generator's, averaged over steps.
        history : DataFrame
            One row an epoch: epoch, seconds, `METRICS`.

        Raises
        ------
        FloatingPointError
            When training diverges.
        """
        weights_seed, batch_seed = np.random.SeedSequence(seed).generate_state(2)
        self.pair.set_weights(initial_weights(self.pair, int(weights_seed)))
        for variable, value in zip(self._variables, self._start, strict=True):
            variable.assign(value)
        for average, value in zip(self._averages, self.pair.generator.get_weights(), strict=True):
            average.assign(value)
        rng, members = np.random.default_rng(batch_seed), [np.flatnonzero(codes == k) for k in np.unique(codes)]
        samples, began, records = samples.astype(np.float32), time.perf_counter(), []
        indicators = np.eye(max(self.settings.n_classes, 1), dtype=np.float32)[:, : self.settings.n_classes]
        for epoch in range(1, epochs + 1):
            batch = self._drawn(samples, codes, members, indicators, batch_size, rng)
            found = self._run_epoch({name: tf.constant(value) for name, value in batch.items()}).numpy()
            if not np.isfinite(found).all():
                raise FloatingPointError(
                    f"Training of the {self.settings.loss} GAN diverged in epoch {epoch} (losses {found.tolist()}); "
                    "use a smaller learning_rate."
                )
            records.append((epoch, time.perf_counter() - began, *map(float, found)))
            if on_epoch is not None:
                on_epoch(epoch, records[-1][-1])
        weights = [average.numpy() for average in self._averages]
        return weights, pd.DataFrame(records, columns=["epoch", "seconds", *METRICS])

    def sample(self, weights: list[np.ndarray], noise: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Samples (n, n_features) of noise (n, latent_size) by a fitted generator."""
        self.pair.generator.set_weights(weights)
        indicators = np.eye(max(self.settings.n_classes, 1), dtype=np.float32)[codes][:, : self.settings.n_classes]
        return self.pair.draw(tf.constant(noise, tf.float32), tf.constant(indicators)).numpy()

    def _drawn(self, samples, codes, members, indicators, batch_size: int, rng) -> dict[str, np.ndarray]:
        """Everything random of one epoch."""
        shape = (STEPS_PER_EPOCH, self.settings.critic_steps, batch_size)
        which = rng.integers(len(members), size=shape)
        sizes = np.array([len(rows) for rows in members])
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        place = first[which] + np.floor(rng.random(shape) * sizes[which]).astype(int)
        rows = np.concatenate(members)[place]
        noise = rng.standard_normal((shape[0], shape[1] + 1, batch_size, self.settings.latent_size), np.float32)
        return {
            "real": samples[rows],
            "classes": indicators[codes[rows] if self.settings.n_classes else np.zeros_like(rows)],
            "noise": noise,
            "mixing": rng.random((*shape, 1), np.float32),
        }

    def _epoch(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Run all steps of an epoch; means of `METRICS`."""

        def one(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            metrics = self.pair.train_step({name: values[step] for name, values in inputs.items()})
            for average, weight in zip(self._averages, self.pair.generator.weights, strict=True):
                average.assign_add((1.0 - self.settings.averaging) * (tf.convert_to_tensor(weight) - average))
            return step + 1, totals + tf.stack([metrics[name] for name in METRICS])

        start = (0, tf.zeros(len(METRICS)))
        totals = tf.while_loop(lambda step, _: step < STEPS_PER_EPOCH, one, start, parallel_iterations=1)[1]
        return totals / STEPS_PER_EPOCH


@lru_cache(maxsize=8)
def trainer_for(settings: AdversarialSettings, mode: str) -> AdversarialTrainer:
    """The trainer of a layout, built and compiled once a process."""
    return AdversarialTrainer(settings, mode)
