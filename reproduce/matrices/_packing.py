"""Bytes of a file, with gzip around them or not, read and written whole; never looks at what they say."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from reproduce.errors import DataFormatError
from reproduce.files import atomic_path

_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 24
#: Numbers shrink little beyond this level, which takes a third of the default's time.
_GZIP_LEVEL = 4


def read_bytes(path: Path, compressed: bool) -> bytes:
    """The file's content without compression."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if not data:
        raise DataFormatError(f"{path}: the file is empty; get it again")
    if data.startswith(_GZIP_MAGIC) != compressed:
        told = "is not compressed, as .gz says" if compressed else "is compressed, which its name does not say"
        raise DataFormatError(f"{path}: the file {told}; rename it {'without' if compressed else 'with'} .gz")
    return _unpacked(data, path) if compressed else data


def _unpacked(data: bytes, path: Path) -> bytes:
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    parts, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while part := stream.read(_BLOCK):
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise DataFormatError(f"{path}: the unpacked file is larger than this machine's memory; split it")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFormatError(f"{path}: the compressed file is cut short or damaged ({error}); get it again") from error
    return b"".join(parts)


def write_bytes(parts: Iterable[bytes], path: Path, compressed: bool) -> Path:
    """Write parts one behind the other, whole or not at all; equal parts give equal files."""
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        if not compressed:
            handle.writelines(parts)
            return path
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=handle, mtime=0) as packed:
            for part in parts:
                packed.write(part)
    return path
