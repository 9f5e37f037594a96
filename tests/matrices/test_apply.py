"""New samples of another make are filled as the imputer fills them in its own order; nothing else changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.imputers.gaussian import ConditionalGaussianImputer
from reproduce.imputers.knn import KNNImputer
from reproduce.imputers.surrogate import SurrogateTissueImputer
from reproduce.matrices.apply import apply_model
from reproduce.matrices.genes import identify
from reproduce.matrices.models import Model, covariates_of, training_summary
from reproduce.matrices.units import UnitScale

ENSEMBL = {
    "ENSG00000141510": "TP53", "ENSG00000135679": "MDM2", "ENSG00000124762": "CDKN1A", "ENSG00000087088": "BAX",
    "ENSG00000149311": "ATM", "ENSG00000183765": "CHEK2",
}  # fmt: skip
GENES = tuple(ENSEMBL.values())


def samples(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Expression (float32) with holes and covariates."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) @ np.random.default_rng(0).normal(size=(2, 6)) + 0.3 * rng.normal(size=(n, 6)) + 6
    X[rng.random(X.shape) < 0.3] = np.nan
    index = [f"sample {seed}-{i}" for i in range(n)]
    covariates = pd.DataFrame(
        {
            "tissue": rng.choice(["colon", "lung"], n),
            "age": rng.uniform(20, 70, n),
            "donor": [f"donor {i // 2}" for i in range(n)],
        },
        index=index,
    )
    return pd.DataFrame(X.astype(np.float32), index=index, columns=list(GENES)), covariates


def model_of(imputer, method: str, *, with_covariates: bool = True, units: str = "log", counts=None) -> Model:
    X, covariates = samples(60, seed=1)
    values = X if counts is None else counts
    scale = UnitScale.fit(values, units)
    imputer.fit(scale.to_log(values), covariates=covariates if with_covariates else None)
    summary = training_summary(X, source="training.csv", covariates=covariates)
    return Model(imputer, method, identify(X.columns), scale, covariates_of(imputer), summary, symbols=ENSEMBL)


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(ConditionalGaussianImputer(), "gaussian")


@pytest.fixture
def new():
    return samples(12, seed=2)


def notes_of(applied) -> str:
    return "\n".join(applied.notes)


def test_in_the_models_order_it_is_the_imputer(model, new):
    X, covariates = new
    applied = apply_model(model, X, covariates, uncertainty=True)
    np.testing.assert_array_equal(applied.filled, model.imputer.transform(X, covariates=covariates))
    np.testing.assert_array_equal(applied.sd, model.imputer.conditional_sd(X, covariates=covariates))
    assert (applied.filled.dtypes == np.float32).all()


def test_other_order_of_genes_samples_and_covariates_changes_nothing(model, new):
    X, covariates = new
    expected = apply_model(model, X, covariates).filled
    moved = X.iloc[::-1, [3, 0, 5, 1, 4, 2]]
    filled = apply_model(model, moved, covariates.iloc[:, ::-1]).filled
    assert list(filled.columns) == list(moved.columns) and list(filled.index) == list(moved.index)
    np.testing.assert_allclose(filled.loc[X.index, X.columns], expected, rtol=1e-6)


@pytest.mark.parametrize("version", ["", ".17"])
def test_ensembl_ids_find_symbols_and_keep_their_names(model, new, version):
    X, covariates = new
    renamed = X.rename(columns={symbol: gene + version for gene, symbol in ENSEMBL.items()})
    filled = apply_model(model, renamed, covariates).filled
    assert list(filled.columns) == list(renamed.columns)
    np.testing.assert_array_equal(filled, apply_model(model, X, covariates).filled)


def test_missing_genes_are_missing_and_extra_genes_come_back(model, new):
    X, covariates = new
    fewer = X.drop(columns=["BAX", "ATM"]).assign(LINC99999=np.where(np.arange(12) % 3, np.float32(2.5), np.nan))
    applied = apply_model(model, fewer, covariates, uncertainty=True)
    expected = model.imputer.transform(X.assign(BAX=np.nan, ATM=np.nan), covariates=covariates)
    shared = ["TP53", "MDM2", "CDKN1A", "CHEK2"]
    np.testing.assert_allclose(applied.filled[shared], expected[:, [0, 1, 2, 5]], rtol=1e-6)
    pd.testing.assert_series_equal(applied.filled["LINC99999"], fewer["LINC99999"])
    assert list(applied.filled.columns) == list(fewer.columns)
    assert applied.sd["LINC99999"].isna().equals(fewer["LINC99999"].isna())
    notes = notes_of(applied)
    assert "4 of the model's 6 genes" in notes and "BAX, ATM" in notes
    assert "LINC99999" in notes and "4 missing entries" in notes


def test_few_genes_are_warned_of_and_none_is_an_error(model, new):
    X, covariates = new
    assert "less accurate" in notes_of(apply_model(model, X[["TP53", "ATM"]], covariates))
    assert "less accurate" not in notes_of(apply_model(model, X, covariates))
    with pytest.raises(DataFormatError, match=r"6 genes .*has 0.*5% must.*TP53.*Trp53"):
        apply_model(model, X.set_axis(["Trp53", "Mdm4", "A", "B", "C", "D"], axis=1), covariates)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_known_entries_keep_their_bits_and_inputs_are_not_touched(model, new, dtype):
    X, covariates = new[0].astype(dtype), new[1]
    copies = X.copy(deep=True), covariates.copy(deep=True)
    filled = apply_model(model, X, covariates).filled
    known = X.notna().to_numpy()
    assert filled.to_numpy()[known].tobytes() == X.to_numpy()[known].tobytes()
    assert (filled.dtypes == dtype).all() and filled.notna().to_numpy().all()
    pd.testing.assert_frame_equal(X, copies[0])
    pd.testing.assert_frame_equal(covariates, copies[1])


def test_columns_of_several_dtypes_keep_them(model, new):
    X, covariates = new
    mixed = X.astype({"TP53": np.float64}).assign(CHEK2=np.arange(12))
    filled = apply_model(model, mixed, covariates).filled
    assert filled.dtypes.equals(mixed.dtypes) and filled.notna().to_numpy().all()
    known = mixed.notna()
    assert filled.where(known).equals(mixed)


def test_counts_are_filled_as_counts():
    X, _ = samples(60, seed=1)
    X_new, covariates = samples(12, seed=2)
    counts, new = (np.floor(np.exp2(frame.astype(float))) for frame in (X, X_new))
    model = model_of(ConditionalGaussianImputer(), "gaussian", units="counts", counts=counts)
    once = apply_model(model, new, covariates, uncertainty=True)
    deeper = apply_model(model, new * 4, covariates)
    holes = new.isna().to_numpy()
    assert (once.filled.to_numpy() >= 0).all() and (once.sd.to_numpy()[holes] > 0).all()
    # four times the depth: four times the counts, but for the pseudo-counts of the size factor
    np.testing.assert_allclose(deeper.filled.to_numpy()[holes], 4 * once.filled.to_numpy()[holes], rtol=0.05)
    # a scale of more genes than the model has is one of its own genes
    wider = UnitScale.fit(counts.assign(EXTRA=7.0)[["EXTRA", *GENES]], "counts")
    again = apply_model(dataclasses.replace(model, units=wider), new, covariates)
    np.testing.assert_array_equal(again.filled, once.filled)


def test_other_units_and_foreign_samples_are_told(model, new):
    X, covariates = new
    assert "standard deviations" not in notes_of(apply_model(model, X, covariates))
    told = notes_of(apply_model(model, np.exp2(X * 2), covariates))
    assert "looks like tpm" in told and "standard deviations from the training" in told
    shift = np.where(np.arange(6) % 2, 2, -2) * model.imputer.scale_
    assert "genes' means lie" in notes_of(apply_model(model, (X + shift).astype(np.float32), covariates))


def test_covariates_are_needed_by_name(model, new):
    X, covariates = new
    with pytest.raises(CovariateError, match=r"tissue \(colon, lung\)"):
        apply_model(model, X)
    with pytest.raises(CovariateError, match="lack age"):
        apply_model(model, X, covariates.drop(columns="age"))
    with pytest.raises(CovariateError, match=r"no row for 1 sample.*sample 2-3"):
        apply_model(model, X, covariates.drop(index="sample 2-3"))
    with pytest.raises(CovariateError, match="more than one row"):
        apply_model(model, X, pd.concat([covariates, covariates.iloc[[2]]]))
    plain = apply_model(model, X, covariates).filled
    applied = apply_model(model, X, covariates.drop(columns="donor").assign(batch="b"))
    np.testing.assert_array_equal(applied.filled, plain)
    assert "batch" in notes_of(applied)
    unknown = covariates.assign(tissue=None, age=np.nan)
    assert apply_model(model, X, unknown).filled.notna().to_numpy().all()


def test_an_unseen_level_is_an_error_or_pooled(model, new):
    X, covariates = new
    spleen = covariates.assign(tissue=["spleen", *covariates["tissue"].iloc[1:]])
    with pytest.raises(CovariateError, match=r"1 sample.*'sample 2-0'.*tissue 'spleen'.*colon, lung.*empty.*pool"):
        apply_model(model, X, spleen)
    pooling = model_of(ConditionalGaussianImputer(unknown_category="pool"), "gaussian")
    applied = apply_model(pooling, X, spleen)
    assert "'spleen'" in notes_of(applied)
    unknown = covariates.assign(tissue=[None, *covariates["tissue"].iloc[1:]])
    np.testing.assert_array_equal(applied.filled, apply_model(pooling, X, unknown).filled)


def test_models_without_covariates_and_without_deviations(new):
    X, covariates = new
    model = model_of(KNNImputer(n_neighbors=3), "knn_5", with_covariates=False)
    applied = apply_model(model, X, covariates)
    assert "not used" in notes_of(applied) and applied.sd is None
    with pytest.raises(ConfigError, match="without standard deviations"):
        apply_model(model, X, uncertainty=True)


def test_surrogates_need_donors(new):
    X, covariates = new
    model = model_of(SurrogateTissueImputer(surrogate="colon"), "surrogate")
    with pytest.raises(CovariateError, match="lack donor"):
        apply_model(model, X, covariates.drop(columns="donor"))


def test_samples_without_entries_and_bad_values(model, new):
    X, covariates = new
    empty = X.copy()
    empty.iloc[4] = np.nan
    assert "1 sample(s) have no known entry" in notes_of(apply_model(model, empty, covariates))
    assert apply_model(model, X * np.nan, covariates).filled.notna().to_numpy().all()
    for bad, said in (
        (X.assign(ATM=np.inf), "'sample 2-0', gene 'ATM' is infinite"),
        (X.assign(ATM="many"), "'ATM' has dtype"),
        (X.iloc[:0], "no entry"),
        (pd.concat([X, X[["ATM"]]], axis=1), "ATM"),
    ):
        with pytest.raises(DataFormatError, match=said):
            apply_model(model, bad, covariates.loc[bad.index])


def test_an_imputer_fitted_without_names_is_applied_by_the_models_names(new):
    X, covariates = new
    X_train, train = samples(60, seed=1)
    imputer = ConditionalGaussianImputer().fit(X_train.to_numpy(), covariates=train)
    nameless = Model(imputer, "gaussian", identify(GENES), UnitScale.fit(X_train, "log"), covariates_of(imputer))
    expected = imputer.transform(X.to_numpy(), covariates=covariates)
    np.testing.assert_allclose(apply_model(nameless, X.iloc[:, ::-1], covariates).filled.iloc[:, ::-1], expected)


def test_another_cohort_is_standardised_by_its_own_entries(model):
    X, covariates = samples(40, seed=3)
    own = apply_model(model, X, covariates, uncertainty=True, standardise="own")
    assert "6 genes are standardised by the known entries" in notes_of(own)
    # a gene's level and spread, such as those of another pipeline, then make no difference: filled values follow them
    moved = (X * 2 + np.arange(X.shape[1])).astype(X.dtypes.iloc[0])
    there = apply_model(model, moved, covariates, uncertainty=True, standardise="own")
    np.testing.assert_allclose(there.filled, own.filled * 2 + np.arange(X.shape[1]), atol=1e-3)
    np.testing.assert_allclose(there.sd, own.sd * 2, atol=1e-3)
    assert "genes' means lie" not in notes_of(there)
    far = apply_model(model, moved, covariates).filled - there.filled
    assert np.abs(far.to_numpy()[X.isna().to_numpy()]).max() > 0.5
    with pytest.raises(ConfigError, match="10 known entries"):
        apply_model(model, X.iloc[:5], covariates, standardise="own")
    with pytest.raises(ConfigError, match="standardise"):
        apply_model(model, X, covariates, standardise="batch")
