"""PMI made as good as it can be, as an estimator with error bars; its network is in `reproduce.models.tuned_pmi`.

The paper's PMI is `reproduce.imputers.pmi` and stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_random_state

from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._error_factors import error_factors, relative_errors, symmetric_quantiles
from reproduce.imputers._folds import donor_folds, fit_standardised
from reproduce.imputers._network import rate_range
from reproduce.imputers._network_parts import NetworkKeeper, network_shape
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.median import groups_of

if TYPE_CHECKING:
    from reproduce.imputers._pseudo_masks import Versions

#: Least variance that is predicted, standardised.
LEAST_VARIANCE = 1e-6


class TunedPMIImputer(NetworkKeeper, PredictiveImputer):
    """Ensemble of pseudo-mask imputers that correct a conditional Gaussian, good at every missing rate.

    As in PMI (Viñas et al. 2021), a network is shown a part of a sample's known entries and learns to give back the
    others. What is added, each of which can be switched off or on:

    * the hidden fraction varies over the whole range, so that one network serves every missing rate;
    * the network sees what a conditional Gaussian predicts for the hidden entries, and its output is added to that
      (`residual`). The Gaussian of a training row was fitted without the row's donor fold, so that the network learns
      to correct predictions of the quality it will meet;
    * a likelihood with heavy tails, so that a few odd samples do not decide (`loss`);
    * training rows may be joined by synthetic ones: draws of the Gaussian, and mixtures of two rows;
    * a smooth activation and, if asked for, layer normalisation and units scaled and shifted by the covariates;
    * a learning rate that rises and falls, weights averaged over the steps, and several networks.

    Each network leaves out one fold of donors; errors on them set the error bars.

    Parameters
    ----------
    hidden_layers : int, default 1
    hidden_units : int, default 512
        Width of each hidden layer.
    dropout : float, default 0.3
        Fraction of hidden units dropped in training.
    layer_normalization : bool, default False
        Over a sample's hidden units, before the activation.
    activation : {"gelu", "relu"}, default "gelu"
    covariate_scaling : bool, default False
        Whether the embedded covariates scale and shift every hidden unit; they are an input in either case.
    residual : bool, default True
        False: the network neither sees the Gaussian's prediction nor starts from it. Synthetic rows and error bars
        need the Gaussian all the same.
    loss : {"mse", "huber", "student_t"}, default "student_t"
        "huber" counts errors above one standard deviation of the gene linearly. "student_t" is the likelihood of a
        Student-t distribution with 5 degrees of freedom, whose scale the network predicts for each entry.
    pseudo_missing_rate : "auto", float, or pair of float, default "auto"
        Fraction of a sample's known entries that is hidden; from a pair (low, high) it is drawn uniformly for each
        masked version of a row. "auto" takes (0.05, 0.95) where the fitted rows are complete and (0.05, 0.5) where
        they have holes.
    synthetic_fraction : float, default 0
        Share of synthetic rows in training, at least 0 and less than 1. They help a network without `residual`; with
        it they mostly teach that nothing is to be corrected.
    masks_per_row : int, default 40
        Masked versions per fitted row, real and synthetic together, made once before training.
    n_folds : int, default 10
        Donor folds: each row's Gaussian is fitted on the other folds, and network k learns from all folds but k.
    n_members : int, default 5
        Networks of the ensemble; the prediction is their mean.
    learning_rate : float, default 1e-3
        Adam's, at its highest.
    cosine : bool, default True
        Whether the rate rises in the first twentieth of the steps and falls along a cosine to zero, or stays.
    averaging : float, default 0.999
        Weight of the past in the moving average of the weights; 0 uses the last weights. The average begins with the
        weights after the first step, which correct nothing, and keeps averaging ** steps of them: 5 % at the default
        3,000 steps, 22 % at 1,500, where rows have holes. Short trainings so correct the Gaussian with caution.
    batch_size : int, default 64
        Rows of one network in a step.
    epochs : "auto" or int, default "auto"
        "auto" takes 60 where the fitted rows are complete and 30 where they have holes: there is less to learn from.
    steps_per_epoch : int, default 50
    group : str or None, default "tissue"
        Categorical covariate within which the Gaussian is fitted and rows are mixed. None, or no covariates at all:
        all rows.
    unknown_category : {"error", "pool"}, default "error"
        What to do with a covariate's category that `fit` did not see; "pool" gives it the mean embedding, and the
        Gaussian of all groups together.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: epoch, step, train_loss (mean of the members', standardised units).
    network_weights_ : list of ndarray
        The leading axis is over members.
    error_factors_ : ndarray (1 + n_groups, n_varying_genes)
        Squared errors on held-out donors over the variance predicted for them; row 0 over all groups.
    relative_quantiles_ : ndarray (1000,)
        Of those errors over the predicted standard deviation, at equally spaced probabilities, made symmetric.

    Notes
    -----
    The predictive variance is the disagreement of the networks plus the noise that the Gaussian (with
    loss="student_t" the networks) predicts, times `error_factors_`. Intervals and draws follow the distribution of
    errors on held-out donors, whose tails are heavier than a normal's. The draws of a row belong together: their
    correlations are those of the Gaussian's conditional covariance. Errors are those of single networks, so that error
    bars of the ensemble are a little too wide rather than too narrow. Where all fitted rows are of one person nobody
    can be held out, and the predicted variance is taken as it is.

    Masked versions need about 20 bytes · n_samples · masks_per_row · n_genes of memory; like the Gaussian this is made
    for gene sets, not for the genome.

    Scale and shift by covariates: Perez et al. 2018, FiLM. Averaged weights: Polyak and Juditsky 1992.
    """

    def __init__(
        self,
        *,
        hidden_layers: int = 1,
        hidden_units: int = 512,
        dropout: float = 0.3,
        layer_normalization: bool = False,
        activation: str = "gelu",
        covariate_scaling: bool = False,
        residual: bool = True,
        loss: str = "student_t",
        pseudo_missing_rate: object = "auto",
        synthetic_fraction: float = 0.0,
        masks_per_row: int = 40,
        n_folds: int = 10,
        n_members: int = 5,
        learning_rate: float = 1e-3,
        cosine: bool = True,
        averaging: float = 0.999,
        batch_size: int = 64,
        epochs: int | str = "auto",
        steps_per_epoch: int = 50,
        group: str | None = "tissue",
        unknown_category: str = "error",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.hidden_layers = hidden_layers
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.layer_normalization = layer_normalization
        self.activation = activation
        self.covariate_scaling = covariate_scaling
        self.residual = residual
        self.loss = loss
        self.pseudo_missing_rate = pseudo_missing_rate
        self.synthetic_fraction = synthetic_fraction
        self.masks_per_row = masks_per_row
        self.n_folds = n_folds
        self.n_members = n_members
        self.learning_rate = learning_rate
        self.cosine = cosine
        self.averaging = averaging
        self.batch_size = batch_size
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.group = group
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        check_integer("hidden_layers", self.hidden_layers, least=0)
        for name in ("hidden_units", "masks_per_row", "n_members", "batch_size", "steps_per_epoch"):
            check_integer(name, getattr(self, name), least=1)
        check_integer("n_folds", self.n_folds, least=2)
        if self.epochs != "auto":
            check_integer("epochs", self.epochs, least=1)
        for name in ("dropout", "averaging"):
            check_number(name, getattr(self, name), low=0, high=1, open_high=True)
        check_number("synthetic_fraction", self.synthetic_fraction, low=0, high=1, open_high=True)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        for name in ("layer_normalization", "covariate_scaling", "residual", "cosine"):
            check_choice(name, getattr(self, name), (True, False))
        check_choice("activation", self.activation, ("gelu", "relu"))
        check_choice("loss", self.loss, ("mse", "huber", "student_t"))
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        if self.pseudo_missing_rate != "auto":
            rate_range("pseudo_missing_rate", self.pseudo_missing_rate)
        check_random_state_value(self.random_state)
        self._new_gaussian()._check_parameters()

    def _new_gaussian(self) -> ConditionalGaussianImputer:
        return ConditionalGaussianImputer(group=self.group, unknown_category=self.unknown_category)

    # training

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        from reproduce.imputers._pseudo_masks import masked_rows
        from reproduce.models.training import TrainingSettings, execution_mode
        from reproduce.models.tuned_pmi import MaskedRows, tuned_trainer_for

        seed = int(check_random_state(self.random_state).randint(2**31))
        self._gaussian = fit_standardised(self._new_gaussian(), Z, covariates)
        versions = masked_rows(
            Z,
            covariates,
            donor_folds(len(Z), covariates, int(self.n_folds), seed),
            self._new_gaussian,
            self._masking(bool(observed.all())),
            np.random.default_rng([seed, 3]),
        )
        self._shape = network_shape(Z.shape[1], covariates)
        training = TrainingSettings(
            epochs=(60 if observed.all() else 30) if self.epochs == "auto" else int(self.epochs),
            steps_per_epoch=int(self.steps_per_epoch),
            batch_size=int(self.batch_size) * int(self.n_members),
        )
        n_steps = training.epochs * training.steps_per_epoch
        self._settings = self._network_settings(n_steps)
        trainer = tuned_trainer_for(self._shape, self._settings, execution_mode(n_steps))
        fitted = trainer.fit(MaskedRows.stacked([versions.real, versions.synthetic]), training, seed)
        self.network_weights_, self.history_, self._network = fitted.weights, fitted.history, None
        self._learn_errors(versions, *groups_of(self.group, covariates, len(Z)))

    def _masking(self, complete: bool):
        from reproduce.imputers._pseudo_masks import MaskingSettings

        rates = self.pseudo_missing_rate
        if rates == "auto":
            rates = (0.05, 0.95) if complete else (0.05, 0.5)
        return MaskingSettings(
            masks_per_row=int(self.masks_per_row),
            rates=rate_range("pseudo_missing_rate", rates),
            synthetic_fraction=float(self.synthetic_fraction),
            group=self.group,
        )

    def _network_settings(self, n_steps: int):
        from reproduce.models.tuned_pmi import TunedPMISettings

        return TunedPMISettings(
            n_members=int(self.n_members),
            n_layers=int(self.hidden_layers),
            n_units=int(self.hidden_units),
            dropout=float(self.dropout),
            layer_normalization=bool(self.layer_normalization),
            activation=self.activation,
            covariate_scaling=bool(self.covariate_scaling),
            residual=bool(self.residual),
            loss=self.loss,
            learning_rate=float(self.learning_rate),
            cosine=bool(self.cosine),
            averaging=float(self.averaging),
            n_steps=n_steps,
        )

    # predicting

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        return self._of_members(Z, observed, covariates)[0].mean(axis=0)

    def _of_members(
        self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prediction and learnt variance (n_members, n_samples, n_genes) of every member."""
        from reproduce.imputers._pseudo_masks import shown_rows
        from reproduce.models.tuned_pmi import predictions_of_members

        rows = shown_rows(Z, self._gaussian._impute(Z, observed, covariates), covariates)
        return predictions_of_members(self._fitted_network(), rows)

    def _network_class(self) -> type:
        from reproduce.models.tuned_pmi import TunedPMINetwork

        return TunedPMINetwork

    # error bars

    def _learn_errors(self, versions: Versions, groups: np.ndarray, n_groups: int) -> None:
        """Compare errors on held-out donors with what is predicted of them.

        Parameters
        ----------
        versions : Versions
            Rows of fold k are new to member k.
        groups : ndarray of int (n_samples,)
            Group of each fitted row, 0 for none.
        n_groups : int
        """
        from reproduce.models.tuned_pmi import predictions_of_members

        fold = versions.real.fold[:, 0]
        held_out = np.flatnonzero((fold >= 0) & (fold < self.n_members))
        rows, fold, groups = versions.real.rows(held_out), fold[held_out], groups[versions.origin[held_out]]
        prediction, learnt = predictions_of_members(self._fitted_network(), rows)
        variance = self._uncalibrated(prediction, learnt, versions.variance[held_out])
        asked = rows.target_mask > 0
        error = rows.expression - prediction[fold, np.arange(len(fold))]
        relative = np.where(asked, error / np.sqrt(variance), 0.0)
        self.error_factors_ = error_factors(relative, asked, groups, n_groups)
        self.relative_quantiles_ = symmetric_quantiles((relative / np.sqrt(self.error_factors_[groups]))[asked])

    def _uncalibrated(self, prediction: np.ndarray, learnt: np.ndarray, gaussian_variance: np.ndarray) -> np.ndarray:
        """Disagreement of the members plus what they, or else the Gaussian, hold to be noise (n_samples, n_genes)."""
        noise = learnt.mean(axis=0) if self.loss == "student_t" else gaussian_variance
        return np.maximum(prediction.var(axis=0) + noise, LEAST_VARIANCE)

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        prediction, learnt = self._of_members(Z, observed, covariates)
        variance = self._uncalibrated(prediction, learnt, self._gaussian._variance(Z, observed, covariates))
        return variance * self.error_factors_[groups_of(self.group, covariates, len(Z))[0]]

    def _quantiles(
        self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None, probability: float
    ) -> np.ndarray:
        sd = np.sqrt(self._variance(Z, observed, covariates))
        return (
            self._impute(Z, observed, covariates)
            + relative_errors(self.relative_quantiles_, norm.ppf(probability)) * sd
        )

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        # the Gaussian says how a row's errors hang together, the network where they are centred and how wide they are
        mean = self._gaussian._impute(Z, observed, covariates)
        sd = np.sqrt(np.where(observed, 1.0, self._gaussian._variance(Z, observed, covariates)))
        deviates = (self._gaussian._draw(Z, observed, covariates, n, generator) - mean) / sd
        width = np.sqrt(self._variance(Z, observed, covariates))
        return self._impute(Z, observed, covariates) + relative_errors(self.relative_quantiles_, deviates) * width
