"""The command line: reads arguments and calls the rooms; never computes, and imports a room only when it is asked for.

Exit status: 0 all went well; 1 something ran and failed (a notebook, a trial); 2 an error that the user can mend, told
in one line; 130 interrupted.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import reproduce
from reproduce.commands import evaluate, impute, train
from reproduce.errors import ConfigError, ReproduceError

if TYPE_CHECKING:
    from reproduce.loaders.study import Study

ROOT = Path(__file__).resolve().parents[1]
#: Pages of the report besides the notebooks.
DOCUMENTS = {
    "deviations": ROOT / "DEVIATIONS.md",
    "data": ROOT / "data" / "README.md",
    "changelog": ROOT / "CHANGELOG.md",
}
DATA_HELP = (
    "embedded, student-p53 or gtex-tcga-p53; auto (default): what the folder in REPRODUCE_DATA holds, else embedded. "
    "Notebook 08 also takes gtex-v8-tissues, 15 rnaseqdb and gtex-v8"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    received: list[int] = []
    try:
        _listen(received)
        return _status(arguments)
    except KeyboardInterrupt:
        pass
    except Exception:  # compiled code that an interrupt meets while it is imported makes another error of it
        if not received:
            raise
    print("interrupted; run the same command again to go on where it stopped", file=sys.stderr)
    return 130


def _listen(received: list[int]) -> None:
    """Have signals that ask this process to end raise KeyboardInterrupt, and list them."""

    def interrupt(number: int, frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def _status(arguments: Sequence[str] | None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except ReproduceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a file without permission
        from reproduce.files import in_words

        print(f"error: {in_words(error)}", file=sys.stderr)
        return 2


# --- what can be asked ---


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reproduce",
        description="Deep imputation of gene expression, reproduced: fill your own matrix, run the study, read it.",
    )
    parser.add_argument("--version", action="version", version=f"reproduce {reproduce.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        impute.add,
        train.add,
        evaluate.add,
        _add_report,
        _add_run,
        _add_download,
        _add_trial,
        _add_batches,
        _add_batch,
        _add_revalidate,
        _add_methods,
        _add_bench,
        _add_calibrate,
        _add_readme,
    ):
        add(commands)
    return parser


def _add(commands, name: str, command, summary: str, detail: str = "") -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {detail}")
    parser.set_defaults(command=command)
    return parser


def _add_run(commands) -> None:
    parser = _add(
        commands, "run", _run, "run the notebooks", "What is unchanged since an earlier run is not run again."
    )
    _add_run_options(parser)


def _add_report(commands) -> None:
    parser = _add(commands, "report", _report, "run the notebooks and render the report", "The pages need no network.")
    _add_run_options(parser)
    parser.add_argument("--render-only", action="store_true", help="render what was run before")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    _add_study_options(parser)
    parser.add_argument("--jobs", type=int, help="notebooks at a time (default: the cores, at most 4)")
    parser.add_argument("--cell-timeout", type=int, metavar="SECONDS", help="longest that one cell may take")
    parser.add_argument("--force", action="store_true", help="run also what is unchanged")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="where figures go (default: figures/ in the build)"
    )


def _add_study_options(parser: argparse.ArgumentParser) -> None:
    """Which notebooks, on which data, with which parameters, into which folders."""
    parser.add_argument("--preset", default="quick", help="file of notebooks/presets: quick (default), full, smoke")
    parser.add_argument("--data", default="auto", help=DATA_HELP)
    _add_parameter(parser, "set a parameter where it is declared; 03_inductive_imputation.NAME: in one notebook only")
    parser.add_argument("--only", nargs="+", metavar="NOTEBOOK", help="these (name or number) and what they need")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="default: build/PRESET-DATA")
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="where tables go (default: results/ in the build)"
    )


def _add_parameter(parser: argparse.ArgumentParser, summary: str) -> None:
    name_value = {"nargs": 2, "metavar": ("NAME", "VALUE")}
    parser.add_argument("-p", "--parameter", action="append", default=[], help=summary, **name_value)


def _add_download(commands) -> None:
    parser = _add(commands, "download", _download, "fetch a data set, with checksums", "A broken download is resumed.")
    parser.add_argument("name", help="gtex-tcga-p53 (the study), gtex-v8 (all samples of GTEx v8)")
    parser.add_argument(
        "--from", dest="from_folder", type=Path, metavar="FOLDER", help="take files that are already there"
    )
    parser.add_argument("--folder", type=Path, help="where the files go (default: REPRODUCE_DATA, else data/)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_trial(commands) -> None:
    parser = _add(commands, "trial", _trial, "score one method once", "Exits with 1 if the method fails.")
    parser.add_argument("--method", help="see `reproduce methods` (default: what notebook 14 advises for the scenario)")
    parser.add_argument("--scenario", default="inductive", help="inductive (default), in_place, cross_cohort")
    parser.add_argument("--train", default="GTEx", help="cohort that is fitted")
    parser.add_argument("--test", help="cohort that is filled (default: the one that is fitted)")
    parser.add_argument("--missing-rate", type=float, default=0.5, help="fraction hidden (default: 0.5)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the holes and the method (default: 0)")
    parser.add_argument("--transform", default="log1p", help="log1p (default), raw, log1p_depth")
    parser.add_argument("--training-rows", default="complete", help="complete (default), masked")
    parser.add_argument(
        "--hyperparameters", metavar="PRESET", help="the paper's or the student study's: paper, student"
    )
    _add_parameter(parser, "set a hyperparameter of the method; wins over --hyperparameters")
    parser.add_argument("--data", default="auto", help=DATA_HELP)
    parser.add_argument("--at-least", type=float, metavar="R2", help="exit with 1 if R² is lower")


def _add_batches(commands) -> None:
    detail = "What is stored is left out. Each batch is for a process of its own; workflow/ has an engine for that."
    parser = _add(commands, "batches", _batches, "list the notebooks' trials in batches", detail)
    parser.add_argument("file", type=Path, help="where the list goes (JSON)")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a batch on one core (default: 10)")
    _add_study_options(parser)


def _add_batch(commands) -> None:
    detail = "On one thread. Exits with 0 if every trial has its row, failed ones included: notebooks try those again."
    parser = _add(commands, "batch", _batch, "run one batch of trials", detail)
    parser.add_argument("file", type=Path, help="list that `reproduce batches` wrote")
    parser.add_argument("name", help="of the batch")
    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="as notebooks are given it")


def _add_revalidate(commands) -> None:
    detail = (
        "After an edit of shared code that should leave all numbers as they were: of the notebooks' trials that are "
        "stored by older commits' code a random sample is run again; where every score is the same, the method's "
        "stored trials count as today's. Exits with 1 if a score differs."
    )
    parser = _add(commands, "revalidate", _revalidate, "carry stored trials over to today's code", detail)
    parser.add_argument(
        "--sample", type=int, default=3, metavar="N", help="trials of every kind that are run again (default: 3)"
    )
    parser.add_argument("--method", nargs="+", metavar="METHOD", help="these alone")
    parser.add_argument("--since", metavar="COMMIT", help="oldest commit whose code is looked for (default: the first)")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="largest relative difference that counts as none (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random sample (default: 0)")
    parser.add_argument("--n-jobs", type=int, default=1, help="worker processes (default: 1; -1: one a core)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and how long it would take")
    _add_study_options(parser)


def _add_methods(commands) -> None:
    _add(commands, "methods", _methods, "list the methods")


def _add_bench(commands) -> None:
    detail = "Each measurement is a process of its own; the table is whole after each part. Exits with 1 if one fails."
    parser = _add(commands, "bench", _bench, "time the methods on this machine", detail)
    parser.add_argument("--quick", action="store_true", help="small sizes, 3 minutes in all; marked so in the table")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PART",
        help="networks, grids, imputers, transcriptome, larger_than_memory, networks_from_disk, largest_file",
    )
    parser.add_argument("--largest", action="store_true", help="also largest_file: 200,000 × 20,000, 35 GB on disk")
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "build" / "benchmarks",
        help="folder of the table (default: build/benchmarks)",
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="FOLDER", help="where matrices on disk lie for a while (default: as --results)"
    )


def _add_calibrate(commands) -> None:
    parser = _add(commands, "calibrate", _calibrate, "fit the embedded cohort's tables to real data")
    parser.add_argument("--data", required=True, help="student-p53 or gtex-tcga-p53")
    parser.add_argument("--output", type=Path, help="folder of the tables (default: those of the package)")


def _add_readme(commands) -> None:
    parser = _add(
        commands, "readme", _readme, "write what README.md, DEVIATIONS.md and data/README.md show of results/"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the documents (default: the repository)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="default: results/")
    parser.add_argument("--figures", type=Path, default=ROOT / "figures", help="default: figures/")


# --- what is done ---


def _report(options: argparse.Namespace) -> int:
    from reproduce import report

    if options.render_only:
        study = _study(options.data)
    else:
        status, study = _run_notebooks(options)
        if status:
            return status
    build, results, figures = _folders(options, study)
    index = report.render(build / "notebooks", results, figures, build / "html", DOCUMENTS)
    print(f"The report: {index}")
    return 0


def _run(options: argparse.Namespace) -> int:
    status, _ = _run_notebooks(options)
    return status


def _run_notebooks(options: argparse.Namespace) -> tuple[int, Study]:
    from reproduce import runner

    graph, parameters, study = _given(options)
    build, results, figures = _folders(options, study)
    settings = runner.RunSettings(
        build,
        jobs=runner.default_jobs() if options.jobs is None else options.jobs,
        cell_timeout=runner.CELL_TIMEOUT if options.cell_timeout is None else options.cell_timeout,
        force=options.force,
        fingerprint=study.fingerprint,
        outputs=(results, figures),
    )
    for made in (results, figures):
        made.mkdir(parents=True, exist_ok=True)
    print(f"{len(graph)} notebooks on {study.title}, preset {options.preset}, into {build}", flush=True)
    outcomes = runner.run_notebooks(graph, parameters, settings, say=functools.partial(print, flush=True))
    if failures := runner.failures_text(outcomes):
        print(f"\n{failures}", file=sys.stderr)
        return 1, study
    _describe(study, options.preset).write(results)
    return 0, study


def _given(options: argparse.Namespace) -> tuple[dict, dict, Study]:
    """The notebooks that are asked for, what each is given, and the study."""
    from reproduce import runner

    folder = ROOT / "notebooks"
    graph = runner.read_graph(folder)
    preset = runner.read_preset(folder / "presets" / f"{options.preset}.yaml")
    study = _study(options.data)
    _, results, figures = _folders(options, study)
    asked = runner.parse_assignments(options.parameter)
    _refuse_folders({f"preset '{options.preset}'": preset, "-p": asked})
    of_run = {"data": study.name, "results_folder": str(results), "figures_folder": str(figures)}
    parameters = runner.resolve_parameters(
        graph,
        (f"preset '{options.preset}'", preset),
        ("-p", asked),
        ("the run", {"common": of_run}),
    )
    return (runner.with_needs(graph, options.only) if options.only else graph), parameters, study


def _refuse_folders(layers: dict[str, dict]) -> None:
    """Data and folders decide where the build lies: they are options of the command, not parameters of a preset."""
    for origin, sections in layers.items():
        for values in sections.values():
            if taken := {"data", "results_folder", "figures_folder"} & set(values):
                name = min(taken)
                raise ConfigError(f"{origin}: '{name}' is set by the run; use --{name.removesuffix('_folder')}.")


def _describe(study: Study, preset: str):
    from reproduce.report import RunInfo

    return RunInfo(
        data=study.name,
        title=study.title,
        is_real=study.is_real,
        fingerprint=study.fingerprint,
        preset=preset,
        n_samples={name: int(cohort.n_obs) for name, cohort in study.cohorts.items()},
        n_genes=int(next(iter(study.cohorts.values())).n_vars),
        version=reproduce.__version__,
    )


def _folders(options: argparse.Namespace, study: Study) -> tuple[Path, Path, Path]:
    """Build, results and figures folders of a run, absolute: notebooks run in a folder of their own."""
    build = (options.build or ROOT / "build" / f"{options.preset}-{study.name}").resolve()
    figures = getattr(options, "figures", None) or build / "figures"  # who runs no notebook is not asked for it
    return build, (options.results or build / "results").resolve(), figures.resolve()


def _study(data: str) -> Study:
    from reproduce.loaders.study import load_study

    return load_study(data)


def _download(options: argparse.Namespace) -> None:
    from reproduce.loaders.download import download_dataset

    download_dataset(options.name, folder=options.folder, from_folder=options.from_folder, progress=not options.quiet)


def _trial(options: argparse.Namespace) -> int:
    from reproduce.experiments import Trial, run_trial
    from reproduce.imputers import hyperparameters_of
    from reproduce.imputers.advice import advised_method

    preset, method = options.hyperparameters, options.method or advised_method(options.scenario)
    hyperparameters = {} if preset is None else hyperparameters_of(method, preset)
    hyperparameters |= {name: _yaml_value(name, text) for name, text in options.parameter}
    trial = Trial(
        method=method,
        scenario=options.scenario,
        seed=options.seed,
        train=options.train,
        test=options.test or options.train.split("/")[0],
        missing_rate=options.missing_rate,
        transform=options.transform,
        training_rows=options.training_rows,
        preset="trial",
        hyperparameters=hyperparameters,
    )
    study = _study(options.data)
    print(f"{trial.describe()}; {study.title}", flush=True)
    result = run_trial(trial, study)
    if result.failed:
        error = result.rows["error"].iloc[0]
        kind, _, text = error.partition(": ")
        if kind in {mendable.__name__ for mendable in ReproduceError.__subclasses__()}:
            raise ConfigError(re.sub(r" \(\w+, line \d+\)$", "", text))  # the user's to mend, not the method's failure
        print(f"failed: {error}", file=sys.stderr)
        return 1
    overall = result.rows[result.rows["level"] == "overall"]
    undefined = overall["metric"] == "undefined_genes"  # counts, by metric
    for row in overall[~undefined | (overall["value"] > 0)].itertuples():
        name = f"{row.metric}, {row.group}" if row.metric == "undefined_genes" else row.metric
        print(f"  {row.test:<10}{name:<24}{row.value:8.4f}")
    print(f"  fitted in {overall['fit_seconds'].iloc[0]:.1f} s, filled in {overall['impute_seconds'].iloc[0]:.2f} s")
    r2 = overall.loc[overall["metric"] == "r2", "value"].min()
    if options.at_least is not None and not r2 >= options.at_least:
        print(f"failed: R² {r2:.4f} is below {options.at_least}", file=sys.stderr)
        return 1
    return 0


def _yaml_value(name: str, text: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"-p {name} {text}: the value is not YAML: {error}") from error


def _batches(options: argparse.Namespace) -> None:
    from reproduce.experiments import ResultsStore
    from reproduce.experiments.batches import list_batches, write_batches
    from reproduce.experiments.costs import duration

    graph, parameters, study = _given(options)
    results = _folders(options, study)[1]
    given = {name: {**notebook.defaults, **parameters[name]} for name, notebook in graph.items()}
    batches = list_batches(given, ResultsStore(results / "trials"), batch_seconds=options.minutes * 60)
    write_batches(batches, options.file)
    n_trials, seconds = sum(len(batch.trials) for batch in batches), [batch.seconds for batch in batches]
    cost = f", about {duration(sum(seconds))} on one core, the longest {duration(max(seconds))}" if seconds else ""
    print(f"{n_trials} trials to run in {len(batches)} batches{cost}: {options.file}")


def _batch(options: argparse.Namespace) -> None:
    from reproduce.machine import thread_limits

    os.environ |= thread_limits(1)  # before any library that reads them is imported
    from reproduce.experiments import ResultsStore
    from reproduce.experiments.batches import read_batch, run_batch

    grid = run_batch(read_batch(options.file, options.name), ResultsStore(options.results / "trials"))
    for error in grid.failures["error"]:
        print(f"failed: {error}", file=sys.stderr)
    print(f"{grid.n_run} trials run, {len(grid.failures)} of them failed; {grid.n_skipped} were stored before")


def _revalidate(options: argparse.Namespace) -> int:
    from reproduce.experiments import ResultsStore, older_trials, revalidation
    from reproduce.experiments.code_history import CodeHistory

    graph, parameters, study = _given(options)
    results = _folders(options, study)[1]
    given = {name: {**notebook.defaults, **parameters[name]} for name, notebook in graph.items()}
    store = ResultsStore(results / "trials")
    if not options.dry_run and (n := revalidation.finish_interrupted(store, results)):
        print(f"{n} decisions of an interrupted call carried out")
    chosen = {"sample": options.sample, "seed": options.seed, "methods": options.method}
    history = CodeHistory(ROOT, since=options.since)
    found = older_trials.find_stored(older_trials.planned_trials(given), store, history, **chosen)
    print(found.describe(options.n_jobs), flush=True)
    if options.dry_run:
        return 0
    budget = {"n_jobs": options.n_jobs, "tolerance": options.tolerance}
    say = functools.partial(print, flush=True)
    return 0 if revalidation.revalidate(found.carryings, store, results, **budget, say=say) else 1


def _methods(options: argparse.Namespace) -> None:
    from reproduce.imputers import METHODS

    rows = [("name", "method", "scenarios", "class")]
    for name, method in METHODS.items():
        rows.append((name, method.label, ", ".join(sorted(method.scenarios)), method.target.removeprefix("reproduce.")))
    widths = [max(len(row[column]) for row in rows) for column in range(3)] + [0]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _bench(options: argparse.Namespace) -> int:
    from reproduce.benchmarks import BenchmarkError, run_benchmarks
    from reproduce.commands.outputs import check_writable

    for target in (options.results / "benchmarks.csv", (options.scratch or options.results) / "matrices"):
        check_writable(target)
    asked = {"quick": options.quick, "only": options.only, "largest": options.largest, "scratch": options.scratch}
    try:
        run_benchmarks(options.results, **asked)
    except BenchmarkError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def _calibrate(options: argparse.Namespace) -> None:
    from reproduce.loaders.calibration import main_calibrate
    from reproduce.loaders.embedded import TABLES_FOLDER

    main_calibrate(options.data, options.output or TABLES_FOLDER)


def _readme(options: argparse.Namespace) -> None:
    from reproduce.documents import write_documents

    for path in write_documents(options.root, options.results, options.figures):
        print(f"wrote {path}")
