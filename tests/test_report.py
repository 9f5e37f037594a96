"""The report: whole or not at all, saying which data it shows, and opening without a network."""

import contextlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from reproduce import cli, report
from reproduce.errors import DataFormatError
from reproduce.guide import reference
from reproduce.report import RunInfo

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)
RUN = RunInfo("embedded", "The embedded cohort", False, "abc123", "quick", {"GTEx": 300, "LUAD": 100}, 65, "0.1.0")


def verdict(identifier: str, word: str, **other) -> dict:
    row = {
        "id": identifier, "claim": f"Claim {identifier} <holds>.", "source": "paper", "test": "PMI − MICE.",
        "data": "tiny", "quantity": "difference in R²", "decisive": "PMI − MICE", "effect": 0.05,
        "low": 0.02, "high": 0.08, "margin": 0.01,
        "n_splits": 10, "verdict": word, "reason": "the difference exceeds the margin",
    }  # fmt: skip
    return row | other


def write_findings(folder: Path, run: RunInfo = RUN, **verdict_values) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run.write(folder)
    rows = [
        verdict("H1", "supported"),
        verdict("H2", "refuted"),
        verdict("T1", "inconclusive", **verdict_values),
        verdict("C1", "not testable here", effect=None, low=None, high=None, n_splits=0, reason="no BRCA here"),
    ]
    pd.DataFrame(rows).to_csv(folder / "claims.csv", index=False)
    headline = pd.DataFrame(
        {
            "method": ["mice", "pmi", "mice", "pmi"],
            "label": ["MICE", "PMI", "MICE", "PMI"],
            "scenario": ["in_place", "in_place", "inductive", "inductive"],
            "ours": [0.61, 0.62, 0.7, 0.75],
            "ours_low": [0.6, 0.61, 0.69, 0.74],
            "ours_high": [0.62, 0.63, 0.71, None],
            "paper_genome": [None, 0.479, None, 0.707],
            "paper_alzheimer": [0.574, 0.536, 0.569, 0.63],
        }
    )
    headline.to_csv(folder / "headline.csv", index=False)
    return folder


def write_executed(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    text = "# Inductive imputation\n\n$$R^2 = 1 - \\frac{a}{b}$$\n\nas $x$."
    output = nbformat.v4.new_output("stream", name="stdout", text="printed by the run")
    notebook.cells = [
        nbformat.v4.new_markdown_cell(text),
        nbformat.v4.new_code_cell("n_splits: int = 1234", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            '# Parameters\nn_splits = 5678\nresults_folder = "/builder/r"\nfigures_folder = "/builder/f"\n',
            metadata={"tags": ["injected-parameters"]},
        ),
        nbformat.v4.new_code_cell("raise SystemExit('executed while rendering')", outputs=[output], execution_count=1),
    ]
    nbformat.write(notebook, folder / "03_inductive_imputation.ipynb")
    return folder


def write_figures(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "05_hypothesis_tests.png").write_bytes(PNG)
    return folder


LINKS = """# Changelog

See [the lock](requirements.lock), [the `results`
themselves](results/), [this notebook](notebooks/03_inductive_imputation.ipynb), [another](notebooks/09_x.ipynb),
[the section](#section), [this page](CHANGELOG.md#section) and [a paper](https://doi.org/x). `[code](README.md)`.

## Section

```
[block](README.md)
```
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    changes = folder / "CHANGELOG.md"
    changes.write_text(LINKS, encoding="utf-8")
    results, figures = write_findings(folder / "results"), write_figures(folder / "figures")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        index = report.render(
            write_executed(folder / "notebooks"),
            results,
            figures,
            folder / "html",
            {"changes": changes, **cli.DOCUMENTS},
        )
    assert said.getvalue() == "", "what Sphinx warns of"
    return folder, index


def test_first_page_says_which_data_the_claims_and_the_verdicts(pages):
    _, index = pages
    text = index.read_text(encoding="utf-8")
    assert "simulated data, not measurements" in text and "The embedded cohort" in text and "300 GTEx" in text
    assert "Claim H1 &lt;holds&gt;." in text
    for word in ("supported", "refuted", "inconclusive"):
        assert f'<span class="verdict {word}"' in text
    assert "0.750" in text and "0.707" in text and "10.3389/fgene.2021.624128" in text
    assert "05_hypothesis_tests.png" in text
    assert text.index("simulated data") < text.index("verdict supported") < text.index("0.707")
    assert "03_inductive_imputation.html" in text and "changes.html" in text


def test_notebooks_are_rendered_as_they_were_executed(pages):
    folder, _ = pages
    text = (folder / "html" / "03_inductive_imputation.html").read_text(encoding="utf-8")
    assert "printed by the run" in text
    assert "5678" in text and "1234" not in text, "the parameters in force, not the defaults"


def test_pages_show_no_folder_of_the_machine_that_built_them(pages):
    folder, _ = pages
    for page in (folder / "html").glob("*.html"):
        assert "/builder" not in page.read_text(encoding="utf-8"), page.name
    executed = (folder / "notebooks" / "03_inductive_imputation.ipynb").read_text(encoding="utf-8")
    assert "/builder/r" in executed, "what was executed is left alone"


def test_links_of_documents_lead_to_pages_or_are_words(pages):
    folder, _ = pages
    text = (folder / "html" / "changes.html").read_text(encoding="utf-8")
    article = re.search(r"<article.*?</article>", text, re.DOTALL)[0]
    links = re.findall(r'<a class="reference [^>]*href="([^"]*)"[^>]*>(.*?)</a>', article)
    shown = {re.sub("<[^>]+>", "", words): address for address, words in links}
    assert shown["this notebook"] == "03_inductive_imputation.html"
    assert shown["this page"].endswith("#section") and shown["the section"] == "#section"
    assert shown["a paper"] == "https://doi.org/x"
    assert len(shown) == 4
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", article))
    assert "See the lock, the results themselves, this notebook, another," in words
    assert "[code](README.md)" in words and "[block](README.md)" in words, "code is left alone"


def test_no_link_leads_nowhere(pages):
    """The project's own documents are among the pages."""
    html = pages[0] / "html"
    for page in html.glob("*.html"):
        addresses = re.findall(r'href="([^"]*)"', page.read_text(encoding="utf-8"))
        local = {re.split("[#?]", address)[0] for address in addresses if not re.match(r"[a-z]+:", address)}
        assert not [address for address in local if not (html / address).exists()], page.name


def test_the_guide_and_the_reference_are_among_the_pages(pages):
    """Every public imputer with its docstring, which Sphinx found nothing to warn of."""
    html = pages[0] / "html"
    assert "guide_choosing.html" in (html / "index.html").read_text(encoding="utf-8")
    text = (html / "reference_imputers.html").read_text(encoding="utf-8")
    for target in [*reference.estimators(), *reference.BASES, *reference.FUNCTIONS]:
        assert f'id="{target}"' in text, target
    assert "Median of each gene over the fitted rows of the same tissue." in text
    assert 'id="reproduce.matrices.filling.impute"' in (html / "reference_matrices.html").read_text(encoding="utf-8")


def test_what_sphinx_warns_of_fails_the_build(tmp_path):
    document = tmp_path / "a.md"
    document.write_text("# A\n\nSee [nothing](#no-such-section).\n", encoding="utf-8")
    folders = write_findings(tmp_path / "results"), write_figures(tmp_path / "f"), tmp_path / "html"
    with pytest.raises(RuntimeError, match="no-such-section"):
        report.render(write_executed(tmp_path / "n"), *folders, {"a": document})
    assert not (tmp_path / "html").exists()


def test_pages_need_no_network(pages):
    folder, _ = pages
    assert report.remote_resources(folder / "html") == []
    text = (folder / "html" / "03_inductive_imputation.html").read_text(encoding="utf-8")
    assert "_static/tex-svg.js" in text and (folder / "html" / "_static" / "tex-svg.js").stat().st_size > 1_000_000


def test_nothing_temporary_is_left(pages):
    folder, _ = pages
    assert sorted(path.name for path in folder.iterdir()) == ["CHANGELOG.md", "figures", "html", "notebooks", "results"]


@pytest.mark.parametrize(
    ("page", "remote"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', True),
        ('<img srcset="a.png 1x, https://x.example/b.png 2x">', True),
        ('<a href="https://doi.org/x">paper</a><link rel="canonical" href="https://x.example">', False),
        ('<script src="_static/x.js"></script><img src="data:image/png;base64,AA">', False),
    ],
)
def test_what_a_page_would_fetch(tmp_path, page, remote):
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    assert bool(report.remote_resources(tmp_path)) is remote


def test_what_a_style_sheet_would_fetch(tmp_path):
    (tmp_path / "a.css").write_text(
        '/* url(http://not.example) */ @import "https://x.example/a.css";', encoding="utf-8"
    )
    assert report.remote_resources(tmp_path) == ["a.css: https://x.example/a.css"]
    (tmp_path / "a.css").write_text("p { src: url('../fonts/a.woff2') }", encoding="utf-8")
    assert report.remote_resources(tmp_path) == []


@pytest.mark.parametrize("absent", ["claims.csv", "headline.csv", "run.json"])
def test_a_missing_table_is_an_error_and_leaves_older_pages_alone(tmp_path, absent):
    results = write_findings(tmp_path / "results")
    (results / absent).unlink()
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("older")
    with pytest.raises(DataFormatError, match=absent):
        report.render(write_executed(tmp_path / "n"), results, write_figures(tmp_path / "f"), tmp_path / "html")
    assert (tmp_path / "html" / "index.html").read_text() == "older"


def test_a_missing_figure_or_notebook_is_an_error(tmp_path):
    results, figures = write_findings(tmp_path / "results"), write_figures(tmp_path / "f")
    with pytest.raises(DataFormatError, match="no executed notebook"):
        report.render(tmp_path / "none", results, figures, tmp_path / "html")
    with pytest.raises(DataFormatError, match="05_hypothesis_tests"):
        report.render(write_executed(tmp_path / "n"), results, tmp_path / "none", tmp_path / "html")


def test_a_table_without_a_column_or_row_is_an_error(tmp_path):
    results = write_findings(tmp_path)
    table = pd.read_csv(results / "claims.csv")
    table.drop(columns="effect").to_csv(results / "claims.csv", index=False)
    with pytest.raises(DataFormatError, match="lacks the columns effect"):
        report.read_findings(results)
    table.head(0).to_csv(results / "claims.csv", index=False)
    with pytest.raises(DataFormatError, match="no row"):
        report.read_findings(results)
    (results / "claims.csv").write_text("")
    with pytest.raises(DataFormatError, match="not a table"):
        report.read_findings(results)


def test_run_description_goes_through_its_file_and_refuses_another(tmp_path):
    RUN.write(tmp_path)
    assert RunInfo.read(tmp_path) == RUN
    (tmp_path / "run.json").write_text(json.dumps({"data": "x", "more": 1}))
    with pytest.raises(DataFormatError, match="not a run's description"):
        RunInfo.read(tmp_path)


def test_real_data_are_called_real_and_few_splits_are_said(tmp_path):
    real = RunInfo("student-p53", "Real p53 cohorts", True, "f", "full", {"GTEx": 984}, 64, "0.1.0")
    findings = report.read_findings(write_findings(tmp_path, real, n_splits=2))
    page = report.first_page(findings, "f.svg", ["01_a"], [])
    assert "These pages show real data" in page and "simulated" not in page
    assert "as few as 2 splits" in page
    findings = report.read_findings(write_findings(tmp_path, real))
    page = report.first_page(findings, "f.svg", ["01_a"], [])
    assert "as few as" not in page and "Short training" not in page


@pytest.mark.parametrize("preset", ["quick", "smoke", "mine"])
def test_short_training_is_said_beside_the_verdicts(tmp_path, preset):
    findings = report.read_findings(write_findings(tmp_path, replace(RUN, preset=preset)))
    page = report.first_page(findings, "f.svg", ["01_a"], [])
    assert f"Short training: preset `{preset}`" in page and "fewer epochs than in the study" in page


def test_first_page_discloses_how_the_networks_settings_were_chosen(tmp_path):
    page = report.first_page(report.read_findings(write_findings(tmp_path)), "f.svg", ["01_a"], [])
    claim = page.index("was written down with its direction")
    assert (
        claim < page.index("chosen by looking at scores on the same real data") < page.index("## Claims and verdicts")
    )
    assert "conservative" in page and "optimistic" in page
