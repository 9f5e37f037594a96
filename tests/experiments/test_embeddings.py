"""Silhouettes against scikit-learn, permutations against chance, and vectors that are learnt once."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_samples, silhouette_score

from reproduce.errors import ConfigError
from reproduce.experiments import ResultsStore, embeddings, run_grid
from reproduce.experiments.tissues import embedding_trials, tissue_plan, tissue_study
from reproduce.loaders.gtex_tissues import tissue_table
from reproduce.loaders.study import Study
from reproduce.loaders.tissue_simulator import simulate_tissues

TISSUES = list(tissue_table().query("n_eqtl_samples > 0").index)


def points(seed=0, n_dimensions=8):
    values = np.random.default_rng(seed).normal(size=(len(TISSUES), n_dimensions))
    return pd.DataFrame(values, index=pd.Index(TISSUES, name="tissue"))


def planted(strength):
    table, brain = points(), embeddings.grouping(TISSUES, "brain") == "Brain"
    table.loc[brain.to_numpy(), 0] += strength
    return table


def as_vectors(table, method="pmi", seed=0):
    table = table.add_prefix("d").rename_axis("tissue").reset_index()
    return table.assign(trial_id="t", method=method, seed=seed)


def distances(table):
    return np.linalg.norm(table.to_numpy()[:, None] - table.to_numpy()[None], axis=2)


@pytest.mark.parametrize("n_groups", [2, 5, 30])
def test_silhouettes_are_scikit_learns(n_groups):
    rng, table = np.random.default_rng(n_groups), points()
    codes = np.stack([rng.permutation(np.arange(len(table)) % n_groups) for _ in range(4)])  # 30: some stand alone
    expected = [silhouette_score(table.to_numpy(), each) for each in codes]
    np.testing.assert_allclose(embeddings.silhouettes(distances(table), codes), expected, atol=1e-12)
    of_one = [silhouette_samples(table.to_numpy(), each)[each == 1].mean() for each in codes]
    np.testing.assert_allclose(embeddings.silhouettes(distances(table), codes, of_group=1), of_one, atol=1e-12)


def test_a_permutation_of_the_labels_is_what_the_null_holds():
    table, labels = points(), embeddings.grouping(TISSUES, "organ")
    test = embeddings.cluster_test(table, labels, n_permutations=400)
    rng, X = np.random.default_rng(5), table.loc[labels.index].to_numpy()
    null = [silhouette_score(X, rng.permutation(labels.to_numpy())) for _ in range(200)]
    assert test["null_mean"] == pytest.approx(np.mean(null), abs=5 * np.std(null) / np.sqrt(200))
    assert test["silhouette"] == pytest.approx(silhouette_score(X, labels))


def test_one_tight_group_counts_however_scattered_the_others_are():
    table, labels = points(), embeddings.grouping(TISSUES, "brain")
    table.loc[(labels == "Brain").to_numpy()] *= 0.3  # in the middle of the others, but close together
    found = embeddings.cluster_test(table, labels, of_group="Brain", n_permutations=200)
    blurred = embeddings.cluster_test(table, labels, n_permutations=200)
    assert found["p"] < 0.01 and found["silhouette"] > 0.4 > blurred["silhouette"]
    with pytest.raises(ConfigError, match="no group 'Skin'"):
        embeddings.cluster_test(table, labels, of_group="Skin")


def test_planted_clusters_are_found_and_shuffled_ones_are_not():
    labels = embeddings.grouping(TISSUES, "brain")
    found = embeddings.cluster_test(planted(6.0), labels, n_permutations=300)
    assert found["p"] == pytest.approx(1 / 301) and found["silhouette"] > found["null_mean"] + 0.1
    p = [embeddings.cluster_test(points(seed), labels, seed=seed, n_permutations=99)["p"] for seed in range(20)]
    assert 0.25 < np.mean(p) < 0.75 and min(p) >= 0.01


def test_the_scale_of_a_dimension_does_not_matter():
    table = planted(2.0)
    one = embeddings.cluster_table(as_vectors(table), n_permutations=20)
    two = embeddings.cluster_table(as_vectors(table * ([1e3] + [1e-3] * 7) + 5.0), n_permutations=20)
    pd.testing.assert_frame_equal(one, two)
    assert list(one.columns) == ["method", "seed", "group", "silhouette", "null_mean", "p"]
    assert list(one["group"]) == ["brain", "organ"]


def test_groupings_are_gtexs():
    brain, organ = (embeddings.grouping(TISSUES, group) for group in ("brain", "organ"))
    assert (brain == "Brain").sum() == 13 and set(brain) == {"Brain", "other"} and len(brain) == 49
    assert organ.value_counts().min() == 2 and "Liver" not in organ.index
    with pytest.raises(ConfigError, match="Nail"):
        embeddings.grouping(["Nail"], "organ")
    with pytest.raises(ConfigError, match="at least two"):
        embeddings.cluster_test(points(), pd.Series("one", index=TISSUES))
    with pytest.raises(ConfigError, match="no vectors"):
        embeddings.vectors_of(as_vectors(points()), "gain", 0)


def test_principal_components_keep_what_varies_most():
    table = points() * 0.01
    table[0] = np.linspace(-1, 1, len(table))
    table[1] = table[0] + 0.001 * points(1)[0]
    plane = embeddings.tissue_map(as_vectors(table), "pmi", 0, projection="pca")
    assert abs(np.corrcoef(plane["x"], table[0])[0, 1]) > 0.95
    with pytest.raises(ConfigError, match="projection"):
        embeddings.tissue_map(as_vectors(table), "pmi", 0, projection="tsne")


def test_a_network_is_trained_once_for_its_scores_and_its_vectors(tmp_path, monkeypatch):
    simulated = simulate_tissues(0, genes=4, n_donors=40)
    whole = Study("embedded-tissues", "Tissues", {"GTEx": simulated.cohort}, False, (), "e" * 12, simulated.truth)
    study = tissue_study(whole, min_samples=20)
    trials = embedding_trials(tissue_plan(["pmi"], n_splits=1, network_epochs=1, preset="smoke"))
    store, arguments = ResultsStore(tmp_path / "trials"), (tmp_path, "08_tissues_and_genes-vectors")
    vectors = embeddings.tissue_vectors(trials, study, store, *arguments)
    tissues = study.cohorts["GTEx"].obs["tissue"].unique()
    assert set(vectors["tissue"]) == set(tissues)
    assert vectors.filter(regex=r"^d\d+$").shape[1] == int(np.sqrt(len(tissues))) + 1

    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(embeddings.Fits, "get", fail)
    assert run_grid(trials, study, store, progress=False).n_skipped == 1  # its scores are there
    pd.testing.assert_frame_equal(embeddings.tissue_vectors(trials, study, store, *arguments), vectors)
    other = tissue_plan(["pmi"], n_splits=1, network_epochs=2, preset="smoke")
    with pytest.raises(AssertionError, match="trained again"):  # another identity, other vectors
        embeddings.tissue_vectors(other, study, store, *arguments)
    reference = embeddings.expression_vectors(trials, study)
    assert set(reference["tissue"]) == set(tissues) and set(reference["method"]) == {"expression"}
