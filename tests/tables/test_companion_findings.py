"""The README's sentences on companion studies say what the tables say."""

import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.tables import companion_findings as findings


def test_counts_name_the_law_that_was_asked_about():
    rows = [
        (False, "mice", "negative_binomial", "poisson", 12.34, 10.0, 14.0, "supported"),
        (False, "mice", "negative_binomial", "zero_inflated_poisson", 99.0, 98.0, 100.0, "supported"),
        (True, "simulated", "negative_binomial", "poisson", 77.0, 76.0, 78.0, "supported"),
        (False, "blood", "negative_binomial", "poisson", -1.0, -3.0, 1.0, "inconclusive"),
    ]
    columns = ["simulated", "counts", "likelihood", "reference", "mean", "low", "high", "verdict"]
    said = findings.of_counts(pd.DataFrame(rows, columns=columns))
    assert "+12.3 [+10.0,\u00a0+14.0] nats a cell on mice (supported); -1.0 [-3.0,\u00a0+1.0]" in said
    assert "99" not in said and "77" not in said
    simulated = pd.DataFrame(rows[2:3], columns=columns)
    assert findings.of_counts(simulated) == "Not run on real cells."


def test_gains_by_cells_have_an_interval_where_there_is_one():
    gains = pd.DataFrame({"cells_per_gene": [40, 100], "mean": [0.2, 0.1], "low": [0.1, None], "high": [0.3, None]})
    assert "+0.20 [+0.10,\u00a0+0.30] with 40 cells a gene; +0.10 with 100 cells" in findings.of_sharing(gains)


def test_verdicts_are_counted_for_each_rival():
    table = pd.DataFrame(
        {
            "method": ["wgan_gp"] * 4 + ["gan"],
            "rival": ["smote"] * 3 + ["gaussian"] * 2,
            "verdict": ["better", "worse", "better", "undecided", "better"],
        }
    )
    said = findings.of_samples(table)
    assert "against SMOTE better in 2, worse in 1, undecided in 0 of 3 scores" in said
    assert "Gaussian for each class better in 0, worse in 0, undecided in 1 of 1 scores" in said


def test_translation_is_set_beside_ridge_of_the_same_direction():
    table = pd.DataFrame({
        "direction": ["there", "back"] * 2, "method": ["ridge"] * 2 + ["aligned"] * 2, "mean": [0.5, 0.4, 0.45, 0.3],
        "less_mean": [None, None, -0.05, -0.1], "less_low": [None, None, -0.06, -0.2],
        "less_high": [None, None, -0.04, 0.0],
    })  # fmt: skip
    said = findings.of_translation(table)
    assert (
        "-0.050 [-0.060,\u00a0-0.040] (there, ridge has 0.500); -0.100 [-0.200,\u00a0+0.000] (back, ridge has 0.400)"
        in said
    )


def test_an_absent_table_is_named(tmp_path):
    with pytest.raises(DataFormatError, match=r"10_single_cell_vae-contrasts\.csv: .* notebook 10"):
        findings.companion_findings(tmp_path)
