"""The calibration recovers a law that is known, and the committed tables are what it makes of the real data."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders import calibration
from reproduce.loaders.calibration import CalibrationSettings, calibrate, compare, factor_model, write_tables
from reproduce.loaders.embedded import TABLE_NAMES, read_tables, simulate_cohorts


def as_study(embedded):
    return SimpleNamespace(cohorts=embedded.cohorts)


@pytest.fixture(scope="module")
def known():
    """A study whose law is known, larger than the real one so that the fit has something to hold on to."""
    return as_study(simulate_cohorts(1, n_gtex_lung=800, n_gtex_colon=800, n_luad=800, n_coadread=800))


@pytest.fixture(scope="module")
def refitted(known):
    return calibrate(known)


def test_factor_model_recovers_a_factor_model():
    rng = np.random.default_rng(0)
    loadings, unique = rng.normal(size=(12, 2)), rng.uniform(0.2, 1.0, size=12)
    found, found_unique = factor_model(loadings @ loadings.T + np.diag(unique), 2, n_iterations=2000)
    np.testing.assert_allclose(found @ found.T, loadings @ loadings.T, atol=1e-3)
    np.testing.assert_allclose(found_unique, unique, atol=1e-3)


def test_refitted_law_draws_the_study_it_was_fitted_to(known, refitted):
    sizes = {"n_gtex_lung": 800, "n_gtex_colon": 800, "n_luad": 800, "n_coadread": 800}
    table = compare(known, as_study(simulate_cohorts(7, tables=refitted, **sizes)))
    whole = table[table["gene"] == ""].set_index("statistic")["difference"]
    assert (whole["correlation_agreement"] > -0.05).all()
    assert abs(whole["donor_correlation"]) < 0.04
    assert (whole["transfer_agreement"].abs() < 0.06).all()
    assert (whole["depth_sd"].abs() < 0.03).all()
    assert (whole["age_effect_rms"].abs() < 0.03).all()
    medians = table[table["statistic"] == "quantile_50"]["difference"]
    assert medians.abs().quantile(0.95) < 0.15
    assert medians.abs().median() < 0.03


def test_calibration_is_repeatable(known, refitted):
    again = calibrate(known)
    for name in TABLE_NAMES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(refitted, name))


def test_settings_change_the_outcome(known, refitted):
    fewer = calibrate(known, CalibrationSettings(n_components=2, donor_rank=1))
    assert fewer.components.groupby("block").size().eq(2).all()
    assert refitted.components.groupby("block").size().eq(5).all()
    assert "lung_2" not in fewer.donor and "lung_2" in refitted.donor


def test_tables_come_back_from_csv(refitted, tmp_path):
    assert sorted(path.name for path in write_tables(refitted, tmp_path / "new")) == sorted(
        f"{n}.csv" for n in TABLE_NAMES
    )
    back = read_tables(tmp_path / "new")
    for name in TABLE_NAMES:
        written = getattr(refitted, name).reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(back, name), written, check_dtype=False)


def test_a_study_compared_with_itself_does_not_differ(known):
    table = compare(known, known)
    np.testing.assert_allclose(table["difference"], 0.0, atol=1e-12)
    assert set(table.columns) == {"statistic", "cohort", "tissue", "gene", "real", "simulated", "difference"}


def test_quantiles_of_a_faint_gene_still_rise(known):
    cohort = known.cohorts["LUAD"].copy()
    cohort.X[:, 0] = np.where(np.arange(cohort.n_obs) < 740, 0.0, 3.0)  # mostly zero: tied quantiles
    tables = calibrate(SimpleNamespace(cohorts={**known.cohorts, "LUAD": cohort}))
    row = tables.quantiles[
        (tables.quantiles["block"] == "tcga_luad") & (tables.quantiles["gene"] == cohort.var_names[0])
    ]
    assert (np.diff(row.iloc[0, 2:].to_numpy(dtype=float)) > 0).all()


def test_what_cannot_be_fitted_is_named(known):
    with pytest.raises(DataFormatError, match="no cohort 'LUAD'"):
        calibrate(SimpleNamespace(cohorts={"GTEx": known.cohorts["GTEx"]}))
    with pytest.raises(DataFormatError, match="LUAD, Lung: 10 samples"):
        calibrate(SimpleNamespace(cohorts={**known.cohorts, "LUAD": known.cohorts["LUAD"][:10]}))
    holed = known.cohorts["LUAD"].copy()
    holed.X[0, 0] = np.nan
    with pytest.raises(DataFormatError, match="missing values"):
        calibrate(SimpleNamespace(cohorts={**known.cohorts, "LUAD": holed}))


def test_a_simulated_study_is_not_calibrated_to(tmp_path):
    with pytest.raises(ConfigError, match="name a real study"):
        calibration.main_calibrate("embedded", tmp_path)
    assert not list(tmp_path.iterdir())


# --- against the real data ---


@pytest.fixture(scope="module")
def real(test_data):
    from reproduce.loaders.study import load_study

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REPRODUCE_DATA", str(test_data / "p53"))
        return load_study("student-p53")


def test_committed_tables_are_the_fit_to_the_real_data(real):
    fitted, committed = calibrate(real), read_tables()
    for name in (
        "genes",
        "people",
        "quantiles",
        "covariates",
        "depth",
    ):  # the others depend on scikit-learn's optimiser
        written = getattr(fitted, name).reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(committed, name), written, check_dtype=False, atol=2e-4)


def test_embedded_cohort_resembles_the_real_one(real):
    table = compare(real, as_study(simulate_cohorts(0)))
    whole = table[table["gene"] == ""].set_index("statistic")["difference"]
    assert (whole["correlation_agreement"] > -0.06).all()
    assert (whole["first_component"].abs() < 0.05).all()
    assert (whole["depth_sd"].abs() < 0.04).all()
    assert (whole["transfer_agreement"].abs() < 0.06).all()
    assert abs(whole["donor_correlation"]) < 0.05
    assert table[table["statistic"] == "quantile_50"]["difference"].abs().quantile(0.9) < 0.1


def test_a_conditional_gaussian_scores_alike_on_both(real):
    """Inductive R² of log1p at half hidden: what the simulator exists to carry over."""
    real_scores, simulated_scores = (
        np.mean([gaussian_r2(cohorts["GTEx"], seed) for seed in range(4)])
        for cohorts in (real.cohorts, simulate_cohorts(0).cohorts)
    )
    assert real_scores == pytest.approx(0.79, abs=0.02)
    assert simulated_scores == pytest.approx(real_scores, abs=0.03)


def gaussian_r2(cohort, seed):
    """Ledoit-Wolf per tissue, fitted to three quarters of the donors; mean R² per gene over the rest."""
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(seed)
    log1p = np.log1p(np.asarray(cohort.X, dtype=float))
    donors = rng.permutation(np.unique(cohort.obs["donor"].astype(str)))
    test = cohort.obs["donor"].astype(str).isin(donors[: len(donors) // 4]).to_numpy()
    scaled = (log1p - log1p[~test].mean(0)) / log1p[~test].std(0)
    hidden = rng.random(scaled.shape) < 0.5
    filled = scaled.copy()
    for tissue in cohort.obs["tissue"].unique():
        rows = (cohort.obs["tissue"] == tissue).to_numpy()
        law = LedoitWolf().fit(scaled[rows & ~test])
        for i in np.flatnonzero(rows & test):
            h, v = hidden[i], ~hidden[i]
            weights = np.linalg.solve(law.covariance_[np.ix_(v, v)], scaled[i, v] - law.location_[v])
            filled[i, h] = law.location_[h] + law.covariance_[np.ix_(h, v)] @ weights
    scored = np.where(hidden & test[:, None], scaled, np.nan)
    total = np.nansum((scored - np.nanmean(scored, axis=0)) ** 2, axis=0)
    return np.mean(1 - np.nansum((scored - filled) ** 2, axis=0) / total)
