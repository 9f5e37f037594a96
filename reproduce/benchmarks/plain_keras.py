"""The same networks and steps the plain Keras way, as the baseline of times; uses nothing of `reproduce.models`.

Keras's layers, dropout, batch normalisation and Adam, a custom `train_step`, and `Model.fit` with its default options,
fed by a Python generator that draws rows and masks with numpy: how the reference code of Viñas et al. (2021) trains.
Sizes are the methods' defaults in `reproduce.imputers`; the equations stand in `reproduce.models`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import tensorflow as tf


@dataclass(frozen=True)
class PlainSettings:
    """Sizes of a network and of its steps; the fields are called as the imputers' parameters are."""

    dropout: float
    hidden_layers: int = 4
    hidden_units: int = 200
    learning_rate: float = 1e-3
    batch_size: int = 48
    steps_per_epoch: int = 30
    missing_rate: float = 0.5
    hint_rate: float = 0.9
    noise_scale: float = 0.1
    reconstruction_weight: float = 1.0


SETTINGS = {"pmi": PlainSettings(0.1), "gain": PlainSettings(0.2), "gain_mse": PlainSettings(0.2)}


class PlainInputs:
    """Standardises expression and encodes covariates by the rows it is made from.

    Parameters
    ----------
    X : ndarray (n_samples, n_genes)
        Complete.
    covariates : DataFrame
        Text columns are embedded, numbers standardised.
    """

    def __init__(self, X: np.ndarray, covariates: pd.DataFrame):
        self.mean, self.sd = X.mean(axis=0), X.std(axis=0)
        numeric = covariates.select_dtypes("number")
        self.numeric_mean, self.numeric_sd = numeric.mean(), numeric.std(ddof=0)
        self.categories = {name: sorted(set(covariates[name])) for name in covariates if name not in numeric}

    def expression(self, X: np.ndarray) -> np.ndarray:
        """Standardised, float32 (n_samples, n_genes)."""
        return ((X - self.mean) / self.sd).astype(np.float32)

    def covariates(self, covariates: pd.DataFrame) -> dict[str, np.ndarray]:
        """``codes`` int32 (n_samples, n_categorical) and ``numeric`` float32 (n_samples, n_numeric)."""
        numbers = (covariates[self.numeric_mean.index] - self.numeric_mean) / self.numeric_sd
        codes = [np.searchsorted(names, covariates[name]) for name, names in self.categories.items()]
        return {"codes": np.stack(codes, axis=1).astype(np.int32), "numeric": numbers.to_numpy(np.float32)}

    @property
    def n_categories(self) -> list[int]:
        """Categories of each column of codes."""
        return [len(names) for names in self.categories.values()]


def dense_network(n_genes: int, n_numeric: int, n_categories: list[int], settings: PlainSettings) -> keras.Model:
    """Dense → batch normalisation → ReLU → dropout, repeated, on values, covariates and mask (n_samples, n_genes)."""
    values, mask = keras.Input((n_genes,), name="values"), keras.Input((n_genes,), name="mask")
    codes = keras.Input((len(n_categories),), dtype="int32", name="codes")
    numeric = keras.Input((n_numeric,), name="numeric")
    # ⌊√v⌋ + 1 dimensions for v categories (Viñas et al. 2021, Methods)
    embedded = [keras.layers.Embedding(v, int(np.sqrt(v)) + 1)(codes[:, j]) for j, v in enumerate(n_categories)]
    x = keras.layers.Concatenate()([values, numeric, *embedded, mask])
    for _ in range(settings.hidden_layers):
        x = keras.layers.Dense(settings.hidden_units)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("relu")(x)
        x = keras.layers.Dropout(settings.dropout)(x)
    outputs = keras.layers.Dense(n_genes)(x)
    return keras.Model({"values": values, "mask": mask, "codes": codes, "numeric": numeric}, outputs)


class PlainPMI(keras.Model):
    """PMI with a training step of its own.

    Parameters
    ----------
    network : keras.Model
        As `dense_network` makes it.
    """

    def __init__(self, network: keras.Model):
        super().__init__()
        self.network = network
        self.loss_mean = keras.metrics.Mean(name="loss")

    def call(self, inputs, training=False):
        """Predict all genes (n_samples, n_genes)."""
        return self.network(inputs, training=training)

    def train_step(self, data):
        """One step of Adam on the hidden entries' squared error."""
        inputs, asked = data
        with tf.GradientTape() as tape:
            loss = _masked_error(asked["truth"], self.network(inputs, training=True), 1.0 - inputs["mask"])
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        self.loss_mean.update_state(loss)
        return {"loss": self.loss_mean.result()}


class PlainGAIN(keras.Model):
    """GAIN-GTEx with its two optimizers; GAIN-MSE-GTEx without a discriminator.

    Parameters
    ----------
    network : keras.Model
        The generator.
    discriminator : keras.Model or None
    settings : PlainSettings
    """

    def __init__(self, network: keras.Model, discriminator: keras.Model | None, settings: PlainSettings):
        super().__init__()
        self.network, self.discriminator, self.settings = network, discriminator, settings
        self.loss_mean = keras.metrics.Mean(name="loss")

    def compile(self, optimizer, discriminator_optimizer) -> None:
        """Take an optimizer for each network."""
        super().compile(optimizer=optimizer)
        self.discriminator_optimizer = discriminator_optimizer

    def call(self, inputs, training=False):
        """Predict all genes (n_samples, n_genes)."""
        return self.network(inputs, training=training)

    def train_step(self, data):
        """One step of the discriminator, then one of the generator against it."""
        inputs, asked = data
        visible, truth = inputs["mask"], asked["truth"]
        with tf.GradientTape() as tape:
            prediction = self.network(inputs, training=True)
            loss = self.settings.reconstruction_weight * _masked_error(truth, prediction, visible)
            if self.discriminator is not None:
                given = asked["given"]
                judged = inputs | {
                    "values": truth * visible + prediction * (1.0 - visible),
                    "mask": given * visible + 0.5 * (1.0 - given),  # the hint
                }
                self._judge(judged | {"values": tf.stop_gradient(judged["values"])}, visible, given)
                log_odds = self.discriminator(judged, training=True)
                loss += _mean_where(tf.nn.softplus(-log_odds), (1.0 - given) * (1.0 - visible))
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        self.loss_mean.update_state(loss)
        return {"loss": self.loss_mean.result()}

    def _judge(self, judged, visible, given) -> None:
        with tf.GradientTape() as tape:
            log_odds = self.discriminator(judged, training=True)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=visible, logits=log_odds)
            loss = _mean_where(entropy, 1.0 - given)
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))


def plain_model(method: str, n_genes: int, n_numeric: int, n_categories: list[int]) -> keras.Model:
    """A compiled network.

    Parameters
    ----------
    method : {"pmi", "gain", "gain_mse"}
    n_genes, n_numeric : int
    n_categories : list of int
        Of each categorical covariate.
    """
    settings = SETTINGS[method]
    network = dense_network(n_genes, n_numeric, n_categories, settings)
    if method == "pmi":
        model = PlainPMI(network)
        model.compile(optimizer=keras.optimizers.Adam(settings.learning_rate))
        return model
    judge = dense_network(n_genes, n_numeric, n_categories, settings) if method == "gain" else None
    model = PlainGAIN(network, judge, settings)
    adam = [keras.optimizers.Adam(settings.learning_rate) for _ in range(2)]
    model.compile(optimizer=adam[0], discriminator_optimizer=adam[1])
    return model


def fit_plainly(
    method: str, X: np.ndarray, covariates: pd.DataFrame, *, epochs: int, seed: int
) -> tuple[keras.Model, PlainInputs]:
    """Build and train a network on complete rows.

    Parameters
    ----------
    method : {"pmi", "gain", "gain_mse"}
    X : ndarray (n_samples, n_genes)
    covariates : DataFrame
    epochs, seed : int

    Returns
    -------
    model, inputs
    """
    keras.utils.set_random_seed(seed)
    inputs = PlainInputs(X, covariates)
    Z, encoded = inputs.expression(X), inputs.covariates(covariates)
    model = plain_model(method, X.shape[1], encoded["numeric"].shape[1], inputs.n_categories)
    batches = plain_batches(method, Z, encoded, seed)
    steps = SETTINGS[method].steps_per_epoch
    model.fit(batches, epochs=epochs, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model, inputs


def plain_batches(
    method: str, Z: np.ndarray, encoded: dict[str, np.ndarray], seed: int
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Endless batches: shuffled passes over the rows, half of the entries hidden anew each time."""
    settings, generator = SETTINGS[method], np.random.default_rng([seed, 2])
    order = np.zeros(0, np.int64)
    while True:
        while len(order) < settings.batch_size:
            order = np.concatenate([order, generator.permutation(len(Z))])
        rows, order = order[: settings.batch_size], order[settings.batch_size :]
        x = Z[rows]
        visible = (generator.random(x.shape) >= settings.missing_rate).astype(np.float32)
        inputs = {"values": x * visible, "mask": visible, **{name: values[rows] for name, values in encoded.items()}}
        asked = {"truth": x}
        if method != "pmi":
            noise = settings.noise_scale * generator.standard_normal(x.shape)
            inputs["values"] += (noise * (1 - visible)).astype(np.float32)
        if method == "gain":
            asked["given"] = (generator.random(x.shape) < settings.hint_rate).astype(np.float32)
        yield inputs, asked


def fill_plainly(model: keras.Model, inputs: PlainInputs, X: np.ndarray, covariates: pd.DataFrame) -> np.ndarray:
    """Rows (n_samples, n_genes) with NaN filled, in their own units; noise is at its mean."""
    known = ~np.isnan(X)
    Z = np.where(known, inputs.expression(X), 0).astype(np.float32)
    given = {"values": Z, "mask": known.astype(np.float32), **inputs.covariates(covariates)}
    predicted = np.asarray(model(given, training=False)) * inputs.sd + inputs.mean
    return np.where(known, X, predicted)


def _masked_error(truth, prediction, mask):
    return _mean_where(tf.square(truth - prediction), mask)


def _mean_where(values, mask):
    return tf.reduce_sum(mask * values) / tf.maximum(tf.reduce_sum(mask), 1.0)
