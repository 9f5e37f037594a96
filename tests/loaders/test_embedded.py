"""The embedded cohort is shaped like the real one, repeatable, and its oracle is what it claims to be."""

import dataclasses
import time

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders import embedded
from reproduce.loaders.embedded import BLOCKS, COLON, LEVELS, LUNG, QUANTILE_COLUMNS, simulate_cohorts


@pytest.fixture(scope="module")
def default():
    return simulate_cohorts(0)


@pytest.fixture(scope="module")
def many_lungs():
    """Enough lung samples and LUAD tumours for sampling error to be small beside what is tested."""
    return simulate_cohorts(3, n_gtex_lung=12_000, n_gtex_colon=1, n_luad=12_000, n_coadread=1)


def log1p_of(cohort, tissue=LUNG):
    rows = (cohort.obs["tissue"] == tissue).to_numpy()
    return np.log1p(np.asarray(cohort.X, dtype=float))[rows], cohort.obs[rows]


def r2_per_gene(truth, predicted):
    return 1 - ((truth - predicted) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)


# --- shape ---


def test_default_sizes_are_those_of_the_real_study(default):
    gtex = default.cohorts["GTEx"]
    per_donor = gtex.obs.groupby("donor", observed=True)["tissue"].nunique()
    assert gtex.obs["tissue"].value_counts().to_dict() == {LUNG: 578, COLON: 406}
    assert (per_donor == 2).sum() == 268
    assert gtex.n_vars == 65
    assert default.cohorts["LUAD"].shape == (515, 64)
    assert default.cohorts["COADREAD"].shape == (379, 64)


def test_a_donor_is_one_person(default):
    people = default.cohorts["GTEx"].obs.groupby("donor", observed=True)
    assert (people["sex"].nunique() == 1).all()
    assert (people["age"].nunique() == 1).all()


def test_gtex_holds_whole_counts_and_tumours_do_not(default):
    gtex, luad = (np.asarray(default.cohorts[name].X) for name in ("GTEx", "LUAD"))
    np.testing.assert_array_equal(gtex, default.cohorts["GTEx"].layers["counts"])
    assert (gtex >= 0).all()
    assert (luad != np.round(luad)).mean() > 0.9


def test_genes_are_real_and_the_lack_of_pten_is_said(default):
    assert set(default.cohorts["GTEx"].var_names) - set(default.cohorts["LUAD"].var_names) == {"PTEN"}
    assert default.cohorts["GTEx"].var.loc["TP53", "ensembl_id"] == "ENSG00000141510"
    assert any("PTEN" in note and "TEP1" in note for note in default.cohorts["LUAD"].uns["notes"])


# --- repeatability and arguments ---


def test_same_seed_same_numbers_other_seed_others(default):
    again, other = simulate_cohorts(0), simulate_cohorts(1)
    for name, cohort in default.cohorts.items():
        np.testing.assert_array_equal(cohort.X, again.cohorts[name].X)
        pd.testing.assert_frame_equal(cohort.obs, again.cohorts[name].obs)
        assert not np.array_equal(cohort.X, other.cohorts[name].X)


def test_the_size_of_one_cohort_leaves_the_others_alone(default):
    smaller = simulate_cohorts(0, n_luad=10)
    np.testing.assert_array_equal(default.cohorts["GTEx"].X, smaller.cohorts["GTEx"].X)
    np.testing.assert_array_equal(default.cohorts["COADREAD"].X, smaller.cohorts["COADREAD"].X)
    assert smaller.cohorts["LUAD"].n_obs == 10


def test_tissues_may_be_had_by_disjoint_donors():
    gtex = simulate_cohorts(0, n_gtex_lung=7, n_gtex_colon=5, n_gtex_both=0, n_luad=1, n_coadread=1).cohorts["GTEx"]
    assert gtex.obs["donor"].nunique() == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_luad": 0}, "n_luad=0"),
        ({"n_gtex_lung": -3}, "n_gtex_lung=-3"),
        ({"n_gtex_colon": 2.5}, "n_gtex_colon=2.5"),
        ({"n_coadread": True}, "n_coadread=True"),
        ({"n_gtex_lung": 5, "n_gtex_colon": 4, "n_gtex_both": 5}, "n_gtex_both=5"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_bad_sizes_are_named(arguments, said):
    with pytest.raises(ConfigError, match=said):
        simulate_cohorts(**arguments)


def test_absent_table_is_named(tmp_path):
    with pytest.raises(DataFormatError, match=r"genes\.csv.*reproduce calibrate"):
        embedded.read_tables(tmp_path)


def test_default_cohort_takes_less_than_a_second(default):
    def seconds():
        start = time.perf_counter()
        simulate_cohorts(1)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 1.0


# --- the law ---


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_covariances_are_positive_definite(default, block):
    assert (np.linalg.eigvalsh(default.truth.laws[block.name].covariances) > 1e-4).all()


@pytest.mark.parametrize("name", ["GTEx", "LUAD"])
def test_draws_have_the_tabulated_quantiles(many_lungs, name):
    tables = embedded.read_tables()
    log1p, _ = log1p_of(many_lungs.cohorts[name])
    table = tables.quantiles[tables.quantiles["block"] == {"GTEx": "gtex_lung", "LUAD": "tcga_luad"}[name]]
    inner = np.abs(LEVELS) <= 1.6
    drawn = np.quantile(log1p, embedded.ndtr(LEVELS[inner]), axis=0).T
    difference = np.abs(drawn - table[np.array(QUANTILE_COLUMNS)[inner]].to_numpy())
    # In units of each gene's spread: a marginal map without its mixture correction misses this.
    assert (difference / log1p.std(0)[:, None]).max() < 0.12


def test_depth_of_draws_is_that_of_the_real_samples(many_lungs):
    tables = embedded.read_tables()
    log1p, _ = log1p_of(many_lungs.cohorts["GTEx"])
    depth = np.median(log1p - np.median(log1p, axis=0), axis=1)
    fitted = tables.depth.set_index("block").loc["gtex_lung", QUANTILE_COLUMNS].to_numpy(dtype=float)
    inner = np.abs(LEVELS) <= 1.6
    np.testing.assert_allclose(np.quantile(depth, embedded.ndtr(LEVELS[inner])), fitted[inner], atol=0.06)


def test_tissues_of_one_donor_are_alike_and_of_strangers_not():
    gtex = simulate_cohorts(5, n_gtex_lung=3000, n_gtex_colon=3000, n_gtex_both=3000, n_luad=1, n_coadread=1).cohorts[
        "GTEx"
    ]
    lung, colon = (log1p_of(gtex, tissue)[0] for tissue in (LUNG, COLON))
    columns = range(lung.shape[1])
    donor = np.mean([np.corrcoef(lung[:, j], colon[:, j])[0, 1] for j in columns])
    strangers = np.mean([np.corrcoef(lung[:, j], np.roll(colon[:, j], 1))[0, 1] for j in columns])
    assert donor == pytest.approx(0.16, abs=0.03)  # 0.158 between the real tissues of 268 donors
    assert abs(strangers) < 0.02


def test_maps_to_and_from_the_latent_space_are_inverse(default):
    law = default.truth.laws["gtex_colon"]
    log1p, _ = log1p_of(default.cohorts["GTEx"], COLON)
    np.testing.assert_allclose(law.to_log1p(law.to_latent(log1p)), log1p, atol=1e-9)


def test_expectation_of_the_map_equals_numerical_integration(default):
    law = default.truth.laws["tcga_luad"]
    genes = np.array([0, 7, 30])
    mean, deviation = np.array([-1.5, 0.2, 2.5]), np.array([0.3, 1.0, 2.0])
    grid = np.linspace(-8, 8, 20_001)
    weight = np.exp(-0.5 * grid**2)
    weight /= weight.sum()
    for position, gene in enumerate(genes):
        latent = np.zeros((len(grid), len(law.genes)))
        latent[:, gene] = mean[position] + deviation[position] * grid
        expected = weight @ law.to_log1p(latent)[:, gene]
        assert law.expected_log1p(mean, deviation, genes)[position] == pytest.approx(expected, abs=1e-5)


# --- the oracle ---


@pytest.fixture(scope="module", params=["GTEx", "LUAD"])
def fixed_pattern(request, many_lungs):
    """Half the genes hidden, the same in every sample, so that a regression is a competitor: 2,000 test samples."""
    name = request.param
    log1p, obs = log1p_of(many_lungs.cohorts[name])
    hidden = np.random.default_rng(0).random(log1p.shape[1]) < 0.5
    mask = np.zeros((2000, log1p.shape[1]), dtype=bool)
    mask[:, hidden] = True
    oracle = many_lungs.truth.oracle_impute(name, np.where(mask, np.nan, log1p[:2000]), obs[:2000])
    features = np.column_stack([log1p[:, ~hidden], embedded.covariate_design(obs["sex"], obs["age"])])
    return log1p, hidden, oracle, features


def test_no_regression_on_many_samples_beats_the_oracle(fixed_pattern):
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor

    log1p, hidden, oracle, features = fixed_pattern
    truth, train = log1p[:2000, hidden], log1p[2000:, hidden]
    best = r2_per_gene(truth, oracle[:, hidden])
    scaled = (features - features.mean(0)) / features.std(0)
    for competitor in (Ridge(1.0), KNeighborsRegressor(10)):
        reached = r2_per_gene(truth, competitor.fit(scaled[2000:], train).predict(scaled[:2000]))
        assert reached.mean() < best.mean()
        assert (reached - best).max() < 0.01  # not even on one gene, beyond noise


def test_the_oracle_is_a_conditional_expectation(fixed_pattern):
    """E[y | oracle] = oracle: the truth regresses on it with slope 1, and no visible gene explains what is left."""
    log1p, hidden, oracle, features = fixed_pattern
    truth, predicted = log1p[:2000, hidden], oracle[:, hidden]
    slopes = [np.polyfit(p, t, 1)[0] for p, t in zip(predicted.T, truth.T, strict=True)]
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.02)
    residual = truth - predicted
    explained = np.corrcoef(residual.T, features[:2000].T)[: residual.shape[1], residual.shape[1] :]
    assert np.sqrt(np.mean(explained**2)) < 1.25 / np.sqrt(2000)  # what chance gives


def test_a_fit_of_the_right_family_converges_to_the_oracle():
    """With one component the latent space is Gaussian: linear regression there is the truth, up to estimation error."""
    tables = embedded.read_tables()
    tables = dataclasses.replace(
        tables,
        components=tables.components[tables.components["component"] == 1],
        factors=tables.factors[tables.factors["component"] == 1],
    )
    drawn = simulate_cohorts(4, n_gtex_lung=1, n_gtex_colon=1, n_luad=22_000, n_coadread=1, tables=tables)
    law = drawn.truth.laws["tcga_luad"]
    log1p, obs = log1p_of(drawn.cohorts["LUAD"])
    mask = np.zeros((2000, log1p.shape[1]), dtype=bool)
    mask[:, ::2] = True
    best = drawn.truth.best_attainable_r2("LUAD", log1p[:2000], obs[:2000], mask)

    latent = law.to_latent(log1p)
    design = np.column_stack([latent[:, 1::2], embedded.covariate_design(obs["sex"], obs["age"]), np.ones(len(latent))])
    gaps = []
    for n_train in (500, 20_000):
        rows = slice(2000, 2000 + n_train)
        coefficients, *_ = np.linalg.lstsq(design[rows], latent[rows, ::2], rcond=None)
        deviation = (latent[rows, ::2] - design[rows] @ coefficients).std(0)
        genes = np.arange(0, log1p.shape[1], 2)
        mean = design[:2000] @ coefficients
        reached = r2_per_gene(log1p[:2000, ::2], law.expected_log1p(mean, np.tile(deviation, (2000, 1)), genes)).mean()
        gaps.append(best - reached)
    assert gaps[0] > 0.03
    assert abs(gaps[1]) < 0.004


def test_oracle_leaves_visible_entries_and_fills_the_rest(default):
    cohort = default.cohorts["GTEx"][:20]
    log1p = np.log1p(np.asarray(cohort.X, dtype=float))
    hidden = np.random.default_rng(0).random(log1p.shape) < 0.5
    hidden[0] = True  # nothing visible at all
    hidden[1] = False  # nothing to do
    filled = default.truth.oracle_impute("GTEx", np.where(hidden, np.nan, log1p), cohort.obs)
    np.testing.assert_array_equal(filled[~hidden], log1p[~hidden])
    assert np.isfinite(filled).all()


def test_oracle_knows_more_when_more_is_visible(default):
    mask = np.random.default_rng(1).random(default.cohorts["LUAD"].shape)
    scored = mask < 0.2
    some, few = (default.truth.best_r2("LUAD", mask < rate, per_gene=True).mean() for rate in (0.2, 0.8))
    assert scored.any()
    assert some > few > 0.0


def test_oracle_matches_genes_by_name_and_rows_by_choice(default):
    cohort = default.cohorts["COADREAD"][:10]
    log1p = pd.DataFrame(np.log1p(np.asarray(cohort.X, dtype=float)), index=cohort.obs_names, columns=cohort.var_names)
    log1p = log1p.mask(np.random.default_rng(0).random(log1p.shape) < 0.5)
    straight = default.truth.oracle_impute("COADREAD", log1p, cohort.obs)
    shuffled = default.truth.oracle_impute("COADREAD", log1p[log1p.columns[::-1]], cohort.obs)
    np.testing.assert_array_equal(straight, shuffled)

    mask = log1p.isna().to_numpy()
    by_rows = default.truth.best_r2("COADREAD", mask, rows=np.arange(10))
    by_matrix = default.truth.best_attainable_r2(
        "COADREAD", np.log1p(np.asarray(cohort.X, dtype=float)), cohort.obs, mask
    )
    assert by_rows == by_matrix


def test_oracle_refuses_what_it_has_no_law_for(default):
    cohort = default.cohorts["LUAD"][:3]
    log1p = np.log1p(np.asarray(cohort.X, dtype=float))
    with pytest.raises(ConfigError, match="unknown cohort 'BRCA'"):
        default.truth.oracle_impute("BRCA", log1p, cohort.obs)
    with pytest.raises(ConfigError, match=r"shape \(3, 63\)"):
        default.truth.oracle_impute("LUAD", log1p[:, 1:], cohort.obs)
    with pytest.raises(ConfigError, match="no tissue Spleen"):
        default.truth.oracle_impute("LUAD", log1p, cohort.obs.assign(tissue="Spleen"))
    with pytest.raises(ConfigError, match="sex must be"):
        default.truth.oracle_impute("LUAD", log1p, cohort.obs.assign(sex=np.nan))
    with pytest.raises(ConfigError, match="age must be known"):
        default.truth.oracle_impute("LUAD", log1p, cohort.obs.assign(age=np.nan))
    with pytest.raises(ConfigError, match="evaluation_mask must be boolean"):
        default.truth.best_r2("LUAD", np.zeros((2, 2)))
