"""Building blocks of the tuned PMI: layers for an ensemble trained as one computation, robust losses; no training step.

Every weight has a leading axis over the ensemble's members, and one batched matrix product serves them all: on a
processor, members cost little more than the arithmetic they need. As in `reproduce.models.layers`, randomness comes in
from outside.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from reproduce.models.layers import bits_below, embedding_size

#: Where a squared error turns into an absolute one, in standard deviations of a gene.
HUBER_THRESHOLD = 1.0
#: Degrees of freedom of the Student-t likelihood: heavy tails, finite variance.
DEGREES_OF_FREEDOM = 5.0
#: Bounds on the logarithm of a predicted scale, so that no entry can take over a batch.
LOG_SCALE = (-4.0, 2.0)


class EnsembleDense(keras.layers.Layer):
    """A dense layer for each member.

    Parameters
    ----------
    n_members : int
    n_outputs : int
    start_at_zero : bool
        Whether the kernel starts at zero rather than at random, so that the layer begins by adding nothing.
    """

    def __init__(self, n_members: int, n_outputs: int, *, start_at_zero: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.n_members, self.n_outputs, self.start_at_zero = n_members, n_outputs, start_at_zero

    def build(self, input_shape):
        name = "zero_kernel" if self.start_at_zero else "kernel"
        self.kernel = self.add_weight(shape=(self.n_members, input_shape[-1], self.n_outputs), name=name)
        self.bias = self.add_weight(shape=(self.n_members, 1, self.n_outputs), name="bias")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n_members or 1, n_samples, n_inputs) to (n_members, n_samples, n_outputs)."""
        return tf.matmul(x, self.kernel) + self.bias


class EnsembleEmbedding(keras.layers.Layer):
    """`reproduce.models.layers.CovariateEmbedding` with tables of its own for each member.

    Parameters
    ----------
    n_members : int
    n_categories : tuple of int
        Known categories of each categorical covariate.
    """

    def __init__(self, n_members: int, n_categories: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        self.tables = [
            self.add_weight(shape=(n_members, v, embedding_size(v)), name=f"embedding_{j}")
            for j, v in enumerate(n_categories)
        ]
        # row 0, an unknown category, averages over all; row c picks category c
        self.selectors = [np.vstack([np.full(v, 1 / v), np.eye(v)]).astype(np.float32) for v in n_categories]
        self.n_outputs = sum(map(embedding_size, n_categories))

    def build(self, input_shape=None):
        self.built = True

    def call(self, codes: tf.Tensor) -> list[tf.Tensor]:
        """Embed codes (n_members or 1, n_samples, n_categorical): one (n_members, n_samples, size) a covariate."""
        return [
            tf.matmul(tf.gather(selector, codes[:, :, j]), table)
            for j, (selector, table) in enumerate(zip(self.selectors, self.tables, strict=True))
        ]


class EnsembleBlock(keras.layers.Layer):
    """Dense → (layer normalisation) → (scale and shift by the covariates) → activation → dropout.

    Parameters
    ----------
    n_members : int
    n_units : int
    dropout : float
    layer_normalization : bool
    activation : {"gelu", "relu"}
    covariate_scaling : bool
        Whether a unit's scale and shift are linear functions of the embedded covariates (feature-wise modulation,
        Perez et al. 2018). They start at 1 and 0.
    """

    def __init__(
        self,
        n_members: int,
        n_units: int,
        dropout: float,
        layer_normalization: bool,
        activation: str,
        covariate_scaling: bool,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.n_members, self.n_units, self.dropout = n_members, n_units, dropout
        self.layer_normalization = layer_normalization
        self.activation = {"gelu": lambda x: tf.nn.gelu(x, approximate=True), "relu": tf.nn.relu}[activation]
        self.dense = EnsembleDense(n_members, n_units, name="dense")
        self.modulation = EnsembleDense(n_members, 2 * n_units, start_at_zero=True) if covariate_scaling else None

    def build(self, input_shape, context_shape):
        self.dense.build(input_shape)
        if self.layer_normalization:
            shape = (self.n_members, 1, self.n_units)
            self.gamma = self.add_weight(shape=shape, name="gamma")
            self.beta = self.add_weight(shape=shape, name="beta")
        if self.modulation is not None:
            self.modulation.build(context_shape)
        self.built = True

    def call(self, x, context, dropout_bits=None):
        """Map a batch.

        Parameters
        ----------
        x : float32 tensor (n_members or 1, n_samples, n_inputs)
        context : float32 tensor (n_members, n_samples, n_context)
            Embedded covariates.
        dropout_bits : uint16 tensor (n_members, n_samples, n_units), optional
            Units are dropped where it is given.

        Returns
        -------
        float32 tensor (n_members, n_samples, n_units)
        """
        x = self.dense(x)
        if self.layer_normalization:
            x -= tf.reduce_mean(x, axis=-1, keepdims=True)
            x *= tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + 1e-3)
            x = self.gamma * x + self.beta
        if self.modulation is not None:
            scale, shift = tf.split(self.modulation(context), 2, axis=-1)
            x = x * (1.0 + scale) + shift
        x = self.activation(x)
        if dropout_bits is not None:
            x *= (1.0 - bits_below(dropout_bits, self.dropout)) / (1.0 - self.dropout)
        return x


def entry_losses(loss: str, error: tf.Tensor, log_scale: tf.Tensor | None) -> tf.Tensor:
    """Loss of each entry, up to constants.

    Parameters
    ----------
    loss : {"mse", "huber", "student_t"}
    error : float32 tensor (…, n_genes)
        Prediction − truth, in standardised units.
    log_scale : float32 tensor of the same shape, or None
        Logarithm of the Student-t distribution's scale; needed by "student_t" only.

    Returns
    -------
    float32 tensor of the shape of `error`
        "mse": error²; "huber": the same up to a threshold δ, then δ (2|error| − δ); "student_t": minus twice the
        log density, (ν + 1) log(1 + (error / scale)² / ν) + 2 log scale.
    """
    if loss == "mse":
        return tf.square(error)
    if loss == "huber":
        size = tf.abs(error)
        within = tf.minimum(size, HUBER_THRESHOLD)
        return tf.square(within) + 2.0 * HUBER_THRESHOLD * (size - within)
    relative = tf.square(error * tf.exp(-log_scale))
    return (DEGREES_OF_FREEDOM + 1.0) * tf.math.log1p(relative / DEGREES_OF_FREEDOM) + 2.0 * log_scale
