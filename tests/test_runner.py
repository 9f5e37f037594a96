"""The runner: what it refuses before it starts, and that success is decided by how a notebook's process ended."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from reproduce import cli, files, runner
from reproduce.errors import ConfigError
from reproduce.machine import usable_cores

PARAMETERS = "results_folder: str = '.'  # where tables go\nn_splits: int = 2  # donor splits"


def write_notebook(
    folder: Path, name: str, *cells: str, parameters: str | None = PARAMETERS, needs=(), tags: int = 1
) -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["reproduce"] = {"needs": list(needs)}
    for _ in range(tags):
        notebook.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def run(folder: Path, build: Path, parameters=None, **settings):
    graph = runner.read_graph(folder)
    resolved = runner.resolve_parameters(graph, ("test", {"common": parameters or {}}))
    said = []
    outcomes = runner.run_notebooks(graph, resolved, runner.RunSettings(build, **settings), say=said.append)
    return {outcome.name: outcome for outcome in outcomes}, said


# --- what is refused before anything runs ---


def test_a_notebook_declares_typed_parameters_and_needs(tmp_path):
    write_notebook(tmp_path, "01_a", parameters="a: int = 1\nb = 'x'\nc: list[str] = ['y']\nd: str | None = None")
    write_notebook(tmp_path, "02_b", needs=["01_a"])
    graph = runner.read_graph(tmp_path)
    assert list(graph) == ["01_a", "02_b"]
    assert graph["01_a"].defaults == {"a": 1, "b": "x", "c": ["y"], "d": None}
    assert graph["01_a"].types["d"] == (str, type(None))
    assert graph["02_b"].needs == ("01_a",)


@pytest.mark.parametrize("tags", [0, 2])
def test_exactly_one_parameters_cell(tmp_path, tags):
    write_notebook(tmp_path, "01_a", tags=tags)
    with pytest.raises(ConfigError, match=f"{tags} cells carry the tag 'parameters'"):
        runner.read_graph(tmp_path)


@pytest.mark.parametrize("source", ["a = open('x')", "import os", "for a in []: pass", "a, b = 1, 2", "a = "])
def test_a_parameters_cell_holds_literals_only(tmp_path, source):
    write_notebook(tmp_path, "01_a", parameters=source)
    with pytest.raises(ConfigError, match="01_a"):
        runner.read_graph(tmp_path)


def test_needs_must_exist_and_not_go_round(tmp_path):
    write_notebook(tmp_path, "01_a", needs=["02_b"])
    with pytest.raises(ConfigError, match="needs 02_b, which does not exist"):
        runner.read_graph(tmp_path)
    write_notebook(tmp_path, "02_b", needs=["01_a"])
    with pytest.raises(ConfigError, match="circle"):
        runner.read_graph(tmp_path)


def test_not_a_notebook_and_no_notebook_at_all(tmp_path):
    with pytest.raises(ConfigError, match="no numbered notebook"):
        runner.read_graph(tmp_path)
    (tmp_path / "01_a.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a readable notebook"):
        runner.read_graph(tmp_path)


def test_a_part_of_the_graph_brings_what_it_needs(tmp_path):
    for name, needs in {"01_a": [], "02_b": [], "03_c": ["02_b"]}.items():
        write_notebook(tmp_path, name, needs=needs)
    graph = runner.read_graph(tmp_path)
    assert list(runner.with_needs(graph, ["03"])) == ["02_b", "03_c"]
    with pytest.raises(ConfigError, match="no notebook '09'"):
        runner.with_needs(graph, ["09"])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"common": {"n_split": 3}}, "no notebook declares a parameter 'n_split'"),
        ({"01_a": {"only_in_b": 3}}, "01_a declares no parameter 'only_in_b'"),
        ({"07_x": {"n_splits": 3}}, "no notebook 07_x"),
        ({"common": {"n_splits": "3"}}, "must be int, not '3'"),
        ({"common": {"n_splits": True}}, "must be int, not True"),
        ({"common": {"n_splits": 2.0}}, "must be int"),
        ({"common": {"n_splits": None}}, "must be int"),
    ],
)
def test_unknown_and_mistyped_parameters_are_errors(tmp_path, sections, message):
    write_notebook(tmp_path, "01_a")
    write_notebook(tmp_path, "02_b", parameters="only_in_b: float = 1.0")
    with pytest.raises(ConfigError, match=message):
        runner.resolve_parameters(runner.read_graph(tmp_path), ("preset", sections))


def test_common_goes_to_those_who_declare_it_and_later_layers_win(tmp_path):
    write_notebook(tmp_path, "01_a")
    write_notebook(tmp_path, "02_b", parameters="rate: float = 0.5")
    graph = runner.read_graph(tmp_path)
    preset = {"common": {"n_splits": 5, "rate": 1}, "01_a": {"n_splits": 6}}
    assert runner.resolve_parameters(graph, ("preset", preset)) == {"01_a": {"n_splits": 6}, "02_b": {"rate": 1.0}}
    asked = runner.parse_assignments([("n_splits", "7"), ("02_b.rate", "0.25")])
    assert runner.resolve_parameters(graph, ("preset", preset), ("-p", asked))["01_a"] == {"n_splits": 7}
    assert runner.resolve_parameters(graph, ("preset", preset), ("-p", asked))["02_b"] == {"rate": 0.25}


def test_presets_are_parameters_and_values(tmp_path):
    preset = tmp_path / "quick.yaml"
    preset.write_text("n_splits: 2\nlimits: {a: 1}\n", encoding="utf-8")
    assert runner.read_preset(preset) == {"common": {"n_splits": 2, "limits": {"a": 1}}}
    with pytest.raises(ConfigError, match=r"no preset 'fast'.*Known: quick"):
        runner.read_preset(tmp_path / "fast.yaml")
    for content in (b"- a", b"03_x: {n_splits: 2}", b"a: [", b"just text", b"n_splits: \xff", b"1: 2"):
        preset.write_bytes(content)
        with pytest.raises(ConfigError, match=r"quick\.yaml"):
            runner.read_preset(preset)


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match="jobs"):
        runner.RunSettings(Path("x"), jobs=0)
    with pytest.raises(ConfigError, match="time-out"):
        runner.RunSettings(Path("x"), cell_timeout=0)


# --- running: one graph with every way to end ---


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Five notebooks that succeed, fail, die, hang, and need a failed one; and how the run of them ended."""
    folder, build = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("build")
    write = "from pathlib import Path; Path(results_folder, 'a.txt').write_text(str(n_splits))"
    write_notebook(folder, "01_works", write, "import os; print('threads', os.environ['OMP_NUM_THREADS'])")
    write_notebook(folder, "02_fails", "x = 1", "gene = 'TP53'\nraise KeyError(gene)")
    write_notebook(folder, "03_dies", "import os; os._exit(0)")
    write_notebook(folder, "04_hangs", "import time; time.sleep(600)")
    write_notebook(folder, "05_needs", "print('never')", needs=["01_works", "02_fails"])
    write_notebook(folder, "06_needs_needs", "print('never')", needs=["05_needs"])
    results = build / "results"
    results.mkdir()
    outcomes, said = run(
        folder, build, {"results_folder": str(results), "n_splits": 7}, jobs=3, cell_timeout=12, outputs=(results,)
    )
    return folder, build, outcomes, said


def test_every_notebook_ends_as_its_process_did(mixed):
    _, _, outcomes, _ = mixed
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "01_works": "done",
        "02_fails": "failed",
        "03_dies": "failed",
        "04_hangs": "failed",
        "05_needs": "skipped",
        "06_needs_needs": "skipped",
    }


def test_all_failures_are_told_with_cause_and_cell(mixed):
    text = runner.failures_text(mixed[2].values())
    assert "KeyError: 'TP53'" in text and "in code cell 3 (gene = 'TP53')" in text
    assert "03_dies failed" in text and "Kernel died" in text
    assert "04_hangs failed" in text and "timed out" in text
    assert "05_needs skipped: needs 02_fails" in text and "06_needs_needs skipped: needs 05_needs" in text
    assert "01_works" not in text


def test_only_successes_appear_under_their_final_name(mixed):
    _, build, _, _ = mixed
    assert [path.name for path in (build / "notebooks").iterdir()] == ["01_works.ipynb"]
    assert [path.name for path in (build / "records").iterdir()] == ["01_works.json"]
    assert "02_fails.ipynb" in [path.name for path in (build / "failed").iterdir()]
    assert list((build / "partial").glob("*.ipynb")) == []


def test_parameters_and_threads_reach_the_notebook(mixed):
    _, build, _, _ = mixed
    assert (build / "results" / "a.txt").read_text() == "7"
    executed = nbformat.read(build / "notebooks" / "01_works.ipynb", as_version=4)
    threads = max(1, usable_cores() // 3)
    assert f"threads {threads}" in json.dumps(executed)


def test_progress_says_how_many_ended(mixed):
    said = mixed[3]
    assert any("01_works started" in line for line in said)
    assert any("6/6" in line for line in said)


def test_rerun_resumes_and_stale_inputs_run_again(tmp_path, monkeypatch):
    folder, build, out = tmp_path / "n", tmp_path / "b", tmp_path / "o"
    folder.mkdir()
    out.mkdir()
    monkeypatch.setattr(runner, "code_hash", lambda: "the same code")  # also while somebody edits the package
    count = "with open(results_folder + '/{0}', 'a') as file: file.write('x')"
    write_notebook(folder, "01_a", count.format("a"))
    write_notebook(folder, "02_b", count.format("b"), needs=["01_a"])

    def statuses(**settings):
        outcomes, said = run(folder, build, {"results_folder": str(out)}, outputs=(out,), **settings)
        return [outcome.status for outcome in outcomes.values()], said

    assert statuses()[0] == ["done", "done"]
    assert statuses()[0] == ["unchanged", "unchanged"]
    write_notebook(folder, "02_b", count.format("b") + "  # edited", needs=["01_a"])
    again, said = statuses()
    assert again == ["unchanged", "done"]
    assert any("left" in line for line in said), "durations of the last run give an estimate"
    assert (out / "a").read_text() == "x" and (out / "b").read_text() == "xx"


def test_what_decides_whether_a_success_still_stands(tmp_path):
    write_notebook(tmp_path, "01_a")
    write_notebook(tmp_path, "02_b", needs=["01_a"])
    graph = runner.read_graph(tmp_path)
    base = runner._run_keys(graph, {"01_a": {"n_splits": 2}, "02_b": {}}, "data")
    changed = runner._run_keys(graph, {"01_a": {"n_splits": 3}, "02_b": {}}, "data")
    assert base["01_a"] != changed["01_a"] and base["02_b"] != changed["02_b"], "what is needed changed too"
    assert base != runner._run_keys(graph, {"01_a": {"n_splits": 2}, "02_b": {}}, "other")


def test_code_hash_covers_what_affects_a_number_and_nothing_else(tmp_path):
    for name in ("metrics.py", "report.py", "presets.yaml"):
        (tmp_path / name).write_text("1")
    before = runner.code_hash(tmp_path)
    (tmp_path / "report.py").write_text("2")
    assert runner.code_hash(tmp_path) == before
    (tmp_path / "presets.yaml").write_text("2")
    assert runner.code_hash(tmp_path) != before


def test_a_killed_worker_fails_whatever_its_output_file_says(tmp_path):
    """The notebook's own file looks complete when the process is killed: the exit status decides."""
    folder, build = tmp_path / "n", tmp_path / "b"
    folder.mkdir()
    write_notebook(folder, "01_a", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    outcomes, _ = run(folder, build)
    assert outcomes["01_a"].status == "failed" and "killed by signal 9" in outcomes["01_a"].message
    assert not (build / "notebooks").exists()


# --- a full disk ---


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_names_the_file_and_the_remedy(monkeypatch, capsys, tmp_path, number, named):
    path = tmp_path / "table.csv"

    def fill(options):
        with files.atomic_path(path):
            raise OSError(number, os.strerror(number), *(["/else/where"] if named else []))

    monkeypatch.setattr(cli, "_methods", fill)
    assert cli.main(["methods"]) == 2
    said = capsys.readouterr().err
    assert ("/else/where" if named else str(path)) in said and "Make room there and run the same command again" in said
    assert list(tmp_path.iterdir()) == [], "nothing half written is left"


def test_an_error_without_a_number_keeps_its_words(tmp_path):
    with pytest.raises(OSError, match=r"^broken pipe of a codec$"), files.atomic_path(tmp_path / "a"):
        raise OSError("broken pipe of a codec")


# --- a run that is ended ---


@pytest.fixture
def endless(tmp_path, repository):
    """A run of its own process whose notebook does not end: the process, its build folder, the notebook's kernel."""
    folder, build, up = tmp_path / "n", tmp_path / "b", tmp_path / "up"
    folder.mkdir()
    write_notebook(
        folder,
        "01_a",
        f"import os, pathlib; part = pathlib.Path({str(up)!r} + '_'); part.write_text(str(os.getpid()))",
        f"part.rename({str(up)!r})",
        "import time; time.sleep(600)",
    )
    script = (
        "import pathlib, signal\n"
        # whoever runs the tests in the background (nohup, a shell's &) may have these two ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from reproduce import runner\n"
        f"graph = runner.read_graph(pathlib.Path({str(folder)!r}))\n"
        f"runner.run_notebooks(graph, {{'01_a': {{}}}}, runner.RunSettings(pathlib.Path({str(build)!r})))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert _soon(up.exists, 60)
    kernel = int(up.read_text())
    yield process, build, kernel
    process.kill()
    process.wait()
    if _alive(kernel):
        os.kill(kernel, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_interrupt_and_hangup_end_the_workers_and_leave_nothing_half_written(endless, number):
    process, build, kernel = endless
    process.send_signal(number)
    assert process.wait(timeout=30) != 0
    assert _soon(lambda: not _alive(kernel))
    assert not (build / "notebooks").exists() and not (build / "records").exists()
    assert (build / "run.lock").read_text() == "", "nothing is left for a next run to stop"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next run stops what a killed one left")
def test_a_killed_run_takes_its_workers_along(endless):
    process, build, kernel = endless
    (worker,) = [pid for pid, _ in json.loads((build / "run.lock").read_text())["workers"].values()]
    process.kill()
    process.wait()
    assert _soon(lambda: not _alive(worker) and not _alive(kernel))


def test_a_second_run_in_the_same_folder_is_refused_until_the_first_is_gone(endless, tmp_path):
    process, build, kernel = endless
    with pytest.raises(ConfigError, match=rf"process {process.pid}, since .*`kill {process.pid}`.*--build"):
        run(tmp_path / "n", build)
    assert process.poll() is None and _alive(kernel), "the first one is left in peace"
    process.kill()
    process.wait()
    write_notebook(tmp_path / "n", "01_a", "print('short')")
    outcomes, _ = run(tmp_path / "n", build)
    assert outcomes["01_a"].status == "done", "a lock of a dead process does not hold"


@pytest.mark.parametrize("locks", [True, False])
def test_what_a_killed_run_left_at_work_is_stopped_and_nothing_else(tmp_path, monkeypatch, locks):
    """As on systems that do not end the workers of a killed run by themselves, and on disks that know no locks."""
    if not locks:
        monkeypatch.setitem(sys.modules, "fcntl", None)
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    left, other = (subprocess.Popen(sleep, start_new_session=True) for _ in range(2))
    try:
        lock = {"pid": other.pid, "birth": "of a run long gone", "workers": {}}
        lock["workers"] = {"01_a": [left.pid, runner._birth(left.pid)], "02_b": [other.pid, "of a worker long gone"]}
        (tmp_path / "run.lock").write_text(json.dumps(lock) + "\n", encoding="utf-8")
        said = []
        with runner._Lock(tmp_path, said.append):
            assert left.wait(timeout=5) != 0, "stopped before the run starts"
            assert other.poll() is None, "another process that was given the number of a worker"
            with pytest.raises(ConfigError, match=f"process {os.getpid()}"), runner._Lock(tmp_path, said.append):
                pass
        assert len(said) == 1 and f"01_a (process {left.pid})" in said[0] and "02_b" not in said[0]
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


@pytest.mark.parametrize("platform", [sys.platform, "other"])
def test_a_process_is_told_from_another_of_its_number(monkeypatch, platform):
    if platform == "other" and not shutil.which("ps"):
        pytest.skip("no ps")
    monkeypatch.setattr(sys, "platform", platform)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    birth = runner._birth(process.pid)
    assert birth and runner._birth(process.pid) == birth != runner._birth(1)
    process.kill()
    assert _soon(lambda: runner._birth(process.pid) is None), "dead, though nobody has asked how it ended"
    process.wait()
    assert runner._birth(process.pid) is None


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_hangup_is_heard_unless_it_is_to_be_ignored(handler):
    before = signal.signal(signal.SIGHUP, handler)  # ignored under nohup
    try:
        with runner._hangup_interrupts():
            if handler is signal.SIG_IGN:
                os.kill(os.getpid(), signal.SIGHUP)
            else:
                with pytest.raises(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGHUP)  # the second one disturbs nobody
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_notebooks_share_a_graphics_card_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    assert runner._worker_environment(2)["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    assert runner._worker_environment(2)["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


def _soon(condition, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
