"""The registry of methods: names, labels and where their classes live; never imports a class before it is asked for.

Adding a method is one file with a subclass of `reproduce.imputers._base.ExpressionImputer` and one line in `METHODS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType

from reproduce.errors import ConfigError

ALL_SCENARIOS = frozenset({"in_place", "inductive", "cross_cohort"})
PRESETS = ("paper", "student")


@dataclass(frozen=True)
class Method:
    """A way to impute, as it is named in results and figures.

    Parameters
    ----------
    name : str
        Key of `METHODS` and of the results table.
    label : str
        Text for figures and tables.
    target : str
        "module:Class" of the estimator.
    parameters : mapping
        Hyperparameters that belong to the name; they cannot be changed under it.
    scenarios : frozenset of str
        Where the method is valid.
    """

    name: str
    label: str
    target: str
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    scenarios: frozenset[str] = ALL_SCENARIOS

    def load(self) -> type:
        """Import and return the estimator's class."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


def _method(name: str, label: str, target: str, scenarios: frozenset[str] = ALL_SCENARIOS, **parameters) -> Method:
    return Method(name, label, f"reproduce.imputers.{target}", MappingProxyType(parameters), scenarios)


IN_PLACE = frozenset({"in_place"})

METHODS: Mapping[str, Method] = MappingProxyType({
    method.name: method
    for method in (
        _method("median", "Tissue median", "median:TissueMedianImputer"),
        _method("surrogate", "Surrogate tissue", "surrogate:SurrogateTissueImputer"),
        _method("knn_1", "1-NN", "knn:KNNImputer", n_neighbors=1),
        _method("knn_5", "5-NN", "knn:KNNImputer", n_neighbors=5),
        _method("knn_10", "10-NN", "knn:KNNImputer", n_neighbors=10),
        _method("mice", "MICE", "mice:MICEImputer"),
        _method("fast_mice", "Chained ridge", "chained_ridge:ChainedRidgeImputer"),
        _method("missforest_10", "MissForest (10 trees)", "missforest:MissForestImputer", IN_PLACE, n_estimators=10),
        _method("missforest_100", "MissForest (100 trees)", "missforest:MissForestImputer", IN_PLACE, n_estimators=100),
        _method("boosted_forest", "Boosted trees", "boosted_trees:BoostedTreesImputer"),
        _method("iterative_forest", "MissForest, inductive", "iterative_forest:IterativeForestImputer"),
        _method("gaussian", "Conditional Gaussian", "gaussian:ConditionalGaussianImputer"),
        _method("low_rank", "Low-rank Gaussian", "low_rank:LowRankGaussianImputer"),
        _method("mixture", "Gaussian mixture", "mixture:GaussianMixtureImputer"),
        _method("transfer", "Gaussian with references", "transfer:TransferImputer"),
        _method("pmi", "PMI", "pmi:PMIImputer"),
        _method("pmi_tuned", "PMI, tuned", "pmi_tuned:TunedPMIImputer"),
        _method("best", "Weighted best", "best:BestImputer"),
        _method("gain", "GAIN-GTEx", "gain:GAINImputer"),
        _method("gain_mse", "GAIN-MSE-GTEx", "gain:GAINImputer", discriminator=False),
    )
})  # fmt: skip


def make_imputer(name: str, *, preset: str | None = None, random_state: int | None = None, **hyperparameters):
    """Build an imputer by the name that results use.

    Parameters
    ----------
    name : str
        Key of `METHODS`.
    preset : {"paper", "student"}, optional
        Hyperparameters to start from; the class's own defaults if not given.
    random_state : int, optional
        Given to methods that draw random numbers; the deterministic ones have no such parameter.
    **hyperparameters
        Take precedence over the preset.

    Returns
    -------
    ExpressionImputer
        Not fitted.

    Raises
    ------
    ConfigError
        For an unknown method, preset or hyperparameter, or one that the method's name fixes.
    """
    method = _known(name)
    cls = method.load()
    known = cls._get_param_names()
    fixed = [key for key in hyperparameters if key in method.parameters]
    if fixed:
        raise ConfigError(
            f"{name} means {fixed[0]}={method.parameters[fixed[0]]!r}; build {cls.__name__} directly for another value."
        )
    values = {**(hyperparameters_of(name, preset) if preset is not None else {}), **hyperparameters}
    _refuse_unknown(name, values, known)
    if "random_state" in known:
        values.setdefault("random_state", random_state)
    return cls(**method.parameters, **values)


def hyperparameters_of(name: str, preset: str) -> dict[str, object]:
    """Hyperparameters that a preset gives to a method.

    Parameters
    ----------
    name : str
        Key of `METHODS`.
    preset : {"paper", "student"}

    Returns
    -------
    dict
        Empty where the preset leaves the method's defaults.

    Raises
    ------
    ConfigError
        For an unknown method or preset, or a preset file with an unknown method or hyperparameter.
    """
    method, values = _known(name), dict(_preset(preset).get(name, {}))
    _refuse_unknown(name, values, method.load()._get_param_names() if values else [])
    return values


def _refuse_unknown(name: str, values: dict[str, object], known: list[str], source: str = "") -> None:
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ConfigError(f"{source}{name} has no hyperparameter {unknown[0]!r}; it has {', '.join(known)}.")


def _known(name: str) -> Method:
    if name not in METHODS:
        raise ConfigError(f"Unknown method {name!r}; known are {', '.join(METHODS)}.")
    return METHODS[name]


@cache
def _preset(preset: str) -> dict[str, dict[str, object]]:
    if preset not in PRESETS:
        raise ConfigError(f"Unknown preset {preset!r}; known are {', '.join(PRESETS)}.")
    text = resources.files("reproduce.imputers").joinpath("presets", f"{preset}.yaml").read_text(encoding="utf-8")
    return read_preset(text, source=f"{preset}.yaml")


def read_preset(text: str, *, source: str) -> dict[str, dict[str, object]]:
    """Parse a preset: YAML of method -> hyperparameter -> value.

    Parameters
    ----------
    text : str
    source : str
        Named in errors.

    Raises
    ------
    ConfigError
        If it is not such a mapping, or names an unknown method or one whose name fixes that hyperparameter.
    """
    import yaml

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(values, dict) for values in content.values()):
        raise ConfigError(f"{source} must map method names to mappings of hyperparameters.")
    for name, values in content.items():
        if name not in METHODS:
            raise ConfigError(f"{source}: unknown method {name!r}; known are {', '.join(METHODS)}.")
        fixed = sorted(set(values) & set(METHODS[name].parameters))
        if fixed:
            raise ConfigError(f"{source}: {name} fixes {fixed[0]} by its name; remove it.")
        _refuse_unknown(name, values, METHODS[name].load()._get_param_names(), f"{source}: ")
    return content
