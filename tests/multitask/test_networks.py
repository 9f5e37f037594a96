"""Stacked networks are what separate ones would be; features are what they would be written out."""

import numpy as np
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.multitask.features import learn_features

tf = pytest.importorskip("tensorflow")

from reproduce.multitask.model import Layout, StackedNetworks, starting_weights  # noqa: E402
from reproduce.multitask.training import epoch_rows  # noqa: E402


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    expression = rng.normal(3.0, 1.0, (50, 6)).astype(np.float32)
    used = rng.random((50, 4)) < 0.7
    tissues = rng.integers(3, size=50)
    activities = tuple(rng.random((3, 6, 4)).astype(np.float32) for _ in range(2))
    activities[0][:, 2, 1] = 0.5  # the same in all tissues
    return expression, used, tissues, activities


def test_features_are_the_five_columns_standardised_on_the_genes_own_cells(drawn):
    expression, used, tissues, activities = drawn
    features = learn_features(expression, used, tissues, 3, activities)
    scaled = features.scaled(expression)
    for gene in range(4):
        mean, total = (values[tissues, :, gene].astype(float) for values in activities)
        plain = np.stack([expression, mean, total, expression * mean, expression * total], axis=2)
        own = plain[used[:, gene]]
        deviation = own.std(axis=0)
        wanted = np.where(deviation > 1e-6, (plain - own.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1), 0)
        found = features.of_gene(gene, scaled, tissues).reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert features.inert[1, 2, 1] and features.inert.sum() == 1


def test_activities_of_one_tissue_say_nothing_and_are_refused(drawn):
    expression, used, tissues, activities = drawn
    with pytest.raises(ConfigError, match="Within one tissue"):
        learn_features(expression, used, np.zeros_like(tissues), 3, activities)


def test_a_factor_flat_in_training_is_inert_and_all_flat_is_an_error(drawn):
    expression, used, tissues, activities = drawn
    expression[:, 3] = 1.5
    features = learn_features(expression, used, tissues, 3, activities)
    moved = expression.copy()
    moved[:, 3] += np.arange(50)
    assert not features.slopes[:, :, 3].any() and features.slopes[:, :, 2].any()
    for gene in range(4):
        seen = [features.of_gene(gene, features.scaled(values), tissues) for values in (expression, moved)]
        np.testing.assert_array_equal(*seen)
    expression[:] = 1.5
    with pytest.raises(DataFormatError, match="factor a is the same"):
        learn_features(expression, used, tissues, 3, None, np.array(list("abcdef")))


def test_stacked_networks_are_separate_networks(drawn):
    expression, used, tissues, activities = drawn
    features = learn_features(expression, used, tissues, 3, activities)
    layout = Layout(4, 6, 3, 5, (5, 4, 3))
    network = StackedNetworks(layout)
    weights = [w + np.random.default_rng(1).normal(0, 0.1, w.shape) for w in starting_weights(layout, 0, "own")]
    network.set_stacked(weights)
    scaled = features.scaled(expression)
    where = np.repeat(np.eye(3, dtype=np.float32)[tissues][None], 4, axis=0)
    stacked = network(np.repeat(scaled[None], 4, axis=0), where, features.slopes, features.offsets).numpy()
    for gene in range(4):
        columns = features.of_gene(gene, scaled, tissues).reshape(50, 6, 5)
        units = np.maximum((columns * weights[0][gene]).sum(axis=2) + weights[1][gene], 0)
        for layer in (1, 2, 3):
            units = np.maximum(units @ weights[2 * layer][gene] + weights[2 * layer + 1][gene], 0)
        np.testing.assert_allclose(stacked[gene], (units @ weights[8][gene] + weights[9][gene])[:, 0], atol=1e-4)
    assert float(network.l1()) == pytest.approx(sum(np.abs(w).sum() for w in weights[::2]) / 4, rel=1e-5)
    norms = [np.linalg.norm(weights[k].reshape(4, -1), "nuc") for k in (2, 4)]
    assert float(network.mean_trace_norm()) == pytest.approx(np.mean(norms), rel=1e-5)


@pytest.mark.parametrize(
    ("shared", "stacks"), [("nothing", 4 * [4]), ("hidden", [1, 1, 1, 4]), ("everything", 4 * [1])]
)
def test_what_is_shared_is_there_once(shared, stacks):
    network = StackedNetworks(Layout(4, 6, 1, 1, (5, 3), shared))
    assert [kernel.shape[0] for kernel in network.kernels] == stacks


def test_a_gene_with_fewer_cells_passes_through_them_again():
    rows_of = [np.arange(10), np.array([3, 5, 8])]
    rows = epoch_rows(rows_of, 4, np.random.default_rng(0))
    assert rows.shape == (3, 2, 4)
    most, least = rows[:, 0].ravel(), rows[:, 1].ravel()
    assert set(most) == set(range(10))
    assert set(least) == {3, 5, 8} and np.bincount(least).max() - np.bincount(least)[[3, 5, 8]].min() <= 1
    assert epoch_rows(rows_of, 256, np.random.default_rng(0)).shape == (1, 2, 10)
