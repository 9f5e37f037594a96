"""Writes the one page about a filled matrix: holes, accuracy, intervals, settings; never imputes and never scores.

The page is one file: figures are in it, it needs neither a network nor scripts.
"""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import metadata, resources
from string import Template
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import reproduce
from reproduce.imputers.costs import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reproduce.matrices.evaluation import HeldOut

TEMPLATE = "one_page.html"
#: Cells of the map of holes, at most (samples, genes).
MAP_CELLS = (240, 480)
#: Genes in the tables of the best and the worst, and hidden entries that a gene needs to be in them.
TABLE_GENES, TABLE_ENTRIES = 10, 5
#: Differences of coverage that do not matter.
TOLERANCE = 0.05
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn")


@dataclass(frozen=True)
class PageContent:
    """What the page is about.

    Attributes
    ----------
    source, written : str
        Names of the files, without folders.
    values : DataFrame (n_samples, n_genes)
        As they came, NaN where missing.
    method, reason : str
        The method's label and why it was used.
    settings : mapping of str to object
        In the order in which they are to be shown.
    notes : tuple of str
    held_out : HeldOut or None
    not_measured : str
        Why there is no held-out accuracy; "" where there is.
    seconds : float
        To fit and fill.
    peak_gigabytes : float
    seen : str
        What a model that filled the matrix may have seen of the hidden entries; "" where the method was fitted to it.
    """

    source: str
    written: str
    values: pd.DataFrame
    method: str
    reason: str
    settings: Mapping[str, object]
    notes: tuple[str, ...]
    held_out: HeldOut | None
    not_measured: str
    seconds: float
    peak_gigabytes: float
    seen: str = ""


def page_of(content: PageContent) -> str:
    """The page as HTML."""
    template = Template(resources.files("reproduce.report_site").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    sections = [_head(content), _holes(content), _accuracy(content), _intervals(content), _how(content)]
    return template.substitute(title=escape(f"{content.written}: filled holes"), body="\n".join(sections))


# --- sections ---


def _head(content: PageContent) -> str:
    missing = float(np.isnan(content.values.to_numpy()).mean())
    numbers = [
        ("samples", f"{len(content.values):,}"),
        ("genes", f"{content.values.shape[1]:,}"),
        ("missing", f"{missing:.1%}"),
    ]
    if content.held_out is not None:
        numbers.append(("R² of hidden entries", f"{content.held_out.r2:.2f}"))
    numbers.append(("to fit and fill", duration(content.seconds) if content.seconds >= 1 else "< 1 s"))
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in numbers)
    return (
        f"<h1>{escape(content.written)}</h1>\n"
        f'<p class="lead">The holes of {escape(content.source)}, filled by {escape(content.method)}: '
        f"{escape(content.reason)}.</p>\n"
        f'<dl class="numbers">{cells}</dl>\n{_list(content.notes)}'
    )


def _holes(content: PageContent) -> str:
    missing = np.isnan(content.values.to_numpy())
    by_sample = pd.Series(missing.mean(axis=1), index=content.values.index, name="missing")
    by_gene = pd.Series(missing.mean(axis=0), index=content.values.columns, name="missing")
    from reproduce.plots import matrix_plots, new_figure

    figure, ax = new_figure(width=9.6, height=3.4)
    matrix_plots.missing_map(coarse(missing, MAP_CELLS), missing.shape, ax)
    parts = ["<h2>What was missing</h2>", _image(figure, "Map of the missing entries, samples by genes")]
    figure, axes = new_figure(2, width=4.8, height=2.4)
    matrix_plots.missing_histogram(by_sample.to_numpy(), "sample", axes[0])
    matrix_plots.missing_histogram(by_gene.to_numpy(), "gene", axes[1])
    parts.append(_image(figure, "How many samples and genes miss which part of their entries"))
    tables = [_most_missing(by_sample, "sample"), _most_missing(by_gene, "gene")]
    if any(tables):
        parts.append(f'<div class="pair">{"".join(tables)}</div>')
    return "\n".join(parts)


def _accuracy(content: PageContent) -> str:
    result = content.held_out
    if result is None:
        return f"<h2>How accurate it is</h2>\n<p>Not measured: {escape(content.not_measured)}</p>"
    from reproduce.plots import matrix_plots, new_figure

    n_genes = int(result.genes["r2"].notna().sum())
    how = "the same model filled them from" if content.seen else "the same method with the same settings was fitted to"
    text = (
        f"<p>{len(result.truth):,} known entries ({result.rate:.0%} of them, drawn at random) were hidden, and "
        f"{how} what remained. It explains "
        f"<b>{max(result.r2, 0):.0%}</b> of their variance around each gene's mean (R² {result.r2:.3f}); half of the "
        f"genes are above {result.median_gene_r2:.2f}. The root mean squared error is {result.rmse:.3f} on the log "
        "scale. R² is 1 for the truth, 0 for filling in each gene's mean, and negative for worse.</p>"
    )
    figure, axes = new_figure(2, width=4.6, height=3.6)
    matrix_plots.held_out_scatter(result.truth, result.imputed, axes[0])
    parts = ["<h2>How accurate it is</h2>", text]
    if content.seen:
        parts.append(f"<p><b>{escape(content.seen)}</b></p>")
    if n_genes:
        matrix_plots.gene_r2_histogram(result.genes["r2"], axes[1])
    else:
        axes[1].set_axis_off()
    parts.append(_image(figure, "Hidden entries against what was filled in, and R² of genes"))
    ranked = result.genes[result.genes["n_hidden"] >= TABLE_ENTRIES].dropna(subset=["r2"]).sort_values("r2")
    if len(ranked) >= 2:
        n = min(TABLE_GENES, len(ranked) // 2)
        best, worst = _gene_table("Best genes", ranked.iloc[::-1][:n]), _gene_table("Worst genes", ranked[:n])
        parts.append(f'<div class="pair">{best}{worst}</div>')
    parts.append(
        "<p><small>Entries were hidden at random. Where entries are missing for a reason, such as low expression, "
        "accuracy can be lower than this. A gene's R² from few hidden entries is uncertain.</small></p>"
    )
    return "\n".join(parts)


def _intervals(content: PageContent) -> str:
    if content.held_out is None:
        return ""
    calibration = content.held_out.calibration
    if calibration is None:
        return (
            "<h2>How sure it is</h2>\n<p>The method gives values without a distribution, so there are no intervals to "
            "check; with <code>--uncertainty</code> they are found from its errors on samples left out.</p>"
        )
    from reproduce.plots import matrix_plots, new_figure

    figure, ax = new_figure(width=3.6, height=3.4)
    matrix_plots.coverage(calibration, ax)
    rows = [
        (f"{row.nominal:.0%}", f"{row.covered:.1%}", f"{row.covered - row.nominal:+.1%}")
        for row in calibration.itertuples()
    ]
    said = _verdict(calibration)
    table = _table(("interval", "holds", "difference"), rows, numbers=(0, 1, 2))
    image = _image(figure, "Nominal level against fraction covered")
    return (
        f"<h2>How sure it is</h2>\n<p>Of {int(calibration['n_entries'].iloc[0]):,} hidden entries, so many lay within "
        f"the intervals that are to hold them; the intervals {said}.</p>\n"
        f'<div class="pair"><div>{image}</div><div>{table}</div></div>'
    )


def _verdict(calibration: pd.DataFrame) -> str:
    """Whether the intervals hold what they promise, beyond what so few entries can tell."""
    difference = calibration["covered"] - calibration["nominal"]
    doubt = 2 * np.sqrt(calibration["nominal"] * (1 - calibration["nominal"]) / calibration["n_entries"])
    beyond = difference[difference.abs() > np.maximum(doubt, TOLERANCE)]
    if beyond.empty:
        return f"hold what they promise within {TOLERANCE:.0%} or what so many entries can tell"
    if beyond.mean() < 0:
        return "are too narrow: take standard deviations for larger than they say"
    return "are wider than they need be"


def _how(content: PageContent) -> str:
    versions = [(name, metadata.version(name)) for name in PACKAGES]
    rows = [
        *((name, str(value)) for name, value in content.settings.items()),
        ("seconds to fit and fill", f"{content.seconds:.1f}"),
        ("largest memory", f"{content.peak_gigabytes:.2f} GB"),
        ("reproduce", reproduce.__version__),
        ("Python", platform.python_version()),
        *versions,
    ]
    return "<h2>How it was done</h2>\n" + _table(("", ""), rows)


# --- parts ---


def coarse(missing: np.ndarray, most: tuple[int, int]) -> np.ndarray:
    """Mean of a matrix of booleans over at most so many cells (rows, columns)."""
    starts = [
        np.linspace(0, length, min(length, cells), endpoint=False, dtype=int)
        for length, cells in zip(missing.shape, most)
    ]
    sums = np.add.reduceat(missing, starts[0], axis=0, dtype=np.int32)
    sums = np.add.reduceat(sums, starts[1], axis=1)
    sizes = [np.diff([*begin, length]) for begin, length in zip(starts, missing.shape)]
    return sums / np.outer(*sizes)


def _most_missing(fractions: pd.Series, of: str) -> str:
    most = fractions[fractions > 0].sort_values(ascending=False, kind="stable")[:5]
    if most.empty:
        return ""
    rows = [(str(name), f"{value:.1%}") for name, value in most.items()]
    return f"<div><h3>{of.capitalize()}s that miss most</h3>{_table((of, 'missing'), rows, numbers=(1,))}</div>"


def _gene_table(title: str, genes: pd.DataFrame) -> str:
    rows = [(str(row.Index), f"{row.r2:.2f}", f"{row.rmse:.2f}", f"{row.n_hidden:,}") for row in genes.itertuples()]
    return f"<div><h3>{title}</h3>{_table(('gene', 'R²', 'RMSE', 'hidden'), rows, numbers=(1, 2, 3))}</div>"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]], numbers: tuple[int, ...] = ()) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        kinds = [' class="number"' if i in numbers else "" for i in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds)) + "</tr>"

    head = f"<thead>{line(header, 'th')}</thead>" if any(header) else ""
    return f"<table>{head}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def _list(notes: tuple[str, ...]) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _image(figure: Figure, words: str) -> str:
    """The figure within the page, at six tenths of its pixels; `words` for who cannot see it."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from reproduce.plots import STYLE

    drawn = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(drawn, format="png", metadata={"Software": None})
    plt.close(figure)
    data = drawn.getvalue()
    width = int.from_bytes(data[16:20], "big")
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(words)}" width="{width * 6 // 10}" src="{source}">'
