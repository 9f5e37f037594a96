"""What auto-encoders of several studies are made of: hidden layers, normal laws; never a whole network or a loss."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

#: Bounds on the logarithm of a posterior's variance.
LOG_VARIANCE = (-10.0, 10.0)


class DenseStack(keras.layers.Layer):
    """Dense → (layer normalisation) → ReLU, repeated.

    Normalising over a cell's units, unlike over a batch, does the same in training and after it; a search that trains
    for one epoch would otherwise be judged by moving averages that have hardly moved.
    """

    def __init__(self, widths: tuple[int, ...], normalized: bool, **kwargs):
        super().__init__(**kwargs)
        self.widths = widths
        self.dense = [keras.layers.Dense(width, name=f"dense_{k}") for k, width in enumerate(widths)]
        n_norms = len(widths) if normalized else 0
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{k}") for k in range(n_norms)]

    def build(self, input_shape):
        width = input_shape[-1]
        for k, layer in enumerate(self.dense):
            layer.build((None, width))
            width = self.widths[k]
            if self.norms:
                self.norms[k].build((None, width))
        self.built = True

    def first(self, x: tf.Tensor) -> tf.Tensor:
        """What the first layer's weights make of the input, before its activation."""
        return self.dense[0](x)

    def rest(self, h: tf.Tensor) -> tf.Tensor:
        """Everything after `first`."""
        for k in range(len(self.dense)):
            h = h if k == 0 else self.dense[k](h)
            h = tf.nn.relu(self.norms[k](h) if self.norms else h)
        return h

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (…, n_inputs) to (…, widths[-1])."""
        return self.rest(self.first(x))


def mean_and_log_variance(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The two halves of an encoder's outputs (…, 2 n_latent), the second kept within `LOG_VARIANCE`."""
    mean, log_variance = tf.split(outputs, 2, axis=-1)
    return mean, tf.clip_by_value(log_variance, *LOG_VARIANCE)


def normal_divergence(
    mean: tf.Tensor, log_variance: tf.Tensor, prior_mean: tf.Tensor | float = 0.0, prior_log_variance=0.0
) -> tf.Tensor:
    """Kullback–Leibler divergence of diagonal normals, summed over the last axis.

    ½ Σ (log v₀ − log v + (v + (m − m₀)²) / v₀ − 1), against the standard normal unless another prior is given.

    Parameters
    ----------
    mean, log_variance : tensors (…, n_latent)
    prior_mean, prior_log_variance : tensors that broadcast, or float
    """
    excess = log_variance - prior_log_variance
    distance = tf.square(mean - prior_mean) * tf.exp(-tf.convert_to_tensor(prior_log_variance, mean.dtype))
    return 0.5 * tf.reduce_sum(tf.exp(excess) - excess - 1.0 + distance, axis=-1)


def normal_log_density(x: tf.Tensor, mean: tf.Tensor | float, log_variance: tf.Tensor | float) -> tf.Tensor:
    """Log density of a diagonal normal, summed over the last axis."""
    log_variance = tf.convert_to_tensor(log_variance, x.dtype)
    terms = tf.square(x - mean) * tf.exp(-log_variance) + log_variance + np.log(2 * np.pi)
    return -0.5 * tf.reduce_sum(terms, axis=-1)


def uniform_divergence(log_probabilities: tf.Tensor) -> tf.Tensor:
    """Kullback–Leibler divergence of categories from equal ones, Σ q (log q + log K), over the last axis."""
    n = tf.cast(tf.shape(log_probabilities)[-1], log_probabilities.dtype)
    return tf.reduce_sum(tf.exp(log_probabilities) * (log_probabilities + tf.math.log(n)), axis=-1)
