"""Set-up files say the same: pyproject.toml, requirements.lock, environment.yml, pre-commit, CI and the Makefile."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SUPPORTED = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def lock_text(repository):
    return (repository / "requirements.lock").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def environment(repository):
    return yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))


def locked(text: str, python: str) -> dict[str, str]:
    """Name to version, as pip on Linux with this Python reads the lock."""
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    versions = {}
    for line in re.findall(r"^[a-zA-Z0-9].*?(?= \\$)", text, re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in versions, f"{name} is locked twice for Python {python}"
            versions[name] = next(iter(requirement.specifier)).version
    return versions


@pytest.mark.parametrize("python", SUPPORTED)
def test_lock_holds_every_direct_dependency_within_its_range(project, lock_text, python):
    versions = locked(lock_text, python)
    direct = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in map(Requirement, direct):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_lock_pins_hashes_and_names_no_host_or_path(lock_text):
    assert not re.search(r"://|^\s*--?(?!hash)[a-z]|(^|\s)/[a-z]|@ ", lock_text, re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", lock_text.strip()):
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry) and "--hash=sha256:" in entry, entry.splitlines()[0]


def test_every_dependency_has_a_reason(repository):
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    for line in block.splitlines():
        if re.match(r'\s+"', line):
            assert re.search(r'",\s+# \w', line), f"no reason beside {line.strip()}"


def test_environment_has_the_locks_versions(project, lock_text, environment):
    """Every direct dependency once, at the lock's version for the same Python; conda's specs are read as conda does."""
    from rattler import BuildString, MatchSpec, PackageRecord

    conda = [MatchSpec(spec) for spec in environment["dependencies"] if isinstance(spec, str)]
    by_pip = next(spec["pip"] for spec in environment["dependencies"] if isinstance(spec, dict))
    names = [re.split("[= ]", spec)[0] for spec in environment["dependencies"] if isinstance(spec, str)]
    specs = dict(zip(names, conda, strict=True))
    python = str(specs.pop("python").version).removesuffix(".*")
    assert python in SUPPORTED
    specs.pop("pip")
    versions = locked(lock_text, python)
    for name, spec in specs.items():
        version = versions[canonicalize_name(name)]
        record = lambda number, name=name: PackageRecord(name, number, BuildString("0"), 0, "linux-64")  # noqa: E731
        assert spec.matches(record(version)), f"{spec} is not the lock's {version}"
        assert not spec.matches(record("0.0.1")), f"{spec} accepts anything"
    pinned = [Requirement(spec) for spec in by_pip if not spec.startswith("-")]
    for requirement in pinned:
        assert str(requirement.specifier) == f"=={versions[canonicalize_name(requirement.name)]}", requirement
    listed = [canonicalize_name(name) for name in specs] + [canonicalize_name(r.name) for r in pinned]
    direct = {
        canonicalize_name(Requirement(text).name)
        for text in project["dependencies"] + project["optional-dependencies"]["dev"]
    }
    assert sorted(listed) == sorted(direct)


def test_everything_imported_is_a_direct_dependency(repository, project):
    distribution = {
        "sklearn": "scikit-learn",
        "imblearn": "imbalanced-learn",
        "umap": "umap-learn",
        "yaml": "pyyaml",
        "rattler": "py-rattler",
    }
    direct = {canonicalize_name(Requirement(r).name) for r in project["dependencies"]}
    for file in (repository / "reproduce").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules.append(node.module)
            for top in {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"reproduce"}:
                assert canonicalize_name(distribution.get(top, top)) in direct, f"{file.name} imports {top}"


def test_supported_pythons_agree_everywhere(repository, project):
    assert project["requires-python"] == ">=3.11,<3.14"
    workflow = yaml.safe_load((repository / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert tuple(workflow["jobs"]["test"]["strategy"]["matrix"]["python"]) == SUPPORTED


def test_pre_commit_uses_the_locked_tools(repository, lock_text):
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    revisions = {Path(repo["repo"]).name: repo["rev"].removeprefix("v") for repo in config["repos"]}
    versions = locked(lock_text, "3.11")
    assert revisions == {"ruff-pre-commit": versions["ruff"], "nbstripout": versions["nbstripout"]}


def test_citation_names_the_paper_and_this_version(repository):
    from reproduce import __version__

    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["preferred-citation"]["doi"] == "10.3389/fgene.2021.624128"


# --- finding an interpreter: small stand-ins for python3 ---


def find_python(repository, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/bin/sh", str(repository / ".ci" / "find-python"), *arguments],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def stand_in(folder: Path, name: str, version: str, *, venv: bool = True) -> None:
    """An executable that answers as an interpreter of this version would."""
    fits = 0 if version in SUPPORTED else 1
    script = (
        "#!/bin/sh\n"
        f'case "$2" in *version_info*) exit {fits};; *ensurepip*) exit {0 if venv else 1};; esac\n'
        f"echo Python {version}.0\n"
    )
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_fit_python3_is_taken(repository, tmp_path, version):
    stand_in(tmp_path, "python3", version)
    stand_in(tmp_path, "python3.13", "3.13")
    assert find_python(repository, tmp_path).stdout == "python3\n"


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_another_python_is_looked_for_where_python3_is_unfit(repository, tmp_path, version):
    stand_in(tmp_path, "python3", version)
    stand_in(tmp_path, "python3.12", "3.12")
    assert find_python(repository, tmp_path).stdout == "python3.12\n"


def test_no_fit_python_is_one_clear_error(repository, tmp_path):
    stand_in(tmp_path, "python3", "3.9")
    answer = find_python(repository, tmp_path)
    assert answer.returncode == 1 and answer.stdout == ""
    assert "Python 3.11, 3.12 or 3.13 is needed; python3 is Python 3.9.0" in answer.stderr


def test_python_without_venv_is_said_with_the_remedy(repository, tmp_path):
    stand_in(tmp_path, "python3", "3.11", venv=False)
    answer = find_python(repository, tmp_path)
    assert answer.returncode == 1 and "python3-venv" in answer.stderr


def test_a_named_interpreter_is_taken_or_refused(repository, tmp_path):
    stand_in(tmp_path, "python3", "3.11")
    stand_in(tmp_path, "mine", "3.9")
    assert find_python(repository, tmp_path, str(tmp_path / "mine")).returncode == 1
    assert find_python(repository, tmp_path, str(tmp_path / "absent")).returncode == 1
    assert find_python(repository, tmp_path, sys.executable).stdout.strip() == sys.executable


def test_install_uses_hashes_and_wheels_only(repository):
    plan = subprocess.run(
        ["make", "--dry-run", "--always-make", "test", "report"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--only-binary :all: --require-hashes" in plan and "--requirement requirements.lock" in plan
    assert "--no-deps --no-build-isolation --no-index --editable ." in plan
    assert "-m pytest" in plan and "-m reproduce report --preset quick --data auto" in plan


def test_working_files_do_not_name_this_machine(repository):
    """No absolute home or work folder in what is committed."""
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    home = re.compile(r"/(root|home/\w+|work)/")
    for name in listed.stdout.splitlines():
        path = repository / name
        if path.is_file() and path.suffix in {
            ".py",
            ".md",
            ".toml",
            ".yml",
            ".yaml",
            ".ipynb",
            ".csv",
            ".cff",
            ".lock",
        }:
            if path == Path(__file__):
                continue
            found = home.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found.group()}"
