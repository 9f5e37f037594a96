"""Effects: the right rows paired by seed, and nothing guessed where trials are absent."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.tables.effects import (
    EFFECTS,
    Effect,
    effect_table,
    show_effects,
    show_simulation,
    simulation_beside_real,
)

EFFECT = Effect("raw", "log1p against raw", ("pmi",), {"transform": "raw"})
DEFAULTS = {
    "method": "pmi", "scenario": "inductive", "test": "GTEx", "missing_rate": 0.5, "transform": "log1p",
    "training_rows": "complete", "mechanism": "mcar", "variant": "", "metric": "r2", "level": "overall", "status": "ok",
}  # fmt: skip


def rows(values, **changes):
    return pd.DataFrame([{**DEFAULTS, **changes, "seed": seed, "value": value} for seed, value in values.items()])


LOG, RAW = rows({0: 0.7, 1: 0.8, 2: 0.75}), rows({2: 0.65, 1: 0.6, 0: 0.55, 3: 0.1}, transform="raw")


def test_differences_are_taken_seed_by_seed():
    (row,) = effect_table(pd.concat([LOG, RAW]), [EFFECT]).itertuples()
    differences = [0.15, 0.2, 0.1]
    assert row.difference == pytest.approx(np.mean(differences))
    assert (row.ours, row.other, row.n_splits) == (pytest.approx(0.75), pytest.approx(0.6), 3)
    assert row.low < row.difference < row.high


def test_other_scenarios_levels_metrics_and_failures_are_left_out():
    noise = pd.concat(
        [
            rows({0: -9}, scenario="in_place", training_rows="masked"),
            rows({0: -9}, level="gene"),
            rows({0: -9}, metric="rmse"),
            rows({0: -9}, test="LUAD"),
            rows({5: np.nan}, status="failed"),
            rows({0: -9}, missing_rate=0.3),
            rows({0: -9}, method="gain"),
        ]
    )
    expected = effect_table(pd.concat([LOG, RAW]), [EFFECT])
    pd.testing.assert_frame_equal(effect_table(pd.concat([noise, LOG, RAW]), [EFFECT]), expected)


def test_absent_or_double_trials_are_errors():
    with pytest.raises(DataFormatError, match=r"raw.*run the full preset"):
        effect_table(LOG, [EFFECT])
    with pytest.raises(DataFormatError, match="Several trials per seed"):
        effect_table(pd.concat([LOG, RAW, RAW]), [EFFECT])
    with pytest.raises(DataFormatError, match="no seed in common"):
        effect_table(pd.concat([LOG, RAW[RAW["seed"] == 3]]), [EFFECT])


def test_effects_have_names_of_their_own_and_differ_in_one_way():
    assert len({effect.id for effect in EFFECTS}) == len(EFFECTS)
    assert all(len(effect.other) == 1 for effect in EFFECTS)


def test_shown_effects_carry_sign_and_interval():
    shown = show_effects(effect_table(pd.concat([LOG, RAW]), [EFFECT]))
    assert shown.iloc[0]["difference in R² [95 %]"].startswith("+0.150 [")
    assert shown.iloc[0]["method"] == "PMI"


def scores(means):
    frame = pd.DataFrame([{"method": method, "mean": mean} for method, mean in means.items()])
    frame = frame.assign(scenario="inductive", test="GTEx", transform="log1p", training_rows="complete", n_splits=10)
    frame["low"], frame["high"] = frame["mean"] - 0.01, frame["mean"] + 0.01
    raw, masked = frame.assign(transform="raw"), frame.assign(training_rows="masked")
    return pd.concat([frame, raw.assign(mean=-1.0), masked.assign(mean=-1.0)])


def test_the_simulation_stands_beside_the_real_data():
    real, simulated = (
        scores({"pmi": 0.7, "mice": 0.6, "knn_10": 0.5}),
        scores({"mice": 0.65, "pmi": 0.68, "oracle": 0.9}),
    )
    table = simulation_beside_real(real, simulated)
    assert list(table["method"]) == ["pmi", "mice"]
    np.testing.assert_allclose(table["difference"], [-0.02, 0.05])
    shown = show_simulation(table)
    assert list(shown.columns) == ["method", "inductive: real / simulated"]
    assert shown.iloc[0].tolist() == ["PMI", "0.700 / 0.680"]
