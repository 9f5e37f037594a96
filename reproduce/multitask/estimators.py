"""The multi-task networks as a user sees them, in scikit-learn's form; never knows a data set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.multitask.clusters import balanced_kmeans, velocity_profiles
from reproduce.multitask.data import VelocityData, velocity_data
from reproduce.multitask.features import Features, learn_features
from reproduce.saved_estimators import SavedEstimator

_STARTS = ("common", "own")


class FittedCluster(NamedTuple):
    """The networks of one cluster of genes.

    Attributes
    ----------
    genes : ndarray of int
        Positions of its genes.
    features : Features
    weights : list of ndarray
        See `reproduce.multitask.model.starting_weights`.
    seed : int
        That decided where they started from.
    """

    genes: np.ndarray
    features: Features
    weights: list[np.ndarray]
    seed: int


class MultitaskVelocity(SavedEstimator, RegressorMixin, BaseEstimator):
    """Networks that predict genes' velocities from transcription factors, sharing by a trace norm within clusters.

    Parameters
    ----------
    penalty : float, default 0.01
        λ, weight of the mean trace norm; 0: genes do not share (single-task networks).
    l1 : float, default 0.01
        γ, weight of the sum of absolute weights of a gene's network.
    hidden_units : tuple of int, default (64, 32, 16)
    shared : {"nothing", "hidden", "everything"}, default "nothing"
        Which layers are one for all genes of a cluster: none; all but the last; every one.
    start : {"common", "own"}, default "common"
        Whether all genes start from the same weights, or each from its own, as published. Units of networks that start
        apart mean different things, so that the penalty can hardly do more than shrink them (notebook 13).
    features : {"all", "expression"}, default "all"
        Of a factor: the five of `reproduce.multitask.features`, which needs activities and two tissues, or expression.
    n_clusters : int, default 1
        Genes are divided into so many clusters of equal size by their velocities, each trained by itself.
    epochs : int, default 8
    batch_size : int, default 256
    learning_rate : float, default 0.01
        Adam's.
    validation_fraction : float, default 0.0
        Of the cells; the weights of the epoch that predicts them best are kept. 0: the last epoch's, as published.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    clusters_ : list of FittedCluster
    labels_ : ndarray of int (n_genes,)
        Cluster of each gene.
    histories_ : list of DataFrame
        See `reproduce.multitask.training.Trainer.fit`.
    velocity_mean_, velocity_scale_ : ndarray (n_genes,)
    importances_ : ndarray (n_genes, n_factors)
        Mean over the training cells of |∂ standardised velocity / ∂ standardised expression|.
    n_features_in_ : int
        Number of factors.
    feature_names_in_, genes_, tissues_ : ndarray of str
        Names, where `fit` was given some.
    """

    saved_form = "reproduce multi-task velocity, 3"

    def __init__(
        self,
        penalty: float = 0.01,
        l1: float = 0.01,
        *,
        hidden_units: tuple[int, ...] = (64, 32, 16),
        shared: str = "nothing",
        start: str = "common",
        features: str = "all",
        n_clusters: int = 1,
        epochs: int = 8,
        batch_size: int = 256,
        learning_rate: float = 0.01,
        validation_fraction: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.penalty = penalty
        self.l1 = l1
        self.hidden_units = hidden_units
        self.shared = shared
        self.start = start
        self.features = features
        self.n_clusters = n_clusters
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X, y=None, *, tissues=None, activities=None):
        """Learn from cells.

        Parameters
        ----------
        X : array-like (n_cells, n_factors), DataFrame, VelocityData or AnnData
            Expression on a logarithmic scale. The latter two bring all else with them.
        y : array-like (n_cells, n_genes), optional
            Velocities; NaN where a gene has none.
        tissues : array-like of str (n_cells,), optional
            Absent: one tissue.
        activities : pair of array-like (n_tissues, n_factors, n_genes), optional
            Mean and sum, tissues in alphabetical order.

        Raises
        ------
        ConfigError
            For a hyperparameter out of range, and activities that are absent or of one tissue only.
        DataFormatError
            For what does not fit together, factors that do not vary, and genes with fewer than two cells.
        """
        self._check_parameters()
        data = self._taken(X, y, tissues, activities)
        seed = int(check_random_state(self.random_state).randint(2**31))
        self._check_data(data)
        train = self._training_part(len(data.cells), seed)
        velocity = data.velocity[train]
        self.velocity_mean_, self.velocity_scale_ = _velocity_scaling(velocity, data.genes)
        self.labels_ = balanced_kmeans(velocity_profiles(velocity), self.n_clusters, random_state=seed)
        self.n_features_in_ = len(data.factors)
        self.feature_names_in_, self.genes_ = data.factors.astype(object), data.genes
        self.tissues_ = data.tissue_names
        self.clusters_, self.histories_ = [], []
        self.importances_ = np.zeros((len(data.genes), len(data.factors)))
        for cluster in range(self.n_clusters):
            self._fit_cluster(data, train, np.flatnonzero(self.labels_ == cluster), seed + cluster)
        return self

    def predict(self, X, *, tissues=None) -> np.ndarray:
        """Velocities, float32 (n_cells, n_genes).

        Parameters
        ----------
        X : array-like (n_cells, n_factors), DataFrame, VelocityData or AnnData
        tissues : array-like of str (n_cells,), optional
            Needed where several were fitted.

        Raises
        ------
        DataFormatError
            For other factors than were fitted, and tissues that were not.
        """
        from reproduce.multitask.training import trainer_for

        check_is_fitted(self)
        expression, codes = self._asked(X, tissues)
        predicted = np.zeros((len(expression), len(self.genes_)), np.float32)
        for cluster in self.clusters_:
            trainer = trainer_for(self._layout(cluster.features))
            scaled = cluster.features.scaled(expression)
            predicted[:, cluster.genes] = trainer.predict(cluster.weights, scaled, codes, cluster.features)
        return predicted * self.velocity_scale_.astype(np.float32) + self.velocity_mean_.astype(np.float32)

    def score(self, X, y=None, *, tissues=None) -> float:
        """Mean over genes of R² in reference to the training cells' mean velocity; cells without one are left out."""
        truth = np.asarray(X.velocity if isinstance(X, VelocityData) else y, float)
        errors = np.nansum((self.predict(X, tissues=tissues) - truth) ** 2, axis=0)
        return float(np.mean(1.0 - errors / np.nansum((truth - self.velocity_mean_) ** 2, axis=0)))

    def singular_values(self, layer: int = 1, *, since_start: bool = False) -> list[np.ndarray]:
        """Of the stacked weights of a hidden layer (1: the first) unfolded along the genes, for each cluster.

        With `since_start` of the weights less those that training started from: common starts alone are one direction.
        """
        from reproduce.multitask.trace_norm import singular_values
        from reproduce.multitask.training import weights_before

        check_is_fitted(self)
        check_integer("layer", layer, least=1)
        found = []
        for cluster in self.clusters_:
            weights = cluster.weights[2 * layer]
            if since_start:
                weights = weights - weights_before(self._layout(cluster.features), cluster.seed, self.start)[2 * layer]
            found.append(singular_values(weights).numpy())
        return found

    # saving

    def _saved(self):
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {name: getattr(self, name).astype(str) for name in _NAMES}
        for number, (cluster, history) in enumerate(zip(self.clusters_, self.histories_, strict=True)):
            kept = {"genes": cluster.genes, "seed": cluster.seed, **vars(cluster.features)}
            kept |= {f"weight_{k}": weight for k, weight in enumerate(cluster.weights)}
            kept |= {f"history_{name}": values.to_numpy() for name, values in history.items()}
            arrays |= {f"{number}/{name}": values for name, values in kept.items()}
        return {"n_clusters": len(self.clusters_)}, arrays

    def _take_back(self, words, arrays):
        for name in (*_ARRAYS, *_NAMES):
            setattr(self, name, arrays[name])
        self.feature_names_in_ = self.feature_names_in_.astype(object)
        self.n_features_in_ = len(self.feature_names_in_)
        parts = [
            {n.split("/", 1)[1]: v for n, v in arrays.items() if n.startswith(f"{k}/")}
            for k in range(words["n_clusters"])
        ]
        self.clusters_ = [_cluster(part) for part in parts]
        self.histories_ = [
            pd.DataFrame({n.removeprefix("history_"): v for n, v in part.items() if n.startswith("history_")})
            for part in parts
        ]

    # steps of fitting

    def _fit_cluster(self, data: VelocityData, train: np.ndarray, genes: np.ndarray, seed: int) -> None:
        from reproduce.multitask.training import Cells, TrainingSettings, trainer_for

        velocity = (data.velocity[:, genes] - self.velocity_mean_[genes]) / self.velocity_scale_[genes]
        activities, codes = None, np.zeros_like(data.tissues)
        if self.features == "all":
            activities, codes = tuple(values[:, :, genes] for values in data.activities), data.tissues
        features = learn_features(
            data.expression[train],
            np.isfinite(velocity[train]),
            codes[train],
            len(data.tissue_names) if self.features == "all" else 1,
            activities,
            data.factors,
        )
        expression = features.scaled(data.expression)
        settings = TrainingSettings(
            int(self.epochs), int(self.batch_size), float(self.learning_rate), float(self.penalty), float(self.l1),
            self.start,
        )  # fmt: skip
        cells = Cells(expression, codes, velocity.astype(np.float32))
        rest = np.setdiff1d(np.arange(len(data.cells)), train)
        trainer = trainer_for(self._layout(features))
        fitted = trainer.fit(
            _rows(cells, train), features, settings, seed, _rows(cells, rest) if rest.size else None
        )  # fmt: skip
        self.clusters_.append(FittedCluster(genes, features, fitted.weights, seed))
        self.histories_.append(fitted.history)
        self.importances_[genes] = trainer.sensitivity(fitted.weights, expression[train], codes[train], features)

    def _layout(self, features: Features):
        from reproduce.multitask.model import Layout

        n_genes, n_tissues, n_factors, n_features = features.slopes.shape
        units = tuple(map(int, self.hidden_units))
        return Layout(n_genes, n_factors, n_tissues, n_features, units, self.shared)

    def _training_part(self, n_cells: int, seed: int) -> np.ndarray:
        n = round(self.validation_fraction * n_cells)
        return np.sort(np.random.default_rng([seed, 1]).permutation(n_cells)[n:])

    # checks

    def _check_parameters(self) -> None:
        from reproduce.multitask.model import SHARED

        check_number("penalty", self.penalty, low=0)
        check_number("l1", self.l1, low=0)
        if not isinstance(self.hidden_units, (tuple, list)) or not self.hidden_units:
            raise ConfigError(f"hidden_units is {self.hidden_units!r}; give widths, such as (64, 32, 16).")
        for width in self.hidden_units:
            check_integer("hidden_units", width, least=1)
        check_choice("shared", self.shared, SHARED)
        check_choice("start", self.start, _STARTS)
        check_choice("features", self.features, ("all", "expression"))
        for name in ("n_clusters", "epochs", "batch_size"):
            check_integer(name, getattr(self, name), least=1)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("validation_fraction", self.validation_fraction, low=0, high=1, open_high=True)
        check_random_state_value(self.random_state)

    def _check_data(self, data: VelocityData) -> None:
        if self.features == "all" and data.activities is None:
            raise ConfigError('There are no activities; give them, or features="expression".')
        few = np.flatnonzero(np.isfinite(data.velocity).sum(axis=0) < 2)
        if few.size:
            raise DataFormatError(
                f"Gene {data.genes[few[0]]} has a velocity in fewer than two cells ({few.size} such genes); leave it "
                "out."
            )

    def _taken(self, X, y, tissues, activities) -> VelocityData:
        if isinstance(X, VelocityData):
            return X
        if isinstance(X, AnnData):
            return velocity_data(X)
        expression, factors = _named(X, "factor")
        if y is None:
            raise ConfigError("y is None; give velocities, cells × genes, or an AnnData that has them.")
        velocity, genes = _named(y, "gene")
        if len(velocity) != len(expression):
            raise DataFormatError(f"{len(expression)} cells of expression, {len(velocity)} of velocities; align them.")
        if not np.isfinite(expression).all():
            row, column = np.argwhere(~np.isfinite(expression))[0]
            raise DataFormatError(f"The expression of {factors[column]} in cell {row} (from 0) is no number.")
        names, codes = np.unique(
            np.full(len(expression), "all cells") if tissues is None else np.asarray(tissues, str), return_inverse=True
        )
        if len(codes) != len(expression):
            raise DataFormatError(f"{len(expression)} cells, {len(codes)} tissues; name the tissue of every cell.")
        if activities is not None:
            activities = tuple(np.asarray(values, np.float32) for values in activities)
            wanted = (len(names), len(factors), len(genes))
            if any(values.shape != wanted for values in activities):
                shapes = [values.shape for values in activities]
                raise DataFormatError(f"Activities are {shapes}; tissues × factors × genes is {wanted}.")
        cells = np.arange(len(expression)).astype(str)
        return VelocityData("given", expression, velocity, codes, cells, factors, genes, names, activities)

    def _asked(self, X, tissues) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(X, VelocityData):
            expression, factors, tissues = X.expression, X.factors, X.tissue_names[X.tissues]
        elif isinstance(X, AnnData):
            tissues = X.obs["tissue"].astype(str) if "tissue" in X.obs else None
            expression, factors = _named(X.to_df(), "factor")
        else:
            expression, factors = _named(X, "factor")
        fitted = self.feature_names_in_.astype(str)
        if isinstance(X, AnnData) and set(fitted) <= set(factors):
            places = pd.Index(factors).get_indexer(fitted)
            expression, factors = expression[:, places], fitted
        if len(factors) != len(fitted) or (factors != fitted).any():
            first = next((a for a, b in zip(factors, fitted) if a != b), f"number {min(len(factors), len(fitted))}")
            raise DataFormatError(
                f"{len(factors)} factors, {len(fitted)} were fitted; the first that differs is {first}. Give the "
                "fitted factors in the fitted order."
            )
        return expression, self._codes(tissues, len(expression))

    def _codes(self, tissues, n_cells: int) -> np.ndarray:
        if self.features == "expression":
            return np.zeros(n_cells, int)
        if tissues is None:
            raise ConfigError(f"Tissues {', '.join(self.tissues_)} were fitted; name the tissue of every cell.")
        names = np.asarray(tissues, str)
        if len(unknown := np.setdiff1d(names, self.tissues_)):
            raise DataFormatError(f"Tissue {unknown[0]} was not fitted; there are {', '.join(self.tissues_)}.")
        return np.searchsorted(self.tissues_, names)


_ARRAYS = ("velocity_mean_", "velocity_scale_", "labels_", "importances_")
_NAMES = ("feature_names_in_", "genes_", "tissues_")


def _cluster(part: dict[str, np.ndarray]) -> FittedCluster:
    features = Features(*(part[name] for name in ("slopes", "offsets", "centre", "scale")))
    n = sum(name.startswith("weight_") for name in part)
    return FittedCluster(part["genes"], features, [part[f"weight_{k}"] for k in range(n)], int(part["seed"]))


def _rows(cells, index: np.ndarray):
    return type(cells)(cells.expression[index], cells.tissues[index], cells.velocity[index])


def _velocity_scaling(velocity: np.ndarray, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = (function(np.asarray(velocity, float), axis=0) for function in (np.nanmean, np.nanstd))
    flat = np.flatnonzero(~(scale > 0))
    if flat.size:
        raise DataFormatError(
            f"The velocity of gene {genes[flat[0]]} is the same in all training cells ({flat.size} such genes); leave "
            "it out."
        )
    return mean, scale


def _named(values, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Values as float32, and the names of their columns."""
    matrix = np.asarray(values, np.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise DataFormatError(f"The matrix of {kind}s has the shape {matrix.shape}; give cells × {kind}s.")
    if isinstance(values, pd.DataFrame):
        return matrix, values.columns.to_numpy().astype(str)
    return matrix, np.array([f"{kind}{k + 1}" for k in range(matrix.shape[1])])
