"""Which classes a saved model may hold, and how their objects are taken apart and put together; imports no other.

A file names a class by its bare name, which is looked up in the table below and nowhere else. Objects are made without
calling anything of theirs: memory for one, and its attributes, which must be those of such an object.
"""

from __future__ import annotations

import dataclasses
import importlib

from sklearn.base import BaseEstimator

#: Module -> names of the classes that may be read from a file. Adding a class here is a decision about safety: its
#: methods must bear any numbers in its attributes (an error is fine; compiled code that trusts an index is not).
_ALLOWED = {
    # imputers that can fill new rows
    "reproduce.imputers.best": ("BestImputer",),
    "reproduce.imputers.boosted_trees": ("BoostedTreesImputer",),
    "reproduce.imputers.chained_ridge": ("ChainedRidgeImputer",),
    "reproduce.imputers.conformal": ("ConformalImputer",),
    "reproduce.imputers.gain": ("GAINImputer",),
    "reproduce.imputers.gaussian": ("ConditionalGaussianImputer",),
    "reproduce.imputers.iterative_forest": ("IterativeForestImputer",),
    "reproduce.imputers.knn": ("KNNImputer",),
    "reproduce.imputers.low_rank": ("LowRankGaussianImputer",),
    "reproduce.imputers.median": ("TissueMedianImputer",),
    "reproduce.imputers.mice": ("MICEImputer",),
    "reproduce.imputers.mixture": ("GaussianMixtureImputer", "_Mixture"),
    "reproduce.imputers.pmi": ("PMIImputer",),
    "reproduce.imputers.pmi_tuned": ("TunedPMIImputer",),
    "reproduce.imputers.surrogate": ("SurrogateTissueImputer",),
    "reproduce.imputers.transfer": ("TransferImputer", "_Candidate"),
    # what they hold
    "reproduce.imputers._covariates": ("CovariateEncoder",),
    "reproduce.imputers._low_rank_groups": ("Fitted", "GroupNormal"),
    "reproduce.imputers._low_rank_normal": ("LowRankNormal",),
    "reproduce.imputers._normal": ("Normal",),
    "reproduce.imputers._residual_scale": ("ResidualQuantiles", "ResidualScale"),
    "reproduce.models.gain": ("GAINSettings",),
    "reproduce.models.layers": ("HiddenSettings", "NetworkShape"),
    "reproduce.models.pmi": ("PMISettings",),
    "reproduce.models.tuned_pmi": ("TunedPMISettings",),
    "reproduce.matrices.genes": ("Identifiers",),
    "reproduce.matrices.units": ("UnitScale",),
    # the chain of MICE and of the iterative forests; trees are rebuilt and checked in `_trees`
    "sklearn.impute._base": ("SimpleImputer",),
    "sklearn.impute._iterative": ("IterativeImputer", "_ImputerTriplet"),
    "sklearn.linear_model._bayes": ("BayesianRidge",),
}
ALLOWED = {name: module for module, names in _ALLOWED.items() for name in names}


def name_of(cls: type) -> str | None:
    """The name under which objects of a class are stored, None for a class that may not be."""
    return cls.__name__ if ALLOWED.get(cls.__name__) == cls.__module__ else None


def attributes_of(thing: object) -> dict[str, object] | list[object]:
    """What an object of an allowed class consists of: its attributes, or a named tuple's values."""
    if isinstance(thing, tuple):
        return list(thing)
    state = thing.__getstate__()
    if isinstance(thing, BaseEstimator):
        state = {name: value for name, value in state.items() if name != "_sklearn_version"}
    return state


def rebuilt(name: object, attributes: dict[str, object] | list[object]) -> object:
    """An object of an allowed class with these attributes.

    Parameters
    ----------
    name : str
        As `name_of` gave it.
    attributes : dict or list
        As `attributes_of` gave them.

    Raises
    ------
    ValueError
        For any other class, or attributes that such an object does not have.
    """
    if not isinstance(name, str) or name not in ALLOWED:
        raise ValueError(f"{name!r} is none of the classes that a model may hold")
    cls = getattr(importlib.import_module(ALLOWED[name]), name)
    if issubclass(cls, tuple):
        if not isinstance(attributes, list) or len(attributes) != len(cls._fields):
            raise ValueError(f"{name} has {len(cls._fields)} values")
        return cls(*attributes)
    if not isinstance(attributes, dict) or not all(isinstance(key, str) for key in attributes):
        raise ValueError(f"attributes of {name} have names")
    for key in attributes:
        # an attribute that hides a method would make the object do something else
        if key.startswith("__") or not key.isidentifier() or _is_behaviour(getattr(cls, key, None)):
            raise ValueError(f"{name} has no attribute {key!r} that could be set")
    absent = _needed(cls) - set(attributes)
    if absent:
        raise ValueError(f"{name} lacks {sorted(absent)[0]!r}")
    if dataclasses.is_dataclass(cls) and set(attributes) - _needed(cls):
        raise ValueError(f"{name} has no field {sorted(set(attributes) - _needed(cls))[0]!r}")
    thing = cls.__new__(cls)
    vars(thing).update(attributes)
    return thing


def _needed(cls: type) -> set[str]:
    if dataclasses.is_dataclass(cls):
        return {field.name for field in dataclasses.fields(cls)}
    return set(cls._get_param_names()) if issubclass(cls, BaseEstimator) else set()


def _is_behaviour(value: object) -> bool:
    return callable(value) or hasattr(type(value), "__get__")
