"""The registry of methods: complete, strict about unknown names, and cheap to import."""

import subprocess
import sys

import pytest

from reproduce.errors import ConfigError
from reproduce.imputers import METHODS, PRESETS, hyperparameters_of, make_imputer, read_preset
from reproduce.imputers._base import ExpressionImputer


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_built(name):
    imputer = make_imputer(name, random_state=3)
    assert isinstance(imputer, ExpressionImputer)
    parameters = imputer.get_params()
    assert parameters.get("random_state", 3) == 3
    for key, value in METHODS[name].parameters.items():
        assert parameters[key] == value


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", METHODS)
def test_every_preset_names_known_hyperparameters(name, preset):
    parameters = make_imputer(name, preset=preset).get_params()
    for key, value in hyperparameters_of(name, preset).items():
        assert parameters[key] == value


def test_hyperparameters_take_precedence_over_the_preset():
    assert hyperparameters_of("mice", "paper")["max_iter"] != 3
    assert make_imputer("mice", preset="paper", max_iter=3).max_iter == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_imputer("magic"), "magic.*known are median"),
        (lambda: make_imputer("knn_5", n_neighbours=3), "n_neighbours.*n_neighbors"),
        (lambda: make_imputer("knn_5", n_neighbors=3), "knn_5 means n_neighbors=5"),
        (lambda: make_imputer("median", preset="quick"), "quick.*paper"),
        (lambda: read_preset("magic: {a: 1}", source="mine.yaml"), "mine.yaml.*magic"),
        (lambda: read_preset("knn_1: {n_neighbors: 2}", source="mine.yaml"), "knn_1 fixes n_neighbors"),
        (lambda: read_preset("pmi: {bogus: 2}", source="mine.yaml"), "mine.yaml: pmi has no.*bogus.*dropout"),
        (lambda: read_preset("[1, 2]", source="mine.yaml"), "mine.yaml must map"),
        (lambda: read_preset("a: {b: ", source="mine.yaml"), "mine.yaml is not valid YAML"),
    ],
)
def test_what_is_unknown_is_an_error_that_says_what_is_known(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_registry_imports_no_numerical_library():
    code = "import sys, reproduce.imputers as i; print(*(m for m in ('numpy', 'sklearn', 'keras') if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_missforest_is_in_place_only():
    for name, method in METHODS.items():
        assert ("inductive" in method.scenarios) == (not name.startswith("missforest"))
