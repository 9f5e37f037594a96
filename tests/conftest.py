"""What all tests share: where real data lie, and a quiet set-up; never data of its own."""

import os
from pathlib import Path

import pytest

# Before anything imports TensorFlow: quiet, no GPU, no window. Tests are many small computations.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml, notebooks/ and results/."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real data excerpts (p53/, formats/, gtex_v8/ …), from ``REPRODUCE_TEST_DATA``; skips where it is unset.

    A folder that is named but absent is an error, so that a mistyped path cannot pass as a skip.
    """
    named = os.environ.get("REPRODUCE_TEST_DATA")
    if not named:
        pytest.skip("REPRODUCE_TEST_DATA is not set")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"REPRODUCE_TEST_DATA={named}: no such folder")
    return folder


@pytest.fixture(autouse=True)
def _no_data_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``REPRODUCE_DATA`` of the user's shell must not decide what a test reads."""
    monkeypatch.delenv("REPRODUCE_DATA", raising=False)
