"""What single decisions are worth, as paired differences between stored trials; never runs a method.

Each `Effect` names two selections of rows that differ in one decision. Where both hold the same seeds, the difference
is taken seed by seed, and its interval allows for the overlap of splits (see `reproduce.hypotheses`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from reproduce.errors import DataFormatError
from reproduce.experiments.plans import NETWORKS
from reproduce.hypotheses import corrected_t, overlap_ratio
from reproduce.tables.summaries import label_of
from reproduce.tables.wording import with_intervals

#: Hyperparameters of a trial: the class's defaults, or those of the earlier student study.
OWN, STUDENT = "own", "student"
#: What holds unless an effect says otherwise.
BASE = {
    "scenario": "inductive",
    "test": "GTEx",
    "transform": "log1p",
    "missing_rate": 0.5,
    "training_rows": "complete",
    "mechanism": "mcar",
    "variant": "",
    "metric": "r2",
    "settings": OWN,
}


@dataclass(frozen=True)
class Effect:
    """One decision: what is chosen here, what else might be.

    Attributes
    ----------
    id : str
        Documents refer to it.
    decision : str
        "ours against the other", in words.
    methods : tuple of str
        Each is a row of the table.
    other : mapping
        Columns of the results table in which the other choice differs from ours.
    ours : mapping
        Columns in which ours differs from `BASE`.
    """

    id: str
    decision: str
    methods: tuple[str, ...]
    other: Mapping[str, object]
    ours: Mapping[str, object] = field(default_factory=dict)


IN_PLACE = {"scenario": "in_place", "training_rows": "masked"}
EFFECTS = (
    Effect("raw", "log1p against raw counts", ("pmi", "gaussian", "knn_10"), {"transform": "raw"}),
    Effect(
        "depth",
        "log1p against log1p without sequencing depth",
        ("pmi", "gaussian", "knn_10"),
        {"transform": "log1p_depth"},
    ),
    Effect(
        "rows",
        "fitted on complete rows against rows with holes",
        ("gaussian", "mice", "knn_10", "median"),
        {"training_rows": "masked"},
    ),
    Effect(
        "tissue",
        "R² around a gene's mean against its mean within the tissue",
        ("pmi", "gain", "gaussian", "mice", "knn_10"),
        {"metric": "r2_tissue"},
    ),
    Effect("settings", "our settings of the networks against the student study's", NETWORKS, {"settings": STUDENT}),
    Effect("adversary", "GAIN with its discriminator against without", ("gain",), {"method": "gain_mse"}),
    Effect("adversary in place", "the same, in place", ("gain",), {"method": "gain_mse"}, IN_PLACE),
)


def effect_table(results: pd.DataFrame, effects: Iterable[Effect] = EFFECTS) -> pd.DataFrame:
    """Each effect on each of its methods.

    Parameters
    ----------
    results : DataFrame
        Rows of the results table, all of one preset. A column ``settings`` tells trials with other hyperparameters
        apart; without it all are `OWN`.
    effects : iterable of Effect

    Returns
    -------
    DataFrame
        Columns id, decision, method, ours, other (means of the score over the common seeds), difference, low, high
        (95 % interval), n_splits.

    Raises
    ------
    DataFormatError
        If the trials of an effect are not in the table, or are there twice.
    """
    results = results if "settings" in results else results.assign(settings=OWN)
    rows = []
    for effect in effects:
        for method in effect.methods:
            ours = _scores(results, {**BASE, "method": method, **effect.ours}, effect)
            other = _scores(results, {**BASE, "method": method, **effect.ours, **effect.other}, effect)
            both = pd.concat([ours, other], axis=1, keys=["ours", "other"], join="inner")
            if both.empty:
                raise DataFormatError(f"The trials of effect {effect.id!r} on {method} have no seed in common.")
            scenario = {**BASE, **effect.ours}["scenario"]
            contrast = corrected_t(both["ours"] - both["other"], overlap_ratio(scenario))
            means = {"ours": both["ours"].mean(), "other": both["other"].mean(), "difference": contrast.mean}
            interval = {"low": contrast.low, "high": contrast.high, "n_splits": contrast.n_splits}
            rows.append({"id": effect.id, "decision": effect.decision, "method": method, **means, **interval})
    return pd.DataFrame(rows)


def settings_table(own: pd.DataFrame, student: pd.DataFrame) -> pd.DataFrame:
    """The effect "settings" alone, on the networks that both kinds of trials hold."""
    rows = pd.concat([own.assign(settings=OWN), student.assign(settings=STUDENT)])
    run = tuple(name for name in NETWORKS if {name} <= set(own["method"]) & set(student["method"]))
    return effect_table(rows, [replace(effect, methods=run) for effect in EFFECTS if effect.id == "settings"])


def _scores(results: pd.DataFrame, selection: Mapping[str, object], effect: Effect) -> pd.Series:
    """Overall score by seed."""
    keep = (results["status"] == "ok") & (results["level"] == "overall")
    for column, value in selection.items():
        keep &= np.isclose(results[column], value) if isinstance(value, float) else results[column] == value
    scores = results[keep].set_index("seed")["value"].astype(float).dropna()
    if scores.empty:
        raise DataFormatError(f"No trial of effect {effect.id!r} with {dict(selection)}; run the full preset.")
    if scores.index.has_duplicates:
        raise DataFormatError(f"Several trials per seed of effect {effect.id!r} with {dict(selection)}.")
    return scores


def show_effects(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `effect_table` as a reader wants it."""
    return pd.DataFrame(
        {
            "effect": table["id"],
            "decision (ours against the other)": table["decision"],
            "method": table["method"].map(label_of),
            "ours": table["ours"].map("{:.3f}".format),
            "other": table["other"].map("{:.3f}".format),
            "difference in R² [95 %]": with_intervals(table, "difference", sign="+"),
            "splits": table["n_splits"],
        }
    )


# --- the simulation beside the real data ---


def simulation_beside_real(real: pd.DataFrame, simulated: pd.DataFrame) -> pd.DataFrame:
    """Score of each method on the embedded cohort beside its score on the real one.

    Parameters
    ----------
    real, simulated : DataFrame
        Tables of `reproduce.tables.summaries.score_table`.

    Returns
    -------
    DataFrame
        Columns scenario, test, method, real, simulated, difference (simulated − real), real_low, real_high,
        n_splits; on log1p, fitted on complete rows where the fitted rows are not the filled ones; methods that both
        tables hold.
    """
    key = ["scenario", "test", "method"]
    merged = _headline_rows(real).merge(_headline_rows(simulated), on=key, suffixes=("_real", "_simulated"))
    table = merged.rename(
        columns={"mean_real": "real", "mean_simulated": "simulated", "low_real": "real_low", "high_real": "real_high"}
    )
    table["difference"] = table["simulated"] - table["real"]
    table["n_splits"] = merged[["n_splits_real", "n_splits_simulated"]].min(axis=1)
    return table[[*key, "real", "real_low", "real_high", "simulated", "difference", "n_splits"]]


def _headline_rows(table: pd.DataFrame) -> pd.DataFrame:
    keep = (table["transform"] == "log1p") & (
        (table["scenario"] == "in_place") | (table["training_rows"] == "complete")
    )
    return table.loc[keep, ["scenario", "test", "method", "mean", "low", "high", "n_splits"]]


def show_simulation(table: pd.DataFrame, scenarios: Sequence[tuple[str, str]] = ()) -> pd.DataFrame:
    """`simulation_beside_real` as a reader wants it: one row per method, "real / simulated" for each scenario."""
    names = scenarios or [tuple(pair) for pair in table[["scenario", "test"]].drop_duplicates().itertuples(index=False)]
    wide = {}
    for scenario, test in names:
        part = table[(table["scenario"] == scenario) & (table["test"] == test)].set_index("method")
        title = {"in_place": "in place", "cross_cohort": f"to {test}"}.get(scenario, scenario)
        wide[f"{title}: real / simulated"] = part.apply(
            lambda row: f"{row['real']:.3f} / {row['simulated']:.3f}", axis=1
        )
    order = list(dict.fromkeys(table["method"]))
    frame = pd.DataFrame(wide).reindex(order).fillna("–")
    frame.insert(0, "method", [label_of(method) for method in order])
    return frame.reset_index(drop=True)
