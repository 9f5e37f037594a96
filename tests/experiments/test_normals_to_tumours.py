"""Tumours filled with their tissue's normals: only where a study has both, and each cohort with its own."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from reproduce.experiments import ResultsStore, normals_to_tumours
from reproduce.loaders.study import Study
from reproduce.tables import transfer_tables


@pytest.fixture
def study():
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(2, 8))

    def cohort(name, tissues):
        n = len(tissues)
        log = 5 + rng.normal(size=(n, 2)) @ loadings + 0.3 * rng.normal(size=(n, 8))
        obs = {"donor": [f"{name}{i}" for i in range(n)], "tissue": tissues, "cohort": name, "condition": "x"}
        obs = pd.DataFrame(obs | {"sex": "female", "age": 50.0}, index=[f"{name}-{i}" for i in range(n)])
        genes = pd.DataFrame({"ensembl_id": [f"E{j}" for j in range(8)]}, index=[f"G{j}" for j in range(8)])
        return ad.AnnData(np.expm1(log).clip(0).astype(np.float32), obs=obs, var=genes)

    cohorts = {"Normal": cohort("Normal", ["Lung"] * 60 + ["Colon"] * 60), "A": cohort("A", ["Lung"] * 20)}
    return Study(name="x", title="X", cohorts=cohorts, is_real=False, notes=(), fingerprint="f" * 12, truth=None)


def test_each_tumour_gets_its_own_tissues_normals(study, tmp_path, monkeypatch):
    monkeypatch.setattr("reproduce.loaders.study.companion_source", lambda data, kind: "rnaseqdb")
    monkeypatch.setattr("reproduce.loaders.study.load_study", lambda name, gene_set: study)
    store, path = ResultsStore(tmp_path / "trials"), tmp_path / "normals.parquet"
    run = normals_to_tumours.run_normals_to_tumours("auto", store, path, n_seeds=2, preset="smoke")
    assert {each.references for each in run.plan} == {(), ("Normal/Lung",)}
    rule = transfer_tables.rule_table(transfer_tables.seed_scores(run.rows, run.plan, run.study))
    assert list(rule["target"]) == ["A"] and rule["n_patients"].iloc[0] == 20
    # twenty tumours tell less of eight genes than sixty normals of the same law
    assert rule["gain"].iloc[0] > 0
    assert set(pd.read_parquet(path)["trial_id"]) == set(run.rows["trial_id"])


def test_without_tumours_nothing_is_claimed(tmp_path):
    store = ResultsStore(tmp_path / "trials")
    run = normals_to_tumours.run_normals_to_tumours(
        "embedded", store, tmp_path / "x.parquet", n_seeds=1, preset="smoke"
    )
    rule = transfer_tables.rule_table(transfer_tables.seed_scores(run.rows, run.plan, run.study))
    assert rule.empty
    assert transfer_tables.say_transfer(rule).startswith("There are no tumours")
