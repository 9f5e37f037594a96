"""Notebooks are thin, typed, stripped, and say what the presets say; running them is the business of the report's
tests.
"""

import ast
import re
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from reproduce.experiments.plans import study_plan
from reproduce.multiomics.paired import divide
from reproduce.multiomics.simulator import simulated_omics
from reproduce.runner import read_graph, read_preset, resolve_parameters
from reproduce.sample_generation.benchmark import two_most_frequent
from reproduce.sample_generation.generators import SmoteGenerator
from reproduce.sample_generation.usefulness import made_rare

NAMES = [
    "01_data_cleaning",
    "02_in_place_imputation",
    "03_inductive_imputation",
    "04_transfer_to_tumours",
    "05_hypothesis_tests",
    "06_ablations",
    "07_missingness",
    "08_tissues_and_genes",
    "09_your_own_matrix",
    "10_single_cell_vae",
    "11_sample_generation",
    "12_domain_translation",
    "13_multitask_trace_norm",
    "14_beyond_the_paper",
    "15_paper_tables",
    "16_claims",
    "17_cost_and_scale",
]


@pytest.fixture(scope="module")
def graph(request):
    return read_graph(request.config.rootpath / "notebooks")


def cells(repository, name, kind):
    notebook = nbformat.read(repository / "notebooks" / f"{name}.ipynb", as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == kind]


def test_the_notebooks_are_those_of_the_study(graph):
    assert set(NAMES) <= set(graph)
    assert set(graph["05_hypothesis_tests"].needs) == set(NAMES[1:4])


@pytest.mark.parametrize("name", NAMES)
def test_no_outputs_no_functions_no_loops(repository, name):
    notebook, code = cells(repository, name, "code")
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    for cell in code:
        assert not cell.outputs and cell.execution_count is None
        banned = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda, ast.Try)
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, banned)]


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_from_question_to_conclusion(repository, name):
    _, text = cells(repository, name, "markdown")
    whole = "\n".join(cell.source for cell in text)
    assert whole.startswith("# ") and "**Question.**" in whole and "**Method.**" in whole and "$$" in whole
    assert "## Conclusion" in text[-1].source


@pytest.mark.parametrize("name", NAMES)
def test_no_result_is_typed_into_the_prose(repository, name):
    _, text = cells(repository, name, "markdown")
    for cell in text:
        prose = re.sub(r"\$\$.*?\$\$", "", cell.source, flags=re.S)
        # the paper's number of genes, the confidence level and definitions may stand; scores have a decimal point
        assert not re.search(r"\d\.\d", prose.replace("1.5 interquartile", "")), cell.source


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_typed_and_commented(repository, name):
    _, code = cells(repository, name, "code")
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    lines = parameters.source.splitlines()
    for node in ast.parse(parameters.source).body:
        assert isinstance(node, ast.AnnAssign)
        assert any("# " in line for line in lines[node.lineno - 1 : node.end_lineno]), node.target.id


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_every_preset_fits_the_notebooks(repository, graph, preset):
    sections = read_preset(repository / "notebooks" / "presets" / f"{preset}.yaml")
    resolved = resolve_parameters(graph, (preset, sections))
    assert sections["common"]["preset"] == preset
    shared = ["preset", "n_splits", "n_splits_by_method", "network_epochs"]
    # the tests ask for the very trials of the comparisons, so both must have the same budget
    for key in shared:
        assert (
            resolved["02_in_place_imputation"][key] == resolved["05_hypothesis_tests"][key] == resolved[NAMES[2]][key]
        )
    for key in ("preset", "network_epochs"):
        assert resolved["06_ablations"][key] == resolved["05_hypothesis_tests"][key]
    # default trials of the ablations are then stored already
    assert resolved["06_ablations"]["n_splits_ablations"] <= resolved["03_inductive_imputation"]["n_splits"]
    budget = {key: resolved["05_hypothesis_tests"][key] for key in shared}
    assert study_plan("inductive", **budget) and study_plan("in_place", **budget)


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_simulated_classes_are_large_enough_for_smote_even_the_one_made_rare(repository, graph, preset):
    sections = read_preset(repository / "notebooks" / "presets" / f"{preset}.yaml")
    values = resolve_parameters(graph, (preset, sections))["11_sample_generation"]
    clusters = simulated_omics(**values["options_simulated_generation"]).clusters
    frequent, rare = two_most_frequent(SimpleNamespace(clusters=clusters))
    train, _ = divide(clusters, 1)
    train = clusters[train][np.isin(clusters[train], [frequent, rare])]
    kept = train[made_rare(train, frequent, rare, values["ratio_rare_generation"], 1)]
    assert (kept == rare).sum() > SmoteGenerator().n_neighbors


def test_the_defaults_are_those_of_quick(repository, graph):
    for name, values in resolve_parameters(
        graph, ("quick", read_preset(repository / "notebooks" / "presets" / "quick.yaml"))
    ).items():
        for key, value in values.items():
            assert graph[name].defaults[key] == value, (name, key)


@pytest.mark.parametrize("preset", ["alzheimer", "protein_coding"])
def test_the_paper_s_own_presets_name_its_gene_sets_and_preparation(repository, graph, preset):
    values = read_preset(repository / "notebooks" / "presets" / f"{preset}.yaml")
    resolved = resolve_parameters(graph, (preset, values))["15_paper_tables"]
    assert resolved["gene_sets"] == [preset] == list(resolved["epochs_by_gene_set"])
    assert resolved["preparation"] == "tmm_inverse_normal" and resolved["max_donors"] == 0
