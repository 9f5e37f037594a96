"""Two auto-encoders with one latent space as a user sees them; never knows a data set.

After Yang and Uhler (2019) and Yang et al. (2021); the loss is in `reproduce.domain_translation.networks`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from reproduce.domain_translation._network_translator import NetworkTranslator
from reproduce.domain_translation.contract import as_values
from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._base import check_integer, check_number

#: Weights of the loss that tie the two layers.
TIES = ("discriminator_weight", "latent_weight", "crossed_weight", "class_weight")
#: Two auto-encoders that know nothing of each other: the lower control.
UNALIGNED = dict.fromkeys(TIES, 0.0)


class AlignedAutoencoders(NetworkTranslator):
    """Variational auto-encoders of both layers with one latent space; translates both ways.

    Parameters
    ----------
    latent_size : int, default 32
    hidden_units : tuple of int, default (128,)
        Widths of the encoders' hidden layers; the decoders' are the same in reverse.
    source_law, target_law : {"gaussian", "beta"}, default "gaussian"
        Law of a layer's entries; "beta" for beta-values in [0, 1].
    discriminator_weight : float, default 0.03
        Of the encoders' part in deceiving the discriminator, for all rows; 0 has none.
    latent_weight : float, default 0.1
        Of the squared distance of a pair's latents.
    crossed_weight : float, default 1.0
        Of predicting each layer of a pair from the other's latent.
    class_weight : float, default 0.0
        Of telling a pair's class from its latents, linearly; above 0 `fit` needs `clusters`.
    divergence_weight : float, default 0.1
        Of the divergence from the prior.
    dropout, learning_rate, weight_decay, batch_size, epochs, patience, validation_fraction, random_state, verbose
        As of `PerceptronTranslator`.
    """

    both_ways = True
    reads_unpaired = True

    def __init__(
        self,
        *,
        latent_size: int = 32,
        hidden_units: tuple[int, ...] = (128,),
        source_law: str = "gaussian",
        target_law: str = "gaussian",
        discriminator_weight: float = 0.03,
        latent_weight: float = 0.1,
        crossed_weight: float = 1.0,
        class_weight: float = 0.0,
        divergence_weight: float = 0.1,
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
        self.latent_size = latent_size
        self.hidden_units = hidden_units
        self.source_law = source_law
        self.target_law = target_law
        self.discriminator_weight = discriminator_weight
        self.latent_weight = latent_weight
        self.crossed_weight = crossed_weight
        self.class_weight = class_weight
        self.divergence_weight = divergence_weight
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, source, target, clusters=None, *, unpaired_source=None, unpaired_target=None):
        """Learn from pairs, and from samples of one layer.

        Parameters
        ----------
        source, target, clusters
            As of `Translator.fit`; clusters are needed, and used, where `class_weight` is above 0.
        unpaired_source : DataFrame or ndarray (n_more, n_source_features), optional
        unpaired_target : DataFrame or ndarray (n_others, n_target_features), optional

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            For a hyperparameter out of range, or a class weight without clusters.
        DataFormatError
            For samples that are not paired, entries that are not finite, and beta-values outside [0, 1].
        """
        if clusters is None and self.class_weight:
            raise ConfigError(f"class_weight is {self.class_weight!r}; give fit the clusters, or set it to 0.")
        return self._fit_rows(source, target, clusters, unpaired_source, unpaired_target)

    def translate_back(self, target) -> pd.DataFrame | np.ndarray:
        """The source layer (n_samples, n_source_features) of samples whose target layer is given."""
        check_is_fitted(self)
        Z = self.target_.standardised(target)
        return self.source_.restored(self._applied("translate_back", target=Z), target)

    def latents(self, source, target) -> tuple[np.ndarray, np.ndarray]:
        """Posteriors' means of both layers, each (n_samples, latent_size)."""
        check_is_fitted(self)
        Z = {"source": self.source_.standardised(source), "target": self.target_.standardised(target)}
        found = self._applied("latent", **Z)
        return found[: len(Z["source"])], found[len(Z["source"]) :]

    def _check_parameters(self) -> None:
        from reproduce.domain_translation.likelihoods import law_of

        super()._check_parameters()
        check_integer("latent_size", self.latent_size, least=1)
        for name in (*TIES, "divergence_weight"):
            check_number(name, getattr(self, name), low=0)
        law_of(self.source_law)
        law_of(self.target_law)

    def _check_layers(self, source, target):
        for role, law, parts in (("source", self.source_law, source), ("target", self.target_law, target)):
            for part in parts if law == "beta" else ():
                if part is not None:
                    check_beta_values(part, role)

    def _settings(self):
        from reproduce.domain_translation.networks import AlignmentSettings

        return AlignmentSettings(
            n_source=len(self.source_.center),
            n_target=len(self.target_.center),
            n_classes=len(self.classes_),
            latent_size=int(self.latent_size),
            hidden_units=tuple(map(int, self.hidden_units)),
            source_law=self.source_law,
            target_law=self.target_law,
            **{name: float(getattr(self, name)) for name in (*TIES, "divergence_weight")},
            dropout=float(self.dropout),
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
        )


def check_beta_values(X: pd.DataFrame | np.ndarray, role: str) -> None:
    """Refuse what is outside [0, 1].

    Raises
    ------
    DataFormatError
        Naming sample and feature.
    """
    values = as_values(X, role)
    outside = (values < 0) | (values > 1)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        named = isinstance(X, pd.DataFrame)
        where = f"sample {X.index[row]!r}, feature {X.columns[column]!r}" if named else f"row {row}, column {column}"
        raise DataFormatError(
            f"The {role} layer is {values[row, column]:.4g} at {where}; the Beta law takes beta-values in [0, 1]. Use "
            "the law 'gaussian' for M-values, or turn them into beta-values (reproduce.multiomics.paired.m_to_beta)."
        )
