"""The laws of layers are scipy's, finite where single precision is tempted not to be, and have the mean they name."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from reproduce.domain_translation.likelihoods import EDGE, LAWS, law_of
from reproduce.errors import ConfigError

RNG = np.random.default_rng(0)
CENTER, SCALE = np.array([0.1, 0.5, 0.9, 0.3]), np.array([0.05, 0.2, 0.03, 0.1])
SCALES = tf.constant(np.stack([CENTER, SCALE]), tf.float32)
VALUES = RNG.uniform(0.02, 0.98, (50, 4))
OUTPUTS, SPREAD = RNG.normal(0, 1, (50, 4)), RNG.normal(0, 0.3, 4)


def log_density(name, values, outputs, spread):
    standardised = (values - CENTER) / SCALE
    arguments = [tf.constant(part, tf.float32) for part in (standardised, outputs, spread)]
    return law_of(name).log_density(*arguments, SCALES).numpy()


def test_the_gaussian_is_scipys():
    expected = stats.norm((CENTER + SCALE * OUTPUTS), SCALE * np.exp(SPREAD)).logpdf(VALUES) + np.log(SCALE)
    np.testing.assert_allclose(log_density("gaussian", VALUES, OUTPUTS, SPREAD), expected, rtol=2e-3, atol=2e-3)


def test_the_beta_is_scipys():
    odds = CENTER * (1 - CENTER)
    mean = 1 / (1 + np.exp(-(np.log(CENTER / (1 - CENTER)) + SCALE / odds * OUTPUTS)))
    concentration = (odds / SCALE**2 - 1) * np.exp(SPREAD)
    expected = stats.beta(mean * concentration, (1 - mean) * concentration).logpdf(VALUES)
    np.testing.assert_allclose(log_density("beta", VALUES, OUTPUTS, SPREAD), expected, rtol=2e-3, atol=5e-3)
    found = CENTER + SCALE * law_of("beta").mean(tf.constant(OUTPUTS, tf.float32), SCALES).numpy()
    np.testing.assert_allclose(found, mean, atol=1e-5)


def test_at_zero_the_beta_has_the_moments_of_training():
    mean = CENTER + SCALE * law_of("beta").mean(tf.zeros((1, 4)), SCALES).numpy()
    np.testing.assert_allclose(mean[0], CENTER, atol=1e-6)
    grid = np.linspace(0.001, 0.999, 4000)[:, None] * np.ones(4)
    density = np.exp(log_density("beta", grid, np.zeros((4000, 4)), np.zeros(4)).astype(float))
    width = grid[1, 0] - grid[0, 0]
    np.testing.assert_allclose((density * (grid - CENTER) ** 2).sum(axis=0) * width, SCALE**2, rtol=0.02)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("output", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("spread", [-50.0, 50.0])
def test_nothing_overflows_at_the_edges(name, output, spread):
    values = tf.constant((np.array([[0.0] * 4, [1.0] * 4]) - CENTER) / SCALE, tf.float32)
    outputs, spreads = tf.Variable(tf.fill((2, 4), output)), tf.Variable(tf.fill((4,), spread))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(law_of(name).log_density(values, outputs, spreads, SCALES))
    assert np.isfinite(total.numpy())
    assert all(np.isfinite(tf.convert_to_tensor(g).numpy()).all() for g in tape.gradient(total, [outputs, spreads]))


def test_constant_features_have_a_beta_law_too():
    scales = tf.constant([[0.0, 1.0, 0.4], [0.0, 0.0, 0.0]])
    found = law_of("beta").log_density(tf.zeros((2, 3)), tf.zeros((2, 3)), tf.zeros(3), scales)
    assert np.isfinite(found.numpy()).all()


def test_beta_values_nearer_to_an_edge_than_they_are_measured_are_as_likely_as_at_that_distance():
    at = [log_density("beta", np.full((1, 4), value), OUTPUTS[:1], SPREAD) for value in (0.0, EDGE / 2, EDGE, 3 * EDGE)]
    np.testing.assert_allclose(at[0], at[2], rtol=1e-3)
    np.testing.assert_allclose(at[1], at[2], rtol=1e-3)
    assert np.abs(at[3] - at[2]).min() > 0.1


def test_unknown_laws_are_refused():
    with pytest.raises(ConfigError, match="gamma"):
        law_of("gamma")
