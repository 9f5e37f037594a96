"""Where data lie: the folder that `REPRODUCE_DATA` names, or a checkout's ``data/``; never looks into it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DATA_VARIABLE", "data_folder"]

DATA_VARIABLE = "REPRODUCE_DATA"


def data_folder() -> Path:
    """Where downloads land: ``REPRODUCE_DATA``, else the checkout's ``data/``; installed elsewhere, ``data/`` here."""
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser()
    root = Path(__file__).resolve().parents[2]
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / "data"
