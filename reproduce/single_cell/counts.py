"""Counts of cells × genes: reads, checks, simulates, divides and thins them; never trains on them.

Sources by name:

| name | what | cells × genes | labels |
| --- | --- | --- | --- |
| `mouse_nervous` | ``zeisel2018_mouse_nervous_*`` in the data folder's ``single_cell/`` (10x) | 1,342 × 27,998 | 3 |
| `pbmc` | ``pbmc68k_reduced``, which comes with scanpy (Zheng et al. 2017, 10x; no network) | 700 × 765 | 10 |
| `simulated` | negative binomial counts of five kinds of cell, drawn here | 700 × 500 | 5 |
| a path | any .h5ad: ``layers["counts"]`` if there is one, else ``X`` | | a column of `obs` |

"auto" takes the first of the three that is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.places import DATA_VARIABLE, data_folder

_MOUSE = "zeisel2018_mouse_nervous"
#: What scanpy's compact data set was rescaled to before its logarithm.
_PBMC_SCALE = 1e4
#: Shares of the cells that are trained on, decide when to stop, and are scored: 81 % and, in two parts, 19 %.
FRACTIONS = (0.81, 0.09, 0.10)
#: Validation over training cells, which the corrected t of divisions needs: what a seed draws again. The test cells are
#: the same for all seeds, so intervals speak of other training cells and other starts, not of other test cells.
OVERLAP = FRACTIONS[1] / FRACTIONS[0]


@dataclass(frozen=True)
class CountData:
    """Counts with names.

    Attributes
    ----------
    name : str
    source : str
        Where they come from, in a sentence.
    counts : CSR matrix of int32 (n_cells, n_genes)
    genes, cells : ndarray of str
    labels : ndarray of str (n_cells,)
        Kinds of cell; empty strings if unknown.
    simulated : bool
    """

    name: str
    source: str
    counts: sparse.csr_matrix
    genes: np.ndarray
    cells: np.ndarray
    labels: np.ndarray
    simulated: bool = False

    @property
    def n_labels(self) -> int:
        """Kinds of cell."""
        return len(set(self.labels) - {""})

    def fingerprint(self) -> str:
        """Digest of counts, names and labels."""
        digest = hashlib.sha256()
        for part in (self.counts.data, self.counts.indices, self.counts.indptr):
            digest.update(np.ascontiguousarray(part).tobytes())
        for names in (self.genes, self.labels):
            digest.update("\0".join(map(str, names)).encode())
        return digest.hexdigest()[:12]

    def rows(self, index: np.ndarray) -> CountData:
        """Some of the cells."""
        parts = {name: getattr(self, name)[index] for name in ("counts", "cells", "labels")}
        return replace(self, **parts)

    def most_variable(self, n: int) -> CountData:
        """The `n` genes that `variable_genes` names; 0: all. Cells in which none of these was counted are left out."""
        if not 0 < n < len(self.genes):
            return self
        chosen = variable_genes(self.counts, n)
        counts = self.counts[:, chosen]
        kept = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() > 0)
        return replace(self, counts=counts, genes=self.genes[chosen]).rows(kept)


def variable_genes(counts: sparse.csr_matrix, n: int) -> np.ndarray:
    """Positions of the `n` genes of the largest variance of log counts per median library size, in order; 0: all."""
    if not 0 < n < counts.shape[1]:
        return np.arange(counts.shape[1])
    scaled = log_normalised(counts)
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    variance = np.asarray(scaled.power(2).mean(axis=0)).ravel() - mean**2
    return np.sort(np.argsort(-variance, kind="stable")[:n])


def check_counts(X, *, cells: np.ndarray | None = None, genes: np.ndarray | None = None) -> sparse.csr_matrix:
    """Counts as a sparse matrix, or an error that names what is wrong.

    Parameters
    ----------
    X : array-like or sparse matrix (n_cells, n_genes)
    cells, genes : ndarray of str, optional
        For messages.

    Returns
    -------
    CSR matrix of int32, without explicit zeros, genes of each cell in order

    Raises
    ------
    DataFormatError
        For entries that are missing, infinite, negative or fractional, cells without any count, and no matrix at all.
    """
    if sparse.issparse(X):
        matrix = X.tocsr(copy=True)
    else:
        dense = np.asarray(X)
        if dense.dtype.kind not in "iuf":  # numbers of any width stay as they are: no second matrix
            try:
                dense = dense.astype(float)
            except (TypeError, ValueError) as error:
                raise DataFormatError(f"Counts must be numbers ({error}); give cells × genes.") from None
        if dense.ndim != 2:
            raise DataFormatError(f"Counts have {dense.ndim} dimensions; give a matrix, cells × genes.")
        matrix = sparse.csr_matrix(dense)
    if matrix.dtype.kind == "b":
        matrix = matrix.astype(np.int32)
    if 0 in matrix.shape:
        raise DataFormatError(f"Counts have the shape {matrix.shape}; at least one cell and one gene are needed.")
    matrix.sum_duplicates()
    values = matrix.data
    for wrong, what, remedy in (
        (np.isnan(values), "missing", "an auto-encoder of counts has no holes: leave the cell or the gene out"),
        (np.isinf(values), "infinite", "give raw counts"),
        (values < 0, "negative", "give raw counts, not scaled or centred values"),
        (values != np.floor(values), "fractional", "give raw counts, not normalised or logarithmic values"),
        (values > np.iinfo(np.int32).max, "beyond 2³¹", "give raw counts"),
    ):
        if wrong.any():
            first = int(np.argmax(wrong))
            row = int(np.searchsorted(matrix.indptr, first, side="right")) - 1
            where = f"cell {_name(cells, row)}, gene {_name(genes, int(matrix.indices[first]))}"
            raise DataFormatError(
                f"The count of {where} is {what} ({values[first]}; {int(wrong.sum())} such entries): {remedy}."
            )
    matrix.eliminate_zeros()
    matrix = sparse.csr_matrix(matrix.astype(np.int32))
    if (empty := np.flatnonzero(np.diff(matrix.indptr) == 0)).size:
        raise DataFormatError(
            f"Cell {_name(cells, int(empty[0]))} has no count above 0 ({empty.size} such cells); leave it out."
        )
    return matrix


def load_counts(source: str = "auto", *, label: str = "", n_genes: int = 0) -> CountData:
    """Counts by the name of their source.

    Parameters
    ----------
    source : str
        See the module's text.
    label : str, optional
        Column of `obs` with the kinds of cell, for a path.
    n_genes : int, default 0
        Keep this many genes, the most variable; 0 keeps all.

    Raises
    ------
    ConfigError
        For a source that there is not.
    DataFormatError
        For a file that does not hold counts.
    """
    if source == "auto":
        there = {"mouse_nervous": _mouse_files()[0].is_file(), "pbmc": _pbmc_file() is not None}
        source = next((name for name, found in there.items() if found), "simulated")
    readers = {"mouse_nervous": _read_mouse, "pbmc": _read_pbmc, "simulated": simulated_counts}
    if source in readers:
        return readers[source]().most_variable(n_genes)
    if Path(source).suffix != ".h5ad":
        raise ConfigError(f"Unknown counts {source!r}; give {', '.join(readers)}, 'auto', or a path to an .h5ad.")
    return _read_h5ad(Path(source), label).most_variable(n_genes)


def simulated_counts(n_cells: int = 700, n_genes: int = 500, n_kinds: int = 5, seed: int = 0) -> CountData:
    """Negative binomial counts: a tenth of the genes differs between kinds of cell, depth varies between cells.

    The dispersion θ of genes is 2.
    """
    rng = np.random.default_rng(seed)
    profiles = np.tile(rng.normal(0.0, 1.2, n_genes), (n_kinds, 1))
    profiles += (rng.random((n_kinds, n_genes)) < 0.1) * rng.normal(0.0, 1.5, (n_kinds, n_genes))
    shares = np.exp(profiles) / np.exp(profiles).sum(axis=1, keepdims=True)
    kinds = rng.integers(n_kinds, size=n_cells)
    rate = shares[kinds] * rng.lognormal(np.log(1_000.0), 0.4, (n_cells, 1))
    counts = check_counts(rng.poisson(rate * rng.standard_gamma(2.0, rate.shape) / 2.0))
    return CountData(
        "simulated",
        f"negative binomial counts of {n_kinds} kinds of cell, drawn by this project",
        counts,
        *_numbered(n_genes, n_cells),
        np.array([f"kind {kind + 1}" for kind in kinds]),
        simulated=True,
    )


def divide(n_cells: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the training, validation and test cells, by `FRACTIONS`.

    The test cells are the same for every seed, so that what is chosen by one seed's validation cells has not seen
    another's test cells; a seed divides the others.
    """
    n_train, n_validation = round(FRACTIONS[0] * n_cells), round(FRACTIONS[1] * n_cells)
    rest, test = np.split(np.random.default_rng(81).permutation(n_cells), [n_train + n_validation])
    rest = np.random.default_rng([seed, 81]).permutation(rest)
    parts = (*np.split(rest, [n_train]), test)
    if min(map(len, parts)) == 0:
        raise ConfigError(f"{n_cells} cells cannot be divided into {', '.join(map(str, FRACTIONS))}; give 20 at least.")
    return parts


def thin(counts: sparse.csr_matrix, held_out: float, seed: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Every molecule goes to the second part with probability `held_out`, else to the first.

    Of counts with rate λ the two parts are counts with rates (1 − held_out) λ and held_out · λ: independent ones if
    they are Poisson. This is what sequencing less deeply would have done.

    Returns
    -------
    visible, held_out : CSR matrices
        Their sum is `counts`.
    """
    taken = counts.copy()
    taken.data = np.random.default_rng([seed, 10]).binomial(counts.data, held_out).astype(counts.data.dtype)
    rest = counts - taken
    for part in (taken, rest):
        part.eliminate_zeros()
    return sparse.csr_matrix(rest), taken


def log_normalised(counts: sparse.csr_matrix, scale: float | None = None) -> sparse.csr_matrix:
    """log(1 + counts per `scale` counts of the cell), float64; by default the median library size."""
    library = np.asarray(counts.sum(axis=1), dtype=float).ravel()
    scale = float(np.median(library)) if scale is None else scale
    scaled = sparse.diags_array(scale / np.maximum(library, 1.0)) @ counts.astype(float)
    return sparse.csr_matrix(scaled.log1p())


# --- readers ---


def _mouse_files() -> tuple[Path, Path, Path]:
    folder = data_folder() / "single_cell"
    return tuple(folder / f"{_MOUSE}_{end}" for end in ("counts.npz", "genes.tsv.gz", "cells.tsv.gz"))


def _read_mouse() -> CountData:
    paths = _mouse_files()
    if absent := [path for path in paths if not path.is_file()]:
        raise ConfigError(f"{absent[0]} is not there; let {DATA_VARIABLE} name the folder that holds single_cell/.")
    matrix = sparse.load_npz(paths[0])
    genes = pd.read_csv(paths[1], sep="\t")["gene"].astype(str).to_numpy()
    table = pd.read_csv(paths[2], sep="\t")
    cells = table["cell_id"].astype(str).to_numpy()
    if matrix.shape != (len(cells), len(genes)):
        raise DataFormatError(f"{paths[0]} is {matrix.shape}, its tables name {len(cells)} cells, {len(genes)} genes.")
    counts = check_counts(matrix, cells=cells, genes=genes)
    source = "mouse nervous system, 10x (Zeisel et al. 2018), three kinds of cell"
    return CountData("mouse_nervous", source, counts, genes, cells, _labels(table["label"]))


def _pbmc_file() -> Path | None:
    """The file within scanpy, without importing scanpy."""
    package = find_spec("scanpy")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"
    return path if path.is_file() else None


def _read_pbmc() -> CountData:
    path = _pbmc_file()
    if path is None:
        raise ConfigError(
            "scanpy, which brings these counts, is not installed; install the project with its extra 'single-cell' "
            "(pip install 'reproduce[single-cell]'), or take other counts."
        )
    import warnings

    from anndata import read_h5ad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the file is of an older form, which is read all the same
        table = read_h5ad(path)
    # the file holds log(1 + 10,000 x / library size); the library size stands beside it
    logarithms = sparse.csr_matrix(table.raw.X).astype(float)
    scaled = sparse.diags_array(table.obs["n_counts"].to_numpy(float) / _PBMC_SCALE) @ logarithms.expm1()
    counts = sparse.csr_matrix(scaled)
    rounded = np.rint(counts.data)
    if np.abs(counts.data - rounded).max() > 0.2:
        raise DataFormatError(f"{path}: counts cannot be recovered from it; install scanpy 1.11.")
    counts.data = rounded
    cells, genes = (names.astype(str).to_numpy() for names in (table.obs_names, table.raw.var_names))
    return CountData(
        "pbmc",
        "peripheral blood, 10x (Zheng et al. 2017), as scanpy ships it: 765 genes that vary, ten kinds of cell",
        check_counts(counts, cells=cells, genes=genes),
        genes,
        cells,
        _labels(table.obs["bulk_labels"]),
    )


def _read_h5ad(path: Path, label: str) -> CountData:
    from anndata import read_h5ad

    if not path.is_file():
        raise ConfigError(f"{path} is not there.")
    try:
        table: AnnData = read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise DataFormatError(f"{path} cannot be read as .h5ad ({error}).") from error
    if label and label not in table.obs:
        raise ConfigError(f"{path} has no column {label!r} in obs; there are {', '.join(table.obs) or 'none'}.")
    cells, genes = (names.astype(str).to_numpy() for names in (table.obs_names, table.var_names))
    try:
        counts = check_counts(table.layers.get("counts", table.X), cells=cells, genes=genes)
    except DataFormatError as error:
        raise DataFormatError(f"{path}: {error}") from error
    labels = _labels(table.obs[label]) if label else np.full(len(cells), "")
    return CountData(path.stem, f"counts of {path.name}", counts, genes, cells, labels)


def _labels(column: pd.Series) -> np.ndarray:
    """Kinds of cell; a missing one is unknown, not a kind of its own."""
    return np.where(column.isna(), "", column.astype(str)).astype(str)


def _numbered(n_genes: int, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([f"gene{i + 1}" for i in range(n_genes)]), np.array([f"cell{i + 1}" for i in range(n_cells)])


def _name(names: np.ndarray | None, position: int) -> str:
    return f"{position} (from 0)" if names is None else str(names[position])
