"""Encoding of covariates: codes by sorted category, numbers standardised by fitted rows, donors never encoded."""

import numpy as np
import pandas as pd
import pytest

from reproduce.errors import ConfigError, CovariateError
from reproduce.imputers._covariates import CovariateEncoder

TRAIN = pd.DataFrame(
    {
        "tissue": ["lung", "colon", None, "lung"],
        "smoker": [True, False, True, True],
        "age": [20.0, 40.0, np.nan, 60.0],
        "donor": ["a", "b", "c", None],
    }
)


def test_codes_numbers_and_donors():
    encoded = CovariateEncoder().fit(TRAIN).transform(TRAIN)
    assert encoded.categorical_names == ("tissue", "smoker")
    assert encoded.categories == (("colon", "lung"), ("False", "True"))
    np.testing.assert_array_equal(encoded.codes, [[2, 2], [1, 1], [0, 2], [2, 2]])
    sd = np.std([20, 40, 60])
    np.testing.assert_allclose(encoded.numeric[:, 0], [-20 / sd, 0, 0, 20 / sd])
    assert list(encoded.donor) == ["a", "b", "c", None]
    assert encoded.n_categories == (2, 2)


def test_numbers_are_standardised_by_fitted_rows_only():
    encoder = CovariateEncoder().fit(TRAIN)
    later = encoder.transform(TRAIN.assign(age=[1000.0, 40.0, 40.0, 40.0]))
    np.testing.assert_allclose(later.numeric[1:, 0], 0)


def test_order_of_rows_to_fit_does_not_matter():
    one, other = CovariateEncoder().fit(TRAIN), CovariateEncoder().fit(TRAIN.iloc[::-1])
    np.testing.assert_array_equal(one.transform(TRAIN).codes, other.transform(TRAIN).codes)


def test_one_hot_leaves_out_what_says_nothing_and_zeroes_the_unknown():
    frame = TRAIN.assign(smoker=True)
    hot = CovariateEncoder().fit(frame).transform(frame).one_hot()
    np.testing.assert_array_equal(hot[:, :2], [[0, 1], [1, 0], [0, 0], [0, 1]])
    assert hot.shape == (4, 3)


def test_column_that_is_empty_in_transform_only():
    empty = TRAIN.assign(tissue=np.full(4, np.nan), age=[None] * 4)
    encoded = CovariateEncoder().fit(TRAIN).transform(empty)
    assert (encoded.codes[:, 0] == 0).all() and (encoded.numeric == 0).all()


def test_constant_number_stays_finite():
    frame = TRAIN.assign(age=50.0)
    assert (CovariateEncoder().fit(frame).transform(frame).numeric == 0).all()


def test_unseen_category():
    spleen = TRAIN.assign(tissue="spleen")
    with pytest.raises(CovariateError, match=r"tissue.*'spleen'.*'colon', 'lung'"):
        CovariateEncoder().fit(TRAIN).transform(spleen)
    assert (CovariateEncoder("pool").fit(TRAIN).transform(spleen).codes[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TRAIN.assign(age=[np.inf, 1, 2, 3]), "age.*infinite"),
        (pd.concat([TRAIN, TRAIN[["age"]]], axis=1), "age.*more than once"),
        (TRAIN.assign(date=pd.Timestamp("2020-01-01")), "date.*datetime"),
    ],
)
def test_unfit_columns(frame, message):
    with pytest.raises(CovariateError, match=message):
        CovariateEncoder().fit(frame)


def test_text_where_numbers_were_fitted():
    with pytest.raises(CovariateError, match=r"age.*numeric when fitted"):
        CovariateEncoder().fit(TRAIN).transform(TRAIN.assign(age=["old"] * 4))


def test_unknown_option():
    with pytest.raises(ConfigError, match="unknown_category"):
        CovariateEncoder("ignore")


def test_group_must_be_a_categorical_column():
    encoded = CovariateEncoder().fit(TRAIN).transform(TRAIN)
    with pytest.raises(CovariateError, match=r"'cohort'.*tissue, smoker"):
        encoded.group_codes("cohort")
