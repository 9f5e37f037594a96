"""What the benchmark of large matrices measures: every kind comes near the law that it knows."""

import pytest

from reproduce.benchmarks_large import Subject, _run


@pytest.mark.parametrize("kind", ["inductive", "in_place", "streamed"])
def test_every_kind_comes_near_the_law(kind, tmp_path):
    subject = Subject(kind, 2_000, 80, rank=20)
    if kind == "streamed":
        _run("write", subject, tmp_path)
    measured = _run(kind, subject, tmp_path)
    if kind == "streamed":
        measured |= _run("score", subject, tmp_path)
    assert measured["peak_memory_gb"] > 0
    assert 0.6 < measured["r2_of_the_law"] < 0.95
    assert measured["r2_of_the_law"] - 0.1 < measured["r2"] < measured["r2_of_the_law"]
