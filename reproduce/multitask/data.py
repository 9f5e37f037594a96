"""Velocities, expression of factors and their activities as aligned arrays, to and from AnnData; never reads a file.

The container is an `anndata.AnnData` (scVelo's): ``X`` expression of all genes, on a logarithmic scale;
``layers["velocity"]``, NaN where a gene has none; ``obs["tissue"]`` (absent: one tissue); ``var["factor"]``, True for
transcription factors; and, for each tissue, ``varm["mean_activity:TISSUE"]`` and ``varm["summed_activity:TISSUE"]``,
tables of genes × factors whose columns are named. What is computed with is `VelocityData`, a view of it by arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from reproduce.errors import ConfigError, DataFormatError

#: Share of the cells of each tissue that a replicate scores.
TEST_FRACTION = 0.1
MEAN, TOTAL = "mean_activity:", "summed_activity:"
_ONE_TISSUE = "all cells"


@dataclass(frozen=True)
class VelocityData:
    """Cells with velocities of genes and expression of factors.

    Attributes
    ----------
    source : str
        Where they come from, in a sentence.
    expression : ndarray of float32 (n_cells, n_factors)
        Finite; logarithmic.
    velocity : ndarray of float32 (n_cells, n_genes)
        NaN where a gene has none.
    tissues : ndarray of int (n_cells,)
        Positions in `tissue_names`.
    cells, factors, genes, tissue_names : ndarray of str
    activities : pair of ndarray of float32 (n_tissues, n_factors, n_genes), or None
        Mean and sum.
    regulation : ndarray of float (n_factors, n_genes), optional
        Weight with which a factor regulates a gene, 0 if it does not; known of simulated cells only.
    modules : ndarray of int (n_genes,), optional
        Which genes have a programme in common; known of simulated cells only.
    truth : ndarray of float32 (n_cells, n_genes), optional
        Velocity without noise, for simulated cells.
    """

    source: str
    expression: np.ndarray
    velocity: np.ndarray
    tissues: np.ndarray
    cells: np.ndarray
    factors: np.ndarray
    genes: np.ndarray
    tissue_names: np.ndarray
    activities: tuple[np.ndarray, np.ndarray] | None = None
    regulation: np.ndarray | None = field(default=None, repr=False)
    modules: np.ndarray | None = field(default=None, repr=False)
    truth: np.ndarray | None = field(default=None, repr=False)

    @property
    def simulated(self) -> bool:
        """Whether a simulator drew them."""
        return self.regulation is not None

    def fingerprint(self) -> str:
        """Digest of values and names."""
        digest = hashlib.sha256()
        for values in (self.expression, self.velocity, self.tissues, *(self.activities or ())):
            digest.update(np.ascontiguousarray(values).tobytes())
        for names in (self.factors, self.genes, self.tissue_names):
            digest.update("\0".join(map(str, names)).encode())
        return digest.hexdigest()[:12]

    def rows(self, index: np.ndarray) -> VelocityData:
        """Some of the cells."""
        parts = {name: getattr(self, name)[index] for name in ("expression", "velocity", "tissues", "cells")}
        return replace(self, **parts, truth=None if self.truth is None else self.truth[index])

    def some_genes(self, index: np.ndarray) -> VelocityData:
        """Some of the genes."""
        activities = None if self.activities is None else tuple(values[:, :, index] for values in self.activities)
        kept = {"velocity": self.velocity[:, index], "genes": self.genes[index], "activities": activities}
        for name in ("regulation", "truth"):
            values = getattr(self, name)
            kept[name] = None if values is None else values[:, index]
        return replace(self, **kept, modules=None if self.modules is None else self.modules[index])

    def measured(self, least: int) -> VelocityData:
        """The genes that have a velocity in more than `least` cells.

        Raises
        ------
        DataFormatError
            If there is none.
        """
        counts = np.isfinite(self.velocity).sum(axis=0)
        kept = np.flatnonzero(counts > least)
        if not kept.size:
            raise DataFormatError(
                f"No gene has a velocity in more than {least} cells (the most: {counts.max(initial=0)}); lower the "
                "threshold."
            )
        return self.some_genes(kept)


def divide(data: VelocityData, seed: int, fraction: float = TEST_FRACTION) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training and test cells, a `fraction` of each tissue for testing.

    Cells are divided, not pairs of cell and gene: a test cell is one for all genes, so that none trains on a cell
    that another is scored in.

    Raises
    ------
    ConfigError
        For a tissue too small to be divided.
    """
    rng = np.random.default_rng([seed, 10])
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for tissue, name in enumerate(data.tissue_names):
        order = rng.permutation(np.flatnonzero(data.tissues == tissue))
        n_test = round(fraction * len(order))
        if n_test == 0:
            raise ConfigError(f"{len(order)} cells of {name} leave none for testing; give more cells.")
        parts[0].append(order[n_test:])
        parts[1].append(order[:n_test])
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def sample_velocities(velocity: np.ndarray, n_cells: int, seed: int) -> np.ndarray:
    """Velocities of at most `n_cells` cells for each gene, drawn gene by gene; all others NaN.

    Parameters
    ----------
    velocity : ndarray (n_cells, n_genes)
    n_cells : int
        0: all.
    seed : int
    """
    if n_cells == 0:
        return velocity
    draws = np.random.default_rng([seed, 11]).random(velocity.shape)
    draws[~np.isfinite(velocity)] = np.inf
    rank = draws.argsort(axis=0).argsort(axis=0)
    return np.where(rank < n_cells, velocity, np.float32(np.nan))


# --- AnnData ---


def velocity_data(
    adata: AnnData, *, factors: Sequence[str] | None = None, tissue_key: str = "tissue", drop_constant: bool = False
) -> VelocityData:
    """Arrays of a container, aligned by name.

    Parameters
    ----------
    adata : AnnData
        See the module's text; `X` may be sparse.
    factors : sequence of str, optional
        Names of transcription factors, of which those that `adata` has are taken; by default ``var["factor"]``.
    tissue_key : str, default "tissue"
        Column of `obs`; without it all cells are of one tissue.
    drop_constant : bool, default False
        Leave factors out whose expression is the same in all cells, instead of raising.

    Raises
    ------
    DataFormatError
        For a container without velocities, factors, or activities of a tissue while others have them; for names that
        do not match, factors that do not vary, and expression that is missing.
    """
    velocity = _velocities(adata)
    kept_genes = np.isfinite(velocity).any(axis=0)
    if not kept_genes.any():
        raise DataFormatError('layers["velocity"] has no number in it; run scVelo\'s velocity first.')
    names = _factor_names(adata, factors)
    expression = _dense(adata[:, names].X)
    if not np.isfinite(expression).all():
        row, column = np.argwhere(~np.isfinite(expression))[0]
        raise DataFormatError(
            f"The expression of {names[column]} in cell {adata.obs_names[row]} is {expression[row, column]}; networks "
            "need it in every cell: leave the cell or the factor out."
        )
    flat = expression.min(axis=0) == expression.max(axis=0)
    if flat.any() and not drop_constant:
        raise DataFormatError(
            f"The expression of factor {names[np.argmax(flat)]} is the same in all cells ({flat.sum()} such factors); "
            "leave them out, or give drop_constant=True."
        )
    if flat.all():
        raise DataFormatError("No factor's expression varies between cells; check that X holds expression.")
    names, expression = names[~flat], expression[:, ~flat]
    one = pd.Series(_ONE_TISSUE, index=adata.obs_names)
    tissues = adata.obs.get(tissue_key, one).astype(str)
    tissue_names = np.unique(tissues.to_numpy().astype(str))
    genes = adata.var_names[kept_genes].to_numpy().astype(str)
    return VelocityData(
        source=str(adata.uns.get("source", "cells of the AnnData given")),
        expression=expression,
        velocity=velocity[:, kept_genes],
        tissues=np.searchsorted(tissue_names, tissues.to_numpy().astype(str)),
        cells=adata.obs_names.to_numpy().astype(str),
        factors=names,
        genes=genes,
        tissue_names=tissue_names,
        activities=_activities(adata, tissue_names, names, genes),
    )


def as_anndata(data: VelocityData) -> AnnData:
    """The container of arrays: what `velocity_data` reads back as it was, but for what only a simulator knows."""
    names = np.array(list(dict.fromkeys([*data.factors, *data.genes])))
    position = {name: place for place, name in enumerate(names)}
    at_factors, at_genes = ([position[name] for name in part] for part in (data.factors, data.genes))
    expression = np.zeros((len(data.cells), len(names)), np.float32)
    velocity = np.full_like(expression, np.nan)
    expression[:, at_factors], velocity[:, at_genes] = data.expression, data.velocity
    var = pd.DataFrame({"factor": np.isin(names, data.factors), "velocity_genes": np.isin(names, data.genes)}, names)
    obs = pd.DataFrame({"tissue": data.tissue_names[data.tissues]}, data.cells)
    adata = AnnData(expression, obs, var, layers={"velocity": velocity}, uns={"source": data.source})
    for prefix, values in zip((MEAN, TOTAL), data.activities or (), strict=False):
        for tissue, name in enumerate(data.tissue_names):
            table = np.zeros((len(names), len(data.factors)), np.float32)
            table[at_genes] = values[tissue].T
            adata.varm[f"{prefix}{name}"] = pd.DataFrame(table, names, data.factors)
    return adata


def _velocities(adata: AnnData) -> np.ndarray:
    if "velocity" not in adata.layers:
        there = ", ".join(adata.layers) or "none"
        raise DataFormatError(f'The AnnData has no layer "velocity" (layers: {there}); scVelo\'s tl.velocity makes it.')
    return _dense(adata.layers["velocity"])


def _factor_names(adata: AnnData, factors: Sequence[str] | None) -> np.ndarray:
    if factors is None:
        if "factor" not in adata.var:
            raise DataFormatError('The AnnData does not say which genes are factors; give `factors` or var["factor"].')
        names = adata.var_names[adata.var["factor"].to_numpy(bool)]
    else:
        names = adata.var_names[adata.var_names.isin(list(factors))]
    if not len(names):
        first = f", such as {next(iter(factors))}" if factors is not None and len(factors) else ""
        raise DataFormatError(
            f"None of the factors{first} is a gene of the AnnData (its first is {adata.var_names[0]}): are they named "
            "by the same kind of id, and for the same species?"
        )
    return names.to_numpy().astype(str)


def _activities(adata, tissue_names, factors, genes) -> tuple[np.ndarray, np.ndarray] | None:
    wanted = [[f"{prefix}{name}" for name in tissue_names] for prefix in (MEAN, TOTAL)]
    absent = [key for keys in wanted for key in keys if key not in adata.varm]
    if len(absent) == 2 * len(tissue_names):
        return None
    if absent:
        raise DataFormatError(f"varm has no {absent[0]!r}, though it has other activities; give all tissues' or none.")
    return tuple(np.stack([_activity(adata, key, factors, genes) for key in keys]) for keys in wanted)


def _activity(adata: AnnData, key: str, factors: np.ndarray, genes: np.ndarray) -> np.ndarray:
    table = adata.varm[key]
    if not isinstance(table, pd.DataFrame):
        raise DataFormatError(f"varm[{key!r}] has no names of factors; give a DataFrame, genes × factors.")
    if len(absent := np.setdiff1d(factors, table.columns.astype(str))):
        raise DataFormatError(
            f"varm[{key!r}] has no column for factor {absent[0]} ({len(absent)} such factors); leave the factors out, "
            "or give their activities."
        )
    values = table.set_axis(table.columns.astype(str), axis=1).loc[genes, factors].to_numpy(np.float32).T
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataFormatError(f"varm[{key!r}]: the activity of {factors[row]} at {genes[column]} is no number.")
    return values


def _dense(values) -> np.ndarray:
    return np.asarray(values.toarray() if sparse.issparse(values) else values, np.float32)
