"""Layers are matched by sample's name, bad ones refused by name; divisions are stratified; files come back the same."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.multiomics.paired import PairedOmics, divide, load_paired, read_paired, write_paired
from reproduce.multiomics.simulator import simulated_omics

UNITS = {"mRNA": "log2", "methylation": "beta-value"}


def tables():
    samples = ["s1", "s2", "s3"]
    mRNA = pd.DataFrame(np.arange(6.0).reshape(3, 2), samples, ["A", "B"])
    methylation = pd.DataFrame(np.arange(6.0).reshape(3, 2) / 10, samples, ["cg1", "cg2"])
    return mRNA, methylation, pd.Series(["x", "y", "x"], samples)


def build(mRNA, methylation, clusters):
    return PairedOmics.from_tables(mRNA, methylation, clusters, units=UNITS, name="t", source="a test")


def test_rows_are_matched_by_name():
    mRNA, methylation, clusters = tables()
    omics = build(mRNA, methylation.iloc[::-1], clusters.iloc[[2, 0, 1]])
    assert omics.fingerprint() == build(mRNA, methylation, clusters).fingerprint()
    assert omics.rows([2, 0]).layer("methylation").loc["s1", "cg2"] == pytest.approx(0.1)
    assert list(omics.rows([1]).clusters) == ["y"]
    with pytest.raises(ConfigError, match="protein"):
        omics.layer("protein")


def test_sources_and_their_options(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(tmp_path))
    assert load_paired("auto", if_simulated={"n_samples": 12}).data.n_obs == 12
    for which, options, words in (
        ("auto", {"n_samples": 9}, "n_samples"),
        ("brca", {"n_samples": 9}, "no options"),
        ("brca", {}, "REPRODUCE_DATA"),
        ("tcga", {}, "Unknown paired omics"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_paired(which, **options)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m, b, c: (m, b.drop("s2"), c), "s2 is not in the methylation"),
        (lambda m, b, c: (m, b, c.drop("s3")), "s3 is not in the clusters"),
        (lambda m, b, c: (m.drop("s1"), b, c), "s1 is not in the mRNA"),
        (lambda m, b, c: (m.set_axis(["A", "A"], axis=1), b, c), "Feature A stands twice in the mRNA"),
        (lambda m, b, c: (m.set_axis(["s1", "s2", "s1"]), b, c), "Sample s1 stands twice in the mRNA"),
        (lambda m, b, c: (m.mask(m == 3), b, c), "sample s2, feature B, is no finite number"),
        (lambda m, b, c: (m, b * 3, c), "sample s3, feature cg1, is no beta-value"),
        (lambda m, b, c: (m, b, c.mask(c == "y")), "s2 has no cluster"),
    ],
)
def test_bad_tables_are_named(spoil, words):
    with pytest.raises(DataFormatError, match=words):
        build(*spoil(*tables()))


def test_files_come_back_the_same(tmp_path):
    omics = simulated_omics(20, seed=3)
    for given in (omics, omics.methylation_as("M-value")):
        back = read_paired(write_paired(given, tmp_path / "cohort"))
        assert list(back.clusters) == list(given.clusters)
        assert back.units == given.units == {**omics.units, "methylation": given.units["methylation"]}
        assert back.fingerprint() == given.fingerprint()  # to the last digit


def test_tables_as_r_writes_them_are_read(tmp_path):
    (tmp_path / "mRNA.txt").write_text('"A" "B"\n"s1" 1 2\n"s2" 3 4.5\n')
    (tmp_path / "meth.txt").write_text('"cg1"\n"s2" -0.1\n"s1" 0.3\n')
    (tmp_path / "clusters.txt").write_text('"subjects" "cluster.id"\n"1" "s1" 2\n"2" "s2" 1\n')
    omics = load_paired(tmp_path)
    (tmp_path / "mRNA.txt").write_text('"gene A"  "gene B" \n"s1" 1 2\n"s2" 3 4.5\n')
    assert list(load_paired(tmp_path).layer("mRNA").columns) == ["gene A", "gene B"]
    assert omics.units["methylation"] == "M-value" and list(omics.clusters) == ["2", "1"]
    assert omics.layer("methylation").to_numpy().ravel() == pytest.approx([0.3, -0.1])
    (tmp_path / "meth.txt").write_text('"cg1" "cg1"\n"s2" -0.1 1\n"s1" 0.3 1\n')
    with pytest.raises(DataFormatError, match="cg1 stands twice"):
        load_paired(tmp_path)
    (tmp_path / "meth.txt").unlink()
    with pytest.raises(DataFormatError, match=r"meth\.txt is not there"):
        load_paired(tmp_path)


def test_units_convert_and_come_back():
    omics = simulated_omics(30)
    there = omics.methylation_as("M-value")
    back = there.methylation_as("beta-value").layer("methylation")
    assert there.layer("methylation").to_numpy().min() < 0
    pd.testing.assert_frame_equal(back, omics.layer("methylation"), atol=2e-6)


def test_divisions_are_stratified_and_refuse_what_they_cannot_divide():
    clusters = np.repeat(["a", "b"], [40, 10])
    train, test = divide(clusters, 0, 0.3)
    assert sorted([*train, *test]) == list(range(50))
    assert [(clusters[test] == name).sum() for name in "ab"] == [12, 3]
    assert list(divide(clusters, 1, 0.3)[1]) != list(test)
    with pytest.raises(ConfigError, match="Cluster c has 1"):
        divide(np.array([*clusters, "c"]), 0)


def test_the_patients_of_brca_are_read(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    omics = load_paired("auto")
    assert omics.data.shape == (769, 1000) and omics.units["methylation"] == "M-value"
    assert pd.Series(omics.clusters).value_counts()["LumA"] == 419
    assert list(omics.layer("methylation").columns) == list(omics.layer("mRNA").columns)
