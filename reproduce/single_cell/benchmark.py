"""Times one epoch on 16,200 × 27,998 sparse counts; never judges a fit.

    python -m reproduce.single_cell.benchmark

prints seconds of the first epoch (with compilation) and of the next, and the largest resident memory. scvi-tools, which
this project does not depend on, is timed on the same counts where it is installed:

    python -m reproduce.single_cell.benchmark --write counts.h5ad
    python -c "
    import time, anndata, scvi
    data = anndata.read_h5ad('counts.h5ad'); scvi.model.SCVI.setup_anndata(data)
    model = scvi.model.SCVI(data, n_hidden=100, n_layers=2, n_latent=10, gene_likelihood='nb', dispersion='gene')
    for name in ('first', 'second'):
        began = time.time(); model.train(max_epochs=1, train_size=1.0, batch_size=100, accelerator='cpu')
        print(name, 'epoch', round(time.time() - began, 1), 'seconds')"
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path

import numpy as np
from scipy import sparse


def simulated(n_cells: int, n_genes: int, *, density: float = 0.07, seed: int = 0) -> sparse.csr_matrix:
    """Sparse counts with about as many zeros as droplets give, and genes of unequal means."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.poisson(density * n_genes, n_cells), 1, n_genes)
    weights = np.cumsum(rng.lognormal(0.0, 2.0, n_genes))
    drawn = np.searchsorted(weights, rng.random(int(lengths.sum())) * weights[-1])
    rows = np.repeat(np.arange(n_cells), lengths)
    return sparse.csr_matrix((np.ones(len(drawn), np.int32), (rows, drawn)), (n_cells, n_genes))


def time_epochs(counts: sparse.csr_matrix, *, likelihood: str, hidden_units: tuple[int, ...], epochs: int = 3):
    """Seconds of each epoch, without the checks before the first."""
    from reproduce.single_cell.networks import NetworkSettings
    from reproduce.single_cell.training import Trainer, TrainingSettings

    trainer = Trainer(NetworkSettings(counts.shape[1], 10, hidden_units, likelihood), "compiled")
    history = trainer.fit(counts, None, TrainingSettings(epochs=epochs, patience=None), 0).history
    return np.diff(history["seconds"], prepend=0.0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=16_200)
    parser.add_argument("--genes", type=int, default=27_998)
    parser.add_argument("--likelihood", default="negative_binomial")
    parser.add_argument("--hidden", type=int, nargs="+", default=[100, 250])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--write", type=Path, metavar="H5AD", help="write the counts, for another program, and stop")
    given = parser.parse_args()
    counts = simulated(given.cells, given.genes)
    print(f"{given.cells} cells × {given.genes} genes, {counts.nnz / given.cells:.0f} genes counted in a cell")
    if given.write is not None:
        import anndata

        anndata.AnnData(counts.astype(np.float32)).write_h5ad(given.write)
        return
    seconds = time_epochs(
        counts, likelihood=given.likelihood, hidden_units=tuple(given.hidden), epochs=given.epochs
    )  # fmt: skip
    for number, value in enumerate(seconds, start=1):
        print(f"epoch {number}: {value:.1f} s")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
