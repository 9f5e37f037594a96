"""Turns stored transfer trials into curves, verdicts on "never worse", genes, and sentences; never runs a method.

**Intervals** are over seeds. A seed hides a random part r of all entries and deals the patients out anew, so two seeds
share hidden entries, and the variance of a mean is corrected as that of overlapping splits with f = r (Nadeau and
Bengio, see `reproduce.hypotheses`). They tell how much depends on the holes and the dealing; the patients of a cohort
are the same in all seeds.

**Never worse.** Transfer is compared with the better of its two ends, the target alone and the references alone, at
each number of patients. Which of the two is better is decided by their means over seeds, which favours them. The rule
is *supported* where the interval of the difference lies above −δ, *refuted* where it lies below −δ, *inconclusive*
otherwise, with δ the study's practical margin in R².
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.experiments.transfer import ARMS, REFERENCE_ONLY, TARGET_ONLY, TRANSFER, TransferTrial
from reproduce.hypotheses import MARGIN, corrected_t
from reproduce.tables.summaries import finished_scores
from reproduce.tables.wording import with_intervals

_CURVE = ["target", "arm", "references", "n_patients"]
SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"


def references_text(names: Iterable[str]) -> str:
    """Reference cohorts in words; "none" for the target alone."""
    return " + ".join(names) or "none"


def arm_label(arm: str, references: str) -> str:
    """An arm in words, with its references."""
    return arm if arm == TARGET_ONLY else f"{arm}, {references}"


def seed_scores(results: pd.DataFrame, plan: Sequence[TransferTrial], study, *, level: str = "overall") -> pd.DataFrame:
    """R² of every trial of a plan.

    Parameters
    ----------
    results : DataFrame
        Rows of `reproduce.experiments.transfer.run_transfer`.
    plan : sequence of TransferTrial
    study : reproduce.loaders.study.Study
        Of `transfer_study`.
    level : {"overall", "gene"}

    Returns
    -------
    DataFrame
        Columns target, arm, references (text), n_patients (int; the cohort's size for all), whole (bool), gene
        ("all" overall), seed, missing_rate, value.

    Raises
    ------
    DataFormatError
        If a trial of the plan is not in the results, or failed.
    """
    planned = {each.trial.trial_id(study.fingerprint): each for each in plan}
    chosen = finished_scores(results[results["trial_id"].isin(planned)], level)
    absent = [each for key, each in planned.items() if key not in set(chosen["trial_id"])]
    if absent:
        raise DataFormatError(f"Results hold no scores of {len(absent)} trials ({absent[0].trial.describe()}, …).")
    sizes = {each.trial.test: study.cohorts[each.trial.test].n_obs for each in plan}
    of_row = [planned[trial_id] for trial_id in chosen["trial_id"]]
    return pd.DataFrame(
        {
            "target": [each.trial.test for each in of_row],
            "arm": [each.arm for each in of_row],
            "references": [references_text(each.references) for each in of_row],
            "n_patients": [each.n_patients or sizes[each.trial.test] for each in of_row],
            "whole": [each.n_patients is None for each in of_row],
            "gene": chosen["group"].astype(str).to_numpy(),
            "seed": chosen["seed"].to_numpy(),
            "missing_rate": chosen["missing_rate"].astype(float).to_numpy(),
            "value": chosen["value"].astype(float).to_numpy(),
        }
    )


def _contrast(values: pd.Series, missing_rate: float):
    return corrected_t(values, missing_rate / (1 - missing_rate))


def curve_table(scores: pd.DataFrame) -> pd.DataFrame:
    """R² against the number of patients.

    Parameters
    ----------
    scores : DataFrame
        Of `seed_scores`, overall.

    Returns
    -------
    DataFrame
        Columns target, arm, references, n_patients, mean, low, high (95 % over seeds; infinite for one), n_seeds; arm
        by arm, the smallest groups first.
    """
    rows = []
    for key, part in scores.groupby(_CURVE, sort=False):
        found = _contrast(part["value"], part["missing_rate"].iloc[0])
        rows.append((*key, found.mean, found.low, found.high, found.n_splits))
    table = pd.DataFrame(rows, columns=[*_CURVE, "mean", "low", "high", "n_seeds"])
    place = {arm: position for position, arm in enumerate(ARMS)}
    order = table.assign(place=table["arm"].map(place))
    return order.sort_values(["target", "place", "references", "n_patients"], ignore_index=True).drop(columns="place")


def show_curves(table: pd.DataFrame) -> pd.DataFrame:
    """`curve_table` as a reader wants it: one row per curve, one column per number of patients."""
    labels = [arm_label(*pair) for pair in zip(table["arm"], table["references"], strict=True)]
    wide = table.assign(method=labels, cell=table["mean"].map("{:.3f}".format)).pivot(
        index=["target", "method"], columns="n_patients", values="cell"
    )
    order = pd.MultiIndex.from_arrays([table["target"], labels]).drop_duplicates()
    wide = wide.reindex(order).fillna("–")
    wide.columns = [f"n = {n}" for n in wide.columns]
    return wide.rename_axis(["target", "method"]).reset_index()


def rule_table(scores: pd.DataFrame, *, margin: float = MARGIN) -> pd.DataFrame:
    """Transfer against the better of the target alone and the same references alone.

    Parameters
    ----------
    scores : DataFrame
        Of `seed_scores`, overall.
    margin : float, default 0.01
        Difference in R² that does not matter.

    Returns
    -------
    DataFrame
        Columns target, references, n_patients, transfer, better (R², means over seeds), better_arm, difference, low,
        high (95 %), gain (over the target alone), margin, verdict, n_seeds.

    Raises
    ------
    DataFormatError
        If transfer has no partner at one of its seeds.
    """
    rows = []
    keys = ["target", "references", "n_patients"]
    for (target, references, n), part in scores[scores["arm"] == TRANSFER].groupby(keys, sort=False):
        here = scores[(scores["target"] == target) & (scores["n_patients"] == n)]
        ends = {
            TARGET_ONLY: here[here["arm"] == TARGET_ONLY],
            REFERENCE_ONLY: here[(here["arm"] == REFERENCE_ONLY) & (here["references"] == references)],
        }
        ours = part.set_index("seed")["value"]
        others = {arm: end.set_index("seed")["value"].reindex(ours.index) for arm, end in ends.items()}
        if any(values.isna().any() for values in others.values()):
            raise DataFormatError(f"{target} with {references}, n = {n}: transfer has no partner at one of its seeds.")
        better_arm = max(others, key=lambda arm: others[arm].mean())
        found = _contrast(ours - others[better_arm], part["missing_rate"].iloc[0])
        row = {"target": target, "references": references, "n_patients": n, "transfer": ours.mean()}
        row |= {"better": others[better_arm].mean(), "better_arm": better_arm, "difference": found.mean}
        row |= {"low": found.low, "high": found.high, "gain": (ours - others[TARGET_ONLY]).mean(), "margin": margin}
        rows.append(row | {"verdict": _verdict(found.low, found.high, margin), "n_seeds": found.n_splits})
    columns = [*keys, "transfer", "better", "better_arm", "difference", "low", "high", "gain", "margin", "verdict"]
    table = pd.DataFrame(rows, columns=[*columns, "n_seeds"])
    return table.sort_values(keys, ignore_index=True)


def _verdict(low: float, high: float, margin: float) -> str:
    if low > -margin:
        return SUPPORTED
    return REFUTED if high < -margin else INCONCLUSIVE


def show_rule(table: pd.DataFrame) -> pd.DataFrame:
    """`rule_table` as a reader wants it."""
    return pd.DataFrame(
        {
            "target": table["target"],
            "references": table["references"],
            "patients": table["n_patients"],
            "transfer": table["transfer"].map("{:.3f}".format),
            "better of the two ends": [f"{row.better:.3f} ({row.better_arm})" for row in table.itertuples(index=False)],
            "difference in R² [95 %]": with_intervals(table, "difference", sign="+"),
            "never worse": table["verdict"],
        }
    )


def gene_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Which genes transfer: R² of each gene with references and without.

    Parameters
    ----------
    scores : DataFrame
        Of `seed_scores` at level "gene".

    Returns
    -------
    DataFrame
        Columns target, references, n_patients, gene, target_only, reference_only, transfer (R², means over seeds),
        gain (transfer − target only), low, high (95 %), transfers (the interval lies above 0), n_seeds. Genes that
        gain most first. A gene whose R² is undefined at a seed is compared at the others.
    """
    rows = []
    keys = ["target", "references", "n_patients"]
    rate = float(scores["missing_rate"].iloc[0])
    for (target, references, n), part in scores[scores["arm"] == TRANSFER].groupby(keys, sort=False):
        here = scores[(scores["target"] == target) & (scores["n_patients"] == n)]
        ours = part.pivot(index="seed", columns="gene", values="value")
        alone = here[here["arm"] == TARGET_ONLY].pivot(index="seed", columns="gene", values="value")
        theirs = here[(here["arm"] == REFERENCE_ONLY) & (here["references"] == references)]
        theirs = theirs.pivot(index="seed", columns="gene", values="value")
        for gene in ours.columns:
            differences = (ours[gene] - alone[gene]).dropna()
            if differences.empty:
                continue
            found = _contrast(differences, rate)
            means = [frame[gene].mean() for frame in (alone, theirs, ours)]
            interval = (found.mean, found.low, found.high, found.low > 0, found.n_splits)
            rows.append((target, references, n, gene, *means, *interval))
    columns = [
        *keys,
        "gene",
        "target_only",
        "reference_only",
        "transfer",
        "gain",
        "low",
        "high",
        "transfers",
        "n_seeds",
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values([*keys, "gain"], ascending=[True, True, True, False], ignore_index=True)


# --- sentences ---


def say_transfer(table: pd.DataFrame) -> str:
    """What references are worth and whether they ever hurt; `table` of `rule_table`. One sentence for each target."""
    if table.empty:
        return "There are no tumours here that have normals of their tissue."
    if (table["n_seeds"] < 2).any():
        return "One seed: there is no interval, so nothing is concluded."
    sentences = []
    for target, part in table.groupby("target", sort=False):
        smallest = part[part["n_patients"] == part["n_patients"].min()]
        largest = part[part["n_patients"] == part["n_patients"].max()]
        best, last = smallest.loc[smallest["gain"].idxmax()], largest.loc[largest["gain"].idxmax()]
        counts = part["verdict"].value_counts()
        worst = part.loc[part["difference"].idxmin()]
        sentences.append(
            f"{target}: with {best['n_patients']} patients the R² of the target alone changes by {best['gain']:+.2f} "
            f"with the reference {best['references']} (to {best['transfer']:.2f}), with {last['n_patients']} by "
            f"{last['gain']:+.3f} with {last['references']} (to {last['transfer']:.3f}); it is no worse than the "
            f"better of target and references alone by more than {part['margin'].iloc[0]:g} in "
            f"{counts.get(SUPPORTED, 0)} of {len(part)} comparisons, worse in {counts.get(REFUTED, 0)}, and undecided "
            f"in {counts.get(INCONCLUSIVE, 0)} (least favourable: {worst['difference']:+.3f} with "
            f"{worst['references']} at n = {worst['n_patients']})."
        )
    return " ".join(sentences)


def say_genes(table: pd.DataFrame) -> str:
    """Which genes transfer at the smallest number of patients; `table` of `gene_table`."""
    if (table["n_seeds"] < 2).all():
        return "One seed: there is no interval, so nothing is concluded about single genes."
    sentences = []
    for (target, references), part in table.groupby(["target", "references"], sort=False):
        part = part[part["n_patients"] == part["n_patients"].min()]
        helped = part[part["transfers"]]
        hurt = int((part["high"] < 0).sum())
        first = ", ".join(helped["gene"].head(3)) if len(helped) else "none"
        median = float(np.median(part["gain"]))
        sentences.append(
            f"{target} from {references}, n = {part['n_patients'].iloc[0]}: {len(helped)} of {len(part)} genes are "
            f"filled better with it (most: {first}), {hurt} worse; median gain {median:+.2f}."
        )
    return " ".join(sentences)
