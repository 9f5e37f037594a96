"""Writes the report's user guide and API reference from prose, tables and docstrings; never imputes.

Prose is in ``pages/``. ``{{name}}`` there stands for what is read from the code or from a table, so that no number is
typed and none goes stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from importlib import resources
from pathlib import Path

from reproduce.files import write_text

#: Pages of prose, in the order of the table of contents.
PAGES = ("guide_choosing", "guide_files", "guide_models", "guide_large", "guide_adding")
_BLANK = re.compile(r"\{\{(\w+)\}\}")
#: A link to a notebook, relative to the report's pages.
_TO_NOTEBOOK = re.compile(r"\[([^\]]*)\]\((\d\d_\w+)\.ipynb\)")


def write_guide(site: Path, results: Path, notebooks: Collection[str]) -> list[str]:
    """Write the guide's and the reference's pages as MyST Markdown.

    Parameters
    ----------
    site : Path
        Folder of the pages.
    results : Path
        Tables of the run that is reported; what it has not made is said to be not there.
    notebooks : collection of str
        Names of the notebooks that are among the pages: links to others become words.

    Returns
    -------
    list of str
        Names of the pages, without their endings, in their order.
    """
    from reproduce.guide import reference

    parts = parts_of(results)
    for name in PAGES:
        text = resources.files("reproduce.guide").joinpath("pages", f"{name}.md").read_text(encoding="utf-8")
        write_text(site / f"{name}.md", _linked(filled(text, parts), notebooks))
    pages = reference.pages()
    for name, text in pages.items():
        write_text(site / f"{name}.md", text)
    return [*PAGES, *pages]


def filled(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Prose with every ``{{name}}`` replaced by what `parts` makes of it; KeyError for one that is unknown."""
    return _BLANK.sub(lambda match: parts[match[1]](), text)


def parts_of(results: Path) -> dict[str, Callable[[], str]]:
    """What may stand in the prose, by name."""
    from reproduce.guide import choosing, contract, inputs

    return {**choosing.parts(results), **inputs.parts(), **contract.parts()}


def _linked(text: str, notebooks: Collection[str]) -> str:
    return _TO_NOTEBOOK.sub(lambda match: match[0] if match[2] in notebooks else match[1], text)
