"""Documents: only what stands between the marks changes, and what is committed is what the tables say."""

import shutil

import pytest

from reproduce.documents import DOCUMENT_PARTS, Part, replace_part, write_documents
from reproduce.errors import ConfigError

PART = Part("README.md", "results", lambda results, figures, document: "new")


def test_a_part_changes_between_its_marks_only_and_once(tmp_path):
    text = f"# Title\n\nbefore\n\n{PART.begin}\nOLD\n{PART.end}\n\nafter\n"
    once = replace_part(text, PART, "new", tmp_path)
    assert once == f"# Title\n\nbefore\n\n{PART.begin}\n\nnew\n\n{PART.end}\n\nafter\n"
    assert replace_part(once, PART, "new", tmp_path) == once


@pytest.mark.parametrize("text", ["no marks", f"{PART.end}\n{PART.begin}", PART.begin * 2 + PART.end])
def test_a_document_without_marks_is_named(tmp_path, text):
    with pytest.raises(ConfigError, match="in this order"):
        replace_part(text, PART, "new", tmp_path / "README.md")


def test_nothing_is_written_where_a_part_fails(tmp_path):
    for part in DOCUMENT_PARTS:
        (tmp_path / part.document).parent.mkdir(exist_ok=True)
        (tmp_path / part.document).write_text(f"{part.begin}\nOLD\n{part.end}")
    with pytest.raises(ValueError, match="no such file"):
        write_documents(tmp_path, tmp_path / "results", tmp_path / "figures")
    assert all("OLD" in (tmp_path / part.document).read_text() for part in DOCUMENT_PARTS)


def test_committed_documents_say_what_the_committed_tables_say(repository, tmp_path):
    for name in {part.document for part in DOCUMENT_PARTS}:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    (tmp_path / "figures").symlink_to(repository / "figures")
    for path in write_documents(tmp_path, repository / "results", tmp_path / "figures"):
        committed = (repository / path.relative_to(tmp_path)).read_text(encoding="utf-8")
        assert path.read_text(encoding="utf-8") == committed, "run `make readme` and commit what it writes"
