"""Four laws of counts in logarithms; never knows a network.

With rate λ, dispersion θ (variance λ + λ²/θ; the larger, the closer to Poisson) and probability π of an extra zero:

    Poisson              log p(x) = x log λ − λ − log x!
    negative binomial    log p(x) = log Γ(x+θ) − log Γ(θ) − log x! + x log λ − x log θ − (x+θ) log(1 + λ/θ)
    zero-inflated        p(0) = π + (1−π) p₀(0),   p(x) = (1−π) p₀(x) for x > 0

Nothing is ever exponentiated that could overflow or cancel: λ, θ and π come as log λ, log θ and logit π, and the
difference of the two log Γ is one expression (`log_rising_ratio`), since for large θ each alone is larger than the
difference by more digits than single precision has.

Nine of ten counts of a cell are zero. `cell_log_probability` therefore evaluates the zero's probability everywhere and
what is dear at the counts above zero only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from reproduce.errors import ConfigError

#: How far arguments of Γ are shifted before Stirling's series, which then errs by less than 1e-9.
_SHIFT = 6


@dataclass(frozen=True)
class CountParameters:
    """What a decoder says of each entry.

    Parameters
    ----------
    log_rate : tensor (…, n_genes)
    log_dispersion : tensor (n_genes,), optional
    zero_logit : tensor (…, n_genes), optional
    """

    log_rate: tf.Tensor
    log_dispersion: tf.Tensor | None = None
    zero_logit: tf.Tensor | None = None

    def at(self, positions: tf.Tensor) -> CountParameters:
        """The parameters of some genes of each cell.

        Parameters
        ----------
        positions : int32 tensor (n_cells, n_positions)
        """

        def chosen(values: tf.Tensor) -> tf.Tensor:
            return tf.gather(values, positions, batch_dims=1)

        return CountParameters(
            log_rate=chosen(self.log_rate),
            log_dispersion=None if self.log_dispersion is None else tf.gather(self.log_dispersion, positions),
            zero_logit=None if self.zero_logit is None else chosen(self.zero_logit),
        )


@dataclass(frozen=True)
class Likelihood:
    """A law of counts.

    Attributes
    ----------
    name, label : str
    dispersed : bool
        Whether it has a dispersion.
    inflated : bool
        Whether zeros may come from a source of their own.
    """

    name: str
    label: str
    dispersed: bool
    inflated: bool

    def log_zero(self, at: CountParameters) -> tf.Tensor:
        """Log probability of a count of 0, of the shape of ``at.log_rate``."""
        log_p = -self._zero_cost(at)
        if not self.inflated:
            return log_p
        # log(e^logit + p₀) of the larger of the two, which alone stays finite and exact when the other is far below
        ahead = log_p - at.zero_logit
        larger = tf.where(ahead > 0, log_p, at.zero_logit)
        together = larger + tf.nn.softplus(tf.where(ahead > 0, -ahead, ahead))
        return together - tf.nn.softplus(at.zero_logit)

    def log_positive(self, counts: tf.Tensor, at: CountParameters) -> tf.Tensor:
        """Log probability of counts of 1 and more; finite but meaningless at 0."""
        log_p = counts * at.log_rate - tf.math.lgamma(counts + 1.0) - self._zero_cost(at)
        if self.dispersed:
            log_p += log_rising_ratio(counts, at.log_dispersion)
            log_p -= counts * tf.nn.softplus(at.log_rate - at.log_dispersion)
        return log_p - tf.nn.softplus(at.zero_logit) if self.inflated else log_p

    def log_probability(self, counts: tf.Tensor, at: CountParameters) -> tf.Tensor:
        """Log probability of each entry, of the shape of `counts`."""
        return tf.where(counts > 0, self.log_positive(counts, at), self.log_zero(at))

    def cell_log_probability(self, positions: tf.Tensor, counts: tf.Tensor, at: CountParameters) -> tf.Tensor:
        """Log probability of each cell: the sum of `log_probability` over its genes.

        Parameters
        ----------
        positions : int32 tensor (n_cells, n_positions)
            Genes with a count above 0; the rest is padding.
        counts : tensor (n_cells, n_positions)
            Their counts; 0 says padding.
        at : CountParameters
            Of all genes.

        Returns
        -------
        tensor (n_cells,)
        """
        there = at.at(positions)
        more = self.log_positive(counts, there) - self.log_zero(there)
        return tf.reduce_sum(self.log_zero(at), axis=-1) + tf.reduce_sum(tf.where(counts > 0, more, 0.0), axis=-1)

    def mean(self, at: CountParameters) -> tf.Tensor:
        """Expected counts before any is seen, λ or (1 − π) λ."""
        return tf.exp(at.log_rate - tf.nn.softplus(at.zero_logit) if self.inflated else at.log_rate)

    def expected_given(self, counts: tf.Tensor, at: CountParameters, odds: float = 1.0) -> tf.Tensor:
        """Expected further counts of the same cells, given those that were seen.

        Of counts that are thinned, each molecule kept with probability 1 − h, the two parts share what is random about
        a gene in a cell beyond Poisson noise: the gamma variable of the negative binomial and whether the zero is an
        extra one. What is seen therefore speaks of what is hidden. With the visible part's λ, θ and π,

            Poisson              h/(1−h) · λ
            negative binomial    h/(1−h) · λ (θ + x) / (θ + λ)        (θ is the same for both parts)
            zero-inflated        times the probability, given x, that this is no extra zero: 1 where x > 0, else
                                 (1−π) p₀(0) / p(0)

        Parameters
        ----------
        counts : tensor
            Of the visible part.
        at : CountParameters
            Of the visible part.
        odds : float, default 1
            Depth of the further counts over that of those seen, h/(1 − h).

        Returns
        -------
        tensor of the shape of `counts`
        """
        expected = odds * tf.exp(at.log_rate)
        if self.dispersed:
            dispersion = tf.exp(at.log_dispersion)
            expected *= (dispersion + counts) / (dispersion + tf.exp(at.log_rate))
        if self.inflated:
            expected *= tf.where(counts > 0, 1.0, tf.nn.sigmoid(-self._zero_cost(at) - at.zero_logit))
        return expected

    def sample(self, at: CountParameters, generator: np.random.Generator) -> np.ndarray:
        """Draw counts.

        Returns
        -------
        ndarray of int64, of the shape of ``at.log_rate``
        """
        rate = np.exp(np.asarray(at.log_rate, dtype=float))
        if self.dispersed:
            dispersion = np.broadcast_to(np.exp(np.asarray(at.log_dispersion, dtype=float)), rate.shape)
            rate = rate * generator.standard_gamma(dispersion) / dispersion
        drawn = generator.poisson(rate)
        if self.inflated:
            kept = generator.random(rate.shape) * (1.0 + np.exp(np.asarray(at.zero_logit, dtype=float))) < 1.0
            drawn = drawn * kept
        return drawn

    def _zero_cost(self, at: CountParameters) -> tf.Tensor:
        """Minus the log probability of 0 without inflation: λ, or θ log(1 + λ/θ)."""
        if not self.dispersed:
            return tf.exp(at.log_rate)
        return tf.exp(at.log_dispersion) * tf.nn.softplus(at.log_rate - at.log_dispersion)


LIKELIHOODS = {
    law.name: law
    for law in (
        Likelihood("poisson", "Poisson", dispersed=False, inflated=False),
        Likelihood("zero_inflated_poisson", "zero-inflated Poisson", dispersed=False, inflated=True),
        Likelihood("negative_binomial", "negative binomial", dispersed=True, inflated=False),
        Likelihood("zero_inflated_negative_binomial", "zero-inflated negative binomial", dispersed=True, inflated=True),
    )
}


def likelihood_of(name: str) -> Likelihood:
    """The law of this name.

    Raises
    ------
    ConfigError
        For a name that there is not.
    """
    if name not in LIKELIHOODS:
        raise ConfigError(f"Unknown likelihood {name!r}; known are {', '.join(LIKELIHOODS)}.")
    return LIKELIHOODS[name]


def log_rising_ratio(counts: tf.Tensor, log_dispersion: tf.Tensor) -> tf.Tensor:
    """log Γ(x+θ) − log Γ(θ) − x log θ, exact from θ = 1e-8 to where it vanishes (θ ≫ x²).

    Γ(θ) = Γ(t) / (θ (θ+1) … (t−1)) with t = θ + 6, and by Stirling's series, in which x log t cancels,

        log Γ(t+x) − log Γ(t) = x log t + (t + x − ½) log(1 + x/t) − x + δ(t+x) − δ(t).

    Parameters
    ----------
    counts, log_dispersion : tensors that broadcast
    """
    dispersion = tf.exp(log_dispersion)
    shifted = dispersion + _SHIFT
    difference = (shifted + counts - 0.5) * tf.math.log1p(counts / shifted) - counts
    difference += _stirling_rest(shifted + counts) - _stirling_rest(shifted)
    # x log t − x log θ
    difference += counts * tf.math.log1p(_SHIFT * tf.exp(-log_dispersion))
    for i in range(_SHIFT):
        difference -= tf.math.log1p(counts / (dispersion + i))
    return difference


def _stirling_rest(z: tf.Tensor) -> tf.Tensor:
    inverse = 1.0 / z
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
