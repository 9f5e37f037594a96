"""Writes into README.md, DEVIATIONS.md and data/README.md what comes from committed tables; never computes a score.

Such a part stands between two marks, and only it changes. Whatever a document says in numbers is written this way, so
that it follows the tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reproduce import claims
from reproduce.benchmarks import PARTS as MEASURED_PARTS
from reproduce.benchmarks.shown import NOT_MEASURED, full_rows, say_machines, say_misses, say_ratios, show_benchmarks
from reproduce.benchmarks.table import read_benchmarks
from reproduce.errors import ConfigError, DataFormatError
from reproduce.files import write_text
from reproduce.imputers.advice import COLUMNS as ADVICE_COLUMNS
from reproduce.imputers.advice import FILE as ADVICE_FILE
from reproduce.report import HEADLINE_FIGURE, read_findings
from reproduce.tables import ablation_tables, effects, frontier_tables, summaries
from reproduce.tables.companion_findings import companion_findings

PARTS = ("02_in_place_imputation", "03_inductive_imputation", "04_transfer_to_tumours")
SCALES = "03_inductive_imputation-scales"
SETTINGS = "03_inductive_imputation-settings"
BEYOND = "14_beyond_the_paper"
SIMULATED = "embedded"  # subfolder of results/: the same run on the embedded cohort


@dataclass(frozen=True)
class Part:
    """A part of a document: its name stands in the marks, `text` makes it from the results and the figures folder."""

    document: str
    name: str
    text: Callable[[Path, Path, Path], str]

    @property
    def begin(self) -> str:
        """The line before."""
        return f"<!-- {self.name}: written by `reproduce readme`, do not edit by hand -->"

    @property
    def end(self) -> str:
        """The line after."""
        return f"<!-- end of {self.name} -->"


def write_documents(root: Path, results: Path, figures: Path) -> list[Path]:
    """Write every part of every document again, and the package's copy of the advice.

    Parameters
    ----------
    root : Path
        Folder of the documents.
    results, figures : Path
        Of the full run on the real data; ``results/embedded`` holds the same run on the embedded cohort.

    Returns
    -------
    list of Path
        The documents.

    Raises
    ------
    ConfigError
        A document lacks a part's marks, or has them in another order or number.
    DataFormatError
        A table is absent.
    """
    texts = {part.document: _existing(root / part.document).read_text(encoding="utf-8") for part in DOCUMENT_PARTS}
    for part in DOCUMENT_PARTS:
        path = root / part.document
        texts[part.document] = replace_part(texts[part.document], part, part.text(results, figures, path), path)
    advised = _table(results, f"{BEYOND}-advice")[list(ADVICE_COLUMNS)]
    copy = root / "reproduce" / "imputers" / "presets" / ADVICE_FILE
    copy.parent.mkdir(parents=True, exist_ok=True)
    write_text(copy, advised.to_csv(index=False))
    return [*(write_text(root / name, text) for name, text in texts.items()), copy]


def replace_part(text: str, part: Part, shown: str, path: Path) -> str:
    """`text` with `shown` between the marks of `part`; `path` is named if they are not there."""
    if text.count(part.begin) != 1 or text.count(part.end) != 1 or text.index(part.begin) > text.index(part.end):
        raise ConfigError(f"{path}: must hold once, in this order, the lines\n{part.begin}\n{part.end}")
    before, rest = text.split(part.begin)
    after = rest.split(part.end)[1]
    return f"{before}{part.begin}\n\n{shown}\n\n{part.end}{after}"


def headline(results: Path, figures: Path, document: Path) -> str:
    """README's results: which data, the claims with verdicts, the headline table and figure."""
    findings = read_findings(results)
    run = findings.run
    kind = "Real data" if run.is_real else "Simulated data, not measurements"
    table = claims.show_claims(findings.claims)[["id", "claim", "verdict", "effect [95 %]"]]
    tests = claims.show_tests(findings.claims)
    table["what the effect is"] = tests["effect, and what it must exceed"]
    table["data"] = tests["data"]
    return "\n\n".join(
        [
            f"{kind}: {run.title}; {run.n_genes} genes, preset `{run.preset}`.",
            f"{claims.say_claims(findings.claims)} Tests, reasons and data: [the claims](notebooks/16_claims.ipynb).",
            markdown_table(table),
            "R² at 50 % missing, ours (mean over donor splits ± half of its 95 % interval) beside the paper's "
            "(other genes, 49 tissues: compare the order of methods, not the values):",
            markdown_table(summaries.show_headline(findings.headline)),
            figure_link(figures / f"{HEADLINE_FIGURE}.png", document, "R² of each method, ours beside the paper's"),
        ]
    )


def advice(results: Path, figures: Path, document: Path) -> str:
    """Which method to use, from the scores against cost."""
    frontier, advised = _table(results, BEYOND), _table(results, f"{BEYOND}-advice")
    return "\n\n".join(
        [
            frontier_tables.say_frontier(frontier),
            markdown_table(frontier_tables.show_advice(advised)),
            figure_link(figures / f"{BEYOND}.png", document, "R² of every method against its cost"),
        ]
    )


def measured_effects(results: Path, figures: Path, document: Path) -> str:
    """What single decisions are worth."""
    rows = pd.concat([_trials(results, part) for part in ("02_in_place_imputation", "03_inductive_imputation")])
    scales = _trials(results, SCALES)
    rows = pd.concat([rows, scales[scales["transform"] != "log1p"]])  # its log1p trials are the notebook's own
    rows = pd.concat([rows.assign(settings=effects.OWN), _trials(results, SETTINGS).assign(settings=effects.STUDENT)])
    return markdown_table(effects.show_effects(effects.effect_table(rows)))


def ablations(results: Path, figures: Path, document: Path) -> str:
    """What moving one setting at a time is worth."""
    return markdown_table(ablation_tables.show_ablations(_table(results, "06_ablations")))


def companions(results: Path, figures: Path, document: Path) -> str:
    """What the companion studies found."""
    return markdown_table(companion_findings(results))


def simulation(results: Path, figures: Path, document: Path) -> str:
    """The embedded cohort beside the real one."""
    both = [pd.concat([_table(folder, part) for part in PARTS]) for folder in (results, results / SIMULATED)]
    return markdown_table(effects.show_simulation(effects.simulation_beside_real(*both)))


def benchmarks(results: Path, figures: Path, document: Path) -> str:
    """How fast the methods are, from the full benchmark's table, where there is one."""
    table, machines = read_benchmarks(results)
    if full_rows(table).empty:
        return NOT_MEASURED
    again = (
        "`.venv/bin/reproduce bench --largest --results results`, then `make readme`, measures and writes it again; "
        "without `--largest` the row of the largest file stays as it is."
    )
    said = [say_ratios(table), say_misses(table), say_machines(table, machines, list(MEASURED_PARTS)), again]
    return "\n\n".join([markdown_table(show_benchmarks(table)), " ".join(filter(None, said))])


DOCUMENT_PARTS = (
    Part("README.md", "results", headline),
    Part("README.md", "advice", advice),
    Part("README.md", "benchmarks", benchmarks),
    Part("README.md", "companions", companions),
    Part("DEVIATIONS.md", "measured effects", measured_effects),
    Part("DEVIATIONS.md", "ablations", ablations),
    Part("data/README.md", "embedded beside real", simulation),
)


def markdown_table(table: pd.DataFrame) -> str:
    """A table of text as Markdown."""

    def line(values: Iterable[Any]) -> str:
        return "| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |"

    rows = [line(row) for row in table.itertuples(index=False)]
    return "\n".join([line(table.columns), line("---" for _ in table.columns), *rows])


def figure_link(figure: Path, document: Path, shows: str) -> str:
    """A figure in Markdown, from where the document lies; `shows` is for those who do not see it."""
    return f"![{shows}]({Path(os.path.relpath(_existing(figure), document.parent)).as_posix()})"


def _trials(results: Path, part: str) -> pd.DataFrame:
    return pd.read_parquet(_existing(results / f"{part}.parquet"))


def _table(results: Path, part: str) -> pd.DataFrame:
    return pd.read_csv(_existing(results / f"{part}.csv"))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataFormatError(f"{path}: no such file. It comes from a run: `reproduce report`, or from the repository.")
    return path
