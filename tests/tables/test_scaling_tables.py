"""Exponents are those that made the timings, fixed cost or not, and no size is left out silently."""

import numpy as np
import pandas as pd
import pytest

from reproduce.experiments.costs import duration
from reproduce.experiments.scaling import AXES, BASE, COLUMNS
from reproduce.tables import scaling_tables
from reproduce.tables.scaling_tables import cost_table, exponent_table, size_table

GENES, SAMPLES, RATES = (30, 300, 1000, 3000, 10_000), (125, 1000, 2000, 4000, 8000), (0.1, 0.9)


def measured(seconds, method="gaussian", *, longest=np.inf, seeds=(0,), r2=0.5):
    """Made-up measurements of a cost that is a function of genes, samples and the share known."""
    rows = []
    sizes = [(BASE, 500, 100, 0.5), *(("n_genes", 500, genes, 0.5) for genes in GENES)]
    sizes += [("n_samples", n, 100, 0.5) for n in SAMPLES] + [("missing_rate", 500, 100, rate) for rate in RATES]
    for seed in seeds:
        for axis, n_samples, n_genes, rate in sizes:
            took = seconds(n_genes, n_samples, 1 - rate) * (1 + 0.1 * seed)
            row = dict.fromkeys(COLUMNS) | {"method": method, "axis": axis, "n_samples": n_samples, "n_genes": n_genes}
            row |= {"missing_rate": rate, "seed": seed, "hyperparameters": "{}", "machine": "A, 2 cores", "note": ""}
            if took <= longest:
                row |= {"status": "ok", "fit_processor_seconds": took, "impute_processor_seconds": 0.0, "r2": r2}
                row |= {"fit_seconds": 2 * took, "impute_seconds": 0.0, "peak_memory_gb": 0.2 + 1e-5 * n_genes}
            else:
                row |= {"status": "skipped", "estimated_seconds": took, "note": f"skipped: estimated {duration(took)}"}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS)).infer_objects()


def cost(fixed, genes=2.0, samples=1.0, known=0.5):
    return lambda g, n, share: fixed + 1e-6 * g**genes * n**samples * share**known


def exponents_of(table):
    return exponent_table(size_table(table)).set_index("axis")


def test_powers_are_recovered_without_fixed_cost():
    found = exponents_of(measured(cost(0.0, 2.2, 1.1, -0.7)))
    np.testing.assert_allclose(found.loc[list(AXES), "exponent"], [2.2, 1.1, -0.7], atol=1e-9)
    np.testing.assert_allclose(found["low"], found["high"], atol=1e-6)
    assert not found["fixed_cost"].any()


def test_powers_are_recovered_beside_a_fixed_cost_that_rules_the_small_sizes():
    found = exponents_of(measured(cost(20.0)))  # four times the cost at the base
    assert found.loc["n_genes", "exponent"] == pytest.approx(2.0, abs=0.05)
    whole = measured(cost(20.0)).query("axis == 'n_genes'").sort_values("n_genes")
    naive = np.polyfit(np.log(whole["n_genes"]), np.log(whole["fit_processor_seconds"]), 1)[0]
    assert naive < 1.6  # what all sizes together would say
    assert not found.loc["n_genes", "fixed_cost"] and found.loc["n_genes", "smallest"] >= 1000
    # too few numbers of samples have outgrown it for a power to be told
    assert found.loc["n_samples", "fixed_cost"]
    assert exponents_of(measured(cost(1.0))).loc["n_samples", "exponent"] == pytest.approx(1.0, abs=0.05)


def test_where_nothing_has_grown_the_fixed_cost_is_said():
    table = measured(cost(1e9))
    found, sizes = exponents_of(table), size_table(table)
    assert found.loc[["n_genes", "n_samples"], "fixed_cost"].all()
    row = cost_table(sizes, exponent_table(sizes), table).iloc[0]
    assert row["genome_least"] and "≥ 0.0" in scaling_tables.show_costs(row.to_frame().T).iloc[0, 4]


def test_two_sizes_have_a_slope_and_no_interval_one_has_none():
    few = measured(cost(0.0)).query("axis == 'base' or n_genes == 300")
    found = exponents_of(few)
    assert found.loc["n_genes", "exponent"] == pytest.approx(2.0) and np.isnan(found.loc["n_genes", "low"])
    assert np.isnan(found.loc["n_samples", "exponent"])


def test_an_interval_covers_a_power_seen_through_noise():
    noise = iter(np.exp(0.1 * np.random.default_rng(0).standard_normal(200)))
    table = measured(lambda *size: cost(0.0)(*size) * next(noise))
    found = exponents_of(table)
    for axis, power in zip(AXES, (2.0, 1.0, 0.5), strict=True):
        assert found.loc[axis, "low"] < power < found.loc[axis, "high"]


def test_the_whole_genome_is_the_product_of_the_powers():
    table = measured(cost(0.0))
    sizes = size_table(table)
    row = cost_table(sizes, exponent_table(sizes), table).iloc[0]
    assert row["genome_seconds"] == pytest.approx(cost(0.0)(12_557, 15_201, 0.5))
    assert row["genome_factor"] == pytest.approx(1.0, abs=1e-3) and not row["genome_least"]


def test_repeats_are_a_median_with_its_range():
    sizes = size_table(measured(cost(0.0), seeds=(0, 1, 2)))
    base = sizes[(sizes["axis"] == "n_genes") & (sizes["size"] == 100)].iloc[0]
    assert base["low"] == pytest.approx(cost(0.0)(100, 500, 0.5))
    assert base["seconds"] / base["low"] == pytest.approx(1.1) and base["high"] / base["low"] == pytest.approx(1.2)
    assert base["n_repeats"] == 3


def test_what_was_skipped_stays_in_the_table_and_is_told():
    table = measured(cost(0.0), longest=20.0)
    sizes = size_table(table)
    skipped = scaling_tables.skipped_table(sizes)
    expected = {(r.axis, getattr(r, r.axis)) for r in table[table["status"] == "skipped"].itertuples()}
    assert {(axis, size) for axis, size in skipped[["axis", "size"]].itertuples(index=False)} == expected
    shown = scaling_tables.show_skipped(skipped)
    estimate = cost(0.0)(10_000, 500, 0.5)
    assert f"10,000: {duration(estimate)}" in shown.set_index("varied").loc["genes"].iloc[1]
    assert f"{len(expected)} sizes" in scaling_tables.say_skipped(skipped)
    costs = cost_table(sizes, exponent_table(sizes), table)
    assert "nothing" not in scaling_tables.say_conclusion(costs).lower()


def test_a_method_that_was_never_measured_keeps_its_row():
    table = pd.concat([measured(cost(0.0)), measured(cost(0.0), "mice", longest=0.0)], ignore_index=True)
    sizes = size_table(table)
    costs = cost_table(sizes, exponent_table(sizes), table)
    shown = scaling_tables.show_costs(costs).set_index("method")
    assert shown.loc["MICE", "seconds"].startswith("skipped: estimated") and shown.loc["MICE", "R²"] == "–"
    assert "MICE" not in scaling_tables.say_conclusion(costs)


def test_a_method_that_fails_to_predict_is_named():
    table = pd.concat([measured(cost(0.0)), measured(cost(0.0), "surrogate", r2=-0.2)], ignore_index=True)
    said = scaling_tables.say_quality(size_table(table))
    assert "Surrogate tissue (everywhere)" in said and "Gaussian" not in said


def test_the_machine_and_what_was_shortened_are_said():
    table = measured(cost(0.0), "pmi").assign(hyperparameters='{"epochs": 10, "patience": null}')
    said = scaling_tables.say_setting(table)
    assert "A, 2 cores" in said and "500 samples × 100 genes, 50 % hidden" in said and "PMI (10 epochs)" in said
    assert "median 2.00" in said


def files(power, rows=(25_000, 50_000, 100_000, 200_000)):
    size = np.array(rows, dtype=float)
    table = {"part": [*["larger_than_memory"] * (len(rows) - 1), "largest_file"], "rows": rows, "genes": 20_000}
    table |= {
        "seconds": 2e-3 * size**power,
        "cpu_seconds": 3e-3 * size,
        "seconds_per_1000_rows": 2 * size ** (power - 1),
    }
    return pd.DataFrame(table | {"peak_memory_gb": 1.3})


def test_the_growth_of_time_with_the_rows_of_a_file_is_told_and_whether_it_may_be_linear():
    other = pd.DataFrame({"part": ["networks"], "rows": [10], "seconds": [99.0]})
    table = scaling_tables.file_table(pd.concat([files(1.2), other]).sample(frac=1, random_state=0))
    assert list(table["rows"]) == [25_000, 50_000, 100_000, 200_000]
    said = scaling_tables.say_files(table)
    assert "25,000 to 200,000 rows" in said
    assert "seconds of the clock 1.20 [1.20, 1.20], more than linear" in said
    noisy = table.assign(seconds=2e-3 * table["rows"] * [1.0, 1.1, 0.95, 1.05])
    assert "which holds linear growth" in scaling_tables.say_files(noisy).partition("of the clock")[2]
    assert scaling_tables.say_files(table.iloc[:1]).startswith("Too few files")
