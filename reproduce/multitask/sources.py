"""Velocities by the name of their source; never trains on them.

| name | what |
| --- | --- |
| `dentate_dynamical` | 100 cells of mouse dentate gyrus with scVelo's dynamical velocities; factors are no targets |
| `dentate_counts` | 100 other cells, spliced and unspliced counts; velocities by the steady-state model here |
| a folder | the tables of `reproduce.multitask.layout` |
| an .h5ad | an AnnData with a layer `velocity`, as scVelo writes it, and `var["factor"]` |

Both sets of dentate gyrus (Hochgerner et al. 2018, 10x) lie in ``mtlrank/`` of the data folder. They are excerpts from
the tests of CellRank and scVelo: far too few cells to train networks on, so they show that the path from files to
scores works, and little about methods.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from scipy import sparse

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.places import DATA_VARIABLE, data_folder
from reproduce.multitask.data import VelocityData, velocity_data
from reproduce.multitask.layout import read_layout

DENTATE = ("dentate_dynamical", "dentate_counts")
#: Of counts: genes and factors kept, those seen in the most cells.
_N_GENES, _N_FACTORS = 40, 60
#: Share of cells, at either end of a gene's counts, by which its steady state is found.
_EXTREME = 0.05


def load_velocities(source: str) -> VelocityData:
    """Cells of a source.

    Raises
    ------
    ConfigError
        For a source that there is not.
    DataFormatError
        For files that do not hold what they should.
    """
    readers = {"dentate_dynamical": _read_dynamical, "dentate_counts": _read_counts}
    if source in readers:
        return velocity_data(readers[source](), drop_constant=True)
    path = Path(source)
    if path.is_dir():
        return velocity_data(read_layout(path), drop_constant=True)
    if path.suffix == ".h5ad" and path.is_file():
        return velocity_data(read_h5ad(path), drop_constant=True)
    raise ConfigError(f"Unknown velocities {source!r}; give {', '.join(readers)}, a folder or an .h5ad that is there.")


def available_dentate() -> list[str]:
    """Those of the two sets whose files are there."""
    files = {"dentate_dynamical": "dentategyrus100b_velocity.tsv.gz", "dentate_counts": "dentategyrus100_spliced.npz"}
    return [name for name, file in files.items() if (_folder() / file).is_file()]


def steady_state_velocity(spliced: np.ndarray, unspliced: np.ndarray) -> np.ndarray:
    """u − γ s, γ the slope through the origin of u on s in the cells with the fewest and the most s + u of a gene.

    The steady-state model (La Manno et al. 2018), without pooling cells with their neighbours: pooled velocities of a
    test cell would be made of training cells. γ itself is one number a gene, found from all cells, test cells too.

    Parameters
    ----------
    spliced, unspliced : ndarray (n_cells, n_genes)
        Per cell in relation to its total.

    Returns
    -------
    ndarray (n_cells, n_genes)
        NaN for genes without a spliced count in the extreme cells.
    """
    low, high = np.quantile(spliced + unspliced, [_EXTREME, 1.0 - _EXTREME], axis=0)
    extreme = (spliced + unspliced <= low) | (spliced + unspliced >= high)
    squares = (spliced**2 * extreme).sum(axis=0)
    gamma = (spliced * unspliced * extreme).sum(axis=0) / np.where(squares > 0, squares, np.nan)
    return unspliced - gamma * spliced


def _folder() -> Path:
    return data_folder() / "mtlrank"


def _needed(name: str) -> Path:
    path = _folder() / name
    if not path.is_file():
        raise ConfigError(f"{path} is not there; let {DATA_VARIABLE} name the folder that holds mtlrank/.")
    return path


def _mouse_factors() -> set[str]:
    return set(_needed("tf_mouse_mgi.txt").read_text(encoding="utf-8").split())


def _read_dynamical() -> AnnData:
    expression, velocity = (
        pd.read_csv(_needed(f"dentategyrus100b_{name}.tsv.gz"), sep="\t", index_col=0)
        for name in ("lognorm_278genes", "velocity")
    )
    if list(expression.index) != list(velocity.index):
        raise DataFormatError("dentategyrus100b: velocities and expression are not of the same cells in one order.")
    names = expression.columns
    is_factor = names.isin(_mouse_factors())
    velocity = velocity.reindex(columns=names).to_numpy(np.float32)
    # a velocity is computed from the gene's own expression, which as a factor's would predict it
    velocity[:, is_factor] = np.nan
    return AnnData(
        expression.to_numpy(np.float32),
        pd.DataFrame(index=expression.index.astype(str)),
        pd.DataFrame({"factor": is_factor}, names.astype(str)),
        layers={"velocity": velocity},
        uns={"source": "mouse dentate gyrus, 100 cells, scVelo's dynamical velocities"},
    )


def _read_counts() -> AnnData:
    spliced, unspliced = (
        sparse.load_npz(_needed(f"dentategyrus100_{name}.npz")).toarray().astype(float)
        for name in ("spliced", "unspliced")
    )
    genes = pd.read_csv(_needed("dentategyrus100_genes.tsv.gz"), sep="\t")["gene"].astype(str)
    cells = pd.read_csv(_needed("dentategyrus100_cells.tsv"), sep="\t")["cell_id"].astype(str)
    if not spliced.shape == unspliced.shape == (len(cells), len(genes)):
        raise DataFormatError(f"dentategyrus100: {spliced.shape} counts, {len(cells)} cells and {len(genes)} genes.")
    is_factor = genes.isin(_mouse_factors()).to_numpy()
    factors = _most_seen(np.where(is_factor, (spliced > 0).sum(axis=0), -1), _N_FACTORS)
    targets = _most_seen(np.where(is_factor, -1, (unspliced > 0).sum(axis=0)), _N_GENES)
    scale = np.median(spliced.sum(axis=1))
    spliced *= scale / spliced.sum(axis=1, keepdims=True)
    unspliced *= np.median(unspliced.sum(axis=1)) / unspliced.sum(axis=1, keepdims=True)
    chosen = np.sort(np.concatenate([factors, targets]))
    velocity = steady_state_velocity(spliced[:, chosen], unspliced[:, chosen])
    velocity[:, is_factor[chosen]] = np.nan
    return AnnData(
        np.log1p(spliced[:, chosen]).astype(np.float32),
        pd.DataFrame(index=cells.to_numpy()),
        pd.DataFrame({"factor": is_factor[chosen]}, genes[chosen].to_numpy()),
        layers={"velocity": velocity.astype(np.float32)},
        uns={
            "source": "mouse dentate gyrus, 100 cells, steady-state velocities of raw counts (γ found from all cells)"
        },
    )


def _most_seen(counts: np.ndarray, n: int) -> np.ndarray:
    return np.argsort(-counts, kind="stable")[:n]
