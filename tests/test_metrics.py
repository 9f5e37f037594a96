"""Each metric equals an independent implementation per gene; perfect is 1, the mean predictor 0, zeros are values."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from reproduce.errors import ConfigError
from reproduce.metrics import METRICS, score

ORACLES = {
    "r2": sklearn_metrics.r2_score,
    "rmse": sklearn_metrics.root_mean_squared_error,
    "mae": sklearn_metrics.mean_absolute_error,
    "pearson": lambda x, y: stats.pearsonr(x, y)[0],
    "spearman": lambda x, y: stats.spearmanr(x, y)[0],
}


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    truth = rng.poisson(2.0, (50, 8)).astype(float)  # ties and zeros in plenty
    truth[:25] += 3
    imputed = truth + rng.normal(size=truth.shape)
    return truth, imputed, rng.random(truth.shape) < 0.5, np.repeat(["Lung", "Colon"], 25)


def value(table, metric, level="overall", group="all"):
    row = table.query("metric == @metric and level == @level and group == @group")
    assert len(row) == 1
    return row["value"].item()


@pytest.mark.parametrize("metric", ORACLES)
def test_each_gene_equals_the_oracle(case, metric):
    truth, imputed, hidden, tissues = case
    table = score(truth, imputed, hidden, tissues)
    expected = [ORACLES[metric](truth[h, g], imputed[h, g]) for g, h in enumerate(hidden.T)]
    got = [value(table, metric, "gene", str(g)) for g in range(truth.shape[1])]
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    assert value(table, metric) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("metric", ORACLES)
def test_tissue_rows_equal_the_oracle_within_the_tissue(case, metric):
    truth, imputed, hidden, tissues = case
    inside = tissues == "Lung"
    expected = [ORACLES[metric](truth[inside & h, g], imputed[inside & h, g]) for g, h in enumerate(hidden.T)]
    assert value(score(truth, imputed, hidden, tissues), metric, "tissue", "Lung") == pytest.approx(np.mean(expected))


def test_perfect_is_one_and_errors_zero(case):
    truth, _, hidden, tissues = case
    table = score(truth, truth, hidden, tissues)
    for metric in METRICS:
        assert value(table, metric) == pytest.approx(0.0 if metric in ("rmse", "mae", "bias") else 1.0)


def test_the_mean_predictor_scores_zero(case):
    truth, _, hidden, tissues = case
    gene_mean = np.nanmean(np.where(hidden, truth, np.nan), axis=0)
    assert value(score(truth, np.tile(gene_mean, (50, 1)), hidden, tissues), "r2") == pytest.approx(0.0, abs=1e-12)
    by_tissue = np.vstack(
        [np.tile(np.nanmean(np.where(hidden, truth, np.nan)[tissues == t], axis=0), (25, 1)) for t in ("Lung", "Colon")]
    )
    table = score(truth, by_tissue, hidden, tissues)
    assert value(table, "r2_tissue") == pytest.approx(0.0, abs=1e-12)
    assert value(table, "r2") > 0.1  # pooled, knowing the tissue alone looks like skill


def test_zeros_are_values(case):
    truth, imputed, hidden, _ = case
    shifted = score(truth + 7, imputed + 7, hidden)
    assert value(shifted, "r2") == pytest.approx(value(score(truth, imputed, hidden), "r2"))


def test_entries_that_were_not_hidden_do_not_matter(case):
    truth, imputed, hidden, tissues = case
    whole = score(truth, imputed, hidden, tissues)
    assert whole.equals(score(truth, np.where(hidden, imputed, 1e9), hidden, tissues))
    # only a metric that is around the visible entries' mean looks at them
    blind = score(np.where(hidden, truth, np.nan), imputed, hidden, tissues)
    others = ~whole["metric"].isin(["r2_visible_mean", "r2_nonzero", "undefined_genes"])
    assert whole[others].equals(blind[others])
    assert np.isnan(value(blind, "r2_visible_mean"))


def test_the_visible_mean_forgives_a_bias_that_the_hidden_mean_does_not():
    """Low values are hidden and filled with the visible mean: nothing is explained, and one R² says so."""
    truth = np.repeat(np.arange(10.0)[:, None], 2, axis=1)
    hidden = truth < 5
    filled = np.full(truth.shape, truth[~hidden].mean())
    table = score(truth, filled, hidden)
    assert value(table, "r2_visible_mean") == pytest.approx(0.0)
    assert value(table, "r2") < -10
    assert value(table, "bias") == pytest.approx((7.0 - 2.0) / np.std(np.arange(5)))
    filled = truth + 0.5
    assert value(score(truth, filled, hidden), "r2_visible_mean") > value(score(truth, filled, hidden), "r2")


def test_percentiles_are_over_genes(case):
    truth, imputed, hidden, tissues = case
    table = score(truth, imputed, hidden, tissues)
    genes = table[(table["level"] == "gene") & (table["metric"] == "r2")]["value"]
    assert value(table, "r2_p50") == pytest.approx(genes.median())
    assert value(table, "r2_p05") < value(table, "r2_p25") < value(table, "r2_p95")
    assert np.isfinite(value(table, "r2_p75", "tissue", "Lung"))


def test_zeros_count_unless_they_are_taken_for_missing():
    truth = np.array([[0.0], [0.0], [1.0], [2.0], [3.0], [4.0]])
    hidden = np.array([[True], [False], [True], [True], [False], [False]])
    filled = np.where(truth == 0, 9.0, truth)
    table = score(truth, filled, hidden)
    assert value(table, "r2_nonzero") == pytest.approx(1.0)
    assert value(table, "r2_visible_mean") < 0


def test_a_constant_gene_is_undefined_counted_and_left_out(case):
    truth, imputed, hidden, tissues = case
    truth = truth.copy()
    truth[:, 0] = 0.1  # not a binary fraction: its mean is not exactly itself
    table = score(truth, imputed, hidden, tissues)
    rest = score(truth[:, 1:], imputed[:, 1:], hidden[:, 1:], tissues)
    assert np.isnan(value(table, "r2", "gene", "0"))
    assert value(table, "undefined_genes", group="r2") == 1
    for metric in ("r2", "r2_tissue", "pearson", "spearman"):
        assert value(table, metric) == pytest.approx(value(rest, metric))
    evaluated = table.query("metric == 'r2' and level == 'overall'")["n_evaluated"].item()
    assert evaluated == hidden[:, 1:].sum()


def test_gene_names_are_used_and_genes_may_be_permuted(case):
    truth, imputed, hidden, _ = case
    names = np.array([f"G{i}" for i in range(8)])
    order = np.random.default_rng(0).permutation(8)
    one = score(truth, imputed, hidden, genes=names)
    two = score(truth[:, order], imputed[:, order], hidden[:, order], genes=names[order])
    for gene in names:
        assert value(one, "spearman", "gene", gene) == pytest.approx(value(two, "spearman", "gene", gene))


@pytest.mark.parametrize("problem", ["empty", "unfilled", "shape", "dtype", "groups"])
def test_bad_arguments_are_named(case, problem):
    truth, imputed, hidden, tissues = case
    arguments = {
        "empty": (truth, imputed, np.zeros_like(hidden)),
        "unfilled": (truth, np.where(hidden, np.nan, imputed), hidden),
        "shape": (truth, imputed[:, :3], hidden),
        "dtype": (truth, imputed, hidden.astype(float)),
        "groups": (truth, imputed, hidden, tissues[:3]),
    }[problem]
    with pytest.raises(ConfigError):
        score(*arguments)
