"""The trace norm of weights that genes stack, with its gradient; never knows a network.

A tensor (n_genes, …) is unfolded along its first axis to a matrix M (n_genes, everything else); its trace norm is the
sum of M's singular values σ, the convex stand-in for its rank. Both the value and the gradient come from the
eigenvalues of the small Gram matrix M Mᵀ = U σ² Uᵀ, never from an SVD of M:

    ‖M‖ = Σ σ,        ∂‖M‖ ∋ U Vᵀ = U σ⁻¹ Uᵀ M      (sum over σ > 0)

**Which subgradient.** Where some σ are 0 the norm has a kink, and its subgradients are U Vᵀ + W for any W that lives in
the null spaces and has no singular value above 1. W = 0 is taken: the one of the least norm. Hence weights that are all
0 have the gradient 0, and genes with equal weights are not pulled apart. Repeated σ need no care: U σ⁻¹ Uᵀ is a
function of M Mᵀ and does not depend on which eigenvectors of a repeated eigenvalue are given (the derivative of an SVD,
which divides by differences of eigenvalues, would).
"""

from __future__ import annotations

import tensorflow as tf

#: Singular values below this share of the largest are taken for 0: what single precision leaves of exact zeros.
TOLERANCE = 1e-6


def trace_norm(weights: tf.Tensor) -> tf.Tensor:
    """Sum of the singular values of weights unfolded along their first axis.

    Parameters
    ----------
    weights : tensor (n_genes, …)

    Returns
    -------
    scalar tensor
        Of the weights' type; within, everything is in double precision, since a Gram matrix squares the condition.
    """
    return _matrix_trace_norm(unfolded(weights))


def singular_values(weights: tf.Tensor) -> tf.Tensor:
    """Singular values of weights unfolded along their first axis, the largest first, double precision."""
    matrix = tf.cast(unfolded(weights), tf.float64)
    return tf.reverse(_spectrum(matrix)[0], [0])


def unfolded(weights: tf.Tensor) -> tf.Tensor:
    """The weights as a matrix: a row for each index of the first axis."""
    return tf.reshape(weights, (weights.shape[0], -1))


@tf.custom_gradient
def _matrix_trace_norm(matrix: tf.Tensor):
    wide = tf.cast(matrix, tf.float64)
    values, vectors = _spectrum(wide)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        inverse = tf.where(values > 0.0, 1.0 / tf.where(values > 0.0, values, 1.0), 0.0)
        root = tf.matmul(vectors * inverse, vectors, transpose_b=True)
        polar = tf.matmul(root, wide) if _is_wide(wide) else tf.matmul(wide, root)
        return upstream * tf.cast(polar, matrix.dtype)

    return tf.cast(tf.reduce_sum(values), matrix.dtype), gradient


def _spectrum(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Singular values in rising order, 0 below the tolerance, and the singular vectors of the shorter side."""
    wide = _is_wide(matrix)
    squares, vectors = tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_a=not wide, transpose_b=wide))
    values = tf.sqrt(tf.maximum(squares, 0.0))
    return tf.where(values > TOLERANCE * values[-1], values, 0.0), vectors


def _is_wide(matrix: tf.Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]
