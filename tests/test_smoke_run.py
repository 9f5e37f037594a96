"""The notebooks run from the first to the last on the embedded cohort, resume, and leave whole tables and figures
behind.
"""

import pandas as pd
import pytest

from reproduce.runner import RunSettings, failures_text, read_graph, read_preset, resolve_parameters, run_notebooks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    root, build = request.config.rootpath, tmp_path_factory.mktemp("smoke")
    folders = {"results_folder": str(build / "results"), "figures_folder": str(build / "figures"), "data": "embedded"}
    graph = read_graph(root / "notebooks")
    preset = read_preset(root / "notebooks" / "presets" / "smoke.yaml")
    parameters = resolve_parameters(graph, ("smoke", preset), ("test", {"common": folders}))
    outcomes = run_notebooks(graph, parameters, RunSettings(build=build, jobs=2), say=lambda line: None)
    return build, outcomes


def test_every_notebook_ends_well(run):
    _, outcomes = run
    assert {outcome.status for outcome in outcomes} == {"done"}, failures_text(outcomes)


def test_each_notebook_leaves_its_figures_in_both_formats(run):
    build, outcomes = run
    for outcome in outcomes:
        # a notebook that may run on several data sets names its figures after them
        png, svg = (
            {path.stem for path in (build / "figures").glob(f"{outcome.name}*.{end}")} for end in ("png", "svg")
        )
        assert png and png == svg


def test_two_splits_conclude_nothing(run):
    build, _ = run
    verdicts = pd.read_csv(build / "results" / "verdicts.csv")
    assert set(verdicts["verdict"]) == {"inconclusive"} and verdicts["reason"].str.contains("required").all()


def test_tables_hold_every_method_that_the_preset_runs(run):
    build, _ = run
    headline = pd.read_csv(build / "results" / "headline.csv").query("scenario == 'inductive'").set_index("method")
    for method in ("pmi", "gain", "gain_mse", "mice", "knn_10", "gaussian", "median", "oracle"):
        assert headline.loc[method, "n_splits"] >= 1
    # what the law of the data allows bounds everybody
    assert headline["ours"].idxmax() == "oracle"
