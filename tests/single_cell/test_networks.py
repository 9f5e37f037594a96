"""ELBOs of VAE and GMVAE against enumeration and quadrature, and what estimators promise."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from anndata import AnnData
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from reproduce.errors import ConfigError, DataFormatError
from reproduce.single_cell.counts import check_counts, simulated_counts
from reproduce.single_cell.estimators import CountGMVAE, CountVAE
from reproduce.single_cell.networks import NetworkSettings, log_composition, network_of
from reproduce.single_cell.training import Packer, starting_profile

TINY = {"latent_size": 2, "hidden_units": (4,), "epochs": 2, "random_state": 0, "batch_size": 20, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def data():
    return simulated_counts(60, 30, 3)


@pytest.fixture(scope="module")
def tiny_mixture():
    """A GMVAE with one latent dimension and two components, with weights far from their start."""
    network = network_of(NetworkSettings(3, 1, (3,), "poisson", n_components=2))
    rng = np.random.default_rng(3)
    network.set_weights([rng.normal(0, 0.8, weight.shape) for weight in network.weights])
    counts = np.array([[2, 0, 3], [0, 1, 0]])
    return network, counts, Packer(check_counts(counts)).rows(np.arange(2))


def rates_of(network, z, library):
    """Rates (len(z), 3) of cells with this library size."""
    z = tf.constant(np.atleast_1d(z)[:, None], tf.float32)
    return np.exp(network.decoder(z, tf.fill((len(z), 1), np.float32(np.log(library)))).log_rate.numpy().astype(float))


def parts_of(network, packed):
    q = np.exp(network.log_classes(*packed).numpy().astype(float))
    mean, log_variance = (
        part.numpy()[..., 0].astype(float) for part in network._posteriors(network.inputs_of(*packed)[0])
    )
    prior_mean = network.component_means.values.numpy()[:, 0].astype(float)
    prior_scale = np.exp(0.5 * network.component_log_variances.values.numpy()[:, 0].astype(float))
    return q, mean, np.exp(0.5 * log_variance), prior_mean, prior_scale


def test_gmvae_elbo_is_the_one_enumerated_over_components_and_latents(tiny_mixture):
    network, counts, packed = tiny_mixture
    q, mean, scale, prior_mean, prior_scale = parts_of(network, packed)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    expected = np.zeros(2)
    for n in range(2):
        for y in range(2):
            z = mean[y, n] + scale[y, n] * nodes
            log_x = stats.poisson.logpmf(counts[n], rates_of(network, z, counts[n].sum())).sum(axis=1)
            log_ratio = stats.norm.logpdf(z, prior_mean[y], prior_scale[y]) - stats.norm.logpdf(
                z, mean[y, n], scale[y, n]
            )
            expected[n] += q[n, y] * (weights @ (log_x + log_ratio) - np.log(q[n, y]) + np.log(0.5))
    draws = 40_000
    noise = np.random.default_rng(4).standard_normal((2 * draws, 2)).astype("float32")
    many = network.terms(*(tf.repeat(part, draws, axis=0) for part in packed), tf.constant(noise))
    found = many["elbo"].numpy().reshape(2, draws)
    np.testing.assert_allclose(found.mean(axis=1), expected, atol=5 * found.std() / np.sqrt(draws))


def test_the_elbo_bounds_the_probability_and_importance_weights_reach_it(tiny_mixture):
    network, counts, packed = tiny_mixture
    *_, prior_mean, prior_scale = parts_of(network, packed)
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    exact = np.zeros(2)
    for n in range(2):
        for y in range(2):
            rates = rates_of(network, prior_mean[y] + prior_scale[y] * nodes, counts[n].sum())
            p = np.exp(stats.poisson.logpmf(counts[n], rates).sum(axis=1))
            exact[n] += 0.5 * (weights / weights.sum()) @ p
    draws = 40_000
    noise = np.random.default_rng(5).standard_normal((2 * draws, 2)).astype("float32")
    many = network.terms(*(tf.repeat(part, draws, axis=0) for part in packed), tf.constant(noise))
    weight = np.exp(many["log_weight"].numpy().astype(float)).reshape(2, draws)
    # relative error of a mean of weights
    np.testing.assert_allclose(weight.mean(axis=1), exact, atol=6 * weight.std() / np.sqrt(draws))
    assert np.all(many["elbo"].numpy().reshape(2, draws).mean(axis=1) < np.log(exact))


def test_one_standard_normal_component_is_a_vae(data):
    """With K = 1 and the standard prior the mixture's ELBO is the VAE's of the same weights."""
    settings = dict(n_genes=30, latent_size=2, hidden_units=(4,), likelihood="zero_inflated_negative_binomial")
    vae, mixture = network_of(NetworkSettings(**settings)), network_of(NetworkSettings(**settings, n_components=1))
    rng = np.random.default_rng(0)
    for name in ("decoder", "encoder", "posterior"):
        values = [rng.normal(0, 0.3, weight.shape) for weight in getattr(vae, name).weights]
        getattr(vae, name).set_weights(values)
        getattr(mixture, name).set_weights(values)
    for table in (mixture.component_inputs, mixture.component_means, mixture.component_log_variances):
        table.values.assign(np.zeros(table.values.shape))
    packed = Packer(data.counts).rows(np.arange(8))
    noise = rng.standard_normal((8, 2)).astype("float32")
    one, other = vae.terms(*packed, noise), mixture.terms(*packed, noise)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(vae.expected(*packed), mixture.expected(*packed), rtol=1e-4)


@pytest.mark.parametrize("make", [CountVAE, CountGMVAE])
def test_an_estimator_keeps_its_promises(data, make, tmp_path):
    estimator = clone(make(**TINY) if make is CountVAE else make(n_components=2, **TINY))
    counts = pd.DataFrame(data.counts.toarray(), index=data.cells, columns=data.genes)
    estimator.fit(counts)
    again = clone(estimator).fit(counts)
    latent = estimator.transform(counts)
    assert latent.shape == (60, 2) and np.isfinite(latent).all()
    np.testing.assert_array_equal(latent, again.transform(counts))
    # the form of the counts and the cells beside one change nothing
    layered = AnnData(np.log1p(counts), layers={"counts": data.counts})
    for other in (data.counts, sparse.coo_array(data.counts), AnnData(counts), layered, counts.to_numpy(float)):
        np.testing.assert_allclose(estimator.transform(other[:7]), latent[:7], atol=1e-5)
    scores = estimator.score_cells(counts, n_draws=5)
    assert scores["importance"].mean() > scores["elbo"].mean()
    assert estimator.score(counts, bound="importance", n_draws=5) == pytest.approx(scores["importance"].mean())
    # shares of the library: a cell's expected counts are as many as its counts
    np.testing.assert_allclose(estimator.reconstruct(counts).sum(axis=1), counts.sum(axis=1), rtol=1e-4)
    held_out = estimator.predict_held_out(counts, 0.2)
    assert held_out.shape == counts.shape and (held_out > 0).all()
    drawn = estimator.sample(50, library_size=500.0, random_state=0)
    assert (
        drawn.shape == (50, 30) and drawn.dtype.kind == "i" and drawn.sum(axis=1).mean() == pytest.approx(500, rel=0.2)
    )
    loaded = make.load(estimator.save(tmp_path / "fitted.npz"))
    np.testing.assert_array_equal(loaded.transform(counts), latent)
    pd.testing.assert_frame_equal(loaded.history_, estimator.history_)
    if make is CountGMVAE:
        np.testing.assert_allclose(estimator.predict_proba(counts).sum(axis=1), 1, rtol=1e-5)
        with pytest.raises(DataFormatError, match="CountGMVAE"):
            CountVAE.load(tmp_path / "fitted.npz")
    with pytest.raises(DataFormatError, match="gene2"):
        estimator.transform(counts[[*data.genes[[1, 0]], *data.genes[2:]]])


def test_the_composition_is_the_multinomial_s_and_ignores_the_depth_of_rates(data):
    positions, counts = Packer(data.counts).rows(np.arange(6))
    log_rate = np.random.default_rng(0).normal(size=(6, 30)).astype("float32")
    dense = data.counts[:6].toarray()
    shares = np.exp(log_rate) / np.exp(log_rate).sum(axis=1, keepdims=True)
    expected = [
        stats.multinomial.logpmf(x, x.sum(), p.astype(float) / p.astype(float).sum())
        for x, p in zip(dense, shares, strict=True)
    ]
    for deeper in (0.0, 3.0):
        np.testing.assert_allclose(log_composition(positions, counts, log_rate + deeper), expected, rtol=1e-4)


def test_components_of_separated_kinds_are_found():
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(3), 60)
    means = np.where(np.arange(30) // 10 == kinds[:, None], 12.0, 1.0)
    order = rng.permutation(180)
    model = CountGMVAE(
        3,
        "poisson",
        latent_size=2,
        hidden_units=(16,),
        epochs=60,
        warm_up_epochs=10,
        learning_rate=1e-2,
        batch_size=30,
        random_state=0,
    )
    found = model.fit(rng.poisson(means)[order]).predict(rng.poisson(means))
    assert adjusted_rand_score(kinds, found) > 0.95


def test_a_start_is_where_training_begins(data):
    model = CountVAE(
        "poisson",
        rates="exponential",
        start="zero",
        learning_rate=1e-12,
        **{k: v for k, v in TINY.items() if k != "learning_rate"},
    )
    start = model.untrained(data.counts[:50]).score_cells(data.counts[:50], n_draws=1)
    assert len(model.history_) == 0
    history = model.fit(data.counts[:50], validation=data.counts[50:]).history_
    assert start["rate_sum"].mean() == pytest.approx(history["rate_sum"].iloc[0], rel=0.05)
    assert start["largest_log_rate"].max() == pytest.approx(history["largest_log_rate"].iloc[0], rel=0.3)


def test_bounded_rates_stay_within_their_bounds(data):
    model = CountVAE(
        "poisson", rates="bounded", inputs="counts", start="zero", **{**TINY, "learning_rate": 50.0, "epochs": 5}
    )
    assert model.fit(data.counts).score_cells(data.counts)["largest_log_rate"].max() <= 10


def test_saving_takes_numpy_s_numbers_and_loading_refuses_a_torn_file(data, tmp_path):
    given = {
        **TINY,
        "epochs": np.int64(1),
        "hidden_units": (np.int64(4),),
        "learning_rate": np.float32(1e-2),
        "random_state": np.int64(3),
    }
    path = CountVAE(**given).fit(data.counts).save(tmp_path / "m.npz")
    assert CountVAE.load(path).get_params()["random_state"] == 3
    whole = path.read_bytes()
    for torn in (whole[: len(whole) // 2], b"PK\x03\x04" + whole[4:100], b""):
        path.write_bytes(torn)
        with pytest.raises(DataFormatError, match="save it again"):
            CountVAE.load(path)


def test_hyperparameters_out_of_range_are_named(data):
    with pytest.raises(ConfigError, match="validation_fraction"):
        CountVAE(**TINY, validation_fraction=0.9).fit(data.counts[:1])
    for wrong in (
        {"latent_size": 0},
        {"hidden_units": ()},
        {"rates": "softmax"},
        {"learning_rate": 0},
        {"epochs": 0.5},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CountVAE(**{**TINY, **wrong}).fit(data.counts)


@pytest.mark.parametrize("batch", [1, 100])
def test_packed_rows_hold_the_counts(data, batch):
    positions, counts = Packer(data.counts).rows(np.arange(60).reshape(-1, 60 // min(batch, 60)))
    dense = np.zeros((60, 30))
    np.add.at(dense, (np.repeat(np.arange(60), positions.shape[-1]), positions.ravel()), counts.ravel())
    np.testing.assert_array_equal(dense, data.counts.toarray())


def test_training_improves_the_bound_and_goes_the_same_way_in_every_mode(data):
    from reproduce.single_cell.training import Trainer, TrainingSettings

    layout = NetworkSettings(30, 2, (8,), "negative_binomial", learning_rate=3e-3)
    settings = TrainingSettings(epochs=5, batch_size=20, warm_up_epochs=0, start="zero")
    fits = [
        Trainer(layout, mode).fit(data.counts[:50], data.counts[50:], settings, 1) for mode in ("eager", "compiled")
    ]
    one, other = (fit.history for fit in fits)
    np.testing.assert_allclose(one["elbo"], other["elbo"], rtol=1e-4)
    assert one["validation_elbo"].iloc[-1] > one["validation_elbo"].iloc[0]
    np.testing.assert_allclose(one["rate_sum"], one["count_sum"], rtol=1e-4)


def test_dispersion_starts_at_what_library_sizes_do_not_explain():
    rng = np.random.default_rng(0)
    library, shares = rng.lognormal(7.0, 0.8, 4000), rng.dirichlet(np.ones(30))
    rates = library[:, None] * shares
    poisson = sparse.csr_matrix(rng.poisson(rates))
    spread = sparse.csr_matrix(rng.poisson(rates * rng.gamma(2.0, 0.5, rates.shape)))
    assert np.exp(starting_profile(poisson)[1]).min() > 50
    np.testing.assert_allclose(np.median(np.exp(starting_profile(spread)[1])), 2.0, rtol=0.15)
