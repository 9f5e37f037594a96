"""Units are told from values, and the way to the logarithmic scale leads back without touching what is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproduce.errors import ConfigError, DataFormatError
from reproduce.matrices.units import UNITS, UnitScale, detect_units


def counts(seed=0, n=30, p=40, missing=0.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    mean = rng.lognormal(4, 2, p) * rng.lognormal(0, 0.7, (n, 1))
    X = rng.poisson(mean).astype(dtype)
    X[rng.random(X.shape) < missing] = np.nan
    return pd.DataFrame(X, index=[f"s{i}" for i in range(n)], columns=[f"g{j}" for j in range(p)])


def per_million(X):
    return X.div(X.sum(axis=1), axis=0) * 1e6


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (counts(), "counts"),
        (counts(missing=0.5), "counts"),
        (per_million(counts()), "tpm"),
        (per_million(counts(missing=0.3)), "tpm"),
        (np.log2(1 + counts()), "log"),
        (counts() * 0 - 1.5, "log"),
        (counts() * 0 + 3, "counts"),
    ],
)
def test_units_are_told_with_a_reason(values, units):
    found, reason = detect_units(values)
    assert found == units and len(reason) > 20


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(UNITS), st.integers(0, 1000), st.floats(0, 0.6), st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1e-3, 1.0, 1e3]),
)  # fmt: skip
def test_the_way_back_returns_what_was_hidden(units, seed, missing, dtype, factor):
    truth = (counts(seed) * factor).astype(dtype)
    truth = np.log2(1 + truth) if units == "log" else truth
    holes = np.random.default_rng(seed).random(truth.shape) < missing
    holes[:, 0] = False
    values = truth.mask(holes)
    scale = UnitScale.fit(values, units)
    log = scale.to_log(values)
    assert log.isna().equals(values.isna()) and (log.dtypes == values.dtypes).all()
    perfect = np.log2(1 + truth.astype(float) / scale.size_factors(values)[:, None]) if units != "log" else truth
    back = scale.from_log(perfect, values)
    np.testing.assert_array_equal(back.to_numpy()[~holes], values.to_numpy()[~holes])
    np.testing.assert_allclose(back.to_numpy()[holes], truth.to_numpy()[holes], rtol=1e-4, atol=1e-6)
    assert (back.dtypes == values.dtypes).all()


def test_filled_counts_are_never_negative_nor_infinite():
    values = counts(missing=0.3)
    scale = UnitScale.fit(values, "counts")
    for z in (-5.0, 1e6):
        back = scale.from_log(pd.DataFrame(z, values.index, values.columns), values)
        assert np.isfinite(back.to_numpy()).all() and (back.to_numpy() >= 0).all()


def test_depth_is_taken_out_whichever_genes_are_known():
    whole = counts(n=60, p=400)
    rng = np.random.default_rng(1)
    scale = UnitScale.fit(whole, "counts")
    factors = scale.size_factors(whole)
    for _ in range(3):
        part = scale.size_factors(whole.mask(rng.random(whole.shape) < 0.5))
        assert np.abs(np.log2(part / factors)).max() < 0.3
    deeper = scale.size_factors(whole * 8)
    assert np.median(deeper / factors) == pytest.approx(8, rel=0.1)


def test_what_cannot_be_is_refused_by_name():
    values = counts()
    values.iloc[2, 3] = -1
    with pytest.raises(DataFormatError, match="sample s2, gene g3"):
        UnitScale.fit(values, "counts")
    assert UnitScale.fit(values, "log").to_log(values) is values
    with pytest.raises(ConfigError, match="fpkm"):
        UnitScale.fit(values, "fpkm")
    with pytest.raises(ConfigError, match="in their order"):
        UnitScale.fit(counts(), "tpm").to_log(counts().iloc[:, ::-1])
