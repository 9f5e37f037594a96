"""The command that compares methods on a person's own matrix; never computes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from reproduce.commands.options import (
    FORMATS,
    NEW_FOLDER,
    add_common,
    add_data_options,
    new_parser,
    print_notes,
    read_inputs,
    run_interruptibly,
)
from reproduce.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from reproduce.commands.progress import Progress


def add(commands) -> None:
    """Add the command to a parser's subparsers."""
    parser = new_parser(
        commands,
        "evaluate",
        _evaluate,
        "compare methods on your own matrix, on known values that are hidden",
        "Every method meets the same hidden values, several times over. R² is 1 for the truth and 0 for filling in "
        "each gene's mean. What would take too long is left out, and said.",
        "  reproduce evaluate counts.csv\n"
        "  reproduce evaluate cohort.h5ad --methods gaussian mixture knn_10 -o table.csv --figure methods.png",
    )
    parser.add_argument("input", metavar="IN", type=Path, help=f"the matrix: {FORMATS}")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="these alone; see `reproduce methods`")
    parser.add_argument("-o", "--output", metavar="TABLE.csv", type=Path, help=f"also write the table; {NEW_FOLDER}")
    parser.add_argument("--figure", metavar="F.png", type=Path, help=f"also draw it (png, svg or pdf); {NEW_FOLDER}")
    parser.add_argument(
        "--hide", type=float, default=0.1, metavar="FRACTION", help="of the known values to hide (default: 0.1)"
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="times to hide anew (default: 5)")
    add_data_options(parser)
    add_common(parser, patience=120)


def _evaluate(options: argparse.Namespace) -> int:
    return run_interruptibly(_evaluate_now, options, "nothing was written")


def _evaluate_now(options: argparse.Namespace, progress: Progress, written: list[Path]) -> None:
    from reproduce.commands.outputs import check_writable, folders_to_make, print_written
    from reproduce.matrices.evaluation import evaluate

    targets = [target for target in (options.output, options.figure) if target is not None]
    for target in targets:
        check_writable(target)
    made = folders_to_make(targets)
    if options.figure is not None and options.figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{options.figure.name}: give a figure's name that ends in .png, .svg or .pdf.")
    matrix, covariates = read_inputs(options.input, options, progress)
    table = evaluate(
        matrix,
        options.methods,
        covariates=covariates,
        units=options.units,
        rate=options.hide,
        repeats=options.repeats,
        patience=options.patience,
        seed=options.seed,
        progress=progress,
    )
    if options.output is not None:
        from reproduce.files import atomic_path

        with atomic_path(options.output) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
        written.append(options.output)
    if options.figure is not None:
        _draw(table, options.figure)
        written.append(options.figure)
    progress.end()
    print_notes(matrix.notes)
    for line in _lines_of(table):
        print(line)
    print_written(made, written)


def _draw(table: pd.DataFrame, path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from reproduce.files import atomic_path
    from reproduce.plots import STYLE, matrix_plots, new_figure

    shown = table[table["r2"].notna()]
    if shown.empty:
        raise ConfigError("No method could be measured, so there is nothing to draw; see the table.")
    figure, ax = new_figure(width=6.0, height=0.9 + 0.28 * len(shown))
    matrix_plots.compared_methods(table, ax)
    with mpl.rc_context(STYLE), atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _lines_of(table: pd.DataFrame) -> list[str]:
    """The comparison as text."""
    rows = [("method", "R²", "95 % interval", "less than the best", "median over genes", "RMSE", "seconds")]
    notes = []
    for row in table.itertuples():
        if row.status != "ok":
            notes.append(f"{row.label} ({row.method}): {row.status}: {row.note}")
            continue
        interval = f"{row.r2_low:.3f} to {row.r2_high:.3f}" if row.n_repeats > 1 else ""
        less = f"{row.difference:+.3f} ({row.difference_low:+.3f} to {row.difference_high:+.3f})"
        less = "" if row.difference == 0 else less if row.n_repeats > 1 else f"{row.difference:+.3f}"
        numbers = (f"{row.median_gene_r2:.3f}", f"{row.rmse:.3f}", f"{row.seconds:.2g}")
        rows.append((f"{row.label} ({row.method})", f"{row.r2:.3f}", interval, less, *numbers))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return (lines if len(rows) > 1 else []) + notes
