"""The command that fills a person's own matrix: reads arguments, writes files, and never computes."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from reproduce.commands.options import (
    FORMATS,
    NEW_FOLDER,
    add_common,
    add_data_options,
    add_method,
    new_parser,
    print_notes,
    read_inputs,
    run_interruptibly,
    settings_of,
)
from reproduce.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from reproduce.commands.progress import Progress
    from reproduce.matrices.evaluation import HeldOut
    from reproduce.matrices.files import Matrix
    from reproduce.matrices.filling import Filled
    from reproduce.matrices.models import Model


def add(commands) -> None:
    """Add the command to a parser's subparsers."""
    parser = new_parser(
        commands,
        "impute",
        _impute,
        "fill the missing values of your own expression matrix",
        f"IN is {FORMATS}; empty cells, NA and NaN are missing. What was known comes back unchanged, in the layout, "
        "order, names and units of the file; what was missing is predicted from the other genes and samples. The "
        "method is chosen by the size of the matrix, and the choice is told.",
        "  reproduce impute counts.csv -o filled.csv\n"
        "  reproduce impute tumours.gct.gz -o filled.gct.gz --report accuracy.html\n"
        "  reproduce impute cohort.h5ad -o filled.h5ad --covariates samples.csv --uncertainty\n"
        "  reproduce impute new.tsv -o filled.tsv --model lung_model",
    )
    parser.add_argument("input", metavar="IN", type=Path, help="the matrix with holes")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help=f"where the filled matrix goes; {NEW_FOLDER}",
    )
    add_method(parser)
    parser.add_argument(
        "--model",
        metavar="MODEL",
        type=Path,
        help="fill by a model that `reproduce train` made, fitting nothing; "
        "how well it fills known values of these samples is measured and told, which fills a second time",
    )
    parser.add_argument(
        "--standardise",
        choices=("training", "own"),
        default="training",
        help="with --model: each gene's mean and spread are those of the training samples, or, for another cohort or "
        "pipeline, these samples' own (default: training)",
    )
    add_data_options(parser)
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
    add_common(parser)


def _impute(options: argparse.Namespace) -> int:
    return run_interruptibly(_impute_now, options, "nothing was written")


def _impute_now(options: argparse.Namespace, progress: Progress, written: list[Path]) -> None:
    from reproduce.commands.outputs import folders_to_make, print_written, staged

    made = folders_to_make(_check_impute(options))
    clock = time.perf_counter()
    matrix, covariates = read_inputs(options.input, options, progress)
    model = _model(options, progress)
    filled = _filled(matrix, covariates, model, options, progress)
    targets = _write_filled(matrix, filled, options, progress)
    written += targets
    held_out, why, seen = None, "", ""
    if model is not None:  # whose cohort may be another, so how well it fills these samples is always measured
        from reproduce.matrices.by_model import what_it_has_seen

        seen = what_it_has_seen(model)
    if options.report is not None or model is not None:
        held_out, why = _measured(matrix, filled, model, options, progress)
    if options.report is not None:
        progress("drawing the page")
        with staged(options.report.parent) as files:
            page = _page(matrix, filled, held_out, why, seen, options)
            files.aside(options.report).write_text(page, encoding="utf-8")
            files.publish()
        written.append(options.report)
    progress.end()
    print_notes(matrix.notes + filled.notes)
    print(f"method: {filled.choice.label} ({filled.choice.method}); {filled.choice.reason}")
    _say_accuracy(held_out, why, seen, by_model=model is not None)
    print_written(made, written)
    print(f"{time.perf_counter() - clock:.1f} s in all, {filled.seconds:.1f} s to fit and fill")


def _say_accuracy(held_out: HeldOut | None, why: str, seen: str, *, by_model: bool) -> None:
    if held_out is None:
        if why:
            print(f"accuracy: not measured: {why}")
        return
    print(
        f"accuracy on {len(held_out.truth):,} hidden known values: R² {held_out.r2:.3f} "
        f"(median over genes {held_out.median_gene_r2:.3f}), RMSE {held_out.rmse:.3f} on the log scale"
        f"{'. ' if seen else ''}{seen}"
    )
    if held_out.r2 < 0:
        instead = ". Without --model these samples are filled from each other" if by_model else ""
        print(f"that is worse than filling in each gene's mean: do not use these values{instead}")


def _check_impute(options: argparse.Namespace) -> list[Path]:
    """What will be written; refuses what can be refused before anything is read."""
    from reproduce.commands.outputs import check_writable

    if options.draws < 0:
        raise ConfigError(f"--draws is {options.draws}; give 0 or more.")
    if options.model is not None and (options.method != "auto" or options.set):
        raise ConfigError("--model fills by what was fitted before; leave out --method and --set.")
    if options.model is None and options.standardise != "training":
        raise ConfigError("--standardise is for --model; what is fitted to the matrix goes by its samples anyway.")
    targets = [options.output, *_beside(options.output, options)]
    if options.report is not None:
        targets.append(options.report)
    for target in targets:
        check_writable(target)
        if target.exists() and options.input.exists() and target.samefile(options.input):
            raise ConfigError(f"{target} is the input, which is left as it is; give another name.")
    return targets


def _beside(output: Path, options: argparse.Namespace) -> list[Path]:
    """Names of what is written beside the filled matrix."""
    from reproduce.matrices.files import format_of

    form, compressed = format_of(output)
    stem, ending = output.name[: -len(form) - 1 - 3 * compressed], output.name[-len(form) - 1 - 3 * compressed :]
    width = max(2, len(str(options.draws)))
    names = [f"{stem}-sd{ending}"] if options.uncertainty else []
    names += [f"{stem}-draw{number:0{width}d}{ending}" for number in range(1, options.draws + 1)]
    return [output.with_name(name) for name in names]


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
        standardise=options.standardise,
        patience=options.patience,
        settings=settings_of(options.set),
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
    from reproduce.imputers._predictive import PredictiveImputer
    from reproduce.matrices.choice import measuring_seconds
    from reproduce.matrices.evaluation import held_out, in_place

    seconds = filled.choice.seconds
    if model is None:
        intervals = isinstance(filled.imputer, PredictiveImputer)
        seconds = measuring_seconds(filled.choice, filled.prepared.log.shape, intervals=intervals)
    progress("measuring accuracy on hidden known values", seconds)
    distribution = options.uncertainty or options.draws > 0
    if model is None:
        fill = in_place(filled.choice, filled.prepared, options.seed, distribution=distribution)
    else:
        from reproduce.matrices.by_model import fill_by_model

        fill = fill_by_model(model, matrix, filled.prepared, options.standardise)
    try:
        return held_out(filled.prepared, fill, seed=options.seed), ""
    except (DataFormatError, ConfigError) as error:  # too small to hide anything of, or to standardise the rest
        return None, str(error)


def _page(
    matrix: Matrix, filled: Filled, held_out: HeldOut | None, why: str, seen: str, options: argparse.Namespace
) -> str:
    from reproduce.matrices.page import PageContent, page_of

    settings = {
        "method": filled.choice.method,
        **{name: value for name, value in sorted(filled.imputer.get_params(deep=False).items()) if value is not None},
        "units": filled.prepared.scale.units,
        "covariates": "none" if options.covariates is None else Path(options.covariates).name,
        "seed": options.seed,
    }
    if options.model is not None:
        settings |= {"model": options.model.name, "standardised by": f"{options.standardise} samples"}
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
            seen=seen,
        )
    )


def _peak_gigabytes() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20
