"""Recognises gene names that a spreadsheet has turned into dates or numbers; never mends them: several names fit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta

from reproduce.errors import DataFormatError
from reproduce.loaders.container import some

__all__ = ["refuse_mangled"]

_MONTHS = {
    "jan": 1, "feb": 2, "fev": 2, "fév": 2, "mar": 3, "mär": 3, "mrz": 3, "apr": 4, "avr": 4, "abr": 4, "may": 5,
    "mai": 5, "maj": 5, "jun": 6, "juin": 6, "jul": 7, "juil": 7, "aug": 8, "aoû": 8, "ago": 8, "sep": 9, "set": 9,
    "oct": 10, "okt": 10, "out": 10, "nov": 11, "dec": 12, "dez": 12, "déc": 12, "dic": 12,
}  # fmt: skip
_WAS = {
    2: "FEB{n}",
    3: "MARCH{n} (now MARCHF{n}) or MARC{n} (now MTARC{n})",
    4: "APR{n}",
    9: "SEPT{n} (now SEPTIN{n})",
    10: "OCT{n}",
    11: "NOV{n}",
    12: "DEC{n} (now DELEC{n})",
}
_NAME_OF_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WORD = rf"(?P<month>{_NAME_OF_MONTH})[a-zûéä]{{0,7}}\.?"
_DAY_MONTH = re.compile(rf"(?P<n>\d{{1,2}})[-/. ]{{1,2}}{_WORD}([-/. ]\d{{2,4}})?", re.IGNORECASE)
#: Spreadsheets write Mar-01; set-10, dec-1 and jun-1 are genes of C. elegans.
_MONTH_DAY = re.compile(rf"(?-i:(?=[A-Z][a-zûéä])){_WORD}[-/ ](?P<n>\d{{1,2}})(,? ?[-/ ]?\d{{4}})?", re.IGNORECASE)
_ISO = re.compile(r"\d{4}[-/](?P<month>\d{1,2})[-/](?P<n>\d{1,2})([ T]00:00(:00(\.0+)?)?)?")
_SLASHES = re.compile(r"\d{1,2}([/.])\d{1,2}\1(\d{4}|\d{2})")
_SCIENTIFIC = re.compile(r"\d+([.,]\d+)?E[+-]\d+", re.IGNORECASE)
#: Days since 1899-12-30 from 1998 to 2050: what a date of the years of spreadsheets looks like as a number.
_SERIALS = (35796, 54789)


def refuse_mangled(names: Iterable[str], source: str) -> None:
    """Raise `DataFormatError` for gene names that a spreadsheet has turned into dates or numbers.

    Parameters
    ----------
    names : iterable of str
        Whole numbers are taken for Entrez ids, not for dates, unless most names are something else.
    source : str
    """
    names = list(names)
    mangled = [(name, was) for name in names if name[:1].isalnum() and (was := _before_spreadsheet(name))]
    whole = [name for name in names if name.isascii() and name.isdecimal()]
    if len(whole) < len(names) / 2:
        mangled += [(name, _of_serial(int(name))) for name in whole if len(name) == 5 and _is_serial(int(name))]
    if mangled:
        told = some((f"'{name}' (was {was})" for name, was in mangled), limit=6)
        raise DataFormatError(
            f"{source}: {len(mangled):,} gene names look as if a spreadsheet had turned them into dates or numbers: "
            f"{told}; restore the names from the original file, and import the column as text"
        )


def _before_spreadsheet(name: str) -> str | None:
    """What a mangled name may have been; None for any other name."""
    if found := _DAY_MONTH.fullmatch(name) or _MONTH_DAY.fullmatch(name):
        return _of_month(_MONTHS.get(found["month"].lower(), 0), int(found["n"]))
    if found := _ISO.fullmatch(name):
        return _of_month(int(found["month"]), int(found["n"]))
    if _SLASHES.fullmatch(name):
        return "a name such as MARCH1, SEPT2 or DEC1"
    if _SCIENTIFIC.fullmatch(name):
        return "a RIKEN or clone name with an E between digits, such as 2310009E13"
    return None


def _of_month(month: int, n: int) -> str:
    return _WAS.get(month, "a name that begins like a month").format(n=n)


def _is_serial(number: int) -> bool:
    return _SERIALS[0] <= number <= _SERIALS[1]


def _of_serial(number: int) -> str:
    day = date(1899, 12, 30) + timedelta(days=number)
    return f"the date {day.isoformat()}, from {_of_month(day.month, day.day)}"
