"""The trace norm's value and gradient, against an SVD and finite differences, also where σ are equal or 0."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from reproduce.multitask.trace_norm import singular_values, trace_norm  # noqa: E402


def value_and_gradient(weights):
    variable = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = trace_norm(variable)
    return float(value), tape.gradient(value, variable).numpy()


def with_values(values, n_rows, n_columns, seed=0):
    """A matrix with the singular values wanted."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, len(values))))[0] for n in (n_rows, n_columns))
    return left, right, left @ np.diag(values) @ right.T


@pytest.mark.parametrize("shape", [(5, 3, 4), (7, 2, 2), (1, 3, 4)])
def test_value_and_gradient_are_those_of_an_svd_of_the_unfolding(shape):
    weights = np.random.default_rng(0).normal(size=shape)
    left, values, right = np.linalg.svd(weights.reshape(shape[0], -1), full_matrices=False)
    value, gradient = value_and_gradient(weights)
    assert value == pytest.approx(values.sum())
    np.testing.assert_allclose(gradient.reshape(shape[0], -1), left @ right, atol=1e-10)
    np.testing.assert_allclose(singular_values(tf.constant(weights)).numpy()[: len(values)], values, atol=1e-10)


@pytest.mark.parametrize("values", [(3.0, 2.0, 1.0, 0.5), (2.0, 2.0, 2.0, 2.0), (3.0, 3.0, 1.0, 1.0)])
def test_gradient_is_that_of_finite_differences_also_for_repeated_values(values):
    matrix = with_values(values, 4, 6)[2]
    gradient = value_and_gradient(matrix)[1]
    step = 1e-5
    for direction in np.random.default_rng(1).normal(size=(5, 4, 6)):
        ends = (np.linalg.norm(matrix + sign * step * direction, "nuc") for sign in (1, -1))
        slope = (next(ends) - next(ends)) / (2 * step)
        assert (gradient * direction).sum() == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("values", [(2.0, 1.0), (1.0, 1.0)])
def test_at_values_of_zero_it_is_the_subgradient_of_the_least_norm(values):
    left, right, matrix = with_values(values, 5, 8)
    value, gradient = value_and_gradient(matrix)
    np.testing.assert_allclose(gradient, left @ right.T, atol=1e-6)
    # and a subgradient it is: the norm lies nowhere below the plane
    others = matrix + np.random.default_rng(2).normal(size=(50, 5, 8))
    planes = value + ((others - matrix) * gradient).sum(axis=(1, 2))
    assert (np.linalg.norm(others, "nuc", axis=(1, 2)) >= planes - 1e-9).all()


def test_zeros_and_equal_genes_are_not_pulled_apart():
    assert value_and_gradient(np.zeros((3, 4), np.float32))[1].any() == False  # noqa: E712
    same = np.tile(np.random.default_rng(0).normal(size=(1, 3, 4)), (6, 1, 1)).astype(np.float32)
    value, gradient = value_and_gradient(same)
    assert value == pytest.approx(np.linalg.norm(same), rel=1e-5)
    np.testing.assert_allclose(gradient, same / np.linalg.norm(same), atol=1e-5)
    assert gradient.dtype == np.float32
