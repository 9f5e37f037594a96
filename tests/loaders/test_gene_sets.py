"""The gene sets are the paper's, with identifiers that tell each gene from its namesakes."""

import pytest

from reproduce.errors import ConfigError
from reproduce.loaders.gene_sets import ALIASES, GENE_SETS, PROTEIN_CODING, gene_set


@pytest.mark.parametrize(("name", "size", "pathway"), [("p53", 65, "hsa04115"), ("alzheimer", 273, "hsa05010")])
def test_a_set_has_its_size_and_source(name, size, pathway):
    genes = gene_set(name)
    assert len(genes) == len(genes.symbols) == size
    assert pathway in genes.source and f"{size} genes" in genes.source
    assert gene_set(genes) is genes and gene_set(name) == genes


@pytest.mark.parametrize("name", GENE_SETS)
def test_every_gene_has_identifiers_of_its_own(name):
    genes = gene_set(name)
    table = genes.table
    assert list(table) == ["symbol", "ensembl_id", "entrez_id", "hgnc_id"]
    assert tuple(table["symbol"]) == genes.symbols == tuple(sorted(genes.symbols))
    assert all(table[column].is_unique for column in table)
    assert table["ensembl_id"].str.fullmatch(r"ENSG\d{11}").all()
    assert table["entrez_id"].str.fullmatch(r"\d+").all()
    assert table["hgnc_id"].str.fullmatch(r"HGNC:\d+").all()
    for symbol, ensembl_id in genes.ensembl_of_symbol.items():
        assert genes.symbol_of_ensembl[ensembl_id] == symbol
    assert set(genes.symbol_of_entrez.values()) == set(genes.symbols)


def test_pten_is_pten():
    """The student study's table has TEP1 (Entrez 7011) under this name."""
    p53 = gene_set("p53")
    assert p53.symbol_of_entrez["5728"] == "PTEN" and p53.ensembl_of_symbol["PTEN"] == "ENSG00000171862"
    assert "7011" not in p53.symbol_of_entrez and "TEP1" not in ALIASES


def test_an_alias_is_an_old_name_of_a_gene_of_the_set():
    symbols = set(gene_set("p53").symbols)
    assert set(ALIASES.values()) <= symbols and symbols.isdisjoint(ALIASES)


@pytest.mark.parametrize("name", ["P53", "", "kegg"])
def test_an_unknown_set_is_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match=f"unknown gene set '{name}': choose one of p53, alzheimer"):
        gene_set(name)


@pytest.mark.parametrize("name", GENE_SETS)
def test_the_sets_are_the_authors(test_data, name):
    listed = (test_data / "gene_sets" / f"{name}.txt").read_text().split()
    assert sorted(listed) == list(gene_set(name).symbols)


def test_a_rule_offers_candidates_that_agree_with_the_lists():
    rule = gene_set(PROTEIN_CODING)
    assert not rule.complete and all(gene_set(name).complete for name in GENE_SETS)
    assert f"{len(rule):,} genes" in rule.source and len(rule) > 19_000
    assert all(rule.table[column].is_unique for column in ("symbol", "ensembl_id", "entrez_id", "hgnc_id"))
    for name in GENE_SETS:
        listed = gene_set(name)
        assert listed.ensembl_of_symbol.items() <= rule.ensembl_of_symbol.items()
        assert listed.symbol_of_entrez.items() <= rule.symbol_of_entrez.items()
