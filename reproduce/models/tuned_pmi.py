"""The tuned PMI's network, its training step and what its training needs beside the common loop; never draws masks.

An ensemble of pseudo-mask imputers (see `reproduce.models.pmi`) is trained as one computation. Masks do not change from
step to step but come with the rows, since with each goes the prediction of a conditional Gaussian, x̃, that the
network only corrects:

    input  = input_mask ⊙ x + (1 − input_mask) ⊙ x̃, input_mask, covariates
    x̄      = x̃ + f(input)
    loss   = Σ target_mask ⊙ loss(x̄ − x) / Σ target_mask

Member k never learns from the rows of fold k: on them its errors are honest.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf

from reproduce.models.layers import NetworkShape
from reproduce.models.training import Fitted, Trainer, TrainingSettings
from reproduce.models.tuned_layers import (
    DEGREES_OF_FREEDOM,
    LOG_SCALE,
    EnsembleBlock,
    EnsembleDense,
    EnsembleEmbedding,
    entry_losses,
)

#: Rows filled at once.
PREDICTED_ROWS = 4096
#: Fraction of the steps in which the learning rate rises.
WARM_UP = 0.05


@dataclass(frozen=True)
class TunedPMISettings:
    """Hyperparameters of the network and its step.

    Parameters
    ----------
    n_members : int
    n_layers, n_units : int
        Hidden layers and their width.
    dropout : float
    layer_normalization : bool
    activation : {"gelu", "relu"}
    covariate_scaling : bool
    residual : bool
        Whether the network corrects the Gaussian's prediction, or neither sees it nor starts from it.
    loss : {"mse", "huber", "student_t"}
        "student_t" gives the network a second output, the scale of each entry.
    learning_rate : float
        Adam's, at its highest.
    cosine : bool
        Whether the rate rises in the first twentieth of the steps and falls along a cosine to zero, or stays.
    averaging : float
        Weight of the past in the moving average of the weights that is used in the end; 0 uses the last weights.
    n_steps : int
        Of the whole training.
    """

    n_members: int = 5
    n_layers: int = 1
    n_units: int = 512
    dropout: float = 0.3
    layer_normalization: bool = False
    activation: str = "gelu"
    covariate_scaling: bool = False
    residual: bool = True
    loss: str = "student_t"
    learning_rate: float = 1e-3
    cosine: bool = True
    averaging: float = 0.999
    n_steps: int = 3000


@dataclass(frozen=True)
class MaskedRows:
    """Rows with a pseudo-mask each, ready for training or prediction.

    Parameters
    ----------
    expression : ndarray of float32 (n_rows, n_genes)
        Standardised; 0 where unknown.
    shown : ndarray of float32 (n_rows, n_genes)
        What the network is shown: the value where `input_mask` is 1, the Gaussian's prediction elsewhere.
    input_mask, target_mask : ndarray of float32 (n_rows, n_genes)
        What is known to the network, and what it is asked for.
    codes : ndarray of int32 (n_rows, n_categorical)
    numeric : ndarray of float32 (n_rows, n_numeric)
    fold : ndarray of int32 (n_rows, 1)
        The member that does not learn from the row; numbers beyond the members' are nobody's.
    """

    expression: np.ndarray
    shown: np.ndarray
    input_mask: np.ndarray
    target_mask: np.ndarray
    codes: np.ndarray
    numeric: np.ndarray
    fold: np.ndarray

    def __len__(self) -> int:
        return len(self.expression)

    def rows(self, index: np.ndarray | slice) -> MaskedRows:
        """The rows at the given positions."""
        return MaskedRows(**{name: values[index] for name, values in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def stacked(cls, parts: list[MaskedRows]) -> MaskedRows:
        """The rows of all parts, one after the other."""
        return cls(**{name: np.concatenate([part.arrays()[name] for part in parts]) for name in parts[0].arrays()})


class TunedPMINetwork(keras.Model):
    """An ensemble of networks that predict all genes of a sample.

    Parameters
    ----------
    shape : NetworkShape
    settings : TunedPMISettings
    """

    metric_names = ("train_loss",)

    def __init__(self, shape: NetworkShape, settings: TunedPMISettings, **kwargs):
        super().__init__(**kwargs)
        self.shape, self.settings = shape, settings
        s = settings
        self.embedding = EnsembleEmbedding(s.n_members, shape.n_categories)
        n_context = self.embedding.n_outputs + shape.n_numeric
        # without covariates there is nothing to scale by
        scaling = s.covariate_scaling and n_context > 0
        self.blocks = [
            EnsembleBlock(
                s.n_members, s.n_units, s.dropout, s.layer_normalization, s.activation, scaling, name=f"block_{k}"
            )
            for k in range(s.n_layers)
        ]
        n_outputs = shape.n_genes * (2 if s.loss == "student_t" else 1)
        self.output_layer = EnsembleDense(s.n_members, n_outputs, start_at_zero=s.residual, name="output")
        width = 2 * shape.n_genes + n_context
        for block in self.blocks:
            block.build((s.n_members, None, width), (s.n_members, None, n_context))
            width = s.n_units
        self.output_layer.build((s.n_members, None, width))
        self.built = True

    def compile_optimizers(self) -> None:
        """Create the optimizer and its variables."""
        s = self.settings
        rate = s.learning_rate
        if s.cosine:
            warm_up = max(1, round(WARM_UP * s.n_steps))
            rate = keras.optimizers.schedules.CosineDecay(
                rate / 100, max(1, s.n_steps - warm_up), warmup_target=rate, warmup_steps=warm_up
            )
        self.compile(optimizer=keras.optimizers.Adam(rate, use_ema=s.averaging > 0, ema_momentum=s.averaging or 0.99))
        self.optimizer.build(self.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers, for resetting."""
        return [self.optimizer]

    def random_shapes(self) -> dict[str, int]:
        """Random 16-bit integers that one row needs in one step, by name."""
        s = self.settings
        return {"dropout": s.n_layers * s.n_units} if s.dropout > 0 else {}

    def call(self, shown, input_mask, codes, numeric, dropout_bits=None):
        """Predict.

        Parameters
        ----------
        shown, input_mask : float32 tensors (n_members or 1, n_samples, n_genes)
            As in `MaskedRows`.
        codes : int32 tensor (n_members or 1, n_samples, n_categorical)
        numeric : float32 tensor (n_members or 1, n_samples, n_numeric)
        dropout_bits : uint16 tensor (n_members, n_samples, n_layers · n_units), optional
            Units are dropped where it is given.

        Returns
        -------
        prediction : float32 tensor (n_members, n_samples, n_genes)
        log_scale : float32 tensor of the same shape, or None
            Of the Student-t distribution, where that is the loss.
        """
        s = self.settings
        numeric = tf.repeat(numeric, s.n_members // numeric.shape[0], axis=0)
        context = tf.concat([*self.embedding(codes), numeric], axis=-1)
        genes = tf.concat([shown if s.residual else shown * input_mask, input_mask], axis=-1)
        genes = tf.repeat(genes, s.n_members // genes.shape[0], axis=0)
        x = tf.concat([genes, context], axis=-1)
        for k, block in enumerate(self.blocks):
            bits = None if dropout_bits is None else dropout_bits[:, :, k * s.n_units : (k + 1) * s.n_units]
            x = block(x, context, bits)
        x = self.output_layer(x)
        prediction = x[:, :, : self.shape.n_genes]
        log_scale = tf.clip_by_value(x[:, :, self.shape.n_genes :], *LOG_SCALE) if s.loss == "student_t" else None
        return (shown + prediction if s.residual else prediction), log_scale

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One optimisation step of all members, each on rows of its own.

        Parameters
        ----------
        batch : dict of tensors
            The arrays of `MaskedRows`, n_members · batch_size rows, and the random integers of `random_shapes`.

        Returns
        -------
        dict of float32 scalars
            By `metric_names`: the mean of the members' losses.
        """
        n_members = self.settings.n_members
        of_member = {name: tf.reshape(v, (n_members, -1, v.shape[-1])) for name, v in batch.items()}
        member = tf.reshape(tf.range(n_members), (-1, 1, 1))
        asked = of_member["target_mask"] * tf.cast(of_member["fold"] != member, tf.float32)
        weight = asked / tf.maximum(tf.reduce_sum(asked, axis=(1, 2), keepdims=True), 1.0)
        with tf.GradientTape() as tape:
            prediction, log_scale = self(
                of_member["shown"],
                of_member["input_mask"],
                of_member["codes"],
                of_member["numeric"],
                dropout_bits=of_member.get("dropout"),
            )
            losses = entry_losses(self.settings.loss, prediction - of_member["expression"], log_scale)
            # a sum over members, so that each moves as if it were alone
            loss = tf.reduce_sum(weight * losses)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"train_loss": loss / n_members}

    def impute(self, shown, input_mask, codes, numeric) -> tuple[tf.Tensor, tf.Tensor]:
        """Predict without randomness, every member for every row; arguments (n_samples, …).

        Returns
        -------
        prediction, variance : float32 tensors (n_members, n_samples, n_genes)
            Of the Student-t distribution where that is the loss; else the variance is 0: not learnt.
        """
        prediction, log_scale = self(shown[None], input_mask[None], codes[None], numeric[None])
        if log_scale is None:
            return prediction, tf.zeros_like(prediction)
        return prediction, tf.exp(2.0 * log_scale) * DEGREES_OF_FREEDOM / (DEGREES_OF_FREEDOM - 2.0)


class TunedTrainer(Trainer):
    """`reproduce.models.training.Trainer` for rows that come with their masks, and for averaged weights."""

    def fit(self, train: MaskedRows, settings: TrainingSettings, seed: int) -> Fitted:
        """Train from fresh weights for all epochs.

        Parameters
        ----------
        train : MaskedRows
        settings : TrainingSettings
            Its batch_size counts the rows of all members together.
        seed : int

        Returns
        -------
        Fitted
            With the averaged weights, where the settings ask for them.
        """
        fitted = super().fit(train, None, settings, seed)
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        return Fitted(self.network.get_weights(), fitted.history.drop(columns="validation_loss"), fitted.best_epoch)


@lru_cache(maxsize=4)
def tuned_trainer_for(shape: NetworkShape, settings: TunedPMISettings, mode: str) -> TunedTrainer:
    """The trainer of a layout, built and compiled once a process.

    Parameters
    ----------
    shape : NetworkShape
    settings : TunedPMISettings
    mode : {"eager", "graph", "compiled"}

    Returns
    -------
    TunedTrainer
    """
    return TunedTrainer(TunedPMINetwork(shape, settings), mode)


def predictions_of_members(network: TunedPMINetwork, data: MaskedRows) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and variance of every member for every row, float32 (n_members, n_rows, n_genes); see `impute`."""
    parts = [
        [values.numpy() for values in network.impute(part.shown, part.input_mask, part.codes, part.numeric)]
        for part in (data.rows(slice(i, i + PREDICTED_ROWS)) for i in range(0, max(len(data), 1), PREDICTED_ROWS))
    ]
    prediction, variance = (np.concatenate(values, axis=1) for values in zip(*parts))
    return prediction, variance
