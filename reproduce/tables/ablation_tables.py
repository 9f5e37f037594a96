"""Turns stored trials of ablations and searches into tables and sentences; never runs a method and never draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.experiments.ablations import FACTORS, Ablation, Factor, applies, search_draws
from reproduce.experiments.trials import Trial
from reproduce.hypotheses import MARGIN, corrected_t, overlap_ratio
from reproduce.tables.summaries import counted, finished_scores, label_of
from reproduce.tables.wording import with_intervals

ABLATION_COLUMNS = (
    "id", "kind", "method", "scenario", "factor", "default_level", "level", "default", "varied", "difference", "low",
    "high", "n_splits", "seconds_ratio",
)  # fmt: skip


def _by_seed(
    results: pd.DataFrame,
    trials: Iterable[Trial],
    fingerprint: str,
    what: str,
    *,
    target: str = "GTEx",
    metric: str = "r2",
) -> pd.DataFrame:
    """Overall score and seconds to fit of each of these trials, by seed."""
    ids = [trial.trial_id(fingerprint) for trial in trials]
    scores = finished_scores(results[(results["test"] == target) & results["trial_id"].isin(ids)], metric=metric)
    rows = scores.set_index("seed")[["value", "fit_seconds"]].astype(float)
    if len(rows) != len(ids) or rows["value"].isna().any():
        raise DataFormatError(f"Results hold {len(rows)} of the {len(ids)} trials of {what}; run its notebook again.")
    return rows.sort_index()


def ablation_table(results: pd.DataFrame, plan: Sequence[Ablation], fingerprint: str) -> pd.DataFrame:
    """What each variation changes, paired split by split.

    Parameters
    ----------
    results : DataFrame
        The results table.
    plan : sequence of Ablation
    fingerprint : str
        Of the study that the trials ran on.

    Returns
    -------
    DataFrame
        One row per factor, in the plan's order: id, kind ("settings", "protocol"), method, scenario, factor,
        default_level, level, default and
        varied (mean R²), difference (varied − default), low, high (95 %, corrected for the overlap of splits;
        infinite for a single split), n_splits, seconds_ratio (seconds to fit, median of varied / default).

    Raises
    ------
    DataFormatError
        If a trial of the plan is not in the results, or failed.
    """
    rows = []
    for ablation in plan:
        factor = ablation.factor
        what = f"the default of {factor.id!r}"
        default = _by_seed(results, ablation.baseline, fingerprint, what, target=factor.target)
        scored = {"target": factor.target, "metric": factor.metric}
        varied = _by_seed(results, ablation.varied, fingerprint, f"{factor.id!r}", **scored)
        contrast = corrected_t(varied["value"] - default["value"], overlap_ratio(factor.scenario))
        entry = {
            "id": factor.id,
            "kind": factor.kind,
            "method": factor.method,
            "scenario": factor.scenario,
            "factor": factor.label,
        }
        entry |= {"default_level": factor.default, "level": factor.level}
        entry |= {"default": default["value"].mean(), "varied": varied["value"].mean(), "difference": contrast.mean}
        entry |= {"low": contrast.low, "high": contrast.high, "n_splits": contrast.n_splits}
        # the median: a machine that was busy for a moment should not show
        entry["seconds_ratio"] = float((varied["fit_seconds"] / default["fit_seconds"]).median())
        rows.append(entry)
    return pd.DataFrame(rows, columns=list(ABLATION_COLUMNS))


def show_ablations(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `ablation_table` as a reader wants it."""
    return pd.DataFrame(
        {
            "method": table["method"].map(label_of),
            "factor": table["factor"],
            "default": table["default_level"],
            "varied": table["level"],
            "R², default": table["default"].map("{:.3f}".format),
            "R², varied": table["varied"].map("{:.3f}".format),
            "difference [95 %]": with_intervals(table, "difference", sign="+"),
            "splits": table["n_splits"],
            "× seconds": table["seconds_ratio"].map("{:.2f}".format),
        }
    )


def say_left_out(chosen: Sequence[Factor], study) -> str:
    """Which variations this run leaves out, by the preset or because they have no meaning on these data."""
    ids = {factor.id for factor in chosen}
    absent = [factor for factor in FACTORS if factor.id not in ids]
    lines = [f"{len(chosen)} of {len(FACTORS)} variations are run."]
    meaningless = [factor for factor in absent if not applies(factor, study)]
    for why, part in (
        ("Without a meaning on these data", meaningless),
        ("Left out in this preset", [factor for factor in absent if factor not in meaningless]),
    ):
        if part:
            lines.append(f"{why}: {_listed(part)}.")
    return " ".join(lines)


def _listed(factors: Iterable[Factor]) -> str:
    levels: dict[str, list[str]] = {}
    for factor in factors:
        levels.setdefault(f"{label_of(factor.method)}, {factor.label}", []).append(factor.level)
    return "; ".join(f"{name} ({', '.join(each)})" for name, each in levels.items())


def _named(row: Mapping[str, object]) -> str:
    interval = f" [{row['low']:+.3f}, {row['high']:+.3f}]" if np.isfinite(row["low"]) else ""
    return f"{label_of(row['method'])}, {row['factor']} {row['level']} ({row['difference']:+.3f}{interval})"


def say_ablations(table: pd.DataFrame, margin: float = MARGIN) -> str:
    """What the table shows, in sentences, with the differences in them; says so where it shows nothing."""
    if table.empty:
        return "No variation was run."
    if not np.isfinite(table["low"]).all():
        return "One split each: there is no interval, so nothing is concluded."
    better = table[table["low"] > 0].sort_values("difference", ascending=False)
    worse = table[table["high"] < 0].sort_values("difference")
    open_ = len(table) - len(better) - len(worse)
    matters = int((table["low"] > margin).sum() + (table["high"] < -margin).sum())
    splits = counted(int(table["n_splits"].min()), "split")
    lines = [
        f"Of {len(table)} variations on {splits}, {len(better)} are better than the default and "
        f"{len(worse)} worse by an interval that leaves out zero; {open_} may be either. {matters} differ "
        f"by more than {margin:g} in R². Intervals are not adjusted for the number of variations."
    ]
    for title, part in (("Better than the default", better), ("Worse", worse)):
        if len(part):
            lines.append(f"{title}: " + "; ".join(_named(row) for row in part.to_dict("records")) + ".")
    return "\n\n".join(lines)


# --- random search ---

_DRAWN = tuple(search_draws(1)[0])


def search_table(results: pd.DataFrame, trials: Sequence[Trial], fingerprint: str) -> pd.DataFrame:
    """Score and cost of each set of hyperparameters.

    Parameters
    ----------
    results : DataFrame
        The results table.
    trials : sequence of Trial
        Of `reproduce.experiments.ablations.search_plan`: the default first.
    fingerprint : str
        Of the study that the trials ran on.

    Returns
    -------
    DataFrame
        Columns setting ("default" or "draw 1", …), hidden_layers, hidden_units, dropout, learning_rate, batch_size,
        r2, fit_seconds, on_frontier (nothing else is at least as good for as little time); the best first.
    """
    columns = ["setting", *_DRAWN, "r2", "fit_seconds", "on_frontier"]
    if not trials:
        return pd.DataFrame(columns=columns)
    from reproduce.imputers import make_imputer

    rows = []
    for number, trial in enumerate(trials):
        score = _by_seed(results, [trial], fingerprint, f"draw {number}").iloc[0]
        values = make_imputer(trial.method, **dict(trial.hyperparameters)).get_params()
        setting = {"setting": f"draw {number}" if number else "default", **{name: values[name] for name in _DRAWN}}
        rows.append(setting | {"r2": score["value"], "fit_seconds": score["fit_seconds"]})
    table = pd.DataFrame(rows)
    table["on_frontier"] = on_frontier(table["fit_seconds"], table["r2"])
    return table.sort_values("r2", ascending=False, ignore_index=True)[columns]


def on_frontier(cost: Iterable[float], score: Iterable[float]) -> np.ndarray:
    """Whether no other point costs as little *and* scores as high, one of the two strictly.

    Returns
    -------
    ndarray of bool
    """
    cost, score = np.asarray(list(cost), float), np.asarray(list(score), float)
    no_dearer, no_worse = cost[None] <= cost[:, None], score[None] >= score[:, None]
    strictly = (cost[None] < cost[:, None]) | (score[None] > score[:, None])
    return ~(no_dearer & no_worse & strictly).any(axis=1)


def show_search(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `search_table` as a reader wants it."""
    names = {name: name.replace("_", " ") for name in _DRAWN} | {"hidden_units": "width", "r2": "R²"}
    shown = table.assign(
        learning_rate=table["learning_rate"].map("{:g}".format),
        dropout=table["dropout"].map("{:.2f}".format),
        r2=table["r2"].map("{:.3f}".format),
        fit_seconds=table["fit_seconds"].map("{:.1f}".format),
        on_frontier=table["on_frontier"].map({True: "yes", False: ""}),
    )
    return shown.rename(columns=names | {"fit_seconds": "seconds to fit", "on_frontier": "on the frontier"})


def say_search(table: pd.DataFrame) -> str:
    """Where the default stands among the draws."""
    if table.empty:
        return "This preset makes no random search."
    default = table.set_index("setting").loc["default"]
    draws = table[table["setting"] != "default"]
    better, best = int((draws["r2"] > default["r2"]).sum()), draws.iloc[0]
    where = "is on the frontier" if default["on_frontier"] else "is not on the frontier"
    return (
        f"{better} of {len(draws)} random draws score above PMI's default (R² {default['r2']:.3f} in "
        f"{default['fit_seconds']:.1f} s), which {where}. The best draw reaches {best['r2']:.3f} in "
        f"{best['fit_seconds']:.1f} s with {best['hidden_layers']} layers of {best['hidden_units']} units. One split "
        "each: the scores choose nothing, they show what time buys."
    )
