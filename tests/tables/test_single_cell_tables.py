"""Titles and lines under tables of single cells say what is shown, and why something is not."""

import numpy as np
import pandas as pd
import pytest

from reproduce.tables import single_cell_tables as tables


@pytest.mark.parametrize(
    ("n_trainings", "title"),
    [
        (tables.BEST_SHOWN - 1, f"All {tables.BEST_SHOWN - 1} trainings, the best first"),
        (tables.BEST_SHOWN, f"All {tables.BEST_SHOWN} trainings, the best first"),
        (tables.BEST_SHOWN + 1, f"The best {tables.BEST_SHOWN} of {tables.BEST_SHOWN + 1} trainings"),
    ],
)
def test_the_title_of_a_grid_counts_what_its_table_shows(n_trainings, title):
    grid = pd.DataFrame({
        "likelihood": "poisson", "hidden_units": 8, "latent_size": 2, "n_weights": 100.0, "seconds": 1.0,
        "validation_elbo": np.arange(n_trainings, dtype=float),
    })  # fmt: skip
    assert tables.title_of_grid(grid) == title
    assert len(tables.show_grid(grid)) == min(n_trainings, tables.BEST_SHOWN)


@pytest.mark.parametrize(
    ("low", "n_seeds", "said"),
    [
        ([np.nan, np.nan], 1, "Bars: none, since one division has no interval."),
        ([np.nan, np.nan], 3, "Bars: none, since trainings diverged."),
        ([None, None], 3, "Bars: none, since trainings diverged."),
        ([0.1, np.nan], 3, "Bars: intervals of ninety-five per cent"),
    ],
)
def test_why_there_are_no_intervals(low, n_seeds, said):
    table = pd.DataFrame({"low": low, "n_seeds": n_seeds})
    assert tables.say_division_intervals(table).startswith(said)


def test_a_diverged_training_is_counted_instead_of_a_mean():
    rows = [tables.mean_unless_diverged(pd.Series(values)) for values in ([1.0, np.nan, 2.0], [1.0, 1.5, 2.0])]
    lost, kept = tables.texts_unless_diverged(pd.DataFrame(rows), digits=1)
    assert lost == "1 of 3 diverged" and kept.startswith("1.5 [")
