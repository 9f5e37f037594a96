"""Lists the trials of a comparison; never runs one.

A plan is a list of `Trial`, built the same way wherever it is needed: a notebook that tests hypotheses asks for the
very trials that an earlier notebook ran, and finds them stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reproduce.errors import ConfigError
from reproduce.experiments.trials import Trial

NETWORKS = ("pmi", "gain", "gain_mse")


def network_budget(epochs: int) -> dict[str, dict[str, int]]:
    """Hyperparameters by method that give every network the same number of epochs."""
    return {name: {"epochs": int(epochs)} for name in NETWORKS}


def comparison_trials(
    methods: Iterable[str],
    scenario: str,
    *,
    n_splits: int,
    n_splits_by_method: Mapping[str, int] | None = None,
    hyperparameters: Mapping[str, Mapping[str, object]] | None = None,
    first_seed: int = 0,
    **settings: object,
) -> list[Trial]:
    """One trial per method and seed, every method on the same splits and masks.

    Parameters
    ----------
    methods : iterable of str
    scenario : {"in_place", "inductive", "cross_cohort"}
    n_splits : int
        Seeds `first_seed`, `first_seed + 1`, …
    n_splits_by_method : mapping of str to int, optional
        Fewer splits for costly methods; 0 leaves a method out. It may name methods that this comparison does not
        hold, since one such table serves several comparisons, but it cannot ask for more than `n_splits`: those would
        have no partner.
    hyperparameters : mapping of str to mapping, optional
        Overrides by method; may name methods that this comparison does not hold.
    first_seed : int, default 0
    **settings
        Further fields of `Trial`, the same for all.

    Returns
    -------
    list of Trial

    Raises
    ------
    ConfigError
        For a number of splits out of range, or whatever `Trial` refuses.
    """
    fewer, overrides = dict(n_splits_by_method or {}), dict(hyperparameters or {})
    for name, n in [("n_splits", n_splits), *fewer.items()]:
        if isinstance(n, bool) or not isinstance(n, int) or n < (1 if name == "n_splits" else 0):
            raise ConfigError(
                f"The number of splits of {name!r} is {n!r}; give a whole number, 0 to leave a method out."
            )
    return [
        Trial(
            method=method,
            scenario=scenario,
            seed=first_seed + split,
            hyperparameters=overrides.get(method, {}),
            **settings,
        )
        for method in methods
        for split in range(min(n_splits, fewer.get(method, n_splits)))
    ]
