"""Brings several files into being together, each whole or not at all; never knows what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from reproduce.errors import ConfigError
from reproduce.files import naming

_FOLDER = re.compile(r"\.writing-(\d+)-([0-9a-f]{8})-")


class Staged:
    """Files that are made aside; see `staged`."""

    def __init__(self, folder: Path):
        self._folder, self._targets = folder, []

    def aside(self, target: Path) -> Path:
        """Where to write what is to become `target`."""
        self._targets.append(target)
        return self._folder / target.name

    def publish(self) -> None:
        """Put everything in its place: what was named first comes last, so that all is there once that is."""
        for target in reversed(self._targets):
            with naming(target):
                os.replace(self._folder / target.name, target)


def check_writable(target: Path) -> None:
    """Refuse a file that could not be written at the end of a long computation.

    Raises
    ------
    ConfigError
        For a folder, or a place below a file or in a folder that cannot be written to.
    """
    try:
        if target.is_dir():
            raise ConfigError(f"{target} is a folder; give the name of a file.")
        there = next(folder for folder in target.absolute().parents if folder.exists())
        if not there.is_dir():
            raise ConfigError(f"{target} cannot be written: {there} is a file, not a folder; give another name.")
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=there):
            pass
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}; choose another folder.") from None


def folders_to_make(targets: Iterable[Path]) -> list[Path]:
    """Folders of these files that do not exist yet, each once; to be asked before anything is written."""
    return list(dict.fromkeys(target.parent for target in targets if not target.parent.exists()))


def print_written(made: Iterable[Path], written: Iterable[Path]) -> None:
    """One line for each new folder, so that a mistyped one is seen, and for each file."""
    for folder in made:
        print(f"made the folder {folder}")
    for path in written:
        print(f"wrote {path}")


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Staged]:
    """A place to write files that are all made before the first appears in `folder`.

    A process that is killed leaves a hidden folder behind, which the next call of this function removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    with naming(folder):
        aside = Path(tempfile.mkdtemp(prefix=f".writing-{os.getpid()}-{_machine()}-", dir=folder))
    try:
        yield Staged(aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that no longer live have left."""
    for path in folder.glob(".writing-*"):
        found = _FOLDER.match(path.name)
        if found and found[2] == _machine() and not _lives(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of somebody else
        return True
    return True


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]
