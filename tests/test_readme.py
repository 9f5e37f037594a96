"""README's commands and code do what they say."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from reproduce.loaders.study import load_study


def test_the_example_fills_a_matrix_of_ones_own(repository):
    (code,) = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), flags=re.S)
    cohort = load_study("embedded").cohorts["GTEx"][:200]
    logs = pd.DataFrame(np.log1p(cohort.X), index=cohort.obs_names, columns=cohort.var_names)
    holes = logs.mask(np.random.default_rng(0).random(logs.shape) < 0.3)
    samples = cohort.obs.assign(batch=range(200))  # what the user's table holds besides
    names = {"expression": holes[:150], "samples": samples[:150]}
    names |= {"other_expression": holes[150:], "other_samples": samples[150:]}
    exec(code, names)
    for filled, given in ((names["filled"], holes[:150]), (names["filled_later"], holes[150:])):
        assert isinstance(filled, pd.DataFrame) and filled.notna().all(axis=None)
        pd.testing.assert_frame_equal(filled.where(given.notna()), given, check_names=False)


@pytest.mark.slow
def test_papermill_takes_the_presets_as_they_are(repository, tmp_path):
    text = (repository / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`\.venv/bin/papermill (.*?)`", text)
    arguments = command.replace("03_inductive_imputation.ipynb", "01_data_cleaning.ipynb").split()
    arguments = [argument.replace("quick.yaml", "smoke.yaml") for argument in arguments]
    arguments[arguments.index("build/03.ipynb")] = str(tmp_path / "out.ipynb")
    environment = os.environ | {"PYTHONPATH": str(repository)}  # kernels start in notebooks/
    folders = ["-p", "results_folder", str(tmp_path / "results"), "-p", "figures_folder", str(tmp_path / "figures")]
    command = [sys.executable, "-m", "papermill", *arguments, *folders]
    subprocess.run(command, cwd=repository, env=environment, check=True)
    assert (tmp_path / "results" / "01_cohorts.csv").exists()
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if "error" in {output["output_type"] for output in cell.get("outputs", [])}]
