"""Transfer: its arithmetic against brute force, and what a good, a useless and a partial reference do."""

import pickle

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.imputers import _transfer as helper
from reproduce.imputers._normal import Normal, Prior, conditional_mean
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.transfer import TransferImputer
from reproduce.metrics import gene_scores

GENES = [f"G{i}" for i in range(12)]


def law(seed=0):
    """Mean and covariance of one kind of tissue: three factors."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(len(GENES), 3))
    return rng.normal(size=len(GENES)) + 6, loadings @ loadings.T + 0.3 * np.eye(len(GENES))


def cohort(n, seed, kind=0, shift=0.0):
    mean, covariance = law(kind)
    values = np.random.default_rng([seed, kind]).multivariate_normal(mean + shift, covariance, size=n)
    return pd.DataFrame(values, columns=GENES, index=[f"sample {seed}-{i}" for i in range(n)])


def with_holes(X, rate=0.5, seed=1):
    hidden = np.random.default_rng(seed).random(X.shape) < rate
    hidden[:2] = [np.arange(X.shape[1]) % 2 == 0, np.arange(X.shape[1]) % 2 == 1]  # each gene is known at least once
    return X.mask(hidden), hidden


def r2(X, filled, hidden):
    return float(np.nanmean(gene_scores(X.to_numpy(), np.asarray(filled), hidden)["r2"]))


def over_targets(fill, n, n_targets=8):
    """R² over the rows of several targets, each filled alone."""
    truths, filled, masks = [], [], []
    for seed in range(n_targets):
        X = cohort(n, 100 + seed)
        visible, hidden = with_holes(X, seed=seed)
        truths.append(X)
        filled.append(np.asarray(fill(visible)))
        masks.append(hidden)
    return r2(pd.concat(truths), np.vstack(filled), np.vstack(masks))


def transfer(references=None, **settings):
    return lambda visible: TransferImputer(random_state=0, **settings).fit_transform(visible, references=references)


@pytest.fixture(scope="module")
def normal():
    return Normal.of(*law())


@pytest.fixture(scope="module")
def Z():
    return with_holes(cohort(9, 5))[0].to_numpy()


def test_leave_one_out_is_what_hiding_each_entry_gives(normal, Z):
    residual = helper.leave_one_out(Z, normal)
    for row, gene in np.argwhere(~np.isnan(Z)):
        alone = Z[[row]].copy()
        alone[0, gene] = np.nan
        assert residual[row, gene] == pytest.approx(Z[row, gene] - conditional_mean(alone, normal)[0, gene])
    assert (residual[np.isnan(Z)] == 0).all()


def test_most_probable_mean_is_where_em_settles(normal, Z):
    of_mean = helper.MeanPrior(np.full(len(GENES), 5.0), np.full(len(GENES), 0.7))
    mean = helper.most_probable_mean(Z, normal, of_mean)
    by_em = normal.mean
    for _ in range(3000):
        average = conditional_mean(Z, Normal(by_em, normal.covariance, normal.precision)).mean(axis=0)
        by_em = helper._updated_mean(average, len(Z), normal, of_mean)
    np.testing.assert_allclose(mean, by_em, atol=1e-6)


def test_weight_of_the_prior_leads_from_the_target_to_the_reference(normal, Z):
    flat = helper.MeanPrior(np.zeros(len(GENES)), np.zeros(len(GENES)))
    ends = {}
    for samples in (1.0, 1e7, np.inf):
        prior = Prior(normal.covariance, samples)
        ends[samples], _, settled = helper.updated_by_target(Z, normal, prior, flat, max_iter=3000, tol=1e-7)
        assert settled
    np.testing.assert_allclose(ends[1e7].covariance, ends[np.inf].covariance, atol=1e-4)
    np.testing.assert_allclose(ends[1e7].mean, ends[np.inf].mean, atol=1e-3)
    assert np.abs(ends[1.0].covariance - normal.covariance).max() > 0.2


@pytest.mark.parametrize("n_references", [1, 2, 3, 4, 7, 14])
def test_mixing_proportions_reach_from_none_to_each_reference_alone(n_references):
    lattice = helper.simplex_lattice(n_references)
    assert lattice.shape[1] == n_references + 1 and len(lattice) <= helper.MOST_MIXTURES
    np.testing.assert_allclose(lattice.sum(axis=1), 1)
    assert lattice.min() == 0 and len(np.unique(lattice, axis=0)) == len(lattice)
    for end in np.eye(n_references + 1):
        assert (lattice == end).all(axis=1).any()


def test_a_kindred_reference_helps_few_samples_and_a_stranger_does_not_hurt():
    def alone(visible):
        return ConditionalGaussianImputer(group=None).fit_transform(visible)

    kin, stranger = cohort(300, 1), cohort(300, 2, kind=7)
    assert over_targets(transfer({"kin": kin}), 8, 4) > over_targets(alone, 8, 4) + 0.2
    assert over_targets(transfer({"stranger": stranger}), 20, 4) > over_targets(alone, 20, 4) - 0.03
    both = over_targets(transfer({"stranger": stranger, "kin": kin}), 8, 4)
    assert both > over_targets(transfer({"kin": kin}), 8, 4) - 0.05
    imputer = TransferImputer(random_state=0).fit(
        with_holes(cohort(60, 3))[0], references={"stranger": stranger, "kin": kin}
    )
    assert imputer.mixing_["kin"] > 0.5 > imputer.mixing_["stranger"]
    assert imputer.mixing_.sum() == pytest.approx(1) and imputer.choice_["weight"].sum() == pytest.approx(1)


def test_a_reference_that_measures_in_another_unit_still_tells_of_correlations():
    visible, _ = with_holes(cohort(10, 3))
    other_unit = cohort(200, 1) * 2 + np.linspace(-30, 30, len(GENES))
    imputer = TransferImputer(random_state=0).fit(visible, references={"kin": other_unit})
    assert imputer.mixing_["kin"] > 0.5
    # and means, which it cannot know, are the target's
    alone = TransferImputer(random_state=0).fit(visible)
    assert np.abs(imputer.mean_ - alone.mean_).max() < 0.8


def test_genes_are_matched_by_name_and_absent_ones_reported():
    visible, _ = with_holes(cohort(12, 3))
    kin = cohort(200, 1)
    whole = transfer({"kin": kin})(visible)
    shuffled = kin[GENES[::-1]].assign(OTHER=1.0)
    np.testing.assert_allclose(transfer({"kin": shuffled})(visible), whole, atol=1e-8)
    part = kin.drop(columns=["G3", "G7"]).assign(G5=2.0)
    imputer = TransferImputer(random_state=0).fit(visible, references={"part": part, "kin": kin})
    report = imputer.reference_report_.set_index("reference")
    assert report.loc["part", "absent"] == "G3, G5, G7" and report.loc["kin", "n_absent"] == 0
    assert report.loc["part", "n_matched"] == 9 and report.loc["part", "n_samples"] == 200
    assert np.isfinite(imputer.transform(visible)).all()


def test_rescaling_target_and_reference_rescales_what_is_filled():
    visible, _ = with_holes(cohort(12, 3))
    scale, shift = 2.0 ** np.arange(-6, 6), np.linspace(-64, 64, len(GENES)).round()
    plain = transfer({"kin": cohort(50, 1)})(visible)
    moved = transfer({"kin": cohort(50, 1) * scale + shift})(visible * scale + shift)
    np.testing.assert_allclose((moved - shift) / scale, plain, atol=1e-6)


def test_with_references_it_keeps_the_contract():
    visible, hidden = with_holes(cohort(15, 3))
    kin = cohort(60, 1)
    kin = kin.mask(np.random.default_rng(0).random(kin.shape) < 0.2)
    before = kin.copy(deep=True)
    imputer = TransferImputer(random_state=0)
    filled = imputer.fit_transform(visible, references={"kin": kin})
    pd.testing.assert_frame_equal(kin, before)
    np.testing.assert_array_equal(filled[~hidden], visible.to_numpy()[~hidden])
    assert np.isfinite(filled).all() and not hasattr(imputer, "_given")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(imputer)).transform(visible), filled)
    again = TransferImputer(random_state=0).fit(visible, references={"kin": kin}).transform(visible)
    np.testing.assert_array_equal(again, filled)
    sd, draws = imputer.conditional_sd(visible), imputer.sample(visible, 400, random_state=0)
    assert (sd[hidden] > 0).all() and (sd[~hidden] == 0).all()
    np.testing.assert_allclose(draws.mean(axis=0), filled, atol=6 * sd.max() / 20)
    assert 0.8 < np.median(draws.std(axis=0)[hidden] / sd[hidden]) < 1.2


def test_genes_that_transfer_are_told():
    X = cohort(40, 3)
    kin = cohort(300, 1)
    rng = np.random.default_rng(0)
    kin[["G0", "G1"]] = rng.normal(size=(300, 2))  # of these two the reference knows nothing
    gain = TransferImputer(random_state=0).fit(with_holes(X)[0], references={"kin": kin}).transfer_gain_
    assert list(gain["gene"]) == GENES and (gain["n_hidden"] > 0).all()
    np.testing.assert_allclose(gain["gain"], gain["error_without"] - gain["error_with"])
    assert gain["gain"].iloc[2:].mean() > 0 and not gain["transfers"].iloc[:2].any()


def test_what_is_no_reference_is_refused():
    visible, _ = with_holes(cohort(12, 3))
    kin = cohort(50, 1)
    bad = kin.copy()
    bad.iloc[4, 2] = np.inf
    cases = [
        (visible, [kin], ConfigError, "map names to DataFrames"),
        (visible, {"few": kin.iloc[:2]}, ConfigError, "'few' has 2"),
        (visible.to_numpy(), {"kin": kin}, DataFormatError, "matched by name"),
        (visible, {"kin": kin.add_prefix("ENSG")}, DataFormatError, "has 0 of the target's 12"),
        (visible, {"kin": bad}, DataFormatError, "'sample 1-4', gene 'G2'"),
        (visible, {"kin": kin.assign(G1="high")}, DataFormatError, "'G1' of reference 'kin'"),
    ]
    for X, references, error, message in cases:
        with pytest.raises(error, match=message):
            TransferImputer().fit(X, references=references)
    for settings in ({"weights": ()}, {"weights": (-1.0,)}, {"n_folds": 1}):
        with pytest.raises(ConfigError):
            TransferImputer(**settings).fit(visible)


def test_colorectal_tumours_help_to_fill_a_few_lung_tumours(test_data, monkeypatch):
    from reproduce.loaders.study import load_study

    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    study = load_study("student-p53")
    lung, colon = (np.log1p(study.cohorts[name].to_df().astype(float)) for name in ("LUAD", "COADREAD"))
    truths, masks, alone, helped = [], [], [], []
    for seed in range(3):
        X = lung.iloc[20 * seed : 20 * seed + 20]
        visible, hidden = with_holes(X, seed=seed)
        truths.append(X)
        masks.append(hidden)
        alone.append(ConditionalGaussianImputer(group=None).fit_transform(visible))
        helped.append(transfer({"COADREAD": colon}, n_folds=2, weights=(60.0, np.inf))(visible))
    X, mask = pd.concat(truths), np.vstack(masks)
    assert r2(X, np.vstack(helped), mask) > r2(X, np.vstack(alone), mask) + 0.05
