"""What translators with a network share: checks of their parameters, held-out pairs, what is saved; never a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from reproduce.domain_translation.contract import LayerScale, Translator, scale_of
from reproduce.errors import ConfigError
from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.imputers._network import epochs_shown


class NetworkTranslator(Translator):
    """Fits a network with early stopping on held-out pairs; subclasses name its settings.

    Attributes
    ----------
    weights_ : list of ndarray
    history_ : DataFrame
        One row an epoch, see `reproduce.domain_translation.training.Trainer.fit`.
    best_epoch_ : int
    classes_ : ndarray of str
        Names of the clusters that `fit` was given; empty without them.
    """

    def fit(self, source, target, clusters: Sequence | None = None):
        """See `Translator.fit`."""
        return self._fit_rows(source, target, clusters, None, None)

    # what a subclass says

    def _settings(self):
        """Settings of the network, for the fitted layers."""
        raise NotImplementedError

    # what it does for them

    def _check_parameters(self) -> None:
        units = self.hidden_units
        if not isinstance(units, (tuple, list)) or not units:
            raise ConfigError(
                f"hidden_units is {units!r}; give the widths of one hidden layer or more, such as (128,)."
            )
        for width in units:
            check_integer("hidden_units", width, least=1)
        check_number("dropout", self.dropout, low=0, high=1, open_high=True)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("weight_decay", self.weight_decay, low=0)
        check_integer("batch_size", self.batch_size, least=1)
        check_integer("epochs", self.epochs, least=1)
        if self.patience is not None:
            check_integer("patience", self.patience, least=1)
        check_number("validation_fraction", self.validation_fraction, low=0, high=1, open_high=True)
        check_random_state_value(self.random_state)
        check_choice("verbose", self.verbose, (True, False))

    def _fit_rows(self, source, target, clusters, unpaired_source, unpaired_target):
        from reproduce.domain_translation.training import TrainingSettings, mode_for, trainer_for

        self._begin(source, target, clusters)
        self.source_, self.target_ = scale_of("source", source), scale_of("target", target)
        self._check_layers((source, unpaired_source), (target, unpaired_target))
        labels = np.asarray([] if clusters is None else clusters, dtype=str)
        self.classes_ = np.unique(labels)
        rows = self._rows(source, target, labels, unpaired_source, unpaired_target)
        seed = int(check_random_state(self.random_state).randint(2**31))
        n_held_out = round(self.validation_fraction * len(source))
        held_out = np.sort(np.random.default_rng([seed, 1]).permutation(len(source))[:n_held_out])
        patience = None if self.patience is None else int(self.patience)
        settings = TrainingSettings(int(self.epochs), int(self.batch_size), patience)
        self._mode = mode_for(len(source), settings)
        trainer = trainer_for(self._settings(), self._mode)
        with epochs_shown(self, settings.epochs) as show:
            fitted = trainer.fit(rows, held_out, settings, seed, on_epoch=show)
        self.weights_, self.history_, self.best_epoch_ = fitted.weights, fitted.history, fitted.best_epoch
        return self

    def _check_layers(self, source: tuple, target: tuple) -> None:
        """Refuse entries that the layers' laws cannot have."""

    def _rows(self, source, target, labels, unpaired_source, unpaired_target):
        from reproduce.domain_translation.training import LayerRows

        def standardised(layer: LayerScale, X) -> np.ndarray:
            return np.zeros((0, len(layer.center)), np.float32) if X is None else layer.standardised(X).astype("f4")

        codes = np.searchsorted(self.classes_, labels) if len(labels) else np.zeros(len(source))
        return LayerRows(
            standardised(self.source_, source), standardised(self.target_, target), _scale(self.source_),
            _scale(self.target_), codes.astype(np.int32), standardised(self.source_, unpaired_source),
            standardised(self.target_, unpaired_target),
        )  # fmt: skip

    def _applied(self, name: str, **rows: np.ndarray) -> np.ndarray:
        """What a function of the network gives for standardised rows by role."""
        from reproduce.domain_translation.training import trainer_for

        batch = {role: Z.astype(np.float32) for role, Z in rows.items()}
        batch |= {"source_scale": _scale(self.source_), "target_scale": _scale(self.target_)}
        return trainer_for(self._settings(), self._mode).apply(name, self.weights_, batch).astype(float)

    def _translate(self, source):
        return self._applied("translate", source=source)

    def _state(self) -> dict[str, np.ndarray]:
        weights = {f"weight_{k}": weight for k, weight in enumerate(self.weights_)}
        return weights | {"history": self.history_.to_numpy(float), "classes": self.classes_}

    def _state_in_words(self) -> dict[str, object]:
        return {"best_epoch": self.best_epoch_, "mode": self._mode, "history": list(self.history_)}

    def _restore(self, state: Mapping[str, np.ndarray], words: Mapping[str, object]) -> None:
        self.best_epoch_, self._mode, self.classes_ = words["best_epoch"], words["mode"], state["classes"]
        self.weights_ = [state[f"weight_{k}"] for k in range(sum(name.startswith("weight_") for name in state))]
        self.history_ = pd.DataFrame(state["history"], columns=words["history"]).astype({"epoch": int})


def _scale(layer: LayerScale) -> np.ndarray:
    return np.stack([layer.center, layer.scale]).astype(np.float32)
