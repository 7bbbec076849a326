from __future__ import annotations

import pytest

from ganzoo import DataInfo, Dataset
from ganzoo.errors import PluginError


class Empty(Dataset):
    """A data set that overrides nothing but `load`."""

    def __init__(self, attributes: tuple[str, ...] = ()) -> None:
        self.info = DataInfo("empty", 3, 8, 1, attributes=attributes)

    def load(self, index, size=None):
        raise AssertionError("its images are not needed")


def test_a_data_set_has_no_attributes_by_default():
    assert Empty().attributes().shape == (3, 0)


def test_attributes_that_are_only_named_are_an_error():
    message = "empty: its info names the attributes a, b, but Empty does not override `attributes`"
    with pytest.raises(PluginError, match=message):
        Empty(("a", "b")).attributes()
