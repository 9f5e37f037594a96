"""Turns measurements of cost into curves, exponents and sentences; never runs a method and never draws.

Seconds are those of the processor, of one thread: on a machine with nothing else to do they are those of the clock,
and where other work runs beside they still tell what the method asks for.

**Exponents.** The slope of log seconds on log size by least squares, each size counted once (median over repeats). For
genes and samples: over the upper half of the sizes (three at least, where there are three), and of these only over
those that take `GROWN` times as long as the least of all sizes did, if two at least do. A cost that does not grow is
no more than that least time, so it is at most a quarter of what is left. Where fewer sizes have grown so far, a fixed
cost may dominate, and would hide growth: the slope of the upper half stands as a lower bound. For the fraction hidden:
over all rates, on the share of entries that is known. Intervals are Student's at 95 %, given from three sizes on.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from scipy import stats

from reproduce.experiments.costs import duration
from reproduce.experiments.scaling import AXES, BASE, LEFT_OUT
from reproduce.tables.summaries import label_of

#: A size shows growth if it takes this many times as long as the least time of all.
GROWN = 4.0
#: The paper's largest matrix.
GENOME_SAMPLES, GENOME_GENES = 15_201, 12_557
#: Parts of the benchmark that fill files.
FILE_PARTS = ("larger_than_memory", "largest_file")
AXIS_WORDS = {"n_genes": "genes", "n_samples": "samples", "missing_rate": "share known"}


# --- curves ---


def size_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """Cost of every method at every size of every axis, the base size in each.

    Parameters
    ----------
    measurements : DataFrame
        Of `reproduce.experiments.scaling.run_scaling`.

    Returns
    -------
    DataFrame
        Columns axis, method, size (genes, samples, or share known), n_samples, n_genes, missing_rate, seconds
        (processor, fit and imputing; median over repeats), low, high (least and most), clock_seconds, peak_memory_gb
        (most), r2 (mean), n_repeats, status, estimated_seconds, note. A size without any measurement that went well
        has NaN but for the estimate.
    """
    rows = []
    for axis in AXES:
        part = measurements[measurements["axis"].isin([BASE, axis])]
        sizes = 1 - part["missing_rate"] if axis == "missing_rate" else part[axis].astype(float)
        for (method, size), group in part.assign(size=sizes.round(6)).groupby(["method", "size"], sort=False):
            rows.append({"axis": axis, "method": method, "size": size} | _summary(group))
    columns = ["axis", "method", "size", *_summary(measurements.head(0))]
    table = pd.DataFrame(rows, columns=columns)
    place = {name: i for i, name in enumerate(dict.fromkeys(measurements["method"]))}
    table["place"] = table["method"].map(place)
    table["axis_place"] = table["axis"].map(AXES.index)
    return table.sort_values(["axis_place", "place", "size"], ignore_index=True).drop(columns=["place", "axis_place"])


def _summary(group: pd.DataFrame) -> dict[str, object]:
    good = group[group["status"] == "ok"]
    seconds = (good["fit_processor_seconds"] + good["impute_processor_seconds"]).astype(float)
    clock = (good["fit_seconds"] + good["impute_seconds"]).astype(float)
    worst = group[group["status"] != "ok"]
    told = good if len(good) else worst
    return {
        **{key: group[key].iloc[0] if len(group) else None for key in ("n_samples", "n_genes", "missing_rate")},
        "seconds": seconds.median(), "low": seconds.min(), "high": seconds.max(), "clock_seconds": clock.median(),
        "peak_memory_gb": good["peak_memory_gb"].astype(float).max(), "r2": good["r2"].astype(float).mean(),
        "n_repeats": len(good), "status": told["status"].iloc[0] if len(told) else "",
        "estimated_seconds": np.nan if len(good) else worst["estimated_seconds"].astype(float).max(),
        "note": told["note"].iloc[0] if len(told) else "",
    }  # fmt: skip


# --- exponents ---


def exponent_table(sizes: pd.DataFrame) -> pd.DataFrame:
    """The power of genes, of samples and of the share known with which each method's time grows; see the module.

    Parameters
    ----------
    sizes : DataFrame
        Of `size_table`.

    Returns
    -------
    DataFrame
        Columns axis, method, exponent, low, high (95 %; NaN below three sizes), n_sizes, smallest, largest (of the
        sizes used), largest_seconds, fixed_cost (whether a cost that does not grow may dominate; then the exponent is a
        lower bound).
    """
    rows = []
    for (axis, method), curve in sizes[sizes["status"] == "ok"].groupby(["axis", "method"], sort=False):
        curve = curve.sort_values("size")
        used, fixed = _asymptotic(curve) if axis != "missing_rate" else (curve, False)
        slope = _slope(np.log(used["size"]), np.log(used["seconds"]))
        ends = (len(used), used["size"].min(), used["size"].max(), curve["seconds"].iloc[-1])
        rows.append((axis, method, *slope, *ends, fixed))
    columns = ["axis", "method", "exponent", "low", "high", "n_sizes", "smallest", "largest", "largest_seconds"]
    return pd.DataFrame(rows, columns=[*columns, "fixed_cost"])


def _asymptotic(curve: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The sizes that the exponent is read from, and whether a fixed cost dominates even there."""
    upper = curve.iloc[-max(min(3, len(curve)), (len(curve) + 1) // 2) :]
    grown = upper[upper["seconds"] >= GROWN * curve["seconds"].min()]
    return (grown, False) if len(grown) >= 2 else (upper, True)


def _slope(x: pd.Series, y: pd.Series) -> tuple[float, float, float]:
    """Slope by least squares with its 95 % interval."""
    if len(x) < 2:
        return np.nan, np.nan, np.nan
    fit = stats.linregress(x, y)
    if len(x) < 3:
        return float(fit.slope), np.nan, np.nan
    half = stats.t.ppf(0.975, len(x) - 2) * fit.stderr
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


# --- one row a method ---


def cost_table(sizes: pd.DataFrame, exponents: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """One row a method: the base size, three exponents, and what a whole genome would take.

    Parameters
    ----------
    sizes, exponents, measurements : DataFrame
        Of `size_table`, `exponent_table` and `reproduce.experiments.scaling.run_scaling`.

    Returns
    -------
    DataFrame
        Columns method, seconds, r2, peak_memory_gb (all at the base size), status, note (of the base), most_memory_gb
        (of all sizes), for each axis AXIS, AXIS_low, AXIS_high, AXIS_fixed, genome_seconds (extrapolated:
        NaN without both exponents), genome_factor (times and divided by which its interval reaches), genome_least
        (whether it is a lower bound, since a fixed cost dominates one of the two), hyperparameters.
    """
    by_key = exponents.set_index(["axis", "method"])
    base = _base_rows(sizes, measurements)
    rows = []
    for method in dict.fromkeys(measurements["method"]):
        at_base, own = base.loc[method], sizes[sizes["method"] == method]
        row = {"method": method, **at_base[["seconds", "r2", "peak_memory_gb", "status", "note"]]}
        row |= {"most_memory_gb": own["peak_memory_gb"].max()}
        found = {axis: by_key.loc[(axis, method)] for axis in AXES if (axis, method) in by_key.index}
        for axis in AXES:
            names = {"": "exponent", "_low": "low", "_high": "high", "_fixed": "fixed_cost"}
            row |= {f"{axis}{end}": found[axis][key] if axis in found else np.nan for end, key in names.items()}
        row |= dict(zip(("genome_seconds", "genome_factor"), _whole_genome(at_base, found), strict=True))
        row["genome_least"] = any(found[axis]["fixed_cost"] for axis in AXES[:2] if axis in found)
        changed = measurements.loc[measurements["method"] == method, "hyperparameters"].iloc[0]
        rows.append(row | {"hyperparameters": changed})
    return pd.DataFrame(rows)


def _base_rows(sizes: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    base = measurements[measurements["axis"] == BASE].iloc[0]
    same = np.logical_and.reduce([sizes[key] == base[key] for key in ("n_samples", "n_genes", "missing_rate")])
    return sizes[same & (sizes["axis"] == AXES[0])].set_index("method")


def _whole_genome(base: pd.Series, found: dict[str, pd.Series]) -> tuple[float, float]:
    """Seconds at 15,201 × 12,557, from the largest number of genes measured on, and the factor of its interval.

    Time is taken for a product of powers of genes and of samples; a power below 0 is taken for 0.
    """
    if not all(axis in found and np.isfinite(found[axis]["exponent"]) for axis in ("n_genes", "n_samples")):
        return np.nan, np.nan
    genes, samples = found["n_genes"], found["n_samples"]
    steps = np.log([GENOME_GENES / genes["largest"], GENOME_SAMPLES / base["n_samples"]])
    powers = np.maximum([genes["exponent"], samples["exponent"]], 0.0)
    halves = np.array([(each["high"] - each["low"]) / 2 for each in (genes, samples)])
    return float(genes["largest_seconds"] * np.exp(steps @ powers)), float(np.exp(np.linalg.norm(steps * halves)))


def show_costs(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `cost_table` as a reader wants it."""
    shown = pd.DataFrame({"method": table["method"].map(label_of)})
    measured = table["status"] == "ok"
    shown["seconds"] = [f"{s:.3g}" if ok else note for s, ok, note in zip(table["seconds"], measured, table["note"])]
    shown["R²"] = [_number(value, ".3f") for value in table["r2"]]
    shown["peak memory, GB"] = [_number(value, ".2f") for value in table["peak_memory_gb"]]
    for axis, words in AXIS_WORDS.items():
        ends = (table[f"{axis}{end}"] for end in ("", "_low", "_high", "_fixed"))
        shown[f"power of {words}"] = [_power(*values) for values in zip(*ends)]
    told = table[["genome_seconds", "genome_factor", "genome_least"]].itertuples(index=False)
    shown[f"would take at {GENOME_SAMPLES:,} × {GENOME_GENES:,}"] = [_extrapolated(*values) for values in told]
    return shown


def _number(value: float, style: str) -> str:
    return "–" if pd.isna(value) else format(value, style)


def _power(exponent: float, low: float, high: float, fixed: float) -> str:
    if pd.isna(exponent):
        return "–"
    interval = "" if pd.isna(low) or fixed else f" [{low:z.2f}, {high:z.2f}]"
    return f"{'≥ ' if fixed else ''}{exponent:z.2f}{interval}"


def _extrapolated(seconds: float, factor: float, least: bool) -> str:
    if pd.isna(seconds):
        return "–"
    # an interval of two orders of magnitude or more says only that the powers are not known well enough
    range_text = f" (×/÷ {factor:.2g})" if np.isfinite(factor) and factor < 100 else ""
    return f"{'at least ' if least else ''}{_time(seconds)}{range_text}"


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def skipped_table(sizes: pd.DataFrame) -> pd.DataFrame:
    """Sizes that were not measured, or not to the end: method, axis, size, and why."""
    return sizes.loc[sizes["status"] != "ok", ["method", "axis", "size", "estimated_seconds", "status", "note"]]


def show_skipped(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `skipped_table` as a reader wants it, one row a method and axis."""
    notes = table["note"].str.removeprefix("skipped: estimated ")
    told = table.assign(told=table["size"].map("{:,g}: ".format) + notes)
    rows = [
        (label_of(method), AXIS_WORDS[axis], "; ".join(part["told"]))
        for (method, axis), part in told.groupby(["method", "axis"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["method", "varied", "not measured: estimate, or what happened"])


def file_table(benchmarks: pd.DataFrame) -> pd.DataFrame:
    """The benchmark's files that are filled from disk to disk, by rows.

    Parameters
    ----------
    benchmarks : DataFrame
        Columns as in `reproduce.benchmarks.table.COLUMNS`, full measurements only.

    Returns
    -------
    DataFrame
        Columns rows, genes, seconds (of the clock), cpu_seconds (of the processor), seconds_per_1000_rows,
        peak_memory_gb; empty if none was measured.
    """
    columns = ["rows", "genes", "seconds", "cpu_seconds", "seconds_per_1000_rows", "peak_memory_gb"]
    return benchmarks.loc[benchmarks["part"].isin(FILE_PARTS), columns].sort_values("rows", ignore_index=True)


# --- sentences ---


def say_setting(measurements: pd.DataFrame) -> str:
    """On which machine, at which base size, and what was left out or shortened."""
    machines = [name for name in dict.fromkeys(measurements["machine"]) if name]
    base = measurements[measurements["axis"] == BASE].iloc[0]
    parts = [
        f"Measured on {' and '.join(machines) or 'no machine'}, one thread. Base size: {base['n_samples']:,} samples × "
        f"{base['n_genes']:,} genes, {100 * base['missing_rate']:.0f} % hidden."
    ]
    if len(machines) > 1:
        parts.append("Each method was measured on one of them only; seconds of different methods compare no more.")
    short = [
        f"{label_of(row.method)} ({epochs} epochs)"
        for row in measurements.drop_duplicates("method").itertuples()
        if (epochs := json.loads(row.hyperparameters).get("epochs"))
    ]
    if short:
        parts.append(f"Trained shorter than by default: {', '.join(short)}.")
    parts.append(f"Not measured: {', '.join(map(label_of, LEFT_OUT))}, which needs another cohort.")
    good = measurements[measurements["status"] == "ok"]
    clock = (good["fit_seconds"] + good["impute_seconds"]) / (
        good["fit_processor_seconds"] + good["impute_processor_seconds"]
    )
    if len(good):
        parts.append(f"Clock over processor time: median {clock.median():.2f}, at most {clock.max():.2f}.")
    return " ".join(parts)


def say_skipped(skipped: pd.DataFrame) -> str:
    """How much was not measured."""
    if skipped.empty:
        return "Every size was measured."
    methods = ", ".join(map(label_of, dict.fromkeys(skipped["method"])))
    return (
        f"{len(skipped)} sizes were not measured, of these methods: {methods}. Their curves end open, at the estimate."
    )


def say_quality(sizes: pd.DataFrame) -> str:
    """Which methods fill no better than a gene's mean somewhere, so that their speed is worth nothing there."""
    bad = sizes[(sizes["status"] == "ok") & ~(sizes["r2"] > 0)]
    if bad.empty:
        return "At every size every method predicts the hidden entries (R² above 0)."
    told = []
    for method, part in bad.groupby("method", sort=False):
        every = (sizes["method"] == method) & (sizes["status"] == "ok")
        where = ", ".join(
            f"{size:,g} {AXIS_WORDS[axis]}" for axis, size in part[["axis", "size"]].itertuples(index=False)
        )
        where = "everywhere" if len(part) == every.sum() else where
        told.append(f"{label_of(method)} ({where})")
    return f"No better than a gene's mean (R² of 0 or less; open circles): {'; '.join(told)}."


def say_files(files: pd.DataFrame) -> str:
    """With which power of the rows the time to fill a file grows, whether that may be 1, and how far memory does."""
    if len(files) < 2:
        return "Too few files were measured to tell how the time grows with rows."
    powers = "; ".join(
        f"{words} {_grown_with_rows(files['rows'], files[column])}"
        for column, words in (("cpu_seconds", "seconds of the processor"), ("seconds", "seconds of the clock"))
    )
    ends, rate, memory = (files[name] for name in ("rows", "seconds_per_1000_rows", "peak_memory_gb"))
    return (
        f"From {ends.iloc[0]:,} to {ends.iloc[-1]:,} rows of {files['genes'].iloc[0]:,} genes, with the power of the "
        f"number of rows: {powers}. By the clock 1,000 rows take {rate.min():.1f} to {rate.max():.1f} s; peak memory "
        f"is {memory.min():.2f} to {memory.max():.2f} GB."
    )


def _grown_with_rows(rows: pd.Series, seconds: pd.Series) -> str:
    power, low, high = _slope(np.log(rows), np.log(seconds))
    if np.isnan(low):
        return f"{power:.2f}"
    linear = "more than linear" if low > 1 else "less than linear" if high < 1 else "which holds linear growth"
    return f"{power:.2f} [{low:.2f}, {high:.2f}], {linear}"


def say_conclusion(table: pd.DataFrame) -> str:
    """Who is fastest, how each grows, and who could fill a whole genome; from `cost_table`."""
    measured = table[table["status"] == "ok"].sort_values("seconds")
    if measured.empty:
        return "Nothing was measured."
    first, last = measured.iloc[0], measured.iloc[-1]
    lines = [
        f"- At the base size {label_of(first['method'])} is the quickest ({_time(first['seconds'])}) and "
        f"{label_of(last['method'])} the slowest ({_time(last['seconds'])})."
    ]
    for axis in ("n_genes", "n_samples"):
        known = measured.dropna(subset=[axis]).sort_values(axis)
        grown = known[~known[f"{axis}_fixed"].astype(bool)]
        told = "; ".join(f"{label_of(row['method'])} {row[axis]:z.1f}" for _, row in grown.iterrows())
        least = known[known[f"{axis}_fixed"].astype(bool)]
        fixed = ", ".join(f"{label_of(row['method'])} {row[axis]:z.1f}" for _, row in least.iterrows())
        text = f"- Powers of the number of {AXIS_WORDS[axis]}: {told or 'none can be told'}."
        lines.append(
            text + (f" At least (within reach, a cost that does not grow may dominate): {fixed}." if fixed else "")
        )
    genome = measured.dropna(subset=["genome_seconds"]).sort_values("genome_seconds")
    if len(genome):
        told = "; ".join(
            f"{label_of(row['method'])} {'at least ' if row['genome_least'] else ''}{_time(row['genome_seconds'])}"
            for _, row in genome.iterrows()
        )
        size = f"{GENOME_SAMPLES:,} samples × {GENOME_GENES:,} genes"
        lines.append(f"- Extrapolated, not measured, to {size}, one thread, memory aside: {told}.")
    return "\n".join(lines)
