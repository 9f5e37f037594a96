"""Draws 49 tissues of 838 donors along a tissue tree, and knows the best R² attainable; never reads real data.

The cohort stands in for all of GTEx v8 where no data have been downloaded: its 49 tissues, their sizes (15,201 samples
whose donors have a genotype, as in the paper), its donors' sex and age. The genes are invented: the constants were set
by hand near what 59 genes of GTEx v8 show, together and not one by one.

For a sample of tissue t and donor d, with covariates c and the genes' expression y = log1p(count):

    y = m + a_t + B c + L_t f + s ∘ e,    f = √h g_d + √(1 - h) g_i,    g_d, g_i ~ N(0, I),  e ~ N(0, I)

- ``m``: mean of each gene; ``a_t``: tissue effect, a random walk from the tree's root to the tissue.
- ``L_t`` (n_genes, n_factors): loadings, which also change along the tree, so that near tissues correlate their genes
  alike. The first factor moves most genes one way, as sequencing depth and quality do.
- ``g_d``: the donor's part of the factors, the same in all its tissues; ``h`` its share. So blood tells of the others.
- ``B c``: effects of sex (male = 1) and of decades of age around 60; ``s``: each gene's own noise.

No matrix of genes × genes is formed, here or in the conditional expectation, so whole transcriptomes fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reproduce.errors import ConfigError
from reproduce.loaders.container import make_cohort, refuse_duplicates, some
from reproduce.loaders.embedded import GTEX_UNITS, Truth, covariate_design
from reproduce.loaders.gene_sets import GeneSet, gene_set
from reproduce.loaders.gtex_tissues import read_tissue_csv, tissue_table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "N_DONORS",
    "N_GENES",
    "PROTEIN_CODING_GENES",
    "TissueCohort",
    "TissueLaw",
    "TissueTruth",
    "simulate_tissues",
]

N_DONORS = 838  # GTEx v8's donors with RNA-seq and a genotype
N_GENES = 100
PROTEIN_CODING_GENES = 12_557  # of the paper's largest gene set
SOURCE = "embedded tissues, simulated by reproduce.loaders.tissue_simulator"

# Means of log1p(count), and of tissues' departures from them; unitless shares are of a gene's variance within a tissue.
_GENE_MEAN, _GENE_MEAN_SD = 6.7, 1.6
_CEILING = 13.0  # 440,000 reads
_CONTRAST, _CONTRAST_SPREAD = 1.2, 0.5  # how strongly a gene differs between tissues: root mean square, sd of logarithm
_WITHIN_SD, _WITHIN_SPREAD, _WITHIN_RANGE = 0.6, 0.4, (0.3, 1.4)  # median over genes, sd of its logarithm, limits
_FACTOR_SHARES = np.array([0.45, 0.13, 0.08, 0.05, 0.035, 0.03, 0.02, 0.02])
_FIRST_FACTOR_MEAN = 0.8  # of loadings with mean square 1
_LOADINGS_CHANGE = 0.15  # loadings a step of length s apart correlate exp(-0.15 s²)
_DONOR_SHARE = 0.3
_MALE_SD, _DECADE_SD = 0.05, 0.03  # effects, in sd of the gene within a tissue
# Donors: how differently complete they are, and the share of them whose brain was collected (382 of 948 in GTEx v8).
_COMPLETENESS_SD = 0.7
_BRAIN_SHARE = 382 / 948
_GENES_AT_ONCE = 1_000


@dataclass(frozen=True)
class TissueLaw:
    """The Gaussian law of log1p expression in one tissue.

    Attributes
    ----------
    mean : ndarray (n_genes,)
        Of a woman of 60.
    effects : ndarray (n_genes, 2)
        Per male sex and per decade of age around 60.
    loadings : ndarray (n_genes, n_factors)
        The covariance is ``loadings @ loadings.T + diag(noise**2)``.
    noise : ndarray (n_genes,)
    """

    mean: np.ndarray
    effects: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    def conditional_log1p(self, log1p: np.ndarray, design: np.ndarray) -> np.ndarray:
        """Fill NaN by the conditional expectation given the sample's own visible genes and its covariates.

        Parameters
        ----------
        log1p : ndarray (n_samples, n_genes), NaN = hidden
        design : ndarray (n_samples, 2), from `covariate_design`

        Notes
        -----
        With precisions w_j = 1/s_j² of the visible genes and 0 of the hidden ones, the factors' conditional mean is
        (I + L' W L)⁻¹ L' W r for the residuals r, one small system a sample.
        """
        expected = self.mean + design @ self.effects.T
        precision = np.where(np.isnan(log1p), 0.0, self.noise**-2)
        residual = np.where(np.isnan(log1p), 0.0, log1p - expected)
        n_factors = self.loadings.shape[1]
        squares = (self.loadings[:, :, None] * self.loadings[:, None, :]).reshape(-1, n_factors**2)
        system = (precision @ squares).reshape(-1, n_factors, n_factors) + np.eye(n_factors)
        factors = np.linalg.solve(system, ((precision * residual) @ self.loadings)[..., None])[..., 0]
        return np.where(np.isnan(log1p), expected + factors @ self.loadings.T, log1p)


class TissueTruth(Truth):
    """The law behind the embedded tissues: the best that any imputation could do that sees one sample.

    What is conditioned on: the sample's own visible genes, its tissue, its donor's sex and age; not the donor's other
    tissues, by which a method could do better still. That counts are whole and not negative is ignored, as it matters
    only for genes of a few reads. ``laws`` is keyed by tissue; memory grows as samples × genes in double precision.
    """

    def oracle_impute(self, cohort_name: str, X_visible: np.ndarray | pd.DataFrame, obs: pd.DataFrame) -> np.ndarray:
        """Fill the hidden entries by their conditional expectation under the true law.

        Parameters
        ----------
        cohort_name : {"GTEx"}
        X_visible : array or DataFrame (n_samples, n_genes)
            log1p expression, NaN where hidden, genes in the order of the cohort (a data frame is matched by name).
        obs : DataFrame (n_samples, ...)
            Columns ``tissue``, ``sex``, ``age``, all known.

        Returns
        -------
        ndarray (n_samples, n_genes)
            log1p expression; visible entries unchanged.

        Raises
        ------
        ConfigError
            Unknown cohort or tissue, unknown covariates, or a matrix that does not fit the cohort's genes.
        """
        X = self._checked(cohort_name, X_visible, obs)
        filled = X.copy()
        for tissue in obs["tissue"].unique():
            rows = (obs["tissue"] == tissue).to_numpy()
            design = covariate_design(obs.loc[rows, "sex"], obs.loc[rows, "age"])
            filled[rows] = self.laws[tissue].conditional_log1p(X[rows], design)
        return filled

    def _checked(self, cohort_name: str, X: np.ndarray | pd.DataFrame, obs: pd.DataFrame) -> np.ndarray:
        if cohort_name not in self.cohorts:
            raise ConfigError(f"unknown cohort {cohort_name!r}; one of {', '.join(self.cohorts)}.")
        genes = list(self.cohorts[cohort_name].var_names)
        if isinstance(X, pd.DataFrame):
            if absent := [gene for gene in genes if gene not in X.columns]:
                raise ConfigError(f"{cohort_name}: X_visible lacks the genes {some(absent)}.")
            X = X[genes]
        X = np.asarray(X, dtype=float)
        if X.shape != (len(obs), len(genes)):
            raise ConfigError(f"{cohort_name}: X_visible has shape {X.shape}, expected {(len(obs), len(genes))}.")
        if np.isinf(X).any() or (X < 0).any():
            raise ConfigError(f"{cohort_name}: X_visible must hold log1p expression, finite and not negative, or NaN.")
        if strange := sorted(set(obs["tissue"]) - set(self.laws)):
            raise ConfigError(f"{cohort_name}: the law has no tissue {some(strange)}.")
        return X


@dataclass(frozen=True)
class TissueCohort:
    """A draw of the embedded tissues and the law that it came from."""

    cohort: AnnData  #: X in counts
    truth: TissueTruth


def simulate_tissues(seed: int = 0, *, genes: str | GeneSet | int = N_GENES, n_donors: int = N_DONORS) -> TissueCohort:
    """Draw samples of GTEx v8's 49 eQTL tissues from a law along the tissue tree.

    Parameters
    ----------
    seed : int
        Same seed, genes and donors, same numbers. Law, donors and samples have streams of their own.
    genes : int, str or GeneSet, default 100
        A number of genes without names ("SIM00001" …), up to whole transcriptomes (12,557 take 2 GB); or a gene set,
        for its number of genes and their names. A gene's name says nothing of its simulated law.
    n_donors : int, default 838
        With fewer, each tissue has proportionally fewer samples.

    Returns
    -------
    TissueCohort
        ``X`` (15,201 samples by default, n_genes) in counts; there is no ``layers["counts"]`` beside it.

    Raises
    ------
    ConfigError
        If a number is not whole or out of range, or the gene set is not known.
    """
    _check_whole("seed", seed, at_least=0)
    _check_whole("n_donors", n_donors, at_least=20)
    symbols, ensembl_ids = _names(genes)
    law_rng, donor_rng, sample_rng = (np.random.default_rng([seed, 49, stream]) for stream in range(3))
    sizes = _sizes(n_donors)
    laws = _draw_laws(list(sizes.index), len(symbols), law_rng)
    donors = _draw_donors(n_donors, donor_rng)
    obs = _draw_samples(sizes, donors, donor_rng)
    X = _draw_counts(laws, obs, donors, sample_rng)
    cohort = _as_cohort(X, symbols, ensembl_ids, obs, _notes(genes))
    return TissueCohort(cohort, TissueTruth({"GTEx": cohort}, laws))


def _names(genes: str | GeneSet | int) -> tuple[Sequence[str], Sequence[str]]:
    """Symbols and Ensembl ids ("" where there is none)."""
    if isinstance(genes, str | GeneSet):
        chosen = gene_set(genes)
        return chosen.symbols, [chosen.ensembl_of_symbol[symbol] for symbol in chosen.symbols]
    _check_whole("genes", genes, at_least=2)
    return [f"SIM{number:05d}" for number in range(1, genes + 1)], [""] * genes


def _sizes(n_donors: int) -> pd.Series:
    """Samples of each tissue."""
    sizes = tissue_table()["n_eqtl_samples"]
    sizes = sizes[sizes > 0]
    return (sizes * n_donors / N_DONORS).round().astype(int).clip(lower=1)


def _draw_laws(tissues: list[str], n_genes: int, rng: np.random.Generator) -> dict[str, TissueLaw]:
    """Walk the tree from its root; a node's effect and loadings are its parent's and a step."""
    mean = rng.normal(_GENE_MEAN, _GENE_MEAN_SD, n_genes)
    contrast = _CONTRAST * np.exp(_CONTRAST_SPREAD * rng.standard_normal(n_genes) - _CONTRAST_SPREAD**2)
    within = np.clip(_WITHIN_SD * np.exp(_WITHIN_SPREAD * rng.standard_normal(n_genes)), *_WITHIN_RANGE)
    effects = rng.standard_normal((n_genes, 2)) * (_MALE_SD, _DECADE_SD) * within[:, None]
    noise = within * np.sqrt(1.0 - _FACTOR_SHARES.sum())
    common = np.zeros(len(_FACTOR_SHARES))
    common[0] = _FIRST_FACTOR_MEAN
    spread = np.sqrt(1.0 - common**2)

    # What departs from `common` forgets its past as it walks but keeps its size.
    shift = {"body": np.zeros(n_genes)}
    direction = {"body": rng.standard_normal((n_genes, len(common)))}
    for node, parent, step in read_tissue_csv("tree").itertuples(index=False):
        kept = np.exp(-_LOADINGS_CHANGE * step**2)
        fresh = rng.standard_normal(direction[parent].shape)
        direction[node] = kept * direction[parent] + np.sqrt(1.0 - kept**2) * fresh
        shift[node] = shift[parent] + step * contrast * rng.standard_normal(n_genes)

    # Means stay three standard deviations from zero, so that the law remains Gaussian where counts cannot be negative.
    scale = within[:, None] * np.sqrt(_FACTOR_SHARES)
    return {
        tissue: TissueLaw(
            np.clip(mean + shift[tissue], 3.0 * within, _CEILING - 3.0 * within),
            effects,
            scale * (common + spread * direction[tissue]),
            noise,
        )
        for tissue in tissues
    }


def _draw_donors(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Donors in GTEx's proportions of sex and age, with what decides which tissues they give."""
    table = read_tissue_csv("donors")
    # Exact proportions: every tissue of one sex then has donors enough, whatever the seed.
    upper = np.round(table["n_donors"].cumsum() * n / table["n_donors"].sum()).astype(int)
    people = table.loc[table.index.repeat(np.diff(upper, prepend=0)), ["sex", "age"]]
    people = people.iloc[rng.permutation(n)].reset_index(drop=True)
    people["donor"] = [f"SIM-GTEX-{i:05d}" for i in range(1, n + 1)]
    people["completeness"] = rng.normal(0.0, _COMPLETENESS_SD, n)
    people["gave_brain"] = np.arange(n) < round(_BRAIN_SHARE * n)  # in random order already
    return people


def _draw_samples(sizes: pd.Series, donors: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The samples' table, sorted by donor; a tissue's donors are drawn without replacement, complete ones rather."""
    table = tissue_table()
    parts = []
    for tissue, size in sizes.items():
        # The largest of log weight + Gumbel noise are a weighted draw without replacement.
        rank = donors["completeness"] + rng.gumbel(size=len(donors))
        if sex := table.at[tissue, "sex"]:
            rank[donors["sex"] != sex] = -np.inf
        if table.at[tissue, "organ"] == "Brain":
            rank[~donors["gave_brain"]] = -np.inf
        chosen = np.sort(rank.nlargest(size).index.to_numpy())
        frame = donors.loc[chosen, ["donor", "sex", "age"]]
        frame.insert(1, "tissue", tissue)
        frame["position"] = chosen
        frame.index = frame["donor"] + "-" + table.at[tissue, "abbreviation"]
        parts.append(frame)
    obs = pd.concat(parts).sort_values("position", kind="stable")
    obs["cohort"], obs["condition"] = "GTEx", "normal"
    return obs


def _draw_counts(
    laws: dict[str, TissueLaw], obs: pd.DataFrame, donors: pd.DataFrame, rng: np.random.Generator
) -> np.ndarray:
    """Whole counts, (n_samples, n_genes) float32, filled tissue by tissue."""
    n_factors = len(_FACTOR_SHARES)
    of_donor = rng.standard_normal((len(donors), n_factors))
    n_genes = len(next(iter(laws.values())).mean)
    X = np.empty((len(obs), n_genes), np.float32)
    design = covariate_design(obs["sex"], obs["age"])
    for tissue, rows in obs.groupby("tissue", sort=False).indices.items():
        law = laws[tissue]
        own = rng.standard_normal((len(rows), n_factors))
        factors = np.sqrt(_DONOR_SHARE) * of_donor[obs["position"].iloc[rows]] + np.sqrt(1 - _DONOR_SHARE) * own
        noise = rng.standard_normal((len(rows), n_genes), dtype=np.float32)
        log1p = law.mean + design[rows] @ law.effects.T + factors @ law.loadings.T + law.noise * noise
        X[rows] = np.rint(np.expm1(np.maximum(log1p, 0.0)))
    return X


def _as_cohort(
    X: np.ndarray, symbols: Sequence[str], ensembl_ids: Sequence[str], obs: pd.DataFrame, notes: list[str]
) -> AnnData:
    """The container all loaders return, checked a thousand genes at a time, since the checks take several copies."""
    from anndata import AnnData

    obs = obs.drop(columns="position")
    var = []
    for start in range(0, len(symbols), _GENES_AT_ONCE):
        part = slice(start, start + _GENES_AT_ONCE)
        checked = make_cohort(
            X[:, part], symbols[part], obs, units=GTEX_UNITS, source=SOURCE, ensembl_ids=ensembl_ids[part], notes=notes
        )
        var.append(checked.var)
    cohort = AnnData(X=X, obs=checked.obs, var=pd.concat(var))
    refuse_duplicates(cohort.var_names, "gene", SOURCE)
    cohort.uns.update(checked.uns)
    return cohort


def _notes(genes: str | GeneSet | int) -> list[str]:
    notes = [
        "simulated: no row is a person; sizes of tissues and proportions of sex and age are those of GTEx v8",
        "ages are midpoints of ten-year brackets, as in GTEx",
        "which tissues are near each other follows a committed tissue tree; no gene is fitted to a real one",
    ]
    if isinstance(genes, str | GeneSet):
        notes.append(f"the genes have the names of the set '{gene_set(genes).name}', not their expression")
    return notes


def _check_whole(name: str, value: object, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ConfigError(f"{name}={value!r}: give a whole number of at least {at_least}.")
