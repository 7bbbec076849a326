"""Reductions of empty arrays are refused."""

from __future__ import annotations

import numpy as np
import pytest

from ganzoo.errors import ShapeError


@pytest.mark.parametrize("name", ["mean", "max", "min"])
def test_a_reduction_of_no_numbers_is_refused(jittor, name):
    images = jittor.ones((4, 3, 2, 2))
    message = rf"the {name} of an empty array, of shape \(0, 3, 2, 2\), is undefined"
    for mask in (jittor.zeros(4) > 1, np.zeros(0, int), slice(4, None)):
        for reduce in (getattr(jittor, name), getattr(jittor.Var, name)):
            with pytest.raises(ShapeError, match=message):
                reduce(images[mask])
        with pytest.raises(ShapeError, match=message):
            getattr(images[mask], name)(0)
    assert getattr(images[np.zeros(0, int)], name)(1).shape == [0, 2, 2]
    assert getattr(images, name)().item() == 1
