"""PMI, the pseudo-mask imputer (Viñas et al. 2021), as an estimator; its network is in `reproduce.models.pmi`."""

from __future__ import annotations

import numpy as np

from reproduce.imputers._network import NetworkImputer, rate_range


class PMIImputer(NetworkImputer):
    """Network that learns to give back entries which it hides from itself (Viñas et al. 2021, "Pseudo-mask imputer").

    In every step a fraction of each sample's known entries is hidden; the network sees the rest, the mask and the
    covariates (categorical ones through learned embeddings) and is trained by the squared error on what was hidden.
    The weights with the lowest error on held-out donors are kept.

    Parameters
    ----------
    hidden_layers : int, default 4
    hidden_units : int, default 200
        Width of each hidden layer.
    dropout : float, default 0.1
        Fraction of hidden units dropped in training. Less than GAIN's: hiding entries is a regularisation in itself.
    batch_normalization : bool, default True
    pseudo_missing_rate : "auto", float, or pair of float, default "auto"
        Fraction of a sample's known entries hidden in a step; from a pair (low, high) it is drawn uniformly for each
        sample (1 − the paper's p; α and β bound it). "auto" takes (0.5, 0.5) where the fitted rows are complete and
        (0.1, 0.4) where they have holes, since there the network would otherwise learn on far emptier rows than it
        fills.
    learning_rate : float, default 1e-3
        Adam's.
    batch_size : int, default 48
    epochs : int, default 200
        At most this many.
    steps_per_epoch : int, default 30
    patience : int or None, default 100
        Epochs without improvement on the validation rows after which training stops; None never stops early.
    validation_fraction : float, default 0.1
        Fraction of the fitted donors (rows, where donors are not known) whose rows are kept out of training to choose
        the best weights. Where it amounts to less than one donor, training runs to the last epoch.
    unknown_category : {"error", "pool"}, default "error"
        What to do with a covariate's category that `fit` did not see; "pool" gives it the mean embedding.
    random_state : int, RandomState or None, default None
    verbose : bool, default False
        Whether to show epochs and the time that is left, on standard error.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: epoch, step, train_loss, validation_loss (mean squared errors in standardised units).
    best_epoch_ : int
        Epoch whose weights were kept.
    network_weights_ : list of ndarray
    n_validation_samples_ : int
    """

    def __init__(
        self,
        *,
        hidden_layers: int = 4,
        hidden_units: int = 200,
        dropout: float = 0.1,
        batch_normalization: bool = True,
        pseudo_missing_rate: object = "auto",
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
        self.hidden_layers = hidden_layers
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.pseudo_missing_rate = pseudo_missing_rate
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
        if self.pseudo_missing_rate != "auto":
            rate_range("pseudo_missing_rate", self.pseudo_missing_rate)

    def _network_class(self) -> type:
        from reproduce.models.pmi import PMINetwork

        return PMINetwork

    def _network_settings(self, complete: bool) -> object:
        from reproduce.models.pmi import PMISettings

        rate = self.pseudo_missing_rate
        if rate == "auto":
            rate = (0.5, 0.5) if complete else (0.1, 0.4)
        return PMISettings(
            hidden=self._hidden_settings(),
            pseudo_missing_rate=rate_range("pseudo_missing_rate", rate),
            learning_rate=float(self.learning_rate),
        )
