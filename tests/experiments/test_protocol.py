"""Decisions about rows, genes and covariates change what a method sees as they say; one fit may serve many fills."""

import types
from dataclasses import replace

import numpy as np
import pytest

from reproduce.errors import ConfigError
from reproduce.experiments import ResultsStore, Trial, run_grid, run_trial
from reproduce.experiments.costs import duration, expected_seconds
from reproduce.experiments.rows import prepare_rows, scored_rows
from tests.experiments.test_experiments import GENES, Probe, cohort


@pytest.fixture
def study():
    cohorts = {
        "GTEx": cohort("GTEx", ["Lung", "Colon - Transverse"], 40, 0),
        "LUAD": cohort("LUAD", ["Lung"], 30, 1, genes=[*GENES[:-1], "TEP1"]),
    }
    cohorts["GTEx"].var["ensembl_id"] = [f"E{i}" for i in (3, 1, 2, 0, 5, 4)]
    return types.SimpleNamespace(name="tiny", cohorts=cohorts, fingerprint="abc", is_real=False)


@pytest.fixture
def probe(monkeypatch):
    made = []

    class AnyCovariates(Probe):
        def fit(self, X, y=None, *, covariates=None):
            self.columns = list(covariates.columns)
            self.seen.append(X)
            self.means = X.mean()
            return self

    def make(name, **kwargs):
        made.append(AnyCovariates())
        return made[-1]

    monkeypatch.setattr("reproduce.imputers.make_imputer", make)
    return made


def trial(scenario="inductive", **kwargs):
    extra = {"test": "LUAD"} if scenario == "cross_cohort" else {}
    return Trial(method="median", scenario=scenario, seed=0, **(extra | kwargs))


def test_a_variant_says_what_differs_and_nothing_else():
    assert trial().variant == trial("cross_cohort").variant == trial("in_place").variant == ""
    assert trial(covariates=("sex",), split="sample").variant == "covariates sex; split sample"
    assert trial("cross_cohort", standardisation="training").variant == "standardisation training"
    assert trial(standardisation="training") == trial()


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: trial(covariates=("mood",)), "covariate 'mood'"),
        (lambda: trial("cross_cohort", split="sample"), "no meaning"),
        (lambda: trial("in_place", standardisation="own"), "changes nothing"),
        (lambda: trial(gene_matching="position"), "two cohorts"),
        (lambda: trial("cross_cohort", gene_alias="PTEN"), "TARGET_GENE"),
        (lambda: trial(mechanism="panel", training_rows="masked"), "without any value"),
        (lambda: trial("in_place", mechanism="tissue_block"), "without any value"),
        (lambda: replace(trial(), method="oracle", mechanism="mnar"), "not the best"),
    ],
)
def test_what_has_no_meaning_is_refused(make, named):
    with pytest.raises(ConfigError, match=named):
        make()


def test_methods_see_the_chosen_covariates_only(study, probe):
    run_trial(trial(covariates=("age",)), study)
    assert probe[0].columns == ["age", "donor"]


def test_a_split_by_sample_parts_a_donors_tissues(study):
    def shared(split):
        fitted, (target,) = prepare_rows(trial(split=split), study)
        return set(fitted.obs["donor"]) & set(target.obs["donor"])

    assert not shared("donor")
    assert shared("sample")


def test_own_standardisation_moves_rows_onto_the_training_scale_and_back(study, probe):
    rows = run_trial(trial(standardisation="own"), study).rows
    fitted, shown = probe[0].seen
    np.testing.assert_allclose(shown.mean(), fitted.mean(), rtol=1e-9)
    np.testing.assert_allclose(shown.std(ddof=0), fitted.std(ddof=0), rtol=1e-9)
    assert (rows["status"] == "ok").all() and (rows["variant"] == "standardisation own").all()


def test_matching_by_position_pairs_other_genes(study):
    by_name, _ = prepare_rows(trial("cross_cohort"), study)
    by_position, (target,) = prepare_rows(trial("cross_cohort", gene_matching="position"), study)
    assert list(target.genes) == GENES[:-1] == list(by_name.genes)
    # identifiers 3, 1, 2, 0, 5 of genes 0 to 4 put them into the order 3, 1, 2, 0, 4
    np.testing.assert_array_equal(by_position.truth, by_name.truth[:, [3, 1, 2, 0, 4]])


def test_an_alias_takes_one_gene_for_another(study):
    _, (target,) = prepare_rows(trial("cross_cohort", gene_alias=f"TEP1={GENES[-1]}"), study)
    assert list(target.genes) == GENES
    own = np.log1p(np.asarray(study.cohorts["LUAD"][:, "TEP1"].X, dtype=float))[:, 0]
    np.testing.assert_array_equal(target.truth[:, -1], own)
    failed = run_trial(trial("cross_cohort", gene_alias="TP53=PTEN"), study)
    assert "needs a cohort with a gene 'TP53'" in failed.rows["error"].item()


def test_balanced_scoring_counts_each_tissue_alike(study):
    few = study.cohorts["GTEx"][np.r_[0:40, 40:60]]
    study.cohorts["GTEx"] = few
    balanced = trial(scored_rows="tissue_balanced")
    _, (target,) = prepare_rows(balanced, study)
    counts = target.obs["tissue"].value_counts()
    assert counts.min() < counts.max()
    kept = target.obs.iloc[scored_rows(balanced, target)]["tissue"].value_counts()
    assert set(kept) == {counts.min()}
    assert len(scored_rows(trial(), target)) == len(target.obs)


# --- one fit, many fills ---


def test_trials_that_differ_in_what_they_fill_share_a_fit_and_get_the_same_scores(study, probe, tmp_path):
    trials = [trial(missing_rate=rate, mechanism=name) for rate in (0.2, 0.5) for name in ("mcar", "mnar")]
    trials += [trial(missing_rate=0.2, training_rows="masked"), trial(covariates=("age",))]
    together = run_grid(trials, study, ResultsStore(tmp_path), progress=False)
    assert len(probe) == 3
    alone = [run_trial(t, study).rows for t in trials]
    columns = ["metric", "level", "group", "value", "missing_rate", "mechanism"]
    for rows in alone:
        same = together.rows[together.rows["trial_id"] == rows["trial_id"].iloc[0]].reset_index(drop=True)
        assert same[columns].equals(rows[columns])


def test_a_fit_that_fails_is_not_used_again(study, monkeypatch, tmp_path):
    class Breaks(Probe):
        def fit(self, X, y=None, *, covariates=None):
            raise RuntimeError("this one breaks")

    monkeypatch.setattr("reproduce.imputers.make_imputer", lambda name, **kwargs: Breaks())
    trials = [trial(missing_rate=rate) for rate in (0.2, 0.5)]
    grid = run_grid(trials, study, ResultsStore(tmp_path), on_failure="return", progress=False)
    assert list(grid.rows["status"]) == ["failed", "failed"]


def test_a_genome_has_percentiles_and_no_rows_of_single_genes(study, probe, tmp_path):
    many = [f"W{i}" for i in range(1100)]
    study.cohorts["GTEx"] = cohort("GTEx", ["Lung"], 12, 3, genes=many)
    rows = run_grid([trial()], study, ResultsStore(tmp_path), progress=False).rows
    assert not (rows["level"] == "gene").any() and "r2_p50" in set(rows["metric"])


# --- what would take too long ---


def test_what_would_take_days_is_given_up_before_the_start_and_says_so(study, tmp_path, capsys):
    wide = np.zeros((40, 12_557), dtype=np.float32)
    study.cohorts["GTEx"] = types.SimpleNamespace(shape=wide.shape)
    store = ResultsStore(tmp_path)
    costly = Trial(method="mice", scenario="inductive", seed=0)
    grid = run_grid([costly], study, store, give_up_hours=24.0)
    assert list(grid.rows["status"]) == ["skipped"]
    assert "days" in grid.rows["error"].item() and "days" in capsys.readouterr().err
    assert grid.failures.empty
    # a run that allows more tries it
    assert not store.done(costly.trial_id(study.fingerprint))


def test_estimates_grow_with_genes_as_the_arithmetic_does(study):
    small = types.SimpleNamespace(cohorts={"GTEx": types.SimpleNamespace(shape=(740, 650))})
    large = types.SimpleNamespace(cohorts={"GTEx": types.SimpleNamespace(shape=(740, 6500))})
    ratio = {
        name: expected_seconds(Trial(method=name, scenario="inductive", seed=0), large)
        / expected_seconds(Trial(method=name, scenario="inductive", seed=0), small)
        for name in ("mice", "pmi", "median")
    }
    assert ratio["mice"] > 900 and ratio["pmi"] < 11
    assert duration(30) == "30 s" and duration(600) == "10 min" and duration(36000) == "10.0 h"
    assert duration(86400 * 1500) == "1,500 days"
