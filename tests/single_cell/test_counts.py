"""What are no counts is refused by name; division, thinning and sources do what they say."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from reproduce.errors import ConfigError, DataFormatError
from reproduce.single_cell import counts as counts_room
from reproduce.single_cell.counts import check_counts, divide, load_counts, simulated_counts, thin


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.coo_array])
@pytest.mark.parametrize(
    ("value", "what"), [(-1, "negative"), (0.5, "fractional"), (np.nan, "missing"), (np.inf, "infinite")]
)
def test_what_is_no_count_is_named(form, value, what):
    X = np.ones((3, 4))
    X[1, 2] = value
    with pytest.raises(DataFormatError, match=f"cell B, gene g3 is {what}"):
        check_counts(form(X), cells=np.array(list("ABC")), genes=np.array(["g1", "g2", "g3", "g4"]))


def test_empty_cells_and_shapes_are_named():
    with pytest.raises(DataFormatError, match="Cell 1 "):
        check_counts(np.array([[1, 0], [0, 0]]))
    for wrong in (np.ones(3), np.ones((0, 3)), [["a"]]):
        with pytest.raises(DataFormatError):
            check_counts(wrong)


def test_divisions_are_81_to_19_and_depend_on_the_seed():
    parts = divide(1000, 0)
    assert [len(part) for part in parts] == [810, 90, 100]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    other = divide(1000, 1)
    assert set(other[0]) != set(parts[0])
    # what one seed's search saw is never scored by another seed
    assert list(other[2]) == list(parts[2])
    with pytest.raises(ConfigError, match="20"):
        divide(3, 0)


def test_thinning_keeps_every_molecule_and_takes_its_share():
    data = simulated_counts()
    visible, held_out = thin(data.counts, 0.1, 3)
    assert (visible + held_out != data.counts).nnz == 0
    assert held_out.sum() / data.counts.sum() == pytest.approx(0.1, rel=0.02)
    assert visible.data.min() > 0 and held_out.data.min() > 0


def test_sources_are_found_or_refused(tmp_path, monkeypatch):
    data = simulated_counts(30, 20)
    path = tmp_path / "cells.h5ad"
    cells, genes, kinds = (pd.Index(names, dtype=object) for names in (data.cells, data.genes, data.labels))
    obs = pd.DataFrame({"kind": pd.Categorical(kinds)}, index=cells)
    table = anndata.AnnData(data.counts.astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))
    table.layers["counts"], table.X = table.X.copy(), table.X.log1p()
    table.write_h5ad(path)
    read = load_counts(str(path), label="kind", n_genes=5)
    assert read.counts.shape[1] == 5 and read.n_labels == data.n_labels
    table.obs["kind"] = table.obs["kind"].where(np.arange(30) > 9)
    table.write_h5ad(path)
    assert set(load_counts(str(path), label="kind").labels[:10]) == {""}
    with pytest.raises(ConfigError, match="kind"):
        load_counts(str(path), label="sort")
    del table.layers["counts"]
    table.write_h5ad(path)
    with pytest.raises(DataFormatError, match=r"cells\.h5ad: .*fractional"):
        load_counts(str(path))
    with pytest.raises(ConfigError, match="pbmc"):
        load_counts("PBMC")
    monkeypatch.setattr(counts_room, "find_spec", lambda name: None)
    monkeypatch.setenv("REPRODUCE_DATA", str(tmp_path))
    assert load_counts().simulated
    with pytest.raises(ConfigError, match="scanpy"):
        load_counts("pbmc")
    with pytest.raises(ConfigError, match="REPRODUCE_DATA"):
        load_counts("mouse_nervous")


def test_counts_that_come_with_scanpy_are_whole():
    if counts_room._pbmc_file() is None:
        pytest.skip("scanpy is not installed")
    data = load_counts("pbmc")
    assert data.counts.shape == (700, 765) and data.n_labels == 10


def test_the_mouse_s_cells_are_read(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    data = load_counts("mouse_nervous")
    assert data.counts.shape == (1342, 27998) and data.counts.nnz == 2_626_811 and data.n_labels == 3
