"""Tests stated claims on the results table, with intervals and verdicts; never runs a method and never draws.

**Unit.** One difference per seed: a seed is a donor split, an evaluation mask and a random state, the same for both
methods, so differences are paired. Genes and samples are not units: they share donors.

**Contrast.** Seeds share donors, so their differences are correlated, and the usual t test, which takes them for
independent, finds differences where there are none. If each seed scores a random fraction f of the donors, the
variance of the mean of J differences is estimated by

    (1/J + f/(1 − f)) · s²          (Nadeau and Bengio 2003: n_test/n_train is f/(1 − f))

with s² their sample variance; the reference distribution is t with J − 1 degrees of freedom.

**Margin.** A claim "A beats B" is taken to mean a difference Δ that is larger than a practical margin δ, fixed
beforehand.

- *supported*: Δ > δ is shown (one-sided p below α/2, so for one contrast: the interval lies above δ);
- *refuted*: Δ < δ is shown (for one contrast: the interval lies below δ; the gain, if there is any, is too small to
  matter);
- *inconclusive*: neither; also if there are fewer seeds than required, or a method has no results.

**Claims with several contrasts.** "One of the networks beats all rivals" is not tested by picking the network that
looks best:

- a network beats *all* rivals if it beats each one: its p is the largest over rivals (intersection–union test);
- *some* network does: twice the smaller p for two networks (union–intersection, Bonferroni);
- it is refuted if for *every* network (largest p) there is *some* rival (p times the number of rivals) it does not
  beat by the margin.

**Many claims.** The p values of all claims are adjusted by Holm, for support and for refutation separately, before
the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from reproduce.errors import ConfigError
from reproduce.experiments.trials import EVALUATED_FRACTION

CONFIDENCE = 0.95
REQUIRED_SPLITS = 10
MARGIN = 0.01  # R²


@dataclass(frozen=True)
class Hypothesis:
    """A claim, in the form in which it is tested.

    Attributes
    ----------
    id, statement, source : str
        `source` says where the claim is made.
    challengers : tuple of str
        The claim holds if *one* of these methods beats all rivals.
    rivals : tuple of str
        Empty: the challenger's score itself must exceed the margin (R² of the cohort mean is 0).
    scenario, test : str
        Which rows of the results table.
    metric : str
    margin : float
        Smallest difference that matters, in the metric's unit.
    training_rows : {"complete", "masked"}
        What methods were fitted on where these rows are not the filled ones; the same for all, so that none is
        handicapped.
    """

    id: str
    statement: str
    source: str
    challengers: tuple[str, ...]
    rivals: tuple[str, ...]
    scenario: str
    test: str = "GTEx"
    metric: str = "r2"
    margin: float = MARGIN
    transform: str = "log1p"
    missing_rate: float = 0.5
    training_rows: str = "complete"


#: k-NN enters with k = 10, the paper's best: fixed beforehand, not chosen by the scores at hand.
RIVALS = ("mice", "knn_10", "median")

HYPOTHESES = (
    Hypothesis(
        id="H1",
        statement="Inductively, PMI or GAIN-GTEx beats MICE, 10-NN and the tissue median.",
        source="student study, H1; paper, Tables 1 and 2",
        challengers=("pmi", "gain"),
        rivals=RIVALS,
        scenario="inductive",
    ),
    Hypothesis(
        id="H2",
        statement="In place, PMI or GAIN-GTEx beats MICE, 10-NN and the tissue median.",
        source="student study, H2; paper, Tables 1 and 2",
        challengers=("pmi", "gain"),
        rivals=RIVALS,
        scenario="in_place",
    ),
    Hypothesis(
        id="H3",
        statement="Inductively, PMI beats GAIN-GTEx.",
        source="student study, H3; paper, Tables 1 and 2",
        challengers=("pmi",),
        rivals=("gain",),
        scenario="inductive",
    ),
    Hypothesis(
        id="H3a",
        statement="Inductively, PMI beats GAIN-GTEx even when GAIN trains without its discriminator.",
        source="student study, ablation; paper, Tables 1 and 2",
        challengers=("pmi",),
        rivals=("gain_mse",),
        scenario="inductive",
    ),
    Hypothesis(
        id="T1",
        statement="Fitted on normal tissue, PMI or GAIN fills lung tumours better than their own gene means.",
        source="paper, figure of R² against missing rate for TCGA",
        challengers=("pmi", "gain"),
        rivals=(),
        scenario="cross_cohort",
        test="LUAD",
    ),
    Hypothesis(
        id="T2",
        statement="Fitted on normal tissue, PMI or GAIN fills colorectal tumours better than their own gene means.",
        source="student study's plan: transfer to TCGA",
        challengers=("pmi", "gain"),
        rivals=(),
        scenario="cross_cohort",
        test="COADREAD",
    ),
)


def overlap_ratio(scenario: str) -> float:
    """f/(1 − f) for the fraction f of the scored cohort's donors that one seed scores."""
    if scenario not in EVALUATED_FRACTION:
        raise ConfigError(f"Unknown scenario {scenario!r}; known are {', '.join(EVALUATED_FRACTION)}.")
    fraction = EVALUATED_FRACTION[scenario]
    return fraction / (1.0 - fraction)


@dataclass(frozen=True)
class Contrast:
    """Mean difference with its interval, and evidence on either side of a margin.

    Attributes
    ----------
    mean, low, high : float
    p_above : float
        One-sided p of "the difference is not above the margin".
    p_below : float
        One-sided p of "the difference is not below the margin".
    n_splits : int
    """

    mean: float
    low: float
    high: float
    p_above: float
    p_below: float
    n_splits: int


def corrected_t(differences, ratio: float, *, margin: float = 0.0, confidence: float = CONFIDENCE) -> Contrast:
    """t test and interval for the mean of differences between overlapping splits.

    Parameters
    ----------
    differences : array-like (n_splits,)
        One paired difference per split.
    ratio : float
        f/(1 − f), see the module; 0 gives the ordinary t test.
    margin : float, default 0
    confidence : float, default 0.95

    Returns
    -------
    Contrast
        With a single split the interval is infinite and both p are 1.

    Raises
    ------
    ConfigError
        For no difference, one that is not finite, or a negative ratio.

    Notes
    -----
    Nadeau and Bengio, Inference for the generalization error, Machine Learning 52 (2003), eq. 12.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ConfigError("Differences must be a non-empty list of finite numbers, one per split.")
    if ratio < 0 or not 0 < confidence < 1:
        raise ConfigError(f"ratio is {ratio} and confidence {confidence}; give ratio >= 0 and 0 < confidence < 1.")
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Contrast(mean, -np.inf, np.inf, 1.0, 1.0, 1)
    error = float(np.sqrt((1.0 / n + ratio) * values.var(ddof=1)))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * error
    if error == 0.0:
        # no variation between splits at all: the sign of the difference is certain
        p_above, p_below = float(mean <= margin), float(mean >= margin)
    else:
        p_above, p_below = (float(stats.t.sf(sign * (mean - margin) / error, n - 1)) for sign in (1, -1))
    return Contrast(mean, mean - half, mean + half, p_above, p_below, n)


def scores_by_seed(results: pd.DataFrame, hypothesis: Hypothesis, method: str) -> pd.Series:
    """Overall score of a method at each seed, as the hypothesis asks for it.

    Raises
    ------
    ConfigError
        If the table holds more than one configuration of the method: which one is meant cannot be guessed.
    """
    rows = results[
        (results["status"] == "ok")
        & (results["method"] == method)
        & (results["scenario"] == hypothesis.scenario)
        & (results["test"] == hypothesis.test)
        & (results["metric"] == hypothesis.metric)
        & (results["level"] == "overall")
        & (results["transform"] == hypothesis.transform)
        & (results["mechanism"] == "mcar")
        & (results["variant"] == "")
        & np.isclose(results["missing_rate"].astype(float), hypothesis.missing_rate)
    ]
    if hypothesis.scenario != "in_place":
        rows = rows[rows["training_rows"] == hypothesis.training_rows]
    if rows["seed"].duplicated().any():
        raise ConfigError(
            f"The results hold several trials of {method!r} per seed for {hypothesis.id} "
            f"(configurations {', '.join(sorted(rows['config_hash'].unique()))}); pass the rows of one configuration."
        )
    return rows.set_index("seed")["value"].astype(float).dropna().sort_index()


def contrasts(results: pd.DataFrame, hypotheses: Iterable[Hypothesis] = HYPOTHESES) -> pd.DataFrame:
    """Every paired comparison that the hypotheses are made of.

    Parameters
    ----------
    results : DataFrame
        The results table.
    hypotheses : iterable of Hypothesis

    Returns
    -------
    DataFrame
        Columns id, challenger, rival ("" = the margin itself), mean, low, high (95 % interval, not adjusted for the
        number of contrasts), p_above, p_below, n_splits, margin. Contrasts without a common seed have n_splits 0 and
        NaN.
    """
    rows = []
    for hypothesis in hypotheses:
        ratio = overlap_ratio(hypothesis.scenario)
        for challenger in hypothesis.challengers:
            ours = scores_by_seed(results, hypothesis, challenger)
            for rival in hypothesis.rivals or ("",):
                theirs = scores_by_seed(results, hypothesis, rival) if rival else ours * 0.0
                differences = (ours - theirs).dropna()
                empty = Contrast(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
                contrast = corrected_t(differences, ratio, margin=hypothesis.margin) if len(differences) else empty
                rows.append({"id": hypothesis.id, "challenger": challenger, "rival": rival, **vars(contrast)})
    table = pd.DataFrame(rows)
    return table.assign(margin=table["id"].map({h.id: h.margin for h in hypotheses}))


def _combine(hypothesis: Hypothesis, table: pd.DataFrame) -> dict[str, object]:
    """p values of the whole claim, and the contrast on which it hangs; see the module's rules."""
    by_challenger = table.groupby("challenger", sort=False)
    supported = by_challenger["p_above"].max()
    refuted = (by_challenger["p_below"].min() * max(1, len(hypothesis.rivals))).clip(upper=1.0)
    # the network closest to beating everybody, and the rival that is hardest for it
    candidate = table[table["challenger"] == supported.idxmin()]
    binding = candidate.loc[candidate["mean"].idxmin()]
    return {
        "challenger": binding["challenger"],
        "rival": binding["rival"],
        "effect": binding["mean"],
        "low": binding["low"],
        "high": binding["high"],
        "p_supported": min(1.0, len(supported) * float(supported.min())),
        "p_refuted": float(refuted.max()),
    }


def _why_not_testable(table: pd.DataFrame, required_splits: int) -> str:
    absent = table.loc[table["n_splits"] == 0]
    if len(absent):
        pair = absent.iloc[0]
        return f"no common split of {pair['challenger']}" + (f" and {pair['rival']}" if pair["rival"] else "")
    fewest = int(table["n_splits"].min())
    splits = f"{fewest} split{'s' * (fewest != 1)}"
    return f"only {splits}, {required_splits} are required" if fewest < required_splits else ""


def verdicts(
    results: pd.DataFrame,
    hypotheses: Iterable[Hypothesis] = HYPOTHESES,
    *,
    confidence: float = CONFIDENCE,
    required_splits: int = REQUIRED_SPLITS,
) -> pd.DataFrame:
    """The verdict on each hypothesis, by the rules of the module.

    Parameters
    ----------
    results : DataFrame
        The results table.
    hypotheses : iterable of Hypothesis
    confidence : float, default 0.95
    required_splits : int, default 10
        With fewer, the verdict is "inconclusive", whatever the p values.

    Returns
    -------
    DataFrame
        Columns id, statement, source, margin, challenger and rival of the binding contrast, its effect, low and high,
        p_supported and p_refuted (before Holm), p_supported_holm and p_refuted_holm, n_splits, verdict, reason.
    """
    hypotheses = tuple(hypotheses)
    every = contrasts(results, hypotheses)
    rows = []
    for hypothesis in hypotheses:
        table = every[every["id"] == hypothesis.id]
        fixed = {"id": hypothesis.id, "statement": hypothesis.statement, "source": hypothesis.source}
        fixed |= {"scenario": hypothesis.scenario, "test": hypothesis.test, "margin": hypothesis.margin}
        blank = {"challenger": "", "rival": "", "effect": np.nan, "low": np.nan, "high": np.nan}
        combined = (
            _combine(hypothesis, table)
            if table["n_splits"].min() > 0
            else blank | {"p_supported": 1.0, "p_refuted": 1.0}
        )
        why_not = _why_not_testable(table, required_splits)
        rows.append({**fixed, **combined, "n_splits": int(table["n_splits"].min()), "reason": why_not})
    return decide(pd.DataFrame(rows), alpha=(1 - confidence) / 2)


def decide(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Adjust p values by Holm and give verdicts.

    Parameters
    ----------
    table : DataFrame
        Columns p_supported, p_refuted, and reason: why a claim could not be tested; empty where it could. One that
        could not takes no share of the error.
    alpha : float
        One-sided.

    Returns
    -------
    DataFrame
        With columns p_supported_holm, p_refuted_holm, verdict, and reason filled for all.
    """
    testable = table["reason"] == ""
    for side in ("p_supported", "p_refuted"):
        table[f"{side}_holm"] = np.nan
        if testable.any():
            table.loc[testable, f"{side}_holm"] = holm(table.loc[testable, side])
    supported, refuted = table["p_supported_holm"] < alpha, table["p_refuted_holm"] < alpha
    table["verdict"] = np.select([supported, refuted], ["supported", "refuted"], "inconclusive")
    reasons = np.select(
        [supported, refuted],
        ["the difference exceeds the margin", "the difference does not reach the margin"],
        "the difference may lie on either side of the margin",
    )
    table["reason"] = table["reason"].where(~testable, pd.Series(reasons, index=table.index))
    return table


def holm(p_values) -> np.ndarray:
    """Holm's step-down adjustment of p values (family-wise error), in the order given."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(np.asarray(p_values, dtype=float), method="holm")[1]
