"""Chooses the method for a matrix by its size, from what was measured on real data; never looks at a value.

Accuracy decides: of the methods that are done within one's patience and memory, the one that the study found best is
taken (`reproduce.imputers.advice`). Where it would take too long, the conditional Gaussian does nearly as well up to
about a thousand genes, and the low-rank Gaussian beyond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reproduce.errors import ConfigError
from reproduce.imputers import METHODS
from reproduce.imputers.costs import duration, seconds_at

#: What one waits for without being asked, seconds, and the memory that is taken to be there, GB.
PATIENCE_SECONDS, MOST_GIGABYTES = 600.0, 12.0
#: Fewer known values of a gene than this, on average, tell nothing of how genes go together.
LEAST_KNOWN = 3.5
#: Methods with a covariance of genes × genes are for so many; beyond, factors stand for it.
SQUARE_GENES = 1_000
#: Seconds for 700 samples × 300 genes with holes, and the power of the genes with which they grow; a mixture's where
#: EM settles in two rounds.
WITH_HOLES = {"mixture": (28.0, 2.1), "gaussian": (7.0, 2.7)}
#: Samples a gene up to which it does so, and how many times as long the most rounds take.
FEW_SAMPLES, MOST_ROUNDS = 4.0, 6.0
#: Until a first fit begins, for libraries that it needs.
START_SECONDS = 0.6
#: Entries of the rows on which intervals are checked, at most.
CALIBRATION_ENTRIES = 2_000_000
#: To check them, as a share of a fit's seconds; and seconds an entry of a mixture, whose quantiles have no formula,
#: with the genes at which that has doubled.
INTERVALS_SHARE, INTERVALS_OF_MIXTURE = 0.5, (2.8e-4, 250)
#: What Python and the libraries hold, GB, and matrices of 8 bytes an entry that are held at the same time.
PROGRAM_GIGABYTES, COPIES = 0.3, 6.0
#: With TensorFlow's libraries.
NETWORK_GIGABYTES = 1.0
#: Methods whose arithmetic is on a matrix of genes × genes, and how many such matrices they hold.
SQUARES = {"gaussian": 8, "mixture": 60, "best": 60, "fast_mice": 4, "transfer": 30}
NETWORKS = frozenset({"pmi", "pmi_tuned", "gain", "gain_mse", "best"})
#: Other cohorts, or other samples of the same donors, are needed; a matrix alone does not do.
NOT_FOR_ONE_MATRIX = frozenset({"transfer", "surrogate"})


@dataclass(frozen=True)
class Choice:
    """A method with why it was chosen and what it is expected to take.

    Attributes
    ----------
    method : str
        Key of `reproduce.imputers.METHODS`.
    parameters : mapping
        Hyperparameters that are not its defaults.
    reason : str
        One sentence.
    seconds, gigabytes : float
        Rough, of one core, to fit and fill once.
    """

    method: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    gigabytes: float = 0.0

    @property
    def label(self) -> str:
        return METHODS[self.method].label


def choose_method(
    n_samples: int,
    n_genes: int,
    missing_rate: float,
    *,
    inductive: bool,
    patience_seconds: float = PATIENCE_SECONDS,
    gigabytes: float = MOST_GIGABYTES,
) -> Choice:
    """The method for a matrix of this size.

    Parameters
    ----------
    n_samples, n_genes : int
    missing_rate : float
        Fraction of entries that are missing.
    inductive : bool
        Whether the fit is kept for other samples.
    patience_seconds : float, default 600
    gigabytes : float, default 12
        Memory that may be used.

    Returns
    -------
    Choice

    Raises
    ------
    ConfigError
        For a size below 1 × 1, or times and memory that are not positive.
    """
    if n_samples < 1 or n_genes < 1 or not patience_seconds > 0 or not gigabytes > 0:
        raise ConfigError(
            f"{n_samples} samples, {n_genes} genes, {patience_seconds:g} s and {gigabytes:g} GB: all must be positive."
        )
    shape = (n_samples, n_genes)
    known = n_samples * (1 - missing_rate)
    if known < LEAST_KNOWN or n_genes == 1:
        few = f"{known:.1f} known values a gene are too few to tell how genes go together"
        why = "one gene has no others to learn from" if n_genes == 1 else few
        return estimated("median", shape, f"{why}: each hole gets its gene's median")
    from reproduce.imputers.advice import advised_method

    best = advised_method("inductive" if inductive else "in_place")
    passed = []
    for method in dict.fromkeys([best, "mixture", "gaussian", "low_rank"]):
        if method in SQUARES and n_genes > SQUARE_GENES:
            passed.append(f"{METHODS[method].label} is for at most {SQUARE_GENES:,} genes")
            continue
        choice = estimated(method, shape, "")
        if choice.seconds > patience_seconds:
            passed.append(f"{choice.label} would take about {duration(choice.seconds)}")
        elif choice.gigabytes > gigabytes:
            passed.append(f"{choice.label} would take about {choice.gigabytes:.1f} GB")
        else:
            return estimated(method, shape, _reason(method, best, shape, passed))
    return estimated("low_rank", shape, f"nothing that fills well is quicker or smaller ({'; '.join(passed)})")


def estimated(
    method: str,
    shape: tuple[int, int],
    reason: str,
    parameters: Mapping[str, object] | None = None,
) -> Choice:
    """A method that is given, with what it is expected to take on a matrix (n_samples, n_genes)."""
    if method not in METHODS:
        raise ConfigError(f"Unknown method {method!r}; known are {', '.join(METHODS)}.")
    seconds = _seconds(method, *shape)
    return Choice(method, dict(parameters or {}), reason, seconds, _gigabytes(method, *shape))


def measuring_seconds(choice: Choice, shape: tuple[int, int], *, intervals: bool) -> float:
    """Rough seconds to fit and fill once more with known entries of a matrix (n_samples, n_genes) hidden.

    Parameters
    ----------
    choice : Choice
    shape : tuple of int
    intervals : bool
        Whether intervals are checked as well.
    """
    if not intervals:
        return choice.seconds
    if choice.method != "mixture":
        return (1 + INTERVALS_SHARE) * choice.seconds
    seconds, double = INTERVALS_OF_MIXTURE
    return choice.seconds + seconds * (1 + shape[1] / double) * min(shape[0] * shape[1], CALIBRATION_ENTRIES)


def _reason(method: str, best: str, shape: tuple[int, int], passed: list[str]) -> str:
    size = f"{shape[0]:,} samples × {shape[1]:,} genes"
    if method == best:
        return f"it filled most accurately in the study's comparisons, and {size} are within its reach"
    return f"the most accurate that is practical for {size} ({'; '.join(passed)})"


def _gigabytes(method: str, n_samples: int, n_genes: int) -> float:
    squares = SQUARES.get(method, 0)
    entries = COPIES * n_samples * n_genes + squares * n_genes**2
    return PROGRAM_GIGABYTES + 8 * entries / 1e9 + (NETWORK_GIGABYTES if method in NETWORKS else 0.0)


def _seconds(method: str, n_samples: int, n_genes: int) -> float:
    """Rough seconds to fit and fill on one core.

    Of the three that are chosen by themselves as measured on real matrices with 30 % missing (500 to 10 million
    entries). Of more samples than a few for each gene a mixture's EM takes up to 15 rounds, else two. A low-rank
    Gaussian's rank is chosen by several fits to all of a small matrix and one to a part of a large one.
    """
    thousands = n_samples * n_genes / 1e3
    if method == "low_rank":
        return START_SECONDS + 0.055 * min(thousands, 500) + 3e-4 * thousands
    if method in WITH_HOLES:
        seconds, power = WITH_HOLES[method]
        rounds = min(max(n_samples / n_genes / FEW_SAMPLES, 1.0) ** 1.5, MOST_ROUNDS) if method == "mixture" else 1.0
        return START_SECONDS + seconds * rounds * (n_samples / 700) * (n_genes / 300) ** power
    return seconds_at(method, n_samples, n_genes)
