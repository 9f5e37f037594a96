"""A .gct table gives its genes by identifier, or an error that names the file; never a value it does not hold."""

import gzip

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, DataFormatError
from reproduce.loaders.gct import check_gct, read_gct, read_gct_samples
from reproduce.loaders.gene_sets import GeneSet

SAMPLES = ("GTEX-1117F-0226-SM-5GZZ7", "GTEX-111CU-0326-SM-5GZXO", "GTEX-ZZPU-0626-SM-5E43T")
GENES = {"PTEN": "ENSG00000171862", "TP53": "ENSG00000141510", "TSC2": "ENSG00000103197"}
TINY = GeneSet("tiny", tuple(GENES), pd.DataFrame({"symbol": list(GENES), "ensembl_id": list(GENES.values())}), "test")
# In genome order, not the set's: the second wanted gene is the last row.
ROWS = (
    ("ENSG00000103197.16", "TSC2", 310, 0, 4207),
    ("ENSG00000117118.9", "SDHB", 1, 2, 3),
    ("ENSG00000171862.10", "PTEN", 905, 16777217, 88),
    ("ENSG00000141510.16", "TP53", 12, 1345, 2045),
)
WANTED = np.array([[905, 12, 310], [16777217, 1345, 0], [88, 2045, 4207]], dtype=float)


def gct_text(rows=ROWS, samples=SAMPLES, *, with_id=False, dimensions=None, end="\n"):
    """A table as GTEx ships it: all-sample layout, or per-tissue layout with the column ``id``."""
    n_genes, n_samples = dimensions or (len(rows), len(samples))
    table = [("Name", "Description", *samples), *rows]
    if with_id:
        table = [("id" if i == 0 else i - 1, *row) for i, row in enumerate(table)]
    lines = ["#1.2", f"{n_genes}\t{n_samples}", *("\t".join(map(str, row)) for row in table)]
    return "".join(line + end for line in lines)


def changed(row, column, value):
    """`ROWS` with one cell replaced."""
    return tuple(tuple(value if (i, j) == (row, column) else x for j, x in enumerate(r)) for i, r in enumerate(ROWS))


@pytest.fixture
def write(tmp_path):
    def write(content, name="gene_reads_2017-06-05_v8_lung.gct"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refused(path, *parts, read=read_gct, genes=TINY, **options):
    """The one error of a bad table, which names the file and `parts`."""
    with pytest.raises(DataFormatError) as caught:
        read(path, genes, **options) if read is read_gct else read(path)
    message = str(caught.value)
    for part in (str(path), *parts):
        assert part in message
    return message


# --- what is read ---


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("with_id", [False, True], ids=["all_samples", "per_tissue"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_all_forms_of_a_table_give_the_same_genes(write, compress, with_id, end):
    content = gct_text(with_id=with_id, end=end).encode()
    path = write(gzip.compress(content) if compress else content)  # the content tells gz from plain, not the name
    table = read_gct(path, TINY)
    np.testing.assert_array_equal(table.X, WANTED)
    assert (table.samples, table.symbols) == (SAMPLES, TINY.symbols)
    assert table.ensembl_ids == tuple(GENES.values())
    assert table.notes == ()
    assert read_gct_samples(path) == SAMPLES
    check_gct(path)


def test_without_a_set_every_row_comes_in_the_files_order(write):
    table = read_gct(write(gct_text()))
    np.testing.assert_array_equal(table.X.T, [row[2:] for row in ROWS])
    assert table.symbols == ("TSC2", "SDHB", "PTEN", "TP53")
    assert table.ensembl_ids[1] == "ENSG00000117118"


def test_tpm_and_exponents_are_read_to_the_last_bit(write):
    rows = changed(2, 2, "0.02739")
    assert read_gct(write(gct_text(rows)), TINY).X[0, 0] == 0.02739
    assert read_gct(write(gct_text(changed(2, 2, "1.5e+03"))), TINY).X[0, 0] == 1500


@pytest.mark.parametrize("order", [(2, 0), (1,), (0, 1, 2)])
def test_samples_come_in_the_order_asked_for(write, order):
    table = read_gct(write(gct_text()), TINY, samples=[SAMPLES[i] for i in order])
    assert table.samples == tuple(SAMPLES[i] for i in order)
    np.testing.assert_array_equal(table.X, WANTED[list(order)])


@pytest.mark.parametrize("dimensions", [(56200, 17382), (1, 1)])
def test_a_false_dimensions_line_is_a_note_not_a_failure(write, dimensions):
    table = read_gct(write(gct_text(dimensions=dimensions)), TINY)
    np.testing.assert_array_equal(table.X, WANTED)
    assert len(table.notes) == 2
    assert f"declares {dimensions[0]} genes and holds 4" in table.notes[0]
    assert f"declares {dimensions[1]} samples and holds 3" in table.notes[1]


# --- which row is a gene ---


def test_the_identifier_beats_the_symbol(write):
    """TEP1's row named PTEN (as in a table of 2012) is not PTEN while PTEN's own identifier is there."""
    impostor = ("ENSG00000129566.12", "PTEN", 7, 7, 7)
    renamed = changed(2, 1, "MMAC1")
    for rows in ((impostor, *renamed), (*renamed, impostor)):
        table = read_gct(write(gct_text(rows)), TINY)
        np.testing.assert_array_equal(table.X, WANTED)
        assert table.notes == ()


def test_a_row_with_another_wanted_genes_identifier_is_never_taken_by_symbol(write):
    rows = tuple(
        ("ENSG00000141510.16", "PTEN", *row[2:]) if row[1] == "TP53" else row for row in ROWS if row[1] != "PTEN"
    )
    refused(write(gct_text(rows)), "1 of 3 genes", "(PTEN)")


def test_a_gene_known_by_symbol_alone_is_taken_and_noted(write):
    table = read_gct(write(gct_text(changed(2, 0, "ENSG00000999999.1"))), TINY)
    np.testing.assert_array_equal(table.X, WANTED)
    assert table.ensembl_ids[0] == "ENSG00000999999"
    assert "PTEN (ENSG00000999999)" in table.notes[0]


def test_the_second_copy_on_y_is_skipped(write):
    rows = (("ENSG00000171862.10_PAR_Y", "PTEN", 0, 0, 0), *ROWS, ("ENSG00000117118.9_PAR_Y", "SDHB", 0, 0, 0))
    path = write(gct_text(rows))
    np.testing.assert_array_equal(read_gct(path, TINY).X, WANTED)
    every = read_gct(path)
    assert every.symbols == ("TSC2", "SDHB", "PTEN", "TP53")
    assert every.notes == ()  # the dimensions count both copies


@pytest.mark.parametrize("twin", ["ENSG00000171862.10", "ENSG00000171862.11"])
def test_a_wanted_gene_twice_is_refused(write, twin):
    path = write(gct_text((*ROWS, (twin, "PTEN", 1, 1, 1))))
    refused(path, "PTEN (ENSG00000171862) occurs 2 times")
    refused(path, "ENSG00000171862", genes=None)


def test_an_unwanted_gene_twice_is_no_concern(write):
    np.testing.assert_array_equal(read_gct(write(gct_text((*ROWS, ROWS[1]))), TINY).X, WANTED)


def test_an_absent_gene_is_an_error_or_a_note(write):
    path = write(gct_text(ROWS[:-1]))
    refused(path, "1 of 3 genes", "'tiny'", "(TP53)", "missing='report'")
    table = read_gct(path, TINY, missing="report")
    assert table.symbols == ("PTEN", "TSC2")
    np.testing.assert_array_equal(table.X, WANTED[:, [0, 2]])
    assert "TP53" in table.notes[0]
    refused(write(gct_text(ROWS[1:2])), "3 of 3 genes", missing="report")
    with pytest.raises(ConfigError, match="missing='ignore'"):
        read_gct(path, TINY, missing="ignore")


# --- cut and damaged files ---


def outcome(path):
    """None if the file is refused with its name, else the values."""
    try:
        return read_gct(path, TINY).X
    except DataFormatError as error:
        assert str(path) in str(error)
        return None


@pytest.mark.parametrize(
    ("form", "end", "dimensions"),
    [
        ("plain", "\n", None),
        ("plain", "\n", (2, 2)),
        ("plain", "\r\n", (56200, 17382)),
        ("gz", "\n", None),
        ("gz", "\r\n", (2, 2)),
        ("members", "\n", (2, 2)),
        ("bgzf", "\n", None),
    ],
)
def test_no_cut_goes_unnoticed(write, form, end, dimensions):
    """Whatever number of bytes a file loses at its end, what is left is refused."""
    text = gct_text(dimensions=dimensions, end=end).encode()
    lines = text.splitlines(keepends=True)
    whole = {
        "plain": lambda: text,
        "gz": lambda: gzip.compress(text, mtime=0),
        "members": lambda: b"".join(gzip.compress(line, mtime=0) for line in lines),  # a cut between two is no gz error
        "bgzf": lambda: b"".join(bgzf_block(line) for line in [*lines, b""]),
    }[form]()
    assert np.array_equal(outcome(write(whole)), WANTED)
    passed = [size for size in range(len(whole)) if outcome(write(whole[:size])) is not None]
    assert passed == []


@pytest.mark.parametrize("size_of_last", [1, 3])
def test_no_cut_gives_a_wrong_name_of_a_sample(write, size_of_last):
    text = gct_text(samples=(*SAMPLES[:2], SAMPLES[2][: 8 + size_of_last]), rows=ROWS)
    header_ends = len("".join(text.splitlines(keepends=True)[:3]))
    for size in range(header_ends):
        refused(write(text[:size]), read=read_gct_samples)


def test_a_bgzip_file_cut_between_blocks_is_refused_though_all_wanted_genes_are_there(write):
    lines = gct_text((*ROWS, *[(f"ENSG0000000000{i}.1", f"G{i}", 1, 1, 1) for i in range(3)])).encode().splitlines(True)
    blocks = [bgzf_block(line) for line in [*lines, b""]]
    path = write(b"".join(blocks))
    np.testing.assert_array_equal(read_gct(path, TINY).X, WANTED)
    for read in (read_gct, read_gct_samples, check_gct):
        refused(write(b"".join(blocks[:-2])), "cut short", read=read)


def bgzf_block(data):
    """A gzip member as bgzip writes it: the extra field BC holds the member's size less one."""
    member = gzip.compress(data, mtime=0)
    size = len(member) + 8 - 1
    return (
        member[:3]
        + b"\x04"
        + member[4:8]
        + b"\x00\xff"
        + b"\x06\x00BC\x02\x00"
        + size.to_bytes(2, "little")
        + member[10:]
    )


def test_a_flipped_byte_in_a_compressed_file_is_refused_or_harmless(write):
    whole = gzip.compress(gct_text().encode(), mtime=0)
    for position in range(10, len(whole)):
        values = outcome(write(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :]))
        assert values is None or np.array_equal(values, WANTED)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(gzip.compress(b""), "empty", id="empty_gz"),
        pytest.param(b" \n\n", "empty", id="blank"),
        pytest.param(b"<!DOCTYPE html><title>Sign in</title>", "web page", id="html"),
        pytest.param(b"\xef\xbb\xbf\n<html>", "web page", id="html_with_byte_order_mark"),
        pytest.param(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code>", "web page", id="xml"),
        pytest.param(gzip.compress(b"<html></html>"), "web page", id="html_gz"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull", id="lfs"),
        pytest.param(b"PK\x03\x04\x14\x00\x00\x00", "binary", id="zip"),
        pytest.param(gzip.compress(gzip.compress(b"#1.2\n")), "unpack", id="gz_twice"),
        pytest.param(b"SUBJID\tSEX\tAGE\nGTEX-1117F\t2\t60-69\n", "'#1.2'", id="another_table"),
        pytest.param(b"#1.3\n2\t2\t0\t0\n", "'#1.2'", id="another_version"),
        pytest.param(b"#1.2\nmany\tgenes\nName\tDescription\tS1\n", "line 2", id="dimensions_in_words"),
        pytest.param(b"#1.2\n1\t1\ngene\tsymbol\tS1\nE\tS\t1\n", "Name and Description", id="another_header"),
        pytest.param(b"#1.2\n1\t1\nName\tDescription\n", "without a sample's name", id="no_sample"),
        pytest.param(b"#1.2\n1\t2\nName\tDescription\tS1\t\n", "without a sample's name", id="nameless_sample"),
    ],
)
@pytest.mark.parametrize("read", [read_gct, read_gct_samples, check_gct])
def test_a_file_of_another_kind_is_told_apart(write, content, part, read):
    refused(write(content), part, read=read)


def test_a_header_without_genes_is_refused(write):
    for read in (read_gct, check_gct):
        refused(write(gct_text(rows=())), "no gene", read=read)


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.gct.gz", tmp_path):
        for read in (read_gct, read_gct_samples, check_gct):
            refused(path, "cannot be read", read=read)


@pytest.mark.parametrize("row", [("ENSG1", "G", 1, 2), ("ENSG1", "G", 1, 2, 3, 4)], ids=["fewer", "more"])
def test_a_line_with_another_number_of_fields_is_refused(write, row):
    for read in (read_gct, check_gct):
        refused(write(gct_text((*ROWS, row))), "line 8", "fields", read=read)


# --- values and names ---


@pytest.mark.parametrize("value", ["-1", "-0.5", "high", "", "NA", "nan", "inf", "1e999", "1_0", "0x1", "--1", "1,5"])
def test_a_value_that_is_no_count_is_refused_with_its_gene_and_sample(write, value):
    path = write(gct_text(changed(2, 3, value)))
    refused(path, "line 6", "PTEN", SAMPLES[1], repr(value))
    assert read_gct(path, TINY, samples=[SAMPLES[0], SAMPLES[2]]).X.shape == (2, 3)  # not asked for, not looked at
    assert np.array_equal(read_gct(write(gct_text(changed(1, 3, value))), TINY).X, WANTED)


def test_null_bytes_behind_a_number_are_no_part_of_it(write):
    """A download that was never finished may be padded with them; NumPy alone would drop them."""
    filler = [(f"ENSG{i:011d}.1", f"FILLER{i}", 1, 1, 1) for i in range(100)]
    path = write(gct_text((*filler, *changed(3, 4, "20\x00\x00"))))
    refused(path, "line 107", "TP53", SAMPLES[2], r"'20\x00\x00'")


def test_a_sample_twice_is_refused(write):
    path = write(gct_text(samples=(SAMPLES[0], SAMPLES[1], SAMPLES[0])))
    for read in (read_gct, read_gct_samples):
        refused(path, f"sample {SAMPLES[0]} occurs more than once", read=read)


def test_an_absent_sample_is_refused(write):
    refused(write(gct_text()), "1 of 2 samples", "GTEX-NOBODY", samples=[SAMPLES[0], "GTEX-NOBODY"])


# --- true files ---


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("gtex_allsamples_excerpt.gct", (40, 10)),
        ("gene_reads_2017-06-05_v8_lung.excerpt.gct", (25, 59)),
        ("gene_reads_2017-06-05_v8_colon_transverse.excerpt.gct", (25, 59)),
    ],
)
def test_true_excerpts(test_data, tmp_path, name, shape):
    table = read_gct(test_data / "formats" / name)
    assert table.X.shape == shape and table.notes == ()
    assert (table.ensembl_ids[0], table.symbols[0]) == ("ENSG00000117118", "SDHB")
    compressed = tmp_path / f"{name}.gz"
    compressed.write_bytes(gzip.compress((test_data / "formats" / name).read_bytes()))
    again = read_gct(compressed)
    np.testing.assert_array_equal(again.X, table.X)
    assert again.samples == table.samples


def test_a_true_bgzip_table_whose_dimensions_line_lies(test_data, tmp_path):
    path = test_data / "gtex_v8" / "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.acmg_59.gct.gz"
    table = read_gct(path, "p53", missing="report")
    assert len(table.samples) == 17_382 and table.symbols == ("PTEN", "TP53", "TSC2")
    assert "declares 56200 genes and holds 59" in table.notes[0]
    assert "62 genes of the set" in table.notes[1]
    assert (np.rint(table.X) == table.X).all() and (table.X > 0).any(axis=0).all()
    refused(path, "62 of 65 genes", genes="p53")

    # The lung excerpt holds the same counts, gene by gene and sample by sample, in another layout.
    lung = read_gct(test_data / "formats" / "gene_reads_2017-06-05_v8_lung.excerpt.gct")
    every = read_gct(path, samples=lung.samples)
    order = [every.ensembl_ids.index(identifier) for identifier in lung.ensembl_ids]
    np.testing.assert_array_equal(every.X[:, order], lung.X)

    content = path.read_bytes()
    for size in (len(content) // 3, len(content) - 28, len(content) - 1):
        cut = tmp_path / "cut.gct.gz"
        cut.write_bytes(content[:size])
        refused(cut, "cut short", genes="p53", missing="report")
