"""Matrices on disk that are damaged, or something else: the error names the file and says what to do."""

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from reproduce.errors import DataFormatError
from reproduce.loaders.row_files import RowSource, open_rows, write_rows


@pytest.fixture
def whole(tmp_path):
    """Writes a whole file of AnnData under this name."""

    def write(name):
        tables = pd.DataFrame(index=list("abc")), pd.DataFrame(index=["TP53", "MDM2"])
        values = np.ones((3, 2), np.float32)
        with write_rows(tmp_path / name, RowSource(values, "made", *tables)) as rows:
            rows(slice(0, 3), values)
        return tmp_path / name

    return write


def refused(path, match):
    with pytest.raises(DataFormatError, match=match) as found:
        open_rows(path)
    assert str(path) in str(found.value)


def test_what_is_no_file_of_its_kind_is_named(tmp_path):
    for name in ("text.h5ad", "text.zarr"):
        (tmp_path / name).write_text("gene,TP53\n")
        refused(tmp_path / name, "get it again")
    for name in ("folder.h5ad", "folder.zarr"):
        (tmp_path / name).mkdir()
        refused(tmp_path / name, "get it again")


def test_a_file_that_is_cut_short_is_named(whole):
    path = whole("cut.h5ad")
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "get it again")
    path = whole("cut.zarr")
    listing = next(path / name for name in ("zarr.json", ".zmetadata") if (path / name).exists())
    listing.write_text(listing.read_text()[:-50])
    refused(path, "get it again")


@pytest.mark.parametrize("ending", [".h5ad", ".zarr"])
@pytest.mark.parametrize("part", ["X", "obs", "var"])
def test_a_part_that_is_absent_is_named(ending, part, whole):
    path = whole(f"part{ending}")
    del_part(path, part)
    refused(path, f"lacks '{part}'")


def del_part(path, part):
    if path.suffix == ".h5ad":
        with h5py.File(path, "r+") as file:
            del file[part]
        return
    store = zarr.open_group(path, mode="r+", use_consolidated=False)
    del store[part]
    zarr.consolidate_metadata(store.store)


def test_tables_that_are_none_or_of_other_rows_are_named(whole):
    path = whole("kind.h5ad")
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["encoding-type"] = "no such kind"
    refused(path, "no such kind|IORegistryError")
    path = whole("plain.zarr")
    store = zarr.open_group(path, mode="r+", use_consolidated=False)
    del store["obs"]
    store.create_group("obs")
    zarr.consolidate_metadata(store.store)
    refused(path, "obs is no table")
    path = whole("longer.zarr")
    store = zarr.open_group(path, mode="r+", use_consolidated=False)
    del store["X"]
    store.create_array("X", shape=(4, 2), dtype="float32")
    zarr.consolidate_metadata(store.store)
    refused(path, "obs has 3 rows where X has 4")
