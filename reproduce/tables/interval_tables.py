"""Turns coverage trials and downstream answers into tables and sentences; never runs a method and never draws."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from reproduce.errors import DataFormatError
from reproduce.experiments.downstream import COMPLETE, N_DRAWS, WAYS
from reproduce.experiments.intervals import CONFORMAL, CORRELATION, LEVELS, OWN
from reproduce.hypotheses import corrected_t, holm, overlap_ratio
from reproduce.tables import ranges
from reproduce.tables.missingness_tables import percent
from reproduce.tables.summaries import SCENARIO_TITLES, label_of
from reproduce.tables.wording import with_intervals

#: How far coverage may be from what is promised.
TOLERANCE = 0.02
SIGNIFICANCE = 0.05
ALL_TISSUES = "all"
_KEYS = ["scenario", "method", "variant", "missing_rate"]
_SCENARIOS = {"inductive": "inductively", "in_place": "in place"}
CORRECTIONS = ("BH", "Holm")


def name_of(method: str, source: str) -> str:
    """A method in words, with where its intervals come from."""
    return f"{label_of(method)}, {source}"


# --- coverage ---


def coverage_table(results: pd.DataFrame) -> pd.DataFrame:
    """Actual coverage of every method, rate and level, over all tissues and in each.

    Parameters
    ----------
    results : DataFrame
        Rows of `reproduce.experiments.intervals.run_intervals`.

    Returns
    -------
    DataFrame
        Columns scenario, method, variant, missing_rate, tissue ("all" or a tissue), nominal, coverage (mean over
        splits), low, high (95 %, corrected for the overlap of splits), n_splits.

    Raises
    ------
    DataFormatError
        If there is no score of coverage.
    """
    rows = []
    for level in LEVELS:
        chosen = _scores(results, f"coverage_{100 * level:.0f}", ("overall", "tissue"))
        for key, group in chosen.groupby([*_KEYS, "group"], sort=False):
            rows.append((*key, level, *_mean(group["value"], key[0])))
    columns = [*_KEYS, "tissue", "nominal", "coverage", "low", "high", "n_splits"]
    return pd.DataFrame(rows, columns=columns).sort_values([*_KEYS, "tissue", "nominal"], ignore_index=True)


def quality_table(results: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """What intervals are worth beside their coverage: width, interval score, and whether they know where errors lie.

    Returns
    -------
    DataFrame
        Columns scenario, method, variant, missing_rate, and for width, score and correlation their means over splits
        with ``_low`` and ``_high``; n_splits.
    """
    name = f"{100 * level:.0f}"
    metrics = {f"width_{name}": "width", f"interval_score_{name}": "score", CORRELATION: "correlation"}
    parts = []
    for metric, prefix in metrics.items():
        chosen = _scores(results, metric, ("overall",))
        rows = [(*key, *_mean(group["value"], key[0])) for key, group in chosen.groupby(_KEYS, sort=False)]
        columns = [*_KEYS, prefix, f"{prefix}_low", f"{prefix}_high", "n_splits"]
        parts.append(pd.DataFrame(rows, columns=columns).set_index([*_KEYS, "n_splits"]))
    return pd.concat(parts, axis=1).reset_index().sort_values(_KEYS, ignore_index=True)


def gene_coverage_table(results: pd.DataFrame) -> pd.DataFrame:
    """Coverage of every gene, mean over splits.

    Returns
    -------
    DataFrame
        Columns scenario, method, variant, missing_rate, gene, nominal, coverage, noise (standard error that the number
        of its hidden entries alone leaves, were they independent), n_evaluated (over all splits).
    """
    parts = []
    for level in LEVELS:
        chosen = _scores(results, f"coverage_{100 * level:.0f}", ("gene",))
        table = chosen.groupby([*_KEYS, "group"], sort=False).agg(
            coverage=("value", "mean"), n_evaluated=("n_evaluated", "sum")
        )
        noise = np.sqrt(level * (1 - level) / table["n_evaluated"])
        parts.append(table.assign(nominal=level, noise=noise).reset_index().rename(columns={"group": "gene"}))
    columns = [*_KEYS, "gene", "nominal", "coverage", "noise", "n_evaluated"]
    return pd.concat(parts, ignore_index=True)[columns]


def show_coverage(table: pd.DataFrame, *, tissue: str = ALL_TISSUES) -> pd.DataFrame:
    """`coverage_table` as a reader wants it: a row per method and rate, a column per level."""
    chosen = table[table["tissue"] == tissue]
    cells = chosen.assign(cell=with_intervals(chosen, "coverage", limits=ranges.SHARE))
    wide = cells.pivot(index=_KEYS, columns="nominal", values="cell")
    wide.columns = [f"inside {percent(level)} intervals{_said_interval(chosen['low'])}" for level in wide.columns]
    shown = wide.reset_index()
    names = [name_of(*pair) for pair in zip(shown["method"], shown["variant"], strict=True)]
    shown = shown.assign(
        scenario=shown["scenario"].map(SCENARIO_TITLES),
        method=names,
        missing_rate=shown["missing_rate"].map(percent),
    )
    return shown.drop(columns="variant").rename(columns={"missing_rate": "missing rate"})


def show_quality(table: pd.DataFrame) -> pd.DataFrame:
    """`quality_table` as a reader wants it."""
    shown = {"scenario": table["scenario"].map(SCENARIO_TITLES)}
    shown["method"] = [name_of(*pair) for pair in zip(table["method"], table["variant"], strict=True)]
    shown["missing rate"] = table["missing_rate"].map(percent)
    names = {"width": "width in sd", "score": "interval score in sd", "correlation": "correlation of |error| with sd"}
    for prefix, name in names.items():
        ends = (f"{prefix}_low", f"{prefix}_high")
        told = with_intervals(table, prefix, ends, limits=ranges.limits_of(prefix))
        shown[f"{name}{_said_interval(table[ends[0]])}"] = told
    return pd.DataFrame(shown | {"splits": table["n_splits"]})


def _said_interval(low: pd.Series) -> str:
    """What a heading says of intervals, if any number under it has one."""
    return " [95 %]" if np.isfinite(low).any() else ""


def say_coverage(table: pd.DataFrame) -> str:
    """For each method: how far coverage is from what is promised at worst, over all tissues and in each."""
    lines = []
    for (scenario, method, source), group in table.groupby(["scenario", "method", "variant"], sort=False):
        whole, parts = group[group["tissue"] == ALL_TISSUES], group[group["tissue"] != ALL_TISSUES]
        inside = (whole["coverage"] - whole["nominal"]).abs() <= TOLERANCE
        text = (
            f"- {name_of(method, source)}, {_SCENARIOS[scenario]}: within {100 * TOLERANCE:.0f} points in "
            f"{inside.sum()} of {len(whole)} cases (rates and levels); furthest off {_furthest(whole)}"
        )
        lines.append(text + (f"; within one tissue {_furthest(parts)}." if len(parts) else "."))
    return "\n".join(["Coverage of the intervals against what they promise:", "", *lines])


def _furthest(table: pd.DataFrame) -> str:
    row = table.loc[(table["coverage"] - table["nominal"]).abs().idxmax()]
    where = f"{percent(row['nominal'])} intervals at {percent(row['missing_rate'])} missing"
    tissue = "" if row["tissue"] == ALL_TISSUES else f" in {row['tissue']}"
    return f"{100 * (row['coverage'] - row['nominal']):+.1f} points ({where}{tissue})"


def say_quality(table: pd.DataFrame) -> str:
    """What calibration changes for the methods that also have a distribution of their own, and the best correlation."""
    lines = []
    for (scenario, method), group in table.groupby(["scenario", "method"], sort=False):
        wide = group.pivot(index="missing_rate", columns="variant", values=["width", "score", "correlation"]).dropna()
        if not {OWN, CONFORMAL} <= set(group["variant"]) or wide.empty:
            continue
        own, calibrated = wide.xs(OWN, axis=1, level=1), wide.xs(CONFORMAL, axis=1, level=1)
        score, width = (100 * (calibrated[name] / own[name] - 1) for name in ("score", "width"))
        lines.append(
            f"- {label_of(method)}, {_SCENARIOS[scenario]}: calibration on held-out donors changes the interval score "
            f"by {score.min():+.1f} to {score.max():+.1f} % (less is better) and the width by {width.min():+.1f} to "
            f"{width.max():+.1f} %; the correlation of absolute error with the predicted sd goes from "
            f"{_span(own['correlation'])} to {_span(calibrated['correlation'])} over missing rates."
        )
    best = table.loc[table["correlation"].idxmax()]
    lines.append(
        f"- The highest correlation is {best['correlation']:.2f}: {name_of(best['method'], best['variant'])}, "
        f"{_SCENARIOS[best['scenario']]}, {percent(best['missing_rate'])} missing."
    )
    return "\n".join(lines)


def _span(values: pd.Series) -> str:
    return f"{values.min():.2f}–{values.max():.2f}"


def say_genes(table: pd.DataFrame, *, nominal: float = 0.95, points: float = 0.05) -> str:
    """For each method and scenario, how many genes are covered as promised, and the worst one."""
    lines, chosen = [], table[np.isclose(table["nominal"], nominal)]
    for (scenario, method, source), group in chosen.groupby(["scenario", "method", "variant"], sort=False):
        genes = group.groupby("gene").apply(
            lambda part: np.average(part["coverage"], weights=part["n_evaluated"]), include_groups=False
        )
        off = (genes - nominal).abs()
        lines.append(
            f"- {name_of(method, source)}, {_SCENARIOS[scenario]}: {(off <= points).sum()} of {len(genes)} genes "
            f"within {100 * points:.0f} points of {percent(nominal)}; furthest off {off.idxmax()} with "
            f"{100 * genes[off.idxmax()]:.1f} %."
        )
    return "\n".join(lines)


def _scores(results: pd.DataFrame, metric: str, levels: tuple[str, ...]) -> pd.DataFrame:
    chosen = results[(results["status"] == "ok") & (results["metric"] == metric) & results["level"].isin(levels)]
    chosen = chosen.dropna(subset="value")
    if chosen.empty:
        raise DataFormatError(f"There is no score {metric!r} at level {levels[0]!r}; run the intervals first.")
    return chosen


def _mean(values: pd.Series, scenario: str) -> tuple[float, float, float, int]:
    contrast = corrected_t(values.to_numpy(float), overlap_ratio(scenario))
    return contrast.mean, contrast.low, contrast.high, contrast.n_splits


# --- downstream ---


def downstream_by_split(answers: pd.DataFrame, *, n_draws: int = N_DRAWS) -> pd.DataFrame:
    """What each way to deal with holes does to the answers, compared with the complete data's, split by split.

    Parameters
    ----------
    answers : DataFrame
        Of `reproduce.experiments.downstream.run_downstream`.
    n_draws : int, default 20
        Draws behind the pooled answers.

    Returns
    -------
    DataFrame
        Columns question, seed, way, and

        * slope: of the estimates on the complete data's through the origin, over genes; below 1 effects are shrunk;
        * error: root mean square over genes of (estimate − complete estimate) / complete standard error;
        * width: mean over genes of the standard error in complete standard errors;
        * coverage: fraction of genes whose 95 % interval holds the complete data's estimate;
        * proper: the same for the interval from the variance between draws alone, which should hold 95 %; NaN where
          nothing was drawn;
        * significant_BH, false_BH, missed_BH, and with _Holm: genes found at 5 %, those among them that the complete
          data do not give, and those that only the complete data give.

    Raises
    ------
    DataFormatError
        If a split lacks the complete data's answer.
    """
    rows = []
    for (question, seed), group in answers.groupby(["question", "seed"], sort=False):
        by_way = {way: part.set_index("gene") for way, part in group.groupby("way", sort=False)}
        if COMPLETE not in by_way:
            raise DataFormatError(f"{question!r} at seed {seed} lacks the complete data's answer; run it again.")
        whole = by_way[COMPLETE]
        truly = {name: _significant(whole["p"], name) for name in CORRECTIONS}
        for way in [way for way in WAYS if way in by_way]:
            entry = _compared(by_way[way].loc[whole.index], whole, n_draws)
            for name in CORRECTIONS:
                found = _significant(by_way[way].loc[whole.index, "p"], name)
                entry |= {f"significant_{name}": int(found.sum()), f"false_{name}": int((found & ~truly[name]).sum())}
                entry |= {f"missed_{name}": int((truly[name] & ~found).sum())}
            rows.append({"question": question, "seed": seed, "way": way} | entry)
    return pd.DataFrame(rows)


def _compared(found: pd.DataFrame, whole: pd.DataFrame, n_draws: int) -> dict[str, float]:
    difference = found["estimate"] - whole["estimate"]
    half = stats.t.ppf(0.975, found["degrees_of_freedom"]) * found["standard_error"]
    drawn = np.sqrt((1 + 1 / n_draws) * found["between"]) * stats.t.ppf(0.975, n_draws - 1)
    proper = float((difference.abs() <= drawn).mean()) if found["between"].notna().all() else np.nan
    return {
        "slope": float((found["estimate"] * whole["estimate"]).sum() / (whole["estimate"] ** 2).sum()),
        "error": float(np.sqrt(np.mean((difference / whole["standard_error"]) ** 2))),
        "width": float((found["standard_error"] / whole["standard_error"]).mean()),
        "coverage": float((difference.abs() <= half).mean()),
        "proper": proper,
    }


def _significant(p: pd.Series, correction: str) -> np.ndarray:
    adjusted = holm(p) if correction == "Holm" else stats.false_discovery_control(p)
    return np.asarray(adjusted) < SIGNIFICANCE


def downstream_table(by_split: pd.DataFrame) -> pd.DataFrame:
    """`downstream_by_split` over splits: every column's mean, with ``_low`` and ``_high`` (95 %, overlap corrected)."""
    metrics = [name for name in by_split if name not in ("question", "seed", "way")]
    rows = []
    for (question, way), group in by_split.groupby(["question", "way"], sort=False):
        entry = {"question": question, "way": way, "n_splits": len(group)}
        for metric in metrics:
            values = group[metric].dropna()
            mean, low, high, _ = _mean(values, "in_place") if len(values) else (np.nan,) * 4
            entry |= {metric: mean, f"{metric}_low": low, f"{metric}_high": high}
        rows.append(entry)
    return pd.DataFrame(rows)


def show_downstream(table: pd.DataFrame) -> pd.DataFrame:
    """`downstream_table` as a reader wants it."""
    numbers = {
        "slope": "effect against complete data's",
        "error": "error in its standard errors",
        "width": "standard error against its",
        "coverage": "its estimate inside 95 % intervals",
        "proper": "inside the draws' own",
    }
    shown = {"question": table["question"], "holes": table["way"]}
    for metric, name in numbers.items():
        ends = (f"{metric}_low", f"{metric}_high")
        shown[name] = with_intervals(table, metric, ends, limits=ranges.limits_of(metric))
    for name in CORRECTIONS:
        parts = zip(*(table[f"{kind}_{name}"] for kind in ("significant", "false", "missed")), strict=True)
        shown[f"genes found ({name}): all / false / missed"] = [" / ".join(map(_genes, part)) for part in parts]
    return pd.DataFrame(shown | {"splits": table["n_splits"]})


def _genes(number: float) -> str:
    """How many genes; a mean over splits may have a decimal."""
    return f"{number:.1f}".removesuffix(".0")


def _said_genes(number: float) -> str:
    return f"{_genes(number)} gene{'' if _genes(number) == '1' else 's'}"


def say_downstream(table: pd.DataFrame, ways: Iterable[str] = WAYS) -> str:
    """For each question: what every way finds, falsely finds and misses, and how sure it is of it."""
    lines = []
    for question, group in table.groupby("question", sort=False):
        by_way = group.set_index("way")
        whole = by_way.loc[COMPLETE]
        lines += [f"**{question}**: the complete data give {_said_genes(whole['significant_BH'])} (BH, 5 %).", ""]
        for way in [way for way in ways if way in by_way.index and way != COMPLETE]:
            row = by_way.loc[way]
            text = (
                f"- {way}: {_said_genes(row['significant_BH'])}, {_genes(row['false_BH'])} of them false and "
                f"{_genes(row['missed_BH'])} missed; effects {row['slope']:.2f} of the complete data's; standard "
                f"errors {row['width']:.2f} times its; {100 * row['coverage']:.0f} % of intervals hold its estimate"
            )
            drawn = f", {100 * row['proper']:.0f} % of those from the draws alone (95 % if proper)"
            lines.append(text + (drawn if np.isfinite(row["proper"]) else "") + ".")
        lines.append("")
    return "\n".join(lines).strip()
