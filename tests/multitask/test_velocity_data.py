"""Containers and files come back as they were, errors name what is wrong, clusters are balanced, cells are divided."""

import h5py
import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.multitask import data as velocities
from reproduce.multitask.clusters import assign_balanced, balanced_kmeans, velocity_profiles
from reproduce.multitask.layout import read_layout, write_layout
from reproduce.multitask.simulator import Simulation, simulate
from reproduce.multitask.sources import available_dentate, load_velocities, steady_state_velocity

SMALL = Simulation(n_cells=30, n_factors=8, genes_per_module=5, factors_per_gene=2)


@pytest.fixture
def simulated():
    return simulate(SMALL, 0)


@pytest.fixture
def folder(simulated, tmp_path):
    return write_layout(simulated, tmp_path / "tables")


def test_tables_and_containers_come_back_as_they_were(simulated, folder):
    for back in (
        velocities.velocity_data(read_layout(folder)),
        velocities.velocity_data(velocities.as_anndata(simulated)),
    ):
        order = [list(back.factors).index(name) for name in simulated.factors]
        np.testing.assert_allclose(back.expression[:, order], simulated.expression, atol=1e-5)
        np.testing.assert_array_equal(back.velocity, simulated.velocity)
        for found, wanted in zip(back.activities, simulated.activities, strict=True):
            np.testing.assert_allclose(found[:, order], wanted, atol=1e-5)
        assert list(back.genes) == list(simulated.genes) and list(back.tissues) == list(simulated.tissues)


def test_cells_are_joined_by_barcode_and_ids_lose_their_version(simulated, folder):
    with h5py.File(folder / "velo.hdf5", "r+") as file:
        group = file["tissue 1"]
        order = np.arange(30)[::-1]
        barcodes, values = group["barcode"][()][order], group["velo"][()][order]
        barcodes[0] = b"elsewhere"
        del group["barcode"], group["velo"]
        group["barcode"], group["velo"] = barcodes, values
    adata = read_layout(folder, ["tissue 1"])
    assert adata.uns["joined"] == {"tissue 1": "29 of 30"} and adata.n_obs == 29
    row = adata.obs_names.get_loc("tissue 1:cell3")
    np.testing.assert_array_equal(adata[row, simulated.genes].layers["velocity"][0], simulated.velocity[2])


def _without_group(folder):
    with h5py.File(folder / "rpkm.hdf5", "r+") as file:
        del file["tissue 2"]


def _without_barcodes(folder):
    with h5py.File(folder / "velo.hdf5", "r+") as file:
        del file["tissue 1"]["barcode"]


def _other_barcodes(folder):
    with h5py.File(folder / "velo.hdf5", "r+") as file:
        group = file["tissue 1"]
        group["barcode"][...] = np.asarray([f"x{k}" for k in range(30)], "S")


def _one_gene_less(folder):
    with h5py.File(folder / "velo.hdf5", "r+") as file:
        names = file["tissue 1"]["ensembl"][()][:-1]
        del file["tissue 1"]["ensembl"]
        file["tissue 1"]["ensembl"] = names


def _transposed(folder):
    path = folder / "tissue 1_tfGeneMean.csv"
    pd.read_csv(path, index_col=0).T.to_csv(path)


def _other_species(folder):
    (folder / "tf_list.txt").write_text("Hoxa9\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without_group, "rpkm.hdf5 has no group 'tissue 2'; there are tissue 1"),
        (_without_barcodes, "'barcode' is missing"),
        (_other_barcodes, "no barcode of velo.hdf5"),
        (_one_gene_less, "30 barcodes and 4 genes"),
        (_transposed, "seems to be transposed"),
        (_other_species, "None of the 1 factors listed .Hoxa9"),
        (lambda folder: (folder / "tissue 2_tfGeneSum.csv").unlink(), "tissue 2_tfGeneSum.csv is not there, though"),
        (lambda folder: (folder / "velo.hdf5").write_text("no"), "no HDF5 file"),
    ],
)
def test_damaged_tables_are_named(folder, damage, said):
    damage(folder)
    with pytest.raises(DataFormatError, match=said):
        read_layout(folder)


def test_containers_that_lack_something_are_named(simulated):
    whole = velocities.as_anndata(simulated)
    flat, hollow, partial, mute = (whole.copy() for _ in range(4))
    flat.X[:, 2] = 1.0
    with pytest.raises(DataFormatError, match="factor factor3 is the same"):
        velocities.velocity_data(flat)
    assert "factor3" not in velocities.velocity_data(flat, drop_constant=True).factors
    hollow.X[4, 1] = np.nan
    with pytest.raises(DataFormatError, match="factor2 in cell cell5 is nan"):
        velocities.velocity_data(hollow)
    del partial.varm["mean_activity:tissue 2"]
    with pytest.raises(DataFormatError, match="mean_activity:tissue 2"):
        velocities.velocity_data(partial)
    del mute.layers["velocity"]
    with pytest.raises(DataFormatError, match="no layer"):
        velocities.velocity_data(mute)
    with pytest.raises(DataFormatError, match="None of the factors, such as Sox2"):
        velocities.velocity_data(whole, factors=["Sox2"])


def test_test_cells_are_those_of_no_gene_and_samples_have_their_size(simulated):
    train, test = velocities.divide(simulated, 0)
    assert not set(train) & set(test) and len(test) == 6
    velocity = simulated.velocity.copy()
    velocity[5:, 1] = np.nan
    sampled = velocities.sample_velocities(velocity, 12, 0)
    assert list(np.isfinite(sampled).sum(axis=0)) == [12, 5, 12, 12, 12]
    kept = np.isfinite(sampled)
    assert (sampled[kept] == velocity[kept]).all() and not (kept[:, 0] == kept[:, 2]).all()
    assert len(velocities.VelocityData.measured(simulated, 10).genes) == 5
    with pytest.raises(DataFormatError, match="more than 60 cells"):
        simulated.measured(60)


def test_clusters_are_balanced_and_exact():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 20, (3, 4))
    truth = np.repeat([0, 1, 2], [26, 26, 25])
    labels = balanced_kmeans(centres[truth] + rng.normal(size=(77, 4)), 3)
    assert (labels == truth).all()
    # nine points of one place and one elsewhere still make halves
    assert sorted(np.bincount(balanced_kmeans(np.array([[0.0]] * 9 + [[9.0]]), 2))) == [5, 5]
    costs = rng.random((5, 2))
    halves = [np.array([int(bit) for bit in f"{k:05b}"]) for k in range(32)]
    best = min((h for h in halves if sum(h) in (2, 3)), key=lambda h: costs[np.arange(5), h].sum())
    assert (assign_balanced(costs) == best).all()
    assert velocity_profiles(np.array([[1.0, np.nan], [3.0, 2.0]])).tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    with pytest.raises(ConfigError, match="n_clusters is 4"):
        balanced_kmeans(np.zeros((3, 1)), 4)


def test_related_genes_follow_one_programme_and_strangers_do_not():
    for related, rank in ((1.0, 1), (0.0, 6)):
        drawn = simulate(Simulation(n_cells=20, genes_per_module=6, relatedness=related), 1)
        assert np.linalg.matrix_rank(drawn.regulation) == rank
        ratio = (drawn.velocity - drawn.truth).std(axis=0) / drawn.truth.std(axis=0)
        assert ratio == pytest.approx(np.full(6, 0.5), rel=0.4)
    assert simulate(SMALL, 3).fingerprint() == simulate(SMALL, 3).fingerprint() != simulate(SMALL, 4).fingerprint()
    with pytest.raises(ConfigError, match="factors_per_gene"):
        Simulation(n_factors=3)


def test_steady_state_velocity_is_0_on_the_line_and_positive_above():
    spliced = np.linspace(0, 10, 41)[:, None]
    unspliced = 0.3 * spliced
    np.testing.assert_allclose(steady_state_velocity(spliced, unspliced), 0.0, atol=1e-12)
    unspliced[20] += 1.0
    assert steady_state_velocity(spliced, unspliced)[20] == pytest.approx(1.0)


def test_dentate_gyrus_is_read(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    if not (names := available_dentate()):
        pytest.skip("no mtlrank/ there")
    for name in names:
        found = load_velocities(name)
        assert len(found.cells) == 100 and len(found.factors) >= 10 and np.isfinite(found.velocity).any(axis=0).all()
        assert not set(found.genes) & set(found.factors)
    with pytest.raises(ConfigError, match="Unknown velocities 'liver'"):
        load_velocities("liver")
