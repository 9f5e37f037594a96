"""Tables of the page on choosing a method, from the code's own rule and from measured tables; never measures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from reproduce.guide.markdown import markdown_table
from reproduce.imputers import METHODS
from reproduce.imputers.advice import read_advice
from reproduce.imputers.costs import REFERENCE_GENES, REFERENCE_ROWS, duration, seconds_at
from reproduce.matrices.choice import (
    LEAST_KNOWN,
    MOST_GIGABYTES,
    NETWORKS,
    NOT_FOR_ONE_MATRIX,
    PATIENCE_SECONDS,
    SQUARE_GENES,
    Choice,
    choose_method,
)
from reproduce.matrices.filling import CALIBRATED_GENES, WITH_DISTRIBUTION
from reproduce.matrices.models import SAVABLE
from reproduce.tables.missingness_tables import MECHANISM_WORDS
from reproduce.tables.summaries import label_of

#: Sizes (samples, genes) and fractions missing that the table shows.
SIZES = (
    (50, 65, 0.3),
    (300, 65, 0.3),
    (300, 65, 0.99),
    (1_000, 300, 0.3),
    (1_000, 1_000, 0.3),
    (1_000, 20_000, 0.3),
    (15_000, 12_557, 0.3),
)
MISSINGNESS_TABLE = "07_missingness-advice.csv"
_SCENARIOS = {"in_place": "holes in the matrix at hand", "inductive": "new samples, by a model"}


def parts(results: Path) -> dict[str, Callable[[], str]]:
    """What the page says from code and tables, by name."""
    return {
        "by_size": by_size,
        "by_patience": by_patience,
        "by_missingness": partial(by_missingness, results),
        "all_methods": all_methods,
        "patience": lambda: duration(PATIENCE_SECONDS),
        "gigabytes": lambda: f"{MOST_GIGABYTES:g} GB",
        "least_known": lambda: f"{LEAST_KNOWN:g}",
        "square_genes": lambda: f"{SQUARE_GENES:,}",
        "calibrated_genes": lambda: f"{CALIBRATED_GENES:,}",
        "with_distribution": lambda: ", ".join(f"`{name}`" for name in WITH_DISTRIBUTION),
        "not_for_models": lambda: ", ".join(f"`{name}`" for name in METHODS if name not in SAVABLE),
        "reference_size": lambda: f"{REFERENCE_ROWS:,} samples × {REFERENCE_GENES:,} genes",
        "quickest": lambda: f"`{_quickest()}`",
    }


def _quickest() -> str:
    advice = read_advice()
    return advice[advice["scenario"] == "in_place"].sort_values("limit_seconds")["method"].iloc[0]


def by_size() -> str:
    """What "auto" takes at each size, in place and for a model."""
    rows = []
    for n_samples, n_genes, rate in SIZES:
        here, later = (choose_method(n_samples, n_genes, rate, inductive=each) for each in (False, True))
        size = [f"{n_samples:,}", f"{n_genes:,}", f"{rate:.0%}"]
        rows.append([*size, _estimate(here), _estimate(later), here.reason])
    columns = ["samples", "genes", "missing", "holes in the matrix at hand", "new samples, by a model"]
    return markdown_table([*columns, "why, for the matrix at hand"], rows)


def _estimate(choice: Choice) -> str:
    return f"{choice.label} ({_about(choice.seconds)}, {choice.gigabytes:.1f} GB)"


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}" if seconds >= 1 else "below 1 s"


def by_patience() -> str:
    """The shipped advice of the study: the most accurate method within a time."""
    rows = [
        [_SCENARIOS[row.scenario], _limit(row.limit_seconds), f"{label_of(row.method)} (`{row.method}`)"]
        for row in read_advice().itertuples()
    ]
    return markdown_table(["to fill", "patience", "most accurate"], rows)


def _limit(seconds: float) -> str:
    return "whatever it takes" if seconds == float("inf") else f"below {duration(seconds)}"


def by_missingness(results: Path) -> str:
    """The best method of each missing rate and way of hiding, from the run's table; a sentence if it has none."""
    path = results / MISSINGNESS_TABLE
    if not path.is_file():
        return "This report's run has no table of missing rates and mechanisms; the notebook on missingness makes it."
    table = pd.read_csv(path)
    trained = table["training"].fillna("").map(lambda text: f", trained {text}" if text else "")
    table["told"] = table["best"].map(label_of) + trained + " (" + table["r2"].map("{:.2f}".format) + ")"
    by_rate = table[table["mechanism"] == "mcar"].pivot_table("told", "missing_rate", "target", "first", sort=False)
    rows = [[f"{rate:.0%}", *told.fillna("–")] for rate, told in by_rate.iterrows()]
    text = "Hidden completely at random:\n\n" + markdown_table(["missing", *by_rate.columns], rows)
    otherwise = table[table["mechanism"] != "mcar"]
    if otherwise.empty:
        return text
    by_way = otherwise.pivot_table("told", ["mechanism", "missing_rate"], "target", "first", sort=False)
    rows = [[MECHANISM_WORDS[way], f"{rate:.0%}", *told.fillna("–")] for (way, rate), told in by_way.iterrows()]
    columns = ["hidden", "missing", *by_way.columns]
    return text + "\n\nHidden in other ways:\n\n" + markdown_table(columns, rows)


def all_methods() -> str:
    """Every method of the registry with what it can do."""
    rows = []
    for name, method in METHODS.items():
        reads = "unknown_category" in inspect.signature(method.load()).parameters
        cost = _about(seconds_at(name, REFERENCE_ROWS, REFERENCE_GENES))
        can = [name in SAVABLE, name in WITH_DISTRIBUTION, reads, name in NETWORKS, name in NOT_FOR_ONE_MATRIX]
        rows.append([f"`{name}`", method.label, *("yes" if each else "–" for each in can), cost])
    columns = ["method", "name", "fills new samples", "own error bars", "reads covariates", "needs TensorFlow"]
    return markdown_table([*columns, "needs other samples or cohorts", "time"], rows)
