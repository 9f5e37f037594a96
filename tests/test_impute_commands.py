"""The commands for one's own matrix, file to file: whole or absent, unchanged where known, one sentence for errors.

`REPRODUCE_KILLS` sets how often a run is killed at a random moment (default 4).
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reproduce.cli import main
from reproduce.commands.outputs import staged

KILLS = int(os.environ.get("REPRODUCE_KILLS", "4"))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a matrix (30 samples, 6 genes, holes) and covariates, as the current one."""
    generator = np.random.default_rng(0)
    values = 6 + generator.standard_normal((30, 1)) * generator.uniform(0.5, 1.5, 6)
    values = np.round(values + 0.3 * generator.standard_normal(values.shape), 3)
    frame = pd.DataFrame(values, columns=["TP53", "MDM2", "CDKN1A", "BAX", "ATM", "CHEK2"])
    frame.index = pd.Index([f"sample{i}" for i in range(30)], name="sample")
    frame.mask(generator.random(frame.shape) < 0.2).to_csv(tmp_path / "in.csv")
    frame.assign(tissue=["lung", "colon"] * 15, age=50)[["tissue", "age"]].to_csv(tmp_path / "samples.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main([*arguments, "--quiet"])


def test_only_the_fields_of_holes_change(folder, capsys):
    assert run("impute", "in.csv", "-o", "new/out.csv") == 0
    before, after = (Path(name).read_text().splitlines() for name in ("in.csv", "new/out.csv"))
    assert len(before) == len(after)
    for old, new in zip(before, after):
        for given, written in zip(old.split(","), new.split(","), strict=True):
            assert written == given if given else float(written) == float(written)
    said = capsys.readouterr().out
    assert all(word in said for word in ("units: log", "method: ", "mixture", "wrote new/out.csv"))


def test_deviations_draws_and_page_have_their_names(folder, capsys):
    assert run(
        "impute", "in.csv", "-o", "out.tsv.gz", "--method", "gaussian", "--uncertainty", "--draws", "2",
        "--covariates", "samples.csv", "--report", "page.html",
    ) == 0  # fmt: skip
    names = {"out.tsv.gz", "out-sd.tsv.gz", "out-draw01.tsv.gz", "out-draw02.tsv.gz", "page.html"}
    assert {path.name for path in folder.iterdir()} == names | {"in.csv", "samples.csv"}
    holes = pd.read_csv("in.csv", index_col=0).isna().to_numpy()
    sd = pd.read_csv("out-sd.tsv.gz", sep="\t", index_col=0).to_numpy()
    assert (sd[~holes] == 0).all() and (sd[holes] > 0).all()
    assert "R²" in capsys.readouterr().out
    assert "data:image/png" in Path("page.html").read_text(encoding="utf-8")


def test_a_model_fills_other_samples_with_other_gene_order(folder, capsys):
    assert run("train", "in.csv", "-o", "model", "--method", "gaussian") == 0
    assert main(["inspect", "model"]) == 0
    assert "R², all genes together: " in capsys.readouterr().out
    frame = pd.read_csv("in.csv", index_col=0).iloc[:4, ::-1].drop(columns="ATM")
    frame.assign(OTHER=1.0).to_csv("few.csv")
    arguments = ("--model", "model", "--orientation", "samples_by_genes", "--uncertainty", "--draws", "1")
    assert run("impute", "few.csv", "-o", "out.csv", *arguments) == 0
    filled = pd.read_csv("out.csv", index_col=0)
    assert filled.notna().all(axis=None)
    assert list(filled) == [*frame, "OTHER"]
    assert "ATM" in capsys.readouterr().out
    assert run("impute", "few.csv", "-o", "again.csv", "--model", "model", "--method", "median") == 2
    assert run("impute", "in.csv", "-o", "own.csv", "--model", "model", "--report", "page.html") == 0
    for told in (capsys.readouterr().out, Path("page.html").read_text(encoding="utf-8")):
        assert "fitted to 30 samples of in.csv. If samples of this matrix were among them" in told


def test_another_cohort_s_accuracy_is_told_without_being_asked_for(folder, capsys):
    assert run("train", "in.csv", "-o", "model", "--method", "gaussian") == 0
    frame = pd.read_csv("in.csv", index_col=0)
    assert run("impute", "in.csv", "-o", "own.csv", "--model", "model") == 0
    told = capsys.readouterr().out
    assert "hidden known values: R² 0." in told and "do not use" not in told
    (frame + 30.0).to_csv("far.csv")
    assert run("impute", "far.csv", "-o", "far_out.csv", "--model", "model") == 0
    assert "do not use these values. Without --model these samples are filled from each" in capsys.readouterr().out
    # one sample has nothing that could be hidden and scored
    frame.iloc[:1].to_csv("one.csv")
    assert run("impute", "one.csv", "-o", "one_out.csv", "--model", "model", "--orientation", "samples_by_genes") == 0
    assert "accuracy: not measured" in capsys.readouterr().out


def test_covariates_come_from_a_table_or_from_obs_and_are_told(folder, capsys):
    from reproduce.matrices.files import write_frame

    frame, samples = (pd.read_csv(name, index_col=0) for name in ("in.csv", "samples.csv"))
    samples.iloc[:2, 0] = ["", "NA"]  # not known, in both ways
    samples.to_csv("samples.csv")
    write_frame(frame, "in.h5ad", obs=samples)
    assert run("impute", "in.h5ad", "-o", "plain.h5ad", "--method", "gaussian") == 0
    assert "by --covariates obs:tissue" in capsys.readouterr().out
    filled = []
    for given, where in (("samples.csv", "samples.csv"), ("obs:tissue, age", "obs")):
        out = f"{where}.parquet"
        assert run("impute", "in.h5ad", "-o", out, "--method", "gaussian", "--covariates", given) == 0
        said = capsys.readouterr().out
        assert f"covariates from {where}: tissue, age" in said and "are kept and not taken" not in said
        filled.append(pd.read_parquet(out))
    pd.testing.assert_frame_equal(*filled)
    for matrix, given, told in (("in.h5ad", "obs:batch", "no column 'batch'"), ("in.csv", "obs:age", "no obs")):
        assert run("impute", matrix, "-o", "no.csv", "--covariates", given) == 2
        assert told in capsys.readouterr().err
    # the tables of several files are joined as their matrices are
    write_frame(frame.iloc[:20], "a.h5ad", obs=samples.iloc[:20])
    write_frame(frame.iloc[20:], "b.h5ad", obs=samples.iloc[20:])
    arguments = ("-o", "model", "--method", "gaussian", "--covariates", "obs:tissue,age")
    assert run("train", "a.h5ad", "b.h5ad", *arguments) == 0
    assert "A table of covariates with one row per sample: tissue, age" in capsys.readouterr().out


def test_columns_that_could_be_covariates_are_no_news_to_who_names_some(folder, capsys, monkeypatch):
    from reproduce.matrices import _h5ad, _head, _parquet
    from reproduce.matrices.files import write_frame

    for module in (_h5ad, _head, _parquet):  # whatever the words are
        monkeypatch.setattr(module, "kept_aside", lambda names, **_: f"beside the values: {names[0]}")
    frame, samples = (pd.read_csv(name, index_col=0) for name in ("in.csv", "samples.csv"))
    mixed = samples[["tissue"]].join(frame)
    mixed.to_csv("mixed.csv")
    mixed.reset_index().to_parquet("mixed.parquet", index=False)
    write_frame(frame, "mixed.h5ad", obs=samples)
    for name in ("mixed.csv", "mixed.parquet", "mixed.h5ad"):
        assert run("evaluate", name, "--methods", "median") == 0
        assert "- beside the values: tissue" in capsys.readouterr().out
        assert run("evaluate", name, "--methods", "median", "--covariates", "samples.csv") == 0
        told = capsys.readouterr().out
        assert "beside the values" not in told and "covariates from samples.csv: tissue, age" in told
    # also where several files are joined
    mixed.rename(index=lambda name: f"other{name}").to_csv("others.csv")
    pd.concat([samples, samples.rename(index=lambda name: f"other{name}")]).to_csv("all.csv")
    train = ("train", "mixed.csv", "others.csv", "--method", "median")
    assert run(*train, "-o", "model") == 0
    assert capsys.readouterr().out.count("- beside the values: tissue") == 2
    assert run(*train, "-o", "informed", "--covariates", "all.csv") == 0
    assert "beside the values" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("impute", "in.csv", "--report", "new/page.html", "--method", "median", "-o", "new/deep/out.csv"),
        ("evaluate", "in.csv", "--figure", "new/f.png", "--methods", "median", "-o", "new/deep/out.csv"),
        ("train", "in.csv", "--method", "median", "-o", "new/deep/model"),
    ],
)
def test_a_folder_that_is_made_is_told_once(folder, capsys, arguments):
    assert run(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("made the folder new/deep") == 1
    assert lines.count("made the folder new") == sum(argument.startswith("new/") for argument in arguments) - 1
    Path(arguments[-1]).rename("elsewhere")  # train refuses what is there already
    assert run(*arguments) == 0
    told = capsys.readouterr().out
    assert f"wrote {arguments[-1]}" in told and "made the folder" not in told


def test_the_page_names_a_group_only_where_the_method_was_told_of_one(folder, capsys):
    for given, named in ((), False), (("--covariates", "samples.csv"), True):
        assert run("impute", "in.csv", "-o", "out.csv", "--method", "gaussian", "--report", "page.html", *given) == 0
        page = Path("page.html").read_text(encoding="utf-8")
        assert ("<td>covariates</td><td>none</td>" in page) is not named
        assert ("<td>group</td><td>tissue</td>" in page) is named
    capsys.readouterr()
    assert run("impute", "in.csv", "-o", "out.csv", "--method", "gaussian", "--set", "group=tissue") == 2
    assert "group=tissue names a covariate, and there are none" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["impute", "evaluate", "train"])
def test_what_cannot_be_written_is_refused_before_anything_is_computed(folder, capsys, command):
    assert run(command, "in.csv", "-o", "samples.csv/out.csv") == 2
    error = capsys.readouterr().err
    assert "samples.csv is a file, not a folder" in error and error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv", "samples.csv"]


def test_methods_are_compared_as_table_and_figure(folder, capsys):
    methods = ("--methods", "gaussian", "median", "--repeats", "2")
    assert run("evaluate", "in.csv", *methods, "-o", "table.csv", "--figure", "f.png") == 0
    assert pd.read_csv("table.csv")["method"].tolist() == ["gaussian", "median"]
    assert Path("f.png").stat().st_size > 5_000
    assert "Conditional Gaussian (gaussian)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("impute", "absent.csv", "-o", "out.csv"), "absent.csv"),
        (("impute", "in.csv", "-o", "in.csv"), "input"),
        (("impute", "in.csv", "-o", "out.xlsx"), "ending"),
        (("impute", "in.csv", "-o", "out.csv", "--method", "magic"), "magic"),
        (("impute", "in.csv", "-o", "out.csv", "--set", "rank"), "NAME=VALUE"),
        (("impute", "in.csv", "-o", "out.csv", "--method", "gaussian", "--set", "rank=3"), "rank"),
        (("impute", "in.csv", "-o", "out.csv", "--seed", "-1"), "--seed"),
        (("impute", "in.csv", "-o", "out.csv", "--draws", "-1"), "--draws"),
        (("impute", "in.csv", "-o", "out.csv", "--patience", "0"), "--patience"),
        (
            ("impute", "in.csv", "-o", "out.csv", "--covariates", "in.csv", "--method", "knn_5", "--model", "m"),
            "--model",
        ),
        (("impute", "in.csv", "-o", "out.csv", "--model", "nothing"), "nothing"),
        (("train", "in.csv", "-o", "model", "--method", "missforest_10"), "missforest_10"),
        (("evaluate", "in.csv", "--hide", "2"), "missing_rate"),
        (("evaluate", "in.csv", "--repeats", "0"), "repeats"),
        (("evaluate", "in.csv", "--figure", "f.doc"), ".png"),
        (("inspect", "nothing"), "nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(folder, capsys, arguments, word):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (main(list(arguments)) if arguments[0] == "inspect" else run(*arguments)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and word in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_appears_before_everything_is_made(tmp_path):
    with pytest.raises(RuntimeError), staged(tmp_path / "new") as files:
        files.aside(tmp_path / "new" / "one.csv").write_text("1")
        raise RuntimeError
    assert list((tmp_path / "new").iterdir()) == []
    with staged(tmp_path) as files:
        for name in ("one.csv", "two.csv"):
            files.aside(tmp_path / name).write_text(name)
        assert not any(path.is_file() for path in tmp_path.iterdir())
        files.publish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "one.csv", "two.csv"]


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with staged(tmp_path) as files:
        mine = files.aside(tmp_path / "x").parent
        dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-"))
        dead.mkdir()
        (dead / "half.csv").write_text("1,2")
        with staged(tmp_path):
            assert mine.is_dir() and not dead.exists()


def test_tensorflow_is_not_imported_where_it_is_not_needed(folder):
    code = (
        "import sys; from reproduce.cli import main; "
        "main(['impute', 'in.csv', '-o', 'out.csv', '--method', 'gaussian', '--quiet']); "
        "sys.exit(','.join({'tensorflow', 'keras', 'matplotlib', 'anndata', 'statsmodels'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), check=False)
    assert done.returncode == 0, done.stderr


def test_killed_at_any_moment_the_output_is_whole_or_absent(folder):
    command = [sys.executable, "-m", "reproduce", "impute", "in.csv", "-o", "out.csv", "--method", "gaussian"]
    command += ["--draws", "1", "--uncertainty", "--quiet"]
    names = ("out.csv", "out-sd.csv", "out-draw01.csv")
    clock = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=_environment())
    seconds = time.monotonic() - clock
    whole = {name: Path(name).read_bytes() for name in names}
    given = Path("in.csv").read_bytes()
    generator, ends = np.random.default_rng(0), Counter()
    for number in range(KILLS):
        for name in names:
            Path(name).unlink(missing_ok=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment())
        # every other time late, when files are written
        time.sleep(seconds * (generator.uniform(0, 1.1) if number % 2 else generator.uniform(0.7, 1.1)))
        sent = (signal.SIGKILL, signal.SIGINT)[number // 2 % 2]
        process.send_signal(sent)
        said = process.communicate()[1].decode()
        ends[f"{sent.name}: status {process.returncode}"] += 1
        if process.returncode == 130:
            assert said.startswith("interrupted; ") and said.count("\n") == 1
        else:  # -2: as Python may end after an interrupt within an import; a traceback only of Python's own first steps
            assert process.returncode in (0, -sent) or "reproduce/" not in said, said
        seen = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        assert seen <= {*names, "in.csv", "samples.csv"}
        assert all(Path(name).read_bytes() == whole[name] for name in seen & set(names))
        assert "out.csv" not in seen or set(names) <= seen  # the one that was asked for comes last
        assert Path("in.csv").read_bytes() == given
    subprocess.run(command, check=True, capture_output=True, env=_environment())
    assert {path.name for path in folder.iterdir()} == {*names, "in.csv", "samples.csv"}  # nothing hidden is left
    print(f"\n{KILLS} runs ended by a signal: {dict(sorted(ends.items()))}")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImportError])
def test_an_interrupt_before_the_command_begins_is_one_line(monkeypatch, capsys, error):
    def interrupted():
        if error is KeyboardInterrupt:
            raise error
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise error from None  # as compiled modules do

    monkeypatch.setattr("reproduce.cli._parser", interrupted)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main([]) == 130
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    said = capsys.readouterr().err
    assert said.startswith("interrupted; ") and said.count("\n") == 1


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "TF_CPP_MIN_LOG_LEVEL": "2"}
