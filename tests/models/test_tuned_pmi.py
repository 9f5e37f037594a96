"""The tuned PMI's network: members that know nothing of each other, the Gaussian it starts from, losses by hand."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import t

from reproduce.models.layers import NetworkShape, initial_weights
from reproduce.models.training import TrainingSettings
from reproduce.models.tuned_layers import DEGREES_OF_FREEDOM, EnsembleDense, entry_losses
from reproduce.models.tuned_pmi import (
    MaskedRows,
    TunedPMINetwork,
    TunedPMISettings,
    TunedTrainer,
    predictions_of_members,
)

SHAPE = NetworkShape(n_genes=5, n_categories=(2,), n_numeric=1)
SMALL = {
    "n_units": 8,
    "n_members": 2,
    "n_steps": 12,
    "loss": "mse",
    "layer_normalization": True,
    "covariate_scaling": True,
}
TRAINING = TrainingSettings(epochs=3, steps_per_epoch=4, batch_size=16)


def rows(n=24, seed=0, fold=-1):
    rng = np.random.default_rng(seed)
    expression = (rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, 5))).astype(np.float32)
    input_mask = (rng.random((n, 5)) < 0.6).astype(np.float32)
    return MaskedRows(
        expression=expression,
        shown=np.where(input_mask > 0, expression, 0.25).astype(np.float32),
        input_mask=input_mask,
        target_mask=1 - input_mask,
        codes=rng.integers(0, 3, (n, 1)).astype(np.int32),
        numeric=rng.normal(size=(n, 1)).astype(np.float32),
        fold=np.full((n, 1), fold, np.int32),
    )


def trained(mode="eager", data=None, seed=5, **changes):
    settings = TunedPMISettings(**SMALL | changes)
    network = TunedPMINetwork(SHAPE, settings)
    return network, TunedTrainer(network, mode).fit(rows() if data is None else data, TRAINING, seed)


def test_ways_to_execute_agree():
    eager, graph, compiled = (trained(mode, loss="student_t")[1].weights for mode in ("eager", "graph", "compiled"))
    for other in (graph, compiled):
        assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(eager, other, strict=True))


def test_a_seed_decides_everything_and_a_trainer_keeps_nothing():
    trainer = TunedTrainer(TunedPMINetwork(SHAPE, TunedPMISettings(**SMALL)), "eager")
    first, other, again = (trainer.fit(rows(), TRAINING, seed).weights for seed in (1, 2, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_an_untrained_network_says_what_the_gaussian_says():
    trainer = TunedTrainer(TunedPMINetwork(SHAPE, TunedPMISettings(**SMALL)), "eager")
    trainer._reset(0)
    data = rows()
    prediction, variance = predictions_of_members(trainer.network, data)
    assert prediction.shape == (2, 24, 5) and not variance.any()
    assert np.array_equal(prediction, np.stack([data.shown] * 2))


@pytest.mark.parametrize("residual", [True, False])
def test_hidden_values_do_not_reach_the_prediction(residual):
    network, _ = trained(residual=residual)
    data = rows()
    changed = rows().__dict__ | {"expression": data.expression + 9 * (1 - data.input_mask)}
    assert np.array_equal(*(predictions_of_members(network, d)[0] for d in (data, MaskedRows(**changed))))


def test_without_residual_the_gaussian_is_neither_seen_nor_added():
    network, _ = trained(residual=False)
    data = rows()
    other = MaskedRows(**data.__dict__ | {"shown": np.where(data.input_mask > 0, data.shown, -3).astype(np.float32)})
    assert np.array_equal(*(predictions_of_members(network, d)[0] for d in (data, other)))


def test_a_member_learns_nothing_from_its_own_fold():
    network, _ = trained(data=rows(fold=1), averaging=0.0)
    prediction, _ = predictions_of_members(network, rows())
    assert np.array_equal(prediction[1], rows().shown)  # where it started
    assert not np.array_equal(prediction[0], rows().shown)


def test_each_member_has_its_own_kernel():
    layer = EnsembleDense(2, 3)
    layer.build((2, None, 4))
    kernels, x = np.random.default_rng(0).normal(size=(2, 4, 3)), np.random.default_rng(1).normal(size=(2, 6, 4))
    layer.set_weights([kernels, np.zeros((2, 1, 3))])
    expected = np.stack([x[0] @ kernels[0], x[1] @ kernels[1]])
    np.testing.assert_allclose(layer(tf.constant(x, tf.float32)), expected, rtol=1e-4, atol=1e-5)


def test_members_start_apart_with_the_scale_of_a_single_network():
    network = TunedPMINetwork(SHAPE, TunedPMISettings(**SMALL))
    of_name = {w.path.rsplit("/", 1)[-1]: v for w, v in zip(network.weights, initial_weights(network, 0), strict=True)}
    bound = np.sqrt(6 / sum(of_name["kernel"].shape[1:]))
    assert 0.9 * bound < np.abs(of_name["kernel"]).max() < bound
    assert not np.allclose(*of_name["kernel"])
    assert not of_name["zero_kernel"].any() and (of_name["gamma"] == 1).all()


def test_averaged_weights_lie_between_start_and_end():
    start = TunedTrainer(TunedPMINetwork(SHAPE, TunedPMISettings(**SMALL)), "eager")
    start._reset(int(np.random.SeedSequence(5).generate_state(4)[0]))
    last, averaged = trained(averaging=0.0)[1].weights, trained(averaging=0.9)[1].weights
    distance = [sum(np.abs(a - b).sum() for a, b in zip(start.network.get_weights(), w)) for w in (averaged, last)]
    assert 0 < distance[0] < distance[1]


def test_the_rate_rises_and_falls_to_zero():
    network = TunedPMINetwork(SHAPE, TunedPMISettings(n_steps=100, learning_rate=0.5, **{"n_units": 8}))
    network.compile_optimizers()
    schedule = network.optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 5, 50, 100)]
    assert rates[0] < 0.01 and rates[1] == pytest.approx(0.5) and 0.2 < rates[2] < 0.4 and rates[3] < 1e-6


def test_losses_by_hand():
    error, log_scale = tf.constant([[0.5, -3.0]]), tf.constant([[0.0, 0.7]])
    np.testing.assert_allclose(entry_losses("mse", error, None), [[0.25, 9.0]])
    np.testing.assert_allclose(entry_losses("huber", error, None), [[0.25, 1.0 + 2.0 * 2.0]])
    loss = entry_losses("student_t", error, log_scale).numpy()
    density = t.logpdf(error, DEGREES_OF_FREEDOM, scale=np.exp(log_scale))
    # equal up to one constant
    assert np.ptp(loss + 2 * density) < 1e-5
