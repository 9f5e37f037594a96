"""Units go there and back; size factors and cohort matching see visible entries only."""

import numpy as np
import pytest

from reproduce.errors import ConfigError
from reproduce.preprocessing import TRANSFORMS, ExpressionTransform, match_cohort


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.6, (60, 1))
    return rng.poisson(depth * rng.lognormal(4, 1, 30)).astype(float)


@pytest.fixture
def hidden(counts):
    return np.random.default_rng(1).random(counts.shape) < 0.5


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_there_and_back(counts, hidden, kind):
    visible = np.where(hidden, np.nan, counts)
    transform = ExpressionTransform(kind).fit(counts[:40])
    back = transform.inverse_transform(transform.transform(counts, visible), visible)
    np.testing.assert_allclose(back, counts, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_hidden_values_cannot_influence_visible_ones(counts, hidden, kind):
    visible = np.where(hidden, np.nan, counts)
    altered = np.where(hidden, 1e6, counts)
    transform = ExpressionTransform(kind).fit(visible)
    one, two = transform.transform(counts, visible), transform.transform(altered, visible)
    np.testing.assert_array_equal(one[~hidden], two[~hidden])
    np.testing.assert_array_equal(transform.size_factors(visible), transform.size_factors(visible))


def test_size_factors_follow_the_true_depth(counts):
    transform = ExpressionTransform("log1p_depth").fit(counts)
    np.testing.assert_allclose(transform.size_factors(counts * 4) / transform.size_factors(counts), 4.0, rtol=0.05)


def test_one_wild_gene_does_not_set_the_depth(counts):
    transform = ExpressionTransform("log1p_depth").fit(counts)
    wild = counts.copy()
    wild[:, 0] *= 1000
    np.testing.assert_allclose(transform.size_factors(wild), transform.size_factors(counts), rtol=0.1)


def test_a_sample_without_visible_entries_has_the_reference_depth(counts):
    transform = ExpressionTransform("log1p_depth").fit(counts)
    assert transform.size_factors(np.full((1, 30), np.nan)).tolist() == [1.0]


def test_an_all_zero_sample_stays_finite(counts):
    transform = ExpressionTransform("log1p_depth").fit(counts)
    assert np.isfinite(transform.transform(np.zeros((1, 30)))).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ExpressionTransform("sqrt"),
        lambda: ExpressionTransform("log1p").fit([[-1.0, 2.0]]),
        lambda: ExpressionTransform("log1p").fit([[np.inf, 2.0]]),
        lambda: ExpressionTransform("log1p").transform([[1.0]]),
        lambda: ExpressionTransform("log1p_depth").fit([[1.0, 2.0]]).inverse_transform([[1.0, 2.0]]),
        lambda: ExpressionTransform("log1p").fit([[1.0, 2.0]]).transform([[1.0]]),
        lambda: match_cohort([[1.0, 2.0]], [[1.0]]),
        lambda: match_cohort([[np.nan, 2.0]], [[1.0, 1.0]]),
    ],
)
def test_bad_arguments_are_errors(call):
    with pytest.raises(ConfigError):
        call()


def test_a_matched_cohort_has_the_training_moments_and_returns():
    rng = np.random.default_rng(0)
    train, other = rng.normal(3, 2, (80, 5)), rng.normal(-40, 9, (70, 5))
    other[rng.random(other.shape) < 0.4] = np.nan
    match = match_cohort(train, other)
    moved = match.to_train(other)
    np.testing.assert_allclose(np.nanmean(moved, axis=0), train.mean(axis=0))
    np.testing.assert_allclose(np.nanstd(moved, axis=0), train.std(axis=0))
    np.testing.assert_allclose(match.to_other(moved), other)


def test_matching_handles_constant_and_unseen_genes():
    train = np.array([[1.0, 5.0, 2.0], [3.0, 5.0, 4.0]])
    other = np.array([[7.0, 1.0, np.nan], [7.0, 3.0, np.nan]])
    match = match_cohort(train, other)
    assert np.isfinite([match.train_scale, match.other_scale, match.other_mean]).all()
    assert match.other_mean[2] == 3.0 and match.other_scale[2] == 1.0
    np.testing.assert_allclose(match.to_train(other)[:, 0], 2.0)
