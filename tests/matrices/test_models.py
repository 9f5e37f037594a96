"""Models travel whole or not at all: the same values elsewhere, and any other content is one error."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reproduce
from reproduce.errors import ConfigError, DataFormatError, ReproduceError
from reproduce.imputers import METHODS
from reproduce.imputers.conformal import ConformalImputer
from reproduce.matrices import _manifest
from reproduce.matrices.card import describe
from reproduce.matrices.genes import identify
from reproduce.matrices.models import SAVABLE, Model, covariates_of, load_model, save_model, training_summary
from reproduce.matrices.units import UnitScale

NETWORK = {"hidden_layers": 1, "hidden_units": 8, "epochs": 1, "steps_per_epoch": 2, "batch_size": 8}
#: Settings that make slow methods fast without changing what they keep.
FAST = {
    "mice": {"max_iter": 2},
    "iterative_forest": {"n_estimators": 2, "max_iter": 2},
    "boosted_forest": {"n_estimators": 3, "min_samples_leaf": 3},
    "best": {"members": ("knn_5", "gaussian"), "n_folds": 2, "n_repeats": 1},
    "mixture": {"n_components": 2, "n_bags": 2},
    "pmi": NETWORK,
    "pmi_tuned": NETWORK | {"masks_per_row": 2},
    "gain": NETWORK,
    "gain_mse": NETWORK,
}
NETWORKS = ("pmi", "pmi_tuned", "gain", "gain_mse")
#: All others, so that a new method is tested without being named here.
CLOSED = tuple(name for name in SAVABLE if name not in NETWORKS)
METRICS = {"R² on hidden entries": 0.61, "entries": 120}


def samples(n: int, seed: int, names: str = "donor") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Expression with holes, of two tissues, and covariates."""
    rng = np.random.default_rng(seed)
    tissue = np.tile(["colon", "lung"], n // 2)
    X = rng.normal(size=(n, 2)) @ np.random.default_rng(0).normal(size=(2, 6)) + 0.3 * rng.normal(size=(n, 6)) + 6
    X[rng.random(X.shape) < 0.3] = np.nan
    X[tissue == "lung"] += 1
    index = [f"{names} {i}" for i in range(n)]
    covariates = pd.DataFrame(
        {"tissue": tissue, "age": rng.uniform(20, 70, n), "donor": np.repeat([f"p{i}" for i in range(n // 2)], 2)},
        index=index,
    )
    return pd.DataFrame(X, index=index, columns=["TP53", "MDM2", "CDKN1A", "BAX", "ATM", "CHEK2"]), covariates


def fitted(name: str) -> Model:
    X, covariates = samples(32, seed=1)
    method = "gaussian" if name == "conformal" else name
    cls = METHODS[method].load()
    seed = {"random_state": 0} if "random_state" in inspect.signature(cls).parameters else {}
    imputer = cls(**{**METHODS[method].parameters, **FAST.get(method, {}), **seed})
    if name == "conformal":
        imputer = ConformalImputer(imputer, n_folds=2, n_repeats=1, random_state=0)
    imputer.fit(X, covariates=covariates)
    return Model(
        imputer,
        method,
        identify(X.columns),
        UnitScale.fit(X, "log"),
        covariates_of(imputer),
        training_summary(X, source="small.csv", covariates=covariates),
        METRICS,
        symbols={"ENSG00000141510": "TP53"},
    )


ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from reproduce.matrices.models import load_model, save_model
folder = Path(sys.argv[1])
X, covariates = (pd.read_pickle(folder / name) for name in ("X.pkl", "covariates.pkl"))
filled, models = {}, {}
for path in sorted(folder.glob("model *")):
    models[path.name] = load_model(path)
assert "tensorflow" not in sys.modules
if sys.argv[2] == "network":
    save_model(models["model pmi"], folder / "again")  # as it was read
    assert "tensorflow" not in sys.modules
    models["model pmi"] = load_model(folder / "again")
for name, model in models.items():
    imputer = model.imputer
    filled[name] = imputer.transform(X, covariates=covariates)
    if hasattr(imputer, "conditional_sd"):
        filled[name + " sd"] = imputer.conditional_sd(X, covariates=covariates)
        filled[name + " draws"] = imputer.sample(X, 2, covariates=covariates, random_state=1)
assert ("tensorflow" in sys.modules) == (sys.argv[2] == "network")
np.savez(folder / "filled.npz", **filled)
"""


def check_elsewhere(names, folder: Path, what: str) -> None:
    """Fit, save, and compare what a fresh process fills in from the files."""
    X, covariates = samples(10, seed=2, names="new")
    X.to_pickle(folder / "X.pkl")
    covariates.to_pickle(folder / "covariates.pkl")
    expected = {}
    for name in names:
        model = fitted(name)
        save_model(model, folder / f"model {name}")
        expected[f"model {name}"] = model.imputer.transform(X, covariates=covariates)
        if hasattr(model.imputer, "conditional_sd"):
            expected[f"model {name} sd"] = model.imputer.conditional_sd(X, covariates=covariates)
            drawn = model.imputer.sample(X, 2, covariates=covariates, random_state=1)
            expected[f"model {name} draws"] = drawn
    environment = os.environ | {"PYTHONPATH": str(Path(reproduce.__file__).parents[1])}
    command = [sys.executable, "-c", ELSEWHERE, str(folder), what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "filled.npz") as filled:
        assert set(filled) == set(expected)
        for name, values in expected.items():
            assert filled[name].tobytes() == np.ascontiguousarray(values).tobytes(), name


@pytest.mark.filterwarnings("ignore:MICE did not settle")
def test_every_method_fills_the_same_bits_in_a_fresh_process(tmp_path):
    check_elsewhere([*CLOSED, "conformal"], tmp_path, "closed")


@pytest.mark.slow
def test_networks_fill_the_same_bits_in_a_fresh_process(tmp_path):
    check_elsewhere(NETWORKS, tmp_path, "network")


def test_draws_of_mice_are_the_same(tmp_path):
    X, covariates = samples(32, seed=1)
    imputer = METHODS["mice"].load()(sample_posterior=True, n_imputations=2, max_iter=2, random_state=0)
    imputer.fit(X, covariates=covariates)
    model = Model(imputer, "mice", identify(X.columns), UnitScale.fit(X, "log"))
    save_model(model, tmp_path / "m")
    expected = imputer.transform(X, covariates=covariates)
    np.testing.assert_array_equal(load_model(tmp_path / "m").imputer.transform(X, covariates=covariates), expected)


def test_transfer_keeps_what_it_learnt_of_references(tmp_path):
    X, _ = samples(32, seed=1)
    imputer = METHODS["transfer"].load()(random_state=0).fit(X, references={"other": samples(40, seed=5)[0]})
    save_model(Model(imputer, "transfer", identify(X.columns), UnitScale.fit(X, "log")), tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").imputer.transform(X), imputer.transform(X))


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A model's folder, not to be changed."""
    return save_model(fitted("gaussian"), tmp_path_factory.mktemp("models") / "original")


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


def test_everything_about_a_model_comes_back(original):
    before, after = fitted("gaussian"), load_model(original)
    for name in ("method", "genes", "covariates", "metrics", "version", "symbols"):
        assert getattr(after, name) == getattr(before, name)
    assert after.training.keys() == before.training.keys()
    for name, value in before.training.items():
        np.testing.assert_array_equal(after.training[name], value)
    assert after.imputer.get_params() == before.imputer.get_params()
    assert after.size == sum(path.stat().st_size for path in original.iterdir())
    manifest = json.loads((original / "manifest.json").read_text())
    assert manifest["genes"]["names"] == list(before.genes.names) and manifest["metrics"] == METRICS
    with np.load(original / "arrays.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["training.mean"], before.training["mean"])
        np.testing.assert_array_equal(arrays["imputer.center_"], before.imputer.center_)


def test_training_summary_agrees_with_pandas():
    X, covariates = samples(32, seed=1)
    told = training_summary(X, source="x", covariates=covariates)
    np.testing.assert_allclose(told["mean"], X.mean())
    np.testing.assert_allclose(told["sd"], X.std(ddof=0))
    assert told["n_donors"] == 16 and told["missing_rate"] == pytest.approx(X.isna().to_numpy().mean())


def test_equal_models_are_equal_files(original, tmp_path):
    again = save_model(fitted("gaussian"), tmp_path / "again")
    for path in original.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_what_cannot_be_a_model_is_refused(tmp_path):
    model = fitted("gaussian")
    X, _ = samples(32, seed=1)
    missforest = METHODS["missforest_10"].load()(n_estimators=2, max_iter=2).fit(X)
    for changes, said in (
        ({"imputer": missforest, "method": "missforest_10"}, "does not fill rows.*mixture"),
        ({"method": "knn_5"}, "ConditionalGaussianImputer"),
        ({"genes": identify(X.columns[::-1])}, "in their order"),
        ({"genes": identify(X.columns[:-1])}, "6 genes, and 5"),
        ({"units": UnitScale.fit(X.iloc[:, :-1], "log")}, "units"),
        ({"imputer": type(model.imputer)()}, "not fitted"),
        ({"covariates": {"columns": ["batch"]}}, "covariates_of"),
        ({"metrics": {"f": print}}, "without code"),
    ):
        with pytest.raises(ConfigError, match=said):
            save_model(dataclasses.replace(model, **changes), tmp_path / "m")
        assert not list(tmp_path.iterdir())  # nothing half-written
    save_model(model, tmp_path / "m")
    with pytest.raises(ConfigError, match="exists already"):
        save_model(model, tmp_path / "m")


# files that are not as they were


def test_any_changed_byte_is_an_error_that_names_the_model(folder):
    rng = np.random.default_rng(0)
    paths = sorted(folder.iterdir())
    for trial in range(200):
        path = paths[trial % len(paths)]
        content = path.read_bytes()
        spoiled = bytearray(content)
        spoiled[rng.integers(len(content))] ^= int(rng.integers(1, 256))
        path.write_bytes(spoiled)
        with pytest.raises(DataFormatError, match=r"copy"):
            load_model(folder)
        path.write_bytes(content)
    load_model(folder)


def _forged(folder: Path, changes: dict | None = None) -> None:
    """Make the manifest agree with the files, as somebody would who means harm."""
    manifest = json.loads((folder / "manifest.json").read_text()) | (changes or {})
    for name in ("state.json", "arrays.npz"):
        content = (folder / name).read_bytes()
        entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        if name in manifest["files"]:
            manifest["files"][name] = entry
    manifest["sha256"] = _manifest._digest(manifest)
    (folder / "manifest.json").write_text(_manifest._text(manifest))


def _state(folder: Path, old: str, new: str) -> None:
    text = (folder / "state.json").read_text()
    assert old in text
    (folder / "state.json").write_text(text.replace(old, new, 1))
    _forged(folder)


def test_a_forged_manifest_passes_if_nothing_else_was_changed(folder):
    _forged(folder)
    load_model(folder)


@pytest.mark.parametrize("spoil, said", [
    (lambda f: (f / "state.json").unlink(), r"state\.json is missing"),
    (lambda f: (f / "manifest.json").unlink(), "no manifest"),
    (lambda f: (f / "notes.txt").write_text("mine"), r"notes\.txt does not belong"),
    (lambda f: (f / "arrays.npz").write_bytes((f / "arrays.npz").read_bytes()[:-9]), "not the file"),
    (lambda f: (f / "arrays.npz").write_bytes((f / "arrays.npz").read_bytes() + b"more"), "not the file"),
    (lambda f: ((f / "state.json").rename(f.parent / "s"), (f / "state.json").symlink_to(f.parent / "s")), "link"),
    (lambda f: _forged(f, {"format_version": 2, "package_version": "9.1.0"}), r"version 9\.1\.0 .* format 2.*Install"),
    (lambda f: _forged(f, {"format_version": "a\x1b[2J; rm"}), r"\(not told\)"),
    (lambda f: _forged(f, {"format": "recipe"}), "not that of a model"),
    (lambda f: _forged(f, {"files": {"../x": {}, "state.json": {}, "arrays.npz": {}}}), "does not list the files"),
    (lambda f: _forged(f, {"files": {"state.json": {}}}), "does not list the files"),
    (lambda f: _state(f, '"ConditionalGaussianImputer"', '"Popen"'), "Popen.*none of the classes"),
    (lambda f: _state(f, '"ConditionalGaussianImputer"', '"Normal"'), "cannot be read"),
    (lambda f: _state(f, '["method","gaussian"]', '["method","knn_5"]'), "its imputer is a Cond.*knn_5"),
    (lambda f: _state(f, '["method","gaussian"]', '["method","os.system"]'), "no method of this version"),
    (lambda f: _state(f, '"CDKN1A"', '"CDKN1B"'), "in their order|units"),
    (lambda f: _state(f, '["units","log"]', '["units","furlong"]'), "furlong"),
    (lambda f: _state(f, '{"nodes":', '{"nodes":NaN,"n":'), "not JSON"),
    (lambda f: _state(f, '{"nodes":', '{"nodes":' + "[" * 100_000), "no state of a model"),
])  # fmt: skip
def test_a_spoiled_model_is_one_error(folder, spoil, said):
    spoil(folder)
    with pytest.raises(DataFormatError, match=said):
        load_model(folder)


def test_a_folder_that_is_no_model_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    for path, said in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "file", "is a file"),
        (tmp_path, "no manifest"),
    ):
        with pytest.raises(DataFormatError, match=said):
            load_model(path)


def test_random_changes_behind_a_forged_manifest_end_in_an_error_or_a_model(folder):
    """Whatever the state says: a model or a `ReproduceError`, nothing else."""
    rng = np.random.default_rng(1)
    content = (folder / "state.json").read_text()
    marks = [at for at, letter in enumerate(content) if letter in '0123456789[]{}",:']
    for _ in range(150):
        spoiled = list(content)
        for at in rng.choice(marks, 2):
            spoiled[at] = str(rng.choice(list('0179[]{}",:-')))
        (folder / "state.json").write_text("".join(spoiled))
        _forged(folder)
        with contextlib.suppress(ReproduceError):
            load_model(folder)


def test_an_archive_with_a_lying_header_is_refused(folder):
    with zipfile.ZipFile(folder / "arrays.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "arrays.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"'shape': (6,), }    ", b"'shape': (60000,), }"))
    _forged(folder)
    with pytest.raises(DataFormatError, match=r"arrays\.npz is damaged"):
        load_model(folder)


def test_estimators_of_another_scikit_learn_are_refused_and_only_those(tmp_path, monkeypatch):
    for name in ("boosted_forest", "median"):
        save_model(fitted(name), tmp_path / name)
    monkeypatch.setattr(_manifest.sklearn, "__version__", "2.0.1")
    load_model(tmp_path / "median")
    with pytest.raises(DataFormatError, match=r"scikit-learn .*2\.0\.1 is installed"):
        load_model(tmp_path / "boosted_forest")


# the card


@pytest.mark.parametrize("name", ["gaussian", "knn_5", "conformal"])
def test_the_card_tells_what_a_user_must_know(name):
    model = fitted(name)
    card = describe(model)
    assert all(len(line) <= 100 for line in card.splitlines())
    for said in ("Samples: 32", "donors: 16", "genes: 6", "small.csv", "gene symbols", "R² on hidden entries: 0.61"):
        assert said in card
    assert ("tissue: colon, lung" in card) == (name != "knn_5")
    assert ("values of training samples" in card) == (name == "knn_5")
    assert "clinical" in card and "reproduce impute" in card


def test_the_card_shows_no_control_characters():
    assert "\x1b" not in describe(dataclasses.replace(fitted("median"), training={"source": "\x1b[2J"}))


def test_the_card_says_what_is_not_known():
    card = describe(dataclasses.replace(fitted("median"), training={}, metrics={}))
    assert "Samples: not known; donors: not known" in card and "Not measured" in card and "not told" in card
