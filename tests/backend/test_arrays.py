"""The array functions give NumPy's results, and new values need no new kernel."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo

pytestmark = pytest.mark.usefixtures("jittor")


def test_chunks_are_equal_parts_with_gradients():
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


def test_chunk_appends_axes_of_length_1_up_to_ndim():
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    first, second = ganzoo.chunk(ganzoo.jt.array(x), 2, ndim=4)
    assert np.array_equal(first.numpy(), x[:, :3, None, None])
    assert np.array_equal(second.numpy(), x[:, 3:, None, None])


def test_chunks_of_unequal_size_are_an_error():
    with pytest.raises(ganzoo.GanzooError, match=r"8 channels .* 3 equal parts"):
        ganzoo.chunk(ganzoo.jt.zeros((2, 8)), 3)


@pytest.mark.parametrize("ndim", [1, 2, 4])
def test_a_scalar_has_at_least_two_axes(ndim):
    """Jittor would compile the value of an array (1,) into the kernel."""
    assert ganzoo.scalar(0.25, ndim).shape == [1] * max(ndim, 2)
    assert ganzoo.scalar(0.25, ndim).numpy().item() == 0.25
    assert ganzoo.scalar(0.25, ndim).is_stop_grad()


def test_other_scalars_and_shifts_need_no_new_kernel():
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


def test_each_channel_is_rolled_by_its_own_number_of_rows():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 4), dtype=np.float32)
    shifts = [0, 2, -5]
    expected = np.stack([np.roll(x[:, index], shift, axis=1) for index, shift in enumerate(shifts)], 1)
    assert np.array_equal(ganzoo.roll_rows(ganzoo.jt.array(x), shifts).numpy(), expected)


def test_differentiable_returns_a_var_with_gradients_even_if_the_original_has_none():
    jt = ganzoo.jt
    image = jt.array(np.ones((1, 1, 2, 2), np.float32)).stop_grad()
    leaf = ganzoo.differentiable(image)
    assert image.is_stop_grad()
    assert np.array_equal(jt.grad((3.0 * leaf).sum(), leaf).numpy(), np.full((1, 1, 2, 2), 3.0))
