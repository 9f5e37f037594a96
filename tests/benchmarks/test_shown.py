"""README's block: says that nothing was measured, quotes full rows only, and names machine and what is absent."""

import pytest

from reproduce import benchmarks
from reproduce.benchmarks import PARTS, shown
from reproduce.benchmarks.processes import Way
from reproduce.benchmarks.shown import NOT_MEASURED, say_machines, show_benchmarks
from reproduce.benchmarks.table import Repeat, Subject, read_benchmarks, store_part, table_row
from reproduce.documents import benchmarks as block

MACHINE = {
    "processor": "A processor",
    "cores": 2,
    "memory_gb": 8.0,
    "system": "Linux x86_64",
    "python": "3.11.9",
    "libraries": {"tensorflow": "2.21.0", "numpy": "2.4"},
    "blas": [{"name": "openblas", "version": "0.3", "threads": 1}] * 2,
}


def rows(part: str, *, quick: bool, seconds: float = 2.5) -> list[dict]:
    subject = Subject(
        part,
        "PMI",
        "pmi",
        15_201,
        65,
        0.5,
        Way("a:b"),
        "Keras",
        Way("c:d"),
        required=4,
        required_gb=2,
        r2_tolerance=0.005,
        note="beside other work",
    )
    own = {"seconds": seconds, "process_seconds": seconds + 5, "cpu_seconds": 2.0, "peak_memory_gb": 1.0, "r2": 0.7}
    own |= {"seconds_per_1000_rows": 0.25}
    others = ({"seconds": times * seconds, "process_seconds": 15.0, "r2": 0.6} for times in (4, 5, 6))
    return [table_row(subject, [Repeat(own, own | other) for other in others], quick=quick)]


def test_nothing_measured_is_said(tmp_path):
    assert block(tmp_path, tmp_path, tmp_path) == NOT_MEASURED


def test_quick_figures_are_never_quoted(tmp_path):
    store_part(tmp_path, "networks", rows("networks", quick=True, seconds=77.0), MACHINE)
    assert block(tmp_path, tmp_path, tmp_path) == NOT_MEASURED
    store_part(tmp_path, "networks", rows("networks", quick=False), MACHINE)
    assert "77" not in block(tmp_path, tmp_path, tmp_path)


def test_a_row_says_what_was_asked_for_and_what_was_found(tmp_path):
    store_part(tmp_path, "networks", rows("networks", quick=False), MACHINE)
    (row,) = show_benchmarks(read_benchmarks(tmp_path)[0]).to_dict("records")
    assert row == {
        "what": "PMI",
        "how": "beside other work",
        "rows × genes": "15,201 × 65",
        "repeats": "3",
        "ours": "2.5 s (0.25 s per 1,000 rows)",
        "against": "Keras: 12.5 s",
        "times faster": "5.0 (4.0–6.0)",
        "whole process": "2.0",
        "asked for": "≥ 4 times, ≤ 2 GB, R² lower by ≤ 0.005",
        "met": "yes",
        "peak memory": "1.00 GB",
        "R²": "0.700 (0.600)",
    }


def test_both_ratios_of_the_networks_and_every_miss_are_said(tmp_path):
    store_part(tmp_path, "networks", rows("networks", quick=False), MACHINE)
    text = block(tmp_path, tmp_path, tmp_path)
    assert "PMI 5.0 times by the training alone" in text and "2.0 times by the whole process" in text
    assert "All that is asked for is met." in text
    (slow,) = rows("networks", quick=False)
    store_part(tmp_path, "networks", [slow | {"times_faster": 3.9, "r2": 0.5941}], MACHINE)
    text = block(tmp_path, tmp_path, tmp_path)
    assert "Not met: PMI, 15,201 × 65 (3.9 times of 4, R² 0.5941 (0.6000))." in text and "| no |" in text


def test_machines_and_what_is_absent_are_named(tmp_path):
    store_part(tmp_path, "networks", rows("networks", quick=False), MACHINE)
    text = block(tmp_path, tmp_path, tmp_path)
    assert (
        "A processor, 2 cores, 8 GB" in text
        and "(openblas on 1 thread(s))" in text
        and "bench --largest --results" in text
    )
    absent = ", ".join(part.replace("_", " ") for part in PARTS if part != "networks")
    assert f"Not measured: {absent}." in text and "larger than memory" in absent
    store_part(tmp_path, "grids", rows("grids", quick=False), MACHINE | {"processor": "Another"})
    table, machines = read_benchmarks(tmp_path)
    said = say_machines(table, machines, list(PARTS))
    assert "on A processor" in said and ": networks; on Another" in said and ": grids." in said


def test_a_run_without_full_rows_of_its_own_shows_the_committed_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(shown, "COMMITTED", tmp_path / "committed")
    table, machines, where = shown.nearest_benchmarks(tmp_path)
    assert table.empty and where.startswith("Neither") and say_machines(table, machines, PARTS) == NOT_MEASURED
    store_part(tmp_path / "committed", "networks", rows("networks", quick=False, seconds=3.0), MACHINE)
    store_part(tmp_path, "networks", rows("networks", quick=True), MACHINE)
    table, machines, where = shown.nearest_benchmarks(tmp_path)
    assert where.startswith("As committed") and list(table["seconds"]) == [3.0] and "networks" in machines
    store_part(tmp_path, "networks", rows("networks", quick=False, seconds=4.0), MACHINE)
    table, _, where = shown.nearest_benchmarks(tmp_path)
    assert where == "Of this run" and list(table["seconds"]) == [4.0]


def test_a_part_that_is_measured_again_stands_where_it_stood(tmp_path):
    for part, seconds in (("networks", 1.0), ("grids", 2.0), ("networks", 3.0)):
        store_part(tmp_path, part, rows(part, quick=False, seconds=seconds), MACHINE)
    assert read_benchmarks(tmp_path)[0][["part", "seconds"]].to_numpy().tolist() == [["networks", 3.0], ["grids", 2.0]]


@pytest.mark.parametrize("name", PARTS)
def test_readme_s_command_knows_every_part(name, capsys):
    from reproduce import cli

    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    assert name in capsys.readouterr().out.replace("\n", "") and benchmarks.PARTS[name](quick=False)
