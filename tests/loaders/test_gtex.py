"""GTEx's tables become one cohort, its samples, tissues and donors matched by name, or an error says what is not."""

import gzip

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.gct import read_gct
from reproduce.loaders.gene_sets import GeneSet
from reproduce.loaders.gtex import (
    GTEX_TISSUES,
    GTEX_UNITS,
    gtex_donor,
    load_gtex_all_samples,
    load_gtex_tissues,
    read_sample_attributes,
    read_subject_phenotypes,
    tissue_of_file,
)

GENES = {"PTEN": "ENSG00000171862", "TP53": "ENSG00000141510"}
TINY = GeneSet("tiny", tuple(GENES), pd.DataFrame({"symbol": list(GENES), "ensembl_id": list(GENES.values())}), "test")
LUNG, COLON = "gene_reads_2017-06-05_v8_lung.gct", "gene_reads_2017-06-05_v8_colon_transverse.gct"
ALL_SAMPLES = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.gct"
PHENOTYPES = "SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX-1117F\t2\t60-69\t4\nGTEX-111CU\t1\t50-59\t0\nGTEX-ZZPU\t2\t20-29\t\n"
# One column before those that are read and one behind, of the true table's 63.
ATTRIBUTES = (
    "SAMPID\tSMRIN\tSMTS\tSMTSD\tSMUBRID\n"
    "GTEX-1117F-0226-SM-A\t6.8\tLung\tLung\t0002048\n"
    "GTEX-111CU-0326-SM-B\t\tColon\tColon - Transverse\t0001157\n"
    "GTEX-ZZPU-0626-SM-C\t7\tBlood\tWhole Blood\t\n"
    "GTEX-ZZPU-0726-SM-D\t7\tLung\tLung\t\n"
    "K-562-SM-2AXVE\t\t\t\t\n"
)
COUNTS = {  # sample -> counts of PTEN, TP53
    "GTEX-1117F-0226-SM-A": (905, 12),
    "GTEX-111CU-0326-SM-B": (77, 1345),
    "GTEX-ZZPU-0626-SM-C": (3, 0),
    "GTEX-ZZPU-0726-SM-D": (88, 2045),
}
A, B, C, D = COUNTS


def gct(samples, *, genes=("TP53", "PTEN"), scale=1, with_id=True):
    lead = ["id"] if with_id else []
    lines = ["#1.2", f"{len(genes)}\t{len(samples)}", "\t".join([*lead, "Name", "Description", *samples])]
    for i, gene in enumerate(genes):
        values = [str(COUNTS[sample][list(GENES).index(gene)] * scale) for sample in samples]
        lines.append("\t".join([*([str(i)] if with_id else []), f"{GENES[gene]}.7", gene, *values]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Two tissues, all samples, and the annotation, as the portal ships them."""
    (tmp_path / LUNG).write_text(gct([A, D]))
    (tmp_path / f"{COLON}.gz").write_bytes(gzip.compress(gct([B], genes=("PTEN", "TP53")).encode()))
    (tmp_path / ALL_SAMPLES).write_text(gct(list(COUNTS), with_id=False))
    (tmp_path / "phenotypes.txt").write_text(PHENOTYPES)
    (tmp_path / "attributes.txt").write_text(ATTRIBUTES)
    return tmp_path


def by_tissue(folder, *names, genes=TINY, **options):
    return load_gtex_tissues(
        [folder / name for name in names or (LUNG, f"{COLON}.gz")], folder / "phenotypes.txt", genes, **options
    )


def from_all(folder, **options):
    return load_gtex_all_samples(
        folder / ALL_SAMPLES, folder / "attributes.txt", folder / "phenotypes.txt", TINY, **options
    )


def refused(function, *arguments, parts, **options):
    with pytest.raises(DataFormatError) as caught:
        function(*arguments, **options)
    for part in parts:
        assert part in str(caught.value)


# --- a cohort ---


def test_per_tissue_tables_become_one_cohort(folder):
    cohort = by_tissue(folder)
    assert list(cohort.obs_names) == [A, D, B]
    assert list(cohort.var_names) == ["PTEN", "TP53"] and list(cohort.var["ensembl_id"]) == list(GENES.values())
    np.testing.assert_array_equal(cohort.X, [COUNTS[sample] for sample in (A, D, B)])
    np.testing.assert_array_equal(cohort.layers["counts"], cohort.X)
    assert list(cohort.obs["tissue"]) == ["Lung", "Lung", "Colon - Transverse"]
    assert list(cohort.obs["donor"]) == ["GTEX-1117F", "GTEX-ZZPU", "GTEX-111CU"]
    assert list(cohort.obs["sex"]) == ["female", "female", "male"]
    assert list(cohort.obs["age"]) == [65.0, 25.0, 55.0]
    assert set(cohort.obs["cohort"]) == {"GTEx"} and set(cohort.obs["condition"]) == {"normal"}
    assert cohort.uns["units"] == GTEX_UNITS
    assert any("midpoints" in note for note in cohort.uns["notes"])


def test_the_table_of_all_samples_gives_the_same_cohort(folder):
    one, other = by_tissue(folder), from_all(folder)
    assert list(other.obs_names) == [A, B, D]
    other = other[one.obs_names].copy()
    np.testing.assert_array_equal(one.X, other.X)
    pd.testing.assert_frame_equal(one.obs, other.obs)


def test_the_table_of_all_samples_gives_the_tissues_asked_for(folder):
    assert list(from_all(folder, tissues=["Whole Blood"]).obs_names) == [C]
    assert list(from_all(folder, tissues=("Whole Blood", "Lung")).obs_names) == [A, C, D]


def test_an_unknown_tissue_is_refused_with_those_there_are(folder):
    refused(from_all, folder, tissues=("Lung", "Tongue"), parts=["'Tongue'", "Colon - Transverse, Lung, Whole Blood"])
    with pytest.raises(ConfigError, match="list of names"):
        from_all(folder, tissues="Lung")


def test_a_sample_without_a_tissue_is_left_out_and_noted(folder):
    (folder / "attributes.txt").write_text(ATTRIBUTES.replace("\tLung\tLung\t\n", "\t\t\t\n"))
    cohort = from_all(folder)
    assert list(cohort.obs_names) == [A, B]
    assert any("1 samples" in note and "without a tissue" in note for note in cohort.uns["notes"])


def test_tpm_has_its_units_and_no_counts(folder):
    (folder / "gene_tpm_2017-06-05_v8_lung.gct").write_text(gct([A, D], scale=0.125))
    cohort = by_tissue(folder, "gene_tpm_2017-06-05_v8_lung.gct")
    assert "TPM" in cohort.uns["units"] and not cohort.layers
    np.testing.assert_array_equal(cohort.X[0], np.array(COUNTS[A]) / 8)


@pytest.mark.parametrize("samples", [[A, D], [B]], ids=["same_samples", "other_samples"])
def test_reads_and_tpm_do_not_mix(folder, samples):
    name = "gene_tpm_2017-06-05_v8_liver.gct"
    (folder / name).write_text(gct(samples, scale=0.5))
    refused(by_tissue, folder, LUNG, name, parts=["read counts and some TPM", LUNG, name])


def test_fractions_under_a_name_that_does_not_say_tpm_are_refused(folder):
    (folder / LUNG).write_text(gct([A, D], scale=0.5))
    refused(by_tissue, folder, LUNG, parts=[LUNG, "not all values are whole", "gene_tpm"])


def test_a_gene_that_one_table_lacks_is_refused_or_left_out_of_all(folder):
    (folder / LUNG).write_text(gct([A, D], genes=("PTEN",)))
    refused(by_tissue, folder, parts=[LUNG, "TP53", "missing='report'"])
    cohort = by_tissue(folder, missing="report")
    assert list(cohort.var_names) == ["PTEN"] and cohort.shape == (3, 1)
    assert any("TP53" in note and LUNG in note for note in cohort.uns["notes"])
    (folder / f"{COLON}.gz").write_text(gct([B], genes=("TP53",)))
    refused(by_tissue, folder, missing="report", parts=["no gene of the set in common"])


@pytest.mark.parametrize(
    ("names", "part"), [((LUNG, LUNG), f"sample {A}"), (("again_v8_liver.gct", LUNG), f"sample {D}")]
)
def test_a_sample_in_two_tables_is_refused(folder, names, part):
    (folder / "again_v8_liver.gct").write_text(gct([B, D]))
    refused(by_tissue, folder, *names, parts=[part, "more than once"])


def test_no_table_is_refused(folder):
    refused(load_gtex_tissues, [], folder / "phenotypes.txt", TINY, parts=["no GTEx table"])


def test_a_donor_without_a_row_is_refused(folder):
    (folder / "phenotypes.txt").write_text(PHENOTYPES.replace("GTEX-ZZPU", "GTEX-ZZPT"))
    refused(by_tissue, folder, parts=["1 donors", "GTEX-ZZPU", "phenotypes.txt", "same GTEx release"])


def test_a_sample_without_a_row_is_refused(folder):
    (folder / "attributes.txt").write_text(ATTRIBUTES.replace(C, "GTEX-ZZPU-0626-SM-OTHER"))
    refused(from_all, folder, parts=["1 samples", C, "attributes.txt", "same GTEx release"])


def test_a_count_beyond_float32_is_kept_as_a_count(folder, monkeypatch):
    monkeypatch.setitem(COUNTS, A, (16_777_217, 1))
    (folder / LUNG).write_text(gct([A, D]))
    assert by_tissue(folder).layers["counts"][0, 0] == 16_777_217


# --- annotation tables ---


def test_sex_and_age_of_donors(folder):
    people = read_subject_phenotypes(folder / "phenotypes.txt")
    assert list(people.index) == ["GTEX-1117F", "GTEX-111CU", "GTEX-ZZPU"]
    assert list(people["sex"]) == ["female", "male", "female"]
    assert list(people["age"]) == [65, 55, 25]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_not_known_stays_missing(folder, end):
    text = PHENOTYPES.replace("\t2\t60-69", "\t\tNA").replace("\n", end)
    (folder / "phenotypes.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    people = read_subject_phenotypes(folder / "phenotypes.txt")
    assert people["sex"].isna().tolist() == [True, False, False]
    assert people["age"].isna().tolist() == [True, False, False]
    cohort = by_tissue(folder, LUNG)
    assert cohort.obs["sex"].isna().tolist() == cohort.obs["age"].isna().tolist() == [True, False]


@pytest.mark.parametrize("code", ["0", "3", "M", "1.0", "male"])
def test_an_unknown_code_of_sex_is_refused(folder, code):
    (folder / "phenotypes.txt").write_text(PHENOTYPES.replace("111CU\t1", f"111CU\t{code}"))
    refused(by_tissue, folder, parts=["phenotypes.txt", "SEX of GTEX-111CU", repr(code), "1 (male), 2 (female)"])


@pytest.mark.parametrize("age", ["55", "50-5", "50-69", "59-50", "5-59", "70+", "fifty", "50-590"])
def test_an_odd_bracket_of_age_is_refused(folder, age):
    (folder / "phenotypes.txt").write_text(PHENOTYPES.replace("50-59", age))
    refused(by_tissue, folder, parts=["phenotypes.txt", "AGE of GTEX-111CU", repr(age), "50-59"])


def test_a_donor_or_sample_twice_is_refused(folder):
    (folder / "phenotypes.txt").write_text(PHENOTYPES + "GTEX-111CU\t2\t20-29\t0\n")
    refused(by_tissue, folder, parts=["phenotypes.txt", "donor GTEX-111CU occurs more than once"])
    (folder / "attributes.txt").write_text(ATTRIBUTES + f"{A}\t\tLiver\tLiver\t\n")
    refused(from_all, folder, parts=["attributes.txt", f"sample {A} occurs more than once"])


def test_the_sample_tables_tissues(folder):
    table = read_sample_attributes(folder / "attributes.txt")
    assert list(table.columns) == ["SMTS", "SMTSD"] and table.index.name == "SAMPID"
    assert table.loc[B].tolist() == ["Colon", "Colon - Transverse"]
    assert table.loc["K-562-SM-2AXVE"].isna().all()


@pytest.mark.parametrize(("name", "load"), [("phenotypes.txt", by_tissue), ("attributes.txt", from_all)])
@pytest.mark.parametrize("width", ["all", "used"])
def test_no_cut_of_an_annotation_table_changes_what_is_known(folder, name, load, width):
    """Whatever number of bytes is lost, the loader refuses the table or gives the same sample table."""
    lines = (folder / name).read_text().splitlines()
    fields = [line.split("\t") for line in lines if not line.startswith("K-562")]
    text = "".join("\t".join(f if width == "all" else f[: 3 + (load is from_all)]) + "\n" for f in fields)
    (folder / name).write_text(text)
    whole = load(folder).obs
    accepted = 0
    for size in range(len(text)):
        (folder / name).write_text(text[:size])
        try:
            obs = load(folder).obs
        except DataFormatError as error:
            assert name in str(error)
        else:
            accepted += 1
            pd.testing.assert_frame_equal(obs, whole)
    assert accepted < 10  # only within the unused column of the last line


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"<html><body>404</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (gzip.compress(b"SUBJID\tSEX\tAGE\n"), "unpack"),
        (b"\xd0\xcf\x11\xe0\x00\x00", "binary"),
        (b"SUBJID,SEX,AGE\nGTEX-1117F,2,60-69\n", "SUBJID, SEX, AGE"),
        (ATTRIBUTES.encode(), "no column SUBJID, SEX, AGE"),
        (b"SUBJID\tSEX\tAGE\n", "no row"),
        (b"SUBJID\tSEX\tAGE\nGTEX-1117F\t2\n", "line 2"),
        (b"SUBJID\tSEX\tAGE\n\t2\t60-69\n", "line 2"),
    ],
    ids=["empty", "html", "lfs", "gz", "binary", "commas", "another", "no_row", "short_row", "nameless_row"],
)
def test_an_annotation_table_of_another_kind_is_told_apart(folder, content, part):
    (folder / "phenotypes.txt").write_bytes(content)
    refused(by_tissue, folder, parts=[str(folder / "phenotypes.txt"), part])


def test_an_absent_annotation_table_is_refused(folder):
    refused(read_subject_phenotypes, folder / "absent.txt", parts=["absent.txt", "cannot be read"])


# --- names ---


def test_every_tissue_is_known_by_its_files_name():
    assert len(set(GTEX_TISSUES)) == 54
    portal = {
        "lung": "Lung",
        "colon_transverse": "Colon - Transverse",
        "brain_spinal_cord_cervical_c-1": "Brain - Spinal cord (cervical c-1)",
        "skin_not_sun_exposed_suprapubic": "Skin - Not Sun Exposed (Suprapubic)",
        "cells_ebv-transformed_lymphocytes": "Cells - EBV-transformed lymphocytes",
        "whole_blood": "Whole Blood",
    }
    for slug, tissue in portal.items():
        for unit, end in (("reads", ""), ("tpm", ".gz")):
            assert tissue_of_file(f"folder_v8_liver/gene_{unit}_2017-06-05_v8_{slug}.gct{end}") == tissue
    slugs = {tissue_of_file(f"_v8_{tissue}.gct") for tissue in GTEX_TISSUES}
    assert slugs == set(GTEX_TISSUES)  # no two tissues share a file name


@pytest.mark.parametrize("name", ["lung.gct", "gene_reads_2017-06-05_v8_tongue.gct.gz", "x_v8_lung.txt", ALL_SAMPLES])
def test_a_file_name_without_a_tissue_is_refused(folder, name):
    (folder / name).write_text(gct([A]))
    refused(by_tissue, folder, name, parts=[name, "_v8_lung.gct.gz", "load_gtex_all_samples"])


def test_donors_of_samples(folder):
    assert gtex_donor("GTEX-111CU-0326-SM-5GZXO", "x.gct") == "GTEX-111CU"
    for sample in ("TCGA-05-4244-01", "K-562-SM-2AXVE", "GTEX-111CU", "GTEX--0326-SM", "S1"):
        refused(gtex_donor, sample, "x.gct", parts=["x.gct", repr(sample)])


# --- true files ---


def test_true_excerpts(test_data):
    formats = test_data / "formats"
    tables = [formats / name.replace(".gct", ".excerpt.gct") for name in (LUNG, COLON)]
    people = test_data / "gtex_v8" / "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
    cohort = load_gtex_tissues(tables, people, "p53", missing="report")
    assert cohort.shape == (50, 3)
    assert cohort.obs["tissue"].value_counts().to_dict() == {"Lung": 25, "Colon - Transverse": 25}
    assert cohort.obs["donor"].nunique() < 50  # some gave both: splits must keep them together
    assert cohort.obs.notna().all().all()


def test_the_true_table_of_donors(test_data):
    people = read_subject_phenotypes(test_data / "gtex_v8" / "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt")
    assert people["sex"].value_counts().to_dict() == {"male": 653, "female": 327}
    assert people["age"].value_counts().to_dict() == {65: 317, 55: 315, 45: 153, 25: 84, 35: 78, 75: 33}
    first = read_subject_phenotypes(
        test_data / "formats" / "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.excerpt.txt"
    )
    pd.testing.assert_frame_equal(first, people.loc[first.index])


def test_the_true_table_of_all_samples(test_data):
    """All of lung from the table of 17,382 samples, equal to the per-tissue excerpt where both hold a sample."""
    table = test_data / "gtex_v8" / "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.acmg_59.gct.gz"
    people = test_data / "gtex_v8" / "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
    lung = read_gct(test_data / "formats" / LUNG.replace(".gct", ".excerpt.gct"), "p53", missing="report")
    excerpt = test_data / "formats" / "gtex_allsamples_excerpt.gct"
    attributes = test_data / "formats" / "GTEx_Analysis_v8_Annotations_SampleAttributesDS.excerpt_minimal.txt"
    few = read_gct(excerpt)
    described = read_sample_attributes(attributes)
    tissue = described.loc[few.samples[0], "SMTSD"]
    assert tissue in GTEX_TISSUES and set(few.samples) <= set(described.index)
    ten = GeneSet("ten", few.symbols, pd.DataFrame({"symbol": few.symbols, "ensembl_id": few.ensembl_ids}), "test")
    cohort = load_gtex_all_samples(excerpt, attributes, people, ten, tissues=[tissue])
    kept = [i for i, sample in enumerate(few.samples) if described.loc[sample, "SMTSD"] == tissue]
    np.testing.assert_array_equal(cohort.X, few.X[kept])
    refused(load_gtex_all_samples, table, attributes, people, "p53", parts=["have no row in", "same GTEx release"])
    every = read_gct(table, "p53", samples=lung.samples, missing="report")
    np.testing.assert_array_equal(every.X, lung.X)


def test_phenotypes_with_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "phenotypes.txt"
    path.write_bytes(b"SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX-1117F\t2\t6\xff-69\t4\n")
    with pytest.raises(DataFormatError, match="line 2 is not UTF-8"):
        read_subject_phenotypes(path)
