"""One sentence a companion study, from its committed tables, for the README; never looks at a kept run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.tables.wording import with_interval, with_intervals

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
    told = zip(with_intervals(chosen, digits=1, sign="+"), chosen["counts"], chosen["verdict"], strict=True)
    words = [f"{gain} nats a cell on {counts} ({verdict})" for gain, counts, verdict in told]
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
        f"{with_interval(row.less_mean, row.less_low, row.less_high, sign='+')} "
        f"({row.direction}, ridge has {reference:.3f})"
        for row in table[table["method"] == _TRANSLATOR].itertuples()
        for reference in table.loc[(table["method"] == _REFERENCE) & (table["direction"] == row.direction), "mean"]
    ]
    return f"R², aligned auto-encoders less ridge: {'; '.join(words)}."


def of_sharing(gains: pd.DataFrame) -> str:
    """What related genes gain by the penalty beyond what strangers do, by cells of a gene."""
    told = with_intervals(gains, digits=2, sign="+")
    words = [f"{gain} with {cells} cells a gene" for gain, cells in zip(told, gains["cells_per_gene"], strict=True)]
    return f"R² gained by the penalty, related genes less unrelated ones: {'; '.join(words)}."
