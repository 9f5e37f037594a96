"""Laws of the entries of a layer given a latent, and their means; never knows a network.

A decoder gives each feature an output a, and the layer's law one spread s for each feature; with a = s = 0 both laws
are what the training rows are on their own.

**Gaussian**, for what is unbounded (log expression, M-values). Standardised x is normal with mean a and log standard
deviation s.

**Beta**, for beta-values: fractions of methylated molecules in [0, 1]. With the feature's mean m and variance v in
training,

    μ = sigmoid(logit m + a √v / (m (1 − m)))       φ = (m (1 − m) / v − 1) eˢ
    log p(x) = log Γ(φ) − log Γ(μφ) − log Γ((1−μ)φ) + (μφ − 1) log x + ((1−μ)φ − 1) log(1 − x)

so that a is, to first order, in standard deviations. Values are kept `EDGE` away from 0 and 1, where the density may
be infinite (arrays measure with an error larger than that), and φ between the `CONCENTRATIONS`: above, single precision
would lose the difference of the log Γ. μ and 1 − μ come from logarithms of the sigmoid, so that neither is ever rounded
to 0.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from reproduce.errors import ConfigError

#: Least distance of a beta-value from 0 and from 1.
EDGE = 1e-3
#: Bounds on φ of a Beta law; at μ = ½ standard deviations of 0.5 and of 0.005.
CONCENTRATIONS = (0.1, 1e4)
#: Bounds on the log standard deviation of a standardised Gaussian.
LOG_SPREADS = (-3.0, 1.0)
#: Least parameter of Γ.
_LEAST_SHAPE = 1e-5


class GaussianLaw:
    """Normal entries, see the module."""

    name = "gaussian"

    def log_density(self, x: tf.Tensor, outputs: tf.Tensor, spread: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Log density of standardised entries (n_samples, n_features), per standard deviation.

        Parameters
        ----------
        x, outputs : float32 tensors (n_samples, n_features)
        spread : float32 tensor (n_features,)
        scale : float32 tensor (2, n_features)
            The features' mean and standard deviation; not needed here.
        """
        spread = tf.clip_by_value(spread, *LOG_SPREADS)
        return -0.5 * tf.square((x - outputs) * tf.exp(-spread)) - spread - 0.5 * np.float32(np.log(2 * np.pi))

    def mean(self, outputs: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Standardised mean (n_samples, n_features)."""
        return outputs


class BetaLaw:
    """Beta entries, see the module."""

    name = "beta"

    def log_density(self, x: tf.Tensor, outputs: tf.Tensor, spread: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Log density, per unit of the beta-value; parameters as of `GaussianLaw.log_density`."""
        values = tf.clip_by_value(scale[0] + scale[1] * x, EDGE, 1.0 - EDGE)
        logit = self._logit(outputs, scale)
        center, variance = self._moments(scale)
        start = center * (1.0 - center) / variance - 1.0
        concentration = tf.clip_by_value(tf.maximum(start, CONCENTRATIONS[0]) * tf.exp(spread), *CONCENTRATIONS)
        one = tf.maximum(concentration * tf.exp(tf.math.log_sigmoid(logit)), _LEAST_SHAPE)
        other = tf.maximum(concentration * tf.exp(tf.math.log_sigmoid(-logit)), _LEAST_SHAPE)
        gammas = tf.math.lgamma(one + other) - tf.math.lgamma(one) - tf.math.lgamma(other)
        return gammas + (one - 1.0) * tf.math.log(values) + (other - 1.0) * tf.math.log1p(-values)

    def mean(self, outputs: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Standardised mean (n_samples, n_features)."""
        return tf.math.divide_no_nan(tf.sigmoid(self._logit(outputs, scale)) - scale[0], scale[1])

    @staticmethod
    def _moments(scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # a constant feature comes with a standard deviation of 0, and a Beta law has none of that
        center = tf.clip_by_value(scale[0], EDGE, 1.0 - EDGE)
        return center, tf.clip_by_value(tf.square(scale[1]), EDGE**2, 0.9 * center * (1.0 - center))

    def _logit(self, outputs: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        center, variance = self._moments(scale)
        steepness = tf.sqrt(variance) / (center * (1.0 - center))
        return tf.math.log(center) - tf.math.log1p(-center) + steepness * outputs


LAWS = {law.name: law for law in (GaussianLaw(), BetaLaw())}


def law_of(name: str) -> GaussianLaw | BetaLaw:
    """A law by its name.

    Raises
    ------
    ConfigError
    """
    if name not in LAWS:
        raise ConfigError(f"Unknown law {name!r} of a layer; known are {', '.join(LAWS)}.")
    return LAWS[name]
