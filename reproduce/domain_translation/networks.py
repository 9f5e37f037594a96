"""Two auto-encoders with one latent space, a plain network, and their training steps; nothing about names or epochs.

**Aligned auto-encoders** (Yang and Uhler 2019, arXiv:1902.03515; Yang et al. 2021, Nature Communications 12:31). Each
layer X has an encoder q(z|x) = N(m(x), v(x)) and a decoder p(x|z). With n_X features the loss, a mean over rows, is

    Σ_X [−E log p(x|z) + β KL(q(z|x) ‖ N(0, 1))] / n_X      all rows, paired or not
    + λ_discriminator · (the discriminator's error at telling which layer z came from, labels swapped)
    + λ_latent · |m(x_source) − m(x_target)|²/d             pairs
    + λ_crossed · Σ −E log p(x_other|z(x)) / n_other        pairs
    + λ_class · (error of a linear classifier of m)         pairs with classes

and a discriminator of z is trained in turn with the encoders. Without any λ there are two auto-encoders that know
nothing of each other. Translation is decoder_target(m_source(x)), and the reverse.

Random numbers come in from outside, as in `reproduce.models.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from reproduce.domain_translation.likelihoods import law_of
from reproduce.models.autoencoding import DenseStack, mean_and_log_variance, normal_divergence
from reproduce.models.layers import bits_below


@dataclass(frozen=True)
class AlignmentSettings:
    """Layout and loss of two auto-encoders.

    Parameters
    ----------
    n_source, n_target : int
        Features.
    n_classes : int
        0: none are known.
    latent_size : int
    hidden_units : tuple of int
        Widths of the encoders' hidden layers; the decoders have the same in reverse.
    source_law, target_law : str
        Of `reproduce.domain_translation.likelihoods.LAWS`.
    divergence_weight, discriminator_weight, latent_weight, crossed_weight, class_weight : float
        β and the λ of the module.
    dropout : float
        Fraction of the inputs that a training step hides.
    learning_rate, weight_decay : float
        AdamW's.
    """

    n_source: int
    n_target: int
    n_classes: int
    latent_size: int
    hidden_units: tuple[int, ...]
    source_law: str
    target_law: str
    divergence_weight: float
    discriminator_weight: float
    latent_weight: float
    crossed_weight: float
    class_weight: float
    dropout: float
    learning_rate: float
    weight_decay: float

    def network(self) -> AlignedNetwork:
        """A network of this layout, built."""
        return AlignedNetwork(self)


@dataclass(frozen=True)
class PerceptronSettings:
    """Layout of a plain network from source to target; parameters as of `AlignmentSettings`."""

    n_source: int
    n_target: int
    hidden_units: tuple[int, ...]
    dropout: float
    learning_rate: float
    weight_decay: float

    def network(self) -> PerceptronNetwork:
        """A network of this layout, built."""
        return PerceptronNetwork(self)


class LayerCoder(keras.layers.Layer):
    """Encoder and decoder of one layer."""

    def __init__(self, n_features: int, law: str, settings: AlignmentSettings, **kwargs):
        super().__init__(**kwargs)
        self.law, latent = law_of(law), settings.latent_size
        self.encoder = _stack(settings.hidden_units, n_features, "encoder")
        self.posterior = _dense(2 * latent, settings.hidden_units[-1], "posterior")
        self.decoder = _stack(settings.hidden_units[::-1], latent, "decoder")
        self.output_layer = _dense(n_features, settings.hidden_units[0], "outputs")
        self.spread = self.add_weight(shape=(n_features,), name="bias")
        self.built = True

    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and log variance of the posterior, each (n_samples, latent_size)."""
        return mean_and_log_variance(self.posterior(self.encoder(x)))

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Outputs of the law (n_samples, n_features)."""
        return self.output_layer(self.decoder(z))

    def surprise(self, x: tf.Tensor, z: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """−log p(x|z), mean over rows and features; 0 for no rows."""
        log_density = self.law.log_density(x, self.decode(z), self.spread, scale)
        return -tf.math.divide_no_nan(tf.reduce_sum(log_density), tf.cast(tf.size(log_density), tf.float32))


class AlignedNetwork(keras.Model):
    """Two auto-encoders, a discriminator of their latents and a classifier; see the module."""

    metric_names = ("loss", "reconstruction", "divergence", "distance", "crossed", "discriminator", "classes")

    def __init__(self, settings: AlignmentSettings, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        self.source = LayerCoder(settings.n_source, settings.source_law, settings, name="source")
        self.target = LayerCoder(settings.n_target, settings.target_law, settings, name="target")
        self.discriminator = self.classifier = None
        if settings.discriminator_weight > 0:
            width = 2 * settings.latent_size
            self.discriminator = [
                _dense(width, settings.latent_size, "discriminator_hidden", "relu"),
                _dense(1, width, "discriminator_output"),
            ]
        if settings.n_classes and settings.class_weight > 0:
            self.classifier = _dense(settings.n_classes, settings.latent_size, "classifier")
        self.built = True

    def compile_optimizers(self) -> None:
        """Create the optimizers and their variables."""
        self.optimizers = [_optimizer(self.settings, self._coder_weights())]
        if self.discriminator is not None:
            self.optimizers.append(_optimizer(self.settings, self._discriminator_weights()))

    def noise_shapes(self, n_source: int, n_target: int) -> dict[str, tuple[int, int]]:
        """Normal deviates that one step needs, by name."""
        return {
            "source_noise": (n_source, self.settings.latent_size),
            "target_noise": (n_target, self.settings.latent_size),
        }

    def bit_shapes(self, n_source: int, n_target: int) -> dict[str, tuple[int, int]]:
        """Random integers (uint16) that one step needs, by name."""
        settings = self.settings
        if not settings.dropout:
            return {}
        return {"source_bits": (n_source, settings.n_source), "target_bits": (n_target, settings.n_target)}

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One optimisation step.

        Parameters
        ----------
        batch : dict of tensors
            "source" (n_pairs + n_source_only, n_source) and "target" (n_pairs + n_target_only, n_target), pairs first;
            "n_pairs"; "classes" (n_pairs,) int32; "source_scale" and "target_scale" (2, n_features); what
            `noise_shapes` and `bit_shapes` ask for.

        Returns
        -------
        dict of float32 scalars
            As `metric_names`.
        """
        weights = self._coder_weights()
        with tf.GradientTape() as tape:
            metrics, latents = self._terms(batch)
        gradients = tape.gradient(metrics["loss"], weights)
        # a classifier without classes, or decoders that nothing asks, get no gradient
        pairs = [(g, w) for g, w in zip(gradients, weights, strict=True) if g is not None]
        self.optimizers[0].apply(*map(list, zip(*pairs, strict=True)))
        if self.discriminator is not None:
            weights = self._discriminator_weights()
            with tf.GradientTape() as tape:
                error = self._discriminator_error(*map(tf.stop_gradient, latents))
            self.optimizers[1].apply(tape.gradient(error, weights), weights)
            metrics["discriminator"] = error
        return metrics

    def _terms(self, batch: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        settings, n_pairs = self.settings, batch["n_pairs"]
        source, target = batch["source"], batch["target"]
        coders, scales = (self.source, self.target), (batch["source_scale"], batch["target_scale"])
        (means, variances), latents = self._latents(batch)
        rows = (source, target)
        reconstruction = sum(c.surprise(x, z, s) for c, x, z, s in zip(coders, rows, latents, scales, strict=True))
        divergences = [
            tf.reduce_mean(normal_divergence(m, v)) / n
            for m, v, n in zip(means, variances, (settings.n_source, settings.n_target), strict=True)
        ]
        distance = tf.reduce_mean(tf.square(means[0][:n_pairs] - means[1][:n_pairs]))
        crossed = tf.constant(0.0)
        if settings.crossed_weight > 0:
            crossed = self.target.surprise(target[:n_pairs], latents[0][:n_pairs], scales[1])
            crossed += self.source.surprise(source[:n_pairs], latents[1][:n_pairs], scales[0])
        classes = self._class_error([m[:n_pairs] for m in means], batch["classes"])
        loss = reconstruction + settings.divergence_weight * sum(divergences) + settings.latent_weight * distance
        loss += settings.crossed_weight * crossed + settings.class_weight * classes
        if self.discriminator is not None:
            # the encoders are paid for the wrong answer
            loss += settings.discriminator_weight * self._discriminator_error(*latents[::-1])
        metrics = {
            "loss": loss,
            "reconstruction": reconstruction,
            "divergence": sum(divergences),
            "distance": distance,
            "crossed": crossed,
            "discriminator": tf.constant(0.0),
            "classes": classes,
        }
        return metrics, latents

    def _latents(self, batch: dict[str, tf.Tensor]):
        found = []
        for name, coder in (("source", self.source), ("target", self.target)):
            mean, log_variance = coder.encode(_with_dropout(batch, name, self.settings.dropout))
            found.append((mean, log_variance, mean + tf.exp(0.5 * log_variance) * batch[f"{name}_noise"]))
        means, variances, latents = zip(*found, strict=True)
        return (means, variances), latents

    def _discriminator_error(self, of_source: tf.Tensor, of_target: tf.Tensor) -> tf.Tensor:
        """Cross-entropy of telling the two apart, mean over rows; the first are said to be the source's."""
        hidden, output = self.discriminator
        logits = [output(hidden(z)) for z in (of_source, of_target)]
        return 0.5 * (tf.reduce_mean(tf.nn.softplus(-logits[0])) + tf.reduce_mean(tf.nn.softplus(logits[1])))

    def _class_error(self, means: list[tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
        if self.classifier is None:
            return tf.constant(0.0)
        errors = [
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=self.classifier(mean))
            for mean in means
        ]
        return 0.5 * sum(map(tf.reduce_mean, errors))

    def validation_loss(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """What decides when to stop, of held-out pairs ("source", "target" and their scales), at the posteriors' means.

        −log p of each layer given the other's latent, mean over features, summed; where no λ of pairs is above 0, the
        same of each layer given its own, since pairs must not help then.
        """
        settings = self.settings
        latents = [self.source.encode(batch["source"])[0], self.target.encode(batch["target"])[0]]
        if settings.crossed_weight > 0 or settings.latent_weight > 0:
            latents = latents[::-1]
        of_source = self.source.surprise(batch["source"], latents[0], batch["source_scale"])
        return of_source + self.target.surprise(batch["target"], latents[1], batch["target_scale"])

    def translate(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Standardised mean of the target given "source"."""
        z = self.source.encode(batch["source"])[0]
        return self.target.law.mean(self.target.decode(z), batch["target_scale"])

    def translate_back(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Standardised mean of the source given "target"."""
        z = self.target.encode(batch["target"])[0]
        return self.source.law.mean(self.source.decode(z), batch["source_scale"])

    def latent(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Posteriors' means of "source" and below them of "target"."""
        return tf.concat([self.source.encode(batch["source"])[0], self.target.encode(batch["target"])[0]], axis=0)

    def _coder_weights(self) -> list:
        weights = self.source.trainable_variables + self.target.trainable_variables
        return weights + ([] if self.classifier is None else self.classifier.trainable_variables)

    def _discriminator_weights(self) -> list:
        return [weight for layer in self.discriminator for weight in layer.trainable_variables]


class PerceptronNetwork(keras.Model):
    """Hidden layers from source to target, squared error."""

    metric_names = ("loss",)

    def __init__(self, settings: PerceptronSettings, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        self.hidden = _stack(settings.hidden_units, settings.n_source, "hidden")
        self.output_layer = _dense(settings.n_target, settings.hidden_units[-1], "outputs")
        self.built = True

    def compile_optimizers(self) -> None:
        """Create the optimizer and its variables."""
        self.optimizers = [_optimizer(self.settings, self.trainable_variables)]

    def noise_shapes(self, n_source: int, n_target: int) -> dict[str, tuple[int, int]]:
        """None is needed."""
        return {}

    def bit_shapes(self, n_source: int, n_target: int) -> dict[str, tuple[int, int]]:
        """As of `AlignedNetwork.bit_shapes`."""
        return {"source_bits": (n_source, self.settings.n_source)} if self.settings.dropout else {}

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One optimisation step on "source" and "target"."""
        with tf.GradientTape() as tape:
            predicted = self.output_layer(self.hidden(_with_dropout(batch, "source", self.settings.dropout)))
            loss = tf.reduce_mean(tf.square(batch["target"] - predicted))
        self.optimizers[0].apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}

    def validation_loss(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Mean squared error of held-out pairs."""
        return tf.reduce_mean(tf.square(batch["target"] - self.translate(batch)))

    def translate(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Standardised target of "source"."""
        return self.output_layer(self.hidden(batch["source"]))


def _with_dropout(batch: dict[str, tf.Tensor], name: str, rate: float) -> tf.Tensor:
    if not rate:
        return batch[name]
    return batch[name] * bits_below(batch[f"{name}_bits"], 1.0 - rate) / (1.0 - rate)


def _stack(widths: tuple[int, ...], n_inputs: int, name: str) -> DenseStack:
    stack = DenseStack(tuple(widths), True, name=name)
    stack.build((None, n_inputs))
    return stack


def _dense(width: int, n_inputs: int, name: str, activation: str | None = None) -> keras.layers.Dense:
    layer = keras.layers.Dense(width, activation=activation, name=name)
    layer.build((None, n_inputs))
    return layer


def _optimizer(settings: AlignmentSettings | PerceptronSettings, weights: list) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer.build(weights)
    return optimizer
