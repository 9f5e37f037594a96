"""Damaged and senseless files end in a matrix or in one clear error: no other exception, no hang, nothing half-written.

`REPRODUCE_FUZZ` sets how many files are tried (300 if unset) and `REPRODUCE_FUZZ_FIRST` the number of the first (0), so
that many can be tried in pieces; the outcomes are printed after every 500 files:

    REPRODUCE_FUZZ=10000 python -m pytest tests/matrices/test_bad_inputs.py -s
    REPRODUCE_FUZZ=2500 REPRODUCE_FUZZ_FIRST=7500 python -m pytest tests/matrices/test_bad_inputs.py -s
"""

import gzip
import io
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from reproduce.errors import DataFormatError, ReproduceError
from reproduce.loaders.gene_sets import gene_set
from reproduce.matrices import _h5ad_inspection
from reproduce.matrices.files import read_matrix, write_matrix

FEW, PIECE = 300, 500
N_FILES = int(os.environ.get("REPRODUCE_FUZZ", FEW))
FIRST = int(os.environ.get("REPRODUCE_FUZZ_FIRST", 0))
CPU_SECONDS = 20  # of this process, for one file
ENDINGS = ("csv", "tsv", "txt", "gct", "parquet", "h5ad", "csv.gz", "tsv.gz", "gct.gz", "parquet.gz", "h5ad.gz")
SPLICED = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b'""', b",", b"\t", b";", b"\n", b"\r", b"\r\n", b"inf", b"-Infinity",
    b"1e999", b"-1e308", b"NA", b"#DIV/0!", b"1-Mar", b"43891", b"2.31E+13", b"abc", b"#", b"#1.2\n", b"1,000.5",
    b"\xe9", b"\x1f\x8b", b"PAR1", b"\x89HDF\r\n\x1a\n", b"\xe2\x80\xa8", b"9" * 400, b"<html>", b"nan(1)", b"\xc3",
)  # fmt: skip


class OutOfTime(BaseException):
    """Not an Exception, so that nothing under test can swallow it."""


@contextmanager
def cpu_limit(seconds: float):
    def stop(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> list[tuple[str, bytes]]:
    """Whole files of every format: ending and bytes."""
    rng = np.random.default_rng(0)
    genes = gene_set("p53").symbols[:9]
    frame = pd.DataFrame(rng.normal(6, 3, (7, 9)).round(3), index=[f"s{i}é" for i in range(7)], columns=genes)
    frame = frame.mask(rng.random(frame.shape) < 0.25)
    frame.iloc[0] = range(9)
    folder = tmp_path_factory.mktemp("valid")
    (folder / "in.csv").write_text(frame.to_csv(), encoding="utf-8")
    matrix = read_matrix(folder / "in.csv")
    files = []
    for form in ("csv", "tsv", "gct", "parquet", "h5ad"):
        files.append((form, write_matrix(matrix, matrix.values, folder / f"out.{form}").read_bytes()))
    text = frame.T.to_csv(sep=";", decimal=",", na_rep="NA", quoting=2)
    files += [("csv", text.encode(encoding)) for encoding in ("utf-16", "cp1252", "utf-8-sig")]
    files.append(("txt", frame.T.to_csv(sep="\t", lineterminator="\r\n").encode()))
    names = {
        "obs": pd.DataFrame(index=frame.index.astype(object)),
        "var": pd.DataFrame(index=frame.columns.astype(object)),
    }
    anndata.AnnData(X=sparse.csr_matrix(frame.to_numpy(np.float32)), **names).write_h5ad(folder / "sparse.h5ad")
    files.append(("h5ad", (folder / "sparse.h5ad").read_bytes()))
    return files + [(f"{form}.gz", gzip.compress(data, mtime=0)) for form, data in files[:5]]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three kinds of damage."""
    for _ in range(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])):
        data = KINDS[rng.integers(len(KINDS))](data, rng)
    return data


def flipped(data, rng):
    out = bytearray(data)
    for at in rng.integers(0, max(1, len(out)), rng.integers(1, 4)) if out else ():
        out[at] = rng.integers(256)
    return bytes(out)


def truncated(data, rng):
    return data[: rng.integers(0, len(data) + 1)]


def beheaded(data, rng):
    return data[rng.integers(0, min(200, len(data) + 1)) :]


def spliced(data, rng):
    at = rng.integers(0, len(data) + 1)
    return data[:at] + SPLICED[rng.integers(len(SPLICED))] + data[at + rng.integers(0, 4) :]


def separators_swapped(data, rng):
    one, other = rng.choice(np.array([b",", b"\t", b";", b".", b" ", b"\n", b'"'], dtype=object), 2)
    return data.replace(one, other, int(rng.choice([-1, 1, 5])))


def lines_shuffled(data, rng):
    lines = data.split(b"\n")
    chosen = rng.integers(0, len(lines), rng.integers(1, len(lines) + 3))
    return b"\n".join(lines[at] for at in (chosen if rng.random() < 0.5 else [*range(len(lines)), chosen[0]]))


def field_replaced(data, rng):
    lines = data.split(b"\n")
    row = rng.integers(len(lines))
    fields = lines[row].split(b",")
    fields[rng.integers(len(fields))] = SPLICED[rng.integers(len(SPLICED))]
    lines[row] = b",".join(fields)
    return b"\n".join(lines)


def random_bytes(data, rng):
    return rng.bytes(rng.integers(0, 300))


def emptied(data, rng):
    lines = data.split(b"\n")
    return b"\n".join([lines[0], *(b",".join(line.split(b",")[:1] + [b""] * line.count(b",")) for line in lines[1:])])


def overwritten(data, rng):
    at, n = rng.integers(0, len(data) + 1), rng.integers(1, 64)
    return data[:at] + bytes([rng.choice([0, 255, 10, 34])]) * int(n) + data[at + n :]


KINDS = (
    flipped, flipped, truncated, beheaded, spliced, spliced, separators_swapped, lines_shuffled, field_replaced,
    field_replaced, random_bytes, emptied, overwritten,
)  # fmt: skip


def generated(valid: list[tuple[str, bytes]], number: int) -> tuple[str, bytes]:
    """The ending and bytes of one bad file; the same for the same number."""
    rng = np.random.default_rng([20210413, number])
    ending, data = valid[rng.integers(len(valid))]
    if ending.endswith(".gz") and rng.random() < 0.5:  # damage within intact compression
        data = gzip.compress(damaged(gzip.decompress(data), rng), 1, mtime=0)
    else:
        data = damaged(data, rng)
    if rng.random() < 0.1:
        ending = ENDINGS[rng.integers(len(ENDINGS))]
    return ending, data


def outcome(folder: Path, ending: str, data: bytes) -> str:
    """Read, fill and write one file; what came of it in a word."""
    path, out = folder / f"in.{ending}", folder / "filled" / f"out.{ending}"
    path.write_bytes(data)
    try:
        matrix = read_matrix(path)
        check(matrix)
        known = matrix.values.notna().to_numpy()
        write_matrix(matrix, matrix.values.fillna(1.5), out)
        again = read_matrix(out, orientation="auto" if "gct" in ending else matrix.layout.orientation)
        np.testing.assert_array_equal(again.values.to_numpy()[known], matrix.values.to_numpy()[known])
        return "matrix, whole" if known.all() else "matrix, filled"
    except ReproduceError as error:
        assert str(path) in str(error) or "filled" in str(error), f"the message names no file: {error}"
        assert not out.exists(), f"what was written cannot be read: {error}"
        return type(error).__name__ + (", HDF5 hung or crashed" if "HDF5 library" in str(error) else "")
    finally:
        assert path.read_bytes() == data, "the input was changed"
        leftover = [each.name for each in folder.rglob("*") if each not in (path, out, out.parent)]
        assert not leftover, f"left behind: {leftover}"
        path.unlink()
        out.unlink(missing_ok=True)


def check(matrix) -> None:
    values = matrix.values.to_numpy()
    assert values.dtype in (np.float32, np.float64) and values.ndim == 2 and values.size
    assert not np.isinf(values).any() and not np.isnan(values).all(axis=0).any()
    assert matrix.values.index.is_unique and matrix.values.columns.is_unique
    assert all(isinstance(name, str) and name.strip() for axis in matrix.values.axes for name in axis)
    assert matrix.notes


def test_whole_files_are_read_and_filled(valid, tmp_path):
    assert {outcome(tmp_path, *file) for file in valid} == {"matrix, filled"}


def test_bad_files_end_in_a_matrix_or_one_error(valid, tmp_path):
    counts, failures = Counter(), []
    for number in range(FIRST, FIRST + N_FILES):
        ending, data = generated(valid, number)
        try:
            with cpu_limit(CPU_SECONDS):
                counts[outcome(tmp_path, ending, data)] += 1
        except (Exception, OutOfTime) as error:  # every kind: that is what is looked for
            failures.append(f"file {number} (.{ending}): {type(error).__name__}: {str(error)[:300]}")
        done = number + 1 - FIRST
        if N_FILES > FEW and (done % PIECE == 0 or done == N_FILES):
            told = ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items()))
            print(f"\n{done:,} files from number {FIRST:,}: {told}; {len(failures)} failures", flush=True)
    assert not failures, "\n".join(failures[:40])
    assert counts["DataFormatError"] > 0 and counts["matrix, filled"] > 0


@pytest.mark.parametrize(
    ("code", "word"), [("while True: pass", "not done with it within 1 s"), ("os.abort()", "crashed")]
)
def test_a_file_on_which_hdf5_hangs_or_crashes_is_one_error(valid, tmp_path, monkeypatch, code, word):
    def started(place, layer):
        return subprocess.Popen([sys.executable, "-c", f"import os\n{code}"], stderr=subprocess.PIPE)

    monkeypatch.setattr(_h5ad_inspection, "_started", started)
    monkeypatch.setattr(_h5ad_inspection, "LEAST_SECONDS", 1.0)
    path = tmp_path / "in.h5ad"
    path.write_bytes(next(data for ending, data in valid if ending == "h5ad"))
    with pytest.raises(DataFormatError, match=rf"in\.h5ad: .* damaged \(the HDF5 library .*{word}"):
        read_matrix(path)


# --- chosen ones, whose message must say where ---

HEAD = "sample,TP53,BAX,FAS\n"
CHOSEN = {
    "empty": ("csv", "", "empty"),
    "blank": ("csv", " \n\n", "empty"),
    "header only": ("csv", HEAD, "no rows below the header"),
    "no numbers": ("csv", "sample,a,b\nx,lung,male\ny,colon,male\n", "no numbers"),
    "no header": ("csv", "1.5,2.5,3\n2.5,3.5,4\n", "must name the columns"),
    "text among numbers": ("csv", HEAD + "a,1,2,3\nb,1,x2,3\n", r"line 3 \(b\), column BAX: 'x2' is not a number"),
    "ragged": ("csv", HEAD + "a,1,2,3\nb,1,2\n", "line 3 has 3 fields, the header 4"),
    "two samples of one name": ("csv", HEAD + "a,1,2,3\na,1,2,4\n", "sample a occurs more than once"),
    "two genes of one name": ("csv", "s,TP53,TP53\na,1,2\n", "gene TP53 occurs more than once"),
    "infinite": ("csv", HEAD + "a,1,2,inf\n", r"line 2 \(a\), column FAS: 'inf' is infinite"),
    "too large": ("csv", HEAD + "a,1,2,1e999\n", "too large"),
    "gene without value": ("csv", HEAD + "a,1,,3\nb,1,NA,3\n", "1 genes have no value in any sample: BAX"),
    "nothing known": ("csv", HEAD + "a,,,\nb,,,\n", "no entry has a value"),
    "nameless sample": ("csv", HEAD + "a,1,2,3\n,1,2,3\n", "line 3 has no name"),
    "nameless gene": ("csv", "s,TP53,\na,1,2\n", "line 1, field 3: a column has no name"),
    "mangled": ("csv", "s,TP53,1-Mar\na,1,2\n", r"'1-Mar' \(was MARCH1"),
    "open quote": ("csv", HEAD + 'a,"1,2,3\n', "line 2 has a quote"),
    "binary": ("csv", "a,TP53\nb,\x00\x01\n", "binary file"),
    "web page": ("tsv", "<!DOCTYPE html><html></html>", "web page"),
    "two decimal marks": ("tsv", "s\tTP53\tBAX\na\t1,5\t2,5\nb\t1.5\t2,5\n", "'1.5' is not a number with the decimal"),
    "thousands": ("tsv", "s\tTP53\tBAX\na\t1.5\t2.5\nb\t1,234.5\t2.5\n", "no mark between thousands"),
    "no .gct": ("gct", HEAD + "a,1,2,3\n", "not '#1.2' or '#1.3'"),
    "no parquet": ("parquet", HEAD, "not a whole parquet file"),
    "no h5ad": ("h5ad", HEAD, "not an .h5ad file"),
    "no gzip": ("csv.gz", HEAD, "is not compressed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOSEN)
def test_the_message_says_what_and_where(tmp_path, case):
    ending, text, message = CHOSEN[case]
    path = tmp_path / f"in.{ending}"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(ReproduceError, match=message) as caught:
        read_matrix(path)
    assert str(path) in str(caught.value)


def test_truncated_compression_is_told(tmp_path):
    whole = gzip.compress((HEAD + "a,1,2,3\n" * 1).encode())
    (tmp_path / "in.csv.gz").write_bytes(whole[:-9])
    with pytest.raises(ReproduceError, match="cut short or damaged"):
        read_matrix(tmp_path / "in.csv.gz")


def test_undeclared_compression_and_missing_file_are_told(tmp_path):
    (tmp_path / "in.csv").write_bytes(gzip.compress(HEAD.encode()))
    with pytest.raises(ReproduceError, match=r"rename it with \.gz"):
        read_matrix(tmp_path / "in.csv")
    with pytest.raises(ReproduceError, match="cannot be read"):
        read_matrix(tmp_path / "absent.csv")
    with pytest.raises(ReproduceError, match=r"one of \.csv"):
        read_matrix(tmp_path / "in.xlsx")


def test_samples_without_values_and_single_ones_are_allowed(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(HEAD + "a,1,2,3\nb,,,\n", encoding="utf-8")
    assert any("b" in note and "no value at all" in note for note in read_matrix(path).notes)
    path.write_text(HEAD + "a,1,,3\n", encoding="utf-8")
    with pytest.raises(ReproduceError, match="BAX"):
        read_matrix(path)
    assert read_matrix(path, keep_empty_genes=True).values.shape == (1, 3)
    path.write_text("sample,TP53\na,1\nb,\n", encoding="utf-8")
    assert read_matrix(path).values.shape == (2, 1)


def test_what_h5ad_must_not_hold(tmp_path):
    names = {axis: pd.DataFrame(index=pd.Index([name], dtype=object)) for axis, name in (("obs", "a"), ("var", "TP53"))}
    anndata.AnnData(X=np.array([[np.inf]]), **names).write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(ReproduceError, match="sample a, gene TP53: the value is infinite"):
        read_matrix(tmp_path / "in.h5ad")
    buffer = io.BytesIO()
    pd.DataFrame({"TP53": [1.0], "when": [pd.Timestamp("2020-01-01")]}, index=["a"]).to_parquet(buffer)
    (tmp_path / "in.parquet").write_bytes(buffer.getvalue())
    with pytest.raises(ReproduceError, match="column when is of the type"):
        read_matrix(tmp_path / "in.parquet")
