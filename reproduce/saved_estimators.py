"""One file for a fitted estimator of a companion study, arrays and JSON; never knows what estimators there are."""

from __future__ import annotations

import json
import zipfile
import zlib
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from reproduce.errors import ConfigError, DataFormatError
from reproduce.files import atomic_path

#: What reading a file may raise that is broken off, empty, or another's.
_BROKEN = (
    OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, zipfile.BadZipFile, zlib.error
)  # fmt: skip


class SavedEstimator:
    """Lets a scikit-learn estimator be saved and loaded; it says what by `_saved`, and takes it back by `_take_back`.

    The file is an .npz of arrays, one of which holds JSON: reading it executes nothing.
    """

    #: How its files say what they are: name and version of what `_saved` gives.
    saved_form: ClassVar[str]

    def save(self, path: str | Path) -> Path:
        """Write the fitted estimator as one .npz of arrays and JSON: reading it executes nothing.

        Parameters
        ----------
        path : path-like
            Ends in .npz.

        Raises
        ------
        ConfigError
            For another ending, or a `random_state` that JSON cannot hold.
        """
        check_is_fitted(self)
        path, parameters = _npz(path), self.get_params()
        if not isinstance(parameters.get("random_state"), (Integral, type(None))):
            raise ConfigError("random_state is a generator, which cannot be saved; give a whole number.")
        words, arrays = self._saved()
        about = {
            "form": self.saved_form, "kind": type(self).__name__, "parameters": parameters, "words": words
        }  # fmt: skip
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, about=np.array(json.dumps(about, default=_plain)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ConfigError
            For a path that does not end in .npz.
        DataFormatError
            For another file, an incomplete one, or another kind of estimator.
        """
        path = _npz(path)
        if not path.is_file():
            raise DataFormatError(f"{path}: no such file.")
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                arrays = {name: file[name] for name in file.files if name != "about"}
            form, kind = about.get("form"), about.get("kind")
            if (form, kind) == (cls.saved_form, cls.__name__):
                parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in about["parameters"].items()}
                fitted = cls(**parameters)
                fitted._take_back(about["words"], arrays)
                return fitted
        except _BROKEN as error:
            raise DataFormatError(f"{path} is no whole saved {cls.__name__} ({error!r}); save it again.") from error
        raise DataFormatError(
            f"{path} holds {kind!r} in the form {form!r}, not {cls.__name__!r} in {cls.saved_form!r}; load that kind "
            "with this version of the package, or fit and save again."
        )

    def _saved(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What JSON holds best, and the arrays; parameters are saved in any case."""
        raise NotImplementedError

    def _take_back(self, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Be fitted as the estimator that gave these."""
        raise NotImplementedError


def _npz(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".npz":
        raise ConfigError(f"{path} must end in .npz.")
    return path


def _plain(value: object) -> object:
    """A numpy scalar, which JSON does not know, as what it holds."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be saved.")
