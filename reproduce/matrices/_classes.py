"""Which classes a saved model may hold, and how their objects are taken apart and put together; imports no other.

A file names a class by its bare name, which is looked up in the table below and nowhere else. Objects are made without
calling anything of theirs: memory for one, and its attributes, which must be those of such an object.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys

from sklearn.base import BaseEstimator

from reproduce.errors import DataFormatError

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


def name_of(thing: object) -> str | None:
    """The name of an object's class in a file, None for a class that may not be in one."""
    cls = type(thing)
    if cls is _Postponed:
        return thing._postponed[0]
    return cls.__name__ if ALLOWED.get(cls.__name__) == cls.__module__ else None


def attributes_of(thing: object) -> dict[str, object] | list[object]:
    """What an object of an allowed class consists of: its attributes, or a named tuple's values."""
    if isinstance(thing, tuple):
        return list(thing)
    if type(thing) is _Postponed:
        return thing._postponed[1]
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
    module = ALLOWED[name]
    if module.startswith("reproduce.models.") and module not in sys.modules:
        return _Postponed(name, attributes)
    cls = getattr(importlib.import_module(module), name)
    if issubclass(cls, tuple):
        if not isinstance(attributes, list) or len(attributes) != len(cls._fields):
            raise ValueError(f"{name} has {len(cls._fields)} values")
        return cls(*attributes)
    _check_attributes(cls, attributes)
    thing = cls.__new__(cls)
    vars(thing).update(attributes)
    return thing


class _Postponed:
    """A network's settings in a model that has been read and not been applied: their class is in a TensorFlow module.

    It becomes an object of that class, in its place, when the first attribute is asked for.
    """

    def __init__(self, name: str, attributes: object) -> None:
        self._postponed = (name, attributes)

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("_"):  # looked for by copy and pickle, and never a setting
            raise AttributeError(attribute)
        self._arrive()
        return getattr(self, attribute)

    def __eq__(self, other: object) -> bool:
        return self._arrive() == (other._arrive() if type(other) is _Postponed else other)

    def __hash__(self) -> int:
        return hash(self._arrive())

    def __repr__(self) -> str:
        return repr(self._arrive())

    def _arrive(self) -> object:
        name, attributes = self._postponed
        cls = getattr(importlib.import_module(ALLOWED[name]), name)
        try:
            _check_attributes(cls, attributes)
        except ValueError as error:
            raise DataFormatError(f"The model's network cannot be built: {error}. Copy the model again.") from None
        del self._postponed
        self.__class__ = cls
        vars(self).update(attributes)
        return self


def _check_attributes(cls: type, attributes: object) -> None:
    """Raise ValueError for attributes that objects of a class do not have, or without one that they need."""
    name = cls.__name__
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


def _needed(cls: type) -> set[str]:
    if dataclasses.is_dataclass(cls):
        return {field.name for field in dataclasses.fields(cls)}
    return set(cls._get_param_names()) if issubclass(cls, BaseEstimator) else set()


def _is_behaviour(value: object) -> bool:
    return callable(value) or hasattr(type(value), "__get__")
