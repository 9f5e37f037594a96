"""README's commands and code do what they say."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from reproduce.loaders.row_files import RowSource, open_rows, write_rows
from reproduce.loaders.study import load_study


def test_the_example_fills_a_matrix_of_ones_own(repository):
    _, code = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), flags=re.S)
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


@pytest.mark.parametrize("page", ["README.md", "reproduce/guide/pages/guide_large.md"])
def test_the_examples_fill_files_larger_than_memory(page, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(150, 60)).astype(np.float32)
    obs = pd.DataFrame({"tissue": ["lung", "colon", "skin"] * 50}, index=[f"s{i}" for i in range(150)])
    rows = RowSource(np.where(X > 1, np.nan, X), "cohort", obs, pd.DataFrame(index=[f"G{i}" for i in range(60)]))
    with write_rows("cohort.zarr", rows) as write:
        write(slice(0, 150), rows.values)
    blocks = re.findall(r"```python\n(.*?)```", (repository / page).read_text(encoding="utf-8"), flags=re.S)
    names = {}
    for code in blocks if page != "README.md" else blocks[:1]:
        exec(code.replace('make_imputer("pmi", ', 'make_imputer("pmi", epochs=2, '), names)
    targets = [name for name in ("filled.zarr", "filled_by_pmi.zarr") if f'"{name}"' in "".join(blocks)]
    for target in targets:
        filled = open_rows(target).read(slice(0, 150))
        assert np.isfinite(filled).all() and np.array_equal(filled[X <= 1], X[X <= 1])
    assert len(targets) == (1 if page == "README.md" else 2)


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
