"""Lists the trials of a comparison; never runs one.

A plan is a list of `Trial`, built the same way wherever it is needed: a notebook that tests hypotheses asks for the
very trials that an earlier notebook ran, and finds them stored. `study_plan` holds the study's four comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reproduce.errors import ConfigError
from reproduce.experiments.trials import ORACLE, Trial

NETWORKS = ("pmi", "gain", "gain_mse")
BASELINES = ("median", "surrogate", "knn_1", "knn_5", "knn_10", "mice", "gaussian")
#: Run a second time on training rows with holes, as the paper's baselines were, to show what that handicap is worth.
ALSO_MASKED = ("median", "knn_10", "mice", "gaussian")
#: Compared on raw counts, log counts, and log counts with sequencing depth removed.
ON_ALL_SCALES = ("pmi", "gaussian", "knn_10", "median")
PARTS = ("in_place", "inductive", "scales", "settings", "transfer")


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
        For a number of splits out of range, an unknown method, or whatever `Trial` refuses.
    """
    fewer, overrides = dict(n_splits_by_method or {}), dict(hyperparameters or {})
    for name, n in [("n_splits", n_splits), *fewer.items()]:
        if isinstance(n, bool) or not isinstance(n, int) or n < (1 if name == "n_splits" else 0):
            raise ConfigError(
                f"The number of splits of {name!r} is {n!r}; give a whole number, 0 to leave a method out."
            )
    from reproduce.imputers import METHODS

    for name in (*fewer, *overrides):
        if name not in METHODS and name != ORACLE:
            raise ConfigError(f"Unknown method {name!r} in a plan; known are {', '.join(METHODS)} and {ORACLE}.")
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


def study_plan(
    part: str,
    *,
    n_splits: int,
    n_splits_by_method: Mapping[str, int],
    network_epochs: int,
    preset: str,
    missing_rate: float = 0.5,
    gene_set: str = "p53",
    oracle: bool = False,
) -> list[Trial]:
    """The trials of one of the study's comparisons.

    Parameters
    ----------
    part : {"in_place", "inductive", "scales", "settings", "transfer"}
        "scales" repeats some inductive trials on other scales of expression, "settings" the networks' with the earlier
        study's hyperparameters; "transfer" fits GTEx and fills both tumour cohorts.
    n_splits, n_splits_by_method
        As in `comparison_trials`.
    network_epochs : int
        Training length of every network; early stopping may end it sooner.
    preset : str
    missing_rate : float, default 0.5
    gene_set : str, default "p53"
    oracle : bool, default False
        Add the best attainable score, which only a simulated study has.

    Returns
    -------
    list of Trial

    Raises
    ------
    ConfigError
        For an unknown part, or whatever `comparison_trials` refuses.
    """
    from reproduce.imputers import hyperparameters_of

    if part not in PARTS:
        raise ConfigError(f"Unknown part {part!r} of the study; known are {', '.join(PARTS)}.")
    common = {"n_splits": n_splits, "n_splits_by_method": n_splits_by_method, "preset": preset, "gene_set": gene_set}
    common |= {"hyperparameters": network_budget(network_epochs), "missing_rate": missing_rate}
    best = (ORACLE,) if oracle else ()
    if part == "in_place":
        methods = (*NETWORKS, *BASELINES, "iterative_forest", "missforest_10", "missforest_100", *best)
        return comparison_trials(methods, "in_place", **common)
    if part == "inductive":
        complete = comparison_trials((*NETWORKS, *BASELINES, "iterative_forest", *best), "inductive", **common)
        return complete + comparison_trials(ALSO_MASKED, "inductive", training_rows="masked", **common)
    if part == "scales":
        by_scale = [
            comparison_trials(ON_ALL_SCALES, "inductive", transform=transform, **common)
            for transform in ("raw", "log1p", "log1p_depth")
        ]
        return [trial for trials in by_scale for trial in trials]
    if part == "settings":
        settings = {name: hyperparameters_of(name, "student") | {"epochs": int(network_epochs)} for name in NETWORKS}
        return comparison_trials(NETWORKS, "inductive", **common | {"hyperparameters": settings})
    target = {"train": "GTEx", "test": "LUAD+COADREAD"}
    return comparison_trials(
        (*NETWORKS, "median", "knn_10", "mice", "gaussian", *best), "cross_cohort", **target, **common
    )
