"""Numbers and words of text tables: what is a number, what is missing, what is neither; never files or lines."""

from __future__ import annotations

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

#: What stands for a missing value, in any case and with blanks around it.
MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "-", ".")
_SPELLINGS = sorted({form for token in MISSING for form in (token, token.upper(), token.title())} | {"NaN", "-nan"})
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_SPREADSHEET = re.compile(r"#(div/0|value|num|ref|name)[!?]", re.IGNORECASE)
#: Significant digits that a float32 keeps; more need a float64.
_SINGLE_DIGITS = 7


class BadToken(Exception):
    """A field that is neither a number nor missing; where it stands and what to say about it."""

    def __init__(self, position: int, why: str):
        super().__init__(why)
        self.position = position
        self.why = why


def parse(tokens: bytes, n_tokens: int, decimal: str) -> np.ndarray:
    """Values of fields.

    Parameters
    ----------
    tokens : bytes
        UTF-8, one field a line.
    n_tokens : int
        How many there are.
    decimal : {".", ","}

    Returns
    -------
    ndarray of float64 (n_tokens,)
        Correctly rounded; NaN where missing.

    Raises
    ------
    BadToken
        For the first field that is not a finite number of float64 and not missing.
    """
    try:
        column = _arrow_column(tokens, pa.float64(), decimal)
        values = column.to_numpy(zero_copy_only=False)
        # Arrow also reads nan(…) and infinity.
        clean = np.isnan(values).sum() == column.null_count and not np.isinf(values).any()
    except pa.ArrowInvalid:
        clean = False  # blanks or a sign before a number, or no number
    if not clean or len(values) != n_tokens:
        values = _parse_closely(tokens, decimal)
    if len(values) != n_tokens:
        raise BadToken(0, "line ends are mixed")
    return values


def numeric_share(fields: list[str], decimals: str = ".,") -> float:
    """Share of the fields that are numbers, of those that are not missing; 1 if all are missing."""
    known = [field for field in map(str.strip, fields) if field.lower() not in MISSING]
    pattern = re.compile(_number_pattern(f"[{decimals}]"))
    return sum(pattern.fullmatch(field) is not None for field in known) / len(known) if known else 1.0


def is_missing(field: str) -> bool:
    """Whether a field stands for a missing value."""
    return field.strip().lower() in MISSING


def digits_of(fields: list[str]) -> int:
    """The most significant digits that any of the fields has."""
    mantissas = (re.sub(r"[eE].*", "", field) for field in fields)
    return max((len(re.sub(r"\D", "", mantissa).lstrip("0")) for mantissa in mantissas), default=0)


def written(values: np.ndarray, decimal: str, digits: int) -> list[bytes]:
    """Shortest text that gives the same number again.

    Parameters
    ----------
    values : ndarray of float (n,)
    decimal : {".", ","}
    digits : int
        Significant digits of the table's own numbers: where float32 keeps them, filled values are rounded to it, so
        that they do not claim more.
    """
    if digits <= _SINGLE_DIGITS and np.abs(values).max(initial=0) < np.finfo(np.float32).max:
        values = values.astype(np.float32)
    texts = pc.cast(pa.array(values), pa.string())
    if decimal != ".":
        texts = pc.replace_substring(texts, ".", decimal)
    return pc.cast(texts, pa.binary()).to_pylist()


def _arrow_column(tokens: bytes, kind: pa.DataType, decimal: str = ".") -> pa.ChunkedArray:
    """One field a line as one column; faster than any wide table of the same fields."""
    table = pa_csv.read_csv(
        io.BytesIO(b"0\n" + tokens),  # a first line, since Arrow refuses a file of one empty field
        pa_csv.ReadOptions(column_names=["value"], use_threads=False, block_size=max(1 << 20, len(tokens) + 3)),
        # No field holds a control character, which is how this delimiter never occurs.
        pa_csv.ParseOptions(delimiter="\x1f", quote_char=False, ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            column_types={"value": kind},
            null_values=_SPELLINGS if kind == pa.float64() else [],
            strings_can_be_null=False,
            decimal_point=decimal,
        ),
    )
    return table.column("value").combine_chunks()[1:]


def _parse_closely(tokens: bytes, decimal: str) -> np.ndarray:
    """As `parse`, allowing blanks and a plus before a number, and naming what is wrong."""
    texts = pc.utf8_trim_whitespace(_arrow_column(tokens, pa.string()))
    missing = pc.is_in(pc.utf8_lower(texts), pa.array(MISSING + ("-nan",)))
    number = pc.match_substring_regex(texts, f"^{_number_pattern(re.escape(decimal))}$")
    good = pc.or_(missing, number).to_numpy(zero_copy_only=False)
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise BadToken(first, _why_not(texts[first].as_py(), decimal))
    plain = pc.utf8_ltrim(pc.replace_substring(texts, decimal, "."), "+")
    values = pc.cast(pc.if_else(missing, None, plain), pa.float64()).to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        first = int(np.flatnonzero(np.isinf(values))[0])
        raise BadToken(first, f"{texts[first].as_py()!r} is too large for a number; mend it, or leave it empty")
    return values


def _number_pattern(decimal: str) -> str:
    return rf"[+-]?([0-9]+{decimal}?[0-9]*|{decimal}[0-9]+)([eE][+-]?[0-9]+)?"


def _why_not(text: str, decimal: str) -> str:
    shown = repr(text if len(text) <= 40 else text[:40] + "…")
    if _INFINITE.fullmatch(text):
        return f"{shown} is infinite; leave the field empty if the value is not known"
    if _SPREADSHEET.fullmatch(text):
        return f"{shown} is a spreadsheet's error; mend the formula, or leave the field empty"
    other = "," if decimal == "." else "."
    if re.fullmatch(_number_pattern(re.escape(other)), text) or re.fullmatch(
        r"[+-]?\d{1,3}([., ]\d{3})+([.,]\d+)?", text
    ):
        return (
            f"{shown} is not a number with the decimal mark '{decimal}', which most of the file has; use one decimal "
            "mark and no mark between thousands"
        )
    return f"{shown} is not a number; mend it, or leave the field empty if the value is not known"
