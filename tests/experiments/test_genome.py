"""Genomes: tumours filled with and without their own entries, on a small study of normals and two tumour cohorts."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from reproduce.experiments import ResultsStore, genome
from reproduce.loaders.study import Study
from reproduce.tables import genome_tables


def small_study():
    """Counts of genes that share three factors; the tumours' factors are the normals', their means are not."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 40))

    def cohort(name, n, shift, tissue):
        log = 5 + shift + rng.normal(size=(n, 3)) @ loadings * 0.5 + 0.2 * rng.normal(size=(n, 40))
        obs = pd.DataFrame({
            "donor": [f"{name}{i}" for i in range(n)], "tissue": tissue, "cohort": name, "condition": "x",
            "sex": "female", "age": 50.0,
        }, index=[f"{name}-{i}" for i in range(n)])  # fmt: skip
        genes = pd.DataFrame({"ensembl_id": [f"E{j}" for j in range(40)]}, index=[f"G{j:02d}" for j in range(40)])
        return ad.AnnData(np.expm1(log).clip(0).astype(np.float32), obs=obs, var=genes)

    cohorts = {
        "Normal": cohort("Normal", 80, 0.0, "lung"),
        "A": cohort("A", 40, rng.normal(size=40), "lung"),
        "B": cohort("B", 30, rng.normal(size=40), "lung"),
    }
    return Study(
        name="small", title="Small", cohorts=cohorts, is_real=False, notes=(), fingerprint="f" * 12, truth=None
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    scores = genome.run_tumours(small_study(), "all", folder, "tumours", seeds=range(2), preset="smoke")
    return folder, scores


def test_seeing_the_tumours_helps_and_means_do_not_tell_rows_apart(run):
    _, scores = run
    together = scores[scores["cohort"] == genome.ALL_TUMOURS].groupby("arm")["r2"].mean()
    assert together[genome.STACKED] > together[genome.MEAN_OF_ALL] + 0.3
    within = scores[scores["cohort"] == "A"].groupby("arm")["r2"].mean()
    assert within[genome.MEAN_OF_COHORT] < 0.01
    assert within[genome.NORMALS_ONLY] > 0.3
    assert set(scores["cohort"]) == {genome.ALL_TUMOURS, "A", "B"}


def test_an_interrupted_run_goes_on_where_it_stopped(run, monkeypatch):
    folder, scores = run
    monkeypatch.setattr(genome, "prepare_rows", None)  # would fail if anything were computed anew
    again = genome.run_tumours(small_study(), "all", folder, "tumours", seeds=range(2), preset="smoke")
    pd.testing.assert_frame_equal(again, scores)


def test_the_tables_say_what_was_scored(run, tmp_path):
    _, scores = run
    from reproduce.experiments import run_grid

    study = small_study()
    trials = genome.normals_plan(study, "all", n_splits=2, preset="smoke")
    normals = genome_tables.normals_table(run_grid(trials, study, ResultsStore(tmp_path / "t"), progress=False).rows)
    tumours = genome_tables.tumour_table(scores)
    assert list(tumours["arm"][:4]) == list(genome.ARMS)
    assert tumours["cohort"].iloc[0] == genome.ALL_TUMOURS
    assert genome_tables.show_tumours(tumours).shape == (3, 6)
    text = genome_tables.say_genome(normals, tumours)
    assert normals["label"].iloc[0] in text
    stacked = tumours[(tumours["arm"] == genome.STACKED) & (tumours["cohort"] == genome.ALL_TUMOURS)]["mean"].iloc[0]
    assert f"{stacked:.3f}" in text
    assert genome_tables.say_genome(normals.iloc[:0], tumours).startswith("This preset")
