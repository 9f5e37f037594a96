"""Writing files so that no reader ever sees half of one, and their checksums; never knows what a file is about."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["atomic_path", "sha256_of", "write_json", "write_text"]

_BLOCK = 1 << 20


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` if the block succeeds, and vanishes if it does not.

    Parameters
    ----------
    path : path
        The file (or folder that does not exist yet) to bring into being. Parent folders are created.

    Yields
    ------
    Path
        A name in the same folder (hence on the same disk, where a rename is atomic) with the same suffixes, so that a
        writer that goes by the suffix does the same thing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    temporary = folder / path.name
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb") as handle:  # on disk before the rename: a crash must not leave an empty file
                os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        _remove(folder)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 with ``\\n`` line ends, whole or not at all; return the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write `value` as indented JSON with sorted keys, whole or not at all; return the path.

    Raises
    ------
    ValueError
        For NaN or infinity, which JSON does not have.
    """
    return write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _remove(folder: Path) -> None:
    """Remove the temporary folder and what a failed writer left in it."""
    for root, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(root, name))
        for name in folders:
            os.rmdir(os.path.join(root, name))
    os.rmdir(folder)
