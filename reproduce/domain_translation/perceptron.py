"""A plain network from one layer to the other: what the shared latent space has to be better than."""

from __future__ import annotations

import numpy as np

from reproduce.domain_translation._network_translator import NetworkTranslator


class PerceptronTranslator(NetworkTranslator):
    """Multi-layer perceptron, squared error.

    Parameters
    ----------
    hidden_units : tuple of int, default (128,)
    dropout : float, default 0.2
        Fraction of the inputs that a training step hides.
    learning_rate : float, default 1e-3
    weight_decay : float, default 1e-2
        AdamW's.
    batch_size : int, default 64
    epochs : int, default 200
    patience : int or None, default 20
        Epochs without a better error on held-out pairs after which training stops.
    validation_fraction : float, default 0.15
        Of the pairs, held out to decide when to stop; 0 trains for all epochs.
    random_state : int, RandomState or None, default None
    verbose : bool, default False
    """

    def __init__(
        self,
        *,
        hidden_units: tuple[int, ...] = (128,),
        dropout: float = 0.2,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 64,
        epochs: int = 200,
        patience: int | None = 20,
        validation_fraction: float = 0.15,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def _settings(self):
        from reproduce.domain_translation.networks import PerceptronSettings

        return PerceptronSettings(
            n_source=len(self.source_.center),
            n_target=len(self.target_.center),
            hidden_units=tuple(map(int, self.hidden_units)),
            dropout=float(self.dropout),
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
        )
