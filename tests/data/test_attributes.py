from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.data.attributes import MAX_ROWS, read_attributes, sample_attributes
from ganzoo.data.catalog import DescribedDataset
from ganzoo.errors import DataError
from tests.data.pictures import NumberedDataset
from tests.support.shades import Shades


class Given(Shades):
    """A data set whose attributes are given."""

    def __init__(self, values: object, count: int = 3) -> None:
        super().__init__(count=count)
        self.values = values

    def attributes(self) -> np.ndarray:
        return self.values  # type: ignore[return-value]


def test_a_data_set_without_attributes_has_none() -> None:
    assert read_attributes(NumberedDataset(3)) is None
    assert sample_attributes(NumberedDataset(3)) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 2)), r"must return an array float32 \(3, 2\), not float64 \(3, 2\)"),
        (np.zeros((3, 1), np.float32), r"must return an array float32 \(3, 2\), not float32 \(3, 1\)"),
        (np.zeros((2, 2), np.float32), r"must return an array float32 \(3, 2\), not float32 \(2, 2\)"),
        ([[0.0, 1.0]] * 3, r"must return an array float32 \(3, 2\), not list"),
        (
            np.float32([[0, 1], [2, np.nan], [np.inf, 3]]),
            "the attribute 'age' of image 1 of shades is nan, but must be",
        ),
        (np.float32([[0, 1], [2, 3], [-np.inf, 3]]), "the attribute 'bright' of image 2 of shades is -inf, but must"),
    ],
    ids=["dtype", "width", "length", "list", "NaN", "infinite"],
)
def test_invalid_attributes_are_an_error(values: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_attributes(Given(values))


@given(st.integers(1, 2000))
def test_a_sample_is_spread_evenly_over_the_data_set(count: int) -> None:
    values = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    rows = sample_attributes(Given(values, count))
    assert rows is not None
    chosen = rows[:, 0] / 2
    assert len(rows) == min(count, MAX_ROWS)
    assert np.array_equal(rows, values[chosen.astype(int)])
    assert chosen[0] == 0
    assert len(rows) == 1 or np.ptp(np.diff([*chosen, count])) <= 1


def test_a_data_set_that_is_not_prepared_yet_has_attributes_of_the_right_shape() -> None:
    values = read_attributes(DescribedDataset(Shades().info))
    assert values is not None
    assert values.shape == (10, 2)
