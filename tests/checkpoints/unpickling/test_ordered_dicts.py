"""Ordered dictionaries pickled by Python 2, as in the LPIPS heads and in old torchvision files."""

from __future__ import annotations

import collections
import pickle

import numpy as np

from ganzoo.checkpoints.unpickling import safe_load

NUMBERS = np.arange(256, dtype=np.uint8)


class Ordered:
    """Pickled as Python 2 pickled an OrderedDict: with its items in a list of lists."""

    def __init__(self, items):
        self.items = items

    def __reduce__(self):
        return collections.OrderedDict, (self.items,)


def test_ordered_dicts_of_python_2_are_read(tmp_path):
    path = tmp_path / "ordered.pkl"
    path.write_bytes(pickle.dumps(Ordered([["z", 1], ["a", NUMBERS]]), 2))
    value = safe_load(path)
    assert list(value) == ["z", "a"]
    assert value["z"] == 1
    assert np.array_equal(value["a"], NUMBERS)
    assert value["a"].dtype == NUMBERS.dtype


def test_the_items_of_an_ordered_dict_are_used_only_once(tmp_path):
    """Otherwise a file of a few kilobytes that refers to one long list again and again would fill the memory."""
    path, items = tmp_path / "ordered.pkl", [[str(index), index] for index in range(1000)]
    path.write_bytes(pickle.dumps([Ordered(items) for _ in range(1000)], 2))
    assert sum(map(len, safe_load(path))) == 1000
