"""Fingerprints the code of older commits, to tell which code a stored result is of; never checks one out or runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

from reproduce.errors import ConfigError
from reproduce.experiments.provenance import ROOT, fingerprint_of, parsed


class CodeHistory:
    """What `code_fingerprint` of a method was in each commit that the present one rests on.

    The rule by which code is fingerprinted is today's throughout: a commit that had another rule gives a fingerprint
    that no stored result bears.

    Parameters
    ----------
    folder : path-like, optional
        A working copy of this repository; by default the one that this package lies in.
    since : str, optional
        The oldest commit that is looked at, by any name that git knows; by default the first.

    Raises
    ------
    ConfigError
        If the folder is no working copy, git is not installed, or there is no such commit.
    """

    def __init__(self, folder: str | Path = ROOT.parent, *, since: str | None = None):
        self.folder = Path(folder)
        listed = ["rev-list", "--full-history", "HEAD"]
        oldest = []
        if since is not None:
            oldest = self._git("rev-parse", "--verify", "--end-of-options", f"{since}^{{commit}}").split()
            listed.append(f"^{oldest[0]}")
        #: Those that touch the package, newest first.
        self.commits: list[str] = [*self._git(*listed, "--", "reproduce").split(), *oldest]

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        try:
            # bytes, not text: line ends must not be translated, since a fingerprint is of the file as it is read
            done = subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
            raise ConfigError(
                f"The history of {self.folder} cannot be read ({said}). Older code is known by git alone: work in a "
                "clone with its history, and name a commit of it."
            ) from error
        return done.stdout.decode()

    @cached_property
    def _trees(self) -> list[tuple[str, dict[str, str]]]:
        """Each commit with the content id of each of its modules."""
        return [(commit, self._modules(commit)) for commit in self.commits]

    def _modules(self, commit: str) -> dict[str, str]:
        blobs = {}
        for line in self._git("ls-tree", "-r", commit, "--", "reproduce").splitlines():
            described, _, path = line.partition("\t")
            if path.endswith(".py"):
                parts = PurePosixPath(path).with_suffix("").parts
                blobs[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = described.split()[2]
        return blobs

    @cache  # noqa: B019 - a history lives as long as the command
    def _parsed(self, blob: str) -> tuple[str, frozenset[str]]:
        source = self._git("cat-file", "blob", blob)
        return parsed(source.replace("\r\n", "\n"))

    def _fingerprints(self, module: str) -> Iterator[tuple[str, str]]:
        for commit, blobs in self._trees:
            if module not in blobs:
                continue
            try:
                yield (
                    fingerprint_of(module, lambda name, at=blobs: self._parsed(at[name]) if name in at else None),
                    commit,
                )
            except (SyntaxError, UnicodeDecodeError):  # committed half-way: nothing can have run by it
                continue

    @cache  # noqa: B019
    def fingerprints(self, module: str) -> dict[str, str]:
        """The commit of each fingerprint that a method's code has had, newest first; of several commits the newest.

        Parameters
        ----------
        module : str
            The method's module, such as "reproduce.imputers.knn".

        Returns
        -------
        dict of str to str
            Commits by fingerprint.
        """
        found: dict[str, str] = {}
        for fingerprint, commit in self._fingerprints(module):
            found.setdefault(fingerprint, commit)
        return found
