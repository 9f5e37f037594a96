"""How a mean and its interval are written, in every table and sentence; never computes either."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reproduce.tables import ranges


def with_interval(
    mean: float,
    low: float,
    high: float,
    *,
    digits: int = 3,
    sign: str = "",
    limits: tuple[float, float] = ranges.ANY,
) -> str:
    """A number and its interval, which is never broken over two lines.

    Parameters
    ----------
    mean, low, high : float
        In the score's unit; without finite ends there is no interval, without a number there is a dash.
    digits : int, default 3
        After the point.
    sign : {"", "+"}
        "+" for differences, which then carry their sign above 0 as well.
    limits : tuple of float
        Least and most that the score can be, where the interval ends, see `reproduce.tables.ranges`.
    """
    if np.isnan(mean):
        return "–"
    low, high = ranges.cut(low, high, limits)
    interval = f" {interval_text(low, high, digits=digits, sign=sign)}" if np.isfinite(low) else ""
    return f"{mean:{sign},.{digits}f}{interval}"


def row_with_interval(
    row: Mapping[str, float] | pd.Series,
    value: str = "mean",
    ends: tuple[str, str] = ("low", "high"),
    *,
    digits: int = 3,
    sign: str = "",
    limits: tuple[float, float] = ranges.ANY,
) -> str:
    """`with_interval` of a row, of the columns named."""
    low, high = ends
    return with_interval(row[value], row[low], row[high], digits=digits, sign=sign, limits=limits)


def with_intervals(
    table: pd.DataFrame,
    value: str = "mean",
    ends: tuple[str, str] = ("low", "high"),
    *,
    digits: int = 3,
    sign: str = "",
    limits: tuple[float, float] = ranges.ANY,
) -> list[str]:
    """`with_interval` row by row, of the columns named."""
    rows = table[[value, *ends]].itertuples(index=False, name=None)
    return [with_interval(*row, digits=digits, sign=sign, limits=limits) for row in rows]


def interval_text(low: float, high: float, *, digits: int = 3, sign: str = "") -> str:
    """An interval, never broken over two lines."""
    return f"[{low:{sign},.{digits}f},\u00a0{high:{sign},.{digits}f}]"


def plus_minus(mean: float, low: float, high: float) -> str:
    """A number ± half of its interval; without it if it is infinite."""
    half = (high - low) / 2
    return f"{mean:.3f}" + (f" ± {half:.3f}" if np.isfinite(half) else "")
