"""Tables of tissues and genes: the numbers in them, their order, and sentences that follow the data."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.experiments.blood import blood_plan
from reproduce.experiments.tissues import tissue_plan
from reproduce.experiments.trials import tidy_rows
from reproduce.loaders.study import Study
from reproduce.loaders.tissue_simulator import simulate_tissues
from reproduce.splits import split_by_donor
from reproduce.tables import tissue_tables

BUDGET = {"n_splits": 3, "network_epochs": 1, "preset": "smoke"}
GENES = [f"G{number:02d}" for number in range(25)]


@pytest.fixture(scope="module")
def study():
    cohort = simulate_tissues(0, genes=4, n_donors=60).cohort
    return Study("embedded-tissues", "Tissues", {"GTEx": cohort}, False, (), "f" * 12)


@pytest.fixture(scope="module")
def trials():
    return tissue_plan(["median", "gaussian", "pmi"], **BUDGET)


@pytest.fixture(scope="module")
def rows(trials, study):
    return made_rows(trials, study)


def level_of(trial):
    return {"median": 0.1, "pmi": 0.3, "gaussian": 0.2 if trial.hyperparameters else 0.5, "surrogate": -4.0}[
        trial.method
    ]


def made_rows(trials, study, shift=lambda tissue, size: 0.0):
    """Scores as a run would give them: each method's own level, and what the tissue adds."""
    obs = study.cohorts["GTEx"].obs
    sizes = obs["tissue"].value_counts()
    tables = []
    for trial in trials:
        base = level_of(trial) + 0.001 * trial.seed
        entries = [
            ("r2", "overall", "all", base),
            ("r2_tissue", "overall", "all", base - 1),
            ("r2_p50", "overall", "all", base),
        ]
        for tissue, size in sizes.items():
            value = base + shift(tissue, size)
            entries += [
                (name, "tissue", tissue, value + i / 100) for i, name in enumerate(["r2", *tissue_tables._SPREAD])
            ]
        entries += [("r2", "gene", gene, base - i / 100) for i, gene in enumerate(GENES)]
        table = pd.DataFrame(entries, columns=["metric", "level", "group", "value"]).assign(n_evaluated=9)
        seconds = {"fit_seconds": 1.0, "impute_seconds": 0.0, "status": "ok", "error": ""}
        tables.append(tidy_rows(trial, study, table, **seconds))
    return pd.concat(tables, ignore_index=True)


def test_the_two_gaussians_are_told_apart(rows, trials, study):
    table = tissue_tables.method_table(rows, trials)
    means = table.set_index("label")["mean"]
    assert list(means.index) == ["Conditional Gaussian", "PMI", "Gaussian without tissue", "Tissue median"]
    assert means["Conditional Gaussian"] == pytest.approx(0.501) and means["Gaussian without tissue"] == pytest.approx(
        0.201
    )
    assert (table["mean"] - table["r2_tissue"]).to_numpy() == pytest.approx(1.0)
    text = tissue_tables.say_methods(table)
    assert "Conditional Gaussian fills best" in text and "PMI is number 2 of 4" in text and "+0.300" in text
    with pytest.raises(DataFormatError, match="no trial of this plan"):
        tissue_tables.method_table(rows, trials[:3])


def test_an_undefined_score_within_tissues_is_explained(rows, trials):
    broken = rows.assign(value=rows["value"].where(rows["metric"] != "r2_tissue"))
    with pytest.raises(DataFormatError, match="keep more donors"):
        tissue_tables.method_table(broken, trials)


def test_tissues_are_ordered_by_their_training_samples(rows, trials, study):
    table = tissue_tables.score_by_tissue(rows, trials, study)
    obs = study.cohorts["GTEx"].obs
    counts = [obs["tissue"].iloc[split_by_donor(obs["donor"], seed=seed).train].value_counts() for seed in range(3)]
    first = table.iloc[0]
    assert first["n_training"] == pytest.approx(np.mean([count[first["tissue"]] for count in counts]))
    assert table["n_training"].is_monotonic_decreasing and (table["n_splits"] == 3).all()
    assert len(table) == obs["tissue"].nunique() * 4 and not table.isna().any(axis=None)
    pmi = table[table["method"] == "pmi"].iloc[0]
    assert [pmi["r2"], pmi["r2_p05"], pmi["r2_p95"]] == pytest.approx([0.301, 0.311, 0.351])
    assert tissue_tables.show_tissues(table).shape == (obs["tissue"].nunique(), 2 + 4)


@pytest.mark.parametrize(("direction", "words"), [(1, "filled better"), (-1, "filled worse")])
def test_the_correlation_with_size_has_its_sign(trials, study, direction, words):
    rng = np.random.default_rng(0)
    noise = {}

    def shift(tissue, size):
        noise[tissue] = rng.normal(0, 1e-3)  # another at each split, so that there is an interval
        return direction * 0.001 * size + noise[tissue]

    rows = made_rows(trials, study, shift)
    sizes = tissue_tables.size_table(rows, trials, study)
    pmi = sizes.set_index("method").loc["pmi"]
    assert direction * pmi["spearman"] > 0.9 and pmi["low"] <= pmi["spearman"] <= pmi["high"] and pmi["n_splits"] == 3
    table = tissue_tables.score_by_tissue(rows, trials, study)
    assert words in tissue_tables.say_tissues(table, sizes)


def test_a_single_split_claims_nothing_about_size(rows, trials, study):
    one = rows[rows["seed"] == 0]
    sizes = tissue_tables.size_table(one.assign(value=one["value"] + np.arange(len(one)) * 1e-6), trials, study)
    table = tissue_tables.score_by_tissue(one, trials, study)
    assert not tissue_tables.show_sizes(sizes).iloc[:, 1].str.contains("inf|\\[").any()
    assert "one split has no interval" in tissue_tables.say_tissues(table, sizes)


def test_few_entries_are_said_to_be_few(rows):
    tissue = rows["level"] == "tissue"
    made = rows.assign(n_evaluated=rows["n_evaluated"].where(~tissue, 12 * len(GENES)))
    assert "a gene has 12 hidden entries" in tissue_tables.say_scored(made)


def test_best_and_worst_genes(rows, trials):
    table = tissue_tables.score_by_gene(rows, trials)
    assert list(table["gene"]) == GENES  # made to fall by one hundredth each
    extremes = tissue_tables.extreme_genes(table)
    assert list(extremes["rank"]) == [*range(1, 11), *range(16, 26)]
    assert len(tissue_tables.extreme_genes(table.head(12))) == 12
    text = tissue_tables.say_genes(table)
    assert "from 0.06 (G24) to 0.30 (G00)" in text


def test_blood_beside_the_median(study):
    plan = blood_plan(**BUDGET)
    rows = made_rows(plan, study)
    table = tissue_tables.blood_table(rows)
    assert list(table["tissue"].iloc[:3]) == ["all"] * 3
    row = table[(table["tissue"] == "all") & (table["method"] == "surrogate")].iloc[0]
    assert (
        row["r2"] == pytest.approx(-3.999) and row["low"] < row["r2"] < row["high"] and row["label"] == "Donor's blood"
    )
    text = tissue_tables.say_blood(rows, table)
    assert "a difference of 4.100" in text and "in 0 of " in text
    spleen = (rows["group"] == "Spleen") & (rows["method"] == "surrogate")
    better = rows.assign(value=rows["value"].where(~spleen, 0.9))
    assert (
        "in 1 of " in (said := tissue_tables.say_blood(better, tissue_tables.blood_table(better)))
        and "(Spleen)" in said
    )


def test_what_is_said_of_clusters_follows_the_table():
    made = [
        {
            "method": "gain",
            "seed": seed,
            "group": "brain",
            "silhouette": 0.4 + seed / 50,
            "null_mean": -0.05,
            "p": 0.001,
        }
        for seed in range(3)
    ]
    clusters = pd.DataFrame(made)
    above = clusters.assign(method="expression", silhouette=0.9)
    text = tissue_tables.say_clusters(clusters, above)
    assert "GAIN-GTEx, the brain's regions: +0.47 [" in text and "on 3 of 3 donor splits" in text and "+0.95" in text
    assert "on 0 of 3" in tissue_tables.say_clusters(clusters.assign(p=0.5), above.head(0))
    shown = tissue_tables.show_clusters(clusters)
    assert shown.iloc[0]["silhouette"] == "+0.42" and shown.iloc[0]["splits"] == 3
    assert "No network" in tissue_tables.say_clusters(clusters.head(0), above)


def test_a_network_that_still_improves_is_said_to():
    def history(best):
        losses = [1.0] * 40
        losses[best - 1] = 0.5
        return pd.DataFrame({"epoch": range(1, 41), "validation_loss": losses, "trial_id": "t", "method": "pmi"})

    assert "still improving" in tissue_tables.say_training(history(40))
    assert "after 10 of 40" in (text := tissue_tables.say_training(history(10))) and "improving" not in text
    assert tissue_tables.say_training(history(10).head(0)) == "No network was trained."


def test_the_data_row_says_what_was_used(study):
    row = tissue_tables.data_row(study).iloc[0]
    assert row["title"] == "Tissues" and not row["is_real"] and row["n_genes"] == 4
    assert row["n_samples"] == study.cohorts["GTEx"].n_obs and row["n_tissues"] == 49
