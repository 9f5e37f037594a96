"""Lists variations of the default settings, one factor at a time, and random draws of them; never runs a trial.

Each `Factor` differs from the study's default in one thing alone. What it is compared with are trials of `study_plan`,
so that whatever another notebook has run is found stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from reproduce.errors import ConfigError
from reproduce.experiments.plans import comparison_trials, network_budget
from reproduce.experiments.trials import COVARIATES, Trial

#: In a list of factors: every one of them.
ALL = "all"


@dataclass(frozen=True)
class Factor:
    """One variation of one decision.

    Attributes
    ----------
    id : str
        Presets refer to it.
    label : str
        What is varied; factors of one method that share it are levels of the same decision.
    method : str
        Whose default is varied.
    level, default : str
        The value tried and the one that it replaces, in words.
    hyperparameters : mapping
        Hyperparameters in which the variation differs.
    settings : mapping
        Fields of `Trial` in which it differs.
    epoch_ratio : float
        Training length as a multiple of the budget.
    scenario : {"inductive", "in_place", "cross_cohort"}
        Where default and variation are compared.
    target : str
        Cohort whose scores are compared.
    metric : str
        By which the variation is scored; the default always by R².
    needs_gene : str
        A gene that the target must have for the variation to have a meaning; empty for none.
    """

    id: str
    label: str
    method: str
    level: str
    default: str
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    epoch_ratio: float = 1.0
    scenario: str = "inductive"
    target: str = "GTEx"
    metric: str = "r2"
    needs_gene: str = ""

    @property
    def kind(self) -> str:
        """ "settings" of a method, or the "protocol" by which all methods are compared."""
        of_method = self.hyperparameters or self.epoch_ratio != 1.0 or "method" in self.settings
        return "settings" if of_method else "protocol"


@dataclass(frozen=True)
class Ablation:
    """A factor with the trials that show what it is worth: one pair for each split."""

    factor: Factor
    baseline: tuple[Trial, ...]
    varied: tuple[Trial, ...]


def _levels(method: str, label: str, name: str, default: float, levels: Iterable[float]) -> list[Factor]:
    return [
        Factor(f"{method}-{name}-{level:g}", label, method, f"{level:g}", f"{default:g}", {name: level})
        for level in levels
    ]


def _trained_on(method: str) -> Factor:
    settings = {"training_rows": "masked"}
    return Factor(f"{method}-rows-masked", "training rows", method, "with holes", "complete", settings=settings)


def _tumours(id_: str, label: str, method: str, level: str, default: str, **kwargs: object) -> list[Factor]:
    """One factor for each tumour cohort; they share their trials."""
    return [
        Factor(
            f"{id_}-{name}", f"{label}, {name}", method, level, default, scenario="cross_cohort", target=name, **kwargs
        )
        for name in TUMOURS
    ]


def _without(method: str, *names: str) -> Factor:
    kept = tuple(name for name in COVARIATES if name not in names)
    known = {"covariates": kept}
    return Factor(
        f"{method}-without-{'-'.join(names)}",
        "covariates",
        method,
        f"without {', '.join(names)}",
        "all",
        settings=known,
    )


def _scored(method: str, metric: str, level: str) -> Factor:
    return Factor(f"{method}-metric-{metric}", "score", method, level, "R² around hidden mean", metric=metric)


TUMOURS = ("LUAD", "COADREAD")
#: The reference's discriminator drops units twice: a unit survives both with probability (1 − p)².
_DROPPED_TWICE = 0.36
_DRAWN = "drawn 0.1–0.4"
FACTORS = (
    *_levels("pmi", "learning rate", "learning_rate", 0.001, (0.0003, 0.003)),
    Factor("pmi-epochs-half", "training length", "pmi", "× 0.5", "× 1", epoch_ratio=0.5),
    Factor("pmi-epochs-double", "training length", "pmi", "× 2", "× 1", epoch_ratio=2.0),
    *_levels("pmi", "hidden layers", "hidden_layers", 4, (1, 2)),
    *_levels("pmi", "width", "hidden_units", 200, (100, 400)),
    *_levels("pmi", "dropout", "dropout", 0.1, (0.0, 0.2, 0.4)),
    Factor(
        "pmi-batch_normalization-off", "batch normalisation", "pmi", "off", "on", {"batch_normalization": False}
    ),
    *_levels("pmi", "batch size", "batch_size", 48, (32, 96)),
    *_levels("pmi", "pseudo-mask rate", "pseudo_missing_rate", 0.5, (0.3, 0.7)),
    Factor(
        "pmi-pseudo_missing_rate-drawn", "pseudo-mask rate", "pmi", "drawn 0.3–0.7", "0.5",
        {"pseudo_missing_rate": [0.3, 0.7]},
    ),
    *(
        Factor(
            f"pmi-in_place-pseudo_missing_rate-{rate}", "pseudo-mask rate, in place", "pmi", str(rate), _DRAWN,
            {"pseudo_missing_rate": rate}, scenario="in_place",
        )
        for rate in (0.25, 0.5)
    ),
    Factor("pmi-transform-raw", "scale", "pmi", "raw", "log1p", settings={"transform": "raw"}),
    Factor("pmi-transform-log1p_depth", "scale", "pmi", "log1p_depth", "log1p", settings={"transform": "log1p_depth"}),
    Factor("gain-discriminator-off", "discriminator", "gain", "off", "on", settings={"method": "gain_mse"}),
    *_levels("gain", "hint rate", "hint_rate", 0.9, (0.5, 0.99)),
    *_levels("gain", "λ", "reconstruction_weight", 1.0, (0.1, 10.0, 100.0)),
    *_levels("gain", "noise", "noise_scale", 0.1, (0.0, 1.0)),
    *_levels("gain", "dropout", "dropout", 0.2, (0.0, 0.4)),
    Factor(
        "gain-discriminator_dropout-twice", "discriminator's dropout", "gain", "twice 0.2", "0.2",
        {"discriminator_dropout": _DROPPED_TWICE},
    ),
    *_levels("gain", "learning rate", "learning_rate", 0.001, (0.0003,)),
    *_levels("gain", "hidden layers", "hidden_layers", 4, (1,)),
    Factor(
        "gain-batch_normalization-off", "batch normalisation", "gain", "off", "on", {"batch_normalization": False}
    ),
    *_levels("gain", "training missing rate", "training_missing_rate", 0.5, (0.25,)),
    Factor(
        "gain-training_missing_rate-drawn", "training missing rate", "gain", "drawn 0.05–0.5", "0.5",
        {"training_missing_rate": [0.05, 0.5]},
    ),
    Factor(
        "pmi-validation-off", "best weights on held-out donors", "pmi", "off: last weights, all donors", "on",
        {"validation_fraction": 0.0},
    ),
    *(_without("pmi", name) for name in COVARIATES),
    _without("pmi", *COVARIATES),
    _without("gain", *COVARIATES),
    Factor("gaussian-group-none", "covariance", "gaussian", "one for all tissues", "tissue", {"group": None}),
    *(_trained_on(method) for method in ("mice", "knn_10", "gaussian")),
    *(
        Factor(f"{method}-split-sample", "split", method, "by sample", "by donor", settings={"split": "sample"})
        for method in ("pmi", "knn_10", "gaussian")
    ),
    *(
        Factor(
            f"{method}-standardisation-own", "scale of test rows", method, "their own statistics", "training rows'",
            settings={"standardisation": "own"},
        )
        for method in ("pmi", "gaussian")
    ),
    *(
        factor
        for method in ("pmi", "gaussian")
        for factor in (
            *_tumours(
                f"{method}-standardisation-training", "scale of tumours", method, "GTEx's statistics", "their own",
                settings={"standardisation": "training"},
            ),
            *_tumours(
                f"{method}-gene_matching-position", "genes of two cohorts", method, "by position", "by name",
                settings={"gene_matching": "position"},
            ),
            *_tumours(
                f"{method}-gene_alias-TEP1", "the row called PTEN", method, "TEP1 as PTEN", "left out",
                settings={"gene_alias": "TEP1=PTEN"}, needs_gene="TEP1",
            ),
        )
    ),
    *(
        factor
        for method in ("pmi", "gaussian", "knn_10")
        for factor in (
            _scored(method, "r2_tissue", "around the tissue's hidden mean"),
            _scored(method, "r2_visible_mean", "around the visible mean"),
            _scored(method, "r2_nonzero", "the same, zeros taken for missing"),
        )
    ),
)  # fmt: skip


def choose_factors(ids: Iterable[str], study) -> tuple[Factor, ...]:
    """The factors of these ids, in the order of `FACTORS`; ``["all"]`` takes every one.

    Parameters
    ----------
    ids : iterable of str
    study : reproduce.loaders.study.Study
        A factor about a gene that its target cohort does not have is left out.

    Raises
    ------
    ConfigError
        For an unknown id, naming the known ones.
    """
    wanted = list(ids)
    if wanted == [ALL]:
        return tuple(factor for factor in FACTORS if applies(factor, study))
    known = {factor.id for factor in FACTORS}
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(
            f"Unknown factors {', '.join(unknown)}; give ['{ALL}'] or some of {', '.join(sorted(known))}."
        )
    return tuple(factor for factor in FACTORS if factor.id in set(wanted) and applies(factor, study))


def applies(factor: Factor, study) -> bool:
    """Whether a variation has a meaning on these data."""
    return not factor.needs_gene or factor.needs_gene in study.cohorts[factor.target].var_names


def ablation_plan(
    factors: Iterable[Factor],
    *,
    n_splits: int,
    network_epochs: int,
    preset: str,
    missing_rate: float = 0.5,
    gene_set: str = "p53",
) -> list[Ablation]:
    """Default and varied trials of each factor, at seeds 0, 1, ….

    Parameters
    ----------
    factors : iterable of Factor
    n_splits : int
    network_epochs : int
        The budget of the default; rounded to a whole epoch, at least one, where a factor changes it.
    preset : str
    missing_rate : float, default 0.5
    gene_set : str, default "p53"

    Returns
    -------
    list of Ablation
        Default trials are those of `study_plan` for the same budget; factors of one method share them.

    Raises
    ------
    ConfigError
        For a factor that leaves a trial as it was, or whatever `Trial` refuses.
    """
    common = {"n_splits": n_splits, "preset": preset, "missing_rate": missing_rate, "gene_set": gene_set}
    common |= {"hyperparameters": network_budget(network_epochs)}
    plan = []
    for factor in factors:
        across = {"test": "+".join(TUMOURS)} if factor.scenario == "cross_cohort" else {}
        baseline = comparison_trials([factor.method], factor.scenario, **common, **across)
        varied = [_vary(trial, factor) for trial in baseline]
        if factor.metric == "r2" and set(varied) & set(baseline):
            raise ConfigError(
                f"Factor {factor.id!r} changes nothing at network_epochs = {network_epochs}; leave it out."
            )
        plan.append(Ablation(factor, tuple(baseline), tuple(varied)))
    return plan


def _vary(trial: Trial, factor: Factor) -> Trial:
    hyperparameters = {**trial.hyperparameters, **factor.hyperparameters}
    if factor.epoch_ratio != 1.0:
        hyperparameters["epochs"] = max(1, round(trial.hyperparameters["epochs"] * factor.epoch_ratio))
    return replace(trial, hyperparameters=hyperparameters, **factor.settings)


def ablation_trials(plan: Iterable[Ablation]) -> list[Trial]:
    """All trials of a plan, each once."""
    return list(dict.fromkeys(trial for ablation in plan for trial in (*ablation.baseline, *ablation.varied)))


# --- random search ---


def search_draws(n_draws: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Hyperparameters of PMI drawn from the space that the paper's sweeps searched.

    Parameters
    ----------
    n_draws : int
    seed : int, default 0
        The same seed gives the same draws; more of them begin with the fewer.

    Returns
    -------
    list of dict
        hidden_layers (1 to 4), hidden_units (100 to 3000, uniform in its logarithm), dropout (0 to 0.5),
        learning_rate (1e-3 or 1e-4), batch_size (32, 64 or 128).

    Raises
    ------
    ConfigError
        For a negative number of draws.
    """
    if isinstance(n_draws, bool) or not isinstance(n_draws, int) or n_draws < 0:
        raise ConfigError(f"n_draws is {n_draws!r}; give a whole number, 0 for no search.")
    rng = np.random.default_rng(seed)
    return [
        {
            "hidden_layers": int(rng.integers(1, 5)),
            "hidden_units": round(float(np.exp(rng.uniform(np.log(100), np.log(3000))))),
            "dropout": round(float(rng.uniform(0, 0.5)), 3),
            "learning_rate": float(rng.choice([1e-3, 1e-4])),
            "batch_size": int(rng.choice([32, 64, 128])),
        }
        for _ in range(n_draws)
    ]


def search_plan(
    n_draws: int, *, network_epochs: int, preset: str, missing_rate: float = 0.5, gene_set: str = "p53", seed: int = 0
) -> list[Trial]:
    """PMI's default and then each draw of `search_draws`, inductively, all on the first split.

    Returns
    -------
    list of Trial
        Empty without draws: the default alone is no search.
    """
    if not n_draws:
        return []
    settings = {"preset": preset, "missing_rate": missing_rate, "gene_set": gene_set}
    budget = network_budget(network_epochs)["pmi"]
    options = [{}, *search_draws(n_draws, seed=seed)]
    return [Trial("pmi", "inductive", 0, hyperparameters={**budget, **option}, **settings) for option in options]
