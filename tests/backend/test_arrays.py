"""Selections and numbers passed as data: the values of NumPy, and no new kernel for a new value."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo

pytestmark = pytest.mark.usefixtures("jittor")


def test_chunks_are_equal_parts_with_gradients_of_their_own():
    jt = ganzoo.jt
    x = np.random.default_rng(0).standard_normal((3, 8, 2, 1), dtype=np.float32)
    var = jt.array(x)
    chunks = ganzoo.chunk(var, 4)
    for chunk, expected in zip(chunks, np.split(x, 4, axis=1)):
        assert np.array_equal(chunk.numpy(), expected)
    gradient = jt.grad((chunks[1] * chunks[1]).sum(), var).numpy()
    expected = np.zeros_like(x)
    expected[:, 2:4] = 2 * x[:, 2:4]
    assert np.array_equal(gradient, expected)


def test_chunks_get_axes_of_length_1_to_scale_feature_maps():
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    first, second = ganzoo.chunk(ganzoo.jt.array(x), 2, ndim=4)
    assert np.array_equal(first.numpy(), x[:, :3, None, None])
    assert np.array_equal(second.numpy(), x[:, 3:, None, None])


def test_chunks_of_unequal_size_are_refused():
    with pytest.raises(ganzoo.GanzooError, match=r"8 channels .* 3 equal parts"):
        ganzoo.chunk(ganzoo.jt.zeros((2, 8)), 3)


@pytest.mark.parametrize("ndim", [1, 2, 4])
def test_a_scalar_has_two_axes_or_more_because_one_element_of_one_axis_is_compiled_in(ndim):
    assert ganzoo.scalar(0.25, ndim).shape == [1] * max(ndim, 2)
    assert ganzoo.scalar(0.25, ndim).numpy().item() == 0.25
    assert ganzoo.scalar(0.25, ndim).is_stop_grad()


def test_new_values_of_a_scalar_and_other_shifts_need_no_new_kernel():
    jt = ganzoo.jt
    x = jt.array(np.random.default_rng(0).standard_normal((2, 3, 8, 4), dtype=np.float32))

    def kernels(number: float, shifts: list[int]) -> set[str]:
        jt.sync_all()
        with jt.profile_scope() as report:
            y = x * ganzoo.scalar(number)
            jt.sync([y, ganzoo.roll_rows(y, shifts)])
        return {row[1] for row in report[1:]}

    first = kernels(0.3, [0, 1, -2])
    assert first
    assert kernels(1.0, [3, 0, 7]) == kernels(0.0, [0, 0, 0]) == first


def test_rows_of_each_channel_roll_by_their_own_number():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 4), dtype=np.float32)
    shifts = [0, 2, -5]
    expected = np.stack([np.roll(x[:, index], shift, axis=1) for index, shift in enumerate(shifts)], 1)
    assert np.array_equal(ganzoo.roll_rows(ganzoo.jt.array(x), shifts).numpy(), expected)


def test_a_differentiable_image_has_gradients_though_the_original_stops_them():
    jt = ganzoo.jt
    image = jt.array(np.ones((1, 1, 2, 2), np.float32)).stop_grad()
    leaf = ganzoo.differentiable(image)
    assert image.is_stop_grad()
    assert np.array_equal(jt.grad((3.0 * leaf).sum(), leaf).numpy(), np.full((1, 1, 2, 2), 3.0))
