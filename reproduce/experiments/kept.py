"""Keeps what single runs give in one CSV, so that an interrupted run goes on from there; never computes a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from reproduce.files import write_table

Item = TypeVar("Item")


def run_kept(
    wanted: Mapping[str, Item],
    run: Callable[[Item], pd.DataFrame],
    folder: str | Path,
    name: str,
    columns: Sequence[str],
) -> pd.DataFrame:
    """The rows of every run; what stands in ``folder/name.csv`` already is kept, what is not wanted is dropped.

    Parameters
    ----------
    wanted : mapping of str to object
        What to run, by an identity that knows all that its rows rest on, the code included.
    run : callable
        Gives the rows of one, with all columns but the identity.
    folder : path-like
    name : str
        File name without its ending; written after each run.
    columns : sequence of str
        Of the file, that of the identity first; further ones that a run gives follow.

    Returns
    -------
    DataFrame
        In the order of `wanted`.
    """
    path, columns = Path(folder) / f"{name}.csv", list(columns)
    identity = columns[0]
    kept = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)
    kept = kept[kept[identity].isin(wanted)]
    for key, item in wanted.items():
        if key not in set(kept[identity]):
            found = run(item).assign(**{identity: key})
            found = found[[*columns, *found.columns.difference(columns, sort=False)]]
            kept = pd.concat([part for part in (kept, found) if len(part)], ignore_index=True)
            write_table(kept, folder, name)
    order = {key: position for position, key in enumerate(wanted)}
    kept = kept.sort_values(identity, key=lambda keys: keys.map(order), kind="stable", ignore_index=True)
    write_table(kept, folder, name)
    return pd.read_csv(path)  # as it is kept, so that a repeated run has the same digits
