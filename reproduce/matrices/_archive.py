"""Named arrays of numbers as an .npz archive, and back; never unpickles, and reserves no memory that the file lacks.

Archives are not compressed, so that no member can be larger than the file that holds it, and every member's header must
say exactly the number of bytes that follow.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reproduce.errors import DataFormatError

_ENDING = ".npy"
_MAGIC = b"\x93NUMPY\x01\x00"
#: The header as NumPy writes it for plain numbers; read by this pattern, since NumPy's reader parses Python.
_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf][1248])', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}, )*(?:\d{1,19},?)?)\), \} *\n"
)
#: All dates are the same, so that equal models are equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


def is_plain(dtype: np.dtype) -> bool:
    """Whether arrays of this dtype are stored: truth values, integers, and floats of at most 64 bits."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, C or Fortran ordered as they are, of which `is_plain` is true."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            array = array.astype(array.dtype.newbyteorder("<"), order="K", copy=False)
            with archive.open(zipfile.ZipInfo(name + _ENDING, _DATE), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def read_arrays(handle: BinaryIO, *, source: str) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Parameters
    ----------
    handle : binary file
        Open for reading.
    source : str
        Named in errors.

    Raises
    ------
    DataFormatError
        For anything but an uncompressed archive of plain arrays whose headers say their true size.
    """
    size = os.fstat(handle.fileno()).st_size
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(handle) as archive:
            left = size
            for info in archive.infolist():
                name = info.filename.removesuffix(_ENDING)
                left -= info.file_size
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or left < 0:
                    raise ValueError(f"member {info.filename!r} is compressed or larger than the file")
                if name == info.filename or name in arrays:
                    raise ValueError(f"member {info.filename!r} is no array, or is there twice")
                with archive.open(info) as member:
                    arrays[name] = _read(member, info)
    except (
        ValueError,
        TypeError,
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise DataFormatError(
            f"{source} is damaged or was not written by this package: {error}. Copy the model again, or train it anew."
        ) from None
    return arrays


def _read(member: BinaryIO, info: zipfile.ZipInfo) -> np.ndarray:
    start = member.read(len(_MAGIC) + 2)
    header = member.read(int.from_bytes(start[len(_MAGIC) :], "little"))
    told = _HEADER.fullmatch(header) if start[: len(_MAGIC)] == _MAGIC else None
    if told is None:
        raise ValueError(f"member {info.filename!r} is no array of plain numbers (pickled objects are never loaded)")
    dtype, fortran_order = np.dtype(told[1].decode()), told[2] == b"True"
    shape = tuple(int(length) for length in told[3].split(b",") if length.strip())
    count = math.prod(shape)
    if count * dtype.itemsize != info.file_size - member.tell():
        raise ValueError(f"member {info.filename!r} says shape {shape}, for which there are not the bytes")
    array = np.empty(count, dtype=dtype)
    room = memoryview(array.view(np.uint8)) if count else memoryview(b"")
    while room:
        n = member.readinto(room)
        if not n:
            raise EOFError(f"member {info.filename!r} ends too early")
        room = room[n:]
    return array.reshape(shape, order="F" if fortran_order else "C")
