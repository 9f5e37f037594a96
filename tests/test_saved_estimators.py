"""What is saved comes back equal, and what is no whole file of the same kind is refused by name."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from reproduce.errors import ConfigError, DataFormatError
from reproduce.saved_estimators import SavedEstimator


class Mean(SavedEstimator, BaseEstimator):
    saved_form = "means, 1"

    def __init__(self, widths=(3, 2), rate=0.5, random_state=None):
        self.widths, self.rate, self.random_state = widths, rate, random_state

    def fit(self, X, y=None):
        self.mean_, self.n_rows_ = X.mean(axis=0), len(X)
        return self

    def _saved(self):
        return {"n_rows": self.n_rows_}, {"mean": self.mean_}

    def _take_back(self, words, arrays):
        self.n_rows_, self.mean_ = words["n_rows"], arrays["mean"]


class Other(Mean):
    pass


@pytest.fixture
def saved(tmp_path):
    return Mean(rate=np.float32(0.25), random_state=np.int64(3)).fit(np.eye(4)).save(tmp_path / "a.npz")


def test_what_is_saved_comes_back(saved):
    back = Mean.load(saved)
    assert back.get_params() == {"widths": (3, 2), "rate": 0.25, "random_state": 3}
    assert back.n_rows_ == 4 and (back.mean_ == 0.25).all()


@pytest.mark.parametrize("part", [0, 0.3, 0.7, 0.99])
def test_a_file_that_is_broken_off_is_named(saved, part):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(part * len(content))])
    with pytest.raises(DataFormatError, match=r"a\.npz is no whole saved Mean"):
        Mean.load(saved)


def test_other_kinds_forms_and_files_are_refused(saved, monkeypatch, tmp_path):
    with pytest.raises(DataFormatError, match=r"holds 'Mean' .* not 'Other'"):
        Other.load(saved)
    monkeypatch.setattr(Mean, "saved_form", "means, 2")
    with pytest.raises(DataFormatError, match="'means, 1', not 'Mean' in 'means, 2'"):
        Mean.load(saved)
    np.savez(tmp_path / "pickled.npz", about=np.array([{}], dtype=object))
    for name, error, told in (
        ("pickled.npz", DataFormatError, "no whole saved"),
        ("absent.npz", DataFormatError, "no such file"),
        ("a.pkl", ConfigError, "must end in .npz"),
    ):
        with pytest.raises(error, match=f"{name}.*{told}"):
            Mean.load(tmp_path / name)


def test_whatever_byte_is_damaged_the_error_is_one(saved):
    content = saved.read_bytes()
    for position in range(0, len(content), 3):
        saved.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
        try:
            Mean.load(saved)  # some bytes, such as a time, mean nothing
        except DataFormatError as error:
            assert "a.npz" in str(error)


def test_a_generator_of_random_numbers_cannot_be_saved(tmp_path):
    fitted = Mean(random_state=np.random.RandomState(0)).fit(np.eye(2))
    with pytest.raises(ConfigError, match="random_state is a generator"):
        fitted.save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())
