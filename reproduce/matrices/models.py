"""A fitted imputer with what is needed to apply it elsewhere, as a folder; loading never executes what it reads.

A model's folder has three files:

* ``manifest.json``: what the model is, for people and other programs, and size and SHA-256 of the others;
* ``arrays.npz``: all numbers, by where they belong: ``imputer.center_``, ``training.mean``;
* ``state.json``: how they make up the imputer, see `reproduce.matrices.state`.

Networks are stored in the same way: their shape and settings, which build the layers, are in the state, and their
weights, float32, are ``imputer.network_weights_.0`` and so on in the order of Keras's ``get_weights``. The manifest
lists them with their shapes under ``network``. That is what a ``.keras`` file holds, without its layers' configuration,
from which Keras would import classes by name. TensorFlow is not needed to load such a model, only to apply it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reproduce import __version__
from reproduce.errors import ConfigError, DataFormatError
from reproduce.files import atomic_path
from reproduce.imputers import METHODS
from reproduce.imputers._base import ExpressionImputer
from reproduce.imputers._covariates import DONOR
from reproduce.matrices._archive import read_arrays, write_arrays
from reproduce.matrices._manifest import check_scikit_learn, read_manifest, write_manifest
from reproduce.matrices.genes import Identifiers
from reproduce.matrices.state import State, decode, encode
from reproduce.matrices.units import UnitScale

STATE, ARRAYS = "state.json", "arrays.npz"
_FILES = (STATE, ARRAYS)
#: Methods that can fill rows that they were not fitted on, which a model is for.
SAVABLE = tuple(name for name, method in METHODS.items() if "inductive" in method.scenarios)


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted imputer and what new samples must be to be filled by it.

    Attributes
    ----------
    imputer : ExpressionImputer
        Fitted in the log scale of `units`.
    method : str
        Key of `reproduce.imputers.METHODS`; of the method within, where the imputer is a `ConformalImputer`.
    genes : Identifiers
        The fitted genes in their order.
    units : UnitScale
        Of the training matrix; of the model's genes at least.
    covariates : dict
        See `covariates_of`; empty for a model without.
    training : dict
        See `training_summary`.
    metrics : dict
        Held-out accuracy, by name; empty if none was measured.
    version : str
        Of the package that fitted it.
    symbols : dict of str to str
        Other names of the genes (Ensembl id and symbol), for matrices that use those.
    size : int or None
        Bytes of the folder it was loaded from.
    """

    imputer: ExpressionImputer
    method: str
    genes: Identifiers
    units: UnitScale
    covariates: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    symbols: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None


def covariates_of(imputer: ExpressionImputer) -> dict[str, Any]:
    """The covariates an imputer was fitted with.

    Returns
    -------
    dict
        ``columns`` in order; ``levels``: the categories of each that has any; ``numbers``: mean and sd of the others;
        ``unseen``: "pool" or "error". Empty if the imputer has no covariates.
    """
    encoder = getattr(imputer, "covariate_encoder_", None)
    if encoder is None:
        return {}
    return {
        "columns": [str(name) for name in encoder.columns_],
        "levels": {str(name): list(levels) for name, levels in encoder.categories_.items()},
        "numbers": {str(name): {"mean": mean, "sd": sd} for name, (mean, sd) in encoder.scales_.items()},
        "unseen": encoder.unknown_category,
    }


def training_summary(values: pd.DataFrame, *, source: str, covariates: pd.DataFrame | None = None) -> dict[str, Any]:
    """What is worth knowing of the matrix that a model was fitted to.

    Parameters
    ----------
    values : DataFrame (n_samples, n_genes)
        In the scale in which the imputer was fitted; NaN where missing.
    source : str
        Name of the file or data set.
    covariates : DataFrame, optional
        Read for the number of donors only.

    Returns
    -------
    dict
        ``source``, ``n_samples``, ``n_donors`` (None if not known), ``n_genes``, ``missing_rate``, and arrays of one
        number a gene: ``mean``, ``sd`` and ``gene_missing_rate``.
    """
    numbers = values.to_numpy()
    known = ~np.isnan(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.nansum(numbers, axis=0, dtype=np.float64) / count
    squares = np.nansum(np.square(numbers - mean, dtype=np.float64), axis=0)
    donors = covariates[DONOR].nunique() if covariates is not None and DONOR in covariates else None
    return {
        "source": source,
        "n_samples": len(values),
        "n_donors": donors,
        "n_genes": values.shape[1],
        "missing_rate": float(1 - known.mean()),
        "mean": mean,
        "sd": np.sqrt(squares / count),
        "gene_missing_rate": 1 - known.mean(axis=0),
    }


# saving


def save_model(model: Model, folder: str | os.PathLike[str]) -> Path:
    """Write a model, whole or not at all.

    Parameters
    ----------
    model : Model
    folder : path
        Must not exist.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        For a method that cannot fill new rows, an imputer that is not fitted or has other genes than the model, a
        folder that exists, or a part that cannot be stored without code.
    """
    folder = Path(folder)
    _check_whole(model)
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} exists already; remove it, or give the model another name.")
    parts = {name.name: getattr(model, name.name) for name in dataclasses.fields(model) if name.name != "size"}
    state = encode(parts | {name: dict(parts[name]) for name in ("covariates", "training", "metrics", "symbols")})
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_arrays(temporary / ARRAYS, state.arrays)
        text = json.dumps({"nodes": state.nodes}, allow_nan=False, separators=(",", ":"))
        (temporary / STATE).write_text(text, encoding="utf-8", newline="\n")
        write_manifest(temporary, _FILES, told_of(model))
    return folder


def told_of(model: Model) -> dict[str, Any]:
    """What the manifest tells of a model, as JSON: all but its arrays, which have names in `arrays.npz`."""
    weights = getattr(model.imputer, "network_weights_", None)
    network = {f"imputer.network_weights_.{at}": list(weight.shape) for at, weight in enumerate(weights or ())}
    return {
        "method": model.method,
        "estimator": type(model.imputer).__name__,
        "parameters": _plain(model.imputer.get_params(deep=False)),
        "genes": {"kind": model.genes.kind, "names": list(model.genes.names)},
        "units": model.units.units,
        "covariates": _plain(model.covariates),
        "training": _plain({k: v for k, v in model.training.items() if not isinstance(v, np.ndarray)}),
        "metrics": _plain(model.metrics),
        **({"network": network} if network else {}),
    }


def _plain(value: Any) -> Any:
    """A value as JSON to be read by people; what is too much for that by its type."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"({type(value).__name__})"


def _check_whole(model: Model) -> None:
    if model.method not in SAVABLE:
        raise ConfigError(
            f"{model.method} cannot be saved as a model: it does not fill rows that it was not fitted on. Methods that "
            f"can: {', '.join(SAVABLE)}."
        )
    if not hasattr(model.imputer, "center_"):
        raise ConfigError("The model cannot be saved: its imputer is not fitted; fit it first.")
    wrong = _what_is_wrong(model)
    if wrong:
        raise ConfigError(f"The model cannot be saved: {wrong}.")


def _what_is_wrong(model: Model) -> str | None:
    """How the parts of a model contradict each other, None if they do not."""
    from reproduce.imputers.conformal import ConformalImputer

    imputer, cls = model.imputer, METHODS[model.method].load()
    if type(imputer) not in (cls, ConformalImputer):
        return f"its imputer is a {type(imputer).__name__}, but {model.method} is a {cls.__name__}"
    if not isinstance(model.genes, Identifiers) or not isinstance(model.units, UnitScale):
        return "its genes are no Identifiers or its units no UnitScale"
    n_genes = getattr(imputer, "n_features_in_", len(model.genes))
    if n_genes != len(model.genes):
        return f"its imputer was fitted on {n_genes} genes, and {len(model.genes)} are named"
    names = getattr(imputer, "feature_names_in_", None)
    if names is not None and list(names) != list(model.genes.names):
        return "its genes are not those that the imputer was fitted on, in their order"
    try:
        scale_of(model)
    except (ConfigError, KeyError, TypeError, IndexError) as error:
        return f"its units do not fit its genes ({error})"
    try:
        if model.covariates and model.covariates != covariates_of(imputer):
            return "its covariates are not those of its imputer (see covariates_of)"
    except (AttributeError, TypeError, ValueError) as error:
        return f"its imputer's covariates cannot be read ({error})"
    return None


def scale_of(model: Model) -> UnitScale:
    """The model's units for its own genes in their order; the training matrix may have had more."""
    units = model.units
    if units.genes == model.genes.names:
        return UnitScale(units.units, units.genes, units.reference)
    place = {name: position for position, name in enumerate(units.genes)}
    positions = np.array([place[name] for name in model.genes.names], dtype=np.int64)
    reference = None if units.reference is None else units.reference[positions]
    return UnitScale(units.units, model.genes.names, reference)


# loading


def load_model(folder: str | os.PathLike[str]) -> Model:
    """Read a model that `save_model` wrote, on this machine or another.

    Nothing in the folder is executed, and no class outside a fixed list is made from it.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Model
        Fills the same values as the one that was saved.

    Raises
    ------
    DataFormatError
        For a folder that is no model, one of another format or of another scikit-learn (where it holds estimators of
        it), a missing, changed or additional file, and content that `save_model` does not write.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, _FILES)
    with open(folder / ARRAYS, "rb") as handle:
        arrays = read_arrays(handle, source=str(folder / ARRAYS))
    source = folder / STATE
    nodes = _nodes(source)
    if any(node[:2] in (["object", "IterativeImputer"], ["object", "BayesianRidge"]) or node[:1] == ["forest"]
           for node in nodes if type(node) is list):  # fmt: skip
        check_scikit_learn(folder, manifest)
    parts = decode(State(nodes, arrays), source=str(source))
    size = sum(entry.stat().st_size for entry in os.scandir(folder))
    return _model(parts, size, source)


def _nodes(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        nodes = content["nodes"]
        if type(nodes) is not list:
            raise TypeError("nodes is no list")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataFormatError(f"{path} is no state of a model: {error}. Copy the model again.") from None
    return nodes


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_KINDS = {
    "imputer": ExpressionImputer, "method": str, "genes": Identifiers, "units": UnitScale, "covariates": dict,
    "training": dict, "metrics": dict, "version": str, "symbols": dict,
}  # fmt: skip


def _model(parts: Any, size: int, source: Path) -> Model:
    good = type(parts) is dict and set(parts) == set(_KINDS)
    if not good or not all(isinstance(parts[name], kind) for name, kind in _KINDS.items()):
        raise DataFormatError(f"{source} does not hold the parts of a model. Copy the model again.")
    model = Model(**parts, size=size)
    wrong = f"{model.method!r} is no method of this version" if model.method not in SAVABLE else _what_is_wrong(model)
    if wrong or not hasattr(model.imputer, "center_"):
        raise DataFormatError(
            f"{source}: {wrong or 'the imputer is not fitted'}. Copy the model again, or train it anew."
        )
    return model
