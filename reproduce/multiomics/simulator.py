"""Simulates paired mRNA, methylation and protein of known law, and the best translation under it; reads no real data.

In the manner of InterSIM (Chalise, Raghavan & Fridley 2016, Comput. Methods Programs Biomed. 128:69), whose reference
statistics of TCGA's ovarian cancers are shipped in ``simulator_tables/``. Within class k, on the scale of natural
logits for methylation *m* and of logarithms for mRNA *e* and protein *p*:

.. math::
    m ∼ N(μ^m_k, Σ_m),   e = μ^e_k + B (A m − A μ^m_k) + ε_e,   p = μ^p_k + C (G e − G μ^e_k) + ε_p

*A* averages the CpGs of each gene, *G* takes each protein's gene; *B* and *C* are diagonal and give every gene's mRNA
and its mean methylation, and every protein and its gene's mRNA, the correlation of the tables. In InterSIM layers
share nothing within a class; here they do, so that a translation of one into the other has something to learn. All of
(m, e, p) is jointly Gaussian within a class, with a covariance common to the classes: conditional means are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, logsumexp

from reproduce.errors import ConfigError
from reproduce.multiomics.paired import BETA_MARGIN, LAYERS, PairedOmics

_TABLES = Path(__file__).parent / "simulator_tables"
#: In this order the layers stand in the joint vector: each depends on the one before.
_ORDER = ("methylation", "mRNA", "protein")
_UNITS = {"mRNA": "log2 (centred)", "methylation": "beta-value", "protein": "RPPA (log2, centred)"}
#: Nodes of Gauss–Hermite quadrature; the mean of a beta-value is right to 1e-5 with them.
_N_NODES = 32


@dataclass(frozen=True)
class Simulator:
    """A law of paired omics; equal fields give an equal law.

    Parameters
    ----------
    shares : sequence of float
        Of the classes; they add up to 1.
    share_differential : float, default 0.1
        Of the CpGs, in each class; a gene is differentially expressed if one of its CpGs is differential, a protein if
        its gene is.
    shift : float, default 0.5
        By how many standard deviations differential features differ from the others' mean: a CpG up or down, a gene
        against the mean of its differential CpGs, a protein with its gene.
    correlation : float, optional
        Of every gene's mRNA with its mean methylation, −1 < r < 1, in place of the tables' (whose mean is −0.08).
    structure_seed : int, default 0
        Draws which features are differential.
    """

    shares: Sequence[float] = (0.5, 0.5)
    share_differential: float = 0.1
    shift: float = 0.5
    correlation: float | None = None
    structure_seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(float(share) for share in self.shares))
        if not self.shares or min(self.shares) <= 0 or abs(sum(self.shares) - 1.0) > 1e-9:
            raise ConfigError(f"The shares of the classes are {self.shares}; give positive numbers that add up to 1.")
        if not 0.0 <= self.share_differential <= 1.0:
            raise ConfigError(f"The differential share is {self.share_differential}; give a number from 0 to 1.")
        if not np.isfinite(self.shift):
            raise ConfigError(f"The shift is {self.shift}; give a finite number of standard deviations.")
        if self.correlation is not None and not -1.0 < self.correlation < 1.0:
            raise ConfigError(f"The correlation is {self.correlation}; give a number between −1 and 1, or None.")

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return [f"class {k + 1}" for k in range(len(self.shares))]

    def features(self, layer: str) -> pd.Index:
        """Names of a layer's features."""
        return _table(layer).index

    # --- the law ---

    @cached_property
    def means(self) -> np.ndarray:
        """Of (m, e, p) in each class (n_classes, n_features of all layers)."""
        tables = {layer: _table(layer) for layer in _ORDER}
        rng = np.random.default_rng([self.structure_seed, 367])
        shape = (len(self.shares), len(tables["methylation"]))
        cpgs = (rng.random(shape) < self.share_differential) * rng.choice([-1.0, 1.0], shape)
        average = _average(tables)
        up_or_down = np.sign(cpgs @ average.T)
        # CpGs of a gene that go both ways in equal number: the gene follows a coin, lest it be left out
        tied = (up_or_down == 0) & (np.abs(cpgs) @ average.T > 0)
        genes = -np.where(tied, rng.choice([-1.0, 1.0], tied.shape), up_or_down)
        proteins = genes @ _gene_of_protein(tables).T
        directions = np.hstack([cpgs, genes, proteins])
        return _column(tables, "mean") + self.shift * directions * _column(tables, "standard_deviation")

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of (m, e, p) within a class (n_features of all layers, the same)."""
        tables = {layer: _table(layer) for layer in _ORDER}
        average, gene_of_protein = _average(tables), _gene_of_protein(tables)
        m = _covariance(tables["methylation"])
        deviation = {layer: table["standard_deviation"].to_numpy() for layer, table in tables.items()}
        rho = tables["mRNA"]["correlation_with_regulator"].to_numpy()
        if self.correlation is not None:
            rho = np.full(len(rho), self.correlation)
        slope = (rho * deviation["mRNA"] / np.sqrt(np.diag(average @ m @ average.T)))[:, None] * average
        em = slope @ m
        ee = em @ slope.T + _left_over(_covariance(tables["mRNA"]), rho)
        rho = tables["protein"]["correlation_with_regulator"].to_numpy()
        regulator = gene_of_protein @ deviation["mRNA"]
        slope = (rho * deviation["protein"] / regulator)[:, None] * gene_of_protein
        pm, pe = slope @ em, slope @ ee
        pp = pe @ slope.T + _left_over(_covariance(tables["protein"]), rho)
        return np.block([[m, em.T, pm.T], [em, ee, pe.T], [pm, pe, pp]])

    @cached_property
    def _root(self) -> np.ndarray:
        return np.linalg.cholesky(self.covariance)

    # --- what it gives ---

    def sample(self, n_samples: int, seed: int = 0) -> PairedOmics:
        """Draw samples; the classes' numbers are their shares of `n_samples`, rounded, in random order.

        Methylation comes as beta-values.
        """
        counts = np.floor(np.asarray(self.shares) * n_samples).astype(int)
        counts[np.argsort(counts - np.asarray(self.shares) * n_samples, kind="stable")[: n_samples - counts.sum()]] += 1
        if counts.min() < 1:
            raise ConfigError(f"{n_samples} samples leave a class of the shares {self.shares} empty; draw more.")
        rng = np.random.default_rng([seed, 131])
        classes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        drawn = self.means[classes] + rng.standard_normal((n_samples, len(self._root))) @ self._root.T
        names = pd.Index([f"subject{i + 1}" for i in range(n_samples)], dtype=object)
        tables = {
            layer: pd.DataFrame(_seen(drawn[:, self._at(layer)], layer), names, self.features(layer))
            for layer in LAYERS
        }
        return PairedOmics.from_tables(
            **tables,
            clusters=pd.Series(np.array(self.classes)[classes], index=names),
            units=_UNITS,
            name="simulated",
            source=f"simulated in the manner of InterSIM: {n_samples:,} samples of {len(counts)} classes, drawn here",
            simulated=True,
        )

    def posterior(self, omics: PairedOmics, given: Sequence[str] = ("mRNA",)) -> pd.DataFrame:
        """Probabilities of the classes given layers, samples × classes: no classifier can know more.

        Parameters
        ----------
        omics : PairedOmics
            Drawn from this law; it may hold some of the features.
        given : sequence of str
            Layers that are looked at.
        """
        _, logarithms = self._explained(omics, given)
        return pd.DataFrame(np.exp(logarithms), index=omics.data.obs_names, columns=self.classes)

    def conditional_mean(self, target: str, omics: PairedOmics, given: Sequence[str] = ("mRNA",)) -> pd.DataFrame:
        """E[target | given layers]: of all translations the one of least mean square error.

        A mixture over the classes by their posterior; within a class a linear regression on the scale of logits and
        logarithms, and for beta-values the mean of a logistic normal by Gauss–Hermite quadrature.

        Parameters
        ----------
        target : str
            A layer that is not given.
        omics : PairedOmics
            Drawn from this law; it may hold some of the features. Of the target only the names and units are looked at.
        given : sequence of str
            Layers that are looked at.

        Returns
        -------
        DataFrame (n_samples, n_features of the target), in the target's unit
        """
        if target in given:
            raise ConfigError(f"The {target} is both given and the target; give another layer.")
        observed, logarithms = self._explained(omics, given)
        names = omics.layer(target).columns
        at, known = self._at(target, names), self._known(omics, given)
        slope = cho_solve(self._factor(known), self.covariance[np.ix_(known, at)])  # (n_known, n_target)
        variance = np.diag(self.covariance)[at] - np.einsum("kt,kt->t", self.covariance[np.ix_(known, at)], slope)
        unit = omics.units[target]
        mean = np.zeros((len(observed), len(at)))
        for k in range(len(self.shares)):
            centre = self.means[k, at] + (observed - self.means[k, known]) @ slope
            mean += np.exp(logarithms[:, [k]]) * _mean_seen(centre, variance, unit)
        return pd.DataFrame(mean, index=omics.data.obs_names, columns=names)

    # --- inside ---

    def _explained(self, omics: PairedOmics, given: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What is known, on the law's scale, and the logarithms of the classes' posterior."""
        if not given:
            raise ConfigError("No layer is given; name one at least.")
        known = self._known(omics, given)
        observed = np.hstack([_unseen(omics.layer(layer).to_numpy(float), omics.units[layer]) for layer in given])
        factor = self._factor(known)
        joint = np.empty((len(observed), len(self.shares)))
        for k, share in enumerate(self.shares):
            rest = observed - self.means[k, known]
            joint[:, k] = np.log(share) - 0.5 * np.einsum("ij,ij->i", rest, cho_solve(factor, rest.T).T)
        return observed, joint - logsumexp(joint, axis=1, keepdims=True)

    def _known(self, omics: PairedOmics, given: Sequence[str]) -> np.ndarray:
        return np.concatenate([self._at(layer, omics.layer(layer).columns) for layer in given])

    def _factor(self, known: np.ndarray):
        return cho_factor(self.covariance[np.ix_(known, known)])

    def _at(self, layer: str, names: pd.Index | None = None) -> np.ndarray:
        """Positions of a layer's features in the joint vector."""
        lengths = [len(self.features(name)) for name in _ORDER]
        before = sum(lengths[: _ORDER.index(layer)])
        features = self.features(layer)
        positions = np.arange(len(features)) if names is None else features.get_indexer(names)
        if (positions < 0).any():
            raise ConfigError(f"The law has no {layer} feature {names[positions < 0][0]}; give what it has drawn.")
        return before + positions


def simulated_omics(
    n_samples: int = 2_000, n_clusters: int = 2, shares: Sequence[float] | None = None, seed: int = 0, **law
) -> PairedOmics:
    """Samples of a `Simulator`; classes of equal shares unless `shares` are given.

    Parameters
    ----------
    n_samples, n_clusters : int
    shares : sequence of float, optional
        They decide the number of classes, too.
    seed : int
        Of the samples; the law has its own, `structure_seed`.
    **law
        Other fields of `Simulator`.
    """
    shares = (1.0 / n_clusters,) * n_clusters if shares is None else shares
    return Simulator(shares=shares, **law).sample(n_samples, seed)


# --- scales ---


def _seen(values: np.ndarray, layer: str) -> np.ndarray:
    return expit(values) if layer == "methylation" else values


def _unseen(values: np.ndarray, unit: str) -> np.ndarray:
    """On the law's scale: natural logits for methylation."""
    if unit == "beta-value":
        values = np.clip(values, BETA_MARGIN, 1.0 - BETA_MARGIN)
        return np.log(values / (1.0 - values))
    return values * np.log(2.0) if unit == "M-value" else values


def _mean_seen(centre: np.ndarray, variance: np.ndarray, unit: str) -> np.ndarray:
    """Mean, in `unit`, of Gaussians on the law's scale."""
    if unit != "beta-value":
        return centre / np.log(2.0) if unit == "M-value" else centre
    nodes, weights = np.polynomial.hermite_e.hermegauss(_N_NODES)
    deviation = np.sqrt(variance)
    mean = np.zeros_like(centre)
    for node, weight in zip(nodes, weights / weights.sum()):
        if weight > 1e-12:  # the outermost nodes add nothing
            mean += weight * expit(centre + node * deviation)
    return mean


# --- tables ---


def _table(layer: str) -> pd.DataFrame:
    if layer not in _READ:
        if layer not in _ORDER:
            raise ConfigError(f"The law has no layer {layer!r}; there are {', '.join(_ORDER)}.")
        table = pd.read_csv(_TABLES / f"{layer}.csv").set_index("feature")
        table.index = pd.Index(table.index.astype(str), dtype=object, name=None)
        _READ[layer] = table
    return _READ[layer]


_READ: dict[str, pd.DataFrame] = {}


def _column(tables: dict[str, pd.DataFrame], name: str) -> np.ndarray:
    return np.concatenate([tables[layer][name].to_numpy() for layer in _ORDER])


def _covariance(table: pd.DataFrame) -> np.ndarray:
    """Of a layer: loadings of common factors, the rest of each feature's variance its own."""
    loadings = table.filter(like="loading_").to_numpy()
    own = 1.0 - (loadings**2).sum(axis=1)
    deviation = table["standard_deviation"].to_numpy()
    return (loadings @ loadings.T + np.diag(own)) * np.outer(deviation, deviation)


def _left_over(covariance: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """What a layer's regulators leave: every feature keeps 1 − ρ² of its variance, and all correlations."""
    kept = np.sqrt(1.0 - rho**2)
    return covariance * np.outer(kept, kept)


def _average(tables: dict[str, pd.DataFrame]) -> np.ndarray:
    """Mean of each gene's CpGs (n_genes, n_cpgs)."""
    of = tables["methylation"]["gene"].to_numpy()[None, :] == tables["mRNA"].index.to_numpy()[:, None]
    return of / of.sum(axis=1, keepdims=True)


def _gene_of_protein(tables: dict[str, pd.DataFrame]) -> np.ndarray:
    """One 1 a row (n_proteins, n_genes)."""
    return (tables["protein"]["gene"].to_numpy()[:, None] == tables["mRNA"].index.to_numpy()[None, :]).astype(float)
