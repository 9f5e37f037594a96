"""One sentence a companion study, from its committed tables, for the README; never looks at a kept run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError

#: Of the studies of artificial samples and of translation: the method that is asked about, and its rivals.
_GENERATOR, _RIVALS = "wgan_gp", {"smote": "SMOTE", "gaussian": "a Gaussian for each class"}
_TRANSLATOR, _REFERENCE = "aligned", "ridge"


def companion_findings(results: Path) -> pd.DataFrame:
    """What came out.

    Parameters
    ----------
    results : Path
        Folder with the tables of notebooks 10 to 13.

    Returns
    -------
    DataFrame
        notebook, found.

    Raises
    ------
    DataFormatError
        For an absent table.
    """
    made: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
        "10": ("10_single_cell_vae-contrasts", of_counts),
        "11": ("11_sample_generation-contrasts", of_samples),
        "12": ("12_domain_translation", of_translation),
        "13": ("13_multitask_trace_norm-gains", of_sharing),
    }
    found = []
    for notebook, (name, said) in made.items():
        path = results / f"{name}.csv"
        if not path.is_file():
            raise DataFormatError(f"{path}: no such file. It comes from a run of notebook {notebook}.")
        found.append({"notebook": notebook, "found": said(pd.read_csv(path))})
    return pd.DataFrame(found)


def of_counts(contrasts: pd.DataFrame) -> str:
    """The negative binomial against Poisson, on each data set."""
    asked = (contrasts["likelihood"] == "negative_binomial") & (contrasts["reference"] == "poisson")
    chosen = contrasts[asked & ~contrasts["simulated"].astype(bool)]
    if chosen.empty:
        return "Not run on real cells."
    words = [f"{_interval(row, 1)} nats a cell on {row.counts} ({row.verdict})" for row in chosen.itertuples()]
    return f"ELBO of unseen cells, negative binomial less Poisson: {'; '.join(words)}."


def of_samples(contrasts: pd.DataFrame) -> str:
    """In how many scores the conditional WGAN-GP is better or worse than each simpler rival."""
    words = []
    for rival, label in _RIVALS.items():
        verdicts = contrasts.loc[(contrasts["method"] == _GENERATOR) & (contrasts["rival"] == rival), "verdict"]
        counts = ", ".join(f"{kind} in {(verdicts == kind).sum()}" for kind in ("better", "worse", "undecided"))
        words.append(f"against {label} {counts} of {len(verdicts)} scores")
    return f"Artificial samples of a conditional WGAN-GP, {'; '.join(words)} (after Holm over all tests)."


def of_translation(table: pd.DataFrame) -> str:
    """The aligned auto-encoders against ridge regression, in both directions."""
    words = [
        f"{_interval(row, 3, ('less_mean', 'less_low', 'less_high'))} ({row.direction}, ridge has {reference:.3f})"
        for row in table[table["method"] == _TRANSLATOR].itertuples()
        for reference in table.loc[(table["method"] == _REFERENCE) & (table["direction"] == row.direction), "mean"]
    ]
    return f"R², aligned auto-encoders less ridge: {'; '.join(words)}."


def of_sharing(gains: pd.DataFrame) -> str:
    """What related genes gain by the penalty beyond what strangers do, by cells of a gene."""
    words = [f"{_interval(row, 2)} with {row.cells_per_gene} cells a gene" for row in gains.itertuples()]
    return f"R² gained by the penalty, related genes less unrelated ones: {'; '.join(words)}."


def _interval(row, digits: int, names: tuple[str, str, str] = ("mean", "low", "high")) -> str:
    mean, low, high = (f"{getattr(row, name):+.{digits}f}" for name in names)
    return f"{mean} [{low}, {high}]" if np.isfinite(getattr(row, names[1])) else mean
