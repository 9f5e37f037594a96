"""A split keeps people apart, covers everybody, varies with the seed and with nothing else."""

import numpy as np
import pytest

from reproduce.errors import ConfigError
from reproduce.splits import split_by_donor, split_by_sample

DONORS = [f"GTEX-{i:04d}" for i in range(120)] + [f"GTEX-{i:04d}" for i in range(60)]


@pytest.mark.parametrize("seed", range(5))
def test_donors_are_kept_apart_and_all_rows_are_used(seed):
    split = split_by_donor(DONORS, seed=seed)
    names = np.array(DONORS)
    assert not set(names[split.train]) & set(names[split.test])
    assert sorted([*split.train, *split.test]) == list(range(len(DONORS)))
    assert len(set(names[split.test])) == 30


def test_the_split_varies_with_the_seed_and_repeats_for_one_seed():
    first, again, other = (split_by_donor(DONORS, seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_the_order_of_rows_does_not_matter():
    order = np.random.default_rng(0).permutation(len(DONORS))
    shuffled = [DONORS[i] for i in order]
    expected = {DONORS[i] for i in split_by_donor(DONORS, seed=3).test}
    assert {shuffled[i] for i in split_by_donor(shuffled, seed=3).test} == expected


def test_a_known_split_stays_as_it_was():
    # guards against a change of the hash, which would silently unpair old and new results
    assert split_by_donor(list("abcdefgh"), seed=0).test.tolist() == [0, 1]


def test_every_donor_is_tested_sooner_or_later():
    tested = [np.array(DONORS)[split_by_donor(DONORS, seed=s).test] for s in range(40)]
    assert set(np.concatenate(tested)) == set(DONORS)


def test_sample_split_ignores_donors_but_covers_rows():
    split = split_by_sample(40, seed=0)
    assert len(split.test) == 10 and sorted([*split.train, *split.test]) == list(range(40))


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: split_by_donor(["a", "a"], seed=0), "1 donor"),
        (lambda: split_by_donor(["a", None], seed=0), "Row 1"),
        (lambda: split_by_donor(["a", float("nan")], seed=0), "Row 1"),
        (lambda: split_by_donor(["a", "b"], seed=-1), "seed"),
        (lambda: split_by_donor(["a", "b"], seed=0.5), "seed"),
        (lambda: split_by_donor(["a", "b"], seed=0, test_fraction=1.0), "test_fraction"),
        (lambda: split_by_sample(1, seed=0), "n_samples"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ConfigError, match=named):
        call()
