"""VAE and GMVAE as a user sees them, in scikit-learn's form; never knows a data set.

The form is scikit-learn's (constructor stores, `fit`, `transform`, `score`, parameters, names of genes checked), but
not its list of checks: that feeds fractions and negative numbers, which are no counts and are refused here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.imputers._network import epochs_shown
from reproduce.saved_estimators import SavedEstimator
from reproduce.single_cell.counts import check_counts

_BOUNDS = ("elbo", "importance")


class CountAutoencoder(SavedEstimator, TransformerMixin, BaseEstimator):
    """What `CountVAE` and `CountGMVAE` share.

    Counts (n_cells, n_genes) may be an array, a sparse matrix, a DataFrame or an AnnData (its ``layers["counts"]`` if
    there is one, else its ``X``, as `reproduce.single_cell.counts.load_counts` takes them); entries that are
    missing, negative or fractional and cells without any count are errors that name cell and gene.

    Attributes
    ----------
    n_features_in_ : int
        Number of genes.
    feature_names_in_ : ndarray of str
        If `fit` was given a DataFrame or an AnnData.
    weights_ : list of ndarray
    history_ : DataFrame
        See `reproduce.single_cell.training.Trainer.fit`.
    best_epoch_ : int
    """

    saved_form = "reproduce single-cell auto-encoder, 2"

    def __init__(
        self,
        likelihood: str = "negative_binomial",
        *,
        latent_size: int = 10,
        hidden_units: tuple[int, ...] = (100,),
        layer_normalization: bool = True,
        rates: str = "share",
        inputs: str = "log1p",
        start: str = "profile",
        learning_rate: float = 1e-4,
        batch_size: int = 100,
        epochs: int = 200,
        warm_up_epochs: int = 20,
        patience: int | None = 20,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.likelihood = likelihood
        self.latent_size = latent_size
        self.hidden_units = hidden_units
        self.layer_normalization = layer_normalization
        self.rates = rates
        self.inputs = inputs
        self.start = start
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.warm_up_epochs = warm_up_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, *, validation=None):
        """Learn from counts.

        Parameters
        ----------
        X : counts (n_cells, n_genes)
        y : None
            Ignored.
        validation : counts, optional
            Cells that decide when to stop; without them `validation_fraction` of X is taken.

        Raises
        ------
        ConfigError
            For a hyperparameter out of range.
        DataFormatError
            For what are no counts.
        DivergedError
            When training diverges.
        """
        from reproduce.single_cell.training import mode_for, trainer_for

        self._check_parameters()
        counts = self._checked(X, reset=True)
        seed = int(check_random_state(self.random_state).randint(2**31))
        held_out = None if validation is None else self._checked(validation, reset=False)
        if held_out is None and (n := round(self.validation_fraction * counts.shape[0])) >= 1:
            if n == counts.shape[0]:
                raise ConfigError(
                    f"validation_fraction is {self.validation_fraction}, which of {n} cells leaves none to learn from; "
                    "give a smaller one, or more cells."
                )
            order = np.random.default_rng([seed, 1]).permutation(counts.shape[0])
            held_out, counts = counts[order[:n]], counts[order[n:]]
        settings = self._training_settings()
        self._mode = mode_for(counts.shape[0], settings)
        trainer = trainer_for(self._network_settings(), self._mode)
        with epochs_shown(self, settings.epochs) as show:
            fitted = trainer.fit(counts, held_out, settings, seed, on_epoch=show)
        self.weights_, self.history_, self.best_epoch_ = fitted.weights, fitted.history, fitted.best_epoch
        return self

    def untrained(self, X) -> CountAutoencoder:
        """This estimator with the weights from which training on these counts would start; `history_` is empty.

        Parameters
        ----------
        X : counts (n_cells, n_genes)
            What `fit` is to be given, together with validation cells.
        """
        from reproduce.single_cell.training import mode_for, trainer_for

        self._check_parameters()
        counts = self._checked(X, reset=True)
        settings = self._training_settings()
        self._mode = mode_for(counts.shape[0], settings)
        seed = int(check_random_state(self.random_state).randint(2**31))
        self.weights_ = trainer_for(self._network_settings(), self._mode).start(counts, settings, seed)
        self.history_, self.best_epoch_ = pd.DataFrame(), 0
        return self

    def transform(self, X) -> np.ndarray:
        """Mean of the latent's posterior, (n_cells, latent_size)."""
        return np.concatenate(list(self._cells("latent", X)))

    def reconstruct(self, X) -> np.ndarray:
        """The law's mean counts at the mean of q(z|x), with the cell's number of molecules as the size factor.

        The cell's counts enter through z only: this is the mean before x is seen, not that given x (for which see
        `predict_held_out`). Where `rates` is "share" it sums to the cell's number of molecules under Poisson and
        negative binomial, and to less under their zero-inflated forms, whose mean is (1 − π) λ.

        Returns
        -------
        ndarray of float32 (n_cells, n_genes)
            Dense: 4 bytes an entry.
        """
        return self._filled("expected", X)

    def predict_held_out(self, X, held_out: float) -> np.ndarray:
        """Molecules to be expected among those that thinning took out of these cells.

        Parameters
        ----------
        X : counts (n_cells, n_genes)
            What thinning left.
        held_out : float
            Probability with which a molecule was taken.

        Returns
        -------
        ndarray of float32 (n_cells, n_genes)
            See `reproduce.single_cell.likelihoods.Likelihood.expected_given`. Dense: 4 bytes an entry.
        """
        check_number("held_out", held_out, low=0, high=1, open_low=True, open_high=True)
        return self._filled("further", X) * np.float32(held_out / (1.0 - held_out))

    def score_cells(self, X, *, n_draws: int = 10, random_state: int = 0) -> pd.DataFrame:
        """Bounds on each cell's log probability, with its library size as the size factor where `rates` is "share".

        Parameters
        ----------
        X : counts
        n_draws : int, default 10
            Of the latent for each cell.
        random_state : int

        Returns
        -------
        DataFrame
            One row a cell: elbo, importance (log of the mean importance weight, a tighter bound), reconstruction,
            latent_divergence, class_divergence, rate_sum, largest_log_rate, composition (see
            `reproduce.single_cell.networks.CountNetwork.terms`).
        """
        check_integer("n_draws", n_draws, least=1)
        blocks = list(self._cells("terms", X, n_draws=n_draws, seed=int(random_state)))
        drawn = {name: np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}
        log_weight = drawn.pop("log_weight").astype(float)
        table = pd.DataFrame({name: values.mean(axis=0) for name, values in drawn.items()})
        table.insert(1, "importance", logsumexp(log_weight, axis=0) - np.log(n_draws))
        return table

    def score(self, X, y=None, *, bound: str = "elbo", n_draws: int = 10) -> float:
        """Mean over cells of a bound on the log probability: the higher, the better.

        Parameters
        ----------
        X : counts
        y : None
        bound : {"elbo", "importance"}
        n_draws : int, default 10
        """
        check_choice("bound", bound, _BOUNDS)
        return float(self.score_cells(X, n_draws=n_draws)[bound].mean())

    def sample(self, n_cells: int, *, library_size: float, random_state: int | None = None) -> np.ndarray:
        """Draw cells from the prior.

        Parameters
        ----------
        n_cells : int
        library_size : float
            Of the cells drawn; used where `rates` is "share" only.
        random_state : int, optional

        Returns
        -------
        ndarray of int64 (n_cells, n_genes)
        """
        import tensorflow as tf

        check_integer("n_cells", n_cells, least=1)
        check_number("library_size", library_size, low=0, open_low=True)
        network = self._trainer().network
        network.set_weights(self.weights_)
        rng = np.random.default_rng(random_state)
        z = tf.constant(self._drawn_from_prior(network, n_cells, rng), tf.float32)
        at = network.decoder(z, tf.fill((n_cells, 1), np.float32(np.log(library_size))))
        return network.law.sample(at, rng)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the latent's dimensions."""
        check_is_fitted(self)
        return np.array([f"latent{k + 1}" for k in range(self.latent_size)], dtype=object)

    def _saved(self):
        words = {"best_epoch": self.best_epoch_, "n_genes": self.n_features_in_, "mode": self._mode}
        arrays = {f"weight_{k}": weight for k, weight in enumerate(self.weights_)}
        arrays |= {f"history_{name}": values.to_numpy() for name, values in self.history_.items()}
        if hasattr(self, "feature_names_in_"):
            arrays["genes"] = self.feature_names_in_.astype(str)
        return words, arrays

    def _take_back(self, words, arrays):
        self.n_features_in_, self.best_epoch_ = words["n_genes"], words["best_epoch"]
        self._mode = words["mode"]
        self.weights_ = [arrays[f"weight_{k}"] for k in range(sum(n.startswith("weight_") for n in arrays))]
        columns = {n.removeprefix("history_"): values for n, values in arrays.items() if n.startswith("history_")}
        self.history_ = pd.DataFrame(columns)
        if "genes" in arrays:
            self.feature_names_in_ = arrays["genes"].astype(object)

    # what the two do themselves

    def _n_components(self) -> int:
        raise NotImplementedError

    def _drawn_from_prior(self, network, n_cells: int, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError

    # checks and settings

    def _check_parameters(self) -> None:
        from reproduce.single_cell.likelihoods import likelihood_of

        likelihood_of(self.likelihood)
        check_integer("latent_size", self.latent_size, least=1)
        units = self.hidden_units
        if not isinstance(units, (tuple, list)) or not units:
            raise ConfigError(
                f"hidden_units is {units!r}; give the widths of one hidden layer or more, such as (100,)."
            )
        for width in units:
            check_integer("hidden_units", width, least=1)
        check_choice("layer_normalization", self.layer_normalization, (True, False))
        check_choice("rates", self.rates, ("share", "exponential", "bounded"))
        check_choice("inputs", self.inputs, ("log1p", "counts"))
        check_choice("start", self.start, ("profile", "zero"))
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_integer("batch_size", self.batch_size, least=1)
        check_integer("epochs", self.epochs, least=1)
        check_integer("warm_up_epochs", self.warm_up_epochs, least=0)
        if self.patience is not None:
            check_integer("patience", self.patience, least=1)
        check_number("validation_fraction", self.validation_fraction, low=0, high=1, open_high=True)
        check_random_state_value(self.random_state)
        check_choice("verbose", self.verbose, (True, False))

    def _training_settings(self):
        from reproduce.single_cell.training import TrainingSettings

        patience = None if self.patience is None else int(self.patience)
        return TrainingSettings(
            int(self.epochs), int(self.batch_size), int(self.warm_up_epochs), patience, str(self.start)
        )

    def _network_settings(self):
        from reproduce.single_cell.networks import NetworkSettings

        return NetworkSettings(
            n_genes=self.n_features_in_,
            latent_size=int(self.latent_size),
            hidden_units=tuple(map(int, self.hidden_units)),
            likelihood=self.likelihood,
            n_components=self._n_components(),
            layer_normalization=bool(self.layer_normalization),
            rates=self.rates,
            inputs=self.inputs,
            learning_rate=float(self.learning_rate),
        )

    def _trainer(self):
        from reproduce.single_cell.training import trainer_for

        check_is_fitted(self)
        return trainer_for(self._network_settings(), self._mode)

    def _cells(self, name: str, X, **kwargs: int):
        check_is_fitted(self)
        counts = self._checked(X, reset=False)
        return self._trainer().cells(name, self.weights_, counts, **kwargs)

    def _filled(self, name: str, X) -> np.ndarray:
        """Blocks of cells × genes, each written to its place as it comes: never the whole of it twice."""
        check_is_fitted(self)
        counts = self._checked(X, reset=False)
        result, start = np.empty(counts.shape, np.float32), 0
        for block in self._trainer().cells(name, self.weights_, counts):
            result[start : start + len(block)] = block
            start += len(block)
        return result

    def _checked(self, X, *, reset: bool) -> sparse.csr_matrix:
        cells = genes = None
        if isinstance(X, AnnData):
            X, cells, genes = X.layers.get("counts", X.X), X.obs_names.to_numpy(), X.var_names.to_numpy()
        elif isinstance(X, pd.DataFrame):
            X, cells, genes = X.to_numpy(), X.index.to_numpy(), X.columns.to_numpy()
        counts = check_counts(X, cells=cells, genes=genes)
        if reset:
            self.n_features_in_ = counts.shape[1]
            if genes is not None:
                self.feature_names_in_ = np.asarray(genes, dtype=object)
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        elif counts.shape[1] != self.n_features_in_:
            raise DataFormatError(f"Counts of {counts.shape[1]} genes; {self.n_features_in_} were fitted.")
        elif genes is not None and hasattr(self, "feature_names_in_"):
            self._check_names(np.asarray(genes))
        return counts

    def _check_names(self, genes: np.ndarray) -> None:
        if (wrong := np.flatnonzero(genes != self.feature_names_in_)).size:
            first = wrong[0]
            raise DataFormatError(
                f"Gene {first} (from 0) is {genes[first]}, but {self.feature_names_in_[first]} was fitted there; give "
                "the fitted genes in the fitted order."
            )


class CountVAE(CountAutoencoder):
    """Variational auto-encoder of counts.

    Parameters
    ----------
    likelihood : str, default "negative_binomial"
        Of `reproduce.single_cell.likelihoods.LIKELIHOODS`.
    latent_size : int, default 10
    hidden_units : tuple of int, default (100,)
        Widths of the encoder's hidden layers; the decoder's are the same in reverse.
    layer_normalization : bool, default True
    rates : {"share", "exponential", "bounded"}, default "share"
        Rates n · softmax(a) for a cell with n counts, or exp(a) whatever n, or exp(a) with a kept within −10 and 10.
    inputs : {"log1p", "counts"}, default "log1p"
        What the encoder sees.
    start : {"profile", "zero"}, default "profile"
        Where the decoder's biases begin.
    learning_rate : float, default 1e-4
        Adam's.
    batch_size : int, default 100
    epochs : int, default 200
    warm_up_epochs : int, default 20
        Over which the divergences' weight rises to 1.
    patience : int or None, default 20
        Epochs without a better validation ELBO, after the warm-up, after which training stops.
    validation_fraction : float, default 0.1
        Of the cells; used where `fit` is given no validation cells.
    random_state : int, RandomState or None, default None
    verbose : bool, default False
    """

    def _n_components(self) -> int:
        return 0

    def _drawn_from_prior(self, network, n_cells, rng):
        return rng.standard_normal((n_cells, self.latent_size))


class CountGMVAE(CountAutoencoder):
    """Gaussian-mixture variational auto-encoder of counts: its components are clusters of cells.

    Parameters
    ----------
    n_components : int, default 10
    likelihood, latent_size, hidden_units and all others
        As of `CountVAE`.
    """

    def __init__(
        self,
        n_components: int = 10,
        likelihood: str = "negative_binomial",
        *,
        latent_size: int = 10,
        hidden_units: tuple[int, ...] = (100,),
        layer_normalization: bool = True,
        rates: str = "share",
        inputs: str = "log1p",
        start: str = "profile",
        learning_rate: float = 1e-4,
        batch_size: int = 100,
        epochs: int = 200,
        warm_up_epochs: int = 20,
        patience: int | None = 20,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        super().__init__(
            likelihood,
            latent_size=latent_size,
            hidden_units=hidden_units,
            layer_normalization=layer_normalization,
            rates=rates,
            inputs=inputs,
            start=start,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            warm_up_epochs=warm_up_epochs,
            patience=patience,
            validation_fraction=validation_fraction,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_components = n_components

    def predict_proba(self, X) -> np.ndarray:
        """q(y|x), (n_cells, n_components)."""
        return np.exp(np.concatenate(list(self._cells("log_classes", X))))

    def predict(self, X) -> np.ndarray:
        """The likeliest component of each cell."""
        return self.predict_proba(X).argmax(axis=1)

    def _check_parameters(self) -> None:
        check_integer("n_components", self.n_components, least=1)
        super()._check_parameters()

    def _n_components(self) -> int:
        return int(self.n_components)

    def _drawn_from_prior(self, network, n_cells, rng):
        components = rng.integers(self.n_components, size=n_cells)
        means = network.component_means.values.numpy()[components]
        scales = np.exp(0.5 * network.component_log_variances.values.numpy()[components])
        return means + scales * rng.standard_normal(means.shape)
