"""TensorFlow starts without a word where none is asked for, and what it says is not lost if it fails."""

import os
import subprocess
import sys


def started(level, *, path="", code="import reproduce.models"):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": level}
    environment["PYTHONPATH"] = os.pathsep.join([path, os.getcwd(), environment.get("PYTHONPATH", "")])
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_nothing_is_said_where_only_errors_are_wanted():
    run = started("2", code="import reproduce.models, tensorflow as tf; print(int(tf.constant(1) + 1))")
    assert (run.returncode, run.stdout, run.stderr) == (0, "2\n", "")


def test_a_failed_start_is_told_with_what_was_said(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'no such instruction\\n')\nraise ImportError('broken')\n"
    )
    run = started("2", path=str(tmp_path))
    assert run.returncode == 1 and "no such instruction" in run.stderr and "ImportError: broken" in run.stderr
    (tmp_path / "tensorflow.py").write_text("import os\nos.abort()\n")
    run = started("2", path=str(tmp_path))
    assert run.returncode < 0 and "Fatal Python error: Aborted" in run.stderr and "tensorflow.py" in run.stderr
    quiet = "import os, sys, types\nos.write(2, b'I0000 00:00:1.2 3 port.cc:153] oneDNN\\nnot TensorFlow\\'s\\n')\n"
    quiet += "config = types.SimpleNamespace(list_physical_devices=lambda: [])\n"
    (tmp_path / "tensorflow.py").write_text(quiet)
    assert started("2", path=str(tmp_path)).stderr == "not TensorFlow's\n"
    # who wants to hear more gets it from TensorFlow itself
    assert started("1", path=str(tmp_path)).returncode == 0
