"""The donor-clustered comparison against textbook tests, and what each way to fill holes does to a planted effect."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import downstream
from reproduce.experiments.downstream import BLIND, COMPLETE, FITTED, MEDIAN, PROPER, SINGLE, VISIBLE, Question
from reproduce.loaders.study import Study

SEX = Question("men against women", "sex", ("male", "female"))


def study(n_donors=160, n_genes=6, effect=0.8, seed=0):
    """One tissue; men have more of the first gene. Genes share one factor and are hidden half."""
    rng = np.random.default_rng(seed)
    male = np.arange(n_donors) % 2 == 0
    X = rng.normal(size=(n_donors, 1)) + 0.7 * rng.normal(size=(n_donors, n_genes)) + 4
    X[male, 0] += effect
    obs = pd.DataFrame(
        {
            "donor": [f"P{i}" for i in range(n_donors)],
            "tissue": "Lung",
            "cohort": "GTEx",
            "condition": "normal",
            "sex": np.where(male, "male", "female"),
            "age": 50.0,
        },
        index=[f"s{i}" for i in range(n_donors)],
    )
    var = pd.DataFrame({"ensembl_id": [f"E{j}" for j in range(n_genes)]}, index=[f"G{j}" for j in range(n_genes)])
    cohort = AnnData(np.expm1(X).clip(min=0).astype(np.float32), obs=obs, var=var)
    return Study("made", "Made up", {"GTEx": cohort}, False, (), f"{seed:012d}", None)


def test_donors_in_one_group_each_give_welchs_test():
    rng = np.random.default_rng(0)
    X, first = rng.normal(size=(200, 3)) * [1, 2, 3], np.arange(200) < 70
    estimate, variance, freedom = downstream.compare_means(X, first, np.arange(200))
    for gene in range(3):
        expected = stats.ttest_ind(X[first, gene], X[~first, gene], equal_var=False)
        assert estimate[gene] / np.sqrt(variance[gene]) == pytest.approx(expected.statistic, rel=1e-9)
        assert freedom[gene] == pytest.approx(expected.df, rel=1e-9)


def test_donors_in_both_groups_give_the_paired_test():
    rng = np.random.default_rng(0)
    person = rng.normal(size=(60, 1)) * 3
    X = np.vstack([person + rng.normal(size=(60, 1)) + 0.5, person + rng.normal(size=(60, 1))])
    estimate, variance, freedom = downstream.compare_means(X, np.arange(120) < 60, np.tile(np.arange(60), 2))
    expected = stats.ttest_rel(X[:60, 0], X[60:, 0])
    assert estimate[0] / np.sqrt(variance[0]) == pytest.approx(expected.statistic, rel=1e-9)
    assert freedom[0] == pytest.approx(59)


def test_missing_entries_are_left_out_and_too_few_are_refused():
    rng = np.random.default_rng(0)
    X, first = rng.normal(size=(40, 2)), np.arange(40) < 20
    X[:15, 1] = np.nan
    estimate, variance, _ = downstream.compare_means(X, first, np.arange(40))
    one, sd, _ = downstream.compare_means(X[15:, 1:], first[15:], np.arange(25))
    assert estimate[1] == pytest.approx(one[0]) and variance[1] == pytest.approx(sd[0])
    X[:19, 1] = np.nan
    with pytest.raises(DataFormatError, match="1 known entries"):
        downstream.compare_means(X, first, np.arange(40))


def test_what_each_way_does_to_a_planted_effect():
    made = study()
    table = pd.concat([downstream.run_question(SEX, made, seed, n_draws=10) for seed in range(6)])
    planted = table[table["gene"] == "G0"].groupby("way")[["estimate", "standard_error"]].mean()
    whole = planted.loc[COMPLETE]
    for way in (VISIBLE, MEDIAN, SINGLE, FITTED, PROPER):  # they know the groups
        assert planted.at[way, "estimate"] == pytest.approx(whole["estimate"], rel=0.25)
    # a Gaussian that does not know who is a man draws half of the men like anybody
    assert planted.at[BLIND, "estimate"] < 0.8 * whole["estimate"]
    error = planted["standard_error"]
    assert error[MEDIAN] < 0.85 * error[COMPLETE]  # constants look like certainty
    assert error[COMPLETE] < error[PROPER] < error[VISIBLE]
    assert table.loc[table["way"] == FITTED, "between"].mean() < table.loc[table["way"] == PROPER, "between"].mean()


def test_a_split_is_run_once(tmp_path, monkeypatch):
    made = study(n_donors=60)
    arguments = ([SEX], made, tmp_path, "14_beyond_the_paper-downstream")
    table = downstream.run_downstream(*arguments, n_splits=1, n_draws=2)
    assert list(table.columns) == list(downstream.COLUMNS) and set(table["way"]) == set(downstream.WAYS)

    def fail(*_, **__):
        raise AssertionError("run again")

    monkeypatch.setattr(downstream, "prepare_rows", fail)
    pd.testing.assert_frame_equal(downstream.run_downstream(*arguments, n_splits=1, n_draws=2), table)
    with pytest.raises(AssertionError, match="run again"):
        downstream.run_downstream(*arguments, n_splits=1, n_draws=3)


def test_a_group_without_samples_is_named():
    with pytest.raises(ConfigError, match="Colon"):
        downstream.run_question(downstream.QUESTIONS[0], study(n_donors=40), 0)


def test_a_threshold_divides_numbers_and_unknown_ones_are_left_out():
    obs = pd.DataFrame({"age": [70.0, 60.0, 59.0, np.nan, 80.0], "tissue": ["Lung"] * 4 + ["Colon - Transverse"]})
    age = next(question for question in downstream.QUESTIONS if question.column == "age")
    group = age.group_of(obs)
    assert list(group[:3]) == ["60 and over", "60 and over", "under 60"] and group[3:].isna().all()
