"""A matrix comes back as it was: known entries to the letter or the bit, holes filled, all else in its place."""

import gzip
import io
import tempfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from reproduce.errors import ConfigError, CovariateError, DataFormatError
from reproduce.loaders.gene_sets import gene_set
from reproduce.matrices.files import read_covariates, read_matrix, write_frame, write_matrix

GENES = list(gene_set("p53").symbols)
MISSING = ["", "NA", "NaN", "nan", "null", "NULL", "-", ".", "N/A", " ", "None"]
examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

whole = st.integers(-(10**6), 10**6).map(str)
real = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: np.format_float_positional(x, precision=17))
short = st.decimals(0, 10**4, places=3).map(str)
odd = st.sampled_from(["1e5", "2.50E-3", "0", "0.0", "-0.0", "+7.5", "007", "5.", ".5", "1.10", " 3.25"])
numbers = st.one_of(whole, real, short, odd)


@st.composite
def text_tables(draw):
    """A table as bytes with its fields, and how it was written."""
    n, p = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    separator = draw(st.sampled_from([",", "\t", ";", "|"]))
    decimal = draw(st.sampled_from([".", ","]))
    quoted = draw(st.booleans()) or separator == decimal
    fields = [[draw(st.one_of(numbers, st.sampled_from(MISSING))) for _ in range(p)] for _ in range(n)]
    hole = [[field.strip().lower() in {m.strip().lower() for m in MISSING} for field in row] for row in fields]
    assume(not all(map(all, hole)))
    if decimal == ",":
        fields = [[f if h else f.replace(".", ",") for f, h in zip(*pair)] for pair in zip(fields, hole)]
        assume(any("," in field for row in fields for field in row))
    corner = draw(st.sampled_from(["", "id", "sämple"]))
    samples = [f"sample {i} é" if draw(st.booleans()) else f"TCGA-{i:02}" for i in range(n)]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))

    def field(text):
        return f'"{text}"' if (quoted and text.strip()) or separator in text else text

    lines = [[corner, *GENES[:p]], *([name, *row] for name, row in zip(samples, fields))]
    if draw(st.booleans()):
        lines = [[line[at] for line in lines] for at in range(p + 1)]
        genes_in_rows = True
    else:
        genes_in_rows = False
    text = newline.join(separator.join(map(field, line)) for line in lines) + draw(st.sampled_from(["", newline]))
    if draw(st.booleans()):
        text = f"# a remark{newline}" + text
    orientation = "genes_by_samples" if genes_in_rows else "samples_by_genes"
    return text.encode(encoding), fields, np.array(hole), separator, decimal, encoding, orientation, samples


@examples
@given(text_tables(), st.booleans(), st.data())
def test_text_comes_back_letter_for_letter(table, compressed, data):
    raw, fields, hole, separator, decimal, encoding, orientation, samples = table
    form = {",": "csv", ";": "csv", "\t": "tsv", "|": "txt"}[separator]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (f"in.{form}" + ".gz" * compressed)
        path.write_bytes(gzip.compress(raw) if compressed else raw)
        matrix = read_matrix(path, orientation=orientation, keep_empty_genes=True)
        assert list(matrix.values.index) == samples
        assert list(matrix.values.columns) == GENES[: hole.shape[1]]
        expected = [
            [np.nan if h else float(f.replace(decimal, ".")) for f, h in zip(row, hs)] for row, hs in zip(fields, hole)
        ]
        np.testing.assert_array_equal(matrix.values.to_numpy(), expected)
        same = write_matrix(matrix, matrix.values, Path(folder) / f"same.{form}").read_bytes()
        assert same == raw
        scale = data.draw(st.sampled_from([1e-12, 1.0, 1e9]))
        filled = matrix.values.fillna(0) * 0 + scale * (1 + np.arange(hole.size).reshape(hole.shape)) / 3
        out = write_matrix(matrix, filled, Path(folder) / f"out.{form}")
        again = read_matrix(out, orientation=orientation)
        known = matrix.values.to_numpy()
        np.testing.assert_array_equal(again.values.to_numpy()[~hole], known[~hole])
        np.testing.assert_allclose(again.values.to_numpy()[hole], filled.to_numpy()[hole], rtol=1e-6)
        assert again.layout.orientation == matrix.layout.orientation
        assert again.layout.form.encoding == matrix.layout.form.encoding
        text = out.read_bytes().decode(encoding)
        assert all(field in text for row, hs in zip(fields, hole) for field, h in zip(row, hs) if not h)


@st.composite
def numeric_frames(draw):
    n, p = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["float16", "float32", "float64"]))
    values = (rng.standard_normal((n, p)) * 100).astype(kind)
    hole = rng.random((n, p)) < 0.3
    hole[0] = False
    values[hole] = np.nan
    return pd.DataFrame(values, index=[f"s{i}" for i in range(n)], columns=GENES[:p]), hole


@examples
@given(numeric_frames(), st.booleans())
def test_parquet_keeps_known_bits_and_types(frame_and_hole, genes_in_rows):
    frame, hole = frame_and_hole
    stored = frame.T if genes_in_rows else frame
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.parquet.gz"
        buffer = io.BytesIO()
        stored.to_parquet(buffer)
        path.write_bytes(gzip.compress(buffer.getvalue()))
        orientation = "genes_by_samples" if genes_in_rows else "samples_by_genes"
        matrix = read_matrix(path, orientation=orientation)
        np.testing.assert_array_equal(matrix.values.to_numpy(), frame.to_numpy())
        out = write_matrix(matrix, matrix.values.fillna(1 / 3), Path(folder) / "out.parquet")
        back = pd.read_parquet(out)
        assert back.dtypes.equals(stored.dtypes) and back.index.equals(stored.index)
        back = back.T if genes_in_rows else back
        np.testing.assert_array_equal(back.to_numpy()[~hole], frame.to_numpy()[~hole])
        np.testing.assert_allclose(back.to_numpy()[hole].astype(float), 1 / 3, rtol=1e-3)


@settings(examples, max_examples=15)
@given(numeric_frames(), st.sampled_from(["dense", "csr", "csc"]))
def test_h5ad_keeps_all_but_the_holes(frame_and_hole, kind):
    frame, hole = frame_and_hole
    X = frame.to_numpy()
    if kind != "dense":
        X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[kind](X.astype(np.float32))
    # categories of Python's own strings, which every anndata writes
    lung = pd.Categorical.from_codes([0] * len(frame), categories=pd.Index(["lung"], dtype=object))
    obs = pd.DataFrame({"tissue": lung}, index=pd.Index(frame.index, dtype=object))
    var = pd.DataFrame({"n": range(frame.shape[1])}, index=pd.Index(frame.columns, dtype=object))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.h5ad"
        anndata.AnnData(X=X, obs=obs, var=var, layers={"raw": np.ones(frame.shape)}).write_h5ad(path)
        matrix = read_matrix(path)
        assert list(matrix.obs["tissue"]) == ["lung"] * len(frame)
        out = write_matrix(matrix, matrix.values.fillna(0.25), Path(folder) / "out.h5ad")
        back, before = anndata.read_h5ad(out), anndata.read_h5ad(path)
        assert type(back.X) is type(before.X) and back.X.dtype == before.X.dtype
        dense = [x.X if kind == "dense" else x.X.toarray() for x in (back, before)]
        np.testing.assert_array_equal(dense[0], np.where(hole, 0.25, dense[1]).astype(dense[1].dtype))
        assert (back.layers["raw"] == 1).all() and list(back.var["n"]) == list(range(frame.shape[1]))
        assert matrix.values.to_numpy().dtype == (np.float64 if before.X.dtype == np.float64 else np.float32)


@pytest.mark.parametrize("form", ["csv", "tsv", "txt.gz", "gct", "parquet", "h5ad", "h5ad.gz"])
def test_conversion_gives_the_same_numbers(tmp_path, form):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((3, 4)), index=["a,b", 'c"d', "e"], columns=GENES[:4])
    frame.iloc[1, 2] = np.nan
    (tmp_path / "in.csv").write_text(frame.to_csv(), encoding="utf-8")
    matrix = read_matrix(tmp_path / "in.csv")
    back = read_matrix(write_matrix(matrix, matrix.values, tmp_path / f"out.{form}"))
    pd.testing.assert_frame_equal(back.values, frame, check_exact=True, check_names=False, check_column_type=False,
                                  check_index_type=False)  # fmt: skip


def test_whole_parquet_numbers_stay_exact(tmp_path):
    large = 2**53 + 1
    table = pa.table({"name": ["a", "b"], "TP53": pa.array([large, None], pa.int64()), "BAX": pa.array([1, None])})
    pq.write_table(table, tmp_path / "in.parquet")
    matrix = read_matrix(tmp_path / "in.parquet")
    filled = matrix.values.fillna({"TP53": 3, "BAX": 1.5})
    back = pq.read_table(write_matrix(matrix, filled, tmp_path / "out.parquet")).to_pydict()
    assert back == {"name": ["a", "b"], "TP53": [large, 3], "BAX": [1.0, 1.5]}


def test_gct_keeps_its_lines_and_descriptions(tmp_path):
    rows = ["ENSG00000141510.16\tTP53\t1\tNA\t3", "ENSG00000087088.19\tBAX\t\t5\t6", ""]
    text = "\n".join(["#1.2", "2\t3", "Name\tDescription\ts1\ts2\ts3", *rows])
    (tmp_path / "in.gct").write_text(text, encoding="utf-8")
    matrix = read_matrix(tmp_path / "in.gct")
    assert matrix.values.shape == (3, 2) and np.isnan(matrix.values.loc["s2", "ENSG00000141510.16"])
    out = write_matrix(matrix, matrix.values.fillna(2.5), tmp_path / "out.gct.gz")
    assert gzip.decompress(out.read_bytes()).decode() == text.replace("NA", "2.5").replace("BAX\t\t", "BAX\t2.5\t")
    with pytest.raises(ConfigError, match="by definition"):
        read_matrix(tmp_path / "in.gct", orientation="samples_by_genes")


def test_gct_of_version_1_3_has_rows_that_describe_samples(tmp_path):
    text = "#1.3\n1\t2\t1\t1\nid\tsymbol\ts1\ts2\ntissue\tna\tlung\tcolon\ng1\tTP53\t1.5\tNaN\n"
    (tmp_path / "in.gct").write_text(text, encoding="utf-8")
    matrix = read_matrix(tmp_path / "in.gct")
    assert matrix.values["g1"].tolist()[0] == 1.5
    out = write_matrix(matrix, matrix.values.fillna(2), tmp_path / "out.gct")
    assert out.read_text(encoding="utf-8") == text.replace("NaN", "2")


@pytest.mark.parametrize(
    ("text", "orientation", "why"),
    [
        ("x,TP53,BAX,FAS\na,1,2,3\n", "samples_by_genes", "columns' names are known genes"),
        ("x,a,b,c\nTP53,1,2,3\n", "genes_by_samples", "rows' names are known genes"),
        ("x,a\nENSG00000141510.16,1\n", "genes_by_samples", "known genes"),
        ("gene_id,a,b,c\nq,1,2,3\n", "genes_by_samples", "first column is called"),
        ("x,a,b,c\nq,1,2,3\n", "samples_by_genes", "more columns than rows"),
        ("x,a\nq,1\nr,2\n", "genes_by_samples", "more rows than columns"),
        ("x,a,b\nq,1,2\nr,2,3\n", "samples_by_genes", "nothing speaks against it"),
    ],
)
def test_orientation_is_found_and_told(tmp_path, text, orientation, why):
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    matrix = read_matrix(tmp_path / "in.csv")
    assert matrix.layout.orientation == orientation
    assert any(why in note for note in matrix.notes)
    other = ({"samples_by_genes", "genes_by_samples"} - {orientation}).pop()
    assert read_matrix(tmp_path / "in.csv", orientation=other).values.shape == matrix.values.shape[::-1]


def test_layers_and_whole_counts_of_h5ad(tmp_path):
    layer = np.array([[1.0, np.nan], [3.0, 4.0]])
    names = {"obs": pd.DataFrame(index=["a", "b"]), "var": pd.DataFrame(index=GENES[:2])}
    for table in names.values():
        table.index = table.index.astype(object)
    anndata.AnnData(X=np.array([[1, 2], [3, 4]]), layers={"z": layer}, **names).write_h5ad(tmp_path / "in.h5ad")
    assert not read_matrix(tmp_path / "in.h5ad").values.isna().any(axis=None)
    matrix = read_matrix(tmp_path / "in.h5ad", layer="z")
    out = write_matrix(matrix, matrix.values.fillna(9), tmp_path / "out.h5ad")
    with h5py.File(out) as file:
        assert file["layers/z"][0, 1] == 9 and file["X"][0, 1] == 2
    with pytest.raises(DataFormatError, match="it has z"):
        read_matrix(tmp_path / "in.h5ad", layer="nope")


def test_covariates_are_matched_by_name(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text('sample;tissue;age\n"b";lung;"61,5"\na;NA;\nc;colon;30\n', encoding="utf-8")
    table = read_covariates(path, ["a", "b"])
    assert table.index.tolist() == ["a", "b"] and table["age"].tolist()[1] == 61.5
    assert table["tissue"].isna().tolist() == [True, False]
    with pytest.raises(CovariateError, match="zz"):
        read_covariates(path, ["a", "zz"])


def test_p53_data_with_holes_come_back(tmp_path, test_data):
    original = (test_data / "p53" / "gtex_lung_colon.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    lines = [
        original[0],
        *(line.split(",", 2)[0] + ",NA," + line.split(",", 2)[2] for line in original[1:5]),
        *original[5:],
    ]
    (tmp_path / "in.csv").write_text("".join(lines), encoding="utf-8")
    matrix = read_matrix(tmp_path / "in.csv")
    assert matrix.values.shape == (984, 65) and matrix.values.isna().sum().sum() == 4
    assert any("tissue" in note for note in matrix.notes)
    out = write_matrix(matrix, matrix.values.fillna(7), tmp_path / "out.csv").read_text(encoding="utf-8")
    assert out == "".join(lines).replace(",NA,", ",7,")


def test_a_new_h5ad_holds_text_that_is_missing_or_repeated(tmp_path):
    frame = pd.DataFrame([[1.5, 2.0], [3.0, 4.0], [5.0, 6.5]], index=list("abc"), columns=["TP53", "BAX"])
    obs = pd.DataFrame(
        {"tissue": ["lung", "lung", None], "batch": pd.Categorical(["x", None, "x"]), "age": [1.0, np.nan, 3.0]},
        index=frame.index,
    )
    again = read_matrix(write_frame(frame, tmp_path / "new.h5ad", obs=obs)).obs
    assert again.astype(object).fillna("none").values.tolist() == obs.astype(object).fillna("none").values.tolist()
