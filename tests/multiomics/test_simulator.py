"""Drawn layers follow the law; no regression beats the law's own conditional mean."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from reproduce.errors import ConfigError
from reproduce.multiomics.simulator import Simulator, _mean_seen, simulated_omics


@pytest.fixture(scope="module")
def law():
    return Simulator((0.3, 0.7), correlation=-0.6)


def test_moments_and_shares_are_those_of_the_law(law):
    omics = law.sample(6000, 1)
    assert (omics.clusters == "class 1").mean() == 0.3
    inside = omics.clusters == "class 2"
    mRNA = omics.layer("mRNA").to_numpy(float)[inside]
    at = law._at("mRNA")
    np.testing.assert_allclose(mRNA.mean(axis=0), law.means[1, at], atol=0.1)
    drawn, true = np.cov(mRNA.T), law.covariance[np.ix_(at, at)]
    assert np.abs(drawn - true).mean() < 0.02
    logits = np.log(omics.layer("methylation") / (1 - omics.layer("methylation")))[inside]
    of = {gene: [c for c, g in GENE_OF.items() if g == gene] for gene in ("ACVRL1", "AKT1", "BRCA2")}
    for gene, cpgs in of.items():
        r = np.corrcoef(logits[cpgs].mean(axis=1), omics.layer("mRNA")[gene][inside])[0, 1]
        assert r == pytest.approx(-0.6, abs=0.06)


def test_no_regression_beats_the_conditional_mean(law):
    train, test = law.sample(1500, 2), law.sample(600, 3)
    for given, target in (("mRNA", "methylation"), ("methylation", "mRNA")):
        truth = test.layer(target).to_numpy(float)
        best = ((law.conditional_mean(target, test, (given,)).to_numpy() - truth) ** 2).mean()
        ridge = Ridge(10.0).fit(train.layer(given), train.layer(target)).predict(test.layer(given))
        assert best < ((ridge - truth) ** 2).mean() < ((truth - truth.mean(axis=0)) ** 2).mean()
    # errors of a conditional mean are unrelated to what is given
    rest = truth - law.conditional_mean("mRNA", test, ("methylation",)).to_numpy()
    known = test.layer("methylation").to_numpy(float)
    correlations = np.corrcoef(rest.T, known.T)[:131, 131:]
    assert np.abs(correlations).mean() < 1.2 * np.sqrt(2 / np.pi / 600)


def test_posterior_is_calibrated_and_more_layers_know_more(law):
    omics = Simulator((0.5, 0.5), shift=0.15).sample(2000)
    weak = Simulator((0.5, 0.5), shift=0.15)
    right = (omics.clusters == "class 1").astype(float)
    one, both = (weak.posterior(omics, given)["class 1"] for given in (("mRNA",), ("mRNA", "methylation")))
    middle = (one > 0.4) & (one < 0.6)
    assert right[middle].mean() == pytest.approx(0.5, abs=0.08)
    assert ((both - right) ** 2).mean() < ((one - right) ** 2).mean() < 0.25


def test_units_do_not_change_what_is_known(law):
    omics = law.sample(20, 4)
    mRNA = law.conditional_mean("mRNA", omics, ("methylation",))
    again = law.conditional_mean("mRNA", omics.methylation_as("M-value"), ("methylation",))
    pd.testing.assert_frame_equal(mRNA, again, atol=1e-3)


def test_mean_of_a_logistic_normal_against_a_large_draw():
    drawn = np.random.default_rng(0).normal(-1.0, 2.0, 400_000)
    assert _mean_seen(np.array([[-1.0]]), np.array([4.0]), "beta-value")[0, 0] == pytest.approx(
        (1 / (1 + np.exp(-drawn))).mean(), abs=1e-3
    )


def test_bad_laws_are_refused(law):
    for options, words in (
        ({"shares": (0.5, 0.6)}, "add up to 1"),
        ({"correlation": 1.0}, "correlation"),
        ({"share_differential": 2}, "share"),
    ):
        with pytest.raises(ConfigError, match=words):
            Simulator(**options)
    with pytest.raises(ConfigError, match="empty"):
        simulated_omics(3, 5)
    with pytest.raises(ConfigError, match="both given"):
        law.conditional_mean("mRNA", law.sample(10), ("mRNA",))


def _genes() -> dict[str, str]:
    from reproduce.multiomics.simulator import _table

    return _table("methylation")["gene"].to_dict()


GENE_OF = _genes()
