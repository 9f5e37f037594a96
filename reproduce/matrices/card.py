"""A model in plain text, for people: what it is, what it needs, what it cannot do; never applies it.

Everything that is said is read from the model. What is not known is said to be not known.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn

from reproduce import __version__
from reproduce.imputers import METHODS
from reproduce.imputers._predictive import PredictiveImputer
from reproduce.matrices.apply import GOOD_SHARE, LEAST_SHARE
from reproduce.matrices.models import Model

_WIDTH = 100
_KINDS = {
    "ensembl": "Ensembl ids",
    "ensembl_versioned": "Ensembl ids with version",
    "symbol": "gene symbols",
    "entrez": "Entrez ids",
    "other": "names of no known kind",
}
#: Attributes that hold training samples themselves, by the class of the imputer; `best` may have such members.
_KEEPS_SAMPLES = {"KNNImputer", "SurrogateTissueImputer"}
_KEEPS_LEAVES = {"IterativeForestImputer", "BoostedTreesImputer"}


#: Metrics of a model in words.
_METRICS = {
    "r2": "R², all genes together",
    "median_gene_r2": "R², median over genes",
    "rmse": "root mean squared error, log scale",
    "hidden_rate": "share of entries hidden",
    "n_samples_left_out": "samples left out of the fit",
    "n_hidden": "hidden values",
}


def describe(model: Model) -> str:
    """The model card that ``reproduce inspect MODEL`` prints.

    Parameters
    ----------
    model : Model

    Returns
    -------
    str
        Lines of at most 100 characters, without a line end after the last.
    """
    parts = (
        ("What it is", _what(model)),
        ("Trained on", _training(model)),
        ("Held-out accuracy", _metrics(model.metrics)),
        ("What it needs from new samples", _needs(model)),
        ("What happens when something is missing", _when_missing(model)),
        ("How to apply it", _how()),
        ("Limits", _limits(model)),
        ("Versions and size", _versions(model)),
    )
    lines = [f"{METHODS[model.method].label}: a model that fills missing gene expression"]
    for title, sentences in parts:
        lines += ["", title]
        for sentence in sentences:
            lines += _wrapped(sentence)
    return "\n".join(lines)


def _what(model: Model) -> Iterator[str]:
    label, estimator = METHODS[model.method].label, type(model.imputer).__name__
    yield f"{label} (method {model.method}, class {estimator}), fitted once; applying it learns nothing."
    if isinstance(model.imputer, PredictiveImputer):
        yield "It gives values, standard deviations and draws."
    else:
        yield "It gives values, without standard deviations."
    settings = {name: value for name, value in model.imputer.get_params(deep=False).items() if _is_short(value)}
    yield "Settings: " + (", ".join(f"{name}={value!r}" for name, value in settings.items()) or "none") + "."


def _is_short(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, np.number)) or (
        isinstance(value, tuple) and all(map(_is_short, value))
    )  # fmt: skip


def _training(model: Model) -> Iterator[str]:
    told = model.training
    yield f"Source: {told.get('source') or 'not told'}."
    donors = told.get("n_donors")
    yield (
        f"Samples: {_count(told.get('n_samples'))}; donors: {_count(donors)}; genes: {len(model.genes):,}; "
        f"missing entries: {_share(told.get('missing_rate'))}."
    )
    constant = int((~model.imputer.varying_).sum())
    if constant:
        yield f"{constant:,} gene(s) were constant there and are filled with that constant."
    yield f"Units: {model.units.units}{'' if model.units.units == 'log' else ', taken to a logarithmic scale inside'}."
    if isinstance(mean := told.get("mean"), np.ndarray) and mean.size:
        low, middle, high = np.quantile(mean, [0.05, 0.5, 0.95])
        yield f"Mean of a gene on that scale: {middle:.2f} (5 % to 95 % of genes: {low:.2f} to {high:.2f})."
    yield from _covariates(model.covariates)


def _covariates(told: Mapping[str, Any]) -> Iterator[str]:
    if not told:
        yield "Covariates: none."
        return
    for name in told["columns"]:
        if name in told["levels"]:
            yield f"Covariate {name}: {', '.join(told['levels'][name]) or 'no known level'}."
        elif name in told["numbers"]:
            number = told["numbers"][name]
            yield f"Covariate {name}: a number, mean {number['mean']:.4g}, standard deviation {number['sd']:.4g}."
        else:
            yield f"Covariate {name}: says which samples are of one person."


def _metrics(metrics: Mapping[str, Any]) -> Iterator[str]:
    if not metrics:
        yield "Not measured. `reproduce evaluate` measures it on a matrix of yours by hiding known entries."
    for name, value in metrics.items():
        label = _METRICS.get(name, name)
        yield f"{label}: {value:.4g}" if isinstance(value, (float, np.floating)) else f"{label}: {value}"


def _needs(model: Model) -> Iterator[str]:
    names = model.genes.names
    yield (
        f"Genes in {_KINDS.get(model.genes.kind, model.genes.kind)}, such as {', '.join(names[:5])}, in any order; "
        "Ensembl ids (with or without version) and symbols are matched with each other where the pair is known."
    )
    yield f"The units of the training samples ({model.units.units}), normalised alike, with empty cells where missing."
    if needed := [name for name in model.covariates.get("columns", ()) if name != "donor"]:
        yield f"A table of covariates with one row per sample: {', '.join(needed)}."
    if model.method == "surrogate":
        yield "The column donor as well: samples are filled from other samples of the same donor."


def _when_missing(model: Model) -> Iterator[str]:
    yield (
        "A gene of the model that the matrix lacks is missing in every sample, and is not added. Below "
        f"{GOOD_SHARE:.0%} of the model's genes there is a warning, below {LEAST_SHARE:.0%} an error."
    )
    yield "A gene that the model does not know comes back as it came, with its holes. Known entries never change."
    if model.covariates.get("unseen") == "pool":
        yield "A level of a covariate that the model has not seen is taken as unknown, and said."
    elif model.covariates.get("levels"):
        yield "A level of a covariate that the model has not seen is an error that names it; an empty cell is unknown."
    yield "A sample without any known entry gets what the model says without genes, which is little more than a mean."


def _how() -> Iterator[str]:
    yield "    reproduce impute NEW.csv --model MODEL -o FILLED.csv"
    yield "    from reproduce.matrices.models import load_model"
    yield "    from reproduce.matrices.apply import apply_model"
    yield '    filled = apply_model(load_model("MODEL"), values, covariates).filled'


def _limits(model: Model) -> Iterator[str]:
    yield (
        "For samples like those it was trained on. In other tissues, diseases, platforms or normalisations accuracy is "
        "unknown, and error bars do not hold."
    )
    yield (
        "Entries that are missing because of their value (too low to be detected) are filled as if they were missing "
        "at random."
    )
    yield "What is filled in is a prediction, no measurement: no ground for a causal claim or a clinical decision."
    kept = _classes_within(model.imputer)
    if kept & _KEEPS_SAMPLES:
        yield "It contains expression values of training samples: pass it on only where you may pass on those."
    elif kept & _KEEPS_LEAVES:
        yield "Its trees may contain values of single training samples: pass it on only where you may pass on those."


def _classes_within(imputer: object) -> set[str]:
    parts = [getattr(imputer, "imputer_", None), *getattr(imputer, "_parts", ())]
    return {type(imputer).__name__}.union(*(_classes_within(part) for part in parts if part is not None))


def _versions(model: Model) -> Iterator[str]:
    size = "not saved yet" if model.size is None else f"{model.size / 1e6:,.1f} MB"
    yield f"Fitted by version {model.version}; read by {__version__} with scikit-learn {sklearn.__version__}."
    yield f"Size: {size}."
    if hasattr(model.imputer, "network_weights_"):
        n_weights = sum(np.size(weight) for weight in model.imputer.network_weights_)
        yield f"A network of {n_weights:,} weights; TensorFlow is needed to apply it, not to read it."


def _wrapped(sentence: str) -> Sequence[str]:
    if sentence.startswith("    "):
        return [sentence]
    # names come from the model's files: they shall not move the cursor of a terminal
    sentence = "".join(letter if letter.isprintable() else "?" for letter in sentence)
    return textwrap.wrap(
        sentence, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=True, break_on_hyphens=False
    )


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, (int, np.integer)) else "not known"


def _share(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, (float, np.floating)) else "not known"
