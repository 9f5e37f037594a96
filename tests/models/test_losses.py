"""Masks and losses of one batch, against the equations written out in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from reproduce.models.gain import GAINNetwork, GAINSettings, adversarial_loss, discriminator_loss, hint_of
from reproduce.models.layers import (
    CovariateEmbedding,
    HiddenLayers,
    HiddenSettings,
    NetworkShape,
    bits_below,
    embedding_size,
    masked_mean_squared_error,
)
from reproduce.models.pmi import PMINetwork, PMISettings

HIDDEN = HiddenSettings(n_layers=1, n_units=5, dropout=0.0, batch_normalization=False)
SHAPE = NetworkShape(n_genes=4, n_categories=(2, 3), n_numeric=1)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    n = 6
    observed = (rng.random((n, 4)) < 0.8).astype(np.float32)
    return {
        "expression": (rng.normal(size=(n, 4)) * observed).astype(np.float32),
        "observed": observed,
        "codes": np.column_stack([rng.integers(0, 3, n), rng.integers(0, 4, n)]).astype(np.int32),
        "numeric": rng.normal(size=(n, 1)).astype(np.float32),
    }


def bits(shape, seed):
    return np.random.default_rng(seed).integers(0, 2**16, shape).astype(np.uint16)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tensors(batch):
    return {name: tf.constant(value) for name, value in batch.items()}


def test_events_happen_with_their_probability_and_never_or_always_at_the_ends():
    drawn = tf.constant(np.arange(2**16, dtype=np.uint16))
    for probability in (0.0, 0.2, 0.5, 1.0):
        assert tf.reduce_mean(bits_below(drawn, probability)).numpy() == pytest.approx(probability, abs=1e-5)


@pytest.mark.parametrize(("n_categories", "size"), [(1, 2), (2, 2), (3, 2), (4, 3), (49, 8)])
def test_embedding_size_is_the_papers(n_categories, size):
    assert embedding_size(n_categories) == size


def test_an_unknown_category_gets_the_mean_embedding():
    layer = CovariateEmbedding((3,))
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    layer.set_weights([table])
    numeric = np.full((4, 1), 7, np.float32)
    out = layer(tf.constant([[0], [1], [2], [3]]), tf.constant(numeric)).numpy()
    assert np.allclose(out[:, 1:], np.vstack([table.mean(axis=0), table]))
    assert (out[:, 0] == 7).all()


def test_dropout_keeps_what_the_bits_say_and_rescales():
    settings = HiddenSettings(n_layers=1, n_units=4, dropout=0.5, batch_normalization=False)
    layer = HiddenLayers(settings, 4)
    layer.build((None, 4))
    layer.set_weights([np.eye(4), np.zeros(4), np.eye(4), np.zeros(4)])
    drawn = tf.constant(np.array([[0, 2**15 - 1, 2**15, 2**16 - 1]], dtype=np.uint16))
    x = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    assert np.allclose(layer(x, dropout_bits=drawn, training=True), [[0, 0, 6, 8]])
    assert np.allclose(layer(x, training=False), x)


def test_mean_squared_error_counts_marked_entries_only():
    truth, prediction = tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 100.0]])
    assert masked_mean_squared_error(truth, prediction, tf.constant([[1.0, 0.0]])).numpy() == 4.0
    assert masked_mean_squared_error(truth, prediction, tf.zeros((1, 2))).numpy() == 0.0


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.1, 0.9)])
def test_pseudo_masks_divide_the_known_entries(batch, rates):
    network = PMINetwork(SHAPE, PMISettings(HIDDEN, rates))
    drawn = {"hide": tf.constant(bits((6, 4), 1)), "hide_rate": tf.constant(bits((6, 1), 2))}
    shown, asked = (m.numpy() for m in network.draw_masks(tf.constant(batch["observed"]), drawn))
    assert (shown * asked == 0).all()
    assert (shown + asked == batch["observed"]).all()
    rate = rates[0] + (rates[1] - rates[0]) * drawn["hide_rate"].numpy() / 2**16
    assert (asked == batch["observed"] * (drawn["hide"].numpy() < rate * 2**16)).all()


def test_pmi_loss_equals_the_equation_and_its_network_sees_nothing_hidden(batch):
    network = PMINetwork(SHAPE, PMISettings(HIDDEN))
    network.compile_optimizers()
    drawn = {"hide": bits((6, 4), 1), "hide_rate": bits((6, 1), 2), "dropout": bits((6, 0), 3)}
    hidden = drawn["hide"] < 2**15
    shown, asked = batch["observed"] * ~hidden, batch["observed"] * hidden
    prediction = network.impute(batch["expression"], shown, batch["codes"], batch["numeric"]).numpy()
    by_hand = (asked * (batch["expression"] - prediction) ** 2).sum() / asked.sum()
    loss = network.train_step(tensors(batch | drawn))["train_loss"].numpy()
    assert loss == pytest.approx(by_hand, rel=1e-5)

    # whatever stands in hidden places does not change the prediction
    other = batch["expression"] + 1000 * (1 - shown)
    again = network.impute(other, shown, batch["codes"], batch["numeric"]).numpy()
    before = network.impute(batch["expression"], shown, batch["codes"], batch["numeric"]).numpy()
    assert np.array_equal(again, before)


def test_the_hint_is_the_mask_where_given_and_one_half_elsewhere():
    visible, given = tf.constant([[1.0, 0.0, 1.0, 0.0]]), tf.constant([[1.0, 1.0, 0.0, 0.0]])
    assert np.array_equal(hint_of(visible, given), [[1.0, 0.0, 0.5, 0.5]])


def test_adversarial_losses_equal_the_equations():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(5, 4)).astype(np.float32)
    visible = (rng.random((5, 4)) < 0.5).astype(np.float32)
    given = (rng.random((5, 4)) < 0.6).astype(np.float32)
    p = sigmoid(logits)
    entropy = -(visible * np.log(p) + (1 - visible) * np.log(1 - p))
    judged = (1 - given) * entropy
    assert discriminator_loss(logits, visible, given).numpy() == pytest.approx(
        judged.sum() / (1 - given).sum(), rel=1e-5
    )
    asked = (1 - given) * (1 - visible)
    deceived = (asked * -np.log(p)).sum() / asked.sum()
    assert adversarial_loss(logits, visible, given).numpy() == pytest.approx(deceived, rel=1e-5)


def gain_by_hand(network, batch, drawn, settings):
    """The three losses of a step's start, from the networks' own predictions."""
    low, high = settings.training_missing_rate
    hidden = drawn["hide"] < np.round((low + (high - low) * drawn["hide_rate"] / 2**16) * 2**16)
    visible = (batch["observed"] * ~hidden).astype(np.float32)
    noise = drawn["noise"] * settings.noise_scale
    x = batch["expression"]
    prediction = network.generator(x, noise, visible, batch["codes"], batch["numeric"]).numpy()
    reconstruction = (visible * (x - prediction) ** 2).sum() / visible.sum()
    filled = x * visible + prediction * (1 - visible)
    given = (drawn["hint"] < settings.hint_rate * 2**16).astype(np.float32)
    logits = network.discriminator(filled, hint_of(visible, given), batch["codes"], batch["numeric"]).numpy()
    p = sigmoid(logits)
    entropy = -(visible * np.log(p) + (1 - visible) * np.log(1 - p))
    return reconstruction, ((1 - given) * entropy).sum() / (1 - given).sum()


def test_a_gain_step_starts_from_the_losses_by_hand_and_moves_both_networks(batch):
    settings = GAINSettings(HIDDEN, hint_rate=0.5, training_missing_rate=(0.2, 0.6))
    network = GAINNetwork(SHAPE, settings)
    network.compile_optimizers()
    drawn = {"hide": bits((6, 4), 1), "hide_rate": bits((6, 1), 5), "hint": bits((6, 4), 2)}
    drawn["noise"] = np.random.default_rng(4).normal(size=(6, 4)).astype(np.float32)
    drawn |= {name: bits((6, 0), 0) for name in ("dropout", "dropout_judging", "dropout_judged")}
    reconstruction, judging = gain_by_hand(network, batch, drawn, settings)
    before = [w.numpy() for w in network.generator.trainable_variables + network.discriminator.trainable_variables]
    metrics = network.train_step(tensors(batch | drawn))
    assert metrics["train_loss"].numpy() == pytest.approx(reconstruction, rel=1e-5)
    assert metrics["discriminator_loss"].numpy() == pytest.approx(judging, rel=1e-5)
    after = [w.numpy() for w in network.generator.trainable_variables + network.discriminator.trainable_variables]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(moved)


def test_the_discriminators_step_leaves_the_generator_alone(batch):
    settings = GAINSettings(HIDDEN)
    network = GAINNetwork(SHAPE, settings)
    network.compile_optimizers()
    before = [w.numpy() for w in network.generator.trainable_variables]
    filled, visible = tf.constant(batch["expression"]), tf.constant(batch["observed"])
    given = tf.zeros_like(visible)
    network._judge(filled, visible, given, tensors(batch | {"dropout_judging": bits((6, 0), 0)}))
    assert all(np.array_equal(b, w.numpy()) for b, w in zip(before, network.generator.trainable_variables, strict=True))


def test_without_a_discriminator_only_the_reconstruction_remains(batch):
    network = GAINNetwork(SHAPE, GAINSettings(HIDDEN, discriminator=False))
    assert network.discriminator is None
    assert network.metric_names == ("train_loss",)
    assert set(network.random_shapes()) == {"hide", "hide_rate", "noise", "dropout"}
