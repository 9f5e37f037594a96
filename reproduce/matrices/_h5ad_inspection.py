"""Walks through an .h5ad file in a process of its own before this one reads it; never judges what the file holds.

A damaged file can send the HDF5 library into an endless loop, or crash the process that it is in, and neither can be
caught there. The other process reads names, attributes and the index of every chunk of the parts that will be read, and
all values of what is small; it imports h5py and nothing of this package. If it comes back, whether with an error of
h5py's or without, so will this process, which then finds the error itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What is waited for: so long in any case, which is a hundred times of what a whole file takes, and longer for large
#: files, which may lie on a slow disk.
LEAST_SECONDS, BYTES_A_SECOND = 60.0, 10_000_000
#: Values of more bytes than this are not read twice; of those in chunks the index is still gone through.
READ_BYTES = 1 << 25
_TOO_LARGE = 3


@contextlib.contextmanager
def inspected(data: bytes, path: Path, layer: str | None) -> Iterator[None]:
    """Have a file walked through while the body of the `with` runs, such as imports; wait for that at its end.

    Parameters
    ----------
    data : bytes
        Of the file, unpacked.
    path : Path
        The file itself, packed or not.
    layer : str, optional
        As of `reproduce.matrices._h5ad.read_h5ad`.

    Raises
    ------
    DataFormatError
        If the process crashes, is not done in time, or finds more values than fit into memory.
    """
    from reproduce.errors import DataFormatError

    limit = LEAST_SECONDS + len(data) / BYTES_A_SECOND
    with _on_disk(data, path) as place:
        process = _started(place, layer)
        try:
            yield
            _, said = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            why = f"the HDF5 library was not done with it within {limit:.0f} s"
        else:
            why = _told(process.returncode, said)
        finally:  # also after an interrupt
            process.kill()
            process.wait()
            process.stderr.close()
    if why:
        raise DataFormatError(f"{path}: the .h5ad file is damaged ({why}); get it again, or write it with a current "
                              "anndata")  # fmt: skip


@contextlib.contextmanager
def _on_disk(data: bytes, path: Path) -> Iterator[Path]:
    """A file of these bytes: the one that they were read from, unless that was packed or a pipe."""
    if path.suffix.lower() != ".gz" and path.is_file() and path.stat().st_size == len(data):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "unpacked.h5ad"
        place.write_bytes(data)
        yield place


def _started(place: Path, layer: str | None) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-P", __file__, os.path.abspath(place), "X" if layer is None else f"layers/{layer}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def _told(status: int, said: bytes) -> str:
    """What a process that has ended tells of the file; empty if all is well."""
    from reproduce.errors import ReproduceError

    if status == 0:
        return ""
    last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    if status == _TOO_LARGE:
        return last
    if status < 0:
        return f"the HDF5 library crashed on it with signal {-status}"
    raise ReproduceError(f"the process that looks through .h5ad files ended with status {status} ({last}); is h5py "
                         f"installed for {sys.executable}?")  # fmt: skip


# --- in the other process ---


def _walk_through(place: str, key: str) -> None:
    """Touch all that reading the matrix `key` and the tables of samples and genes will touch."""
    import h5py

    with contextlib.suppress(Exception), h5py.File(place, "r") as file:
        seen: set[int] = set()
        for name in ("layers", "obs", "var", key):
            with contextlib.suppress(Exception):
                _walk(file[name], seen, deep=name != "layers")


def _walk(item: Any, seen: set[int], *, deep: bool = True) -> None:
    """Go through an object and, if `deep`, what is in it; an error in one place does not end the others."""
    import h5py

    for name in list(item.attrs):
        with contextlib.suppress(Exception):
            item.attrs[name]
    if isinstance(item, h5py.Dataset):
        _read(item)
        return
    address = h5py.h5o.get_info(item.id).addr
    names = list(item)
    if not deep or address in seen:  # a damaged group can be in itself
        return
    seen.add(address)
    for name in names:
        with contextlib.suppress(Exception):
            _walk(item[name], seen)


def _read(values: Any) -> None:
    n_bytes = values.size * values.dtype.itemsize
    if n_bytes > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        print(f"{values.name} claims {n_bytes / 1e9:,.0f} GB, more than this machine's memory", file=sys.stderr)
        sys.exit(_TOO_LARGE)
    if values.chunks is not None:
        values.id.chunk_iter(lambda chunk: None)
    if n_bytes <= READ_BYTES:
        values[()]


if __name__ == "__main__":
    _walk_through(*sys.argv[1:])
