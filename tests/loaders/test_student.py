"""The student study's tables: read as they are, mended only by rule and never silently."""

import shutil

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.gene_sets import gene_set
from reproduce.loaders.student import STUDENT_FILES, load_student_gtex, load_student_tcga, student_folder

P53 = gene_set("p53")
COUNTS, PHENOTYPES, LUAD, LUAD_CLINICAL, COAD, COAD_CLINICAL = STUDENT_FILES
GTEX_SAMPLES = ["GTEX-111CU-0326-SM-5GZXO", "GTEX-111CU-1426-SM-5GZYP", "GTEX-1117F-0226-SM-5GZZ7"]
TCGA_SAMPLES = ["TCGA.05.4244.01", "TCGA.05.4249.01", "TCGA.50.5066.02"]


@pytest.fixture
def folder(tmp_path):
    """All six tables, three samples each; gene i of sample j has the count 100 i + j."""
    values = 100 * np.arange(65)[:, None] + np.arange(3)
    columns = [f"{name}.{i}" for i, name in enumerate(P53.ensembl_of_symbol.values())]
    gtex = pd.DataFrame(values.T, index=GTEX_SAMPLES, columns=columns)
    gtex.iloc[:, ::-1].assign(tissue=["lung", "colon", "lung"]).to_csv(tmp_path / COUNTS)
    phenotypes = pd.DataFrame({"SUBJID": GTEX_SAMPLES, "SEX": [2, 2, 1], "AGE": [55, 55, 65]})
    phenotypes.iloc[::-1].to_csv(tmp_path / PHENOTYPES, sep="\t", index=False)
    for table, clinical in ((LUAD, LUAD_CLINICAL), (COAD, COAD_CLINICAL)):
        pd.DataFrame(values, index=P53.symbols, columns=TCGA_SAMPLES).to_csv(tmp_path / table)
        people = pd.DataFrame({"SUBJID": TCGA_SAMPLES, "SEX": ["Male", "Female", "Male"], "AGE": [70, 61.5, 40]})
        people.to_csv(tmp_path / clinical, index=False)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_gtex_is_matched_by_name(folder):
    cohort = load_student_gtex(folder)
    assert tuple(cohort.var_names) == P53.symbols
    np.testing.assert_array_equal(cohort.X[1], 100 * np.arange(65) + 1)
    np.testing.assert_array_equal(cohort.layers["counts"], cohort.X)
    assert list(cohort.obs["tissue"]) == ["Lung", "Colon - Transverse", "Lung"]
    assert list(cohort.obs["donor"]) == ["GTEX-111CU", "GTEX-111CU", "GTEX-1117F"]
    assert list(cohort.obs["sex"]) == ["female", "female", "male"]
    assert list(cohort.obs["age"]) == [55, 55, 65]


def test_the_mislabelled_gene_comes_under_its_true_name_and_says_so(folder):
    cohort = load_student_tcga(folder, "LUAD")
    assert cohort.n_vars == 65
    assert "PTEN" not in cohort.var_names
    assert cohort.var.loc["TEP1", "ensembl_id"] != P53.ensembl_of_symbol["PTEN"]
    assert list(cohort.obs_names) == ["TCGA-05-4244-01", "TCGA-05-4249-01"]
    assert cohort.X[1, list(cohort.var_names).index("TP53")] == 100 * P53.symbols.index("TP53") + 1
    notes = " ".join(cohort.uns["notes"])
    assert "PTEN is TEP1" in notes
    assert "TCGA-50-5066-02" in notes


def test_the_folder_is_found_in_its_usual_places(folder, tmp_path):
    assert student_folder(folder) == folder
    inner = tmp_path / "outer" / "student-p53"
    inner.mkdir(parents=True)
    assert student_folder(tmp_path / "outer") is None
    shutil.copy(folder / COUNTS, inner)
    assert student_folder(tmp_path / "outer") == inner


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (COUNTS, "lung", "liver", "tissue 'liver'"),
        (COUNTS, GTEX_SAMPLES[1], GTEX_SAMPLES[0], f"sample {GTEX_SAMPLES[0]} occurs more than once"),
        (COUNTS, "GTEX-111CU-0326", "GTEX-XXXXX-0326", "1 samples.*GTEX-XXXXX"),
        (COUNTS, ",6401,", ",-6401,", "negative value at sample"),
        (COUNTS, ",6401,", ",many,", "'many' at row"),
        (COUNTS, ",6401,", ",inf,", "infinite value"),
        (COUNTS, ",6401,", ",", "line 3 .* fields"),
        (COUNTS, ",tissue", ",organ", "not 'tissue'"),
        (COUNTS, P53.ensembl_of_symbol["TP53"], "ENSG00000000000", "ENSG00000000000 is not in the p53 gene table"),
        (PHENOTYPES, "\t1\t", "\t3\t", "sex is '3'"),
        (PHENOTYPES, "\t65", "\t60-69", "age is not a number"),
        (PHENOTYPES, "AGE", "YEARS", "no column AGE"),
        (LUAD, "TP53", "TP54", "TP54 is not in the p53 gene table"),
        (LUAD, "TCGA.05.4249.01", "TCGA.05.4250.01", "1 samples.*TCGA-05-4250-01"),
        (LUAD, "TCGA.05.4249.01", "TCGA.05.4244.01", "sample TCGA-05-4244-01 occurs more than once"),
        (LUAD_CLINICAL, "Female", "F", "sex is 'f'"),
        (LUAD_CLINICAL, "TCGA.05.4249.01", "TCGA.05.4244.01", "TCGA-05-4244-01 occurs more than once"),
    ],
)
def test_damage_is_named(folder, file, old, new, message):
    edit(folder / file, old, new)
    with pytest.raises(DataFormatError, match=message):
        load_student_gtex(folder) if file in (COUNTS, PHENOTYPES) else load_student_tcga(folder, "LUAD")


@pytest.mark.parametrize("content", ["", "<html></html>", "version https://git-lfs.github.com/spec/v1\n", "a,b\n"])
def test_a_file_of_another_kind_is_named(folder, content):
    (folder / LUAD).write_text(content)
    with pytest.raises(DataFormatError, match=LUAD):
        load_student_tcga(folder, "LUAD")


def test_an_absent_table_is_named(folder):
    (folder / COUNTS).unlink()
    with pytest.raises(DataFormatError, match=f"{COUNTS}: no such file"):
        load_student_gtex(folder)


def test_an_unknown_cohort_is_refused(folder):
    with pytest.raises(ConfigError, match="choose one of LUAD, COADREAD"):
        load_student_tcga(folder, "LAML")


def test_the_real_tables(test_data):
    folder = test_data / "p53"
    gtex = load_student_gtex(folder)
    assert gtex.shape == (984, 65)
    assert dict(gtex.obs["tissue"].value_counts()) == {"Lung": 578, "Colon - Transverse": 406}
    assert gtex.obs[["sex", "age"]].notna().all(axis=None)
    assert load_student_tcga(folder, "LUAD").shape == (515, 65)
    assert load_student_tcga(folder, "COADREAD").shape == (379, 65)


def test_the_mislabelled_row_is_not_pten_by_the_portals_own_values(test_data):
    """GTEx's PTEN of the cleaned table is the portal's PTEN, so only the TCGA tables carry the mix-up."""
    from reproduce.loaders.gct import read_gct

    table = read_gct(
        test_data / "gtex_v8" / "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.acmg_59.gct.gz",
        "p53",
        missing="report",
    )
    gtex = load_student_gtex(test_data / "p53")
    rows = [table.samples.index(sample) for sample in gtex.obs_names]
    for symbol in ("PTEN", "TP53", "TSC2"):
        mine = gtex.X[:, list(gtex.var_names).index(symbol)]
        np.testing.assert_array_equal(table.X[rows, table.symbols.index(symbol)], mine)


@pytest.mark.parametrize("file", STUDENT_FILES)
def test_a_table_cut_anywhere_near_its_end_is_refused(folder, file):
    path = folder / file
    whole = path.read_bytes()
    for lost in (1, 2, 3, 6):
        path.write_bytes(whole[:-lost])
        with pytest.raises(DataFormatError, match=rf"{file}.*(no end|fields|different length)"):
            load_student_gtex(folder) if file in (COUNTS, PHENOTYPES) else [
                load_student_tcga(folder, which) for which in ("LUAD", "COADREAD")
            ]


@pytest.mark.parametrize("file", STUDENT_FILES)
def test_bytes_that_are_no_text_are_refused(folder, file):
    path = folder / file
    path.write_bytes(path.read_bytes()[:40] + b"\xff" + path.read_bytes()[40:])
    with pytest.raises(DataFormatError, match=rf"{file}: not UTF-8"):
        load_student_gtex(folder) if file in (COUNTS, PHENOTYPES) else [
            load_student_tcga(folder, which) for which in ("LUAD", "COADREAD")
        ]


def test_a_lost_gene_is_named(folder):
    lines = (folder / LUAD).read_text().splitlines(keepends=True)
    (folder / LUAD).write_text("".join(lines[:-1]))
    with pytest.raises(DataFormatError, match=f"1 of the 65 genes.*{P53.symbols[-1]}"):
        load_student_tcga(folder, "LUAD")


def test_a_sample_twice_among_the_phenotypes_is_named(folder):
    text = (folder / PHENOTYPES).read_text()
    (folder / PHENOTYPES).write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(DataFormatError, match=f"{PHENOTYPES}: sample GTEX.*more than once"):
        load_student_gtex(folder)


def test_ragged_clinical_lines_are_refused(folder):
    with open(folder / LUAD_CLINICAL, "a") as handle:
        handle.write("TCGA.XX.XXXX.01,Male,1,2,3,4\n")
    with pytest.raises(DataFormatError, match=f"{LUAD_CLINICAL}: lines of different length"):
        load_student_tcga(folder, "LUAD")


def test_tables_other_than_the_published_ones_are_noted(folder, test_data):
    assert any("is not the file that was published" in note for note in load_student_gtex(folder).uns["notes"])
    published = load_student_gtex(test_data / "p53"), load_student_tcga(test_data / "p53", "COADREAD")
    assert not any("published" in note for cohort in published for note in cohort.uns["notes"])
