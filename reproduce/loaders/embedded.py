"""Draws the embedded cohort from committed tables and knows the best R² attainable on it; never reads real data.

The embedded cohort stands in for GTEx v8 (lung, colon transverse) and two TCGA tumour cohorts (LUAD, COADREAD) where no
data have been downloaded. Each *block* (a cohort and tissue) is a Gaussian-mixture copula of the p53 genes:

    component k ~ weights;   x = B c + mu_k + S_k^(1/2) e,   S_k = L_k L_k' + diag(psi_k);   log1p(count_j) = g_j(x_j)

- ``c``: sex (male = 1) and age in decades around 60; ``B``: their effects on each gene.
- ``g_j``: increasing and piecewise linear, such that ``log1p(count_j)`` has the fitted quantiles.
- Sequencing depth is not a separate term: it is the shared direction of ``L_k`` and ``mu_k`` (in real GTEx counts it is
  the first principal component), so the depth-corrected scores fall as they do on real data, and the conditional
  expectation below stays exact.
- The two tissues of one GTEx donor share part of ``e``: Cov(e_lung, e_colon) = R, a low-rank matrix.
- Several components, because real tissues are mixtures of states: with a single Gaussian, neighbours are of less use
  than they are on real data.

The tables are fitted by :mod:`reproduce.loaders.calibration` (``reproduce calibrate``). Because the law is known,
:class:`Truth` gives the best imputation in mean squared error that any method could make: the conditional expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp, ndtr

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.container import make_cohort

if TYPE_CHECKING:
    from anndata import AnnData

TABLES_FOLDER = Path(__file__).parent / "embedded_tables"

LUNG, COLON = "Lung", "Colon - Transverse"


@dataclass(frozen=True)
class Block:
    """A cohort and tissue with a law of its own."""

    name: str  #: key of the committed tables
    study_key: str  #: key of the cohort in a Study: "GTEx", "LUAD", "COADREAD"
    cohort: str  #: ``obs["cohort"]``
    tissue: str  #: ``obs["tissue"]``; tumours carry the tissue of origin
    integer: bool  #: read counts are whole numbers, RSEM estimates are not


BLOCKS = (
    Block("gtex_lung", "GTEx", "GTEx", LUNG, True),
    Block("gtex_colon", "GTEx", "GTEx", COLON, True),
    Block("tcga_luad", "LUAD", "TCGA-LUAD", LUNG, False),
    Block("tcga_coadread", "COADREAD", "TCGA-COADREAD", COLON, False),
)

#: Normal deviates at which the marginal quantiles are tabulated; 400 samples resolve nothing beyond +-3.
LEVELS = np.round(np.linspace(-3.0, 3.0, 21), 1)
QUANTILE_COLUMNS = [f"z{level:+.1f}" for level in LEVELS]

TABLE_NAMES = ("genes", "people", "quantiles", "covariates", "components", "factors", "donor", "depth")

GTEX_UNITS = "read counts (simulated)"
TCGA_UNITS = "RSEM normalised counts (simulated)"
SOURCE = "embedded cohort, simulated by reproduce.loaders.embedded"


@dataclass(frozen=True)
class Tables:
    """The fitted parameters, as data frames that are committed as csv (see ``embedded_tables/README.md``)."""

    genes: pd.DataFrame
    people: pd.DataFrame
    quantiles: pd.DataFrame
    covariates: pd.DataFrame
    components: pd.DataFrame
    factors: pd.DataFrame
    donor: pd.DataFrame
    depth: pd.DataFrame


def read_tables(folder: str | Path = TABLES_FOLDER) -> Tables:
    """Read the parameter tables that :func:`reproduce.loaders.calibration.write_tables` wrote.

    Parameters
    ----------
    folder : path
        Folder with one csv per table.

    Raises
    ------
    DataFormatError
        If a table is absent.
    """
    frames = {}
    for name in TABLE_NAMES:
        path = Path(folder) / f"{name}.csv"
        if not path.is_file():
            raise DataFormatError(
                f"{path}: table of the embedded cohort not found; write it with `reproduce calibrate`."
            )
        frames[name] = pd.read_csv(path, keep_default_na=False, na_values=[""])
    return Tables(**frames)


class BlockLaw:
    """The law of one block: mixture of Gaussians in the latent space, pushed through one increasing map per gene.

    Parameters
    ----------
    block : Block
    tables : Tables

    Attributes
    ----------
    genes : list of str, length n_genes
    weights : ndarray (n_components,)
    means : ndarray (n_components, n_genes)
    covariances : ndarray (n_components, n_genes, n_genes)
        Positive definite by construction (low rank plus a positive diagonal).
    effects : ndarray (n_genes, 2)
        Latent units per male sex and per decade of age around 60.
    """

    def __init__(self, block: Block, tables: Tables) -> None:
        self.block = block
        quantiles = _rows_of(tables.quantiles, block).set_index("gene")
        self.genes = quantiles.index.tolist()
        self.effects = (
            _rows_of(tables.covariates, block).set_index("gene").loc[self.genes, ["male", "age_decade"]].to_numpy()
        )
        weights = _rows_of(tables.components, block).set_index("component")["weight"]
        self.weights = weights.to_numpy() / weights.sum()
        factors = _rows_of(tables.factors, block)
        loading_columns = [column for column in factors if column.startswith("f") and column[1:].isdigit()]
        means, covariances = [], []
        for component in weights.index:
            part = factors[factors["component"] == component].set_index("gene").loc[self.genes]
            loadings = part[loading_columns].fillna(0.0).to_numpy()
            means.append(part["mean"].to_numpy())
            covariances.append(loadings @ loadings.T + np.diag(part["unique_variance"].to_numpy()))
        self.means = np.array(means)
        self.covariances = np.array(covariances)
        people = tables.people[[block.name in tissues.split("+") for tissues in tables.people["blocks"]]]
        self._set_marginal_maps(quantiles[QUANTILE_COLUMNS].to_numpy(), people)

    def _set_marginal_maps(self, values: np.ndarray, people: pd.DataFrame) -> None:
        """Find the latent quantile of every tabulated level, which ``g_j`` maps onto the log1p quantile."""
        design = covariate_design(people["sex"], people["age"])
        shares = people["n"].to_numpy() / people["n"].sum()
        shift = self.effects @ (shares @ design)
        # The spread of B c is small beside that of a component, so a normal of the same variance stands for it.
        spread = np.einsum("gi,ij,gj->g", self.effects, np.cov(design.T, aweights=shares, bias=True), self.effects)
        deviations = np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2) + spread)
        positions = _mixture_quantiles(self.weights, (self.means + shift).T, deviations.T, ndtr(LEVELS))
        self._knots, self._slope_changes = _as_hinges(positions, values)
        self._values = np.concatenate([np.zeros((len(values), 1)), values], axis=1)

    @cached_property
    def roots(self) -> np.ndarray:
        """Symmetric square roots of the covariances, (n_components, n_genes, n_genes)."""
        eigenvalues, vectors = np.linalg.eigh(self.covariances)
        return np.einsum("kij,kj,klj->kil", vectors, np.sqrt(eigenvalues), vectors)

    def draw_latent(self, noise: np.ndarray, design: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Latent expression from standard normal ``noise`` (n_samples, n_genes) and covariates (n_samples, 2)."""
        component = rng.choice(len(self.weights), size=len(noise), p=self.weights)
        latent = design @ self.effects.T + self.means[component]
        for k in range(len(self.weights)):
            rows = component == k
            latent[rows] += noise[rows] @ self.roots[k]
        return latent

    def to_log1p(self, latent: np.ndarray) -> np.ndarray:
        """``g_j``: latent to log1p(count), gene by gene, (n_samples, n_genes)."""
        out = np.empty_like(latent)
        for j, (knots, values) in enumerate(zip(self._knots, self._values, strict=True)):
            last_slope = self._slope_changes[j].sum()
            out[:, j] = np.interp(latent[:, j], knots, values) + last_slope * np.maximum(latent[:, j] - knots[-1], 0.0)
        return out

    def to_latent(self, log1p: np.ndarray) -> np.ndarray:
        """Inverse of ``g_j``; a zero count is taken at the point where the map reaches zero. NaN stays NaN."""
        out = np.empty_like(log1p)
        for j, (knots, values) in enumerate(zip(self._knots, self._values, strict=True)):
            last_slope = self._slope_changes[j].sum()
            out[:, j] = np.interp(log1p[:, j], values, knots) + np.maximum(log1p[:, j] - values[-1], 0.0) / last_slope
        return out

    def expected_log1p(self, mean: np.ndarray, deviation: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """E g_j(X) for X ~ N(mean, deviation^2): exact, because the map is a sum of hinges.

        Parameters
        ----------
        mean, deviation : ndarray (..., n_hidden)
            In latent units.
        genes : ndarray of int (n_hidden,)
        """
        distance = (mean[..., None] - self._knots[genes]) / deviation[..., None]
        density = np.exp(-0.5 * distance**2) / np.sqrt(2.0 * np.pi)
        hinges = deviation[..., None] * (distance * ndtr(distance) + density)
        return (hinges * self._slope_changes[genes]).sum(-1)

    def conditional_log1p(self, log1p: np.ndarray, design: np.ndarray) -> np.ndarray:
        """Fill NaN by the conditional expectation given the sample's own visible genes and its covariates.

        Parameters
        ----------
        log1p : ndarray (n_samples, n_genes), NaN = hidden
        design : ndarray (n_samples, 2), from :func:`covariate_design`

        Notes
        -----
        Per component k the hidden genes given the visible ones are Gaussian; components are weighted by their posterior
        probability given the visible genes.
        """
        centred = self.to_latent(log1p) - design @ self.effects.T
        filled = log1p.copy()
        for i in range(len(log1p)):
            hidden = np.flatnonzero(np.isnan(log1p[i]))
            visible = np.flatnonzero(~np.isnan(log1p[i]))
            if hidden.size == 0:
                continue
            log_weight = np.log(self.weights)
            mean = np.empty((len(self.weights), hidden.size))
            variance = np.empty_like(mean)
            for k, covariance in enumerate(self.covariances):
                moments = _condition(self.means[k], covariance, centred[i, visible], visible, hidden)
                mean[k], variance[k], log_density = moments
                log_weight[k] += log_density
            posterior = np.exp(log_weight - logsumexp(log_weight))
            mean += design[i] @ self.effects[hidden].T
            filled[i, hidden] = posterior @ self.expected_log1p(mean, np.sqrt(variance), hidden)
        return filled


@dataclass(frozen=True)
class Truth:
    """The law behind an embedded cohort: the best that any imputation could do.

    What is conditioned on: the sample's own visible genes, its cohort and tissue, sex and age; not the donor's other
    tissue. GTEx counts are rounded to whole numbers after the draw; the rounding is ignored here, which matters only
    for genes of a few reads. The conditional expectation minimises the expected squared error, so no method that sees
    the same things has a higher expected R² on log1p expression; a given draw may fall to either side. It is the
    ceiling of this law, not of reality: the law was chosen such that fitted methods score as on real data.
    """

    cohorts: dict[str, AnnData]
    laws: dict[str, BlockLaw]

    def oracle_impute(self, cohort_name: str, X_visible: np.ndarray | pd.DataFrame, obs: pd.DataFrame) -> np.ndarray:
        """Fill the hidden entries by their conditional expectation under the true law.

        Parameters
        ----------
        cohort_name : {"GTEx", "LUAD", "COADREAD"}
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
        for block in _blocks_of(cohort_name):
            rows = (obs["tissue"] == block.tissue).to_numpy()
            if rows.any():
                design = covariate_design(obs.loc[rows, "sex"], obs.loc[rows, "age"])
                filled[rows] = self.laws[block.name].conditional_log1p(X[rows], design)
        return filled

    def best_r2(
        self, cohort_name: str, evaluation_mask: np.ndarray, *, rows: np.ndarray | None = None, per_gene: bool = False
    ) -> float | pd.Series:
        """R² of the true conditional expectation on the hidden entries of this draw (log1p).

        Parameters
        ----------
        cohort_name : {"GTEx", "LUAD", "COADREAD"}
        evaluation_mask : bool ndarray (n_rows, n_genes)
            True = hidden and scored; every other entry is visible.
        rows : ndarray, optional
            Positions or boolean index of the samples that the mask speaks of; all samples by default.
        per_gene : bool
            Return one value per gene instead of their mean.

        Returns
        -------
        float or Series
            Per gene 1 - SSE/SST around the mean of the gene's hidden entries; NaN for a gene without spread, which
            the mean leaves out.
        """
        if cohort_name not in self.cohorts:
            raise ConfigError(f"unknown cohort {cohort_name!r}; one of {', '.join(self.cohorts)}.")
        cohort = self.cohorts[cohort_name]
        cohort = cohort if rows is None else cohort[rows]
        return self.best_attainable_r2(
            cohort_name, np.log1p(np.asarray(cohort.X, dtype=float)), cohort.obs, evaluation_mask, per_gene=per_gene
        )

    def best_attainable_r2(
        self,
        cohort_name: str,
        X_log1p: np.ndarray,
        obs: pd.DataFrame,
        evaluation_mask: np.ndarray,
        *,
        per_gene: bool = False,
    ) -> float | pd.Series:
        """As :meth:`best_r2`, for any complete log1p matrix drawn from the same law (for instance a fresh draw)."""
        evaluation_mask = np.asarray(evaluation_mask)
        X_log1p = np.asarray(X_log1p, dtype=float)
        if evaluation_mask.shape != X_log1p.shape or evaluation_mask.dtype != bool:
            raise ConfigError(
                f"evaluation_mask must be boolean of shape {X_log1p.shape}, "
                f"got {evaluation_mask.dtype} {evaluation_mask.shape}."
            )
        filled = self.oracle_impute(cohort_name, np.where(evaluation_mask, np.nan, X_log1p), obs)
        hidden = np.where(evaluation_mask, X_log1p, np.nan)
        counts = np.maximum(evaluation_mask.sum(0), 1)
        centred = hidden - np.nansum(hidden, axis=0) / counts
        total = np.nansum(centred**2, axis=0)
        error = np.nansum((hidden - filled) ** 2, axis=0)
        r2 = pd.Series(
            np.divide(total - error, total, out=np.full(len(total), np.nan), where=total > 0),
            index=self.cohorts[cohort_name].var_names,
            name="r2",
        )
        return r2 if per_gene else float(r2.mean())

    def _checked(self, cohort_name: str, X: np.ndarray | pd.DataFrame, obs: pd.DataFrame) -> np.ndarray:
        if cohort_name not in self.cohorts:
            raise ConfigError(f"unknown cohort {cohort_name!r}; one of {', '.join(self.cohorts)}.")
        genes = list(self.cohorts[cohort_name].var_names)
        if isinstance(X, pd.DataFrame):
            absent = [gene for gene in genes if gene not in X.columns]
            if absent:
                raise ConfigError(f"{cohort_name}: X_visible lacks the genes {', '.join(absent)}.")
            X = X[genes].to_numpy()
        X = np.asarray(X, dtype=float)
        if X.shape != (len(obs), len(genes)):
            raise ConfigError(f"{cohort_name}: X_visible has shape {X.shape}, expected {(len(obs), len(genes))}.")
        if np.isinf(X).any() or (X < 0).any():
            raise ConfigError(f"{cohort_name}: X_visible must hold log1p expression, finite and not negative, or NaN.")
        strange = sorted(set(obs["tissue"]) - {block.tissue for block in _blocks_of(cohort_name)})
        if strange:
            raise ConfigError(f"{cohort_name}: the law has no tissue {', '.join(map(str, strange))}.")
        return X


@dataclass(frozen=True)
class EmbeddedCohort:
    """A draw of the embedded cohort and the law that it came from."""

    cohorts: dict[str, AnnData]  #: keys "GTEx", "LUAD", "COADREAD"; X in counts
    truth: Truth
    notes: tuple[str, ...]


def simulate_cohorts(
    seed: int = 0,
    *,
    n_gtex_lung: int = 578,
    n_gtex_colon: int = 406,
    n_gtex_both: int | None = None,
    n_luad: int = 515,
    n_coadread: int = 379,
    tables: Tables | None = None,
) -> EmbeddedCohort:
    """Draw GTEx lung and colon samples and two tumour cohorts from the fitted law.

    Parameters
    ----------
    seed : int
        Same seed and sizes, same numbers. Each cohort has a stream of its own: the size of one leaves the others alone.
    n_gtex_lung, n_gtex_colon : int
        Samples of each GTEx tissue, one per donor; the defaults are the sizes of GTEx v8.
    n_gtex_both : int, optional
        Donors with both tissues. By default 66 % of the smaller tissue, as in GTEx v8 (268 of 406).
    n_luad, n_coadread : int
        Tumours, one per patient; the defaults are the sizes of the TCGA cohorts.
    tables : Tables, optional
        Parameters; the committed ones by default.

    Returns
    -------
    EmbeddedCohort

    Raises
    ------
    ConfigError
        If a size is not a whole number of at least 1, or ``n_gtex_both`` exceeds a tissue.
    """
    sizes = {"n_gtex_lung": n_gtex_lung, "n_gtex_colon": n_gtex_colon, "n_luad": n_luad, "n_coadread": n_coadread}
    for name, size in sizes.items():
        _check_whole(name, size, at_least=1)
    _check_whole("seed", seed, at_least=0)
    smaller = min(n_gtex_lung, n_gtex_colon)
    if n_gtex_both is None:
        n_gtex_both = round(smaller * 268 / 406)
    _check_whole("n_gtex_both", n_gtex_both, at_least=0)
    if n_gtex_both > smaller:
        raise ConfigError(
            f"n_gtex_both={n_gtex_both} donors cannot have both tissues: the smaller one has {smaller} samples."
        )

    if tables is None:
        tables, laws = _committed()
    else:
        laws = {block.name: BlockLaw(block, tables) for block in BLOCKS}
    gtex_rng, luad_rng, coadread_rng = (np.random.default_rng([seed, stream]) for stream in range(3))
    cohorts = {
        "GTEx": _draw_gtex(tables, laws, n_gtex_lung, n_gtex_colon, n_gtex_both, gtex_rng),
        "LUAD": _draw_tumours(tables, laws["tcga_luad"], n_luad, luad_rng),
        "COADREAD": _draw_tumours(tables, laws["tcga_coadread"], n_coadread, coadread_rng),
    }
    notes = tuple(dict.fromkeys(note for cohort in cohorts.values() for note in cohort.uns["notes"]))
    return EmbeddedCohort(cohorts, Truth(cohorts, laws), notes)


def covariate_design(sex: pd.Series, age: pd.Series) -> np.ndarray:
    """Columns of the covariate effects, (n_samples, 2): male (0/1) and decades of age around 60.

    Raises
    ------
    ConfigError
        If a sex is neither "female" nor "male", or an age is unknown.
    """
    sex = pd.Series(sex).astype(object)
    known = sex.isin(["female", "male"]).to_numpy()
    if not known.all():
        raise ConfigError(
            f"sex must be 'female' or 'male', got {sex[~known].iloc[0]!r}; the simulator knows no other law."
        )
    decades = (pd.to_numeric(pd.Series(age)).to_numpy(dtype=float) - 60.0) / 10.0
    if np.isnan(decades).any():
        raise ConfigError("age must be known for every sample: the simulator's law is conditional on it.")
    return np.column_stack([(sex == "male").to_numpy(dtype=float), decades])


def donor_coupling(tables: Tables, genes: list[str]) -> np.ndarray:
    """Cov(e_lung, e_colon) of one donor, (n_genes, n_genes); spectral norm below 1, so that the joint law exists."""
    donor = tables.donor.set_index("gene").loc[genes]
    ranks = sorted(int(column.removeprefix("lung_")) for column in donor if column.startswith("lung_"))
    lung = donor[[f"lung_{r}" for r in ranks]].to_numpy()
    colon = donor[[f"colon_{r}" for r in ranks]].to_numpy()
    return _clip_norm(lung @ colon.T + np.diag(donor["own"].to_numpy()), 0.97)


@lru_cache(maxsize=1)
def _committed() -> tuple[Tables, dict[str, BlockLaw]]:
    tables = read_tables()
    return tables, {block.name: BlockLaw(block, tables) for block in BLOCKS}


def _draw_gtex(
    tables: Tables, laws: dict[str, BlockLaw], n_lung: int, n_colon: int, n_both: int, rng: np.random.Generator
) -> AnnData:
    lung, colon = laws["gtex_lung"], laws["gtex_colon"]
    people = pd.concat(
        [
            _draw_people(tables.people, "gtex_lung+gtex_colon", n_both, rng),
            _draw_people(tables.people, "gtex_lung", n_lung - n_both, rng),
            _draw_people(tables.people, "gtex_colon", n_colon - n_both, rng),
        ],
        ignore_index=True,
    )
    people["donor"] = [f"SIM-GTEX-{i:05d}" for i in range(1, len(people) + 1)]
    has_lung = np.arange(len(people)) < n_lung
    has_colon = (np.arange(len(people)) < n_both) | (np.arange(len(people)) >= n_lung)

    # Standard normal noise for both tissues of everybody, coupled within the donor; a donor keeps the tissue(s) it has.
    coupling = donor_coupling(tables, lung.genes)
    lung_noise = rng.standard_normal((len(people), len(lung.genes)))
    rest = _symmetric_root(np.eye(len(coupling)) - coupling.T @ coupling)
    colon_noise = lung_noise @ coupling + rng.standard_normal(lung_noise.shape) @ rest

    parts = []
    for law, noise, has in ((lung, lung_noise, has_lung), (colon, colon_noise, has_colon)):
        kept = people[has]
        latent = law.draw_latent(noise[has], covariate_design(kept["sex"], kept["age"]), rng)
        parts.append((law, law.to_log1p(latent), kept))
    return _as_cohort(tables, parts)


def _draw_tumours(tables: Tables, law: BlockLaw, n: int, rng: np.random.Generator) -> AnnData:
    people = _draw_people(tables.people, law.block.name, n, rng)
    # The table holds ages in steps of five years, the patients' own are in years.
    people["age"] += rng.integers(-2, 3, size=n)
    people["donor"] = [f"SIM-{law.block.cohort}-{i:05d}" for i in range(1, n + 1)]
    noise = rng.standard_normal((n, len(law.genes)))
    latent = law.draw_latent(noise, covariate_design(people["sex"], people["age"]), rng)
    return _as_cohort(tables, [(law, law.to_log1p(latent), people)])


def _draw_people(people: pd.DataFrame, blocks: str, n: int, rng: np.random.Generator) -> pd.DataFrame:
    cells = people[people["blocks"] == blocks]
    chosen = rng.choice(len(cells), size=n, p=(cells["n"] / cells["n"].sum()).to_numpy())
    return cells.iloc[chosen][["sex", "age"]].astype({"age": float}).reset_index(drop=True)


def _as_cohort(tables: Tables, parts: list[tuple[BlockLaw, np.ndarray, pd.DataFrame]]) -> AnnData:
    """Counts and obs of the blocks, sorted by donor, as the container that all loaders return."""
    frames, values = [], []
    for law, log1p, people in parts:
        block = law.block
        values.append(np.round(np.expm1(log1p), 0 if block.integer else 4))
        frames.append(
            pd.DataFrame(
                {
                    "donor": people["donor"].to_numpy(),
                    "tissue": block.tissue,
                    "cohort": block.cohort,
                    "condition": "normal" if block.cohort == "GTEx" else "tumour",
                    "sex": people["sex"].to_numpy(),
                    "age": people["age"].to_numpy(dtype=float),
                },
                index=[f"{donor}-{block.tissue.split(' ')[0].upper()}" for donor in people["donor"]],
            )
        )
    obs, X = pd.concat(frames), np.concatenate(values)
    order = np.argsort(obs["donor"].to_numpy(), kind="stable")
    law = parts[0][0]
    identifiers = tables.genes.set_index("symbol")["ensembl_id"]
    return make_cohort(
        X[order],
        law.genes,
        obs.iloc[order],
        units=GTEX_UNITS if law.block.integer else TCGA_UNITS,
        source=SOURCE,
        ensembl_ids=identifiers.loc[law.genes].tolist(),
        counts=X[order] if law.block.integer else None,
        notes=_notes(law, identifiers.index),
    )


def _notes(law: BlockLaw, symbols: pd.Index) -> list[str]:
    notes = ["simulated: no row is a person; sex and age are complete, and a patient has one tumour sample"]
    absent = [gene for gene in symbols if gene not in set(law.genes)]
    if absent:
        notes.append(
            f"{law.block.cohort}: {', '.join(absent)} is not simulated: the tables were fitted to a source that "
            "lacks it (in the cleaned TCGA tables the row named PTEN is TEP1)"
        )
    return notes


def _blocks_of(study_key: str) -> list[Block]:
    return [block for block in BLOCKS if block.study_key == study_key]


def _rows_of(table: pd.DataFrame, block: Block) -> pd.DataFrame:
    rows = table[table["block"] == block.name]
    if rows.empty:
        raise DataFormatError(
            f"the tables of the embedded cohort lack {block.name!r}; write them anew with `reproduce calibrate`."
        )
    return rows


def _check_whole(name: str, value: object, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ConfigError(f"{name}={value!r}: give a whole number of at least {at_least}.")


def _mixture_quantiles(
    weights: np.ndarray, means: np.ndarray, deviations: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Quantiles (n_genes, n_levels) of one Gaussian mixture per gene, by bisection for all of them at once.

    ``means`` and ``deviations`` are (n_genes, n_components).
    """
    low = np.repeat((means - 12 * deviations).min(1)[:, None], len(levels), axis=1)
    high = np.repeat((means + 12 * deviations).max(1)[:, None], len(levels), axis=1)
    for _ in range(50):
        middle = (low + high) / 2
        below = ndtr((middle[:, :, None] - means[:, None]) / deviations[:, None]) @ weights < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _as_hinges(positions: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write increasing piecewise-linear maps as sums of hinges ``slope_change * max(x - knot, 0)``.

    Beyond the first and last knots the map goes on with its average slope, because the outermost segments rest on a
    single order statistic each; it ends at zero, where a further knot is put.

    Parameters
    ----------
    positions, values : ndarray (n_genes, n_levels)

    Returns
    -------
    knots, slope_changes : ndarray (n_genes, n_levels + 1)
    """
    average = (values[:, -1] - values[:, 0]) / (positions[:, -1] - positions[:, 0])
    zero = positions[:, 0] - np.maximum(values[:, 0], 1e-9) / average
    knots = np.column_stack([zero, positions])
    inner = np.diff(values, axis=1) / np.diff(positions, axis=1)
    slopes = np.column_stack([average, inner, average])
    return knots, np.diff(slopes, axis=1, prepend=0.0)


def _condition(
    mean: np.ndarray, covariance: np.ndarray, values: np.ndarray, visible: np.ndarray, hidden: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and variance of a Gaussian's hidden entries given the visible ones, and these ones' log density.

    Left out of the density is a constant of the number of visible entries, which cancels between components.
    """
    if visible.size == 0:
        return mean[hidden], np.diag(covariance)[hidden], 0.0
    factor = cho_factor(covariance[np.ix_(visible, visible)], lower=True, check_finite=False)
    difference = values - mean[visible]
    cross = covariance[np.ix_(visible, hidden)]
    solved = cho_solve(factor, np.column_stack([difference, cross]), check_finite=False)
    conditional_mean = mean[hidden] + cross.T @ solved[:, 0]
    conditional_variance = np.diag(covariance)[hidden] - np.einsum("vh,vh->h", cross, solved[:, 1:])
    log_density = -0.5 * difference @ solved[:, 0] - np.log(np.diag(factor[0])).sum()
    return conditional_mean, np.maximum(conditional_variance, 1e-12), float(log_density)


def _clip_norm(matrix: np.ndarray, largest: float) -> np.ndarray:
    left, values, right = np.linalg.svd(matrix)
    return (left * np.minimum(values, largest)) @ right


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
