"""What a network sees of a transcription factor, without ever writing it out; never trains.

Of factor t a gene g sees in a cell i of tissue k up to five features:

    expression e_it,  mean activity m_ktg,  summed activity s_ktg,  e_it · m_ktg,  e_it · s_ktg

each standardised over the gene's own training cells. Activities have one value for each factor, gene and tissue, none
for a cell, so in every tissue each feature is a straight line in the expression:

    feature_f = e_it · slope_ktgf + offset_ktgf

Only slopes and offsets are kept, (tissues × genes × factors × 5) numbers in place of cells × genes × factors × 5: 25
genes, 600 factors and 4,000 cells would take 1.2 GB. A layer that is linear in the features folds them into its weights
(see `reproduce.multitask.model`).

**What one tissue means.** Within one tissue m and s do not vary: standardised they are 0, and the two products are
copies of the expression, or 0. Nothing of the activities is left, whatever their values. They inform only where several
tissues are trained together; "all" features of a single tissue is therefore an error here, not five columns of which
four are empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reproduce.errors import ConfigError, DataFormatError

NAMES = ("expression", "mean activity", "summed activity", "expression × mean", "expression × sum")
#: A column whose standard deviation is below this share of its largest size does not vary.
_FLAT = 1e-5


@dataclass(frozen=True)
class Features:
    """Standardised features as straight lines in the scaled expression.

    Attributes
    ----------
    slopes, offsets : ndarray of float32 (n_genes, n_tissues, n_factors, n_features)
        Both 0 where a feature does not vary over the gene's training cells.
    centre, scale : ndarray of float32 (n_factors,)
        Expression enters as (expression − centre) / scale, over all training cells.
    """

    slopes: np.ndarray
    offsets: np.ndarray
    centre: np.ndarray
    scale: np.ndarray

    @property
    def inert(self) -> np.ndarray:
        """Features that do not vary, bool (n_genes, n_factors, n_features)."""
        return ~(self.slopes.any(axis=1) | self.offsets.any(axis=1))

    def scaled(self, expression: np.ndarray) -> np.ndarray:
        """Expression (n_cells, n_factors) as slopes and offsets expect it, float32."""
        return ((np.asarray(expression, np.float32) - self.centre) / self.scale).astype(np.float32)

    def of_gene(self, gene: int, scaled: np.ndarray, tissues: np.ndarray) -> np.ndarray:
        """All features of one gene written out, for methods that need columns.

        Parameters
        ----------
        gene : int
        scaled : ndarray (n_cells, n_factors)
            Of `scaled`.
        tissues : ndarray of int (n_cells,)

        Returns
        -------
        ndarray of float32 (n_cells, n_factors × n_features)
        """
        columns = scaled[:, :, None] * self.slopes[gene, tissues] + self.offsets[gene, tissues]
        return columns.reshape(len(scaled), -1)


def learn_features(
    expression: np.ndarray,
    used: np.ndarray,
    tissues: np.ndarray,
    n_tissues: int,
    activities: tuple[np.ndarray, np.ndarray] | None,
    factors: np.ndarray | None = None,
) -> Features:
    """Means and standard deviations of all features, from moments of the expression in each tissue.

    Parameters
    ----------
    expression : ndarray (n_cells, n_factors)
        Finite.
    used : ndarray of bool (n_cells, n_genes)
        Which cells each gene is trained on.
    tissues : ndarray of int (n_cells,)
    n_tissues : int
    activities : pair of ndarray (n_tissues, n_factors, n_genes), or None
        Mean and sum; None: the expression is the only feature.
    factors : ndarray of str, optional
        For the message.

    Raises
    ------
    ConfigError
        For activities of a single tissue, in which they say nothing.
    DataFormatError
        If no factor's expression varies over the training cells. Single ones that do not are inert: slopes of 0.
    """
    if activities is not None and (used.any(axis=1) @ (tissues[:, None] == np.arange(n_tissues)) > 0).sum() < 2:
        raise ConfigError(
            "Within one tissue activities are constants, and their products with the expression are copies of it: "
            "nothing of them is left after standardising. Train cells of several tissues together, or give "
            'features="expression".'
        )
    centre, scale, flat = _scaling(expression[used.any(axis=1)], factors)
    scaled, spread = ((expression - centre) / scale).astype(float), np.where(flat, 0.0, scale)
    sizes, sums, squares = _moments(scaled, used, tissues, n_tissues)
    n_genes, n_factors = used.shape[1], expression.shape[1]
    # the expression as it is: spread · scaled + centre; of a factor that does not vary nothing is learned (slope 0)
    ones, zeros = np.ones((n_genes, n_tissues, n_factors)), np.zeros((n_genes, n_tissues, n_factors))
    lines = [(ones * spread, ones * centre)]
    if activities is not None:
        mean, total = (np.moveaxis(np.asarray(values, float), 2, 0) for values in activities)
        lines += [(zeros, mean), (zeros, total)]
        lines += [(values * spread, values * centre) for values in (mean, total)]
    columns = [_standardised(slope, offset, sizes, sums, squares) for slope, offset in lines]
    slopes, offsets = (np.stack(parts, axis=-1).astype(np.float32) for parts in zip(*columns, strict=True))
    return Features(slopes, offsets, centre.astype(np.float32), scale.astype(np.float32))


def _scaling(expression: np.ndarray, factors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, standard deviations (1 where there is none), and which factors do not vary."""
    values = np.asarray(expression, float)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    flat = scale <= _FLAT * np.maximum(np.abs(values).max(axis=0), 1e-30)
    if flat.all():
        first = str(factors[0]) if factors is not None else "0 (from 0)"
        raise DataFormatError(
            f"The expression of factor {first} is the same in all training cells, and so it is for all {len(flat)} "
            "factors; give factors that vary."
        )
    return centre, np.where(flat, 1.0, scale), flat


def _moments(scaled, used, tissues, n_tissues) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of cells (n_genes, n_tissues, 1), sums and sums of squares (n_genes, n_tissues, n_factors)."""
    parts = []
    for tissue in range(n_tissues):
        here = tissues == tissue
        weights, values = used[here].T.astype(float), scaled[here]
        parts.append((weights.sum(axis=1, keepdims=True), weights @ values, weights @ values**2))
    return tuple(np.stack(moment, axis=1) for moment in zip(*parts, strict=True))


def _standardised(slope, offset, sizes, sums, squares) -> tuple[np.ndarray, np.ndarray]:
    """The line slope · scaled + offset, less its mean and over its standard deviation; 0 where it does not vary."""
    n_cells = sizes.sum(axis=1, keepdims=True)
    mean = (slope * sums + offset * sizes).sum(axis=1, keepdims=True) / n_cells
    centred = offset - mean  # before squaring, so that large means cost no digits
    variance = (slope**2 * squares + 2 * slope * centred * sums + centred**2 * sizes).sum(axis=1, keepdims=True)
    deviation = np.sqrt(np.maximum(variance / n_cells, 0.0))
    size = np.maximum(np.abs(offset), np.abs(slope)).max(axis=1, keepdims=True)
    varies = deviation > _FLAT * np.maximum(size, 1e-30)
    inverse = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0)
    return slope * inverse, centred * inverse
