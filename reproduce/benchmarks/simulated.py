"""Draws the benchmark's rows from laws that are known, whole or block by block; never real data and never a fit.

Whole transcriptomes are drawn a block at a time by a seed of its own, so that the truth can be drawn again where it is
needed and is never held:

    x = m_t + L f + s ∘ e,    f, e ~ N(0, I),    with a mean m_t for each of 49 tissues.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from reproduce.loaders.study import Study

N_TISSUES, N_FACTORS = 49, 40
#: Share of a gene's variance within a tissue that is noise: from, to; sd of tissues' means in units of that sd.
NOISE_SHARES, TISSUE_SD = (0.1, 0.5), 0.7
#: Rows drawn by one seed; blocks of them that R² is computed on.
DRAWN_ROWS, SCORED_BLOCKS = 500, 3
#: Factors behind the rows of the study's size.
FEW_FACTORS = 10


def study_rows(n_samples: int, n_genes: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows (n_samples, n_genes) of low-rank structure with as much noise, and covariates as the study has them."""
    generator = np.random.default_rng(seed)
    loadings = generator.normal(size=(FEW_FACTORS, n_genes))  # first, so that a seed has one law at every size
    X = generator.normal(size=(n_samples, FEW_FACTORS)) @ loadings
    X += generator.normal(size=X.shape)
    covariates = pd.DataFrame(
        {
            "tissue": generator.choice(["Lung", "Colon - Transverse"], n_samples),
            "sex": generator.choice(["female", "male"], n_samples),
            "age": generator.uniform(20, 75, n_samples),
        }
    )
    return X, covariates


def hidden_entries(shape: tuple[int, int], missing_rate: float, seed: int) -> np.ndarray:
    """Entries to hide, bool (n_samples, n_genes)."""
    return np.random.default_rng([seed, 1]).random(shape) < missing_rate


def simulated_study(n_samples: int, n_genes: int, seed: int) -> Study:
    """`study_rows` as a study of one cohort, a donor for each row."""
    from anndata import AnnData

    from reproduce.loaders.study import Study

    X, covariates = study_rows(n_samples, n_genes, seed)
    obs = covariates.assign(donor=[f"donor {row}" for row in range(n_samples)])
    obs.index = [f"sample {row}" for row in range(n_samples)]
    var = pd.DataFrame(index=[f"gene {gene}" for gene in range(n_genes)])
    cohorts = {"GTEx": AnnData(X=X.astype(np.float32), obs=obs, var=var)}
    name = f"benchmark-{n_samples}-{n_genes}-{seed}"
    return Study(name, "Rows of the benchmark", cohorts, is_real=False, notes=(), fingerprint=name)


class SimulatedRows:
    """Rows of a known law, drawn block by block; attributes as in the module's equation.

    Parameters
    ----------
    n_rows, n_genes : int
    missing_rate : float
    seed : int
        Of the law and of the rows.
    """

    def __init__(self, n_rows: int, n_genes: int, missing_rate: float, seed: int):
        self.n_rows, self.n_genes, self.missing_rate, self.seed = n_rows, n_genes, missing_rate, seed
        generator = np.random.default_rng([seed, 0])
        loadings = generator.standard_normal((n_genes, N_FACTORS)) * np.geomspace(3, 0.5, N_FACTORS)
        noise = generator.uniform(*NOISE_SHARES, n_genes)
        loadings *= (np.sqrt(1 - noise) / np.linalg.norm(loadings, axis=1))[:, None]
        self.loadings, self.noise = loadings.astype(np.float32), noise.astype(np.float32)
        self.means = generator.normal(7, TISSUE_SD, (N_TISSUES, n_genes)).astype(np.float32)
        self.tissues = np.arange(n_rows) % N_TISSUES

    @property
    def tissue_names(self) -> list[str]:
        """Label of every row's tissue."""
        return [f"tissue {tissue}" for tissue in self.tissues]

    def blocks(self) -> list[slice]:
        """Slices of rows that one seed draws."""
        starts = range(0, self.n_rows, DRAWN_ROWS)
        return [slice(start, min(start + DRAWN_ROWS, self.n_rows)) for start in starts]

    def draw(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """One of the blocks: values in float32, and which entries are hidden, both (n_rows, n_genes)."""
        # the fastest of numpy's generators; a byte an entry decides what is hidden
        generator = np.random.Generator(np.random.SFC64([self.seed, 1, rows.start]))
        n = rows.stop - rows.start
        X = generator.standard_normal((n, self.n_genes), dtype=np.float32)
        X *= np.sqrt(self.noise)
        X += generator.standard_normal((n, N_FACTORS), dtype=np.float32) @ self.loadings.T
        X += self.means[self.tissues[rows]]
        hidden = np.frombuffer(generator.bytes(n * self.n_genes), np.uint8) < round(256 * self.missing_rate)
        return X, hidden.reshape(n, self.n_genes)

    def with_holes(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All blocks with NaN where hidden."""
        for rows in self.blocks():
            X, hidden = self.draw(rows)
            X[hidden] = np.nan
            yield rows, X

    def scores(self, filled: object, first: int = 0) -> dict[str, float]:
        """R² on hidden entries, of what was filled and of the law itself, over the last blocks of rows.

        Parameters
        ----------
        filled : object
            Gives rows by ``filled[start:stop]``, from row `first` of the matrix on.
        first : int
            Where a block starts.

        Returns
        -------
        dict
            ``r2`` and ``against_r2``, the law's, which nothing can better by more than chance.
        """
        from reproduce.imputers._low_rank_normal import LowRankNormal, conditional_mean

        law = LowRankNormal.of(self.loadings, self.noise)
        whole = [rows for rows in self.blocks() if rows.start >= first]
        center = self.means.mean(axis=0)
        total = errors = least = 0.0
        for rows in whole[-SCORED_BLOCKS:]:
            X, hidden = self.draw(rows)
            means = self.means[self.tissues[rows]]
            best = means + conditional_mean(np.where(hidden, 0, X - means), ~hidden, law)
            found = np.asarray(filled[rows.start - first : rows.stop - first])
            total += np.sum(np.square(X - center), where=hidden, dtype=np.float64)
            errors += np.sum(np.square(X - found), where=hidden, dtype=np.float64)
            least += np.sum(np.square(X - best), where=hidden, dtype=np.float64)
        return {"r2": 1 - errors / total, "against_r2": 1 - least / total}
