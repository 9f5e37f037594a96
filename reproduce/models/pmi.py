"""The pseudo-mask imputer's network (PMI) and its training step; nothing about covariate names or data frames.

In each step some of the known entries are hidden by a pseudo-mask, and the network learns to give them back from the
rest (Viñas et al. 2021, Methods, "Pseudo-mask imputer", figure 1):

    input_mask  = m ⊙ b                 what the network sees
    target_mask = m ⊙ (1 − b)           what it is asked for
    loss        = Σ target_mask ⊙ (x − x̄)² / Σ target_mask

where m says which entries are known and b is 1 with probability 1 − (fraction hidden).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import tensorflow as tf

from reproduce.models.layers import (
    CovariateEmbedding,
    HiddenLayers,
    HiddenSettings,
    NetworkShape,
    hidden_bits,
    masked_mean_squared_error,
)


@dataclass(frozen=True)
class PMISettings:
    """Hyperparameters of the network and its step.

    Parameters
    ----------
    hidden : HiddenSettings
    pseudo_missing_rate : tuple of float
        Range (low, high) from which the hidden fraction of each sample is drawn, uniformly, in each step.
    learning_rate : float
        Adam's.
    """

    hidden: HiddenSettings = field(default_factory=HiddenSettings)
    pseudo_missing_rate: tuple[float, float] = (0.5, 0.5)
    learning_rate: float = 1e-3


class PMINetwork(keras.Model):
    """Predicts all genes of a sample from the visible ones and the covariates.

    Parameters
    ----------
    shape : NetworkShape
    settings : PMISettings
    """

    metric_names = ("train_loss",)

    def __init__(self, shape: NetworkShape, settings: PMISettings, **kwargs):
        super().__init__(**kwargs)
        self.shape, self.settings = shape, settings
        self.embedding = CovariateEmbedding(shape.n_categories)
        self.hidden = HiddenLayers(settings.hidden, shape.n_genes)
        # built by a call on symbols, not on data
        self(**_symbolic_inputs(shape))

    def compile_optimizers(self) -> None:
        """Create the optimizer and its variables."""
        self.compile(optimizer=keras.optimizers.Adam(self.settings.learning_rate))
        self.optimizer.build(self.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers, for resetting."""
        return [self.optimizer]

    def random_shapes(self) -> dict[str, int]:
        """Random 16-bit integers that one row needs in one step, by name."""
        return {"hide": self.shape.n_genes, "hide_rate": 1, "dropout": self.settings.hidden.n_dropout_bits}

    def call(self, expression, input_mask, codes, numeric, dropout_bits=None, training=False):
        """Predict (x̄ in the paper).

        Parameters
        ----------
        expression : float32 tensor (n_samples, n_genes)
            Standardised; whatever stands outside `input_mask` is not looked at.
        input_mask : float32 tensor (n_samples, n_genes)
            1 where the network may see the value.
        codes : int32 tensor (n_samples, n_categorical)
        numeric : float32 tensor (n_samples, n_numeric)
        dropout_bits : uint16 tensor (n_samples, n_dropout_bits), optional
        training : bool

        Returns
        -------
        float32 tensor (n_samples, n_genes)
        """
        inputs = tf.concat([expression * input_mask, self.embedding(codes, numeric), input_mask], axis=1)
        return self.hidden(inputs, dropout_bits=dropout_bits, training=training)

    def draw_masks(self, observed: tf.Tensor, bits: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Divide the known entries into what is shown and what is asked for.

        Parameters
        ----------
        observed : float32 tensor (n_samples, n_genes)
        bits : dict of uint16 tensors
            "hide" (n_samples, n_genes) and "hide_rate" (n_samples, 1).

        Returns
        -------
        input_mask, target_mask : float32 tensors (n_samples, n_genes)
            Disjoint; their sum is `observed`.
        """
        hidden = hidden_bits(bits, self.settings.pseudo_missing_rate)
        return observed * (1.0 - hidden), observed * hidden

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One optimisation step.

        Parameters
        ----------
        batch : dict of tensors
            "expression", "observed" (n_samples, n_genes), "codes", "numeric", and the random integers of
            `random_shapes`.

        Returns
        -------
        dict of float32 scalars
            By `metric_names`.
        """
        input_mask, target_mask = self.draw_masks(batch["observed"], batch)
        with tf.GradientTape() as tape:
            prediction = self(
                batch["expression"],
                input_mask,
                batch["codes"],
                batch["numeric"],
                dropout_bits=batch["dropout"],
                training=True,
            )
            loss = masked_mean_squared_error(batch["expression"], prediction, target_mask)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"train_loss": loss}

    def impute(self, expression, observed, codes, numeric) -> tf.Tensor:
        """Predict without randomness; arguments and result as of `call`."""
        return self(expression, observed, codes, numeric, training=False)


def _symbolic_inputs(shape: NetworkShape) -> dict[str, keras.KerasTensor]:
    return {
        "expression": keras.KerasTensor((None, shape.n_genes)),
        "input_mask": keras.KerasTensor((None, shape.n_genes)),
        "codes": keras.KerasTensor((None, len(shape.n_categories)), dtype="int32"),
        "numeric": keras.KerasTensor((None, shape.n_numeric)),
    }
