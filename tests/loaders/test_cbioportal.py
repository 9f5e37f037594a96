"""cBioPortal studies: genes by Entrez id, folder and archive alike, every kind of damage named."""

import gzip
import io
import shutil
import tarfile

import numpy as np
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.cbioportal import primary_tumours, read_cbioportal_study, tcga_donor
from reproduce.loaders.gene_sets import gene_set

P53 = gene_set("p53")
SAMPLES = ["TCGA-05-4244-01", "TCGA-05-4249-01", "TCGA-50-5066-02"]
HEADER = ["Hugo_Symbol", "Entrez_Gene_Id", *SAMPLES]
EXPRESSION = "data_mrna_seq_v2_rsem.txt"
OLD_NAMES = {"MDM2": "MGC5370", "GADD45B": "DKFZP566B133", "RCHY1": "PRO1996"}
PATIENTS = """#Patient Identifier\tSex\tDiagnosis Age
#Identifier\tSex\tAge
#STRING\tSTRING\tNUMBER
#1\t1\t1
PATIENT_ID\tSEX\tAGE
TCGA-05-4244\tMale\t70
TCGA-05-4249\tFEMALE\t[Not Available]
TCGA-50-5066\t\t61
"""
CLINICAL_SAMPLES = """#Patient Identifier\tSample Identifier
#a\tb
#STRING\tSTRING
#1\t1
PATIENT_ID\tSAMPLE_ID
TCGA-05-4244\tTCGA-05-4244-01
TCGA-05-4249\tTCGA-05-4249-01
TCGA-50-5066\tTCGA-50-5066-02
"""


def rows_of_all_genes():
    """One row a gene: value 10 i + sample number for gene i; three under their former symbols."""
    return [
        [OLD_NAMES.get(gene.symbol, gene.symbol), gene.entrez_id, *(str(10 * i + j + 0.5) for j in range(3))]
        for i, gene in enumerate(P53.table.itertuples())
    ]


def table(rows, header=HEADER):
    return "".join("\t".join(fields) + "\n" for fields in [header, *rows])


def write_study(folder, rows=None, *, expression=None, patients=PATIENTS, samples=CLINICAL_SAMPLES):
    folder.mkdir(exist_ok=True)
    expression = table(rows_of_all_genes() if rows is None else rows) if expression is None else expression
    for name, text in (
        (EXPRESSION, expression),
        ("data_clinical_patient.txt", patients),
        ("data_clinical_sample.txt", samples),
    ):
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def pack(folder, path, names=None):
    with tarfile.open(path, "w:gz") as archive:
        for name in names or sorted(file.name for file in folder.iterdir()):
            archive.add(folder / name, f"luad_tcga/{name}")
    return path


def read(path, genes="p53", **options):
    return read_cbioportal_study(path, genes, cohort="TCGA-LUAD", tissue="Lung", **options)


def row_of(rows, symbol):
    return next(i for i, row in enumerate(rows) if row[0] == symbol)


def test_genes_come_in_the_sets_order_whatever_the_tables(tmp_path):
    cohort = read(write_study(tmp_path / "study", rows_of_all_genes()[::-1]))
    assert tuple(cohort.var_names) == P53.symbols
    np.testing.assert_array_equal(cohort.X[0], 10 * np.arange(65) + 0.5)
    np.testing.assert_array_equal(cohort.X[1], 10 * np.arange(65) + 1.5)
    assert list(cohort.var["ensembl_id"]) == [P53.ensembl_of_symbol[symbol] for symbol in P53.symbols]
    assert "RSEM" in cohort.uns["units"]
    for symbol, old in OLD_NAMES.items():
        assert any(f"{old} is called {symbol} today" in note for note in cohort.uns["notes"])


def test_patients_come_by_the_sample_table_and_unknowns_stay_unknown(tmp_path):
    cohort = read(write_study(tmp_path / "study"))
    assert list(cohort.obs_names) == SAMPLES[:2]
    assert list(cohort.obs["donor"]) == ["TCGA-05-4244", "TCGA-05-4249"]
    assert list(cohort.obs["sex"]) == ["male", "female"]
    assert cohort.obs["age"].iloc[0] == 70
    assert np.isnan(cohort.obs["age"].iloc[1])
    assert set(cohort.obs["condition"]) == {"tumour"}
    assert any("TCGA-50-5066-02" in note for note in cohort.uns["notes"])
    assert any("age is unknown for 1" in note for note in cohort.uns["notes"])


def test_archive_and_folder_give_the_same_and_nothing_is_unpacked(tmp_path):
    folder = write_study(tmp_path / "study")
    archive = pack(folder, tmp_path / "luad_tcga.tar.gz")
    before = sorted(tmp_path.rglob("*"))
    cohort, same = read(folder), read(archive)
    np.testing.assert_array_equal(cohort.X, same.X)
    assert cohort.obs.equals(same.obs)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_with_a_hostile_path_writes_nothing(tmp_path):
    folder = write_study(tmp_path / "study")
    path = tmp_path / "hostile.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        evil = tarfile.TarInfo("../../evil.txt")
        evil.size = 4
        archive.addfile(evil, io.BytesIO(b"evil"))
        for file in folder.iterdir():
            archive.add(file, file.name)
    assert read(path).n_vars == 65
    assert not list(tmp_path.parent.rglob("evil.txt"))


def test_every_cut_of_an_archive_is_an_error_or_harmless(tmp_path):
    archive = pack(write_study(tmp_path / "study"), tmp_path / "luad_tcga.tar.gz")
    whole, data = read(archive).X, archive.read_bytes()
    for size in range(0, len(data), 97):
        archive.write_bytes(data[:size])
        try:
            np.testing.assert_array_equal(read(archive).X, whole)
        except DataFormatError as error:
            assert "luad_tcga.tar.gz" in str(error)
            assert "again" in str(error) or "empty" in str(error)


def test_every_cut_of_the_table_is_an_error(tmp_path):
    folder = write_study(tmp_path / "study")
    text = (folder / EXPRESSION).read_bytes()
    for size in range(0, len(text), 53):
        (folder / EXPRESSION).write_bytes(text[:size])
        with pytest.raises(DataFormatError, match=EXPRESSION):
            read(folder)


def test_tep1_is_not_pten(tmp_path):
    rows = rows_of_all_genes()
    rows[row_of(rows, "PTEN")] = ["TEP1", "7011", "1", "2", "3"]
    folder = write_study(tmp_path / "study", rows)
    with pytest.raises(DataFormatError, match=r"1 of 65 genes.*PTEN"):
        read(folder)
    cohort = read(folder, missing="report")
    assert cohort.n_vars == 64
    assert "PTEN" not in cohort.var_names
    rows[row_of(rows, "TEP1")][0] = "PTEN"  # as the student study renamed it
    cohort = read(write_study(folder, rows), missing="report")
    assert "PTEN" not in cohort.var_names
    assert any("PTEN has Entrez id 7011" in note for note in cohort.uns["notes"])


def test_the_entrez_id_decides_where_a_symbol_names_two_genes(tmp_path):
    rows = [*rows_of_all_genes(), ["TP53", "999999", "1", "2", "3"]]
    cohort = read(write_study(tmp_path / "study", rows))
    np.testing.assert_array_equal(cohort.X, read(write_study(tmp_path / "plain")).X)


def test_symbols_decide_where_there_is_no_entrez_column(tmp_path):
    rows = [[row[0], *row[2:]] for row in rows_of_all_genes()]
    header = [name for name in HEADER if name != "Entrez_Gene_Id"]
    cohort = read(write_study(tmp_path / "study", expression=table(rows, header)))
    np.testing.assert_array_equal(cohort.X, read(write_study(tmp_path / "plain")).X)


def test_identical_rows_of_a_gene_are_one_and_different_ones_an_error(tmp_path):
    rows = rows_of_all_genes()
    twin = [*rows[3]]
    cohort = read(write_study(tmp_path / "study", [*rows, twin]))
    assert any("2 identical rows" in note for note in cohort.uns["notes"])
    twin[2] = "77"
    with pytest.raises(DataFormatError, match=f"{P53.symbols[3]} occurs 2 times"):
        read(write_study(tmp_path / "study", [*rows, twin]))


def test_all_genes_are_kept_where_no_set_is_asked_for(tmp_path):
    rows = [*rows_of_all_genes(), ["SLC35E2", "728661", "1", "2", "3"], ["SLC35E2", "9906", "4", "5", "6"]]
    cohort = read(write_study(tmp_path / "study", rows), genes=None)
    assert cohort.n_vars == 67
    assert {"SLC35E2|728661", "SLC35E2|9906", "TP53"} <= set(cohort.var_names)


def test_na_is_missing(tmp_path):
    rows = rows_of_all_genes()
    rows[5][2] = "NA"
    assert np.isnan(read(write_study(tmp_path / "study", rows)).X[0, 5])


@pytest.mark.parametrize("text", ["-0.1", "abc", "inf", "1_0", ""])
def test_a_value_that_is_none_names_gene_and_sample(tmp_path, text):
    rows = rows_of_all_genes()
    rows[7][3] = text
    folder = write_study(tmp_path / "study", rows)
    if text == "":
        assert np.isnan(read(folder).X[1, 7])
    else:
        with pytest.raises(DataFormatError, match=f"{rows[7][0]}, sample {SAMPLES[1]}"):
            read(folder)


def test_a_sample_without_any_value_is_named(tmp_path):
    rows = [[*row[:2], "NA", *row[3:]] for row in rows_of_all_genes()]
    with pytest.raises(DataFormatError, match=SAMPLES[0]):
        read(write_study(tmp_path / "study", rows))


BAD_STUDIES = {
    "twice the same sample": ({"expression": table(rows_of_all_genes(), [*HEADER[:4], HEADER[3]])}, SAMPLES[1]),
    "no sample": ({"expression": "Hugo_Symbol\tEntrez_Gene_Id\nTP53\t7157\n"}, "names no sample"),
    "comments alone": ({"expression": "# a\n# b\n"}, "not Hugo_Symbol"),
    "no gene": ({"expression": table([])}, "genes of the set"),
    "another table": ({"expression": "gene\tsample\nA\t1\n"}, "not Hugo_Symbol"),
    "a short row": ({"expression": table([*rows_of_all_genes(), ["X", "1", "2"]])}, "line 67 has 3 fields"),
    "a web page": ({"expression": "<!DOCTYPE html><html></html>"}, "web page"),
    "a pointer": ({"expression": "version https://git-lfs.github.com/spec/v1\noid sha256:7f\nsize 9\n"}, "Git LFS"),
    "no barcode": ({"expression": table(rows_of_all_genes(), [*HEADER[:2], "a", "b", "c"])}, "barcode"),
    "a patient twice": ({"patients": PATIENTS + "TCGA-05-4244\tMale\t70\n"}, "patient TCGA-05-4244"),
    "a sample twice": ({"samples": CLINICAL_SAMPLES + "TCGA-05-4244\tTCGA-05-4244-01\n"}, "sample TCGA-05-4244-01"),
    "no such sample": ({"samples": CLINICAL_SAMPLES.replace("4249-01", "4250-01")}, "no row for 1 samples.*4249"),
    "no such patient": ({"patients": PATIENTS.replace("TCGA-05-4249", "TCGA-05-4250")}, "no row for 1 patients.*4249"),
    "an unknown sex": ({"patients": PATIENTS.replace("Male", "M")}, "SEX is 'm'"),
    "an age in words": ({"patients": PATIENTS.replace("70", "old")}, "AGE is not a number"),
    "no sex": ({"patients": PATIENTS.replace("\tSEX\t", "\tGENDER\t")}, "no column SEX"),
    "no key": ({"patients": PATIENTS.replace("PATIENT_ID", "ID")}, "no column PATIENT_ID"),
    "empty": ({"patients": ""}, "empty"),
}


@pytest.mark.parametrize("name", BAD_STUDIES)
def test_a_bad_study_is_one_error_from_folder_and_archive(tmp_path, name):
    changes, message = BAD_STUDIES[name]
    folder = write_study(tmp_path / "study", **changes)
    for path in (folder, pack(folder, tmp_path / "luad_tcga.tar.gz")):
        with pytest.raises(DataFormatError, match=message):
            read(path)


def test_an_incomplete_study_says_what_is_absent(tmp_path):
    folder = write_study(tmp_path / "study")
    (folder / "data_clinical_patient.txt").unlink()
    for path in (folder, pack(folder, tmp_path / "luad_tcga.tar.gz")):
        with pytest.raises(DataFormatError, match=r"data_clinical_patient\.txt is not in"):
            read(path)


def test_only_normal_tissue_is_an_error(tmp_path):
    header = [*HEADER[:2], *(sample[:-2] + "11" for sample in SAMPLES)]
    with pytest.raises(DataFormatError, match="no primary tumour"):
        read(write_study(tmp_path / "study", expression=table(rows_of_all_genes(), header)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (gzip.compress(b"not an archive" * 99), "cut short or not"),
        (b"\x00\x01" * 400, "binary"),
        (b"plain words\n", "cut short or not"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, content, message):
    path = tmp_path / "luad_tcga.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_an_absent_study_is_named(tmp_path):
    with pytest.raises(DataFormatError, match="luad_tcga"):
        read(tmp_path / "luad_tcga.tar.gz")


def test_an_unknown_way_with_missing_genes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="choose"):
        read(tmp_path, missing="ignore")


def test_barcodes():
    assert tcga_donor("TCGA-05-4244-01A", "table") == "TCGA-05-4244"
    kept, note = primary_tumours(["TCGA-05-4244-01", "TCGA-05-4244-11"])
    assert kept == ["TCGA-05-4244-01"]
    assert "TCGA-05-4244-11" in note
    assert primary_tumours(["TCGA-05-4244-01"])[1] is None
    with pytest.raises(DataFormatError, match="GTEX-1"):
        primary_tumours(["GTEX-1"])


@pytest.mark.parametrize("study", ["luad_tcga", "coadread_tcga"])
def test_real_values_in_the_portals_layout(test_data, tmp_path, study):
    folder = tmp_path / study
    folder.mkdir()
    for file in (test_data / "formats" / "cbioportal_relaid").glob(f"{study}.*"):
        shutil.copy(file, folder / file.name.replace(f"{study}.", "").replace(".excerpt", ""))
    with pytest.raises(DataFormatError, match="PTEN"):
        read(folder)
    cohort = read(folder, missing="report")
    assert set(P53.symbols) - set(cohort.var_names) == {"PTEN"}
    assert set(cohort.obs["sex"].dropna()) == {"female", "male"}


def test_the_repositorys_pointer_is_refused(test_data, tmp_path):
    pointer = test_data / "formats" / "cbioportal_datahub_meta" / "luad_tcga.data_mrna_seq_v2_rsem.txt.lfs_pointer"
    folder = write_study(tmp_path / "study", expression=pointer.read_text())
    with pytest.raises(DataFormatError, match="Git LFS"):
        read(folder)
