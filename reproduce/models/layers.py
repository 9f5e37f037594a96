"""Building blocks that PMI and GAIN share: covariate embeddings, hidden layers, random bits; no loss and no loop.

Randomness never hides in a layer. Whatever is drawn in training (which entries are hidden, which units are dropped)
comes in as 16-bit integers, so that a compiled training step stays free of random-number code, which XLA runs about
thirty times slower on a CPU than TensorFlow does, and so that a test can state exactly what was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

#: Number of values that one random integer can take (uint16).
RESOLUTION = 2**16


@dataclass(frozen=True)
class NetworkShape:
    """What of the data decides a network's layout.

    Parameters
    ----------
    n_genes : int
    n_categories : tuple of int
        Known categories of each categorical covariate.
    n_numeric : int
        Number of numeric covariates.
    """

    n_genes: int
    n_categories: tuple[int, ...] = ()
    n_numeric: int = 0


@dataclass(frozen=True)
class HiddenSettings:
    """Layout of the hidden layers.

    Parameters
    ----------
    n_layers : int
        Number of hidden layers; 0 makes the network linear.
    n_units : int
        Width of each.
    dropout : float
        Fraction of units dropped after each hidden layer in training.
    batch_normalization : bool
        Whether each hidden layer is normalised over the batch before its activation.
    """

    n_layers: int = 4
    n_units: int = 200
    dropout: float = 0.2
    batch_normalization: bool = True

    @property
    def n_dropout_bits(self) -> int:
        """Random integers that one row needs in one training pass."""
        return self.n_layers * self.n_units if self.dropout > 0 else 0


def embedding_size(n_categories: int) -> int:
    """Dimensions of a categorical covariate's embedding, ⌊√v⌋ + 1 (Viñas et al. 2021, Methods)."""
    return int(np.sqrt(n_categories)) + 1


def bits_below(bits: tf.Tensor, probability: tf.Tensor | float) -> tf.Tensor:
    """1.0 where an event of the given probability happens, else 0.0.

    Parameters
    ----------
    bits : uint16 tensor
    probability : float or float32 tensor that broadcasts to `bits`

    Returns
    -------
    float32 tensor of the shape of `bits`
    """
    # the threshold is rounded to whole integers, so that probabilities 0 and 1 are exact
    threshold = tf.round(tf.cast(probability, tf.float32) * RESOLUTION)
    return tf.cast(tf.cast(bits, tf.float32) < threshold, tf.float32)


def hidden_bits(bits: dict[str, tf.Tensor], rates: tuple[float, float]) -> tf.Tensor:
    """1.0 where an entry is hidden for one step, at a rate drawn for each sample.

    Parameters
    ----------
    bits : dict of uint16 tensors
        "hide" (n_samples, n_genes) and "hide_rate" (n_samples, 1).
    rates : tuple of float
        Range (low, high) of the rate.

    Returns
    -------
    float32 tensor (n_samples, n_genes)
    """
    low, high = rates
    return bits_below(bits["hide"], low + (high - low) * tf.cast(bits["hide_rate"], tf.float32) / RESOLUTION)


class CovariateEmbedding(keras.layers.Layer):
    """Numeric covariates as they are, categorical ones through learned embeddings (r and q in the paper's figure 1).

    Code 0 means *unknown* and gets the mean of the category's learned embeddings: the one value that needs no training
    rows of its own.

    Parameters
    ----------
    n_categories : tuple of int
        Known categories of each categorical covariate.
    """

    def __init__(self, n_categories: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        self.n_categories = n_categories
        self.tables = [
            self.add_weight(shape=(v, embedding_size(v)), initializer="random_uniform", name=f"embedding_{j}")
            for j, v in enumerate(n_categories)
        ]
        # row 0 averages over all categories, row c picks category c
        self.selectors = [np.vstack([np.full(v, 1 / v), np.eye(v)]).astype(np.float32) for v in n_categories]

    def build(self, input_shape=None):
        self.built = True

    def call(self, codes: tf.Tensor, numeric: tf.Tensor) -> tf.Tensor:
        """Embed a batch.

        Parameters
        ----------
        codes : int32 tensor (n_samples, n_categorical)
            0 = unknown, 1 … v = known categories.
        numeric : float32 tensor (n_samples, n_numeric)

        Returns
        -------
        float32 tensor (n_samples, n_numeric + sum of embedding sizes)
        """
        embedded = [
            tf.matmul(tf.gather(selector, codes[:, j]), table)
            for j, (selector, table) in enumerate(zip(self.selectors, self.tables, strict=True))
        ]
        return tf.concat([numeric, *embedded], axis=1)


class HiddenLayers(keras.layers.Layer):
    """Dense → (batch normalisation) → ReLU → dropout, repeated, and a linear output.

    Parameters
    ----------
    settings : HiddenSettings
    n_outputs : int
    """

    def __init__(self, settings: HiddenSettings, n_outputs: int, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        self.dense = [keras.layers.Dense(settings.n_units, name=f"dense_{k}") for k in range(settings.n_layers)]
        n_norms = settings.n_layers if settings.batch_normalization else 0
        self.norms = [keras.layers.BatchNormalization(name=f"norm_{k}") for k in range(n_norms)]
        self.output_layer = keras.layers.Dense(n_outputs, name="output")

    def build(self, input_shape):
        width = input_shape[-1]
        for k, layer in enumerate(self.dense):
            layer.build((None, width))
            width = self.settings.n_units
            if self.norms:
                self.norms[k].build((None, width))
        self.output_layer.build((None, width))
        self.built = True

    def call(self, x: tf.Tensor, dropout_bits: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """Map a batch.

        Parameters
        ----------
        x : float32 tensor (n_samples, n_inputs)
        dropout_bits : uint16 tensor (n_samples, settings.n_dropout_bits)
            Needed in training where there is dropout.
        training : bool

        Returns
        -------
        float32 tensor (n_samples, n_outputs)
        """
        n_units, dropout = self.settings.n_units, self.settings.dropout
        for k, layer in enumerate(self.dense):
            x = layer(x)
            if self.norms:
                x = self.norms[k](x, training=training)
            x = tf.nn.relu(x)
            if training and dropout > 0:
                kept = 1.0 - bits_below(dropout_bits[:, k * n_units : (k + 1) * n_units], dropout)
                x = x * kept / (1.0 - dropout)
        return self.output_layer(x)


def masked_mean_squared_error(truth: tf.Tensor, prediction: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean squared error over the entries where `mask` is 1; 0 if there is none.

    Parameters
    ----------
    truth, prediction, mask : float32 tensors (n_samples, n_genes)

    Returns
    -------
    float32 scalar
    """
    return tf.reduce_sum(mask * tf.square(truth - prediction)) / tf.maximum(tf.reduce_sum(mask), 1.0)


def initial_weights(network: keras.Model, seed: int) -> list[np.ndarray]:
    """Starting values of all weights, drawn by numpy so that they depend on the seed alone.

    Kernels (…, n_inputs, n_outputs) are Glorot-uniform, those named "zero_kernel" 0, embeddings uniform in ±0.05,
    scales and variances 1, everything else 0: what Keras does by default. An ensemble's weights have a leading axis
    over its members.

    Parameters
    ----------
    network : keras.Model
        Built.
    seed : int

    Returns
    -------
    list of ndarray
        In the order of ``network.weights``.
    """
    generator = np.random.default_rng(seed)
    values = []
    for weight in network.weights:
        shape, name = tuple(weight.shape), weight.path.rsplit("/", 1)[-1]
        if name == "kernel":
            limit = np.sqrt(6.0 / (shape[-2] + shape[-1]))
            value = generator.uniform(-limit, limit, shape)
        elif name.startswith("embedding"):
            value = generator.uniform(-0.05, 0.05, shape)
        elif name in ("gamma", "moving_variance"):
            value = np.ones(shape)
        elif name in ("bias", "beta", "moving_mean", "zero_kernel"):
            value = np.zeros(shape)
        else:
            raise ValueError(f"No rule for the starting value of weight {weight.path!r}.")
        values.append(value.astype(np.float32))
    return values
