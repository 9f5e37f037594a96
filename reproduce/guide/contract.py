"""What every method promises, and what of scikit-learn's checks it does not keep; never runs a check.

The tests import `EXPECTED_FAILED_CHECKS` from here: what the guide tells and what the tests hold is one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from types import MappingProxyType

from reproduce.guide.markdown import markdown_table
from reproduce.imputers import METHODS

#: Checks of scikit-learn's that a class fails on purpose: class -> check -> reason.
EXPECTED_FAILED_CHECKS: Mapping[str, Mapping[str, str]] = MappingProxyType({})
#: The guide's example of a new method: its file, and its line in the registry.
EXAMPLE_FILE = "correlated_genes.py"
EXAMPLE_LINE = '_method("correlated_genes", "Correlated genes", "correlated_genes:CorrelatedGenesImputer"),'
#: Methods without random numbers whose results do not depend on the order of genes say so to the tests.
EXAMPLE_ORDER_FREE = 'ORDER_FREE = ("correlated_genes", "median",'


def parts() -> dict[str, Callable[[], str]]:
    """What the page on adding a method says from the code, by name."""
    return {
        "example_file": lambda: EXAMPLE_FILE,
        "example": lambda: example().rstrip(),
        "example_line": lambda: EXAMPLE_LINE,
        "example_order_free": lambda: EXAMPLE_ORDER_FREE,
        "exceptions": exceptions,
        "checks": checks,
    }


def example() -> str:
    """The example's source."""
    return resources.files("reproduce.guide").joinpath("pages", f"{EXAMPLE_FILE}.txt").read_text(encoding="utf-8")


def exceptions() -> str:
    """The exceptions with their reasons."""
    rows = [[f"`{cls}`", f"`{check}`", why] for cls, of in EXPECTED_FAILED_CHECKS.items() for check, why in of.items()]
    if not rows:
        return "There is no exception: every method passes every check."
    return markdown_table(["class", "check", "reason for the exception"], rows)


def checks() -> str:
    """Each class of the registry with the methods it stands for and the number of scikit-learn's checks on it."""
    from sklearn.utils.estimator_checks import estimator_checks_generator

    names: dict[type, list[str]] = {}
    for name, method in METHODS.items():
        names.setdefault(method.load(), []).append(f"`{name}`")
    rows = []
    for cls, methods in names.items():
        n_checks = sum(1 for _ in estimator_checks_generator(cls(), legacy=True))
        n_failing = len(EXPECTED_FAILED_CHECKS.get(cls.__name__, {}))
        rows.append([f"`{cls.__name__}`", ", ".join(methods), n_checks, n_failing])
    return markdown_table(["class", "methods", "scikit-learn's checks", "exceptions"], rows)
