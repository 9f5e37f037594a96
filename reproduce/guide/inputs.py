"""Tables of the page on files, names and units; its mistakes are made, and the messages shown are the real ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reproduce.errors import ReproduceError
from reproduce.guide.markdown import markdown_table
from reproduce.matrices._tokens import MISSING
from reproduce.matrices.apply import FOREIGN, GOOD_SHARE, LEAST_SHARE
from reproduce.matrices.evaluation import HIDDEN_RATE
from reproduce.matrices.files import FORMATS, read_covariates, read_matrix
from reproduce.matrices.training import HIDDEN_RATE as HIDDEN_OF_LEFT_OUT
from reproduce.matrices.training import LEFT_OUT
from reproduce.matrices.units import UNITS


@dataclass(frozen=True)
class Mistake:
    """A file that cannot be used.

    Attributes
    ----------
    wrong : str
        What is wrong with it, in words.
    name : str
        Of the file.
    content : str
    covariates : bool
        Whether it is a table of covariates of the samples a and b.
    """

    wrong: str
    name: str
    content: str
    covariates: bool = False


MISTAKES = (
    Mistake("names turned into dates by a spreadsheet", "spreadsheet.csv", "sample,1-Mar,TP53\na,5,3\nb,4,1\n"),
    Mistake("the same gene twice", "twice.csv", "sample,TP53,TP53\na,5,3\nb,4,1\n"),
    Mistake("words among the values", "words.csv", "sample,TP53,MDM2\na,5,lung\nb,4,1\n"),
    Mistake("an infinite value", "infinite.csv", "sample,TP53,MDM2\na,5,inf\nb,4,1\n"),
    Mistake("a line that is cut short", "short.csv", "sample,TP53,MDM2\na,5,3\nb,4\n"),
    Mistake("nothing known", "holes.csv", "sample,TP53,MDM2\na,NA,NA\nb,,\n"),
    Mistake("no header", "numbers.csv", "5.1,3.2\n4.4,1.9\n"),
    Mistake("an empty file", "empty.csv", ""),
    Mistake("not a .gct", "table.gct", "sample\tTP53\na\t5\n"),
    Mistake("an unknown ending", "matrix.xlsx", "sample,TP53\na,5\n"),
    Mistake("covariates of other samples", "samples.csv", "sample,tissue\na,lung\nc,colon\n", covariates=True),
)


def message_of(mistake: Mistake) -> str:
    """What is said of a mistake, as after ``error:`` on the command line; empty if nothing is.

    Parameters
    ----------
    mistake : Mistake

    Returns
    -------
    str
        Without the folder that the file was in.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, mistake.name)
        path.write_text(mistake.content, encoding="utf-8")
        try:
            if mistake.covariates:
                read_covariates(path, ["a", "b"])
            else:
                read_matrix(path)
        except ReproduceError as error:
            return str(error).replace(f"{folder}/", "")
    return ""


def mistakes() -> str:
    """What is wrong, and what is said."""
    return markdown_table(["what is wrong", "what is said"], [[each.wrong, message_of(each)] for each in MISTAKES])


def parts() -> dict[str, Callable[[], str]]:
    """What the pages on files and on models say from the code, by name."""
    return {
        "formats": lambda: ", ".join(f"`.{each}`" for each in FORMATS),
        "missing_tokens": lambda: ", ".join(f"`{each}`" for each in MISSING if each),
        "units": lambda: ", ".join(f"`{each}`" for each in UNITS),
        "mistakes": mistakes,
        "least_share": lambda: f"{LEAST_SHARE:.0%}",
        "good_share": lambda: f"{GOOD_SHARE:.0%}",
        "foreign": lambda: f"{FOREIGN:g}",
        "hidden_rate": lambda: f"{HIDDEN_RATE:.0%}",
        "left_out": lambda: f"{LEFT_OUT:.0%}",
        "hidden_of_left_out": lambda: f"{HIDDEN_OF_LEFT_OUT:.0%}",
    }
