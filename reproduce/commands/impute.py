"""The commands for a person's own matrix: impute, train, inspect, evaluate; reads arguments and never computes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reproduce.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from reproduce.commands.progress import Progress
    from reproduce.matrices.evaluation import HeldOut
    from reproduce.matrices.files import Matrix
    from reproduce.matrices.filling import Filled
    from reproduce.matrices.models import Model

_FORMATS = "csv, tsv, txt, gct, parquet or h5ad, each also .gz"
_UNITS = ("auto", "log", "counts", "cpm", "tpm")


def add(commands) -> None:
    """Add the commands to a parser's subparsers."""
    _add_impute(commands)
    _add_train(commands)
    _add_inspect(commands)
    _add_evaluate(commands)


# --- what can be asked ---


def _parser(commands, name: str, command, summary: str, detail: str, examples: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {detail}",
        epilog=f"examples:\n{examples}",
        formatter_class=_Help,
    )
    parser.set_defaults(command=command)
    return parser


class _Help(argparse.HelpFormatter):
    """Wraps the description and leaves the examples' lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return super()._fill_text(text, width, indent)


def _add_impute(commands) -> None:
    parser = _parser(
        commands,
        "impute",
        _impute,
        "fill the missing values of your own expression matrix",
        f"IN is {_FORMATS}; empty cells, NA and NaN are missing. What was known comes back unchanged, in the layout, "
        "order, names and units of the file; what was missing is predicted from the other genes and samples. The "
        "method is chosen by the size of the matrix, and the choice is told.",
        "  reproduce impute counts.csv -o filled.csv\n"
        "  reproduce impute tumours.gct.gz -o filled.gct.gz --report accuracy.html\n"
        "  reproduce impute cohort.h5ad -o filled.h5ad --covariates samples.csv --uncertainty\n"
        "  reproduce impute new.tsv -o filled.tsv --model lung_model",
    )
    parser.add_argument("input", metavar="IN", type=Path, help="the matrix with holes")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="where the filled matrix goes")
    _add_method(parser)
    parser.add_argument(
        "--model", metavar="MODEL", type=Path, help="fill by a model that `reproduce train` made, fitting nothing"
    )
    _add_data_options(parser)
    parser.add_argument(
        "--uncertainty", action="store_true", help="also write OUT-sd: the standard deviation of each filled value"
    )
    parser.add_argument(
        "--draws",
        type=int,
        default=0,
        metavar="M",
        help="also write M completed matrices OUT-draw01 …, for analyses that account for what was missing",
    )
    parser.add_argument(
        "--report",
        metavar="PAGE.html",
        type=Path,
        help="also write a page with the map of holes, the accuracy on hidden known values, and the intervals' "
        "calibration (fits once more)",
    )
    _add_common(parser)


def _add_train(commands) -> None:
    parser = _parser(
        commands,
        "train",
        _train,
        "fit a model to your samples, to fill others later",
        "The model is a folder; it holds no expression of yours beyond what the method needs. Its accuracy is measured "
        "on samples (donors, if a covariate of that name is given) that are left out. Several files are joined by the "
        "genes that all have.",
        "  reproduce train lung.h5ad -o lung_model --covariates samples.csv\n"
        "  reproduce train a.csv b.csv -o model --method gaussian\n"
        "  reproduce impute new.csv -o filled.csv --model lung_model",
    )
    parser.add_argument("input", metavar="IN", type=Path, nargs="+", help=f"matrices: {_FORMATS}")
    parser.add_argument("-o", "--output", metavar="MODEL", type=Path, required=True, help="folder of the model")
    _add_method(parser)
    _add_data_options(parser)
    _add_common(parser)


def _add_inspect(commands) -> None:
    parser = _parser(
        commands,
        "inspect",
        _inspect,
        "show what a model is: method, genes, units, accuracy",
        "Reads the model's folder and runs nothing of it.",
        "  reproduce inspect lung_model",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder that `reproduce train` made")


def _add_evaluate(commands) -> None:
    parser = _parser(
        commands,
        "evaluate",
        _evaluate,
        "compare methods on your own matrix, on known values that are hidden",
        "Every method meets the same hidden values, several times over. R² is 1 for the truth and 0 for filling in "
        "each gene's mean. What would take too long is left out, and said.",
        "  reproduce evaluate counts.csv\n"
        "  reproduce evaluate cohort.h5ad --methods gaussian mixture knn_10 -o table.csv --figure methods.png",
    )
    parser.add_argument("input", metavar="IN", type=Path, help=f"the matrix: {_FORMATS}")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="these alone; see `reproduce methods`")
    parser.add_argument("-o", "--output", metavar="TABLE.csv", type=Path, help="also write the table")
    parser.add_argument("--figure", metavar="F.png", type=Path, help="also draw it (png, svg or pdf)")
    parser.add_argument(
        "--hide", type=float, default=0.1, metavar="FRACTION", help="of the known values to hide (default: 0.1)"
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="times to hide anew (default: 5)")
    _add_data_options(parser)
    _add_common(parser, patience=120)


def _add_method(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", default="auto", help="see `reproduce methods` (default: the best for the size)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the method, such as rank=20 or group=batch; may be repeated",
    )


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--covariates",
        metavar="FILE",
        type=Path,
        help="csv or tsv, sample names first, then columns such as tissue, sex, age, donor; matched by name",
    )
    parser.add_argument("--units", choices=_UNITS, default="auto", help="of the values (default: found and told)")
    parser.add_argument(
        "--orientation",
        choices=("auto", "samples_by_genes", "genes_by_samples"),
        default="auto",
        help="what the rows are (default: found and told)",
    )


def _add_common(parser: argparse.ArgumentParser, *, patience: float = 600) -> None:
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same values (default: 0)")
    parser.add_argument(
        "--patience",
        type=float,
        default=patience,
        metavar="SECONDS",
        help=f"longest that a method chosen for you may take (default: {patience:g})",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


# --- what is done ---


def _impute(options: argparse.Namespace) -> int:
    return _interruptible(_impute_now, options, "nothing was written")


def _train(options: argparse.Namespace) -> int:
    return _interruptible(_train_now, options, "no model was written")


def _evaluate(options: argparse.Namespace) -> int:
    return _interruptible(_evaluate_now, options, "nothing was written")


def _interruptible(command, options: argparse.Namespace, state: str) -> int:
    from reproduce.commands.progress import Progress

    _check_numbers(options)
    written: list[Path] = []
    try:
        with Progress(shown=not options.quiet) as progress:
            command(options, progress, written)
    except KeyboardInterrupt:
        told = f"written before: {', '.join(map(str, written))}" if written else state
        print(f"interrupted; {told}", file=sys.stderr)
        return 130
    return 0


def _impute_now(options: argparse.Namespace, progress: Progress, written: list[Path]) -> None:
    from reproduce.commands.outputs import staged

    _check_impute(options)
    clock = time.perf_counter()
    matrix, covariates = _read(options.input, options, progress)
    model = _model(options, progress)
    filled = _filled(matrix, covariates, model, options, progress)
    targets = _write_filled(matrix, filled, options, progress)
    written += targets
    held_out = None
    if options.report is not None:
        held_out, why = _measured(matrix, filled, model, options, progress)
        progress("drawing the page")
        with staged(options.report.parent) as files:
            page = _page(matrix, filled, held_out, why, options)
            files.aside(options.report).write_text(page, encoding="utf-8")
            files.publish()
        written.append(options.report)
    progress.__exit__()
    _say(matrix.notes + filled.notes)
    print(f"method: {filled.choice.label} ({filled.choice.method}); {filled.choice.reason}")
    if held_out is not None:
        print(
            f"accuracy on {len(held_out.truth):,} hidden known values: R² {held_out.r2:.3f} "
            f"(genes' median {held_out.median_gene_r2:.3f}), RMSE {held_out.rmse:.3f} on the log scale"
        )
    elif options.report is not None:
        print(f"accuracy: not measured: {why}")
    for path in written:
        print(f"wrote {path}")
    print(f"{time.perf_counter() - clock:.1f} s in all, {filled.seconds:.1f} s to fit and fill")


def _check_impute(options: argparse.Namespace) -> None:
    """What can be refused before anything is read."""
    if options.draws < 0:
        raise ConfigError(f"--draws is {options.draws}; give 0 or more.")
    if options.model is not None and (options.method != "auto" or options.set):
        raise ConfigError("--model fills by what was fitted before; leave out --method and --set.")
    targets = [options.output, *_beside(options.output, options)]
    if options.report is not None:
        targets.append(options.report)
    for target in targets:
        if target.is_dir():
            raise ConfigError(f"{target} is a folder; give the name of a file.")
        if target.exists() and options.input.exists() and target.samefile(options.input):
            raise ConfigError(f"{target} is the input, which is left as it is; give another name.")


def _beside(output: Path, options: argparse.Namespace) -> list[Path]:
    """Names of what is written beside the filled matrix."""
    from reproduce.matrices.files import format_of

    form, compressed = format_of(output)
    stem, ending = output.name[: -len(form) - 1 - 3 * compressed], output.name[-len(form) - 1 - 3 * compressed :]
    width = max(2, len(str(options.draws)))
    names = [f"{stem}-sd{ending}"] if options.uncertainty else []
    names += [f"{stem}-draw{number:0{width}d}{ending}" for number in range(1, options.draws + 1)]
    return [output.with_name(name) for name in names]


def _read(path: Path, options: argparse.Namespace, progress: Progress) -> tuple[Matrix, pd.DataFrame | None]:
    from reproduce.matrices.files import read_covariates, read_matrix

    progress(f"reading {path.name}")
    matrix = read_matrix(path, orientation=options.orientation, keep_empty_genes=True)
    covariates = None if options.covariates is None else read_covariates(options.covariates, matrix.values.index)
    return matrix, covariates


def _model(options: argparse.Namespace, progress: Progress) -> Model | None:
    if options.model is None:
        return None
    from reproduce.matrices.models import load_model

    progress(f"loading {options.model}")
    return load_model(options.model)


def _filled(
    matrix: Matrix,
    covariates: pd.DataFrame | None,
    model: Model | None,
    options: argparse.Namespace,
    progress: Progress,
) -> Filled:
    from reproduce.matrices.filling import impute

    return impute(
        matrix,
        method=options.method,
        covariates=covariates,
        units=options.units,
        seed=options.seed,
        uncertainty=options.uncertainty,
        draws=options.draws,
        model=model,
        patience=options.patience,
        settings=_settings(options.set),
        progress=progress,
    )


def _write_filled(matrix: Matrix, filled: Filled, options: argparse.Namespace, progress: Progress) -> list[Path]:
    from dataclasses import replace

    import numpy as np

    from reproduce.commands.outputs import staged
    from reproduce.matrices.files import write_matrix

    frames = [] if filled.sd is None else [filled.sd]
    targets = [options.output, *_beside(options.output, options)]
    with staged(options.output.parent) as files:
        progress(f"writing {options.output.name}")
        write_matrix(matrix, filled.values, files.aside(options.output))
        for target, frame in zip(targets[1:], [*frames, *filled.draws]):
            progress(f"writing {target.name}")
            # of a matrix of which nothing is known everything is written: standard deviations have a number everywhere
            given = replace(matrix, values=matrix.values * np.nan) if frame is filled.sd else matrix
            write_matrix(given, frame, files.aside(target))
        files.publish()
    return targets


def _measured(
    matrix: Matrix, filled: Filled, model: Model | None, options: argparse.Namespace, progress: Progress
) -> tuple[HeldOut | None, str]:
    from reproduce.errors import DataFormatError
    from reproduce.matrices.evaluation import by_model, held_out, in_place

    progress("measuring accuracy on hidden known values", filled.choice.seconds)
    distribution = options.uncertainty or options.draws > 0
    if model is None:
        fill = in_place(filled.choice, filled.prepared, options.seed, distribution=distribution)
    else:
        fill = by_model(model, matrix, filled.prepared)
    try:
        return held_out(filled.prepared, fill, seed=options.seed), ""
    except DataFormatError as error:  # too small a matrix to hide anything of
        return None, str(error)


def _page(matrix: Matrix, filled: Filled, held_out: HeldOut | None, why: str, options: argparse.Namespace) -> str:
    from reproduce.matrices.page import PageContent, page_of

    settings = {
        "method": filled.choice.method,
        **{name: value for name, value in sorted(filled.imputer.get_params(deep=False).items()) if value is not None},
        "units": filled.prepared.scale.units,
        "covariates": "none" if options.covariates is None else options.covariates.name,
        "seed": options.seed,
    }
    if options.model is not None:
        settings["model"] = options.model.name
    return page_of(
        PageContent(
            source=options.input.name,
            written=options.output.name,
            values=matrix.values,
            method=filled.choice.label,
            reason=filled.choice.reason,
            settings=settings,
            notes=matrix.notes + filled.notes,
            held_out=held_out,
            not_measured=why,
            seconds=filled.seconds,
            peak_gigabytes=_peak_gigabytes(),
        )
    )


def _train_now(options: argparse.Namespace, progress: Progress, written: list[Path]) -> None:
    from reproduce.matrices.card import describe
    from reproduce.matrices.files import read_covariates, read_matrix
    from reproduce.matrices.models import save_model
    from reproduce.matrices.training import joined, train

    matrices = []
    for path in options.input:
        progress(f"reading {path.name}")
        matrices.append(read_matrix(path, orientation=options.orientation, keep_empty_genes=True))
    matrix = joined(matrices)
    covariates = None if options.covariates is None else read_covariates(options.covariates, matrix.values.index)
    model, notes = train(
        matrix,
        method=options.method,
        covariates=covariates,
        units=options.units,
        seed=options.seed,
        patience=options.patience,
        settings=_settings(options.set),
        progress=progress,
    )
    progress(f"writing {options.output}")
    save_model(model, options.output)
    written.append(options.output)
    progress.__exit__()
    _say(matrix.notes + notes)
    print(describe(model))
    print(f"wrote {options.output}")


def _inspect(options: argparse.Namespace) -> None:
    from reproduce.matrices.card import describe
    from reproduce.matrices.models import load_model

    print(describe(load_model(options.model)))


def _evaluate_now(options: argparse.Namespace, progress: Progress, written: list[Path]) -> None:
    from reproduce.matrices.evaluation import evaluate

    if options.figure is not None and options.figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{options.figure.name}: give a figure's name that ends in .png, .svg or .pdf.")
    matrix, covariates = _read(options.input, options, progress)
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
    progress.__exit__()
    _say(matrix.notes)
    for line in _lines_of(table):
        print(line)
    for path in written:
        print(f"wrote {path}")


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
    rows = [("method", "R²", "95 % interval", "less than the best", "genes' median", "RMSE", "seconds")]
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


# --- small things ---


def _check_numbers(options: argparse.Namespace) -> None:
    if options.seed < 0:
        raise ConfigError(f"--seed is {options.seed}; give a non-negative integer.")
    if not options.patience > 0:
        raise ConfigError(f"--patience is {options.patience:g}; give seconds above 0.")


def _settings(assignments: list[str]) -> Mapping[str, object]:
    """Settings of the method from NAME=VALUE."""
    settings = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {text}: give NAME=VALUE, such as rank=20.")
        settings[name.strip()] = _value(text, value.strip())
    return settings


def _value(text: str, value: str) -> object:
    import yaml

    try:
        return float(value) if "e" in value.lower() else yaml.safe_load(value)
    except ValueError:  # not a number such as 1e-3 after all
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value cannot be read ({' '.join(str(error).split())}).") from None


def _say(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"- {note}")


def _peak_gigabytes() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20
