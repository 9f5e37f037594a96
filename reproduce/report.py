"""Renders executed notebooks, their tables and the documents as pages; runs no method and computes no score.

The pages open from a disk without a network. The first one is written from ``verdicts.csv``, ``headline.csv`` and
``run.json`` of the results folder: where one is missing, there is no report.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from html.parser import HTMLParser
from importlib import metadata
from itertools import groupby
from pathlib import Path

import pandas as pd

from reproduce import claims
from reproduce.errors import DataFormatError
from reproduce.files import write_json, write_text
from reproduce.guide import write_guide
from reproduce.hypotheses import HYPOTHESES
from reproduce.tables import summaries

SITE = Path(__file__).parent / "report_site"
PAPER = (
    "Viñas R, Azevedo T, Gamazon ER, Liò P. *Deep Learning Enables Fast and Accurate Imputation of Gene Expression.* "
    "Front. Genet. 2021;12:624128, [doi 10.3389/fgene.2021.624128](https://doi.org/10.3389/fgene.2021.624128)"
)
HEADLINE_FIGURE = "05_hypothesis_tests"
CLAIMS_NOTEBOOK = "16_claims"
HEADLINE_COLUMNS = ("method", "label", "scenario", "ours", "ours_low", "ours_high", "paper_genome", "paper_alzheimer")
HYPOTHESIS_IDS = tuple(hypothesis.id for hypothesis in HYPOTHESES)
TOO_FEW = 10  # splits; below, the first page says aloud that it concludes nothing
STUDY_PRESET = "full"  # the one that trains the networks as long as the study did
# In a document: a block or span of code, left alone, or a link that is not an image, as [text](target).
CODE_OR_LINK = re.compile(
    r"(?ms)^```.*?^```|(?P<link>(?<!!)\[(?P<text>(?:`[^`]*`|[^\[\]`])*)\]\((?P<target>[^()\s]+)\))|`+[^`]*`+"
)
FOLDER_PARAMETER = re.compile(r"^\w+_folder = .*\n?", re.MULTILINE)


@dataclass(frozen=True)
class RunInfo:
    """What a results folder shows: written by the run, read by the report, ``run.json``.

    Attributes
    ----------
    data, title : str
        The study's name and its title for readers.
    is_real : bool
        False for the simulated cohort.
    fingerprint : str
        Of the data.
    preset : str
        Budget of the run.
    n_samples : mapping of str to int
        Samples of each cohort.
    n_genes : int
    version : str
        Of this package.
    """

    data: str
    title: str
    is_real: bool
    fingerprint: str
    preset: str
    n_samples: Mapping[str, int]
    n_genes: int
    version: str

    def write(self, results: Path) -> Path:
        """Write ``run.json`` into the results folder."""
        return write_json(results / "run.json", asdict(self))

    @classmethod
    def read(cls, results: Path) -> RunInfo:
        """Read ``run.json`` of a results folder."""
        path = results / "run.json"
        text = _existing(path).read_text(encoding="utf-8")
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise DataFormatError(f"{path}: not a run's description ({error}). Run `reproduce run` again.") from error


@dataclass(frozen=True)
class Findings:
    """The tables that the first page and README show."""

    run: RunInfo
    claims: pd.DataFrame
    headline: pd.DataFrame


def read_findings(results: Path) -> Findings:
    """Read what a run concluded.

    Raises
    ------
    DataFormatError
        A table is missing, empty or lacks a column; the message says which and how it comes about.
    """
    table = _read_table(results / "claims.csv", claims.COLUMNS, CLAIMS_NOTEBOOK)
    headline = _read_table(results / "headline.csv", HEADLINE_COLUMNS, HEADLINE_FIGURE)
    words = ["data", "reason", "decisive"]
    table[words] = table[words].fillna("")
    return Findings(RunInfo.read(results), table, headline)


# --- the first page ---


def first_page(
    findings: Findings, figure: str, notebooks: Sequence[str], documents: Sequence[str], guide: Sequence[str] = ()
) -> str:
    """The report's first page as MyST Markdown.

    Parameters
    ----------
    findings : Findings
    figure : str
        The figure to remember: its path relative to the page.
    notebooks, documents, guide : sequence of str
        Pages of the table of contents, without their endings.
    """
    run = findings.run
    parts = [
        "# Deep imputation of gene expression, reproduced",
        _data_box(run),
        f"This report runs again what this paper claims: {PAPER}. It proposes two neural imputers, **PMI** and "
        "**GAIN-GTEx**, and reports that they fill missing expression values better than nearest neighbours, medians "
        "and chained equations. Each claim was written down with its direction and the smallest difference that "
        "matters before it was tested; donors, not samples, are kept apart between fitting and scoring. The networks' "
        "default settings (batch size, dropout, GAIN's noise), however, were chosen by looking at scores on the same "
        "real data: a verdict *refuted* against a network is conservative, and *supported* for one is optimistic.",
        "## Claims and verdicts",
        claims.say_claims(findings.claims) + _where_tests_stand(notebooks),
        claim_table(findings.claims),
        _caveat(findings),
        "## Ours beside the paper's",
        headline_table(findings.headline),
        "R² over hidden entries at 50 % missing (1 is perfect, 0 the gene's mean); ours as mean over "
        "donor splits ± half of its 95 % interval. The paper's columns are for other genes and 49 tissues: compare the "
        "order of methods rather than the values.",
        "## The figure to remember",
        f'<img class="figure" src="{figure}" alt="R² of each method, ours beside the paper\'s">',
        "## Read on",
        _contents("The study", notebooks),
        _contents("On your own data", guide),
        _contents("About", documents),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _data_box(run: RunInfo) -> str:
    by_size = sorted(run.n_samples.items(), key=lambda pair: -pair[1])
    samples = ", ".join(f"{count} {name}" for name, count in by_size)
    kind = "real data" if run.is_real else "simulated data, not measurements"
    remedy = "" if run.is_real else " For real data see the README: `reproduce download`, then `make report` again."
    return (
        f":::{{container}} data-shown{'' if run.is_real else ' simulated'}\n"
        f"**These pages show {kind}:** {run.title}. Samples: {samples}; {run.n_genes} genes. "
        f"Preset `{run.preset}`, data fingerprint `{run.fingerprint}`, version {run.version}.{remedy}\n:::"
    )


def _caveat(findings: Findings) -> str:
    """What keeps this run from concluding, or from concluding about networks; empty for a whole run."""
    preset = findings.run.preset
    fewest = int(findings.claims.loc[findings.claims["id"].isin(HYPOTHESIS_IDS), "n_splits"].min())
    notes = []
    if preset != STUDY_PRESET:
        notes.append(
            f"Short training: preset `{preset}`. The networks were trained for fewer epochs than in the study (preset "
            f"`{STUDY_PRESET}`; `notebooks/presets/` says how many): what the verdicts say of them may change with it."
        )
    if fewest < TOO_FEW:
        notes.append(
            f"This run has as few as {fewest} split{'s' * (fewest != 1)} for a hypothesis; "
            f"verdicts need {TOO_FEW}. It shows that everything runs and concludes nothing."
        )
    return "\n\n".join(f":::{{note}}\n{note}\n:::" for note in notes)


def _contents(caption: str, pages: Sequence[str]) -> str:
    return "\n".join([":::{toctree}", f":caption: {caption}", ":maxdepth: 1", "", *pages, ":::"]) if pages else ""


def _where_tests_stand(notebooks: Sequence[str]) -> str:
    if CLAIMS_NOTEBOOK not in notebooks:
        return ""
    return f" What each test is, and on which data, stands in [the notebook of the claims]({CLAIMS_NOTEBOOK}.ipynb)."


def claim_table(table: pd.DataFrame) -> str:
    """The claims with their verdicts as an HTML table: word and colour, and in small print what stands behind them."""
    shown = claims.show_claims(table).join(claims.show_tests(table).drop(columns="id"))
    rows = []
    for values in shown.astype(str).to_dict("records"):
        values = {name: escape(value) for name, value in values.items()}
        word, why = values["verdict"], values["why"]
        verdict = f'<span class="verdict {word.replace(" ", "-")}" title="{why}">{word}</span>'
        known = values["effect [95 %]"] != "–"
        needed = f"{values['decisive']}: {values['effect, and what it must exceed']}; {_splits(values['splits'])}"
        behind = f"{needed}. {values['data']}" if known else ""
        rows.append(
            [
                values["id"],
                f"{values['claim']}{_small(values['stated in'])}",
                verdict + ("" if known else _small(why)),
                f"{values['effect [95 %]']}{_small(behind)}",
            ]
        )
    return _html_table(["id", "claim", "verdict", "effect [95 %]"], rows, "verdicts")


def _splits(number: str) -> str:
    return f"{number} split{'' if number == '1' else 's'}"


def _small(text: str) -> str:
    return f"<br><small>{text}</small>" if text else ""


def headline_table(headline: pd.DataFrame) -> str:
    """Ours beside the paper's as an HTML table, the scenarios grouped over their columns."""
    shown = summaries.show_headline(headline).astype(str)
    rows = [[escape(value) for value in row] for row in shown.itertuples(index=False)]
    return _html_table(list(shown.columns), rows, "headline")


def _html_table(columns: Iterable[str], rows: Iterable[Sequence[str]], name: str) -> str:
    """A table; columns named "group: column" stand under one heading for each group."""
    columns = list(columns)
    split = [column.split(": ", 1) if ": " in column else ["", column] for column in columns]
    head = "<tr>" + "".join(f"<th>{escape(column)}</th>" for _, column in split) + "</tr>"
    if any(group for group, _ in split):
        spans = [(group, len(list(members))) for group, members in groupby(split, key=lambda pair: pair[0])]
        head = "<tr>" + "".join(f'<th colspan="{n}">{escape(group)}</th>' for group, n in spans) + "</tr>\n" + head
    body = "\n".join("<tr>" + "".join(f"<td>{value}</td>" for value in row) + "</tr>" for row in rows)
    return f'<table class="{name}">\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


# --- the pages ---


def render(
    executed: Path, results: Path, figures: Path, html: Path, documents: Mapping[str, Path] | None = None
) -> Path:
    """Render executed notebooks, the first page and some documents into a folder of pages.

    The folder appears, or takes the place of an older one, only when the pages are whole and need no network.

    Parameters
    ----------
    executed : Path
        Folder of executed notebooks.
    results, figures : Path
        Folders that those notebooks wrote to.
    html : Path
        Where the pages go.
    documents : mapping of str to Path, optional
        Further Markdown pages by their names, such as "changelog": CHANGELOG.md; all must exist.

    Returns
    -------
    Path
        ``index.html``.

    Raises
    ------
    DataFormatError
        Something to be rendered is missing.
    RuntimeError
        The pages could not be built, or would fetch something from a network.
    """
    findings = read_findings(results)
    notebooks = sorted(executed.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise DataFormatError(f"{executed}: no executed notebook. Run `reproduce report` without --render-only.")
    site = html.with_name("site")
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(SITE, site, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(mathjax(), site / "_static")
    figure = next((p for p in (figures / f"{HEADLINE_FIGURE}.{kind}" for kind in ("svg", "png")) if p.is_file()), None)
    if figure is None:
        raise DataFormatError(f"{figures}: no {HEADLINE_FIGURE}.svg or .png. Run `reproduce run --force --only 05`.")
    shutil.copy(figure, site / "_static")
    for notebook in notebooks:
        _copy_notebook(notebook, site / notebook.name)
    _copy_documents(documents or {}, notebooks, site)
    names = [path.stem for path in notebooks]
    guide = write_guide(site, results, names)
    index = first_page(findings, f"_static/{figure.name}", names, list(documents or {}), guide)
    write_text(site / "index.md", index)
    fresh = site / "_build" / "html"  # inside, since myst-nb writes a folder beside the pages
    _build(site, fresh)
    if remote := remote_resources(fresh):
        raise RuntimeError("the pages would need a network for " + "; ".join(remote))
    shutil.rmtree(html, ignore_errors=True)
    os.replace(fresh, html)
    shutil.rmtree(site)
    return html / "index.html"


def _copy_notebook(source: Path, target: Path) -> None:
    """Copy for rendering: the parameters in force are folded away, the defaults that they replaced are left out.

    So are the folders: they are of the machine that ran it, and no reader of the pages has them.
    """
    notebook = json.loads(source.read_text(encoding="utf-8"))
    tags = [set(cell["metadata"].get("tags", [])) for cell in notebook["cells"]]
    injected = any("injected-parameters" in found for found in tags)
    for cell, found in zip(notebook["cells"], tags, strict=True):
        if "parameters" in found and injected:
            found.add("remove-cell")
        elif "injected-parameters" in found:
            found.add("hide-input")
            cell["source"] = FOLDER_PARAMETER.sub("", "".join(cell["source"]))
        elif "parameters" in found:
            found.add("hide-input")
        cell["metadata"]["tags"] = sorted(found)
    write_text(target, json.dumps(notebook, ensure_ascii=False))


def _copy_documents(documents: Mapping[str, Path], notebooks: Iterable[Path], site: Path) -> None:
    """Copy for rendering: links among what is rendered lead to its pages, others into the repository become words."""
    pages = {_existing(document).resolve(): f"{name}.md" for name, document in documents.items()}
    executed = {notebook.name for notebook in notebooks}

    def page(target: str, document: Path) -> str | None:
        if re.match(r"[a-z]+:|#", target):  # elsewhere, or within the document
            return target
        path, mark, anchor = target.partition("#")
        linked = (document.parent / path).resolve()
        found = linked.name if linked.name in executed else pages.get(linked)
        return found and found + mark + anchor

    for document, name in pages.items():

        def redirect(match: re.Match[str], document: Path = document) -> str:
            if match["link"] is None:
                return match[0]
            found = page(match["target"], document)
            return match["text"] if found is None else f"[{match['text']}]({found})"

        write_text(site / name, CODE_OR_LINK.sub(redirect, document.read_text(encoding="utf-8")))


def mathjax() -> Path:
    """MathJax in one file, as the package sphinx-mathjax-offline brings it."""
    files = metadata.files("sphinx-mathjax-offline") or []
    for file in files:
        if file.name == "tex-svg.js":
            return Path(file.locate())
    raise RuntimeError("sphinx-mathjax-offline holds no tex-svg.js; install the versions of requirements.lock.")


def _build(site: Path, html: Path) -> None:
    """Run Sphinx in a process of its own: it changes global state, and its doctrees are of no use afterwards.

    A warning, such as of a link that leads nowhere, fails the build, after all of them have been told. The reference is
    taken from the docstrings of this very package, wherever it is run from.
    """
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-j", "auto", "-W", "--keep-going"]
    command += ["-d", str(site / "_build" / "trees")]
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [*command, str(site), str(html)], capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"Sphinx failed with exit status {done.returncode}:\n{done.stderr[-4000:]}")
    if done.stderr.strip():
        print(done.stderr.strip(), file=sys.stderr)


class _Resources(HTMLParser):
    """Collects what a browser fetches by itself on opening a page; hyperlinks are not among it."""

    FETCHED = frozenset({"stylesheet", "preload", "modulepreload", "icon", "prefetch", "preconnect", "dns-prefetch"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and self.FETCHED & set(given.get("rel", "").lower().split()):
            self.found.append(given.get("href", ""))
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed", "input"}:
            self.found.append(given.get("src", ""))
            self.found += [part.split()[0] for part in given.get("srcset", "").split(",") if part.split()]
        if tag == "object":
            self.found.append(given.get("data", ""))


def remote_resources(html: Path) -> list[str]:
    """What the pages and their style sheets would fetch from a network on being opened: "page: address"."""
    found = []
    for page in sorted(html.rglob("*.html")):
        parser = _Resources()
        parser.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.name}: {address}" for address in parser.found if _is_remote(address)]
    for sheet in sorted(html.rglob("*.css")):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        addresses = re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
        found += [f"{sheet.name}: {address}" for address in addresses if _is_remote(address)]
    return found


def _is_remote(address: str) -> bool:
    return bool(re.match(r"\s*(https?:)?//", address, re.IGNORECASE))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataFormatError(f"{path}: no such file. It comes from a run: `reproduce report`, or from the repository.")
    return path


def _read_table(path: Path, columns: Sequence[str], notebook: str) -> pd.DataFrame:
    remedy = f"Run `reproduce run --force --only {notebook[:2]}`."
    try:
        table = pd.read_csv(_existing(path))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path}: not a table ({error}). {remedy}") from error
    if absent := [name for name in columns if name not in table]:
        raise DataFormatError(f"{path}: lacks the columns {', '.join(absent)}. {remedy}")
    if table.empty:
        raise DataFormatError(f"{path}: holds no row. {remedy}")
    return table
