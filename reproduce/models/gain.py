"""GAIN-GTEx's generator and discriminator and their two-optimizer training step; nothing about data frames.

The generator G fills a sample's holes, the discriminator D has to tell known from filled entries, with a hint about
some of them (Yoon et al. 2018; Viñas et al. 2021, Methods, "GAIN-GTEx", figure 1). With m the mask of the
visible entries, z noise, b the hint's mask, c the covariates:

    x̄ = G(x ⊙ m, z ⊙ (1 − m), c, m)         x̂ = x ⊙ m + x̄ ⊙ (1 − m)
    h = b ⊙ m + ½ (1 − b)                    D(x̂, c, h) = probability that an entry is known
    loss_D = − mean over b = 0 of  m log D + (1 − m) log(1 − D)
    loss_G = − mean over b = 0, m = 0 of  log D   +   λ · mean over m = 1 of (x − x̄)²

Without the discriminator (GAIN-MSE-GTEx) only the last term remains.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import keras
import tensorflow as tf

from reproduce.models.layers import (
    CovariateEmbedding,
    HiddenLayers,
    HiddenSettings,
    NetworkShape,
    bits_below,
    hidden_bits,
    masked_mean_squared_error,
)


@dataclass(frozen=True)
class GAINSettings:
    """Hyperparameters of both networks and their step.

    Parameters
    ----------
    hidden : HiddenSettings
        Of the generator and of the discriminator.
    discriminator_dropout : float or None
        The discriminator's, where it differs.
    discriminator : bool
        False trains the generator alone (GAIN-MSE-GTEx).
    training_missing_rate : tuple of float
        Range (low, high) from which the fraction of each sample's known entries hidden in a step, besides those that
        are missing anyway, is drawn, uniformly.
    hint_rate : float
        Fraction of the entries whose m the hint gives away.
    reconstruction_weight : float
        λ.
    noise_scale : float
        Standard deviation of z.
    learning_rate : float
        Adam's, for both.
    """

    hidden: HiddenSettings = field(default_factory=HiddenSettings)
    discriminator_dropout: float | None = None
    discriminator: bool = True
    training_missing_rate: tuple[float, float] = (0.5, 0.5)
    hint_rate: float = 0.9
    reconstruction_weight: float = 1.0
    noise_scale: float = 0.1
    learning_rate: float = 1e-3

    @property
    def discriminator_hidden(self) -> HiddenSettings:
        """Layout of the discriminator's hidden layers."""
        return (
            self.hidden
            if self.discriminator_dropout is None
            else replace(self.hidden, dropout=self.discriminator_dropout)
        )


class Generator(keras.layers.Layer):
    """Predicts all genes from the visible ones, noise in the holes, the covariates and the mask."""

    def __init__(self, shape: NetworkShape, hidden: HiddenSettings, **kwargs):
        super().__init__(**kwargs)
        self.embedding = CovariateEmbedding(shape.n_categories)
        self.hidden = HiddenLayers(hidden, shape.n_genes)

    def call(self, expression, noise, visible, codes, numeric, dropout_bits=None, training=False):
        """Return x̄ (n_samples, n_genes); `expression` outside `visible` is not looked at."""
        filled = expression * visible + noise * (1.0 - visible)
        inputs = tf.concat([filled, self.embedding(codes, numeric), visible], axis=1)
        return self.hidden(inputs, dropout_bits=dropout_bits, training=training)


class Discriminator(keras.layers.Layer):
    """Gives the log-odds that each entry is known rather than filled."""

    def __init__(self, shape: NetworkShape, hidden: HiddenSettings, **kwargs):
        super().__init__(**kwargs)
        self.embedding = CovariateEmbedding(shape.n_categories)
        self.hidden = HiddenLayers(hidden, shape.n_genes)

    def call(self, filled, hint, codes, numeric, dropout_bits=None, training=False):
        """Return log-odds (n_samples, n_genes)."""
        inputs = tf.concat([filled, self.embedding(codes, numeric), hint], axis=1)
        return self.hidden(inputs, dropout_bits=dropout_bits, training=training)


def hint_of(visible: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
    """h = b ⊙ m + ½ (1 − b): what the discriminator is told.

    Parameters
    ----------
    visible : float32 tensor (n_samples, n_genes)
        m.
    given : float32 tensor (n_samples, n_genes)
        b, 1 where m is given away.

    Returns
    -------
    float32 tensor (n_samples, n_genes)
    """
    return given * visible + 0.5 * (1.0 - given)


def discriminator_loss(logits: tf.Tensor, visible: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the entries whose m was not given away.

    Parameters
    ----------
    logits, visible, given : float32 tensors (n_samples, n_genes)
        Entries missing from the data count as filled, like those hidden for the step.

    Returns
    -------
    float32 scalar
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=visible, logits=logits)
    asked = 1.0 - given
    return tf.reduce_sum(asked * entropy) / tf.maximum(tf.reduce_sum(asked), 1.0)


def adversarial_loss(logits: tf.Tensor, visible: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
    """How far the filled entries (m = 0, b = 0) are from passing as known: mean of −log D; tensors as above."""
    asked = (1.0 - given) * (1.0 - visible)
    return tf.reduce_sum(asked * tf.nn.softplus(-logits)) / tf.maximum(tf.reduce_sum(asked), 1.0)


class GAINNetwork(keras.Model):
    """Generator and discriminator with their training step.

    Parameters
    ----------
    shape : NetworkShape
    settings : GAINSettings
    """

    def __init__(self, shape: NetworkShape, settings: GAINSettings, **kwargs):
        super().__init__(**kwargs)
        self.shape, self.settings = shape, settings
        genes = keras.KerasTensor((None, shape.n_genes))
        codes = keras.KerasTensor((None, len(shape.n_categories)), dtype="int32")
        numeric = keras.KerasTensor((None, shape.n_numeric))
        self.generator = Generator(shape, settings.hidden, name="generator")
        self.generator(genes, genes, genes, codes, numeric)
        self.discriminator = None
        if settings.discriminator:
            self.discriminator = Discriminator(shape, settings.discriminator_hidden, name="discriminator")
            self.discriminator(genes, genes, codes, numeric)
        self.built = True

    @property
    def embedding(self) -> CovariateEmbedding:
        """The generator's embeddings of categorical covariates."""
        return self.generator.embedding

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of what `train_step` returns."""
        return ("train_loss", "adversarial_loss", "discriminator_loss") if self.discriminator else ("train_loss",)

    def compile_optimizers(self) -> None:
        """Create one optimizer a network, and their variables."""
        self.compile(optimizer=keras.optimizers.Adam(self.settings.learning_rate))
        self.optimizer.build(self.generator.trainable_variables)
        if self.discriminator:
            self.discriminator_optimizer = keras.optimizers.Adam(self.settings.learning_rate)
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers, for resetting."""
        return [self.optimizer, self.discriminator_optimizer] if self.discriminator else [self.optimizer]

    def random_shapes(self) -> dict[str, int]:
        """Random 16-bit integers that one row needs in one step, by name; "noise" is drawn as normal deviates."""
        n_genes, n_dropout = self.shape.n_genes, self.settings.hidden.n_dropout_bits
        shapes = {"hide": n_genes, "hide_rate": 1, "noise": n_genes, "dropout": n_dropout}
        if self.discriminator:
            n_dropout = self.settings.discriminator_hidden.n_dropout_bits
            shapes |= {"hint": n_genes, "dropout_judging": n_dropout, "dropout_judged": n_dropout}
        return shapes

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of the discriminator, then one of the generator against the updated discriminator.

        Parameters
        ----------
        batch : dict of tensors
            "expression", "observed" (n_samples, n_genes), "codes", "numeric", and what `random_shapes` asks for.

        Returns
        -------
        dict of float32 scalars
            By `metric_names`; "train_loss" is the reconstruction error without λ.
        """
        x, codes, numeric = batch["expression"], batch["codes"], batch["numeric"]
        visible = batch["observed"] * (1.0 - hidden_bits(batch, self.settings.training_missing_rate))
        noise = batch["noise"] * self.settings.noise_scale
        with tf.GradientTape() as tape:
            prediction = self.generator(x, noise, visible, codes, numeric, dropout_bits=batch["dropout"], training=True)
            reconstruction = masked_mean_squared_error(x, prediction, visible)
            loss = self.settings.reconstruction_weight * reconstruction
            if self.discriminator:
                filled = x * visible + prediction * (1.0 - visible)
                given = bits_below(batch["hint"], self.settings.hint_rate)
                judging_loss = self._judge(tf.stop_gradient(filled), visible, given, batch)
                logits = self.discriminator(
                    filled,
                    hint_of(visible, given),
                    codes,
                    numeric,
                    dropout_bits=batch["dropout_judged"],
                    training=True,
                )
                deception = adversarial_loss(logits, visible, given)
                loss += deception
        variables = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        if not self.discriminator:
            return {"train_loss": reconstruction}
        return {"train_loss": reconstruction, "adversarial_loss": deception, "discriminator_loss": judging_loss}

    def _judge(self, filled, visible, given, batch) -> tf.Tensor:
        """One step of the discriminator on entries filled by the generator."""
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.discriminator(
                filled,
                hint_of(visible, given),
                batch["codes"],
                batch["numeric"],
                dropout_bits=batch["dropout_judging"],
                training=True,
            )
            loss = discriminator_loss(logits, visible, given)
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def impute(self, expression, observed, codes, numeric) -> tf.Tensor:
        """Predict with the noise at its mean, so that the same sample always gets the same values.

        Parameters
        ----------
        expression, observed : float32 tensors (n_samples, n_genes)
        codes : int32 tensor (n_samples, n_categorical)
        numeric : float32 tensor (n_samples, n_numeric)

        Returns
        -------
        float32 tensor (n_samples, n_genes)
        """
        return self.generator(expression, tf.zeros_like(expression), observed, codes, numeric, training=False)
