"""Conditional mean of a normal with few factors: for a handful of genes as for whole transcriptomes; never a network.

The rows of a tissue are taken as draws from N(mean, D (L Lᵀ + diag(ψ)) D): means and scales D of the tissue's own, the
factors' loadings L (n_genes, n_factors) and the noise ψ shared by all tissues (or of each). The arithmetic is in
`reproduce.imputers._low_rank_normal`, the fit in `reproduce.imputers._low_rank_fit`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.utils import check_random_state

from reproduce.errors import ConfigError
from reproduce.imputers._base import check_choice, check_integer, check_number, check_random_state_value
from reproduce.imputers._covariates import UNKNOWN_CATEGORY, Covariates
from reproduce.imputers._low_rank_choice import MOST_RANK_WITH_HOLES, RANKS, SHRINKAGES, WHOLE_SIDE, choose
from reproduce.imputers._low_rank_groups import FitOptions, GroupNormal, fit_groups
from reproduce.imputers._low_rank_normal import conditional_variance, draw
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.imputers.median import groups_of

#: Up to this many entries are computed in float64, more in float32.
DOUBLE_ENTRIES = 2_000_000


class LowRankGaussianImputer(PredictiveImputer):
    """Conditional mean under a normal whose covariance is low-rank plus diagonal (factor analysis).

    Made for many more genes than samples: time grows as n_samples × n_genes × rank for complete rows, memory as the
    rows themselves, and no matrix of genes × genes is formed where there are thousands.

    Parameters
    ----------
    group : str or None, default "tissue"
        Categorical covariate whose categories have means and scales of their own. None, or no covariates: one group.
    rank : "held_out", int or None, default "held_out"
        Number of factors. "held_out": chosen, like `shrinkage`, by the error on hidden known entries of donors that
        were left out, which takes two donors of one group at least. For complete rows None, or as many as there are
        rows or genes, stands for the whole sample covariance, found from the matrix rows × rows where there are more
        genes than rows (the dual form).
    shrinkage : "held_out" or float in [0, 1), default "held_out"
        Weight by which correlations are reduced; a gene's variance stays as it is.
    covariance : {"shared", "group"}, default "shared"
        One correlation for all groups, or one for each, which costs as many fits. On two tissues of the p53 pathway
        "group" is better; with many small tissues "shared" is far cheaper.
    pooling : float, default 20
        Samples that all groups together are worth in a group's scales, and in its correlation under "group".
    max_iter : int, default 100
        Most rounds of EM, for rows with holes, after two with expanded parameters.
    tol : float, default 3e-5
        EM stops when the log likelihood of a known entry rises by less in a round.
    unknown_category : {"error", "pool"}, default "error"
        A tissue that `fit` did not see is an error, or gets the normal with the mean and covariance of all tissues
        together. A missing tissue always does.
    random_state : int, RandomState or None, default None
        Of the entries and donors held out, and of the range finder.

    Attributes
    ----------
    rank_ : int
    shrinkage_ : float
    errors_ : dict of (int, float) to float
        Mean squared error, standardised, of each rank and shrinkage that was compared; empty where both were given.
    n_iter_ : int
        Most rounds of EM, or of alternating least squares; 1 for complete rows.
    converged_ : bool
    log_posterior_ : list of ndarray (n_rounds,)
        Of each covariance, up to a constant: log likelihood of the known entries less the penalty of the loadings.
        Never falls in double precision. Empty for complete rows and for large matrices with holes.

    Notes
    -----
    Matrices of more than `DOUBLE_ENTRIES` entries are computed in float32. Rows with holes and more than
    `reproduce.imputers._low_rank_groups.PASSES_ENTRIES` entries (such as 4,000 rows of 12,557 genes) are fitted by at
    most six rounds of alternating least squares, see `reproduce.imputers._low_rank_passes`; `tol` does not count there.
    The base class holds several float64 copies of the matrix all the same; where they do not fit, `reproduce.chunked`
    fits and fills an array in float32, or a matrix on disk, block by block.

    Complete rows: Jöreskog, Some contributions to maximum likelihood factor analysis, Psychometrika 1967; Halko,
    Martinsson and Tropp, SIAM Review 2011. Holes: Rubin and Thayer, EM algorithms for ML factor analysis, Psychometrika
    1982; Liu, Rubin and Wu, Biometrika 1998, for the expanded rounds.
    """

    def __init__(
        self,
        *,
        group: str | None = "tissue",
        rank: str | int | None = "held_out",
        shrinkage: str | float = "held_out",
        covariance: str = "shared",
        pooling: float = 20.0,
        max_iter: int = 100,
        tol: float = 3e-5,
        unknown_category: str = "error",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.group = group
        self.rank = rank
        self.shrinkage = shrinkage
        self.covariance = covariance
        self.pooling = pooling
        self.max_iter = max_iter
        self.tol = tol
        self.unknown_category = unknown_category
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if self.group is not None and not isinstance(self.group, str):
            raise ConfigError(f"group is {self.group!r}; give the name of a categorical covariate, or None.")
        if isinstance(self.rank, str):
            check_choice("rank", self.rank, ("held_out",))
        elif self.rank is not None:
            check_integer("rank", self.rank, least=0)
        if isinstance(self.shrinkage, str):
            check_choice("shrinkage", self.shrinkage, ("held_out",))
        else:
            check_number("shrinkage", self.shrinkage, low=0, high=1, open_high=True)
        check_choice("covariance", self.covariance, ("shared", "group"))
        check_number("pooling", self.pooling, low=0)
        check_integer("max_iter", self.max_iter, least=1)
        check_number("tol", self.tol, low=0, open_low=True)
        check_choice("unknown_category", self.unknown_category, UNKNOWN_CATEGORY)
        check_random_state_value(self.random_state)

    def _fit(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> None:
        groups, _ = groups_of(self.group, covariates, len(Z))
        seed = int(check_random_state(self.random_state).randint(2**31))
        kind = np.float64 if Z.size <= DOUBLE_ENTRIES else np.float32
        options = FitOptions(self.covariance == "shared", self.pooling, self.max_iter, self.tol, kind)
        ranks, shrinkages = self._candidates(Z.shape, complete=bool(observed.all()))
        self.rank_, self.shrinkage_, self.errors_ = ranks[0], shrinkages[0], {}
        if len(ranks) * len(shrinkages) > 1:
            choice = choose(Z, observed, groups, covariates, options, ranks=ranks, shrinkages=shrinkages, seed=seed)
            self.rank_, self.shrinkage_, self.errors_ = choice.rank, choice.shrinkage, choice.errors
        fitted = fit_groups(Z, observed, groups, [self.rank_], options, np.random.default_rng([seed, 6]))[self.rank_]
        self.log_posterior_, self.converged_ = fitted.traces, fitted.settled
        self.n_iter_ = fitted.n_rounds
        self._fitted = fitted.shrunk(self.shrinkage_).with_all_together()

    def _candidates(self, shape: tuple[int, int], *, complete: bool) -> tuple[list[int], list[float]]:
        """Ranks and shrinkages to compare, in rising order."""
        shrinkages = list(SHRINKAGES) if self.shrinkage == "held_out" else [float(self.shrinkage)]
        n, p = shape
        if p == 1:
            return [0], [0.0]  # one gene has none to learn from
        if self.rank != "held_out":
            most = min(n, p)
            if not complete:
                most = min(most, p - 1)
            return [max(0, most if self.rank is None else min(self.rank, most))], shrinkages
        if not complete:
            most = min(n // 2, p // 2, MOST_RANK_WITH_HOLES)
            return [r for r in RANKS if r <= most] or [min(1, p - 1)], shrinkages
        ranks = [rank for rank in RANKS if rank <= min(n, p) // 2] or [min(1, p - 1)]
        return ranks + ([min(n, p)] if min(n, p) <= WHOLE_SIDE else []), shrinkages

    def _impute(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        groups, _ = groups_of(self.group, covariates, len(Z))
        return self._fitted.filled(Z, observed, groups)

    def _variance(self, Z: np.ndarray, observed: np.ndarray, covariates: Covariates | None) -> np.ndarray:
        # of the model: without the uncertainty of its mean and covariance
        variance = np.zeros(Z.shape)
        for rows, group in self._blocks(Z, covariates):
            variance[rows] = group.sd**2 * conditional_variance(observed[rows], group.normal)
        return variance

    def _draw(
        self,
        Z: np.ndarray,
        observed: np.ndarray,
        covariates: Covariates | None,
        n: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        draws = np.empty((n, *Z.shape))
        for rows, group in self._blocks(Z, covariates):
            residuals = group.residuals(Z[rows], observed[rows])
            for one in draws:
                one[rows] = group.restore(draw(residuals, observed[rows], group.normal, generator))
        return draws

    def _blocks(self, Z: np.ndarray, covariates: Covariates | None) -> Iterator[tuple[np.ndarray, GroupNormal]]:
        groups, _ = groups_of(self.group, covariates, len(Z))
        return self._fitted.rows_of(groups, Z)
