"""The low-rank Gaussian against dense formulas, the full conditional normal, and factor data whose rank is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers import _low_rank_directions, _low_rank_fit, _low_rank_groups, _low_rank_passes
from reproduce.imputers import _low_rank_normal as low_rank_normal
from reproduce.imputers._low_rank_fit import fit_low_rank, fit_low_rank_with_holes
from reproduce.imputers._normal import Normal
from reproduce.imputers._normal import conditional_mean as full_conditional_mean
from reproduce.imputers._normal import conditional_variance as full_conditional_variance
from reproduce.imputers.low_rank import LowRankGaussianImputer


def normal_of(n_genes=30, n_factors=4, seed=0, kind=np.float64):
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(n_genes, n_factors)) * np.geomspace(2, 0.3, n_factors)
    noise = rng.uniform(0.2, 1.5, n_genes)
    return low_rank_normal.LowRankNormal.of(loadings.astype(kind), noise.astype(kind))


def holes(shape, seed=1, rate=0.5):
    return np.random.default_rng(seed).random(shape) >= rate


def factor_data(n=400, p=40, k=5, seed=0, n_tissues=2):
    """Rows of k equally strong factors, two thirds of each gene's variance, and the tissues' covariates."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(p, k))
    loadings *= np.sqrt(2) / np.linalg.norm(loadings, axis=1, keepdims=True)
    tissue = np.arange(n) % n_tissues
    X = rng.normal(size=(n, k)) @ loadings.T + rng.normal(size=(n, p)) + rng.normal(size=(n_tissues, p))[tissue]
    covariates = pd.DataFrame(
        {"tissue": np.array(["colon", "lung", "skin"])[tissue], "donor": np.arange(n).astype(str)}
    )
    return X, covariates


@pytest.mark.parametrize("most_exact", [48, 0])  # batches of systems, conjugate gradients
@pytest.mark.parametrize("rate", [0.2, 0.9])
def test_conditional_mean_and_variance_are_those_of_the_dense_covariance(most_exact, rate, monkeypatch):
    monkeypatch.setattr(low_rank_normal, "EXACT_FACTORS", most_exact)
    normal = normal_of()
    rng = np.random.default_rng(2)
    observed = holes((25, 30), rate=rate)
    observed[0] = False
    observed[5:9] = observed[4]  # these share a mask
    R = np.where(observed, rng.normal(size=observed.shape), 0)
    dense = Normal.of(np.zeros(30), normal.covariance())
    expected = full_conditional_mean(np.where(observed, R, np.nan), dense)
    found = low_rank_normal.conditional_mean(R, observed, normal)
    np.testing.assert_allclose(found[~observed], expected[~observed], atol=1e-8)
    variance = low_rank_normal.conditional_variance(observed, normal)
    np.testing.assert_allclose(variance[~observed], full_conditional_variance(~observed, dense)[~observed], atol=1e-8)


def test_conjugate_gradients_in_single_precision_equal_exact_systems(monkeypatch):
    normal = normal_of(n_genes=600, n_factors=40, kind=np.float32)
    observed = holes((50, 600))
    observed[:, :200] &= holes((50, 1), seed=4)  # whole stretches missing: far from random holes
    R = np.where(observed, np.random.default_rng(3).normal(size=observed.shape), 0).astype(np.float32)
    exact = low_rank_normal.conditional_mean(R, observed, normal)
    monkeypatch.setattr(low_rank_normal, "EXACT_FACTORS", 0)
    np.testing.assert_allclose(low_rank_normal.conditional_mean(R, observed, normal), exact, atol=1e-4)
    # rows that have not settled are solved one by one
    monkeypatch.setattr(low_rank_normal, "MOST_ROUNDS", 1)
    np.testing.assert_allclose(low_rank_normal.conditional_mean(R, observed, normal), exact, atol=1e-4)


def test_log_likelihood_is_that_of_the_known_entries():
    normal, observed = normal_of(n_genes=9), holes((12, 9))
    R = np.where(observed, np.random.default_rng(3).normal(size=observed.shape), 0)
    dense = normal.covariance()
    expected = [
        multivariate_normal.logpdf(r[o], np.zeros(o.sum()), dense[np.ix_(o, o)]) if o.any() else 0.0
        for r, o in zip(R, observed)
    ]
    np.testing.assert_allclose(low_rank_normal.log_likelihood(R, observed, normal), expected, atol=1e-9)


def test_full_rank_is_the_sample_covariance_by_genes_or_by_rows():
    """Primal (genes × genes) and dual (rows × rows) form of one covariance; only its floor of noise is added."""
    rng = np.random.default_rng(0)
    for shape in ((80, 12), (20, 60)):
        R = rng.normal(size=shape) @ np.diag(np.geomspace(1, 3, shape[1]))
        normal = fit_low_rank(R, [min(shape)], generator=rng)[min(shape)]
        S = R.T @ R / len(R)
        np.testing.assert_allclose(normal.covariance(), S + 0.01 * np.diag(np.diag(S)), atol=1e-9)


def test_full_rank_imputes_as_the_full_normal_of_the_same_covariance():
    X, _ = factor_data(n=150, p=12)
    Z = np.where(holes(X.shape), X, np.nan)
    imputer = LowRankGaussianImputer(rank=None, shrinkage=0.1, pooling=0, group=None).fit(X)
    correlation = np.corrcoef(X.T)
    covariance = 0.9 * correlation + np.diag(np.full(12, 0.1 + 0.01))  # 0.01: the floor of noise
    scaled = (Z - X.mean(axis=0)) / X.std(axis=0)
    spread = np.sqrt(len(X) / (len(X) - 1))  # a group's variance is unbiased
    expected = full_conditional_mean(scaled / spread, Normal.of(np.zeros(12), covariance)) * spread
    np.testing.assert_allclose(imputer.transform(Z), expected * X.std(axis=0) + X.mean(axis=0), atol=1e-3)


def test_range_finder_equals_direct_decomposition(monkeypatch):
    rng = np.random.default_rng(0)
    R = rng.normal(size=(320, 5)) @ rng.normal(size=(5, 350)) + rng.normal(size=(320, 350))
    direct = fit_low_rank(R, [5], generator=rng)[5].covariance()
    monkeypatch.setattr(_low_rank_directions, "DIRECT_SIDE", 10)
    sketched = fit_low_rank(R, [5], generator=rng)[5].covariance()
    np.testing.assert_allclose(sketched, direct, atol=2e-2 * np.abs(direct).max())


def test_range_finder_by_passes_is_the_range_finder(monkeypatch):
    monkeypatch.setattr(_low_rank_directions, "DIRECT_SIDE", 10)
    monkeypatch.setattr(_low_rank_passes, "DIRECT_SIDE", 10)
    monkeypatch.setattr(low_rank_normal, "BLOCK_BYTES", 350 * 8 * 30)
    rng = np.random.default_rng(0)
    R = rng.normal(size=(320, 5)) @ rng.normal(size=(5, 350)) + rng.normal(size=(320, 350))
    blocks = _low_rank_passes.ArrayBlocks(R, np.ones(R.shape, bool), np.zeros(320, int))
    whole = fit_low_rank(R, [3, 5], generator=np.random.default_rng(1))
    passed = _low_rank_passes.fit_complete_by_passes(blocks, [3, 5], generator=np.random.default_rng(1))
    for rank in (3, 5):
        np.testing.assert_allclose(passed[rank].covariance(), whole[rank].covariance(), atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_em_never_lowers_its_objective(weighted):
    X, _ = factor_data(n=90, p=20)
    observed = holes(X.shape)
    groups = np.arange(90) % 2
    weights = np.where(groups == 0, 1.0, 0.2) if weighted else None
    fit = fit_low_rank_with_holes(
        np.where(observed, X, 0), observed, groups, 4, weights=weights, tol=1e-6, generator=np.random.default_rng(0)
    )
    assert len(fit.trace) > 5
    assert (np.diff(fit.trace) > -1e-9 * np.abs(fit.trace[1:])).all()
    assert fit.trace[-1] > fit.trace[0]


def test_em_recovers_means_and_covariance_of_many_rows():
    X, _ = factor_data(n=4000, p=15, k=2)
    observed = holes(X.shape)
    groups = np.arange(4000) % 2
    fit = fit_low_rank_with_holes(
        np.where(observed, X, 0), observed, groups, 2, tol=1e-7, generator=np.random.default_rng(0)
    )
    for group in (0, 1):
        np.testing.assert_allclose(fit.shift[group], X[groups == group].mean(axis=0), atol=0.15)
    within = np.vstack([X[groups == group] - X[groups == group].mean(axis=0) for group in (0, 1)])
    np.testing.assert_allclose(fit.normal.covariance(), np.cov(within.T, ddof=0), atol=0.2)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("covariance", ["shared", "group"])
def test_held_out_rank_is_near_the_true_one(in_place, covariance):
    X, covariates = factor_data()
    if in_place:
        X = np.where(holes(X.shape, rate=0.3), X, np.nan)
    imputer = LowRankGaussianImputer(covariance=covariance, random_state=0).fit(X, covariates=covariates)
    assert imputer.rank_ in (3, 5, 8)


@pytest.mark.parametrize("in_place", [False, True])
def test_order_of_genes_does_not_matter(in_place):
    X, covariates = factor_data(n=120, p=15)
    Z = np.where(holes(X.shape), X, np.nan)
    order = np.random.default_rng(5).permutation(15)
    imputer = LowRankGaussianImputer(rank=3, shrinkage=0.05)
    filled = imputer.fit(Z if in_place else X, covariates=covariates).transform(Z, covariates=covariates)
    moved = imputer.fit((Z if in_place else X)[:, order], covariates=covariates)
    np.testing.assert_allclose(moved.transform(Z[:, order], covariates=covariates), filled[:, order], atol=1e-6)


def test_draws_have_the_conditional_mean_and_sd():
    X, covariates = factor_data(n=200, p=12)
    imputer = LowRankGaussianImputer(rank=3, shrinkage=0.0).fit(X, covariates=covariates)
    Z = np.where(holes((4, 12)), X[:4], np.nan)
    drawn = imputer.sample(Z, 4000, covariates=covariates[:4], random_state=0)
    missing = np.isnan(Z)
    sd = imputer.conditional_sd(Z, covariates=covariates[:4])
    filled = imputer.transform(Z, covariates=covariates[:4])
    assert (np.abs(drawn.mean(axis=0) - filled)[missing] < 5 * sd[missing] / np.sqrt(4000)).all()
    np.testing.assert_allclose(drawn.std(axis=0)[missing], sd[missing], rtol=0.06)


def test_unknown_tissue_has_mean_and_covariance_of_all_together():
    X, covariates = factor_data(n=600, p=10)
    imputer = LowRankGaussianImputer(rank=5, shrinkage=0.0, pooling=0).fit(X, covariates=covariates)
    together = imputer._fitted.groups[0]
    Z = (X - imputer.center_) / imputer.scale_
    np.testing.assert_allclose(together.mean, 0, atol=1e-9)
    np.testing.assert_allclose(together.normal.covariance(), np.cov(Z.T, ddof=0), atol=0.1)


@pytest.mark.parametrize(("covariance", "most_factors"), [("shared", 256), ("shared", 3), ("group", 256)])
def test_errors_of_rows_of_an_unknown_tissue_are_as_large_as_predicted(covariance, most_factors, monkeypatch):
    """Tissues differ in means and in which genes vary most: no one scale, and no one mean, serves them all."""
    monkeypatch.setattr(_low_rank_groups, "MOST_FACTORS_TOGETHER", most_factors)
    rng = np.random.default_rng(1)
    X, covariates = factor_data(n=1500, p=20, k=3, n_tissues=3)
    tissue = np.arange(1500) % 3
    X = X * np.exp(0.7 * rng.normal(size=(3, 20)))[tissue] + 2 * rng.normal(size=(3, 20))[tissue]
    imputer = LowRankGaussianImputer(rank=3, shrinkage=0.0, covariance=covariance)
    imputer.fit(X[:1200], covariates=covariates[:1200])
    missing, unknown = ~holes((300, 20)), covariates[1200:].assign(tissue=None)
    Z = np.where(missing, np.nan, X[1200:])
    error = (X[1200:] - imputer.transform(Z, covariates=unknown))[missing]
    sd = imputer.conditional_sd(Z, covariates=unknown)[missing]
    assert 0.9 < np.mean((error / sd) ** 2) < 1.15


def test_a_choice_on_left_out_donors_needs_two_of_a_tissue():
    X, covariates = factor_data(n=20, p=6)
    covariates["donor"] = "one"
    with pytest.raises(DataFormatError, match="rank='held_out' and shrinkage='held_out'"):
        LowRankGaussianImputer().fit(X, covariates=covariates)
    LowRankGaussianImputer(rank=1, shrinkage=0.2).fit(X, covariates=covariates)


def test_bad_parameters_are_refused():
    X, _ = factor_data(n=20, p=5)
    for changes in ({"rank": "best"}, {"rank": -1}, {"shrinkage": 1.0}, {"covariance": "own"}, {"pooling": -1}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            LowRankGaussianImputer(**changes).fit(X)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_round_by_passes_is_a_round_of_em(weighted, monkeypatch):
    """Sums over blocks, with groups' means and weights, against the arithmetic that holds the matrix."""
    monkeypatch.setattr(low_rank_normal, "BLOCK_BYTES", 20 * 8 * 7)  # blocks of seven rows
    X, _ = factor_data(n=90, p=20)
    observed, groups = holes(X.shape), np.arange(90) % 2
    R = np.where(observed, X, 0)
    weights = np.where(groups == 0, 1.0, 0.2) if weighted else None
    em = _low_rank_fit._ExpectationMaximisation(R.copy(), observed, groups, weights)
    blocks = _low_rank_passes.ArrayBlocks(R, observed, groups, weights)
    known, shift = _low_rank_passes._Known.of(blocks, 2), np.zeros((2, 20))
    expected = found = _low_rank_fit._start(R, observed, 4, np.random.default_rng(0))
    for _ in range(3):
        expected, _ = em.round(expected, expanded=True)
        found, shift = _low_rank_passes._maximised(_low_rank_passes._RoundSums.of(blocks, found, shift), known, shift)
    np.testing.assert_allclose(shift, em.shift, atol=1e-9)
    np.testing.assert_allclose(found.covariance(), expected.covariance(), atol=1e-9)


def test_large_matrices_with_holes_are_fitted_by_passes(monkeypatch):
    X, covariates = factor_data(n=300, p=400)
    Z = np.where(holes(X.shape), X, np.nan)
    error = {}
    for name, most, exact in (("em", 10**9, 2_000), ("passes", 0, 0)):
        monkeypatch.setattr(_low_rank_groups, "PASSES_ENTRIES", most)
        monkeypatch.setattr(_low_rank_passes, "EXACT_GENES", exact)  # 0: conjugate gradients, diagonal uncertainty
        imputer = LowRankGaussianImputer(rank=5, shrinkage=0.0, random_state=0)
        filled = imputer.fit_transform(Z, covariates=covariates)
        error[name] = np.mean((filled - X)[np.isnan(Z)] ** 2)
    assert imputer.log_posterior_ == [] and 1 < imputer.n_iter_ <= _low_rank_passes.MOST_ROUNDS
    assert error["passes"] < 1.005 * error["em"]
