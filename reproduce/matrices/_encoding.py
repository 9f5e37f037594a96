"""Bytes of a text file as UTF-8 and back without loss, and the lines within; never looks at what a line means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reproduce.errors import DataFormatError
from reproduce.loaders._kinds import refuse_other_kinds

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\r") + b"\x7f"
_LOOKED_AT = 4096


@dataclass(frozen=True)
class Encoding:
    """How characters became bytes.

    Attributes
    ----------
    name : str
        "utf-8", "utf-16-le", "utf-16-be" or "cp1252".
    mark : bytes
        The byte order mark before the text; empty if there is none.
    """

    name: str = "utf-8"
    mark: bytes = b""

    def back(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Bytes of the file for parts of the text as UTF-8 (each part whole characters)."""
        if self.mark:
            yield self.mark
        for part in parts:
            yield part if self.name == "utf-8" else part.decode("utf-8").encode(self.name)


def decoded(data: bytes, path: Path, expected: str) -> tuple[bytes, Encoding]:
    """The text as UTF-8 without byte order mark, and what it was.

    Raises
    ------
    DataFormatError
        For an empty file, one of another kind, control characters, or bytes of no supported encoding.
    """
    encoding = _encoding_of(data)
    if encoding.name.startswith("utf-16"):
        try:
            text = data[len(encoding.mark) :].decode(encoding.name).encode("utf-8")
        except UnicodeError as error:
            raise DataFormatError(f"{path}: this is not whole UTF-16 text ({error}); save it as UTF-8") from None
    else:
        refuse_other_kinds(path, expected, head=data[:_LOOKED_AT] or b" ")
        text = data[len(encoding.mark) :]
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            text, encoding = _as_western(text, encoding, path, error)
    _refuse_control(text, path)
    if not text.strip():
        raise DataFormatError(f"{path}: the file is empty; {expected} is expected, so get it again")
    return text, encoding


def _encoding_of(data: bytes) -> Encoding:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return Encoding(name, mark)
    head = data[:_LOOKED_AT]
    zeros_first, zeros_second = head[0::2].count(0), head[1::2].count(0)
    if max(zeros_first, zeros_second) > 0.3 * len(head) / 2 and min(zeros_first, zeros_second) == 0:
        return Encoding("utf-16-be" if zeros_first else "utf-16-le")  # without a mark
    return Encoding()


def _as_western(text: bytes, encoding: Encoding, path: Path, error: UnicodeDecodeError) -> tuple[bytes, Encoding]:
    """Text that is no UTF-8 as Windows-1252, which holds Latin-1's letters."""
    line = text.count(b"\n", 0, error.start) + 1
    if not encoding.mark:
        try:
            return text.decode("cp1252").encode("utf-8"), Encoding("cp1252")
        except UnicodeDecodeError:
            pass
    raise DataFormatError(
        f"{path}: line {line} holds bytes that are neither UTF-8 nor Latin-1 text; save the file as UTF-8, or "
        "get it again"
    )


def _refuse_control(text: bytes, path: Path) -> None:
    if len(text.translate(None, _CONTROL)) != len(text):
        first = next(at for at, code in enumerate(text) if code in _CONTROL)
        raise DataFormatError(
            f"{path}: line {text.count(bytes([10]), 0, first) + 1} holds a control character "
            f"({text[first]:#04x}); this is a binary file or damaged: check the path, or get the file again"
        )


def lines_of(text: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Lines and their ends, which together are the text; ends are line feeds, with or without carriage return before.

    Raises
    ------
    DataFormatError
        For carriage returns within lines.
    """
    end = b"\n" if b"\n" in text else b"\r"
    start = 0
    number = 0
    while start < len(text):
        number += 1
        stop = text.find(end, start)
        stop = len(text) if stop < 0 else stop
        line, close = text[start:stop], text[stop : stop + 1]
        if end == b"\n" and line.endswith(b"\r"):
            line, close = line[:-1], b"\r" + close
        if end == b"\n" and b"\r" in line:
            raise DataFormatError(
                f"{path}: line {number} has a carriage return in its midst; line ends are mixed, so save the file with "
                "one kind of line end"
            )
        yield line, close
        start = stop + 1
