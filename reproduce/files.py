"""Writing files so that no reader ever sees half of one, and their checksums; never knows what a file is about."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["atomic_path", "in_words", "naming", "sha256_of", "write_json", "write_table", "write_text"]

_BLOCK = 1 << 20
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # the disk, or the user's share of it


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

    Raises
    ------
    OSError
        As the block raised it; one that names no file, such as a write to a full disk, gets the name of `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    temporary = folder / path.name
    try:
        with naming(path):
            yield temporary
            if temporary.is_file():
                with open(temporary, "rb") as handle:  # on disk before the rename: a crash must not leave an empty file
                    os.fsync(handle.fileno())
            os.replace(temporary, path)
    finally:
        _remove(folder)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an `OSError` of the block that names no file name `path`: the system names files on opening, not on writing.

    An error without a number keeps its own words: with a file name, Python would show that in their place.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise


def in_words(error: OSError) -> str:
    """The system's words, which name the file as far as it is known; for a full disk also what to do."""
    if error.errno not in _FULL:
        return str(error)
    return f"{error}. Make room there and run the same command again: what is finished is kept."


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


def write_table(table: pd.DataFrame, folder: str | Path, name: str) -> Path:
    """Write a table as CSV, whole or not at all; six significant digits, so that equal tables give equal files.

    Parameters
    ----------
    table : DataFrame
    folder : path-like
        Created if absent.
    name : str
        File name without its ending.

    Returns
    -------
    Path
    """
    path = Path(folder) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    return path
