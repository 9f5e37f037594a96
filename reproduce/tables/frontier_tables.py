"""Scores against cost, by missing rate and by ingredient, and the advice that follows; never runs a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reproduce.experiments.frontier import KNOWN
from reproduce.experiments.trials import ORACLE, Trial
from reproduce.hypotheses import corrected_t, holm, overlap_ratio
from reproduce.tables import ranges
from reproduce.tables.ablation_tables import on_frontier
from reproduce.tables.summaries import finished_scores, label_of, score_table
from reproduce.tables.wording import with_intervals

#: What every method's gain is measured from: closed form, and nothing to tune.
REFERENCE = "gaussian"
#: R² that is not worth a slower method.
MARGIN = 0.002
#: Situations that advice tells apart, by the longest one is willing to wait for one matrix, seconds.
BUDGETS = {"at once (below 1 s)": 1.0, "in seconds (below 15 s)": 15.0, "whatever it takes": np.inf}
SCENARIO_WORDS = {"in_place": "holes in one's own matrix", "inductive": "new samples, after training on complete ones"}
#: Rise of R² with the missing rate that is taken for chance.
MONOTONE_SLACK = 0.003
PAPER = ("pmi", "gain", "gain_mse")
SIGNIFICANCE = 0.05
_SCALES = {"log1p": "log counts", "log1p_depth": "log counts, depth removed"}


def frontier_table(results: pd.DataFrame) -> pd.DataFrame:
    """Score, cost and gain over the conditional Gaussian of each method.

    Parameters
    ----------
    results : DataFrame
        Rows of `reproduce.experiments.frontier.frontier_plan`'s trials.

    Returns
    -------
    DataFrame
        Columns as of `reproduce.tables.summaries.score_table`, and gain, gain_low, gain_high (paired difference from
        the conditional Gaussian on the same splits, 95 % interval corrected for their overlap), on_frontier (no other
        method scores as high in as little time). Best first within each scenario and scale.
    """
    table = score_table(results)
    values = _by_seed(results)
    gains = []
    for row in table.to_dict("records"):
        key = (row["scenario"], row["transform"], row["missing_rate"])
        own, reference = values[(*key, row["method"])], values.get((*key, REFERENCE))
        gains.append(_difference(own, reference, row["scenario"]))
    table[["gain", "gain_low", "gain_high"]] = np.array(gains, dtype=float).reshape(len(table), 3)
    table["on_frontier"] = False
    for _, rows in table[table["method"] != ORACLE].groupby(["scenario", "transform", "missing_rate"]):
        table.loc[rows.index, "on_frontier"] = on_frontier(rows["seconds"], rows["mean"])
    order = ["scenario", "transform", "missing_rate", "mean"]
    return table.sort_values(order, ascending=[True, True, True, False], ignore_index=True)


def _by_seed(results: pd.DataFrame) -> dict[tuple, pd.Series]:
    """Overall R² by seed of each (scenario, scale, missing rate, method)."""
    by_method = finished_scores(results).groupby(["scenario", "transform", "missing_rate", "method"])
    return {key: group.set_index("seed")["value"].sort_index() for key, group in by_method}


def _difference(own: pd.Series, other: pd.Series | None, scenario: str) -> tuple[float, float, float]:
    """Mean and interval of the paired difference; NaN where there is nothing to pair."""
    if other is None or own is other:
        return (np.nan, np.nan, np.nan)
    paired = (own - other).dropna()
    if paired.empty:
        return (np.nan, np.nan, np.nan)
    contrast = corrected_t(paired.to_numpy(float), overlap_ratio(scenario))
    return contrast.mean, contrast.low, contrast.high


def show_frontier(table: pd.DataFrame) -> pd.DataFrame:
    """A frontier table as a reader wants it."""
    return pd.DataFrame(
        {
            "method": table["label"],
            "R²": with_intervals(table, limits=ranges.R2),
            "gain over the conditional Gaussian": with_intervals(table, "gain", ("gain_low", "gain_high"), sign="+"),
            "seconds": table["seconds"].map("{:.3g}".format),
            "on the frontier": table["on_frontier"].map({True: "yes", False: ""}),
            "splits": table["n_splits"],
        }
    )


def say_frontier(table: pd.DataFrame) -> str:
    """What the best method of each scenario reaches, in what time, and how far the paper's networks are."""
    sentences = []
    for scenario, words in SCENARIO_WORDS.items():
        rows = table[(table["scenario"] == scenario) & (table["method"] != ORACLE)]
        if rows.empty:
            continue
        best, paper = rows.iloc[0], rows[rows["method"].isin(PAPER)]
        text = f"For {words}, the best is {best['label']} (R² {best['mean']:.3f}, {_seconds(best['seconds'])})"
        if len(paper):
            which = "the better of the paper's networks" if len(paper) > 1 else "the paper's network"
            text += f"; {which}, {paper.iloc[0]['label']}, has {paper.iloc[0]['mean']:.3f}"
        best_possible = table[(table["scenario"] == scenario) & (table["method"] == ORACLE)]
        if len(best_possible):
            left = max(best_possible.iloc[0]["mean"] - best["mean"], 0.0)
            text += (
                f". On average nothing can exceed {best_possible.iloc[0]['mean']:.3f} here: {left:.3f} are left to gain"
            )
        sentences.append(text + ".")
    return " ".join(sentences)


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s"


def rate_table(results: pd.DataFrame) -> pd.DataFrame:
    """Score by missing rate: columns method, label, missing_rate, mean, low, high, n_splits; rates ascending."""
    columns = ["method", "label", "missing_rate", "mean", "low", "high", "n_splits"]
    return score_table(results)[columns].sort_values(["method", "missing_rate"], ignore_index=True)


def show_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Methods × missing rates, the best at one half first."""
    cells = table.assign(cell=with_intervals(table, limits=ranges.R2))
    wide = cells.pivot(index="label", columns="missing_rate", values="cell")
    middle = table.loc[(table["missing_rate"] - 0.5).abs().groupby(table["label"]).idxmin()].set_index("label")["mean"]
    wide = wide.loc[middle.sort_values(ascending=False).index]
    wide.columns = [f"{rate:.0%} hidden" for rate in wide.columns]
    return wide.rename_axis("method").reset_index()


def say_monotone(table: pd.DataFrame) -> str:
    """Which methods' R² rises somewhere as more is hidden."""
    rising = []
    for label, rows in table.groupby("label"):
        means = rows.sort_values("missing_rate")["mean"]
        rise = means - means.cummin()  # above the least so far: many small steps make a rise as one large step does
        if rise.max() > MONOTONE_SLACK:
            rising.append(f"{label} (by {rise.max():.3f}, to {rows.loc[rise.idxmax(), 'missing_rate']:.0%} hidden)")
    if not rising:
        return f"No method's R² rises by more than {MONOTONE_SLACK:g} as more is hidden: whatever is known helps."
    return (
        f"As more is hidden, R² *rises* somewhere by more than {MONOTONE_SLACK:g} for {', '.join(sorted(rising))}. At "
        "the lowest rates few entries of a gene are scored, and the R² of a gene is noisy and biased downwards."
    )


def show_scales(table: pd.DataFrame) -> pd.DataFrame:
    """Methods × scales of expression; `table` of `frontier_table`, one scenario and missing rate."""
    cells = table.assign(cell=with_intervals(table, limits=ranges.R2))
    wide = cells.pivot(index="label", columns="transform", values="cell").rename(columns=_SCALES)
    return wide[[name for name in _SCALES.values() if name in wide]].rename_axis("method").reset_index()


def say_scales(table: pd.DataFrame) -> str:
    """How much of each method's score goes with sequencing depth."""
    means = table.pivot(index="label", columns="transform", values="mean")
    if not {"log1p", "log1p_depth"} <= set(means):
        return "This preset does not remove depth."
    changed = (means["log1p_depth"] - means["log1p"]).dropna().sort_values()
    named = ", ".join(f"{label} {change:+.3f}" for label, change in changed.items())
    return (
        "Genes of one sample rise and fall together with its sequencing depth, and whatever is known of the sample "
        f"tells its depth. With depth removed R² changes by: {named}. What is lost was not biology."
    )


def ingredient_table(results: pd.DataFrame, plan: Mapping[str, Sequence[Trial]], fingerprint: str) -> pd.DataFrame:
    """What the tuned network loses without each of its parts.

    Parameters
    ----------
    results : DataFrame
    plan : mapping of str to sequence of Trial
        Of `reproduce.experiments.frontier.ingredient_plan`.
    fingerprint : str
        Of the study.

    Returns
    -------
    DataFrame
        Columns change, mean (R²), effect, low, high (paired difference from the whole, 95 % interval corrected for the
        overlap of splits), p (two-sided), seconds, n_splits, p_holm; the most harmful change first.
    """
    by_id = finished_scores(results).set_index("trial_id")
    scores, seconds = {}, {}
    for change, trials in plan.items():
        rows = by_id.loc[[trial.trial_id(fingerprint) for trial in trials]]
        scores[change] = rows.set_index("seed")["value"]
        seconds[change] = float((rows["fit_seconds"] + rows["impute_seconds"]).mean())
    rows = []
    for change, values in scores.items():
        paired = (values - scores[""]).dropna().to_numpy(float)
        contrast = corrected_t(paired, overlap_ratio("inductive"))
        p = 2 * min(contrast.p_above, contrast.p_below)
        effect = (contrast.mean, contrast.low, contrast.high, p) if change else (np.nan,) * 4
        rows.append((change, values.mean(), *effect, seconds[change], len(values)))
    columns = ["change", "mean", "effect", "low", "high", "p", "seconds", "n_splits"]
    table = pd.DataFrame(rows, columns=columns).sort_values("effect", na_position="first", ignore_index=True)
    tested = table["p"].notna()
    table["p_holm"] = np.nan
    if tested.any():
        table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"])
    return table


def show_ingredients(table: pd.DataFrame) -> pd.DataFrame:
    """An ingredient table as a reader wants it."""
    return pd.DataFrame(
        {
            "change": table["change"].replace("", "none (the whole)"),
            "R²": table["mean"].map("{:.3f}".format),
            "effect": with_intervals(table, "effect", sign="+"),
            "seconds": table["seconds"].map("{:.0f}".format),
            "splits": table["n_splits"],
        }
    )


def say_ingredients(table: pd.DataFrame) -> str:
    """Which parts of the tuned network matter."""
    changed = table[table["change"] != ""]
    if changed.empty:
        return "This preset leaves this question out: it takes no part of the tuned network away."
    sure = changed["p_holm"] < SIGNIFICANCE
    harmful, helpful = changed[sure & (changed["effect"] < 0)], changed[sure & (changed["effect"] > 0)]
    parts = []
    for rows, verb in ((harmful, "lowers"), (helpful, "raises")):
        if len(rows):
            named = ", ".join(f"{row.change} ({row.effect:+.3f})" for row in rows.itertuples())
            parts.append(f"what {verb} R² (p < {SIGNIFICANCE:g} after Holm): {named}")
    rest = len(changed) - len(harmful) - len(helpful)
    parts.append(f"{rest} of {len(changed)} changes cannot be told from none")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def advice_table(table: pd.DataFrame) -> pd.DataFrame:
    """The method to use for each scenario and patience: the cheapest whose R² is within `MARGIN` of the best.

    Parameters
    ----------
    table : DataFrame
        Of `frontier_table`, one scale and missing rate.

    Returns
    -------
    DataFrame
        Columns scenario, patience, limit_seconds, method, label, mean, seconds, best_known (the best of the paper's
        methods and baselines within the limit), best_known_mean.
    """
    rows = []
    for scenario in SCENARIO_WORDS:
        usable = table[(table["scenario"] == scenario) & (table["method"] != ORACLE)]
        for patience, limit in BUDGETS.items():
            affordable = usable[usable["seconds"] <= limit]
            # what fills hardly anything is no advice, however quick
            if affordable.empty or affordable["mean"].max() < usable["mean"].max() / 2:
                continue
            good = affordable[affordable["mean"] >= affordable["mean"].max() - MARGIN]
            chosen = good.sort_values("seconds").iloc[0]
            known = affordable[affordable["method"].isin(KNOWN) & (affordable["method"] != chosen["method"])]
            other = known.sort_values("mean").iloc[-1] if len(known) else None
            rows.append(
                (scenario, patience, limit, chosen["method"], chosen["label"], chosen["mean"], chosen["seconds"])
                + ((None, np.nan) if other is None else (other["method"], other["mean"]))
            )
    columns = ["scenario", "patience", "limit_seconds", "method", "label", "mean", "seconds"]
    return pd.DataFrame(rows, columns=[*columns, "best_known", "best_known_mean"])


def show_advice(table: pd.DataFrame) -> pd.DataFrame:
    """The advice as a reader wants it."""
    known = [
        "–" if pd.isna(name) else f"{label_of(name)} ({mean:.3f})"
        for name, mean in zip(table["best_known"], table["best_known_mean"], strict=True)
    ]
    return pd.DataFrame(
        {
            "to fill": table["scenario"].map(SCENARIO_WORDS),
            "patience": table["patience"],
            "use": table["label"],
            "R²": table["mean"].map("{:.3f}".format),
            "seconds": table["seconds"].map("{:.3g}".format),
            "instead of (best known method in that time)": known,
        }
    )


def say_advice(table: pd.DataFrame) -> str:
    """The advice in sentences, one for each scenario."""
    sentences = []
    for scenario, rows in table.groupby("scenario", sort=False):
        steps = rows.drop_duplicates("method", keep="first")
        told = "; ".join(f"{row.patience}: {row.label} (R² {row.mean:.3f})" for row in steps.itertuples())
        sentences.append(f"For {SCENARIO_WORDS[scenario]} — {told}.")
    sentences.append(f"Of methods whose R² differs by less than {MARGIN:g}, the quickest is named.")
    return " ".join(sentences)
