"""The page: one file that needs no network and no script, says what was measured, and shows names as text."""

import re

import numpy as np
import pandas as pd
import pytest

from reproduce.matrices.evaluation import hide, scored
from reproduce.matrices.page import PageContent, coarse, page_of


def content(**changed) -> PageContent:
    generator = np.random.default_rng(0)
    values = pd.DataFrame(generator.standard_normal((50, 6)), columns=["A", "B", "C", "D", "E", "<script>"])
    values = values.mask(generator.random(values.shape) < 0.3)
    hidden = hide(values.to_numpy(), 0.2, 0)
    result = scored(values.to_numpy(), np.zeros(values.shape), hidden, values.columns)
    given = {
        "source": "in & out.csv",
        "written": "filled.csv",
        "values": values,
        "method": "Conditional Gaussian",
        "reason": "as asked",
        "settings": {"seed": 7},
        "notes": ("a note",),
        "held_out": result,
        "not_measured": "",
        "seconds": 3.0,
        "peak_gigabytes": 0.5,
    }
    return PageContent(**{**given, **changed})


def test_nothing_is_loaded_and_names_are_text():
    page = page_of(content())
    assert "<script" not in page
    assert "&lt;script&gt;" in page and "in &amp; out.csv" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,22})', page)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r'src="[^"]*"', "", page)
    assert all(heading in page for heading in ("What was missing", "How accurate it is", "How it was done", "a note"))


def test_what_was_not_measured_is_said():
    assert "too small a matrix" in page_of(content(held_out=None, not_measured="too small a matrix"))


@pytest.mark.parametrize(("covered", "word"), [(0.75, "too narrow"), (0.999, "wider"), (0.9, "hold what they promise")])
def test_the_verdict_on_intervals_follows_the_coverage(covered, word):
    from dataclasses import replace

    table = pd.DataFrame({"nominal": [0.9], "covered": [covered], "n_entries": [10_000]})
    assert word in page_of(content(held_out=replace(content().held_out, calibration=table)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (500, 3), (241, 481)])
def test_the_coarse_map_keeps_the_fraction(shape):
    missing = np.random.default_rng(0).random(shape) < 0.3
    cells = coarse(missing, (240, 480))
    assert cells.shape == (min(shape[0], 240), min(shape[1], 480))
    assert (cells >= 0).all() and (cells <= 1).all()
    if shape[0] <= 240 and shape[1] <= 480:
        np.testing.assert_array_equal(cells, missing)
    assert cells.mean() == pytest.approx(missing.mean(), abs=0.02)
