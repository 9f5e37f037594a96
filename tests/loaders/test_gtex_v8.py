"""GTEx v8 whole: the rule about expressed genes, each preparation on its scale, and what is absent named."""

import gzip

import numpy as np
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.gene_sets import gene_set
from reproduce.loaders.gtex_v8 import PREPARATIONS, load_gtex_v8
from reproduce.loaders.preparation import inverse_normal, tmm_factors
from reproduce.loaders.study import load_study

P53 = gene_set("p53")
TABLE = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_{}.gct.gz"
PEOPLE, SAMPLES = (f"GTEx_Analysis_v8_Annotations_{name}DS.txt" for name in ("SubjectPhenotypes", "SampleAttributes"))
TISSUES = {"Lung": 80, "Whole Blood": 75, "Bladder": 5}
SILENT_IN_BLOOD = "TP53"


def write_table(folder, kind, values, names):
    lines = ["#1.2", f"{values.shape[1]}\t{len(values)}", "\t".join(["Name", "Description", *names])]
    lines += [
        "\t".join([f"{gene.ensembl_id}.4", gene.symbol, *map(repr, column.tolist())])
        for gene, column in zip(P53.table.itertuples(), values.T)
    ]
    (folder / TABLE.format(kind)).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A data folder with the portal's files of 160 donors, and the tables' values by kind."""
    folder = tmp_path_factory.mktemp("data") / "gtex-v8"
    folder.mkdir()
    tissues = np.repeat(list(TISSUES), list(TISSUES.values()))
    donors = [f"GTEX-{i:05d}" for i in range(len(tissues))]
    names = [f"{donor}-0226-SM-{i:05d}" for i, donor in enumerate(donors)]
    rng = np.random.default_rng(0)
    reads = rng.poisson(rng.uniform(50, 500, 65) * rng.uniform(0.5, 2, (len(names), 1)))
    reads[tissues == "Whole Blood", P53.symbols.index(SILENT_IN_BLOOD)] = 0
    tables = {"reads": reads, "tpm": reads / 8}
    for kind, values in tables.items():
        write_table(folder, kind, values, names)
    (folder / SAMPLES).write_text(
        "SAMPID\tSMTS\tSMTSD\n" + "".join(f"{name}\tx\t{tissue}\n" for name, tissue in zip(names, tissues))
    )
    (folder / PEOPLE).write_text("SUBJID\tSEX\tAGE\tDTHHRDY\n" + "".join(f"{donor}\t1\t50-59\t0\n" for donor in donors))
    return folder.parent, {kind: values[tissues != "Bladder"] for kind, values in tables.items()}


@pytest.fixture
def values(whole, monkeypatch):
    folder, values = whole
    monkeypatch.setenv("REPRODUCE_DATA", str(folder))
    return values


def test_a_list_keeps_all_its_genes_and_the_rule_those_expressed_in_every_tissue(values):
    listed = load_study("gtex-v8", gene_set="p53").cohorts["GTEx"]
    assert tuple(listed.var_names) == P53.symbols
    np.testing.assert_allclose(listed.X, values["tpm"], rtol=1e-6)
    assert set(listed.obs["tissue"]) == {"Lung", "Whole Blood"}, "five donors' bladders are too few"
    ruled = load_study("gtex-v8", gene_set="protein_coding").cohorts["GTEx"]
    assert set(P53.symbols) - set(ruled.var_names) == {SILENT_IN_BLOOD}
    assert any(note.startswith("64 of 65 protein-coding genes have at least 0.1 TPM") for note in ruled.uns["notes"])
    assert max(len(note) for note in ruled.uns["notes"]) < 1000, "thousands of absent genes are not listed by name"


def test_each_preparation_is_on_its_scale(values):
    cohorts = {kind: load_study("gtex-v8", gene_set="p53", preparation=kind).cohorts["GTEx"] for kind in PREPARATIONS}
    np.testing.assert_allclose(cohorts["log2_tpm"].X, np.log2(values["tpm"] + 1), rtol=1e-5, atol=1e-6)
    quantiles = cohorts["tmm_inverse_normal"]
    lung = (quantiles.obs["tissue"] == "Lung").to_numpy()
    reads = values["reads"][lung]
    effective = reads.sum(axis=1) * tmm_factors(reads)
    np.testing.assert_allclose(quantiles[lung].X, inverse_normal(reads / effective[:, None]), atol=1e-6)
    assert any("before any entry was hidden" in note for note in quantiles.uns["notes"])
    for kind, cohort in cohorts.items():
        assert cohort.uns["units"] == PREPARATIONS[kind] and cohort.X.dtype == np.float32
    some = load_study("gtex-v8", gene_set="protein_coding", preparation="tmm_inverse_normal").cohorts["GTEx"]
    np.testing.assert_array_equal(some.X, quantiles[:, some.var_names].X)  # factors rest on the same genes


def test_what_is_absent_is_named_with_the_command_that_gets_it(values, whole, tmp_path, monkeypatch):
    folder = whole[0] / "gtex-v8"
    for file in (TABLE.format("tpm"), SAMPLES, PEOPLE):
        place = tmp_path / file
        place.mkdir()
        for path in folder.iterdir():
            if path.name != file:
                (place / path.name).symlink_to(path)
        with pytest.raises(DataFormatError, match=f"{file} is not here; `reproduce download gtex-v8`"):
            load_gtex_v8(place, "p53")
    monkeypatch.setenv("REPRODUCE_DATA", str(tmp_path))
    with pytest.raises(DataFormatError, match=r"no GTEx table of all samples .*reproduce download gtex-v8"):
        load_study("gtex-v8", gene_set="p53")


def test_a_preparation_is_of_this_source_alone_and_known():
    with pytest.raises(ConfigError, match="unknown preparation 'rpkm': choose one of tpm"):
        load_gtex_v8("unused", "p53", preparation="rpkm")
    with pytest.raises(ConfigError, match="preparation applies to gtex-v8 alone"):
        load_study("embedded", preparation="tpm")
