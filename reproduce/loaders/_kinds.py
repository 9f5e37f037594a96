"""Recognises files of another kind by their first bytes, so that one sentence can say so; never parses them."""

from __future__ import annotations

from pathlib import Path

from reproduce.errors import DataFormatError

GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEAD = 1024


def refuse_other_kinds(path: str | Path, expected: str, *, head: bytes | None = None) -> None:
    """Raise `DataFormatError` if a text file is absent, empty, a web page, a Git LFS pointer, or not text.

    Parameters
    ----------
    path : path
        Named in the message.
    expected : str
        What the file should be, with its article: "a GTEx .gct table".
    head : bytes, optional
        The first bytes (uncompressed) where the caller has them; read from `path` otherwise.
    """
    if head is None:
        try:
            with open(path, "rb") as handle:
                head = handle.read(_HEAD)
        except OSError as error:
            raise DataFormatError(f"{path}: cannot be read ({error.strerror}); {expected} is expected") from error
    start = head[:_HEAD].removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not start:
        raise DataFormatError(f"{path}: the file is empty; {expected} is expected, so get it again")
    if start.startswith(b"version https://git-lfs"):
        raise DataFormatError(
            f"{path}: this is a Git LFS pointer that stands for the data, not the data; "
            "fetch the file itself (git lfs pull, or the study's .tar.gz)"
        )
    if start[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataFormatError(
            f"{path}: this is a web page, not {expected}; the address it came from is wrong or moved, so "
            "get the file from the source's own site"
        )
    if start.startswith(GZIP_MAGIC):
        raise DataFormatError(f"{path}: this is compressed; {expected} is expected, so unpack it first (gunzip)")
    if b"\x00" in start:
        raise DataFormatError(f"{path}: this is a binary file, not {expected}; check the path, or get the file again")
