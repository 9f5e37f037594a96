"""Evaluation masks hide known entries only, at the asked rate, the same for every method and platform."""

import hashlib

import numpy as np
import pytest

from reproduce.errors import ConfigError
from reproduce.masking import draw_evaluation_mask, draw_training_mask

OBSERVED = np.random.default_rng(0).random((300, 65)) < 0.9


def draw(rate=0.5, seed=0, scenario="inductive", observed=OBSERVED, **kwargs):
    return draw_evaluation_mask(observed, rate, seed=seed, scenario=scenario, **kwargs)


def test_only_known_entries_are_hidden():
    assert not (draw() & ~OBSERVED).any()


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.95])
def test_missing_rate_is_the_fraction_hidden(rate):
    assert draw(rate).sum() / OBSERVED.sum() == pytest.approx(rate, abs=0.015)


def test_masks_depend_on_seed_and_scenario_and_repeat():
    assert np.array_equal(draw(), draw())
    assert not np.array_equal(draw(), draw(seed=1))
    assert not np.array_equal(draw(), draw(scenario="in_place"))
    assert not np.array_equal(draw(), draw_training_mask(OBSERVED, 0.5, seed=0, scenario="inductive"))


def test_different_seeds_are_independent():
    full = np.ones((300, 65), dtype=bool)
    both = draw(observed=full) & draw(observed=full, seed=1)
    assert both.mean() == pytest.approx(0.25, abs=0.015)


def test_a_higher_rate_hides_a_superset():
    assert not (draw(0.3) & ~draw(0.6)).any()


def test_the_stream_is_the_same_on_every_platform():
    packed = np.packbits(draw(observed=np.ones((16, 16), dtype=bool)))
    assert hashlib.sha256(packed.tobytes()).hexdigest()[:16] == "3b5e6db3fa72e383"


@pytest.mark.parametrize(
    "kwargs, named",
    [
        ({"rate": 0.0}, "missing_rate"),
        ({"rate": 1.0}, "missing_rate"),
        ({"seed": -1}, "seed"),
        ({"scenario": "sideways"}, "sideways"),
        ({"mechanism": "mood"}, "mood"),
        ({"observed": np.ones((3, 3))}, "boolean"),
        ({"observed": np.ones(3, dtype=bool)}, "dimension"),
    ],
)
def test_bad_arguments_are_named(kwargs, named):
    with pytest.raises(ConfigError, match=named):
        draw(**kwargs)
