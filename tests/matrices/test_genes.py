"""Genes are matched by name, never by place; names that cannot be trusted are refused by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproduce.errors import DataFormatError
from reproduce.loaders.gene_sets import gene_set
from reproduce.matrices.genes import gene_share, identify, match

P53 = gene_set("p53")
SYMBOLS, ENSEMBL, ENTREZ = (tuple(P53.table[name]) for name in ("symbol", "ensembl_id", "entrez_id"))
VERSIONED = tuple(f"{name}.{at}" for at, name in enumerate(ENSEMBL, start=1))
NAMES = {"symbol": SYMBOLS, "ensembl": ENSEMBL, "ensembl_versioned": VERSIONED, "entrez": ENTREZ}


@pytest.mark.parametrize("kind", NAMES)
def test_kinds_are_told(kind):
    assert identify(NAMES[kind]).kind == kind


def test_unknown_names_are_other_and_foreign_ones_are_named():
    assert identify(["probe_1", "probe_2"]).kind == "other"
    found = identify([*ENSEMBL, "ERCC-00002"])
    assert found.kind == "ensembl" and "ERCC-00002" in found.notes[0]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(NAMES)), st.sampled_from(list(NAMES)), st.permutations(range(20)), st.integers(0, 20))
def test_any_two_kinds_match_in_any_order(one, other, order, n_given):
    fitted = NAMES[one][:20]
    given_names = [NAMES[other][at] for at in order[:n_given]] + ["not_a_gene"]
    found = match(fitted, given_names)
    expected = [order.index(at) if at in order[:n_given] else -1 for at in range(20)]
    np.testing.assert_array_equal(found.position, expected)
    assert found.extra == ("not_a_gene",)
    assert found.missing == tuple(name for name, at in zip(fitted, expected) if at < 0)


def test_stored_pairs_come_before_the_shipped_table():
    pairs = {"ENSG00000141510.9": "MINE", "ENSG00000087088": "SAME", "ENSG00000026103": "SAME"}
    found = match(["ENSG00000141510", "ENSG00000087088"], ["MINE", "TP53", "SAME"], symbols=pairs)
    assert found.position.tolist() == [0, -1]  # SAME stands for two genes


def test_case_is_reported_and_not_changed():
    found = match(["TP53", "BAX"], ["Tp53", "BAX"])
    assert found.position.tolist() == [-1, 1]
    assert "TP53 (Tp53)" in found.notes[-1]


@pytest.mark.parametrize("names", [["ENSG00000141510.1", "ENSG00000141510.2"], ["TP53", "TP53"]])
def test_the_same_gene_twice_is_refused(names):
    with pytest.raises(DataFormatError) as caught:
        identify(names)
    assert all(name in str(caught.value) for name in names)


def test_pseudo_autosomal_copies_are_other_genes():
    names = ["ENSG00000182378.14", "ENSG00000182378.14_PAR_Y"]
    assert identify(names).kind == "ensembl_versioned"
    assert match(["ENSG00000182378"], names).position.tolist() == [0]


def test_two_given_names_of_one_gene_are_refused():
    with pytest.raises(DataFormatError, match="TP53"):
        match(["7157"], ["TP53", "ENSG00000141510", "BAX", "FAS"])


MANGLED = {
    "1-Mar": "MARCH1", "01-Mar": "MARCH1", "Mar-01": "MARCH1", "2-Sep": "SEPT2", "Sep-02": "SEPT2", "1-Dec": "DEC1",
    "15-Sep": "SEPT15", "3-Mar-20": "MARCH3", "1-Apr": "APR1", "4-Oct": "OCT4", "2020-03-01": "MARCH1",
    "2019-09-07 00:00:00": "SEPT7", "43891": "MARCH1", "44075": "SEPT1", "2.31E+13": "RIKEN", "1E+05": "RIKEN",
    "9/2/2020": "MARCH1, SEPT2", "01.03.2020": "MARCH1, SEPT2", "1. Mrz": "MARCH1", "1-mars": "MARCH1",
    "7. Mär": "MARCH7", "1-ſep": "a name",
}  # fmt: skip


@pytest.mark.parametrize(("name", "was"), MANGLED.items())
def test_names_that_a_spreadsheet_mangled_are_refused(name, was):
    with pytest.raises(DataFormatError, match="spreadsheet") as caught:
        identify(["TP53", "BAX", name])
    assert f"'{name}' (was" in str(caught.value) and was in str(caught.value)


@pytest.mark.parametrize(
    "name", ["MARCH1", "MARCHF1", "SEPT2", "SEPTIN2", "DEC1", "NOV", "set-10", "dec-1", "E2F1", "MARC1"]
)
def test_names_like_months_are_genes(name):
    assert identify(["TP53", "BAX", name]).kind == "symbol"


def test_entrez_ids_are_no_dates():
    assert identify(["43891", "36526", "7157"]).kind == "entrez"


def test_genes_are_told_from_samples():
    assert gene_share(SYMBOLS) == 1 and gene_share([]) == 0
    assert gene_share(["TCGA-05-4244-01", "GTEX-111CU-0326", "S1"]) == 0
