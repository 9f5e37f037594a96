"""RNAseqDB in both its forms: the same cohorts, genes by their symbols, and no donor on both sides."""

import gzip
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from reproduce.errors import DataFormatError
from reproduce.loaders.gene_sets import gene_set
from reproduce.loaders.rnaseqdb import NORMAL, RNASEQDB_TUMOURS, load_rnaseqdb, rnaseqdb_folder
from reproduce.loaders.study import load_study

P53 = gene_set("p53")
P53_ROWS = tuple(P53.table[["symbol", "entrez_id"]].itertuples(index=False))
# The source's layout: a table's name, and its samples.
TABLES = {
    "kidney-rsem-fpkm-gtex": ["GTEX-AAAA-0226-SM-1AAAA", "GTEX-BBBB-0226-SM-1BBBB"],
    "uterus-rsem-fpkm-gtex": ["GTEX-AAAA-0326-SM-2AAAA"],
    "coad-rsem-fpkm-tcga": ["TCGA-AA-0001-11A-01R-A32Z-07"],
    "lihc-rsem-fpkm-tcga": ["TCGA-BB-0002-11A-01R-A32Z-07"],
    "kich-rsem-fpkm-tcga": ["TCGA-KK-0003-11A-01R-A32Z-07", "TCGA-KK-0009-11A-01R-A32Z-07"],
    "kich-rsem-fpkm-tcga-t": ["TCGA-KK-0003-01A-11R-2315-07"],
    "read-rsem-fpkm-tcga-t": ["TCGA-RR-0004-01A-11R-1736-07"],
    "ucs-rsem-fpkm-tcga-t": ["TCGA-UU-0005-01A-11R-A28V-07", "TCGA-UU-0006-01A-11R-A28V-07"],
    "chol-rsem-fpkm-tcga-t": ["TCGA-CC-0007-01A-11R-A41I-07"],
    "prad-rsem-fpkm-tcga-t": ["TCGA-PP-0008-01A-11R-A41I-07"],
}
SAMPLES = [sample for name, samples in TABLES.items() if name != "prad-rsem-fpkm-tcga-t" for sample in samples]


def values(sample, n_genes=65):
    """Linear values of a sample's genes: 100 i + the sample's place among all."""
    return 100.0 * np.arange(n_genes) + (SAMPLES.index(sample) if sample in SAMPLES else 50)


def write_table(folder, name, *, genes=P53_ROWS, end="\n"):
    """One of the source's tables, genes in reverse order."""
    lines = ["\t".join(["Hugo_Symbol", "Entrez_Gene_Id", *TABLES[name]])]
    columns = [values(sample, len(genes)) for sample in TABLES[name]]
    for i, (symbol, entrez) in reversed(list(enumerate(genes))):
        lines.append("\t".join([symbol, entrez, *(repr(float(column[i])) for column in columns)]))
    (folder / f"{name}.txt.gz").write_bytes(gzip.compress(("\n".join(lines) + end).encode()))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "rnaseqdb"
    place.mkdir()
    for name in TABLES:
        write_table(place, name)
    return place


def test_tables_become_normals_and_four_tumours_with_each_value_in_its_place(folder):
    cohorts = load_rnaseqdb(folder, "p53")
    assert list(cohorts) == [NORMAL, *RNASEQDB_TUMOURS]
    seen = [sample for cohort in cohorts.values() for sample in cohort.obs_names]
    assert sorted([*seen, "TCGA-KK-0003-11A-01R-A32Z-07"]) == sorted(SAMPLES), "all but the normal of a target's donor"
    for cohort in cohorts.values():
        assert tuple(cohort.var_names) == P53.symbols and cohort.X.dtype == np.float32
        for sample, row in zip(cohort.obs_names, cohort.X):
            np.testing.assert_array_equal(row, values(sample))
        assert cohort.obs[["sex", "age"]].isna().all(axis=None)
    assert set(cohorts["CHOL"].obs["condition"]) == {"tumour"} and set(cohorts[NORMAL].obs["condition"]) == {"normal"}
    normal = cohorts[NORMAL].obs
    assert normal.loc["GTEX-AAAA-0226-SM-1AAAA", "donor"] == normal.loc["GTEX-AAAA-0326-SM-2AAAA", "donor"]
    assert normal["source"].value_counts().to_dict() == {"GTEx": 3, "TCGA": 3}


def test_every_tumour_has_normals_of_its_tissue_and_none_of_its_donors(folder):
    cohorts = load_rnaseqdb(folder, "p53")
    normal = cohorts[NORMAL].obs
    for name in RNASEQDB_TUMOURS:
        tumours = cohorts[name].obs
        assert set(tumours["tissue"]) <= set(normal["tissue"])
        assert set(tumours["donor"]).isdisjoint(normal["donor"])
    assert any("1 normal samples of donors whose tumour is a target" in note for note in cohorts[NORMAL].uns["notes"])


def test_a_row_is_the_gene_of_its_symbol_and_a_former_symbol_needs_the_entrez_id_too(folder):
    kept = {"ACTB": "60", "ACTG1": "60", "ACY1": "95", "SRP19": "0", "BORCS7": "119032"}
    left_out = [
        ("ABHD14A-ACY1", "95"),  # a read-through transcript with the id of one of its genes
        ("TMEM256-PLSCR3", "57048"),  # the same, and the gene itself is not there
        ("NAA38", "51691"), ("LSMD1", "84316"),  # a symbol that changed hands: two rows claim NAA38
        ("TP53", "7157"), ("TP53", "7157"),
        ("AC000001.1", "0"),
    ]  # fmt: skip
    genes = [("C10orf32" if symbol == "BORCS7" else symbol, entrez) for symbol, entrez in kept.items()] + left_out
    for name in TABLES:
        write_table(folder, name, genes=genes)
    cohort = load_rnaseqdb(folder, "protein_coding")[NORMAL]
    assert set(cohort.var_names) == set(kept)
    for sample, i in [(sample, i) for sample in cohort.obs_names for i in range(len(kept))]:
        assert cohort[sample, list(kept)[i]].X.item() == values(sample)[i]


def test_a_list_must_be_there_whole_and_a_rule_takes_what_is_there(folder):
    with pytest.raises(DataFormatError, match="of 273 genes of the set 'alzheimer' are not in it"):
        load_rnaseqdb(folder, "alzheimer")
    assert set(load_rnaseqdb(folder, "protein_coding")[NORMAL].var_names) == set(P53.symbols)


def test_unpacked_tables_are_the_same_data(folder):
    before = load_rnaseqdb(folder, "p53")
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    after = load_rnaseqdb(folder, "p53")
    for name, cohort in before.items():
        np.testing.assert_array_equal(cohort.X, after[name].X)
        pd.testing.assert_frame_equal(cohort.obs, after[name].obs)


def compact(folder, place, steps=64):
    """The compact table of the same values."""
    place.mkdir()
    genes = P53.table.rename(columns={"entrez_id": "entrez_gene_id"})
    genes.to_csv(place / "genes.tsv.gz", sep="\t", index=False)
    pd.DataFrame(
        [(sample, f"{name}.txt.gz") for name, samples in TABLES.items() for sample in samples if sample in SAMPLES],
        columns=["sample_id", "file"],
    ).to_csv(place / "samples.tsv", sep="\t", index=False)
    levels = np.rint(np.log2(np.stack([values(sample) for sample in SAMPLES], axis=1) + 1) * steps).astype(np.int16)
    with h5py.File(place / "normalized_log2_q64.h5", "w") as stored:
        stored.create_dataset("log2_q64", data=levels).attrs["scale"] = steps
        stored["genes"] = np.array(P53.symbols, dtype="S32")
        stored["samples"] = np.array(SAMPLES, dtype="S48")


def test_both_forms_hold_the_same_up_to_the_step(folder, tmp_path):
    compact(folder, tmp_path / "compact")
    tables, packed = load_rnaseqdb(folder, "p53"), load_rnaseqdb(tmp_path / "compact", "p53")
    for name, cohort in tables.items():
        other = packed[name][cohort.obs_names]
        np.testing.assert_allclose(np.log2(other.X + 1), np.log2(cohort.X + 1), rtol=0, atol=0.5 / 64 + 1e-5)
        pd.testing.assert_frame_equal(other.obs, cohort.obs)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "read-rsem-fpkm-tcga-t.txt.gz").unlink(), "no tumour of READ; read-rsem-fpkm-tcga-t"),
        (lambda folder: (folder / "coad-rsem-fpkm-tcga.txt.gz").unlink(), "no normal sample of 'Colon and rectum'"),
        (lambda folder: write_table(folder, "coad-rsem-fpkm-tcga", end=""), "coad-rsem-fpkm-tcga.*has no end"),
        (lambda folder: cut(folder / "ucs-rsem-fpkm-tcga-t.txt.gz"), "ucs-rsem-fpkm-tcga-t.*cut short"),
        (lambda folder: edit(folder / "ucs-rsem-fpkm-tcga-t.txt.gz", b"\t109.", b"\t1x9."), "value is not a number"),
        (lambda folder: edit(folder / "ucs-rsem-fpkm-tcga-t.txt.gz", b"\t109.0", b"\t-1"), "negative value"),
        (lambda folder: edit(folder / "ucs-rsem-fpkm-tcga-t.txt.gz", b"APAF1\t", b"APAF1\t\t"), "line 65 has 5 fields"),
        (lambda folder: (folder / "lungs-rsem-fpkm-gtex.txt.gz").write_bytes(
            (folder / "uterus-rsem-fpkm-gtex.txt.gz").read_bytes()), "occurs more than once"),
    ],
)  # fmt: skip
def test_what_is_absent_or_damaged_is_named(folder, damage, words):
    damage(folder)
    with pytest.raises(DataFormatError, match=words):
        load_rnaseqdb(folder, "p53")


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def edit(path, old, new):
    text = gzip.decompress(path.read_bytes())
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new, 1)))


def test_compact_files_that_do_not_belong_together_are_refused(folder, tmp_path):
    place = tmp_path / "compact"
    compact(folder, place, steps=32)
    with pytest.raises(DataFormatError, match="steps of 1/32"):
        load_rnaseqdb(place, "p53")
    shutil.rmtree(place)
    compact(folder, place)
    people = place / "samples.tsv"
    head, first, second, *rest = people.read_text().splitlines(keepends=True)
    people.write_text("".join([head, second, first, *rest]))
    with pytest.raises(DataFormatError, match=r"are not those of genes\.tsv\.gz and samples\.tsv"):
        load_rnaseqdb(place, "p53")


def test_the_study_is_found_by_name_only(folder, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(folder.parent))
    study = load_study("rnaseqdb", gene_set="p53")
    assert study.is_real and list(study.cohorts) == [NORMAL, *RNASEQDB_TUMOURS]
    assert study.fingerprint == load_study("rnaseqdb").fingerprint
    with pytest.raises(DataFormatError, match="no data known here"):
        load_study()
    shutil.rmtree(folder)
    assert rnaseqdb_folder(folder.parent) is None
    with pytest.raises(DataFormatError, match="no table of RNAseqDB"):
        load_study("rnaseqdb")


# --- real data ---


def test_the_real_database(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    study = load_study("rnaseqdb", gene_set="alzheimer")
    sizes = {name: cohort.shape for name, cohort in study.cohorts.items()}
    assert sizes == {NORMAL: (817, 273), "READ": (87, 273), "KICH": (60, 273), "UCS": (47, 273), "CHOL": (31, 273)}
    normal = study.cohorts[NORMAL].obs
    for tissue in RNASEQDB_TUMOURS.values():
        assert (normal["tissue"] == tissue).sum() >= 45
    listed = pd.read_csv(test_data / "rnaseqdb" / "samples.tsv", sep="\t").set_index("sample_id")
    for cohort in study.cohorts.values():
        assert (listed.loc[cohort.obs_names, "donor"] == cohort.obs["donor"]).all()
        assert (listed.loc[cohort.obs_names, "status"] == cohort.obs["condition"]).all()
    genes = pd.read_csv(test_data / "rnaseqdb" / "genes.tsv.gz", sep="\t", dtype="str", keep_default_na=False)
    with h5py.File(test_data / "rnaseqdb" / "normalized_log2_q64.h5") as stored:
        levels = stored["log2_q64"][list(genes["symbol"]).index("APP")]
    expected = pd.Series(2 ** (levels / 64) - 1, index=listed.index)
    for cohort in study.cohorts.values():
        np.testing.assert_allclose(cohort[:, "APP"].X[:, 0], expected[cohort.obs_names], rtol=1e-5)


def test_the_real_databases_protein_coding_genes(test_data):
    cohorts = load_rnaseqdb(test_data / "rnaseqdb", "protein_coding")
    genes = pd.read_csv(test_data / "rnaseqdb" / "genes.tsv.gz", sep="\t", dtype="str", keep_default_na=False)
    coding = genes[genes["hgnc_locus_group"] == "protein-coding gene"]
    kept = cohorts[NORMAL].var
    assert len(kept) > 17_000
    assert set(kept.index) <= set(coding["hgnc_2018_symbol"]) | set(coding["symbol"]), "matched independently with HGNC"
    assert kept["ensembl_id"].is_unique and (kept["ensembl_id"] != "").all()
