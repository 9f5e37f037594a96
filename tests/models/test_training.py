"""Training: the same seed, early stopping, and what the loop gives back."""

import numpy as np
import pytest

from reproduce.models.gain import GAINNetwork, GAINSettings
from reproduce.models.layers import HiddenSettings, NetworkShape, initial_weights
from reproduce.models.pmi import PMINetwork, PMISettings
from reproduce.models.training import (
    Trainer,
    TrainingData,
    TrainingSettings,
    _batch_rows,
    execution_mode,
    impute,
    trainer_for,
)

HIDDEN = HiddenSettings(n_layers=1, n_units=8, dropout=0.2)
SHAPE = NetworkShape(n_genes=5, n_categories=(2,), n_numeric=1)
SETTINGS = TrainingSettings(epochs=3, steps_per_epoch=4, batch_size=8)


def rows(n=24, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, 5))).astype(np.float32)
    observed = (rng.random((n, 5)) < 0.9).astype(np.float32)
    codes, numeric = rng.integers(0, 3, (n, 1)).astype(np.int32), rng.normal(size=(n, 1)).astype(np.float32)
    return TrainingData(x * observed, observed, codes, numeric)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


@pytest.mark.parametrize(
    ("network", "settings"), [(PMINetwork, PMISettings(HIDDEN)), (GAINNetwork, GAINSettings(HIDDEN))]
)
def test_ways_to_execute_agree(network, settings):
    fitted = [
        Trainer(network(SHAPE, settings), mode).fit(rows(), rows(9, 1), SETTINGS, 5) for mode in ("eager", "graph")
    ]
    compiled = Trainer(network(SHAPE, settings), "compiled").fit(rows(), rows(9, 1), SETTINGS, 5)
    for other in (fitted[1], compiled):
        assert np.allclose(fitted[0].history, other.history, atol=1e-3)
        assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(fitted[0].weights, other.weights, strict=True))


def test_a_seed_decides_everything_and_a_trainer_keeps_nothing():
    trainer = Trainer(PMINetwork(SHAPE, PMISettings(HIDDEN)), "eager")
    first = trainer.fit(rows(), None, SETTINGS, 1)
    other = trainer.fit(rows(), None, SETTINGS, 2)
    again = trainer.fit(rows(), None, SETTINGS, 1)
    fresh = Trainer(PMINetwork(SHAPE, PMISettings(HIDDEN)), "eager").fit(rows(), None, SETTINGS, 1)
    assert same(first, again) and same(first, fresh) and not same(first, other)


def test_the_best_epochs_weights_are_kept_and_patience_ends_training():
    # validation rows that have nothing to do with the training rows: the loss rises sooner or later
    train, validation = rows(16), rows(16, 99)
    settings = TrainingSettings(epochs=40, steps_per_epoch=6, batch_size=8, patience=3)
    network = PMINetwork(SHAPE, PMISettings(HIDDEN, learning_rate=0.05))
    fitted = Trainer(network, "graph").fit(train, validation, settings, 0)
    losses = fitted.history["validation_loss"]
    assert len(losses) < 40
    assert fitted.best_epoch == int(losses.idxmin()) + 1 == len(losses) - 3
    # the same training cut off at that epoch ends with these very weights
    short = TrainingSettings(epochs=40, steps_per_epoch=6, batch_size=8, patience=None)
    long = Trainer(PMINetwork(SHAPE, PMISettings(HIDDEN, learning_rate=0.05)), "graph").fit(train, validation, short, 0)
    assert long.history["validation_loss"].iloc[: len(losses)].tolist() == losses.tolist()
    assert len(long.history) == 40


def test_without_validation_rows_the_last_weights_are_kept():
    fitted = Trainer(PMINetwork(SHAPE, PMISettings(HIDDEN)), "eager").fit(rows(), None, SETTINGS, 1)
    assert fitted.best_epoch == SETTINGS.epochs
    assert fitted.history["validation_loss"].isna().all()


def test_divergence_is_an_error_with_a_remedy():
    network = PMINetwork(SHAPE, PMISettings(HIDDEN, learning_rate=1e30))
    with pytest.raises(FloatingPointError, match="learning_rate"):
        Trainer(network, "eager").fit(rows(), None, SETTINGS, 0)


def test_every_row_is_used_once_before_any_is_used_twice():
    drawn = _batch_rows(10, TrainingSettings(epochs=2, steps_per_epoch=5, batch_size=4), 0).ravel()
    assert all(sorted(drawn[i : i + 10]) == list(range(10)) for i in range(0, 40, 10))
    assert not np.array_equal(drawn[:10], drawn[10:20])


def test_starting_weights_have_the_scale_of_their_kind():
    network = PMINetwork(NetworkShape(200), PMISettings(HiddenSettings(n_layers=1, n_units=100)))
    for weight, value in zip(network.weights, initial_weights(network, 0), strict=True):
        if weight.path.endswith("kernel"):
            assert value.std() == pytest.approx(np.sqrt(2 / sum(weight.shape)), rel=0.05)
        elif weight.path.endswith(("gamma", "variance")):
            assert (value == 1).all()
        else:
            assert (value == 0).all()


def test_rows_are_filled_independently():
    network = PMINetwork(SHAPE, PMISettings(HIDDEN))
    data = rows()
    assert np.allclose(impute(network, data)[3:7], impute(network, data.rows(np.arange(3, 7))), atol=1e-6)


def test_a_trainer_is_shared_by_equal_layouts_only():
    args = (PMINetwork, SHAPE, PMISettings(HIDDEN))
    assert trainer_for(*args, "eager") is trainer_for(*args, "eager")
    assert trainer_for(*args, "eager") is not trainer_for(PMINetwork, SHAPE, PMISettings(), "eager")


def test_compilation_is_for_long_trainings():
    assert [execution_mode(n) for n in (6, 100, 6000)] == ["eager", "graph", "compiled"]
