"""GAIN-GTEx and GAIN-MSE-GTEx (Viñas et al. 2021) as an estimator; the networks are in `reproduce.models.gain`."""

from __future__ import annotations

import numpy as np

from reproduce.imputers._base import check_choice, check_number
from reproduce.imputers._network import NetworkImputer, rate_range


class GAINImputer(NetworkImputer):
    """Generative adversarial imputation with covariates (Yoon et al. 2018; Viñas et al. 2021, "GAIN-GTEx").

    A generator fills the holes, a discriminator has to tell filled from known entries, helped by a hint. The generator
    is trained to deceive it and to reconstruct the known entries. Imputation sets the generator's noise to its mean,
    so that the same sample always gets the same values.

    Parameters
    ----------
    discriminator : bool, default True
        False leaves the reconstruction loss alone: GAIN-MSE-GTEx.
    hidden_layers : int, default 4
        Of the generator and of the discriminator.
    hidden_units : int, default 200
    dropout : float, default 0.2
    batch_normalization : bool, default True
    discriminator_dropout : float or None, default None
        Of the discriminator's hidden layers; None takes `dropout`.
    training_missing_rate : "auto", float, or pair of float, default "auto"
        Fraction of the known entries hidden in each step, besides those missing anyway; from a pair (low, high) it is
        drawn uniformly for each sample. "auto" takes 0.5 where the fitted rows are complete and 0 where they have
        holes of their own.
    hint_rate : float, default 0.9
        Fraction of the entries that the hint gives away.
    reconstruction_weight : float, default 1
        λ, the weight of the reconstruction of known entries against the adversarial loss.
    noise_scale : float, default 0.1
        Standard deviation of the noise in the holes, in standardised units.
    learning_rate : float, default 1e-3
        Of both optimizers.
    batch_size, epochs, steps_per_epoch, patience, validation_fraction, unknown_category, random_state, verbose
        As in `PMIImputer`.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: epoch, step, train_loss (reconstruction), adversarial_loss and discriminator_loss (both only
        with a discriminator), validation_loss (mean squared error on hidden entries of held-out donors).
    best_epoch_ : int
        Epoch whose weights were kept.
    network_weights_ : list of ndarray
    n_validation_samples_ : int
    """

    def __init__(
        self,
        *,
        discriminator: bool = True,
        hidden_layers: int = 4,
        hidden_units: int = 200,
        dropout: float = 0.2,
        discriminator_dropout: float | None = None,
        batch_normalization: bool = True,
        training_missing_rate: object = "auto",
        hint_rate: float = 0.9,
        reconstruction_weight: float = 1.0,
        noise_scale: float = 0.1,
        learning_rate: float = 1e-3,
        batch_size: int = 48,
        epochs: int = 200,
        steps_per_epoch: int = 30,
        patience: int | None = 100,
        validation_fraction: float = 0.1,
        unknown_category: str = "error",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.discriminator = discriminator
        self.hidden_layers = hidden_layers
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.discriminator_dropout = discriminator_dropout
        self.batch_normalization = batch_normalization
        self.training_missing_rate = training_missing_rate
        self.hint_rate = hint_rate
        self.reconstruction_weight = reconstruction_weight
        self.noise_scale = noise_scale
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.unknown_category = unknown_category
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("discriminator", self.discriminator, (True, False))
        check_number("hint_rate", self.hint_rate, low=0, high=1)
        check_number("reconstruction_weight", self.reconstruction_weight, low=0, open_low=True)
        check_number("noise_scale", self.noise_scale, low=0)
        if self.discriminator_dropout is not None:
            check_number("discriminator_dropout", self.discriminator_dropout, low=0, high=1, open_high=True)
        if self.training_missing_rate != "auto":
            rate_range("training_missing_rate", self.training_missing_rate, with_zero=True)

    def _network_class(self) -> type:
        from reproduce.models.gain import GAINNetwork

        return GAINNetwork

    def _network_settings(self, complete: bool) -> object:
        from reproduce.models.gain import GAINSettings

        rate = self.training_missing_rate
        if rate == "auto":
            rate = 0.5 if complete else 0.0
        dropout = self.discriminator_dropout
        return GAINSettings(
            hidden=self._hidden_settings(),
            discriminator_dropout=None if dropout is None else float(dropout),
            discriminator=bool(self.discriminator),
            training_missing_rate=rate_range("training_missing_rate", rate, with_zero=True),
            hint_rate=float(self.hint_rate),
            reconstruction_weight=float(self.reconstruction_weight),
            noise_scale=float(self.noise_scale),
            learning_rate=float(self.learning_rate),
        )
