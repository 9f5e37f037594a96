"""The study from each source: told by name or found, never guessed; and a fingerprint that sees every value."""

import gzip
import re
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.download import RECORD, Source, download_dataset
from reproduce.loaders.gene_sets import gene_set
from reproduce.loaders.places import data_folder
from reproduce.loaders.student import STUDENT_FILES
from reproduce.loaders.study import SOURCES, companion_source, detect_source, load_study

P53 = gene_set("p53")
LUNG, COLON = "gene_reads_2017-06-05_v8_lung.gct.gz", "gene_reads_2017-06-05_v8_colon_transverse.gct.gz"
PHENOTYPES = "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
ARCHIVES = {"LUAD": "luad_tcga.tar.gz", "COADREAD": "coadread_tcga.tar.gz"}
FORMS = {LUNG: "gct", COLON: "gct", PHENOTYPES: "phenotypes"} | dict.fromkeys(ARCHIVES.values(), "study")
LUNG_SAMPLES = ("GTEX-1117F-0226-SM-A", "GTEX-111CU-0326-SM-B", "GTEX-ZZPU-0726-SM-C")
COLON_SAMPLES = ("GTEX-111CU-1426-SM-D", "GTEX-ZZPU-1026-SM-E")
TUMOURS = ("TCGA-05-4244-01", "TCGA-05-4249-01", "TCGA-50-5066-02")
NORMAL, TUMOUR = 1000, 0.5  # what tells the tables' values apart


def gct(samples):
    """Gene i of sample j has 1000 + 10 i + j reads; the genes stand in reverse order, with a stranger among them."""
    lines = ["#1.2", f"66\t{len(samples)}", "\t".join(["id", "Name", "Description", *samples])]
    for i, gene in reversed(list(enumerate(P53.table.itertuples()))):
        values = "\t".join(str(NORMAL + 10 * i + j) for j in range(len(samples)))
        lines.append(f"{i}\t{gene.ensembl_id}.5\t{gene.symbol}\t{values}")
    lines.insert(9, "\t".join(["99", "ENSG00000223972.5", "DDX11L1", *["0"] * len(samples)]))
    return gzip.compress(("\n".join(lines) + "\n").encode())


def write_study(folder, study):
    """An archive with gene i of tumour j at 10 i + j + 0.5."""
    tables = {
        "data_mrna_seq_v2_rsem.txt": ["\t".join(["Hugo_Symbol", "Entrez_Gene_Id", *TUMOURS])]
        + [
            "\t".join([gene.symbol, gene.entrez_id, *(str(10 * i + j + TUMOUR) for j in range(len(TUMOURS)))])
            for i, gene in enumerate(P53.table.itertuples())
        ],
        "data_clinical_patient.txt": ["#Identifier\tSex\tAge", "PATIENT_ID\tSEX\tAGE"]
        + ["TCGA-05-4244\tMale\t70", "TCGA-05-4249\tFemale\t[Not Available]", "TCGA-50-5066\t\t61"],
        "data_clinical_sample.txt": ["#Identifier\tSample", "PATIENT_ID\tSAMPLE_ID"]
        + [f"{sample[:-3]}\t{sample}" for sample in TUMOURS],
    }
    unpacked = folder / study
    unpacked.mkdir()
    for name, lines in tables.items():
        (unpacked / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with tarfile.open(folder / f"{study}.tar.gz", "w:gz") as archive:
        archive.add(unpacked, study)
    shutil.rmtree(unpacked)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty data folder that REPRODUCE_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("REPRODUCE_DATA", str(folder))
    return folder


@pytest.fixture
def portal(data):
    """The portals' files as the download lays them."""
    folder = data / "gtex-tcga-p53"
    folder.mkdir()
    (folder / LUNG).write_bytes(gct(LUNG_SAMPLES))
    (folder / COLON).write_bytes(gct(COLON_SAMPLES))
    people = "SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX-1117F\t2\t60-69\t4\nGTEX-111CU\t1\t50-59\t0\nGTEX-ZZPU\t2\t20-29\t\n"
    (folder / PHENOTYPES).write_text(people)
    for name in ARCHIVES.values():
        write_study(folder, name.removesuffix(".tar.gz"))
    return folder


@pytest.fixture
def student(data):
    """The student study's tables, three samples each, beside whatever else is there."""
    folder = data / "student-p53"
    folder.mkdir()
    counts, phenotypes, luad, luad_people, coad, coad_people = (folder / name for name in STUDENT_FILES)
    values = 100 * np.arange(65)[:, None] + np.arange(3)
    pd.DataFrame(values.T, index=LUNG_SAMPLES, columns=list(P53.ensembl_of_symbol.values())).assign(
        tissue=["lung", "colon", "lung"]
    ).to_csv(counts)
    pd.DataFrame({"SUBJID": LUNG_SAMPLES, "SEX": [2, 1, 2], "AGE": [65, 55, 25]}).to_csv(
        phenotypes, sep="\t", index=False
    )
    dotted = [sample.replace("-", ".") for sample in TUMOURS]
    for table, people in ((luad, luad_people), (coad, coad_people)):
        pd.DataFrame(values, index=P53.symbols, columns=dotted).to_csv(table)
        pd.DataFrame({"SUBJID": dotted, "SEX": "Male", "AGE": [70, 61.5, 40]}).to_csv(people, index=False)
    return folder


# --- where data are, and what is there ---


def test_the_data_folder_is_the_variables_else_the_checkouts(monkeypatch, tmp_path, repository):
    assert data_folder() == repository / "data"
    monkeypatch.setenv("REPRODUCE_DATA", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / "somewhere"


def test_each_source_is_recognised_in_the_folder_or_its_subfolder(portal, student, data):
    for folder in (portal, student):
        assert detect_source(folder) == folder.name
    shutil.move(student, data.parent)
    assert detect_source(data) == "gtex-tcga-p53"
    (portal / LUNG).rename(portal / LUNG.removesuffix(".gz"))
    assert detect_source(data) == "gtex-tcga-p53"


def test_two_sources_in_one_folder_must_be_told_apart(portal, student, data):
    with pytest.raises(DataFormatError, match="holds gtex-tcga-p53 and student-p53; say which by --data"):
        load_study()
    assert load_study("student-p53").name == "student-p53"
    assert load_study("gtex-tcga-p53").name == "gtex-tcga-p53"


@pytest.mark.parametrize("asked", [None, "auto"])
def test_a_named_folder_without_data_is_an_error_and_never_the_simulation(data, monkeypatch, asked):
    with pytest.raises(DataFormatError, match=f"{data}: no data known here.*reproduce download"):
        load_study(asked)
    monkeypatch.setenv("REPRODUCE_DATA", str(data / "absent"))
    with pytest.raises(DataFormatError, match="absent: no such folder"):
        load_study(asked)


# --- the embedded cohort ---


def test_without_a_named_folder_it_is_the_simulation_and_says_so():
    study = load_study()
    assert study.name == "embedded" and not study.is_real
    assert study.truth is not None
    assert list(study.cohorts) == ["GTEx", "LUAD", "COADREAD"]
    assert "simulated" in study.title


def test_the_simulation_follows_its_seed():
    first = load_study("embedded", seed=1)
    assert first.fingerprint == load_study("embedded", seed=1).fingerprint
    assert first.fingerprint != load_study("embedded", seed=2).fingerprint


# --- the portals' files ---


def test_the_portals_files_become_three_cohorts_matched_by_name(portal):
    study = load_study()
    assert study.name == "gtex-tcga-p53" and study.is_real and study.truth is None
    assert study.title == SOURCES["gtex-tcga-p53"]
    gtex = study.cohorts["GTEx"]
    assert tuple(gtex.obs_names) == LUNG_SAMPLES + COLON_SAMPLES
    assert list(gtex.obs["tissue"]) == ["Lung"] * 3 + ["Colon - Transverse"] * 2
    np.testing.assert_array_equal(gtex.X[4], NORMAL + 10 * np.arange(65) + 1)
    assert list(gtex.obs["age"]) == [65, 55, 25, 55, 25]
    for name in ARCHIVES:
        tumours = study.cohorts[name]
        assert tuple(tumours.obs_names) == TUMOURS[:2]
        np.testing.assert_array_equal(tumours.X[1], 10 * np.arange(65) + 1 + TUMOUR)
        assert set(tumours.obs["cohort"]) == {f"TCGA-{name}"}
    assert study.cohorts["LUAD"].obs["tissue"].iloc[0] == "Lung"
    assert study.cohorts["COADREAD"].obs["tissue"].iloc[0] == "Colon - Transverse"
    for cohort in study.cohorts.values():
        assert tuple(cohort.var_names) == P53.symbols
    for name in ARCHIVES:
        assert any(note.startswith(f"{name}: ") and TUMOURS[2] in note for note in study.notes)


def test_files_right_in_the_named_folder_and_unpacked_ones_are_the_same_data(portal, data):
    before = load_study().fingerprint
    for path in list(portal.iterdir()):
        path.rename(data / path.name)
    portal.rmdir()
    (data / LUNG.removesuffix(".gz")).write_bytes(gzip.decompress((data / LUNG).read_bytes()))
    (data / LUNG).unlink()
    with tarfile.open(data / ARCHIVES["LUAD"]) as archive:
        archive.extractall(data, filter="data")
    (data / ARCHIVES["LUAD"]).unlink()
    assert load_study().fingerprint == before


@pytest.mark.parametrize("file", [COLON, PHENOTYPES, *ARCHIVES.values()])
def test_an_absent_file_is_named_with_the_command_that_gets_it(portal, file):
    (portal / file).unlink()
    with pytest.raises(DataFormatError, match=rf"{re.escape(file)}.*reproduce download gtex-tcga-p53"):
        load_study()


def test_asking_by_name_for_files_that_are_not_there(data, student):
    with pytest.raises(DataFormatError, match=r"no GTEx counts.*--from FOLDER"):
        load_study("gtex-tcga-p53")
    shutil.rmtree(student)
    with pytest.raises(DataFormatError, match=r"student study's tables.*are not here"):
        load_study("student-p53")


def test_a_file_that_changed_since_it_was_fetched_is_refused(portal, data, tmp_path):
    sources = [Source(file, form, ("http://unused.invalid/",)) for file, form in FORMS.items()]
    download_dataset("gtex-tcga-p53", folder=data, progress=False, registry={"gtex-tcga-p53": sources})
    assert (portal / RECORD).is_file()
    before = load_study().fingerprint
    assert load_study().fingerprint == before
    path = portal / PHENOTYPES
    path.write_text(path.read_text().replace("GTEX-1117F\t2", "GTEX-1117F\t1  "))
    with pytest.raises(DataFormatError, match=f"{path}: changed since it was recorded"):
        load_study()


# --- the fingerprint ---


def test_the_fingerprint_sees_values_people_and_nothing_else(portal):
    before = load_study().fingerprint
    assert re.fullmatch(r"[0-9a-f]{12}", before)
    assert load_study().fingerprint == before
    counts, people = (portal / LUNG).read_bytes(), (portal / PHENOTYPES).read_text()

    table = gzip.decompress(counts).decode()
    (portal / LUNG).write_bytes(gzip.compress(table.encode(), compresslevel=1, mtime=7))
    assert load_study().fingerprint == before, "other bytes of the same values"
    changed = table.replace("\t1640\t", "\t1639\t")
    assert changed.count("\t1639\t") == 1
    (portal / LUNG).write_bytes(gzip.compress(changed.encode()))
    assert load_study().fingerprint != before, "one count of one sample"
    (portal / LUNG).write_bytes(counts)
    (portal / PHENOTYPES).write_text(people.replace("50-59", "40-49"))
    assert load_study().fingerprint != before, "one donor's age"
    (portal / PHENOTYPES).write_text(people)
    assert load_study().fingerprint == before


def test_the_fingerprint_sees_the_tumours(portal):
    before = load_study().fingerprint
    shutil.copy(portal / ARCHIVES["LUAD"], portal / ARCHIVES["COADREAD"])
    same = load_study().fingerprint
    with tarfile.open(portal / ARCHIVES["COADREAD"]) as archive:
        archive.extractall(portal, filter="data")
    (portal / ARCHIVES["COADREAD"]).unlink()
    (portal / "luad_tcga").rename(portal / "coadread_tcga")
    table = portal / "coadread_tcga" / "data_mrna_seq_v2_rsem.txt"
    assert load_study().fingerprint == same == before
    table.write_text(table.read_text().replace("\t640.5\t", "\t640.25\t"))
    assert load_study().fingerprint != before


# --- options ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": "gtex"}, "Unknown data 'gtex'; known are embedded, gtex-tcga-p53, student-p53"),
        ({"data": "embedded", "gene_set": "alzheimer"}, "p53 genes only"),
        ({"data": "student-p53", "gene_set": "alzheimer"}, "p53 genes only"),
    ],
)
def test_an_option_that_does_not_apply_is_an_error(options, words):
    with pytest.raises(ConfigError, match=words):
        load_study(**options)


def test_an_unknown_gene_set_is_an_error(portal):
    with pytest.raises(ConfigError, match="unknown gene set 'p54'"):
        load_study("gtex-tcga-p53", gene_set="p54")


def test_another_gene_set_is_looked_for_in_the_portals_files(portal):
    with pytest.raises(DataFormatError, match="of 273 genes of the set 'alzheimer' are not in it"):
        load_study("gtex-tcga-p53", gene_set="alzheimer")


def test_the_mislabelled_gene_meets_no_pten(student):
    study = load_study()
    assert study.name == "student-p53" and study.is_real
    for name in ARCHIVES:
        assert set(study.cohorts[name].var_names) ^ set(study.cohorts["GTEx"].var_names) == {"PTEN", "TEP1"}


def test_a_companion_is_real_where_its_files_are_and_simulated_where_not(student, tmp_path, monkeypatch):
    assert companion_source("student-p53", "tissues") == "embedded-tissues"
    assert companion_source("embedded", "genome") == companion_source("embedded", "tissues") == "embedded-tissues"
    assert companion_source("rnaseqdb", "genome") == "rnaseqdb"
    assert companion_source("gtex-v8", "genome") == "gtex-v8"
    monkeypatch.delenv("REPRODUCE_DATA")
    assert companion_source("auto", "genome") == companion_source(None, "tissues") == "embedded-tissues"
    for wrong in (("gtex", "tissues"), ("auto", "genomes")):
        with pytest.raises(ConfigError, match="Unknown"):
            companion_source(*wrong)


# --- real data ---


def test_the_companions_lie_beside_the_case_study(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    assert companion_source("student-p53", "tissues") == "gtex-v8-tissues"
    assert companion_source("auto", "genome") == "rnaseqdb"
    assert companion_source("embedded", "genome") == "embedded-tissues"


def test_the_real_tables_have_their_known_sizes(test_data, monkeypatch):
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    study = load_study()
    assert study.name == "student-p53"
    assert {name: cohort.shape for name, cohort in study.cohorts.items()} == {
        "GTEx": (984, 65),
        "LUAD": (515, 65),
        "COADREAD": (379, 65),
    }
    assert study.cohorts["GTEx"].obs["tissue"].value_counts().to_dict() == {"Lung": 578, "Colon - Transverse": 406}
    assert study.fingerprint == load_study("student-p53").fingerprint


def test_the_portals_form_and_the_students_tables_agree_where_both_hold_a_sample(test_data, portal, monkeypatch):
    """Real values in the portals' layout; the excerpts lack PTEN, so its row is made up."""
    formats = test_data / "formats" / "cbioportal_relaid"
    for archive in ARCHIVES.values():
        study = archive.removesuffix(".tar.gz")
        (portal / archive).unlink()
        (portal / study).mkdir()
        for table in ("data_mrna_seq_v2_rsem", "data_clinical_patient", "data_clinical_sample"):
            shutil.copyfile(formats / f"{study}.{table}.excerpt.txt", portal / study / f"{table}.txt")
        path = portal / study / "data_mrna_seq_v2_rsem.txt"
        text = path.read_text()
        n_samples = text.split("\n", 1)[0].count("\t") - 1
        path.chmod(0o644)
        path.write_text(text + "\t".join(["PTEN", "5728", *["1"] * n_samples]) + "\n")
    study = load_study()
    monkeypatch.setenv("REPRODUCE_DATA", str(test_data))
    other = load_study("student-p53")
    for name in ARCHIVES:
        ours, theirs = study.cohorts[name], other.cohorts[name]
        common = [sample for sample in ours.obs_names if sample in theirs.obs_names]
        assert len(common) == ours.n_obs >= 20
        genes = [gene for gene in theirs.var_names if gene != "TEP1"]  # the portal's gene set does not hold it
        np.testing.assert_allclose(ours[common, genes].X, theirs[common, genes].X, rtol=1e-6)
        assert list(ours.obs.loc[common, "donor"]) == list(theirs.obs.loc[common, "donor"])
