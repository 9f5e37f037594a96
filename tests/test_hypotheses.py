"""The corrected test keeps its level where the ordinary one does not; verdicts follow the data and the rules,
nothing else.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reproduce.errors import ConfigError
from reproduce.hypotheses import (
    HYPOTHESES,
    Hypothesis,
    contrasts,
    corrected_t,
    holm,
    overlap_ratio,
    verdicts,
)

SIMPLE = Hypothesis("S", "A beats B.", "test", ("a",), ("b",), "inductive")
EITHER = Hypothesis("E", "A or A2 beats B and C.", "test", ("a", "a2"), ("b", "c"), "inductive")


def results(scores, *, n=10, noise=0.002, seed=0, **columns):
    """A results table in which each method has the given mean score, with independent noise per split."""
    rng = np.random.default_rng(seed)
    rows = [{"method": m, "seed": s, "value": v + noise * rng.normal()} for m, v in scores.items() for s in range(n)]
    fixed = {"status": "ok", "scenario": "inductive", "test": "GTEx", "metric": "r2", "level": "overall"}
    fixed |= {"transform": "log1p", "missing_rate": 0.5, "training_rows": "complete", "config_hash": "x"}
    fixed |= {"mechanism": "mcar", "variant": ""}
    return pd.DataFrame(rows).assign(**(fixed | columns))


def verdict(table, hypothesis=SIMPLE):
    return verdicts(table, [hypothesis])["verdict"].item()


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_corrected_level_is_near_nominal_where_the_ordinary_test_is_inflated(fraction):
    # no true difference: each donor has a difference of mean zero, a split averages a random fraction of the same
    # donors
    rng = np.random.default_rng(0)
    n_donors, n_splits, n_studies = 200, 10, 1500
    n_scored = int(fraction * n_donors)
    ratio = fraction / (1 - fraction)
    rejected = {0.0: 0, ratio: 0}
    for _ in range(n_studies):
        donors = rng.normal(size=n_donors)
        differences = [rng.permutation(donors)[:n_scored].mean() for _ in range(n_splits)]
        for r in rejected:
            contrast = corrected_t(differences, r)
            rejected[r] += contrast.low > 0 or contrast.high < 0
    assert rejected[0.0] / n_studies > 0.15
    assert 0.03 < rejected[ratio] / n_studies < 0.07


def test_without_overlap_it_is_the_ordinary_t_test():
    values = np.random.default_rng(1).normal(0.3, 1, 12)
    expected = stats.ttest_1samp(values, 0.1, alternative="greater")
    contrast = corrected_t(values, 0.0, margin=0.1)
    assert contrast.p_above == pytest.approx(expected.pvalue)
    assert contrast.p_below == pytest.approx(1 - expected.pvalue)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert (contrast.low, contrast.high) == pytest.approx((low, high))


def test_the_ratio_is_that_of_test_to_training_donors():
    assert overlap_ratio("inductive") == pytest.approx(1 / 3)
    with pytest.raises(ConfigError):
        overlap_ratio("sideways")


def test_one_split_decides_nothing_and_no_variation_decides_all():
    assert corrected_t([0.5], 1.0).p_above == 1.0
    assert corrected_t([0.5] * 10, 1.0, margin=0.01).p_above == 0.0
    with pytest.raises(ConfigError):
        corrected_t([np.nan, 1.0], 1.0)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_the_verdict_follows_the_data():
    assert verdict(results({"a": 0.70, "b": 0.60})) == "supported"
    assert verdict(results({"a": 0.60, "b": 0.70})) == "refuted"
    assert verdict(results({"a": 0.61, "b": 0.60})) == "inconclusive"


def test_a_gain_too_small_to_matter_refutes():
    table = results({"a": 0.602, "b": 0.600}, noise=0.001)
    assert contrasts(table, [SIMPLE])["mean"].item() > 0
    assert verdict(table) == "refuted"


def test_one_contrast_agrees_with_its_interval():
    for gap in np.linspace(-0.05, 0.07, 25):
        table = results({"a": 0.6 + gap, "b": 0.6}, noise=0.008)
        row = contrasts(table, [SIMPLE]).iloc[0]
        expected = "supported" if row["low"] > 0.01 else "refuted" if row["high"] < 0.01 else "inconclusive"
        assert verdict(table) == expected


def test_one_network_must_beat_all_rivals():
    assert verdict(results({"a": 0.7, "a2": 0.1, "b": 0.6, "c": 0.5}), EITHER) == "supported"
    # each rival is beaten by somebody, but nobody beats both
    split_win = results({"a": 0.7, "a2": 0.5, "b": 0.6, "c": 0.75})
    assert verdict(split_win, EITHER) == "refuted"
    row = verdicts(split_win, [EITHER]).iloc[0]
    assert (row["challenger"], row["rival"]) == ("a", "c") and row["effect"] == pytest.approx(-0.05, abs=0.01)


def test_choosing_the_better_network_costs_a_factor_of_two():
    one = dataclasses.replace(EITHER, challengers=("a",))
    table = results({"a": 0.62, "a2": 0.1, "b": 0.6, "c": 0.5}, noise=0.005)
    p_one, p_two = (verdicts(table, [h])["p_supported"].item() for h in (one, EITHER))
    assert p_two == pytest.approx(2 * p_one)


def test_against_no_rival_the_score_itself_must_exceed_the_margin():
    alone = dataclasses.replace(SIMPLE, rivals=())
    assert verdict(results({"a": 0.1}), alone) == "supported"
    assert verdict(results({"a": -0.1}), alone) == "refuted"


def test_pairing_removes_what_all_methods_share():
    table = results({"a": 0.65, "b": 0.60})
    table["value"] += table["seed"] * 0.1  # hard and easy splits
    assert verdict(table) == "supported"
    (contrast,) = contrasts(table, [SIMPLE]).itertuples()
    assert contrast.high - contrast.low < 0.05


def test_too_few_splits_or_no_results_are_inconclusive_and_say_so():
    few = verdicts(results({"a": 0.9, "b": 0.1}, n=9), [SIMPLE]).iloc[0]
    assert few["verdict"] == "inconclusive" and "9 splits" in few["reason"]
    none = verdicts(results({"a": 0.9}), [SIMPLE]).iloc[0]
    assert none["verdict"] == "inconclusive" and "b" in none["reason"]


def test_failed_trials_do_not_count():
    table = results({"a": 0.9, "b": 0.1})
    table.loc[table["seed"] == 3, "status"] = "failed"
    assert verdicts(table, [SIMPLE])["n_splits"].item() == 9


def test_two_configurations_of_a_method_are_not_mixed():
    table = pd.concat([results({"a": 0.9, "b": 0.1}), results({"a": 0.8}, config_hash="y")])
    with pytest.raises(ConfigError, match="several trials of 'a'"):
        verdicts(table, [SIMPLE])


def test_holm_is_applied_across_hypotheses():
    table = results({"a": 0.625, "b": 0.6, "c": 0.605}, noise=0.008)
    family = [SIMPLE, *(dataclasses.replace(SIMPLE, id=f"S{i}", rivals=("c",)) for i in range(3))]
    rows = verdicts(table, family)
    np.testing.assert_allclose(rows["p_supported_holm"], holm(rows["p_supported"]))


def test_the_committed_hypotheses_have_distinct_ids_and_known_methods():
    from reproduce.imputers import METHODS

    assert len({h.id for h in HYPOTHESES}) == len(HYPOTHESES)
    for hypothesis in HYPOTHESES:
        for method in hypothesis.challengers + hypothesis.rivals:
            assert hypothesis.scenario in METHODS[method].scenarios
