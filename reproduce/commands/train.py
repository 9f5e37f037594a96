"""The commands that make a model of a person's samples and show what one is; never computes."""

from __future__ import annotations

import argparse
import os
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
    run_interruptibly,
    settings_of,
    with_covariates,
)
from reproduce.errors import ConfigError

if TYPE_CHECKING:
    from reproduce.commands.progress import Progress


def add(commands) -> None:
    """Add the commands to a parser's subparsers."""
    _add_train(commands)
    _add_inspect(commands)


def _add_train(commands) -> None:
    parser = new_parser(
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
    parser.add_argument("input", metavar="IN", type=Path, nargs="+", help=f"matrices: {FORMATS}")
    parser.add_argument(
        "-o", "--output", metavar="MODEL", type=Path, required=True, help=f"folder of the model; {NEW_FOLDER}"
    )
    add_method(parser)
    add_data_options(parser)
    add_common(parser)


def _add_inspect(commands) -> None:
    parser = new_parser(
        commands,
        "inspect",
        _inspect,
        "show what a model is: method, genes, units, accuracy",
        "Reads the model's folder and runs nothing of it.",
        "  reproduce inspect lung_model",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder that `reproduce train` made")


def _train(options: argparse.Namespace) -> int:
    return run_interruptibly(_train_now, options, "no model was written")


def _train_now(options: argparse.Namespace, progress: Progress, written: list[Path]) -> None:
    from reproduce.commands.outputs import check_writable, folders_to_make, print_written
    from reproduce.matrices.card import describe
    from reproduce.matrices.files import read_matrix
    from reproduce.matrices.models import load_model, save_model
    from reproduce.matrices.training import joined, train

    if os.path.lexists(options.output):  # before an hour's fit, not after it
        raise ConfigError(f"{options.output} exists already; remove it, or give the model another name.")
    check_writable(options.output)
    made = folders_to_make([options.output])
    matrices = []
    for path in options.input:
        progress(f"reading {path.name}")
        matrices.append(read_matrix(path, orientation=options.orientation, keep_empty_genes=True))
    matrix, covariates = with_covariates(joined(matrices), matrices, options.covariates)
    model, notes = train(
        matrix,
        method=options.method,
        covariates=covariates,
        units=options.units,
        seed=options.seed,
        patience=options.patience,
        settings=settings_of(options.set),
        progress=progress,
    )
    progress(f"writing {options.output}")
    save_model(model, options.output)
    written.append(options.output)
    progress.end()
    print_notes(matrix.notes + notes)
    print(describe(load_model(options.output)))  # as it is on disk
    print_written(made, written)


def _inspect(options: argparse.Namespace) -> None:
    from reproduce.matrices.card import describe
    from reproduce.matrices.models import load_model

    print(describe(load_model(options.model)))
