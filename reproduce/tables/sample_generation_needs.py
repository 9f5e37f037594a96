"""Words and tables of how many samples generators need, and of a class that has few; never trains and never draws."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reproduce.hypotheses import holm
from reproduce.sample_generation.benchmark import ALL_REAL, GENERATORS, NOTHING, WEIGHTS
from reproduce.sample_generation.fidelity import SCORES
from reproduce.tables import ranges
from reproduce.tables.sample_generation_tables import (
    ALPHA,
    LABELS,
    OVERLAP,
    SHORT_LABELS,
    TOO_FEW,
    USEFULNESS,
    long_table,
    ordered,
    p_value,
)  # fmt: skip
from reproduce.tables.summaries import mean_and_interval
from reproduce.tables.wording import row_with_interval, with_intervals

# --- how many samples ---


def size_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means with intervals by method and size; draws are independent, so the ordinary t serves."""
    parts = [long_table(part, list(SCORES), 0.0).assign(n_train=n) for n, part in rows.groupby("n_train")]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def say_sizes(rows: pd.DataFrame, score: str = "mmd") -> str:
    """What more training samples bring to each generator, and what it lacks against the Gaussian with the most.

    The Gaussian is right by construction here, so what another lacks is the price of not knowing the law's form; this
    is said of those alone that surely lack something.
    """
    made = rows[rows["method"].isin(list(GENERATORS))]
    if made.empty:
        return ""
    few, many = made["n_train"].min(), made["n_train"].max()
    if made.groupby(["method", "n_train"])["seed"].nunique().max() < 2:
        return f"What more samples bring: one draw, {TOO_FEW}."
    said = []
    if few < many:
        words = [_say_growth(made[made["method"] == name], score, few, many) for name in ordered(made["method"])]
        said.append(
            f"From {few:,} to {many:,} simulated training samples the {SHORT_LABELS[score]} changes, for "
            f"{'; '.join(words)}."
        )
    said.append(_say_price(made[made["n_train"] == many], score, many))
    return " ".join(part for part in said if part)


def _say_growth(rows: pd.DataFrame, score: str, few: int, many: int) -> str:
    by_size = rows.pivot_table(index="seed", columns="n_train", values=score)
    change = (by_size[many] - by_size[few]).dropna()
    found = mean_and_interval(change, 0.0)
    verdict = "" if found["n_seeds"] > 1 and (found["high"] < 0 or found["low"] > 0) else ", undecided"
    name = LABELS[rows["method"].iloc[0]]
    return f"{name}, from {by_size[few].mean():.4f} by {row_with_interval(found, digits=4, sign='+')}{verdict}"


def _say_price(rows: pd.DataFrame, score: str, n_train: int) -> str:
    by_seed = rows.pivot_table(index="seed", columns="method", values=score)
    others = [name for name in ordered(by_seed.columns) if name != "gaussian"]
    if "gaussian" not in by_seed or not others:
        return ""
    lacks = {name: mean_and_interval((by_seed[name] - by_seed["gaussian"]).dropna(), 0.0) for name in others}
    words = [f"{LABELS[name]} {row_with_interval(lack, digits=4, sign='+')}" for name, lack in lacks.items()]
    sure = [LABELS[name] for name, lack in lacks.items() if lack["low"] > 0]
    return f"With {n_train:,}, against the Gaussian, which has the law's own form: {'; '.join(words)}. " + (
        f"That is the price of not knowing the form ({', '.join(sure)})."
        if sure
        else "None surely lacks anything for not knowing the form."
    )


def say_large(rows: pd.DataFrame) -> str:
    """What a large simulated set of more classes shows."""
    if rows.empty:
        return ""
    first = rows.iloc[0]
    return f"One large set of {first['n_clusters']:.0f} classes. {say_sizes(rows)}"


# --- a rare class ---


def rare_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean balanced accuracy of each remedy, and its difference from doing nothing, division by division.

    For generators the two-sided p of no difference, too, adjusted by Holm over all generators and both rivals.
    """
    by_seed = rows.pivot_table(index="seed", columns="method", values=USEFULNESS)
    records = []
    for method in ordered(rows["method"]):
        record = {"method": method, "label": LABELS[method], **mean_and_interval(by_seed[method].dropna(), OVERLAP)}
        for other in (NOTHING, WEIGHTS):
            gain = (by_seed[method] - by_seed[other]).dropna() if other in by_seed else pd.Series(dtype=float)
            found = mean_and_interval(gain, OVERLAP) if len(gain) else dict.fromkeys(("mean", "low", "high"), np.nan)
            tested = method in GENERATORS and len(gain) > 1
            record |= {f"over_{other}": found["mean"], f"over_{other}_low": found["low"],
                       f"over_{other}_high": found["high"],
                       f"over_{other}_p": p_value(gain, OVERLAP) if tested else np.nan}  # fmt: skip
        records.append(record)
    table = pd.DataFrame(records)
    # one family: all generators against both
    p = table[[f"over_{other}_p" for other in (NOTHING, WEIGHTS)]].to_numpy()
    adjusted, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    adjusted[tested] = holm(p[tested]) if tested.any() else []
    for k, other in enumerate((NOTHING, WEIGHTS)):
        table[f"over_{other}_p_holm"] = adjusted[:, k]
    return table


def _gain(row, other: str) -> dict[str, float]:
    return {
        "mean": row[f"over_{other}"], "low": row[f"over_{other}_low"], "high": row[f"over_{other}_high"],
        "p_holm": row[f"over_{other}_p_holm"],
    }  # fmt: skip


def show_rare(table: pd.DataFrame) -> pd.DataFrame:
    """As a reader wants it."""
    shown = {
        "remedy": table["label"],
        "balanced accuracy": with_intervals(table, limits=ranges.SHARE),
    }
    for other in (NOTHING, WEIGHTS):
        ends = (f"over_{other}_low", f"over_{other}_high")
        gains = with_intervals(table, f"over_{other}", ends, sign="+")
        shown[f"over {LABELS[other]}"] = np.where(table["method"] == other, "–", gains)
    return pd.DataFrame(shown)


def say_rare(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Whether artificial samples of a rare class help, and more than weights do."""
    first, means = rows.iloc[0], table.set_index("method")
    words = [
        f"{first['n_rare']:.0f} samples of {first['rare']} against {first['n_frequent']:.0f} of {first['frequent']} "
        f"(1 : {first['ratio']:.0f}), classifier scored on real test samples."
    ]
    made = [name for name in GENERATORS if name in means.index]
    for other, said in (
        (NOTHING, "Over doing nothing"),
        (WEIGHTS, "Over class weights, which need no artificial sample"),
    ):
        gains = {name: _gain(means.loc[name], other) for name in made}
        parts = [
            f"{LABELS[name]} {row_with_interval(gain, sign='+')} ({_verdict(gain)})"
            for name, gain in gains.items()
            if not np.isnan(gain["mean"])
        ]
        words += [f"{said}: {'; '.join(parts)}."] if parts else []
    if ALL_REAL in means.index:
        words.append(f"All real samples of the class would give {means.loc[ALL_REAL, 'mean']:.3f}.")
    return " ".join(words)


def _verdict(gain: dict[str, float]) -> str:
    if np.isnan(gain["p_holm"]):
        return TOO_FEW
    return "undecided" if gain["p_holm"] >= ALPHA else "better" if gain["mean"] > 0 else "worse"
