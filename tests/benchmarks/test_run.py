"""The benchmark as a whole: what is stored when, what ends it, and that quick figures never pass for full ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reproduce import benchmarks, cli
from reproduce.benchmarks import LARGEST, PARTS, BenchmarkError, large, networks, processes, run_benchmarks
from reproduce.benchmarks.imputing import PAIRS
from reproduce.benchmarks.processes import Way, measure
from reproduce.benchmarks.table import COLUMNS, Repeat, Subject, machine_key, misses, read_benchmarks, table_row
from reproduce.errors import ConfigError, DataFormatError

SUBJECT = Subject(
    "networks", "Ours", "ours", 10, 5, 0.5, Way("a:b"), "theirs", Way("c:d"), repeats=3, required=4.0, note="n"
)


def record(seconds: float, **more: float) -> dict[str, float]:
    usual = {"cpu_seconds": 2 * seconds, "process_seconds": seconds + 10, "peak_memory_gb": seconds, "r2": 0.5}
    return {"seconds": seconds, **usual, **more}


@pytest.fixture
def measured(monkeypatch):
    """What is asked of fresh processes, none of which is started: one second each, by what is being measured."""
    asked = []

    def pretend(way, what, **more):
        asked.append((way.function, what, more))
        return record(1.0 if way.function.endswith("train") else 6.0)

    monkeypatch.setattr(processes, "measure", pretend)
    return asked


def test_ratios_are_taken_repeat_by_repeat():
    repeats = [Repeat(record(own), record(other)) for own, other in ((1, 2), (10, 40), (3, 30))]
    row = table_row(SUBJECT, repeats, quick=False)
    assert row["times_faster"] == 4.0  # of 2, 4 and 10; the ratio of the medians is 10
    assert (row["seconds"], row["least"], row["most"], row["against_seconds"]) == (3, 1, 10, 30)
    assert (row["cpu_seconds"], row["peak_memory_gb"], row["repeats"]) == (6, 10, 3)
    assert (row["least_times_faster"], row["most_times_faster"]) == (2, 10)
    assert (row["against_least"], row["against_most"], row["against_cpu_seconds"]) == (2, 40, 60)
    assert (row["process_seconds"], row["against_process_seconds"]) == (13, 40)
    assert row["process_times_faster"] == 2.5  # of 12/11, 50/20 and 40/13
    assert tuple(row) == COLUMNS


def test_a_grid_is_measured_once_and_the_other_way_of_it_several_times(measured, tmp_path):
    table = run_benchmarks(tmp_path, only=["grids"], say=lambda line: None)
    functions = [function.partition(":")[2] for function, _, _ in measured]
    assert functions == ["train_grid", *["train_plainly"] * 3] * 2
    assert table["repeats"].tolist() == [1, 1] and table["against_repeats"].tolist() == [3, 3]
    measured.clear()
    run_benchmarks(tmp_path, only=["networks", "grids"], say=lambda line: None)
    functions = [function.partition(":")[2] for function, _, _ in measured]
    assert functions[-2:] == ["train_grid"] * 2 and functions.count("train_plainly") == 9  # as measured for networks
    row = table_row(SUBJECT, [Repeat(record(2.0), record(4)), *(Repeat(None, record(x)) for x in (6, 20))], quick=False)
    assert (row["least_times_faster"], row["times_faster"], row["most_times_faster"]) == (2, 3, 10)


def test_what_is_asked_and_not_kept_is_named():
    kept = {"times_faster": 4.0, "seconds": 30.0, "peak_memory_gb": 4.0, "r2": 0.696, "against_r2": 0.7}
    asked = {"required": 4.0, "required_seconds": 30.0, "required_gb": 4.0, "r2_tolerance": 0.005}
    assert misses(kept | asked) == [] and misses(kept | dict.fromkeys(asked, np.nan)) == []
    worse = {"times_faster": 3.9, "seconds": 31.0, "peak_memory_gb": 4.1, "r2": 0.694}
    for (name, value), missed in zip(worse.items(), asked, strict=True):
        assert misses(kept | asked | {name: value}) == [missed]
        assert misses(kept | asked | {name: np.nan}) == [missed]


def test_without_another_way_there_is_no_ratio_and_the_law_stands_beside():
    row = table_row(SUBJECT, [Repeat(record(2.0, against_r2=0.8, fit_seconds=1.5))], quick=True)
    assert np.isnan(row["times_faster"]) and np.isnan(row["against_seconds"])
    assert (row["r2"], row["against_r2"], row["fit_seconds"]) == (0.5, 0.8, 1.5)


def test_subject_and_baseline_are_measured_in_turn_and_stored_with_the_machine(measured, tmp_path):
    table = run_benchmarks(tmp_path, only=["networks"], say=lambda line: None)
    assert [function.partition(":")[2] for function, _, _ in measured[:4]] == ["train", "train_plainly"] * 2
    assert [more["seed"] for _, _, more in measured[:6]] == [0, 0, 1, 1, 2, 2]
    assert table["times_faster"].tolist() == [6.0] * 3 and not table["quick"].any()
    stored, machines = read_benchmarks(tmp_path)
    assert stored.equals(table) and machines["networks"]["cores"] >= 1 and machines["networks"]["blas"]


def test_a_failure_names_its_subject_and_keeps_the_finished_parts(measured, monkeypatch, tmp_path, capsys):
    run_benchmarks(tmp_path, only=["imputers"], say=lambda line: None)
    works = processes.measure

    def fails(way, what, **more):
        if way.function.endswith("train_grid"):
            raise BenchmarkError(f"The benchmark of {what} failed")
        return works(way, what, **more)

    monkeypatch.setattr(processes, "measure", fails)
    with pytest.raises(BenchmarkError, match="grids: PMI, a model of a grid, 738 × 65"):
        run_benchmarks(tmp_path, say=lambda line: None)
    assert set(read_benchmarks(tmp_path)[0]["part"]) == {"imputers", "networks"}
    assert cli.main(["bench", "--only", "grids", "--results", str(tmp_path)]) == 1
    assert "PMI, a model of a grid" in capsys.readouterr().err


def test_only_the_parts_that_are_run_are_replaced_and_quick_stands_beside_full(measured, monkeypatch, tmp_path):
    run_benchmarks(tmp_path, only=["networks", "imputers"], say=lambda line: None)
    monkeypatch.setattr(processes, "measure", lambda way, what, **more: record(9.0))
    table = run_benchmarks(tmp_path, only=["imputers"], say=lambda line: None)
    assert len(table) == 3 + len(PAIRS)
    assert (table.loc[table["part"] == "imputers", "seconds"] == 9).all()
    assert (table.loc[table["part"] == "networks", "seconds"] == 1).all()
    both = run_benchmarks(tmp_path, quick=True, only=["networks"], say=lambda line: None)
    full = both[~both["quick"]]
    assert full.sort_values("key").reset_index(drop=True).equals(table.sort_values("key").reset_index(drop=True))
    assert both.loc[both["quick"], "key"].tolist() == ["pmi"]
    assert set(read_benchmarks(tmp_path)[1]) == {"networks", "imputers", machine_key("networks", quick=True)}


def test_the_largest_file_is_measured_where_it_is_asked_for_and_its_row_stays_otherwise(measured, tmp_path):
    lines = []
    run_benchmarks(tmp_path, only=["larger_than_memory"], largest=True, say=lines.append)
    assert lines[-1].startswith("all done in 0.0 minutes")
    before, machines = read_benchmarks(tmp_path)
    assert before["rows"].tolist() == [*large.FILES, large.LARGEST_FILE] and LARGEST in machines
    table = run_benchmarks(tmp_path, say=lambda line: None)
    largest = before[before["part"] == LARGEST]
    stays = table[table["part"] == LARGEST]
    pd.testing.assert_frame_equal(*(rows.reset_index(drop=True) for rows in (stays, largest)), check_dtype=False)
    assert sum("200,000" in what for _, what, _ in measured) == 3  # written, filled and scored, once
    for asked in ({"largest": True}, {"only": [LARGEST]}):
        with pytest.raises(ConfigError, match="small matrices only"):
            run_benchmarks(tmp_path, quick=True, **asked)


def test_an_unknown_part_and_a_broken_table_are_named_before_anything_is_measured(measured, tmp_path):
    with pytest.raises(ConfigError, match="'network'; its parts are networks"):
        run_benchmarks(tmp_path, only=["network"])
    (tmp_path / "benchmarks.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataFormatError, match="no such file beside"):
        run_benchmarks(tmp_path)
    (tmp_path / "benchmarks-machine.json").write_text("{}")
    with pytest.raises(DataFormatError, match="other columns"):
        run_benchmarks(tmp_path)
    assert not measured


@pytest.mark.parametrize("option", ["--results", "--scratch"])
def test_a_file_in_place_of_a_folder_is_refused_before_anything_is_measured(option, measured, capsys, tmp_path):
    (tmp_path / "there").write_text("something")
    folders = {"--results": str(tmp_path / "results"), option: str(tmp_path / "there" / "in")}
    assert cli.main(["bench", "--quick", *(word for pair in folders.items() for word in pair)]) == 2
    assert f"{tmp_path / 'there'} is a file, not a folder; give another name" in capsys.readouterr().err
    assert not measured and [path.name for path in tmp_path.iterdir()] == ["there"]


def test_too_little_room_on_disk_is_told_before_anything_is_measured(measured, monkeypatch, tmp_path):
    usage = benchmarks.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(benchmarks.shutil, "disk_usage", lambda path: usage._replace(free=20 * 10**9))
    with pytest.raises(ConfigError, match=r"200,000 × 20,000 needs 35\.2 GB in .* 20\.0 GB are free"):
        run_benchmarks(tmp_path, only=["larger_than_memory"], largest=True)
    assert not measured
    run_benchmarks(tmp_path, only=["larger_than_memory"], say=lambda line: None)
    assert measured


def test_files_are_removed_also_when_interrupted(measured, monkeypatch, tmp_path):
    lying = []

    def interrupted(way, what, *, folder, **more):
        (Path(folder) / "rows.zarr").mkdir()
        lying.append(Path(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "measure", interrupted)
    scratch = tmp_path / "scratch"
    arguments = ["bench", "--quick", "--only", "larger_than_memory", "--results", str(tmp_path / "results")]
    assert cli.main([*arguments, "--scratch", str(scratch)]) == 130
    assert lying[0].parent == scratch and not list(scratch.iterdir()) and not list((tmp_path / "results").iterdir())


def test_quick_is_smaller_in_every_dimension():
    def lesser(quick, full):
        assert all(small < large for small, large in zip(quick, full, strict=True)), (quick, full)

    lesser(*((size.rows, size.genes, size.epochs, size.repeats) for size in (networks.QUICK, networks.FULL)))
    lesser(networks.QUICK_MODELS.values(), [networks.MODELS[method] for method in networks.QUICK_MODELS])
    for pair in PAIRS:
        if pair.quick_size is not None:
            lesser(pair.quick_size, pair.size)
    lesser(large.QUICK_TRANSCRIPTOME, large.TRANSCRIPTOME)
    lesser((max(large.QUICK_FILES), len(large.QUICK_FILES)), (min(large.FILES), len(large.FILES)))
    assert PARTS[LARGEST](quick=True) == []
    for name, subjects in PARTS.items():
        quick, full = subjects(quick=True), subjects(quick=False)
        if not quick:
            continue
        for size in ("rows", "genes"):
            assert max(getattr(s, size) for s in quick) < max(getattr(s, size) for s in full), name


def test_every_way_can_be_called():
    for subjects in PARTS.values():
        for subject in [*subjects(quick=False), *subjects(quick=True)]:
            for way in (subject.way, subject.other_way, subject.before, subject.after):
                if way is not None:
                    module, _, name = way.function.partition(":")
                    found = {"networks": networks, "large": large}.get(module.rpartition(".")[2])
                    given = {**way.arguments, "seed": 0} | ({"folder": ""} if subject.disk_bytes else {})
                    if found is not None:
                        assert set(given) == set(getattr(found, name).__annotations__) - {"return"}, way


def test_a_fresh_process_gives_its_record_and_its_peak_memory():
    found = measure(Way("reproduce.benchmarks.machine:describe_machine"), "the machine")
    assert found["libraries"]["numpy"] == np.__version__
    assert 0.02 < found["peak_memory_gb"] < 2 and found["process_seconds"] > 0.1


def test_the_process_s_seconds_are_divided_among_what_a_record_is_of(monkeypatch):
    clock = iter([100.0, 112.0])
    monkeypatch.setattr(processes.time, "perf_counter", lambda: next(clock))
    assert measure(Way("builtins:dict", {"models": 4}), "four models")["process_seconds"] == 3.0


def test_a_process_that_fails_is_named_with_its_last_words():
    with pytest.raises(BenchmarkError, match=r"(?s)benchmark of a nonsense failed in reproduce\.nothing:x.*No module"):
        measure(Way("reproduce.nothing:x"), "a nonsense")


def test_an_interruption_ends_the_process(monkeypatch):
    started = []

    class Interrupted(processes.subprocess.Popen):
        def communicate(self, *arguments, **more):
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(processes.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(Way("time:sleep", {}), "sleep")
    assert started[0].wait(timeout=10) == -processes.signal.SIGKILL
