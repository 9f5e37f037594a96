"""Turns stored trials of missing rates and mechanisms into tables and sentences; never runs a method and never draws.

All intervals are over donor splits, corrected for their overlap (`reproduce.hypotheses`), and none is adjusted for the
number of comparisons. Comparisons are paired: both sides meet the same donors and holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.experiments import ResultsStore
from reproduce.experiments.missingness import AT_EACH_RATE, METHODS, ONCE, TrainedTrial, missingness_trials
from reproduce.files import atomic_path
from reproduce.hypotheses import MARGIN, Contrast, corrected_t, overlap_ratio
from reproduce.tables import ranges
from reproduce.tables.summaries import label_of
from reproduce.tables.wording import plus_minus, with_interval, with_intervals

#: Robustness compares the score where this much is hidden with the score where half is.
HALF, MOST = 0.5, 0.9
#: Below this R² no method is called robust: what predicts nothing has nothing to lose.
USEFUL = 0.1
MECHANISM_WORDS = {
    "mcar": "completely at random",
    "mar": "by another gene",
    "mnar": "low values",
    "panel": "whole genes",
    "tissue_block": "genes by tissue",
}
#: Columns of the table of mechanisms: metric, and prefix of its mean and interval.
MECHANISM_METRICS = {"r2": "r2", "r2_visible_mean": "paper_r2", "bias": "bias"}
_CURVE = ["target", "method", "training"]
_UNTOLD = "One split: there is no interval, so nothing is concluded."


def percent(rate: float) -> str:
    """A fraction in words: 50 %."""
    return f"{100 * rate:.0f} %"


def name_of(method: str, training: str) -> str:
    """A method in words, with how its network was trained."""
    return label_of(method) + (f", trained {training}" if training else "")


# --- scores of single splits ---


def split_scores(
    results: pd.DataFrame,
    plan: Sequence[TrainedTrial],
    fingerprint: str,
    metrics: Iterable[str] = ("r2",),
    *,
    by_tissue: bool = True,
) -> pd.DataFrame:
    """Score of every trial of a plan, split by split.

    Parameters
    ----------
    results : DataFrame
        The results table.
    plan : sequence of TrainedTrial
    fingerprint : str
        Of the study that the trials ran on.
    metrics : iterable of str
    by_tissue : bool, default True
        Within each tissue of the cohort that was fitted, or over all of them. Tumour cohorts are always one target.

    Returns
    -------
    DataFrame
        Columns scenario, mechanism, missing_rate, target ("GTEx Lung", "GTEx", "LUAD", …), method, training, seed,
        metric, value (NaN where no gene has one), n_evaluated.

    Raises
    ------
    DataFormatError
        If a trial of the plan is not in the results, or failed.
    """
    planned = {each.trial.trial_id(fingerprint): each for each in plan}
    rows = results[results["trial_id"].isin(planned) & (results["status"] == "ok")]
    held = set(rows["trial_id"])
    if absent := [trial_id for trial_id in planned if trial_id not in held]:
        what = planned[absent[0]].trial.describe()
        raise DataFormatError(f"Results hold no scores of {len(absent)} trials ({what}, …); run their notebook again.")
    tissue_rows = (rows["scenario"] == "inductive") & by_tissue
    level = np.where(tissue_rows, "tissue", "overall")
    rows = rows[(rows["level"] == level) & rows["metric"].isin(list(metrics))]
    tissue = (" " + rows["group"].astype(str)).where(rows["level"] == "tissue", "")
    rows = rows.assign(
        target=rows["test"].astype(str) + tissue,
        training=rows["trial_id"].map({key: each.training for key, each in planned.items()}),
        value=rows["value"].astype(float),
    )
    columns = ["scenario", "mechanism", "missing_rate", *_CURVE, "seed", "metric", "value", "n_evaluated"]
    return _in_plan_order(rows, planned)[columns]


def _in_plan_order(rows: pd.DataFrame, planned: Mapping[str, TrainedTrial]) -> pd.DataFrame:
    """Rows trial by trial and cohort by cohort as the plan lists them, wherever they came from."""
    pairs = [(trial_id, test) for trial_id, each in planned.items() for test in each.trial.test.split("+")]
    order = {pair: place for place, pair in enumerate(pairs)}
    place = [order[pair] for pair in zip(rows["trial_id"], rows["test"], strict=True)]
    return rows.assign(place=place).sort_values(["place", "target", "metric"], kind="stable", ignore_index=True)


def _wide(scores: pd.DataFrame, metric: str, columns: list[str]) -> pd.DataFrame:
    """Seeds × curves; refuses two trials in one cell."""
    chosen = scores[scores["metric"] == metric]
    if chosen.duplicated(["seed", *columns]).any():
        raise DataFormatError(f"The plan holds several trials per split of one curve ({', '.join(columns)}).")
    return chosen.pivot(index="seed", columns=columns, values="value").sort_index()


def _contrast(values: pd.Series, scenario: str) -> Contrast:
    values = values.dropna()
    return corrected_t(values, overlap_ratio(scenario)) if len(values) else Contrast(*[np.nan] * 5, 0)


# --- R² against the missing rate ---


def curve_table(results: pd.DataFrame, plan: Sequence[TrainedTrial], fingerprint: str) -> pd.DataFrame:
    """R² at each missing rate, with its interval over splits and its spread over genes.

    Parameters and errors as in `split_scores`.

    Returns
    -------
    DataFrame
        Columns scenario, target, method, training, missing_rate, mean (R²), low, high (95 % over splits; infinite for
        one split), genes_p25, genes_p75 (quartiles over genes, mean over splits), entries_per_gene (hidden and
        scored), n_splits.
    """
    scores = split_scores(results, plan, fingerprint, ("r2", "r2_p25", "r2_p75"))
    rows = []
    for key, group in scores.groupby(["scenario", *_CURVE, "missing_rate"], sort=False):
        by_metric = {metric: part for metric, part in group.groupby("metric")}
        contrast = _contrast(by_metric["r2"]["value"], key[0])
        quartiles = {f"genes_{p}": by_metric[f"r2_{p}"]["value"].mean() for p in ("p25", "p75")}
        # behind a percentile are genes, behind the mean their entries
        entries = by_metric["r2"]["n_evaluated"].sum() / by_metric["r2_p25"]["n_evaluated"].sum()
        interval = {"mean": contrast.mean, "low": contrast.low, "high": contrast.high}
        rows.append((*key, *interval.values(), *quartiles.values(), entries, contrast.n_splits))
    columns = ["scenario", *_CURVE, "missing_rate", "mean", "low", "high", "genes_p25", "genes_p75"]
    return _by_target(pd.DataFrame(rows, columns=[*columns, "entries_per_gene", "n_splits"]))


def _by_target(table: pd.DataFrame) -> pd.DataFrame:
    """Target by target, in the order in which they first appear."""
    position = {name: i for i, name in enumerate(dict.fromkeys(table["target"]))}
    return table.sort_values("target", kind="stable", key=lambda names: names.map(position), ignore_index=True)


def show_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `curve_table` as a reader wants it: one row per curve, one column per rate."""
    cells = [plus_minus(*row) for row in table[["mean", "low", "high"]].itertuples(index=False, name=None)]
    shown = table.assign(cell=cells, hidden=[f"{percent(rate)} hidden" for rate in table["missing_rate"]])
    columns = [f"{percent(rate)} hidden" for rate in sorted(table["missing_rate"].unique())]
    wide = shown.pivot(index=_CURVE, columns="hidden", values="cell").reindex(columns=columns).fillna("–")
    wide = wide.reindex(pd.MultiIndex.from_frame(shown[_CURVE].drop_duplicates())).reset_index()
    wide.columns.name = None
    return _in_words(wide)


def _in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Methods by their labels; how a network was trained, and a dash for the others."""
    training = table["training"].replace("", "–")
    return table.assign(method=table["method"].map(label_of), training=training).rename(
        columns={"training": "network trained"}
    )


def say_left_out(methods: Iterable[str]) -> str:
    """Which methods this preset leaves out, so that an absent curve is not taken for an oversight."""
    absent = [label_of(name) for name in METHODS if name not in set(methods)]
    return f"Not run in this preset: {', '.join(absent)}." if absent else "The preset leaves no method out."


def say_few_entries(table: pd.DataFrame) -> str:
    """At which rate and where the fewest entries are scored, and what that does to R²."""
    least = table.loc[table["entries_per_gene"].idxmin()]
    n = least["entries_per_gene"]
    return (
        f"Where little is hidden, little is scored: at {percent(least['missing_rate'])} hidden a gene of "
        f"{least['target']} has {n:.1f} entries. Around their own mean, the variation of n entries is smaller than "
        "around the true mean by (n − 1)/n, which lowers R² by (1 − R²)/(n − 1): more where it is low. So compare the "
        "order of methods at a rate; that a curve rises at its left end is no merit of holes."
    )


# --- mechanisms ---


def mechanism_table(results: pd.DataFrame, plan: Sequence[TrainedTrial], fingerprint: str) -> pd.DataFrame:
    """Both kinds of R² and the bias for each way of hiding.

    Parameters and errors as in `split_scores`; tissues are pooled.

    Returns
    -------
    DataFrame
        Columns scenario, target, mechanism, missing_rate, method, training, and for each of "r2" (around the hidden
        entries' own mean), "paper_r2" (around the mean of what is visible; NaN where a gene has nothing visible) and
        "bias" (mean of imputed − true, in standard deviations of the hidden entries): the mean, and _low and _high
        (95 % over splits); n_splits.
    """
    scores = split_scores(results, plan, fingerprint, MECHANISM_METRICS, by_tissue=False)
    keys = ["scenario", "target", "mechanism", "missing_rate", "method", "training"]
    rows = []
    for key, group in scores.groupby(keys, sort=False):
        entry = dict(zip(keys, key, strict=True))
        for metric, prefix in MECHANISM_METRICS.items():
            contrast = _contrast(group.loc[group["metric"] == metric, "value"], entry["scenario"])
            entry |= {prefix: contrast.mean, f"{prefix}_low": contrast.low, f"{prefix}_high": contrast.high}
        rows.append(entry | {"n_splits": group["seed"].nunique()})
    columns = [f"{prefix}{end}" for prefix in MECHANISM_METRICS.values() for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*keys, *columns, "n_splits"])


def show_mechanisms(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `mechanism_table` as a reader wants it; – where a score is undefined."""
    names = {"r2": "R², own mean [95 %]", "paper_r2": "R², visible mean [95 %]", "bias": "bias in sd [95 %]"}
    shown = {"hidden": table["mechanism"].map(MECHANISM_WORDS), "target": table["target"]}
    shown |= {"method": table["method"].map(label_of), "network trained": table["training"].replace("", "–")}
    for prefix, name in names.items():
        sign, limits = ("+", ranges.ANY) if prefix == "bias" else ("", ranges.R2)
        shown[name] = with_intervals(table, prefix, (f"{prefix}_low", f"{prefix}_high"), sign=sign, limits=limits)
    return pd.DataFrame(shown)


def say_metric_gap(table: pd.DataFrame) -> str:
    """How much R² the paper's metric adds where values are hidden for being low, and the bias it does not show."""
    rows = table[(table["mechanism"] == "mnar") & table["paper_r2"].notna()]
    if rows.empty:
        return "No values were hidden because they are low, so the two kinds of R² cannot be told apart here."
    gap = rows["paper_r2"] - rows["r2"]
    best = rows.loc[rows["r2"].idxmax()]
    one = (
        f"Where low values are the likelier hidden ({percent(best['missing_rate'])} in all), {_named(best)} is best "
        f"around the hidden entries' own mean, with R² {best['r2']:.3f}; the paper's metric gives it "
        f"{best['paper_r2']:.3f}. Its imputed values are off by "
        f"{with_interval(best['bias'], best['bias_low'], best['bias_high'], sign='+')} sd."
    )
    return (
        f"{one} Over all methods the paper's metric adds {gap.min():.3f} to {gap.max():.3f} to R², credit for hidden "
        f"entries lying away from the visible ones, while the bias goes from {rows['bias'].min():+.3f} to "
        f"{rows['bias'].max():+.3f} sd."
    )


def _named(row: pd.Series) -> str:
    return name_of(row["method"], row["training"])


# --- which method to use when ---


def advice_table(
    results: pd.DataFrame, curves: Sequence[TrainedTrial], mechanisms: Sequence[TrainedTrial], fingerprint: str
) -> pd.DataFrame:
    """The best method for each target, rate and mechanism, and those that cannot be told from it.

    Parameters
    ----------
    results : DataFrame
        The results table.
    curves, mechanisms : sequence of TrainedTrial
        Of `curve_plan`, judged within tissues, and of `mechanism_plan`, judged over both.
    fingerprint : str
        Of the study that the trials ran on.

    Returns
    -------
    DataFrame
        Columns scenario, target, mechanism, missing_rate, best, training (of the best), r2 (its mean around the hidden
        entries' own mean), not_worse (methods in words, separated by "; ": the 95 % interval of best − other, paired
        over splits, does not lie above 0), n_splits.

    Raises
    ------
    DataFormatError
        If a trial of the plans is not in the results, or failed.
    """
    by_tissue = split_scores(results, curves, fingerprint)
    pooled = split_scores(results, mechanisms, fingerprint, by_tissue=False)
    return pd.concat([_by_target(_advice_of(by_tissue)), _advice_of(pooled)], ignore_index=True)


def _advice_of(scores: pd.DataFrame) -> pd.DataFrame:
    keys = ["scenario", "target", "mechanism", "missing_rate"]
    rows = [(*key, *_best(group, key[0])) for key, group in scores.groupby(keys, sort=False)]
    return pd.DataFrame(rows, columns=[*keys, "best", "training", "r2", "not_worse", "n_splits"])


def _best(scores: pd.DataFrame, scenario: str) -> tuple[str, str, float, str, int]:
    wide = _wide(scores, "r2", ["method", "training"])
    means = wide.mean().sort_values(ascending=False, kind="stable")
    best, *others = means.index
    not_worse = [name for name in others if not _contrast(wide[best] - wide[name], scenario).low > 0]
    return *best, means[best], "; ".join(name_of(*name) for name in not_worse), int(wide[best].notna().sum())


def show_advice(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `advice_table` as a reader wants it."""
    return pd.DataFrame(
        {
            "hidden": table["mechanism"].map(MECHANISM_WORDS),
            "target": table["target"],
            "missing rate": table["missing_rate"].map(percent),
            "best": [name_of(*pair) for pair in zip(table["best"], table["training"], strict=True)],
            "R²": table["r2"].map("{:.3f}".format),
            "not told apart from it": table["not_worse"].replace("", "–"),
            "splits": table["n_splits"],
        }
    )


def say_advice(table: pd.DataFrame) -> str:
    """Which method to use where: one line per mechanism and target, neighbouring rates with the same best together."""
    if table.empty:
        return "Nothing was compared, so there is no advice."
    lines = []
    for (mechanism, target), group in table.groupby(["mechanism", "target"], sort=False):
        ordered = group.sort_values("missing_rate").to_dict("records")
        parts = [_advice(list(run)) for _, run in groupby(ordered, key=_advised)]
        lines.append(f"- {target} (hidden: {MECHANISM_WORDS[mechanism]}): {'; '.join(parts)}.")
    if (table["n_splits"] < 2).any():
        return "\n".join([f"{_UNTOLD} The highest scores:", "", *lines])
    head = (
        "The best method, in brackets those that cannot be told from it at some of these rates (paired over splits; "
        "the best was picked by the same splits, and intervals are not adjusted for the number of comparisons):"
    )
    return "\n".join([head, "", *lines])


def _advised(row: dict) -> tuple[str, str] | None:
    return (row["best"], row["training"]) if row["r2"] > MARGIN else None


def _advice(run: list[dict]) -> str:
    low, high = run[0]["missing_rate"], run[-1]["missing_rate"]
    rates = percent(low) if low == high else f"{100 * low:.0f}–{percent(high)}"
    r2 = [row["r2"] for row in run]
    scores = f"R² {r2[0]:.3f}" if len(run) == 1 else f"R² {min(r2):.3f} to {max(r2):.3f}"
    if _advised(run[0]) is None:
        return f"at {rates} **none** beats the hidden entries' own mean by more than {MARGIN:g} (highest {scores})"
    rivals = list(dict.fromkeys(name for row in run for name in row["not_worse"].split("; ") if name))
    named = name_of(run[0]["best"], run[0]["training"])
    return f"at {rates} **{named}** ({scores})" + (f" [{'; '.join(rivals)}]" if rivals else "")


# --- robustness ---


def robustness_table(results: pd.DataFrame, plan: Sequence[TrainedTrial], fingerprint: str) -> pd.DataFrame:
    """What each method loses from half to nine tenths hidden, paired over splits.

    Parameters and errors as in `split_scores`.

    Returns
    -------
    DataFrame
        Columns scenario, target, method, training, half and most (mean R² at the rates `HALF` and `MOST`), difference
        (most − half), low, high, n_splits; without curves that lack one of the two rates.
    """
    scores = split_scores(results, plan, fingerprint)
    rows = []
    for key, group in scores.groupby(["scenario", *_CURVE], sort=False):
        wide = _wide(group, "r2", ["missing_rate"])
        if {HALF, MOST} <= set(wide):
            rows.append((*key, *_difference(wide[HALF], wide[MOST], key[0])))
    columns = ["scenario", *_CURVE, "half", "most", "difference", "low", "high", "n_splits"]
    return _by_target(pd.DataFrame(rows, columns=columns))


def _difference(before: pd.Series, after: pd.Series, scenario: str) -> tuple:
    both = pd.DataFrame({"before": before, "after": after}).dropna()
    contrast = _contrast(both["after"] - both["before"], scenario)
    return *both.mean(), contrast.mean, contrast.low, contrast.high, contrast.n_splits


def show_robustness(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `robustness_table` as a reader wants it."""
    names = {"half": f"R², {percent(HALF)} hidden", "most": f"R², {percent(MOST)} hidden"}
    return _show_differences(table, ["target", "method", "network trained"], names)


def _show_differences(table: pd.DataFrame, keys: list[str], names: dict[str, str]) -> pd.DataFrame:
    shown = _in_words(table)[keys]
    for column, name in names.items():
        shown = shown.assign(**{name: table[column].map("{:.3f}".format)})
    return shown.assign(
        **{"difference [95 %]": with_intervals(table, "difference", sign="+"), "splits": table["n_splits"]}
    )


def say_robustness(table: pd.DataFrame) -> str:
    """Who loses least and most between half and nine tenths hidden, among methods that are of use at half."""
    if table.empty:
        rates = f"{percent(HALF)} and at {percent(MOST)}"
        return f"This preset does not fill both at {rates} hidden, so robustness is not measured."
    if (table["n_splits"] < 2).any():
        return _UNTOLD
    lines = []
    for target, group in table.groupby("target", sort=False):
        best = group["half"].max()
        if best < USEFUL:
            lines.append(f"- {target}: no method reaches R² {USEFUL:g}, so there is little to lose.")
            continue
        # what predicts nothing at half has nothing to lose
        useful = group[group["half"] > best / 2].sort_values("difference", ascending=False)
        ends = [useful.iloc[0]] + ([useful.iloc[-1]] if len(useful) > 1 else [])
        words = [
            f"{_named(row)} {'least' if i == 0 else 'most'}, from {row['half']:.3f} to {row['most']:.3f} "
            f"({with_interval(row['difference'], row['low'], row['high'], sign='+')})"
            for i, row in enumerate(ends)
        ]
        lines.append(f"- {target}: {'; '.join(words)}.")
    head = (
        f"From {percent(HALF)} to {percent(MOST)} hidden, of the methods with at least half of the best R² at "
        f"{percent(HALF)}, these lose least and most:"
    )
    return "\n".join([head, "", *lines])


# --- once for all rates, or at each ---


def retraining_table(results: pd.DataFrame, plan: Sequence[TrainedTrial], fingerprint: str) -> pd.DataFrame:
    """What training a network for the very rate that is filled adds to training it once for all rates.

    Parameters and errors as in `split_scores`.

    Returns
    -------
    DataFrame
        Columns scenario, target, method, missing_rate, once, at_each (mean R²), difference (at_each − once, paired
        over splits), low, high, n_splits; rates at which no network was trained on its own are left out.
    """
    scores = split_scores(results, plan, fingerprint)
    rows = []
    for key, group in scores.groupby(["scenario", "target", "method", "missing_rate"], sort=False):
        wide = _wide(group, "r2", ["training"])
        if {ONCE, AT_EACH_RATE} <= set(wide):
            rows.append((*key, *_difference(wide[ONCE], wide[AT_EACH_RATE], key[0])))
    columns = ["scenario", "target", "method", "missing_rate", "once", "at_each", "difference", "low", "high"]
    return _by_target(pd.DataFrame(rows, columns=[*columns, "n_splits"]))


def show_retraining(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `retraining_table` as a reader wants it."""
    rates = table["missing_rate"].map(percent)
    shown = table.assign(training="", **{"missing rate": rates})
    names = {"once": f"R², {ONCE}", "at_each": f"R², {AT_EACH_RATE}"}
    return _show_differences(shown, ["target", "method", "missing rate"], names)


def say_retraining(table: pd.DataFrame) -> str:
    """For each network, where training it for the rate at hand is better, worse, or not told apart."""
    if table.empty:
        return "This preset trains no network for a single rate, so it cannot be compared with training once."
    if (table["n_splits"] < 2).any():
        return _UNTOLD
    lines = []
    for method, group in table.groupby("method", sort=False):
        better, worse = group[group["low"] > 0], group[group["high"] < 0]
        text = (
            f"- {label_of(method)}, trained for the rate that is filled instead of once for all rates, is better in "
            f"{len(better)} and worse in {len(worse)} of {len(group)} comparisons (rates and targets), by an interval "
            f"that leaves out zero; the difference in R² goes from {group['difference'].min():+.3f} to "
            f"{group['difference'].max():+.3f}."
        )
        lines.append(" ".join([text, *_where("Better", better), *_where("Worse", worse)]))
    return "\n".join(lines)


def _where(word: str, rows: pd.DataFrame) -> list[str]:
    """At which rates of which targets, if anywhere."""
    parts = [
        f"{target} at {', '.join(map(percent, sorted(group['missing_rate'])))}"
        for target, group in rows.groupby("target", sort=False)
    ]
    return [f"{word}: {'; '.join(parts)}."] if parts else []


# --- conclusion ---


def say_conclusion(
    advice: pd.DataFrame, robustness: pd.DataFrame, retraining: pd.DataFrame, mechanisms: pd.DataFrame
) -> str:
    """What the four tables show, in this order: what to use, what is lost, how to train, what the metric hides."""
    parts = [say_advice(advice), say_robustness(robustness), say_retraining(retraining), say_metric_gap(mechanisms)]
    return "\n\n".join(parts)


# --- the rows behind the tables ---


def export_rows(store: ResultsStore, path: str | Path, plan: Sequence[TrainedTrial], study) -> Path:
    """Export a plan's trials, leaving out rows of single genes except where half is hidden completely at random.

    Nearly all rows are those of genes, and these tables read none. The exception is trials that other notebooks
    run as well: whoever resumes from this export must find them whole.

    Parameters
    ----------
    store : ResultsStore
    path : path-like
        Of the Parquet file; training curves go beside it.
    plan : sequence of TrainedTrial
    study : reproduce.loaders.study.Study

    Returns
    -------
    Path

    Raises
    ------
    DataFormatError
        For a trial that is not stored, naming it.
    """
    path = store.export(path, missingness_trials(plan), study)
    rows = pd.read_parquet(path)
    shared = (rows["mechanism"] == "mcar") & np.isclose(rows["missing_rate"].astype(float), HALF)
    with atomic_path(path) as temporary:
        rows[shared | (rows["level"] != "gene")].to_parquet(temporary, index=False)
    return path
