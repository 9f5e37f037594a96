"""Lists the trials that set better imputers beside the paper's: scores against cost, and by missing rate; runs none.

The paper's methods and the baselines are asked for exactly as the study's main comparisons ask for them, so they are
found stored where those have run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reproduce.errors import ConfigError
from reproduce.experiments.plans import comparison_trials, network_budget
from reproduce.experiments.trials import ORACLE, Trial

#: What it is measured against.
KNOWN = ("median", "knn_10", "mice", "pmi", "gain")
#: Epochs of the paper's networks, and of the tuned one, by default.
_EPOCHS, _TUNED_EPOCHS = 200, {"inductive": 60, "in_place": 30}
#: Parts of the tuned network that are moved one at a time.
INGREDIENTS: Mapping[str, Mapping[str, object]] = {
    "no residual connection to the Gaussian": {"residual": False},
    "squared error for Student-t likelihood": {"loss": "mse"},
    "Huber loss for Student-t likelihood": {"loss": "huber"},
    "one pseudo-mask rate, 0.5": {"pseudo_missing_rate": 0.5},
    "one network for five": {"n_members": 1},
    "no weight averaging": {"averaging": 0.0},
    "constant learning rate": {"cosine": False},
    "dropout 0.1 for 0.3": {"dropout": 0.1},
    "ReLU for GELU": {"activation": "relu"},
    "two hidden layers": {"hidden_layers": 2},
    "with layer normalisation": {"layer_normalization": True},
    "with units scaled by tissue": {"covariate_scaling": True},
    "with 70 % synthetic rows": {"synthetic_fraction": 0.7},
}


def frontier_budget(network_epochs: int, scenario: str = "inductive") -> dict[str, dict[str, object]]:
    """Hyperparameters by method that scale the training of all networks, the new ones included, together.

    Parameters
    ----------
    network_epochs : int
        Longest training of the paper's networks; 200 leaves every method at its default.
    scenario : {"in_place", "inductive"}

    Returns
    -------
    dict
    """
    budget: dict[str, dict[str, object]] = dict(network_budget(network_epochs))
    if network_epochs != _EPOCHS:
        tuned = {"epochs": max(1, round(network_epochs / _EPOCHS * _TUNED_EPOCHS[scenario]))}
        budget |= {"pmi_tuned": tuned, "best": {"member_parameters": {"pmi_tuned": tuned}}}
    return budget


def frontier_plan(
    methods: Iterable[str],
    scenario: str,
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    missing_rate: float = 0.5,
    gene_set: str = "p53",
    transform: str = "log1p",
    oracle: bool = False,
) -> list[Trial]:
    """Every method at one missing rate.

    Parameters
    ----------
    methods : iterable of str
    scenario : {"in_place", "inductive"}
    n_splits, network_epochs : int
    preset : str
    missing_rate : float, default 0.5
    gene_set : str, default "p53"
    transform : {"raw", "log1p", "log1p_depth"}
    oracle : bool, default False
        Add the best attainable score, which only a simulated study has.

    Returns
    -------
    list of Trial
    """
    everything = (*methods, *([ORACLE] if oracle else []))
    return comparison_trials(
        everything,
        scenario,
        n_splits=n_splits,
        hyperparameters=frontier_budget(network_epochs, scenario),
        missing_rate=missing_rate,
        gene_set=gene_set,
        transform=transform,
        preset=preset,
    )


def rate_plan(
    methods: Iterable[str],
    missing_rates: Sequence[float],
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    gene_set: str = "p53",
    oracle: bool = False,
) -> list[Trial]:
    """Inductive trials at several missing rates, each method fitted once for all of them.

    Parameters
    ----------
    methods : iterable of str
    missing_rates : sequence of float
    n_splits, network_epochs, preset, gene_set, oracle
        As in `frontier_plan`.

    Returns
    -------
    list of Trial
    """
    settings = {"n_splits": n_splits, "network_epochs": network_epochs, "preset": preset, "gene_set": gene_set}
    methods = tuple(methods)
    plans = [frontier_plan(methods, "inductive", missing_rate=r, oracle=oracle, **settings) for r in missing_rates]
    return [trial for plan in plans for trial in plan]


def chosen_ingredients(names: Sequence[str]) -> tuple[str, ...]:
    """Keys of `INGREDIENTS`; ["all"] names every one.

    Raises
    ------
    ConfigError
        For a name that is none of them.
    """
    if list(names) == ["all"]:
        return tuple(INGREDIENTS)
    for name in names:
        if name not in INGREDIENTS:
            raise ConfigError(f"Unknown ingredient {name!r}; known are {', '.join(map(repr, INGREDIENTS))}, or 'all'.")
    return tuple(names)


def ingredient_plan(
    ingredients: Iterable[str], *, n_splits: int, network_epochs: int, preset: str, gene_set: str = "p53"
) -> dict[str, list[Trial]]:
    """The tuned network with one of its parts changed at a time, beside the whole, inductively.

    Parameters
    ----------
    ingredients : iterable of str
        Keys of `INGREDIENTS`.
    n_splits, network_epochs : int
    preset : str
    gene_set : str, default "p53"

    Returns
    -------
    dict of str to list of Trial
        By what was changed; "" is the whole.
    """
    budget = frontier_budget(network_epochs).get("pmi_tuned", {})
    changes = {"": {}} | {name: INGREDIENTS[name] for name in ingredients}
    common = {"n_splits": n_splits, "preset": preset, "gene_set": gene_set}
    return {
        name: comparison_trials(
            ("pmi_tuned",), "inductive", hyperparameters={"pmi_tuned": {**budget, **change}}, **common
        )
        for name, change in changes.items()
    }
