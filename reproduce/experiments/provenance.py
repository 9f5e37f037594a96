"""Fingerprints the code behind a number, so that results of older code are not taken for new ones; never runs it.

What counts is the source of the method's module, of the modules that prepare, hide, split and score, and of whatever
modules of this package these import; docstrings, blank lines and lines that are only comments do not count, so
wording may be improved freely.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: On the way of every number from data to score. What it imports is followed.
CORE = ("reproduce.experiments.running", "reproduce.imputers._base")
#: No arithmetic: names, labels, messages and files. The registry's entry of a method is in the trial's configuration.
NOT_NUMERIC = frozenset({
    "reproduce",
    "reproduce.errors",
    "reproduce.files",
    "reproduce.imputers",
    "reproduce.experiments.provenance",
})  # fmt: skip


def _path(module: str) -> Path | None:
    base = ROOT.parent.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _named(tree: ast.Module) -> set[str]:
    """What a module imports from this package, at its top or inside functions: modules, and things in them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from reproduce.models import training` names a module, `from reproduce.splits import Split` a thing in
            # one
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "reproduce"}


def _imports(tree: ast.Module) -> set[str]:
    """Modules of this package that a module imports."""
    return {name for name in _named(tree) if _path(name)}


def _statements(source: str, tree: ast.Module) -> str:
    """The source without docstrings, blank lines and comment lines; plain text, so the same for every Python."""
    dropped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            dropped |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return "\n".join(
        line.rstrip() for n, line in lines if n not in dropped and line.strip() and not line.lstrip().startswith("#")
    )


def parsed(source: str) -> tuple[str, frozenset[str]]:
    """What counts of a module's source, and what it names of this package.

    Raises
    ------
    SyntaxError
        For text that is no Python.
    """
    tree = ast.parse(source)
    return _statements(source, tree), frozenset(_named(tree))


@cache
def code_fingerprint(module: str, core: tuple[str, ...] | None = None, aside: frozenset[str] = frozenset()) -> str:
    """Digest of all code of this package that a method's results rest on.

    Parameters
    ----------
    module : str
        The method's module, such as "reproduce.imputers.knn".
    core : tuple of str, optional
        What a result rests on besides; `CORE` if not given.
    aside : frozenset of str, optional
        Modules that change no number, besides `NOT_NUMERIC`.

    Returns
    -------
    str
        12 hexadecimal digits.
    """

    def here(name: str) -> tuple[str, frozenset[str]] | None:
        path = _path(name)
        return None if path is None else parsed(path.read_text(encoding="utf-8"))

    return fingerprint_of(module, here, core, aside)


def fingerprint_of(
    module: str,
    modules: Callable[[str], tuple[str, frozenset[str]] | None],
    core: tuple[str, ...] | None = None,
    aside: frozenset[str] = frozenset(),
) -> str:
    """As `code_fingerprint`, of code that lies elsewhere, such as in an older commit.

    Parameters
    ----------
    module : str
        The method's module.
    modules : callable
        Gives for a name what `parsed` gives for that module's source; None if there is no such module.
    core, aside
        As there.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    seen: dict[str, str] = {}
    waiting = [module, *(CORE if core is None else core)]
    while waiting:
        name = waiting.pop()
        if name in seen or name in NOT_NUMERIC | aside or (found := modules(name)) is None:
            continue
        seen[name], imported = found
        waiting += imported
    return hashlib.sha256("\0".join(f"{name}\n{seen[name]}" for name in sorted(seen)).encode()).hexdigest()[:12]
