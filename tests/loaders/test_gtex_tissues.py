"""All of GTEx's tissues in one cohort: which stay, which are left out and said so, and their names and colours."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders import gtex_tissues
from reproduce.loaders.gtex import GTEX_TISSUES
from reproduce.loaders.gtex_tissues import load_gtex_v8_tissues, read_tissue_csv, tissue_folder, tissue_table
from reproduce.loaders.study import detect_source, load_study

WHOLE = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.gct"
EXCERPT = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.two_genes.gct.gz"
PHENOTYPES = "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
ATTRIBUTES, DERIVED = "GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt", "samples_v8_rnaseq.tsv.gz"
# sample -> tissue; lung of three donors, blood of one (twice), and one sample whose tissue nobody knows.
TISSUES = {
    "GTEX-A-0001-SM-1": "Lung",
    "GTEX-B-0001-SM-2": "Lung",
    "GTEX-C-0001-SM-3": "Lung",
    "GTEX-A-0002-SM-4": "Whole Blood",
    "GTEX-A-0003-SM-5": "Whole Blood",
    "GTEX-B-0004-SM-6": "",
}
LABELS = pd.DataFrame({"SAMPID": list(TISSUES), "SMTS": "x", "SMTSD": list(TISSUES.values())})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An excerpt whose second line is the original's, with the portal's annotations, in a data folder's subfolder."""
    monkeypatch.setenv("REPRODUCE_DATA", str(tmp_path))
    folder = tmp_path / "gtex_v8"
    folder.mkdir()
    lines = ["#1.2", "56200\t17382", "\t".join(["Name", "Description", *TISSUES])]
    lines += ["ENSG00000171862.9\tPTEN\t" + "\t".join("123456"), "ENSG00000141510.1\tTP53\t" + "\t".join("654321")]
    (folder / EXCERPT).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    (folder / PHENOTYPES).write_text("SUBJID\tSEX\tAGE\nGTEX-A\t1\t50-59\nGTEX-B\t2\t20-29\nGTEX-C\t1\t70-79\n")
    other_assay = pd.DataFrame({"SAMPID": ["GTEX-C-0009-SM-9"], "SMTS": ["Blood"], "SMTSD": ["Whole Blood"]})
    portal = pd.concat([LABELS, other_assay]).assign(SMAFRZE="RNASEQ", SMRIN="7.1")
    portal.to_csv(folder / ATTRIBUTES, sep="\t", index=False)
    return folder


def test_tissues_of_too_few_donors_and_unknown_ones_are_left_out_and_said(folder):
    cohort = load_gtex_v8_tissues(folder, min_samples=2)
    assert list(cohort.obs_names) == list(TISSUES)[:3]
    assert set(cohort.obs["tissue"]) == {"Lung"}
    np.testing.assert_array_equal(cohort.X, [[1, 6], [2, 5], [3, 4]])
    notes = " | ".join(cohort.uns["notes"])
    assert "fewer than 2 donors are left out: Whole Blood (1)" in notes
    assert "1 samples" in notes and "without a tissue" in notes
    assert load_gtex_v8_tissues(folder, min_samples=1).obs["tissue"].value_counts().to_dict() == {
        "Lung": 3,
        "Whole Blood": 2,
    }
    with pytest.raises(DataFormatError, match=r"no tissue has samples of 70 donors \(the most is 3\)"):
        load_gtex_v8_tissues(folder)


def test_the_derived_table_of_tissues_serves_as_the_portals(folder):
    portals = load_gtex_v8_tissues(folder, min_samples=1)
    (folder / ATTRIBUTES).unlink()
    LABELS.assign(tissue_source="by hand").to_csv(folder / DERIVED, sep="\t", index=False)
    derived = load_gtex_v8_tissues(folder, min_samples=1)
    pd.testing.assert_frame_equal(derived.obs, portals.obs)
    packed = (folder / DERIVED).read_bytes()
    (folder / DERIVED).write_bytes(packed[:-9])
    with pytest.raises(DataFormatError, match=f"{DERIVED}: the compressed file is cut short"):
        load_gtex_v8_tissues(folder, min_samples=1)


@pytest.mark.parametrize("name", [ATTRIBUTES, PHENOTYPES])
def test_an_absent_annotation_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataFormatError, match=f"{name} not here; `reproduce download gtex-v8`"):
        load_gtex_v8_tissues(folder)


def test_a_set_the_excerpt_lacks_is_an_error_unless_reported(folder):
    with pytest.raises(DataFormatError, match="63 of 65 genes of the set 'p53' are not in it"):
        load_gtex_v8_tissues(folder, "p53", min_samples=1)
    kept = load_gtex_v8_tissues(folder, "p53", min_samples=1, missing="report")
    assert list(kept.var_names) == ["PTEN", "TP53"]


def test_two_excerpts_are_refused_and_the_whole_table_goes_first(folder, monkeypatch):
    other = folder / EXCERPT.replace("two", "other")
    shutil.copy(folder / EXCERPT, other)
    with pytest.raises(DataFormatError, match=f"{other.name} and {EXCERPT} are excerpts"):
        load_gtex_v8_tissues(folder, min_samples=1)
    text = gzip.decompress(other.read_bytes()).decode().replace("PTEN", "PTENX")
    (folder / WHOLE).write_text(text)
    assert "PTENX" in load_gtex_v8_tissues(folder, min_samples=1).var_names
    monkeypatch.setattr(gtex_tissues, "_LARGEST_WHOLE", 10)
    with pytest.raises(ConfigError, match="name a gene set"):
        load_gtex_v8_tissues(folder, min_samples=1)


def test_the_folder_is_found_by_itself_or_by_name_and_never_taken_for_another_source(folder, tmp_path):
    assert tissue_folder(folder) == tissue_folder(tmp_path) == folder
    folder.rename(tmp_path / "gtex-v8-tissues")
    assert tissue_folder(tmp_path).name == "gtex-v8-tissues"
    with pytest.raises(DataFormatError, match="no data known here"):
        detect_source(tmp_path)
    shutil.rmtree(tmp_path / "gtex-v8-tissues")
    assert tissue_folder(tmp_path) is None
    with pytest.raises(DataFormatError, match="no GTEx table of all samples"):
        load_study("gtex-v8-tissues")


# --- GTEx's own table ---


def test_the_table_has_gtexs_tissues_and_the_papers_samples():
    table = tissue_table()
    assert tuple(table.index) == GTEX_TISSUES
    assert table["colour"].str.fullmatch("#[0-9A-F]{6}").all()
    assert table["abbreviation"].is_unique
    assert (table["n_eqtl_samples"] > 0).sum() == 49
    assert table["n_eqtl_samples"].sum() == 15_201
    assert table["n_samples"].sum() == 17_382
    assert ((table["n_samples"] >= 70) == (table["n_eqtl_samples"] > 0)).all()
    assert table.loc[table["organ"] == "Brain", "colour"].nunique() == 1
    assert table.at["Whole Blood", "colour"] == "#FF00BB"
    table.loc[:, "colour"] = ""
    assert tissue_table().at["Lung", "colour"] == "#99FF00", "a caller's change stays the caller's"


def test_every_tissue_hangs_on_the_tree():
    tree = read_tissue_csv("tree")
    assert tree["node"].is_unique and (tree["step"] > 0).all()
    reached = {"body"}
    for node, parent, _ in tree.itertuples(index=False):
        assert parent in reached, f"{node} stands before its parent"
        reached.add(node)
    assert set(GTEX_TISSUES) <= reached
    assert not set(GTEX_TISSUES) & set(tree["parent"])


# --- by name ---


def test_simulated_tissues_load_by_name():
    study = load_study("embedded-tissues", gene_set="p53", seed=1)
    assert not study.is_real and study.truth is not None
    assert list(study.cohorts) == ["GTEx"]
    assert study.cohorts["GTEx"].shape == (15_201, 65)
    assert all(note.startswith("GTEx: ") for note in study.notes)
    with pytest.raises(ConfigError, match="unknown gene set 'p54'"):
        load_study("embedded-tissues", gene_set="p54")


def test_the_real_tissues_are_the_papers_49(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    study = load_study("gtex-v8-tissues")
    cohort = study.cohorts["GTEx"]
    table = tissue_table()
    assert study.is_real and cohort.shape == (17_325, 59)
    assert set(cohort.obs["tissue"]) == set(table.index[table["n_eqtl_samples"] > 0])
    # The derived labels miss four samples.
    counts = cohort.obs["tissue"].value_counts()
    assert (table.loc[counts.index, "n_samples"] - counts).between(0, 1).all()
    assert not cohort.obs.duplicated(["donor", "tissue"]).any()
    people = cohort.obs.drop_duplicates("donor").value_counts(["sex", "age"])
    donors = read_tissue_csv("donors").set_index(["sex", "age"])["n_donors"]
    assert donors.sum() == len(cohort.obs["donor"].unique()) == 948
    assert {(sex, float(age)): n for (sex, age), n in donors.items()} == people.to_dict()
