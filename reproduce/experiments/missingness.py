"""Lists the trials that hide more or less, and in other ways; never runs one.

Trials of one method and split that differ only in what they fill share a fit, so a curve over missing rates costs one
fit for a method that has no rate of its own, and for a network that is trained once for all rates. A network that is
trained for each rate costs one fit a rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reproduce.errors import ConfigError
from reproduce.experiments.ablations import TUMOURS
from reproduce.experiments.plans import comparison_trials, network_budget
from reproduce.experiments.trials import Trial

#: For which rates a network was trained; a method without such a choice has "".
AT_EACH_RATE, ONCE = "at each rate", "once for all rates"
#: Without the forests: MissForest fills no rows but those it was fitted on, and a fit of its inductive form takes
#: longer than a fit of all these together.
METHODS = ("median", "surrogate", "knn_10", "mice", "gaussian", "pmi", "gain")
#: The hyperparameter that says which fraction a network hides from itself in training.
RATE_HYPERPARAMETER = {
    "pmi": "pseudo_missing_rate", "gain": "training_missing_rate", "gain_mse": "training_missing_rate",
}  # fmt: skip
#: From which a network that is trained once draws each sample's rate.
ALL_RATES = (0.05, 0.95)
#: Takes a person's other tissue, and tumour cohorts have one.
_NEEDS_TISSUES = ("surrogate",)


@dataclass(frozen=True)
class TrainedTrial:
    """A trial, and for which missing rates its network was trained.

    Attributes
    ----------
    trial : Trial
    training : {"", "at each rate", "once for all rates"}
        Empty for a method that is not a network.
    """

    trial: Trial
    training: str


def curve_plan(
    missing_rates: Iterable[float],
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    retrained_rates: Iterable[float] | None = None,
    methods: Iterable[str] = METHODS,
    gene_set: str = "p53",
) -> list[TrainedTrial]:
    """Every method at every missing rate, entries hidden completely at random, on GTEx and on both tumour cohorts.

    Parameters
    ----------
    missing_rates : iterable of float
        Fractions hidden.
    n_splits : int
    network_epochs : int
        The budget of each network, however often it is trained.
    preset : str
    retrained_rates : iterable of float, optional
        For which rates networks are trained on their own, besides once for all; by default all of them.
    methods : iterable of str
    gene_set : str, default "p53"

    Returns
    -------
    list of TrainedTrial
        Scenario "inductive" within GTEx, and "cross_cohort" from GTEx to LUAD and COADREAD.

    Raises
    ------
    ConfigError
        For a rate given twice, one to retrain for that is not filled, or whatever `Trial` refuses.
    """
    rates = _rates("missing_rates", missing_rates)
    retrained = rates if retrained_rates is None else _rates("retrained_rates", retrained_rates)
    if never := [rate for rate in retrained if rate not in rates]:
        raise ConfigError(f"retrained_rates holds {never[0]:g}, which is not among missing_rates; add it there.")
    budget = {"n_splits": n_splits, "network_epochs": network_epochs, "preset": preset, "gene_set": gene_set}
    return [
        planned
        for scenario in ("inductive", "cross_cohort")
        for rate in rates
        for planned in _planned(tuple(methods), scenario, rate, "mcar", rate in retrained, **budget)
    ]


def mechanism_plan(
    mechanisms: Iterable[str],
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    missing_rate: float = 0.5,
    retrained_rates: Iterable[float] = (),
    methods: Iterable[str] = METHODS,
    gene_set: str = "p53",
) -> list[TrainedTrial]:
    """Every method at one missing rate, by each way of hiding, within GTEx; whole-gene panels on the tumours as well.

    Parameters
    ----------
    mechanisms : iterable of {"mcar", "mar", "mnar", "panel", "tissue_block"}
    missing_rate : float, default 0.5
    retrained_rates : iterable of float
        Networks are also trained for this rate alone if it is among these.
    n_splits, network_epochs, preset, methods, gene_set
        As in `curve_plan`. What both plans hold is one and the same trial.

    Returns
    -------
    list of TrainedTrial

    Raises
    ------
    ConfigError
        For a mechanism given twice, or whatever `Trial` refuses.
    """
    mechanisms = list(mechanisms)
    if len(set(mechanisms)) < len(mechanisms):
        raise ConfigError(f"A mechanism is given twice: {', '.join(mechanisms)}.")
    retrain = missing_rate in _rates("retrained_rates", retrained_rates)
    budget = {"n_splits": n_splits, "network_epochs": network_epochs, "preset": preset, "gene_set": gene_set}
    return [
        planned
        for mechanism in mechanisms
        for scenario in ("inductive", *(["cross_cohort"] if mechanism == "panel" else []))
        for planned in _planned(tuple(methods), scenario, missing_rate, mechanism, retrain, **budget)
    ]


def missingness_trials(*plans: Iterable[TrainedTrial]) -> list[Trial]:
    """All trials of some plans, each once."""
    return list(dict.fromkeys(planned.trial for plan in plans for planned in plan))


def _rates(name: str, rates: Iterable[float]) -> list[float]:
    rates = [float(rate) for rate in rates]
    if len(set(rates)) < len(rates):
        raise ConfigError(f"{name} holds a rate twice: {', '.join(f'{rate:g}' for rate in rates)}.")
    return rates


def _planned(
    methods: tuple[str, ...],
    scenario: str,
    missing_rate: float,
    mechanism: str,
    retrain: bool,
    *,
    network_epochs: int,
    **common: object,
) -> list[TrainedTrial]:
    """One scenario, rate and mechanism; networks once for all rates and, if asked for, for this rate."""
    common |= {"missing_rate": missing_rate, "mechanism": mechanism}
    if scenario == "cross_cohort":
        common |= {"test": "+".join(TUMOURS)}
        methods = tuple(name for name in methods if name not in _NEEDS_TISSUES)
    networks = [name for name in methods if name in RATE_HYPERPARAMETER]
    others = [name for name in methods if name not in RATE_HYPERPARAMETER]
    planned = [TrainedTrial(trial, "") for trial in comparison_trials(others, scenario, **common)]
    for training, rate in ((ONCE, list(ALL_RATES)), *([(AT_EACH_RATE, missing_rate)] if retrain else [])):
        budget = network_budget(network_epochs)
        settings = {name: {**budget[name], RATE_HYPERPARAMETER[name]: rate} for name in networks}
        trained = comparison_trials(networks, scenario, hyperparameters=settings, **common)
        planned += [TrainedTrial(trial, training) for trial in trained]
    return planned
