"""The networks of VAE and GMVAE and their training step; nothing about files, cells' names or epochs.

**VAE** (Kingma and Welling 2014). With counts x, latent z and library size n = Σ x,

    z ~ N(0, 1)        q(z|x) = N(m(x), v(x))        x_g ~ law with rate λ_g = n · softmax(a(z))_g
    ELBO = E_q(z|x) log p(x|z) − KL(q(z|x) ‖ p(z))

**GMVAE** (Kingma et al. 2014; Dilokthanakul et al. 2016; Grønbech et al. 2020), with one of K components y,

    y ~ 1/K            z|y ~ N(μ_y, σ²_y)            q(y, z|x) = q(y|x) q(z|x, y)
    ELBO = Σ_y q(y|x) [E_q(z|x,y) log p(x|z) − KL(q(z|x,y) ‖ p(z|y))] − KL(q(y|x) ‖ 1/K)

The sum over y is taken in full: nothing about it is drawn.

Counts come in sparse, a row of positions and counts for each cell, and are made dense one batch at a time inside the
step. As in `reproduce.models.layers`, random numbers come in from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from reproduce.models.autoencoding import (
    DenseStack,
    mean_and_log_variance,
    normal_divergence,
    normal_log_density,
    uniform_divergence,
)
from reproduce.single_cell.likelihoods import CountParameters, likelihood_of

#: How many times faster than a weight a dispersion's logarithm moves. A step of Adam moves a weight by the learning
#: rate whatever the gradient; as latents come to explain what a gene varies by, its dispersion must grow by orders of
#: magnitude, in a few hundred steps.
DISPERSION_PACE = 30.0
#: Bounds on log λ where `NetworkSettings.rates` is "bounded", as in scVAE.
LOG_RATE = (-10.0, 10.0)
#: Means over the cells of a batch that the step reports, by name.
METRICS = ("elbo", "reconstruction", "latent_divergence", "class_divergence", "rate_sum")
#: The largest log λ of a batch, which the step reports beside `METRICS`.
LARGEST = "largest_log_rate"


@dataclass(frozen=True)
class NetworkSettings:
    """Layout of a network and of its step.

    Parameters
    ----------
    n_genes : int
    latent_size : int
    hidden_units : tuple of int
        Widths of the encoder's hidden layers; the decoder has the same in reverse.
    likelihood : str
        Of `reproduce.single_cell.likelihoods.LIKELIHOODS`.
    n_components : int
        Of the mixture; 0 makes a VAE.
    layer_normalization : bool
    rates : {"share", "exponential", "bounded"}
        Whether the decoder's outputs a become rates as n · softmax(a), as exp(a) whatever the library size n, or as
        exp(a) with a cut off at `LOG_RATE`.
    inputs : {"log1p", "counts"}
        What the encoder sees.
    learning_rate : float
        Adam's.
    """

    n_genes: int
    latent_size: int
    hidden_units: tuple[int, ...]
    likelihood: str
    n_components: int = 0
    layer_normalization: bool = True
    rates: str = "share"
    inputs: str = "log1p"
    learning_rate: float = 1e-4

    @property
    def n_noise(self) -> int:
        """Normal deviates that one cell needs in one pass."""
        return self.latent_size * max(self.n_components, 1)


class ComponentTable(keras.layers.Layer):
    """A vector for each component, learnt.

    Parameters
    ----------
    n_components, n_outputs : int
    start_at_zero : bool
        Else at random.
    """

    def __init__(self, n_components: int, n_outputs: int, start_at_zero: bool, **kwargs):
        super().__init__(**kwargs)
        name = "zero_kernel" if start_at_zero else "kernel"
        self.values = self.add_weight(shape=(n_components, n_outputs), name=name)
        self.built = True


class CountDecoder(keras.layers.Layer):
    """From a latent point to the parameters of every gene's law."""

    def __init__(self, settings: NetworkSettings, **kwargs):
        super().__init__(**kwargs)
        self.settings, self.law = settings, likelihood_of(settings.likelihood)
        self.hidden = DenseStack(settings.hidden_units[::-1], settings.layer_normalization, name="hidden")
        self.rate = keras.layers.Dense(settings.n_genes, name="rate")
        self.zero = keras.layers.Dense(settings.n_genes, name="zero") if self.law.inflated else None
        self._dispersion = None
        if self.law.dispersed:
            self._dispersion = self.add_weight(shape=(settings.n_genes,), name="bias")

    @property
    def log_dispersion(self) -> tf.Tensor | None:
        """Of each gene (n_genes,); None for laws without."""
        return None if self._dispersion is None else DISPERSION_PACE * self._dispersion

    def build(self, input_shape):
        self.hidden.build(input_shape)
        for layer in (self.rate, self.zero):
            if layer is not None:
                layer.build((None, self.settings.hidden_units[0]))
        self.built = True

    def call(self, z: tf.Tensor, log_library: tf.Tensor) -> CountParameters:
        """Decode (n_cells, latent_size) with library sizes (n_cells, 1)."""
        h = self.hidden(z)
        log_rate = self.rate(h)
        if self.settings.rates == "share":
            log_rate = log_library + tf.nn.log_softmax(log_rate)
        elif self.settings.rates == "bounded":
            log_rate = tf.clip_by_value(log_rate, *LOG_RATE)
        return CountParameters(log_rate, self.log_dispersion, None if self.zero is None else self.zero(h))

    def start_at(self, profile: np.ndarray, log_dispersion: np.ndarray, zero_logit: float) -> None:
        """Let all cells begin at one profile.

        Parameters
        ----------
        profile : ndarray (n_genes,)
            Logarithms of mean counts.
        log_dispersion : ndarray (n_genes,)
        zero_logit : float
        """
        self.rate.bias.assign(profile)
        if self.zero is not None:
            self.zero.bias.assign(np.full(len(profile), zero_logit))
        if self._dispersion is not None:
            self._dispersion.assign(log_dispersion / DISPERSION_PACE)


class CountNetwork(keras.Model):
    """What VAE and GMVAE share: inputs, decoder, the step. Subclasses encode.

    Parameters
    ----------
    settings : NetworkSettings
    """

    def __init__(self, settings: NetworkSettings, **kwargs):
        super().__init__(**kwargs)
        self.settings, self.law = settings, likelihood_of(settings.likelihood)
        self.decoder = CountDecoder(settings, name="decoder")
        self.decoder.build((None, settings.latent_size))
        self._build_encoders()

    def _build_encoders(self) -> None:
        raise NotImplementedError

    def _stack(self, name: str, n_outputs: int) -> tuple[DenseStack, keras.layers.Dense]:
        """Hidden layers from counts, and a linear output."""
        stack = DenseStack(self.settings.hidden_units, self.settings.layer_normalization, name=name)
        stack.build((None, self.settings.n_genes))
        output = keras.layers.Dense(n_outputs, name=f"{name}_output")
        output.build((None, self.settings.hidden_units[-1]))
        return stack, output

    def compile_optimizer(self) -> None:
        """Create the optimizer and its variables."""
        self.compile(optimizer=keras.optimizers.Adam(self.settings.learning_rate))
        self.optimizer.build(self.trainable_variables)

    def inputs_of(self, positions: tf.Tensor, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What encoders see (n_cells, n_genes), and the logarithm of library sizes (n_cells, 1), from sparse rows."""
        values = tf.math.log1p(counts) if self.settings.inputs == "log1p" else counts
        log_library = tf.math.log(tf.reduce_sum(counts, axis=1, keepdims=True))
        return self.dense(positions, values), log_library

    def dense(self, positions: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Sparse rows (n_cells, n_positions) as (n_cells, n_genes)."""
        n_cells, n_genes = tf.shape(values)[0], self.settings.n_genes
        flat = positions + tf.range(n_cells)[:, None] * n_genes
        # padding adds 0 to the first gene
        summed = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), tf.reshape(flat, [-1]), n_cells * n_genes)
        return tf.reshape(summed, [n_cells, n_genes])

    def terms(self, positions: tf.Tensor, counts: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        """The parts of each cell's ELBO, for one draw of the latent.

        Parameters
        ----------
        positions : int32 tensor (n_cells, n_positions)
        counts : float32 tensor (n_cells, n_positions)
            0 says padding.
        noise : float32 tensor (n_cells, settings.n_noise)

        Returns
        -------
        dict of float32 tensors (n_cells,)
            As `METRICS` (divergences not weighted; `rate_sum` the sum of all genes' rates), `LARGEST` (over genes),
            "log_weight", whose exponential has the mean p(x), and "composition": log probability of the counts given
            their sum, multinomial with shares λ/Σλ, less the divergences. Unlike "elbo" it asks the same of all
            forms of rates: none is credited with, or held to, the cell's depth.
        """
        raise NotImplementedError

    def latent(self, positions: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """Mean of q(z|x) (n_cells, latent_size)."""
        raise NotImplementedError

    def expected(self, positions: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """The law's mean counts (n_cells, n_genes) at the posterior's mean."""
        return self._at_posterior(positions, counts, self.law.mean)

    def further(self, positions: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """Counts (n_cells, n_genes) to be expected if as many were drawn again, at the posterior's mean.

        See `Likelihood.expected_given`.
        """
        seen = self.dense(positions, counts)
        return self._at_posterior(positions, counts, lambda at: self.law.expected_given(seen, at))

    def _at_posterior(self, positions: tf.Tensor, counts: tf.Tensor, expectation: Callable) -> tf.Tensor:
        """What `expectation` makes of the parameters of all genes, (n_cells, n_genes)."""
        raise NotImplementedError

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One optimisation step.

        Parameters
        ----------
        batch : dict of tensors
            "positions", "counts", "noise" as of `terms`, and the scalar "warm_up" that weights the divergences.

        Returns
        -------
        dict of float32 scalars
            Means over cells, as `METRICS`, and `LARGEST` over cells.
        """
        with tf.GradientTape() as tape:
            terms = self.terms(batch["positions"], batch["counts"], batch["noise"])
            divergence = terms["latent_divergence"] + terms["class_divergence"]
            loss = -tf.reduce_mean(terms["reconstruction"] - batch["warm_up"] * divergence)
        gradients = tape.gradient(loss, self.trainable_variables)
        # what the law does not use gets no gradient
        pairs = [(g, v) for g, v in zip(gradients, self.trainable_variables, strict=True) if g is not None]
        self.optimizer.apply(*map(list, zip(*pairs, strict=True)))
        metrics = {name: tf.reduce_mean(terms[name]) for name in METRICS}
        return metrics | {LARGEST: tf.reduce_max(terms[LARGEST])}


class VAENetwork(CountNetwork):
    """One standard normal prior."""

    def _build_encoders(self) -> None:
        self.encoder, self.posterior = self._stack("encoder", 2 * self.settings.latent_size)

    def _posterior(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return mean_and_log_variance(self.posterior(self.encoder(x)))

    def terms(self, positions, counts, noise):
        """See `CountNetwork.terms`."""
        x, log_library = self.inputs_of(positions, counts)
        mean, log_variance = self._posterior(x)
        z = mean + tf.exp(0.5 * log_variance) * noise
        at = self.decoder(z, log_library)
        reconstruction = self.law.cell_log_probability(positions, counts, at)
        divergence = normal_divergence(mean, log_variance)
        log_ratio = normal_log_density(z, 0.0, 0.0) - normal_log_density(z, mean, log_variance)
        return {
            "elbo": reconstruction - divergence,
            "reconstruction": reconstruction,
            "latent_divergence": divergence,
            "class_divergence": tf.zeros_like(divergence),
            "rate_sum": tf.reduce_sum(tf.exp(at.log_rate), axis=-1),
            LARGEST: tf.reduce_max(at.log_rate, axis=-1),
            "log_weight": reconstruction + log_ratio,
            "composition": log_composition(positions, counts, at.log_rate) - divergence,
        }

    def latent(self, positions, counts):
        """See `CountNetwork.latent`."""
        return self._posterior(self.inputs_of(positions, counts)[0])[0]

    def _at_posterior(self, positions, counts, expectation):
        x, log_library = self.inputs_of(positions, counts)
        return expectation(self.decoder(self._posterior(x)[0], log_library))


class GMVAENetwork(CountNetwork):
    """A mixture of normals as prior, its component inferred."""

    def _build_encoders(self) -> None:
        settings = self.settings
        self.class_encoder, self.class_logits = self._stack("class_encoder", settings.n_components)
        self.encoder, self.posterior = self._stack("encoder", 2 * settings.latent_size)
        # y enters q(z|x, y) beside x: a column of the first layer's weights for each component
        shape = (settings.n_components, settings.hidden_units[0])
        self.component_inputs = ComponentTable(*shape, start_at_zero=False, name="component_inputs")
        shape = (settings.n_components, settings.latent_size)
        self.component_means = ComponentTable(*shape, start_at_zero=False, name="component_means")
        self.component_log_variances = ComponentTable(*shape, start_at_zero=True, name="component_log_variances")

    def log_classes(self, positions: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """log q(y|x), (n_cells, n_components)."""
        return self._log_classes(self.inputs_of(positions, counts)[0])

    def _log_classes(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(self.class_logits(self.class_encoder(x)))

    def _posteriors(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Means and log variances of q(z|x, y), each (n_components, n_cells, latent_size)."""
        first = self.encoder.first(x)[None] + self.component_inputs.values[:, None]
        flat = tf.reshape(first, [-1, self.settings.hidden_units[0]])
        outputs = self.posterior(self.encoder.rest(flat))
        return mean_and_log_variance(tf.reshape(outputs, [self.settings.n_components, -1, outputs.shape[-1]]))

    def _decode(self, z: tf.Tensor, log_library: tf.Tensor) -> CountParameters:
        """Of all components' latents (n_components, n_cells, latent_size), one below the other."""
        log_library = tf.tile(log_library, [self.settings.n_components, 1])
        return self.decoder(tf.reshape(z, [-1, self.settings.latent_size]), log_library)

    def terms(self, positions, counts, noise):
        """See `CountNetwork.terms`."""
        k = self.settings.n_components
        x, log_library = self.inputs_of(positions, counts)
        log_q = tf.transpose(self._log_classes(x))
        q = tf.exp(log_q)
        mean, log_variance = self._posteriors(x)
        noise = tf.transpose(tf.reshape(noise, [-1, k, self.settings.latent_size]), [1, 0, 2])
        z = mean + tf.exp(0.5 * log_variance) * noise
        at = self._decode(z, log_library)
        tiled = tf.tile(positions, [k, 1]), tf.tile(counts, [k, 1])
        of_cells = tf.reshape(self.law.cell_log_probability(*tiled, at), [k, -1])
        compositions = tf.reshape(log_composition(*tiled, at.log_rate), [k, -1])
        rate_sums = tf.reshape(tf.reduce_sum(tf.exp(at.log_rate), axis=-1), [k, -1])
        prior = self.component_means.values[:, None], self.component_log_variances.values[:, None]
        divergence = tf.reduce_sum(q * normal_divergence(mean, log_variance, *prior), axis=0)
        reconstruction = tf.reduce_sum(q * of_cells, axis=0)
        class_divergence = uniform_divergence(tf.transpose(log_q))
        log_ratio = normal_log_density(z, *prior) - normal_log_density(z, mean, log_variance)
        return {
            "elbo": reconstruction - divergence - class_divergence,
            "reconstruction": reconstruction,
            "latent_divergence": divergence,
            "class_divergence": class_divergence,
            "rate_sum": tf.reduce_sum(q * rate_sums, axis=0),
            LARGEST: tf.reduce_max(tf.reshape(tf.reduce_max(at.log_rate, axis=-1), [k, -1]), axis=0),
            "log_weight": tf.reduce_logsumexp(of_cells + log_ratio, axis=0) - float(np.log(k)),
            "composition": tf.reduce_sum(q * compositions, axis=0) - divergence - class_divergence,
        }

    def latent(self, positions, counts):
        """See `CountNetwork.latent`; the mean over components."""
        x, _ = self.inputs_of(positions, counts)
        q = tf.transpose(tf.exp(self._log_classes(x)))
        return tf.reduce_sum(q[:, :, None] * self._posteriors(x)[0], axis=0)

    def _at_posterior(self, positions, counts, expectation):
        # the mean over components, one after the other: all at once would take n_components times the memory
        x, log_library = self.inputs_of(positions, counts)
        q, means = tf.exp(self._log_classes(x)), self._posteriors(x)[0]
        of_components = [expectation(self.decoder(means[y], log_library)) for y in range(self.settings.n_components)]
        return tf.add_n([q[:, y, None] * found for y, found in enumerate(of_components)])


def network_of(settings: NetworkSettings) -> CountNetwork:
    """A network of this layout."""
    return (GMVAENetwork if settings.n_components else VAENetwork)(settings)


def log_composition(positions: tf.Tensor, counts: tf.Tensor, log_rate: tf.Tensor) -> tf.Tensor:
    """Log probability (n_cells,) of counts given their sum: multinomial, with a cell's rates over their sum as shares.

    Parameters
    ----------
    positions, counts : tensors (n_cells, n_positions)
        0 counts say padding.
    log_rate : tensor (n_cells, n_genes)
    """
    n = tf.reduce_sum(counts, axis=-1)
    there = tf.gather(log_rate, positions, batch_dims=1)
    fitted = tf.reduce_sum(counts * there, axis=-1) - n * tf.reduce_logsumexp(log_rate, axis=-1)
    return fitted + tf.math.lgamma(n + 1.0) - tf.reduce_sum(tf.math.lgamma(counts + 1.0), axis=-1)
