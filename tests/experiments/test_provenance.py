"""Results of older code are not taken for new ones, and better wording costs no results."""

import pytest

from reproduce.experiments import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules: a core, a method, and what the method imports."""
    root = tmp_path / "reproduce"
    (root / "imputers").mkdir(parents=True)
    (root / "core.py").write_text('"""Core."""\nX = 1\n')
    (root / "imputers" / "a.py").write_text(
        "def f():\n    from reproduce.imputers import helper\n    return helper.Y\n"
    )
    (root / "imputers" / "helper.py").write_text("Y = 2\n")
    (root / "imputers" / "b.py").write_text("Z = 3\n")
    monkeypatch.setattr(provenance, "ROOT", root)
    monkeypatch.setattr(provenance, "CORE", ("reproduce.core",))
    return root


def fingerprint(name):
    provenance.code_fingerprint.cache_clear()
    return provenance.code_fingerprint(f"reproduce.imputers.{name}")


@pytest.fixture(autouse=True)
def clean_cache():
    yield
    provenance.code_fingerprint.cache_clear()


@pytest.mark.parametrize("changed", ["core.py", "imputers/a.py", "imputers/helper.py"])
def test_code_that_a_method_rests_on_counts(package, changed):
    before = fingerprint("a")
    with (package / changed).open("a") as file:
        file.write("W = 9\n")
    assert fingerprint("a") != before


def test_another_methods_code_does_not_count(package):
    before = fingerprint("a")
    (package / "imputers" / "b.py").write_text("Z = 4\n")
    assert fingerprint("a") == before


def test_words_do_not_count(package):
    before = fingerprint("a")
    (package / "core.py").write_text('"""Core, better put.\n\nAt length."""\n\n# why\nX = 1\n')
    assert fingerprint("a") == before


def test_the_true_core_reaches_everything_that_scores():
    import ast

    seen, waiting = set(), list(provenance.CORE)
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in provenance.NOT_NUMERIC:
            seen.add(name)
            waiting += provenance._imports(ast.parse(provenance._path(name).read_text()))
    assert {f"reproduce.{room}" for room in ("metrics", "masking", "splits", "preprocessing")} <= seen
    assert not seen & {"reproduce.plots", "reproduce.tables.summaries", "reproduce.cli"}
