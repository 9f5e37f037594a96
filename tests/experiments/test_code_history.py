"""The code of an older commit has the fingerprint that results of its time bear."""

import subprocess

import pytest

from reproduce.errors import ConfigError
from reproduce.experiments import provenance
from reproduce.experiments.code_history import CodeHistory

MODULE = "reproduce.imputers.a"


def git(folder, *arguments):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def past(tmp_path, monkeypatch):
    """A working copy of four commits, and its method's fingerprint when each was made."""
    root = tmp_path / "reproduce"
    (root / "imputers").mkdir(parents=True)
    monkeypatch.setattr(provenance, "ROOT", root)
    monkeypatch.setattr(provenance, "CORE", ("reproduce.core",))
    git(tmp_path, "init", "-q")
    stages = [
        {"core.py": '"""Core."""\nX = 1\n', "imputers/a.py": "from reproduce.imputers import helper\n"},
        {"imputers/helper.py": "Y = 2\n"},  # an import that finds its module only now
        {"core.py": '"""Core, better put."""\n# why\nX = 1\n'},
        {"core.py": "X = 1 + 0\n"},
    ]
    made = []
    for stage in stages:
        for name, source in stage.items():
            (root / name).write_text(source)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", "stage")
        provenance.code_fingerprint.cache_clear()
        made.append((git(tmp_path, "rev-parse", "HEAD"), provenance.code_fingerprint(MODULE)))
    yield tmp_path, made
    provenance.code_fingerprint.cache_clear()


def test_every_commit_has_the_fingerprint_it_had_newest_first(past):
    folder, made = past
    (c0, f0), (_, f1), (c2, f2), (c3, f3) = made
    assert f1 == f2 and len({f0, f1, f3}) == 3
    assert list(CodeHistory(folder).fingerprints(MODULE).items()) == [(f3, c3), (f1, c2), (f0, c0)]


def test_older_commits_than_asked_for_do_not_count_and_edits_in_the_working_copy_are_no_commit(past):
    folder, made = past
    (folder / "reproduce" / "core.py").write_text("X = 7\n")
    history = CodeHistory(folder, since=made[2][0][:10])
    assert list(history.fingerprints(MODULE)) == [made[3][1], made[2][1]]
    assert CodeHistory(folder).fingerprints("reproduce.imputers.absent") == {}


def test_a_commit_that_is_no_python_is_passed_over(past):
    folder, made = past
    (folder / "reproduce" / "core.py").write_text("def f(:\n")
    git(folder, "commit", "-q", "-a", "-m", "half")
    assert list(CodeHistory(folder).fingerprints(MODULE)) == [made[3][1], made[2][1], made[0][1]]


def test_no_history_and_no_such_commit_are_said(past, tmp_path_factory):
    with pytest.raises(ConfigError, match="name a commit"):
        CodeHistory(past[0], since="nonsense")
    with pytest.raises(ConfigError, match="history of"):
        CodeHistory(tmp_path_factory.mktemp("empty"))
