"""Says which method to use, as measured on real data; never imputes and never measures.

The table beside this file is a copy of the committed run's advice (notebook 14), renewed by `reproduce readme`.
"""

from __future__ import annotations

from importlib import resources

import pandas as pd

from reproduce.errors import ConfigError

#: The table, in the package's folder of presets.
FILE = "advice.csv"
COLUMNS = ("scenario", "limit_seconds", "method")


def advised_method(scenario: str, seconds: float = float("inf")) -> str:
    """The method that filled best in the time one has.

    Parameters
    ----------
    scenario : {"in_place", "inductive", "cross_cohort"}
        For "cross_cohort" the advice is that for "inductive": there too a fitted method fills other samples.
    seconds : float, default inf
        What one is willing to wait for a matrix of the case study's size (some hundreds of samples, 65 genes).

    Returns
    -------
    str
        Key of `reproduce.imputers.METHODS`.

    Raises
    ------
    ConfigError
        For an unknown scenario, or a time in which nothing good can be done.
    """
    table = read_advice()
    known = {"cross_cohort": "inductive"}.get(scenario, scenario)
    rows = table[table["scenario"] == known]
    if rows.empty:
        raise ConfigError(
            f"There is no advice for scenario {scenario!r}; it is for {', '.join(table['scenario'].unique())}."
        )
    rows = rows[rows["limit_seconds"] <= seconds]
    if rows.empty:
        raise ConfigError(
            f"No method fills well in {seconds:g} s; the least limit with advice is "
            f"{table.loc[table['scenario'] == known, 'limit_seconds'].min():g} s."
        )
    return str(rows.sort_values("limit_seconds")["method"].iloc[-1])


def read_advice() -> pd.DataFrame:
    """The table: columns scenario, limit_seconds, method."""
    with resources.files("reproduce.imputers").joinpath("presets", FILE).open("rb") as file:
        return pd.read_csv(file)
