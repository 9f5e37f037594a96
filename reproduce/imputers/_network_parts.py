"""What every imputer with a network keeps of it, and how a network reads covariates; never trains or predicts.

TensorFlow is imported when a network is built, not before, so that the closed-form methods start quickly.
"""

from __future__ import annotations

import numpy as np

from reproduce.imputers._covariates import Covariates


class NetworkKeeper:
    """Rebuilds a fitted network from its weights, so that copies of an imputer hold arrays only.

    For imputers that set ``_shape``, ``_settings``, ``network_weights_`` and ``_network`` (None) in `_fit`, and write
    ``_network_class()``.
    """

    def _network_class(self) -> type:
        raise NotImplementedError

    def _fitted_network(self):
        if self._network is None:
            self._network = self._network_class()(self._shape, self._settings)
            self._network.set_weights(self.network_weights_)
        return self._network

    def __getstate__(self) -> dict:
        state = super().__getstate__()
        return state | {"_network": None} if "_network" in state else state


def network_shape(n_genes: int, covariates: Covariates | None):
    """The `reproduce.models.layers.NetworkShape` for so many genes and these covariates."""
    from reproduce.models.layers import NetworkShape

    if covariates is None:
        return NetworkShape(n_genes)
    # a category that is unknown in every fitted row has nothing to embed
    n_categories = tuple(max(v, 1) for v in covariates.n_categories)
    return NetworkShape(n_genes, n_categories, covariates.numeric.shape[1])


def covariate_arrays(covariates: Covariates | None, n_samples: int) -> dict[str, np.ndarray]:
    """`codes` int32 (n_samples, n_categorical) and `numeric` float32 (n_samples, n_numeric); no columns for None."""
    if covariates is None:
        return {"codes": np.zeros((n_samples, 0), np.int32), "numeric": np.zeros((n_samples, 0), np.float32)}
    return {"codes": covariates.codes.astype(np.int32), "numeric": covariates.numeric.astype(np.float32)}
