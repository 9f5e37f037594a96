"""The chosen method: practical at every size, inductive where that is needed, more time never takes accuracy away."""

import numpy as np
import pytest

from reproduce.errors import ConfigError
from reproduce.imputers import METHODS
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.matrices.choice import NOT_FOR_ONE_MATRIX, START_SECONDS, choose_method, estimated, measuring_seconds
from reproduce.matrices.filling import WITH_DISTRIBUTION


@pytest.mark.parametrize("n_samples", [1, 2, 5, 30, 700, 15_000])
@pytest.mark.parametrize("n_genes", [1, 3, 65, 300, 999, 12_557])
@pytest.mark.parametrize("inductive", [False, True])
def test_every_size_has_a_method_that_can_do_it(n_samples, n_genes, inductive):
    choice = choose_method(n_samples, n_genes, 0.3, inductive=inductive)
    assert choice.reason
    assert choice.seconds <= 600
    assert choice.gigabytes <= 12
    assert choice.method not in NOT_FOR_ONE_MATRIX
    assert ("inductive" if inductive else "in_place") in METHODS[choice.method].scenarios


def test_the_required_sizes_are_done_by_low_rank_in_their_time_and_memory():
    medium = choose_method(1_000, 20_000, 0.3, inductive=False)
    large = choose_method(15_000, 12_557, 0.3, inductive=False)
    assert medium.method == large.method == "low_rank"
    assert medium.seconds < 60 and medium.gigabytes < 4
    assert large.seconds < 600 and large.gigabytes < 12


def test_what_is_known_decides_not_what_there_is():
    assert choose_method(30, 65, 0.95, inductive=False).method == "median"
    assert choose_method(30, 65, 0.3, inductive=False).method == "mixture"


def test_less_patience_gives_a_quicker_method_that_says_why():
    slow = choose_method(700, 300, 0.3, inductive=False)
    quick = choose_method(700, 300, 0.3, inductive=False, patience_seconds=slow.seconds / 2)
    assert quick.method != slow.method
    assert quick.seconds < slow.seconds
    assert slow.label in quick.reason


@pytest.mark.parametrize(("size", "patience"), [((0, 5), 1), ((5, 0), 1), ((5, 5), 0), ((5, 5), float("nan"))])
def test_impossible_requests_are_refused(size, patience):
    with pytest.raises(ConfigError):
        choose_method(*size, 0.3, inductive=False, patience_seconds=patience)


#: Processor seconds on one core, 30 % missing: log expression of GTEx (65 genes), TCGA and GTEx (others).
MEASURED = [
    ("mixture", 984, 65, 9.9),
    ("mixture", 700, 65, 7.5),
    ("mixture", 300, 150, 2.8),
    ("mixture", 700, 150, 6.8),
    ("mixture", 200, 300, 9.3),
    ("mixture", 700, 300, 25.1),
    ("mixture", 300, 600, 64.5),
    ("gaussian", 300, 150, 0.6),
    ("gaussian", 700, 150, 1.0),
    ("gaussian", 700, 300, 7.2),
    ("gaussian", 300, 600, 24.1),
    ("low_rank", 300, 65, 1.5),
    ("low_rank", 984, 65, 3.5),
    ("low_rank", 300, 300, 4.1),
    ("low_rank", 700, 300, 13.5),
    ("low_rank", 700, 900, 33.7),
    ("low_rank", 700, 3_000, 27.9),
    ("low_rank", 1_000, 10_000, 47.7),
]


@pytest.mark.parametrize(("method", "n_samples", "n_genes", "measured"), MEASURED)
def test_what_is_told_is_within_a_factor_of_two_of_what_was_measured(method, n_samples, n_genes, measured):
    told = estimated(method, (n_samples, n_genes), "").seconds - START_SECONDS
    assert measured / 2 < told < 2 * measured


@pytest.mark.parametrize("method", ["mixture", "gaussian", "low_rank"])
def test_more_samples_or_genes_are_never_told_to_take_less(method):
    sizes = [3, 20, 65, 150, 300, 700, 1_000, 5_000, 20_000]
    told = np.array([[estimated(method, (rows, genes), "").seconds for genes in sizes] for rows in sizes])
    assert (np.diff(told, axis=0) >= 0).all() and (np.diff(told, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("method", "n_samples", "n_genes", "measured"),
    [
        ("mixture", 300, 65, 7.1),
        ("mixture", 700, 65, 14.3),
        ("mixture", 300, 150, 21.7),
        ("mixture", 200, 300, 57.7),
        ("gaussian", 700, 150, 3.0),
    ],
)
def test_checking_the_intervals_is_part_of_what_measuring_is_told_to_take(method, n_samples, n_genes, measured):
    choice = estimated(method, (n_samples, n_genes), "")
    told = measuring_seconds(choice, (n_samples, n_genes), intervals=True)
    assert measured / 2 < told < 2 * measured
    assert measuring_seconds(choice, (n_samples, n_genes), intervals=False) == choice.seconds < told


def test_an_unknown_method_is_named():
    with pytest.raises(ConfigError, match="magic"):
        estimated("magic", (5, 5), "")


def test_those_that_predict_a_distribution_are_listed():
    networks = {"pmi", "gain", "gain_mse", "pmi_tuned", "best"}  # those would import TensorFlow
    found = {name for name in set(METHODS) - networks if issubclass(METHODS[name].load(), PredictiveImputer)}
    assert found == set(WITH_DISTRIBUTION) - networks
