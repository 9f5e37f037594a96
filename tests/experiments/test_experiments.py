"""A trial's rows say everything; grids resume, collect failures and never lose or half-write a result; nothing
hidden leaks.
"""

import dataclasses
import types

import anndata
import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.experiments import (
    EVALUATED_FRACTION,
    ResultsStore,
    Trial,
    TrialsFailedError,
    comparison_trials,
    network_budget,
    run_grid,
    run_trial,
    study_plan,
)
from reproduce.experiments.trials import COLUMNS

GENES = [f"G{i}" for i in range(6)]


def cohort(name, tissues, n, seed, genes=GENES):
    rng = np.random.default_rng(seed)
    n_rows = n * len(tissues)
    obs = pd.DataFrame(
        {
            "donor": [f"{name}-{i}" for i in range(n)] * len(tissues),
            "tissue": np.repeat(tissues, n),
            "cohort": name,
            "condition": "normal",
            "sex": rng.choice(["female", "male"], n_rows),
            "age": rng.integers(20, 80, n_rows).astype(float),
        },
        index=[f"{name}-{i}-s" for i in range(n_rows)],
    )
    shared = rng.normal(size=(n_rows, 1))
    X = np.round(np.exp(4 + shared + 0.3 * rng.normal(size=(n_rows, len(genes))))).astype(np.float32)
    return anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=pd.Index(genes)))


@pytest.fixture
def study():
    cohorts = {
        "GTEx": cohort("GTEx", ["Lung", "Colon - Transverse"], 40, 0),
        "LUAD": cohort("LUAD", ["Lung"], 30, 1, genes=GENES[::-1]),
        "COADREAD": cohort("COADREAD", ["Colon - Transverse"], 30, 2),
    }
    return types.SimpleNamespace(name="tiny", cohorts=cohorts, fingerprint="abc", is_real=False)


class Probe:
    """Fills with gene means and remembers all that it was shown."""

    def __init__(self, fail_at=None):
        self.seen, self.fail_at = [], fail_at

    def fit(self, X, y=None, *, covariates=None):
        assert list(covariates.columns) == ["tissue", "sex", "age", "donor"]
        assert covariates.index.equals(X.index)
        self.seen.append(X)
        self.means = X.mean()
        return self

    def transform(self, X, *, covariates=None):
        self.seen.append(X)
        return X.fillna(self.means)

    def fit_transform(self, X, y=None, *, covariates=None):
        return self.fit(X, covariates=covariates).transform(X, covariates=covariates)


@pytest.fixture
def probe(monkeypatch):
    made = []

    def make(name, *, preset=None, random_state=None, **hyperparameters):
        if name == "mice":
            raise RuntimeError("this one breaks")
        made.append(Probe())
        return made[-1]

    monkeypatch.setattr("reproduce.imputers.make_imputer", make)
    return made


def trial(scenario="inductive", method="median", **kwargs):
    extra = {"train": "GTEx/Lung", "test": "LUAD"} if scenario == "cross_cohort" else {}
    return Trial(method=method, scenario=scenario, seed=0, **(extra | kwargs))


# --- the trial ---


@pytest.mark.parametrize("scenario", ["in_place", "inductive", "cross_cohort"])
def test_rows_have_the_columns_and_settings_of_the_trial(study, probe, scenario):
    t = trial(scenario)
    rows = run_trial(t, study).rows
    assert tuple(rows.columns) == COLUMNS
    assert (rows["status"] == "ok").all() and rows["trial_id"].nunique() == 1
    assert set(rows["level"]) == {"overall", "tissue", "gene"}
    assert set(rows.loc[rows["level"] == "gene", "group"]) == set(GENES)
    assert (rows["scenario"] == scenario).all() and (rows["test"] == t.test).all()


@pytest.mark.parametrize("scenario", ["in_place", "inductive", "cross_cohort"])
@pytest.mark.parametrize("transform", ["raw", "log1p", "log1p_depth"])
def test_what_is_hidden_cannot_reach_the_method(study, probe, scenario, transform):
    t = trial(scenario, transform=transform)
    first = run_trial(t, study)
    shown = [frame.copy() for frame in probe[-1].seen]
    # alter the truth of every entry that was hidden from the method: it must see the very same numbers
    target = study.cohorts[t.test]
    visible = shown[-1].reindex(target.obs_names)[target.var_names]
    rows = target.obs_names.isin(shown[-1].index)
    hidden = visible.isna().to_numpy() & rows[:, None]
    assert 0.3 < hidden[rows].mean() < 0.7
    target.X = np.where(hidden, target.X * 100 + 17, target.X).astype(np.float32)
    second = run_trial(t, study)
    for before, after in zip(shown, probe[-1].seen, strict=True):
        pd.testing.assert_frame_equal(before, after)
    assert not first.rows["value"].equals(second.rows["value"])


def test_all_methods_meet_the_same_holes(study, probe):
    run_trial(trial(method="median"), study)
    run_trial(trial(method="knn_5"), study)
    assert probe[0].seen[-1].isna().equals(probe[1].seen[-1].isna())


def test_training_rows_are_complete_or_masked_as_said(study, probe):
    run_trial(trial(), study)
    run_trial(trial(training_rows="masked"), study)
    assert probe[0].seen[0].notna().all(axis=None)
    assert probe[1].seen[0].isna().mean(axis=None) == pytest.approx(0.5, abs=0.1)
    # the rows that are scored have the same holes either way
    assert probe[0].seen[1].isna().equals(probe[1].seen[1].isna())


def test_donors_that_are_fitted_are_not_scored(study, probe):
    run_trial(trial(), study)
    donors = study.cohorts["GTEx"].obs["donor"]
    fitted, filled = (set(donors[frame.index]) for frame in probe[0].seen)
    assert not fitted & filled


def test_genes_are_matched_by_name_across_cohorts(study, probe):
    run_trial(trial("cross_cohort"), study)
    fitted, filled = probe[0].seen
    assert list(fitted.columns) == list(filled.columns) == GENES


def test_a_gene_that_the_target_lacks_is_left_out_of_the_transfer_only(study, probe):
    study.cohorts["LUAD"] = study.cohorts["LUAD"][:, GENES[1:]].copy()
    rows = run_trial(trial("cross_cohort"), study).rows
    assert set(rows.loc[rows["level"] == "gene", "group"]) == set(GENES[1:])
    assert list(probe[0].seen[0].columns) == GENES[1:]
    run_trial(trial(), study)
    assert list(probe[1].seen[0].columns) == GENES


def test_cohorts_that_share_hardly_a_gene_are_not_joined(study, probe):
    study.cohorts["LUAD"] = study.cohorts["LUAD"][:, GENES[:1]].copy()
    assert "1 of 6" in run_trial(trial("cross_cohort"), study).rows["error"].item()


def test_a_matched_cohort_meets_the_model_on_its_scale(study, probe):
    run_trial(trial("cross_cohort"), study)
    fitted, filled = probe[0].seen
    np.testing.assert_allclose(filled.mean(), fitted.mean(), rtol=1e-9)
    np.testing.assert_allclose(filled.std(ddof=0), fitted.std(ddof=0), rtol=1e-9)


def test_one_fit_serves_several_targets(study, probe):
    rows = run_trial(trial("cross_cohort", train="GTEx", test="LUAD+COADREAD"), study).rows
    assert set(rows["test"]) == {"LUAD", "COADREAD"} and len(probe) == 1
    alone = run_trial(trial("cross_cohort", train="GTEx", test="LUAD"), study).rows
    np.testing.assert_array_equal(rows.loc[rows["test"] == "LUAD", "value"], alone["value"])


def test_a_transfer_seed_scores_the_stated_fraction_of_donors(study, probe):
    rows = run_trial(trial("cross_cohort"), study).rows
    n = rows.query("metric == 'mae' and level == 'overall'")["n_evaluated"].item()
    expected = EVALUATED_FRACTION["cross_cohort"] * 30 * len(GENES) * 0.5
    assert n == pytest.approx(expected, rel=0.25)


def test_the_oracle_needs_a_simulated_study(study):
    result = run_trial(trial(method="oracle"), study)
    assert result.failed and "oracle" in result.rows["error"].item()
    study.truth = types.SimpleNamespace(oracle_impute=lambda cohort, X, obs: X.fillna(4.0))
    assert not run_trial(trial(method="oracle"), study).failed


def test_the_oracles_genes_are_matched_by_name(study, probe):
    cohort = study.cohorts["LUAD"]  # its genes stand in another order than the training cohort's
    truth = np.log1p(cohort.to_df())
    study.truth = types.SimpleNamespace(oracle_impute=lambda name, X, obs: truth.loc[obs.index].to_numpy())
    rows = run_trial(trial("cross_cohort", method="oracle"), study).rows
    assert rows.query("metric == 'r2' and level == 'overall'")["value"].item() == pytest.approx(1.0)


# --- its identity ---


def test_ids_depend_on_every_field_and_on_the_data():
    base = trial("cross_cohort", train="GTEx", test="LUAD")
    changes = {
        "method": "knn_1",
        "seed": 1,
        "train": "GTEx/Lung",
        "test": "COADREAD",
        "gene_set": "alzheimer",
        "missing_rate": 0.3,
        "transform": "raw",
        "training_rows": "masked",
        "preset": "full",
        "hyperparameters": {"a": 1},
        "mechanism": "mnar",
        "covariates": ("tissue",),
        "standardisation": "training",
        "gene_matching": "position",
        "gene_alias": "TEP1=PTEN",
        "scored_rows": "tissue_balanced",
    }
    assert set(changes) == {f.name for f in dataclasses.fields(Trial)} - {"scenario", "split"}
    ids = [base.trial_id("x"), base.trial_id("y")]
    ids += [dataclasses.replace(base, **{k: v}).trial_id("x") for k, v in changes.items()]
    assert len(set(ids)) == len(ids)
    assert base.trial_id("x") == dataclasses.replace(base).trial_id("x")


def test_trials_are_hashable_and_keep_hyperparameters_by_value():
    given = {"epochs": 5, "units": [3, 4]}
    t = trial(hyperparameters=given)
    given["epochs"] = 6
    t.hyperparameters["units"].append(9)
    assert dict(t.hyperparameters) == {"epochs": 5, "units": [3, 4]}
    assert len({t, dataclasses.replace(t)}) == 1


@pytest.mark.parametrize(
    "kwargs, named",
    [
        ({"method": "magic"}, "magic"),
        ({"method": "missforest_10"}, "missforest_10"),
        ({"scenario": "sideways"}, "sideways"),
        ({"missing_rate": 1.0}, "missing_rate"),
        ({"transform": "sqrt"}, "sqrt"),
        ({"training_rows": "some"}, "some"),
        ({"mechanism": "mood"}, "mood"),
        ({"test": "LUAD"}, "cross_cohort"),
        ({"scenario": "cross_cohort", "test": "GTEx+LUAD"}, "other than"),
        ({"scenario": "cross_cohort", "train": "GTEx/Lung", "test": "LUAD+GTEx"}, "other than"),
        ({"scenario": "cross_cohort", "test": "LUAD+LUAD"}, "each once"),
        ({"hyperparameters": {"a": object()}}, "plain"),
    ],
)
def test_bad_trials_are_refused(kwargs, named):
    with pytest.raises(ConfigError, match=named):
        trial(**kwargs)


@pytest.mark.parametrize("kwargs, named", [({"train": "GTEx/Brain"}, "Brain"), ({"test": "BRCA"}, "BRCA")])
def test_a_cohort_that_does_not_exist_is_named_in_the_failed_row(study, kwargs, named):
    result = run_trial(trial("cross_cohort", **kwargs), study)
    assert result.failed and named in result.rows["error"].item()


# --- the store and the grid ---


@pytest.fixture
def trials():
    return comparison_trials(["median", "knn_1"], "inductive", n_splits=2)


def test_a_second_run_runs_nothing(study, probe, trials, tmp_path):
    store = ResultsStore(tmp_path)
    first = run_grid(trials, study, store)
    second = run_grid(trials, study, store)
    assert (first.n_run, second.n_run, second.n_skipped) == (4, 0, 4)
    pd.testing.assert_frame_equal(first.rows, second.rows)


def test_a_grid_returns_its_own_trials_only(study, probe, trials, tmp_path):
    store = ResultsStore(tmp_path)
    run_grid(trials, study, store)
    other = run_grid([dataclasses.replace(trials[0], preset="full")], study, store)
    assert other.n_run == 1 and set(other.rows["preset"]) == {"full"}
    assert set(store.read()["preset"]) == {"quick", "full"}


def test_failures_are_rows_and_raised_at_the_end(study, probe, trials, tmp_path):
    store = ResultsStore(tmp_path)
    bad = trial(method="mice")
    with pytest.raises(TrialsFailedError, match="this one breaks"):
        run_grid([bad, *trials], study, store)
    rows = store.read()
    assert set(rows["status"]) == {"ok", "failed"} and rows["trial_id"].nunique() == 5
    grid = run_grid([bad, *trials], study, store, on_failure="return")
    assert len(grid.failures) == 1 and grid.n_run == 1  # the failed one is tried again


def test_a_retry_that_succeeds_replaces_the_failure(study, probe, tmp_path, monkeypatch):
    store, bad = ResultsStore(tmp_path), trial(method="mice")
    run_grid([bad], study, store, on_failure="return")
    monkeypatch.setattr("reproduce.imputers.make_imputer", lambda *a, **k: Probe())
    assert not len(run_grid([bad], study, store).failures)
    assert set(store.read()["status"]) == {"ok"}


def test_an_imputer_that_leaves_holes_fails(study, monkeypatch):
    class Lazy(Probe):
        def transform(self, X, *, covariates=None):
            return X

    monkeypatch.setattr("reproduce.imputers.make_imputer", lambda *a, **k: Lazy())
    assert "not finite" in run_trial(trial(), study).rows["error"].item()


def test_an_interrupted_write_leaves_nothing(study, probe, tmp_path, monkeypatch):
    store = ResultsStore(tmp_path)

    def half(self, path, **kwargs):
        path.write_bytes(b"half a fi")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", half)
        with pytest.raises(KeyboardInterrupt):
            run_grid([trial()], study, store)
    assert list(tmp_path.iterdir()) == []
    assert run_grid([trial()], study, store).n_run == 1


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "x.rows.parquet").write_text("no parquet")
    with pytest.raises(DataFormatError, match=r"x\.rows\.parquet"):
        ResultsStore(tmp_path).read()


def test_training_curves_are_kept(study, tmp_path, monkeypatch):
    class Network(Probe):
        history_ = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5]})

    monkeypatch.setattr("reproduce.imputers.make_imputer", lambda *a, **k: Network())
    store = ResultsStore(tmp_path)
    histories = run_grid([trial()], study, store).histories
    assert histories["train_loss"].tolist() == [1.0, 0.5] and set(histories["method"]) == {"median"}
    store.export(tmp_path / "out" / "part.parquet", [trial()], study)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "part-training.parquet"), histories)


def test_export_does_not_depend_on_the_order_of_runs(study, probe, trials, tmp_path):
    run_grid(trials, study, ResultsStore(tmp_path / "a"))
    run_grid(trials[::-1], study, ResultsStore(tmp_path / "b"))
    one, two = (
        pd.read_parquet(ResultsStore(tmp_path / name).export(tmp_path / f"{name}.parquet", trials, study)).drop(
            columns=["fit_seconds", "impute_seconds"]
        )
        for name in "ab"
    )
    pd.testing.assert_frame_equal(one, two)


def test_the_same_trial_twice_is_an_error(study, tmp_path):
    with pytest.raises(ConfigError, match="twice"):
        run_grid([trial(), trial()], study, ResultsStore(tmp_path))


@pytest.mark.parametrize("kwargs", [{"n_jobs": 0}, {"n_jobs": 1.5}, {"on_failure": "ignore"}])
def test_bad_grid_arguments_are_errors(study, tmp_path, kwargs):
    with pytest.raises(ConfigError):
        run_grid([trial()], study, ResultsStore(tmp_path), **kwargs)


@pytest.mark.slow
def test_worker_processes_give_the_same_rows(study, tmp_path):
    trials = comparison_trials(["median", "knn_1"], "inductive", n_splits=2)
    one = run_grid(trials, study, ResultsStore(tmp_path / "one")).rows
    two = run_grid(trials, study, ResultsStore(tmp_path / "two"), n_jobs=2).rows
    times = ["fit_seconds", "impute_seconds"]
    pd.testing.assert_frame_equal(one.drop(columns=times), two.drop(columns=times))


# --- plans ---


def test_plans_give_fewer_splits_where_asked():
    trials = comparison_trials(
        ["median", "mice", "pmi"],
        "inductive",
        n_splits=3,
        n_splits_by_method={"mice": 1, "pmi": 0, "gain": 2},
        hyperparameters=network_budget(7) | {"mice": {"max_iter": 2}},
        transform="raw",
    )
    assert [(t.method, t.seed) for t in trials] == [("median", 0), ("median", 1), ("median", 2), ("mice", 0)]
    assert dict(trials[-1].hyperparameters) == {"max_iter": 2} and trials[0].transform == "raw"


@pytest.mark.parametrize(
    "kwargs",
    [
        {"n_splits": 0},
        {"n_splits": 2, "n_splits_by_method": {"mice": -1}},
        {"n_splits": 2, "n_splits_by_method": {"mise": 1}},
    ],
)
def test_bad_plans_are_errors(kwargs):
    with pytest.raises(ConfigError):
        comparison_trials(["median"], "inductive", **kwargs)


def test_the_study_asks_for_the_trials_of_every_hypothesis():
    from reproduce.hypotheses import HYPOTHESES

    budget = {"n_splits": 10, "n_splits_by_method": {"iterative_forest": 1}, "network_epochs": 5, "preset": "quick"}
    plan = [t for part in ("in_place", "inductive", "transfer") for t in study_plan(part, oracle=True, **budget)]
    assert len(set(plan)) == len(plan)
    for hypothesis in HYPOTHESES:
        for method in hypothesis.challengers + hypothesis.rivals:
            rows = "masked" if hypothesis.scenario == "in_place" else hypothesis.training_rows
            seeds = {
                t.seed
                for t in plan
                if (t.method, t.scenario, t.training_rows) == (method, hypothesis.scenario, rows)
                and hypothesis.test in t.test.split("+")
            }
            assert len(seeds) == 10
    # the log1p trials of the comparison of scales are those of the inductive comparison: nothing is run twice
    assert {t for t in study_plan("scales", **budget) if t.transform == "log1p"} <= set(plan)
    # the student study's settings are trials of their own, equally long
    settings = study_plan("settings", **budget)
    assert not set(settings) & set(plan) and {t.hyperparameters["epochs"] for t in settings} == {5}
    assert {t.hyperparameters["batch_size"] for t in settings} == {32}
    with pytest.raises(ConfigError, match="ablation"):
        study_plan("ablation", **budget)
