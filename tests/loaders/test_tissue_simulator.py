"""The embedded tissues have GTEx's sizes and the tree's distances, and their oracle is the law's conditional mean."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError
from reproduce.loaders.embedded import covariate_design
from reproduce.loaders.gene_sets import gene_set
from reproduce.loaders.gtex_tissues import read_tissue_csv, tissue_table
from reproduce.loaders.tissue_simulator import N_DONORS, TissueLaw, simulate_tissues

BLOOD, LUNG = "Whole Blood", "Lung"


@pytest.fixture(scope="module")
def drawn():
    return simulate_tissues(0, genes=60)


@pytest.fixture(scope="module")
def log1p(drawn):
    return np.log1p(np.asarray(drawn.cohort.X, dtype=float))


def rows_of(cohort, tissue):
    return (cohort.obs["tissue"] == tissue).to_numpy()


def within_tissue(log1p, cohort):
    frame = pd.DataFrame(log1p, index=cohort.obs_names)
    return frame - frame.groupby(cohort.obs["tissue"]).transform("mean")


# --- the cohort ---


def test_sizes_are_gtexs_and_samples_are_persons_of_the_right_sex(drawn):
    obs, table = drawn.cohort.obs, tissue_table()
    sizes = table["n_eqtl_samples"][table["n_eqtl_samples"] > 0]
    assert obs["tissue"].value_counts().to_dict() == sizes.to_dict()
    assert len(obs) == 15_201 and obs["donor"].nunique() <= N_DONORS
    assert not obs.duplicated(["donor", "tissue"]).any()
    people = obs.groupby("donor")[["sex", "age"]].nunique()
    assert (people == 1).all(axis=None)
    for tissue, sex in table["sex"][table["sex"] != ""].items():
        assert set(obs["sex"][obs["tissue"] == tissue]) <= {sex}


def test_values_are_whole_counts_and_few_are_zero(drawn):
    X = drawn.cohort.X
    assert X.dtype == np.float32
    assert (np.rint(X) == X).all() and (X >= 0).all()
    assert (X == 0).mean() < 0.005


def test_the_seed_decides_and_the_number_of_donors_scales():
    few = simulate_tissues(1, genes=5, n_donors=60).cohort
    np.testing.assert_array_equal(few.X, simulate_tissues(1, genes=5, n_donors=60).cohort.X)
    assert (few.X != simulate_tissues(2, genes=5, n_donors=60).cohort.X).any()
    assert few.n_obs == pytest.approx(15_201 * 60 / N_DONORS, rel=0.02)
    assert few.obs["tissue"].nunique() == 49


def test_genes_are_a_number_or_a_set():
    p53 = gene_set("p53")
    named = simulate_tissues(0, genes="p53", n_donors=20).cohort
    assert tuple(named.var_names) == p53.symbols
    assert named.var["ensembl_id"].to_dict() == p53.ensembl_of_symbol
    assert any("p53" in note and "not their expression" in note for note in named.uns["notes"])
    many = simulate_tissues(0, genes=2_100, n_donors=20).cohort  # more than are checked at once
    assert many.n_vars == many.var_names.nunique() == 2_100
    assert many.uns["units"] == named.uns["units"]


@pytest.mark.parametrize("options", [{"genes": 1}, {"genes": 2.5}, {"genes": "p54"}, {"n_donors": 10}, {"seed": -1}])
def test_an_impossible_request_is_refused(options):
    with pytest.raises(ConfigError):
        simulate_tissues(**options)


# --- what makes it like tissues ---


def distances(log1p, cohort):
    means = pd.DataFrame(log1p).groupby(cohort.obs["tissue"].to_numpy()).mean()
    squares = ((means.to_numpy()[:, None] - means.to_numpy()[None]) ** 2).mean(-1)
    return pd.DataFrame(np.sqrt(squares), means.index, means.index)


def test_distances_between_tissues_follow_the_tree(drawn, log1p):
    """The squared steps on the way between two tissues add up; means clipped near zero make it no exact law."""
    tree = read_tissue_csv("tree").set_index("node")
    found = distances(log1p, drawn.cohort)

    def way(tissue):
        steps = {}
        while tissue != "body":
            steps[tissue] = tree.at[tissue, "step"] ** 2
            tissue = tree.at[tissue, "parent"]
        return steps

    ways = {tissue: way(tissue) for tissue in found.index}
    pairs = [(a, b) for i, a in enumerate(found.index) for b in found.index[:i]]
    expected = [np.sqrt(sum({**ways[a], **ways[b]}[n] for n in ways[a].keys() ^ ways[b].keys())) for a, b in pairs]
    observed = [found.at[a, b] for a, b in pairs]
    assert np.corrcoef(expected, observed)[0, 1] > 0.8

    brain = found.index.str.startswith("Brain")
    inside = found.loc[brain, brain].to_numpy()[~np.eye(brain.sum(), dtype=bool)]
    assert np.median(inside) < 0.6 * found.loc[brain, ~brain].median(axis=None)


def test_near_tissues_correlate_their_genes_alike(drawn, log1p):
    residuals = within_tissue(log1p, drawn.cohort).to_numpy()
    upper = np.triu_indices(residuals.shape[1], 1)

    def correlations(tissue):
        return np.corrcoef(residuals[rows_of(drawn.cohort, tissue)].T)[upper]

    skin = correlations("Skin - Not Sun Exposed (Suprapubic)")
    near, far = correlations("Skin - Sun Exposed (Lower leg)"), correlations("Brain - Cerebellum")
    assert np.corrcoef(skin, near)[0, 1] > np.corrcoef(skin, far)[0, 1] + 0.2


def test_blood_tells_of_another_tissue_of_its_donor_and_of_nobody_else(drawn, log1p):
    residuals = within_tissue(log1p, drawn.cohort)
    donors = drawn.cohort.obs["donor"].to_numpy()
    blood, lung = (
        residuals[rows].set_axis(donors[rows]) for rows in (rows_of(drawn.cohort, name) for name in (BLOOD, LUNG))
    )
    both = blood.index.intersection(lung.index)
    assert len(both) > 300

    def mean_correlation(one, other):
        return np.mean([np.corrcoef(one[:, j], other[:, j])[0, 1] for j in range(one.shape[1])])

    blood, lung = blood.loc[both].to_numpy(), lung.loc[both].to_numpy()
    assert mean_correlation(blood, lung) > 0.08
    assert abs(mean_correlation(blood, np.roll(lung, 1, axis=0))) < 0.04


# --- the oracle ---


def test_the_conditional_mean_is_that_of_the_dense_gaussian():
    rng = np.random.default_rng(0)
    law = TissueLaw(
        rng.normal(5, 1, 7), rng.normal(0, 0.3, (7, 2)), rng.normal(0, 0.5, (7, 3)), rng.uniform(0.2, 0.6, 7)
    )
    covariance = law.loadings @ law.loadings.T + np.diag(law.noise**2)
    design = rng.normal(size=(4, 2))
    complete = rng.normal(5, 1, (4, 7))
    hidden = rng.random((4, 7)) < 0.5
    hidden[0], hidden[1] = True, False
    filled = law.conditional_log1p(np.where(hidden, np.nan, complete), design)
    for i in range(4):
        mean = law.mean + law.effects @ design[i]
        h, v = hidden[i], ~hidden[i]
        update = covariance[np.ix_(h, v)] @ np.linalg.solve(covariance[np.ix_(v, v)], (complete[i] - mean)[v])
        np.testing.assert_allclose(filled[i, h], mean[h] + update)
        np.testing.assert_array_equal(filled[i, v], complete[i, v])


def test_the_draw_follows_the_law_that_the_oracle_knows(drawn, log1p):
    """Means, variances and correlations of a large tissue, within sampling error of 706 samples."""
    rows = rows_of(drawn.cohort, "Muscle - Skeletal")
    law, obs = drawn.truth.laws["Muscle - Skeletal"], drawn.cohort.obs[rows]
    residuals = log1p[rows] - law.mean - covariate_design(obs["sex"], obs["age"]) @ law.effects.T
    covariance = law.loadings @ law.loadings.T + np.diag(law.noise**2)
    deviations = np.sqrt(np.diag(covariance))
    assert (np.abs(residuals.mean(0)) < 5 * deviations / np.sqrt(rows.sum())).all()
    np.testing.assert_allclose(residuals.std(0) / deviations, 1, atol=0.15)
    expected = covariance / np.outer(deviations, deviations)
    assert np.abs(np.corrcoef(residuals.T) - expected).max() < 0.2


def test_the_oracle_beats_what_ignores_the_law(drawn, log1p):
    rows = rows_of(drawn.cohort, LUNG)
    hidden = np.random.default_rng(0).random((rows.sum(), log1p.shape[1])) < 0.5
    best = drawn.truth.best_r2("GTEx", hidden, rows=rows)
    values = log1p[rows]
    # The share of its variance that each gene's nearest one explains, were it always visible.
    correlations = np.corrcoef(values.T) - np.eye(values.shape[1])
    assert (correlations**2).max(axis=1).mean() < best < 0.9


def test_the_oracle_needs_the_right_tissue(drawn, log1p):
    rows = rows_of(drawn.cohort, LUNG)
    obs = drawn.cohort.obs[rows]
    hidden = np.random.default_rng(1).random((rows.sum(), log1p.shape[1])) < 0.5
    right = drawn.truth.best_attainable_r2("GTEx", log1p[rows], obs, hidden)
    wrong = drawn.truth.best_attainable_r2("GTEx", log1p[rows], obs.assign(tissue=BLOOD), hidden)
    assert wrong < right - 0.2


def test_the_oracle_refuses_what_it_has_no_law_for(drawn, log1p):
    truth, obs = drawn.truth, drawn.cohort.obs.iloc[:3]
    X = log1p[:3]
    for X_visible, people, words in [
        (X, obs.assign(tissue="Bladder"), "no tissue Bladder"),
        (X[:, 1:], obs, "has shape"),
        (-X, obs, "not negative"),
        (pd.DataFrame(X, columns=drawn.cohort.var_names).iloc[:, 1:], obs, "lacks the genes"),
        (X, obs.assign(age=np.nan), "age must be known"),
    ]:
        with pytest.raises(ConfigError, match=words):
            truth.oracle_impute("GTEx", X_visible, people)
    with pytest.raises(ConfigError, match="unknown cohort 'LUAD'"):
        truth.oracle_impute("LUAD", X, obs)
    shuffled = pd.DataFrame(X, columns=drawn.cohort.var_names).iloc[:, ::-1]
    np.testing.assert_array_equal(truth.oracle_impute("GTEx", shuffled, obs), X)
