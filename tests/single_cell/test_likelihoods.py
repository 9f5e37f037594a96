"""Laws of counts against scipy over extreme counts and parameters, divergences against drawing."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from reproduce.errors import ConfigError
from reproduce.models.autoencoding import normal_divergence, normal_log_density, uniform_divergence
from reproduce.single_cell.likelihoods import LIKELIHOODS, CountParameters, likelihood_of

COUNTS = np.array([0, 1, 2, 7, 100, 5_000, 200_000])
LOG_RATES = np.log([1e-8, 1e-3, 0.3, 5.0, 400.0, 1e5])
LOG_DISPERSIONS = np.log([1e-6, 1e-2, 0.7, 3.0, 50.0, 1e4])
ZERO_LOGITS = np.array([-40.0, -2.0, 0.0, 3.0, 40.0])


def truth(law, x, log_rate, log_dispersion, zero_logit):
    rate, dispersion = np.exp(log_rate), np.exp(log_dispersion)
    if law.dispersed:
        log_p = stats.nbinom.logpmf(x, dispersion, dispersion / (dispersion + rate))
        # scipy knows 1 - p only as a difference from 1; where that has lost its digits, the formula itself
        exact = special.gammaln(x + dispersion) - special.gammaln(dispersion) - special.gammaln(x + 1)
        exact += x * (log_rate - np.log(rate + dispersion)) - dispersion * np.log1p(rate / dispersion)
        log_p = np.where(rate / (rate + dispersion) > 1e-5, log_p, exact)
    else:
        log_p = stats.poisson.logpmf(x, rate)
    if law.inflated:
        log_extra, log_rest = -np.logaddexp(0, -zero_logit), -np.logaddexp(0, zero_logit)
        log_p = np.where(x == 0, np.logaddexp(log_extra, log_rest + log_p), log_rest + log_p)
    return log_p


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize(("dtype", "digits"), [("float64", 1e-8), ("float32", 3e-6)])
def test_laws_agree_with_scipy_over_extremes(name, dtype, digits):
    law = likelihood_of(name)
    grid = np.meshgrid(COUNTS, LOG_RATES, LOG_DISPERSIONS, ZERO_LOGITS, indexing="ij")
    x, log_rate, log_dispersion, zero_logit = (part.ravel() for part in grid)
    at = CountParameters(*(tf.constant(part, dtype) for part in (log_rate, log_dispersion, zero_logit)))
    found = law.log_probability(tf.constant(x, dtype), at).numpy()
    expected = truth(law, x, log_rate, log_dispersion, zero_logit)
    # digits are lost where terms far larger than their sum cancel, and nowhere else
    size = 1 + x * (np.abs(log_rate) + np.abs(log_dispersion) + np.log1p(x)) + np.exp(log_rate) + np.abs(zero_logit)
    if law.inflated:
        # the probability of a zero is bounded by that of an extra one, however large the rate
        size = np.where(x == 0, 1 + np.abs(zero_logit), size)
    assert np.all(np.isfinite(found))
    assert np.max(np.abs(found - expected) / size) < digits


def test_gradients_are_finite_over_extremes():
    grid = np.meshgrid(COUNTS, LOG_RATES, LOG_DISPERSIONS, ZERO_LOGITS, indexing="ij")
    x, *rest = (tf.constant(part.ravel(), tf.float32) for part in grid)
    for law in LIKELIHOODS.values():
        with tf.GradientTape() as tape:
            tape.watch(rest)
            value = tf.reduce_sum(law.log_probability(x, CountParameters(*rest)))
        gradients = tape.gradient(value, rest, unconnected_gradients="zero")
        assert all(np.isfinite(g.numpy()).all() for g in gradients), law.name


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_cell_s_probability_is_the_sum_over_its_genes(name):
    law, rng = likelihood_of(name), np.random.default_rng(0)
    counts = rng.poisson(0.4, (5, 30)).astype("float32")
    at = CountParameters(
        tf.constant(rng.normal(size=(5, 30)), tf.float32),
        tf.constant(rng.normal(size=30), tf.float32),
        tf.constant(rng.normal(size=(5, 30)), tf.float32),
    )
    width = int((counts > 0).sum(axis=1).max()) + 2  # room for padding
    positions = np.argsort(counts == 0, axis=1, kind="stable")[:, :width]
    packed = np.take_along_axis(counts, positions, axis=1)
    sparse = law.cell_log_probability(tf.constant(positions, tf.int32), tf.constant(packed), at)
    dense = tf.reduce_sum(law.log_probability(tf.constant(counts), at), axis=1)
    np.testing.assert_allclose(sparse, dense, rtol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_have_the_mean_and_the_zeros_that_the_law_says(name):
    law = likelihood_of(name)
    at = CountParameters(*(tf.fill((200_000,), np.float32(value)) for value in (np.log(3.0), np.log(2.0), -1.0)))
    drawn = law.sample(at, np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(float(law.mean(at)[0]), rel=0.02)
    assert (drawn == 0).mean() == pytest.approx(np.exp(float(law.log_zero(at)[0])), abs=0.005)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_what_is_hidden_follows_from_what_is_seen_as_in_simulated_thinning(name):
    """For each visible count the mean of the hidden part of many thinned draws is what the law expects."""
    law, rng, hidden_share = likelihood_of(name), np.random.default_rng(3), 0.3
    log_rate, log_dispersion, zero_logit = np.log(4.0), np.log(1.5), -0.4
    whole = CountParameters(*(tf.fill((1_000_000,), value) for value in (log_rate, log_dispersion, zero_logit)))
    drawn = law.sample(whole, rng)
    hidden = rng.binomial(drawn, hidden_share)
    seen = drawn - hidden
    for x in (0, 1, 3, 6):
        there = hidden[seen == x]
        visible_rate = log_rate + np.log(1 - hidden_share)
        at = CountParameters(
            *(tf.constant([value], tf.float64) for value in (visible_rate, log_dispersion, zero_logit))
        )
        found = law.expected_given(tf.constant([float(x)], tf.float64), at, hidden_share / (1 - hidden_share))
        assert float(found[0]) == pytest.approx(there.mean(), abs=5 * there.std() / np.sqrt(len(there))), x


def test_divergences_agree_with_drawing():
    rng = np.random.default_rng(2)
    mean, log_variance, other, other_log_variance = (tf.constant(rng.normal(size=3)) for _ in range(4))
    z = mean + tf.exp(0.5 * log_variance) * rng.normal(size=(400_000, 3))
    for prior in ((0.0, 0.0), (other, other_log_variance)):
        drawn = normal_log_density(z, mean, log_variance) - normal_log_density(z, *prior)
        exact = float(normal_divergence(mean, log_variance, *prior))
        assert float(tf.reduce_mean(drawn)) == pytest.approx(exact, abs=5 * drawn.numpy().std() / np.sqrt(len(z)))
    log_q = tf.math.log_softmax(tf.constant(rng.normal(size=4)))
    classes = rng.choice(4, size=400_000, p=np.exp(log_q))
    drawn = np.asarray(log_q)[classes] + np.log(4)
    assert float(uniform_divergence(log_q)) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(len(drawn)))


def test_an_unknown_law_is_named():
    with pytest.raises(ConfigError, match="gamma"):
        likelihood_of("gamma")
