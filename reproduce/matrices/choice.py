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
#: Fewer samples than this tell nothing of how genes go together.
LEAST_SAMPLES = 4
#: The Gaussian's covariance of genes × genes; beyond, factors stand for it.
GAUSSIAN_GENES = 1_000
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
    if n_samples < LEAST_SAMPLES or n_genes == 1:
        why = "one gene has no others to learn from" if n_genes == 1 else f"{n_samples} samples are too few"
        return estimated("median", shape, missing_rate, f"{why}: each hole gets its gene's median")
    from reproduce.imputers.advice import advised_method

    best = advised_method("inductive" if inductive else "in_place", patience_seconds)
    passed = []
    for method in dict.fromkeys([best, "mixture", "gaussian", "low_rank"]):
        if method == "gaussian" and n_genes > GAUSSIAN_GENES:
            passed.append(f"{METHODS[method].label} is made for at most {GAUSSIAN_GENES:,} genes")
            continue
        choice = estimated(method, shape, missing_rate, "")
        if choice.seconds > patience_seconds:
            passed.append(f"{choice.label} would take about {duration(choice.seconds)}")
        elif choice.gigabytes > gigabytes:
            passed.append(f"{choice.label} would take about {choice.gigabytes:.1f} GB")
        else:
            return estimated(method, shape, missing_rate, _reason(method, best, shape, passed))
    return estimated(
        "low_rank", shape, missing_rate, f"nothing that fills well is quicker or smaller ({'; '.join(passed)})"
    )


def estimated(
    method: str,
    shape: tuple[int, int],
    missing_rate: float,
    reason: str,
    parameters: Mapping[str, object] | None = None,
) -> Choice:
    """A method that is given, with what it is expected to take on a matrix (n_samples, n_genes)."""
    if method not in METHODS:
        raise ConfigError(f"Unknown method {method!r}; known are {', '.join(METHODS)}.")
    seconds = _seconds(method, *shape, missing_rate)
    return Choice(method, dict(parameters or {}), reason, seconds, _gigabytes(method, *shape))


def _reason(method: str, best: str, shape: tuple[int, int], passed: list[str]) -> str:
    size = f"{shape[0]:,} samples × {shape[1]:,} genes"
    if method == best:
        return f"it filled most accurately in the study's comparisons, and {size} are within its reach"
    return f"the most accurate that is practical for {size} ({'; '.join(passed)})"


def _gigabytes(method: str, n_samples: int, n_genes: int) -> float:
    squares = SQUARES.get(method, 0)
    entries = COPIES * n_samples * n_genes + squares * n_genes**2
    return PROGRAM_GIGABYTES + 8 * entries / 1e9 + (NETWORK_GIGABYTES if method in NETWORKS else 0.0)


def _seconds(method: str, n_samples: int, n_genes: int, missing_rate: float) -> float:
    """Rough seconds to fit and fill; of the low-rank Gaussian measured from 0.4 to 20 million entries with holes.

    Its rank is chosen on a part of a large matrix, so that this does not grow beyond two million entries.
    """
    if method == "low_rank":
        millions = n_samples * n_genes / 1e6
        return 0.3 + 10 * min(millions, 2.0) + 0.3 * millions
    return seconds_at(method, n_samples, n_genes)
