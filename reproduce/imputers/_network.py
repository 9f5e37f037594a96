"""What PMI and GAIN share as estimators: parameters, validation rows, training, prediction; no loss and no layer.

TensorFlow is imported when a network is fitted or applied, not before, so that the closed-form methods start quickly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from reproduce.errors import ConfigError, CovariateError
from reproduce.imputers._base import (
    ExpressionImputer,
    check_choice,
    check_integer,
    check_number,
    check_random_state_value,
)
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._folds import person_of_row
from reproduce.imputers._network_parts import NetworkKeeper, covariate_arrays, network_shape


class NetworkImputer(NetworkKeeper, ExpressionImputer):
    """Base of the imputers that train a network; the parameters are documented where they can be set.

    Subclasses implement ``_network_class()`` and ``_network_settings(complete)``.
    """

    # what a method implements

    def _network_settings(self, complete: bool) -> object:
        """The network's own hyperparameters, given whether the fitted rows have no holes."""
        raise NotImplementedError

    # what this base does for it

    def _check_parameters(self) -> None:
        check_integer("hidden_layers", self.hidden_layers, least=0)
        check_integer("hidden_units", self.hidden_units, least=1)
        check_number("dropout", self.dropout, low=0, high=1, open_high=True)
        check_choice("batch_normalization", self.batch_normalization, (True, False))
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_integer("batch_size", self.batch_size, least=1)
        check_integer("epochs", self.epochs, least=1)
        check_integer("steps_per_epoch", self.steps_per_epoch, least=1)
        if self.patience is not None:
            check_integer("patience", self.patience, least=1)
        check_number("validation_fraction", self.validation_fraction, low=0, high=1, open_high=True)
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        check_random_state_value(self.random_state)
        check_choice("verbose", self.verbose, (True, False))

    def _hidden_settings(self):
        from reproduce.models.layers import HiddenSettings

        return HiddenSettings(
            n_layers=int(self.hidden_layers),
            n_units=int(self.hidden_units),
            dropout=float(self.dropout),
            batch_normalization=bool(self.batch_normalization),
        )

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        from reproduce.models.training import TrainingSettings, execution_mode, trainer_for

        seed = int(check_random_state(self.random_state).randint(2**31))
        data = _training_data(Z, observed, covariates)
        validation = self._validation_rows(len(Z), covariates, seed)
        train = data.rows(np.flatnonzero(~validation))
        settings = TrainingSettings(
            epochs=int(self.epochs),
            steps_per_epoch=int(self.steps_per_epoch),
            batch_size=int(self.batch_size),
            patience=None if self.patience is None else int(self.patience),
        )
        self._shape = network_shape(Z.shape[1], covariates)
        self._settings = self._network_settings(bool(observed.all()))
        mode = execution_mode(settings.epochs * settings.steps_per_epoch)
        trainer = trainer_for(self._network_class(), self._shape, self._settings, mode)
        held_out = data.rows(np.flatnonzero(validation)) if validation.any() else None
        with epochs_shown(self, settings.epochs) as show:
            fitted = trainer.fit(train, held_out, settings, seed, on_epoch=show)
        self.network_weights_ = fitted.weights
        self.history_ = fitted.history
        self.best_epoch_ = fitted.best_epoch
        self.n_validation_samples_ = int(validation.sum())
        self._network = None

    def category_embeddings(self, covariate: str) -> pd.DataFrame:
        """What the network learnt about the categories of a covariate, such as the tissues.

        Parameters
        ----------
        covariate : str
            A categorical one.

        Returns
        -------
        DataFrame (n_categories, ⌊√n_categories⌋ + 1)
            One row per category, named; the columns are the embedding's dimensions (Viñas et al. 2021, figure 3).

        Raises
        ------
        CovariateError
            If the imputer was not fitted with such a covariate.
        """
        check_is_fitted(self)
        categories = {} if self.covariate_encoder_ is None else self.covariate_encoder_.categories_
        if covariate not in categories:
            raise CovariateError(
                f"No embedding of {covariate!r} was learnt; there are: {', '.join(categories) or 'none'}."
            )
        table = self._fitted_network().embedding.tables[list(categories).index(covariate)]
        return pd.DataFrame(table.numpy(), index=pd.Index(categories[covariate], name=covariate))

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        from reproduce.models.training import impute

        return impute(self._fitted_network(), _training_data(Z, observed, covariates))

    def _validation_rows(self, n_samples: int, covariates: Covariates | None, seed: int) -> np.ndarray:
        """Rows kept out of training for early stopping, bool (n_samples,); all rows of a donor go together.

        The fraction is of donors; where it amounts to less than one there are no validation rows.
        """
        generator = np.random.default_rng([seed, 1])
        person = person_of_row(n_samples, covariates)
        n_people = int(person.max()) + 1
        n_held_out = min(round(self.validation_fraction * n_people), n_people - 1)
        held_out = np.zeros(n_people, dtype=bool)
        held_out[generator.permutation(n_people)[:n_held_out]] = True
        return held_out[person]


@contextmanager
def epochs_shown(imputer: ExpressionImputer, n_epochs: int) -> Iterator[Callable[[int, float], None] | None]:
    """What to call after each epoch with its number and the validation loss; None unless the imputer is verbose.

    Epochs and an estimate of the time that is left are shown on standard error.
    """
    if not imputer.verbose:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=n_epochs, desc=type(imputer).__name__, unit="epoch", file=sys.stderr) as bar:

        def show(epoch: int, loss: float) -> None:
            if np.isfinite(loss):
                bar.set_postfix(validation_loss=f"{loss:.4f}", refresh=False)
            bar.update(epoch - bar.n)

        yield show


def _training_data(Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None):
    from reproduce.models.training import TrainingData

    return TrainingData(
        expression=np.where(observed, Z, 0.0).astype(np.float32),
        observed=observed.astype(np.float32),
        **covariate_arrays(covariates, len(Z)),
    )


def rate_range(name: str, value: object, *, with_zero: bool = False) -> tuple[float, float]:
    """A fraction, or a pair of them, as a pair (low, high).

    Raises
    ------
    ConfigError
        Unless 0 < low ≤ high < 1, or low = 0 and `with_zero`.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    good = len(pair) == 2 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in pair)
    if not good or not 0 <= pair[0] <= pair[1] < 1 or (pair[0] == 0 and not with_zero):
        raise ConfigError(
            f'{name} is {value!r}; give "auto", a fraction between 0 and 1, or a pair (low, high) of them.'
        )
    return float(pair[0]), float(pair[1])
