"""Curves and mechanisms share fits, differ in what they should and no more, and are the trials that tables expect."""

from dataclasses import fields

import pytest

from reproduce.errors import ConfigError
from reproduce.experiments.missingness import (
    AT_EACH_RATE,
    METHODS,
    ONCE,
    RATE_HYPERPARAMETER,
    curve_plan,
    mechanism_plan,
    missingness_trials,
)
from reproduce.experiments.trials import Trial
from reproduce.imputers import make_imputer

BUDGET = {"n_splits": 2, "network_epochs": 60, "preset": "quick"}
RATES = [0.1, 0.5, 0.9]


@pytest.fixture(scope="module")
def curves():
    return curve_plan(RATES, **BUDGET)


def without(trial, *names):
    return {f.name: getattr(trial, f.name) for f in fields(Trial) if f.name not in names}


def test_trained_at_each_rate_or_once_differs_in_one_hyperparameter_only(curves):
    once = [p.trial for p in curves if p.training == ONCE]
    each = [p.trial for p in curves if p.training == AT_EACH_RATE]
    assert len(once) == len(each) == 2 * len(RATES) * 2 * 2  # networks, rates, scenarios, splits
    for one, two in zip(once, each, strict=True):
        assert without(one, "hyperparameters") == without(two, "hyperparameters")
        assert set(one.hyperparameters) == set(two.hyperparameters)
        changed = {k for k in one.hyperparameters if one.hyperparameters[k] != two.hyperparameters[k]}
        assert changed == {RATE_HYPERPARAMETER[one.method]}
        assert two.hyperparameters[RATE_HYPERPARAMETER[two.method]] == two.missing_rate
        low, high = one.hyperparameters[RATE_HYPERPARAMETER[one.method]]
        assert low <= min(RATES) and high >= max(RATES)


def test_only_what_trains_for_a_rate_is_fitted_again(curves):
    fits = {}
    for planned in curves:
        key = planned.trial.method, planned.training, planned.trial.scenario
        fits.setdefault(key, set()).add(planned.trial.fit_key)
    for (_, training, _), keys in fits.items():
        assert len(keys) == BUDGET["n_splits"] * (len(RATES) if training == AT_EACH_RATE else 1)


def test_mechanisms_fit_nothing_that_the_curves_have_not_fitted(curves):
    plan = mechanism_plan(["mcar", "mar", "mnar", "panel", "tissue_block"], retrained_rates=RATES, **BUDGET)
    assert {p.trial.fit_key for p in plan} <= {p.trial.fit_key for p in curves}
    # and hiding at random at that rate is one and the same trial
    at_random = [p for p in plan if p.trial.mechanism == "mcar"]
    assert at_random and set(at_random) <= set(curves)
    assert {p.trial.mechanism for p in plan if p.trial.scenario == "cross_cohort"} == {"panel"}


def test_each_trial_once_and_every_method_in_it(curves):
    plan = mechanism_plan(["mcar", "mnar"], retrained_rates=RATES, **BUDGET)
    trials = missingness_trials(curves, plan)
    assert len({trial.trial_id("data") for trial in trials}) == len(trials) < len(curves) + len(plan)
    assert {t.method for t in trials if t.scenario == "inductive"} == set(METHODS)
    assert {t.method for t in trials if t.scenario == "cross_cohort"} == set(METHODS) - {"surrogate"}
    for trial in trials:
        make_imputer(trial.method, **dict(trial.hyperparameters))  # every hyperparameter is one


def test_few_rates_can_be_trained_for():
    plan = curve_plan(RATES, retrained_rates=[0.9], **BUDGET)
    assert {p.trial.missing_rate for p in plan if p.training == AT_EACH_RATE} == {0.9}
    assert {p.trial.missing_rate for p in plan if p.training == ONCE} == set(RATES)
    assert not [p for p in mechanism_plan(["mar"], retrained_rates=[0.9], **BUDGET) if p.training == AT_EACH_RATE]
    with pytest.raises(ConfigError, match=r"0\.3, which is not among missing_rates"):
        curve_plan(RATES, retrained_rates=[0.3], **BUDGET)


def test_what_is_given_twice_is_refused():
    with pytest.raises(ConfigError, match="missing_rates holds a rate twice"):
        curve_plan([0.5, 0.5], **BUDGET)
    with pytest.raises(ConfigError, match="mechanism is given twice"):
        mechanism_plan(["mar", "mar"], **BUDGET)
