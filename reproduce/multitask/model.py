"""The network of all genes of a cluster as one computation over stacked weights; never loops over genes or factors.

For each gene: every factor's features → one unit (ReLU) → 64 → 32 → 16 (ReLU) → 1. The weights of all genes are stacked
along a first axis, and a layer of all genes is one batched product. The first layer's features are straight lines in
the expression (`reproduce.multitask.features`), so its weights w fold into one slope and one offset for each gene,
tissue and factor,

    unit = ReLU(e · Σ_f w_f slope_f  +  Σ_f w_f offset_f + bias)

and the five features never exist. What is minimised, with γ for `l1` and λ for `penalty`:

    mean over genes of (mean squared error + γ Σ |weights|) + λ · mean trace norm of the 64- and 32-unit layers
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from reproduce.multitask.trace_norm import trace_norm

#: What genes have in common: nothing but the penalty, all layers but the last, or every weight.
SHARED = ("nothing", "hidden", "everything")


@dataclass(frozen=True)
class Layout:
    """Sizes of the network.

    Parameters
    ----------
    n_genes, n_factors, n_tissues, n_features : int
    hidden_units : tuple of int
        Widths of the layers between the factors' units and the output.
    shared : {"nothing", "hidden", "everything"}
        See `SHARED`.
    """

    n_genes: int
    n_factors: int
    n_tissues: int
    n_features: int
    hidden_units: tuple[int, ...] = (64, 32, 16)
    shared: str = "nothing"

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the factors' units, the hidden layers and the output."""
        return (self.n_factors, *self.hidden_units, 1)

    def stacked(self, layer: int) -> int:
        """How many sets of weights a layer has; layer 0 is the factors'."""
        is_last = layer == len(self.hidden_units) + 1
        return 1 if self.shared == "everything" or (self.shared == "hidden" and not is_last) else self.n_genes


def starting_weights(layout: Layout, seed: int, start: str) -> list[np.ndarray]:
    """Kernels uniform within Glorot's limits, biases 0.

    Parameters
    ----------
    layout : Layout
    seed : int
    start : {"common", "own"}
        Whether all genes start from the same weights or each from its own.

    Returns
    -------
    list of ndarray of float32
        Kernel and bias of each layer: (n_genes, n_factors, n_features) and (n_genes, n_factors), then
        (n_genes, inputs, outputs) and (n_genes, 1, outputs).
    """
    rng = np.random.default_rng(seed)
    shapes = [((layout.n_factors, layout.n_features), (layout.n_factors,))]
    shapes += [((inputs, outputs), (1, outputs)) for inputs, outputs in zip(layout.widths, layout.widths[1:])]
    weights = []
    for layer, (kernel, bias) in enumerate(shapes):
        n = layout.stacked(layer)
        limit = np.sqrt(6.0 / (layout.n_features + 1 if layer == 0 else sum(kernel)))
        drawn = rng.uniform(-limit, limit, (1 if start == "common" else n, *kernel))
        weights += [np.broadcast_to(drawn, (n, *kernel)).astype(np.float32), np.zeros((n, *bias), np.float32)]
    return weights


class StackedNetworks(keras.Model):
    """Networks of all genes of a cluster.

    Parameters
    ----------
    layout : Layout

    Attributes
    ----------
    kernels, biases : list of variables
        Of each layer, the factors' first; the first axis is the gene's.
    """

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        self.kernels, self.biases = [], []
        for layer, (kernel, bias) in enumerate(_pairs(starting_weights(layout, 0, "common"))):
            self.kernels.append(self.add_weight(shape=kernel.shape, name=f"kernel_{layer}", initializer="zeros"))
            self.biases.append(self.add_weight(shape=bias.shape, name=f"bias_{layer}", initializer="zeros"))
        self.built = True

    def set_stacked(self, weights: list[np.ndarray]) -> None:
        """Take weights in the order of `starting_weights`."""
        for layer, (kernel, bias) in enumerate(_pairs(weights)):
            self.kernels[layer].assign(kernel)
            self.biases[layer].assign(bias)

    def get_stacked(self) -> list[np.ndarray]:
        """Weights in the order of `starting_weights`."""
        pairs = zip(self.kernels, self.biases, strict=True)
        return [variable.numpy() for pair in pairs for variable in pair]

    def call(self, expression: tf.Tensor, tissues: tf.Tensor, slopes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
        """Predicted velocities of each gene in its own cells.

        Parameters
        ----------
        expression : tensor (n_genes, n_cells, n_factors)
            Scaled, of the cells that each gene is asked for.
        tissues : tensor (n_genes, n_cells, n_tissues)
            1 for the cell's tissue, else 0.
        slopes, offsets : tensors (n_genes, n_tissues, n_factors, n_features)

        Returns
        -------
        tensor (n_genes, n_cells)
            Standardised.
        """
        kernel, bias = self._for_genes(0)
        slope = tf.einsum("gtf,gktf->gkt", kernel, slopes)
        offset = tf.einsum("gtf,gktf->gkt", kernel, offsets) + bias[:, None, :]
        units = tf.nn.relu(expression * tf.matmul(tissues, slope) + tf.matmul(tissues, offset))
        for layer in range(1, len(self.kernels)):
            kernel, bias = self._for_genes(layer)
            units = tf.einsum("gbi,gio->gbo", units, kernel) + bias
            if layer < len(self.kernels) - 1:
                units = tf.nn.relu(units)
        return units[:, :, 0]

    def l1(self) -> tf.Tensor:
        """Sum of the absolute weights of a gene's network, mean over the networks that there are."""
        return sum(tf.reduce_sum(tf.abs(kernel)) / kernel.shape[0] for kernel in self.kernels)

    def mean_trace_norm(self) -> tf.Tensor:
        """Of the first two hidden layers, each unfolded along the genes."""
        layers = self.kernels[1 : 1 + min(2, len(self.layout.hidden_units))]
        return sum(trace_norm(tf.convert_to_tensor(kernel)) for kernel in layers) / len(layers)

    def _for_genes(self, layer: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Kernel and bias with a first axis of genes, also where genes share them."""
        pair = tf.convert_to_tensor(self.kernels[layer]), tf.convert_to_tensor(self.biases[layer])
        if self.layout.stacked(layer) == self.layout.n_genes:
            return pair
        return tuple(tf.repeat(values, self.layout.n_genes, axis=0) for values in pair)


def _pairs(weights: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(weights[::2], weights[1::2], strict=True))
