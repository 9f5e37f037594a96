"""Cells with known regulation: factors that drive genes, module by module; never imitates a data set's numbers.

**Factors.** Expression of factor t in cell i of a tissue: a mean of the tissue, a few latent programmes that factors
have in common, and noise; log10 scale.

**Regulation.** A gene listens to a *drive*, d_ig = Σ_t W_tg a_ktg h(x_it): W its weights for a few factors, a ∈ [0, 1]
how open the gene is to the factor in tissue k, and h(x) = x² / (1 + x²) of the factor's level relative to its median,
Hill's curve of order 2. Weights of the genes of a module are one programme with a loading for each gene, and, by a
share of 1 − `relatedness`, an own set of factors: W_g = √r · loading_g · programme_module + √(1 − r) · own_g.
Relatedness 1 makes the matrix W of a module of rank 1; 0 makes genes strangers.

**Velocity.** A cell's transcription has switched from the gene's base rate to α = softplus(base + d) an age a ago, from
the steady state of the base rate α₀. With splicing β and degradation γ the usual equations u' = α − βu, s' = βu − γs
have the solution

    v = βu − γs = (α − α₀) · β (e^{−γa} − e^{−βa}) / (β − γ),

so the sign of a velocity says whether a gene is being turned up, and its size depends on an age that no factor tells.
`noise` adds a normal error, in standard deviations of the velocity itself.

**Activities.** Mean activity is the openness a where a factor regulates, with noise. Binding is not regulation: for
half of the other factors it is as large, to no effect. Summed activity is it times a number of sites. Both as
log2(1 + x).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from reproduce.errors import ConfigError
from reproduce.imputers._base import check_integer, check_number
from reproduce.multitask.data import VelocityData

#: Programmes that factors' expression has in common.
_N_LATENT = 8
#: Chance that a factor which does not regulate a gene is found bound to it.
_FALSE_BINDING = 0.5


@dataclass(frozen=True)
class Simulation:
    """Sizes and strengths of a simulation.

    Parameters
    ----------
    n_cells : int
        Of each tissue.
    n_tissues, n_factors, n_modules, genes_per_module : int
    factors_per_gene : int
        That regulate it, in its module's programme and in its own.
    relatedness : float
        From 0, genes of a module are strangers, to 1, they follow one programme.
    noise : float
        Of velocities, in their standard deviations.
    """

    n_cells: int = 600
    n_tissues: int = 2
    n_factors: int = 60
    n_modules: int = 1
    genes_per_module: int = 16
    factors_per_gene: int = 6
    relatedness: float = 1.0
    noise: float = 0.5

    def __post_init__(self) -> None:
        for entry in fields(self):
            if entry.name not in ("relatedness", "noise"):
                check_integer(entry.name, getattr(self, entry.name), least=1)
        check_number("relatedness", self.relatedness, low=0, high=1)
        check_number("noise", self.noise, low=0)
        if self.factors_per_gene > self.n_factors:
            raise ConfigError(f"factors_per_gene is {self.factors_per_gene}; there are {self.n_factors} factors.")


def simulate(simulation: Simulation, seed: int) -> VelocityData:
    """Draw regulation, then cells.

    Parameters
    ----------
    simulation : Simulation
    seed : int

    Returns
    -------
    VelocityData
        With `regulation`, `modules` and `truth`.
    """
    rng = np.random.default_rng([seed, 13])
    modules = np.repeat(np.arange(simulation.n_modules), simulation.genes_per_module)
    weights = _regulation(simulation, modules, rng)
    tissues = np.repeat(np.arange(simulation.n_tissues), simulation.n_cells)
    levels = _levels(simulation, tissues, rng)
    openness = rng.beta(1.0, 1.0, (simulation.n_tissues, *weights.shape))
    relative = levels / np.median(levels, axis=0)
    hill = relative**2 / (1.0 + relative**2)
    drive = np.einsum("itg,tg->ig", (hill[:, :, None] * openness[tissues]), weights)
    velocity = _velocity(drive - drive.mean(axis=0), rng)
    noisy = velocity + simulation.noise * velocity.std(axis=0) * rng.standard_normal(velocity.shape)
    n_factors, n_genes = weights.shape
    return VelocityData(
        source=(
            f"simulated cells of {simulation.n_tissues} tissues, {n_genes} genes in {simulation.n_modules} modules of "
            f"relatedness {simulation.relatedness:g}"
        ),
        expression=np.log10(1.0 + levels).astype(np.float32),
        velocity=noisy.astype(np.float32),
        tissues=tissues,
        cells=np.array([f"cell{i + 1}" for i in range(len(tissues))]),
        factors=np.array([f"factor{t + 1}" for t in range(n_factors)]),
        genes=np.array([f"gene{g + 1}" for g in range(n_genes)]),
        tissue_names=np.array([f"tissue {k + 1}" for k in range(simulation.n_tissues)]),
        activities=_activities(weights != 0, openness, rng),
        regulation=weights,
        modules=modules,
        truth=velocity.astype(np.float32),
    )


def _regulation(simulation: Simulation, modules: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights (n_factors, n_genes)."""
    programmes = np.stack([_sparse(simulation, rng) for _ in range(simulation.n_modules)])
    loadings = rng.choice([-1.0, 1.0], len(modules)) * rng.uniform(0.7, 1.3, len(modules))
    own = np.stack([_sparse(simulation, rng) for _ in modules])
    related = simulation.relatedness
    return (np.sqrt(related) * loadings[:, None] * programmes[modules] + np.sqrt(1.0 - related) * own).T


def _sparse(simulation: Simulation, rng: np.random.Generator) -> np.ndarray:
    weights = np.zeros(simulation.n_factors)
    chosen = rng.choice(simulation.n_factors, simulation.factors_per_gene, replace=False)
    weights[chosen] = rng.choice([-1.0, 1.0], len(chosen)) * rng.uniform(3.0, 6.0, len(chosen))
    return weights


def _levels(simulation: Simulation, tissues: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expression of factors, linear, (n_cells, n_factors)."""
    shape = (simulation.n_tissues, simulation.n_factors)
    mean = rng.normal(1.0, 0.5, simulation.n_factors) + 0.3 * rng.standard_normal(shape)
    shared = rng.standard_normal((len(tissues), _N_LATENT)) @ rng.normal(
        0.0, 0.4 / np.sqrt(_N_LATENT), (_N_LATENT, simulation.n_factors)
    )
    return np.exp(mean[tissues] + 1.5 * shared + 0.7 * rng.standard_normal((len(tissues), simulation.n_factors)))


def _velocity(drive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """βu − γs of cells whose transcription switched an age ago, (n_cells, n_genes)."""
    n_cells, n_genes = drive.shape
    base = rng.normal(1.0, 0.3, n_genes)
    change = np.logaddexp(0.0, base + drive) - np.logaddexp(0.0, base)
    splicing, degradation = rng.uniform(0.8, 1.2, n_genes), rng.uniform(0.2, 0.5, n_genes)
    age = rng.uniform(0.5, 2.0, (n_cells, 1))
    gain = splicing * (np.exp(-degradation * age) - np.exp(-splicing * age)) / (splicing - degradation)
    return change * gain


def _activities(regulates: np.ndarray, openness: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean and summed activities (n_tissues, n_factors, n_genes)."""
    bound = regulates | (rng.random(regulates.shape) < _FALSE_BINDING)
    mean = bound * openness * rng.lognormal(0.0, 0.2, openness.shape)
    total = mean * rng.poisson(3.0, regulates.shape).clip(1)
    return tuple(np.log2(1.0 + values).astype(np.float32) for values in (mean, total))
