"""Nothing ill-formed gets into a cohort, and cohorts meet by gene name, never by position."""

import time

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.container import OBS_COLUMNS, align_genes, make_cohort

GENES = ["TP53", "PTEN", "MDM2"]
IDS = ["ENSG00000141510.16", "ENSG00000171862", "ENSG00000135679"]
X = np.array([[1.0, 2, 3], [4, np.nan, 6]])


def sample_table(**columns):
    table = {
        "donor": ["GTEX-1", "GTEX-2"],
        "tissue": ["Lung", "Lung"],
        "cohort": ["GTEx", "GTEx"],
        "condition": ["normal", "tumour"],
        "sex": ["female", "male"],
        "age": [55.0, 65.0],
        **columns,
    }
    return pd.DataFrame(table, index=["S1", "S2"])


def cohort(X=X, genes=GENES, obs=None, **options):
    return make_cohort(X, genes, sample_table() if obs is None else obs, units="counts", source="a test", **options)


def named(label, genes, ids=None, factor=1.0):
    """A cohort whose value of a gene is that gene's number, whatever its column."""
    number = {gene: i + 1.0 for i, gene in enumerate([*GENES, "BAX", "CDK1"])}
    values = np.array([[number[gene] * factor for gene in genes]] * 2)
    return cohort(values, genes, sample_table(cohort=[label] * 2), ensembl_ids=ids)


# --- make_cohort ---


def test_a_cohort_holds_what_it_was_given():
    made = cohort(ensembl_ids=IDS, notes=["one", "two"], obs=sample_table(batch=["a", "b"]))
    np.testing.assert_array_equal(made.X, X.astype(np.float32))
    assert made.X.dtype == np.float32
    assert list(made.obs) == [*OBS_COLUMNS, "batch"] and list(made.obs_names) == ["S1", "S2"]
    assert list(made.var_names) == GENES
    assert list(made.var["ensembl_id"]) == [identifier.split(".")[0] for identifier in IDS]
    assert (made.uns["units"], made.uns["source"], made.uns["notes"]) == ("counts", "a test", ["one", "two"])
    assert "counts" not in made.layers


def test_a_cohort_does_not_share_what_it_was_given():
    values, obs = X.astype(np.float32), sample_table()
    made = cohort(values, obs=obs)
    values[:], obs["age"] = 0, 1.0
    assert made.X[0, 0] == 1 and made.obs["age"].iloc[0] == 55


def test_sex_and_age_may_be_unknown():
    made = cohort(obs=sample_table(sex=[None, "male"], age=["55", None]))
    assert made.obs["sex"].isna().tolist() == [True, False]
    assert made.obs["age"].dtype == np.float64 and made.obs["age"].iloc[0] == 55 and np.isnan(made.obs["age"].iloc[1])
    nobody = cohort(obs=sample_table(sex=[np.nan, np.nan], age=[np.nan, np.nan]))
    assert nobody.obs[["sex", "age"]].isna().all().all()


def test_counts_are_whole_and_exact():
    counts = np.array([[1, 2, 16_777_217], [4, 5, 6]])
    assert cohort(counts, counts=counts).layers["counts"].dtype == np.int64
    np.testing.assert_array_equal(cohort(counts, counts=counts).layers["counts"], counts)


def test_values_below_zero_are_for_ratios_only():
    assert cohort(-X, non_negative=False).X[0, 0] == -1


def with_value(value):
    changed = X.astype(object)
    changed[1, 2] = value
    return changed


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param({"X": X.T}, ["(3, 2)", "rows must be samples"], id="transposed"),
        pytest.param({"X": X[0]}, ["two dimensions"], id="one_row"),
        pytest.param({"X": X[:, :2]}, ["(2, 2)", "3 genes"], id="fewer_columns"),
        pytest.param({"X": X[:, :0], "genes": []}, ["no genes are left"], id="no_gene"),
        pytest.param({"X": X[:0], "obs": sample_table()[:0]}, ["no samples are left"], id="no_sample"),
        pytest.param({"X": with_value("high")}, ["not numeric", "high"], id="text"),
        pytest.param({"X": with_value(np.inf)}, ["infinite", "S2", "MDM2"], id="infinite"),
        pytest.param({"X": with_value(-np.inf)}, ["infinite", "S2", "MDM2"], id="minus_infinite"),
        pytest.param({"X": with_value(1e39)}, ["infinite", "S2", "MDM2"], id="beyond_float32"),
        pytest.param({"X": with_value(-1)}, ["negative", "S2", "MDM2", "linear scale"], id="negative"),
        pytest.param({"X": X * [[1], [np.nan]]}, ["S2", "no value for any gene", "remove"], id="empty_sample"),
        pytest.param({"genes": ["TP53", "PTEN", "TP53"]}, ["gene TP53", "more than once"], id="gene_twice"),
        pytest.param({"genes": ["TP53", np.nan, "MDM2"]}, ["gene number 2", "no name"], id="gene_without_name"),
        pytest.param(
            {"obs": sample_table().set_axis(["S1", "S1"])}, ["sample S1", "more than once"], id="sample_twice"
        ),
        pytest.param({"obs": sample_table().set_axis(["S1", " "])}, ["sample number 2"], id="sample_without_name"),
        pytest.param({"obs": sample_table(donor=["GTEX-1", None])}, ["donor", "S2"], id="donor_unknown"),
        pytest.param({"obs": sample_table(tissue=[None, "Lung"])}, ["tissue", "S1"], id="tissue_unknown"),
        pytest.param({"obs": sample_table(cohort=["GTEx", np.nan])}, ["cohort", "S2"], id="cohort_unknown"),
        pytest.param({"obs": sample_table(condition=["normal", None])}, ["condition", "S2"], id="condition_unknown"),
        pytest.param(
            {"obs": sample_table(condition=["normal", "tumor"])}, ["'tumor'", "S2", "normal, tumour"], id="condition"
        ),
        pytest.param({"obs": sample_table(sex=["F", "male"])}, ["'F'", "S1", "female, male"], id="sex"),
        pytest.param({"obs": sample_table(sex=[2, 1])}, ["sex is '2', '1'", "female, male"], id="sex_codes"),
        pytest.param({"obs": sample_table(age=["50-59", 3])}, ["age '50-59'", "S1", "years"], id="age_bracket"),
        pytest.param({"obs": sample_table(age=[-1, 3])}, ["age '-1'", "S1", "0 and 120"], id="age_negative"),
        pytest.param({"obs": sample_table(age=[3, 19_000])}, ["age '19000'", "S2", "0 and 120"], id="age_in_days"),
        pytest.param({"obs": sample_table(age=[3, np.inf])}, ["age 'inf'", "S2"], id="age_infinite"),
        pytest.param({"ensembl_ids": IDS[:2]}, ["2 Ensembl ids for 3 genes"], id="fewer_ids"),
        pytest.param({"counts": X}, ["whole numbers"], id="counts_missing"),
        pytest.param({"counts": np.full((2, 3), 0.5)}, ["whole numbers"], id="counts_estimated"),
        pytest.param({"counts": np.full((2, 3), -1)}, ["whole numbers"], id="counts_negative"),
        pytest.param({"counts": np.ones((3, 2))}, ["counts have shape (3, 2)"], id="counts_transposed"),
    ],
)
def test_what_is_ill_formed_is_refused_by_name(arguments, parts):
    with pytest.raises(DataFormatError) as caught:
        cohort(**arguments)
    for part in ("a test: ", *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("column", OBS_COLUMNS)
def test_every_column_of_the_sample_table_is_needed(column):
    with pytest.raises(DataFormatError, match=f"lacks the column {column}"):
        cohort(obs=sample_table().drop(columns=column))


# --- align_genes ---


def test_genes_are_matched_by_name_not_by_position():
    one, other = named("GTEx", GENES), named("TCGA-LUAD", GENES[::-1], factor=10)
    (first, second), report = align_genes(one, other)
    assert list(first.var_names) == list(second.var_names) == GENES
    np.testing.assert_array_equal(second.X, first.X * 10)
    assert report.genes == tuple(GENES) and report.to_frame().empty
    assert list(other.var_names) == GENES[::-1]  # what was given stays as it was
    first.X[:] = 0
    assert one.X.all()


def test_the_report_says_which_cohort_gives_up_what():
    cohorts = named("GTEx", ["BAX", *GENES]), named("TCGA-LUAD", ["MDM2", "TP53"]), named("TCGA-COADREAD", GENES[::-1])
    aligned, report = align_genes(*cohorts)
    assert [list(each.var_names) for each in aligned] == [["TP53", "MDM2"]] * 3
    frame = report.to_frame()
    assert list(frame.itertuples(index=False, name=None)) == [
        ("GTEx", "BAX", "TCGA-LUAD, TCGA-COADREAD"),
        ("GTEx", "PTEN", "TCGA-LUAD"),
        ("TCGA-COADREAD", "PTEN", "TCGA-LUAD"),
    ]
    assert str(report) == "2 genes in common; GTEx gives up BAX, PTEN; TCGA-COADREAD gives up PTEN"


def test_two_cohorts_of_one_name_are_told_apart():
    _, report = align_genes(named("GTEx", GENES), named("GTEx", GENES[:2]))
    assert list(report.lost) == ["GTEx", "GTEx (2)"] and list(report.lost["GTEx"]) == ["MDM2"]


def test_cohorts_without_a_common_gene_are_refused():
    with pytest.raises(DataFormatError, match=r"GTEx and TCGA-LUAD have no gene name in common.*'TP53', 'BAX'"):
        align_genes(named("GTEx", GENES), named("TCGA-LUAD", ["BAX", "CDK1"]))
    with pytest.raises(ConfigError, match="at least one"):
        align_genes()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_symbol_for_two_genes_is_refused_whichever_cohort_has_it(position):
    """TEP1 was once an alias of PTEN; an unknown identifier is no contradiction."""
    ids = [["", "", ""] for _ in range(3)]
    ids[position] = ["", "ENSG00000129566", ""]
    cohorts = [named(f"C{i}", GENES, each) for i, each in enumerate(ids)]
    assert align_genes(*cohorts)[1].genes == tuple(GENES)
    ids[position - 1] = ["", "ENSG00000171862", ""]
    with pytest.raises(DataFormatError, match=r"PTEN is ENSG.* in C\d but ENSG.* in C\d: the same symbol names two"):
        align_genes(*[named(f"C{i}", GENES, each) for i, each in enumerate(ids)])


def test_the_time_of_a_join_does_not_grow_with_the_square_of_its_genes():
    genes = [f"G{i}" for i in range(20_000)]
    one, other = (cohort(np.ones((2, 20_000)), order) for order in (genes, [*genes[:0:-1], "X"]))
    start = time.process_time()
    (first, _), report = align_genes(one, other)
    assert time.process_time() - start < 5  # takes 0.1 s; half a minute if each gene were sought in a list
    assert first.n_vars == 19_999 and len(report.to_frame()) == 2
