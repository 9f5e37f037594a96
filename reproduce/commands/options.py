"""What the commands for a person's own matrix share: options, reading, and how they end; never computes."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reproduce.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from reproduce.commands.progress import Progress
    from reproduce.matrices.files import Matrix

FORMATS = "csv, tsv, txt, gct, parquet or h5ad, each also .gz"
#: Of an option that names a file to be written.
NEW_FOLDER = "a folder on the way that does not exist is made, and told"
UNITS = ("auto", "log", "counts", "cpm", "tpm")
#: What stands before names of columns of an .h5ad's own table of samples.
OBS = "obs:"


def new_parser(commands, name: str, command, summary: str, detail: str, examples: str) -> argparse.ArgumentParser:
    """The parser of a command with its help page, `detail` below the summary and examples at the end."""
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


def add_method(parser: argparse.ArgumentParser) -> None:
    """Which method, with which settings."""
    parser.add_argument("--method", default="auto", help="see `reproduce methods` (default: the best for the size)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the method, such as rank=20 or group=batch; may be repeated",
    )


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """What the matrix is, and what is known of its samples."""
    parser.add_argument(
        "--covariates",
        metavar="FILE|obs:NAMES",
        help="csv or tsv, sample names first, then columns such as tissue, sex, age, donor; matched by name. For an "
        ".h5ad also obs:tissue,sex, these columns of its obs",
    )
    parser.add_argument("--units", choices=UNITS, default="auto", help="of the values (default: found and told)")
    parser.add_argument(
        "--orientation",
        choices=("auto", "samples_by_genes", "genes_by_samples"),
        default="auto",
        help="what the rows are (default: found and told)",
    )


def add_common(parser: argparse.ArgumentParser, *, patience: float = 600) -> None:
    """Seed, patience (seconds) and silence."""
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same values (default: 0)")
    parser.add_argument(
        "--patience",
        type=float,
        default=patience,
        metavar="SECONDS",
        help=f"longest that a method chosen for you may take (default: {patience:g})",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


Command = Callable[[argparse.Namespace, "Progress", list[Path]], None]


def run_interruptibly(command: Command, options: argparse.Namespace, state: str) -> int:
    """Exit status of a command that shows progress and lists what it wrote; `state` is said where that is nothing."""
    from reproduce.commands.progress import Progress

    _check_numbers(options)
    written: list[Path] = []
    try:
        with Progress(shown=not options.quiet) as progress, warnings.catch_warnings():
            warnings.showwarning = _warn
            command(options, progress, written)
    except KeyboardInterrupt:
        told = f"written before: {', '.join(map(str, written))}" if written else state
        print(f"interrupted; {told}", file=sys.stderr)
        return 130
    return 0


def _warn(message: Warning | str, *_: object) -> None:
    """A method's warning as one line, without the line of code that it came from."""
    over_progress = "\r\033[K" if sys.stderr.isatty() else ""
    print(f"{over_progress}warning: {' '.join(str(message).split())}", file=sys.stderr)


def read_inputs(path: Path, options: argparse.Namespace, progress: Progress) -> tuple[Matrix, pd.DataFrame | None]:
    """The matrix, and the covariates of its samples if there are any."""
    from reproduce.matrices.files import read_matrix

    progress(f"reading {path.name}")
    matrix = read_matrix(path, orientation=options.orientation, keep_empty_genes=True)
    return with_covariates(matrix, [matrix], options.covariates)


def with_covariates(matrix: Matrix, files: Sequence[Matrix], given: str | None) -> tuple[Matrix, pd.DataFrame | None]:
    """The matrix with a note on the covariates that are used, and these.

    `given` is a file, or ``obs:`` and names of columns of the `obs` of each of the files that make up the matrix.
    """
    if given is None:
        return matrix, None
    from dataclasses import replace

    import pandas as pd

    from reproduce.matrices.files import covariates_of_obs, read_covariates

    names = given.removeprefix(OBS)
    if names != given:
        columns = [name.strip() for name in names.split(",")]
        covariates = pd.concat([covariates_of_obs(each, columns) for each in files])
    else:
        covariates = read_covariates(given, matrix.values.index)
    where = "obs" if names != given else Path(given).name
    note = f"covariates from {where}: {', '.join(map(str, covariates.columns))}"
    # columns that could be covariates are no news to who has chosen some
    notes = [told for told in matrix.notes if told not in matrix.notes_on_columns]
    return replace(matrix, notes=(*notes, note), notes_on_columns=()), covariates


def _check_numbers(options: argparse.Namespace) -> None:
    if options.seed < 0:
        raise ConfigError(f"--seed is {options.seed}; give a non-negative integer.")
    if not options.patience > 0:
        raise ConfigError(f"--patience is {options.patience:g}; give seconds above 0.")


def settings_of(assignments: list[str]) -> Mapping[str, object]:
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


def print_notes(notes: tuple[str, ...]) -> None:
    """One line each."""
    for note in notes:
        print(f"- {note}")
