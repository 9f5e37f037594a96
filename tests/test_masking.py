"""Evaluation masks hide known entries only, at the asked rate, the same for every method and platform."""

import hashlib

import numpy as np
import pytest

from reproduce.errors import ConfigError
from reproduce.masking import draw_evaluation_mask, draw_training_mask

RNG = np.random.default_rng(0)
OBSERVED = RNG.random((300, 65)) < 0.9
VALUES = np.where(OBSERVED, RNG.normal(size=OBSERVED.shape) + RNG.normal(size=(300, 1)), np.nan)
COMPLETE = RNG.normal(size=(300, 65)) + RNG.normal(size=(300, 1))
TISSUES = np.repeat(["Lung", "Colon"], 150)


def draw(rate=0.5, seed=0, scenario="inductive", values=VALUES, **kwargs):
    return draw_evaluation_mask(values, rate, seed=seed, scenario=scenario, **kwargs)


def test_only_known_entries_are_hidden():
    assert not (draw() & ~OBSERVED).any()


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.95])
def test_missing_rate_is_the_fraction_hidden(rate):
    assert draw(rate).sum() / OBSERVED.sum() == pytest.approx(rate, abs=0.015)


def test_masks_depend_on_seed_and_scenario_and_repeat():
    assert np.array_equal(draw(), draw())
    assert not np.array_equal(draw(), draw(seed=1))
    assert not np.array_equal(draw(), draw(scenario="in_place"))
    assert not np.array_equal(draw(), draw_training_mask(VALUES, 0.5, seed=0, scenario="inductive"))


def test_different_seeds_are_independent():
    full = COMPLETE
    both = draw(values=full) & draw(values=full, seed=1)
    assert both.mean() == pytest.approx(0.25, abs=0.015)


def test_a_higher_rate_hides_a_superset():
    assert not (draw(0.3) & ~draw(0.6)).any()


def test_the_stream_is_the_same_on_every_platform():
    packed = np.packbits(draw(values=np.ones((16, 16))))
    assert hashlib.sha256(packed.tobytes()).hexdigest()[:16] == "3b5e6db3fa72e383"


@pytest.mark.parametrize(
    "kwargs, named",
    [
        ({"rate": 0.0}, "missing_rate"),
        ({"rate": 1.0}, "missing_rate"),
        ({"seed": -1}, "seed"),
        ({"scenario": "sideways"}, "sideways"),
        ({"mechanism": "mood"}, "mood"),
        ({"values": np.ones((3, 3), dtype=bool)}, "floats"),
        ({"values": np.ones(3)}, "dimension"),
        ({"mechanism": "tissue_block"}, "tissue of each sample"),
        ({"mechanism": "panel", "values": np.ones((3, 1))}, "two genes"),
        ({"mechanism": "mar", "values": np.full((3, 2), np.nan)}, "known in every sample"),
    ],
)
def test_bad_arguments_are_named(kwargs, named):
    with pytest.raises(ConfigError, match=named):
        draw(**kwargs)


# --- mechanisms beyond chance ---


@pytest.mark.parametrize("mechanism", ["mar", "mnar", "panel", "tissue_block"])
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_every_mechanism_hides_at_the_rate_and_nests(mechanism, rate):
    hidden = draw(rate, values=COMPLETE, mechanism=mechanism, tissues=TISSUES)
    assert hidden.mean() == pytest.approx(rate, abs=0.03)
    assert not (hidden & ~draw(rate + 0.1, values=COMPLETE, mechanism=mechanism, tissues=TISSUES)).any()


def test_missing_not_at_random_hides_low_values():
    hidden = draw(0.5, values=COMPLETE, mechanism="mnar")
    z = (COMPLETE - COMPLETE.mean(axis=0)) / COMPLETE.std(axis=0)
    assert z[hidden].mean() < -0.4 < 0.4 < z[~hidden].mean()


def test_masks_do_not_depend_on_the_scale_of_expression():
    assert np.array_equal(draw(mechanism="mnar"), draw(mechanism="mnar", values=np.exp(VALUES)))
    assert np.array_equal(draw(mechanism="mcar"), draw(mechanism="mcar", values=-VALUES))


def test_missing_at_random_depends_on_one_gene_that_stays():
    hidden = draw(0.5, values=COMPLETE, mechanism="mar")
    stays = ~hidden.any(axis=0)
    assert stays.sum() == 1
    per_sample = hidden[:, ~stays].mean(axis=1)
    assert np.corrcoef(per_sample, COMPLETE[:, stays][:, 0])[0, 1] > 0.8
    # given that gene, it does not depend on the values themselves: within a sample there is no relation
    others, gone = COMPLETE[:, ~stays], hidden[:, ~stays]
    within = (others - others.mean(axis=1, keepdims=True)).ravel(), (gone - per_sample[:, None]).ravel()
    assert abs(np.corrcoef(*within)[0, 1]) < 0.03


def test_panels_and_blocks_hide_whole_genes():
    panel = draw(0.4, values=COMPLETE, mechanism="panel")
    assert (panel.all(axis=0) | ~panel.any(axis=0)).all()
    block = draw(0.4, values=COMPLETE, mechanism="tissue_block", tissues=TISSUES)
    for tissue in ("Lung", "Colon"):
        within = block[tissue == TISSUES]
        assert (within.all(axis=0) | ~within.any(axis=0)).all()
    assert not np.array_equal(block[0], block[-1])


@pytest.mark.parametrize("mechanism", ["panel", "tissue_block"])
def test_fitted_rows_cannot_lack_whole_genes(mechanism):
    with pytest.raises(ConfigError, match="to fit on"):
        draw_training_mask(VALUES, 0.5, seed=0, scenario="inductive", mechanism=mechanism)
