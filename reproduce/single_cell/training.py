"""The training loop of VAE and GMVAE: packs sparse batches, draws noise, runs compiled steps; never touches a file.

As in `reproduce.models.training`: one call runs a whole portion of steps without returning to Python, the next portion
is drawn while one runs, and compiled functions are kept for the next training of the same layout. What differs is that
counts stay sparse until they are inside a step: a batch of 100 cells × 27,998 genes takes 11 MB dense, and there is
never more than one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import sparse

from reproduce.models.layers import initial_weights
from reproduce.models.training import Fitted, execution_mode
from reproduce.single_cell.networks import LARGEST, METRICS, NetworkSettings, network_of

#: Bound on what one call of steps is handed, bytes.
PORTION_BYTES = 64 * 2**20
#: Dispersions at which training starts lie within these.
_DISPERSIONS = (1e-2, 1e3)
#: Logit of the probability of an extra zero at which training starts.
_ZERO_LOGIT = -3.0


class DivergedError(FloatingPointError):
    """A loss that is no number any more.

    Attributes
    ----------
    history : DataFrame
        Of the epochs before, and of the last as far as it is known.
    """

    def __init__(self, message: str, history: pd.DataFrame):
        super().__init__(message)
        self.history = history


@dataclass(frozen=True)
class TrainingSettings:
    """How long and in what portions a network is trained.

    Parameters
    ----------
    epochs : int
        At most this many.
    batch_size : int
    warm_up_epochs : int
        The divergences' weight rises from 0 to 1 over these.
    patience : int or None
        Epochs without a better validation ELBO after which training stops, counted from the end of the warm-up; None
        never stops early.
    start : {"profile", "zero"}
        Where the decoder's biases begin: at the training cells' mean profile and dispersions, or at 0.
    """

    epochs: int = 200
    batch_size: int = 100
    warm_up_epochs: int = 20
    patience: int | None = 20
    start: str = "profile"


class Packer:
    """Gives rows of a sparse matrix as positions and counts of one width.

    Parameters
    ----------
    counts : scipy CSR matrix (n_cells, n_genes)
        Without explicit zeros.
    """

    def __init__(self, counts: sparse.csr_matrix):
        self._counts = counts
        self._lengths = np.diff(counts.indptr)
        self.width = int(self._lengths.max())

    @property
    def bytes_per_cell(self) -> int:
        """Of positions and counts."""
        return self.width * 8

    def rows(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (int32) and counts (float32) of some cells, each ``(*index.shape, width)``; 0 pads."""
        lengths = self._lengths[index]
        there = np.arange(self.width) < lengths[..., None]
        starts = self._counts.indptr[index]
        take = (starts[..., None] + np.arange(self.width))[there]
        positions = np.zeros(there.shape, np.int32)
        counts = np.zeros(there.shape, np.float32)
        positions[there], counts[there] = self._counts.indices[take], self._counts.data[take]
        return positions, counts


class Trainer:
    """A network, its optimizer and its compiled functions, reusable for any counts of the same genes.

    Parameters
    ----------
    settings : NetworkSettings
    mode : {"eager", "graph", "compiled"}
        As of `reproduce.models.training.Trainer`.
    """

    def __init__(self, settings: NetworkSettings, mode: str):
        self.settings = settings
        self.network = network_of(settings)
        self.network.compile_optimizer()
        self._optimizer_start = [v.numpy() for v in self.network.optimizer.variables]
        self._run_steps = {
            "eager": self._steps_in_python,
            "graph": tf.function(self._steps, autograph=False, reduce_retracing=True),
            "compiled": tf.function(self._steps, autograph=False, jit_compile=True),
        }[mode]
        eager = mode == "eager"
        self.functions = {
            name: function if eager else tf.function(function, autograph=False, reduce_retracing=True)
            for name in ("terms", "latent", "expected", "further", "log_classes")
            if (function := getattr(self.network, name, None)) is not None
        }

    def fit(
        self,
        train: sparse.csr_matrix,
        validation: sparse.csr_matrix | None,
        settings: TrainingSettings,
        seed: int,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Fitted:
        """Train from fresh weights.

        Parameters
        ----------
        train : CSR matrix (n_cells, n_genes)
        validation : CSR matrix or None
            Cells for early stopping; None trains for all epochs and keeps the last weights.
        settings : TrainingSettings
        seed : int
            Decides starting weights, batches and noise.
        on_epoch : callable, optional
            Called with (epoch, validation ELBO).

        Returns
        -------
        Fitted
            The best epoch is that of the highest validation ELBO, the last without validation cells. Its history has
            one row an epoch: epoch, seconds, means over cells of `METRICS` and of count_sum, the largest log rate of
            all its steps that gave a number, and validation_elbo, validation_reconstruction, validation_divergence,
            validation_composition (NaN without validation cells).

        Raises
        ------
        DivergedError
            When the ELBO is no finite number.
        """
        seeds = np.random.SeedSequence(seed).generate_state(3)
        self.start(train, settings, seed)
        batch_size = min(settings.batch_size, train.shape[0])
        n_steps = -(-train.shape[0] // batch_size)
        records, best = [], None
        began = time.perf_counter()
        for epoch, totals in enumerate(self._epochs(train, settings, (n_steps, batch_size), int(seeds[1])), start=1):
            metrics = dict(zip((*METRICS, "count_sum"), totals[:-1] / n_steps, strict=True)) | {LARGEST: totals[-1]}
            check = self._validate(validation, batch_size, int(seeds[2]))
            records.append({"epoch": epoch, "seconds": time.perf_counter() - began, **metrics, **check})
            elbo = check["validation_elbo"]
            if not np.isfinite(totals[: len(METRICS)]).all() or np.isinf(elbo):
                raise DivergedError(
                    f"Training diverged in epoch {epoch} (ELBO {metrics['elbo']}, validation {elbo}); use a smaller "
                    "learning_rate, or rates='share'.",
                    pd.DataFrame(records),
                )
            if validation is None:
                best = (epoch, elbo, None)
            elif best is None or elbo > best[1]:
                best = (epoch, elbo, self.network.get_weights())
            elif settings.patience is not None and epoch - max(best[0], settings.warm_up_epochs) >= settings.patience:
                break
            if on_epoch is not None:
                on_epoch(epoch, elbo)
        weights = self.network.get_weights() if best[2] is None else best[2]
        return Fitted(weights, pd.DataFrame(records), best[0])

    def cells(
        self, name: str, weights: list[np.ndarray], counts: sparse.csr_matrix, *, n_draws: int = 0, seed: int = 0
    ) -> Iterator[dict[str, np.ndarray] | np.ndarray]:
        """What a function of the network gives for one block of cells after the other.

        Parameters
        ----------
        name : {"terms", "latent", "expected", "further", "log_classes"}
        weights : list of ndarray
        counts : CSR matrix
        n_draws : int
            For "terms": draws of the latent for each cell.
        seed : int
            Of the draws.

        Yields
        ------
        For "terms" a dict of arrays (n_draws, n_cells), else an array (n_cells, …).
        """
        self.network.set_weights(weights)
        yield from self._blocks(name, counts, 100, n_draws, seed)

    def _blocks(self, name: str, counts: sparse.csr_matrix, size: int, n_draws: int, seed: int):
        function, packer, rng = self.functions[name], Packer(counts), np.random.default_rng(seed)
        size = min(size, counts.shape[0])
        for start in range(0, counts.shape[0], size):
            # the last block repeats a cell, so that all have one shape
            index = np.minimum(np.arange(start, start + size), counts.shape[0] - 1)
            n = min(size, counts.shape[0] - start)
            inputs = [tf.constant(part) for part in packer.rows(index)]
            if name != "terms":
                yield function(*inputs).numpy()[:n]
                continue
            drawn = []
            for _ in range(n_draws):
                noise = rng.standard_normal((size, self.settings.n_noise), np.float32)
                drawn.append({key: v.numpy()[:n] for key, v in function(*inputs, tf.constant(noise)).items()})
            yield {key: np.stack([one[key] for one in drawn]) for key in drawn[0]}

    def _validate(self, validation: sparse.csr_matrix | None, batch_size: int, seed: int) -> dict[str, float]:
        names = ("elbo", "reconstruction", "divergence", "composition")
        names = tuple(f"validation_{name}" for name in names)
        if validation is None:
            return dict.fromkeys(names, float("nan"))
        # the same noise in each epoch: it must not decide which is best
        blocks = list(self._blocks("terms", validation, batch_size, 1, seed))
        parts = (*METRICS, "composition")
        mean = {name: float(np.concatenate([b[name][0] for b in blocks]).mean()) for name in parts}
        divergence = mean["latent_divergence"] + mean["class_divergence"]
        elbo = mean["elbo"] if np.isfinite(mean["elbo"]) else float("-inf")
        return dict(zip(names, (elbo, mean["reconstruction"], divergence, mean["composition"]), strict=True))

    def start(self, train: sparse.csr_matrix, settings: TrainingSettings, seed: int) -> list[np.ndarray]:
        """Set and return the weights from which `fit` starts."""
        self.network.set_weights(initial_weights(self.network, int(np.random.SeedSequence(seed).generate_state(1)[0])))
        for variable, value in zip(self.network.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)
        if settings.start == "profile":
            self.network.decoder.start_at(*starting_profile(train), _ZERO_LOGIT)
        return self.network.get_weights()

    def _epochs(
        self, train: sparse.csr_matrix, settings: TrainingSettings, shape: tuple[int, int], seed: int
    ) -> Iterator[np.ndarray]:
        """For each epoch sums over its steps, of `METRICS` and the mean library size, and the largest log rate."""
        n_steps, batch_size = shape
        packer = Packer(train)
        per_call = max(1, min(n_steps, PORTION_BYTES // (batch_size * packer.bytes_per_cell)))
        order = _batches(train.shape[0], settings.epochs, shape, seed)
        portions = [
            (epoch, start) for epoch in range(settings.epochs) for start in range(0, n_steps, per_call)
        ]  # fmt: skip

        def draw(number: int) -> tuple[tf.Tensor, ...]:
            epoch, start = portions[number]
            index = order[epoch][start : start + per_call]
            noise = np.random.default_rng([seed, number]).standard_normal(
                (*index.shape, self.settings.n_noise), np.float32
            )
            return (*(tf.constant(part) for part in packer.rows(index)), tf.constant(noise))

        with ThreadPoolExecutor(max_workers=1) as pool:
            drawn, totals, largest = pool.submit(draw, 0), 0.0, -np.inf
            for number, (epoch, start) in enumerate(portions):
                inputs = drawn.result()
                if number + 1 < len(portions):
                    drawn = pool.submit(draw, number + 1)
                warm_up = min(1.0, (epoch + 1) / settings.warm_up_epochs) if settings.warm_up_epochs else 1.0
                found = self._run_steps(*inputs, tf.constant(warm_up, tf.float32)).numpy().astype(float)
                totals = totals + np.append(found[:-1], inputs[1].numpy().sum() / batch_size)
                largest = max(largest, found[-1])
                if start + per_call >= n_steps:
                    yield np.append(totals, largest)
                    totals, largest = 0.0, -np.inf

    def _steps(self, positions: tf.Tensor, counts: tf.Tensor, noise: tf.Tensor, warm_up: tf.Tensor) -> tf.Tensor:
        """Run all steps; returns the sums of the metrics and the largest log rate (n_metrics + 1,)."""
        n_steps = tf.shape(positions)[0]

        def one_step(step: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, _gathered(totals, self._step(positions[step], counts[step], noise[step], warm_up))

        return tf.while_loop(lambda step, _: step < n_steps, one_step, (0, _nothing()), parallel_iterations=1)[1]

    def _steps_in_python(self, positions, counts, noise, warm_up):
        totals = _nothing()
        for step in range(len(positions)):
            totals = _gathered(totals, self._step(positions[step], counts[step], noise[step], warm_up))
        return totals

    def _step(self, positions, counts, noise, warm_up) -> tf.Tensor:
        batch = {"positions": positions, "counts": counts, "noise": noise, "warm_up": warm_up}
        metrics = self.network.train_step(batch)
        return tf.stack([metrics[name] for name in (*METRICS, LARGEST)])


def _nothing() -> tf.Tensor:
    """What steps are gathered onto."""
    return tf.constant([0.0] * len(METRICS) + [float("-inf")])


def _gathered(totals: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    # a step that came to no number must not wipe out how large rates had become: no number is not larger
    largest = tf.where(step[-1:] > totals[-1:], step[-1:], totals[-1:])
    return tf.concat([totals[:-1] + step[:-1], largest], axis=0)


def starting_profile(counts: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of each gene's mean count and of its dispersion by the method of moments.

    The variance is that around the gene's share of each cell's library, since the rates know the library's size:
    θ = Σ μ² / Σ ((x − μ)² − μ) over cells. A gene that was never counted gets half a count in all cells together.
    """
    n, library = counts.shape[0], np.asarray(counts.sum(axis=1), dtype=float).ravel()
    total = np.asarray(counts.sum(axis=0), dtype=float).ravel()
    squares = np.asarray(counts.astype(float).power(2).sum(axis=0)).ravel()
    share = total / library.sum()
    squared_means = share**2 * (library**2).sum()
    # Σ (x − μ)² = Σ x² − 2 p Σ n x + Σ μ²
    around = squares - 2.0 * share * (counts.T @ library) + squared_means
    dispersion = squared_means / np.maximum(around - total, 1e-12)
    profile = np.log(np.maximum(total, 0.5) / n)
    return profile.astype(np.float32), np.log(np.clip(dispersion, *_DISPERSIONS)).astype(np.float32)


@lru_cache(maxsize=8)
def trainer_for(settings: NetworkSettings, mode: str) -> Trainer:
    """The trainer of a layout, built and compiled once a process."""
    return Trainer(settings, mode)


def mode_for(n_cells: int, settings: TrainingSettings) -> str:
    """Cheapest way to train this long: "eager", "graph" or "compiled"."""
    return execution_mode(-(-n_cells // settings.batch_size) * settings.epochs)


def _batches(n_cells: int, epochs: int, shape: tuple[int, int], seed: int) -> Iterator[np.ndarray] | np.ndarray:
    """Cells (epochs, n_steps, batch_size): shuffled passes over the cells, one after the other."""
    total = epochs * shape[0] * shape[1]
    passes = np.tile(np.arange(n_cells, dtype=np.int32), (-(-total // n_cells), 1))
    return np.random.default_rng(seed).permuted(passes, axis=1).ravel()[:total].reshape(epochs, *shape)
