"""Whose row it is and what is left out together, unknown donors included."""

import numpy as np
import pandas as pd

from reproduce.imputers._covariates import CovariateEncoder
from reproduce.imputers._folds import donor_folds, left_out, person_of_row


def encoded(donors):
    frame = pd.DataFrame({"donor": donors})
    return CovariateEncoder().fit(frame).transform(frame)


def test_a_row_of_an_unknown_donor_is_a_person_of_its_own():
    # a donor may bear the name that a row without one would get
    person = person_of_row(6, encoded(["a", None, "b", "a", None, "row 1"]))
    assert person[0] == person[3] and len(set(person)) == 5 and person.max() == 4
    assert len(set(person_of_row(12, None))) == 12


def test_folds_leave_out_whole_persons_and_every_row_once():
    covariates = encoded([f"d{row // 3}" if row % 7 else None for row in range(40)])
    person, folds = person_of_row(40, covariates), donor_folds(40, covariates, 4, seed=0)
    seen = np.zeros(40, int)
    for rest, rows in left_out(folds):
        assert not set(person[rest]) & set(person[rows])
        assert sorted([*rest, *rows]) == list(range(40))
        seen[rows] += 1
    assert (seen == 1).all() and folds.max() == 3


def test_there_are_no_more_folds_than_persons():
    assert set(donor_folds(6, encoded(["a", "b"] * 3), 5, seed=0)) == {0, 1}
