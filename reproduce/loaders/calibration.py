"""Fits the tables of the embedded cohort to a study and compares the two; never runs when cohorts are simulated.

``reproduce calibrate`` calls :func:`main_calibrate`. What is written are parameters of a law (quantiles, factor
loadings, effects): no row of them is a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtr

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.embedded import BLOCKS, LEVELS, QUANTILE_COLUMNS, Block, Tables, covariate_design

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from reproduce.loaders.study import Study


@dataclass(frozen=True)
class CalibrationSettings:
    """Choices of the fit, set so that simple imputers score on the embedded cohort as on the real one.

    The number of factors matters most: all 2,080 correlations of 65 genes, estimated from 400 samples, make the
    simulated genes easier to predict than the real ones (a conditional Gaussian gained 0.04 in R² on the tumours); too
    few factors make them harder. It differs by block because tumours hold less shared variation, and GTEx pairs of
    tightly linked genes. Components matter to neighbours: one Gaussian leaves k-NN 0.04 below its score on real GTEx.
    """

    n_components: int = 5
    #: Principal components on which samples are assigned to mixture components.
    n_assignment_axes: int = 10
    #: Samples' worth of the pooled covariance that each component's own covariance is shrunk towards.
    pooling: float = 10.0
    #: Factors per block.
    n_factors: Mapping[str, int] = field(
        default_factory=lambda: {"gtex_lung": 24, "gtex_colon": 28, "tcga_luad": 16, "tcga_coadread": 16}
    )
    #: Rank of what the two tissues of a donor share beyond each gene's own part.
    donor_rank: int = 2
    seed: int = 0


def calibrate(study: Study, settings: CalibrationSettings | None = None) -> Tables:
    """Fit the tables of the embedded cohort.

    Parameters
    ----------
    study : Study
        With cohorts "GTEx" (tissues Lung and Colon - Transverse), "LUAD" and "COADREAD"; X complete, in counts.
    settings : CalibrationSettings, optional

    Returns
    -------
    Tables

    Raises
    ------
    DataFormatError
        If a cohort or tissue is absent, holds too few samples for the fit, or has missing values.

    Notes
    -----
    Per block: log1p, each gene standardised; effects of sex and age by least squares, shrunk by their sampling error;
    the residuals are assigned to components of a Gaussian mixture on their leading principal components; each
    component's covariance, shrunk to the pooled one, is replaced by its maximum-likelihood factor model.
    """
    settings = settings or CalibrationSettings()
    data = {block.name: _block_of(study, block) for block in BLOCKS}  # all of them first: a bad one fails at once
    parts: dict[str, list[pd.DataFrame]] = {
        name: [] for name in ("quantiles", "covariates", "components", "factors", "depth")
    }
    residuals: dict[str, pd.DataFrame] = {}
    laws: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for block in BLOCKS:
        log1p, obs = data[block.name]
        standardised = (log1p - log1p.mean()) / log1p.std(ddof=0)
        effects, residual = _covariate_effects(standardised, obs)
        weights, means, components = _mixture(residual.to_numpy(), settings)
        loadings, unique = zip(*(factor_model(c, settings.n_factors[block.name]) for c in components), strict=True)
        residuals[block.name] = residual.set_axis(obs["donor"].to_numpy())
        fitted = [loading @ loading.T + np.diag(psi) for loading, psi in zip(loadings, unique, strict=True)]
        laws[block.name] = (weights, np.array(fitted))
        parts["quantiles"].append(_quantile_rows(log1p, block))
        parts["covariates"].append(effects.assign(block=block.name))
        parts["components"].append(
            pd.DataFrame({"block": block.name, "component": range(len(weights)), "weight": weights.round(4)})
        )
        parts["factors"].append(_factor_rows(block, list(log1p.columns), means, loadings, unique))
        parts["depth"].append(_depth_rows(log1p, block))
    gtex = study.cohorts["GTEx"]
    return Tables(
        genes=pd.DataFrame({"symbol": gtex.var_names, "ensembl_id": gtex.var["ensembl_id"].to_numpy()}),
        people=_people(study),
        donor=_donor_coupling(residuals, laws, settings.donor_rank),
        **{name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()},
    )


def write_tables(tables: Tables, folder: str | Path) -> list[Path]:
    """Write each table as csv; the files are replaced one by one, each in one step.

    Returns
    -------
    list of Path
    """
    from reproduce.files import atomic_path

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for item in fields(tables):
        path = folder / f"{item.name}.csv"
        with atomic_path(path) as temporary:
            getattr(tables, item.name).to_csv(temporary, index=False, lineterminator="\n")
        written.append(path)
    return written


def main_calibrate(data: str, output: Path) -> None:
    """Fit the tables to ``data`` (a real study's name, see ``load_study``) and write them to the folder ``output``.

    Raises
    ------
    ConfigError
        If the study is itself simulated.
    """
    from reproduce.loaders.study import load_study

    study = load_study(data)
    if not study.is_real:
        raise ConfigError(f"{study.name}: the embedded cohort is calibrated to real data; name a real study.")
    for path in write_tables(calibrate(study), output):
        print(path)


def factor_model(covariance: np.ndarray, n_factors: int, n_iterations: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood factor model ``L L' + diag(psi)`` of a covariance matrix (Jöreskog 1967, alternating form).

    Parameters
    ----------
    covariance : ndarray (n_genes, n_genes)
    n_factors : int
    n_iterations : int

    Returns
    -------
    loadings : ndarray (n_genes, n_factors)
    unique_variance : ndarray (n_genes,)
        At least 1 % of each gene's variance, which keeps the model positive definite.
    """
    variance = np.diag(covariance)
    floor = 0.01 * variance
    ridge = 1e-3 * variance.mean() * np.eye(len(variance))
    unique = np.maximum(0.8 / np.diag(np.linalg.inv(covariance + ridge)), floor)
    for _ in range(n_iterations):
        scale = np.sqrt(unique)
        eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
        leading = np.sqrt(np.maximum(eigenvalues[::-1][:n_factors] - 1.0, 0.0))
        loadings = scale[:, None] * vectors[:, ::-1][:, :n_factors] * leading
        unique = np.maximum(variance - (loadings**2).sum(1), floor)
    return loadings, unique


def compare(real: Study, simulated: Study) -> pd.DataFrame:
    """How a simulated study differs from a real one.

    Parameters
    ----------
    real, simulated : Study
        Anything with ``cohorts`` as in Study.

    Returns
    -------
    DataFrame
        Columns ``statistic, cohort, tissue, gene, real, simulated, difference``; ``gene`` is empty where the
        statistic is of the whole block.

    Notes
    -----
    Per gene: ``quantile_05`` to ``quantile_95`` (log1p), ``zero_fraction``.

    Per block: ``depth_sd``, ``depth_q01`` to ``depth_q99`` (see :func:`log_size_factor`); ``first_component`` (share of
    the variance of standardised log1p); ``mean_abs_correlation``; ``age_effect_rms``, ``sex_effect_rms`` (root mean
    square over genes of the correlation with the covariate); ``correlation_agreement`` (Pearson correlation between the
    entries of the two studies' gene correlation matrices, in the column ``simulated``; ``real`` is 1 by definition).

    Across blocks: ``donor_correlation`` (mean over genes, between the two tissues of one donor) and
    ``transfer_agreement`` (as correlation_agreement, between a GTEx tissue and its tumour, within each study).
    """
    rows: list[tuple] = []
    for block in BLOCKS:
        (a, obs_a), (b, obs_b) = _block_of(real, block), _block_of(simulated, block)
        genes = [gene for gene in a.columns if gene in set(b.columns)]
        a, b = a[genes], b[genes]
        where = (block.cohort, block.tissue)
        for percent in (5, 25, 50, 75, 95):
            pairs = zip(genes, a.quantile(percent / 100), b.quantile(percent / 100), strict=True)
            rows += [(f"quantile_{percent:02d}", *where, gene, x, y) for gene, x, y in pairs]
        rows += [
            ("zero_fraction", *where, g, x, y) for g, x, y in zip(genes, (a == 0).mean(), (b == 0).mean(), strict=True)
        ]
        statistics_a, statistics_b = _block_statistics(a, obs_a), _block_statistics(b, obs_b)
        rows += [(name, *where, "", statistics_a[name], statistics_b[name]) for name in statistics_a]
        rows.append(("correlation_agreement", *where, "", 1.0, _correlation_agreement(a, b)))
    rows.append(("donor_correlation", "GTEx", "", "", _donor_correlation(real), _donor_correlation(simulated)))
    for healthy, tumour in ((BLOCKS[0], BLOCKS[2]), (BLOCKS[1], BLOCKS[3])):
        agreement = [
            _correlation_agreement(_block_of(s, healthy)[0], _block_of(s, tumour)[0]) for s in (real, simulated)
        ]
        rows.append(("transfer_agreement", tumour.cohort, tumour.tissue, "", *agreement))
    table = pd.DataFrame(rows, columns=["statistic", "cohort", "tissue", "gene", "real", "simulated"])
    return table.assign(difference=table["simulated"] - table["real"])


def log_size_factor(log1p: pd.DataFrame) -> pd.Series:
    """Sequencing depth of each sample as the genes show it: median deviation (log1p) from the genes' medians."""
    return (log1p - log1p.median()).median(axis=1)


def _block_of(study: Study, block: Block) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Complete log1p expression (n_samples, n_genes) and obs of one block."""
    if block.study_key not in study.cohorts:
        raise DataFormatError(
            f"the study has no cohort {block.study_key!r}; the embedded cohort needs GTEx, LUAD and COADREAD."
        )
    cohort: AnnData = study.cohorts[block.study_key]
    # a gene that GTEx does not have (TEP1 in the student study's tumours) has no place in the simulation
    cohort = cohort[:, cohort.var_names.isin(study.cohorts["GTEx"].var_names)]
    if block.cohort == "GTEx":
        cohort = cohort[(cohort.obs["tissue"] == block.tissue).to_numpy()]
    if cohort.n_obs < 50:
        raise DataFormatError(
            f"{block.study_key}, {block.tissue}: {cohort.n_obs} samples; at least 50 are needed to fit a law."
        )
    counts = np.asarray(cohort.X, dtype=float)
    if np.isnan(counts).any():
        raise DataFormatError(f"{block.study_key}: missing values; calibrate on complete counts.")
    return pd.DataFrame(np.log1p(counts), index=cohort.obs_names, columns=cohort.var_names), cohort.obs


def _quantile_rows(log1p: pd.DataFrame, block: Block) -> pd.DataFrame:
    values = np.quantile(log1p.to_numpy(), ndtr(LEVELS), axis=0, method="hazen").T
    # Tied counts of a faint gene would make the map flat and its inverse ambiguous: every step rises a little.
    values = np.maximum.accumulate(values.round(4) - 1e-3 * np.arange(len(LEVELS)), axis=1) + 1e-3 * np.arange(
        len(LEVELS)
    )
    rows = pd.DataFrame(values.round(4), columns=QUANTILE_COLUMNS)
    rows.insert(0, "gene", log1p.columns)
    rows.insert(0, "block", block.name)
    return rows


def _covariate_effects(standardised: pd.DataFrame, obs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effects of sex and age, shrunk to the part beyond their sampling error, and the residuals."""
    known = (obs["sex"].isin(["female", "male"]) & obs["age"].notna()).to_numpy()
    design = np.zeros((len(obs), 2))
    design[known] = covariate_design(obs.loc[known, "sex"], obs.loc[known, "age"])
    design[~known] = design[known].mean(0)
    full = np.column_stack([design - design.mean(0), np.ones(len(design))])
    coefficients, *_ = np.linalg.lstsq(full, standardised.to_numpy(), rcond=None)
    residual = standardised.to_numpy() - full @ coefficients
    error = np.outer(np.diag(np.linalg.inv(full.T @ full))[:2], residual.var(0, ddof=3))
    raw = coefficients[:2]
    kept = np.maximum(0.0, 1.0 - error.mean(1) / (raw**2).mean(1))
    shrunk = np.round(raw * kept[:, None], 4)
    effects = pd.DataFrame({"gene": standardised.columns, "male": shrunk[0], "age_decade": shrunk[1]})
    return effects, standardised - (design - design.mean(0)) @ shrunk


def _mixture(residual: np.ndarray, settings: CalibrationSettings) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Weights, means and pooled covariances of a Gaussian mixture whose memberships come from the leading axes."""
    from sklearn.mixture import GaussianMixture

    _, vectors = np.linalg.eigh(np.cov(residual.T))
    axes = residual @ vectors[:, ::-1][:, : settings.n_assignment_axes]
    mixture = GaussianMixture(settings.n_components, n_init=8, random_state=settings.seed, reg_covar=0.1).fit(axes)
    membership = mixture.predict_proba(axes)
    sizes = membership.sum(0)
    weights = sizes / sizes.sum()
    means = membership.T @ residual / sizes[:, None]
    own = [
        ((residual - mean) * m[:, None]).T @ (residual - mean) / size
        for mean, m, size in zip(means, membership.T, sizes, strict=True)
    ]
    pooled = np.tensordot(weights, own, axes=1)
    covariances = []
    for matrix, size in zip(own, sizes, strict=True):
        # The pooled matrix lends its shape, the component keeps its own spread.
        lent = pooled * np.trace(matrix) / np.trace(pooled)
        covariances.append((size * matrix + settings.pooling * lent) / (size + settings.pooling))
    return weights, means, covariances


def _factor_rows(
    block: Block, genes: list[str], means: np.ndarray, loadings: tuple[np.ndarray, ...], unique: tuple[np.ndarray, ...]
) -> pd.DataFrame:
    frames = []
    for k, (mean, loading, psi) in enumerate(zip(means, loadings, unique, strict=True)):
        frame = pd.DataFrame({"block": block.name, "component": k, "gene": genes, "mean": mean.round(3)})
        frame["unique_variance"] = np.maximum(psi, 1e-3).round(4)
        columns = {f"f{f + 1}": loading[:, f].round(3) for f in range(loading.shape[1])}
        frames.append(pd.concat([frame, pd.DataFrame(columns)], axis=1))
    return pd.concat(frames, ignore_index=True)


def _depth_rows(log1p: pd.DataFrame, block: Block) -> pd.DataFrame:
    """Quantiles of the log size factor: not an input of the simulator but what its draws are checked against."""
    values = np.quantile(log_size_factor(log1p), ndtr(LEVELS), method="hazen")
    return pd.DataFrame([[block.name, *values.round(4)]], columns=["block", *QUANTILE_COLUMNS])


def _people(study: Study) -> pd.DataFrame:
    """Number of people by sex, age (in steps of five years) and blocks that they have samples in."""
    frames = []
    for block in BLOCKS:
        _, obs = _block_of(study, block)
        frames.append(obs[["donor", "sex", "age"]].astype({"sex": object}).assign(block=block.name))
    people = pd.concat(frames).dropna(subset=["sex", "age"]).drop_duplicates(["donor", "block"])
    people["age"] = (5 * (people["age"] / 5).round()).astype(int)
    each = people.groupby("donor", observed=True).agg(
        blocks=("block", "+".join), sex=("sex", "first"), age=("age", "first")
    )
    return each.value_counts(["blocks", "sex", "age"]).rename("n").reset_index().sort_values(["blocks", "sex", "age"])


def _donor_coupling(
    residuals: dict[str, pd.DataFrame], laws: dict[str, tuple[np.ndarray, np.ndarray]], rank: int
) -> pd.DataFrame:
    """Covariance of the two tissues' noise within a donor: a low-rank part plus the same own part for each gene.

    The low-rank part is estimated on the ten leading axes of each tissue, where 268 pairs can tell it from noise; the
    own part is chosen such that the mean covariance of a gene with itself across tissues comes out as in the data.
    """
    lung, colon = residuals["gtex_lung"], residuals["gtex_colon"]
    genes = lung.columns
    both = lung.index.intersection(colon.index)
    x, y = lung.loc[both].to_numpy(), colon.loc[both].to_numpy()
    own_target = (x * y).mean()

    (left, left_scale), (right, right_scale) = _leading_axes(lung.to_numpy()), _leading_axes(colon.to_numpy())
    scores = (x @ left / left_scale).T @ (y @ right / right_scale) / len(both)
    u, values, vt = np.linalg.svd(scores)
    # Pure noise alone has singular values of about sqrt(axes / pairs) in root mean square.
    noise = np.sqrt(left.shape[1] / len(both))
    values = np.sqrt(np.maximum(values**2 - noise**2, 0.0))[:rank]
    lung_vectors = left @ u[:, :rank] * np.sqrt(values)
    colon_vectors = right @ vt[:rank].T * np.sqrt(values)

    def implied(matrix: np.ndarray) -> np.ndarray:
        return _mean_root(*laws["gtex_lung"]) @ matrix @ _mean_root(*laws["gtex_colon"])

    low_rank = np.diag(implied(lung_vectors @ colon_vectors.T)).mean()
    per_own = np.diag(implied(np.eye(len(genes)))).mean()
    own = max(0.0, (own_target - low_rank) / per_own)
    frame = pd.DataFrame({"gene": genes, "own": round(own, 4)})
    for r in range(rank):
        frame[f"lung_{r + 1}"] = lung_vectors[:, r].round(4)
        frame[f"colon_{r + 1}"] = colon_vectors[:, r].round(4)
    return frame


def _leading_axes(values: np.ndarray, n_axes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    eigenvalues, vectors = np.linalg.eigh(np.cov(values.T))
    return vectors[:, ::-1][:, :n_axes], np.sqrt(eigenvalues[::-1][:n_axes])


def _mean_root(weights: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(covariances)
    return np.einsum("k,kij,kj,klj->il", weights, vectors, np.sqrt(eigenvalues), vectors)


def _block_statistics(log1p: pd.DataFrame, obs: pd.DataFrame) -> dict[str, float]:
    depth = log_size_factor(log1p)
    correlation = np.corrcoef(log1p.to_numpy().T)
    off = correlation[np.triu_indices(len(correlation), 1)]
    male = (obs["sex"] == "male").where(obs["sex"].notna()).astype(float)
    covariates = {"sex": male.to_numpy(), "age": obs["age"].to_numpy(dtype=float)}
    effects = {}
    for name, covariate in covariates.items():
        known = ~np.isnan(covariate)
        with_gene = [np.corrcoef(covariate[known], log1p.iloc[known, j])[0, 1] for j in range(log1p.shape[1])]
        effects[f"{name}_effect_rms"] = float(np.sqrt(np.mean(np.square(with_gene))))
    return {
        "depth_sd": float(depth.std()),
        **{f"depth_q{percent:02d}": float(depth.quantile(percent / 100)) for percent in (1, 5, 50, 95, 99)},
        "first_component": float(np.linalg.eigvalsh(correlation)[-1] / len(correlation)),
        "mean_abs_correlation": float(np.abs(off).mean()),
        **effects,
    }


def _correlation_agreement(a: pd.DataFrame, b: pd.DataFrame) -> float:
    genes = [gene for gene in a.columns if gene in set(b.columns)]
    upper = np.triu_indices(len(genes), 1)
    return float(np.corrcoef(a[genes].corr().to_numpy()[upper], b[genes].corr().to_numpy()[upper])[0, 1])


def _donor_correlation(study: Study) -> float:
    tissues = []
    for block in BLOCKS[:2]:
        log1p, obs = _block_of(study, block)
        tissues.append(log1p.set_axis(obs["donor"].to_numpy()))
    both = tissues[0].index.intersection(tissues[1].index)
    if len(both) < 3:
        raise DataFormatError(f"{len(both)} donors with both tissues; at least 3 are needed for their correlation.")
    return float(tissues[0].loc[both].corrwith(tissues[1].loc[both]).mean())
