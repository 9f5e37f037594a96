"""One contract for all translators: what they learn, what they refuse, and that a saved network says the same."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from reproduce.domain_translation.autoencoders import AlignedAutoencoders
from reproduce.domain_translation.imputing import ImputingTranslator
from reproduce.domain_translation.methods import METHODS, NETWORKS, made
from reproduce.domain_translation.neighbours import NeighbourTranslator
from reproduce.domain_translation.perceptron import PerceptronTranslator
from reproduce.domain_translation.scoring import correlation_of_features, r2_of_features
from reproduce.errors import ConfigError, DataFormatError

N_TRAIN = 160
SMALL = {"hidden_units": (24,), "epochs": 60, "patience": 15, "learning_rate": 5e-3, "batch_size": 32}


@pytest.fixture(scope="module")
def layers():
    """Two layers of one latent of three dimensions, in units of their own; the last source feature is constant."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((240, 3))
    source = z @ rng.normal(size=(3, 12)) + 0.3 * rng.standard_normal((240, 12))
    target = 5 + 2 * (z @ rng.normal(size=(3, 9)) + 0.3 * rng.standard_normal((240, 9)))
    source[:, -1] = 7.0
    samples = [f"s{i}" for i in range(240)]
    return (
        pd.DataFrame(source, samples, [f"gene{i}" for i in range(12)]),
        pd.DataFrame(target, samples, [f"cpg{i}" for i in range(9)]),
        np.where(z[:, 0] > 0, "high", "low"),
    )


def parts(layers):
    source, target, clusters = layers
    train = (source[:N_TRAIN], target[:N_TRAIN], clusters[:N_TRAIN])
    return train, (source[N_TRAIN:], target[N_TRAIN:], clusters[N_TRAIN:])


def small(method, **more):
    network = SMALL | ({"latent_size": 4} if method in ("unaligned", "aligned") else {}) | more
    return made(method, 0, **(network if method in NETWORKS else {}))


def mean_r2(truth, said, train):
    return r2_of_features(truth.to_numpy(), said.to_numpy(), train.to_numpy().mean(axis=0)).mean()


@pytest.fixture(scope="module")
def fitted(layers):
    """A function from a method to its translator, fitted once for all tests."""
    (source, target, clusters), _ = parts(layers)
    return lru_cache(maxsize=None)(lambda method: small(method).fit(source, target, clusters))


@pytest.mark.parametrize("method", METHODS)
def test_what_the_source_knows_is_translated_with_names_and_units(layers, fitted, method):
    (_, target, _), (asked, truth, _) = parts(layers)
    translator = fitted(method)
    said = translator.translate(asked)
    assert list(said.columns) == list(truth.columns) and list(said.index) == list(truth.index)
    score = mean_r2(truth, said, target)
    if method in ("mean", "unaligned"):
        assert score < 0.05
    else:
        assert score > 0.6
    # features are found by name, and a sample's translation does not rest on who else is asked
    shuffled = translator.translate(asked[asked.columns[::-1]].iloc[:7])
    np.testing.assert_allclose(shuffled, said.iloc[:7], rtol=1e-4, atol=1e-4)
    assert translator.get_params() == type(translator)(**translator.get_params()).get_params()


def test_one_fit_translates_both_ways(layers, fitted):
    (source, _, _), (asked, truth, _) = parts(layers)
    varying = list(source.columns[:-1])
    for translator in map(fitted, ("aligned", "low_rank", "knn_imputer")):
        back = translator.translate_back(truth)
        assert mean_r2(asked[varying], back[varying], source[varying]) > 0.6
        assert (back["gene11"] == 7.0).all()
    with pytest.raises(AttributeError):
        fitted("ridge").translate_back(truth)


def test_the_imputer_by_neighbours_is_the_translator_by_neighbours(layers, fitted):
    (source, target, _), (asked, _, _) = parts(layers)
    ten = NeighbourTranslator(numbers=(10,)).fit(source, target)
    np.testing.assert_allclose(fitted("knn_imputer").translate(asked), ten.translate(asked), rtol=1e-9)


def test_pairs_lie_near_each_other_in_the_aligned_latent_and_not_in_the_other(layers, fitted):
    _, (asked, truth, _) = parts(layers)

    def distance(translator):
        one, other = translator.latents(asked, truth)
        return ((one - other) ** 2).sum() / ((one - other[::-1]) ** 2).sum()

    assert distance(fitted("aligned")) < 0.3 < 0.6 < distance(fitted("unaligned"))


def test_seeds_decide_networks_and_nothing_else(layers):
    (source, target, _), (asked, _, _) = parts(layers)
    quick = SMALL | {"epochs": 2}
    one, same, other = (
        PerceptronTranslator(random_state=seed, **quick).fit(source, target).translate(asked) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).to_numpy().max() > 1e-3


def test_samples_of_one_layer_are_read(layers):
    (source, target, _), (asked, truth, _) = parts(layers)
    few = {"random_state": 0, "latent_size": 4, **SMALL}
    pairs = (source[:16], target[:16])
    fitted = AlignedAutoencoders(**few).fit(*pairs, unpaired_source=source[16:80], unpaired_target=target[80:])
    alone = AlignedAutoencoders(**few).fit(*pairs)
    np.testing.assert_allclose(fitted.source_.center, source[:16].mean(), rtol=1e-6)
    assert np.abs(fitted.translate(asked) - alone.translate(asked)).to_numpy().max() > 1e-2
    assert mean_r2(truth, fitted.translate(asked), target) > 0.2


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_translator_says_the_same(layers, fitted, method, tmp_path):
    _, (asked, truth, _) = parts(layers)
    translator = fitted(method)
    path = translator.save(tmp_path / "translator.npz")
    again = type(translator).load(path)
    np.testing.assert_array_equal(again.translate(asked), translator.translate(asked))
    if translator.both_ways:
        np.testing.assert_array_equal(again.translate_back(truth), translator.translate_back(truth))
    assert again.get_params() == translator.get_params()
    whole = path.read_bytes()
    for broken in (b"", b"nothing", whole[: len(whole) // 2], whole[:-5]):
        path.write_bytes(broken)
        with pytest.raises(DataFormatError, match=r"translator\.npz"):
            type(translator).load(path)


def test_a_file_of_another_kind_or_name_is_refused(fitted, tmp_path):
    path = fitted("aligned").save(tmp_path / "aligned.npz")
    pd.testing.assert_frame_equal(AlignedAutoencoders.load(path).history_, fitted("aligned").history_)
    with pytest.raises(DataFormatError, match="AlignedAutoencoders"):
        PerceptronTranslator.load(path)
    with pytest.raises(ConfigError, match="npz"):
        fitted("aligned").save(tmp_path / "aligned.pickle")
    with pytest.raises(ConfigError, match="random_state"):
        ImputingTranslator("knn", random_state=np.random.RandomState(0)).fit(np.eye(5), np.eye(5)).save(path)


@pytest.mark.parametrize("method", ["ridge", "low_rank", "aligned"])
def test_bad_input_is_named(layers, method):
    (source, target, clusters), (asked, _, _) = parts(layers)
    translator = small(method, **({"epochs": 1} if method in NETWORKS else {}))
    for wrong, match in (
        ((source, target[:-1]), "samples"),
        ((source, target[::-1]), "'s0'.*'s159'"),
        ((source[:3], target[:3]), "at least 4"),
        ((source, target, clusters[:-1]), "clusters"),
        ((source.set_axis([*source.columns[:-1], "gene0"], axis=1), target), "gene0.*twice"),
        ((source, target.mask(target == target.loc["s5", "cpg0"])), "sample 's5', feature 'cpg0'"),
        ((source.assign(gene3="text"), target), "no number"),
    ):
        with pytest.raises(DataFormatError, match=match):
            translator.fit(*wrong)
    translator.fit(source, target)
    with pytest.raises(DataFormatError, match="1 absent, such as 'gene4'"):
        translator.translate(asked.drop(columns="gene4"))
    with pytest.raises(DataFormatError, match="never fitted, such as 'other'"):
        translator.translate(asked.assign(other=1.0))
    with pytest.raises(DataFormatError, match="5 features; 12"):
        translator.translate(np.ones((3, 5)))


def test_the_beta_law_refuses_what_is_no_fraction_and_never_says_it(layers):
    (source, target, _), (asked, _, _) = parts(layers)
    beta = AlignedAutoencoders(target_law="beta", latent_size=4, random_state=0, **SMALL)
    with pytest.raises(DataFormatError, match=r"target layer is .* at sample 's0', feature 'cpg.*m_to_beta"):
        beta.fit(source, target)
    fractions = 1 / (1 + np.exp(-(target - 5) / 2))
    said = beta.fit(source, fractions).translate(10 * asked)
    assert said.to_numpy().min() >= 0 and said.to_numpy().max() <= 1
    truth = 1 / (1 + np.exp(-(parts(layers)[1][1] - 5) / 2))
    assert mean_r2(truth, beta.translate(asked), fractions) > 0.6


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"latent_size": 0}, "latent_size"), ({"hidden_units": ()}, "hidden_units"), ({"target_law": "gamma"}, "gamma"),
        ({"latent_weight": -1.0}, "latent_weight"), ({"dropout": 1.0}, "dropout"), ({"class_weight": 1.0}, "clusters"),
    ],
)  # fmt: skip
def test_hyperparameters_out_of_range_are_named(layers, parameters, match):
    (source, target, _), _ = parts(layers)
    with pytest.raises(ConfigError, match=match):
        AlignedAutoencoders(**parameters).fit(source, target)


def test_every_option_matters(layers):
    (source, target, clusters), (asked, _, _) = parts(layers)
    base = {"latent_size": 4, "random_state": 0, **SMALL, "epochs": 1, "batch_size": 64}

    def said(**more):
        return AlignedAutoencoders(**(base | more)).fit(source, target, clusters).translate(asked).to_numpy()

    usual = said()
    for more in (
        {"discriminator_weight": 1.0}, {"latent_weight": 5.0}, {"crossed_weight": 0.0}, {"class_weight": 5.0},
        {"divergence_weight": 5.0}, {"dropout": 0.0}, {"weight_decay": 1.0}, {"learning_rate": 1e-3},
        {"batch_size": 16}, {"validation_fraction": 0.4}, {"latent_size": 3}, {"hidden_units": (8, 8)},
    ):  # fmt: skip
        assert np.abs(said(**more) - usual).max() > 1e-4, more


def test_scores_are_what_they_are_called():
    truth = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 4.0]])
    perfect = r2_of_features(truth, truth, np.array([1.0, 0.0, 3.0]))
    np.testing.assert_allclose(perfect, 1.0)
    said = np.array([[1.0, 1.0, 5.0], [1.0, 1.0, 3.0]])
    np.testing.assert_allclose(r2_of_features(truth, said, np.array([1.0, 1.0, 3.0])), [0.0, np.nan, -4.0])
    np.testing.assert_allclose(correlation_of_features(truth, said), [0.0, np.nan, -1.0])
