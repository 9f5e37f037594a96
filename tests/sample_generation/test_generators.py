"""One contract for all generators: seeds, classes, names, saving; what they cannot learn is refused by name."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.sample_generation.adversarial import AdversarialPair, AdversarialSettings
from reproduce.sample_generation.gans import ClassGAN, ConditionalWGAN
from reproduce.sample_generation.generators import GaussianGenerator, SmoteGenerator, apportioned

SMALL = {"epochs": 1, "hidden_units": 8, "latent_size": 4, "batch_size": 8}
ALL = [
    GaussianGenerator(),
    SmoteGenerator(3),
    ClassGAN(**SMALL),
    ConditionalWGAN(**SMALL, critic_steps=2),
]


def samples(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(["luminal", "basal"], [n - n // 3, n // 3])
    X = rng.standard_normal((n, 5)) * [1, 2, 5, 1, 1] + np.where(y == "basal", 6.0, 0.0)[:, None]
    return pd.DataFrame(X, columns=list("ABCDE")), y


@pytest.mark.parametrize("generator", ALL, ids=lambda g: type(g).__name__)
def test_one_contract(generator, tmp_path):
    X, y = samples()
    generator.fit(X, y)
    drawn, classes = generator.sample(9, random_state=4)
    assert drawn.shape == (9, 5) and list(drawn.columns) == list(X.columns)
    assert sorted(classes) == ["basal"] * 3 + ["luminal"] * 6
    again, _ = generator.sample(9, random_state=4)
    other, _ = generator.sample(9, random_state=5)
    pd.testing.assert_frame_equal(drawn, again)
    assert not np.allclose(drawn, other)
    mixed = np.array(["basal", "luminal", "basal"])
    assert list(generator.sample(3, mixed)[1]) == list(mixed)
    loaded = type(generator).load(generator.save(tmp_path / "generator.npz"))
    assert loaded.get_params() == generator.get_params()
    pd.testing.assert_frame_equal(loaded.sample(9, random_state=4)[0], drawn, check_dtype=False)
    with pytest.raises(ConfigError, match="Class normal was not fitted"):
        generator.sample(2, "normal")
    with pytest.raises(ConfigError, match="give one for each"):
        generator.sample(2, ["basal"])
    with np.load(tmp_path / "generator.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


@pytest.mark.parametrize("generator", ALL, ids=lambda g: type(g).__name__)
def test_what_cannot_be_learned_is_named(generator):
    X, y = samples()
    with pytest.raises(DataFormatError, match=r"Feature C of sample 2 .* no finite number"):
        generator.fit(X.mask((X.index.to_numpy()[:, None] == 2) & (X.columns == "C")), y)
    with pytest.raises(DataFormatError, match="60 samples and classes"):
        generator.fit(X, y[:-1])
    with pytest.raises(ConfigError, match="Class once has 1 samples"):
        generator.fit(X, np.where(np.arange(60) == 0, "once", y))


def test_broken_files_are_refused_by_name(tmp_path):
    path = GaussianGenerator().fit(*samples()).save(tmp_path / "generator.npz")
    whole = path.read_bytes()
    for spoiled in (b"", b"words", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(spoiled)
        with pytest.raises(DataFormatError, match=r"generator\.npz is no whole saved"):
            GaussianGenerator.load(path)
    path.write_bytes(whole)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "state_roots"}
    np.savez_compressed(path, **arrays)
    with pytest.raises(DataFormatError, match="roots"):
        GaussianGenerator.load(path)
    with pytest.raises(DataFormatError, match="holds 'GaussianGenerator'"):
        SmoteGenerator.load(path)


def test_smote_refuses_a_class_of_three_and_says_what_to_do():
    X, y = samples()
    with pytest.raises(ConfigError, match=r"Class few has 3 samples, and SmoteGenerator needs 6 .*n_neighbors"):
        SmoteGenerator().fit(X, np.where(np.arange(60) < 3, "few", y))
    with pytest.raises(ConfigError, match="two classes"):
        SmoteGenerator().fit(X, np.full(60, "one"))


def test_smote_interpolates_and_the_gaussian_has_the_class_s_moments():
    X, y = samples(400)
    inside = X[y == "basal"]
    drawn, _ = SmoteGenerator().fit(X, y).sample(200, "basal")
    assert (drawn.min() >= inside.min()).all() and (drawn.max() <= inside.max()).all()
    drawn, _ = GaussianGenerator().fit(X, y).sample(4000, "basal")
    np.testing.assert_allclose(drawn.mean(), inside.mean(), atol=0.3)
    np.testing.assert_allclose(drawn.std(), inside.std(), rtol=0.15)


@cache
def trained(kind):
    """Trained long enough to tell something, once for all tests."""
    epochs = 14 if kind is ConditionalWGAN else 8
    return kind(epochs=epochs, hidden_units=32, latent_size=8, learning_rate=1e-3).fit(*samples(200))


@pytest.mark.parametrize("kind", [ClassGAN, ConditionalWGAN])
def test_gans_learn_where_the_classes_lie(kind):
    X, y = samples(200)
    generator = trained(kind)
    assert generator.history_["epoch"].max() == generator.epochs
    means = {name: X[y == name].mean() for name in ("basal", "luminal")}
    drawn = {name: generator.sample(500, name)[0] for name in means}
    for name, other in (("basal", "luminal"), ("luminal", "basal")):
        away = (drawn[name].mean() - means[name]).abs().mean()
        assert away < 0.3 * (drawn[name].mean() - means[other]).abs().mean()


@pytest.mark.parametrize("kind", [ClassGAN, ConditionalWGAN])
def test_one_seed_gives_one_gan(kind):
    X, y = samples()
    first, again, other = (kind(**SMALL, random_state=seed).fit(X, y).sample(3)[0] for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first, other)


def test_averaging_takes_the_mean_of_weights_and_none_takes_the_last():
    X, y = samples()
    parts = {rate: ConditionalWGAN(**SMALL, averaging=rate).fit(X, y).weights_[0] for rate in (0.0, 0.5, 0.999999)}
    last, middle, start = parts.values()
    for a, b, c in zip(last, middle, start):
        # almost no step counts with the slowest mean, which stays near the start; the others follow training
        assert np.abs(a - b).max() < np.abs(a - c).max() or np.abs(a - c).max() == 0


def test_wgan_learns_the_width_of_a_class():
    X, y = samples(200)
    drawn, _ = trained(ConditionalWGAN).sample(800, "basal")
    assert np.abs(np.log(drawn.std() / X[y == "basal"].std())).max() < 0.5


@pytest.mark.parametrize(
    ("option", "value"),
    [("epochs", 0), ("learning_rate", 0), ("hidden_units", 2.5), ("random_state", -1), ("penalty", -1)],
)
def test_hyperparameters_out_of_range_are_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        ConditionalWGAN(**{option: value}).fit(*samples())


def test_the_penalty_is_zero_for_a_critic_of_slope_one():
    import tensorflow as tf

    settings = AdversarialSettings(3, 2, "wasserstein", 2, 0, 4, 1, 10.0, 1e-3, 0.0, 0.0)
    pair = AdversarialPair(settings)
    kernel = np.array([0.6, 0.8, 0.0, 5.0, -7.0], np.float32)[:, None]  # the classes' weights are no slope
    pair.critic.set_weights([kernel, np.zeros(1, np.float32)])
    assert float(pair._slope_penalty(tf.ones((4, 3)), tf.ones((4, 2)))) < 1e-9
    pair.critic.set_weights([3 * kernel, np.zeros(1, np.float32)])
    assert float(pair._slope_penalty(tf.ones((4, 3)), tf.ones((4, 2)))) == pytest.approx(4.0)


def test_shares_add_up():
    assert list(apportioned(np.array([1, 1, 1]), 10)) == [4, 3, 3]
    assert apportioned(np.array([19, 1]), 5).sum() == 5
