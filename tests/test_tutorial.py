"""The tutorial's files: holes at known places, later samples that are the same genes, scores that know the truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reproduce import plots, tutorial
from reproduce.errors import DataFormatError
from reproduce.loaders.study import load_study
from reproduce.matrices.evaluation import evaluate, held_out, in_place
from reproduce.matrices.files import read_covariates, read_matrix
from reproduce.matrices.filling import impute
from reproduce.matrices.genes import match
from reproduce.plots import own_matrix_plots
from reproduce.tables import own_matrix_tables


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The example's files, its matrix and covariates, and what was filled."""
    files = tutorial.written_files(
        load_study("embedded"), tmp_path_factory.mktemp("own"), n_samples=60, missing_rate=0.3, seed=0
    )
    matrix = read_matrix(files.matrix)
    covariates = read_covariates(files.covariates, matrix.values.index)
    filled = impute(matrix, method="gaussian", covariates=covariates, uncertainty=True, draws=4)
    return files, matrix, covariates, filled


def test_the_file_holds_the_truth_but_for_its_holes(own):
    files, matrix, covariates, _ = own
    assert matrix.layout.genes_in_rows and list(matrix.values.columns) == list(files.truth.columns)
    holes = matrix.values.isna()
    assert 0.25 < holes.to_numpy().mean() < 0.35
    np.testing.assert_array_equal(matrix.values.to_numpy(), files.truth.mask(holes.to_numpy()).to_numpy())
    assert list(covariates.index) == list(matrix.values.index) and "tissue" in covariates
    assert len(files.head().splitlines()) == 5 and tutorial.given_files("a.parquet").head() == "a.parquet"


def test_the_truth_scores_one_and_what_was_filled_less(own):
    files, matrix, _, filled = own
    perfect = tutorial.scores_of_holes(files.truth, replace(filled, values=files.truth), matrix)
    assert perfect.r2 == pytest.approx(1) and perfect.rmse == pytest.approx(0, abs=1e-9)
    ours = tutorial.scores_of_holes(files.truth, filled, matrix)
    assert 0 < ours.r2 < 1 and len(ours.truth) == matrix.values.isna().to_numpy().sum()
    assert ours.calibration["covered"].between(0.3, 1).all()
    with pytest.raises(DataFormatError, match="truth is known of no hole"):
        tutorial.scores_of_holes(matrix.values, filled, matrix)


def test_pooling_is_less_sure_than_holes_taken_for_measured(own):
    _, matrix, _, filled = own
    given, whole = (tutorial.on_log_scale(values, filled, matrix) for values in (matrix.values, filled.values))
    table = own_matrix_tables.means_table(filled, (given, whole, None), tutorial.pooled_means(filled, matrix))
    assert (table["pooled_se"] > table["filled_se"]).mean() > 0.8 and (table["lost"] > 0).all()
    assert table["missing"].is_monotonic_decreasing and len(own_matrix_tables.show_means(table)) == 6


def test_later_samples_are_other_donors_and_the_same_genes(own):
    _, matrix, covariates, _ = own
    later = tutorial.later_samples(matrix, covariates, seed=0)
    donors = [set(covariates.loc[each.values.index, "donor"]) for each in (later.training, later.new)]
    assert not donors[0] & donors[1] and all(donors)
    found = match(list(later.training.values.columns), list(later.new.values.columns))
    assert not found.extra and 0.1 < len(found.missing) / matrix.values.shape[1] < 0.3
    at = np.flatnonzero(found.position >= 0)
    same = matrix.values.loc[later.new.values.index].iloc[:, at]
    np.testing.assert_array_equal(later.truth.to_numpy()[:, found.position[at]], same)
    assert later.new.values.columns.str.startswith("ENSG").mean() > 0.8
    assert later.new.values.isna().to_numpy().sum() > later.truth.isna().to_numpy().sum()


def test_tables_sentences_and_figures_say_what_they_are_given(own):
    files, matrix, covariates, filled = own
    hidden = held_out(filled.prepared, in_place(filled.choice, filled.prepared, 0, distribution=True))
    holes = tutorial.scores_of_holes(files.truth, filled, matrix)
    accuracy = own_matrix_tables.accuracy_table({"known": hidden, "the holes": replace(holes, calibration=None)})
    assert list(own_matrix_tables.show_accuracy(accuracy)["in 95 % intervals"])[1] == "–"
    methods = evaluate(matrix, ["median", "gaussian"], covariates=covariates, repeats=2)
    said = own_matrix_tables.say_conclusion(filled, accuracy, methods)
    assert f"{hidden.r2:.3f}" in said and f"{holes.r2:.3f}" in said and "Conditional Gaussian" in said
    assert len(own_matrix_tables.show_methods(methods)) == 2
    shown = own_matrix_tables.holes_table(filled, matrix, files.truth)
    assert (shown["standard deviation"] > 0).all() and len(shown) == 8
    fig = own_matrix_plots.accuracy_panels(matrix.values.isna().to_numpy(), hidden, holes)
    assert len(fig.axes) == 3, "yes or no needs no scale"
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == ["known", "missing"]
    assert len(own_matrix_plots.methods_panel(methods).axes[0].get_yticks()) == 2
    plots.plt.close("all")


def test_files_of_the_reader_are_taken_as_they_are():
    assert tutorial.given_files("x.csv") == tutorial.OwnFiles(Path("x.csv"))
    assert tutorial.given_files("x.csv", "c.csv").covariates == Path("c.csv")
