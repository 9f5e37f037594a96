"""The command line: quick to answer, one line for a mistake, and exit statuses that scripts can rely on."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from reproduce import __version__, cli
from reproduce.errors import ConfigError, DataFormatError

COMMANDS = (
    "report", "run", "download", "trial", "batches", "batch", "revalidate", "methods", "bench", "calibrate", "readme",
)  # fmt: skip


@pytest.fixture
def study(monkeypatch):
    """A study that needs no loader; commands that ask for data get it."""
    cohort = SimpleNamespace(n_obs=4, n_vars=65)
    made = SimpleNamespace(
        name="tiny", title="A tiny study", is_real=False, fingerprint="f00", cohorts={"GTEx": cohort}
    )
    asked = []
    monkeypatch.setattr(cli, "_study", lambda data: asked.append(data) or made)
    made.asked = asked
    return made


def test_help_names_every_command_and_loads_nothing_heavy(repository):
    script = (
        "import sys, time\n"
        "from reproduce.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as error:\n    assert not error.code\n"
        "heavy = {'numpy', 'pandas', 'tensorflow', 'anndata', 'sklearn', 'matplotlib', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"reproduce {command}" in capsys.readouterr().out


def test_as_a_module_and_version(repository):
    done = subprocess.run(
        [sys.executable, "-m", "reproduce", "--version"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.strip() == f"reproduce {__version__}"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--presets", "quick"], ["batch"], ["calibrate"]])
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (ConfigError("no gene 'X'. Name another."), 2, "error: no gene 'X'. Name another.\n"),
        (DataFormatError("a.gct: line 3"), 2, "error: a.gct: line 3\n"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "error: [Errno 13] Permission denied: '/x/y'\n"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on where it stopped\n"),
    ],
)
def test_errors_are_one_line_and_a_status(monkeypatch, capsys, raised, status, words):
    def fail(options):
        raise raised

    monkeypatch.setattr(cli, "_methods", fail)
    assert cli.main(["methods"]) == status
    assert capsys.readouterr().err == words


def test_defects_are_not_dressed_up_as_user_errors(monkeypatch):
    def fail(options):
        raise ValueError("a defect")

    monkeypatch.setattr(cli, "_methods", fail)
    with pytest.raises(ValueError, match="a defect"):
        cli.main(["methods"])


def test_methods_are_listed(capsys):
    from reproduce.imputers import METHODS

    assert cli.main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(METHODS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "fast"], "no preset 'fast'"),
        (["-p", "n_split", "3"], "no notebook declares a parameter 'n_split'"),
        (["-p", "n_splits", "many"], "must be int"),
        (["-p", "data", "embedded"], "use --data"),
        (["-p", "results_folder", "x"], "use --results"),
        (["--only", "99"], "no notebook '99'"),
        (["--jobs", "0"], "jobs must be 1 or more"),
        (["--cell-timeout", "0"], "the cell time-out must be 1 second or more"),
    ],
)
def test_run_refuses_before_it_starts(study, tmp_path, capsys, arguments, words):
    assert cli.main(["run", "--build", str(tmp_path / "b"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "b" / "notebooks").exists()


@pytest.fixture
def runs(monkeypatch):
    """Stands in for executing: records what would be executed, and ends each notebook as told."""
    from reproduce import runner

    seen = SimpleNamespace(status="done")

    def pretend(graph, parameters, settings, *, say):
        seen.graph, seen.parameters, seen.settings = list(graph), parameters, settings
        return [runner.Outcome(name, seen.status, message="KeyError: 'TP53'") for name in graph]

    monkeypatch.setattr(runner, "run_notebooks", pretend)
    return seen


def test_run_hands_over_preset_data_and_folders(study, runs, tmp_path):
    build = tmp_path / "b"
    options = ["--data", "embedded", "--preset", "smoke", "--build", str(build), "-p", "n_splits", "3", "--jobs", "1"]
    assert cli.main(["run", *options, "--only", "03"]) == 0
    assert study.asked == ["embedded"]
    assert runs.graph == ["03_inductive_imputation"]
    given = runs.parameters["03_inductive_imputation"]
    assert given["n_splits"] == 3 and given["preset"] == "smoke" and given["data"] == "tiny"
    assert given["results_folder"] == str(build / "results")
    assert runs.settings.fingerprint == "f00" and runs.settings.jobs == 1
    run = json.loads((build / "results" / "run.json").read_text())
    assert run["title"] == "A tiny study" and run["is_real"] is False and run["n_samples"] == {"GTEx": 4}


def test_a_failed_notebook_fails_run_and_report(study, runs, tmp_path, capsys):
    runs.status = "failed"
    for command in ("run", "report"):
        assert cli.main([command, "--preset", "smoke", "--build", str(tmp_path)]) == 1
        assert "KeyError: 'TP53'" in capsys.readouterr().err
    assert not (tmp_path / "results" / "run.json").exists() and not (tmp_path / "html").exists()


def test_a_report_of_nothing_is_an_error(study, tmp_path, capsys):
    assert cli.main(["report", "--render-only", "--build", str(tmp_path)]) == 2
    assert "claims.csv: no such file" in capsys.readouterr().err


@pytest.fixture
def trials(monkeypatch):
    from reproduce import experiments

    seen = SimpleNamespace(r2=0.75, status="ok")

    def pretend(trial, study):
        seen.trial = trial
        value = {
            "metric": "r2",
            "level": "overall",
            "group": "all",
            "test": "GTEx",
            "value": seen.r2,
            "error": "boom",
            "status": seen.status,
        }
        rows = pd.DataFrame([value | {"fit_seconds": 1.0, "impute_seconds": 0.1}])
        return experiments.TrialResult("id", rows, None)

    monkeypatch.setattr(experiments, "run_trial", pretend)
    return seen


def test_trial_prints_the_score(study, trials, capsys):
    options = ["--method", "gaussian", "--seed", "3", "--missing-rate", "0.3", "-p", "shrinkage", "0.2"]
    assert cli.main(["trial", *options]) == 0
    assert "GTEx      r2                        0.7500" in capsys.readouterr().out
    assert (trials.trial.seed, trials.trial.missing_rate) == (3, 0.3)
    assert dict(trials.trial.hyperparameters) == {"shrinkage": 0.2}


def test_trial_fails_where_the_method_fails_or_the_score_is_low(study, trials, capsys):
    assert cli.main(["trial", "--method", "gaussian", "--at-least", "0.7"]) == 0
    trials.r2 = float("nan")
    assert cli.main(["trial", "--method", "gaussian", "--at-least", "0.7"]) == 1
    trials.status = "failed"
    assert cli.main(["trial", "--method", "gaussian"]) == 1
    assert "failed: boom" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "GTEx/Nose"], "no tissue 'Nose'"),
        (["--train", "Foo"], "no cohort 'Foo'"),
        (["-p", "bogus", "3"], "no hyperparameter 'bogus'"),
        (["-p", "shrinkage", "["], "not YAML"),
        (["--hyperparameters", "ours"], "Unknown preset 'ours'"),
    ],
)
def test_what_the_user_can_mend_in_a_trial_is_one_line_without_positions_in_code(options, message, capsys):
    assert cli.main(["trial", "--method", "gaussian", "--data", "embedded", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and ", line " not in error.partition("YAML")[0]


def test_trial_takes_a_preset_and_single_values_over_it(study, trials):
    assert cli.main(["trial", "--method", "pmi", "--hyperparameters", "student", "-p", "dropout", "0.3"]) == 0
    assert trials.trial.hyperparameters["batch_size"] == 32 and trials.trial.hyperparameters["dropout"] == 0.3


def test_trial_refuses_unknown_names(study, capsys):
    assert cli.main(["trial", "--method", "pmii"]) == 2
    assert "pmii" in capsys.readouterr().err


def test_a_run_that_is_refused_makes_no_folder(tmp_path, capsys):
    build = tmp_path / "build"
    assert cli.main(["run", "--data", "embedded", "--build", str(build), "-p", "nope", "3"]) == 2
    assert "nope" in capsys.readouterr().err and not build.exists()
