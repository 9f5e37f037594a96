"""Means, paired differences and verdicts of the study of translation between omics layers; never says what was run.

Means over divisions of the samples have 95 % intervals by the corrected t of `reproduce.hypotheses`, since divisions
overlap; with one division there is no interval, and nothing is concluded. Differences are paired by seed. Their
intervals stand for themselves; verdicts rest on p values that Holm adjusts for all contrasts of a section.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from reproduce.domain_translation import comparison
from reproduce.hypotheses import CONFIDENCE, corrected_t, holm
from reproduce.tables.wording import row_with_interval

#: Test over training samples, which the corrected t needs.
OVERLAP = comparison.TEST_SHARE / (1.0 - comparison.TEST_SHARE)
TOO_FEW = "too few divisions to conclude"
_FOUND = ["mean", "low", "high", "n_seeds"]


def intervals(rows: pd.DataFrame, keys: list[str], value: str, ratio: float = OVERLAP) -> pd.DataFrame:
    """Mean of a column over seeds with its interval (NaN for one seed), for each combination of keys."""
    return _over_seeds(rows, keys, value, ratio).drop(columns="p")


def contrasts(
    rows: pd.DataFrame,
    arm: str,
    pairs: Iterable[tuple[str, str]],
    value: str,
    keys: list[str],
    ratio: float = OVERLAP,
) -> pd.DataFrame:
    """Differences of the first of each pair of arms from the second, for each combination of keys.

    Returns
    -------
    DataFrame
        one, other, the keys, mean, low, high, n_seeds, p (two-sided, not adjusted); no row for arms that were not run.
    """
    wide = rows.pivot_table(index=[*keys, "seed"], columns=arm, values=value)
    parts = [pd.DataFrame(columns=["one", "other", *keys, *_FOUND, "p"])]
    for one, other in pairs:
        if {one, other} <= set(wide):
            paired = (wide[one] - wide[other]).dropna().rename("difference").reset_index()
            found = _over_seeds(paired, keys, "difference", ratio)
            parts.append(found.assign(one=one, other=other))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def leaders(
    rows: pd.DataFrame, arm: str, value: str, keys: list[str], ratio: float = OVERLAP, *, lowest: bool = False
) -> pd.DataFrame:
    """For each combination of keys the best arm by its mean ("one"), and how far it is ahead of the second ("other").

    Columns as of `contrasts`, with a difference that is above 0 where `one` is better; `best` is its own mean.
    """
    parts = [pd.DataFrame(columns=["one", "other", *keys, *_FOUND, "p", "best"])]
    for key, group in rows.groupby(keys, sort=False):
        means = group.groupby(arm, sort=False)[value].mean().sort_values(ascending=lowest, kind="stable")
        if len(means) < 2:
            continue
        first, second = means.index[:2]
        found = contrasts(group, arm, [(second, first) if lowest else (first, second)], value, keys, ratio)
        parts.append(found.assign(one=first, other=second, best=means.iloc[0], **dict(zip(keys, key, strict=True))))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def adjusted(**families: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The same tables with `p_holm`, adjusted for all of their rows together: one section of the notebook."""
    together = pd.concat([table["p"] for table in families.values()], ignore_index=True).astype(float)
    found = holm(together) if len(together) else np.zeros(0)
    ends = np.cumsum([len(table) for table in families.values()])[:-1]
    return {
        name: table.assign(p_holm=part)
        for (name, table), part in zip(families.items(), np.split(found, ends), strict=True)
    }


def verdict_of(row: pd.Series, above: str = "better", below: str = "worse") -> str:
    """What a difference of a section says, after Holm."""
    if not np.isfinite(row["low"]):
        return TOO_FEW
    if row["p_holm"] > 1.0 - CONFIDENCE:
        return "undecided"
    return above if row["mean"] > 0 else below


def said_of(row: pd.Series, above: str = "better", below: str = "worse") -> str:
    """A difference, its interval, and what that says."""
    return f"{row_with_interval(row, sign='+')} ({verdict_of(row, above, below)})"


def lead_of(row: pd.Series, labels: dict[str, str] | None = None) -> str:
    """By how much the best is ahead of the second."""
    return f"ahead of {(labels or {}).get(row['other'], row['other'])} by {said_of(row, 'ahead')}"


def enumerated(words: Iterable[str]) -> str:
    """Words as a sentence lists them."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def opened(text: str) -> str:
    """As a sentence begins."""
    return text[0].upper() + text[1:]


def _over_seeds(rows: pd.DataFrame, keys: list[str], value: str, ratio: float) -> pd.DataFrame:
    found = []
    for key, group in rows.groupby(keys, sort=False):
        contrast = corrected_t(group[value], ratio)
        ends = (contrast.low, contrast.high) if np.isfinite(contrast.low) else (np.nan, np.nan)
        p = min(1.0, 2.0 * min(contrast.p_above, contrast.p_below))
        found.append([*key, contrast.mean, *ends, contrast.n_splits, p])
    return pd.DataFrame(found, columns=[*keys, *_FOUND, "p"])
