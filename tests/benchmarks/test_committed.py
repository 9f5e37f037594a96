"""The committed benchmark: today's subjects at full size, and what is asked of them is kept, but for what is listed."""

import pytest

from reproduce.benchmarks import PARTS
from reproduce.benchmarks.shown import COMMITTED, full_rows
from reproduce.benchmarks.table import asks_anything, misses, read_benchmarks

IDENTITY = ["subject", "key", "against", "rows", "genes", "missing_rate"]
ASKED = ["required", "required_seconds", "required_gb", "r2_tolerance"]
#: What is asked and not reached, by part and subject: 9 times a plain training, for a model of a grid.
KNOWN_MISSES = {("grids", "PMI, a model of a grid"): ["required"]}


@pytest.fixture(scope="module")
def table():
    if not (COMMITTED / "benchmarks.csv").is_file():
        pytest.skip("no committed benchmark")
    return read_benchmarks(COMMITTED)[0]


def measured(table):
    """Rows that tell of whole processes: those measured since these are."""
    return table[table["process_seconds"].notna()]


def subjects_of(part):
    return {
        tuple(getattr(subject, {"subject": "label"}.get(name, name)) for name in IDENTITY): subject
        for subject in PARTS[part](quick=False)
    }


def differences(table):
    """Where full rows are not those of today's subjects, or what is asked of them is not kept, in words."""
    found = []
    for part, rows in measured(table).groupby("part"):
        wanted = subjects_of(part)
        rows = {tuple(row[name] for name in IDENTITY): row for _, row in rows.iterrows()}
        found += [f"{part}: {row} is not measured" for row in wanted.keys() - rows.keys()]
        found += [f"{part}: {row} is none of its subjects" for row in rows.keys() - wanted.keys()]
        for identity in wanted.keys() & rows.keys():
            row, subject = rows[identity], wanted[identity]
            asked = {name: getattr(subject, name) for name in ASKED}
            if not all(
                row[name] == value or (row[name] != row[name] and value != value) for name, value in asked.items()
            ):
                found.append(f"{part}: {identity} was asked for something else")
            if misses(row) != KNOWN_MISSES.get((part, subject.label), []):
                found.append(f"{part}: {identity} misses {misses(row)}")
    return found


def test_all_parts_are_there_at_full_size_and_no_quick_row(table):
    assert set(table["part"]) == set(PARTS) and not table["quick"].any()
    for part in set(table["part"]):
        sizes = {(subject.rows, subject.genes) for subject in PARTS[part](quick=False)}
        assert {*zip(*(table.loc[table["part"] == part, name] for name in ("rows", "genes")), strict=True)} == sizes


def test_what_is_asked_is_kept_but_for_known_misses(table):
    assert not differences(table), differences(table)


def test_a_row_that_keeps_less_than_asked_or_more_than_a_known_miss_is_found(table):
    rows = table[table["part"].isin(["larger_than_memory", "grids"])].copy()
    rows["process_seconds"] = 1.0
    files = rows["part"] == "larger_than_memory"
    assert not differences(rows[files & (rows["r2_tolerance"].notna())])
    assert any("misses ['r2_tolerance']" in words for words in differences(rows[files].assign(r2=0.5)))
    assert any("misses ['required_gb']" in words for words in differences(rows[files].assign(peak_memory_gb=5.0)))
    assert any("is not measured" in words for words in differences(rows[files].iloc[1:]))


def test_every_known_miss_is_a_subject_of_which_something_is_asked(table):
    full = full_rows(table)
    for part, label in KNOWN_MISSES:
        found = full[(full["part"] == part) & (full["subject"] == label)]
        assert len(found) == 1 and asks_anything(found.iloc[0])
