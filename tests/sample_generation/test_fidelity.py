"""Every score tells a perfect generator from copies of the training samples and from a collapsed one."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from reproduce.errors import ConfigError
from reproduce.sample_generation.fidelity import (
    SCORES,
    classifier_auc,
    correlation_error,
    density_and_coverage,
    fidelity,
    marginal_distances,
    novelty,
    perfect_coverage,
    squared_mmd,
)
from reproduce.sample_generation.usefulness import balanced_accuracy, made_rare

N, GENES = 240, 8
ROOT = np.linalg.cholesky(0.6 * np.ones((GENES, GENES)) + 0.4 * np.eye(GENES))


def drawn(seed, n=N):
    """Two classes of one correlated law."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(["a", "b"], n // 2)
    return rng.standard_normal((n, GENES)) @ ROOT.T + 1.5 * (classes == "b")[:, None], classes


@pytest.fixture(scope="module")
def scores():
    (train, _), (test, classes), (fresh, _) = drawn(0), drawn(1), drawn(2)
    collapsed = np.tile(train[[3, -3]], (N // 2, 1))[np.argsort(np.tile([0, 1], N // 2), kind="stable")]
    collapsed = collapsed + 1e-3 * np.random.default_rng(3).standard_normal(collapsed.shape)
    made = {"perfect": fresh, "copies": train, "collapsed": collapsed}
    return {name: fidelity(train, test, X, classes, classes) for name, X in made.items()}


def test_a_perfect_generator_is_near_what_the_table_says(scores):
    found = scores["perfect"]
    assert set(found) == {*SCORES, "perfect_coverage"}
    bounds = {"ks": 0.12, "wasserstein": 0.2, "correlation_error": 0.1, "mmd": 0.01, "classifier_auc": 0.1,
              "density": 0.15, "coverage": 0.1, "distance_ratio": 0.1, "closer_to_train": 0.1}  # fmt: skip
    for name, bound in bounds.items():
        assert abs(found[name] - SCORES[name]) < bound, name


def test_copies_are_faithful_and_found_out_by_their_distances(scores):
    copies, perfect = scores["copies"], scores["perfect"]
    for name in ("ks", "classifier_auc", "coverage"):
        assert copies[name] == pytest.approx(perfect[name], abs=0.1)
    assert copies["distance_ratio"] == 0 and copies["closer_to_train"] == 1


def test_a_collapsed_generator_fails_in_every_score(scores):
    collapsed, perfect = scores["collapsed"], scores["perfect"]
    for name in ("ks", "wasserstein", "correlation_error", "mmd", "classifier_auc"):
        assert collapsed[name] > perfect[name] + 0.1, name
    assert collapsed["coverage"] < 0.3 < perfect["coverage"]
    assert collapsed["closer_to_train"] > 0.9  # it sits on two training samples


def test_marginal_distances_are_scipy_s_also_with_ties():
    rng = np.random.default_rng(0)
    real, artificial = np.round(rng.normal(size=(40, 3)), 1), np.round(rng.normal(0.3, 2, size=(55, 3)), 1)
    ks, wasserstein = marginal_distances(real, artificial)
    for gene in range(3):
        assert ks[gene] == pytest.approx(ks_2samp(real[:, gene], artificial[:, gene]).statistic)
        assert wasserstein[gene] == pytest.approx(wasserstein_distance(real[:, gene], artificial[:, gene]))


def test_density_and_coverage_on_a_line_by_hand():
    real = np.arange(6.0)[:, None]  # balls of radius 1 (ends 1) with one neighbour
    density, coverage = density_and_coverage(real, np.array([[0.5], [9.0]]), 1)
    assert density == pytest.approx(2 / 2) and coverage == pytest.approx(2 / 6)
    with pytest.raises(ConfigError, match="neighbours"):
        density_and_coverage(real, real, 6)


@pytest.mark.parametrize(("n_real", "n_artificial"), [(30, 30), (40, 15)])
def test_perfect_coverage_is_what_draws_of_one_law_have(n_real, n_artificial):
    rng = np.random.default_rng(7)
    drawn = [rng.standard_normal((n_real + n_artificial, 3)) for _ in range(300)]
    found = [density_and_coverage(X[:n_real], X[n_real:])[1] for X in drawn]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(perfect_coverage(n_real, n_artificial), abs=4 * error)
    assert perfect_coverage(50_000, 50_000) == pytest.approx(SCORES["coverage"], abs=1e-4)


def test_correlations_within_classes_do_not_see_the_classes_means():
    X, classes = drawn(4)
    moved = X + 50.0 * (classes == "b")[:, None]
    assert correlation_error(X, moved, classes, classes) == pytest.approx(0, abs=1e-9)
    shuffled = np.random.default_rng(0).permuted(X, axis=0)
    assert correlation_error(X, shuffled, classes, classes) > 0.4


def test_mmd_is_about_zero_on_average_for_one_law_and_grows_with_the_shift():
    pairs = [squared_mmd(drawn(seed, 60)[0][:30], drawn(100 + seed, 60)[0][:30], 3.0) for seed in range(30)]
    assert abs(np.mean(pairs)) < 3 * np.std(pairs) / np.sqrt(30) + 1e-12
    X = drawn(0)[0]
    assert squared_mmd(X, X + 1, 3.0) > squared_mmd(X, X + 0.3, 3.0) > 0


def test_few_samples_are_refused_and_unequal_numbers_are_not():
    X, _ = drawn(0)
    assert 0.3 < classifier_auc(X, drawn(1)[0][::2]) < 0.7
    assert 0.3 < novelty(X, drawn(1)[0][::3], drawn(2)[0])["closer_to_train"] < 0.7
    with pytest.raises(ConfigError, match="too few"):
        classifier_auc(X[:5], X[:5])


def test_repeating_every_sample_changes_no_classifier_of_the_same_total():
    X, y = drawn(0)
    X, y = X[:124], y[:124]  # 120 of a, 4 of b
    test, classes = drawn(1)
    again = np.concatenate([np.arange(120), np.repeat(np.arange(120, 124), 30)])
    weighted = balanced_accuracy(X, y, test, classes, weighted=True, total=124)
    assert balanced_accuracy(X[again], y[again], test, classes, total=124) == pytest.approx(weighted, abs=1e-9)


def test_usefulness_sees_labels_and_a_rare_class_has_its_ratio():
    X, y = drawn(0)
    test, classes = drawn(1)
    assert balanced_accuracy(X, y, test, classes) > 0.7
    wrong = np.random.default_rng(0).permutation(y)
    assert balanced_accuracy(X, wrong, test, classes) < 0.65
    kept = made_rare(y, "a", "b", 20, 0)
    assert (y[kept] == "b").sum() == 6 and (y[kept] == "a").sum() == 120
    for frequent, rare, ratio in (("a", "c", 20), ("a", "b", 100)):
        with pytest.raises(ConfigError, match="cannot be made"):
            made_rare(y, frequent, rare, ratio, 0)
