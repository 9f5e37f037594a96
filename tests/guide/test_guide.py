"""The guide: what it says is read from the code, its mistakes are refused, its example is a method like the others."""

import ast
import os
import subprocess
import sys

import pytest

from reproduce import imputers
from reproduce.guide import PAGES, contract, inputs, reference, write_guide
from reproduce.imputers import METHODS

#: Puts the example where the guide says: its file beside the others, its line into the registry.
PLUGIN = """
from types import MappingProxyType
import reproduce.imputers as imputers
from reproduce.guide import contract
imputers.__path__.append({folder!r})
(method,) = eval("(" + contract.EXAMPLE_LINE + ")", vars(imputers))
imputers.METHODS = MappingProxyType({{**imputers.METHODS, method.name: method}})
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    names = write_guide(site, site, {"04_transfer_to_tumours"})
    return {name: (site / f"{name}.md").read_text(encoding="utf-8") for name in names}


def test_prose_is_filled_and_links_lead_to_pages_that_are_there(pages):
    assert set(PAGES) < set(pages) and all(pages.values())
    assert not [name for name, text in pages.items() if "{{" in text]
    assert "[measured here](04_transfer_to_tumours.ipynb)" in pages["guide_models"]
    assert "09_your_own_matrix.ipynb" not in pages["guide_models"] and "The tutorial does this" in pages["guide_models"]
    assert "no table of missing rates" in pages["guide_choosing"], "the run has none"


def test_every_method_is_in_the_guide_and_every_class_in_the_reference(pages):
    for name, method in METHODS.items():
        assert f"| `{name}` | {method.label} |" in pages["guide_choosing"]
        assert f"`{method.target.partition(':')[2]}`" in pages["guide_adding"]
    for target in reference.estimators():
        assert pages["reference_imputers"].count(f".. autoclass:: {target}\n") == 1


@pytest.mark.parametrize("mistake", inputs.MISTAKES, ids=lambda mistake: mistake.name)
def test_mistakes_are_refused_with_the_file_s_name(mistake):
    assert inputs.message_of(mistake).startswith(mistake.name)


def test_the_exceptions_are_those_of_the_tests():
    classes = {method.target.partition(":")[2] for method in METHODS.values()}
    assert set(contract.EXPECTED_FAILED_CHECKS) <= classes
    if not contract.EXPECTED_FAILED_CHECKS:
        assert "no exception" in contract.exceptions()


def test_the_guide_needs_no_tensorflow(tmp_path):
    code = "import sys, pathlib; from reproduce.guide import write_guide; folder = pathlib.Path(sys.argv[1]); "
    code += "write_guide(folder, folder, []); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


@pytest.mark.slow
def test_the_example_of_a_new_method_keeps_the_contract(repository, tmp_path):
    (tmp_path / contract.EXAMPLE_FILE).write_text(contract.example(), encoding="utf-8")
    (tmp_path / "example_plugin.py").write_text(PLUGIN.format(folder=str(tmp_path)), encoding="utf-8")
    tests = (repository / "tests" / "imputers" / "test_contract.py").read_text(encoding="utf-8")
    assert tests.count('ORDER_FREE = ("median",') == 1, "the line of the guide is the line of the tests"
    copy = tmp_path / "test_example.py"
    copy.write_text(tests.replace('ORDER_FREE = ("median",', contract.EXAMPLE_ORDER_FREE), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "example_plugin", "-p", "no:cacheprovider", str(copy)]
    command += ["-k", "correlated_genes or CorrelatedGenesImputer", f"--rootdir={tmp_path}", "-c", os.devnull]
    paths = os.pathsep.join([str(tmp_path), str(repository), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(done.stdout.rsplit(" passed", 1)[0].split()[-1]) > 40
    assert "correlated_genes" not in imputers.METHODS, "only there"


def test_the_example_is_complete():
    tree = ast.parse(contract.example())
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert cls.name in contract.EXAMPLE_LINE and contract.EXAMPLE_FILE.removesuffix(".py") in contract.EXAMPLE_LINE
