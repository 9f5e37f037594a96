"""Runs the numbered notebooks as a graph, each in a process of its own; computes nothing and never reads a result.

A notebook says in its metadata what it needs (``"reproduce": {"needs": ["02_in_place_imputation"]}``) and in one cell
tagged ``parameters`` what can be set. A preset (``notebooks/presets/NAME.yaml``) holds values only. Whether a notebook
succeeded is decided by the exit status of its process, never by what its output file says.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from reproduce.errors import ConfigError
from reproduce.files import naming, write_json, write_text
from reproduce.machine import thread_limits, usable_cores

CELL_TIMEOUT = 4 * 3600  # seconds; the longest cell of the full preset takes under an hour on two cores
HEARTBEAT = 30.0  # seconds between lines that say only that a run is still alive
POLL = 0.1  # seconds
TRACEBACK_LINES = 25
# What shows results but cannot change one: editing it does not make an executed notebook stale.
PRESENTATION = frozenset({"__main__.py", "cli.py", "report.py", "runner.py", "report_site"})
COMPUTES_WITH = ("numpy", "scipy", "pandas", "scikit-learn", "tensorflow", "keras")
# A worker: papermill, which Linux ends as soon as the run that started it is gone, even if that was killed.
WORKER = """
import os, runpy, signal, sys
run = int(sys.argv.pop(1))
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() != run:
    sys.exit("the run that started this notebook has ended")
runpy.run_module("papermill", run_name="__main__", alter_sys=True)
"""
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "None": type(None)}


# --- what a notebook declares ---


@dataclass(frozen=True)
class Notebook:
    """A notebook's file, what it needs, and the parameters that it declares.

    Attributes
    ----------
    path : Path
    needs : tuple of str
        Names (file stems) of the notebooks that must have succeeded before.
    defaults : mapping of str to Any
        Parameter to its default.
    types : mapping of str to tuple of type
        Parameter to the types that it accepts: from its annotation, else from its default.
    source_hash : str
        Hash of cells and dependencies; outputs and cosmetic metadata do not enter.
    """

    path: Path
    needs: tuple[str, ...]
    defaults: Mapping[str, Any]
    types: Mapping[str, tuple[type, ...]]
    source_hash: str

    @property
    def name(self) -> str:
        """File name without its ending, as dependencies and presets use it."""
        return self.path.stem


def read_notebook(path: Path) -> Notebook:
    """Read what a notebook declares.

    Raises
    ------
    ConfigError
        Not a notebook; not exactly one cell tagged ``parameters``; a parameter that is not a literal.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises its own, json's and OS errors alike
        raise ConfigError(f"{path}: not a readable notebook ({error}). Restore it from git.") from error
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ConfigError(
            f"{path}: {len(tagged)} cells carry the tag 'parameters', not one. "
            "Tag the one code cell that assigns the defaults."
        )
    defaults, types = _declared_parameters(tagged[0].source, path)
    needs = tuple(notebook.metadata.get("reproduce", {}).get("needs", ()))
    cells = [(cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))) for cell in notebook.cells]
    return Notebook(path, needs, defaults, types, _digest([cells, needs]))


def _declared_parameters(source: str, path: Path) -> tuple[dict[str, Any], dict[str, tuple[type, ...]]]:
    defaults: dict[str, Any] = {}
    types: dict[str, tuple[type, ...]] = {}
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ConfigError(f"{path}: the cell tagged 'parameters' is not Python: {error}.") from error
    for statement in statements:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if value is not None:
                accepted = _annotated_types(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                accepted = None
            case _:
                raise ConfigError(
                    f"{path}: the cell tagged 'parameters' may hold only assignments 'name = literal', not "
                    f"'{ast.unparse(statement)}'. Move it to another cell."
                )
        try:
            defaults[name] = ast.literal_eval(value)
        except ValueError as error:
            raise ConfigError(
                f"{path}: parameter '{name}' is not a literal: {ast.unparse(value)}. Derive it in a later cell."
            ) from error
        types[name] = accepted or (type(defaults[name]),)
    return defaults, types


def _annotated_types(annotation: ast.expr) -> tuple[type, ...] | None:
    """``str | None`` -> (str, NoneType), ``list[int]`` -> (list,); None for a name that is no parameter's type."""
    names = [re.split(r"\[", part.strip())[0] for part in ast.unparse(annotation).split("|")]
    return tuple(TYPES[name] for name in names) if all(name in TYPES for name in names) else None


def read_graph(folder: Path) -> dict[str, Notebook]:
    """Read all numbered notebooks (``NN_title.ipynb``) of a folder, in an order in which each follows what it needs.

    Raises
    ------
    ConfigError
        No notebook there, a need that does not exist, or needs that go round in a circle.
    """
    notebooks = {path.stem: read_notebook(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not notebooks:
        raise ConfigError(
            f"{folder}: holds no numbered notebook (NN_title.ipynb). Run from a checkout, or name the folder."
        )
    ordered: dict[str, Notebook] = {}
    waiting = dict(notebooks)
    for notebook in notebooks.values():
        if unknown := set(notebook.needs) - set(notebooks):
            raise ConfigError(
                f"{notebook.path}: needs {_listed(unknown)}, which does not exist. Known: {_listed(notebooks)}."
            )
    while waiting:
        ready = [name for name, notebook in waiting.items() if set(notebook.needs) <= set(ordered)]
        if not ready:
            raise ConfigError(f"{folder}: the needs of {_listed(waiting)} go round in a circle. Remove one of them.")
        for name in ready:
            ordered[name] = waiting.pop(name)
    return ordered


def with_needs(graph: Mapping[str, Notebook], only: Iterable[str]) -> dict[str, Notebook]:
    """Cut the graph down to some notebooks, given by name or number ("03"), and all that they need."""
    wanted: set[str] = set()
    queue = []
    for given in only:
        found = [name for name in graph if name == given or name.split("_")[0] == given]
        if not found:
            raise ConfigError(f"no notebook '{given}'. Known: {_listed(graph)}.")
        queue += found
    while queue:
        name = queue.pop()
        wanted.add(name)
        queue += graph[name].needs
    return {name: notebook for name, notebook in graph.items() if name in wanted}


# --- presets and parameters ---


def read_preset(path: Path) -> dict[str, dict[str, Any]]:
    """Read a preset: parameter names and values, as papermill's ``-f`` takes them too.

    Returns
    -------
    dict
        Section ``common`` alone, for `resolve_parameters`.

    Raises
    ------
    ConfigError
        The file is absent (the message lists the presets that exist) or is not a table of parameters.
    """
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"no preset '{path.stem}' in {path.parent}. Known: {_listed(known)}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML in UTF-8 ({error}); write lines such as 'n_splits: 10'.") from error
    values = {} if values is None else values
    if not isinstance(values, dict) or not all(isinstance(name, str) and name.isidentifier() for name in values):
        raise ConfigError(f"{path}: must hold parameters of notebooks and nothing else, such as 'n_splits: 10'.")
    return {"common": values}


def parse_assignments(assignments: Sequence[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Sections from the command line: ``-p n_splits 3`` goes to ``common``, ``-p 03_x.n_splits 3`` to that notebook."""
    sections: dict[str, dict[str, Any]] = {}
    for key, text in assignments:
        section, _, name = key.rpartition(".")
        try:
            sections.setdefault(section or "common", {})[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"-p {key} {text}: the value is not YAML: {error}") from error
    return sections


def resolve_parameters(
    graph: Mapping[str, Notebook], *layers: tuple[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """Decide each notebook's parameters from layers of sections, later layers winning.

    A notebook's own section is strict: it must declare every key. A key of ``common`` goes to those notebooks that
    declare it, and at least one must. Within a layer a notebook's section wins over ``common``.

    Parameters
    ----------
    graph : mapping of str to Notebook
    *layers : tuple of (str, mapping)
        Where the values come from, for messages, and the sections.

    Returns
    -------
    dict of str to dict
        For each notebook the values that differ from, or confirm, its defaults.

    Raises
    ------
    ConfigError
        A section or key that nothing declares, or a value of another type than the declared one.
    """
    resolved: dict[str, dict[str, Any]] = {name: {} for name in graph}
    for origin, sections in layers:
        if unknown := set(sections) - set(graph) - {"common"}:
            raise ConfigError(f"{origin}: no notebook {_listed(unknown)}. Known: {_listed(graph)}, or 'common'.")
        for key, value in sections.get("common", {}).items():
            takers = [name for name in graph if key in graph[name].defaults]
            if not takers:
                known = {declared for notebook in graph.values() for declared in notebook.defaults}
                raise ConfigError(f"{origin}: no notebook declares a parameter '{key}'. Declared: {_listed(known)}.")
            for name in takers:
                resolved[name][key] = _typed(graph[name], key, value, origin)
        for name, values in sections.items():
            if name == "common":
                continue
            for key, value in values.items():
                if key not in graph[name].defaults:
                    declared = _listed(graph[name].defaults)
                    raise ConfigError(f"{origin}: notebook {name} declares no parameter '{key}'. Declared: {declared}.")
                resolved[name][key] = _typed(graph[name], key, value, origin)
    return resolved


def _typed(notebook: Notebook, key: str, value: Any, origin: str) -> Any:
    accepted = notebook.types[key]
    if type(value) in accepted:
        return value
    if float in accepted and type(value) is int:
        return float(value)
    wanted = " or ".join(sorted(kind.__name__ for kind in accepted))
    raise ConfigError(f"{origin}: '{key}' of {notebook.name} must be {wanted}, not {value!r} ({type(value).__name__}).")


# --- running ---


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    ``status`` is ``done``, ``unchanged`` (an earlier success still stands), ``failed`` or ``skipped`` (something that
    it needs failed); ``message`` says why, ending with the traceback's tail.
    """

    name: str
    status: str
    seconds: float = 0.0
    message: str = ""


@dataclass
class _Worker:
    """A notebook being executed."""

    notebook: Notebook
    process: subprocess.Popen
    log: Path
    partial: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


@dataclass(frozen=True)
class RunSettings:
    """Where and how a run executes.

    Attributes
    ----------
    build : Path
        Folder of the run: ``notebooks/`` (executed), ``logs/``, ``records/`` and ``failed/`` are written below it, and
        ``run.lock``, since it takes one run at a time.
    jobs : int
        Notebooks executed at a time; the cores are shared out among them.
    cell_timeout : int
        Seconds that one cell may take.
    force : bool
        Execute also what is unchanged.
    fingerprint : str
        Identifies the data; another one makes every notebook stale.
    outputs : tuple of Path
        Folders that notebooks write to. Where one is gone, earlier successes do not stand.
    """

    build: Path
    jobs: int = 2
    cell_timeout: int = CELL_TIMEOUT
    force: bool = False
    fingerprint: str = ""
    outputs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError(f"jobs must be 1 or more, not {self.jobs}.")
        if self.cell_timeout < 1:
            raise ConfigError(f"the cell time-out must be 1 second or more, not {self.cell_timeout}.")

    def executed(self, name: str) -> Path:
        """Where the executed notebook lies after success."""
        return self.build / "notebooks" / f"{name}.ipynb"

    def record(self, name: str) -> Path:
        """Where the success of a notebook, and its duration, are recorded."""
        return self.build / "records" / f"{name}.json"


def default_jobs() -> int:
    """Cores that this process may use, at most four: the graph is no wider."""
    return min(4, usable_cores())


def run_notebooks(
    graph: Mapping[str, Notebook],
    parameters: Mapping[str, Mapping[str, Any]],
    settings: RunSettings,
    *,
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Execute a graph of notebooks and collect how each ended.

    A failure does not stop the others: only what needs the failed notebook is skipped. What succeeded before with the
    same source, parameters, code and data is not executed again. Executed notebooks appear under their final name only
    after success; the output of a failed one goes to ``failed/``.

    Parameters
    ----------
    graph : mapping of str to Notebook
        As from `read_graph`: each after what it needs.
    parameters : mapping of str to mapping
        As from `resolve_parameters`.
    settings : RunSettings
    say : callable
        Takes one line of progress.

    Returns
    -------
    list of Outcome
        One for each notebook, in the graph's order.

    Raises
    ------
    ConfigError
        Another run is at work in the same folder.
    """
    with _hangup_interrupts(), _Lock(settings.build, say) as lock:
        run = _Run(graph, parameters, settings, say, lock)
        try:
            run.execute()
        finally:
            run.stop_all()
    return [run.outcomes[name] for name in graph]


@contextlib.contextmanager
def _hangup_interrupts() -> Iterator[None]:
    """Let a closed terminal end the run as Ctrl-C does: the workers, in sessions of their own, would not notice it."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    in_main = threading.current_thread() is threading.main_thread()
    if number is None or not in_main or signal.getsignal(number) is not signal.SIG_DFL:  # such as under nohup
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # it may come twice, and the workers are to be ended in order
        raise KeyboardInterrupt

    signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


class _Lock:
    """One run at a time in a build folder: ``run.lock`` there names the run and its workers while it is at work.

    The system frees the lock of a run that was killed. The next run then stops those of the recorded workers that
    still live, before it starts its own. The file stays, empty: removing it could part two runs that wait for it.
    """

    def __init__(self, build: Path, say: Callable[[str], None]) -> None:
        self.path, self.say = build / "run.lock", say
        self.births: dict[int, str | None] = {}

    def __enter__(self) -> _Lock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            recorded = self._read()
            if self._is_held(recorded):
                raise ConfigError(self._refusal(recorded))
            self._stop_left_behind(recorded.get("workers", {}))
            self.record({})
        except BaseException:
            os.close(self.file)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        living = [pid for pid, birth in self.births.items() if birth and _birth(pid) == birth]
        if not living:  # else the record stays for the next run
            os.ftruncate(self.file, 0)
        os.close(self.file)

    def record(self, workers: Mapping[str, int]) -> None:
        """Write down this run and the process of each worker by its notebook."""
        for pid in workers.values():
            self.births.setdefault(pid, _birth(pid))
        run = {"pid": os.getpid(), "birth": _birth(os.getpid()), "host": platform.node(), "since": time.strftime("%c")}
        run["workers"] = {name: [pid, self.births[pid]] for name, pid in workers.items()}
        line = json.dumps(run).encode() + b"\n"
        with naming(self.path):
            os.pwrite(self.file, line, 0)  # in place, since the lock belongs to this very file
            os.ftruncate(self.file, len(line))

    def _read(self) -> dict[str, Any]:
        try:
            recorded = json.loads(os.pread(self.file, 1 << 20, 0).partition(b"\n")[0])
        except ValueError:  # empty: nothing was left behind
            return {}
        return recorded if isinstance(recorded, dict) else {}

    def _is_held(self, recorded: Mapping[str, Any]) -> bool:
        try:
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (ImportError, OSError):  # a system or disk without such locks: ask whether the recorded run still lives
            return _lives(recorded.get("pid"), recorded.get("birth"))
        return False

    def _refusal(self, recorded: Mapping[str, Any]) -> str:
        pid, host = recorded.get("pid"), recorded.get("host")
        where = "" if host == platform.node() else f" on {host}"
        who = f"process {pid}{where}, since {recorded.get('since')}" if pid else "it is just starting"
        stop = f"stop it (`kill {pid}`{where})" if pid else "stop it"
        return (
            f"{self.path.parent}: another run is at work there ({who}). "
            f"Wait until it ends, {stop}, or give this run another folder with --build."
        )

    def _stop_left_behind(self, workers: Mapping[str, Sequence[Any]]) -> None:
        """Stop the workers of a run that was killed: two of them would write the same notebook."""
        births = {pid: birth for pid, birth in workers.values() if _lives(pid, birth)}
        if births:
            names = [f"{name} (process {pid})" for name, (pid, _) in workers.items() if pid in births]
            self.say(f"stopping what an earlier run, which was killed, left at work: {_listed(names)}")
            _stop_groups(births, lambda pid: _lives(pid, births[pid]))


def _birth(pid: int) -> str | None:
    """When a process started, to tell it from a later one of the same number; None if it does not live.

    Also None where the system tells nothing about processes, so that nothing is ever stopped on a guess.
    """
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return None if state in "ZX" else f"{boot} {fields[18]}"
    try:
        command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    except FileNotFoundError:
        return None
    state, _, started = shown.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else f"{platform.node()} {started.strip()}"


def _lives(pid: int | None, birth: str | None) -> bool:
    """Whether a recorded process still lives, rather than another one that was given its number since."""
    return pid is not None and birth is not None and _birth(pid) == birth


def _stop_groups(pids: Iterable[int], lives: Callable[[int], bool]) -> None:
    """End process groups by their leaders: politely first, so that each shuts down its kernel."""
    for number, patience in ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        running = [pid for pid in pids if lives(pid)]
        for pid in running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(pid, number)
        deadline = time.monotonic() + patience
        while any(lives(pid) for pid in running) and time.monotonic() < deadline:
            time.sleep(POLL)


class _Run:
    """The state of one run: what waits, what is being executed, what ended how."""

    def __init__(self, graph, parameters, settings: RunSettings, say: Callable[[str], None], lock: _Lock) -> None:
        self.graph, self.parameters, self.settings, self.say, self.lock = graph, parameters, settings, say, lock
        self.keys = _run_keys(graph, parameters, settings.fingerprint)
        self.durations = {name: _recorded(settings.record(name)).get("seconds") for name in graph}
        self.waiting = dict(graph)
        self.workers: dict[str, _Worker] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.started = time.monotonic()
        self.spoken = self.started

    def execute(self) -> None:
        for name in self.graph:
            if self._still_stands(name):
                del self.waiting[name]
                self._end(Outcome(name, "unchanged"))
        while self.waiting or self.workers:
            self._skip_what_cannot_run()
            self._start_what_can_run()
            time.sleep(POLL)
            self._collect_what_ended()
            if self.workers and time.monotonic() - self.spoken > HEARTBEAT:
                self._tell("running " + _listed(self.workers))

    def _still_stands(self, name: str) -> bool:
        """Whether an earlier success with the same inputs stands; what is executed anew takes its dependants along."""
        settings = self.settings
        return (
            not settings.force
            and all(need in self.outcomes for need in self.graph[name].needs)
            and settings.executed(name).is_file()
            and all(folder.is_dir() for folder in settings.outputs)
            and _recorded(settings.record(name)).get("key") == self.keys[name]
        )

    def _skip_what_cannot_run(self) -> None:
        for name in list(self.waiting):
            ended = [self.outcomes[need] for need in self.graph[name].needs if need in self.outcomes]
            bad = [outcome.name for outcome in ended if outcome.status in ("failed", "skipped")]
            if bad:
                del self.waiting[name]
                self._end(Outcome(name, "skipped", message=f"needs {_listed(bad)}"))

    def _start_what_can_run(self) -> None:
        ready = [name for name in self.waiting if set(self.graph[name].needs) <= set(self.outcomes)]
        # The longest first, so that none is left running alone at the end; unknown durations count as long.
        ready.sort(key=lambda name: -(self.durations[name] or float("inf")))
        for name in ready[: self.settings.jobs - len(self.workers)]:
            self.workers[name] = self._start(self.waiting.pop(name))
            self.lock.record({name: worker.process.pid for name, worker in self.workers.items()})
            self._tell(f"{name} started")

    def _start(self, notebook: Notebook) -> _Worker:
        settings, name = self.settings, notebook.name
        settings.record(name).unlink(missing_ok=True)
        settings.executed(name).unlink(missing_ok=True)
        log = settings.build / "logs" / f"{name}.log"
        partial = settings.build / "partial" / f"{name}.ipynb"
        given = partial.with_suffix(".yaml")
        for file in (log, partial):
            file.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        write_text(given, yaml.safe_dump(dict(self.parameters[name]), allow_unicode=True))
        command = [sys.executable, "-c", WORKER, str(os.getpid())]
        command += [str(notebook.path), str(partial), "--kernel", "python3"]
        command += ["--parameters_file", str(given), "--cwd", str(notebook.path.parent), "--no-progress-bar"]
        command += ["--log-output", "--execution-timeout", str(settings.cell_timeout)]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=_worker_environment(settings.jobs),
                start_new_session=True,  # so that Ctrl-C reaches us alone and we end the workers in order
            )
        return _Worker(notebook, process, log, partial)

    def _collect_what_ended(self) -> None:
        for name, worker in list(self.workers.items()):
            status = worker.process.poll()
            if status is None:
                continue
            del self.workers[name]
            self._end(self._succeed(worker) if status == 0 and worker.partial.is_file() else self._fail(worker, status))

    def _succeed(self, worker: _Worker) -> Outcome:
        name, settings = worker.notebook.name, self.settings
        executed = settings.executed(name)
        executed.parent.mkdir(parents=True, exist_ok=True)
        os.replace(worker.partial, executed)
        worker.partial.with_suffix(".yaml").unlink(missing_ok=True)
        record = {
            "key": self.keys[name],
            "seconds": round(worker.seconds, 1),
            "parameters": dict(self.parameters[name]),
        }
        write_json(settings.record(name), record)
        return Outcome(name, "done", worker.seconds)

    def _fail(self, worker: _Worker, status: int) -> Outcome:
        name = worker.notebook.name
        kept = self.settings.build / "failed" / f"{name}.ipynb"
        if worker.partial.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(worker.partial, kept)
        lines = ANSI.sub("", worker.log.read_text(encoding="utf-8", errors="replace")).rstrip().splitlines()
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        tail = "\n".join("    " + line for line in lines[-TRACEBACK_LINES:])
        return Outcome(name, "failed", worker.seconds, f"{how}; {_failing_cell(kept)}whole log: {worker.log}\n{tail}")

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.name] = outcome
        reason = f" ({outcome.message})" if outcome.status == "skipped" else ""
        took = f" after {_clock(outcome.seconds)}" if outcome.seconds else ""
        self._tell(f"{outcome.name} {outcome.status}{took}{reason}")

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        left = self._seconds_left()
        estimate = f", about {_clock(left)} left" if left else ""
        ended = f"{len(self.outcomes)}/{len(self.graph)}"
        self.say(f"[{_clock(now - self.started)} {ended}{estimate}] {text}")
        self.spoken = now

    def _seconds_left(self) -> float | None:
        """Estimate from the last run's durations; None where one is not known."""
        left = {name: self.durations[name] for name in self.waiting}
        for name, worker in self.workers.items():
            known = self.durations[name]
            left[name] = None if known is None else max(1.0, known - worker.seconds)
        if not left or None in left.values():
            return None
        chains: dict[str, float] = {}  # the longest way through the graph bounds what more jobs could gain
        for name, notebook in self.graph.items():
            before = max((chains[need] for need in notebook.needs if need in chains), default=0.0)
            chains[name] = before + left.get(name, 0.0)
        return max(sum(left.values()) / self.settings.jobs, *chains.values())

    def stop_all(self) -> None:
        """End the workers that still run."""
        processes = {worker.process.pid: worker.process for worker in self.workers.values()}
        _stop_groups(processes, lambda pid: processes[pid].poll() is None)


def failures_text(outcomes: Iterable[Outcome]) -> str:
    """All failures of a run, each with its cause, for the end of the output; empty where there is none."""
    bad = [outcome for outcome in outcomes if outcome.status in ("failed", "skipped")]
    return "\n\n".join(f"{outcome.name} {outcome.status}: {outcome.message}" for outcome in bad)


def _failing_cell(path: Path) -> str:
    """Name the cell at which a failed notebook stopped, as a help to the reader of the message only."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return ""
    code = [cell for cell in cells if cell["cell_type"] == "code" and "injected-parameters" not in _tags(cell)]
    for number, cell in enumerate(code, 1):
        if cell["metadata"].get("papermill", {}).get("status") in ("running", "failed"):
            first = next((line for line in "".join(cell["source"]).splitlines() if line.strip()), "")
            return f"in code cell {number} ({first.strip()}); "
    return ""


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _run_keys(graph, parameters, fingerprint: str) -> dict[str, str]:
    """A key for each notebook, over everything that could change what it shows, its needs' keys included."""
    code = code_hash()
    keys: dict[str, str] = {}
    for name, notebook in graph.items():
        upstream = [keys[need] for need in notebook.needs if need in keys]
        keys[name] = _digest([notebook.source_hash, dict(parameters[name]), fingerprint, code, upstream])
    return keys


def code_hash(package: Path | None = None) -> str:
    """Hash of all of the package that can affect a number, and of the versions of what it computes with."""
    package = Path(__file__).parent if package is None else package
    files = [
        (str(path.relative_to(package)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(package.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and path.relative_to(package).parts[0] not in PRESENTATION
    ]
    versions = [(name, metadata.version(name)) for name in COMPUTES_WITH]
    return _digest([files, versions, sys.version_info[:2]])


def _worker_environment(jobs: int) -> dict[str, str]:
    environment = dict(os.environ) | thread_limits(max(1, usable_cores() // jobs))
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Else the first of several notebooks would claim all memory of a graphics card.
    environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # The kernel python3 of this environment, not one of the same name in the user's home; and this very package.
    environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONUNBUFFERED": "1"}
    root = str(Path(__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return environment


def _recorded(path: Path) -> dict[str, Any]:
    """The record of an earlier success; empty where there is none that can be read: the notebook is executed again."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
