"""Estimates how long a method takes on one core for so many rows and genes; never fits one.

The figures are rough: seconds measured on `REFERENCE_ROWS` rows and `REFERENCE_GENES` genes, and the power of either
with which a method's arithmetic grows.
"""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE_ROWS, REFERENCE_GENES = 740, 65


@dataclass(frozen=True)
class Cost:
    """Seconds to fit and fill at the reference size, and how they grow.

    Attributes
    ----------
    seconds : float
    rows, genes : float
        Powers.
    constant : float
        Share of the seconds that does not grow.
    epochs : int
        Of a network's training that took these seconds.
    """

    seconds: float
    rows: float
    genes: float
    constant: float = 0.0
    epochs: int = 200


#: A network's steps do not depend on the rows; of its layers only the outer ones grow with the genes. Chained equations
#: fit a regression on all other genes for every gene, forests look at a third or the square root of them at a split,
#: and the Gaussian solves a system of the visible genes for every row.
COSTS = {
    "missforest_100": Cost(600.0, 1, 1.5),
    "missforest_10": Cost(80.0, 1, 1.5),
    "iterative_forest": Cost(80.0, 1, 2),
    "boosted_forest": Cost(7.0, 1, 2, constant=0.1),
    "gain": Cost(20.0, 0, 1, constant=0.8),
    "gain_mse": Cost(12.0, 0, 1, constant=0.8),
    "pmi": Cost(8.0, 0, 1, constant=0.8),
    "best": Cost(150.0, 0.5, 1, constant=0.5, epochs=60),
    "pmi_tuned": Cost(40.0, 0.5, 1, constant=0.5, epochs=60),
    "mixture": Cost(6.0, 1, 3, constant=0.4),
    "low_rank": Cost(2.0, 1, 1, constant=0.2),
    "oracle": Cost(8.0, 1, 3),
    "mice": Cost(5.0, 1, 3, constant=0.2),
    "gaussian": Cost(0.5, 1, 3, constant=0.4),
    "fast_mice": Cost(0.2, 1, 2, constant=0.4),
    "median": Cost(0.3, 1, 1, constant=0.5),
    "surrogate": Cost(0.3, 1, 1, constant=0.5),
}
OTHERS = Cost(0.3, 2, 1, constant=0.5)  # neighbours compare all pairs of rows


def seconds_at(method: str, n_rows: int, n_genes: int) -> float:
    """Rough seconds on one core to fit a method to rows and fill them.

    Parameters
    ----------
    method : str
        Key of `reproduce.imputers.METHODS`.
    n_rows, n_genes : int
    """
    cost = COSTS.get(method, OTHERS)
    growth = (n_rows / REFERENCE_ROWS) ** cost.rows * (n_genes / REFERENCE_GENES) ** cost.genes
    return cost.seconds * (cost.constant + (1 - cost.constant) * growth)


def duration(seconds: float) -> str:
    """A time in the unit in which one would say it."""
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.1f} {unit}" if unit == "h" else f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:,.0f} days"
