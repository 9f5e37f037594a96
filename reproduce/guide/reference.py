"""Pages of the API reference: which classes and functions are public, for Sphinx to take their docstrings from."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from types import ModuleType

from reproduce.imputers import METHODS

#: Page -> title, sentence, and modules whose public classes and functions it lists.
MODULES = {
    "reference_matrices": (
        "A matrix of your own",
        "Reading, filling, measuring, training and applying, as the commands do it.",
        ("files", "genes", "units", "choice", "filling", "evaluation", "training", "models", "apply", "card", "page"),
        "reproduce.matrices",
    ),
    "reference_more": (
        "Several imputations, and matrices larger than memory",
        "",
        ("multiple_imputation", "chunked.low_rank", "chunked.estimators"),
        "reproduce",
    ),
}
BASES = ("reproduce.imputers._base.ExpressionImputer", "reproduce.imputers._predictive.PredictiveImputer")
#: Imputers that wrap another one, and so are no method of the registry.
WRAPPERS = ("reproduce.imputers.conformal.ConformalImputer",)
FUNCTIONS = (
    "reproduce.imputers.make_imputer",
    "reproduce.imputers.hyperparameters_of",
    "reproduce.imputers.advice.advised_method",
)


def pages() -> dict[str, str]:
    """Markdown of each page by its name."""
    found = {"reference_imputers": _imputers()}
    for name, (title, sentence, modules, package) in MODULES.items():
        parts = [f"# Reference: {title}", sentence]
        parts += [_module(importlib.import_module(f"{package}.{module}")) for module in modules]
        found[name] = "\n\n".join(part for part in parts if part) + "\n"
    return found


def estimators() -> list[str]:
    """Full names of all public imputers, each once, in the registry's order."""
    of_methods = [method.target.replace(":", ".") for method in METHODS.values()]
    return [*dict.fromkeys(of_methods), *WRAPPERS]


def public(module: ModuleType) -> list[object]:
    """Classes and functions that a module offers, in the order of its source."""
    named = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    own = [getattr(module, name) for name in named]
    kept = [each for each in own if inspect.isclass(each) or inspect.isfunction(each)]
    kept = [each for each in kept if each.__module__ == module.__name__]
    return sorted(kept, key=lambda each: inspect.getsourcelines(each)[1])


def _imputers() -> str:
    methods: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        methods.setdefault(method.target.replace(":", "."), []).append(f"`{name}`")
    parts = [
        "# Reference: imputers",
        "What all have in common is with the two base classes. `make_imputer(name)` builds them by the names of the "
        "registry.",
        _directive("autofunction", FUNCTIONS),
        "## What all imputers share",
        _directive("autoclass", BASES),
    ]
    for target in estimators():
        known = methods.get(target)
        parts.append(f"## {target.rpartition('.')[2]}")
        parts.append(f"Method {', '.join(known)}." if known else "Around another imputer.")
        parts.append(_directive("autoclass", [target]))
    return "\n\n".join(parts) + "\n"


def _module(module: ModuleType) -> str:
    lines = inspect.getdoc(module).split("\n\n")[0]
    parts = [f"## `{module.__name__}`", " ".join(lines.split())]
    for each in public(module):
        kind = "autoclass" if inspect.isclass(each) else "autofunction"
        parts.append(_directive(kind, [f"{module.__name__}.{each.__name__}"]))
    return "\n\n".join(parts)


def _directive(kind: str, targets: Iterable[str]) -> str:
    options = "\n   :members:\n   :show-inheritance:" if kind == "autoclass" else ""
    lines = [f".. {kind}:: {target}{options}\n" for target in targets]
    return "```{eval-rst}\n" + "\n".join(lines) + "```"
