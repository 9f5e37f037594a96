"""The manifest of a model's folder: which files belong to it, of which size and content; never what is in them.

The checksums find damage, files of another model and edits by hand. They are no signature: who can write the folder can
write a manifest to match. Safety against a forger lies in what the files can say, see `state`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sklearn

from reproduce import __version__
from reproduce.errors import DataFormatError
from reproduce.files import sha256_of

MANIFEST = "manifest.json"
FORMAT = "expression imputer"
FORMAT_VERSION = 1
#: Far above what a manifest has: 20,000 gene names are half a megabyte.
_MANIFEST_BYTES = 64 * 2**20
_AGAIN = "Copy the whole model again, or train it anew."


def write_manifest(folder: Path, names: tuple[str, ...], told: Mapping[str, Any]) -> None:
    """Write the manifest of files that lie in the folder already.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        The files.
    told : mapping
        What a reader without this package should see; JSON.
    """
    content = {
        **told,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "scikit_learn_version": sklearn.__version__,
        "files": {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in names
        },
    }
    content["sha256"] = _digest(content)
    (folder / MANIFEST).write_text(_text(content), encoding="utf-8", newline="\n")
    for name in (*names, MANIFEST):
        with open(folder / name, "rb") as handle:  # on disk before the folder is renamed
            os.fsync(handle.fileno())


def read_manifest(folder: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Read the manifest and hold the folder to it.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        The files that a model of this version has.

    Returns
    -------
    dict

    Raises
    ------
    DataFormatError
        For a folder that is no model, one of another version, and a missing, changed or additional file.
    """
    content = _content(folder)
    _check_version(folder, content)
    if content.get("sha256") != _digest(content):
        raise DataFormatError(f"{folder / MANIFEST} was changed since the model was saved. {_AGAIN}")
    files = content.get("files")
    if type(files) is not dict or set(files) != set(names):
        raise DataFormatError(f"{folder / MANIFEST} does not list the files {', '.join(names)}. {_AGAIN}")
    for name in sorted(set(os.listdir(folder)) - {*names, MANIFEST}):
        raise DataFormatError(f"{folder / name} does not belong to the model; move it elsewhere.")
    for name in names:
        _check_file(folder / name, files[name])
    return content


def check_scikit_learn(folder: Path, content: Mapping[str, Any]) -> None:
    """Raise DataFormatError unless the installed scikit-learn is of the release (1.9, not 1.9.1) that wrote the model.

    For models that hold objects of it: another release may read their attributes otherwise.
    """
    wrote = content.get("scikit_learn_version")
    if str(wrote).split(".")[:2] != sklearn.__version__.split(".")[:2]:
        raise DataFormatError(
            f"{folder} holds estimators of scikit-learn {_number(wrote)}; version {sklearn.__version__} is installed "
            "and may read them otherwise. Install the version that wrote it, or train the model anew."
        )


def _content(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataFormatError(f"{folder} {what}; a model is a folder that `reproduce train` wrote.")
    path = folder / MANIFEST
    if not os.path.lexists(path):
        raise DataFormatError(f"{folder} has no {MANIFEST}, so it is no model; give the folder of a model.")
    _check_regular(path)
    if path.stat().st_size > _MANIFEST_BYTES:
        raise DataFormatError(f"{path} is larger than a manifest can be. {_AGAIN}")
    text = path.read_bytes()
    try:
        content = json.loads(text)
        # of one content there is one manifest, so that no byte can change unseen
        same = type(content) is dict and _text(content).encode() == text
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise DataFormatError(f"{path} is no manifest of a model, or was changed since the model was saved. {_AGAIN}")
    return content


def _check_version(folder: Path, content: Mapping[str, Any]) -> None:
    if content.get("format") != FORMAT:
        raise DataFormatError(f"{folder / MANIFEST} is not that of a model; give the folder of a model.")
    version, wrote = content.get("format_version"), content.get("package_version")
    if version != FORMAT_VERSION or type(version) is not int:
        raise DataFormatError(
            f"{folder} was written by version {_number(wrote)} of this package in format {_number(version)}; version "
            f"{__version__} reads format {FORMAT_VERSION}. Install version {_number(wrote)}, or train "
            "the model anew with this one."
        )


def _number(version: Any) -> str:
    """A version as it can be shown: what a file says is no text to show to a user as it is."""
    return str(version) if re.fullmatch(r"[0-9A-Za-z.+-]{1,30}", str(version)) else "(not told)"


def _check_file(path: Path, told: Any) -> None:
    if not os.path.lexists(path):
        raise DataFormatError(f"{path} is missing. {_AGAIN}")
    _check_regular(path)
    size = path.stat().st_size
    if type(told) is not dict or size != told.get("bytes") or sha256_of(path) != told.get("sha256"):
        raise DataFormatError(f"{path} ({size:,} bytes) is not the file that was saved with the model. {_AGAIN}")


def _check_regular(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise DataFormatError(f"{path} is a link, a folder or a device; a model consists of plain files. {_AGAIN}")


def _digest(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(_text(rest).encode()).hexdigest()


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
