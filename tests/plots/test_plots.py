"""Every method has one colour of its own; figures are written whole, twice the same, and drawn from tables alone."""

import itertools

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from reproduce import plots
from reproduce.errors import ConfigError
from reproduce.experiments import ORACLE
from reproduce.hypotheses import contrasts, verdicts
from reproduce.imputers import METHODS
from reproduce.tables import summaries


def rows_for(method, mean, *, scenario="inductive", training_rows="complete", transform="log1p"):
    """Result rows of one configuration at ten splits."""
    fixed = {"method": method, "scenario": scenario, "train": "GTEx", "test": "GTEx", "transform": transform}
    fixed |= {
        "missing_rate": 0.5,
        "training_rows": training_rows,
        "mechanism": "mcar",
        "variant": "",
        "config_hash": method,
        "status": "ok",
        "metric": "r2",
    }
    levels = [("overall", "all", 0.0), ("gene", "A", 0.1), ("gene", "B", -0.1)]
    rows = [
        {"seed": seed, "level": level, "group": group, "value": mean + shift + seed / 1000}
        for seed in range(10)
        for level, group, shift in levels
    ]
    return pd.DataFrame(rows).assign(**fixed, fit_seconds=1.0, impute_seconds=0.1)


@pytest.fixture
def results():
    parts = [rows_for(m, 0.5 + i / 50, scenario=s) for i, m in enumerate(["pmi", "gain", "knn_10", "median"])
             for s in ("inductive", "in_place")]  # fmt: skip
    parts += [rows_for("mice", 0.6, training_rows="masked"), rows_for("pmi", 0.1, transform="log1p_depth")]
    return pd.concat(parts, ignore_index=True)


def test_every_method_has_a_colour_of_its_own():
    assert set(plots.PALETTE) == set(METHODS) | {ORACLE}
    rgb = [matplotlib.colors.to_rgb(colour) for colour in plots.PALETTE.values()]
    closest = min(np.linalg.norm(np.subtract(a, b)) for a, b in itertools.combinations(rgb, 2))
    assert closest > 0.12


def test_a_method_without_a_colour_is_an_error():
    with pytest.raises(ConfigError, match="magic"):
        plots.colour_of("magic")


def test_every_figure_draws(results):
    table = summaries.score_table(results.query("scenario == 'inductive' and transform == 'log1p'"))
    fig, axes = plots.new_figure(3, 3)
    axes = axes.ravel()
    assert plots.scores(table, results, axes[0]) is axes[0]
    assert len(axes[0].get_yticklabels()) == len(table)
    genes = summaries.gene_table(results)
    plots.gene_boxes(genes, axes[1])
    plots.gene_heat(genes, axes[2])
    history = pd.DataFrame({"method": "pmi", "trial_id": "x", "epoch": [1, 2], "train_loss": [1.0, 0.5]})
    plots.training_curves(history.assign(validation_loss=[1.1, 0.7]), axes[3])
    plots.forest(contrasts(results), verdicts(results), axes[4])
    headline = summaries.headline_table(results, summaries.read_paper_reported())
    plots.ours_beside_paper(headline, axes[5], scenario="inductive")
    plots.cost(table, axes[6])
    plots.scales(summaries.score_table(results.query("scenario == 'inductive'")), axes[7])
    quality = pd.DataFrame({"cohort": ["GTEx"] * 9, "total": np.arange(9) + 10.0, "mean": 1.0, "sd": 2.0})
    plots.sample_totals(quality, axes[8])
    plots.gene_spread(quality, axes[8])
    fig.canvas.draw()


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        fig, ax = plots.new_figure()
        ax.plot([0, 1], [0, 1])
        plots.save_figure(fig, tmp_path / folder, "03_inductive_imputation-genes")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["03_inductive_imputation-genes.png", "03_inductive_imputation-genes.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("name", ["figure", "3_x", "03_"])
def test_a_figure_is_named_after_its_notebook(tmp_path, name):
    fig, _ = plots.new_figure()
    with pytest.raises(ConfigError, match="notebook"):
        plots.save_figure(fig, tmp_path, name)


def ablations():
    entries = [
        ("gain", "λ", "10", 0.02),
        ("pmi", "width", "400", 0.01),
        ("pmi", "dropout", "0.4", -0.5),
        ("pmi", "width", "100", -0.02),
    ]
    table = pd.DataFrame(entries, columns=["method", "factor", "level", "difference"])
    return table.assign(default_level="x", low=table["difference"] - 0.01, high=table["difference"] + 0.01)


def test_ablations_are_grouped_by_method_and_sorted_within_a_factor():
    fig, ax = plots.new_figure()
    plots.ablation_forest(ablations(), ax, limit=0.1)
    from_top = [label.get_text().split(" (")[0] for label in ax.get_yticklabels()][::-1]
    assert from_top == ["λ: 10", "width: 100", "width: 400", "dropout: 0.4"]
    texts = {text.get_text(): matplotlib.colors.to_hex(text.get_color()).upper() for text in ax.texts}
    # what lies beyond the axis is said in words, never dropped
    assert texts == {"◂ -0.50": plots.PALETTE["pmi"], "PMI": plots.PALETTE["pmi"], "GAIN-GTEx": plots.PALETTE["gain"]}
    drawn = [line for line in ax.lines if line.get_marker() == "o"]
    assert sorted(float(line.get_xdata()[0]) for line in drawn) == [-0.02, 0.01, 0.02]
    fig.canvas.draw()


def test_an_ablation_on_one_split_has_no_interval():
    _, ax = plots.new_figure()
    plots.ablation_forest(ablations().assign(low=-np.inf, high=np.inf), ax)
    assert all(np.isfinite(line.get_xdata()).all() for line in ax.lines)


def test_the_search_marks_the_default_and_the_frontier():
    table = pd.DataFrame({"setting": ["draw 1", "default", "draw 2"], "r2": [0.7, 0.6, 0.5], "fit_seconds": [9, 2, 3]})
    _, ax = plots.new_figure()
    plots.search_scatter(table.assign(on_frontier=[True, True, False]), ax)
    lines = {line.get_label(): line.get_xdata().tolist() for line in ax.lines}
    assert lines == {"random draw": [9, 3], "frontier": [2, 9], "default": [2]}
